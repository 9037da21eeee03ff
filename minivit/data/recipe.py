"""What the options of `minivit train` put together: one augmentation from several."""

from __future__ import annotations

from .augment import AUGMENTATIONS, Augmentation, chain, random_erasing
from .randaugment import parse_randaugment, rand_augment


def training_augmentation(
    name: str, size: int | tuple[int, int], randaugment: str = "", erasing: float = 0.0
) -> Augmentation:
    """Images of any size to images of one, changed at random.

    name:        of AUGMENTATIONS; it settles the size.
    size:        in pixels; one number, or (height, width).
    randaugment: "N,M" for N operations of magnitude M afterwards, or "".
    erasing:     the probability that a box is then erased.

    Raises ConfigError as the augmentations do.
    """
    steps = [AUGMENTATIONS[name](size)]
    if randaugment:
        steps.append(rand_augment(*parse_randaugment(randaugment)))
    if erasing:
        steps.append(random_erasing(erasing))
    return chain(*steps)
