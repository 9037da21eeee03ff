"""In half precision a result is that of float32, rounded: sums, statistics and scores never overflow on the way."""

import numpy as np
import pytest

from minivit import Tensor
from minivit.convolution import ops as convolution
from minivit.convolution import reference as composed_convolution
from minivit.engine import fused, ops, reference
from tests.support import close_numbers, randomize, tiny_config

F16 = np.float16
rng = np.random.default_rng


def half(*shape, seed=0, scale=1.0, centre=0.0):
    return (centre + scale * rng(seed).standard_normal(shape)).astype(F16)


@pytest.mark.parametrize("value", [500.0, 30.0, 40.5])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
def test_the_mean_of_equal_halves_is_their_value(value, axis):
    found = Tensor(np.full((300, 500), value, F16)).mean(axis=axis)

    assert found.dtype == F16
    np.testing.assert_array_equal(found.data, F16(value))


def test_the_gradient_of_a_mean_of_many_halves_is_one_over_their_number():
    x = Tensor(np.full((300, 500), 500.0, F16), requires_grad=True)

    x.mean().backward()

    np.testing.assert_array_equal(x.grad, F16(1.0 / 150_000))


def test_the_gradient_of_a_mean_is_divided_before_it_is_rounded():
    """6.5e4 / 3: the share 1/3 alone has 11 binary digits in half precision."""
    x = Tensor(np.zeros(3, F16), requires_grad=True)

    x.mean().backward(np.array(65_000.0))

    np.testing.assert_array_equal(x.grad, F16(np.float32(65_000.0) / np.float32(3)))


def test_the_variance_of_large_halves_is_that_of_float32():
    x = half(64, 64, scale=60.0, centre=300.0)

    found = Tensor(x).var(axis=-1).data

    np.testing.assert_array_equal(found, x.astype(np.float32).var(axis=-1).astype(F16))


def test_seventy_thousand_halves_that_tie_share_a_gradient():
    x = Tensor(np.ones(70_000, F16), requires_grad=True)

    x.max().backward(np.array(100.0))

    np.testing.assert_array_equal(x.grad, F16(100.0 / 70_000))


POINTS = {
    "power": (lambda x: x**-1, [3e-3, 2e-3, -0.5], 1e-3),
    "a root as a power": (lambda x: x ** (1 / 3), [3.0, 500.0, 60_000.0], 1.0),
    "erf": (ops.erf, [2.5, -0.3, 300.0], 1.0),
    "divide": (lambda x: 1e-3 / x, [1e-4, 2e-4, 1.0], 1e-4),
    "sqrt": (lambda x: x.sqrt(), [1e-4, 3.0, 60_000.0], 1e-4),
}


@pytest.mark.parametrize("name", POINTS)
def test_a_gradient_of_several_factors_is_rounded_once(name):
    """A factor alone may be too large, or too close to 1, for 11 binary digits."""
    function, points, dy = POINTS[name]
    points = np.array(points, F16)

    def of(dtype):
        x = Tensor(points.astype(dtype), requires_grad=True)
        y = function(x)
        y.backward(np.full(y.shape, F16(dy), dtype))
        return y.data, x.grad

    for found, expected in zip(of(F16), of(np.float32), strict=True):
        close_numbers(found.astype(np.float32), expected, rtol=2.0**-10, atol=6e-8)


def test_the_slope_of_tanh_is_rounded_once():
    x = Tensor(np.linspace(1.0, 3.0, 50).astype(F16), requires_grad=True)

    y = x.tanh()
    y.backward(np.ones(50))

    exact = 1.0 - y.data.astype(np.float64) ** 2
    close_numbers(x.grad.astype(np.float64), exact, rtol=2.0**-11, atol=0)


@pytest.mark.parametrize(("name", "sign"), [("multiply", 1.0), ("divide", -1.0)])
def test_what_was_broadcast_receives_a_sum_of_products_that_are_not_rounded_yet(name, sign):
    """(1 + u)² - (1 + 2u) = u², which is lost if (1 + u)² is rounded to 11 binary digits first."""
    u = 2.0**-10
    x, scale = Tensor(np.array([1 + u, 1], F16), requires_grad=True), Tensor(np.ones(1, F16), requires_grad=True)

    getattr(ops, name)(x, scale).backward(np.array([1 + u, -(1 + 2 * u)]))

    np.testing.assert_array_equal(scale.grad, F16(sign * u * u))


# -- fused and composed --------------------------------------------------------------------------

ONES, ZEROS = np.ones(32, F16), np.zeros(32, F16)
NORMALISED = {
    "layer_norm": ((reference, fused), "layer_norm", [half(8, 768, scale=60.0), np.ones(768, F16), np.zeros(768, F16)]),
    "group_norm": (
        (composed_convolution, convolution),
        "group_norm",
        [half(1, 16, 16, 32, scale=90.0), ONES, ZEROS],
    ),
    "standardize": ((composed_convolution, convolution), "standardize", [half(3, 3, 64, 8, scale=30.0)]),
}


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("form", ["composed", "fused"])
def test_what_is_normalised_has_deviation_1(name, form):
    modules, function, arrays = NORMALISED[name]

    found = getattr(modules[form == "fused"], function)(*map(Tensor, arrays))

    assert found.dtype == F16
    close_numbers(found.data.astype(np.float32).std(), 1.0, rtol=2e-3)


