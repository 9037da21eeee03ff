"""Checks of lesson 07: attention with one head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compare import same, same_gradients
from ..trial import Attempt, Complaint
from . import exercise, question


@exercise(7)
def look(attempt: Attempt) -> None:
    """One query's answer, number by number; then with scores that overflow."""
    rng = np.random.default_rng(70)
    query, keys, values = rng.standard_normal(3), rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    scores = [sum(query[d] * key[d] for d in range(3)) for key in keys]
    weights = _shares(scores)
    right = _mix(weights, values)
    raw = np.array(scores)
    got = attempt(query, keys, values)
    same(
        got,
        right,
        "look(query, keys, values)",
        mistakes={
            "these are the weights: now mix the values with them": np.array(weights),
            "these are the scores: softmax makes weights of them, and the weights mix the values": raw,
            "the values are added up with the scores themselves: softmax is missing": raw @ values,
            "scores divided by their sum are no weights, some are negative: softmax takes exp(score) first": (
                raw / raw.sum() @ values
            ),
            "the weights do not add up to 1: divide by the sum of all exp(score)": np.exp(raw) @ values,
            "exp(score - largest score) still has to be divided by its sum": np.exp(raw - raw.max()) @ values,
            "only the best key counts: the answer is a mean of all values": values[raw.argmax()],
            "all values count the same: the weights are not used": values.mean(axis=0),
            "the weights are right, but they mix the keys: the answer is made of values": np.array(weights) @ keys,
            "the scores are divided by √D_h: right in a moment, but here it comes without": (
                np.array(_shares(list(raw / math.sqrt(3)))) @ values
            ),
            "each value is multiplied by its weight: add these products up": np.array(weights)[:, None] * values,
        },
    )
    try:
        large = attempt(1000.0 * query, keys, values)
    except Complaint as complaint:
        if "OverflowError" not in str(complaint):
            raise
        raise Complaint("look: exp of a score of a thousand overflows: subtract the largest score first") from complaint
    same(large, values[raw.argmax()], "look with scores of a thousand and more")


@question(7)
def score_spread(value: Any) -> None:
    """D_h = 64: standard deviation 8, and 1 after the division."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise Complaint("score_spread must be two numbers in parentheses: (before the division, after it)")
    before, after = (float(number) for number in value)
    known = {
        64.0: "64 is the variance of the sum; its standard deviation is the root of that",
        1.0: "1 is what a single number has; a score adds up 64 products",
        4096.0: "variances add up, one for each of the 64 products: they are not multiplied",
        0.125: "a sum spreads more than its terms, not less",
    }
    if not math.isclose(before, 8.0):
        raise Complaint(f"score_spread: {known.get(before, f'{before:g} before the division? add up 64 variances')}")
    if math.isclose(after, 0.125):
        raise Complaint("score_spread: 8 / 64 would be a division by D_h; it is by √D_h")
    if math.isclose(after, 8.0):
        raise Complaint("score_spread: the division makes the scores smaller, and their spread too")
    if not math.isclose(after, 1.0):
        raise Complaint(f"score_spread: 8 divided by √64 is not {after:g}")


@exercise(7)
def attention_weights(attempt: Attempt) -> None:
    """Two images of two heads, by loops; then without any axis in front; then the gradients."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(71)
    q, k = rng.standard_normal((2, 2, 4, 9)), rng.standard_normal((2, 2, 4, 9))
    scores = np.empty((2, 2, 4, 4))
    for b, h, i, j in np.ndindex(scores.shape):
        scores[b, h, i, j] = sum(q[b, h, i, d] * k[b, h, j, d] for d in range(9))
    got = _four_axes(attempt, [tensor(q), tensor(k)], [tensor(q[0, 0]), tensor(k[0, 0])], "attention_weights")
    _want_tensor(got, "attention_weights")
    same(
        got,
        _rows(scores / 3),
        "attention_weights(q, k)",
        mistakes={
            "the division by √D_h is missing": _rows(scores),
            "the scores are divided by D_h, not by its root": _rows(scores / 9),
            "the scores are multiplied by √D_h instead of divided": _rows(scores * 3),
            "the weights are divided by √D_h: divide the scores, before softmax": _rows(scores) / 3,
            "divided by √N: it is the width of a query that counts, q.shape[-1]": _rows(scores / 2),
            "softmax runs over the queries: each row must add up to 1, so it runs over the last axis": (
                _rows((scores / 3).swapaxes(-1, -2)).swapaxes(-1, -2)
            ),
            "queries and keys have changed places: row i belongs to query i": _rows((scores / 3).swapaxes(-1, -2)),
            "these are the scores: softmax is missing": scores / 3,
            "these are the scores: the division and softmax are missing": scores,
        },
    )
    flat = _any_axes(attempt, [tensor(q[0, 0]), tensor(k[0, 0])], "attention_weights")
    same(flat, _rows(scores / 3)[0, 0], "attention_weights(q, k) of one sequence, without axes in front")
    same_gradients(attempt, [q[0, 0, :3, :2], k[0, 1, :3, :2]], ["q", "k"], "attention_weights(q, k)")


