"""Images that Pillow or NumPy holds already: which are recognised, which way up they are, and which number is white."""

import numpy as np
import pytest
from PIL import Image

from minivit.errors import DTypeError, ImageError
from minivit.images.decoding import pixels_of
from minivit.images.given import GivenImages, is_pillow
from minivit.preprocessing import Preprocessing


def given(images, shape=(8, 8, 3), **options):
    return GivenImages(images, shape, Preprocessing(), **options)


def grey(height=8, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


# -- which number is white -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["I", "I;16"])
def test_numbers_of_8_bits_in_a_deeper_mode_do_not_become_nearly_black(mode):
    deep = (
        Image.fromarray(np.full((7, 9), 200, np.uint16))
        if mode == "I;16"
        else Image.new("L", (9, 7), 200).convert(mode)
    )
    assert deep.mode == mode

    with pytest.raises(
        ImageError, match=r"images is nearly black: its largest number is 200 of 65535; .* mode L"
    ) as caught:
        pixels_of(deep, "images")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("mode", ["I", "F"])
def test_deep_numbers_that_reach_their_white_are_taken(mode):
    numbers = np.linspace(0, 65535 if mode == "I" else 1, 63).reshape(7, 9)
    deep = Image.fromarray(numbers.astype(np.int32 if mode == "I" else np.float32))

    found = pixels_of(deep)

    expected = np.rint(np.asarray(deep, float) * (255 / (65535 if mode == "I" else 1)))
    np.testing.assert_array_equal(found, np.stack([expected] * 3, axis=-1))


def test_a_dark_file_of_16_bits_is_as_dark_as_it_says(tmp_path):
    Image.fromarray(np.full((7, 9), 514, np.uint16)).save(tmp_path / "dark.png")

    with Image.open(tmp_path / "dark.png") as image:
        assert np.unique(pixels_of(image)).tolist() == [2]


# -- which are recognised ------------------------------------------------------------------------


class Photograph(Image.Image):
    """A subclass of another package."""


def photograph(pixels):
    image = Photograph()
    plain = Image.fromarray(pixels)
    image.im, image._mode, image._size = plain.im, plain.mode, plain.size
    return image


def test_a_subclass_of_another_package_is_a_pillow_image():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    image = photograph(pixels)
    assert is_pillow(image) and not is_pillow(pixels) and not is_pillow("cat.png")

    np.testing.assert_array_equal(given(image)[0:1], pixels[None])


def test_an_image_that_a_plugin_opened_is_a_pillow_image(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    Image.new("RGB", (64, 48), (200, 40, 40)).save(tmp_path / "a.heic", quality=95)

    with Image.open(tmp_path / "a.heic") as image:
        assert type(image).__module__.startswith("pillow_heif") and is_pillow(image)
        assert np.abs(given(image)[0:1].astype(int) - (200, 40, 40)).max() < 8


# -- which way up --------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_grey_images_are_turned_upright_for_grey_models_too(tmp_path, orientation):
    """Three channels are turned by the rule of `decode_image`, which has a test of its own."""
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(grey(5, 9)).save(tmp_path / "turned.png", exif=exif)

    with Image.open(tmp_path / "turned.png") as image:
        shape = (5, 9) if orientation < 5 else (9, 5)
        one = given(image, (*shape, 1))[0:1]
        three = given(image, (*shape, 3))[0:1]

    np.testing.assert_array_equal(one[..., 0], three[..., 0])
    assert (orientation == 1) == (one.shape[1:3] == (5, 9) and np.array_equal(one[0, ..., 0], grey(5, 9)))


def test_a_damaged_grey_image_is_named_for_grey_models_too(tmp_path):
    Image.fromarray(grey(64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])

    with Image.open(tmp_path / "cut.png") as cut, pytest.raises(ImageError, match=r"images\[0\] cannot be read: "):
        given([cut], (8, 8, 1))[0:1]


# -- floats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [False, True])
def test_floats_of_a_grey_image_need_no_axis_of_channels(many):
    floats = np.random.default_rng(0).uniform(-1, 1, (8, 8)).astype(np.float32)

    found = given([floats, floats] if many else floats, (8, 8, 1))[0:2]

    np.testing.assert_array_equal(found, np.stack([floats[:, :, None]] * (2 if many else 1)))


def test_floats_in_a_list_with_pixels_are_named_so():
    with pytest.raises(
        DTypeError, match=r"images\[1\] has floats and is listed with images that are not floats of 8 x"
    ):
        given([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3))])


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((8, 8), r"has floats of shape \(8, 8\), not the model's \(8, 8, 3\)"),
        ((8, 8, 4), r"has floats of shape \(8, 8, 4\), not the model's \(8, 8, 3\)"),
        ((9, 8, 3), "has floats and is not of the model's 8 x 8 pixels"),
    ],
)
def test_floats_that_are_refused_get_the_right_reason(shape, reason):
    with pytest.raises(DTypeError, match=reason + ": pass uint8 pixels, or value_range"):
        given(np.zeros(shape, np.float32))
