"""Hugging Face's .safetensors files: a header in JSON, then the arrays, side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import CheckpointError, MissingExtraError
from ...utils.text import quoted
from .arrays import Archive, from_file, numbers, of_unknown_type, plain, readers_errors

# safetensors' types, as NumPy names them.
SAFETENSORS_TYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8", "BF16": "bfloat16",
}  # fmt: skip
LONGEST_HEADER = 100_000_000  # bytes; the format's own limit


def open_safetensors(path: Path, file: IO[bytes]) -> Archive:
    """Let the format's library check the header, but read the arrays here: it has no bfloat16 for NumPy."""
    try:
        from safetensors import safe_open
    except ImportError:  # in a browser: Pyodide before 314 has no safetensors
        _check_header(path, file)
    else:
        with safe_open(path, framework="numpy"):
            pass
    length, entries = _header(file)
    text: dict[str, str] = entries.pop("__metadata__", None) or {}
    shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
    types = {name: _type_of(str(entry["dtype"])) for name, entry in entries.items()}

    def read(name: str) -> np.ndarray:
        if types[name] not in SAFETENSORS_TYPES.values():
            raise CheckpointError(of_unknown_type(path, name, f"{types[name]} values{_bits(types[name])}"))
        dtype = np.dtype("<u2" if types[name] == "bfloat16" else types[name])
        with readers_errors(path):
            file.seek(8 + length + entries[name]["data_offsets"][0])
            return numbers(from_file(file, dtype, shapes[name]), types[name], path, name)

    return Archive(path, ".safetensors", shapes, types, text, read, read)


def _header(file: IO[bytes]) -> tuple[int, dict[str, Any]]:
    """Return how many bytes the header has, and what it says of each array."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    return length, json.loads(file.read(length))


def _check_header(path: Path, file: IO[bytes]) -> None:
    """Refuse what the format's library refuses: the arrays must fill the rest of the file, one after the other."""
    size = path.stat().st_size - 8
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size, LONGEST_HEADER):
        raise ValueError(f"its header cannot have {length} bytes")
    _, entries = _header(file)
    text = entries.pop("__metadata__", None) or {}
    if not all(isinstance(word, str) for word in text.values()):
        raise ValueError("its metadata is not text")
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        if entry["dtype"] not in SAFETENSORS_TYPES or min(entry["shape"], default=0) < 0:
            raise ValueError(f"{quoted(name)} has an unknown type or shape")
        bytes_each = 2 if entry["dtype"] == "BF16" else np.dtype(_type_of(entry["dtype"])).itemsize
        if start != end or stop - start != math.prod(entry["shape"]) * bytes_each:
            raise ValueError(f"the bytes of {quoted(name)} do not fit its shape")
        end = stop
    if end != size - length:
        raise ValueError(f"it has {size - length} bytes of arrays, but its header describes {end}")


def _type_of(word: str) -> str:
    return SAFETENSORS_TYPES.get(word, word)


def _bits(type_name: str) -> str:
    return " (floats of 8 bits)" if type_name.startswith("F8") else ""


def write_safetensors(file: IO[bytes], arrays: Mapping[str, np.ndarray], text: Mapping[str, str]) -> None:
    """Write arrays, and texts as the file's metadata."""
    try:
        from safetensors.numpy import save
    except ImportError:
        raise MissingExtraError("safetensors is not installed: write a .npz file, or pip install safetensors") from None

    contiguous = {name: plain(array) for name, array in arrays.items()}
    file.write(save(contiguous, metadata=dict(text) or None))
