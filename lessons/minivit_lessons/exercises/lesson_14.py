"""Checks of lesson 14: padding, one window, a convolution of a batch, and group normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..trial import Attempt, Complaint
from . import exercise


@exercise(14)
def same_padding(attempt: Attempt) -> None:
    """Check against the least padding that leaves room for every window, found by counting."""
    for H, h, s in ((224, 7, 2), (112, 3, 2), (32, 3, 1), (10, 4, 1), (9, 3, 2), (8, 4, 4), (8, 1, 2), (7, 5, 3)):
        got = attempt(H, h, s)
        what = f"same_padding({H}, {h}, {s})"
        if not (isinstance(got, tuple | list) and len(got) == 2):
            raise Complaint(f"{what} must be a tuple: (before, after)")
        before, after = got
        windows = len(range(0, H, s))  # one begins at every s-th pixel
        missing = 0
        while H + missing < (windows - 1) * s + h:
            missing += 1
        right = missing // 2, missing - missing // 2
        if (before, after) == right:
            if not all(isinstance(side, int | np.integer) for side in got):
                raise Complaint(f"{what} has the right numbers, but not as integers: divide with // instead of /")
            continue
        raise Complaint(
            f"{what} is {right}, not {(before, after)}: {_padding_mistake(before, after, H, h, s, missing)}"
        )


def _padding_mistake(before: Any, after: Any, H: int, h: int, s: int, missing: int) -> str:
    if before + after == missing and before > after:
        return "put the odd pixel at the end"
    if before < 0 or after < 0:
        return "the padding is negative: it must be at least 0"
    if s > 1 and before + after == max(0, (H // s - 1) * s + h - H):
        return "round the number of windows up, ⌈H / s⌉"
    if s > 1 and before + after in (h - 1, 2 * (h // 2)):
        return "with a stride above 1 the padding is less than h - 1"
    if before == after == missing:
        return "share the padding between the two sides"
    if before == after:
        return "the two sides need not be equal: put the odd pixel at the end"
    return f"the padding must be {missing} pixels in all"


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

        same(
            attempt(padded, kernel, row, column, s),
            response(window),
            f"convolve_at(padded, kernel, {row}, {column}, {s})",
            mistakes={
                "the stride is missing: the window begins at pixel (row · s, column · s)": response(unmoved),
                "the kernel is flipped: use it unflipped, as networks do": response(window, kernel[::-1, ::-1]),
                "only channel 0 counts: sum over c too": response(window[:, :, :1], kernel[:, :, :1]),
                "row and column are swapped": response(exchanged) if exchanged.shape == window.shape else 0.0,
                "this is the mean of the products: return their sum": response(window) / 12,
                "the filters are added up: return one number for each of the D filters": response(window).sum(),
                "only the last product counts: add to `out`, +=": window[-1, -1, -1] * kernel[-1, -1, -1],
            },
        )


@exercise(14)
def conv2d(attempt: Attempt) -> None:
    """Check images that are not square against loops over windows, and the gradients of images and kernel."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(1)
    for shape, size, s in (((2, 5, 6, 3), (3, 2), 1), ((2, 7, 6, 2), (3, 3), 2), ((1, 4, 4, 2), (2, 2), 2)):
        images, kernel = rng.standard_normal(shape), rng.standard_normal((*size, shape[3], 4))
        got = attempt(tensor(images), tensor(kernel), s)
        complain_of_array(got, "conv2d", "use the operations of Tensors, so that gradients flow")
        by_channel = kernel.transpose(2, 0, 1, 3)  # (C, h, w, D)
        same(
            got,
            _convolved(images, kernel, s),
            f"conv2d(images, kernel, {s}) with a kernel of {size[0]} x {size[1]}",
            mistakes={
                "the kernel is flipped: use it unflipped, as networks do": (_convolved(images, kernel[::-1, ::-1], s)),
                "the rows of the kernel's matrix are in the order c, i, j: use i, j, c, as the windows do": (
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
                "only the first slice is multiplied: multiply all h · w slices": (
                    _convolved(images, _all_but(kernel, 0), s)
                ),
                "this is the mean over the window: return the sum": (
                    _convolved(images, kernel, s) / kernel[..., 0].size
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
    right = normal(b * groups + c // (C // groups))
    spread_of_group = normal(b * groups + c // (C // groups), lambda m: (m.std() + eps) ** 2 - eps)
    same(
        attempt(tensor(x), tensor(weight), tensor(bias), groups, eps),
        right * weight + bias,
        f"group_norm(x, weight, bias, {groups})",
        mistakes={
            "weight and bias are missing": right,
            "the bias is missing": right * weight,
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
            "eps is missing: use sqrt(variance + eps)": (
                normal(b * groups + c // (C // groups), lambda m: m.var() - eps) * weight + bias
            ),
            "the variance divides by n - 1: divide by n": (
                normal(b * groups + c // (C // groups), lambda m: m.var(ddof=1)) * weight + bias
            ),
            "it divides by the variance: divide by its square root": (
                normal(b * groups + c // (C // groups), lambda m: (m.var() + eps) ** 2 - eps) * weight + bias
            ),
            "the mean is not subtracted": lambda: _scaled(x, groups, eps) * weight + bias,
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
