"""Whatever an attempt does, the check says so in one line and the notebook goes on."""

import math
import threading
import time

import numpy as np
import pytest

from minivit import Tensor
from minivit_lessons import trial
from minivit_lessons.checking import NOT_DONE, PASSED, WRONG, check, examine
from minivit_lessons.exercises import Exercise, _registry
from minivit_lessons.trial import Attempt, Complaint, OutOfTime, Printed, time_limit

from .running import struck_in_a_callback

pytestmark = struck_in_a_callback


@pytest.fixture(autouse=True)
def twice(monkeypatch):
    """An exercise of the tests' own: `twice(x)` returns 2 x."""

    def examine_twice(attempt):
        x = np.arange(3.0)
        if not np.array_equal(attempt(x), 2 * x):
            raise Complaint("twice(x) is not 2 x")

    monkeypatch.setitem(_registry, "twice", Exercise("twice", 5, examine_twice))
    monkeypatch.setattr(trial, "SECONDS", 0.3)


def verdict_on(attempt):
    verdict = examine("twice", attempt, {})
    assert "\n" not in verdict.message
    return verdict


def test_a_right_attempt_passes():
    assert verdict_on(lambda x: x + x).status == PASSED


def test_one_that_raises_is_quoted_with_its_line():
    def twice(x):
        return x.reshape(7)

    verdict = verdict_on(twice)

    assert verdict.status == WRONG
    assert (
        "twice(array of shape (3,)) raises ValueError: cannot reshape array of size 3 into shape (7,)"
        in verdict.message
    )
    assert "`return x.reshape(7)`" in verdict.message


def behind_the_line(message):
    """What is said after the learner's line, which holds the expected words too, as they are on the same line here."""
    return message.rpartition("`)")[2]


def test_one_that_uses_a_name_of_pytorch_is_told_what_it_is_called_here():
    assert "; PyTorch's view is here: reshape(...)" in verdict_on(lambda x: Tensor(x).view(3)).message
    assert "; PyTorch's dim is here: axis" in verdict_on(lambda x: x.sum(dim=0)).message
    assert "; PyTorch's sqrt is here: np.sqrt(x)" in verdict_on(lambda x: x.sqrt()).message
    assert verdict_on(lambda x: Tensor(x).clamp(0, 1)).message.endswith("`)")  # np.clip takes no Tensor
    assert verdict_on(lambda x: Tensor(x).halve()).message.endswith("`)")


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        (lambda x: (x > 0) - (x > 1), "make numbers of the booleans first"),
        (lambda x: -(x > 0), "~ negates booleans"),
        (lambda x: np.exp(type("Tensor", (), {"__array_ufunc__": None})()), "use its operators and methods"),
        (lambda x: np.broadcast_to(x, (-1, 3)), "-1 is a length in reshape alone"),
        (lambda x: np.average(np.outer(x, [1.0, 2.0]), weights=x), "np.average needs axis=0"),
        (lambda x: np.interp(x, x, np.eye(3)), "takes arrays with one axis"),
        (lambda x: math.exp(x), "use np.exp"),
        (lambda x: x / np.bincount([0, 1, 1]), "np.bincount ends at the largest number it finds"),
        (lambda x: x if x > 1 else 0 * x, "take one value: use np.where"),
        (lambda x: x[np.array([0.0, 1.0])], "an index must hold integers"),
        (lambda x: list(x)[0, 1], "a list has no axes"),
        (lambda x: np.zeros((len(x) / 3,)), "/ gives a float"),
        (lambda x: x.view(3, 1, 1), "use reshape"),
        (lambda x: np.zeros(3, 3), "the shape is one tuple"),
        (lambda x: x * (lambda y: y), "a function is called with brackets: f(x)"),
        (lambda x: np.exp * x, "f(x)"),
        (lambda x: np.mean * x, "a function is called with brackets: f(x)"),
        (lambda x: np.stack([x, x[:2]]), "take each by itself"),
        (lambda x: np.tensordot(type("Tensor", (), {})(), x, axes=1), "does NumPy's function get a Tensor?"),
        (lambda x: np.random.default_rng(0).bernoulli(0.5, 3), "PyTorch's bernoulli is here: rng.random(shape) < p"),
    ],
)
def test_what_numpy_says_is_told_with_what_usually_helps(attempt, told):
    assert told in behind_the_line(verdict_on(attempt).message)


