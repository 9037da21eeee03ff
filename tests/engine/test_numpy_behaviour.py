"""A Tensor behaves as a NumPy array does: values, shapes, element types, constants, and errors."""

import math
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivit import DTypeError, ShapeError, Tensor
from minivit.engine import fused, ops, reference
from tests.support import close_numbers

DTYPES = [np.float16, np.float32, np.float64]
dtypes = st.sampled_from(DTYPES)
seeds = st.integers(0, 2**32 - 1)


def same(found: Tensor, expected) -> None:
    """The same bits, in the same shape and type."""
    expected = np.asarray(expected)

    assert isinstance(found, Tensor)
    assert isinstance(found.data, np.ndarray)  # not a scalar, whatever the number of axes
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.data, expected, strict=True)


def drawn(seed, shape, dtype):
    """Numbers from 0.5 to 2: every function here is defined there."""
    return np.asarray(np.random.default_rng(seed).uniform(0.5, 2.0, shape)).astype(dtype)


arrays = st.builds(drawn, seeds, hnp.array_shapes(min_dims=0, max_dims=4, max_side=4), dtypes)


@st.composite
def pairs(draw):
    a, b = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4)).input_shapes
    dtype = draw(dtypes)
    return drawn(draw(seeds), a, dtype), drawn(draw(seeds), b, dtype)


# -- values --------------------------------------------------------------------------------------

BINARY = {
    "add": (ops.add, np.add, operator.add),
    "subtract": (ops.subtract, np.subtract, operator.sub),
    "multiply": (ops.multiply, np.multiply, operator.mul),
    "divide": (ops.divide, np.divide, operator.truediv),
}


@pytest.mark.parametrize("name", BINARY)
@given(pair=pairs())
def test_arithmetic_is_numpys(name, pair):
    op, numpys, spelling = BINARY[name]
    a, b = pair

    expected = numpys(a, b)

    same(op(Tensor(a), Tensor(b)), expected)
    same(spelling(Tensor(a), Tensor(b)), expected)


@pytest.mark.parametrize("name", BINARY)
@given(pair=pairs(), number=st.sampled_from([3, -2, 0.75, True, np.float64(1.25), np.int64(2), np.float32(0.5)]))
def test_constants_on_either_side_take_the_tensors_type(name, pair, number):
    _, numpys, spelling = BINARY[name]
    a, b = pair

    same(spelling(Tensor(a), b), numpys(a, b))
    same(spelling(a, Tensor(b)), numpys(a, b))
    same(spelling(Tensor(a), b.astype(np.float64)), numpys(a, b))
    same(spelling(Tensor(a), number), numpys(a, a.dtype.type(number)))
    same(spelling(number, Tensor(a)), numpys(a.dtype.type(number), a))


@pytest.mark.parametrize("constant", [[1, 2, 3], np.array([1, 2, 3]), np.array([True, False, True]), (0.5, 1.0, 2.0)])
def test_lists_and_whole_numbers_are_constants_too(constant):
    x = drawn(1, (2, 3), np.float32)

    same(Tensor(x) + constant, x + np.asarray(constant, np.float32))
    same(constant * Tensor(x), np.asarray(constant, np.float32) * x)


UNARY = {
    "exp": (ops.exp, Tensor.exp, np.exp),
    "log": (ops.log, Tensor.log, np.log),
    "sqrt": (ops.sqrt, Tensor.sqrt, np.sqrt),
    "tanh": (ops.tanh, Tensor.tanh, np.tanh),
    "negative": (ops.negative, operator.neg, np.negative),
    "transpose": (ops.transpose, lambda x: x.T, np.transpose),
    "power": (lambda x: ops.power(x, 3), lambda x: x**3, lambda x: x**3),
    "power of a half": (lambda x: ops.power(x, 0.5), lambda x: x**0.5, lambda x: x**0.5),
}


@pytest.mark.parametrize("name", UNARY)
@given(x=arrays)
def test_functions_of_one_array_are_numpys(name, x):
    op, method, numpys = UNARY[name]

    same(op(Tensor(x)), numpys(x))
    same(method(Tensor(x)), numpys(x))


