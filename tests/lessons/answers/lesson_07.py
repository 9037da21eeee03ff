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


@right
def look(query, keys, values):
    output = total = 0.0
    top = max(key @ query for key in keys)
    for key, value in zip(keys, values, strict=True):
        share = np.exp(key @ query - top)
        total += share
        output = output + share * value
    return output / total


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


# -- more mistakes of look --------------------------------------------------------------------------------


@wrong("the scores are keys @ query")
def look(query, keys, values):
    s = query @ keys
    w = np.exp(s - s.max())
    return (w / w.sum()) @ values


@wrong("because the weights already add up to 1")
def look(query, keys, values):
    s = keys @ query
    w = np.exp(s - s.max())
    return np.mean((w / w.sum())[:, None] * values, axis=0)


@wrong("your softmax takes a Tensor")
def look(query, keys, values):
    return softmax(keys @ query) @ values


@wrong("do without PyTorch")
def look(query, keys, values):
    return F.softmax(keys @ query, dim=-1) @ values  # noqa: F821


@wrong("math.exp takes one number")
def look(query, keys, values):
    s = keys @ query
    w = math.exp(s - s.max())
    return (w / w.sum()) @ values


@wrong("the sign of the scores is wrong")
def look(query, keys, values):
    s = -(keys @ query)
    w = np.exp(s - s.max())
    return (w / w.sum()) @ values


@wrong("absolute scores")
def look(query, keys, values):
    s = np.abs(keys @ query)
    return (s / s.sum()) @ values


@wrong("all values count equally")
def look(query, keys, values):
    return values.mean(axis=0)


wrong_value("score_spread", (4096, 64), "the variances of the 64 products are multiplied")
wrong_value("score_spread", (8, 2), "8 divided by √64 is not 2")
wrong_value("score_spread", (0.125, 1), "a larger standard deviation than its terms")


# -- more mistakes with Tensors ---------------------------------------------------------------------------


@wrong("transpose takes all axes in their new order: use swap_last_two(k)")
def attention_weights(q, k):
    return softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]))


@wrong("has no attribute 'mT'")
def attention_weights(q, k):
    return softmax(q @ k.mT / math.sqrt(q.shape[-1]))


@wrong("the product is q @ swap_last_two(k)")
def attention_weights(q, k):
    return softmax(q @ k / math.sqrt(q.shape[-1]))


@wrong("PyTorch's dim is here: axis")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) / math.sqrt(q.shape[-1]), dim=-1)


@wrong("softmax runs over the heads")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) / math.sqrt(q.shape[-1]), axis=1)


@wrong("softmax runs over the images")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) / math.sqrt(q.shape[-1]), axis=0)


@wrong("exp(score), not divided by their sum")
def attention_weights(q, k):
    return (q @ swap_last_two(k) / math.sqrt(q.shape[-1])).exp()


@wrong("use your softmax and the Tensor's methods")
def attention_weights(q, k):
    e = np.exp(q @ swap_last_two(k) / math.sqrt(q.shape[-1]))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("attention returns a tuple")
def attention(q, k, v):
    A = weights_given(q, k)
    return A @ v, A


@wrong("v is transposed")
def attention(q, k, v):
    return weights_given(q, k) @ swap_last_two(v)


@wrong("softmax acts twice")
def attention(q, k, v):
    return softmax(weights_given(q, k)) @ v


@wrong("the division by √D_h is missing")
def attention(q, k, v):
    return softmax(q @ swap_last_two(k)) @ v


@wrong("compare queries with values")
def attention(q, k, v):
    return weights_given(q, v) @ v


@wrong("attention returns an array")
def attention(q, k, v):
    return weights_given(q, k).data @ v.data


@wrong("a reshape alone")
def self_attention(z, U, bias):
    B, N, D = z.shape
    qkv = linear(z, U, bias).reshape(3, B, N, -1)
    return attention_given(qkv[0], qkv[1], qkv[2])


@wrong("PyTorch's chunk is here")
def self_attention(z, U, bias):
    q, k, v = linear(z, U, bias).chunk(3, dim=-1)
    return attention_given(q, k, v)


@wrong("the product is z @ U, without .T")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = z @ U.T + bias
    return attention_given(qkv[..., :D_h], qkv[..., D_h : 2 * D_h], qkv[..., 2 * D_h :])


