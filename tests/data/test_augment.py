"""The augmentations against loops over single images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit.data import flip, pad_and_crop, standard
from minivit.errors import ConfigError


def random_images(count: int, height: int = 7, width: int = 5, channels: int = 3) -> np.ndarray:
    # No zeros: a black pixel can only come from the padding.
    return np.random.default_rng(0).integers(1, 256, (count, height, width, channels), dtype=np.uint8)


def all_crops(image: np.ndarray, padding: int) -> list[bytes]:
    height, width, _ = image.shape
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    places = range(2 * padding + 1)
    return [padded[top : top + height, left : left + width].tobytes() for top in places for left in places]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 6),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 4),
    padding=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_a_crop_is_one_of_the_windows_of_the_padded_image(count, height, width, channels, padding, seed):
    images = random_images(count, height, width, channels)

    cropped = pad_and_crop(images, padding, np.random.default_rng(seed))

    assert cropped.shape == images.shape
    assert cropped.dtype == np.uint8
    for before, after in zip(images, cropped, strict=True):
        assert after.tobytes() in all_crops(before, padding)


def test_every_place_is_equally_likely_and_each_image_has_its_own():
    padding, count = 1, 9000
    image = random_images(1)[0]
    images = np.repeat(image[None], count, axis=0)

    cropped = pad_and_crop(images, padding, np.random.default_rng(1))

    crops = all_crops(image, padding)
    seen = [crops.index(one.tobytes()) for one in cropped]
    counts = np.bincount(seen, minlength=9)
    assert counts.shape == (9,)
    assert np.abs(counts - count / 9).max() < 5 * np.sqrt(count / 9)  # five standard deviations


def test_no_padding_changes_nothing():
    images = random_images(4)
    assert np.array_equal(pad_and_crop(images, 0, np.random.default_rng(0)), images)


def test_a_flip_mirrors_left_and_right_of_about_half_of_the_images():
    images = random_images(2000)

    flipped = flip(images, np.random.default_rng(2))

    mirrored = 0
    for before, after in zip(images, flipped, strict=True):
        if np.array_equal(after, before):
            continue
        mirrored += 1
        for row in range(before.shape[0]):
            for column in range(before.shape[1]):
                assert np.array_equal(after[row, column], before[row, before.shape[1] - 1 - column])
    assert 900 < mirrored < 1100


def test_standard_crops_and_flips():
    images = random_images(300)
    augmented = standard(padding=2)(images, np.random.default_rng(3))

    kinds = set()
    for before, after in zip(images, augmented, strict=True):
        plain = after.tobytes() in all_crops(before, 2)
        mirrored = np.ascontiguousarray(after[:, ::-1]).tobytes() in all_crops(before, 2)
        assert plain or mirrored
        kinds.add((plain, bool((after == 0).any())))
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}


@pytest.mark.parametrize("augment", [flip, standard(2), lambda images, rng: pad_and_crop(images, 2, rng)])
def test_the_input_is_left_alone_and_the_result_is_a_function_of_the_generator(augment):
    images = random_images(50)
    before = images.copy()

    one = augment(images, np.random.default_rng(5))
    same = augment(images, np.random.default_rng(5))
    other = augment(images, np.random.default_rng(6))

    assert np.array_equal(images, before)
    assert not np.shares_memory(one, images)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_negative_padding_is_refused():
    with pytest.raises(ConfigError, match="-1"):
        pad_and_crop(random_images(1), -1, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="-2"):
        standard(padding=-2)
