"""NumPy's .npz files: zip archives of arrays, read without pickles."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ...errors import CheckpointError
from ...utils.text import printable, quoted
from .arrays import Archive, bytes_of, from_file, numbers, readers_errors
from .zips import METHODS, check_lengths, is_stored

OBJECTS = "an array of Python objects, which are never loaded: save each array by its name"


@dataclass(frozen=True)
class _Member:
    """An array of a zip file: its entry in the archive, and what its header says."""

    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype
    header_bytes: int
    columns_first: bool


def open_npz(path: Path, file: IO[bytes]) -> Archive:
    """Return the arrays of an open .npz file."""
    if not zipfile.is_zipfile(file):
        raise ValueError("it is not a complete .npz archive")
    archive = zipfile.ZipFile(file)
    entries = [info for info in archive.infolist() if not info.filename.endswith("/")]  # zip programs add folders
    for info in entries:
        if not info.filename.endswith(".npy"):
            raise ValueError(f"{quoted(info.filename)} is not an array")
        if info.compress_type not in METHODS:
            raise ValueError(f"{quoted(info.filename)} is compressed in a way that NumPy does not write")
    check_lengths(entries, path.stat().st_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of headers that its older versions wrote
        members = {info.filename.removesuffix(".npy"): _member(archive, info) for info in entries}
    if len(members) < len(entries):
        raise ValueError("two of its arrays have the same name")
    types = {name: "bfloat16" if _is_bfloat16(m.dtype) else m.dtype.str for name, m in members.items()}
    unreadable = {name: OBJECTS for name, m in members.items() if m.dtype.hasobject}

    def read(name: str, checks: bool = True) -> np.ndarray:
        with readers_errors(path):
            m = members[name]
            if name in unreadable:
                raise CheckpointError(f"{printable(path)}: {quoted(name)} is {unreadable[name]}")
            plain_rows = is_stored(m.info) and m.dtype.kind in "fiub" and not m.columns_first
            array = _stored(file, m, checks) if plain_rows else _packed(archive, m)
        return numbers(array.view("<u2") if types[name] == "bfloat16" else array, types[name], path, name)

    shapes = {name: () if name in unreadable else m.shape for name, m in members.items()}
    return Archive(
        path, ".npz", shapes, types, {}, read, lambda name: read(name, checks=False), True, unreadable=unreadable
    )


def _stored(file: IO[bytes], member: _Member, checks: bool) -> np.ndarray:
    """Return a member that is not compressed, straight from the file: `zipfile` would copy it twice."""
    file.seek(member.info.header_offset + 26)
    lengths = file.read(4)  # of the name and of the extra field, which stand between this header and the member
    file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
    header = file.read(member.header_bytes)
    array = from_file(file, member.dtype, member.shape)
    if checks and zlib.crc32(bytes_of(array), zlib.crc32(header)) != member.info.CRC:
        raise ValueError(f"the checksum of {quoted(member.info.filename)} does not match its content")
    return array


def _packed(archive: zipfile.ZipFile, member: _Member) -> np.ndarray:
    with archive.open(member.info) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise ValueError(f"{quoted(member.info.filename)} has more bytes than its header says")
    return array


def _is_bfloat16(dtype: np.dtype) -> bool:
    """Return whether a type is bfloat16: NumPy does not know it, and stores two bytes without a meaning."""
    return dtype.kind == "V" and dtype.itemsize == 2 and dtype.fields is None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    """Return a member's header, after comparing its size in bytes with the archive's entry.

    That of Python objects, which are a pickle, is not compared: they are never read.
    """
    name = quoted(info.filename)
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} is an array of an unknown version")
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = header(file)
        header_bytes = file.tell()
    if any(length < 0 for length in shape):
        raise ValueError(f"{name} has a negative length")
    size = header_bytes + math.prod(shape) * dtype.itemsize
    if size != info.file_size and not dtype.hasobject:
        raise ValueError(f"{name} is an array of shape {quoted(shape)} by its header, but has another number of bytes")
    return _Member(info, shape, np.dtype(dtype), header_bytes, columns_first)


def write_npz(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write what `np.savez` writes, which would take arrays called "file" or "allow_pickle" for its arguments."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
