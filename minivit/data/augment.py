"""Augmentation: training pictures, changed at random in ways that leave their labels true.

An augmentation is a function of a batch of uint8 images (B, H, W, C) and a random generator; it returns a
new batch and never changes the one it was given. Each image of a batch has random numbers of its own. Those that
settle the size (`resize`) also take a batch of pictures of many sizes: a sequence of arrays (H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minivit.data.pictures import Pictures, resize_batch
from minivit.errors import ConfigError

Augmentation = Callable[[Any, np.random.Generator], np.ndarray]  # the Any: an array, or Pictures


def resize(size: int | tuple[int, int]) -> Augmentation:
    """Resize each picture (bilinear), whatever its aspect: how test pictures are treated. Nothing is random.

    size: in pixels; one number, or (height, width). An array of images of that size is returned as it is.
    Raises ConfigError for a side below 1.
    """
    height, width = sides(size)

    def augment(images: Pictures, rng: np.random.Generator) -> np.ndarray:
        return resize_batch(images, height, width)

    return augment


def standard(padding: int = 4) -> Augmentation:
    """What is usual for CIFAR: shift each image by up to `padding` pixels, and mirror every second one.

    Raises ConfigError if `padding` is negative.
    """
    _check_padding(padding)

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return flip(pad_and_crop(images, padding, rng), rng)

    return augment


def pad_and_crop(images: np.ndarray, padding: int, rng: np.random.Generator) -> np.ndarray:
    """Surround each image by `padding` black pixels, then cut the old size out at a place of its own.

    images: (B, H, W, C). Every one of the (2 * padding + 1) ** 2 places is equally likely.
    Raises ConfigError if `padding` is negative.
    """
    _check_padding(padding)
    count, height, width, channels = images.shape
    top, left = rng.integers(0, 2 * padding + 1, size=(2, count))  # (B,) each

    padded_shape = (count, height + 2 * padding, width + 2 * padding, channels)
    padded = np.zeros(padded_shape, images.dtype)
    padded[:, padding : padding + height, padding : padding + width] = images

    # All crops that there are, as a view that copies nothing: one for each (image, top, left).
    crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    chosen = crops[np.arange(count), top, left]  # (B, C, H, W)
    return np.ascontiguousarray(chosen.transpose(0, 2, 3, 1))  # (B, H, W, C)


def flip(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror each image left to right with probability 1/2. images: (B, H, W, C)."""
    mirrored = rng.random(len(images)) < 0.5  # (B,)
    flipped = images.copy()
    flipped[mirrored] = images[mirrored, :, ::-1]
    return flipped


def _check_padding(padding: int) -> None:
    if padding < 0:
        raise ConfigError(f"The padding of an augmentation must be 0 or more pixels, not {padding}.")


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width), from one number or both. Raises ConfigError for a side below 1."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ConfigError(f"The size of an image must be 1 pixel or more each way, not {size}.")
    return height, width


def chain(*augmentations: Augmentation) -> Augmentation:
    """One after the other, each with the next numbers of the same generator."""

    def augment(images: Pictures, rng: np.random.Generator) -> np.ndarray:
        for each in augmentations:
            images = each(images, rng)
        return np.asarray(images)

    return augment


def resized_standard(size: int | tuple[int, int]) -> Augmentation:
    """`resize`, then `standard` with an eighth of the shorter side as padding: 4 pixels at CIFAR's 32."""
    return chain(resize(size), standard(min(sides(size)) // 8))


# What `--augment` calls them; each is made for one image size.
AUGMENTATIONS: dict[str, Callable[[int | tuple[int, int]], Augmentation]] = {
    "none": resize,
    "standard": resized_standard,
}
