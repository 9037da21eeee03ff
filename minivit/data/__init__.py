"""Images in, batches out.

`load_dataset` finds a data set by its name; `Loader` turns it into shuffled, augmented, rescaled batches.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from minivit.data.augment import AUGMENTATIONS, Augmentation, flip, pad_and_crop, standard
from minivit.data.cifar import cifar10, cifar100
from minivit.data.dataset import Dataset, contact_sheet
from minivit.data.download import fetch
from minivit.data.loader import Batch, Loader
from minivit.data.shapes import shapes
from minivit.errors import ConfigError
from minivit.preprocessing import preprocess

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "Augmentation",
    "Batch",
    "Dataset",
    "Loader",
    "cifar10",
    "cifar100",
    "contact_sheet",
    "default_data_dir",
    "fetch",
    "flip",
    "load_dataset",
    "pad_and_crop",
    "preprocess",
    "shapes",
    "standard",
]


def default_data_dir() -> Path:
    """Where data sets are kept: the folder that MINIVIT_DATA names, or else `data`."""
    return Path(os.environ.get("MINIVIT_DATA") or "data")


def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    download: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Dataset, Dataset]:
    """The training and the test split of "shapes", "cifar10" or "cifar100".

    data_dir: where the files are, or are to be put; by default `default_data_dir()`.
    download: whether files that are missing may be downloaded.
    seed:     which shapes to draw; CIFAR is what it is.
    progress: draw a progress bar while downloading.

    Raises ConfigError for an unknown name; DataError, DataNotFoundError, DownloadError or SaveError if the
    files cannot be had: see `cifar10`.
    """
    if name not in DATASETS:
        raise ConfigError(f"Unknown data set {name!r}; allowed are: {', '.join(DATASETS)}.")
    folder = default_data_dir() if data_dir is None else Path(data_dir)
    return DATASETS[name](folder, download, seed, progress)


# Each takes (data_dir, download, seed, progress).
DATASETS: dict[str, Callable[[Path, bool, int, bool], tuple[Dataset, Dataset]]] = {
    "shapes": lambda data_dir, download, seed, progress: (
        shapes("train", seed=seed),
        shapes("test", seed=seed),
    ),
    "cifar10": lambda data_dir, download, seed, progress: cifar10(data_dir, download, progress),
    "cifar100": lambda data_dir, download, seed, progress: cifar100(data_dir, download, progress),
}
