"""Marking: each notebook by itself, whatever the others do."""

import json
import shutil
import sys

import pytest

from minivit.cli import main
from minivit_lessons.grading import Mark, grade, grade_all, notebooks_in, table, to_json
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder
from minivit_lessons.opening import copy_lessons
from minivit_lessons.running import names_asked

SOLVED = lesson_notebook(lessons_folder() / SOLUTIONS, 5)
EMPTY = lesson_notebook(lessons_folder(), 5)


def put(folder, source, change=lambda cells: None):
    """A student's notebook, changed."""
    folder.mkdir(parents=True, exist_ok=True)
    notebook = json.loads(source.read_text(encoding="utf-8"))
    change(notebook["cells"])
    path = folder / source.name
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def with_cell(source):
    """A change that puts one more cell in front, one that later lessons would need."""
    cell = {"cell_type": "code", "metadata": {"tags": ["keep"]}, "source": source, "outputs": []}
    return lambda cells: cells.insert(0, cell)


@pytest.mark.slow
def test_a_solved_and_an_empty_notebook(tmp_path):
    solved, empty = put(tmp_path / "a", SOLVED), put(tmp_path / "b", EMPTY)

    first, second = grade(solved, tmp_path), grade(empty, tmp_path)

    assert (first.student, first.lesson, first.done, first.asked) == ("a", 5, 5, 5)
    assert all(verdict.passed for verdict in first.verdicts)  # the stretch tasks too
    assert (second.student, second.done) == ("b", 0)
    assert {verdict.status for verdict in second.verdicts} == {"not done"}


@pytest.mark.slow
def test_a_class_in_one_go(tmp_path, capsys):
    put(tmp_path / "a", SOLVED)
    put(tmp_path / "b", EMPTY)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "05_patches.ipynb").write_text("broken", encoding="utf-8")
    out = tmp_path / "marks.json"

    assert main(["lessons", "grade", str(tmp_path), "--out", str(out)]) == 0

    marks = json.loads(out.read_text(encoding="utf-8"))
    assert [(mark["student"], mark["done"]) for mark in marks] == [("a", 5), ("b", 0), ("c", 0)]
    assert "is not a notebook" in marks[2]["problem"]
    printed = capsys.readouterr().out
    assert "lesson 05   5 of 5" in printed
    assert "○ cut_patch is not done yet" in printed


@pytest.mark.slow
def test_a_notebook_without_end_is_stopped(tmp_path):
    path = put(tmp_path, SOLVED, with_cell("import time\ntime.sleep(1000)"))

    mark = grade(path, tmp_path, seconds=4)

    assert mark.done == 0
    assert "took longer than 4 s" in mark.problem


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_a_notebook_that_wants_all_memory_is_stopped(tmp_path):
    path = put(tmp_path, SOLVED, with_cell("import numpy as np\nx = np.ones(8 * 2**30, np.uint8)"))

    mark = grade(path, tmp_path, megabytes=4096)

    assert "MemoryError" in mark.notes[0]
    assert mark.done == 5  # its exercises are right, and are marked among the lesson's own definitions


@pytest.mark.slow
def test_a_notebook_that_ends_its_process(tmp_path):
    path = put(tmp_path, SOLVED, with_cell("import os\nos._exit(3)"))

    mark = grade(path, tmp_path)

    assert mark.done == 0
    assert "ended its process before it was marked (status 3)" in mark.problem


@pytest.mark.slow
def test_what_a_notebook_says_of_itself_does_not_count(tmp_path):
    def cheat(cells):
        for cell in cells:
            if cell["metadata"].get("exercise") == "patchify":
                cell["source"] = "check = print\ndef patchify(images, P):\n    return images\n"

    mark = grade(put(tmp_path, SOLVED, cheat), tmp_path)

    assert [verdict.name for verdict in mark.verdicts if not verdict.passed] == ["patchify"]


BEFORE_THE_MOVE = {"minivit_lessons": "minivit.lessons", "minivit.backend.workers": "minivit.engine.workers"}


@pytest.mark.slow
@pytest.mark.parametrize("lesson", [1, 16])  # the shortest, and the one that imports most
def test_a_notebook_begun_before_the_course_was_a_package_is_marked_and_not_overwritten(tmp_path, lesson):
    source = lesson_notebook(lessons_folder() / SOLUTIONS, lesson)
    text = source.read_text(encoding="utf-8")
    for new, old in BEFORE_THE_MOVE.items():
        text = text.replace(new, old)
    own = tmp_path / source.name
    own.write_text(text, encoding="utf-8")

    assert "from minivit.lessons import built" in text
    assert own not in copy_lessons(tmp_path)
    assert own.read_text(encoding="utf-8") == text
    mark = grade(own, tmp_path)
    assert mark.done == mark.asked
    assert len(mark.verdicts) == len(names_asked(lesson))
    assert mark.notes == ()  # no cell failed


@pytest.mark.slow
def test_an_exercise_that_was_deleted_is_missed(tmp_path):
    def delete(cells):
        cells[:] = [cell for cell in cells if cell["metadata"].get("exercise") != "unpatchify"]

    mark = grade(put(tmp_path, SOLVED, delete), tmp_path)

    assert [verdict.message for verdict in mark.verdicts if not verdict.passed] == ["unpatchify is not in the notebook"]


