# %% [markdown]
# # 07 · Attention: every patch asks all the others
#
# *About 45 minutes. Comes after lessons [03](03_products.ipynb) to [06](06_positions.ipynb). In the paper: appendix A, Eqs. 5
# to 7.*
#
# You will let one patch look at all the others, number by number; then let all of them look at once; find out why a root
# stands in the formula; and meet your own attention inside a trained Vision Transformer.

# %% tags=["keep"]
import math

import numpy as np

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons import trained_model
from minivit_lessons.pictures import attention as pictures

Tensor, softmax, linear, layer_norm = built("Tensor", "softmax", "linear", "layer_norm")

# %% [markdown]
# ## The question
#
# After lesson 06 each patch is a vector that knows two things: what its few pixels look like, and where it is. It knows
# nothing of any other patch. But a bit of slanted edge is part of a heart or of a star only together with the rest. The
# patches must tell each other what they know.
#
# A matrix over the whole sequence could mix them: "0.7 of patch 12 and 0.3 of patch 40". But such numbers are fixed once
# they are trained, and the next heart is somewhere else. *Whom to listen to* must be found anew in each image, from what is
# in it; and by smooth arithmetic, or there would be no gradients to learn it with.
#
# Attention does it like this. Every patch makes three vectors:
#
# - a **query** q: what am I looking for?
# - a **key** k: by what can I be found?
# - a **value** v: what do I hand over to whoever finds me?
#
# You know a lookup from Python: `table[query]` compares the query with the keys, and returns the value of the one that is
# equal. Attention is a lookup that never says no: *every* key fits a little, and the answer is a mean of all values, in which
# those count most whose keys fit best.

# %% [markdown]
# ## The picture
#
# Here is a heart, cut into 8 x 8 patches. Before a network learns queries, keys and values, let us choose them by hand:
#
# - key: the patch's mean colour, three numbers, counted from the middle between the darkest and the brightest patch. So
#   the heart's keys and the ground's point in opposite directions;
# - query: the same three numbers, times 8 to make the question sharp;
# - value: the patch's place, row and column.
#
# A set of queries, keys and values like this is called a **head**. Queries and keys of a head must be equally long: $D_h$
# numbers, here 3. Each patch asks: *those of you that are coloured like me, where are you?* Watch the patch at the heart's tip.

# %%
data = shapes("test", count=40)
image = data.images[35]  # (32, 32, 3), a heart

mean_colours = image.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3)).reshape(64, 3)
middle = (mean_colours.max(axis=0) + mean_colours.min(axis=0)) / 2

keys = (mean_colours - middle) / 127.5  # (64, 3): D_h = 3 numbers for each of N = 64 patches
queries = 8 * keys  # (64, 3)
values = np.stack(np.divmod(np.arange(64.0), 8), axis=1)  # (64, 2): row and column

explore(
    lambda row, column: pictures.draw_asking(image, queries, keys, values, (row, column)),
    "Four panels. A heart with the patch at its tip marked; the scores of its query with all 64 keys, about 8 on the heart "
    "and -7 on the ground; the weights, up to 10 % on patches of the heart and 0 on the ground; an arrow from the tip to the "
    "heart's middle.",
    row=[6, 7, 0, 1, 2, 3, 4, 5],
    column=[4, 5, 6, 7, 0, 1, 2, 3],
)

# %% [markdown]
# Read it from left to right, for this is all of attention:
#
# 1. One patch asks.
# 2. Its query meets every key in a dot product: a **score**, large where the two point the same way.
# 3. Softmax makes the 64 scores into 64 **weights**: positive, and 1 in all.
# 4. The **answer** is the weighted mean of the values. Here it is a place: the middle of the heart.
#
# The tip saw sixteen pixels. After one look around it knows where the middle of its shape lies, wherever the shape is. No
# patch could know that alone.

# %% [markdown]
# ## One number at a time
#
# Now write it down for one query q, with the keys $k_1 \ldots k_N$ and the values $v_1 \ldots v_N$:
#
# $$s_j = q \cdot k_j, \qquad w_j = \frac{e^{s_j}}{\sum_i e^{s_i}}, \qquad \text{answer} = \sum_j w_j\, v_j$$
#
# Take $e^{s_j}$ as the number of shares that patch j gets of the answer. Here they are for the tip's query and three of the 64
# keys: a patch of the heart gets thousands of shares, one on the outline a few, one of the ground a fraction of one. Divided by
# the sum of all 64 they are the weights in the picture.

# %%
tip = 6 * 8 + 4  # row 6, column 4

