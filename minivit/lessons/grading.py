"""Marking a class's notebooks: each in a process of its own, within limits of time and memory.

The marks come from the checks that are installed here, not from what a notebook says of itself: its definitions are run
and its exercises checked anew.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import DataError, DataNotFoundError, MinivitError
from . import exercises
from .checking import NOT_DONE, WRONG, Verdict, examine
from .earlier import load_solution, run_cell, run_definitions, with_marks
from .notebooks import lesson_number, read_notebook

SECONDS = 120  # for one notebook
MEGABYTES = 4096  # of memory for one notebook; held to on Linux


@dataclass(frozen=True)
class Mark:
    """What one notebook is worth.

    Attributes:
        student: the folder it lies in, as a path below the marked one; "" for that itself.
        lesson: its number.
        verdicts: one for each exercise.
        problem: why it could not be marked as it stands, or "".
    """

    student: str
    lesson: int
    verdicts: tuple[Verdict, ...]
    problem: str = ""

    @property
    def done(self) -> int:
        """How many exercises are right."""
        return sum(verdict.passed for verdict in self.verdicts)


def notebooks_in(folder: Path) -> list[Path]:
    """The lessons' notebooks in a folder and in all below it.

    Raises:
        DataNotFoundError: if the folder is not there, or holds none.
    """
    if not folder.is_dir():
        raise DataNotFoundError(f"there is no folder {folder}")
    found = [p for p in folder.rglob("*.ipynb") if lesson_number(p) is not None and ".ipynb_checkpoints" not in p.parts]
    if not found:
        raise DataNotFoundError(
            f"{folder} holds no lesson: a notebook's name begins with its number, as in 05_patches.ipynb"
        )
    return sorted(found)


def grade(path: Path, folder: Path, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> Mark:
    """Mark one notebook in a process of its own.

    Args:
        path: the notebook.
        folder: the folder that is marked; the student is named by the way from it.
        seconds, megabytes: what the notebook may take.
    """
    student = path.parent.relative_to(folder).as_posix()
    student, lesson = "" if student == "." else student, lesson_number(path) or 0
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        command = [sys.executable, "-m", "minivit.lessons.grading", str(path), str(result), str(megabytes)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return _nothing(student, lesson, f"took longer than {seconds:g} s")
        if not result.exists():
            return _nothing(student, lesson, _last_words(done))
        found = json.loads(result.read_text(encoding="utf-8"))
    return Mark(student, lesson, tuple(Verdict(**verdict) for verdict in found["verdicts"]), found["problem"])


def _nothing(student: str, lesson: int, problem: str) -> Mark:
    asked = [e for e in exercises.all_exercises().values() if e.lesson == lesson]
    return Mark(
        student, lesson, tuple(Verdict(e.name, WRONG, f"{e.name}: the notebook {problem}") for e in asked), problem
    )


def _last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"ended its process (status {done.returncode}{': ' + lines[-1] if lines else ''})"


def mark_notebook(path: Path) -> tuple[list[Verdict], str]:
    """The verdicts on a notebook's exercises, run here and now, and why it cannot be run as it stands ("" if it can).

    Of a notebook whose other cells fail the exercises are still marked, among the lesson's own definitions.
    """
    number = lesson_number(path)
    if number is None:
        raise DataError(f"{path.name} is no lesson: its name must begin with two digits and an underscore")
    asked = [e.name for e in exercises.all_exercises().values() if e.lesson == number]
    cells = with_marks(read_notebook(path), number)
    try:
        found, problem = run_definitions(cells, number, path.parent).verdicts, ""
    except DataError as error:
        problem = str(error)
        names = dict(load_solution(number, path.parent).names)
        found = {}
        for cell in cells:
            if cell.exercise:
                found[cell.exercise] = _among_ours(cell.exercise, cell.source, names)
    missing = [Verdict(name, NOT_DONE, f"{name} is not in the notebook") for name in asked if name not in found]
    return [*(found[name] for name in asked if name in found), *missing], problem


def _among_ours(name: str, source: str, names: dict[str, Any]) -> Verdict:
    own = dict(names)
    own.pop(name, None)
    problem = run_cell(source, f"<{name}>", own)
    if problem or name not in own:
        return Verdict(name, WRONG, f"the cell of {name} fails with {problem}" if problem else f"{name} is not defined")
    return examine(name, own[name], own)


# -- what the teacher sees ------------------------------------------------------------------------------


def table(marks: Iterable[Mark]) -> str:
    """The marks as lines of text: who, which lesson, how many right, and what is wrong."""
    lines = []
    for mark in marks:
        who = mark.student or "."
        lines.append(f"{who:<24} lesson {mark.lesson:02d}   {mark.done} of {len(mark.verdicts)}")
        if mark.problem:
            lines.append(f"    ! {mark.problem}")
        lines += [f"    {verdict}" for verdict in mark.verdicts if not verdict.passed]
    return "\n".join(lines)


def to_json(marks: Iterable[Mark]) -> str:
    """The marks as JSON."""
    return json.dumps([{**asdict(mark), "done": mark.done} for mark in marks], indent=1, ensure_ascii=False) + "\n"


# -- the process of one notebook ------------------------------------------------------------------------


def _main(path: str, result: str, megabytes: str) -> None:
    _limit_memory(int(megabytes))
    try:
        verdicts, problem = mark_notebook(Path(path))
    except MinivitError as error:
        number = lesson_number(Path(path)) or 0
        verdicts, problem = list(_nothing("", number, "cannot be read").verdicts), str(error)
    verdicts = [replace(verdict, printed="") for verdict in verdicts]
    text = json.dumps({"verdicts": [asdict(verdict) for verdict in verdicts], "problem": problem})
    Path(result).write_text(text, encoding="utf-8")


def _limit_memory(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = megabytes * 2**20
    with contextlib.suppress(OSError, ValueError):  # macOS knows the limit and does not set it
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    _main(*sys.argv[1:])
