"""Whose notebook runs here: the learner's in front of the screen, or an earlier one that is run for what it defines."""

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
    """What runs.

    Attributes:
        lesson: its number; 99 before `start` has said it.
        check: what `check` does instead of its own work, in a notebook that is run for its definitions.
    """

    lesson: int = 99
    check: Callable[[str, Any, dict[str, Any]], Any] | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether nobody sees this notebook, so that nothing is printed or drawn."""
        return self.check is not None


_states = [State()]


def current() -> State:
    """What runs now."""
    return _states[-1]


@contextlib.contextmanager
def hidden(lesson: int, check: Callable[[str, Any, dict[str, Any]], Any]) -> Iterator[None]:
    """Run a notebook that nobody sees: what it checks is handed to `check`."""
    _states.append(State(lesson, check))
    try:
        yield
    finally:
        _states.pop()


def notebook_folder() -> Path:
    """The folder of the notebook that runs here.

    Some programs start the kernel elsewhere, in a project's first folder; they say where the notebook is.
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
