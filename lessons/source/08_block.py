# %% [markdown]
# # 08 · Heads and the encoder block
#
# *About 45 minutes. Comes after lessons [04](04_layers.ipynb) and [07](07_attention.ipynb). In the paper: Eqs. 2, 3 and 8, and
# Fig. 1 on the right.*
#
# You will let several heads look side by side without a loop, and build the encoder block: the part that a Vision Transformer
# is a stack of. Trained weights then run through your block, and you will see what a deep stack does without its two
# safety devices.

# %% tags=["keep"]
import numpy as np

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons import trained_model
from minivit_lessons.pictures import block as pictures
from minivit_lessons.pictures.attention import draw_side_by_side

Tensor, parameter, Module = built("Tensor", "parameter", "Module")
linear, layer_norm, Linear, LayerNorm, MLP = built("linear", "layer_norm", "Linear", "LayerNorm", "MLP")
attention_weights, attention = built("attention_weights", "attention")

# %% [markdown]
# ## The question
#
# One head gives each patch *one* mean. In lesson 07 a patch of the heart asked for the ground in one head and for the heart in
# another. In a single head, softmax would have to share its weights between both wishes, and the answer would be a mixture of
# heart and ground: neither. To look for several things, look several times. That is what **heads** are for.
#
# And a mean is all that attention gives. Patches hear one another, but nobody has yet *worked out* anything from what was
# heard. So each token next goes through an MLP, by itself: first gather, then think. Together that is a **block**, and a
# Vision Transformer is a dozen or more of them on top of one another. How does one stack 12 or 32 blocks so that gradients
# still reach the bottom?

# %% [markdown]
# ## The picture
#
# One block of the trained model at work on the heart of lesson 07. Each panel holds the 65 tokens as rows of 64 numbers: orange
# below 0, violet above.

# %%
image = shapes("test", count=40).images[35]
model = trained_model()

explore(
    lambda block: pictures.draw_stream(model, image, block),
    "Five panels of 65 tokens by 64 numbers: what enters, plus what attention gathered, makes the halfway tokens; plus what the MLP "
    "worked out, makes what leaves. What is added is paler than what it is added to.",
    block=[1, 2, 3, 0],
)

# %% [markdown]
# Look at the signs between the panels. The block *replaces* nothing. It reads the tokens, and twice it **adds** something: what
# attention gathered, and what the MLP made of it. The tokens run through the network like a stream, and blocks write into it.
# (The striped rows on top are patches of the ground, which are all alike; below them the heart begins.)

# %% [markdown]
# ## One number at a time
#
# Heads first. With k heads, each gets its own queries, keys and values, only narrower: $D_h = D / k$. So k heads together have as
# many weights as a single wide one. One matrix of shape (D, 3 D) makes them all, in one packed array `qkv`: first the queries of head 0,
# of head 1, ...; then the keys of all heads, then the values.

# %%
_, seen = model(preprocess(image[None]), return_intermediates=True)
trained = {name: values.data for name, values in model.named_parameters()}

# What enters block 0, as in lesson 06: patch embeddings behind the class token, and positions added.
tokens = np.concatenate([trained["cls"], seen["embedding"]], axis=1)  # (1, 65, 64)
entering = Tensor(tokens + trained["positions.embedding"])  # (1, 65, 64)
scale, shift, U, bias = (
    Tensor(trained[f"blocks.0.{part}"])
    for part in ("norm1.weight", "norm1.bias", "attention.qkv.weight", "attention.qkv.bias")
)
qkv = linear(layer_norm(entering, scale, shift), U, bias)  # (1, 65, 3 · 64)

