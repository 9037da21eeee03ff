"""A run between two steps: its parts, how far it has come, and whom it tells what happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backend.workers import Workers
from ..data import Batch, Loader
from ..errors import ConfigError, NonFiniteLossError
from ..models import Classifier
from .batches import RunData, Split
from .callbacks.callback import Callback, Moment, StepResult, read_together
from .config import TrainConfig
from .distributed.parallel import GradientSums
from .distributed.ranks import Ranks
from .evaluation import Confusion
from .failures import check_finite, last_good, out_of_memory
from .folder import CHECKPOINT, Notes
from .logs import Record
from .metrics import Metric
from .objectives import Objective
from .optim import ExponentialAverage, Optimizer
from .precision import Precision
from .stopping import StopRequest


@dataclass
class Window:
    """Sums over the steps since the last log.

    Attributes:
        images: how many were trained on.
        loss_sum: the sum of their losses.
        correct: how many answers were right.
        answers: how many answers there were.
        seconds: of training.
    """

    images: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    answers: int = 0
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """The mean over images."""
        return self.loss_sum / max(1, self.images)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.correct / max(1, self.answers)

    @property
    def speed(self) -> float:
        """Images per second."""
        return self.images / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class Measured:
    """One evaluation.

    Attributes:
        step: after which it was made.
        epoch: the same in epochs.
        loss: the mean.
        accuracy: from 0 to 1.
    """

    step: int
    epoch: float
    loss: float
    accuracy: float

    def better_than(self, other: Measured | None, monitor: str) -> bool:
        """Return whether this evaluation improves on another one; on none, unless its value is not a number.

        Args:
            other: the best so far.
            monitor: what is compared: "accuracy", or "loss", of which less is better.
        """
        value = getattr(self, monitor)
        if other is None:
            return not math.isnan(value)
        return value > other.accuracy if monitor == "accuracy" else value < other.loss


@dataclass
class Progress:
    """How far a run has come: what a checkpoint notes beside arrays, and what a resumed run takes over.

    Attributes:
        step: optimiser steps done.
        seconds: of training, evaluations left out.
        evaluated: the step of the last evaluation.
        last_test: loss and accuracy of the last evaluation; None if there was none.
        best: the evaluation whose weights are in best.npz; None if there was none.
        waited: how many evaluations have followed it.
        window: the steps since the last log.
    """

    step: int = 0
    seconds: float = 0.0
    evaluated: int = 0
    last_test: dict[str, float] | None = None
    best: Measured | None = None
    waited: int = 0
    window: Window = field(default_factory=Window)


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        folder: the run's; None if nothing was written.
        steps: the number of optimiser steps.
        finished: False if a signal, such as Ctrl-C, or a callback stopped it.
        loss: of the last evaluation; None if there was none.
        accuracy: of the last evaluation; None if there was none.
        seconds: of training, evaluations left out.
        signal: the signal that stopped it; 0 if none did.
        split: the images of the evaluations: "test", or "validation" if they were held out of the training set.
        epoch: epochs done.
        best: the evaluation whose weights are in best.npz; None if there was none.
        stopped_early: whether it ended before its last step, since --patience evaluations brought no improvement.
        metrics: what the user's metrics gave at the last evaluation, by their names.
        confusion: of the last evaluation, for up to 50 classes; None if this process made none.
    """

    folder: Path | None
    steps: int
    finished: bool
    loss: float | None
    accuracy: float | None
    seconds: float
    signal: int = 0
    split: Split = "test"
    epoch: float = 0.0
    best: Measured | None = None
    stopped_early: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    confusion: Confusion | None = None


