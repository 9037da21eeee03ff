"""A map of values over an image: the image keeps its colours where the values are large, and fades to grey elsewhere.

A map in colours would hide the image; a map of brightness alone could be taken for the image's own light and dark.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FADED = 0.7  # the share of plain grey where a map is 0; the rest is the image without its colours
GREYS = (40, 120, 200)  # the plain grey is the one that differs most from the image
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green, blue


def spotlight(image: np.ndarray, values: np.ndarray, patch: int | None = None) -> np.ndarray:
    """Return an image that is unchanged at the largest value of a map, faded at 0, and between in proportion.

    Args:
        image: (H, W, C), uint8.
        values: (h, w), at least 0; each is for a rectangle of the image, such as a patch.
        patch: the side in pixels of the square that each value is for; the image is faded outside the squares.
            [default: the values divide the image]

    Returns:
        uint8 (H, W, 3).
    """
    (height, width), (rows, columns) = image.shape[:2], values.shape
    light = values / max(float(values.max()), np.finfo(np.float32).tiny)  # from 0 to 1
    light = np.pad(light, (0, 1))  # a row and a column of 0, for pixels that no patch covers
    light = light[_places(height, rows, patch)][:, _places(width, columns, patch), None]  # (H, W, 1)
    return np.rint(light * as_rgb(image) + (1 - light) * faded(image)).astype(np.uint8)


def _places(side: int, count: int, patch: int | None) -> np.ndarray:
    """Return the number of the value for each pixel along a side, `count` where there is none: (side,)."""
    pixels = np.arange(side)
    return pixels * count // side if patch is None else np.minimum(pixels // patch, count)


def faded(image: np.ndarray) -> np.ndarray:
    """Return an image in grey with little contrast, on the plain grey from which nine pixels of ten differ most.

    Args:
        image: (H, W, C), uint8.

    Returns:
        (H, W, 1), from 0 to 255.
    """
    brightness = as_rgb(image) @ np.array(LUMINANCE)  # (H, W)
    grey = max(GREYS, key=lambda grey: np.percentile(abs(brightness - grey), 10))
    return ((1 - FADED) * brightness + FADED * grey)[..., None]


def draw_spotlight(plot: Any, image: np.ndarray, values: np.ndarray | None = None, patch: int | None = None) -> None:
    """Draw an image, under the spotlight of a map if there is one.

    Args:
        plot: matplotlib axes.
        image: (H, W, C), uint8.
        values: (h, w), at least 0; None to draw the image alone.
        patch: as for `spotlight`.
    """
    plot.imshow(as_rgb(image) if values is None else spotlight(image, values, patch), interpolation="nearest")


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) as (H, W, 3); if C is not 3, the mean over channels is repeated."""
    channels = image.shape[-1]
    return image if channels == 3 else np.repeat(image.mean(-1, keepdims=True).astype(image.dtype), 3, axis=-1)
