"""The Vision Transformer in thirty lines: the paper's Eqs. 1 to 8 (arXiv 2010.11929) from top to bottom, no options.

    B  images in a batch             N  patches of an image       D    width of a token
    H, W, C  an image's sides        P  a patch's side            D_h  width of a head, D / heads
    L  encoder blocks                K  classes                   U    the weights of attention

Read this file before `vit.py`, which is the same function with options: the same weights give the same logits and
the same gradients. θ is a plain dictionary of parameters, `dict(model.named_parameters())`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..engine import Tensor, broadcast_to, concatenate, gelu, layer_norm, softmax

Parameters = Mapping[str, Tensor]


def vit(x: Tensor, θ: Parameters, P: int, L: int, heads: int) -> Tensor:
    """Return the logits of a batch of images, (B, H, W, C) -> (B, K)."""
    B, H, W, C = x.shape
    N, D = H * W // P**2, θ["cls"].shape[-1]

    x_p = x.reshape(B, H // P, P, W // P, P, C).transpose(0, 1, 3, 2, 4, 5).reshape(B, N, P**2 * C)  # ViT §3.1
    x_p_E = linear(x_p, θ, "embedding")  # (B, N, D)
    x_class = broadcast_to(θ["cls"], (B, 1, D))
    z = concatenate([x_class, x_p_E], axis=1) + θ["positions.embedding"]  # (B, N + 1, D)  # ViT (1)

    for i in range(L):
        z = MSA(LN(z, θ, f"blocks.{i}.norm1"), θ, f"blocks.{i}.attention", heads) + z  # (B, N + 1, D)  # ViT (2)
        z = MLP(LN(z, θ, f"blocks.{i}.norm2"), θ, f"blocks.{i}.mlp") + z  # (B, N + 1, D)  # ViT (3)

    y = LN(z[:, 0], θ, "encoder_norm")  # (B, D)  # ViT (4)
    return linear(y, θ, "head")  # (B, K)  # ViT §3.1


def MSA(z: Tensor, θ: Parameters, name: str, heads: int) -> Tensor:
    """Return what each token gathers from all tokens: multi-head self-attention, (B, T, D) -> (B, T, D)."""
    B, T, D = z.shape
    D_h = D // heads
    qkv = linear(z, θ, f"{name}.qkv")  # z U_qkv, (B, T, 3 D)  # ViT (5)
    q, k, v = qkv.reshape(B, T, 3, heads, D_h).transpose(2, 0, 3, 1, 4)  # each (B, heads, T, D_h)
    A = softmax(q @ k.transpose(0, 1, 3, 2) / math.sqrt(D_h))  # (B, heads, T, T)  # ViT (6)
    SA = A @ v  # (B, heads, T, D_h)  # ViT (7)
    SA = SA.transpose(0, 2, 1, 3).reshape(B, T, D)  # [SA_1; SA_2; ...], the heads side by side
    return linear(SA, θ, f"{name}.out")  # [SA_1; SA_2; ...] U_msa, (B, T, D)  # ViT (8)


def MLP(z: Tensor, θ: Parameters, name: str) -> Tensor:
    """Return two linear layers of each token with GELU between them, (B, T, D) -> (B, T, D).  # ViT §3.1"""
    return linear(gelu(linear(z, θ, f"{name}.fc1")), θ, f"{name}.fc2")


def LN(z: Tensor, θ: Parameters, name: str) -> Tensor:
    """Return each token with mean 0 and standard deviation 1, scaled and shifted: LayerNorm."""
    return layer_norm(z, θ[f"{name}.weight"], θ[f"{name}.bias"])


def linear(z: Tensor, θ: Parameters, name: str) -> Tensor:
    """Return z W + b."""
    return z @ θ[f"{name}.weight"] + θ[f"{name}.bias"]
