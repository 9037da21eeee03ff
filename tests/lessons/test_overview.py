"""Marks for a spreadsheet, and what a class failed most."""

import csv
import io
import json
import re

import pytest

from minivit.cli import main
from minivit_lessons import exercises, overview
from minivit_lessons.checking import NOT_DONE, PASSED, WRONG, Verdict
from minivit_lessons.exercises import Exercise
from minivit_lessons.grading import Mark, _unmarked, table, to_json

from .test_grading import EMPTY, SOLVED, put

NAMES = ("cut", "glue", "embed")


@pytest.fixture(autouse=True)
def lesson_of_three_exercises_and_a_stretch_task(monkeypatch):
    known = {name: Exercise(name, 5, lambda attempt: None) for name in NAMES}
    known["harder"] = Exercise("harder", 5, lambda attempt: None, is_stretch=True)
    known["later"] = Exercise("later", 6, lambda attempt: None)
    monkeypatch.setattr(exercises, "all_exercises", lambda: known)


def mark(student, *states, lesson=5, file="05_patches.ipynb", names=(*NAMES, "harder")):
    """A mark; a state is PASSED, NOT_DONE, or what the check said of a wrong answer."""
    verdicts = [
        Verdict(name, state if state in (PASSED, NOT_DONE) else WRONG, "" if state == PASSED else f"{name}: {state}")
        for name, state in zip(names, states, strict=True)
    ]
    return Mark(student, lesson, tuple(verdicts), file=file)


ADA = mark("ada", PASSED, PASSED, PASSED, PASSED)
BOB = mark("bob", PASSED, "row 3 is reversed", NOT_DONE, NOT_DONE)
EVE = mark("eve", "the axis is missing", "row 7 is reversed", PASSED, "it uses sum")
NIX = mark("nix", NOT_DONE, NOT_DONE, NOT_DONE, NOT_DONE)
CLASS = [ADA, BOB, EVE, NIX]


def rows(marks, absent=()):
    text = overview.to_csv(marks, absent)
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:])))


# -- stretch tasks ----------------------------------------------------------------------------------------


def test_a_stretch_task_is_counted_apart():
    assert (ADA.done, ADA.asked, ADA.stretch_done) == (3, 3, 1)
    assert (BOB.done, BOB.asked, BOB.stretch_done) == (1, 3, 0)
    assert json.loads(to_json([ADA]))[0] | {"done": 3, "asked": 3, "stretch_done": 1} == json.loads(to_json([ADA]))[0]


def test_the_table_names_a_stretch_task_that_is_right_or_wrong_alone():
    lines = table([ADA, BOB, EVE]).split("\n")

    assert lines[0].endswith("lesson 05   3 of 3, and 1 stretch task")
    assert lines[1].endswith("lesson 05   1 of 3")
    assert "    ✗ harder: it uses sum" in lines
    assert not [line for line in lines if "○ harder" in line]


# -- the spreadsheet --------------------------------------------------------------------------------------


def test_a_row_for_each_student_and_a_column_for_each_lesson():
    sixth = mark("ada", PASSED, lesson=6, file="06_positions.ipynb", names=("later",))

    assert rows([*CLASS, sixth]) == [
        ["student", "lesson 05", "lesson 06", "sum", "percent", "stretch tasks", "remarks"],
        ["(largest possible)", "3", "1", "4", "100", "1", ""],
        ["ada", "3", "1", "4", "100", "1", ""],
        ["bob", "1", "", "1", "25", "0", ""],
        ["eve", "1", "", "1", "25", "0", ""],
        ["nix", "0", "", "0", "0", "0", ""],
    ]


@pytest.mark.parametrize("name", ["=1+1", "+49", "-x", "@cmd", "  =1+1", "＝1", '=HYPERLINK("x";"y")'])
def test_a_name_is_never_a_formula(name):
    assert rows([mark(name, PASSED, PASSED, PASSED, PASSED)])[2][0] == f"'{name}"
    assert f"'{name}" in [row[0] for row in rows([ADA], [name])]


def test_ordinary_names_stay_as_they_are():
    assert rows([mark("josé, müller-lee; x=1", *[PASSED] * 4)])[2][0] == "josé, müller-lee; x=1"
    assert rows([mark("two\nlines", *[PASSED] * 4)])[2][0] == r"two\nlines"
    assert rows([mark("caf\udce9", *[PASSED] * 4)])[2][0] == r"caf\xe9"


def test_students_in_one_folder_are_told_apart_by_their_platforms_names():
    marks = [mark("", *[PASSED] * 4, file=f"{who}_12_assignsubmission_file_05_patches.ipynb") for who in ("Li", "Wu")]

    assert [row[0] for row in rows(marks)[2:]] == ["Li_12_assignsubmission_file", "Wu_12_assignsubmission_file"]


def test_of_several_notebooks_the_best_counts():
    worse = mark("ada", NOT_DONE, PASSED, PASSED, PASSED, file="05_patches (1).ipynb")

    for both in ([ADA, worse], [worse, ADA]):
        assert rows(both)[2] == ["ada", "3", "3", "100", "1", "lesson 05: the best of 2 notebooks counts"]


