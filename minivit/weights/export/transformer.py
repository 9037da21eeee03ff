"""The Vision Transformer as an ONNX graph, in the order of `models/vit.py` and with its names.

Parameters are stored unchanged, with one exception: the tokens in front of the patches are added to the table of
positions in advance, so that the graph pads the patches with zeros and adds the table.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from ...backend.arrays import to_numpy
from ...errors import ConfigError
from ...models.configs import ViTConfig
from ...models.variants import Identity
from ...models.vit import ViT
from .convolutional import add_backbone
from .graph import Graph, Value

# Every option of a ViT: those that this file computes, and those that change nothing outside training.
COMPUTED = {
    "image_size", "patch_size", "dim", "depth", "heads", "mlp_dim", "num_classes", "channels", "representation", "gelu",
    "norm_eps", "classifier", "class_token", "pool_before_norm", "positions", "positions_at", "backbone",
    "backbone_width", "distillation", "registers", "positions_for", "embedding_norm", "layer_scale", "qkv_bias",
    "qk_norm", "gated_mlp", "pooling_mlp_dim", "final_norm", "drop_rest", "norm",
    "patch_norm", "inner_norm",
}  # fmt: skip
ONLY_IN_TRAINING = {"dropout", "attention_dropout", "stochastic_depth"}


def check_known(config: ViTConfig) -> None:
    """Raise ConfigError if a model has an option, other than its default, that the graph does not compute."""
    for field in fields(config):
        known = field.name in COMPUTED or field.name in ONLY_IN_TRAINING
        if not known and getattr(config, field.name) != field.default:
            raise ConfigError(f"a model with {field.name} cannot be exported to ONNX: minivit has no graph for it")


def add_vit(g: Graph, model: ViT, x: Value) -> Value:
    """Add a model's nodes, from images to logits.

    Args:
        g: the graph.
        model: the model.
        x: (B, H, W, C), scaled as the model expects.

    Returns:
        The logits (B, K); of a model without a head, its representation (B, D).

    Raises:
        ConfigError: for an option of the model that the graph does not compute.
    """
    check_known(model.config)
    z = _patches(g, model, x)  # (B, N, D)
    z = _with_front_tokens_and_positions(g, model, z)  # (B, T, D)
    z = _encoded(g, model, z)
    return _logits(g, model, z)


def _patches(g: Graph, model: ViT, images: Value) -> Value:
    """Return the patch embeddings, (B, H, W, C) -> (B, N, D).  # Eq. 1

    The patch embedding is a convolution whose stride is the patch's side, which every runtime has in a fast form. It
    leaves out what no patch covers at the bottom and the right.
    """
    c = model.config
    x = g.transpose(images, (0, 3, 1, 2), "images.channels_first")  # (B, C, H, W)
    if c.backbone is not None:
        x = add_backbone(g, model.backbone, x, c.image_shape)
    kernel = to_numpy(model.embedding.weight.data)  # (P² C, D)
    kernel = kernel.reshape(c.patch_size, c.patch_size, -1, c.dim).transpose(3, 2, 0, 1)  # (D, C, P, P)
    weight, bias = g.constant(kernel, "embedding.weight"), g.constant(model.embedding.bias, "embedding.bias")
    side = [c.patch_size, c.patch_size]
    z = g.node("Conv", x, weight, bias, name="embedding", kernel_shape=side, strides=side)  # (B, D, h, w)
    z = g.reshape(z, (0, c.dim, c.num_patches), "embedding.flat")
    z = g.transpose(z, (0, 2, 1), "embedding.tokens")
    return g.layer_norm(z, model.embedding.norm, "embedding.norm") if c.patch_norm else z


def _with_front_tokens_and_positions(g: Graph, model: ViT, z: Value) -> Value:
    """Return the tokens with those in front of the patches, (B, N, D) -> (B, T, D).  # Eq. 1"""
    c = model.config
    front = c.num_front_tokens
    table = _table(model.positions)  # (1, T, D), or nothing
    if front:
        pads = g.constant(np.array([0, front, 0, 0, 0, 0]), "front.pads")  # before and after each axis
        z = g.node("Pad", z, pads, name="front")
        learned = np.zeros((1, c.num_tokens, c.dim), np.float32)
        learned[:, :front] = _front_tokens(model)
        table = learned if table is None else learned + table
    if table is not None:
        z = g.add(z, g.constant(table, "positions"), "tokens")
    return g.layer_norm(z, model.embedding_norm, "embedding_norm") if c.embedding_norm else z


