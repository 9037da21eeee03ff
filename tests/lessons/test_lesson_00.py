"""Lesson 00's functions against minivit's, and the figures of its text."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import minivit
from minivit.data.shapes import shapes
from minivit.insight.attention import attention_rollout
from minivit_lessons import trained_model
from minivit_lessons.build import sources
from minivit_lessons.display import png
from minivit_lessons.notebooks import lessons_folder
from minivit_lessons.pictures import gallery

from .answers import lesson

NAMES = lesson(0)
MODEL = trained_model()
DATA = shapes("test", count=500)


def test_pixels_are_scaled_as_minivit_does():
    scaled = NAMES["scale_pixels"](DATA.images)

    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, minivit.preprocess(DATA.images))


@pytest.mark.slow
def test_accuracy_is_that_of_predict():
    probabilities = MODEL.predict(DATA.images)
    logits = MODEL(NAMES["scale_pixels"](DATA.images)).data

    expected = np.count_nonzero(probabilities.argmax(axis=1) == DATA.labels) / 500

    assert NAMES["accuracy"](logits, DATA.labels) == pytest.approx(expected, abs=1e-12)
    assert expected > 0.97


@pytest.mark.slow
def test_scaling_in_another_way_does_the_harm_that_the_text_tells():
    source = sources(lessons_folder())[0].read_text(encoding="utf-8")
    cell = next(cell for cell in source.split("\n# %%") if "ways = {" in cell).partition("\n")[2]
    names = {"images": DATA.images, "data": DATA, "gallery": gallery, **NAMES}
    names["logits_of"] = lambda x: MODEL(x).data
    names["show"] = lambda figure, alt: None

    exec(cell, names)
    right, unscaled, to_1, wrapped, imagenet, turned = names["accuracies"].values()

    assert max(unscaled, to_1, wrapped) < 0.25  # little better than guessing, and below one in four
    assert 0.02 < right - imagenet < 0.15  # some points
    assert abs(right - turned) < 0.01


def test_the_attention_lies_on_the_shapes():
    maps = np.asarray(attention_rollout(MODEL, DATA.images[:50]))  # (50, 8, 8)
    pixels = maps.repeat(4, axis=1).repeat(4, axis=2)
    ratios = []
    for one, (top, left, bottom, right) in zip(pixels, DATA.boxes[:50], strict=True):
        inside = np.zeros((32, 32), bool)
        inside[top:bottom, left:right] = True
        ratios.append(one[inside].mean() / one[~inside].mean())

    assert min(ratios) > 1
    assert np.median(ratios) > 2


def test_bytes_wrap_around_as_the_text_says():
    assert (np.array([100], np.uint8) - 127)[0] == 229
    assert DATA.images.size == 1_536_000


@pytest.mark.parametrize(
    "draw",
    [
        gallery.draw_small_network,
        lambda: gallery.draw_patches(DATA.images[0], 4),
        lambda: gallery.draw_accuracies({"one": 0.5, "two": 0.25}, 0.1),
    ],
)
def test_each_picture_of_the_gallery_can_be_drawn(draw):
    figure = draw()

    assert isinstance(figure, Figure)
    assert len(png(figure)) > 5_000


def test_the_patches_in_the_picture_are_the_images():
    figure = gallery.draw_patches(DATA.images[0], 4)
    apart = np.asarray(figure.axes[1].images[0].get_array())

    np.testing.assert_array_equal(apart[10:14, 5:9], DATA.images[0][8:12, 4:8])  # a gap of 1 after each 4
