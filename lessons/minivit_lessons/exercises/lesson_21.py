"""Checks of lesson 21: what a table of predictions says, intervals, the four reports, and the learner's own numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..compare import same
from ..trial import Attempt, Complaint, NotDone, explained
from . import exercise, question

Z = 1.959963984540054  # of 95 % of the normal distribution
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}  # Student's t


@exercise(21)
def accuracy_in_table(attempt: Attempt) -> None:
    """Check tables of random predictions, with classes of two digits and runs in any column."""
    rng = np.random.default_rng(0)
    labels, a, b = rng.integers(0, 12, 40), rng.integers(0, 12, 40), rng.integers(0, 12, 40)
    a[:9], b[:24] = labels[:9], labels[:24]
    rows = [f"{i},{y},{p},{q}" for i, (y, p, q) in enumerate(zip(labels, a, b, strict=True))]
    text = "\n".join(["image,label,first-0,second-0", *rows]) + "\n"
    empty = "the text ends with a new line, and so with an empty one: use text.split(), not text.split('\\n')"
    for run, guesses, other in (("first-0", a, b), ("second-0", b, a)):
        right = float((guesses == labels).mean())
        n = len(labels)
        given = "`text` is the text of the table itself, not the name of a file"
        reasons = {
            "list index out of range": empty,
            "invalid literal for int() with base 10: ''": empty,
            "invalid literal for int()": "the first line has names, not numbers: leave it out",
            "File name too long": given,
            "No such file": given,
            "KeyError": "compute everything from `text`: the check has another table than the notebook",
            "string index out of range": "split each line at its commas: line.split(',')",
        }
        with explained(reasons):
            got = attempt(text, run)
        same(
            got,
            np.float64(right),
            f"accuracy_in_table(text, {run!r})",
            mistakes={
                "the line of names counts as an image: leave it out of the mean": right * n / (n + 1),
                "an empty line at the end counts as an image: use text.split() or strip()": right * n / (n + 2),
                "this is a number of images: divide by how many there are": right * n,
                "these are percent: return a share": 100 * right,
                "this is the share of wrong images": 1 - right,
                "this is another run: find the column by its name": float((other == labels).mean()),
                "the run is compared with the column before it: the label is in the second column": float(
                    (b == a).mean() if run == "second-0" else -1.0
                ),
                "the image's number is compared: the label is in the second column": float(
                    (guesses == np.arange(n)).mean()
                ),
                "nothing is equal: text against numbers? Make both integers, and split each line at its commas": 0.0,
                "the first image is left out: only the line of names goes": float((guesses == labels)[1:].mean()),
                "the first image counts as wrong: only the line of names goes": (guesses == labels)[1:].sum() / n,
                "the last image is left out: the text has a line for each": float((guesses == labels)[:-1].mean()),
                "`in` finds the label inside a longer number too, 1 in 11: compare with ==": float(
                    np.mean([str(y) in str(guess) for y, guess in zip(labels, guesses, strict=True)])
                ),
                "`in` finds the guess inside a longer number too, 1 in 11: compare with ==": float(
                    np.mean([str(guess) in str(y) for y, guess in zip(labels, guesses, strict=True)])
                ),
            },
            check_dtype=False,
        )


@exercise(21)
def majority_baseline(attempt: Attempt) -> None:
    """Check labels whose most frequent class differs between training and test set."""
    train = np.array([3, 1, 3, 0, 3, 2, 1, 3, 5, 4, 0, 2, 3, 3])
    test = np.repeat([1, 3, 5, 2, 4], [9, 4, 3, 2, 1])  # no two classes have the same share
    share = {k: float((test == k).mean()) for k in range(6)}
    with explained({"broadcast": "the two sets have different lengths: find the class in train_labels first"}):
        got = attempt(train, test)
    same(
        got,
        np.float64(share[3]),
        "majority_baseline(train_labels, test_labels)",
        mistakes={
            "the class is chosen with the test labels: choose it with the training labels": share[1],
            "this is its share of the training set: measure it on the test set": float((train == 3).mean()),
            "it takes the largest class number: take the most frequent class, with np.bincount": share[5],
            "this is the mean of the class numbers: classes have no order, take the most frequent": share[2],
            "this is the least frequent class: use argmax": share[4],
            "this is a count or a position, no class of the test set: take np.bincount(train_labels).argmax()": 0.0,
            "this is the class itself: return the share of test labels that it gets right": 3.0,
            "this is chance, 1 / K: a classifier that always says the same can do better": 1 / 6,
            "this is a number of images: divide by the number of test images": 4.0,
            "these are percent: return a share": 100 * share[3],
            "it is divided by the number of training images: divide by that of the test set": 4 / len(train),
            "training labels are counted, divided by the size of the test set: count the test labels that equal it": (
                6 / len(test)
            ),
            "this is how often the class occurs in training: find which it is, and count it in the test set": 6.0,
        },
        check_dtype=False,
    )
    got = float(attempt(np.array([0, 2, 0, 1, 5]), np.array([5, 0, 5, 5])))  # the median, 1, does not occur in the test
    if got == 0.75:
        raise Complaint(
            "majority_baseline takes the largest class number: take the most frequent class, with np.bincount"
        )
    median = "this is the median of the class numbers: classes have no order, take the most frequent"
    same(got, np.float64(0.25), "majority_baseline of training labels 0, 2, 0, 1, 5", {median: 0.0}, check_dtype=False)
    missing = "this is a position among the classes that occur: np.unique's classes[counts.argmax()] is the class"
    got = float(attempt(np.array([4, 4, 2, 4]), np.array([4, 1, 1, 0])))  # class 4 is the second that occurs
    same(got, np.float64(0.25), "majority_baseline of training labels 4, 4, 2, 4", {missing: 0.5}, check_dtype=False)


def wilson(right: float, count: int, z: float = Z) -> tuple[float, float]:
    """Return Wilson's interval of a share."""
    share = right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return middle - half, middle + half


