"""The measures of a classifier agree with loops over its images, and with numbers printed elsewhere."""

import json
import math

import numpy as np
import pytest

import minivit
from minivit.errors import ConfigError, DTypeError, ShapeError
from minivit.evaluation import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    expected_calibration_error,
    most_confident_mistakes,
    per_class,
    report,
    top_k,
    wilson_interval,
)
from minivit.evaluation.measures import calibration, log_loss


def predictions(images=200, classes=7, seed=0, dtype=np.float32, sharpness=2.0):
    """Probabilities and labels; the last class but one has no images, and some probabilities are equal."""
    rng = np.random.default_rng(seed)
    logits = np.round(rng.standard_normal((images, classes)) * sharpness, 1)  # rounded, so that some are equal
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = rng.integers(classes, size=images)
    labels[labels == classes - 2] = 0
    return probabilities.astype(dtype), labels


def ranking(row):
    """The classes of one image, the most probable first; of equal ones the first."""
    return sorted(range(len(row)), key=lambda k: (-row[k], k))


# -- beside loops --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_top_k_is_the_share_of_labels_among_the_first_k(seed, k):
    probabilities, labels = predictions(seed=seed)

    assert top_k(probabilities, labels, k) == np.mean(
        [label in ranking(row)[:k] for row, label in zip(probabilities, labels, strict=True)]
    )
    assert accuracy(probabilities, labels) == (probabilities.argmax(axis=1) == labels).mean()


def test_equal_probabilities_give_the_first_classes():
    even = np.full((4, 4), 0.25)

    assert [top_k(even, np.arange(4), k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]
    assert accuracy(even, np.zeros(4, int)) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_classes_are_counted_one_by_one(seed):
    probabilities, labels = predictions(seed=seed)
    expected = np.zeros((7, 7), int)
    for row, label in zip(probabilities, labels, strict=True):
        expected[label, ranking(row)[0]] += 1

    found = per_class(probabilities, labels)

    np.testing.assert_array_equal(confusion_matrix(probabilities, labels), expected)
    for k, each in enumerate(found):
        assert (each.images, each.predicted, each.right) == (expected[k].sum(), expected[:, k].sum(), expected[k, k])
        assert each.precision == expected[k, k] / expected[:, k].sum()
    shares = [expected[k, k] / expected[k].sum() for k in range(7) if k != 5]
    assert [each.accuracy for each in found if each.images] == shares
    assert found[5].accuracy is None
    assert balanced_accuracy(probabilities, labels) == pytest.approx(sum(shares) / 6, abs=1e-15)


def test_a_class_that_was_never_predicted_has_no_precision():
    (first, second) = per_class(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))

    assert (first.precision, first.accuracy) == (0.5, 1.0)
    assert (second.precision, second.accuracy) == (None, 0.0)


@pytest.mark.parametrize("bins", [1, 3, 15])
@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_is_the_mean_gap_between_confidence_and_accuracy(seed, bins):
    probabilities, labels = predictions(seed=seed, dtype=np.float64)
    inside = [[] for _ in range(bins)]
    for row, label in zip(probabilities, labels, strict=True):
        confidence, right = max(row), ranking(row)[0] == label
        (place,) = (i for i in range(bins) if i / bins < confidence <= (i + 1) / bins)
        inside[place].append((confidence, right))
    gaps = [abs(sum(c for c, _ in each) - sum(r for _, r in each)) for each in inside]

    assert expected_calibration_error(probabilities, labels, bins) == pytest.approx(sum(gaps) / 200, abs=1e-12)
    found = calibration(probabilities, labels, bins)
    assert [each.images for each in found] == [len(each) for each in inside]
    for each, members in zip(found, inside, strict=True):
        assert (each.confidence is None) == (not members)
        if members:
            assert each.confidence == pytest.approx(np.mean([c for c, _ in members]))
            assert each.accuracy == pytest.approx(np.mean([r for _, r in members]))


def test_the_upper_end_of_a_bin_belongs_to_it():
    certain = np.array([[1.0, 0.0], [0.5, 0.5]])

    assert [each.images for each in calibration(certain, np.array([0, 0]), 4)] == [0, 1, 0, 1]