@given(x=arrays)
def test_erf_keeps_the_type(x):
    found = ops.erf(Tensor(x))

    assert found.dtype == x.dtype
    exact = np.reshape([math.erf(v) for v in x.ravel()], x.shape)
    close_numbers(found.data, exact, rtol=4 * np.finfo(x.dtype).eps)


REDUCTIONS = {
    "sum": (ops.sum, Tensor.sum, np.sum),
    "max": (ops.max, Tensor.max, np.max),
    "min": (ops.min, Tensor.min, np.min),
    "mean": (ops.mean, Tensor.mean, np.mean),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@given(data=st.data(), x=arrays, keepdims=st.booleans())
def test_reductions_are_numpys(name, data, x, keepdims):
    op, method, numpys = REDUCTIONS[name]
    axes = st.lists(st.integers(0, x.ndim - 1), unique=True, min_size=1) if x.ndim else st.just([])
    axis = data.draw(st.none() | axes.map(tuple) | st.sampled_from(range(-x.ndim, x.ndim) or [None]))

    wide = x.astype(np.float32) if x.dtype == np.float16 else x  # NumPy adds up halves in halves along some axes
    expected = np.asarray(numpys(wide, axis=axis, keepdims=keepdims)).astype(x.dtype)

    for found in (op(Tensor(x), axis, keepdims), method(Tensor(x), axis=axis, keepdims=keepdims)):
        assert found.dtype == x.dtype
        if name == "mean":
            close_numbers(found.data, expected, rtol=8 * np.finfo(x.dtype).eps)
            assert found.shape == expected.shape
        else:
            same(found, expected)


@given(data=st.data(), dtype=dtypes, seed=seeds)
def test_matrix_products_are_numpys(data, dtype, seed):
    signature = "(m?,n),(n,p?)->(m?,p?)"
    a, b = data.draw(
        hnp.mutually_broadcastable_shapes(signature=signature, max_dims=2, min_side=1, max_side=4)
    ).input_shapes
    x, y = drawn(seed, a, dtype), drawn(seed + 1, b, dtype)

    same(Tensor(x) @ Tensor(y), x @ y)
    same(Tensor(x) @ y, x @ y)
    same(x @ Tensor(y), x @ y)
    same(ops.matmul(x.tolist(), Tensor(y)), x @ y)


@given(x=arrays, data=st.data())
def test_indexing_is_numpys(x, data):
    index = data.draw(hnp.basic_indices(x.shape, allow_newaxis=True, allow_ellipsis=True))

    same(Tensor(x)[index], x[index])


@pytest.mark.parametrize(
    "index",
    [
        [2, 0, 2],
        np.array([[0, 1], [2, 2]]),
        (slice(None), [1, 1]),
        np.array([True, False, True]),
        (np.array([True, False, True]), 0),
        np.arange(6).reshape(3, 2) > 2,
        (None, [0], Ellipsis, 1),
        (np.int64(1), -1),
    ],
    ids=str,
)
def test_indexing_by_arrays_is_numpys(index):
    x = drawn(2, (3, 2), np.float32)

    same(Tensor(x)[index], x[index])


@given(x=arrays, data=st.data())
def test_reshape_and_transpose_are_numpys(x, data):
    order = data.draw(st.permutations(range(x.ndim)))

    same(Tensor(x).reshape(-1), x.reshape(-1))
    same(Tensor(x).reshape(1, *x.shape), x.reshape(1, *x.shape))
    same(Tensor(x).reshape((*x.shape, 1)), x.reshape(*x.shape, 1))
    same(Tensor(x).transpose(*order), x.transpose(*order))
    same(Tensor(x).transpose(tuple(order)), x.transpose(order))
    same(Tensor(x).transpose(), x.T)


def test_broadcast_to_and_concatenate_are_numpys():
    x, y = drawn(3, (2, 1, 3), np.float32), drawn(4, (2, 5, 3), np.float32)

    same(ops.broadcast_to(Tensor(x), (4, 2, 6, 3)), np.broadcast_to(x, (4, 2, 6, 3)))
    same(ops.concatenate([Tensor(x), Tensor(y), Tensor(x)], axis=1), np.concatenate([x, y, x], axis=1))
    same(ops.concatenate([Tensor(x), Tensor(y)], axis=-2), np.concatenate([x, y], axis=-2))
    same(ops.concatenate([x, Tensor(y)], axis=1), np.concatenate([x, y], axis=1))


def test_a_shape_may_be_an_integer_or_a_list_as_in_numpy():
    x = drawn(3, (2, 3), np.float32)

    for length in (-1, 6, np.int64(6)):
        same(ops.reshape(Tensor(x), length), x.reshape(length))
    same(ops.reshape(Tensor(x), [3, 2]), x.reshape([3, 2]))
    same(np.reshape(Tensor(x), -1), x.reshape(-1))
    same(ops.broadcast_to(Tensor(x[0, 0]), 3), np.broadcast_to(x[0, 0], 3))
    same(ops.broadcast_to(Tensor(x), [4, 2, 3]), np.broadcast_to(x, [4, 2, 3]))
    same(Tensor(x).transpose(None), x.T)
    with pytest.raises(TypeError):
        Tensor(x).transpose(None, 0)
    same(Tensor(np.float32(2.0)).transpose(()), np.float32(2.0))


def test_tensors_to_concatenate_may_come_from_a_generator():
    x, y = (Tensor(drawn(seed, (2, 3), np.float32), requires_grad=True) for seed in (3, 4))

    out = ops.concatenate(tensor for tensor in (x, y))
    out.backward(np.arange(12.0).reshape(4, 3))

    same(out, np.concatenate([x.data, y.data]))
    np.testing.assert_array_equal(x.grad, np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(y.grad, np.arange(6.0, 12.0).reshape(2, 3))


def test_len_iteration_and_properties_are_numpys():
    x = drawn(5, (3, 2), np.float32)
    tensor = Tensor(x)

    assert (len(tensor), tensor.shape, tensor.ndim, tensor.size) == (3, (3, 2), 2, 6)
    for row, expected in zip(tensor, x, strict=True):
        same(row, expected)
    with pytest.raises(TypeError):
        len(Tensor(1.0))
    with pytest.raises(TypeError):
        iter(Tensor(1.0)).__next__()


# -- element types -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_op_keeps_the_type_of_values_and_of_gradients(dtype):
    """Half, single and double stay what they are, forward and backward, whatever numbers an op multiplies by."""
    x, y = drawn(6, (2, 6, 12), dtype), drawn(7, (12,), dtype)
    functions = [
        *(lambda a, b, f=f: f(a, b) for f, _, _ in BINARY.values()),
        *(lambda a, b, f=f: f(a) + b * 0 for f, _, _ in UNARY.values() if f is not ops.transpose),
        *(lambda a, b, f=f: f(a, -1, True) * b for f, _, _ in REDUCTIONS.values()),
        lambda a, b: a.reshape(12, 12)[:, 1:5].T.sum() * b.mean(),
        lambda a, b: ops.concatenate([a[0], a[1] @ b.reshape(12, 1) * b], axis=0)[[0, 0, 3]],
        lambda a, b: ops.broadcast_to(b, (2, 6, 12)) / a.max(),
        lambda a, b: (a - 0.5) * 2 / 3.0 + 1 - b**2.0,
        lambda a, b: ops.erf(a) * b,
        lambda a, b: fused.layer_norm(a, b, b, 1e-3),
        lambda a, b: fused.linear(a, b.reshape(12, 1) * b, b),
        lambda a, b: fused.gelu(a, "tanh") * fused.gelu(b, "erf"),
        lambda a, b: fused.softmax(a, 1) * b,
        lambda a, b: fused.attention(a * b, 2),
        # a loss is float32 at the least
        lambda a, b: fused.cross_entropy((a * b).reshape(12, 12), np.arange(12), 0.1).astype(a.dtype),
        lambda a, b: fused.dropout(a * b, 0.25, np.random.default_rng(0)),
        lambda a, b: fused.patchify((a * b).reshape(2, 6, 4, 3), 2),
        lambda a, b: reference.layer_norm(a, b, b),
        lambda a, b: reference.gelu(a, "tanh") * reference.gelu(b, "erf"),
        lambda a, b: reference.attention(a * b, 2),
        lambda a, b: reference.cross_entropy((a * b).reshape(12, 12), np.arange(12), 0.1).astype(a.dtype),
        lambda a, b: reference.dropout(a * b, 0.25, np.random.default_rng(0)),
    ]

    for function in functions:
        a, b = Tensor(x, requires_grad=True), Tensor(y, requires_grad=True)
        out = function(a, b)
        assert out.dtype == dtype
        out.backward(np.ones(out.shape, dtype))
        assert a.grad is None or (a.grad.dtype == dtype and a.grad.shape == a.shape)
        assert b.grad is None or (b.grad.dtype == dtype and b.grad.shape == b.shape)
        assert a.grad is not None or b.grad is not None


@pytest.mark.parametrize("exponent", [np.float64(2.0), np.float32(2.0), np.int64(2)])
def test_an_exponent_that_is_a_numpy_number_does_not_change_the_type(exponent):
    x = Tensor(drawn(8, (3,), np.float32), requires_grad=True)

    out = x**exponent
    out.sum().backward()

    assert out.dtype == x.grad.dtype == np.float32


MIXED = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "matmul": lambda x, y: x @ y,
    "concatenate": lambda x, y: ops.concatenate([x, y]),
    "linear": lambda x, y: fused.linear(x, y),
    "linear's bias": lambda x, y: fused.linear(x, x.detach(), y[0]),
    "layer_norm": lambda x, y: fused.layer_norm(x, y[0], y[1]),
}


@pytest.mark.parametrize("name", MIXED)
def test_tensors_of_different_types_do_not_mix(name):
    single = Tensor(np.eye(3, dtype=np.float32), requires_grad=True)
    double = Tensor(np.eye(3), requires_grad=True)

    with pytest.raises(DTypeError, match="float32 and float64"):
        MIXED[name](single, double)


def test_astype_converts_and_its_gradient_comes_back_in_the_first_type():
    x = Tensor(np.array([0.1, 0.2], np.float32), requires_grad=True)

    y = x.astype(np.float64)
    (y * np.array([1.0, 1e-3])).sum().backward()

    same(y, x.data.astype(np.float64))
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, np.array([1.0, 1e-3], np.float32))


