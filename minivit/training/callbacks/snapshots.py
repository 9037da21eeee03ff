"""Keep small copies of the weights on the way (--snapshots), to see how the model learned."""

from __future__ import annotations

from ..run import Run
from ..snapshots import save_snapshot, snapshot_steps
from .callback import Callback, StepResult


class Snapshots(Callback):
    """Writes the snapshots of a run, see `snapshot_steps`, and one of the weights with which it ends.

    A resumed run writes the snapshot of its checkpoint's step again: the run may have been killed before it was
    written, or an evaluation may have followed it.

    Args:
        run: the run.
        count: how many of a run of this length.
    """

    def __init__(self, run: Run, count: int):
        self.run = run
        self.steps = set(snapshot_steps(count, run.total_steps))

    def on_run_start(self) -> None:
        """Keep the weights before the first step, or those of the checkpoint."""
        self._save_if_due()

    def on_step_end(self, step: StepResult) -> None:
        """Keep the weights if it is time."""
        self._save_if_due()

    def on_run_end(self) -> None:
        """Keep the last weights of a run that ended early."""
        if self.run.finished and self.run.step not in self.steps:
            save_snapshot(self.run)

    def _save_if_due(self) -> None:
        if self.run.step in self.steps:
            self.run.read_steps()
            save_snapshot(self.run)