def test_what_could_not_be_marked_is_a_remark():
    unread = _unmarked(Mark("bob", 5, (), file="05_patches.ipynb"), "took longer than 4 s")
    other = Mark("eve", None, (), "is not a lesson: neither its name nor its cells name one", "notes.ipynb")
    kept = Mark("ada/.ipynb_checkpoints", 5, (), "is a copy that Jupyter keeps: not marked", "05_patches.ipynb")

    found = rows([ADA, unread, other, kept], ["zoe"])

    assert [row[0] for row in found[2:]] == ["ada", "bob", "eve", "zoe"]
    assert found[3][1:] == ["0", "0", "0", "0", "lesson 05: took longer than 4 s"]
    assert found[4][-1].startswith("notes.ipynb: is not a lesson")
    assert found[5][-1] == "no notebook"


# -- the class --------------------------------------------------------------------------------------------


def test_the_class_by_exercise():
    (lesson,) = overview.overview(CLASS, ["zoe"]).lessons
    results = {result.name: result for result in lesson.results}

    assert list(results) == [*NAMES, "harder"]
    assert (lesson.notebooks, lesson.mean, lesson.asked) == (4, 1.25, 3)
    assert lesson.untouched == ("nix",)
    assert lesson.missing == ("zoe",)
    assert (results["glue"].right, results["glue"].wrong, results["glue"].not_begun) == (1, 2, 1)
    assert results["glue"].mistake == "2 × row 3 is reversed"  # the two differ in a number alone
    assert results["embed"].mistake == ""


def test_the_most_failed_come_first_and_stretch_tasks_are_not_among_them():
    assert [result.name for result in overview.overview(CLASS).most_failed] == ["glue", "cut"]


def test_a_notebook_that_cannot_be_run_is_no_wrong_answer():
    unread = _unmarked(Mark("bob", 5, (), file="05_patches.ipynb"), "took longer than 4 s")
    (lesson,) = overview.overview([ADA, unread]).lessons

    assert [result.wrong for result in lesson.results] == [0, 0, 0, 0]
    assert lesson.missing == ("bob",)


def test_the_overview_in_the_terminal():
    assert overview.to_text(overview.overview(CLASS)).split("\n") == [
        "The class: 4 students",
        "lesson 05: 4 notebooks, 1.2 of 3 exercises right on average, 1 not begun",
        "Failed most:",
        "    glue (lesson 05): 2 of 4 wrong",
        "        2 × row 3 is reversed",
        "    cut (lesson 05): 1 of 4 wrong",
        "        1 × the axis is missing",
    ]


def test_the_overview_in_markdown():
    strange = mark("a|b", "x[0] | *y* <script>", *[PASSED] * 3)
    text = overview.to_markdown(overview.overview([*CLASS, strange], ["zoe"]))

    assert "| glue | 05 | 2 of 5 | 2 × row 3 is reversed |" in text
    assert "| glue | 2 | 2 | 1 | 2 × row 3 is reversed |" in text
    assert "| harder (stretch) | 2 | 1 | 2 | 1 × it uses sum |" in text
    assert r"1 × x\[0\] \| \*y\* \<script\>" in overview.to_markdown(overview.overview([strange]))
    assert "Not begun: nix. Missing: zoe." in text
    for line in text.split("\n"):
        if line.startswith("| "):
            assert len(re.split(r"(?<!\\)\|", line)) in (6, 7)


def test_the_overview_as_a_page_shows_bars_and_escapes_what_learners_wrote():
    strange = mark("<b>eve</b>", "<script>alert(1)</script>", *[NOT_DONE] * 3)
    page = overview.to_html(overview.overview([strange, ADA], ["<i>zoe"]))

    assert "<script>" not in page
    assert "<b>eve" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Missing: &lt;i&gt;zoe." in page
    assert 'aria-label="cut: 1 right, 1 wrong, 0 not begun; ' in page
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="22"', page)]
    assert sum(widths) == pytest.approx(4 * 520)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


# -- the command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "name"), [("--csv", "marks.ipynb"), ("--overview", "class.pdf")])
def test_another_ending_is_refused_before_the_notebooks_are_marked(tmp_path, capsys, option, name):
    put(tmp_path / "a", SOLVED)

    assert main(["lessons", "grade", str(tmp_path), option, str(tmp_path / name)]) == 2
    assert f"{option} must be a file that ends in ." in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@pytest.mark.slow
def test_a_class_as_a_spreadsheet_and_a_page(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()  # the exercises that there are
    put(tmp_path / "in" / "a", SOLVED)
    put(tmp_path / "in" / "b", EMPTY)
    sheet, page = tmp_path / "marks.csv", tmp_path / "class.html"

    assert main(["lessons", "grade", str(tmp_path / "in"), "--csv", str(sheet), "--overview", str(page)]) == 0

    found = list(csv.reader(io.StringIO(sheet.read_text(encoding="utf-8-sig"))))
    assert [row[:2] for row in found] == [
        ["student", "lesson 05"], ["(largest possible)", "5"], ["a", "5"], ["b", "0"],
    ]  # fmt: skip
    assert "patchify" in page.read_text(encoding="utf-8")
    said = capsys.readouterr().out
    assert "lesson 05: 2 notebooks, 2.5 of 5 exercises right on average, 1 not begun" in said
    assert said.endswith(f"written: {sheet}\nwritten: {page}\n")