def _front_tokens(model: ViT) -> np.ndarray:
    """Return the learned tokens in front of the patches, (1, T - N, D)."""
    c = model.config
    tokens = [model.cls] if c.has_class_token else []
    tokens += [model.distillation_token] if c.distillation else []
    tokens += [model.registers] if c.registers else []
    return np.concatenate([to_numpy(token.data) for token in tokens], axis=1)


def _table(positions: Any) -> np.ndarray | None:
    table = positions.table()
    return None if table is None else to_numpy(table.data)


def _encoded(g: Graph, model: ViT, z: Value) -> Value:
    """Return the tokens after the last block, (B, T, D) -> (B, T, D).

    If the head reads class tokens alone, the last block computes no others: (B, 1, D), or (B, 2, D) with distillation.
    """
    c = model.config
    for i, block in enumerate(model.blocks):
        if i and c.positions_at != "stem":  # ViT Table 8
            layer = model.later_positions[i - 1] if c.positions_at == "every" else model.positions
            table = g.constant(_table(layer), f"positions.{i}" if c.positions_at == "every" else "positions.shared")
            z = g.add(z, table, f"blocks.{i}.tokens")
        read_alone = c.classifier == "token" and i == c.depth - 1
        z = _block(g, block, z, c, f"blocks.{i}", c.num_class_tokens if read_alone else None)
    return z


def _block(g: Graph, block: Any, z: Value, c: ViTConfig, name: str, wanted: int | None) -> Value:
    """Return an encoder block's tokens: (B, T, D) -> (B, wanted, D), or (B, T, D): Eqs. 2 and 3."""
    kept = z if wanted is None else g.part(z, 1, 0, wanted, f"{name}.kept")
    y = _attention(g, block.attention, g.layer_norm(z, block.norm1, f"{name}.norm1"), c, f"{name}.attention", wanted)
    z = g.add(_layer_scale(g, block.scale1, y, c, f"{name}.scale1"), kept, f"{name}.after_attention")
    y = _mlp(g, block.mlp, g.layer_norm(z, block.norm2, f"{name}.norm2"), f"{name}.mlp")
    return g.add(_layer_scale(g, block.scale2, y, c, f"{name}.scale2"), z, name)


def _layer_scale(g: Graph, layer: Any, y: Value, c: ViTConfig, name: str) -> Value:
    return y if c.layer_scale is None else g.multiply(y, g.constant(layer.weight, f"{name}.weight"), name)


def _attention(g: Graph, layer: Any, z: Value, c: ViTConfig, name: str, wanted: int | None) -> Value:
    """Return what tokens gather from all tokens, (B, T, D) -> (B, wanted, D), or (B, T, D).  # Eq. 5 to (8)"""
    queries, width = wanted or c.num_tokens, c.dim // c.heads
    q, k, v = g.split(g.linear(z, layer.qkv, f"{name}.qkv"), 3, 2, f"{name}.split")  # (B, T, D) each
    if wanted is not None:
        q = g.part(q, 1, 0, wanted, f"{name}.asking")
    q = g.reshape(q, (0, queries, c.heads, width), f"{name}.q.heads")
    k = g.reshape(k, (0, c.num_tokens, c.heads, width), f"{name}.k.heads")
    v = g.reshape(v, (0, c.num_tokens, c.heads, width), f"{name}.v.heads")
    if c.qk_norm:
        q = g.layer_norm(q, layer.norm.queries, f"{name}.norm.queries")
        k = g.layer_norm(k, layer.norm.keys, f"{name}.norm.keys")
    q = g.transpose(g.scaled(q, width**-0.5, f"{name}.q.scaled"), (0, 2, 1, 3), f"{name}.q")  # (B, heads, queries, D_h)
    k = g.transpose(k, (0, 2, 3, 1), f"{name}.k")  # (B, heads, D_h, T)
    v = g.transpose(v, (0, 2, 1, 3), f"{name}.v")  # (B, heads, T, D_h)
    scores = g.product(q, k, f"{name}.scores")  # (B, heads, queries, T)
    if c.positions == "relative":
        scores = g.add(scores, _relative_scores(g, layer, q, c, queries, name), f"{name}.all_scores")
    heads = g.product(g.softmax(scores, f"{name}.weights"), v, f"{name}.gathered")  # (B, heads, queries, D_h)
    heads = g.reshape(g.transpose(heads, (0, 2, 1, 3), f"{name}.by_token"), (0, queries, c.dim), f"{name}.joined")
    if c.inner_norm:
        heads = g.layer_norm(heads, layer.inner_norm, f"{name}.inner_norm")
    return g.linear(heads, layer.out, f"{name}.out")


