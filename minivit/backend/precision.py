"""Mixed precision: casts around ops, by a table, as PyTorch's autocast does it.

Half precision has few binary digits, 11 in float16 and 8 in bfloat16: too few for sums, statistics and exponentials
(arXiv 1710.03740). If an op gets Tensors in half precision, `autocast` gives it float32 copies of them and rounds its
result to their type, once, at the end. Both casts are ops themselves (`Tensor.astype`), so the gradient is cast on its
way back. float32 and float64 pass through unchanged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .arrays import Array, row_blocks, underflow_is_harmless, xp_of
from .threads import PerThread

Function = TypeVar("Function", bound=Callable[..., Any])

# Ops that get half precision uncast: they move numbers, do one operation on each, or use functions that compute in
# float32 themselves (`with_derivative` below, `products.py`). Any other op computes in float32.
UNCAST = frozenset({
    "abs", "add", "astype", "broadcast_to", "concatenate", "conv2d", "gelu", "getitem", "linear", "matmul", "max_pool",
    "negative", "patchify", "reshape", "subtract", "transpose",
})  # fmt: skip

# Ops whose kernels on a GPU read half precision and compute in float32: there they need no casts around them, which
# would write the numbers twice as wide before they are read again.
UNCAST_ON_GPU = frozenset({"attention", "attention_with_weights", "dropout", "layer_norm"})

# Functions whose result stays float32: a loss is the start of all gradients.
FLOAT32_RESULT = frozenset({"cross_entropy"})


class Narrow(NamedTuple):
    """What an op's arrays were before they were cast to float32.

    Attributes:
        dtype: float16 or bfloat16.
        arrays: by the identity of each float32 array, the array that it was cast from.
    """

    dtype: np.dtype
    arrays: dict[int, Array]


_narrow: PerThread[Narrow | None] = PerThread(None)  # of the op that runs in this thread, if its inputs were cast


def wide(x: Array) -> Array:
    """Return an array in half precision as float32, and any other unchanged."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def wide_type(dtype: np.dtype) -> np.dtype:
    """Return the element type that sums over numbers of a type are computed in: float32 for half precision."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def place_for(x: Array, dtype: np.dtype) -> Array:
    """Return an array of this type into which x can be rounded: x itself if it has the type, else a new one."""
    return x if x.dtype == dtype else xp_of(x).empty(x.shape, dtype)


def autocast(function: Function, tensor: type, uncast: Iterable[str] = UNCAST, saves: bool = True) -> Function:
    """Let a function of Tensors compute in float32 where they are in half precision.

    Args:
        function: takes Tensors and other things; returns a Tensor, or a tuple of Tensors and arrays.
        tensor: the class of Tensors; it has `data` and `astype`.
        uncast: names of functions that are returned unchanged.
        saves: whether `saved` rounds what the function keeps for backward.

    Returns:
        The function. In half precision its results have the type of its Tensors, unless it is in `FLOAT32_RESULT`.
    """
    if function.__name__ in uncast:
        return function

    reads_half_on_gpu = function.__name__ in UNCAST_ON_GPU and saves

    def half_type_of(arguments: tuple[Any, ...]) -> np.dtype | None:
        for x in arguments:
            if isinstance(x, tensor):  # the first Tensor decides
                data = x.data  # type: ignore[attr-defined]
                casts = data.dtype.itemsize == 2 and not (reads_half_on_gpu and xp_of(data) is not np)
                return data.dtype if casts else None
        return None

    @functools.wraps(function)
    def call(*inputs: Any, **options: Any) -> Any:
        arguments = (*inputs, *options.values()) if options else inputs
        half = half_type_of(arguments)
        if half is None or any(isinstance(y, tensor) and y.data.dtype != half for y in arguments):
            return function(*inputs, **options)  # which says so if types do not mix
        narrow = Narrow(half, {})

        def cast(y: Any) -> Any:
            if not isinstance(y, tensor):
                return y
            result = y.astype(np.float32)
            narrow.arrays[id(result.data)] = y.data
            return result

        with underflow_is_harmless(), _narrow.set_to(narrow if saves else None):
            results = function(*map(cast, inputs), **{name: cast(y) for name, y in options.items()})
            if function.__name__ in FLOAT32_RESULT:
                return results
            return tuple(y.astype(half) for y in results) if isinstance(results, tuple) else results.astype(half)

    return call  # type: ignore[return-value]


def saved(x: Array) -> Callable[[], Array]:
    """Save an array for the backward pass, in the type of the op's inputs.

    In half precision this takes half of the memory, and costs a rounding; an input of the op is not copied.

    Returns:
        A function that returns the array: the same one, or a new one that was rounded.
    """
    narrow = _narrow.value
    if narrow is None:
        return lambda: x
    small = narrow.arrays[id(x)] if id(x) in narrow.arrays else x.astype(narrow.dtype)
    return lambda: small.astype(np.float32)


def with_derivative(function: Callable[..., None], x: Array, needs_derivative: bool) -> tuple[Array, Array | None]:
    """Compute an element-wise function and its derivative, in blocks that fit into a core's cache.

    In half precision both are computed in float32 and rounded once; on a GPU the function's kernel does so by itself.

    Args:
        function: marked `@elementwise`; writes its values of the first array into the second, and its derivative into
            the third unless that is None.
        x: of any shape.
        needs_derivative: whether to compute the derivative.

    Returns:
        The values and the derivative, or None, of the shape and type of x.
    """
    flat = (wide(x) if xp_of(x) is np else x).reshape(-1)
    values = xp_of(x).empty_like(flat)
    derivative = xp_of(x).empty_like(flat) if needs_derivative else None
    for block in row_blocks(flat):
        function(flat[block], values[block], None if derivative is None else derivative[block])
    rounded = [None if y is None else y.astype(x.dtype, copy=False).reshape(x.shape) for y in (values, derivative)]
    return rounded[0], rounded[1]
