"""Pictures of lesson 17: the whole package on one page, and one training step as it ran."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from minivit.utils.figures import BLUE

from ..display import new_figure
from ..reading import Call

# The columns of the map, from what imports nothing to what imports everything.
COLUMNS = (
    ("engine",), ("nn", "convolution"), ("models",), ("data",), ("training",),
    ("evaluation", "insight", "experiments"), ("bench", "cli"),
)  # fmt: skip
PALE = "#d9d9d9"
PARTS = {"engine": "#56b4e9", "nn": "#009e73", "models": "#e69f00", "training": "#cc79a7"}


def package_map(sizes: Mapping[str, int], entered: Collection[str]) -> Any:
    """Draw every file of the package as a block with a height of its lines of code, in the order of imports.

    Args:
        sizes: lines of code by file, such as `models/vit.py`.
        entered: the files to draw in blue; the others are pale.
    """
    figure = new_figure(10.4, 7.5)
    axes = figure.subplots()
    highest = 0.0
    for column, parts in enumerate(COLUMNS):
        top = 0.0
        for part in parts:
            files = {name: lines for name, lines in sizes.items() if name.startswith(f"{part}/") and lines > 5}
            axes.text(column + 0.46, top + 14, part, ha="center", va="bottom", fontsize=10, weight="bold")
            top += 40
            for name, lines in sorted(files.items(), key=lambda pair: -pair[1]):
                colour = BLUE if name in entered else PALE
                axes.bar(column, lines, 0.92, top, align="edge", color=colour, edgecolor="white", linewidth=1.2)
                if lines >= 90:  # high enough for its name
                    text = name.partition("/")[2].removesuffix(".py")
                    ink = "white" if name in entered else "black"
                    axes.text(column + 0.46, top + lines / 2, text, ha="center", va="center", fontsize=7, color=ink)
                top += lines
            top += 170
        highest = max(highest, top)
    axes.set_xlim(0, len(COLUMNS))
    axes.set_ylim(0, highest)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel("each column may import those to its left  →", fontsize=10)
    return figure


def flame(calls: Sequence[Call]) -> Any:
    """Draw calls as boxes: a call is above its caller, and later calls are to the right."""
    figure = new_figure(11.5, 4.8)
    axes = figure.subplots()
    width = max(call.end for call in calls)
    for call in calls:
        part = call.file.partition("/")[0]
        colour = PARTS.get(part, PALE)
        axes.barh(call.depth, call.end - call.start, 0.94, call.start, color=colour, edgecolor="white", linewidth=0.4)
        text = call.name.replace(".<locals>", "").removesuffix(".forward")
        if (call.end - call.start) / width > 0.0053 * len(text):
            axes.text((call.start + call.end) / 2, call.depth, text, ha="center", va="center", fontsize=7.5)
    for part, colour in PARTS.items():
        axes.barh(-9, 1, color=colour, label=part)
    axes.set_xlim(0, width)
    axes.set_ylim(-0.6, max(call.depth for call in calls) + 0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("calls, in the order in which they begin  →", fontsize=10)
    axes.set_ylabel("deeper  →", fontsize=10)
    axes.legend(ncols=4, fontsize=9, loc="upper right")
    axes.spines[:].set_visible(False)
    return figure
