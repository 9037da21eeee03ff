import numpy as np
from scipy.ndimage import zoom

import minivit

from . import lesson, right, wrong

names = lesson(13)
Tensor, parameter, linear, cross_entropy = (names[n] for n in ("Tensor", "parameter", "linear", "cross_entropy"))
weights_given, resize_given = names["interpolation_weights"], names["resize_positions"]


@right
def interpolation_weights(before, after):
    weights = np.zeros((after, before))
    for i in range(after):
        place = i * (before - 1) / (after - 1)
        left = min(int(place), before - 2)
        weights[i, left + 1] = place - left
        weights[i, left] = 1 - weights[i, left + 1]
    return weights


@right
def interpolation_weights(before, after):
    places = np.linspace(0, before - 1, after)
    return np.clip(1 - abs(places.reshape(-1, 1) - np.arange(before).reshape(1, -1)), 0, None)


@wrong("edges of the rows")
def interpolation_weights(before, after):
    places = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(before)))


@wrong("misses the last old one")
def interpolation_weights(before, after):
    places = np.arange(after) * before / after
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(before)))


@wrong("the two weights are swapped")
def interpolation_weights(before, after):
    weights = np.zeros((after, before))
    for i in range(after):
        place = i * (before - 1) / (after - 1)
        left = min(int(place), before - 2)
        weights[i, left] = place - left
        weights[i, left + 1] = 1 - (place - left)
    return weights


@wrong("each new position takes only the nearest old one")
def interpolation_weights(before, after):
    places = np.linspace(0, before - 1, after)
    return np.eye(before)[np.round(places).astype(int)]


@wrong("it is transposed")
def interpolation_weights(before, after):
    places = np.linspace(0, before - 1, after)
    return np.maximum(0, 1 - abs(places - np.arange(before)[:, None]))


@wrong("a distance above 1")
def interpolation_weights(before, after):
    places = np.linspace(0, before - 1, after)
    return 1 - abs(places[:, None] - np.arange(before))


@wrong("these are the distances")
def interpolation_weights(before, after):
    places = np.linspace(0, before - 1, after)
    return abs(places[:, None] - np.arange(before))


@right
def resize_positions(table, before, after):
    R, S = weights_given(before[0], after[0]), weights_given(before[1], after[1])
    grid = table[0, 1:].reshape(before[0], before[1], -1)
    larger = np.einsum("ah,bw,hwd->abd", R, S, grid).reshape(after[0] * after[1], -1)
    return np.vstack([table[0, :1], larger])[None].astype(table.dtype)


@right
def resize_positions(table, before, after):
    grid = table[0, 1:].reshape(*before, -1)
    factors = (after[0] / before[0], after[1] / before[1], 1)
    larger = zoom(grid, factors, order=1).reshape(1, after[0] * after[1], -1)
    return np.concatenate([table[:, :1], larger], axis=1)


@right
def resize_positions(table, before, after):
    both = np.kron(weights_given(before[0], after[0]), weights_given(before[1], after[1]))
    out = np.empty((1, 1 + len(both), table.shape[2]), table.dtype)
    out[0, 0] = table[0, 0]
    out[0, 1:] = both @ table[0, 1:]
    return out


def enlarged(table, before, after):
    grid = table[0, 1:].reshape(*before, -1)
    larger = np.einsum("ah,bw,hwd->abd", weights_given(before[0], after[0]), weights_given(before[1], after[1]), grid)
    return larger.astype(table.dtype)


@wrong("class token's row is missing")
def resize_positions(table, before, after):
    return enlarged(table, before, after).reshape(1, -1, table.shape[2])


@wrong("the class token's row is last")
def resize_positions(table, before, after):
    larger = enlarged(table, before, after).reshape(1, -1, table.shape[2])
    return np.concatenate([larger, table[:, :1]], axis=1)


@wrong("the class token's row is zeros")
def resize_positions(table, before, after):
    out = np.zeros((1, 1 + after[0] * after[1], table.shape[2]), table.dtype)
    out[0, 1:] = enlarged(table, before, after).reshape(-1, table.shape[2])
    return out


