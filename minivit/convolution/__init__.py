"""The ops of convolutional networks: what the hybrids and the ResNets need beyond the Transformer's engine.

`ops.py` holds them, fast, each with its `vjp`; `reference.py` composes the same functions from the engine's primitives.
Images are (B, H, W, C) throughout, kernels (h, w, C, D), as in the authors' code.
"""

from .ops import conv2d, group_norm, max_pool, relu, standardize

__all__ = ["conv2d", "group_norm", "max_pool", "relu", "standardize"]
