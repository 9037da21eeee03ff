"""Pictures of lesson 15: what a network is shown, what it must predict, and what it predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..display import new_figure

HIDDEN = (255, 205)  # the two greys of the chequered patches that the network does not see
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7f7f7f")
MARKS = ("o", "s", "^", "D")
# The text of `few_shot_curves`, for readers who cannot see it; here, since it answers a question of the lesson.
FEW_SHOT_TEXT = (
    "Test accuracy against labelled images of each class. The network trained with labels is near the top from the "
    "first image on; pixels, the untrained network and the colour guesser stay close to the tenth of pure chance."
)


def colours_of(numbers: np.ndarray) -> np.ndarray:
    """Return the 512 colours as pixels, each the centre of its level: (...,) -> (..., 3) uint8."""
    digits = np.stack([numbers // 64, numbers // 8 % 8, numbers % 8], axis=-1)  # three bits a channel
    return (digits * 32 + 16).astype(np.uint8)


def seen_by_the_network(image: np.ndarray, masked: np.ndarray, source: np.ndarray, patch: int) -> np.ndarray:
    """Return an image (H, W, 3) with its masked patches chequered and its replaced ones replaced."""
    rows, columns = image.shape[0] // patch, image.shape[1] // patch
    chequers = np.array(HIDDEN, np.uint8)[np.indices((patch, patch)).sum(axis=0) % 2][:, :, None]  # (P, P, 1)
    seen = image.copy()
    for n in range(rows * columns):
        to, origin = _square(n, columns, patch), _square(int(source[n]), columns, patch)
        seen[to] = chequers if masked[n] else image[origin]
    return seen


def pretext_task(
    image: np.ndarray,
    corrupted: np.ndarray,
    masked: np.ndarray,
    source: np.ndarray,
    numbers: np.ndarray,
    patch: int,
) -> Any:
    """Draw an image, what the network is shown of it, and what it must predict.

    Args:
        image: (H, W, 3) pixels.
        corrupted, masked, source: (N,), as `draw_corruption` draws them.
        numbers: (N,) the colour of each patch, from 0 to 511.
        patch: P.
    """
    figure = new_figure(9.4, 3.5)
    titles = ("image", "input of the network", "targets")
    pictures = (
        image,
        seen_by_the_network(image, masked, source, patch),
        targets_drawn(image, corrupted, numbers, patch),
    )
    axes = figure.subplots(1, 3)
    for panel, picture, title in zip(axes, pictures, titles, strict=True):
        panel.imshow(picture)
        panel.set_title(title, fontsize=11)
        _grid(panel, image, patch)
    columns = image.shape[1] // patch
    replaced = source != np.arange(len(source))
    for n in np.flatnonzero(corrupted):
        y, x = (n // columns + 0.5) * patch - 0.5, (n % columns + 0.5) * patch - 0.5
        mark = "?" if masked[n] else "R" if replaced[n] else "S"
        white_behind = {"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axes[1].text(x, y, mark, ha="center", va="center", fontsize=8, bbox=white_behind)
    return figure


def targets_drawn(image: np.ndarray, shown: np.ndarray, numbers: np.ndarray, patch: int) -> np.ndarray:
    """Return the colours of the patches that are `shown`, and white for the others: (H, W, 3) pixels."""
    picture = np.full_like(image, 255)
    columns = image.shape[1] // patch
    for n in np.flatnonzero(shown):
        picture[_square(int(n), columns, patch)] = colours_of(numbers[n])
    return picture


def rows(pictures: Mapping[str, np.ndarray]) -> Any:
    """Draw rows of pictures, (M, H, W, 3) pixels each, with their names."""
    columns = max(map(len, pictures.values()))
    figure = new_figure(1.35 * columns + 0.6, 1.4 * len(pictures))
    panels = figure.subplots(len(pictures), columns, squeeze=False)
    for line, (name, images) in zip(panels, pictures.items(), strict=True):
        line[0].set_ylabel(name, fontsize=11)
        for panel, image in zip(line, images, strict=True):
            panel.imshow(image)
            panel.set_xticks([])
            panel.set_yticks([])
    return figure


def guesses(
    images: np.ndarray,
    shown: Sequence[np.ndarray],
    corrupted: np.ndarray,
    right: np.ndarray,
    guessed: np.ndarray,
    patch: int,
) -> Any:
    """Draw images in columns: what was shown, the right colours of corrupted patches, and the predicted ones.

    Args:
        images: (M, H, W, 3) pixels.
        shown: M pictures from `seen_by_the_network`.
        corrupted: (M, N).
        right, guessed: (M, N) colours, from 0 to 511.
        patch: P.
    """
    figure = new_figure(1.55 * len(images) + 0.6, 4.9)
    for column, panels in enumerate(figure.subplots(3, len(images)).T):
        hidden = corrupted[column]
        pictures = (
            shown[column],
            targets_drawn(images[column], hidden, right[column], patch),
            targets_drawn(images[column], hidden, guessed[column], patch),
        )
        for panel, picture, name in zip(panels, pictures, ("input", "target", "prediction"), strict=True):
            panel.imshow(picture)
            _grid(panel, images[column], patch)
            if column == 0:
                panel.set_ylabel(name, fontsize=11)
    return figure


def few_shot_curves(shots: Sequence[int], accuracies: Mapping[str, np.ndarray]) -> Any:
    """Draw accuracy against the number of labelled images of each class.

    Args:
        shots: numbers of images of each class.
        accuracies: (draws, len(shots)) by the name of the representation.
    """
    figure = new_figure(7.2, 3.9)
    axes = figure.subplots()
    for (name, values), colour, mark in zip(accuracies.items(), COLOURS, MARKS, strict=False):
        mean, low, high = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
        axes.plot(shots, mean, color=colour, marker=mark, label=name)
        axes.fill_between(shots, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.axhline(0.1, color="black", linewidth=0.8, linestyle=":")
    axes.text(shots[-1] * 1.12, 0.1, "chance", va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_xticks(shots, [str(n) for n in shots])
    axes.minorticks_off()
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("labelled images of each class")
    axes.set_ylabel("test accuracy")
    axes.legend(loc="center left", bbox_to_anchor=(0.0, 0.62), fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def leak_curves(curves: Mapping[str, Sequence[float]], tests: Mapping[str, float]) -> Any:
    """Draw the training accuracies step by step, and the accuracies on hidden patches."""
    figure = new_figure(8.6, 3.3)
    training, test = figure.subplots(1, 2, width_ratios=[2, 1])
    width = 20
    for (name, values), colour in zip(curves.items(), COLOURS, strict=False):
        smooth = np.convolve(values, np.ones(width) / width, mode="valid")
        training.plot(np.arange(len(smooth)) + width, smooth, color=colour, label=name)
    training.set_xlabel("step")
    training.set_ylabel("training accuracy (colours)")
    training.set_ylim(0, 1)
    training.legend(fontsize=9, loc="upper left")
    bars = test.bar(range(len(tests)), list(tests.values()), color=COLOURS[: len(tests)], width=0.6)
    test.bar_label(bars, [f"{value:.0%}" for value in tests.values()], fontsize=10)
    test.set_xticks(range(len(tests)), list(tests), fontsize=9)
    test.set_ylim(0, 1)
    test.set_title("accuracy on hidden patches", fontsize=10)
    for axes in (training, test):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _square(n: int, columns: int, patch: int) -> tuple[slice, slice]:
    row, column = divmod(n, columns)
    return slice(row * patch, (row + 1) * patch), slice(column * patch, (column + 1) * patch)


def _grid(axes: Any, image: np.ndarray, patch: int) -> None:
    for line in range(patch, image.shape[0], patch):
        axes.axhline(line - 0.5, color="white", linewidth=0.5)
    for line in range(patch, image.shape[1], patch):
        axes.axvline(line - 0.5, color="white", linewidth=0.5)
    axes.set_xticks([])
    axes.set_yticks([])
