"""From batches to weights: optimisers, schedules, the loop, checkpoints.

A name is imported when it is first used: the optimisers alone need neither data sets nor files of weights.
"""

from typing import TYPE_CHECKING

from ..utils.lazy import names_on_demand

if TYPE_CHECKING:
    from .callbacks.callback import Callback, StepResult
    from .config import TrainConfig
    from .optim import SGD, Adam, AdamW, ExponentialAverage, Muon, Optimizer, clip_by_global_norm
    from .recipes import recipe
    from .run import RunResult
    from .schedule import Schedule
    from .trainer import Trainer, train

__all__ = [
    "SGD", "Adam", "AdamW", "Callback", "ExponentialAverage", "Muon", "Optimizer", "RunResult", "Schedule",
    "StepResult", "TrainConfig", "Trainer", "clip_by_global_norm", "recipe", "train",
]  # fmt: skip

__getattr__ = names_on_demand(
    __name__,
    {
        "callbacks.callback": ("Callback", "StepResult"),
        "config": ("TrainConfig",),
        "optim": ("SGD", "Adam", "AdamW", "ExponentialAverage", "Muon", "Optimizer", "clip_by_global_norm"),
        "recipes": ("recipe",),
        "run": ("RunResult",),
        "schedule": ("Schedule",),
        "trainer": ("Trainer", "train"),
    },
)
