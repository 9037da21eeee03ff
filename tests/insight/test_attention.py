"""Attention summed up: against naive loops, and where the answer is known by hand."""

import math

import numpy as np
import pytest

from minivit import no_grad
from minivit.backend.workers import Workers
from minivit.errors import ConfigError
from minivit.insight import attention_distance, attention_rollout, class_token_attention, patch_distances, rollout
from minivit.models.classifier import default_microbatch
from tests.insight.models import Looker, random_attention
from tests.support import random_images, tiny_config, tiny_vit

LOOKS = [attention_distance, attention_rollout, class_token_attention]


@pytest.fixture
def model():
    return tiny_vit(image_size=(8, 12), depth=3)  # 2 x 3 patches of 4 pixels


@pytest.fixture
def images(model):
    return random_images(model.config, batch=6)


def attention_of(model, images):
    with no_grad():
        _, seen = model(images, return_intermediates=True)
    return [seen[f"blocks.{i}.attention.weights"] for i in range(model.config.depth)]


# -- distance ------------------------------------------------------------------------------------


def naive_distance(layers, first_patch, columns, patch_size):
    """Loops over everything: a list of lists, layer by head."""
    found = []
    for weights in layers:
        heads = []
        for head in range(weights.shape[1]):
            distances = []
            for image in range(len(weights)):
                own = weights[image, head, first_patch:, first_patch:]
                for q, row in enumerate(own):
                    total = 0.0
                    for k, weight in enumerate(row):
                        dy, dx = q // columns - k // columns, q % columns - k % columns
                        total += weight * patch_size * math.sqrt(dx * dx + dy * dy)
                    distances.append(total / sum(row))
            heads.append(sum(distances) / len(distances))
        found.append(heads)
    return found


def test_distances_of_a_model_are_those_of_naive_loops(model, images):
    found = attention_distance(model, images)
    assert found.shape == (3, 3)
    assert found == pytest.approx(np.array(naive_distance(attention_of(model, images), 1, 3, 4)), rel=1e-9)


def test_distances_without_a_class_token():
    layers = random_attention(batch=5, heads=2, tokens=6, depth=2)
    looker = Looker(layers, image_size=(8, 12), dim=12)
    found = attention_distance(looker, looker.images())
    assert found == pytest.approx(np.array(naive_distance(layers, 0, 3, 4)), rel=1e-9)


@pytest.mark.parametrize("tokens", [4, 5])
def test_uniform_attention_has_the_mean_distance_of_all_patches(tokens):
    """Four patches of 4 pixels in a square: 0, 4, 4 and the diagonal away, whichever asks."""
    looker = Looker([np.full((3, 2, tokens, tokens), 1 / tokens)], dim=12)
    by_hand = (0 + 4 + 4 + 4 * math.sqrt(2)) / 4
    assert attention_distance(looker, looker.images()) == pytest.approx(by_hand, rel=1e-12)
    assert patch_distances(looker.config).mean() == pytest.approx(by_hand, rel=1e-12)


def test_attention_to_itself_is_near_and_to_the_opposite_corner_far():
    itself, corner = np.eye(4), np.eye(4)[::-1]
    looker = Looker([np.stack([itself, corner])[None]], dim=12)
    assert attention_distance(looker, looker.images()) == pytest.approx(np.array([[0.0, 4 * math.sqrt(2)]]))


def test_attention_to_the_class_token_does_not_count():
    weights = np.zeros((1, 1, 5, 5))
    weights[..., 0] = 0.9
    weights[0, 0, 1:, 1:] = 0.1 * np.eye(4)[::-1]
    looker = Looker([weights], dim=12)
    assert attention_distance(looker, looker.images()) == pytest.approx(4 * math.sqrt(2))


def test_patches_that_attend_to_the_class_token_alone_are_no_distance_away():
    weights = np.zeros((1, 1, 5, 5))
    weights[..., 0] = 1.0
    looker = Looker([weights], dim=12)
    assert attention_distance(looker, looker.images()) == 0.0


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({"image_size": 384, "patch_size": 14, "drop_rest": True}, 14),  # 27 patches, and 6 pixels that none covers
        ({"image_size": (30, 384), "patch_size": 14, "drop_rest": True}, 14),
        ({"image_size": 40, "patch_size": 1, "backbone": (1, 1, 1), "backbone_width": 32}, 16),  # 40 / 16, rounded up
        ({"image_size": 40, "patch_size": 3, "backbone": (), "backbone_width": 32}, 12),  # 10 cells of 4 pixels
    ],
    ids=str,
)
def test_neighbours_are_a_patch_apart_although_patches_do_not_fill_the_image(changes, apart):
    config = tiny_config(**changes)
    distances, (_, columns) = patch_distances(config), config.grid
    assert (distances[0, 1], distances[0, columns]) == (apart, apart)
    assert distances[1, columns] == pytest.approx(apart * math.sqrt(2))


# -- rollout -------------------------------------------------------------------------------------


