r"""The command's two output streams and its exit statuses.

If standard output is closed, full (`> /dev/full`) or a pipe whose reader has left (`| head -1`), Python ends with a
traceback, or in silence with status 0. `guard_streams` replaces both streams by ones that remember the first failure,
which `close_output` turns into an exit status. A letter that the console's encoding lacks is written as an escape, such
as `\u732b`.

A command stops at such a failure, unless it runs inside `outliving_output`: a training run goes on to its end.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

EXIT_OUTPUT = 1  # standard output could not be written
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143  # as a shell reports them: 128 + SIGINT, 128 + SIGTERM
EXIT_READER_LEFT = 141  # 128 + SIGPIPE


class GuardedOutput(io.RawIOBase):
    """The bytes of a stream. A failed write raises its error, unless the command outlives the stream.

    Attributes:
        failure: the first error of a write, or None.
        outlived: whether the command goes on after a failed write.
    """

    def __init__(self, raw: Any, outlived: bool) -> None:
        self.raw, self.outlived = raw, outlived
        self.failure: OSError | None = None

    def writable(self) -> bool:
        """A stream for writing."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.raw is not None and self.raw.isatty()

    def fileno(self) -> int:
        """The descriptor, for those who ask a terminal for its width."""
        if self.raw is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self.raw.fileno()

    def write(self, data: Any, /) -> int | None:
        """Write some of the bytes; returns how many."""
        try:
            if self.raw is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return self.raw.write(data)
        except OSError as error:
            self.failure = self.failure or error
            if not self.outlived:
                raise
            return len(data)


_guards: dict[str, GuardedOutput] = {}  # by the name in sys, once the streams are guarded


def guard_streams() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams that never fail on a letter and remember a failed write."""
    # The next open file would get the number of a closed stream, and a child process would write its output into it.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if name not in _guards:
            setattr(sys, name, _guarded(name, getattr(sys, name)))


def _guarded(name: str, stream: TextIO | None) -> TextIO:
    buffer = getattr(stream, "buffer", None)
    guard = _guards[name] = GuardedOutput(getattr(buffer, "raw", buffer), outlived=name == "stderr")
    return io.TextIOWrapper(
        io.BufferedWriter(guard),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=bool(getattr(stream, "line_buffering", False)),
        write_through=bool(getattr(stream, "write_through", False)),
    )


@contextmanager
def outliving_output() -> Iterator[None]:
    """Inside the block, a failed write to standard output is remembered and raises nothing."""
    guard = _guards.get("stdout")
    before = guard.outlived if guard else False
    if guard:
        guard.outlived = True
    try:
        yield
    finally:
        if guard:
            sys.stdout.flush()
            guard.outlived = before


def complain(text: str) -> None:
    """Write a line to standard error, if that is open."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


def close_output(status: int) -> int:
    """Write out what is still in standard output's buffer; returns the exit status.

    Args:
        status: the command's own; it is returned unless it is 0 and the output failed.
    """
    try:
        sys.stdout.flush()
        failure = None
    except (OSError, ValueError, AttributeError) as error:
        failure = error
    guard = _guards.get("stdout")
    if guard:
        failure = guard.failure or failure
        guard.outlived = True  # the buffer may still hold what cannot be written
    if failure is None or status:
        return status
    if isinstance(failure, BrokenPipeError):
        return EXIT_READER_LEFT  # the reader left on purpose: no message
    complain(f"minivit: error: could not write standard output: {getattr(failure, 'strerror', None) or failure}")
    return EXIT_OUTPUT


def output_failed(error: OSError) -> bool:
    """Whether an error came from standard output and not from a file."""
    guard = _guards.get("stdout")
    return guard is not None and guard.failure is error
