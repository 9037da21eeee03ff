"""Checks of lesson 07: attention with one head, a mean as a product, and a causal mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, explained
from . import exercise, question

# What raises on arrays, where the query has one axis and the keys have two.
IN_LOOK = {
    "shapes (3,) (2,)": "the output has the width of the values, values.shape[1]",
    "size 5 is different from 3": "keys has one key in each row: the scores are keys @ query",
    "shapes (3,) and (5,3) not aligned": "keys has one key in each row: the scores are keys @ query",
    "size 5 is different from 2": "the weights stand in front: weights @ values",
    "memoryview": "your softmax takes a Tensor: write it with np.exp here",
    "only length-1 arrays": "math.exp takes one number: use np.exp",
    "only size-1 arrays": "math.exp takes one number: use np.exp",
    "only 0-dimensional arrays": "math.exp takes one number: use np.exp",
}
# What raises on Tensors of four axes.
SWAP = {
    "axes don't match": "transpose takes all axes in their new order: use swap_last_two(k)",
    "no attribute 'mT'": "use swap_last_two(k)",
    "could not be broadcast": "is keepdims=True missing?",
    "subscripts": "NumPy's functions take no Tensor: use q @ swap_last_two(k)",
    "mismatch in its core dimension": "row i of q times row j of k: the product is q @ swap_last_two(k)",
    "ufunc": "use your softmax and the Tensor's methods",
}


@exercise(7)
def look(attempt: Attempt) -> None:
    """Check one query's answer, number by number; then scores whose exp overflows."""
    rng = np.random.default_rng(70)
    query, keys, values = rng.standard_normal(3), rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    scores = [sum(query[d] * key[d] for d in range(3)) for key in keys]
    weights = _shares(scores)
    right = _mix(weights, values)
    raw = np.array(scores)
    with explained(IN_LOOK):
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
            "the weights come from a sigmoid: softmax takes exp(score)": (
                (1 / (1 + np.exp(-raw))) / (1 / (1 + np.exp(-raw))).sum() @ values
            ),
            "all values count equally: use the weights": values.mean(axis=0),
            "the values are added without weights: multiply each value by its weight": values.sum(axis=0),
            "the first value is taken again and again: multiply each weight by its own value": values[0],
            "the keys are averaged: average the values with these weights": np.array(weights) @ keys,
            "the scores are divided by √D_h: leave that out here, it comes later in this lesson": (
                np.array(_shares(list(raw / math.sqrt(3)))) @ values
            ),
            "the weighted values are not added up: sum over them": np.array(weights)[:, None] * values,
            **{
                f"the scores are divided by {name}: softmax takes the scores themselves here": (
                    np.array(_shares(list(raw / number))) @ values
                )
                for name, number in (("N", 5), ("√N", math.sqrt(5)), ("D_h", 3))
            },
            "this is the mean of weight · value: add them up, because the weights already add up to 1": right / 5,
            "the weighted values are not added up: weights @ values": (np.array(weights)[:, None] * values).T,
            "the score is a distance, which is small for a good match: take the dot product": (
                np.array(_shares([float(np.linalg.norm(query - key)) for key in keys])) @ values
            ),
            "the score is minus a squared distance: take the dot product": (
                np.array(_shares([-float(((query - key) ** 2).sum()) for key in keys])) @ values
            ),
            "exp(score - largest score) is divided by N: divide it by its sum": np.exp(raw - raw.max()) / 5 @ values,
            "exp(score) is divided by N: divide it by its sum": np.exp(raw) / 5 @ values,
            "the score is minus a distance: take the dot product": (
                np.array(_shares([-float(np.linalg.norm(query - key)) for key in keys])) @ values
            ),
            "only the last key counts: add up, output = output + weight * value": np.exp(raw[-1]) * values[-1],
            "only the last key counts: add up the weighted values": weights[-1] * values[-1],
            "the values are weighted with the scores, and divided by N: softmax is missing": raw @ values / 5,
            "the weights are divided by their length: divide by their sum": (
                np.exp(raw) / np.linalg.norm(np.exp(raw)) @ values
            ),
            "the base is 2: softmax uses exp": 2.0**raw / (2.0**raw).sum() @ values,
            "the scores are cosines: a score is the dot product alone": (
                np.array(_shares(list(raw / np.linalg.norm(keys, axis=1) / np.linalg.norm(query)))) @ values
            ),
            "the sum runs over the numbers of each value: add up over the N keys": (
                (np.array(weights)[:, None] * values).sum(axis=1)
            ),
            "the sign of the scores is wrong: the largest score gets the largest weight": (
                np.array(_shares(list(-raw))) @ values
            ),
            "the scores are squared: use exp(score)": raw**2 / (raw**2).sum() @ values,
            "this uses absolute scores: use exp(score)": np.abs(raw) / np.abs(raw).sum() @ values,
            "each score goes through a sigmoid: softmax divides exp(score) by the sum over all keys": (
                1 / (1 + np.exp(-raw)) @ values
            ),
            "this is the query: return the weighted mean of the values": query,
            "these are exp(score) without the values": np.exp(raw),
            "softmax acts on the query: it must act on the scores, keys @ query": (
                np.array(_shares(list(query))) @ keys.T @ values
            ),
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
    with explained(SWAP):
        flat = [tensor(q[0, 0]), tensor(k[0, 0])]
        got = _four_axes(attempt, [tensor(q), tensor(k)], flat, _rows(scores / 3)[0, 0], "attention_weights")
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
            "k is reshaped, which mixes the keys: transpose it, swap_last_two(k)": _rows(
                q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2]) / math.sqrt(q.shape[-1])
            ),
            "queries and keys are swapped: row i belongs to query i": _rows((scores / 3).swapaxes(-1, -2)),
            "the scores are divided by the root of another axis: D_h is q.shape[-1]": _rows(scores / math.sqrt(2)),
            "the scores are divided by 8, which is √D_h only for D_h = 64: use q.shape[-1]": _rows(scores / 8),
            "the scores are divided by the root of D = heads · D_h: D_h is q.shape[-1]": _rows(scores / math.sqrt(18)),
            "the scores are divided by N: divide by √D_h": _rows(scores / 4),
            "exp(score) is divided by the sum over everything: divide by the sum of each row": (
                np.exp(scores / 3) / np.exp(scores / 3).sum()
            ),
            "the scores compare queries with queries: compare them with the keys": _rows(q @ q.swapaxes(-1, -2) / 3),
            "these are the scores, divided by D_h: divide by √D_h, then softmax": scores / 9,
            "the product is swap_last_two(q) @ k: it must be q @ swap_last_two(k)": (_rows(q.swapaxes(-1, -2) @ k / 3)),
            "q and k are multiplied element by element: use q @ swap_last_two(k)": _rows(q * k / 3),
            "softmax acts on q and k: it must act on their scores": _rows(q) @ _rows(k).swapaxes(-1, -2),
            "exp(score) is divided by the sum over all rows of a head: divide by the sum of each row": (
                np.exp(scores / 3) / np.exp(scores / 3).sum(axis=(-1, -2), keepdims=True)
            ),
            "softmax runs over the heads: it must run over the last axis, so that each row adds up to 1": (
                np.moveaxis(_rows(np.moveaxis(scores / 3, 1, -1)), -1, 1)
            ),
            "softmax runs over the images: it must run over the last axis, so that each row adds up to 1": (
                np.moveaxis(_rows(np.moveaxis(scores / 3, 0, -1)), -1, 0)
            ),
            "the scores are divided by D_h²: divide by √D_h": _rows(scores / 81),
            "softmax acts twice: apply it once": _rows(_rows(scores / 3)),
            "the sign of the scores is wrong": _rows(-scores / 3),
            "these are exp(score), not divided by their sum: use softmax": np.exp(scores / 3),
            "the scores are divided by their sum: use softmax": scores / scores.sum(axis=-1, keepdims=True),
            "the scores are cosines: divide the dot products by √D_h, not by lengths": _rows(
                scores / np.linalg.norm(q, axis=-1)[..., None] / np.linalg.norm(k, axis=-1)[..., None, :]
            ),
            "the scores are cosines, divided by √D_h: leave out the lengths": _rows(
                scores / 3 / np.linalg.norm(q, axis=-1)[..., None] / np.linalg.norm(k, axis=-1)[..., None, :]
            ),
            "these are the scores: softmax is missing": scores / 3,
            "these are the scores: the division and softmax are missing": scores,
            "the scores are divided by the fourth root of D_h: divide by √D_h": _rows(scores / 9**0.25),
            "half of D_h is under the root: divide by √D_h": _rows(scores / math.sqrt(4.5)),
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
    with explained({"shapes (3,) (2,3,4,4)": "look answers one query: use attention_weights(q, k) @ v for all"}):
        got = attempt(tensor(q), tensor(k), tensor(v))
    if isinstance(got, tuple):
        raise Complaint("attention returns a tuple: return the outputs alone, weights @ v")
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
            "the product is swap_last_two(v) @ weights: it must be weights @ v": v.swapaxes(-1, -2) @ weights,
            "q is added: return weights @ v alone": right + q,
            "v is added: return weights @ v alone": right + v,
            "the outputs are added up over the queries: return one for each query": right.sum(axis=-2),
            "this is the mean over the queries: return one output for each query": right.mean(axis=-2),
            "softmax acts on the output: return weights @ v": _rows(right),
            "the roles are mixed up: the queries meet the keys, and the values are averaged": (
                _rows(v @ k.swapaxes(-1, -2) / 2) @ q
            ),
            "the output is divided by √D_h: only the scores are": right / 2,
            "v is transposed: the product is weights @ v": weights @ v.swapaxes(-1, -2),
            "softmax acts twice: attention_weights already ends with it": _rows(weights) @ v,
            "these are the values themselves: multiply them by the weights": v,
            "this averages over all values equally: use the weights": np.broadcast_to(
                v.mean(axis=-2, keepdims=True), v.shape
            ),
            "the scores compare queries with values: compare them with keys, attention_weights(q, k)": (
                _rows(q @ v.swapaxes(-1, -2) / 2) @ v
            ),
            "the output is divided by 4 = N = D_h once more: the weights already add up to 1": right / 4,
            "the keys are averaged: average the values": weights @ k,
            "keys and values are swapped: attention_weights(q, k) compares, and v is averaged": (
                _rows(q @ v.swapaxes(-1, -2) / 2) @ k
            ),
            "queries and keys are swapped: attention_weights(q, k)": _rows(k @ q.swapaxes(-1, -2) / 2) @ v,
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
    qkv = z @ U + bias

    def reshaped() -> np.ndarray:
        """Return the result if the columns are cut by a reshape to (3, B, N, D_h) without a transpose."""
        q, k, v = qkv.reshape(3, B, N, D_h)
        return _rows(q @ k.swapaxes(-1, -2) / 2) @ v

    def mixed() -> np.ndarray:
        """Return the result if the columns are cut by a reshape to (B, 3, N, D_h)."""
        q, k, v = np.moveaxis(qkv.reshape(B, 3, N, D_h), 1, 0)
        return _rows(q @ k.swapaxes(-1, -2) / 2) @ v

    def shifted(of_k: int, of_v: int) -> np.ndarray:
        """Return the result if the slices of k and v begin some columns too late."""
        k = qkv[..., D_h + of_k : 2 * D_h + of_k]
        return _rows(qkv[..., :D_h] @ k.swapaxes(-1, -2) / 2) @ qkv[..., 2 * D_h + of_v :]

    def queries_only() -> np.ndarray:
        """Return the result if the scores compare queries with queries."""
        q, v = qkv[..., :D_h], qkv[..., 2 * D_h :]
        return _rows(q @ q.swapaxes(-1, -2) / 2) @ v

    def over_queries() -> np.ndarray:
        """Return the result if softmax runs over the queries."""
        q, k, v = (qkv[..., i * D_h : (i + 1) * D_h] for i in range(3))
        return _rows((q @ k.swapaxes(-1, -2) / 2).swapaxes(-1, -2)).swapaxes(-1, -2) @ v

    def self_same(*thirds: int) -> np.ndarray:
        """Return the result if q, k and v are these thirds of the columns."""
        q, k, v = (qkv[..., i * D_h : (i + 1) * D_h] for i in thirds)
        return _rows(q @ k.swapaxes(-1, -2) / 2) @ v

    def narrow() -> np.ndarray:
        """Return the result if the columns are cut by a third of D instead of D_h."""
        width = D // 3
        q, k, v = qkv[..., :width], qkv[..., width : 2 * width], qkv[..., 2 * width :]
        return _rows(q @ k.swapaxes(-1, -2) / math.sqrt(width)) @ v

    interleaved = np.concatenate([np.arange(part, 3 * D_h, 3) for part in range(3)])
    reasons = {
        "size 8 is different from 4": "the slice of k ends at 2 * D_h: qkv[..., D_h : 2 * D_h]",
        "(size 12 is different from 6)": "U has the shape (D, 3 D_h): the product is z @ U, without .T",
        "mismatch in its core dimension": "q, k and v are (B, N, D_h), cut from the last axis of z @ U + bias",
        "remapped shapes": "cut the last axis, qkv[..., :D_h]: qkv[:D_h] cuts the batch",
        "out of bounds for array of dimension 0": "np.split takes no Tensor: use slices, qkv[..., :D_h]",
        "values to unpack": "cut the last axis with slices, qkv[..., :D_h]",
        "index 2 is out of bounds": "the thirds are on another axis: slice the last one, qkv[..., :D_h]",
        "shapes (2,12,4) (2,12,6)": "z is not added here: return the outputs of attention alone",
    }
    with explained(reasons):
        got = attempt(tensor(z), tensor(U), tensor(bias))
    if isinstance(got, tuple):
        raise Complaint("self_attention returns a tuple: return the outputs of attention alone")
    complain_of_array(got, "self_attention")
    same(
        got,
        eqs(U, bias),
        "self_attention(z, U, bias)",
        mistakes={
            "the bias is missing": lambda: eqs(U, none),
            "queries and keys are swapped: the first third is q, the second k": lambda: eqs(U, bias, "kqv"),
            "keys and values are swapped: the second third is k, the last v": lambda: eqs(U, bias, "qvk"),
            "the three are the same: k is the second third of the columns, v the last": lambda: self_same(0, 0, 0),
            "keys and values are the same third: v is the last third of the columns": lambda: self_same(0, 1, 1),
            "the values are the first third: they are the last": lambda: self_same(0, 1, 0),
            "z is added here: the residual connection belongs to the block": lambda: eqs(U, bias) + z[..., :D_h],
            "D_h is a third of z's width: it is a third of U's columns, U.shape[-1] // 3": lambda: narrow(),
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
            "the scores are divided by D_h: divide by √D_h": lambda: eqs(U, bias, divisor=float(D_h)),
            "the slice of v is empty: it begins at 2 * D_h": np.zeros((B, N, 0)),
            "the slice of k begins one column too late: it is qkv[..., D_h : 2 * D_h]": lambda: shifted(1, 0),
            "the slices begin one column too late: k begins at D_h, v at 2 * D_h": lambda: shifted(1, 1),
            "q, k and v are all of qkv: cut it into thirds first": _rows(
                qkv @ qkv.swapaxes(-1, -2) / math.sqrt(3 * D_h)
            )
            @ qkv,
            "the values are the tokens z: take the last third of qkv": _rows(
                qkv[..., :D_h] @ qkv[..., D_h : 2 * D_h].swapaxes(-1, -2) / 2
            )
            @ z,
            "the reshape to (B, 3, N, D_h) mixes tokens: reshape to (B, N, 3, D_h), or slice the last axis": mixed,
            "the columns were cut by a reshape alone: it mixes tokens; slice the last axis": reshaped,
            "the scores compare queries with queries: compare them with the keys": queries_only,
            "softmax runs over the queries: it must run over the last axis": over_queries,
            "these are q, k and v side by side: cut them and call attention": qkv,
            "these are the values: mix them with the attention weights": qkv[..., 2 * D_h :],
            **{
                f"{part} lack{'s' if len(part) == 1 else ''} the bias: add it before you cut the product": (
                    lambda kept=kept: eqs(U, np.where(np.isin(np.arange(3 * D_h) // D_h, kept), bias, 0.0))
                )
                for part, kept in (
                    ("k and v", [0]),
                    ("q and v", [1]),
                    ("q and k", [2]),
                    ("q", [1, 2]),
                    ("k", [0, 2]),
                    ("v", [0, 1]),
                )
            },
            "v is added to the output: return the output of attention alone": lambda: (
                eqs(U, bias) + qkv[..., 2 * D_h :]
            ),
            "the bias is subtracted": lambda: eqs(U, -bias),
        },
    )
    same_gradients(
        attempt,
        [z[:1, :3, :2], U[:2, :6], bias[:6]],
        ["z", "U", "bias"],
        "self_attention(z, U, bias)",
    )


@exercise(7, stretch=True)
def mean_over_tokens(attempt: Attempt) -> None:
    """Check a batch and one sequence, then that the line uses nothing but a product."""
    z = np.random.default_rng(74).standard_normal((2, 5, 3))
    advice = "the row of weights has N = z.shape[-2] numbers and is in front: row @ z"
    for tokens, what in ((z[0], "mean_over_tokens(z)"), (z, "mean_over_tokens(z) of two images")):
        with explained({"mismatch in its core dimension": advice}):
            got = attempt(tokens)
        right = np.array([[sum(tokens[..., n, d] for n in range(5)) / 5 for d in range(3)]])  # (1, 3, ...)
        right = np.moveaxis(right, (0, 1), (-2, -1))
        same(
            got,
            right,
            what,
            mistakes={
                "this is the sum: each weight is 1/N": right * 5,
                "this is the mean over the numbers of each token: the row of weights must be in front of z": (
                    tokens.mean(axis=-1, keepdims=True)
                ),
                "each weight is 1/D: there are N tokens": right * 5 / 3,
                "each weight is 1/B: N is z.shape[-2], for a batch too": right * 5 / 2,
                "this repeats the mean for every token: one row of weights is enough": np.broadcast_to(
                    right, tokens.shape
                ),
                "these are the tokens themselves": tokens,
                "this is the mean over the images": z.mean(axis=0, keepdims=True),
                "this is the first token alone: take the mean over all N": tokens[..., :1, :],
                "this is the last token alone: take the mean over all N": tokens[..., -1:, :],
                "the axis of the tokens is lost: the weights are a matrix of one row, (1, N)": right[..., 0, :],
            },
        )
    uses_only(attempt, "@", "full", "ones", "/", "[]", "-")


@exercise(7, stretch=True)
def causal_mask(attempt: Attempt) -> None:
    """Check masks of five tokens and of one, then that the line compares positions."""
    for N in (5, 1):
        right = np.array([[j <= i for j in range(N)] for i in range(N)])
        got = attempt(N)
        what = f"causal_mask({N})"
        if np.shape(got) in ((1, N), (N, 1)) and N > 1:
            raise Complaint(
                f"{what} has shape {np.shape(got)}: compare a column of positions, (N, 1), with a row, (N,)"
            )
        if isinstance(got, np.ndarray) and np.isneginf(got.astype(float)).any():
            raise Complaint(f"{what} holds -infinity: return booleans, true where query i may see key j")
        if np.shape(got) == (N,):
            raise Complaint(f"{what} has shape ({N},): compare a column of positions, (N, 1), with a row of positions")
        with explained({f"{what} is wrong": "row i must be true in columns 0 to i, and nowhere else"}):
            same(
                got,
                right,
                what,
                mistakes={
                    "it is transposed: row i is the query, which sees the keys up to i": right.T,
                    "a token must see itself too: use >=, and count queries and keys from the same number": np.array(
                        [[j < i for j in range(N)] for i in range(N)]
                    ),
                    "true and false are swapped: row i, a query, sees the keys j <= i": np.array(
                        [[j > i for j in range(N)] for i in range(N)]
                    ),
                    "every pair is allowed: compare a column of positions with a row": np.ones((N, N), bool),
                    "a token sees itself alone: it may see all keys up to its own": np.eye(N, dtype=bool),
                    "these are the positions: compare them": np.tile(np.arange(N), (N, 1)),
                    "a token sees all others, but not itself, as with !=: compare with >=": ~np.eye(N, dtype=bool),
                    "no pair is allowed: compare a column of positions with a row, with >=": np.zeros((N, N), bool),
                    "a token sees only the one before it: it may see all keys up to its own": np.eye(
                        N, k=-1, dtype=bool
                    ),
                },
                check_dtype=False,
            )
        if np.asarray(got).dtype != bool:
            raise Complaint(f"{what} must be an array of booleans, as >= returns it")
    uses_only(attempt, "arange", ">=", "<=", "reshape", "[]", "-")


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


def _four_axes(attempt: Attempt, inputs: list[Any], flat: list[Any], right: np.ndarray, name: str) -> Any:
    """Call it with two axes in front. If only that fails, it transposes too many axes, as .T does.

    Args:
        inputs: the arguments with four axes.
        flat: those of one sequence, with two axes.
        right: the right result for `flat`.
    """
    try:
        return attempt(*inputs)
    except Complaint as complaint:
        if "raises" not in str(complaint):
            raise
        try:
            same(attempt(*flat), right, name)
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
