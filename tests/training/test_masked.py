"""Masked patch prediction: how many patches are corrupted and how, what is predicted, and that it can be learned."""

import numpy as np
import pytest

from minivit import ConfigError, Muon, Tensor, ViT, gradcheck
from minivit.training.masked import (
    Corruption,
    MaskedPatchModel,
    colour_targets,
    corrupt,
    draw_corruption,
)
from tests.support import random_images, tiny_config, tiny_vit


@pytest.mark.parametrize(
    ("patches", "counts"), [(196, (98, 78, 10)), (64, (32, 26, 3)), (4, (2, 2, 0)), (10, (5, 4, 0))]
)
def test_half_of_each_images_patches_are_corrupted_80_10_10(patches, counts):
    corruption = draw_corruption(50, patches, np.random.default_rng(0))

    corrupted, masked, source = corruption
    replaced = source != np.arange(patches)
    np.testing.assert_array_equal(corrupted.sum(axis=1), counts[0])
    np.testing.assert_array_equal(masked.sum(axis=1), counts[1])
    np.testing.assert_array_equal(replaced.sum(axis=1), counts[2])
    assert not (masked & ~corrupted).any()
    assert not (replaced & ~corrupted).any()
    assert not (replaced & masked).any()
    assert source.min() >= 0 and source.max() < patches


def test_every_patch_is_corrupted_equally_often_and_replaced_by_all_others():
    corruption = draw_corruption(20_000, 8, np.random.default_rng(1))

    np.testing.assert_allclose(corruption.corrupted.mean(axis=0), 0.5, atol=0.02)  # five standard deviations
    many = draw_corruption(4_000, 20, np.random.default_rng(2))
    rows, places = np.nonzero(many.source != np.arange(20))
    offsets = (many.source[rows, places] - places) % 20
    assert set(offsets) == set(range(1, 20))


def test_the_corruption_follows_from_its_generator():
    one, same, other = (draw_corruption(4, 16, np.random.default_rng(seed)) for seed in (3, 3, 4))

    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one.corrupted, other.corrupted)


def test_masked_patches_become_the_mask_replaced_ones_another_and_the_rest_stay():
    z, mask = np.random.default_rng(0).standard_normal((2, 4, 3)), np.full((1, 1, 3), 9.0)
    masked = np.array([[True, False, False, False], [False, False, True, False]])
    source = np.array([[0, 1, 3, 3], [0, 0, 2, 3]])

    out = corrupt(Tensor(z), Tensor(mask), Corruption(masked, masked, source)).data

    for b in range(2):
        for n in range(4):
            np.testing.assert_allclose(out[b, n], [9.0] * 3 if masked[b, n] else z[b, source[b, n]], rtol=1e-14)


def test_gradients_reach_the_mask_and_the_patch_that_was_copied():
    corruption = draw_corruption(2, 6, np.random.default_rng(5))
    corruption.source[0, 0] = 3
    z, mask = np.random.default_rng(6).standard_normal((2, 6, 4)), np.random.default_rng(7).standard_normal((1, 1, 4))

    gradcheck(lambda a, m: corrupt(a, m, corruption), z, mask, tolerance=1e-6)


# -- what is predicted ---------------------------------------------------------------------------


def to_floats(pixels):
    return (np.asarray(pixels, np.float64) - 127.5) / 127.5


def test_the_mean_colour_has_three_bits_a_channel():
    pixels = np.zeros((1, 4, 8, 3))
    pixels[0, :, :4] = (255, 0, 128)  # left patch: levels 7, 0, 4
    pixels[0, :, 4:] = (31.9, 32.1, 64)  # right patch: levels 1, 1, 2 of 8 equal parts of [0, 255]

    (left,), (right,) = colour_targets(to_floats(pixels), 4, "mean")[0]

    assert left == 7 * 64 + 0 * 8 + 4
    assert right == 1 * 64 + 1 * 8 + 2


