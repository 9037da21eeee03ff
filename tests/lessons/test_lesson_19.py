"""Lesson 19: CIFAR-10 where it is, a stand-in that says so where it is not, and what its text says of both."""

import inspect
import re

import numpy as np
import pytest

import minivit
from minivit.data import cifar as package
from minivit.data.shapes import shapes
from minivit_lessons import photographs
from minivit_lessons.notebooks import SOLUTIONS, lessons_folder, read_notebook
from minivit_lessons.photographs import cifar_or_shapes
from minivit_lessons.pictures.cifar import measured_confusion

from . import answers
from .running import run_lesson

LESSON = answers.lesson(19)


@pytest.fixture
def own_run(monkeypatch, tmp_path):
    """A learner's own run, with an empty folder of data sets."""
    monkeypatch.setattr(photographs, "_is_run_for_a_check", lambda: False)
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path))
    return tmp_path


def write_cifar(folder, train=40, test=10):
    """Write files in CIFAR-10's layout with drawn shapes in them."""
    target = folder / package.CIFAR10.folder
    target.mkdir()
    for i, name in enumerate((*package.CIFAR10.train_files, package.CIFAR10.test_file)):
        count = train // 5 if name != package.CIFAR10.test_file else test
        data = shapes("train", count=count, seed=i)
        planes = data.images.transpose(0, 3, 1, 2).reshape(count, -1)
        records = np.concatenate([data.labels[:, None].astype(np.uint8), planes], axis=1)
        (target / name).write_bytes(records.tobytes())
    (target / "batches.meta.txt").write_text("\n".join(f"kind{i}" for i in range(10)), encoding="utf-8")
    return target


# -- the data, or what takes their place ---------------------------------------------------------------------


def test_without_the_data_set_shapes_are_used_and_said(own_run, capsys):
    train, test, is_cifar = cifar_or_shapes(50)

    assert not is_cifar
    assert (len(train.images), len(test.images)) == (50, 10)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"A STAND-IN is used, since CIFAR-10 is not in {own_run}: drawn shapes")


def test_a_notebook_that_is_run_for_the_book_shows_no_photographs(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MINIVIT_STILL", "1")
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path))
    monkeypatch.setattr(photographs, "load_dataset", lambda *words, **more: pytest.fail("loads"))
    write_cifar(tmp_path)

    photographs.download_cifar()
    assert not cifar_or_shapes(50)[2]
    assert "A STAND-IN is used, since this notebook was run to print or to check it" in capsys.readouterr().out


@pytest.fixture
def small_cifar(own_run, monkeypatch):
    small = package.replace(package.CIFAR10, images_per_train_file=8, images_per_test_file=10)
    monkeypatch.setattr(package, "CIFAR10", small)
    return write_cifar(own_run)


def test_with_the_data_set_it_is_used_and_said(small_cifar, capsys):
    train, test, is_cifar = cifar_or_shapes()

    assert is_cifar
    assert (len(train.images), len(test.images)) == (40, 10)
    assert capsys.readouterr().out == "CIFAR-10: 40 photographs to train with, 10 to test.\n"


def test_a_damaged_data_set_is_named(small_cifar, capsys):
    (small_cifar / "test_batch.bin").write_bytes(b"short")

    assert not cifar_or_shapes(50)[2]
    assert "test_batch.bin has 5 bytes instead of" in capsys.readouterr().out


def test_a_download_that_fails_is_said_in_a_line(own_run, monkeypatch, capsys):
    def fail(*words, **more):
        raise minivit.errors.DownloadError("cannot be reached")

    monkeypatch.setattr(photographs, "load_dataset", fail)
    photographs.download_cifar()

    assert capsys.readouterr().out == "cannot be reached\n"


def test_the_committed_notebook_says_which_of_the_two_it_shows():
    cells = read_notebook(lessons_folder() / SOLUTIONS / "19_cifar.ipynb")
    said = "".join("".join(output.get("text", "")) for cell in cells for output in cell.outputs)

    assert said.count("A STAND-IN is used") == 1
    assert "photographs to train with" not in said


# -- the same as the package ------------------------------------------------------------------------------


def test_the_records_are_read_as_the_package_reads_them(small_cifar):
    content = np.fromfile(small_cifar / "test_batch.bin", np.uint8)

    images, labels = LESSON["read_records"](content)

    test = package.cifar10(small_cifar.parent, download=False)[1]
    np.testing.assert_array_equal(images, test.images)
    np.testing.assert_array_equal(labels, test.labels)


def test_the_learners_own_model_and_engine_learn_the_same():
    data = shapes("train", count=200)
    for own in (True, False):
        model = LESSON["new_model"](own)
        kind = inspect.getmodule(type(model))
        LESSON["fit"](model, data.images, data.labels, epochs=2, rate=4e-3)
        guesses = LESSON["guesses_of"](model, data.images)
        assert guesses.shape == (200,)
        assert (kind is not None and kind.__name__.startswith("minivit.")) == (not own)
        assert len(set(guesses.tolist())) > 1


# -- what the text says -------------------------------------------------------------------------------------


def test_the_measured_matrix_is_of_all_test_images():
    stored = measured_confusion()

    assert stored["matrix"].sum(axis=1).tolist() == [1000] * 10
    assert stored["classes"][3] == "cat"
    assert stored["training images"] == 50_000


def test_the_most_frequent_confusions_are_those_of_the_text():
    stored = measured_confusion()
    text = re.sub(r"\n# ", " ", (lessons_folder() / "source" / "19_cifar.py").read_text(encoding="utf-8"))

    for label, guess, count in LESSON["most_confused"](stored["matrix"], stored["classes"], 2):
        assert f"{count} {label}s are taken for {guess}s" in text
    accuracy = np.trace(stored["matrix"]) / 10_000
    assert f"{accuracy:.1%}".replace("%", " %") in text


@pytest.mark.slow
def test_the_stand_in_learns_and_the_lazy_model_wins_by_accuracy():
    names = run_lesson(19)

    assert names["overall"] > 0.5
    each = {name: names["class_accuracies"](names[name], names["rare"], 2) for name in ("lazy", "honest")}
    assert (names["lazy"] == names["rare"]).mean() > (names["honest"] == names["rare"]).mean()
    assert each["lazy"].mean() == 0.5
    assert each["honest"].mean() > 0.85
