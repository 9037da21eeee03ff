"""Attention that begins as a trained one looks."""

from typing import cast

import numpy as np
import pytest

from minivit import ConfigError, ViT, create_model
from minivit.data import shapes
from minivit.models.mimetic import initialise_mimetically
from minivit.training import TrainConfig, trainer
from minivit.training.options import ModelOptions


def begun(heads=1, dim=192, seed=0, **changes):
    model = create_model(
        "ViT-XS_4-CIFAR", dim=dim, heads=heads, depth=2, positions="sincos2d", classifier="gap", **changes
    )
    initialise_mimetically(model, seed)
    return model


def products(model, block=0):
    """W_q W_kᵀ of each head, and W_v W_out, in float64."""
    attention = model.blocks[block].attention
    d = model.config.dim
    q, k, v = np.split(attention.qkv.weight.data.astype(np.float64), 3, axis=1)
    scores = [a @ b.T for a, b in zip(*(np.split(x, model.config.heads, axis=1) for x in (q, k)), strict=True)]
    assert v.shape == (d, d)
    return scores, v @ attention.out.weight.data


def test_a_head_as_wide_as_a_token_has_products_near_plus_and_minus_identity():
    (scores,), gathered = products(begun())

    for product, diagonal, size in [(scores, 0.7, 0.7), (gathered, -0.4, 0.4)]:
        beside = product[~np.eye(192, dtype=bool)]
        assert abs(np.diag(product).mean() - diagonal) < 0.02
        assert abs(beside.mean()) < 0.002
        assert abs(beside.std() - size / np.sqrt(192)) < 0.002


def test_a_narrow_head_has_the_largest_singular_values_of_such_a_product():
    scores, _ = products(begun(heads=4))

    spectra = [np.linalg.svd(product, compute_uv=False) for product in scores]
    expected = []  # of 0.7 (Z + I), drawn here
    rng = np.random.default_rng(99)
    for _ in range(8):
        z = rng.standard_normal((192, 192)) / np.sqrt(192)
        expected.append(np.linalg.svd(0.7 * (z + np.eye(192)), compute_uv=False))
    for spectrum in spectra:
        np.testing.assert_allclose(spectrum[48:], 0, atol=1e-5)
        np.testing.assert_allclose(spectrum[:48], np.mean(expected, axis=0)[:48], rtol=0.05)
    assert np.abs(scores[0] - scores[1]).max() > 0.1  # each head has its own


def test_patches_attend_to_their_surroundings_at_first():
    images = shapes("train", 20).images / 127.5 - 1.0
    nearby = {}
    for name, model in [("mimetic", begun(heads=2, dim=64)), ("xavier", create_model(
        "ViT-XS_4-CIFAR", positions="sincos2d", classifier="gap"
    ))]:  # fmt: skip
        _, seen = model(images.astype(np.float32), return_intermediates=True)
        weights = seen["blocks.0.attention.weights"].mean(axis=(0, 1))  # (64, 64)
        rows, columns = np.divmod(np.arange(64), 8)
        distance = np.maximum(abs(rows[:, None] - rows), abs(columns[:, None] - columns))
        nearby[name] = (weights * (distance <= 1)).sum(axis=1).mean()

    assert nearby["xavier"] < 0.2 < 2 * nearby["xavier"] < nearby["mimetic"]


def test_the_seed_and_the_block_decide_and_nothing_else_changes():
    plain = create_model("ViT-XS_4-CIFAR", positions="sincos2d", classifier="gap", dim=192, heads=1, depth=2)
    one, same, other = begun(), begun(), begun(seed=1)

    for name, array in one.state().items():
        np.testing.assert_array_equal(array, same.state()[name])
        changed = name.endswith(("attention.qkv.weight", "attention.out.weight"))
        assert changed == (not np.array_equal(array, plain.state()[name])), name
        assert changed == (not np.array_equal(array, other.state()[name])), name
    assert np.abs(products(one, 0)[1] - products(one, 1)[1]).max() > 0.1


def test_a_run_begins_so_if_asked_to():
    def qkv(**options):
        model = cast(ViT, trainer.build_model(ModelOptions(**options), shapes("train", 20), seed=3))
        return model.blocks[0].attention.qkv.weight.data

    mimetic = create_model("ViT-XS_4-CIFAR", seed=3, num_classes=10)
    initialise_mimetically(mimetic, 3)

    np.testing.assert_array_equal(qkv(), qkv(attention_init="xavier"))
    np.testing.assert_array_equal(qkv(attention_init="mimetic"), mimetic.blocks[0].attention.qkv.weight.data)
    assert np.abs(qkv() - qkv(attention_init="mimetic")).max() > 0.1


def test_what_has_no_attention_or_is_trained_already_is_refused():
    with pytest.raises(ConfigError, match="mimetic initialisation is for Vision Transformers, not ResNet"):
        initialise_mimetically(cast(ViT, create_model("BiT-R14-CIFAR")))
    sentence = "attention-init must be left out, not 'mimetic': the run starts from trained weights"
    with pytest.raises(ConfigError, match=sentence):
        TrainConfig(weights="a.npz", attention_init="mimetic")
    with pytest.raises(ConfigError, match="attention-init must be one of xavier, mimetic, not 'mimic'"):
        TrainConfig(attention_init="mimic")
