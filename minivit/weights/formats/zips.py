"""Zip files, in which NumPy and PyTorch keep arrays: what the directory claims is checked before anything is read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable

from ...utils.text import quoted

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others would let a small file unpack without end
SHRINKS_AT_MOST = 1032  # the most that deflate does


def is_stored(info: zipfile.ZipInfo) -> bool:
    """Return whether an entry is not compressed."""
    return info.compress_type == zipfile.ZIP_STORED


def check_lengths(entries: Iterable[zipfile.ZipInfo], size: int) -> None:
    """Raise ValueError if entries claim to be longer than they can be: an array as long as its entry is then allocated.

    Args:
        entries: of the file, each compressed by one of `METHODS`.
        size: the bytes of the file.
    """
    packed = 0
    for info in entries:
        if info.file_size > info.compress_size * (1 if is_stored(info) else SHRINKS_AT_MOST):
            raise ValueError(f"its entry {quoted(info.filename)} claims more bytes than it has")
        packed += info.compress_size
    if packed > size:
        raise ValueError("its entries are longer than the file")
