"""Where a model looks: its attention weights, summed up in three ways (ViT §4.5, appendices D.7 and D.8).

Attention weights are large (for ViT-B/16 at 224 pixels 22 MB an image), so images pass in micro-batches, and of each
only the sum is kept. A model without a class token reads the mean of its patches; where the paper follows the class
token's attention, the mean of all patches' attention takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..backend.arrays import to_numpy
from ..backend.workers import Workers, micro_batches
from ..engine.tensor import no_grad
from ..errors import ConfigError
from ..models import ViT, ViTConfig
from ..models.classifier import default_microbatch
from ..preprocessing import preprocess

Layers = list[np.ndarray]  # attention weights (B, heads, T, T), first layer to last; T = N + 1 with a class token, or N
Advance = Callable[[int], object]


def attention_distance(
    model: ViT, pixels: np.ndarray, *, workers: Workers | None = None, advance: Advance = lambda count: None
) -> np.ndarray:
    """How far each head looks: the mean distance between a patch and what it attends to.  # ViT §D.7, Fig. 7 right

    For each patch, the distances from its centre to every patch's are averaged with its attention as weights; then
    the mean is taken over patches and images. The class token has no place, so it asks nothing here, and what patches
    pay to it is left out: their weights over patches are rescaled to sum to 1.

    Args:
        pixels: (B, H, W, C), uint8, or floats in [-1, 1]; the paper takes 128 images.
        workers: threads that share the images; None to stay in this one.
        advance: called with the number of images after each micro-batch, for a progress bar.

    Returns:
        (L, heads), in pixels.

    Raises:
        ConfigError: if the model has no blocks, or there is no image.
    """
    patches = model.config.num_patches
    between = patch_distances(model.config)  # (N, N)

    def distance(layers: Layers) -> np.ndarray:
        found = []
        for weights in layers:
            to_patches = weights[:, :, -patches:, -patches:]  # (B, heads, N, N)
            far = np.einsum("bhqk,qk->bhq", to_patches, between.astype(weights.dtype))
            total = to_patches.sum(axis=-1)
            total = np.maximum(total, np.finfo(total.dtype).tiny)  # 0 where all attention went to the class token
            found.append((far / total).mean(axis=-1))  # (B, heads)
        return np.stack(found, axis=1)  # (B, L, heads)

    return _summaries(model, pixels, distance, workers, advance).mean(axis=0, dtype=np.float64)


def attention_rollout(
    model: ViT, pixels: np.ndarray, *, workers: Workers | None = None, advance: Advance = lambda count: None
) -> np.ndarray:
    """Which patches the model's answer is gathered from, through all layers.  # ViT §4.5, Fig. 6, §D.8

    Args:
        pixels, workers, advance: as for `attention_distance`.

    Returns:
        (B, h, w): the class token's row of `rollout` without its share in itself, so a map sums to less than 1.

    Raises:
        ConfigError: as `attention_distance`.
    """

    def maps(layers: Layers) -> np.ndarray:
        return _what_the_head_reads(rollout(layers), model.config)

    return _summaries(model, pixels, maps, workers, advance)


def rollout(layers: Sequence[np.ndarray]) -> np.ndarray:
    """Attention followed through the layers (Abnar and Zuidema, arXiv 2005.00928): (B, heads, T, T) each -> (B, T, T).

    Heads are averaged; the identity stands for the residual connection; rows are rescaled to sum to 1. The product
    of all layers says how much of each input token is in each output token.
    """
    identity = np.eye(layers[0].shape[-1], dtype=layers[0].dtype)
    flow = identity
    for weights in layers:
        mixed = weights.mean(axis=1) + identity  # (B, T, T)
        mixed /= mixed.sum(axis=-1, keepdims=True)
        flow = mixed @ flow
    return flow


def class_token_attention(
    model: ViT, pixels: np.ndarray, *, workers: Workers | None = None, advance: Advance = lambda count: None
) -> np.ndarray:
    """How much the class token attends to each patch in the last block, averaged over the heads.

    Args:
        pixels, workers, advance: as for `attention_distance`.

    Returns:
        (B, h, w); each map sums to 1.

    Raises:
        ConfigError: as `attention_distance`.
    """

    def maps(layers: Layers) -> np.ndarray:
        found = _what_the_head_reads(layers[-1].mean(axis=1), model.config)
        return found / found.sum(axis=(1, 2), keepdims=True)

    return _summaries(model, pixels, maps, workers, advance)


def patch_distances(config: ViTConfig) -> np.ndarray:
    """Distances between the centres of all patches, in pixels: float64 (N, N)."""
    (rows, columns), (height, width, _) = config.grid, config.image_shape
    y, x = np.divmod(np.arange(rows * columns), columns)  # (N,) each, raster order
    y, x = y * (height / rows), x * (width / columns)
    return np.hypot(y[:, None] - y, x[:, None] - x)


def _what_the_head_reads(rows: np.ndarray, config: ViTConfig) -> np.ndarray:
    """Of each token's row over all tokens, the class token's, or else the patches' mean: (B, T, T) -> (B, h, w)."""
    has_class_token = rows.shape[-1] > config.num_patches
    to_patches = rows[:, 0, 1:] if has_class_token else rows.mean(axis=1)  # (B, N)
    return to_patches.reshape(-1, *config.grid)


def _summaries(
    model: ViT, pixels: np.ndarray, summary: Callable[[Layers], np.ndarray], workers: Workers | None, advance: Advance
) -> np.ndarray:
    """`summary` of every micro-batch's attention weights, one below the other."""
    if not model.config.depth:
        raise ConfigError("a model without encoder blocks has no attention to look at")
    if not len(pixels):
        raise ConfigError("attention is looked at in images: give 1 or more")

    def run(piece: slice) -> np.ndarray:
        batch = pixels[piece]
        with no_grad():
            _, seen = model(preprocess(batch) if batch.dtype == np.uint8 else batch, return_intermediates=True)
        names = [f"blocks.{i}.attention.weights" for i in range(model.config.depth)]
        return summary([to_numpy(seen[name]) for name in names])

    pieces = micro_batches(len(pixels), default_microbatch(model.config, len(pixels)))
    found = []
    with model.evaluating():
        for piece, result in zip(pieces, workers.map(run, pieces) if workers else map(run, pieces), strict=True):
            found.append(result)
            advance(piece.stop - piece.start)
    return np.concatenate(found)
