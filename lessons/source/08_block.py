# %% [markdown]
# # 08 · Heads and the encoder block
#
# *Comes after lessons [04](04_layers.ipynb) and [07](07_attention.ipynb). In the paper: Eqs. 2, 3 and 8, and
# Fig. 1 on the right.*
#
# You will run several attention heads side by side without a loop, and build the encoder block. A Vision Transformer is a stack
# of such blocks. You will then load trained weights into your block, and measure what a deep stack does without residual
# connections and without normalisation.

# %% tags=["keep"]
import numpy as np

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons import trained_model
from minivit_lessons.pictures import block as pictures
from minivit_lessons.pictures.attention import draw_side_by_side
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.puzzles import show_attempt

Tensor, parameter, Module = built("Tensor", "parameter", "Module")
linear, layer_norm, Linear, LayerNorm, MLP = built("linear", "layer_norm", "Linear", "LayerNorm", "MLP")
attention_weights, attention = built("attention_weights", "attention")

# %% [markdown]
# ## The question
#
# Attention gives each patch *one* weighted mean. In lesson 07, a patch of the heart attended to the background in one head and to
# the heart in another. With a single head, one softmax would have to divide its weights between heart and background, and
# the mean would be a mixture of both. To look for several things, a layer needs several attentions with separate queries, keys and
# values. Each of them is an **attention head**.
#
# Attention only moves information: each token receives a mean of the values of other tokens. Something must then compute with what
# was received. That is the MLP of lesson 04, which works on each token separately. Attention followed by an MLP is an
# **encoder block**, and a Vision Transformer is a stack of 12 or more of them. So the question of this lesson has a second part:
# how can one stack 12 or 32 blocks so that gradients still reach the first?

# %% [markdown]
# ## The picture
#
# Here is one block of the trained model, applied to the heart of lesson 07. Each panel shows the 65 tokens as rows of 64 numbers.
# Orange numbers are below 0, violet ones above.

# %%
image = shapes("test", count=40).images[35]
model = trained_model()

explore(
    lambda block: pictures.draw_stream(model, image, block),
    pictures.STREAM,
    block=[1, 2, 3, 0],
)

# %% [markdown]
# Look at the signs between the panels: the block *replaces* nothing. It reads the tokens and **adds** to them twice, first the
# result of attention, then that of the MLP. Adding a layer's input to its output is called a **residual connection**. The
# tokens that run through the whole network in this way, and to which each block adds its results, are called the **residual stream**.
# (The striped rows at the top are patches of the background, which all look alike. The heart begins below them.)

# %% [markdown]
# ## One number at a time
#
# We begin with the heads. If there are k of them, each has its own queries, keys and values of width $D_h = D / k$. Together, the
# k heads therefore have as many weights as a single head of width D. One linear layer from D to 3 D numbers computes all
# queries, keys and values. Its result is a *packed* array `qkv`: first the queries of head 0, of head 1, and so on; then the keys of all
# heads; then the values of all heads.

# %%
_, seen = model(preprocess(image[None]), return_intermediates=True)
trained = {name: values.data for name, values in model.named_parameters()}

# The input of block 0, as in lesson 06: the class token, then the patch embeddings, plus the position embeddings.
tokens = np.concatenate([trained["cls"], seen["embedding"]], axis=1)  # (1, 65, 64)
entering = Tensor(tokens + trained["positions.embedding"])  # (1, 65, 64)
scale, shift, U, bias = (
    Tensor(trained[f"blocks.0.{part}"])
    for part in ("norm1.weight", "norm1.bias", "attention.qkv.weight", "attention.qkv.bias")
)
qkv = linear(layer_norm(entering, scale, shift), U, bias)  # (1, 65, 3 · 64)

show(
    pictures.draw_packed(qkv.data[0], heads=2),
    pictures.PACKED,
)


