import math

import numpy as np

from . import lesson, right, right_value, wrong, wrong_value

names = lesson(7)
Tensor, softmax, linear, swap_last_two = (names[name] for name in ("Tensor", "softmax", "linear", "swap_last_two"))
weights_given, attention_given = names["attention_weights"], names["attention"]


@right
def look(query, keys, values):
    s = keys @ query
    w = np.exp(s - s.max())
    return (w / w.sum()) @ values


@right
def look(query, keys, values):
    scores = [float(np.dot(query, key)) for key in keys]
    top = max(scores)
    total, answer = 0.0, 0.0
    for score, value in zip(scores, values, strict=True):
        share = math.exp(score - top)
        total += share
        answer = answer + share * value
    return answer / total


@wrong("softmax is missing")
def look(query, keys, values):
    return (keys @ query) @ values


@wrong("these are the weights")
def look(query, keys, values):
    s = keys @ query
    w = np.exp(s - s.max())
    return w / w.sum()


@wrong("only the best key counts")
def look(query, keys, values):
    return values[np.argmax(keys @ query)]


@wrong("subtract the largest score first")
def look(query, keys, values):
    shares = [math.exp(query @ key) for key in keys]
    return sum(share / sum(shares) * value for share, value in zip(shares, values, strict=True))


@wrong("exp of a large number")
def look(query, keys, values):
    w = np.exp(keys @ query)
    return (w / w.sum()) @ values


@wrong("exp(score - largest score) is not divided by its sum")
def look(query, keys, values):
    s = keys @ query
    return np.exp(s - s.max()) @ values


@wrong("the keys are averaged")
def look(query, keys, values):
    s = keys @ query
    w = np.exp(s - s.max())
    return (w / w.sum()) @ keys


@wrong("the scores are divided by their sum, so some weights are")
def look(query, keys, values):
    s = keys @ query
    return (s / s.sum()) @ values


@wrong("leave that out here, it comes later in this lesson")
def look(query, keys, values):
    s = keys @ query / np.sqrt(len(query))
    w = np.exp(s - s.max())
    return (w / w.sum()) @ values


@wrong("the weighted values are not added up")
def look(query, keys, values):
    s = keys @ query
    w = np.exp(s - s.max())
    return (w / w.sum())[:, None] * values


right_value("score_spread", (8, 1))
right_value("score_spread", [math.sqrt(64), math.sqrt(64) / math.sqrt(64)])
wrong_value("score_spread", (64, 8), "64 is the variance")
wrong_value("score_spread", (8, 0.125), "a division by D_h")
wrong_value("score_spread", (1, 1), "a score adds up 64")
wrong_value("score_spread", (8, 8), "the division makes the scores smaller, and their standard")
wrong_value("score_spread", 8, "score_spread must be a tuple")


@right
def attention_weights(q, k):
    return softmax((q / math.sqrt(q.shape[-1])) @ swap_last_two(k))


@right
def attention_weights(q, k):
    # by hand, without softmax
    axes = list(range(len(k.shape)))
    axes[-1], axes[-2] = axes[-2], axes[-1]
    scores = (q @ k.transpose(*axes)) * q.shape[-1] ** -0.5
    e = (scores - scores.detach().max(axis=-1, keepdims=True)).exp()
    return e / e.sum(axis=-1, keepdims=True)


@wrong("division by √D_h is missing")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k))


@wrong("the scores are divided by D_h")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) / q.shape[-1])


@wrong("softmax runs over the queries")
def attention_weights(q, k):
    scores = q @ swap_last_two(k) / math.sqrt(q.shape[-1])
    return swap_last_two(softmax(swap_last_two(scores)))


@wrong("row i belongs to query i")
def attention_weights(q, k):
    return softmax(k @ swap_last_two(q) / math.sqrt(q.shape[-1]))


@wrong("divide the scores before softmax")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k)) / math.sqrt(q.shape[-1])


@wrong("these are the scores: softmax is missing")
def attention_weights(q, k):
    return q @ swap_last_two(k) / math.sqrt(q.shape[-1])


@wrong("divided by √N")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) / math.sqrt(q.shape[-2]))


@wrong("works with four axes and fails with two")
def attention_weights(q, k):
    return softmax(q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1]))


@wrong(".T reverses all axes, swap_last_two swaps the last two")
def attention_weights(q, k):
    return softmax(q @ k.T / math.sqrt(q.shape[-1]))


@wrong("leaves no gradient on k")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k.detach()) / math.sqrt(q.shape[-1]))


@wrong("returns an array")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) / math.sqrt(q.shape[-1])).data


@wrong("raises ValueError")
def attention_weights(q, k):
    return softmax(q @ k.transpose(0, 1) / math.sqrt(q.shape[-1]))


@right
def attention(q, k, v):
    A = weights_given(q, k)
    return A @ v


@right
def attention(q, k, v):
    # the transposed product, transposed
    A = weights_given(q, k)
    return swap_last_two(swap_last_two(v) @ swap_last_two(A))


@wrong("these are the weights")
def attention(q, k, v):
    return weights_given(q, k)


@wrong("the weights are transposed")
def attention(q, k, v):
    return swap_last_two(weights_given(q, k)) @ v


@wrong("v @ weights")
def attention(q, k, v):
    return v @ weights_given(q, k)


@wrong("the weights multiply v element by element")
def attention(q, k, v):
    return weights_given(q, k) * v


@wrong("the scores are divided by √D_h twice")
def attention(q, k, v):
    return weights_given(q / math.sqrt(q.shape[-1]), k) @ v


@wrong("the keys are averaged")
def attention(q, k, v):
    return weights_given(q, k) @ k


@wrong("queries and keys are swapped")
def attention(q, k, v):
    return weights_given(k, q) @ v


@right
def self_attention(z, U, bias):
    D_h = U.shape[1] // 3
    q = z @ U[:, :D_h] + bias[:D_h]
    k = z @ U[:, D_h : 2 * D_h] + bias[D_h : 2 * D_h]
    v = z @ U[:, 2 * D_h :] + bias[2 * D_h :]
    return weights_given(q, k) @ v


@right
def self_attention(z, U, bias):
    B, N, D = z.shape
    parts = linear(z, U, bias).reshape(B, N, 3, -1).transpose(2, 0, 1, 3)
    return attention_given(parts[0], parts[1], parts[2])


@wrong("the bias is missing")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U)
    return attention_given(qkv[..., :D_h], qkv[..., D_h : 2 * D_h], qkv[..., 2 * D_h :])


@wrong("keys and values are swapped")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    return attention_given(qkv[..., :D_h], qkv[..., 2 * D_h :], qkv[..., D_h : 2 * D_h])


@wrong("the first third is q, the second k")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    return attention_given(qkv[..., D_h : 2 * D_h], qkv[..., :D_h], qkv[..., 2 * D_h :])


@wrong("every third column")
def self_attention(z, U, bias):
    qkv = linear(z, U, bias)
    return attention_given(qkv[..., 0::3], qkv[..., 1::3], qkv[..., 2::3])


@wrong("the tokens were cut into thirds")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    return attention_given(qkv[:, :D_h], qkv[:, D_h : 2 * D_h], qkv[:, 2 * D_h :])


@wrong("leaves no gradient on z")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z.detach(), U, bias)
    return attention_given(qkv[..., :D_h], qkv[..., D_h : 2 * D_h], qkv[..., 2 * D_h :])


@wrong("returns None")
def self_attention(z, U, bias):
    return None
