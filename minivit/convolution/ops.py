"""Convolution, pooling, group normalisation, weight standardisation and ReLU, as fused ops.

They follow the engine's rules (see `engine/fused.py`): a function, its `vjp` inside, a composed twin in `reference.py`.
"""

from __future__ import annotations

import math

from ..backend.arrays import Array, underflow_is_harmless, xp_of
from ..backend.precision import wide_type
from ..backend.products import matmul, sum_of_rows
from ..engine.fused import check_shapes
from ..engine.ops import divided, operands
from ..engine.tensor import Tensor, needs_grad, op, record
from ..errors import ConfigError, ShapeError

Padding = int | str  # pixels on all four sides, "SAME" or "VALID"
Sides = tuple[tuple[int, int], tuple[int, int]]  # (above, below), (left, right)


@op
@underflow_is_harmless()
def conv2d(x: Tensor, kernel: Tensor, stride: int = 1, padding: Padding = "SAME") -> Tensor:
    """Slide a kernel over images: (B, H, W, C) with (h, w, C, D) -> (B, H', W', D).

    Every window becomes a row, so that the convolution is one matrix product. Only the padded images are saved for
    backward, which cuts out the windows a second time: saved, they would take h·w times the memory.

    Args:
        x: (B, H, W, C).
        kernel: (h, w, C, D).
        stride: pixels from one window to the next.
        padding: zeros around the image. "SAME" makes H' = ⌈H / stride⌉, with the odd pixel below and to the right;
            "VALID" adds none; a number adds that many on each side.

    Raises:
        ShapeError: if the channels differ or the kernel is larger than the padded image.
        ConfigError: for another padding or a stride below 1.
    """
    a, w = operands(x, kernel)
    if a.ndim != 4 or w.ndim != 4 or a.shape[3] != w.shape[2]:
        raise ShapeError(f"conv2d takes images (B, H, W, C) and a kernel (h, w, C, D), not {a.shape} and {w.shape}")
    size = w.shape[:2]
    sides = padded_sides(a.shape[1:3], size, stride, padding)
    needs_x, needs_kernel = needs_grad(x), needs_grad(kernel)
    padded = pad(a, sides, 0.0)
    columns = windows(padded, size, stride)  # (B, H', W', h, w, C)
    grid = columns.shape[:3]
    count = math.prod(grid)  # of windows
    flat = w.reshape(math.prod(w.shape[:3]), w.shape[3])  # (h w C, D)
    out = matmul(columns.reshape(count, len(flat)), flat)
    del columns
    shape = a.shape

    def vjp(dy: Array):
        dy = dy.reshape(count, flat.shape[1])  # (B H' W', D)
        dx = dw = None
        if needs_kernel:
            dw = matmul(windows(padded, size, stride).reshape(count, len(flat)).T, dy).reshape(w.shape)
        if needs_x:
            # A pixel adds up the gradients of its windows, and the sum is rounded once.
            dcolumns = product_to_add_up(dy, flat.T).reshape(*grid, *size, shape[3])
            dpadded = xp_of(dy).zeros_like(padded, dtype=dcolumns.dtype)
            for i in range(size[0]):
                for j in range(size[1]):
                    dpadded[shifted(i, j, grid, stride)] += dcolumns[:, :, :, i, j]
            dx = unpad(dpadded, sides, shape).astype(dy.dtype, copy=False)
        return dx, dw

    return record(out.reshape(*grid, w.shape[3]), (x, kernel), vjp)


@op
def max_pool(x: Tensor, size: int, stride: int, padding: Padding = "SAME", fill: float = -float("inf")) -> Tensor:
    """Return the largest number of each window, channel by channel: (B, H, W, C) -> (B, H', W', C).

    If numbers tie, the first in raster order gets the gradient.

    Args:
        x: (B, H, W, C).
        size: a window's side, pixels.
        stride, padding: as in `conv2d`.
        fill: the number in the padding; BiT pads with 0, which can be the largest.

    Raises:
        ShapeError: if the array does not hold images, or a window is larger than an image with its padding.
        ConfigError: as `conv2d`, and for padding so wide that a window could hold nothing else.
    """
    (a,) = operands(x)
    if a.ndim != 4 or size < 1:
        raise ShapeError(f"max_pool takes images (B, H, W, C) and windows of 1 pixel or more, not {a.shape} and {size}")
    if not isinstance(padding, str) and padding >= size:
        raise ConfigError(f"padding of {padding} pixels leaves windows of {size} x {size} without any of the image")
    sides = padded_sides(a.shape[1:3], (size, size), stride, padding)
    padded = pad(a, sides, fill)
    grid = window_grid(padded, (size, size), stride)
    places = [shifted(i, j, grid, stride) for i in range(size) for j in range(size)]
    xp = xp_of(a)
    out = padded[places[0]].copy()
    for place in places[1:]:
        xp.maximum(out, padded[place], out=out)
    shape = a.shape

    def vjp(dy: Array):
        dpadded = xp.zeros_like(padded, dtype=wide_type(dy.dtype))  # as in `conv2d`
        free = xp.ones(out.shape, bool)  # windows whose largest number was not found yet
        for place in places:
            here = (padded[place] == out) & free
            free &= ~here
            dpadded[place] += dy * here
        return (unpad(dpadded, sides, shape).astype(dy.dtype, copy=False),)

    return record(out, (x,), vjp)