def test_one_that_writes_into_a_view_or_adds_in_place_is_told_what_usually_helps():
    def view(x):
        wide = np.broadcast_to(x, (2, 3))
        wide[0] = 1
        return wide

    def integers(x):
        counts = np.zeros(3, int)
        counts -= x
        return counts

    def none(x):
        total = None
        total += x[0]
        return total

    assert "copy it first" in verdict_on(view).message
    assert "write x = x - y" in verdict_on(integers).message
    assert "begin with 0.0" in verdict_on(none).message


def test_an_exception_that_a_check_explains_is_not_explained_again():
    def attempt(x):
        return x - ((x > 0) - (x > 1))

    with pytest.raises(trial.Raised) as complaint, trial.explained({"boolean subtract": "compare once"}):
        Attempt("f", attempt)(np.arange(3.0))

    assert str(complaint.value.with_usual_reason()).endswith("; compare once")


@pytest.mark.parametrize(("name", "told"), [("math", "write `import math`"), ("torch", "do without PyTorch")])
def test_a_name_that_is_not_defined_is_told_with_what_to_do(name, told):
    def attempt(x):
        raise NameError(f"name {name!r} is not defined")

    assert told in verdict_on(attempt).message


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        (lambda x: torch.nn.functional.normalize(x), "whose normalize is here: x / np.linalg.norm"),  # noqa: F821
        (lambda x: torch.zeros(3), "whose zeros is here: np.zeros(...)"),  # noqa: F821
        (lambda x: torch.cumsum(x, 0), "whose cumsum is here: x.cumsum(...)"),  # noqa: F821
        (lambda x: torch.exp(x), "whose exp is here: np.exp(x), or x.exp() of a Tensor"),  # noqa: F821
        (lambda x: nn.Transformer(x), ": the lessons do without PyTorch: use NumPy and what you built"),  # noqa: F821
        (lambda x: F + x, ": the lessons do without PyTorch: use NumPy and what you built"),  # noqa: F821
    ],
)
def test_a_function_of_pytorch_is_told_with_what_does_the_same_here(attempt, told):
    assert told in behind_the_line(verdict_on(attempt).message)


def test_a_function_of_pytorch_that_the_learner_is_to_write_is_not_named():
    def softmax(x):
        return torch.softmax(x, 0)  # noqa: F821

    assert ": the lessons do without PyTorch: use NumPy" in verdict_on(softmax).message


def test_what_numpy_has_as_a_function_or_an_array_as_a_method_is_told_so():
    assert "; roll is a function of NumPy: np.roll(x)" in verdict_on(lambda x: x.roll(1)).message
    assert "; a list has no mean: np.array(x)" in verdict_on(lambda x: list(x).mean()).message
    assert verdict_on(lambda x: set(x).add_(1)).message.endswith("`)")
    assert verdict_on(lambda x: {1: x}.mul(2)).message.endswith("`)")


def test_another_name_that_is_not_defined_is_only_quoted():
    def attempt(x):
        raise NameError("name 'heads' is not defined")

    assert verdict_on(attempt).message.endswith("`)")


def test_one_that_returns_nothing():
    assert "returns None: is a `return` missing" in verdict_on(lambda x: None).message


def test_one_that_changes_what_it_was_handed():
    def twice(x):
        x *= 2
        return x

    assert "changes its input x: work on a copy, x = x.copy()" in verdict_on(twice).message


