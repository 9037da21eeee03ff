"""The notebooks: what their sources give, whole, within bounds, and without a solution in the learner's."""

import importlib.util
import json
import re

import pytest

from minivit.errors import DataError, MissingExtraError
from minivit_lessons.build import (  # fmt: skip
    BEGIN,
    END,
    build_lesson,
    learners_source,
    read_statements,
    solved_source,
    sources,
    statements_of,
    to_json,
    write_lesson,
)
from minivit_lessons.cells import defined_names
from minivit_lessons.exercises import all_exercises
from minivit_lessons.notebooks import SOLUTIONS, lesson_number, lessons_folder, read_notebook

LESSONS = lessons_folder()
SOURCES = sources(LESSONS)
HEADINGS = [
    "The question", "The picture", "One number at a time", "All at once", "Your turn", "In the paper",
    "Break it and see", "Summary", "What comes next",
]  # fmt: skip
FURTHER = ["The same in PyTorch", "What came before and after"]  # in this order, late in a lesson
CELLS = (25, 60)
WORDS = (900, 4000)

every_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def learners(source):
    return LESSONS / f"{source.stem}.ipynb"


def solved(source):
    return LESSONS / SOLUTIONS / f"{source.stem}.ipynb"


def words(cells):
    return sum(len(re.findall(r"\w[\w'’-]*", cell.source)) for cell in cells if cell.kind == "markdown")


@every_lesson
def test_the_learners_notebook_is_what_its_source_gives(source):
    built = to_json(build_lesson(source, statements_of(source), solved=False))

    assert learners(source).read_text(encoding="utf-8") == built, "run `minivit lessons build`"


@every_lesson
def test_the_solutions_are_what_their_source_gives_and_were_executed(source):
    built = build_lesson(source, statements_of(source), solved=True)["cells"]
    cells = json.loads(solved(source).read_text(encoding="utf-8"))["cells"]

    assert [("".join(cell["source"]), cell["metadata"], cell["id"]) for cell in cells] == [
        (cell["source"], cell["metadata"], cell["id"]) for cell in built
    ], "run `minivit lessons build`"
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]


@every_lesson
def test_every_check_of_the_solutions_passes(source):
    for cell in read_notebook(solved(source)):
        if cell.kind == "code" and re.match(r"\w+ = check\(", cell.source):
            said = "".join("".join(output.get("text", "")) for output in cell.outputs)
            assert "✓" in said, said


@every_lesson
def test_a_learners_notebook_holds_no_output_and_no_solution(source):
    cells = read_notebook(learners(source))
    code = "\n".join(cell.source for cell in cells if cell.kind == "code")

    assert not [cell for cell in cells if cell.outputs]
    assert BEGIN not in code
    assert END not in code
    for cell in read_notebook(solved(source)):
        if cell.exercise:
            mine = next(other.source for other in cells if other.exercise == cell.exercise)
            given = set(mine.split("\n"))
            solution = [line.strip() for line in cell.source.split("\n") if line not in given]
            assert solution, f"{cell.exercise} is solved already"
            assert "\n".join(solution) not in "\n".join(line.strip() for line in code.split("\n"))


@every_lesson
def test_a_lesson_has_the_one_shape(source):
    titles = [
        match for cell in read_notebook(learners(source)) if cell.kind == "markdown"
        for match in re.findall(r"^## (.+)$", cell.source, flags=re.MULTILINE)
    ]  # fmt: skip

    assert [title for title in titles if title not in FURTHER] == HEADINGS
    further = [title for title in titles if title in FURTHER]
    assert further == [title for title in FURTHER if title in titles]
    assert all(titles.index("Your turn") < titles.index(title) for title in further)


@every_lesson
def test_a_lesson_keeps_within_its_bounds(source):
    cells = read_notebook(learners(source))

    assert CELLS[0] <= len(cells) <= CELLS[1]
    assert WORDS[0] <= words(cells) <= WORDS[1]
    assert len([cell for cell in cells if cell.exercise]) >= 3


@every_lesson
def test_its_pictures_have_words(source):
    pictures = [
        html for cell in read_notebook(solved(source)) for output in cell.outputs
        for html in ["".join(output.get("data", {}).get("text/html", ""))] if "<img" in html
    ]  # fmt: skip

    assert len(pictures) >= 2
    for html in pictures:
        assert len(re.search(r'alt="([^"]*)"', html).group(1)) > 20
    assert not [cell for cell in read_notebook(solved(source)) for output in cell.outputs if "image/png" in str(output)
                and "text/html" not in output.get("data", {})]  # fmt: skip