@exercise(7)
def attention(attempt: Attempt) -> None:
    """Two images of three heads, by loops; then one sequence alone, and the gradients."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(72)
    q, k, v = (rng.standard_normal((2, 3, 4, 4)) for _ in range(3))
    weights, right = np.empty((2, 3, 4, 4)), np.empty((2, 3, 4, 4))
    for b, h, i in np.ndindex(2, 3, 4):
        scores = [sum(q[b, h, i, d] * k[b, h, j, d] for d in range(4)) / 2.0 for j in range(4)]
        weights[b, h, i] = _shares(scores)
        right[b, h, i] = _mix(weights[b, h, i], v[b, h])
    scores = q @ k.swapaxes(-1, -2)
    got = attempt(tensor(q), tensor(k), tensor(v))
    _want_tensor(got, "attention")
    same(
        got,
        right,
        "attention(q, k, v)",
        mistakes={
            "these are the weights: now mix the values with them": weights,
            "the weights are transposed: row i of them belongs to query i": weights.swapaxes(-1, -2) @ v,
            "the values stand in front of the weights: v @ weights mixes the columns of v, not its rows": v @ weights,
            "the weights multiply v number by number: a matrix product mixes its rows": weights * v,
            "the keys are mixed: the answer is made of values": weights @ k,
            "the queries are mixed: the answer is made of values": weights @ q,
            "the values are mixed with the scores: softmax is missing": scores / 2 @ v,
            "the division by √D_h is missing": _rows(scores) @ v,
            "it is divided by √D_h once too often": _rows(scores / 4) @ v,
            "queries and keys have changed places": _rows(scores.swapaxes(-1, -2) / 2) @ v,
        },
    )
    flat = _any_axes(attempt, [tensor(q[0, 0]), tensor(k[0, 0]), tensor(v[0, 0, :, :3])], "attention")
    same(flat, right[0, 0, :, :3], "attention(q, k, v) of one sequence, with values of another width")
    points = [q[0, 0, :3, :2], k[0, 0, :3, :2], v[0, 0, :3, :2]]
    same_gradients(attempt, points, ["q", "k", "v"], "attention(q, k, v)")


@exercise(7)
def self_attention(attempt: Attempt) -> None:
    """Eqs. 5 to 7 by loops, with a bias."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(73)
    B, N, D, D_h = 2, 12, 6, 4  # N = 3 D_h, so that cuts through the wrong axis run as well, and can be named
    z, U, bias = rng.standard_normal((B, N, D)), rng.standard_normal((D, 3 * D_h)), rng.standard_normal(3 * D_h)

    def eqs(U: np.ndarray, bias: np.ndarray, order: str = "qkv", divisor: float = 2.0) -> np.ndarray:
        """By loops over images and tokens; `order` says which third is taken for what."""
        third = {part: slice(order.index(part) * D_h, (order.index(part) + 1) * D_h) for part in "qkv"}
        out = np.empty((B, N, D_h))
        for b in range(B):
            rows = [bias + sum(z[b, n, d] * U[d] for d in range(D)) for n in range(N)]
            for n in range(N):
                scores = [float(rows[n][third["q"]] @ row[third["k"]]) / divisor for row in rows]
                out[b, n] = _mix(_shares(scores), np.array([row[third["v"]] for row in rows]))
        return out

    def cut_tokens() -> np.ndarray:
        """What comes of cutting the tokens into thirds, not the columns."""
        thirds = np.split(z @ U + bias, 3, axis=1)  # (B, N / 3, 3 D_h) each
        weights = _rows(thirds[0] @ thirds[1].swapaxes(-1, -2) / math.sqrt(3 * D_h))
        return weights @ thirds[2]

    none = np.zeros_like(bias)
    interleaved = np.concatenate([np.arange(part, 3 * D_h, 3) for part in range(3)])
    got = attempt(tensor(z), tensor(U), tensor(bias))
    _want_tensor(got, "self_attention")
    same(
        got,
        eqs(U, bias),
        "self_attention(z, U, bias)",
        mistakes={
            "the bias is missing": lambda: eqs(U, none),
            "queries and keys have changed places: the first third is q, the second k": lambda: eqs(U, bias, "kqv"),
            "keys and values have changed places: the second third is k, the last v": lambda: eqs(U, bias, "qvk"),
            "the first third is q, not v: the order is q, k, v": lambda: eqs(U, bias, "vkq"),
            "the thirds stand in another order: first q, then k, then v": lambda: eqs(U, bias, "vqk"),
            "every third column was taken: q is the first D_h columns, side by side": lambda: eqs(
                U[:, interleaved], bias[interleaved]
            ),
            "the division by √D_h is missing": lambda: eqs(U, bias, divisor=1.0),
            "the tokens were cut into thirds: the cuts go through the last axis, qkv[..., :D_h]": cut_tokens,
            "divided by the root of the wrong width: D_h is that of q, after the cut": lambda: eqs(
                U, bias, divisor=math.sqrt(3 * D_h)
            ),
            "divided by √D: a head's queries have D_h numbers": lambda: eqs(U, bias, divisor=math.sqrt(D)),
        },
    )
    same_gradients(
        attempt,
        [z[:1, :3, :2], U[:2, :6], bias[:6]],
        ["z", "U", "bias"],
        "self_attention(z, U, bias)",
    )


