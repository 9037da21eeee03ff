"""Checks of lesson 13: positions for another grid, weights for another task, a head on frozen features."""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np

from ..compare import same
from ..trial import Attempt, Complaint, explained
from . import exercise


@exercise(13)
def interpolation_weights(attempt: Attempt) -> None:
    """Check against NumPy's interpolation of arrays in which one old position is 1 and the others are 0."""
    for before, after in ((3, 5), (8, 12), (5, 3), (4, 4), (2, 7)):
        places = np.linspace(0, before - 1, after)
        right = np.stack([np.interp(places, np.arange(before), unit) for unit in np.eye(before)], axis=1)
        centres = (np.arange(after) + 0.5) * before / after - 0.5
        edges = np.stack([np.interp(centres, np.arange(before), unit) for unit in np.eye(before)], axis=1)
        short = np.maximum(0.0, 1.0 - np.abs(np.arange(after)[:, None] * before / after - np.arange(before)))
        left = np.minimum(np.floor(places).astype(int), before - 2)
        share = places - left
        near = np.arange(before)
        beyond = np.linspace(0, before, after)
        flipped = np.arange(after) * (after - 1) / (before - 1)
        swapped = np.zeros((after, before))
        swapped[np.arange(after), left], swapped[np.arange(after), left + 1] = share, 1.0 - share
        crossed = np.zeros((after, before + 1))
        whole = np.floor(places).astype(int)
        crossed[np.arange(after), whole], crossed[np.arange(after), whole + 1] = places - whole, 1.0 - (places - whole)
        crossed = crossed[:, :before]
        inverse = 1.0 / (np.abs(places[:, None] - near) + 1e-9)
        shares = np.linspace(0, 1, after)[:, None] - np.linspace(0, 1, before)
        with explained(
            {
                "raises IndexError": "the last new place has no old one on its right: use left = min(left, before - 2)",
                "could not be broadcast": "make the places a column, places[:, None], and subtract the old places",
                "truth value of an array": "max compares two numbers: np.maximum works element by element",
                "integer scalar arrays": "np.max finds the largest of one array: np.maximum compares two",
            }
        ):
            got = attempt(before, after)
        same(
            got,
            right,
            f"interpolation_weights({before}, {after})",
            mistakes={
                "the edges of the rows are aligned: align the first and the last positions": edges,
                "the edges of the rows are aligned, with i + ½: align the first and the last positions": (
                    np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(before)))
                ),
                "the two weights are swapped: the old place on the left gets 1 - (x - j), the next one x - j": crossed,
                "`before` and `after` are exchanged: a row for each of the `after` new places": np.stack(
                    [np.interp(np.linspace(0, after - 1, before), np.arange(after), unit) for unit in np.eye(after)],
                    axis=1,
                )
                if before != after
                else 0.0,
                "the last new position misses the last old one: multiply by (before - 1) / (after - 1)": short,
                "the two weights are swapped: the nearer position must get the larger one": swapped,
                "each new position takes only the nearest old one: interpolate between two": (
                    np.eye(before)[np.rint(places).astype(int)]
                ),
                "a distance above 1 gives a negative weight: it must give 0": (
                    1.0 - np.abs(places[:, None] - np.arange(before))
                ),
                "these are the distances: the weight is 1 minus the distance, and at least 0": (
                    np.abs(places[:, None] - np.arange(before))
                ),
                "it is transposed: make a row for each new position": right.T,
                "abs is missing: a distance is never negative": np.maximum(0.0, 1.0 - (places[:, None] - near)),
                "the distance is squared: subtract the distance itself from 1": (
                    np.maximum(0.0, 1.0 - (places[:, None] - near) ** 2)
                ),
                "the weights are inverse distances: use 1 minus the distance": (
                    inverse / inverse.sum(axis=1, keepdims=True)
                ),
                "the rows are not scaled to old places: measure in steps of the old row, from 0 to before - 1": (
                    np.maximum(0.0, 1.0 - np.abs(shares))
                ),
                "the weights fall off exponentially: linear interpolation uses 1 minus the distance": (
                    np.exp(-np.abs(places[:, None] - near))
                ),
                "the last new position is at `before`: the last old one is before - 1": (
                    np.maximum(0.0, 1.0 - np.abs(beyond[:, None] - near))
                ),
                "the positions are divided by `after`: the last one needs after - 1": (
                    np.maximum(0.0, 1.0 - np.abs(np.arange(after)[:, None] * (before - 1) / after - near))
                ),
                "the factor is upside down: multiply i by (before - 1) / (after - 1)": (
                    np.maximum(0.0, 1.0 - np.abs(flipped[:, None] - near))
                ),
                "each new position takes only the old one on its left: interpolate between two": (
                    np.eye(before)[np.floor(places).astype(int)]
                ),
                "these are the positions of the new places: turn them into weights": places,
                "the weights are scaled to sum 1 over the wrong axis: each row has sum 1": right / right.sum(axis=0),
                "each distance is divided by the sum of all: subtract the distance itself from 1": (
                    1 - np.abs(places[:, None] - near) / np.abs(places[:, None] - near).sum(axis=1, keepdims=True)
                ),
            },
        )


