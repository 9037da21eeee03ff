"""Images as a caller has them, in arrays, as Pillow images or in files, and the batches that a model reads instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..preprocessing import Preprocessing, in_known_range, refuse_masked
from .decoding import decode_image, pixels_of
from .fitting import fit_image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's names of images by their number of channels
ALONE = "the image"  # what messages call what is not in a list
COLOURS = (1, 2, 4)  # channels of an array that can become RGB: grey, grey and alpha, RGB and alpha


class GivenImages:
    """What `predict` was given: `given[2:9]` is a batch of it, prepared for the model.

    Arrays with the model's height and width are neither resized nor cropped. Everything else is read, made RGB,
    resized and cropped as `minivit predict` does with files, and only when its batch is read.

    Args:
        images: an array (B, H, W, C), (H, W, C) or (H, W), a Pillow image, a path, or a list of these.
        image_shape: the (H, W, C) that the model reads.
        preprocessing: how the model's weights expect images to be resized and cropped.
        value_range: the numbers for black and white in arrays, if they are not those of `in_known_range`.

    Raises:
        DTypeError, ShapeError, ImageError, ConfigError: if these are not images.
    """

    def __init__(
        self,
        images: Any,
        image_shape: tuple[int, int, int],
        preprocessing: Preprocessing,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.image_shape, self.preprocessing, self.value_range = tuple(image_shape), preprocessing, value_range
        self.prepared: Any = None  # (B, H, W, C), if nothing is left to do
        self.pictures: Sequence[Any] = ()  # what is still to be read, resized or cropped
        self.name = "images[{}]"
        if isinstance(images, list | tuple):
            self._take_list(list(images))
        elif _is_path_or_pillow(images):
            self._take_list([images], ALONE)
        else:
            self._take_array(self._with_axis(_as_array(images)))

    def _take_list(self, images: list[Any], name: str = "images[{}]") -> None:
        """Note the pictures of a list, or its arrays as one array if they have one shape and are prepared."""
        if not any(map(_is_path_or_pillow, images)):
            images = [self._with_axis(_as_array(image)) for image in images]
            if len({(image.shape, image.dtype.kind == "f") for image in images}) <= 1:
                stacked = np.stack(images) if images else np.zeros((0, *self.image_shape), np.uint8)
                if self._is_prepared(stacked.shape):
                    self._take_array(stacked)
                    return
        self.name, self.pictures = name, images
        for place, image in enumerate(images):
            self._check(image, name.format(place))

    def _take_array(self, images: Any) -> None:
        """Note an array of images, or of one."""
        if self._is_prepared(images.shape):
            images = images[None] if images.shape == self.image_shape else images
            self.prepared = in_known_range(images, self.value_range)
            return
        many, on_gpu = len(images.shape) == 4, hasattr(images, "__cuda_array_interface__")
        if many or on_gpu:
            self._check_shape(images.shape, () if on_gpu else images.shape[1:], "images")
        self._take_list(list(images) if many else [images], "images[{}]" if many else "images")

    def _with_axis(self, array: Any) -> Any:
        """Return the numbers of one grey image of the model's size with an axis of channels; others unchanged."""
        return array[:, :, None] if self.image_shape == (*array.shape, 1) else array

    def _is_prepared(self, shape: tuple[int, ...]) -> bool:
        return self.image_shape in (shape, shape[1:])

    def __len__(self) -> int:
        return len(self.pictures) if self.prepared is None else len(self.prepared)

    def __getitem__(self, part: slice) -> Any:
        """Return a batch (B, H, W, C), uint8 or floats in [-1, 1].

        Raises:
            ImageError: if a file cannot be read, or the numbers of an array may have another range.
        """
        if self.prepared is not None:
            return self.prepared[part]
        places = range(len(self.pictures))[part]
        batch = np.empty((len(places), *self.image_shape), np.uint8)
        for row, place in zip(batch, places, strict=True):
            row[...] = self._fitted(self.pictures[place], self.name.format(place))
        return batch

    def _check(self, image: Any, name: str) -> None:
        """Raise an error for what is not a picture; nothing is read or converted yet."""
        channels = self.image_shape[2]
        if isinstance(image, str | Path):
            if channels != 3:
                raise ShapeError(f"{name} is a file, which has 3 channels, and this model takes {channels}")
            return
        if is_pillow(image):
            if channels != 3 and image.mode != MODES.get(channels):
                raise ShapeError(
                    f"{name} must be a Pillow image of mode {MODES.get(channels)}, not {image.mode}: use its convert()"
                )
            return
        array = _as_array(image)
        self._check_shape(array.shape, array.shape, name)
        if array.dtype.kind not in "ui" and self.value_range is None:
            height, width, _ = self.image_shape
            reason = f"has floats and is not of the model's {height} x {width} pixels"
            if array.shape == self.image_shape:
                reason = f"has floats and is listed with images that are not floats of {height} x {width} pixels"
            elif array.shape[:2] == (height, width):
                reason = f"has floats of shape {array.shape}, not the model's {self.image_shape}"
            raise DTypeError(f"{name} {reason}: pass uint8 pixels, or value_range=(black, white) such as (0, 1)")

    def _check_shape(self, shape: tuple[int, ...], of_one: tuple[int, ...], name: str) -> None:
        """Raise ShapeError for an array that cannot be made the model's.

        Args:
            shape: of the array.
            of_one: of one image in it.
            name: what the message begins with.
        """
        channels = self.image_shape[2]
        if not _is_image_shape(of_one, channels):
            axes, batch = ("(B, H, W, C)", "B, ") if name == "images" else ("(H, W, C)", "")
            raise ShapeError(
                f"{name} must have shape {axes} = ({batch}{str(self.image_shape)[1:]}, or be uint8 of another height "
                f"and width, not {tuple(shape)}{_hint(shape, channels)}"
            )

    def _fitted(self, image: Any, name: str) -> np.ndarray:
        """Return one picture as the model gets it: uint8 (H, W, C)."""
        height, width, channels = self.image_shape
        if isinstance(image, str | Path):
            pixels = decode_image(image)
        elif is_pillow(image):
            pixels = pixels_of(image, name, channels)
        else:
            pixels = _with_channels(_eight_bits(_as_array(image), self.value_range), channels, name)
            if pixels.shape == self.image_shape:
                return pixels
        return fit_image(pixels, height, width, self.preprocessing)


