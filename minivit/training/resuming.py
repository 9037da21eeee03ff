"""What a checkpoint notes of a run beside its arrays, and how a resumed run takes it over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import to_numpy
from ..errors import CheckpointError, ConfigError, MinivitError, NonFiniteLossError
from ..utils.notices import notice
from ..utils.text import composed, listed, quoted
from ..weights import read_header
from ..weights.images import notes_on_images
from ..weights.sources.minivit import WEIGHTS
from .batches import augmentation_name
from .checkpoint import load_checkpoint, save_checkpoint
from .config import DEFAULTS, LENGTH, TrainConfig, as_written_now
from .distributed.ranks import checksum
from .failures import not_finite
from .folder import NOTES, changed_versions, options_that_affect_weights
from .objectives import Objective
from .options import OWN_MODEL, OWN_OPTIMIZER
from .run import Measured, Progress, Run, Window
from .schedule import steps_in

MEASURED = ("epoch", "loss", "accuracy")
REMEDY = "go on with what it began with, or start a new run"


def save_run(run: Run) -> None:
    """Write the run's checkpoint.

    Raises:
        NonFiniteLossError: if a weight is infinite or not a number; nothing is written then.
        SaveError: if it cannot be written; an older checkpoint is unchanged.
    """
    header = {
        **asdict(run.progress),
        "precision": run.precision.state(),
        "optimizer": run.rule,
        "teacher": teacher_checksum(run.objective),
        "labels": checksum(run.data.train.labels),
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


# What the files of a run note beside the model: in `described`, in a checkpoint and in best.npz.
NOTES_OF_A_RUN = {
    *("train", "images", "dataset", "split", NOTES),
    *("precision", "optimizer", "teacher", "labels", *(one.name for one in fields(Progress))),
    *("epoch", "monitor", "optimizer_steps"),
}


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


def without_notes_of_a_run(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's header without what a run noted of its images, its options and how far it came."""
    return {name: value for name, value in header.items() if name not in NOTES_OF_A_RUN}


def notes_of_weights(run: Run) -> dict[str, Any]:
    """Return the header of a file of this run that holds weights alone: the model, and what `described` returns."""
    return {"config": asdict(run.model.config), **notes_on_images(run.model.header), **described(run)}


def evaluated_weights(run: Run) -> dict[str, np.ndarray]:
    """Return the weights that an evaluation measures, those of the model or their average, as files name them."""
    with run.average.applied() if run.average else nullcontext():
        return {f"{WEIGHTS}{name}": to_numpy(array) for name, array in run.model.state_dict().items()}


def restore_run(run: Run) -> None:
    """Restore the state of a run from its checkpoint.

    Raises:
        CheckpointError: if the checkpoint is damaged, or of a run with other options, data or teacher.
    """
    header = read_header(run.checkpoint)
    try:
        saved = _options_in(header, run.checkpoint)
        _check_same_run(run, header, saved)
        load_checkpoint(
            run.checkpoint,
            model=run.model,
            network=run.objective.network,
            optimizer=run.optimizer,
            average=run.average,
        )
        run.progress = _progress_of(header)
        run.precision.load_state(header.get("precision", []))
        _note_new_length(run, header, saved)
    except MinivitError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        found = f"its header lacks {error}" if isinstance(error, KeyError) else f"its header does not fit: {error}"
        raise CheckpointError(f"{run.checkpoint} is damaged: {found}; restore it, or start a new run") from error
    notes = header.get(NOTES)
    before = notes.get("versions") if isinstance(notes, dict) else None
    if changes := changed_versions(before, run.notes["versions"]):
        notice(f"this run was saved with {changes}: its last bits may differ from those of an unbroken run")


def share_first_ranks_state(run: Run) -> None:
    """Copy the first rank's weights, optimiser state and progress to every rank."""
    averages = run.average.average.values() if run.average else ()
    weights = [tensor.data for tensor in run.objective.network.parameters()]
    for array in (*weights, *run.optimizer.state().values(), *averages):
        run.ranks.copy_from_first(array)
    state = asdict(run.progress), run.optimizer.steps, run.precision.state()
    progress, run.optimizer.steps, precision = run.ranks.from_first(state)
    run.progress = _progress_of(progress)
    run.precision.load_state(precision)


def teacher_checksum(objective: Objective) -> int | None:
    """Return a checksum of the teacher's weights; None without a teacher.

    The path of its file would not do: a resumed run may find the file elsewhere.
    """
    teacher = getattr(objective, "teacher", None)
    return None if teacher is None else sum(checksum(to_numpy(array)) for array in teacher.state_dict().values())


def _progress_of(header: dict[str, Any]) -> Progress:
    step, test, best = int(header["step"]), header["last_test"], header.get("best")
    return Progress(
        step=step,
        seconds=float(header["seconds"]),
        evaluated=int(header.get("evaluated", step)),
        last_test=None if test is None else {name: float(test[name]) for name in ("loss", "accuracy", *test)},
        best=None if best is None else Measured(int(best["step"]), *(float(best[name]) for name in MEASURED)),
        waited=int(header.get("waited", 0)),
        window=Window(**{field.name: header["window"][field.name] for field in fields(Window)}),
    )


def _options_in(header: dict[str, Any], checkpoint: Path) -> TrainConfig:
    """Return the options that a checkpoint was saved with."""
    if "train" not in header or "step" not in header:
        raise CheckpointError(f"{checkpoint} holds weights but no training state: resume from a run's checkpoint")
    saved = as_written_now(header["train"])
    if unknown := sorted(set(saved) - set(DEFAULTS)):
        raise CheckpointError(
            f"{checkpoint} has options that this minivit does not know: {listed(unknown, 3)}; go on with the version "
            "that saved it, or a newer one"
        )
    return TrainConfig(**(DEFAULTS | saved))  # it lacks the options that are younger


