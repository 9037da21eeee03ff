"""From a lesson's source to its notebooks.

`lessons/source/NN_name.py` is a notebook as text (jupytext's percent format). What the learner writes is between two
marks:

    # %% exercise="softmax"
    def softmax(x, axis=-1):
        ...the part that is given...
        # --- solution
        ...the lesson's own answer...
        # --- end

`statements/LANGUAGE/NN_name.md` has the exercises' texts, hints and explained solutions, apart from the code so that
they can be translated:

    # softmax
    *Difficulty 3 of 5, 10 minutes, core.*

    What to write.

    ## Hint
    A first nudge.

    ## Solution
    Why it is so, a second way, the usual mistakes and what they do.

The builder puts each statement before its cell and the check after it, and writes two notebooks: the learner's, with a
place to write instead of each solution, and the one with the solutions and their explanations, which is executed. It
writes the minutes that a lesson takes (see `times`) below its title, and into the teacher's pages.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minivit.errors import DataError, MissingExtraError
from minivit.utils.files import atomic_file, write_text

from .display import folded
from .notebooks import PAGES, SOLUTIONS, lesson_number
from .times import Time, time_of, with_time, with_times

BEGIN, END = "# --- solution", "# --- end"
STUB = "raise NotImplementedError  # your code here"
NO_NBCLIENT = "nbclient, for lessons, is not installed: pip install 'minivit[lessons]'"

SET_UP = """\
try:
    from minivit_lessons import built, check, explore, show, show_solution, start, summary
except ModuleNotFoundError:
    message = "minivit is not installed here: run `%pip install -e ..` in a cell, then restart the kernel"
    raise ModuleNotFoundError(message) from None

