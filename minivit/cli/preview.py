"""`minivit preview`: draw the first batches of a run as the model sees them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..utils.text import printable, shell_word
from .finetune import OF_RECIPE as OF_FINETUNING
from .options import FINETUNE_OPTIONS, RUN_OPTIONS, add_flags_and_files, add_run_options, plain_default
from .train import NOT_OF_THE_RUN, OF_RECIPE, one_length, options_of_new_run

if TYPE_CHECKING:
    from ..training import TrainConfig

EXAMPLES = (
    "minivit preview --dataset folder:photos --augment crop --cutmix 1",
    "minivit preview --weights ViT-Ti_16-224-augreg --dataset folder:photos",
    "minivit preview runs/first",
)


def add_preview(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "preview", examples=EXAMPLES, help="draw training batches as the model sees them", allow_abbrev=False,
        usage="minivit preview [RUN] [OPTIONS of train or finetune]", argument_default=argparse.SUPPRESS,
        description="Draw the first batches of a run as the model sees them: augmented, resized, and mixed, with their "
        "labels below, and some of the images before they are changed. The run itself would train on the same images.",
    )  # fmt: skip
    add_options_of_a_run(parser)
    parser.add_argument(
        "--out", metavar="FILE", help="write the figure to FILE: .png, .svg or .pdf [default: preview.png]"
    )
    parser.add_argument("--batches", type=int, metavar="N", help="draw N batches [default: 1]")
    parser.add_argument("--images", type=int, metavar="N", help="draw N images of each batch [default: 32]")
    parser.set_defaults(run=_preview)


def _preview(options: argparse.Namespace) -> int:
    from ..insight.preview import preview_figure, preview_of

    batches, images = (taken(options, name, default) for name, default in (("batches", 1), ("images", 32)))
    for name, count, most in (("batches", batches, 20), ("images", images, 512)):
        if not 1 <= count <= most:
            raise ConfigError(f"--{name} must be from 1 to {most}, not {count}")
    path = figure_path(options, "preview.png")
    taken(options, "device", None)  # the processor makes the batches
    found = preview_of(config_of(options), batches, run_of(options), show=True)
    preview_figure(found, path, images)
    print(printable(found.caption.replace("\n", "; ")))
    print(f"images: {printable(path)}")
    return 0


# -- what `lr-find` has too ----------------------------------------------------------------------------


def add_options_of_a_run(parser: argparse.ArgumentParser) -> None:
    """Add the options of train and finetune, and a run's folder to take them from."""
    parser.add_argument("folder", nargs="?", metavar="RUN", help="take the options of the run in the folder RUN")
    parser.add_argument(
        "--weights",
        metavar="PATH",
        help="start from weights with the defaults of `minivit finetune` [default: train from scratch]",
    )
    parser.add_argument("--freeze", action="store_true", help="train only the head [default: train the whole model]")
    add_flags_and_files(parser, "train", "finetune")
    names = {name for name, *_ in RUN_OPTIONS}
    of_recipe = {name: f"the recipe's, or {plain_default(name)}" for name in (*OF_RECIPE, *OF_FINETUNING)}
    add_run_options(parser, [*RUN_OPTIONS, *(row for row in FINETUNE_OPTIONS if row[0] not in names)], of_recipe)


def taken(options: argparse.Namespace, name: str, default: Any) -> Any:
    """Remove an option of this command from what was given, and return its value, or the default."""
    return vars(options).pop(name, default)


def figure_path(options: argparse.Namespace, default: str) -> Path:
    """Return where the figure goes; nothing but a figure's file is overwritten."""
    from ..utils.figures import format_of

    path = Path(taken(options, "out", default))
    format_of(path, "--out")
    return path


def run_of(options: argparse.Namespace) -> Path | None:
    """Return the folder of the run whose images are meant; None if there is none, or other images are asked for."""
    others = ("dataset", "split", "skip_broken")
    return (
        None
        if any(hasattr(options, name) for name in others) or not hasattr(options, "folder")
        else Path(options.folder)
    )


def config_of(options: argparse.Namespace) -> TrainConfig:
    """Return the options of the run that train or, with weights, finetune would begin."""
    from ..training.distributed.ranks import ALONE
    from ..training.folder import CONFIG, read_config

    given = {name: value for name, value in vars(options).items() if name not in (*NOT_OF_THE_RUN, "folder")}
    if hasattr(options, "folder"):
        for name in ("recipe", "config"):
            if hasattr(options, name):
                raise ConfigError(f"RUN gives the options: leave out RUN or --{name}")
        folder = Path(options.folder)
        if folder.is_dir() and not (folder / CONFIG).exists():
            raise ConfigError(
                f"{printable(folder)} is not a run's folder: a folder of images is given as --dataset "
                f"{shell_word(f'folder:{folder}')}"
            )
        return replace(read_config(folder), **one_length(given), **given)
    return options_of_new_run(options, given, "finetune" if "weights" in given else "train", ALONE)
