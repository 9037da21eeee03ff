import csv
import math

import numpy as np

from minivit_lessons.exercises.lesson_21 import T95, interval_over_seeds, wilson

from . import right, right_value, wrong, wrong_value


@right
def accuracy_in_table(text, run):
    rows = list(csv.DictReader(text.splitlines()))
    return sum(row["label"] == row[run] for row in rows) / len(rows)


@right
def accuracy_in_table(text, run):
    lines = text.strip().split("\n")
    place = lines[0].split(",").index(run)
    numbers = np.array([[int(n) for n in line.split(",")] for line in lines[1:]])
    return np.mean(numbers[:, 1] == numbers[:, place])


def _rows(text):
    return [line.split(",") for line in text.split()]


@wrong("the line of names counts as an image")
def accuracy_in_table(text, run):
    rows = _rows(text)
    place = rows[0].index(run)
    return sum(row[1] == row[place] for row in rows) / len(rows)


@wrong("an empty line at the end counts as an image")
def accuracy_in_table(text, run):
    rows = [line.split(",") for line in text.split("\n")]
    place = rows[0].index(run)
    return sum(len(row) > 1 and row[1] == row[place] for row in rows) / len(rows)


@wrong("this is a number of images")
def accuracy_in_table(text, run):
    names, *rows = _rows(text)
    return sum(row[1] == row[names.index(run)] for row in rows)


@wrong("these are percent: return a share")
def accuracy_in_table(text, run):
    names, *rows = _rows(text)
    return 100 * sum(row[1] == row[names.index(run)] for row in rows) / len(rows)


@wrong("this is the share of wrong images")
def accuracy_in_table(text, run):
    names, *rows = _rows(text)
    return sum(row[1] != row[names.index(run)] for row in rows) / len(rows)


@wrong("this is another run: find the column by its name")
def accuracy_in_table(text, run):
    _, *rows = _rows(text)
    return sum(row[1] == row[-1] for row in rows) / len(rows)


@wrong("the image's number is compared")
def accuracy_in_table(text, run):
    names, *rows = _rows(text)
    return sum(row[0] == row[names.index(run)] for row in rows) / len(rows)


@wrong("nothing is equal: text against numbers?")
def accuracy_in_table(text, run):
    names, *rows = _rows(text)
    return sum(int(row[1]) == row[names.index(run)] for row in rows) / len(rows)


@right
def majority_baseline(train_labels, test_labels):
    values, counts = np.unique(train_labels, return_counts=True)
    return float(np.mean(test_labels == values[counts.argmax()]))


@right
def majority_baseline(train_labels, test_labels):
    train = list(train_labels)
    k = max(set(train), key=train.count)
    return sum(label == k for label in test_labels) / len(test_labels)


@right
def majority_baseline(train_labels, test_labels):
    classes, counts = np.unique(train_labels, return_counts=True)
    return np.mean(test_labels == classes[counts.argmax()])


@wrong("the class is chosen with the test labels")
def majority_baseline(train_labels, test_labels):
    return (test_labels == np.bincount(test_labels).argmax()).mean()


@wrong("this is its share of the training set")
def majority_baseline(train_labels, test_labels):
    return np.bincount(train_labels).max() / len(train_labels)


@wrong("this is the class itself")
def majority_baseline(train_labels, test_labels):
    return np.bincount(train_labels).argmax()


@wrong("this is chance, 1 / K")
def majority_baseline(train_labels, test_labels):
    return 1 / len(set(train_labels))


@wrong("this is a number of images: divide by the number of test images")
def majority_baseline(train_labels, test_labels):
    return (test_labels == np.bincount(train_labels).argmax()).sum()


@wrong("these are percent: return a share")
def majority_baseline(train_labels, test_labels):
    return 100 * (test_labels == np.bincount(train_labels).argmax()).mean()


@right
def share_interval(right, count):
    return wilson(right, count)


@right
def share_interval(right, count):
    n, p, z2 = count, right / count, 1.96**2
    half = math.sqrt(z2 * p * (1 - p) / n + z2 * z2 / (4 * n * n))
    return np.array([p + z2 / (2 * n) - half, p + z2 / (2 * n) + half]) / (1 + z2 / n)


