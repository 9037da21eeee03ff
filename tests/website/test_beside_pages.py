"""The paper beside the source in a browser: two columns, or one on a phone, nothing clipped (`make test-browser`)."""

import pytest

pytestmark = pytest.mark.browser

PAGES = ["thirty-lines", "model", "attention", "positions", "fused", "training", "inspecting"]
BOXES = """() => [...document.querySelectorAll("section:has(> .beside-code)")].map(section => {
    const box = part => section.querySelector(`:scope > ${part}`).getBoundingClientRect();
    return {title: box("h2"), note: box(".beside-note"), code: box(".beside-code")};
})"""
BOXED = ".beside-note div.math, .beside-note .table-wrapper, .beside-code pre"
CLIPPED = """boxed => [...document.querySelectorAll(boxed)]
    .filter(box => box.clientWidth < 100 || box.scrollWidth > box.clientWidth + 1)
    .map(box => `${box.scrollWidth} px in ${box.clientWidth} px: ${box.innerText.slice(0, 60)}`)"""


@pytest.mark.parametrize("name", PAGES)
def test_a_note_is_beside_its_lines(open_page, name):
    page = open_page(f"paper/{name}.html")
    boxes = page.evaluate(BOXES)

    assert len(boxes) > 5
    for box in boxes:
        assert box["note"]["right"] <= box["code"]["left"]
        assert abs(box["title"]["top"] - box["code"]["top"]) < 30
        assert box["code"]["width"] > 1.4 * box["note"]["width"]


@pytest.mark.parametrize("name", PAGES)
def test_on_a_phone_a_note_is_above_its_lines(open_page, name):
    page = open_page(f"paper/{name}.html", width=375)

    for box in page.evaluate(BOXES):
        assert box["title"]["bottom"] <= box["note"]["top"]
        assert box["note"]["bottom"] <= box["code"]["top"]
        assert box["code"]["width"] > 330


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [1280, 375])
def test_no_formula_table_or_line_is_clipped(open_page, name, width):
    page = open_page(f"paper/{name}.html", width=width)

    assert page.evaluate(CLIPPED, BOXED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    formulas = page.evaluate(
        "[...document.querySelectorAll('math')].map(m => [m.getBoundingClientRect().height, m.outerHTML])"
    )
    assert all(height > 4 and "merror" not in html for height, html in formulas)
    assert "$" not in page.inner_text("article")


def test_a_name_leads_to_its_lines_and_back_by_keyboard(open_page):
    page = open_page("paper/model.html")
    page.locator(".beside-code a", has_text="patchify").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/fused.html#minivit-engine-fused-L*")

    line = page.locator(".beside-line:target")
    assert line.is_visible()
    assert line.inner_text().strip() == "@op"
    assert "def patchify" in line.evaluate("line => line.nextElementSibling.innerText")
    page.go_back()
    page.wait_for_url("**/model.html*")
