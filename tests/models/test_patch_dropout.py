"""Patches left out in training: which, when, and what the rest computes."""

import numpy as np
import pytest

from minivit import ConfigError, Tensor
from tests.support import random_images, tiny_vit


def model_without(share, **changes):
    model = tiny_vit(**changes).train()
    model.patch_dropout = share
    return model


def rng(seed=0):
    return np.random.default_rng(seed)


def whole_tokens(model, images):
    """What enters the first block if no patch is left out, (B, T, D)."""
    front = [np.broadcast_to(token.data, (len(images), *token.shape[1:])) for token in model._front_tokens()]
    z = np.concatenate([*front, model.embed(images).data], axis=1)
    return model.positions(Tensor(z)).data


@pytest.mark.parametrize(
    ("changes", "front"),
    [({}, 1), ({"classifier": "gap"}, 0), ({"registers": 2}, 3), ({"positions": "sincos2d"}, 1)],
    ids=str,
)
@pytest.mark.parametrize(("share", "kept"), [(0.5, 2), (0.25, 3), (0.9, 1)])
def test_other_patches_of_each_image_are_left_out_and_no_token_in_front(changes, front, share, kept):
    model = model_without(share, **changes)
    images = random_images(model.config, batch=40)
    assert model.config.num_patches == 4
    model.blocks = []

    tokens = model.encode(model.embed(images), rng=rng()).data

    assert tokens.shape[1] == front + kept
    found = []
    for rows, all_rows in zip(tokens, whole_tokens(model, images), strict=True):
        places = [np.flatnonzero((row == all_rows).all(axis=1)).item() for row in rows]
        assert places[:front] == list(range(front))
        assert len(set(places)) == front + kept
        found.append(tuple(sorted(places[front:])))
    assert {place for places in found for place in places} == set(range(front, front + 4))
    assert len(set(found)) > 2


def test_the_rest_is_computed_as_if_there_had_never_been_more():
    model = model_without(0.5, classifier="gap")
    images = random_images(model.config, batch=3)
    kept = model._without_some_patches(Tensor(whole_tokens(model, images)), rng(7))
    z = kept
    for block in model.blocks:
        z = block(z)

    logits = model(images, rng=rng(7)).data

    by_hand = model.head(Tensor(model.encoder_norm(z).data.mean(axis=1))).data
    np.testing.assert_allclose(logits, by_hand, rtol=1e-12)


def test_all_patches_are_seen_outside_of_training():
    model, plain = model_without(0.5).eval(), tiny_vit().eval()
    images = random_images(model.config)

    np.testing.assert_array_equal(model(images).data, plain(images).data)


def test_the_grid_of_features_has_all_patches_in_training_mode_too():
    model, plain = model_without(0.5).train(), tiny_vit().train()
    images = random_images(model.config)

    np.testing.assert_array_equal(model.features(images).data, plain.features(images).data)
    assert model.patch_dropout == 0.5


def test_another_share_is_left_out_inside_the_block_alone():
    model = model_without(0.5)
    with pytest.raises(ZeroDivisionError), model.leaving_out(0.25):
        assert model.patch_dropout == 0.25
        raise ZeroDivisionError
    assert model.patch_dropout == 0.5


@pytest.mark.parametrize(
    "changes", [{"positions": "relative"}, {"positions_at": "every"}, {"positions_at": "shared"}], ids=str
)
def test_positions_that_later_blocks_need_are_not_left_out(changes):
    model = model_without(0.5, **changes)
    images = random_images(model.config)

    with pytest.raises(
        ConfigError, match=r"^patch_dropout leaves out patches .* set model\.patch_dropout = 0"
    ) as raised:
        model(images)
    assert len(str(raised.value)) < 200

    assert model.features(images).shape == (3, 2, 2, 12)
    assert model.eval()(images).shape == (3, 5)
    model.train().patch_dropout = 0.0
    assert model(images).shape == (3, 5)
