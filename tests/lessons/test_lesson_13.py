"""Lesson 13 beside the package and the authors' function: resized positions, adapted models, a frozen model's head."""

import numpy as np
import pytest
from scipy.ndimage import zoom

import minivit
from minivit.models import positions
from minivit.training.finetuning import freeze_all_but_head
from minivit_lessons import trained_model
from minivit_lessons.notebooks import lessons_folder

from . import answers

GRIDS = [((8, 8), (12, 12)), ((3, 5), (7, 4)), ((4, 4), (4, 4)), ((2, 2), (9, 3))]


@pytest.fixture(scope="module")
def built():
    return answers.lesson(13)


@pytest.mark.parametrize("grids", GRIDS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_positions_are_resized_as_minivit_does(built, grids, dtype):
    before, after = grids
    table = np.random.default_rng(0).standard_normal((1, 1 + before[0] * before[1], 6)).astype(dtype)

    got = built["resize_positions"](table, before, after)

    assert got.dtype == dtype
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, positions.resize_positions(table, before, after), atol=tolerance)


@pytest.mark.parametrize("grids", GRIDS, ids=str)
def test_positions_are_resized_as_the_authors_do(built, grids):
    before, after = grids
    table = np.random.default_rng(1).standard_normal((1, 1 + before[0] * before[1], 5))

    got = built["resize_positions"](table, before, after)

    factors = (after[0] / before[0], after[1] / before[1], 1)
    np.testing.assert_allclose(
        got[0, 1:].reshape(*after, 5), zoom(table[0, 1:].reshape(*before, 5), factors, order=1), atol=1e-12
    )


@pytest.mark.parametrize("classes", [None, 4])
def test_the_adapted_model_is_the_one_that_minivit_loads(built, classes):
    path = lessons_folder() / "shapes-vit.safetensors"
    expected = minivit.load_model(path, image_size=48, num_classes=classes)

    got = built["adapt_weights"](trained_model().state(), (8, 8), (12, 12), classes)

    assert set(got) == set(expected.state())
    for name, array in expected.state().items():
        assert got[name].dtype == array.dtype, name
        np.testing.assert_allclose(got[name], array, atol=1e-6, err_msg=name)


def test_a_head_on_frozen_features_is_the_frozen_model_trained(built):
    rng = np.random.default_rng(2)
    images = rng.uniform(-1, 1, (12, 32, 32, 3)).astype(np.float32)
    labels = np.arange(12) % 4
    model = minivit.load_model(lessons_folder() / "shapes-vit.safetensors", num_classes=4)
    freeze_all_but_head(model)
    frozen = {name: array.copy() for name, array in model.state().items() if not name.startswith("head.")}
    with minivit.no_grad():
        features = model.represent(images).data
    optimiser = minivit.SGD(model.named_parameters(), lr=0.05, momentum=0.9)
    for _ in range(5):
        optimiser.zero_grad()
        minivit.cross_entropy(model(images), labels).backward()
        optimiser.step()

    weight, bias = built["train_head"](features, labels, 4, 5, 0.05)

    np.testing.assert_allclose(weight, model.head.weight.data, atol=1e-5)
    np.testing.assert_allclose(bias, model.head.bias.data, atol=1e-5)
    for name, array in frozen.items():
        np.testing.assert_array_equal(model.state()[name], array, err_msg=name)


@pytest.mark.slow
def test_the_text_is_right_about_resized_positions():
    """At 40 pixels the grid is as good as at 32, and interpolation along the sequence no better than no positions."""
    from minivit.data.shapes import shapes

    test = shapes("test", count=300)
    table = trained_model().state()["positions.embedding"]
    places = np.linspace(0, 63, 100)
    askew = np.stack([np.interp(places, np.arange(64), column) for column in table[0, 1:].T], axis=1)
    tables = {
        "sequence": np.concatenate([table[:, :1], askew[None]], axis=1).astype(np.float32),
        "none": np.concatenate([table[:, :1], np.zeros((1, 100, 64), np.float32)], axis=1),
    }
    right = {}
    larger = test.resized(40, 40)
    model = minivit.load_model(lessons_folder() / "shapes-vit.safetensors", image_size=40)
    right["grid"] = (model.predict(larger.images).argmax(1) == test.labels).mean()
    for name, wrong in tables.items():
        model.load_state({**model.state(), "positions.embedding": wrong})
        right[name] = (model.predict(larger.images).argmax(1) == test.labels).mean()

    assert right["grid"] > 0.97
    assert right["sequence"] < right["none"] + 0.02
    assert right["grid"] > right["none"] + 0.05
