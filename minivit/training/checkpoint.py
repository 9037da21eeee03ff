"""Checkpoints: everything that the next step depends on, in one file of plain arrays.

Which images come next, how they are augmented and what dropout zeroes all follow from the seed and the step, so
the random state and the place in the epoch are one number, `step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import Array, to_numpy, xp_of
from ..engine.tensor import Tensor
from ..errors import CheckpointError, NonFiniteLossError
from ..models import Classifier
from ..nn import Module
from ..weights import read_arrays, section, write_arrays
from ..weights.images import notes_on_images
from .optim import ExponentialAverage, Optimizer


def save_checkpoint(
    path: Path,
    *,
    model: Classifier,
    network: Module,
    optimizer: Optimizer,
    average: ExponentialAverage | None,
    progress: dict[str, Any],
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        model: what the file is to be loaded as.
        network: what is trained: the model itself, or a network around it, whose other parameters are saved separately.
        optimizer: whose state is saved.
        average: the running average of the weights, if one is kept.
        progress: what to note besides, as JSON values: the step, the seed, the run's options.

    Raises:
        NonFiniteLossError: if an array holds nan or an infinity; an older checkpoint is unchanged.
        SaveError: if it cannot be written; an older checkpoint is unchanged.
    """
    arrays = {f"model/{name}": array for name, array in model.state_dict().items()}
    arrays |= {f"objective/{name}": tensor.data for name, tensor in _around(network, model)}
    if average:
        arrays |= {f"ema/{name}": array for name, array in average.average.items()}
    on_host = _checked(arrays) | _checked({f"optimizer/{name}": array for name, array in optimizer.state().items()})
    header = {"config": asdict(model.config), "optimizer_steps": optimizer.steps}
    header |= notes_on_images(model.header) | progress
    write_arrays(path, header, on_host)


def load_checkpoint(
    path: Path, *, model: Classifier, network: Module, optimizer: Optimizer, average: ExponentialAverage | None
) -> dict[str, Any]:
    """Restore model, optimiser and average from a checkpoint, in place; return its header.

    Args:
        path: the file.
        model, network, optimizer, average: as for `save_checkpoint`; their arrays are overwritten.

    Raises:
        CheckpointNotFoundError, CheckpointError: if the file is missing, damaged, of another model, or holds
            weights only. Nothing is changed then.
    """
    header, arrays = read_arrays(path)
    if "optimizer_steps" not in header or "step" not in header:
        raise CheckpointError(f"{path} holds weights but no training state: a run cannot be resumed from it")
    if bool(average) != any(name.startswith("ema/") for name in arrays):
        had, now = ("no", "needs one") if average else ("an", "keeps none")
        raise CheckpointError(f"{path} has {had} average of the weights, and this run {now}: change --ema-decay")
    saved, around = section(arrays, "objective/"), dict(_around(network, model))
    if {name: array.shape for name, array in saved.items()} != {name: t.shape for name, t in around.items()}:
        raise CheckpointError(f"{path} is of a run with another objective: go on with what it began with")
    try:
        optimizer.check_state(section(arrays, "optimizer/"))
        if average:
            average.check_state(section(arrays, "ema/"))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    model.load_state_dict(section(arrays, "model/"), source=str(path))
    for name, tensor in around.items():
        tensor.data[...] = xp_of(tensor.data).asarray(saved[name])
        tensor.changed_in_place()
    optimizer.load_state(section(arrays, "optimizer/"), header["optimizer_steps"])
    if average:
        average.load_state(section(arrays, "ema/"))
    return header


def _checked(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Return the arrays as NumPy's. Raises NonFiniteLossError if a number is nan or infinite."""
    on_host = {name: to_numpy(array) for name, array in arrays.items()}
    for name, array in on_host.items():
        if not np.isfinite(array).all():
            raise NonFiniteLossError(f"{name} holds {'nan' if np.isnan(array).any() else 'an infinite number'}")
    return on_host


def _around(network: Module, model: Classifier) -> list[tuple[str, Tensor]]:
    """Return the parameters of a network that are not those of the model inside."""
    inside = {id(tensor) for tensor in model.parameters()}
    return [(name, tensor) for name, tensor in network.named_parameters() if id(tensor) not in inside]
