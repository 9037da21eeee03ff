"""Pictures of lesson 11: learning curves, and bands of learning curves of several seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minivit.utils.figures import BLUE, GREEN, ORANGE

from ..display import new_figure
from ..notebooks import lessons_folder

GREY = "#8a8a8a"
CHANCE = np.log(10)  # the loss of a model that guesses among ten classes

# What the pictures show, for readers who cannot see them; here, since some of it answers what the lesson asks first.
BAND = (
    "Left training and validation loss, falling from ln 10 along narrow bands; right the validation accuracy, rising."
)
PLAIN = "The training loss falls to nearly 0; the validation loss falls at first and then rises for good."
VARIANTS = (
    "A shape, and beside it eight variants of it, shifted and mirrored: above with edges repeated, below with black"
    " borders."
)
AUGMENTED = (
    "Validation accuracy: the augmented run stays within the grey band of eight seeds, the plain one ends below it."
)
PATIENTS = (
    "Six panels A to F of training and validation loss over the band of right runs, with losses up to 13; the "
    "exercise asks what is wrong with each."
)

Run = Mapping[str, Any]  # what lesson 11's `fit` returns: a list for each of step, loss, validation_loss, ...


def stored_runs() -> dict[str, Any]:
    """Return the runs that `lessons/bands.py` trained: lists by name, and those of the diagnosis by letter."""
    return json.loads((lessons_folder() / "bands.json").read_text(encoding="utf-8"))


def band(runs: Sequence[Run], what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the steps, and at each the smallest and the largest value of several runs."""
    values = np.array([run[what] for run in runs])
    return np.array(runs[0]["step"]), values.min(axis=0), values.max(axis=0)


def draw_band(runs: Sequence[Run]) -> Any:
    """Draw the losses and the accuracies of several seeds, each as a band."""
    figure = new_figure(9, 3.2)
    losses, accuracies = figure.subplots(1, 2)
    shade(losses, runs, "loss", BLUE, "training")
    shade(losses, runs, "validation_loss", ORANGE, "validation")
    losses.axhline(CHANCE, color=GREY, ls="--", lw=1)
    losses.annotate("ln 10", (runs[0]["step"][-1], CHANCE), ha="right", va="bottom", fontsize=9, color="#555555")
    losses.set(xlabel="step", ylabel="loss", ylim=(0, 2.6))
    losses.legend(frameon=False, fontsize=9, loc="lower left")
    shade(accuracies, runs, "validation_accuracy", ORANGE, "validation", 100)
    accuracies.set(xlabel="step", ylabel="accuracy (%)", ylim=(0, 100))
    accuracies.legend(frameon=False, fontsize=9, loc="upper left")
    for axes in (losses, accuracies):
        axes.grid(alpha=0.25)
    return figure


def shade(axes: Any, runs: Sequence[Run], what: str, colour: str, name: str, factor: float = 1.0) -> None:
    """Draw a band between the smallest and the largest value of several runs, and a line for their mean."""
    steps, low, high = band(runs, what)
    middle = np.mean([run[what] for run in runs], axis=0)
    axes.fill_between(steps, factor * low, factor * high, color=colour, alpha=0.25, lw=0)
    axes.plot(steps, factor * middle, color=colour, lw=1.6, label=f"{name}, {len(runs)} seeds")


def draw_run(run: Run) -> Any:
    """Draw the two losses of a run, and the step of the smallest validation loss."""
    figure = new_figure(6.4, 3.2)
    axes = figure.subplots()
    axes.plot(run["step"], run["loss"], color=BLUE, lw=1.8, marker="o", ms=3.5, label="training")
    axes.plot(
        run["step"], run["validation_loss"], color=ORANGE, lw=1.8, ls="--", marker="s", ms=3.5, label="validation"
    )
    best = int(np.argmin(run["validation_loss"]))
    axes.axvline(run["step"][best], color=GREY, lw=1, ls=":")
    axes.annotate(
        f"smallest at step {run['step'][best]}", (run["step"][best], 0.03), xytext=(4, 0), textcoords="offset points",
        fontsize=9, color="#555555",
    )  # fmt: skip
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    return figure


def draw_over_band(runs: Sequence[Run], new: Mapping[str, Run]) -> Any:
    """Draw the validation accuracy of new runs over the band of old ones, each with its last value."""
    figure = new_figure(7, 3.4)
    axes = figure.subplots()
    steps, low, high = band(runs, "validation_accuracy")
    label = f"with augmentation, {len(runs)} seeds: {100 * low[-1]:.0f} to {100 * high[-1]:.0f} %"
    axes.fill_between(steps, 100 * low, 100 * high, color=GREY, alpha=0.35, lw=0, label=label)
    for (name, run), colour, dash in zip(new.items(), (BLUE, ORANGE, GREEN), ("-", "--", "-."), strict=False):
        percent = 100 * np.array(run["validation_accuracy"])
        axes.plot(
            run["step"], percent, dash, color=colour, lw=1.8, marker="o", ms=3.5, label=f"{name}: {percent[-1]:.0f} %"
        )
    axes.set(xlabel="step", ylabel="validation accuracy (%)", ylim=(0, 100))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def draw_patients(runs: Sequence[Run], patients: Mapping[str, Run]) -> Any:
    """Draw six runs that went wrong: their losses over the validation loss of healthy runs."""
    figure = new_figure(9.4, 5.2)
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    steps, low, high = band(runs, "validation_loss")
    for axes, (letter, run) in zip(grid.ravel(), patients.items(), strict=True):
        axes.fill_between(steps, low, high, color=GREY, alpha=0.35, lw=0, label="validation, with nothing wrong")
        axes.plot(run["step"], run["loss"], color=BLUE, lw=1.8, label="training")
        axes.plot(run["step"], run["validation_loss"], color=ORANGE, lw=1.8, ls="--", label="validation")
        axes.set_title(f"{letter}: ends at {100 * run['validation_accuracy'][-1]:.0f} %", fontsize=10)
        axes.axhline(CHANCE, color=GREY, ls=":", lw=1)
        axes.set_yscale("symlog", linthresh=3, linscale=1.5)  # linear up to 3, then logarithmic: one run leaps to 13
        axes.set_ylim(0, 16)
        axes.set_yticks([0, 1, 2, 3, 6, 12], ["0", "1", "2", "3", "6", "12"])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    for axes in grid[1]:
        axes.set_xlabel("step")
    for axes in grid[:, 0]:
        axes.set_ylabel("loss")
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=3, frameon=False, fontsize=9
    )
    return figure


def draw_variants(image: np.ndarray, rows: Mapping[str, np.ndarray]) -> Any:
    """Draw an image, and a row of its variants for each name.

    Args:
        image: (H, W, C), uint8.
        rows: the variants by name, (count, H, W, C) each.
    """
    count = max(len(variants) for variants in rows.values())
    figure = new_figure(1.0 * (1 + count), 1.08 * len(rows))
    grid = figure.subplots(len(rows), 1 + count, squeeze=False)
    for row, (name, variants) in zip(grid, rows.items(), strict=True):
        for axes, picture in zip(row, [image, *variants], strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=9)
        for side in row[0].spines.values():
            side.set(color=ORANGE, linewidth=2)
    return figure
