"""Weights in files: plain arrays with a header that says which model they belong to.

A file of ours, `.npz` or `.safetensors`, holds the parameters under `model/NAME` and one JSON header: the format's
name, the model's configuration, and what else its writer wants to say (class names, say). A training checkpoint is
the same file with more arrays beside them, so anything that reads weights reads checkpoints too. Other programs'
files are read as well: `layouts.py` knows their names.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..backend.arrays import to_numpy
from ..errors import CheckpointError, CheckpointNotFoundError, ConfigError, SaveError
from ..models.classifier import Classifier
from ..models.configs import AnyConfig, ResNetConfig, ViTConfig
from ..models.names import build
from ..models.positions import resized
from ..nn.module import misfit
from ..utils.files import atomic_file
from ..utils.integers import integer
from ..utils.notices import notice
from ..utils.text import listed, printable, quoted
from .archive import Archive, Arrays, open_archive, plain, read_checked, refuse_non_finite, sha256
from .beside import Beside, read_beside
from .families import family_of
from .layouts import Hints, Layout, fill_model, google_state, recognise, refuse_other_types

FORMAT = "minivit"
VERSION = 2  # files of version 1 have neither a version number nor hashes
SUFFIXES = (".npz", ".safetensors")
RUN_WEIGHTS, OTHERS_WEIGHTS = "checkpoint.npz", ("model.safetensors", "model.npz")  # in a folder, in this order
HASHES, CHECKSUM = "sha256", "checksum"
HEADER_BYTES = 2**26  # a header has some thousands; a damaged file may claim any size
NEUTRAL = 0.5  # this mean and standard deviation take pixels from [0, 1] to [-1, 1]

Header = dict[str, Any]
Size = int | tuple[int, int]
Channels = float | Sequence[float]


def save_weights(model: Classifier, path: str | Path, layout: str = "minivit", header: Header | None = None) -> None:
    """Write a model's weights, whole or not at all.

    Args:
        model: the model.
        path: ends in .npz or .safetensors.
        layout: how the arrays are named: "minivit", or "google" for what the authors' code reads. Google's files say
            neither which GELU nor which epsilon a model has: their readers take the tanh form and 1e-6.
        header: more to note, as JSON values, in our own layout; `classes`, a list of names, is what `predict` prints.
            The header of the file that the model was loaded from is kept.

    Raises:
        ConfigError: for another suffix or layout, or a model that the layout has no place for.
        SaveError: if the file cannot be written, or the weights are nan or infinite; an older file is unchanged.
    """
    if layout == "google":
        config = model.config
        if isinstance(config, ViTConfig) and (config.gelu != "tanh" or config.norm_eps != 1e-6):
            notice(
                f"Google's layout does not say that this model has gelu={config.gelu!r} and norm_eps="
                f"{config.norm_eps:g}: its readers take 'tanh' and 1e-06, which changes the logits"
            )
        write_plain_arrays(path, google_state(model))
    elif layout == "minivit":
        arrays = {f"model/{name}": to_numpy(array) for name, array in model.state().items()}
        kept = {name: value for name, value in model.header.items() if name not in OF_A_CHECKPOINT}
        write_arrays(path, kept | {"config": asdict(model.config)} | (header or {}), arrays)
    else:
        raise ConfigError(f"unknown layout {layout!r}: use 'minivit' or 'google'")


# Fields of a training checkpoint's header that weights alone do not need.
OF_A_CHECKPOINT = {"optimizer_steps", "precision", "window"}


def load_model(
    path: str | Path,
    heads: int | None = None,
    image_size: Size | None = None,
    num_classes: int | None = None,
    *,
    grid: tuple[int, int] | None = None,
    mean: Channels | None = None,
    std: Channels | None = None,
    interpolation: str = "bilinear",
) -> Any:
    """The model in a weights file, in evaluation mode: ours, Google's (.npz), timm's or Hugging Face's (.safetensors).

    Whose it is, and which model, is read off its arrays. Each comes with its own GELU and epsilon: tanh and 1e-6 for
    Google, erf and 1e-6 for timm, erf and 1e-12 for Hugging Face, or what a `config.json` beside the file says. If a
    run averaged its weights, the average is loaded, since that was evaluated. If neither the file nor the caller nor a
    `config.json` says something, it is assumed with a `Notice`, or loading fails and asks for it.

    Args:
        path: the file, or the folder of a run or of Hugging Face's or timm's files.
        heads: attention heads, where the file cannot tell (timm, Hugging Face).
        image_size: pixels, or (height, width). If the file's position embeddings are as many as this size has
            patches, they are taken as they are; else they are interpolated to its grid.  # ViT §3.2
        num_classes: if it is not the file's number, the head (with a pre-training head's hidden layer) is replaced by
            a linear one of zeros, as for fine-tuning; 0 leaves the head away.
        grid: the file's patches (rows, columns), where they are no square.
        mean, std: of each channel, of pixels from 0 to 1, where the weights were trained on (pixels - mean) / std. They
            become part of the patch embedding, exactly, so that the model takes images in [-1, 1] like every other.
            [default: 0.5 and 0.5, which changes nothing]
        interpolation: "bilinear" as the authors', or "bicubic"; see `positions.resize_positions`.

    Returns:
        A `ViT` or a `ResNet`. Its `header` is what the file said beside its weights.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged, nobody's that is known here, or its arrays do not fit the model.
        ConfigError: if the arguments do not fit the model.
        OutOfMemory: if the model does not fit into the memory.
    """
    options = {"heads": heads, "image_size": image_size, "num_classes": num_classes, "grid": grid}
    model, _ = _load(path, follow=False, mean=mean, std=std, interpolation=interpolation, **options)
    return model


def load_for_pixels(path: str | Path, **options: Any) -> tuple[Any, Header]:
    """Return the model of a file and its header, for commands that read images: they scale pixels as the file's owner.

    If a file beside the weights names a mean and a standard deviation, they are used. A `Notice` says how pixels are
    scaled for weights that others trained.

    Args:
        path: as in `load_model`.
        options: heads, image_size, num_classes, grid, mean, std and interpolation, as in `load_model`.
    """
    model, scaling = _load(path, follow=True, **options)
    if scaling:
        notice(f"{printable(path)}: {scaling}")
    return model, dict(model.header)


def _load(
    path: str | Path,
    *,
    follow: bool,
    heads: int | None = None,
    image_size: Size | None = None,
    num_classes: int | None = None,
    grid: tuple[int, int] | None = None,
    mean: Channels | None = None,
    std: Channels | None = None,
    interpolation: str = "bilinear",
) -> tuple[Classifier, str]:
    """Return the model, and a phrase on how pixels are scaled for it, "" where that is clear.

    Args:
        follow: whether to use the mean and the standard deviation in a file beside the weights; if not, a notice names
            them.
    """
    path = weights_file(path)
    heads = None if heads is None else integer("heads", heads, 1)
    hints = Hints(heads, _given_grid(grid), _given_size(image_size))
    with open_archive(path) as archive:
        ours = _is_ours(archive)
        model, beside, layout = _read_own(archive) if ours else _read_foreign(archive, hints)
    model = _adapted(model, image_size, num_classes, interpolation)
    said = beside.mean is not None and beside.std is not None
    if mean is not None or std is not None:
        fold_scaling(model, mean, std)
        scaling = f"pixels are scaled by mean={_brief(mean)} and std={_brief(std)}, as given"
    elif said and follow:
        fold_scaling(model, beside.mean, beside.std)
        by = f"mean={_brief(beside.mean)} and std={_brief(beside.std)}"
        scaling = f"pixels are scaled by {by}, from {beside.scaling_source} beside the file"
    else:
        scaling = "" if ours else f"pixels are scaled to [-1, 1]{_scaling_of(layout)}"
        if said and not is_neutral(beside):
            notice(
                f"{printable(path)} was trained on pixels scaled by mean={_brief(beside.mean)} and "
                f"std={_brief(beside.std)}, by {beside.scaling_source} beside it: give mean and std to load it so"
            )
    return model.eval(), scaling


def _scaling_of(layout: str) -> str:
    """Return the end of a phrase on the scaling that the weights of a layout were probably trained with."""
    if layout in ("Google", "BiT"):
        return ", as Google's models expect"
    return (
        " (mean=0.5, std=0.5); if it was trained with ImageNet's, as DeiT, MAE and DINO, give mean=0.485,0.456,0.406 "
        "std=0.229,0.224,0.225"
    )


def _brief(values: Any) -> str:
    numbers = np.atleast_1d(np.asarray(values, np.float64)).reshape(-1)
    return ",".join(f"{value:g}" for value in numbers)


def weights_file(path: str | Path) -> Path:
    """Return a weights file: the path itself, or for a folder the weights of the run or the model in it.

    Raises:
        CheckpointNotFoundError: for a folder with several weights files, or one that may not be read.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            return path
        for name in (RUN_WEIGHTS, *OTHERS_WEIGHTS):
            if (path / name).is_file():
                return path / name
        found = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
    except OSError as error:
        raise CheckpointNotFoundError(f"{printable(path)} cannot be read: {error.strerror}") from error
    if len(found) == 1:
        return path / found[0]
    if (path / "model.safetensors.index.json").is_file():
        raise CheckpointNotFoundError(f"{printable(path)} holds shards of weights: join them in one file first")
    if found:
        raise CheckpointNotFoundError(f"{printable(path)} holds several weights files: name one, {listed(found)}")
    return path / RUN_WEIGHTS  # it does not exist: the reader says so


