"""Signals that stop a run: Ctrl-C, SIGTERM (kill, a batch system, `docker stop`), SIGHUP (a closed terminal).

The first signal is noted; the loop reads it between steps, saves, and ends. A second signal ends the process at once,
except while a checkpoint is being written.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..utils.console import EXIT_INTERRUPTED, EXIT_TERMINATED

# SIGBREAK is Ctrl-Break on Windows, which has no SIGHUP.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """A run that ends at once; what was saved before is whole.

    Args:
        number: the signal.

    Attributes:
        status: the exit status of the process.
    """

    def __init__(self, number: int):
        super().__init__()
        self.status = exit_status(number)


def exit_status(number: int) -> int:
    """Return the exit status for a run that a signal stopped: 130 for Ctrl-C, 143 for the others."""
    return EXIT_INTERRUPTED if number in (0, signal.SIGINT) else EXIT_TERMINATED


class StopRequest:
    """Whether this process was told to stop, by a signal or by a callback.

    Attributes:
        number: the first signal that came; 0 if none did.
        asked: whether a callback asked for it.
        steps_begun: whether there is something to save. Until then a signal ends the process at once.
    """

    def __init__(self, show: bool = False):
        self.show = show
        self.number = 0
        self.asked = False
        self.steps_begun = False
        self._saving = False

    def __call__(self) -> bool:
        """Return whether it was told to stop."""
        return self.asked or self.number != 0

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Inside the block, a signal is noted and raises nothing, so that a checkpoint is written whole."""
        self._saving = True
        try:
            yield
        finally:
            self._saving = False

    def handle(self, number: int, frame: Any) -> None:
        """Answer a signal: the handler that `stop_signals` sets."""
        first, self.number = not self.number, self.number or number
        if self._saving:
            return
        if not first or not self.steps_begun:
            raise Stopped(self.number)
        if self.show:
            self._say(
                "stopping: this step will be finished and saved (once more: stop at once, with what was saved before)"
            )

    def _say(self, text: str) -> None:
        # Not with print: the signal may have come while its buffer was being written.
        with suppress(OSError):
            os.write(2, f"\nminivit: {text}\n".encode())


@contextmanager
def stop_signals(show: bool = False) -> Iterator[StopRequest]:
    """Turn the signals that stop a run into a request, inside the `with` block.

    Args:
        show: whether to answer a signal with a line on standard error.
    """
    request = StopRequest(show)
    if threading.current_thread() is not threading.main_thread():
        yield request  # signals belong to the main thread
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # An ignored SIGHUP (nohup) means that the run must outlive the terminal. An ignored SIGINT means nothing: a shell
    # ignores it for every process that it starts in the background.
    ignored = [number for number, handler in before.items() if handler == signal.SIG_IGN and number != signal.SIGINT]
    taken = [number for number in SIGNALS if number not in ignored]
    try:
        for number in taken:
            signal.signal(number, request.handle)
    except OSError:  # no signals here, as in a browser: nothing but a callback stops the run
        yield request
        return
    try:
        yield request
    finally:
        for number in taken:
            if before[number] is not None:  # None: not set from Python, so it cannot be set again
                signal.signal(number, before[number])
