"""How parameters start: limits, spreads and shapes of the distributions; the seed decides every bit."""

import math

import numpy as np
import pytest

from minivit import ViT, ViTConfig
from minivit.errors import OutOfMemory
from minivit.nn import init

DIM, HIDDEN, PATCH = 256, 640, 8

# Wide enough for the statistics: each kernel has 65,000 numbers or more.
CONFIG = ViTConfig(
    image_size=64,
    patch_size=PATCH,
    dim=DIM,
    depth=1,
    heads=4,
    mlp_dim=HIDDEN,
    num_classes=7,
    representation=300,
)


@pytest.fixture(scope="module")
def weights():
    return ViT(CONFIG, seed=3).state()


def assert_uniform(values, limit):
    """Between ± limit, reaching close to both ends, and flat in between."""
    assert np.abs(values).max() <= limit
    assert values.max() > 0.999 * limit and values.min() < -0.999 * limit
    quarters = np.histogram(values, bins=4, range=(-limit, limit))[0] / values.size
    np.testing.assert_allclose(quarters, 0.25, atol=0.01)


def assert_normal(values, std):
    """Mean 0, the given spread, and a share of 4.55 % beyond two standard deviations."""
    error = 1.0 / math.sqrt(values.size)
    assert abs(values.mean()) < 5 * std * error
    assert values.std() == pytest.approx(std, rel=5 * error)
    assert np.mean(np.abs(values) > 2 * std) == pytest.approx(0.0455, abs=5 * 0.21 * error)


def assert_lecun_normal(values, fan_in):
    """Variance 1 / fan_in, and nothing beyond two standard deviations of the normal that was cut: 2 / .8796."""
    std = math.sqrt(1.0 / fan_in)
    error = 1.0 / math.sqrt(values.size)

    assert values.std() == pytest.approx(std, rel=5 * error)
    assert abs(values.mean()) < 5 * std * error
    cut = 2.0 * std / 0.8796
    assert np.abs(values).max() <= cut * 1.0001
    assert np.abs(values).max() > 0.99 * cut
    # of a normal cut at two of its sigmas, 68.27 / 95.45 lie within one
    assert np.mean(np.abs(values) < cut / 2.0) == pytest.approx(0.6827 / 0.9545, abs=5 * 0.45 * error)


def test_queries_keys_and_values_are_xavier_uniform_as_three_square_kernels(weights):
    kernel = weights["blocks.0.attention.qkv.weight"]

    for part in np.split(kernel, 3, axis=1):
        assert_uniform(part, math.sqrt(6.0 / (DIM + DIM)))


def test_the_other_kernels_of_a_block_are_xavier_uniform(weights):
    assert_uniform(weights["blocks.0.attention.out.weight"], math.sqrt(6.0 / (DIM + DIM)))
    assert_uniform(weights["blocks.0.mlp.fc1.weight"], math.sqrt(6.0 / (DIM + HIDDEN)))
    assert_uniform(weights["blocks.0.mlp.fc2.weight"], math.sqrt(6.0 / (HIDDEN + DIM)))


def test_the_biases_of_the_mlp_are_normal_and_tiny(weights):
    assert_normal(weights["blocks.0.mlp.fc1.bias"], 1e-6)
    assert_normal(weights["blocks.0.mlp.fc2.bias"], 1e-6)


def test_positions_are_normal_with_a_spread_of_a_fiftieth(weights):
    assert_normal(weights["positions.embedding"], 0.02)


def test_the_patch_kernel_and_pre_logits_are_lecun_normal(weights):
    assert_lecun_normal(weights["embedding.weight"], PATCH * PATCH * 3)
    assert_lecun_normal(weights["pre_logits.weight"], DIM)


ZERO = ["cls", "embedding.bias", "pre_logits.bias", "head.weight", "head.bias"]
ZERO += [f"blocks.0.{name}.bias" for name in ("norm1", "attention.qkv", "attention.out", "norm2")]
ZERO += ["encoder_norm.bias"]


@pytest.mark.parametrize("name", ZERO)
def test_what_starts_at_zero(weights, name):
    assert not weights[name].any()


@pytest.mark.parametrize("name", ["blocks.0.norm1.weight", "blocks.0.norm2.weight", "encoder_norm.weight"])
def test_what_starts_at_one(weights, name):
    assert (weights[name] == 1.0).all()