@exercise(13)
def resize_positions(attempt: Attempt) -> None:
    """Check grids that are not square, by the four neighbours of each new position."""
    rng = np.random.default_rng(0)
    D = 3
    for before, after in (((3, 4), (5, 7)), ((4, 3), (2, 6)), ((2, 3), (2, 3))):
        table = rng.standard_normal((1, 1 + before[0] * before[1], D))
        front, patches = table[:, :1], table[0, 1:]
        count = after[0] * after[1]
        right = np.concatenate([front, _bilinear(patches.reshape(*before, D), after).reshape(1, count, D)], axis=1)
        turned = _bilinear(patches.reshape(before[1], before[0], D), (after[1], after[0])).reshape(1, count, D)
        columns = _bilinear(patches.reshape(*before, D), after).transpose(1, 0, 2).reshape(1, count, D)
        nearest = patches.reshape(*before, D)[
            np.rint(np.linspace(0, before[0] - 1, after[0])).astype(int)[:, None],
            np.rint(np.linspace(0, before[1] - 1, after[1])).astype(int),
        ].reshape(1, count, D)
        larger = right[0, 1:].reshape(*after, D).transpose(2, 0, 1)  # (D, h', w')
        mixed = _bilinear(patches.reshape(D, *before).transpose(1, 2, 0), after).reshape(1, count, D)
        shapes = "R works on h and S.T on w: use R @ grid @ S.T with a grid (D, h, w)"
        joined = "join (1, 1, D) and (1, h' * w', D) along axis 1: reshape the grid to rows first"
        swapped = _bilinear(patches.reshape(before[1], before[0], D).swapaxes(0, 1), after).reshape(1, count, D)
        last = _bilinear(table[0, :-1].reshape(*before, D), after).reshape(1, count, D)
        with explained(
            {
                "matmul": shapes,
                "concatenation axis": joined,
                "same number of dimensions": "the class token's row is table[:, :1], of shape (1, 1, D)",
                "cannot reshape": "the grid is (h, w, D) before and (h' * w', D) after",
            }
        ):
            got = attempt(table, before, after)
        same(
            got,
            right,
            f"resize_positions(table, {before}, {after})",
            mistakes={
                "the class token's row is missing: keep it in front, unchanged": right[:, 1:],
                "the class token's row is last: it must be row 0": (
                    np.concatenate([right[:, 1:], right[:, :1]], axis=1)
                ),
                "the class token is taken from the last row: it is row 0, and the patches begin at row 1": (
                    np.concatenate([table[:, -1:], last], axis=1)
                ),
                "the rows are reshaped to (D, h, w), and back without a transpose: reshape to (h, w, D) first": (
                    np.concatenate([front, mixed.reshape(*after, D).transpose(2, 0, 1).reshape(1, count, D)], axis=1)
                ),
                "the class token's row is zeros: keep it unchanged": (
                    np.concatenate([0.0 * front, right[:, 1:]], axis=1)
                ),
                "it is interpolated along the sequence: reshape the rows to a grid of h x w first": (
                    np.concatenate([front, _along(patches, count)[None]], axis=1)
                ),
                "the class token is interpolated too: keep it unchanged": _along(table[0], 1 + count)[None],
                "rows and columns of the old grid are swapped: reshape to (h, w, D)": (
                    np.concatenate([front, turned], axis=1)
                ),
                "the new patches are in column order: go through the grid row by row": (
                    np.concatenate([front, columns], axis=1)
                ),
                "D is still the first axis when the grid is flattened: transpose back with (1, 2, 0) first": (
                    np.concatenate([front, larger.reshape(1, count, D)], axis=1)
                ),
                "the rows are reshaped to (D, h, w), which mixes channels: reshape to (h, w, D), then transpose": (
                    np.concatenate([front, mixed], axis=1)
                ),
                "the last row is left out instead of the class token's, which is row 0: use table[0, 1:]": (
                    np.concatenate([front, last], axis=1)
                ),
                "the rows are reshaped to (w, h, D): the grid is (h, w, D), in reading order": (
                    np.concatenate([front, swapped], axis=1)
                ),
                "the class token's row is missing and the grid is not flattened": right[0, 1:].reshape(*after, D),
                "the first axis is missing: return (1, 1 + h' * w', D)": right[0],
                "this is the old table: use the resized grid": table if before != after else 0.0,
                "each new patch takes only the nearest old one: interpolate with R and S": (
                    np.concatenate([front, nearest], axis=1)
                ),
            },
        )
    table = rng.standard_normal((1, 5, D)).astype(np.float32)
    got = attempt(table, (2, 2), (3, 3))
    if getattr(got, "dtype", None) != np.float32:
        raise Complaint(
            f"resize_positions makes {getattr(got, 'dtype', type(got).__name__)} of a float32 table: end with "
            ".astype(table.dtype)"
        )


