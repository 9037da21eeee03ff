"""`check(name, attempt)`: whether an attempt is right, and if not, the likely mistake."""

from __future__ import annotations

import contextlib
import copy
import functools
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from . import exercises, hints, repairs, state, trial
from .display import Text, display, unfolded
from .notebooks import SOLUTIONS, Cell, lesson_notebook, lessons_folder, read_notebook
from .trial import Attempt, Complaint, NotDone, OutOfTime, Printed, Raised, Unexplained, time_limit

PASSED, NOT_DONE, WRONG = "passed", "not done", "wrong"


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        name: the name of the exercise.
        status: "passed", "not done" or "wrong".
        message: the likely mistake in one line; empty if the attempt passed.
        printed: what the attempt printed.
    """

    name: str
    status: str
    message: str = ""
    printed: str = ""

    @property
    def passed(self) -> bool:
        """Whether the attempt is right."""
        return self.status == PASSED

    def __str__(self) -> str:
        mark = {PASSED: "✓", NOT_DONE: "○", WRONG: "✗"}[self.status]
        return f"{mark} {self.message or self.name}"


verdicts: dict[str, Verdict] = {}  # of this notebook, by exercise
attempts: dict[str, Any] = {}  # what the learner last checked in this notebook, right or wrong, by exercise
_given: dict[str, Any] = {}  # the answers that `check` gave out, by exercise


def check(name: str, attempt: Any) -> Any:
    """Say whether an attempt is right, and return what the rest of the lesson uses.

    Args:
        name: the name of the exercise.
        attempt: the function, class or value.

    Returns:
        The attempt if it is right, else the lesson's own answer, so that the next cells still run. The answer to a
        question is returned unchanged.

    Raises:
        ConfigError: if there is no such exercise.
    """
    names = sys._getframe(1).f_globals
    instead = state.current().check
    if instead is not None:
        return instead(name, attempt, names)
    verdict = examine(name, attempt, names)
    verdicts[name] = verdict
    if attempt is not _given.get(name):
        attempts[name] = attempt
    if verdict.passed or exercises.find(name).is_question:
        print(f"{verdict.printed}{verdict}")
        return attempt
    print(f"{verdict.printed}{verdict}\n  Until it is right, the lesson uses minivit's own.")
    return answer(name, names)


def examine(name: str, attempt: Any, names: dict[str, Any]) -> Verdict:
    """Return the verdict on an attempt, and never raise, whatever the attempt does.

    Args:
        name: the name of the exercise.
        attempt: the function, class or value.
        names: the namespace in which it was defined.
    """
    exercise = exercises.find(name)
    printed = Printed()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(), np.errstate(all="ignore"), time_limit():
            warnings.simplefilter("ignore")
            exercise.examine(_begun(name, attempt) if exercise.is_question else _on_trial(name, attempt, names))
    except NotDone:
        return Verdict(name, NOT_DONE, f"{name} is not done yet", printed.said())
    except Complaint as complaint:
        return Verdict(name, WRONG, _with_hint(name, attempt, complaint, names), printed.said())
    except OutOfTime:
        return Verdict(
            name, WRONG, f"{name} takes longer than {trial.SECONDS:g} s: does a loop never end?", printed.said()
        )
    except SystemExit:
        return Verdict(name, WRONG, f"{name} calls exit(): return the result instead", printed.said())
    except Exception as error:
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Verdict(name, WRONG, f"the result of {name} cannot be used: {text}", printed.said())
    return Verdict(name, PASSED, "", printed.said())


def _with_hint(name: str, attempt: Any, complaint: Complaint, names: dict[str, Any]) -> str:
    """Return what is wrong, with what the learner's source says about it."""
    if fault := hints.certain_hint(attempt):
        return f"{name}: {fault}"
    if isinstance(complaint, Unexplained):
        hint = (
            hints.likely_hint(attempt, solution(name))
            or _repair(name, attempt, names)
            or hints.guessed_hint(attempt, solution(name))
        )
        return complaint.hinted(hint) if hint else str(complaint)
    if isinstance(complaint, Raised):
        complaint = complaint.with_usual_reason()
        hint = _of_earlier_lesson(name, complaint) or _repair(name, attempt, names)
        if hint and "must be squared" not in hint:  # squares of booleans are numbers: right by chance
            return complaint.hinted(hint)
    return str(complaint)


def _of_earlier_lesson(name: str, complaint: Complaint) -> str:
    """Return how to get a function that is not defined, if an earlier lesson's exercise is to write it."""
    missing = re.search(r"name '(\w+)' is not defined", complaint.full)
    if not missing or missing[1] not in exercises.all_exercises():
        return ""
    lesson = exercises.find(missing[1]).lesson
    if lesson >= exercises.find(name).lesson:
        return ""
    return f'it is yours from lesson {lesson:02d}: {missing[1]} = built("{missing[1]}")'


def _repair(name: str, attempt: Any, names: dict[str, Any]) -> str:
    """Return the small change that makes an attempt pass; "" if none does."""
    may_be_right = _of_first_call(name, attempt, names)

    def passes(changed: Any) -> bool:
        if not may_be_right(changed):
            return False
        exercises.find(name).examine(Attempt(name, changed, names))
        return True

    try:
        return repairs.find_repair(attempt, passes, names, solution(name))
    except Exception:  # such as an object that pretends to be a function: its verdict is known without a repair
        return ""


