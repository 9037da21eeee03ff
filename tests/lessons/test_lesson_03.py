"""Lesson 03's engine: the package's own gradient cases pass on it, and its numbers are the package's."""

import importlib
import importlib.util
import math
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import minivit
from minivit.engine import fused, ops, reference
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook

from .answers import lesson

LESSON = lesson(3)
Tensor, softmax, cross_entropy = LESSON["Tensor"], LESSON["softmax"], LESSON["cross_entropy"]
checker = importlib.import_module("minivit.engine.gradcheck")

# -- the package's gradient cases on the learner's engine -----------------------------------------------

# What the package's ops are called in lessons 02 and 03.
OPS = {name: name for name in ("add", "subtract", "multiply", "divide", "negative", "power", "exp", "log", "tanh")}
OPS |= {"getitem": "getitem", "concatenate": "concatenate", "broadcast_to": "broadcast_to", "matmul": "product"}
OPS |= {"sum": "total", "max": "largest"}
METHODS = {
    "sqrt": lambda x: x.sqrt(),
    "mean": lambda x, axis, keepdims: x.mean(axis, keepdims),
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, *axes: x.transpose(*axes),
}
ABSENT_OPS = {"abs", "astype", "erf", "min", "var"}  # which the lessons' engine does not have
ABSENT = {f"ops.{name}" for name in ABSENT_OPS} | {f"Tensor.{name}" for name in ("__abs__", "astype", "min", "var")}


def learners_op(name):
    if name in METHODS:
        return METHODS[name]
    found = {**lesson(2), **LESSON}
    return found[OPS[name]] if name in OPS else None


def cases():
    """tests/engine/cases.py, read once more with the learner's Tensor and ops in place of the package's."""
    file = Path(__file__).parents[1] / "engine" / "cases.py"
    spec = importlib.util.spec_from_file_location("cases_on_the_learners_engine", file)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minivit, "Tensor", Tensor)
        patch.setattr(minivit.engine, "ops", types.SimpleNamespace(**{name: learners_op(name) for name in ops.__all__}))
        spec.loader.exec_module(module)
    return {
        name: strategy
        for name, strategy in module.CASES.items()
        if not name.startswith("fused.") and name.partition(":")[0] not in ABSENT
    }


CASES = cases()
CASES["softmax"] = st.builds(
    lambda x, axis: ((lambda t: softmax(t, axis)), x),
    st.integers(0, 99).map(lambda seed: np.random.default_rng(seed).standard_normal((3, 4))),
    st.integers(-2, 1),
)
CASES["cross_entropy"] = st.builds(
    lambda x, smoothing: ((lambda t: cross_entropy(t, np.array([0, 3, 3]), smoothing)), x),
    st.integers(0, 99).map(lambda seed: np.random.default_rng(seed).standard_normal((3, 4))),
    st.sampled_from([0.0, 0.1, 0.5]),
)


