"""Lesson 02's Tensor gives the numbers of minivit's own, keeps element types, and leaves nothing behind."""

import gc
import weakref

import numpy as np
import pytest

import minivit
from minivit.engine import ops
from minivit_lessons.checking import examine
from minivit_lessons.notebooks import SOLUTIONS, lesson_notebook, lessons_folder, read_notebook

from .answers import lesson

LESSON = lesson(2)
Tensor = LESSON["Tensor"]

# What to compute from x (2, 3) and y (4, 1, 3), both positive; `f` has broadcast_to and concatenate.
TWINS = {
    "x + y": lambda x, y, f: x + y,
    "x - y": lambda x, y, f: x - y,
    "x * y": lambda x, y, f: x * y,
    "x / y": lambda x, y, f: x / y,
    "-x": lambda x, y, f: -x,
    "a number on either side": lambda x, y, f: (1 - x) * 2 / (3 + y) - 1 / x,
    "an array on either side": lambda x, y, f: (ROW - x) * ROW / (ROW + y) - ROW / x + x / ROW - (x - ROW) * ROW,
    "a NumPy number": lambda x, y, f: x * np.float64(0.1) + np.sqrt(2.0),
    "x ** 3": lambda x, y, f: x**3,
    "x ** -0.5": lambda x, y, f: x**-0.5,
    "x ** 2": lambda x, y, f: x**2,
    "exp": lambda x, y, f: x.exp(),
    "log": lambda x, y, f: x.log(),
    "sqrt": lambda x, y, f: y.sqrt(),
    "tanh": lambda x, y, f: x.tanh(),
    "sum": lambda x, y, f: x.sum(),
    "sum over axes": lambda x, y, f: y.sum(axis=(0, -1), keepdims=True),
    "mean": lambda x, y, f: y.mean(),
    "mean over an axis": lambda x, y, f: x.mean(axis=-1, keepdims=True) * x,
    "max": lambda x, y, f: y.max(),
    "max over an axis": lambda x, y, f: y.max(axis=0, keepdims=True) + x.max(axis=-1)[0],
    "max of equal numbers": lambda x, y, f: (x * 0 + 1).max(axis=1),
    "reshape": lambda x, y, f: x.reshape(3, -1) + x.reshape((3, 2)),
    "transpose": lambda x, y, f: y.transpose(2, 0, 1) * y.transpose((-1, 0, -2)),
    "T": lambda x, y, f: x.T * y.transpose()[:, :, 0][:, :2],
    "z[:, 0]": lambda x, y, f: y[:, 0],
    "z[:, 1:]": lambda x, y, f: x[:, 1:],
    "q, k": lambda x, y, f: x[0] * x[1],
    "a list twice": lambda x, y, f: x[[1, 1, 0]] * x[np.array([0, 0, 0]), 1:2].T,
    "a mask": lambda x, y, f: x[x.data > 1],
    "unpacked": lambda x, y, f: [row * 2 for row in x][1],
    "broadcast_to": lambda x, y, f: f["broadcast_to"](y, (4, 2, 3)),
    "concatenate": lambda x, y, f: f["concatenate"]([x, x * 2, y[0]], axis=0),
    "concatenate along the last axis": lambda x, y, f: f["concatenate"]([x, x[:, :1]], axis=-1),
    "detach": lambda x, y, f: x * x.detach(),
    "sum of a list": lambda x, y, f: sum([x, y, x]),
    "layer norm": lambda x, y, f: (x - x.mean(-1, True)) / ((x - x.mean(-1, True)) ** 2).mean(-1, True).sqrt(),
}
ROW = np.array([0.5, -1.0, 2.0])
THEIRS = {"broadcast_to": ops.broadcast_to, "concatenate": ops.concatenate}


