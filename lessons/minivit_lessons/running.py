"""Running a notebook for its definitions, as Jupyter runs it: cell by cell, from the first to the last.

If a cell fails, later cells lack only what it would have defined. A cell of the lesson that only shows something, and
that the learner has not changed, is skipped unless another cell needs its names.
"""

from __future__ import annotations
import __future__

import ast
import asyncio
import contextlib
import inspect
import itertools
import linecache
import timeit
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

from . import exercises
from .cells import (
    CANNOT_BE_PARSED,
    MAGIC,
    as_python,
    changed_names,
    checked_names,
    defined_names,
    is_python,
    only_brings_in,
    used_names,
)  # fmt: skip
from .checking import NOT_DONE, WRONG, Verdict, answer, check, examine, summary
from .display import explore, show
from .notebooks import SOLUTIONS, Cell, lesson_notebook, lessons_folder, read_notebook
from .state import hidden
from .trial import Complaint, OutOfTime, Printed, time_limit

_NO_ATTEMPT = object()
Judge = Callable[[str, Any, dict[str, Any]], Verdict]
_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


@dataclass
class Lesson:
    """What a lesson's notebook defined when it ran.

    Attributes:
        names: the namespace after the run.
        verdicts: one for each exercise.
        replaced: why a name is minivit's instead of the learner's, by name.
        notes: how the notebook was read otherwise than it is written.
        problem: why the notebook could not be used, or "".
        file: the name of the notebook's file, unless it is the lesson's.
    """

    names: dict[str, Any]
    verdicts: dict[str, Verdict]
    replaced: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    file: str = ""


# -- what the lesson itself has ---------------------------------------------------------------------------


def solution_cells(lesson: int) -> list[Cell]:
    """Return the cells of a lesson's notebook with the solutions."""
    path = lesson_notebook(lessons_folder() / SOLUTIONS, lesson)
    return read_notebook(path) if path else []


@cache
def names_kept(lesson: int) -> frozenset[str]:
    """Return the names that a lesson defines for later ones."""
    cells = [cell for cell in solution_cells(lesson) if cell.is_kept]
    return frozenset().union(*(defined_names(cell.source, own=True) for cell in cells))


@cache
def names_asked(lesson: int) -> tuple[str, ...]:
    """Return the names of a lesson's exercises, in the order of the lesson."""
    marked = [cell.exercise for cell in solution_cells(lesson) if cell.exercise]
    return tuple(name for name in marked if name in exercises.all_exercises())


@cache
def _handed_out(lesson: int) -> frozenset[str]:
    """Return the code cells that a learner begins with, and those of the solutions."""
    path = lesson_notebook(lessons_folder(), lesson)
    cells = [*(read_notebook(path) if path else []), *solution_cells(lesson)]
    return frozenset(_essence(cell.source) for cell in cells if cell.kind == "code")


