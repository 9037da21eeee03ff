"""Notebooks as files: their cells, the lesson that they belong to, and the folder of the lessons."""

from __future__ import annotations

import codecs
import json
import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import minivit
from minivit.errors import DataError, DataNotFoundError

SOLUTIONS = "solutions"
PAGES = ("GLOSSARY.md",)  # beside the notebooks, which link to them
INSTALLED = Path(__file__).parent / "course"  # the lessons of a wheel; in the repository they are around this package
CHECKPOINTS = ".ipynb_checkpoints"  # where Jupyter keeps the state before the last save
MEGABYTES = 64  # the largest notebook that is read
# What programs add to the name of a copied file: "Copy of 05_patches (1)", "05_patches-Copy1".
COPY_OF = re.compile(r"^(?:copy of |kopie von |copie de |copia de )+", re.IGNORECASE)
COPIED = re.compile(
    r"(?:[ _]?\(\d+\)|[-_ ]+(?:copy|kopie)(?:[-_ ]?\d+|[ _]?\(\d+\))?|[-_]checkpoint|[-_ ]+v?\d{1,3})+$", re.IGNORECASE
)


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook.

    Attributes:
        kind: "code" or "markdown".
        source: the text of the cell.
        exercise: the name of its exercise, or "".
        is_kept: whether later lessons need it, since it defines something.
        outputs: the outputs in the file.
        explains: the name of the exercise whose solution it explains, or "".
    """

    kind: str
    source: str
    exercise: str = ""
    is_kept: bool = False
    outputs: list[dict[str, Any]] = field(default_factory=list)
    explains: str = ""


def read_notebook(path: Path) -> list[Cell]:
    """Read the cells of a notebook.

    Raises:
        DataError: if the file is not a notebook or cannot be read.
    """
    try:
        if path.stat().st_size > MEGABYTES * 2**20:
            raise DataError(f"{path} is larger than {MEGABYTES} MB: clear the notebook's outputs and save it again")
        if not path.is_file():
            raise DataError(f"{path} is not a notebook: it is a folder or a device, not a file")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    return cells_of(content, str(path))


def cells_of(content: bytes, name: str) -> list[Cell]:
    """Return the cells in the content of a notebook's file.

    Args:
        content: the bytes of the file; a byte order mark at their head is skipped.
        name: the name of the file in an error.

    Raises:
        DataError: if it is not a notebook.
    """
    if not content.strip(b" \t\r\n\0"):
        raise DataError(f"{name} is not a notebook: the file is empty")
    try:
        notebook = json.loads(_text_of(content))
    except UnicodeDecodeError:
        raise DataError(f"{name} is not a notebook: its bytes are not UTF-8") from None
    except RecursionError:
        raise DataError(f"{name} is not a notebook: its JSON is nested too deep") from None
    except ValueError as error:
        line = getattr(error, "lineno", None)
        where = f"the JSON breaks off or is wrong in line {line}; was it saved in full?" if line else "not JSON"
        raise DataError(f"{name} is not a notebook: {where}") from None
    cells = _list_of_cells(notebook)
    if cells is None:
        raise DataError(f"{name} is not a notebook: it is JSON without a list of cells")
    return [_cell(cell) for cell in cells if isinstance(cell, dict)]


def _text_of(content: bytes) -> str:
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _list_of_cells(notebook: Any) -> list[Any] | None:
    """Return the cells of a notebook of format 4, or of format 3, which has worksheets around them."""
    if not isinstance(notebook, dict):
        return None
    if isinstance(notebook.get("cells"), list):
        return notebook["cells"]
    sheets = notebook.get("worksheets")
    if not isinstance(sheets, list):
        return None
    found: list[Any] = []
    for sheet in sheets:
        if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list):
            found += sheet["cells"]
    return found


def _cell(cell: dict[str, Any]) -> Cell:
    """Read one cell. A field of an unexpected type counts as absent, so that one odd cell does not spoil the others."""
    metadata = cell.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    exercise, tags, outputs = metadata.get("exercise"), metadata.get("tags"), cell.get("outputs")
    exercise = exercise if isinstance(exercise, str) else ""
    explains = metadata.get("explains")
    return Cell(
        kind="code" if cell.get("cell_type") == "code" else "markdown",
        source=_joined(cell["input"] if cell.get("source") is None and "input" in cell else cell.get("source")),
        exercise=exercise,
        is_kept=bool(exercise) or (isinstance(tags, list | str) and "keep" in tags),
        outputs=[o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else [],
        explains=explains if isinstance(explains, str) else "",
    )


def _joined(source: Any) -> str:
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


# -- the lessons' files -----------------------------------------------------------------------------------


def lessons_folder() -> Path:
    """Return the folder of the lessons: the one in MINIVIT_LESSONS, the installed one, or the repository's.

    Raises:
        DataNotFoundError: if it has no lessons.
    """
    folder = Path(os.environ.get("MINIVIT_LESSONS") or (INSTALLED if INSTALLED.is_dir() else Path(__file__).parents[1]))
    if not (folder / SOLUTIONS).is_dir():
        raise DataNotFoundError(
            f"the lessons are not in {folder}: install minivit again, or set MINIVIT_LESSONS to the folder lessons of "
            "its repository"
        )
    return folder


def lessons_of_the_repository() -> Path:
    """Return the folder of the lessons for a change to them.

    Raises:
        DataNotFoundError: if these are the installed lessons, or there are none.
    """
    folder = lessons_folder()
    if not is_in_repository():
        raise DataNotFoundError(f"{folder} has no sources of lessons: this command works in minivit's repository alone")
    return folder


def is_in_repository() -> bool:
    """Return whether the lessons are those of the repository, which has their sources and the files they link to."""
    return (lessons_folder() / "source").is_dir()


def linked_file(name: str) -> Path | None:
    """Return a file to which lessons link, None if it is not installed.

    Args:
        name: its path in the repository, such as `minivit/models/vit.py`.
    """
    if is_in_repository():
        return lessons_folder().parent / name
    room, _, rest = name.partition("/")
    folders = {"minivit": Path(minivit.__file__).parent, "lessons": lessons_folder()}  # others are not installed
    path = folders[room] / rest if room in folders else None
    return path if path is not None and path.is_file() else None


@dataclass(frozen=True)
class Name:
    """What the name of a notebook's file says.

    Attributes:
        lesson: the number of the lesson.
        prefix: what is before the lesson's own name, such as what a learning platform puts there; mostly "".
        is_copy: whether a program marked it as a copy, as in `05_patches (1).ipynb`.
    """

    lesson: int
    prefix: str = ""
    is_copy: bool = False


@cache
def lesson_names() -> dict[str, int]:
    """Return the numbers of the lessons by the names of their notebooks, in small letters: {"05_patches": 5}."""
    found = sorted(lessons_folder().glob("[0-9][0-9]_*.ipynb"))
    return {path.stem.lower(): int(path.stem[:2]) for path in found}


def is_notebook(path: Path) -> bool:
    """Return whether a file's name ends in .ipynb, in small or capital letters."""
    return path.suffix.lower() == ".ipynb"