def run(kind, functions, compute, dtype):
    """The result of a computation and the gradients of its two inputs."""
    rng = np.random.default_rng(0)
    x, y = (kind(rng.uniform(0.5, 2.0, shape).astype(dtype), requires_grad=True) for shape in ((2, 3), (4, 1, 3)))
    out = compute(x, y, functions)
    out.backward(np.random.default_rng(1).standard_normal(out.shape).astype(dtype))
    return out.data, x.grad, y.grad


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TWINS)
def test_the_lessons_tensor_agrees_with_the_packages(name, dtype):
    tolerance = {np.float32: 1e-6, np.float64: 1e-12}[dtype]

    ours = run(Tensor, LESSON, TWINS[name], dtype)
    theirs = run(minivit.Tensor, THEIRS, TWINS[name], dtype)

    for our, their in zip(ours, theirs, strict=True):
        assert (our is None) == (their is None)
        if our is not None:
            assert (our.dtype, our.shape) == (dtype, their.shape)
            np.testing.assert_allclose(our, their, rtol=tolerance, atol=tolerance * abs(their).max())


def test_every_method_that_later_lessons_may_use_is_there():
    binary = {f"__{side}{op}__" for op in ("add", "sub", "mul", "truediv") for side in ("", "r")}
    methods = {"sum", "mean", "max", "exp", "log", "sqrt", "tanh", "reshape", "transpose", "T", "detach", "item"}
    rest = {"__pow__", "__neg__", "__getitem__", "shape", "ndim", "dtype", "backward"}

    assert binary | methods | rest <= set(dir(Tensor))
    assert {"data", "grad", "requires_grad"} <= set(vars(Tensor([1.0])))


@pytest.mark.parametrize("data", [1, 2.5, True, [1, 2], np.arange(3), np.float64(2), np.ones(2), np.ones(2, "f2")])
def test_numbers_become_the_packages_element_type(data):
    assert Tensor(data).dtype == minivit.Tensor(data).dtype
    np.testing.assert_array_equal(Tensor(data).data, minivit.Tensor(data).data)


def test_an_array_is_not_copied():
    array = np.ones(3)

    assert Tensor(array).data is array


# -- backward -------------------------------------------------------------------------------------------


def test_gradients_add_up_over_two_passes_and_are_owned_by_the_leaf():
    x, y = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)

    (x + y).sum().backward()
    x.grad *= 10  # nobody else's
    (x + y).sum().backward()

    np.testing.assert_array_equal(x.grad, [11.0, 11.0])
    np.testing.assert_array_equal(y.grad, [2.0, 2.0])


def test_a_gradient_starts_from_one_number_or_is_handed_over():
    x = Tensor([1.0, 2.0], requires_grad=True)

    with pytest.raises(ValueError, match="gradient of shape"):
        (x * 2).backward()
    with pytest.raises(ValueError, match="gradient of shape"):
        (x * 2).backward(np.ones((2, 1)))
    with pytest.raises(ValueError, match="needs a gradient"):
        Tensor([1.0]).backward()
    (x * 2).backward(Tensor([1.0, 10.0]))

    np.testing.assert_array_equal(x.grad, [2.0, 20.0])


def test_a_second_walk_through_the_same_graph_raises():
    x = Tensor([2.0], requires_grad=True)
    middle = x * x
    loss = middle.sum()
    loss.backward()

    for again in (loss, middle * 2):
        with pytest.raises(RuntimeError, match="compute the loss again"):
            again.backward(np.ones(again.shape))


def test_element_types_do_not_mix():
    with pytest.raises(TypeError, match="different element types"):
        Tensor(np.ones(2)) + Tensor(np.ones(2, np.float32))


def test_a_deep_graph_needs_no_recursion():
    x = Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(5000):
        y = y + x

    y.backward()

    assert x.grad.item() == 5001


def test_nothing_is_recorded_for_constants():
    out = Tensor([1.0]) * 2 + Tensor([3.0])

    assert (out.requires_grad, out.parents, out.vjp) == (False, (), None)


def test_backward_leaves_no_graph_behind_and_needs_no_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = Tensor(np.ones((2, 3)), requires_grad=True)
        middle = [x * 2, x.tanh()]
        loss = (middle[0] * middle[1] + middle[0].exp()).max(axis=1).sum()
        inside = [weakref.ref(tensor) for tensor in middle]
        arrays = [weakref.ref(tensor.data) for tensor in middle]
        del middle
        assert all(ref() is not None for ref in inside)  # the graph holds them

        loss.backward()  # `loss` is still there

        assert [ref() for ref in inside + arrays] == [None] * 4
        unused = (x * 2).tanh()
        kept = weakref.ref(unused)
        del unused  # a graph that never saw a backward pass
        assert kept() is None
    finally:
        gc.enable()


