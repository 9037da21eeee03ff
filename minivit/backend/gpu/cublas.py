"""Products of matrices on a GPU, by cuBLAS.

CuPy's own product of stacks of matrices copies each factor that is not stored in rows, even a transposed one, does not
use tensor cores, and takes no half precision (pull request 10317 of CuPy). cuBLAS reads a transposed matrix without a
copy, and multiplies a whole stack in one launch, of half precision too.
"""

from __future__ import annotations

import importlib
import math
import sys
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..precision import wide, wide_type

# The element types of factors and products (cudaDataType_t).
KINDS = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
# How cuBLAS computes: in float64, in float32, or in float32 with factors rounded to TF32 (cublasComputeType_t).
COMPUTE_64F, COMPUTE_32F, COMPUTE_FAST_TF32 = 70, 68, 77
DEFAULT_ALGORITHM = -1  # CUBLAS_GEMM_DEFAULT

_stacks_in_tf32 = False


def multiply_in_tf32(matrices: bool, stacks: bool) -> None:
    """Set whether products in float32 run on tensor cores, with factors rounded to 11 binary digits.

    Args:
        matrices: whether products of two matrices do.
        stacks: whether products of two stacks of matrices do.
    """
    global _stacks_in_tf32
    cupy = importlib.import_module("cupy")
    linalg = importlib.import_module("cupy._core._routines_linalg")  # CuPy has no public name for it but CUPY_TF32
    linalg.set_compute_type(cupy.float32, linalg.COMPUTE_TYPE_TF32 if matrices else linalg.COMPUTE_TYPE_DEFAULT)
    _stacks_in_tf32 = stacks


def contiguous_on_gpu(x: Any) -> Any:
    """Return an array on a GPU stored in rows, so that several products can read it; a NumPy array unchanged."""
    return x if isinstance(x, np.ndarray) else sys.modules["cupy"].ascontiguousarray(x)


def gpu_matmul(x: Any, y: Any, out: Any = None) -> Any:
    """Return x @ y of arrays on a GPU, by NumPy's rules for shapes; products in half precision are added up in float32.

    Args:
        x, y: (..., m, k) and (..., k, n). If only one is in half precision, the product has the type of the other.
        out: (..., m, n), to write the product into, of the product's type; or of float32, and then a product of half
            precision is not rounded.
    """
    cupy = sys.modules["cupy"]
    if x.dtype != y.dtype:  # CuPy knows no product of bfloat16 and float32
        x, y = wide(x), wide(y)
    alike = x.ndim == y.ndim > 2 and x.shape[:-2] == y.shape[:-2] and x.dtype == y.dtype and x.shape[-1] == y.shape[-2]
    if not (alike and x.size and y.size and x.dtype.name in KINDS):
        return _product_of_cupy(x, y, out)
    dtype = out.dtype if out is not None and out.dtype == wide_type(x.dtype) else x.dtype
    product = _as_stack(out) if out is not None and out.dtype == dtype else None
    if product is None or product.transposed:
        product = _stack(cupy.empty((*x.shape[:-1], y.shape[-1]), dtype))
    _multiply(_stack(x), _stack(y), product)
    if out is None:
        return product.array
    if product.array is not out:
        out[...] = product.array
    return out


def _product_of_cupy(x: Any, y: Any, out: Any) -> Any:
    """Return x @ y by CuPy, which must be given no `out` of another type: it would write past the end of it."""
    half, cupy = x.dtype.itemsize == 2, sys.modules["cupy"]
    if not half and (out is None or out.dtype == np.result_type(x.dtype, y.dtype)):
        return cupy.matmul(x, y, out=out)
    apart = half and (max(x.ndim, y.ndim) > 2 or (out is not None and out.dtype != x.dtype))
    product = cupy.matmul(wide(x), wide(y)) if apart else cupy.matmul(x, y)
    if out is None:
        return product.astype(x.dtype, copy=False) if half else product
    out[...] = product
    return out


class Stack(NamedTuple):
    """Matrices and how they are stored.

    Attributes:
        array: (..., rows, columns).
        transposed: whether columns, and not rows, are stored one after the other.
        step: elements from the beginning of one row (or column) to that of the next.
        distance: elements from one matrix to the next.
    """

    array: Any
    transposed: bool
    step: int
    distance: int


def _stack(x: Any) -> Stack:
    """Return an array as a stack that cuBLAS can read, copied if necessary."""
    return _as_stack(x) or _as_stack(contiguous_on_gpu(x))  # type: ignore[return-value]


def _as_stack(x: Any) -> Stack | None:
    """Return an array as a stack, or None if it is not stored as one."""
    *leading, rows, columns = x.shape
    *jumps, row, column = (stride // x.itemsize for stride in x.strides)
    axes = [(length, jump) for length, jump in zip(leading, jumps, strict=True) if length > 1]
    distance = axes[-1][1] if axes else rows * columns
    if distance < 0 or any(jump != length * inner for (_, jump), (length, inner) in pairwise(axes)):
        return None
    for transposed, (count, step), (length, unit) in (
        (False, (rows, row), (columns, column)),
        (True, (columns, column), (rows, row)),
    ):
        if (unit == 1 or length == 1) and (step >= length or count == 1):
            return Stack(x, transposed, step if count > 1 else length, distance)
    return None


def _multiply(x: Stack, y: Stack, out: Stack) -> None:
    """Write the products. cuBLAS stores matrices by columns, and so reads each as its transpose: outᵀ = yᵀ xᵀ."""
    cuda = sys.modules["cupy"].cuda
    kind, kind_of_product = KINDS[x.array.dtype.name], KINDS[out.array.dtype.name]
    compute = COMPUTE_32F
    if x.array.dtype.itemsize > 2:
        compute = COMPUTE_64F if x.array.dtype == np.float64 else COMPUTE_FAST_TF32 if _stacks_in_tf32 else COMPUTE_32F
    one, zero = (np.full(1, number, wide_type(x.array.dtype)) for number in (1.0, 0.0))
    *leading, rows, inner = x.array.shape
    cuda.cublas.gemmStridedBatchedEx(
        cuda.get_cublas_handle(), int(y.transposed), int(x.transposed), y.array.shape[-1], rows, inner,
        one.ctypes.data,
        y.array.data.ptr, kind, y.step, y.distance,
        x.array.data.ptr, kind, x.step, x.distance,
        zero.ctypes.data,
        out.array.data.ptr, kind_of_product, out.step, out.distance,
        math.prod(leading), compute, DEFAULT_ALGORITHM,
    )  # fmt: skip