@wrong("along the sequence")
def resize_positions(table, before, after):
    W = weights_given(before[0] * before[1], after[0] * after[1])
    return np.concatenate([table[:, :1], (W @ table[0, 1:])[None]], axis=1).astype(table.dtype)


@wrong("the class token is interpolated too")
def resize_positions(table, before, after):
    W = weights_given(1 + before[0] * before[1], 1 + after[0] * after[1])
    return (W @ table[0])[None].astype(table.dtype)


@wrong("rows and columns of the old grid")
def resize_positions(table, before, after):
    grid = table[0, 1:].reshape(before[1], before[0], -1)
    R, S = weights_given(before[0], after[0]), weights_given(before[1], after[1])
    larger = np.einsum("ah,bw,whd->bad", R, S, grid).reshape(1, after[0] * after[1], -1)
    return np.concatenate([table[:, :1], larger], axis=1).astype(table.dtype)


@wrong("the new patches are in column order")
def resize_positions(table, before, after):
    larger = enlarged(table, before, after).transpose(1, 0, 2).reshape(1, -1, table.shape[2])
    return np.concatenate([table[:, :1], larger], axis=1)


@wrong("end with .astype(table.dtype)")
def resize_positions(table, before, after):
    larger = enlarged(table.astype(float), before, after).reshape(1, -1, table.shape[2])
    return np.concatenate([table[:, :1], larger], axis=1)


@right
def adapt_weights(weights, before, after, K=None):
    new = {}
    for name, array in weights.items():
        if name == "positions.embedding":
            array = resize_given(array, before, after)
        elif name == "head.weight" and K is not None:
            array = np.zeros((array.shape[0], K), np.float32)
        elif name == "head.bias" and K is not None:
            array = np.zeros(K, np.float32)
        new[name] = array
    return new


@right
def adapt_weights(weights, before, after, K=None):
    head = {}
    if K:
        D = weights["positions.embedding"].shape[-1]
        head = {"head.weight": np.zeros([D, K], "float32"), "head.bias": np.zeros([K], "float32")}
    return {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after), **head}


@wrong("changes its input")
def adapt_weights(weights, before, after, K=None):
    weights["positions.embedding"] = resize_given(weights["positions.embedding"], before, after)
    return weights


@wrong("this is the old table")
def adapt_weights(weights, before, after, K=None):
    new = dict(weights)
    if K is not None:
        new["head.weight"] = np.zeros((weights["head.weight"].shape[0], K), np.float32)
        new["head.bias"] = np.zeros(K, np.float32)
    return new


@wrong("this is the old head")
def adapt_weights(weights, before, after, K=None):
    return {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}


@wrong("zeros for the old number of classes")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}
    new["head.weight"] = np.zeros_like(weights["head.weight"])
    return new


@wrong("it is transposed: the head's weight")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}
    if K is not None:
        new["head.weight"] = np.zeros((K, len(weights["head.weight"])), np.float32)
        new["head.bias"] = np.zeros(K, np.float32)
    return new


@wrong("the head is zeros")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}
    D, old = weights["head.weight"].shape
    new["head.weight"], new["head.bias"] = np.zeros((D, K or old), np.float32), np.zeros(K or old, np.float32)
    return new


@wrong("leaves out blocks.0.norm1.weight")
def adapt_weights(weights, before, after, K=None):
    return {
        "embedding.weight": weights["embedding.weight"],
        "cls": weights["cls"],
        "positions.embedding": resize_given(weights["positions.embedding"], before, after),
        "head.weight": np.zeros((weights["head.weight"].shape[0], K or 7), np.float32),
        "head.bias": np.zeros(K or 7, np.float32),
    }


@right
def train_head(features, labels, K, steps, lr):
    B, D = features.shape
    weight, bias, m_w, m_b = np.zeros((D, K)), np.zeros(K), 0.0, 0.0
    for _ in range(steps):
        logits = features @ weight + bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(B), labels] -= 1
        m_w, m_b = 0.9 * m_w + features.T @ p / B, 0.9 * m_b + p.mean(axis=0)
        weight, bias = weight - lr * m_w, bias - lr * m_b
    return weight, bias


