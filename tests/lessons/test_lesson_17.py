"""Lesson 17: what it says of the source is so, and its checks follow the source."""

import ast
import re

import numpy as np
import pytest

from minivit import Tensor, cross_entropy, gradcheck
from minivit.engine import fused
from minivit.models import create_model
from minivit.training import loop
from minivit_lessons import reading
from minivit_lessons.exercises import lesson_17 as checks
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook
from tests.support import code_lines

from .answers import lesson

ROOT = lessons_folder().parent
NAMES = lesson(17)
CELLS = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 17))
TEXT = "\n".join(cell.source for cell in CELLS if cell.kind == "markdown")
PRINTED = "".join("".join(output.get("text", [])) for cell in CELLS for output in cell.outputs)


# -- what the text says of files -----------------------------------------------------------------


def defined(path):
    return {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if hasattr(node, "name")}


def test_every_file_that_is_linked_exists():
    links = re.findall(r"\]\((\.\./[^)]+)\)", TEXT)

    assert len(links) > 20
    for link in links:
        assert (lessons_folder() / SOLUTIONS / link).exists(), link


def test_the_table_of_contents_names_what_is_there():
    rows = re.findall(
        r"^\| \[(\d\d)\]\((\d\d)_\w+\.ipynb\) \| .* \| \[`(.+)`\]\(.+\) \| `(\w+)` \|$", TEXT, re.MULTILINE
    )

    assert [row[0] for row in rows] == [row[1] for row in rows] == [f"{n:02d}" for n in range(1, 17)]
    for _, _, file, name in rows:
        assert name in defined(reading.ROOT / file), (file, name)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("minivit/engine/fused.py", 'GELU_FORMS = {"tanh"'),
        ("minivit/engine/reference.py", 'if form == "erf":'),
        ("tests/engine/test_twins.py", "def test_gelu(shape, form, dtype, seed)"),
        ("minivit/models/vit.py", "queries = self.config.num_class_tokens if skip"),
        ("minivit/training/distributed/parallel.py", "rng = np.random.default_rng([*seed, number])"),
        ("docs/departures.md", "# Where minivit departs"),
        ("minivit/engine/tensor.py", "it never changes `dy`"),
        ("minivit/engine/tensor.py", "each for one input alone"),
    ],
)
def test_what_the_lesson_sends_its_reader_to_is_there(file, text):
    assert text in (ROOT / file).read_text(encoding="utf-8")


def test_backward_calls_no_layer_and_no_model():
    """The mountain and the comb."""
    model = create_model("ViT-XS_4-CIFAR", num_classes=10, depth=1)
    images, found = np.zeros((2, 32, 32, 3), np.float32), []

    forward = reading.calls_of(lambda: found.append(cross_entropy(model(images), np.array([1, 2]))))
    backward = reading.calls_of(lambda: found[0].backward())

    assert {"models/vit.py", "nn/layers.py", "engine/fused.py"} <= {call.file for call in forward}
    assert {call.file.partition("/")[0] for call in backward} <= {"engine", "backend"}
    assert max(call.depth for call in forward) > 2 * max(call.depth for call in backward)
    names = [call.name.partition(".")[0] for call in backward if call.name.endswith("vjp")]
    assert names[:3] == ["cross_entropy", "linear", "layer_norm"] and len(names) > 10


# -- how minivit reads itself --------------------------------------------------------------------


@pytest.mark.slow
def test_lines_of_code_are_counted_as_the_tests_count_them():
    for path in reading.source_files():
        assert reading.code_lines(path) == len(code_lines(path)), path


@pytest.mark.slow
def test_every_tag_of_the_paper_is_found():
    found = {(tag.file, tag.line) for tag in reading.tags()}

    for path in reading.source_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if "# ViT" in line and "`# ViT" not in line:
                assert (reading.name_of(path), number) in found


def test_calls_are_nested_as_they_were():
    calls = reading.calls_of(lambda: fused.softmax(Tensor([1.0, 2.0])))

    first = calls[0]
    assert first.name in ("Tensor.__init__", "softmax")
    (softmax,) = [call for call in calls if call.name == "softmax"]
    inside = [call for call in calls if softmax.start < call.start < softmax.end]
    assert {"softmax_in_place", "record"} <= {call.name for call in inside}
    assert all(call.depth > softmax.depth and call.end < softmax.end for call in inside)


# -- the checks follow the source ----------------------------------------------------------------


def test_the_seeds_check_runs_the_loops_own_expression(monkeypatch):
    assert checks.seed_of(5, 8, 1) == (5, loop.DROPOUT_STREAM, 8, 1)

    monkeypatch.setattr(loop, "DROPOUT_STREAM", 17)

    assert checks.seed_of(5, 8, 1) == (5, 17, 8, 1)


def test_the_home_of_an_equation_is_where_its_tag_stands(tmp_path, monkeypatch):
    assert checks.homes_of("(2)") == {"EncoderBlock.forward"}
    (tmp_path / "moved.py").write_text("class Other:\n    def step(self):\n        pass  # ViT (2)\n", encoding="utf-8")

    monkeypatch.setattr(reading, "ROOT", tmp_path)

    assert checks.homes_of("(2)") == {"Other.step"}


def test_the_broken_forms_are_broken_and_the_right_ones_are_right():
    def as_op(form):
        def op(x):
            out, slope = np.empty_like(x.data), np.empty_like(x.data)
            form(x.data, out, slope)
            return fused.record(out, (x,), lambda dy: (dy * slope,))

        return op

    points = np.linspace(-4, 4, 12)
    for form in checks.RIGHT_FORMS.values():
        gradcheck(as_op(form), points)
    for name, form in checks.BROKEN_FORMS.items():
        with pytest.raises(Exception, match="off by a relative"):
            gradcheck(as_op(form), points)
            pytest.fail(name)


# -- the change ----------------------------------------------------------------------------------


def test_the_new_form_is_an_op_like_the_others(monkeypatch):
    monkeypatch.setitem(fused.GELU_FORMS, "sigmoid", NAMES["gelu_sigmoid"])
    x = np.linspace(-5, 5, 201)

    gradcheck(lambda t: fused.gelu(t, "sigmoid"), x)

    values = fused.gelu(Tensor(x), "sigmoid").data
    np.testing.assert_allclose(values, x * (1 + np.tanh(1.702 * x / 2)) / 2, rtol=1e-12, atol=1e-14)  # the twin
    assert 0.015 < np.abs(values - fused.gelu(Tensor(x), "erf").data).max() < 0.025


def test_the_lesson_leaves_the_forms_as_they_were():
    assert set(fused.GELU_FORMS) == {"tanh", "erf"}
    assert "del fused.GELU_FORMS" in "".join(cell.source for cell in CELLS)


def test_what_the_notebook_found_is_what_its_text_says():
    assert "of x + (-x) = 0:  [-2. -2. -2.]" in PRINTED
    assert "GradientError:    the op changed the gradient that it was given" in PRINTED
    assert "its gradient comes from minivit.engine.fused.linear" in PRINTED
    before, after = re.search(r"before the step it was (\S+), after it (\S+)", PRINTED).groups()
    assert before != after