@exercise(21)
def share_interval(attempt: Attempt) -> None:
    """Check Wilson's interval with few and many images, and where all are right."""
    for right, count in ((7, 10), (640, 2000), (20, 20)):
        p, z = right / count, Z
        low, high = wilson(right, count)
        wald = z * math.sqrt(p * (1 - p) / count)
        middle, below = (low + high) / 2, 1 + z * z / count
        root = math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
        got = attempt(right, count)
        what = f"share_interval({right}, {count})"
        if not isinstance(got, tuple | list | np.ndarray) or len(got) != 2:
            raise Complaint(f"{what} must be a pair: (low, high)")
        same(
            np.asarray(got, np.float64),
            np.array([low, high]),
            what,
            mistakes={
                "this is share ± 1.96 standard errors, which fails near 0 and 1: use Wilson's formula": (
                    np.array([p - wald, p + wald])
                ),
                "the ends are swapped: (low, high)": np.array([high, low]),
                "both ends are the share itself: go the half width down and up from the middle": np.array([p, p]),
                "these are the middle and the half width: return their difference and sum": (
                    np.array([(low + high) / 2, (high - low) / 2])
                ),
                "the interval has one standard error: z is 1.96": np.array(wilson(right, count, 1.0)),
                "z is 1.645, for an interval of 90 %: use 1.96": np.array(wilson(right, count, 1.645)),
                "z is 2.576, for an interval of 99 %: use 1.96": np.array(wilson(right, count, 2.576)),
                "z is 2: use 1.96": np.array(wilson(right, count, 2.0)),
                "z**2 / 4 * n**2 multiplies by n²: write z**2 / (4 * n**2), and z**2 / (2 * n)": np.array(
                    [
                        (p + z * z / 2 * count - sign * z * math.sqrt(p * (1 - p) / count + z * z / 4 * count**2))
                        / below
                        for sign in (1, -1)
                    ]
                ),
                "z**2 / 2 * n multiplies by n: write z**2 / (2 * n)": np.array(
                    [(p + z * z / 2 * count - sign * z * root) / below for sign in (1, -1)]
                ),
                "z**2 / 4 * n**2 multiplies by n²: write z**2 / (4 * n**2)": np.array(
                    [
                        middle - sign * z * math.sqrt(p * (1 - p) / count + z * z / 4 * count**2) / below
                        for sign in (1, -1)
                    ]
                ),
                "the division by 1 + z²/n is missing": np.array(
                    [p + z * z / (2 * count) - z * root, p + z * z / (2 * count) + z * root]
                ),
                "only one part is divided by 1 + z²/n: divide the middle and the half width": np.array(
                    [(low + high) / 2 - z * root, (low + high) / 2 + z * root]
                ),
                "the middle lacks its z²/2n": np.array(
                    [p / (1 + z * z / count) - (high - low) / 2, p / (1 + z * z / count) + (high - low) / 2]
                ),
                "only the half width is divided by 1 + z²/n: divide the middle too": np.array(
                    [p + z * z / (2 * count) - (high - low) / 2, p + z * z / (2 * count) + (high - low) / 2]
                ),
                "the root has z²/2n²: under it is z² / (4 n²)": np.array(
                    [
                        middle - sign * z * math.sqrt(p * (1 - p) / count + z * z / (2 * count * count)) / below
                        for sign in (1, -1)
                    ]
                ),
                "the middle has z²/4n: it is p + z² / (2 n)": np.array(
                    [(p + z * z / (4 * count) - sign * z * root) / below for sign in (1, -1)]
                ),
                "these are percent: return shares": 100 * np.array([low, high]),
                "the root is not multiplied by z": np.array([middle - root / below, middle + root / below]),
                "z²/4n² lacks a square: under the root it is z² / (4 n²)": np.array(
                    [
                        middle - z * math.sqrt(p * (1 - p) / count + z * z / (4 * count)) / below,
                        middle + z * math.sqrt(p * (1 - p) / count + z * z / (4 * count)) / below,
                    ]
                ),
                "z²/4n² is missing under the root": np.array([middle - wald / below, middle + wald / below]),
                "z is not squared in z²/4n²": np.array(
                    [
                        middle - z * math.sqrt(p * (1 - p) / count + z / (4 * count * count)) / below,
                        middle + z * math.sqrt(p * (1 - p) / count + z / (4 * count * count)) / below,
                    ]
                ),
                "the root is missing": np.array([middle - z * root * root / below, middle + z * root * root / below]),
                "the middle has z²/n: it is p + z² / (2 n)": np.array(
                    [
                        (p + z * z / count - z * root) / below,
                        (p + z * z / count + z * root) / below,
                    ]
                ),
                "it is divided by 1 + z²/2n: divide by 1 + z²/n": np.array(
                    [
                        (p + z * z / (2 * count) - z * root) / (1 + z * z / (2 * count)),
                        (p + z * z / (2 * count) + z * root) / (1 + z * z / (2 * count)),
                    ]
                ),
                "this is the interval of Agresti and Coull, which is wider: use Wilson's formula": (
                    np.array(
                        [middle - sign * z * math.sqrt(middle * (1 - middle) / (count + z * z)) for sign in (1, -1)]
                    )
                ),
                "this is share ± 1.96 standard errors with n - 1, which fails near 0 and 1: use Wilson's formula": (
                    np.array([p - sign * z * math.sqrt(p * (1 - p) / (count - 1)) for sign in (1, -1)])
                ),
            },
            tolerance=2e-4,  # 1.96 is as good as 1.959964
            check_dtype=False,
        )


