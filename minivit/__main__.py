"""The `minivit` command, also as `python -m minivit`: signals and streams first, then everything else.

A Ctrl-C ends the command with status 130 at any moment, also while NumPy is still being imported: so this file and
the package's front door import nothing large.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from .console import close_output, complain, guard_streams

EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the command line of this process; returns the exit status."""
    interrupts = Interrupts()
    guard_streams()
    try:
        from .cli import main as run

        interrupts.importing = False
        status = run()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        if not interrupts.happened:
            raise
        complain("minivit: interrupted")
        status = EXIT_INTERRUPTED
    interrupts.ignore()
    status = close_output(status)
    return EXIT_INTERRUPTED if interrupts.happened and status else status


class Interrupts:
    """What Ctrl-C does while a command does not handle it: end the process at once, or raise KeyboardInterrupt.

    Attributes:
        importing: whether the command is still being loaded. Nothing is written yet, and an exception in the middle
            of an import may reach us as another one.
        happened: whether there was a Ctrl-C. Some libraries turn the exception into one of their own.
    """

    def __init__(self) -> None:
        self.importing, self.happened = True, False
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not if the process is to ignore it
            signal.signal(signal.SIGINT, self._answer)

    def _answer(self, number: int, frame: FrameType | None) -> None:
        self.happened = True
        if self.importing:
            complain("minivit: interrupted")
            os._exit(EXIT_INTERRUPTED)
        raise KeyboardInterrupt

    def ignore(self) -> None:
        """The command is over: let nothing disturb its end."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
