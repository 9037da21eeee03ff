"""What every data set is, wherever it comes from: images, their labels and the labels' names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from ..errors import DTypeError, ShapeError
from .image_files import decode_image, resize_batch

Indices = np.ndarray | list[int] | slice  # whatever indexes the first axis of a NumPy array, one integer excepted


class ImageFiles(Sequence[np.ndarray]):
    """Images that stay in their files until one is looked at: a data set may be larger than the memory.

    `files[3]` decodes an image: uint8 (H, W, 3), in a size of its own. `files[[3, 1]]`, `files[:9]` and the like
    choose files and decode nothing. A loop over them decodes one at a time.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        names = [str(path) for path in paths]  # a million strings take a third of what as many Paths do
        self._names = np.empty(len(names), object)
        self._names[:] = names
        self._wanted = range(len(names))  # those that are decoded

    @property
    def paths(self) -> list[Path]:
        """Where the images are."""
        return [Path(name) for name in self._names]

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: Indices) -> ImageFiles: ...
    def __getitem__(self, index: int | Indices) -> np.ndarray | ImageFiles:
        if not isinstance(index, int | np.integer):
            return ImageFiles(self._names[index])
        if range(len(self))[index] not in self._wanted:
            return np.zeros((1, 1, 3), np.uint8)
        return decode_image(self._names[index])

    def only(self, wanted: slice) -> ImageFiles:
        """The same files, of which those outside a slice are not read: one black pixel stands for each.

        To be looped over as it is: a choice among them is read whole again.
        """
        files = ImageFiles(self._names)
        files._wanted = range(len(self))[wanted]
        return files


@dataclass(frozen=True)
class Dataset:
    """Labelled images, whole in memory.

    name:    "shapes", "cifar10", ...
    images:  uint8 (N, H, W, C), values from 0 to 255.
    labels:  int64 (N,), values from 0 to len(classes) - 1.
    classes: the name of each label.
    boxes:   int64 (N, 4) or None: where the object is, in pixels, as (top, left, bottom, right). The last
             two are exclusive, so that `image[top:bottom, left:right]` is the object.
    note:    what a reader must know beside any figure measured here; "" if there is nothing to say.

    Raises DTypeError or ShapeError if the arrays do not fit this description, or each other.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    boxes: np.ndarray | None = None
    note: str = ""

    def __post_init__(self) -> None:
        self._check_images()
        _check_labels(self.name, len(self), self.labels, self.classes)
        self._check_boxes()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def subset(self, indices: Indices) -> Dataset:
        """The data set of these images alone, in this order.

        indices: whatever indexes the first axis of a NumPy array: integers, a slice or a boolean mask (N,).
        """
        boxes = None if self.boxes is None else self.boxes[indices]
        return replace(self, images=self.images[indices], labels=self.labels[indices], boxes=boxes)

    def resized(self, height: int, width: int) -> Dataset:
        """The data set with images of this size, and without boxes; itself, if they have that size already."""
        if self.image_shape[:2] == (height, width):
            return self
        return replace(self, images=resize_batch(self.images, height, width), boxes=None)

    def _check_images(self) -> None:
        if self.images.dtype != np.uint8:
            raise DTypeError(f"{self.name}: images must be uint8, not {self.images.dtype}.")
        if self.images.ndim != 4:
            raise ShapeError(f"{self.name}: images must have the shape (N, H, W, C), not {self.images.shape}.")

    def _check_boxes(self) -> None:
        if self.boxes is None:
            return
        if self.boxes.dtype != np.int64:
            raise DTypeError(f"{self.name}: boxes must be int64, not {self.boxes.dtype}.")
        if self.boxes.shape != (len(self), 4):
            raise ShapeError(
                f"{self.name}: {len(self)} images need boxes of the shape ({len(self)}, 4), not {self.boxes.shape}."
            )


@dataclass(frozen=True)
class FileDataset:
    """Labelled images in files of any size, decoded when they are needed.

    It has the surface of `Dataset`: `len`, `images`, `labels`, `classes`, `note`, `subset`, `resized`. But images
    are ImageFiles, and `image_shape` is None, since they share none. `root` is the user's folder that holds all of
    them, or "".

    Raises DTypeError or ShapeError if the labels do not fit.
    """

    name: str
    images: ImageFiles
    labels: np.ndarray
    classes: tuple[str, ...]
    note: str = ""
    root: str = ""

    def __post_init__(self) -> None:
        _check_labels(self.name, len(self), self.labels, self.classes)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> None:
        """Nothing that all images share."""
        return

    def subset(self, indices: Indices) -> FileDataset:
        """The data set of these images alone, in this order, as of a `Dataset`; nothing is decoded."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def resized(self, height: int, width: int) -> Dataset:
        """All images decoded and resized, whole in memory. Raises ImageError for one that cannot be read."""
        images = resize_batch(self.images, height, width)
        return Dataset(self.name, images, self.labels, self.classes, note=self.note)


AnyDataset = Dataset | FileDataset


def _check_labels(name: str, count: int, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    if labels.dtype != np.int64:
        raise DTypeError(f"{name}: labels must be int64, not {labels.dtype}.")
    if labels.shape != (count,):
        raise ShapeError(f"{name}: {count} images need labels of the shape ({count},), not {labels.shape}.")
    if count and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ShapeError(
            f"{name}: labels run from {labels.min()} to {labels.max()}, but the {len(classes)} classes allow 0 to "
            f"{len(classes) - 1}."
        )


def indices_to_show(dataset: AnyDataset, count: int) -> np.ndarray:
    """Which images to show of a data set: the first `count`; of files, listed class by class, some from all over.

    Returns int64 (count,), or fewer if there are fewer.
    """
    count = min(count, len(dataset))
    return np.arange(count) if dataset.image_shape else np.linspace(0, len(dataset) - 1, count).astype(int)


def contact_sheet(dataset: Dataset, rows: int, columns: int, gap: int = 2) -> np.ndarray:
    """Lay the first rows * columns images out on a white sheet, `gap` pixels apart.

    Returns uint8 (rows * (H + gap) + gap, columns * (W + gap) + gap, C).
    Raises ShapeError if the data set has fewer images than the sheet has places.
    """
    if len(dataset) < rows * columns:
        raise ShapeError(f"A sheet of {rows} x {columns} needs {rows * columns} images; there are {len(dataset)}.")
    _, height, width, channels = dataset.images.shape

    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for i in range(rows * columns):
        top = gap + (i // columns) * (height + gap)
        left = gap + (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = dataset.images[i]
    return sheet
