"""How an array is stored is no part of the mathematics: every op gives the same for each memory order."""

import numpy as np
import pytest

from minivit import Tensor, gradcheck
from minivit.convolution import ops as convolution
from minivit.convolution import reference as composed_convolution
from minivit.engine import fused, ops, reference
from tests.support import close_numbers, memory_orders

ORDERS = ["by columns", "permuted", "backwards", "with gaps"]
LABELS = np.array([1, 0, 2])


def same_mask(function):
    return lambda x: function(x, 0.4, np.random.default_rng(0))


OPS = {
    "add": (lambda x, y: x + y, (3, 4), (3, 4)),
    "multiply": (lambda x, y: x * y, (3, 4), (2, 3, 4)),
    "divide": (lambda x, y: x / y, (3, 4), (4,)),
    "matmul": (lambda x, y: x @ y, (3, 1, 6), (3, 6, 2)),
    "matmul of vectors": (lambda x, y: x @ y, (6,), (6,)),
    "power": (lambda x: abs(x) ** 1.5, (3, 4)),
    "mean": (lambda x: x.mean(axis=(0, 2)), (3, 1, 6)),
    "var": (lambda x: x.var(axis=1), (3, 5, 2)),
    "max": (lambda x: x.max(axis=0), (3, 1, 6)),
    "min": (lambda x: x.min(axis=-1), (3, 1, 6)),
    "reshape": (lambda x: x.reshape(2, 9), (3, 1, 6)),
    "getitem": (lambda x: x[[0, 2, 2], :, 1:], (3, 1, 6)),
    "concatenate": (lambda x, y: ops.concatenate([x, y], axis=1), (3, 2), (3, 1)),
    "linear": (lambda x, w, b: fused.linear(x, w, b), (3, 1, 6), (6, 4), (4,)),
    "layer_norm": (lambda x, w, b: fused.layer_norm(x, w, b), (3, 1, 6), (6,), (6,)),
    "gelu": (fused.gelu, (3, 1, 6)),
    "softmax": (fused.softmax, (3, 1, 6)),
    "softmax over the first axis": (lambda x: fused.softmax(x, 0), (3, 1, 6)),
    "attention, one token": (lambda x: fused.attention(x, 2), (3, 1, 6)),
    "attention, one number a head": (lambda x: fused.attention(x, 3), (2, 4, 9)),
    "attention, nine heads": (lambda x: fused.attention(x, 3), (2, 1, 27)),
    "attention, one query": (lambda x: fused.attention(x, 2, 1), (1, 3, 12)),
    "composed attention": (lambda x: reference.attention(x, 2), (3, 1, 6)),
    "cross_entropy": (lambda x: fused.cross_entropy(x, LABELS, 0.1), (3, 4)),
    "composed cross_entropy": (lambda x: reference.cross_entropy(x, LABELS, 0.1), (3, 4)),
    "dropout": (same_mask(fused.dropout), (3, 1, 6)),
    "patchify": (lambda x: fused.patchify(x, 2), (1, 2, 4, 3)),
    "conv2d": (convolution.conv2d, (2, 3, 4, 2), (2, 2, 2, 3)),
    "conv2d of one pixel": (convolution.conv2d, (2, 3, 4, 2), (1, 1, 2, 3)),
    "max_pool": (lambda x: convolution.max_pool(x, 2, 1), (2, 3, 4, 2)),
    "group_norm": (lambda x, w, b: convolution.group_norm(x, w, b, 2), (2, 3, 4, 6), (6,), (6,)),
    "composed group_norm": (lambda x, w, b: composed_convolution.group_norm(x, w, b, 2), (2, 3, 4, 6), (6,), (6,)),
    "standardize": (convolution.standardize, (3, 3, 2, 4)),
    "relu": (convolution.relu, (3, 4)),
}


def results(function, arrays, order, scale):
    """Value and gradients, of inputs and with a cotangent that are stored in an order."""
    rng = np.random.default_rng(1)

    def stored(x):
        return memory_orders(x)[order] if order else x

    leaves = [Tensor(stored((scale * x).astype(np.float32)), requires_grad=True) for x in arrays]
    kept = [leaf.data.copy() for leaf in leaves]
    out = function(*leaves)
    dy = stored(rng.standard_normal(out.shape).astype(np.float32))
    before = dy.copy()
    out.backward(dy)

    for leaf, copy in zip(leaves, kept, strict=True):
        np.testing.assert_array_equal(leaf.data, copy)  # no op writes into what it is given
    np.testing.assert_array_equal(dy, before)
    return [out.data, *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("scale", [1.0, 12.0, 1e4])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", OPS)
def test_every_memory_order_gives_the_same_value_and_gradient(name, order, scale):
    function, *shapes = OPS[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]

    expected = results(function, arrays, None, scale)
    for found, right in zip(results(function, arrays, order, scale), expected, strict=True):
        close_numbers(found, right, rtol=1e-5, atol=1e-5 * max(1e-3, np.abs(right).max(initial=0.0)))


def test_orders_that_are_drawn_differ():
    x = np.arange(24.0).reshape(2, 3, 4)

    orders = memory_orders(x)

    assert set(orders) == set(ORDERS)
    assert len({array.strides for array in [x, *orders.values()]}) == 5
    for array in orders.values():
        np.testing.assert_array_equal(array, x)


def test_the_checker_keeps_the_memory_order():
    seen = set()

    def watched(x):
        seen.add(x.data.flags.f_contiguous and not x.data.flags.c_contiguous)
        return x * x

    gradcheck(watched, np.asfortranarray(np.random.default_rng(0).standard_normal((3, 4))))

    assert seen == {True}


def test_a_function_that_writes_into_rows_refuses_what_is_not_stored_in_rows():
    """It would compute with a copy, and change nothing."""
    with pytest.raises(ValueError, match="not contiguous"):
        fused.softmax_in_place(np.ones((3, 4)).T, 1.0, np.ones((4, 3)))
