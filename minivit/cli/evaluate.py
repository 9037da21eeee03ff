"""`minivit evaluate`: measure a trained model on a test set."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import DATASETS, dataset_title
from ..data.checking import find_broken, lines_about
from ..data.splits import without_files
from ..errors import ConfigError, ImageError
from ..utils.console import complain, outliving_output
from ..utils.files import check_free_folder
from ..utils.notices import notice
from ..utils.text import composed, counted, listed, printable, quoted
from ..weights import RUN_WEIGHTS
from .common import check_can_write, data_dir_option, format_option, json_option, threads_of, threads_option
from .weights import add_weights_options, load_weights, say_if_head_is_zero

if TYPE_CHECKING:
    from ..data import AnyDataset
    from ..models import Classifier
    from ..weights import Header

EXAMPLES = (
    "minivit evaluate --weights runs/first",
    "minivit evaluate --weights ViT-Ti_16-224-augreg --dataset folder:photos --json",
)


def add_evaluate(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate",
        examples=EXAMPLES,
        help="measure accuracy, loss and calibration on a test set",
        description="Measure a model on a test set, or on all images of a folder that is not split into training and "
        "test. Classes are matched by name; the data set may lack some of the model's. It prints loss, accuracy with "
        "its 95% interval, top-5 accuracy, balanced accuracy (the mean over classes), the expected calibration error, "
        "and the classes (the worst, if there are many).",
        allow_abbrev=False,
    )
    add_weights_options(parser)
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"measure on {', '.join(DATASETS)} or folder:PATH [default: the data set that the model was trained on]",
    )
    parser.add_argument(
        "--split",
        choices=("all", "train", "val", "test"),
        metavar="NAME",
        help="measure on the images of train, val or test, or on all [default: test; all of a folder without splits, "
        "or what was held out of it in training]",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="read every image of a folder first, name those that cannot be read, and measure on the others [default: "
        "refuse]",
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        help="average the logits of each image and its mirror image (test-time augmentation), in twice the time; for "
        "classes that a mirror does not change [default: measure on the images alone]",
    )
    data_dir_option(parser)
    threads_option(parser)
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="write a report to the new folder DIR: report.md, confusion matrix, most confident mistakes and "
        "reliability diagram as figures, and all numbers and predictions as CSV and JSON [default: none]",
    )
    format_option(parser)
    json_option(parser, "all numbers as one JSON object", "text")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..backend.workers import Workers
    from ..evaluation.folder import write_report
    from ..evaluation.reporting import report
    from ..training.evaluation import predict_dataset
    from ..training.folder import check_classifies
    from ..utils.figures import formats_in

    formats = formats_in(options.format)
    if options.out:
        check_free_folder(Path(options.out))  # before an hour of work
        check_can_write(Path(options.out), folder=True)
    path, model, header = load_weights(options)
    check_classifies(header, path)
    name, test_set = labelled_test_set(options, path, model, header)
    say_if_head_is_zero(path, model)
    broken = find_broken([test_set], progress=True) if options.skip_broken else {}
    for line in lines_about(broken, None):
        complain(f"minivit: left out: {line}")
    test_set = without_files(test_set, broken)
    if not len(test_set):
        raise ImageError(f"none of the {len(broken):,} images of {printable(name)} can be read")
    with (
        Workers(threads_of(options)) as workers,
        tqdm(total=len(test_set), unit="image", disable=None, leave=False) as bar,
    ):
        try:
            loss, probabilities = predict_dataset(
                model, test_set, workers, options.device, bar.update, flip=options.flip
            )
        except ImageError as error:
            raise ImageError(f"{error}; remove or replace it, or add --skip-broken") from error
    found = report(probabilities, test_set.labels, test_set.classes, loss=loss)
    notes = {"dataset": name} | ({"split": options.split} if options.split else {})
    notes |= {"flip": True} if options.flip else {}
    notes |= {"left_out": list(broken)} if broken else {}
    with outliving_output():  # whichever of the two cannot be written, the other has the results
        if options.json:
            print(json.dumps({**notes, **found.as_json()}), flush=True)
        else:
            note = f" ({test_set.note})" if test_set.note else ""
            note = ", each with its mirror image" * options.flip + note
            first, second = found.summary().split("\n")
            kind = {"all": "", "train": "training ", "val": "validation "}.get(options.split, "test ")
            print(f"{printable(name)}: {first} on {counted(found.images, f'{kind}image')}{note}")
            print(f"{second}\n\n{found.class_table()}", flush=True)
        if options.out:
            title = f"{_short_name(path)} on {dataset_title(name)}"
            title += " (logits averaged with those of mirror images)" * options.flip
            notes |= {"weights": str(path)}
            write_report(found, probabilities, test_set, options.out, title=title, notes=notes, formats=formats)
            if not options.json:
                print(f"\nreport: {printable(Path(options.out) / 'report.md')}")
    return 0


def _short_name(path: Path) -> str:
    """Return the name of a run for its last weights, "RUN/best.npz" for others of it, and the file's name elsewhere."""
    folder = path.absolute().parent
    if not ((folder / "config.json").exists() and (folder / RUN_WEIGHTS).exists()):
        return path.name
    return folder.name if path.name == RUN_WEIGHTS else f"{folder.name}/{path.name}"


