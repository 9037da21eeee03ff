"""Few launches on a GPU: a function of arrays has a twin in `kernels.cu`, which does the same in one launch.

For small models launches dominate: each takes microseconds, whatever it computes. With these kernels the forward and
backward pass of an encoder block is 49 launches, products included; without them it is 146.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import numbers
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from .cublas import contiguous_on_gpu
from .cuda import current_gpu

SOURCE = Path(__file__).with_name("kernels.cu")
LANES = 32  # threads of a warp
BLOCK = 256  # threads of a block
MOST_BLOCKS = 2_048  # enough to fill any GPU; each thread then goes on to further elements
TYPES = {"float32": "float", "float64": "double"}

Function = TypeVar("Function", bound=Callable[..., None])


# For each kernel, which of its arguments it writes. The marks `rowwise` and `elementwise` fill it.
KERNELS: dict[str, list[bool]] = {}


def rowwise(*written: str) -> Callable[[Function], Function]:
    """Mark a function that treats each row of its first array's last axis by itself.

    It writes into arrays that it is given; those that are not needed may be None. All have the first one's element
    type, and those that are written are contiguous. The other arguments are numbers, and none is passed by name.

    On a GPU, where the arrays have one of these TYPES, the kernel of the same name runs instead: a warp for each row.

    Args:
        *written: the names of the arguments that the kernel writes.
    """
    return functools.partial(_with_gpu_kernel, written=written, per_row=True)


def elementwise(*written: str) -> Callable[[Function], Function]:
    """Mark a function that treats each element of its arrays by itself; the rules are those of `rowwise`.

    On a GPU, the kernel of the same name runs instead: a thread for each element.

    Args:
        *written: the names of the arguments that the kernel writes.
    """
    return functools.partial(_with_gpu_kernel, written=written, per_row=False)


def _with_gpu_kernel(function: Function, written: tuple[str, ...], per_row: bool) -> Function:
    KERNELS[function.__name__] = [name in written for name in inspect.signature(function).parameters]

    @functools.wraps(function)
    def call(x: Any, *arguments: Any) -> None:
        if isinstance(x, np.ndarray) or x.dtype.name not in TYPES:
            function(x, *arguments)
        elif x.size:
            _launch(function.__name__, per_row, x, *arguments)

    call.has_gpu_kernel = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _launch(name: str, per_row: bool, *arguments: Any) -> None:
    """Launch a kernel on the GPU of the first array, which must be this thread's."""
    x = arguments[0]
    if x.device.id != current_gpu():
        raise ValueError(f"{name}: the array is on GPU {x.device.id}, this thread computes on GPU {current_gpu()}")
    rows, n = x.size // x.shape[-1], x.shape[-1]
    threads = rows * LANES if per_row else x.size
    values = [_value(name, place, value, x.dtype) for place, value in enumerate(arguments)]
    blocks = min(-(-threads // BLOCK), MOST_BLOCKS)
    _kernel(name, TYPES[x.dtype.name])((blocks,), (BLOCK,), (rows, n, *values))


def _value(name: str, place: int, value: Any, dtype: np.dtype) -> Any:
    """Return what CuPy passes to a kernel for an argument: a `double` for a number, a pointer for an array or None."""
    if value is None:
        return np.uintp(0)
    if isinstance(value, numbers.Real):
        return float(value)
    if value.dtype == dtype and value.flags.c_contiguous:
        return value
    if value.dtype == dtype and not KERNELS[name][place]:
        return contiguous_on_gpu(value)
    raise TypeError(f"{name} cannot use a {value.dtype} array of strides {value.strides} as argument {place}")


@functools.cache
def _kernel(name: str, element: str) -> Any:
    """Return a kernel for arrays of "float" or "double"; CuPy loads it on each GPU that it is launched on."""
    return _module(importlib.import_module("cupy"), tuple(KERNELS)).get_function(f"{name}<{element}>")


@functools.cache
def _module(cupy: ModuleType, names: tuple[str, ...]) -> Any:
    """Return kernels, compiled; CuPy caches them in the user's home folder."""
    return cupy.RawModule(
        code=SOURCE.read_text(encoding="utf-8"),
        options=("-std=c++14", f"-DLANES={LANES}"),
        name_expressions=[f"{name}<{element}>" for name in names for element in TYPES.values()],
    )
