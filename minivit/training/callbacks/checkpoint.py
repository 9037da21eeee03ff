"""Save the run, so that it can be resumed."""

from __future__ import annotations

import time

from ...data.manifest import write_manifest
from ...errors import ImageError
from ..folder import METRICS
from ..logs import MetricsFile
from ..resuming import save_run
from ..run import Run
from .callback import Callback, StepResult


class CheckpointSaver(Callback):
    """Writes checkpoint.npz every so many seconds, before each evaluation, when the run stops, and at its end.

    Args:
        run: the run.
        every: seconds.
        resumed: whether it goes on from a checkpoint, which need not be written again.
    """

    def __init__(self, run: Run, every: float, resumed: bool):
        self.run, self.every = run, every
        self.saved_step = run.step if resumed else -1
        self.saved_at = time.monotonic()  # seconds

    def is_due(self) -> bool:
        """Return whether the last checkpoint is old enough."""
        return time.monotonic() - self.saved_at >= self.every

    def on_step_end(self, step: StepResult) -> None:
        """Save if the run stops here, or if it is due; after the last step `on_run_end` does so."""
        if self.run.stopping or (self.run.step < self.run.total_steps and self.is_due()):
            self.save()

    def on_evaluation_start(self) -> None:
        """Save, since an evaluation may take longer than an epoch."""
        self.save()

    def on_evaluation_end(self, completed: bool) -> None:
        """Let the next checkpoint be written although no step was taken: it notes the evaluation."""
        if completed:
            self.saved_step = -1

    def on_exception(self, error: BaseException) -> None:
        """Save if a training image cannot be read: the run can go on once it is replaced."""
        if isinstance(error, ImageError):
            self.save()

    def on_run_end(self) -> None:
        """Save what the run ends with."""
        if self.run.finished:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, unless this step is saved already.

        Raises:
            NonFiniteLossError: if a weight, or the loss of a step since, is infinite or not a number; nothing is
                written then.
            SaveError: if it cannot be written.
        """
        run = self.run
        if self.saved_step == run.step:
            return
        run.read_steps()  # before the weights replace the last good ones
        with run.stop.saving():
            # Without its images' names and the metrics before it, a run resumed from this checkpoint would differ.
            write_manifest(run.folder, run.data.manifest, anew=run.last_saved is None)
            MetricsFile(run.folder / METRICS).sync()
            save_run(run)
        self.saved_step, self.saved_at = run.step, time.monotonic()
