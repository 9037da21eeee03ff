"""Unbalanced classes: weights of the loss, classes drawn equally often, and the line that names them."""

import re
import warnings

import numpy as np
import pytest

from minivit import Notice, Tensor, cross_entropy, gradcheck
from minivit.backend.indexing import count_each
from minivit.backend.workers import Workers
from minivit.data import Dataset
from minivit.errors import ConfigError, DataError
from minivit.training import TrainConfig, batches, train
from minivit.training.balance import balanced_class_weights, check_balance
from minivit.training.distributed.parallel import batch_gradients
from minivit.training.objectives import Classes, weighted_cross_entropy

from .conftest import tiny_model
from .ranks_on_threads import on_ranks

CLASSES = ("left", "middle", "right")
WEIGHTS = np.array([0.5, 2.0, 7.0])


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.uint64])
def test_labels_of_any_kind_of_integer_are_counted(kind):
    np.testing.assert_array_equal(count_each(np.array([2, 0, 2], kind), 4), [1, 0, 2, 0])


def images_and_labels(count=22):
    rng = np.random.default_rng(0)
    labels = rng.choice(3, size=count, p=[0.7, 0.2, 0.1])
    labels[:3] = 0  # a micro-batch of small weight
    return rng.uniform(-1, 1, (count, 8, 8, 3)), labels


def mixed(labels):
    rng = np.random.default_rng(9)
    share = rng.random((len(labels), 1))
    one_hot = np.eye(3)[labels]
    return share * one_hot + (1 - share) * one_hot[::-1]


def model_in_float64():
    model = tiny_model()
    rng = np.random.default_rng(3)
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64) + 0.1 * rng.standard_normal(parameter.shape)
    return model


# -- the weights ---------------------------------------------------------------------------------


def test_weights_in_the_documentation_of_scikit_learn():
    assert balanced_class_weights(np.array([1, 1, 1, 1, 0, 0]), ("a", "b")).tolist() == [1.5, 0.75]


def test_every_class_gets_the_same_sum_and_the_mean_is_1():
    labels = np.repeat([0, 1, 2], [70, 7, 23])
    weights = balanced_class_weights(labels, CLASSES)

    sums = [weights[labels][labels == k].sum() for k in range(3)]
    assert sums == pytest.approx([100 / 3] * 3, rel=1e-6)
    assert balanced_class_weights(np.arange(3), CLASSES).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("labels", [[0, 0, 2], [0]])
def test_a_class_without_images_is_refused(labels):
    with pytest.raises(ConfigError, match="class-weights balanced needs training images of each class: 'middle'"):
        balanced_class_weights(np.array(labels), CLASSES)


# -- the loss ------------------------------------------------------------------------------------


def log_softmax(row):
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_a_weighted_mean_over_images(smoothing):
    logits, labels = np.random.default_rng(1).standard_normal((9, 3)), np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        for k, log_probability in enumerate(log_softmax(row)):
            target = (1 - smoothing) * (k == label) + smoothing / 3
            total -= WEIGHTS[k] * target * log_probability

    found = weighted_cross_entropy(Tensor(logits), labels, WEIGHTS, smoothing).item()

    assert found == pytest.approx(total / sum(WEIGHTS[label] for label in labels), rel=1e-12)
    even = weighted_cross_entropy(Tensor(logits), labels, np.ones(3), smoothing).item()
    assert even == pytest.approx(cross_entropy(Tensor(logits), labels, smoothing).item(), rel=1e-12)


def test_the_loss_of_mixed_labels_is_divided_by_their_number():
    logits, labels = np.random.default_rng(1).standard_normal((9, 3)), mixed(np.arange(9) % 3)
    total = 0.0
    for row, target in zip(logits, labels, strict=True):
        total -= sum(WEIGHTS[k] * target[k] * log_softmax(row)[k] for k in range(3))

    assert weighted_cross_entropy(Tensor(logits), labels, WEIGHTS).item() == pytest.approx(total / 9, rel=1e-12)


