"""The primitives: each op is one function, its forward lines first, then its `vjp` inside.

Read one and you know the pattern. `vjp(dy)` receives dL/d(output) and returns a tuple with dL/d(input)
for each input, or None for a constant. It captures arrays, never Tensors: what its closure holds is just what
the tape keeps alive.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ..backend.arrays import Array, beside, holds_numbers, is_array, is_float, plain_array, wide, xp_of
from ..backend.arrays import erf as erf_array
from ..backend.arrays import matmul as multiply_arrays
from ..errors import DTypeError, ShapeError
from .tensor import Tensor, record

__all__ = [
    "abs", "add", "astype", "broadcast_to", "concatenate", "divide", "erf", "exp", "getitem", "log", "matmul", "max",
    "mean", "min", "multiply", "negative", "power", "reshape", "sqrt", "subtract", "sum", "tanh", "transpose", "var",
]  # fmt: skip

Axis = int | tuple[int, ...] | None


# -- arithmetic with broadcasting ----------------------------------------------------------------


def add(a: object, b: object) -> Tensor:
    """a + b."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_wanted(a, b)

    def vjp(dy: Array):
        return unbroadcast(dy, x_shape), unbroadcast(dy, y_shape)

    return record(x + y, (a, b), vjp)


def subtract(a: object, b: object) -> Tensor:
    """a - b."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_wanted(a, b)

    def vjp(dy: Array):
        return unbroadcast(dy, x_shape), None if y_shape is None else unbroadcast(-dy, y_shape)

    return record(x - y, (a, b), vjp)


def multiply(a: object, b: object) -> Tensor:
    """a * b, element by element."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_wanted(a, b)
    product = x * y
    x, y = (x if y_shape is not None else None), (y if x_shape is not None else None)  # each for the other's gradient

    dtype = product.dtype

    def vjp(dy: Array):
        dy = wide(dy)  # a sum over what was broadcast adds up products that are not rounded yet
        dx = None if x_shape is None else unbroadcast(dy * y, x_shape)
        dy_ = None if y_shape is None else unbroadcast(dy * x, y_shape)
        return rounded(dx, dtype), rounded(dy_, dtype)

    return record(product, (a, b), vjp)


