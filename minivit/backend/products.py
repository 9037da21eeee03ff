"""Products of matrices and sums, on a processor by NumPy and on a GPU by cuBLAS.

What is in half precision is added up in float32, as a GPU's tensor cores do, and the sum is rounded once.
"""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np

from .arrays import Array, xp_of
from .gpu.cublas import contiguous_on_gpu, gpu_matmul
from .gpu.cuda import current_gpu
from .gpu.kernels import rowwise
from .precision import wide


def matmul(x: Array, y: Array, out: Array | None = None) -> Array:
    """Return x @ y, by NumPy's rules for shapes.

    Args:
        x, y: (..., m, k) and (..., k, n), of one element type.
        out: (..., m, n), to write the product into: of the same type, or float32 if that type is half precision.

    Returns:
        (..., m, n) of the same type, or `out`.
    """
    if xp_of(x) is not np:
        return gpu_matmul(x, y, out=out)
    if x.dtype.itemsize > 2:
        return np.matmul(x, y, out=out)
    product = np.matmul(wide(x), wide(y))  # NumPy has no fast product of half precision
    if out is None:
        return product.astype(x.dtype, copy=False)
    out[...] = product
    return out


def matmul_add(x: Array, y: Array, z: Array | None, plus: Array | None = None) -> Array:
    """Return x @ y + z + plus, (m, k) with (k, n), (n,) and (m, n) -> (m, n); z and plus may be None.

    On a processor half precision is rounded once; on a GPU the product is rounded too before the others are added.
    """
    out = gpu_matmul(x, y) if xp_of(x) is not np else np.matmul(wide(x), wide(y))
    if z is not None or plus is not None:
        add_to_rows(out, z, plus)
    return out.astype(x.dtype, copy=False)


@rowwise(reads="out z plus", writes="out")
def add_to_rows(out: Array, z: Array | None, plus: Array | None) -> None:
    """Add z (n,) to each row of `out` (m, n), and then `plus` (m, n); either may be None."""
    if z is not None:
        out += z
    if plus is not None:
        out += plus


def ready_for_products(x: Array) -> Array:
    """Return an array that several products can read fast: a GPU needs it stored in rows, NumPy takes it as it is."""
    return contiguous_on_gpu(x)


def room_for_products(places: Array) -> Array:
    """Return an array into which products can be written fast, before `put_in_place` brings them to these places.

    NumPy writes a product anywhere. cuBLAS cannot write to the heads of a packed array; one copy for several products
    is then faster than a copy for each.

    Args:
        places: a view of an array, of any strides.

    Returns:
        `places` itself on a processor; on a GPU an array of the same shape, stored in rows.
    """
    xp = xp_of(places)
    return places if xp is np or places.flags.c_contiguous else xp.empty(places.shape, places.dtype)


def put_in_place(products: Array, places: Array) -> None:
    """Copy what was written into `room_for_products(places)` to these places, unless it is there already."""
    if products is not places:
        places[...] = products


def vecdot(x: Array, y: Array) -> Array:
    """Return the dot product of each row, (..., n) with (..., n) -> (...): one pass, without the product's array."""
    xp = xp_of(x)
    return xp.vecdot(x, y) if hasattr(xp, "vecdot") else xp.einsum("...n,...n->...", x, y)


def sum_of_rows(x: Array) -> Array:
    """Return the sum of a matrix's rows, (m, n) -> (n,): a product with ones, which BLAS does in one fast pass."""
    return matmul(_row_of_ones(xp_of(x), x.shape[0], x.dtype, current_gpu()), x)[0]


def sum_of_parts(sums: Array, dtype: np.dtype) -> Array:
    """Return the sum over the first axis, (p, ...) -> (...), of sums that were made in p parts; see `parts_of_rows`.

    Args:
        sums: of the type that sums are computed in.
        dtype: the result is rounded to this type.
    """
    if len(sums) == 1:
        return sums[0].astype(dtype, copy=False)
    out = xp_of(sums).empty(sums.shape[1:], dtype)
    add_parts(out.reshape(-1, 1), sums, len(sums))
    return out


@rowwise(reads="sums", writes="out", wide="sums")
def add_parts(out: Array, sums: Array, parts: int) -> None:
    """Write the sum of p arrays of k numbers into `out`: (p, ...) -> (k, 1)."""
    out[...] = sums.reshape(parts, -1).sum(axis=0)[:, None]


def sum_over(x: Array, axis: tuple[int, ...]) -> Array:
    """Return the sum over some axes, of the same element type."""
    return wide(x).sum(axis=axis).astype(x.dtype, copy=False)


@functools.lru_cache(maxsize=64)
def _row_of_ones(xp: ModuleType, length: int, dtype: np.dtype, gpu: int | None) -> Array:
    """Return ones of shape (1, length), made once for each GPU; not to be changed."""
    return xp.ones((1, length), dtype)
