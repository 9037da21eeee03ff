"""Small arrays drawn as cells with their numbers in them, side by side like the terms of an equation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minivit.utils.figures import ORANGE

from ..display import new_figure

CELL = 0.52  # inches
GAP, TITLE = 0.6, 0.75  # in cells: the distance between arrays, and the height of a title

# What a picture of lesson 03 shows: here, and not in its cell, since the lesson asks to guess first.
BLIND_CHECK = (
    "With v all 1, the finite differences and both gradients are 0. With random v the lazy gradient is still 0, and "
    "the differences are not."
)


@dataclass(frozen=True)
class Cells:
    """An array to draw.

    Attributes:
        title: the text above it.
        array: one axis, drawn as a row, or two axes.
        marked: the cells with an orange frame, as (row, column).
        pale: the rows to draw pale, such as copies.
        digits: the number of digits after the decimal point.
    """

    title: str
    array: Any
    marked: Iterable[tuple[int, int]] = ()
    pale: Iterable[int] = ()
    digits: int = 0


Line: TypeAlias = Sequence[Cells | str]


def draw_cells(*lines: Line, width: float = 8.0) -> Any:
    """Draw lines of arrays; a string, such as "+", is a sign between two arrays.

    The colour of a cell is its number, on one scale for all arrays of a line, with 0 in the centre.

    Args:
        lines: each a sequence of `Cells` and strings.
        width: the figure's largest width in inches; a larger figure is scaled down.
    """
    across = max(sum(_width(thing) + GAP for thing in line) for line in lines)
    down = sum(_height(line) for line in lines)
    scale = min(1.0, width / (across * CELL))
    figure = new_figure(across * CELL * scale, down * CELL * scale)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-GAP / 2, across - GAP / 2)
    axes.set_ylim(down, 0)
    axes.set_axis_off()
    top = 0.0
    for line in lines:
        largest = max(_largest(thing) for thing in line if isinstance(thing, Cells))
        left, middle = 0.0, top + TITLE + (_height(line) - TITLE - GAP) / 2
        for thing in line:
            if isinstance(thing, str):
                axes.text(left + _width(thing) / 2, middle, thing, ha="center", va="center", fontsize=15 * scale)
            else:
                _draw(axes, thing, left, middle, largest, scale)
            left += _width(thing) + GAP
        top += _height(line)
    return figure


def _largest(cells: Cells) -> float:
    return max(float(np.max(np.abs(cells.array))), 10.0**-cells.digits)


def _width(thing: Cells | str) -> float:
    if isinstance(thing, str):
        return max(0.4, 0.24 * len(thing))
    return max(np.atleast_2d(thing.array).shape[1], 0.21 * len(thing.title))


def _height(line: Line) -> float:
    return TITLE + max(np.atleast_2d(thing.array).shape[0] for thing in line if isinstance(thing, Cells)) + GAP


def _draw(axes: Any, cells: Cells, left: float, middle: float, largest: float, scale: float) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    array = np.atleast_2d(cells.array)
    rows, columns = array.shape
    left += (_width(cells) - columns) / 2
    top = middle - rows / 2
    pale = set(cells.pale)
    axes.text(left + columns / 2, top - 0.25, cells.title, ha="center", va="bottom", fontsize=11 * scale)
    for (i, j), number in np.ndenumerate(array):
        colour = colormaps["cividis"](0.5 + 0.5 * float(number) / largest)
        dark = np.dot(colour[:3], (0.3, 0.59, 0.11)) < 0.5 and i not in pale
        alpha = 0.35 if i in pale else 1.0
        axes.add_patch(
            Rectangle((left + j, top + i), 1, 1, facecolor=colour, edgecolor="white", linewidth=1, alpha=alpha)
        )
        axes.text(
            left + j + 0.5,
            top + i + 0.52,
            _written(float(number), cells.digits),
            ha="center",
            va="center",
            fontsize=10 * scale,
            color="white" if dark else "black",
        )
    for i, j in cells.marked:
        axes.add_patch(Rectangle((left + j, top + i), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.5 * scale))


def _written(number: float, digits: int) -> str:
    text = f"{number:.{digits}f}"
    return text.lstrip("-") if float(text) == 0.0 else text.replace("-", "−")
