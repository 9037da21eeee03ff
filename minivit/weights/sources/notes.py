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
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing, joined, preprocessing_in
from ...utils.notices import notice
from ...utils.text import printable, quoted
from ..formats.archive import Archive
from ..options import POOLS
from .minivit import check_fields
from .sidecar import JsonObject, Sidecar, class_names
from .source import Header

NOTE = "minivit_note"  # its name in the metadata


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
    found = {name: value for name, value in said.items() if value is not None and getattr(sidecar, name) is None}
    names = set(found)
    if sidecar.preprocessing and "preprocessing" in note:
        noted = replace(preprocessing_in(note.content), image_size=None)  # only those files say a size to follow
        found["preprocessing"] = {**vars(noted), **sidecar.preprocessing}
        names |= {"mean", "std"} - sidecar.preprocessing.keys()
    return replace(sidecar, **found, noted=frozenset(names))


def images_in_note(archive: Archive, sidecar: Sidecar) -> Header:
    """Return the fields of a model's header that a file's note says of how images are prepared.

    A mean and a standard deviation that are a part of the weights stay so, whatever the files beside the weights say.

    Args:
        archive: the weights file.
        sidecar: what the files beside it say, which counts first.
    """
    note = _note_in(archive)
    if note is None:
        return {}
    names = ("folded",) if sidecar.preprocessing else ("preprocessing", "folded")
    return {name: note.content[name] for name in names if name in note}


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


def say_what_is_not_noted(
    model: Classifier,
    path: str | Path,
    layout: str,
    shows_heads: bool,
    as_read: AnyConfig | None,
    convention: Preprocessing,
) -> None:
    """Give notices of what a file without a note does not say, and what to give when minivit reads it.

    Args:
        model: what was written.
        path: the file.
        layout: whose layout it is.
        shows_heads: whether the arrays show the number of heads.
        as_read: what minivit takes its arrays for, if heads and image size are given; None if it asks for more.
        convention: how minivit then prepares images.
    """
    config = model.config
    lost: dict[str, str] = {}  # what, and the option that says it
    if isinstance(config, ViTConfig):
        height, width, _ = config.image_shape
        exact = tuple(side * config.patch_size for side in config.grid)
        if config.positions != "learned" or height != width or (config.backbone is None and exact != (height, width)):
            lost["image size"] = f"--image-size {height}" + (f"x{width}" if width != height else "")
        lost |= {"heads": f"--heads {config.heads}"} if config.depth and not shows_heads else {}
        lost |= _arithmetic_not_shown(config, as_read)
    if model.header.get("classes"):
        lost["names of classes"] = ""
    start = f"{printable(path)} in {layout}'s layout does not say"
    if lost:
        *words, last = lost
        given = " ".join(filter(None, lost.values()))
        give = f": to read it again, give {given}" if given else ""
        notice(f"{start} this model's {', '.join(words) + ' and ' if words else ''}{last}{give}")
    height, width, _ = config.image_shape
    ours = preprocessing_in(model.header)
    if options := _options_of_images(ours, convention, (height, width)):
        notice(f"{start} how images are prepared: to read it again, give {' '.join(options)}")
    elif options is None:
        resized, _, _ = ours.described(height, width).partition(", scaled")
        notice(f"{start} that images are {resized}, and no option does: save it as .safetensors, which notes it")


def uses_gelu(config: ViTConfig) -> bool:
    """Return whether a model has an MLP with `config.gelu`: the gate of a SwiGLU is another activation."""
    return config.classifier == "map" or (config.depth > 0 and not config.gated_mlp)


def _arithmetic_not_shown(config: ViTConfig, as_read: AnyConfig | None) -> dict[str, str]:
    """Return what minivit would take otherwise than the model has it, and the option that says it.

    Args:
        config: the model's.
        as_read: as `say_what_is_not_noted` takes it.
    """
    pool = next((word for word, classifier in POOLS.items() if classifier == config.classifier), config.classifier)
    shown = {
        "gelu": ("activation", f"--gelu {config.gelu}", uses_gelu(config)),
        "norm_eps": ("epsilon", f"--eps {config.norm_eps:g}", True),
        "classifier": ("pooling", f"--pool {pool}", True),
    }
    return {
        word: option
        for name, (word, option, counts) in shown.items()
        if counts and getattr(as_read, name, None) != getattr(config, name)
    }


def _options_of_images(ours: Preprocessing, theirs: Preprocessing, image_size: tuple[int, int]) -> list[str] | None:
    """Return the options that say how images are prepared; None if no option says how they are resized.

    Args:
        ours: how they are prepared.
        theirs: how they are prepared without an option.
        image_size: the model's (height, width).
    """
    options = []
    scaling, usual = [{"mean": _of_channels(each.mean), "std": _of_channels(each.std)} for each in (ours, theirs)]
    if scaling != usual:
        options += [f"--{name} {joined(values)}" for name, values in scaling.items()]
    if _resized(ours, image_size) != _resized(theirs, image_size):
        kind, height, width = _resized(ours, image_size)
        if kind not in ("shortest", "exact"):
            return None
        options.append(f"--resize {min(height, width)}" if kind == "shortest" else f"--resize {height}x{width}")
    if ours.interpolation != theirs.interpolation:
        options.append(f"--interpolation {ours.interpolation}")
    return options


def _of_channels(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return one number where all channels have the same."""
    return values[:1] if len(set(values)) == 1 else values


def _resized(preprocessing: Preprocessing, image_size: tuple[int, int]) -> tuple[str, int, int]:
    """Return how images are resized, and to which (height, width); to cover a square is to give its shorter side."""
    height, width = preprocessing.resized_to(*image_size)
    is_shorter_side = preprocessing.resize == "cover" and height == width
    return "shortest" if is_shorter_side else preprocessing.resize, height, width
