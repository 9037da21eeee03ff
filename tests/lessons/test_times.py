"""The times of the lessons follow from the rule, wherever they are written."""

import re

import pytest

from minivit_lessons.build import Statement, build_lesson, lesson_times, sources, statements_of, teachers_pages
from minivit_lessons.notebooks import lesson_number, lessons_folder
from minivit_lessons.times import Time, hours, time_of, with_time, with_times

LESSONS = lessons_folder()
TIMES = lesson_times(LESSONS)


def cell(source, kind="markdown", exercise=""):
    return {"cell_type": kind, "source": source, "metadata": {"exercise": exercise} if exercise else {}}


def statement(minutes, importance="core"):
    return Statement("Text.", (), 3, minutes, importance, "")


def test_the_rule():
    cells = [
        cell("word " * 600 + "\n\n$$a = b$$ $$c\n= d$$"),  # 5 minutes, 1 minute
        cell("x = 1\n\n" * 40, "code"),  # 4 minutes
        cell("```python\n" + "y = 2\n" * 50 + "```\n[a](b.ipynb)"),  # 5 minutes, and a word
        cell("z = 3\n" * 1000, "code", exercise="f"),  # its minutes are those of its statement
    ]

    time = time_of(cells, {"f": statement(12), "g": statement(10, "optional"), "h": statement(25, "stretch")})

    assert time == Time(reading=15, by_exercise={"f": 12, "g": 10}, stretch=25)
    assert time.exercises == 20
    assert time.total == 35
    assert str(time) == "About 35 minutes: 15 to read, 20 for the exercises (and 25 for the stretch task)."


def test_an_exercise_without_minutes_counts_as_ten():
    assert time_of([], {"f": statement(0)}).exercises == 10


@pytest.mark.parametrize("line", ["*Comes after 01.*", "*About 45 minutes. Comes after 01.*"])
def test_the_time_is_written_below_the_title(line):
    title = with_time(f"# 02 · T\n\n{line}\n\n*Other.*", Time(15, {"f": 20}))

    assert title == "# 02 · T\n\n*About 35 minutes: 15 to read, 20 for the exercises. Comes after 01.*\n\n*Other.*"
    assert with_time("**Bold** is no such line", Time(15, {})) == "**Bold** is no such line"


def test_times_are_written_into_a_page():
    times = {0: Time(15, {"f": 20}), 1: Time(30, {"g": 12, "h": 43}), 2: Time(5, {"i": 5})}

    def written(place):
        found = with_times(f"before <!-- {place} -->old<!-- end --> after", times)
        return found.removeprefix(f"before <!-- {place} -->").removesuffix("<!-- end --> after")

    assert written("minutes 00") == "35"
    assert written("split 00") == "35 = 15 + 20"
    assert written("reading 00-01") == "45"
    assert written("exercises 00 02") == "25"
    assert written("minutes 00 01:g 01:h") == "90"
    assert written("split 01:reading 01:g") == "42 = 30 + 12"
    assert written("hours 00-02") == "2½ h"
    assert with_times("no <!-- comment --> of ours", times) == "no <!-- comment --> of ours"


def test_hours_are_rounded_up_to_halves_but_for_five_minutes():
    assert [hours(minutes) for minutes in (0, 35, 36, 65, 70, 120)] == ["½ h", "½ h", "1 h", "1 h", "1½ h", "2 h"]


@pytest.mark.parametrize("page", teachers_pages(LESSONS), ids=lambda path: path.name)
def test_a_teachers_page_has_the_rules_times(page):
    text = page.read_text(encoding="utf-8")

    assert with_times(text, TIMES) == text, "run `minivit lessons build`"
    assert text.count("<!-- end -->") == len(re.findall(r"<!-- \w+ [^>]*?\d\d[^>]*? -->[^<]+<!-- end -->", text))


@pytest.mark.parametrize("source", sources(LESSONS), ids=lambda path: path.stem)
def test_a_lesson_says_its_time_once(source):
    title = build_lesson(source, statements_of(source), solved=False)["cells"][0]["source"]

    assert re.findall(r"About \d+ minutes.*?\.(?= )", title) == [str(TIMES[lesson_number(source)])]


@pytest.mark.parametrize("source", sources(LESSONS), ids=lambda path: path.stem)
def test_a_source_leaves_the_time_to_the_builder(source):
    assert not re.search(r"^# \*About \d+ minutes", source.read_text(encoding="utf-8"), re.MULTILINE)
