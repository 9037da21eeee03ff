"""A script's own images and labels in a run: arrays, data sets of any kind, and batches, checked and converted."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any, overload

import numpy as np

from ..data import AnyDataset, Batch, Dataset, FileDataset, ImageFiles, Loader
from ..data.dataset import RESIZED_EXACTLY, Indices, channels_last_advice
from ..errors import ConfigError, DataError, DTypeError, MinivitError, ShapeError
from ..images.decoding import pixels_of, upright_size
from ..images.fitting import fit_batch
from ..images.given import MODES, is_pillow
from ..nn import Module
from ..preprocessing import in_known_range, preprocess
from ..utils.notices import notice
from ..utils.text import quoted
from .batches import Prepared
from .options import OWN_DATA

SAMPLED = 30  # items whose labels are compared with those that their data set keeps
KINDS = "a pair (images, labels), a data set, or batches of such pairs"


@dataclass(frozen=True)
class Expected:
    """What a model expects of its images and labels.

    Attributes:
        image_shape: the (H, W, C) that it reads; None if any will do.
        num_classes: K; None if it is not known yet.
        classes: the names of the classes that replace those of the data; empty if there are none.
        known: the names of the model's classes or of the training set's; empty if there are none.
        own_scale: whether floats may have any range: the model is a script's, which knows what it reads.
    """

    image_shape: tuple[int, int, int] | None = None
    num_classes: int | None = None
    classes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    own_scale: bool = False

    def names(self, labels: np.ndarray) -> tuple[str, ...]:
        """Return the names of the classes, or their numbers."""
        count = self.num_classes or int(labels.max(initial=-1)) + 1
        return self.classes or self.known or tuple(map(str, range(count)))


# -- what was given ------------------------------------------------------------------------------


def as_dataset(given: Any, name: str, expected: Expected, show: bool = False) -> AnyDataset | OwnBatches:
    """Return what a script gave as a data set, or as batches if it can only be iterated over.

    Args:
        given: see `Trainer`.
        name: of the argument, for messages.
        expected: what the model reads.
        show: whether to show the progress of reading labels.

    Raises:
        ConfigError, DTypeError, ShapeError, ImageError, DataError: if these are not images and labels for the model.
    """
    if isinstance(given, Dataset | FileDataset):
        return _checked_dataset(given, name, expected)
    if isinstance(given, str | bytes | Mapping) or given is None:
        hint = "; a data set by name is an option, TrainConfig(dataset=...)" if isinstance(given, str) else ""
        raise ConfigError(f"{name} must be {KINDS}, not {quoted(given)}{hint}")
    if isinstance(given, Loader):
        raise ConfigError(f"{name} must be {KINDS}, not a Loader: give its data set, loader.dataset")
    if isinstance(given, Module):
        raise ConfigError(f"{name} must be {KINDS}, not a model: Trainer(model, train_data, test_data, config)")
    if _is_pair(given):
        images, labels = given
        return _from_arrays(images, labels, name, expected)
    if callable(given) and not hasattr(given, "__getitem__") and not hasattr(given, "__iter__"):
        return OwnBatches(given, name, expected)
    if hasattr(given, "__getitem__") and hasattr(given, "__len__") and not isinstance(given, np.ndarray):
        items: Any = given
        if len(items) == 0:
            raise ConfigError(f"{name} is empty")
        first = items[0]
        if not (_is_pair(first) and getattr(_array(first[1], f"{name}[0]: labels"), "ndim", 0) > 0):
            return _from_items(given, first, name, expected, show)
    if isinstance(given, np.ndarray) or not isinstance(given, Iterable):
        found = f"an array of shape {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
        raise ConfigError(f"{name} must be {KINDS}, not {found}")
    return OwnBatches(given, name, expected)


def _is_pair(given: Any) -> bool:
    """Return whether something is (images, labels) or (image, label), and not two such pairs."""
    return isinstance(given, tuple | list) and len(given) == 2 and not all(map(_begins_as_pair, given))


def _begins_as_pair(given: Any) -> bool:
    """Return whether something begins with an image, or images, and then has no image: (image, label), or a batch."""
    if not isinstance(given, tuple | list) or len(given) < 2:
        return False
    first, second = given[:2]
    are_images = isinstance(first, tuple | list) or _axes(first) >= 2
    return are_images and (_axes(second) < 2 or _axes(first) == 4)  # a batch may have shares of the classes (B, K)


def _axes(value: Any) -> int:
    """Return the number of axes of an array, or of the array that a value becomes."""
    return 3 if is_pillow(value) else np.ndim(value)


def _checked_dataset(dataset: AnyDataset, name: str, expected: Expected) -> AnyDataset:
    if not len(dataset):
        raise ConfigError(f"{name} is empty")
    if dataset.image_shape:
        _check_shape((len(dataset), *dataset.image_shape), name, expected)
        _say_if_resized(dataset.image_shape[:2], name, expected)
    count = len(dataset.classes)
    if expected.num_classes not in (None, count):
        raise ConfigError(
            f"{name} has {count} classes, and the model {expected.num_classes}: create_model(..., num_classes={count})"
        )
    return replace(dataset, classes=expected.classes) if expected.classes else dataset


# -- arrays --------------------------------------------------------------------------------------


def _from_arrays(images: Any, labels: Any, name: str, expected: Expected) -> AnyDataset:
    if isinstance(images, list | tuple) and len({_shape_of(image) for image in images}) > 1:  # of any size
        pairs = list(zip(images, labels, strict=False))
        numbers = labels_of(labels, name, len(images), expected)
        channels = expected.image_shape[2] if expected.image_shape else 3
        return FileDataset(
            OWN_DATA, ItemImages(pairs, range(len(pairs)), channels, name), numbers, expected.names(numbers)
        )
    pixels = images_of(images, name, expected)
    if not len(pixels):
        raise ConfigError(f"{name} has no images")
    _say_if_resized(pixels.shape[1:3], name, expected)
    numbers = labels_of(labels, name, len(pixels), expected)
    kind = Dataset if pixels.dtype == np.uint8 else Prepared
    return kind(OWN_DATA, pixels, numbers, expected.names(numbers))


def _shape_of(image: Any) -> tuple[int, ...]:
    """Return the shape of an image; a Pillow image's is the (H, W) of its upright pixels."""
    return upright_size(image) if is_pillow(image) else np.shape(image)


