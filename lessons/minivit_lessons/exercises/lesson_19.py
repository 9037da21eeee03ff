"""Checks of lesson 19: CIFAR-10's records, the error of an accuracy, accuracy by class, confusions."""

from __future__ import annotations

from typing import Any

import numpy as np

from minivit.backend.indexing import count_each

from ..compare import same
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, Unexplained, explained
from . import exercise

RECORD = 3073
TURNED = "rows are guesses here: the label is the row, the guess the column"


@exercise(19)
def read_records(attempt: Attempt) -> None:
    """Check bytes that are all different in their place, for one record and for several."""
    for B in (3, 1):
        rng = np.random.default_rng(B)
        records = rng.integers(0, 256, (B, RECORD)).astype(np.uint8)
        records[:, 0] = [7, 3, 9][:B]
        content = records.ravel()
        with explained({"cannot reshape": "a record has 3,073 bytes: the label and 3 x 1,024 bytes of colour"}):
            got = attempt(content)
        if isinstance(got, np.ndarray) or not (isinstance(got, tuple | list) and len(got) == 2):
            raise Complaint("read_records must return two arrays: return images, labels")
        images, labels = got
        if np.ndim(images) == 1 and np.ndim(labels) == 4:
            raise Complaint("read_records returns the labels first: return images, labels")
        if isinstance(images, list) or isinstance(labels, list):
            raise Complaint("read_records returns lists: return arrays, np.stack(images), np.array(labels, np.int64)")
        pixels = records[:, 1:]
        planes = pixels.reshape(B, 3, 32, 32)
        right = planes.transpose(0, 2, 3, 1)
        shifted = records[:, :-1].reshape(B, 3, 32, 32)
        same(
            images,
            right,
            f"the images of read_records, {B} records",
            mistakes={
                "only the first record is read: reshape content to (-1, 3073)": right[:1],
                "the bytes are reshaped to (3073, -1), so a record is a column of others: use (-1, 3073)": (
                    content.reshape(3073, -1)[1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                ),
                "three neighbours of one colour became a pixel: reshape to (B, 3, 32, 32), then transpose": (
                    pixels.reshape(B, 32, 32, 3)
                ),
                "the colours come first: move their axis to the end with transpose(0, 2, 3, 1)": planes,
                "rows and columns are swapped: transpose(0, 2, 3, 1) keeps their order": planes.transpose(0, 3, 2, 1),
                "blue and red are exchanged: the file has red, green, blue": right[..., ::-1],
                "the colours are split off after the rows: a record has 3 planes of 32 rows, (B, 3, 32, 32)": (
                    pixels.reshape(B, 32, 3, 32).transpose(0, 1, 3, 2)
                ),
                "the colours are split off last: a record has 3 planes of 32 rows, (B, 3, 32, 32)": (
                    pixels.reshape(B, 32, 32, 3).transpose(0, 2, 1, 3)
                ),
                "each record is read with 3,072 bytes: it has 3,073, and the first is the label": (
                    content[: B * 3072].reshape(B, 3, 32, 32).transpose(0, 2, 3, 1)
                ),
                "the label is read as the first pixel: the colours begin at byte 1": shifted.transpose(0, 2, 3, 1),
                "the label is taken from the end of a record: it is byte 0": shifted.transpose(0, 2, 3, 1)[..., ::-1],
                "the images are flattened: reshape to (B, 32, 32, 3) in the end": right.reshape(B, -1),
                "the pixels are scaled to [0, 1]: keep the bytes": (right / 255).astype(np.float32),
                "the pixels are scaled to [-1, 1]: keep the bytes": minus_one_to_one(right),
                "the planes are swapped with the rows: use one transpose(0, 2, 3, 1)": planes.swapaxes(1, 3),
            },
        )
        expected = records[:, 0].astype(np.int64)
        same(
            labels,
            expected,
            f"the labels of read_records, {B} records",
            mistakes={
                "the label is the first byte of a record, not the last": records[:, -1],
                "the label is byte 0, not byte 1": records[:, 1],
                "these are the first bytes of the file: every record has its label in column 0": content[:B],
                "they have an axis too many: take column 0 with records[:, 0]": records[:, :1],
                "the labels count from 1 here: keep them from 0": expected + 1,
            },
            check_dtype=False,
        )
        if getattr(labels, "dtype", None) != np.int64:
            raise Complaint(
                f"the labels of read_records are {getattr(labels, 'dtype', type(labels).__name__)}: end with "
                ".astype(np.int64)"
            )


def minus_one_to_one(pixels: np.ndarray) -> np.ndarray:
    """Return bytes from 0 to 255 as floats from -1 to 1."""
    return (pixels / 127.5 - 1).astype(np.float32)


@exercise(19)
def accuracy_error(attempt: Attempt) -> None:
    """Check numbers, then arrays."""
    for accuracy, count in ((0.62, 1_000), (0.5, 100), (0.9, 50), (1.0, 10)):
        p, n = accuracy, count
        variance = p * (1 - p)
        known: dict[str, Any] = {
            "the square root is missing": variance / n,
            "this is an interval: return the standard error alone": p + np.sqrt(variance / n) * np.array([-1, 1]),
            "parentheses are missing around 1 - p": np.sqrt(abs(p * 1 - p / n)),
            "1 right and 1 wrong image are added: use the measured accuracy": np.sqrt(
                (p * n + 1) / (n + 2) * (1 - (p * n + 1) / (n + 2)) / n
            ),
            "the root is taken twice": (variance / n) ** 0.25,
            "n is outside of the root: divide p (1 - p) by n first": np.sqrt(variance) / n,
            "the division by n is missing": np.sqrt(variance),
            "it is divided by n - 1: divide by n": np.sqrt(variance / (n - 1)),
            "1 - p is missing": np.sqrt(p / n),
            "p is missing": np.sqrt((1 - p) / n),
            "p is squared: use p (1 - p)": np.sqrt(p * p / n),
            "1 - p is squared: use p (1 - p)": np.sqrt((1 - p) ** 2 / n),
            "this is 0.5 / √n, the largest that it can be: use p (1 - p)": 0.5 / np.sqrt(n),
            "p * 1 - p is 0: put parentheses around 1 - p": 0.0,
            "this is 1 / √n, which does not depend on p": 1 / np.sqrt(n),
            "only p is under the root with n: put brackets around p * (1 - p)": p * np.sqrt((1 - p) / n),
            "only 1 - p is divided by n under the root: check the brackets": np.sqrt(p) * (1 - p) / n,
            "these are percentage points: leave it between 0 and 1": 100 * np.sqrt(variance / n),
            "it is twice the standard error": 2 * np.sqrt(variance / n),
            "this is 1.96 standard errors: return one": 1.96 * np.sqrt(variance / n),
            "the count is multiplied: divide by it": np.sqrt(variance * n),
            "p + 1 instead of 1 - p": np.sqrt(p * (1 + p) / n),
        }
        right = np.sqrt(variance / n)
        with explained({" raises ZeroDivisionError": "the count is not 0, so what do you divide by?"}):
            got = attempt(accuracy, count)
        same(
            got,
            right,
            f"accuracy_error({accuracy}, {count})",
            mistakes={s: w for s, w in known.items() if not np.isclose(w, right).all()},
            check_dtype=False,
        )
    accuracies, counts = np.array([0.2, 0.7]), np.array([10, 40])
    with explained({"only length-1 arrays": "use np.sqrt", "only 0-dimensional": "use np.sqrt"}):
        got = attempt(accuracies, counts)
    same(got, np.sqrt(accuracies * (1 - accuracies) / counts), "accuracy_error of two arrays", check_dtype=False)


def _answers(rng: np.random.Generator, B: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    """Return guesses and labels of K classes that are unevenly frequent."""
    labels = rng.choice(K, B, p=np.arange(1, K + 1) / (K * (K + 1) / 2))
    guesses = np.where(rng.random(B) < 0.5, labels, rng.choice(K, B))
    return guesses, labels


@exercise(19)
def class_accuracies(attempt: Attempt) -> None:
    """Check classes that are unevenly frequent, one of them absent."""
    for B, K in ((60, 4), (90, 5)):
        guesses, labels = _answers(np.random.default_rng(B), B, K - 1)
        guesses[:3] = K - 1  # the last class has no images, but is guessed
        right = np.full(K, np.nan)
        precision, of_all, zero = np.zeros(K), np.zeros(K), np.zeros(K)
        hits = np.zeros(K, int)
        for k in range(K):
            hits[k] = sum(g == k and t == k for g, t in zip(guesses, labels, strict=True))
            if (labels == k).any():
                right[k] = zero[k] = hits[k] / (labels == k).sum()
            precision[k] = hits[k] / max(1, (guesses == k).sum())
            of_all[k] = hits[k] / B
        got = attempt(guesses, labels, K)
        if isinstance(got, list | tuple):
            raise Complaint(f"class_accuracies returns a {type(got).__name__}: return an array, np.array(...)")
        array = np.asarray(got, dtype=float) if np.ndim(got) == 1 else np.asarray(got)
        what = f"class_accuracies(guesses, labels, {K})"
        if array.shape == (K - 1,) and np.allclose(array, right[:-1]):
            raise Complaint(f"{what} has no entry for the class without images: return K numbers, nan there")
        overall = float((guesses == labels).mean())
        one_against_rest = np.array([((guesses == k) == (labels == k)).mean() for k in range(K)])
        union = hits / np.array([max(1, ((guesses == k) | (labels == k)).sum()) for k in range(K)])
        known: dict[str, Any] = {
            "the class without images is 0: it must be nan": zero,
            "the classes are counted from 1: entry k belongs to class k": np.append(
                np.nan_to_num(right[1:], nan=-1.0), -1.0
            ),
            "this selects by the guess, which is precision: select by the label": precision,
            "this is divided by the number of all images: divide by those of the class": of_all,
            "these are counts: divide by the number of images of the class": hits.astype(float),
            "this counts how often k is guessed: count only images whose label is k": (
                np.array([(guesses == k).sum() / max(1, (labels == k).sum()) for k in range(K)])
            ),
            "this is the accuracy of all images together": np.float64(overall),
            "every class has the accuracy of all images: select the images of class k": np.full(K, overall),
            "these are the shares of wrong answers": 1 - zero,
            "this is the number of images of each class": count_each(labels, K).astype(float),
            "divide by the number of images of the class, not by B / K": hits / (B / K),
            "these are percent: return numbers from 0 to 1": 100 * zero,
            "this is divided by all right answers: divide by the number of images of the class": hits / hits.sum(),
            "images of other classes count as right if their guess is not k: select those of label k": one_against_rest,
            "label or guess is k: of the images whose label is k, count the right ones": union,
        }
        filled = np.where(np.isnan(array), -1.0, array) if array.dtype.kind == "f" else array
        wanted = np.where(np.isnan(right), -1.0, right)
        mistakes = {}
        for sentence, wrong in known.items():
            at_nan = np.array(wrong, dtype=float)
            if at_nan.shape == (K,) and array.shape == (K,) and np.isnan(array[-1]):
                at_nan[-1] = -1.0  # the absent class is right already
            if at_nan.shape != wanted.shape or not np.allclose(at_nan, wanted):
                mistakes[sentence] = at_nan
        same(filled, wanted, what, mistakes=mistakes, check_dtype=False)


@exercise(19)
def confusion_matrix(attempt: Attempt) -> None:
    """Check counts of pairs, many of which occur more than once."""
    for B, K in ((40, 3), (90, 5)):
        guesses, labels = _answers(np.random.default_rng(B), B, K)
        _same_confusion(attempt(guesses, labels, K), guesses, labels, K, f"confusion_matrix(guesses, labels, {K})")
    few = np.array([0, 1, 1])
    with explained({"out of bounds": "the matrix needs K rows and columns, whatever classes occur"}):
        got = attempt(few[::-1].copy(), few, 4)
    if np.shape(got) != (4, 4):
        raise Complaint(f"confusion_matrix(guesses, labels, 4) of two classes is {np.shape(got)}: make it (K, K)")


def _same_confusion(got: Any, guesses: np.ndarray, labels: np.ndarray, K: int, what: str) -> None:
    right = np.zeros((K, K), int)
    for guess, label in zip(guesses, labels, strict=True):
        right[label, guess] += 1
    once = (right > 0).astype(int)
    rows = right / right.sum(axis=1, keepdims=True)
    known: dict[str, Any] = {
        TURNED: right.T,
        "each pair is counted once, however often it occurs: += 1 for each image in a loop (with arrays as indices it "
        "adds once)": once,
        "each pair is counted once, and rows are guesses": once.T,
        "rows are divided by their sums: return counts": rows,
        "columns are divided by their sums: return counts": right / np.maximum(right.sum(axis=0, keepdims=True), 1),
        "everything is divided by the number of images: return counts": right / len(labels),
        "only right answers are counted: add 1 for wrong ones too": np.diag(right.diagonal()),
        "only wrong answers are counted: the diagonal has the right ones": right - np.diag(right.diagonal()),
        "nothing is counted": np.zeros((K, K), int),
        "the last image is left out": right - _one(labels[-1], guesses[-1], K),
        "the first image is left out": right - _one(labels[0], guesses[0], K),
        "every pair is counted twice": 2 * right,
        "each number begins at 1: begin with np.zeros": right + 1,
        "every label is paired with every guess: go through both at once, with zip": np.outer(
            right.sum(axis=1), right.sum(axis=0)
        ),
        "both directions are counted, so it is symmetric: add 1 at [label, guess] alone": right + right.T,
        "the classes are counted from 1: they are 0 to K - 1": np.roll(right, (-1, -1), (0, 1)),
        "class 0 is left out: the classes are 0 to K - 1": np.pad(right[1:, 1:], ((0, 1), (0, 1))),
        "the number of the guess is added: add 1": right * np.arange(K),
        "the number of the label is added: add 1": right * np.arange(K)[:, None],
        "a whole row counts each label: add 1 at [label, guess]": np.repeat(right.sum(axis=1), K).reshape(K, K),
        "a whole column counts each guess: add 1 at [label, guess]": np.tile(right.sum(axis=0), (K, 1)),
        f"only the first {K} images are counted: go through all of them": _first(labels[:K], guesses[:K], K),
        "the factors are in the wrong order, (B, K) @ (K, B): the left one must be (K, B)": (
            (labels[:, None] == guesses).astype(int)
        ),
        "the two comparisons are multiplied element by element: use @, with (B, K) on the right": (
            (np.arange(K)[:, None] == labels) * (np.arange(K)[:, None] == guesses) * 1
        ),
        "labels are paired with labels: pair them with the guesses": np.diag(right.sum(axis=1)),
        "guesses are paired with guesses: pair the labels with them": np.diag(right.sum(axis=0)),
    }
    array = np.asarray(got)
    if array.shape == (K, K) and array.dtype.kind == "b":
        raise Complaint(f"{what} holds True and False: a product of booleans does not count, multiply them by 1 first")
    same(array, right, what, mistakes=known, check_dtype=False)
    if array.dtype.kind not in "iu":
        raise Complaint(f"{what} is right, but as {array.dtype}: counts are integers")


def _one(label: int, guess: int, K: int) -> np.ndarray:
    matrix = np.zeros((K, K), int)
    matrix[label, guess] = 1
    return matrix


def _first(labels: np.ndarray, guesses: np.ndarray, K: int) -> np.ndarray:
    return np.sum([_one(label, guess, K) for label, guess in zip(labels, guesses, strict=True)], axis=0)


def _of_each_row(matrix: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, str, int]]:
    """Return the most frequent mistake of each row of a confusion matrix."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
    return [(names[i], names[row.argmax()], int(row.max())) for i, row in enumerate(wrong)]


@exercise(19)
def most_confused(attempt: Attempt) -> None:
    """Check a matrix whose numbers are all different and whose diagonal is large."""
    names = ("cat", "dog", "ship", "frog")
    matrix = np.array([[160, 31, 4, 12], [27, 70, 2, 9], [5, 1, 20, 3], [14, 8, 6, 77]])
    off = [(int(matrix[i, j]), i, j) for i in range(4) for j in range(4) if i != j]
    down = sorted(off, reverse=True)
    everything = sorted(((int(n), i, j) for (i, j), n in np.ndenumerate(matrix)), reverse=True)
    pairs = [(int(matrix[i, j] + matrix[j, i]), i, j) for i in range(4) for j in range(i + 1, 4)]
    for count in (3, 1, 5):
        reasons = {
            "'NoneType'": "np.fill_diagonal changes its array and returns None: call it on a separate line",
            "only integer scalar arrays": "sort all places as one row: np.argsort(-mistakes, axis=None)",
            "tuple index out of range": "this matrix has 4 classes: use len(names) to find row and column",
        }
        with explained(reasons):
            got = attempt(matrix.copy(), names, count)
        what = f"most_confused(matrix, names, {count})"
        triples = _triples(got, names, what)
        right = [(names[i], names[j], n) for n, i, j in down[:count]]
        shares = sorted(((n / matrix[i].sum(), i, j) for n, i, j in off), reverse=True)
        known = {
            "the right answers are listed: set the diagonal of a copy to 0": [
                (names[i], names[j], n) for n, i, j in everything[:count]
            ],
            "these are the least frequent mistakes: sort downwards": [
                (names[i], names[j], n) for n, i, j in down[::-1][:count]
            ],
            "the least frequent of them comes first: turn the order round": right[::-1] if count > 1 else None,
            "label and guess are exchanged: rows of the matrix are labels": [
                (names[j], names[i], n) for n, i, j in down[:count]
            ],
            "these are not the largest: np.argsort(...)[:count] of zeros on the diagonal comes first": [
                (names[k], names[k], 0) for k in range(4)
            ][:count],
            "the two directions are added: cat taken for dog and dog taken for cat are two mistakes": [
                (names[i], names[j], n) for n, i, j in sorted(pairs, reverse=True)[:count]
            ],
            "only mistakes above the diagonal are listed: those below it count too": [
                (names[i], names[j], n) for n, i, j in down if i < j
            ][:count],
            "only mistakes below the diagonal are listed: those above it count too": [
                (names[i], names[j], n) for n, i, j in down if i > j
            ][:count],
            "they are in the order of the matrix: sort by the number of images": [
                (names[i], names[j], n) for n, i, j in off[:count]
            ],
            "these are the most frequent mistakes of the first rows: sort the mistakes of all rows together": (
                _of_each_row(matrix, names)[:count]
            ),
            "these are the most frequent mistakes of each row: sort the mistakes of all rows together": (
                sorted(_of_each_row(matrix, names), key=lambda triple: -triple[2])[:count]
            ),
            "they are sorted by their share of the row: sort by the number of images": [
                (names[i], names[j], int(matrix[i, j])) for _, i, j in shares[:count]
            ],
        }
        if triples == right:
            continue
        for sentence, wrong in known.items():
            if triples == wrong:
                raise Complaint(f"{what}: {sentence}")
        if triples and all(a == b and not number for a, b, number in triples):
            raise Complaint(f"{what}: these are zeros of the diagonal: sort downwards, by -mistakes")
        index = {name: i for i, name in enumerate(names)}
        both = [matrix[index[a], index[b]] + matrix[index[b], index[a]] for a, b, _ in triples if a != b]
        if both and [t[2] for t in triples] == both:
            raise Complaint(
                f"{what}: the two directions are added: cat taken for dog and dog taken for cat are two mistakes"
            )
        if len(triples) != count:
            raise Complaint(f"{what} returns {len(triples)} mistakes instead of {count}")
        if triples and all(0 < t[2] < 1 for t in triples):
            raise Complaint(f"{what}: these are shares of the row: return numbers of images")
        if [t[:2] for t in triples] == [t[:2] for t in right]:
            raise Complaint(f"{what}: the pairs are right, but the number of images is {triples[0][2]} for the first, "
                            f"and should be {right[0][2]}")  # fmt: skip
        place = next(i for i, (a, b) in enumerate(zip(triples, right, strict=True)) if a != b)
        said = f"{what} has {triples[place]} as number {place + 1}: it should be {right[place]}"
        raise Unexplained(said, what)


def _triples(got: Any, names: tuple[str, ...], what: str) -> list[tuple[str, str, float]]:
    """Return the triples, and complain if they are not triples of two names and a number."""
    if not isinstance(got, list | tuple):
        raise Complaint(f"{what} returns a {type(got).__name__}: return a list of triples")
    found: list[tuple[str, str, float]] = []
    items: list[Any] = list(got)
    for item in items:
        if not (isinstance(item, tuple | list) and len(item) == 3):
            raise Complaint(f"{what} must return triples (name of the label, name of the guess, number of images)")
        label, guess, count = item
        if any(isinstance(x, int | np.integer) for x in (label, guess)) and isinstance(count, str):
            raise Complaint(f"{what}: the number of images comes last in a triple")
        if any(isinstance(x, int | np.integer) for x in (label, guess)):
            raise Complaint(f"{what} returns numbers of classes: look up their names, names[label]")
        if label not in names or guess not in names or np.ndim(count) or isinstance(count, str):
            raise Complaint(f"{what} must return triples (name of the label, name of the guess, number of images)")
        found.append((str(label), str(guess), float(count)))
    return found


@exercise(19, stretch=True)
def confusion_product(attempt: Attempt) -> None:
    """Check the numbers first, then that the line uses a product and comparisons alone."""
    for B, K in ((40, 3), (90, 5)):
        guesses, labels = _answers(np.random.default_rng(B), B, K)
        what = f"confusion_product(guesses, labels, {K})"
        fit = "the left factor must be (K, B), the right one (B, K)"
        with explained({"matmul: Input operand": fit, "could not be broadcast": f"compare a column with a row; {fit}"}):
            got = attempt(guesses, labels, K)
        _same_confusion(got, guesses, labels, K, what)
    uses_only(attempt, "@", "==", "*", "-", "reshape", "transpose", "arange")
