"""Bring images to a model's size as its weights' preprocessing says: resize, then crop at the centre."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..preprocessing import Preprocessing
from .decoding import Images, channels_of, decode_image, resize_image

RATIO = 100  # of the longer side of an image to its shorter one


def read_fitted(path: str | Path, height: int, width: int, preprocessing: Preprocessing) -> np.ndarray:
    """Return the image in a file as a model gets it: uint8 (height, width, 3).

    Args:
        path: the file.
        height, width: the model's image size, in pixels.
        preprocessing: of the model's weights.

    Raises:
        ImageError, OutOfMemory: as `decode_image`.
    """
    return fit_image(decode_image(path), height, width, preprocessing)


def fit_image(pixels: np.ndarray, height: int, width: int, preprocessing: Preprocessing) -> np.ndarray:
    """Resize and crop an image to (height, width, C); where the crop is larger than the image, black is added.

    Args:
        pixels: uint8 (H, W, C).
        height, width: the model's image size, in pixels.
        preprocessing: of the model's weights.
    """
    pixels = _without_far_ends(pixels, preprocessing.resize)
    rows, columns, _ = pixels.shape
    rows, columns = preprocessing.size_of_resized(rows, columns, height, width)
    pixels = resize_image(pixels, rows, columns, preprocessing.interpolation)
    if (rows, columns) == (height, width):
        return pixels
    top, left = preprocessing.corner_of_crop(rows, columns, height, width)
    kept = pixels[max(0, top) : max(0, top) + height, max(0, left) : max(0, left) + width]
    if kept.shape[:2] == (height, width):
        return np.ascontiguousarray(kept)
    padded = np.zeros((height, width, pixels.shape[2]), np.uint8)
    down, across = max(0, -top), max(0, -left)
    padded[down : down + kept.shape[0], across : across + kept.shape[1]] = kept
    return padded


def _without_far_ends(pixels: np.ndarray, resize: str) -> np.ndarray:
    """Return an image of at most RATIO times its shorter side: the crop keeps the centre, and the rest takes memory."""
    rows, columns, _ = pixels.shape
    most = RATIO * min(rows, columns)
    if resize == "exact" or max(rows, columns) <= most:
        return pixels
    top, left = max(0, rows - most) // 2, max(0, columns - most) // 2
    return pixels[top : top + most, left : left + most]


def fit_batch(images: Images, height: int, width: int, preprocessing: Preprocessing) -> np.ndarray:
    """Resize and crop every image of a batch with `fit_image`, one at a time, to uint8 (B, height, width, C).

    An array of images that need no change is returned unchanged.
    """
    if isinstance(images, np.ndarray):
        _, rows, columns, _ = images.shape
        if (rows, columns) == (height, width) == preprocessing.size_of_resized(rows, columns, height, width):
            return images
    fitted = np.empty((len(images), height, width, channels_of(images)), np.uint8)
    for i, image in enumerate(images):
        fitted[i] = fit_image(image, height, width, preprocessing)
    return fitted
