"""RandAugment (arXiv 1909.13719): a few operations, drawn from fourteen, all of one strength.

The magnitude M is on the paper's scale, from 0 (nothing happens) to 10 (the most). Other programs count differently:
the 0 to 30 of torchvision and of many papers is three times this. At 10, the ranges are those of AutoAugment (arXiv
1805.09501, Table 6): shear by 0.3, shift by 0.45 of a side, turn by 30 degrees, colour, contrast, brightness and
sharpness times 0.1 or 1.9, 4 bits left, everything inverted. What has a direction takes either one with probability
1/2; what comes into the image from outside is grey.
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

# An image, a strength from 0 to 1, a direction of -1 or 1.
Operation = Callable[["Image.Image", float, int], "Image.Image"]


def rand_augment(operations: int = 2, magnitude: float = 10) -> Augmentation:
    """Do `operations` of the fourteen to each image, one after the other; the same one may come again.

    operations, magnitude: the paper's N, and M from 0 to 10.

    Raises ConfigError for fewer than one operation or another magnitude; ShapeError, when it is used, for images
    that have not three channels.
    """
    operations = integer("randaugment's number of operations, each of a magnitude from 0 to 10,", operations, 1)
    if not 0 <= magnitude <= LARGEST:
        raise ConfigError(
            f"randaugment must be N,M: N operations, 1 or more, each of magnitude M from 0 to {LARGEST}, not "
            f"{operations},{magnitude:g}."
        )
    strength = magnitude / LARGEST
    names = tuple(OPERATIONS)

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from PIL import Image

        if images.shape[3] != 3:
            raise ShapeError(f"RandAugment takes images of 3 channels, not {images.shape[3]}.")
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
    """(2, 9.0) from "2,9". Raises ConfigError if it is not of that form."""
    count, _, magnitude = text.partition(",")
    try:
        return int(count), float(magnitude)
    except ValueError as error:
        raise ConfigError(f"randaugment must be N,M, as in 2,9: N operations of magnitude M, not {text!r}") from error


# -- the fourteen ---------------------------------------------------------------------------------------


def _identity(image: Image.Image, strength: float, direction: int) -> Image.Image:
    return image


def _autocontrast(image: Image.Image, strength: float, direction: int) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def _equalize(image: Image.Image, strength: float, direction: int) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.equalize(image)


def _solarize(image: Image.Image, strength: float, direction: int) -> Image.Image:
    """Invert what is at least as light as a threshold, which falls from 256 to 0."""
    from PIL import ImageOps

    return ImageOps.solarize(image, round(256 * (1 - strength)))


def _posterize(image: Image.Image, strength: float, direction: int) -> Image.Image:
    """Keep the upper bits of each channel: from all eight to four."""
    from PIL import ImageOps

    return ImageOps.posterize(image, 8 - round(4 * strength))


def _enhance(name: str) -> Operation:
    """Away from, or beyond, an image without colour, contrast, light or sharpness."""

    def operation(image: Image.Image, strength: float, direction: int) -> Image.Image:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(image).enhance(1 + direction * 0.9 * strength)

    return operation


def _rotate(image: Image.Image, strength: float, direction: int) -> Image.Image:
    from PIL import Image

    return image.rotate(direction * 30 * strength, Image.Resampling.BILINEAR, fillcolor=GREY)


def _affine(image: Image.Image, *row: float) -> Image.Image:
    """Pixel (x, y) of the result is at (a x + b y + c, d x + e y + f) of the image."""
    from PIL import Image

    return image.transform(
        image.size, Image.Transform.AFFINE, row, Image.Resampling.BILINEAR, fillcolor=GREY
    )  # fmt: skip


def _shear_x(image: Image.Image, strength: float, direction: int) -> Image.Image:
    """Push rows sideways, the more the farther they are from the middle row."""
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