@right
def train_head(features, labels, K, steps, lr):
    values = [np.zeros((features.shape[1], K), np.float32), np.zeros(K, np.float32)]
    slow = [np.zeros_like(value) for value in values]
    for _ in range(steps):
        W, b = (parameter(value) for value in values)
        loss = cross_entropy(Tensor(features) @ W + b, labels)
        loss.backward()
        for i, p in enumerate((W, b)):
            slow[i] = 0.9 * slow[i] + p.grad
            values[i] = values[i] - lr * slow[i]
    return tuple(values)


def trained(features, labels, K, steps, lr, momentum=0.9, share=1.0, scale=1.0):
    values = [np.zeros((features.shape[1], K)), np.zeros(K)]
    slow = [0.0, 0.0]
    for _ in range(steps):
        W, b = (parameter(value) for value in values)
        cross_entropy(linear(Tensor(features), W, b), labels).backward()
        for i, p in enumerate((W, b)):
            slow[i] = momentum * slow[i] + share * scale * p.grad
            values[i] = values[i] - lr * slow[i]
    return values


@wrong("momentum is missing")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps, lr, momentum=0.0)


@wrong("a tenth of the gradient")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps, lr, share=0.1)


@wrong("sum over the images")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps, lr, scale=len(features))


@wrong("the step is added")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps, -lr)


@wrong("one step too few")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps - 1, lr)


@wrong("the bias is not updated")
def train_head(features, labels, K, steps, lr):
    weight, bias = trained(features, labels, K, steps, lr)
    return weight, np.zeros(K)


@wrong("the bias is not added to the logits")
def train_head(features, labels, K, steps, lr):
    weight, bias, m_w, m_b = np.zeros((features.shape[1], K)), np.zeros(K), 0.0, 0.0
    for _ in range(steps):
        p = np.exp(features @ weight)
        p = p / p.sum(axis=1, keepdims=True) - np.eye(K)[labels]
        m_w, m_b = 0.9 * m_w + features.T @ p / len(p), 0.9 * m_b + p.mean(axis=0)
        weight, bias = weight - lr * m_w, bias - lr * m_b
    return weight, bias


@wrong("squared error")
def train_head(features, labels, K, steps, lr):
    weight, bias, m_w, m_b = np.zeros((features.shape[1], K)), np.zeros(K), 0.0, 0.0
    for _ in range(steps):
        d = features @ weight + bias - np.eye(K)[labels]
        m_w, m_b = 0.9 * m_w + features.T @ d / len(d), 0.9 * m_b + d.mean(axis=0)
        weight, bias = weight - lr * m_w, bias - lr * m_b
    return weight, bias


@wrong("train_head must return two arrays")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps, lr)[0]


# -- what people who know PyTorch, only NumPy, or who guess write -------------------------------------------


def triangles(places, before, width=1.0):
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(before)) / width)


@wrong("the last old one is before - 1")
def interpolation_weights(before, after):
    return triangles(np.linspace(0, before, after), before)


@wrong("the last one needs after - 1")
def interpolation_weights(before, after):
    return triangles(np.arange(after) * (before - 1) / after, before)


@wrong("the factor is upside down")
def interpolation_weights(before, after):
    return triangles(np.arange(after) * (after - 1) / (before - 1), before)


