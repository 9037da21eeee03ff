"""`minivit evaluate`: loss and accuracy of a trained model."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ..data import DATASETS, load_dataset
from ..errors import ConfigError
from ..text import printable
from .weights import add_weights_options, load_weights, say_if_head_is_zero

if TYPE_CHECKING:
    from ..data import AnyDataset
    from ..models import Classifier


def add_evaluate(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a trained model on a test set",
        description="Loss and accuracy on a test set.",
        allow_abbrev=False,
    )
    add_weights_options(parser)
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"{', '.join(DATASETS)} or folder:PATH (default: the one it was trained on); other sizes are resized",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where data sets lie (default: $MINIVIT_DATA or data)")
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: the cores this process may use)")
    parser.add_argument("--json", action="store_true", help="print JSON (default: a sentence)")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..engine.workers import Workers
    from ..training.loop import evaluate_dataset

    path, model, header = load_weights(options)
    name = options.dataset or header.get("dataset")
    if name is None:
        known = f"one of {', '.join(DATASETS)}, or folder:PATH"
        raise ConfigError(f"{path} does not say what it was trained on: give --dataset, {known}")
    _, test_set = load_dataset(name, options.data_dir)
    _check_fits(model, header.get("classes"), test_set)
    say_if_head_is_zero(path, model)
    with (
        Workers(options.workers) as workers,
        tqdm(total=len(test_set), unit="image", disable=None, leave=False) as bar,
    ):
        loss, accuracy = evaluate_dataset(model, test_set, workers, advance=bar.update)
    if options.json:
        print(json.dumps({"dataset": name, "images": len(test_set), "loss": loss, "accuracy": accuracy}))
    else:
        print(f"{printable(name)}: accuracy {accuracy:.2%}, loss {loss:.4f} on {len(test_set):,} test images")
    return 0


def _check_fits(model: Classifier, known: list[str] | None, dataset: AnyDataset) -> None:
    """Raise ConfigError if the data set has other channels, another number of classes or other classes."""
    channels = dataset.image_shape[2] if dataset.image_shape else 3
    if channels != model.config.channels:
        raise ConfigError(f"{dataset.name} has {channels} channels; the model wants {model.config.channels}")
    if len(dataset.classes) != model.config.num_classes:
        raise ConfigError(
            f"{dataset.name} has {len(dataset.classes)} classes; the model knows {model.config.num_classes}"
        )
    if known and list(dataset.classes) != known:
        theirs, ours = next(pair for pair in zip(dataset.classes, known, strict=True) if pair[0] != pair[1])
        raise ConfigError(f"{dataset.name} has the class {theirs!r} where the model learned {ours!r}")
