"""The moments of a run, as methods of one class: a callback overrides those at which it does something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ...backend.arrays import plain_numbers
from ..logs import Record

if TYPE_CHECKING:
    from ..run import Run


@dataclass
class StepResult:
    """What one training step gave.

    A step on a GPU leaves its numbers there, and the run reads those of many steps at once when it logs: reading one
    waits until the GPU has finished its work. So `loss`, `right` and `norm` wait if they are read sooner.

    Attributes:
        numbers: `loss`, `right` and `norm`; arrays of one element on a GPU until they are read.
        step: its number, counted from 1.
        lr: its learning rate.
        answers: how many predictions are counted: one for each image, or for each corrupted patch.
        images: the size of the batch.
        begun: when the step began, by `time.perf_counter`, in seconds.
        skipped: whether no weight was changed, since a gradient was too large for half precision.
    """

    numbers: Sequence[Any]
    step: int
    lr: float
    answers: int
    images: int
    begun: float
    skipped: bool = False

    @property
    def loss(self) -> float:
        """The mean over the batch."""
        read_together([self])
        return self.numbers[0]

    @property
    def right(self) -> int:
        """How many answers were right, of `answers`."""
        read_together([self])
        return int(self.numbers[1])

    @property
    def norm(self) -> float:
        """The Euclidean norm of the gradient, before it was clipped."""
        read_together([self])
        return self.numbers[2]


def read_together(steps: Sequence[StepResult]) -> None:
    """Read what steps left on a GPU, in one transfer."""
    numbers = iter(plain_numbers(*(number for step in steps for number in step.numbers)))
    for step in steps:
        step.numbers = [next(numbers) for _ in step.numbers]


Moment = Literal[
    "on_run_start", "on_step_end", "on_log", "on_evaluation_start", "on_evaluation_batch_end", "on_evaluation_end",
    "on_exception", "on_run_end", "close",
]  # fmt: skip


class Callback:
    """What happens beside the training loop: a subclass overrides the moments at which it does something.

    The built-in callbacks get what they need in `__init__`. Callbacks that a script passes to `Trainer` get the run as
    `self.run` before the first moment: its step is `self.run.step`, its network `self.run.model`, and
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
