"""Checks of lesson 12: what a trained model has learned, and what it attends to."""

from __future__ import annotations

import math

import numpy as np

from ..compare import same
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, explained
from . import exercise


@exercise(12)
def query_distance(attempt: Attempt) -> None:
    """Check a patch of a grid that is not square, then the corner of a grid by hand."""
    by_hand = (0 + 3 + 3 + 3 * math.sqrt(2)) / 4
    rows, columns, P, query = 3, 5, 4, 7
    places = [complex(P * column, P * row) for row in range(rows) for column in range(columns)]
    random = np.random.default_rng(0).random(rows * columns)
    cases = [(np.full(4, 0.25), 0, 2, 3, by_hand)]
    far = sum(weight * abs(place - places[query]) for weight, place in zip(random, places, strict=True))
    cases.append((random, query, columns, P, far))
    for weights, at, width, side, total in reversed(cases):  # in a square grid, some mistakes look alike
        grid = [divmod(n, width) for n in range(len(weights))]
        down = np.array([side * (row - grid[at][0]) for row, _ in grid])
        across = np.array([side * (column - grid[at][1]) for _, column in grid])
        swapped = [abs(complex(n // width - at % width, n % width - at // width)) for n in range(len(weights))]
        by_row = [abs(complex(n // width - at // width, n % width - at // width)) for n in range(len(weights))]
        same(
            attempt(weights, at, width, side),
            total / weights.sum(),
            f"query_distance(weights, {at}, {width}, {side})",
            mistakes={
                "this is the sum: divide it by the sum of the weights, which is not 1": total,
                "it is divided by the number of weights: divide by their sum": total / len(weights),
                "the distance is in patches: multiply by P to get pixels": total / weights.sum() / side,
                "these are squared distances: the square root is missing": weights
                @ (down**2 + across**2)
                / weights.sum(),
                "** 1 / 2 is (** 1) / 2: write ** 0.5": weights @ (down**2 + across**2) / 2 / weights.sum(),
                "** 1 / 2 is (** 1) / 2: write ** 0.5 instead": (
                    weights @ (down**2 + across**2) / 2 / weights.sum() / side
                ),
                "the distances down and across are added: use the straight line between two centres": weights
                @ (abs(down) + abs(across))
                / weights.sum(),
                "only the distance down counts: the distance across is missing": weights @ abs(down) / weights.sum(),
                "only the distance across counts: the distance down is missing": weights @ abs(across) / weights.sum(),
                "the query's row and column are swapped": side * (weights @ swapped) / weights.sum(),
                "the distance across is measured from the query's row: its column is query % columns": (
                    side * (weights @ by_row) / weights.sum()
                ),
                "the distances are measured from patch 0: measure them from the query": weights
                @ np.hypot(down - down[0], across - across[0])
                / weights.sum(),
                "every patch counts equally: weight the distances with the attention": np.hypot(down, across).mean(),
                "the query itself is left out: it is one of the N patches, at distance 0": (
                    total / (weights.sum() - weights[at])
                ),
                "the larger of the distances down and across is used: take the root of the sum of their squares": (
                    weights @ np.maximum(abs(down), abs(across)) / weights.sum()
                ),
                "row and column are exchanged: patch n is in row n // columns and column n % columns": (
                    side * weights @ _by_rows(len(weights), at, len(weights) // width) / weights.sum()
                ),
                "this is the mean weight times the distances: divide by the sum of the weights instead": (
                    weights.mean() * np.hypot(down, across).sum()
                ),
                "P is under the root: multiply by P after it, or each distance by P before it is squared": (
                    total / weights.sum() / math.sqrt(side)
                ),
                "rows and columns are computed with P: they are n // columns and n % columns, then times P": (
                    side * weights @ _by_rows(len(weights), at, side) / weights.sum()
                ),
                "the rows are not rounded down: they are n // columns, not n / columns": (
                    weights @ np.hypot(side * (np.arange(len(weights)) / width - at / width), across) / weights.sum()
                ),
                "only the last patch counts: add to `total`, +=": (
                    weights[-1] * np.hypot(down, across)[-1] / weights.sum()
                ),
                "only the first patch counts: is `return` inside the loop?": (
                    weights[0] * np.hypot(down, across)[0] / weights.sum()
                ),
                "the squared weights are used, or each weight twice": (
                    weights**2 @ np.hypot(down, across) / weights.sum()
                ),
                "this is one distance alone, the largest: take the weighted mean of all": np.hypot(down, across).max(),
                "this is the distance to the patch with the largest weight: take the weighted mean of all": (
                    np.hypot(down, across)[weights.argmax()]
                ),
                "this is the difference of two patch numbers: turn each into a row and a column first": (
                    side * weights @ np.abs(np.arange(len(weights)) - at) / weights.sum()
                ),
                "P is added: multiply by P": weights @ np.hypot(down, across) / side / weights.sum() + side,
                "the root is of the weighted sum: take the root of each distance first": (
                    np.sqrt(weights @ (down**2 + across**2)) / weights.sum()
                ),
                "the root is of the weighted mean: take the root of each distance first": (
                    np.sqrt(weights @ (down**2 + across**2) / weights.sum())
                ),
                "these are N numbers, weight times distance: add them up, and divide by the sum of the weights": (
                    weights * np.hypot(down, across)
                ),
                "these are N distances: take their weighted mean": np.hypot(down, across),
                "only one of the two centres has + P / 2: the halves cancel, so leave both out": (
                    sum(
                        w * math.hypot(d + side / 2, a + side / 2)
                        for w, d, a in zip(weights, down, across, strict=True)
                    )
                    / weights.sum()
                ),
            },
            check_dtype=False,
        )


@exercise(12)
def head_distances(attempt: Attempt) -> None:
    """Check against loops over images, heads, queries and keys."""
    B, heads, rows, columns, P = 2, 3, 2, 3, 4
    N = rows * columns
    weights = _random_attention(np.random.default_rng(1), B, heads, N + 1)
    between = np.array(
        [[P * math.hypot(q // columns - k // columns, q % columns - k % columns) for k in range(N)] for q in range(N)]
    )
    right = np.zeros(heads)
    for head in range(heads):
        for image in range(B):
            for q in range(N):
                row = weights[image, head, 1 + q, 1:]
                right[head] += sum(row[k] * between[q, k] for k in range(N)) / sum(row) / (B * N)

    inner, last = weights[:, :, 1:, 1:], weights[:, :, :-1, :-1]
    far, sums = (inner * between).sum(axis=-1), inner.sum(axis=-1)  # (B, heads, N)
    shapes = "`between` is (N, N): remove the class token's row and column from `weights`"
    with explained({"(2,3,6,6) (2,3,6)": "keep the axis of the sums, keepdims=True", " raises ValueError": shapes}):
        got = attempt(weights, between)
    same(
        got,
        right,
        "head_distances(weights, between)",
        mistakes={
            "the weights without the class token do not add up to 1: divide by their sum": far.mean(axis=(0, 2)),
            "the last patch is left out instead of the class token, which has index 0": (
                ((last * between).sum(axis=-1) / last.sum(axis=-1)).mean(axis=(0, 2))
            ),
            "sums of all queries are divided: divide each query's distance by its sum first": (
                far.sum(axis=(0, 2)) / sums.sum(axis=(0, 2))
            ),
            "queries and keys are swapped: the keys are the last axis": (
                ((inner * between).sum(axis=-2) / inner.sum(axis=-2)).mean(axis=(0, 2))
            ),
            "the queries begin with the class token and lose the last patch: leave out index 0, [:, :, 1:, 1:]": (
                ((weights[:, :, :-1, 1:] * between).sum(axis=-1) / weights[:, :, :-1, 1:].sum(axis=-1)).mean(
                    axis=(0, 2)
                )
            ),
            "the keys begin with the class token and lose the last patch: leave out index 0, [:, :, 1:, 1:]": (
                ((weights[:, :, 1:, :-1] * between).sum(axis=-1) / weights[:, :, 1:, :-1].sum(axis=-1)).mean(
                    axis=(0, 2)
                )
            ),
            "this is one number for each image and head: take the mean over images as well": (far / sums).mean(axis=2),
            "this is one number for each head and query: take the mean over queries as well": (far / sums).mean(axis=0),
            "this is one number for each image: the heads are axis 1": (far / sums).mean(axis=(1, 2)),
            "the heads are averaged too: return one number for each head": (far / sums).mean(),
            "the mean runs over the heads: keep them, they are axis 1": (far / sums).mean(axis=(0, 1)),
            "these are distances for all images, heads and queries: take the mean over images and queries": far / sums,
            "the sum over all queries and keys is taken: the sum over the keys is axis -1 alone": (
                (inner * between).sum(axis=(2, 3)).mean(axis=0)
            ),
            "this is a matrix product: multiply weights and distances element by element, with *": (
                ((inner @ between).sum(axis=-1) / sums).mean(axis=(0, 2))
            ),
            "the sum over images and queries is taken: take the mean": (far / sums).sum(axis=(0, 2)),
            "the class token's column is left out, but not its row": _row_left(weights, between),
            "the sum over the keys is divided by their number: divide by the sum of the weights": (
                far.mean(axis=(0, 2)) / N
            ),
            "only the class token asks, row 0: leave it out, and let each patch ask": _as_the_class_token(
                weights, between
            ),
            "this is the sum over the queries: take the mean": (far / sums).mean(axis=0).sum(axis=-1),
            "only the patch with the largest weight counts: average over all, by their weights": (
                between[np.arange(N), inner.argmax(axis=-1)].mean(axis=(0, 2))
            ),
        },
    )


@exercise(12)
def roll_out(attempt: Attempt) -> None:
    """Check two tokens by hand, then sums over paths, token by token."""
    first, second = np.array([[[[1.0, 0.0], [1.0, 0.0]]]]), np.array([[[[0.0, 1.0], [0.0, 1.0]]]])
    _rollout_case(attempt, [first, second], np.array([[[0.75, 0.25], [0.5, 0.5]]]))

    B, heads, T, L = 2, 3, 4, 3
    rng = np.random.default_rng(2)
    layers = [_random_attention(rng, B, heads, T) for _ in range(L)]
    right = np.zeros((B, T, T))
    for image in range(B):
        mixed = [_with_residual(weights[image]) for weights in layers]
        for i, b, a, j in np.ndindex(T, T, T, T):  # from final token i back over b and a to input token j
            right[image, i, j] += mixed[2][i][b] * mixed[1][b][a] * mixed[0][a][j]
    _rollout_case(attempt, layers, right)


def _rollout_case(attempt: Attempt, layers: list[np.ndarray], right: np.ndarray) -> None:
    T = layers[0].shape[-1]
    eye = np.eye(T)
    means = [weights.mean(axis=1) for weights in layers]

    def product(matrices: list[np.ndarray], backwards: bool = False) -> np.ndarray:
        flow = eye
        for matrix in matrices:
            flow = flow @ matrix if backwards else matrix @ flow
        return flow

    def to_one(matrix: np.ndarray, axis: int = -1) -> np.ndarray:
        return matrix / matrix.sum(axis=axis, keepdims=True)

    largest = [to_one(weights.max(axis=1) + eye) for weights in layers]
    shapes = f"each block's mean over the heads is {right.shape}: keep the axis of its rows' sums"
    with explained({" raises ValueError": shapes}):
        got = attempt([weights.copy() for weights in layers])
    if np.ndim(got) == 4:
        raise Complaint("roll_out keeps the axis of heads: take the mean over them in each block, weights.mean(axis=1)")
    shape = np.shape(got)
    if shape == (layers[0].shape[1], T, T) != right.shape:
        raise Complaint("roll_out takes the mean over the images, axis 0: the heads are axis 1")
    if shape == (len(right), T):
        raise Complaint("roll_out returns one row of the result: return all of `flow`, (B, T, T)")
    same(
        got,
        right,
        f"roll_out of {len(layers)} blocks and {T} tokens",
        mistakes={
            "the product is in the wrong order: the later block must be on the left": product(
                [to_one(mean + eye) for mean in means], backwards=True
            ),
            "the identity is missing, and with it the residual connection": product(means),
            "the rows are not rescaled: with the identity each adds up to 2": product([mean + eye for mean in means]),
            "the columns are rescaled: rescale the rows, so that the last axis adds up to 1": product(
                [to_one(mean + eye, axis=-2) for mean in means]
            ),
            "this uses the maximum over the heads: use their mean": product(largest),
            "the blocks are added up: multiply each with `flow`, mixed @ flow": (
                np.zeros_like(right) + sum(to_one(mean + eye) for mean in means)
            ),
            "the blocks are added up, and to the identity: multiply each with `flow`, mixed @ flow": (
                eye + sum(to_one(mean + eye) for mean in means)
            ),
            "this is the mean of the blocks: multiply each with `flow`, mixed @ flow": (
                sum(to_one(mean + eye) for mean in means) / len(means)
            ),
            "the heads are added up: take their mean": product(
                [to_one(weights.sum(axis=1) + eye) for weights in layers]
            ),
            "the identity is halved, but not the attention: add all of it, or take half of both": product(
                [to_one(mean + 0.5 * eye) for mean in means]
            ),
            "the identity is added twice: add it once": product([to_one(mean + 2 * eye) for mean in means]),
            "the rows are rescaled by softmax: divide them by their sums": product(
                [to_one(np.exp(mean + eye)) for mean in means]
            ),
            "the rows of attention alone are rescaled: add the identity first, then rescale": product(
                [to_one(mean) + eye for mean in means]
            ),
            "the rows are divided by T or by the number of heads, not by their sums": product(
                [(mean + eye) / T for mean in means]
            ),
            "all numbers are divided by one sum: divide each row by its own, keepdims=True": product(
                [(mean + eye) / (mean + eye).sum() for mean in means]
            ),
            "the identity of each block is added to flow: multiply, mixed @ flow": _added(means, eye),
            "the blocks come in reverse: the first block is first in `layers`, and multiplied first": product(
                [to_one(mean + eye) for mean in means[::-1]]
            ),
            "the blocks are transposed: rows are queries, keep them as they are": product(
                [to_one(mean + eye).swapaxes(-1, -2) for mean in means]
            ),
            "only head 0 counts: take the mean over the heads, axis 1": product(
                [to_one(weights[:, 0] + eye) for weights in layers]
            ),
            "the rows are divided by their lengths: divide by their sums": product(
                [(mean + eye) / np.linalg.norm(mean + eye, axis=-1, keepdims=True) for mean in means]
            ),
            "1 is added to every number: add the identity, np.eye(T)": product([to_one(mean + 1) for mean in means]),
            "flow is added too: replace it by mixed @ flow": _summed([to_one(mean + eye) for mean in means], eye),
            "only the last block counts: multiply it with `flow`": to_one(means[-1] + eye),
            "only the first block counts: is `return` inside the loop?": to_one(means[0] + eye),
            "the blocks are multiplied element by element: use the matrix product @": _elementwise(
                [to_one(mean + eye) for mean in means]
            ),
        },
    )


@exercise(12)
def main_filters(attempt: Attempt) -> None:
    """Check against the eigenvectors of the filters' covariance; each may have either sign."""
    rng = np.random.default_rng(3)
    length, D, count = 12, 20, 5
    spread = rng.standard_normal((length, length)) * 0.75 ** np.arange(length)
    E = spread @ rng.standard_normal((length, D)) + 2.0 * rng.standard_normal((length, 1))
    right = _eigenvectors(np.cov(E), count)

    centred = E.T - E.mean(axis=1)
    own = E - E.mean(axis=0)
    U, s, V = np.linalg.svd(centred, full_matrices=False)
    vectors = np.linalg.eigh(np.cov(E))[1]
    with explained({" raises ValueError": "the mean filter is the mean over d, axis 1 of E"}):
        got = attempt(E, count)
    if isinstance(got, tuple | list):
        raise Complaint("main_filters returns several arrays: return only the components, V[:count]")
    same(
        _signed(got),
        _signed(right),
        f"main_filters(E, {count})",
        mistakes={
            "the mean filter is not subtracted": _signed(_eigenvectors(E @ E.T, count)),
            "the mean of all numbers is subtracted: the mean filter is the mean over d, axis 1 of E": _signed(
                _eigenvectors((E - E.mean()) @ (E - E.mean()).T, count)
            ),
            "each filter's own mean is subtracted: the mean filter is the mean over d, axis 1 of E": _signed(
                _eigenvectors(own @ own.T, count)
            ),
            "these are the smallest components: eigh puts the largest at the end": _signed(vectors.T[:count]),
            "eigh returns its vectors in columns: transpose them": _signed(vectors[:, ::-1][:count]),
            "the components are scaled by their singular values: they must have length 1": _signed(
                s[:count, None] * V[:count]
            ),
            "these are components of E's rows: the filters are its columns, so use E.T": _signed(
                _eigenvectors(own.T @ own, count)
            ),
            "these are columns of V: a component is a row": _signed(V[:, :count]),
            "these are columns of V, transposed: a component is a row": _signed(V[:, :count].T),
            "these are columns of U: take rows of V": _signed(U[:, :count].T),
            "these are rows of U: take rows of V": _signed(U[:count]),
            "these are rows of U, of E and not of E.T: there the components are columns of U": _signed(
                np.linalg.svd(centred.T, full_matrices=False)[0][:count]
            ),
            "these are all components: return the first `count`": _signed(V),
            "these are the filters themselves: return their principal components": _signed(E.T[:count]),
            "these are the smallest components: V has the largest first": _signed(V[-count:]),
            "these are the smallest components, in reverse: V has the largest first": _signed(V[::-1][:count]),
            "the filters are scaled by their standard deviation: subtract their mean, and no more": _signed(
                np.linalg.svd(centred / E.std(axis=1), full_matrices=False)[2][:count]
            ),
            "the components are transposed: they are the rows of V": _signed(V[:count].T),
            "these are singular values: return the rows of V": s[:count],
        },
    )


@exercise(12)
def similarity_maps(attempt: Attempt) -> None:
    """Check cosines by loops over pairs of patches in a grid that is not square."""
    rng = np.random.default_rng(4)
    rows, columns, D = 2, 3, 5
    N = rows * columns
    positions = rng.standard_normal((1, N + 1, D)) * (1.0 + rng.random((1, N + 1, 1)))
    right = np.zeros((rows, columns, rows, columns))
    for i, j, r, c in np.ndindex(right.shape):
        p, q = positions[0, 1 + i * columns + j], positions[0, 1 + r * columns + c]
        right[i, j, r, c] = math.fsum(p * q) / math.sqrt(math.fsum(p * p) * math.fsum(q * q))

    patches, first = positions[0, 1:], positions[0, :-1]
    lengths = np.linalg.norm(patches, axis=1, keepdims=True)
    grid = (rows, columns, rows, columns)
    turned = right.reshape(columns, rows, columns, rows).transpose(1, 0, 3, 2)
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    by_column = patches / np.linalg.norm(patches, axis=0)
    shapes = "`positions` is (1, N + 1, D), and the class token's is the first of the N + 1"
    with explained({"shapes (6,5) (6,)": "keep the axis of the lengths, keepdims=True", " raises ValueError": shapes}):
        got = attempt(positions, rows, columns)
    same(
        got,
        right,
        f"similarity_maps(positions, {rows}, {columns})",
        mistakes={
            "these are dot products: divide by both lengths": (patches @ patches.T).reshape(grid),
            "it is divided by only one of the two lengths": (patches @ patches.T / lengths).reshape(grid),
            "it is divided by only one of the two lengths, that of the other patch": (
                (patches @ patches.T / lengths.T).reshape(grid)
            ),
            "it is divided by the length of the other patch twice: divide by both, np.outer(lengths, lengths)": (
                (patches @ patches.T / lengths.T**2).reshape(grid)
            ),
            "all positions are divided by one length: divide each by its own": (
                (patches @ patches.T / (patches**2).sum()).reshape(grid)
            ),
            "each column is divided by its length: a position is a row, so take lengths along axis 1": (
                (by_column @ by_column.T).reshape(grid)
            ),
            "it is divided by the lengths twice": (patches @ patches.T / (lengths * lengths.T) ** 2).reshape(grid),
            "the last patch is left out instead of the class token, which has index 0": (first @ first.T).reshape(grid),
            "the patches are in column order: go through the grid row by row": turned,
            "these are correlations: do not subtract a mean, divide by the lengths alone": np.corrcoef(patches).reshape(
                grid
            ),
            "the cosines are right: reshape them to (rows, columns, rows, columns)": (right.reshape(N, N)),
            "it is divided by sums: divide by lengths, np.linalg.norm": _dots(
                patches / patches.sum(axis=1, keepdims=True)
            ).reshape(grid),
            "these are cosines of the dimensions, (D, D): multiply directions @ directions.T": _cosines(patches.T),
            "these are products of normalised rows, (D, D): multiply directions @ directions.T": (
                (patches / lengths).T @ (patches / lengths)
            ),
            "these are angles: return their cosines": np.arccos(np.clip(right, -1, 1)),
            "these are 1 minus the cosines": 1 - right,
            "the numbers are softmax weights: return the cosines": _softmax(patches @ patches.T).reshape(grid),
            "the mean is subtracted first: compare the position embeddings as they are": _cosines(
                patches - patches.mean(axis=0)
            ).reshape(grid),
            "each map has the shape (columns, rows): reshape to (rows, columns, rows, columns)": (
                right.reshape(columns, rows, columns, rows)
            ),
            "it is divided by sums of absolute values: divide by lengths, np.linalg.norm(..., axis=1, keepdims=True)": (
                _dots(patches / np.abs(patches).sum(axis=1, keepdims=True)).reshape(grid)
            ),
            "these are distances, not cosines": np.linalg.norm(patches[:, None] - patches[None], axis=-1).reshape(grid),
        },
    )


@exercise(12, stretch=True)
def distance_table(attempt: Attempt) -> None:
    """Check grids that are not square against loops, then the means."""
    for rows, columns, P in ((2, 3, 4), (3, 2, 1), (4, 4, 16)):
        places = [(row, column) for row in range(rows) for column in range(columns)]
        right = np.array([[P * math.hypot(a - c, b - d) for c, d in places] for a, b in places])
        down = np.array([[P * abs(a - c) for c, _ in places] for a, _ in places])
        across = np.array([[P * abs(b - d) for _, d in places] for _, b in places])
        n = np.arange(rows * columns)
        by_rows = np.hypot(n[:, None] // rows - n // rows, n[:, None] % rows - n % rows)
        mixed = np.hypot(n[:, None] // columns - n // columns, n[:, None] % rows - n % rows)
        same(
            attempt(rows, columns, P),
            right,
            f"distance_table({rows}, {columns}, {P})",
            mistakes={
                "the distance is in patches: multiply by P": right / P,
                "it is multiplied by P twice": right * P,
                "P is under the root too: multiply by P after the root, or by P ** 2 under it": right / P**0.5,
                "these are squared distances: the root, ** 0.5, is missing": right**2 / P,
                "these are squared distances in pixels: the root, ** 0.5, is missing": right**2,
                "these are squared distances in patches: the root, ** 0.5, and P are missing": (right / P) ** 2,
                "the distances down and across are added: take the root of the sum of squares": down + across,
                "only the distance down counts": down,
                "only the distance across counts": across,
                "the row of patch n is n // columns, its column n % columns: here `rows` divides": P * by_rows,
                "the column of patch n is n % columns: here `rows` divides": P * mixed,
                "the differences are of patch numbers: take those of rows, //, and of columns, %": (
                    P * abs(n[:, None] - n).astype(float)
                ),
                "rows and columns are added: subtract those of the two patches": P
                * np.hypot(n[:, None] // columns + n // columns, n[:, None] % columns + n % columns),
                "the difference of rows, //, is there twice: the second is that of columns, %": down * 2**0.5,
                "the difference of columns, %, is there twice: the first is that of rows, //": across * 2**0.5,
                "** 1 / 2 is (** 1) / 2: write ** 0.5": right**2 / P / 2,
                "each patch is compared with itself alone: reshape one of the two to a column": np.zeros(len(n)),
            },
            check_dtype=False,
        )
    uses_only(attempt, "arange", "reshape", "+", "-", "*", "//", "%", "**")


def _by_rows(N: int, at: int, rows: int) -> np.ndarray:
    n = np.arange(N)
    return np.hypot(n % rows - at % rows, n // rows - at // rows)


def _row_left(weights: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Return the heads' distances if the class token still is a query, at distance 0 from all."""
    to_patches = weights[:, :, :, 1:]
    padded = np.concatenate([np.zeros((1, len(between))), between])
    return ((to_patches * padded).sum(axis=-1) / to_patches.sum(axis=-1)).mean(axis=(0, 2))


def _as_the_class_token(weights: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Return the heads' distances if every patch attends as the class token does."""
    row = weights[:, :, :1, 1:]
    return ((row * between).sum(axis=-1) / row.sum(axis=-1)).mean(axis=(0, 2))


def _added(means: list[np.ndarray], eye: np.ndarray) -> np.ndarray:
    flow = eye
    for mean in means:
        flow = mean @ flow + eye
    return flow


def _summed(matrices: list[np.ndarray], eye: np.ndarray) -> np.ndarray:
    flow = eye
    for matrix in matrices:
        flow = flow + matrix @ flow
    return flow


def _softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores)
    return weights / weights.sum(axis=-1, keepdims=True)


def _dots(rows: np.ndarray) -> np.ndarray:
    return rows @ rows.T


def _cosines(rows: np.ndarray) -> np.ndarray:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def _random_attention(rng: np.random.Generator, B: int, heads: int, T: int) -> np.ndarray:
    """Return rows of positive numbers that add up to 1: (B, heads, T, T)."""
    weights = rng.random((B, heads, T, T)) ** 2 + 0.01
    return weights / weights.sum(axis=-1, keepdims=True)


def _with_residual(heads: np.ndarray) -> list[list[float]]:
    """Return the mean of the heads plus the identity, with rescaled rows: (heads, T, T) -> (T, T)."""
    T = heads.shape[-1]
    rows = [[sum(head[i][j] for head in heads) / len(heads) + (i == j) for j in range(T)] for i in range(T)]
    return [[value / sum(row) for value in row] for row in rows]


def _elementwise(matrices: list[np.ndarray]) -> np.ndarray:
    flow = np.eye(matrices[0].shape[-1])
    for matrix in matrices:
        flow = matrix * flow
    return flow


def _eigenvectors(symmetric: np.ndarray, count: int) -> np.ndarray:
    """Return the first eigenvectors of a symmetric matrix as rows, the largest first, by power iteration."""
    found = []
    rest = symmetric.copy()
    for _ in range(count):
        vector = np.random.default_rng(5).standard_normal(len(rest))
        for _ in range(400):
            vector = rest @ vector
            vector /= np.linalg.norm(vector) or 1.0
        found.append(vector)
        rest = rest - (vector @ rest @ vector) * np.outer(vector, vector)
    return np.array(found)


def _signed(rows: object) -> object:
    """Return the rows, each with the sign that makes its largest number positive; return anything else unchanged."""
    array = np.asarray(rows)
    if array.ndim != 2 or array.dtype.kind != "f":
        return rows
    largest = np.abs(array).argmax(axis=1)
    return array * np.where(array[np.arange(len(array)), largest] < 0, -1.0, 1.0)[:, None]
