# %% [markdown]
# # 07 · Attention: every patch asks all the others
#
# *Comes after lessons [03](03_products.ipynb) to [06](06_positions.ipynb). In the paper: appendix A, Eqs. 5
# to 7.*
#
# You will compute attention for one patch, number by number, and then for all patches at once. You will find out why
# the formula has a square root, and you will find your own attention inside a trained Vision Transformer.

# %% tags=["keep"]
import math

import numpy as np

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons import trained_model
from minivit_lessons.pictures import attention as pictures
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.puzzles import show_attempt

Tensor, softmax, linear, layer_norm = built("Tensor", "softmax", "linear", "layer_norm")

# %% [markdown]
# ## The question
#
# After lesson 06 the token of each patch knows two things: what its few pixels look like, and where the patch is. It knows
# nothing about any other patch. But a piece of a slanted edge belongs to a heart or to a star only together with the other
# pieces. So the patches must exchange what they know.
#
# A fixed matrix over the sequence could mix the tokens: "0.7 of patch 12 and 0.3 of patch 40". But such numbers do not change
# after training, and in the next image the heart is somewhere else. For each image, a patch must choose *anew* from which
# patches it takes information, depending on what they contain. And this choice must be differentiable, or no gradient could
# train it.
#
# **Attention** does this. From its token, every patch computes three vectors:
#
# - a **query** q: what am I looking for?
# - a **key** k: how can others find me?
# - a **value** v: what do I give to those who find me?
#
# You know a lookup in Python: `table[query]` compares the query with all keys, and returns the value of the key that is equal.
# Attention is a soft lookup. *Every* key matches to some degree, and the result is a weighted mean of all values. The
# better a key matches, the larger the weight of its value.

# %% [markdown]
# ## The picture
#
# Here is a heart, cut into 8 x 8 patches. A network learns its queries, keys and values. Here we first choose them by
# hand:
#
# - key: the patch's mean colour, three numbers, measured from the middle between the darkest and the brightest patch. So
#   the keys of the heart and those of the background point in opposite directions;
# - query: the same three numbers times 8, which makes the differences between the weights larger;
# - value: the position of the patch, its row and column.
#
# Queries and keys must have the same length, $D_h$; here it is 3. (The h is short for *head*: one set of queries, keys and values
# is called a head, and lesson 08 uses several.) Each patch asks: *where are the patches that have my colour?* Watch the patch at
# the tip of the heart.

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
    pictures.ALT_ASKING,
    row=[6, 7, 0, 1, 2, 3, 4, 5],
    column=[4, 5, 6, 7, 0, 1, 2, 3],
)

# %% [markdown]
# Read the picture from left to right. These four steps are all of attention:
#
# 1. One patch provides the query.
# 2. The dot product of its query with every key is a **score**. It is large if the two vectors point in the same direction.
# 3. Softmax turns the 64 scores into 64 **attention weights**: positive numbers with sum 1.
# 4. The output is the weighted mean of the values. Here it is a position: the middle of the heart.
#
# The patch at the tip has only sixteen pixels. After one attention it knows where the middle of its shape is, wherever the shape
# is in the image. No patch could know this alone.

# %% [markdown]
# ## One number at a time
#
# For one query q, the keys $k_1 \ldots k_N$ and the values $v_1 \ldots v_N$:
#
# $$s_j = q \cdot k_j, \qquad w_j = \frac{e^{s_j}}{\sum_i e^{s_i}}, \qquad \text{output} = \sum_j w_j\, v_j$$
#
# You can read $e^{s_j}$ as the number of shares of the output that patch j gets. The cell below prints them for the query of the tip
# and three of the 64 keys. A patch of the heart gets thousands of shares, one on the outline gets a few, and one of the
# background gets a fraction of one. Divided by the sum over all 64 patches, the shares are the weights of the picture.

# %%
tip = 6 * 8 + 4  # row 6, column 4