def labelled_test_set(
    options: argparse.Namespace, path: Path, model: Classifier, header: Header
) -> tuple[str, AnyDataset]:
    """Return the name and the images of the data set to measure on, with the model's classes and labels.

    Args:
        options: those of the command line: `dataset`, None for the data set that the model was trained on, and
            `data_dir`.
        path: the weights file.
        model: the trained model.
        header: of its weights.

    Raises:
        ConfigError: if no data set is named, or the model does not fit it.
        DataError, DataNotFoundError: if it cannot be read.
    """
    from ..evaluation.measured import data_dir_for, images_to_measure
    from ..training.folder import noted_data

    own, noted = noted_data(header, path)
    name = options.dataset or own
    if name is None:
        known = f"one of {', '.join(DATASETS)}, or folder:PATH"
        raise ConfigError(f"{path} does not name the data set that it was trained on: give --dataset, {known}")
    split = getattr(options, "split", None)
    data_dir = data_dir_for(name, options.data_dir, own, noted)
    test_set = images_to_measure(name, data_dir, split, header, own, path.absolute().parent)
    return name, _with_the_models_labels(model, header.get("classes"), test_set)


def _with_the_models_labels(model: Classifier, known: list[str] | None, dataset: AnyDataset) -> AnyDataset:
    """Return the data set with the model's classes and labels, matched by name; some classes may be missing.

    Args:
        model: the trained model.
        known: the names of the model's classes, if its weights name them.
        dataset: what to measure on.

    Raises:
        ConfigError: if the data set has other channels or a class that the model does not know.
    """
    channels = dataset.image_shape[2] if dataset.image_shape else 3
    if channels != model.config.channels:
        raise ConfigError(
            f"{dataset.name} has images of {channels} channels, the model takes {model.config.channels}: choose "
            "another data set"
        )
    count = len(dataset.classes)
    if known is None or list(dataset.classes) == known:
        if count != model.config.num_classes:
            raise ConfigError(
                f"{dataset.name} has {count} classes, and the model has {model.config.num_classes} without names: "
                "choose a data set with as many classes"
            )
        if known is None and dataset.image_shape is None:
            notice(
                "these weights do not name their classes: assumed that class k is the k-th folder in the order of names"
            )
        return dataset

    places = _places_of(dataset, known)
    if unknown := [name for name in dataset.classes if name not in places]:
        raise ConfigError(
            f"the model has no class {listed(map(quoted, unknown), 3)}, unlike {dataset.name}: "
            f"it has {listed(known, 4)}; rename the class, or leave it out"
        )
    if count < len(known):
        notice(f"{dataset.name} has {count} of the model's {len(known)} classes: {listed(dataset.classes)}")
    place_of = np.array([places[name] for name in dataset.classes], np.int64)
    return replace(dataset, labels=place_of[dataset.labels], classes=tuple(known))


def _places_of(dataset: AnyDataset, known: list[str]) -> dict[str, int]:
    """Return the place of each class of a data set among the known classes; those that are not there are left out.

    A name that differs in upper and lower case alone counts if no other one is meant, and is said.

    Raises:
        ConfigError: if several known classes have one of the names, as "crane" in Hugging Face's list of ImageNet.
    """
    names = dataset.classes
    alike: dict[str, list[int]] = {}
    for place, one in enumerate(known):
        alike.setdefault(composed(one), []).append(place)
    exact = {name: alike[composed(name)] for name in names if composed(name) in alike}
    places = {name: _only(found, name, dataset) for name, found in exact.items()}
    rest = [name for name in names if name not in places]
    for name in rest:
        folded = composed(name).casefold()
        near = [found for one, found in alike.items() if one.casefold() == folded]
        rivals = [other for other in names if composed(other).casefold() == folded]
        if len(near) == len(rivals) == 1:
            places[name] = _only(near[0], name, dataset)
    if changed := [name for name in rest if name in places]:
        pairs = listed((f"{name} as {known[places[name]]}" for name in changed), 3)
        notice(f"classes are matched whatever their case: {pairs}")
    return places


def _only(found: list[int], name: str, dataset: AnyDataset) -> int:
    """Return the only number in a list, of the model's classes that have the name of one of the data set's.

    Raises:
        ConfigError: if there are more.
    """
    if len(found) > 1:
        raise ConfigError(
            f"class {quoted(name, 30)} of {printable(dataset.name, 25)} is ambiguous: the model's classes "
            f"{' and '.join(map(str, found[:2]))} have that name; leave it out, or rename one in the config.json of "
            "the weights"
        )
    return found[0]
