"""The exercises of the lessons: for each what a right answer does, and which mistakes are known.

`lesson_NN.py` holds those of one lesson. A check receives the learner's function as an `Attempt` (or the value, for a
question) and raises `Complaint` with the likely mistake.
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
        name: of the function, class or value that the learner writes; no two lessons use the same.
        lesson: its number.
        examine: complains of a wrong attempt.
        is_question: whether a value is asked for, not a function.
    """

    name: str
    lesson: int
    examine: Callable[[Any], None]
    is_question: bool = False


_registry: dict[str, Exercise] = {}


def exercise(lesson: int) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Make the decorated check the one of the exercise of the same name."""
    return lambda examine: _register(Exercise(examine.__name__, lesson, examine))


def question(lesson: int) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """The same for a question whose answer is a value."""
    return lambda examine: _register(Exercise(examine.__name__, lesson, examine, is_question=True))


def _register(new: Exercise) -> Callable[[Any], None]:
    if new.name in _registry and _registry[new.name].lesson != new.lesson:
        raise ConfigError(f"two lessons have an exercise {new.name!r}")
    _registry[new.name] = new
    return new.examine


def all_exercises() -> dict[str, Exercise]:
    """Every exercise by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return _registry


def find(name: str) -> Exercise:
    """The exercise of that name.

    Raises:
        ConfigError: if there is none.
    """
    exercises = all_exercises()
    if name not in exercises:
        raise ConfigError(f"there is no exercise {name!r}; there are: {', '.join(sorted(exercises))}")
    return exercises[name]