def _given_grid(grid: Any) -> tuple[int, int] | None:
    if grid is None:
        return None
    sides = list(grid) if isinstance(grid, list | tuple | np.ndarray) else []
    if len(sides) != 2 or not all(isinstance(n, int | np.integer) and n >= 1 for n in sides):
        raise ConfigError(f"grid must be the patches (rows, columns), not {quoted(grid)}")
    return int(sides[0]), int(sides[1])


def _given_size(size: Any) -> tuple[int, int] | None:
    """Return the (height, width) that is asked for; None for anything else, which the configuration refuses later."""
    sides = list(size) if isinstance(size, list | tuple | np.ndarray) else [size, size]
    good = len(sides) == 2 and all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in sides)
    return (int(sides[0]), int(sides[1])) if good else None


def _read_own(archive: Archive) -> tuple[Classifier, Beside, str]:
    header, digests = _read_header(archive)
    model = _build(config_of(header, archive.path), archive)
    _check_classes(header, model, archive.path)
    _fill_own(model, archive, digests)
    model.header = {name: value for name, value in header.items() if name not in ("format", "config")}
    return model, Beside(), FORMAT


def _fill_own(model: Classifier, archive: Archive, digests: Mapping[str, str]) -> None:
    """Make the arrays of a file that minivit wrote the model's parameters, without a copy."""
    path = printable(archive.path)
    section = "ema/" if any(name.startswith("ema/") for name in archive.shapes) else "model/"
    names = [name for name in archive.shapes if name.startswith(section)]
    own = dict(model.named_parameters())
    theirs = {name.removeprefix(section): name for name in names}
    problems = [f"{name} is missing" for name in own if name not in theirs]
    problems += [f"{printable(name, 80)} is unknown" for name in theirs if name not in own]
    problems += [
        f"{name} has shape {archive.shapes[theirs[name]]} instead of {own[name].shape}"
        for name in own
        if name in theirs and archive.shapes[theirs[name]] != own[name].shape
    ]
    if problems:
        raise CheckpointError(misfit(path, problems))
    arrays = read_checked(archive, names, digests)
    for name, tensor in own.items():
        array = arrays[theirs[name]]
        refuse_other_types(array, f"{path}: {name}")
        tensor.data = np.ascontiguousarray(array, tensor.dtype)


