"""The moments of a run, as methods of one class: a callback overrides those at which it does something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ..logs import Record

if TYPE_CHECKING:
    from ..run import Run


class StepResult(NamedTuple):
    """What one training step gave.

    Attributes:
        loss: the mean over the batch.
        right: how many answers were right, of `answers`.
        answers: how many questions the batch asked: one for each image, or for each corrupted patch.
        images: the size of the batch.
        skipped: whether no weight was changed, since a gradient was too large for half precision.
        begun: when the step began, by `time.perf_counter`, in seconds.
    """

    loss: float
    right: int
    answers: int
    images: int
    skipped: bool
    begun: float


Moment = Literal[
    "on_run_start", "on_step_end", "on_log", "on_evaluation_start", "on_evaluation_batch_end", "on_evaluation_end",
    "on_exception", "on_run_end", "close",
]  # fmt: skip


class Callback:
    """What happens beside the training loop: a subclass overrides the moments at which it does something.

    A run's own callbacks get what they need when they are made. To those that a script passes to `Trainer`, the trainer
    gives the run as `self.run` before the first moment: its step is `self.run.step`, its network `self.run.model`, and
    `self.run.ask_to_stop()` ends it after the present step.

    Attributes:
        run: the run.
    """

    run: Run

    def on_run_start(self) -> None:
        """Called before the first step, in a resumed run too."""

    def on_step_end(self, step: StepResult) -> None:
        """Called after each training step; the run's step counts it already."""

    def on_log(self, record: Record) -> None:
        """Called with each line of metrics.jsonl, see `MetricsFile`. This is all that a log destination needs."""

    def on_evaluation_start(self) -> None:
        """Called before each evaluation on the test set."""

    def on_evaluation_batch_end(self, images: int) -> None:
        """Called after each batch of an evaluation, with its size."""

    def on_evaluation_end(self, completed: bool) -> None:
        """Called after each evaluation, whether it was completed or not."""

    def on_exception(self, error: BaseException) -> None:
        """Called when an error ends the run."""

    def on_run_end(self) -> None:
        """Called after the last step, or after the step at which a signal stopped the run; not after an error."""

    def close(self) -> None:
        """Close what is open; called last, however the run ended."""