def images_of(images: Any, name: str, expected: Expected) -> np.ndarray:
    """Return a script's images as uint8 pixels (N, H, W, C), or as float32 in [-1, 1].

    Args:
        images: an array or a list of arrays or Pillow images, all of one size; PyTorch's tensors are taken too.
        name: of the argument, for messages.
        expected: what the model reads.

    Raises:
        DTypeError: for paths, or values that are neither integers nor floats.
        ShapeError: if the shape does not fit the model.
        ConfigError, ImageError: if the values have another range, or an image is damaged.
    """
    where = f"{name}: images"
    if isinstance(images, list | tuple):
        channels = expected.image_shape[2] if expected.image_shape else 3
        if images and isinstance(images[0], str | Path):
            raise DTypeError(
                f"{where} are paths: give FileDataset(name, ImageFiles(paths), labels, classes), which minivit.data has"
            )
        images = np.stack([_pixels_of(image, channels) for image in images]) if images else np.zeros((0, 1, 1, 3))
    pixels = _array(images, where)
    if pixels.dtype.kind not in "uif":
        raise DTypeError(f"{where} must be uint8 pixels, or floats in [-1, 1], not {pixels.dtype}")
    _check_shape(pixels.shape, name, expected)
    if expected.own_scale and pixels.dtype.kind == "f":
        return np.asarray(pixels, np.float32)
    try:
        pixels = in_known_range(pixels)
    except MinivitError as error:
        found = f"{pixels.min():.4g} to {pixels.max():.4g}" if np.isfinite(pixels).all() else "nan or infinity"
        rule = "floats in [-1, 1]" if pixels.dtype.kind == "f" else "from 0 to 255"
        raise type(error)(
            f"{where} must be {rule}, and these are {found}: give uint8 pixels from 0 to 255, which the trainer scales"
        ) from error
    if pixels.dtype != np.uint8 and expected.image_shape not in (None, pixels.shape[1:]):
        raise ShapeError(
            f"{where} are floats of shape {pixels.shape[1:]}, and the model reads {expected.image_shape}: give uint8 "
            "pixels, which the trainer resizes"
        )
    return pixels if pixels.dtype == np.uint8 else np.asarray(pixels, np.float32)


def _say_if_resized(size: tuple[int, ...], name: str, expected: Expected) -> None:
    """Give a notice if images of this (H, W) are resized to the model's."""
    if expected.image_shape and size != expected.image_shape[:2]:
        (rows, columns), (height, width) = size, expected.image_shape[:2]
        notice(f"{name}: images of {rows} x {columns} pixels are resized to the model's {height} x {width}")


