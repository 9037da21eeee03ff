"""How long a lesson takes, by a rule: an estimate from what there is to read and to do, not yet a measurement.

Reading, in minutes: words / 120 + lines of code / 10 + displayed formulas / 2. Adults read English non-fiction silently
at 238 words a minute on average, and readers whose first language is another one read more slowly (Brysbaert, 2019,
https://doi.org/10.1016/j.jml.2019.104047); the rule takes half of that, since every sentence must be understood. The
rates for code and formulas are our own choice.

Exercises: the sum of the minutes that the statements name. A stretch task is counted apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .build import Statement

WORDS_A_MINUTE = 120
LINES_A_MINUTE = 10
FORMULAS_A_MINUTE = 2
WITHOUT_EFFORT = 10  # minutes of an exercise whose statement does not name them
ROUNDED_TO = 5  # minutes
WORD = re.compile(r"\w[\w'’-]*")
FENCE = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r"\$\$.*?\$\$", re.DOTALL)
PLACE = re.compile(r"<!-- (minutes|split|reading|exercises|hours) ([\d\w: -]+?) -->.*?<!-- end -->")


@dataclass(frozen=True)
class Time:
    """How long a lesson takes, in minutes.

    Attributes:
        reading: its text, formulas and the code that it shows, a multiple of 5.
        by_exercise: the minutes of each exercise by its name, without stretch tasks.
        stretch: its stretch tasks.
    """

    reading: int
    by_exercise: Mapping[str, int]
    stretch: int = 0

    @property
    def exercises(self) -> int:
        """All exercises but the stretch tasks, a multiple of 5."""
        return _rounded(sum(self.by_exercise.values()))

    @property
    def total(self) -> int:
        """Reading and exercises."""
        return self.reading + self.exercises

    def __str__(self) -> str:
        further = f" (and {self.stretch} for the stretch task)" if self.stretch else ""
        return f"About {self.total} minutes: {self.reading} to read, {self.exercises} for the exercises{further}."


def time_of(cells: Iterable[Mapping[str, Any]], statements: Mapping[str, Statement]) -> Time:
    """Return how long a lesson takes.

    Args:
        cells: the cells of its source; those of exercises are not counted as reading.
        statements: the statements of its exercises by their names.
    """
    words = lines = formulas = 0
    for cell in cells:
        if cell["cell_type"] == "markdown":
            text = FENCE.sub("", cell["source"])
            lines += sum(_lines(code) for code in FENCE.findall(cell["source"]))
            formulas += len(FORMULA.findall(text))
            words += len(WORD.findall(re.sub(r"\]\([^)]*\)", "", FORMULA.sub("", text))))
        elif not cell["metadata"].get("exercise"):
            lines += _lines(cell["source"])
    asked = {name: s.minutes or WITHOUT_EFFORT for name, s in statements.items() if s.importance != "stretch"}
    return Time(
        reading=_rounded(words / WORDS_A_MINUTE + lines / LINES_A_MINUTE + formulas / FORMULAS_A_MINUTE),
        by_exercise=asked,
        stretch=sum(s.minutes for s in statements.values() if s.importance == "stretch"),
    )


def _lines(code: str) -> int:
    return sum(bool(line.strip()) for line in code.split("\n"))


def _rounded(minutes: float) -> int:
    return max(ROUNDED_TO, ROUNDED_TO * round(minutes / ROUNDED_TO))


def with_time(title: str, time: Time) -> str:
    """Return a lesson's first cell with its time at the head of the line in italics below the title."""
    return re.sub(r"^\*(?!\*)(?:About \d+ minutes\.\s)?", lambda _: f"*{time} ", title, count=1, flags=re.MULTILINE)


def with_times(page: str, times: Mapping[int, Time]) -> str:
    """Return a page with its times written anew.

    A time is between two comments, `<!-- minutes 00 05-07 02:reading 02:multiply -->85<!-- end -->`: which lessons are
    added up, or of a lesson its reading or one exercise alone. Instead of `minutes` there may be `reading` or
    `exercises` (minutes too), `split` ("85 = 35 + 50") or `hours` ("1½ h").
    """

    def written(place: re.Match[str]) -> str:
        kind, lessons = place.groups()
        reading, exercises = (sum(part) for part in zip(*map(parts, lessons.split()), strict=True))
        total = reading + exercises
        shown = {
            "minutes": str(total),
            "split": f"{total} = {reading} + {exercises}",
            "reading": str(reading),
            "exercises": str(exercises),
            "hours": hours(total),
        }[kind]
        return f"<!-- {kind} {lessons} -->{shown}<!-- end -->"

    def parts(lesson: str) -> tuple[int, int]:
        number, _, name = lesson.partition(":")
        if name == "reading":
            return times[int(number)].reading, 0
        if name:
            return 0, times[int(number)].by_exercise[name]
        first, _, last = number.partition("-")
        found = [times[i] for i in range(int(first), int(last or first) + 1)]
        return sum(time.reading for time in found), sum(time.exercises for time in found)

    return PLACE.sub(written, page)


def hours(minutes: float) -> str:
    """Return a time in hours, rounded up to a half, but for five minutes: "1½ h" for 70 minutes, "1 h" for 65."""
    halves = max(1, math.ceil((minutes - 5) / 30))
    return f"{halves // 2 or ''}{'½' if halves % 2 else ''} h"
