"""What arrays in another program's layout do not show of a model: noted in the metadata of a .safetensors file.

Other readers ignore the note. A .npz file has no place for one: a notice says at its writing what to give when minivit
reads it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...models.classifier import Classifier
from ...models.configs import ViTConfig
from ...preprocessing import preprocessing_in
from ...utils.notices import notice
from ...utils.text import printable, quoted
from ..formats.archive import Archive
from .minivit import check_fields
from .sidecar import JsonObject, Sidecar, class_names
from .source import Header

NOTE = "minivit_note"  # its name in the metadata
OF_IMAGES = ("preprocessing", "folded")  # fields that are a part of a model's header


def note_of(model: Classifier) -> dict[str, str]:
    """Return the note on a model, by its name in a file's metadata; {} for a ResNet, whose arrays show everything."""
    config = model.config
    if not isinstance(config, ViTConfig):
        return {}
    said: Header = {"gelu": config.gelu, "norm_eps": config.norm_eps, "image_size": list(config.image_shape[:2])}
    said["classifier"] = config.classifier
    said |= {"heads": config.heads} if config.depth else {}
    said |= {name: model.header[name] for name in ("classes", "folded") if model.header.get(name)}
    return {NOTE: json.dumps(said | {"preprocessing": preprocessing_in(model.header).to_json()})}


def with_note(sidecar: Sidecar, archive: Archive) -> Sidecar:
    """Return what the files beside a weights file say, and where they say nothing, what its note says.

    Args:
        sidecar: what the files beside it say.
        archive: the weights file.

    Raises:
        CheckpointError: for a note that makes no sense.
    """
    note = _note_in(archive)
    if note is None:
        return sidecar
    said: dict[str, Any] = {
        "heads": note.integer("heads"),
        "image_size": note.image_size("image_size"),
        "gelu": note.word("gelu"),
        "norm_eps": note.number("norm_eps"),
        "classifier": note.word("classifier"),
        "classes": class_names(note.content.get("classes")),
    }
    return replace(sidecar, **{name: value for name, value in said.items() if getattr(sidecar, name) is None})


def images_in_note(archive: Archive, sidecar: Sidecar) -> Header:
    """Return the fields of a model's header that a file's note says of how images are prepared.

    Args:
        archive: the weights file.
        sidecar: what the files beside it say, which counts first.
    """
    note = _note_in(archive)
    if note is None or sidecar.preprocessing:
        return {}
    return {name: note.content[name] for name in OF_IMAGES if name in note}


def _note_in(archive: Archive) -> JsonObject | None:
    text = archive.text.get(NOTE)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise CheckpointError(f"{printable(archive.path)}: {NOTE} in its metadata is damaged: {quoted(text, 40)}")
    check_fields(content, printable(archive.path))
    return JsonObject(archive.path, content)


def say_what_is_not_noted(model: Classifier, path: str | Path, layout: str, shows_heads: bool) -> None:
    """Give a notice of what a file without a note does not say, and what to give when minivit reads it.

    Args:
        model: what was written.
        path: the file.
        layout: whose layout it is.
        shows_heads: whether the arrays show the number of heads.
    """
    config = model.config
    lost, options = [], []
    if isinstance(config, ViTConfig):
        height, width, _ = config.image_shape
        exact = tuple(side * config.patch_size for side in config.grid)
        if config.positions != "learned" or height != width or (config.backbone is None and exact != (height, width)):
            lost.append("image size")
            options.append(f"--image-size {height}" + (f"x{width}" if width != height else ""))
        if not shows_heads and config.depth:
            lost.append("heads")
            options.append(f"--heads {config.heads}")
    if model.header.get("classes"):
        lost.append("names of classes")
    if lost:
        give = f": when minivit reads it, give {' '.join(options)}" if options else ""
        notice(f"{printable(path)} in {layout}'s layout does not say this model's {' and '.join(lost)}{give}")