def _read_foreign(archive: Archive, hints: Hints) -> tuple[Classifier, Beside, str]:
    path = printable(archive.path)
    layout = recognise(archive.shapes)
    family = family_of(archive.shapes)
    if layout is None:
        if family is not None:
            raise CheckpointError(f"{path} holds {family}; minivit does not read it")
        raise CheckpointError(
            f"{path} is in no known layout: minivit reads its own files, and those of Google's ViT and BiT, of timm "
            "and of Hugging Face"
        )
    from_torch = layout.name in ("timm", "Hugging Face")  # config.json is written beside such files
    beside = read_beside(archive.path) if from_torch else Beside()
    hints = replace(hints, beside=beside)
    try:
        config = _inferred(archive, layout, hints)
        model = _build(config, archive)
        fill_model(model, archive, layout)
    except (ConfigError, CheckpointError) as error:
        if family is not None:
            raise CheckpointError(f"{path} holds {family}; minivit does not read it") from error
        raise
    if hints.assumed:
        notice(
            f"{path} does not say everything: assumed {', '.join(hints.assumed)}; if that is wrong, give heads, grid "
            "or image_size"
        )
    if beside.classes is not None and len(beside.classes) == config.num_classes:
        model.header = {"classes": list(beside.classes)}
    return model, beside, layout.name


