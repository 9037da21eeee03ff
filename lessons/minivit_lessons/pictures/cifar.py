"""Pictures of lesson 19: images of each class, a record read in two ways, accuracy by class, a confusion matrix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..display import new_figure
from ..notebooks import lessons_folder

MEASURED = "cifar10.json"  # beside the notebooks: what `lessons/confusion.py` measured
# Descriptions for readers who cannot see the pictures; they are here so that a cell does not tell what it will show.
IMAGES = "Ten columns, one for each class, with four test images of the class below its name."
RECORDS = "The same image read from a record in two ways: as your function reads it, and by a reshape alone."
BARS = "A bar for each class, the accuracy on its test images, with a thin line for the standard error."
MATRIX = "A table of ten rows, the labels, and ten columns, the predicted classes; the darker a cell, the more images."
PUZZLE = "Two small arrays of labels and guesses, the matrix that your line makes of them, and the right one."


def measured_confusion() -> dict[str, Any]:
    """Return the confusion matrix that was measured on all test images of CIFAR-10.

    Returns:
        "classes": the names; "matrix": int (10, 10), rows are labels; "training images" and "epochs".
    """
    stored = json.loads((lessons_folder() / MEASURED).read_text(encoding="utf-8"))
    return {**stored, "matrix": np.array(stored["matrix"])}


def draw_classes(images: np.ndarray, labels: np.ndarray, names: Sequence[str], each: int = 4) -> Any:
    """Draw some images of each class, a column for each.

    Args:
        images: uint8 (B, H, W, 3).
        labels: (B,).
        names: the names of the classes.
        each: how many images of a class.
    """
    figure = new_figure(0.82 * len(names), 0.86 * each)
    grid = figure.subplots(each, len(names), squeeze=False)
    for column, name in enumerate(names):
        grid[0, column].set_title(name, fontsize=8)
        for row, i in enumerate(np.flatnonzero(labels == column)[:each]):
            grid[row, column].imshow(images[i], interpolation="nearest")
    for axes in grid.ravel():
        axes.axis("off")
    return figure


def draw_readings(readings: dict[str, np.ndarray]) -> Any:
    """Draw images side by side, each with its title.

    Args:
        readings: uint8 (H, W, 3) by title.
    """
    figure = new_figure(2.0 * len(readings), 2.2)
    for axes, (title, image) in zip(np.atleast_1d(figure.subplots(1, len(readings))), readings.items(), strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
    return figure


def draw_class_accuracies(
    accuracies: np.ndarray, errors: np.ndarray, names: Sequence[str], overall: float, title: str
) -> Any:
    """Draw the accuracy of each class with its standard error, sorted, and a line for all classes together.

    Args:
        accuracies, errors: (K,), from 0 to 1.
        names: the names of the classes.
        overall: the accuracy on all test images.
        title: what was measured.
    """
    figure = new_figure(6.0, 3.2)
    axes = figure.subplots()
    order = np.argsort(accuracies)
    axes.barh(
        [names[i] for i in order], 100 * accuracies[order], xerr=100 * errors[order], color="#0072b2", height=0.65,
        error_kw={"ecolor": "#1b1b1b", "elinewidth": 1.2},
    )  # fmt: skip
    axes.axvline(100 * overall, color="#d55e00", linestyle="--", linewidth=1.2)
    axes.text(100 * overall + 1, -0.9, f"all: {100 * overall:.1f}", color="#a34700", fontsize=8, va="center")
    axes.set(xlim=(0, 100), xlabel="accuracy (%)", ylim=(-1.3, len(names) - 0.4))
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def draw_confusion(matrix: np.ndarray, names: Sequence[str], title: str) -> Any:
    """Draw a confusion matrix with its counts; the colour is the share of the row.

    Args:
        matrix: counts (K, K), rows are labels, columns predicted classes.
        names: the names of the classes.
        title: what was measured.
    """
    figure = new_figure(5.6, 4.9)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="predicted class", ylabel="label")
    axes.set_title(title, fontsize=10)
    axes.tick_params(length=0)
    return figure
