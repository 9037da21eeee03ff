"""Pictures of lesson 14: a convolution with its numbers, accuracy by the number of images, shuffled patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..display import new_figure

COLOURS = {"ViT": "#0072b2", "ResNet": "#d55e00", "hybrid": "#555555"}
MARKERS = {"ViT": "o", "ResNet": "s", "hybrid": "^"}

# Test accuracy after 600 steps: for each family, numbers of training images, each with the accuracies of three seeds.
LONGER_RUNS: dict[str, list[tuple[int, tuple[float, ...]]]] = {
    "ViT": [
        (200, (0.334, 0.291, 0.335)),
        (800, (0.543, 0.526, 0.507)),
        (3_200, (0.686, 0.661, 0.659)),
        (12_800, (0.665, 0.665, 0.641)),
    ],
    "hybrid": [
        (200, (0.566, 0.516, 0.566)),
        (800, (0.875, 0.840, 0.886)),
        (3_200, (0.981, 0.977, 0.976)),
        (12_800, (0.994, 0.987, 0.980)),
    ],
    "ResNet": [
        (200, (0.272, 0.279, 0.310)),
        (800, (0.902, 0.906, 0.910)),
        (3_200, (0.994, 0.995, 0.994)),
        (12_800, (1.000, 0.999, 0.998)),
    ],
}
# The pictures' descriptions say what comes out: they stay here, out of the cells in which the learner first guesses.
DATA_SIZES_ALT = (
    "Left, 150 steps: the ResNet rises steeply from 200 to 3,200 images, the ViT slowly. Right, 600 steps: with 200 "
    "images the hybrid is far ahead of the other two; from 800 images on ResNet and hybrid lead, and the ViT levels "
    "off below."
)
SHUFFLED_ALT = (
    "Four shapes and below each the same in shuffled pieces. Bars: the ViT has about the same accuracy on both, the "
    "ResNet loses much of its lead."
)


def draw_convolution(image: np.ndarray, kernel: np.ndarray, result: np.ndarray, place: tuple[int, int]) -> Any:
    """Draw an image, a kernel and the feature map with their numbers, and frame one window and its result.

    Args:
        image: (H, W).
        kernel: (h, w).
        result: (H, W), by "SAME" padding with stride 1.
        place: row and column of the framed result.
    """
    figure = new_figure(9.0, 3.5)
    widths = [image.shape[1], kernel.shape[1], result.shape[1]]
    parts = figure.subplots(1, 3, width_ratios=widths)
    titles = ("image", "kernel", "feature map")
    for axes, array, title, colours in zip(
        parts, (image, kernel, result), titles, ("cividis", "RdBu_r", "RdBu_r"), strict=True
    ):
        limit = float(np.abs(array).max())
        low = float(array.min()) if colours == "cividis" else -limit
        axes.imshow(array, cmap=colours, vmin=low, vmax=limit)
        for (i, j), value in np.ndenumerate(array):
            share = (value - low) / (limit - low)
            dark = share < 0.55 if colours == "cividis" else not 0.2 < share < 0.8
            colour = "white" if dark else "black"
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=9, color=colour)
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    row, column = place
    above, left = (kernel.shape[0] - 1) // 2, (kernel.shape[1] - 1) // 2
    _frame(parts[0], row - above, column - left, *kernel.shape)
    _frame(parts[2], row, column, 1, 1)
    return figure


def draw_data_sizes(
    points: Mapping[str, Sequence[tuple[int, Sequence[float]]]], others: Mapping[str, Sequence[tuple[int, float]]]
) -> Any:
    """Draw test accuracy against the number of training images, in two panels.

    Args:
        points: for each family, the accuracies of several seeds at each number of images.
        others: for each family, one accuracy at a few numbers of images.
    """
    figure = new_figure(8.6, 3.4)
    short, long = figure.subplots(1, 2, sharey=True)
    for family, found in others.items():
        sizes, values = zip(*found, strict=True)
        short.plot(sizes, values, color=COLOURS[family], marker=MARKERS[family])
        short.annotate(
            family, (sizes[-1], values[-1]), (-8, 7), textcoords="offset points", ha="right", color=COLOURS[family]
        )
    for family, found in points.items():
        sizes = [size for size, _ in found]
        means = [float(np.mean(values)) for _, values in found]
        long.plot(sizes, means, color=COLOURS[family])
        for size, values in found:
            long.plot([size] * len(values), values, MARKERS[family], color=COLOURS[family], markersize=4)
        long.plot([], [], marker=MARKERS[family], color=COLOURS[family], label=family)
    long.legend(frameon=False, loc="lower right")
    for axes in (short, long):
        axes.set_xscale("log")
        axes.set_xlabel("training images")
        axes.set_ylim(0, 1.03)
        axes.spines[["top", "right"]].set_visible(False)
        sizes = sorted({size for found in (points if axes is long else others).values() for size, _ in found})
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
    short.set_ylabel("test accuracy")
    short.set_title("150 steps", fontsize=10)
    long.set_title("600 steps, three seeds", fontsize=10)
    return figure


def draw_shuffled(images: np.ndarray, shuffled: np.ndarray, scores: Mapping[str, tuple[float, float]]) -> Any:
    """Draw images, the same with shuffled patches, and accuracies before and after as bars."""
    figure = new_figure(8.6, 2.8)
    pictures, bars = figure.subfigures(1, 2, width_ratios=[1.0, 1.15])
    for column, axes in enumerate(pictures.subplots(2, len(images)).T):
        for place, picture, title in zip(axes, (images[column], shuffled[column]), ("", ""), strict=True):
            place.imshow(picture)
            place.set_title(title)
            place.set_xticks([])
            place.set_yticks([])
    axes = bars.subplots()
    for i, (family, (before, after)) in enumerate(scores.items()):
        for shift, value, alpha, name in ((-0.19, before, 1.0, "as they are"), (0.19, after, 0.45, "shuffled")):
            axes.bar(i + shift, value, 0.36, color=COLOURS[family], alpha=alpha)
            axes.text(i + shift, value + 0.02, f"{value:.0%}\n{name}", ha="center", fontsize=8)
    axes.set_xticks(range(len(scores)), list(scores))
    axes.set_ylim(0, 1.18)
    axes.set_yticks([0, 0.5, 1.0])
    axes.set_ylabel("test accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _frame(axes: Any, row: int, column: int, height: int, width: int) -> None:
    from matplotlib.patches import Rectangle

    corner = (column - 0.5, row - 0.5)
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#d55e00", linewidth=2.5))
