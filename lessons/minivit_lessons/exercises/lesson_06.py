"""Checks of lesson 06: class token and positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..trial import Attempt, Complaint
from . import exercise, question


@question(6)
def notices_order(value: Any) -> None:
    """Check for the letters c, e and f, which depend on a position; a, b and d treat all tokens alike."""
    try:
        letters = {str(letter).strip().lower() for letter in value}
    except TypeError:
        raise Complaint('notices_order must be letters, such as {"a", "b"}') from None
    if not letters or not letters <= set("abcdef"):
        raise Complaint(f'notices_order must be letters from a to f, such as {{"a", "b"}}, not {value!r}')
    wrong = {
        "a": "a does not change: a mean adds up all tokens, in any order",
        "b": "b does not change: the largest number is the same in any order",
        "d": "d does not change: gather's rows are shuffled like the tokens, and their sum is the same",
    }
    missing = {
        "c": "c changes too: z[0] is the first token, which is another one after the shuffle",
        "e": "e changes too: its factors 0, 1, 2, ... belong to positions, not to tokens",
        "f": "f changes too: gather's rows are shuffled like the tokens, so another result comes first",
    }
    for letter, sentence in wrong.items():
        if letter in letters:
            raise Complaint(f"notices_order: {sentence}")
    for letter, sentence in missing.items():
        if letter not in letters:
            raise Complaint(f"notices_order: {sentence}")


@exercise(6)
def add_class_token(attempt: Attempt) -> None:
    """Check a class token in front of three images' patches, number by number, and the gradients."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(0)
    B, N, D = 3, 4, 2
    z, cls = rng.standard_normal((B, N, D)), rng.standard_normal((1, 1, D))
    right = np.array([[cls[0, 0].tolist(), *image.tolist()] for image in z])
    got = attempt(tensor(z), tensor(cls))
    complain_of_array(got, "add_class_token", "use concatenate and broadcast_to, so that gradients flow")
    same(
        got,
        right,
        "add_class_token(z, cls)",
        mistakes={
            "the class token is last: put it in front of the patches": np.array(
                [[*image.tolist(), cls[0, 0].tolist()] for image in z]
            ),
            "the class token was added to every patch: concatenate it as one more token": z + cls,
            "the class token replaced the first patch: return N + 1 tokens": right[:, [0, 2, 3, 4]],
            "each image's first patch is repeated: put cls there": np.concatenate([z[:, :1], z], axis=1),
            "the first token is zeros: use cls": np.concatenate([np.zeros((B, 1, D)), z], axis=1),
            "only the first image is returned": right[:1],
        },
    )
    same_gradients(attempt, [z, cls], ["z", "cls"], "add_class_token(z, cls)")


@exercise(6)
def sincos2d(attempt: Attempt) -> None:
    """Check every number of two tables, of grids that are not square, by the formula."""
    _sincos(attempt, 2, 3, 8)
    _sincos(attempt, 3, 2, 16)


def _sincos(attempt: Attempt, rows: int, columns: int, D: int) -> None:
    quarter = D // 4
    speeds = [10000.0 ** (-k / (quarter - 1)) for k in range(quarter)]
    by_rows = [(x, y) for y in range(rows) for x in range(columns)]
    groups = ((math.sin, 0), (math.cos, 0), (math.sin, 1), (math.cos, 1))

    def table(speeds: list[float], places: list[tuple[int, int]] = by_rows, order: Any = groups) -> np.ndarray:
        return np.array([[f(place[axis] * w) for f, axis in order for w in speeds] for place in places], np.float32)

    pairs = [[f(place[axis] * w) for axis in (0, 1) for w in speeds for f in (math.sin, math.cos)] for place in by_rows]
    same(
        attempt(rows, columns, D),
        table(speeds),
        f"sincos2d({rows}, {columns}, {D})",
        mistakes={
            "the rows y come first: the columns x belong in the first half": table(
                speeds, order=groups[2:] + groups[:2]
            ),
            "the patches are in column order: go through the grid row by row": table(
                speeds, [(x, y) for x in range(columns) for y in range(rows)]
            ),
            "sines and cosines are swapped: the sine comes first": table(
                speeds, order=(groups[1], groups[0], groups[3], groups[2])
            ),
            "sines and cosines alternate: all sines of x come first, then all its cosines": np.array(pairs, np.float32),
            "the exponent divides by D/4: divide by D/4 - 1, so that the last speed is 1/10000": table(
                [10000.0 ** (-k / quarter) for k in range(quarter)]
            ),
            "the speeds grow: the minus sign in the exponent is missing": table([1.0 / w for w in speeds]),
            "the exponent divides by D or D/2: there are D/4 speeds, and the last is 1/10000": table(
                [10000.0 ** (-2 * k / D) for k in range(quarter)]
            ),
            "both sines come first, then both cosines: the sines and cosines of x come before those of y": table(
                speeds, order=(groups[0], groups[2], groups[1], groups[3])
            ),
            "positions count from 1: the first column and the first row are 0": table(
                speeds, [(x + 1, y + 1) for x, y in by_rows]
            ),
        },
        tolerance=1e-5,
    )


@exercise(6)
def learned_2d(attempt: Attempt) -> None:
    """Check a grid that is not square, position by position, and the gradients of both tables."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(1)
    h, w, half = 2, 3, 2
    X, Y = rng.standard_normal((w, half)), rng.standard_normal((h, half))
    places = [(row, column) for row in range(h) for column in range(w)]
    right = np.array([[[*X[column], *Y[row]] for row, column in places]])
    got = attempt(tensor(X), tensor(Y))
    complain_of_array(got, "learned_2d", "use reshape, broadcast_to and concatenate, so that gradients flow")
    by_columns = [(row, column) for column in range(w) for row in range(h)]
    same(
        got,
        right,
        "learned_2d(X, Y)",
        mistakes={
            "Y's half comes first: it must be X's half": np.array([[[*Y[row], *X[column]] for row, column in places]]),
            "the positions are in column order: go through the grid row by row": np.array(
                [[[*X[column], *Y[row]] for row, column in by_columns]]
            ),
            "X and Y were added: concatenate them": np.array([[X[column] + Y[row] for row, column in places]]),
            "the tables are below one another: every position takes one row of each": np.concatenate([X, Y])[None],
            "X and Y were concatenated along the columns of the grid: concatenate along the last axis": np.array(
                [[*X.tolist(), *[Y[row].tolist()] * w] for row in range(h)]
            ).reshape(1, h * w, 2 * half),
            "X's rows are in the wrong order: repeat X in every row of the grid": np.array(
                [[[*X[i // h], *Y[i // w]] for i in range(h * w)]]
            ),
            "the first axis of length 1 is missing: the result is added to (B, N, D)": right[0],
            "the grid is two axes: join h and w to N": right.reshape(h, w, 2 * half),
        },
    )
    same_gradients(attempt, [X, Y], ["X", "Y"], "learned_2d(X, Y)")
