"""NumPy on a processor, CuPy on a GPU: the one place that knows the two apart.

Every op begins with `xp = xp_of(x)` and then speaks to `xp` alone, so the same lines run on either.
What the two libraries spell differently (`erf`, `vecdot`, block sizes, moving data) has a function here.
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
from .cores import cpu_quota
from .cublas import gpu_matmul
from .cuda import to_cuda

Array: TypeAlias = Any  # a numpy.ndarray or a cupy.ndarray
NUMPY_TYPES = np.ndarray, np.generic

# A chain of element-wise passes over 64k float32 elements (256 KiB) stays in a core's cache: the passes after
# the first then run at 5 to 6 G elements/s instead of 1 to 2.
BLOCK_ELEMENTS = 65_536


def xp_of(x: Array) -> ModuleType:
    """The array module that `x` belongs to: `numpy`, or the package that defines its type (`cupy`)."""
    if isinstance(x, NUMPY_TYPES):
        return np
    return sys.modules[type(x).__module__.partition(".")[0]]


def is_array(x: object) -> bool:
    """Whether `x` is an array of NumPy or of a module that looks like it, and not a plain number or list."""
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
    """`x` as an array: NumPy returns a bare scalar where a result has no axes left, CuPy never does."""
    return np.asarray(x) if isinstance(x, np.generic) else x


def erf(x: Array) -> Array:
    """The error function, element by element; SciPy is imported at the first call."""
    package = "scipy" if xp_of(x) is np else "cupyx.scipy"
    return importlib.import_module(f"{package}.special").erf(x).astype(x.dtype, copy=False)


def vecdot(x: Array, y: Array) -> Array:
    """Row by row dot product, (..., n) with (..., n) -> (...): one pass, no product array in between."""
    xp = xp_of(x)
    return xp.vecdot(x, y) if hasattr(xp, "vecdot") else xp.einsum("...n,...n->...", x, y)


def is_float(dtype: np.dtype) -> bool:
    """Whether it is a floating-point type; NumPy's own test does not know bfloat16, which `ml_dtypes` brings."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def wide(x: Array) -> Array:
    """`x` in float32 if it is of half precision, whose 11 binary digits (bfloat16: 8) are too few for sums."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def matmul(x: Array, y: Array, out: Array | None = None, may_stay_wide: bool = False) -> Array:
    """x @ y. Products of half precision are added up in float32, as a GPU's tensor cores do, and then rounded.

    NumPy has no fast product of such numbers, CuPy 14 none of stacks of matrices (its pull request 10317).

    Args:
        may_stay_wide: whether a product that was computed in float32 may stay so, for a caller that needs more digits.
    """
    xp, dtype = xp_of(x), x.dtype
    multiply = np.matmul if xp is np else gpu_matmul
    if dtype.itemsize > 2:
        return multiply(x, y, out=out)
    if xp is np or x.ndim > 2:
        x, y = wide(x), wide(y)
    product = multiply(x, y, out=out)
    return product if may_stay_wide else product.astype(dtype, copy=False)


def underflow_is_harmless() -> np.errstate:
    """Let a number that is too small for its type become 0, in a `with` block or a decorated function.

    This holds even if the caller has NumPy raise at underflow: an exponential far below the largest must become 0, and
    so must its products. (1 us a call.)
    """
    return np.errstate(under="ignore")


def extremes_are_harmless() -> np.errstate:
    """As `underflow_is_harmless`, and for overflow too: exp(-inf) is 0, and tanh(inf) is 1."""
    return np.errstate(under="ignore", over="ignore")


def row_blocks(x: Array) -> Iterator[slice]:
    """Slices of `x`'s first axis that hold about `BLOCK_ELEMENTS` each; on a GPU one slice holds everything."""
    rows = x.shape[0]
    step = max(1, BLOCK_ELEMENTS * rows // max(1, x.size)) if xp_of(x) is np else max(1, rows)
    for start in range(0, max(1, rows), step):
        yield slice(start, start + step)


# -- devices -------------------------------------------------------------------------------------


def to_device(x: Array, device: str) -> Array:
    """Copy an array to `device`: "cpu", "cuda" or "cuda:i". An array that is there already is returned as it is.

    Raises:
        ConfigError: for another name, and if there is no such GPU that can be used.
        MissingExtraError: if the device is a GPU and CuPy is not installed, or one for another CUDA.
    """
    return to_numpy(x) if device == "cpu" else to_cuda(x, device)


def beside(x: Array, y: Array) -> Array:
    """`y` on the device where `x` lies; it is returned as it is if it lies there already."""
    if isinstance(x, np.ndarray):
        return to_numpy(y)
    with x.device:
        return xp_of(x).asarray(y)


def to_numpy(x: Array) -> np.ndarray:
    """The same numbers as a NumPy array, copied from the GPU if they are there."""
    return x if isinstance(x, np.ndarray) else np.asarray(x.get() if hasattr(x, "get") else x)


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    A limited container (`docker run --cpus 2`) sees all cores of its machine; its limit is the quota of its cgroup.
    More threads than that would only wait for each other.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cpu_quota())))