print("the tip's query:", queries[tip].round(2))
for name, patch in (("heart", 4 * 8 + 4), ("outline", 4 * 8 + 7), ("ground", 0)):
    score = queries[tip] @ keys[patch]
    print(f"{name:8}key {keys[patch].round(2)!s:21}score {score:5.1f}   e to that {np.exp(score):9.4f}")


# %% exercise="look"
def look(query, keys, values):
    """One query's answer, from arrays: (D_h,), (N, D_h), (N, any width) -> (any width,)."""
    # --- solution
    scores = np.array([query @ key for key in keys])  # (N,)
    shares = np.exp(scores - scores.max())  # the shift changes no weight, and nothing overflows
    weights = shares / shares.sum()

    answer = np.zeros(values.shape[1])
    for weight, value in zip(weights, values, strict=True):
        answer = answer + weight * value
    return answer
    # --- end


# %%
top, left, bottom, right = data.boxes[35]
print("the tip's own place:", values[tip])
print("what it is answered:", look(queries[tip], keys, values).round(1))
# The data set knows where it drew the heart. (A heart has more of itself in its upper half.)
print("middle of the heart:", (np.array([top + bottom - 1, left + right - 1]) / 2 - 1.5) / 4)

# %% [markdown]
# ## All at once
#
# All patches ask at the same time. Stack the queries as rows of q, the keys as rows of k: then $q k^\top$ holds every score,
# number $(i, j)$ that of query i with key j. Softmax along each *row*, for a row is one patch's question. One more product
# mixes the values.
#
# | step | shape |
# |---|---|
# | q, k, v | (..., N, D_h) |
# | scores $q k^\top$ | (..., N, N) |
# | weights: softmax over the last axis | (..., N, N) |
# | answers: weights times v | (..., N, D_h) |
#
# The dots stand for any number of axes in front: none here, the batch soon, batch and heads in lesson 08.
#
# **Why a root.** One thing is missing. A score is a sum of D_h products. If the numbers in q and k are independent, with
# mean 0 and variance 1, each product has variance 1, and variances add up: the score's variance is D_h. Wide vectors make
# large scores, just because they are wide. So all scores are divided by $\sqrt{D_h}$ before softmax. What does that do?

# %% exercise="score_spread"
# --- solution -> score_spread = ...  # (standard deviation of q · k, the same after the division by √D_h)
score_spread = (8, 1)
# --- end

# %%
show(
    pictures.draw_saturation(),
    "Left: weights of 16 random keys at width 64; undivided, one key takes over 80 %, divided, many keys share. Middle: the "
    "largest weight climbs from 0.2 to nearly 1 as the width grows to 1024, but stays near 0.25 if divided. Right: the slope "
    "of softmax falls towards 0 undivided, and stays at 0.87 divided.",
)

# %% [markdown]
# Softmax sees differences: with scores that spread by 8, one is easily larger than another by 16, and then weighs nine million
# times as much. Undivided (orange), a wide query
# hears a single key before anything is learned. Worse, softmax is then *flat*: lesson 03's derivatives, $w_j (1 - w_j)$ on
# the diagonal, are nearly 0 when each weight is nearly 0 or 1. No gradient comes through, and the query cannot learn to look
# elsewhere. Divided by $\sqrt{D_h}$ (blue), scores have variance 1 at any width.
#
# Now with Tensors. You get the transpose of the last two axes:


# %% tags=["keep"]
def swap_last_two(x):
    """The last two axes change places: (..., N, D_h) -> (..., D_h, N)."""
    *front, rows, columns = range(x.ndim)
    return x.transpose(*front, columns, rows)


# %% exercise="attention_weights"
def attention_weights(q, k):
    """How much each query listens to each key: Tensors (..., N, D_h), (..., N, D_h) -> (..., N, N)."""
    D_h = q.shape[-1]
    # --- solution
    scores = q @ swap_last_two(k)  # (..., N, N)
    return softmax(scores / math.sqrt(D_h))
    # --- end


# %% exercise="attention"
def attention(q, k, v):
    """Each query's answer: Tensors (..., N, D_h), (..., N, D_h), (..., N, D_h) -> (..., N, D_h)."""
    # --- solution
    return attention_weights(q, k) @ v
    # --- end


# %%
# The whole heart at once. Loop and products must agree, once the loop's queries are divided too.
q, k, v = Tensor(queries), Tensor(keys), Tensor(values)
one_by_one = np.stack([look(query / math.sqrt(3), keys, values) for query in queries])  # (64, 2)
print("largest difference:", np.abs(attention(q, k, v).data - one_by_one).max())

