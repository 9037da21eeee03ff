"""Checkpoints: everything that the next step depends on, in one file of plain arrays.

Which images come next, how they are augmented and what dropout zeroes all follow from the seed and the step, so
the random state and the place in the epoch are one number, `step`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..engine.backend import to_numpy
from ..errors import CheckpointError
from ..models import Classifier
from ..models.weights import read_arrays, section, write_arrays
from .optim import ExponentialAverage, Optimizer


def save_checkpoint(
    path: Path,
    *,
    model: Classifier,
    optimizer: Optimizer,
    average: ExponentialAverage | None,
    progress: dict[str, Any],
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        progress: what to note besides, as JSON values: the step, the seed, the run's options.
    """
    arrays = {f"model/{name}": array for name, array in model.state().items()}
    arrays |= {f"optimizer/{name}": array for name, array in optimizer.state().items()}
    if average:
        arrays |= {f"ema/{name}": array for name, array in average.average.items()}
    header = {"config": asdict(model.config), "optimizer_steps": optimizer.steps, **progress}
    write_arrays(path, header, {name: to_numpy(array) for name, array in arrays.items()})


def load_checkpoint(
    path: Path, *, model: Classifier, optimizer: Optimizer, average: ExponentialAverage | None
) -> dict[str, Any]:
    """Put model, optimiser and average back to where `save_checkpoint` saw them; return its header.

    Raises:
        CheckpointNotFoundError, CheckpointError: if the file is missing, damaged, of another model, or holds
            weights only. Nothing is changed then.
    """
    header, arrays = read_arrays(path)
    if "optimizer_steps" not in header or "step" not in header:
        raise CheckpointError(f"{path} holds weights but no training state: a run cannot be resumed from it")
    if bool(average) != any(name.startswith("ema/") for name in arrays):
        raise CheckpointError(f"{path} and this run disagree on whether the weights are averaged (--ema)")
    model.load_state(section(arrays, "model/"), source=str(path))
    optimizer.load_state(section(arrays, "optimizer/"), header["optimizer_steps"])
    if average:
        average.load_state(section(arrays, "ema/"))
    return header
