"""Write metrics.jsonl."""

from __future__ import annotations

from pathlib import Path

from ..folder import METRICS
from ..logs import MetricsFile, Record
from .callback import Callback


class MetricsWriter(Callback):
    """Appends each record to the run's metrics.jsonl.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path):
        self.file = MetricsFile(folder / METRICS)

    def on_log(self, record: Record) -> None:
        """Append it."""
        self.file.write(record)