@dataclass(kw_only=True)
class Run:
    """The parts of a run, as `trainer.build_run` makes them.

    Attributes:
        config: the options.
        out: its folder; None if nothing is written.
        notes: what `run_notes` returns: the folder and the versions of the libraries.
        device: where this rank computes.
        ranks: the processes that train together.
        workers: the threads of this rank.
        data: the images to train on and to measure on.
        loader: prepares the batches.
        model: the network that is saved.
        objective: what is trained for; its network is the model, or contains it.
        optimizer: changes the weights.
        rule: `optimizer.rule()` at the beginning; callbacks may change it from step to step.
        schedule: the learning rate as a function of the step.
        total_steps: at which step the run ends.
        average: the running average of the weights, if one is kept (--ema-decay).
        precision: how the loss is computed and scaled in half precision.
        patch_dropout: the share of patches that a step leaves out, as a function of the step.
        microbatch_size: takes the number of images in a batch and its step, returns the number in a micro-batch.
        sums: where the gradients of a step are added up.
        stop: whether this process was told to stop.
        metrics: what is measured on the test set besides loss and accuracy, by name.
        progress: how far the run has come.
        unread: steps whose numbers are not in `progress` yet, since they may still be on a GPU.
        confusion: of the last evaluation that this process made, for up to 50 classes.
        stopping: whether all ranks stop after this step.
        callbacks: in the order in which they are called.
    """

    config: TrainConfig
    out: Path | None
    notes: Notes
    device: str
    ranks: Ranks
    workers: Workers
    data: RunData
    loader: Loader
    model: Classifier
    objective: Objective
    optimizer: Optimizer
    rule: dict[str, Any]
    schedule: Callable[[int], float]
    total_steps: int
    average: ExponentialAverage | None
    precision: Precision
    patch_dropout: Callable[[int], float]
    microbatch_size: Callable[[int, int], int]
    sums: GradientSums
    stop: StopRequest
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    unread: list[StepResult] = field(default_factory=list)
    confusion: Confusion | None = None
    stopping: bool = False
    callbacks: Sequence[Callback] = ()

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self.progress.step

    @property
    def epoch(self) -> float:
        """Epochs done."""
        return self.step / self.loader.steps_per_epoch

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's files: it has a folder, and this is the first rank."""
        return self.out is not None and self.ranks.first

    @property
    def folder(self) -> Path:
        """The run's folder; only code that runs if `writes` is true may read this.

        Raises:
            ConfigError: if nothing is written.
        """
        if self.out is None:
            raise ConfigError("this run writes nothing: give the Trainer a folder, out=...")
        return self.out

    @property
    def checkpoint(self) -> Path:
        """The file of its checkpoint, which may not exist yet."""
        return self.folder / CHECKPOINT

    @property
    def last_saved(self) -> Path | None:
        """The file of its checkpoint, if there is one."""
        return self.checkpoint if self.out is not None and self.checkpoint.exists() else None

    def ask_to_stop(self) -> None:
        """Stop after the present step, as a signal does: what a callback calls, on any rank."""
        self.stop.asked = True

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return (self.step == self.total_steps or self.out_of_patience) and not self.evaluation_is_due()

    @property
    def out_of_patience(self) -> bool:
        """Whether so many evaluations brought no improvement that the run ends."""
        return 0 < self.config.patience <= self.progress.waited

    @property
    def on_one_gpu(self) -> bool:
        """Whether a step leaves loss and norm on a GPU; ranks exchange theirs."""
        return self.device != "cpu" and self.ranks.size == 1

    @property
    def reads_late(self) -> bool:
        """Whether loss and norm stay on a GPU until they are logged: float16 needs each step's norm for its scale."""
        return self.on_one_gpu and not self.precision.adapts

    def read_steps(self) -> None:
        """Add the steps that were not read yet to the counts; on a GPU, this waits once for all of them.

        Raises:
            NonFiniteLossError: if a loss or a gradient is infinite or not a number.
        """
        steps, self.unread = self.unread, []
        read_together(steps)
        window = self.progress.window
        for step in steps:
            if not step.skipped:
                check_finite(step, self.last_saved)
            window.images += step.images
            window.loss_sum += step.loss * step.images
            window.correct += step.right
            window.answers += step.answers

    def is_due(self, every: int) -> bool:
        """Return whether something that happens every so many steps, and at the end, happens now."""
        return self.step % every == 0 or self.step == self.total_steps

    def evaluation_is_due(self) -> bool:
        """Return whether the model is to be evaluated now: every `eval_every` epochs and at the end, once; never if
        that is 0, or there is nothing to measure on.
        """
        if not self.config.eval_every or not len(self.data.test) or self.step <= self.progress.evaluated:
            return False
        every = max(1.0, self.config.eval_every * self.loader.steps_per_epoch)  # steps
        passed = math.floor(self.step / every + 1e-9) > math.floor((self.step - 1) / every + 1e-9)
        return passed or self.step == self.total_steps

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of the steps that are left, until the run is to stop.

        A batch on a GPU lasts until the next one is asked for, see `Uploads`.
        """
        if self.stopping or self.out_of_patience:
            return
        with self.errors_explained():
            for batch in self.loader.batches(self.step, self.total_steps):
                yield batch
                if self.stopping or self.out_of_patience:
                    return

    @contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Inside the block, an error says what to do, if memory was short or a number infinite or nan."""
        try:
            yield
        except MemoryError as error:  # CuPy's is one, too
            microbatch = self.microbatch_size(self.loader.batch_size, self.step)
            raise out_of_memory(
                self.model, self.device, self.loader.batch_size, microbatch, self.workers.count
            ) from error
        except NonFiniteLossError as error:  # it names the weight
            raise NonFiniteLossError(f"{error}; {last_good(self.last_saved)}") from error

    def record(self, kind: str, loss: float, accuracy: float, speed: float) -> Record:
        """Return a record for `on_log`.

        Args:
            kind: "train", "test" or "validation".
            loss: the mean.
            accuracy: from 0 to 1.
            speed: images per second.
        """
        return {
            "kind": kind,
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "loss": loss,
            "accuracy": accuracy,
            "lr": self.optimizer.lr,
            "images_per_second": round(speed, 1 if speed >= 10 else 4),
            "seconds": round(self.progress.seconds, 2),
        }

    def interrupted(self) -> bool:
        """Return whether any rank was told to stop, by a signal or a callback: then all stop after the same step."""
        return any(self.ranks.gather(self.stop()))

    def tell(self, moment: Moment, *what: Any) -> None:
        """Call each callback's method for a moment, in order."""
        for callback in self.callbacks:
            getattr(callback, moment)(*what)

    def result(self) -> RunResult:
        """Return how the run ended, the same signal on every rank."""
        last = self.progress.last_test or {}
        signal = 0 if self.finished else max(self.ranks.gather(self.stop.number))
        return RunResult(
            folder=self.out,
            steps=self.step,
            finished=self.finished,
            loss=last.get("loss"),
            accuracy=last.get("accuracy"),
            seconds=self.progress.seconds,
            signal=signal,
            split=self.data.split,
            epoch=self.epoch,
            best=self.progress.best,
            stopped_early=self.out_of_patience and self.step < self.total_steps,
            metrics={name: value for name, value in last.items() if name not in ("loss", "accuracy")},
            confusion=self.confusion,
        )
