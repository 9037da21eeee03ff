"""How parameters start. Each function returns a float32 array; with `rng` None it returns zeros.

Zeros are for weights that a file will replace: the operating system hands them out without touching memory, so even
ViT-H_14 is there at once.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import OutOfMemory

RNG = np.random.Generator | None

# The standard deviation of a normal distribution cut off at two of its own.
TRUNCATED_STD = 0.87962566103423978

LARGEST = 2**46  # bytes of one array: more than any machine has, and few enough for NumPy to count


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """All zeros."""
    _check_size(shape)
    return np.zeros(shape, np.float32)


def normal(shape: tuple[int, ...], std: float, rng: RNG) -> np.ndarray:
    """Normal with mean 0 and the given standard deviation."""
    if rng is None:
        return zeros(shape)
    _check_size(shape)
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= std
    return values


def xavier_uniform(shape: tuple[int, int], rng: RNG, fan_out: int | None = None) -> np.ndarray:
    """Uniform in ±√(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010), for a kernel (fan_in, fan_out).

    `fan_out` is given where several kernels lie side by side in one array.
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
    """Normal with variance 1 / fan_in, cut off at two standard deviations, for a kernel (..., fan_out)."""
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
