"""Data sets, augmentation and the loader.

`load_dataset` reads a data set by its name; `Loader` makes shuffled, augmented and rescaled batches of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigError, DataError, MinivitError
from ..preprocessing import preprocess
from ..utils.aliases import old_names
from ..utils.files import reason_of
from ..utils.text import printable, quoted
from .augment import (
    AUGMENTATIONS,
    Augmentation,
    flip,
    pad_and_crop,
    random_erasing,
    random_resized_crop,
    resize,
    standard,
)
from .batch import Batch
from .cifar import cifar10, cifar100
from .dataset import AnyDataset, Dataset, FileDataset, ImageFiles, contact_sheet, indices_to_show
from .download import fetch
from .flowers import flowers
from .folder import folder_splits, folder_title, folder_to_measure, image_folder
from .loader import Loader
from .mixing import Mixing, cutmix, mixing, mixup
from .pets import pets
from .policies import POLICIES, auto_augment
from .randaugment import parse_randaugment, rand_augment
from .recipe import training_augmentation
from .shapes import shapes
from .splits import FolderSplits, Splits

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "POLICIES",
    "AnyDataset",
    "Augmentation",
    "Batch",
    "Dataset",
    "FileDataset",
    "FolderSplits",
    "ImageFiles",
    "Loader",
    "Mixing",
    "Splits",
    "auto_augment",
    "cifar10",
    "cifar100",
    "contact_sheet",
    "cutmix",
    "dataset_title",
    "default_data_dir",
    "fetch",
    "flip",
    "flowers",
    "folder_at",
    "image_folder",
    "indices_to_show",
    "is_dataset",
    "load_dataset",
    "load_folder",
    "load_test_folder",
    "mixing",
    "mixup",
    "pad_and_crop",
    "parse_randaugment",
    "pets",
    "preprocess",
    "rand_augment",
    "random_erasing",
    "random_resized_crop",
    "resize",
    "shapes",
    "standard",
    "training_augmentation",
]


def default_data_dir() -> Path:
    """Return the folder of the data sets: the one that MINIVIT_DATA names, or `data`."""
    return expanded(os.environ.get("MINIVIT_DATA") or "data")


def _data_dir(given: str | Path | None) -> Path:
    """Return the folder of the data sets: a given one, with a home directory in place of `~`, or the default."""
    return default_data_dir() if given is None else expanded(given)


def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    download: bool = True,
    seed: int = 0,
    progress: bool = True,
    split: float | None = None,
) -> tuple[AnyDataset, AnyDataset]:
    """Return the training split and the test split of a data set.

    Args:
        name: a name in DATASETS, or "folder:PATH" or a path for a folder of class folders (see `image_folder`). A
            relative path is looked up in the working directory, then in `data_dir`.
        data_dir: the folder of the data sets, which also receives downloads. [default: `default_data_dir()`]
        download: whether missing files may be downloaded.
        seed: the seed that draws `shapes`, and that splits a folder without test images. The published data sets do
            not depend on it.
        progress: whether to draw a progress bar during a download, and to give a notice of what a folder holds.
        split: the share of each class to hold out for testing, of a folder without test images. [default: 0.2]

    Returns:
        The training split, then the test split.

    Raises:
        ConfigError: if the name is unknown, or `split` is given for a data set that has test images.
        DataError, DataNotFoundError, DownloadError, SaveError: as `cifar10` and `image_folder`.
    """
    folder = _data_dir(data_dir)
    if name in DATASETS:
        if split is not None:
            raise ConfigError(f"split must be left out for {name}, which has test images")
        try:
            return DATASETS[name](folder, download, seed, progress)
        except MinivitError:
            raise
        except OSError as error:  # no permission, a name that is too long, a failing disk
            where = error.filename if isinstance(error.filename, str | Path) else folder
            raise DataError(f"{name} cannot be read from {printable(where)}: {reason_of(error)}") from error
    if not is_dataset(name):
        raise ConfigError(f"unknown data set {name!r}: allowed are {', '.join(DATASETS)} and {FOLDER}PATH")
    return image_folder(folder_at(name, folder), seed, progress, split)


def load_folder(
    name: str, data_dir: str | Path | None = None, *, split: float | None = None, with_validation: bool = True
) -> FolderSplits:
    """Return the splits of a folder, as `folder_splits`.

    Args:
        name, data_dir: as for `load_dataset`.
        split, with_validation: as for `folder_splits`.
    """
    return folder_splits(folder_at(name, data_dir), split=split, with_validation=with_validation)


def load_test_folder(
    name: str, data_dir: str | Path | None = None, *, trained_on: str | None = None, progress: bool = True
) -> FileDataset:
    """Return the images of a folder on which to evaluate a trained model: its test split, or all if it has no splits.

    Args:
        name: "folder:PATH" or a path, as for `load_dataset`.
        data_dir: as for `load_dataset`.
        trained_on: the name of the data set that the model was trained on. If it is the same folder, only the images
            that were held out of training are returned.
        progress: whether to give a notice of what the folder holds.

    Raises:
        ConfigError: if the name is not a path.
        DataError, DataNotFoundError: as `image_folder`.
    """
    if not is_dataset(name):
        load_dataset(name)  # raises the error that names what is allowed
    path = folder_at(name, data_dir)
    known = trained_on is not None and trained_on not in DATASETS
    if known and folder_at(str(trained_on), data_dir).resolve() == path.resolve():
        return image_folder(path, 0, progress)[1]
    return folder_to_measure(path, progress)


def folder_at(name: str, data_dir: str | Path | None = None) -> Path:
    """Return the folder of this name in the working directory or, if there is none, in data_dir."""
    path, inside = expanded(name.removeprefix(FOLDER)), _data_dir(data_dir)
    try:
        return path if path.is_dir() or not (inside / path).is_dir() else inside / path
    except OSError as error:
        raise DataError(f"{quoted(name)} cannot be read: {error.strerror}") from error


def expanded(path: str | Path) -> Path:
    """Return a path with a home directory in place of `~` or `~NAME` at its beginning.

    It is unchanged if a folder of that very name exists, or the home directory is not known: `~old/photos` may be a
    folder's plain name, and a container's user may have no home.
    """
    path = Path(path)
    with suppress(OSError):  # the name is too long for a file
        if path.is_dir():
            return path
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def is_dataset(name: str) -> bool:
    """Return whether a name is in DATASETS, is "folder:PATH", or is a path or a folder in the working directory."""
    path = name.removeprefix(FOLDER)
    if name in DATASETS or (path and (path != name or "/" in name or "\\" in name)):
        return True
    try:
        return path != "" and Path(name).is_dir()
    except OSError:  # the name is too long for a file
        return False


def dataset_title(name: str) -> str:
    """Return a short name for runs and figures: "cifar10", or the last part of a folder's path."""
    return name if name in DATASETS else folder_title(name.removeprefix(FOLDER))


FOLDER = "folder:"

# The data sets that `load_dataset` reads by name; each function takes (data_dir, download, seed, progress).
DATASETS: dict[str, Callable[[Path, bool, int, bool], tuple[AnyDataset, AnyDataset]]] = {
    "shapes": lambda data_dir, download, seed, progress: (
        shapes("train", seed=seed),
        shapes("test", seed=seed),
    ),
    "cifar10": lambda data_dir, download, seed, progress: cifar10(data_dir, download, progress),
    "cifar100": lambda data_dir, download, seed, progress: cifar100(data_dir, download, progress),
    "pets": lambda data_dir, download, seed, progress: pets(data_dir, download, progress),
    "flowers": lambda data_dir, download, seed, progress: flowers(data_dir, download, progress),
}


__getattr__ = old_names(
    __name__,
    {
        "PictureFiles": "ImageFiles",
        "glimpse": "indices_to_show",
        "picture_folder": "image_folder",
    },
)
