"""What a run writes down and shows: metrics.jsonl, the same for TensorBoard, a progress bar, and the learning curve."""

from __future__ import annotations

import codecs
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, MissingExtraError, SaveError
from ..utils.files import atomic_file, reason_of, write_text
from ..utils.text import printable, quoted, write_words

Record = dict[str, Any]
FEW_POINTS = 20


class MetricsFile:
    """metrics.jsonl: a line of JSON for each logged step, each evaluation, and each step left out.

    A line has `kind` ("train" or "test"), `step` (steps done so far), `epoch` (epochs done so far), `loss`, `accuracy`
    (0 to 1), `lr`, `images_per_second` and `seconds` (of training since the run began, evaluations left out). Where
    mixed precision left a step out, the line has `kind` "overflow", `step`, and the `loss_scale` from then on.
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
                file.write(json.dumps(record) + "\n")
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
        kept = [record for record in self.read() if record["step"] <= (evaluated if record["kind"] == "test" else step)]
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))


# The numbers that a line of each kind has besides its step.
NUMBERS = ("epoch", "loss", "accuracy", "lr", "images_per_second", "seconds")
FIELDS = {"train": NUMBERS, "test": NUMBERS, "overflow": ("loss_scale",)}


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
    for name in FIELDS[kind]:
        value = record.get(name)
        huge = isinstance(value, int) and abs(value) >= 2**63
        if not isinstance(value, int | float) or isinstance(value, bool) or huge:
            raise ValueError(f"its {name} is {quoted(value)}, not a number")
    return record


def require_tensorboard() -> Any:
    """tensorboardX, the library that knows TensorBoard's files. Raises MissingExtraError if it is not installed."""
    try:
        import tensorboardX
    except ImportError as error:
        raise MissingExtraError("tensorboardX is not installed: pip install 'minivit[tensorboard]'") from error
    return tensorboardX


class EventFile:
    """events.out.tfevents...: what is in metrics.jsonl, for TensorBoard.

    It is written anew whenever a run begins or goes on, from what metrics.jsonl holds by then: so it has each point
    once, however often a run was killed, and also the points from before it was asked for.

    Raises MissingExtraError if tensorboardX is not installed.
    """

    def __init__(self, folder: Path, records: list[Record]):
        library = require_tensorboard()
        self.Event, self.Summary = library.proto.event_pb2.Event, library.proto.summary_pb2.Summary
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        now = time.time()
        shown = [record for record in records if record["kind"] in ("train", "test")]
        self.begun = now - (shown[-1]["seconds"] if shown else 0.0)
        # Its SummaryWriter would write from another thread, some time later: a kill could come first.
        self.file = library.RecordWriter(str(folder / f"events.out.tfevents.{now:.0f}.minivit"))
        self._add(wall_time=now, file_version="brain.Event:2")
        for record in shown:
            self.write(record)

    def write(self, record: Record) -> None:
        """Add the numbers of one line of metrics.jsonl, as `loss/train`, `loss/test` and so on."""
        values = [
            self.Summary.Value(tag=f"{name}/{record['kind']}", simple_value=record[name])
            for name in ("loss", "accuracy", "lr", "images_per_second")
        ]
        when = self.begun + record["seconds"]  # a clock that stands still during evaluations, as in metrics.jsonl
        self._add(wall_time=when, step=record["step"], summary=self.Summary(value=values))
        self.file.flush()

    def _add(self, **fields: Any) -> None:
        self.file.write(self.Event(**fields).SerializeToString())

    def close(self) -> None:
        """End the file."""
        self.file.close()


class Progress:
    """A progress bar in a terminal; plain lines, one for each logged step, where the output is a file or a pipe."""

    def __init__(self, total: int, done: int, unit: str = "step", show: bool = True):
        from tqdm.auto import tqdm

        self.show = show
        self.interactive = show and sys.stderr is not None and sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, unit=unit, dynamic_ncols=True, disable=not self.interactive)

    def update(self, text: str) -> None:
        """One more step; `text` is what stands behind the bar."""
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update()

    def line(self, text: str, only_plain: bool = False) -> None:
        """Print a line that stays; `only_plain` leaves it out where the bar shows the same.

        A closed output, as after `| head`, does not end a run.
        """
        try:
            if self.interactive and not only_plain:
                self.bar.write(text)
            elif self.show and not self.interactive:
                print(text, flush=True)
        except (OSError, ValueError):
            self.show = self.interactive = False

    @contextmanager
    def second_bar(self, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        """Show another bar below the first, inside the `with` block; yields the function that advances it."""
        from tqdm.auto import tqdm

        with tqdm(total=total, unit=unit, dynamic_ncols=True, leave=False, disable=not self.interactive) as bar:
            yield bar.update

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()


def learning_curve(records: list[Record], path: Path, title: str = "") -> None:
    """Draw loss and accuracy against epochs, training and test, and write the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    styles = {
        "train": {"color": "#0072B2", "lw": 1.2},
        "test": {"color": "#D55E00", "lw": 1.6, "marker": "o", "ms": 4},
    }
    for kind, style in styles.items():
        chosen = [record for record in records if record["kind"] == kind]
        # Larger numbers overflow inside matplotlib.
        epochs, losses, accuracies = (
            np.clip([float(record[name]) for record in chosen], -1e30, 1e30) for name in ("epoch", "loss", "accuracy")
        )
        if len(chosen) <= FEW_POINTS:  # a single point would draw no line
            style = {"marker": ".", **style}
        loss_axes.plot(epochs, losses, label=kind, **style)
        accuracy_axes.plot(epochs, 100 * accuracies, label=kind, **style)
    loss_axes.set(xlabel="epoch", ylabel="loss")
    accuracy_axes.set(xlabel="epoch", ylabel="accuracy (%)")
    for axes in (loss_axes, accuracy_axes):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    write_words(figure.suptitle(""), title)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