show(
    pictures.draw_everyone(image, attention_weights(q, k).data, values, (6, 4)),
    "Left the matrix of 64 x 64 weights, with bright blocks where patches of the heart attend to one another. Middle: row 52 of it "
    "laid out as an 8 x 8 map, which is the heart. Right: lines from every patch to its answer; those of the heart end in "
    "its middle, those of the ground in the middle of the ground.",
)

# %% [markdown]
# Left is the matrix that you will meet in every picture of attention: one *row* for each patch that asks, one *column* for
# each that is asked. Lay a row out as 8 x 8 and you have that patch's map. Behind each of its 4,096 numbers stands a dot product, and
# that is the price: twice as many patches, four times as many pairs.

# %% [markdown]
# ## Your turn
#
# Colours and places were our choice. A Transformer *learns* what to ask, what to be found by and what to tell: each patch's
# token z (D numbers: look and place, mixed) is multiplied by three matrices, to q, k and v. The paper writes them side by
# side as one matrix $U_{qkv}$ of shape (D, 3 D_h), so that a single product makes q, k and v, side by side too: the first D_h columns
# are q, then k, then v. All three come from the same sequence, hence *self*-attention.


# %% exercise="self_attention"
def self_attention(z, U, bias):
    """One head of self-attention: Tensors (B, N, D), (D, 3 D_h), (3 D_h,) -> (B, N, D_h)."""
    D_h = U.shape[-1] // 3
    # --- solution
    qkv = linear(z, U, bias)  # (B, N, 3 D_h)
    q, k, v = qkv[..., :D_h], qkv[..., D_h : 2 * D_h], qkv[..., 2 * D_h :]
    return attention(q, k, v)
    # --- end


# %% [markdown]
# The check also followed gradients back to U: that is how a head learns what to ask.
#
# Does all this hold in a real network? With the lessons comes a small Vision Transformer, trained on these shapes. It has four blocks
# of two heads with D_h = 32. Here are its tokens and its matrices, and *your* function computes the weights.
# (Tokens pass a LayerNorm first, and two heads lie in one array: lesson 08 tells why and how.)

# %%
model = trained_model()
_, seen = model(preprocess(image[None]), return_intermediates=True)
trained = {name: parameter.data for name, parameter in model.named_parameters()}


def tokens_before(block):
    """What enters a block: patch embeddings with class token and positions, or what the block before returned."""
    if block:
        return seen[f"blocks.{block - 1}.tokens"]  # (1, 65, 64)
    return np.concatenate([trained["cls"], seen["embedding"]], axis=1) + trained["positions.embedding"]


def trained_queries_and_keys(block, head):
    """q and k of one trained head, each a Tensor (1, 65, 32). Token 0 is the class token."""
    names = (
        f"blocks.{block}.{part}"
        for part in ("norm1.weight", "norm1.bias", "attention.qkv.weight", "attention.qkv.bias")
    )
    scale, shift, U, bias = (Tensor(trained[name]) for name in names)
    qkv = linear(layer_norm(Tensor(tokens_before(block)), scale, shift), U, bias)  # (1, 65, 3 · 64)
    own = slice(32 * head, 32 * head + 32)  # this head's columns among the 64 of each kind
    return qkv[..., :64][..., own], qkv[..., 64:128][..., own]


def weights_of_head(block, head):
    return attention_weights(*trained_queries_and_keys(block, head)).data[0]  # (65, 65)


mine = [np.stack([weights_of_head(block, head) for head in (0, 1)]) for block in range(4)]  # four of (2, 65, 65)
for block in range(4):
    gap = np.abs(mine[block] - seen[f"blocks.{block}.attention.weights"][0]).max()
    print(f"block {block}: your weights and the model's differ by at most {gap:.0e}")

# %% [markdown]
# The same numbers: this *is* what the network does. And now you can see what it learned to ask. Choose a patch, (6, 4) for one.
# (Without a slider: `show(pictures.draw_maps(image, mine, (6, 4)), "the tip asks")`.)

# %%
explore(
    lambda row, column: pictures.draw_maps(image, mine, (row, column)),
    "The heart with the patch that asks, and what it attends to in two heads of four blocks: some maps show the heart, some "
    "the ground around it, some pieces of its outline.",
    row=[7, 6, 5, 4, 3, 2, 1, 0],
    column=[7, 6, 5, 4, 3, 2, 1, 0],
)

# %% [markdown]
# Nobody told the network what a heart is, or that there is a figure and a ground. Compare a patch of the ground, (7, 7), with one
# of the heart, (6, 4). In block 0 one head asks for its own kind: ground looks at ground, heart at heart, as in the hand-made
# head above. The other asks for the opposite: ground looks at the heart, heart at the ground. Other heads pick out pieces of the
# outline, those that tell a heart from a star. (Each map has its own scale: the weight of its yellow is written below.)

