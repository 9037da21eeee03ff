"""Augmentation: random changes of training images that keep their labels right.

An augmentation is a function of a batch of uint8 images (B, H, W, C) and a random generator. It returns a new batch and
never changes its argument. Different random numbers are drawn for each image of the batch. The augmentations that
determine the size (`resize`, `random_resized_crop`) also take images of different sizes: a sequence of arrays
(H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..images.decoding import Images, channels_of, resize_batch, resize_image
from ..images.fitting import fit_batch
from ..preprocessing import Preprocessing
from ..utils.integers import integer

# From the images of a batch (an array or Images) and a generator of random numbers to an array.
Augmentation = Callable[[Any, np.random.Generator], np.ndarray]


def resize(size: int | tuple[int, int]) -> Augmentation:
    """Return an augmentation that resizes each image (bilinear) without keeping its aspect ratio, as for test images.

    Nothing in it is random.

    Args:
        size: an integer or (height, width), in pixels. An array of images of this size is returned unchanged.

    Raises:
        ConfigError: if a side is below 1.
    """
    height, width = sides(size)

    def augment(images: Images, rng: np.random.Generator) -> np.ndarray:
        return resize_batch(images, height, width)

    return augment


def fit(size: int | tuple[int, int], preprocessing: Preprocessing) -> Augmentation:
    """Return an augmentation that resizes and crops each image as weights expect test images. Nothing in it is random.

    Args:
        size: an integer or (height, width) of the result, in pixels.
        preprocessing: of the weights.

    Raises:
        ConfigError: if a side is below 1.
    """
    height, width = sides(size)

    def augment(images: Images, rng: np.random.Generator) -> np.ndarray:
        return fit_batch(images, height, width, preprocessing)

    return augment


def random_resized_crop(
    size: int | tuple[int, int],
    area: tuple[float, float] = (0.05, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Augmentation:
    """Return an augmentation that cuts a random box out of each image and resizes it (bilinear).

    The authors fine-tune with it. If no box fits in ten tries, for example in a very long image, the largest central
    box that `ratio` allows is taken.

    Args:
        size: an integer or (height, width) of the result, in pixels.
        area: the smallest and largest area of the box, as a share of the image's area; uniform between them.
        ratio: the smallest and largest ratio of the box's width to its height; the logarithm is uniform.

    Raises:
        ConfigError: if a side is below 1 or a range is empty.
    """
    height, width = sides(size)
    _check_ranges("random_resized_crop", area, ratio)

    def augment(images: Images, rng: np.random.Generator) -> np.ndarray:
        boxes = RandomBoxes(len(images), area, ratio, rng)
        crops = np.empty((len(images), height, width, channels_of(images)), np.uint8)
        for i, image in enumerate(images):
            rows, columns, _ = image.shape
            top, left, h, w = boxes.box(i, rows, columns) or _middle(rows, columns, ratio)
            crops[i] = resize_image(image[top : top + h, left : left + w], height, width)
        return crops

    return augment


def _middle(height: int, width: int, ratio: tuple[float, float]) -> Box:
    """Return the largest central box of an image whose ratio of width to height is allowed."""
    h = max(1, min(height, round(width / ratio[0])))
    w = max(1, min(width, round(height * ratio[1])))
    return (height - h) // 2, (width - w) // 2, h, w


def standard(padding: int = 4) -> Augmentation:
    """Return the usual augmentation for CIFAR: shift each image by up to `padding` pixels, then mirror half of them.

    Args:
        padding: the largest shift in each direction, in pixels.

    Raises:
        ConfigError: if `padding` is negative.
    """
    padding = integer("the padding of an augmentation", padding, 0)

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return flip(pad_and_crop(images, padding, rng), rng)

    return augment


def jitter_colors(amount: float) -> Augmentation:
    """Return an augmentation that changes brightness, contrast and saturation of each image, in random order.

    Each is multiplied by a factor drawn between 1 - `amount` and 1 + `amount`.

    Args:
        amount: from 0 to 1.

    Raises:
        ConfigError: if `amount` is outside its range.
        ShapeError: from the augmentation, if the images do not have 3 channels.
    """
    if not 0 <= amount <= 1:
        raise ConfigError(f"color-jitter must be from 0 to 1, not {amount!r}")

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from PIL import Image, ImageEnhance

        if images.shape[3] != 3:
            raise ShapeError(f"color-jitter takes images of 3 channels, not {images.shape[3]}")
        changes = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        jittered = np.empty_like(images)
        for i, pixels in enumerate(images):
            image, factors = Image.fromarray(pixels), rng.uniform(1 - amount, 1 + amount, len(changes))
            for which in rng.permutation(len(changes)):
                image = changes[which](image).enhance(factors[which])
            jittered[i] = np.asarray(image)
        return jittered

    return augment


def pad_and_crop(images: np.ndarray, padding: int, rng: np.random.Generator) -> np.ndarray:
    """Pad each image with black pixels, then crop it at a random place to its old size.

    Args:
        images: (B, H, W, C).
        padding: the number of pixels on each side; the (2 * padding + 1) ** 2 crops are equally likely.
        rng: the random generator.

    Returns:
        A new array (B, H, W, C).

    Raises:
        ConfigError: if `padding` is negative.
    """
    padding = integer("the padding of an augmentation", padding, 0)
    count, height, width, channels = images.shape
    top, left = rng.integers(0, 2 * padding + 1, size=(2, count))  # (B,) each

    padded_shape = (count, height + 2 * padding, width + 2 * padding, channels)
    padded = np.zeros(padded_shape, images.dtype)
    padded[:, padding : padding + height, padding : padding + width] = images

    # All possible crops, one for each (image, top, left), as a view that copies nothing.
    crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    chosen = crops[np.arange(count), top, left]  # (B, C, H, W)
    return np.ascontiguousarray(chosen.transpose(0, 2, 3, 1))  # (B, H, W, C)


def flip(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror each image left to right with probability 1/2.

    Args:
        images: (B, H, W, C).
        rng: the random generator.

    Returns:
        A new array (B, H, W, C).
    """
    mirrored = rng.random(len(images)) < 0.5  # (B,)
    flipped = images.copy()
    flipped[mirrored] = images[mirrored, :, ::-1]
    return flipped


