"""Checks of lesson 14: padding, one window, a convolution of a batch and of one line, group normalisation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, NotDone, Unexplained, explained
from . import exercise


@contextlib.contextmanager
def _named(reasons: Mapping[str, str]) -> Iterator[None]:
    """Replace a complaint that contains a known text by the mistake that leads to it."""
    try:
        yield
    except Complaint as complaint:
        for part, sentence in reasons.items():
            if not isinstance(complaint, NotDone) and part in complaint.full:
                raise Complaint(sentence) from complaint
        raise


PADDINGS = ((224, 7, 2), (112, 3, 2), (32, 3, 1), (10, 4, 1), (9, 3, 2), (8, 4, 4), (8, 1, 2), (7, 5, 3), (8, 3, 3))


@exercise(14)
def same_padding(attempt: Attempt) -> None:
    """Check against the least padding that leaves room for every window, found by counting."""
    found, right = [], []
    for H, h, s in PADDINGS:
        got = attempt(H, h, s)
        if not (isinstance(got, tuple | list) and len(got) == 2):
            raise Complaint(f"same_padding({H}, {h}, {s}) must be a pair of integers, (before, after), not {got!r:.60}")
        found.append(tuple(got))
        windows = len(range(0, H, s))  # one begins at every s-th pixel
        missing = 0
        while H + missing < (windows - 1) * s + h:
            missing += 1
        right.append((missing // 2, missing - missing // 2))
    if found == right:
        if not all(isinstance(side, int | np.integer) for pair in found for side in pair):
            raise Complaint("same_padding has the right numbers, but not as integers: divide with // instead of /")
        return
    first = next(i for i, pair in enumerate(found) if pair != right[i])
    H, h, s = PADDINGS[first]
    what = f"same_padding({H}, {h}, {s}) must be {right[first]}, not {found[first]}"
    for sentence, total in {
        "the padding is negative where nothing is missing: it must be at least 0": lambda H, h, s: (
            (-(-H // s) - 1) * s + h - H
        ),
        "round the number of windows up, ⌈H / s⌉": lambda H, h, s: max(0, (H // s - 1) * s + h - H),
        "do not round the number of windows to the nearest: round up": (
            lambda H, h, s: max(0, (round(H / s) - 1) * s + h - H)
        ),
        "nothing is ever missing: the last of ⌈H / s⌉ windows begins at (windows - 1) * s and needs h pixels": (
            lambda H, h, s: 0
        ),
        "the last window begins at (windows - 1) * s, not at windows * s": (
            lambda H, h, s: max(0, -(-H // s) * s + h - H)
        ),
        "if s divides H, there are H / s windows and not one more: the last has s pixels of the row, not 0": (
            lambda H, h, s: max(0, h - H % s)
        ),
        "this is h pixels in all: with stride 1 it is h - 1, and it depends on s and H": lambda H, h, s: h,
        "there are ⌈H / s⌉ windows, not H: the stride is missing": lambda H, h, s: (H - 1) * s + h - H,
        "with a stride above 1 the padding is less than h - 1": lambda H, h, s: h - 1,
        "(h - 1) // 2 on each side is for stride 1 and odd h: the padding depends on s and H": (
            lambda H, h, s: 2 * ((h - 1) // 2)
        ),
        "h // 2 on each side is for stride 1 and odd h: the padding depends on s and H": lambda H, h, s: 2 * (h // 2),
    }.items():
        totals = [total(*case) for case in PADDINGS]
        if [before + after for before, after in found] == totals:
            raise Complaint(f"{what}: {sentence}")
    known = _padding_mistake(found, right)
    if known.endswith("pixels in all"):
        raise Unexplained(f"{what}: {known}", f"same_padding({H}, {h}, {s})")
    raise Complaint(f"{what}: {known}")


def _least(H: int, h: int, s: int) -> int:
    """Return how many pixels the last window needs beyond the row; below 0 if the row has some left."""
    return max(range(0, H, s)) + h - H


def _padding_mistake(found: list[Any], right: list[tuple[int, int]]) -> str:
    if found == [(after, before) for before, after in right]:
        return "put the odd pixel at the end"
    if all(min(pair) >= 0 for pair in found) and found == [(sum(pair), sum(pair)) for pair in right]:
        return "share the padding between the two sides"
    if found == [(before, before) for before, _ in right] or found == [(after, after) for _, after in right]:
        return "the two sides need not be equal: put the odd pixel at the end"
    if found == [(sum(pair) / 2, sum(pair) / 2) for pair in right]:
        return "the two sides need not be equal: use missing // 2 and the rest"
    if found == [(0, sum(pair)) for pair in right] or found == [(sum(pair), 0) for pair in right]:
        return "share the padding between the two sides: all of it is on one side"
    if all(before == mine and after == before + 1 for (before, after), (mine, _) in zip(found, right, strict=True)):
        return "the sides differ only if the number is odd: use missing // 2 and missing - missing // 2"
    if any(min(pair) < 0 for pair in found):
        return "the padding is negative: it must be at least 0"
    for more, word in ((-1, "few"), (1, "many")):
        if [sum(pair) for pair in found] == [max(0, _least(*case) + more) for case in PADDINGS]:
            return f"this is one pixel too {word} in all: the last window ends at pixel (windows - 1) * s + h"
    first = next(sum(pair) for pair, mine in zip(right, found, strict=True) if pair != mine)
    return f"the padding must be {first} pixels in all"


@exercise(14)
def convolve_at(attempt: Attempt) -> None:
    """Check filter by filter against a sum over the window."""
    rng = np.random.default_rng(0)
    padded, kernel = rng.standard_normal((7, 9, 2)), rng.standard_normal((3, 2, 2, 4))
    for row, column, s in ((0, 0, 1), (2, 3, 1), (1, 2, 2)):
        window = padded[row * s : row * s + 3, column * s : column * s + 2]
        unmoved = padded[row : row + 3, column : column + 2]
        exchanged = padded[column * s : column * s + 3, row * s : row * s + 2]

        def response(pixels: np.ndarray, filters: np.ndarray = kernel) -> np.ndarray:
            return np.array([sum((pixels * filters[..., d]).ravel()) for d in range(filters.shape[3])])

        with explained(
            {
                "operands could not be broadcast": "a pixel meets kernel[i, j, c], a whole window kernel[..., d]",
                "raises IndexError": "is the kernel indexed as kernel[i, j, c], with i < h, j < w and c < C?",
            }
        ):
            got = attempt(padded, kernel, row, column, s)
        spaced = padded[row * s :: s, column * s :: s][:3, :2]
        strided = padded[row::s, column::s][:3, :2]
        late = padded[row * s + 1 : row * s + 4, column * s + 1 : column * s + 3]
        same(
            got,
            response(window),
            f"convolve_at(padded, kernel, {row}, {column}, {s})",
            mistakes={
                "the stride is missing: the window begins at pixel (row · s, column · s)": response(unmoved),
                "the kernel is flipped: use it unflipped, as networks do": response(window, kernel[::-1, ::-1]),
                "only channel 0 counts: sum over c too": response(window[:, :, :1], kernel[:, :, :1]),
                "row and column are swapped": response(exchanged) if exchanged.shape == window.shape else 0.0,
                "i and j are swapped in the window: the pixel is (row * s + i, column * s + j)": sum(
                    padded[row * s + j, column * s + i, c] * kernel[i, j, c] for i, j, c in np.ndindex(3, 2, 2)
                ),
                "i and j are swapped: kernel[i, j, c] belongs to row i and column j of the window": sum(
                    padded[row * s + i, column * s + j, c] * kernel[j, i, c] for i, j, c in np.ndindex(2, 2, 2)
                ),
                "padded is indexed with the channel first: it is (H, W, C), so c is the last index": sum(
                    padded[c, row * s + i, column * s + j] * kernel[i, j, c] for i, j, c in np.ndindex(3, 2, 2)
                )
                if column * s + 1 < 2 and row * s + 2 < 9
                else 0.0,
                "this is the mean of the products: return their sum": response(window) / 12,
                "the window begins one pixel too late: it begins at (row · s, column · s), counted from 0": (
                    response(late) if late.shape == window.shape else 0.0
                ),
                "the filters are added up: return one number for each of the D filters": response(window).sum(),
                "only the last product counts: add to `out`, +=": window[-1, -1, -1] * kernel[-1, -1, -1],
                "only the first product counts: is `return` inside the loops?": window[0, 0, 0] * kernel[0, 0, 0],
                "the stride is between two pixels of the window: it is between two windows": (
                    response(spaced) if spaced.shape == window.shape else 0.0
                ),
                "only the row is multiplied by s: the window begins at (row · s, column · s)": (
                    response(padded[row * s : row * s + 3, column : column + 2])
                ),
                "nothing is added to `out`: is `out +=` missing?": np.zeros(4),
                "the stride multiplies i and j: it multiplies row and column, (row * s + i, column * s + j)": (
                    response(strided) if strided.shape == window.shape else 0.0
                ),
                "pixel and weight are added: multiply them": window.sum() + kernel.sum(axis=(0, 1, 2)),
                "this is the window: multiply it by the kernel and add up": window,
                "row and column of the pixel both use i: the column is column · s + j": sum(
                    padded[row * s + i, column * s + i, c] * kernel[i, j, c] for i, j, c in np.ndindex(3, 2, 2)
                ),
                "row and column of the pixel both use j: the row is row · s + i": sum(
                    padded[row * s + j, column * s + j, c] * kernel[i, j, c] for i, j, c in np.ndindex(3, 2, 2)
                ),
                "the last row and column of the window are left out: i < h and j < w": response(
                    window[:-1, :-1], kernel[:-1, :-1]
                ),
                "the first row and column of the window are left out: i and j begin at 0": response(
                    window[1:, 1:], kernel[1:, 1:]
                ),
                "the last row of the window is left out: i < h": response(window[:-1], kernel[:-1]),
                "the last column of the window is left out: j < w": response(window[:, :-1], kernel[:, :-1]),
            },
        )


@exercise(14)
def conv2d(attempt: Attempt) -> None:
    """Check images that are not square against loops over windows, and the gradients of images and kernel."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(1)
    for shape, size, s in (((2, 5, 6, 3), (3, 2), 1), ((2, 7, 6, 2), (3, 3), 2), ((1, 4, 4, 2), (2, 2), 2)):
        images, kernel = rng.standard_normal(shape), rng.standard_normal((*size, shape[3], 4))
        length = kernel[..., 0].size
        axis = (
            f"conv2d joins the slices along the wrong axis: join them along the channels, axis 3 of {(*shape[:3], 'C')}"
        )
        axis = axis.replace("'", "")
        with _named(
            {
                f"(size {length} is different from {shape[3]})": axis,
                f"(size {shape[3]} is different from {length})": (
                    "conv2d multiplies by the kernel of four axes: reshape it to a matrix, (h * w * C, D)"
                ),
                f"(size 4 is different from {length})": (
                    "conv2d's matrix has D rows: reshape the kernel to (h * w * C, D)"
                ),
                "zero-dimensional arrays": "np.concatenate takes no Tensors: use lesson 02's concatenate",
                "'list' object has no attribute": "conv2d multiplies a list: join the slices with concatenate first",
                "could not be broadcast": "conv2d multiplies number by number: use the matrix product, @",
                "cannot reshape array of size": "conv2d reshapes to a wrong size: the kernel becomes (h * w * C, D)",
            }
        ):
            got = attempt(tensor(images), tensor(kernel), s)
        if isinstance(got, tuple | list):
            raise Complaint("conv2d returns a list: add the products up, or join the slices before one product")
        rows, columns, places = len(range(0, shape[1], s)), len(range(0, shape[2], s)), size[0] * size[1]
        if np.shape(got.data)[:3] in (
            (shape[0] * places, rows, columns),
            (shape[0], rows * places, columns),
            (shape[0], rows, columns * places),
        ):
            raise Complaint(axis)
        complain_of_array(got, "conv2d", "use the operations of Tensors, so that gradients flow")
        by_channel = kernel.transpose(2, 0, 1, 3)  # (C, h, w, D)
        right = _convolved(images, kernel, s)
        same(
            got,
            right,
            f"conv2d(images, kernel, {s}) with a kernel of {size[0]} x {size[1]}",
            mistakes={
                "the channels come before rows and columns: D is the last axis": right.transpose(0, 3, 1, 2),
                "the rows and columns are joined into one axis: return (B, H', W', D)": right.reshape(
                    len(right), -1, 4
                ),
                "the stride is ignored: are the slices yours, with stride 1?": _convolved(images, kernel, 1),
                "these are the windows: multiply them by the kernel's matrix": _windows(images, kernel, s),
                "the slices are of windows w x h: slices_of takes h first, then w": _convolved(
                    images, kernel.reshape(size[1], size[0], *kernel.shape[2:]), s
                ),
                "the D filters are added up: the result has D numbers for each window": right.sum(axis=-1),
                "the kernel is flipped: use it unflipped, as networks do": (_convolved(images, kernel[::-1, ::-1], s)),
                "only the slice of the window's centre is used: join all slices, concatenate(slices, axis=3)": (
                    _convolved(images, _centre_alone(kernel), s)
                ),
                "windows and kernel differ, one is in the order c, i, j: both need the order i, j, c": (
                    _convolved(images, by_channel.reshape(kernel.shape), s)
                ),
                "the kernel's rows and columns are swapped": (
                    lambda k=kernel, x=images, s=s: _convolved(x, k.transpose(1, 0, 2, 3).reshape(k.shape), s)
                ),
                "the kernel is reshaped to (D, h * w * C) and transposed: reshape it to (h * w * C, D)": (
                    _convolved(images, kernel.reshape(4, -1).T.reshape(kernel.shape), s)
                ),
                "only the last slice is multiplied: multiply all h · w slices": (
                    _convolved(images, _all_but(kernel, -1), s)
                ),
                "slices and kernel are added up before the product: multiply each slice by its kernel[i, j]": (
                    _convolved(images, np.broadcast_to(kernel.sum(axis=(0, 1)), kernel.shape), s)
                ),
                "only the first slice is multiplied: multiply all h · w slices": (
                    _convolved(images, _all_but(kernel, 0), s)
                ),
                "this is the mean over the window: return the sum": (
                    _convolved(images, kernel, s) / kernel[..., 0].size
                ),
                "every slice is multiplied by kernel[0, 0]: slice i · w + j meets kernel[i, j]": (
                    _convolved(images, np.broadcast_to(kernel[:1, :1], kernel.shape), s)
                ),
                "the first slice is counted twice: begin the sum with 0, or at the second": (
                    right + _convolved(images, _all_but(kernel, 0), s)
                ),
            },
        )
    same_gradients(
        Attempt("conv2d", lambda x, k: attempt(x, k, 2), attempt.names),
        [rng.standard_normal((1, 4, 3, 2)), rng.standard_normal((3, 2, 2, 2))],
        ["images", "kernel"],
        "conv2d(images, kernel, 2)",
    )