# -- making and leaving Tensors ------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [3, 2.5, True, [1, 2], [[1.0], [2.0]], (1, 2.5), np.arange(3), np.array([True]), np.int8(4), range(3)]
)
def test_numbers_lists_and_whole_numbers_become_float32(data):
    same(Tensor(data), np.asarray(data).astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_of_floats_keeps_its_type_and_is_not_copied(dtype):
    array = np.ones((2, 3), dtype)

    assert Tensor(array).data is array
    assert Tensor(dtype(2.0)).dtype == dtype  # a NumPy scalar too


@pytest.mark.parametrize(
    "data", [np.array([1j]), np.array(["a"]), np.array([None]), np.array([1], "M8[s]"), Tensor([1.0])], ids=repr
)
def test_other_types_are_refused(data):
    with pytest.raises(DTypeError):
        Tensor(data)


@pytest.mark.parametrize("data", [None, "3.5", [None, 1.0], "word"], ids=repr)
def test_what_is_no_number_does_not_become_one(data):
    """NumPy reads None as nan and "3.5" as 3.5; a mistake should not turn into a number in silence."""
    with pytest.raises(DTypeError):
        Tensor(data)


@pytest.mark.parametrize("operand", [None, "3.5"], ids=repr)
def test_what_is_no_number_is_no_constant(operand):
    with pytest.raises(DTypeError):
        Tensor([1.0]) + operand


def test_an_op_needs_a_tensor():
    with pytest.raises(DTypeError, match="Tensor"):
        ops.add(1.0, np.ones(3))
    with pytest.raises(DTypeError, match="plain number"):
        Tensor([1.0]) ** Tensor([2.0])
    with pytest.raises(DTypeError, match="floating-point"):
        Tensor([1.0]).astype(np.int32)


def test_item_is_a_python_number():
    assert Tensor([[2.5]]).item() == 2.5
    assert type(Tensor(2.5).item()) is float
    with pytest.raises(ShapeError, match="one element"):
        Tensor([1.0, 2.0]).item()


def test_numpy_is_the_array_itself():
    x = Tensor([1.0, 2.0])

    assert x.numpy() is x.data


def test_repr_shows_values_shape_type_and_name():
    text = repr(Tensor([1.0, 2.5], requires_grad=True, name="scale"))

    for part in ("[1. , 2.5]", "(2,)", "float32", "requires_grad=True", "scale"):
        assert part in text
    assert len(repr(Tensor(np.zeros((300, 300))))) < 1000


# -- errors --------------------------------------------------------------------------------------

MISFITS = {
    "add": lambda: Tensor(np.ones(2)) + np.ones(3),
    "matmul": lambda: Tensor(np.ones((2, 3))) @ np.ones((2, 3)),
    "matmul of a number": lambda: Tensor(np.ones(2)) @ 2.0,
    "matmul with no axes": lambda: Tensor(1.0) @ np.ones(2),
    "reshape": lambda: Tensor(np.ones(6)).reshape(4, 2),
    "transpose, too few axes": lambda: Tensor(np.ones((2, 3))).transpose(0),
    "transpose, an axis twice": lambda: Tensor(np.ones((2, 3))).transpose(0, 0),
    "transpose, no such axis": lambda: Tensor(np.ones((2, 3))).transpose(0, 3),
    "broadcast_to": lambda: ops.broadcast_to(Tensor(np.ones(2)), (3,)),
    "concatenate with an array": lambda: ops.concatenate([Tensor(np.ones((2, 3))), np.ones((2, 4))]),
    "concatenate": lambda: ops.concatenate([Tensor(np.ones((2, 3))), Tensor(np.ones((2, 4)))], axis=0),
    "concatenate a generator's": lambda: ops.concatenate(Tensor(np.ones((2, n))) for n in (3, 4)),
    "transpose, no axes": lambda: Tensor(np.ones((2, 3))).transpose(()),
    "softmax over no such axis": lambda: fused.softmax(Tensor(np.ones((2, 3))), 2),
    "softmax over two axes": lambda: fused.softmax(Tensor(np.ones((2, 3))), (0, 1)),
    "softmax of a number": lambda: fused.softmax(Tensor(1.0)),
    "layer_norm of a number": lambda: fused.layer_norm(Tensor(1.0), Tensor([1.0]), Tensor([1.0])),
    "layer_norm, one weight": lambda: fused.layer_norm(Tensor(np.ones((2, 3))), Tensor(np.ones(1)), Tensor(np.ones(3))),
    "layer_norm, a table of weights": lambda: fused.layer_norm(
        Tensor(np.ones((2, 3))), Tensor(np.ones((2, 3))), Tensor(np.ones(3))
    ),
    "layer_norm, too many biases": lambda: fused.layer_norm(
        Tensor(np.ones((2, 3))), Tensor(np.ones(3)), Tensor(np.ones(4))
    ),
    "layer_norm, a number as bias": lambda: fused.layer_norm(Tensor(np.ones((2, 3))), Tensor(np.ones(3)), 0.0),
    "equality": lambda: Tensor(np.ones(2)) == Tensor(np.ones(3)),
    "order": lambda: Tensor(np.ones((2, 3))) < [1.0, 2.0],
    "maximum of nothing, over no such axis": lambda: Tensor(np.ones((0, 3))).max(axis=5),
    "sum over no such axis": lambda: Tensor(np.ones(2)).sum(axis=1),
    "linear": lambda: fused.linear(Tensor(np.ones((2, 3))), Tensor(np.ones((4, 5)))),
    "attention": lambda: fused.attention(Tensor(np.ones((1, 2, 12))), 3),
    "patchify": lambda: fused.patchify(Tensor(np.ones((1, 6, 8, 3))), 4),
    "patchify without a batch": lambda: fused.patchify(Tensor(np.ones((8, 8, 3))), 4),
    "cross_entropy, too few labels": lambda: fused.cross_entropy(Tensor(np.ones((2, 3))), np.array([1])),
    "cross_entropy, no such class": lambda: fused.cross_entropy(Tensor(np.ones((2, 3))), np.array([0, 3])),
    "cross_entropy, negative class": lambda: fused.cross_entropy(Tensor(np.ones((2, 3))), np.array([0, -1])),
    "cross_entropy, floats as numbers": lambda: fused.cross_entropy(Tensor(np.ones((2, 3))), np.array([0.0, 1.0])),
}


@pytest.mark.parametrize("name", MISFITS)
def test_shapes_that_do_not_fit_are_errors(name):
    with pytest.raises(ValueError):
        MISFITS[name]()


@pytest.mark.parametrize(
    "name", ["matmul of a number", "linear", "attention", "patchify", "cross_entropy, no such class"]
)
def test_what_minivit_checks_itself_is_a_shape_error(name):
    with pytest.raises(ShapeError):
        MISFITS[name]()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("add", "(2, 3) and (4,)"),
        ("matmul", "(2, 3) @ (2, 3)"),
        ("matmul of stacks", "(2, 3, 4) @ (5, 4, 6)"),
        ("divide an array", "(2,) and (3,)"),
        ("reshape", "(2, 3) does not fit into the shape (4, 2)"),
        ("transpose, an axis twice", "(0, 0) does not fit the shape (2, 3)"),
        ("broadcast_to", "(2,) does not broadcast to (3,)"),
        ("concatenate", "(2, 3) and (2, 4)"),
        ("concatenate with an array", "(2, 3) and (2, 4)"),
        ("concatenate a generator's", "the shapes of these tensors cannot be concatenated"),
        ("reshape to a list", "(2, 3) does not fit into the shape [4, 2]"),
        ("reshape to an integer", "(2, 3) does not fit into the shape 5"),
        ("broadcast_to an integer", "(2,) does not broadcast to 3"),
        ("transpose, no axes", "the order of axes () does not fit the shape (2, 3)"),
        ("softmax over no such axis", "softmax is over one axis of its input: found axis 2 of the shape (2, 3)"),
        ("softmax over two axes", "found axis (0, 1) of the shape (2, 3)"),
        ("softmax of a number", "found axis -1 of the shape ()"),
        ("layer_norm of a number", "an input of shape () has no last axis"),
        ("layer_norm, one weight", "layer_norm: the weight has shape (1,); its shape must be (3,)"),
        ("layer_norm, a table of weights", "layer_norm: the weight has shape (2, 3); its shape must be (3,)"),
        ("layer_norm, too many biases", "layer_norm: the bias has shape (4,); its shape must be (3,)"),
        ("layer_norm, a number as bias", "layer_norm: the bias has shape (); its shape must be (3,)"),
        ("equality", "the shapes (2,) and (3,) do not broadcast"),
        ("order", "the shapes (2, 3) and (2,) do not broadcast"),
        ("sum, all by name", "sum of shape (2, 3): axis 5 is out of bounds"),
        ("add a tuple", "the shapes (2, 3) and (2,) do not broadcast"),
        ("maximum of nothing, over no such axis", "axis 5 is out of bounds: the Tensor has shape (0, 3)"),
    ],
)
def test_both_shapes_are_named(name, words):
    with pytest.raises(ShapeError) as raised:
        SHAPES[name]()
    assert words in str(raised.value) and len(str(raised.value)) < 200


