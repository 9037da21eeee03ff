"""What a part of the report is asked to do, and what it has found so far."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import MinivitError
from ...training.precision import check_precision
from ...utils.files import write_json

LONGEST_REASON = 500


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        folder: where each part writes its findings, `PART.json`.
        device: "cuda" or "cuda:i".
        cifar_minutes: the duration of the run on CIFAR-10.
        data_dir: the folder of the data sets; "" for the default.
        tiny: whether all sizes are tiny, to try the report itself.
    """

    folder: str
    device: str = "cuda"
    cifar_minutes: float = 10.0
    data_dir: str = ""
    tiny: bool = False


@dataclass
class Findings:
    """The measurements of one part. Its file is written after each, so that a part that ends early leaves the others.

    Attributes:
        path: the file.
        measured: name of a measurement -> its values, as JSON can store them.
        failed: name of a measurement -> why there are none.
        notes: sentences on what was left out.
    """

    path: Path
    measured: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def measure(self, name: str, function: Callable[[], Any]) -> Any:
        """Call `function` and keep what it returns, or the reason why it failed; return the values or None."""
        try:
            found = self.measured[name] = function()
        except Exception as error:  # a library may raise anything; the next measurement may work
            traceback.print_exc()
            self.failed[name] = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
            found = None
        self.save()
        return found

    def note(self, sentence: str) -> None:
        """Keep a sentence on what was left out, and print it."""
        print(sentence, flush=True)
        self.notes.append(sentence)
        self.save()

    def has_precision(self, precision: str, device: str) -> bool:
        """Return whether a GPU computes in a precision; if not, note why it is left out."""
        try:
            check_precision(precision, device)
        except MinivitError as error:
            if (sentence := f"{precision} is left out: {error}") not in self.notes:
                self.note(sentence)
            return False
        return True

    def save(self) -> None:
        """Write the file."""
        write_json(self.path, {"measured": self.measured, "failed": self.failed, "notes": self.notes})