print("the tip's query:", queries[tip].round(2))
for name, patch in (("heart", 4 * 8 + 4), ("outline", 4 * 8 + 7), ("background", 0)):
    score = queries[tip] @ keys[patch]
    print(f"{name:11}key {keys[patch].round(2)!s:21}score {score:5.1f}   exp(score) {np.exp(score):9.4f}")


# %% exercise="look"
def look(query, keys, values):
    """The output for one query, from arrays: (D_h,), (N, D_h), (N, any width) -> (any width,)."""
    # --- solution
    scores = np.array([query @ key for key in keys])  # (N,)
    shares = np.exp(scores - scores.max())  # the shift changes no weight, and nothing overflows
    weights = shares / shares.sum()

    output = np.zeros(values.shape[1])
    for weight, value in zip(weights, values, strict=True):
        output = output + weight * value
    return output
    # --- end


# %%
top, left, bottom, right = data.boxes[35]
print("position of the tip:         ", values[tip])
print("output for the tip:          ", look(queries[tip], keys, values).round(1))
# The data set knows where it drew the heart, in pixels; a patch has 4, and the first one's middle is at pixel 1.5. The two numbers
# below differ a little from those above: a heart has more of its area in its upper half.
print("middle of the heart's box:   ", (np.array([top + bottom - 1, left + right - 1]) / 2 - 1.5) / 4)

# %% [markdown]
# ## All at once
#
# Now all patches ask at the same time. Stack the queries as the rows of a matrix q, and the keys as the rows of k. Then
# $q k^\top$ contains every score: entry $(i, j)$ is the score of query i with key j. Softmax runs along each *row*, because a row
# belongs to one query. A second matrix product computes the weighted means of the values.
#
# | quantity | shape |
# |---|---|
# | q, k, v | (..., N, D_h) |
# | scores $q k^\top$ | (..., N, N) |
# | weights: softmax over the last axis | (..., N, N) |
# | outputs: weights times v | (..., N, D_h) |
#
# The dots represent any number of axes in front: none here, the batch in a moment, batch and heads in lesson 08.
#
# One step is missing: the scores are scaled first. A score is a sum of D_h products. If the numbers in q and k are independent, with
# mean 0 and variance 1, each product has variance 1. Variances of independent numbers add up, so the score has the variance D_h. Long
# vectors produce large scores only because they are long. So all scores are divided by $\sqrt{D_h}$ before softmax, and the whole is
# called **scaled dot-product attention**. What does the division do to the scores?

# %% exercise="score_spread"
# --- solution -> score_spread = ...  # (standard deviation of q · k, the same after the division by √D_h)
score_spread = (8, 1)
# --- end

# %%
show(
    pictures.draw_saturation(),
    "Left: weights of 16 random keys at width 64; without the division, one key takes over 80 %, with it, many keys share. "
    "Middle: the largest weight climbs from 0.2 to nearly 1 as the width grows to 1024, but stays near 0.25 with the division. "
    "Right: the sum of softmax's derivatives falls towards 0 without the division, and stays at 0.87 with it.",
)

# %% [markdown]
# Softmax depends on differences between scores. If their standard deviation is 8, that of a difference is $8 \sqrt 2 \approx 11$, and
# $e^{11}$ is sixty thousand. Without the division (orange), nearly all weight goes to a single key, before anything has been learned.
# Worse, softmax is then *saturated*: its derivatives, lesson 03's $w_j (1 - w_j)$ on the diagonal, are nearly 0 when each
# weight is nearly 0 or nearly 1. Almost no gradient passes, and the query cannot learn to attend to other keys. After the division by
# $\sqrt{D_h}$ (blue), the scores have variance 1 at any width.
#
# Now write it with Tensors. This function transposes the last two axes:


# %% tags=["keep"]
def swap_last_two(x):
    """The last two axes change places: (..., N, D_h) -> (..., D_h, N)."""
    *front, rows, columns = range(x.ndim)
    return x.transpose(*front, columns, rows)