@op
@underflow_is_harmless()
def group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int = 32, eps: float = 1e-6) -> Tensor:
    """Return x after group normalisation (arXiv 1803.08494): (B, H, W, C) -> (B, H, W, C).

    Each image's channels are divided into groups of neighbours; a group is normalised over its channels and all places.
    Backward is LayerNorm's: dx = (g - mean(g) - n mean(g n)) / sqrt(var + eps), g = dy * weight; the means come from
    sums over the places of dy and dy n, which the gradients of weight and bias need as well.

    Args:
        x: (B, H, W, C).
        weight, bias: (C,).
        groups: the number of groups; it divides C.
        eps: added to each variance.

    Raises:
        ShapeError: if `groups` does not divide the channels, or weight or bias has another shape.
    """
    a, w, b = operands(x, weight, bias)
    if a.ndim != 4 or groups < 1 or a.shape[3] % groups:
        raise ShapeError(f"group_norm takes images (B, H, W, C) whose channels {groups} groups divide, not {a.shape}")
    channels = a.shape[3]
    check_shapes("group_norm", (channels,), weight=w, bias=b)
    xp = xp_of(a)
    number, each = a.shape[1] * a.shape[2], channels // groups  # places of an image, and channels of a group
    normal = a.reshape(len(a), number, channels)  # (B, H W, C)
    share = 1.0 / max(1, number)
    places = xp.full((1, number), share, a.dtype)

    def group_means(per_channel: Array) -> Array:
        """Return the mean of each channel's group: (B, 1, C) -> (B, 1, C)."""
        grouped = per_channel.reshape(len(per_channel), 1, groups, each)
        means = divided(grouped.sum(axis=-1, keepdims=True), each)
        return xp.broadcast_to(means, grouped.shape).reshape(per_channel.shape)

    normal = normal - group_means(places @ normal)
    inverse = 1.0 / xp.sqrt(group_means(places @ (normal * normal)) + eps)  # (B, 1, C)
    normal *= inverse
    out = normal * w
    out += b
    shape = a.shape

    def vjp(dy: Array):
        dy = dy.reshape(normal.shape)
        product = dy * normal
        mean_dy, mean_product = places @ dy, places @ product  # (B, 1, C): over the places
        dw, db = (sum_of_rows(mean[:, 0]) / share for mean in (mean_product, mean_dy))
        dx = dy * w
        dx -= group_means(mean_dy * w)
        dx -= xp.multiply(normal, group_means(mean_product * w), out=product)
        dx *= inverse
        return dx.reshape(shape), dw, db

    return record(out.reshape(shape), (x, weight, bias), vjp)


@op
@underflow_is_harmless()
def standardize(kernel: Tensor, eps: float = 1e-5, inside: bool = False) -> Tensor:
    """Return a kernel after weight standardisation (arXiv 1903.10520): (h, w, C, D) -> (h, w, C, D).

    Each output channel has mean 0 and standard deviation 1.

    Args:
        kernel: (h, w, C, D).
        eps: keeps a constant channel finite.
        inside: where eps is added. False divides by std + eps, as the hybrids do; True by sqrt(var + eps), as BiT does.
    """
    (w,) = operands(kernel)
    xp = xp_of(w)
    rows = w.reshape(math.prod(w.shape[:-1]), w.shape[-1])  # (h w C, D)

    def mean(x: Array) -> Array:
        """Return the mean over the rows: (h w C, D) -> (D,)."""
        return divided(x.sum(axis=0), len(rows))

    centred = rows - mean(rows)
    variance = mean(centred * centred)
    std = xp.sqrt(variance + eps) if inside else xp.sqrt(variance)  # (D,)
    inverse = 1.0 / (std if inside else std + eps)
    shape = w.shape
    tiny = xp.finfo(w.dtype).tiny  # a constant channel has std 0 and centred 0: its share of the gradient is 0

    def vjp(dy: Array):
        dy = dy.reshape(rows.shape)
        through_std = mean(dy * centred) * inverse * inverse / xp.maximum(std, tiny)
        dx = (dy - mean(dy)) * inverse - centred * through_std
        return (dx.reshape(shape),)

    return record((centred * inverse).reshape(shape), (kernel,), vjp)


