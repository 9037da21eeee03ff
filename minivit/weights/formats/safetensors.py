"""Hugging Face's .safetensors files: a header in JSON, then the arrays, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import CheckpointError
from .arrays import Archive, from_file, numbers, of_unknown_type, plain, readers_errors

# safetensors' types, as NumPy names them.
SAFETENSORS_TYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8", "BF16": "bfloat16",
}  # fmt: skip


def open_safetensors(path: Path, file: IO[bytes]) -> Archive:
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
            raise CheckpointError(of_unknown_type(path, name, f"{types[name]} values{_bits(types[name])}"))
        dtype = np.dtype("<u2" if types[name] == "bfloat16" else types[name])
        with readers_errors(path):
            file.seek(8 + length + entries[name]["data_offsets"][0])
            return numbers(from_file(file, dtype, shapes[name]), types[name], path, name)

    return Archive(path, ".safetensors", shapes, types, text, read, read)


def _type_of(word: str) -> str:
    return SAFETENSORS_TYPES.get(word, word)


def _bits(type_name: str) -> str:
    return " (floats of 8 bits)" if type_name.startswith("F8") else ""


def write_safetensors(file: IO[bytes], arrays: Mapping[str, np.ndarray], text: Mapping[str, str]) -> None:
    """Write arrays, and texts as the file's metadata."""
    from safetensors.numpy import save

    contiguous = {name: plain(array) for name, array in arrays.items()}
    file.write(save(contiguous, metadata=dict(text) or None))