@every_lesson
def test_every_exercise_has_a_check_and_belongs_to_its_lesson(source):
    known = all_exercises()

    for cell in read_notebook(learners(source)):
        if cell.exercise:
            assert known[cell.exercise].lesson == lesson_number(source)
            # The one name, so that minivit's own answer can stand in for it.
            assert defined_names(cell.source, own=True) == {cell.exercise}


def test_every_check_has_an_exercise():
    written = {cell.exercise for source in SOURCES for cell in read_notebook(learners(source)) if cell.exercise}

    assert written == set(all_exercises())


@every_lesson
def test_links_lead_somewhere(source):
    for notebook in (learners(source), solved(source)):
        for cell in read_notebook(notebook):
            if cell.kind == "markdown":
                for target in re.findall(r"\]\(([^)#]+)[^)]*\)", re.sub(r"`[^`]*`", "", cell.source)):
                    assert target.startswith("https://") or (notebook.parent / target).exists(), target


@every_lesson
def test_an_exercise_needs_nothing_from_a_later_lesson(source):
    number = lesson_number(source)
    mentioned = [
        int(found) for cell in read_notebook(learners(source)) if cell.kind == "code"
        for found in re.findall(r"lesson_(\d\d)\b", cell.source)
    ]  # fmt: skip

    assert all(found < number for found in mentioned)


# -- the builder itself ---------------------------------------------------------------------------------


EXERCISE = """\
def twice(x):
    # given
    # --- solution
    return 2 * x
    # --- end
"""


def test_a_solution_is_cut_out():
    given = "def twice(x):\n    # given\n    raise NotImplementedError  # your code here\n"
    assert learners_source(EXERCISE) == given
    assert solved_source(EXERCISE) == "def twice(x):\n    # given\n    return 2 * x\n"


def test_a_stub_of_ones_own():
    source = "# --- solution -> x = ...  # a number\nx = 3\n# --- end"
    assert learners_source(source) == "x = ...  # a number"


def make(tmp_path, statements="# twice\nDouble it.\n## Hint\nTwo.\n"):
    folder = tmp_path / "lessons"
    (folder / "source").mkdir(parents=True)
    (folder / "statements" / "en").mkdir(parents=True)
    (folder / "source" / "03_x.py").write_text(
        '# %% [markdown]\n# # 03 · X\n\n# %% exercise="twice"\n'
        + EXERCISE
        + "\n# %% [markdown]\n# ## What comes next\n",
        encoding="utf-8",
    )
    (folder / "statements" / "en" / "03_x.md").write_text(statements, encoding="utf-8")
    return folder / "source" / "03_x.py"


def test_a_lesson_is_put_together(tmp_path):
    source = make(tmp_path)
    cells = build_lesson(source, statements_of(source), solved=False)["cells"]

    assert [cell["source"].partition("\n")[0] for cell in cells] == [
        "# 03 · X", "try:", "### Exercise 3.1: `twice`", "def twice(x):", 'twice = check("twice", twice)', "summary()",
        "## What comes next",
    ]  # fmt: skip
    assert "<details><summary>Hint 1</summary>\n\nTwo.\n\n</details>" in cells[2]["source"]


def test_without_nbclient_no_notebook_is_half_written(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    source = tmp_path / "source" / "01_scalars.py"

    with pytest.raises(MissingExtraError, match=r"pip install 'minivit\[lessons\]'"):
        write_lesson(source)

    assert not list(tmp_path.iterdir())


def test_statements_in_another_language(tmp_path):
    source = make(tmp_path)
    folder = tmp_path / "lessons" / "statements" / "de"
    folder.mkdir()
    (folder / "03_x.md").write_text("# twice\nVerdopple.\n## Hint\nZwei.\n", encoding="utf-8")

    assert "Verdopple." in build_lesson(source, statements_of(source, "de"), solved=False)["cells"][2]["source"]
    assert statements_of(source, "fr") == statements_of(source, "en")


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        ("# other\nText.\n## Hint\nH.\n", "has no statement of exercise twice"),
        ("# twice\nText.\n", "lacks its text or a hint"),
        ("# twice\nText.\n## Hint\nH.\n# more\nText.\n## Hint\nH.\n", "has statements of unknown exercises: more"),
    ],
)
def test_statements_that_do_not_fit_are_named(tmp_path, statements, told):
    source = make(tmp_path, statements)

    with pytest.raises(DataError, match=told):
        build_lesson(source, statements_of(source), solved=False)


def test_statements_are_read(tmp_path):
    path = tmp_path / "x.md"
    path.write_text(
        "# a\nFirst.\n\nMore.\n## Hint\none\n## Hint 2\ntwo\n# b\nSecond.\n## Hint\nthree", encoding="utf-8"
    )

    found = read_statements(path)

    assert found["a"].text == "First.\n\nMore."
    assert found["a"].hints == ("one", "two")
    assert found["b"].hints == ("three",)