class _FirstCall(BaseException):
    """Ends a check at its first call of the attempt."""

    def __init__(self, inputs: tuple[Any, ...], options: dict[str, Any]):
        self.inputs, self.options = inputs, options


class _Recording(Attempt):
    def __call__(self, *inputs: Any, **options: Any) -> Any:
        raise _FirstCall(inputs, options)


def _of_first_call(name: str, attempt: Any, names: dict[str, Any]) -> Callable[[Any], bool]:
    """Return a quick test that most wrong changes fail: the result of the check's first call, up to signs.

    A whole check compares with many known mistakes. This test takes about a twentieth of its time.
    """
    if not isinstance(attempt, FunctionType):
        return lambda changed: True
    call, found = None, {}
    try:
        exec(compile(solution(name), f"<minivit's answer to {name}>", "exec"), names, found)
        exercises.find(name).examine(_Recording(name, attempt, names))
    except _FirstCall as first:
        call = first
    except Exception:
        return lambda changed: True

    def numbers(function: Any) -> np.ndarray | None:
        if call is None:
            return None
        inputs, options = copy.deepcopy((call.inputs, call.options))
        return _flat(function(*inputs, **options))

    simple = call is not None and all(_is_data(value) for value in (*call.inputs, *call.options.values()))
    with contextlib.suppress(Exception):
        right = numbers(found[name]) if simple else None
        if right is not None:
            return lambda changed: (
                (got := numbers(changed)) is None
                or (got.shape == right.shape and np.allclose(got, right, rtol=1e-3, atol=1e-6, equal_nan=True))
            )
    return lambda changed: True


def _is_data(value: Any) -> bool:
    """Return whether a value is made of numbers, text and arrays alone: no generator, no function, no model."""
    if isinstance(value, list | tuple):
        return all(_is_data(item) for item in value)
    if isinstance(value, dict):
        return all(_is_data(item) for item in value.values())
    return isinstance(getattr(value, "data", value), np.ndarray | np.generic | int | float | str | bytes | memoryview)


def _flat(value: Any) -> np.ndarray | None:
    """Return the sizes of a result's numbers in one row; None if it holds anything else."""
    if isinstance(value, list | tuple):
        parts = [_flat(item) for item in value]
        known = [part for part in parts if part is not None]
        return np.concatenate([np.zeros(0), *known]) if len(known) == len(parts) else None
    array = np.asarray(value if isinstance(value, np.ndarray) else getattr(value, "data", value))
    return np.abs(array.astype(float)).ravel() if array.dtype.kind in "biuf" else None


def _begun(name: str, attempt: Any) -> Any:
    if attempt is Ellipsis or attempt is None:
        raise NotDone(f"{name} is not done yet")
    return attempt


def _on_trial(name: str, attempt: Any, names: dict[str, Any]) -> Attempt:
    if not callable(_begun(name, attempt)):
        raise Complaint(f"{name} is a {type(attempt).__name__}, not a function: pass the function without calling it")
    if attempt is _given.get(name):
        raise Complaint(f"{name} is minivit's own here: run the cell with your {name} again, then this one")
    return Attempt(name, attempt, names)


def answer(name: str, names: dict[str, Any]) -> Any:
    """Return the lesson's own answer to an exercise; it calls the learner's other functions in `names`."""
    found: dict[str, Any] = {}
    exec(compile(solution(name), f"<minivit's answer to {name}>", "exec"), names, found)
    _given[name] = found[name]
    return found[name]


@functools.cache
def solution(name: str) -> str:
    """Return the source of the lesson's own answer to an exercise."""
    lesson = exercises.find(name).lesson
    sources = [cell.source for cell in _solved_cells(lesson) if cell.exercise == name]
    if not sources:
        raise LookupError(f"the solutions of lesson {lesson:02d} have no {name}")
    return sources[0]


def _solved_cells(lesson: int) -> list[Cell]:
    path = lesson_notebook(lessons_folder() / SOLUTIONS, lesson)
    return read_notebook(path) if path else []


def show_solution(name: str) -> None:
    """Show the lesson's own answer to an exercise: why it is so, a second way, the usual mistakes, and its code.

    Args:
        name: the name of the exercise.

    Raises:
        ConfigError: if there is no such exercise.
    """
    if state.current().is_hidden:
        return
    code = solution(name)
    explained = [cell.source for cell in _solved_cells(exercises.find(name).lesson) if cell.explains == name]
    display(Text("\n\n".join([*(unfolded(text) for text in explained), f"```python\n{code}\n```"])))


def summary() -> None:
    """Print which of the lesson's exercises are done."""
    if state.current().is_hidden:
        return
    stretch = [verdict for verdict in verdicts.values() if exercises.find(verdict.name).is_stretch]
    asked = [verdict for verdict in verdicts.values() if verdict not in stretch]
    further = f", and {sum(v.passed for v in stretch)} of {len(stretch)} stretch tasks" if stretch else ""
    print(f"{sum(v.passed for v in asked)} of {len(asked)} exercises done{further}.")
    for verdict in verdicts.values():
        if not verdict.passed:
            print(verdict)