def _relative_scores(g: Graph, layer: Any, q: Value, c: ViTConfig, queries: int, name: str) -> Value:
    """Return q . r for each query and offset, (B, heads, queries, D_h) -> (B, heads, queries, T).

    See `models.positions.relative_scores`, which this follows.
    """
    tokens, width = c.num_tokens, c.dim // c.heads
    distance = np.arange(queries)[:, None] - np.arange(tokens) + tokens - 1  # (queries, T)
    r = to_numpy(layer.offsets.data)[distance].transpose(0, 2, 1)  # (queries, D_h, T)
    by_query = g.transpose(q, (2, 0, 1, 3), f"{name}.by_query")  # (queries, B, heads, D_h)
    by_query = g.reshape(by_query, (queries, -1, width), f"{name}.rows")  # (queries, B heads, D_h)
    scores = g.product(by_query, g.constant(r, f"{name}.offsets"), f"{name}.offset_scores")  # (queries, B heads, T)
    scores = g.reshape(scores, (queries, -1, c.heads, tokens), f"{name}.offset_heads")
    return g.transpose(scores, (1, 2, 0, 3), f"{name}.relative")


def _mlp(g: Graph, layer: Any, x: Value, name: str) -> Value:
    """Return an MLP's result, (..., D) -> (..., D)."""
    hidden = g.linear(x, layer.fc1, f"{name}.fc1")
    if layer.gated:  # SwiGLU: SiLU of the first half, times the second
        first, second = g.split(hidden, 2, -1, f"{name}.halves")
        hidden = g.multiply(_times_sigmoid(g, first, 1.0, f"{name}.silu"), second, f"{name}.gated")
    else:
        hidden = _activation(g, hidden, layer.gelu, f"{name}.gelu")
    if not isinstance(layer.inner_norm, Identity):
        hidden = g.layer_norm(hidden, layer.inner_norm, f"{name}.inner_norm")
    return g.linear(hidden, layer.fc2, f"{name}.fc2")


def _times_sigmoid(g: Graph, x: Value, slope: float, name: str) -> Value:
    """Return x σ(slope x)."""
    scaled = x if slope == 1.0 else g.scaled(x, slope, f"{name}.slope")
    return g.multiply(x, g.node("Sigmoid", scaled, name=f"{name}.sigmoid"), name)


def _activation(g: Graph, x: Value, form: str, name: str) -> Value:
    """Return what an MLP computes between its layers; `models.variants.activation` says what the forms are.

    The tanh form of GELU is the function of `engine.fused.gelu_tanh`.
    """
    if form == "relu":
        return g.node("Relu", x, name=name)
    if form == "quick":
        return _times_sigmoid(g, x, 1.702, name)
    if form == "erf":
        phi = g.node("Erf", g.scaled(x, 0.5**0.5, f"{name}.divided"), name=f"{name}.erf")
    else:
        square = g.multiply(x, x, f"{name}.square")
        u = g.scaled(square, 0.044715 * (2.0 / np.pi) ** 0.5, f"{name}.cubic")
        u = g.add(u, g.constant(np.float32((2.0 / np.pi) ** 0.5), f"{name}.linear"), f"{name}.slope")
        phi = g.node("Tanh", g.multiply(u, x, f"{name}.u"), name=f"{name}.tanh")
    phi = g.add(phi, g.constant(np.float32(1.0), "one"), f"{name}.shifted")
    return g.multiply(g.scaled(x, 0.5, f"{name}.half"), phi, name)


def _logits(g: Graph, model: ViT, z: Value) -> Value:
    """Return the logits, or the representation of a model without a head: (B, T, D) -> (B, K).  # Eq. 4"""
    c = model.config
    if c.distillation:
        return _mean_of_two_heads(g, model, z)
    y = _pooled(g, model, z)  # (B, D)
    if c.representation is not None:
        y = g.node("Tanh", g.linear(y, model.pre_logits, "pre_logits"), name="pre_logits.tanh")  # ViT §3.1
    return g.linear(y, model.head, "head") if c.num_classes else y


