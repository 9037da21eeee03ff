"""Few-shot evaluation: the closed form by other routes, what is drawn, and what passes through the model."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from minivit import Tensor, cli, no_grad, preprocess, save_weights
from minivit.backend.workers import Workers
from minivit.data import Dataset
from minivit.errors import ConfigError, ShapeError
from minivit.evaluation import FewShotResult, few_shot, measured, representations, ridge
from minivit.evaluation import fewshot as module
from minivit.evaluation.fewshot import classify, images_needed
from tests.support import tiny_config, tiny_vit


def dataset(count=90, classes=3, seed=0, size=8, channels=3) -> Dataset:
    """Every class has its own mean picture, with noise over it."""
    means = np.random.default_rng(99).integers(60, 200, (classes, size, size, channels))
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    images = means[labels] + rng.integers(-25, 26, (count, size, size, channels))
    return Dataset("means", images.astype(np.uint8), labels, tuple("abcdefgh"[:classes]))


class Pixels:
    """Looks like a ViT whose representation is the picture itself. `seen` remembers every image that passed."""

    def __init__(self, size=8):
        self.config = tiny_config(image_size=size)
        self.seen = []
        self.header = {}

    @contextmanager
    def evaluating(self):
        yield

    def first_parameter(self):
        return Tensor(np.zeros(1, np.float32))

    def represent(self, images):
        self.seen += [image.tobytes() for image in images]
        return Tensor(images.reshape(len(images), -1))


# -- the closed form -----------------------------------------------------------------------------


@pytest.mark.parametrize(("images", "features"), [(40, 12), (12, 40), (20, 20), (1, 7), (7, 1)])
@pytest.mark.parametrize("l2", [1e-2, 1.0, 2.0**10])
def test_primal_dual_and_a_linear_solver_agree(images, features, l2):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((images, features)), rng.standard_normal((images, 3))
    solved = np.linalg.solve(x.T @ x + l2 * np.eye(features), x.T @ y)
    for form in ("primal", "dual", None):
        assert ridge(x, y, l2, form) == pytest.approx(solved, rel=1e-8, abs=1e-8)


def test_images_that_are_there_twice_do_no_harm():
    x = np.repeat(np.random.default_rng(0).standard_normal((3, 10)), 4, axis=0)  # of rank 3
    y = np.repeat(np.eye(3), 4, axis=0)
    solved = np.linalg.solve(x.T @ x + 0.5 * np.eye(10), x.T @ y)
    assert ridge(x, y, 0.5, "primal") == pytest.approx(solved, abs=1e-8)
    assert ridge(x, y, 0.5, "dual") == pytest.approx(solved, abs=1e-8)


@pytest.mark.parametrize(("images", "features", "side"), [(40, 12, 12), (12, 40, 12), (9, 9, 9)])
def test_the_smaller_matrix_is_decomposed(images, features, side, monkeypatch):
    sides, eigh = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda a: sides.append(len(a)) or eigh(a))
    ridge(np.ones((images, features)), np.ones((images, 2)), 1.0)
    assert sides == [side]


def test_no_regularisation_is_refused():
    with pytest.raises(ConfigError, match="above 0, not 0"):
        ridge(np.ones((2, 2)), np.ones((2, 1)), 0.0)


def test_scores_are_those_of_least_squares_with_penalty_rows():
    """|X W - Y|² + l2 |W|² is a plain least-squares problem with sqrt(l2) I below X, and zeros below Y."""
    rng = np.random.default_rng(1)
    train, test, labels = 3 + 2 * rng.standard_normal((20, 6)), rng.standard_normal((5, 6)), rng.integers(0, 4, 20)

    mean = np.array([sum(column) / 20 for column in train.T])
    deviation = np.array([np.sqrt(sum((column - m) ** 2) / 20) for column, m in zip(train.T, mean, strict=True)])
    x = np.column_stack([(train - mean) / (deviation + 1e-5), np.full(20, 100.0)])
    y = np.array([[1.0 if label == k else -1.0 for k in range(4)] for label in labels])
    rows = np.vstack([x, np.sqrt(7.0) * np.eye(7)])
    weights = np.linalg.lstsq(rows, np.vstack([y, np.zeros((7, 4))]), rcond=None)[0]
    expected = np.column_stack([(test - mean) / (deviation + 1e-5), np.full(5, 100.0)]) @ weights

    assert classify(train, labels, test, 4, l2=7.0) == pytest.approx(expected, abs=1e-8)


# -- what is drawn -------------------------------------------------------------------------------


def test_each_seed_draws_so_many_of_each_class_and_fewer_are_the_first_of_more():
    data = dataset()
    for shots in (1, 4):
        for seed, draw in enumerate(module._sampled_images(data, [shots], 3)):
            assert [set(data.labels[row]) for row in draw] == [{0}, {1}, {2}]
            assert len(set(draw.ravel())) == 3 * shots
            assert np.array_equal(draw, module._sampled_images(data, [9], 3)[seed][:, :shots])
    one, other, _ = module._sampled_images(data, [9], 3)
    assert set(one.ravel()) != set(other.ravel())


def test_only_drawn_images_and_the_test_set_pass_and_each_once():
    train, test, model, counted = dataset(90), dataset(30, seed=1), Pixels(), []
    few_shot(model, train, test, shots=[1, 2], seeds=2, advance=counted.append)
    assert len(model.seen) == len(set(model.seen)) == sum(counted) == images_needed(train, test, [1, 2], 2)
    assert 30 + 6 < len(model.seen) <= 30 + 12
    of_test = {image.tobytes() for image in preprocess(test.images)}
    assert of_test <= set(model.seen)
    assert set(model.seen) - of_test <= {image.tobytes() for image in preprocess(train.images)}


# -- accuracy ------------------------------------------------------------------------------------


def test_classes_that_lie_apart_are_told_apart_and_shuffled_labels_are_not():
    train, test = dataset(600), dataset(300, seed=1)
    good = few_shot(Pixels(), train, test, shots=[1, 5])
    assert [result.shots for result in good] == [1, 5]
    assert all(len(result.accuracies) == 3 and result.mean > 0.99 for result in good)

    shuffled = Dataset("shuffled", test.images, np.random.default_rng(0).permutation(test.labels), test.classes)
    (chance,) = few_shot(Pixels(), train, shuffled, shots=[5])
    assert chance.mean == pytest.approx(1 / 3, abs=0.08)


def test_more_shots_are_better_where_classes_overlap():
    train, test = dataset(900), dataset(300, seed=1)
    noisy = [
        Dataset("noisy", (d.images // 8 + np.random.default_rng(k).integers(0, 220, d.images.shape)).astype(np.uint8),
                d.labels, d.classes)
        for k, d in enumerate((train, test))
    ]  # fmt: skip
    few, many = few_shot(Pixels(), *noisy, shots=[1, 200])
    assert many.mean > few.mean + 0.15


@pytest.mark.slow
def test_the_mean_and_its_interval():
    result = FewShotResult(5, (0.1, 0.2, 0.3))
    assert result.mean == pytest.approx(0.2)
    assert result.half_width == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-6)  # t table: 2 degrees, 97.5 %
    assert FewShotResult(5, (0.1,)).half_width is None


def test_workers_change_nothing():
    model, train, test = tiny_vit(dtype=np.float32), dataset(), dataset(30, seed=1)
    with Workers(2) as workers:
        assert few_shot(model, train, test, shots=[3], workers=workers) == few_shot(model, train, test, shots=[3])


# -- features ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [None, 6])
def test_representations_are_what_the_head_sees(hidden):
    model, data = tiny_vit(representation=hidden), dataset()
    chosen = np.array([4, 2, 77])
    found = representations(model, data, chosen)
    with no_grad():
        logits = model(preprocess(data.images[chosen])).data
    assert found @ model.head.weight.data + model.head.bias.data == pytest.approx(logits, rel=1e-6)


def test_images_of_another_size_are_resized():
    model, large = tiny_vit(image_size=(8, 12)), dataset(6, size=20)
    small = [np.asarray(Image.fromarray(image).resize((12, 8), Image.Resampling.BILINEAR)) for image in large.images]
    assert np.array_equal(
        representations(model, large),
        representations(model, Dataset("small", np.stack(small), large.labels, large.classes)),
    )


def test_images_of_other_channels_are_refused():
    with pytest.raises(ShapeError, match="have 1 channels: the model reads 3"):
        representations(tiny_vit(), dataset(channels=1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"shots": [31]},
            "class 'a' of means has 30 training images, too few for 31 shots: give fewer, such as --shots 1,5,10,25",
        ),
        ({"shots": [0]}, "shots must be integers of 1 or more, not 0"),
        ({"shots": []}, "not none"),
        ({"seeds": 0}, "seeds must be 1 or more, not 0"),
        ({"l2": -1.0}, "l2 must be above 0, not -1.0"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_image_passes(options, words):
    model = Pixels()
    with pytest.raises(ConfigError, match=words):
        few_shot(model, dataset(90), dataset(30), **options)
    assert model.seen == []


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "load_dataset", lambda *_, **__: (dataset(90), dataset(30, seed=1)))
    save_weights(tiny_vit(dtype=np.float32), tmp_path / "w.npz")
    return tmp_path / "w.npz"


def test_the_command_prints_a_table_and_writes_the_numbers(weights, capsys):
    assert cli.main(["fewshot", "--weights", str(weights), "--dataset", "shapes", "--shots", "1,4"]) == 0
    numbers = json.loads((weights.parent / "fewshot-w-shapes.json").read_text(encoding="utf-8"))
    rows = capsys.readouterr().out.splitlines()[1:3]
    assert [result["shots"] for result in numbers["results"]] == [1, 4]
    for row, result in zip(rows, numbers["results"], strict=True):
        assert result["mean"] == pytest.approx(sum(result["accuracies"]) / 3)
        assert row.split()[:2] == [str(result["shots"]), f"{result['mean']:.2%}"]
        assert row.split()[-3:] == [f"{accuracy:.2%}" for accuracy in result["accuracies"]]
        assert f"to {min(1, result['mean'] + result['half_width_95']):.2%}" in row


def test_weights_that_name_no_data_set_ask_for_one(weights, capsys):
    assert cli.main(["fewshot", "--weights", str(weights)]) == 2
    assert "give --dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shots", "1,two"], "'1,two'"),
        (["--shots", "40"], "too few for 40 shots"),
        (["--seeds", "0"], "seeds"),
        (["--l2", "-1"], "error: --l2 must be above 0, not -1"),
    ],
)
def test_bad_options_get_one_sentence(weights, capsys, arguments, words):
    assert cli.main(["fewshot", "--weights", str(weights), "--dataset", "shapes", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert [path.name for path in weights.parent.iterdir()] == ["w.npz"]
