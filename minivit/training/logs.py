"""What a run writes down and shows: metrics.jsonl, the same for TensorBoard, a progress bar, and the learning curve."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import DataError, MissingExtraError
from ..files import atomic_file, write_text
from ..text import write_words

Record = dict[str, Any]


class MetricsFile:
    """metrics.jsonl: a line of JSON for each logged step, each evaluation, and each step left out.

    A line has `kind` ("train" or "test"), `step` (steps done so far), `epoch` (epochs done so far), `loss`, `accuracy`
    (0 to 1), `lr`, `images_per_second` and `seconds` (of training since the run began, evaluations left out). Where
    mixed precision left a step out, the line has `kind` "overflow", `step`, and the `loss_scale` from then on.
    """

    def __init__(self, path: Path):
        self.path = path

    def write(self, record: Record) -> None:
        """Append one line; it reaches the disk's cache at once."""
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record) + "\n")

    def read(self) -> list[Record]:
        """All records. The last line may be cut short by a kill, and is then left out."""
        if not self.path.is_file():
            return []
        records = []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                records.append(json.loads(line))
            except ValueError as error:
                if number < len(lines):
                    raise DataError(f"line {number} of {self.path} is not JSON: {line[:60]!r}") from error
        return records

    def rewind(self, step: int) -> None:
        """Drop what a killed run logged after the checkpoint it resumes from, so that no step is logged twice."""
        kept = [record for record in self.read() if record["step"] <= step]
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))


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
        self.interactive = show and sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, unit=unit, dynamic_ncols=True, disable=not self.interactive)

    def update(self, text: str) -> None:
        """One more step; `text` is what stands behind the bar."""
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update()

    def line(self, text: str, only_plain: bool = False) -> None:
        """Print a line that stays; `only_plain` leaves it out where the bar shows the same."""
        if self.interactive and not only_plain:
            self.bar.write(text)
        elif self.show and not self.interactive:
            print(text, flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()


def learning_curve(records: list[Record], path: Path, title: str = "") -> None:
    """Draw loss and accuracy against epochs, training and test, and write the picture."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    styles = {
        "train": {"color": "#0072B2", "lw": 1.2},
        "test": {"color": "#D55E00", "lw": 1.6, "marker": "o", "ms": 4},
    }
    for kind, style in styles.items():
        chosen = [record for record in records if record["kind"] == kind]
        epochs = [record["epoch"] for record in chosen]
        loss_axes.plot(epochs, [record["loss"] for record in chosen], label=kind, **style)
        accuracy_axes.plot(epochs, [100 * record["accuracy"] for record in chosen], label=kind, **style)
    loss_axes.set(xlabel="epoch", ylabel="loss")
    accuracy_axes.set(xlabel="epoch", ylabel="accuracy (%)")
    for axes in (loss_axes, accuracy_axes):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    write_words(figure.suptitle(""), title)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
