"""Lesson 14 beside the package: convolutions, GroupNorm, units, a whole hybrid, and what the text says of them."""

import numpy as np
import pytest

import minivit
from minivit import convolution
from minivit.convolution.ops import padded_sides
from minivit.models import hybrid
from minivit.models.cost import costs
from minivit_lessons.pictures.convolution import LONGER_RUNS

from . import answers


@pytest.fixture(scope="module")
def built():
    return answers.lesson(14)


def random(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def results(tensor, function, *arrays):
    """What a function gives, and the gradients of its inputs for one cotangent."""
    inputs = [tensor(array, requires_grad=True) for array in arrays]
    out = function(*inputs)
    out.backward(random(*out.shape, seed=9))
    return [out.data, *(x.grad for x in inputs)]


def assert_same(got, expected, tolerance=1e-12):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(np.abs(b).max())))


@pytest.mark.parametrize("size", range(1, 12))
def test_padding(built, size):
    for length in range(1, 40):
        for stride in range(1, 5):
            expected = padded_sides((length, length), (size, size), stride, "SAME")[0]
            assert tuple(built["same_padding"](length, size, stride)) == expected


def test_the_padding_of_the_published_hybrids(built):
    assert tuple(built["same_padding"](224, 7, 2)) == (2, 3)
    assert tuple(built["same_padding"](112, 3, 2)) == (0, 1)


@pytest.mark.parametrize(("size", "stride"), [((3, 3), 1), ((7, 7), 2), ((3, 2), 2), ((1, 1), 2), ((4, 4), 4)])
def test_conv2d(built, size, stride):
    images, kernel = random(2, 9, 8, 3), random(*size, 3, 5, seed=1)

    got = results(built["Tensor"], lambda x, k: built["conv2d"](x, k, stride), images, kernel)

    assert_same(got, results(minivit.Tensor, lambda x, k: convolution.conv2d(x, k, stride), images, kernel))


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_group_norm(built, groups):
    arrays = random(2, 3, 4, 8), random(8, seed=1), random(8, seed=2)

    got = results(built["Tensor"], lambda *a: built["group_norm"](*a, groups), *arrays)

    assert_same(got, results(minivit.Tensor, lambda *a: convolution.group_norm(*a, groups), *arrays))


def test_weight_standardisation(built):
    kernel = random(3, 3, 4, 6)

    got = results(built["Tensor"], built["standardize"], kernel)

    assert_same(got, results(minivit.Tensor, convolution.standardize, kernel))


def given(layer, state):
    """The lesson's layer with arrays copied into its parameters by name."""
    own = dict(layer.named_parameters())
    assert set(own) == set(state)
    for name, tensor in own.items():
        tensor.data[...] = state[name]
    return layer


def stirred(layer, seed=5):
    """A layer of minivit's whose parameters have left their starting values."""
    rng = np.random.default_rng(seed)
    for _, tensor in layer.named_parameters():
        tensor.data += 0.3 * rng.standard_normal(tensor.shape).astype(np.float32)
    return layer


@pytest.mark.parametrize(("fan_in", "stride"), [(32, 1), (128, 1), (128, 2)])
def test_a_residual_unit(built, fan_in, stride):
    rng = np.random.default_rng(0)
    theirs = stirred(hybrid.Unit(fan_in, 32, stride, rng))
    ours = given(built["Unit"](fan_in, 32, rng, stride), theirs.state())
    x = random(2, 6, 5, fan_in, dtype=np.float32)

    assert_same([ours(built["Tensor"](x)).data], [theirs(minivit.Tensor(x)).data], 1e-5)


def test_a_hybrid_is_minivits(built):
    sizes = {"dim": 32, "depth": 2, "heads": 2, "mlp_dim": 48, "num_classes": 7}
    config = minivit.ViTConfig(image_size=32, patch_size=1, backbone=(2,), backbone_width=32, **sizes)
    theirs = stirred(minivit.ViT(config))
    state = theirs.state()
    backbone = {name.partition(".")[2]: array for name, array in state.items() if name.startswith("backbone.")}
    backbone = given(
        built["Backbone"](32, 2, np.random.default_rng(0)),
        {name.replace("stages.0.units.", "units."): array for name, array in backbone.items()},
    )
    rest = {name: array for name, array in state.items() if not name.startswith("backbone.")}
    rest["tokens.cls"], rest["tokens.positions"] = rest.pop("cls"), rest.pop("positions.embedding")
    vit = given(built["ViT"](image_size=8, patch_size=1, channels=128, **sizes), rest)
    images = random(2, 32, 32, 3, dtype=np.float32)

    features = backbone(built["Tensor"](images))
    logits = vit(features)

    assert features.shape == (2, 8, 8, 128)
    assert_same([logits.data], [theirs(images).data], 2e-5)


