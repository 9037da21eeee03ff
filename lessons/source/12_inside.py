# %% [markdown]
# # 12 · Inside: what a model has learned, and where it looks
#
# *Comes after lessons [06](06_positions.ipynb) to [09](09_vit.ipynb). In the paper: section 4.5, Figs. 6
# and 7, appendices D.7 and D.8.*
#
# You will open a trained Vision Transformer and measure four things: what its first layer responds to, what its position
# embeddings have learned, how far its heads look, and which patches its answer comes from. Then you will test whether the last
# of these measurements can be trusted.

# %% tags=["keep"]
import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.insight import attention_rollout, patch_distances
from minivit.insight.figures import draw_distances
from minivit_lessons import trained_model
from minivit_lessons.display import new_figure
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.pictures.inside import (
    ERASURE_ALT,
    draw_attention,
    draw_erasure,
    draw_filters_and_positions,
    draw_maps,
)
from minivit_lessons.puzzles import show_attempt

Tensor, patchify, unpatchify = built("Tensor", "patchify", "unpatchify")

# %% [markdown]
# ## The question
#
# A trained model returns answers without explanations. The one that comes with these lessons consists of 142,026 parameters, and
# it tells ten shapes apart with hardly a mistake. Nobody chose these numbers: gradient descent found them. Can we find out
# what they do?
#
# The paper asks four questions of this kind. Each is answered by a short calculation with arrays that you know. Two of them read
# only the model's parameters, two read the attention weights of lesson 07.

# %% [markdown]
# ## The picture
#
# This is the last of the four measurements, made by `minivit` itself. For ten test images it shows how much of the answer came from
# each of the 64 patches: the patch with the largest share keeps its colours, a share of 0 is grey, and the others are between in
# proportion. Nobody told the model where the shapes are. It was trained with images and the names of classes.

# %%
model = trained_model()  # a ViT: 32 x 32 pixels, patches of 4, D = 64, L = 4 blocks, 2 heads
P, columns = 4, 8

data = shapes("test", count=200)  # images that it has never seen
images = minivit.preprocess(data.images)  # (200, 32, 32, 3), from -1 to 1
names = [data.classes[label] for label in data.labels]
show(
    draw_maps(data.images[:10], {"rollout": attention_rollout(model, data.images[:10])}, names),
    "Ten images of shapes; below each a map of 8 x 8 patches, in colour on the shape or its outline, grey elsewhere.",
)

# %% [markdown]
# One forward pass contains all that we need. On request, `minivit`'s model also returns its intermediate results. They are plain
# NumPy arrays, because nothing here needs a gradient.
#
# | array | shape here | what it is |
# |---|---|---|
# | `seen["blocks.i.attention.weights"]` | (200, 2, 65, 65) | A of block i (Eq. 6): image, head, query, key |
# | `model.embedding.weight.data` | (48, 64) | E, lesson 05: column d is filter d |
# | `model.positions.embedding.data` | (1, 65, 64) | the position embeddings, lesson 06 |
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
# How far does a head look? Take one image, one head and one patch as the query. The query's row of A says how much it attends to
# each patch. Drawn over the image, such a row is an **attention map**. Below, the query is the patch in the middle of the star.
# Nearly a third of its attention goes to its neighbour down on the right, almost a quarter to itself. If you have sliders,
# choose another block, image, head or patch: which queries look nearby, and which look across the image?


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
    "Left a star with one patch framed; right the 8 x 8 patches, each in colour as far as that patch attends to it, grey where it does not.",
    block=[0, 1, 2, 3],
    picture=[5, *range(5), *range(6, 10)],
    head=[0, 1],
    patch=[27, *range(0, 64, 5)],
)

