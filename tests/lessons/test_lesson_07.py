"""Lesson 07: attention is the package's, and what the text says of the pictures is so."""

import math

import numpy as np
import pytest

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit.engine import attention as fused_attention
from minivit.engine import reference
from minivit_lessons import trained_model
from minivit_lessons.pictures.attention import draw_saturation

from .answers import lesson

names = lesson(7)
Tensor = names["Tensor"]
N, D_h = 8 * 8, 3


@pytest.fixture(scope="module")
def heart():
    """The lesson's image, its hand-made queries, keys and values, and the middle of its box in the grid."""
    data = shapes("test", count=40)
    image = data.images[35]
    colours = image.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3)).reshape(N, 3)
    keys = (colours - (colours.max(axis=0) + colours.min(axis=0)) / 2) / 127.5
    values = np.stack(np.divmod(np.arange(64.0), 8), axis=1)
    top, left, bottom, right = data.boxes[35]
    middle = (np.array([top + bottom - 1, left + right - 1]) / 2 - 1.5) / 4
    return image, 8 * keys, keys, values, middle


@pytest.fixture(scope="module")
def seen(heart):
    return trained_model()(preprocess(heart[0][None]), return_intermediates=True)[1]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_the_weights_and_answers_are_the_packages_with_one_head(dtype, tolerance):
    packed = np.random.default_rng(0).standard_normal((2, 10, 3 * 8)).astype(dtype)
    q, k, v = (Tensor(part) for part in np.split(packed, 3, axis=-1))

    expected, weights = reference.attention_with_weights(reference.Tensor(packed), heads=1)
    fused = fused_attention(reference.Tensor(packed), 1)

    ours = names["attention_weights"](q, k)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours.data, weights.data[:, 0], atol=tolerance)
    answers = names["attention"](q, k, v)
    np.testing.assert_allclose(answers.data, expected.data, atol=5 * tolerance)
    np.testing.assert_allclose(answers.data, fused.data, atol=5 * tolerance)


def test_self_attention_and_its_gradients_are_the_packages():
    rng = np.random.default_rng(1)
    z, U, bias = rng.standard_normal((2, 7, 6)), rng.standard_normal((6, 12)), rng.standard_normal(12)
    mine = [Tensor(a.copy(), requires_grad=True) for a in (z, U, bias)]
    theirs = [reference.Tensor(a.copy(), requires_grad=True) for a in (z, U, bias)]
    cotangent = rng.standard_normal((2, 7, 4))

    out = names["self_attention"](*mine)
    out.backward(cotangent)
    expected = fused_attention(reference.linear(*theirs), 1)
    expected.backward(cotangent)

    np.testing.assert_allclose(out.data, expected.data, rtol=1e-12)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-10, atol=1e-12)


def test_the_tip_of_the_heart_is_answered_with_its_middle(heart):
    _, queries, keys, values, middle = heart
    tip = 6 * 8 + 4

    answer = names["look"](queries[tip], keys, values)

    assert np.linalg.norm(values[tip] - middle) > 1.5
    assert np.linalg.norm(answer - middle) < 0.5


def test_the_trained_model_uses_these_weights(heart, seen):
    model = trained_model()
    for block, layer in enumerate(model.blocks[1:], start=1):
        z = layer.norm1(reference.Tensor(seen[f"blocks.{block - 1}.tokens"]))
        q, k, _ = np.split(layer.attention.qkv(z).data, 3, axis=-1)
        for head in range(2):
            own = slice(32 * head, 32 * head + 32)
            ours = names["attention_weights"](Tensor(q[..., own]), Tensor(k[..., own])).data
            np.testing.assert_allclose(ours, seen[f"blocks.{block}.attention.weights"][:, head], atol=2e-6)


def test_in_block_0_one_head_asks_for_its_own_kind_and_one_for_the_opposite(heart, seen):
    keys = heart[2]
    on_heart = keys[:, 0] > 0
    weights = seen["blocks.0.attention.weights"][0, :, 1:, 1:]  # (2, 64, 64)
    shares = weights[:, :, on_heart].sum(axis=2) / weights.sum(axis=2)  # of each patch's attention, what the heart gets
    corner, tip = 7 * 8 + 7, 6 * 8 + 4
    own, opposite = sorted(shares, key=lambda share: share[corner])

    assert own[corner] < 0.1
    assert own[tip] > 0.6
    assert own[on_heart].mean() > own[~on_heart].mean() + 0.4
    assert opposite[corner] > 0.65
    assert opposite[tip] < 0.15
    assert opposite[~on_heart].mean() > opposite[on_heart].mean() + 0.3


def to_nine_tenths(weights):
    """How many others a patch hears, the mean over all patches: those that have nine tenths of its attention."""
    return ((np.sort(weights, axis=-1)[..., ::-1].cumsum(axis=-1) < 0.9).sum(axis=-1) + 1).mean()


def test_without_the_root_fewer_are_heard_and_divided_twice_nearly_all(heart, seen):
    model = trained_model()
    for block, layer in enumerate(model.blocks[1:], start=1):
        z = layer.norm1(reference.Tensor(seen[f"blocks.{block - 1}.tokens"]))
        q, k, _ = np.split(layer.attention.qkv(z).data, 3, axis=-1)
        for head in range(2):
            q_h, k_h = (x[..., 32 * head : 32 * head + 32] for x in (q, k))
            heard = {
                factor: to_nine_tenths(names["attention_weights"](Tensor(q_h * factor), Tensor(k_h)).data)
                for factor in (math.sqrt(32), 1.0, 1 / math.sqrt(32))
            }
            undivided, trained, twice = heard.values()
            assert undivided < 0.7 * trained
            assert twice > 50


@pytest.mark.parametrize(
    ("divisor", "least", "most"), [(math.sqrt(32), 0.97, 1.0), (1.0, 0.5, 0.7), (32.0, 0.08, 0.14)]
)
def test_what_another_divisor_does_to_the_trained_model(divisor, least, most):
    model = trained_model()
    for block in model.blocks:
        block.attention.qkv.weight.data[:, :64] *= math.sqrt(32) / divisor
        block.attention.qkv.bias.data[:64] *= math.sqrt(32) / divisor
    test = shapes("test", 200)

    accuracy = (model.predict(test.images).argmax(axis=1) == test.labels).mean()

    assert least <= accuracy <= most


def test_softmax_over_the_wrong_axis_sends_the_outline_to_the_corner(heart):
    _, queries, keys, values, _ = heart
    scores = queries @ keys.T / math.sqrt(D_h)
    wrong = np.exp(scores) / np.exp(scores).sum(axis=0, keepdims=True)

    assert wrong[3 * 8 + 2].sum() < 0.2
    assert np.linalg.norm(wrong[3 * 8 + 2] @ values) < 1.0


def test_the_figures_of_the_saturation_picture():
    bars, largest, slope = draw_saturation().axes
    tops = [patch.get_height() for patch in bars.patches]
    undivided, divided = (line.get_ydata() for line in largest.lines)
    steep, kept = (line.get_ydata() for line in slope.lines)

    assert max(tops[:16]) > 0.8 > 0.3 > max(tops[16:])
    assert undivided[-1] > 0.9
    assert abs(divided - 0.25).max() < 0.05
    assert steep[-1] < 0.1
    assert abs(kept - 0.87).max() < 0.02
