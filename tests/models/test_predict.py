"""What `predict` is handed: pixels that can be meant in one way are taken, others are refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minivit
from minivit import ConfigError, DTypeError, ImageError, MinivitError, ShapeError, Tensor, create_model, preprocess
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
        ("cat.png", DTypeError, r"not the name of a file .*read_image"),
        (Path("cat.png"), DTypeError, "not the name of a file"),
        (["cat.png", "dog.png"], DTypeError, "not str"),
        (None, DTypeError, "not NoneType"),
        ({"images": PIXELS}, DTypeError, "not dict"),
        (PIXELS > 9, DTypeError, "of bool"),
        (PIXELS.astype(object), DTypeError, "of object"),
        (PIXELS + 1j, DTypeError, "of complex128"),
        (np.ma.masked_array(PIXELS, mask=PIXELS > 9), DTypeError, r"masked pixels .*filled"),
        (PIXELS.astype(np.int16) - 1, DTypeError, r"from 0 to 255 .*go from -1 to"),
        (PIXELS.astype(np.int32) * 257, DTypeError, r"value_range=\(0, 65535\)"),
        (PIXELS.astype(np.uint16), DTypeError, "16 bits"),
        ([PIXELS[0], PIXELS[0, :4]], ShapeError, r"one shape, not \(4, 8, 3\), \(8, 8, 3\)"),
        ([[1, 2], [3]], ShapeError, "one shape"),
        (PIXELS[..., 0], ShapeError, r"\(B, H, W, C\) = \(B, 8, 8, 3\), not \(3, 8, 8\)"),
        (PIXELS.transpose(0, 3, 1, 2)[:, :, :, :], ShapeError, "put the channels last"),
        (Image.new("L", (8, 8)), ShapeError, "mode RGB and 8 x 8 pixels, not L"),
        (Image.new("RGB", (9, 8)), ShapeError, r"not RGB and 9 x 8: use its convert\(\) and resize"),
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


def test_a_gray_model_takes_gray_pillow_images():
    model = create_model("ViT-XS_4-CIFAR", channels=1, num_classes=2)
    gray = np.random.default_rng(0).integers(0, 256, (32, 32, 1), np.uint8)

    np.testing.assert_array_equal(model.predict(Image.fromarray(gray[:, :, 0])), model.predict(gray))
    with pytest.raises(MinivitError):
        model.predict(gray[:, :, 0])