# %% exercise="head_columns"
def head_columns(part, head, heads, D):
    """The columns of one head's queries (part 0), keys (part 1) or values (part 2) in the packed array, as a slice."""
    D_h = D // heads
    # --- solution
    start = part * D + head * D_h  # a whole D for each part before it, then D_h for each head before it
    return slice(start, start + D_h)
    # --- end


# %% [markdown]
# With `head_columns`, **multi-head attention** is two loops around the attention of lesson 07: compute each head of each image
# separately, and write the results side by side. This is the definition.


# %%
def heads_by_loops(qkv, heads):
    """The outputs of all heads, side by side, from packed queries, keys and values: (B, N, 3 D) -> an array (B, N, D)."""
    B, N, width = qkv.shape
    D = width // 3
    outputs = np.empty((B, N, D), qkv.dtype)
    for b in range(B):
        for head in range(heads):
            q, k, v = (qkv[b][:, head_columns(part, head, heads, D)] for part in range(3))  # (N, D_h) each
            outputs[b][:, head_columns(0, head, heads, D)] = attention(q, k, v).data
    return outputs


heads_by_loops(qkv, heads=2).shape

# %% [markdown]
# ## All at once
#
# Your `attention` works on the last two axes and treats all axes before them alike. So let the heads be an axis before them, next to the
# batch: then all heads of all images run in one call. As in lesson 05, no number changes. They only move:
#
# | step | axes |
# |---|---|
# | packed | (B, N, 3 D) |
# | split the columns | (B, N, 3, heads, D_h) |
# | reorder the axes | (3, B, heads, N, D_h) |
# | q, k, v | (B, heads, N, D_h) each |


# %% exercise="split_heads"
def split_heads(qkv, heads):
    """Queries, keys and values by head: a Tensor (B, N, 3 D) -> q, k, v, each (B, heads, N, D_h)."""
    B, N, width = qkv.shape
    # --- solution
    D_h = width // (3 * heads)
    split = qkv.reshape(B, N, 3, heads, D_h).transpose(2, 0, 3, 1, 4)  # (3, B, heads, N, D_h)
    return split[0], split[1], split[2]
    # --- end


# %% [markdown]
# Now compare two heads with one. The first two maps show the attention weights of the two heads for the patch at the tip of the heart.
# The third shows those of a single head with the same queries and keys, 64 numbers wide.

# %%
q, k, v = split_heads(qkv, heads=2)
tip = 1 + 6 * 8 + 4  # the class token, six rows of patches, four patches
narrow = attention_weights(q, k).data[0, :, tip, 1:]  # (2, 64): both heads, one query, the patches as keys
wide = attention_weights(qkv[..., :64], qkv[..., 64:128]).data[0, tip, 1:]  # (64,)

on_heart = image.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3, 4)) > 128  # (8, 8): a bright heart on a dark background
maps = [weights.reshape(8, 8) for weights in (*narrow, wide)]
titles = [
    f"{name}: {weights[on_heart].sum():.0%} on the heart"
    for name, weights in zip(("head 0", "head 1", "one wide head"), maps, strict=True)
]
show(
    draw_side_by_side(maps, titles, (6, 4)),
    pictures.THREE_HEADS,
)
print(f"of all patches, {on_heart.mean():.0%} are on the heart")

# %% [markdown]
# These are the two heads of lesson 07: one attends to patches like its own, the other to patches unlike it. The wide head adds
# the scores of both *before* softmax. Where one score is high the other is low, so they cancel, and the heart's share of the
# weight comes close to its share of the patches. Two separate softmaxes give two separate means, and nothing cancels.
#
# Afterwards, the outputs of all heads are written side by side again, for each token.


# %% exercise="merge_heads"
def merge_heads(outputs):
    """The outputs of the heads, side by side: a Tensor (B, heads, N, D_h) -> (B, N, D)."""
    B, heads, N, D_h = outputs.shape
    # --- solution
    return outputs.transpose(0, 2, 1, 3).reshape(B, N, heads * D_h)
    # --- end


