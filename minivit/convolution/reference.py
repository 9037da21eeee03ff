"""The composed twins of `ops.py`: the same functions written with the engine's primitives, as in their definitions."""

from __future__ import annotations

from ..backend.arrays import xp_of
from ..engine import ops as primitives
from ..engine.tensor import Tensor, rounded_once
from .ops import Padding, padded_sides


@rounded_once
def conv2d(x: Tensor, kernel: Tensor, stride: int = 1, padding: Padding = "SAME") -> Tensor:
    """Return the sum over the kernel's pixels (i, j) of the image, shifted by (i, j), times kernel[i, j]."""
    size = kernel.shape[0], kernel.shape[1]
    shifts = _shifts(x, size, stride, padding, 0.0)
    out = shifts[0][0] @ kernel[shifts[0][1]]  # (B, H', W', C) @ (C, D)
    for shifted, place in shifts[1:]:
        out = out + shifted @ kernel[place]
    return out


def max_pool(x: Tensor, size: int, stride: int, padding: Padding = "SAME", fill: float = -float("inf")) -> Tensor:
    """Return the maximum over a window's shifts. (Equal maxima share the gradient here.)"""
    shifts = _shifts(x, (size, size), stride, padding, fill)
    stacked = primitives.concatenate([shifted[None] for shifted, _ in shifts])  # (size², B, H', W', C)
    return stacked.max(axis=0)


@rounded_once
def group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int = 32, eps: float = 1e-6) -> Tensor:
    """Centre each group of each image, divide by its standard deviation, scale and shift each channel."""
    b, h, w, c = x.shape
    grouped = x.reshape(b, h * w, groups, c // groups)
    centred = grouped - grouped.mean(axis=(1, 3), keepdims=True)
    variance = (centred * centred).mean(axis=(1, 3), keepdims=True)
    return (centred / (variance + eps).sqrt()).reshape(b, h, w, c) * weight + bias


@rounded_once
def standardize(kernel: Tensor, eps: float = 1e-5, inside: bool = False) -> Tensor:
    """Centre each output channel and divide by its standard deviation."""
    centred = kernel - kernel.mean(axis=(0, 1, 2), keepdims=True)
    variance = (centred * centred).mean(axis=(0, 1, 2), keepdims=True)
    return centred / ((variance + eps).sqrt() if inside else variance.sqrt() + eps)


def relu(x: Tensor) -> Tensor:
    """Return x where it is positive, else 0."""
    return x * (x.data > 0.0)


def _shifts(
    x: Tensor, size: tuple[int, int], stride: int, padding: Padding, fill: float
) -> list[tuple[Tensor, tuple[int, int]]]:
    """Return, for each pixel (i, j) of a window, its values in all windows, (B, H', W', C), and (i, j)."""
    (above, below), (left, right) = padded_sides((x.shape[1], x.shape[2]), size, stride, padding)
    x = _border(_border(x, 1, above, below, fill), 2, left, right, fill)
    bottom, end = x.shape[1] - size[0] + 1, x.shape[2] - size[1] + 1  # one past the last window's first row and column
    return [
        (x[:, i : i + bottom : stride, j : j + end : stride], (i, j)) for i in range(size[0]) for j in range(size[1])
    ]


def _border(x: Tensor, axis: int, before: int, after: int, fill: float) -> Tensor:
    def block(length: int) -> Tensor:
        shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
        return Tensor(xp_of(x.data).full(shape, fill, x.dtype))

    return primitives.concatenate([block(before), x, block(after)], axis=axis)
