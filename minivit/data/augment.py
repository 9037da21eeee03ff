"""Augmentation: training pictures, changed at random in ways that leave their labels true.

An augmentation is a function of a batch of uint8 images (B, H, W, C) and a random generator; it returns a
new batch of the same shape and never changes the one it was given. All images of a batch are treated in
one go, each with random numbers of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minivit.errors import ConfigError

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


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


AUGMENTATIONS: dict[str, Augmentation | None] = {"none": None, "standard": standard()}
