"""What a checkpoint notes of a run beside its arrays, and how a resumed run takes it over."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ..backend.arrays import to_numpy
from ..errors import CheckpointError, MinivitError, NonFiniteLossError
from ..utils.notices import notice
from ..utils.text import quoted
from ..weights import read_header
from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainConfig, as_written_now
from .distributed.ranks import check_number
from .failures import not_finite
from .folder import NOTES, changed_versions, options_that_affect_weights
from .objectives import Objective
from .run import Measured, Progress, Run, Window

MEASURED = ("epoch", "loss", "accuracy")


def save_run(run: Run) -> None:
    """Write the run's checkpoint.

    Raises:
        NonFiniteLossError: if a weight is infinite or not a number; nothing is written then.
        SaveError: if it cannot be written; an older checkpoint is unchanged.
    """
    header = {
        **asdict(run.progress),
        "precision": run.precision.state(),
        "teacher": teacher_check_number(run.objective),
        **described(run),
    }
    try:
        save_checkpoint(
            run.checkpoint,
            model=run.model,
            network=run.objective.network,
            optimizer=run.optimizer,
            average=run.average,
            progress=header,
        )
    except NonFiniteLossError as error:
        raise not_finite(str(error), run.step, run.optimizer.lr, run.checkpoint) from error


def described(run: Run) -> dict[str, Any]:
    """Return what each of a run's files of weights notes: on which images, and with which options."""
    return {
        "train": asdict(run.config),
        "classes": list(run.data.train.classes),
        "images": len(run.data.train),
        "dataset": run.config.dataset,
        "split": run.data.split,
        NOTES: run.notes,
    }


def restore_run(run: Run) -> None:
    """Put a run back to where its checkpoint saw it.

    Raises:
        CheckpointError: if the checkpoint is damaged, or of a run with other options, data or teacher.
    """
    header = read_header(run.checkpoint)
    try:
        _check_same_run(run, header)
        load_checkpoint(
            run.checkpoint,
            model=run.model,
            network=run.objective.network,
            optimizer=run.optimizer,
            average=run.average,
        )
        run.progress = _progress_of(header)
        run.precision.load_state(header.get("precision", []))
    except MinivitError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{run.checkpoint} is damaged: its header has no good {error}") from error
    notes = header.get(NOTES)
    before = notes.get("versions") if isinstance(notes, dict) else None
    if changes := changed_versions(before, run.notes["versions"]):
        notice(f"this run was saved with {changes}: its last bits may differ from those of an unbroken run")


def share_first_ranks_state(run: Run) -> None:
    """Give every rank the first one's weights and place in the run."""
    averages = run.average.average.values() if run.average else ()
    weights = [tensor.data for tensor in run.objective.network.parameters()]
    for array in (*weights, *run.optimizer.state().values(), *averages):
        run.ranks.copy_from_first(array)
    state = asdict(run.progress), run.optimizer.steps, run.precision.state()
    progress, run.optimizer.steps, precision = run.ranks.from_first(state)
    run.progress = _progress_of(progress)
    run.precision.load_state(precision)


def teacher_check_number(objective: Objective) -> int | None:
    """Return a number that differs if the teacher's weights differ; None without a teacher.

    The path of its file would not do: a resumed run may find the file elsewhere.
    """
    teacher = getattr(objective, "teacher", None)
    return None if teacher is None else sum(check_number(to_numpy(array)) for array in teacher.state().values())


def _progress_of(header: dict[str, Any]) -> Progress:
    step, test, best = int(header["step"]), header["last_test"], header.get("best")
    return Progress(
        step=step,
        seconds=float(header["seconds"]),
        evaluated=int(header.get("evaluated", step)),
        last_test=None if test is None else {name: float(test[name]) for name in ("loss", "accuracy")},
        best=None if best is None else Measured(int(best["step"]), *(float(best[name]) for name in MEASURED)),
        waited=int(header.get("waited", 0)),
        window=Window(**header["window"]),
    )


def _check_same_run(run: Run, header: dict[str, Any]) -> None:
    if "train" not in header or "step" not in header:
        raise CheckpointError(f"{run.checkpoint} holds weights but no training state: resume from a run's checkpoint")
    defaults: dict[str, Any] = {field.name: field.default for field in fields(TrainConfig)}  # of younger options
    saved = options_that_affect_weights(TrainConfig(**(defaults | as_written_now(header["train"]))))
    now = options_that_affect_weights(run.config)
    if changed := sorted(name for name in now if saved[name] != now[name]):
        raise CheckpointError(
            f"{run.checkpoint} is of a run with other options: "
            + ", ".join(f"{name} was {quoted(saved[name])}, now {quoted(now[name])}" for name in changed)
        )
    _check_same_data(run, header)
    teacher = teacher_check_number(run.objective)
    if header.get("teacher", teacher) != teacher:
        raise CheckpointError(
            f"{run.checkpoint} had another teacher than {run.config.teacher}: the teacher's weights differ"
        )


def _check_same_data(run: Run, header: dict[str, Any]) -> None:
    """Raise CheckpointError if a folder's images or classes changed since: the next steps would see other batches."""
    images, classes, saved_classes = len(run.data.train), run.data.train.classes, header["classes"]
    before = header.get("images", images)
    if len(saved_classes) != len(classes):
        change = f"had {len(saved_classes)} classes and has {len(classes)} now"
    elif before != images:
        change = f"had {before:,} training images and has {images:,} now"
    elif renamed := [pair for pair in zip(saved_classes, classes, strict=True) if pair[0] != pair[1]]:
        change = f"had the class {quoted(renamed[0][0])} where it has {quoted(renamed[0][1])} now"
    else:
        return
    raise CheckpointError(
        f"{run.checkpoint} cannot be resumed: {run.config.dataset} {change}; restore it, or start a new run"
    )
