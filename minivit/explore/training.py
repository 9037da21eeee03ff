"""The training that the page shows: the snapshots of a run before its weights, and its learning curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..models import ViT
from ..training.folder import METRICS
from ..training.logs import EVALUATIONS, MetricsFile, Record
from ..training.objectives import ACCURACIES
from ..training.snapshots import find_snapshots
from ..utils.notices import notice
from ..utils.text import printable

MOST_BYTES = 64 * 2**20  # of all snapshots in half precision; a browser holds four times as much
POINTS = 200  # of a line of the learning curve


@dataclass(frozen=True)
class Moment:
    """The model after a step.

    Attributes:
        step: how many optimiser steps it has taken.
        model: the model with the weights that it had then.
        accuracy: the share of right answers, from 0 to 1; None if it is not known.
    """

    step: int
    model: ViT
    accuracy: float | None = None


@dataclass(frozen=True)
class Training:
    """A run up to a model: its snapshots and its learning curve.

    Attributes:
        moments: the snapshots in the order of their steps, and the model as the last.
        curve: the run's records up to there, see `MetricsFile`.
        images: on how many images the accuracy is measured where the run did not measure it; 0 if none was.
        measure: what the accuracy counts, such as "accuracy".
    """

    moments: Sequence[Moment]
    curve: Sequence[Record] = ()
    images: int = 0
    measure: str = ACCURACIES["classes"]

    def lines(self) -> dict[str, list[list[float | None]]]:
        """Return the points of the learning curve: [step, loss, accuracy] by the kind of record, at most `POINTS`."""
        found: dict[str, list[list[float | None]]] = {}
        for kind in ("train", *EVALUATIONS):
            records = [record for record in self.curve if record["kind"] == kind]
            kept = [records[i] for i in _spread(len(records), POINTS)]
            if kept:
                found[kind] = [[each["step"], _finite(each["loss"]), _finite(each["accuracy"])] for each in kept]
        return found


def training_of(
    folder: Path,
    model: ViT,
    load: Callable[[Path], Any],
    images: np.ndarray,
    labels: np.ndarray | None,
    advance: Callable[[int], Any] = lambda _: None,
) -> Training | None:
    """Return the training that led to a model, from the snapshots in its run's folder.

    Args:
        folder: the run's.
        model: the model, whose header says its step.
        load: returns the model in a snapshot's file.
        images: uint8 (B, H, W, C), of the model's size, to measure the accuracy on where the run did not.
        labels: (B,), of the images; None if they are not known.
        advance: gets how many of `images` were measured, each time.

    Returns:
        The training; None if there are no snapshots before the model.

    Raises:
        ConfigError: if a snapshot is of another model.
        CheckpointError, DataError: if a file is damaged.
    """
    last = model.header.get("step")
    if last is None or not (paths := {step: path for step, path in find_snapshots(folder).items() if step < last}):
        return None
    objective = (model.header.get("train") or {}).get("objective", "classes")
    if objective != "classes":
        labels = None  # the head has learned nothing

    moments = []
    for step, path in _that_fit(paths, model).items():
        moment = load(path)
        if moment.config != model.config:
            raise ConfigError(f"{printable(path)} is of another model than its run: remove it, or give --no-snapshots")
        moments.append(Moment(step, moment, _accuracy(moment, step, images, labels)))
        advance(len(images))
    moments.append(Moment(last, model, _accuracy(model, last, images, labels)))
    curve = [record for record in MetricsFile(folder / METRICS).read() if record["step"] <= last]
    return Training(moments, curve, 0 if labels is None else len(images), ACCURACIES[objective])


def _that_fit(paths: Mapping[int, Path], model: ViT) -> dict[int, Path]:
    """Return as many snapshots as the page may hold, the first among them, at even distances in their order."""
    most = max(1, MOST_BYTES // (2 * model.num_parameters()))
    kept = [list(paths.items())[i] for i in _spread(len(paths), most)]
    if len(kept) < len(paths):
        limit = f"{MOST_BYTES // 2**20} MB"
        notice(f"the page holds {len(kept)} of the {len(paths)} snapshots: more of this model would be over {limit}")
    return dict(kept)


def _spread(count: int, most: int) -> list[int]:
    """Return up to `most` of the numbers below `count`, the first and the last among them, at even distances."""
    if most >= count:
        return list(range(count))
    return [round(each) for each in np.linspace(0, count - 1, most)]


def _accuracy(model: ViT, step: int, images: np.ndarray, labels: np.ndarray | None) -> float | None:
    """Return the accuracy that the run measured after this step, or else that on the images."""
    header: Mapping[str, Any] = model.header
    if header.get("last_test") and header.get("evaluated", step) == step:
        return float(header["last_test"]["accuracy"])
    if labels is None or not len(images):
        return None
    return float(np.mean(model.predict(images).argmax(axis=1) == labels))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
