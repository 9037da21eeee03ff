"""Run a program with a time limit: it may raise, hang or crash, and whoever started it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GRACE_SECONDS = 10.0  # to write what there is, between the request to end and the end
FINISHED = "finished"


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        state: "finished", or what happened instead.
        seconds: how long it ran.
    """

    state: str
    seconds: float


def run_limited(
    command: Sequence[str], seconds: float, log: Path, environment: Mapping[str, str] | None = None,
    grace: float = GRACE_SECONDS,
) -> Outcome:  # fmt: skip
    """Run a program until it ends, or for `seconds`.

    A program that is late receives SIGTERM, and is killed after `grace` seconds; so are processes that it started.

    Args:
        command: the program and its arguments.
        seconds: the limit.
        log: the file for its output.
        environment: variables beside those of this process.
        grace: seconds between the request to end and the end.
    """
    start = time.monotonic()
    late = False
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=os.environ | dict(environment or {}),
            # In another process group, it does not receive the terminal's Ctrl-C: this process ends it.
            process_group=0, creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )  # fmt: skip
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            _end(process, grace)
    state = f"stopped at its limit of {seconds:.0f} s" if late else _state(process.returncode)
    return Outcome(state, time.monotonic() - start)


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask a program to end, if it still runs; then kill what is left of it and of the processes that it started."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses for a group of ended processes
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _state(status: int) -> str:
    if status == 0:
        return FINISHED
    if status > 0:
        return f"ended with status {status}"
    try:
        return f"ended by the signal {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
