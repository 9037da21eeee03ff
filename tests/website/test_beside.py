"""The paper beside the source: every tag has a note, every note its lines and its test, every link a place."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("pygments")

from minivit.engine import fused, ops
from minivit.models.configs import PLACES, POSITIONS
from tests.test_dialect import UNCLEAR
from website import beside

ROOT = Path(__file__).parents[2]
REQUIRED = [*(f"({n})" for n in range(1, 9)), "§3.1", "§3.2", "Table 8", "B.1.2", "D.3", "D.7", "D.8"]
CACHES = (
    beside.source, beside.modules, beside.found, beside.home, beside.global_names, beside.links_in,
    beside.tokens_by_line,
)  # fmt: skip


def forget():
    for cache in CACHES:
        cache.cache_clear()


# -- a small repository, in which mistakes are made ----------------------------------------------

ENGINE = '''\
"""Ops."""


def product(x, w):
    """Return x w."""
    return x * w
'''
MODEL = '''\
"""A model."""

from .engine import product


class Model:
    """Multiplies twice."""

    def forward(self, x):
        product = x
        y = self.first(product)  # ViT (1)
        return self.first(y)  # ViT (2), D.3

    def first(self, x):
        return product(x, 2)
'''
NOTES = """\
---
title: All of it
order: 1
test: tests/test_model.py::test_it
---

What the page is about.

## Eq. 1
:about: minivit.model.Model.forward
:tags: (1)

The first product.

| symbol | what it is | in the code |
|---|---|---|
| y | a number | `y` |

## Eq. 2
:about: minivit.model.Model.forward
:tags: (2), D.3

The second.
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A function that writes files of a repository over the right ones, and reads its pages."""

    def read(**changed):
        files = {"minivit/__init__.py": "", "minivit/engine.py": ENGINE, "minivit/model.py": MODEL}
        files |= {"notes/all.md": NOTES, "tests/test_model.py": "def test_it():\n    pass\n"}
        named = {"model": "minivit/model.py", "notes": "notes/all.md", "test": "tests/test_model.py"}
        files |= {named[name]: text for name, text in changed.items()}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        forget()
        return beside.read_pages(tmp_path / "notes")

    monkeypatch.setattr(beside, "ROOT", tmp_path)
    yield read
    forget()


def test_a_function_is_cut_at_the_line_of_the_second_note(repository):
    (page,) = repository()

    assert [(note.first, note.last, note.tagged) for note in page.notes] == [(9, 11, [11]), (12, 12, [12])]
    assert [note.tests for note in page.notes] == [["tests/test_model.py::test_it"]] * 2


MISTAKES = {
    "a tag without a note": (
        {"model": MODEL.replace("        return product(x, 2)", "        return product(x, 2)  # ViT (3)")},
        "minivit/model.py, line 15: the tag (3) has no note",
    ),
    "one of two tags of a line without a note": (
        {"notes": NOTES.replace("(2), D.3", "(2)")},
        "minivit/model.py, line 12: the tag D.3 has no note",
    ),
    "a tag that was removed": ({"model": MODEL.replace("  # ViT (1)", "")}, "has the tag (1), but no line beside it"),
    "a tag in another form": ({"model": MODEL.replace("# ViT (1)", "# ViT Eq. 1")}, "line 11: a tag is written"),
    "a symbol that was renamed": ({"model": MODEL.replace("def forward", "def call")}, "which minivit does not have"),
    "a test that was renamed": ({"test": "def test_that():\n    pass\n"}, "test_it, which does not exist"),
    "lines shown twice": ({"notes": NOTES + "\n## Again\n:about: minivit.model.Model.forward\n"}, "an earlier note"),
    "another place without the tag": (
        {"notes": NOTES.replace(":tags: (1)", ":tags: (1)\n:also: minivit.engine.product")},
        "names minivit.engine.product, which has none of its tags",
    ),
    "a note without its symbol": ({"notes": NOTES.replace(":about: minivit.model.Model.forward\n", "")}, "must begin"),
    "a page without its test": ({"notes": NOTES.replace("test: tests", "tests: tests")}, "title, order and test"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(repository, mistake):
    changed, words = MISTAKES[mistake]

    with pytest.raises(beside.NotesError, match=re.escape(words)):
        repository(**changed)


def test_a_name_links_to_where_it_is_defined_and_a_local_name_does_not(repository):
    repository()

    assert beside.links_in("minivit/model.py")[15] == {(15, 22): "minivit.engine.product"}
    assert beside.links_in("minivit/model.py")[11] == {(17, 22): "minivit.model.Model.first"}
    assert beside.links_in("minivit/model.py")[3] == {(20, 27): "minivit.engine.product"}


@pytest.mark.slow
def test_a_name_is_followed_through_a_packages_front_door():
    links = beside.links_in("minivit/models/vit.py")

    targets = {target for line in links.values() for target in line.values()}
    assert {"minivit.engine.fused.patchify", "minivit.nn.layers.Linear", "minivit.models.vit.MLP"} <= targets


# -- the notes of this repository ----------------------------------------------------------------


@pytest.fixture(scope="module")
def pages():
    forget()
    return beside.read_pages()


def without_colours(name):
    """What `tokens_by_line` returns, in a hundredth of its time."""
    return [[("", line)] for line in beside.source(name).lines] + [[]]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    forget()
    folder = tmp_path_factory.mktemp("site") / "paper"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beside, "tokens_by_line", without_colours)
        beside.write_pages(folder)
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.md")}


@pytest.fixture(scope="module")
def figures(written):
    return {name: Figures(text) for name, text in written.items()}


class Figures(HTMLParser):
    """The lines of source in a page's HTML, its links and the names that can be linked."""

    def __init__(self, text):
        super().__init__()
        self.lines, self.links, self.ids, self.marked = [], [], [], []
        self.inside = 0
        for block in re.findall(rf"{beside.FENCE}{{raw}} html\n(.*?)\n{beside.FENCE}", text, re.DOTALL):
            self.feed(block)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if "data-line" in given:
            self.lines.append([given["id"], int(given["data-line"]), ""])
            if "beside-marked" in given["class"]:
                self.marked.append(given["id"])
            self.inside = 1
        elif self.inside and tag == "span":
            self.inside += 1

    def handle_endtag(self, tag):
        if self.inside and tag == "span":
            self.inside -= 1

    def handle_data(self, data):
        if self.inside:
            self.lines[-1][2] += data