@wrong("this is share ± 1.96 standard errors")
def share_interval(right, count):
    p = right / count
    half = 1.96 * math.sqrt(p * (1 - p) / count)
    return p - half, p + half


@wrong("the ends are swapped: (low, high)")
def share_interval(right, count):
    return wilson(right, count)[::-1]


@wrong("these are the middle and the half width")
def share_interval(right, count):
    low, high = wilson(right, count)
    return (low + high) / 2, (high - low) / 2


@wrong("the interval has one standard error")
def share_interval(right, count):
    return wilson(right, count, 1.0)


@wrong("the division by 1 + z²/n is missing")
def share_interval(right, count):
    p, z = right / count, 1.96
    middle = p + z**2 / (2 * count)
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return middle - half, middle + half


@wrong("only one part is divided by 1 + z²/n")
def share_interval(right, count):
    p, z = right / count, 1.96
    middle = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return middle - half, middle + half


@wrong("these are percent: return shares")
def share_interval(right, count):
    low, high = wilson(right, count)
    return 100 * low, 100 * high


@wrong("must be a pair: (low, high)")
def share_interval(right, count):
    return right / count


@right
def paired_interval(right_a, right_b):
    n, only_a, only_b = len(right_a), np.sum(right_a & ~right_b), np.sum(right_b & ~right_a)
    d = (only_a - only_b) / n
    half = 1.96 * math.sqrt((only_a + only_b) / n - d**2) / math.sqrt(n - 1)
    return d, d - half, d + half


@right
def paired_interval(right_a, right_b):
    d = np.array(right_a, float) - np.array(right_b, float)
    error = d.std(ddof=1) * len(d) ** -0.5
    return [d.mean(), d.mean() - 1.96 * error, d.mean() + 1.96 * error]


@wrong("this treats the runs as independent")
def paired_interval(right_a, right_b):
    a, b, n = right_a.mean(), right_b.mean(), len(right_a)
    half = 1.96 * math.sqrt(a * (1 - a) / n + b * (1 - b) / n)
    return a - b, a - b - half, a - b + half


@wrong("the sign is wrong: the difference is a - b")
def paired_interval(right_a, right_b):
    d = right_b.astype(float) - right_a
    half = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("the standard deviation is not divided by √n")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    half = 1.96 * d.std(ddof=1)
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("it is divided by n: divide by √n")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    half = 1.96 * d.std(ddof=1) / len(d)
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("the factor 1.96 is missing")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    half = d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("the variance is used for the standard deviation")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    half = 1.96 * d.var(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("the standard deviation divides by n: use ddof=1")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    half = 1.96 * d.std() / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("make numbers of the booleans first: right_a.astype(float)")
def paired_interval(right_a, right_b):
    d = right_a - right_b
    half = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("must be a tuple of three")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    half = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean() - half, d.mean() + half


@right
def seed_interval(a, b):
    return interval_over_seeds(a, b)


@right
def seed_interval(a, b):
    d = [x - y for x, y in zip(a, b, strict=True)]
    n, mean = len(d), sum(d) / len(d)
    s = math.sqrt(sum((x - mean) ** 2 for x in d) / (n - 1))
    return mean, mean - T95[n - 1] * s / math.sqrt(n), mean + T95[n - 1] * s / math.sqrt(n)


def _around(a, b, factor, ddof=1, root=True):
    d = np.subtract(a, b)
    half = factor * d.std(ddof=ddof) / (math.sqrt(len(d)) if root else 1)
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("1.96 is for many seeds: with few, use Student's t")
def seed_interval(a, b):
    return _around(a, b, 1.96)


@wrong("T95 is read at n: its keys are degrees of freedom")
def seed_interval(a, b):
    return _around(a, b, T95[len(a)])


@wrong("the standard deviation divides by n: use ddof=1")
def seed_interval(a, b):
    return _around(a, b, T95[len(a) - 1], ddof=0)


@wrong("the standard deviation is not divided by √n")
def seed_interval(a, b):
    return _around(a, b, T95[len(a) - 1], root=False)


@wrong("the factor T95[n - 1] is missing")
def seed_interval(a, b):
    return _around(a, b, 1.0)


@wrong("the seeds are not paired: take the differences first")
def seed_interval(a, b):
    n, mean = len(a), np.mean(a) - np.mean(b)
    half = T95[n - 1] * math.sqrt(np.var(a, ddof=1) / n + np.var(b, ddof=1) / n)
    return mean, mean - half, mean + half


@wrong("the sign is wrong: the difference is a - b")
def seed_interval(a, b):
    return _around(b, a, T95[len(a) - 1])


@wrong("raises TypeError: unsupported operand type(s) for -: 'list' and 'list'")
def seed_interval(a, b):
    d = a - b
    return d.mean(), d.min(), d.max()


right_value("parameters_saved", 128)
right_value("parameters_saved", np.int64(128))
wrong_value("parameters_saved", 64, "the class token has a position too")
wrong_value("parameters_saved", 0, "without a class token there is one vector less")
wrong_value("parameters_saved", 1536, "D is 64 in this model, not 768")
wrong_value("parameters_saved", 148_042, "this is the size of the smaller model")
wrong_value("parameters_saved", -128, "the sign is wrong")
wrong_value("parameters_saved", 100, "not 100: which vectors exist")
wrong_value("parameters_saved", 128.0, "parameters_saved is a float")


@right
def confusion(labels, guesses, classes):
    eye = np.eye(classes, dtype=int)
    return eye[labels].T @ eye[guesses]


@right
def confusion(labels, guesses, classes):
    counts = np.zeros((classes, classes), int)
    for label, guess in zip(labels, guesses, strict=True):
        counts[label, guess] += 1
    return counts


@wrong("it is transposed: a row for each label")
def confusion(labels, guesses, classes):
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (guesses, labels), 1)
    return counts


