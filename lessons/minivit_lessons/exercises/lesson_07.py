"""Checks of lesson 07: attention with one head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..trial import Attempt, Complaint
from . import exercise, question


@exercise(7)
def look(attempt: Attempt) -> None:
    """Check one query's answer, number by number; then scores whose exp overflows."""
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
            "these are the weights: multiply the values by them and add up": np.array(weights),
            "these are the scores: turn them into weights with softmax, then average the values": raw,
            "the values are weighted with the scores: softmax is missing": raw @ values,
            "the scores are divided by their sum, so some weights are negative: take exp(score) first": (
                raw / raw.sum() @ values
            ),
            "the weights do not add up to 1: divide by the sum of all exp(score)": np.exp(raw) @ values,
            "exp(score - largest score) is not divided by its sum": np.exp(raw - raw.max()) @ values,
            "only the best key counts: take the weighted mean of all values": values[raw.argmax()],
            "all values count equally: use the weights": values.mean(axis=0),
            "the keys are averaged: average the values with these weights": np.array(weights) @ keys,
            "the scores are divided by √D_h: leave that out here, it comes later in this lesson": (
                np.array(_shares(list(raw / math.sqrt(3)))) @ values
            ),
            "the weighted values are not added up: sum over them": np.array(weights)[:, None] * values,
        },
    )
    try:
        large = attempt(1000.0 * query, keys, values)
    except Complaint as complaint:
        if "OverflowError" not in str(complaint):
            raise
        raise Complaint("look: exp overflows for a score of 1000: subtract the largest score first") from complaint
    same(large, values[raw.argmax()], "look with scores of 1000 and more")


@question(7)
def score_spread(value: Any) -> None:
    """Check the standard deviations for D_h = 64: 8, and 1 after the division."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise Complaint("score_spread must be a tuple: (before the division, after it)")
    before, after = (float(number) for number in value)
    known = {
        64.0: "64 is the variance of the sum: the standard deviation is its square root",
        1.0: "1 is the standard deviation of one product: a score adds up 64",
        4096.0: "the variances of the 64 products are multiplied: add them up",
        0.125: "a sum has a larger standard deviation than its terms, not a smaller one",
    }
    if not math.isclose(before, 8.0):
        raise Complaint(f"score_spread: {known.get(before, f'not {before:g} before division: add up 64 variances')}")
    if math.isclose(after, 0.125):
        raise Complaint("score_spread: 8 / 64 is a division by D_h: divide by √D_h")
    if math.isclose(after, 8.0):
        raise Complaint("score_spread: the division makes the scores smaller, and their standard deviation too")
    if not math.isclose(after, 1.0):
        raise Complaint(f"score_spread: 8 divided by √64 is not {after:g}")


@exercise(7)
def attention_weights(attempt: Attempt) -> None:
    """Check two images of two heads, by loops; then one sequence without axes in front; then the gradients."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(71)
    q, k = rng.standard_normal((2, 2, 4, 9)), rng.standard_normal((2, 2, 4, 9))
    scores = np.empty((2, 2, 4, 4))
    for b, h, i, j in np.ndindex(scores.shape):
        scores[b, h, i, j] = sum(q[b, h, i, d] * k[b, h, j, d] for d in range(9))
    got = _four_axes(attempt, [tensor(q), tensor(k)], [tensor(q[0, 0]), tensor(k[0, 0])], "attention_weights")
    complain_of_array(got, "attention_weights")
    same(
        got,
        _rows(scores / 3),
        "attention_weights(q, k)",
        mistakes={
            "the division by √D_h is missing": _rows(scores),
            "the scores are divided by D_h: divide by √D_h": _rows(scores / 9),
            "the scores are multiplied by √D_h: divide by it": _rows(scores * 3),
            "the weights are divided by √D_h: divide the scores before softmax": _rows(scores) / 3,
            "the scores are divided by √N: divide by √D_h, the root of q.shape[-1]": _rows(scores / 2),
            "softmax runs over the queries: it must run over the last axis, so that each row adds up to 1": (
                _rows((scores / 3).swapaxes(-1, -2)).swapaxes(-1, -2)
            ),
            "queries and keys are swapped: row i belongs to query i": _rows((scores / 3).swapaxes(-1, -2)),
            "these are the scores: softmax is missing": scores / 3,
            "these are the scores: the division and softmax are missing": scores,
        },
    )
    flat = _any_axes(attempt, [tensor(q[0, 0]), tensor(k[0, 0])], "attention_weights")
    same(flat, _rows(scores / 3)[0, 0], "attention_weights(q, k) of one sequence, without axes in front")
    same_gradients(attempt, [q[0, 0, :3, :2], k[0, 1, :3, :2]], ["q", "k"], "attention_weights(q, k)")


