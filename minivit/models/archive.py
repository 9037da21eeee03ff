"""Reading files of named arrays, `.npz` and `.safetensors`, without trusting them.

Nothing in a file is ever run: pickled objects are refused. Names and shapes are read first and arrays one by one when
asked for, so that an array nobody wants costs nothing, and one that claims to be larger than its file is never made.
What kind of file it is, its content says; its name does not matter.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import CheckpointError, CheckpointNotFoundError

Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]

# What NumPy writes. Deflate shrinks a thousandfold at most; other methods would let a small file unpack without end.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Archive:
    """An open file of arrays.

    Args:
        path: where it lies.
        shapes: of every array by its name.
        text: what a safetensors file says about itself, by name.
        read: reads one array by its name.
    """

    path: Path
    shapes: Shapes
    text: dict[str, str]
    read: Callable[[str], np.ndarray]


@contextmanager
def open_archive(path: str | Path) -> Iterator[Archive]:
    """Open a file of arrays for reading.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is no such file, or is damaged; also inside the `with` block, whatever the readers say.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointNotFoundError(f"no weights file at {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what makes a reader warn is no good file
            with _open(path) as archive:
                yield archive
    except CheckpointError:
        raise
    except Exception as error:  # damage can hit a reader anywhere: a list of its errors would have gaps
        raise CheckpointError(f"{path} is cut short, damaged or no weights file: {error}") from error


@contextmanager
def _open(path: Path) -> Iterator[Archive]:
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    with _open_npz(path) if is_zip else _open_safetensors(path) as archive:
        yield archive


@contextmanager
def _open_npz(path: Path) -> Iterator[Archive]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a complete .npz archive")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        shapes = {name: _array_shape(archive, info) for name, info in members.items()}

        def read(name: str) -> np.ndarray:
            with archive.open(members[name]) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
                if file.read(1):
                    raise ValueError(f"{name} is longer than it says")
                return array

        yield Archive(path, shapes, {}, read)


def _array_shape(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...]:
    """The shape in a member's header, once its size in bytes was found to be what the archive says."""
    if not info.filename.endswith(".npy"):
        raise ValueError(f"{info.filename} is no array")
    if info.compress_type not in METHODS:
        raise ValueError(f"{info.filename} is packed in a way that NumPy does not write")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{info.filename} is an array of an unknown version")
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        header_bytes = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{info.filename} holds Python objects, which are never loaded")
    if any(length < 0 for length in shape):
        raise ValueError(f"{info.filename} has a negative length")
    size = header_bytes + math.prod(shape) * dtype.itemsize
    if size != info.file_size:
        raise ValueError(f"{info.filename} says that it is an array of shape {shape}, but its size is another")
    return shape


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Archive]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        yield Archive(path, shapes, file.metadata() or {}, file.get_tensor)