def _note_new_length(run: Run, header: dict[str, Any], saved: TrainConfig) -> None:
    """Note the lengths that a run had before, and say where another one begins.

    From there on everything follows a run of the new length, and the evaluations that --patience counts begin anew.

    Args:
        run: with its new options, at the step of its checkpoint.
        header: of the checkpoint.
        saved: the options in it.

    Raises:
        ConfigError: if the run has come further than the new length.
    """
    notes, steps_per_epoch = header.get(NOTES), run.loader.steps_per_epoch
    lengths = list(notes.get("lengths", [])) if isinstance(notes, dict) else []
    before, now, step = saved.total_steps(steps_per_epoch), run.total_steps, run.step
    if now < step:
        raise ConfigError(
            f"the run has taken {step:,} steps ({run.epoch:.4g} epochs) already: give --steps {step} or more, or "
            f"--epochs {run.epoch:.4g} or more"
        )
    if now != before or saved.patience != run.config.patience:
        run.progress.waited = 0
    if now != before:
        lengths.append({"until_step": step, "total_steps": before})
        notice(
            f"going on from step {step:,} to step {now:,} instead of {before:,}, on the learning rate of a run that "
            f"long: {run.schedule(step):.3g} at first"
        )
        many_sizes = run.data.train.image_shape is None
        old, new = (
            augmentation_name(run.config, run.config.dataset, steps / steps_per_epoch, many_sizes)
            for steps in (before, now)
        )
        if old != new:
            notice(f"in a run that long, --augment auto means {new}, not {old}: images are augmented so from here on")
        mixing = run.config.mix_until if run.config.mixup or run.config.cutmix else 0.0
        dropping = run.config.patch_dropout_until if run.config.patch_dropout else 0.0
        for what, share in (("images are mixed", mixing), ("patches are left out", dropping)):
            if steps_in(share, before) < step < steps_in(share, now):
                notice(f"in a run that long, {what} up to step {steps_in(share, now):,}: again from here on")
    if lengths:
        run.notes["lengths"] = lengths


def _check_same_run(run: Run, header: dict[str, Any], before: TrainConfig) -> None:
    """Raise CheckpointError if options, data, model, optimiser or teacher are not those of the checkpoint."""
    saved, now = (options_that_affect_weights(config) for config in (before, run.config))
    if changed := sorted(name for name in now if saved[name] != now[name] and name not in LENGTH):
        differences = [f"{name} was {quoted(saved[name], 30)}, now {quoted(now[name], 30)}" for name in changed]
        raise CheckpointError(f"{run.checkpoint} is of a run with other options: {listed(differences, 3)}; {REMEDY}")
    _check_same_data(run, header)
    if run.config.model == OWN_MODEL and (different := _differences(run, header)):
        raise CheckpointError(f"{run.checkpoint} is of another model: {listed(different, 3)}; {REMEDY}")
    if run.config.optimizer == OWN_OPTIMIZER and (different := _differences_of_optimizer(run, header)):
        raise CheckpointError(f"{run.checkpoint} is of another optimiser: {listed(different, 3)}; {REMEDY}")
    teacher = teacher_checksum(run.objective)
    if header.get("teacher", teacher) != teacher:
        raise CheckpointError(
            f"{run.checkpoint} had another teacher than {run.config.teacher}: the weights differ; {REMEDY}"
        )


def _differences(run: Run, header: dict[str, Any]) -> list[str]:
    """Return in words how a script's model differs from the one in a checkpoint, in what the weights do not show."""
    return _in_words(header["config"], asdict(run.model.config))


def _differences_of_optimizer(run: Run, header: dict[str, Any]) -> list[str]:
    """Return in words how a script's optimiser differs from the one in a checkpoint; nothing if that is unknown."""
    return _in_words(header.get("optimizer", {}), run.rule)


def _in_words(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return in words which values differ among those that both have: "heads was 2, now 4"."""
    now = json.loads(json.dumps(now))  # tuples become lists, as in a file
    return [
        f"{name} was {quoted(saved[name], 30)}, now {quoted(now[name], 30)}"
        for name in now
        if name in saved and saved[name] != now[name]
    ]


def _check_same_data(run: Run, header: dict[str, Any]) -> None:
    """Raise CheckpointError if a folder's images or classes changed since: the next steps would see other batches."""
    labels = checksum(run.data.train.labels)
    images, classes = len(run.data.train), list(map(composed, run.data.train.classes))
    saved_classes = list(map(composed, header["classes"]))
    before = header.get("images", images)
    if len(saved_classes) != len(classes):
        change = f"had {len(saved_classes)} classes and has {len(classes)} now"
    elif before != images:
        change = f"had {before:,} training images and has {images:,} now"
    elif renamed := [pair for pair in zip(saved_classes, classes, strict=True) if pair[0] != pair[1]]:
        change = f"had the class {quoted(renamed[0][0])} where it has {quoted(renamed[0][1])} now"
    elif header.get("labels", labels) != labels:
        change = "had its training images in another order, or with other labels"
    elif (split := header.get("split", run.data.split)) != run.data.split:
        change = f"was measured on its {split} images, and would be on its {run.data.split} images now"
    else:
        return
    raise CheckpointError(
        f"{run.checkpoint} cannot be resumed: {run.config.dataset} {change}; restore it, or start a new run"
    )
