"""The lessons as a site: built without a warning, and every page looked at in a real browser (`make test-browser`)."""

import importlib.util
import json
import re
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

import pytest

from minivit.cli import main
from minivit_lessons.book import build_book, folded_solutions, page_name, what_learners_get
from minivit_lessons.build import sources
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook

LESSONS = [path.stem for path in sources(lessons_folder())]

needs_sphinx = pytest.mark.skipif(importlib.util.find_spec("myst_nb") is None, reason="make book installs Sphinx")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("myst_nb") is None:
        pytest.skip("make book installs Sphinx")
    return build_book(tmp_path_factory.mktemp("book") / "site").parent


@pytest.fixture
def open_page(watched_page, site):
    def open_it(name, scheme="light", width=1200):
        return watched_page((site / name).as_uri(), scheme, width, 900)

    return open_it


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


CLIPPED = """() => {
    document.querySelectorAll("details").forEach(part => { part.open = true; });
    return [...document.querySelectorAll("article pre")]
        .filter(box => box.clientWidth < 100 || box.scrollWidth > box.clientWidth)
        .map(box => `${box.scrollWidth} px in ${box.clientWidth} px: ${box.innerText.slice(0, 60)}`);
}"""


@pytest.mark.browser
@pytest.mark.parametrize("name", LESSONS)
@pytest.mark.parametrize("width", [1280, 375])
def test_no_code_is_clipped(open_page, name, width):
    page = open_page(f"{name}.html", width=width)

    assert page.evaluate(CLIPPED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_a_line_of_code_as_the_lessons_have_them_is_not_broken_at_1280_pixels(open_page):
    page = open_page(f"{LESSONS[4]}.html", width=1280)

    room, letter = page.evaluate(
        """() => {
            const box = document.querySelector("div.cell_input pre");
            const probe = box.appendChild(document.createElement("span"));
            probe.textContent = "0".repeat(100);
            const style = getComputedStyle(box);
            const room = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
            return [room, probe.getBoundingClientRect().width / 100];
        }"""
    )

    assert room >= 120 * letter


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 390])
def test_a_telephone_shows_a_lesson_without_scrolling_sideways(open_page, scheme, width):
    page = open_page(f"{LESSONS[-1]}.html", scheme, width=width)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        "[...document.querySelectorAll('article p, article pre')].map(p => parseFloat(getComputedStyle(p).fontSize))"
    )
    assert min(sizes) >= 11


@pytest.mark.browser
@pytest.mark.parametrize("name", LESSONS)
def test_formulas_have_the_sites_own_font(open_page, name):
    page = open_page(f"{name}.html")
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    tools = page.context.new_cdp_session(page)
    for domain in ("DOM", "CSS"):
        tools.send(f"{domain}.enable")
    root = tools.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    letters = "math mi, math mn, math mo, math mtext"  # a node's fonts are those of its nearest descendants alone
    formulas = tools.send("DOM.querySelectorAll", {"nodeId": root, "selector": letters})["nodeIds"]
    used = [
        font for formula in formulas
        for font in tools.send("CSS.getPlatformFontsForNode", {"nodeId": formula})["fonts"]
    ]  # fmt: skip

    assert {font["familyName"] for font in used} <= {"minivit Math"}
    assert all(font["isCustomFont"] for font in used)
    assert bool(used) == bool(formulas)


@pytest.mark.browser
@pytest.mark.parametrize("name", LESSONS)
def test_solutions_are_folded_under_their_exercises(open_page, name):
    page = open_page(f"{name}.html")
    exercises = [
        cell for cell in read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, int(name[:2]))) if cell.exercise
    ]

    assert page.locator("div.cell.tag_hide-input details.hide").count() == len(exercises)
    for cell in exercises:
        heading = page.locator("h3", has_text=re.compile(rf"\b{cell.exercise}\b"))
        section = heading.locator("xpath=..")
        code = section.locator("div.cell.tag_hide-input pre").first
        assert not code.is_visible()
        assert section.locator("div.highlight-python pre").first.is_visible()  # what the learner gets
        section.locator("div.cell.tag_hide-input summary").first.click()
        assert code.is_visible()
    opened = page.locator("div.cell.tag_hide-input details[open]").count()
    assert opened == len(exercises)


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


def test_a_solution_and_its_explanation_are_folded_between_the_learners_code_and_the_check():
    path = lesson_notebook(lessons_folder() / SOLUTIONS, 4)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    given = what_learners_get(lessons_folder() / path.name)

    shown = folded_solutions(cells, given)

    at = next(i for i, cell in enumerate(shown) if cell["metadata"].get("exercise") == "gelu")
    stub, code, explained, check = shown[at - 1 : at + 3]
    assert "raise NotImplementedError" in stub["source"]
    assert code["metadata"]["tags"] == ["hide-input"]
    assert explained["metadata"]["explains"] == "gelu"
    assert "".join(check["source"]).startswith("gelu = check(")
    assert len(shown) == len(cells) + len(given)


def test_the_font_comes_with_its_licence():
    folder = lessons_folder() / "book" / "static"

    assert (folder / "minivit-math.woff2").read_bytes()[:4] == b"wOF2"
    assert (folder / "minivit-math.woff2").stat().st_size < 100_000
    licence = (folder / "minivit-math.OFL.txt").read_text(encoding="utf-8")
    assert "SIL OPEN FONT LICENSE" in licence
    assert "The STIX Fonts Project Authors" in licence
