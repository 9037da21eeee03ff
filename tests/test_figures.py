"""Every figure has one look, is the same file each time, and may be a vector file whose text is text."""

import ast
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from minivit.errors import ConfigError
from minivit.utils import figures
from minivit.utils.figures import figure_bytes, figure_style, format_of, formats_in, new_figure, write_figure

ROOT = Path(__file__).parent.parent
SVG = "{http://www.w3.org/2000/svg}"
LIBRARY = [*(ROOT / "minivit").rglob("*.py"), *(ROOT / "lessons").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]


@figure_style()
def drawn(title="attention (%)"):
    figure = new_figure(3, 2)
    left, right = figure.subplots(1, 2)
    left.plot([1, 2, 3], [3, 1, 2], label="a line")
    left.set(title=title, xlabel="step")
    left.legend()
    right.imshow(np.arange(12).reshape(3, 4), interpolation="nearest")
    return figure


# -- one look ------------------------------------------------------------------------------------


def attributes(path):
    """The names after a dot, and what is imported, in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def is_lesson(path):
    return "source" in path.parts


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_figures_are_made_and_saved_in_one_place(path):
    if path.name == "figures.py" and path.parent.name == "utils":
        return
    used = set(attributes(path))
    assert not used & {"savefig", "rcParams", "rc_context", "matplotlib.rcParams", "matplotlib.style"}
    assert not any(name.startswith("matplotlib.pyplot") for name in used)
    # Lessons show learners the library itself, and a name may be imported for an annotation.
    if not is_lesson(path):
        assert not re.search(r"\bFigure\(", path.read_text(encoding="utf-8"))


def functions_that_draw(path):
    """The functions that make a figure, each with its decorators as text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            called = [c.func.id for c in ast.walk(node) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)]
            if "new_figure" in called:
                yield node.name, [ast.unparse(decorator) for decorator in node.decorator_list]


def test_what_draws_in_the_library_is_marked_with_the_style():
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {name}": decorators
        for path in LIBRARY
        if "minivit_lessons" not in path.parts and not is_lesson(path)
        for name, decorators in functions_that_draw(path)
    }
    assert len(found) > 8
    assert not [name for name, decorators in found.items() if "figure_style()" not in decorators]


def test_a_users_settings_neither_change_a_figure_nor_are_changed():
    import matplotlib

    expected = figure_bytes(drawn())
    with matplotlib.rc_context(
        {"axes.titlesize": 30, "axes.edgecolor": "red", "lines.linewidth": 9, "savefig.dpi": 20}
    ):
        before = dict(matplotlib.rcParams)
        assert figure_bytes(drawn()) == expected
        assert dict(matplotlib.rcParams) == before


def test_the_colours_of_lines_can_be_told_apart_by_colour_blind_readers():
    with figure_style():
        plot = new_figure(1, 1).subplots()
        lines = [plot.plot([0, 1])[0] for _ in figures.COLOURS]
        assert [to_hex(line.get_color()) for line in lines] == list(figures.COLOURS)
    okabe_and_ito = {"#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"}
    assert set(figures.COLOURS) <= okabe_and_ito
    assert len(set(figures.MARKERS)) == len(figures.COLOURS)


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_the_same_figure_is_the_same_file_without_a_date(format):
    first, second = figure_bytes(drawn(), format), figure_bytes(drawn(), format)
    assert first == second
    assert not re.search(rb"CreationDate|dc:date|Matplotlib v", first)


def test_text_of_an_svg_is_text_and_its_images_are_images():
    root = ET.fromstring(figure_bytes(drawn("cost $5 & <b>"), "svg"))
    texts = {"".join(element.itertext()) for element in root.iter(f"{SVG}text")}
    assert {"a line", "step"} <= texts
    assert "cost $5 & <b>" in texts
    assert len(list(root.iter(f"{SVG}image"))) == 1


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("a.b.pdf", b"%PDF")])
def test_a_files_name_says_its_format(tmp_path, name, begins):
    write_figure(drawn(), tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_bytes().startswith(begins)


def test_a_png_has_its_inches_in_dots():
    with Image.open(io.BytesIO(figure_bytes(drawn(), dpi=50))) as picture:
        assert picture.size == (150, 100)


@pytest.mark.parametrize("name", ["a.jpg", "a", "svg", "a.svg.gz"])
def test_another_format_is_refused_before_anything_is_written(tmp_path, name):
    said = f"a figure must be a file that ends in .png, .svg or .pdf, not {tmp_path / name}"
    with pytest.raises(ConfigError, match=re.escape(said)):
        write_figure(drawn(), tmp_path / name)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"^--out must be"):
        format_of(name, "--out")


def test_formats_are_named_once_in_the_order_given():
    assert formats_in("png") == ("png",)
    assert formats_in("svg,PNG,svg") == ("svg", "png")


@pytest.mark.parametrize(("text", "named"), [("jpg", "'jpg'"), ("png,", "''"), ("png, svg", "' svg'")])
def test_an_unknown_format_is_named_with_what_is_allowed(text, named):
    with pytest.raises(ConfigError) as raised:
        formats_in(text)
    assert str(raised.value) == f"--format takes png, svg or pdf, or several separated by commas, not {named}"
