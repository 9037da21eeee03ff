"""Count training steps, and log their means."""

from __future__ import annotations

import time

from ..run import Run, Window
from .callback import Callback, StepResult


class StepCounter(Callback):
    """Adds each step to the run's counts."""

    def __init__(self, run: Run):
        self.run = run

    def on_step_end(self, step: StepResult) -> None:
        """Add loss, answers and the time since the step began: of training, and of averaging the weights."""
        progress, window = self.run.progress, self.run.progress.window
        seconds = time.perf_counter() - step.begun
        progress.seconds += seconds
        window.seconds += seconds
        window.images += step.images
        window.loss_sum += step.loss * step.images
        window.correct += step.right
        window.answers += step.answers


class StepLog(Callback):
    """Logs the means since the last log, and each skipped step.

    Args:
        run: the run.
        every: after how many steps to log, or once an epoch if that has fewer; the last step is logged too.
    """

    def __init__(self, run: Run, every: int):
        self.run, self.every = run, min(every, run.loader.steps_per_epoch or every)

    def on_step_end(self, step: StepResult) -> None:
        """Log what is due, and begin the counts anew."""
        run = self.run
        if step.skipped:
            run.tell("on_log", {"kind": "overflow", "step": run.step, "loss_scale": run.precision.scale})
        if run.is_due(self.every):
            window = run.progress.window
            run.tell("on_log", run.record("train", window.loss, window.accuracy, window.speed))
            run.progress.window = Window()
