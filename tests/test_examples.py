"""The examples run, and do what they say."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from minivit import create_model, save_weights
from minivit.data import shapes

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def where():
    return runpy.run_path(str(EXAMPLES / "where_is_the_shape.py"))


def test_a_patch_is_inside_if_most_of_it_is_in_the_box(where):
    data = shapes("test", 20)

    found = where["inside"](data, (8, 8))

    for image, (top, left, bottom, right) in zip(found, data.boxes, strict=True):
        for i, j in np.ndindex(8, 8):
            height = max(0, min(bottom, 4 * i + 4) - max(top, 4 * i))
            width = max(0, min(right, 4 * j + 4) - max(left, 4 * j))
            assert image[i, j] == (height * width > 8)


def test_overlap(where):
    a, b = np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    a[:, 0], b[0, :, 0], b[1] = True, True, True  # the first share one of three patches, the second two of four

    assert where["overlap"](a, b) == pytest.approx((1 / 3 + 2 / 4) / 2)


@pytest.mark.slow
def test_the_probe_marks_the_shape_better_than_chance_even_in_an_untrained_models_features(where, tmp_path, capsys):
    save_weights(create_model("ViT-XS_4-CIFAR", seed=0), tmp_path / "model.npz")
    arguments = ["--weights", str(tmp_path / "model.npz"), "--images", "300", "--out", str(tmp_path / "where.png")]

    found = where["main"](arguments)

    everywhere = float(capsys.readouterr().out.split("would give ")[1].split()[0])
    assert found > everywhere + 0.1
    assert (tmp_path / "where.png").stat().st_size > 10_000
