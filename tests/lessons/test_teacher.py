"""The teacher's pages: one for each lesson, whole, about exercises that there are, in the field's words."""

import re

import pytest

from minivit_lessons.build import sources
from minivit_lessons.exercises import all_exercises
from minivit_lessons.notebooks import lessons_folder

from ..test_dialect import UNCLEAR
from .test_vocabulary import HOUSE

LESSONS = lessons_folder()
PAGES = [LESSONS / "teacher" / f"{path.stem}.md" for path in sources(LESSONS)]
ALL = sorted((LESSONS / "teacher").glob("*.md"))
SECTIONS = ["Aims", "Misconceptions", "On the board", "Discuss", "The exercises that fail most"]
STRETCH = "For those who are ready"
MISCONCEPTIONS = "| a learner believes | how you notice | what to say |"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


def section(page, title):
    return page.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@every_page
def test_a_page_has_its_sections(page):
    text = page.read_text(encoding="utf-8")

    titles = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert titles in (SECTIONS, [*SECTIONS, STRETCH])
    assert f"(../{page.stem}.ipynb)" in text
    assert text.count("<!-- end -->") == 3


@every_page
def test_a_page_names_misconceptions_and_answers_its_questions(page):
    table = [line for line in section(page, "Misconceptions").split("\n") if line.startswith("| ")]
    questions = re.split(r"^\d\. ", section(page, "Discuss"), flags=re.MULTILINE)[1:]

    assert table[0] == MISCONCEPTIONS
    assert len(table[1:]) >= 3
    assert all(len(re.split(r"(?<!\\)\|", line)) == 5 and all(line.split("|")[1:-1]) for line in table)
    assert len(section(page, "Aims").split("\n- ")) >= 4
    assert len(questions) == 3
    for question in questions:
        asked, _, answer = question.partition("<details><summary>Answer</summary>")
        assert "?" in asked or "." in asked
        assert len(answer.partition("</details>")[0].split()) >= 8, question


@every_page
def test_the_exercises_of_a_page_are_those_of_its_lesson(page):
    named = re.findall(r"^- `(\w+)`:", section(page, "The exercises that fail most"), flags=re.MULTILINE)

    assert len(named) >= 3
    for name in named:
        assert all_exercises()[name].lesson == int(page.stem[:2]), name


@every_page
def test_the_stretch_tasks_of_a_page_are_those_of_its_lesson(page):
    lesson = int(page.stem[:2])
    tasks = {e.name for e in all_exercises().values() if e.lesson == lesson and e.is_stretch}
    named = re.findall(
        r"`(\w+)`(?=[:,])", "".join(re.findall(r"^- [^:]*:", section(page, STRETCH), flags=re.MULTILINE))
    )

    assert set(named) == tasks


@pytest.mark.parametrize("page", ALL, ids=lambda path: path.stem)
def test_a_page_is_in_the_fields_words_and_its_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")

    for house, better in {**HOUSE, **UNCLEAR}.items():
        found = re.search(house, re.sub(r"\s+", " ", text), re.IGNORECASE)
        assert not found, f"{found[0]!r}, better {better!r}"
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    assert text.count("<details>") == text.count("</details>")
