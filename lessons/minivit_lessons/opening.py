"""A learner's own copy of the lessons, opened in JupyterLab."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from minivit.errors import DataError, MissingExtraError
from minivit.utils.files import atomic_file
from minivit.utils.text import printable

from .capstone import TABLE
from .notebooks import PAGES, SOLUTIONS, is_in_repository, lessons_folder, linked_file

# A link from a lesson to another file of the repository, such as [vit.py](../minivit/models/vit.py).
LINK = re.compile(r"\[([^\]]*)\]\((?:\.\./)+([\w./-]+)((?:#[^)]*)?)\)")
SOURCE = "minivit-source"  # a name that no `import` takes for a package
# What a notebook says to install, in the repository and outside of it.
INSTALL = re.compile(r"%pip install -e (?:\.\.(?!\[)|\\?\"\.\.\[lessons\]\\?\")")


def copy_lessons(folder: Path) -> list[Path]:
    """Copy the learner's notebooks into a folder, and the solutions below it; existing notebooks are not changed.

    Links to other files work from the copy too. Without the repository, the linked files are copied into the folder
    `minivit-source`: JupyterLab shows no file of an environment such as `.venv`.

    Args:
        folder: the learner's folder; it is made if it is missing.

    Returns:
        The new notebooks.

    Raises:
        DataError: if the folder cannot be made.
    """
    lessons = lessons_folder()
    try:
        (folder / SOLUTIONS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot copy the lessons to {printable(folder)}: {reason}; choose another folder") from None
    new = []
    for path in sorted(lessons.glob("[0-9][0-9]_*.ipynb")):
        target = folder / path.name
        if not target.exists():
            _copy(path, target, folder)
            new.append(target)
        solution = lessons / SOLUTIONS / path.name
        if solution.is_file() and not (folder / SOLUTIONS / path.name).exists():
            _copy(solution, folder / SOLUTIONS / path.name, folder)
    for page in PAGES:
        with atomic_file(folder / page) as file:
            file.write((lessons / page).read_bytes())
    table = lessons / TABLE
    if table.is_file() and not (folder / TABLE).exists():
        (folder / TABLE).parent.mkdir(exist_ok=True)
        with atomic_file(folder / TABLE) as file:
            file.write(table.read_bytes())
    return new


def _copy(source: Path, target: Path, folder: Path) -> None:
    """Copy a notebook into a learner's folder or below it, and adapt its links to its new place."""

    def moved(link: re.Match[str]) -> str:
        text, name, anchor = link.groups()
        if name in PAGES:
            return link[0]
        file = _at_hand(name, folder)
        return text if file is None else f"[{text}]({_way(file, target.parent)}{anchor})"

    notebook = json.loads(source.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        lines = [cell["source"]] if isinstance(cell["source"], str) else cell["source"]
        if cell["cell_type"] == "markdown":
            lines = [LINK.sub(moved, line) for line in lines]
        if not is_in_repository():
            lines = [INSTALL.sub("%pip install minivit[lessons]", line) for line in lines]
        cell["source"] = lines[0] if isinstance(cell["source"], str) else lines
    with atomic_file(target) as file:
        file.write((json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode("utf-8"))


def _at_hand(name: str, folder: Path) -> Path | None:
    """Return where a learner finds a linked file: in the repository, or else copied into the folder."""
    file = linked_file(name)
    if file is None or is_in_repository():
        return file
    copy = folder / SOURCE / name
    if not copy.exists():
        with atomic_file(copy) as written:
            written.write(file.read_bytes())
    return copy


def _way(file: Path, start: Path) -> str:
    try:
        return Path(os.path.relpath(file.resolve(), start.resolve())).as_posix()
    except ValueError:  # another drive of Windows: no relative path exists
        return file.as_posix()


def served_folder(folder: Path) -> Path:
    """Return the folder that JupyterLab must serve so that links work: it contains `folder` and the repository."""
    if not is_in_repository():
        return folder.resolve()
    repository = lessons_folder().resolve().parent
    try:
        return Path(os.path.commonpath([repository, folder.resolve()]))
    except ValueError:  # two drives of Windows
        return folder.resolve()


def open_notebook(folder: Path) -> int:
    """Open JupyterLab on the first lesson in a folder, and return its exit status when it is closed.

    Raises:
        MissingExtraError: if JupyterLab is not installed.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtraError("JupyterLab, for the lessons, is not installed: pip install 'minivit[lessons]'")
    return subprocess.run(jupyterlab_command(folder), check=False).returncode


def jupyterlab_command(folder: Path) -> list[str]:
    """Return the command that serves the repository and opens the first lesson of a folder."""
    first = sorted(folder.resolve().glob("[0-9][0-9]_*.ipynb"))[0]
    in_a_container = hasattr(os, "geteuid") and os.geteuid() == 0  # else JupyterLab refuses to run as root
    options = [f"--ServerApp.root_dir={served_folder(folder)}", *(["--allow-root"] if in_a_container else [])]
    return [sys.executable, "-m", "jupyterlab", str(first), *options]
