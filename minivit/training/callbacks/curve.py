"""Draw the learning curve at the end of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...data import dataset_title
from ...utils.files import atomic_file
from ...utils.text import write_words
from ..folder import CURVE, METRICS
from ..logs import MetricsFile, Record
from ..run import Run
from .callback import Callback

FEW_POINTS = 20


class LearningCurve(Callback):
    """Draws curve.png from metrics.jsonl, also of a run that a signal stopped."""

    def __init__(self, run: Run):
        self.run = run

    def on_run_end(self) -> None:
        """Draw it, if anything was logged."""
        run = self.run
        if records := MetricsFile(run.folder / METRICS).read():
            note = f" ({run.data.train.note})" if run.data.train.note else ""
            title = f"{run.config.title} on {dataset_title(run.config.dataset)}{note}"
            learning_curve(records, run.folder / CURVE, title)


def learning_curve(records: list[Record], path: Path, title: str = "") -> None:
    """Draw loss and accuracy against epochs, of training and evaluations, into a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    styles = {
        "train": {"color": "#0072B2", "lw": 1.2},
        "test": {"color": "#D55E00", "lw": 1.6, "marker": "o", "ms": 4},
        "validation": {"color": "#009E73", "lw": 1.6, "marker": "o", "ms": 4},
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
        loss_axes.plot(epochs, losses, label=kind, **style)
        accuracy_axes.plot(epochs, 100 * accuracies, label=kind, **style)
    loss_axes.set(xlabel="epoch", ylabel="loss")
    accuracy_axes.set(xlabel="epoch", ylabel="accuracy (%)")
    for axes in (loss_axes, accuracy_axes):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    write_words(figure.suptitle(""), title)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
