"""A learner's own copy of the lessons, opened in JupyterLab."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import MissingExtraError
from .notebooks import lessons_folder


def copy_lessons(folder: Path) -> list[Path]:
    """Copy the learner's notebooks into a folder; what is there already stays as it is.

    Returns the new files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = []
    for path in sorted(lessons_folder().glob("[0-9][0-9]_*.ipynb")):
        target = folder / path.name
        if not target.exists():
            shutil.copyfile(path, target)
            new.append(target)
    return new


def open_notebook(folder: Path) -> int:
    """Open JupyterLab on the first lesson in a folder, and return its exit status when it is closed.

    Raises:
        MissingExtraError: if JupyterLab is not installed.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtraError("The lessons open in JupyterLab: pip install 'minivit[lessons]'")
    first = sorted(folder.glob("[0-9][0-9]_*.ipynb"))[0]
    in_a_container = hasattr(os, "geteuid") and os.geteuid() == 0  # else JupyterLab refuses to run as root
    options = ["--allow-root"] if in_a_container else []
    return subprocess.run([sys.executable, "-m", "jupyterlab", str(first), *options], check=False).returncode
