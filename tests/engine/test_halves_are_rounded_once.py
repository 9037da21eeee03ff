"""In half precision an op computes in single precision and rounds its result: its error is one rounding's, no more."""

import numpy as np
import pytest

from minivit import Tensor, convolution
from minivit.convolution import reference as composed_convolution
from minivit.engine import fused, ops, reference

ROUNDING = 2.0**-11


def drawn(seed, *shape, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float16)


CONVOLUTION = {fused: convolution, reference: composed_convolution}  # the same two forms


def distinct(seed, *shape):
    """Halves of which no two are equal."""
    return np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape).astype(np.float16) / 64


OPS = {
    "linear": (lambda m, x, w, b: m.linear(x, w, b), drawn(0, 3, 500), drawn(1, 500, 7), drawn(2, 7)),
    "layer_norm": (lambda m, x, w, b: m.layer_norm(x, w, b), drawn(0, 5, 700), drawn(1, 700), drawn(2, 700)),
    "gelu": (lambda m, x: m.gelu(x), drawn(0, 999)),
    "gelu, erf": (lambda m, x: m.gelu(x, "erf"), drawn(0, 999)),
    "softmax": (lambda m, x: m.softmax(x), drawn(0, 3, 800)),
    "softmax over the first axis": (lambda m, x: m.softmax(x, 0), drawn(0, 800, 3)),
    "attention": (lambda m, qkv: m.attention(qkv, 2), drawn(0, 2, 130, 24)),
    "patchify": (lambda m, x: m.patchify(x, 2), drawn(0, 2, 4, 4, 3)),
    "conv2d": (lambda m, x, k: CONVOLUTION[m].conv2d(x, k), drawn(0, 2, 9, 8, 5), drawn(1, 7, 7, 5, 3)),
    "max_pool": (lambda m, x: CONVOLUTION[m].max_pool(x, 5, 1), distinct(0, 2, 9, 8, 3)),
}


@pytest.mark.parametrize("name", OPS)
def test_the_value_is_the_exact_one_rounded(name):
    op, *arrays = OPS[name]
    exact = op(reference, *(Tensor(array.astype(np.float64)) for array in arrays)).data
    found = op(fused, *(Tensor(array) for array in arrays)).data

    assert found.dtype == np.float16
    np.testing.assert_allclose(found, exact, rtol=1.02 * ROUNDING, atol=1e-6)


@pytest.mark.parametrize("name", OPS)
def test_gradients_are_off_by_a_few_roundings_of_what_backward_keeps(name):
    op, *arrays = OPS[name]
    halves = [Tensor(array, requires_grad=True) for array in arrays]
    doubles = [Tensor(array.astype(np.float64), requires_grad=True) for array in arrays]
    out, exact = op(fused, *halves), op(reference, *doubles)
    dy = drawn(9, *out.shape)

    out.backward(dy)
    exact.backward(dy.astype(np.float64))

    for half, double in zip(halves, doubles, strict=True):
        assert half.grad.dtype == np.float16
        scale = np.abs(double.grad).max()
        np.testing.assert_allclose(half.grad, double.grad, rtol=3 * ROUNDING, atol=ROUNDING * scale)


def test_backward_of_softmax_is_rounded_once():
    x = Tensor(drawn(0, 3, 800), requires_grad=True)
    out, dy = fused.softmax(x), drawn(1, 3, 800)
    y = out.data.astype(np.float64)

    out.backward(dy)

    exact = y * (dy.astype(np.float64) - (dy * y).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(x.grad, exact, rtol=1.05 * ROUNDING, atol=2.0**-24)


def test_backward_of_a_variance_is_rounded_once():
    x, dy = Tensor(drawn(0, 3, 700), requires_grad=True), drawn(1, 3)

    ops.var(x, axis=1).backward(dy)

    wide = x.data.astype(np.float64)
    exact = 2.0 * (wide - wide.mean(axis=1, keepdims=True)) * dy[:, None].astype(np.float64) / 700
    np.testing.assert_allclose(x.grad, exact, rtol=1.1 * ROUNDING, atol=2.0**-24)


def test_backward_of_a_convolution_is_rounded_once():
    """Each pixel is in 49 windows, whose gradients add up."""
    image, kernel = drawn(0, 2, 9, 8, 5), drawn(1, 7, 7, 5, 3)
    x, w = Tensor(image, requires_grad=True), Tensor(kernel)
    dy = drawn(2, 2, 9, 8, 3)

    convolution.conv2d(x, w).backward(dy)

    exact = Tensor(image.astype(np.float64), requires_grad=True)
    composed_convolution.conv2d(exact, Tensor(kernel.astype(np.float64))).backward(dy.astype(np.float64))
    assert x.grad.dtype == np.float16
    np.testing.assert_allclose(x.grad, exact.grad, rtol=1.02 * ROUNDING, atol=1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_backward_of_a_maximum_over_windows_is_rounded_once(padding):
    """The largest pixel is that of up to 25 windows."""
    x, dy = Tensor(distinct(0, 2, 9, 8, 3), requires_grad=True), drawn(1, 2, 9, 8, 3)
    out = convolution.max_pool(x, 5, 1, padding)
    dy = dy[:, : out.shape[1], : out.shape[2]]

    out.backward(dy)

    exact = Tensor(x.data.astype(np.float64), requires_grad=True)
    composed_convolution.max_pool(exact, 5, 1, padding).backward(dy.astype(np.float64))
    assert x.grad.dtype == np.float16
    np.testing.assert_array_equal(x.grad, exact.grad.astype(np.float16))
