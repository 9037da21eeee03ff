"""The confusion matrix of a run: that of its last evaluation, from the same pass over the test images."""

from dataclasses import replace

import numpy as np
import pytest

from minivit.data import Dataset
from minivit.training import TrainConfig, batches, train
from minivit.training.callbacks import evaluation
from minivit.training.evaluation import Confusion
from minivit.weights import load_model

from .conftest import tiny_dataset
from .ranks_on_threads import on_ranks

pytestmark = pytest.mark.usefixtures("tiny", "undrawn", "wrong_labels")

CONFIG = TrainConfig(epochs=1, batch_size=20, lr=5e-3, num_threads=1)


def mislabelled() -> Dataset:
    """The tiny test set, whose images any model learns, with labels that it cannot guess."""
    return replace(tiny_dataset(40, 2), labels=np.random.default_rng(4).choice(3, size=40, p=[0.6, 0.3, 0.1]))


@pytest.fixture
def wrong_labels(tiny, monkeypatch):
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (tiny_dataset(90, 1), mislabelled()))


def expected(folder):
    test_set = mislabelled()
    matrix = np.zeros((3, 3), int)
    for label, row in zip(test_set.labels, load_model(folder / "checkpoint.npz").predict(test_set.images), strict=True):
        matrix[label, row.argmax()] += 1
    return matrix


def test_a_run_ends_with_the_matrix_of_its_last_evaluation(tmp_path):
    result = train(CONFIG, tmp_path, show=False)

    np.testing.assert_array_equal(result.confusion.matrix, expected(tmp_path))
    assert len(np.unique(result.confusion.matrix)) > 3
    assert result.confusion.classes == ("left", "middle", "right")
    assert np.trace(result.confusion.matrix) == round(40 * result.accuracy)
    assert train(CONFIG, tmp_path, resume=True, show=False).confusion is None  # nothing was left to evaluate


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_share_it(tmp_path, monkeypatch, size):
    monkeypatch.setattr("minivit.training.evaluation.EVALUATED_IMAGES", 7)
    config = TrainConfig(epochs=1, batch_size=12, lr=5e-3, num_threads=1)

    results = on_ranks(size, lambda ranks: train(config, tmp_path, show=False, ranks=ranks))

    for result in results:
        np.testing.assert_array_equal(result.confusion.matrix, expected(tmp_path))


def test_there_is_none_without_evaluations_without_classes_and_for_many_classes(tmp_path, monkeypatch):
    assert train(TrainConfig(steps=1, eval_every=0), tmp_path / "none", show=False).confusion is None
    masked = TrainConfig(steps=1, objective="masked-patch", target="pixels", batch_size=20)
    assert train(masked, tmp_path / "masked", show=False).confusion is None
    monkeypatch.setattr(evaluation, "MOST_CLASSES", 2)
    assert train(CONFIG, tmp_path / "many", show=False).confusion is None


def test_the_pair_that_is_confused_most_often_counts_both_ways():
    matrix = np.array([[9, 4, 0], [1, 9, 3], [0, 3, 90]])

    assert Confusion(matrix, ("a", "b", "c")).most_frequent() == ("b", "c", 6)
    assert Confusion(matrix + [[0, 2, 0]] * 3, ("a", "b", "c")).most_frequent()[2] == 8
    assert Confusion(np.diag([1, 2, 3]), ("a", "b", "c")).most_frequent()[2] == 0


def test_the_command_draws_it_and_names_the_pair(tmp_path, capsys):
    from minivit import cli
    from minivit.cli.train import lines_on_confusion

    out = tmp_path / "run"
    assert cli.main(["train", "--epochs", "1", "--batch-size", "20", "--recipe", "none", "--out", str(out)]) == 0

    said = capsys.readouterr().out
    assert "most often confused in the last evaluation: '" in said
    assert str(out / "confusion.png") in said
    assert (out / "confusion.png").read_bytes()[:4] == b"\x89PNG"

    result = train(CONFIG, tmp_path / "other", show=False)
    first, second, images = result.confusion.most_frequent()
    (line,) = lines_on_confusion(result)
    assert line == f"most often confused in the last evaluation: {first!r} and {second!r}, {images} images"