@pytest.mark.parametrize("labels", [np.array([0, 2, 1, 2]), mixed(np.array([0, 2, 1, 2]))], ids=["numbers", "mixed"])
def test_the_gradient_is_right(labels):
    logits = np.random.default_rng(2).standard_normal((4, 3))
    gradcheck(lambda x: weighted_cross_entropy(x, labels, WEIGHTS, 0.1), logits)


def test_half_precision_keeps_the_weights_of_float32():
    logits = np.random.default_rng(1).standard_normal((9, 3)).astype(np.float16)
    labels, weights = np.arange(9) % 3, np.array([0.3, 1.7, 123.4], np.float32)

    half = weighted_cross_entropy(Tensor(logits), labels, weights, 0.1)
    full = weighted_cross_entropy(Tensor(logits.astype(np.float32)), labels, weights, 0.1)

    assert half.item() == full.item()


# -- the same gradient, however a batch is cut ------------------------------------------------------


def gradients(model, labels, workers, microbatch, ranks=None, images=None):
    objective = Classes(model, 0.1, class_weights=WEIGHTS)
    images = images_and_labels(len(labels))[0] if images is None else images
    more = {} if ranks is None else {"ranks": ranks}
    with Workers(workers) as pool:
        return batch_gradients(
            objective.loss, model.parameters(), images, labels,
            workers=pool, microbatch=microbatch, weight_of=objective.weight_of, **more,
        )  # fmt: skip


@pytest.mark.parametrize("mix", [False, True])
@pytest.mark.parametrize("microbatch", [1, 3, 5, 22, 100])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_micro_batches_add_up_to_the_whole_batch(mix, microbatch, workers):
    model = model_in_float64()
    images, labels = images_and_labels()
    labels = mixed(labels) if mix else labels
    loss = weighted_cross_entropy(model(images), labels, WEIGHTS, 0.1)
    loss.backward()

    pieces = gradients(model, labels, workers, microbatch)

    assert pieces.loss == pytest.approx(loss.item(), rel=1e-12)
    for gradient, parameter in zip(pieces.gradients, model.parameters(), strict=True):
        np.testing.assert_allclose(gradient, parameter.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_threads_does_not_change_a_bit(workers):
    model, (_, labels) = tiny_model(), images_and_labels()
    one, many = gradients(model, labels, 1, 4), gradients(model, labels, workers, 4)

    assert one.loss == many.loss
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one.gradients, many.gradients, strict=True))


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_have_the_gradient_of_the_whole_batch(size):
    model, (_, labels) = model_in_float64(), images_and_labels(24)
    alone = gradients(model, labels, 1, 4)

    for result in on_ranks(size, lambda ranks: gradients(model, labels, 1, 4, ranks)):
        assert result.loss == pytest.approx(alone.loss, rel=1e-12)
        for mine, theirs in zip(result.gradients, alone.gradients, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_the_test_loss_is_not_weighted():
    model, (images, labels) = model_in_float64(), images_and_labels()

    weighted = Classes(model, 0.1, class_weights=WEIGHTS).measure(images, labels, 0)

    assert weighted.loss.item() == Classes(model).measure(images, labels, 0).loss.item()


# -- runs ----------------------------------------------------------------------------------------


def unbalanced(counts, seed):
    labels = np.repeat(np.arange(3), counts)
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    return Dataset("unbalanced", images, labels.astype(np.int64), CLASSES)


@pytest.fixture
def of_counts(tiny, undrawn, monkeypatch):
    def use(*counts):
        sets = unbalanced(counts, 1), unbalanced((4, 4, 4), 2)
        monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: sets)

    return use


def run(folder, **options):
    config = TrainConfig(steps=4, batch_size=10, num_threads=1, eval_every=0, warmup=0.0, **options)
    return train(config, folder, show=False)


def losses(folder):
    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    return re.findall(r'"loss": ([0-9.e-]+)', text)


def test_options_reach_the_loss_and_the_order(of_counts, tmp_path):
    of_counts(30, 9, 3)
    for name, options in {
        "plain": {}, "weights": {"class_weights": "balanced"}, "sampler": {"sampler": "balanced"},
        "frozen": {"freeze": True}, "frozen-weights": {"freeze": True, "class_weights": "balanced"},
        "frozen-sampler": {"freeze": True, "sampler": "balanced"},
    }.items():  # fmt: skip
        run(tmp_path / name, log_every=4, **options)

    found = {folder.name: losses(folder)[0] for folder in tmp_path.iterdir()}
    assert len(set(found.values())) == 6, found