# %% exercise="attention_weights"
def attention_weights(q, k):
    """The weight of each key for each query: Tensors (..., N, D_h), (..., N, D_h) -> (..., N, N)."""
    D_h = q.shape[-1]
    # --- solution
    scores = q @ swap_last_two(k)  # (..., N, N)
    return softmax(scores / math.sqrt(D_h))
    # --- end


# %% exercise="attention"
def attention(q, k, v):
    """The output for each query: Tensors (..., N, D_h), (..., N, D_h), (..., N, D_h) -> (..., N, D_h)."""
    # --- solution
    return attention_weights(q, k) @ v
    # --- end


# %%
# The whole heart at once. Loop and products must agree if the loop's queries are divided by √D_h too.
q, k, v = Tensor(queries), Tensor(keys), Tensor(values)
one_by_one = np.stack([look(query / math.sqrt(3), keys, values) for query in queries])  # (64, 2)
print("largest difference:", np.abs(attention(q, k, v).data - one_by_one).max())

show(
    pictures.draw_everyone(image, attention_weights(q, k).data, values, (6, 4)),
    "Left the matrix of 64 x 64 weights, with bright blocks where patches of the heart attend to one another. Middle: row 52 of "
    "it as an 8 x 8 map, which is the heart. Right: lines from every patch to its output; those of the heart end in its middle, "
    "those of the background in the middle of the background.",
)

# %% [markdown]
# You will meet the matrix on the left in every picture of attention. It has one *row* for each query and one *column* for each
# key. Arrange a row as 8 x 8, and you have the map of that patch. Each of the 4,096 entries takes a dot product, so the
# cost of attention grows with $N^2$: twice as many patches, four times as many pairs.

# %% [markdown]
# ## Your turn
#
# We chose colours and positions as keys and values. A Transformer *learns* what to ask for, how to be found, and what to pass on.
# The token z of each patch (D numbers, a mixture of content and position) is multiplied by three matrices, which give q, k and v.
# The paper writes them side by side as one matrix $U_{qkv}$ of shape (D, 3 D_h). One product then computes all three: the first
# D_h columns of the result are q, the next D_h are k, and the last D_h are v. Because queries, keys and values come from the same
# sequence, this is called **self-attention**.


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
# The check also followed the gradients back to U. This is how a head learns what to ask for.
#
# Is this what a real network does? These lessons come with a small Vision Transformer that was trained on these shapes. It has four
# blocks with two heads each, and D_h = 32. The cell below takes its tokens and its matrices, and *your* function computes the
# weights. (The tokens first pass a LayerNorm, and one array contains both heads: lesson 08 explains why and how.)

# %%
model = trained_model()
_, seen = model(preprocess(image[None]), return_intermediates=True)
trained = {name: parameter.data for name, parameter in model.named_parameters()}


def tokens_before(block):
    """What enters a block: patch embeddings with class token and positions, or the output of the block before."""
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
# The numbers are the same: this *is* what the network computes. Now you can see what it learned to ask for. Choose a patch,
# for example (6, 4). (Without sliders: `show(pictures.draw_maps(image, mine, (6, 4)), "the tip asks")`.)

# %%
explore(
    lambda row, column: pictures.draw_maps(image, mine, (row, column)),
    "The heart with the patch that asks, and what it attends to in two heads of four blocks: some maps show the heart, some "
    "the background around it, some pieces of its outline.",
    row=[7, 6, 5, 4, 3, 2, 1, 0],
    column=[7, 6, 5, 4, 3, 2, 1, 0],
)

# %% [markdown]
# Nobody told the network what a heart is, or that an image has a figure and a background. Compare a patch of the background, (7, 7),
# with one of the heart, (6, 4). In block 0, one head looks for patches of the same kind, like our head above: a background patch
# attends to the background, a heart patch to the heart. The other head looks for the opposite kind. Other heads pick out pieces of the
# outline, which tell a heart from a star. (Each map has its own colour scale; its largest weight is written below it.)
#
# Two puzzles follow. Each is one line, in which only a few functions are allowed. The picture below it shows what *your* line
# makes of a small array. The first is about attention without preferences: if all scores are equal, all weights are 1/N, and the
# output is the mean over the tokens.