def test_gradients_reach_every_array_of_a_hybrid(built):
    rng = np.random.default_rng(1)
    backbone = built["Backbone"](32, 1, rng)
    vit = built["ViT"](image_size=4, patch_size=1, channels=128, dim=16, depth=1, heads=2, mlp_dim=16, num_classes=3)
    vit.head.weight.data[...] = rng.standard_normal(vit.head.weight.shape)
    for unit in backbone.units:
        unit.gn3.weight.data[...] = 1.0

    logits = vit(backbone(built["Tensor"](random(2, 16, 16, 3, dtype=np.float32))))
    logits.backward(np.ones(logits.shape, np.float32))

    for name, tensor in (*backbone.named_parameters(), *vit.named_parameters()):
        assert tensor.grad is not None, name
        assert np.isfinite(tensor.grad).all(), name


def test_r50_vit_b16_has_196_words_of_1024_channels():
    config = minivit.create_model("R50+ViT-B_16", seed=None).config

    assert config.feature_shape == (14, 14, 1024)
    assert config.num_patches == 196


def test_the_networks_of_the_experiment_are_of_about_the_same_size_and_cost():
    vit = {"image_size": 16, "dim": 64, "depth": 4, "heads": 2, "mlp_dim": 128, "num_classes": 10}
    models = (
        minivit.ViT(minivit.ViTConfig(patch_size=4, **vit)),
        minivit.ViT(minivit.ViTConfig(patch_size=1, backbone=(), backbone_width=32, **vit)),
        minivit.ResNet(minivit.ResNetConfig(image_size=16, units=(1, 1), width=32, num_classes=10, stem="small")),
    )
    totals = [costs(model)[-1] for model in models]

    for quantity in ("parameters", "flops"):
        numbers = [getattr(total, quantity) for total in totals]
        assert max(numbers) < 1.4 * min(numbers), quantity


def test_shuffled_patches_only_renumber_the_positions():
    """A ViT cannot mind the order of the patches: with its positions in the same order, the logits are equal."""
    config = minivit.ViTConfig(image_size=16, patch_size=4, dim=32, depth=2, heads=2, mlp_dim=32, num_classes=5)
    model = minivit.ViT(config)
    rng = np.random.default_rng(0)
    model.head.weight.data += rng.standard_normal(model.head.weight.shape).astype(np.float32)
    images = random(3, 16, 16, 3, dtype=np.float32)
    order = rng.permutation(16)
    patches = images.reshape(3, 4, 4, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(3, 16, 4, 4, 3)[:, order]
    mixed = patches.reshape(3, 4, 4, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)
    before = model(images).data

    table = model.positions.embedding.data
    model.positions.embedding.data = np.concatenate([table[:, :1], table[:, 1:][:, order]], axis=1)

    np.testing.assert_allclose(model(mixed).data, before, atol=1e-5)
    assert np.abs(model(images).data - before).max() > 1e-3


def test_the_text_agrees_with_the_numbers_of_the_longer_run():
    longer = {family: dict(points) for family, points in LONGER_RUNS.items()}
    mean = {family: {size: np.mean(points[size]) for size in points} for family, points in longer.items()}

    assert all(len(values) == 3 for points in longer.values() for values in points.values())
    assert min(longer["ResNet"][800]) > max(longer["ViT"][12_800])
    assert mean["ResNet"][200] <= mean["ViT"][200] < 0.35
    assert min(longer["hybrid"][200]) > max(longer["ViT"][200] + longer["ResNet"][200]) + 0.15
    assert all(0 < mean["ResNet"][size] - mean["hybrid"][size] < 0.05 for size in (800, 3_200, 12_800))
    assert mean["ViT"][12_800] < mean["ViT"][3_200] + 0.02


def test_the_patch_embedding_is_a_strided_convolution(built):
    tensor = built["Tensor"]
    embedding = built["PatchEmbedding"](4, 3, 8, np.random.default_rng(0))
    images = random(2, 8, 12, 3, dtype=np.float32)

    got = built["conv2d"](tensor(images), embedding.weight.reshape(4, 4, 3, 8), 4) + embedding.bias

    assert_same([got.data.reshape(2, 6, 8)], [embedding(tensor(images)).data], 1e-5)
