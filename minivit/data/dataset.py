"""Data sets: images, their labels, and the names of the classes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from ..errors import DTypeError, ShapeError
from ..images.decoding import decode_image
from ..images.fitting import fit_batch
from ..preprocessing import Preprocessing
from ..utils.aliases import old_names

RESIZED_EXACTLY = Preprocessing()
Indices = np.ndarray | list[int] | slice  # indexes the first axis of an array and keeps it: integers, slice or mask


class ImageFiles(Sequence[np.ndarray]):
    """A sequence of image files, each decoded when it is read, so that a data set may be larger than the memory.

    `files[3]` decodes an image: uint8 (H, W, 3), in the size that it has in its file. `files[[3, 1]]` and `files[:9]`
    select files and decode nothing. A loop over them decodes one at a time.

    Args:
        paths: the files.

    Attributes:
        in_files: whether each image has a file.
    """

    in_files = True

    def __init__(self, paths: Iterable[str | Path]) -> None:
        names = [str(path) for path in paths]  # a million strings take a third of the memory of as many Paths
        self._names = np.empty(len(names), object)
        self._names[:] = names
        self._decoded = range(len(names))  # indices of the files that are decoded; the others read as a black pixel

    @property
    def paths(self) -> list[Path]:
        """The paths of the files."""
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
        if range(len(self))[index] not in self._decoded:
            return np.zeros((1, 1, 3), np.uint8)
        return decode_image(self._names[index])

    def only(self, decoded: slice) -> ImageFiles:
        """Return the same files, of which only a slice is decoded; each of the others reads as one black pixel.

        It is for a loop over all of them: a selection from the result decodes every file again.

        Args:
            decoded: the slice of files to decode.
        """
        files = ImageFiles(self._names)
        files._decoded = range(len(self))[decoded]
        return files


@dataclass(frozen=True)
class Dataset:
    """Labelled images in memory.

    Attributes:
        name: "shapes", "cifar10" ...
        images: uint8 (N, H, W, C), values from 0 to 255.
        labels: int64 (N,), values from 0 to len(classes) - 1.
        classes: the name of each class.
        boxes: int64 (N, 4) or None: the box around the object, in pixels, as (top, left, bottom, right). Bottom and
            right are exclusive, so `image[top:bottom, left:right]` is the object.
        note: a remark to print beside accuracies measured on this data set, or "".

    Raises:
        DTypeError: if an array has another element type.
        ShapeError: if the shapes of the arrays do not fit together.
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
        """The shape (H, W, C) of each image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def subset(self, indices: Indices) -> Dataset:
        """Return the data set of the selected images, in this order.

        Args:
            indices: integers, a slice, or a boolean mask (N,).
        """
        boxes = None if self.boxes is None else self.boxes[indices]
        return replace(self, images=self.images[indices], labels=self.labels[indices], boxes=boxes)

    def resized(self, height: int, width: int, preprocessing: Preprocessing = RESIZED_EXACTLY) -> Dataset:
        """Return the data set with images of this size in pixels, without boxes; itself if nothing changes.

        Args:
            height, width: the size, in pixels.
            preprocessing: how the weights expect images to be resized and cropped. [default: resized exactly, bilinear]
        """
        images = fit_batch(self.images, height, width, preprocessing)
        return self if images is self.images else replace(self, images=images, boxes=None)

    def _check_images(self) -> None:
        if not isinstance(self.images, np.ndarray):
            found = type(self.images).__name__
            raise DTypeError(f"{self.name}: images must be an array (N, H, W, C), not a {found}: np.stack(images)")
        if self.images.dtype != np.uint8:
            raise DTypeError(f"{self.name}: images must be uint8, not {self.images.dtype}")
        if self.images.ndim != 4:
            raise ShapeError(f"{self.name}: images must have the shape (N, H, W, C), not {self.images.shape}")
        if advice := channels_last_advice(self.images.shape, (1, 3, 4)):
            raise ShapeError(f"{self.name}: images must have the shape (N, H, W, C), not {self.images.shape}: {advice}")

    def _check_boxes(self) -> None:
        if self.boxes is None:
            return
        if self.boxes.dtype != np.int64:
            raise DTypeError(f"{self.name}: boxes must be int64, not {self.boxes.dtype}")
        if self.boxes.shape != (len(self), 4):
            raise ShapeError(
                f"{self.name}: {len(self)} images need boxes of the shape ({len(self)}, 4), not {self.boxes.shape}"
            )


@dataclass(frozen=True)
class FileDataset:
    """Labelled images in files, of any size, decoded when they are needed.

    It has the methods of `Dataset`. `image_shape` is None, since the images may differ in size.

    Attributes:
        name: "pets", or the name of the folder ...
        images: the files.
        labels: int64 (N,), values from 0 to len(classes) - 1.
        classes: the name of each class.
        note: a remark to print beside accuracies measured on this data set, or "".
        root: the user's folder that holds all files, or "".

    Raises:
        DTypeError: if the labels have another element type.
        ShapeError: if there are more or fewer labels than images, or a label has no class.
    """

    name: str
    images: ImageFiles
    labels: np.ndarray
    classes: tuple[str, ...]
    note: str = ""
    root: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.images, ImageFiles):
            found = type(self.images).__name__
            raise DTypeError(f"{self.name}: images must be ImageFiles, not a {found}: ImageFiles(paths)")
        _check_labels(self.name, len(self), self.labels, self.classes)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> None:
        """None: the images may differ in size."""
        return

    def subset(self, indices: Indices) -> FileDataset:
        """Return the data set of the selected images, as `Dataset.subset`; nothing is decoded."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def resized(self, height: int, width: int, preprocessing: Preprocessing = RESIZED_EXACTLY) -> Dataset:
        """Decode and resize all images, as `Dataset.resized`; raise ImageError if one cannot be read."""
        images = fit_batch(self.images, height, width, preprocessing)
        return Dataset(self.name, images, self.labels, self.classes, note=self.note)