start({lesson})"""
WORDS = "Each new word of the field is **bold** where it is explained; the [glossary](GLOSSARY.md) lists them all."


# An exercise's importance: later lessons use it; it is worth its time; it may be left out; harder, without hints.
IMPORTANCE = ("core", "recommended", "optional", "stretch")
EFFORT = re.compile(rf"^\*Difficulty ([1-5]) of 5, (\d+) minutes, ({'|'.join(IMPORTANCE)})\.\*$", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """What a lesson says of an exercise.

    Attributes:
        text: what to write.
        hints: from the first nudge to nearly the answer; none for a stretch task.
        difficulty: from 1 to 5.
        minutes: how long a learner needs for it.
        importance: one of IMPORTANCE.
        solution: why the answer is as it is, a second way, the usual mistakes.
    """

    text: str
    hints: tuple[str, ...]
    difficulty: int
    minutes: int
    importance: str
    solution: str


def read_statements(path: Path) -> dict[str, Statement]:
    """Read the statements of one lesson.

    Raises:
        DataError: if a statement has no text or no hint, or is a stretch task with a hint.
    """
    found: dict[str, Statement] = {}
    for part in re.split(r"^# ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = _read_statement(body, f"{path}: exercise {name.strip()}")
    return found


def _read_statement(body: str, where: str) -> Statement:
    body, *solution = re.split(r"^## Solution$", body, flags=re.MULTILINE)
    text, *hints = (piece.strip() for piece in re.split(r"^## Hint.*$", body, flags=re.MULTILINE))
    effort = EFFORT.search(text)
    difficulty, minutes, importance = (int(effort[1]), int(effort[2]), effort[3]) if effort else (0, 0, "")
    text = text.replace(effort[0], "", 1).strip() if effort else text
    if not text or not all(hints) or bool(hints) == (importance == "stretch"):
        raise DataError(f"{where} lacks its text or a hint: write both (a stretch task has no hints)")
    return Statement(text, tuple(hints), difficulty, minutes, importance, "".join(solution).strip())


def learners_source(source: str) -> str:
    """Return an exercise cell with a place to write instead of each solution."""
    lines: list[str] = []
    inside = False
    for line in source.split("\n"):
        mark = line.strip()
        if mark.startswith(BEGIN):
            indent = line[: len(line) - len(line.lstrip())]
            stub = mark.removeprefix(BEGIN).removeprefix(" ->").strip()
            lines.append(indent + (stub or STUB))
            inside = True
        elif mark == END:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def solved_source(source: str) -> str:
    """Return an exercise cell with its solution, without the marks."""
    lines = source.split("\n")
    return "\n".join(line for line in lines if not line.strip().startswith((BEGIN, END)))


def build_lesson(source: Path, statements: Path, solved: bool) -> dict[str, Any]:
    """Return the notebook of a lesson, not executed, as the dictionary that its file has.

    Args:
        source: lessons/source/NN_name.py.
        statements: statements/en/NN_name.md.
        solved: whether the notebook has the solutions, or places to write.

    Raises:
        DataError: if an exercise has no statement or a statement no exercise.
    """
    lesson = lesson_number(source)
    if lesson is None:
        raise DataError(f"{source} is not a lesson's name: it must begin with two digits and an underscore")
    texts = read_statements(statements) if statements.exists() else {}
    cells: list[dict[str, Any]] = []
    exercises: list[str] = []
    given = _percent_cells(source)
    for cell in given:
        exercise = cell["metadata"].get("exercise")
        if cell["cell_type"] == "markdown":
            if cell["source"].startswith("## What comes next") and exercises:
                cells.append(_code("summary()"))
            if cells:
                cells.append(_markdown(cell["source"]))
            else:
                cells.append(_markdown(with_time(f"{cell['source']}\n\n{WORDS}", time_of(given, texts))))
                cells.append(_code(SET_UP.format(lesson=lesson)))
        elif exercise is None:
            cells.append(_code(cell["source"], tags=cell["metadata"].get("tags", [])))
        else:
            exercises.append(exercise)
            if exercise not in texts:
                raise DataError(f"{statements} has no statement of exercise {exercise}: write it")
            cells.append(_markdown(_statement(f"{lesson}.{len(exercises)}", exercise, texts[exercise])))
            text = solved_source(cell["source"]) if solved else learners_source(cell["source"])
            cells.append(_code(text, exercise=exercise))
            cells.append(_code(f'{exercise} = check("{exercise}", {exercise})'))
            if solved and texts[exercise].solution:
                cells.append(_markdown(_explanation(texts[exercise]), explains=exercise))
    unused = set(texts) - set(exercises)
    if unused:
        raise DataError(f"{statements} has statements of unknown exercises: {', '.join(sorted(unused))}")
    for i, cell in enumerate(cells):
        if solved and cell["cell_type"] == "markdown":  # it will be one folder deeper
            cell["source"] = re.sub(rf"\]\((?=\.\./|{'|'.join(map(re.escape, PAGES))})", "](../", cell["source"])
        cell["id"] = f"{lesson:02d}-{i:03d}"
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _percent_cells(source: Path) -> list[dict[str, Any]]:
    try:
        import jupytext
    except ImportError:
        raise MissingExtraError("jupytext, for lessons, is not installed: pip install 'minivit[lessons]'") from None
    return jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")["cells"]


def _statement(number: str, name: str, statement: Statement) -> str:
    kind = "Stretch task" if statement.importance == "stretch" else "Exercise"
    level = "●" * statement.difficulty + "○" * (5 - statement.difficulty)
    importance = "" if kind == "Stretch task" else f" · {statement.importance}"
    effort = (
        f'*Difficulty {level} · about {statement.minutes} minutes{importance} · solution: `show_solution("{name}")`*'
    )
    hints = [folded(f"Hint {i}", hint) for i, hint in enumerate(statement.hints, start=1)]
    efforts = [effort] if statement.difficulty else []
    return "\n\n".join([f"### {kind} {number}: `{name}`", *efforts, statement.text, *hints])


def _explanation(statement: Statement) -> str:
    return folded("The solution, explained", statement.solution)


def _markdown(source: str, explains: str = "") -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {"explains": explains} if explains else {}, "source": source}


def _code(source: str, tags: list[str] | None = None, exercise: str = "") -> dict[str, Any]:
    metadata: dict[str, Any] = {"tags": tags} if tags else {}
    if exercise:
        metadata["exercise"] = exercise
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}


def to_json(notebook: dict[str, Any]) -> str:
    """Return the text of a notebook's file."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