@op
def relu(x: Tensor) -> Tensor:
    """Return max(x, 0); its derivative at 0 is 0."""
    (a,) = operands(x)
    xp = xp_of(a)
    out = xp.maximum(a, 0.0)
    positive = out != 0.0 if needs_grad(x) else None  # true for nan too, so that a nan shows in the gradient

    def vjp(dy: Array):
        return (dy * positive,)

    return record(out, (x,), vjp)


def product_to_add_up(x: Array, y: Array) -> Array:
    """Return x @ y, (m, k) with (k, n) -> (m, n), in the type that sums over such numbers are computed in."""
    wide = wide_type(x.dtype)
    if wide == x.dtype:
        return matmul(x, y)
    out = xp_of(x).empty((1, len(x), y.shape[1]), wide)
    return matmul(x[None], y[None], out=out)[0]  # a stack of one: cuBLAS writes the products of stacks unrounded


# -- windows -------------------------------------------------------------------------------------


def padded_sides(image: tuple[int, int], size: tuple[int, int], stride: int, padding: Padding) -> Sides:
    """Return how many pixels to add, (above, below), (left, right); see `conv2d`."""
    if stride < 1:
        raise ConfigError(f"a stride must be 1 or more, not {stride}")
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding == "SAME":
        missing = [
            max(0, (-(-length // stride) - 1) * stride + k - length) for length, k in zip(image, size, strict=True)
        ]
        above, left = missing[0] // 2, missing[1] // 2
        return (above, missing[0] - above), (left, missing[1] - left)
    if isinstance(padding, str) or padding < 0:
        raise ConfigError(f"padding must be 'SAME', 'VALID' or a number of pixels, not {padding!r}")
    return (padding, padding), (padding, padding)


def pad(x: Array, sides: Sides, fill: float) -> Array:
    """Return (B, H, W, C) with `fill` around it; without padding, `x` itself."""
    if sides == ((0, 0), (0, 0)):
        return x
    b, h, w, c = x.shape
    (above, below), (left, right) = sides
    out = xp_of(x).full((b, h + above + below, w + left + right, c), fill, x.dtype)
    out[:, above : above + h, left : left + w] = x
    return out


def unpad(x: Array, sides: Sides, shape: tuple[int, ...]) -> Array:
    """Return the part of shape (B, H, W, C) that `pad` put a border around."""
    (above, _), (left, _) = sides
    return x[:, above : above + shape[1], left : left + shape[2]]


def window_grid(padded: Array, size: tuple[int, int], stride: int) -> tuple[int, int, int]:
    """Return (B, H', W'): how many windows of a size there are."""
    b, h, w, _ = padded.shape
    if h < size[0] or w < size[1]:
        raise ShapeError(f"a window of {size[0]} x {size[1]} does not fit into images of {h} x {w} with their padding")
    return b, (h - size[0]) // stride + 1, (w - size[1]) // stride + 1


def shifted(i: int, j: int, grid: tuple[int, int, int], stride: int) -> tuple[slice, slice, slice]:
    """Return the index of pixel (i, j) of every window: padded[shifted(...)] is (B, H', W', C)."""
    _, rows, columns = grid
    return slice(None), slice(i, i + (rows - 1) * stride + 1, stride), slice(j, j + (columns - 1) * stride + 1, stride)


def windows(padded: Array, size: tuple[int, int], stride: int) -> Array:
    """Return every window, side by side: (B, H, W, C) -> (B, H', W', h, w, C), a view.

    Only the strides are new: `sliding_window_view` would also check the window's size, in an array in some libraries.
    """
    grid = window_grid(padded, size, stride)
    b, h, w, c = padded.strides
    return xp_of(padded).lib.stride_tricks.as_strided(
        padded, (*grid, *size, padded.shape[3]), (b, stride * h, stride * w, h, w, c)
    )