def _check_shape(shape: tuple[int, ...], name: str, expected: Expected) -> None:
    """Raise ShapeError for images (N, H, W, C) that the model does not read; other sizes are resized."""
    where, model = f"{name}: images", expected.image_shape
    if len(shape) == 3:
        raise ShapeError(f"{where} must have the shape (N, H, W, C), not {shape}: add channels with images[..., None]")
    if len(shape) != 4:
        raise ShapeError(f"{where} must have the shape (N, H, W, C), not {shape}")
    channels = {model[2]} if model else {1, 3, 4}
    if advice := channels_last_advice(shape, channels):
        raise ShapeError(f"{where} must have the shape (N, H, W, C), not {shape}: {advice}")
    if model and shape[3] != model[2]:
        raise ShapeError(
            f"{where} have {shape[3]} channels, and the model reads {model[2]}: create_model(..., channels={shape[3]})"
        )


def labels_of(labels: Any, name: str, count: int, expected: Expected) -> np.ndarray:
    """Return a script's labels as int64 (N,), from 0 to K - 1.

    Args:
        labels: an array, a list, a column of pandas or a tensor of PyTorch.
        name: of the argument, for messages.
        count: the number of images.
        expected: what the model knows.

    Raises:
        DTypeError: if they are not integers.
        ShapeError: for another shape or number, or labels beyond the model's classes.
    """
    where = f"{name}: labels"
    found = _array(labels, where)
    if found.ndim == 2 and found.shape[1] == 1:
        raise ShapeError(f"{where} must have the shape (N,), not {found.shape}: give labels[:, 0]")
    if found.ndim == 2:
        raise ShapeError(f"{where} must have the shape (N,), not {found.shape}: one-hot labels need .argmax(axis=1)")
    if found.ndim != 1:
        raise ShapeError(f"{where} must have the shape (N,), not {found.shape}")
    if found.dtype.kind not in "ui":
        text = ": np.unique(labels, return_inverse=True)[1] numbers them" if found.dtype.kind in "OUS" else ""
        cast = ": labels.astype(int) converts them" if found.dtype.kind in "fb" else ""
        raise DTypeError(f"{where} must be integers from 0 to K - 1, not {found.dtype}{text}{cast}")
    if len(found) != count:
        raise ShapeError(f"{name} has {count:,} images and {len(found):,} labels: there must be one for each image")
    return checked_labels(found.astype(np.int64), where, expected.num_classes)


def checked_labels(labels: np.ndarray, where: str, num_classes: int | None) -> np.ndarray:
    """Return labels. Raises ShapeError unless they are from 0 to K - 1."""
    least, most = int(labels.min(initial=0)), int(labels.max(initial=0))
    if num_classes is None or 0 <= least <= most < num_classes:
        return labels
    from_1 = len(labels) and labels.min() == 1 and most == num_classes
    advice = "count from 0, labels - 1" if from_1 else f"create_model(..., num_classes={most + 1})"
    if least < 0:
        advice = "count from 0"
    raise ShapeError(
        f"{where} run from {labels.min()} to {most}, and the model's {num_classes} classes are 0 to {num_classes - 1}: "
        f"{advice}"
    )


def _array(values: Any, where: str) -> np.ndarray:
    """Return anything that NumPy can read as an array."""
    if isinstance(values, np.ma.MaskedArray):
        raise DTypeError(f"{where} must not be masked: fill them first, with .filled(0)")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DTypeError(
            f"{where} must be an array or a list, and {type(values).__name__} does not convert to one: {error!s:.80}"
        ) from error


def _pixels_of(image: Any, channels: int) -> np.ndarray:
    """Return an image as an array; a Pillow image as a file is read, upright and with as many channels."""
    if is_pillow(image):
        from PIL import Image

        mode = MODES.get(channels, "RGB")
        if channels == 1 and image.mode != mode:
            image = Image.fromarray(pixels_of(image, "an image")).convert(mode)
        elif channels != 3:
            image = image.convert(mode)
        return pixels_of(image, "an image", len(mode))
    return _array(image, "an image")


# -- data sets of other libraries ----------------------------------------------------------------


# Held while an item is read: two data sets of a script may move in one file, which several threads would share.
TURN = RLock()


