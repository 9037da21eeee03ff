"""What earlier lessons built: the learner's own functions if they pass their checks, minivit's if not.

An earlier notebook is run for its definitions, as Jupyter runs it. Each exercise is checked, and one that fails is
replaced by the lesson's answer, as in the notebook itself.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from minivit.errors import DataError, DataNotFoundError
from minivit.utils.text import printable

from . import exercises, state
from .checking import NOT_DONE
from .notebooks import SOLUTIONS, Name, is_notebook, lesson_notebook, lessons_folder, name_of, read_notebook
from .running import Lesson, names_kept, run_notebook

# By file, the state of the notebooks that it may use, and their folder and prefix.
_loaded: dict[tuple[Path, tuple[Any, ...], Path, str], Lesson] = {}


def built(*names: str) -> Any:
    """Return what earlier lessons built, and print who made it.

    Args:
        *names: the names of functions or classes.

    Returns:
        One object, or a tuple in the order of the names.

    Raises:
        DataNotFoundError: if no earlier lesson defines a name.
    """
    now = state.current()
    return _built(*names, before=now.lesson, folder=state.notebook_folder(), quiet=now.is_hidden)


def _built(*names: str, before: int, folder: Path, quiet: bool = False, prefix: str = "") -> Any:
    found, said = [], {}
    for name in names:
        number = lesson_of(name, before)
        lesson = load_lesson(number, folder, prefix)
        found.append(lesson.names[name])
        said.setdefault(_maker(name, number, lesson), []).append(name)
    if not quiet:
        for maker, made in said.items():
            print(f"{', '.join(made)}: {maker}")
    return found[0] if len(names) == 1 else tuple(found)


def _maker(name: str, number: int, lesson: Lesson) -> str:
    """Return whose work a name is. Without an exercise, it is the learner's if all functions of its lesson are."""
    if lesson.problem:
        return f"minivit's ({lesson.problem})"
    if name in lesson.replaced:
        return f"minivit's (lesson {number:02d}: {lesson.replaced[name]})"
    where = f"lesson {number:02d}{f' ({printable(lesson.file)})' if lesson.file else ''}"
    functions = {key: v for key, v in lesson.verdicts.items() if not exercises.find(key).is_question}
    asked = {name: functions[name]} if name in functions else functions
    failing = [verdict for verdict in asked.values() if not verdict.passed]
    if not failing:
        return f"yours, from {where}"
    if all(verdict.status == NOT_DONE for verdict in failing):
        missing = ", ".join(verdict.name for verdict in failing)
        if name in functions or len(failing) == len(asked):
            return f"minivit's ({where}: {missing} not done yet)"
        return f"yours with minivit's {missing}, from {where}"
    wrong = ", ".join(verdict.name for verdict in failing)
    return f"minivit's {wrong} where {where}'s check does not pass"


def lesson_of(name: str, before: int) -> int:
    """Return the last lesson before a given one that defines a name for later lessons."""
    for number in reversed(range(min(before, 100))):
        if name in names_kept(number):
            return number
    raise DataNotFoundError(f"no lesson before {before:02d} builds {name!r}")


def load_lesson(number: int, folder: Path, prefix: str = "") -> Lesson:
    """Return a lesson's definitions from the notebook in `folder`, or from the solutions if that cannot be used.

    Args:
        number: the number of the lesson.
        folder: the folder of the learner's notebooks.
        prefix: the beginning of the names of this learner's notebooks, if others' are in the same folder.
    """
    path = lesson_notebook(folder, number, prefix)
    if path is None:
        problem = f"lesson {number:02d} is not in {printable(str(folder.absolute()))}"
        return Lesson(load_solution(number, folder, prefix).names, {}, problem=problem)
    try:
        return _load(path, number, folder, prefix)
    except DataError as error:
        return Lesson(load_solution(number, folder, prefix).names, {}, problem=str(error))


def load_solution(number: int, folder: Path, prefix: str = "") -> Lesson:
    """Return the definitions of a lesson's solutions, which use what `folder` has of earlier lessons."""
    path = lesson_notebook(lessons_folder() / SOLUTIONS, number)
    if path is None:
        raise DataNotFoundError(f"there is no lesson {number:02d}")
    return _load(path, number, folder, prefix)


def _load(path: Path, number: int, folder: Path, prefix: str) -> Lesson:
    key = (path.resolve(), _state_of(path, folder, number), folder.resolve(), prefix)
    if key not in _loaded:
        get = partial(_built, before=number, folder=folder, quiet=True, prefix=prefix)
        lesson = run_notebook(read_notebook(path), number, get)
        lesson.file = "" if name_of(path) == Name(number, prefix) else path.name
        _loaded[key] = lesson
    return _loaded[key]


def _state_of(path: Path, folder: Path, number: int) -> tuple[Any, ...]:
    """Return the change times and sizes of a notebook and of the earlier ones that it may use."""
    try:
        below = [p for p in folder.iterdir() if is_notebook(p) and (name := name_of(p)) and name.lesson < number]
        return tuple((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in [path, *sorted(below)])
    except OSError:
        return (path.stat().st_mtime_ns,)
