"""One launch on a GPU where array operations would take many: a NumPy function beside its twin in `kernels.cu`."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

SOURCE = Path(__file__).with_name("kernels.cu")
LANES = 32  # threads of a warp
BLOCK = 256  # threads of a block
TYPES = {"float32": "float", "float64": "double"}

Function = TypeVar("Function", bound=Callable[..., None])
KERNELS: dict[str, Callable[..., None]] = {}  # the functions that have a kernel, by name


def with_kernel(per_row: bool = False) -> Callable[[Function], Function]:
    """Let the kernel of the same name do what the decorated function does, where the arrays lie on a GPU.

    For small models launches dominate: one takes microseconds, whatever it computes. The forward and backward pass of
    an encoder block is 42 launches where it would be 133.

    The function writes into arrays that it is given; those that are not wanted may be None. All are of float32 or of
    float64 alike, and those that are written are contiguous.

    Args:
        per_row: a warp works on each row of the first array's last axis; else a thread on each element.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(x: Any, *arguments: Any) -> None:
            if isinstance(x, np.ndarray):
                function(x, *arguments)
            else:
                _launch(function.__name__, per_row, x, *arguments)

        KERNELS[function.__name__] = function
        return call  # type: ignore[return-value]

    return decorate


@functools.lru_cache(maxsize=64)
def row_of_ones(xp: ModuleType, length: int, dtype: np.dtype, gpu: int | None) -> Any:
    """Ones of shape (1, length), made once for each GPU; not to be changed."""
    return xp.ones((1, length), dtype)


def _launch(name: str, per_row: bool, *arguments: Any) -> None:
    """Tell the GPU of the first array to run a kernel."""
    x = arguments[0]
    if not x.size:
        return
    rows, n = x.size // x.shape[-1], x.shape[-1]
    threads = rows * LANES if per_row else x.size
    values = [_value(name, place, value, x.dtype) for place, value in enumerate(arguments)]
    kernel = _kernels(tuple(KERNELS)).get_function(f"{name}<{TYPES[x.dtype.name]}>")
    kernel((-(-threads // BLOCK),), (BLOCK,), (rows, n, *values))


def _value(name: str, place: int, value: Any, dtype: np.dtype) -> Any:
    """What a kernel is given for an argument: CuPy makes whole numbers 64 bits long and others `double`."""
    if value is None:
        return np.uintp(0)  # a null pointer
    if not hasattr(value, "dtype") or (value.dtype == dtype and value.flags.c_contiguous):
        return value
    if value.dtype == dtype and _inputs()[name][place]:
        return importlib.import_module("cupy").ascontiguousarray(value)
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
def _kernels(names: tuple[str, ...]) -> Any:
    """The compiled kernels; CuPy keeps what it compiled in the user's home folder."""
    return importlib.import_module("cupy").RawModule(
        code=SOURCE.read_text(encoding="utf-8"),
        options=("-std=c++14",),
        name_expressions=[f"{name}<{element}>" for name in names for element in TYPES.values()],
    )
