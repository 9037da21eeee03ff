"""Pictures of optimisers: paths down a valley, learning rates, losses, and Adam's first steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..display import new_figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")

# What the pictures show, for readers who cannot see them; here, since some of it answers what the lesson asks first.
VALLEY = (
    "Left: over the contour lines of a long valley, one path moves slowly along the floor and another jumps from "
    "wall to wall. Right: the loss falls slowly for both."
)
THREE_RULES = (
    "Three paths down the valley. Plain gradient descent zigzags, momentum swings and overshoots, Adam goes "
    "straight at first."
)
RATES = (
    "The learning rate over 200 steps: it increases in a straight line for 20 of them, then decreases along a "
    "cosine or a line."
)
LOSSES = "Three falling training losses: momentum and AdamW end below plain gradient descent."
UNCORRECTED = (
    "Left: with correction each step is one learning rate long; without, up to six and a half. Right: the path "
    "without correction overshoots the star."
)


def draw_descent(hessian: np.ndarray, paths: Mapping[str, np.ndarray]) -> Any:
    """Draw paths over the contour lines of a quadratic loss ½ wᵀ H w, and the loss after each step.

    Args:
        hessian: H, (2, 2).
        paths: the weights after each step by name, (steps + 1, 2).
    """
    figure = new_figure(9.5, 3.5)
    valley, curve = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _draw_valley(valley, hessian, next(iter(paths.values()))[0])
    for (name, path), colour in zip(paths.items(), COLOURS, strict=False):
        valley.plot(path[:, 0], path[:, 1], ".-", color=colour, linewidth=1.3, markersize=4, label=name)
        curve.plot(_loss(hessian, path), color=colour, linewidth=1.6, label=name)
    valley.set_title("path from the dot to the star", fontsize=10)
    curve.set_yscale("log")
    curve.set_ylim(1e-3, 1e3)
    curve.set(xlabel="step")
    curve.set_title("loss after each step", fontsize=10)
    curve.grid(alpha=0.3)
    curve.legend(fontsize=9)
    return figure


def _draw_valley(axes: Any, hessian: np.ndarray, begin: np.ndarray) -> None:
    """Draw the contour lines of the loss, a dot at the start of the paths and a star at the minimum."""
    reach = max(3.0, 2.0 * abs(begin[1]))  # room for a path around its start
    w1, w2 = np.meshgrid(np.linspace(-5, 5, 101), np.linspace(-reach, reach, 61))
    height = np.sqrt(_loss(hessian, np.stack([w1, w2], axis=-1)))
    axes.contourf(w1, w2, height, levels=10, cmap="Greys", vmin=0, vmax=2.2 * height.max())
    axes.plot(0, 0, "*", color="black", markersize=11, zorder=3)
    axes.plot(*begin, "o", color="black", markersize=6, zorder=3)
    axes.set(xlim=(-5, 5), ylim=(-reach, reach), xlabel="$w_1$", ylabel="$w_2$", aspect="equal")


def _loss(hessian: np.ndarray, w: np.ndarray) -> np.ndarray:
    return 0.5 * np.einsum("...i,ij,...j->...", w, hessian, w)


def draw_rates(rates: Mapping[str, Sequence[float]], warmup: int) -> Any:
    """Draw learning rates against the steps of a run.

    Args:
        rates: the rates by name, one for each step.
        warmup: the number of steps of the warmup.
    """
    figure = new_figure(7, 2.7)
    axes = figure.subplots()
    axes.axvspan(0, warmup, color="#f0e442", alpha=0.3, linewidth=0, label="warmup")
    for (name, values), colour in zip(rates.items(), COLOURS, strict=False):
        axes.plot(values, color=colour, linewidth=2, label=name)
    axes.set(xlabel="step", ylabel="learning rate", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    return figure


def draw_losses(losses: Mapping[str, Sequence[float]], window: int = 10) -> Any:
    """Draw smoothed training losses against the steps, over the losses themselves.

    Args:
        losses: the losses by name, one for each step.
        window: the number of steps that the moving mean covers.
    """
    figure = new_figure(7, 3)
    axes = figure.subplots()
    for (name, values), colour in zip(losses.items(), COLOURS, strict=False):
        mean = np.convolve(values, np.ones(window) / window, mode="valid")
        axes.plot(values, color=colour, linewidth=0.6, alpha=0.3)
        axes.plot(np.arange(window - 1, len(values)), mean, color=colour, linewidth=2, label=name)
    axes.axhline(np.log(10), color="black", linestyle=":", linewidth=1)
    last = max(len(values) for values in losses.values()) - 1
    axes.annotate("ln 10: chance", (last, np.log(10)), (0, -11), textcoords="offset points", fontsize=8, ha="right")
    axes.set(xlabel="step", ylabel="mini-batch loss")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="lower left")
    return figure


def draw_first_steps(sizes: Mapping[str, Sequence[float]], paths: Mapping[str, np.ndarray], hessian: np.ndarray) -> Any:
    """Draw the length of Adam's first steps, in learning rates, and the paths that they make.

    Args:
        sizes: the length of each step divided by the learning rate, by name.
        paths: the weights after each step, (steps + 1, 2), by the same names.
        hessian: H of the quadratic loss, (2, 2).
    """
    figure = new_figure(9.5, 3.3)
    length, valley = figure.subplots(1, 2, width_ratios=[1, 1.2])
    _draw_valley(valley, hessian, next(iter(paths.values()))[0])
    for (name, values), colour in zip(sizes.items(), COLOURS, strict=False):
        length.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=2, label=name)
        valley.plot(*paths[name].T, ".-", color=colour, linewidth=1.3, markersize=4)
    valley.set_title("the same in the valley", fontsize=10)
    length.set(xlabel="step", xlim=(0, None), ylim=(0, None))
    length.set_title("length of a step, in learning rates\n(the gradient is always the same)", fontsize=10)
    length.grid(alpha=0.3)
    length.legend(fontsize=9)
    return figure