@exercise(21)
def paired_interval(attempt: Attempt) -> None:
    """Check two runs that are right and wrong on nearly the same images."""
    rng = np.random.default_rng(2)
    easy = rng.random(60) < 0.6
    a, b = easy ^ (rng.random(60) < 0.3), easy ^ (rng.random(60) < 0.05)
    with explained({"boolean subtract": "make numbers of the booleans first: right_a.astype(float)"}):
        got = attempt(a, b)
    d = a.astype(float) - b
    n = len(d)
    mean, error = d.mean(), d.std(ddof=1) / math.sqrt(n)
    apart = math.sqrt(a.mean() * (1 - a.mean()) / n + b.mean() * (1 - b.mean()) / n)
    if not isinstance(got, tuple | list | np.ndarray) or len(got) != 3:
        raise Complaint("paired_interval(right_a, right_b) must be a tuple of three: (difference, low, high)")

    def around(middle: float, half: float) -> np.ndarray:
        return np.array([middle, middle - half, middle + half])

    same(
        np.asarray(got, np.float64),
        around(mean, Z * error),
        "paired_interval(right_a, right_b)",
        mistakes={
            "this treats the runs as independent: take the standard deviation of the differences, image by image": (
                around(mean, Z * apart)
            ),
            "this treats the runs as independent: take the standard deviation of a - b, image by image": (
                around(mean, Z * apart * math.sqrt(n / (n - 1)))
            ),
            "the sign is wrong: the difference is a - b": around(-mean, Z * error),
            "the standard deviation is not divided by √n": around(mean, Z * d.std(ddof=1)),
            "it is divided by n: divide by √n": around(mean, Z * d.std(ddof=1) / n),
            "low and high are the half width: return mean - half and mean + half": np.array(
                [mean, Z * error, Z * error]
            ),
            "this is the median of the differences: take their mean": around(float(np.median(d)), Z * error),
            "the factor 1.96 is missing": around(mean, error),
            "the standard deviation is divided by √(n - 1): divide by √n": around(
                mean, Z * d.std(ddof=1) / math.sqrt(n - 1)
            ),
            "the variance is divided by n: the standard error is its root": around(mean, Z * d.var(ddof=1) / n),
            "the differences have lost their sign: a - b is -1 where only b is right": around(
                np.abs(d).mean(), Z * np.abs(d).std(ddof=1) / math.sqrt(n)
            ),
            "the variance is used for the standard deviation: take its root": around(
                mean, Z * d.var(ddof=1) / math.sqrt(n)
            ),
            "the standard deviation divides by n: use ddof=1": around(mean, Z * d.std() / math.sqrt(n)),
            "1.96 is squared: multiply once": around(mean, Z * Z * error),
            "the ends are swapped: (difference, low, high)": np.array([mean, mean + Z * error, mean - Z * error]),
            "the number of images is doubled: each image gives one difference": around(mean, Z * error / math.sqrt(2)),
            "low and high are the half width alone: subtract it from the difference, and add it": (
                np.array([mean, -Z * error, Z * error])
            ),
            "images where both are right or both wrong are left out: they count, with a difference of 0": around(
                d[d != 0].mean(), Z * d[d != 0].std(ddof=1) / math.sqrt(np.count_nonzero(d))
            ),
            "the factor is 2: it is 1.96": around(mean, 2 * error),
            "this is the sum of the differences: take the mean": np.array(
                [d.sum(), d.sum() - Z * error, d.sum() + Z * error]
            ),
        },
        tolerance=2e-4,
        check_dtype=False,
    )


