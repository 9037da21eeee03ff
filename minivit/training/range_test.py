"""The learning-rate range test (Smith, arXiv 1506.01186): a few steps whose rate grows until the loss diverges."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.manifest import take_manifest
from ..errors import ConfigError, NonFiniteLossError
from .config import TrainConfig
from .loop import train_step
from .schedule import ExponentialRise
from .trainer import build_run

SMOOTHING = 0.9  # of the mean over losses: about ten steps count
DIVERGED = 2.0  # times the smallest smoothed loss: the test ends
FIRST = 10  # steps whose losses show how much batches differ: the rate is still too small to change anything
BELOW_MINIMUM = 10.0  # the suggested rate is this much smaller than the rate of the smallest loss


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        rates: the learning rate of each step, float64 (S,), rising.
        losses: the training loss before each step, float64 (S,).
        smoothed: the running mean of the losses, float64 (S,).
        diverged: whether the loss grew to a multiple of its smallest value, or was not finite any more.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    diverged: bool

    @property
    def best(self) -> int:
        """The step with the smallest smoothed loss."""
        return int(self.smoothed.argmin())

    @property
    def suggestion(self) -> float | None:
        """A tenth of the rate of the smallest smoothed loss, to two digits.

        None if the smoothed loss fell by less than the losses of the first steps differ (a standard deviation).
        """
        first = self.losses[:FIRST]
        if self.best < FIRST or first.mean() - self.smoothed.min() < first.std():
            return None
        return float(f"{self.rates[self.best] / BELOW_MINIMUM:.1e}")


def range_test(
    config: TrainConfig,
    steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 10.0,
    advance: Callable[[], object] = lambda: None,
    begun: Path | None = None,
    show: bool = False,
) -> RangeTest:
    """Return the losses of a run's first steps while its learning rate rises exponentially; no run is left behind.

    Each step is the run's own, with its batches, its optimiser and its clipping. Only the schedule is another.

    Args:
        config: the options of the run.
        steps: how many to take, unless the loss diverges before.
        lowest, highest: the rates of the first and of the last step.
        advance: called after each step, for a progress bar.
        begun: the folder of the run, if it has begun: its images are those that it began with.
        show: whether to say what the data set holds, as the run does.

    Raises:
        ConfigError: if a number is outside its range.
        NonFiniteLossError: if the loss is not finite from the beginning.
    """
    if steps < 2 * FIRST:
        raise ConfigError(f"a range test takes {2 * FIRST} steps or more, not {steps}")
    rise = ExponentialRise(lowest, highest, steps)
    losses: list[float] = []
    smoothed: list[float] = []
    diverged = False
    with tempfile.TemporaryDirectory(prefix="minivit-") as folder:
        resume = take_manifest(begun, Path(folder))
        # All steps leave out patches, and mix images, as the run's first ones do.
        shares = {name: float(math.ceil(getattr(config, name))) for name in ("patch_dropout_until", "mix_until")}
        config = replace(config, tensorboard=False, **shares)
        run = build_run(config, Path(folder) if resume else None, resume=resume, show=show)
        run.schedule, run.total_steps = rise, max(steps, run.total_steps)
        with run.workers:
            for batch in run.loader.batches(0, steps):
                try:
                    loss = train_step(run, batch).loss
                except NonFiniteLossError:
                    if len(losses) < 2:
                        raise
                    diverged = True
                    break
                losses.append(loss)
                smoothed.append(smoothed_mean(losses))
                advance()
                if smoothed[-1] > DIVERGED * min(smoothed):
                    diverged = True
                    break
    rates = np.array([rise(step) for step in range(len(losses))])
    return RangeTest(rates, np.array(losses), np.array(smoothed), diverged)


def smoothed_mean(losses: list[float]) -> float:
    """Return the mean of losses in which each counts SMOOTHING times as much as the one after it."""
    weights = SMOOTHING ** np.arange(len(losses))[::-1]
    return float(np.dot(weights, losses) / math.fsum(weights))
