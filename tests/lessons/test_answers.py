"""Every check of the lessons can fail: wrong answers are named, right ones pass, the empty one is not done yet."""

import importlib
import pkgutil
from collections import Counter
from unittest import mock

import pytest

from minivit_lessons import repairs
from minivit_lessons.build import build_lesson, sources, statements_of
from minivit_lessons.checking import NOT_DONE, PASSED, WRONG, examine, solution
from minivit_lessons.exercises import all_exercises
from minivit_lessons.notebooks import lesson_number, lessons_folder

from . import answers

for module in pkgutil.iter_modules(answers.__path__):
    importlib.import_module(f"{answers.__name__}.{module.name}")

EXERCISES = all_exercises()


def numbered(collected):
    """An id for each answer: the exercise and its how-manieth answer this is."""
    seen = Counter()
    ids = []
    for answer in collected:
        seen[answer.exercise] += 1
        ids.append(f"{answer.exercise}-{seen[answer.exercise]}")
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("answer", answers.RIGHT, ids=numbered(answers.RIGHT))
def test_a_right_answer_passes(answer):
    verdict = examine(answer.exercise, answer.attempt, dict(answer.names))

    assert verdict.status == PASSED, verdict.message


@pytest.mark.parametrize("name", EXERCISES)
def test_each_wrong_answer_is_told_its_mistake(name):
    """One test for each exercise: 2,000 small ones would take longer to begin than to run."""
    for answer in (answer for answer in answers.WRONG if answer.exercise == name):
        with mock.patch.object(repairs, "SECONDS", 0.0):  # most need no search for a change that repairs them
            verdict = examine(name, answer.attempt, dict(answer.names))
        if answer.told not in verdict.message:
            verdict = examine(name, answer.attempt, dict(answer.names))

        assert verdict.status == WRONG, (answer, verdict)
        assert answer.told in verdict.message, answer
        assert "\n" not in verdict.message, answer
        assert len(verdict.message) <= 200, answer


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_has_enough_answers_and_each_its_own_diagnosis(name):
    told = [answer.told for answer in answers.WRONG if answer.exercise == name]

    assert len([answer for answer in answers.RIGHT if answer.exercise == name]) >= 2
    assert len(set(told)) == len(told) >= 3


@pytest.mark.parametrize("name", EXERCISES)
def test_what_the_learner_starts_with_is_not_done_yet(name):
    lesson = EXERCISES[name].lesson
    source = next(path for path in sources(lessons_folder()) if lesson_number(path) == lesson)
    cells = build_lesson(source, statements_of(source), solved=False)["cells"]
    stub = next(cell["source"] for cell in cells if cell["metadata"].get("exercise") == name)
    names = dict(answers.lesson(lesson))

    exec(stub, names)
    verdict = examine(name, names[name], names)

    assert verdict.status == NOT_DONE, verdict.message


@pytest.mark.parametrize("name", EXERCISES)
def test_the_lessons_own_answer_passes(name):
    names = dict(answers.lesson(EXERCISES[name].lesson))

    exec(solution(name), names)

    assert examine(name, names[name], names).status == PASSED


def test_there_are_enough(capsys):
    with capsys.disabled():
        print(
            f"\nlessons: {len(EXERCISES)} exercises, {len(answers.RIGHT)} right and {len(answers.WRONG)} wrong answers"
        )