def check_gradients(function, *inputs, **options):
    """minivit.gradcheck, with the learner's Tensor for its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checker, "Tensor", Tensor)
        return checker.gradcheck(function, *inputs, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=40, phases=[Phase.generate, Phase.shrink])  # Hypothesis's explaining would take minutes
def test_the_packages_gradient_checks_pass_on_the_learners_engine(name, data):
    function, *inputs = data.draw(CASES[name])

    check_gradients(function, *inputs)


def test_every_case_for_what_the_engine_has_is_among_them():
    methods = {name.partition(":")[0].removeprefix("Tensor.") for name in CASES if name.startswith("Tensor.")}
    covered = {name.partition(":")[0].removeprefix("ops.") for name in CASES if name.startswith("ops.")}

    assert covered == set(ops.__all__) - ABSENT_OPS
    assert methods >= {"__matmul__", "__rmatmul__", "__getitem__", "transpose", "max", "mean", "__rtruediv__"}
    assert len(CASES) > 60


def test_the_checks_run_on_the_learners_tensors_and_can_fail():
    seen = []

    def remember(x):
        seen.append(type(x))
        return x * 2

    def half(x):  # a wrong vjp
        return LESSON["record"](x.data * 2, (x,), lambda dy: (dy,))

    check_gradients(remember, np.ones(3))
    assert set(seen) == {Tensor}
    with pytest.raises(minivit.GradientError):
        check_gradients(half, np.ones(3))


# -- twins ----------------------------------------------------------------------------------------------

SHAPES = [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3, 4, 5), (2, 3, 5, 4)), ((2, 1, 3, 2), (4, 2, 3)), ((3,), (3,))]
SHAPES += [((3,), (2, 3, 4)), ((2, 4, 3), (3,))]


def pulled_back(kind, function, arrays):
    leaves = [kind(array, requires_grad=True) for array in arrays]
    out = function(*leaves)
    out.backward(np.random.default_rng(1).standard_normal(out.shape).astype(out.dtype))
    return out.data, *[leaf.grad for leaf in leaves]


def agree(ours, theirs, dtype):
    tolerance = {np.float32: 1e-6, np.float64: 1e-12}[dtype]
    for our, their in zip(ours, theirs, strict=True):
        assert (our.dtype, our.shape) == (dtype, their.shape)
        np.testing.assert_allclose(our, their, rtol=tolerance, atol=tolerance * max(abs(their).max(), 1e-30))


def random(*shape, dtype):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_the_product_agrees_with_the_packages(shapes, dtype):
    arrays = [random(*shape, dtype=dtype) for shape in shapes]

    agree(
        pulled_back(Tensor, lambda a, b: a @ b, arrays), pulled_back(minivit.Tensor, lambda a, b: a @ b, arrays), dtype
    )
    constant = arrays[1].astype(np.float64)  # takes the Tensor's element type
    agree(
        pulled_back(Tensor, lambda a: a @ constant, arrays[:1]),
        pulled_back(minivit.Tensor, lambda a: a @ constant, arrays[:1]),
        dtype,
    )


def test_an_array_on_the_left_makes_one_tensor():
    out = np.ones((4, 3)) @ Tensor(np.ones((3, 2), np.float32), requires_grad=True)

    assert (type(out), out.shape, out.dtype) == (Tensor, (4, 2), np.float32)


def test_a_single_number_is_no_matrix():
    with pytest.raises(ValueError, match="use \\*"):
        Tensor(np.ones((2, 2))) @ Tensor(3.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("twin", [reference.softmax, fused.softmax])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_agrees_with_the_packages(axis, twin, dtype):
    x = [3 * random(4, 5, 6, dtype=dtype)]

    agree(
        pulled_back(Tensor, lambda a: softmax(a, axis), x),
        pulled_back(minivit.Tensor, lambda a: twin(a, axis), x),
        dtype,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("twin", [reference.cross_entropy, fused.cross_entropy])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_agrees_with_the_packages(smoothing, twin, dtype):
    x, labels = [random(7, 10, dtype=dtype)], np.arange(7) * 3 % 10

    agree(
        pulled_back(Tensor, lambda a: cross_entropy(a, labels, smoothing), x),
        pulled_back(minivit.Tensor, lambda a: twin(a, labels, smoothing), x),
        dtype,
    )


def test_the_losses_of_extreme_scores_are_the_packages():
    x = np.array([[1e4, 0.0, -1e4], [-5e3, -5e3, -5e3]])
    labels = np.array([2, 1])

    ours = pulled_back(Tensor, lambda a: cross_entropy(a, labels), [x])

    assert np.isfinite(ours[0])
    agree(ours, pulled_back(minivit.Tensor, lambda a: fused.cross_entropy(a, labels), [x]), np.float64)


def attention(qkv, softmax):
    """As the later lessons write it: heads split by reshape and transpose, three parts by indexing."""
    b, n, width = qkv.shape
    q, k, v = qkv.reshape(b, n, 3, 2, width // 6).transpose(2, 0, 3, 1, 4)
    weights = softmax(q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1]))
    return (weights @ v).transpose(0, 2, 1, 3).reshape(b, n, width // 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attention_written_on_the_learners_engine_agrees(dtype):
    x = [random(2, 5, 24, dtype=dtype)]

    agree(
        pulled_back(Tensor, lambda a: attention(a, softmax), x),
        pulled_back(minivit.Tensor, lambda a: fused.attention(a, 2), x),
        dtype,
    )


# -- what the text says ---------------------------------------------------------------------------------


def test_exp_overflows_at_89_in_float32():
    with np.errstate(over="ignore"):
        assert np.isinf(np.exp(np.float32(89)))
    assert np.isfinite(np.exp(np.float32(88)))


def test_rows_and_columns_of_the_jacobian_add_up_to_zero_and_large_scores_empty_it():
    logits = np.array([2.0, 1.0, 0.0, -1.0])
    jacobian = LESSON["softmax_jacobian"](np.exp(logits) / np.exp(logits).sum())

    np.testing.assert_allclose(jacobian.sum(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(jacobian.sum(axis=1), 0, atol=1e-15)
    assert abs(jacobian).max() > 0.2
    large = np.exp(5 * logits) / np.exp(5 * logits).sum()
    assert abs(LESSON["softmax_jacobian"](large)).max() < 0.01


@pytest.mark.slow
def test_the_linear_classifier_begins_at_ln_10_and_beats_guessing_but_not_by_much():
    cells = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 3))
    (source,) = [cell.source for cell in cells if cell.kind == "code" and "def descend" in cell.source]
    names = dict(LESSON)
    exec(source, names)

    assert names["losses"][0] == pytest.approx(math.log(10), rel=1e-6)
    assert all(np.diff(names["losses"]) < 0)
    assert 0.13 < names["right"] < 0.35  # of 500 images; a classifier that guesses gets 0.10 ± 0.013


def test_a_vjp_of_zeros_passes_the_check_with_the_plain_sum():
    cells = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 3))
    (source,) = [cell.source for cell in cells if cell.kind == "code" and "def lazy_softmax" in cell.source]
    names = dict(LESSON)
    exec(source.partition("lines = []")[0], names)

    differences, true, lazy = names["differences_and_gradients"](np.ones(4))
    np.testing.assert_allclose([differences, true, lazy], 0, atol=1e-9)
    differences, true, lazy = names["differences_and_gradients"](np.array([1.0, -2.0, 0.5, 3.0]))
    np.testing.assert_allclose(differences, true, atol=1e-9)
    assert abs(differences).max() > 0.1
    np.testing.assert_array_equal(lazy, 0)