# %%
together = merge_heads(attention(*split_heads(qkv, heads=2)))
print("largest difference from the loops:", np.abs(together.data - heads_by_loops(qkv, heads=2)).max())

# %% [markdown]
# Head 0 fills the first D_h numbers of each token, head 1 the next D_h. One more linear layer from D to D, called `out`, mixes
# them, so that the result of every head can reach every number of the residual stream.
#
# Now write it as a layer, with `Linear` of lesson 04 for `qkv` and `out`. One detail of the initialisation: `qkv` holds three D x D
# matrices, and each must start as it would alone. `Linear(D, 3 D)` would treat them as one wide matrix and start them smaller by a
# factor of √2. So `__init__`, which is given, draws three square matrices and joins them.


# %% exercise="MultiHeadSelfAttention"
class MultiHeadSelfAttention(Module):
    """Every token attends to every token, once in each head: (B, N, D) -> (B, N, D)."""

    def __init__(self, dim, heads, rng):
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim, rng)
        three = [Linear(dim, dim, rng).weight.data for _ in range(3)]
        self.qkv.weight = parameter(np.concatenate(three, axis=1))  # (D, 3 D)
        self.out = Linear(dim, dim, rng)

    def forward(self, z):
        # --- solution
        q, k, v = split_heads(self.qkv(z), self.heads)  # (B, heads, N, D_h) each
        return self.out(merge_heads(attention(q, k, v)))
        # --- end


# %% [markdown]
# ## Your turn
#
# Now the block. Both of its halves do the same three things: *normalise, compute, add*. With LN for `LayerNorm`, MSA for your
# multi-head self-attention, and MLP for the layer of lesson 04:
#
# $$z' = \text{MSA}(\text{LN}(z)) + z, \qquad\qquad z_\text{new} = \text{MLP}(\text{LN}(z')) + z'$$
#
# - LayerNorm comes *before* each computation. This order is called **pre-norm**. However large the numbers in the residual
#   stream become, attention and MLP receive numbers of ordinary size.
# - "+ z" is the residual connection. It adds the tokens themselves, not their normalised copy.
# - Each half has a separate LayerNorm: `norm1` and `norm2`.


# %% exercise="EncoderBlock"
class EncoderBlock(Module):
    """One block of the Transformer encoder: (B, N, D) -> (B, N, D)."""

    def __init__(self, dim, heads, mlp_dim, rng):
        self.norm1 = LayerNorm(dim)
        self.attention = MultiHeadSelfAttention(dim, heads, rng)
        self.norm2 = LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, rng)

    def forward(self, z):
        # --- solution
        z = self.attention(self.norm1(z)) + z
        return self.mlp(self.norm2(z)) + z
        # --- end


# %% [markdown]
# Is it the same block as in the library? Your block's parameters have the same names as those of the trained model, so you can copy
# the weights.
# The tokens that leave block 0 of the model then go through your blocks 1, 2 and 3, and must be the same as in the model after
# each.

# %%
z = Tensor(seen["blocks.0.tokens"])  # (1, 65, 64)
for i in (1, 2, 3):
    mine = EncoderBlock(dim=64, heads=2, mlp_dim=128, rng=np.random.default_rng(0))
    for name, values in mine.named_parameters():
        values.data[...] = trained[f"blocks.{i}.{name}"]
    z = mine(z)
    gap = np.abs(z.data - seen[f"blocks.{i}.tokens"]).max()
    print(f"after block {i}: largest number {np.abs(z.data).max():.1f}, largest difference {gap:.0e}")

# %% [markdown]
# ### A puzzle: one line
#
# For a harder task, here are two puzzles. They have no hints. Each must be a single `return`. The first is `split_heads` for one
# image, with all parts and heads below each other, so that one can see the result on paper. The cell after the check draws what
# *your* line does to a small array, right or wrong. Each number of that array says where it comes from: its digits are part (1 for
# query, 2 for key, 3 for value), head, token and number, each counted from 1.