def test_every_parameter_is_float32_and_its_start_is_tested(weights):
    tested = {*ZERO, "blocks.0.norm1.weight", "blocks.0.norm2.weight", "encoder_norm.weight"}
    tested |= {"positions.embedding", "embedding.weight", "pre_logits.weight"}
    tested |= {f"blocks.0.{name}" for name in ("attention.qkv.weight", "attention.out.weight")}
    tested |= {f"blocks.0.mlp.{name}" for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")}

    assert set(weights) == tested
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}


# -- seeds ---------------------------------------------------------------------------------------


def bits(model):
    return {name: array.tobytes() for name, array in model.state().items()}


def test_the_same_seed_gives_the_same_bits():
    assert bits(ViT(CONFIG, seed=5)) == bits(ViT(CONFIG, seed=5))


def test_another_seed_gives_other_weights_wherever_they_are_random():
    one, other = bits(ViT(CONFIG, seed=5)), bits(ViT(CONFIG, seed=6))

    same = {name for name in one if one[name] == other[name]}

    assert same == {name for name in ZERO if name in one} | {name for name in one if "norm" in name}


def test_weights_do_not_depend_on_numpys_global_generator():
    state = np.random.get_state()  # noqa: NPY002  (it is what must not matter)
    try:
        np.random.seed(1)  # noqa: NPY002
        first = bits(ViT(CONFIG, seed=5))
        np.random.seed(2)  # noqa: NPY002
        assert bits(ViT(CONFIG, seed=5)) == first
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_two_blocks_start_differently():
    model = ViT(ViTConfig(image_size=8, patch_size=4, dim=8, depth=2, heads=2, mlp_dim=8), seed=0)

    first, second = (block.mlp.fc1.weight.data for block in model.blocks)

    assert not np.array_equal(first, second)


def test_without_a_seed_all_kernels_are_zero():
    state = ViT(CONFIG, seed=None).state()

    assert {name for name, array in state.items() if array.any()} == {name for name in state if "norm" in name} - {
        name for name in state if name.endswith("bias")
    }


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: init.normal((3, 4), 0.5, rng),
        lambda rng: init.xavier_uniform((3, 4), rng),
        lambda rng: init.lecun_normal((3, 4), rng),
    ],
    ids=["normal", "xavier_uniform", "lecun_normal"],
)
def test_without_a_generator_a_start_is_zero(draw):
    np.testing.assert_array_equal(draw(None), np.zeros((3, 4), np.float32), strict=True)
    assert draw(np.random.default_rng(0)).dtype == np.float32


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "start",
    [
        init.zeros,
        lambda shape: init.normal(shape, 0.5, RNG),
        lambda shape: init.xavier_uniform(shape, RNG),
        lambda shape: init.lecun_normal(shape, RNG),
    ],
    ids=["zeros", "normal", "xavier_uniform", "lecun_normal"],
)
def test_what_no_machine_can_hold_is_refused_before_it_is_asked_for(start, monkeypatch):
    with pytest.raises(OutOfMemory, match=r"\(35184372088832, 1\)"):
        start((2**45, 1))
    monkeypatch.setattr(init, "LARGEST", 48)
    assert start((12, 1)).nbytes == 48
    with pytest.raises(OutOfMemory):
        start((13, 1))


def test_offsets_of_relative_positions_are_normal_with_a_spread_of_a_fiftieth():
    model = ViT(ViTConfig(image_size=64, patch_size=4, dim=64, depth=1, heads=1, mlp_dim=8, positions="relative"))
    assert_normal(model.blocks[0].attention.offsets.data, 0.02)


def test_attention_pooling_starts_as_the_blocks_do():
    pooling = ViT(ViTConfig(image_size=8, patch_size=4, dim=DIM, depth=0, heads=1, mlp_dim=8, classifier="map")).pooling
    for part in np.split(pooling.qkv.weight.data, 3, axis=1):
        assert_uniform(part, math.sqrt(6.0 / (DIM + DIM)))


def test_a_kernel_of_convolutions_has_the_variance_of_all_it_reads():
    values = init.lecun_normal((4, 4, 8, 512), np.random.default_rng(2))
    assert_lecun_normal(values, 4 * 4 * 8)


def test_the_spread_of_a_normal_cut_at_two_sigmas():
    """The variance of a standard normal cut at ±2 is 1 - 4 φ(2) / (Φ(2) - Φ(-2))."""
    density = math.exp(-2.0) / math.sqrt(2.0 * math.pi)
    mass = math.erf(2.0 / math.sqrt(2.0))

    assert math.sqrt(1.0 - 4.0 * density / mass) == pytest.approx(init.TRUNCATED_STD, rel=1e-12)
