"""The lessons as a site: built without a warning, and every page looked at in a real browser (`make test-browser`)."""

import importlib.util
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

import pytest

from minivit.cli import main
from minivit_lessons.book import build_book, page_name
from minivit_lessons.build import sources
from minivit_lessons.notebooks import lessons_folder

LESSONS = [path.stem for path in sources(lessons_folder())]

needs_sphinx = pytest.mark.skipif(importlib.util.find_spec("myst_nb") is None, reason="make book installs Sphinx")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("myst_nb") is None:
        pytest.skip("make book installs Sphinx")
    return build_book(tmp_path_factory.mktemp("book") / "site").parent


@pytest.fixture(scope="module")
def open_page(browser, site):
    contexts = []

    def open_it(name, scheme="light", width=1200):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto((site / name).as_uri(), wait_until="load")
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", *LESSONS])
def test_a_page_is_whole(open_page, site, name):
    page = open_page(f"{name}.html")

    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []

    images = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth, i.alt])")
    assert all(complete and width > 0 and alt for complete, width, alt in images)
    assert len(images) >= (0 if name == "index" else 2)

    formulas = page.evaluate(
        "[...document.querySelectorAll('math')].map(m => [m.getBoundingClientRect().height, m.outerHTML])"
    )
    assert all(height > 4 and "merror" not in html for height, html in formulas)
    text = page.inner_text("article")
    assert "$$" not in text
    assert r"\frac" not in text


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", *LESSONS])
def test_no_link_is_broken(open_page, site, name):
    page = open_page(f"{name}.html")

    for link in page.evaluate("[...document.links].map(a => a.href)"):
        target = urlparse(link)
        if target.scheme == "file":
            path = Path(url2pathname(target.path))
            assert path.exists(), link
            if target.fragment and path.suffix == ".html":
                assert f'id="{unquote(target.fragment)}"' in path.read_text(encoding="utf-8"), link
        else:
            assert target.scheme == "https", link


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_shows_a_lesson_without_scrolling_sideways(open_page, scheme):
    page = open_page(f"{LESSONS[-1]}.html", scheme, width=390)

    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_the_dark_scheme_is_dark(open_page):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = (open_page(f"{LESSONS[0]}.html", scheme).evaluate(ground) for scheme in ("light", "dark"))

    assert light == "rgb(255, 255, 255)"
    assert max(map(int, dark.removeprefix("rgb(").removesuffix(")").split(","))) < 60


@needs_sphinx
def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")

    assert main(["lessons", "book", "--out", str(tmp_path)]) == 2
    assert "has files that are not a site" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_files_that_lessons_link_to_have_pages():
    assert page_name("minivit/models/vit.py") == "minivit-models-vit.py"