def _shares(scores: Sequence[float]) -> list[float]:
    """Softmax, one number at a time."""
    total = sum(math.exp(score) for score in scores)
    return [math.exp(score) / total for score in scores]


def _rows(scores: np.ndarray) -> np.ndarray:
    """Softmax of every row, each by itself."""
    return np.apply_along_axis(lambda row: np.array(_shares(list(row))), -1, scores)


def _mix(weights: Any, values: np.ndarray) -> np.ndarray:
    """The weighted sum of rows, one number at a time."""
    return np.array(
        [sum(weight * row[c] for weight, row in zip(weights, values, strict=True)) for c in range(values.shape[1])]
    )


def _want_tensor(got: Any, name: str) -> None:
    if isinstance(got, np.ndarray):
        raise Complaint(f"{name} returns an array: compute with Tensors, so that gradients flow")


def _four_axes(attempt: Attempt, inputs: list[Any], flat: list[Any], name: str) -> Any:
    """Call it with two axes in front; what fails there and runs without them turns too many axes around, as .T does."""
    try:
        return attempt(*inputs)
    except Complaint as complaint:
        if "raises" not in str(complaint):
            raise
        try:
            attempt(*flat)
        except Complaint:
            raise complaint from None
        raise Complaint(
            f"{name} works with two axes and fails with four: .T turns all of them around, swap_last_two the last two"
        ) from complaint


def _any_axes(attempt: Attempt, inputs: list[Any], name: str) -> Any:
    """Call it on matrices; what worked on four axes and fails on two counts them from the wrong end."""
    try:
        return attempt(*inputs)
    except Complaint as complaint:
        if "raises" not in str(complaint):
            raise
        raise Complaint(
            f"{name} works with four axes and fails with two: swap_last_two does it with any number of them"
        ) from complaint
