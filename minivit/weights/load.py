"""From a file of weights to a model: find the file, ask whose it is, build the model, read the arrays, adapt it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError, ConfigError
from ..models.classifier import Classifier
from ..models.configs import AnyConfig, ResNetConfig, ViTConfig
from ..models.names import build
from ..models.resnet import ResNet
from ..models.vit import ViT
from ..nn import Module
from ..utils.aliases import old_arguments
from ..utils.integers import integer
from ..utils.notices import notice
from ..utils.text import listed, printable, quoted
from .adapt import Size, adapted
from .find import find_weights
from .formats.archive import Archive, open_archive
from .images import ImageOptions, Sides, apply, settle
from .options import channels_of, crop_of, grid_of, pool_of, sides_of
from .published import sidecar_of_published
from .scaling import Channels
from .sources.families import family_of
from .sources.minivit import AVERAGED_WEIGHTS, WEIGHTS, read_arrays, section
from .sources.notes import with_note
from .sources.registry import MINIVIT, SOURCES, read_sidecar, source_of
from .sources.source import Description, Header, Hints, Source
from .sources.wrappers import without_wrappers

INTERPOLATING = ("dinov2", "dinov2_with_registers")  # transformers' models that take images of any size
ARITHMETIC = ("classifier", "gelu", "norm_eps")  # that arrays do not show, and the caller may say
INSIDE = "module."  # what a run calls a script's own network, see `training.own_model`
NOT_OPTIONS = {"mlp", "positions_for", "final_norm"}  # that may be assumed, and the caller cannot say


@old_arguments(path="weights")
def load_model(
    weights: str | Path,
    heads: int | None = None,
    image_size: Size | None = None,
    num_classes: int | None = None,
    *,
    grid: tuple[int, int] | str | None = None,
    classifier: str | None = None,
    pool: str | None = None,
    gelu: str | None = None,
    norm_eps: float | None = None,
    eps: float | None = None,
    mean: Channels | str | None = None,
    std: Channels | str | None = None,
    resize: Sides | str | None = None,
    crop: Sides | float | str | None = None,
    resampling: str | None = None,
    interpolation: str = "bilinear",
    apply_stated_scaling: bool = False,
) -> ViT | ResNet:
    """Return the model in a weights file, in evaluation mode.

    The file is one of minivit, Google (vision_transformer, big_vision and BiT), timm, Hugging Face, torchvision, CLIP
    (OpenAI's and OpenCLIP's) or vit-pytorch, in the format `.npz`, `.safetensors` or PyTorch's (`.pth`, `.pt`, `.bin`,
    `.ckpt`), which is read without PyTorch and runs no code.

    Whose file it is, and which model, is read off the names and shapes of its arrays. Each source has its own GELU and
    epsilon: tanh and 1e-6 for Google, erf and 1e-6 for timm and torchvision, erf and 1e-12 for Hugging Face, erf and
    1e-5 for vit-pytorch, or what a `config.json` beside the file says. If a run averaged its weights, the average is
    loaded, since that was evaluated. If neither the file nor the caller nor a `config.json` says something, it is
    assumed with a `Notice`, or loading fails and asks for it.

    What the command line takes is taken here too: `pool`, `eps`, and texts such as grid="6x4" or crop="0.875". The
    command line's --interpolation is `resampling` here.

    Args:
        weights: a file; the folder of a run or of Hugging Face's or timm's files; or the name of published weights (one
            of `PRETRAINED`, or `hf-hub:OWNER/NAME`), which are downloaded once.
        heads: attention heads, where the file cannot tell (all sources but minivit and Google).
        image_size: pixels, or (height, width). If the file has as many position embeddings as this size has patches,
            they are kept unchanged; else they are interpolated to its grid.  # ViT §3.2
        num_classes: if it is not the file's number, the head (with a pre-training head's hidden layer) is replaced by
            a linear one of zeros, as for fine-tuning; 0 leaves the head out.
        grid: the file's patches (rows, columns), if they do not form a square.
        classifier: what the head reads: "token", "gap" or "map", as `ViTConfig` takes it.
        pool: the same by the command line's names: "token", "avg" or "map".
        gelu: which GELU the blocks compute, as `ViTConfig` takes it, such as "erf" or "tanh".
        norm_eps: LayerNorm's epsilon.
        eps: the same by the command line's name.
        mean: of each channel, of pixels from 0 to 1, if the weights were trained on (pixels - mean) / std. It becomes
            part of the patch embedding, exactly, so that the model takes images in [-1, 1] like every other.
            [default: 0.5, which changes nothing]
        std: the standard deviation of each channel; `mean` and `std` are given together. [default: 0.5, which changes
            nothing]
        resize: how images are resized for the model: the pixels of the shorter side, or (height, width) whatever the
            image's ratio of sides. It is noted in the model's header, and commands and `read_fitted` follow it.
        crop: the centre of a resized image that is kept: pixels, or a share of the sides such as 0.875.
        resampling: the filter with which images are resized: "bilinear", "bicubic" ... (`INTERPOLATIONS`).
        interpolation: of position embeddings: "bilinear" as the authors', or "bicubic", as
            `positions.resize_positions` takes it.
        apply_stated_scaling: use the mean and std that a file beside the weights or the publisher's convention says,
            and say in a `Notice` how images are prepared for weights that others trained; if False, a `Notice` only
            names those of a file.

    Returns:
        A `ViT` or a `ResNet`. Its `header` is what the file says besides its weights.

    Raises:
        CheckpointNotFoundError: if there is no such file or name.
        CheckpointError: if it is damaged, of no known source, or its arrays do not fit the model.
        ConfigError: if the arguments do not fit the model.
        OutOfMemory: if the model does not fit into the memory.
        DownloadError, SaveError: if published weights cannot be downloaded.
    """
    path = find_weights(weights)
    classifier = _either("classifier", classifier, "pool", None if pool is None else pool_of("pool", pool))
    norm_eps = _either("norm_eps", norm_eps, "eps", eps)
    hints = checked_hints(heads, _parsed("grid", grid, grid_of), image_size, classifier, gelu, norm_eps)
    with open_archive(path) as archive:
        model, found = _read(archive, hints)
    if image_size is None and apply_stated_scaling and (stated := size_to_follow(found)):
        image_size, interpolation = stated, "bicubic"
    model = adapted(model, image_size, num_classes, interpolation)
    scaling = _parsed("mean", mean, channels_of), _parsed("std", std, channels_of)
    given = ImageOptions(*scaling, _parsed("resize", resize, sides_of), _parsed("crop", crop, crop_of), resampling)
    settled = settle(model.config, found.source, found.hints.sidecar, model.header, given)
    apply(model, settled, printable(path), apply_stated_scaling)
    known: Any = model.eval()
    return known


def load_weights(model: Module, path: str | Path) -> None:
    """Copy the weights in a file of minivit into a model of the same parameters, such as a script's own network.

    Args:
        model: any Module; `load_model` builds those that minivit knows.
        path: what `save_weights` or `Trainer.save` wrote, or a run's checkpoint; its averaged weights, if it has any.

    Raises:
        CheckpointNotFoundError, CheckpointError: if it is missing, damaged, or does not fit the model.
    """
    _, arrays = read_arrays(path)
    state = section(arrays, AVERAGED_WEIGHTS) or section(arrays, WEIGHTS)
    if not any(name.startswith(INSIDE) for name in model.state()):
        state = {name.removeprefix(INSIDE): array for name, array in state.items()}
    model.load_state(state, source=printable(path))


def _parsed(name: str, value: Any, read: Callable[[str, str], Any]) -> Any:
    """Return an argument that may be text as the command line takes it."""
    return read(name, value) if isinstance(value, str) else value


def _either(name: str, value: Any, other_name: str, other: Any) -> Any:
    """Return an argument that has two names. Raises ConfigError if it is given under both."""
    if value is not None and other is not None:
        raise ConfigError(f"{name} and {other_name} mean the same: give one of them")
    return other if value is None else value


def load_for_pixels(weights: str | Path, **options: Any) -> tuple[Any, Header]:
    """Return a model and its header for a command that reads images: pixels are scaled as the weights' owner says.

    Args:
        weights: as `load_model` takes it.
        **options: the other options of `load_model`.
    """
    model = load_model(weights, apply_stated_scaling=True, **options)
    return model, dict(model.header)


# -- the caller's options ------------------------------------------------------------------------


def checked_hints(
    heads: Any = None,
    grid: Any = None,
    image_size: Any = None,
    classifier: Any = None,
    gelu: Any = None,
    norm_eps: Any = None,
) -> Hints:
    """Return what the caller says of a file's model.

    Args:
        heads, grid, image_size, classifier, gelu, norm_eps: as for `load_model`.

    Raises:
        ConfigError: for values that no model has.
    """
    heads = None if heads is None else integer("heads", heads, 1)
    said = {"classifier": classifier, "gelu": gelu, "norm_eps": norm_eps}
    said = {name: value for name, value in said.items() if value is not None}
    ViTConfig(**said)  # raises its error for a value that it does not know
    return Hints(heads, _checked_grid(grid), _size_or_none(image_size), **said)


def _checked_grid(grid: Any) -> tuple[int, int] | None:
    if grid is None:
        return None
    sides = list(grid) if isinstance(grid, list | tuple | np.ndarray) else []
    if len(sides) != 2 or not all(isinstance(n, int | np.integer) and n >= 1 for n in sides):
        raise ConfigError(f"grid must be the patches (rows, columns), not {quoted(grid)}")
    return int(sides[0]), int(sides[1])


def _size_or_none(size: Any) -> tuple[int, int] | None:
    """Return the (height, width) that is asked for; None for anything else, which the configuration refuses later."""
    sides = list(size) if isinstance(size, list | tuple | np.ndarray) else [size, size]
    good = len(sides) == 2 and all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in sides)
    return (int(sides[0]), int(sides[1])) if good else None


# -- from an archive to a model ------------------------------------------------------------------


@dataclass(frozen=True)
class Identified:
    """Whose file it is and which model it holds, before any array is read.

    Attributes:
        source: the source that stored it.
        archive: the file, its arrays as the source lists them.
        hints: what the caller and the files beside it say, and what was assumed.
        description: the configuration and the header.
    """

    source: Source
    archive: Archive
    hints: Hints
    description: Description


def identify(archive: Archive, hints: Hints) -> Identified:
    """Return whose an open file is and which model it holds.

    Args:
        archive: the file.
        hints: what the caller says, which wins over a `config.json` beside the file.

    Raises:
        CheckpointError, ConfigError: if it is of no known source, or its arrays are not those of a model.
    """
    if not MINIVIT.recognises(archive):  # its names have hashes, and may be those of a script's own network
        archive = without_wrappers(archive)
    source = source_of(archive)
    if source is None:
        read_sidecar(archive.path)  # a config.json that describes another network says which
        _refuse_relatives(archive)
        if archive.kind == ".npz":  # a dictionary in one array of Python objects may hold the model
            archive.refuse_unreadable(archive.shapes)
        known = listed((each.name for each in SOURCES), most=20)
        raise CheckpointError(f"{printable(archive.path)} is in an unknown layout: minivit reads files of {known}")
    sidecar = sidecar_of_published(archive.path)
    if sidecar is None:
        sidecar = read_sidecar(archive.path, source.config_file_of(archive)) if source.has_sidecar else hints.sidecar
    sidecar = with_note(sidecar, archive)
    said = {name: getattr(hints, name) for name in ARITHMETIC if getattr(hints, name) is not None}
    hints = replace(hints, sidecar=replace(sidecar, **said))
    try:
        archive = source.listed(archive)
        description = source.describe(archive, hints)
    except (ConfigError, CheckpointError) as error:
        if source is not MINIVIT:
            _refuse_relatives(archive, error)
        raise
    return Identified(
        source, archive, hints, replace(description, config=_as_the_caller_says(description.config, hints, said))
    )


def size_to_follow(found: Identified) -> tuple[int, int] | None:
    """Return the image size that a `preprocessor_config.json` says, if it is another one and the model takes any size.

    DINOv2 was trained at 518 pixels and is published for 224: its code interpolates the position embeddings
    (bicubically) for each image. For a model that does not, a notice says that the two sizes differ.

    Args:
        found: whose file it is, and which model it holds.
    """
    sidecar, ours = found.hints.sidecar, found.description.config.image_shape[:2]
    size = sidecar.preprocessing.get("image_size")
    if size is None or size == ours:
        return None
    if sidecar.model_type in INTERPOLATING:
        return size
    notice(
        f"{sidecar.preprocessing_source} prepares images of {size[0]} x {size[1]} pixels, but the weights take "
        f"{ours[0]} x {ours[1]}: give image_size (--image-size) to change the weights' size"
    )
    return None


def _as_the_caller_says(config: AnyConfig, hints: Hints, said: Mapping[str, Any]) -> AnyConfig:
    """Return the configuration with the caller's arithmetic, which a source may not have looked at.

    Raises:
        ConfigError: if the model has no such arithmetic.
    """
    if not isinstance(config, ViTConfig):
        if said:
            name = next(iter(said))
            raise ConfigError(f"{name} is an option of Vision Transformers, and the file holds a ResNet: leave it out")
        return config
    if hints.heads not in (None, config.heads):
        notice(f"heads={hints.heads} is not used: the weights say that the model has {config.heads} heads")
    changes = {name: value for name, value in said.items() if getattr(config, name) != value}
    if "classifier" in changes:
        changes["class_token"] = config.has_class_token
    return replace(config, **changes)


def _read(archive: Archive, hints: Hints) -> tuple[Classifier, Identified]:
    """Return the model in an open file, and whose it is."""
    found = identify(archive, hints)
    try:
        model = build_if_it_fits(found.description.config, found.archive)
        found.source.fill(model, found.archive, found.description)
    except (ConfigError, CheckpointError) as error:
        if found.source is not MINIVIT:
            _refuse_relatives(archive, error)
        raise
    _check_not_ignored(found.description.config, hints, archive)
    if found.hints.assumed:
        notice(
            f"{printable(archive.path)} does not say everything: assumed {', '.join(found.hints.assumed)}; "
            f"if that is wrong, {_what_to_give(found.hints.assumed)}"
        )
    model.header = found.description.header
    return model, found


def _what_to_give(assumed: list[str]) -> str:
    """Return what the user can do about a wrong assumption; of many options, the names are not repeated."""
    names = [name for name in (words.partition("=")[0] for words in assumed) if name not in NOT_OPTIONS]
    if not names:
        return "minivit does not read the file"
    return f"give {' and '.join(names) if len(names) <= 3 else 'the right ones'}"


def _check_not_ignored(config: AnyConfig, hints: Hints, archive: Archive) -> None:
    """Raise ConfigError if the caller's heads or grid are not the model's: the file itself states another."""
    path = printable(archive.path)
    if not isinstance(config, ViTConfig):
        if hints.heads is not None or hints.grid is not None:
            raise ConfigError(f"{path} holds a ResNet, which has neither heads nor a grid: remove --heads and --grid")
        return
    if config.depth and hints.heads not in (None, config.heads):
        raise ConfigError(f"{path} says {config.heads} heads, not {hints.heads}: remove --heads")
    if hints.grid not in (None, config.grid):
        (rows, columns), asked = config.grid, " x ".join(map(str, hints.grid or ()))
        raise ConfigError(f"{path} says a grid of {rows} x {columns} patches, not {asked}: remove --grid")


def _refuse_relatives(archive: Archive, cause: Exception | None = None) -> None:
    """Raise CheckpointError if a file holds a known network other than a plain ViT, such as a Swin; it is named."""
    family = family_of(archive.shapes)
    if family is not None:
        raise CheckpointError(f"{printable(archive.path)} holds {family}; minivit does not read it") from cause


def build_if_it_fits(config: AnyConfig, archive: Archive) -> Classifier:
    """Build a model of zeros, if a file holds enough arrays and numbers for it: a header may claim any size.

    Args:
        config: the configuration that the file names.
        archive: the open file.

    Raises:
        CheckpointError: if the file is too small for such a model, or no such model can be built.
        OutOfMemory: if its parameters do not fit into the memory.
    """
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