# %% exercise="stack_heads"
def stack_heads(qkv, heads, N, D_h):
    """Each part of each head below the one before: an array (N, 3 · heads · D_h) -> (3 · heads · N, D_h)."""
    # --- solution
    return qkv.reshape(N, 3 * heads, D_h).transpose(1, 0, 2).reshape(3 * heads * N, D_h)
    # --- end


# %%
part, head, token, number = (1 + i for i in np.indices((3, 2, 2, 2)))  # axes: part, head, token, number
labels = 1000 * part + 100 * head + 10 * token + number
packed = np.concatenate(list(labels.reshape(6, 2, 2)), axis=1)  # (2, 12)
show_attempt(
    "stack_heads", Cells("packed: 2 tokens, 2 heads, D_h = 2", packed), packed, 2, 2, 2, right=labels.reshape(12, 2)
)

# %% [markdown]
# The second puzzle is a task from practice. Some published models, such as the language model BLOOM, pack the columns of `qkv`
# head by head: query, key and value of head 0, then query, key and value of head 1. To load such a file into a model that packs
# part by part, one must reorder the columns. Write the opposite direction, from our order to theirs.


# %% exercise="head_by_head"
def head_by_head(qkv, heads, N, D_h):
    """Columns packed part by part, packed head by head instead: an array (N, 3 · heads · D_h) of the same shape."""
    # --- solution
    return qkv.reshape(N, 3, heads, D_h).transpose(0, 2, 1, 3).reshape(N, 3 * heads * D_h)
    # --- end


# %%
short = labels[:, :, :, 0] // 10  # D_h = 1: the digits are part, head, token
packed = short.reshape(6, 2).T  # (2, 6)
reordered = short.transpose(1, 0, 2).reshape(6, 2).T
show_attempt("head_by_head", Cells("part by part", packed), packed, 2, 2, 1, right=reordered)

# %% [markdown]
# ## In the paper
#
# Section 3.1 and appendix A, with L blocks and k heads:
#
# $$z'_\ell = \text{MSA}(\text{LN}(z_{\ell-1})) + z_{\ell-1}, \qquad \ell = 1 \ldots L \tag{2}$$
# $$z_\ell = \text{MLP}(\text{LN}(z'_\ell)) + z'_\ell, \qquad \ell = 1 \ldots L \tag{3}$$
# $$\text{MSA}(z) = [SA_1(z); SA_2(z); \cdots; SA_k(z)]\, U_{msa}, \qquad U_{msa} \in \mathbb{R}^{k \cdot D_h \times D} \tag{8}$$
#
# | paper | here |
# |---|---|
# | $\text{LN}$ | `norm1`, `norm2` |
# | $[SA_1; \cdots; SA_k]$ | `merge_heads(...)` |
# | $U_{msa}$ | `attention.out.weight` |
# | $\text{MLP}$ | `mlp`: `fc1`, GELU, `fc2` |
# | k, $D_h$ | `heads`, `dim // heads`; in ViT-B/16 12 and 64 |
#
# The Transformer of 2017 has LayerNorm *after* each addition (post-norm). ViT has it before, as several Transformers for
# language had before it. In [`minivit/models/vit.py`](../minivit/models/vit.py) the block has the same
# parts, and more. Options set random activations to 0 during training (lesson 11), or set the whole result of attention or MLP to
# 0 or scale it. Without them, the last layer of each half adds z itself (`plus=`), which saves a pass over memory. The last block
# skips the tokens that nothing reads.

# %% [markdown]
# ## Break it and see
#
# What do residual connections and LayerNorms contribute? Take 24 new blocks, as many as ViT-L has, and leave out the residual
# connections, or the LayerNorms, or both. No error is raised. Pass an image forwards and a gradient backwards, and measure
# at each block the length of the gradient, and how different the tokens still are.
#
# Before you run the cell, guess: in which of the three broken stacks does the gradient vanish, in which does it explode, and in
# which do all tokens become the same?