def divide(a: object, b: object) -> Tensor:
    """a / b, element by element: d(a/b) = da / b - (a/b) db / b."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_wanted(a, b)
    out = x / y
    quotient = out if y_shape is not None else None
    dtype = out.dtype

    def vjp(dy: Array):
        dx = wide(dy) / y
        dy_ = None if y_shape is None else unbroadcast(-dx * quotient, y_shape)
        return rounded(unbroadcast(dx, x_shape), dtype), rounded(dy_, dtype)

    return record(out, (a, b), vjp)


def abs(a: Tensor) -> Tensor:
    """The absolute value of each element; its derivative at 0 is 0."""
    x = a.data

    def vjp(dy: Array):
        return (dy * xp_of(x).sign(x),)

    return record(xp_of(x).abs(x), (a,), vjp)


def negative(a: Tensor) -> Tensor:
    """-a."""

    def vjp(dy: Array):
        return (-dy,)

    return record(-a.data, (a,), vjp)


def power(a: Tensor, exponent: float) -> Tensor:
    """a ** exponent, the exponent a plain number. (x ** 3 is 70 times slower than x * x * x.)

    a ** 0 is the constant 1, also at 0, where the general rule 0 * a ** -1 would give nan.
    """
    if not isinstance(a, Tensor):
        raise DTypeError("an exponent must be a plain number, not a Tensor: a ** x is (x * math.log(a)).exp()")
    if not isinstance(exponent, numbers.Real):
        raise DTypeError(f"the exponent must be a plain number, not {type(exponent).__name__}")
    x, exponent = a.data, float(exponent)  # NumPy's own numbers would impose their element type

    def vjp(dy: Array):
        if exponent == 0.0:
            return (xp_of(dy).zeros_like(dy),)
        return (rounded(wide(dy) * wide(x) ** (exponent - 1) * exponent, x.dtype),)

    return record(rounded(wide(x) ** exponent, x.dtype), (a,), vjp)


# -- functions of one number ---------------------------------------------------------------------


def exp(a: Tensor) -> Tensor:
    """e ** a, its own derivative."""
    out = xp_of(a.data).exp(a.data)

    def vjp(dy: Array):
        return (dy * out,)

    return record(out, (a,), vjp)


def log(a: Tensor) -> Tensor:
    """The natural logarithm."""
    x = a.data

    def vjp(dy: Array):
        return (dy / x,)

    return record(xp_of(x).log(x), (a,), vjp)


def sqrt(a: Tensor) -> Tensor:
    """The square root."""
    out = xp_of(a.data).sqrt(a.data)

    def vjp(dy: Array):
        return (rounded(wide(dy) * 0.5 / out, out.dtype),)

    return record(out, (a,), vjp)


def tanh(a: Tensor) -> Tensor:
    """The hyperbolic tangent; its derivative is 1 - tanh²."""
    out = xp_of(a.data).tanh(a.data)

    def vjp(dy: Array):
        y = wide(out)
        return (rounded(dy * (1.0 - y * y), out.dtype),)

    return record(out, (a,), vjp)


def erf(a: Tensor) -> Tensor:
    """The error function; its derivative is 2/√π exp(-a²)."""
    x = a.data

    def vjp(dy: Array):
        z = wide(x)
        return (rounded(dy * (xp_of(z).exp(-z * z) * (2.0 / math.sqrt(math.pi))), x.dtype),)

    return record(erf_array(x), (a,), vjp)


def astype(a: Tensor, dtype: object) -> Tensor:
    """The same numbers in another floating-point type; the gradient comes back in the first one."""
    before = a.dtype
    out = a.data.astype(dtype)
    if not is_float(out.dtype):
        raise DTypeError(f"a Tensor holds floating-point numbers, not {out.dtype}")

    def vjp(dy: Array):
        return (dy.astype(before),)

    return record(out, (a,), vjp)


# -- products ------------------------------------------------------------------------------------


def matmul(a: object, b: object) -> Tensor:
    """a @ b with NumPy's rules: vectors, matrices, and stacks of matrices that broadcast."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_wanted(a, b)
    if not (getattr(x, "ndim", 0) and getattr(y, "ndim", 0)):
        raise ShapeError("a matrix product wants one axis or more on each side; multiply by a single number with *")

    def vjp(dy: Array):
        # A vector takes part as a matrix of one row (left) or one column (right).
        rows = x.reshape(1, -1) if x.ndim == 1 else x  # (..., m, k)
        columns = y.reshape(-1, 1) if y.ndim == 1 else y  # (..., k, n)
        if y.ndim == 1:
            dy = dy[..., None]
        if x.ndim == 1:
            dy = dy[..., None, :]  # (..., m, n)
        dx = dy_ = None
        if x_shape is not None:
            dx = unbroadcast(multiply_arrays(dy, columns.swapaxes(-1, -2)), rows.shape).reshape(x_shape)
        if y_shape is not None:
            dy_ = unbroadcast(multiply_arrays(rows.swapaxes(-1, -2), dy), columns.shape).reshape(y_shape)
        return dx, dy_

    return record(multiply_arrays(x, y), (a, b), vjp)


# -- reductions ----------------------------------------------------------------------------------