class ItemImages(ImageFiles):
    """The images of a data set whose items are (image, label), each read when it is needed, as files are.

    Args:
        items: the data set.
        places: of its items, in the order of the images.
        channels: that the model reads.
        name: of the argument, for messages.
    """

    in_files = False

    def __init__(self, items: Any, places: Indices | range, channels: int, name: str):
        self.items, self.places, self.channels, self.name = items, np.asarray(places, np.int64), channels, name
        self.read = range(len(self.places))  # the others are black

    @property
    def paths(self) -> list[Path]:
        """An empty list: there are no files."""
        return []

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: Indices) -> ItemImages: ...
    def __getitem__(self, index: int | Indices) -> np.ndarray | ItemImages:
        if not isinstance(index, int | np.integer):
            return ItemImages(self.items, self.places[index], self.channels, self.name)
        if range(len(self))[index] not in self.read:
            return np.zeros((1, 1, self.channels), np.uint8)
        place = int(self.places[index])
        with TURN:
            image, _ = _pair(self.items[place], f"{self.name}[{place}]")
            return item_pixels(image, f"{self.name}[{place}]", self.channels)  # Pillow may read the file only now

    def only(self, decoded: slice) -> ItemImages:
        """Return the same images, of which only a slice is read, as `ImageFiles.only`."""
        images = self[:]
        images.read = range(len(self))[decoded]
        return images


def _from_items(given: Any, first: Any, name: str, expected: Expected, show: bool) -> AnyDataset:
    channels = expected.image_shape[2] if expected.image_shape else 3
    item_pixels(_pair(first, f"{name}[0]")[0], f"{name}[0]", channels)
    labels = labels_of(_labels_of_items(given, name, show), name, len(given), expected)
    names = getattr(given, "classes", ())
    own = tuple(map(str, names)) if isinstance(names, list | tuple) else ()
    count = expected.num_classes
    fit = len(own) > labels.max() if count is None else len(own) == count
    classes = expected.classes or (own if fit else expected.names(labels))
    return FileDataset(OWN_DATA, ItemImages(given, range(len(given)), channels, name), labels, classes)


def _labels_of_items(given: Any, name: str, show: bool) -> Any:
    """Return the labels of all items: what the data set keeps as `targets` or `labels`, else each item is read.

    Items may have other labels than those kept: a transform changes them, or they are of another task. So a sample of
    the items is compared.
    """
    for attribute in ("targets", "labels") if getattr(given, "target_transform", None) is None else ():
        kept = getattr(given, attribute, None)
        if kept is None or np.ndim(kept) != 1 or len(kept) != len(given):
            continue
        column, some = np.asarray(kept), np.linspace(0, len(given) - 1, min(len(given), SAMPLED), dtype=int).tolist()
        if all(_same_number(_pair(given[place], f"{name}[{place}]")[1], column[place]) for place in some):
            return kept
    from tqdm.auto import tqdm

    labels = []
    for place in tqdm(
        range(len(given)), desc=f"labels of {name}", unit="item", leave=False, disable=None if show else True
    ):
        label = _pair(given[place], f"{name}[{place}]")[1]
        try:
            labels.append(operator.index(label))
        except TypeError as error:
            raise DTypeError(f"{name}[{place}]: the label must be an integer, not {quoted(label)}") from error
    return labels


def _same_number(one: Any, other: Any) -> bool:
    with suppress(TypeError, ValueError):
        return float(one) == float(other)
    return False


def _pair(item: Any, where: str) -> Any:
    if not _is_pair(item):
        raise DataError(
            f"{where} must be (image, label), not {quoted(item) if _is_small(item) else type(item).__name__}"
        )
    return item


def _is_small(item: Any) -> bool:
    return isinstance(item, str | int | float | None)


def item_pixels(image: Any, where: str, channels: int) -> np.ndarray:
    """Return the image of an item: uint8 (H, W, C).

    Args:
        image: a Pillow image, which is converted to the channels that the model reads, or an array.
        where: the item, for messages.
        channels: C.

    Raises:
        DTypeError, ShapeError: if it is something else.
    """
    pixels = _pixels_of(image, channels)
    pixels = pixels[..., None] if pixels.ndim == 2 and channels == 1 else pixels
    if pixels.dtype != np.uint8:
        raise DTypeError(
            f"{where}: the image must be a Pillow image or uint8 pixels (H, W, C), not {pixels.dtype}: leave out "
            "ToTensor() and Normalize()"
        )
    if pixels.ndim != 3 or pixels.shape[2] != channels:
        hint = "; put the channels last" if pixels.ndim == 3 and pixels.shape[0] == channels else ""
        raise ShapeError(f"{where}: the image must have the shape (H, W, {channels}), not {pixels.shape}{hint}")
    return pixels