def _all_but(kernel: np.ndarray, place: int) -> np.ndarray:
    """Return the kernel with zeros everywhere except at its first or last pixel."""
    alone = np.zeros_like(kernel)
    alone[place, place] = kernel[place, place]
    return alone


def _windows(images: np.ndarray, kernel: np.ndarray, s: int) -> np.ndarray:
    """Return the rows of h w C numbers that a convolution multiplies."""
    size = kernel[..., 0].size
    return _convolved(images, np.eye(size).reshape(*kernel.shape[:3], size), s)


def _centre_alone(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel that is 0 but for its centre."""
    centre = kernel.shape[0] // 2, kernel.shape[1] // 2
    alone = np.zeros_like(kernel)
    alone[centre] = kernel[centre]
    return alone


def _convolved(images: np.ndarray, kernel: np.ndarray, s: int) -> np.ndarray:
    """Return the convolution by loops over images and windows, with "SAME" padding."""
    h, w, _, D = kernel.shape
    B, H, W, C = images.shape
    rows, columns = len(range(0, H, s)), len(range(0, W, s))
    top = max(0, (rows - 1) * s + h - H) // 2
    left = max(0, (columns - 1) * s + w - W) // 2
    large = np.zeros((B, H + 2 * h, W + 2 * w, C))
    large[:, top : top + H, left : left + W] = images
    out = np.zeros((B, rows, columns, D))
    for b, r, c in np.ndindex(B, rows, columns):
        window = large[b, r * s : r * s + h, c * s : c * s + w]
        out[b, r, c] = np.tensordot(window, kernel, 3)
    return out


def _root_mean_square(x: np.ndarray, groups: int, eps: float) -> np.ndarray:
    """Return x divided by the root mean square of each group of each image."""
    parts = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    return (parts / np.sqrt((parts**2).mean(axis=(1, 3), keepdims=True) + eps)).reshape(x.shape)


def _over_all_groups(x: np.ndarray, groups: int, eps: float) -> np.ndarray:
    """Return x (B, H, W, C) with the mean of each group, but the variance of all groups of an image."""
    grouped = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    centred = grouped - grouped.mean(axis=(1, 3), keepdims=True)
    return (centred / np.sqrt((centred**2).mean(axis=(1, 2, 3), keepdims=True) + eps)).reshape(x.shape)


@exercise(14)
def group_norm(attempt: Attempt) -> None:
    """Check group by group, and the gradients."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(2)
    B, H, W, C, groups, eps = 2, 3, 2, 6, 3, 0.1
    x = 1.0 + 2.0 * rng.standard_normal((B, H, W, C)) * np.arange(1, C + 1)
    weight, bias = rng.standard_normal(C), rng.standard_normal(C)

    def normal(owner: Any, spread: Any = None) -> np.ndarray:
        """Return x normalised over the numbers that have the same owner."""
        owners = np.broadcast_to(owner, x.shape)
        out = np.zeros_like(x)
        for one in np.unique(owners):
            members = x[owners == one]
            variance = members.var() if spread is None else spread(members)
            out[owners == one] = (members - members.mean()) / np.sqrt(variance + eps)
        return out

    b, h, w, c = np.indices(x.shape)
    flat = np.arange(x.size).reshape(x.shape)
    right = normal(b * groups + c // (C // groups))
    spread_of_group = normal(b * groups + c // (C // groups), lambda m: (m.std() + eps) ** 2 - eps)
    first = normal(flat // (H * W * C // groups))  # reshape(B, groups, -1): right for (B, C, H, W)
    with _named(
        {
            f"({C},1,1)": "group_norm reshapes weight or bias for channels first: leave them (C,)",
            f"({B},{groups})": "group_norm's mean or variance does not broadcast: take it with keepdims=True",
            "does not support ufuncs": "group_norm calls a function of NumPy: use the Tensor's own method, .sqrt()",
            "shapes (2,6,3,2) (6,)": "group_norm uses weight and bias too early: reshape back to (B, H, W, C) first",
        }
    ):
        got = attempt(tensor(x), tensor(weight), tensor(bias), groups, eps)
    same(
        got,
        right * weight + bias,
        f"group_norm(x, weight, bias, {groups})",
        mistakes={
            "weight and bias are missing": right,
            "the channels are still axis 1: transpose back to (B, H, W, C)": (
                (right * weight + bias).transpose(0, 3, 1, 2)
            ),
            "the channels were moved to axis 1 and not back: transpose with (0, 2, 3, 1), a reshape mixes them": (
                right.transpose(0, 3, 1, 2).reshape(x.shape) * weight + bias
            ),
            "the bias is missing": right * weight,
            "the weight is missing": right + bias,
            "weight and bias are swapped": right * bias + weight,
            "the bias is scaled too: multiply by the weight first, then add the bias": (right + bias) * weight,
            "x is reshaped as if its channels came first: use (B, H * W, groups, C // groups)": (first * weight + bias),
            "this is BatchNorm: no mean may run over the images": normal(c) * weight + bias,
            "this is LayerNorm of each position: take the mean over the positions, and separately for each group": (
                normal((b * H + h) * W + w) * weight + bias
            ),
            "the mean is not subtracted: the variance is the mean of squared differences from it": (
                _root_mean_square(x, groups, eps) * weight + bias
            ),
            "each group is centred but not scaled": normal(
                b * groups + c // (C // groups), lambda m: np.float64(1 - eps)
            )
            * weight
            + bias,
            "each position is normalised separately: take the mean over the positions too": (
                normal(((b * H + h) * W + w) * groups + c // (C // groups)) * weight + bias
            ),
            "each channel is normalised separately: take the mean over the group's channels too": (
                normal(b * C + c) * weight + bias
            ),
            "all channels are normalised together: normalise each group separately": normal(b) * weight + bias,
            "all images are normalised together: normalise each separately": normal(c // (C // groups)) * weight + bias,
            "the groups are not adjacent channels: reshape to (..., groups, C // groups), in this order": (
                normal(b * groups + c % groups) * weight + bias
            ),
            "there are C / groups groups of `groups` channels: make `groups` groups": (
                normal(b * (C // groups) + c // groups) * weight + bias
            ),
            "eps is outside the root: use sqrt(variance + eps)": spread_of_group * weight + bias,
            "eps is missing or not the argument: use sqrt(variance + eps)": (
                normal(b * groups + c // (C // groups), lambda m: m.var() - eps) * weight + bias
            ),
            "the variance divides by n - 1: divide by n": (
                normal(b * groups + c // (C // groups), lambda m: m.var(ddof=1)) * weight + bias
            ),
            "it divides by the variance: divide by its square root": (
                normal(b * groups + c // (C // groups), lambda m: (m.var() + eps) ** 2 - eps) * weight + bias
            ),
            "the mean is not subtracted": lambda: _scaled(x, groups, eps) * weight + bias,
            "this divides by the root mean square: subtract the mean before you square": (
                normal(b * groups + c // (C // groups), lambda m: (m * m).mean()) * weight + bias
            ),
            "the sum of squares is not divided by their number: the variance is their mean": (
                normal(b * groups + c // (C // groups), lambda m: m.var() * m.size) * weight + bias
            ),
            "the variance is that of all groups of an image: take each group's own": (
                lambda: _over_all_groups(x, groups, eps) * weight + bias
            ),
            "weight and bias are added before the product: multiply by the weight, then add the bias": right
            * (weight + bias),
        },
    )
    same_gradients(
        Attempt("group_norm", lambda x, w, b: attempt(x, w, b, 2), attempt.names),
        [rng.standard_normal((2, 2, 1, 4)), rng.standard_normal(4), rng.standard_normal(4)],
        ["x", "weight", "bias"],
        "group_norm(x, weight, bias, 2)",
    )


def _scaled(x: np.ndarray, groups: int, eps: float) -> np.ndarray:
    """Return x divided by each group's standard deviation, not centred."""
    out = np.zeros_like(x)
    size = x.shape[3] // groups
    for image, result in zip(x, out, strict=True):
        for g in range(groups):
            part = slice(g * size, (g + 1) * size)
            result[..., part] = image[..., part] / np.sqrt(image[..., part].var() + eps)
    return out


@exercise(14, stretch=True)
def conv_in_one_line(attempt: Attempt) -> None:
    """Check two channels and windows that are not square, then the means."""
    rng = np.random.default_rng(3)
    for (H, W, C), (h, w), D in (((4, 5, 2), (2, 3), 4), ((5, 4, 1), (2, 2), 3)):
        image, kernel = rng.standard_normal((H, W, C)), rng.standard_normal((h, w, C, D))
        rows, columns = H - h + 1, W - w + 1

        def convolved(
            weights: np.ndarray,
            image: np.ndarray = image,
            h: int = h,
            w: int = w,
            at: tuple[int, int] = (rows, columns),
        ) -> np.ndarray:
            return np.array([np.tensordot(image[r : r + h, c : c + w], weights, 3) for r, c in np.ndindex(*at)])

        right = convolved(kernel)
        by_channel = kernel.transpose(2, 0, 1, 3).reshape(kernel.shape)
        with _named(
            {
                "is different from": "conv_in_one_line: each row of the windows needs h * w * C numbers",
                "cannot reshape array": "conv_in_one_line reshapes to a wrong size: rows of h * w * C numbers",
                "remapped shapes": "conv_in_one_line multiplies arrays of many axes: reshape both to matrices first",
            }
        ):
            got = attempt(image, kernel)
        same(
            got,
            right,
            f"conv_in_one_line with {C} channels",
            mistakes={
                "the windows are in the order c, i, j and the kernel in i, j, c: is a transpose missing?": (
                    convolved(kernel.reshape(C, h, w, D).transpose(1, 2, 0, 3))
                ),
                "the kernel's matrix is in the order c, i, j and the windows in i, j, c": convolved(by_channel),
                "the kernel is reshaped to (D, h * w * C) and transposed: reshape it to (h * w * C, D)": (
                    convolved(kernel.reshape(D, -1).T.reshape(kernel.shape))
                ),
                "the windows are not in rows: return (H' * W', D)": right.reshape(rows, columns, D),
                "an axis of length 1 is left: return (H' * W', D)": right.reshape(rows, columns, 1, D),
                "the windows are reshaped to columns and transposed: reshape them to rows, (-1, h * w * C)": (
                    np.lib.stride_tricks.sliding_window_view(image, (h, w, C)).reshape(h * w * C, -1).T
                    @ kernel.reshape(-1, D)
                ),
                "rows and columns of the kernel are swapped: keep the order i, j, c": convolved(
                    kernel.transpose(1, 0, 2, 3).reshape(kernel.shape)
                ),
                "it is transposed: a row for each window": right.T,
                "the kernel is flipped: use it unflipped": convolved(kernel[::-1, ::-1]),
            },
        )
    uses_only(attempt, "@", "reshape", "transpose", "sliding_window_view", "[]", "-")
