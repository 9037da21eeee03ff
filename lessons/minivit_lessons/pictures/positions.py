"""Pictures of lesson 06: a shuffled image and two answers, sines of positions, similarities, wrong tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from minivit.utils.figures import BLUE, ORANGE

from ..display import new_figure

GREY = "#777777"
# Descriptions of pictures about which the lesson asks to guess first: here, they do not give the answer away.
ALT_ANSWERS = (
    "Above a square, below its patches shuffled. With positions the answers are square and cross. Without, the two "
    "answers are the same: cross."
)
ALT_ACCURACIES = (
    "Accuracies as bars: as trained nearly 1; lower all positions zero, and positions shuffled a little lower; lower "
    "still the class token last, and rows and columns swapped."
)


def draw_answers(images: Sequence[np.ndarray], answers: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Draw images below one another, and beside each the answers of models.

    Args:
        images: arrays (H, W, C).
        answers: probabilities (images, K) by the model's title.
        classes: the K names.
    """
    figure = new_figure(8.4, 2.35 * len(images))
    grid = figure.subplots(len(images), 1 + len(answers), width_ratios=[1, *[1.25] * len(answers)], squeeze=False)
    for i, image in enumerate(images):
        grid[i, 0].imshow(image)
        grid[i, 0].set_axis_off()
        for axes, colour, (title, probabilities) in zip(grid[i, 1:], (BLUE, ORANGE), answers.items(), strict=False):
            best = int(probabilities[i].argmax())
            axes.barh(range(len(classes)), probabilities[i], color=colour)
            axes.text(probabilities[i, best] + 0.03, best, f"{probabilities[i, best]:.2f}", va="center", fontsize=9)
            axes.set_yticks(range(len(classes)), classes, fontsize=8)
            axes.get_yticklabels()[best].set_fontweight("bold")
            axes.set(xlim=(0, 1.2), xticks=[0, 0.5, 1])
            axes.invert_yaxis()
            axes.spines[["top", "right"]].set_visible(False)
            if i == 0:
                axes.set_title(title, fontsize=10)
            if i == len(images) - 1:
                axes.set_xlabel("probability", fontsize=9)
    return figure


def draw_columns(table: np.ndarray, grid: tuple[int, int], speeds: int) -> Figure:
    """Draw the first `speeds` columns of each quarter of a table of sines (h w, D) as maps of the image."""
    quarter = table.shape[1] // 4
    figure = new_figure(1.3 * speeds + 1.6, 5.0)
    all_axes = figure.subplots(4, speeds, squeeze=False)
    names = "sin(x ω)", "cos(x ω)", "sin(y ω)", "cos(y ω)"
    shades = None
    for line, name in enumerate(names):
        for k in range(speeds):
            axes = all_axes[line, k]
            values = table[:, line * quarter + k].reshape(grid)
            shades = axes.imshow(values, cmap="cividis", vmin=-1, vmax=1)
            axes.set(xticks=[], yticks=[])
            if line == 0:
                axes.set_title(f"$\\omega_{k}$ = {10_000.0 ** -(k / max(1, quarter - 1)):.2g}", fontsize=10)
        all_axes[line, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    if shades is not None:
        figure.colorbar(shades, ax=list(all_axes.ravel()), shrink=0.6, ticks=[-1, 0, 1])
    return figure


def draw_similarities(tables: Mapping[str, np.ndarray], grid: tuple[int, int]) -> Figure:
    """Draw for each patch a map of the cosines of its position embedding with all others, as in Fig. 7.

    Args:
        tables: the position embeddings (h w, D) by title.
        grid: (h, w).
    """
    h, w = grid
    figure = new_figure(4.7 * len(tables), 4.1)
    all_axes = figure.subplots(1, len(tables), squeeze=False)[0]
    for axes, (title, table) in zip(all_axes, tables.items(), strict=True):
        unit = table / np.linalg.norm(table, axis=1, keepdims=True)
        maps = (unit @ unit.T).reshape(h, w, h, w)
        mosaic = np.full((h * (h + 1), w * (w + 1)), np.nan)
        for row in range(h):
            for column in range(w):
                mosaic[row * (h + 1) : row * (h + 1) + h, column * (w + 1) : column * (w + 1) + w] = maps[row, column]
        shades = axes.imshow(mosaic, cmap="viridis", vmax=1)
        axes.set_title(title, fontsize=11)
        axes.set_xticks([column * (w + 1) + (w - 1) / 2 for column in range(w)], range(w))
        axes.set_yticks([row * (h + 1) + (h - 1) / 2 for row in range(h)], range(h))
        axes.tick_params(length=0, labelsize=8)
        axes.set_xlabel("the patch's column")
        axes.spines[:].set_visible(False)
        figure.colorbar(shades, ax=axes, shrink=0.8, label="cosine")
    all_axes[0].set_ylabel("the patch's row")
    return figure


def draw_accuracies(accuracies: Mapping[str, float]) -> Figure:
    """Draw a bar for each accuracy, and a line for the first, to compare with."""
    figure = new_figure(7.2, 0.42 * len(accuracies) + 0.7)
    axes = figure.subplots()
    names, values = list(accuracies), list(accuracies.values())
    axes.barh(names, values, color=[BLUE, *[ORANGE] * (len(values) - 1)])
    axes.axvline(values[0], color=BLUE, linestyle="--", linewidth=1)
    for i, value in enumerate(values):
        axes.text(value - 0.01, i, f"{value:.1%}", va="center", ha="right", color="white", fontweight="bold")
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.02), xlabel="accuracy on test images")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
