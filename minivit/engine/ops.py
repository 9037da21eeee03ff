"""The primitives: each op is one function, its forward lines first, then its `vjp` inside.

Read one and you know the pattern. `vjp(dy)` gets dL/d(output) and returns a tuple with dL/d(input) for each input, or
None for a constant. It captures arrays, never Tensors: the tape keeps alive what its closure holds, and no more. An op
whose gradient needs the op's own result hands that to `saved`, which may store it in fewer bytes.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import accumulate
from typing import Any

from ..backend.arrays import Array, holds_numbers, is_array, is_float, plain_array, xp_of
from ..backend.arrays import erf as erf_array
from ..backend.indexing import index_for, scatter
from ..backend.precision import saved
from ..backend.products import matmul as multiply_arrays
from ..backend.products import sum_over
from ..errors import DTypeError, ShapeError
from ..utils.aliases import old_names
from .tensor import AxisError, Tensor, explained, op, record

__all__ = [
    "abs", "add", "astype", "broadcast_to", "concatenate", "divide", "erf", "exp", "getitem", "log", "matmul", "max",
    "mean", "min", "multiply", "negative", "power", "reshape", "sqrt", "subtract", "sum", "tanh", "transpose", "var",
]  # fmt: skip

Axis = int | tuple[int, ...] | None

# What is said if shapes do not fit, see `explained`.
BROADCAST = "the shapes {0} and {1} do not broadcast: from the last axis to the first, lengths must be equal, or 1"
AXES = "a reduction of the shape {0} names each axis once"


# -- arithmetic with broadcasting ----------------------------------------------------------------


@op
@explained(BROADCAST)
def add(a: object, b: object) -> Tensor:
    """Return a + b."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_needing_grad(a, b)

    def vjp(dy: Array):
        return unbroadcast(dy, x_shape), unbroadcast(dy, y_shape)

    return record(x + y, (a, b), vjp)


@op
@explained(BROADCAST)
def subtract(a: object, b: object) -> Tensor:
    """Return a - b."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_needing_grad(a, b)

    def vjp(dy: Array):
        return unbroadcast(dy, x_shape), None if y_shape is None else unbroadcast(-dy, y_shape)

    return record(x - y, (a, b), vjp)


@op
@explained(BROADCAST)
def multiply(a: object, b: object) -> Tensor:
    """Return a * b, element by element."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_needing_grad(a, b)
    product = x * y
    x, y = (x if y_shape is not None else None), (y if x_shape is not None else None)  # each for the other's gradient

    def vjp(dy: Array):
        dx = None if x_shape is None else unbroadcast(dy * y, x_shape)
        dy_ = None if y_shape is None else unbroadcast(dy * x, y_shape)
        return dx, dy_

    return record(product, (a, b), vjp)


