# %% [markdown]
# # 12 · Inside: what it learned, and where it looks
#
# *About 45 minutes. Comes after lessons [06](06_positions.ipynb) to [09](09_vit.ipynb). In the paper: section 4.5, Figs. 6
# and 7, appendices D.7 and D.8.*
#
# You will open a trained Vision Transformer and take four measurements: what its first layer looks for, what its positions
# know, how far its heads look, and which patches its answer comes from. Then you will test whether one of them can be
# trusted.

# %% tags=["keep"]
import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.insight import attention_rollout, patch_distances
from minivit.insight.figures import draw_distances
from minivit_lessons import trained_model
from minivit_lessons.display import new_figure
from minivit_lessons.pictures.inside import draw_attention, draw_erasure, draw_filters_and_positions, draw_maps

Tensor, patchify, unpatchify = built("Tensor", "patchify", "unpatchify")

# %% [markdown]
# ## The question
#
# A trained network is an answer without an explanation. The one that comes with these lessons is 142,026 numbers which tell
# ten shapes apart, nearly without a mistake. Nobody wrote those numbers; gradients found them. Can we find out what they do?
#
# The paper asks four questions of this kind, and each is a short calculation on arrays that you know. Two read the weights
# alone, two read the attention that you built in lesson 07.

# %% [markdown]
# ## The picture
#
# This is the last of the four, made by `minivit` itself: for ten test images, how much of the answer came from each of the 64
# patches, the more the brighter. Nobody told the model where the shapes are. It was given images and the names of classes.

# %%
model = trained_model()  # a ViT: 32 x 32 pixels, patches of 4, D = 64, L = 4 blocks, 2 heads
P, columns = 4, 8

data = shapes("test", count=200)  # images that it has never seen
images = minivit.preprocess(data.images)  # (200, 32, 32, 3), from -1 to 1
names = [data.classes[label] for label in data.labels]
show(
    draw_maps(data.images[:10], {"rollout": attention_rollout(model, data.images[:10])}, names),
    "Ten images of shapes; below each a map of 8 x 8 patches, bright on the shape or its outline, dark elsewhere.",
)

# %% [markdown]
# All that we need is in one forward pass: `minivit`'s model returns, if asked, the arrays that it makes on its way. They are
# plain NumPy arrays: nothing here needs a gradient.
#
# | array | shape here | what it is |
# |---|---|---|
# | `seen["blocks.i.attention.weights"]` | (200, 2, 65, 65) | A of block i (Eq. 6): image, head, query, key |
# | `model.embedding.weight.data` | (48, 64) | E, lesson 05: column d is filter d |
# | `model.positions.embedding.data` | (1, 65, 64) | the learned positions, lesson 06 |
#
# Token 0 is the class token, and tokens 1 to 64 are the patches in reading order.

# %%
with minivit.no_grad():
    logits, seen = model(images, return_intermediates=True)

attention = [seen[f"blocks.{i}.attention.weights"] for i in range(4)]  # four times (200, 2, 65, 65)
E = model.embedding.weight.data  # (48, 64)
positions = model.positions.embedding.data  # (1, 65, 64)
right = logits.data.argmax(axis=1) == data.labels
print(f"{right.mean():.1%} right; a row of A adds up to {attention[0][0, 0, 5].sum():.3f}")

# %% [markdown]
# ## One number at a time
#
# How far does a head look? Take one image, one head and one patch that asks. Its row of A says how much it attends to each
# patch. Below, the patch in the middle of the star asks. Nearly a third of its attention goes to its neighbour down on the
# right, almost a quarter to itself. Choose another block, image, head or patch with the sliders, if you have them: who
# stays near, and who looks across the image?


# %%
def attention_of(picture, block, head, patch):
    """What one patch attends to: (N,)."""
    return attention[block][picture, head, 1 + patch, 1:]


explore(
    lambda block, picture, head, patch: draw_attention(
        data.images[picture],
        attention_of(picture, block, head, patch),
        patch,
        P,
        f"block {block}, head {head}",
    ),
    "Left a star with one patch framed; right the 8 x 8 patches coloured by how much that patch attends to each.",
    block=[0, 1, 2, 3],
    picture=[5, *range(5), *range(6, 10)],
    head=[0, 1],
    patch=[27, *range(0, 64, 5)],
)

