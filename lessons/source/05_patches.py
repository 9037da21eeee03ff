# %% [markdown]
# # 05 · Patches: an image becomes a sequence
#
# *About 40 minutes. Comes after lessons [02](02_tensors.ipynb) to [04](04_layers.ipynb). In the paper: section 3.1 and Eq. 1.*
#
# You will cut images into patches, first one at a time and then all at once without a loop, put them together again, and
# map each to a vector of D numbers. At the end you have the first layer of a Vision Transformer.

# %% tags=["keep"]
import numpy as np
from matplotlib.figure import Figure

from minivit import preprocess
from minivit.data.shapes import shapes

Tensor, Module, linear, parameter = built("Tensor", "Module", "linear", "parameter")

# %% [markdown]
# ## The question
#
# A Transformer was made for sentences: its input is a *sequence* of vectors, one for each word. An image is no sequence. It
# is a block of numbers, height x width x channels. What should its "words" be?
#
# Single pixels would be the obvious choice. But attention compares every element of the sequence with every other one, and
# a small photograph of 224 x 224 has 50,176 pixels: that makes 2.5 billion pairs in every head of every layer. The paper's
# answer is in its title. *An image is worth 16x16 words*: cut it into squares of 16 x 16 pixels, and let each square
# be a word.

# %% [markdown]
# ## The picture
#
# Here is one image of our data set, 32 x 32 pixels, with a grid of 4 x 4 pixels laid over it, and below it the same
# squares in a row: the order in which you read a page, from left to right and then down. This row is the sentence that
# the Transformer will read.

# %%
data = shapes("test", count=10)
pixels = data.images  # (10, 32, 32, 3), whole numbers from 0 to 255
image = pixels[list(data.labels).index(data.classes.index("star"))]
P = 4


