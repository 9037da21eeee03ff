"""The Vision Transformer written with PyTorch's own layers, and how weights and options carry over to it."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Pre-norm encoder block."""

    def __init__(self, config):
        super().__init__()
        self.heads, self.form = config.heads, {"erf": "none", "tanh": "tanh"}[config.gelu]
        self.norm1 = nn.LayerNorm(config.dim, config.norm_eps)
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.norm2 = nn.LayerNorm(config.dim, config.norm_eps)
        self.fc1 = nn.Linear(config.dim, config.mlp_dim)
        self.fc2 = nn.Linear(config.mlp_dim, config.dim)

    def forward(self, z):
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(z)).chunk(3, -1)
        )
        attended = functional.scaled_dot_product_attention(q, k, v)  # (B, heads, N, D_h)
        z = z + self.out(attended.transpose(1, 2).flatten(-2))
        return z + self.fc2(functional.gelu(self.fc1(self.norm2(z)), approximate=self.form))


class TorchViT(nn.Module):
    """Images (B, H, W, C) in, logits out."""

    def __init__(self, config):
        super().__init__()
        patch = config.patch_size
        self.patches = nn.Conv2d(config.channels, config.dim, patch, stride=patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.positions = nn.Parameter(torch.zeros(1, config.num_patches + 1, config.dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, config.norm_eps)
        self.pre_logits = nn.Linear(config.dim, config.representation) if config.representation else None
        self.head = nn.Linear(config.representation or config.dim, config.num_classes)

    def forward(self, images):
        z = self.patches(images.movedim(-1, 1)).flatten(2).transpose(1, 2)  # (B, N, D)
        z = torch.cat([self.cls.expand(len(z), -1, -1), z], dim=1) + self.positions
        for block in self.blocks:
            z = block(z)
        y = self.norm(z)[:, 0]
        return self.head(y if self.pre_logits is None else torch.tanh(self.pre_logits(y)))


def pairs(model, twin):
    """(our name, our array's layout as a function of theirs, their parameter) for every parameter."""
    config = model.config

    def same(array):
        return array

    def transposed(array):
        return array.T

    def as_patches(array):  # (D, C, P, P) -> (P·P·C, D)
        return array.transpose(2, 3, 1, 0).reshape(-1, config.dim)

    yield "cls", same, twin.cls
    yield "positions", same, twin.positions
    yield "embedding.weight", as_patches, twin.patches.weight
    yield "embedding.bias", same, twin.patches.bias
    linears = {"head": twin.head, **({"pre_logits": twin.pre_logits} if twin.pre_logits else {})}
    norms = {"encoder_norm": twin.norm}
    for i, block in enumerate(twin.blocks):
        linears |= {f"blocks.{i}.attention.qkv": block.qkv, f"blocks.{i}.attention.out": block.out}
        linears |= {f"blocks.{i}.mlp.fc1": block.fc1, f"blocks.{i}.mlp.fc2": block.fc2}
        norms |= {f"blocks.{i}.norm1": block.norm1, f"blocks.{i}.norm2": block.norm2}
    for layout, layers in ((transposed, linears), (same, norms)):
        for name, layer in layers.items():
            yield f"{name}.weight", layout, layer.weight
            yield f"{name}.bias", same, layer.bias


def twin_of(model):
    """A PyTorch model with the same weights, of the same type."""
    config, state = model.config, model.state()
    dtype = torch.float64 if model.cls.dtype == np.float64 else torch.float32
    twin = TorchViT(config).to(dtype)
    names = set()

    for name, _, parameter in pairs(model, twin):
        array = state[name]
        if name == "embedding.weight":
            p, c = config.patch_size, config.channels
            array = array.reshape(p, p, c, config.dim).transpose(3, 2, 0, 1)
        elif array.ndim == 2:
            array = array.T
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.array(array)))
        names.add(name)

    assert names == set(state)
    return twin


def parameter_groups(model, twin, weight_decay):
    """Weight decay on the kernels of linear layers and of the patch convolution, and on nothing else."""
    decayed, others = [], []
    for name, _, parameter in pairs(model, twin):
        (decayed if name.endswith("weight") and "norm" not in name else others).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
