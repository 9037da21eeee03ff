"""Few launches on a GPU: a function stands beside its twin in `kernels.cu`, which does the same in one.

For small models launches dominate: one takes microseconds, whatever it computes. The forward and backward pass of an
encoder block is 49 launches, products among them, where it would be 146.
"""

from __future__ import annotations

import functools
import importlib
import numbers
import re
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
MOST_BLOCKS = 2_048  # enough to fill any card; a thread then strides on, and need not begin anew
TYPES = {"float32": "float", "float64": "double"}

Function = TypeVar("Function", bound=Callable[..., None])


def with_gpu_kernel(per_row: bool = False) -> Callable[[Function], Function]:
    """Let the kernel of the same name do what the decorated function does, where arrays of these TYPES lie on a GPU.

    The function writes into arrays that it is given; those that are not wanted may be None. All are of the first one's
    type, and those that are written are contiguous. Its other arguments are numbers, and none is passed by name.

    Args:
        per_row: a warp works on each row of the first array's last axis; else a thread on each element.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(x: Any, *arguments: Any) -> None:
            if isinstance(x, np.ndarray) or x.dtype.name not in TYPES:
                function(x, *arguments)
            elif x.size:
                _launch(function.__name__, per_row, x, *arguments)

        call.has_gpu_kernel = True  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def _launch(name: str, per_row: bool, *arguments: Any) -> None:
    """Tell the GPU of the first array, which must be this thread's, to run a kernel."""
    x = arguments[0]
    if x.device.id != current_gpu():
        raise ValueError(f"{name}: the array lies on GPU {x.device.id}, this thread computes on GPU {current_gpu()}")
    rows, n = x.size // x.shape[-1], x.shape[-1]
    threads = rows * LANES if per_row else x.size
    values = [_value(name, place, value, x.dtype) for place, value in enumerate(arguments)]
    blocks = min(-(-threads // BLOCK), MOST_BLOCKS)
    _kernel(name, TYPES[x.dtype.name])((blocks,), (BLOCK,), (rows, n, *values))


def _value(name: str, place: int, value: Any, dtype: np.dtype) -> Any:
    """What CuPy hands to a kernel for an argument: a `double` for a number, a pointer for an array or None."""
    if value is None:
        return np.uintp(0)
    if isinstance(value, numbers.Real):
        return float(value)
    if value.dtype == dtype and value.flags.c_contiguous:
        return value
    if value.dtype == dtype and _inputs()[name][place]:
        return contiguous_on_gpu(value)
    raise TypeError(f"{name} cannot use a {value.dtype} array of strides {value.strides} as argument {place}")


@functools.cache
def _inputs() -> dict[str, list[bool]]:
    """Of each kernel's arguments, which are arrays that are only read."""
    signatures = re.findall(r"__global__ void (\w+)\((.*?)\) {", SOURCE.read_text(encoding="utf-8"), re.DOTALL)
    return {
        name: [argument.strip().startswith("const") for argument in arguments.split(",")[2:]]
        for name, arguments in signatures
    }


@functools.cache
def _kernel(name: str, element: str) -> Any:
    """A kernel for arrays of "float" or "double", which CuPy loads on each GPU that it is launched on."""
    return _module(importlib.import_module("cupy")).get_function(f"{name}<{element}>")


@functools.cache
def _module(cupy: ModuleType) -> Any:
    """All kernels, compiled; CuPy keeps what it compiled in the user's home folder."""
    return cupy.RawModule(
        code=SOURCE.read_text(encoding="utf-8"),
        options=("-std=c++14", f"-DLANES={LANES}"),
        name_expressions=[f"{name}<{element}>" for name in _inputs() for element in TYPES.values()],
    )


@functools.lru_cache(maxsize=64)
def row_of_ones(xp: ModuleType, length: int, dtype: np.dtype, gpu: int | None) -> Any:
    """Ones of shape (1, length), made once for each GPU; not to be changed."""
    return xp.ones((1, length), dtype)
