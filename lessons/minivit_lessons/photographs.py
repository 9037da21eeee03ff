"""Photographs, published weights that look at them, and what takes their place where there is no network."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minivit import load_model
from minivit.data import default_data_dir, load_dataset
from minivit.data.dataset import Dataset
from minivit.data.imagenet import imagenet_classes
from minivit.data.shapes import shapes
from minivit.errors import ConfigError, DataError, DataNotFoundError, DownloadError, MinivitError, SaveError
from minivit.images.decoding import decode_image, resize_image

from . import state
from .model import trained_model
from .notebooks import lessons_folder

FOLDER = "photographs"  # beside the notebooks
NAMES = ("cat", "coffee", "rocket", "clock")
MAPS = "dinov2.npz"
STAND_IN = 3  # the test image of shapes that takes the place of a photograph: a crescent
RUN_FOR_A_CHECK = "this notebook was run to print or to check it, without a download"


@dataclass(frozen=True)
class Viewer:
    """A model, the picture that it looks at, and the names of its classes.

    Attributes:
        model: a ViT in evaluation mode.
        picture: uint8 (H, W, 3), of the model's image size.
        classes: the names of its classes; empty for a model without a head.
        is_stand_in: whether these are the small model and the drawn shape that come with the lessons.
    """

    model: Any
    picture: np.ndarray
    classes: tuple[str, ...]
    is_stand_in: bool


def photograph(name: str) -> np.ndarray:
    """Return a photograph: uint8 (H, W, 3).

    Args:
        name: one of NAMES, or the path of a picture of your own.

    Raises:
        DataNotFoundError: if there is no such picture.
    """
    own = lessons_folder() / FOLDER / f"{name}.jpg"
    path = own if name in NAMES else Path(name)
    if not path.is_file():
        raise DataNotFoundError(f"there is no picture {name}: give the path of a file, or one of {', '.join(NAMES)}")
    return decode_image(path)


def central_square(pixels: np.ndarray) -> np.ndarray:
    """Return the largest square in the middle of an image: (H, W, 3) -> (S, S, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def recorded_maps() -> dict[str, np.ndarray]:
    """Return what `lessons/maps.py` recorded of DINOv2 ViT-S/14.

    Returns:
        "heads": (4, 6, 16, 16), the class token's attention in the last block, by photograph and head, and "rollout":
        (4, 16, 16); the photographs are in the order of NAMES.
    """
    with np.load(lessons_folder() / FOLDER / MAPS) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def viewer(weights: str, square: np.ndarray) -> Viewer:
    """Return published weights with a picture, or the stand-in, with one line that says which.

    Args:
        weights: a published name, such as "ViT-Ti_16-224-augreg": downloaded once, with a bar. "" is the stand-in.
        square: the picture, uint8 (S, S, 3); it is resized to the model's image size.

    Raises:
        ConfigError: for weights without a head.
    """
    model, reason = _published(weights)
    if model is None:
        _say(f"A STAND-IN looks, since {reason}: our model of ten drawn shapes, and a drawn crescent as its picture.")
        data = shapes("test", count=STAND_IN + 1)
        return Viewer(trained_model(), data.images[STAND_IN], tuple(data.classes), True)
    if not model.config.num_classes:
        raise ConfigError(f"{weights} has no classes: choose weights with a head, such as ViT-Ti_16-224-augreg")
    height, width = model.config.image_shape[:2]
    classes = imagenet_classes(model.config.num_classes) or ()
    _say(f"{weights} looks at your picture: {sum(p.size for p in model.parameters()):,} parameters.")
    return Viewer(model, resize_image(square, height, width), tuple(classes), False)


def _published(weights: str) -> tuple[Any, str]:
    """Return the model of a published name; None and the reason if it is missing here."""
    if not weights:
        return None, "no weights are named"
    if _is_run_for_a_check():
        return None, RUN_FOR_A_CHECK
    try:
        return load_model(weights).eval(), ""
    except (DownloadError, SaveError) as error:
        return None, re.sub(r"https?://\S+", weights, str(error).partition(";")[0])


def cifar_or_shapes(count: int | None = None) -> tuple[Dataset, Dataset, bool]:
    """Return training and test images of CIFAR-10, or of drawn shapes where it is missing, and say which in one line.

    Args:
        count: of training images at most, the first ones; test images are a fifth of that. [default: all of CIFAR-10,
            or 8,000 shapes]

    Returns:
        The training images, the test images, and whether they are CIFAR-10.
    """
    reason = RUN_FOR_A_CHECK.replace("a download", "CIFAR-10")
    if not _is_run_for_a_check():
        try:
            train, test = load_dataset("cifar10", download=False)
            assert isinstance(train, Dataset)
            assert isinstance(test, Dataset)
            if count:
                train, test = train.subset(slice(count)), test.subset(slice(count // 5))
            _say(f"CIFAR-10: {len(train.images):,} photographs to train with, {len(test.images):,} to test.")
            return train, test, True
        except (DataNotFoundError, DataError) as error:
            missing = isinstance(error, DataNotFoundError)
            reason = f"CIFAR-10 is not in {default_data_dir().absolute()}" if missing else str(error)
    count = count or 8000
    _say(f"A STAND-IN is used, since {reason}: drawn shapes, {count:,} to train with and {count // 5:,} to test.")
    return shapes("train", count=count), shapes("test", count=count // 5), False


def download_cifar() -> None:
    """Download CIFAR-10 (170 MB) once, with a bar, and unpack it; say so in one line if that fails."""
    if _is_run_for_a_check():
        return
    try:
        load_dataset("cifar10")
    except MinivitError as error:
        _say(str(error))


def _is_run_for_a_check() -> bool:
    """Return whether the notebook runs for the book, for a test or for marks: then nothing is downloaded."""
    return bool(os.environ.get("MINIVIT_STILL")) or state.current().is_hidden


def _say(line: str) -> None:
    if not state.current().is_hidden:
        print(line)