def test_calibration_error_of_a_model_that_says_what_it_knows_is_0():
    """Of ten images predicted with 70 %, seven are right."""
    said = np.tile([0.7, 0.3], (10, 1))

    assert expected_calibration_error(said, np.array([0] * 7 + [1] * 3)) == pytest.approx(0.0, abs=1e-12)
    assert expected_calibration_error(said, np.ones(10, int)) == pytest.approx(0.7)


@pytest.mark.parametrize("count", [1, 5, 1000])
def test_mistakes_are_ordered_by_confidence(count):
    probabilities, labels = predictions()
    rows = list(zip(range(200), probabilities, labels, strict=True))
    wrong = [(-max(row), i) for i, row, label in rows if ranking(row)[0] != label]

    assert list(most_confident_mistakes(probabilities, labels, count)) == [i for _, i in sorted(wrong)[:count]]


def test_loss_is_the_mean_of_minus_log_of_the_labels_probability_and_finite():
    probabilities, labels = predictions(dtype=np.float64)
    expected = -np.mean([math.log(row[label]) for row, label in zip(probabilities, labels, strict=True)])

    assert log_loss(probabilities, labels) == pytest.approx(expected)
    assert log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-math.log(np.finfo(float).eps))


# -- numbers printed elsewhere -------------------------------------------------------------------


def test_numbers_in_the_documentation_of_scikit_learn():
    def one_hot(predicted, classes):
        return np.eye(classes)[predicted]

    scores = np.array([[0.5, 0.2, 0.2], [0.3, 0.4, 0.2], [0.2, 0.4, 0.3], [0.7, 0.2, 0.1]])
    assert top_k(scores / scores.sum(axis=1, keepdims=True), np.array([0, 1, 2, 2]), 2) == 0.75
    assert balanced_accuracy(one_hot([0, 1, 0, 0, 0, 1], 2), np.array([0, 1, 0, 0, 1, 0])) == 0.625
    matrix = confusion_matrix(one_hot([0, 0, 2, 2, 0, 2], 3), np.array([2, 0, 2, 2, 0, 1]))
    assert matrix.tolist() == [[2, 0, 0], [0, 0, 1], [1, 0, 2]]
    spam = np.array([[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]])
    assert log_loss(spam, np.array([1, 0, 0, 1])) == pytest.approx(0.21616, abs=5e-6)


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_printed_by_newcombe(right, count, low, high):
    """R. G. Newcombe, Statistics in Medicine 17 (1998), Table I, method 3."""
    assert wilson_interval(right, count) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert wilson_interval(count - right, count) == pytest.approx((1 - high, 1 - low), abs=5e-5)


# -- the report ----------------------------------------------------------------------------------


def test_a_report_holds_every_measure_by_name():
    probabilities, labels = predictions()
    names = [f"class {k}" for k in range(7)]

    found = report(probabilities, labels, names)
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))

    assert said["images"] == 200
    assert said["accuracy"] == accuracy(probabilities, labels)
    assert said["accuracy_interval"] == list(wilson_interval(round(200 * said["accuracy"]), 200))
    assert said["top_5_accuracy"] == top_k(probabilities, labels, 5)
    assert said["balanced_accuracy"] == balanced_accuracy(probabilities, labels)
    assert said["calibration_error"] == expected_calibration_error(probabilities, labels)
    assert said["loss"] == log_loss(probabilities, labels)
    assert [each["class"] for each in said["per_class"]] == names
    assert said["per_class"][5] == {
        "class": "class 5", "images": 0, "predicted": int((probabilities.argmax(axis=1) == 5).sum()), "right": 0,
        "accuracy": None, "precision": 0.0,
    }  # fmt: skip
    matrix = np.diag([each["right"] for each in said["per_class"]])
    for pair in said["confused"]:
        matrix[names.index(pair["class"]), names.index(pair["taken_for"])] = pair["images"]
    np.testing.assert_array_equal(matrix, confusion_matrix(probabilities, labels))
    counts = [pair["images"] for pair in said["confused"]]
    assert counts == sorted(counts, reverse=True)


