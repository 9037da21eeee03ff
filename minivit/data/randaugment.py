"""RandAugment (arXiv 1909.13719): a few operations, drawn at random from fourteen, all with the same magnitude.

The magnitude M is on the paper's scale, from 0 (no change) to 10 (the largest). torchvision and many papers use a scale
from 0 to 30, which is three times this one. At M = 10, the ranges are those of AutoAugment (arXiv 1805.09501, Table 6):
shear by 0.3; shift by 0.45 of a side; rotate by 30 degrees; multiply colour, contrast, brightness and sharpness by 0.1
or 1.9; keep 4 bits per channel; invert all values. An operation with two directions takes each with probability 1/2.
Pixels from outside the image are grey.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, ShapeError
from ..utils.integers import integer
from .augment import Augmentation

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 10  # M
GREY = (128, 128, 128)  # 0 to the network

# A function of an image, a strength from 0 to 1, and a direction of -1 or 1.
Operation = Callable[["Image.Image", float, int], "Image.Image"]


def rand_augment(operations: int = 2, magnitude: float = 10) -> Augmentation:
    """Return an augmentation that applies random operations to each image in turn; an operation may be repeated.

    Args:
        operations: N, the number of operations for each image.
        magnitude: M, from 0 to 10.

    Raises:
        ConfigError: if `operations` is below 1 or `magnitude` is outside its range.
        ShapeError: from the augmentation, if the images do not have 3 channels.
    """
    operations = integer("randaugment's number of operations, each of a magnitude from 0 to 10,", operations, 1)
    if not 0 <= magnitude <= LARGEST:
        raise ConfigError(
            f"randaugment must be N,M: N operations, 1 or more, each of magnitude M from 0 to {LARGEST}, not "
            f"{operations},{magnitude:g}"
        )
    strength = magnitude / LARGEST
    names = tuple(OPERATIONS)

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from PIL import Image

        if images.shape[3] != 3:
            raise ShapeError(f"RandAugment takes images of 3 channels, not {images.shape[3]}")
        chosen = rng.integers(len(names), size=(len(images), operations))
        directions = rng.choice([-1, 1], size=(len(images), operations))
        augmented = np.empty_like(images)
        for i, pixels in enumerate(images):
            image = Image.fromarray(pixels)
            for which, direction in zip(chosen[i], directions[i], strict=True):
                image = OPERATIONS[names[which]](image, strength, int(direction))
            augmented[i] = np.asarray(image)
        return augmented

    return augment


def parse_randaugment(text: str) -> tuple[int, float]:
    """Return N and M from a text: (2, 9.0) from "2,9"; raise ConfigError if it has another form."""
    count, _, magnitude = text.partition(",")
    try:
        return int(count), float(magnitude)
    except ValueError as error:
        raise ConfigError(
            f"randaugment must be N,M, as in 2,9: N operations of magnitude M, or none, not {text!r}"
        ) from error


# -- the fourteen operations ----------------------------------------------------------------------------


def _identity(image: Image.Image, strength: float, direction: int) -> Image.Image:
    return image


def _autocontrast(image: Image.Image, strength: float, direction: int) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def _equalize(image: Image.Image, strength: float, direction: int) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.equalize(image)


def _solarize(image: Image.Image, strength: float, direction: int) -> Image.Image:
    """Invert the values at or above a threshold, which decreases from 256 to 0 with the strength."""
    from PIL import ImageOps

    return ImageOps.solarize(image, round(256 * (1 - strength)))


def _posterize(image: Image.Image, strength: float, direction: int) -> Image.Image:
    """Keep the upper bits of each channel: eight at strength 0, four at strength 1."""
    from PIL import ImageOps

    return ImageOps.posterize(image, 8 - round(4 * strength))


def _enhance(name: str) -> Operation:
    """Return an operation that decreases or increases colour, contrast, brightness or sharpness."""

    def operation(image: Image.Image, strength: float, direction: int) -> Image.Image:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(image).enhance(1 + direction * 0.9 * strength)

    return operation


def _rotate(image: Image.Image, strength: float, direction: int) -> Image.Image:
    from PIL import Image

    return image.rotate(direction * 30 * strength, Image.Resampling.BILINEAR, fillcolor=GREY)


def _affine(image: Image.Image, *row: float) -> Image.Image:
    """Transform an image: pixel (x, y) of the result is pixel (a x + b y + c, d x + e y + f) of the image."""
    from PIL import Image

    return image.transform(
        image.size, Image.Transform.AFFINE, row, Image.Resampling.BILINEAR, fillcolor=GREY
    )  # fmt: skip


def _shear_x(image: Image.Image, strength: float, direction: int) -> Image.Image:
    """Shift each row sideways, in proportion to its distance from the middle row."""
    shear = direction * 0.3 * strength
    return _affine(image, 1, shear, -shear * image.height / 2, 0, 1, 0)


def _shear_y(image: Image.Image, strength: float, direction: int) -> Image.Image:
    shear = direction * 0.3 * strength
    return _affine(image, 1, 0, 0, shear, 1, -shear * image.width / 2)


def _translate_x(image: Image.Image, strength: float, direction: int) -> Image.Image:
    return _affine(image, 1, 0, direction * 0.45 * strength * image.width, 0, 1, 0)


def _translate_y(image: Image.Image, strength: float, direction: int) -> Image.Image:
    return _affine(image, 1, 0, 0, 0, 1, direction * 0.45 * strength * image.height)


OPERATIONS: dict[str, Operation] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _enhance("Color"),
    "posterize": _posterize,
    "contrast": _enhance("Contrast"),
    "brightness": _enhance("Brightness"),
    "sharpness": _enhance("Sharpness"),
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
