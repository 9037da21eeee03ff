"""metrics.jsonl: what a run measured, a line of JSON each time."""

from __future__ import annotations

import codecs
import json
import math
import os
from pathlib import Path
from typing import Any

from ..errors import DataError, SaveError
from ..utils.aliases import old_names
from ..utils.files import reason_of, write_text
from ..utils.text import printable, quoted

Record = dict[str, Any]


class MetricsFile:
    """metrics.jsonl: a line of JSON for each logged step, each evaluation, and each skipped step.

    A line has `kind` ("train", "test" or "validation"), `step` (steps done so far), `epoch` (epochs done so far),
    `loss`, `accuracy` (0 to 1), `lr`, `images_per_second` and `seconds` (of training since the run began, evaluations
    left out). The line of an evaluation also has each metric of the script, by its name. Where mixed precision skipped
    a step, the line has `kind` "overflow", `step`, and the `loss_scale` from then on. JSON has no nan and no
    infinity: either is null in the file, and nan when it is read.
    """

    def __init__(self, path: Path):
        self.path = path

    def write(self, record: Record) -> None:
        """Append one line; it reaches the system's cache at once.

        Raises:
            SaveError: if it cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(_line(record))
        except OSError as error:
            raise SaveError(f"could not write {printable(self.path)}: {reason_of(error)}") from error

    def sync(self) -> None:
        """Wait until what was written is on the disk: a checkpoint must not outlive the lines before it."""
        try:
            with self.path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise SaveError(f"could not write {printable(self.path)}: {reason_of(error)}") from error

    def read(self) -> list[Record]:
        """Return all records.

        A kill may cut the last line short, and a power cut may fill it with zeros: such a line is left out.

        Raises:
            DataError: if the file cannot be read, or a line before the last is damaged.
        """
        if not self.path.exists():
            return []
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise DataError(f"could not read {printable(self.path)}: {reason_of(error)}") from error
        lines = [line for line in data.removeprefix(codecs.BOM_UTF8).split(b"\n") if line.strip(b"\0 \t\r")]
        whole = data.endswith(b"\n")
        records = []
        for number, line in enumerate(lines, 1):
            try:
                records.append(_record(line))
            except ValueError as error:
                if number == len(lines) and not whole:
                    break
                raise DataError(
                    f"line {number} of {printable(self.path)} is damaged: {error}; repair the line or delete it"
                ) from error
        return records

    def rewind(self, step: int, evaluated: int) -> None:
        """Drop what a killed run logged after the checkpoint it resumes from, so that no step is logged twice.

        Args:
            step: the checkpoint's.
            evaluated: the step of the last evaluation that it knows of.
        """
        kept = [
            record for record in self.read() if record["step"] <= (evaluated if record["kind"] in EVALUATIONS else step)
        ]
        write_text(self.path, "".join(_line(record) for record in kept))


# The numbers that a line of each kind has besides its step.
NUMBERS = ("epoch", "loss", "accuracy", "lr", "images_per_second", "seconds")
FIELDS = {"train": NUMBERS, "test": NUMBERS, "validation": NUMBERS, "overflow": ("loss_scale",)}
EVALUATIONS = ("test", "validation")  # kinds of an evaluation's lines: on the test set, or on held-out images


def _line(record: Record) -> str:
    """Return a record as a line of JSON."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in record.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def _record(line: bytes) -> Record:
    """Return the record in a line. Raises ValueError, which says what is wrong, if there is none."""
    try:
        record = json.loads(line.strip(b"\0").decode("utf-8"))
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"it is not JSON, {quoted(line.decode('utf-8', 'replace'))}") from error
    if not isinstance(record, dict):
        raise ValueError(f"it is not a record, {quoted(record)}")
    kind = record.get("kind")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise ValueError(f"its kind is {quoted(kind)}, not one of {', '.join(FIELDS)}")
    step = record.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**63:
        raise ValueError(f"its step is {quoted(step)}, not an integer of 0 or more")
    record = {name: math.nan if value is None else value for name, value in record.items()}
    for name in FIELDS[kind]:
        value = record.get(name)
        huge = isinstance(value, int) and abs(value) >= 2**63
        if not isinstance(value, int | float) or isinstance(value, bool) or huge:
            raise ValueError(f"its {name} is {quoted(value)}, not a number")
    return record


__getattr__ = old_names(
    __name__,
    {
        "learning_curve": "minivit.training.callbacks.curve.learning_curve",
        "require_tensorboard": "minivit.training.callbacks.tensorboard.require_tensorboard",
    },
)
