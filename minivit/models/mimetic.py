"""Mimetic initialisation (arXiv 2305.09828): attention begins with the structure that trained attention has.

In trained Vision Transformers, the kernels of queries and keys multiply to a matrix with a positive diagonal, and the
kernels of values and output to a matrix with a negative diagonal. This beginning helps if there are few images: a token
attends first to tokens like itself and, since positions are part of a token, to tokens nearby.
"""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError
from ..utils.integers import integer
from .vit import MultiHeadSelfAttention, ViT

QUERIES_KEYS, VALUES_OUTPUT = 0.7, 0.4  # the sizes of both products, as in the paper


def initialise_mimetically(model: ViT, seed: int = 0) -> None:
    """Give the attention of every block the initial kernels of mimetic initialisation, in place.

    Z below is a matrix (D, D) of normal random numbers with variance 1 / D, drawn anew for each product. In each head
    W_q W_kᵀ becomes the best approximation of 0.7 (Z + I) with rank D_h. W_v W_out becomes 0.4 (Z - I).

    Args:
        model: a new Vision Transformer; it works best with `positions="sincos2d"`.
        seed: draws the numbers.

    Raises:
        ConfigError: if the model is not a Vision Transformer.
    """
    if not isinstance(model, ViT):
        raise ConfigError(f"mimetic initialisation is for Vision Transformers, not {type(model).__name__}")
    rng = np.random.default_rng([integer("the seed", seed, 0), 2])
    for block in model.blocks:
        _initialise(block.attention, rng)


def _initialise(attention: MultiHeadSelfAttention, rng: np.random.Generator) -> None:
    """Write the initial kernels of one block's attention, in place."""
    qkv, out = attention.qkv.weight.data, attention.out.weight.data  # (D, 3 D), (D, D)
    d = len(out)
    width = d // attention.heads
    for columns in np.split(np.arange(d), attention.heads):
        qkv[:, columns], keys = _factors(QUERIES_KEYS * (_noise(d, rng) + np.eye(d)), width)  # (D, D_h) each
        qkv[:, d + columns] = keys
    qkv[:, 2 * d :], kernel = _factors(VALUES_OUTPUT * (_noise(d, rng) - np.eye(d)), d)  # (D, D) each
    out[...] = kernel.T
    for kernels in (attention.qkv.weight, attention.out.weight):
        kernels.changed_in_place()


def _noise(d: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((d, d)) / np.sqrt(d)


def _factors(product: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two matrices a, b of the same size with a bᵀ nearest to a product: (D, D) -> (D, rank) twice."""
    u, s, vt = np.linalg.svd(product)
    root = np.sqrt(s[:rank])
    return u[:, :rank] * root, vt[:rank].T * root
