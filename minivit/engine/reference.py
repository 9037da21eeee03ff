"""The composed twins: each fused op written with the primitives alone, the way the paper writes it.

They define what the fused ops compute: a lesson shows them, and tests compare each fused op with its twin. No
derivative is written here: gradients come from the primitives by the chain rule.

Read them in this order, which is that of a Transformer block: `linear`, `layer_norm`, `gelu`, `softmax`, `attention`,
and at its ends `patchify` and `cross_entropy`. A twin marked `@rounded_once` rounds its result and nothing on the way,
as the fused op does: a square or a score may be too large for the element type although the result is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..backend.arrays import Array, extremes_are_harmless, xp_of
from ..backend.draws import draw_key, least_kept, random_words
from ..errors import ConfigError
from . import ops
from .fused import GELU_FORMS, labels_are_constants, target_probabilities
from .tensor import Tensor, rounded_once


@rounded_once
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    """Return x W + b: each output is a weighted sum of the inputs, and a bias. A residual connection adds `plus`."""
    y = x @ weight  # (..., k) @ (k, n) -> (..., n)
    y = y if bias is None else y + bias
    return y if plus is None else y + plus


@rounded_once
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    """Centre each row and divide it by its standard deviation; then scale and shift each column.

    `eps` keeps a row of equal numbers finite: its variance is 0.
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / (variance + eps).sqrt() * weight + bias


@rounded_once
@extremes_are_harmless()
def gelu(x: Tensor, form: str = "tanh") -> Tensor:
    """Return x Φ(x): the input times the probability that a normal random number is smaller.

    "erf" is exact, Φ(x) = (1 + erf(x/√2)) / 2; "tanh" is Google's approximation of Φ.
    """
    if form not in GELU_FORMS:
        raise ConfigError(f"unknown GELU form {form!r}: use 'tanh' or 'erf'")
    if form == "erf":
        return x * (ops.erf(x * math.sqrt(0.5)) + 1.0) * 0.5
    inner = (x + x * x * x * 0.044715) * math.sqrt(2.0 / math.pi)
    return x * (inner.tanh() + 1.0) * 0.5


@rounded_once
@extremes_are_harmless()
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)): positive numbers that add up to 1.

    Softmax does not change when x is shifted. So the largest element is subtracted first, as a constant: no exponential
    is then above 1.
    """
    e = (x - x.detach().max(axis=axis, keepdims=True)).exp()
    return e / e.sum(axis=axis, keepdims=True)


def attention(qkv: Tensor, heads: int, queries: int | None = None) -> Tensor:
    """Return softmax(q kᵀ / √D_h) v for each head and each of the first `queries` tokens.  # ViT (6), (7)

    A query's score with a key is their dot product. Softmax turns the scores of one query into weights, and the result
    is the weighted mean of the values. Division by √D_h keeps the scores' size independent of the heads' width.
    """
    return attention_with_weights(qkv, heads, queries)[0]


@rounded_once
def attention_with_weights(
    qkv: Tensor,
    heads: int,
    queries: int | None = None,
    weight_dropout: float = 0.0,
    rng: np.random.Generator | None = None,
    more_scores: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return attention and its weights, (B, heads, queries, N), with two options that few models use.

    Args:
        qkv: (B, N, 3 D).
        heads: the number of heads.
        queries: how many tokens have a query, counted from the first; None for all.
        weight_dropout: the rate of dropout on attention weights; the authors' code has it and sets it to 0 everywhere.
        rng: draws the mask; without it nothing is dropped.
        more_scores: takes the queries (B, heads, queries, D_h), returns what to add to q kᵀ; for relative positions.

    Returns:
        (B, queries, D), and the weights.
    """
    b, n, width = qkv.shape
    d = width // 3
    split = qkv.reshape(b, n, 3, heads, d // heads).transpose(2, 0, 3, 1, 4)  # (3, B, heads, N, D_h)
    q, k, v = split[0][:, :, :queries], split[1], split[2]
    scores = q @ k.transpose(0, 1, 3, 2)  # (B, heads, queries, N)
    scores = scores if more_scores is None else scores + more_scores(q)
    weights = softmax(scores / math.sqrt(d // heads))
    if weight_dropout and rng is not None:
        weights = dropout(weights, weight_dropout, rng)
    return (weights @ v).transpose(0, 2, 1, 3).reshape(b, q.shape[2], d), weights  # (B, queries, D)


@labels_are_constants
@rounded_once
@extremes_are_harmless()
def cross_entropy(logits: Tensor, labels: Array, smoothing: float = 0.0) -> Tensor:
    """Return -sum(target * log softmax(logits)), averaged over the batch.

    The logarithm of a softmax is x - log(sum(exp(x))), after the shift of `softmax`; no quotient is computed. Classes
    whose target is 0 are left out: for a logit of -infinity the logarithm is -infinity, and 0 times that is nan.
    """
    targets = target_probabilities(labels, logits.data, smoothing)  # (B, K)
    shifted = logits - logits.detach().max(axis=-1, keepdims=True)
    log_probabilities = shifted - shifted.exp().sum(axis=-1, keepdims=True).log()
    chosen = targets != 0.0
    return -ops.divided((log_probabilities[chosen] * targets[chosen]).sum(), len(targets))


def dropout(x: Tensor, rate: float, rng: np.random.Generator) -> Tensor:
    """Multiply by a random mask of 0 and 1 / (1 - rate), whose mean is 1."""
    keep = random_words(x.size, draw_key(rng)).reshape(x.shape) >= least_kept(rate)
    return x * (xp_of(x.data).asarray(keep, x.dtype) / (1.0 - rate))


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into patches, (B, H, W, C) -> (B, N, P·P·C): split both sides, bring the parts together, flatten."""
    b, h, w, c = images.shape
    grid = images.reshape(b, h // patch, patch, w // patch, patch, c)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(b, (h // patch) * (w // patch), patch * patch * c)
