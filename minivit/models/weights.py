"""Weights in files: plain arrays with a header that says which model they belong to.

A file of ours, `.npz` or `.safetensors`, holds the parameters under `model/NAME` and one JSON header: the format's
name, the model's configuration, and what else its writer wants to say (class names, say). A training checkpoint is
the same file with more arrays beside them, so anything that reads weights reads checkpoints too. Other programs'
files are read as well: `layouts.py` knows their names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.backend import to_numpy
from ..errors import CheckpointError, ConfigError
from ..files import atomic_file
from .archive import Archive, Arrays, open_archive
from .classifier import Classifier
from .configs import AnyConfig, ResNetConfig, ViTConfig, build
from .layouts import Hints, fill_model, google_state, recognise
from .positions import resized

FORMAT = "minivit"
SUFFIXES = (".npz", ".safetensors")

Header = dict[str, Any]


def save_weights(model: Classifier, path: str | Path, layout: str = "minivit", header: Header | None = None) -> None:
    """Write a model's weights, whole or not at all.

    Args:
        model: the model.
        path: ends in .npz or .safetensors.
        layout: how the arrays are named: "minivit", or "google" for what the authors' code reads. Google's files say
            neither which GELU nor which epsilon a model has: their readers take the tanh form and 1e-6.
        header: more to note, as JSON values, in our own layout; `classes`, a list of names, is what `predict` prints.

    Raises:
        ConfigError: for another suffix or layout, or a model that the layout has no place for.
        SaveError: if the file cannot be written; an older one is unchanged.
    """
    if layout == "google":
        write_plain_arrays(path, google_state(model))
    elif layout == "minivit":
        arrays = {f"model/{name}": to_numpy(array) for name, array in model.state().items()}
        write_arrays(path, {"config": asdict(model.config), **(header or {})}, arrays)
    else:
        raise ConfigError(f"unknown layout {layout!r}: use 'minivit' or 'google'")


def load_model(
    path: str | Path,
    heads: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    *,
    grid: tuple[int, int] | None = None,
    interpolation: str = "bilinear",
) -> Any:
    """The model in a weights file, in evaluation mode: ours, Google's (.npz), timm's or Hugging Face's (.safetensors).

    Whose it is, and which model, is read off its arrays. Each comes with its own GELU and epsilon: tanh and 1e-6 for
    Google, erf and 1e-6 for timm, erf and 1e-12 for Hugging Face. Of a run that averaged its weights, the average is
    loaded, since that was evaluated.

    Args:
        path: the file.
        heads: attention heads, where the file cannot tell (timm, Hugging Face): those of the paper's model of this
            width if left out, and D / 64 for other widths.
        image_size: pixels, or (height, width); position embeddings are interpolated to its grid.  # ViT §3.2
        num_classes: if it is not the file's number, the head (with a pre-training head's hidden layer) is replaced by
            a linear one of zeros, as for fine-tuning; 0 leaves the head away.
        grid: the file's patches (rows, columns), where they are no square.
        interpolation: "bilinear" as the authors', or "bicubic"; see `positions.resize_positions`.

    Returns:
        A `ViT` or a `ResNet`.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged, nobody's that is known here, or its arrays do not fit the model.
        ConfigError: if the arguments do not fit the model.
    """
    model, _ = _load(path, Hints(heads, grid))
    return _adapted(model, image_size, num_classes, interpolation).eval()


def load_with_header(path: str | Path) -> tuple[Any, Header]:
    """As `load_model` without options, with what a file of ours says beside its weights; {} for the others."""
    model, header = _load(path, Hints())
    return model.eval(), header


def _load(path: str | Path, hints: Hints) -> tuple[Classifier, Header]:
    with open_archive(path) as archive:
        if not _is_ours(archive):
            return _read_foreign(archive, hints), {}
        header = _read_header(archive)
        model = _build(config_of(header, path), path)
        names = [name for name in archive.shapes if name.startswith("ema/")]
        names = names or [name for name in archive.shapes if name.startswith("model/")]
        model.load_state({name.partition("/")[2]: archive.read(name) for name in names}, source=str(path))
        return model, header


def _read_foreign(archive: Archive, hints: Hints) -> Classifier:
    layout = recognise(archive.shapes)
    if layout is None:
        raise CheckpointError(
            f"{archive.path} is in no known layout: minivit reads its own files, and those of Google's ViT and BiT, of "
            "timm and of Hugging Face"
        )
    shapes = {standard: archive.shapes[name] for name, standard in layout.standard_names(archive.shapes).items()}
    try:
        config = layout.infer(shapes, hints)
    except (ConfigError, CheckpointError) as error:
        raise CheckpointError(f"{archive.path} ({layout.name}'s layout) holds no model that fits: {error}") from error
    model = _build(config, archive.path)
    fill_model(model, archive, layout)
    return model


def _build(config: AnyConfig, path: str | Path) -> Classifier:
    try:
        return build(config, seed=None)
    except (MemoryError, OverflowError, ValueError) as error:
        raise CheckpointError(f"{path} names a model that cannot be built: {error}") from error


def _adapted(
    model: Classifier, image_size: int | tuple[int, int] | None, num_classes: int | None, interpolation: str
) -> Classifier:
    """The model for another image size or other classes; itself if nothing changes."""
    before = model.config
    changes: dict[str, Any] = {}
    if image_size is not None:
        changes["image_size"] = image_size
    if num_classes is not None and num_classes != before.num_classes:
        changes["num_classes"] = num_classes
        if isinstance(before, ViTConfig):
            changes["representation"] = None
    after = replace(before, **changes)
    if after == before:
        return model
    adapted = build(after, seed=None)
    state = model.state()
    new_head = "num_classes" in changes
    for name, tensor in adapted.named_parameters():
        if new_head and name.startswith("head."):
            continue  # zeros
        array = state[name]
        if array.shape != tensor.shape:
            array = resized(name, array, before, after, interpolation)
        tensor.data = array
    return adapted


# -- the file format -----------------------------------------------------------------------------


def write_arrays(path: str | Path, header: Header, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a header and arrays to a .npz or .safetensors file, whole or not at all."""
    write_plain_arrays(path, arrays, json.dumps({"format": FORMAT, **header}))