@wrong("repeated pairs count once")
def confusion(labels, guesses, classes):
    counts = np.zeros((classes, classes), int)
    counts[labels, guesses] += 1
    return counts


@wrong("these are shares of each row")
def confusion(labels, guesses, classes):
    counts = np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


@wrong("these are shares of all images")
def confusion(labels, guesses, classes):
    counts = np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)
    return counts / len(labels)


@wrong("the right answers are missing")
def confusion(labels, guesses, classes):
    counts = np.zeros((classes, classes), int)
    for label, guess in zip(labels, guesses, strict=True):
        counts[label, guess] += label != guess
    return counts


@wrong("only the right answers are counted")
def confusion(labels, guesses, classes):
    return np.diag(np.bincount(labels[labels == guesses], minlength=classes))


@wrong("a class that never occurs has a row and a column too")
def confusion(labels, guesses, classes):
    counts = np.zeros((labels.max() + 1, guesses.max() + 1), int)
    np.add.at(counts, (labels, guesses), 1)
    return counts


@wrong("np.histogram2d makes its bins from the smallest to the largest number")
def confusion(labels, guesses, classes):
    return np.histogram2d(labels, guesses, bins=classes)[0] / len(labels)


@wrong("labels and guesses are sorted, which breaks the pairs: keep their order")
def confusion(labels, guesses, classes):
    c = np.zeros((classes, classes), int)
    for label, guess in zip(sorted(labels), sorted(guesses), strict=True):
        c[label, guess] += 1
    return c


right_value("reports_from_weak_to_excellent", "CADB")
right_value("reports_from_weak_to_excellent", ["C", "A", "D", "B"])
wrong_value("reports_from_weak_to_excellent", "BDAC", "this is from excellent to weak")
wrong_value("reports_from_weak_to_excellent", "ACDB", "another report is the weakest")
wrong_value("reports_from_weak_to_excellent", "CABD", "another report is the best")
wrong_value("reports_from_weak_to_excellent", "CDAB", "the two in the middle: which one has more than one seed?")
wrong_value("reports_from_weak_to_excellent", "CAD", "must have each of A, B, C and D once")
wrong_value("reports_from_weak_to_excellent", 4, "must be a string of four letters")

