"""Stop the run when a signal or a callback asks for it."""

from __future__ import annotations

from ..run import Run
from .callback import Callback, StepResult


class StopSignals(Callback):
    """Lets all ranks stop after the same step if a signal or a callback told any of them to (see `stopping`)."""

    def __init__(self, run: Run):
        self.run = run

    def on_step_end(self, step: StepResult) -> None:
        """Ask all ranks."""
        if self.run.interrupted():
            self.run.stopping = True
