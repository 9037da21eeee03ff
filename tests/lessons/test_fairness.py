"""What Jupyter passes from the first cell to the last passes here: lost marks, magics, helpers, copies."""

from dataclasses import replace
from functools import partial

import pytest

from minivit_lessons import checking
from minivit_lessons.earlier import _built
from minivit_lessons.notebooks import SOLUTIONS, Cell, lesson_notebook, lessons_folder, read_notebook
from minivit_lessons.running import run_notebook

SOLVED = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 5))
UNSOLVED = read_notebook(lesson_notebook(lessons_folder(), 5))
EXERCISES = {
    "patches_at_384", "cut_patch", "patchify", "unpatchify", "embed_patches",
    "patch_means", "patchify_channels_first",  # the stretch tasks
}  # fmt: skip
BUILT = partial(_built, before=5, folder=lessons_folder() / SOLUTIONS, quiet=True)
WRONG = "def patchify(images, P):\n    return images.reshape(1, 2, 3)  # my first try\n"


def judged(cells):
    lesson = run_notebook(list(cells), 5, BUILT)
    return lesson, {name for name, verdict in lesson.verdicts.items() if verdict.passed}


def at(name, cells=SOLVED):
    """The position of an exercise's cell."""
    return next(i for i, cell in enumerate(cells) if cell.exercise == name)


def code(source, **marks):
    return Cell("code", source, **marks)


def before(name, *cells):
    i = at(name)
    return [*SOLVED[:i], *cells, *SOLVED[i:]]


def changed(name, change):
    """The notebook with the source of an exercise's cell changed, a string put in its place or a function of it."""
    i = at(name)
    source = change(SOLVED[i].source) if callable(change) else change
    return [*SOLVED[:i], replace(SOLVED[i], source=source), *SOLVED[i + 1 :]]


def without(*positions):
    return [cell for i, cell in enumerate(SOLVED) if i not in positions]


def unmarked(cell):
    return replace(cell, exercise="", is_kept=False)


def split(name, lines):
    i = at(name)
    text = SOLVED[i].source.splitlines(keepends=True)
    first, second = (replace(SOLVED[i], source="".join(part)) for part in (text[:lines], text[lines:]))
    return [*SOLVED[:i], first, second, *SOLVED[i + 1 :]]


def merged(name):
    """An exercise's cell and the one that checks it, as one."""
    i = at(name)
    return [*SOLVED[:i], replace(SOLVED[i], source=f"{SOLVED[i].source}\n{SOLVED[i + 1].source}"), *SOLVED[i + 2 :]]


RIGHT_BY_HELP = """def patchify(images, P):
    B, H, W, C = images.shape
    return join(images.reshape(B, H // P, P, W // P, P, C), P)
"""
HELPER = """def join(grid, P):
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(grid.shape[0], -1, P * P * grid.shape[-1])
"""
DATA = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int' = 1"

AS_JUPYTER = {
    "as it is": SOLVED,
    "no marks at all": [unmarked(cell) for cell in SOLVED],
    "no marks of cells that others need": [replace(c, is_kept=bool(c.exercise)) for c in SOLVED],
    "one cell typed anew": [unmarked(c) if c.exercise == "patchify" else c for c in SOLVED],
    "an old copy above": before("patchify", replace(SOLVED[at("patchify")], source=WRONG)),
    "an old copy below": [*SOLVED[: at("unpatchify")], code(WRONG), *SOLVED[at("unpatchify") :]],
    "a copied cell that tries it out": before("unpatchify", code("print(patchify)", exercise="patchify", is_kept=True)),
    "split in two": split("patchify", 3),
    "merged with its check": merged("patchify"),
    "merged with the first cell": [
        replace(SOLVED[2], source=f"{SOLVED[1].source}\n{SOLVED[2].source}") if i == 2 else cell
        for i, cell in enumerate(SOLVED) if i != 1
    ],
    "an exercise in a text cell": [replace(c, kind="markdown") if c.exercise == "patchify" else c for c in SOLVED],
    "without its checks": [c for c in SOLVED if "check(" not in c.source or c.exercise],
    "without the first cell": without(1),
    "without the imports": without(2),
    "%%time above": changed("cut_patch", lambda s: "%%time\n" + s),
    "%%capture above": changed("cut_patch", lambda s: "%%capture said --no-stderr\n" + s),
    "!pip and help": changed("cut_patch", lambda s: f"!pip install 'numpy\n{s}\ncut_patch?\n?cut_patch\ncut_patch??"),
    "a magic that is assigned": changed("cut_patch", lambda s: s + "\nx = %timeit -o 1 + 1\ny = x.average * 1000"),
    "%time defines": changed("patches_at_384", "%time patches_at_384 = (24 * 24, 16 * 16 * 3)"),
    "files of a command": changed("cut_patch", lambda s: "files = !ls *.py\nfor name in files: print(name)\n" + s),
    "an indented magic": changed("cut_patch", lambda s: s + "\nif True:\n    %matplotlib inline\n    !ls"),
    "% at the head of a line of an expression": changed("patches_at_384", "patches_at_384 = (576\n  % 1000, 768)\n!ls"),
    "! in a docstring": changed("cut_patch", lambda s: s.replace('"""The', '"""\n!not a command\n%nor a magic\nThe')),
    "display and get_ipython": changed("cut_patch", lambda s: f"{s}\ndisplay(3)\nget_ipython().system('ls')"),
    "a failing line below": changed("cut_patch", lambda s: s + "\n\nprint(cut_patch(undefined_name))\n"),
    "a failing cell before": before("cut_patch", code("import a_library_that_nobody_has\n1 / 0")),
    "a cell that is no Python": before("cut_patch", code("this is no python :-)", exercise="cut_patch")),
    "sys.exit in a cell": before("cut_patch", code("import sys\nsys.exit()")),
    "a helper in a cell of one's own": [*before("patchify", code(HELPER))[: at("patchify") + 1],
                                        replace(SOLVED[at("patchify")], source=RIGHT_BY_HELP),
                                        *SOLVED[at("patchify") + 1 :]],
    "a helper that another cell fills": [
        *before("patches_at_384", code("known = {}"), code("known.update(n=576)\nknown['length'] = 768"))
        [: at("patches_at_384") + 2],
        replace(SOLVED[at("patches_at_384")], source="patches_at_384 = (known['n'], known['length'])"),
        *SOLVED[at("patches_at_384") + 1 :],
    ],
    "names of a cell that only shows": changed("cut_patch", lambda s: s + "\nassert len(data.images) and P == 4"),
    "a helper by exec": [*before("patchify", code(f"exec({HELPER!r})"))[: at("patchify") + 1],
                         replace(SOLVED[at("patchify")], source=RIGHT_BY_HELP), *SOLVED[at("patchify") + 1 :]],
    "an import of one's own": changed("cut_patch", lambda s: "from math import *\nimport numpy.linalg as la\n" + s),
    "annotations from the future": before("cut_patch", code("from __future__ import annotations"),
                                          code("def unused(x: NotThere) -> AtAll: pass")),
    "await": before("cut_patch", code("import asyncio\nawait asyncio.sleep(0)\nvalue = 1")),
    "the last result": [*changed("patches_at_384", "(576, 768)\n")[: at("patches_at_384") + 1],
                        code("patches_at_384 = _"), *SOLVED[at("patches_at_384") + 1 :]],
    "only in the main program": changed("cut_patch", lambda s: "if __name__ == '__main__':\n" + "\n".join(
        "    " + line for line in s.split("\n"))),
    "a name called check": before("cut_patch", code("check = True\nbuilt = None")),
    "checked by the module": changed("cut_patch", lambda s: f"{s}\nimport minivit_lessons as m\n"
                                     "cut_patch = m.check('cut_patch', cut_patch)"),
    "a class with data": before("cut_patch", code(DATA, is_kept=True)),
}  # fmt: skip


