"""Pictures of lesson 12: what a model attends to, and what happens if that is painted over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minivit.insight.spotlight import draw_spotlight

from ..display import new_figure

QUERY = "#d55e00"
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#6a6a6a")  # Okabe and Ito's, and grey
DASHES = ("-", "--", "-.", ":", "-")
# This description says what comes out: it stays here, out of the cell before which the learner guesses.
ERASURE_ALT = (
    "Left five images with four kinds of maps, all in colour on the shape, the untrained ones around it too; right "
    "the accuracy against patches painted over: it falls fastest for rollout, later for the others, hardly for chance."
)


def draw_maps(pixels: np.ndarray, rows: Mapping[str, np.ndarray], titles: Sequence[str]) -> Any:
    """Draw images in a row, and below them a row for each name: the images under the spotlight of its maps.

    Args:
        pixels: (B, H, W, C), uint8.
        rows: maps (B, h, w) by name.
        titles: one for each image.
    """
    figure = new_figure(0.98 * len(pixels), 1.12 * (1 + len(rows)))
    fill_maps(figure, pixels, rows, titles)
    return figure


def fill_maps(canvas: Any, pixels: np.ndarray, rows: Mapping[str, np.ndarray], titles: Sequence[str]) -> None:
    """Draw images and maps as `draw_maps` does, on a figure or a part of one."""
    grid = canvas.subplots(1 + len(rows), len(pixels), squeeze=False)
    for i, title in zip(range(len(pixels)), titles, strict=False):
        grid[0, i].imshow(pixels[i], interpolation="nearest")
        grid[0, i].set_title(title, fontsize=9)
        for row, maps in enumerate(rows.values(), 1):
            draw_spotlight(grid[row, i], pixels[i], maps[i])
    for row, name in enumerate(["image", *rows]):
        grid[row, 0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])


def draw_attention(picture: np.ndarray, weights: np.ndarray, patch: int, P: int, title: str) -> Any:
    """Draw an image with one patch framed, and what this patch attends to.

    Args:
        picture: (H, W, C), uint8.
        weights: (N,), the patch's attention to all patches.
        patch: the number of the patch in reading order.
        P: a patch's side in pixels.
        title: the text above the map.
    """
    from matplotlib.patches import Rectangle

    columns = picture.shape[1] // P
    row, column = divmod(patch, columns)
    figure = new_figure(6.6, 3.0)
    left, right = figure.subplots(1, 2)
    left.imshow(picture, interpolation="nearest")
    left.set_title(f"patch {patch}: row {row}, column {column}", fontsize=10)
    draw_spotlight(right, picture, weights.reshape(-1, columns))
    right.set_title(title, fontsize=10)
    right.set_xlabel(f"in colour: {weights.max():.1%} of the attention; grey: 0 %")
    for axes in (left, right):
        corner = (column * P - 0.5, row * P - 0.5)
        axes.add_patch(Rectangle(corner, P, P, fill=False, edgecolor="white", linewidth=4))
        axes.add_patch(Rectangle(corner, P, P, fill=False, edgecolor=QUERY, linewidth=2))
        axes.set(xticks=[], yticks=[])
    return figure


def draw_filters_and_positions(components: np.ndarray, shares: np.ndarray, maps: np.ndarray, P: int) -> Any:
    """Draw the filters' components as small pictures, and a map of similarities for each patch.

    Args:
        components: (count, P²C).
        shares: (count,), each component's share of the filters' variance, from 0 to 1.
        maps: (h, w, h, w).
        P: a patch's side in pixels.
    """
    from minivit.insight.embeddings import FilterComponents
    from minivit.insight.figures import draw_filters, draw_positions

    figure = new_figure(9.6, 4.1)
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.05])
    draw_filters(left, FilterComponents(components.reshape(len(components), P, P, -1), shares))
    draw_positions(right, maps)
    return figure


def draw_erasure(
    pixels: np.ndarray, maps: Mapping[str, np.ndarray], counts: Sequence[int], curves: Mapping[str, Sequence[float]]
) -> Any:
    """Draw some images and their maps, and the accuracy against the number of patches painted over.

    Args:
        pixels: (B, H, W, C), uint8.
        maps: (B, h, w) by name.
        counts: numbers of patches painted over.
        curves: accuracies from 0 to 1 by name, one for each count.
    """
    figure = new_figure(10.2, 4.2)
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.3])
    fill_maps(left, pixels, maps, [""] * len(pixels))
    axes = right.subplots()
    at = len(counts) // 2  # whose accuracy is written out
    styles = zip(LINES, DASHES, strict=True)
    for (name, values), (colour, dash) in zip(curves.items(), styles, strict=False):
        percent = 100 * np.asarray(values)
        axes.plot(counts, percent, dash, color=colour, marker="o", ms=4, lw=1.8, label=f"{name}: {percent[at]:.0f} %")
    axes.set(xlabel="patches painted over", ylabel="accuracy (%)", ylim=(0, 103), xticks=counts)
    axes.grid(alpha=0.25)
    axes.legend(
        fontsize=9, frameon=False, ncol=3, columnspacing=1.2, loc="lower center", bbox_to_anchor=(0.5, 1.0),
        title=f"painted over first: the largest of ... (and the accuracy with {counts[at]} gone)", title_fontsize=9,
    )  # fmt: skip
    return figure
