"""A Tensor given to Python, NumPy, matplotlib and json: a number, an array, a comparison, or one clear sentence."""

import copy
import json
import math
import operator
import pickle
import time
from collections import namedtuple

import numpy as np
import pytest

from minivit import DTypeError, MinivitError, ShapeError, Tensor, cross_entropy, no_grad
from minivit.engine import interop, ops
from tests.support import close_numbers, equal_numbers

Pair = namedtuple("Pair", "left right")
X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2.0


def taped():
    return Tensor(X, requires_grad=True) * 1.0


# -- NumPy ---------------------------------------------------------------------------------------


def test_numpy_makes_an_array_of_the_values():
    for found in (np.asarray(taped()), np.array(taped()), np.asanyarray(taped())):
        assert type(found) is np.ndarray
        equal_numbers(found, X)
    assert np.asarray(taped(), dtype=np.float64).dtype == np.float64
    assert np.array(taped(), dtype=int).tolist() == X.astype(int).tolist()


def test_an_array_without_a_copy_is_the_tensors_own_and_with_one_is_not():
    x = Tensor(X)

    assert np.asarray(x) is x.data
    assert np.array(x, copy=False) is x.data
    assert not np.shares_memory(np.array(x), x.data)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)


def test_lists_of_tensors_become_arrays():
    losses = [taped().sum(), taped().mean()]

    equal_numbers(np.array(losses), np.float32([3.0, 0.5]))
    assert np.mean(losses) == 1.75
    equal_numbers(np.array([taped(), taped()]), np.stack([X, X]))
    array = np.zeros((2, 3), np.float32)
    array[:] = taped()
    equal_numbers(array, X)


def test_a_large_tensor_becomes_an_array_at_once():
    large = Tensor(np.zeros((100, 65, 192), np.float32))

    start = time.perf_counter()
    for _ in range(100):
        np.asarray(large)

    assert time.perf_counter() - start < 1.0  # element by element it took seconds for one


SAME = {
    "exp": lambda f, x: f.exp(x),
    "log": lambda f, x: f.log(x * x + 1.0),
    "sqrt": lambda f, x: f.sqrt(x * x + 1.0),
    "tanh": lambda f, x: f.tanh(x),
    "abs": lambda f, x: f.abs(x + 0.5),
    "mean": lambda f, x: f.mean(x, axis=1, keepdims=True),
    "sum": lambda f, x: f.sum(x, 0),
    "max": lambda f, x: f.max(x),
    "min": lambda f, x: f.min(x, axis=-1),
    "var": lambda f, x: f.var(x),
    "reshape": lambda f, x: f.reshape(x, (3, 2)),
    "transpose": lambda f, x: f.transpose(x, (1, 0)),
    "transpose, axes by name": lambda f, x: f.transpose(x, axes=(1, 0)),
    "concatenate": lambda f, x: f.concatenate([x, x], axis=1),
    "broadcast_to": lambda f, x: f.broadcast_to(x, (4, 2, 3)),
    "broadcast_to, shape by name": lambda f, x: f.broadcast_to(x, shape=(4, 2, 3)),
    "negative": lambda f, x: f.negative(x),
    "subtract": lambda f, x: f.subtract(X, x),
    "divide": lambda f, x: f.divide(x, X - 0.5),
    "add": lambda f, x: f.add(X, x),
    "multiply": lambda f, x: f.multiply(x, X),
    "matmul": lambda f, x: f.matmul(X.T, x),
    "power": lambda f, x: f.power(x, 2.0),
}


@pytest.mark.parametrize("name", SAME)
def test_a_function_that_both_have_keeps_the_gradient(name):
    numpys, ours = (Tensor(X, requires_grad=True) for _ in range(2))

    found, expected = SAME[name](np, numpys), SAME[name](ops, ours)
    assert isinstance(found, Tensor)
    equal_numbers(found.data, expected.data)
    for out in (found, expected):
        out.backward(np.full(out.shape, 2.0))
    equal_numbers(numpys.grad, ours.grad)