@wrong("only the old one on its left")
def interpolation_weights(before, after):
    return np.eye(before)[(np.arange(after) * (before - 1) // (after - 1))]


@wrong("turn them into weights")
def interpolation_weights(before, after):
    return np.linspace(0, before - 1, after)


@wrong("transpose back with (1, 2, 0) first")
def resize_positions(table, before, after):
    R, S = weights_given(before[0], after[0]), weights_given(before[1], after[1])
    larger = R @ table[0, 1:].reshape(*before, -1).transpose(2, 0, 1) @ S.T
    larger = larger.reshape(1, after[0] * after[1], -1)
    return np.concatenate([table[:, :1], larger], axis=1).astype(table.dtype)


@wrong("which mixes channels")
def resize_positions(table, before, after):
    R, S = weights_given(before[0], after[0]), weights_given(before[1], after[1])
    larger = R @ table[0, 1:].reshape(-1, *before) @ S.T
    larger = larger.transpose(1, 2, 0).reshape(1, after[0] * after[1], -1)
    return np.concatenate([table[:, :1], larger], axis=1).astype(table.dtype)


@wrong("use R @ grid @ S.T with a grid (D, h, w)")
def resize_positions(table, before, after):
    R, S = weights_given(before[0], after[0]), weights_given(before[1], after[1])
    larger = R @ table[0, 1:].reshape(*before, -1) @ S.T
    return np.concatenate([table[:, :1], larger.reshape(1, -1, table.shape[2])], axis=1).astype(table.dtype)


@wrong("the first axis is missing")
def resize_positions(table, before, after):
    larger = enlarged(table, before, after).reshape(-1, table.shape[2])
    return np.concatenate([table[0, :1], larger])


@wrong("only the nearest old one: interpolate with R and S")
def resize_positions(table, before, after):
    rows = np.rint(np.linspace(0, before[0] - 1, after[0])).astype(int)
    columns = np.rint(np.linspace(0, before[1] - 1, after[1])).astype(int)
    larger = table[0, 1:].reshape(*before, -1)[rows][:, columns]
    return np.concatenate([table[:, :1], larger.reshape(1, -1, table.shape[2])], axis=1)


@wrong("is not zero: start a new head at zero")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}
    if K is not None:
        D, rng = len(weights["head.weight"]), np.random.default_rng(0)
        new["head.weight"] = 0.02 * rng.standard_normal((D, K)).astype(np.float32)
        new["head.bias"] = np.zeros(K, np.float32)
    return new


@wrong("np.zeros(...) without a dtype?")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}
    if K is not None:
        new["head.weight"] = np.zeros((len(weights["head.weight"]), K))
        new["head.bias"] = np.zeros(K)
    return new


@wrong("in this order")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], after, before)}
    if K is not None:
        new["head.weight"] = np.zeros((len(weights["head.weight"]), K), np.float32)
        new["head.bias"] = np.zeros(K, np.float32)
    return new


@wrong("an axis of length 1 more")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}
    if K is not None:
        new["head.weight"] = np.zeros((len(weights["head.weight"]), K), np.float32)
        new["head.bias"] = np.zeros((1, K), np.float32)
    return new


@wrong("without momentum: it needs its own m")
def train_head(features, labels, K, steps, lr):
    weight, bias, m = np.zeros((features.shape[1], K)), np.zeros(K), 0.0
    for _ in range(steps):
        W, b = parameter(weight), parameter(bias)
        cross_entropy(linear(Tensor(features), W, b), labels).backward()
        m = 0.9 * m + W.grad
        weight, bias = weight - lr * m, bias - lr * b.grad
    return weight, bias


@wrong("old gradients are added up")
def train_head(features, labels, K, steps, lr):
    W, b = parameter(np.zeros((features.shape[1], K))), parameter(np.zeros(K))
    slow = [0.0, 0.0]
    for _ in range(steps):
        cross_entropy(linear(Tensor(features), W, b), labels).backward()
        for i, p in enumerate((W, b)):
            slow[i] = 0.9 * slow[i] + p.grad
            p.data = p.data - lr * slow[i]
    return W.data, b.data


@wrong("the learning rate is missing")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps, 1.0)


@wrong("only one step is taken")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, 1, lr)


@wrong("divided by the number of images twice")
def train_head(features, labels, K, steps, lr):
    weight, bias, m_w, m_b = np.zeros((features.shape[1], K)), np.zeros(K), 0.0, 0.0
    for _ in range(steps):
        p = np.exp(features @ weight + bias)
        d = (p / p.sum(axis=1, keepdims=True) - np.eye(K)[labels]) / len(p)
        m_w, m_b = 0.9 * m_w + features.T @ d, 0.9 * m_b + d.mean(axis=0)
        weight, bias = weight - lr * m_w, bias - lr * m_b
    return weight, bias


@right
def edge_weights(before, after):
    old = (np.arange(before) + 0.5) * after / before - 0.5
    distance = np.abs(np.arange(after)[:, None] - old)
    shares = np.maximum(0.0, 1.0 - distance * min(before / after, 1.0))
    return shares / shares.sum(axis=1, keepdims=True)


