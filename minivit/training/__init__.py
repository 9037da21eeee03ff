"""From batches to weights: optimisers, schedules, the loop, checkpoints."""

from .loop import RunResult, TrainConfig, train
from .optim import SGD, Adam, AdamW, ExponentialAverage, Muon, Optimizer, clip_by_global_norm
from .schedule import Schedule

__all__ = [
    "SGD", "Adam", "AdamW", "ExponentialAverage", "Muon", "Optimizer", "RunResult", "Schedule", "TrainConfig",
    "clip_by_global_norm", "train",
]  # fmt: skip
