"""AutoAugment and TrivialAugment: their tables, how operations are drawn, and colour jitter."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from minivit.data import policies
from minivit.data.augment import jitter_colors
from minivit.data.policies import CIFAR10, auto_augment
from minivit.data.randaugment import OPERATIONS
from minivit.errors import ConfigError, ShapeError


def random_pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_autoaugment_has_25_pairs_of_known_operations():
    assert len(CIFAR10) == 25
    for pair in CIFAR10:
        for name, probability, magnitude in pair:
            assert name in {*OPERATIONS, "invert"} and 0 <= probability <= 1 and 0 <= magnitude <= 9


class Draws:
    """A random generator that returns what it is told."""

    def __init__(self, pair, happens, direction=1):
        self.pair, self.happens, self.direction = pair, list(happens), direction

    def integers(self, count):
        assert count == len(CIFAR10)
        return self.pair

    def random(self):
        return 0.0 if self.happens.pop(0) else 0.999

    def choice(self, directions):
        assert directions == [-1, 1]
        return self.direction


def test_a_pair_is_applied_in_order_and_each_operation_with_its_probability():
    pixels = random_pixels(12, 12, 3)
    image = Image.fromarray(pixels)
    augment = auto_augment("cifar10")  # the first pair: invert, then contrast of magnitude 6

    both = np.asarray(ImageEnhance.Contrast(ImageOps.invert(image)).enhance(1 + 0.9 * 6 / 9))
    np.testing.assert_array_equal(augment(pixels[None], Draws(0, [True, True]))[0], both)
    np.testing.assert_array_equal(augment(pixels[None], Draws(0, [True, False]))[0], 255 - pixels)
    np.testing.assert_array_equal(augment(pixels[None], Draws(0, [False, False]))[0], pixels)
    darker = np.asarray(ImageEnhance.Contrast(image).enhance(1 - 0.9 * 6 / 9))
    np.testing.assert_array_equal(augment(pixels[None], Draws(0, [False, True], -1))[0], darker)


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("shear_x", 20, 0.99 / 0.3), ("rotate", 20, 4.5), ("posterize", 20, 1.5), ("color", 20, 1.1),
        ("solarize", 20, 1.0), ("translate_x", 64, 32 / (0.45 * 64)), ("translate_y", 64, 32 / (0.45 * 10)),
    ],
)  # fmt: skip
def test_trivialaugment_has_wider_ranges(monkeypatch, name, width, expected):
    seen = []
    monkeypatch.setattr(policies, "OPERATIONS", {name: lambda image, s, d: seen.append((s, d)) or image})

    auto_augment("trivial")(np.zeros((500, 10, width, 3), np.uint8), np.random.default_rng(0))

    strengths, directions = np.array(seen).T
    assert set(directions) == {-1, 1}
    np.testing.assert_allclose(np.unique(strengths), np.linspace(0, expected, 31), rtol=0, atol=1e-9)


@pytest.mark.parametrize("policy", ["cifar10", "trivial"])
def test_each_image_is_changed_by_itself_and_the_batch_is_kept(policy):
    pixels = np.repeat(random_pixels(1, 16, 16, 3), 40, axis=0)
    before = pixels.copy()
    augment = auto_augment(policy)

    augmented = augment(pixels, np.random.default_rng(1))

    assert augmented.shape == pixels.shape and augmented.dtype == np.uint8
    assert len({image.tobytes() for image in augmented}) > 10
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(augmented, augment(pixels, np.random.default_rng(1)))


def test_colour_jitter_stays_within_its_range():
    grey = np.full((200, 4, 4, 3), 100, np.uint8)

    jittered = jitter_colors(0.3)(grey, np.random.default_rng(0))

    assert (jittered.std(axis=(1, 2, 3)) == 0).all()  # an even grey has neither contrast nor saturation
    values = jittered[:, 0, 0, 0]
    assert 70 <= values.min() < 75 and 125 < values.max() <= 130
    colours = random_pixels(50, 8, 8, 3)
    assert (jitter_colors(0.0)(colours, np.random.default_rng(0)) == colours).all()
    assert (jitter_colors(0.5)(colours, np.random.default_rng(0)) != colours).any(axis=(1, 2, 3)).all()


def test_what_does_not_fit_is_named():
    with pytest.raises(ConfigError, match="auto-augment must be one of cifar10, trivial, not 'imagenet'"):
        auto_augment("imagenet")
    with pytest.raises(ConfigError, match=r"color-jitter must be from 0 to 1, not 1\.5"):
        jitter_colors(1.5)
    for augment in (auto_augment("cifar10"), auto_augment("trivial"), jitter_colors(0.5)):
        with pytest.raises(ShapeError, match="3 channels, not 1"):
            augment(np.zeros((2, 4, 4, 1), np.uint8), np.random.default_rng(0))