def interval_over_seeds(a: Any, b: Any) -> np.ndarray:
    """Return the mean difference of two lists of accuracies, paired by seed, with its 95 % interval."""
    d = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    half = T95[len(d) - 1] * d.std(ddof=1) / math.sqrt(len(d))
    return np.array([d.mean(), d.mean() - half, d.mean() + half])


@exercise(21)
def seed_interval(attempt: Attempt) -> None:
    """Check three and five seeds."""
    for a, b in (
        ([0.62, 0.58, 0.66], [0.60, 0.59, 0.61]),
        ([0.5, 0.54, 0.49, 0.52, 0.6], [0.5, 0.55, 0.45, 0.5, 0.53]),
    ):
        d = np.subtract(a, b)
        n, mean, spread = len(d), d.mean(), d.std(ddof=1)
        lists = "lists cannot be subtracted: np.subtract(a, b)"
        array = "a list has no such method: make an array of the differences, np.array(d)"
        with explained({"'list' and 'list'": lists, "'list' object has no attribute": array}):
            got = attempt(list(a), list(b))
        if not isinstance(got, tuple | list | np.ndarray) or len(got) != 3:
            raise Complaint("seed_interval(a, b) must be a tuple of three: (difference, low, high)")

        def around(half: float, mean: float = mean) -> np.ndarray:
            return np.array([mean, mean - half, mean + half])

        root = math.sqrt(n)
        same(
            np.asarray(got, np.float64),
            interval_over_seeds(a, b),
            f"seed_interval of {n} seeds",
            mistakes={
                "1.96 is for many seeds: with few, use Student's t, T95[n - 1]": around(Z * spread / root),
                "T95 is read at n: its keys are degrees of freedom, n - 1": around(T95[n] * spread / root),
                "T95 is read at n - 2: its keys are degrees of freedom, n - 1": around(T95[n - 2] * spread / root),
                "the standard deviation divides by n: use ddof=1": around(T95[n - 1] * d.std() / root),
                "the standard deviation is not divided by √n": around(T95[n - 1] * spread),
                "it is divided by n: divide by √n": around(T95[n - 1] * spread / n),
                "the factor T95[n - 1] is missing": around(spread / root),
                "this is the median of the differences: take their mean": around(
                    T95[n - 1] * spread / root, float(np.median(d))
                ),
                "these are the smallest and the largest difference: take T95[n - 1] standard errors": np.array(
                    [mean, d.min(), d.max()]
                ),
                "the standard deviation is divided by √(n - 1): divide by √n": around(
                    T95[n - 1] * spread / math.sqrt(n - 1)
                ),
                "the seeds are not paired: take the differences first": around(
                    T95[n - 1] * math.sqrt(np.var(a, ddof=1) / n + np.var(b, ddof=1) / n)
                ),
                "the sign is wrong: the difference is a - b": -interval_over_seeds(a, b)[[0, 2, 1]],
                "low and high are the half width alone: subtract it from the difference, and add it": (
                    around(T95[n - 1] * spread / root) - np.array([0, mean, mean])
                ),
                "the ends are swapped: (difference, low, high)": interval_over_seeds(a, b)[[0, 2, 1]],
                "the variance is used for the standard deviation: take its root": (
                    around(T95[n - 1] * spread**2 / root)
                ),
                "the factor is the number of seeds: it is T95[n - 1]": around(n * spread / root),
                "the seeds are sorted by accuracy, which breaks the pairs: keep their order": (
                    interval_over_seeds(sorted(a), sorted(b))
                ),
                "the differences have lost their sign: leave out abs": interval_over_seeds(np.abs(d), 0.0 * d),
                "the seeds are not paired, with T95[2 n - 2]: take the differences first": around(
                    T95.get(2 * n - 2, 0.0) * math.sqrt(np.var(a, ddof=1) / n + np.var(b, ddof=1) / n)
                ),
                "these are percent: return shares": 100 * interval_over_seeds(a, b),
            },
            tolerance=1e-4,
            check_dtype=False,
        )


