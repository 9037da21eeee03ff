"""From the repository to the site: sources of all pages, Sphinx, and what is added to the pages after it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from minivit_lessons.book import check_can_build, gather, replace_site, run_sphinx
from minivit_lessons.notebooks import lessons_of_the_repository

from .api import write_api
from .beside import write_pages
from .contents import write_contents
from .explorer import PAGE, write_live_page
from .gallery import write_gallery
from .live import add_live_lessons
from .pages import Pages, write

HERE = Path(__file__).parent


def build_site(out: Path) -> Path:
    """Build the site, replace an earlier one in the folder by it, and return its first page.

    The tree of the pages is the repository's: docs/training.md becomes docs/training.html, and the page of
    minivit/models/vit.py is minivit/models/vit.py.html. So the links between pages stay as they are.

    Args:
        out: the folder of the site: a new one, or one with an earlier site.

    Raises:
        MissingExtraError: if Sphinx is not installed.
        DataNotFoundError: if there are no executed lessons.
        DataError: if the folder has other files or is a file, or if Sphinx finds a mistake, such as a broken link.
    """
    check_can_build(out)
    root = HERE.parent
    with tempfile.TemporaryDirectory() as scratch:
        source, site = Path(scratch) / "source", Path(scratch) / "site"
        pages = Pages(root, source)
        (source / "lessons").mkdir(parents=True)
        lessons = gather(lessons_of_the_repository(), source / "lessons", pages.page_for_lesson)
        pages.add_linked_from("README.md")
        write_gallery(root, source, pages)
        write(source / "explorer" / "index.md", PAGE)
        write_api(source / "api")
        write_pages(source / "paper")
        write_contents(root, source, lessons)
        run_sphinx(source, site, HERE)
        write_live_page(site)
        add_live_lessons(site)
        replace_site(site, out)
    return out / "index.html"
