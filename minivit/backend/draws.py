"""Random numbers that a processor and a GPU draw with the same bits.

The generator is Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). It has no
state that passes from one draw to the next: numbers are a function of a key and a counter. So each thread of a GPU
computes the numbers that it needs, and the backward pass can draw a mask again instead of keeping it.
"""

from __future__ import annotations

import math

import numpy as np

Key = tuple[int, int, int, int]
WORD = 2**32  # how many values a random number has


def draw_key(rng: np.random.Generator) -> Key:
    """Draw a key of four numbers of 32 bits: a kernel takes numbers as `double`, which holds them exactly."""
    first, second, third, fourth = rng.integers(0, WORD, size=4).tolist()
    return first, second, third, fourth


def random_words(count: int, key: Key) -> np.ndarray:
    """Return random integers from 0 to 2**32 - 1, (count,) of uint32: always the same for a key."""
    halves = [key[0] + WORD * key[1], key[2] + WORD * key[3]]
    raw = np.random.Philox(key=np.array(halves, np.uint64)).random_raw(-(-count // 2))
    return raw.astype("<u8", copy=False).view("<u4")[:count]


def least_kept(rate: float) -> int:
    """Return the least random word of an element that dropout with this rate keeps."""
    return min(math.ceil(rate * WORD), WORD - 1)
