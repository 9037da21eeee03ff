"""Augmentation: training images, changed at random in ways that leave their labels true.

An augmentation is a function of a batch of uint8 images (B, H, W, C) and a random generator; it returns a
new batch and never changes the one it was given. Each image of a batch has random numbers of its own. Those that
settle the size (`resize`, `random_resized_crop`) also take a batch of images of many sizes: a sequence of arrays
(H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..utils.integers import integer
from .image_files import Images, resize_batch, resize_image

Augmentation = Callable[[Any, np.random.Generator], np.ndarray]  # the Any: an array, or Images


def resize(size: int | tuple[int, int]) -> Augmentation:
    """Resize each image (bilinear), whatever its aspect: how test images are treated. Nothing is random.

    size: in pixels; one number, or (height, width). An array of images of that size is returned as it is.
    Raises ConfigError for a side below 1.
    """
    height, width = sides(size)

    def augment(images: Images, rng: np.random.Generator) -> np.ndarray:
        return resize_batch(images, height, width)

    return augment


def random_resized_crop(
    size: int | tuple[int, int],
    area: tuple[float, float] = (0.05, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Augmentation:
    """Cut a box out of each image and resize it (bilinear): how the authors train when they fine-tune.

    size:  of the result, in pixels; one number, or (height, width).
    area:  of the box, as a share of the image's; every share between the two is equally likely.
    ratio: of the box's width to its height; its logarithm is uniform.

    An image in which no box fits in ten tries (it is very long, say) gives its middle, as large as `ratio` allows.
    Raises ConfigError for a side below 1 or an empty range.
    """
    height, width = sides(size)
    _check_ranges("random_resized_crop", area, ratio)

    def augment(images: Images, rng: np.random.Generator) -> np.ndarray:
        boxes = RandomBoxes(len(images), area, ratio, rng)
        channels = images.shape[3] if isinstance(images, np.ndarray) else 3
        crops = np.empty((len(images), height, width, channels), np.uint8)
        for i, image in enumerate(images):
            rows, columns, _ = image.shape
            top, left, h, w = boxes.box(i, rows, columns) or _middle(rows, columns, ratio)
            crops[i] = resize_image(image[top : top + h, left : left + w], height, width)
        return crops

    return augment


def _middle(height: int, width: int, ratio: tuple[float, float]) -> Box:
    """The largest box in the middle of an image whose ratio of width to height is allowed."""
    h = max(1, min(height, round(width / ratio[0])))
    w = max(1, min(width, round(height * ratio[1])))
    return (height - h) // 2, (width - w) // 2, h, w


def standard(padding: int = 4) -> Augmentation:
    """What is usual for CIFAR: shift each image by up to `padding` pixels, and mirror every second one.

    Raises ConfigError if `padding` is negative.
    """
    padding = integer("the padding of an augmentation", padding, 0)

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return flip(pad_and_crop(images, padding, rng), rng)

    return augment


def pad_and_crop(images: np.ndarray, padding: int, rng: np.random.Generator) -> np.ndarray:
    """Surround each image by `padding` black pixels, then cut the old size out at a place of its own.

    images: (B, H, W, C). Every one of the (2 * padding + 1) ** 2 places is equally likely.
    Raises ConfigError if `padding` is negative.
    """
    padding = integer("the padding of an augmentation", padding, 0)
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


def random_erasing(
    probability: float, area: tuple[float, float] = (0.02, 0.4), ratio: tuple[float, float] = (0.3, 1 / 0.3)
) -> Augmentation:
    """Cover a box of some images with noise, each pixel any colour (random erasing, arXiv 1708.04896).

    probability: that an image has a box.
    area, ratio: of the box, as in `random_resized_crop`; the ranges are the paper's. Where none fits in ten tries,
                 there is no box.

    Raises ConfigError for a probability outside 0 to 1 or an empty range.
    """
    if not 0 <= probability <= 1:
        raise ConfigError(f"The probability of random erasing must be from 0 to 1, not {probability}.")
    _check_ranges("random_erasing", area, ratio)

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        count, height, width, channels = images.shape
        chosen = rng.random(count) < probability  # (B,)
        boxes = RandomBoxes(count, area, ratio, rng)
        erased = images.copy()
        for i in range(count):
            if chosen[i] and (box := boxes.box(i, height, width)):
                top, left, h, w = box
                erased[i, top : top + h, left : left + w] = rng.integers(0, 256, (h, w, channels), np.uint8)
        return erased

    return augment


# -- boxes at random ------------------------------------------------------------------------------------

Box = tuple[int, int, int, int]  # top, left, height, width
TRIES = 10


class RandomBoxes:
    """A box for each image of a batch: several tries at an area and a ratio, and a place.

    All is drawn before any image is looked at, so that one image's size plays no part in the next one's box.
    """

    def __init__(
        self, count: int, area: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
    ) -> None:
        self.shares = rng.uniform(*area, (count, TRIES))
        self.ratios = np.exp(rng.uniform(np.log(ratio[0]), np.log(ratio[1]), (count, TRIES)))
        self.places = rng.random((count, 2))

    def box(self, i: int, height: int, width: int) -> Box | None:
        """The box of image i, of this height and width; None if no try fits."""
        pixels = height * width * self.shares[i]  # (TRIES,)
        heights = np.rint(np.sqrt(pixels / self.ratios[i])).astype(int)
        widths = np.rint(np.sqrt(pixels * self.ratios[i])).astype(int)
        fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
        if not fits.any():
            return None
        h, w = int(heights[fits.argmax()]), int(widths[fits.argmax()])
        down, across = self.places[i]
        return int(down * (height - h + 1)), int(across * (width - w + 1)), h, w


def _check_ranges(name: str, area: tuple[float, float], ratio: tuple[float, float]) -> None:
    if not (0 < area[0] <= area[1] <= 1 and 0 < ratio[0] <= ratio[1]):
        raise ConfigError(
            f"{name} takes an area as (least, most) above 0 and up to 1, and a ratio as (least, most) above 0, not "
            f"{area} and {ratio}."
        )


# -- putting them together ------------------------------------------------------------------------------


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width), from one number or both. Raises ConfigError for a side below 1."""
    both = size if isinstance(size, tuple | list) else (size, size)
    if len(both) != 2:
        raise ConfigError(f"The size of an image must be an integer or (height, width), not {size}.")
    height, width = (integer("The size of an image in pixels", side, 1) for side in both)
    return height, width


def chain(*augmentations: Augmentation) -> Augmentation:
    """One after the other, each with the next numbers of the same generator."""

    def augment(images: Images, rng: np.random.Generator) -> np.ndarray:
        for each in augmentations:
            images = each(images, rng)
        return np.asarray(images)

    return augment


def resized_standard(size: int | tuple[int, int]) -> Augmentation:
    """`resize`, then `standard` with an eighth of the shorter side as padding: 4 pixels at CIFAR's 32."""
    return chain(resize(size), standard(min(sides(size)) // 8))


def crop_and_flip(size: int | tuple[int, int]) -> Augmentation:
    """`random_resized_crop`, then `flip`: what the authors' fine-tuning does."""
    return chain(random_resized_crop(size), flip)


# What `--augment` calls them; each is made for one image size.
AUGMENTATIONS: dict[str, Callable[[int | tuple[int, int]], Augmentation]] = {
    "none": resize,
    "standard": resized_standard,
    "crop": crop_and_flip,
}