def test_a_weighted_run_has_the_same_loss_for_every_micro_batch(of_counts, tmp_path):
    of_counts(30, 9, 3)
    for microbatch in (1, 3, 10):
        run(tmp_path / str(microbatch), log_every=1, microbatch=microbatch, class_weights="balanced", lr=0.05)

    found = [list(map(float, losses(tmp_path / name))) for name in ("1", "3", "10")]
    assert len(set(found[0])) > 1  # the weights change
    np.testing.assert_allclose(found[0], found[2], rtol=1e-4)
    np.testing.assert_allclose(found[1], found[2], rtol=1e-4)


def test_a_sampler_without_all_classes_is_refused(of_counts, tmp_path):
    of_counts(30, 0, 3)
    for options in ({"sampler": "balanced"}, {"class_weights": "balanced"}):
        with pytest.raises(ConfigError, match="balanced needs training images of each class: 'middle' has none"):
            run(tmp_path / "run", **options)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"class_weights": "even"}, "class-weights must be one of none, balanced"),
        ({"sampler": "even"}, "sampler must be one of shuffled, balanced"),
        ({"class_weights": "balanced", "teacher": "x.npz"}, "class-weights must be none with a teacher"),
        ({"class_weights": "balanced", "objective": "masked-patch"}, "class-weights must be none where patches are"),
        ({"sampler": "balanced", "objective": "masked-patch"}, "sampler must be shuffled where patches are masked"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        TrainConfig(**options)


@pytest.mark.parametrize(
    ("counts", "options", "said"),
    [
        ((31, 10, 12), {}, True),
        ((30, 10, 12), {}, False),
        ((31, 10, 0), {}, True),  # of the classes that have images
        ((30, 10, 0), {}, False),
        ((31, 10, 12), {"class_weights": "balanced"}, False),
        ((31, 10, 12), {"sampler": "balanced"}, False),
        ((31, 10, 12), {"objective": "masked-patch"}, False),
    ],
)
def test_unbalanced_classes_are_said_with_what_to_do(counts, options, said):
    config, data = TrainConfig(**options), unbalanced(counts, 1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        check_balance(config, data, show=True)
        check_balance(config, data, show=False)

    caught = [one for one in caught if str(one.message).startswith("class ")]
    assert len(caught) == said
    if said:
        said_of, remedy = str(caught[0].message).split(": ")
        assert said_of == "class 'left' has 31 training images, 'middle' has 10"
        assert remedy == "--class-weights balanced lets all classes count alike"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((0, 5, 5), "no training image is of class 'left': do the labels count from 1?"),
        ((5, 0, 5), "no training image is of class 'middle'"),
        ((5, 5, 0), "no training image is of class 'right'"),
        ((5, 5, 5), None),
    ],
)
def test_classes_without_training_images_are_said(counts, said):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        check_balance(TrainConfig(), unbalanced(counts, 1), show=True)
    assert [str(one.message) for one in caught] == ([said] if said else [])


def test_balancing_twice_is_said():
    with pytest.warns(
        Notice, match="--sampler balanced and --class-weights balanced .*: together they prefer rare ones"
    ):
        check_balance(TrainConfig(sampler="balanced", class_weights="balanced"), unbalanced((9, 5, 5), 1), show=True)


@pytest.mark.parametrize("options", [{}, {"class_weights": "balanced"}, {"sampler": "balanced"}])
def test_a_single_class_cannot_be_learned(options):
    with pytest.raises(DataError, match="all 12 training images are of class 'middle': a classifier needs two or more"):
        check_balance(TrainConfig(**options), unbalanced((0, 12, 0), 1), show=False)


def test_masked_patches_need_no_second_class():
    check_balance(TrainConfig(objective="masked-patch"), unbalanced((0, 12, 0), 1), show=False)