@wrong("q, k and v side by side")
def self_attention(z, U, bias):
    return linear(z, U, bias)


@wrong("compare queries with queries")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    return attention_given(qkv[..., :D_h], qkv[..., :D_h], qkv[..., 2 * D_h :])


@wrong("the scores are divided by √(3 D_h)")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    scores = qkv[..., :D_h] @ swap_last_two(qkv[..., D_h : 2 * D_h])
    return softmax(scores / math.sqrt(U.shape[-1])) @ qkv[..., 2 * D_h :]


# -- puzzles ----------------------------------------------------------------------------------------------


@right
def mean_over_tokens(z):
    return np.ones((1, z.shape[-2])) @ z / z.shape[-2]


@right
def mean_over_tokens(z):
    """The docstring does not count."""
    return np.full((1, z.shape[-2]), 1 / z.shape[-2]) @ z


@wrong("this is the sum")
def mean_over_tokens(z):
    return np.ones((1, z.shape[-2])) @ z


@wrong("over the numbers of each token")
def mean_over_tokens(z):
    return z @ np.full((z.shape[-1], 1), 1 / z.shape[-1])


@wrong("the axis of the tokens is lost")
def mean_over_tokens(z):
    return np.full(z.shape[-2], 1 / z.shape[-2]) @ z


@wrong("uses mean: this puzzle allows @")
def mean_over_tokens(z):
    return z.mean(axis=-2, keepdims=True)


@wrong("each weight is 1/B")
def mean_over_tokens(z):
    return np.full((1, z.shape[-2]), 1 / len(z)) @ z


@wrong("the row of weights has N")
def mean_over_tokens(z):
    return np.full((1, z.shape[-1]), 1 / z.shape[-1]) @ z


@wrong("this repeats the mean")
def mean_over_tokens(z):
    return np.full((z.shape[-2], z.shape[-2]), 1 / z.shape[-2]) @ z


@right
def causal_mask(N):
    return np.arange(N)[:, None] >= np.arange(N)


@right
def causal_mask(N):
    return np.arange(N) <= np.arange(N).reshape(-1, 1)


@right
def causal_mask(N):
    return np.arange(N)[:, None] - np.arange(N) >= 0


@wrong("it is transposed: row i")
def causal_mask(N):
    return np.arange(N) >= np.arange(N).reshape(N, 1)


@wrong("a token must see itself too")
def causal_mask(N):
    return np.arange(N).reshape(N, 1) > np.arange(N)


@wrong("compare a column of positions, (N, 1)")
def causal_mask(N):
    return np.arange(N) >= np.arange(N)


@wrong("uses tril")
def causal_mask(N):
    return np.tril(np.ones((N, N), bool))


@wrong("must be an array of booleans")
def causal_mask(N):
    return np.tril(np.ones((N, N)))


@wrong("must be a single line")
def causal_mask(N):
    i = np.arange(N)
    return i.reshape(N, 1) >= i


@wrong("every pair is allowed")
def causal_mask(N):
    return np.arange(N).reshape(N, 1) >= np.zeros(N)


# -- mistakes by people who know PyTorch, NumPy alone, or guess -------------------------------------------


@wrong("the product is swap_last_two(q) @ k")
def attention_weights(q, k):
    D = q.shape[-1]
    return softmax(swap_last_two(q) @ k / math.sqrt(D))


@wrong("q and k are multiplied element by element")
def attention_weights(q, k):
    D = q.shape[-1]
    return softmax(q * k / math.sqrt(D))


@wrong("the scores are divided by the root of another axis")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) / math.sqrt(q.shape[1]))


@wrong("exp(score) is divided by the sum over everything")
def attention_weights(q, k):
    s = q @ swap_last_two(k) / math.sqrt(q.shape[-1])
    e = s.exp()
    return e / e.sum()


@wrong("the scores compare queries with queries")
def attention_weights(q, k):
    s = q @ swap_last_two(q) / math.sqrt(q.shape[-1])
    return softmax(s)


@wrong("these are the scores, divided by D_h")
def attention_weights(q, k):
    return q @ swap_last_two(k) / q.shape[-1]


@wrong("NumPy's swapaxes is here")
def attention_weights(q, k):
    s = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
    return softmax(s)


