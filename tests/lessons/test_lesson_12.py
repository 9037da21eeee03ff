"""Lesson 12: what it builds is what `minivit.insight` measures, and what its text says of the model is so."""

import numpy as np
import pytest

import minivit
from minivit import insight
from minivit.data.shapes import shapes
from minivit_lessons import trained_model

from . import answers

NAMES = answers.lesson(12)
MODEL = trained_model()
DATA = shapes("test", count=200)
IMAGES = minivit.preprocess(DATA.images)


def attention_of(model):
    with minivit.no_grad():
        _, seen = model(IMAGES, return_intermediates=True)
    return [seen[f"blocks.{i}.attention.weights"] for i in range(model.config.depth)]


@pytest.fixture(scope="module")
def attention():
    return attention_of(MODEL)


@pytest.fixture(scope="module")
def rollouts(attention):
    return NAMES["roll_out"](attention)[:, 0, 1:]


def accuracy_without(maps, count):
    return NAMES["accuracy_without"](MODEL, IMAGES, DATA.labels, maps, count)


# -- the same as the package ---------------------------------------------------------------------


def test_the_rollout_is_the_packages(attention):
    np.testing.assert_allclose(NAMES["roll_out"](attention), insight.rollout(attention), rtol=1e-5)


def test_the_distances_are_the_packages_and_the_mean_of_each_querys(attention):
    between = insight.patch_distances(MODEL.config).astype(np.float32)
    distances = np.stack([NAMES["head_distances"](weights, between) for weights in attention])

    assert distances == pytest.approx(insight.attention_distance(MODEL, IMAGES), rel=1e-5)
    one = attention[2][7:8]  # one image
    by_query = [NAMES["query_distance"](one[0, 1, 1 + q, 1:], q, 8, 4) for q in range(64)]
    assert np.mean(by_query) == pytest.approx(NAMES["head_distances"](one, between)[1], rel=1e-5)


def test_the_filters_components_are_the_packages_but_for_the_sign():
    found = insight.filter_components(MODEL, 28)
    ours = NAMES["main_filters"](MODEL.embedding.weight.data, 28)

    theirs = found.components.reshape(28, -1)
    assert np.abs((ours * theirs).sum(axis=1)) == pytest.approx(1.0, abs=1e-5)
    E = MODEL.embedding.weight.data
    assert (E.T @ ours.T).var(axis=0) / E.var(axis=1).sum() == pytest.approx(found.explained, rel=1e-4)


def test_the_similarities_are_the_packages():
    ours = NAMES["similarity_maps"](MODEL.positions.embedding.data, 8, 8)
    assert ours == pytest.approx(insight.position_similarity(MODEL), abs=1e-6)


# -- what the text says --------------------------------------------------------------------------


def test_the_model_is_the_one_that_is_described():
    assert MODEL.num_parameters() == 142_026
    assert (MODEL.predict(DATA.images).argmax(axis=1) == DATA.labels).mean() > 0.97


def test_every_head_looks_about_15_to_16_pixels_far_less_than_uniform_attention(attention):
    distances = insight.attention_distance(MODEL, IMAGES)
    uniform = insight.patch_distances(MODEL.config).mean()

    assert distances.shape == (4, 2)
    assert distances.min() > 14.5
    assert distances.max() < 16.5 <= uniform


def test_a_patch_looks_near_where_others_look_across_the_image(attention):
    between = insight.patch_distances(MODEL.config)
    star = attention[0][5, 0, 1 + 27, 1:]  # row 3, column 3

    assert DATA.classes[DATA.labels[5]] == "star"
    assert np.argsort(-star)[:2].tolist() == [4 * 8 + 4, 27]
    assert (star[36], star[27]) == pytest.approx((0.3, 0.23), abs=0.02)
    assert NAMES["query_distance"](star, 27, 8, 4) == pytest.approx(5.7, abs=0.05)
    to_patches = attention[0][:, 0, 1:, 1:]
    far = (to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)
    assert (far > 20).mean() == pytest.approx(1 / 7, abs=0.02)


def test_the_strongest_components_are_grey_and_stronger_than_a_new_models():
    found = insight.filter_components(MODEL, 28)
    grey = 3 * (found.components.mean(axis=-1) ** 2).sum(axis=(1, 2))  # the share of each that is the same in R, G, B
    new = [insight.filter_components(minivit.ViT(MODEL.config, seed=seed)).explained[0] for seed in range(3)]

    assert grey[:3].min() > 0.85
    assert grey[8:].max() < 0.5
    assert found.explained[0] > 0.14
    assert 0.055 <= min(new) <= max(new) < 0.075


def test_neighbours_positions_are_alike_and_opposite_sides_too():
    cosines = insight.position_similarity(MODEL).reshape(64, 64)
    rows, columns = np.divmod(np.arange(64), 8)
    apart = abs(rows[:, None] - rows) + abs(columns[:, None] - columns)  # as lesson 06 counts
    means = [cosines[apart == steps].mean() for steps in (1, 2, 3)]

    assert means == pytest.approx([0.60, 0.34, 0.06], abs=0.005)
    for lines in (rows, columns):
        assert cosines[lines == 0][:, lines == 7].mean() > 0.4
        assert cosines[lines == 0][:, lines == 3].mean() < 0
    top, left, bottom, right = DATA.boxes.T
    for reached in (top < 4, left < 4, bottom > 28, right > 28):
        assert reached.mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.slow
def test_painting_over_tells_the_maps_apart(attention, rollouts):
    eight = {
        "rollout": accuracy_without(rollouts, 8),
        "reversed": accuracy_without(NAMES["reversed_roll_out"](attention)[:, 0, 1:], 8),
        "last": accuracy_without(attention[-1].mean(axis=1)[:, 0, 1:], 8),
        "random": accuracy_without(np.random.default_rng(0).random(rollouts.shape), 8),
    }

    assert accuracy_without(rollouts, 0) > 0.98
    assert 0.25 < eight["rollout"] < 0.4  # two answers of three are lost
    assert eight["rollout"] <= eight["reversed"] < eight["rollout"] + 0.1
    assert eight["rollout"] + 0.1 < eight["last"] < 0.65
    assert eight["random"] > 0.965  # one or two in a hundred

    untrained = minivit.ViT(MODEL.config, seed=1)
    maps = insight.attention_rollout(untrained, DATA.images).reshape(-1, 64)
    assert eight["last"] < accuracy_without(maps, 8) < eight["random"] - 0.2


def test_the_least_of_rollout_is_not_missed_but_the_least_of_the_last_block_is(attention, rollouts):
    last = attention[-1].mean(axis=1)[:, 0, 1:]

    assert accuracy_without(-rollouts, 16) >= accuracy_without(rollouts, 0)
    assert accuracy_without(-last, 16) == pytest.approx(0.7, abs=0.05)


def test_the_two_tokens_of_the_text():
    first, second = np.array([[1, 0], [0.5, 0.5]]), np.array([[0.5, 0.5], [0, 1]])
    assert (second @ first)[0].tolist() == [0.75, 0.25]
