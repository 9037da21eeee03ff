"""Arrays of NumPy on a processor and of CuPy on a GPU.

An op begins with `xp = xp_of(x)` and calls functions of `xp`, so that the same lines run on either. Where the two
libraries differ, a function here hides it.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from ..errors import DTypeError, ShapeError
from ..utils.aliases import old_names
from .cores import cpu_quota
from .gpu.cuda import find_gpu, to_cuda

Array: TypeAlias = Any  # a numpy.ndarray or a cupy.ndarray
NUMPY_TYPES = np.ndarray, np.generic

# A chain of element-wise passes over 256k float32 elements (1 MiB) stays in the caches: the passes after the first then
# run several times as fast. Between passes the threads wait for Python's interpreter lock, so small blocks cost more:
# with 64k, two threads train ViT-XS_4-CIFAR at 0.88 of the speed, ViT-Ti_4-CIFAR and ViT-S_16 at 0.98 (AMD, Zen 5).
BLOCK_ELEMENTS = 262_144


def xp_of(x: Array) -> ModuleType:
    """Return the library of an array: `numpy`, or the package that defines its type (`cupy`)."""
    if isinstance(x, NUMPY_TYPES):
        return np
    return sys.modules[type(x).__module__.partition(".")[0]]


def is_array(x: object) -> bool:
    """Return whether `x` is an array of NumPy or of a library like it, and not a plain number or list."""
    return hasattr(x, "__array_interface__") or hasattr(x, "__cuda_array_interface__")


def plain_array(x: object) -> Array:
    """Return `x` as a plain NumPy array in this machine's byte order; an array of a GPU is returned unchanged.

    A subclass with other rules, such as `numpy.matrix` or `numpy.memmap`, becomes a plain array of the same memory.
    Numbers in another byte order, as some file formats store them, are copied.

    Raises:
        DTypeError: for a masked array, whose mask would be lost.
        ShapeError: for lists of different lengths.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise DTypeError("a masked array has no values at its gaps: fill them first, with x.filled(number)")
    if hasattr(x, "__cuda_array_interface__"):
        return x
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ShapeError(f"these numbers do not form an array: {error}") from error
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def holds_numbers(dtype: np.dtype) -> bool:
    """Return whether the elements are real numbers or truth values."""
    return dtype.kind in "iub" or is_float(dtype)


def as_array(x: Array) -> Array:
    """Return `x` as an array: a result without axes is a scalar in NumPy, and an array in CuPy."""
    return np.asarray(x) if isinstance(x, np.generic) else x


def erf(x: Array) -> Array:
    """Return the error function of each element; SciPy is imported at the first call."""
    package = "scipy" if xp_of(x) is np else "cupyx.scipy"
    return importlib.import_module(f"{package}.special").erf(x).astype(x.dtype, copy=False)


def is_float(dtype: np.dtype) -> bool:
    """Return whether a type is one of floating-point numbers; NumPy does not know bfloat16, which `ml_dtypes` adds."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def underflow_is_harmless() -> np.errstate:
    """Let a number that is too small for its type become 0, in a `with` block or a decorated function.

    It becomes 0 even if the caller has told NumPy to raise at underflow: an exponential far below the largest must be
    0, and so must its products. (1 us a call.)
    """
    return np.errstate(under="ignore")


def extremes_are_harmless() -> np.errstate:
    """Do as `underflow_is_harmless`, and for overflow too: exp(-inf) is 0, and tanh(inf) is 1."""
    return np.errstate(under="ignore", over="ignore")


def row_blocks(x: Array) -> Iterator[slice]:
    """Yield slices of the first axis that hold about `BLOCK_ELEMENTS` each; on a GPU one slice holds everything."""
    rows = x.shape[0]
    step = max(1, BLOCK_ELEMENTS * rows // max(1, x.size)) if xp_of(x) is np else max(1, rows)
    for start in range(0, max(1, rows), step):
        yield slice(start, start + step)


# -- devices -------------------------------------------------------------------------------------


def to_device(x: Array, device: str) -> Array:
    """Return an array on a device, "cpu", "cuda" or "cuda:i"; the same array if it is there already.

    Raises:
        ConfigError: for another name, and if there is no such GPU that can be used.
        MissingExtraError: if the device is a GPU and CuPy is not installed, or was made for another CUDA.
    """
    return to_numpy(x) if device == "cpu" else to_cuda(x, device)


def check_device(device: str) -> None:
    """Raise the errors of `to_device` if a device cannot be used, before anything is read, measured or written."""
    if device != "cpu":
        find_gpu(device)


def beside(x: Array, y: Array) -> Array:
    """Return `y` on the device of `x`; the same array if it is there already."""
    if isinstance(x, np.ndarray):
        return to_numpy(y)
    with x.device:
        return xp_of(x).asarray(y)


def copy_into(x: Array, values: Array) -> None:
    """Write the numbers of an array, on any device, into `x`, converted to its element type."""
    x[...] = xp_of(x).asarray(to_numpy(values), x.dtype)


def overflows(x: Array, dtype: np.dtype) -> bool:
    """Return whether finite numbers become infinite in another type."""
    if np.can_cast(x.dtype, dtype):  # each number of the one type is one of the other
        return False
    numbers = to_numpy(x)
    with np.errstate(over="ignore"):
        return bool((np.isfinite(numbers) & ~np.isfinite(numbers.astype(dtype))).any())


def same_numbers(x: Array, y: Array) -> bool:
    """Return whether two arrays, on any devices, have one shape and the same numbers; nan is equal to nan."""
    return np.array_equal(to_numpy(x), to_numpy(y), equal_nan=True)


def to_numpy(x: Array) -> np.ndarray:
    """Return the numbers as a NumPy array, copied if they are on a GPU."""
    return x if isinstance(x, np.ndarray) else np.asarray(x.get() if hasattr(x, "get") else x)


def plain_numbers(*values: Any) -> list[float]:
    """Return arrays of one element each as Python numbers, and numbers unchanged.

    Values on a GPU come in one transfer, since each transfer waits until the GPU has finished all launched work.
    """
    found = list(values)
    on_gpu = [i for i, value in enumerate(values) if is_array(value) and not isinstance(value, NUMPY_TYPES)]
    if on_gpu:
        together = xp_of(values[on_gpu[0]]).stack([values[i].reshape(()) for i in on_gpu])
        for i, number in zip(on_gpu, to_numpy(together).tolist(), strict=True):
            found[i] = number
    return [value.item() if is_array(value) else value for value in found]


def any_at_once(truths: Array) -> bool:
    """Return whether an element is true; False on a GPU, since the caller would have to wait: see `nan_where`."""
    return xp_of(truths) is np and bool(truths.any())


def nan_where(truths: Array, x: Array) -> Array:
    """Return an array on a GPU with nan in the rows (n, ...) where `truths` (n,) is true; a NumPy array unchanged."""
    return x if xp_of(x) is np else xp_of(x).where(truths[:, None], x.dtype.type(math.nan), x)


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    A limited container (`docker run --cpus 2`) sees all cores of its machine; its limit is the quota of its cgroup.
    More threads than that would only wait for each other.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cpu_quota())))


__getattr__ = old_names(
    __name__,
    {
        "matmul": "minivit.backend.products.matmul",
        "vecdot": "minivit.backend.products.vecdot",
        "wide": "minivit.backend.precision.wide",
    },
)
