"""Pictures of the paper beside the code: Fig. 1 next to the thirty lines, Table 1 in parts, and misreadings."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from minivit.utils.figures import BLUE, ORANGE

from ..display import new_figure

GREY = "#555555"
# The pieces of Fig. 1 in the order of the code: their words, a colour, and the texts that begin and end their lines.
PIECES = (
    ("patches, flattened", "#dce9f5", "x_p = ", "x_p = "),
    ("linear projection", "#c3dbef", "x_p_E = ", "x_p_E = "),
    ("class token,\nposition embedding  (1)", "#fbe3d1", "x_class = ", "z = concatenate"),
    ("Transformer encoder, L times:\nnorm, attention, +  (2)\nnorm, MLP, +  (3)", "#e4e4e4", "for i in", "z = MLP("),
    ("last norm  (4)", "#ffffff", "y = LN(", "y = LN("),
    ("MLP head", "#f7cfae", 'return linear(y, θ, "head")', 'return linear(y, θ, "head")'),
    ("multi-head attention\n(5) to (8)", "#d7eadf", "def MSA", "return linear(SA"),
    ("MLP", "#dce9f5", "def MLP", "return linear(gelu"),
    ("norm", "#fff3c4", "def LN", "return layer_norm"),
)
FIGURE_ONE_ALT = (
    "Left the pieces of Fig. 1, from the patches to the MLP head; right the code of the thirty lines. "
    "Each piece has the colour of its lines: one or two lines each, the encoder three, attention nine."
)
MISREADINGS_ALT = (
    "Bars of accuracy: the paper's equations 99.5 %, the root of D instead of D_h 96.5 %, LN(z) instead of z 79 %, "
    "the class token last 73 %, the norm after the addition 35 %, no root 10 %. "
    "The exact GELU and another ε cost nothing."
)
PARTS_ALT = (
    "Three bars, Base, Large and Huge, each divided into parts. The MLPs have about two thirds of the parameters, "
    "attention about one third; patches, positions, norms and head are thin stripes."
)


def bare_code(module: ModuleType) -> list[str]:
    """Return the lines of a module's functions without docstrings and comments."""
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    lines, kept = text.split("\n"), []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            document = node.body[0]
            skipped = range(document.lineno, (document.end_lineno or document.lineno) + 1)
            numbers = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            kept += [lines[n - 1].partition("  #")[0] for n in numbers if n not in skipped] + [""]
    return kept[:-1]


def draw_figure_one_beside_code(module: ModuleType) -> Any:
    """Draw the pieces of the paper's Fig. 1, each beside the lines of code that compute it."""
    lines = bare_code(module)
    figure = new_figure(9.6, 7.6)
    axes = figure.subplots()
    axes.set(xlim=(-37, 112), ylim=(len(lines) + 0.5, -1.5))
    axes.set_axis_off()
    axes.text(-36, -0.9, "in Fig. 1", fontsize=10, weight="bold", color=GREY)
    axes.text(1, -0.9, "in thirty_lines.py", fontsize=10, weight="bold", color=GREY)
    for number, line in enumerate(lines):
        axes.text(1, number + 0.5, line, family="monospace", fontsize=7, va="center", zorder=3)
    for words, colour, begin, end in PIECES:
        first = next(n for n, line in enumerate(lines) if line.strip().startswith(begin))
        last = next(n for n, line in enumerate(lines) if n >= first and line.strip().startswith(end))
        height = last + 1 - first
        axes.add_patch(_rectangle(0, first + 0.04, 112, height - 0.08, colour))
        rows = max(height, 1.0 + 0.85 * words.count("\n"))
        middle = first + height / 2
        axes.add_patch(_rectangle(-36, middle - rows / 2 + 0.06, 30, rows - 0.12, colour))
        axes.text(-21, middle, words, ha="center", va="center", fontsize=7, zorder=3, linespacing=1.0)
        axes.plot([-6, 0], [middle, middle], color=GREY, linewidth=0.8)
    return figure


def draw_parts(parts: Mapping[str, Mapping[str, int]]) -> Any:
    """Draw how the parameters of models divide into parts.

    Args:
        parts: for each model, the number of parameters by the part's name.
    """
    figure = new_figure(8.0, 2.6)
    axes = figure.subplots()
    colours = ["#c3dbef", "#fbe3d1", "#8fc7a8", "#7fb0dc", "#fff3c4", "#f7cfae"]
    names = list(next(iter(parts.values())))
    for row, counts in enumerate(parts.values()):
        total, left = sum(counts.values()), 0.0
        for name, colour in zip(names, colours, strict=True):
            share = counts[name] / total
            axes.barh(row, share, left=left, color=colour, edgecolor="white", linewidth=0.5)
            if share > 0.08:
                axes.text(left + share / 2, row, f"{name} {share:.0%}", ha="center", va="center", fontsize=8)
            left += share
    axes.set_yticks(range(len(parts)), [f"{name}\n{sum(c.values()) / 1e6:.0f} M" for name, c in parts.items()])
    axes.invert_yaxis()
    axes.set(xlabel="share of the parameters", xlim=(0, 1))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_misreadings(accuracies: Mapping[str, float]) -> Any:
    """Draw the accuracy of a model under each reading of an equation."""
    figure = new_figure(8.0, 0.5 + 0.42 * len(accuracies))
    axes = figure.subplots()
    names: Sequence[str] = list(accuracies)
    bars = axes.barh(names, list(accuracies.values()), color=[ORANGE] + [BLUE] * (len(names) - 1))
    axes.bar_label(bars, [f" {value:.1%}" for value in accuracies.values()], fontsize=9)
    axes.invert_yaxis()
    axes.set(xlabel="accuracy on 200 test images", xlim=(0, 1.12))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=colour, edgecolor="#999999", linewidth=0.5, zorder=2)
