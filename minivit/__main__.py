"""The `minivit` command, also as `python -m minivit`: it prepares signals and streams, then imports the rest.

Ctrl-C ends the command with status 130 and one line, also during the import of NumPy. Therefore this file and
`minivit/__init__.py` import little: until `main` begins, some hundredths of a second after Python itself, Python
answers Ctrl-C with a traceback.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # True for a type checker; `typing` takes long to import
if TYPE_CHECKING:
    from types import FrameType

EXIT_INTERRUPTED = 130  # as in `utils.console`, which is not imported yet


def main() -> int:
    """Run the command line of this process; returns the exit status."""
    interrupts = Interrupts()
    from .utils.console import close_output, complain, guard_streams

    guard_streams()
    limit_accelerate()
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


def limit_accelerate() -> None:
    """Let Apple's Accelerate, which reads this once, use one thread: minivit has its own, see `backend.accelerate`."""
    if sys.platform == "darwin":
        os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")


class Interrupts:
    """The answer to Ctrl-C where a command does not handle it: end the process at once, or raise KeyboardInterrupt.

    Attributes:
        importing: whether the command is still being imported. Ctrl-C then ends the process: nothing is written yet,
            and an import may turn the exception into another one.
        happened: whether Ctrl-C was pressed. Some libraries turn the exception into another one.
    """

    def __init__(self) -> None:
        self.importing, self.happened = True, False
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where a shell told us to ignore it
            signal.signal(signal.SIGINT, self._answer)

    def _answer(self, number: int, frame: FrameType | None) -> None:
        self.happened = True
        if self.importing:
            try:  # noqa: SIM105  (contextlib is not imported yet)
                os.write(2, b"minivit: interrupted\n")  # standard error, which may not be guarded yet
            except OSError:
                pass
            os._exit(EXIT_INTERRUPTED)
        raise KeyboardInterrupt

    def ignore(self) -> None:
        """Ignore Ctrl-C from now on: the command is over, and its output is still being written."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
