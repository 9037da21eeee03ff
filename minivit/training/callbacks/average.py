"""Keep a running average of the weights (--ema-decay)."""

from __future__ import annotations

from ..optim import ExponentialAverage
from ..run import Run
from .callback import Callback, StepResult


class WeightAverage(Callback):
    """Adds the weights after each step to their average.

    Args:
        run: counts the steps.
        average: the run's; it is evaluated and saved in place of the last weights.
    """

    def __init__(self, run: Run, average: ExponentialAverage):
        self.run, self.average = run, average

    def on_step_end(self, step: StepResult) -> None:
        """Add them, unless no weight was changed."""
        if not step.skipped:
            self.average.update(self.run.step)
