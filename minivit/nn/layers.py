"""The layers of the networks: each holds its parameters and calls one op or two."""

from __future__ import annotations

import numpy as np

from .. import convolution, engine
from ..backend.arrays import Array
from ..convolution.ops import Padding
from ..engine.tensor import Tensor
from ..errors import ConfigError
from . import init
from .module import Module


def parameter(values: Array) -> Tensor:
    """Return a Tensor whose gradient is computed. An array of floats is not copied, and training writes to it."""
    return Tensor(values, requires_grad=True)


class Linear(Module):
    """x W + b over the last axis: (..., k) -> (..., n).

    As PyTorch's `Parameter` does, the layer takes over the arrays of floats that it is given: training writes to them.
    Give each layer a copy if two are made from one array.

    Args:
        weight: the initial kernel W, (k, n): inputs first, as in the paper's z E and in Google's weights.
        bias: the initial b, (n,); zeros if left out.
        with_bias: False for x W alone.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None = None, with_bias: bool = True):
        self.weight = parameter(weight)
        self.bias = parameter(init.zeros(weight.shape[1:]) if bias is None else bias) if with_bias else None

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        return engine.linear(x, self.weight, self.bias, plus)


class LayerNorm(Module):
    """Layer normalisation over the last axis (arXiv 1607.06450): (..., d) -> (..., d).

    Args:
        dim: d.
        eps: added to the variance.
    """

    def __init__(self, dim: int, eps: float = 1e-6):
        self.weight = parameter(np.ones(dim, np.float32))
        self.bias = parameter(init.zeros((dim,)))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return engine.layer_norm(x, self.weight, self.bias, self.eps)


class Conv(Module):
    """Convolution without bias by a standardised kernel (arXiv 1903.10520): (B, H, W, C) -> (B, H', W', D).

    As `Linear`, the layer takes over the array that it is given: training writes to it.

    Args:
        weight: the initial kernel, (h, w, C, D).
        stride, padding: pixels; see `convolution.conv2d`.
        eps, inside: how the kernel is standardised; see `convolution.standardize`.
    """

    def __init__(
        self, weight: np.ndarray, stride: int = 1, padding: Padding = "SAME", eps: float = 1e-5, inside: bool = False
    ):
        self.weight = parameter(weight)
        self.stride, self.padding = stride, padding
        self.eps, self.inside = eps, inside

    def forward(self, x: Tensor) -> Tensor:
        kernel = convolution.standardize(self.weight, self.eps, self.inside)
        return convolution.conv2d(x, kernel, self.stride, self.padding)


class GroupNorm(Module):
    """Group normalisation (arXiv 1803.08494) of (B, H, W, C).

    Args:
        channels: C.
        groups: the number of groups of neighbouring channels; must divide C.
        eps: added to the variance.
        scale: the initial weight.
    """

    def __init__(self, channels: int, groups: int = 32, eps: float = 1e-6, scale: float = 1.0):
        self.weight = parameter(np.full(channels, scale, np.float32))
        self.bias = parameter(init.zeros((channels,)))
        self.groups, self.eps = groups, eps

    def forward(self, x: Tensor) -> Tensor:
        return convolution.group_norm(x, self.weight, self.bias, self.groups, self.eps)


class Dropout(Module):
    """In training mode, set each element to 0 with probability `rate` and scale up the rest; else do nothing.

    Every call is given its random generator, so that calls at the same time never share the generator's state.

    Args:
        rate: from 0 to below 1.

    Attributes:
        name: what messages call it.
    """

    name = "dropout"

    def __init__(self, rate: float):
        self.rate = rate

    @property
    def is_active(self) -> bool:
        """Whether it changes anything: in training mode, with a rate above 0."""
        return self.training and self.rate > 0.0

    def forward(self, x: Tensor, rng: np.random.Generator | None) -> Tensor:
        if not self.is_active:
            return x
        if rng is None:
            raise ConfigError(f"{self.name} in training mode needs a random generator: model(images, rng=...)")
        return self.drop(x, rng)

    def drop(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Return what dropout makes of x, of the same shape."""
        return engine.dropout(x, self.rate, rng)
