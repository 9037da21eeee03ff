"""Lesson 18: photographs with their sources, published weights or a stand-in that says so, maps as the package has."""

import re

import numpy as np
import pytest
from PIL import Image

import minivit
from minivit import insight
from minivit.errors import ConfigError, DataNotFoundError, DownloadError
from minivit_lessons import photographs
from minivit_lessons.notebooks import SOLUTIONS, lessons_folder, read_notebook
from minivit_lessons.photographs import NAMES, central_square, photograph, recorded_maps, viewer

from . import answers
from .running import run_lesson

FOLDER = lessons_folder() / photographs.FOLDER
LESSON = answers.lesson(18)
SQUARE = central_square(photograph("cat"))


def small_model(**options):
    config = minivit.ViTConfig(
        image_size=224, patch_size=32, dim=48, depth=2, heads=3, mlp_dim=96, num_classes=1000, **options
    )
    return minivit.ViT(config, seed=0).eval()


@pytest.fixture
def with_weights(monkeypatch):
    """A learner's own run, in which every published name is this small model with ImageNet's classes."""
    monkeypatch.setattr(photographs, "_is_run_for_a_check", lambda: False)
    monkeypatch.setattr(photographs, "load_model", lambda name: small_model())


# -- photographs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_is_small_free_and_has_its_source(name):
    path = FOLDER / f"{name}.jpg"
    row = re.search(rf"^\| `{name}.jpg` \|.*$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert path.stat().st_size <= 20_000
    assert min(photograph(name).shape[:2]) == 256
    assert photograph(name).dtype == np.uint8
    assert row is not None
    assert "CC0" in row[0] or "public domain" in row[0]


def test_the_folder_has_nothing_else():
    assert {path.name for path in FOLDER.iterdir()} == {*(f"{n}.jpg" for n in NAMES), "README.md", photographs.MAPS}


def test_a_picture_of_ones_own_is_read(tmp_path):
    path = tmp_path / "mine.png"
    Image.fromarray(SQUARE[:5, :7]).save(path)

    np.testing.assert_array_equal(photograph(str(path)), SQUARE[:5, :7])
    with pytest.raises(DataNotFoundError, match="there is no picture dog: give the path of a file, or one of cat"):
        photograph("dog")


def test_the_recorded_maps_are_attention():
    maps = recorded_maps()

    assert maps["heads"].shape == (4, 6, 16, 16)
    assert maps["rollout"].shape == (4, 16, 16)
    for values in maps.values():
        sums = values.sum(axis=(-2, -1))
        assert values.min() >= 0
        assert ((sums > 0.4) & (sums < 1.001)).all()


def test_what_the_text_says_of_the_recorded_maps_is_so():
    heads, rollout = recorded_maps().values()

    peaks = rollout.max(axis=(1, 2)) / rollout.mean(axis=(1, 2))
    assert [name for name, peak in zip(NAMES, peaks, strict=True) if peak > 20] == ["cat", "coffee", "rocket"]
    on_cat = [int(LESSON["attention_mask"](values, 0.6).sum()) for values in heads[0]]
    assert on_cat[3] < 15
    assert max(on_cat) > 256 / 3
    middle, edge = heads[3][:, 6:10, 6:10].mean(axis=(1, 2)), heads[3][:, [0, -1]].mean(axis=(1, 2))
    assert (middle > edge).tolist() == [True, True, True, False, True, True]  # head 3 looks around the clock


# -- weights, or what takes their place --------------------------------------------------------------------


def test_a_notebook_that_is_run_for_the_book_downloads_nothing_and_says_so(monkeypatch, capsys):
    monkeypatch.setenv("MINIVIT_STILL", "1")
    monkeypatch.setattr(photographs, "load_model", lambda name: pytest.fail("loads"))

    looking = viewer("ViT-Ti_16-224-augreg", SQUARE)

    assert looking.is_stand_in
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("A STAND-IN looks, since this notebook was run to print or to check it")


def test_without_a_network_the_stand_in_says_why(monkeypatch, capsys):
    def fail(name):
        raise DownloadError("https://example.com cannot be reached; download it in another way")

    monkeypatch.setattr(photographs, "_is_run_for_a_check", lambda: False)
    monkeypatch.setattr(photographs, "load_model", fail)

    looking = viewer("ViT-Ti_16-224-augreg", SQUARE)

    assert looking.is_stand_in
    assert looking.picture.shape == (32, 32, 3)
    assert looking.classes[3] == "square" or "crescent" in looking.classes
    (line,) = capsys.readouterr().out.splitlines()
    assert "since ViT-Ti_16-224-augreg cannot be reached: our model" in line


def test_published_weights_get_the_learners_picture_and_imagenets_names(with_weights, capsys):
    looking = viewer("ViT-Ti_16-224-augreg", SQUARE)

    assert not looking.is_stand_in
    assert looking.picture.shape == (224, 224, 3)
    assert len(looking.classes) == 1000
    assert looking.classes[0] == "tench"
    assert "ViT-Ti_16-224-augreg looks at your picture" in capsys.readouterr().out


def test_weights_without_a_head_are_refused(with_weights, monkeypatch):
    config = minivit.ViTConfig(image_size=224, patch_size=32, dim=48, depth=1, heads=3, mlp_dim=96, num_classes=0)
    monkeypatch.setattr(photographs, "load_model", lambda name: minivit.ViT(config, seed=0).eval())

    with pytest.raises(ConfigError, match="DINO-S_16 has no classes: choose weights with a head"):
        viewer("DINO-S_16", SQUARE)


def test_the_committed_notebook_says_which_of_the_two_it_shows():
    cells = read_notebook(lessons_folder() / SOLUTIONS / "18_photograph.ipynb")
    said = "".join("".join(output.get("text", "")) for cell in cells for output in cell.outputs)

    assert said.count("A STAND-IN looks") == 1
    assert "looks at your picture" not in said


@pytest.mark.slow
def test_the_whole_lesson_runs_with_published_weights(with_weights):
    names = run_lesson(18)

    assert names["picture"].shape == (224, 224, 3)
    assert names["drops"].shape == (8, 8)
    assert len(names["top"]) == 5


# -- the same as the package -------------------------------------------------------------------------------


@pytest.mark.parametrize("registers", [0, 4])
def test_the_maps_are_the_packages(registers):
    model = small_model(registers=registers)
    images = minivit.preprocess(photographs.resize_image(SQUARE, 224, 224)[None])
    with minivit.no_grad():
        _, seen = model(images, return_intermediates=True)

    maps = LESSON["head_maps"](seen["blocks.1.attention.weights"][0], 1 + registers, 7, 7)

    mean = maps.mean(axis=0)
    np.testing.assert_allclose(mean / mean.sum(), insight.class_token_attention(model, images)[0], rtol=1e-4)


def test_the_centre_is_the_packages():
    for name in NAMES:
        np.testing.assert_array_equal(LESSON["centre_square"](photograph(name)), central_square(photograph(name)))


@pytest.mark.slow
def test_a_black_square_changes_the_crescent_at_more_places_than_a_grey_one():
    names = run_lesson(18)

    places = {name: int((values > 0.1).sum()) for name, values in names["found"].items()}
    assert places["black (0)"] >= 3 * places["grey (128)"] >= 3
