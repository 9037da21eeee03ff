"""A run's folder: locked for one process, its options read back, and its paths found again after a move."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.gpu.cuda import find_cupy
from ..data import DATASETS, FOLDER, default_data_dir, expanded
from ..errors import CheckpointNotFoundError, ConfigError, MinivitError, SaveError
from ..utils.figures import FORMATS, formats_in
from ..utils.files import locked, read_json, reason_of, remove_parts, write_json
from ..utils.text import listed, printable, shell_word
from ..weights import PRETRAINED
from .config import NOTES_AMONG_OPTIONS, OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS, TrainConfig, config_from_json
from .options import OWN_DATA

CONFIG, METRICS, CHECKPOINT = "config.json", "metrics.jsonl", "checkpoint.npz"
BEST, README, SNAPSHOTS = "best.npz", "README.md", "snapshots"
FIGURES = ("curve", "predictions", "confusion")  # their files end in their formats
NOTES = "run"  # the key of `run_notes` in config.json and in the checkpoint's header

Notes = dict[str, Any]


# -- claiming ------------------------------------------------------------------------------------


@contextmanager
def claimed(folder: Path, resume: bool) -> Iterator[bool]:
    """Lock a run's folder for this process, inside the `with` block, and make the folder if it does not exist.

    If the folder is new and the run cannot begin, the empty folder is removed again.

    Args:
        folder: the run's.
        resume: whether it may hold a run.

    Yields:
        Whether other processes are kept out; False if the file system has no locks.

    Raises:
        ConfigError: if it is not a folder, holds a run and `resume` is False, or holds other files with a run's names.
        FolderInUseError: if another process has it.
        SaveError: if it cannot be made or written to.
    """
    made: list[Path] = []
    with ExitStack() as stack:
        try:
            if folder.exists() and not folder.is_dir():
                raise ConfigError(f"{printable(folder)} is a file: a run needs a folder, choose another one")
            made = [path for path in (folder, *folder.parents) if not path.exists()]
            stack.callback(_remove_empty, made)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaveError(f"could not make the folder {printable(folder)}: {reason_of(error)}") from error
        held = stack.enter_context(locked(folder))
        if not resume:
            check_free(folder)
        remove_parts(folder)
        remove_parts(folder / SNAPSHOTS)
        yield held


def _remove_empty(made: list[Path]) -> None:
    with suppress(OSError):
        for path in made:  # the innermost first; the first that is not empty ends it
            path.rmdir()


def check_free(folder: Path) -> None:
    """Raise ConfigError if a folder holds a run, or other files with a run's names."""
    figures = (f"{name}.{format}" for name in FIGURES for format in FORMATS)
    names = (CONFIG, METRICS, CHECKPOINT, BEST, README, SNAPSHOTS, *figures)
    if not (found := [name for name in names if os.path.lexists(folder / name)]):
        return
    name = printable(folder)
    if CONFIG in found and _is_run(folder):
        word = shell_word(folder)
        raise ConfigError(
            f"{name} holds a run already: resume it (minivit train --resume {word}, in Python resume=True), or choose "
            "another folder"
        )
    raise ConfigError(f"{name} holds {listed(found)} already, but no run that can be resumed: choose another folder")


def _is_run(folder: Path) -> bool:
    try:
        read_config(folder)
    except MinivitError:
        return False
    return True


def figure_paths(folder: Path, name: str, formats: str) -> list[Path]:
    """Return where a figure of a run is written, a file for each format.

    Args:
        folder: the run's.
        name: one of `FIGURES`.
        formats: such as "png,svg".
    """
    return [folder / f"{name}.{format}" for format in formats_in(formats)]


def drawn_figures(folder: Path, name: str) -> list[Path]:
    """Return the files of a figure of a run that exist, in any format."""
    return [path for format in FORMATS if (path := folder / f"{name}.{format}").is_file()]


@contextmanager
def redrawn(folder: Path, name: str, formats: str) -> Iterator[list[Path]]:
    """Yield where to write a figure of a run; then remove its files in other formats, which no longer show the run.

    Args:
        folder, name, formats: as for `figure_paths`.
    """
    paths = figure_paths(folder, name, formats)
    yield paths
    for path in drawn_figures(folder, name):
        if path not in paths:
            path.unlink(missing_ok=True)