def _essence(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


# -- which cells ------------------------------------------------------------------------------------------


def prepared(cells: list[Cell], lesson: int) -> tuple[list[Cell], list[str]]:
    """Repair accidents in the cells; return the cells, and one line for each repair.

    An exercise whose only code is in a text cell is read as code, and a function that was split over two cells as one.
    """
    notes: list[str] = []
    defined = set().union(*(defined_names(cell.source, own=True) for cell in cells if cell.kind == "code"))
    found: list[Cell] = []
    for i, cell in enumerate(cells, start=1):
        if cell.kind != "code":
            if cell.exercise and cell.exercise not in defined and cell.exercise in defined_names(cell.source):
                notes.append(f"cell {i}: {cell.exercise} is in a text cell; it was read as code")
                cell = replace(cell, kind="code")
        elif cell.source[:1].isspace() and not _compiles(as_python(cell.source)):
            before = next((k for k in reversed(range(len(found))) if found[k].kind == "code"), None)
            if before is not None and _compiles(as_python(f"{found[before].source.rstrip()}\n{cell.source}")):
                notes.append(f"cell {i} continues the code cell before it; they were read as one")
                found[before] = replace(found[before], source=f"{found[before].source.rstrip()}\n{cell.source}")
                cell = replace(cell, source="", exercise="", is_kept=False)
        found.append(cell)
    return found, notes


def _compiles(source: str) -> bool:
    try:
        compile(source, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except CANNOT_BE_PARSED:
        return False
    return bool(source.strip())


def chosen(cells: list[Cell], lesson: int, thorough: bool = False) -> list[int]:
    """Return the positions of the cells to run: those that define what later lessons need, and those that they need.

    A cell is found by its metadata, and by what it defines or checks: some programs lose metadata.

    Args:
        cells: the cells of the notebook.
        lesson: the number of the lesson.
        thorough: whether to run every cell that the learner wrote, since it may change something unnoticed here.
    """
    wanted = names_kept(lesson) | set(names_asked(lesson))
    given = _handed_out(lesson)
    code = [i for i, cell in enumerate(cells) if cell.kind == "code" and cell.source.strip()]
    is_own = {i: _essence(cells[i].source) not in given for i in code}
    picked = {
        i for i in code
        if cells[i].is_kept or (thorough and is_own[i]) or only_brings_in(cells[i].source)
        or defined_names(cells[i].source, own=True) & wanted or checked_names(cells[i].source) & wanted
    }  # fmt: skip
    gives = {
        i: changed_names(cells[i].source) if is_own[i] else defined_names(cells[i].source)
        for i in code if i not in picked
    }  # fmt: skip
    needed: set[str] = set()
    waiting = sorted(picked)
    while waiting:
        needed |= used_names(cells[waiting.pop()].source)
        new = [i for i in gives if i not in picked and gives[i] & needed]
        picked |= set(new)
        waiting += new
    return sorted(picked)


def leaves_out_own(cells: list[Cell], lesson: int, picked: Iterable[int]) -> bool:
    """Return whether a cell that the learner wrote or changed is not among the picked."""
    given, rest = _handed_out(lesson), set(range(len(cells))) - set(picked)
    return any(cells[i].kind == "code" and cells[i].source.strip() and _essence(cells[i].source) not in given
               for i in rest)  # fmt: skip


# -- running them -----------------------------------------------------------------------------------------


class Run:
    """One run of a notebook with the verdicts on its exercises.

    Args:
        lesson: the number of the lesson.
        built: the function `built` of the notebook, for what earlier lessons built.
        judge: the function that gives the verdict on an attempt.
        seconds: the time limit of one cell.
        names: the namespace to run in; it is emptied first.
    """

    def __init__(
        self,
        lesson: int,
        built: Callable[..., Any],
        judge: Judge = examine,
        seconds: float | None = None,
        names: dict[str, Any] | None = None,
    ):
        self.lesson, self.judge, self.seconds = lesson, judge, seconds
        self.names: dict[str, Any] = {} if names is None else names
        self.names.clear()
        self.names |= {"__name__": "__main__", "__doc__": None}
        self.built = built
        self.names |= {
            "explore": explore,
            "show": show,
            "summary": summary,
            "start": nothing,
            "display": nothing,
            "show_solution": nothing,
        }
        self.names |= {"get_ipython": _Shell, MAGIC: self._magic}
        self.verdicts: dict[str, Verdict] = {}
        self.passing: dict[str, Any] = {}  # the attempts that passed, by exercise
        self.attempts: dict[str, Any] = {}  # the last one handed to `check`
        self.given: dict[str, Any] = {}  # minivit's own answers
        self.problems: dict[int, str] = {}  # by the position of the cell that failed
        self.replaced: dict[str, str] = {}
        self.notes: list[str] = []
        self.flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def run(self, cells: list[Cell], picked: list[int]) -> Lesson:
        """Run the picked cells, and judge each exercise."""
        asked = names_asked(self.lesson)
        with hidden(self.lesson, self.check):
            self._bring_in(cells)
            for i in picked:
                cell = cells[i]
                self.names |= {"check": check, "built": self.built}  # a learner's `check = 1` ends with its cell
                title = f"<lesson {self.lesson:02d}, {cell.exercise or f'cell {i + 1}'}>"
                problem = self.run_cell(cell.source, title)
                if problem:
                    self.problems[i] = problem
                for name in {cell.exercise} | checked_names(cell.source):
                    if name in asked and name not in self.names:
                        self._give(name)
            self._settle(cells, picked)
        order = [name for name in asked if name in self.verdicts]
        verdicts = {name: self.verdicts[name] for name in order}
        failed = [f"cell {i + 1} fails with {problem}" for i, problem in sorted(self.problems.items())]
        return Lesson(self.names, verdicts, self.replaced, [*self.notes, *failed])

    def check(self, name: str, attempt: Any, names: dict[str, Any]) -> Any:
        """Do the work of `check` in this notebook: record the verdict, and go on as Jupyter would."""
        if name not in names_asked(self.lesson) or attempt is self.given.get(name, _NO_ATTEMPT):
            return attempt
        self.attempts[name] = attempt
        if self._passes(name, attempt, names) or exercises.find(name).is_question:
            return attempt
        return self._give(name)

    def _passes(self, name: str, attempt: Any, names: dict[str, Any]) -> bool:
        verdict = self.judge(name, attempt, names)
        if verdict.passed:
            self.passing[name] = attempt
        if verdict.passed or name not in self.passing:
            self.verdicts[name] = verdict
        return verdict.passed

    def _give(self, name: str) -> Any:
        if name not in self.given:  # once: a class that extends it must find the same one later
            self.given[name] = answer(name, self.names)
        self.names[name] = self.given[name]
        return self.names[name]

    def _bring_in(self, cells: list[Cell]) -> None:
        """Import what the lesson imports, so that a lost or failing import does not fail every cell."""
        bound = set().union(*(changed_names(cell.source) for cell in cells if cell.kind == "code"))
        used = set().union(*(used_names(cell.source) for cell in cells if cell.kind == "code"))
        lost: set[str] = set()
        self.names["built"] = self.built
        for cell in solution_cells(self.lesson):
            if cell.is_kept and only_brings_in(cell.source):
                self.run_cell(cell.source, f"<minivit's answer to lesson {self.lesson:02d}>")
                lost |= defined_names(cell.source) & used - bound
        if lost:
            self.notes.append(f"no cell imports {', '.join(sorted(lost))}: the lesson's own first cell was run")

    def _settle(self, cells: list[Cell], picked: list[int]) -> None:
        """Judge what was not checked, and give each name its passing attempt, or else minivit's answer."""
        asked = names_asked(self.lesson)
        restored = any(self.names.get(name) is not value for name, value in self.passing.items())
        self.names.update(self.passing)
        for name in asked:
            if name in self.passing:
                continue
            checked = self.attempts.get(name, _NO_ATTEMPT)
            attempt = self.names.get(name, _NO_ATTEMPT)
            if attempt is self.given.get(name, _NO_ATTEMPT):
                attempt = checked
            if attempt is _NO_ATTEMPT:
                self.verdicts[name] = self._missing(name, cells, picked)
            elif attempt is not checked or restored:  # else its verdict is known
                self._passes(name, attempt, self.names)
            if name in self.passing:
                self.names[name] = attempt
            elif name not in self.names or not exercises.find(name).is_question:
                self._give(name)
        for name in sorted(names_kept(self.lesson) - set(asked)):
            if name not in self.names:
                self._fall_back(name, cells)

    def _missing(self, name: str, cells: list[Cell], picked: list[int]) -> Verdict:
        """Return the verdict on an exercise without an attempt."""
        own = [i for i in picked if cells[i].exercise == name or name in _maybe_defined(cells[i].source)]
        failed = [self.problems[i] for i in own if i in self.problems]
        if failed:
            return Verdict(name, WRONG, f"the cell of {name} fails with {failed[-1]}")
        if own:
            return Verdict(name, WRONG, f"the cell of {name} does not define {name}")
        return Verdict(name, NOT_DONE, _not_there(name))

    def _fall_back(self, name: str, cells: list[Cell]) -> None:
        """Use the lesson's definition of a name that the learner's notebook lacks."""
        failed = [(i, p) for i, p in self.problems.items() if name in _maybe_defined(cells[i].source)]
        reason = f"cell {failed[0][0] + 1} fails with {failed[0][1]}" if failed else _not_there(name)
        for cell in solution_cells(self.lesson):
            if cell.is_kept and name in defined_names(cell.source, own=True):
                self.run_cell(cell.source, f"<minivit's answer to {name}>")
        self.replaced[name] = reason
        self.notes.append(f"{name} is minivit's: {reason}")

    def run_cell(self, source: str, title: str) -> str:
        """Run a cell; returns what went wrong in one line, or ""."""
        source = as_python(source)
        linecache.cache[title] = (len(source), None, source.splitlines(keepends=True), title)
        try:
            with contextlib.redirect_stdout(Printed()), contextlib.redirect_stderr(Printed()), time_limit(self.seconds):
                self._execute(source, title)
        except OutOfTime:
            return "it takes too long: does a loop never end?"
        except KeyboardInterrupt:
            return "KeyboardInterrupt"
        except (Exception, SystemExit, Complaint, GeneratorExit) as error:
            text = " ".join(str(error).split())
            return f"{type(error).__name__}: {text[:157]}{'...' if len(text) > 157 else ''}"
        return ""

    def _execute(self, source: str, title: str) -> None:
        """Execute a cell as IPython does: the last expression becomes `_`, `await` and future imports work."""
        tree = ast.parse(source, title)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        parts: list[tuple[Any, str]] = [(tree, "exec")]
        if isinstance(last, ast.Expr):
            parts.append((ast.Expression(last.value), "eval"))
        compiled = []
        for part, mode in parts:
            code = compile(part, title, mode, self.flags, dont_inherit=True)
            self.flags |= code.co_flags & _FUTURE
            compiled.append(code)
        for code in compiled:
            value = eval(code, self.names)
            if code.co_flags & inspect.CO_COROUTINE:
                value = asyncio.run(value)
            if value is not None:
                self.names["_"] = value

    def _magic(self, name: str, line: str) -> Any:
        """Return the result of a magic that is assigned."""
        if name == "timeit":
            seconds = timeit.timeit(line, number=1, globals=self.names)
            return SimpleNamespace(average=seconds, best=seconds, worst=seconds, stdev=0.0, loops=1, repeat=1,
                                   all_runs=[seconds], timings=[seconds], compile_time=0.0)  # fmt: skip
        if name == "capture":
            return SimpleNamespace(stdout="", stderr="", outputs=[], show=nothing)
        return [] if name == "!" else None


class _Shell:
    """The result of `get_ipython()`: each of its methods does nothing."""

    def __getattr__(self, name: str) -> Any:
        return nothing


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing, since this notebook is not on the screen."""


def _not_there(name: str) -> str:
    return f"{name} is not in the notebook"


def _maybe_defined(source: str) -> set[str]:
    """Return what a cell defines, or seems to define if it cannot be parsed."""
    if is_python(as_python(source)):
        return defined_names(source, own=True)
    words = source.replace("(", " ").replace(":", " ").replace("=", " = ").split()
    return {b for a, b in itertools.pairwise(words) if a in ("def", "class")} | {
        a for a, b in itertools.pairwise(words) if b == "="
    }


def run_notebook(
    cells: list[Cell],
    lesson: int,
    built: Callable[..., Any],
    judge: Judge = examine,
    seconds: float | None = None,
    names: dict[str, Any] | None = None,
) -> Lesson:
    """Run a notebook for its definitions.

    If an exercise is wrong, the notebook is run again with all cells that the learner wrote: the better result counts.

    Args:
        cells: the cells of the notebook.
        lesson: the number of the lesson.
        built: the function `built` of the notebook, for what earlier lessons built.
        judge: the function that gives the verdict on an attempt.
        seconds: the time limit of one cell.
        names: the namespace to run in.
    """
    cells, notes = prepared(cells, lesson)
    picked = chosen(cells, lesson)
    found = Run(lesson, built, judge, seconds, names).run(cells, picked)
    unclear = [v for v in found.verdicts.values() if v.status == WRONG or v.message == _not_there(v.name)]
    if unclear and leaves_out_own(cells, lesson, picked):
        whole = Run(lesson, built, judge, seconds, names).run(cells, chosen(cells, lesson, thorough=True))
        if _passed(whole) > _passed(found):
            found = whole
    found.notes[:0] = notes
    return found


def _passed(lesson: Lesson) -> int:
    return sum(verdict.passed for verdict in lesson.verdicts.values())
