"""Marking: each notebook by itself, whatever the others do."""

import json
import shutil
import sys

import pytest

from minivit.cli import main
from minivit.lessons.grading import grade, notebooks_in, table
from minivit.lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder
from minivit.lessons.opening import copy_lessons

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


def test_a_solved_and_an_empty_notebook(tmp_path):
    solved, empty = put(tmp_path / "a", SOLVED), put(tmp_path / "b", EMPTY)

    first, second = grade(solved, tmp_path), grade(empty, tmp_path)

    assert (first.student, first.lesson, first.done, len(first.verdicts)) == ("a", 5, 5, 5)
    assert (second.student, second.done) == ("b", 0)
    assert {verdict.status for verdict in second.verdicts} == {"not done"}


def test_a_class_in_one_go(tmp_path, capsys):
    put(tmp_path / "a", SOLVED)
    put(tmp_path / "b", EMPTY)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "05_patches.ipynb").write_text("broken", encoding="utf-8")
    out = tmp_path / "marks.json"

    assert main(["lessons", "grade", str(tmp_path), "--json", str(out)]) == 0

    marks = json.loads(out.read_text(encoding="utf-8"))
    assert [(mark["student"], mark["done"]) for mark in marks] == [("a", 5), ("b", 0), ("c", 0)]
    assert "is no notebook" in marks[2]["problem"]
    printed = capsys.readouterr().out
    assert "lesson 05   5 of 5" in printed
    assert "○ cut_patch is not done yet" in printed


def test_a_notebook_without_end_is_stopped(tmp_path):
    path = put(tmp_path, SOLVED, with_cell("import time\ntime.sleep(1000)"))

    mark = grade(path, tmp_path, seconds=4)

    assert mark.done == 0
    assert "took longer than 4 s" in mark.problem


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_a_notebook_that_wants_all_memory_is_stopped(tmp_path):
    path = put(tmp_path, SOLVED, with_cell("import numpy as np\nx = np.ones(8 * 2**30, np.uint8)"))

    mark = grade(path, tmp_path, megabytes=4096)

    assert "MemoryError" in mark.notes[0]
    assert mark.done == 5  # its exercises are right, and are marked among the lesson's own definitions


def test_a_notebook_that_ends_its_process(tmp_path):
    path = put(tmp_path, SOLVED, with_cell("import os\nos._exit(3)"))

    mark = grade(path, tmp_path)

    assert mark.done == 0
    assert "ended its process before it was marked (status 3)" in mark.problem


def test_what_a_notebook_says_of_itself_does_not_count(tmp_path):
    def cheat(cells):
        for cell in cells:
            if cell["metadata"].get("exercise") == "patchify":
                cell["source"] = "check = print\ndef patchify(images, P):\n    return images\n"

    mark = grade(put(tmp_path, SOLVED, cheat), tmp_path)

    assert [verdict.name for verdict in mark.verdicts if not verdict.passed] == ["patchify"]


def test_an_exercise_that_was_deleted_is_missed(tmp_path):
    def delete(cells):
        cells[:] = [cell for cell in cells if cell["metadata"].get("exercise") != "unpatchify"]

    mark = grade(put(tmp_path, SOLVED, delete), tmp_path)

    assert [verdict.message for verdict in mark.verdicts if not verdict.passed] == ["unpatchify is not in the notebook"]


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
