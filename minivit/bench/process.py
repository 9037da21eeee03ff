"""Run one library in a separate process, so that its threads, memory and warmup do not affect the others.

The parent writes a line with a number of steps; the child takes these steps and answers with the seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from ..errors import BenchmarkError
from .contenders import LIBRARIES, Job


class Contender:
    """A child process that does `job` with `library`; use it as a context manager.

    Raises:
        BenchmarkError: if the process ends too early.
    """

    def __init__(self, library: str, job: Job):
        self.library = library
        arguments = [sys.executable, "-W", "ignore", "-m", "minivit.bench.process", library, json.dumps(asdict(job))]
        limits = {name: str(job.workers) for name in ("OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")}
        environment = os.environ | limits | {"PYTHONIOENCODING": "utf-8"}
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, encoding="utf-8",
            # In another process group, it does not receive the terminal's Ctrl-C: the parent ends it.
            process_group=0, creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )  # fmt: skip
        try:
            self._answer()  # the child has warmed up
        except BaseException as error:
            self.__exit__(type(error))
            raise

    def run(self, steps: int) -> float:
        """Take a number of steps and return the seconds, without the time to make their inputs."""
        return self._ask(str(steps))["seconds"]

    def peak_memory(self) -> int | None:
        """Return the peak resident memory of the child in bytes; None if the system does not report it."""
        return self._ask("memory")["bytes"]

    def _ask(self, question: str) -> dict:
        assert self._process.stdin
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise BenchmarkError(
                f"the process that measures {self.library} ended with status {self._process.returncode}; "
                "its own message is above"
            )
        return json.loads(line)

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        if kind is not None:
            self._process.kill()  # its steps may take minutes
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def peak_memory() -> int | None:
    """Return the peak resident memory of this process in bytes; None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux; getrusage would include the parent's memory at the fork
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def peak_gpu_memory(library: str, device: str) -> int | None:
    """Return the bytes that a library has taken from a GPU, those included that it keeps for reuse."""
    if library == "minivit":
        return sys.modules["cupy"].get_default_memory_pool().total_bytes()  # CuPy gives none back by itself
    return sys.modules["torch"].cuda.max_memory_reserved(device) if library.startswith("torch") else None


def serve(library: str, job: Job) -> None:
    """Answer the parent's lines until there are no more; this is the program of the child."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.workers])  # the same cores for every library
    parent = os.getppid()
    answers = sys.stdout
    sys.stdout = sys.stderr
    with ExitStack() as stack:
        work = LIBRARIES[library].work(job, stack)
        for number in range(2):
            work(*job.inputs(number))
        print("{}", file=answers, flush=True)

        done = 2
        for line in sys.stdin:
            if line.strip() == "memory":
                size = peak_memory() if job.device == "cpu" else peak_gpu_memory(library, job.device)
                print(json.dumps({"bytes": size}), file=answers, flush=True)
                continue
            seconds = 0.0
            for _ in range(int(line)):
                if os.getppid() != parent:  # it was killed: no process reads the answer
                    return
                images, labels = job.inputs(done)
                start = time.perf_counter()
                work(images, labels)
                seconds += time.perf_counter() - start
                done += 1
            print(json.dumps({"seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], Job(**json.loads(sys.argv[2])))