# %% [markdown]
# ## In the paper
#
# Appendix A. For a sequence $z \in \mathbb{R}^{N \times D}$:
#
# $$[q, k, v] = z\, U_{qkv}, \qquad U_{qkv} \in \mathbb{R}^{D \times 3 D_h} \tag{5}$$
# $$A = \text{softmax}\big(q k^\top / \sqrt{D_h}\big), \qquad A \in \mathbb{R}^{N \times N} \tag{6}$$
# $$SA(z) = A v \tag{7}$$
#
# | paper | here |
# |---|---|
# | $U_{qkv}$ | `U`, in the package `blocks.i.attention.qkv.weight`, all heads side by side |
# | $A_{ij}$ | `attention_weights(q, k)`, how much i listens to j |
# | Eqs. 6, 7 | `attention(q, k, v)` |
# | $SA(z)$ | `self_attention(z, U, bias)` |
#
# Eq. 5 has no bias; the authors' code has one, and so have we. In `minivit`,
# [`reference.attention`](../minivit/engine/reference.py) is what you wrote, for all heads;
# [`fused.attention`](../minivit/engine/fused.py) gives the same numbers with a backward pass by hand, and is what trains.

# %% [markdown]
# ## Break it and see
#
# Forget the root, or divide by D_h instead of $\sqrt{D_h}$: nothing complains, and the weights still add up to 1. Real
# programs have had this mistake. Here is what the trained model becomes. (Its divisor is built in, but to multiply its
# queries comes to the same.)


# %%
def accuracy_with(divisor, count=200):
    """How many test images the trained model gets right when scores are divided by something else than √32."""
    broken = trained_model()
    for block in broken.blocks:
        block.attention.qkv.weight.data[:, :64] *= math.sqrt(32) / divisor
        block.attention.qkv.bias.data[:64] *= math.sqrt(32) / divisor
    test = shapes("test", count)
    return (broken.predict(test.images).argmax(axis=1) == test.labels).mean()


divisors = {"/ √D_h, as trained": math.sqrt(32), "not divided": 1.0, "/ D_h": 32.0}
patch, block, head = (7, 7), 0, 1  # change them

own_q, own_k = trained_queries_and_keys(block, head)
row = 1 + 8 * patch[0] + patch[1]  # the class token comes first
maps = [
    attention_weights(own_q * (math.sqrt(32) / divisor), own_k).data[0, row, 1:].reshape(8, 8)
    for divisor in divisors.values()
]
titles = [f"{name}: {accuracy_with(divisor):.1%} right" for name, divisor in divisors.items()]

show(
    pictures.draw_side_by_side(maps, titles, patch),
    "Three maps of the same patch's attention in %. As trained, spread over the heart; not divided, gathered on fewer of its "
    "patches, one with a fifth of the weight; divided by D_h, between 1 and 3 % everywhere. The titles give the accuracy of "
    "the model: nearly all right; about three in five; one in ten.",
)

# %% [markdown]
# Undivided, a patch hears far fewer others than it learned to hear, and many answers go wrong. Divided by D_h, it hears
# everyone at once, what it sought is drowned in the rest, and the model guesses.
#
# A second mistake that no shape betrays: softmax over the *wrong axis*, so that columns add up to 1 instead of rows. Each key then
# hands out one portion of itself, and a patch on the outline, whom no key prefers, gets next to nothing: a mean whose
# weights do not add up to 1 is no mean.

# %%
wrong = swap_last_two(softmax(swap_last_two(q @ swap_last_two(k) / math.sqrt(3))))  # (64, 64)
outline = 3 * 8 + 2  # row 3, column 2

print("its weights add up to", wrong.data[outline].sum().round(2))
print("it is sent to", (wrong @ v).data[outline].round(1), "instead of", attention(q, k, v).data[outline].round(1))

# %% [markdown]
# ## Summary
#
# - Attention is a soft lookup: scores $q \cdot k$, weights by softmax, answer a weighted mean of values.
# - Query, key and value are three learned views of the same token: what I seek, how I am found, what I tell.
# - Whom a patch listens to depends on the image. No weight of the network says "patch 12".
# - $\sqrt{D_h}$ keeps the scores' variance at 1, so that softmax stays soft and gradients flow.
# - A row of the N x N matrix is one patch's map.

# %% [markdown]
# ## What comes next
#
# One head makes one mean: it can look for one thing at a time. [Lesson 08](08_block.ipynb) runs several side by side, gives each patch
# time to think about what it heard, and packs it all into the block that a Transformer is a stack of.
