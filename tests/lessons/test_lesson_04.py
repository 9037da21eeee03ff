"""What lesson 04 builds is what minivit has, and what it says is so."""

import math

import numpy as np
import pytest
from scipy.special import erf

import minivit
from minivit.models.vit import MLP
from minivit_lessons.checking import examine

from .answers import lesson
from .running import run_lesson


@pytest.fixture(scope="module")
def built():
    return lesson(4)


@pytest.fixture(scope="module")
def after():
    """The names of the lesson's notebook after all its cells ran."""
    return run_lesson(4)


CASES = {
    "linear": [(2, 3, 5), (5, 4), (4,)],
    "layer_norm": [(2, 3, 6), (6,), (6,)],
    "gelu": [(2, 3, 4)],
}


@pytest.mark.parametrize("name", CASES)
def test_functions_and_gradients_are_those_of_the_fused_ops(built, name):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in CASES[name]]
    ours = [minivit.Tensor(a.copy(), requires_grad=True) for a in arrays]
    theirs = [built["Tensor"](a.copy(), requires_grad=True) for a in arrays]

    expected = getattr(minivit.engine, name)(*ours)
    got = built[name](*theirs)
    cotangent = rng.standard_normal(expected.shape)
    expected.backward(cotangent.copy())
    got.backward(cotangent.copy())

    np.testing.assert_allclose(got.data, expected.data, rtol=1e-12, atol=1e-12)
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-11, atol=1e-11)


def test_the_mlp_is_that_of_the_package(built):
    config = minivit.ViTConfig(image_size=8, patch_size=4, dim=6, depth=1, heads=2, mlp_dim=10, num_classes=3)
    package = MLP(config, np.random.default_rng(0))
    mlp = built["MLP"](6, 10, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    for (name, ours), (other, theirs) in zip(package.named_parameters(), mlp.named_parameters(), strict=True):
        assert name == other
        ours.data[...] = rng.standard_normal(ours.shape)
        theirs.data[...] = ours.data
    z = rng.standard_normal((2, 5, 6)).astype(np.float32)

    expected, got = package(minivit.Tensor(z)), mlp(built["Tensor"](z))
    expected.backward(np.ones_like(z))
    got.backward(np.ones_like(z))

    assert got.dtype == np.float32
    np.testing.assert_allclose(got.data, expected.data, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(package.parameters(), mlp.parameters(), strict=True):
        np.testing.assert_allclose(theirs.grad, ours.grad, rtol=1e-4, atol=1e-4)


def test_parameters_start_as_the_package_starts_them(built):
    layer = built["Linear"](40, 60, np.random.default_rng(0))
    norm = built["LayerNorm"](7)
    limit = math.sqrt(6 / 100)

    assert layer.weight.shape == (40, 60)
    assert 0.99 * limit < np.abs(layer.weight.data).max() <= limit
    assert layer.weight.data.var() == pytest.approx(2 / 100, rel=0.05)
    assert not layer.bias.data.any()
    assert (norm.weight.data == 1).all()
    assert not norm.bias.data.any()
    assert all(p.dtype == np.float32 and p.requires_grad for p in layer.parameters() + norm.parameters())


def test_names_are_those_of_the_package(built):
    Module, parameter = built["Module"], built["parameter"]

    def model(base, make):
        class Block(base):
            def __init__(self):
                self.norm, self.mlp = Part(), Part()

        class Part(base):
            def __init__(self):
                self.weight, self.size = make(), 3

        class Model(base):
            def __init__(self):
                self.name, self.blocks, self.cls, self.head = "model", [Block(), Block()], make(), Part()

        return [name for name, _ in Model().named_parameters()]

    expected = model(minivit.nn.Module, lambda: minivit.Tensor(np.zeros(2), requires_grad=True))

    assert model(Module, lambda: parameter([0.0, 0.0])) == expected


def test_the_figures_of_the_text(built):
    assert round(1.25**24) == 212
    assert round(0.8**24, 4) == 0.0047

    x = np.linspace(-6, 6, 120_001)
    error = built["gelu"](built["Tensor"](x)).data - 0.5 * x * (1 + erf(x / math.sqrt(2)))
    other = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.0455 * x**3))) - 0.5 * x * (
        1 + erf(x / math.sqrt(2))
    )
    worst = np.abs(error).argmax()
    assert 4.6e-4 < abs(error[worst]) <= 4.74e-4
    assert abs(x[worst]) == pytest.approx(2.7, abs=0.01)
    assert np.abs(other).max() > np.abs(error).max()
    near = np.abs(x) < 1  # "a little worse there, and better over the whole line"
    assert np.abs(error[near]).max() > np.abs(other[near]).max()
    assert x[np.argmin(built["gelu"](built["Tensor"](x)).data)] == pytest.approx(-0.75, abs=0.005)


@pytest.mark.slow
def test_normalised_layers_keep_their_size(after):
    plain = after["plain"]
    assert plain[1.25][-1] > 150
    assert plain[0.8][-1] < 0.01
    for s in after["sizes"]:
        assert 0.75 < after["spreads"](s, after["normalised"])[-1] < 1.3


@pytest.mark.slow
def test_the_mlp_learns_the_disc_and_a_straight_one_does_not(after):
    assert after["accuracy_of"](after["mlp"]) > 0.97
    assert after["losses"][-1] < 0.2 < after["losses"][0]

    found = {}
    for name in ("MLP", "StraightMLP"):
        for hidden in (2, 3, 16):
            model = after[name](2, hidden, np.random.default_rng(1))
            after["train"](model)
            found[name, hidden] = after["accuracy_of"](model)
    outside = float((after["inside"] == 0).mean())
    assert found["StraightMLP", 16] <= outside + 0.01
    assert found["MLP", 2] < 0.88 < found["MLP", 3]


def test_a_token_of_two_numbers_keeps_only_which_is_larger(built):
    x = built["Tensor"](np.array([[3.0, 1.0], [-5.0, 40.0]]))
    ones, zeros = built["Tensor"](np.ones(2)), built["Tensor"](np.zeros(2))

    np.testing.assert_allclose(built["layer_norm"](x, ones, zeros).data, [[1, -1], [-1, 1]], atol=1e-5)


@pytest.mark.slow
def test_no_cell_fails_when_nothing_is_solved():
    assert "mlp" in run_lesson(4, solved=False)


def test_what_raises_inside_the_learners_tensor_is_told_by_the_line_of_the_exercise(built):
    def layer_norm(x, weight, bias, eps=1e-6):
        return x - x.mean(axis=-1)

    verdict = examine("layer_norm", layer_norm, {"Tensor": built["Tensor"]})

    assert "raises" in verdict.message
    assert "(in the line `return x - x.mean(axis=-1)`)" in verdict.message