# %% [markdown]
# "How far" in one number: take the distance in pixels from the asking patch to every patch, centre to centre, and average
# these distances with the attention as weights. Patch n lies in row n // columns and column n % columns of the grid, and
# neighbours are P pixels apart.
#
# One trap. The class token has no place in the image, so it is left out. Then the weights no longer add up to 1, and an average
# must divide by what they do add up to.


# %% exercise="query_distance"
def query_distance(weights, query, columns, P):
    """The mean distance in pixels from patch `query` to what it attends to; weights (N,) are its attention."""
    total = 0.0
    # --- solution
    for n, weight in enumerate(weights):
        down = P * (n // columns - query // columns)
        across = P * (n % columns - query % columns)
        total += weight * np.sqrt(down**2 + across**2)
    return total / sum(weights)
    # --- end


# %%
for head in (0, 1):
    far = query_distance(attention_of(5, 0, head, 27), 27, columns, P)
    print(f"block 0, head {head}: patch 27 of the star looks {far:.1f} pixels far")

# %% [markdown]
# ## All at once
#
# For all patches, heads and images, put the distances between patches into a table first: `patch_distances` gives
# (N, N) numbers, row by the patch that asks. Then a product, a sum and a mean are left.


# %% exercise="head_distances"
def head_distances(weights, between):
    """The mean attention distance of each head: weights (B, heads, N + 1, N + 1), between (N, N) -> (heads,)."""
    # --- solution
    to_patches = weights[:, :, 1:, 1:]  # (B, heads, N, N): patches ask, patches answer
    far = (to_patches * between).sum(axis=-1) / to_patches.sum(axis=-1)  # (B, heads, N)
    return far.mean(axis=(0, 2))
    # --- end


# %%
between = patch_distances(model.config).astype(np.float32)  # (64, 64)
distances = np.stack([head_distances(weights, between) for weights in attention])  # (L, heads)

figure = new_figure(6, 3.1)
draw_distances(figure, distances, uniform=between.mean())
show(
    figure, "The mean attention distance of two heads in each of four layers, and a dashed line for uniform attention."
)

# %% [markdown]
# (The picture counts layers from 1, as the paper does: layer 1 is block 0.) Each of the eight heads looks about 15 to 16
# pixels far: half of the image, a little less than a head that attends to all patches alike, which is the dashed line. In
# the paper's large models some heads of the first layers look only nearby, and the distance grows with depth. Ours has four
# layers and simple images, and shows nothing of that.
#
# Such a mean hides much. In the same head of block 0 where the star's patch 27 looks 5.7 pixels far, one patch in seven looks
# more than 20. Nor does a distance near the dashed line mean that a head looks everywhere: two bright patches, one near and
# one far, have the same mean.
#
# ### From one layer to all of them
#
# Attention in the last block says what the class token gathers *there*. But what lies at a patch's place by then is no
# longer that patch: three blocks have mixed it with others. To follow the answer back to the image, we must go through all
# blocks. *Attention rollout* does so with three assumptions: the heads of a block count alike; the residual connection hands on
# as much as the attention does; and shares multiply along a path through the blocks, and add up over all paths.
#
# Say there are two tokens. Block 1 mixes them by $M_1$, block 2 by $M_2$; row i says what new token i is made of:
#
# $$M_1 = \begin{pmatrix} 1 & 0 \\ \tfrac12 & \tfrac12 \end{pmatrix} \quad
# M_2 = \begin{pmatrix} \tfrac12 & \tfrac12 \\ 0 & 1 \end{pmatrix}$$
#
# In the end token 0 is half the middle token 0 and half the middle token 1. Of the input, the former is all token 0, the
# latter half of each. Together: $\tfrac12 \cdot 1 + \tfrac12 \cdot \tfrac12 = \tfrac34$ of token 0, and $\tfrac14$ of token 1.
# That is row 0 of the matrix product $M_2 M_1$: the later block stands on the left.


# %% exercise="roll_out"
def roll_out(layers):
    """What each final token is made of: L arrays (B, heads, T, T), first block first -> (B, T, T)."""
    T = layers[0].shape[-1]
    flow = np.eye(T, dtype=layers[0].dtype)
    for weights in layers:
        # --- solution
        mixed = weights.mean(axis=1) + np.eye(T, dtype=weights.dtype)  # (B, T, T): attention and residual
        mixed = mixed / mixed.sum(axis=-1, keepdims=True)
        flow = mixed @ flow
        # --- end
    return flow


# %%
flow = roll_out(attention)  # (200, 65, 65)
rollouts = flow[:, 0, 1:]  # (200, 64): what the class token is made of, without itself
same_maps = np.allclose(rollouts.reshape(-1, 8, 8), attention_rollout(model, data.images), atol=1e-6)
print(f"the same maps as in the first picture: {same_maps}")
print(f"of itself the class token keeps {flow[:, 0, 0].mean():.0%}")

# %% [markdown]
# ## Your turn
#
# Now the weights; no image is needed. Column d of E is a filter: 48 numbers that a patch is multiplied by, number by number, to
# give $z_d$. It has the shape of a patch, so it can be looked at as a small picture. But 64 filters are many, and
# any one of them means little, since the next layer mixes them. The directions in which the filters differ *most* are
# better: their principal components.
#
# Write the filters as rows, subtract their mean, and take a singular value decomposition, `U, s, V = np.linalg.svd(...,
# full_matrices=False)`. The rows of V are the components, each of length 1, the most important first.


# %% exercise="main_filters"
def main_filters(E, count):
    """The first principal components of the filters: (P*P*C, D) -> (count, P*P*C)."""
    # --- solution
    filters = E.T - E.mean(axis=1)  # (D, P*P*C), less the mean filter
    U, s, V = np.linalg.svd(filters, full_matrices=False)
    return V[:count]
    # --- end


# %% [markdown]
# The positions were random once, and nothing but the loss has touched them since. If they learned where the patches are,
# neighbours should have become alike. Alike means: a small angle between the two vectors, so the cosine
# $p_i \cdot p_j / (|p_i|\,|p_j|)$ is near 1.


# %% exercise="similarity_maps"
def similarity_maps(positions, rows, columns):
    """The cosine of each patch's position with every other's: (1, N + 1, D) -> (rows, columns, rows, columns)."""
    # --- solution
    patches = positions[0, 1:]  # (N, D), without the class token's
    directions = patches / np.linalg.norm(patches, axis=1, keepdims=True)
    cosines = directions @ directions.T  # (N, N)
    return cosines.reshape(rows, columns, rows, columns)
    # --- end


# %%
components = main_filters(E, 28)
shares = (E.T @ components.T).var(axis=0) / E.var(axis=1).sum()  # of the filters' variance, along each component
show(
    draw_filters_and_positions(components, shares, similarity_maps(positions, 8, 8), P),
    "Left 28 small patterns of 4 x 4 pixels, the first ones grey; right 64 maps, each brightest at its own patch.",
)

# %% [markdown]
# Left, with the share of the variance that each explains. In a new model the first component explains 6 or 7 %, and all look
# like noise. Training has made the first ones stronger and taken their colour away: a light spot in the middle, light
# against dark across the patch, light against dark down the patch. That fits these data, where a shape may have any colour
# and is known by its edges. Further down the noise is as it was. In the paper's Fig. 7 all 28 look like a basis for the
# fine structure of a patch.
#
# Right, one map for each patch, laid out as the patches are. Each is brightest at its own patch and then around it: next
# neighbours have a cosine of about 0.6 on average, patches two apart of 0.25, three apart of none. The model found out
# what lies next to what. But look at the border: opposite sides are alike, left and right, top and bottom. A possible
# reason: in about three images of four no shape reaches the leftmost column, and it is the same on the other three sides.
# So all of them mostly mean background.

# %% [markdown]
# ## In the paper
#
# Section 4.5 has all four, in two figures: Fig. 7 filters, positions and distances, Fig. 6 the maps.
#
# | paper | here | in `minivit.insight` |
# |---|---|---|
# | Fig. 7 left: RGB embedding filters, first 28 components | `main_filters` | `filter_components` |
# | Fig. 7 centre: similarity of position embeddings | `similarity_maps` | `position_similarity` |
# | Fig. 7 right, D.7: mean attention distance, 128 images | `head_distances` | `attention_distance` |
# | Fig. 6, D.8: attention rollout | `roll_out` | `attention_rollout` |
#
# The appendix describes rollout as averaging over heads and multiplying through the layers. The identity for the residual
# connection is in the method that it cites (Abnar and Zuidema, arXiv 2005.00928).
#
# `minivit inspect RUN` writes all of it, for a model of your own, into one page.

# %% [markdown]
# ## Break it and see
#
# A map that glows on the shape convinces everyone. But does it say where the answer comes from? Test it: paint over the
# patches that the map calls most important, in the image's mean colour, and ask the model again. If the map is right,
# accuracy falls fast; if it means nothing, no faster than with patches drawn at random. (Painted patches are strange to the
# model in any case. So chance is what to compare with, and not the accuracy on whole images.)
#
# Three more maps take part. *Reversed* is the mistake that is made most easily: `flow @ mixed`, the first block on the
# left. *Last block* is the class token's attention there, without rollout. And *untrained* is a correct rollout of a model
# with random weights, on the same images.


# %% tags=["keep"]
def accuracy_without(model, images, labels, maps, count):
    """The accuracy once each image's `count` patches with the largest values are painted over: maps (B, N)."""
    P = model.config.patch_size
    patches = patchify(Tensor(images), P).data.copy()  # (B, N, P*P*C)
    largest = np.argsort(-maps, axis=1)[:, :count]  # (B, count)
    colour = np.tile(images.mean(axis=(1, 2)), (1, P * P))  # (B, P*P*C)
    patches[np.arange(len(maps))[:, None], largest] = colour[:, None]
    painted = unpatchify(Tensor(patches), P, *images.shape[1:3]).data
    return float((model.predict(painted).argmax(axis=1) == labels).mean())


def reversed_roll_out(layers):
    """The mistake: the first block on the left."""
    identity = np.eye(layers[0].shape[-1], dtype=np.float32)
    flow = identity
    for weights in layers:
        mixed = (weights.mean(axis=1) + identity) / 2  # rows of A add up to 1, so these to 2
        flow = flow @ mixed
    return flow


# %%
untrained = minivit.ViT(model.config, seed=1)
maps = {
    "rollout": rollouts,
    "reversed": reversed_roll_out(attention)[:, 0, 1:],
    "last block": attention[-1].mean(axis=1)[:, 0, 1:],
    "untrained": attention_rollout(untrained, data.images).reshape(-1, 64),
    "at random": np.random.default_rng(0).random(rollouts.shape),
}
counts = [0, 4, 8, 16]
curves = {
    name: [accuracy_without(model, images, data.labels, values, count) for count in counts]
    for name, values in maps.items()
}
glowing = {name: values[:5].reshape(-1, 8, 8) for name, values in maps.items() if name != "at random"}
show(
    draw_erasure(data.images[:5], glowing, counts, curves),
    "Left five images with four kinds of maps, all brightest on the shape, the untrained ones on a lighter ground; right "
    "the accuracy against patches painted over, which falls fastest for rollout, later for the others, hardly for chance.",
)

# %% [markdown]
# Rollout passes: painting over its first eight patches of 64 costs about two answers of three, where eight at random cost
# one or two in a hundred. The rest is a warning.
#
# - The *reversed* product gives maps that glow on the shape too, and does nearly as well. No eye finds this mistake. A
#   check against two tokens worked out by hand does.
# - The *untrained* model's maps glow as well, and its patches matter more than chance: random attention already prefers
#   what stands out from the background. A map must be compared with such a control before it is called learned.
# - Attention in one block is not influence on the answer. Turn the test round: replace `-maps` by `maps` in
#   `accuracy_without`, so that the *least* important patches go, run both cells again, and look at 16. Of rollout's the
#   model misses none. Without the last block's it loses three answers in ten: those patches had been read in earlier
#   blocks, and that is what rollout is for.

# %% [markdown]
# ## Summary
#
# - On shapes, E's strongest components are grey spots and edges; the learned positions know who is next to whom.
# - Mean attention distance: distances between patches, averaged with attention as weights, the class token left out.
# - Rollout: per block the mean of the heads plus the identity, rows rescaled to 1; then the product of all blocks, the
#   last one on the left.
# - A picture is a hypothesis. Painting over is a test, and an untrained model is its control.

# %% [markdown]
# ## What comes next
#
# This model knows ten shapes at 32 x 32 pixels. In [lesson 13](13_finetuning.ipynb) it learns another task and another
# resolution in seconds, with a new head and positions stretched between the old ones: the maps above tell you why that works.
