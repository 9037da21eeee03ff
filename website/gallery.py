"""The gallery: every published picture of results/, with the command that made it and its log."""

from __future__ import annotations

from pathlib import Path

from .pages import PICTURES, Pages, write


def write_gallery(root: Path, source: Path, pages: Pages) -> None:
    """Write the source of the gallery.

    Args:
        root: the repository.
        source: the folder of the pages' sources.
        pages: the repository's own pages.
    """
    lines = ["# Gallery", ""]
    for path in sorted((root / "results").rglob("*")):
        if path.suffix in PICTURES:
            name = path.relative_to(root).as_posix()
            pages.target_of(name)
            lines += [f"![{path.stem} of {path.parent.name}]({name})", ""]
    write(source / "gallery.md", "\n".join(lines))
