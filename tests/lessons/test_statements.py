"""Every lesson says what an exercise takes, explains its solution, and names its neighbours in the field."""

import re

import pytest

from minivit_lessons.build import build_lesson, read_statements, sources, statements_of
from minivit_lessons.exercises import all_exercises
from minivit_lessons.notebooks import lesson_number, lessons_folder

from .test_vocabulary import LESSON_NUMBERS

SOURCES = {lesson_number(path): path for path in sources(lessons_folder())}


def statements(lesson):
    return read_statements(statements_of(SOURCES[lesson]))


@pytest.mark.parametrize("lesson", LESSON_NUMBERS)
def test_every_exercise_has_its_effort_and_an_explained_solution(lesson):
    for name, statement in statements(lesson).items():
        assert 1 <= statement.difficulty <= 5, name
        assert 1 <= statement.minutes <= 60, name
        assert len(statement.solution.split()) >= 40, f"{name}: why, a second way, the usual mistakes"
        assert (statement.importance == "stretch") == all_exercises()[name].is_stretch, name


@pytest.mark.parametrize("lesson", LESSON_NUMBERS)
def test_every_lesson_has_a_stretch_task(lesson):
    assert any(statement.importance == "stretch" for statement in statements(lesson).values())


@pytest.mark.parametrize("lesson", LESSON_NUMBERS)
def test_every_lesson_says_what_came_before_and_after(lesson):
    text = SOURCES[lesson].read_text(encoding="utf-8")
    section = text.partition("# ## What came before and after")[2].partition("\n# ## ")[0]

    assert len(re.findall(r"https://(?:arxiv\.org/abs|doi\.org)/", section)) >= 2


@pytest.mark.parametrize("lesson", [lesson for lesson in LESSON_NUMBERS if lesson >= 2])
def test_every_lesson_shows_the_same_in_pytorch(lesson):
    cells = build_lesson(SOURCES[lesson], statements_of(SOURCES[lesson]), solved=True)["cells"]
    compared = [cell["source"] for cell in cells if "pytorch" in cell["metadata"].get("tags", [])]

    assert any(cell["source"].startswith("## The same in PyTorch") for cell in cells)
    assert any('library("torch")' in source and "agree(" in source for source in compared)