def is_neutral(beside: Beside) -> bool:
    """Return whether pixels are scaled to [-1, 1], as by `minivit.preprocess`, or no scaling is given."""
    return all(abs(value - NEUTRAL) < 1e-6 for value in (*(beside.mean or ()), *(beside.std or ())))


def _inferred(archive: Archive, layout: Layout, hints: Hints) -> AnyConfig:
    """Return the configuration that the arrays have, after comparing it with the files beside the weights."""
    path = printable(archive.path)
    try:
        shapes = {standard: archive.shapes[name] for name, standard in layout.standard_names(archive.shapes).items()}
        config = layout.infer(shapes, hints)
    except (ConfigError, CheckpointError) as error:
        raise CheckpointError(f"{path} ({layout.name}'s layout) holds no model that fits: {error}") from error
    for name, size in hints.beside.sizes.items():
        if getattr(config, name) != size:
            raise CheckpointError(
                f"{path} has {name} = {getattr(config, name)}, but {hints.beside.source} beside it says {size}: one of "
                "the two belongs to another model"
            )
    return config


def _build(config: AnyConfig, archive: Archive) -> Classifier:
    """Build the model, if the file holds enough arrays and numbers for it: a header may claim any size."""
    path = printable(archive.path)
    layers = config.depth + sum(config.backbone or ()) if isinstance(config, ViTConfig) else sum(config.units)
    least = _least_parameters(config)
    if layers > len(archive.shapes) or least > archive.size:
        raise CheckpointError(
            f"{path} describes a model of {quoted(layers, 20)} layers and {quoted(least, 20)} parameters or more, but "
            f"holds {len(archive.shapes)} arrays of {archive.size} numbers"
        )
    try:
        return build(config, seed=None)
    except (OverflowError, ValueError) as error:
        raise CheckpointError(f"{path} names a model that cannot be built: {printable(error, 100)}") from error


def _least_parameters(config: AnyConfig) -> int:
    """Return a lower bound for the number of parameters, without building anything."""
    if isinstance(config, ResNetConfig):
        return config.width * config.channels + config.width * config.num_classes
    d = config.dim
    blocks = config.depth * (4 * d * d + 2 * d * config.mlp_dim)
    head = (config.representation or d) * config.num_classes + d * (config.representation or 0)
    positions = config.num_patches * d if config.positions == "learned" else 0
    return blocks + head + positions + d * config.patch_size**2


def _check_classes(header: Header, model: Classifier, path: Path) -> None:
    classes = header.get("classes")
    if classes is not None and model.config.num_classes and len(classes) != model.config.num_classes:
        raise CheckpointError(
            f"{printable(path)} names {len(classes)} classes for a model that knows {model.config.num_classes}"
        )


