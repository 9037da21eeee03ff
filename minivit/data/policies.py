"""AutoAugment's policy for CIFAR-10 (arXiv 1805.09501) and TrivialAugment (arXiv 2103.10158).

Both apply the operations of `randaugment.py`. AutoAugment draws one of 25 pairs of operations that were found by a
search on CIFAR-10. TrivialAugment draws one operation and its strength, and has nothing to set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, ShapeError
from .augment import Augmentation
from .randaugment import OPERATIONS

if TYPE_CHECKING:
    from PIL import Image

Change = Callable[["Image.Image", np.random.Generator], "Image.Image"]

LARGEST_MAGNITUDE = 9  # of AutoAugment, whose magnitudes are 0 to 9
STRENGTHS = 31  # of TrivialAugment: equal steps from no change to the largest

# AutoAugment's pairs for CIFAR-10 (its appendix, Table 7): operation, probability, magnitude.
CIFAR10 = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)

# TrivialAugment's ranges ("TA Wide"), as multiples of RandAugment's: shear by 0.99, rotate by 135 degrees, enhance by
# 0.99, keep 2 bits. A shift is by up to 32 pixels, whatever the image's size.
WIDER = {
    "shear_x": 0.99 / 0.3, "shear_y": 0.99 / 0.3, "rotate": 135 / 30, "posterize": 6 / 4,
    "color": 1.1, "contrast": 1.1, "brightness": 1.1, "sharpness": 1.1,
}  # fmt: skip
LARGEST_SHIFT = 32  # pixels
SHIFT = 0.45  # of a side: RandAugment's largest


def auto_augment(policy: str = "cifar10") -> Augmentation:
    """Return an augmentation that applies a policy to each image (B, H, W, 3).

    Args:
        policy: "cifar10", AutoAugment's, or "trivial", TrivialAugment.

    Raises:
        ConfigError: for another policy.
        ShapeError: from the augmentation, if the images do not have 3 channels.
    """
    if policy not in POLICIES:
        raise ConfigError(f"auto-augment must be one of {', '.join(POLICIES)}, not {policy!r:.60}")
    change = POLICIES[policy]

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from PIL import Image

        if images.shape[3] != 3:
            raise ShapeError(f"auto-augment takes images of 3 channels, not {images.shape[3]}")
        return np.stack([np.asarray(change(Image.fromarray(pixels), rng)) for pixels in images])

    return augment


def _by_pairs(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Apply one of AutoAugment's pairs for CIFAR-10, each operation with its probability."""
    for name, probability, magnitude in CIFAR10[rng.integers(len(CIFAR10))]:
        happens, direction = rng.random() < probability, int(rng.choice([-1, 1]))
        if happens:
            strength = magnitude / LARGEST_MAGNITUDE
            image = _inverted(image) if name == "invert" else OPERATIONS[name](image, strength, direction)
    return image


def _trivially(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Apply one of fourteen operations with a strength drawn at random."""
    name = tuple(OPERATIONS)[rng.integers(len(OPERATIONS))]
    strength, direction = rng.integers(STRENGTHS) / (STRENGTHS - 1), int(rng.choice([-1, 1]))
    side = {"translate_x": image.width, "translate_y": image.height}.get(name)
    wider = WIDER.get(name, 1.0) if side is None else LARGEST_SHIFT / (SHIFT * side)
    return OPERATIONS[name](image, wider * strength, direction)


def _inverted(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.invert(image)


# The choices of `auto_augment`: how an image is changed, by the policy's name.
POLICIES: dict[str, Change] = {"cifar10": _by_pairs, "trivial": _trivially}
