"""Convolution and its companions: gradients against finite differences, fused against composed, both against loops."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit import Tensor, gradcheck, no_grad
from minivit.convolution import ops, reference
from minivit.errors import ConfigError, ShapeError
from tests.support import close_numbers

PRECISION = {np.float64: 1e-10, np.float32: 1e-5}
both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])
both_forms = pytest.mark.parametrize("module", [ops, reference], ids=["ops", "reference"])
seeds = st.integers(0, 2**32 - 1)
paddings = st.sampled_from(["SAME", "VALID", 0, 1, 3])


def normal(seed, *shapes):
    rng = np.random.default_rng([seed, 5])  # never the stream that gradcheck's cotangent comes from
    return [rng.standard_normal(shape) for shape in shapes]


# -- what is drawn: a function's name, its arguments and its inputs ------------------------------


@st.composite
def convolutions(draw):
    h, w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    image = (draw(st.integers(1, 3)), draw(st.integers(h, 8)), draw(st.integers(w, 8)), draw(st.integers(1, 3)))
    kernel = (h, w, image[3], draw(st.integers(1, 3)))
    return (draw(st.integers(1, 3)), draw(paddings)), normal(draw(seeds), image, kernel)


@st.composite
def poolings(draw):
    size = draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 2)), draw(st.integers(size, 7)), draw(st.integers(size, 7)), draw(st.integers(1, 3)))
    numbers = np.random.default_rng(draw(seeds)).permutation(math.prod(shape)).reshape(shape) / 10.0 - 1.05
    fill = draw(st.sampled_from([-math.inf, 0.0]))  # no number is 0 or near it: nothing ties
    padding = draw(paddings.filter(lambda p: isinstance(p, str) or p < size))
    return (size, draw(st.integers(1, 3)), padding, fill), [numbers]


@st.composite
def group_norms(draw):
    groups, each = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    # Two numbers, normalised, are always -1 and 1 and have no gradient to speak of: six at least.
    shape = (draw(st.integers(1, 3)), draw(st.integers(2, 3)), draw(st.integers(3, 4)), groups * each)
    return (groups, draw(st.sampled_from([1e-6, 1e-2]))), normal(draw(seeds), shape, shape[3:], shape[3:])


@st.composite
def kernels(draw):
    shape = tuple(draw(st.integers(least, 3)) for least in (2, 3, 1, 1))
    return (draw(st.sampled_from([1e-10, 1e-5, 0.1])), draw(st.booleans())), normal(draw(seeds), shape)


@st.composite
def nonzero(draw):
    x = np.random.default_rng(draw(seeds)).uniform(0.1, 1.0, (2, 3, 2, 2))
    return (), [x * np.random.default_rng(draw(seeds)).choice([-1.0, 1.0], x.shape)]


DRAW = {
    "conv2d": convolutions(),
    "max_pool": poolings(),
    "group_norm": group_norms(),
    "standardize": kernels(),
    "relu": nonzero(),
}
each_op = pytest.mark.parametrize("name", DRAW)


def test_every_op_is_drawn_and_has_a_twin():
    import minivit.convolution

    assert set(DRAW) == set(minivit.convolution.__all__)
    assert set(DRAW) <= {name for name, _ in inspect.getmembers(reference, inspect.isfunction)}


@both_forms
@each_op
@given(data=st.data())
@settings(max_examples=40)
def test_the_gradient_agrees_with_finite_differences(name, module, data):
    arguments, arrays = data.draw(DRAW[name])

    gradcheck(lambda *tensors: getattr(module, name)(*tensors, *arguments), *arrays, tolerance=1e-6)


@both_types
@each_op
@given(data=st.data(), seed=seeds)
def test_an_op_and_its_twin_agree(name, dtype, data, seed):
    arguments, arrays = data.draw(DRAW[name])
    arrays = [array.astype(dtype) for array in arrays]

    def results(module):
        leaves = [Tensor(array.copy(), requires_grad=True) for array in arrays]
        out = getattr(module, name)(*leaves, *arguments)
        out.backward(np.random.default_rng(seed).standard_normal(out.shape).astype(dtype))
        return [out.data, *(leaf.grad for leaf in leaves)]

    for found, expected in zip(results(ops), results(reference), strict=True):
        assert found.dtype == dtype
        assert found.shape == expected.shape
        largest = max(np.max(np.abs(expected), initial=0.0), 1e-3)
        assert np.max(np.abs(found - expected), initial=0.0) <= 10 * PRECISION[dtype] * largest

    with no_grad():
        untaped = getattr(ops, name)(*map(Tensor, arrays), *arguments)
    np.testing.assert_array_equal(untaped.data, results(ops)[0])


# -- against loops -------------------------------------------------------------------------------


def padding_by_the_rule(length, size, stride, padding):
    """Zeros before and after one axis; "SAME" as TensorFlow documents it."""
    if padding == "SAME":
        left_over = length % stride
        total = max(size - (left_over or stride), 0)
        return total // 2, total - total // 2
    return (0, 0) if padding == "VALID" else (padding, padding)


def windows_by_loops(x, size, stride, padding, fill):
    """Every window of one image (H, W, C) by its place (row, column), as an array (h, w, C)."""
    before = [padding_by_the_rule(x.shape[axis], size[axis], stride, padding) for axis in (0, 1)]
    padded = np.pad(x, (*before, (0, 0)), constant_values=fill)
    found = {}
    for top in range(0, padded.shape[0] - size[0] + 1, stride):
        for left in range(0, padded.shape[1] - size[1] + 1, stride):
            found[top // stride, left // stride] = padded[top : top + size[0], left : left + size[1]]
    return found


@both_forms
@given(drawn=convolutions())
def test_convolution_is_a_sum_over_each_window(module, drawn):
    (stride, padding), (x, kernel) = drawn

    out = module.conv2d(Tensor(x), Tensor(kernel), stride, padding).data

    for b in range(len(x)):
        expected = windows_by_loops(x[b], kernel.shape[:2], stride, padding, 0.0)
        assert set(expected) == set(np.ndindex(out.shape[1:3]))
        for place, window in expected.items():
            for d in range(kernel.shape[3]):
                assert out[b][place][d] == pytest.approx(np.sum(window * kernel[..., d]), abs=1e-12)


@both_forms
@given(drawn=poolings())
def test_max_pooling_takes_each_windows_maximum(module, drawn):
    (size, stride, padding, fill), (x,) = drawn

    out = module.max_pool(Tensor(x), size, stride, padding, fill).data

    for b in range(len(x)):
        expected = windows_by_loops(x[b], (size, size), stride, padding, fill)
        assert set(expected) == set(np.ndindex(out.shape[1:3]))
        for place, window in expected.items():
            np.testing.assert_array_equal(out[b][place], window.max(axis=(0, 1)))


@both_forms
@given(drawn=group_norms())
def test_group_norm_normalises_each_group_of_each_image(module, drawn):
    (groups, eps), (x, weight, bias) = drawn

    out = module.group_norm(Tensor(x), Tensor(weight), Tensor(bias), groups, eps).data

    each = x.shape[3] // groups
    for b in range(len(x)):
        for c in range(x.shape[3]):
            group = x[b, :, :, c // each * each : (c // each + 1) * each]
            expected = (x[b, :, :, c] - np.mean(group)) / math.sqrt(np.var(group) + eps) * weight[c] + bias[c]
            close_numbers(out[b, :, :, c], expected, rtol=0, atol=1e-10)


@both_forms
@given(drawn=kernels())
def test_standardised_kernels(module, drawn):
    (eps, inside), (kernel,) = drawn

    out = module.standardize(Tensor(kernel), eps, inside).data

    for d in range(kernel.shape[3]):
        values = kernel[..., d].ravel()
        divisor = math.sqrt(np.var(values) + eps) if inside else np.std(values) + eps
        close_numbers(out[..., d].ravel(), (values - np.mean(values)) / divisor, rtol=1e-9, atol=1e-9)


# -- particular values ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "size", "stride", "sides"),
    [(224, 7, 2, (2, 3)), (112, 3, 2, (0, 1)), (57, 3, 2, (1, 1)), (7, 1, 2, (0, 0))],
)
def test_same_padding_is_the_published_one(length, size, stride, sides):
    assert ops.padded_sides((length, length), (size, size), stride, "SAME") == (sides, sides)


def test_the_first_of_equal_numbers_receives_the_gradient_of_a_maximum():
    x = Tensor(np.array([1.0, 3.0, 3.0, 3.0]).reshape(1, 2, 2, 1), requires_grad=True)

    ops.max_pool(x, 2, 2).backward(np.full((1, 1, 1, 1), 5.0))

    np.testing.assert_array_equal(x.grad.ravel(), [0.0, 5.0, 0.0, 0.0])


@pytest.mark.parametrize("inside", [False, True])
def test_a_constant_kernel_becomes_zero_and_its_gradient_stays_finite(inside):
    kernel = Tensor(np.full((3, 3, 2, 4), 0.25), requires_grad=True)

    out = ops.standardize(kernel, 1e-5, inside)
    out.backward(np.random.default_rng(0).standard_normal(out.shape))

    np.testing.assert_array_equal(out.data, 0.0)
    assert np.isfinite(kernel.grad).all()


def test_relu_has_no_slope_at_0():
    x = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)

    out = ops.relu(x)
    out.backward(np.array([1.0, 1.0, 1.0]))

    np.testing.assert_array_equal(out.data, [0.0, 0.0, 2.0])
    np.testing.assert_array_equal(x.grad, [0.0, 0.0, 1.0])


def test_a_gradient_goes_through_relu_where_its_input_is_not_a_number():
    x = Tensor(np.array([np.nan, -1.0]), requires_grad=True)

    ops.relu(x).backward(np.array([2.0, 2.0]))

    np.testing.assert_array_equal(x.grad, [2.0, 0.0])


def test_no_op_changes_its_inputs_or_a_gradient_it_is_given():
    for name, arguments, shapes in [
        ("conv2d", (2, "SAME"), [(2, 5, 6, 3), (3, 3, 3, 4)]),
        ("max_pool", (3, 2, 1, 0.0), [(2, 5, 6, 3)]),
        ("group_norm", (2,), [(2, 3, 3, 4), (4,), (4,)]),
        ("standardize", (), [(3, 3, 2, 4)]),
        ("relu", (), [(2, 3)]),
    ]:
        leaves = [Tensor(array, requires_grad=True) for array in normal(3, *shapes)]
        before = [leaf.data.copy() for leaf in leaves]
        out = getattr(ops, name)(*leaves, *arguments)
        (dy,) = normal(4, out.shape)
        kept = dy.copy()
        out.backward(dy)
        np.testing.assert_array_equal(dy, kept)
        for leaf, copy in zip(leaves, before, strict=True):
            np.testing.assert_array_equal(leaf.data, copy)


@pytest.mark.parametrize(("dtype", "axes"), [(np.float16, {2, 3}), (np.float32, {2}), (np.float64, {2})])
def test_products_are_those_of_matrices_unless_they_must_not_be_rounded(dtype, axes, monkeypatch):
    found, product = set(), ops.matmul
    monkeypatch.setattr(ops, "matmul", lambda x, y, **out: found.add(x.ndim) or product(x, y, **out))
    image, kernel = (Tensor(array.astype(dtype), requires_grad=True) for array in normal(3, (2, 5, 6, 3), (3, 3, 3, 4)))
    ops.conv2d(image, kernel).sum().backward()
    assert found == axes


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: ops.conv2d(x, Tensor(np.ones((3, 3, 2, 4)))), ShapeError, r"\(3, 3, 2, 4\)"),
        (lambda x: ops.conv2d(x[0], Tensor(np.ones((3, 3, 3, 4)))), ShapeError, "B, H, W, C"),
        (lambda x: ops.conv2d(x, Tensor(np.ones((7, 7, 3, 4))), 1, "VALID"), ShapeError, "7 x 7"),
        (lambda x: ops.conv2d(x, Tensor(np.ones((3, 3, 3, 4))), 0), ConfigError, "stride"),
        (lambda x: ops.conv2d(x, Tensor(np.ones((3, 3, 3, 4))), 1, "same"), ConfigError, "'same'"),
        (lambda x: ops.conv2d(x, Tensor(np.ones((3, 3, 3, 4))), 1, -1), ConfigError, "-1"),
        (lambda x: ops.max_pool(x[0], 2, 2), ShapeError, "B, H, W, C"),
        (lambda x: ops.max_pool(x, 2, 2, 2), ConfigError, "2 pixels"),
        (lambda x: ops.group_norm(x, Tensor(np.ones(3)), Tensor(np.ones(3)), 2), ShapeError, "2 groups"),
        (
            lambda x: ops.group_norm(x, Tensor(np.ones(1)), Tensor(np.ones(3)), 3),
            ShapeError,
            r"^group_norm: the weight has shape \(1,\); its shape must be \(3,\)$",
        ),
        (
            lambda x: ops.group_norm(x, Tensor(np.ones(3)), Tensor(np.ones((5, 3))), 3),
            ShapeError,
            r"^group_norm: the bias has shape \(5, 3\); its shape must be \(3,\)$",
        ),
        (lambda x: ops.group_norm(x[0, 0, 0, 0], Tensor(np.ones(1)), Tensor(np.ones(1)), 1), ShapeError, "B, H, W, C"),
    ],
)
def test_bad_input_is_named(function, error, words):
    with pytest.raises(error, match=words):
        function(Tensor(np.ones((2, 5, 5, 3))))