def _adapted(model: Classifier, image_size: Size | None, num_classes: int | None, interpolation: str) -> Classifier:
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
            array = resized(name, array, before.grid, after.grid, interpolation)
        tensor.data = array
    of_the_head = {"classes"} if new_head else set()
    adapted.header = {name: value for name, value in model.header.items() if name not in of_the_head}
    return adapted


def with_new_head(model: Classifier, num_classes: int) -> Classifier:
    """Return the model with a linear head of zeros for other classes, even if they are as many as before."""
    return _adapted(_adapted(model, None, 0, "bilinear"), None, num_classes, "bilinear")


def fold_scaling(model: Classifier, mean: Channels | None, std: Channels | None) -> None:
    """Make the scaling of pixels a part of the patch embedding: the model then takes images in [-1, 1].

    (pixels / 255 - mean) / std is linear in x = pixels / 127.5 - 1, and so is the embedding that follows: E and b of
    x are those of the scaled pixels, with E / (2 std) and b + E (0.5 - mean) / std.

    Args:
        model: a `ViT` that cuts patches from the image itself; it is changed.
        mean, std: one number, or one for each channel, of pixels from 0 to 1.

    Raises:
        ConfigError: for other numbers, or a model whose first layer pads the image, where this would not be exact.
    """
    config = model.config
    means, stds = (_for_channels(name, v, config.channels) for name, v in (("mean", mean), ("std", std)))
    if (means == NEUTRAL).all() and (stds == NEUTRAL).all():
        return
    if not isinstance(config, ViTConfig) or config.backbone is not None:
        raise ConfigError("mean and std are for Vision Transformers without a backbone: a convolution pads the image")
    if model.header.get("folded"):
        raise ConfigError("mean and std are a part of these weights already: leave them out")
    embedding: Any = model.embedding  # type: ignore[attr-defined]
    weight = embedding.weight.data.astype(np.float64).reshape(-1, config.channels, config.dim)  # (P², C, D)
    bias = embedding.bias.data + np.einsum("pcd,c->d", weight, (NEUTRAL - means) / stds)
    scaled = weight / (2.0 * stds[:, None])
    embedding.weight.data = scaled.reshape(embedding.weight.shape).astype(embedding.weight.dtype)
    embedding.bias.data = bias.astype(embedding.bias.dtype)
    model.header = {**model.header, "folded": {"mean": means.tolist(), "std": stds.tolist()}}