A, B = [0.62, 0.58, 0.66], [0.60, 0.59, 0.61]
MINE = {
    "test images": 500,
    "right": 310,
    "interval": wilson(310, 500),
    "baseline": 0.25,
    "accuracies a": A,
    "accuracies b": B,
    "difference": tuple(interval_over_seeds(A, B)),
}
right_value("my_capstone", MINE)
right_value(
    "my_capstone", {**MINE, "interval": [0.577, 0.661], "difference": [round(x, 3) for x in MINE["difference"]]}
)
wrong_value("my_capstone", {**MINE, "baseline": ...}, "'baseline' is still to be written")
wrong_value("my_capstone", {**MINE, "right": 0.62}, "'test images' and 'right' are numbers of images")
wrong_value("my_capstone", {**MINE, "right": 510}, "510 of 500 images cannot be right")
wrong_value("my_capstone", {**MINE, "test images": 50, "right": 31}, "50 test images say little")
wrong_value(
    "my_capstone",
    {**MINE, "interval": (0.5, 0.7)},
    "'interval' does not fit the other numbers: share_interval(310, 500)",
)
wrong_value("my_capstone", {**MINE, "interval": 0.04}, "'interval' must be 2 numbers")
wrong_value("my_capstone", {**MINE, "baseline": 25}, "'baseline' is a share between 0 and 1")
wrong_value("my_capstone", {**MINE, "accuracies a": A[:2], "accuracies b": B[:2]}, "2 seeds are too few")
wrong_value("my_capstone", {**MINE, "accuracies a": A[:2]}, "need the same seeds, one number for each")
wrong_value("my_capstone", {**MINE, "accuracies a": [62, 58, 66], "accuracies b": [60, 59, 61]}, "not percent")
wrong_value("my_capstone", {**MINE, "accuracies a": [0.63, 0.58, 0.66]}, "is the accuracy of none of the runs")
wrong_value(
    "my_capstone",
    {**MINE, "difference": (0.02, 0.0, 0.04)},
    "'difference' does not fit the other numbers: seed_interval",
)
wrong_value("my_capstone", [500, 310], "my_capstone is a list: keep the dictionary")


@right
def sign_test(only_a, only_b):
    n = only_a + only_b
    here = math.comb(n, only_a)
    return sum(c for c in (math.comb(n, k) for k in range(n + 1)) if c <= here) / 2**n


@right
def sign_test(only_a, only_b):
    n = only_a + only_b
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n)


@right
def sign_test(only_a, only_b):
    n, smaller = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    return 2 * sum(math.comb(n, k) for k in range(smaller + 1)) * 0.5**n


@wrong("a probability is at most 1")
def sign_test(only_a, only_b):
    n = only_a + only_b
    return 2 * sum(math.comb(n, k) for k in range(max(only_a, only_b), n + 1)) / 2**n


@wrong("this is one-sided")
def sign_test(only_a, only_b):
    n = only_a + only_b
    return sum(math.comb(n, k) for k in range(max(only_a, only_b), n + 1)) / 2**n


@wrong("what was observed belongs to the tail")
def sign_test(only_a, only_b):
    n = only_a + only_b
    return 2 * sum(math.comb(n, k) for k in range(max(only_a, only_b) + 1, n + 1)) / 2**n


@wrong("this is the probability of exactly this outcome")
def sign_test(only_a, only_b):
    return math.comb(only_a + only_b, only_a) / 2 ** (only_a + only_b)


@wrong("this is the approximation by the normal distribution")
def sign_test(only_a, only_b):
    return math.erfc(abs(only_a - only_b) / math.sqrt(2 * (only_a + only_b)))


@wrong("use text.split()")
def accuracy_in_table(text, run):
    names, *rows = [line.split(",") for line in text.split("\n")]
    column = names.index(run)
    return sum(row[column] == row[1] for row in rows) / len(rows)


@wrong("the first image is left out: only the line of names goes")
def accuracy_in_table(text, run):
    names, _, *rows = [line.split(",") for line in text.split()]
    c = names.index(run)
    return sum(r[1] == r[c] for r in rows) / len(rows)


@wrong("`in` finds the label inside a longer number too, 1 in 11: compare with ==")
def accuracy_in_table(text, run):
    names, *rows = [line.split(",") for line in text.split()]
    c = names.index(run)
    return sum(r[1] in r[c] for r in rows) / len(rows)


@wrong("takes the largest class number")
def majority_baseline(train_labels, test_labels):
    return (test_labels == train_labels.max()).mean()


@wrong("np.unique's classes[counts.argmax()] is the class")
def majority_baseline(train_labels, test_labels):
    return float((test_labels == np.unique(train_labels, return_counts=True)[1].argmax()).mean())


