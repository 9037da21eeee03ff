"""Notebooks as files: their cells, and where those of the lessons lie."""

from __future__ import annotations

import ast
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError, DataNotFoundError

SOLUTIONS = "solutions"


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook.

    Attributes:
        kind: "code" or "markdown".
        source: its text.
        exercise: the exercise that is written in it, or "".
        is_kept: whether later lessons need it: it defines something.
        outputs: as in the file.
    """

    kind: str
    source: str
    exercise: str = ""
    is_kept: bool = False
    outputs: list[dict[str, Any]] = field(default_factory=list)


def read_notebook(path: Path) -> list[Cell]:
    """The cells of a notebook.

    Raises:
        DataError: if the file is no notebook.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [_cell(cell) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no notebook ({type(error).__name__}: {error})") from None


def _cell(cell: dict[str, Any]) -> Cell:
    source = cell["source"]
    metadata = cell.get("metadata", {})
    exercise = str(metadata.get("exercise", ""))
    return Cell(
        kind=cell["cell_type"],
        source=source if isinstance(source, str) else "".join(source),
        exercise=exercise,
        is_kept=bool(exercise) or "keep" in metadata.get("tags", []),
        outputs=cell.get("outputs", []),
    )


def lessons_folder() -> Path:
    """Where the lessons lie: `lessons/` beside the package, or where MINIVIT_LESSONS says.

    Raises:
        DataNotFoundError: if they are not there.
    """
    folder = Path(os.environ.get("MINIVIT_LESSONS") or Path(__file__).parents[2] / "lessons")
    if not (folder / SOLUTIONS).is_dir():
        raise DataNotFoundError(
            f"The lessons are not in {folder}: get the repository and install it with `pip install -e .`, "
            "or say where they are with MINIVIT_LESSONS."
        )
    return folder


def lesson_notebook(folder: Path, lesson: int) -> Path | None:
    """The notebook of a lesson in a folder, by the two digits that its name begins with."""
    found = sorted(folder.glob(f"{lesson:02d}_*.ipynb"))
    return found[0] if found else None


def lesson_number(path: Path) -> int | None:
    """The number at the head of a notebook's name, None if there is none."""
    head = path.name.partition("_")[0]
    return int(head) if len(head) == 2 and head.isdecimal() else None


def defined_names(source: str, own: bool = False) -> set[str]:
    """What a cell defines: functions, classes, assigned and imported names. Nothing if it cannot be parsed.

    Args:
        source: of the cell.
        own: without what it imports, has from an earlier lesson by `built(...)`, or gets back from `check(...)`.
    """
    try:
        statements = ast.parse(without_magics(source)).body
    except SyntaxError:
        return set()
    names: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom) and not own:
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and not (
            own and _is_handed_over(statement.value, "built", "check")
        ):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return names


def only_brings_in(source: str) -> bool:
    """Whether a cell does nothing but import, and ask for what earlier lessons built."""
    try:
        statements = ast.parse(without_magics(source)).body
    except SyntaxError:
        return False
    return bool(statements) and all(
        isinstance(s, ast.Import | ast.ImportFrom) or (isinstance(s, ast.Assign) and _is_handed_over(s.value, "built"))
        for s in statements
    )


def _is_handed_over(value: ast.expr | None, *by: str) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in by


def without_magics(source: str) -> str:
    """The source without the lines that are for the notebook alone: %magics and !commands."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n"))