SHAPES = MISFITS | {
    "add": lambda: Tensor(np.ones((2, 3))) + Tensor(np.ones(4)),
    "matmul": lambda: Tensor(np.ones((2, 3))) @ Tensor(np.ones((2, 3))),
    "matmul of stacks": lambda: Tensor(np.ones((2, 3, 4))) @ Tensor(np.ones((5, 4, 6))),
    "add a tuple": lambda: ops.add(Tensor(np.ones((2, 3))), (1.0, 2.0)),
    "sum, all by name": lambda: ops.sum(a=Tensor(np.ones((2, 3))), axis=5),
    "broadcast_to an integer": lambda: ops.broadcast_to(Tensor(np.ones(2)), 3),
    "reshape to a list": lambda: ops.reshape(Tensor(np.ones((2, 3))), [4, 2]),
    "reshape to an integer": lambda: ops.reshape(Tensor(np.ones((2, 3))), 5),
    "divide an array": lambda: [1.0, 2.0] / Tensor(np.ones(3)),
    "reshape": lambda: Tensor(np.ones((2, 3))).reshape(4, 2),
    "transpose, an axis twice": lambda: Tensor(np.ones((2, 3))).transpose(0, 0),
    "concatenate": lambda: ops.concatenate([Tensor(np.ones((2, 3))), Tensor(np.ones((2, 4)))]),
}


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min"])
def test_an_axis_that_is_not_there_is_a_shape_error_and_numpys(name):
    with pytest.raises(ShapeError, match=rf"{name} of shape \(2, 3\): axis 5 is out of bounds") as raised:
        getattr(Tensor(np.ones((2, 3))), name)(axis=5)
    assert isinstance(raised.value, np.exceptions.AxisError)
    with pytest.raises(ShapeError, match=r"^a reduction of the shape \(2, 3\) names each axis once$"):
        getattr(Tensor(np.ones((2, 3))), name)(axis=(0, 0))


