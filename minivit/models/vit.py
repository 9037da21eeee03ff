"""The Vision Transformer (arXiv 2010.11929), in the paper's order and with its letters.

    B  images in a batch             N  patches of an image       D    width of a token
    H, W, C  an image's sides        P  a patch's side            D_h  width of a head, D / heads
    L  encoder blocks                K  classes

Comments tag what a line is in the paper: `# ViT (2)` is its Eq. 2.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, overload

import numpy as np

from .. import engine
from ..engine import reference
from ..engine.backend import Array, is_array, to_numpy
from ..engine.tensor import Tensor, no_grad
from ..engine.workers import Workers, micro_batches
from ..errors import DTypeError, ShapeError
from ..nn import Dropout, LayerNorm, Linear, Module, init
from ..nn.layers import parameter
from ..preprocessing import preprocess
from .configs import ViTConfig, default_microbatch

RNG = np.random.Generator | None
Intermediates = dict[str, Array]


class ViT(Module):
    """Images in, one logit for each class out.

    Args:
        config: the sizes.
        seed: of the initial weights (those of the authors' code); None leaves them at zero.

    Two switches trade what no logit shows. `checkpoint_blocks`: keep each block's input alone for backward, and compute
    the rest again. `skip_unused` (on): leave out what the last block would compute for tokens that nobody reads.
    """

    checkpoint_blocks = False
    skip_unused = True

    def __init__(self, config: ViTConfig, seed: int | None = 0):
        rng = None if seed is None else np.random.default_rng(seed)
        d = config.dim
        self.config = config
        self.embedding = PatchEmbedding(config, rng)
        self.cls = parameter(init.zeros((1, 1, d)))
        self.positions = parameter(init.normal((1, config.num_patches + 1, d), 0.02, rng))
        self.dropout = Dropout(config.dropout)
        self.blocks = [EncoderBlock(config, rng) for _ in range(config.depth)]
        self.encoder_norm = LayerNorm(d, config.norm_eps)
        if config.representation is not None:
            self.pre_logits = Linear(init.lecun_normal((d, config.representation), rng))
        self.head = Linear(init.zeros((config.representation or d, config.num_classes)))
        self._rng = np.random.default_rng([seed or 0, 1])  # dropout's, where the caller brings none

    @overload
    def __call__(self, images: Tensor | Array, *, rng: RNG = None) -> Tensor: ...
    @overload
    def __call__(
        self, images: Tensor | Array, *, rng: RNG = None, return_intermediates: Literal[True]
    ) -> tuple[Tensor, Intermediates]: ...
    def __call__(self, images, **options):
        """The logits of a batch of images; see `forward`."""
        return self.forward(images, **options)

    def forward(
        self, images: Tensor | Array, *, rng: RNG = None, return_intermediates: bool = False
    ) -> Tensor | tuple[Tensor, Intermediates]:
        """The logits of a batch of images.

        Args:
            images: (B, H, W, C) floats in [-1, 1]; `minivit.preprocess` makes them from pixels.
            rng: where dropout draws its masks in training mode; the model's own generator if left out.
            return_intermediates: also return arrays by name: `embedding` (B, N, D); for each block i
                `blocks.i.attention.weights` (B, heads, N + 1, N + 1) and `blocks.i.tokens` (B, N + 1, D);
                `representation` (B, D or the representation's width), what the head sees.

        Raises:
            ShapeError, DTypeError: if these are not images of the model's size, as floats.
        """
        rng = rng or self._rng
        seen: Intermediates | None = {} if return_intermediates else None

        z = self.embedding(self._as_images(images))  # (B, N, D): x_p E + b
        _keep(seen, "embedding", z)
        cls = engine.broadcast_to(self.cls, (len(z), 1, self.config.dim))
        z = engine.concatenate([cls, z], axis=1) + self.positions  # (B, N + 1, D)  # ViT (1)
        z = self.dropout(z, rng)
        for i, block in enumerate(self.blocks):
            wanted = 1 if i == self.config.depth - 1 and self._may_skip(seen) else None
            if self.checkpoint_blocks and seen is None:
                z = engine.recompute(partial(block, wanted=wanted), z, block.parameters(), rng)
            else:
                z = block(z, rng, seen, f"blocks.{i}", wanted)
            _keep(seen, f"blocks.{i}.tokens", z)
        y = self.encoder_norm(z[:, 0])  # (B, D): the class token alone  # ViT (4)
        if self.config.representation is not None:
            y = self.pre_logits(y).tanh()  # ViT §3.1: the pre-training head's hidden layer
        _keep(seen, "representation", y)
        logits = self.head(y)  # (B, K)
        return logits if seen is None else (logits, seen)

    def _may_skip(self, seen: Intermediates | None) -> bool:
        """Eq. 4 reads the class token alone: the last block need compute no other, unless someone looks, or dropout
        draws for all of them. It makes training and inference of ViT-Ti_4-CIFAR 1.13 times as fast.
        """
        drops = self.training and (self.config.dropout or self.config.attention_dropout)
        return self.skip_unused and seen is None and not drops

    def predict(self, images: Array, batch_size: int | None = None, workers: Workers | None = None) -> np.ndarray:
        """Class probabilities of pixels or preprocessed images, in evaluation mode and without a tape.

        Args:
            images: (B, H, W, C): uint8 pixels, or floats in [-1, 1].
            batch_size: how many images go through the model at a time; see `default_microbatch` if left out.
            workers: threads that share the images between them; None to stay in this one.

        Returns:
            (B, K) float32; each row sums to 1.
        """
        probabilities = np.empty((len(images), self.config.num_classes), np.float32)

        def run(piece: slice) -> None:
            batch = images[piece]
            batch = preprocess(batch) if batch.dtype == np.uint8 else batch
            with no_grad():
                probabilities[piece] = to_numpy(engine.softmax(self(batch)).data)

        shared = len(images) if workers else 4 * len(images)  # one thread has no need of four pieces
        pieces = micro_batches(len(images), batch_size or default_microbatch(self.config, shared))
        with self.evaluating():
            if workers and len(pieces) == 1:
                with workers.together():
                    run(pieces[0])
            else:
                list(workers.map(run, pieces) if workers else map(run, pieces))
        return probabilities

    def _as_images(self, images: Tensor | Array) -> Tensor:
        shape = self.config.image_shape
        if not (isinstance(images, Tensor) or is_array(images)):
            raise DTypeError(f"images must be an array or a Tensor, not {type(images).__name__}")
        if images.dtype.kind != "f":
            raise DTypeError(f"images must be floats in [-1, 1], not {images.dtype}: call minivit.preprocess(pixels)")
        if images.ndim != 4 or tuple(images.shape[1:]) != shape:
            raise ShapeError(
                f"images must have shape (B, H, W, C) = (B, {str(shape)[1:-1]}), not {tuple(images.shape)}"
            )
        if isinstance(images, Tensor):
            return images
        dtype = self.cls.dtype
        return Tensor(images if images.dtype == dtype else images.astype(dtype))


class PatchEmbedding(Module):
    """Cut the image into patches and map each by the same E: (B, H, W, C) -> (B, N, D)."""

    def __init__(self, config: ViTConfig, rng: RNG):
        self.patch_size = config.patch_size
        patch_values = config.patch_size**2 * config.channels  # P² C
        kernel = init.lecun_normal((patch_values, config.dim), rng)
        self.weight = parameter(kernel)  # E, (P² C, D)
        self.bias = parameter(init.zeros((config.dim,)))

    def forward(self, images: Tensor) -> Tensor:
        patches = engine.patchify(images, self.patch_size)  # (B, N, P² C)
        return engine.linear(patches, self.weight, self.bias)


class EncoderBlock(Module):
    """One block of the Transformer encoder: (B, N, D) -> (B, N, D), or of its result the first `wanted` tokens."""

    def __init__(self, config: ViTConfig, rng: RNG):
        self.norm1 = LayerNorm(config.dim, config.norm_eps)
        self.attention = MultiHeadSelfAttention(config, rng)
        self.norm2 = LayerNorm(config.dim, config.norm_eps)
        self.mlp = MLP(config, rng)

    def forward(
        self,
        z: Tensor,
        rng: RNG = None,
        seen: Intermediates | None = None,
        name: str = "",
        wanted: int | None = None,
    ) -> Tensor:
        kept = z if wanted is None else z[:, :wanted]
        z = self.attention(self.norm1(z), rng, seen, name, wanted) + kept  # ViT (2)
        return self.mlp(self.norm2(z), rng) + z  # ViT (3)


class MultiHeadSelfAttention(Module):
    """Every token gathers from every token, once for each head: (B, N, D) -> (B, N, D)."""

    def __init__(self, config: ViTConfig, rng: RNG):
        d = config.dim
        self.heads = config.heads
        self.qkv = Linear(init.xavier_uniform((d, 3 * d), rng, fan_out=d))
        self.out = Linear(init.xavier_uniform((d, d), rng))
        self.weight_dropout = config.attention_dropout
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        z: Tensor,
        rng: RNG = None,
        seen: Intermediates | None = None,
        name: str = "",
        queries: int | None = None,
    ) -> Tensor:
        qkv = self.qkv(z)  # (B, N, 3 D)  # ViT (5)
        heads = self._attend(qkv, rng, seen, name, queries)  # (B, queries, D)  # ViT (6), (7)
        return self.dropout(self.out(heads), rng)  # ViT (8)

    def _attend(self, qkv: Tensor, rng: RNG, seen: Intermediates | None, name: str, queries: int | None) -> Tensor:
        if self.weight_dropout and self.training:
            return reference.attention(qkv, self.heads, queries, self.weight_dropout, rng)
        if seen is None:
            return engine.attention(qkv, self.heads, queries)
        heads, seen[f"{name}.attention.weights"] = engine.attention_with_weights(qkv, self.heads, queries)
        return heads


class MLP(Module):
    """Two layers with GELU between them, on each token alone: (B, N, D) -> (B, N, D).  # ViT §3.1"""

    def __init__(self, config: ViTConfig, rng: RNG):
        d, hidden = config.dim, config.mlp_dim
        self.gelu = config.gelu
        self.fc1 = Linear(init.xavier_uniform((d, hidden), rng), init.normal((hidden,), 1e-6, rng))
        self.fc2 = Linear(init.xavier_uniform((hidden, d), rng), init.normal((d,), 1e-6, rng))
        self.dropout = Dropout(config.dropout)

    def forward(self, z: Tensor, rng: RNG = None) -> Tensor:
        hidden = self.dropout(engine.gelu(self.fc1(z), self.gelu), rng)  # (B, N, MLP)
        return self.dropout(self.fc2(hidden), rng)


def _keep(seen: Intermediates | None, name: str, value: Tensor) -> None:
    if seen is not None:
        seen[name] = value.data