# %% exercise="mean_over_tokens"
def mean_over_tokens(z):
    """The mean over the tokens as one matrix product, from an array: (..., N, D) -> (..., 1, D)."""
    # --- solution
    return np.full((1, z.shape[-2]), 1 / z.shape[-2]) @ z
    # --- end


# %%
four_tokens = np.array([[11, 12, 13], [21, 22, 23], [31, 32, 33], [41, 42, 43]])  # token and number: 23 is z[1, 2]
show_attempt(
    "mean_over_tokens", Cells("z: four tokens", four_tokens), four_tokens, right=four_tokens.mean(axis=0, keepdims=True)
)

# %% [markdown]
# The second puzzle belongs to language models. They predict the next word, so a token must not see the tokens after it. A
# **causal mask** says which key each query may see: entry (i, j) is true if token i may attend to token j, that is, if j is not
# after i. The scores of all other pairs are set to $-\infty$ before softmax, so their weights are 0. (A Vision Transformer needs no mask:
# a patch may see all others.)


# %% exercise="causal_mask"
def causal_mask(N):
    """Which keys each query may see: an array of booleans, (N, N)."""
    # --- solution
    return np.arange(N).reshape(N, 1) >= np.arange(N)
    # --- end


# %%
positions = np.arange(5)
show_attempt("causal_mask", Cells("positions", positions), 5, right=np.tri(5, dtype=bool))

# %% [markdown]
# ## In the paper
#
# Appendix A, for a sequence $z \in \mathbb{R}^{N \times D}$:
#
# $$[q, k, v] = z\, U_{qkv}, \qquad U_{qkv} \in \mathbb{R}^{D \times 3 D_h} \tag{5}$$
# $$A = \text{softmax}\big(q k^\top / \sqrt{D_h}\big), \qquad A \in \mathbb{R}^{N \times N} \tag{6}$$
# $$SA(z) = A v \tag{7}$$
#
# | paper | here |
# |---|---|
# | $U_{qkv}$ | `U`; in the package `blocks.i.attention.qkv.weight`, all heads side by side |
# | $A_{ij}$ | `attention_weights(q, k)`, the weight of key j for query i |
# | Eqs. 6, 7 | `attention(q, k, v)` |
# | $SA(z)$ | `self_attention(z, U, bias)` |
#
# Eq. 5 has no bias; the authors' code has one, and so do we. In `minivit`,
# [`reference.attention`](../minivit/engine/reference.py) is what you wrote, for all heads.
# [`fused.attention`](../minivit/engine/fused.py) computes the same numbers with a hand-derived backward pass; training uses it.

# %% [markdown]
# ## Break it and see
#
# Forget the division, or divide by D_h instead of $\sqrt{D_h}$: there is no error, and the weights still add up to 1. Published
# programs have had such mistakes. What do they do to the trained model? (Its divisor is part of the model's code, so the cell
# multiplies the queries instead, which has the same effect.) Guess first: which is worse, no division or a division by D_h?


# %%
def accuracy_with(divisor, count=200):
    """The trained model's accuracy on test images when the scores are divided by another number than √32."""
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

show(pictures.draw_side_by_side(maps, titles, patch), pictures.ALT_DIVISORS)

# %% [markdown]
# <details><summary>What happened</summary>
#
# Without the division, a patch attends to far fewer patches than it learned to, and many answers are wrong. Divided by D_h, no
# weight of this patch is above 3 % (each map has its own colours, so they do not show it): every patch receives nearly the same
# mean, whatever it looked for, and the model guesses.
#
# </details>
#
# A second mistake that keeps all shapes: softmax over the *wrong axis*, so that the columns add up to 1 instead of the rows. Then each
# key distributes one unit of weight among the queries. A patch on the outline, which no key matches well, gets almost
# nothing. If the weights do not add up to 1, the result is not a mean.

