"""What `predict` is handed: pixels that can be meant in one way are taken, others are refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minivit
from minivit import ConfigError, DTypeError, ImageError, ShapeError, Tensor, create_model, preprocess
from minivit.backend.workers import Workers
from minivit.images import given
from minivit.images.decoding import decode_image
from minivit.images.fitting import fit_image, read_fitted
from minivit.models import classifier
from minivit.preprocessing import Preprocessing, preprocessing_in
from tests.support import tiny_vit

MODEL = tiny_vit(dtype=np.float32)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
RIGHT = MODEL.predict(PIXELS)
FLOATS = preprocess(PIXELS)
BRIGHT = np.random.default_rng(1).integers(130, 256, (3, 8, 8, 3)).astype(np.uint8)

SAME = {
    "float32 in [-1, 1]": FLOATS,
    "float64 in [-1, 1]": (PIXELS / 255 - 0.5) * 2,
    "a Tensor": Tensor(FLOATS),
    "int64": PIXELS.astype(np.int64),
    "big-endian int32": PIXELS.astype(">i4"),
    "a list of arrays": list(PIXELS),
    "a tuple of floats": tuple(FLOATS),
    "nested lists of numbers": PIXELS.tolist(),
    "Pillow images": [Image.fromarray(image) for image in PIXELS],
    "another memory order": np.asfortranarray(PIXELS),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_pixels_in_another_form_give_the_same_probabilities(kind):
    np.testing.assert_allclose(MODEL.predict(SAME[kind]), RIGHT, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("one", [PIXELS[1], FLOATS[1], Image.fromarray(PIXELS[1]), PIXELS[1].tolist()])
def test_one_image_is_a_batch_of_one(one):
    np.testing.assert_allclose(MODEL.predict(one), RIGHT[1:2], rtol=1e-5)


def test_a_range_that_is_said_is_used():
    for images, value_range in (
        (PIXELS / 255, (0, 1)),
        (PIXELS.astype(np.float32), (0, 255)),
        (PIXELS, (0, 255)),
        (PIXELS.astype(np.uint16) * 257, (0, 65535)),
        (FLOATS, (-1, 1)),
        (PIXELS / 255 - 0.5, (-0.5, 0.5)),
    ):
        np.testing.assert_allclose(MODEL.predict(images, value_range=value_range), RIGHT, rtol=1e-4, atol=1e-6)


def test_bright_pictures_are_taken_where_preprocess_made_them():
    for pixels in (BRIGHT, np.full_like(BRIGHT, 255), np.full_like(BRIGHT, 128)):
        np.testing.assert_array_equal(MODEL.predict(preprocess(pixels)), MODEL.predict(pixels))
        MODEL.predict(preprocess(pixels).astype(np.float16))


AMBIGUOUS = {
    "floats in [0, 1]": PIXELS / np.float32(255),
    "floats in [0, 1] drawn at random": np.random.default_rng(2).random((2, 8, 8, 3)),
    "a float16 in [0, 1]": (PIXELS / 255).astype(np.float16),
    "[0, 1], resized with a little overshoot": np.clip(PIXELS / 255 * 1.05 - 0.02, -0.02, 1.0),
    "all black in [0, 1]": np.zeros((1, 8, 8, 3), np.float32),
    "floats in [0, 255]": PIXELS.astype(np.float32),
    "ImageNet's mean and standard deviation": (PIXELS / 255 - 0.45) / 0.22,
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_floats_that_may_have_another_range_are_refused(kind):
    with pytest.raises(ImageError, match=r"must be in \[-1, 1\].* go from .*value_range=\(") as caught:
        MODEL.predict(AMBIGUOUS[kind])
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_refused(bad):
    images = FLOATS.copy()
    images[1, 2, 3, 0] = bad

    with pytest.raises(ImageError, match="infinite or not a number"):
        MODEL.predict(images)


@pytest.mark.parametrize(
    ("images", "error", "said"),
    [
        ("none.png", ImageError, "no image at none.png"),
        (Path("none.png"), ImageError, "no image at none.png"),
        (["none.png", PIXELS[0]], ImageError, "no image at none.png"),
        (b"none.png", DTypeError, "paths, not bytes"),
        (None, DTypeError, "not NoneType"),
        ({"images": PIXELS}, DTypeError, "not dict"),
        (PIXELS > 9, DTypeError, "of bool"),
        (PIXELS.astype(object), DTypeError, "of object"),
        (PIXELS + 1j, DTypeError, "of complex128"),
        (np.ma.masked_array(PIXELS, mask=PIXELS > 9), DTypeError, r"masked pixels .*filled"),
        (PIXELS.astype(np.int16) - 1, DTypeError, r"from 0 to 255 .*go from -1 to"),
        (PIXELS.astype(np.int32) * 257, DTypeError, r"value_range=\(0, 65535\)"),
        (PIXELS.astype(np.uint16), DTypeError, "16 bits"),
        ([FLOATS[0], FLOATS[0, :4]], DTypeError, r"images\[0\] has floats and .* 8 x 8 pixels: pass uint8"),
        (FLOATS[:, :4], DTypeError, r"images\[0\] has floats .*value_range=\(black, white\) such as \(0, 1\)"),
        ([PIXELS[0], FLOATS[0]], DTypeError, r"images\[1\] has floats"),
        ([[1, 2], [3]], ShapeError, r"images\[0\] must have shape \(H, W, C\) = \(8, 8, 3\), .* not \(2,\)"),
        (PIXELS[..., 0], ShapeError, r"\(B, H, W, C\) = \(B, 8, 8, 3\), .* not \(3, 8, 8\)"),
        (PIXELS.transpose(0, 3, 1, 2), ShapeError, r"not \(3, 3, 8, 8\); put the channels last: x.tr.*\(0, 2, 3, 1\)"),
        (np.zeros((3, 50, 70), np.uint8), ShapeError, r"put the channels last: x.transpose\(1, 2, 0\)"),
        ([PIXELS[0], np.zeros((3, 5, 7), np.uint8)], ShapeError, r"images\[1\] must .* not \(3, 5, 7\); put the chan"),
        (PIXELS[:, :0], ShapeError, r"not \(3, 0, 8, 3\)"),
        (np.zeros((8, 8, 5), np.uint8), ShapeError, r"not \(8, 8, 5\)$"),
        (np.zeros((1, 1, 8, 8, 3), np.uint8), ShapeError, r"not \(1, 1, 8, 8, 3\)$"),
        ([PIXELS[0].astype(np.uint16), PIXELS[0, :4].astype(np.uint16)], DTypeError, r"value_range=\(0, 65535\)"),
        (Image.new("F", (9, 8), 200.0), ImageError, "the image has float32 pixels from 200 to 200, where 0 is black"),
        (7, ShapeError, r"not \(\)"),
        (np.zeros(0), ShapeError, r"not \(0,\)"),
    ],
)
def test_what_holds_no_images_of_the_model_is_refused(images, error, said):
    with pytest.raises(error, match=said) as caught:
        MODEL.predict(images)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), (0,), (0, np.nan), (0, np.inf), "01x", 1, (0, "a")])
def test_a_range_that_is_none_is_refused(value_range):
    with pytest.raises(ConfigError, match="value_range must be two numbers"):
        MODEL.predict(FLOATS, value_range=value_range)


def test_pixels_outside_the_range_that_is_said_are_refused():
    with pytest.raises(ImageError, match=r"outside value_range=\(0, 1\)"):
        MODEL.predict(PIXELS, value_range=(0, 1))


def test_nothing_gives_nothing_and_what_is_given_is_not_changed():
    before = FLOATS.copy()
    MODEL.predict(FLOATS, value_range=(-2, 2))
    np.testing.assert_array_equal(FLOATS, before)
    assert MODEL.predict([]).shape == (0, 5)


def test_large_batches_of_pixels_are_not_made_floats_at_once(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "minivit.models.classifier.preprocess", lambda batch: sizes.append(len(batch)) or preprocess(batch)
    )
    MODEL.predict(np.concatenate([PIXELS] * 4), batch_size=np.int64(5))
    assert sizes == [5, 5, 2]


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "2"])
def test_a_batch_size_that_is_no_integer_from_1_is_refused(bad):
    with pytest.raises(ConfigError, match="batch size must be an integer of 1 or more"):
        MODEL.predict(PIXELS, batch_size=bad)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    "make",
    [
        lambda: np.matrix([[0, 255]], np.uint8),
        lambda: np.uint8(255),
        lambda: PIXELS[:, ::-2],
        lambda: np.broadcast_to(np.uint8(3), (2, 2)),
        lambda: np.zeros((0, 4), np.uint8),
    ],
    ids=["matrix", "pixel", "strided", "read-only", "nothing"],
)
def test_preprocess_returns_a_plain_array(make):
    pixels = make()

    made = preprocess(pixels)

    assert type(made) is np.ndarray and made.dtype == np.float32 and made.shape == pixels.shape
    np.testing.assert_allclose(made, (np.asarray(pixels, float) - 127.5) / 127.5, rtol=1e-6)


@pytest.mark.parametrize("odd", [[1, 2], None, "x", PIXELS > 3, PIXELS.astype(np.int8), FLOATS, Image.new("L", (2, 2))])
def test_preprocess_refuses_what_is_no_array_of_bytes(odd):
    with pytest.raises(DTypeError, match="uint8 pixels"):
        minivit.preprocess(odd)


def test_a_gray_model_takes_gray_images():
    model = create_model("ViT-XS_4-CIFAR", channels=1, num_classes=2)
    gray = np.random.default_rng(0).integers(0, 256, (32, 32, 1), np.uint8)

    for same in (gray, gray[:, :, 0], Image.fromarray(gray[:, :, 0]), [Image.fromarray(gray[:, :, 0])]):
        np.testing.assert_array_equal(model.predict(same), model.predict(gray[None]))
    with pytest.raises(ShapeError, match="of mode L, not RGB: use its convert"):
        model.predict(Image.new("RGB", (32, 32)))
    with pytest.raises(ShapeError, match="is a file, which has 3 channels, and this model takes 1"):
        model.predict("cat.png")


# -- pictures: what is read, resized and cropped ------------------------------------------------


def model_that_crops():
    """A model whose weights expect a resize to 10 pixels and a crop to 8."""
    model = tiny_vit(dtype=np.float32)
    model.header = {
        "preprocessing": Preprocessing(resize="shortest", crop_share=0.8, interpolation="bicubic").to_json()
    }
    return model


def picture(mode="RGB", size=(23, 17)):
    channels = {"RGB": 3, "RGBA": 4, "LA": 2}.get(mode, 1)
    numbers = np.random.default_rng(3).integers(0, 256, (*size[::-1], channels), np.uint8)
    if mode == "I;16":
        return Image.fromarray(numbers[:, :, 0].astype(np.uint16) * 250)
    return Image.fromarray(numbers[:, :, 0] if channels == 1 else numbers)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "I;16"])
def test_a_path_a_pillow_image_and_an_array_are_prepared_as_the_command_prepares_a_file(tmp_path, mode):
    model, image, path = model_that_crops(), picture(mode), tmp_path / "photo.png"
    image.save(path)
    prepared = read_fitted(path, 8, 8, preprocessing_in(model.header))

    right = model.predict(prepared)

    for same in (path, str(path), [path], Image.open(path), image, [image]):
        np.testing.assert_array_equal(model.predict(same), right)
    if mode != "I;16":
        for same in (np.asarray(image), [np.asarray(image)], np.asarray(image).astype(np.int64)):
            np.testing.assert_array_equal(model.predict(same), right)


def test_an_array_of_the_models_size_is_not_cropped_and_a_picture_of_that_size_is():
    model, image = model_that_crops(), picture(size=(8, 8))
    pixels = np.asarray(image)

    np.testing.assert_array_equal(model.predict(pixels), MODEL.predict(pixels))
    cropped = fit_image(pixels, 8, 8, preprocessing_in(model.header))
    np.testing.assert_array_equal(model.predict(image), MODEL.predict(cropped))
    assert not np.array_equal(cropped, pixels)


def test_a_list_may_mix_paths_pillow_images_and_arrays_of_different_sizes(tmp_path):
    model, image, path = model_that_crops(), picture(), tmp_path / "photo.png"
    image.save(path)
    others = [path, image, PIXELS[0], np.asarray(image)[:9], np.asarray(image)[:, :, 0]]

    together = model.predict(others, batch_size=2)

    assert together.shape == (5, 5)
    for row, one in zip(together, others, strict=True):
        np.testing.assert_allclose(row, model.predict(one)[0], rtol=1e-5)


def test_threads_give_the_same_for_pictures(tmp_path):
    images = [picture(size=(9 + i, 12)) for i in range(13)]

    with Workers(2) as workers:
        np.testing.assert_array_equal(MODEL.predict(images, 2, workers), MODEL.predict(images, 2))


def test_floats_of_another_size_are_taken_with_their_range():
    model, pixels = model_that_crops(), np.asarray(picture())

    np.testing.assert_array_equal(model.predict(pixels / 255, value_range=(0, 1)), model.predict(pixels))
    deep = pixels.astype(np.uint16) * 257
    several = model.predict([deep, deep[:9]], value_range=(0, 65535))
    np.testing.assert_allclose(several[0], model.predict(pixels)[0], rtol=1e-5)


def test_a_photograph_is_turned_upright_as_the_command_does(tmp_path):
    image, path = picture(), tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[274] = 6
    image.save(path, exif=exif)

    np.testing.assert_array_equal(MODEL.predict(Image.open(path)), MODEL.predict(path))
    turned = read_fitted(path, 8, 8, Preprocessing())
    np.testing.assert_array_equal(MODEL.predict(Image.open(path)), MODEL.predict(turned))


def test_pictures_are_read_a_batch_at_a_time(tmp_path, monkeypatch):
    for i in range(7):
        picture().save(tmp_path / f"{i}.png")
    read = []
    monkeypatch.setattr(given, "decode_image", lambda path: read.append(path.name) or decode_image(path))
    monkeypatch.setattr(classifier, "preprocess", lambda batch: read.append(len(batch)) or preprocess(batch))

    MODEL.predict([tmp_path / f"{i}.png" for i in range(7)], batch_size=3)

    assert read == ["0.png", "1.png", "2.png", 3, "3.png", "4.png", "5.png", 3, "6.png", 1]


def test_a_damaged_pillow_image_is_named_by_its_place(tmp_path):
    picture(size=(64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])

    with (
        Image.open(tmp_path / "cut.png") as cut,
        pytest.raises(ImageError, match=r"images\[1\] cannot be read: "),
    ):
        MODEL.predict([PIXELS[0], cut])
