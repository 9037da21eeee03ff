"""The table of contents, which the navigation beside each page shows."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from minivit.utils.files import read_text

from .pages import write

PARTS = ("Using minivit", "Beside the paper", "Changing minivit")  # the parts of docs/README.md


def write_contents(root: Path, source: Path, lessons: list[str]) -> None:
    """Write the first page's source, which is the table of contents; the landing page is drawn from a template.

    The lessons and the guide have their own tables of contents, so that the navigation folds them.

    Args:
        root: the repository.
        source: the folder of the pages' sources.
        lessons: the names of the lessons' pages.
    """
    guide = guide_pages(root)
    append(source / "lessons" / "README.md", toctree("", lessons))
    append(source / "docs" / "README.md", toctree("", [Path(name).name for name in guide["Using minivit"]]))
    reading = [name for name in guide["Beside the paper"] if name != "docs/reproducing"]  # it is among the results
    trees = [
        toctree("Learn", ["lessons/README", "explorer/index"]),
        toctree("Read", ["paper/index", *reading, "docs/architecture", "api/index"]),
        toctree("Train", ["Getting started <README>", "Guide <docs/README>"]),
        toctree("Results", ["gallery", "results/README", "docs/reproducing"]),
        toctree("Contribute", [name for name in guide["Changing minivit"] if name != "docs/architecture"]),
    ]
    write(source / "index.md", "# minivit\n\n" + "\n".join(trees))


def toctree(caption: str, names: list[str]) -> str:
    """Return a part of the table of contents, which no page shows in its text."""
    options = [f":caption: {caption}"] * bool(caption)
    return "\n".join(["```{toctree}", *options, ":hidden:", "", *names, "```", ""])


def append(page: Path, text: str) -> None:
    """Add text at the end of a page's source."""
    write(page, read_text(page) + "\n" + text)


def guide_pages(root: Path) -> dict[str, list[str]]:
    """Return the pages of the guide in each part of docs/README.md, in its order."""
    text = read_text(root / "docs" / "README.md")
    sections = [text.split(f"**{part}**")[1] for part in PARTS]
    for i, following in enumerate(PARTS[1:]):
        sections[i] = sections[i].partition(f"**{following}**")[0]
    rows = [re.findall(r"^\| \[[^\]]*\]\(([^)]+)\.md\)", section, flags=re.MULTILINE) for section in sections]
    return {
        part: [posixpath.normpath(f"docs/{name}") for name in names] for part, names in zip(PARTS, rows, strict=True)
    }
