"""The Vision Transformer with PyTorch's layers, to compare with minivit."""

# pyright: reportMissingImports=false
# (PyTorch and JAX are optional)

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..models import ViTConfig


class Block(nn.Module):
    """An encoder block with LayerNorm before attention and MLP."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.heads, self.form = config.heads, {"erf": "none", "tanh": "tanh"}[config.gelu]
        self.norm1 = nn.LayerNorm(config.dim, config.norm_eps)
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.norm2 = nn.LayerNorm(config.dim, config.norm_eps)
        self.fc1 = nn.Linear(config.dim, config.mlp_dim)
        self.fc2 = nn.Linear(config.mlp_dim, config.dim)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(z)).chunk(3, -1)
        )
        attended = functional.scaled_dot_product_attention(q, k, v)  # (B, heads, N, D_h)
        z = z + self.out(attended.transpose(1, 2).flatten(-2))
        return z + self.fc2(functional.gelu(self.fc1(self.norm2(z)), approximate=self.form))


class TorchViT(nn.Module):
    """A ViT that maps images (B, H, W, C) to logits (B, K), with PyTorch's initial weights."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        patch = config.patch_size
        self.patches = nn.Conv2d(config.channels, config.dim, patch, stride=patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.positions = nn.Parameter(torch.zeros(1, config.num_patches + 1, config.dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, config.norm_eps)
        self.pre_logits = nn.Linear(config.dim, config.representation) if config.representation else None
        self.head = nn.Linear(config.representation or config.dim, config.num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        z = self.patches(images.movedim(-1, 1)).flatten(2).transpose(1, 2)  # (B, N, D)
        z = torch.cat([self.cls.expand(len(z), -1, -1), z], dim=1) + self.positions
        for block in self.blocks:
            z = block(z)
        y = self.norm(z[:, 0])
        return self.head(y if self.pre_logits is None else torch.tanh(self.pre_logits(y)))
