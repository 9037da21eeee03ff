"""Pictures of lesson 05: an image and its patches in reading order, and two images side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..display import new_figure


def draw_patches(image: np.ndarray, P: int) -> Figure:
    """Draw an image under a grid, and below it its patches in reading order, two rows of the grid in a line.

    Args:
        image: (H, W, 3) pixels from 0 to 255.
        P: the side of a patch in pixels; the grid has an even number of rows.
    """
    rows, columns = image.shape[0] // P, image.shape[1] // P
    figure = new_figure(9, 4.4)
    panels: Any = figure.subplots(1 + rows // 2, 1, height_ratios=[6] + [1] * (rows // 2))
    whole, *strips = panels
    whole.imshow(image)
    for line in range(P, image.shape[0], P):
        whole.axhline(line - 0.5, color="white", linewidth=0.7)
        whole.axvline(line - 0.5, color="white", linewidth=0.7)
    whole.set_xticks([])
    whole.set_yticks([])
    for i, strip in enumerate(strips):
        row = np.full((P, (P + 1) * 2 * columns, 3), 255, image.dtype)
        for j in range(2 * columns):
            r, c = divmod(i * 2 * columns + j, columns)
            row[:, j * (P + 1) : j * (P + 1) + P] = image[r * P : (r + 1) * P, c * P : (c + 1) * P]
        strip.imshow(row)
        strip.set_xticks([])
        strip.set_yticks([])
        strip.set_ylabel(f"{i * 2 * columns}", rotation=0, ha="right", va="center")
        strip.spines[:].set_visible(False)
    return figure


def draw_images(images: Mapping[str, np.ndarray]) -> Figure:
    """Draw images (H, W, 3) with pixels from 0 to 255 side by side, each below its title."""
    figure = new_figure(3 * len(images), 3)
    for axes, (title, image) in zip(figure.subplots(1, len(images), squeeze=False)[0], images.items(), strict=True):
        axes.imshow(image.astype(np.uint8))
        axes.set_title(title)
        axes.set_axis_off()
    return figure