# %% [markdown]
# The **attention distance** says "how far" in one number: the mean of the distances in pixels from the query's patch to every patch, centre
# to centre, weighted by the attention. Patch n is in row n // columns and column n % columns of the grid, and neighbours are
# P pixels apart.
#
# Take care: the class token has no place in the image, so it is left out. Then the weights no longer add up to 1, and a weighted
# mean must be divided by the sum of its weights.


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
# For all patches, heads and images at once, put the distances between patches into a table first: `patch_distances` returns (N, N)
# numbers, a row for each query. Then only a product, a sum and a mean remain.


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
# pixels far. That is half of the image, and a little less than the dashed line, which belongs to a head that attends to all
# patches equally. In the paper's large models, some heads of the first layers look only nearby, and the distance grows with depth.
# Ours has four layers and simple images, and does not show this.
#
# Such a mean hides a lot. In the head of block 0 in which the star's patch 27 looks 5.7 pixels far, one patch in seven looks more
# than 20. And a distance near the dashed line does not mean that a head looks everywhere: two patches in colour, one near and
# one far, have the same mean.
#
# ### From one layer to all of them
#
# The attention of the last block says which tokens the class token reads *there*. But by then a patch's token no longer represents
# this patch alone: three blocks have mixed it with others. To follow the answer back to the image, we must go through all
# blocks. **Attention rollout** does so under three assumptions. The heads of a block are equally important. The residual connection
# passes on as much as the attention. And shares multiply along a path through the blocks, and add up over all paths.
#
# Suppose that there are two tokens. Block 1 mixes them by $M_1$ and block 2 by $M_2$; row i says what new token i consists of:
#
# $$M_1 = \begin{pmatrix} 1 & 0 \\ \tfrac12 & \tfrac12 \end{pmatrix} \quad
# M_2 = \begin{pmatrix} \tfrac12 & \tfrac12 \\ 0 & 1 \end{pmatrix}$$
#
# After block 2, token 0 is half of the intermediate token 0 and half of the intermediate token 1. The intermediate token 0 consists
# of input token 0 alone, the intermediate token 1 of half of each. Together: $\tfrac12 \cdot 1 + \tfrac12 \cdot \tfrac12 = \tfrac34$ of
# input token 0, and $\tfrac14$ of input token 1. That is row 0 of the matrix product $M_2 M_1$: the later block is on the left.


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
# Now the weights; no image is needed. Column d of E is a **filter**: 48 numbers that are multiplied by the pixels of a patch, one by
# one, and added up to give $z_d$. A filter has the shape of a patch, so it can be drawn as a small picture. But 64 filters are
# many, and a single one says little, because the next layer mixes them. It is better to draw the directions in which the
# filters differ *most*: their **principal components**.
#
# Write the filters as rows, subtract their mean, and compute a singular value decomposition, `U, s, V = np.linalg.svd(...,
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
# The position embeddings were random before training, and only the gradients of the loss have changed them since. If they have
# learned where the patches are, those of neighbours should be similar. Similar means a small angle between two vectors: the cosine
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
# On the left are the components, each with its share of the variance. In a new model the first component has 6 or 7 %, and all look like
# noise. Training has made the first ones stronger and removed their colour: a light spot in the middle, light against dark
# down the patch, light against dark across the patch. That fits these data, in which a shape may have any colour and is
# recognised by its edges. The later components are still noise. In the paper's Fig. 7 all 28 look like a basis for the
# fine structure of a patch.
#
# On the right is one map for each patch, arranged as the patches are. Each is brightest at its own patch and then around it. Count the
# distance in steps along rows and columns, as lesson 06 does: at one step the mean cosine is 0.60, at two steps 0.34, at three
# 0.06. The model has learned which patches are neighbours. But look at the border: opposite sides are similar, left and right, top and
# bottom. A possible reason is that in about three images of four no shape reaches the leftmost column, and the same holds for
# the other three sides. So all of them mostly show background.

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
# The appendix describes attention rollout as averaging over heads and multiplying through the layers. The identity for the residual
# connection is in the method that it cites (Abnar and Zuidema, 2020).
#
# `minivit inspect RUN` writes all of it into one page, for a model that you have trained.

# %% [markdown]
# ## Break it and see
#
# A map that highlights the shape convinces everyone. But does it say where the answer comes from? Test it: paint over the
# patches that the map calls most important, in the image's mean colour, and run the model again. If the map is right,
# accuracy falls quickly. If it means nothing, accuracy falls no faster than with randomly chosen patches. (The model has never
# seen painted patches. So the random choice is the fair comparison, and not the accuracy on whole images.)
#
# Three more maps take part:
#
# - *reversed*: the most common mistake, `flow @ mixed`, with the first block on the left;
# - *last block*: the class token's attention in the last block, without rollout;
# - *untrained*: a correct rollout of a model with random weights, on the same images.
#
# Guess first: which of the four maps will look convincing, and which will pass the test?


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
show(draw_erasure(data.images[:5], glowing, counts, curves), ERASURE_ALT)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Attention rollout passes. If its eight most important patches of 64 are painted over, about two of three answers become wrong;
# with eight random patches, one or two in a hundred. The other maps are a warning.
#
# - The *reversed* product also gives maps that highlight the shape, and does nearly as well in the test. Looking at the maps does
#   not reveal this mistake. A comparison with two tokens worked out by hand does.
# - The *untrained* model's maps highlight the shape as well, and its patches matter more than random ones: random attention
#   already prefers what differs from the background. A map must be compared with such a control before anyone says that it
#   was learned.
# - Attention in one block is not influence on the answer. Reverse the test: replace `-maps` by `maps` in `accuracy_without`, so that
#   the *least* important patches are painted over, run both cells again, and look at 16. The model loses no answer without the 16
#   least important patches of rollout. Without those of the last block it loses three answers in ten: these patches had been read
#   in earlier blocks, which only rollout takes into account.
#
# </details>

# %% [markdown]
# ### The table of distances in one line
#
# `patch_distances` came with `minivit`. Can you write it in one line, with arithmetic and `reshape` alone?