@exercise(13)
def adapt_weights(attempt: Attempt) -> None:
    """Check every array, with new classes and without."""
    rng = np.random.default_rng(1)
    D, old = 4, 7
    weights = {
        "embedding.weight": rng.standard_normal((12, D)).astype(np.float32),
        "cls": rng.standard_normal((1, 1, D)).astype(np.float32),
        "positions.embedding": rng.standard_normal((1, 7, D)).astype(np.float32),
        "blocks.0.norm1.weight": rng.standard_normal(D).astype(np.float32),
        "head.weight": rng.standard_normal((D, old)).astype(np.float32),
        "head.bias": rng.standard_normal(old).astype(np.float32),
    }
    before, after = (2, 3), (4, 5)
    table = weights["positions.embedding"]
    resized = _bilinear(table[0, 1:].reshape(*before, D), after).reshape(1, 20, D)
    resized = np.concatenate([table[:, :1], resized], axis=1).astype(np.float32)
    for K, shown in ((3, "K=3"), (None, "K=None")):
        reasons = {
            "cannot reshape": "resize from `before` to `after`, in this order",
            "'NoneType' object cannot be": "K may be None: then keep the old head",
        }
        with explained(reasons):
            got = attempt(weights, before, after, K)
        if not isinstance(got, dict):
            raise Complaint(f"adapt_weights returns a {type(got).__name__}: return a dictionary of arrays")
        _same_names(set(got), set(weights))
        right = {**weights, "positions.embedding": resized}
        mistakes = {"this is the old table: resize it from `before` to `after`": table}
        if K is not None:
            right["head.weight"], right["head.bias"] = np.zeros((D, K), np.float32), np.zeros(K, np.float32)
        for name, array in got.items():
            if not isinstance(array, np.ndarray):
                raise Complaint(f'adapt_weights(...)["{name}"] is a {type(array).__name__}: it must be an array')
        for name in ("positions.embedding", "head.weight", "head.bias", *weights):
            what = f'adapt_weights(weights, {before}, {after}, {shown})["{name}"]'
            if K is None and name.startswith("head.") and not np.any(got[name]):
                raise Complaint(f"{what}: the head is zeros, but K=None keeps the old one")
            if name.startswith("head."):
                mistakes = _head_mistakes(weights[name], right[name], K)
                if K is not None and np.shape(got[name]) == right[name].shape and np.any(got[name]):
                    raise Complaint(f"{what} is not zero: start a new head at zero, with zero logits")
            same(got[name], right[name], what, mistakes)


