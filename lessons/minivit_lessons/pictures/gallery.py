"""Pictures of lesson 00: two things that the course builds, and accuracies as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..display import new_figure
from ..earlier import load_lesson
from ..notebooks import SOLUTIONS, lessons_folder
from .graph import draw_graph

# What lesson 00's bars show: here, and not in its cell, since the lesson asks to guess first.
SCALING_ALT = (
    "Accuracy by way of scaling: high for the right one, below one in four for unscaled pixels, for 0 to 1 and for "
    "wrapped bytes; a little lower than right for ImageNet's; nearly as high for swapped colours."
)


def draw_small_network() -> Any:
    """Draw two neurons, a third that adds them up, and the loss: lesson 01's Values with their gradients."""
    Value = load_lesson(1, lessons_folder() / SOLUTIONS).names["Value"]
    inputs = [Value(1.0, "x₁"), Value(-1.0, "x₂")]
    weights = np.random.default_rng(4).uniform(-1, 1, 6).round(2)

    def neuron(number: str, first: int, inputs: Sequence[Any]) -> Any:
        a, b = (Value(weights[first + i], f"w{number}{'₁₂'[i]}") for i in range(2))
        return (a * inputs[0] + b * inputs[1]).tanh()

    hidden = [neuron("₁", 0, inputs), neuron("₂", 2, inputs)]
    error = neuron("₃", 4, hidden) - Value(0.5, "t")
    loss = error * error
    loss.backward()
    return draw_graph(loss, slopes=False, scale=0.6)


def draw_patches(image: np.ndarray, P: int) -> Any:
    """Draw an image (H, W, C) and its patches, numbered in reading order."""
    rows, columns = image.shape[0] // P, image.shape[1] // P
    gap = max(1, P // 3)
    apart = np.full((rows * (P + gap) - gap, columns * (P + gap) - gap, 3), 255, image.dtype)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (P + gap), column * (P + gap)
            apart[top : top + P, left : left + P] = image[row * P : (row + 1) * P, column * P : (column + 1) * P]

    figure = new_figure(7.6, 3.9)
    whole, pieces = figure.subplots(1, 2)
    whole.imshow(image)
    whole.set_title(f"{image.shape[0]} x {image.shape[1]} pixels", fontsize=10)
    pieces.imshow(apart)
    pieces.set_title(f"{rows * columns} patches of {P} x {P}", fontsize=10)
    for axes in (whole, pieces):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    middle = (P - 1) / 2
    pieces.set_xticks([column * (P + gap) + middle for column in range(columns)], range(1, columns + 1), fontsize=8)
    pieces.set_yticks(
        [row * (P + gap) + middle for row in range(rows)], [1 + row * columns for row in range(rows)], fontsize=8
    )
    pieces.tick_params(length=0)
    return figure


def draw_accuracies(accuracies: dict[str, float], chance: float) -> Any:
    """Draw a bar for each accuracy, the first in blue, and a line for the accuracy of guessing."""
    figure = new_figure(7, 0.42 * len(accuracies) + 0.8)
    axes = figure.subplots()
    names = list(accuracies)
    colours = ["#0072b2"] + ["#d55e00"] * (len(names) - 1)
    axes.barh(names, list(accuracies.values()), color=colours, height=0.6)
    for i, share in enumerate(accuracies.values()):
        axes.text(share + 0.01, i, f"{share:.1%}", va="center", fontsize=9)
    axes.axvline(chance, color="#1b1b1b", linewidth=0.9, linestyle="--")
    axes.text(chance + 0.01, len(names) - 0.45, "guessing", fontsize=8, va="center")
    axes.set(xlim=(0, 1.12), ylim=(len(names) - 0.3, -0.6), xticks=[0, 0.5, 1], xlabel="accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure
