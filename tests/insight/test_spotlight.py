"""A map over an image: the image itself where the map is largest, without colours and on another grey where it is 0."""

import numpy as np
import pytest

from minivit.insight.spotlight import faded, spotlight

RNG = np.random.default_rng(0)
PICTURES = {
    "black": np.zeros((32, 32, 3)),
    "white": np.full((32, 32, 3), 255),
    "grey": np.full((32, 32, 3), 118),
    "night": RNG.integers(0, 50, (32, 32, 3)),
    "pale": RNG.integers(200, 256, (224, 224, 3)),
    "half black, half white": np.repeat(np.repeat([[0, 255]], 16, axis=1), 32, axis=0)[..., None] * np.ones(3),
    "violet": np.full((30, 20, 3), (68, 1, 84)),
}
MAPS = {"one patch": np.eye(1, 64, 27).reshape(8, 8), "even": np.ones((8, 8)), "none": np.zeros((8, 8))}


def lightness(pixels):
    return np.asarray(pixels, float) @ [0.299, 0.587, 0.114]


@pytest.fixture(params=PICTURES)
def picture(request):
    return PICTURES[request.param].astype(np.uint8)


def test_the_image_is_itself_where_the_map_is_largest(picture):
    assert (spotlight(picture, MAPS["even"]) == picture).all()
    shown, (height, width) = spotlight(picture, MAPS["one patch"]), picture.shape[:2]
    inside = np.s_[
        -(-3 * height // 8) : 4 * height // 8, -(-3 * width // 8) : 4 * width // 8
    ]  # patch 27: row 3, column 3
    assert (shown[inside] == picture[inside]).all()
    assert not (shown == picture).all()


def test_elsewhere_it_has_no_colour_and_can_be_told_from_itself(picture):
    shown = spotlight(picture, MAPS["none"])
    assert (shown == shown[..., :1]).all()
    changed = abs(lightness(shown) - lightness(picture))
    assert np.percentile(changed, 10) > 25  # of 255


def test_the_faded_image_can_still_be_recognised():
    picture = PICTURES["half black, half white"].astype(np.uint8)
    left, right = spotlight(picture, MAPS["none"])[0, [0, 31], 0].astype(int)
    assert 60 < right - left < 100  # of 255


def test_between_it_is_in_proportion():
    picture, values = np.full((8, 8, 3), (200, 40, 40), np.uint8), np.array([[4.0, 1.0], [0.0, 2.0]])
    shown = spotlight(picture, values).astype(float)
    end = faded(picture)[0, 0]  # (1,)
    for (row, column), share in zip([(0, 0), (0, 7), (7, 0), (7, 7)], (1, 0.25, 0, 0.5), strict=True):
        assert shown[row, column] == pytest.approx(share * picture[0, 0] + (1 - share) * end, abs=0.51)


@pytest.mark.parametrize("shape", [(32, 32), (224, 160), (30, 20), (7, 50), (5, 3)])
@pytest.mark.parametrize("grid", [(8, 8), (14, 10), (1, 1), (3, 16)])
def test_each_value_lies_at_its_place_whatever_the_sizes(shape, grid):
    picture = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    values = RNG.random(grid)
    shown = spotlight(picture, values)
    assert shown.shape == picture.shape
    for y, x in [(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 3)]:
        light = values[y * grid[0] // shape[0], x * grid[1] // shape[1]] / values.max()
        expected = light * picture[y, x] + (1 - light) * faded(picture)[y, x]
        assert shown[y, x].astype(float) == pytest.approx(expected, abs=0.51)


@pytest.mark.parametrize(("shape", "grid"), [((11, 9), (2, 2)), ((8, 8), (2, 2)), ((10, 10), (3, 3))], ids=str)
def test_each_value_lies_on_its_patch_and_pixels_that_no_patch_covers_are_grey(shape, grid):
    """In a hybrid the last patches may reach over the edge, as three of 4 pixels do on 10."""
    picture = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    values = RNG.random(grid)
    shown = spotlight(picture, values, patch=4)
    for y, x in np.ndindex(shape):
        covered = y // 4 < grid[0] and x // 4 < grid[1]
        light = values[y // 4, x // 4] / values.max() if covered else 0.0
        expected = light * picture[y, x] + (1 - light) * faded(picture)[y, x]
        assert shown[y, x].astype(float) == pytest.approx(expected, abs=0.51)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_of_other_channels_are_shown_in_grey(channels):
    picture = np.full((8, 8, channels), 90, np.uint8)
    assert (spotlight(picture, np.ones((2, 2))) == 90).all()
    assert spotlight(picture, np.ones((2, 2))).shape == (8, 8, 3)
