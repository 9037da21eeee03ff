"""`training.loop.Run` in its old form, for notebooks and scripts that were begun with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..backend.workers import Workers
from ..data import Batch
from . import loop, trainer
from .config import TrainConfig
from .distributed.ranks import ALONE, Ranks


class Run:
    """A run that takes its own steps. New code uses `Trainer`, or `trainer.build_run` and `loop.train_step`.

    Args:
        config: the options.
        folder: the run's.
        resume: go on from the folder's checkpoint, if there is one.
        show: whether to show progress.
        ranks: the processes that train together.
    """

    def __init__(
        self, config: TrainConfig, folder: Path, resume: bool = False, show: bool = False, ranks: Ranks = ALONE
    ):
        self.run = trainer.build_run(config, folder, resume=resume, show=show, ranks=ranks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)

    def train_step(self, batch: Batch, workers: Workers) -> None:
        """Take one optimiser step on a batch, on the given threads."""
        self.run.workers = workers
        self.run.tell("on_step_end", loop.train_step(self.run, batch))

    def close(self) -> None:
        """Close what is open."""
        self.run.tell("close")