@exercise(7)
def attention(attempt: Attempt) -> None:
    """Check two images of three heads, by loops; then one sequence without axes in front, and the gradients."""
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
    complain_of_array(got, "attention")
    same(
        got,
        right,
        "attention(q, k, v)",
        mistakes={
            "these are the weights: multiply the values by them and add up": weights,
            "the weights are transposed: row i belongs to query i": weights.swapaxes(-1, -2) @ v,
            "the product is v @ weights, which mixes the columns of v: it must be weights @ v": v @ weights,
            "the weights multiply v element by element: use the matrix product weights @ v": weights * v,
            "the keys are averaged: average the values": weights @ k,
            "the queries are averaged: average the values": weights @ q,
            "the values are weighted with the scores: softmax is missing": scores / 2 @ v,
            "the division by √D_h is missing": _rows(scores) @ v,
            "the scores are divided by √D_h twice: divide once": _rows(scores / 4) @ v,
            "queries and keys are swapped": _rows(scores.swapaxes(-1, -2) / 2) @ v,
        },
    )
    flat = _any_axes(attempt, [tensor(q[0, 0]), tensor(k[0, 0]), tensor(v[0, 0, :, :3])], "attention")
    same(flat, right[0, 0, :, :3], "attention(q, k, v) of one sequence, with values of another width")
    points = [q[0, 0, :3, :2], k[0, 0, :3, :2], v[0, 0, :3, :2]]
    same_gradients(attempt, points, ["q", "k", "v"], "attention(q, k, v)")


@exercise(7)
def self_attention(attempt: Attempt) -> None:
    """Check Eqs. 5 to 7 by loops, with a bias."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(73)
    B, N, D, D_h = 2, 12, 6, 4  # N = 3 D_h, so that cuts through the wrong axis run as well, and can be named
    z, U, bias = rng.standard_normal((B, N, D)), rng.standard_normal((D, 3 * D_h)), rng.standard_normal(3 * D_h)

    def eqs(U: np.ndarray, bias: np.ndarray, order: str = "qkv", divisor: float = 2.0) -> np.ndarray:
        """Return the result by loops over images and tokens, with the thirds of the columns in the given order."""
        third = {part: slice(order.index(part) * D_h, (order.index(part) + 1) * D_h) for part in "qkv"}
        out = np.empty((B, N, D_h))
        for b in range(B):
            rows = [bias + sum(z[b, n, d] * U[d] for d in range(D)) for n in range(N)]
            for n in range(N):
                scores = [float(rows[n][third["q"]] @ row[third["k"]]) / divisor for row in rows]
                out[b, n] = _mix(_shares(scores), np.array([row[third["v"]] for row in rows]))
        return out

    def cut_tokens() -> np.ndarray:
        """Return the result if the tokens are cut into thirds instead of the columns."""
        thirds = np.split(z @ U + bias, 3, axis=1)  # (B, N / 3, 3 D_h) each
        weights = _rows(thirds[0] @ thirds[1].swapaxes(-1, -2) / math.sqrt(3 * D_h))
        return weights @ thirds[2]

    none = np.zeros_like(bias)
    interleaved = np.concatenate([np.arange(part, 3 * D_h, 3) for part in range(3)])
    got = attempt(tensor(z), tensor(U), tensor(bias))
    complain_of_array(got, "self_attention")
    same(
        got,
        eqs(U, bias),
        "self_attention(z, U, bias)",
        mistakes={
            "the bias is missing": lambda: eqs(U, none),
            "queries and keys are swapped: the first third is q, the second k": lambda: eqs(U, bias, "kqv"),
            "keys and values are swapped: the second third is k, the last v": lambda: eqs(U, bias, "qvk"),
            "the first third is q, not v: the order is q, k, v": lambda: eqs(U, bias, "vkq"),
            "the thirds are in another order: first q, then k, then v": lambda: eqs(U, bias, "vqk"),
            "every third column was taken: q is the first D_h columns": lambda: eqs(
                U[:, interleaved], bias[interleaved]
            ),
            "the division by √D_h is missing": lambda: eqs(U, bias, divisor=1.0),
            "the tokens were cut into thirds: cut the last axis, qkv[..., :D_h]": cut_tokens,
            "the scores are divided by √(3 D_h): divide by the root of q's width after the cut": lambda: eqs(
                U, bias, divisor=math.sqrt(3 * D_h)
            ),
            "the scores are divided by √D: divide by √D_h": lambda: eqs(U, bias, divisor=math.sqrt(D)),
        },
    )
    same_gradients(
        attempt,
        [z[:1, :3, :2], U[:2, :6], bias[:6]],
        ["z", "U", "bias"],
        "self_attention(z, U, bias)",
    )


def _shares(scores: Sequence[float]) -> list[float]:
    """Return the softmax of scores, computed one number at a time."""
    total = sum(math.exp(score) for score in scores)
    return [math.exp(score) / total for score in scores]


def _rows(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of every row, each computed separately."""
    return np.apply_along_axis(lambda row: np.array(_shares(list(row))), -1, scores)


def _mix(weights: Any, values: np.ndarray) -> np.ndarray:
    """Return the weighted sum of rows, computed one number at a time."""
    return np.array(
        [sum(weight * row[c] for weight, row in zip(weights, values, strict=True)) for c in range(values.shape[1])]
    )


def _four_axes(attempt: Attempt, inputs: list[Any], flat: list[Any], name: str) -> Any:
    """Call it with two axes in front. If only that fails, it transposes too many axes, as .T does."""
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
            f"{name} works with two axes and fails with four: .T reverses all axes, swap_last_two swaps the last two"
        ) from complaint


def _any_axes(attempt: Attempt, inputs: list[Any], name: str) -> Any:
    """Call it on matrices. If only that fails, it counts the axes from the front."""
    try:
        return attempt(*inputs)
    except Complaint as complaint:
        if "raises" not in str(complaint):
            raise
        raise Complaint(
            f"{name} works with four axes and fails with two: use swap_last_two, which takes any number of axes"
        ) from complaint