show(
    pictures.draw_packed(qkv.data[0], heads=2),
    "65 rows of 192 numbers, cut by thick lines into queries, keys and values of 64 columns each, and by thin lines into two heads of "
    "32 columns each: queries of head 0 are columns 0 to 31, of head 1 columns 32 to 63, keys of head 0 columns 64 to 95.",
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
# With it, multi-head attention is two loops around lesson 07: each head of each image by itself, and the heads' answers side by
# side. This is the definition.


# %%
def heads_by_loops(qkv, heads):
    """From packed queries, keys and values to all heads' answers: (B, N, 3 D) -> an array (B, N, D)."""
    B, N, width = qkv.shape
    D = width // 3
    answers = np.empty((B, N, D), qkv.dtype)
    for b in range(B):
        for head in range(heads):
            q, k, v = (qkv[b][:, head_columns(part, head, heads, D)] for part in range(3))  # (N, D_h) each
            answers[b][:, head_columns(0, head, heads, D)] = attention(q, k, v).data
    return answers


heads_by_loops(qkv, heads=2).shape

# %% [markdown]
# ## All at once
#
# Your `attention` works on the last two axes, whatever stands in front. So make "head" an axis in front, next to the batch,
# and all heads of all images run in one call. As in lesson 05 no number changes, they only move:
#
# | step | axes |
# |---|---|
# | packed | (B, N, 3 D) |
# | split the columns | (B, N, 3, heads, D_h) |
# | reorder | (3, B, heads, N, D_h) |
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
# Now you can see why one wide head would not do. Here are the two heads' weights for the patch at the heart's tip, and those of a
# single head with the same queries and keys, 64 numbers wide.

# %%
q, k, v = split_heads(qkv, heads=2)
narrow = attention_weights(q, k).data[0, :, 1 + 6 * 8 + 4, 1:]  # (2, 64): both heads, one query, the patches as keys
wide = attention_weights(qkv[..., :64], qkv[..., 64:128]).data[0, 1 + 6 * 8 + 4, 1:]  # (64,)

on_heart = image.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3, 4)) > 128  # (8, 8): the heart is bright, the ground dark
maps = [weights.reshape(8, 8) for weights in (*narrow, wide)]
titles = [
    f"{name}: {weights[on_heart].sum():.0%} on the heart"
    for name, weights in zip(("head 0", "head 1", "one wide head"), maps, strict=True)
]
show(
    draw_side_by_side(maps, titles, (6, 4)),
    "Three maps of the tip's attention in %. One head looks at the heart, the other at the ground around it. The single "
    "wide head looks at both a little.",
)
print(f"of all patches, {on_heart.mean():.0%} are on the heart")

# %% [markdown]
# These are the two heads of lesson 07: one looks at its own kind, the other at the opposite. The wide head adds the scores of
# both *before* softmax. What one raises the other lowers, and the heart's share of the weight is not far from its share of the
# patches, as if nobody had asked for anything. Two softmaxes make two means, and both wishes are granted.
#
# Afterwards each token's answers from all heads are put side by side again.


# %% exercise="merge_heads"
def merge_heads(answers):
    """The heads' answers side by side: a Tensor (B, heads, N, D_h) -> (B, N, D)."""
    B, heads, N, D_h = answers.shape
    # --- solution
    return answers.transpose(0, 2, 1, 3).reshape(B, N, heads * D_h)
    # --- end


# %%
together = merge_heads(attention(*split_heads(qkv, heads=2)))
print("largest difference from the loops:", np.abs(together.data - heads_by_loops(qkv, heads=2)).max())

# %% [markdown]
# Side by side, head 0's answer fills the first D_h numbers and head 1's the next. One more matrix (D, D), the layer `out`, mixes
# them: what one head found can then be written anywhere into the stream.
#
# Now as a layer, with lesson 04's `Linear` for `qkv` and `out`. One detail of how it starts: `qkv` is three D x D matrices in one
# array, and each starts as it would alone. `Linear(D, 3 D)` takes it for one wide matrix and would start it smaller by √2.


# %% exercise="MultiHeadSelfAttention"
class MultiHeadSelfAttention(Module):
    """Every token gathers from every token, once for each head: (B, N, D) -> (B, N, D)."""

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
# Now the block. It has two halves of the same make: *normalise, compute, add*. With LN for `LayerNorm`, MSA for your layer, and the
# MLP of lesson 04:
#
# $$z' = \text{MSA}(\text{LN}(z)) + z, \qquad\qquad z_\text{new} = \text{MLP}(\text{LN}(z')) + z'$$
#
# - The LayerNorm stands *before* each computation: whatever has piled up in the stream, attention and MLP see numbers of an
#   ordinary size.
# - The "+ z" is the **residual connection**. What is added there is the stream itself, not its normalised copy.
# - Each half has a LayerNorm of its own: `norm1` and `norm2`.


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
# Is it the real thing? Your block's parameters have the same names as those in the trained model, so the weights can be copied.
# Then the tokens that enter block 1 must leave your blocks 1, 2 and 3 just as they leave the model's.

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
# The Transformer of 2017 had its LayerNorm *after* each addition. ViT moves it in front, as others had done before. In
# [`minivit/models/vit.py`](../minivit/models/vit.py) the block reads the same; dropout comes on top, and the last block of a
# trained model may leave out tokens that nobody reads.