@pytest.mark.parametrize("place", REQUIRED)
def test_each_place_of_the_paper_has_a_note(pages, place):
    assert any(place in note.tags for page in pages for note in page.notes)


def test_no_note_has_a_word_that_must_be_read_twice(pages):
    texts = [page.text for page in pages] + [f"{note.title}. {note.text}" for page in pages for note in page.notes]
    found = [
        (match.group(), better)
        for text in texts
        for word, better in UNCLEAR.items()
        for match in re.finditer(word, text)
    ]
    assert found == []


def test_every_kind_and_place_of_positions_is_described(pages):
    (page,) = (page for page in pages if page.name == "positions")
    text = "\n".join(note.text for note in page.notes)

    assert {name for name in (*POSITIONS, *PLACES) if f'`"{name}"`' not in text} == set()


def test_every_op_and_every_twin_has_a_note(pages):
    about = {note.about for page in pages for note in page.notes}
    needed = {f"minivit.engine.ops.{name}" for name in ops.__all__}
    needed |= {f"minivit.engine.{file}.{name}" for file in ("fused", "reference") for name in fused.__all__}

    assert needed - about == set()


@pytest.mark.slow
def test_the_lines_are_those_of_the_files(pages, figures):
    count = 0
    for page in pages:
        shown = {}
        for name, number, text in figures[f"{page.name}.md"].lines:
            shown[name] = (number, text)
        for note in page.notes:
            path = ROOT.joinpath(*note.about.split("."))
            while not path.with_suffix(".py").is_file():
                path = path.parent
            lines = path.with_suffix(".py").read_text(encoding="utf-8").splitlines(keepends=True)
            prefix = path.relative_to(ROOT).as_posix().replace("/", "-")
            for number in range(note.first, note.last + 1):
                assert shown[f"{prefix}-L{number}"] == (number, lines[number - 1])
                count += 1
    assert count > 1500


