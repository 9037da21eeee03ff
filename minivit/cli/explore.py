"""`minivit explore`: write a page in which the model runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import DATASETS
from ..errors import ConfigError
from ..utils.text import printable
from .common import data_dir_option, named_after
from .inspect import images_to_show
from .weights import add_weights_options, load_weights, load_weights_at, names_of_classes, say_if_head_is_zero

if TYPE_CHECKING:
    from ..explore import Training
    from ..insight import ShownImages

MEASURED = 256  # test images on which the accuracy of a snapshot is measured

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
        description="Write one page of HTML that contains the model and needs no network. The browser computes every "
        "step from pixels to probabilities and shows it beside the paper's equation and the line of minivit's source. "
        "You can draw images, or drop image files on the page. If the run has snapshots (`minivit train --snapshots "
        "N`), a slider shows the training. Weights of more than 4 MB are in a second file beside the page.",
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
    parser.add_argument(
        "--out", "-o", metavar="FILE",
        help="write FILE [default: explore.html beside checkpoint.npz, explore-NAME.html beside another weights file "
        "NAME]",
    )  # fmt: skip
    parser.add_argument(
        "--dataset", metavar="NAME",
        help=f"begin with test images of {', '.join(DATASETS)} or folder:PATH [default: the data set that the model "
        "was trained on]",
    )  # fmt: skip
    parser.add_argument(
        "--no-snapshots", action="store_true",
        help="leave out the run's snapshots, for a smaller page [default: with them, the page shows the training]",
    )  # fmt: skip
    data_dir_option(parser)
    parser.set_defaults(run=_explore)


def _explore(options: argparse.Namespace) -> int:
    from ..explore import Sample, check_can_be_shown, write_explorer

    if options.out and Path(options.out).suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out must be a page that ends in .html, not {printable(Path(options.out))}")
    path, model, header = load_weights(options)
    check_can_be_shown(model)
    classes = tuple(names_of_classes(path, model, header))
    shown, measured_on = images_to_show(options, path, header, model.config, classes, MEASURED)
    say_if_head_is_zero(path, model)
    labels = [None] * len(shown) if shown.labels is None else [int(label) for label in shown.labels]
    samples = [Sample(*each) for each in zip(shown.names, shown.pixels, labels, strict=True)]
    page = Path(options.out) if options.out else path.with_name(f"{named_after(path, 'explore')}.html")
    title = (header.get("train") or {}).get("model", path.stem)
    training = None if options.no_snapshots else _training(options, path, model, measured_on)
    for written in write_explorer(model, page, f"{title}, live", shown.classes, samples, training):
        print(printable(written))
    return 0


def _training(options: argparse.Namespace, path: Path, model: Any, measured_on: ShownImages) -> Training | None:
    """Return the training that led to a run's weights; None if the run has no snapshots."""
    from tqdm.auto import tqdm

    from ..explore import training_of

    def load(snapshot: Path) -> Any:
        return load_weights_at(snapshot, options)[0]

    with tqdm(unit="image", desc="measuring snapshots", disable=None, leave=False) as bar:
        return training_of(path.parent, model, load, measured_on.pixels, measured_on.labels, bar.update)