@pytest.mark.parametrize("cells", AS_JUPYTER.values(), ids=AS_JUPYTER)
def test_all_seven_pass(cells):
    lesson, passed = judged(cells)

    assert passed == EXERCISES, lesson.verdicts
    assert lesson.names["PatchEmbedding"].forward.__globals__ is lesson.names


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("an exercise in a text cell", "patchify is in a text cell; it was read as code"),
        ("split in two", "continues the code cell before it; they were read as one"),
        ("without the imports", "no cell imports Module, Tensor, draw_images"),
        ("a failing line below", "fails with NameError: name 'undefined_name' is not defined"),
        ("sys.exit in a cell", ""),
    ],
)
def test_what_was_read_otherwise_is_said(case, told):
    lesson, _ = judged(AS_JUPYTER[case])

    assert any(told in note for note in lesson.notes) or not told


def test_nothing_is_said_of_a_notebook_as_it_should_be():
    assert judged(SOLVED)[0].notes == []
    assert judged(UNSOLVED)[0].notes == []


def test_one_exercise_deleted_is_missed_and_the_rest_passes():
    lesson, passed = judged(without(at("unpatchify")))

    assert passed == EXERCISES - {"unpatchify"}
    assert lesson.verdicts["unpatchify"].message == "unpatchify is not in the notebook"
    assert callable(lesson.names["unpatchify"])


def test_what_is_wrong_stays_wrong():
    lesson, passed = judged(changed("patchify", WRONG))

    assert passed == EXERCISES - {"patchify"}
    assert "cannot reshape array" in lesson.verdicts["patchify"].message
    assert "first try" not in (lesson.names["patchify"].__doc__ or "")


def test_what_nobody_wrote_is_not_done():
    lesson, passed = judged(UNSOLVED)

    assert passed == set()
    assert {verdict.status for verdict in lesson.verdicts.values()} == {checking.NOT_DONE}


def test_a_class_that_is_lost_is_minivits_among_the_learners_functions():
    cells = [cell for cell in SOLVED if "class PatchEmbedding" not in cell.source]

    lesson, passed = judged(cells)

    assert passed == EXERCISES
    assert lesson.replaced == {"PatchEmbedding": "PatchEmbedding is not in the notebook"}
    assert lesson.names["PatchEmbedding"].forward.__globals__ is lesson.names


def test_a_helper_that_has_another_meaning_later_counts_as_it_was_when_it_was_checked():
    cells = [*AS_JUPYTER["a helper in a cell of one's own"], code("def join(*_):\n    return 0")]

    assert "patchify" in judged(cells)[1]


def test_cells_that_only_show_something_do_not_run():
    lesson, _ = judged(SOLVED)

    assert "data" not in lesson.names
    assert "embedding" not in lesson.names


def test_a_notebook_that_runs_for_its_definitions_prints_nothing_and_leaves_the_learners_own_state(capsys):
    checking.verdicts.clear()

    judged(merged("patchify"))

    assert capsys.readouterr() == ("", "")
    assert checking.verdicts == {}