@pytest.mark.slow
def test_the_table_names_what_is_wrong(tmp_path):
    mark = grade(put(tmp_path / "a" / "b", EMPTY), tmp_path)

    assert table([mark]).splitlines()[0].split() == ["a/b", "lesson", "05", "0", "of", "5"]


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_a_folder_without_lessons_is_an_error(tmp_path, make, capsys):
    folder = tmp_path / "none"
    make(folder)

    assert main(["lessons", "grade", str(folder)]) == 2
    assert str(folder) in capsys.readouterr().err


def test_the_copies_that_jupyter_keeps_are_listed_and_not_marked(tmp_path):
    kept = put(tmp_path / ".ipynb_checkpoints", SOLVED)
    path = put(tmp_path, SOLVED)

    mark = grade(kept, tmp_path)

    assert notebooks_in(tmp_path) == [kept, path]
    assert mark.verdicts == ()
    assert "a copy that Jupyter keeps" in table([mark])


def test_a_copy_of_the_lessons_never_overwrites(tmp_path):
    first = copy_lessons(tmp_path / "mine")
    assert lesson_notebook(tmp_path / "mine", 5) in first
    own = tmp_path / "mine" / SOLVED.name
    shutil.copyfile(SOLVED, own)

    assert copy_lessons(tmp_path / "mine") == []
    assert own.read_bytes() == SOLVED.read_bytes()


NAMES = {
    "Smith_John_123_assignsubmission_file_05_patches.ipynb": "lesson 05   5 of 5",
    "Copy of 05_patches.IPYNB": "lesson 05   5 of 5",
    "patches.ipynb": "lesson 05   5 of 5",
    "06_positions.ipynb": "lesson 05   5 of 5",  # what it holds counts, and its name is spoken of
}


@pytest.mark.slow
def test_every_file_has_a_row_whatever_its_name(tmp_path):
    for name in NAMES:
        shutil.copyfile(SOLVED, tmp_path / name)
    (tmp_path / "notes.ipynb").write_text('{"cells": []}', encoding="utf-8")
    (tmp_path / "05_half.ipynb").write_bytes(SOLVED.read_bytes()[:5000])
    (tmp_path / "05_folder.ipynb").mkdir()
    (tmp_path / "solutions").mkdir()
    shutil.copyfile(SOLVED, tmp_path / "solutions" / SOLVED.name)
    paths = notebooks_in(tmp_path)

    rows = table(grade_all(paths, tmp_path)).split("\n")

    for name, told in NAMES.items():
        assert [row for row in rows if row.startswith(name.removeprefix("./")) and told in row], (name, rows)
    assert "    · its name says lesson 06; it was marked as lesson 05, as its cells say" in rows
    assert rows[rows.index("notes.ipynb              no lesson") + 1].startswith(
        "    ! is not a lesson: neither its name"
    )
    assert any(row.startswith("    ! is not a notebook: the JSON breaks off") for row in rows)
    assert any("is a folder, a device or a broken link" in row for row in rows)
    assert any("is the lesson's own solution, unchanged: not marked" in row for row in rows)
    assert len([row for row in rows if not row.startswith(" ")]) == len(paths) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["05_patches.ipynb.txt", "Smith_05_patches.ipynb.json"])
def test_a_notebook_that_a_browser_gave_another_ending_is_marked(tmp_path, name):
    (tmp_path / "a").mkdir()
    shutil.copyfile(SOLVED, tmp_path / "a" / name)
    (path,) = notebooks_in(tmp_path)
    mark = grade(path, tmp_path)
    assert (mark.lesson, mark.done, mark.file) == (5, 5, name)


@pytest.mark.slow
def test_students_who_handed_in_no_notebook_are_named(tmp_path, capsys):
    put(tmp_path / "alan", EMPTY)
    for student, name in (("ada", "05_patches.py"), ("grace", "work.zip"), (".git", "config"), ("none", ".DS_Store")):
        (tmp_path / student).mkdir()
        (tmp_path / student / name).write_bytes(b"PK")
    assert main(["lessons", "grade", str(tmp_path)]) == 0
    assert "note: not marked, since they hold no notebook (.ipynb): ada, grace\n" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--seconds", "0"), ("--seconds", "1e308"), ("--megabytes", "-1")])
def test_limits_that_are_none_are_refused(tmp_path, capsys, option, value):
    put(tmp_path, EMPTY)

    assert main(["lessons", "grade", str(tmp_path), option, value]) == 2
    assert "error: a notebook" in capsys.readouterr().err


def test_a_name_that_is_not_utf_8_stands_in_the_marks():
    mark = Mark("caf\udce9", 5, (), "a problem", "05_patches.ipynb")

    assert json.loads(to_json([mark]))[0]["student"] == "caf\udce9"
    to_json([mark]).encode("utf-8")
    assert "caf" in table([mark])


@pytest.mark.slow
def test_the_files_beside_a_notebook_are_there(tmp_path):
    (tmp_path / "my_helpers.py").write_text("NUMBERS = (576, 768)\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.txt").write_text("1", encoding="utf-8")

    def use(cells):
        for cell in cells:
            if cell["metadata"].get("exercise") == "patches_at_384":
                cell["source"] = "from my_helpers import NUMBERS\nopen('data/x.txt').read()\npatches_at_384 = NUMBERS"

    assert grade(put(tmp_path, SOLVED, use), tmp_path).done == 5
