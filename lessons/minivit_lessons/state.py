"""The notebook that runs now: the learner's on the screen, or an earlier one that runs for its definitions."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class State:
    """The notebook that runs.

    Attributes:
        lesson: the number of its lesson; 99 until `start` is called.
        check: the function that replaces `check` in a notebook that runs for its definitions, or None.
    """

    lesson: int = 99
    check: Callable[[str, Any, dict[str, Any]], Any] | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether the notebook is not on the screen, so that nothing is printed or drawn."""
        return self.check is not None


_states = [State()]


def current() -> State:
    """Return the state of the notebook that runs now."""
    return _states[-1]


@contextlib.contextmanager
def hidden(lesson: int, check: Callable[[str, Any, dict[str, Any]], Any]) -> Iterator[None]:
    """Inside the block, run a notebook off the screen, with `check` as replacement of the function `check`."""
    _states.append(State(lesson, check))
    try:
        yield
    finally:
        _states.pop()


def notebook_folder() -> Path:
    """Return the folder of the notebook that runs here.

    Some programs start the kernel in another folder, such as the project's; they name the notebook's file elsewhere.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    said = [os.environ.get("JPY_SESSION_NAME", "")]  # Jupyter
    said += [str(getattr(shell, "user_ns", {}).get("__vsc_ipynb_file__", ""))] if shell else []  # Visual Studio Code
    for name in reversed(said):
        path = Path(name)
        if name and path.is_absolute() and path.is_file():
            return path.parent
    return Path.cwd()
