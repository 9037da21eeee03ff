"""Structure that the embeddings have learned, computed from the weights without any image (ViT §4.5, Fig. 7)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..backend.arrays import to_numpy
from ..errors import ConfigError
from ..models import ViT


class FilterComponents(NamedTuple):
    """Principal components of the patch embedding's filters.

    Attributes:
        components: (count, P, P, C), each of length 1, in the order of decreasing variance.
        explained: (count,), the share of the filters' variance along each component, from 0 to 1.
    """

    components: np.ndarray
    explained: np.ndarray


def filter_components(model: ViT, count: int = 28) -> FilterComponents:
    """Return the first principal components of the patch embedding's RGB filters.  # ViT §4.5, Fig. 7 left

    E (P² C, D) holds D filters of P x P pixels. Their mean is subtracted first. The sign of a component is arbitrary;
    it is chosen so that the value of largest magnitude is positive.

    Args:
        model: a ViT.
        count: the number of components (28 in the paper); there are at most min(P² C, D).

    Raises:
        ConfigError: if `count` is below 1, or the embedding reads no pixels (a hybrid's reads feature maps).
    """
    if count < 1:
        raise ConfigError(f"the number of filter components must be 1 or more, not {count}")
    kernel = to_numpy(model.embedding.weight.data).astype(np.float64)  # (P² C, D)
    patch, channels = model.config.patch_size, model.config.channels
    if model.config.backbone is not None:
        raise ConfigError("this model's patch embedding reads feature maps, not pixels: it has no filters to show")

    filters = kernel.T - kernel.mean(axis=1)  # (D, P² C)
    _, lengths, components = np.linalg.svd(filters, full_matrices=False)  # (R,), (R, P² C)
    largest = np.abs(components).argmax(axis=1)
    components *= np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)[:, None]
    variance = lengths**2
    explained = variance / max(variance.sum(), np.finfo(np.float64).tiny)  # the variance of equal filters is 0
    return FilterComponents(components[:count].reshape(-1, patch, patch, channels), explained[:count])


def position_similarity(model: ViT) -> np.ndarray:
    """Return the cosine similarity between the position embeddings of all patches.  # ViT §4.5, Fig. 7 centre

    Returns:
        (h, w, h, w), where (h, w) is the patch grid: [i, j] is the map of the patch in row i and column j. The class
        token's embedding is left out. An embedding of zeros has similarity 0 to all.

    Raises:
        ConfigError: if the model has no position embedding for each patch.
    """
    table = model.positions.table()  # (1, T, D)
    if table is None:
        raise ConfigError("this model adds no embedding to each position, so there is nothing to compare")
    embeddings = to_numpy(table.data)[0]  # (T, D): a class token comes first
    of_patches = embeddings[-model.config.num_patches :].astype(np.float64)  # (N, D)
    lengths = np.linalg.norm(of_patches, axis=1, keepdims=True)
    directions = of_patches / np.maximum(lengths, np.finfo(np.float64).tiny)
    return (directions @ directions.T).reshape(*model.config.grid, *model.config.grid)