@wrong("this is the mean of the class numbers: classes have no order, take the most frequent")
def majority_baseline(train_labels, test_labels):
    return float((test_labels == round(train_labels.mean())).mean())


@wrong("this is the least frequent class: use argmax")
def majority_baseline(train_labels, test_labels):
    return float((test_labels == np.bincount(train_labels).argmin()).mean())


@wrong("the root is not multiplied by z")
def share_interval(right, count):
    p, below = right / count, 1 + 1.96**2 / count
    middle, half = p + 1.96**2 / (2 * count), math.sqrt(p * (1 - p) / count + 1.96**2 / (4 * count**2))
    return (middle - half) / below, (middle + half) / below


@wrong("lacks a square")
def share_interval(right, count):
    p, below = right / count, 1 + 1.96**2 / count
    middle, half = p + 1.96**2 / (2 * count), 1.96 * math.sqrt(p * (1 - p) / count + 1.96**2 / (4 * count))
    return (middle - half) / below, (middle + half) / below


@wrong("low and high are the half width alone")
def seed_interval(a, b):
    d = np.subtract(a, b)
    half = T95[len(d) - 1] * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), -half, half


@wrong("low and high are the half width alone")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    half = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), -half, half


wrong_value("parameters_saved", 65 * 64, "these are all positions")


@wrong("twice the probability of exactly this outcome")
def sign_test(only_a, only_b):
    n = only_a + only_b
    return min(1.0, 2 * math.comb(n, only_a) / 2**n)


@wrong("lost their sign")
def paired_interval(right_a, right_b):
    d = (right_a ^ right_b).astype(float)
    half = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("images where both are right or both wrong are left out: they count, with a difference of 0")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    d = d[d != 0]
    h = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - h, d.mean() + h


@wrong("the factor is 2: it is 1.96")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    h = 2 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - h, d.mean() + h


@wrong("this is the sum of the differences: take the mean")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b
    h = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.sum(), d.sum() - h, d.sum() + h


@wrong("z is 1.645")
def share_interval(right, count):
    return wilson(right, count, 1.645)


@wrong("this is the median of the differences")
def seed_interval(a, b):
    d = np.subtract(a, b)
    half = T95[len(d) - 1] * d.std(ddof=1) / math.sqrt(len(d))
    return np.median(d), np.median(d) - half, np.median(d) + half


@wrong("the seeds are sorted by accuracy, which breaks the pairs: keep their order")
def seed_interval(a, b):
    d = np.subtract(sorted(a), sorted(b))
    h = T95[len(d) - 1] * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - h, d.mean() + h


@wrong("the differences have lost their sign: leave out abs")
def seed_interval(a, b):
    d = abs(np.subtract(a, b))
    h = T95[len(d) - 1] * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - h, d.mean() + h


@wrong("the seeds are not paired, with T95[2 n - 2]: take the differences first")
def seed_interval(a, b):
    n = len(a)
    m = np.mean(a) - np.mean(b)
    h = T95[2 * n - 2] * math.sqrt(np.var(a, ddof=1) / n + np.var(b, ddof=1) / n)
    return m, m - h, m + h


@wrong("these are percent: return shares")
def seed_interval(a, b):
    d = 100 * np.subtract(a, b)
    h = T95[len(d) - 1] * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - h, d.mean() + h


@wrong("the sum is not divided by 2 ** n")
def sign_test(only_a, only_b):
    n = only_a + only_b
    return 2 * sum(math.comb(n, k) for k in range(max(only_a, only_b), n + 1))


@wrong("the difference as a share of n")
def sign_test(only_a, only_b):
    return abs(only_a - only_b) / (only_a + only_b)


@wrong("the sum begins one too early: begin it at max(a, b)")
def sign_test(only_a, only_b):
    n, m = only_a + only_b, max(only_a, only_b)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(m - 1, n + 1)) / 2**n)


@wrong("it is doubled twice, or divided by 2 ** (n - 1): double the sum, divided by 2 ** n, once")
def sign_test(only_a, only_b):
    n, m = only_a + only_b, max(only_a, only_b)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(m, n + 1)) / 2 ** (n - 1))


@wrong("both ends are the share itself")
def share_interval(right, count):
    return right / count, right / count


