"""Files of named arrays, `.npz` and `.safetensors`: read without trust, and written completely or not at all.

Nothing in a file is ever run: pickled objects are refused. Names and shapes are read first, and each array when it is
asked for. So an unused array costs nothing, and one that claims to be larger than its file is never allocated. The
content of a file says of which kind it is; its name does not matter.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import CheckpointError, CheckpointNotFoundError, ConfigError, MinivitError, OutOfMemory
from ...utils.files import atomic_file
from ...utils.text import printable, quoted, shortened
from .filekinds import kind_of

Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]
Read = Callable[[str], np.ndarray]

SUFFIXES = (".npz", ".safetensors")

# What NumPy writes. Deflate shrinks a thousandfold at most; other methods would let a small file unpack without end.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# safetensors' types, as NumPy names them.
SAFETENSORS_TYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8", "BF16": "bfloat16",
}  # fmt: skip
LONGEST_REASON = 100  # characters of a library's message inside our sentence
HASHING_THREADS = 2


@dataclass(frozen=True)
class Archive:
    """An open file of arrays.

    Attributes:
        path: the file.
        kind: ".npz" or ".safetensors", by its content.
        shapes: of every array by its name.
        types: of every array by its name: NumPy's short name ("<f4"), "bfloat16", or safetensors' name of another type.
        text: a safetensors file's metadata, by name.
        read: reads one array by its name. bfloat16 becomes float32, exactly. The checksum of a zip file is compared.
        read_unchecked: the same without that checksum, for arrays whose SHA-256 is known.
    """

    path: Path
    kind: str
    shapes: Shapes
    types: dict[str, str]
    text: dict[str, str]
    read: Read
    read_unchecked: Read

    @property
    def size(self) -> int:
        """The numbers of all arrays together."""
        return sum(map(math.prod, self.shapes.values()))


@contextmanager
def open_archive(path: str | Path) -> Iterator[Archive]:
    """Open a file of arrays for reading.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if the file is of another kind, or damaged; later also from the archive's `read`.
        OutOfMemory: if an array does not fit into the memory.
    """
    path = Path(path)
    with _readers_errors(path):
        if not path.is_file():
            raise CheckpointNotFoundError(f"no weights file at {printable(path)}")
        file = path.open("rb")
    with file:
        with _readers_errors(path):
            is_zip = file.read(2) == b"PK"
            archive = _npz(path, file) if is_zip else _safetensors(path, file)
        yield archive


@contextmanager
def _readers_errors(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while reading into an error that says what the file is."""
    try:
        yield
    except (MinivitError, Warning):
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{printable(path)} does not fit into the memory: {_reason(error)}") from error
    except OSError as error:
        raise CheckpointError(f"{printable(path)} cannot be read: {error.strerror or _reason(error)}") from error
    except Exception as error:  # damage can hit a reader anywhere: a list of its errors would have gaps
        raise CheckpointError(f"{printable(path)} is {_kind(path) or f'damaged: {_reason(error)}'}") from error


def _kind(path: Path) -> str | None:
    try:
        return kind_of(path)
    except OSError:
        return None


def _reason(error: Exception) -> str:
    return shortened(printable(error), LONGEST_REASON)


def read_checked(archive: Archive, names: Iterable[str], digests: Mapping[str, str]) -> Arrays:
    """Read arrays of numbers, and refuse those that hold nan or infinity or were changed after they were written.

    Two threads compute the hashes while the next arrays are read. For a ViT-B_16 (346 MB) the hashes take 0.22 s of
    processor time (1.6 GB/s, AMD Zen with SHA instructions), and the rest of loading takes 0.16 s.

    Args:
        archive: the open file.
        names: the arrays to read.
        digests: the SHA-256 of each in hexadecimal digits; for an array without one, a zip file's checksum is compared.

    Raises:
        CheckpointError: naming the array.
    """
    arrays: Arrays = {}
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        checks = []
        for name in names:
            digest = digests.get(name)
            array = arrays[name] = archive.read(name) if digest is None else archive.read_unchecked(name)
            checks.append(pool.submit(_check, archive.path, name, array, digest))
        for check in checks:
            check.result()
    return arrays


