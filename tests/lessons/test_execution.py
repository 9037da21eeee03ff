"""Every notebook runs from an empty kernel: `make test-lessons`."""

import re

import pytest

from minivit_lessons.build import build_lesson, execute, sources, statements_of
from minivit_lessons.exercises import find
from minivit_lessons.notebooks import SOLUTIONS, lesson_number, lessons_folder

LESSONS = lessons_folder()
SECONDS = 60  # of processor time: whatever else this computer does, a lesson takes as many
CLOCK = {"cell_type": "code", "id": "clock", "metadata": {}, "outputs": [], "execution_count": None,
         "source": "import time\nprint(time.process_time())"}  # fmt: skip

pytestmark = [pytest.mark.lessons, pytest.mark.timeout(600)]
every_lesson = pytest.mark.parametrize("source", sources(LESSONS), ids=lambda path: path.stem)


def run(source, solved, folder):
    notebook = build_lesson(source, statements_of(source), solved=solved)
    return execute(notebook, folder, keep_going=True)["cells"]


def said(cell):
    return "".join("".join(output.get("text", "")) for output in cell.get("outputs", []))


def errors(cells):
    return [
        output["ename"] + ": " + output["evalue"] for cell in cells for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]  # fmt: skip


def checks(cells):
    """What each exercise's check said."""
    found = {}
    for cell in cells:
        match = re.match(r"(\w+) = check\(", "".join(cell["source"]))
        if match and cell["cell_type"] == "code":
            found[match.group(1)] = said(cell)
    return found


@every_lesson
def test_the_solutions_run_within_their_time(source, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # threads that wait for one another would be counted too
    notebook = build_lesson(source, statements_of(source), solved=True)
    notebook["cells"].append(CLOCK)
    *cells, clock = execute(notebook, LESSONS / SOLUTIONS, keep_going=True)["cells"]
    seconds = float(said(clock))

    assert errors(cells) == []
    assert all("✓" in text for text in checks(cells).values())
    print(f"{source.stem}: {seconds:.0f} s")
    assert seconds <= SECONDS


@every_lesson
def test_the_learners_notebook_fails_at_its_checks_alone(source, tmp_path):
    # In an empty folder: nothing of earlier lessons is there either.
    cells = run(source, False, tmp_path)

    assert errors(cells) == []
    found = checks(cells)
    assert found
    for name, text in found.items():
        assert f"○ {name} is not done yet" in text
        assert find(name).lesson == lesson_number(source)
    asked = [name for name in found if not find(name).is_stretch]
    assert any(f"0 of {len(asked)} exercises done" in said(cell) for cell in cells)


def test_a_cell_that_was_not_run_is_named(tmp_path):
    source = next(path for path in sources(LESSONS) if lesson_number(path) == 5)
    (tmp_path / "05_patches.ipynb").write_bytes((LESSONS / "05_patches.ipynb").read_bytes())
    notebook = build_lesson(source, statements_of(source), solved=False)
    start = notebook["cells"][1]
    check = next(cell for cell in notebook["cells"] if cell["source"].startswith("patchify = check"))
    notebook["cells"] = [start, check]

    cells = execute(notebook, tmp_path, keep_going=True)["cells"]

    assert "✗ patchify is not defined yet: run cell" in said(cells[1])
    assert 'under "Exercise 5.3: `patchify`" first.' in said(cells[1])


def test_without_minivit_the_one_command_is_said(tmp_path):
    source = sources(LESSONS)[0]
    notebook = build_lesson(source, statements_of(source), solved=False)
    hide = {**notebook["cells"][1], "id": "hide", "source": "import sys\nsys.modules['minivit'] = None"}
    notebook["cells"] = [hide, notebook["cells"][1]]

    cells = execute(notebook, tmp_path, keep_going=True)["cells"]

    assert len(errors(cells)) == 1
    assert "run `%pip install -e ..` in a cell, then restart the kernel" in errors(cells)[0]
