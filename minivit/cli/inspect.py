"""`minivit inspect`: draw what a model has learned and what it attends to, on one page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import DATASETS, indices_to_show, load_dataset
from ..errors import ConfigError
from ..preprocessing import preprocessing_in
from ..utils.notices import notice
from ..utils.text import listed, printable
from .common import data_dir_option, format_option, named_after, threads_of, threads_option
from .weights import (
    add_weights_options,
    load_weights,
    names_of_classes,
    numbered_classes,
    say_if_head_is_zero,
    told_apart,
)

if TYPE_CHECKING:
    from ..data import Dataset
    from ..insight import ShownImages
    from ..models import ViTConfig
    from ..weights import Header

SHOWN = 10  # test images on the page
MEASURED = 128  # test images over which attention distances are averaged  # ViT D.7

EXAMPLES = (
    "minivit inspect runs/first",
    "minivit inspect ViT-Ti_16-224-augreg cat.jpg dog.jpg --out pages/cats",
)


def add_inspect(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inspect",
        examples=EXAMPLES,
        help="draw a model's filters, position embeddings and attention",
        description="Write the page inspect.html, which needs no network. It shows the filters of the patch embedding, "
        "the similarity of position embeddings, the attention distances, and for each image the most probable classes, "
        "the class token's attention and the attention rollout. Each figure is also a file, and the numbers are "
        "in inspect.json.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "weights",
        metavar="RUN_OR_WEIGHTS",
        help="inspect the folder of a run, a checkpoint, a weights file or published weights",
    )
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE",
        help=f"show the image files IMAGE, resized to the model's image size [default: {SHOWN} test images, and "
        f"attention distances averaged over {MEASURED}]",
    )  # fmt: skip
    add_weights_options(parser, positional=True)
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="write to DIR [default: inspect beside checkpoint.npz, inspect-NAME beside another weights file NAME]",
    )
    format_option(parser)
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"show test images of {', '.join(DATASETS)} or folder:PATH [default: the data set that the model was "
        "trained on]",
    )
    data_dir_option(parser)
    threads_option(parser)
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..backend.workers import Workers
    from ..insight import inspect_model, write_inspection
    from ..models import ViT
    from ..utils.figures import formats_in

    formats = formats_in(options.format)
    path, model, header = load_weights(options)
    if not isinstance(model, ViT):
        raise ConfigError(f"{path} holds a ResNet, which has no attention to inspect: choose a Vision Transformer")
    classes = tuple(names_of_classes(path, model, header))
    pictures, measured_on = images_to_show(options, path, header, model.config, classes)

    say_if_head_is_zero(path, model)
    looks = len(measured_on) + 2 * len(pictures)
    with Workers(threads_of(options)) as workers, tqdm(total=looks, unit="image", disable=None, leave=False) as bar:
        found = inspect_model(model, pictures, measured_on.pixels, workers=workers, advance=bar.update)
    folder = Path(options.out) if options.out else path.with_name(named_after(path, "inspect"))
    title = (header.get("train") or {}).get("model", path.stem)
    for written in write_inspection(found, folder, f"{title}: {path}", formats):
        print(printable(written))
    return 0


def images_to_show(
    options: argparse.Namespace,
    path: Path,
    header: Header,
    config: ViTConfig,
    classes: tuple[str, ...],
    measured: int = MEASURED,
) -> tuple[ShownImages, ShownImages]:
    """Return the images of the command line to show, or else test images; and those to measure on.

    They have the names of the model's classes; if its weights name none, those of the data set with as many classes.

    Args:
        options: the command's.
        path: the weights file.
        header: of the file.
        config: of its model.
        classes: the names of the model's classes.
        measured: how many test images to measure on.
    """
    if options.images:
        given = _given_pictures(options, header, config, classes)
        return given, given
    return _test_pictures(options, path, header, config, classes, measured)


def _given_pictures(
    options: argparse.Namespace, header: Header, config: ViTConfig, classes: tuple[str, ...]
) -> ShownImages:
    """Return the image files of the command line."""
    import numpy as np

    from ..images.fitting import read_fitted
    from ..insight import ShownImages

    height, width, channels = config.image_shape
    if channels != 3:
        raise ConfigError(f"image files have 3 channels, and this model takes {channels}: give --dataset instead")
    preprocessing = preprocessing_in(header)
    pixels = np.stack([read_fitted(image, height, width, preprocessing) for image in options.images])  # (B, H, W, 3)
    return ShownImages(pixels, [Path(image).name for image in options.images], tuple(told_apart(classes)))


def _test_pictures(
    options: argparse.Namespace,
    path: Path,
    header: Header,
    config: ViTConfig,
    classes: tuple[str, ...],
    measured: int,
) -> tuple[ShownImages, ShownImages]:
    """Return test images of the data set to show, and more of them to measure on."""
    from ..evaluation.measured import data_dir_for, images_to_measure
    from ..insight import ShownImages
    from ..training.folder import noted_data

    own, noted = noted_data(header, path)
    name = options.dataset or own
    if name is None:
        raise ConfigError(
            "the weights do not name the data set that they were trained on: give image files or --dataset"
        )
    data_dir = data_dir_for(name, options.data_dir, own, noted)
    if name in DATASETS:
        _, test_set = load_dataset(name, data_dir)
    else:  # what its run held out
        test_set = images_to_measure(name, data_dir, None, header, own, path.absolute().parent)
    test_set = test_set.subset(indices_to_show(test_set, measured))
    sample = test_set.resized(*config.image_shape[:2], preprocessing_in(header))
    if sample.image_shape != config.image_shape:
        raise ConfigError(
            f"{name} has images of {sample.image_shape[2]} channels, the model takes {config.channels}: choose another "
            "data set"
        )

    known = classes == test_set.classes
    if not known and classes == numbered_classes(len(test_set.classes)):
        notice(f"{printable(path)} does not name its {len(classes)} classes: assumed those of {name}, in their order")
        known, classes = True, tuple(test_set.classes)
    if classes and not known:
        notice(f"{name} has other classes than the model, which answers with {listed(classes, 4)}")

    shown_classes = tuple(told_apart(classes))

    def named(images: Dataset) -> ShownImages:
        names = [f"test image {i} of {name}" for i in range(len(images))]
        return ShownImages(images.images, names, shown_classes, images.labels if known else None)

    return named(sample.subset(indices_to_show(test_set, SHOWN))), named(sample)
