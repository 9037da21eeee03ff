"""Checks of lesson 18: a centre square, the most probable classes, maps by head, and what hiding a place changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compare import same
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, explained
from . import exercise


@exercise(18)
def centre_square(attempt: Attempt) -> None:
    """Check wide, tall and square images, with even and odd differences; every pixel has its own numbers."""
    channels = "an image is (H, W, 3) here, channels last: slice the first two axes"
    for height, width in ((5, 8), (4, 10), (9, 4), (3, 3), (6, 3), (7, 12)):  # first a side that is not 3 or 4
        pixels = np.arange(height * width * 3, dtype=np.uint16).reshape(height, width, 3)
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        after_top, after_left = -(-(height - side) // 2), -(-(width - side) // 2)
        right = pixels[top : top + side, left : left + side]
        reasons = {
            "too many indices": channels,
            "too many values to unpack": "use pixels.shape[:2]",
            "slice indices must be integers": "divide with //, which gives an integer",
        }
        with explained(reasons):
            got = attempt(pixels)
        axis = _channels_first(pixels)
        if side < max(height, width) and np.shape(got) == axis.shape and np.array_equal(got, axis):
            raise Complaint(f"centre_square(pixels): {channels}")
        largest = max(height, width)
        known = {
            "this is the upper left corner: begin at (H - S) // 2 and (W - S) // 2": pixels[:side, :side],
            "this is the lower right corner: begin at (H - S) // 2 and (W - S) // 2": (
                pixels[height - side :, width - side :]
            ),
            "the image is returned unchanged: cut the longer side": pixels,
            "it begins one row or column too late: round (H - S) / 2 down, with //": (
                pixels[after_top : after_top + side, after_left : after_left + side]
            ),
            "rows and columns are swapped: the first axis of an image is its height": (
                pixels[left : left + side, top : top + side]
            ),
            "the square is transposed: keep the rows as axis 0": right.swapaxes(0, 1),
            "the colours are reversed: keep the last axis as it is": right[..., ::-1],
            "only one colour is left: keep the last axis": right[..., 0],
            "its end is counted from the wrong place: take S rows and S columns from the beginning of the square": (
                pixels[top:side, left:side]
            ),
            "the image is squeezed, not cut: slice it": _squeezed(pixels, side),
            "np.resize refills the shape with bytes in their order: slice the image": (
                np.resize(pixels, (side, side, 3))
            ),
            "this is a square of the larger side, filled up: S is the smaller of H and W": _padded(pixels, largest),
        }
        different = {s: wrong for s, wrong in known.items() if not _equal(wrong, right)}
        got = np.asarray(got)
        if got.ndim == 3 and got.shape[:2] != (side, side) and got.shape[2] == 3:
            for sentence, wrong in different.items():
                if _equal(wrong, got):
                    raise Complaint(f"centre_square(pixels) of ({height}, {width}, 3): {sentence}")
            if _equal(got, pixels[top : height - top, left : width - left]):
                raise Complaint(
                    f"centre_square of {height} x {width} pixels is {got.shape[0]} x {got.shape[1]}: an odd difference "
                    "leaves one too many at the end: end at top + S and left + S"
                )
            if side < largest and _equal(got, _with_larger_side(pixels)):
                raise Complaint("centre_square(pixels): S is the smaller of H and W, min(H, W), not the larger")
            if 0 in got.shape:
                raise Complaint("centre_square returns no pixels: where nothing is cut off, -0 as an end is 0: add S")
            if got.shape[0] != got.shape[1]:
                raise Complaint(
                    f"centre_square returns {got.shape[0]} x {got.shape[1]} pixels of {height} x {width}: it must be a "
                    f"square of {side} x {side}"
                )
            if _equal(got, right[:-1, :-1]):
                raise Complaint(f"centre_square returns {side - 1} x {side - 1} pixels: end at top + S, without - 1")
            if got.shape[0] == 3:
                raise Complaint("centre_square returns 3 x 3 pixels: min(pixels.shape) counts the three colours too")
            raise Complaint(
                f"centre_square returns a square of {got.shape[0]} pixels of an image of {height} x {width}: the "
                f"largest square has {side}"
            )
        same(got, right, f"centre_square(pixels) of ({height}, {width}, 3)", mistakes=different)


def _channels_first(pixels: np.ndarray) -> np.ndarray:
    """Return what code for (C, H, W) makes of (H, W, C)."""
    height, width = pixels.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


def _with_larger_side(pixels: np.ndarray) -> np.ndarray:
    """Return what slices of the larger of H and W leave of an image."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _squeezed(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return the image at side x side pixels, each the nearest one."""
    height, width = pixels.shape[:2]
    rows, columns = np.arange(side) * height // side, np.arange(side) * width // side
    return pixels[rows[:, None], columns]


