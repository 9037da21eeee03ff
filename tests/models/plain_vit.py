"""The Vision Transformer's forward pass in plain NumPy, one image at a time, line by line from the paper.

It shares no code with the package: the oracle for the whole model. Weights come in a dictionary by name.
"""

import math

import numpy as np


def layer_norm(x, weight, bias, eps):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def gelu(x, form):
    if form == "erf":
        return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def nothing(x, place):
    return x


def forward_one(image, w, config, drop=nothing):
    """The logits of one image (H, W, C). `drop(x, place)` stands at each place where the paper has dropout."""
    patch, dim, heads, eps = config.patch_size, config.dim, config.heads, config.norm_eps
    height, width, _ = image.shape

    # Eq. 1: z_0 = [x_class; x_p^1 E; ...; x_p^N E] + E_pos
    tokens = [w["cls"][0, 0]]
    for top in range(0, height, patch):
        for left in range(0, width, patch):
            x_p = image[top : top + patch, left : left + patch, :].flatten()
            tokens.append(x_p @ w["embedding.weight"] + w["embedding.bias"])
    z = np.stack(tokens) + w["positions.embedding"][0]
    z = drop(z, "positions")

    for layer in range(config.depth):
        own = {name.removeprefix(f"blocks.{layer}."): value for name, value in w.items()}

        # Eq. 2: z' = MSA(LN(z)) + z
        x = layer_norm(z, own["norm1.weight"], own["norm1.bias"], eps)
        msa = self_attention(x, own, dim, heads)
        z = drop(msa, f"{layer} attention") + z

        # Eq. 3: z = MLP(LN(z')) + z'
        x = layer_norm(z, own["norm2.weight"], own["norm2.bias"], eps)
        hidden = gelu(x @ own["mlp.fc1.weight"] + own["mlp.fc1.bias"], config.gelu)
        hidden = drop(hidden, f"{layer} hidden")
        z = drop(hidden @ own["mlp.fc2.weight"] + own["mlp.fc2.bias"], f"{layer} mlp") + z

    # Eq. 4: y = LN(z_L^0)
    y = layer_norm(z[0], w["encoder_norm.weight"], w["encoder_norm.bias"], eps)
    if config.representation is not None:
        y = np.tanh(y @ w["pre_logits.weight"] + w["pre_logits.bias"])
    return y @ w["head.weight"] + w["head.bias"]


def self_attention(z, w, dim, heads):
    """Eqs. 5 to 8, head by head."""
    each = dim // heads
    u_qkv, bias = w["attention.qkv.weight"], w["attention.qkv.bias"]
    heads_out = []

    for h in range(heads):
        columns = slice(h * each, (h + 1) * each)
        q, k, v = (  # Eq. 5
            z @ u_qkv[:, part * dim : (part + 1) * dim][:, columns] + bias[part * dim : (part + 1) * dim][columns]
            for part in range(3)
        )
        scores = np.exp(q @ k.T / math.sqrt(each))
        a = scores / scores.sum(axis=1, keepdims=True)  # Eq. 6
        heads_out.append(a @ v)  # Eq. 7

    return np.hstack(heads_out) @ w["attention.out.weight"] + w["attention.out.bias"]  # Eq. 8


def forward(images, w, config, drops=None):
    """The logits of a batch; `drops` gives each image its own `drop`."""
    drops = drops or [nothing] * len(images)
    return np.stack([forward_one(image, w, config, drop) for image, drop in zip(images, drops, strict=True)])
