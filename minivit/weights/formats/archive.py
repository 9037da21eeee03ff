"""Files of named arrays in every format: opened by their content, read without trust, written completely or not at all.

Nothing in a file is ever imported or run. The content of a file says of which format it is; its name does not matter.
`arrays.py` says what all formats have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import CheckpointNotFoundError, ConfigError
from ...utils.files import atomic_file
from ...utils.text import printable, quoted
from .arrays import (
    Archive,
    Arrays,
    Shapes,
    converted,
    plain,
    read_checked,
    readers_errors,
    refuse_non_finite,
    refuse_other_types,
    sha256,
)
from .filekinds import LEGACY_START, begins_as_safetensors
from .npz import open_npz, write_npz
from .pytorch import is_pytorch_zip, open_legacy, open_pytorch_zip
from .safetensors import open_safetensors, write_safetensors
from .shards import INDEX_SUFFIX, open_shards

__all__ = [
    "INDEX_SUFFIX", "READ_SUFFIXES", "SUFFIXES", "Archive", "Arrays", "Shapes", "converted", "open_archive", "plain",
    "read_checked", "refuse_non_finite", "refuse_other_types", "sha256", "write_archive",
]  # fmt: skip

# The suffixes of files that are written.
SUFFIXES = (".npz", ".safetensors")
# The suffixes of files that are read; ".tar" as in "model_best.pth.tar".
READ_SUFFIXES = (*SUFFIXES, ".pth", ".pt", ".bin", ".ckpt", ".tar")
LONGEST_START = 64  # bytes that tell a legacy file of PyTorch from other pickles


@contextmanager
def open_archive(path: str | Path) -> Iterator[Archive]:
    """Open a file of arrays for reading, or several files with an index (`model.safetensors.index.json`).

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if the file is of another kind, or damaged; later also from the archive's `read`.
        OutOfMemory: if an array does not fit into the memory.
    """
    path = Path(path)
    with readers_errors(path):
        if not path.is_file():
            found = "no weights file" if path.exists() else "a link without a file" if path.is_symlink() else "nothing"
            raise CheckpointNotFoundError(f"{found} at {printable(path)}: check the path")
        if path.name.endswith(INDEX_SUFFIX):
            shards = open_shards(path, _open_file)
        else:
            shards = None
    with shards or _open_file(path) as archive:
        yield archive


@contextmanager
def _open_file(path: Path) -> Iterator[Archive]:
    """Open one file of arrays."""
    with readers_errors(path):
        file = path.open("rb")
    with file:
        with readers_errors(path):
            start = file.read(LONGEST_START)
            if start.startswith(b"PK") and not begins_as_safetensors(start):
                archive = open_pytorch_zip(path, file) if is_pytorch_zip(file) else open_npz(path, file)
            elif LEGACY_START in start:
                archive = open_legacy(path, file)
            else:
                archive = open_safetensors(path, file)
        yield archive


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
            write_npz(file, {**{name: np.array(words) for name, words in text.items()}, **arrays})
    elif path.suffix == ".safetensors":
        with atomic_file(path) as file:
            write_safetensors(file, arrays, text)
    else:
        raise ConfigError(f"weights are written to {' or '.join(SUFFIXES)} files, not {quoted(path.name)}")