# %% exercise="distance_table"
def distance_table(rows, columns, P):
    """The distance in pixels between the centres of any two patches: (rows·columns, rows·columns)."""
    # --- solution
    return (
        P
        * (
            (np.arange(rows * columns).reshape(-1, 1) // columns - np.arange(rows * columns) // columns) ** 2
            + (np.arange(rows * columns).reshape(-1, 1) % columns - np.arange(rows * columns) % columns) ** 2
        )
        ** 0.5
    )
    # --- end


# %% [markdown]
# The next cell runs *your* line, right or wrong, on a grid of 2 x 3 patches with P = 10, and draws its table beside the right one. Row q
# has the distances from patch q.

# %%
numbers = np.arange(6).reshape(2, 3)  # the patches in reading order
corners = [(10 * row, 10 * column) for row in range(2) for column in range(3)]
exact = np.array([[np.hypot(a - c, b - d) for c, d in corners] for a, b in corners])
show_attempt("distance_table", Cells("patches", numbers), 2, 3, 10, right=exact)

# %% [markdown]
# ## The same in PyTorch
#
# ```python
# out, weights = attention(z, z, z, average_attn_weights=False)  # nn.MultiheadAttention
#
# kept = {}
# layer = model.blocks[0].attn
# handle = layer.register_forward_hook(lambda layer, inputs, output: kept.update(first=output))
# model(images)  # the hook runs after the layer's forward
# handle.remove()
# ```
#
# - *Weights of attention.* `nn.MultiheadAttention` returns the mean over the heads unless you pass `average_attn_weights=False`: (B, T, T), not
#   (B, heads, T, T). With `need_weights=False` it returns `None` and can use a faster kernel. `nn.TransformerEncoderLayer` always
#   passes this, and `F.scaled_dot_product_attention` never returns weights.
# - *Hooks.* A model in PyTorch seldom returns intermediate results. A *forward hook* is a function that PyTorch calls with a layer's
#   inputs and output. It sees only what the layer returns: the output of attention, but not A.
# - *Names.* `torch.linalg.svd` returns V transposed, as NumPy does; a component's sign is arbitrary in both. `F.cosine_similarity` compares
#   pairs; for all pairs, normalise first and multiply.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    ours, theirs = model.blocks[0].attention, torch.nn.MultiheadAttention(64, 2, batch_first=True)
    state = {
        "in_proj_weight": ours.qkv.weight.data.T,  # PyTorch's weights are (out, in)
        "in_proj_bias": ours.qkv.bias.data,
        "out_proj.weight": ours.out.weight.data.T,
        "out_proj.bias": ours.out.bias.data,
    }
    theirs.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in state.items()})
    z, kept = np.random.default_rng(0).standard_normal((2, 65, 64)).astype(np.float32), {}
    with minivit.no_grad():
        ours(minivit.Tensor(z), seen=kept, name="block")
    tokens = torch.from_numpy(z)
    per_head = theirs(tokens, tokens, tokens, average_attn_weights=False)[1]
    mean = theirs(tokens, tokens, tokens)[1]
    agree("attention weights of each head", kept["block.attention.weights"], per_head, 1e-5)
    agree("their mean", kept["block.attention.weights"].mean(axis=1), mean, 1e-5)
    joined = torch.eye(65)
    for weights in map(torch.tensor, attention):
        mixed = weights.mean(dim=1) + torch.eye(65)
        joined = mixed / mixed.sum(dim=-1, keepdim=True) @ joined
    agree("roll_out", flow, joined, 1e-5)

# %% [markdown]
# ## What came before and after
#
# - [Jain and Wallace, 2019](https://arxiv.org/abs/1902.10186), "Attention is not Explanation", argued that attention weights often say little
#   about the reasons of an answer. [Wiegreffe and Pinter, 2019](https://arxiv.org/abs/1908.04626), "Attention is not not Explanation",
#   replied that this depends on what one calls an explanation, and proposed tests. Both studied recurrent networks for text.
# - [Abnar and Zuidema, 2020](https://arxiv.org/abs/2005.00928) introduced attention rollout, and attention flow beside it. Both agree better
#   than plain attention weights with what happens if input tokens are removed.
# - [Dosovitskiy et al., 2020](https://arxiv.org/abs/2010.11929) is our paper: rollout, attention distance, filters and position embeddings of
#   Vision Transformers.
# - [Darcet et al., 2023](https://arxiv.org/abs/2309.16588) found that some tokens of the background have very large norms: the model stores
#   something else in them, and attention maps become hard to read. Additional tokens, called registers, repair this.

# %% [markdown]
# ## Summary
#
# - On shapes, the strongest components of E are grey spots and edges; the position embeddings have learned which patches are neighbours.
# - Attention distance: distances between patches, averaged with the attention as weights, without the class token.
# - Attention rollout: for each block the mean of the heads plus the identity, rows rescaled to sum 1; then the product of all
#   blocks, the last one on the left.
# - A picture is a hypothesis. Painting over is a test, and an untrained model is its control.

# %% [markdown]
# ## What comes next
#
# This model knows ten shapes at 32 x 32 pixels. In [lesson 13](13_finetuning.ipynb) it learns another task and another
# resolution in seconds, with a new head and interpolated position embeddings: the maps above explain why that works.