@right
def edge_weights(before, after):
    weights = np.zeros((after, before))
    width = max(before / after, 1)
    for i in range(after):
        for j in range(before):
            weights[i, j] = max(0, 1 - abs((i + 0.5) * before / after - 0.5 - j) / width)
        weights[i] /= weights[i].sum()
    return weights


def to_one(shares):
    return shares / shares.sum(axis=1, keepdims=True)


@wrong("align the edges, with centres")
def edge_weights(before, after):
    return to_one(triangles(np.linspace(0, before - 1, after), before, max(before / after, 1)))


@wrong("not widened when the row becomes shorter")
def edge_weights(before, after):
    return to_one(triangles((np.arange(after) + 0.5) * before / after - 0.5, before))


@wrong("d is at least 1")
def edge_weights(before, after):
    return to_one(triangles((np.arange(after) + 0.5) * before / after - 0.5, before, before / after))


@wrong("the rows are not divided by their sums")
def edge_weights(before, after):
    return triangles((np.arange(after) + 0.5) * before / after - 0.5, before, max(before / after, 1))


@wrong("the halves are missing")
def edge_weights(before, after):
    return to_one(triangles(np.arange(after) * before / after, before, max(before / after, 1)))


@wrong("use left = min(left, before - 2)")
def interpolation_weights(before, after):
    places = np.linspace(0, before - 1, after)
    left = np.floor(places).astype(int)
    weights = np.zeros((after, before))
    weights[np.arange(after), left] = 1 - (places - left)
    weights[np.arange(after), left + 1] = places - left
    return weights


@wrong("make the places a column")
def interpolation_weights(before, after):
    return np.maximum(0, 1 - abs(np.linspace(0, before - 1, after) - np.arange(before)))


@wrong("abs is missing")
def interpolation_weights(before, after):
    return np.maximum(0, 1 - (np.linspace(0, before - 1, after)[:, None] - np.arange(before)))


@wrong("the distance is squared")
def interpolation_weights(before, after):
    return np.maximum(0, 1 - (np.linspace(0, before - 1, after)[:, None] - np.arange(before)) ** 2)


@wrong("inverse distances")
def interpolation_weights(before, after):
    weights = 1 / (abs(np.linspace(0, before - 1, after)[:, None] - np.arange(before)) + 1e-9)
    return weights / weights.sum(axis=1, keepdims=True)


@wrong("measure in steps of the old row")
def interpolation_weights(before, after):
    return np.maximum(0, 1 - abs(np.linspace(0, 1, after)[:, None] - np.linspace(0, 1, before)))


@wrong("each distance is divided by the sum of all: subtract the distance itself from 1")
def interpolation_weights(before, after):
    places = np.arange(after) * (before - 1) / (after - 1)
    d = np.abs(places[:, None] - np.arange(before))
    return 1 - d / d.sum(1, keepdims=True)


@wrong("use table[0, 1:]")
def resize_positions(table, before, after):
    wrong_rows = np.concatenate([table[:, :1], table[:, :-1]], axis=1)
    larger = enlarged(wrong_rows, before, after).reshape(1, -1, table.shape[2])
    return np.concatenate([table[:, :1], larger], axis=1)


@wrong("along axis 1: reshape the grid to rows first")
def resize_positions(table, before, after):
    return np.concatenate([table[:, :1], enlarged(table, before, after)], axis=1)


@wrong("its first axis is the old number of classes")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}
    if K is not None:
        new["head.weight"] = np.zeros((weights["head.weight"].shape[1], K), np.float32)
        new["head.bias"] = np.zeros(K, np.float32)
    return new


@wrong("it must be an array")
def adapt_weights(weights, before, after, K=None):
    new = {**weights, "positions.embedding": resize_given(weights["positions.embedding"], before, after)}
    if K is not None:
        new["head.weight"] = parameter(np.zeros((len(weights["head.weight"]), K)))
        new["head.bias"] = parameter(np.zeros(K))
    return new


