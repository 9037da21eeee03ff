"""Solutions at hand, numbers beside another library's, and puzzles with few means."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minivit.errors import ConfigError
from minivit_lessons import agree, checking, library, show_solution
from minivit_lessons.build import build_lesson, read_statements
from minivit_lessons.notebooks import cells_of
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.puzzles import show_attempt, uses_only
from minivit_lessons.trial import Attempt, Complaint

STATEMENT = """\
# double
*Difficulty 2 of 5, 10 minutes, core.*

Double x.

## Hint
Add.

## Solution
Twice is a sum.
"""
SOURCE = """\
# %% [markdown]
# # 04 · Twice

# %% exercise="double"
def double(x):
    # --- solution
    return x + x
    # --- end
"""


@pytest.fixture
def build(tmp_path):
    (tmp_path / "04_twice.py").write_text(SOURCE, encoding="utf-8")

    def built(statement=STATEMENT, solved=True):
        (tmp_path / "04_twice.md").write_text(statement, encoding="utf-8")
        return build_lesson(tmp_path / "04_twice.py", tmp_path / "04_twice.md", solved=solved)

    return built


def test_an_exercise_says_its_effort(build):
    texts = ["".join(cell["source"]) for cell in build(solved=False)["cells"]]

    assert any("Difficulty ●●○○○ · about 10 minutes · core" in text for text in texts)
    assert not any("Twice is a sum" in text for text in texts)


def test_the_explanation_follows_the_check_and_is_folded(build):
    cells = build()["cells"]

    assert cells[-2]["source"] == 'double = check("double", double)'
    assert cells[-1]["metadata"] == {"explains": "double"}
    assert cells[-1]["source"].startswith("<details><summary>")
    assert "Twice is a sum." in cells[-1]["source"]


def test_a_stretch_task_has_no_hints(tmp_path):
    path = tmp_path / "04_twice.md"
    path.write_text(STATEMENT.replace("core", "stretch"), encoding="utf-8")
    with pytest.raises(Exception, match="a stretch task has no hints"):
        read_statements(path)
    path.write_text(STATEMENT.replace("core", "stretch").replace("## Hint\nAdd.\n\n", ""), encoding="utf-8")
    assert read_statements(path)["double"].hints == ()


def test_a_solution_is_shown_with_its_explanation_and_code(build, monkeypatch, capsys):
    import json

    from minivit_lessons import checking

    cells = cells_of(json.dumps(build()).encode(), "04")
    checking.solution.cache_clear()
    monkeypatch.setattr(checking, "_solved_cells", lambda lesson: cells)
    monkeypatch.setattr(checking.exercises, "find", lambda name: SimpleNamespace(lesson=4))

    show_solution("double")

    said = capsys.readouterr().out
    assert said.startswith("Twice is a sum.")
    assert "return x + x" in said
    assert "details" not in said
    checking.solution.cache_clear()


def test_there_must_be_such_an_exercise():
    with pytest.raises(ConfigError, match="there is no exercise"):
        show_solution("gelo")


def test_agreement_says_the_difference(capsys):
    agree("x", np.ones(3), np.ones(3) + 1e-9)
    agree("y", np.ones(3), np.ones(3))

    assert capsys.readouterr().out == "x: the same numbers, but for rounding (1e-09)\ny: the same numbers\n"
    with pytest.raises(AssertionError, match=r"differ by 0\.1"):
        agree("x", np.ones(3), np.ones(3) + 0.1)
    with pytest.raises(AssertionError, match="shapes"):
        agree("x", np.ones(3), np.ones(1))
    with pytest.raises(AssertionError):
        agree("x", np.array([np.nan]), np.ones(1))


def test_a_missing_library_is_said_in_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)

    assert library("torch") is None
    assert capsys.readouterr().out.startswith("PyTorch is not installed here")


def only_products(x):
    """Says what it does."""
    return x @ x.reshape(2, 2).T


def a_sum(x):
    return x.sum()


def indexed(x):
    return x[0] @ x


def two_lines(x):
    print(x)
    return x @ x


def looped(x):
    return [2 * y for y in x]


@pytest.mark.parametrize(
    ("function", "told"),
    [(a_sum, "uses sum"), (indexed, r"uses \[\]"), (two_lines, "single line"), (looped, "uses `ListComp`")],
)
def test_a_puzzle_names_what_it_does_not_allow(function, told):
    with pytest.raises(Complaint, match=told):
        uses_only(Attempt("trick", function), "@", "reshape", "transpose")


def test_a_puzzle_takes_what_it_allows():
    uses_only(Attempt("trick", only_products), "@", "reshape", "transpose")
    uses_only(Attempt("trick", indexed), "@", "[]")
    uses_only(Attempt("trick", len), "@")  # its source is not Python


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (lambda x: x.T, "0 numbers differ"),
        (lambda x: x, "of shape (2, 3), not (3, 2)"),
        (lambda x: x.reshape(3, 2), "4 numbers differ"),
        (lambda x: x @ x, "nothing to draw: flip(array of shape (2, 3)) raises ValueError"),
        (lambda x: "no array", "nothing to draw: flip returns an array of shape ()"),
        (None, "flip is not done yet"),
    ],
)
def test_a_puzzle_draws_what_the_learners_code_does(monkeypatch, capsys, attempt, said):
    monkeypatch.setitem(checking.attempts, "flip", attempt)
    x = np.arange(6).reshape(2, 3)

    show_attempt("flip", Cells("x", x), x, right=x.T)

    assert said in capsys.readouterr().out


def test_the_drawn_attempt_is_the_learners_also_if_it_is_wrong(monkeypatch):
    monkeypatch.setattr(checking, "attempts", {})

    def softmax(x, axis=-1):
        return x

    given = checking.check("softmax", softmax)
    checking.check("softmax", given)

    assert given is not softmax
    assert checking.attempts["softmax"] is softmax
