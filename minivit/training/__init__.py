"""From batches to weights: optimisers, schedules, the loop, checkpoints.

A name is imported when it is first used: the optimisers alone need neither data sets nor files of weights.
"""

from typing import TYPE_CHECKING

from ..utils.lazy import names_on_demand

if TYPE_CHECKING:
    from .config import TrainConfig
    from .loop import train
    from .optim import SGD, Adam, AdamW, ExponentialAverage, Muon, Optimizer, clip_by_global_norm
    from .run import RunResult
    from .schedule import Schedule

__all__ = [
    "SGD", "Adam", "AdamW", "ExponentialAverage", "Muon", "Optimizer", "RunResult", "Schedule", "TrainConfig",
    "clip_by_global_norm", "train",
]  # fmt: skip

__getattr__ = names_on_demand(
    __name__,
    {
        "config": ("TrainConfig",),
        "loop": ("train",),
        "optim": ("SGD", "Adam", "AdamW", "ExponentialAverage", "Muon", "Optimizer", "clip_by_global_norm"),
        "run": ("RunResult",),
        "schedule": ("Schedule",),
    },
)
