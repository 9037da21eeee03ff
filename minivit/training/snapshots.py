"""Snapshots of a run: small copies of its weights, to see how the model learned.

They are close together at the start, where a model changes most, and further and further apart later.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SaveError
from ..utils.files import reason_of
from ..utils.text import printable
from ..weights import write_arrays
from .folder import NOTES, SNAPSHOTS
from .resuming import evaluated_weights, notes_of_weights
from .run import Run

NAME = re.compile(r"step-(\d{7,})\.safetensors")


def snapshot_steps(count: int, total_steps: int) -> list[int]:
    """Return the steps after which a run keeps a snapshot: 0, the last, and a geometric series between them.

    Args:
        count: how many; one alone is of the last step. If `count` is above `total_steps`, each step from 0 has one.
        total_steps: the length of the run.
    """
    if count < 2:
        return [total_steps] * count
    if count > total_steps:
        return list(range(total_steps + 1))
    steps = [0]
    intervals = max(1, count - 2)
    for i in range(count - 2):
        steps.append(max(steps[-1] + 1, round(total_steps ** (i / intervals))))  # each at least one step further
    return [*steps, total_steps]


def snapshot_path(folder: Path, step: int) -> Path:
    """Return the file of the snapshot after a step, in the folder of a run."""
    return folder / SNAPSHOTS / f"step-{step:07}.safetensors"


def find_snapshots(folder: Path) -> dict[int, Path]:
    """Return the files of a run's snapshots by their step, the first step first; none if it keeps none."""
    found = {int(match[1]): path for path in (folder / SNAPSHOTS).glob("*") if (match := NAME.fullmatch(path.name))}
    return dict(sorted(found.items()))


def drop_later_snapshots(folder: Path, step: int) -> None:
    """Remove what a killed run kept after the checkpoint that it resumes from: the run may now go elsewhere.

    Args:
        folder: the run's.
        step: the checkpoint's.

    Raises:
        SaveError: if a file cannot be removed.
    """
    for later, path in find_snapshots(folder).items():
        if later > step:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SaveError(f"could not remove {printable(path)}: {reason_of(error)}") from error


def save_snapshot(run: Run) -> None:
    """Write the weights that an evaluation would measure now, and the results of the last one.

    An array is saved as float16, half the size, unless a number is beyond its range.

    Args:
        run: the run.

    Raises:
        SaveError: if it cannot be written, or weights are nan or infinite.
    """
    path = snapshot_path(run.folder, run.step)
    header: dict[str, Any] = notes_of_weights(run) | {
        "step": run.step,
        "epoch": run.epoch,
        "evaluated": run.progress.evaluated,
        "last_test": run.progress.last_test,
    }
    header[NOTES] = run.notes | {"folder": str(path.parent.absolute())}  # what is beside the run is found from here
    arrays = {name: as_float16_if_in_range(array) for name, array in evaluated_weights(run).items()}
    with run.stop.saving():
        write_arrays(path, header, arrays)


def as_float16_if_in_range(array: np.ndarray) -> np.ndarray:
    """Return an array as float16, or unchanged if a number is beyond the range of float16."""
    with np.errstate(over="ignore", under="ignore"):
        half = array.astype(np.float16)
    return half if np.isfinite(half).all() else array
