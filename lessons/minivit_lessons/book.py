"""The executed lessons as a static site, which needs no kernel and no network."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minivit.errors import DataError, DataNotFoundError, MissingExtraError

from .notebooks import PAGES, SOLUTIONS, lessons_folder, linked_file

# A link from a lesson to a file of the repository, such as [vit.py](../minivit/models/vit.py).
SOURCE_LINK = re.compile(r"\[([^\]]*)\]\((?:\.\./)+([\w./-]+\.(?:py|md|txt|csv))(#[^)]*)?\)")

# From a file's path in the repository, the file and the folder of the lessons' sources, the link to the file's page.
PageOf = Callable[[str, Path, Path], str]

INDEX = """\
# The lessons

From one multiplication to a trained Vision Transformer, in {count} lessons. Each is a notebook; this site shows the
ones with the solutions. `make lessons` gives you your own, with the exercises open.

```{{toctree}}
:maxdepth: 1

{names}
```
"""


def build_book(out: Path) -> Path:
    """Build the site of all lessons, replace an earlier one in the folder by it, and return its first page.

    Args:
        out: the folder of the site: a new one, or one with an earlier site.

    Raises:
        MissingExtraError: if Sphinx is not installed.
        DataNotFoundError: if there are no executed lessons.
        DataError: if the folder has other files, or if Sphinx finds a mistake, such as a broken link.
    """
    check_can_build(out)
    lessons = lessons_folder()
    with tempfile.TemporaryDirectory() as scratch:
        source, site = Path(scratch) / "source", Path(scratch) / "site"
        shutil.copytree(lessons / "book", source)
        names = gather(lessons, source, page_beside)
        (source / "index.md").write_text(index_page(names), encoding="utf-8", newline="\n")
        run_sphinx(source, site, source)
        replace_site(site, out)
    return out / "index.html"


def check_can_build(out: Path) -> None:
    """Refuse what no site can be built with.

    Args:
        out: the folder of the site.

    Raises:
        MissingExtraError: if Sphinx is not installed.
        DataError: if the folder is a file, or has files that are not a site.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: choose a folder for the site")
    if out.exists() and any(out.iterdir()) and not (out / "searchindex.js").exists():
        raise DataError(f"{out} has files that are not a site: choose another folder")
    if any(importlib.util.find_spec(name) is None for name in ("sphinx", "myst_nb", "furo")):
        raise MissingExtraError("Sphinx, for the book, is not installed: pip install 'minivit[book]'")


def run_sphinx(source: Path, site: Path, configuration: Path) -> None:
    """Make pages of HTML; a warning counts as a mistake.

    Args:
        source: the folder of the pages' sources.
        site: the new folder of the site.
        configuration: the folder of conf.py.

    Raises:
        DataError: if Sphinx finds a mistake, such as a broken link.
    """
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "auto"]
    command += ["-c", str(configuration), str(source), str(site)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise DataError("the site has mistakes:\n" + _complaints(done.stderr).replace(f"{source}", ""))


def replace_site(site: Path, out: Path) -> None:
    """Copy a site to its folder, in place of an earlier one.

    Args:
        site: what Sphinx has made.
        out: the folder.
    """
    if out.exists():
        shutil.rmtree(out)
    shutil.copytree(site, out, ignore=shutil.ignore_patterns(".doctrees", ".buildinfo"))


def _complaints(said: str) -> str:
    """Return the warnings and errors in Sphinx's output."""
    lines = [line for line in said.splitlines() if "WARNING" in line or "rror" in line]
    return "\n".join(lines) or said.strip()[-2000:]


def gather(lessons: Path, folder: Path, page_of: PageOf) -> list[str]:
    """Write the sources of the lessons' pages, and return their names in order, without their endings.

    Args:
        lessons: the folder of the lessons.
        folder: the folder of the pages' sources.
        page_of: returns the page that shows a file of the repository, as a link from a lesson; it may write that page.

    Raises:
        DataNotFoundError: if there are no executed lessons.
    """
    paths = sorted((lessons / SOLUTIONS).glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise DataNotFoundError(f"{lessons / SOLUTIONS} has no executed lessons: run `minivit lessons build`")

    def to_page(link: re.Match[str]) -> str:
        text, name, anchor = link.groups(default="")
        if name in PAGES:
            return f"[{text}]({name}{anchor})"
        if (file := linked_file(name)) is None:
            return text
        return f"[{text}]({page_of(name, file, folder)})"

    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["cells"] = folded_solutions(notebook["cells"], what_learners_get(lessons / path.name))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = SOURCE_LINK.sub(to_page, "".join(cell["source"]))
        (folder / path.name).write_text(json.dumps(notebook), encoding="utf-8", newline="\n")
    for name in PAGES:
        shutil.copyfile(lessons / name, folder / name)
    return [*(path.stem for path in paths), *(Path(name).stem for name in PAGES)]


def index_page(names: list[str]) -> str:
    """Return the first page of the book, with the list of its pages."""
    return INDEX.format(count=sum(name[:2].isdecimal() for name in names), names="\n".join(names))


def page_beside(name: str, file: Path, folder: Path) -> str:
    """Write the page of a file into the folder `files` beside the lessons, and return the link to it.

    Args:
        name: the file's path in the repository, such as minivit/models/vit.py.
        file: the file.
        folder: the folder of the pages' sources.
    """
    target = folder / "files" / f"{page_name(name)}.md"
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        write_page(file, name, target)
    return f"files/{target.name}"


def what_learners_get(path: Path) -> dict[str, str]:
    """Return the code that a learner's notebook has for each exercise: the beginning, and a place to write."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    return {
        exercise: "".join(cell["source"])
        for cell in cells
        if (exercise := cell["metadata"].get("exercise")) is not None
    }


def folded_solutions(cells: list[dict[str, Any]], given: dict[str, str]) -> list[dict[str, Any]]:
    """Return a lesson's cells for the site, with the solution of each exercise folded.

    The reader sees what a learner gets. The solution's code opens on demand, and so does its explanation, which follows
    the code; the check comes last.

    Args:
        cells: those of the executed notebook.
        given: the learner's code, by exercise.
    """
    shown: list[dict[str, Any]] = []
    explanations = {cell["metadata"]["explains"]: cell for cell in cells if "explains" in cell["metadata"]}
    for cell in cells:
        exercise = cell["metadata"].get("exercise")
        if "explains" in cell["metadata"]:
            continue
        if exercise is None:
            shown.append(cell)
            continue
        if exercise in given:
            code = f"```python\n{given[exercise]}\n```"
            shown.append({"cell_type": "markdown", "id": f"{cell['id']}-given", "metadata": {}, "source": code})
        metadata = {**cell["metadata"], "tags": [*cell["metadata"].get("tags", []), "hide-input"]}
        shown.append({**cell, "metadata": metadata})
        if exercise in explanations:
            shown.append(explanations[exercise])
    return shown


def page_name(name: str) -> str:
    """Return the name of a file's page: minivit-models-vit.py for minivit/models/vit.py."""
    return name.replace("/", "-")


def write_page(path: Path, name: str, target: Path) -> None:
    """Write a page that shows a file of the repository."""
    text = path.read_text(encoding="utf-8")
    language = "python" if path.suffix == ".py" else "text"
    fence = "`" * 6  # longer than any fence inside
    target.write_text(
        f"---\norphan: true\n---\n# {name}\n\n{fence}{language}\n{text}\n{fence}\n", encoding="utf-8", newline="\n"
    )