@pytest.mark.parametrize("axis", [5, -3, (0, 5)], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min"])
def test_nothing_has_no_such_axis_either(name, axis):
    with pytest.raises(ShapeError, match="is out of bounds") as raised:
        getattr(Tensor(np.ones((0, 3))), name)(axis=axis)
    assert isinstance(raised.value, np.exceptions.AxisError)


def test_what_does_not_broadcast_is_neither_equal_nor_in_it():
    x = Tensor(np.ones((2, 3)))
    for compare in (operator.eq, operator.ne, operator.lt, operator.ge):
        with pytest.raises(ShapeError, match=r"^the shapes \(2, 3\) and \(4,\) do not broadcast"):
            compare(x, np.ones(4))
    with pytest.raises(ShapeError, match="do not broadcast"):
        [1.0, 2.0] in x  # noqa: B015
    assert (x == np.ones(3)).all()


def test_an_index_out_of_range_is_an_error():
    with pytest.raises(IndexError):
        Tensor([1.0])[1]


def test_an_unknown_form_of_gelu_is_an_error():
    with pytest.raises(ValueError, match="'relu'"):
        fused.gelu(Tensor([1.0]), "relu")


@pytest.mark.parametrize("axis", [np.int64(1), np.int32(-1), (np.int64(0), np.int64(1))], ids=repr)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_an_axis_may_be_a_numpy_number(name, axis):
    op, _, numpys = REDUCTIONS[name]
    x = Tensor(drawn(9, (2, 3), np.float64), requires_grad=True)

    out = op(x, axis)
    out.backward(np.ones(out.shape))

    close_numbers(out.data, numpys(x.data, axis=axis), rtol=1e-15)
    assert x.grad.shape == (2, 3)


def test_a_length_may_be_a_numpy_number():
    assert Tensor(np.ones(6)).reshape(np.int64(6)).shape == (6,)
    assert Tensor(np.ones(6)).reshape(np.int64(2), -1).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        (
            "add",
            "the shapes (2, 3) and (4,) do not broadcast: from the last axis to the first, lengths must be equal, or 1",
        ),
        (
            "matmul",
            "the shapes (2, 3) @ (2, 3) do not fit: the first's last axis must be as long as the second's last axis "
            "but one, and the axes before these must broadcast",
        ),
        (
            "reshape",
            "a Tensor of shape (2, 3) does not fit into the shape (4, 2): the number of elements must stay the same",
        ),
        ("transpose, an axis twice", "the order of axes (0, 0) does not fit the shape (2, 3): name each axis once"),
        (
            "broadcast_to",
            "the shape (2,) does not broadcast to (3,): from the last axis to the first, lengths must be equal, or 1 "
            "in (2,)",
        ),
        (
            "concatenate",
            "the shapes (2, 3) and (2, 4) cannot be concatenated: all axes but the one of `axis` must be equally long",
        ),
    ],
)
def test_the_sentence_says_the_rule(name, whole):
    with pytest.raises(ShapeError) as raised:
        SHAPES[name]()
    assert str(raised.value) == whole
