"""The Vision Transformer (arXiv 2010.11929), in the paper's order and with its letters.

    B  images in a batch             N  patches of an image       D    width of a token
    H, W, C  an image's sides        P  a patch's side            D_h  width of a head, D / heads
    L  encoder blocks                K  classes                   T    tokens: N, and 1 for the class token

Comments tag what a line is in the paper: `# ViT (2)` is its Eq. 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Literal, cast, overload

import numpy as np

from .. import engine
from ..backend.arrays import Array
from ..engine import reference
from ..engine.tensor import Block, Tensor, read_only, rounded_once
from ..errors import BackwardError, ConfigError
from ..nn import Dropout, Linear, Module, init
from ..nn.layers import parameter
from ..utils.integers import integer
from .classifier import Classifier
from .configs import ViTConfig
from .hybrid import Backbone
from .positions import make_positions, relative_scores
from .variants import Identity, QueryKeyNorm, StochasticDepth, activation, depth_rate, gated, make_norm, make_scale

RNG = np.random.Generator | None
Intermediates = dict[str, Array]


class ViT(Classifier):
    """The Vision Transformer: images in, one logit for each class out.

    Args:
        config: the sizes.
        seed: of the initial weights, drawn as in the authors' code; None leaves them at zero.

    Attributes:
        checkpoint_blocks: for the backward pass, keep the input of each block alone and compute the rest again: less
            memory, more time, the same logits and gradients.
        skip_unused: leave out what the last block would compute for tokens that the head does not read.
        patch_dropout: in training mode, the share of patches that is left out, drawn for each image. A step costs less
            by the same share (PatchDropout, arXiv 2208.07220). Positions must be added once, before the first block.
    """

    checkpoint_blocks = False
    skip_unused = True
    patch_dropout = 0.0

    def __init__(self, config: ViTConfig, seed: int | None = 0):
        seed = None if seed is None else integer("the seed", seed, 0)
        rng = None if seed is None else np.random.default_rng(seed)
        d = config.dim
        self.config: ViTConfig = config
        if config.backbone is not None:
            self.backbone = Backbone(config.backbone, config.channels, config.backbone_width, rng)
        self.embedding = PatchEmbedding(config, rng)
        if config.has_class_token:
            self.cls = parameter(init.zeros((1, 1, d)))
        if config.distillation:
            self.distillation_token = parameter(init.zeros((1, 1, d)))
        if config.registers:
            self.registers = parameter(init.normal((1, config.registers, d), 0.02, rng))
        self.positions = make_positions(config, rng)
        self.dropout = Dropout(config.dropout)
        self.embedding_norm = make_norm(config) if config.embedding_norm else Identity()
        self.blocks = [EncoderBlock(config, rng, number) for number in range(config.depth)]
        if config.positions_at == "every":
            self.later_positions = [make_positions(config, rng) for _ in range(config.depth - 1)]  # not the first's
        self.encoder_norm = make_norm(config) if config.final_norm else Identity()
        if config.classifier == "map":
            self.pooling = AttentionPooling(config, rng)
        if config.representation is not None:
            self.pre_logits = Linear(init.lecun_normal((config.pooled_dim, config.representation), rng))
        if config.num_classes:
            self.head = Linear(init.zeros((config.representation or config.pooled_dim, config.num_classes)))  # ViT §3.2
        if config.num_classes and config.distillation:
            self.distillation_head = Linear(init.zeros((d, config.num_classes)))
        self._rng = np.random.default_rng([seed or 0, 1])  # dropout's, where the caller brings none

    def __repr__(self) -> str:
        """Return the sizes: image, patches, blocks, classes and parameters."""
        c = self.config
        height, width, _ = c.image_shape
        sizes = f"{height} x {width} pixels, patches of {c.patch_size}, {c.depth} blocks of width {c.dim}"
        return f"ViT({sizes}, {c.num_classes:,} classes; {self.num_parameters():,} parameters)"

    @overload
    def __call__(self, images: Tensor | Array, *, rng: RNG = None) -> Tensor: ...
    @overload
    def __call__(
        self, images: Tensor | Array, *, rng: RNG = None, return_intermediates: Literal[True]
    ) -> tuple[Tensor, Intermediates]: ...
    def __call__(self, images, **options):
        """Return the logits of a batch of images; see `forward`."""
        return self.forward(images, **options)

    def forward(
        self, images: Tensor | Array, *, rng: RNG = None, return_intermediates: bool = False
    ) -> Tensor | tuple[Tensor, Intermediates]:
        """Return the logits of a batch of images, (B, K).

        Args:
            images: (B, H, W, C) floats in [-1, 1]; `minivit.preprocess` makes them from pixels. Their range is not
                checked here; `predict` and `Trainer` check it.
            rng: draws the masks of dropout in training mode. [default: the model's generator]
            return_intermediates: also return arrays by name: `embedding` (B, N, D); for each block i
                `blocks.i.attention.weights` (B, heads, T, T) and `blocks.i.tokens` (B, T, D);
                `representation` (B, D or the representation's width), what the head reads. Do not write to
                them, since the backward pass may read the same arrays: NumPy arrays are read-only.

        Raises:
            ShapeError, DTypeError: if these are not images of the model's size, as floats.
            ConfigError: if patches would be left out although later blocks need the positions of all.
        """
        seen: Intermediates | None = {} if return_intermediates else None
        if self.config.distillation:
            y = self._pooled(images, rng, seen)  # (B, 2, D)
            _keep(seen, "representation", y.mean(axis=1))
            logits = self._mean_of_two_heads(y)  # (B, K)
        else:
            y = self.represent(images, rng=rng, seen=seen)  # (B, D)
            logits = self.head(y) if self.config.num_classes else y  # (B, K)  # ViT §3.1: the linear head
        return logits if seen is None else (logits, seen)

    def represent(self, images: Tensor | Array, *, rng: RNG = None, seen: Intermediates | None = None) -> Tensor:
        """Return what the head reads: (B, H, W, C) -> (B, D), or the representation's width.

        With distillation, two heads read one class token each; the mean of the two tokens is returned.

        Args:
            images, rng: as in `forward`.
            seen: collects the intermediates, which are read-only; None to keep none.
        """
        y = self._pooled(images, rng, seen)  # (B, D)
        if self.config.distillation:
            return y.mean(axis=1)  # (B, 2, D) -> (B, D)
        if self.config.representation is not None:
            y = self.pre_logits(y).tanh()  # ViT §3.1: the pre-training head's hidden layer
        _keep(seen, "representation", y)
        return y

    def _pooled(self, images: Tensor | Array, rng: RNG, seen: Intermediates | None) -> Tensor:
        z = self.embed(images)  # (B, N, D)
        _keep(seen, "embedding", z)
        z = self.encode(z, rng=rng, seen=seen)  # (B, T, D)
        return self.pool(z)

    def _mean_of_two_heads(self, y: Tensor) -> Tensor:
        """Return the logits of a distilled model, (B, 2, D) -> (B, K).  # DeiT, arXiv 2012.12877"""
        if not self.config.num_classes:
            return y.mean(axis=1)
        return (self.head(y[:, 0]) + self.distillation_head(y[:, 1])) * 0.5

    def embed(self, images: Tensor | Array) -> Tensor:
        """Return the patch embeddings x_p E + b, (B, H, W, C) -> (B, N, D); in a hybrid, of the feature map."""
        x = self.as_images(images)
        if self.config.backbone is not None:
            x = self.backbone(x)  # (B, h, w, C)  # ViT §3.1: a hybrid reads a feature map
        return self.embedding(x)

    def encode(
        self, z: Tensor, *, rng: RNG = None, seen: Intermediates | None = None, all_tokens: bool = False
    ) -> Tensor:
        """Return the tokens after the last block: (B, N, D) -> (B, T, D).

        If the head reads only the class token, the last block skips the other tokens: the result is (B, 1, D).

        Args:
            z: patch embeddings.
            rng, seen: as in `represent`.
            all_tokens: compute every token in any case.

        Raises:
            ConfigError: if patches would be left out although later blocks need the positions of all.
        """
        rng = rng or self._rng
        front = [engine.broadcast_to(token, (len(z), *token.shape[1:])) for token in self._front_tokens()]
        if front:
            z = engine.concatenate([*front, z], axis=1)  # [x_class; x_p E], (B, N + 1, D)  # ViT (1)
        z = self.positions(z)  # + E_pos  # ViT (1)
        if self.training and self.patch_dropout:
            z = self._without_some_patches(z, rng)
        z = self.embedding_norm(self.dropout(z, rng))  # ViT B.1: dropout
        skip = not all_tokens and self._may_skip(seen)
        for i, block in enumerate(self.blocks):
            if i and self.config.positions_at != "stem":  # ViT Table 8
                z = self.later_positions[i - 1](z) if self.config.positions_at == "every" else self.positions(z)
            queries = self.config.num_class_tokens if skip and i == self.config.depth - 1 else None
            if self.checkpoint_blocks and seen is None:
                z = engine.recompute(_in_one_mode(block, queries), z, block.parameters(), rng)
            else:
                z = block(z, rng, seen, f"blocks.{i}", queries)
            _keep(seen, f"blocks.{i}.tokens", z)
        return z

    @contextmanager
    def leaving_out(self, share: float) -> Iterator[None]:
        """Inside `with model.leaving_out(0.5):` training leaves out this share of the patches, see `patch_dropout`."""
        own, self.patch_dropout = self.patch_dropout, share
        try:
            yield
        finally:
            self.patch_dropout = own

    def _without_some_patches(self, z: Tensor, rng: np.random.Generator) -> Tensor:
        """Return tokens without a share of the patches, drawn for each image: (B, T, D) -> (B, t, D)."""
        if needs_all_patches(self.config):
            raise ConfigError(
                "patch_dropout leaves out patches before the first block, and this model needs the positions of all "
                "patches in later ones: set model.patch_dropout = 0"
            )
        b, tokens, _ = z.shape
        front = self.config.num_front_tokens
        kept = patches_kept(tokens - front, self.patch_dropout)
        drawn = rng.random((b, tokens - front)).argsort(axis=1)[:, :kept] + front  # (B, kept)
        places = np.concatenate([np.tile(np.arange(front), (b, 1)), drawn], axis=1)  # (B, t)
        return z[np.arange(b)[:, None], places]

    def _front_tokens(self) -> list[Tensor]:
        """Return the learned tokens in front of the patches: the paper has one, the class token, (1, 1, D)."""
        names = ("cls", "distillation_token", "registers")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def pool(self, z: Tensor) -> Tensor:
        """Return one vector for each image from the last block's tokens: (B, T, D) -> (B, D).

        With distillation there are two, (B, 2, D); of class token and mean side by side, the width is 2 D.
        """
        if self.config.distillation:
            return self.encoder_norm(z[:, :2])
        if self.config.classifier == "token":
            return self.encoder_norm(z[:, 0])  # the class token alone  # ViT (4)
        if self.config.pool_before_norm:
            return self.encoder_norm(self.patches(z).mean(axis=1))
        z = self.encoder_norm(z)
        if self.config.classifier == "map":
            return self.pooling(self._without_registers(z))
        mean = self.patches(z).mean(axis=1)  # ViT D.3: global average pooling
        return engine.concatenate([z[:, 0], mean], axis=1) if self.config.classifier == "token_gap" else mean

    def forward_features(self, images: Tensor | Array, *, rng: RNG = None) -> Tensor:
        """Return all tokens after the final LayerNorm, before pooling: (B, H, W, C) -> (B, T, D), as in timm.

        The tokens in front, such as the class token, come first; `patches` leaves them out. With `pool_before_norm` the
        tokens are not normalised, since the norm comes after pooling.

        Args:
            images, rng: as in `forward`.
        """
        z = self.encode(self.embed(images), rng=rng, all_tokens=True)  # (B, T, D)
        return z if self.config.pool_before_norm else self.encoder_norm(z)

    def features(self, images: Tensor | Array) -> Tensor:
        """Return the patches' final tokens as a grid, for tasks besides classification: (B, H, W, C) -> (B, h, w, D).

        They are normalised by the final LayerNorm. No patch is left out, in training mode either.
        """
        with self.leaving_out(0.0):
            z = self.encode(self.embed(images), all_tokens=True)  # (B, T, D)
        z = self.encoder_norm(self.patches(z))  # (B, N, D)
        return z.reshape(len(z), *self.config.grid, self.config.dim)

    def patches(self, z: Tensor) -> Tensor:
        """Return the tokens without those in front, such as the class token: (B, T, D) -> (B, N, D)."""
        front = self.config.num_front_tokens
        return z[:, front:] if front else z

    def _without_registers(self, z: Tensor) -> Tensor:
        """Return the tokens that attention pooling reads: registers are left out, (B, T, D) -> (B, T - R, D)."""
        if not self.config.registers:
            return z
        return engine.concatenate([z[:, : self.config.num_class_tokens], self.patches(z)], axis=1)

    def _may_skip(self, seen: Intermediates | None) -> bool:
        """Return whether the last block may skip all tokens but the class token, since Eq. 4 reads that one alone.

        It may not if intermediates are returned, or if dropout draws for all tokens. Skipping makes ViT-Ti_4-CIFAR,
        batch 128, about 1.1 times as fast in training and 1.2 times in inference (2 cores, AMD EPYC Zen 4).
        """
        drops = self.training and (self.config.dropout or self.config.attention_dropout)
        return self.skip_unused and self.config.classifier == "token" and seen is None and not drops


def needs_all_patches(config: ViTConfig) -> bool:
    """Return whether blocks after the first need the positions of all patches, so that none can be left out."""
    return config.positions == "relative" or config.positions_at != "stem"


def patches_kept(patches: int, share: float) -> int:
    """Return how many of an image's patches a training step reads if it leaves out a share of them: 1 or more.

    Half a patch is rounded to the even number: half of 5 patches are 2, half of 7 are 4.
    """
    return max(1, round((1.0 - share) * patches))


class PatchEmbedding(Module):
    """Cut the image into patches and map each by the same E: (B, H, W, C) -> (B, N, D).

    If patches do not divide a feature map (or, with `drop_rest`, the image), the rest at the bottom and the right is
    left out, as in the authors' code.
    """

    def __init__(self, config: ViTConfig, rng: RNG):
        self.patch_size = config.patch_size
        self.used = (config.grid[0] * config.patch_size, config.grid[1] * config.patch_size)  # height and width
        patch_values = config.patch_size**2 * config.feature_shape[2]  # P² C
        kernel = init.lecun_normal((patch_values, config.dim), rng)
        self.weight = parameter(kernel)  # E, (P² C, D)
        self.bias = parameter(init.zeros((config.dim,)))
        self.norm = make_norm(config) if config.patch_norm else Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return x_p E + b of each patch: (B, H, W, C) -> (B, N, D)."""
        if images.shape[1:3] != self.used:
            images = images[:, : self.used[0], : self.used[1]]
        patches = engine.patchify(images, self.patch_size)  # x_p, (B, N, P² C)  # ViT §3.1
        return self.norm(engine.linear(patches, self.weight, self.bias))


class EncoderBlock(Module):
    """One block of the Transformer encoder: (B, T, D) -> (B, T, D).

    Args:
        config: the model's.
        rng: of the initial values; None leaves them at zero.
        number: of the block, from 0, for stochastic depth.
    """

    def __init__(self, config: ViTConfig, rng: RNG, number: int = 0):
        self.norm1 = make_norm(config)  # LayerNorm
        self.attention = MultiHeadSelfAttention(config, rng)
        self.norm2 = make_norm(config)
        self.mlp = MLP(config, rng)
        self.scale1, self.scale2 = make_scale(config), make_scale(config)
        self.depth = StochasticDepth(depth_rate(config, number))

    def forward(
        self,
        z: Tensor,
        rng: RNG = None,
        seen: Intermediates | None = None,
        name: str = "",
        queries: int | None = None,
    ) -> Tensor:
        """Return the block's tokens.

        Args:
            z: (B, T, D).
            rng: draws the masks of dropout.
            seen: collects the attention weights, under `name`; None to keep none.
            name: the block's, such as "blocks.3".
            queries: how many tokens to return, counted from the first: (B, queries, D); None for all.
        """
        kept = z if queries is None else z[:, :queries]
        if self._adds_at_once():  # as in the paper's models; the last layer of each branch computes the sum
            z = self.attention(self.norm1(z), rng, seen, name, queries, plus=kept)  # ViT (2)
            return self.mlp(self.norm2(z), rng, plus=z)  # ViT (3)
        z = self.depth(self.scale1(self.attention(self.norm1(z), rng, seen, name, queries)), rng) + kept  # ViT (2)
        return self.depth(self.scale2(self.mlp(self.norm2(z), rng)), rng) + z  # ViT (3)

    def where_dropout_acts(self) -> list[bool]:
        """Return, for each part of the block that may drop something, whether it does so now."""
        parts = (self.attention.dropout, self.mlp.dropout, self.depth)
        return [self.attention.training and self.attention.weight_dropout > 0.0, *(part.is_active for part in parts)]

    def _adds_at_once(self) -> bool:
        """Return whether a branch's last layer may add z itself: nothing is computed between that layer and the sum.

        On a GPU, forward and backward pass of the block then take 40 launches; they take 42 if the sums are ops.
        """
        between = (self.attention.dropout, self.mlp.dropout, self.depth)
        plain = isinstance(self.scale1, Identity) and isinstance(self.scale2, Identity)
        return plain and not any(part.is_active for part in between)


class MultiHeadSelfAttention(Module):
    """Multi-head self-attention: in each head, every token gathers from all tokens, (B, T, D) -> (B, T, D)."""

    def __init__(self, config: ViTConfig, rng: RNG):
        d = config.dim
        self.heads = config.heads
        self.qkv = Linear(init.xavier_uniform((d, 3 * d), rng, fan_out=d), with_bias=config.qkv_bias)
        self.norm = QueryKeyNorm(config.heads, d // config.heads, config.norm_eps) if config.qk_norm else Identity()
        self.inner_norm = make_norm(config) if config.inner_norm else Identity()
        self.out = Linear(init.xavier_uniform((d, d), rng))
        if config.positions == "relative":
            self.offsets = parameter(init.normal((2 * config.num_tokens - 1, d // config.heads), 0.02, rng))
        self.relative = config.positions == "relative"
        self.weight_dropout = config.attention_dropout
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        z: Tensor,
        rng: RNG = None,
        seen: Intermediates | None = None,
        name: str = "",
        queries: int | None = None,
        plus: Tensor | None = None,
    ) -> Tensor:
        """Return what each token gathered.

        Args:
            z, rng, seen, name: as in `EncoderBlock.forward`.
            queries: how many tokens gather, counted from the first: (B, queries, D); None for all.
            plus: (B, queries, D), what the last layer adds; None for nothing.
        """
        qkv = self.norm(self.qkv(z))  # (B, T, 3 D)  # ViT (5)
        heads = self._attend(qkv, rng, seen, name, queries)  # (B, queries, D)  # ViT (6), (7)
        return self.dropout(self.out(self.inner_norm(heads), plus), rng)  # ViT (8), B.1

    def _attend(self, qkv: Tensor, rng: RNG, seen: Intermediates | None, name: str, queries: int | None) -> Tensor:
        """Return what each head gathered, side by side: (B, T, 3 D) -> (B, queries, D); see `forward`.

        The fused attention has no relative scores and no dropout of weights: with these, its composed twin computes.
        """
        if self.relative or (self.weight_dropout and self.training):
            dropout = (self.weight_dropout, rng) if self.training else (0.0, None)
            scores = partial(relative_scores, offsets=self.offsets) if self.relative else None  # ViT Table 8
            heads, weights = reference.attention_with_weights(qkv, self.heads, queries, *dropout, more_scores=scores)
            if seen is not None:
                seen[f"{name}.attention.weights"] = read_only(weights.data)
            return heads
        if seen is None:
            return engine.attention(qkv, self.heads, queries)
        heads, weights = engine.attention_with_weights(qkv, self.heads, queries)
        seen[f"{name}.attention.weights"] = read_only(weights)
        return heads


class MLP(Module):
    """Two layers with GELU between them, on each token separately: (B, T, D) -> (B, T, D).  # ViT §3.1"""

    def __init__(self, config: ViTConfig, rng: RNG):
        d, hidden = config.dim, config.mlp_dim
        self.gelu, self.gated = config.gelu, config.gated_mlp
        inner = 2 * hidden if config.gated_mlp else hidden
        self.fc1 = Linear(init.xavier_uniform((d, inner), rng), init.normal((inner,), 1e-6, rng))
        self.inner_norm = make_norm(config, hidden) if config.inner_norm else Identity()
        self.fc2 = Linear(init.xavier_uniform((hidden, d), rng), init.normal((d,), 1e-6, rng))
        self.dropout = Dropout(config.dropout)

    def forward(self, z: Tensor, rng: RNG = None, plus: Tensor | None = None) -> Tensor:
        """Return the MLP of each token plus `plus`, which the last layer adds; both (B, T, D), None adds nothing."""
        hidden = self.fc1(z)
        hidden = gated(hidden) if self.gated else activation(hidden, self.gelu)  # (B, T, MLP)
        return self.dropout(self.fc2(self.inner_norm(self.dropout(hidden, rng)), plus), rng)  # ViT B.1: dropout


@rounded_once  # in half precision, scores may be too large before they are divided
def _attend_with_one_query(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q kᵀ / √D_h) v: (1, heads, 1, D_h) with (B, heads, T, D_h) twice -> (B, heads, 1, D_h)."""
    scores = q @ k.transpose(0, 1, 3, 2) * q.shape[-1] ** -0.5  # (B, heads, 1, T)
    return engine.softmax(scores) @ v


class AttentionPooling(Module):
    """Attention pooling: a learned query gathers from all tokens, then an MLP ("map"): (B, T, D) -> (B, D)."""

    def __init__(self, config: ViTConfig, rng: RNG):
        d = config.dim
        self.heads = config.heads
        self.probe = parameter(init.xavier_uniform((1, d), rng).reshape(1, 1, d))
        self.qkv = Linear(init.xavier_uniform((d, 3 * d), rng, fan_out=d))
        self.out = Linear(init.xavier_uniform((d, d), rng))
        self.norm = make_norm(config)
        hidden = config.pooling_mlp_dim or config.mlp_dim
        self.mlp = MLP(replace(config, dropout=0.0, mlp_dim=hidden, gated_mlp=False, inner_norm=False), rng)

    def forward(self, z: Tensor) -> Tensor:
        b, tokens, d = z.shape
        d_h = d // self.heads
        weight, bias = self.qkv.weight, cast(Tensor, self.qkv.bias)
        q = engine.linear(self.probe, weight[:, :d], bias[:d]).reshape(1, 1, self.heads, d_h)
        # (B, T, 2 D) -> (2, B, heads, T, D_h)
        kv = engine.linear(z, weight[:, d:], bias[d:]).reshape(b, tokens, 2, self.heads, d_h).transpose(2, 0, 3, 1, 4)
        heads = _attend_with_one_query(q.transpose(0, 2, 1, 3), kv[0], kv[1])  # (B, heads, 1, D_h)
        y = self.out(heads.reshape(b, d))  # (B, D)
        return y + self.mlp(self.norm(y))


def _in_one_mode(block: EncoderBlock, queries: int | None) -> Block:
    """Return the function of a block that refuses to be computed again after its dropout was switched on or off."""
    acted = block.where_dropout_acts()

    def compute(z: Tensor, rng: RNG) -> Tensor:
        if block.where_dropout_acts() != acted:
            raise BackwardError(
                "dropout was switched on or off after the forward pass, whose blocks backward computes again: call "
                "backward() before model.train() or model.eval()"
            )
        return block(z, rng, queries=queries)

    return compute


def _keep(seen: Intermediates | None, name: str, value: Tensor) -> None:
    if seen is not None:
        seen[name] = read_only(value.data)
