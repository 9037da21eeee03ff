"""What the teacher's page says of the lessons is so."""

import re

import pytest

from minivit_lessons.build import sources
from minivit_lessons.model import CHECKPOINT, sha256, trained_model
from minivit_lessons.notebooks import lesson_number, lessons_folder, read_notebook

LESSONS = lessons_folder()
README = (LESSONS / "README.md").read_text(encoding="utf-8")
TEXTS = {
    lesson_number(path): "\n".join(cell.source for cell in read_notebook(LESSONS / f"{path.stem}.ipynb"))
    for path in sources(LESSONS)
}
TAUGHT = re.findall(r"^\| ((?:Eq\.|Table|Fig\.) \d) \| ([\d, ]+) \|$", README, flags=re.MULTILINE)
PAPER = [
    *(f"Eq. {i}" for i in range(1, 9)),
    *(f"Table {i}" for i in (1, 2, 3, 4, 8)),
    *(f"Fig. {i}" for i in (1, 3, 4, 5, 6, 7)),
]


def mentions(text, what):
    """Whether a lesson speaks of an equation, table or figure, also in "Eqs. 5-7" or "Figs. 3 and 4"."""
    kind, number = what.split(". ") if ". " in what else what.split(" ")
    for found in re.findall(rf"\b{kind}s?\.? ((?:\d+(?:, | and |, and | to |-|–)?)+)", text):
        numbers = {int(n) for n in re.findall(r"\d+", found)}
        for low, high in re.findall(r"(\d+)(?:-|–| to )(\d+)", found):
            numbers |= set(range(int(low), int(high) + 1))
        if int(number) in numbers:
            return True
    return False


def test_the_whole_paper_is_in_the_table():
    assert [what for what, _ in TAUGHT] == PAPER


@pytest.mark.parametrize(("what", "lessons"), TAUGHT)
def test_it_is_taught_where_the_table_says(what, lessons):
    for number in map(int, lessons.split(", ")):
        text = TEXTS[number]
        paper = text[text.index("## In the paper") : text.index("## Break it and see")]
        assert mentions(text, what), f"lesson {number:02d} does not mention {what}"
        assert mentions(paper, what) or mentions(text.split("## The question")[0], what)


def test_mentions_are_found():
    assert mentions("by Eqs. 5-7.", "Eq. 6")
    assert mentions("in Figs. 3, 4 and 5", "Fig. 4")
    assert mentions("Table 1 says", "Table 1")
    assert not mentions("Eq. 5", "Eq. 6")
    assert not mentions("Table 12", "Table 2")


def test_every_lesson_is_listed_with_its_minutes():
    row = r"^\| \[(\d\d)\]\((\w+)\.ipynb\)[^|]*\|[^|]*\| <!-- split \1 -->(\d+) = (\d+) \+ (\d+)<!-- end --> \|"
    listed = re.findall(row, README, flags=re.MULTILINE)

    assert [name for _, name, *_ in listed] == [path.stem for path in sources(LESSONS)]
    for number, _, total, reading, exercises in listed:
        said = f"About {total} minutes: {reading} to read, {exercises} for the exercises"
        assert said in TEXTS[int(number)].partition("## The question")[0]


def test_a_lesson_needs_the_lessons_that_its_own_page_says_it_comes_after():
    for number, needs in re.findall(r"^\| \[(\d\d)\](?:[^|]*\|){3} ([^|]*) \|", README, flags=re.MULTILINE):
        said = TEXTS[int(number)].partition("Comes after ")[2].partition(". ")[0].partition(";")[0].partition("*")[0]
        named = re.findall(r"\[(\d\d)\]\(\w+\.ipynb\)( to)?", said)
        assert re.findall(r"(\d\d)( to)?", needs) == named, number


def test_the_trained_model_is_the_recorded_one():
    assert sha256(LESSONS / CHECKPOINT) in README
    assert (LESSONS / CHECKPOINT).stat().st_size <= 5 * 2**20
    assert trained_model().config.num_classes == 10