# -- the files ------------------------------------------------------------------------------------------


def sources(folder: Path) -> list[Path]:
    """Return the sources of all lessons, in order."""
    return sorted((folder / "source").glob("[0-9][0-9]_*.py"))


def statements_of(source: Path, language: str = "en") -> Path:
    """Return the file of a lesson's statements: the English one if there is no translation."""
    folder = source.parents[1] / "statements"
    translated = folder / language / f"{source.stem}.md"
    return translated if translated.exists() else folder / "en" / f"{source.stem}.md"


def lesson_times(folder: Path) -> dict[int, Time]:
    """Return how long each lesson takes, by its number."""
    return {
        int(path.stem[:2]): time_of(_percent_cells(path), read_statements(statements_of(path)))
        for path in sources(folder)
    }


def teachers_pages(folder: Path) -> list[Path]:
    """Return the pages in which the builder writes the lessons' times."""
    return [folder / "README.md", *sorted((folder / "teacher").glob("*.md"))]


def write_times(folder: Path) -> list[Path]:
    """Write the lessons' times into the teacher's pages, and return the pages that changed."""
    times = lesson_times(folder)
    changed = []
    for path in teachers_pages(folder):
        page = path.read_text(encoding="utf-8")
        if (new := with_times(page, times)) != page:
            write_text(path, new)
            changed.append(path)
    return changed


def write_lesson(source: Path, run: bool = True, language: str = "en") -> None:
    """Write a lesson's two notebooks.

    Args:
        source: lessons/source/NN_name.py.
        run: whether to execute the one with the solutions.
        language: the language of the exercises' texts, such as "en".

    Raises:
        MissingExtraError: if it cannot be executed; nothing is written then.
        DataError: if a cell fails.
    """
    if run and importlib.util.find_spec("nbclient") is None:
        raise MissingExtraError(NO_NBCLIENT)
    folder = source.parents[1]
    statements = statements_of(source, language)
    solved_path = folder / SOLUTIONS / f"{source.stem}.ipynb"
    solved_path.parent.mkdir(exist_ok=True)
    _write(folder / f"{source.stem}.ipynb", build_lesson(source, statements, solved=False))
    solved = build_lesson(source, statements, solved=True)
    _write(solved_path, solved)  # before it runs, since it reads its answers from this file
    if run:
        _write(solved_path, execute(solved, solved_path.parent))


def execute(notebook: dict[str, Any], folder: Path, seconds: int = 300, keep_going: bool = False) -> dict[str, Any]:
    """Return the notebook with the outputs of a new kernel.

    Args:
        notebook: as `build_lesson` returns it.
        folder: the kernel's working directory.
        seconds: the time limit of one cell.
        keep_going: whether to go on after a cell that fails.

    Raises:
        DataError: if a cell fails, unless `keep_going`.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError:
        raise MissingExtraError(NO_NBCLIENT) from None
    ready: Any = nbformat.from_dict(json.loads(json.dumps(notebook)))
    client = NotebookClient(
        ready,
        timeout=seconds,
        allow_errors=keep_going,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    still = os.environ.get("MINIVIT_STILL")
    os.environ["MINIVIT_STILL"] = "1"  # pictures instead of sliders
    try:
        client.execute()
    except CellExecutionError as error:
        raise DataError(f"a cell fails: {str(error)[-1500:]}") from None
    finally:
        os.environ.pop("MINIVIT_STILL")
        if still is not None:
            os.environ["MINIVIT_STILL"] = still
    return json.loads(nbformat.writes(ready))


def _write(path: Path, notebook: dict[str, Any]) -> None:
    with atomic_file(path) as file:
        file.write(to_json(notebook).encode("utf-8"))