# %%
wrong = swap_last_two(softmax(swap_last_two(q @ swap_last_two(k) / math.sqrt(3))))  # (64, 64)
outline = 3 * 8 + 2  # row 3, column 2

print("its weights add up to", wrong.data[outline].sum().round(2))
print("its output is", (wrong @ v).data[outline].round(1), "instead of", attention(q, k, v).data[outline].round(1))

# %% [markdown]
# ## The same in PyTorch
#
# PyTorch has your function `attention` as one call, and it takes your causal mask:
#
# ```python
# import torch.nn.functional as F
#
# output = F.scaled_dot_product_attention(q, k, v)                        # attention(q, k, v)
# output = F.scaled_dot_product_attention(q, k, v, is_causal=True)        # with causal_mask(N)
# q, k, v = F.linear(z, U.T, bias).chunk(3, dim=-1)                       # the three thirds of qkv
# ```
#
# | what differs | here | PyTorch |
# |---|---|---|
# | weights | `attention_weights` returns them | the fast function never stores the (N, N) matrix, so it cannot return them |
# | transpose of the last two axes | `swap_last_two(k)` | `k.transpose(-2, -1)` or `k.mT` |
# | softmax | over the last axis unless you say otherwise | `softmax(scores, dim=-1)`: `dim` must be given |
# | boolean mask | true: may be seen | the same here, but `nn.MultiheadAttention` means the opposite: true is hidden |

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    rng = np.random.default_rng(7)
    ours = [Tensor(rng.standard_normal((2, 5, 4))) for _ in range(3)]  # q, k, v
    theirs = [torch.tensor(x.data) for x in ours]
    scaled_dot_product_attention = torch.nn.functional.scaled_dot_product_attention
    agree("attention", attention(*ours), scaled_dot_product_attention(*theirs))
    scores = theirs[0] @ theirs[1].mT / 2
    agree("attention_weights", attention_weights(*ours[:2]), torch.softmax(scores, dim=-1))
    by_mask = scaled_dot_product_attention(*theirs, attn_mask=torch.tensor(causal_mask(5)))
    agree("causal_mask", by_mask, scaled_dot_product_attention(*theirs, is_causal=True))

# %% [markdown]
# ## What came before and after
#
# - Before: [Bahdanau, Cho and Bengio, 2014](https://arxiv.org/abs/1409.0473) let a translation model search softly for the parts of a
#   sentence that matter for the next word, instead of squeezing the sentence into one vector of fixed length.
# - [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762) built the Transformer from attention alone, without the
#   recurrent networks that translated before. [Wang et al., 2018](https://arxiv.org/abs/1711.07971) computed the response at a position of an image or video as a
#   weighted sum of the features at all positions.
# - After: the $N^2$ pairs are the cost. [Wang et al., 2020](https://arxiv.org/abs/2006.04768) (Linformer) approximate the matrix of
#   weights by one of low rank, with a cost that grows with N.
# - [Dao et al., 2022](https://arxiv.org/abs/2205.14135) (FlashAttention) keep attention exact, and compute it in tiles, so that less data
#   moves between the memories of a GPU.

# %% [markdown]
# ## Summary
#
# - Attention is a soft lookup: the scores are $q \cdot k / \sqrt{D_h}$, softmax turns them into weights, the output is a weighted mean of
#   the values.
# - Query, key and value are three learned linear maps of the same token: what I look for, how I am found, what I pass on.
# - The weights depend on the image. No parameter of the network says "patch 12".
# - The division by $\sqrt{D_h}$ keeps the variance of the scores at 1, so that softmax is not saturated and gradients pass.
# - A row of the N x N matrix is the map of one patch.

# %% [markdown]
# ## What comes next
#
# One head computes one mean: it can look for one thing at a time. [Lesson 08](08_block.ipynb) runs several heads side by side, lets
# an MLP process what each patch received, and combines both into the block of which a Transformer is a stack.