# Images in memory, or image files.
AnyDataset = Dataset | FileDataset


def _check_labels(name: str, count: int, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    found = labels.dtype if isinstance(labels, np.ndarray) else f"a {type(labels).__name__}"
    if found != np.int64:
        raise DTypeError(f"{name}: labels must be int64, not {found}: np.array(labels, np.int64)")
    if labels.shape != (count,):
        raise ShapeError(f"{name}: {count} images need labels of the shape ({count},), not {labels.shape}")
    if count and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ShapeError(
            f"{name}: labels run from {labels.min()} to {labels.max()}, but the {len(classes)} classes allow 0 to "
            f"{len(classes) - 1}"
        )


def channels_last_advice(shape: tuple[int, ...], channels: Collection[int]) -> str:
    """Return how to put the channels of images last, if they seem to be before the rows; "" if they do not.

    Args:
        shape: of the images, (N, H, W, C) or (N, C, H, W).
        channels: the numbers of channels that are known.
    """
    return "put the channels last with images.transpose(0, 2, 3, 1)" * (
        shape[3] not in channels and shape[1] in channels
    )


def indices_to_show(dataset: AnyDataset, count: int) -> np.ndarray:
    """Return the indices of images to show: the first `count`, or `count` evenly spaced files of a FileDataset.

    Files are sorted by class, so the first of them would show one class only.

    Returns:
        int64 (count,), or (N,) if the data set has fewer images.
    """
    count = min(count, len(dataset))
    return np.arange(count) if dataset.image_shape else np.linspace(0, len(dataset) - 1, count).astype(int)


def contact_sheet(dataset: Dataset, rows: int, columns: int, gap: int = 2) -> np.ndarray:
    """Arrange the first rows * columns images on a white sheet, `gap` pixels apart.

    Returns:
        uint8 (rows * (H + gap) + gap, columns * (W + gap) + gap, C).

    Raises:
        ShapeError: if the data set has fewer than rows * columns images.
    """
    if len(dataset) < rows * columns:
        raise ShapeError(f"a sheet of {rows} x {columns} needs {rows * columns} images: there are {len(dataset)}")
    _, height, width, channels = dataset.images.shape

    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for i in range(rows * columns):
        top = gap + (i // columns) * (height + gap)
        left = gap + (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = dataset.images[i]
    return sheet


__getattr__ = old_names(__name__, {"PictureFiles": "ImageFiles", "glimpse": "indices_to_show"})