def _mean_of_two_heads(g: Graph, model: ViT, z: Value) -> Value:
    """Return the mean of two heads' logits, each of its token, or the tokens' mean: (B, T, D) -> (B, K).  # DeiT"""
    c = model.config
    z = z if c.depth else g.part(z, 1, 0, 2, "class_tokens")
    z = _final_norm(g, model, z)  # (B, 2, D)
    if not c.num_classes:
        return g.mean(z, [1], "mean_of_class_tokens")
    first, second = g.split(z, 2, 1, "class_tokens.split")
    first = g.linear(g.reshape(first, (0, c.dim), "class_token"), model.head, "head")
    second = g.reshape(second, (0, c.dim), "distillation_token")
    second = g.linear(second, model.distillation_head, "distillation_head")
    return g.scaled(g.add(first, second, "sum_of_heads"), 0.5, "mean_of_heads")


def _pooled(g: Graph, model: ViT, z: Value) -> Value:
    """Return one vector for each image: (B, T, D) -> (B, D), or (B, 2 D) of class token and mean side by side."""
    c = model.config
    if c.classifier == "token":
        cls = z if c.depth else g.part(z, 1, 0, 1, "class_token")  # the last block has left this token alone
        return g.reshape(_final_norm(g, model, cls), (0, c.dim), "pooled")
    if c.pool_before_norm:
        return _final_norm(g, model, _mean_of_patches(g, z, c))
    z = _final_norm(g, model, z)
    if c.classifier == "map":
        return _gathered_by_query(g, model.pooling, z, c)
    mean = _mean_of_patches(g, z, c)
    if c.classifier == "gap":
        return mean
    cls = g.reshape(g.part(z, 1, 0, 1, "class_token"), (0, c.dim), "class_token.flat")
    return g.node("Concat", cls, mean, name="pooled", axis=1)


def _final_norm(g: Graph, model: ViT, z: Value) -> Value:
    return g.layer_norm(z, model.encoder_norm, "encoder_norm") if model.config.final_norm else z


def _mean_of_patches(g: Graph, z: Value, c: ViTConfig) -> Value:
    front = c.num_front_tokens
    patches = g.part(z, 1, front, c.num_tokens, "patches") if front else z  # (B, N, D)
    return g.mean(patches, [1], "mean_of_patches")


def _without_registers(g: Graph, z: Value, c: ViTConfig) -> Value:
    """Return the tokens that attention pooling reads, (B, T, D) -> (B, T - R, D)."""
    patches = g.part(z, 1, c.num_front_tokens, c.num_tokens, "patches")
    if not c.num_class_tokens:
        return patches
    classes = g.part(z, 1, 0, c.num_class_tokens, "class_tokens")
    return g.node("Concat", classes, patches, name="without_registers", axis=1)


def _gathered_by_query(g: Graph, layer: Any, z: Value, c: ViTConfig) -> Value:
    """Return what a learned query gathers from all tokens but registers, then an MLP: (B, T, D) -> (B, D)."""
    d, width, tokens = c.dim, c.dim // c.heads, c.num_tokens - c.registers
    if c.registers:
        z = _without_registers(g, z, c)
    weight, bias = to_numpy(layer.qkv.weight.data), to_numpy(layer.qkv.bias.data)  # (D, 3 D), (3 D,)
    query = (to_numpy(layer.probe.data).reshape(1, d) @ weight[:, :d] + bias[:d]) * width**-0.5  # (1, D): a constant
    q = g.constant(query.reshape(1, c.heads, 1, width), "pooling.query")
    kv = g.product(z, g.constant(weight[:, d:], "pooling.kv.weight"), "pooling.kv.product")
    kv = g.add(kv, g.constant(bias[d:], "pooling.kv.bias"), "pooling.kv")  # (B, T, 2 D)
    k, v = (
        g.reshape(part, (0, tokens, c.heads, width), f"{part}.heads") for part in g.split(kv, 2, 2, "pooling.split")
    )
    k = g.transpose(k, (0, 2, 3, 1), "pooling.k")  # (B, heads, D_h, T)
    v = g.transpose(v, (0, 2, 1, 3), "pooling.v")  # (B, heads, T, D_h)
    weights = g.softmax(g.product(q, k, "pooling.scores"), "pooling.weights")  # (B, heads, 1, T)
    heads = g.reshape(g.product(weights, v, "pooling.gathered"), (0, d), "pooling.joined")  # (B, D)
    y = g.linear(heads, layer.out, "pooling.out")
    return g.add(y, _mlp(g, layer.mlp, g.layer_norm(y, layer.norm, "pooling.norm"), "pooling.mlp"), "pooling")