def _check(path: Path, name: str, array: np.ndarray, digest: str | None) -> None:
    if digest is not None and sha256(array) != digest:
        raise CheckpointError(f"{printable(path)} is damaged: {quoted(name)} was changed after it was written")
    refuse_non_finite(array, f"{printable(path)}: {quoted(name)}")


def sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes, row by row and little-endian, in hexadecimal digits."""
    return hashlib.sha256(_bytes(plain(array))).hexdigest()


def plain(array: np.ndarray) -> np.ndarray:
    """Return an array row by row in memory and little-endian: the array itself if it is so already."""
    array = np.asarray(array)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)


def refuse_non_finite(array: np.ndarray, what: str) -> None:
    """Raise CheckpointError if an array of numbers holds nan or infinity; the message begins with `what`."""
    if array.dtype.kind not in "fc" or _dot_is_finite(array):
        return
    finite = np.isfinite(array)
    if not finite.all():
        bad = array.size - int(np.count_nonzero(finite))
        raise CheckpointError(f"{what} holds {bad:,} numbers that are nan or infinite: use weights without them")


def _dot_is_finite(array: np.ndarray) -> bool:
    """Return whether the sum of squares is finite; BLAS finds that in a quarter of the time of `isfinite`.

    The sum may be infinite although every number is finite, so only True settles it.
    """
    if array.dtype not in (np.float32, np.float64):
        return False
    flat = array.reshape(-1)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(flat @ flat))


def refuse_other_types(array: np.ndarray, what: str) -> None:
    """Raise CheckpointError if an array does not hold floats; the message begins with `what`."""
    if array.dtype.kind in "iu":
        raise CheckpointError(
            f"{what} holds {array.dtype} numbers: in a quantised file they are codes that need a scale; save the model "
            "as floats"
        )
    if array.dtype.kind != "f":
        raise CheckpointError(f"{what} holds {array.dtype} values, not real numbers")


def numbers(array: np.ndarray, type_name: str, path: Path, name: str) -> np.ndarray:
    """Return an array as real numbers: bfloat16 becomes the float32 that begins with the same bits.

    Args:
        array: as it was read.
        type_name: its type, as `Archive.types` names it.
        path: the file, for messages.
        name: the array's name, for messages.

    Raises:
        CheckpointError: for a type that cannot be read.
    """
    if type_name == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if array.dtype.kind == "V":
        raise CheckpointError(
            _of_unknown_type(path, name, f"values of {array.dtype.itemsize} bytes of an unknown type")
        )
    return array


def _of_unknown_type(path: Path, name: str, what: str) -> str:
    return f"{printable(path)}: {quoted(name)} holds {what}: save it as float32, float16 or bfloat16"


# -- .npz ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    """An array of a zip file: its entry in the archive, and what its header says."""

    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype
    header_bytes: int
    columns_first: bool


def _npz(path: Path, file: IO[bytes]) -> Archive:
    if not zipfile.is_zipfile(file):
        raise ValueError("it is not a complete .npz archive")
    archive = zipfile.ZipFile(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of headers that its older versions wrote
        members = {info.filename.removesuffix(".npy"): _member(archive, info) for info in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise ValueError("two of its arrays have the same name")
    types = {name: "bfloat16" if _is_bfloat16(m.dtype) else m.dtype.str for name, m in members.items()}

    def read(name: str, checks: bool = True) -> np.ndarray:
        with _readers_errors(path):
            m = members[name]
            plain_rows = m.info.compress_type == zipfile.ZIP_STORED and m.dtype.kind in "fiub" and not m.columns_first
            array = _stored(file, m, checks) if plain_rows else _packed(archive, m)
        return numbers(array.view("<u2") if types[name] == "bfloat16" else array, types[name], path, name)

    shapes = {name: m.shape for name, m in members.items()}
    return Archive(path, ".npz", shapes, types, {}, read, lambda name: read(name, checks=False))


def _stored(file: IO[bytes], member: _Member, checks: bool) -> np.ndarray:
    """Return a member that is not compressed, straight from the file: `zipfile` would copy it twice."""
    file.seek(member.info.header_offset + 26)
    lengths = file.read(4)  # of the name and of the extra field, which stand between this header and the member
    file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
    header = file.read(member.header_bytes)
    array = _from_file(file, member.dtype, member.shape)
    if checks and zlib.crc32(_bytes(array), zlib.crc32(header)) != member.info.CRC:
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
    """Return a member's header, after comparing its size in bytes with the archive's entry."""
    name = quoted(info.filename)
    if not info.filename.endswith(".npy"):
        raise ValueError(f"{name} is not an array")
    if info.compress_type not in METHODS:
        raise ValueError(f"{name} is compressed in a way that NumPy does not write")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} is an array of an unknown version")
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = header(file)
        header_bytes = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are never loaded")
    if any(length < 0 for length in shape):
        raise ValueError(f"{name} has a negative length")
    size = header_bytes + math.prod(shape) * dtype.itemsize
    if size != info.file_size:
        raise ValueError(f"{name} is an array of shape {quoted(shape)} by its header, but has another number of bytes")
    return _Member(info, shape, np.dtype(dtype), header_bytes, columns_first)


def _from_file(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array that begins at the file's position."""
    array = np.empty(shape, dtype)
    if file.readinto(_bytes(array)) != array.nbytes:  # type: ignore[attr-defined]
        raise ValueError("it ends too early")
    return array


