"""Weights in files: plain arrays with a header that says which model they belong to.

A file of ours, `.npz` or `.safetensors`, holds the parameters under `model/NAME` and one JSON header: the format's
name, the model's configuration, and what else its writer wants to say (class names, say). A training checkpoint is
the same file with more arrays beside them, so anything that reads weights reads checkpoints too.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.backend import to_numpy
from ..errors import CheckpointError, CheckpointNotFoundError, ConfigError
from ..files import atomic_file
from .configs import ViTConfig
from .vit import ViT

FORMAT = "minivit"
SUFFIXES = (".npz", ".safetensors")

Header = dict[str, Any]
Arrays = dict[str, np.ndarray]


def save_weights(model: ViT, path: str | Path, layout: str = "minivit", header: Header | None = None) -> None:
    """Write a model's weights, whole or not at all.

    Args:
        model: the model.
        path: ends in .npz or .safetensors.
        layout: how the arrays are named; "minivit".
        header: more to note, as JSON values; `classes`, a list of names, is what `predict` prints.

    Raises:
        ConfigError: for another suffix or layout.
        SaveError: if the file cannot be written; an older one is unchanged.
    """
    if layout != "minivit":
        raise ConfigError(f"unknown layout {layout!r}: use 'minivit'")
    arrays = {f"model/{name}": to_numpy(array) for name, array in model.state().items()}
    write_arrays(path, {"config": asdict(model.config), **(header or {})}, arrays)


def load_model(path: str | Path) -> ViT:
    """The model in a file that `save_weights` or a training run wrote.

    A run that averaged its weights has the average in `ema/`; it is what was evaluated, so it is what is loaded.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged, not minivit's, or its arrays do not fit the model it names.
    """
    return build_model(*read_arrays(path), path)


def build_model(header: Header, arrays: Arrays, path: str | Path) -> ViT:
    """The model that `read_arrays` found in the file at `path`; raises as `load_model`."""
    try:
        model = ViT(config_of(header, path), seed=None)
    except (MemoryError, OverflowError, ValueError) as error:
        raise CheckpointError(f"{path} names a model that cannot be built: {error}") from error
    prefix = "ema/" if any(name.startswith("ema/") for name in arrays) else "model/"
    model.load_state(section(arrays, prefix), source=str(path))
    return model.eval()


# -- the file format -----------------------------------------------------------------------------


def write_arrays(path: str | Path, header: Header, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a header and arrays to a .npz or .safetensors file, whole or not at all."""
    path = Path(path)
    text = json.dumps({"format": FORMAT, **header})
    if path.suffix == ".npz":
        with atomic_file(path) as file:
            np.savez(file, allow_pickle=False, **{FORMAT: np.array(text)}, **arrays)  # type: ignore[arg-type]
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save

        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with atomic_file(path) as file:
            file.write(save(contiguous, metadata={FORMAT: text}))
    else:
        raise ConfigError(f"weights are written to {' or '.join(SUFFIXES)} files, not {path.name!r}")


def read_arrays(path: str | Path) -> tuple[Header, Arrays]:
    """Read what `write_arrays` wrote. Nothing in the file is ever run: pickled objects are refused.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or not minivit's.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointNotFoundError(f"no weights file at {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what makes a reader warn is no file of ours
            text, arrays = _read_safetensors(path) if path.suffix == ".safetensors" else _read_npz(path)
    except Exception as error:  # damage can hit a reader anywhere: a list of its errors would have gaps
        raise CheckpointError(f"{path} is cut short, damaged or no weights file: {error}") from error
    return _header(text, path), arrays


def _header(text: str, path: Path) -> Header:
    try:
        header = json.loads(text)
        if header["format"] == FORMAT:
            return header
    except (ValueError, KeyError, TypeError):
        pass
    raise CheckpointError(f"{path} was not written by minivit: it has no {FORMAT!r} header")


def _read_npz(path: Path) -> tuple[str, Arrays]:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is not a complete .npz archive")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    return str(arrays.pop(FORMAT, "")), arrays


def _read_safetensors(path: Path) -> tuple[str, Arrays]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        return (file.metadata() or {}).get(FORMAT, ""), arrays


def config_of(header: Header, path: str | Path) -> ViTConfig:
    """The model configuration in a file's header."""
    try:
        return ViTConfig(**header["config"])
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} names no model that minivit knows: {error}") from error


def section(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
