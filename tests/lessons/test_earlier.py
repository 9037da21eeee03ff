"""Later lessons use what earlier ones built: the learner's own where it is right, minivit's where not."""

import json
import re
import shutil

import numpy as np
import pytest

from minivit_lessons import trial
from minivit_lessons.checking import NOT_DONE, WRONG
from minivit_lessons.earlier import _built, lesson_of, load_lesson
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook
from minivit_lessons.running import names_kept
from minivit_lessons.session import cell_that_defines

from .running import struck_in_a_callback

LESSONS = lessons_folder()
SOLVED = lesson_notebook(LESSONS / SOLUTIONS, 5)
EMPTY = lesson_notebook(LESSONS, 5)


@pytest.fixture
def mine(tmp_path):
    """A learner's folder with lesson 05 solved."""
    shutil.copyfile(SOLVED, tmp_path / SOLVED.name)
    return tmp_path


def edit(folder, change):
    """Change each code cell of the learner's lesson 05."""
    path = folder / SOLVED.name
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = change("".join(cell["source"]), cell["metadata"])
    path.write_text(json.dumps(notebook), encoding="utf-8")


def replace_exercise(name, source):
    return lambda old, metadata: source if metadata.get("exercise") == name else old


def ask(folder, *names):
    return _built(*names, before=6, folder=folder)


def test_what_passes_is_the_learners(mine, capsys):
    edit(mine, replace_exercise("cut_patch", "def cut_patch(image, P, row, column):\n"
         "    '''Mine.'''\n    return image[row*P:row*P+P, column*P:column*P+P].flatten()\n"))  # fmt: skip

    cut_patch = ask(mine, "cut_patch")

    assert cut_patch.__doc__ == "Mine."
    assert "cut_patch: yours, from lesson 05" in capsys.readouterr().out


def test_what_does_not_pass_is_minivits_and_the_rest_the_learners(mine, capsys):
    edit(mine, replace_exercise("patchify", "def patchify(images, P):\n    raise NotImplementedError\n"))

    patchify, _ = ask(mine, "patchify", "unpatchify")

    assert patchify.__doc__.startswith("Images as sequences of patches")
    out = capsys.readouterr().out
    assert "patchify: minivit's (lesson 05: patchify not done yet)" in out
    assert "unpatchify: yours, from lesson 05" in out


def test_an_empty_notebook_is_all_minivits(tmp_path, capsys):
    shutil.copyfile(EMPTY, tmp_path / EMPTY.name)

    embedding = ask(tmp_path, "PatchEmbedding")(4, 3, 8, np.random.default_rng(0))

    assert embedding.weight.shape == (48, 8)
    assert "PatchEmbedding: minivit's" in capsys.readouterr().out


def test_layers_extend_the_module_that_later_lessons_get(tmp_path):
    shutil.copyfile(lesson_notebook(LESSONS, 4), tmp_path / lesson_notebook(LESSONS, 4).name)

    Module, Linear = _built("Module", "Linear", before=9, folder=tmp_path)

    assert issubclass(Linear, Module)


def test_without_the_notebook_it_is_minivits(tmp_path, capsys):
    ask(tmp_path, "patchify")

    assert f"patchify: minivit's (lesson 05 is not in {tmp_path})" in capsys.readouterr().out


def test_a_class_uses_the_learners_function(mine):
    edit(mine, replace_exercise("embed_patches", "calls = []\n\ndef embed_patches(images, E, bias, P):\n"
         "    calls.append(P)\n    return patchify(images, P) @ E + bias\n"))  # fmt: skip

    names = load_lesson(5, mine).names
    embedding = names["PatchEmbedding"](2, 1, 3, np.random.default_rng(0))
    before = len(names["calls"])
    embedding(names["Tensor"](np.zeros((1, 4, 4, 1), np.float32)))

    assert names["calls"][before:] == [2]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def patchify(images, P)\n    return images", "SyntaxError"),
        ("patchify = 1 / 0", "ZeroDivisionError"),
        ("x = 1", "does not define patchify"),
    ],
)
def test_an_exercise_cell_that_fails_is_reported_and_replaced(mine, source, told):
    edit(mine, replace_exercise("patchify", source))

    lesson = load_lesson(5, mine)

    assert lesson.verdicts["patchify"].status == WRONG
    assert told in lesson.verdicts["patchify"].message
    assert lesson.verdicts["unpatchify"].passed
    assert callable(lesson.names["patchify"])


def test_another_cell_that_fails_is_minivits_and_the_rest_the_learners(mine, capsys):
    edit(mine, lambda old, metadata: "1 / 0\n" + old if "class PatchEmbedding" in old else old)

    patchify, embedding = ask(mine, "patchify", "PatchEmbedding")

    out = capsys.readouterr().out
    assert "patchify: yours, from lesson 05" in out
    assert re.search(r"PatchEmbedding: minivit's \(lesson 05: cell \d+ fails with ZeroDivisionError: division", out)
    assert embedding.forward.__globals__["patchify"] is patchify  # the class stands among the learner's functions


@pytest.mark.slow
@struck_in_a_callback
def test_a_cell_without_end_is_minivits_and_the_rest_the_learners(mine, capsys, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 1.0)
    edit(mine, lambda old, metadata: "while True: pass\n" + old if "class PatchEmbedding" in old else old)

    ask(mine, "patchify", "PatchEmbedding")

    out = capsys.readouterr().out
    assert "patchify: yours, from lesson 05" in out
    assert "it takes too long" in out


def test_a_file_that_is_no_notebook(mine, capsys):
    (mine / SOLVED.name).write_text("{", encoding="utf-8")

    ask(mine, "patchify")

    assert "is not a notebook" in capsys.readouterr().out


def test_lines_for_the_notebook_alone_are_left_out(mine, capsys):
    edit(mine, lambda old, metadata: "%matplotlib inline\n!ls\n" + old)

    ask(mine, "patchify")

    assert "patchify: yours" in capsys.readouterr().out


def test_a_notebook_that_lost_its_marks_is_understood(mine, capsys):
    path = mine / SOLVED.name
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    path.write_text(json.dumps(notebook), encoding="utf-8")

    lesson = load_lesson(5, mine)

    assert set(lesson.verdicts) == {cell.exercise for cell in read_notebook(SOLVED) if cell.exercise}
    assert all(verdict.passed for verdict in lesson.verdicts.values())


def test_questions_do_not_take_the_rest_away(mine, capsys):
    edit(mine, replace_exercise("patches_at_384", "patches_at_384 = ..."))

    assert load_lesson(5, mine).verdicts["patches_at_384"].status == NOT_DONE
    ask(mine, "PatchEmbedding")
    assert "PatchEmbedding: yours" in capsys.readouterr().out


def test_names_belong_to_the_last_lesson_that_defines_them():
    assert lesson_of("patchify", 6) == 5
    assert "np" not in names_kept(5)
    assert "linear" not in names_kept(5)  # it has it from an earlier lesson


def test_no_lesson_sees_a_later_one():
    with pytest.raises(FileNotFoundError, match="no lesson before 05 builds 'patchify'"):
        _built("patchify", before=5, folder=LESSONS)


def test_the_cell_that_defines_a_name_is_found():
    where = cell_that_defines("patchify", 5, LESSONS)
    assert where is not None
    assert 'under "Exercise 5.3: `patchify`"' in where
    assert cell_that_defines("nothing_like_it", 5, LESSONS) is None