def write_plain_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], text: str | None = None) -> None:
    """Write arrays, and `text` as our header if there is one, to a .npz or .safetensors file, whole or not at all."""
    path = Path(path)
    if path.suffix == ".npz":
        header = {} if text is None else {FORMAT: np.array(text)}
        with atomic_file(path) as file:
            np.savez(file, allow_pickle=False, **header, **arrays)  # type: ignore[arg-type]
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save

        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with atomic_file(path) as file:
            file.write(save(contiguous, metadata=None if text is None else {FORMAT: text}))
    else:
        raise ConfigError(f"weights are written to {' or '.join(SUFFIXES)} files, not {path.name!r}")


def read_arrays(path: str | Path) -> tuple[Header, Arrays]:
    """Read all of what `write_arrays` wrote: a checkpoint's training state too.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or not minivit's.
    """
    with open_archive(path) as archive:
        header = _read_header(archive)
        return header, {name: archive.read(name) for name in archive.shapes if name != FORMAT}


def read_header(path: str | Path) -> Header:
    """The header of a file that `write_arrays` wrote; its arrays are not read.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or not minivit's.
    """
    with open_archive(path) as archive:
        return _read_header(archive)


def _is_ours(archive: Archive) -> bool:
    return FORMAT in archive.shapes or FORMAT in archive.text


def _read_header(archive: Archive) -> Header:
    try:
        text = archive.text[FORMAT] if FORMAT in archive.text else str(archive.read(FORMAT))
        header = json.loads(text)
        if header["format"] == FORMAT:
            return header
    except (ValueError, KeyError, TypeError):
        pass
    raise CheckpointError(f"{archive.path} was not written by minivit: it has no {FORMAT!r} header")


def config_of(header: Header, path: str | Path) -> AnyConfig:
    """The model configuration in a file's header."""
    try:
        values = header["config"]
        return ResNetConfig(**values) if "units" in values else ViTConfig(**values)
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} names no model that minivit knows: {error}") from error


def section(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
