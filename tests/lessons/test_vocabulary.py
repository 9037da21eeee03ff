"""The lessons speak the field's language: each term is introduced in one lesson, and no earlier one uses it."""

import re
from typing import NamedTuple

import pytest

from minivit_lessons.build import read_statements, sources, statements_of
from minivit_lessons.notebooks import lesson_number, lessons_folder

LESSONS = lessons_folder()

# Terms that are everyday words too: they may occur before their lesson.
EVERYDAY = {
    "model", "class", "label", "shape", "axis", "value", "key", "query", "weight", "step", "filter", "kernel",
    "interpolation", "bias", "layer", "probability", "sequence", "padding", "masking", "representation", "activation",
}  # fmt: skip
# House words, each with the field's word for it (see STYLE: how minivit writes).
HOUSE = {
    r"\bbend": "activation function",
    r"\bwalks? back": "backward pass",
    r"\bslopes? (?:against|of)": "derivative with respect to",
    r"\ba training\b": "a run",
    r"\btrainings\b": "runs",
    r"\bwhole numbers?\b": "integer",
    r"\bstands? for\b": "represents",
    r"\bof its own\b": "own",
    r"\bshall\b": "must or will",
    r"\bwants?\b": "needs",
    r"(?<!standard )\bdeviations?\b": "standard deviation",
    r"\b(?:no|none of our) business\b": "ignored",
}


class Term(NamedTuple):
    names: tuple[str, ...]
    meaning: str
    lesson: int


def terms():
    """The rows of the glossary."""
    for line in (LESSONS / "GLOSSARY.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| **"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert len(cells) == 6, line
            link = re.fullmatch(r"\[(\d\d)\]\((\w+)\.ipynb\)", cells[2])
            assert link, line
            assert link[2].startswith(link[1]), line
            yield Term(tuple(re.findall(r"\*\*([^*]+)\*\*", cells[0])), cells[1], int(link[1]))


def prose(source):
    """What a lesson says: its text and that of its exercises, without code and formulas."""
    marked = re.findall(
        r"^# %% \[markdown\][^\n]*\n((?:#.*\n?)*)", source.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    text = "\n".join(re.sub(r"^# ?", "", block, flags=re.MULTILINE) for block in marked)
    for statement in read_statements(statements_of(source)).values():
        text += "\n\n".join(["", statement.text, *statement.hints, statement.solution])
    text = re.sub(r"^## What comes next.*?(?=^## |\Z)", "", text, flags=re.MULTILINE | re.DOTALL)  # it looks ahead
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


TERMS = list(terms())
PROSE = {lesson_number(path): prose(path) for path in sources(LESSONS)}
LESSON_NUMBERS = sorted(PROSE)


def word(name):
    """A pattern that finds a term, in the singular and plural, capital letters or small."""
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?:s|es)?(?![\w-])", re.IGNORECASE)


def test_there_are_enough_terms_each_explained():
    names = [name for term in TERMS for name in term.names]

    assert len(TERMS) >= 80
    assert len(set(names)) == len(names)
    assert all(term.meaning for term in TERMS)
    assert [term.lesson for term in TERMS] == sorted(term.lesson for term in TERMS)


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.names[0])
def test_a_term_is_introduced_once_in_its_lesson(term):
    for name in term.names:
        bold = re.compile(rf"\*\*{re.escape(name)}(?:s|es)?\*\*", re.IGNORECASE)
        introduced = [lesson for lesson in LESSON_NUMBERS if bold.search(PROSE[lesson])]
        assert introduced == [term.lesson], name


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.names[0])
def test_a_term_is_not_used_before_its_lesson(term):
    for name in term.names:
        if name in EVERYDAY:
            continue
        for lesson in LESSON_NUMBERS:
            found = word(name).search(PROSE[lesson])
            if lesson < term.lesson and found:
                around = PROSE[lesson][max(0, found.start() - 60) : found.end() + 40]
                pytest.fail(f"lesson {lesson:02d} uses {name!r} of lesson {term.lesson:02d}: ...{around}...")


@pytest.mark.parametrize("lesson", LESSON_NUMBERS)
def test_a_lesson_uses_the_fields_words(lesson):
    for house, better in HOUSE.items():
        found = re.search(house, PROSE[lesson], re.IGNORECASE)
        if found:
            around = PROSE[lesson][max(0, found.start() - 60) : found.end() + 40]
            pytest.fail(f"{found[0]!r}, better {better!r}: ...{around}...")
