"""Pictures of the capstone: differences with their intervals, a confusion matrix, the best of many looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minivit.utils.figures import BLUE, ORANGE

from ..display import new_figure

GREY = "#555555"
SEEDS_ALT = (
    "Four dots without intervals: the first person found +6.9 points, the second +0.4, the third -2.2, the fourth -2.3."
)
FOUR_ALT = (
    "Four differences with their intervals, one below the other. Report C: +6.9 points without an interval. Report A: "
    "+0.4 points, from -1.3 to +2.0. Report D: -1.4 points, from -5.1 to +2.3. Report B: +0.4, from -2.0 to +2.8."
)
CONFUSION_ALT = (
    "Ten rows of labels, ten columns of guesses. Most of the diagonal is dark, and so are some other squares: ships "
    "taken for airplanes, cats for dogs, frogs for deer, deer for frogs."
)
LOOKS_ALT = (
    "Two rising curves: the best of many models that are all right on 32 % of images. "
    "With 200 test images the best of ten is near 37 %, of a hundred near 40 %; with 2,000 it rises a third as far."
)


def draw_differences(found: Mapping[str, Sequence[float]]) -> Any:
    """Draw differences with their intervals.

    Args:
        found: by name (difference, low, high), or the difference alone, as shares.
    """
    figure = new_figure(8.0, 0.9 + 0.5 * len(found))
    axes = figure.subplots()
    for row, (middle, *ends) in enumerate(found.values()):
        if ends:
            axes.plot([100 * end for end in ends], [row, row], color=BLUE, linewidth=3, solid_capstyle="butt")
        axes.plot(100 * middle, row, "o", color=BLUE if ends else ORANGE, markersize=8)
        axes.text(100 * middle, row - 0.2, f"{100 * middle:+.1f}", ha="center", va="bottom", fontsize=8)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.7)
    axes.set_xlabel("accuracy of average pooling minus class token (percentage points)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def draw_confusion(matrix: np.ndarray, classes: Sequence[str]) -> Any:
    """Draw a confusion matrix with its counts: a row for each label, a column for each guess."""
    figure = new_figure(6.6, 5.6)
    axes = figure.subplots()
    axes.imshow(matrix, cmap="Blues")
    for (row, column), count in np.ndenumerate(matrix):
        dark = count > 0.6 * matrix.max()
        axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="guess", ylabel="label")
    return figure


def draw_best_of_many(looks: Sequence[int], best: Mapping[str, Sequence[float]], true: float) -> Any:
    """Draw the accuracy of the best of many equally good models against their number."""
    figure = new_figure(7.0, 3.0)
    axes = figure.subplots()
    for (name, values), colour in zip(best.items(), (ORANGE, BLUE), strict=True):
        axes.plot(looks, [100 * value for value in values], "o-", color=colour, label=name)
    axes.axhline(100 * true, color=GREY, linewidth=1, label="the true accuracy of each")
    axes.set_xscale("log")
    axes.set_xticks(list(looks), [str(n) for n in looks])
    axes.set(xlabel="models or checkpoints to choose from", ylabel="best test accuracy (%)")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
