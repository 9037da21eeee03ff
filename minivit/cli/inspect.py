"""`minivit inspect`: what a model has learned and where it looks, as a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import DATASETS, glimpse, load_dataset
from ..errors import ConfigError
from ..utils.text import printable
from .common import data_dir_option, workers_option
from .weights import add_weights_options, load_weights, say_if_head_is_zero

if TYPE_CHECKING:
    import numpy as np

    from ..insight import Pictures
    from ..models import ViTConfig
    from ..weights.files import Header

SHOWN = 10  # test images on the page
MEASURED = 128  # images over which attention distances are averaged  # ViT §D.7


def add_inspect(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inspect",
        help="look inside a model: its filters, positions and attention, on one page",
        description="Write inspect.html, one page that needs no network, with the patch embedding's filters, the "
        "similarity of positions, the attention distances, and for each image the likeliest classes, the class token's "
        "attention and the attention rollout; also each figure as PNG, and the numbers as inspect.json.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "weights", metavar="RUN_OR_WEIGHTS", help="look into this run's folder, checkpoint or weights file"
    )
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE",
        help=f"show these image files, resized to the model's image size [default: {SHOWN} test images of the data "
        f"set; attention distances are then averaged over {MEASURED}]",
    )  # fmt: skip
    add_weights_options(parser, positional=True)
    parser.add_argument("--out", metavar="DIR", help="write into DIR [default: inspect, beside the weights]")
    parser.add_argument(
        "--dataset", metavar="NAME", help=f"show images of {', '.join(DATASETS)} [default: the one it was trained on]"
    )
    data_dir_option(parser)
    workers_option(parser)
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    from tqdm.auto import tqdm

    from ..backend.workers import Workers
    from ..insight import inspect_model, write_inspection
    from ..models import ViT

    path, model, header = load_weights(options)
    if not isinstance(model, ViT):
        raise ConfigError(f"{path} holds a ResNet: it has no attention to look at")
    choose = _given_pictures if options.images else _test_pictures
    pictures, measured_on = choose(options, header, model.config)

    say_if_head_is_zero(path, model)
    looks = len(measured_on) + 2 * len(pictures)
    with Workers(options.workers) as workers, tqdm(total=looks, unit="image", disable=None, leave=False) as bar:
        found = inspect_model(model, pictures, measured_on, workers=workers, advance=bar.update)
    folder = Path(options.out) if options.out else path.parent / "inspect"
    title = (header.get("train") or {}).get("model", path.stem)
    for written in write_inspection(found, folder, f"{title}: {path}"):
        print(printable(written))
    return 0


def _given_pictures(options: argparse.Namespace, header: Header, config: ViTConfig) -> tuple[Pictures, np.ndarray]:
    """The picture files of the command line, and again those to measure on."""
    import numpy as np

    from ..data.pictures import read_picture
    from ..insight import Pictures

    height, width, channels = config.image_shape
    if channels != 3:
        raise ConfigError(f"image files have 3 channels: this model takes {channels}")
    pixels = np.stack([read_picture(image, height, width) for image in options.images])  # (B, H, W, 3)
    classes = tuple(header.get("classes") or (f"class {k}" for k in range(config.num_classes)))
    return Pictures(pixels, [Path(image).name for image in options.images], classes), pixels


def _test_pictures(options: argparse.Namespace, header: Header, config: ViTConfig) -> tuple[Pictures, np.ndarray]:
    """Test images of the data set, and more of them to measure on: the first, or of folders some from all over."""
    from ..insight import Pictures

    name = options.dataset or header.get("dataset")
    if name is None:
        raise ConfigError("these weights do not say what they were trained on: give images, or --dataset")
    _, test_set = load_dataset(name, options.data_dir)
    test_set = test_set.subset(glimpse(test_set, MEASURED))
    sample = test_set.resized(*config.image_shape[:2])
    if sample.image_shape != config.image_shape:
        raise ConfigError(f"{name} has images of {sample.image_shape[2]} channels: the model takes {config.channels}")

    classes = tuple(header.get("classes") or (f"class {k}" for k in range(config.num_classes)))
    shown = sample.subset(glimpse(test_set, SHOWN))
    labels = shown.labels if classes == test_set.classes else None
    names = [f"test image {i} of {name}" for i in range(len(shown))]
    return Pictures(shown.images, names, classes, labels), sample.images
