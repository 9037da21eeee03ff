"""Mixing: combine two training images, and their labels, into one (mixup and CutMix).

A mixing is a function of a batch of preprocessed images float32 (B, H, W, C), their labels int64 (B,) and a random
generator. It returns new images of the same shape and targets float32 (B, K), the share of each class. Each image is
paired with an image of the same batch. The share of the first image is lambda, drawn from Beta(alpha, alpha) once for
the whole batch, as in the papers' code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import ConfigError

# From images (B, H, W, C), labels (B,) and a generator of random numbers to mixed images and targets (B, K).
Mixing = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def mixup(alpha: float, num_classes: int) -> Mixing:
    """Return a mixing that averages two images with the weights lambda and 1 - lambda (mixup, arXiv 1710.09412).

    Args:
        alpha: 0.2 changes most images little; with 1, lambda is uniform in [0, 1].
        num_classes: K.

    Raises:
        ConfigError: if `alpha` is not above 0.
    """
    _check_alpha("mixup", alpha)

    def mix(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        share = np.float32(rng.beta(alpha, alpha))
        others = rng.permutation(len(images))
        mixed = images[others]
        mixed *= 1 - share
        mixed += share * images
        return mixed, _mixed_targets(labels, others, share, num_classes)

    return mix


def cutmix(alpha: float, num_classes: int) -> Mixing:
    """Return a mixing that pastes a box of one image into another (CutMix, arXiv 1905.04899).

    The box has the aspect ratio of the images and the share 1 - lambda of their area, and is clipped at the edges. The
    targets are the shares of the area after clipping.

    Args:
        alpha: the paper uses 1, for which lambda is uniform in [0, 1].
        num_classes: K.

    Raises:
        ConfigError: if `alpha` is not above 0.
    """
    _check_alpha("cutmix", alpha)

    def mix(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        _, height, width, _ = images.shape
        side = np.sqrt(1 - rng.beta(alpha, alpha))  # of the box, as a share of the image's side
        middle = rng.random(2)
        others = rng.permutation(len(images))

        rows, columns = _span(middle[0], side, height), _span(middle[1], side, width)
        mixed = images.copy()
        mixed[:, rows, columns] = images[others, rows, columns]
        pasted = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        return mixed, _mixed_targets(labels, others, np.float32(1 - pasted), num_classes)

    return mix


def mixing(mixup_alpha: float, cutmix_alpha: float, num_classes: int) -> Mixing | None:
    """Return mixup, CutMix, or both in turn: each batch gets one of them with probability 1/2.

    Args:
        mixup_alpha, cutmix_alpha: alpha of each; 0 leaves it out.
        num_classes: K.

    Returns:
        The mixing, or None if both are left out.
    """
    mixings = [make(alpha, num_classes) for make, alpha in ((mixup, mixup_alpha), (cutmix, cutmix_alpha)) if alpha]
    if len(mixings) < 2:
        return mixings[0] if mixings else None

    def mix(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return mixings[rng.integers(2)](images, labels, rng)

    return mix


def _span(middle: float, side: float, length: int) -> slice:
    """Return the pixels of a box along one side of an image: centred at `middle`, clipped at the edges."""
    half = side * length / 2
    return slice(max(0, round(middle * length - half)), min(length, round(middle * length + half)))


def _mixed_targets(labels: np.ndarray, others: np.ndarray, share: np.float32, num_classes: int) -> np.ndarray:
    """Return targets float32 (B, K): `share` for the class of the image, the rest for the class of its partner."""
    targets = np.zeros((len(labels), num_classes), np.float32)
    every = np.arange(len(labels))
    targets[every, labels] = share
    targets[every, labels[others]] += 1 - share  # added, since both may have the same class
    return targets


def _check_alpha(name: str, alpha: float) -> None:
    if not 0 < alpha < np.inf:
        raise ConfigError(f"the alpha of {name} must be above 0, not {alpha}")
