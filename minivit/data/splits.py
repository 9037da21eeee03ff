"""The splits of a data set, and what is said about them before a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..backend.indexing import count_each
from ..errors import DataError, ImageError
from ..images.decoding import size_of
from ..utils.text import composed, counted, listed, printable
from .dataset import AnyDataset, FileDataset

Split = Literal["test", "validation"]  # what a run is measured on

FEW = 8  # classes whose counts are all said
HEADERS = 200  # of files that are opened to say how large the images are, 0.2 ms each


@dataclass(frozen=True)
class Splits:
    """The images of a data set by use.

    Attributes:
        train: to train on.
        test: to measure a trained model on.
        validation: to measure on during training; None if the data set has none.
        places: "train", "test", "validation" -> how the split was found, such as "train/" or "a fifth of each class".
        held_out: whether the test images were held out of the others.
        left_out: what else was found: folders that are not used, files that were skipped.
    """

    train: AnyDataset
    test: AnyDataset
    validation: AnyDataset | None = None
    places: dict[str, str] = field(default_factory=dict)
    held_out: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, AnyDataset]:
        """The splits that there are, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: dataset for name, dataset in found.items() if dataset is not None}

    def without(self, names: Collection[str]) -> Splits:
        """Return the splits without some files; what was held out stays held out.

        Args:
            names: paths inside the folder of the data set, with forward slashes.

        Raises:
            DataError: if a class has no training images left.
        """
        if not names:
            return self
        kept = {part: without_files(dataset, names) for part, dataset in self.parts.items()}
        classes = self.train.classes
        if empty := [classes[k] for k in range(len(classes)) if not np.any(kept["train"].labels == k)]:
            raise DataError(f"no training image of {listed(empty)} can be read: replace them, or remove the class")
        left_out = f"left out: {len(names):,} that cannot be read ({listed(names, 3)})"
        return replace(self, **kept, left_out=(*self.left_out, left_out))


@dataclass(frozen=True)
class FolderSplits(Splits):
    """The splits of a folder: files."""

    train: FileDataset
    test: FileDataset
    validation: FileDataset | None = None


def names_of(dataset: FileDataset) -> list[str]:
    """Return the path of each image inside the folder of the data set, as `name_of`."""
    return [name_of(path, dataset) for path in dataset.images.paths]


def name_of(path: Path, dataset: FileDataset) -> str:
    """Return the path of an image inside the folder of its data set; the whole path if that is not a user's folder.

    It has forward slashes, and accents are `composed`: it is a name to compare, not one to open.
    """
    return composed((path.relative_to(dataset.root) if dataset.root else path).as_posix())


def without_files(dataset: AnyDataset, names: Collection[str]) -> AnyDataset:
    """Return a data set without some files; one in memory unchanged.

    Args:
        dataset: the data set.
        names: paths inside its folder, with forward slashes.
    """
    if not isinstance(dataset, FileDataset):
        return dataset
    left_out = set(names)
    return dataset.subset(np.array([name not in left_out for name in names_of(dataset)], bool))


def report(splits: Splits, train: AnyDataset, measured: AnyDataset, split: Split) -> list[str]:
    """Return in three lines what a folder holds and how a run uses it; in one line for a published data set.

    Args:
        splits: the data set.
        train: the images to train on: those of the training split, or some of them.
        measured: the images to measure on.
        split: whether `measured` is the "test" or the "validation" split.
    """
    if not (isinstance(splits.train, FileDataset) and splits.train.root):
        counts = said_of_images(train, measured, split)
        return ["; ".join([counts, *without_images(measured, split)])] if counts else []
    lines = [_said_of_classes(splits), _said_of_uses(splits, train, measured, split)]
    last = [_said_of_sizes(splits), *splits.left_out]
    return [*lines, "; ".join(part for part in last if part)]


def said_of_images(train: AnyDataset, measured: AnyDataset, split: Split) -> str:
    """Return "240 training images and 60 test images of 3 classes"; "" if there are none of either.

    Args:
        train, measured, split: as for `report`.
    """
    note = f" ({measured.note})" if measured.note else ""
    pairs = ((train, "training"), (measured, split))
    counts = [counted(len(images), f"{name} image") for images, name in pairs if len(images)]
    return f"{' and '.join(counts)} of {len(train.classes)} classes{note}" if counts else ""


def _said_of_classes(splits: Splits) -> str:
    """Return "photos: 300 images of 3 classes: beach 200, city 80, forest 20"."""
    classes = splits.train.classes
    counts = count_each(np.concatenate([part.labels for part in splits.parts.values()]), len(classes))
    order = np.argsort(-counts, kind="stable")
    head = f"{printable(splits.train.name)}: {counts.sum():,} images of {len(classes)} classes"
    if len(classes) <= FEW:
        return f"{head}: {listed((f'{classes[k]} {counts[k]:,}' for k in order), FEW)}"
    largest, smallest = order[0], order[-1]
    return (
        f"{head}, from {counts[smallest]:,} ({printable(classes[smallest], 40)}) to {counts[largest]:,} "
        f"({printable(classes[largest], 40)}) images each"
    )


def _said_of_uses(splits: Splits, train: AnyDataset, measured: AnyDataset, split: Split) -> str:
    """Return "240 to train on, 60 held out to test on (a fifth of each class)"."""

    def place(name: str) -> str:
        found = splits.places.get(name, "")
        return f" ({found})" if found else ""

    left = f", {len(splits.test):,} left for minivit evaluate{place('test')}"
    if split == "test":
        uses = f", {len(measured):,} {'held out ' * splits.held_out}to test on{place('test')}"
    elif splits.validation is None:
        uses = f", {len(measured):,} of the training images held out to validate on" + left
    else:
        uses = f", {len(measured):,} to validate on{place('validation')}" + left
    unmeasured = without_images(measured, split) + (without_images(splits.test, "test") if split != "test" else [])
    return "; ".join([f"{len(train):,} to train on{place('train')}{uses}", *unmeasured])


def without_images(dataset: AnyDataset, split: Split) -> list[str]:
    """Return "no test images of cat", if that is so and there are test images of other classes."""
    counts = count_each(dataset.labels, len(dataset.classes))
    lacking = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    return [f"no {split} images of {listed(lacking)}"] if lacking and len(dataset) else []


def _said_of_sizes(splits: Splits) -> str:
    """Return "640 x 480 to 4,032 x 3,024 pixels" as the headers of some files state; "" if none can be read."""
    paths = [path for part in splits.parts.values() if isinstance(part, FileDataset) for path in part.images.paths]
    sizes: Counter[tuple[int, int]] = Counter()
    for path in paths[:: max(1, len(paths) // HEADERS)]:
        try:
            sizes[size_of(path)] += 1
        except ImageError:
            continue  # `check_images` names it
    if not sizes:
        return ""
    smallest, largest = (choose(sizes, key=lambda size: (size[0] * size[1], size)) for choose in (min, max))
    both = [f"{width:,} x {height:,}" for width, height in (smallest, largest)]
    return f"{both[0]} pixels" if len(sizes) == 1 else f"{both[0]} to {both[1]} pixels"


def share_in_words(share: float) -> str:
    """Return "a fifth", or "30 %"."""
    return "a fifth" if share == 0.2 else f"{100 * share:.4g} %"
