"""The table of contents, which the navigation beside each page shows."""

from __future__ import annotations

import re
from pathlib import Path

from minivit.utils.files import read_text

from .pages import normalised

PARTS = ("Using minivit", "Beside the paper", "Changing minivit")  # the parts of docs/README.md


def index_page(root: Path, source: Path, lessons: list[str]) -> str:
    """Return the source of the first page: the table of contents; the landing page is drawn from a template.

    Args:
        root: the repository.
        source: the folder of the pages' sources.
        lessons: the names of the lessons' pages.
    """
    guide = guide_pages(root)
    paper = ["paper/index"] if any(source.glob("paper/index.*")) else []
    parts = {
        "Begin": ["README", "explorer/index"],
        "Learn": ["lessons/README", *(f"lessons/{name}" for name in lessons)],
        "Read": [*paper, *guide["Beside the paper"], "docs/architecture", "api/index"],
        "Train": ["docs/README", *guide["Using minivit"]],
        "Results": ["gallery", "results/README"],
        "Contribute": [name for name in guide["Changing minivit"] if name != "docs/architecture"],
    }
    trees = [
        "\n".join(["```{toctree}", f":caption: {caption}", ":hidden:", "", *names, "```"])
        for caption, names in parts.items()
    ]
    return "# minivit\n\n" + "\n\n".join(trees) + "\n"


def guide_pages(root: Path) -> dict[str, list[str]]:
    """Return the pages of the guide in each part of docs/README.md, in its order."""
    text = read_text(root / "docs" / "README.md")
    found = {}
    for part, following in zip(PARTS, [*PARTS[1:], None], strict=True):
        section = (
            text.split(f"**{part}**")[1].split(f"**{following}**")[0] if following else text.split(f"**{part}**")[1]
        )
        rows = re.findall(r"^\| \[[^\]]*\]\(([^)]+)\.md\)", section, flags=re.MULTILINE)
        found[part] = [normalised(Path("docs", row)) for row in rows]
    return found