TWINS = {
    "linear": (fused.linear, reference.linear, [half(5, 64, scale=40.0), half(64, 3, scale=40.0), half(3, scale=3e4)]),
    "layer_norm": (fused.layer_norm, reference.layer_norm, [half(4, 48, scale=900.0), half(48), half(48)]),
    "gelu tanh": (fused.gelu, reference.gelu, [half(400, scale=3.0)]),
    "gelu erf": (lambda x: fused.gelu(x, "erf"), lambda x: reference.gelu(x, "erf"), [half(400, scale=3.0)]),
    "softmax": (fused.softmax, reference.softmax, [half(5, 3000, scale=4.0)]),
    "attention": (lambda x: fused.attention(x, 1), lambda x: reference.attention(x, 1), [half(1, 6, 384, scale=70.0)]),
    "attention of many": (
        lambda x: fused.attention(x, 2),
        lambda x: reference.attention(x, 2),
        [half(2, 70, 24, scale=3.0)],
    ),
    "conv2d": (convolution.conv2d, composed_convolution.conv2d, [half(2, 6, 6, 8, scale=50.0), half(3, 3, 8, 4)]),
    "group_norm": (
        lambda *t: convolution.group_norm(*t, 4),
        lambda *t: composed_convolution.group_norm(*t, 4),
        [half(2, 5, 5, 8, scale=300.0, centre=2000.0), half(8), half(8)],
    ),
    "standardize": (convolution.standardize, composed_convolution.standardize, [half(3, 3, 16, 4, scale=300.0)]),
}


@pytest.mark.parametrize("name", TWINS)
def test_fused_and_composed_agree_with_float32_to_rounding(name):
    arrays = TWINS[name][2]

    def of(function, dtype):
        leaves = [Tensor(x.astype(dtype), requires_grad=True) for x in arrays]
        out = function(*leaves)
        assert out.dtype == dtype
        out.backward(half(*out.shape, seed=9).astype(dtype))
        return [out.data, *(leaf.grad for leaf in leaves)]

    expected = of(TWINS[name][0], np.float32)
    for function in TWINS[name][:2]:
        for found, right in zip(of(function, F16), expected, strict=True):
            scale = np.abs(right).max()
            assert scale < 6e4  # representable, or this would check nothing
            close_numbers(found.astype(np.float32) / scale, right / scale, rtol=2e-3, atol=2e-3)


def test_a_bias_is_added_before_a_product_is_rounded():
    """80,000 is no half, 80,000 - 32,000 is one."""
    x, w, b = np.full((1, 2), 200.0, F16), np.full((2, 1), 200.0, F16), np.array([-32_000.0], F16)
    with np.errstate(over="ignore"):
        assert np.isinf(x @ w)

    for module in (fused, reference):
        assert module.linear(Tensor(x), Tensor(w), Tensor(b)).item() == 48_000.0


@pytest.mark.parametrize("module", [fused, reference], ids=["fused", "reference"])
def test_the_loss_of_halves_is_float32(module):
    logits = half(4, 7, scale=30.0)

    loss = module.cross_entropy(Tensor(logits), np.arange(4), 0.1)

    assert loss.dtype == np.float32
    close_numbers(
        loss.item(), module.cross_entropy(Tensor(logits.astype(np.float64)), np.arange(4), 0.1).item(), rtol=1e-6
    )


@pytest.mark.parametrize(
    "changes",
    [{"positions": "relative"}, {"classifier": "map"}, {"attention_dropout": 0.3}, {"classifier": "gap"}],
    ids=str,
)
def test_a_model_with_sharp_attention_gives_in_halves_what_it_gives_in_float32(changes):
    from minivit import ViT

    model = randomize(ViT(tiny_config(dim=48, heads=1, **changes)), dtype=np.float16, scale=0.1)
    for block in model.blocks:
        block.norm1.weight.data *= 300
    if "classifier" in changes:
        model.encoder_norm.weight.data *= 1000
        model.head.weight.data /= 1000
    images = rng(0).uniform(-1, 1, (2, 8, 8, 3))

    def logits(dtype):
        for parameter in model.parameters():
            parameter.data = parameter.data.astype(dtype)
        return model(images.astype(dtype), rng=rng(1)).data

    found, expected = logits(F16), logits(np.float32)

    scale = np.abs(expected).max()
    close_numbers(found.astype(np.float32) / scale, expected / scale, rtol=0, atol=0.02)


def test_a_position_that_is_picked_5000_times_receives_a_gradient_of_5000():
    """Halves that are added one by one would stop at 2048, where the next half is 2 away."""
    x = Tensor(np.zeros(3, np.float16), requires_grad=True)
    x[np.full(5000, 1)].backward(np.ones(5000, np.float16))
    assert x.grad.tolist() == [0, 5000, 0]