VALUES = {
    "argmax": lambda x: np.argmax(x, axis=1),
    "isnan": np.isnan,
    "isfinite": np.isfinite,
    "allclose": lambda x: np.allclose(x, X),
    "array_equal": lambda x: np.array_equal(x, x),
    "shape": np.shape,
    "ones_like": np.ones_like,
    "less": lambda x: np.less(x, 1.0),
    "an array before it": lambda x: x < X + 1.0,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_function_without_a_gradient_works_on_the_values(name):
    found, expected = VALUES[name](taped()), VALUES[name](X)

    assert not isinstance(found, Tensor)
    np.testing.assert_array_equal(found, expected)


FLOATS = {
    "sin": np.sin,
    "maximum": lambda x: np.maximum(x, 0.0),
    "add.reduce": np.add.reduce,
    "std": np.std,
    "median": np.median,
    "stack": lambda x: np.stack([x, x]),
    "where": lambda x: np.where(X > 0, x, 0.0),
    "histogram": np.histogram,
    "mean in another type": lambda x: np.mean(x, dtype=np.float64),
    "norm": np.linalg.norm,
}


@pytest.mark.parametrize("name", FLOATS)
def test_a_gradient_never_ends_in_a_function_of_numpy_in_silence(name):
    with pytest.raises(DTypeError, match=r"x\.numpy\(\)"):
        FLOATS[name](taped())

    expected = FLOATS[name](X)
    for constant in (Tensor(X), taped().detach()):
        for found, right in zip(each(FLOATS[name](constant)), each(expected), strict=True):
            assert not isinstance(found, Tensor)
            equal_numbers(found, right)
    with no_grad():
        assert type(FLOATS[name](Tensor(X, requires_grad=True))) is type(expected)


def each(result):
    return result if isinstance(result, tuple) else (result,)


def test_values_are_added_into_an_array_of_the_callers():
    total = np.zeros((2, 3), np.float32)

    total += taped()
    total += taped()

    assert type(total) is np.ndarray
    equal_numbers(total, 2 * X)


def test_cupy_leaves_an_array_times_a_tensor_to_the_tensor():
    """It does so where the object says None; NumPy asks the class."""
    assert taped().__array_ufunc__ is None
    assert callable(Tensor.__array_ufunc__)


def test_an_exponent_that_is_a_tensor_is_refused():
    for power in (lambda: np.array([2.0]) ** taped(), lambda: np.power(2.0, taped())):
        with pytest.raises(DTypeError, match="exponent"):
            power()


def test_a_saved_tensor_can_be_loaded(tmp_path):
    np.save(tmp_path / "x.npy", taped())
    np.savez(tmp_path / "x.npz", a=Tensor(X), b=taped())

    equal_numbers(np.load(tmp_path / "x.npy"), X)
    with np.load(tmp_path / "x.npz") as archive:
        equal_numbers(archive["a"], X)
        equal_numbers(archive["b"], X)


# -- Python --------------------------------------------------------------------------------------


def test_a_tensor_of_one_element_is_a_number():
    loss = taped().sum() + 0.14159

    assert type(float(loss)) is float and float(loss) == pytest.approx(3.14159)
    assert type(int(loss)) is int and int(loss) == 3
    assert round(loss, 2) == pytest.approx(3.14) and round(loss) == 3
    assert f"{loss:.3f}" == "3.142" == "%.3f" % loss  # noqa: UP031
    assert f"{loss:>8.1f}" == "     3.1"
    assert not math.isnan(loss) and math.isnan(Tensor(np.nan))
    assert math.sqrt(Tensor(9.0)) == 3.0
    assert json.loads(json.dumps({"loss": float(loss)})) == {"loss": float(loss)}
    assert json.dumps([Tensor(2.5)], default=float) == "[2.5]"


def test_a_tensor_without_a_format_is_its_repr():
    assert f"{taped()}" == str(taped()) == repr(taped())


NEEDS_ONE = [float, int, round, bool, lambda x: f"{x:.2f}", lambda x: x.item(), lambda x: 1 if x else 0]


@pytest.mark.parametrize("convert", NEEDS_ONE)
@pytest.mark.parametrize("shape", [(2,), (0,), (1, 2)], ids=str)
def test_several_elements_are_no_number(convert, shape):
    with pytest.raises(ShapeError):
        convert(Tensor(np.ones(shape)))


@pytest.mark.parametrize(("value", "truth"), [(0.0, False), (-1.5, True), (np.nan, True)])
def test_a_number_is_true_unless_it_is_0(value, truth):
    assert bool(Tensor(value)) is truth
    assert bool(Tensor([value])) is truth


COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("other", [1.0, 0, X[::-1].copy(), X[0], [0.0, 1.0, -2.0], Tensor(X[:, ::-1])], ids=repr)
def test_comparisons_are_numpys(compare, other):
    right = other.data if isinstance(other, Tensor) else other

    for found, expected in (
        (compare(taped(), other), compare(X, right)),
        (compare(other, taped()), compare(np.asarray(right), X)),
    ):
        assert not isinstance(found, Tensor)
        np.testing.assert_array_equal(found, expected, strict=True)


def test_a_loss_is_compared_as_a_number_is():
    loss = taped().sum()

    assert loss == 3.0 and loss > 2 and loss <= 3.0 and not loss < 3.0 and loss != 4.0
    assert loss > 2
    assert max([Tensor(1.0), Tensor(3.0), Tensor(2.0)]).item() == 3.0
    assert [float(x) for x in sorted([Tensor(2.0), Tensor(1.0)])] == [1.0, 2.0]
    assert 3.0 in taped() and 9.0 not in taped()


def test_what_is_no_number_is_not_equal_and_has_no_order():
    for other in (None, "word", object(), [None]):
        assert (taped() == other) is False
        assert taped() != other
    with pytest.raises(DTypeError):
        taped() < None  # noqa: B015
    with pytest.raises(MinivitError):
        taped() == Tensor(X.astype(np.float64))  # noqa: B015


def test_a_tensor_is_a_key_by_identity():
    x, y = Tensor(X), Tensor(X)

    table = {x: 1, y: 2}

    assert (table[x], table[y]) == (1, 2)
    assert hash(x) == hash(x) and len({x, y, x}) == 2
    assert [x, y].index(x) == 0


def test_copies_and_pickles_hold_the_same_numbers():
    x = Tensor(X, requires_grad=True, name="w")
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (other.name, other.requires_grad, other.grad) == ("w", True, None)
        equal_numbers(other.data, X)
        (other * 2.0).sum().backward()
        equal_numbers(other.grad, np.full((2, 3), 2.0, np.float32))


def test_small_methods_are_numpys():
    close_numbers(Tensor(X).var(axis=0).data, X.var(axis=0), rtol=1e-6)
    equal_numbers(Tensor(X).min(axis=1).data, X.min(axis=1))
    equal_numbers(abs(Tensor(X)).data, np.abs(X))


def test_labels_may_be_a_tensor_but_have_no_gradient():
    logits, shares = Tensor(np.eye(3)), np.full((3, 3), 1 / 3)

    assert cross_entropy(logits, Tensor(shares)).item() == cross_entropy(logits, shares).item()
    with pytest.raises(DTypeError, match=r"detach\(\)"):
        cross_entropy(logits, Tensor(shares, requires_grad=True))


# -- matplotlib ----------------------------------------------------------------------------------


def test_matplotlib_draws_tensors():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    losses = [taped().sum(), taped().mean()]
    weights = Tensor(X, requires_grad=True)

    (line,) = axes.plot(losses)
    equal_numbers(line.get_ydata(), np.float32([3.0, 0.5]))
    (line,) = axes.plot(weights[0])
    equal_numbers(np.asarray(line.get_ydata()), X[0])
    equal_numbers(np.asarray(axes.imshow(weights).get_array()), X)
    assert len(axes.bar([0, 1], losses)) == 2
    axes.scatter(Tensor(X[0]), Tensor(X[1]))
    axes.hist(Tensor(X.ravel()))


def test_options_that_minivit_has_not_are_numpys_business_and_lose_no_gradient_in_silence():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    every = np.mean(x, axis=0, keepdims=True)
    assert isinstance(every, Tensor) and every.requires_grad and every.shape == (1, 2)
    with pytest.raises(DTypeError, match=r"np\.mean keeps no gradient"):
        np.mean(x, where=np.ones((2, 2), bool))


# NumPy's third argument is another than minivit's: a type, an order, an array for the result.
THIRD = {
    "sum": lambda x: np.sum(x, 0, np.float32),
    "mean": lambda x: np.mean(x, 0, np.float64),
    "var": lambda x: np.var(x, 0, np.float32),
    "max": lambda x: np.max(x, 0, None),
    "reshape": lambda x: np.reshape(x, (3, 2), "F"),
    "broadcast_to": lambda x: np.broadcast_to(x, (4, 2, 3), True),
    "concatenate": lambda x: np.concatenate([x, x], 0, None),
}


@pytest.mark.parametrize("name", THIRD)
def test_a_third_argument_is_numpys(name):
    with pytest.raises(DTypeError, match=rf"np\.{name} keeps no gradient"):
        THIRD[name](taped())
    found = THIRD[name](Tensor(X))
    assert type(found) is np.ndarray
    equal_numbers(found, THIRD[name](X))


JOINED = {
    "by name": lambda *xs: np.concatenate(xs, axis=None),
    "second": lambda *xs: np.concatenate(xs, None),
    "minivit's": lambda *xs: ops.concatenate(xs, axis=None),
}


@pytest.mark.parametrize("name", JOINED)
def test_concatenate_without_an_axis_joins_the_elements(name):
    x, y = Tensor(X, requires_grad=True), Tensor(X[0] + 9.0, requires_grad=True)

    out = JOINED[name](x, y)
    out.backward(np.arange(9.0, dtype=np.float32))

    equal_numbers(out.data, np.array([-2, -1, 0, 1, 2, 3, 7, 8, 9], np.float32))
    equal_numbers(x.grad, np.array([[0, 1, 2], [3, 4, 5]], np.float32))
    equal_numbers(y.grad, np.array([6, 7, 8], np.float32))


def test_values_and_parts_are_looked_for_in_lists_tuples_and_dicts():
    x = Tensor([1.0, 2.0], requires_grad=True)
    found = interop.values(([x, 1], {"a": (x,)}, np.float32(3.0)))
    assert type(found[0]) is list and type(found[0][0]) is np.ndarray and found[0][1] == 1
    assert type(found[1]["a"]) is tuple and type(found[1]["a"][0]) is np.ndarray
    pair = Pair(x, x)
    assert interop.values(pair) is pair  # a tuple with names may be made in other ways
    assert list(interop.parts_of([1, (2, {"a": 3, "b": [4]}), "five"])) == [1, 2, 3, 4, "five"]


def test_numpy_finds_its_methods_on_the_class_and_cupy_none_on_a_tensor():
    x = Tensor([1.0])
    assert callable(Tensor.__array_ufunc__) and callable(Tensor.__array_function__)
    assert x.__array_ufunc__ is None