@question(21)
def parameters_saved(value: Any) -> None:
    """Check how many parameters a model without a class token saves."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise Complaint(f"parameters_saved is a {type(value).__name__}: write an integer")
    known = {
        64: "the class token has a position too: two vectors of D numbers are saved",
        0: "without a class token there is one vector less, and one position less",
        192: "D is 64 in this model, and two vectors are saved, not three",
        148_042: "this is the size of the smaller model: how much smaller is it?",
        148_170: "this is the size of the model with a class token: what does the other one save?",
        1_536: "D is 64 in this model, not 768",
        -128: "the sign is wrong: the model without a class token is smaller",
        640: "the head is the same: it reads D numbers in both",
        4_160: "these are all positions: only that of the class token goes, and the token itself",
        4_096: "these are the positions of all patches, which stay: only the class token and its position go",
        4_224: "the positions of the patches stay: only the class token and its position go",
        2: "two vectors are saved: each has D numbers",
        65: "this is the number of tokens: which vectors of D numbers exist because of the class token?",
    }
    if value == 128:
        return
    raise Complaint(
        f"parameters_saved: {known.get(int(value), f'not {value}: which vectors exist because of the class token?')}"
    )


def _at(row: int, column: int, size: int) -> np.ndarray:
    matrix = np.zeros((size, size), int)
    matrix[row, column] = 1
    return matrix


@exercise(21)
def confusion(attempt: Attempt) -> None:
    """Check labels and guesses with repeated pairs, and a class that never occurs."""
    labels, guesses = np.array([0, 2, 2, 1, 2, 0, 2, 2]), np.array([0, 1, 1, 1, 2, 2, 1, 0])
    right = np.zeros((4, 4), int)
    np.add.at(right, (labels, guesses), 1)
    once = np.minimum(right, 1)
    rows = right / np.maximum(right.sum(axis=1, keepdims=True), 1)
    wrong = right * (1 - np.eye(4, dtype=int))
    with explained({"returns None": "np.add.at changes its array and returns None: return the array"}):
        got = attempt(labels, guesses, 4)
    same(
        np.nan_to_num(np.asarray(got), nan=0.0),
        right,
        "confusion(labels, guesses, 4)",
        mistakes={
            "label and guess are added, so pairs share a place: use labels * classes + guesses": (
                np.bincount(labels + guesses, minlength=16).reshape(4, 4)
            ),
            "it is transposed: a row for each label, a column for each guess": right.T,
            "repeated pairs count once, as in C[labels, guesses] += 1: use np.add.at, or a loop": once,
            "these are shares of each row: return counts": rows,
            "these are shares of all images: return counts": right / 8,
            "np.histogram2d makes its bins from the smallest to the largest number: use np.add.at, or a loop": (
                np.histogram2d(labels, guesses, bins=4)[0]
            ),
            "np.histogram2d makes its bins from the smallest to the largest number, and these are shares": (
                np.histogram2d(labels, guesses, bins=4)[0] / 8
            ),
            "each number begins at 1: begin with np.zeros": right + 1,
            "every pair is counted twice": 2 * right,
            "every label is paired with every guess: go through both at once, with zip": np.outer(
                right.sum(axis=1), right.sum(axis=0)
            ),
            "all images are counted in each pair's place: add 1 for each image": 8 * once,
            "all images are counted in each pair's place, and rows are guesses: add 1 for each image": 8 * once.T,
            "labels are paired with labels: pair them with the guesses": np.diag(right.sum(axis=1)),
            "the last image is left out": right - _at(labels[-1], guesses[-1], 4),
            "the first image is left out": right - _at(labels[0], guesses[0], 4),
            "the right answers are missing: the diagonal counts them": wrong,
            "only the right answers are counted: every pair has a place": right * np.eye(4, dtype=int),
            "a class that never occurs has a row and a column too: use `classes`": right[:3, :3],
            "labels and guesses are sorted, which breaks the pairs: keep their order": (
                sum(_at(y, guess, 4) for y, guess in zip(sorted(labels), sorted(guesses), strict=True))
            ),
        },
        check_dtype=False,
    )
    if np.asarray(got).dtype.kind not in "iu":
        raise Complaint(f"confusion is right, but as {np.asarray(got).dtype}: counts are integers")


ORDER = "CADB"


@question(21)
def reports_from_weak_to_excellent(value: Any) -> None:
    """Check the order of the four reports, and say what is wrong with an order."""
    if isinstance(value, list | tuple):
        value = "".join(map(str, value))
    if not isinstance(value, str):
        raise Complaint("reports_from_weak_to_excellent must be a string of four letters, weakest first")
    given = "".join(letter for letter in value.upper() if letter.isalpha())
    if sorted(given) != sorted(ORDER):
        raise Complaint("reports_from_weak_to_excellent must have each of A, B, C and D once, weakest first")
    if given == ORDER:
        return
    if given == ORDER[::-1]:
        raise Complaint("reports_from_weak_to_excellent: this is from excellent to weak: begin with the weakest")
    if given[0] != "C":
        raise Complaint(
            "reports_from_weak_to_excellent: another report is the weakest: one changes several things at once, and "
            "chooses by the test set"
        )
    if given[-1] != "B":
        raise Complaint(
            "reports_from_weak_to_excellent: another report is the best: one says before the runs what would refute it"
        )
    raise Complaint("reports_from_weak_to_excellent: the two in the middle: which one has more than one seed?")


NUMBERS = ("test images", "right", "interval", "baseline", "accuracies a", "accuracies b", "difference")


@question(21)
def my_capstone(value: Any) -> None:
    """Check that the numbers of the learner's own report fit each other."""
    if not isinstance(value, Mapping):
        raise Complaint(f"my_capstone is a {type(value).__name__}: keep the dictionary, and write its values")
    left = [key for key in NUMBERS if value.get(key, ...) is ...]
    if len(left) == len(NUMBERS):
        raise NotDone("my_capstone is not done yet")
    if left:
        raise Complaint(f"my_capstone: {left[0]!r} is still to be written")
    count, right = value["test images"], value["right"]
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in (count, right)):
        raise Complaint("my_capstone: 'test images' and 'right' are numbers of images: write integers")
    if not 0 <= right <= count or count < 1:
        raise Complaint(f"my_capstone: {right} of {count} images cannot be right")
    if count < 100:
        raise Complaint(f"my_capstone: {count} test images say little: the interval is wide; use 100 or more")
    _fits(value["interval"], np.array(wilson(right, count)), "'interval'", f"share_interval({right}, {count})")
    baseline = value["baseline"]
    if not isinstance(baseline, int | float | np.number) or not 0 < float(baseline) <= 1:
        raise Complaint("my_capstone: 'baseline' is a share between 0 and 1, as majority_baseline returns it")
    a, b = (np.atleast_1d(np.asarray(value[key], np.float64)) for key in ("accuracies a", "accuracies b"))
    if a.shape != b.shape:
        raise Complaint("my_capstone: 'accuracies a' and 'accuracies b' need the same seeds, one number for each")
    if len(a) < 3:
        raise Complaint(f"my_capstone: {len(a)} seeds are too few for an interval: use at least three")
    if len(a) > 10:
        raise Complaint("my_capstone: more than ten seeds: T95 ends at nine degrees of freedom, so enter ten of them")
    if max(a.max(), b.max()) > 1 or min(a.min(), b.min()) < 0:
        raise Complaint("my_capstone: accuracies are shares between 0 and 1, not percent")
    if not np.isclose(np.concatenate([a, b]), right / count, atol=5e-4).any():
        raise Complaint("my_capstone: 'right' / 'test images' is the accuracy of none of the runs: of which?")
    _fits(value["difference"], interval_over_seeds(a, b), "'difference'", "seed_interval(a, b)")


