"""RandAugment's operations against closed forms, and how they are chosen."""

import numpy as np
import pytest
from PIL import Image

from minivit.data import parse_randaugment, rand_augment, randaugment
from minivit.data.randaugment import OPERATIONS
from minivit.errors import ConfigError, ShapeError

DIRECTED = {
    "rotate", "color", "contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
}  # fmt: skip


def random_pixels(*shape, seed=0, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def done(name, pixels, strength=1.0, direction=1):
    return np.asarray(OPERATIONS[name](Image.fromarray(pixels), strength, direction)).astype(int)


def test_there_are_the_papers_fourteen():
    assert len(OPERATIONS) == 14
    assert set(OPERATIONS) > DIRECTED


# -- colours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"autocontrast", "equalize"}))
@pytest.mark.parametrize("direction", [-1, 1])
def test_no_strength_changes_nothing(name, direction):
    pixels = random_pixels(9, 12, 3)
    assert np.array_equal(done(name, pixels, 0.0, direction), pixels)


def test_identity():
    pixels = random_pixels(9, 12, 3)
    assert np.array_equal(done("identity", pixels), pixels)


def test_autocontrast_stretches_each_channel_to_the_full_range():
    pixels = random_pixels(9, 12, 3, low=60, high=190)
    pixels[0, 0], pixels[0, 1] = 50, 200
    assert np.abs(done("autocontrast", pixels) - (pixels - 50.0) / 150 * 255).max() < 1


def test_equalize_spreads_the_values_by_how_many_are_darker():
    values = np.repeat([3, 4, 5, 90], [8160, 2040, 4080, 2000]).astype(np.uint8)
    pixels = np.random.default_rng(0).permutation(values).reshape(148, 110, 1).repeat(3, axis=2)
    equalized = done("equalize", pixels)
    for value, darker in {3: 0, 4: 8160, 5: 10_200, 90: 14_280}.items():
        assert np.abs(equalized[pixels == value] - 255 * darker / 14_280).max() < 1


@pytest.mark.parametrize(("strength", "threshold"), [(1.0, 0), (0.5, 128), (0.25, 192)])
def test_solarize_inverts_what_is_light(strength, threshold):
    pixels = random_pixels(30, 40, 3)
    assert np.array_equal(done("solarize", pixels, strength), np.where(pixels >= threshold, 255 - pixels, pixels))


@pytest.mark.parametrize(("strength", "bits"), [(1.0, 4), (0.75, 5), (0.5, 6), (0.25, 7)])
def test_posterize_keeps_the_upper_bits(strength, bits):
    pixels = random_pixels(30, 40, 3)
    assert np.array_equal(done("posterize", pixels, strength), pixels >> (8 - bits) << (8 - bits))


def blended(degenerate, pixels, factor):
    return np.clip(degenerate + factor * (pixels.astype(float) - degenerate), 0, 255)


FACTORS = [(1.0, 1, 1.9), (1.0, -1, 0.1), (0.5, 1, 1.45), (0.5, -1, 0.55)]


@pytest.mark.parametrize(("strength", "direction", "factor"), FACTORS)
def test_enhancing_moves_away_from_a_picture_without_the_quality(strength, direction, factor):
    pixels = random_pixels(30, 40, 3)
    grey = pixels @ [0.299, 0.587, 0.114]  # ITU-R 601-2 luma
    degenerates = {
        "brightness": np.zeros(()),
        "contrast": np.rint(np.rint(grey).mean()),
        "color": grey[:, :, None],
    }
    for name, degenerate in degenerates.items():
        assert np.abs(done(name, pixels, strength, direction) - blended(degenerate, pixels, factor)).max() <= 2


@pytest.mark.parametrize(("strength", "direction", "factor"), FACTORS)
def test_sharpness_moves_away_from_a_smoothed_picture(strength, direction, factor):
    pixels = np.full((9, 9, 3), 100, np.uint8)
    pixels[4, 4] = 113
    smooth = 100 + 13 * 5 / 13  # PIL's filter: 5 in the middle and 1 at the eight around, over 13
    assert done("sharpness", pixels, strength, direction)[4, 4, 0] == pytest.approx(
        blended(smooth, np.array(113), factor), abs=1
    )


# -- places ---------------------------------------------------------------------------------------------


def sampled(pixels, place):
    """What lies at place(x, y) for the centre (x, y) of every pixel, bilinear; grey outside. Slow and plain."""
    height, width, _ = pixels.shape
    result = np.full(pixels.shape, np.nan)
    for row in range(height):
        for column in range(width):
            x, y = place(column + 0.5, row + 0.5)
            if not (0 <= x < width and 0 <= y < height):
                result[row, column] = 128
            elif 0.5 <= x <= width - 0.5 and 0.5 <= y <= height - 0.5:
                left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
                right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
                across, down = x - 0.5 - left, y - 0.5 - top
                upper = (1 - across) * pixels[top, left] + across * pixels[top, right]
                lower = (1 - across) * pixels[bottom, left] + across * pixels[bottom, right]
                result[row, column] = (1 - down) * upper + down * lower
    return result  # NaN within half a pixel of the edge, where bilinear has no say


def turned(x, y, degrees):
    angle = np.deg2rad(degrees)
    dx, dy = x - 20, y - 15
    return 20 + np.cos(angle) * dx - np.sin(angle) * dy, 15 + np.sin(angle) * dx + np.cos(angle) * dy


# Where pixel (x, y) of the result comes from, in a picture of 40 x 30, at a strength and a direction.
PLACES = {
    "rotate": lambda x, y, s: turned(x, y, 30 * s),
    "shear_x": lambda x, y, s: (x + 0.3 * s * (y - 15), y),
    "shear_y": lambda x, y, s: (x, y + 0.3 * s * (x - 20)),
    "translate_x": lambda x, y, s: (x + 0.45 * s * 40, y),
    "translate_y": lambda x, y, s: (x, y + 0.45 * s * 30),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize(("strength", "direction"), [(1.0, 1), (1.0, -1), (0.37, 1), (0.37, -1)])
def test_what_moves_comes_from_where_the_formula_says(name, strength, direction):
    pixels = random_pixels(30, 40, 3)
    expected = sampled(pixels, lambda x, y: PLACES[name](x, y, strength * direction))
    known = ~np.isnan(expected)
    assert known.mean() > 0.8
    assert np.abs(done(name, pixels, strength, direction) - expected)[known].max() <= 2


# -- the whole ------------------------------------------------------------------------------------------


@pytest.fixture
def noted(monkeypatch):
    """Every operation leaves its picture alone and is written down."""
    calls = []

    def note(name):
        def operation(picture, strength, direction):
            calls.append((name, strength, direction))
            return picture

        return operation

    for name in OPERATIONS:
        monkeypatch.setitem(randaugment.OPERATIONS, name, note(name))
    return calls


def test_each_image_has_n_operations_of_one_strength_all_as_likely(noted):
    count = 4000
    rand_augment(3, 7)(np.zeros((count, 2, 2, 3), np.uint8), np.random.default_rng(0))
    assert len(noted) == 3 * count
    assert {strength for _, strength, _ in noted} == {0.7}
    seen = np.array([[name for name, _, _ in noted].count(name) for name in OPERATIONS])
    expected = 3 * count / 14
    assert np.abs(seen - expected).max() < 5 * np.sqrt(expected)
    assert 0.48 < np.mean([direction == 1 for _, _, direction in noted]) < 0.52
    assert {direction for _, _, direction in noted} == {-1, 1}
    triples = {tuple(name for name, _, _ in noted[i : i + 3]) for i in range(0, len(noted), 3)}
    assert any(len(set(triple)) < 3 for triple in triples)  # the same one may come again
    assert len(triples) > 1000


def test_operations_follow_one_another():
    images = random_pixels(20, 12, 10, 3)
    rng = np.random.default_rng(5)
    chosen = rng.integers(14, size=(20, 2))
    directions = rng.choice([-1, 1], size=(20, 2))
    augmented = rand_augment(2, 8)(images, np.random.default_rng(5))
    for i in range(20):
        picture = images[i]
        for k in range(2):
            picture = done(list(OPERATIONS)[chosen[i, k]], picture.astype(np.uint8), 0.8, int(directions[i, k]))
        assert np.array_equal(augmented[i], picture)


def test_the_input_is_left_alone_and_the_result_is_a_function_of_the_generator():
    images = random_pixels(20, 12, 10, 3)
    before = images.copy()
    one, same, other = (rand_augment(2, 9)(images, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(images, before)
    assert (one.dtype, one.shape) == (np.uint8, images.shape)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2)])
def test_small_images_survive_every_operation(size):
    pixels = random_pixels(*size, 3)
    for name in OPERATIONS:
        for direction in (-1, 1):
            assert done(name, pixels, 1.0, direction).shape == pixels.shape


def test_other_channels_are_refused():
    with pytest.raises(ShapeError, match="3 channels, not 1"):
        rand_augment()(np.zeros((1, 4, 4, 1), np.uint8), np.random.default_rng(0))


@pytest.mark.parametrize("numbers", [(0, 5), (-1, 5), (2, -1), (2, 10.1), (2, float("nan"))])
def test_numbers_that_make_no_sense_are_refused(numbers):
    with pytest.raises(ConfigError, match="from 0 to 10"):
        rand_augment(*numbers)


def test_parsing():
    assert parse_randaugment("2,9") == (2, 9.0)
    assert parse_randaugment("1, 7.5") == (1, 7.5)
    for text in ("2", "", ",", "2,", "two,9", "2.5,9", "2;9", "2,9,1"):
        with pytest.raises(ConfigError, match="randaugment must be N,M"):
            parse_randaugment(text)
