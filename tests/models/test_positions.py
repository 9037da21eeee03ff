"""Every kind of position embedding against loops over its definition, and resizing against scipy and PyTorch's rule."""

import math

import numpy as np
import pytest
from scipy.ndimage import zoom

from minivit import ConfigError, Tensor, ViT
from minivit.models.positions import (
    FixedPositions,
    LearnedPositions2d,
    relative_scores,
    resize_positions,
    resized,
    sincos2d,
)
from tests.support import random_images, tiny_config, tiny_vit


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# -- the kinds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (5, 2)], ids=str)
@pytest.mark.parametrize("dim", [4, 8, 20])
def test_sincos2d_patch_by_patch(grid, dim):
    table = sincos2d(grid, dim)

    quarter = dim // 4
    for n in range(grid[0] * grid[1]):
        row, column = n // grid[1], n % grid[1]  # raster order
        for k in range(quarter):
            omega = 1.0 / 10_000 ** (k / (quarter - 1)) if quarter > 1 else 1.0
            expected = [
                math.sin(column * omega),
                math.cos(column * omega),
                math.sin(row * omega),
                math.cos(row * omega),
            ]
            np.testing.assert_allclose([table[n, part * quarter + k] for part in range(4)], expected, atol=1e-6)


@pytest.mark.parametrize("class_token", [False, True])
def test_learned_2d_positions_are_a_column_and_a_row_side_by_side(class_token):
    layer = LearnedPositions2d((2, 3), int(class_token), 8, np.random.default_rng(0))

    table = layer.table().data

    assert table.shape == (1, 6 + class_token, 8)
    if class_token:
        assert not table[0, 0].any()
    for n in range(6):
        expected = [*layer.columns.data[0, n % 3], *layer.rows.data[n // 3, 0]]
        np.testing.assert_array_equal(table[0, class_token + n], expected)


def test_fixed_positions_are_no_parameters_and_leave_a_class_token_alone():
    layer = FixedPositions((2, 2), 1, 8)
    z = random(3, 5, 8)

    out = layer(Tensor(z)).data

    assert layer.parameters() == []
    np.testing.assert_array_equal(out[:, 0], z[:, 0])
    np.testing.assert_allclose(out[:, 1:] - z[:, 1:], np.broadcast_to(sincos2d((2, 2), 8), (3, 4, 8)), atol=1e-7)


@pytest.mark.parametrize("queries", [1, 3, 5])
def test_relative_scores_pair_by_pair(queries):
    q, offsets = random(2, 3, queries, 4), random(9, 4, seed=1)

    scores = relative_scores(Tensor(q), Tensor(offsets)).data

    assert scores.shape == (2, 3, queries, 5)
    for b, h, i, j in np.ndindex(scores.shape):
        assert scores[b, h, i, j] == pytest.approx(np.dot(q[b, h, i], offsets[4 + i - j]), abs=1e-12)


def test_relative_positions_enter_the_softmax_with_the_other_scores():
    """A large score for "one before" makes each token attend to the one before it."""
    model = tiny_vit(positions="relative", depth=1)
    attention = model.blocks[0].attention
    attention.qkv.bias.data[:12] = 1.0  # queries of ones...
    attention.qkv.weight.data[:, :12] = 0.0
    attention.offsets.data[...] = 0.0
    attention.offsets.data[5] = 100.0  # ... meet the offset i - j = 1: index 4 + 1

    _, seen = model(random_images(model.config), return_intermediates=True)

    weights = seen["blocks.0.attention.weights"]
    for i in range(1, 5):
        np.testing.assert_allclose(weights[:, :, i, i - 1], 1.0, atol=1e-6)


def test_relative_logits_are_the_same_whether_all_tokens_are_computed_or_only_the_one_that_is_read():
    model = tiny_vit(positions="relative")
    images = random_images(model.config)

    short = model(images).data
    model.skip_unused = False

    np.testing.assert_allclose(short, model(images).data, atol=1e-12)


@pytest.mark.parametrize("kind", ["learned", "learned2d", "sincos2d"])
def test_the_three_places_add_what_they_say_before_each_block(kind):
    """With blocks that pass their input on, the tokens that come out show what was added on the way."""
    for at, times in [("stem", 1), ("every", 3), ("shared", 3)]:
        model = tiny_vit(positions=kind, positions_at=at, depth=3)
        for block in model.blocks:
            for part in (block.attention.out, block.mlp.fc2):
                part.weight.data[...], part.bias.data[...] = 0.0, 0.0
        images = random_images(model.config)

        z = model.encode(model.embed(images), all_tokens=True).data

        tables = [model.positions.table().data] * times
        if at == "every":
            tables = [model.positions.table().data, *(later.table().data for later in model.later_positions)]
        expected = np.concatenate([np.repeat(model.cls.data, 3, axis=0), model.embed(images).data], axis=1) + sum(
            tables
        )
        np.testing.assert_allclose(z, expected, atol=1e-6)


def test_every_place_has_parameters_of_its_own_and_a_shared_one_has_one():
    count = {at: ViT(tiny_config(positions_at=at, depth=4)).num_parameters() for at in ("stem", "every", "shared")}

    assert count["shared"] == count["stem"]
    assert count["every"] == count["stem"] + 3 * 5 * 12


def test_without_positions_patches_may_be_shuffled():
    model = tiny_vit(positions="none")
    images = random_images(model.config)
    swapped = np.concatenate([images[:, 4:], images[:, :4]], axis=1)  # the rows of patches

    np.testing.assert_allclose(model(swapped).data, model(images).data, atol=1e-12)
    assert np.abs(tiny_vit()(swapped).data - tiny_vit()(images).data).max() > 1e-3


# -- another grid --------------------------------------------------------------------------------

GRIDS = [
    ((7, 7), (14, 14)),
    ((14, 14), (24, 24)),
    ((14, 14), (12, 12)),
    ((5, 7), (9, 4)),
    ((1, 3), (2, 2)),
    ((4, 4), (1, 1)),
]


@pytest.mark.parametrize("class_token", [0, 1])
@pytest.mark.parametrize(("before", "after"), GRIDS, ids=str)
def test_bilinear_is_the_authors_zoom(before, after, class_token):
    table = random(1, before[0] * before[1] + class_token, 5)

    found = resize_positions(table, before, after)

    grid = table[0, class_token:].reshape(*before, 5)
    expected = zoom(grid, (after[0] / before[0], after[1] / before[1], 1), order=1).reshape(-1, 5)
    assert found.shape == (1, after[0] * after[1] + class_token, 5)
    np.testing.assert_allclose(found[0, class_token:], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found[0, :class_token], table[0, :class_token])


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_the_same_grid_is_left_as_it_is(method):
    table = random(1, 13, 3).astype(np.float32)

    found = resize_positions(table, (3, 4), (3, 4), method)

    np.testing.assert_array_equal(found, table, strict=True)
    assert found is not table


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_constant_positions_stay_constant(method):
    found = resize_positions(np.full((1, 12, 2), 3.5), (3, 4), (8, 5), method)

    np.testing.assert_allclose(found, 3.5, rtol=1e-12)


def test_a_slope_stays_a_slope():
    """Corners stay where they are, so column 0 to 6 on 7 places is column 0 to 6 on 13 places, in halves."""
    columns = np.tile(np.arange(7.0), 7).reshape(1, 49, 1)

    found = resize_positions(columns, (7, 7), (7, 13))

    np.testing.assert_allclose(found.reshape(7, 13), np.tile(np.arange(13) / 2, (7, 1)), atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((random(1, 12, 2), (3, 3), (2, 2)), "3 x 3"),
        ((random(1, 9, 2), (3, 3), (2, 2), "nearest"), "'nearest'"),
    ],
)
def test_bad_input_is_named(arguments, words):
    with pytest.raises(ConfigError, match=words):
        resize_positions(*arguments)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_columns_and_rows_are_resized_each_along_its_side(method):
    columns, rows = random(1, 4, 6), random(3, 1, 6, seed=1)  # of a grid of 3 rows and 4 columns

    wider = resized("positions.columns", columns, (3, 4), (5, 7), method)
    taller = resized("positions.rows", rows, (3, 4), (5, 7), method)

    assert wider.shape == (1, 7, 6) and taller.shape == (5, 1, 6)
    whole = resize_positions(np.tile(columns, (1, 3, 1)), (3, 4), (3, 7), method).reshape(3, 7, 6)
    for row in whole:  # each row of a grid is resized as the columns are
        np.testing.assert_allclose(wider[0], row, rtol=0, atol=1e-12)
    whole = resize_positions(np.repeat(rows, 4, axis=1).reshape(1, 12, 6), (3, 4), (5, 4), method).reshape(5, 4, 6)
    for column in range(4):
        np.testing.assert_allclose(taller[:, 0], whole[:, column], rtol=0, atol=1e-12)
