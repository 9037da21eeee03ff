# %% [markdown]
# # 05 · Patches: an image becomes a sequence
#
# *Comes after lessons [02](02_tensors.ipynb) to [04](04_layers.ipynb). In the paper: section 3.1 and Eq. 1.*
#
# You will cut images into patches, first one at a time and then all at once without a loop. You will put them together again,
# and map each patch to a vector of D numbers. At the end you have the first layer of a Vision Transformer.

# %% tags=["keep"]
import numpy as np

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.pictures.patches import draw_images, draw_patches
from minivit_lessons.puzzles import show_attempt

Tensor, Module, linear, parameter = built("Tensor", "Module", "linear", "parameter")

# %% [markdown]
# ## The question
#
# The Transformer was designed for sentences. Its input is a **sequence** of tokens, one vector for each word. An image is not a
# sequence. It is an array of numbers with the axes height, width and channel. Which parts of an image should become the "words"?
#
# Single pixels would be the obvious choice. But a Transformer compares every token with every other one, and a small photograph of
# 224 x 224 pixels would have 50,176 tokens. This makes 2.5 billion pairs in every layer. The paper's title contains the
# answer: *An image is worth 16x16 words*. Cut the image into squares of 16 x 16 pixels, the **patches**, and turn each patch into
# one token.

# %% [markdown]
# ## The picture
#
# Here is one image of our data set, 32 x 32 pixels, cut into squares of 4 x 4 pixels. Below the image are the same 64 squares one
# after another, 16 in a line. Their order is the order in which you read a page: from left to right, then from top to bottom. This
# is the sequence that the Transformer will process.

# %%
data = shapes("test", count=10)
pixels = data.images  # (10, 32, 32, 3), integers from 0 to 255
image = pixels[list(data.labels).index(data.classes.index("star"))]
P = 4

show(draw_patches(image, P), "A star under a grid of 8 x 8 squares; below it the 64 squares in reading order.")

# %% [markdown]
# How many patches does an image have, and how many numbers does a patch contain? For an image of height H and width W with C
# channels, and patches of P x P pixels, there are $N = HW / P^2$ patches of $P^2 C$ numbers each. Try it with a case of the paper
# before you go on.