@wrong("softmax acts on q and k: it must act on their scores")
def attention_weights(q, k):
    return softmax(q) @ swap_last_two(softmax(k))


@wrong("the scores are divided by 8, which is √D_h only for D_h = 64: use q.shape[-1]")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) / 8)


@wrong("the scores are divided by the fourth root of D_h: divide by √D_h")
def attention_weights(q, k):
    return softmax(q @ swap_last_two(k) * q.shape[-1] ** -0.25)


@wrong("the scores are cosines: divide")
def attention_weights(q, k):
    a = q / (q * q).sum(axis=-1, keepdims=True).sqrt()
    b = k / (k * k).sum(axis=-1, keepdims=True).sqrt()
    return softmax(a @ swap_last_two(b))


@wrong("by the sum over all rows of a head")
def attention_weights(q, k):
    e = (q @ swap_last_two(k) / math.sqrt(q.shape[-1])).exp()
    return e / e.sum(axis=(-1, -2), keepdims=True)


@wrong("the product is swap_last_two(v) @ weights")
def attention(q, k, v):
    return swap_last_two(v) @ weights_given(q, k)


@wrong("the output is divided by √D_h: only the scores are")
def attention(q, k, v):
    return (weights_given(q, k) @ v) / math.sqrt(q.shape[-1])


@wrong("q is added: return weights @ v alone")
def attention(q, k, v):
    return weights_given(q, k) @ v + q


@wrong("v is added: return weights @ v alone")
def attention(q, k, v):
    return weights_given(q, k) @ v + v


@wrong("the outputs are added up over the queries")
def attention(q, k, v):
    return (weights_given(q, k) @ v).sum(axis=-2)


@wrong("softmax acts on the output: return weights @ v")
def attention(q, k, v):
    return softmax(weights_given(q, k) @ v)


@wrong("NumPy's dot is here: x @ y")
def attention(q, k, v):
    return weights_given(q, k).dot(v)


@wrong("the roles are mixed up")
def attention(q, k, v):
    return weights_given(v, k) @ q


@wrong("cut the last axis, qkv[..., :D_h]: qkv[:D_h] cuts the batch")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    q, k, v = qkv[:D_h], qkv[D_h : 2 * D_h], qkv[2 * D_h :]
    return attention_given(q, k, v)


@wrong("the slice of v is empty: it begins at 2 * D_h")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    q, k, v = qkv[..., :D_h], qkv[..., D_h : 2 * D_h], qkv[..., 3 * D_h :]
    return attention_given(q, k, v)


@wrong("the slice of k begins one column too late")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    q, k, v = qkv[..., 0:D_h], qkv[..., D_h + 1 : 2 * D_h + 1], qkv[..., 2 * D_h :]
    return attention_given(q, k, v)


@wrong("the slice of k ends at 2 * D_h: qkv[..., D_h : 2 * D_h]")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    q, k, v = qkv[..., :D_h], qkv[..., D_h:], qkv[..., 2 * D_h :]
    return attention_given(q, k, v)


@wrong("np.split takes no Tensor: use slices, qkv[..., :D_h]")
def self_attention(z, U, bias):
    qkv = linear(z, U, bias)
    q, k, v = np.split(qkv, 3, axis=-1)
    return attention_given(q, k, v)


@wrong("cut the last axis with slices, qkv[..., :D_h]")
def self_attention(z, U, bias):
    qkv = linear(z, U, bias)
    q, k, v = qkv
    return attention_given(q, k, v)


@wrong("q, k and v are all of qkv: cut it into thirds first")
def self_attention(z, U, bias):
    q = k = v = linear(z, U, bias)
    return attention_given(q, k, v)


@wrong("the thirds are on another axis")
def self_attention(z, U, bias):
    B, N, D = z.shape
    qkv = linear(z, U, bias).reshape(B, N, 3, -1)
    return attention_given(qkv[0], qkv[1], qkv[2])


@wrong("z is not added here: return the outputs of attention alone")
def self_attention(z, U, bias):
    B, N, D = z.shape
    qkv = linear(z, U, bias).reshape(B, N, 3, -1)
    return attention_given(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]) + z


