r"""The command's two output streams and its exit statuses.

Standard output may be closed, full (`> /dev/full`) or a pipe whose reader has left (`| head -1`). Python then ends with
a traceback, or silently with status 0. `guard_streams` replaces both streams by streams that remember the first
failure, and `close_output` turns this failure into an exit status. A character that the console's encoding lacks is
written as an escape, such as `\u732b`.

A command stops at such a failure, unless it runs inside `outliving_output`: a training run continues to its end.
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
EXIT_SOME_FAILED = 1  # some files of many could not be read
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143  # as a shell counts: 128 + SIGINT, 128 + SIGTERM
EXIT_READER_LEFT = 141  # 128 + SIGPIPE


class GuardedOutput(io.RawIOBase):
    """A stream of bytes that remembers the first failed write.

    Attributes:
        raw: the stream that receives the bytes; None if it is closed.
        failure: the error of the first failed write, or None.
        outlived: whether the command continues after a failed write; if not, the write raises its error.
    """

    def __init__(self, raw: Any, outlived: bool) -> None:
        self.raw, self.outlived = raw, outlived
        self.failure: OSError | None = None

    def writable(self) -> bool:
        """Return True: the stream is for writing."""
        return True

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self.raw is not None and self.raw.isatty()

    def fileno(self) -> int:
        """Return the file descriptor; a progress bar asks it for the terminal's width."""
        if self.raw is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self.raw.fileno()

    def write(self, data: Any, /) -> int | None:
        """Write some of the bytes and return how many."""
        try:
            if self.raw is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return self.raw.write(data)
        except OSError as error:
            self.failure = self.failure or error
            if not self.outlived:
                raise
            return len(data)


_guards: dict[str, GuardedOutput] = {}  # by name ("stdout", "stderr"); empty until the streams are guarded


def guard_streams() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams that can write every character and remember a failed write."""
    # A file opened later would get the descriptor of a closed stream, and a child process would write its output into
    # that file.
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
        # PYTHONUNBUFFERED asks for writes at once. A notice comes at its place between the lines on standard output.
        line_buffering=any(getattr(stream, name, False) for name in ("line_buffering", "write_through")),
        write_through=bool(getattr(stream, "write_through", False)),
    )


@contextmanager
def outliving_output() -> Iterator[None]:
    """Remember a failed write to standard output inside the block, and raise nothing."""
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


def say(text: str) -> None:
    """Write a line to standard output if it is open: a run does not end with its reader."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, flush=True)


def complain(text: str) -> None:
    """Write a line to standard error if it is open."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


def close_output(status: int) -> int:
    """Flush standard output and return the exit status.

    Args:
        status: the command's status; it is returned unless it is 0 and a write failed.

    Returns:
        `status`, EXIT_READER_LEFT or EXIT_OUTPUT.
    """
    try:
        sys.stdout.flush()
        failure = None
    except (OSError, ValueError, AttributeError) as error:
        failure = error
    guard = _guards.get("stdout")
    if guard:
        failure = guard.failure or failure
        guard.outlived = True  # the buffer may still hold bytes that cannot be written
    if failure is None or status:
        return status
    if isinstance(failure, BrokenPipeError):
        return EXIT_READER_LEFT  # the reader closed the pipe on purpose: no message
    complain(f"minivit: error: could not write standard output: {getattr(failure, 'strerror', None) or failure}")
    return EXIT_OUTPUT


def output_failed(error: OSError) -> bool:
    """Return whether an error came from standard output and not from a file."""
    guard = _guards.get("stdout")
    return guard is not None and guard.failure is error
