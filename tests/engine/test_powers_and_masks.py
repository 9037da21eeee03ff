"""Special points: powers at 0, logits of -infinity, numbers near the largest, numbers near 0, and nan."""

import warnings

import numpy as np
import pytest

from minivit import GradientError, ShapeError, Tensor, gradcheck
from minivit.convolution import ops as convolution
from minivit.engine import fused, ops, reference
from minivit.engine.tensor import record
from tests.support import close_numbers, equal_numbers

both = pytest.mark.parametrize("module", [fused, reference], ids=["fused", "reference"])
INF = float("inf")


def slope(function, *values, dtype=np.float64):
    x = Tensor(np.array(values, dtype), requires_grad=True)
    y = function(x)
    y.backward(np.ones(y.shape))
    return x.grad


# -- powers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_x_to_the_power_of_0_is_the_constant_1(dtype):
    equal_numbers(slope(lambda x: x**0, 0.0, 2.0, -3.0, INF, -INF, dtype=dtype), np.zeros(5, dtype))
    equal_numbers((Tensor(np.array([0.0, 2.0, INF], dtype)) ** 0).data, np.ones(3, dtype))
    equal_numbers(slope(lambda x: x**0.0, np.nan), [0.0])


def test_the_slope_of_a_polynomial_at_0():
    equal_numbers(slope(lambda x: x**0 * 5 + x**1 * 3 + x**2 * 2 + x**3, 0.0), [3.0])


@pytest.mark.parametrize(("exponent", "right"), [(1, 1.0), (2, 0.0), (3, 0.0), (1.5, 0.0), (1.0, 1.0)])
def test_powers_at_0(exponent, right):
    equal_numbers(slope(lambda x: x**exponent, 0.0), [right])


@pytest.mark.parametrize(("exponent", "right"), [(0.5, INF), (-1, -INF), (-0.5, -INF)])
def test_powers_that_are_steep_at_0(exponent, right):
    with np.errstate(divide="ignore"):
        equal_numbers(slope(lambda x: x**exponent, 0.0), [right])


# -- logits of -infinity -------------------------------------------------------------------------

MASKED = np.array([[1.0, 2.0, -INF, 0.5], [-INF, 0.0, -INF, 1.0]])
CLASSES = np.array([1, 3])
SHARES = np.array([[0.25, 0.5, 0.0, 0.25], [0.0, 1.0, 0.0, 0.0]])