def test_colours_change_no_letter_of_the_source():
    for name in ("minivit/models/thirty_lines.py", "minivit/models/vit.py", "minivit/engine/reference.py"):
        text = "".join(f"{''.join(part for _, part in line)}\n" for line in beside.tokens_by_line(name)[:-1])
        assert text == (ROOT / name).read_text(encoding="utf-8")
    kinds = {kind for line in beside.tokens_by_line("minivit/models/vit.py") for kind, _ in line}
    assert {"k", "nc", "nf", "sd", "c1"} <= kinds


@pytest.mark.slow
def test_the_page_of_a_file_is_the_file(figures):
    for name in ("minivit/models/vit.py", "minivit/engine/ops.py", "tests/models/test_vit.py"):
        page = f"source/{name.removesuffix('.py').replace('/', '-')}.md"
        text = "".join(text for _, _, text in figures[page].lines)
        assert text == (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_tagged_line_of_each_note_is_marked(pages, figures):
    for page in pages:
        marked = set(figures[f"{page.name}.md"].marked)
        assert marked == {note.file.line_id(number) for note in page.notes for number in note.tagged}


@pytest.mark.slow
def test_every_link_leads_somewhere(written, figures):
    labels = {label for text in written.values() for label in re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)}
    ids = {name: set(page.ids) for name, page in figures.items()}
    count = 0
    for name, page in figures.items():
        for link in page.links:
            there, _, part = link.partition("#")
            folder = name.rpartition("/")[0]
            if there.startswith("../"):
                folder, there = "", there.removeprefix("../")
            target = f"{folder}/{there}".lstrip("/").replace(".html", ".md") if there else name
            assert target in figures, (name, link)
            assert part in ids[target] or (not there and part in labels), (name, link)
            count += 1
        prose = re.sub(rf"{beside.FENCE}{{raw}}.*?\n{beside.FENCE}\n", "", written[name], flags=re.DOTALL)
        for link in () if name.startswith("source/") else re.findall(r"\]\(([^)\s]+)\)", prose):
            assert link in written or link[1:] in labels or link.startswith("https://arxiv.org/"), (name, link)
    assert count > 3000


@pytest.mark.slow
def test_no_two_lines_of_a_page_have_the_same_name(figures):
    for name, page in figures.items():
        assert len(page.ids) == len(set(page.ids)), name


@pytest.mark.slow
def test_each_note_ends_with_a_link_to_its_test(pages, figures):
    for page in pages:
        links = figures[f"{page.name}.md"].links
        for note in page.notes:
            for test in note.tests:
                path, _, name = test.partition("::")
                lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
                places = [number for number, text in enumerate(lines, 1) if text.lstrip().startswith(f"def {name}(")]
                slug = path.removesuffix(".py").replace("/", "-")
                near = {
                    f"source/{slug}.html#{slug}-L{place - up}" for place in places for up in range(40)
                }  # decorators
                assert near & set(links), (page.name, note.title, test)


def test_the_names_in_a_notes_table_are_in_the_source_that_the_page_shows(pages):
    unknown = []
    for page in pages:
        shown = {note.file.name: "" for note in page.notes}
        for note in page.notes:
            shown[note.file.name] += "\n".join(note.file.lines[note.first - 1 : note.last]) + "\n"
        for note in page.notes:
            for row in re.findall(r"^\|.*\| ([^|]*) \|$", note.text, re.MULTILINE):
                unknown += [
                    (page.name, note.title, name)
                    for name in re.findall(r"`([^`]+)`", row)
                    if name not in shown[note.file.name]
                ]
    assert unknown == []


@pytest.mark.slow
def test_the_paper_map_and_the_pages_lead_to_each_other(pages, written):
    paper_map = (ROOT / "docs" / "paper-map.md").read_text(encoding="utf-8")

    assert {page.name for page in pages if f"(../website/paper/{page.name}.md)" not in paper_map} == set()
    assert "[The paper map](source/docs-paper-map-md.md)" in written["index.md"]
