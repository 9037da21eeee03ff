"""Parts that later ViTs have and the paper's has not; `ViTConfig` leaves every one of them out by default."""

from __future__ import annotations

import numpy as np

from .. import engine
from ..backend.arrays import xp_of
from ..convolution.ops import relu
from ..engine.tensor import Tensor, rounded_once
from ..nn import Dropout, LayerNorm, Module
from ..nn.layers import parameter
from .configs import ViTConfig


class Identity(Module):
    """A module that returns its input: it replaces a part that the model does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class LayerScale(Module):
    """One learned factor for each column of a residual branch (arXiv 2103.17239): (..., d) -> (..., d).

    Args:
        dim: d.
        start: the initial factors, small, so that a deep network begins near the identity.
    """

    def __init__(self, dim: int, start: float):
        self.weight = parameter(np.full(dim, start, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def make_scale(config: ViTConfig) -> Module:
    """Return what scales a residual branch of a block: nothing in the paper's models."""
    return Identity() if config.layer_scale is None else LayerScale(config.dim, config.layer_scale)


class StochasticDepth(Dropout):
    """In training mode, leave out a residual branch for some images and scale up the rest (arXiv 1603.09382).

    Args:
        rate: the probability of leaving it out, from 0 to below 1.
    """

    name = "stochastic depth"

    def drop(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the branch times 0 or 1 / (1 - rate), drawn for each image: (B, ...) -> (B, ...)."""
        ones = Tensor(xp_of(x.data).ones((len(x), *[1] * (x.ndim - 1)), x.dtype))  # (B, 1, 1)
        return x * engine.dropout(ones, self.rate, rng)


def depth_rate(config: ViTConfig, block: int) -> float:
    """Return the rate of stochastic depth in a block, counted from 0."""
    return config.stochastic_depth * block / max(1, config.depth - 1)


class QueryKeyNorm(Module):
    """LayerNorm on every head's queries and keys (arXiv 2302.05442): (B, T, 3 D) -> (B, T, 3 D).

    Args:
        heads: the number of heads.
        width: D_h, of a head.
        eps: added to the variance.
    """

    def __init__(self, heads: int, width: int, eps: float):
        self.heads, self.width = heads, width
        self.queries = LayerNorm(width, eps)
        self.keys = LayerNorm(width, eps)

    def forward(self, qkv: Tensor) -> Tensor:
        b, tokens, _ = qkv.shape
        qkv = qkv.reshape(b, tokens, 3, self.heads, self.width)
        q, k, v = self.queries(qkv[:, :, :1]), self.keys(qkv[:, :, 1:2]), qkv[:, :, 2:]  # (B, T, 1, heads, D_h) each
        return engine.concatenate([q, k, v], axis=2).reshape(b, tokens, 3 * self.heads * self.width)


class RMSNorm(Module):
    """Divide rows by their root mean square, then scale each column (arXiv 1910.07467): (..., d) -> (..., d).

    Args:
        dim: d.
        eps: added to the mean square.
    """

    def __init__(self, dim: int, eps: float):
        self.weight = parameter(np.ones(dim, np.float32))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return _over_root_mean_square(x, self.eps) * self.weight


@rounded_once
def _over_root_mean_square(x: Tensor, eps: float) -> Tensor:
    return x / ((x * x).mean(axis=-1, keepdims=True) + eps).sqrt()


def make_norm(config: ViTConfig, dim: int | None = None) -> Module:
    """Return a norm over rows of `dim` numbers: LayerNorm in the paper's models.

    Args:
        config: the model's configuration.
        dim: the width of a row. [default: D]
    """
    layer = RMSNorm if config.norm == "rms" else LayerNorm
    return layer(dim or config.dim, config.norm_eps)


def activation(x: Tensor, form: str) -> Tensor:
    """Return what the MLP computes between its layers, of any shape.

    Args:
        x: of any shape.
        form: "tanh" or "erf" for GELU; "quick" for x σ(1.702 x), the third form of arXiv 1606.08415, as CLIP's;
            "relu" for max(0, x).
    """
    if form == "quick":
        return times_sigmoid(x, 1.702)
    return relu(x) if form == "relu" else engine.gelu(x, form)


@rounded_once
def times_sigmoid(x: Tensor, slope: float = 1.0) -> Tensor:
    """Return x σ(slope x), of the same shape; with slope 1 it is called SiLU or Swish (arXiv 1710.05941)."""
    return x * ((x * (0.5 * slope)).tanh() + 1.0) * 0.5  # σ(u) = (1 + tanh(u/2)) / 2, which never overflows


def gated(x: Tensor) -> Tensor:
    """Return SiLU(a) b for the halves a and b of the last axis: SwiGLU (arXiv 2002.05202), (..., 2 h) -> (..., h)."""
    half = x.shape[-1] // 2
    return times_sigmoid(x[..., :half]) * x[..., half:]
