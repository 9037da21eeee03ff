"""Write the metrics for TensorBoard too (--tensorboard)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ...errors import MissingExtraError
from ..folder import METRICS
from ..logs import MetricsFile, Record
from .callback import Callback


def require_tensorboard() -> Any:
    """Return tensorboardX, the library that knows TensorBoard's files.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import tensorboardX
    except ImportError as error:
        raise MissingExtraError("tensorboardX is not installed: pip install 'minivit[tensorboard]'") from error
    return tensorboardX


NOT_MEASURED = ("kind", "step", "epoch", "seconds")  # what a record says of its place


class TensorBoard(Callback):
    """Writes what is in metrics.jsonl for TensorBoard too, into a file events.out.tfevents.*.

    Whenever a run begins or resumes, the file is written anew from metrics.jsonl. So it has each point once, however
    often the run was killed, and it has the points from before --tensorboard was given.

    Args:
        folder: the run's.

    Raises:
        MissingExtraError: if tensorboardX is not installed.
    """

    def __init__(self, folder: Path):
        library = require_tensorboard()
        self.Event, self.Summary = library.proto.event_pb2.Event, library.proto.summary_pb2.Summary
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        now = time.time()
        records = [record for record in MetricsFile(folder / METRICS).read() if "seconds" in record]
        self.begun = now - (records[-1]["seconds"] if records else 0.0)
        # Its SummaryWriter would write from another thread, some time later: a kill could come first.
        self.file = library.RecordWriter(str(folder / f"events.out.tfevents.{now:.0f}.minivit"))
        self._add(wall_time=now, file_version="brain.Event:2")
        for record in records:
            self.on_log(record)

    def on_log(self, record: Record) -> None:
        """Add the numbers of a record of steps or of an evaluation: `loss/train`, `loss/test`, `loss/validation` ..."""
        if record["kind"] == "overflow":
            return
        values = [
            self.Summary.Value(tag=f"{name}/{record['kind']}", simple_value=number)
            for name, number in record.items()
            if name not in NOT_MEASURED and isinstance(number, int | float)
        ]
        when = self.begun + record["seconds"]  # a clock that stands still during evaluations, as in metrics.jsonl
        self._add(wall_time=when, step=record["step"], summary=self.Summary(value=values))
        self.file.flush()

    def _add(self, **fields: Any) -> None:
        self.file.write(self.Event(**fields).SerializeToString())

    def close(self) -> None:
        """End the file."""
        self.file.close()
