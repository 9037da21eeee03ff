"""The augmentations against loops over single images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit.data import augment as augment_module
from minivit.data import flip, pad_and_crop, random_erasing, random_resized_crop, resize, standard
from minivit.data.augment import AUGMENTATIONS, chain
from minivit.errors import ConfigError
from minivit.images.decoding import resize_image


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


@pytest.mark.parametrize(
    "augment",
    [
        flip,
        standard(2),
        lambda images, rng: pad_and_crop(images, 2, rng),
        random_resized_crop((7, 5)),
        random_erasing(0.5),
        AUGMENTATIONS["standard"]((9, 9)),
        AUGMENTATIONS["crop"]((9, 9)),
    ],
)
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


# -- sizes ----------------------------------------------------------------------------------------------


def test_resizing_takes_arrays_and_pictures_of_many_sizes():
    pictures = [random_images(1, height, width)[0] for height, width in [(4, 9), (7, 5), (1, 1)]]
    resized = resize((6, 5))(pictures, np.random.default_rng(0))
    assert (resized.shape, resized.dtype) == ((3, 6, 5, 3), np.uint8)
    for after, before in zip(resized, pictures, strict=True):
        assert np.array_equal(after, resize_image(before, 6, 5))
    images = random_images(4, channels=2)
    assert resize((7, 5))(images, np.random.default_rng(0)) is images
    assert resize(6)(images, np.random.default_rng(0)).shape == (4, 6, 6, 2)


@pytest.mark.parametrize("size", [0, -1, (0, 4), (4, -1)])
@pytest.mark.parametrize("make", [resize, random_resized_crop, *AUGMENTATIONS.values()])
def test_a_size_below_one_pixel_is_refused(make, size):
    with pytest.raises(ConfigError, match="in pixels must be an integer of 1 or more"):
        make(size)


def test_standard_shifts_by_an_eighth():
    white = np.full((500, 40, 48, 3), 255, np.uint8)
    shifted = AUGMENTATIONS["standard"]((40, 48))(white, np.random.default_rng(0))
    black_rows = (shifted[:, :, 24, 0] == 0).sum(axis=1)
    black_columns = (shifted[:, 20, :, 0] == 0).sum(axis=1)
    assert black_rows.max() == black_columns.max() == 5


def test_at_cifars_size_standard_is_what_it_always_was():
    images = random_images(30, 32, 32)
    by_name = AUGMENTATIONS["standard"]((32, 32))(images, np.random.default_rng(4))
    assert np.array_equal(by_name, standard(4)(images, np.random.default_rng(4)))


def test_a_chain_draws_on_from_the_same_generator():
    def draw(images, rng):
        return np.concatenate([images, [rng.random()]])

    expected = np.random.default_rng(0).random(2)
    assert chain(draw, draw)(np.zeros(0), np.random.default_rng(0)).tolist() == expected.tolist()


# -- random resized crops -------------------------------------------------------------------------------


def test_a_resized_crop_is_one_of_all_boxes_resized():
    picture = random_images(1, 5, 6)[0]
    boxes = {}
    for top in range(5):
        for left in range(6):
            for bottom in range(top + 1, 6):
                for right in range(left + 1, 7):
                    content = resize_image(np.ascontiguousarray(picture[top:bottom, left:right]), 4, 3).tobytes()
                    boxes[content] = (bottom - top, right - left)

    crops = random_resized_crop((4, 3))(np.repeat(picture[None], 400, axis=0), np.random.default_rng(0))

    assert (crops.shape, crops.dtype) == ((400, 4, 3, 3), np.uint8)
    seen = {boxes[crop.tobytes()] for crop in crops}
    assert len(seen) > 10
    for height, width in seen:
        # Sides are rounded to whole pixels: a box stands for shares and ratios around its own.
        assert (height + 0.5) * (width + 0.5) >= 0.05 * 30
        assert (width - 0.5) / (height + 0.5) <= 4 / 3
        assert (width + 0.5) / (height - 0.5) >= 3 / 4


def box_of(crop: np.ndarray, width: int) -> tuple[int, int, int, int]:
    """Where a crop of `numbered_picture` comes from: top, left, height, width."""
    first = int(crop[0, 0] @ [1, 256, 65536])
    return first // width, first % width, crop.shape[0], crop.shape[1]


def numbered_picture(height: int, width: int) -> np.ndarray:
    """Every pixel has a colour of its own."""
    numbers = np.arange(height * width, dtype=np.uint32).reshape(height, width)
    return np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], axis=-1).astype(np.uint8)


@pytest.fixture
def crops_of(monkeypatch):
    """The boxes that are cut out of pictures, in place of the resized crops."""

    def cut(pictures, seed=0, **options):
        seen = []

        def note(crop, height, width):
            seen.append(box_of(crop, note.width))
            return np.zeros((height, width, 3), np.uint8)

        monkeypatch.setattr(augment_module, "resize_image", note)
        for picture in pictures:
            note.width = picture.shape[1]
        random_resized_crop(2, **options)(pictures, np.random.default_rng(seed))
        return np.array(seen, float).T

    return cut


def test_areas_logarithms_of_ratios_and_places_are_uniform(crops_of):
    count, side = 4000, 500
    picture = numbered_picture(side, side)
    top, left, height, width = crops_of([picture] * count, area=(0.05, 0.5))
    area, ratio = height * width / side**2, width / height
    assert 0.049 <= area.min() < 0.06 and 0.49 < area.max() <= 0.501
    assert 0.745 <= ratio.min() < 0.76 and 1.32 < ratio.max() <= 1.34
    for uniform in (
        (area - 0.05) / 0.45,
        (np.log(ratio) - np.log(3 / 4)) / np.log(16 / 9),
        top / (side - height),
        left / (side - width),
    ):
        counts, _ = np.histogram(uniform, bins=8, range=(-0.01, 1.01))
        assert np.abs(counts - count / 8).max() < 5 * np.sqrt(count / 8)
    assert abs(np.corrcoef(top / (side - height), left / (side - width))[0, 1]) < 0.1


def test_the_default_area_reaches_from_a_twentieth_to_the_whole(crops_of):
    _, _, height, width = crops_of([numbered_picture(300, 300)] * 3000)
    assert 0.048 < (height * width).min() / 300**2 < 0.07
    assert (height * width).max() / 300**2 > 0.97


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((1, 1), (0, 0, 1, 1)),
        ((3, 1000), (0, 498, 3, 4)),  # 4 : 3
        ((1000, 3), (498, 0, 4, 3)),  # 3 : 4
        ((1, 50), (0, 24, 1, 1)),
    ],
)
def test_where_no_box_fits_the_middle_is_taken(crops_of, shape, box):
    assert crops_of([numbered_picture(*shape)], area=(0.9, 1.0))[:, 0].tolist() == list(box)


@pytest.mark.parametrize("ratio", [(3.0, 4.0), (0.2, 0.3)])
def test_one_pixel_is_its_own_middle_whatever_the_ratio(ratio):
    picture = np.array([[[9, 200, 31]]], np.uint8)
    assert random_resized_crop(1, ratio=ratio)([picture], np.random.default_rng(0)).tolist() == [[[[9, 200, 31]]]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_a_crop_has_a_pixel_at_least(crops_of, shape):
    _, _, height, width = crops_of([numbered_picture(*shape)] * 300)
    assert height.min() == width.min() == 1


def test_a_crop_keeps_its_channels():
    for channels in (1, 2, 4):
        crops = random_resized_crop((4, 3))(random_images(5, channels=channels), np.random.default_rng(0))
        assert crops.shape == (5, 4, 3, channels)


def test_one_pictures_size_plays_no_part_in_the_next_ones_crop():
    first, second, third = (random_images(1, *size)[0] for size in [(9, 11), (8, 8), (30, 7)])
    crop = random_resized_crop(4)
    one = crop([first, second], np.random.default_rng(3))
    other = crop([third, second], np.random.default_rng(3))
    assert np.array_equal(one[1], other[1])
    assert not np.array_equal(one[0], other[0])


def test_crop_mirrors_about_half():
    ramp = np.repeat(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], 30, axis=0).repeat(3, axis=2)
    crops = AUGMENTATIONS["crop"](6)(np.repeat(ramp[None], 1000, axis=0), np.random.default_rng(0))
    rising = (crops[:, 0, -1, 0] > crops[:, 0, 0, 0]).mean()
    assert 0.45 < rising < 0.55


# -- random erasing -------------------------------------------------------------------------------------


def erased_boxes(before: np.ndarray, after: np.ndarray) -> list[tuple[int, int, int, int] | None]:
    """The box of each image in which a pixel changed: top, left, height, width."""
    boxes = []
    for changed in (before != after).any(axis=-1):
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        box = (rows[0], columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1) if len(rows) else None
        boxes.append(box)
    return boxes


def test_a_box_of_some_images_is_covered_with_noise():
    before = np.full((3000, 30, 40, 3), 7, np.uint8)
    after = random_erasing(0.3)(before, np.random.default_rng(0))
    boxes = [box for box in erased_boxes(before, after) if box]

    assert 0.27 < len(boxes) / len(before) < 0.33
    areas = np.array([height * width for _, _, height, width in boxes]) / 1200
    ratios = np.array([width / height for _, _, height, width in boxes])
    assert 0.014 < areas.min() < 0.04 and 0.35 < areas.max() < 0.43
    assert ratios.min() < 0.4 and ratios.max() > 2.5
    assert len({box[:2] for box in boxes}) > 300

    i = int(np.argmax([box[2] * box[3] if box else 0 for box in erased_boxes(before, after)]))
    top, left, height, width = erased_boxes(before, after)[i]
    inside = after[i, top : top + height, left : left + width]
    assert (inside == 7).mean() < 0.02
    assert 115 < inside.mean() < 140
    assert inside.min() < 10 and inside.max() > 245
    assert abs(np.corrcoef(inside[:, :, 0].ravel(), inside[:, :, 1].ravel())[0, 1]) < 0.2


def test_erasing_never_and_always():
    before = np.full((200, 16, 16, 1), 7, np.uint8)
    assert np.array_equal(random_erasing(0)(before, np.random.default_rng(0)), before)
    assert None not in erased_boxes(before, random_erasing(1)(before, np.random.default_rng(0)))


def test_an_image_in_which_no_box_fits_stays():
    before = random_images(20, 2, 200)
    erase = random_erasing(1, area=(0.3, 0.4), ratio=(0.5, 2))  # boxes at least seven pixels high
    assert np.array_equal(erase(before, np.random.default_rng(0)), before)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_that_is_none_is_refused(probability):
    with pytest.raises(ConfigError, match="from 0 to 1"):
        random_erasing(probability)


@pytest.mark.parametrize(
    "ranges",
    [{"area": (0, 1)}, {"area": (0.5, 0.4)}, {"area": (0.5, 1.1)}, {"ratio": (0, 1)}, {"ratio": (2, 1)}],
)
def test_an_empty_range_is_refused(ranges):
    for make in (random_resized_crop, random_erasing):
        with pytest.raises(ConfigError, match=make.__name__):
            make(1, **ranges)


def test_a_negative_padding_is_refused():
    with pytest.raises(ConfigError, match="-1"):
        pad_and_crop(random_images(1), -1, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="-2"):
        standard(padding=-2)
