"""The training augmentation that the options of `minivit train` describe."""

from __future__ import annotations

from .augment import AUGMENTATIONS, Augmentation, chain, random_erasing
from .randaugment import parse_randaugment, rand_augment


def training_augmentation(
    name: str, size: int | tuple[int, int], randaugment: str = "", erasing: float = 0.0
) -> Augmentation:
    """Return an augmentation that changes images of any size at random and resizes them to one size.

    Args:
        name: a name in AUGMENTATIONS, whose augmentation comes first and resizes.
        size: an integer or (height, width), in pixels.
        randaugment: "N,M" for N operations of magnitude M, which come second; "" for none.
        erasing: the probability that a box is then erased.

    Raises:
        ConfigError: if an argument is outside its range.
    """
    steps = [AUGMENTATIONS[name](size)]
    if randaugment:
        steps.append(rand_augment(*parse_randaugment(randaugment)))
    if erasing:
        steps.append(random_erasing(erasing))
    return chain(*steps)