def test_one_that_empties_what_it_was_handed():
    attempt = Attempt("first", lambda items: items.pop())

    with pytest.raises(Complaint, match=r"changes its input items: make a new list$"):
        attempt([1, 2, 3])


def test_one_that_changes_a_number_in_a_list():
    def double(items):
        items[1] *= 2
        return items

    with pytest.raises(Complaint, match=r"changes its input items: make a new list$"):
        Attempt("double", double)([1.0, 2.0])


def test_one_that_changes_an_array_in_a_list():
    def double(gradients):
        for g in gradients:
            g *= 2
        return gradients

    with pytest.raises(Complaint, match=r"changes its input gradients: make a new list of new arrays"):
        Attempt("double", double)([np.ones(2), np.ones(3)])


def test_one_without_names_for_its_inputs():
    with pytest.raises(Complaint, match=r"changes its input 1: make a new list$"):
        Attempt("sort", list.sort)([2, 1])


def test_one_that_writes_into_a_tensor():
    def negate(x):
        x.data *= -1
        return x

    with pytest.raises(Complaint, match=r"changes its input x: make a new array instead of changing x\.data"):
        Attempt("negate", negate)(Tensor(np.ones(2)))


def test_one_that_loops_for_ever():
    def twice(x):
        while True:
            pass

    began = time.monotonic()
    verdict = verdict_on(twice)

    assert "takes longer than 0.3 s: does a loop never end?" in verdict.message
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_one_that_loops_for_ever_and_catches_everything():
    def twice(x):
        for _ in range(3):
            try:
                while True:
                    pass
            except:  # noqa: E722
                pass
        return 2 * x

    # It is told at last, for it ends only after the third interruption, with a right result that came too late.
    began = time.monotonic()
    verdict_on(twice)
    assert time.monotonic() - began < 20


def test_the_time_limit_leaves_nothing_behind():
    for _ in range(20):
        with time_limit():
            pass
    time.sleep(0.5)

    assert not [t for t in threading.enumerate() if t.name.endswith("(watch)")]


def test_the_time_limit_ends_what_takes_too_long():
    with pytest.raises(OutOfTime), time_limit():
        while True:
            pass


def test_one_that_prints_a_lot_is_cut_short_and_still_judged():
    def twice(x):
        for i in range(5000):
            print("line", i)
        return 2 * x

    verdict = verdict_on(twice)

    assert verdict.status == PASSED
    assert len(verdict.printed) < 2200
    assert "it prints 5,000 lines in all" in verdict.printed


def test_what_an_attempt_prints_is_kept():
    printed = Printed()
    print("here", file=printed)
    assert printed.said() == "here\n"


def test_one_that_exits():
    def twice(x):
        raise SystemExit

    assert "calls exit()" in verdict_on(twice).message


@pytest.mark.parametrize("attempt", [..., None])
def test_nothing_at_all_is_not_done_yet(attempt):
    assert verdict_on(attempt).status == NOT_DONE


def test_what_nobody_has_begun_is_not_done_yet():
    def twice(x):
        raise NotImplementedError

    assert verdict_on(twice).status == NOT_DONE


def test_a_result_instead_of_a_function():
    assert "is a ndarray, not a function" in verdict_on(np.zeros(3)).message


def test_a_result_that_defies_the_check():
    assert verdict_on(lambda x: {"a": 1}).status == WRONG


def test_check_hands_back_the_attempt_or_the_lessons_own_answer(capsys, monkeypatch):
    monkeypatch.setattr("minivit_lessons.checking.solution", lambda name: "def twice(x):\n    return 2 * x\n")

    def right(x):
        return x * 2

    assert check("twice", right) is right
    ours = check("twice", lambda x: 3 * x)
    assert ours(4) == 8
    assert "✓ twice" in capsys.readouterr().out

    check("twice", ours)

    assert "twice is minivit's own here: run the cell with your twice again" in capsys.readouterr().out


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="there is no exercise 'thrice'"):
        check("thrice", lambda x: x)
