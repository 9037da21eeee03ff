"""Pictures of lesson 04: sizes in a deep network, layer normalisation in space, GELU, what an MLP learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from minivit.utils.figures import BLUE, ORANGE

from ..display import new_figure

GREY = "#777777"
COLOURS = (BLUE, "#000000", ORANGE)
TWO_CLASSES = LinearSegmentedColormap.from_list("two classes", [BLUE, "#ffffff", ORANGE])


def draw_spreads(panels: Mapping[str, Mapping[float, Sequence[float]]]) -> Figure:
    """Draw how large activations are after each layer, for networks and sizes of their weights.

    Args:
        panels: for each title, the standard deviations by depth for each size.
    """
    figure = new_figure(4.6 * len(panels), 3.1)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, lines) in zip(all_axes, panels.items(), strict=True):
        depth = len(next(iter(lines.values()))) - 1
        lines = dict(sorted(lines.items(), reverse=True))
        heights = np.log10([spreads[-1] for spreads in lines.values()])
        if np.diff(-heights).min(initial=1.0) < 0.4:  # labels would overlap
            heights = heights.mean() + 0.5 * (np.arange(len(heights))[::-1] - (len(heights) - 1) / 2)
        for colour, height, (size, spreads) in zip(COLOURS, heights, lines.items(), strict=False):
            axes.semilogy(spreads, color=colour, linewidth=2)
            last = f"{spreads[-1]:.0f}" if spreads[-1] > 10 else f"{spreads[-1]:.2g}"
            axes.text(depth + 0.6, 10**height, f"s = {size:g}:  {last}", va="center", color=colour,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="layers", xlim=(0, 1.5 * depth), xticks=range(0, depth + 1, 6), ylim=(1e-3, 1e3))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("standard deviation of activations")
    return figure


def draw_circle(before: np.ndarray, after: np.ndarray) -> Figure:
    """Draw tokens of three numbers before and after layer normalisation, (M, 3) each, in the same colours."""
    figure = new_figure(8, 3.9)
    along, across = np.array([1, -1, 0]) / np.sqrt(2), np.array([1, 1, -2]) / np.sqrt(6)  # they span the plane
    angles = np.arctan2(after @ across, after @ along)  # where on the circle: the token's colour
    turn = np.linspace(0, 2 * np.pi, 100)[:, None]
    circle = np.sqrt(3) * (np.cos(turn) * along + np.sin(turn) * across)  # (100, 3)
    for i, (points, title, reach) in enumerate(
        ((before, "before: anywhere", 5.0), (after, "after: sum 0, length √3", 2.0)), start=1
    ):
        axes: Any = figure.add_subplot(1, 2, i, projection="3d")
        axes.plot(*circle.T, color=GREY, linewidth=1)
        axes.scatter(*points.T, c=angles, cmap="twilight", vmin=-np.pi, vmax=np.pi, s=16, depthshade=False,
                     edgecolors=GREY, linewidths=0.3)  # fmt: skip
        ticks = [-reach, 0, reach]
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
        axes.set(xticks=ticks, yticks=ticks, zticks=ticks, xticklabels=[], yticklabels=[], zticklabels=[])
        axes.set_title(title, fontsize=11)
        for name in "xyz":
            getattr(axes, f"set_{name}label")(f"${{x_{'xyz'.index(name) + 1}}}$", labelpad=-12)
        axes.set_box_aspect((1, 1, 1), zoom=0.95)
        axes.view_init(elev=20, azim=25)
    return figure


def draw_gelu(
    x: np.ndarray, gelu: np.ndarray, gate: np.ndarray, some: np.ndarray, by_chance: Sequence[float]
) -> Figure:
    """Draw the gate Φ(x), GELU beside ReLU, and the difference of the tanh form from the exact one.

    Args:
        x: numbers in order.
        gelu: the tanh form of GELU at x.
        gate: the exact Φ(x).
        some: fewer numbers, at which the gate was simulated.
        by_chance: the means of the simulation.
    """
    figure = new_figure(9, 2.9)
    first, second, third = figure.subplots(1, 3)
    first.plot(x, gate, color=BLUE, linewidth=2, label="Φ(x): GELU")
    first.step(x, x > 0, color=ORANGE, linestyle="--", label="0 or 1: ReLU")
    first.set_title("the gate", fontsize=11)
    second.plot(x, gelu, color=BLUE, linewidth=2, label="GELU")
    second.plot(x, np.maximum(x, 0), color=ORANGE, linestyle="--", label="ReLU")
    second.plot(some, by_chance, "o", color="black", markersize=3.5, label="by chance")
    second.set_title("x times the gate", fontsize=11)
    second.set_ylim(-0.5, 3.2)
    error = gelu - x * gate
    third.plot(x, error * 1e4, color=BLUE)
    third.text(0, 2.6, f"at most\n{np.abs(error).max():.5f}\nat ±{abs(x[np.abs(error).argmax()]):.1f}",
               ha="center", va="center", fontsize=9)  # fmt: skip
    third.set_title("tanh form − exact form", fontsize=11)
    third.set_ylabel("in units of 0.0001")
    for axes in (first, second, third):
        axes.set_xlabel("x")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    first.legend(frameon=False, fontsize=9, loc="upper left")
    second.legend(frameon=False, fontsize=9, loc="upper left")
    first.set_ylim(-0.05, 1.5)
    first.set_yticks([0, 0.5, 1])
    return figure


def draw_regions(points: np.ndarray, labels: np.ndarray, maps: Mapping[str, np.ndarray], reach: float) -> Figure:
    """Draw the probability of class 1 at each point of the plane, and the points of both classes.

    Args:
        points: (M, 2) between -reach and reach.
        labels: (M,), 0 or 1.
        maps: for each title, probabilities (h, w), the first row at the bottom.
        reach: the largest coordinate of the maps.
    """
    figure = new_figure(3.7 * len(maps), 3.4)
    all_axes = figure.subplots(1, len(maps), squeeze=False)[0]
    shades = None
    for axes, (title, probabilities) in zip(all_axes, maps.items(), strict=True):
        ticks = np.linspace(-reach, reach, len(probabilities))
        shades = axes.contourf(ticks, ticks, probabilities, levels=np.linspace(0, 1, 11), cmap=TWO_CLASSES, alpha=0.6)
        for label, mark, colour in ((0, "o", BLUE), (1, "^", ORANGE)):
            axes.scatter(*points[labels == label].T, s=11, marker=mark, color=colour)
        if probabilities.min() < 0.5 < probabilities.max():
            axes.contour(ticks, ticks, probabilities, levels=[0.5], colors="black", linewidths=1.5)
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[], aspect="equal")
    if shades is not None:
        figure.colorbar(shades, ax=list(all_axes), shrink=0.8, ticks=[0, 0.5, 1], label="probability of “inside”")
    return figure