@op
@explained(BROADCAST)
def divide(a: object, b: object) -> Tensor:
    """Return a / b, element by element: d(a/b) = da / b - (a/b) db / b."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_needing_grad(a, b)
    out = x / y
    quotient = out if y_shape is not None else None

    def vjp(dy: Array):
        dx = dy / y
        dy_ = None if y_shape is None else unbroadcast(-dx * quotient, y_shape)
        return unbroadcast(dx, x_shape), dy_

    return record(out, (a, b), vjp)


@op
def abs(a: Tensor) -> Tensor:
    """Return the absolute value of each element; its derivative at 0 is 0."""
    x = a.data

    def vjp(dy: Array):
        return (dy * xp_of(x).sign(x),)

    return record(xp_of(x).abs(x), (a,), vjp)


@op
def negative(a: Tensor) -> Tensor:
    """Return -a."""

    def vjp(dy: Array):
        return (-dy,)

    return record(-a.data, (a,), vjp)


@op
def power(a: Tensor, exponent: float) -> Tensor:
    """Return a ** exponent, the exponent a plain number.

    a ** 0 is the constant 1, also at 0, where the general rule 0 * a ** -1 would give nan.

    x * x * x is 2 to 280 times as fast as x ** 3, most so for negative numbers (AMD EPYC, NumPy 2.4.6).

    Raises:
        DTypeError: if `a` is not a Tensor, or the exponent is one, or is not a real number.
    """
    if not isinstance(a, Tensor):
        raise DTypeError("an exponent must be a plain number, not a Tensor: a ** x is (x * math.log(a)).exp()")
    if not isinstance(exponent, numbers.Real):
        raise DTypeError(f"the exponent must be a plain number, not {type(exponent).__name__}")
    x, exponent = a.data, float(exponent)  # NumPy's own numbers would impose their element type

    def vjp(dy: Array):
        if exponent == 0.0:
            return (xp_of(dy).zeros_like(dy),)
        return (dy * x ** (exponent - 1) * exponent,)

    return record(x**exponent, (a,), vjp)


# -- functions of one number ---------------------------------------------------------------------


@op
def exp(a: Tensor) -> Tensor:
    """Return e ** a, which is its own derivative."""
    out = xp_of(a.data).exp(a.data)
    result = saved(out)

    def vjp(dy: Array):
        return (dy * result(),)

    return record(out, (a,), vjp)


@op
def log(a: Tensor) -> Tensor:
    """Return the natural logarithm."""
    x = a.data

    def vjp(dy: Array):
        return (dy / x,)

    return record(xp_of(x).log(x), (a,), vjp)


@op
def sqrt(a: Tensor) -> Tensor:
    """Return the square root."""
    out = xp_of(a.data).sqrt(a.data)
    result = saved(out)

    def vjp(dy: Array):
        return (dy * 0.5 / result(),)

    return record(out, (a,), vjp)


@op
def tanh(a: Tensor) -> Tensor:
    """Return the hyperbolic tangent; its derivative is 1 - tanh²."""
    out = xp_of(a.data).tanh(a.data)
    result = saved(out)

    def vjp(dy: Array):
        y = result()
        return (dy * (1.0 - y * y),)

    return record(out, (a,), vjp)


@op
def erf(a: Tensor) -> Tensor:
    """Return the error function; its derivative is 2/√π exp(-a²)."""
    x = a.data

    def vjp(dy: Array):
        return (dy * (xp_of(x).exp(-x * x) * (2.0 / math.sqrt(math.pi))),)

    return record(erf_array(x), (a,), vjp)


@op
def astype(a: Tensor, dtype: object) -> Tensor:
    """Return the same numbers in another floating-point type; the gradient has the type of `a`.

    Raises:
        DTypeError: if `dtype` is not a floating-point type.
    """
    before = a.dtype
    out = a.data.astype(dtype)
    if not is_float(out.dtype):
        raise DTypeError(f"a Tensor holds floating-point numbers, not {out.dtype}")

    def vjp(dy: Array):
        return (dy.astype(before),)

    return record(out, (a,), vjp)


# -- products ------------------------------------------------------------------------------------


@op
@explained(
    "the shapes {0} @ {1} do not fit: the first's last axis must be as long as the second's last axis but one, and the "
    "axes before these must broadcast"
)
def matmul(a: object, b: object) -> Tensor:
    """Return a @ b with NumPy's rules: vectors, matrices, and stacks of matrices that broadcast."""
    x, y = operands(a, b)
    x_shape, y_shape = shapes_needing_grad(a, b)
    if not (getattr(x, "ndim", 0) and getattr(y, "ndim", 0)):
        raise ShapeError("a matrix product needs one axis or more on each side; multiply by a single number with *")

    def vjp(dy: Array):
        # A vector is a matrix of one row (left) or one column (right).
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


