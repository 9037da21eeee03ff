"""The whole site, opened from disk: links, figures, the reference, the gallery, the search (`make test-browser`)."""

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import minivit
from minivit.cli import build_parser

pytestmark = pytest.mark.browser

ROOT = Path(minivit.__file__).parents[1]
KINDS = [
    "index.html",
    "README.html",
    "lessons/README.html",
    "lessons/07_attention.html",
    "lessons/GLOSSARY.html",
    "explorer/index.html",
    "paper/index.html",
    "paper/model.html",
    "docs/README.html",
    "docs/training.html",
    "docs/architecture.html",
    "docs/paper-map.html",
    "docs/glossary.html",
    "api/index.html",
    "api/engine.html",
    "api/training.html",
    "paper/index.html",
    "paper/model.html",
    "paper/ops.html",
    "paper/source/minivit-models-vit.html",
    "gallery.html",
    "results/README.html",
    "minivit/models/vit.py.html",
    "minivit/nn/index.html",
    "_modules/minivit/engine/tensor.html",
    "CHANGELOG.html",
    "search.html",
    "genindex.html",
]
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href"), ("source", "src"), ("video", "src")}


class Page(HTMLParser):
    """The anchors of a page, where it leads, what it loads, and which images have no description."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded, self.undescribed, self.landmarks = set(), [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        for name in ("src", "href"):
            if (tag, name) in LOADED and given.get(name):
                self.loaded.append(given[name])
        if tag == "img" and not given.get("alt"):
            self.undescribed.append(given.get("src"))
        if tag == "main" or given.get("role") == "main":
            self.landmarks.append("main")


def is_ours(site, path):
    """Whether a file is not one of JupyterLite, in which the live lessons run."""
    return path.relative_to(site).parts[0] != "live"


@pytest.fixture(scope="session")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if is_ours(site, path)}


def test_every_link_leads_to_a_page_and_an_anchor(site, pages):
    broken = [
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in page.links
        if not leads_somewhere(site, pages, path, link)
    ]

    assert len(pages) > 300
    assert broken == []


def leads_somewhere(site, pages, path, link):
    target = urlsplit(link)
    if target.scheme or target.netloc:
        return target.scheme in ("https", "http", "mailto")
    file = (path.parent / unquote(target.path)).resolve() if target.path else path
    if not file.is_file() or not file.is_relative_to(site):
        return False
    return not target.fragment or file not in pages or unquote(target.fragment) in pages[file].anchors


def test_nothing_is_loaded_from_another_machine(site, pages):
    outside = [
        f"{path}: {link}" for path, page in pages.items() for link in page.loaded if not is_inside(site, path, link)
    ]
    for style in [path for path in site.rglob("*.css") if is_ours(site, path)]:
        for link in re.findall(r"(?:url\(|@import\s*)['\"]?([^'\")\s]+)", style.read_text(encoding="utf-8")):
            if not is_inside(site, style, link):
                outside.append(f"{style}: {link}")

    assert outside == []


def is_inside(site, path, link):
    if link.startswith("data:"):
        return True
    target = urlsplit(link)
    return not (target.scheme or target.netloc) and (path.parent / unquote(target.path)).resolve().is_relative_to(site)


def test_every_picture_is_described_and_every_page_has_one_main_part(site, pages):
    assert [f"{path}: {src}" for path, page in pages.items() for src in page.undescribed] == []
    assert [str(path) for path, page in pages.items() if page.landmarks != ["main"]] == []


def test_every_page_of_the_guide_and_every_lesson_is_on_the_site(site):
    guide = {f"docs/{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    lessons = {f"lessons/{path.stem}.html" for path in (ROOT / "lessons" / "solutions").glob("*.ipynb")}

    assert len(lessons) == 22
    assert [name for name in sorted(guide | lessons) if not (site / name).is_file()] == []


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 375)])
def test_a_page_is_whole_at_each_width_and_asks_no_network(open_page, name, scheme, width):
    page = open_page(name, scheme, width)

    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in re.findall(r"\d+", ground)[:3]]
    assert max(levels) < 60 if scheme == "dark" else min(levels) > 200


# -- the landing page ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 780)])
def test_the_first_screen_has_the_doors_and_an_explorer_that_answers(open_page, width, height):
    page = open_page("index.html", width=width, height=height)
    frame = page.frame_locator("iframe.explorer")
    frame.locator("#answer .name").first.wait_for(timeout=30_000)

    assert frame.locator("#answer .name").count() == 5
    assert frame.locator("#answer .number").first.inner_text().strip()
    doors = page.locator(".doors a")
    assert doors.locator("strong").all_inner_texts() == ["Learn", "Read", "Train"]
    assert all(doors.nth(i).bounding_box()["y"] + 20 < height for i in range(3))
    assert page.locator("iframe.explorer").bounding_box()["y"] < height / 2


def test_the_colour_button_changes_the_explorer_too(open_page):
    page = open_page("index.html", scheme="light")
    frame = page.frame_locator("iframe.explorer")
    frame.locator("#answer .name").first.wait_for(timeout=30_000)
    ground = "getComputedStyle(document.body).backgroundColor"
    inner = page.frames[1]
    assert inner.evaluate(ground) == "rgb(255, 255, 255)"

    for _ in range(3):  # light, dark, automatic, in the theme's order
        page.locator(".theme-toggle").first.click()
        theme = page.evaluate("document.body.dataset.theme")
        wanted = "rgb(22, 24, 27)" if theme == "dark" else "rgb(255, 255, 255)"
        inner.wait_for_function(f"{ground} === {wanted!r}")


def test_the_landing_pages_figures_are_those_of_the_pages_it_links_to(open_page, site):
    page = open_page("index.html")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert page.locator(".facts li").count() >= 5
    for fact in page.locator(".facts li").all():
        proof = fact.locator("a").get_attribute("href")
        stated = re.sub(r"<[^>]+>", "", (site / proof).read_text(encoding="utf-8"))
        for number in re.findall(r"\d[\d,.]*\d", fact.locator("strong").inner_text()):
            assert number in stated or number in readme, f"{number} is not in {proof}"


def test_the_keyboard_reaches_the_content_first(open_page):
    page = open_page("index.html")

    page.keyboard.press("Tab")

    assert page.evaluate("document.activeElement.className").startswith("skip-to-content")


def test_the_landing_page_searches(open_page):
    page = open_page("index.html")

    page.get_by_role("searchbox").fill("patch embedding")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")

    assert page.locator("#search-results a[href*='05_patches']").count() >= 1
    assert page.complaints == []


def test_the_colours_can_be_chosen(open_page):
    page = open_page("index.html", "light")

    page.get_by_role("button", name="Light, dark or automatic colours").click()

    assert page.evaluate("document.body.dataset.theme") != "auto"


# -- the reference ------------------------------------------------------------------------------------------


def test_every_public_name_is_on_one_page_of_the_reference(site, pages):
    homes = {}
    for path in (site / "api").glob("*.html"):
        for anchor in pages[path].anchors:
            if match := re.fullmatch(r"minivit\.\w+\.(\w+)", anchor):
                homes.setdefault(match[1], []).append(path.stem)

    wrong = {name: homes.get(name, []) for name in minivit.__all__}
    assert {name: found for name, found in wrong.items() if len(found) != 1} == {}


def test_the_reference_has_the_docstrings_and_leads_to_the_source(open_page):
    page = open_page("api/models.html")
    entry = page.locator("dl.py.class", has=page.locator("dt[id='minivit.models.ViTConfig']"))

    assert "raises" in page.inner_text("article").lower()
    assert entry.count() == 1
    page.locator("dt[id='minivit.models.ViT'] span.viewcode-link").click()
    assert "class ViT(" in page.inner_text("article")
    assert page.locator("article .highlight .k").count() > 10  # keywords are coloured


# -- the gallery --------------------------------------------------------------------------------------------


def test_every_published_picture_is_in_the_gallery_with_a_command_and_a_log(open_page, site):
    page = open_page("gallery.html")
    shown = {}
    for section in page.locator("section section section").all():
        image = section.locator("img").first
        content = (site / image.get_attribute("src")).read_bytes()
        commands = section.locator("pre").first.inner_text().strip().splitlines()
        shown[hashlib.sha256(content).hexdigest()] = commands
        assert len(section.locator("figcaption").inner_text()) > 20
        assert section.locator("a[href^='results/'], a[download]").count() == 1

    published = [path for path in (ROOT / "results").rglob("*") if path.suffix in (".png", ".jpg", ".svg")]
    assert len(published) >= 15
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in published} == set(shown)
    for command in [command for commands in shown.values() for command in commands]:
        program, *options = command.split()
        if program == "make":
            assert re.search(rf"^{options[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        else:
            assert program == "minivit"
            build_parser().parse_args(options)
