"""Marking a class's notebooks: each in a separate process, within limits of time and memory.

The marks come from the installed checks, not from results that a notebook stores: its code is run and its exercises are
checked anew. This process never runs a line of a notebook. Each notebook is marked in a copy of its folder, by a
process of `marking` under a `warden`, which ends every process that the notebook starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import minivit
from minivit.backend.arrays import available_cores
from minivit.errors import ConfigError, DataNotFoundError
from minivit.utils.text import printable

from . import exercises, warden
from .checking import NOT_DONE, PASSED, WRONG, Verdict
from .notebooks import CHECKPOINTS, SOLUTIONS, Name, is_notebook, lessons_folder, name_of
from .notebooks import MEGABYTES as LARGEST

SECONDS = 120  # for one notebook
MEGABYTES = 4096  # the memory of one notebook and its processes; enforced on Linux
LONGEST = 86_400  # seconds
SMALLEST = 256  # megabytes: about what Python and NumPy take
PROCESSES = 64  # the processes of one notebook at a time; enforced on Linux
COPIED_MEGABYTES = 64  # the largest size of the files beside a notebook that are copied with it
RESULT_BYTES = 2**20
# One thread each, since several notebooks are marked side by side; pictures are not shown.
QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "MINIVIT_STILL": "1"}
COUNTS = ("done", "asked", "stretch_done")  # of a mark, in the JSON file
LINE = 300  # the longest line from a notebook, in characters


@dataclass(frozen=True)
class Mark:
    """The mark of one notebook.

    Attributes:
        student: the folder of the notebook, as a path below the marked folder; "" for the marked folder itself.
        lesson: the number of its lesson; None if neither its name nor its cells tell.
        verdicts: one verdict for each exercise.
        problem: why it was not marked, or "".
        file: the name of the notebook's file.
        notes: what was read otherwise than it is written.
    """

    student: str
    lesson: int | None
    verdicts: tuple[Verdict, ...]
    problem: str = ""
    file: str = ""
    notes: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """How many exercises are right; stretch tasks are not counted here."""
        return sum(verdict.passed for verdict in self.verdicts if not _is_stretch(verdict))

    @property
    def asked(self) -> int:
        """How many exercises there are, without stretch tasks."""
        return sum(not _is_stretch(verdict) for verdict in self.verdicts)

    @property
    def stretch_done(self) -> int:
        """How many stretch tasks are right."""
        return sum(verdict.passed for verdict in self.verdicts if _is_stretch(verdict))

    @property
    def is_unread(self) -> bool:
        """Whether the notebook could not be run, so that every verdict only repeats the problem."""
        return bool(self.problem) and all(self.problem in verdict.message for verdict in self.verdicts)


def _is_stretch(verdict: Verdict) -> bool:
    return exercises.find(verdict.name).is_stretch


def notebooks_in(folder: Path) -> list[Path]:
    """Return the notebooks in a folder and in all folders below it, whatever their names.

    Raises:
        DataNotFoundError: if the folder does not exist or has no notebook.
    """
    if not folder.is_dir():
        hint = ": give the folder of the notebook" if folder.is_file() else ""
        raise DataNotFoundError(f"there is no folder {printable(folder)}{hint}")
    found = sorted(path for path in folder.rglob("*") if is_notebook(path) or _was_notebook(path))
    if not found:
        raise DataNotFoundError(f"{printable(folder)} has no notebook: the names of notebooks end in .ipynb")
    return found


def _was_notebook(path: Path) -> bool:
    """Return whether a program added another suffix to a notebook's name: 05_patches.ipynb.txt, .json."""
    return is_notebook(Path(path.stem)) and path.is_file() and CHECKPOINTS not in path.parts


def without_notebook(folder: Path, paths: list[Path]) -> list[str]:
    """Return the folders in a folder that have files but no notebook, so that they get no row among the marks.

    Args:
        folder: the folder to mark.
        paths: its notebooks.
    """
    having = {path.relative_to(folder).parts[0] for path in paths}
    return [
        beside.name
        for beside in sorted(folder.iterdir())
        if beside.is_dir()
        and not beside.name.startswith((".", "__"))
        and beside.name not in having
        and any(path.is_file() and not path.name.startswith(".") for path in beside.rglob("*"))
    ]


