"""Lesson 08: the block is the package's, and deep stacks fare as the text says."""

import numpy as np
import pytest

from minivit import Tensor as PackageTensor
from minivit import ViTConfig, preprocess
from minivit.data.shapes import shapes
from minivit.engine import attention as fused_attention
from minivit.engine import reference
from minivit.models.vit import EncoderBlock as PackageBlock
from minivit_lessons import trained_model

from .answers import lesson

names = lesson(8)
Tensor = names["Tensor"]
CONFIG = ViTConfig(image_size=8, patch_size=4, dim=12, depth=1, heads=3, mlp_dim=20, num_classes=2)


def test_splitting_attending_and_merging_is_the_packages_attention():
    qkv = np.random.default_rng(0).standard_normal((2, 7, 3 * 12))

    ours = names["merge_heads"](names["attention"](*names["split_heads"](Tensor(qkv), 3)))

    np.testing.assert_allclose(ours.data, reference.attention(PackageTensor(qkv), 3).data, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ours.data, fused_attention(PackageTensor(qkv), 3).data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_the_block_and_all_its_gradients_are_the_packages(dtype, tolerance):
    rng = np.random.default_rng(1)
    ours, theirs = names["EncoderBlock"](12, 3, 20, rng), PackageBlock(CONFIG, rng).eval()
    mine, its = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert {name: p.shape for name, p in mine.items()} == {name: p.shape for name, p in its.items()}
    for name in mine:
        values = (rng.standard_normal(mine[name].shape) / 3).astype(dtype)
        mine[name].data, its[name].data = values.copy(), values.copy()
    z, cotangent = rng.standard_normal((2, 2, 5, 12)).astype(dtype)
    x, y = Tensor(z.copy(), requires_grad=True), PackageTensor(z.copy(), requires_grad=True)

    out, expected = ours(x), theirs(y)
    out.backward(cotangent.copy())
    expected.backward(cotangent.copy())

    assert out.dtype == dtype
    np.testing.assert_allclose(out.data, expected.data, atol=tolerance * np.abs(expected.data).max())
    for name, a, b in [("z", x.grad, y.grad)] + [(name, mine[name].grad, its[name].grad) for name in mine]:
        np.testing.assert_allclose(a, b, atol=5 * tolerance * max(1.0, np.abs(b).max()), err_msg=name)


def test_queries_keys_and_values_start_as_three_square_matrices():
    layer = names["MultiHeadSelfAttention"](64, 2, np.random.default_rng(0))
    limit = np.sqrt(6 / (64 + 64))

    for kernel in (*np.split(layer.qkv.weight.data, 3, axis=1), layer.out.weight.data):
        assert 0.98 * limit < np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    as_one = names["Linear"](64, 3 * 64, np.random.default_rng(0)).weight.data
    assert layer.qkv.weight.data.std() / as_one.std() == pytest.approx(np.sqrt(2), rel=0.03)
    assert not layer.qkv.bias.data.any()
    assert layer.qkv.weight.dtype == np.float32


@pytest.mark.parametrize("index", [35, 4])
def test_trained_weights_in_our_blocks_give_the_models_tokens(index):
    model = trained_model()
    pixels = shapes("test", count=40).images[index : index + 1]
    seen = model(preprocess(pixels), return_intermediates=True)[1]
    z = Tensor(seen["blocks.0.tokens"])
    for i in (1, 2, 3):
        block = names["EncoderBlock"](64, 2, 128, np.random.default_rng(0))
        for name, values in block.named_parameters():
            values.data[...] = dict(model.blocks[i].named_parameters())[name].data
        z = block(z)
        np.testing.assert_allclose(z.data, seen[f"blocks.{i}.tokens"], atol=5e-5)


def test_two_heads_of_block_0_look_for_two_things_and_one_wide_head_for_neither():
    model = trained_model()
    image = shapes("test", count=40).images[35]
    seen = model(preprocess(image[None]), return_intermediates=True)[1]
    layer, tip = model.blocks[0], 1 + 6 * 8 + 4
    z = np.concatenate([model.cls.data, seen["embedding"]], axis=1) + model.positions.embedding.data
    _, wide = reference.attention_with_weights(layer.attention.qkv(layer.norm1(PackageTensor(z))), 1)
    on_heart = image.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3, 4)).ravel() > 128  # as in the lesson

    narrow = seen["blocks.0.attention.weights"][0, :, tip, 1:]
    opposite, own = sorted(weights[on_heart].sum() for weights in narrow)
    assert own > 0.6
    assert opposite < 0.15
    share = wide.data[0, 0, tip, 1:][on_heart].sum()
    assert on_heart.mean() - 0.1 < share < on_heart.mean() + 0.1  # measured: 0.36, of 0.28 of the patches
    assert opposite + 0.2 < share < own - 0.25


def stack(kind, seed, depth=24):
    """Of fresh blocks: the gradient's length below them, how different tokens are after five and at the end."""
    rng = np.random.default_rng(seed)
    blocks = [names["EncoderBlock"](64, 2, 128, rng) for _ in range(depth)]
    start = z = Tensor(rng.standard_normal((1, 65, 64)).astype(np.float32), requires_grad=True)
    norm1, norm2 = ("norm1", "norm2") if "norms" in kind else (None, None)
    different = []
    for block in blocks:
        for norm, part in ((norm1, block.attention), (norm2, block.mlp)):
            y = part(getattr(block, norm)(z) if norm else z)
            z = y + z if "residuals" in kind else y
        unit = z.data[0] / np.linalg.norm(z.data[0].astype(np.float64), axis=-1, keepdims=True)
        cosines = unit @ unit.T
        different.append(1 - cosines[~np.eye(65, dtype=bool)].mean())
    cotangent = rng.standard_normal(z.shape).astype(np.float32)
    z.backward(cotangent / np.linalg.norm(cotangent))
    return float(np.linalg.norm(start.grad)), different[4], different[-1]


@pytest.mark.parametrize("seed", [0, 1])
def test_deep_stacks_fare_as_the_lesson_says(seed):
    gradient, _, different = stack("residuals norms", seed)
    assert 0.5 < gradient < 20
    assert different > 0.01

    gradient, five, _ = stack("norms", seed)
    assert 0.01 < gradient < 100
    assert five < 1e-4

    gradient, _, _ = stack("residuals", seed)
    assert gradient > 1e4

    gradient, _, different = stack("", seed)
    assert gradient < 1e-6
    assert different < 1e-6
