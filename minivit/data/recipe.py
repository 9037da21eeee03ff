"""The training augmentation that the options of `minivit train` describe."""

from __future__ import annotations

from . import policies
from .augment import AUGMENTATIONS, Augmentation, chain, jitter_colors, random_erasing
from .randaugment import parse_randaugment, rand_augment


def training_augmentation(
    name: str,
    size: int | tuple[int, int],
    randaugment: str = "",
    erasing: float = 0.0,
    auto_augment: str = "",
    color_jitter: float = 0.0,
) -> Augmentation:
    """Return an augmentation that changes images of any size at random and resizes them to one size.

    Args:
        name: a name in AUGMENTATIONS, whose augmentation comes first and resizes.
        size: an integer or (height, width), in pixels.
        randaugment: "N,M" for N operations of magnitude M, which come second; "none" or "" for none.
        erasing: the probability that a box is erased in the end.
        auto_augment: a name in POLICIES, whose operations come after those; "none" or "" for none.
        color_jitter: how much brightness, contrast and saturation change after that, from 0 to 1.

    Raises:
        ConfigError: if an argument is outside its range.
    """
    steps = [AUGMENTATIONS[name](size)]
    if randaugment not in ("none", ""):
        steps.append(rand_augment(*parse_randaugment(randaugment)))
    if auto_augment not in ("none", ""):
        steps.append(policies.auto_augment(auto_augment))
    if color_jitter:
        steps.append(jitter_colors(color_jitter))
    if erasing:
        steps.append(random_erasing(erasing))
    return chain(*steps)