def grade_all(
    paths: list[Path], folder: Path, seconds: float = SECONDS, megabytes: int = MEGABYTES, jobs: int = 0
) -> Iterator[Mark]:
    """Mark notebooks in their order, several at a time.

    Args:
        paths: the notebooks.
        folder: the folder to mark.
        seconds, megabytes: the limits for one notebook, together with its processes.
        jobs: the number of notebooks at a time; 0: the number of cores, at most 4.

    Raises:
        ConfigError: if the limits are out of range.
    """
    if not 0 < seconds <= LONGEST:
        raise ConfigError(f"a notebook's time limit must be above 0 and at most {LONGEST:,} seconds, not {seconds:g}")
    if not SMALLEST <= megabytes <= 2**30:
        raise ConfigError(f"a notebook's memory limit must be at least {SMALLEST} MB, not {megabytes:,}")
    pool = ThreadPoolExecutor(jobs or min(4, available_cores()))
    try:
        yield from pool.map(lambda path: grade(path, folder, seconds, megabytes), paths)
    finally:
        pool.shutdown(cancel_futures=True)


def grade(path: Path, folder: Path, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> Mark:
    """Mark one notebook in a separate process; return a mark, whatever the notebook contains or does.

    Args:
        path: the notebook.
        folder: the folder to mark; the path from it names the student.
        seconds, megabytes: the limits for the notebook, together with its processes.
    """
    student = path.parent.relative_to(folder).as_posix()
    named = name_of(path)
    mark = Mark("" if student == "." else student, named.lesson if named else None, (), file=path.name)
    problem = _not_to_be_marked(path)
    if problem:
        return replace(mark, problem=problem)
    try:
        with tempfile.TemporaryDirectory(prefix="minivit-", ignore_cleanup_errors=True) as scratch:
            copy = _copy_to(Path(scratch), path)
            ended, answer = _run(copy, named.prefix if named else "", seconds, megabytes)
    except OSError as error:
        return _unmarked(mark, f"cannot be read: {error.strerror or error}")
    limits = {
        "time": f"took longer than {seconds:g} s",
        "memory": f"took more than {megabytes} MB of memory",
        "processes": f"started more than {PROCESSES} processes",
    }
    how, _, status = ended.partition(" ")
    if how in limits:
        return _unmarked(mark, limits[how])
    return _mark_of(mark, status, answer)


def _not_to_be_marked(path: Path) -> str:
    """Return why a file is not to be marked, or ""."""
    if CHECKPOINTS in path.parts:
        return "is a copy that Jupyter keeps of an earlier state: not marked"
    if not path.is_file():
        return "is a folder, a device or a broken link, not a file: not marked"
    if path.stat().st_size > LARGEST * 2**20:
        return f"is larger than {LARGEST} MB: not marked; clear its outputs and save it again"
    if path.parent.name == SOLUTIONS and (ours := lessons_folder() / SOLUTIONS / path.name).is_file():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if _sources(path) == _sources(ours):
                return "is the lesson's own solution, unchanged: not marked"
    return ""


def _sources(path: Path) -> list[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _copy_to(scratch: Path, path: Path) -> Path:
    """Copy a notebook with the files and folders that it may read, and return the copy.

    Only the copy is run, so that the notebook cannot change the student's files. Folders with notebooks are left out.
    """
    shutil.copyfile(path, scratch / path.name)
    left = COPIED_MEGABYTES * 2**20
    for beside in sorted(path.parent.iterdir(), key=lambda p: (not is_notebook(p), p.name)):
        if beside == path or beside.name.startswith("."):
            continue
        with contextlib.suppress(OSError):
            files = [beside] if beside.is_file() else _files_below(beside)
            size = sum(file.stat().st_size for file in files)
            if size <= left:
                left -= size
                for file in files:
                    target = scratch / file.relative_to(path.parent)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target)
    return scratch / path.name


def _files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and below it; none if one is a notebook, since that is a learner's work."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [] if any(is_notebook(path) for path in files) or len(files) > 1000 else files


def _run(path: Path, prefix: str, seconds: float, megabytes: int) -> tuple[str, bytes]:
    """Run the marking process of a notebook; return how it ended, and the bytes after the key, b"" without a key."""
    key = secrets.token_hex(32)
    job = {"key": key, "path": str(path), "prefix": prefix, "seconds": seconds / 2, "megabytes": megabytes}
    roots = [str(Path(file).resolve().parents[1]) for file in (minivit.__file__, __file__)]
    code = f"import sys; sys.path[:0] = {roots!r}; from minivit_lessons.marking import main; main()"
    limits = [str(seconds), str(megabytes), str(PROCESSES)]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", warden.__file__, *limits, sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=path.parent,
        env={**os.environ, **QUIET, "MINIVIT_MARKING": (token := secrets.token_hex(16))},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    answer, said = _Reader(process.stdout), _Reader(process.stderr)
    try:
        with contextlib.suppress(BrokenPipeError, OSError):
            process.stdin.write(json.dumps(job).encode("ascii") + b"\n")
            process.stdin.close()
        process.wait(seconds + 30)
    except subprocess.TimeoutExpired:  # the notebook has stopped the warden
        process.kill()
        process.wait()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    ended = said.bytes().decode("ascii", "replace").strip().rpartition("\n")[2]
    if not ended:  # the warden was killed before it could end the notebook's processes
        _end_marked(token)
        ended = f"ended {process.returncode}"
    begin = key.encode("ascii")
    got = answer.bytes()
    return ended, got[len(begin) :] if got.startswith(begin) else b""


def _end_marked(token: str) -> None:
    """End the processes whose environment contains a token, and those that they start meanwhile; only on Linux."""
    if sys.platform != "linux":
        return
    for _ in range(100):
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if token.encode("ascii") in path.read_bytes():
                    found.append(int(path.parent.name))
        if not found:
            return
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


class _Reader(threading.Thread):
    """A thread that reads a pipe and keeps the first bytes, so that a process that holds the pipe delays nothing."""

    def __init__(self, pipe: IO[bytes]):
        super().__init__(daemon=True)
        self.pipe, self.kept = pipe, bytearray()
        self.start()

    def run(self) -> None:
        """Read until the other end is closed."""
        with contextlib.suppress(OSError, ValueError), self.pipe:
            while piece := self.pipe.read1(65536):  # type: ignore[attr-defined]
                self.kept += piece[: max(0, RESULT_BYTES - len(self.kept))]

    def bytes(self) -> bytes:
        """Return the bytes that came, at the latest after a second."""
        self.join(1.0)
        return bytes(self.kept)


def _mark_of(mark: Mark, status: str, answer: bytes) -> Mark:
    """Return the mark in a process's answer; without an answer, a mark that names the exit status."""
    try:
        found = json.loads(answer)
        lesson, problem = found["lesson"], found["problem"]
        verdicts = None if found["verdicts"] is None else tuple(_verdict(v) for v in found["verdicts"])
        notes = tuple(printable(str(note), LINE) for note in found["notes"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return _unmarked(mark, f"ended its process before it was marked (status {status})")
    mark = replace(mark, lesson=lesson, notes=notes)
    if verdicts is None:
        return _unmarked(mark, printable(problem, LINE))
    return replace(mark, verdicts=verdicts, problem=printable(problem, LINE))


def _verdict(found: dict[str, Any]) -> Verdict:
    name, status, message = found["name"], found["status"], found["message"]
    if name not in exercises.all_exercises() or status not in (PASSED, NOT_DONE, WRONG):
        raise ValueError("not a verdict")
    return Verdict(name, status, printable(str(message), LINE))


def _unmarked(mark: Mark, problem: str) -> Mark:
    asked = [e for e in exercises.all_exercises().values() if e.lesson == mark.lesson]
    verdicts = tuple(Verdict(e.name, WRONG, f"{e.name}: the file {problem}") for e in asked)
    return replace(mark, verdicts=verdicts, problem=problem)


# -- the table ------------------------------------------------------------------------------------------


def table(marks: Iterable[Mark]) -> str:
    """Return the marks as lines of text: the student, the lesson, the right exercises, and what is wrong."""
    lines = []
    for mark in marks:
        who = _who(mark)
        lesson = "no lesson" if mark.lesson is None else f"lesson {mark.lesson:02d}"
        score = f"   {mark.done} of {mark.asked}" if mark.verdicts else ""
        if mark.stretch_done:
            score += f", and {mark.stretch_done} stretch task{'s' if mark.stretch_done > 1 else ''}"
        lines.append(f"{who:<24} {lesson}{score}")
        if mark.problem:
            lines.append(f"    ! {mark.problem}")
        wrong = [] if mark.is_unread else [verdict for verdict in mark.verdicts if not verdict.passed]
        wrong = [verdict for verdict in wrong if verdict.status == WRONG or not _is_stretch(verdict)]
        lines += [f"    {verdict}" for verdict in wrong]
        lines += [f"    · {note}" for note in mark.notes]
    return "\n".join(lines)


def _who(mark: Mark) -> str:
    """Return the student's folder, and the file's name unless it is the lesson's."""
    ordinary = not mark.file or (mark.lesson is not None and name_of(Path(mark.file)) == Name(mark.lesson))
    parts = [mark.student or ("." if ordinary else "")] + ([] if ordinary else [mark.file])
    return printable("/".join(part for part in parts if part))


def to_json(marks: Iterable[Mark]) -> str:
    """Return the marks as JSON."""
    found = [{**asdict(mark), **{name: getattr(mark, name) for name in COUNTS}} for mark in marks]
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    # A file's name that is not UTF-8 has lone surrogates: `backslashreplace` turns them into escapes that JSON knows.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
