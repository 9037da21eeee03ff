"""Runs one command within limits, and ends all processes that it starts with it.

`python -I -S warden.py SECONDS MEGABYTES PROCESSES COMMAND...`: the command gets this program's input and output. At
the end this program writes one line to standard error: how the command ended ("ended", "time", "memory" or
"processes") and its exit status.

On Linux no process escapes: those that start a new session or lose their parent become children of this program. On
other systems the command's process group ends with it (on Windows its process tree), and the memory of its children is
not limited. This program uses only the standard library, so that it starts within some 20 ms.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

LOOK_AGAIN = 0.1  # seconds
PROC = Path("/proc/self/stat").exists()
SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36  # of Linux's prctl


def main(seconds: float, megabytes: int, processes: int, command: list[str]) -> None:
    """Run the command to its end or to its limits."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _adopt_orphans()
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=os.name == "posix")
    _let_go(0, 1)  # only the command holds them now, so that its reader sees the end of its output
    reason = "ended"
    try:
        reason = _watch(child, time.monotonic() + seconds, megabytes, processes)
    except KeyboardInterrupt:
        reason = "interrupted"
    finally:
        with contextlib.suppress(AttributeError, ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        _end(child)
        print(reason, child.returncode, file=sys.stderr)


def _adopt_orphans() -> None:
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None)
    libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)


def _let_go(*files: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in files:
        os.dup2(nothing, file)
    os.close(nothing)


def _watch(child: subprocess.Popen[bytes], deadline: float, megabytes: int, processes: int) -> str:
    """Wait until the command ends or exceeds a limit; return which."""
    handle = os.pidfd_open(child.pid) if PROC and hasattr(os, "pidfd_open") else None
    while child.poll() is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return "time"
        if handle is not None:
            select.select([handle], [], [], min(left, LOOK_AGAIN))
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(min(left, LOOK_AGAIN))
        if PROC:
            found = descendants()
            if len(found) > processes:
                return "processes"
            if _megabytes(found, "statm") > megabytes and _megabytes(found, "smaps_rollup") > megabytes:
                return "memory"
    return "ended"


def descendants() -> list[int]:
    """Return the process ids of all descendants of this process, in any session."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        children: list[int] = []
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    children += map(int, (thread / "children").read_text(encoding="ascii").split())
        found += children
        waiting += children
    return found


def _megabytes(pids: list[int], source: str) -> float:
    """Return the memory of all processes: `statm` counts a shared page for each of them, `smaps_rollup` once."""
    if not PROC:
        return 0
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = Path(f"/proc/{pid}/{source}").read_text(encoding="ascii")
            if source == "statm":
                total += int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
            else:
                total += int(text.partition("\nPss:")[2].split()[0]) * 1024
    return total / 2**20


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the command and all that it started."""
    if os.name != "posix":
        with contextlib.suppress(OSError):
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(child.pid)], capture_output=True, check=False)
        child.wait()
        return
    # First the group: its number belongs to the command until the command has been waited for.
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    while PROC and (found := descendants()):
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped processes cannot start others
            for pid in found:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        child.poll()
        for pid in found:
            if pid != child.pid:
                with contextlib.suppress(OSError):
                    os.waitpid(pid, os.WNOHANG)
        time.sleep(0.002)
    child.wait()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