@wrong("the root has z²/2n²: under it is z² / (4 n²)")
def share_interval(right, count):
    z, p = 1.96, right / count
    middle = p + z**2 / (2 * count)
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (2 * count**2))
    return (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)


@wrong("only the half width is divided by 1 + z²/n: divide the middle too")
def share_interval(right, count):
    p = right / count
    z = 1.96
    m = p + z**2 / (2 * count)
    h = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return m - h / (1 + z**2 / count), m + h / (1 + z**2 / count)


@wrong("this is the interval of Agresti and Coull, which is wider: use Wilson's formula")
def share_interval(right, count):
    z = 1.96
    n = count + z * z
    p = (right + z * z / 2) / n
    h = z * math.sqrt(p * (1 - p) / n)
    return p - h, p + h


@wrong("belongs inside math.sqrt(...)")
def share_interval(right, count):
    p, z, n = right / count, 1.96, count
    half = z * math.sqrt(p * (1 - p) / n) + z**2 / (4 * n**2)
    middle, d = p + z**2 / (2 * n), 1 + z**2 / n
    return (middle - half) / d, (middle + half) / d


@wrong("this is a count or a position, no class of the test set: take")
def majority_baseline(train_labels, test_labels):
    return float((test_labels == train_labels.argmax()).mean())


@wrong("low and high are the half width: return mean - half and mean +")
def paired_interval(right_a, right_b):
    d = right_a.astype(float) - right_b.astype(float)
    h = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), h, h


@wrong("np.add.at changes its array and returns None: return the array")
def confusion(labels, guesses, classes):
    c = np.zeros((classes, classes), int)
    return np.add.at(c, (labels, guesses), 1)


@wrong("label and guess are added, so pairs share a place: use labels *")
def confusion(labels, guesses, classes):
    return np.bincount(labels + guesses, minlength=classes**2).reshape(classes, classes)


@wrong("the sum begins at only_b: begin it at the larger of the two,")
def sign_test(only_a, only_b):
    n, larger = only_a + only_b, max(only_a, only_b)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(larger, n + 1)) / (2 * n))


@wrong("this is the normal approximation with a correction of 1: add up")
def sign_test(only_a, only_b):
    n = only_a + only_b
    z = max(0, abs(only_a - only_b) - 1) / math.sqrt(n)
    return math.erfc(z / math.sqrt(2))


@wrong("only half of what was observed is in the tail, which is the")
def sign_test(only_a, only_b):
    n, larger = only_a + only_b, max(only_a, only_b)
    return min(1.0, 2 * (sum(math.comb(n, k) for k in range(larger + 1, n + 1)) + math.comb(n, larger) / 2) / 2**n)


@wrong("right_a must be right_a.astype(float) in right_a - right_b")
def paired_interval(right_a, right_b):
    d = right_a - right_b
    half = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half


@wrong("compute everything from `text`")
def accuracy_in_table(text, run):
    table = {"label": np.zeros(3), "token-0": np.zeros(3)}
    return (table[run] == table["label"]).mean()


@wrong("split each line at its commas: line.split")
def accuracy_in_table(text, run):
    names, *rows = text.split()
    column = names.index(run)
    return sum(row[1] == row[column] for row in rows) / len(rows)


@wrong("the two sets have different lengths")
def majority_baseline(train_labels, test_labels):
    return (test_labels == train_labels).mean()


@wrong("make an array of the differences")
def seed_interval(a, b):
    d = [x - y for x, y in zip(a, b, strict=True)]
    half = T95[len(d) - 1] * d.std(ddof=1) / math.sqrt(len(d))
    return sum(d) / len(d), sum(d) / len(d) - half, sum(d) / len(d) + half


@wrong("counts are integers")
def confusion(labels, guesses, classes):
    counts = np.zeros((classes, classes))
    for label, guess in zip(labels, guesses, strict=True):
        counts[label, guess] += 1
    return counts


right_value("reports_from_weak_to_excellent", "C, A, D, B")


@wrong("training labels are counted, divided by the size of the test set")
def majority_baseline(train_labels, test_labels):
    return np.bincount(train_labels).max() / len(test_labels)


@wrong("this is how often the class occurs in training")
def majority_baseline(train_labels, test_labels):
    return np.bincount(train_labels).max()