def _head_mistakes(old: np.ndarray, right: np.ndarray, K: int | None) -> dict[str, Any]:
    if K is None:
        return {"the head is zeros: keep the old head if K is None": np.zeros_like(old)}
    return {
        "this is the old head: make a new one for new classes": old,
        'its first axis is the old number of classes: it is D, weights["head.weight"].shape[0]': (
            np.zeros((old.shape[-1], right.shape[-1]))
        ),
        "it has zeros for the old number of classes: use K classes": np.zeros_like(old),
        "it is transposed: the head's weight is (D, K)": right.T if right.ndim == 2 else old,
        "it has an axis of length 1 more: the bias is (K,)": right[None],
    }


def _same_names(got: set[str], right: set[str]) -> None:
    if missing := sorted(right - got):
        raise Complaint(f"adapt_weights leaves out {', '.join(missing)}: return unchanged arrays too")
    if more := sorted(got - right):
        raise Complaint(f"adapt_weights returns {', '.join(more)}, which the model does not have")


@exercise(13)
def train_head(attempt: Attempt) -> None:
    """Check against the gradient by hand, in float64."""
    rng = np.random.default_rng(2)
    features = rng.standard_normal((6, 4)).astype(np.float32)
    labels = np.array([0, 2, 1, 2, 0, 2])
    for steps in (4, 1):
        with explained(
            {
                "'NoneType'": "a gradient is None: is loss.backward() missing? is W still a parameter?",
                "matmul": "the weight is (D, K), and D is features.shape[1]",
                "could not be broadcast": "does the weight have its own m, and the bias its own?",
            }
        ):
            got = attempt(features, labels, 3, steps, 0.5)
        if not (isinstance(got, tuple | list) and len(got) == 2):
            raise Complaint("train_head must return two arrays: return weight, bias")
        if any(hasattr(part, "backward") for part in got):
            raise Complaint("train_head returns Tensors: return arrays, the Tensors' .data")
        if [np.shape(part) for part in got] == [(3,), (4, 3)]:
            raise Complaint("train_head returns the bias first: return weight, bias")
        without_bias = _trained(features, labels, 3, steps, use_bias=False)[0]
        if not np.any(got[1]) and np.shape(got[0]) == (4, 3) and np.allclose(got[0], without_bias, atol=1e-4):
            raise Complaint("train_head leaves the bias at zero: it has a gradient and an m, like the weight")
        weight, bias = _trained(features, labels, 3, steps)
        known = {
            "this is plain SGD: the momentum is missing, or m begins at 0 again in each step": (
                _trained(features, labels, 3, steps, momentum=0.0)
            ),
            "the step uses the old m: compute the new m first": _trained(features, labels, 3, steps, late=True),
            "m takes only a tenth of the gradient: use m = 0.9 m + g": _trained(features, labels, 3, steps, share=0.1),
            "the gradient is of the sum over the images: the loss is their mean": (
                _trained(features, labels, 3, steps, count=1)
            ),
            "the step is added: subtract it, and use p - t as gradient of the logits": _trained(
                features, labels, 3, steps, lr=-0.5
            ),
            "the bias is not updated": (weight, np.zeros(3)),
            "the bias moves without momentum: it needs its own m": (
                _trained(features, labels, 3, steps, bias_momentum=0.0)
            ),
            "the bias's gradient is divided by the number of images twice": (
                _trained(features, labels, 3, steps, bias_share=1 / len(features))
            ),
            "old gradients are added up: clear .grad, or make new parameters, at each step": (
                _trained(features, labels, 3, steps, keep=True)
            ),
            "the learning rate is missing: w - lr * m": _trained(features, labels, 3, steps, lr=1.0),
            "only one step is taken: is `return` inside the loop?": _trained(features, labels, 3, 1),
            "weight and bias stay at zero: is w = w - lr * m missing?": (np.zeros((4, 3)), np.zeros(3)),
            "it takes one step too many": _trained(features, labels, 3, steps + 1),
            "lr is used twice: put it into m or into w - lr * m, not into both": (
                _trained(features, labels, 3, steps, lr=0.25)
            ),
            "m holds only the last gradient: use m = 0.9 m + g, and then w - lr * m": _slipped(features, labels, steps),
            "it takes one step too few": _trained(features, labels, 3, steps - 1),
            "the gradient is of a squared error: put softmax into the loss": (
                _trained(features, labels, 3, steps, softmax=False)
            ),
            "the bias is not added to the logits": _trained(features, labels, 3, steps, use_bias=False),
            "softmax runs over the images: it must run over the classes, axis=1": _over_images(
                features, labels, 3, steps
            ),
            "the momentum is 0.99: use 0.9": _trained(features, labels, 3, steps, momentum=0.99),
            "the momentum is 1 - 0.9: use 0.9": _trained(features, labels, 3, steps, momentum=0.1),
            "the momentum is 0.5: use 0.9": _trained(features, labels, 3, steps, momentum=0.5),
        }
        what = f"train_head(features, labels, 3, {steps}, 0.5)"
        for i, (part, right) in enumerate((("weight", weight), ("bias", bias))):
            if i == 0 and np.shape(got[0]) == weight.shape and _random_start(attempt, features, labels):
                raise Complaint("train_head does not start at zero: with 0 steps the weight is not 0")
            same(
                got[i],
                right,
                f"the {part} of {what}",
                mistakes={sentence: wrong[i] for sentence, wrong in known.items()},
                tolerance=1e-4,
                check_dtype=False,
            )


