"""Initial values of parameters. Each function returns a float32 array; with `rng` None it returns zeros.

Zeros are for a model that will load other weights: the operating system provides them without touching memory, so even
ViT-H_14 is made at once.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import OutOfMemory

RNG = np.random.Generator | None

# The standard deviation of a standard normal distribution without its values beyond 2 and -2.
TRUNCATED_STD = 0.87962566103423978

LARGEST = 2**46  # bytes of one array: more than any machine has, and few enough for NumPy to count


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Return zeros of a shape. Raises OutOfMemory if no machine has so much memory."""
    _check_size(shape)
    return np.zeros(shape, np.float32)


def normal(shape: tuple[int, ...], std: float, rng: RNG) -> np.ndarray:
    """Return normal random numbers with mean 0 and a standard deviation of `std`."""
    if rng is None:
        return zeros(shape)
    _check_size(shape)
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= std
    return values


def xavier_uniform(shape: tuple[int, int], rng: RNG, fan_out: int | None = None) -> np.ndarray:
    """Return uniform random numbers in ±√(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010), for a kernel.

    Args:
        shape: (fan_in, fan_out).
        rng: draws the numbers; None for zeros.
        fan_out: the outputs of each kernel, if several are side by side in one array. [default: shape[1]]
    """
    if rng is None:
        return zeros(shape)
    _check_size(shape)
    limit = math.sqrt(6.0 / (shape[0] + (fan_out or shape[1])))
    values = rng.random(shape, dtype=np.float32)
    values *= 2.0 * limit
    values -= limit
    return values


def lecun_normal(shape: tuple[int, ...], rng: RNG) -> np.ndarray:
    """Return normal random numbers with variance 1 / fan_in, at most 2 standard deviations from 0.

    Args:
        shape: (..., fan_out) of a kernel; the other lengths multiply to fan_in.
        rng: draws the numbers; None for zeros.
    """
    if rng is None:
        return zeros(shape)
    _check_size(shape)
    values = rng.standard_normal(shape, dtype=np.float32)
    while (outside := np.abs(values) > 2.0).any():
        values[outside] = rng.standard_normal(outside.sum(), dtype=np.float32)
    values *= math.sqrt(1.0 / math.prod(shape[:-1])) / TRUNCATED_STD
    return values


def _check_size(shape: tuple[int, ...]) -> None:
    if (size := 4 * math.prod(shape)) > LARGEST:
        raise OutOfMemory(
            f"parameters of shape {shape} need {size / 2**30:.2g} GiB of memory: choose a smaller model, image size or "
            "number of classes"
        )