def test_the_walk_lets_go_as_it_goes():
    alive = []
    x = Tensor(np.ones(3), requires_grad=True)
    first = x * 2
    middle = LESSON["record"](first.data, (first,), lambda dy: (alive.append(later() is not None) or dy,))
    loss = middle * 3
    loss = loss + 1
    later = weakref.ref(loss.parents[0])

    loss.backward(np.ones(3))

    assert alive == [False]


def test_results_are_of_the_inputs_class():
    class Kind(Tensor):
        pass

    x = Kind([[1.0, 2.0]], requires_grad=True)

    for out in (2 * x, x.mean(), x[0], x.T, LESSON["concatenate"]([x, x]), x.detach(), np.ones(2) + x):
        assert type(out) is Kind


# -- what the text says ---------------------------------------------------------------------------------


def cell_with(text):
    """The source of the lesson's cell that holds a text."""
    cells = read_notebook(lesson_notebook(lessons_folder() / SOLUTIONS, 2))
    (source,) = [cell.source for cell in cells if cell.kind == "code" and text in cell.source]
    return source


def test_the_multiplications_of_one_image():
    d, n, patches, mlp = 64, 65, 64, 128
    block = n * d * 3 * d + 2 * n * n * d + n * d * d + 2 * n * d * mlp

    assert round((patches * 48 * d + 4 * block + d * 10) / 1e6) == 11
    assert 128 * n * mlp == pytest.approx(1e6, rel=0.1)  # what its GELUs see in a batch of 128


@pytest.mark.parametrize("R", [1, 2, 4])
def test_gradient_descent_finds_the_best_products(R):
    names = dict(LESSON)
    source = cell_with("def fit").partition("def draw_fit")[0]
    exec(source, names)

    guess, errors = names["fit"](names["image"], R)

    parts = np.linalg.svd(names["image"].reshape(32, 96).astype(float), compute_uv=False)
    best = (parts[R:] ** 2).sum() / 3072
    assert best * (1 - 1e-4) < errors[-1] < 1.03 * best
    assert guess.shape == (32, 32, 3)


def test_adding_in_place_spoils_one_gradient_of_three():
    names = dict(LESSON)
    exec(cell_with("def walk_in_place").partition("lines = []")[0], names)

    x, w = np.array([1.0, 2.0, 0.0]), np.array([2.0, 1.0, 3.0])
    dz = np.array([1.0, 2.0, -1.0])
    np.testing.assert_array_equal(names["right"], [[dz * w + dz], [dz * x], [dz]])
    np.testing.assert_array_equal(names["wrong"], [[dz * w + dz], [dz * x], [dz * w + dz]])
    z = names["plain_sum"](*[Tensor([[1.0, 2.0]], requires_grad=True)] * 2)
    (gradient,) = names["walk_in_place"](z, np.ones((1, 2), np.float32)).values()
    np.testing.assert_array_equal(gradient, [[2.0, 2.0]])  # z = x + x comes out right by luck


def test_a_vjp_that_takes_the_tensors_is_told_so_before_there_is_a_sum():
    names = {name: value for name, value in LESSON.items() if name != "total"}
    for source in (
        cell_with("class Tensor:"),  # again, so that it too lacks `total`: exercise 2.3 is still to come
        cell_with("def record("),
        "def unbroadcast(dy, shape):\n    return dy.sum(axis=()).reshape(shape)",
        """
def multiply(a, b):
    x, w = arrays(a, b)
    return record(x * w, (a, b), lambda dy: (unbroadcast(dy * b, x.shape), unbroadcast(dy * a, w.shape)))
""",
    ):
        exec(source, names)

    verdict = examine("multiply", names["multiply"], names)

    assert "a vjp works on their arrays" in verdict.message
