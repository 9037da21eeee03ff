"""The page of `minivit inspect` in a real browser, in both colour schemes: `make test-browser` installs one."""

import numpy as np
import pytest

from minivit.insight import ShownImages, inspect_model, inspect_page
from tests.accessibility import violations
from tests.support import tiny_vit

pytestmark = pytest.mark.browser
SCHEMES = ("light", "dark")
WIDTHS = (1200, 390)  # a desktop's window, a telephone's


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    model = tiny_vit(dtype=np.float32, image_size=(32, 48), patch_size=8)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    pictures = ShownImages(pixels, ["<one> & only", "two"], ("a", "b", "c", "d", "e"), np.array([0, 1]))
    path = tmp_path_factory.mktemp("page") / "inspect.html"
    path.write_text(inspect_page(inspect_model(model, pictures), "A model"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """A function that opens the page; `.requests` and `.complaints` fill up with what it asks for and grumbles."""
    contexts = []

    def open_it(scheme="light", width=1200):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.requests, page.complaints = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(address, wait_until="networkidle")
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_picture_loads_nothing_else_is_asked_for_and_nothing_is_complained_about(open_page, address, scheme):
    page = open_page(scheme)
    sizes = page.evaluate("[...document.images].map(image => [image.complete, image.naturalWidth])")
    assert len(sizes) == 3 + 2 * 3
    assert all(complete and width > 0 for complete, width in sizes)
    assert [url for url in page.requests if not url.startswith("data:")] == [address]
    assert page.complaints == []


def test_the_dark_scheme_has_pictures_and_colours_of_its_own(open_page):
    shown = "[...document.querySelectorAll('img.plate')].map(image => image.currentSrc)"
    light, dark = (open_page(scheme) for scheme in SCHEMES)
    assert len(light.evaluate(shown)) == 3
    assert not set(light.evaluate(shown)) & set(dark.evaluate(shown))
    assert luminance(light, "body", "backgroundColor") > 0.8
    assert luminance(dark, "body", "backgroundColor") < 0.05


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_has_a_contrast_that_can_be_read(open_page, scheme):
    """4.5 to 1, as the Web Content Accessibility Guidelines ask of text (WCAG 2.2, 1.4.3)."""
    page = open_page(scheme)
    for ground, inks in (("body", ["h1", ".faint"]), ("section", ["h2", "p", ".source", "figcaption", "th", "a"])):
        paper = luminance(page, ground, "backgroundColor")
        for ink in inks:
            darker, lighter = sorted([paper, luminance(page, f"{ground} {ink}", "color")])
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, ink


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(open_page, width, scheme):
    assert violations(open_page(scheme, width)) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_its_window(open_page, width):
    assert open_page(width=width).evaluate("document.documentElement.scrollWidth") <= width


def luminance(page, selector, property_name):
    """Relative luminance of a colour, from 0 (black) to 1 (white), by WCAG's definition."""
    colour = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{property_name}")
    values = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