# %%
PatchEmbedding, Tokens = built("PatchEmbedding", "Tokens")


def add(part, z):
    return part(z) + z


stacks = {
    "as in the paper": lambda block, z: block(z),
    "no residual connections": lambda block, z: block.mlp(block.norm2(block.attention(block.norm1(z)))),
    "no LayerNorms": lambda block, z: add(block.mlp, add(block.attention, z)),
    "neither": lambda block, z: block.mlp(block.attention(z)),
}


def difference(z):
    """How different two patches' tokens are: 1 - their mean cosine, so 0 if all point the same way."""
    patches = z[0, 1:].astype(np.float64)  # (N, D), without the class token
    unit = patches / np.linalg.norm(patches, axis=-1, keepdims=True)
    cosines = unit @ unit.T  # (N, N)
    N = len(patches)
    return 1 - (cosines.sum() - N) / (N * N - N)


def forwards_and_backwards(step, depth=24):
    """The length of the gradient and the difference between tokens, before each block and after the last."""
    rng = np.random.default_rng(0)
    blocks = [EncoderBlock(64, 2, 128, rng) for _ in range(depth)]
    first = Tokens(64, 64, rng)(PatchEmbedding(4, 3, 64, rng)(Tensor(preprocess(image[None]))))

    stream = [first.data]
    for block in blocks:
        stream.append(step(block, Tensor(stream[-1])).data)

    gradient = rng.standard_normal(first.shape).astype(np.float32)
    gradient /= np.linalg.norm(gradient)
    lengths = [1.0]
    for block, z in zip(blocks[::-1], stream[-2::-1], strict=True):
        leaf = Tensor(z, requires_grad=True)  # one block at a time: its gradient goes to the block before it
        step(block, leaf).backward(gradient)
        gradient = leaf.grad
        lengths.append(float(np.linalg.norm(gradient)))
    return lengths[::-1], [difference(z) for z in stream]


measured = {name: forwards_and_backwards(step) for name, step in stacks.items()}
show(
    pictures.draw_depth({k: v[0] for k, v in measured.items()}, {k: v[1] for k, v in measured.items()}),
    pictures.DEPTH,
)

