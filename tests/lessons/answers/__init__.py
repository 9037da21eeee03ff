"""Answers to the exercises as learners write them: right ones, and the mistakes that they make.

`lesson_NN.py` collects those of a lesson with the decorators below. A wrong answer comes with a part of the sentence
that the learner must be told.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minivit_lessons.earlier import load_lesson
from minivit_lessons.notebooks import SOLUTIONS, lessons_folder


@dataclass(frozen=True)
class Answer:
    exercise: str
    attempt: Any
    told: str  # a part of the message; "" for a right answer
    names: dict[str, Any]


RIGHT: list[Answer] = []
WRONG: list[Answer] = []


def lesson(number: int) -> dict[str, Any]:
    """What a lesson's notebook defines, with the lesson's own answers."""
    return load_lesson(number, Path(lessons_folder() / SOLUTIONS)).names


def right(function: Callable) -> Callable:
    """A right answer to the exercise of the same name."""
    RIGHT.append(Answer(function.__name__, function, "", _names(function)))
    return function


def wrong(told: str) -> Callable[[Callable], Callable]:
    """A wrong answer, and a part of what the learner is told."""

    def collect(function: Callable) -> Callable:
        WRONG.append(Answer(function.__name__, function, told, _names(function)))
        return function

    return collect


def right_value(exercise: str, value: Any) -> None:
    """A right answer to a question."""
    RIGHT.append(Answer(exercise, value, "", {}))


def wrong_value(exercise: str, value: Any, told: str) -> None:
    """A wrong answer to a question."""
    WRONG.append(Answer(exercise, value, told, {}))


def _names(function: Callable) -> dict[str, Any]:
    """The namespace of a function or class: that of its module."""
    return vars(sys.modules[function.__module__])