def _for_channels(name: str, given: Channels | None, channels: int) -> np.ndarray:
    """Return a mean or a standard deviation for each channel."""
    if given is None:
        raise ConfigError("mean and std belong together: give both")
    rule = f"{name} must be one number or {channels}, one for each channel, of pixels from 0 to 1"
    try:
        values = np.asarray(given, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{rule}, not {quoted(given)}") from error
    low = 0.0 if name == "mean" else 1e-6
    if values.size not in (1, channels) or not ((values >= low) & (values <= 1.0)).all():
        raise ConfigError(f"{rule}, not {quoted(given)}")
    return np.broadcast_to(values, (channels,)).copy()


def verify_weights(path: str | Path) -> dict[str, Any]:
    """Read every array of a weights file, and return what was checked, as JSON values.

    Returns:
        `file`, `format` (".npz" or ".safetensors"), `layout` ("minivit", "Google", "timm" ...), `arrays` and
        `numbers` (how many), and `checked`, a list of phrases.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: with the name of an array that was changed, is missing, has another shape, or holds nan.
    """
    path = weights_file(path)
    with open_archive(path) as archive:
        ours = _is_ours(archive)
        digests: Mapping[str, str] = {}
        if ours:
            header, digests = _read_header(archive)
            _build(config_of(header, path), archive)
            name = FORMAT
        else:
            layout = recognise(archive.shapes)
            family = family_of(archive.shapes)
            name = layout.name if layout is not None else family or "of unknown names"
        arrays = [each for each in archive.shapes if each != FORMAT or not ours]
        for each in arrays:  # one at a time: a training checkpoint is three times as large as its model
            read_checked(archive, [each], digests)
        numbers = sum(math.prod(archive.shapes[each]) for each in arrays)
    if ours:
        load_model(path)  # compares names and shapes with the model's
    checked = []
    if digests:
        checked.append(f"SHA-256 of the header and of {len(digests)} arrays")
    elif archive.kind == ".npz":
        checked.append("CRC-32 of every array")
    else:
        checked.append("no checksums, for it carries none")
    checked.append("no nan or infinity")
    if ours:
        checked.append("the arrays are those of its model")
    return {
        "file": str(path), "format": archive.kind, "layout": name, "arrays": len(arrays), "numbers": numbers,
        "checked": checked,
    }  # fmt: skip


def has_zero_head(model: Classifier) -> bool:
    """Return whether the head is all zeros: it was never trained, and every class gets the same probability."""
    head = getattr(model, "head", None)
    return head is not None and not any(to_numpy(tensor.data).any() for tensor in head.parameters())


# -- the file format -----------------------------------------------------------------------------


def write_arrays(path: str | Path, header: Header, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a header and arrays to a .npz or .safetensors file, whole or not at all.

    The header gets the SHA-256 of every array, and a checksum of itself with the arrays' names, types and shapes.

    Raises:
        SaveError: if the file cannot be written, or weights are nan or infinite; an older file is unchanged.
    """
    arrays = {name: plain(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        try:
            refuse_non_finite(array, f"{printable(path)} was not written: {quoted(name)}")
        except CheckpointError as error:
            raise SaveError(str(error)) from error
    own = ("format", "version", HASHES, CHECKSUM)
    header = {name: value for name, value in header.items() if name not in own}
    header = {"format": FORMAT, "version": VERSION, **header, HASHES: {n: sha256(a) for n, a in arrays.items()}}
    types = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    write_plain_arrays(path, arrays, json.dumps({**header, CHECKSUM: _checksum(header, types)}))


def _checksum(header: Header, types: Mapping[str, Any]) -> str:
    """The SHA-256 of a header without its checksum, and of the arrays' types and shapes by name."""
    read_back = json.loads(json.dumps([header, types]))  # as it is read later: keys are text, tuples are lists
    return hashlib.sha256(json.dumps(read_back, sort_keys=True).encode()).hexdigest()


def write_plain_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], text: str | None = None) -> None:
    """Write arrays, and `text` as our header if there is one, to a .npz or .safetensors file, whole or not at all."""
    path = Path(path)
    if path.suffix == ".npz":
        header = {} if text is None else {FORMAT: np.array(text)}
        with atomic_file(path) as file:
            _write_npz(file, {**header, **arrays})
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save

        contiguous = {name: plain(array) for name, array in arrays.items()}
        with atomic_file(path) as file:
            file.write(save(contiguous, metadata=None if text is None else {FORMAT: text}))
    else:
        raise ConfigError(f"weights are written to {' or '.join(SUFFIXES)} files, not {quoted(path.name)}")