@op
@explained(AXES)
def sum(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum over `axis` (all axes if None): every summand receives the whole gradient."""
    x_shape = a.shape

    def vjp(dy: Array):
        return (xp_of(dy).broadcast_to(restore_axes(dy, x_shape, axis, keepdims), x_shape),)

    return record(a.data.sum(axis=axis, keepdims=keepdims), (a,), vjp)


@op
@explained(AXES)
def mean(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean over `axis` (all axes if None); nan if there are no elements, as in NumPy."""
    x_shape = a.shape
    total = a.data.sum(axis=axis, keepdims=keepdims)
    count = count_over(x_shape, axis)

    def vjp(dy: Array):
        dy = xp_of(dy).broadcast_to(restore_axes(dy, x_shape, axis, keepdims), x_shape)
        return (divided(dy, count),)

    return record(divided(total, count), (a,), vjp)


@op
@explained(AXES)
def var(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the variance over `axis` (all axes if None): the mean of the squared differences from the mean."""
    x = a.data
    total = x.sum(axis=axis, keepdims=True)
    count = count_over(x.shape, axis)
    centred = x - divided(total, count)
    squares = (centred * centred).sum(axis=axis, keepdims=keepdims)

    def vjp(dy: Array):
        # An element changes the mean too, which changes nothing: the centred elements add up to 0.
        dy = divided(restore_axes(dy, centred.shape, axis, keepdims), count)
        return (dy * 2.0 * centred,)

    return record(divided(squares, count), (a,), vjp)


@op
@explained(AXES)
def max(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest element over `axis` (all axes if None); elements that tie share the gradient evenly."""
    return extreme(a, "max", axis, keepdims)


@op
@explained(AXES)
def min(a: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over `axis` (all axes if None); elements that tie share the gradient evenly."""
    return extreme(a, "min", axis, keepdims)


def extreme(a: Tensor, name: str, axis: Axis, keepdims: bool) -> Tensor:
    """Return the "max" or "min" (`name`) over `axis`. As in NumPy, nan is both the largest and the smallest."""
    x = a.data
    if not (x.size or count_over(x.shape, axis)):
        raise ShapeError(f"{name} of no elements: the Tensor has shape {x.shape} and axis is {axis}")
    found = getattr(x, name)(axis=axis, keepdims=True)

    def vjp(dy: Array):
        chosen = ((x == found) | (x != x)).astype(x.dtype)
        share = restore_axes(dy, x.shape, axis, keepdims) / chosen.sum(axis=axis, keepdims=True)
        return (chosen * share,)

    return record(found if keepdims else found.squeeze(axis), (a,), vjp)


# -- shape ---------------------------------------------------------------------------------------


@op
@explained("a Tensor of shape {0} does not fit into the shape {given[1]}: the number of elements must stay the same")
def reshape(a: Tensor, shape: int | Sequence[int]) -> Tensor:
    """Return the same elements, in row-major order, in another shape; one length may be -1."""
    x_shape = a.shape

    def vjp(dy: Array):
        return (dy.reshape(x_shape),)

    return record(a.data.reshape(_lengths(shape)), (a,), vjp)


@op
@explained("the order of axes {given[1]} does not fit the shape {0}: name each axis once")
def transpose(a: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Return the axes in another order, by default reversed."""
    out = a.data.transpose(axes)
    order = tuple(range(a.ndim))[::-1] if axes is None else tuple(axis % a.ndim for axis in axes)
    back = tuple(order.index(axis) for axis in range(len(order)))

    def vjp(dy: Array):
        return (dy.transpose(back),)

    return record(out, (a,), vjp)


@op
@explained(
    "the shape {0} does not broadcast to {given[1]}: from the last axis to the first, lengths must be equal, or 1 in "
    "{0}"
)
def broadcast_to(a: Tensor, shape: int | Sequence[int]) -> Tensor:
    """Return the tensor repeated to `shape`, by NumPy's broadcasting rules."""
    x_shape = a.shape

    def vjp(dy: Array):
        return (unbroadcast(dy, x_shape),)

    return record(xp_of(a.data).broadcast_to(a.data, _lengths(shape)), (a,), vjp)


@op
def getitem(a: Tensor, index: object) -> Tensor:
    """Return a[index], with slices, integers, None, Ellipsis, masks and arrays of positions.

    Raises:
        DTypeError: if a part of the index is a Tensor.
        IndexError: NumPy's, if a position is out of range, or a part of the index is something else.
    """
    x_shape = a.shape
    if any(isinstance(part, Tensor) for part in (index if isinstance(index, tuple) else (index,))):
        raise DTypeError("an index has integers or is a mask: give an array, not a Tensor, whose numbers are floats")
    index = deepcopy(index_for(a.data, index))  # backward needs it as it is now

    def vjp(dy: Array):
        return (scatter(dy, index, x_shape),)  # a position may be picked twice: its gradients add up

    return record(a.data[index], (a,), vjp)


@op
@explained("the shapes {0} cannot be concatenated: all axes but the one of `axis` must be equally long")
def concatenate(tensors: Iterable[Tensor], axis: int | None = 0) -> Tensor:
    """Return several tensors, one after the other along `axis`; if it is None, their elements in row-major order.

    Raises:
        DTypeError: if there is no Tensor, or two have different element types.
        ShapeError: if the shapes differ in another axis, or there is no such axis.
    """
    tensors = list(tensors)  # they are read twice, and a generator can be read once
    arrays = operands(*tensors)
    shapes = [array.shape for array in arrays]
    if axis is None:
        arrays, axis = [array.reshape(-1) for array in arrays], 0
    xp = xp_of(arrays[0])
    out = xp.concatenate(arrays, axis=axis)
    ends = list(accumulate(array.shape[axis] for array in arrays))

    def vjp(dy: Array):
        parts = xp.split(dy, ends[:-1], axis=axis)
        return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))

    return record(out, tensors, vjp)


# -- what several ops share ----------------------------------------------------------------------


def operands(*inputs: object) -> tuple[Array, ...]:
    """Return the arrays behind an op's inputs.

    Array constants are converted to the Tensors' element type. Plain numbers stay plain: NumPy adapts them.

    Raises:
        DTypeError: if there is no Tensor, if two have different element types, or a constant is not numeric.
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


def operands_or_none(*inputs: object) -> tuple[Any, ...]:
    """Return the arrays behind an op's inputs as `operands` does, and None for an input that is None."""
    arrays = iter(operands(*[x for x in inputs if x is not None]))
    return tuple([None if x is None else next(arrays) for x in inputs])


def _constant(x: Any, like: Array) -> Array:
    """Return a constant operand of `like`: a plain number unchanged, anything else as an array of the same type."""
    if isinstance(x, int | float) and not is_array(x) and like.dtype.kind == "f":  # a type of NumPy's
        return x
    array = xp_of(like).asarray(plain_array(x))
    if not holds_numbers(array.dtype):
        raise DTypeError(f"a constant beside a Tensor must be numbers: found {type(x).__name__} of {array.dtype}")
    return array.astype(like.dtype, copy=False)


def shapes_needing_grad(*inputs: object) -> tuple[tuple[int, ...] | None, ...]:
    """Return the shape of each input whose gradient is needed, None for the others."""
    return tuple([x._data.shape if isinstance(x, Tensor) and x.requires_grad else None for x in inputs])


def count_over(shape: tuple[int, ...], axis: Axis) -> int:
    """Return how many elements of an array a reduction over `axis` combines into one.

    Raises:
        ShapeError: if there is no such axis.
    """
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    try:
        return math.prod(shape[i] for i in axes) if shape else 1  # NumPy takes axis 0 of a single number too
    except IndexError as error:
        raise AxisError(f"axis {axis} is out of bounds: the Tensor has shape {shape}") from error


def _lengths(shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return a shape as a tuple: an integer is the length of the only axis."""
    return (shape,) if isinstance(shape, numbers.Integral) else tuple(shape)  # type: ignore[arg-type,return-value]


def divided(total: Array, count: int) -> Array:
    """Return total / count, or nan for a count of 0, without NumPy's warning."""
    return total / count if count else total * math.nan


def unbroadcast(dy: Array, shape: tuple[int, ...] | None) -> Array:
    """Undo broadcasting: a value that was repeated receives the sum of its copies' gradients.

    Args:
        dy: the gradient of the value after broadcasting.
        shape: of the value before; None if its gradient is not needed.

    Returns:
        An array of that shape, or None.
    """
    if shape is None:
        return None
    if dy.shape == shape:
        return dy
    new = dy.ndim - len(shape)  # axes that broadcasting put in front
    stretched = [new + i for i, length in enumerate(shape) if length == 1]
    return sum_over(dy, (*range(new), *stretched)).reshape(shape)


def restore_axes(dy: Array, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Array:
    """Return `dy` with the axes of `shape`, of length 1, that a reduction over `axis` removed."""
    if keepdims:
        return dy
    reduced = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else [axis]
    reduced = {i % len(shape) for i in reduced} if shape else set()
    return dy.reshape([1 if i in reduced else length for i, length in enumerate(shape)])


__getattr__ = old_names(__name__, {"shapes_wanted": "shapes_needing_grad"})
