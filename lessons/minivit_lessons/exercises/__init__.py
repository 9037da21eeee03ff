"""The checks of the exercises: what a right answer does, and which mistakes learners make.

`lesson_NN.py` has those of one lesson. A check receives the learner's function as an `Attempt`, or the learner's value
for a question, and raises `Complaint` with the likely mistake.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minivit.errors import ConfigError


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: the name of the function, class or value that the learner writes; no two lessons use the same.
        lesson: the number of its lesson.
        examine: the check, which raises `Complaint` for a wrong attempt.
        is_question: whether the answer is a value, not a function.
        is_stretch: whether it is a harder task without hints, which is not counted among the exercises.
    """

    name: str
    lesson: int
    examine: Callable[[Any], None]
    is_question: bool = False
    is_stretch: bool = False


_registry: dict[str, Exercise] = {}


def exercise(lesson: int, stretch: bool = False) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register the decorated check for the exercise of the same name."""
    return lambda examine: _register(Exercise(examine.__name__, lesson, examine, is_stretch=stretch))


def question(lesson: int, stretch: bool = False) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register the decorated check for a question, whose answer is a value."""
    return lambda examine: _register(Exercise(examine.__name__, lesson, examine, is_question=True, is_stretch=stretch))


def _register(new: Exercise) -> Callable[[Any], None]:
    if new.name in _registry and _registry[new.name].lesson != new.lesson:
        raise ConfigError(f"two lessons have an exercise {new.name!r}")
    _registry[new.name] = new
    return new.examine


def all_exercises() -> dict[str, Exercise]:
    """Return every exercise by its name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return _registry


def find(name: str) -> Exercise:
    """Return the exercise of a name.

    Raises:
        ConfigError: if there is none.
    """
    exercises = all_exercises()
    if name not in exercises:
        raise ConfigError(f"there is no exercise {name!r}: the known ones are {', '.join(sorted(exercises))}")
    return exercises[name]
