"""Few launches on a GPU: a function of arrays has a twin in `kernels.cu`, which does the same in one launch.

For small models launches dominate: each takes microseconds, whatever it computes. For large ones, memory does: a kernel
reads half precision and computes in float32, where array operations would first write a copy in float32. With these
kernels the forward and backward pass of an encoder block is 40 launches, products included.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import numbers
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .cublas import contiguous_on_gpu
from .cuda import current_gpu

SOURCE = Path(__file__).with_name("kernels.cu")
LANES = 32  # threads of a warp
BLOCK = 256  # threads of a block
MOST_BLOCKS = 2_048  # enough to fill any GPU; each thread then goes on to further elements
TYPES = {"float32": "float", "float64": "double", "float16": "Half", "bfloat16": "Bfloat16"}
# Sums over rows are made in parts, a warp for each: enough warps to hide a GPU's memory, and rows enough for each that
# the parts take little memory beside them.
MOST_PARTS, ROWS_OF_A_PART = 2_048, 16

Function = TypeVar("Function", bound=Callable[..., None])


class Kernel(NamedTuple):
    """What a kernel does with its arguments, by their names in the NumPy function.

    Attributes:
        arguments: all of them, in order.
        per_row: whether it has a warp for each row, or a thread for each element.
        reads: arrays that it reads.
        writes: arrays that it writes; those that it changes are in `reads` too.
        wide: arrays in the type that it computes in: float32 where the others are in half precision.
    """

    arguments: tuple[str, ...]
    per_row: bool
    reads: frozenset[str]
    writes: frozenset[str]
    wide: frozenset[str]


KERNELS: dict[str, Kernel] = {}  # by name; the marks `rowwise` and `elementwise` fill it


def rowwise(reads: str, writes: str, wide: str = "") -> Callable[[Function], Function]:
    """Mark a function that treats each row of its first array's last axis by itself.

    It writes into arrays that it is given; arrays that are not needed may be None. All arrays are contiguous and have
    one element type, except for those in `wide`, which are float32 if the others are in half precision. The other
    arguments are numbers, and none is passed by name.

    On a GPU the kernel of the same name runs instead: a warp for each row.

    Args:
        reads, writes, wide: names of arguments, see `Kernel`.
    """
    return _with_gpu_kernel(True, reads, writes, wide)


def elementwise(reads: str, writes: str, wide: str = "") -> Callable[[Function], Function]:
    """Mark a function that treats each element of its arrays by itself; the rules are those of `rowwise`.

    On a GPU, the kernel of the same name runs instead: a thread for each element.
    """
    return _with_gpu_kernel(False, reads, writes, wide)


def parts_of_rows(x: Any) -> int:
    """Return in how many parts the rows of a matrix should be summed: 1 on a processor."""
    return 1 if isinstance(x, np.ndarray) else max(1, min(MOST_PARTS, x.shape[0] // ROWS_OF_A_PART))


def _with_gpu_kernel(per_row: bool, reads: str, writes: str, wide: str) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        name, arguments = function.__name__, tuple(inspect.signature(function).parameters)
        KERNELS[name] = Kernel(arguments, per_row, *(frozenset(names.split()) for names in (reads, writes, wide)))

        @functools.wraps(function)
        def call(x: Any, *others: Any) -> None:
            if isinstance(x, np.ndarray):
                function(x, *others)
            elif x.size:
                _launch(name, x, *others)

        call.has_gpu_kernel = True  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def _launch(name: str, *values: Any) -> None:
    """Launch a kernel on the GPU of the first array, which must be this thread's."""
    kernel, x = KERNELS[name], values[0]
    if x.device.id != current_gpu():
        raise ValueError(f"{name}: the array is on GPU {x.device.id}, this thread computes on GPU {current_gpu()}")
    given = dict(zip(kernel.arguments, values, strict=True))
    stored = next(value.dtype for argument, value in given.items() if _is_stored(kernel, argument, value))
    rows, n = x.size // x.shape[-1], x.shape[-1]
    threads = rows * LANES if kernel.per_row else x.size
    passed = [_value(name, argument, value, stored) for argument, value in given.items()]
    blocks = min(-(-threads // BLOCK), MOST_BLOCKS)
    _kernel(name, TYPES[stored.name])((blocks,), (BLOCK,), (rows, n, *passed))


def _is_stored(kernel: Kernel, argument: str, value: Any) -> bool:
    """Return whether an argument is an array in the type that the kernel's arrays are stored in."""
    return argument in kernel.reads | kernel.writes and argument not in kernel.wide and value is not None


def _value(name: str, argument: str, value: Any, stored: np.dtype) -> Any:
    """Return what CuPy passes to a kernel for an argument: a `double` for a number, a pointer for an array or None."""
    if value is None:
        return np.uintp(0)
    if isinstance(value, numbers.Real):
        return float(value)
    kernel = KERNELS[name]
    dtype = np.dtype(np.float32) if argument in kernel.wide and stored.itemsize == 2 else stored
    if value.dtype == dtype and value.flags.c_contiguous:
        return value
    if value.dtype == dtype and argument not in kernel.writes:
        return contiguous_on_gpu(value)
    raise TypeError(f"{name} cannot use a {value.dtype} array of strides {value.strides} as {argument}")


@functools.cache
def _kernel(name: str, element: str) -> Any:
    """Return a kernel for arrays of an element type of `TYPES`; CuPy loads it on each GPU that it is launched on."""
    return _module(importlib.import_module("cupy"), tuple(KERNELS)).get_function(f"{name}<{element}>")


@functools.cache
def _module(cupy: ModuleType, names: tuple[str, ...]) -> Any:
    """Return kernels, compiled; CuPy caches them in the user's home folder."""
    return cupy.RawModule(
        code=SOURCE.read_text(encoding="utf-8"),
        options=("-std=c++14", f"-DLANES={LANES}"),
        name_expressions=[f"{name}<{element}>" for name in names for element in TYPES.values()],
    )
