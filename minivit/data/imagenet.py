"""The names of ImageNet's classes, which most published weights know: 1,000 of the challenge, and all 21,843.

The order is that of the WordNet numbers of the classes (n01440764 is the tench, number 0 of the 1,000), as the authors
of all published ImageNet weights number them. `data/README.md` says where the names come from.
"""

from __future__ import annotations

import bz2
from functools import cache
from pathlib import Path

FILES = {1000: "imagenet_1000.txt", 21843: "imagenet_21843.txt.bz2"}
REMOVED = (9205, 15027)  # of the 21,843 classes, those that releases with 21,841 lack


@cache
def imagenet_classes(count: int) -> tuple[str, ...] | None:
    """Return the names of ImageNet's classes, in the order of published weights; None if no release has so many.

    Args:
        count: 1,000 (the challenge of 2012), 21,843 (ImageNet-21k, as Google numbers it) or 21,841 (the later
            release, without the classes that are called bleacher and picture).
    """
    if count == 21841:
        every = imagenet_classes(21843) or ()
        return tuple(name for number, name in enumerate(every) if number not in REMOVED)
    if count not in FILES:
        return None
    packed = Path(__file__).with_name(FILES[count]).read_bytes()
    text = bz2.decompress(packed) if FILES[count].endswith(".bz2") else packed
    return tuple(text.decode().splitlines())