def _padded(pixels: np.ndarray, side: int) -> np.ndarray:
    out = np.zeros((side, side, 3), pixels.dtype)
    top, left = (side - pixels.shape[0]) // 2, (side - pixels.shape[1]) // 2
    out[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return out


def _equal(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))


@exercise(18)
def top_classes(attempt: Attempt) -> None:
    """Check names, order and probabilities, of small and of large logits."""
    rng = np.random.default_rng(0)
    names = ("tench", "shark", "hen", "jay", "kite", "newt", "frog", "crane")
    numbers = "names is a tuple: look up one class at a time, names[i]"
    for k in (5, 2, 1):
        logits = rng.permutation(np.array([2.6, 1.9, 1.1, 0.4, -0.2, -0.9, -1.5, -2.2])).astype(np.float32)
        with explained({"tuple indices must be": numbers, "only integer scalar arrays": numbers}):
            got = _pairs(attempt(logits, names, k), names, k)
        powers = np.exp(logits.astype(np.float64))
        p = powers / powers.sum()
        best = [int(i) for i in np.argsort(-p)[:k]]
        right = [names[i] for i in best]
        found = [name for name, _ in got]
        if found != right:
            raise Complaint(f"top_classes(logits, names, {k}): {_order_sentence(found, logits, names, k)}")
        chosen = p[best]
        same(
            [probability for _, probability in got],
            chosen,
            f"the probabilities of top_classes(logits, names, {k})",
            mistakes={
                "these are the logits: apply softmax": logits[best],
                "softmax runs over the chosen classes alone: it must run over all K": chosen / chosen.sum(),
                "the powers are not divided by their sum": powers[best],
                "the powers are divided by the largest one: divide by their sum": chosen / p.max(),
                "these are percent: return probabilities from 0 to 1": 100 * chosen,
                "these are logarithms of probabilities: return probabilities": np.log(chosen),
                "this is a sigmoid of each logit: softmax divides by the sum over all classes": (
                    1 / (1 + np.exp(-logits[best]))
                ),
                "the logits are divided by their sum: take their powers first": logits[best] / logits.sum(),
                "the probabilities are in another order than the names": p[:k],
                "the softmax is of the negated logits: negate only for sorting": _softmax(-logits)[best],
            },
            tolerance=1e-5,
            check_dtype=False,
        )
    large = np.array([900.0, 901.0, 899.0, 880.0], np.float32)
    got = _pairs(attempt(large, names[:4], 2), names[:4], 2)
    probabilities = np.array([probability for _, probability in got])
    if not np.isfinite(probabilities).all():
        raise Complaint("top_classes of logits about 900 holds nan: subtract the largest logit before you take powers")
    alone = _pairs(attempt(np.array([900.0, 0.0, 0.0, 0.0], np.float32), names[:4], 1), names[:4], 1)
    if not (np.isfinite(alone[0][1]) and alone[0][0] == names[0]):
        raise Complaint("top_classes of logits 900, 0, 0, 0: exp overflows; subtract the largest logit, not the mean")
    same(
        probabilities,
        _softmax(large.astype(float))[[1, 0]],
        "top_classes of logits about 900",
        tolerance=1e-4,
        check_dtype=False,
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _pairs(got: Any, names: Sequence[str], k: int) -> list[tuple[str, float]]:
    """Return the pairs, and complain if they are not k pairs of a name and a number."""
    if isinstance(got, dict):
        raise Complaint("top_classes returns a dictionary: return a list of pairs (name, probability)")
    if isinstance(got, tuple) and len(got) == 2 and len(np.shape(got[0])) == 1 and not isinstance(got[0], tuple):
        raise Complaint("top_classes returns two lists: return one list of pairs, such as list(zip(names, values))")
    if not isinstance(got, list | tuple):
        kind = type(got).__name__
        hint = "call list(...) on it" if kind in ("zip", "map", "generator", "filter") else "return a list of pairs"
        raise Complaint(f"top_classes returns a {kind}: {hint}")
    pairs: list[tuple[str, float]] = []
    items: list[Any] = list(got)
    for pair in items:
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            what = "names alone" if isinstance(pair, str) else f"{type(pair).__name__} items"
            raise Complaint(f"top_classes returns a list of {what}: each item must be a pair (name, probability)")
        name: Any = pair[0]
        probability: Any = pair[1]
        if isinstance(probability, str):
            raise Complaint("the pairs of top_classes are turned round: the name comes first, then the probability")
        if isinstance(name, int | np.integer):
            raise Complaint("the pairs of top_classes begin with the class's number: look up its name, names[i]")
        if name not in names or np.ndim(probability):
            raise Complaint("each item of top_classes must be a pair (name, probability): a string and one number")
        pairs.append((str(name), float(probability)))
    if len(pairs) != k:
        more = " (k is not used)" if len(pairs) in (5, len(names)) else ""
        if len(pairs) in (k - 1, k + 1):
            more = ": does a slice end one too early or too late? A slice stops before its end"
        raise Complaint(f"top_classes(logits, names, {k}) returns {len(pairs)} pairs instead of {k}{more}")
    return pairs


def _order_sentence(found: list[str], logits: np.ndarray, names: tuple[str, ...], k: int) -> str:
    """Return the likely mistake behind names in a wrong order."""
    down = [names[int(i)] for i in np.argsort(-logits)]
    known = {
        "these are the least probable classes: argsort sorts upwards": [down[::-1][:k]],
        "the classes are right, but the most probable one must come first": [down[:k][::-1]],
        "these are the first classes: sort by probability": [list(names[:k])],
        "they are sorted by name: sort by probability": [sorted(down[:k]), sorted(names)[:k]],
        "the classes are right, but not from the most probable to the least": [
            [name for name in names if name in down[:k]]
        ],
        "the first class is left out: the most probable one has index 0 of the sorted ones": [down[1 : k + 1]],
        "they are sorted by the size of the logit without its sign": [
            [names[int(i)] for i in np.argsort(-np.abs(logits))[:k]]
        ],
    }
    for sentence, wrongs in known.items():
        if found in wrongs:
            return sentence
    return f"it returns {', '.join(found)} and should return {', '.join(down[:k])}"


@exercise(18)
def head_maps(attempt: Attempt) -> None:
    """Check grids that are not square, with one front token and with five."""
    rng = np.random.default_rng(1)
    for front, rows, columns in ((1, 2, 3), (5, 3, 3), (1, 4, 2)):
        heads, N = 3, rows * columns
        T = front + N
        weights = rng.random((heads, T, T)) + 0.05
        weights /= weights.sum(axis=-1, keepdims=True)
        flat = weights[:, 0, front:]
        right = flat.reshape(heads, rows, columns)
        what = f"head_maps(weights, {front}, {rows}, {columns})"
        reasons = {
            f"array of size {heads * N} into": "keep the heads: reshape(-1, rows, columns)",
            "cannot reshape": f"leave out the first {front} of the T = {T} columns, then {N} patches are left",
            "too many indices": "weights is (heads, T, T): there is no batch axis",
        }
        with explained(reasons):
            got = attempt(weights, front, rows, columns)
        if np.shape(got)[:1] == (1,):
            raise Complaint(f"{what}: only one head is left: keep all of axis 0, weights[:, 0, front:]")
        if np.shape(got)[:1] == (T,):
            raise Complaint(f"{what}: these are all rows of head 0: row 0 of every head is weights[:, 0]")
        square = np.moveaxis(right, 0, -1)
        same(
            got,
            right,
            what,
            mistakes={
                "this is the first column, the patches' attention to the class token: take row 0": (
                    weights[:, front:, 0].reshape(heads, rows, columns)
                ),
                "the last tokens are left out instead of the first: the patches begin at `front`": (
                    weights[:, 0, :N].reshape(heads, rows, columns)
                ),
                "the patches begin at `front`, which is not always 1": (
                    weights[:, 0, 1 : 1 + N].reshape(heads, rows, columns)
                ),
                "this is the mean over the heads: keep a map for each head": right.mean(axis=0),
                "this is the sum over the heads: keep a map for each head": right.sum(axis=0),
                "this is the first head alone: keep a map for each head": right[0],
                "this is the mean over the patches that ask: take the class token's row, row 0": (
                    weights[:, front:, front:].mean(axis=1).reshape(heads, rows, columns)
                ),
                "this is the mean over all tokens that ask: take the class token's row, row 0": (
                    weights.mean(axis=1)[:, front:].reshape(heads, rows, columns)
                ),
                "this is the row of the first patch: the class token is token 0": (
                    weights[:, front, front:].reshape(heads, rows, columns)
                ),
                "this is the row of the last token: the class token is token 0": (
                    weights[:, -1, front:].reshape(heads, rows, columns)
                ),
                "rows and columns are swapped: reshape to (heads, rows, columns)": flat.reshape(heads, columns, rows),
                "the patches are in column order: reading order goes row by row": (
                    flat.reshape(heads, columns, rows).swapaxes(1, 2)
                ),
                "the maps are transposed: rows come before columns": right.swapaxes(1, 2),
                "the numbers are right: reshape each head's N patches to (rows, columns)": flat,
                "the heads are the last axis: they must be the first": square,
                "each map is rescaled to the sum 1: leave the numbers as they are": (
                    right / right.sum(axis=(1, 2), keepdims=True)
                ),
                "each map is rescaled to the largest number 1: leave the numbers as they are": (
                    right / right.max(axis=(1, 2), keepdims=True)
                ),
            },
        )


@exercise(18)
def attention_mask(attempt: Attempt) -> None:
    """Check masks of several maps; a mistake is named only if it explains all of them."""
    rng = np.random.default_rng(6)
    cases = [
        (np.array([[5.0, 1.0], [3.0, 1.0]]) + np.array([[0.0, 0.25], [0.0, -0.25]]), 0.6),
        (rng.random((4, 5)) ** 3 + 0.01, 0.6),
        (rng.random((3, 7)) ** 2 / 40, 0.3),
        (2.0 ** rng.permutation(np.arange(12)).reshape(4, 3), 0.9),
        (rng.random((5, 4)) + 0.2, 0.5),
        (np.array([[4.0, 1.0], [2.0, 1.0]]), 0.75),  # where the share is reached exactly
    ]
    found = []
    for values, share in cases:
        got = np.asarray(attempt(values.copy(), share))
        what = f"attention_mask(values, {share})"
        order = np.argsort(-values, axis=None)
        held = np.cumsum(values.ravel()[order]) / values.sum()
        count = int((held < share).sum()) + 1
        right = _mask(values, order[:count])
        if got.shape == values.shape and got.dtype.kind == "f" and _equal(got, np.where(right, values, 0.0)):
            raise Complaint(f"{what} returns the values of the chosen patches: return booleans")
        if got.shape == values.shape and got.dtype.kind in "iuf" and _equal(got != 0, right):
            raise Complaint(f"{what} is right, but as {got.dtype}: return booleans, with dtype bool")
        if got.dtype.kind in "iu" and got.ndim == 1 and sorted(got) == sorted(order[:count]):
            raise Complaint(f"{what} returns the numbers of the patches: return a mask of the map's shape")
        found.append((got, right, _wrong_masks(values, share, right), what))
    if any(not _equal(got, right) for got, right, _, _ in found):
        for sentence in found[0][2]:
            if all(_equal(got, wrong[sentence]) for got, _, wrong, _ in found):
                raise Complaint(f"attention_mask: {sentence}")
    for got, right, _, what in found:
        same(got, right, what, check_dtype=False)
    whole = np.asarray(attempt(np.ones((2, 2)), 1.0))
    if not whole.all():
        raise Complaint("attention_mask(values, 1.0) leaves patches out: a share of 1 takes all of them")


def _sorted_by_row(values: np.ndarray, share: float) -> np.ndarray:
    """Return the mask that an order by rows leads to, with its column numbers taken for numbers of patches."""
    order = np.argsort(-values).ravel()
    held = np.cumsum(values.ravel()[order]) / values.sum()
    return _mask(values, order[: int((held < share).sum()) + 1])


def _wrong_masks(values: np.ndarray, share: float, right: np.ndarray) -> dict[str, np.ndarray]:
    """Return the masks that known mistakes lead to."""
    total, size = values.sum(), values.size
    order = np.argsort(-values, axis=None)
    held = np.cumsum(values.ravel()[order]) / total
    up = np.cumsum(np.sort(values, axis=None)) / total
    count = int((held < share).sum()) + 1
    reached = int((held <= share).sum())
    of_patches = "this is the share of the patches, not of their sum: add up the values, from the largest"
    alone = "each patch is compared alone: add up the values, from the largest, until they reach the share"
    return {
        "one patch is missing: the share is reached only with the next one": _mask(values, order[: count - 1]),
        "each row of the map is sorted separately: sort all values together, np.argsort(-values, axis=None)": (
            _sorted_by_row(values, share)
        ),
        "one patch is missing: count the sums that are below the share, and take one more": (
            _mask(values, order[: int((held <= share).sum())])
        ),
        "this is in the order of sorting: write True to the places, mask[order[:count]]": (
            (np.arange(size) < count - 1).reshape(values.shape)
        ),
        "one patch is too many: stop when the share is reached": _mask(values, order[: count + 1]),
        "one patch is too many, and all that are equal to it: stop when the share is reached": (
            values >= values.ravel()[order[min(count, size - 1)]]
        ),
        "one patch is too many where the share is reached exactly: go on only while the sum is smaller": (
            _mask(values, order[: reached + 1])
        ),
        "more are taken where the share is reached exactly: go on only while the sum is smaller": (
            values >= values.ravel()[order[min(reached, size - 1)]]
        ),
        "these are the patches with the smallest values: sort downwards": (
            _mask(values, order[::-1][: int((up < share).sum()) + 1])
        ),
        "these are the patches with the smallest values, and one is missing: sort downwards": (
            _mask(values, order[::-1][: int((up < share).sum())])
        ),
        f"{of_patches}, rounded": _mask(values, order[: round(share * size)]),
        of_patches: _mask(values, order[: int(share * size)]),
        f"{of_patches}, rounded up": _mask(values, order[: int(np.ceil(share * size))]),
        "the values are not divided by their sum: a map need not add up to 1": (
            _mask(values, order[: int((held * total < share).sum()) + 1])
        ),
        "the values are divided by the largest one: divide by their sum": (
            _mask(values, order[: int((held * total / values.max() < share).sum()) + 1])
        ),
        f"{alone} (it is compared with the share)": values > share,
        f"{alone} (it is compared with a share of the largest)": values > share * values.max(),
        f"{alone} (it is compared with that share of the largest)": values >= share * values.max(),
        f"{alone} (it is compared with that share)": values >= share,
        f"{alone} (it is compared with that share of the sum)": values >= share * total,
        "each patch is compared with a quantile: a share of the patches is not a share of their sum": (
            values >= np.quantile(values, 1 - share)
        ),
        "each patch is compared with the quantile of `share`: add up the values, from the largest": (
            values >= np.quantile(values, share)
        ),
        "each patch is compared with the quantile of the share: add up the values, from the largest": (
            values > np.quantile(values, share)
        ),
        f"{alone} (it is compared with a share of the sum)": values > share * total,
        f"{alone} (it is compared with a share of the mean)": values > share * values.mean(),
        f"{alone} (it is compared with the mean)": values > values.mean(),
        "each patch is compared with a quantile: that is a share of the patches, not of their sum": (
            values > np.quantile(values, 1 - share)
        ),
        "the patches are added up in reading order: sort them first": (
            (np.cumsum(values) / total < share).reshape(values.shape)
        ),
        "the patches are added up in reading order, and one more: sort them first": (
            _mask(values, np.arange(min(size, int((np.cumsum(values) / total < share).sum()) + 1)))
        ),
        "each row is treated separately: take the share of the whole map": np.array(
            [
                _mask(row, (down := np.argsort(-row))[: int((np.cumsum(row[down]) / row.sum() < share).sum()) + 1])
                for row in values
            ]
        ),
        "True and False are swapped: the chosen patches are True": ~right,
        "the mask is in the order of the sorted values: put each True back to its patch": (
            (np.arange(size) < count).reshape(values.shape)
        ),
        "what is kept is 1 - share: sort downwards, or keep what is above 1 - share": (
            _mask(values, order[: int((held < 1 - share).sum()) + 1])
        ),
    }


def _mask(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    mask = np.zeros(values.size, bool)
    mask[chosen] = True
    return mask.reshape(values.shape)


class _Classifier:
    """Probabilities of three classes of images (B, H, W, 3), by fixed random weights of each pixel."""

    def __init__(self, shape: tuple[int, ...], seed: int):
        self.shape = shape
        self.weights = np.random.default_rng(seed).standard_normal((*shape, 3))

    def __call__(self, images: Any) -> np.ndarray:
        array = np.asarray(images)
        if array.shape == self.shape:
            raise Complaint("occlusion_map calls predict with a single image: it takes a batch, such as image[None]")
        if array.ndim != 4 or array.shape[1:] != self.shape:
            raise Complaint(
                f"occlusion_map calls predict with shape {array.shape}: it takes images (B, {str(self.shape)[1:-1]})"
            )
        if array.dtype != np.uint8:
            raise Complaint(
                f"occlusion_map calls predict with {array.dtype}: keep the image's integers from 0 to 255, uint8"
            )
        logits = np.einsum("bhwc,hwck->bk", array / 127.5 - 1.0, self.weights) / 6
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


@exercise(18)
def occlusion_map(attempt: Attempt) -> None:
    """Check images that are not square, with a classifier for which every pixel counts."""
    for (height, width), side, fill, label in (((4, 6), 2, 128, 0), ((6, 4), 2, 0, 2), ((6, 9), 3, 200, 1)):
        image = np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)
        predict = _Classifier((height, width, 3), seed=height + width)
        grid = (height // side, width // side)
        whole = predict(image[None])[0]
        hidden = _hidden(image, side, fill, predict)
        right = whole[label] - hidden[..., label]
        black, grey = _hidden(image, side, 0, predict), _hidden(image, side, 128, predict)
        moved = _hidden(image, side, fill, predict, step=1, grid=grid)
        kept = _hidden(image, side, fill, predict, stay=True)
        others = _hidden(image, side, fill, predict, others=True)
        rows = _hidden(image, side, fill, predict, across=False)
        one = _hidden(image, side, fill, predict, channels=1)
        turned = np.full(grid, np.nan)
        for row, column in np.ndindex(grid):
            if column < grid[0] and row < grid[1]:
                turned[row, column] = right[column, row]
        turned_over = np.zeros(grid)
        for row, column in np.ndindex(grid):
            over = image.copy()
            over[column * side : (column + 1) * side, row * side : (row + 1) * side] = fill
            turned_over[row, column] = whole[label] - predict(over[None])[0, label]
        first = "predict returns an array (B, K): take row 0 and column `label`, [0, label]"
        reasons = {
            "setting an array element": first,
            "out of bounds": first,
            "only length-1": first,
            "0-dimensional": first,
        }
        with explained(reasons):
            got = attempt(predict, image, label, side, fill)
        known: dict[str, Any] = {
            "the sign is wrong: whole image minus hidden, so that a fall is positive": -right,
            "these are the probabilities with a place hidden: subtract them from that of the whole image": (
                hidden[..., label]
            ),
            "the fall is a share of the probability: subtract, do not divide": right / whole[label],
            "this is a quotient: subtract the two probabilities": hidden[..., label] / whole[label],
            "the size of the change is taken: keep its sign": np.abs(right),
            "a rise is set to 0: keep negative numbers": np.maximum(right, 0.0),
            "the squares stay hidden from place to place: make a new copy of the image for each": (
                whole[label] - kept[..., label]
            ),
            "everything but the square is hidden: set the square alone to `fill`": whole[label] - others[..., label],
            "whole rows are hidden: limit the columns too": whole[label] - rows[..., label],
            "only one colour is hidden: set all three": whole[label] - one[..., label],
            "the square moves by one pixel: place (row, column) begins at row * side and column * side": (
                whole[label] - moved[..., label]
            ),
            "the square is black: use `fill`": whole[label] - black[..., label],
            "the square is always 128: use `fill`": whole[label] - grey[..., label],
            "it follows the largest probability: follow that of class `label`": whole.max() - hidden.max(axis=-1),
            "it follows the largest probability of the hidden image: follow that of class `label`": (
                whole[label] - hidden.max(axis=-1)
            ),
            "it follows class 0: follow class `label`": whole[0] - hidden[..., 0],
            "only the first place is hidden: a slice that begins at row * side ends at (row + 1) * side": (
                np.where(np.arange(right.size).reshape(grid) == 0, right, 0.0)
            ),
            "nothing is hidden, or the changed copy is not what predict gets": np.zeros(grid),
            "row and column are swapped: the first axis is that of rows, row * side": turned_over,
        }
        same(
            got,
            right,
            f"occlusion_map(predict, image, {label}, {side}, {fill})",
            mistakes={s: w for s, w in known.items() if not (np.shape(w) == grid and np.allclose(w, right))},
            tolerance=1e-5,
            check_dtype=False,
        )


def _hidden(
    image: np.ndarray, side: int, fill: int, predict: _Classifier, *, step: int = 0,
    grid: tuple[int, int] | None = None, stay: bool = False, others: bool = False, across: bool = True,
    channels: int = 3,
) -> np.ndarray:  # fmt: skip
    """Return the probabilities (h, w, K) with each place hidden; the options are the known mistakes."""
    h, w = grid or (image.shape[0] // side, image.shape[1] // side)
    step = step or side
    out = np.zeros((h, w, 3))
    hidden = image.copy()
    for row in range(h):
        for column in range(w):
            if not stay:
                hidden = image.copy()
            down = slice(row * step, row * step + side)
            right = slice(column * step, column * step + side) if across else slice(None)
            if others:
                hidden = np.full_like(image, fill)
                hidden[down, right] = image[down, right]
            else:
                hidden[down, right, :channels] = fill
            out[row, column] = predict(hidden[None])[0]
    return out


@exercise(18, stretch=True)
def spread_map(attempt: Attempt) -> None:
    """Check the numbers first, then that the line uses nothing but products and reshapes."""
    rng = np.random.default_rng(4)
    for rows, columns, P in ((2, 3, 2), (3, 2, 4), (1, 4, 3)):
        values = rng.standard_normal((rows, columns))
        right = np.repeat(np.repeat(values, P, axis=0), P, axis=1)
        with explained({"could not be broadcast": "give values axes of length 1, reshape(rows, 1, columns, 1)"}):
            got = attempt(values, rows, columns, P)
        same(
            got,
            right,
            f"spread_map(values, {rows}, {columns}, {P})",
            mistakes={
                "this is the small map P times in each direction: put each new axis behind its own": (
                    np.tile(values, (P, P))
                ),
                "the copies of a patch are all in one row: the new axes belong behind `rows` and behind `columns`": (
                    np.repeat(values, P * P).reshape(rows * P, columns * P)
                ),
                "rows are tiled, columns repeated: put the new axis behind `rows`": (
                    np.tile(np.repeat(values, P, axis=1), (P, 1))
                ),
                "columns are tiled, rows repeated: put the new axis behind `columns`": (
                    np.tile(np.repeat(values, P, axis=0), (1, P))
                ),
                "only the rows are repeated: repeat the columns too": np.repeat(values, P, axis=0),
                "only the columns are repeated: repeat the rows too": np.repeat(values, P, axis=1),
                "the copies are right: reshape (rows, P, columns, P) to two axes": (right.reshape(rows, P, columns, P)),
                "rows and columns are swapped at the end": right.reshape(columns * P, rows * P),
                "each copy is divided by their number: multiply by ones": right / P**2,
                "this is zero-filled: each number must be in all P x P places": _corners(values, P),
            },
        )
    uses_only(attempt, "*", "reshape", "ones", "-")


def _corners(values: np.ndarray, P: int) -> np.ndarray:
    out = np.zeros((values.shape[0] * P, values.shape[1] * P))
    out[::P, ::P] = values
    return out
