"""From batches to weights: optimisers, schedules, the loop, checkpoints."""

from .config import TrainConfig
from .loop import train
from .optim import SGD, Adam, AdamW, ExponentialAverage, Muon, Optimizer, clip_by_global_norm
from .run import RunResult
from .schedule import Schedule

__all__ = [
    "SGD", "Adam", "AdamW", "ExponentialAverage", "Muon", "Optimizer", "RunResult", "Schedule", "TrainConfig",
    "clip_by_global_norm", "train",
]  # fmt: skip
