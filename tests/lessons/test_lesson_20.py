"""Lesson 20: what it says of the paper's tables and of the thirty lines is so."""

import ast
import re

import pytest

from minivit.models import thirty_lines
from minivit_lessons.exercises import lesson_20 as checks
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook
from minivit_lessons.pictures import paper

from .answers import lesson

CELLS = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 20))
SAID = "\n".join("".join(output.get("text", "")) for cell in CELLS for output in cell.outputs)


def test_the_checks_numbers_are_the_tables():
    source = next(cell.source for cell in CELLS if "TABLE_2 = {" in cell.source)
    table = ast.literal_eval(re.search(r"TABLE_2 = (\{.*?\})", source, re.DOTALL)[1])
    page = (lessons_folder().parent / "docs" / "the-papers-numbers.md").read_text(encoding="utf-8")
    quoted = re.findall(
        r"^\| [^|]+ \| (\d\d\.\d\d) \| (\d\d\.\d\d) \| (\d\d\.\d\d) \| (\d\d\.\d\d) \|$", page, re.MULTILINE
    )

    assert [tuple(map(float, row)) for row in quoted] == list(table.values())[:7]
    assert tuple(row[1] for row in list(table.values())[:7]) == checks.L_16
    assert tuple(row[3] for row in list(table.values())[:7]) == checks.BIT
    assert tuple(list(table)[:7]) == checks.ROWS


def test_every_line_of_the_code_is_beside_a_piece_of_the_figure():
    lines = paper.bare_code(thirty_lines)

    assert not [line for line in lines if '"""' in line or "#" in line]
    for _, _, begin, end in paper.PIECES:
        assert len([line for line in lines if line.strip().startswith(begin)]) == 1, begin
        assert any(line.strip().startswith(end) for line in lines), end


def test_the_parts_are_what_the_solution_says():
    parts = lesson(20)["parts_of_table_1"](12, 768, 3072)

    assert round(parts["MLPs"] / 1e6, 1) == 56.7
    assert round(parts["attention"] / 1e6, 1) == 28.3
    assert 12 * (4 * 768 + 3072 + 768) == 82_944


def test_the_misreadings_cost_what_the_text_says():
    accuracies = {name: float(share) / 100 for name, share in re.findall(r"^(\S.*\S) +([\d.]+)%$", SAID, re.MULTILINE)}

    assert accuracies["Eqs. 1 to 8"] == accuracies["exact GELU"] == accuracies["ε = 1e-12"] >= 0.99
    assert accuracies["Eq. 6: √D for √D_h"] == pytest.approx(0.965, abs=0.01)
    order = ["Eq. 2: + LN(z) for + z", "Eq. 1: class token last", "Eqs. 2, 3: the norm last", "Eq. 6: D_h for √D_h"]
    assert [round(accuracies[name], 2) for name in order] == pytest.approx([0.79, 0.73, 0.35, 0.10], abs=0.02)


def test_the_thirty_lines_are_the_model_in_the_notebook_too():
    assert float(re.search(r"largest difference (\S+)", SAID)[1]) < 1e-4
    assert float(re.search(r"largest relative difference (\S+)", SAID)[1]) < 1e-4