@wrong("the reshape to (B, 3, N, D_h) mixes tokens")
def self_attention(z, U, bias):
    B, N, D = z.shape
    qkv = linear(z, U, bias).reshape(B, 3, N, -1)
    return attention_given(qkv[:, 0], qkv[:, 1], qkv[:, 2])


@wrong("the values are the tokens z: take the last third of qkv")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    return attention_given(qkv[..., :D_h], qkv[..., D_h : 2 * D_h], z)


@wrong("this puzzle allows @, full, ones, /, [] and -")
def mean_over_tokens(z):
    return np.ones((z.shape[-2], 1)).T @ z / z.shape[-2]


@wrong("this puzzle allows arange, >=, <=, reshape, [] and -")
def causal_mask(N):
    return [[j <= i for j in range(N)] for i in range(N)]


@wrong("return booleans, true where query i may see key j")
def causal_mask(N):
    return np.where(np.arange(N)[:, None] >= np.arange(N), 0, -np.inf)


@wrong("true and false are swapped: row i, a query, sees the keys j <= i")
def causal_mask(N):
    return ~(np.arange(N)[:, None] >= np.arange(N))


@wrong("keys and values are swapped")
def attention(q, k, v):
    return weights_given(q, v) @ k


@wrong("the queries are averaged")
def attention(q, k, v):
    return weights_given(q, k) @ q


@wrong("the three are the same")
def self_attention(z, U, bias):
    q = linear(z, U, bias)[..., : U.shape[-1] // 3]
    return attention_given(q, q, q)


@wrong("z is added here")
def self_attention(z, U, bias):
    D_h = U.shape[-1] // 3
    qkv = linear(z, U, bias)
    out = attention_given(qkv[..., :D_h], qkv[..., D_h : 2 * D_h], qkv[..., 2 * D_h :])
    return out + z[..., :D_h]


@wrong("a third of z's width")
def self_attention(z, U, bias):
    D_h = U.shape[0] // 3
    qkv = linear(z, U, bias)
    return attention_given(qkv[..., :D_h], qkv[..., D_h : 2 * D_h], qkv[..., 2 * D_h :])


@wrong("the weights come from a sigmoid")
def look(query, keys, values):
    weights = 1 / (1 + np.exp(-(keys @ query)))
    return weights / weights.sum() @ values


@wrong("the scores are divided by N: softmax takes the scores themselves here")
def look(query, keys, values):
    s = keys @ query / len(keys)
    w = np.exp(s - s.max())
    return w / w.sum() @ values


@wrong("softmax acts on the query: it must act on the scores, keys @ query")
def look(query, keys, values):
    e = np.exp(query - query.max())
    w = e / e.sum()
    return (keys @ w) @ values


@wrong("exp(score - largest score) is divided by N: divide it by its sum")
def look(query, keys, values):
    s = keys @ query
    e = np.exp(s - s.max())
    return (e / len(keys)) @ values


@wrong("the score is minus a squared distance: take the dot product")
def look(query, keys, values):
    s = np.array([-np.sum((query - k) ** 2) for k in keys])
    e = np.exp(s - s.max())
    return (e / e.sum()) @ values


@wrong("the output has the width of the values, values.shape[1]")
def look(query, keys, values):
    s = keys @ query
    e = np.exp(s - s.max())
    w = e / e.sum()
    output = np.zeros(len(query))
    for weight, value in zip(w, values, strict=False):
        output += weight * value
    return output


@wrong("the values are added without weights")
def look(query, keys, values):
    scores = keys @ query
    e = np.exp(scores - scores.max())
    weights = e / e.sum()
    return weights.sum() * values.sum(axis=0)


@wrong("the first value is taken again and again")
def look(query, keys, values):
    e = np.exp(keys @ query - (keys @ query).max())
    out = np.zeros(values.shape[1])
    for n in range(len(keys)):
        out += e[n] / e.sum() * values[0]
    return out


@wrong("this is the first token alone: take the mean over all N")
def mean_over_tokens(z):
    return z[..., :1, :]


@wrong("np.average needs axis=0 if each row has one weight")
def look(query, keys, values):
    scores = keys @ query
    shares = np.exp(scores - scores.max())
    return np.average(values, weights=shares)


@wrong("whose scaled_dot_product_attention is here: the product of the attention weights with v")
def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)  # noqa: F821
