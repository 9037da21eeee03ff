"""The Vision Transformer as a jitted JAX function, with AdamW, to compare with minivit.

The weights are minivit's, under the same names, so that both libraries compute the same numbers.
"""

# pyright: reportMissingImports=false
# (PyTorch and JAX are optional)

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..models import ViTConfig
from ..training.optim import AdamW, is_kernel

Weights = dict[str, Any]


def forward(weights: Weights, images: Any, config: ViTConfig) -> Any:
    """Return the logits (B, K) of images (B, H, W, C)."""
    b, (h, w, c), p = len(images), config.image_shape, config.patch_size
    patches = images.reshape(b, h // p, p, w // p, p, c).swapaxes(2, 3).reshape(b, -1, p * p * c)  # (B, N, P² C)
    z = _linear(weights, "embedding", patches)
    cls = jnp.broadcast_to(weights["cls"], (b, 1, config.dim))
    z = jnp.concatenate([cls, z], axis=1) + weights["positions.embedding"]
    for i in range(config.depth):
        name = f"blocks.{i}"
        qkv = _linear(weights, f"{name}.attention.qkv", _norm(weights, f"{name}.norm1", z, config))
        q, k, v = (part.reshape(b, -1, config.heads, config.dim // config.heads) for part in jnp.split(qkv, 3, -1))
        attended = jax.nn.dot_product_attention(q, k, v).reshape(z.shape)
        z = z + _linear(weights, f"{name}.attention.out", attended)
        hidden = _linear(weights, f"{name}.mlp.fc1", _norm(weights, f"{name}.norm2", z, config))
        z = z + _linear(weights, f"{name}.mlp.fc2", jax.nn.gelu(hidden, approximate=config.gelu == "tanh"))
    y = _norm(weights, "encoder_norm", z[:, 0], config)
    if config.representation is not None:
        y = jnp.tanh(_linear(weights, "pre_logits", y))
    return _linear(weights, "head", y)


def _linear(weights: Weights, name: str, x: Any) -> Any:
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _norm(weights: Weights, name: str, x: Any, config: ViTConfig) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    normal = centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + config.norm_eps)
    return normal * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def loss(weights: Weights, images: Any, labels: Any, config: ViTConfig) -> Any:
    """Return the mean cross-entropy over the batch."""
    log_probabilities = jax.nn.log_softmax(forward(weights, images, config))
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=-1).mean()


def training_step(config: ViTConfig, optimizer: AdamW) -> Any:
    """Return a jitted function (weights, state, images, labels) -> (weights, state) with the options of `optimizer`."""
    lr, eps, (beta1, beta2) = optimizer.lr, optimizer.eps, optimizer.betas
    decay = {n: optimizer.weight_decay if is_kernel(n, p) else 0.0 for n, p in optimizer.parameters.items()}

    def step(weights: Weights, state: Any, images: Any, labels: Any) -> Any:
        gradients = jax.grad(loss)(weights, images, labels, config)
        count, means, squares = state
        count = count + 1
        means = {n: beta1 * means[n] + (1 - beta1) * g for n, g in gradients.items()}
        squares = {n: beta2 * squares[n] + (1 - beta2) * g * g for n, g in gradients.items()}
        size = {n: jnp.sqrt(squares[n] / (1 - beta2**count)) + eps for n in weights}
        weights = {
            n: w * (1 - lr * decay[n]) - lr * means[n] / (1 - beta1**count) / size[n] for n, w in weights.items()
        }
        return weights, (count, means, squares)

    return jax.jit(step, donate_argnums=(0, 1))