def test_a_report_shows_each_of_few_classes_and_what_it_is_taken_for():
    probabilities = np.eye(3)[[0, 0, 1, 1, 1, 0]]

    text = str(minivit.evaluation.report(probabilities, np.array([0, 0, 0, 0, 0, 1]), ("cat", "dog\x1b", "emu")))

    assert "accuracy 33.33% (95% interval 9.7% to 70.0%)" in text
    assert "balanced accuracy 20.00%, calibration error 66.67% (15 bins)" in text
    assert "top-5" not in text
    rows = [line.split() for line in text.splitlines()[4:]]
    assert rows[0] == ["cat", "5", "40.00%", "dog\\x1b", "(3)"]
    assert rows[1] == ["dog\\x1b", "1", "0.00%", "cat", "(1)"]
    assert rows[2] == ["emu", "0", "-", "-"]
    assert "1 of 3 classes without images" in text


def test_a_report_of_many_classes_shows_the_worst_of_those_with_images():
    labels = np.repeat(np.arange(30), 10)
    predicted = labels.copy()
    for k in range(29):  # class k has k // 3 right images
        predicted[10 * k + k // 3 : 10 * k + 10] = 29
    found = report(np.eye(31)[predicted], labels, [f"c{k}" for k in range(31)])

    lines = found.class_table().splitlines()

    assert [line.split()[0] for line in lines[1:11]] == [f"c{k}" for k in range(10)]
    assert lines[11:] == [
        "(10 of 31 classes: those of the lowest accuracy)",
        "(1 of 31 classes without images: left out of means over classes)",
    ]


def test_names_of_classes_are_their_numbers_and_a_known_loss_is_kept():
    found = report(np.eye(6)[[0, 1]], np.array([0, 2]), loss=0.25)

    assert found.classes == ("0", "1", "2", "3", "4", "5")
    assert (found.loss, found.top_5_accuracy, list(found.mistakes)) == (0.25, 1.0, [1])


GOOD = np.array([[0.5, 0.5], [0.9, 0.1]])


@pytest.mark.parametrize(
    ("probabilities", "labels", "kind", "words"),
    [
        (np.ones(3), [0, 0, 0], ShapeError, r"\(images, classes\).*\(3,\)"),
        (np.ones((0, 3)), np.zeros(0, int), ShapeError, r"\(0, 3\)"),
        (GOOD, [0], ShapeError, r"2 images need labels of the shape \(2,\), not \(1,\)"),
        (GOOD, [1, 2], ShapeError, "from 0 to 1 for 2 classes, not from 1 to 2"),
        (GOOD, [-1, 1], ShapeError, "from 0 to 1 for 2 classes, not from -1 to 1"),
        (GOOD, [0.0, 1.0], DTypeError, "integers from 0 to 1, not float64"),
        (GOOD * 100, [0, 1], ConfigError, "image 0 are 50 or more and 100 in sum: if they are logits"),
        (np.array([[0.5, 0.5], [1.5, -0.5]]), [0, 1], ConfigError, "image 1 are -0.5 or more and 1 in sum"),
        (np.array([[0.5, 0.5], [np.nan, 0.5]]), [0, 1], ConfigError, "image 1 are nan"),
    ],
)
def test_what_are_not_probabilities_is_refused(probabilities, labels, kind, words):
    with pytest.raises(kind, match=words) as caught:
        report(probabilities, np.array(labels))

    assert len(str(caught.value)) < 200


def test_names_that_do_not_fit_and_impossible_k_and_bins_are_refused():
    with pytest.raises(ConfigError, match="2 columns of probabilities need 2 names of classes, not 1"):
        report(GOOD, np.array([0, 1]), ["cat"])
    for k in (0, 3):
        with pytest.raises(ConfigError, match=f"from 1 to the number of classes, 2, not {k}"):
            top_k(GOOD, np.array([0, 1]), k)
    with pytest.raises(ConfigError, match="bins must be 1 or more, not 0"):
        expected_calibration_error(GOOD, np.array([0, 1]), 0)