# -- config.json ---------------------------------------------------------------------------------


def write_config(folder: Path, config: TrainConfig, notes: Notes) -> None:
    """Write `config.json`.

    Raises:
        SaveError: if it cannot be written.
    """
    write_json(folder / CONFIG, {**asdict(config), NOTES: notes})


def read_config(folder: Path) -> TrainConfig:
    """Return the options of the run in a folder, with its paths as they are now.

    Raises:
        CheckpointNotFoundError: if there is no run.
        DataError, ConfigError: if its `config.json` is damaged or belongs to another program.
    """
    path = folder / CONFIG
    if not path.is_file():
        if folder.is_file():
            above = f", {printable(folder.parent)}" if (folder.parent / CONFIG).is_file() else ""
            raise CheckpointNotFoundError(f"{printable(folder)} is a file: name the folder of its run{above}")
        raise CheckpointNotFoundError(f"there is no run in {printable(folder)}: it has no {CONFIG}")
    values = read_json(path)
    notes = values.pop(NOTES, None) if isinstance(values, dict) else None
    try:
        config = config_from_json(values)
    except ConfigError as error:
        raise ConfigError(f"{printable(path)}: {error}") from error
    return relocated(config, notes, folder)


def begun_at(folder: Path) -> str:
    """Return when the run in a folder was begun, in UTC, such as "2026-11-29 05:30": now, unless its notes say it."""
    path = folder / CONFIG
    values = read_json(path) if path.is_file() else {}
    notes = values.get(NOTES) if isinstance(values, dict) else None
    noted = notes.get("begun") if isinstance(notes, dict) else None
    return noted if isinstance(noted, str) else now()


def now() -> str:
    """Return the time in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


def run_notes(folder: Path | None, device: str) -> Notes:
    """Return what a run notes besides its options: its folder, and the versions that decide its last bits."""
    where = {} if folder is None else {"folder": str(folder.absolute())}
    return where | {"versions": versions(device)}


def versions(device: str) -> dict[str, str]:
    """Return the versions of minivit, NumPy and the library of its matrix products, or CuPy."""
    from .. import __version__

    found = {"minivit": __version__, "NumPy": np.__version__}
    if device != "cpu":
        return found | {"CuPy": find_cupy()[0].__version__, "device": "GPU"}
    return found | {"BLAS": _blas(), "device": "CPU"}


def _blas() -> str:
    """Return the library of NumPy's matrix products, such as "scipy-openblas 0.3.30 SkylakeX".

    Its kernels differ between kinds of processor, and they round differently.
    """
    from threadpoolctl import threadpool_info

    built = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {}) if built else {}
    running = [entry for entry in threadpool_info() if entry.get("user_api") == "blas"]
    running.sort(key=lambda entry: "numpy" not in str(entry.get("filepath")))  # SciPy may have brought another
    kernels = running[0].get("architecture") if running else None
    if blas.get("name") == "accelerate":  # a part of macOS, without a version
        return f"Accelerate of macOS {platform.mac_ver()[0]}"
    return " ".join(str(word) for word in (blas.get("name"), blas.get("version"), kernels) if word)


def changed_versions(before: Any, now: dict[str, str]) -> str:
    """Return in words which versions changed since a run was saved; "" if none did, or it is not known."""
    if not isinstance(before, dict):
        return ""
    changes = [
        f"{name} {printable(before[name], 40)}, now {now[name]}"
        for name in now
        if name in before and before[name] != now[name]
    ]
    return "; ".join(changes)


# -- paths ---------------------------------------------------------------------------------------


def anchored(config: TrainConfig) -> TrainConfig:
    """Return the options with absolute paths, so that the run can be resumed from another working directory."""
    data_dir = (expanded(config.data_dir) if config.data_dir else default_data_dir()).absolute()
    changes = {"data_dir": str(data_dir)}
    if is_folder(config.dataset):
        given = expanded(config.dataset.removeprefix(FOLDER))
        second = data_dir / given  # where `load_dataset` looks if there is no such folder here
        changes["dataset"] = FOLDER + str((second if second.is_dir() and not given.is_dir() else given).absolute())
    for name in ("weights", "teacher"):  # a published name stays a name
        if (given := getattr(config, name)) and _exists(Path(given)):
            changes[name] = str(Path(given).absolute())
    return replace(config, **changes)


def is_folder(dataset: str) -> bool:
    """Return whether a data set's name is that of a folder of images."""
    return dataset not in (*DATASETS, OWN_DATA)