def test_identity_rolls_out_to_identity():
    layers = [np.broadcast_to(np.eye(5), (2, 3, 5, 5))] * 4
    assert rollout(layers) == pytest.approx(np.broadcast_to(np.eye(5), (2, 5, 5)))


def test_two_tokens_by_hand():
    """Each layer becomes (A + I) / 2; the later one stands on the left."""
    first = np.array([[[[1.0, 0.0], [1.0, 0.0]]]])  # (A + I) / 2 = [[1, 0], [1/2, 1/2]]
    second = np.array([[[[0.0, 1.0], [0.0, 1.0]]]])  # (A + I) / 2 = [[1/2, 1/2], [0, 1]]
    assert rollout([first, second])[0] == pytest.approx(np.array([[0.75, 0.25], [0.5, 0.5]]))


def naive_rollout(layers):
    """Of one image: (heads, T, T) each. Sums over paths, token by token."""
    tokens = layers[0].shape[-1]
    flow = [[float(i == j) for j in range(tokens)] for i in range(tokens)]
    for weights in layers:
        mixed = [[sum(head[i][j] for head in weights) / len(weights) for j in range(tokens)] for i in range(tokens)]
        for i in range(tokens):
            mixed[i][i] += 1
            total = sum(mixed[i])
            mixed[i] = [value / total for value in mixed[i]]
        flow = [[sum(mixed[i][k] * flow[k][j] for k in range(tokens)) for j in range(tokens)] for i in range(tokens)]
    return np.array(flow)


def test_the_rollout_of_a_model_is_the_class_tokens_row_without_itself(model, images):
    layers = attention_of(model, images)
    found = attention_rollout(model, images)
    assert found.shape == (6, 2, 3)
    for i in range(6):
        flow = naive_rollout([weights[i] for weights in layers])
        assert found[i].ravel() == pytest.approx(flow[0, 1:], rel=1e-9)


def test_the_rollout_without_a_class_token_is_the_mean_of_all_rows():
    layers = random_attention(batch=3, heads=2, tokens=6, depth=2)
    looker = Looker(layers, image_size=(8, 12), dim=12, classifier="gap")
    found = attention_rollout(looker, looker.images())
    for i in range(3):
        flow = naive_rollout([weights[i] for weights in layers])
        assert found[i].ravel() == pytest.approx(flow.mean(axis=0), rel=1e-9)


@pytest.mark.parametrize("front", [{"class_token": True}, {"class_token": True, "registers": 2}], ids=str)
def test_a_class_token_that_the_head_does_not_read_has_no_row_in_the_maps(front):
    tokens = sum(map(int, front.values()))
    layers = random_attention(batch=3, heads=2, tokens=tokens + 6, depth=2)
    looker = Looker(layers, image_size=(8, 12), dim=12, classifier="gap", **front)
    rolled, last = attention_rollout(looker, looker.images()), class_token_attention(looker, looker.images())
    for i in range(3):
        flow = naive_rollout([weights[i] for weights in layers])
        assert rolled[i].ravel() == pytest.approx(flow[tokens:, tokens:].mean(axis=0), rel=1e-9)
        paid = [sum(layers[1][i, head, q, tokens + k] for head in (0, 1) for q in range(tokens, tokens + 6))
                for k in range(6)]  # fmt: skip
        assert last[i].ravel() == pytest.approx([value / sum(paid) for value in paid], rel=1e-9)


# -- the class token's attention -----------------------------------------------------------------


def test_class_token_attention_is_its_row_in_the_last_layer(model, images):
    weights = attention_of(model, images)[-1]
    found = class_token_attention(model, images)
    for i in range(6):
        row = [sum(weights[i, head, 0, 1 + k] for head in range(3)) for k in range(6)]
        assert found[i].ravel() == pytest.approx([value / sum(row) for value in row], rel=1e-9)


# -- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("look", LOOKS)
def test_pixels_are_preprocessed_and_workers_change_nothing(look, model):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 12, 3), dtype=np.uint8)
    counted = []
    with Workers(2) as workers:
        found = look(model, pixels, workers=workers, advance=counted.append)
    assert np.array_equal(found, look(model, (pixels.astype(np.float32) - 127.5) / 127.5))
    assert sum(counted) == 5


@pytest.mark.parametrize("look", LOOKS)
def test_images_pass_a_few_at_a_time(look):
    looker = Looker(random_attention(batch=40, heads=2, tokens=5, depth=1), dim=16384)
    look(looker, looker.images())
    assert sum(looker.batches) == 40
    assert max(looker.batches) == default_microbatch(looker.config, 40) == 4


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_to_look_at_is_refused(look, model, images):
    with pytest.raises(ConfigError, match="without encoder blocks"):
        look(tiny_vit(depth=0), images)
    with pytest.raises(ConfigError, match="1 or more"):
        look(model, images[:0])


@pytest.mark.parametrize("look", LOOKS)
def test_a_model_in_training_mode_looks_without_dropout(look, model, images):
    evaluated = look(model, images)
    dropping = tiny_vit(image_size=(8, 12), depth=3, dropout=0.5).train()
    assert np.array_equal(look(dropping, images), evaluated)
    assert dropping.training
