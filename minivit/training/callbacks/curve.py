"""Draw the learning curve at the end of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...data import dataset_title
from ...utils.figures import BLUE, GREEN, LIGHT, ORANGE, figure_style, new_figure, write_figure
from ...utils.text import counted, write_words
from ..config import TrainConfig
from ..folder import METRICS, redrawn
from ..logs import MetricsFile, Record
from ..run import Run
from ..schedule import in_first_steps
from .callback import Callback

FEW_POINTS = 20
LEGEND_WIDTH = 45  # characters of a line that fits the axes


class LearningCurve(Callback):
    """Draws the learning curve from metrics.jsonl, also of a run that a signal stopped."""

    def __init__(self, run: Run):
        self.run = run

    def on_run_end(self) -> None:
        """Draw it, if anything was logged."""
        run = self.run
        if records := MetricsFile(run.folder / METRICS).read():
            measured = run.data.test
            images = counted(len(measured), f"{run.data.split} image")
            note = f" ({images}: {measured.note})" if measured.note else ""
            title = f"{run.config.title} on {dataset_title(run.config.dataset)}{note}"
            extras = extras_of_training_loss(run.config)
            best = run.progress.best
            marked = best.epoch if best and best.step != run.progress.evaluated else None
            with redrawn(run.folder, "curve", run.config.format) as paths:
                learning_curve(records, paths, title, extras, mixings(run.config), best=marked)


def extras_of_training_loss(config: TrainConfig) -> tuple[str, ...]:
    """Return what the loss in training has and that of an evaluation has not; if there is nothing, they are comparable.

    Args:
        config: the options of the run.
    """
    if config.objective != "classes":
        return ()
    smoothing = (f"label smoothing {config.label_smoothing:g}",) * bool(config.label_smoothing)
    balanced = ("class weights",) * (config.class_weights != "none")
    return (*smoothing, *balanced, *("a teacher",) * bool(config.teacher), *mixings(config))


def mixings(config: TrainConfig) -> tuple[str, ...]:
    """Return the ways in which training images are mixed, which lowers the accuracy in training too.

    If the last steps do not mix them, one phrase names both ways and the steps that do.
    """
    names = ["mixup"] * bool(config.mixup) + ["CutMix"] * bool(config.cutmix)
    if not names or not config.mix_until:
        return ()
    return tuple(names) if config.mix_until == 1 else (" and ".join(names) + in_first_steps(config.mix_until),)


@figure_style()
def learning_curve(
    records: list[Record],
    path: Path | Sequence[Path],
    title: str = "",
    of_loss: Sequence[str] = (),
    of_accuracy: Sequence[str] = (),
    best: float | None = None,
) -> None:
    """Draw loss and accuracy against epochs, of training and evaluations.

    Args:
        records: of `metrics.jsonl`.
        path: the file, or several: .png, .svg or .pdf.
        title: above both.
        of_loss: why the losses of training are not those of evaluations, for the legend, such as "CutMix".
        of_accuracy: the same for accuracies.
        best: the epoch of the best evaluation, which is marked; None if it is the last one.
    """
    figure = new_figure(9, 3.6)
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    styles = {
        "train": {"color": BLUE, "lw": 1.2},
        "test": {"color": ORANGE, "lw": 1.6, "marker": "o", "ms": 4},
        "validation": {"color": GREEN, "lw": 1.6, "marker": "s", "ms": 4},
    }
    for kind, style in styles.items():
        chosen = [record for record in records if record["kind"] == kind]
        if not chosen and kind != "train":
            continue
        # Larger numbers overflow inside matplotlib.
        epochs, losses, accuracies = (
            np.clip([float(record[name]) for record in chosen], -1e30, 1e30) for name in ("epoch", "loss", "accuracy")
        )
        if len(chosen) <= FEW_POINTS:  # a single point would draw no line
            style = {"marker": ".", **style}
        for axes, values, extras in ((loss_axes, losses, of_loss), (accuracy_axes, 100 * accuracies, of_accuracy)):
            note = f" ({', '.join(extras)})" if extras and kind == "train" else ""
            axes.plot(epochs, values, label=textwrap.fill(f"{kind}{note}", LEGEND_WIDTH), **style)
    loss_axes.set(xlabel="epoch", ylabel="loss")
    accuracy_axes.set(xlabel="epoch", ylabel="accuracy (%)")
    for axes in (loss_axes, accuracy_axes):
        if best is not None:
            axes.axvline(best, color=LIGHT.faint, ls=":", lw=1.2, zorder=0, label="best")
        axes.grid()
        axes.legend()
    write_words(figure.suptitle(""), title)
    write_figure(figure, path, dpi=120)
