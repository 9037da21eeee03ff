"""What earlier lessons built: the learner's own where it passes its checks, minivit's where not.

A lesson's definitions are the cells of its notebook that are tagged "keep" and those with an exercise. They are run
anew, each exercise is checked, and what fails is replaced by the lesson's own answer, just as in the notebook itself.
"""

from __future__ import annotations

import contextlib
import linecache
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from ..errors import DataError, DataNotFoundError
from . import exercises
from .checking import NOT_DONE, WRONG, Verdict, answer, examine
from .notebooks import (
    SOLUTIONS,
    Cell,
    defined_names,
    lesson_notebook,
    lessons_folder,
    only_brings_in,
    read_notebook,
    without_magics,
)  # fmt: skip
from .trial import Complaint, OutOfTime, Printed, time_limit


@dataclass
class Lesson:
    """A lesson's definitions, at work.

    Attributes:
        names: its namespace.
        verdicts: one for each exercise.
        problem: why the notebook itself could not be used, or "".
    """

    names: dict[str, Any]
    verdicts: dict[str, Verdict]
    problem: str = ""


_current = 99  # the lesson whose notebook runs here
_loaded: dict[tuple[Path, int, Path], Lesson] = {}  # by file, its time of change, and the folder it builds upon


def begin(lesson: int) -> None:
    """Say which lesson's notebook runs: `built` then looks at the lessons before it."""
    global _current
    _current = lesson


def built(*names: str) -> Any:
    """What earlier lessons built, and a line that says who made it.

    Args:
        names: of functions or classes.

    Returns:
        The one, or a tuple of them in that order.

    Raises:
        DataNotFoundError: if no earlier lesson defines a name.
    """
    return _built(*names, before=_current, folder=Path.cwd())


def _built(*names: str, before: int, folder: Path, quiet: bool = False) -> Any:
    found, said = [], {}
    for name in names:
        number = lesson_of(name, before)
        lesson = load_lesson(number, folder)
        found.append(lesson.names[name])
        said.setdefault(_maker(name, number, lesson), []).append(name)
    if not quiet:
        for maker, made in said.items():
            print(f"{', '.join(made)}: {maker}")
    return found[0] if len(names) == 1 else tuple(found)


def _maker(name: str, number: int, lesson: Lesson) -> str:
    """Whose work it is. A name that is no exercise itself is the learner's if all of its lesson's functions are."""
    if lesson.problem:
        return f"minivit's ({lesson.problem})"
    functions = {key: v for key, v in lesson.verdicts.items() if not exercises.find(key).is_question}
    asked = {name: functions[name]} if name in functions else functions
    failing = [verdict for verdict in asked.values() if not verdict.passed]
    if not failing:
        return f"yours, from lesson {number:02d}"
    if all(verdict.status == NOT_DONE for verdict in failing):
        missing = ", ".join(verdict.name for verdict in failing)
        if name in functions or len(failing) == len(asked):
            return f"minivit's (lesson {number:02d}: {missing} not done yet)"
        return f"yours with minivit's {missing}, from lesson {number:02d}"
    wrong = ", ".join(verdict.name for verdict in failing)
    return f"minivit's {wrong} where lesson {number:02d}'s check does not pass"


def lesson_of(name: str, before: int) -> int:
    """The last lesson before a given one that defines a name for later lessons."""
    for number in reversed(range(min(before, 100))):
        if name in names_kept(number):
            return number
    raise DataNotFoundError(f"no lesson before {before:02d} builds {name!r}")


@cache
def names_kept(lesson: int) -> frozenset[str]:
    """What a lesson defines for later ones."""
    path = lesson_notebook(lessons_folder() / SOLUTIONS, lesson)
    cells = read_notebook(path) if path else []
    return frozenset().union(*(defined_names(cell.source, own=True) for cell in cells if cell.is_kept))


def load_lesson(number: int, folder: Path) -> Lesson:
    """A lesson's definitions from the notebook in `folder`, or from the solutions if there is none that can be used."""
    path = lesson_notebook(folder, number)
    if path is None:
        return Lesson(load_solution(number, folder).names, {}, f"lesson {number:02d} is not in this folder")
    try:
        return _load(path, number, folder)
    except DataError as error:
        return Lesson(load_solution(number, folder).names, {}, str(error))


def load_solution(number: int, folder: Path) -> Lesson:
    """A lesson's own definitions, upon what `folder` has of the lessons before it."""
    path = lesson_notebook(lessons_folder() / SOLUTIONS, number)
    if path is None:
        raise DataNotFoundError(f"there is no lesson {number:02d}")
    return _load(path, number, folder)


def _load(path: Path, number: int, folder: Path) -> Lesson:
    key = (path.resolve(), path.stat().st_mtime_ns, folder.resolve())
    if key not in _loaded:
        _loaded[key] = run_definitions(with_marks(read_notebook(path), number), number, folder)
    return _loaded[key]


def with_marks(cells: list[Cell], number: int) -> list[Cell]:
    """The cells with the exercises marked again, where a program that saved the notebook has lost the marks."""
    if any(cell.exercise for cell in cells):
        return cells
    names = {e.name for e in exercises.all_exercises().values() if e.lesson == number}
    kept = names_kept(number)
    marked: list[Cell] = []
    for cell in cells:
        defined = defined_names(cell.source, own=True) if cell.kind == "code" else set()
        written = sorted(defined & names)
        is_kept = bool(defined & (kept | names)) or (cell.kind == "code" and only_brings_in(cell.source))
        marked.append(replace(cell, exercise=written[0] if written else "", is_kept=is_kept))
    return marked


def run_definitions(cells: list[Cell], number: int, folder: Path) -> Lesson:
    """Run the cells that define something, and check each exercise.

    Raises:
        DataError: if a cell that is no exercise fails.
    """
    names: dict[str, Any] = {"__name__": f"lesson_{number:02d}"}
    names["built"] = partial(_built, before=number, folder=folder, quiet=True)
    verdicts: dict[str, Verdict] = {}
    for i, cell in enumerate(cells):
        if not cell.is_kept:
            continue
        title = f"<lesson {number:02d}, {cell.exercise or f'cell {i + 1}'}>"
        problem = run_cell(cell.source, title, names)
        if cell.exercise:
            verdict = _judge(cell.exercise, problem, names)
            verdicts[cell.exercise] = verdict
            if not verdict.passed and not exercises.find(cell.exercise).is_question:
                names[cell.exercise] = answer(cell.exercise, names)
        elif problem:
            raise DataError(f"lesson {number:02d}: cell {i + 1} fails with {problem}")
    return Lesson(names, verdicts)


def _judge(name: str, problem: str, names: dict[str, Any]) -> Verdict:
    if problem:
        return Verdict(name, WRONG, f"the cell of {name} fails with {problem}")
    if name not in names:
        return Verdict(name, WRONG, f"the cell of {name} defines no {name}")
    return examine(name, names[name], names)


def run_cell(source: str, title: str, names: dict[str, Any]) -> str:
    """Run a cell; returns what went wrong in one line, or ""."""
    source = without_magics(source)
    linecache.cache[title] = (len(source), None, source.splitlines(keepends=True), title)
    try:
        with contextlib.redirect_stdout(Printed()), time_limit():
            exec(compile(source, title, "exec"), names)
    except OutOfTime:
        return "no end in sight: does a loop never end?"
    except (Exception, SystemExit, Complaint) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""