def _write_npz(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write what `np.savez` writes. That would take arrays called "file" or "allow_pickle" for its arguments."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: str | Path) -> tuple[Header, Arrays]:
    """Read all of what `write_arrays` wrote: a checkpoint's training state too.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or not minivit's.
    """
    with open_archive(path) as archive:
        header, digests = _read_header(archive)
        return header, read_checked(archive, (name for name in archive.shapes if name != FORMAT), digests)


def read_header(path: str | Path) -> Header:
    """The header of a file that `write_arrays` wrote; its arrays are not read.

    Raises:
        CheckpointNotFoundError: if there is no such file.
        CheckpointError: if it is damaged or not minivit's.
    """
    with open_archive(path) as archive:
        return _read_header(archive)[0]


def _is_ours(archive: Archive) -> bool:
    return FORMAT in archive.shapes or FORMAT in archive.text


def _read_header(archive: Archive) -> tuple[Header, dict[str, str]]:
    """Return a file's header and the SHA-256 of its arrays; files of version 1 have none."""
    path = printable(archive.path)
    header = _header_of(archive)
    if header is None:
        raise CheckpointError(f"{path} was not written by minivit: it has no {FORMAT!r} header")
    digests, checksum, version = (header.pop(name, None) for name in (HASHES, CHECKSUM, "version"))
    if (digests, checksum, version) == (None, None, None):
        _check_fields(header, path)
        return header, {}
    types = {n: [archive.types[n], list(shape)] for n, shape in archive.shapes.items() if n != FORMAT}
    if version != VERSION and isinstance(version, int) and version > VERSION:
        raise CheckpointError(f"{path} was written by a newer minivit (version {quoted(version)}): update minivit")
    whole = {**header, "version": version, HASHES: digests}
    if checksum != _checksum(whole, types) or not isinstance(digests, dict) or set(digests) != set(types):
        raise CheckpointError(f"{path} is damaged: its header was changed after it was written")
    _check_fields(header, path)
    return header, digests


def _header_of(archive: Archive) -> Header | None:
    try:
        if FORMAT in archive.text:
            text = archive.text[FORMAT]
        elif archive.shapes[FORMAT] == () and int(archive.types[FORMAT].lstrip("<>|U")) < HEADER_BYTES // 4:
            text = str(archive.read(FORMAT))
        else:
            return None
        header = json.loads(text)
        return header if header["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _check_fields(header: Header, path: str) -> None:
    """Raise CheckpointError for a field of another type than minivit writes; null counts as absent."""
    rules: dict[str, tuple[bool, str]] = {}
    for name, value in header.items():
        if value is None:
            continue
        if name == "classes":
            rules[name] = isinstance(value, list) and all(isinstance(each, str) for each in value), "a list of names"
        elif name == "dataset":
            rules[name] = isinstance(value, str), "a name"
        elif name in ("config", "train", "window", "last_test", "folded"):
            rules[name] = isinstance(value, dict), "an object"
        elif name in ("step", "optimizer_steps", "images"):
            good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
            rules[name] = good, "an integer of 0 or more"
        elif name == "seconds":
            good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
            rules[name] = good, "a number of 0 or more"
    for name, (good, rule) in rules.items():
        if not good:
            raise CheckpointError(f"{path}: {name} in its header must be {rule}, not {quoted(header[name])}")


def config_of(header: Header, path: str | Path) -> AnyConfig:
    """The model configuration in a file's header."""
    where = printable(path)
    values = header.get("config")
    if not isinstance(values, dict):
        raise CheckpointError(f"{where} does not describe a model: config in its header is {quoted(values)}")
    kind = ResNetConfig if "units" in values else ViTConfig
    if unknown := sorted(set(values) - {each.name for each in fields(kind)}):
        raise CheckpointError(
            f"{where} describes no model that minivit knows: its options {listed(unknown)} are unknown"
        )
    try:
        return kind(**values)
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{where} describes no model that minivit knows: {error}") from error


# -- options as text -----------------------------------------------------------------------------


def sides_of(name: str, text: str) -> int | tuple[int, int]:
    """Read 48 as one number and 48x32 as two. Raises ConfigError for other texts."""
    parts = [part.strip() for part in text.lower().replace(",", "x").split("x")]
    if len(parts) > 2 or not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        raise ConfigError(f"{name} must be a number such as 224, or two such as 6x4, not {quoted(text)}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def grid_of(name: str, text: str) -> tuple[int, int]:
    """Read 6x4 as rows and columns; a single number is both. Raises ConfigError for other texts."""
    sides = sides_of(name, text)
    return (sides, sides) if isinstance(sides, int) else sides


def channels_of(name: str, text: str) -> tuple[float, ...]:
    """Read 0.5,0.5,0.5 as three numbers. Raises ConfigError for other texts."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{name} must be numbers such as 0.5,0.5,0.5, not {quoted(text)}") from error


def section(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
