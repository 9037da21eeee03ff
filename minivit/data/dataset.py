"""What every data set is, wherever it comes from: pictures, their labels and the labels' names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minivit.errors import DTypeError, ShapeError


@dataclass(frozen=True)
class Dataset:
    """Labelled pictures, whole in memory.

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
        self._check_labels()
        self._check_boxes()

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: np.ndarray | list[int] | slice) -> Dataset:
        """The data set of these images alone, in this order.

        indices: whatever indexes the first axis of a NumPy array: integers, a slice or a boolean mask (N,).
        """
        boxes = None if self.boxes is None else self.boxes[indices]
        return replace(self, images=self.images[indices], labels=self.labels[indices], boxes=boxes)

    def _check_images(self) -> None:
        if self.images.dtype != np.uint8:
            raise DTypeError(f"{self.name}: images must be uint8, not {self.images.dtype}.")
        if self.images.ndim != 4:
            raise ShapeError(f"{self.name}: images must have the shape (N, H, W, C), not {self.images.shape}.")

    def _check_labels(self) -> None:
        if self.labels.dtype != np.int64:
            raise DTypeError(f"{self.name}: labels must be int64, not {self.labels.dtype}.")
        if self.labels.shape != (len(self),):
            raise ShapeError(
                f"{self.name}: {len(self)} images need labels of the shape ({len(self)},), not {self.labels.shape}."
            )
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ShapeError(
                f"{self.name}: labels run from {self.labels.min()} to {self.labels.max()}, but the "
                f"{len(self.classes)} classes allow 0 to {len(self.classes) - 1}."
            )

    def _check_boxes(self) -> None:
        if self.boxes is None:
            return
        if self.boxes.dtype != np.int64:
            raise DTypeError(f"{self.name}: boxes must be int64, not {self.boxes.dtype}.")
        if self.boxes.shape != (len(self), 4):
            raise ShapeError(
                f"{self.name}: {len(self)} images need boxes of the shape ({len(self)}, 4), not {self.boxes.shape}."
            )


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
