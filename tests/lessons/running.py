"""A lesson's notebook run as a program, so that tests can ask for what it computed."""

import contextlib
import io
import os
from functools import partial
from typing import Any
from unittest import mock

import pytest

from minivit_lessons import check, display
from minivit_lessons.build import build_lesson, sources, statements_of
from minivit_lessons.earlier import _built
from minivit_lessons.notebooks import SOLUTIONS, lesson_number, lessons_folder

# A time limit may strike inside the callback of a weak reference, where Python drops exceptions with a warning;
# it strikes again.
struck_in_a_callback = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def run_lesson(number: int, solved: bool = True) -> dict[str, Any]:
    """The names that a lesson's notebook has at its end; its pictures are drawn and thrown away.

    With `solved` False it is the learner's, with nothing solved.
    """
    folder = lessons_folder()
    source = next(path for path in sources(folder) if lesson_number(path) == number)
    names: dict[str, Any] = {
        "__name__": f"lesson_{number:02d}",
        "built": partial(_built, before=number, folder=folder / SOLUTIONS, quiet=True),
        "check": check,
        "explore": display.explore,
        "show": display.show,
        "summary": lambda: None,
    }
    cells = build_lesson(source, statements_of(source), solved=solved)["cells"]
    quiet = contextlib.redirect_stdout(io.StringIO())
    with mock.patch.dict(os.environ, {"MINIVIT_STILL": "1"}), mock.patch.object(display, "display"), quiet:
        for cell in cells[2:]:  # after the title and the set-up
            if cell["cell_type"] == "code":
                exec(compile(cell["source"], f"<{cell['id']}>", "exec"), names)
    return names
