"""Count training steps, and log their means."""

from __future__ import annotations

import time

from ..run import Run, Window
from .callback import Callback, StepResult


class StepCounter(Callback):
    """Adds each step to the run's counts.

    A step on a GPU goes on after it was launched, beside the time in which the next batch is awaited. Its time is
    measured from the moment at which the last step was counted.

    Args:
        run: the run.
        every: as for `StepLog`; the numbers of steps that are not logged yet stay on a GPU.
    """

    def __init__(self, run: Run, every: int):
        self.run, self.every = run, every
        self.counted: float | None = None  # when the last step was; None if something else has happened since

    def on_step_end(self, step: StepResult) -> None:
        """Add loss, answers and the time since the step began: of training, and of averaging the weights."""
        run, progress = self.run, self.run.progress
        run.unread.append(step)
        if not run.reads_late or run.is_due(self.every):
            run.read_steps()
        now = time.perf_counter()
        begun = step.begun if self.counted is None or not run.reads_late else self.counted
        self.counted = now
        progress.seconds += now - begun
        progress.window.seconds += now - begun

    def on_evaluation_end(self, completed: bool) -> None:
        """Leave out the time of the evaluation."""
        self.counted = None


class StepLog(Callback):
    """Logs the means since the last log, and each skipped step.

    Args:
        run: the run.
        every: after how many steps to log; the last step is logged too.
    """

    def __init__(self, run: Run, every: int):
        self.run, self.every = run, every

    def on_step_end(self, step: StepResult) -> None:
        """Log what is due, and begin the counts anew."""
        run = self.run
        if step.skipped:
            run.tell("on_log", {"kind": "overflow", "step": run.step, "loss_scale": run.precision.scale})
        if run.is_due(self.every):
            window = run.progress.window
            run.tell("on_log", run.record("train", window.loss, window.accuracy, window.speed))
            run.progress.window = Window()