def sum(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (all axes if None): every summand receives the whole gradient."""
    x_shape = a.shape

    def vjp(dy: Array):
        return (xp_of(dy).broadcast_to(restore_axes(dy, x_shape, axis, keepdims), x_shape),)

    return record(rounded(wide(a.data).sum(axis=axis, keepdims=keepdims), a.dtype), (a,), vjp)


def mean(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over `axis` (all axes if None); nan of no elements, as in NumPy."""
    x_shape, dtype = a.shape, a.dtype
    total = wide(a.data).sum(axis=axis, keepdims=keepdims)
    count = count_over(x_shape, axis)

    def vjp(dy: Array):
        dy = xp_of(dy).broadcast_to(restore_axes(wide(dy), x_shape, axis, keepdims), x_shape)
        return (rounded(divided(dy, count), dtype),)

    return record(rounded(divided(total, count), dtype), (a,), vjp)


def var(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The variance over `axis` (all axes if None): the mean of the squared differences from the mean."""
    x, dtype = wide(a.data), a.dtype
    total = x.sum(axis=axis, keepdims=True)
    count = count_over(x.shape, axis)
    centred = x - divided(total, count)
    squares = (centred * centred).sum(axis=axis, keepdims=keepdims)

    def vjp(dy: Array):
        # An element changes the mean too, but that adds nothing: the centred elements add up to 0.
        dy = divided(restore_axes(wide(dy), centred.shape, axis, keepdims), count)
        return (rounded(dy * 2.0 * centred, dtype),)

    return record(rounded(divided(squares, count), dtype), (a,), vjp)


def max(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over `axis` (all axes if None); elements that tie share the gradient evenly."""
    return extreme(a, "max", axis, keepdims)


def min(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis` (all axes if None); elements that tie share the gradient evenly."""
    return extreme(a, "min", axis, keepdims)


def extreme(a: Tensor, name: str, axis: Axis, keepdims: bool) -> Tensor:
    """The element that `max` or `min` names. As in NumPy, nan is both the largest and the smallest."""
    x = a.data
    if not (x.size or count_over(x.shape, axis)):
        raise ShapeError(f"{name} of no elements: the Tensor has shape {x.shape} and axis is {axis}")
    found = getattr(x, name)(axis=axis, keepdims=True)

    def vjp(dy: Array):
        chosen = wide(((x == found) | (x != x)).astype(x.dtype))
        share = restore_axes(wide(dy), x.shape, axis, keepdims) / chosen.sum(axis=axis, keepdims=True)
        return (rounded(chosen * share, x.dtype),)

    return record(found if keepdims else found.squeeze(axis), (a,), vjp)


# -- shape ---------------------------------------------------------------------------------------


def reshape(a: Tensor, shape: Sequence[int]) -> Tensor:
    """The same elements, in row-major order, in another shape; one length may be -1."""
    x_shape = a.shape

    def vjp(dy: Array):
        return (dy.reshape(x_shape),)

    return record(a.data.reshape(tuple(shape)), (a,), vjp)


def transpose(a: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order, by default reversed."""
    out = a.data.transpose(axes)
    order = tuple(range(a.ndim))[::-1] if axes is None else tuple(axis % a.ndim for axis in axes)
    back = tuple(order.index(axis) for axis in range(len(order)))

    def vjp(dy: Array):
        return (dy.transpose(back),)

    return record(out, (a,), vjp)


def broadcast_to(a: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor repeated, by NumPy's broadcasting rules, to `shape`."""
    x_shape = a.shape

    def vjp(dy: Array):
        return (unbroadcast(dy, x_shape),)

    return record(xp_of(a.data).broadcast_to(a.data, tuple(shape)), (a,), vjp)


def getitem(a: Tensor, index: object) -> Tensor:
    """a[index], with slices, whole numbers, None, Ellipsis, masks and arrays of positions."""
    x_shape, dtype = a.shape, a.dtype
    index = index_beside(a.data, index)

    def vjp(dy: Array):
        xp, dy = xp_of(dy), wide(dy)
        dx = xp.zeros(x_shape, dy.dtype)
        if picks_by_array(index):
            xp.add.at(dx, index, dy)  # a position may be picked twice: its gradients add up
        else:
            dx[index] = dy
        return (dx.astype(dtype, copy=False),)

    return record(a.data[index], (a,), vjp)


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Several tensors, one after the other along `axis`."""
    arrays = operands(*tensors)
    xp = xp_of(arrays[0])
    out = xp.concatenate(arrays, axis=axis)
    ends = list(accumulate(array.shape[axis] for array in arrays))

    def vjp(dy: Array):
        return tuple(xp.split(dy, ends[:-1], axis=axis))

    return record(out, tensors, vjp)


# -- what several ops share ----------------------------------------------------------------------


def operands(*inputs: object) -> tuple[Array, ...]:
    """The arrays behind an op's inputs.

    The Tensors among them must share one element type; array constants take it over, and plain numbers stay as
    they are, since NumPy lets them adapt.
    """
    like = None  # the first Tensor's array
    for x in inputs:
        if isinstance(x, Tensor):
            if like is None:
                like = x._data
            elif x._data.dtype != like.dtype:
                raise DTypeError(f"the tensors have types {like.dtype} and {x.dtype}: convert one with astype()")
    if like is None:
        raise DTypeError("an op needs a Tensor among its inputs: wrap one in minivit.Tensor(...)")
    return tuple([x._data if isinstance(x, Tensor) else _constant(x, like) for x in inputs])


def _constant(x: Any, like: Array) -> Array:
    """What stands beside a Tensor's array: a plain number as it is, anything else as an array of the same type."""
    if isinstance(x, int | float) and not is_array(x) and like.dtype.kind == "f":  # bfloat16 would become float32
        return x
    array = xp_of(like).asarray(plain_array(x))
    if not holds_numbers(array.dtype):
        raise DTypeError(f"a constant beside a Tensor must be numbers: found {type(x).__name__} of {array.dtype}")
    return array.astype(like.dtype, copy=False)


def shapes_wanted(*inputs: object) -> tuple[tuple[int, ...] | None, ...]:
    """The shape of each input that wants a gradient, None for the others."""
    return tuple([x._data.shape if isinstance(x, Tensor) and x.requires_grad else None for x in inputs])


def rounded(x: Array, dtype: Any) -> Array:
    """Convert an array to an element type that is narrower than the one it was computed in, or the same; keep None."""
    return None if x is None else x.astype(dtype, copy=False)


def count_over(shape: tuple[int, ...], axis: Axis) -> int:
    """Return how many elements of an array a reduction over `axis` combines into one."""
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return math.prod(shape[i] for i in axes) if shape else 1  # NumPy takes axis 0 of a single number too


def divided(total: Array, count: int) -> Array:
    """Return total / count, or nan for a count of 0, without NumPy's warning."""
    return total / count if count else total * math.nan


def unbroadcast(dy: Array, shape: tuple[int, ...] | None) -> Array:
    """Undo broadcasting: a value that was repeated receives the sum of its copies' gradients.

    A `shape` of None stands for an input that wants no gradient.
    """
    if shape is None:
        return None
    if dy.shape == shape:
        return dy
    new = dy.ndim - len(shape)  # axes that broadcasting put in front
    stretched = [new + i for i, length in enumerate(shape) if length == 1]
    return wide(dy).sum(axis=(*range(new), *stretched)).astype(dy.dtype, copy=False).reshape(shape)


def restore_axes(dy: Array, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Array:
    """Give back, with length 1, the axes of `shape` that a reduction over `axis` took away."""
    if keepdims:
        return dy
    reduced = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else [axis]
    reduced = {i % len(shape) for i in reduced} if shape else set()
    return dy.reshape([1 if i in reduced else length for i, length in enumerate(shape)])


def index_beside(x: Array, index: Any) -> Any:
    """An index whose arrays lie where `x` does."""
    if isinstance(index, tuple):
        return tuple([index_beside(x, part) for part in index])
    return beside(x, plain_array(index)) if is_array(index) else index


def picks_by_array(index: Any) -> bool:
    """Whether an index is an array, a mask or a list, which copies and may pick an element twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, list | bool) or (is_array(part) and part.ndim > 0) for part in parts)