# %% [markdown]
# ## Break it and see
#
# What are the two safety devices worth? Take 24 fresh blocks, as many as ViT-L has, and leave out the residual connections, or the
# norms, or both. Nothing complains. Send an image up and a gradient down, and measure at each block how long the gradient is, and how
# different the tokens still are.

# %%
PatchEmbedding, Tokens = built("PatchEmbedding", "Tokens")


def add(part, z):
    return part(z) + z


stacks = {
    "as in the paper": lambda block, z: block(z),
    "no residuals": lambda block, z: block.mlp(block.norm2(block.attention(block.norm1(z)))),
    "no norms": lambda block, z: add(block.mlp, add(block.attention, z)),
    "neither": lambda block, z: block.mlp(block.attention(z)),
}


def difference(z):
    """How different two patches' tokens are: 1 - their mean cosine, so 0 if all point the same way."""
    patches = z[0, 1:].astype(np.float64)  # (N, D), without the class token
    unit = patches / np.linalg.norm(patches, axis=-1, keepdims=True)
    cosines = unit @ unit.T  # (N, N)
    N = len(patches)
    return 1 - (cosines.sum() - N) / (N * N - N)


def up_and_down(step, depth=24):
    """How long the gradient is and how different the tokens are, before each block and after the last."""
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
        leaf = Tensor(z, requires_grad=True)  # one block at a time: what comes out of it below goes into the next
        step(block, leaf).backward(gradient)
        gradient = leaf.grad
        lengths.append(float(np.linalg.norm(gradient)))
    return lengths[::-1], [difference(z) for z in stream]


measured = {name: up_and_down(step) for name, step in stacks.items()}
show(
    pictures.draw_depth({k: v[0] for k, v in measured.items()}, {k: v[1] for k, v in measured.items()}),
    "Left, the gradient's length on a logarithmic scale: as in the paper it stays within a factor of about ten over 24 blocks; without "
    "norms it grows by several powers of ten; with neither it shrinks by many. Right, how different tokens are: as in the paper a few per cent to "
    "the end; without residuals they fall to nothing within five blocks.",
)

# %% [markdown]
# Four stacks, four fates (mind the scales: each step is a power of ten):
#
# - *As in the paper*: the gradient reaches the bottom about ten times as long as it set out, and tokens stay different. For z + f(z) has the
#   slope 1 + f′(z): the 1 is a road on which the gradient passes every block untouched.
# - *No residuals*: after five blocks all tokens are the same, to many digits. Each block puts a mean over the tokens in a token's
#   place, and the next takes means of these means. The gradient's length looks healthy; but where the heart was is gone.
# - *No norms*: each block adds in proportion to what has piled up, so numbers and gradients grow like interest; and the tokens
#   become alike too, only more slowly.
# - *Neither*: of the gradient a millionth part or less is left, and every token is the same.
#
# Change it: add the order of 2017, `lambda block, z: block.norm2(add(block.mlp, block.norm1(add(block.attention, z))))`, as a fifth.
# How different do the tokens stay?

# %% [markdown]
# ## Summary
#
# - k heads of width D / k look for k things with the weights of one wide head.
# - Splitting and merging heads only moves numbers: reshape and transpose.
# - A block is twice *normalise, compute, add*: attention moves information between tokens, the MLP works on each alone.
# - Residual connections keep a road open for gradients and keep tokens apart; norms keep sizes steady.

# %% [markdown]
# ## What comes next
#
# All parts are there. [Lesson 09](09_vit.ipynb) puts them together: patches, tokens, a stack of your blocks, one more norm and a head for the classes.
# That is the whole Vision Transformer, and it will be yours.
