"""Lesson 01's numbers against minivit's engine, and what its text and its pictures say."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from minivit import Tensor
from minivit_lessons.build import sources
from minivit_lessons.display import png
from minivit_lessons.notebooks import lesson_number, lessons_folder
from minivit_lessons.pictures.graph import HEIGHT, STEP_ERRORS, WIDTH, arrange, draw_graph, draw_walk, number

from .answers import lesson

NAMES = lesson(1)
Value = NAMES["Value"]


def random_calculation(leaves, rng, length=30):
    """The same calculation on Values, Tensors, or whatever has the operators: late results use early ones again."""
    pool = list(leaves)
    for kind, i, j in zip(rng.integers(0, 4, length), rng.random(length), rng.random(length), strict=True):
        a, b = pool[int(i * len(pool))], pool[int(j * len(pool))]
        pool.append((a + b, a - b, (a * b).tanh(), (a * 0.5).tanh())[kind])
    return sum(pool)


@pytest.mark.parametrize("seed", range(5))
def test_gradients_are_those_of_minivits_engine(seed):
    points = np.random.default_rng(seed).uniform(-1, 1, 4)
    values = [Value(point) for point in points]
    tensors = [Tensor(np.array(point), requires_grad=True) for point in points]

    of_values = random_calculation(values, np.random.default_rng(seed + 100))
    of_tensors = random_calculation(tensors, np.random.default_rng(seed + 100))
    of_values.backward()
    of_tensors.backward()

    assert of_values.data == pytest.approx(of_tensors.item(), rel=1e-12)
    for value, tensor in zip(values, tensors, strict=True):
        assert value.grad == pytest.approx(tensor.grad.item(), rel=1e-12)


def test_plain_numbers_stand_on_either_side():
    x = Value(0.5)

    end = 3 * x + 1 - x * 2
    end.backward()

    assert (end.data, x.grad) == (1.5, 1.0)


def test_minivit_sorts_its_tape_by_age_as_the_lesson_says():
    from minivit.engine import tensor

    x = Tensor(np.array(0.5), requires_grad=True)
    end = (x * x).tanh() + x * x

    ages = [node.number for node in tensor._oldest_first(end._node)]

    assert ages == sorted(ages)
    assert len(ages) == 4


def example():
    x, w, t = Value(2.0, "x"), Value(-0.5, "w"), Value(0.5, "t")
    d = x + (w * x).tanh() - t
    return d * d, x, w, t


def test_the_examples_numbers_are_those_of_the_text():
    end, x, w, t = example()

    end.backward()

    assert len(NAMES["backward_order"](end)) == 8
    assert end.data == pytest.approx(0.55, abs=0.005)
    assert [round(value.grad, 2) for value in (x, w, t)] == [1.17, 1.24, -1.48]


def test_the_error_of_slope_is_least_near_its_own_step():
    errors = [abs(NAMES["slope"](lambda x: x**3, 2.0, step) - 12) for step in (1e-12, 1e-5, 1e-1)]

    assert errors[1] < 1e-8
    assert errors[0] > 1e-6
    assert errors[2] > 1e-3


def test_eight_paths_make_the_power_rule():
    x = Value(1.1, "x")
    end = NAMES["eighth_power"](x)
    end.backward()

    def paths(value):
        return 1 if value is x else sum(paths(parent) for parent in value.parents)

    assert paths(end) == 8
    assert len(NAMES["backward_order"](end)) == 4
    assert x.grad == pytest.approx(8 * 1.1**7, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_forward_and_backward_mode_agree(seed):
    rng = np.random.default_rng(seed)
    values = [Value(point) for point in rng.uniform(-1, 1, 4)]
    end = random_calculation(values, rng)
    end.backward()

    for value in values:
        assert NAMES["derivative_forward"](end, value) == pytest.approx(value.grad, rel=1e-9, abs=1e-12)


def test_the_answer_is_not_in_the_cell_that_asks_to_guess():
    assert "1e-10" not in cells("STEP_ERRORS)")
    assert "1e-10" in STEP_ERRORS


def cells(text):
    """The cell of the lesson's source that holds a text."""
    source = next(path for path in sources(lessons_folder()) if lesson_number(path) == 1)
    return next(cell for cell in source.read_text(encoding="utf-8").split("\n# %%") if text in cell).partition("\n")[2]


def shown(text):
    """Run that cell, and return what it defined."""
    names = {"show": lambda figure, alt: None, "Figure": Figure}
    names |= {"np": np, "math": math, **NAMES}
    exec(cells(text), names)
    return names


@pytest.mark.slow
def test_the_network_learns_the_wave(capsys):
    names = shown("def network(x):")

    assert names["losses"][-1] < 0.01 * names["losses"][0]
    assert max(names["losses"][1000:]) < names["losses"][500]  # no jumps to explain
    assert "350 nodes" in capsys.readouterr().out


def test_the_broken_walks_break_and_a_chain_does_not_show_it():
    names = shown("def as_met(end):")

    def gradients(f):
        found = []
        for forget, order in (
            (False, NAMES["backward_order"]),
            (True, NAMES["backward_order"]),
            (False, names["as_met"]),
        ):
            x = Value(0.9)
            end = f(x)
            names["walk"](end, order(end), forget)
            found.append(x.grad)
        return found

    right, forgotten, early = gradients(names["f"])
    u = 0.9**2 - 1
    assert right == pytest.approx(2 * 0.9 - (1 - math.tanh(3 * u + 0.9) ** 2) * (6 * 0.9 + 1), rel=1e-12)
    assert abs(forgotten - right) > 1
    assert abs(early - right) > 1
    assert len({round(gradient, 12) for gradient in gradients(lambda x: (3 * x).tanh())}) == 1


# -- the pictures ---------------------------------------------------------------------------------------


def test_no_two_boxes_overlap_and_every_edge_goes_to_the_right():
    leaves = [Value(0.1 * i, f"x{i}") for i in range(4)]
    layout = arrange(random_calculation(leaves, np.random.default_rng(3), length=12))

    for a, b in itertools.combinations(layout.boxes.values(), 2):
        assert abs(a.x - b.x) >= WIDTH or abs(a.y - b.y) >= HEIGHT
    for _, _, way in layout.edges:
        assert all(a.x < b.x for a, b in itertools.pairwise(way))
    assert all(place.y - HEIGHT / 2 >= 0 and place.y + HEIGHT / 2 <= layout.height for place in layout.boxes.values())


def texts(figure):
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def test_a_gradient_is_shown_as_far_as_it_has_come():
    end, *_ = example()
    end.backward()

    before, early, late = texts(draw_walk(end, NAMES["backward_order"](end), [0, 3, 8]))

    assert before.count("?") == 8
    assert early.count("?") == 2
    assert early.count("so far") == 1
    assert late.count("?") == late.count("so far") == 0
    assert "1.17" in late
    assert "1.17" not in early


def test_a_graph_without_slopes_or_gradients_can_be_drawn():
    end, *_ = example()

    (writing,) = texts(draw_graph(end, gradients=False, slopes=False))

    assert writing.count("?") == 8
    assert not [text for text in writing if text.startswith("× ")]
    assert png(draw_graph(end))[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("x", "text"), [(0.0, "0.00"), (-1.5, "−1.50"), (0.001, "1e−3"), (123.4, "123"), (1e6, "1e6"), (-2e-7, "−2e−7")]
)
def test_numbers_are_short(x, text):
    assert number(x) == text
