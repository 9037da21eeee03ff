"""What every format of named arrays has in common: an open file of arrays, and the checks of what is read from it.

Names and shapes are read first, and each array when it is asked for. So an unused array costs nothing, and one that
claims to be larger than its file is never allocated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from ...backend.arrays import overflows
from ...backend.pools import thread_pool
from ...errors import CheckpointError, MinivitError, OutOfMemory
from ...utils.text import printable, quoted, shortened
from .filekinds import kind_of

Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]
Read = Callable[[str], np.ndarray]

LONGEST_REASON = 100  # characters of a library's message inside our sentence
HASHING_THREADS = 2


@dataclass(frozen=True)
class Archive:
    """An open file of arrays.

    Attributes:
        path: the file, or the index of several.
        kind: ".npz", ".safetensors" or ".pth", by its content.
        shapes: of every array by its name.
        types: of every array by its name: NumPy's short name ("<f4"), "bfloat16", or safetensors' name of another type.
        text: a safetensors file's metadata, by name.
        read: reads one array by its name. bfloat16 becomes float32, exactly. The checksum of a zip file is compared.
        read_unchecked: the same without that checksum, for arrays whose SHA-256 is known.
        has_checksums: whether the format has a checksum of each array.
        held: the numbers in the file, if several arrays may share some; None if they do not.
        unreadable: what arrays are that `read` refuses, such as sparse ones, and what to do, by name; their shapes here
            are ().
    """

    path: Path
    kind: str
    shapes: Shapes
    types: dict[str, str]
    text: dict[str, str]
    read: Read
    read_unchecked: Read
    has_checksums: bool = False
    held: int | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def refuse_unreadable(self, names: Iterable[str]) -> None:
        """Raise CheckpointError if one of these arrays is unreadable."""
        for name in names:
            if name in self.unreadable:
                raise CheckpointError(f"{printable(self.path)}: {quoted(name)} is {self.unreadable[name]}")

    @property
    def size(self) -> int:
        """The numbers of all arrays together; those that arrays share count once."""
        everything = sum(map(math.prod, self.shapes.values()))
        return everything if self.held is None else min(everything, self.held)


@contextmanager
def readers_errors(path: Path) -> Iterator[None]:
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
    with thread_pool(HASHING_THREADS) as pool:
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
    return hashlib.sha256(bytes_of(plain(array))).hexdigest()


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


def converted(array: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
    """Return an array of finite numbers in the type of a parameter; the array itself if it has that type.

    Args:
        array: floats.
        dtype: the parameter's.
        what: what the message of an error begins with.

    Raises:
        CheckpointError: if a number becomes infinite in that type.
    """
    if overflows(array, dtype):
        most = float(np.abs(array).max())
        raise CheckpointError(f"{what} holds {most:.3g}, which is infinite in {dtype}: use weights that fit into it")
    return array.astype(dtype, copy=False)


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
        raise CheckpointError(of_unknown_type(path, name, f"values of {array.dtype.itemsize} bytes of an unknown type"))
    return array


def of_unknown_type(path: Path, name: str, what: str) -> str:
    """Return the sentence about an array whose type cannot be read."""
    return f"{printable(path)}: {quoted(name)} holds {what}: save it as float32, float16 or bfloat16"


def from_file(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array that begins at the file's position."""
    array = np.empty(shape, dtype)
    if file.readinto(bytes_of(array)) != array.nbytes:  # type: ignore[attr-defined]
        raise ValueError("it ends too early")
    return array


def bytes_of(array: np.ndarray) -> memoryview:
    """Return the bytes of an array that is stored row by row, without a copy."""
    return array.reshape(-1).view(np.uint8).data
