"""The differences that every exercise can have are called by their names."""

import numpy as np
import pytest

from minivit import Tensor
from minivit_lessons.compare import same, same_gradients
from minivit_lessons.trial import Attempt, Complaint

RNG = np.random.default_rng(0)
RIGHT = RNG.standard_normal((4, 4))


def complaint(got, expected=RIGHT, **options):
    with pytest.raises(Complaint) as raised:
        same(got, expected, "f(x)", **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("got", [RIGHT, RIGHT.tolist(), Tensor(RIGHT)], ids=["array", "list", "Tensor"])
def test_what_is_right_passes(got):
    same(got, RIGHT, "f(x)")


@pytest.mark.parametrize(
    ("got", "told"),
    [
        (-RIGHT, "the wrong sign everywhere"),
        (RIGHT.T, "its last two axes are swapped"),
        (RIGHT + 0.5, "wrong by the same amount everywhere: -0.5 is missing"),
        (RIGHT / 3, "it must be 3 times as large"),
        (RIGHT[[1, 0, 3, 2]], "the right numbers in the wrong order"),
        (RIGHT[:, None], "an axis of length 1 is too many"),
        (RIGHT[::-1], "runs backwards along axis 0"),
        (np.roll(RIGHT, 1, axis=1), "one place too late along axis 1"),
        (np.roll(RIGHT, -1, axis=0), "one place too early along axis 0"),
        (RIGHT * 4, "it must be 0.25 times as large, which is 1 / 4"),
        (RIGHT**2, "each number is the square of the right number"),
        (1 / RIGHT, "each number is 1 divided by the right number"),
        (1 - RIGHT, "each number is 1 minus the right number"),
        (np.exp(RIGHT), "each number is e to the power of the right number"),
        (np.abs(RIGHT), "each number is the right number without its sign"),
        (np.maximum(RIGHT, 0), "cut off at 0"),
        (RIGHT * np.array([[1.0], [2.0], [3.0], [5.0]]), "by another factor in each row"),
        (RIGHT * np.array([1.0, 2.0, 3.0, 5.0]), "by another factor in each column"),
        (RIGHT + np.array([[1.0], [2.0], [3.0], [5.0]]), "by another amount in each row"),
        (RIGHT + np.eye(4), "at [0, 0] it is"),
        (RIGHT.astype(np.float32), "as float32 instead of float64"),
        (np.full((4, 4), np.nan), "holds nan or infinity"),
        (RIGHT.reshape(16), "the axes 0 and 1 are joined to one"),
        (RIGHT.sum(axis=0), "an axis is lost"),
        ("four", "it must be a number, an array or a Tensor"),
        ({"a": 1}, "it must be a number, an array or a Tensor"),
    ],
)
def test_what_is_wrong_has_a_name(got, told):
    options = {"tolerance": 1e-3} if getattr(got, "dtype", None) == np.float32 else {}

    assert told in complaint(got, **options)


def test_a_transposed_matrix_that_is_not_square():
    right = RNG.standard_normal((2, 3))

    assert "it is transposed" in complaint(right.T, right)
    assert "two axes are swapped" in complaint(RNG.standard_normal((3, 2)), right)


def test_two_truths_that_changed_places_by_chance_are_not_called_transposed():
    right = np.array([[True, True], [False, False]])

    assert "at [0, 1] it is" in complaint(right.T, right)
    assert "its last two axes are swapped" in complaint(np.triu(np.ones((3, 3), bool)), np.tri(3, dtype=bool))


def test_whole_numbers_from_rounding_are_named():
    assert "each number is the right number rounded down" in complaint(np.floor(4 * RIGHT), 4 * RIGHT)
    assert "each number is the right number rounded to an integer" in complaint(np.rint(4 * RIGHT), 4 * RIGHT)


def test_swapped_axes_of_equal_length_are_named():
    right = RNG.standard_normal((3, 3, 4))

    assert "has its axes 0 and 1 swapped" in complaint(right.swapaxes(0, 1), right)


def test_a_known_factor_is_named():
    told = complaint(RIGHT * 8, factors={"√D_h": 8.0})
    assert "wrong by a factor everywhere: it is multiplied by √D_h = 8 once too often" in told
    told = complaint(RIGHT / 8, factors={"√D_h": 8.0})
    assert "divided by √D_h" in told


def test_a_known_mistake_comes_first():
    assert complaint(-RIGHT, mistakes={"upside down": lambda: -RIGHT}) == "f(x): upside down"


def test_a_single_number():
    assert complaint(2.0, 3.5) == "f(x) is 2: it should be 3.5"


# -- gradients ------------------------------------------------------------------------------------------


def gradients(function, *shapes, **options):
    inputs = [np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate(shapes)]
    attempt = Attempt("f", function, {"Tensor": Tensor})
    same_gradients(attempt, inputs, ["a", "b"][: len(inputs)], "f(a, b)", **options)


def test_right_gradients_pass():
    gradients(lambda a, b: a * b + b, (2, 3), (3,))


def test_a_gradient_that_stops():
    with pytest.raises(Complaint, match="leaves no gradient on b"):
        gradients(lambda a, b: a * b.detach(), (2, 3), (2, 3))


def test_a_gradient_that_is_off():
    from minivit.engine.tensor import record

    def twice_with_wrong_gradient(a):
        return record(2 * a.data, (a,), lambda dy: (dy,))

    with pytest.raises(Complaint, match="with respect to a is wrong by the same factor everywhere: it must be 2 times"):
        gradients(twice_with_wrong_gradient, (3,))


def test_a_gradient_that_was_not_summed():
    class Leaf(Tensor):
        """A Tensor that takes whatever gradient it gets."""

    def add(a, b):
        out = Leaf(a.data + b.data)

        def backward(dy):
            a.grad, b.grad = dy, dy

        out.__class__ = type("Out", (Leaf,), {"backward": lambda self, dy: backward(dy)})
        return out

    with pytest.raises(Complaint, match="sum it over the broadcast axis"):
        gradients(add, (2, 3), (3,))
