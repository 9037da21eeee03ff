"""Convert the pixels of an image to the numbers that the network reads.

The loader preprocesses its batches with `preprocess`, and `model.predict` preprocesses the pixels that it receives.
Both `data/` and `models/` import this file, so it is in neither of these rooms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .errors import ConfigError, DTypeError, ImageError, ShapeError

NEGATIVE = -0.1  # floats with a minimum below this are in [-1, 1] and cannot be in [0, 1]


def preprocess(images: np.ndarray) -> np.ndarray:
    """Rescale pixels from [0, 255] to [-1, 1], as the authors' code does: `(x - 127.5) / 127.5`.

    The mean and standard deviation of the data set are not used: the published weights expect exactly this rescaling.

    Args:
        images: uint8 of any shape, usually (B, H, W, C).

    Returns:
        A new array of the same shape, float32 in [-1, 1].

    Raises:
        DTypeError: if `images` is a masked array, or not uint8: floats may have been rescaled already.
    """
    _refuse_masked(images)
    if getattr(images, "dtype", None) != np.uint8:
        found = getattr(images, "dtype", type(images).__name__)
        raise DTypeError(f"preprocess takes uint8 pixels from 0 to 255, not {found}")
    rescaled = images.astype(np.float32)
    rescaled = np.asarray(rescaled) if isinstance(rescaled, np.ndarray | np.generic) else rescaled  # a matrix, a pixel
    rescaled -= 127.5
    rescaled /= 127.5
    return rescaled


def gathered(images: Any, image_shape: tuple[int, int, int]) -> Any:
    """Return images as one array (B, H, W, C); no value is changed.

    Args:
        images: an array (B, H, W, C) or (H, W, C), a Pillow image, or a list of arrays or Pillow images.
        image_shape: the (H, W, C) that the model reads.

    Returns:
        The pixels (B, H, W, C) with their element type.

    Raises:
        DTypeError: if `images` is not pixels, but a path, for example.
        ShapeError: if the images have another shape.
    """
    if isinstance(images, str | bytes | Path):
        raise DTypeError(
            f"predict takes pixels, not the name of a file ({str(images)[:40]!r}): read it first with "
            "minivit.data.image_files.read_image(path, height, width)"
        )
    if isinstance(images, list | tuple):
        parts = [_pixels(image, image_shape) for image in images]
        if len({part.shape for part in parts}) > 1:
            shapes = ", ".join(map(str, sorted({part.shape for part in parts})[:4]))
            raise ShapeError(f"images in a list must have one shape, not {shapes}")
        images = np.stack(parts) if parts else np.zeros((0, *image_shape), np.uint8)
    else:
        images = _pixels(images, image_shape)
    if tuple(images.shape) == tuple(image_shape):
        images = images[None]
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(image_shape):
        h, w, c = image_shape
        hint = "; put the channels last" if tuple(images.shape[-3:]) == (c, h, w) else ""
        raise ShapeError(f"images must have shape (B, H, W, C) = (B, {h}, {w}, {c}), not {tuple(images.shape)}{hint}")
    return images


def _pixels(image: Any, image_shape: tuple[int, int, int]) -> Any:
    """Return the pixels of one image, or of an array of images, as an array."""
    if type(image).__module__.startswith("PIL."):
        mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(image_shape[2])
        if image.mode != mode or image.size != image_shape[1::-1]:
            raise ShapeError(
                f"a Pillow image must be of mode {mode} and {image_shape[1]} x {image_shape[0]} pixels, not "
                f"{image.mode} and {image.size[0]} x {image.size[1]}: use its convert() and resize()"
            )
        return np.asarray(image).reshape(image_shape)
    _refuse_masked(image)
    image = getattr(image, "data", image) if type(image).__name__ == "Tensor" else image
    if hasattr(image, "__cuda_array_interface__"):
        return image
    try:
        array = np.asarray(image)
    except (ValueError, TypeError):
        array = np.empty((), object)
    if array.dtype.kind not in "uif" and array.dtype.name != "bfloat16":
        raise DTypeError(f"images must be arrays of pixels, not {type(image).__name__} of {array.dtype}")
    return array


def _refuse_masked(images: Any) -> None:
    if isinstance(images, np.ma.MaskedArray):
        raise DTypeError("masked pixels have no values: fill them first, with images.filled(0)")


def in_known_range(images: Any, value_range: tuple[float, float] | None = None) -> Any:
    """Return the pixels of an array as uint8, for `preprocess`, or as floats in [-1, 1].

    Args:
        images: integers from 0 to 255, or floats in [-1, 1].
        value_range: the values of black and white. Without it, floats that could be in [0, 1] are refused. A bright
            image from `preprocess` passes, since `preprocess` makes only 256 different values.

    Returns:
        uint8 from 0 to 255, or floats in [-1, 1], of the same shape.

    Raises:
        DTypeError: for integers outside 0 to 255, and for 16-bit integers, whose white is not known.
        ImageError: for floats that are not finite, outside the range, or perhaps in [0, 1].
        ConfigError: for a range that is not two numbers, black below white.
    """
    if not images.size or (images.dtype == np.uint8 and value_range is None):
        return images
    least, most = float(images.min()), float(images.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ImageError("the images hold numbers that are infinite or not a number: check how they were made")
    if value_range is not None:
        return _rescaled_from(value_range, images, least, most)
    found = f"these go from {least:.4g} to {most:.4g}"
    if images.dtype.kind in "ui":
        if least < 0 or most > 255 or images.dtype.itemsize == 2:
            raise DTypeError(
                f"integer pixels must be from 0 to 255 and not of 16 bits: {found} ({images.dtype}); give the numbers "
                "for black and white, value_range=(0, 65535)"
            )
        return images.astype(np.uint8)
    if least < -1.001 or most > 1.001:
        raise ImageError(f"float images must be in [-1, 1]: {found}; pass uint8 pixels, or value_range=(black, white)")
    if least >= NEGATIVE:
        codes = images.astype(np.float32) * 127.5 + 127.5
        if float(abs(codes - codes.round()).max()) > (0.1 if images.dtype.itemsize == 2 else 0.01):
            raise ImageError(
                f"float images must be in [-1, 1], and {found}: pass uint8 pixels, or value_range=(0, 1) if that is "
                "their range, (-1, 1) if they are bright"
            )
    return images


def _rescaled_from(value_range: tuple[float, float], images: Any, least: float, most: float) -> Any:
    """Return images rescaled from (black, white) to [-1, 1]; they go from `least` to `most`."""
    try:
        black, white = (float(value) for value in value_range)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"value_range must be two numbers, black and white, not {value_range!r:.60}") from error
    if not (black < white and np.isfinite(white - black)):
        raise ConfigError(f"value_range must be two numbers, black below white, not {value_range!r:.60}")
    margin = 0.001 * (white - black)
    if least < black - margin or most > white + margin:
        raise ImageError(f"the images go from {least:.4g} to {most:.4g}, outside value_range=({black:g}, {white:g})")
    if (black, white) == (-1.0, 1.0):
        return images
    dtype = images.dtype if images.dtype.kind == "f" and images.dtype.itemsize > 2 else np.float32
    return (images.astype(dtype) - black) * (2.0 / (white - black)) - 1.0
