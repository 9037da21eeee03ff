"""Checks of lesson 06: class token and positions, and the matrix that moves them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..trial import Attempt, Complaint, explained
from . import exercise, question

# What raises where Tensors of shape (1, 1, D) and (B, N, D) are joined.
JOIN = {
    "concatenation axis must match exactly, but along dimension 0": (
        "cls is one token for all images: repeat it for each, broadcast_to(cls, (B, 1, D))"
    ),
    "concatenation axis must match exactly, but along dimension 1": (
        "the tokens are axis 1: concatenate([...], axis=1)"
    ),
    "setting an array element with a sequence": "NumPy's functions take no Tensor: use broadcast_to",
    "tuple indices must be": "concatenate takes one list of Tensors: concatenate([a, b], axis=1)",
    "does not support item assignment": "join with concatenate([class tokens, z], axis=1)",
    "zero-dimensional arrays cannot be concatenated": "np.concatenate takes no Tensors: use lesson 02's concatenate",
    "must have same number of dimensions": "give both three axes: broadcast_to(cls, (B, 1, D)) and z",
    "all the input arrays must have same": "give both three axes: broadcast_to(cls, (B, 1, D)) and z",
    "has no attribute 'dtype'": "concatenate takes a list of Tensors and an axis: concatenate([a, b], axis=1)",
    "positional argument": "concatenate takes one list of Tensors: concatenate([a, b], axis=1)",
    "multiple values for argument": "concatenate takes one list of Tensors: concatenate([a, b], axis=1)",
    "input operand has more dimensions": "broadcast_to keeps the token's axes: the shape is (B, 1, D)",
    "cannot reshape": "a reshape cannot repeat: broadcast_to(cls, (B, 1, D))",
}


@question(6)
def notices_order(value: Any) -> None:
    """Check for the letters c, e and f, which depend on a position; a, b and d treat all tokens alike."""
    try:
        letters = {str(letter).strip().lower() for letter in value} - {"", ","}
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
    with explained(JOIN):
        got = attempt(tensor(z), tensor(cls))
    if isinstance(got, list | tuple):
        raise Complaint("add_class_token returns a list: join all images at once, along axis 1")
    complain_of_array(got, "add_class_token", "use concatenate and broadcast_to, so that gradients flow")
    if np.shape(got.data) in ((B + 1, N, D), (2 * B, N, D)):
        raise Complaint("add_class_token(z, cls): cls is joined along axis 0, as another image: join along axis 1")
    same(
        got,
        right,
        "add_class_token(z, cls)",
        mistakes={
            "the class token is last: put it in front of the patches": np.array(
                [[*image.tolist(), cls[0, 0].tolist()] for image in z]
            ),
            "the first token is the class token plus the mean of the patches: it is cls alone": np.array(
                [[(image.mean(axis=0) + cls[0, 0]).tolist(), *image.tolist()] for image in z]
            ),
            "the class token was added to every patch: concatenate it as one more token": z + cls,
            "the class token replaced the first patch: return N + 1 tokens": right[:, [0, 2, 3, 4]],
            "cls is joined along the last axis: it is one more token, so join along axis 1": np.concatenate(
                [np.broadcast_to(cls, (B, N, D)), z], axis=2
            ),
            "each image's first patch is repeated: put cls there": np.concatenate([z[:, :1], z], axis=1),
            "the first token is zeros: use cls": np.concatenate([np.zeros((B, 1, D)), z], axis=1),
            "only the first image is returned": right[:1],
            "the last patch is cut off: return N + 1 tokens": right[:, :-1],
            "the class token is there N times: broadcast it to (B, 1, D)": np.concatenate(
                [np.broadcast_to(cls, (B, N, D)), z], axis=1
            ),
            "the class token is at both ends: it belongs in front alone": np.concatenate(
                [right, np.broadcast_to(cls, (B, 1, D))], axis=1
            ),
            "these are the patches alone: put the class token in front": z,
            "these are the class tokens alone: put them in front of z": np.broadcast_to(cls, (B, 1, D)),
            "the class token was added to the first patch: it is one more token": np.concatenate(
                [z[:, :1] + cls, z[:, 1:]], axis=1
            ),
            "the class token was added to the patches as well: join them alone": np.concatenate(
                [np.broadcast_to(cls, (B, 1, D)), z + cls], axis=1
            ),
            "the first token is the mean of the patches: use cls": np.concatenate(
                [z.mean(axis=1, keepdims=True), z], axis=1
            ),
            "the first token is ones: use cls": np.concatenate([np.ones((B, 1, D)), z], axis=1),
            "the batch axis is lost": right.reshape(-1, D),
        },
    )
    same_gradients(attempt, [z, cls], ["z", "cls"], "add_class_token(z, cls)")


@exercise(6)
def sincos2d(attempt: Attempt) -> None:
    """Check every number of two tables, of grids that are not square, by the formula."""
    _sincos(attempt, 3, 2, 20)  # with D = 16 a base of 1000 would look like another exponent
    _sincos(attempt, 2, 3, 8)


def _sincos(attempt: Attempt, rows: int, columns: int, D: int) -> None:
    quarter = D // 4
    speeds = [10000.0 ** (-k / (quarter - 1)) for k in range(quarter)]
    by_rows = [(x, y) for y in range(rows) for x in range(columns)]
    groups = ((math.sin, 0), (math.cos, 0), (math.sin, 1), (math.cos, 1))

    def table(speeds: list[float], places: Sequence[tuple[float, float]] = by_rows, order: Any = groups) -> np.ndarray:
        return np.array([[f(place[axis] * w) for f, axis in order for w in speeds] for place in places], np.float32)

    pairs = [[f(place[axis] * w) for axis in (0, 1) for w in speeds for f in (math.sin, math.cos)] for place in by_rows]
    numbers = [(n, n) for n in range(rows * columns)]
    reasons = {
        "Integers to negative integer powers": "write 10_000.0, a float",
        "concatenation axis": "each group has the shape (rows * columns, D/4): join them along axis 1",
        "could not be broadcast": "positions times speeds is np.outer(x, omega), of shape (rows * columns, D/4)",
        "only length-1 arrays": "math.sin takes one number: use np.sin",
        "only size-1 arrays": "math.sin takes one number: use np.sin",
        "only 0-dimensional arrays": "math.sin takes one number: use np.sin",
    }
    with explained(reasons):
        got = attempt(rows, columns, D)
    right = table(speeds)
    if np.shape(got) == (rows * columns, 4 * D):
        raise Complaint(f"sincos2d has {4 * D} numbers for each position: there are D/4 speeds, in four groups of D/4")
    if np.shape(got) == right.shape and got.dtype == np.float64 and np.allclose(got, right, atol=1e-5):
        raise Complaint("sincos2d has the right numbers, but as float64: end with .astype(np.float32)")
    many = [10000.0 ** (-k / (D // 2 - 1)) for k in range(D // 2)]
    same(
        got,
        right,
        f"sincos2d({rows}, {columns}, {D})",
        mistakes={
            "the rows are counted from the bottom: the first patches are in row 0": table(
                speeds, places=[(x, rows - 1 - y) for x, y in by_rows]
            ),
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
            "the four groups alternate from number to number: write the groups one after the other": (
                right.reshape(-1, 4, quarter).swapaxes(1, 2).reshape(right.shape)
            ),
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
            "there are D/2 speeds and two groups: use D/4 speeds, and sine and cosine of both x and y": table(
                many, order=(groups[0], groups[3])
            ),
            "the exponent is rounded: use / instead of //": table(
                [10000.0 ** (-k // (quarter - 1)) for k in range(quarter)]
            ),
            "the four groups are added: put them side by side": sum(np.split(right, 4, axis=1)),
            "the four groups are below one another: concatenate along axis 1": np.concatenate(
                np.split(right, 4, axis=1)
            ),
            "a row of the grid has `columns` patches: the row is n // columns, the column n % columns": table(
                speeds, [(n % rows, n // rows) for n in range(rows * columns)]
            ),
            "this uses the patch's number n: use its column x and its row y": table(speeds, numbers),
            "x is used in all four groups: the last two are of y": table(
                speeds, order=(groups[0], groups[1], groups[0], groups[1])
            ),
            "y is used in all four groups: the first two are of x": table(
                speeds, order=(groups[2], groups[3], groups[2], groups[3])
            ),
            "k counts from 0: the first speed is 1": table(
                [10000.0 ** (-(k + 1) / (quarter - 1)) for k in range(quarter)]
            ),
            "the speeds are evenly spaced: they are powers, 10000 ** (-k / (D/4 - 1))": table(
                list(np.linspace(1, 1e-4, quarter))
            ),
            "the base is e, as in np.exp: it must be 10000": table(
                [math.exp(-k / (quarter - 1)) for k in range(quarter)]
            ),
            "the base is 1000: it must be 10000": table([1000.0 ** (-k / (quarter - 1)) for k in range(quarter)]),
            "these are positions in one dimension: use D/4 speeds, each with the column x and with the row y": np.array(
                [
                    [f(n * 10000.0 ** (-2 * k / D)) for f in (math.sin, math.cos) for k in range(D // 2)]
                    for n in range(rows * columns)
                ],
                np.float32,
            ),
            "these are positions in one dimension, sines and cosines in turn: use the column x and the row y": np.array(
                [
                    [f(n * 10000.0 ** (-2 * k / D)) for k in range(D // 2) for f in (math.sin, math.cos)]
                    for n in range(rows * columns)
                ],
                np.float32,
            ),
            "these are the angles: take their sines and cosines": np.array(
                [[place[axis] * w for _, axis in groups for w in speeds] for place in by_rows], np.float32
            ),
            "these are four sines: the second and the last group are cosines": table(
                speeds, order=((math.sin, 0), (math.sin, 0), (math.sin, 1), (math.sin, 1))
            ),
            "the angles are taken in degrees": table([w * math.pi / 180 for w in speeds]),
            "the first axis of length 1 is too much: return (rows * columns, D)": right[None],
            "the grid is two axes: join rows and columns": right.reshape(rows, columns, D),
            "positions count from 1: the first column and the first row are 0": table(
                speeds, [(x + 1, y + 1) for x, y in by_rows]
            ),
            "the cosines of x and y are swapped: sin x, cos x, sin y, cos y": table(
                speeds, order=(groups[0], groups[3], groups[2], groups[1])
            ),
            "the columns are divided by their number, and the rows too: use the numbers 0, 1, 2 ...": table(
                speeds, [(x / columns, y / rows) for x, y in by_rows]
            ),
            "the positions run from 0 to 1: use the numbers 0, 1, 2 ...": table(
                speeds, [(x / max(columns - 1, 1), y / max(rows - 1, 1)) for x, y in by_rows]
            ),
            "the angles have a factor 2π: multiply position and speed alone": table([2 * math.pi * w for w in speeds]),
            "the angles have a factor π: multiply position and speed alone": table([math.pi * w for w in speeds]),
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
    reasons = {
        "concatenation axis must match": "broadcast both to (h, w, half) first",
        "not enough values to unpack": "NumPy's functions take no Tensor: use reshape and broadcast_to",
        "out of bounds": "X has a row for each column of the grid, Y for each row of it",
        "zero-dimensional arrays cannot be concatenated": "use lesson 02's concatenate: NumPy's takes no Tensors",
        "could not be broadcast": "X becomes (1, w, half) and Y (h, 1, half) before broadcast_to(..., (h, w, half))",
    }
    with explained(reasons):
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
            "this is X's half alone: put Y's beside it": right[..., :half],
            "this is Y's half alone: put X's before it": right[..., half:],
            "both halves are X + Y: concatenate X and Y": np.array(
                [[[*(X[column] + Y[row]), *(X[column] + Y[row])] for row, column in places]]
            ),
            "X and Y were multiplied: concatenate them": np.array([[X[column] * Y[row] for row, column in places]]),
            "the two halves alternate: X's numbers come first, then Y's": (
                right.reshape(1, h * w, 2, half).swapaxes(2, 3).reshape(1, h * w, 2 * half)
            ),
            "the rows of Y are in the wrong order: Y's row is the same for a whole row of the grid": np.array(
                [[[*X[i % w], *Y[i % h]] for i in range(h * w)]]
            ),
            "the grid is two axes: join h and w to N": right.reshape(h, w, 2 * half),
            "X and Y were joined along the rows of the grid: join them along the last axis": np.concatenate(
                [right[..., :half], right[..., half:]], axis=1
            ).reshape(1, h * w, 2 * half),
        },
    )
    same_gradients(attempt, [X, Y], ["X", "Y"], "learned_2d(X, Y)")


@exercise(6, stretch=True)
def move_right(attempt: Attempt) -> None:
    """Check the matrix entry by entry, and that it moves the rows of a table."""
    for D, columns in ((12, 1), (8, 3)):
        quarter, half = D // 4, D // 2
        omega = np.array([10000.0 ** (-k / (quarter - 1)) for k in range(quarter)])
        right = np.eye(D)
        for k, w in enumerate(omega):
            s, c = k, k + quarter
            right[s, s] = right[c, c] = math.cos(columns * w)
            right[c, s], right[s, c] = math.sin(columns * w), -math.sin(columns * w)
        got = attempt(D) if columns == 1 else attempt(D, columns)
        down = np.roll(right, (half, half), axis=(0, 1))
        both = right.copy()
        both[half:, half:] = right[:half, :half]
        nothing = right.copy()
        nothing[half:, half:] = 0
        one = right if columns == 1 else _rotation(omega, 1)
        pairs = np.eye(D)
        for k, w in enumerate(omega):
            s, c = 2 * k, 2 * k + 1
            pairs[s, s] = pairs[c, c] = math.cos(columns * w)
            pairs[c, s], pairs[s, c] = math.sin(columns * w), -math.sin(columns * w)
        same(
            got,
            right,
            f"move_right({D})" if columns == 1 else f"move_right({D}, {columns})",
            mistakes={
                "this is the identity, which moves nothing": np.eye(D),
                "it is transposed, so it moves to the left: the row stands before the matrix, p @ M": right.T,
                "it moves by one column only: the angle is columns * omega": one,
                "it moves down: rotate the first D/2 numbers, those of x": down,
                "it moves right and down: the numbers of y must stay as they are": both,
                "the numbers of y become 0: their part of M is the identity": nothing,
                "sine and cosine of x are not neighbours: those of speed k are numbers k and k + D/4": pairs,
                "both sines have the same sign: one of them is negative": np.where(
                    np.eye(D, dtype=bool), right, np.abs(right)
                ),
                "the sines are missing: each pair is rotated": np.diag(np.diag(right)),
                "this moves the numbers within a row, not the position": np.roll(np.eye(D), columns, axis=1),
                "the identity for y is missing, and the sines too": np.diag(
                    np.concatenate([np.cos(columns * omega), np.zeros(D - quarter)])
                ),
                "this is the half of x alone: M is (D, D), with the identity for y": right[:half, :half],
            },
            check_dtype=False,
        )


def _rotation(omega: np.ndarray, columns: int) -> np.ndarray:
    """Return the matrix that moves rows of sincos2d by some columns."""
    quarter = len(omega)
    cosine, sine = np.diag(np.cos(columns * omega)), np.diag(np.sin(columns * omega))
    matrix = np.eye(4 * quarter)
    matrix[: 2 * quarter, : 2 * quarter] = np.block([[cosine, -sine], [sine, cosine]])
    return matrix
