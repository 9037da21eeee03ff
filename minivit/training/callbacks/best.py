"""Keep the weights of the best evaluation (best.npz), and notice when none has been better for long (--patience)."""

from __future__ import annotations

from ...weights import write_arrays
from ..folder import BEST
from ..logs import EVALUATIONS, Record
from ..resuming import evaluated_weights, notes_of_weights
from ..run import Measured, Run
from .callback import Callback


class BestWeights(Callback):
    """Writes best.npz, weights alone, whenever an evaluation improves on the best one.

    If a kill comes between an evaluation and the next checkpoint, the resumed run makes the evaluation again and
    writes the same file.
    """

    def __init__(self, run: Run):
        self.run = run

    def on_log(self, record: Record) -> None:
        """Compare an evaluation with the best one, on every rank; the first one writes."""
        if record["kind"] not in EVALUATIONS:
            return
        run, progress = self.run, self.run.progress
        found = Measured(*(record[name] for name in ("step", "epoch", "loss", "accuracy")))
        if not found.better_than(progress.best, run.config.monitor):
            progress.waited += 1
            return
        progress.best, progress.waited = found, 0
        if run.writes:
            self.save(found)

    def save(self, best: Measured) -> None:
        """Write what was evaluated: the model, or the average of its weights.

        Args:
            best: the evaluation.

        Raises:
            SaveError: if it cannot be written; an older file is unchanged.
        """
        run = self.run
        header = {
            **notes_of_weights(run),
            "step": best.step,
            "epoch": best.epoch,
            "last_test": {"loss": best.loss, "accuracy": best.accuracy},
            "monitor": run.config.monitor,
        }
        with run.stop.saving():
            write_arrays(run.folder / BEST, header, evaluated_weights(run))