def name_of(path: Path) -> Name | None:
    """Return what the file's name says, None if it names no lesson."""
    stem = path.stem
    bare = COPY_OF.sub("", stem)
    is_copy = bare != stem
    for candidate in (bare, COPIED.sub("", bare)):
        for own, lesson in lesson_names().items():
            if candidate.lower().endswith(own):
                prefix = candidate[: len(candidate) - len(own)]
                if not prefix[-1:].isdecimal():  # 105_patches is not lesson 05
                    return Name(lesson, prefix, is_copy or candidate != bare)
    number = lesson_number(Path(bare))
    return None if number is None else Name(number, "", is_copy)


def lesson_number(path: Path) -> int | None:
    """Return the number at the head of a notebook's name, None if there is none."""
    head = path.name.partition("_")[0]
    return int(head) if len(head) == 2 and head.isascii() and head.isdecimal() else None


def lesson_of_cells(cells: list[Cell]) -> int | None:
    """Return the lesson of a notebook by its call of `start`, else by its title; None if neither names one."""
    for pattern, kind in ((r"^\s*start\((\d{1,2})\)", "code"), (r"^# (\d\d) · ", "markdown")):
        for cell in cells:
            match = re.search(pattern, cell.source, flags=re.MULTILINE) if cell.kind == kind else None
            if match and int(match[1]) in lesson_names().values():
                return int(match[1])
    return None


def lesson_notebook(folder: Path, lesson: int, prefix: str = "") -> Path | None:
    """Return the notebook of a lesson in a folder, None if there is none.

    A file with the lesson's exact name comes before a copy such as `05_patches (1).ipynb`; of several copies, the one
    saved last is taken. If no file has such a name, the only file with the lesson's cells is taken.

    Args:
        folder: the folder.
        lesson: the number of the lesson.
        prefix: what is before the lessons' names, if the notebooks of several learners are in one folder.
    """
    try:
        files = sorted(path for path in folder.iterdir() if is_notebook(path))
    except OSError:
        return None
    named = [(name, path) for path in files if (name := name_of(path)) and name.lesson == lesson]
    own = [path for name, path in named if name.prefix == prefix and not name.is_copy]
    copies = [path for name, path in named if name.prefix == prefix and name.is_copy]
    if own:
        return min(own, key=lambda path: (path.suffix != ".ipynb", path.name))
    if copies:
        return max(copies, key=lambda path: (_time_of(path), path.name))
    if prefix:  # another learner's may be here
        return None
    unnamed = [path for path in files if name_of(path) is None or name_of(path) in [n for n, _ in named]]
    holding = [path for path in unnamed if _holds(path, lesson)]
    return holding[0] if len(holding) == 1 else None


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _holds(path: Path, lesson: int) -> bool:
    try:
        return lesson_of_cells(read_notebook(path)) == lesson
    except DataError:
        return False
