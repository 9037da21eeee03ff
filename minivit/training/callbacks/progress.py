"""Show how far the run is."""

from __future__ import annotations

import sys
import time
from typing import Any

from ...utils.text import printable
from ..logs import EVALUATIONS, Record
from ..objectives import ACCURACIES
from ..run import Run
from .callback import Callback, StepResult
from .curve import extras_of_training_loss


class ProgressBar(Callback):
    """A progress bar in a terminal; plain lines, one for each log, where the output is a file or a pipe.

    Args:
        run: the run.
        show: whether to show anything.
    """

    def __init__(self, run: Run, show: bool):
        self.run, self.show = run, show
        self.begun, self.first_step = time.perf_counter(), run.step
        self.second_begun: float | None = None  # the first step takes longer: it makes room for everything
        self.interactive = show and sys.stderr is not None and sys.stderr.isatty()
        self.steps = self._bar(run.total_steps, "step", initial=run.step)
        self.evaluation: Any = None  # a second bar below the first

    def on_run_start(self) -> None:
        """Say what makes the losses of training differ from those of evaluations."""
        self.begun = time.perf_counter()
        extras = extras_of_training_loss(self.run.config)
        measures = self.run.config.eval_every and len(self.run.data.test)
        if extras and measures and not self.run.finished:
            self.say(f"the training loss includes {' and '.join(extras)}; the {self.run.data.split} loss does not")

    def on_step_end(self, step: StepResult) -> None:
        """Advance the bar; behind it are the means since the last log."""
        if self.second_begun is None:
            self.second_begun = time.perf_counter()
        window = self.run.progress.window
        if not self.run.unread:
            text = f"loss {window.loss:.3f}, accuracy {window.accuracy:.1%}, {speed_text(window.speed)} images/s"
            self.steps.set_postfix_str(text, refresh=False)
        self.steps.update()

    def on_log(self, record: Record) -> None:
        """Print a line, unless the bar shows the same."""
        if record["kind"] == "train" and not self.interactive:
            self.say(self._line_of_steps(record))
        elif record["kind"] in EVALUATIONS:
            name, split = printable(self.run.data.test.name), record["kind"]
            accuracy = ACCURACIES[self.run.config.objective]
            self.say(
                f"epoch {record['epoch']:.2f}: {name} {split} loss {record['loss']:.4f}, "
                f"{split} {accuracy} {record['accuracy']:.2%}"
                + "".join(f", {name} {record[name]:.4g}" for name in self.run.metrics)
            )

    @property
    def seconds_a_step(self) -> float:
        """The mean time of a step since the second, in seconds; evaluations and waiting for images count too."""
        begun, steps = self.begun, self.run.step - self.first_step
        if self.second_begun is not None and steps > 1:
            begun, steps = self.second_begun, steps - 1
        return (time.perf_counter() - begun) / max(steps, 1)

    def _line_of_steps(self, record: Record) -> str:
        run, speed = self.run, record["images_per_second"]
        seconds_left = (run.total_steps - run.step) * self.seconds_a_step
        return (
            f"step {run.step:>6}/{run.total_steps}  epoch {run.epoch:6.2f}  loss {record['loss']:.3f}, "
            f"accuracy {record['accuracy']:.1%}, {speed_text(speed)} images/s  lr {record['lr']:.2e}  "
            f"{duration_text(run.progress.seconds)} done, {duration_text(seconds_left)} left"
        )

    def on_evaluation_start(self) -> None:
        """Show another bar below the first."""
        self.evaluation = self._bar(len(self.run.data.test), "image", leave=False)

    def on_evaluation_batch_end(self, images: int) -> None:
        """Advance it."""
        self.evaluation.update(images)

    def on_evaluation_end(self, completed: bool) -> None:
        """Remove it."""
        self.evaluation.close()

    def close(self) -> None:
        """Leave the bar as it is."""
        self.steps.close()

    def _bar(self, total: int, unit: str, **options: Any) -> Any:
        from tqdm.auto import tqdm

        return tqdm(total=total, unit=unit, dynamic_ncols=True, disable=not self.interactive, **options)

    def say(self, text: str) -> None:
        """Print a line that stays. A closed output, as after `| head`, does not end a run."""
        try:
            if self.interactive:
                self.steps.write(text)
            elif self.show:
                print(text, flush=True)
        except (OSError, ValueError):
            self.show = self.interactive = False


def speed_text(speed: float) -> str:
    """Return a speed in images per second such as "1,234" or, if an image takes seconds, "0.31"."""
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"


def duration_text(seconds: float) -> str:
    """Return a time such as "1:02:03", or "2:03"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