# -- batches -------------------------------------------------------------------------------------


class OwnBatches(Loader):
    """A loader of batches that a script makes: it neither shuffles nor augments them.

    Args:
        given: an iterable of (images, labels), or a function that returns one. What can be read again, such as a list,
            PyTorch's DataLoader or a function, begins anew after its last batch; a generator ends there.
        name: of the argument, for messages.
        expected: what the model reads.

    Attributes:
        length: the number of batches before they begin anew; 0 if it is not known.
    """

    def __init__(self, given: Any, name: str, expected: Expected):
        self.given, self.name, self.expected = given, name, expected
        self.augment = self.mix = self.uploads = None
        self.shard: Any = None  # ranks do not share these batches
        self.prefetch = self.seed = 0
        self.length = 0
        with suppress(TypeError):  # a generator has no length, nor has every DataLoader
            self.length = len(given)
        self.waiting = self._read()
        first = next(self.waiting, None)
        if first is None:
            raise ConfigError(f"{name} has no batches")
        self.first: tuple[np.ndarray, np.ndarray] | None = self._checked(first)
        images, labels = self.first
        self.example = images[:2]  # as the network reads them
        self.batch_size = len(labels)
        classes = expected.names(labels if labels.ndim == 1 else np.array([labels.shape[1] - 1]))
        self.dataset = Prepared(OWN_DATA, images[:0], np.zeros(0, np.int64), classes)

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches before they begin anew."""
        return self.length

    def _read(self) -> Iterator[Any]:
        """Yield what the script gives, from its beginning."""
        again: Any = self.given() if callable(self.given) else self.given
        return iter(again)

    def whole(self) -> Dataset:
        """Return the images of all batches in one data set, in memory."""
        parts = [self.first, *map(self._checked, self.waiting)]
        images, labels = (np.concatenate(column) for column in zip(*filter(None, parts), strict=True))
        if labels.ndim == 2:
            raise ShapeError(f"{self.name}: labels must be integers to measure on, not shares of classes")
        return Prepared(OWN_DATA, images, labels, self.dataset.classes)

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Iterate over the next batches, as the steps `start` to `stop - 1`."""
        step = start
        while stop is None or step < stop:
            if self.first is not None:
                images, labels = self.first
                self.first = None
            else:
                images, labels = self._checked(self._next(step, stop))
            yield Batch(step, step // self.length, images, labels)
            step += 1

    def _next(self, step: int, stop: int | None) -> Any:
        found = next(self.waiting, None)
        if found is None:
            self.waiting = self._read()
            found = next(self.waiting, None)
        if found is None:
            raise DataError(
                f"{self.name} ended after {step:,} of {stop or 0:,} batches: give steps={step}, or a list or a "
                "function that can be read again"
            )
        return found

    def _checked(self, given: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch as the network reads it: float32 (B, H, W, C), and int64 (B,) or float32 (B, K)."""
        name = f"a batch of {self.name}"
        if not _is_pair(given):
            raise DataError(f"{name} must be (images, labels), not {type(given).__name__}")
        images = images_of(given[0], name, self.expected)
        shape = self.expected.image_shape
        if shape and images.shape[1:] != shape:
            images = fit_batch(images, *shape[:2], RESIZED_EXACTLY)
        if not len(images):
            raise DataError(f"{name} is empty")
        labels = _array(given[1], name)
        if labels.ndim == 2 and labels.dtype.kind == "f" and labels.shape == (len(images), self.expected.num_classes):
            shares = labels.astype(np.float32)  # of the classes, as mixing gives them
        else:
            shares = labels_of(given[1], name, len(images), self.expected)
        return preprocess(images) if images.dtype == np.uint8 else images, shares


def example_of(data: AnyDataset | OwnBatches) -> np.ndarray:
    """Return up to two training images as a network reads them, (B, H, W, C), to try it."""
    if isinstance(data, OwnBatches):
        return data.example
    few = data.images[:2]
    if not isinstance(few, np.ndarray):
        few = np.stack([few[0]])
    return few if few.dtype.kind == "f" else preprocess(few)