def _random_start(attempt: Attempt, features: np.ndarray, labels: np.ndarray) -> bool:
    try:
        start = np.asarray(attempt(features, labels, 3, 0, 0.5)[0])
        return bool(np.any(start)) and not np.allclose(start, _trained(features, labels, 3, 1)[0], atol=1e-4)
    except Exception:  # an attempt need not be able to take no step
        return False


def _over_images(features: np.ndarray, labels: np.ndarray, K: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias if softmax runs over the images."""
    x, B, lr = features.astype(np.float64), len(features), 0.5
    weight, bias = np.zeros((x.shape[1], K)), np.zeros(K)
    m_weight, m_bias = np.zeros_like(weight), np.zeros_like(bias)
    for _ in range(steps):
        powers = np.exp(x @ weight + bias)
        dlogits = (powers / powers.sum(axis=0) - np.eye(K)[labels]) / B
        m_weight, m_bias = 0.9 * m_weight + x.T @ dlogits, 0.9 * m_bias + dlogits.sum(axis=0)
        weight, bias = weight - lr * m_weight, bias - lr * m_bias
    return weight, bias


def _trained(
    features: np.ndarray, labels: np.ndarray, K: int, steps: int, *, lr: float = 0.5, momentum: float = 0.9,
    share: float = 1.0, count: int = 0, softmax: bool = True, use_bias: bool = True,
    bias_momentum: float | None = None, bias_share: float = 1.0, keep: bool = False, late: bool = False,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return weight and bias after some steps; the options are the known mistakes."""
    x, (B, D) = features.astype(np.float64), features.shape
    weight, bias = np.zeros((D, K)), np.zeros(K)
    m_weight, m_bias = np.zeros((D, K)), np.zeros(K)
    g_weight, g_bias = np.zeros((D, K)), np.zeros(K)
    for _ in range(steps):
        if not keep:
            g_weight, g_bias = np.zeros((D, K)), np.zeros(K)
        for image, label in zip(x, labels, strict=True):
            logits = image @ weight + (bias if use_bias else 0.0)
            p = np.exp(logits) / np.exp(logits).sum() if softmax else logits
            dlogits = (p - (np.arange(K) == label)) / (count or B)
            g_weight += np.outer(image, dlogits)
            g_bias += bias_share * dlogits
        if late:
            weight, bias = weight - lr * m_weight, bias - lr * m_bias
        m_weight = momentum * m_weight + share * g_weight
        m_bias = (momentum if bias_momentum is None else bias_momentum) * m_bias + share * g_bias
        if not late:
            weight, bias = weight - lr * m_weight, bias - lr * m_bias
    return weight, bias


@exercise(13, stretch=True)
def edge_weights(attempt: Attempt) -> None:
    """Check against areas: cell by cell, in plain Python."""
    for before, after in ((4, 2), (3, 5), (8, 5), (4, 4), (7, 2)):
        right = _edges(before, after)
        step = before / after
        same(
            attempt(before, after),
            right,
            f"edge_weights({before}, {after})",
            mistakes={
                "the corners are aligned: align the edges, with centres at (i + ½) · before / after - ½": _triangles(
                    np.linspace(0, before - 1, after), before, max(step, 1.0)
                ),
                "the corners are aligned and the triangle is not widened": _triangles(
                    np.linspace(0, before - 1, after), before, 1.0
                ),
                "the triangle is not widened when the row becomes shorter: divide the distance by d": _triangles(
                    _centres(before, after), before, 1.0
                ),
                "the triangle becomes narrower when the row becomes longer: d is at least 1": _triangles(
                    _centres(before, after), before, step
                ),
                "the - ½ is missing: old place j is at j, and the row begins at -½": _triangles(
                    _centres(before, after) + 0.5, before, max(step, 1.0)
                ),
                "the halves are missing: a new place is the middle of its cell": _triangles(
                    np.arange(after) * step, before, max(step, 1.0)
                ),
                "the rows are not divided by their sums": _triangles(
                    _centres(before, after), before, max(step, 1.0), to_one=False
                ),
                "all numbers are divided by one sum: divide each row by its own": right / after,
                "the new places are edges of cells: they are the middles": _triangles(
                    np.linspace(-0.5, before - 0.5, after), before, max(step, 1.0)
                ),
                "the columns are divided by their sums: each row must add up to 1": (
                    (raw := _triangles(_centres(before, after), before, max(step, 1.0), to_one=False)) / raw.sum(axis=0)
                ),
                "it is transposed: make a row for each new place": right.T,
            },
        )


def _centres(before: int, after: int) -> np.ndarray:
    return (np.arange(after) + 0.5) * before / after - 0.5


def _edges(before: int, after: int) -> np.ndarray:
    d = max(before / after, 1.0)
    rows = []
    for i in range(after):
        middle = (2 * i + 1) * before / (2 * after)  # measured from the left edge
        row = [max(0.0, d - abs(middle - (j + 0.5))) for j in range(before)]
        rows.append([share / sum(row) for share in row])
    return np.array(rows)


def _triangles(places: np.ndarray, before: int, width: float, to_one: bool = True) -> np.ndarray:
    shares = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(before)) / width)
    return shares / shares.sum(axis=1, keepdims=True) if to_one else shares