def by_hand(logits, targets):
    """The loss and its gradient, of each class with a share alone."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -sum(targets[i, k] * np.log(p[i, k]) for i, k in zip(*np.nonzero(targets), strict=True)) / len(logits)
    return loss, (p * targets.sum(axis=1, keepdims=True) - targets) / len(logits)


@both
@pytest.mark.parametrize(
    "labels", [CLASSES, np.eye(4)[CLASSES], SHARES, 3.0 * SHARES], ids=["classes", "one", "soft", "3"]
)
def test_a_class_that_is_masked_adds_nothing_to_the_loss(module, labels):
    logits = Tensor(MASKED, requires_grad=True)

    loss = module.cross_entropy(logits, labels)
    loss.backward()

    value, gradient = by_hand(MASKED, np.eye(4)[labels] if labels.ndim == 1 else labels)
    close_numbers(loss.item(), value, rtol=1e-14)
    close_numbers(logits.grad, gradient, rtol=0, atol=1e-15)


@both
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_masked_class_that_has_a_share_makes_the_loss_infinite(module, smoothing):
    """The true class itself, or any class with smoothed labels: -log 0. Its gradient is finite all the same."""
    labels = np.array([2, 3]) if not smoothing else CLASSES
    logits = Tensor(MASKED, requires_grad=True)

    with np.errstate(divide="ignore"):
        loss = module.cross_entropy(logits, labels, smoothing)
    loss.backward()

    assert loss.item() == INF
    assert np.isfinite(logits.grad).all()


@both
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_masked_logits_in_other_types(module, dtype):
    loss = module.cross_entropy(Tensor(MASKED.astype(dtype)), CLASSES)

    close_numbers(loss.item(), by_hand(MASKED, np.eye(4)[CLASSES])[0], rtol=1e-6)


@both
@pytest.mark.parametrize("labels", [np.array([0]), np.array([[1.0, 0.0, 0.0]])], ids=["class", "shares"])
def test_logits_at_both_ends_of_float32(module, labels):
    logits = Tensor(np.array([[3e38, -3e38, 0.0]], np.float32), requires_grad=True)

    loss = module.cross_entropy(logits, labels)
    loss.backward()

    assert loss.item() == 0.0
    equal_numbers(logits.grad, np.zeros((1, 3), np.float32))
    equal_numbers(module.softmax(logits).data, np.float32([[1.0, 0.0, 0.0]]))


def test_attention_whose_scores_are_far_apart():
    qkv = np.array([[[1e19, 1e19, 1.0], [-1e19, -1e19, 2.0]]], np.float32)  # scores of 1e38 and -1e38

    for module in (fused, reference):
        equal_numbers(module.attention(Tensor(qkv), 1).data, np.float32([[[1.0], [2.0]]]))


# -- nan -----------------------------------------------------------------------------------------


def test_the_checker_rejects_a_gradient_of_nan_where_the_function_is_flat():
    """Its numeric slope is 0: no size says how wrong the gradient is."""

    def flat(x):
        return record(np.zeros(x.shape), (x,), lambda dy: (dy * np.nan,))

    with pytest.raises(GradientError, match="nan"):
        gradcheck(flat, np.ones(3))


@pytest.mark.parametrize("value", [np.nan, INF])
def test_the_checker_rejects_a_function_that_is_not_finite(value):
    with pytest.raises(GradientError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gradcheck(lambda x: x * value, np.ones(3))


def test_the_maximum_of_nan_is_nan_and_its_gradient_goes_there():
    equal_numbers(slope(lambda x: x.max(), 1.0, np.nan, 3.0), [0.0, 1.0, 0.0])
    equal_numbers(slope(lambda x: x.min(), 1.0, np.nan, np.nan), [0.0, 0.5, 0.5])


def test_comparisons_of_the_tests_never_let_nan_pass():
    for compare in (equal_numbers, close_numbers):
        with pytest.raises(AssertionError):
            compare(np.array([1.0, np.nan]), np.array([1.0, np.nan]))


# -- far from 0, and near it ---------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tanh", "erf"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gelu_of_enormous_numbers_is_straight_or_flat(form, dtype):
    largest = np.finfo(dtype).max if dtype == np.float16 else np.finfo(dtype).max ** 0.49  # x³ is infinite, x² is not
    points = (np.array([-1.0, -1e-4, 1e-4, 1.0]) * float(largest)).astype(dtype)

    x = Tensor(points, requires_grad=True)
    y = fused.gelu(x, form)
    y.backward(np.ones(4))

    expected = np.maximum(points, 0) if dtype != np.float16 else fused.gelu(Tensor(points.astype("d")), form).data
    close_numbers(y.data, expected.astype(dtype), rtol=2e-3 if dtype == np.float16 else 0)
    if dtype != np.float16:
        equal_numbers(x.grad, np.array([0.0, 0.0, 1.0, 1.0], dtype))


def rare(dtype):
    """Numbers near 0 and far from it, as (2, 4)."""
    tiny = float(np.finfo(dtype).tiny)
    return np.array([[0.0, -200.0, 1.0, 2 * tiny], [5 * tiny, tiny, -9.0, 30.0]], dtype)


QUIET = {
    "softmax": (lambda x, tiny, one: fused.softmax(x), (4,)),
    "gelu, tanh": (lambda x, tiny, one: fused.gelu(x, "tanh"), (4,)),
    "gelu, erf": (lambda x, tiny, one: fused.gelu(x, "erf"), (4,)),
    "layer_norm": (lambda x, tiny, one: fused.layer_norm(x, tiny, one), (4,)),
    "linear": (lambda x, tiny, one: fused.linear(x, tiny, one), (4, 4)),
    "attention": (lambda x, tiny, one: fused.attention(x.reshape(1, 2, 4)[:, :, [0, 1, 2, 3, 2, 1]], 2), (4,)),
    "cross_entropy": (lambda x, tiny, one: fused.cross_entropy(x, np.array([3, 1]), 0.1), (4,)),
    "dropout": (lambda x, tiny, one: fused.dropout(x, 0.3, np.random.default_rng(0)), (4,)),
    "composed softmax": (lambda x, tiny, one: reference.softmax(x), (4,)),
    "composed gelu": (lambda x, tiny, one: reference.gelu(x, "erf"), (4,)),
    "composed layer_norm": (lambda x, tiny, one: reference.layer_norm(x, tiny, one), (4,)),
    "composed attention": (
        lambda x, tiny, one: reference.attention(x.reshape(1, 2, 4)[:, :, [0, 1, 2, 3, 2, 1]], 2),
        (4,),
    ),
    "composed cross_entropy": (lambda x, tiny, one: reference.cross_entropy(x, np.array([3, 1]), 0.1), (4,)),
    "conv2d": (lambda x, tiny, one: convolution.conv2d(x.reshape(1, 2, 2, 2), tiny), (2, 2, 2, 1)),
    "group_norm": (lambda x, tiny, one: convolution.group_norm(x.reshape(1, 1, 2, 4), tiny, one, 2), (4,)),
    "standardize": (lambda x, tiny, one: convolution.standardize(x.reshape(1, 1, 2, 4)), (4,)),
    "tanh": (lambda x, tiny, one: x.tanh(), (4,)),
    "products, backwards": (lambda x, tiny, one: (x + one) * one, (4,)),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("name", QUIET)
def test_a_caller_who_lets_numpy_raise_is_not_troubled_by_harmless_underflow(name, dtype):
    function, shape = QUIET[name]
    x = Tensor(rare(dtype), requires_grad=True)
    tiny = Tensor(np.full(shape, np.finfo(dtype).tiny, dtype), requires_grad=True)
    one = Tensor(np.ones(shape[-1:], dtype), requires_grad=True)

    with np.errstate(all="raise"):
        out = function(x, tiny, one)
        out.backward(np.full(out.shape, 3 * np.finfo(out.dtype).tiny, out.dtype))

    assert np.isfinite(out.data).all()
    assert np.isfinite(x.grad).all()


def test_what_is_no_harmless_underflow_still_raises():
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        fused.linear(Tensor([[1e30]]), Tensor([[1e30]]))
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        Tensor([0.0]).log()


# -- nothing at all ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)], ids=str)
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("name", ["mean", "var", "sum", "max", "min"])
def test_reductions_of_nothing_are_numpys_or_an_error_that_says_so(name, shape, axis):
    x = Tensor(np.zeros(shape), requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = np.asarray(getattr(np.zeros(shape), name)(axis=axis))
        except ValueError:
            expected = None

    if expected is None:
        with pytest.raises(ShapeError, match=f"{name} of no elements"):
            getattr(x, name)(axis=axis)
        return
    out = getattr(x, name)(axis=axis)
    np.testing.assert_array_equal(out.data, expected)
    out.backward(np.ones(out.shape))
    assert x.grad.shape == shape


def test_an_axis_that_is_not_there_is_numpys_error_also_of_nothing():
    for name in ("mean", "max", "var", "sum"):
        with pytest.raises((ValueError, IndexError)):
            getattr(Tensor(np.zeros((0, 3))), name)(axis=5)


def ones(*shape):
    return Tensor(np.ones(shape), requires_grad=True)


EMPTY = {
    "linear, no rows": (lambda x: fused.linear(x, ones(3, 2), ones(2)), (0, 3), (0, 2)),
    "linear, no features": (lambda x: fused.linear(x, ones(0, 2), ones(2)), (3, 0), (3, 2)),
    "linear, no outputs": (lambda x: fused.linear(x, ones(3, 0), ones(0)), (2, 3), (2, 0)),
    "linear, nothing": (lambda x: fused.linear(x, ones(0, 0), ones(0)), (2, 4, 0), (2, 4, 0)),
    "layer_norm, no rows": (lambda x: fused.layer_norm(x, ones(3), ones(3)), (0, 3), (0, 3)),
    "layer_norm, no width": (lambda x: fused.layer_norm(x, ones(0), ones(0)), (2, 3, 0), (2, 3, 0)),
    "composed layer_norm, no width": (lambda x: reference.layer_norm(x, ones(0), ones(0)), (2, 0), (2, 0)),
    "gelu": (fused.gelu, (0, 3), (0, 3)),
    "softmax": (fused.softmax, (0, 3), (0, 3)),
    "softmax, no width": (fused.softmax, (3, 0), (3, 0)),
    "attention, no images": (lambda x: fused.attention(x, 2), (0, 5, 12), (0, 5, 4)),
    "attention, no tokens": (lambda x: fused.attention(x, 2), (2, 0, 12), (2, 0, 4)),
    "attention, no width": (lambda x: fused.attention(x, 2), (2, 3, 0), (2, 3, 0)),
    "attention, no queries": (lambda x: fused.attention(x, 2, 0), (2, 3, 12), (2, 0, 4)),
    "composed attention, no images": (lambda x: reference.attention(x, 2), (0, 5, 12), (0, 5, 4)),
    "composed attention, no queries": (lambda x: reference.attention(x, 2, 0), (2, 3, 12), (2, 0, 4)),
    "dropout": (lambda x: fused.dropout(x, 0.5, np.random.default_rng(0)), (0, 3), (0, 3)),
    "patchify, no images": (lambda x: fused.patchify(x, 2), (0, 4, 4, 3), (0, 4, 12)),
    "patchify, no channels": (lambda x: fused.patchify(x, 2), (2, 4, 4, 0), (2, 4, 0)),
    "composed patchify, no images": (lambda x: reference.patchify(x, 2), (0, 4, 4, 3), (0, 4, 12)),
    "conv2d, no images": (lambda x: convolution.conv2d(x, ones(3, 3, 2, 4)), (0, 5, 5, 2), (0, 5, 5, 4)),
    "conv2d, no channels": (lambda x: convolution.conv2d(x, ones(3, 3, 0, 4)), (2, 5, 5, 0), (2, 5, 5, 4)),
    "conv2d, no outputs": (lambda x: convolution.conv2d(x, ones(1, 1, 2, 0)), (2, 5, 5, 2), (2, 5, 5, 0)),
    "max_pool, no images": (lambda x: convolution.max_pool(x, 2, 2), (0, 4, 4, 3), (0, 2, 2, 3)),
    "group_norm, no images": (lambda x: convolution.group_norm(x, ones(4), ones(4), 2), (0, 3, 3, 4), (0, 3, 3, 4)),
    "group_norm, no places": (lambda x: convolution.group_norm(x, ones(4), ones(4), 2), (2, 0, 3, 4), (2, 0, 3, 4)),
    "group_norm, no channels": (lambda x: convolution.group_norm(x, ones(0), ones(0), 2), (2, 3, 3, 0), (2, 3, 3, 0)),
    "standardize, no kernels": (convolution.standardize, (3, 3, 2, 0), (3, 3, 2, 0)),
    "standardize, no channels": (convolution.standardize, (3, 3, 0, 4), (3, 3, 0, 4)),
    "relu": (convolution.relu, (0, 3), (0, 3)),
    "matmul, nothing to add up": (lambda x: x @ ones(0, 2), (3, 0), (3, 2)),
    "concatenate": (lambda x: ops.concatenate([x, x]), (0, 3), (0, 3)),
    "getitem": (lambda x: x[:, [0, 0]], (0, 3), (0, 2)),
    "broadcast against nothing": (lambda x: x * np.ones((0, 3)), (1, 3), (0, 3)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_no_images_no_tokens_and_no_width_go_through_every_op(name):
    function, shape, expected = EMPTY[name]
    x = Tensor(np.ones(shape), requires_grad=True)

    out = function(x)
    out.backward(np.ones(out.shape))

    assert out.shape == expected
    assert x.grad.shape == shape
    assert np.isfinite(out.data).all() and np.isfinite(x.grad).all()


@both
def test_the_loss_of_no_images_is_nan(module):
    logits = Tensor(np.zeros((0, 3)), requires_grad=True)

    loss = module.cross_entropy(logits, np.zeros(0, int))
    loss.backward()

    assert np.isnan(loss.item())
    assert logits.grad.shape == (0, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fused.cross_entropy(Tensor(np.zeros((2, 0))), np.zeros(2, int)),
        lambda: fused.cross_entropy(Tensor(np.zeros(3)), np.zeros(3, int)),
        lambda: fused.attention(Tensor(np.zeros((2, 3, 12))), 0),
        lambda: fused.attention(Tensor(np.zeros((3, 12))), 1),
        lambda: fused.patchify(Tensor(np.zeros((2, 4, 4, 3))), 0),
        lambda: fused.linear(Tensor(np.array(1.0)), ones(1, 1)),
        lambda: fused.linear(Tensor(np.ones(3)), Tensor(np.ones(3))),
        lambda: convolution.group_norm(ones(1, 2, 2, 4), ones(4), ones(4), 0),
        lambda: convolution.max_pool(ones(1, 2, 2, 4), 0, 1, "VALID"),
    ],
)
def test_sizes_that_mean_nothing_are_a_shape_error(call):
    with pytest.raises(ShapeError):
        call()


def test_logits_without_a_class_are_refused():
    with pytest.raises(ShapeError, match="a class or more"):
        fused.cross_entropy(Tensor(np.zeros((3, 0))), np.zeros((3, 0)))


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 4, 6, 3), (1, 6, 4, 3), (1, 4, 4, 4, 3)])
def test_images_that_patches_do_not_divide_are_refused(shape):
    with pytest.raises(ShapeError, match="patches of 4 pixels do not divide"):
        fused.patchify(Tensor(np.zeros(shape)), 4)


def test_softmax_of_a_matrix_far_apart_beside_one_that_is_not():
    """The shortcut is taken for all matrices or for none."""
    x = np.zeros((2, 2, 3), np.float32)
    x[1, 1] = [-200.0, -200.0, -201.0]
    expected = np.exp([0.0, 0.0, -1.0]) / np.exp([0.0, 0.0, -1.0]).sum()
    np.testing.assert_allclose(fused.softmax(Tensor(x)).data[1, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(fused.softmax(Tensor(x)).data[0], 1 / 3, rtol=1e-6)


def test_a_row_far_below_its_matrix_keeps_its_digits():
    """exp(-89.9) has 19 of float32's 24 binary digits left."""
    x = np.zeros((2, 50), np.float32)
    x[1] = np.linspace(-89.0, -89.95, 50)
    expected = np.exp(x[1].astype(float) + 89.0)
    np.testing.assert_allclose(fused.softmax(Tensor(x)).data[1], expected / expected.sum(), rtol=3e-7)
