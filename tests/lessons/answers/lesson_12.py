import math

import numpy as np

from . import right, wrong


@right
def query_distance(weights, query, columns, P):
    total = 0.0
    for n in range(len(weights)):
        row, column = divmod(n, columns)
        total += weights[n] * P * np.hypot(row - query // columns, column - query % columns)
    return total / np.sum(weights)


@right
def query_distance(weights, query, columns, P):
    n = np.arange(len(weights))
    down, across = n // columns - query // columns, n % columns - query % columns
    return np.average(P * np.sqrt(down**2 + across**2), weights=weights)


@right
def query_distance(weights, query, columns, P):
    shares = [float(weight) / float(sum(weights)) for weight in weights]
    y, x = P * (query // columns) + P / 2, P * (query % columns) + P / 2
    far = 0.0
    for n, share in enumerate(shares):
        far += share * ((P * (n // columns) + P / 2 - y) ** 2 + (P * (n % columns) + P / 2 - x) ** 2) ** 0.5
    return far


@wrong("this is the sum")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, weight in enumerate(weights):
        total += weight * P * np.hypot(n // columns - query // columns, n % columns - query % columns)
    return total


@wrong("the distance is in patches")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, weight in enumerate(weights):
        total += weight * np.hypot(n // columns - query // columns, n % columns - query % columns)
    return total / sum(weights)


@wrong("the square root is missing")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, weight in enumerate(weights):
        total += weight * P**2 * ((n // columns - query // columns) ** 2 + (n % columns - query % columns) ** 2)
    return total / sum(weights)


@wrong("down and across are added")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, weight in enumerate(weights):
        total += weight * P * (abs(n // columns - query // columns) + abs(n % columns - query % columns))
    return total / sum(weights)


@wrong("divide by their sum")
def query_distance(weights, query, columns, P):
    n = np.arange(len(weights))
    far = P * np.hypot(n // columns - query // columns, n % columns - query % columns)
    return (weights * far).mean()


@wrong("measure them from the query")
def query_distance(weights, query, columns, P):
    n = np.arange(len(weights))
    return np.average(P * np.hypot(n // columns, n % columns), weights=weights)


@wrong("row and column are swapped")
def query_distance(weights, query, columns, P):
    n = np.arange(len(weights))
    return np.average(P * np.hypot(n // columns - query % columns, n % columns - query // columns), weights=weights)


@wrong("measured from the query's row")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, weight in enumerate(weights):
        total += weight * P * np.hypot(n // columns - query // columns, n % columns - query // columns)
    return total / sum(weights)


@right
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    to_patches = to_patches / to_patches.sum(axis=-1, keepdims=True)
    return (to_patches * between).sum(axis=-1).mean(axis=2).mean(axis=0)


@right
def head_distances(weights, between):
    to_patches = weights[..., 1:, 1:]
    far = np.einsum("bhqk,qk->bhq", to_patches, between) / np.einsum("bhqk->bhq", to_patches)
    return np.mean(far, axis=(0, -1))


@right
def head_distances(weights, between):
    found = []
    for head in range(weights.shape[1]):
        rows = weights[:, head, 1:, 1:]
        found.append(np.mean((rows * between).sum(-1) / rows.sum(-1)))
    return np.array(found)


@wrong("divide by their sum")
def head_distances(weights, between):
    return (weights[:, :, 1:, 1:] * between).sum(axis=-1).mean(axis=(0, 2))


@wrong("the last patch is left out instead of the class token, which")
def head_distances(weights, between):
    to_patches = weights[:, :, :-1, :-1]
    return ((to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)).mean(axis=(0, 2))


@wrong("by its sum")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return (to_patches * between).sum(axis=(0, 2, 3)) / to_patches.sum(axis=(0, 2, 3))


@wrong("queries and keys")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return ((to_patches * between).sum(axis=2) / to_patches.sum(axis=2)).mean(axis=(0, 2))


@wrong("over images as well")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return ((to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)).mean(axis=-1)


@wrong("remove the class token's row and column from `weights`")
def head_distances(weights, between):
    return (weights * between).sum(axis=-1).mean(axis=(0, 2))


@wrong("these are distances for all images, heads and queries")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return (to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)


@wrong("keep them, they are axis 1")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return ((to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)).mean(axis=(0, 1))


@wrong("divided by their number")
def head_distances(weights, between):
    return (weights[:, :, 1:, 1:] * between).mean(axis=(0, 2, 3))


@right
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        flow = (weights.mean(axis=1) + np.eye(T)) / 2 @ flow
    return flow


@right
def roll_out(layers):
    B, heads, T, _ = layers[0].shape
    flow = np.stack([np.eye(T)] * B)
    for weights in layers:
        mixed = sum(weights[:, head] for head in range(heads)) / heads
        mixed[:, range(T), range(T)] += 1
        flow = np.einsum("bij,bjk->bik", mixed / mixed.sum(-1)[..., None], flow)
    return flow


@wrong("the product is in the wrong order")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        flow = flow @ ((weights.mean(axis=1) + np.eye(T)) / 2)
    return flow


@wrong("the identity is missing")
def roll_out(layers):
    flow = np.eye(layers[0].shape[-1])
    for weights in layers:
        flow = weights.mean(axis=1) @ flow
    return flow


@wrong("rows are not rescaled")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        flow = (weights.mean(axis=1) + np.eye(T)) @ flow
    return flow


@wrong("the columns are rescaled")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        mixed = weights.mean(axis=1) + np.eye(T)
        flow = mixed / mixed.sum(axis=1, keepdims=True) @ flow
    return flow


@wrong("this uses the maximum over the heads")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        mixed = weights.max(axis=1) + np.eye(T)
        flow = mixed / mixed.sum(axis=-1, keepdims=True) @ flow
    return flow


@wrong("is `return` inside the loop? It ends the loop")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        return (weights.mean(axis=1) + np.eye(T)) / 2 @ flow
    return flow


@wrong("only the last block counts")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        flow = (weights.mean(axis=1) + np.eye(T)) / 2
    return flow


@wrong("the blocks are multiplied element by element")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        mixed = weights.mean(axis=1) + np.eye(T)
        flow = mixed / mixed.sum(axis=-1, keepdims=True) * flow
    return flow


@wrong("keep the axis of its rows' sums")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        mixed = weights.mean(axis=1) + np.eye(T)
        flow = mixed / mixed.sum(axis=-1) @ flow
    return flow


@wrong("raises ValueError")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        mixed = weights.mean(axis=0) + np.eye(T)
        flow = mixed / mixed.sum(axis=-1) @ flow
    return flow.reshape(len(layers[0]), T, T)


@right
def main_filters(E, count):
    filters = E.T - E.T.mean(axis=0, keepdims=True)
    return np.linalg.svd(filters, full_matrices=False)[2][:count]


@right
def main_filters(E, count):
    values, vectors = np.linalg.eigh(np.cov(E))
    return vectors[:, np.argsort(-values)[:count]].T


@right
def main_filters(E, count):
    centred = E - E.mean(axis=1, keepdims=True)
    U, s, V = np.linalg.svd(centred, full_matrices=False)
    return -U.T[:count]


@wrong("the mean filter is not subtracted")
def main_filters(E, count):
    return np.linalg.svd(E.T, full_matrices=False)[2][:count]


@wrong("each filter's own mean")
def main_filters(E, count):
    return np.linalg.svd((E - E.mean(axis=0)).T, full_matrices=False)[2][:count]


@wrong("the mean of all numbers is subtracted")
def main_filters(E, count):
    return np.linalg.svd(E.T - E.mean(), full_matrices=False)[2][:count]


@wrong("the filters are its columns")
def main_filters(E, count):
    return np.linalg.svd(E - E.mean(axis=0), full_matrices=False)[2][:count]


@wrong("cannot broadcast shapes (20,12) (20,)")
def main_filters(E, count):
    return np.linalg.svd(E.T - E.mean(axis=0), full_matrices=False)[2][:count]


@wrong("eigh puts the largest at the end")
def main_filters(E, count):
    return np.linalg.eigh(np.cov(E))[1].T[:count]


@wrong("these are columns of V")
def main_filters(E, count):
    return np.linalg.svd(E.T - E.mean(axis=1), full_matrices=False)[2][:, :count]


@wrong("they must have length 1")
def main_filters(E, count):
    U, s, V = np.linalg.svd(E.T - E.mean(axis=1), full_matrices=False)
    return (np.diag(s) @ V)[:count]


@wrong("these are all components")
def main_filters(E, count):
    return np.linalg.svd(E.T - E.mean(axis=1), full_matrices=False)[2]


@wrong("several arrays")
def main_filters(E, count):
    return np.linalg.svd(E.T - E.mean(axis=1), full_matrices=False)


@right
def similarity_maps(positions, rows, columns):
    patches = positions[0, 1:]
    lengths = np.sqrt((patches**2).sum(axis=1))
    return (patches @ patches.T / np.outer(lengths, lengths)).reshape(rows, columns, rows, columns)


@right
def similarity_maps(positions, rows, columns):
    grid = positions[:, 1:].reshape(rows, columns, -1)
    grid = grid / np.linalg.norm(grid, axis=-1, keepdims=True)
    return np.einsum("ijd,rcd->ijrc", grid, grid)


@wrong("these are dot products")
def similarity_maps(positions, rows, columns):
    patches = positions[0, 1:]
    return (patches @ patches.T).reshape(rows, columns, rows, columns)


@wrong("it is divided by only one of the two lengths")
def similarity_maps(positions, rows, columns):
    patches = positions[0, 1:]
    directions = patches / np.linalg.norm(patches, axis=1, keepdims=True)
    return (directions @ patches.T).reshape(rows, columns, rows, columns)


@wrong("the last patch is left out instead of the class token, which")
def similarity_maps(positions, rows, columns):
    patches = positions[0, :-1]
    directions = patches / np.linalg.norm(patches, axis=1, keepdims=True)
    return (directions @ directions.T).reshape(rows, columns, rows, columns)


@wrong("go through the grid row by row")
def similarity_maps(positions, rows, columns):
    grid = positions[0, 1:].reshape(columns, rows, -1).swapaxes(0, 1)
    grid = grid / np.linalg.norm(grid, axis=-1, keepdims=True)
    return np.einsum("ijd,rcd->ijrc", grid, grid)


@wrong("the cosines are right")
def similarity_maps(positions, rows, columns):
    patches = positions[0, 1:]
    directions = patches / np.linalg.norm(patches, axis=1, keepdims=True)
    return directions @ directions.T


@wrong("divide each by its own")
def similarity_maps(positions, rows, columns):
    directions = positions[0, 1:] / np.linalg.norm(positions[0, 1:])
    return (directions @ directions.T).reshape(rows, columns, rows, columns)


@wrong("a position is a row")
def similarity_maps(positions, rows, columns):
    directions = positions[0, 1:] / np.linalg.norm(positions[0, 1:], axis=0)
    return (directions @ directions.T).reshape(rows, columns, rows, columns)


@wrong("`positions` is (1, N + 1, D), and the class token's is the")
def similarity_maps(positions, rows, columns):
    patches = positions[:, 1:]
    directions = patches / np.linalg.norm(patches, axis=1, keepdims=True)
    return (directions @ directions.T).reshape(rows, columns, rows, columns)


@wrong("raises ValueError")
def similarity_maps(positions, rows, columns):
    directions = positions[0] / np.linalg.norm(positions[0], axis=1, keepdims=True)
    return (directions @ directions.T).reshape(rows, columns, rows, columns)


# -- what people who know PyTorch, only NumPy, or who guess write -------------------------------------------


@wrong("row and column are exchanged")
def query_distance(weights, query, columns, P):
    rows = len(weights) // columns
    n = np.arange(len(weights))
    return np.average(P * np.hypot(n % rows - query % rows, n // rows - query // rows), weights=weights)


@wrong("only the last patch counts")
def query_distance(weights, query, columns, P):
    for n, weight in enumerate(weights):
        total = weight * P * np.hypot(n // columns - query // columns, n % columns - query % columns)
    return total / sum(weights)


@wrong("is `return` inside the loop? It ends the loop")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, weight in enumerate(weights):
        total += weight * P * np.hypot(n // columns - query // columns, n % columns - query % columns)
        return total / sum(weights)
    return total


@wrong("every patch counts equally")
def query_distance(weights, query, columns, P):
    n = np.arange(len(weights))
    return np.mean(P * np.hypot(n // columns - query // columns, n % columns - query % columns))


@wrong("only the distance across counts")
def query_distance(weights, query, columns, P):
    n = np.arange(len(weights))
    return np.average(P * abs(n % columns - query % columns), weights=weights)


@wrong("the sum over the keys is axis -1 alone")
def head_distances(weights, between):
    return (weights[:, :, 1:, 1:] * between).sum(axis=(2, 3)).mean(axis=0)


@wrong("the heads are averaged too")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return ((to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)).mean()


@wrong("take the mean over queries as well")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return ((to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)).mean(axis=0)


@wrong("the heads are added up")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        mixed = weights.sum(axis=1) + np.eye(T)
        flow = mixed / mixed.sum(axis=-1, keepdims=True) @ flow
    return flow


@wrong("not by their sums")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        flow = (weights.mean(axis=1) + np.eye(T)) / T @ flow
    return flow


@wrong("the identity of each block is added to flow")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        flow = weights.mean(axis=1) @ flow + np.eye(T)
    return flow


@wrong("V has the largest first")
def main_filters(E, count):
    return np.linalg.svd(E.T - E.mean(axis=1), full_matrices=False)[2][-count:]


@wrong("return the rows of V")
def main_filters(E, count):
    return np.linalg.svd(E.T - E.mean(axis=1), full_matrices=False)[1][:count]


@wrong("these are columns of U: take rows of V")
def main_filters(E, count):
    return np.linalg.svd(E.T - E.mean(axis=1), full_matrices=False)[0][:, :count].T


@wrong("return their cosines")
def similarity_maps(positions, rows, columns):
    patches = positions[0, 1:]
    directions = patches / np.linalg.norm(patches, axis=1, keepdims=True)
    return np.arccos(np.clip(directions @ directions.T, -1, 1)).reshape(rows, columns, rows, columns)


@wrong("the mean is subtracted first")
def similarity_maps(positions, rows, columns):
    patches = positions[0, 1:] - positions[0, 1:].mean(axis=0)
    directions = patches / np.linalg.norm(patches, axis=1, keepdims=True)
    return (directions @ directions.T).reshape(rows, columns, rows, columns)


@wrong("each map has the shape (columns, rows)")
def similarity_maps(positions, rows, columns):
    directions = positions[0, 1:] / np.linalg.norm(positions[0, 1:], axis=1, keepdims=True)
    return (directions @ directions.T).reshape(columns, rows, columns, rows)


@right
def distance_table(rows, columns, P):
    return (
        (P * (np.arange(rows * columns) // columns - np.arange(rows * columns).reshape(-1, 1) // columns)) ** 2
        + (P * (np.arange(rows * columns) % columns - np.arange(rows * columns).reshape(-1, 1) % columns)) ** 2
    ) ** 0.5


@right
def distance_table(rows, columns, P):
    return P * (
        (
            (np.arange(rows).reshape(-1, 1, 1, 1) - np.arange(rows).reshape(1, 1, -1, 1)) ** 2
            + (np.arange(columns).reshape(1, -1, 1, 1) - np.arange(columns).reshape(1, 1, 1, -1)) ** 2
        )
        ** 0.5
    ).reshape(rows * columns, rows * columns)


@wrong("here `rows` divides")
def distance_table(rows, columns, P):
    n = np.arange(rows * columns)
    return P * np.hypot(n[:, None] // rows - n // rows, n[:, None] % rows - n % rows)


@wrong("multiply by P")
def distance_table(rows, columns, P):
    n = np.arange(rows * columns)
    return np.hypot(n[:, None] // columns - n // columns, n[:, None] % columns - n % columns)


@wrong("take the root of the sum of squares")
def distance_table(rows, columns, P):
    n = np.arange(rows * columns)
    return P * (abs(n[:, None] // columns - n // columns) + abs(n[:, None] % columns - n % columns))


@wrong("reshape one of the two to a column")
def distance_table(rows, columns, P):
    n = np.arange(rows * columns)
    return P * ((n // columns - n // columns) ** 2 + (n % columns - n % columns) ** 2) ** 0.5


@wrong("must be a single line")
def distance_table(rows, columns, P):
    n = np.arange(rows * columns)
    return P * ((n[:, None] // columns - n // columns) ** 2 + (n[:, None] % columns - n % columns) ** 2) ** 0.5


@wrong("uses hypot")
def distance_table(rows, columns, P):
    return P * np.hypot(
        np.arange(rows * columns).reshape(-1, 1) // columns - np.arange(rows * columns) // columns,
        np.arange(rows * columns).reshape(-1, 1) % columns - np.arange(rows * columns) % columns,
    )


def far(weights, query, columns):
    n = np.arange(len(weights))
    return np.hypot(n // columns - query // columns, n % columns - query % columns)


@wrong("P is added")
def query_distance(weights, query, columns, P):
    return np.average(far(weights, query, columns), weights=weights) + P


@wrong("the difference of two patch numbers")
def query_distance(weights, query, columns, P):
    return np.average(P * abs(np.arange(len(weights)) - query), weights=weights)


@wrong("the root is of the weighted sum")
def query_distance(weights, query, columns, P):
    return np.sqrt(sum(weights * (P * far(weights, query, columns)) ** 2)) / sum(weights)


@wrong("these are N numbers, weight times distance")
def query_distance(weights, query, columns, P):
    return P * far(weights, query, columns) * weights


@wrong("one distance alone, the largest")
def query_distance(weights, query, columns, P):
    return P * far(weights, query, columns).max()


@wrong("the patch with the largest weight")
def query_distance(weights, query, columns, P):
    return P * far(weights, query, columns)[weights.argmax()]


@wrong("this is a matrix product")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return ((to_patches @ between).sum(axis=-1) / to_patches.sum(axis=-1)).mean(axis=(0, 2))


@wrong("the sum over images and queries is taken")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    return ((to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)).sum(axis=(0, 2))


@wrong("only the patch with the largest weight counts: average over all, by their weights")
def head_distances(weights, between):
    p = weights[:, :, 1:, 1:]
    return between[np.arange(len(between)), p.argmax(-1)].mean(axis=(0, 2))


def blocks(layers, mean=lambda weights: weights.mean(axis=1), other=np.eye, size=np.sum):
    found = []
    for weights in layers:
        mixed = mean(weights) + other(weights.shape[-1])
        found.append(mixed / size(mixed, axis=-1, keepdims=True))
    return found


def joined(matrices):
    flow = np.eye(matrices[0].shape[-1])
    for matrix in matrices:
        flow = matrix @ flow
    return flow


@wrong("flow is added too")
def roll_out(layers):
    flow = np.eye(layers[0].shape[-1])
    for mixed in blocks(layers):
        flow = flow + mixed @ flow
    return flow


@wrong("the blocks are transposed")
def roll_out(layers):
    return joined([mixed.transpose(0, 2, 1) for mixed in blocks(layers)])


@wrong("only head 0 counts")
def roll_out(layers):
    return joined(blocks(layers, mean=lambda weights: weights[:, 0]))


@wrong("divided by their lengths")
def roll_out(layers):
    return joined(blocks(layers, size=np.linalg.norm))


@wrong("1 is added to every number")
def roll_out(layers):
    return joined(blocks(layers, other=lambda T: 1))


@wrong("scaled by their standard deviation")
def main_filters(E, count):
    filters = (E.T - E.mean(axis=1)) / E.std(axis=1)
    return np.linalg.svd(filters, full_matrices=False)[2][:count]


@wrong("these are rows of U, of E and not of E.T: there the components are columns of U")
def main_filters(E, count):
    f = E - E.mean(axis=1, keepdims=True)
    return np.linalg.svd(f, full_matrices=False)[0][:count]


@wrong("it is divided by sums")
def similarity_maps(positions, rows, columns):
    patches = positions[0, 1:]
    patches = patches / patches.sum(axis=1, keepdims=True)
    return (patches @ patches.T).reshape(rows, columns, rows, columns)


@wrong("(D, D): multiply directions @ directions.T")
def similarity_maps(positions, rows, columns):
    directions = positions[0, 1:] / np.linalg.norm(positions[0, 1:], axis=1, keepdims=True)
    return directions.T @ directions


@wrong("keep the axis of the lengths")
def similarity_maps(positions, rows, columns):
    directions = positions[0, 1:] / np.linalg.norm(positions[0, 1:], axis=1)
    return (directions @ directions.T).reshape(rows, columns, rows, columns)


@wrong("roll_out keeps the axis of heads")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T, dtype=layers[0].dtype)
    for weights in layers:
        mixed = weights + np.eye(T, dtype=weights.dtype)
        flow = mixed / mixed.sum(axis=-1, keepdims=True) @ flow
    return flow


@wrong("the query itself is left out")
def query_distance(weights, query, columns, P):
    n = np.delete(np.arange(len(weights)), query)
    distances = P * np.hypot(n // columns - query // columns, n % columns - query % columns)
    return (np.delete(weights, query) * distances).sum() / np.delete(weights, query).sum()


@wrong("takes the mean over the images")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T, dtype=layers[0].dtype)
    for weights in layers:
        mixed = weights.mean(axis=0) + np.eye(T, dtype=weights.dtype)
        flow = mixed / mixed.sum(axis=-1, keepdims=True) @ flow
    return flow


@wrong("the blocks are added up: multiply each with `flow`, mixed @ flow")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.zeros((T, T))
    for w in layers:
        m = w.mean(axis=1) + np.eye(T)
        m = m / m.sum(-1, keepdims=True)
        flow = m + flow
    return flow


@wrong("these are correlations")
def similarity_maps(positions, rows, columns):
    return np.corrcoef(positions[0, 1:]).reshape(rows, columns, rows, columns)


@wrong("the larger of the distances down and across")
def query_distance(weights, query, columns, P):
    n = np.arange(len(weights))
    distances = P * np.maximum(abs(n // columns - query // columns), abs(n % columns - query % columns))
    return (weights * distances).sum() / weights.sum()


@wrong("only one of the two centres has + P / 2: the halves cancel, so leave both out")
def query_distance(weights, query, columns, P):
    t = 0.0
    for n, w in enumerate(weights):
        t += w * math.hypot(
            P * (n // columns) + P / 2 - P * (query // columns), P * (n % columns) + P / 2 - P * (query % columns)
        )
    return t / sum(weights)


@wrong("P is under the root: multiply by P after it, or each distance")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, w in enumerate(weights):
        total += w * np.sqrt(P * ((n // columns - query // columns) ** 2 + (n % columns - query % columns) ** 2))
    return total / sum(weights)


@wrong("the rows are not rounded down: they are n // columns, not n /")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, w in enumerate(weights):
        total += w * P * np.hypot(n / columns - query / columns, n % columns - query % columns)
    return total / sum(weights)


@wrong("only the class token asks, row 0: leave it out, and let each")
def head_distances(weights, between):
    tp = weights[:, :, 0, 1:]
    return ((tp[:, :, None] * between).sum(axis=-1) / tp.sum(axis=-1)[:, :, None]).mean(axis=(0, 2))


@wrong("the difference of rows, //, is there twice: the second is that")
def distance_table(rows, columns, P):
    return (
        P
        * (
            (np.arange(rows * columns).reshape(-1, 1) // columns - np.arange(rows * columns) // columns) ** 2
            + (np.arange(rows * columns).reshape(-1, 1) // columns - np.arange(rows * columns) // columns) ** 2
        )
        ** 0.5
    )


@wrong("the differences are of patch numbers: take those of rows, //,")
def distance_table(rows, columns, P):
    return P * ((np.arange(rows * columns).reshape(-1, 1) - np.arange(rows * columns)) ** 2) ** 0.5


@wrong("** 1 / 2 is (** 1) / 2: write")
def distance_table(rows, columns, P):
    return (
        P
        * (
            (np.arange(rows * columns).reshape(-1, 1) // columns - np.arange(rows * columns) // columns) ** 2
            + (np.arange(rows * columns).reshape(-1, 1) % columns - np.arange(rows * columns) % columns) ** 2
        )
        ** 1
        / 2
    )


@wrong("rows and columns are added: subtract those of the two patches")
def distance_table(rows, columns, P):
    return (
        P
        * (
            (np.arange(rows * columns).reshape(-1, 1) // columns + np.arange(rows * columns) // columns) ** 2
            + (np.arange(rows * columns).reshape(-1, 1) % columns + np.arange(rows * columns) % columns) ** 2
        )
        ** 0.5
    )


@wrong("** 1 / 2 is (** 1) / 2: write ** 0.5")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, weight in enumerate(weights):
        down, across = P * (n // columns - query // columns), P * (n % columns - query % columns)
        total += weight * (down**2 + across**2) ** 1 / 2
    return total / weights.sum()


@wrong("(** 1) / 2: write ** 0.5 instead")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n, weight in enumerate(weights):
        down, across = n // columns - query // columns, n % columns - query % columns
        total += weight * (down**2 + across**2) ** 1 / 2
    return P * total / weights.sum()


@wrong("keep the axis of the sums, keepdims=True")
def head_distances(weights, between):
    to_patches = weights[:, :, 1:, 1:]
    to_patches = to_patches / to_patches.sum(axis=-1)
    return (to_patches * between).sum(axis=-1).mean(axis=(0, 2))


@wrong("all numbers are divided by one sum")
def roll_out(layers):
    T = layers[0].shape[-1]
    flow = np.eye(T)
    for weights in layers:
        mixed = weights.mean(axis=1) + np.eye(T)
        flow = mixed / mixed.sum() @ flow
    return flow


@wrong("it is divided by the length of the other patch twice")
def similarity_maps(positions, rows, columns):
    patches = positions[0, 1:]
    lengths = np.linalg.norm(patches, axis=1)
    return (patches @ patches.T / lengths**2).reshape(rows, columns, rows, columns)


@wrong("whose normalize is here: x / np.linalg.norm(x, axis=-1, keepdims=True)")
def similarity_maps(positions, rows, columns):
    p = F.normalize(positions[0, 1:], dim=-1)  # noqa: F821
    return (p @ p.T).reshape(rows, columns, rows, columns)


@wrong("rows and columns are computed with P")
def query_distance(weights, query, columns, P):
    total = 0.0
    for n in range(len(weights)):
        down, across = n // P - query // P, n % P - query % P
        total += weights[n] * P * (down**2 + across**2) ** 0.5
    return total / sum(weights)