@wrong("K may be None: then keep the old head")
def adapt_weights(weights, before, after, K=10):
    new = dict(weights)
    new["positions.embedding"] = resize_given(weights["positions.embedding"], before, after)
    new["head.weight"] = np.zeros((len(weights["head.weight"]), K), np.float32)
    new["head.bias"] = np.zeros(K, np.float32)
    return new


@wrong("is loss.backward() missing?")
def train_head(features, labels, K, steps, lr):
    weight, bias, m = np.zeros((features.shape[1], K)), np.zeros(K), 0.0
    for _ in range(steps):
        W, b = parameter(weight), parameter(bias)
        cross_entropy(linear(Tensor(features), W, b), labels)
        m = 0.9 * m + W.grad
        weight = weight - lr * m
    return weight, bias


@wrong("one step too many")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps + 1, lr)


@wrong("lr is used twice")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps, lr * lr)


@wrong("does not start at zero")
def train_head(features, labels, K, steps, lr):
    weight, bias = trained(features, labels, K, steps, lr)
    return weight + 0.01 * np.random.default_rng(0).standard_normal(weight.shape), bias


@wrong("m holds only the last gradient")
def train_head(features, labels, K, steps, lr):
    weight, bias, last = np.zeros((features.shape[1], K)), np.zeros(K), (0.0, 0.0)
    for _ in range(steps):
        W, b = parameter(weight), parameter(bias)
        cross_entropy(linear(Tensor(features), W, b), labels).backward()
        weight = weight - lr * W.grad + 0.9 * last[0]
        bias = bias - lr * b.grad + 0.9 * last[1]
        last = W.grad, b.grad
    return weight, bias


@wrong("it has a gradient and an m, like the weight")
def train_head(features, labels, K, steps, lr):
    weight = np.zeros((features.shape[1], K))
    m = np.zeros_like(weight)
    for _ in range(steps):
        e = np.exp(features @ weight)
        p = e / e.sum(axis=1, keepdims=True)
        m = 0.9 * m + features.T @ (p - np.eye(K)[labels]) / len(features)
        weight = weight - lr * m
    return weight, np.zeros(K)


@wrong("return weight, bias")
def train_head(features, labels, K, steps, lr):
    return trained(features, labels, K, steps, lr)[::-1]


@wrong("the rows are reshaped to (w, h, D)")
def resize_positions(table, before, after):
    R, S = weights_given(before[0], after[0]), weights_given(before[1], after[1])
    grid = table[0, 1:].reshape(before[1], before[0], -1).transpose(2, 1, 0)
    rows = (R @ grid @ S.T).transpose(1, 2, 0).reshape(1, after[0] * after[1], -1)
    return np.concatenate([table[:, :1], rows], axis=1).astype(table.dtype)


@wrong("make all float64 or all float32: Tensor(array.astype(x.dtype))")
def train_head(features, labels, K, steps, lr):
    weight, bias = np.zeros((features.shape[1], K)), np.zeros(K)
    x = Tensor(features)
    mw, mb = np.zeros_like(weight), np.zeros_like(bias)
    W, b = parameter(weight), parameter(bias)
    for _ in range(steps):
        W.grad = b.grad = None
        cross_entropy(linear(x, W, b), labels).backward()
        mw, mb = 0.9 * mw + W.grad, 0.9 * mb + b.grad
        W.data, b.data = W.data - lr * mw, b.data - lr * mb
    return W, b


@wrong("the step uses the old m")
def train_head(features, labels, K, steps, lr):
    weight, bias = np.zeros((features.shape[1], K)), np.zeros(K)
    m, n = np.zeros_like(weight), np.zeros_like(bias)
    for _ in range(steps):
        logits = features @ weight + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        d = (p - np.eye(K)[labels]) / len(labels)
        weight, bias = weight - lr * m, bias - lr * n
        m, n = 0.9 * m + features.T @ d, 0.9 * n + d.sum(axis=0)
    return weight, bias


@wrong("this function takes arrays with one axis: call it for each row")
def interpolation_weights(before, after):
    return np.interp(np.linspace(0, before - 1, after), np.arange(before), np.eye(before))


@wrong("np.maximum works element by element")
def interpolation_weights(before, after):
    places = np.linspace(0, before - 1, after)
    return max(0, 1 - np.abs(places[:, None] - np.arange(before)))


