"""How weights and options carry over to the Vision Transformer that is written with PyTorch's own layers."""

import numpy as np
import torch

from minivit.bench.torch_vit import TorchViT


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
    yield "positions.embedding", same, twin.positions
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