def random_erasing(
    probability: float, area: tuple[float, float] = (0.02, 0.4), ratio: tuple[float, float] = (0.3, 1 / 0.3)
) -> Augmentation:
    """Return an augmentation that covers a box of some images with random colours (random erasing, arXiv 1708.04896).

    If no box fits in ten tries, the image is unchanged.

    Args:
        probability: the probability that an image gets a box.
        area, ratio: the ranges of the box's area and ratio, as in `random_resized_crop`. [default: the paper's]

    Raises:
        ConfigError: if the probability is not from 0 to 1, or a range is empty.
    """
    if not 0 <= probability <= 1:
        raise ConfigError(f"the probability of random erasing must be from 0 to 1, not {probability}")
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


# -- random boxes ---------------------------------------------------------------------------------------

Box = tuple[int, int, int, int]  # top, left, height, width
TRIES = 10


class RandomBoxes:
    """A random box for each image of a batch: TRIES areas and ratios, and a place.

    All random numbers are drawn in `__init__`, so the box of an image does not depend on the sizes of the others.

    Args:
        count: the number of images, B.
        area: the smallest and largest share of the image's area.
        ratio: the smallest and largest ratio of width to height.
        rng: the random generator.
    """

    def __init__(
        self, count: int, area: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
    ) -> None:
        self.shares = rng.uniform(*area, (count, TRIES))
        self.ratios = np.exp(rng.uniform(np.log(ratio[0]), np.log(ratio[1]), (count, TRIES)))
        self.places = rng.random((count, 2))

    def box(self, i: int, height: int, width: int) -> Box | None:
        """Return the box of image `i`, which has this height and width in pixels; None if no try fits."""
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
            f"{area} and {ratio}"
        )


# -- combinations ---------------------------------------------------------------------------------------


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) from an integer or a pair, in pixels; raise ConfigError if a side is below 1."""
    both = size if isinstance(size, tuple | list) else (size, size)
    if len(both) != 2:
        raise ConfigError(f"the size of an image must be an integer or (height, width), not {size}")
    height, width = (integer("the size of an image in pixels", side, 1) for side in both)
    return height, width


def chain(*augmentations: Augmentation) -> Augmentation:
    """Return the augmentation that applies these in turn, with random numbers from the same generator."""

    def augment(images: Images, rng: np.random.Generator) -> np.ndarray:
        for each in augmentations:
            images = each(images, rng)
        return np.asarray(images)

    return augment


def resized_standard(size: int | tuple[int, int]) -> Augmentation:
    """Return `resize`, then `standard` with an eighth of the shorter side as padding: 4 pixels at CIFAR's 32."""
    return chain(resize(size), standard(min(sides(size)) // 8))


def crop_and_flip(size: int | tuple[int, int]) -> Augmentation:
    """Return `random_resized_crop`, then `flip`: the augmentation of the authors' fine-tuning."""
    return chain(random_resized_crop(size), flip)


def gentle_crop_and_flip(size: int | tuple[int, int]) -> Augmentation:
    """Return `random_resized_crop` to half of the area or more, then `flip`, for few images."""
    return chain(random_resized_crop(size, area=(0.5, 1.0)), flip)


# The choices of `--augment`: from the image size to an augmentation.
AUGMENTATIONS: dict[str, Callable[[int | tuple[int, int]], Augmentation]] = {
    "none": resize,
    "standard": resized_standard,
    "crop": crop_and_flip,
    "gentle": gentle_crop_and_flip,
}
CROPS = ("crop", "gentle")  # they take a box of the image as it is, before it is resized