@pytest.mark.parametrize("patch", [4, 8])
def test_colours_patch_by_patch(patch):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 16, 3))
    images = to_floats(pixels)

    found = {target: colour_targets(images, patch, target) for target in ("mean", "4x4", "pixels")}

    def colour(block):
        return int(sum(min(7, int((v + 1) * 4)) * 8 ** (2 - i) for i, v in enumerate(block.mean(axis=(0, 1)))))

    columns = 16 // patch
    for b in range(2):
        for n in range(8 // patch * columns):
            top, left = n // columns * patch, n % columns * patch
            square = images[b, top : top + patch, left : left + patch]
            assert found["mean"][b, n, 0] == colour(square)
            side = patch // 4
            for part in range(16):
                y, x = part // 4 * side, part % 4 * side
                assert found["4x4"][b, n, part] == colour(square[y : y + side, x : x + side])
            np.testing.assert_array_equal(found["pixels"][b, n], square.reshape(-1))


def test_bad_targets_are_named():
    with pytest.raises(ConfigError, match="'median'"):
        colour_targets(np.zeros((1, 4, 4, 3)), 4, "median")
    with pytest.raises(ConfigError, match="3 channels"):
        colour_targets(np.zeros((1, 4, 4, 1)), 4, "mean")
    with pytest.raises(ConfigError, match="2 pixels"):
        colour_targets(np.zeros((1, 4, 4, 3)), 2, "4x4")
    with pytest.raises(ConfigError, match="hybrids"):
        MaskedPatchModel(tiny_vit(backbone=(), backbone_width=32, patch_size=1, image_size=16))


# -- the model -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "outputs"), [("mean", 512), ("4x4", 16 * 512), ("pixels", 48)])
@pytest.mark.parametrize("classifier", ["token", "gap"])
def test_one_prediction_for_each_corrupted_patch(target, outputs, classifier):
    vit = tiny_vit(dtype=np.float32, classifier=classifier, image_size=16)
    model = MaskedPatchModel(vit, target)

    predicted, corrupted = model(random_images(vit.config, dtype=np.float32), rng=np.random.default_rng(0))

    assert corrupted.shape == (3, 16) and corrupted.sum() == 24
    assert predicted.shape == (24, outputs)


def test_a_masked_patch_is_predicted_without_looking_at_it():
    """Change the pixels of masked patches alone: no prediction changes."""
    vit = tiny_vit(image_size=16)
    model = MaskedPatchModel(vit, "pixels")
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    images = random_images(vit.config)
    corruption = draw_corruption(3, 16, np.random.default_rng(0))
    pure = ~np.isin(np.arange(16), corruption.source[0][corruption.source[0] != np.arange(16)])
    changed = images.copy()
    for n in np.flatnonzero(corruption.masked[0] & pure):
        changed[0, n // 4 * 4 : n // 4 * 4 + 4, n % 4 * 4 : n % 4 * 4 + 4] += 0.5

    def run(x):
        return model(x, rng=np.random.default_rng(0))[0].data

    assert not np.array_equal(changed, images)
    np.testing.assert_array_equal(run(changed), run(images))


@pytest.mark.parametrize("target", ["mean", pytest.param("4x4", marks=pytest.mark.slow), "pixels"])
def test_the_loss_starts_as_that_of_a_guess_and_can_be_learned(target):
    """Stripes: a patch's neighbours tell its colour."""
    rng = np.random.default_rng(0)
    stripes = np.repeat(rng.uniform(-1, 1, (32, 1, 16, 3)), 16, axis=1).astype(np.float32)  # (B, 16, 16, 3)
    stripes = np.repeat(stripes[:, :, ::4], 4, axis=2)
    model = MaskedPatchModel(ViT(tiny_config(image_size=16, dim=24)), target)
    optimizer = Muon(model.named_parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        loss, _, of = model.loss(stripes, rng=np.random.default_rng(step))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert of == {"mean": 32 * 8, "4x4": 32 * 8 * 16, "pixels": 0}[target]
    if target != "pixels":
        assert losses[0] == pytest.approx(np.log(512), rel=0.15)
    assert losses[-1] < 0.8 * losses[0]
