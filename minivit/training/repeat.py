"""The command that repeats a run, for its README.md and for model cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import DATASETS, dataset_title
from ..utils.text import shell_word
from ..weights import PRETRAINED
from .config import DEFAULTS, NOTES_AMONG_OPTIONS, OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS, as_written_now

if TYPE_CHECKING:
    from ..weights import Header


def command_of_run(header: Header) -> str | None:
    """Return the command that makes a run with the same weights; None if the header notes no run.

    Paths of this machine are shortened: a folder of images and a file of weights keep their last part.

    Args:
        header: of the run's checkpoint.
    """
    noted: dict[str, Any] = as_written_now(header.get("train") or {})
    if not noted:
        return None
    command = "train"
    if noted.get("weights"):
        command = "finetune"
    elif noted.get("objective", "classes") != "classes":
        command = "pretrain"
    unused = "epochs" if noted.get("steps") else "steps"
    left_out = {*OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS, *NOTES_AMONG_OPTIONS, unused}
    words = ["minivit", command, "--recipe", "none"]  # so that a recipe which is changed later changes nothing
    first = ("weights", "dataset", "model")
    for name, value in sorted(noted.items(), key=lambda item: item[0] not in first):
        is_needed = name in first or value != DEFAULTS.get(name)
        if (
            name in left_out
            or value is None
            or value is False
            or value == ""
            or not is_needed
            or (name == "model" and command == "finetune")
        ):
            continue
        words.append(f"--{name.replace('_', '-')}")
        words += [] if value is True else [shell_word(as_typed(_without_place(name, value)))]
    return " ".join(words)


def as_typed(value: Any) -> Any:
    """Return an option's value as a user would type it: 100 instead of 100.0."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _without_place(name: str, value: Any) -> Any:
    """Return an option's value, without the folder that a path is in."""
    if name == "dataset" and value not in DATASETS:
        return f"folder:{dataset_title(value)}"
    if name in ("weights", "teacher") and value not in PRETRAINED:
        return Path(value).name
    return value
