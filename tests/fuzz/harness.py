"""Runs cases in processes of their own, each under an alarm and a limit of memory, and counts how they ended."""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from random import Random

from minivit.errors import MinivitError, Notice

SECONDS = 20  # of computing that one case may take
PATIENCE = 180  # seconds until a process that waits, or does not heed its alarm, is ended
MEGABYTES = 4096
LONGEST = 600  # characters of an error's sentence, foreign names included

ACCEPTED, REFUSED, TRACEBACK, HANG, SILENT = "accepted", "refused", "traceback", "hang", "silent"
BAD = (TRACEBACK, HANG, SILENT)


class Refused(Exception):
    """A target that prints its error, as a command does, says with this that it did."""


class SilentlyWrong(Exception):
    """A file of ours was read, and its numbers are not those that were written."""


class Hang(BaseException):
    """The alarm of a case."""


@dataclass(frozen=True)
class Outcome:
    """How one case ended: one of the words above, and for a bad one where and why."""

    target: str
    number: int
    kind: str
    detail: str = ""
    seconds: float = 0.0


class Target:
    """What is fuzzed: a reader or a command. A target is made once a process, in a folder of its own."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, rng: Random) -> None:
        """One case; returns if all went well, and raises MinivitError or Refused if the case was refused."""
        raise NotImplementedError


def run_case(target: Target, number: int, seconds: float = SECONDS, show: bool = False) -> Outcome:
    """One case, here and now; `show` prints its traceback. The alarm rings where the system has one."""
    began = time.monotonic()
    kind, detail = ACCEPTED, ""
    with _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("ignore", Notice)
        try:
            with _alarm(seconds):
                target.run(Random(f"{target.name} {number}"))
        except MinivitError as error:
            kind = REFUSED
            if len(str(error)) > LONGEST:
                kind, detail = TRACEBACK, f"an error of {len(str(error))} characters: {str(error)[:100]}"
        except Refused:
            kind = REFUSED
        except SilentlyWrong as error:
            kind, detail = SILENT, str(error)
        except Hang:
            kind, detail = HANG, _where()
        except BaseException:
            kind, detail = TRACEBACK, _where()
            if show:
                traceback.print_exc(file=sys.__stderr__)
    return Outcome(target.name, number, kind, detail, time.monotonic() - began)


def _where() -> str:
    """The last line of ours in the traceback, and the exception."""
    kind, error, trace = sys.exc_info()
    frames = [f for f in traceback.extract_tb(trace) if "minivit" in f.filename and "fuzz" not in f.filename]
    last = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    words = " ".join(str(error).split())[:120]
    return f"{kind.__name__ if kind else ''} at {last}: {words}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(sink()), contextlib.redirect_stderr(sink()):
        yield


def sink() -> io.TextIOWrapper:
    """A stream that keeps what is written; see `written`."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)


def written(stream: io.TextIOWrapper) -> str:
    """What a stream of `sink` was told."""
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode("utf-8")


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Count the seconds of computing, so that a busy machine makes nothing hang."""
    if not hasattr(signal, "setitimer"):  # Windows: the parent process alone ends what hangs
        yield
        return

    def ring(number, frame) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# -- processes -----------------------------------------------------------------------------------


def _work(pipe, seconds: float, megabytes: int) -> None:
    """What a worker does: make a target when its name first comes, and run the cases that it is sent."""
    from .targets import TARGETS

    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    made: dict[str, Target] = {}
    with tempfile.TemporaryDirectory(prefix="minivit-fuzz-") as scratch:
        os.chdir(scratch)
        while (asked := pipe.recv()) is not None:
            name, number = asked
            if name not in made:
                folder = Path(scratch) / name
                folder.mkdir()
                made[name] = TARGETS[name](folder)
                pipe.send(None)  # ready: the clock starts
            else:
                pipe.send(None)
            os.chdir(scratch)
            pipe.send(run_case(made[name], number, seconds))


@dataclass
class Worker:
    """A process, and the case that it is at."""

    seconds: float
    megabytes: int
    case: tuple[str, int] | None = None
    deadline: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a process in the place of one that ended."""
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, self.seconds, self.megabytes), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, case: tuple[str, int]) -> None:
        """Send it a case; it has time to make its target first."""
        self.case, self.deadline = case, time.monotonic() + PATIENCE
        self.pipe.send(case)

    def answer(self) -> Outcome | None:
        """What it says, if it is an outcome."""
        assert self.case
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            return self._lost(TRACEBACK, f"the process ended with status {self.process.exitcode}")
        if said is None:
            self.deadline = time.monotonic() + PATIENCE
            return None
        self.case = None
        return said

    def give_up(self) -> Outcome:
        """End the process, which does not heed its alarm, and begin another one."""
        self.process.kill()
        self.process.join()
        return self._lost(HANG, "the alarm was not heeded")

    def _lost(self, kind: str, detail: str) -> Outcome:
        assert self.case
        outcome = Outcome(*self.case, kind, detail)
        self.case = None
        self.start()
        return outcome

    def end(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.process.join(5)
        self.process.kill()


def run_cases(
    cases: Iterable[tuple[str, int]], workers: int, seconds: float = SECONDS, megabytes: int = MEGABYTES
) -> Iterator[Outcome]:
    """The outcomes of cases, in the order in which they end."""
    todo = iter(cases)
    crew = [Worker(seconds, megabytes) for _ in range(workers)]
    try:
        for worker in crew:
            if case := next(todo, None):
                worker.give(case)
        while busy := [worker for worker in crew if worker.case]:
            ready = connection.wait([worker.pipe for worker in busy], timeout=1)
            for worker in busy:
                outcome = None
                if worker.pipe in ready:
                    outcome = worker.answer()
                elif time.monotonic() > worker.deadline:
                    outcome = worker.give_up()
                if outcome:
                    yield outcome
                    if case := next(todo, None):
                        worker.give(case)
    finally:
        for worker in crew:
            worker.end()


# -- the report ----------------------------------------------------------------------------------


@dataclass
class Report:
    """Counts by target, and the bad outcomes."""

    counts: dict[str, Counter] = field(default_factory=dict)
    bad: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.counts.setdefault(outcome.target, Counter())[outcome.kind] += 1
        if outcome.kind in BAD:
            self.bad.append(outcome)

    def __str__(self) -> str:
        kinds = (REFUSED, ACCEPTED, TRACEBACK, HANG, SILENT)
        lines = [f"{'target':<20} {'cases':>7} " + " ".join(f"{kind:>10}" for kind in kinds)]
        for name, counter in [*sorted(self.counts.items()), ("all", sum(self.counts.values(), Counter()))]:
            lines.append(f"{name:<20} {counter.total():>7} " + " ".join(f"{counter[kind]:>10}" for kind in kinds))
        places = Counter((o.target, o.kind, o.detail) for o in self.bad)
        first = {(o.target, o.kind, o.detail): o.number for o in reversed(self.bad)}
        for (target, kind, detail), count in places.most_common(60):
            lines.append(f"{count:>4} x {kind}: {detail}\n       --only {target} --case {first[target, kind, detail]}")
        return "\n".join(lines)