def _slipped(features: np.ndarray, labels: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias if each step adds 0.9 times the last gradient, instead of lr times the sum m."""
    x, one_hot = features.astype(np.float64), np.eye(3)[labels]
    weight, bias, last_weight, last_bias = np.zeros((x.shape[1], 3)), np.zeros(3), 0.0, 0.0
    for _ in range(steps):
        p = np.exp(x @ weight + bias)
        d = (p / p.sum(axis=1, keepdims=True) - one_hot) / len(x)
        weight = weight - 0.5 * x.T @ d + 0.9 * last_weight
        bias = bias - 0.5 * d.sum(axis=0) + 0.9 * last_bias
        last_weight, last_bias = x.T @ d, d.sum(axis=0)
    return weight, bias


def _bilinear(grid: np.ndarray, after: tuple[int, int]) -> np.ndarray:
    """Return a grid (h, w, D) at another size, from the four neighbours of each new position."""
    h, w, D = grid.shape
    out = np.zeros((*after, D))
    for i in range(after[0]):
        for j in range(after[1]):
            y, x = i * (h - 1) / (after[0] - 1), j * (w - 1) / (after[1] - 1)
            top, left = min(floor(y), h - 2), min(floor(x), w - 2)
            for row in (top, top + 1):
                for column in (left, left + 1):
                    out[i, j] += (1 - abs(y - row)) * (1 - abs(x - column)) * grid[row, column]
    return out


def _along(rows: np.ndarray, count: int) -> np.ndarray:
    """Return rows (N, D) interpolated along N to (count, D)."""
    places = np.linspace(0, len(rows) - 1, count)
    return np.stack([np.interp(places, np.arange(len(rows)), column) for column in rows.T], axis=1)
