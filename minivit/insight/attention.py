"""Summaries of a model's attention weights: distance, rollout, last layer (ViT §4.5, appendices D.7 and D.8).

Attention weights are large: 22 MB per image for ViT-B/16 at 224 pixels. Images are therefore processed in
micro-batches, and only a summary of each is kept. The paper follows the attention of the class token. If the head reads
the patches and no class token, the mean of the patches' attention is taken instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..backend.arrays import beside, to_numpy
from ..backend.workers import Workers, micro_batches
from ..engine.tensor import no_grad
from ..errors import ConfigError
from ..models import ViT, ViTConfig
from ..models.classifier import default_microbatch
from ..preprocessing import preprocess

# Attention weights (B, heads, T, T) of each layer, first to last; T = N + 1 with a class token, N without.
Layers = list[np.ndarray]
Advance = Callable[[int], object]


def attention_distance(
    model: ViT, pixels: np.ndarray, *, workers: Workers | None = None, advance: Advance = lambda count: None
) -> np.ndarray:
    """Return the mean attention distance of each head.  # ViT D.7, Fig. 7 right

    The distances from the centre of a patch to the centres of all patches are averaged with the attention weights of
    this patch. The mean over patches and images follows. The class token has no position, so its attention is left out,
    and so is the attention of patches to it: their weights over patches are rescaled to sum to 1.

    Args:
        model: a ViT.
        pixels: (B, H, W, C), uint8, or floats in [-1, 1]; the paper uses 128 images.
        workers: threads that share the images; None to compute in this thread.
        advance: called with the number of images after each micro-batch, for a progress bar.

    Returns:
        float64 (L, heads), in pixels.

    Raises:
        ConfigError: if the model has no blocks, or there is no image.
    """
    patches = model.config.num_patches
    distances = patch_distances(model.config)  # (N, N)

    def mean_distance(layers: Layers) -> np.ndarray:
        found = []
        for weights in layers:
            to_patches = weights[:, :, -patches:, -patches:]  # (B, heads, N, N)
            weighted = np.einsum("bhqk,qk->bhq", to_patches, distances.astype(weights.dtype))
            total = to_patches.sum(axis=-1)
            total = np.maximum(total, np.finfo(total.dtype).tiny)  # 0 if all attention is on the class token
            found.append((weighted / total).mean(axis=-1))  # (B, heads)
        return np.stack(found, axis=1)  # (B, L, heads)

    return _summaries(model, pixels, mean_distance, workers, advance).mean(axis=0, dtype=np.float64)


def attention_rollout(
    model: ViT, pixels: np.ndarray, *, workers: Workers | None = None, advance: Advance = lambda count: None
) -> np.ndarray:
    """Return attention rollout maps: the share of each patch in the model's output.  # ViT §4.5, Fig. 6, D.8

    Args:
        model, pixels, workers, advance: as for `attention_distance`.

    Returns:
        (B, h, w): the row of the class token in `rollout`, without the class token's own share, so the sum of a map is
        below 1. If the head does not read the class token: the mean of the patches' rows.

    Raises:
        ConfigError: as `attention_distance`.
    """

    def maps(layers: Layers) -> np.ndarray:
        return _row_read_by_head(rollout(layers), model.config)

    return _summaries(model, pixels, maps, workers, advance)


def rollout(layers: Sequence[np.ndarray]) -> np.ndarray:
    """Return attention rollout: the share of each input token in each output token (arXiv 2005.00928).

    In each layer, the mean over heads plus the identity (the residual connection) is rescaled so that its rows sum to
    1. The result is the matrix product over all layers.

    Args:
        layers: attention weights (B, heads, T, T) of each layer, first to last.

    Returns:
        (B, T, T); its rows sum to 1.
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
    """Return the class token's attention to each patch in the last block, averaged over the heads.

    If the head does not read the class token, it is the mean of the patches' attention.

    Args:
        model, pixels, workers, advance: as for `attention_distance`.

    Returns:
        (B, h, w); each map sums to 1.

    Raises:
        ConfigError: as `attention_distance`.
    """

    def maps(layers: Layers) -> np.ndarray:
        found = _row_read_by_head(layers[-1].mean(axis=1), model.config)
        return found / found.sum(axis=(1, 2), keepdims=True)

    return _summaries(model, pixels, maps, workers, advance)


def patch_distances(config: ViTConfig) -> np.ndarray:
    """Return the distances between the centres of all patches, in pixels: float64 (N, N)."""
    y, x = np.divmod(np.arange(config.num_patches), config.grid[1])  # (N,) each, raster order
    return config.patch_pixels * np.hypot(y[:, None] - y, x[:, None] - x)


def _row_read_by_head(rows: np.ndarray, config: ViTConfig) -> np.ndarray:
    """Return the class token's row, or the mean of the patches' rows, over the patches: (B, T, T) -> (B, h, w)."""
    front = config.num_front_tokens
    to_patches = rows[:, 0, front:] if config.reads_class_token else rows[:, front:, front:].mean(axis=1)  # (B, N)
    return to_patches.reshape(-1, *config.grid)


def _summaries(
    model: ViT, pixels: np.ndarray, summary: Callable[[Layers], np.ndarray], workers: Workers | None, advance: Advance
) -> np.ndarray:
    """Return `summary` of the attention weights of every micro-batch, concatenated along the first axis."""
    if not model.config.depth:
        raise ConfigError("a model without encoder blocks has no attention weights")
    if not len(pixels):
        raise ConfigError("attention weights need images: give 1 or more")

    weights = model.first_parameter().data

    def summarise(micro_batch: slice) -> np.ndarray:
        batch = pixels[micro_batch]
        with no_grad():
            images = preprocess(batch) if batch.dtype == np.uint8 else batch
            _, seen = model(beside(weights, images), return_intermediates=True)
        names = [f"blocks.{i}.attention.weights" for i in range(model.config.depth)]
        return summary([to_numpy(seen[name]) for name in names])

    slices = micro_batches(len(pixels), default_microbatch(model.config, len(pixels)))
    found = []
    with model.evaluating():
        results = workers.map(summarise, slices) if workers else map(summarise, slices)
        for micro_batch, result in zip(slices, results, strict=True):
            found.append(result)
            advance(micro_batch.stop - micro_batch.start)
    return np.concatenate(found)
