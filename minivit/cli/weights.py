"""The options of the commands that load weights, and how they load them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..data.pretrained import find_weights
from ..models.weights import Header, has_zero_head, load_for_pixels
from ..notices import notice
from ..text import printable
from .common import weights_option

# What a weights file may not tell: option, metavar, and help.
DETAILS = (
    ("heads", "N", "read the weights with N attention heads [default: as the file or a config.json beside it says]"),
    ("grid", "ROWSxCOLUMNS", "read the position embeddings as so many patches, such as 6x4 [default: square]"),
    ("mean", "R,G,B", "subtract this mean from pixels (0 to 1), such as 0.485,0.456,0.406 [default: as said beside the "
     "file, or 0.5: pixels from -1 to 1]"),
    ("std", "R,G,B", "divide pixels by this standard deviation, such as 0.229,0.224,0.225 [default: as said beside the "
     "file, or 0.5]"),
)  # fmt: skip


def add_weights_options(parser: argparse.ArgumentParser, positional: bool = False) -> None:
    """Add `--weights` and what a weights file may not tell.

    Args:
        positional: leave `--weights` away, since the command takes the weights as an argument.
    """
    if not positional:
        weights_option(parser)
    parser.add_argument(
        "--image-size", type=_sides, metavar="PIXELS",
        help="use images of PIXELS, 224 or 240x320 (height x width), and interpolate position embeddings that do not "
        "fit [default: the file's size]",
    )  # fmt: skip
    kinds: dict[str, Any] = {"heads": int, "grid": _sides, "mean": _numbers, "std": _numbers}
    for name, unit, text in DETAILS:
        parser.add_argument(f"--{name}", type=kinds[name], metavar=unit, help=text)


def load_weights(options: argparse.Namespace) -> tuple[Path, Any, Header]:
    """The file that is meant, its model, and what is said beside its weights.

    What was assumed, how pixels are scaled, and a head that was never trained are said in notices.
    """
    path = find_weights(options.weights)
    grid = (options.grid, options.grid) if isinstance(options.grid, int) else options.grid
    model, header = load_for_pixels(
        path, options.heads, options.image_size, grid=grid, mean=options.mean, std=options.std
    )
    return path, model, header


def say_if_head_is_zero(path: Path, model: Any) -> None:
    """Say that every class gets the same probability, where the head is all zeros."""
    if model.config.num_classes and has_zero_head(model):
        notice(
            f"{printable(path)} has a head of zeros, which was never trained: every class gets the same probability; "
            "fine-tune it first"
        )


def _sides(text: str) -> int | tuple[int, int]:
    """48, or 48x32 as two numbers."""
    parts = text.lower().replace(",", "x").split("x")
    if len(parts) > 2 or not all(
        part.strip().isascii() and part.strip().isdigit() and len(part) < 10 for part in parts
    ):
        raise argparse.ArgumentTypeError("must be a number such as 224, or two such as 6x4")
    numbers = [int(part) for part in parts]
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError("must be numbers with commas between them, such as 0.5,0.5,0.5") from error
