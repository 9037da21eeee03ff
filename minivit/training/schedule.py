"""The learning rate as a function of the step: a linear warmup, then a decay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from ..errors import ConfigError
from ..utils.integers import integer

DECAYS = ("cosine", "linear", "constant")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Rise linearly to `lr` over `warmup_steps`, then fall to `final_lr` at `total_steps`.  # ViT §4.1, B.1, Table 3

    Args:
        lr: the highest rate.
        total_steps: the step at which the decay ends.
        warmup_steps: how many steps the rise takes.
        decay: "cosine", "linear" or "constant".
        final_lr: where the decay ends.

    Raises:
        ConfigError: for another decay, rates that are negative or not finite, or impossible numbers of steps.
    """

    lr: float
    total_steps: int
    warmup_steps: int = 0
    decay: str = "cosine"
    final_lr: float = 0.0

    def __post_init__(self) -> None:
        if self.decay not in DECAYS:
            raise ConfigError(f"unknown decay {self.decay!r}: use {', '.join(DECAYS)}")
        if not (0 <= self.lr < math.inf and 0 <= self.final_lr < math.inf):
            raise ConfigError(f"a schedule's rates must be finite and 0 or more, not {self.lr} and {self.final_lr}")
        object.__setattr__(self, "total_steps", integer("a schedule's number of steps", self.total_steps, 1))
        object.__setattr__(self, "warmup_steps", integer("a schedule's warmup steps", self.warmup_steps, 0))
        for name in ("lr", "final_lr"):  # NumPy's numbers round, and may raise, where Python's do not
            object.__setattr__(self, name, float(getattr(self, name)))

    def __call__(self, step: int) -> float:
        """Return the learning rate of step number `step`, from 0. The last step of the warmup has the full rate."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.decay == "constant":
            return self.lr
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)  # 0 .. 1
        done = min(done, 1.0)
        left = 0.5 * (1.0 + math.cos(math.pi * done)) if self.decay == "cosine" else 1.0 - done
        return self.final_lr + (self.lr - self.final_lr) * left


def steps_in(share: float, total_steps: int) -> int:
    """Return how many steps begin in the first `share`, from 0 to 1, of a run: 93 of 100 in 0.93."""
    return math.ceil(Fraction(str(share)) * total_steps)  # in floats, 0.07 * 100 is a little more than 7


def in_first_steps(share: float) -> str:
    """Return " in the first 93 % of the steps" for 0.93, and nothing for 1."""
    return f" in the first {100 * share:.4g} % of the steps" if share < 1 else ""


@dataclass(frozen=True)
class ExponentialRise:
    """Rise from `lowest` at step 0 to `highest` at the last step, by the same factor in each step.

    Args:
        lowest, highest: the rates.
        total_steps: how many steps there are.
    """

    lowest: float
    highest: float
    total_steps: int

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.highest < math.inf:
            raise ConfigError(f"rates must rise from above 0, not from {self.lowest:g} to {self.highest:g}")

    def __call__(self, step: int) -> float:
        """Return the learning rate of step number `step`, from 0."""
        return self.lowest * (self.highest / self.lowest) ** (step / max(1, self.total_steps - 1))