def draw_strip(image, P):
    """An image under its grid, and its patches in reading order."""
    rows, columns = image.shape[0] // P, image.shape[1] // P
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    whole, *strips = figure.subplots(1 + rows // 2, 1, height_ratios=[6] + [1] * (rows // 2))
    whole.imshow(image)
    for line in range(P, image.shape[0], P):
        whole.axhline(line - 0.5, color="white", linewidth=0.7)
        whole.axvline(line - 0.5, color="white", linewidth=0.7)
    whole.set_xticks([]), whole.set_yticks([])
    for i, strip in enumerate(strips):
        row = np.full((P, (P + 1) * 2 * columns, 3), 255, image.dtype)
        for j in range(2 * columns):
            r, c = divmod(i * 2 * columns + j, columns)
            row[:, j * (P + 1) : j * (P + 1) + P] = image[r * P : (r + 1) * P, c * P : (c + 1) * P]
        strip.imshow(row)
        strip.set_xticks([]), strip.set_yticks([])
        strip.set_ylabel(f"{i * 2 * columns}", rotation=0, ha="right", va="center")
        strip.spines[:].set_visible(False)
    return figure


show(draw_strip(image, P), "A star under a grid of 8 x 8 squares; below it the 64 squares in reading order.")

# %% [markdown]
# How many words does an image have, and how long is each? With height H, width W, C channels and patches of side P there
# are $N = HW / P^2$ patches, and each holds $P^2 C$ numbers. Try it on the paper's own case before you go on.

# %% exercise="patches_at_384"
# --- solution -> patches_at_384 = ...  # (number of patches, numbers in each)
patches_at_384 = (384 * 384 // 16**2, 16 * 16 * 3)
# --- end

# %% [markdown]
# ## One number at a time
#
# The slow way first. One patch is a square cut out of the image and written as one long row: pixel after pixel, as you
# read, and of each pixel its red, green and blue value side by side.


# %% exercise="cut_patch"
def cut_patch(image, P, row, column):
    """The patch in that row and column of the grid, as one row of numbers: (H, W, C) -> (P*P*C,)."""
    # --- solution
    square = image[row * P : (row + 1) * P, column * P : (column + 1) * P]  # (P, P, C)
    return square.reshape(-1)
    # --- end


# %% [markdown]
# With it, all patches of one image are two loops. This is the definition; everything that follows must agree with it.


# %%
def patches_by_loops(image, P):
    """(H, W, C) -> (N, P*P*C)."""
    rows, columns = image.shape[0] // P, image.shape[1] // P
    return np.stack([cut_patch(image, P, row, column) for row in range(rows) for column in range(columns)])


patches_by_loops(image, P).shape  # 64 patches of 48 numbers

# %% [markdown]
# ## All at once
#
# Loops in Python are slow, and through `np.stack` no gradient flows. Both are solved by the observation that
# cutting into patches computes nothing: it only *moves* numbers. Two operations of lesson 02 are enough.
#
# - `reshape` splits an axis: the H rows of pixels are H/P rows of patches times P rows within each.
# - `transpose` then changes the order of the axes, so that what belongs to one patch stands together.
#
# | step | axes | shape for two images of 8 x 12, P = 4 |
# |---|---|---|
# | images | (B, H, W, C) | (2, 8, 12, 3) |
# | split | (B, H/P, P, W/P, P, C) | (2, 2, 4, 3, 4, 3) |
# | reorder | (B, H/P, W/P, P, P, C) | (2, 2, 3, 4, 4, 3) |
# | join | (B, N, P·P·C) | (2, 6, 48) |


# %% exercise="patchify"
def patchify(images, P):
    """Images as sequences of patches, a Tensor (B, H, W, C) -> (B, N, P*P*C)."""
    B, H, W, C = images.shape
    # --- solution
    grid = images.reshape(B, H // P, P, W // P, P, C)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, P * P * C)
    # --- end


# %% [markdown]
# The way back is the same road in the other direction. Besides being a good test (cutting and putting together must give
# the image you began with), it is what draws a model's patches as a picture: you will need it in lesson 15, where a network
# guesses patches that it cannot see.


# %% exercise="unpatchify"
def unpatchify(patches, P, H, W):
    """The images that sequences of patches came from, a Tensor (B, N, P*P*C) -> (B, H, W, C)."""
    B = patches.shape[0]
    # --- solution
    grid = patches.reshape(B, H // P, W // P, P, P, -1)  # (B, H/P, W/P, P, P, C)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(B, H, W, -1)
    # --- end


# %%
images = Tensor(preprocess(pixels))  # (10, 32, 32, 3), from -1 to 1
back = unpatchify(patchify(images, P), P, 32, 32)
print("there and back:", bool((back.data == images.data).all()))

# %% [markdown]
# ## Your turn
#
# A patch of 4 x 4 x 3 is a vector of 48 numbers, one of 16 x 16 x 3 has 768. The Transformer wants vectors of a fixed width
# D, whatever the patch. So each patch is multiplied by one matrix E, the same for all patches, and a bias is added. The
# result is called the *patch embedding*.


# %% exercise="embed_patches"
def embed_patches(images, E, bias, P):
    """The patch embeddings of images: (B, H, W, C), (P*P*C, D), (D,) -> (B, N, D)."""
    # --- solution
    return linear(patchify(images, P), E, bias)
    # --- end


# %% [markdown]
# As a layer it owns E and the bias. E starts small: each of its columns adds up $P^2 C$ products, and a variance of
# $1 / (P^2 C)$ keeps the sum about as large as the pixels are.


# %% tags=["keep"]
class PatchEmbedding(Module):
    """The first layer of a Vision Transformer: (B, H, W, C) -> (B, N, D)."""

    def __init__(self, patch_size, channels, dim, rng):
        fan_in = patch_size * patch_size * channels  # P² C
        self.patch_size = patch_size
        self.weight = parameter(rng.standard_normal((fan_in, dim)) / np.sqrt(fan_in))  # E
        self.bias = parameter(np.zeros(dim))

    def forward(self, images):
        return embed_patches(images, self.weight, self.bias, self.patch_size)


# %%
embedding = PatchEmbedding(patch_size=4, channels=3, dim=64, rng=np.random.default_rng(0))
z = embedding(images)
z.shape  # ten images, each a sequence of 64 vectors of 64 numbers

# %% [markdown]
# `minivit`'s own layer, [`PatchEmbedding`](../minivit/models/vit.py), does the same with a faster `patchify` and starts E from
# a normal distribution that is cut off at two standard deviations, as the authors do. With the same E it gives
# the same numbers.

# %% [markdown]
# ## In the paper
#
# Section 3.1 says it in one sentence: the image $x \in \mathbb{R}^{H \times W \times C}$ is reshaped into a sequence of
# flattened patches $x_p \in \mathbb{R}^{N \times (P^2 \cdot C)}$, with $N = HW/P^2$. Eq. 1 is the embedding, without class token
# and positions, which are the next lesson's:
#
# $$z_0 = [\ldots;\ x_p^1 E;\ x_p^2 E;\ \cdots;\ x_p^N E] + \ldots, \qquad E \in \mathbb{R}^{(P^2 \cdot C) \times D}$$
#
# | paper | here |
# |---|---|
# | $x_p$ | `patchify(images, P)` |
# | $E$ | `embedding.weight` |
# | $N$ | `z.shape[1]` |
#
# Many programs write the same map as a *convolution* whose kernel is as large as its step: P x P pixels, moved by P. It is
# the same multiplication with the same numbers; the authors' files even store E in the shape of such a kernel, (P, P, C, D).

# %% [markdown]
# ## Break it and see
#
# What if `patchify` forgets the transpose? The shapes still fit, so nothing complains. But what it calls a patch is now
# the next P · P pixels in reading order: a strip of the image, folded up into a square. Let the wrong function speak for
# itself: put its "patches" where patches belong.


# %%
def patchify_without_transpose(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, (H // P) * (W // P), P * P * C)


def draw_both(image, P):
    """The image, and what it looks like when its patches are cut without the transpose."""
    H, W = image.shape[:2]
    batch = Tensor(image[None].astype(np.float32))
    wrong = unpatchify(patchify_without_transpose(batch, P), P, H, W).data[0]
    figure = Figure(figsize=(6, 3), layout="constrained")
    for axes, picture, title in zip(
        figure.subplots(1, 2), (image, wrong), ("right", "transpose forgotten"), strict=True
    ):
        axes.imshow(picture.astype(np.uint8))
        axes.set_title(title)
        axes.set_axis_off()
    return figure


explore(
    lambda P: draw_both(image, P),
    "Left the star; right the same pixels, where each square shows a horizontal strip of the image folded up.",
    P=[4, 2, 8, 16, 32],
)

# %% [markdown]
# A network would still learn something from these strips, only less, and nothing would say why. A mistake that runs without an
# error is the usual kind in this field. That is why you checked `patchify` against two loops, and not against its shape.
#
# Now change P with the slider, or call `show(draw_both(image, 8), "P = 8")`. What is special about P = 32, and why?
#
# <details><summary>Answer</summary>
#
# Both pictures are the same. There is only one patch, the whole image, and in it the pixels are in the right order already:
# the transpose has nothing to do. A test with one patch would not have found the mistake.
#
# </details>

# %% [markdown]
# ## Summary
#
# - An image of H x W becomes N = HW / P² words; half the side of a patch means four times as many.
# - Cutting is `reshape`, `transpose`, `reshape`: no arithmetic, and so no error that a shape would show.
# - All patches share one matrix E and one bias: the patch embedding, the first half of Eq. 1.

# %% [markdown]
# ## What comes next
#
# Our sequence has a flaw: shuffle the patches, and the Transformer will not notice, for it looks at its input as a set. In
# [lesson 06](06_positions.ipynb) each patch learns where it was, and a word that stands for no patch at all joins them.
