"""Mixing: training images made of two, with a share of both labels.

A mixing is a function of a batch of preprocessed images float32 (B, H, W, C), their labels int64 (B,) and a random
generator; it returns new images of the same shape and targets float32 (B, K), the share of each class. Every image is
paired with one of the same batch, and the share of the first is one number lambda, drawn from Beta(alpha, alpha), for
the whole batch: as the papers' code does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import ConfigError

Mixing = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def mixup(alpha: float, num_classes: int) -> Mixing:
    """Fade two images into each other (mixup, arXiv 1710.09412).

    alpha: 0.2 leaves most images nearly alone, 1 makes every share equally likely.
    Raises ConfigError if it is not above 0.
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
    """Paste a box of one image into another (CutMix, arXiv 1905.04899).

    The box has the images' aspect and 1 - lambda of their area, before it is cut off at the edges; labels count by the
    area that is left.

    alpha: the paper uses 1, for which every area is equally likely.
    Raises ConfigError if it is not above 0.
    """
    _check_alpha("cutmix", alpha)

    def mix(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        _, height, width, _ = images.shape
        side = np.sqrt(1 - rng.beta(alpha, alpha))  # of the box, as a share of the image's
        middle = rng.random(2)
        others = rng.permutation(len(images))

        rows, columns = _span(middle[0], side, height), _span(middle[1], side, width)
        mixed = images.copy()
        mixed[:, rows, columns] = images[others, rows, columns]
        pasted = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        return mixed, _mixed_targets(labels, others, np.float32(1 - pasted), num_classes)

    return mix


def mixing(mixup_alpha: float, cutmix_alpha: float, num_classes: int) -> Mixing | None:
    """Mixup, CutMix, or, where both have an alpha above 0, either of them with probability 1/2; None if neither has."""
    ways = [way(alpha, num_classes) for way, alpha in ((mixup, mixup_alpha), (cutmix, cutmix_alpha)) if alpha]
    if len(ways) < 2:
        return ways[0] if ways else None

    def mix(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return ways[rng.integers(2)](images, labels, rng)

    return mix


def _span(middle: float, side: float, length: int) -> slice:
    """Where a box lies along one side of an image: around `middle`, cut off at the edges."""
    half = side * length / 2
    return slice(max(0, round(middle * length - half)), min(length, round(middle * length + half)))


def _mixed_targets(labels: np.ndarray, others: np.ndarray, share: np.float32, num_classes: int) -> np.ndarray:
    """`share` for the image's own class, the rest for that of its partner: float32 (B, K)."""
    targets = np.zeros((len(labels), num_classes), np.float32)
    every = np.arange(len(labels))
    targets[every, labels] = share
    targets[every, labels[others]] += 1 - share  # added: the two may be of one class
    return targets


def _check_alpha(name: str, alpha: float) -> None:
    if not 0 < alpha < np.inf:
        raise ConfigError(f"The alpha of {name} must be above 0, not {alpha}.")