# %% [markdown]
# <details><summary>What the four stacks show</summary>
#
# Mind the scales: both are logarithmic.
#
# - *As in the paper*: at the first block the gradient is about ten times as long as at the last, and tokens stay
#   different. The derivative of z + f(z) is 1 + f′(z), and the 1 lets the gradient pass each block unchanged.
# - *No residual connections*: after three blocks all tokens are the same to many digits. Each block replaces a token by a mean over
#   all tokens, and the next block takes means of these means. The length of the gradient looks healthy, but the tokens no longer say where
#   the heart was.
# - *No LayerNorms*: each block adds something in proportion to the numbers that it receives, so numbers and gradients grow exponentially.
#   The tokens become alike too, but more slowly.
# - *Neither*: less than a millionth of the gradient is left, and every token is the same.
#
# </details>
#
# Now add the order of 2017, post-norm, as a fifth stack:
# `lambda block, z: block.norm2(add(block.mlp, block.norm1(add(block.attention, z))))`. Do tokens stay different with it?
#
# <details><summary>Answer</summary>
#
# No, but they become alike slowly: after 8 blocks the difference is about 0.01, after 24 about a ten-millionth. Each LayerNorm after an
# addition scales the sum down, and with it the part that came unchanged from the blocks before. After many blocks little of
# that part is left. In the pre-norm order nothing scales the residual stream itself.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# PyTorch has both: `torch.nn.MultiheadAttention` is your `MultiHeadSelfAttention`, and
# `torch.nn.TransformerEncoderLayer` is your `EncoderBlock`.
#
# ```python
# block = torch.nn.TransformerEncoderLayer(
#     d_model=64, nhead=2, dim_feedforward=128, dropout=0.0, layer_norm_eps=1e-6,
#     activation=lambda h: torch.nn.functional.gelu(h, approximate="tanh"),
#     batch_first=True, norm_first=True,
# )
# y = block(torch.tensor(tokens))  # (B, N, D)
# ```
#
# What differs:
#
# - Every argument above is needed. By default the layer is post-norm, with ReLU, `dim_feedforward=2048`, `dropout=0.1`,
#   `layer_norm_eps=1e-5`, and the batch is the *second* axis: (N, B, D).
# - A linear layer stores its weight as (out, in), so each of our weights is transposed.
# - The packed weight is called `in_proj_weight`, (3 D, D). Its order is ours: all queries, then all keys, then all values.
#   PyTorch initialises it as one wide matrix, so it starts smaller than ours by √2.
# - `MultiheadAttention` takes query, key and value as three arguments, `attention(x, x, x)`, and returns two results: the tokens, and the
#   attention weights, averaged over the heads unless you say `average_attn_weights=False`.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    mine = EncoderBlock(dim=64, heads=2, mlp_dim=128, rng=np.random.default_rng(0))
    theirs = torch.nn.TransformerEncoderLayer(
        64, 2, 128, 0.0, lambda h: torch.nn.functional.gelu(h, approximate="tanh"), 1e-6, True, True
    )
    NAMES = {
        "attention.qkv.weight": "self_attn.in_proj_weight",
        "attention.qkv.bias": "self_attn.in_proj_bias",
        "attention.out": "self_attn.out_proj",
        "mlp.fc1": "linear1",
        "mlp.fc2": "linear2",
    }
    state = {}
    for name, values in mine.named_parameters():
        values.data[...] = trained[f"blocks.1.{name}"]
        layer, _, kind = name.rpartition(".")
        new_name = NAMES.get(name) or f"{NAMES.get(layer, layer)}.{kind}"
        state[new_name] = torch.from_numpy(values.data.T.copy())  # transposed: (out, in)
    theirs.load_state_dict(state)

    tokens = seen["blocks.0.tokens"]  # (1, 65, 64)
    x = torch.tensor(tokens)
    agree("multi-head attention", mine.attention(Tensor(tokens)), theirs.self_attn(x, x, x)[0], tolerance=1e-5)
    agree("the encoder block", mine(Tensor(tokens)), theirs(x), tolerance=1e-5)

# %% [markdown]
# ## What came before and after
#
# - [He et al., 2015](https://arxiv.org/abs/1512.03385) introduced residual connections for convolutional networks (ResNet) and
#   trained networks of 152 layers on ImageNet.
# - [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762) put multi-head attention, an MLP and residual connections together: the
#   Transformer, then for machine translation.
# - [Xiong et al., 2020](https://arxiv.org/abs/2002.04745) compared both positions of LayerNorm. With post-norm the gradients near the output
#   are large at the start of training; with pre-norm they are well-behaved.
# - [Dong et al., 2021](https://arxiv.org/abs/2103.03404) proved what your plot shows: without residual connections (and without MLPs), attention
#   makes all tokens the same, doubly exponentially fast in the number of layers.
# - [Michel et al., 2019](https://arxiv.org/abs/1905.10650) found that many heads of trained language models can be removed with
#   little loss, in some layers all but one.

# %% [markdown]
# ## Summary
#
# - k attention heads of width D / k compute k separate means, with the weights of one head of width D.
# - Splitting and merging heads only moves numbers: reshape and transpose.
# - An encoder block does *normalise, compute, add* twice. Attention moves information between tokens; the MLP works on each token alone.
# - Residual connections let gradients pass unchanged and keep tokens different. LayerNorms keep the size of numbers steady.

# %% [markdown]
# ## What comes next
#
# All parts are there. [Lesson 09](09_vit.ipynb) puts them together: patch embedding, tokens, a stack of your blocks, one more LayerNorm, and a
# classification head. That is the whole Vision Transformer.
