"""The first cell of a lesson's notebook."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from minivit.backend.pools import threads_can_start
from minivit.errors import MinivitError

from . import state
from .cells import defined_names
from .checking import verdicts
from .notebooks import lesson_notebook, read_notebook


def start(lesson: int) -> None:
    """Begin a lesson: if a name is missing from now on, the cell that defines it is named.

    Args:
        lesson: the number of the lesson.
    """
    if state.current().is_hidden:
        return
    state.current().lesson = lesson
    verdicts.clear()
    shell = _shell()
    if shell is not None:
        shell.set_custom_exc((NameError,), _NameTheCell(lesson))
    from minivit import __version__

    print(f"minivit {__version__}, lesson {lesson:02d}")
    if not threads_can_start():
        print("No thread can start here, so a check has no time limit: restart the kernel if a loop never ends.")
        # In a browser both warn in red although nothing is wrong: tqdm of its thread, matplotlib of each new session.
        tqdm.monitor_interval = 0
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def _shell() -> Any:
    """Return the notebook's IPython shell, or None in plain Python."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


class _NameTheCell:
    """Names the cell that defines a missing name, above IPython's own report."""

    def __init__(self, lesson: int):
        self.lesson = lesson

    def __call__(
        self, shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: Any = None
    ) -> None:
        name = getattr(error, "name", None)
        where = cell_that_defines(name, self.lesson, state.notebook_folder()) if name else None
        if where:
            print(f"✗ {name} is not defined yet: run {where} first.")
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def cell_that_defines(name: str, lesson: int, folder: Path) -> str | None:
    """Return where a lesson's notebook first defines a name, such as 'cell 7, under "All at once"', or None."""
    path = lesson_notebook(folder, lesson)
    if path is None:
        return None
    heading = ""
    try:
        cells = read_notebook(path)
    except MinivitError:
        return None
    for i, cell in enumerate(cells, start=1):
        if cell.kind == "markdown":
            titles = [line.lstrip("# ").strip() for line in cell.source.split("\n") if line.startswith("#")]
            heading = titles[-1] if titles else heading
        elif name in defined_names(cell.source):
            return f'cell {i}, under "{heading}"'
    return None
