"""The options of the commands that load weights, and how they load them."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..backend.arrays import check_device
from ..data.imagenet import imagenet_classes
from ..engine.fused import GELU_FORMS
from ..errors import ConfigError
from ..models.configs import OTHER_ACTIVATIONS
from ..preprocessing import INTERPOLATIONS
from ..utils.notices import notice
from ..utils.text import printable
from ..weights import Header, find_weights, has_zero_head, load_for_pixels, sides_of
from ..weights.options import READERS
from .common import device_option, weights_option

ACTIVATIONS = (*GELU_FORMS, *OTHER_ACTIVATIONS)

# What a weights file may not say: option, metavar, and help.
DETAILS = (
    ("heads", "N", "use N attention heads [default: as the weights or a config.json beside them say]"),
    ("grid", "ROWSxCOLUMNS", "read the position embeddings as a grid of ROWSxCOLUMNS patches, such as 6x4 [default: "
     "square]"),
    ("pool", "NAME", "classify from the class token (token), the mean of the patch tokens (avg) or attention pooling "
     "(map) [default: as the weights or a config.json beside them say]"),
    ("gelu", "NAME", f"compute the activation NAME in the blocks: {', '.join(ACTIVATIONS)} [default: as a config.json "
     "beside the weights says, or as the weights' source computes it]"),
    ("eps", "NUMBER", "add NUMBER to the variance in LayerNorm, such as 1e-6 [default: as for --gelu]"),
    ("mean", "R,G,B", "subtract the mean R,G,B from pixels between 0 and 1, such as 0.485,0.456,0.406; needs --std "
     "[default: as a file beside the weights says, or as the weights' source has it]"),
    ("std", "R,G,B", "divide pixels by the standard deviation R,G,B, such as 0.229,0.224,0.225; needs --mean [default: "
     "as for --mean]"),
    ("resize", "PIXELS", "resize the shorter side of images to PIXELS before the crop, such as 256, or resize to a "
     "height and width of any ratio, such as 224x224 [default: as for --mean]"),
    ("crop", "PIXELS", "keep the centre of the resized image: an integer such as 224 is its side in pixels (needs "
     "--resize), a number with a decimal point such as 0.875 is a share of the sides [default: as for --mean]"),
    ("interpolation", "NAME", f"resize images with the filter {', '.join(INTERPOLATIONS)} [default: as for --mean]"),
)  # fmt: skip
TYPES = {"heads": int, "eps": float}


def add_weights_options(parser: argparse.ArgumentParser, positional: bool = False) -> None:
    """Add `--weights`, options for what a weights file may not say, and `--device`.

    Args:
        parser: the command's.
        positional: leave `--weights` out, since the command takes the weights as an argument.
    """
    if not positional:
        weights_option(parser)
    parser.add_argument(
        "--image-size", type=sides_type, metavar="PIXELS",
        help="resize images to PIXELS, such as 224 or 240x320 (height x width), and interpolate the position "
        "embeddings to fit [default: the size that the weights were made for]",
    )  # fmt: skip
    add_details(parser)
    device_option(parser)


def add_details(parser: argparse.ArgumentParser) -> None:
    """Add the options for what a weights file may not say."""
    for name, unit, text in DETAILS:
        kind = _kind(name, READERS[name]) if name in READERS else TYPES.get(name, str)
        parser.add_argument(f"--{name}", type=kind, metavar=unit, help=text)


def details_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return these options by the names that `load_model` gives them; None for those that were not given."""
    renamed = {"pool": "classifier", "eps": "norm_eps", "interpolation": "resampling"}
    return {renamed.get(name, name): getattr(options, name) for name, *_ in DETAILS}


def load_weights(options: argparse.Namespace) -> tuple[Path, Any, Header]:
    """Return the weights file, its model on `--device`, and the header of the file. Notices say what was assumed."""
    check_device(options.device)
    path = find_weights(options.weights)
    return path, *load_weights_at(path, options)


def load_weights_at(path: Path, options: argparse.Namespace) -> tuple[Any, Header]:
    """Return the model in a file on `--device`, with the command's options for it, and the header of the file."""
    model, header = load_for_pixels(path, image_size=options.image_size, **details_of(options))
    return model.to(options.device), header


def names_of_classes(path: Path, model: Any, header: Header) -> list[str]:
    """Return the names of a model's classes: its weights', ImageNet's, which a notice says, or "class 0" and so on.

    Args:
        path: the weights file.
        model: the model.
        header: of the file.
    """
    if header.get("classes"):
        return list(header["classes"])
    count = model.config.num_classes
    if names := imagenet_classes(count):
        notice(f"{printable(path)} does not name its {count:,} classes: assumed ImageNet's, in their usual order")
        return list(names)
    return list(numbered_classes(count))


def told_apart(names: Sequence[str]) -> list[str]:
    """Return the names to print; one that several classes share is followed by the class's number."""
    count = Counter(names)
    return [f"{name} (class {k})" if count[name] > 1 else name for k, name in enumerate(names)]


def numbered_classes(count: int) -> tuple[str, ...]:
    """Return "class 0", "class 1" and so on, for classes without names."""
    return tuple(f"class {k}" for k in range(count))


def say_if_head_is_zero(path: Path, model: Any) -> None:
    """Give a notice if the head is all zeros, so that every class gets the same probability."""
    if model.config.num_classes and has_zero_head(model):
        notice(
            f"{printable(path)} has a head of zeros, which was never trained: every class gets the same probability; "
            "fine-tune the weights first"
        )


def _kind(name: str, read: Callable[[str, str], Any]) -> Callable[[str], Any]:
    """Return a type for argparse, which gives our sentence for what is wrong."""

    def kind(text: str) -> Any:
        try:
            return read(name, text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return kind


sides_type = _kind("image-size", sides_of)
