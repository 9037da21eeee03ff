"""The composed twins: each fused op written with the primitives alone, the way the paper writes it.

They are the definition that a lesson shows, and the oracle that the fused ops are tested against. Their
gradients come from the primitives' own, by the chain rule; nothing here is differentiated by hand.

Twins with a sum, a statistic or an exponential convert half precision to float32 first and the result back at the end
(`@in_float32`), as the fused ops do: a square or a score may overflow half precision although the result does not.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..backend.arrays import Array, extremes_are_harmless, underflow_is_harmless, xp_of
from ..errors import ConfigError
from . import ops
from .fused import GELU_FORMS, target_probabilities
from .tensor import Tensor

Twin = TypeVar("Twin", bound=Callable[..., Any])


def in_float32(twin: Twin) -> Twin:
    """Let a twin compute in float32 if its Tensors are of half precision, and convert its results back."""

    @functools.wraps(twin)
    @underflow_is_harmless()
    def call(x: Tensor, *others: Any, **options: Any) -> Any:
        inputs = [widened(other) if isinstance(other, Tensor) else other for other in (x, *others)]
        results = twin(*inputs, **options)
        if inputs[0] is x:
            return results
        if isinstance(results, Tensor):
            return results.astype(x.dtype)
        return tuple(result.astype(x.dtype) for result in results)

    return call  # type: ignore[return-value]


def widened(x: Tensor) -> Tensor:
    """Convert a Tensor of half precision to float32; return any other unchanged."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


@in_float32
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W + b."""
    y = x @ weight  # (..., k) @ (k, n) -> (..., n)
    return y if bias is None else y + bias


@in_float32
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    """Centre each row, divide by its standard deviation, scale and shift."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / (variance + eps).sqrt() * weight + bias


@in_float32
@extremes_are_harmless()
def gelu(x: Tensor, form: str = "tanh") -> Tensor:
    """x Φ(x), where Φ is the normal distribution function or Google's approximation of it."""
    if form not in GELU_FORMS:
        raise ConfigError(f"unknown GELU form {form!r}: use 'tanh' or 'erf'")
    if form == "erf":
        return x * (ops.erf(x * math.sqrt(0.5)) + 1.0) * 0.5
    inner = (x + x * x * x * 0.044715) * math.sqrt(2.0 / math.pi)
    return x * (inner.tanh() + 1.0) * 0.5


@in_float32
@extremes_are_harmless()
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)). The largest element is a constant here: softmax does not change when x is shifted."""
    e = (x - x.detach().max(axis=axis, keepdims=True)).exp()
    return e / e.sum(axis=axis, keepdims=True)


def attention(qkv: Tensor, heads: int, queries: int | None = None) -> Tensor:
    """softmax(q kᵀ / √D_h) v for each head and each of the first `queries` tokens.  # ViT (6), (7)"""
    return attention_with_weights(qkv, heads, queries)[0]


@in_float32
def attention_with_weights(
    qkv: Tensor,
    heads: int,
    queries: int | None = None,
    weight_dropout: float = 0.0,
    rng: np.random.Generator | None = None,
    more_scores: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention with its weights, (B, heads, queries, N), and with what only some models have.

    Args:
        weight_dropout: the dropout of attention weights that the authors' code has and sets to 0 everywhere.
        more_scores: takes the queries (B, heads, queries, D_h), returns what to add to q kᵀ; for relative positions.
            It gets queries of half precision in float32.
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


@extremes_are_harmless()
def cross_entropy(logits: Tensor, labels: Array, smoothing: float = 0.0) -> Tensor:
    """-sum(target * log softmax(logits)), averaged over the batch; for half precision the loss is float32.

    Classes whose target is 0 are left out: if a logit is -infinity, so is its logarithm, and 0 times that is nan.
    """
    logits = widened(logits)
    targets = target_probabilities(labels, logits.data, smoothing)  # (B, K)
    shifted = logits - logits.detach().max(axis=-1, keepdims=True)
    log_probabilities = shifted - shifted.exp().sum(axis=-1, keepdims=True).log()
    chosen = targets != 0.0
    return -ops.divided((log_probabilities[chosen] * targets[chosen]).sum(), len(targets))


def dropout(x: Tensor, rate: float, rng: np.random.Generator) -> Tensor:
    """Multiply by a random mask of 0 and 1 / (1 - rate)."""
    keep = rng.random(x.shape, dtype=np.float32) >= rate
    return x * (xp_of(x.data).asarray(keep, x.dtype) / (1.0 - rate))


def patchify(images: Tensor, patch: int) -> Tensor:
    """(B, H, W, C) -> (B, N, P·P·C)."""
    b, h, w, c = images.shape
    grid = images.reshape(b, h // patch, patch, w // patch, patch, c)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(b, (h // patch) * (w // patch), patch * patch * c)