# %% exercise="patches_at_384"
# --- solution -> patches_at_384 = ...  # (number of patches, numbers in each)
patches_at_384 = (384 * 384 // 16**2, 16 * 16 * 3)
# --- end

# %% [markdown]
# ## One number at a time
#
# First the slow way. A patch is a square that we cut out of the image and write as one row of numbers: its pixels in
# reading order, and for each pixel its red, green and blue value side by side.


# %% exercise="cut_patch"
def cut_patch(image, P, row, column):
    """The patch in that row and column of the grid, as one row of numbers: (H, W, C) -> (P*P*C,)."""
    # --- solution
    square = image[row * P : (row + 1) * P, column * P : (column + 1) * P]  # (P, P, C)
    return square.reshape(-1)
    # --- end


# %% [markdown]
# With this function, two loops give all patches of one image. This is our definition. Everything that follows must agree with it.


# %%
def patches_by_loops(image, P):
    """(H, W, C) -> (N, P*P*C)."""
    rows, columns = image.shape[0] // P, image.shape[1] // P
    return np.stack([cut_patch(image, P, row, column) for row in range(rows) for column in range(columns)])


patches_by_loops(image, P).shape  # 64 patches of 48 numbers

# %% [markdown]
# ## All at once
#
# Loops in Python are slow, and no gradient flows through `np.stack`. Both problems have the same solution. Cutting an image into
# patches computes nothing: it only *moves* numbers. Two operations of lesson 02 are enough.
#
# - `reshape` splits an axis into two: the H rows of pixels become H/P rows of patches with P rows of pixels each. The order of
#   the numbers in memory does not change.
# - `transpose` changes the order of the axes. After it, the numbers of one patch are next to one another.
#
# | operation | axes | shape for two images of 8 x 12 pixels, P = 4 |
# |---|---|---|
# | images | (B, H, W, C) | (2, 8, 12, 3) |
# | split: `reshape` | (B, H/P, P, W/P, P, C) | (2, 2, 4, 3, 4, 3) |
# | reorder: `transpose` | (B, H/P, W/P, P, P, C) | (2, 2, 3, 4, 4, 3) |
# | join: `reshape` | (B, N, P·P·C) | (2, 6, 48) |


# %% exercise="patchify"
def patchify(images, P):
    """Images as sequences of patches, a Tensor (B, H, W, C) -> (B, N, P*P*C)."""
    B, H, W, C = images.shape
    # --- solution
    grid = images.reshape(B, H // P, P, W // P, P, C)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, P * P * C)
    # --- end


# %% [markdown]
# The inverse function takes the same three steps in the opposite order. It is a good test: cutting an image and putting it together
# again must give the same image. And we need it to draw patches that a model computes. In lesson 15 a network predicts patches
# that it cannot see.


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
# A patch of 4 x 4 pixels with three channels is a vector of 48 numbers; a patch of 16 x 16 pixels has 768. The Transformer needs
# vectors of one fixed width D, whatever the patch size. A vector that a network computes to represent something, such as a word
# or a patch, is called an **embedding** of it. The **patch embedding** is the simplest one: multiply each patch by a
# matrix E, the same for all patches, and add a bias.


# %% exercise="embed_patches"
def embed_patches(images, E, bias, P):
    """The patch embeddings of images: (B, H, W, C), (P*P*C, D), (D,) -> (B, N, D)."""
    # --- solution
    return linear(patchify(images, P), E, bias)
    # --- end


# %% [markdown]
# As a layer, it owns E and the bias. How large are the first weights? Each output is a sum of $P^2 C$ products. If the weights have the
# variance $1 / (P^2 C)$, the embeddings have about the same scale as the pixels.


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
z.shape  # ten images, each a sequence of 64 tokens of 64 numbers

# %% [markdown]
# The library has its own layer, [`PatchEmbedding`](../minivit/models/vit.py). It does the same with a faster `patchify`. It draws
# E from a normal distribution that is cut off at two standard deviations, as the authors do. With the same E, it gives the same
# numbers.
#
# Two puzzles follow. Each is one line, in which only a few functions are allowed. The picture below it shows what *your* line makes
# of a small array. In the first, the image is grey, and each patch becomes a single number: its mean.


# %% exercise="patch_means"
def patch_means(image, P):
    """The mean of each patch of a grey image, an array (H, W) -> (H/P, W/P)."""
    # --- solution
    return image.reshape(-1, P, image.shape[1] // P, P).mean(axis=(1, 3))
    # --- end


# %%
grey = np.array([[20 * row + 2 * column for column in range(6)] for row in range(4)])
means = [[grey[row : row + 2, column : column + 2].mean() for column in (0, 2, 4)] for row in (0, 2)]
show_attempt("patch_means", Cells("a grey image of 4 x 6", grey), grey, 2, right=means)

# %% [markdown]
# The second is about another layout of images, **channels first**: PyTorch stores an image as (C, H, W), one whole picture for each
# channel. Our patches keep the channels of a pixel together, so one more axis must move.


# %% exercise="patchify_channels_first"
def patchify_channels_first(image, P):
    """The patches of one image with the channels first, an array (C, H, W) -> (N, P*P*C)."""
    # --- solution
    return (
        image.reshape(len(image), -1, P, image.shape[2] // P, P)
        .transpose(1, 3, 2, 4, 0)
        .reshape(-1, P * P * len(image))
    )
    # --- end


# %%
labelled = np.array([[[100 * c + 10 * row + column for column in range(4)] for row in range(4)] for c in (1, 2)])
show_attempt(
    "patchify_channels_first",
    Cells("channel 1, beside it channel 2", np.concatenate(labelled, axis=1)),
    labelled,
    2,
    right=patches_by_loops(np.moveaxis(labelled, 0, -1), 2),
)

# %% [markdown]
# ## In the paper
#
# Section 3.1 says it in one sentence: the image $x \in \mathbb{R}^{H \times W \times C}$ is reshaped into a sequence of
# flattened patches $x_p \in \mathbb{R}^{N \times (P^2 \cdot C)}$, with $N = HW/P^2$. The embedding is part of Eq. 1. Lesson 06
# adds the first element of the sequence and the last term:
#
# $$z_0 = [\ldots;\ x_p^1 E;\ x_p^2 E;\ \cdots;\ x_p^N E] + \ldots, \qquad E \in \mathbb{R}^{(P^2 \cdot C) \times D}$$
#
# | paper | here |
# |---|---|
# | $x_p$ | `patchify(images, P)` |
# | $E$ | `embedding.weight` |
# | $N$ | `z.shape[1]` |
#
# Many programs write the same map as `Conv2d`, a layer that lesson 14 explains. It multiplies the same numbers by the same weights;
# the authors' files store E in the shape of such a layer, (P, P, C, D).

# %% [markdown]
# ## Break it and see
#
# What if `patchify` forgets the transpose? The shapes still fit, so there is no error. But each "patch" now consists of the next
# P · P pixels in reading order: a strip of the image, folded into a square. To see this, put the wrong "patches" at the places
# of the patches.


# %%
def patchify_without_transpose(images, P):
    B, H, W, C = images.shape
    return images.reshape(B, (H // P) * (W // P), P * P * C)


def draw_both(image, P):
    """The image, and what it looks like when its patches are cut without the transpose."""
    H, W = image.shape[:2]
    batch = Tensor(image[None].astype(np.float32))
    wrong = unpatchify(patchify_without_transpose(batch, P), P, H, W).data[0]
    return draw_images({"right": image, "transpose forgotten": wrong})


explore(
    lambda P: draw_both(image, P),
    "Left the star; right the same pixels, where each square shows a horizontal strip of the image folded up.",
    P=[4, 2, 8, 16, 32],
)

# %% [markdown]
# A network can still learn something from these strips, only less, and no message would tell you why. In this field, most mistakes
# run without an error. This is why the check compares `patchify` with two loops, and not only its shape.
#
# Now change P with the slider, or call `show(draw_both(image, 8), "P = 8")`. What is special about P = 32, and why?
#
# <details><summary>Answer</summary>
#
# Both pictures are the same. There is only one patch, the whole image, and its pixels are already in the right order, so the
# transpose changes nothing. A test with one patch would not find the mistake.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# PyTorch has no `patchify`, but two of its functions compute the same numbers:
#
# ```python
# images = torch.tensor(x).permute(0, 3, 1, 2)              # (B, H, W, C) -> (B, C, H, W)
# patches = F.unfold(images, kernel_size=P, stride=P)       # (B, C·P·P, N): a patch is a column
#
# conv = nn.Conv2d(3, D, kernel_size=P, stride=P)           # the whole patch embedding
# z = conv(images).flatten(2).transpose(1, 2)               # (B, D, H/P, W/P) -> (B, D, N) -> (B, N, D)
# ```
#
# | what differs | here | PyTorch |
# |---|---|---|
# | layout of images | channels last, (B, H, W, C) | channels first, (B, C, H, W) |
# | order in a patch | pixel by pixel, the channels side by side | `F.unfold`: channel by channel |
# | shape of E | (P·P·C, D) | `conv.weight` is (D, C, P, P) |
# | `transpose` | takes all axes in their new order, as in NumPy | swaps two axes; `permute` takes all of them |

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    rng = np.random.default_rng(5)
    x, E, bias = rng.standard_normal((2, 8, 12, 3)), rng.standard_normal((48, 10)), rng.standard_normal(10)
    channels_first = torch.tensor(x).permute(0, 3, 1, 2)

    unfolded = torch.nn.functional.unfold(channels_first, kernel_size=4, stride=4)  # (2, 3·4·4, 6)
    by_pixels = unfolded.reshape(2, 3, 16, 6).permute(0, 3, 2, 1).reshape(2, 6, 48)  # our order in a patch
    agree("patchify", patchify(Tensor(x), 4), by_pixels)

    weight = torch.tensor(E).reshape(4, 4, 3, 10).permute(3, 2, 0, 1)  # (P·P·C, D) -> (D, C, P, P)
    theirs = torch.nn.functional.conv2d(channels_first, weight, torch.tensor(bias), stride=4)
    agree("embed_patches", embed_patches(Tensor(x), Tensor(E), Tensor(bias), 4), theirs.flatten(2).transpose(1, 2))

# %% [markdown]
# ## What came before and after
#
# - Before: [Cordonnier, Loukas and Jaggi, 2020](https://arxiv.org/abs/1911.03584) proved that layers of the Transformer can do on
#   pixels whatever a layer like `Conv2d` does. The ViT paper names their model, with patches of 2 x 2 pixels, as the closest to its own.
# - After: [Xiao et al., 2021](https://arxiv.org/abs/2106.14881) suspected that the patch embedding makes a ViT difficult to optimise,
#   and replaced it by several small `Conv2d` layers.
# - [Trockman and Kolter, 2022](https://arxiv.org/abs/2201.09792) asked whether the patches, more than the Transformer, are the reason
#   for its success, and built a simple network on patches without a Transformer.
# - [Beyer et al., 2022](https://arxiv.org/abs/2212.08013) (FlexiViT) changed the patch size at random during training. One set of weights
#   then works for many patch sizes.
# - [Nguyen et al., 2024](https://arxiv.org/abs/2406.09415) made each single pixel a token: it works well, and is
#   less practical to compute.

# %% [markdown]
# ## Summary
#
# - An image of H x W pixels becomes a sequence of N = HW / P² tokens. Halving the side of the patches gives four times as many.
# - Cutting is `reshape`, `transpose`, `reshape`. It computes nothing, so the shapes do not show a mistake.
# - All patches share one matrix E and one bias: the patch embedding, the first part of Eq. 1.

# %% [markdown]
# ## What comes next
#
# Our sequence has a problem: if we shuffle the patches, the Transformer does not notice, because it treats its input as a set. In
# [lesson 06](06_positions.ipynb) each token learns where its patch was, and one more token joins the sequence, the class token.
