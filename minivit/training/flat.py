"""Many arrays as one long array: a call for each small array would cost more than what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from ..backend.arrays import Array, xp_of


def side_by_side(arrays: Sequence[Array]) -> Array:
    """Return a new array (n,) of all elements of one array or more, one array after the other."""
    return xp_of(arrays[0]).concatenate([array.reshape(-1) for array in arrays])


def joined(arrays: Sequence[Array]) -> Array:
    """Return one array (n,) of all elements of one array (m,) or more.

    On a GPU, neighbours in a long array are not copied: the result is then a part of that array.
    """
    first = arrays[0]
    whole = None if xp_of(first) is np else first.base
    if len(arrays) == 1:
        return first
    if whole is None or not all(x.dtype == whole.dtype and x.flags.c_contiguous for x in (whole, *arrays)):
        return side_by_side(arrays)
    starts = [(x.data.ptr - whole.data.ptr) // x.itemsize for x in arrays]
    ends = [start + x.size for start, x in zip(starts, arrays, strict=True)]
    if starts[0] < 0 or starts[1:] != ends[:-1] or ends[-1] > whole.size:
        return side_by_side(arrays)
    return whole.reshape(-1)[starts[0] : ends[-1]]


def all_finite(x: Array) -> bool:
    """Return whether every number of an array is finite.

    The sum is tested first, which takes a fifth of the time: if it is finite, every number is.
    """
    xp = xp_of(x)
    with np.errstate(over="ignore", invalid="ignore"):  # the sum of good numbers may be infinite
        return bool(xp.isfinite(x.sum())) or bool(xp.isfinite(x).all())


def parts_of(flat: Array, like: Sequence[Array]) -> list[Array]:
    """Return views of a long array (n,), one after the other, in the shapes of the arrays `like`."""
    ends = accumulate(array.size for array in like)
    return [flat[end - array.size : end].reshape(array.shape) for array, end in zip(like, ends, strict=True)]
