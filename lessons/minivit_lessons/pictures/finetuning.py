"""Pictures of lesson 13: position tables as colours, how they are resized, line drawings, accuracy in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..display import new_figure

COLOURS = ("#0072b2", "#d55e00", "#555555")
STYLES = ("-", "--", ":")
# These descriptions say what comes out: they stay here, out of the cells in which the learner first guesses.
PROGRESS_ALT = (
    "Test accuracy against the step: the fine-tuned model rises past the level of the head alone, the one from scratch "
    "stays low."
)
TABLES_ALT = (
    "Three position tables of the larger grid: smooth colours; colours in broken diagonal bands; a single colour."
)


def position_colours(table: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return a position table as colours, by the three directions in which the rows of `like` differ most.

    Args:
        table: (1, 1 + N, D), the class token in front.
        like: a table whose directions and range are used, so that two tables can be compared.

    Returns:
        (N, 3) from 0 to 1.
    """
    rows = like[0, 1:].astype(np.float64)
    middle = rows.mean(axis=0)
    directions = np.linalg.svd(rows - middle, full_matrices=False)[2][:3].T  # (D, 3)
    known = (rows - middle) @ directions
    low, high = known.min(axis=0), known.max(axis=0)
    return np.clip(((table[0, 1:] - middle) @ directions - low) / (high - low), 0.0, 1.0)


def draw_problem(image: np.ndarray, larger: np.ndarray, table: np.ndarray, P: int) -> Any:
    """Draw an image and its positions, and a larger image whose patches have no positions."""
    figure = new_figure(9.0, 2.6)
    first, known, second, unknown = figure.subplots(1, 4)
    rows, more = image.shape[0] // P, larger.shape[0] // P
    for axes, picture in ((first, image), (second, larger)):
        axes.imshow(picture)
        for line in range(P, len(picture), P):
            axes.axhline(line - 0.5, color="white", linewidth=0.6)
            axes.axvline(line - 0.5, color="white", linewidth=0.6)
        axes.set_title(f"{len(picture)} px: {len(picture) // P} x {len(picture) // P} patches", fontsize=10)
    _draw_table(known, position_colours(table, table), (rows, rows), f"the {rows * rows} positions")
    unknown.imshow(np.full((more, more, 3), 0.93))
    _grid_lines(unknown, more, more)
    unknown.text(more / 2 - 0.5, more / 2 - 0.5, "?", ha="center", va="center", fontsize=34, color="#d55e00")
    unknown.set_title(f"{more * more} positions", fontsize=10)
    for axes in (first, second, unknown):
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def draw_resized(weights: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    """Draw the weights from old to new positions, and a table before and after.

    Args:
        weights: (positions after, positions before), of one side.
        before, after: tables (1, 1 + N, D) of square grids.
    """
    figure = new_figure(9.0, 3.4)
    matrix, old, new = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    matrix.imshow(weights, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    if len(weights) <= 14:
        for (i, j), value in np.ndenumerate(weights):
            if value > 0.0:
                colour = "black" if value > 0.5 else "white"
                matrix.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    matrix.set_xlabel("old place")
    matrix.set_ylabel("new place")
    matrix.set_xticks(range(weights.shape[1]))
    matrix.set_yticks(range(0, len(weights), 1 + len(weights) // 15))
    matrix.set_title("weights of one side", fontsize=10)
    sides = weights.shape[1], weights.shape[0]
    for axes, table, side in zip((old, new), (before, after), sides, strict=True):
        _draw_table(axes, position_colours(table, before), (side, side), f"{side} x {side}")
    return figure


def draw_drawings(photographs: np.ndarray, drawings: np.ndarray, names: Sequence[str]) -> Any:
    """Draw images above, the same as line drawings below, with their names."""
    figure = new_figure(4.4, 1.75)
    for column, axes in enumerate(figure.subplots(2, len(names)).T):
        for place, picture in zip(axes, (photographs[column], drawings[column]), strict=True):
            place.imshow(picture)
            place.set_xticks([])
            place.set_yticks([])
        axes[0].set_title(names[column], fontsize=9)
    return figure


def draw_progress(runs: Mapping[str, Sequence[tuple[int, float]]], level: tuple[str, float], chance: float) -> Any:
    """Draw accuracy against the step, with a line for each run.

    Args:
        runs: points (step, accuracy) by the name of the run.
        level: name and accuracy of a horizontal line.
        chance: the accuracy of guessing.
    """
    figure = new_figure(7.0, 3.4)
    axes = figure.subplots()
    for (name, points), colour, style in zip(runs.items(), COLOURS, STYLES, strict=False):
        steps, accuracy = zip(*points, strict=True)
        axes.plot(steps, accuracy, style, color=colour, marker="o", markersize=4)
        axes.annotate(name, (steps[-1], accuracy[-1]), (6, 0), textcoords="offset points", va="center", color=colour)
    end = max(points[-1][0] for points in runs.values())
    for name, value in (level, ("guessing", chance)):
        axes.plot((0, end), (value, value), ":", color=COLOURS[2])
        axes.annotate(name, (end, value), (6, 0), textcoords="offset points", va="center", color=COLOURS[2])
    axes.set_xlim(0, end * 1.35)
    axes.set_ylim(0, 1)
    axes.set_xticks([step for step, _ in next(iter(runs.values()))])
    axes.set_xlabel("step")
    axes.set_ylabel("test accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_tables(tables: Mapping[str, np.ndarray], like: np.ndarray, grid: tuple[int, int]) -> Any:
    """Draw position tables of one grid side by side, in the colours of `like`."""
    figure = new_figure(2.6 * len(tables), 2.9)
    for axes, (name, table) in zip(np.ravel(figure.subplots(1, len(tables))), tables.items(), strict=True):
        _draw_table(axes, position_colours(table, like), grid, name)
    return figure


def _draw_table(axes: Any, colours: np.ndarray, grid: tuple[int, int], title: str) -> None:
    axes.imshow(colours.reshape(*grid, 3))
    _grid_lines(axes, *grid)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=10)


def _grid_lines(axes: Any, rows: int, columns: int) -> None:
    for line in range(1, rows):
        axes.axhline(line - 0.5, color="white", linewidth=0.6)
    for line in range(1, columns):
        axes.axvline(line - 0.5, color="white", linewidth=0.6)