def is_pillow(image: Any) -> bool:
    """Return whether something is a Pillow image, of a plugin's class too; Pillow is not imported for that."""
    return any(kind.__module__.startswith("PIL.") for kind in type(image).__mro__)


def _is_path_or_pillow(image: Any) -> bool:
    """Return whether something is a path or a Pillow image, not numbers."""
    return isinstance(image, str | Path) or is_pillow(image)


def _is_image_shape(shape: tuple[int, ...], channels: int) -> bool:
    """Return whether an array of this shape is one image that can get the model's channels."""
    if len(shape) not in (2, 3) or 0 in shape:
        return False
    found = shape[2] if len(shape) == 3 else 1
    return found == channels or (channels == 3 and found in COLOURS)


def _hint(shape: tuple[int, ...], channels: int) -> str:
    """Return what to do about an array whose channels are before its rows."""
    if len(shape) < 3 or shape[-3] != channels or shape[-1] == channels:
        return ""
    axes = "1, 2, 0" if len(shape) == 3 else "0, 2, 3, 1"
    return f"; put the channels last: x.transpose({axes})"


def _as_array(image: Any) -> Any:
    """Return the numbers of one image, or of an array of images, as an array.

    Raises:
        DTypeError: if these are not numbers.
    """
    refuse_masked(image)
    image = getattr(image, "data", image) if type(image).__name__ == "Tensor" else image
    if hasattr(image, "__cuda_array_interface__"):
        return image
    try:
        array = np.asarray(image)
    except (ValueError, TypeError):
        array = np.empty((), object)
    if array.dtype.kind not in "uif" and array.dtype.name != "bfloat16":
        raise DTypeError(
            f"images must be arrays of pixels, Pillow images or paths, not {type(image).__name__} of {array.dtype}"
        )
    return array


def _eight_bits(pixels: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    """Return pixels as uint8, rounded if a range says what their numbers are."""
    known = in_known_range(pixels, value_range)
    if known.dtype == np.uint8:
        return known
    return np.rint(known.astype(np.float32) * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


def _with_channels(pixels: np.ndarray, channels: int, name: str) -> np.ndarray:
    """Return uint8 pixels (H, W, C) of an array that may be grey or have alpha: alpha gets a white background."""
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] == channels:
        return pixels
    from PIL import Image

    plain = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return pixels_of(Image.fromarray(plain), name)