@wrong("np.maximum compares two")
def interpolation_weights(before, after):
    places = np.linspace(0, before - 1, after)
    return np.max(0, 1 - np.abs(places[:, None] - np.arange(before)))


@wrong("the class token's row is table[:, :1], of shape (1, 1, D)")
def resize_positions(table, before, after):
    R, S = weights_given(before[0], after[0]), weights_given(before[1], after[1])
    grid = table[0, 1:].reshape(*before, -1).transpose(2, 0, 1)
    patches = (R @ grid @ S.T).transpose(1, 2, 0).reshape(1, after[0] * after[1], -1)
    return np.concatenate([table[0], patches], axis=1).astype(table.dtype)


@wrong("train_head returns Tensors")
def train_head(features, labels, K, steps, lr):
    W, b = parameter(np.zeros((features.shape[1], K))), parameter(np.zeros(K))
    m_weight, m_bias = 0.0, 0.0
    for _ in range(steps):
        W.grad = b.grad = None
        cross_entropy(linear(Tensor(features), W, b), labels).backward()
        m_weight, m_bias = 0.9 * m_weight + W.grad, 0.9 * m_bias + b.grad
        W.data, b.data = W.data - lr * m_weight, b.data - lr * m_bias
    return W, b


@wrong("the weight is (D, K), and D is features.shape[1]")
def train_head(features, labels, K, steps, lr):
    W, b = parameter(np.zeros((K, features.shape[1]))), parameter(np.zeros(K))
    cross_entropy(linear(Tensor(features), W, b), labels).backward()
    return W.data - lr * W.grad, b.data - lr * b.grad


@wrong("does the weight have its own m, and the bias its own?")
def train_head(features, labels, K, steps, lr):
    W, b, m = parameter(np.zeros((features.shape[1], K))), parameter(np.zeros(K)), 0.0
    for _ in range(steps):
        W.grad = b.grad = None
        cross_entropy(linear(Tensor(features), W, b), labels).backward()
        for p in (W, b):
            m = 0.9 * m + p.grad
            p.data = p.data - lr * m
    return W.data, b.data


@wrong("is W still a parameter?")
def train_head(features, labels, K, steps, lr):
    W, b = parameter(np.zeros((features.shape[1], K))), parameter(np.zeros(K))
    m_weight, m_bias = 0.0, 0.0
    for _ in range(steps):
        cross_entropy(linear(Tensor(features), W, b), labels).backward()
        m_weight, m_bias = 0.9 * m_weight + W.grad, 0.9 * m_bias + b.grad
        W, b = W - lr * m_weight, b - lr * m_bias
    return W.data, b.data


@wrong("all numbers are divided by one sum")
def edge_weights(before, after):
    step = before / after
    centres = (np.arange(after) + 0.5) * step - 0.5
    shares = np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(before)) / max(step, 1.0))
    return shares / shares.sum()


@wrong("the new places are edges of cells: they are the middles")
def edge_weights(before, after):
    places = np.linspace(-0.5, before - 0.5, after)
    shares = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(before)) / max(before / after, 1.0))
    return shares / shares.sum(axis=1, keepdims=True)


@wrong("whose interpolate is here: a matrix of weights for the rows, and one for the columns")
def resize_positions(table, before, after):
    grid = table[:, 1:].reshape(1, *before, -1).transpose(0, 3, 1, 2)
    new = F.interpolate(grid, size=after, mode="bilinear").transpose(0, 2, 3, 1)  # noqa: F821
    return np.concatenate([table[:, :1], new.reshape(1, after[0] * after[1], -1)], axis=1)


@wrong("minivit's optimisers take its own Tensors: write the step")
def train_head(features, labels, K, steps, lr):
    w, b = parameter(np.zeros((features.shape[1], K))), parameter(np.zeros(K))
    optimiser = minivit.SGD([("w", w), ("b", b)], lr=lr, momentum=0.9)
    for _ in range(steps):
        optimiser.zero_grad()
        cross_entropy(linear(Tensor(features), w, b), labels).backward()
        optimiser.step()
    return w.data, b.data
