"""Figures of a model at work."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import Dataset
from ..engine.backend import to_numpy
from ..engine.tensor import no_grad
from ..files import atomic_file
from ..models import ViT
from ..preprocessing import preprocess


def class_token_attention(model: ViT, pixels: np.ndarray) -> np.ndarray:
    """How much the class token attends to each patch in the last block, averaged over the heads.

    Args:
        pixels: uint8 (B, H, W, C).

    Returns:
        (B, h, w), h and w the patch grid's sides; each map sums to 1.
    """
    with no_grad(), model.evaluating():
        _, seen = model(preprocess(pixels), return_intermediates=True)
    weights = to_numpy(seen[f"blocks.{model.config.depth - 1}.attention.weights"])  # (B, heads, N + 1, N + 1)
    if model.config.has_class_token:
        to_patches = weights[:, :, 0, 1:].mean(axis=1)  # (B, N)
    else:
        to_patches = weights.mean(axis=(1, 2))  # (B, N): no class token asks, so all patches do
    to_patches /= to_patches.sum(axis=-1, keepdims=True)
    return to_patches.reshape(-1, *model.config.grid)


def predictions_figure(model: ViT, dataset: Dataset, path: str | Path, count: int = 10, title: str = "") -> None:
    """Write a picture of the first `count` images: what the model says, how sure it is, and where it looks."""
    from matplotlib.figure import Figure

    pixels, labels = dataset.images[:count], dataset.labels[:count]
    probabilities = model.predict(pixels)
    maps = class_token_attention(model, pixels)

    figure = Figure(figsize=(1.25 * count, 3.3), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False)
    height, width = pixels.shape[1:3]
    for i in range(count):
        said = int(probabilities[i].argmax())
        right = said == labels[i]
        text = f"{dataset.classes[said]}\n{probabilities[i, said]:.0%}" + (
            "" if right else f"\nis: {dataset.classes[labels[i]]}"
        )
        axes[0, i].imshow(pixels[i])
        axes[0, i].set_title(text, fontsize=9, color="black" if right else "#B5370C")
        axes[1, i].imshow(pixels[i].mean(axis=-1), cmap="gray", alpha=0.5)
        axes[1, i].imshow(
            maps[i],
            cmap="viridis",
            alpha=0.75,
            extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            interpolation="bicubic",
        )
        for row in range(2):
            axes[row, i].set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("image", fontsize=9)
    axes[1, 0].set_ylabel("attention of the\nclass token", fontsize=9)
    figure.suptitle(title, fontsize=10)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=110)