def _fits(given: Any, right: np.ndarray, name: str, call: str) -> None:
    try:
        found = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise Complaint(f"my_capstone: {name} must be numbers, as {call} returns them") from None
    if found.shape != right.shape:
        raise Complaint(f"my_capstone: {name} must be {len(right)} numbers, as {call} returns them")
    if right.shape == (3,) and np.allclose(found, [-right[0], -right[2], -right[1]], rtol=0, atol=6e-4):
        raise Complaint(f"my_capstone: {name} is b - a: the difference is a - b, {call}")
    if not np.allclose(found, right, rtol=0, atol=6e-4):
        wanted = ", ".join(f"{x:.4f}" for x in right)
        raise Complaint(f"my_capstone: {name} does not fit the other numbers: {call} is ({wanted})")


@exercise(21, stretch=True)
def sign_test(attempt: Attempt) -> None:
    """Check the exact two-sided probability, where the runs are equal too."""
    for a, b in ((9, 2), (3, 12), (5, 5), (0, 6)):
        n, larger = a + b, max(a, b)
        tail = sum(math.comb(n, k) for k in range(larger, n + 1)) / 2**n
        beyond = sum(math.comb(n, k) for k in range(larger + 1, n + 1)) / 2**n
        chi = max(0, abs(a - b) - 0) ** 2 / n
        same(
            np.float64(attempt(a, b)),
            np.float64(min(1.0, 2 * tail)),
            f"sign_test({a}, {b})",
            mistakes={
                "a probability is at most 1: where both are equal, take min(1, ...)": 2 * tail,
                "this is one-sided: either run could have been the better one, so double it": tail,
                "what was observed belongs to the tail: begin the sum at max(a, b)": 2 * beyond,
                "this is the probability of exactly this outcome: add the more extreme ones": math.comb(n, a) / 2**n,
                "the sum is not divided by 2 ** n": 2 * tail * 2**n,
                "this is the difference as a share of n: add up probabilities of heads and tails": abs(a - b) / n,
                "the last term is missing: range(..., n + 1) includes n": 2 * (tail - 1 / 2**n),
                "the sum begins at only_a: begin it at the larger of the two": (
                    min(1.0, 2 * sum(math.comb(n, k) for k in range(a, n + 1)) / 2**n)
                ),
                "the sum begins at only_b: begin it at the larger of the two, and divide it by 2 ** n": (
                    min(1.0, 2 * sum(math.comb(n, k) for k in range(b, n + 1)) / 2**n)
                ),
                "this is twice the probability of exactly this outcome: add the more extreme ones": (
                    min(1.0, 2 * math.comb(n, a) / 2**n)
                ),
                "this is twice the probability of exactly this outcome: add the more extreme ones, up to 1": (
                    2 * math.comb(n, a) / 2**n
                ),
                "this is the probability of a less uneven split: add up from max(a, b) to n": 1 - min(1.0, 2 * tail),
                "this is the approximation by the normal distribution: add up binomial coefficients": (
                    math.erfc(math.sqrt(chi / 2))
                ),
                "this is the normal approximation with a correction of 1: add up binomial coefficients": (
                    math.erfc(max(0, abs(a - b) - 1) / math.sqrt(2 * n))
                ),
                "only half of what was observed is in the tail, which is the mid-p value: count all of it": (
                    min(1.0, 2 * beyond + math.comb(n, larger) / 2**n)
                ),
                "the smaller count begins the sum: the tail is beyond the larger one": (
                    2 * sum(math.comb(n, k) for k in range(min(a, b), n + 1)) / 2**n
                ),
                "the sum begins one too early: begin it at max(a, b)": min(
                    1.0, 2 * sum(math.comb(n, k) for k in range(larger - 1, n + 1)) / 2**n
                ),
                "it is doubled twice, or divided by 2 ** (n - 1): double the sum, divided by 2 ** n, once": min(
                    1.0, 4 * tail
                ),
            },
            tolerance=1e-9,
            check_dtype=False,
        )