def _bytes(array: np.ndarray) -> memoryview:
    """Return the bytes of an array that is stored row by row, without a copy."""
    return array.reshape(-1).view(np.uint8).data


# -- .safetensors --------------------------------------------------------------------------------


def _safetensors(path: Path, file: IO[bytes]) -> Archive:
    """Let the format's library check the header, but read the arrays here: it has no bfloat16 for NumPy."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as checked:
        text = checked.metadata() or {}
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    entries: dict[str, Any] = json.loads(file.read(length))
    entries.pop("__metadata__", None)
    shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
    types = {name: _type_of(str(entry["dtype"])) for name, entry in entries.items()}

    def read(name: str) -> np.ndarray:
        if types[name] not in SAFETENSORS_TYPES.values():
            raise CheckpointError(_of_unknown_type(path, name, f"{types[name]} values{_bits(types[name])}"))
        dtype = np.dtype("<u2" if types[name] == "bfloat16" else types[name])
        with _readers_errors(path):
            file.seek(8 + length + entries[name]["data_offsets"][0])
            return numbers(_from_file(file, dtype, shapes[name]), types[name], path, name)

    return Archive(path, ".safetensors", shapes, types, text, read, read)


def _type_of(word: str) -> str:
    return SAFETENSORS_TYPES.get(word, word)


def _bits(type_name: str) -> str:
    return " (floats of 8 bits)" if type_name.startswith("F8") else ""


# -- writing -------------------------------------------------------------------------------------


def write_archive(path: str | Path, arrays: Mapping[str, np.ndarray], text: Mapping[str, str] | None = None) -> None:
    """Write arrays and texts to a .npz or .safetensors file, completely or not at all.

    Args:
        path: ends in .npz or .safetensors.
        arrays: by name.
        text: by name; in a .npz file a text is an array too.

    Raises:
        ConfigError: for another suffix.
        SaveError: if the file cannot be written; an older file is unchanged.
    """
    path, text = Path(path), dict(text or {})
    if path.suffix == ".npz":
        with atomic_file(path) as file:
            _write_npz(file, {**{name: np.array(words) for name, words in text.items()}, **arrays})
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save

        contiguous = {name: plain(array) for name, array in arrays.items()}
        with atomic_file(path) as file:
            file.write(save(contiguous, metadata=text or None))
    else:
        raise ConfigError(f"weights are written to {' or '.join(SUFFIXES)} files, not {quoted(path.name)}")


def _write_npz(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write what `np.savez` writes, which would take arrays called "file" or "allow_pickle" for its arguments."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