def options_that_affect_weights(config: TrainConfig) -> dict[str, Any]:
    """Return the options that the weights depend on, without paths: folders and files may be moved."""
    without_effect = (*OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS, *NOTES_AMONG_OPTIONS)
    options = {name: value for name, value in asdict(config).items() if name not in without_effect}
    if is_folder(config.dataset):
        options["dataset"] = "a folder of images"
    for name in ("weights", "teacher"):
        if options[name] and options[name] not in PRETRAINED:
            options[name] = "a file"
    return options


def relocated(config: TrainConfig, notes: Any, folder: Path) -> TrainConfig:
    """Return the options of a run with paths that exist now, if the run's folder and its data were moved together."""
    changes = {}
    if config.data_dir:
        path = path_now(config.data_dir, notes, folder)
        changes["data_dir"] = path if Path(path).is_dir() else ""  # "": the default, which may be another folder now
    if is_folder(config.dataset):
        changes["dataset"] = FOLDER + path_now(config.dataset.removeprefix(FOLDER), notes, folder)
    for name in ("weights", "teacher"):
        if (given := getattr(config, name)) and given not in PRETRAINED:
            changes[name] = path_now(given, notes, folder)
    return replace(config, **changes)


def path_now(given: str, notes: Any, folder: Path) -> str:
    """Return where a path of a run is now; the path as given if it is not found.

    Args:
        given: the path that the run noted.
        notes: the run's `run_notes`, if it has any.
        folder: the run's folder now.
    """
    places = [Path(given), *_moved(given, notes, folder)]
    return next((str(place) for place in places if _exists(place)), given)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, or one with a null character
        return False


def _moved(given: str, notes: Any, folder: Path) -> list[Path]:
    """Return where a path is if it moved together with the run's folder."""
    before = notes.get("folder") if isinstance(notes, dict) else None
    if isinstance(before, str) and Path(before).is_absolute() and Path(given).is_absolute():
        try:
            relative = os.path.relpath(given, before)
        except ValueError:  # on another drive
            return []
        return [Path(os.path.normpath(folder.absolute() / relative))]
    # An older run noted paths relative to its working directory: mostly the folder above, or the one above `runs`.
    return [above / given for above in folder.absolute().parents[:2]]


def noted_data(header: dict[str, Any], checkpoint: Path) -> tuple[str | None, str | None]:
    """Return the data set that a checkpoint was trained on, and the folder of data sets, as they are now.

    Args:
        header: of the checkpoint.
        checkpoint: its file.

    Returns:
        The data set's name, None if it is not said or a script had its own; the folder, None for the default one.
    """
    train, notes = header.get("train"), header.get(NOTES)
    options = train if isinstance(train, dict) else {}
    dataset, data_dir = header.get("dataset"), options.get("data_dir")
    dataset = None if dataset == OWN_DATA else dataset
    folder = checkpoint.absolute().parent
    if isinstance(data_dir, str) and data_dir:
        data_dir = path_now(data_dir, notes, folder)
    if isinstance(dataset, str) and is_folder(dataset):
        dataset = FOLDER + path_now(dataset.removeprefix(FOLDER), notes, folder)
    exists = isinstance(data_dir, str) and Path(data_dir).is_dir()
    return dataset if isinstance(dataset, str) else None, data_dir if exists else None


def check_classifies(header: dict[str, Any], checkpoint: Path) -> None:
    """Raise ConfigError if a checkpoint's model never learned to name classes.

    Args:
        header: of the checkpoint.
        checkpoint: its file.
    """
    train = header.get("train")
    if isinstance(train, dict) and train.get("objective") == "masked-patch":
        raise ConfigError(
            f"{printable(checkpoint)} was pre-trained without labels and knows no classes yet: first run "
            f"minivit finetune --weights {shell_word(checkpoint)}"
        )
