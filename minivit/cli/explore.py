"""`minivit explore`: write a page in which the model runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..data import DATASETS
from ..errors import ConfigError
from ..utils.text import printable
from .common import data_dir_option
from .inspect import images_to_show
from .weights import add_weights_options, load_weights, names_of_classes, say_if_head_is_zero

EXAMPLES = (
    "minivit explore runs/first",
    "minivit explore ViT-Ti_16-224-augreg cat.jpg dog.jpg --out pages/cats.html",
)


def add_explore(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "explore",
        examples=EXAMPLES,
        help="write a page in which the model runs, down to every number",
        description="Write one page of HTML that contains the model and needs no network: a browser computes every "
        "step from pixels to probabilities, beside the paper's equations and the lines of our source, for the images "
        "of the page and for those that are drawn or dropped there. A model of more than 2 million parameters has its "
        "weights in a file beside the page.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "weights",
        metavar="RUN_OR_WEIGHTS",
        help="show the folder of a run, a checkpoint, a weights file or published weights",
    )
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE",
        help="begin with the image files IMAGE, resized to the model's image size [default: test images]",
    )  # fmt: skip
    add_weights_options(parser, positional=True)
    parser.add_argument("--out", "-o", metavar="FILE", help="write FILE [default: explore.html, beside the weights]")
    parser.add_argument(
        "--dataset", metavar="NAME",
        help=f"begin with test images of {', '.join(DATASETS)} or folder:PATH [default: the data set that the model "
        "was trained on]",
    )  # fmt: skip
    data_dir_option(parser)
    parser.set_defaults(run=_explore)


def _explore(options: argparse.Namespace) -> int:
    from ..explore import Sample, check_can_be_shown, write_explorer

    if options.out and Path(options.out).suffix not in (".html", ".htm"):
        raise ConfigError(f"--out must be a page that ends in .html, not {printable(Path(options.out))}")
    path, model, header = load_weights(options)
    check_can_be_shown(model)
    classes = tuple(names_of_classes(path, model, header))
    shown, _ = images_to_show(options, path, header, model.config, classes)
    say_if_head_is_zero(path, model)
    labels = [None] * len(shown) if shown.labels is None else [int(label) for label in shown.labels]
    samples = [Sample(*each) for each in zip(shown.names, shown.pixels, labels, strict=True)]
    page = Path(options.out) if options.out else path.parent / "explore.html"
    title = (header.get("train") or {}).get("model", path.stem)
    for written in write_explorer(model, page, f"{title}, live", classes, samples):
        print(printable(written))
    return 0
