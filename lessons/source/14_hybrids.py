# %% [markdown]
# # 14 · Convolutions and hybrids: what a network knows before it learns
#
# *Comes after lessons [09](09_vit.ipynb) to [11](11_training.ipynb). In the paper: sections 3.1, 4.1, 4.3 and
# 4.4, Figs. 3, 4 and 5.*
#
# You will build a convolution, first as loops and then as one matrix product. From it you will build a residual network, and
# feed its output to a Vision Transformer: a *hybrid*. Then you will measure the paper's question: how much is built-in
# knowledge worth, with few images and with many?

# %% tags=["keep"]
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import minivit
from minivit.data.shapes import shapes
from minivit.training.optim import clip_by_global_norm
from minivit.training.schedule import Schedule
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.pictures.convolution import (
    DATA_SIZES_ALT,
    LONGER_RUNS,
    SHUFFLED_ALT,
    draw_convolution,
    draw_data_sizes,
    draw_shuffled,
)
from minivit_lessons.puzzles import show_attempt

Tensor, concatenate, Module, parameter = built("Tensor", "concatenate", "Module", "parameter")
PatchEmbedding, ViT = built("PatchEmbedding", "ViT")

# %% [markdown]
# ## The question
#
# Every model assumes something about images before it has seen one. These assumptions are in its structure, and they are called
# its **inductive bias**. (This bias has nothing to do with the parameter b that a linear layer adds.) A convolutional network
# assumes two things:
#
# - *Locality*: pixels that belong together are close together. Each number of a layer is computed from a small neighbourhood.
# - **Translation equivariance**: a pattern means the same at every place. The layer applies the same small kernel everywhere, so if
#   the image is shifted by some pixels, the layer's output is shifted in the same way.
#
# A Vision Transformer has little inductive bias. Its patches are local, and the same matrix E embeds all of them. But from the
# first block on, each patch attends to all others, and the model must learn from data which patches are neighbours (lesson 06).
#
# An inductive bias helps if it is true. It can hinder if there is enough data to learn something better. Where is the
# break-even point? Figs. 3 to 5 of the paper measure it.

# %% [markdown]
# ## The picture
#
# A **convolution** moves a small array of weights, the **kernel**, over the image. At each place it multiplies the pixels under the
# kernel by the kernel's numbers and adds up the products. The results form the **feature map**. The kernel below subtracts the
# column on the left from the column on the right, so it finds vertical edges. The nine framed pixels produce the framed
# number of the feature map.

# %%
data = shapes("test", count=10)
square = data.images[list(data.labels).index(data.classes.index("square"))]
tiny = np.round(square.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3, 4)) / 25.5)  # (8, 8), brightness from 0 to 10
edges = np.array([[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]])
found = minivit.convolution.conv2d(minivit.Tensor(tiny[None, :, :, None]), minivit.Tensor(edges[:, :, None, None]))
show(
    draw_convolution(tiny, edges, found.data[0, :, :, 0], place=(4, 1)),
    "Three grids of numbers: an image of 8 x 8 with a dark square; a kernel of 3 x 3 with -1 on the left and 1 on the right; "
    "the feature map, negative at the square's left edge and positive at its right edge. A window of nine is framed.",
)

# %% [markdown]
# ## One number at a time
#
# The feature map above is as large as the image. At the border, therefore, the kernel covered places outside the image. Zeros were
# put there: **padding**. (The first and last columns of the feature map show it: the step from the zeros to the bright pixels is
# an edge, too.) The **stride** s is the number of pixels by which the kernel moves from one place to the next. The feature map
# has 1/s of the image's rows and columns.
#
# How much padding is needed? The usual rule is called "SAME": a row of H pixels must give $H' = \lceil H / s \rceil$ windows. The
# last window begins at pixel $(H' - 1)\, s$ of the padded row and has h pixels, so the padded row needs $(H' - 1)\, s + h$ pixels.
# The missing pixels are divided between the two ends. If their number is odd, the additional pixel goes to the *end*: to the
# bottom or to the right.


# %% exercise="same_padding"
def same_padding(H, h, s):
    """Zeros to put (before, after) a row of H pixels, for windows of h with stride s."""
    # --- solution
    windows = -(-H // s)  # ⌈H / s⌉
    missing = max(0, (windows - 1) * s + h - H)
    return missing // 2, missing - missing // 2
    # --- end


# %% [markdown]
# Now a single window. Images have channels, so the kernel has the shape (h, w, C, D). It holds D filters (lesson 12). Each filter
# multiplies the h · w · C numbers of the window by its own weights and adds up the products. One window gives D numbers.


# %% exercise="convolve_at"
def convolve_at(padded, kernel, row, column, s):
    """The D numbers of the window in that row and column of the feature map; padded is (H, W, C)."""
    h, w, C, D = kernel.shape
    out = np.zeros(D)
    # --- solution
    for i in range(h):
        for j in range(w):
            for c in range(C):
                out += padded[row * s + i, column * s + j, c] * kernel[i, j, c]
    return out
    # --- end


# %%
def convolve_by_loops(image, kernel, s):
    """(H, W, C) with (h, w, C, D) -> (H', W', D)."""
    H, W, _ = image.shape
    sides = [same_padding(H, kernel.shape[0], s), same_padding(W, kernel.shape[1], s), (0, 0)]
    padded = np.pad(image, sides)
    return np.array([[convolve_at(padded, kernel, r, c, s) for c in range(-(-W // s))] for r in range(-(-H // s))])


rng = np.random.default_rng(0)
kernel = rng.standard_normal((3, 3, 3, 5))
slow = convolve_by_loops(square / 127.5 - 1, kernel, 2)
slow.shape

# %% [markdown]
# ## All at once
#
# Take one place (i, j) of the kernel and collect the pixels that it meets in all windows. Together they are a shifted copy of the
# image with step s: a slice. There are h · w such slices, and our engine can differentiate slicing. The function `slices_of`
# pads a batch and returns the slices.


# %% tags=["keep"]
def pad(x, axis, before, after, fill):
    """A Tensor with a border of `fill` before and after along an axis."""
    parts = [x]
    for length, front in ((before, True), (after, False)):
        if length:
            shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
            border = type(x)(np.full(shape, fill, x.dtype))
            parts = [border, *parts] if front else [*parts, border]
    return concatenate(parts, axis=axis) if len(parts) > 1 else x


def slices_of(images, h, w, s, fill=0.0):
    """For each place (i, j) of an h x w window, row by row: its numbers in all windows, (B, H', W', C)."""
    H, W = images.shape[1:3]
    padded = pad(pad(images, 1, *same_padding(H, h, s), fill), 2, *same_padding(W, w, s), fill)
    bottom, right = padded.shape[1] - h + 1, padded.shape[2] - w + 1
    return [padded[:, i : i + bottom : s, j : j + right : s] for i in range(h) for j in range(w)]


# %% [markdown]
# Join the slices along the channels, and each window becomes one row of h · w · C numbers. It is a patch as in lesson 05, but these
# patches overlap. The kernel is reshaped to a matrix with h · w · C rows and D columns. The convolution is then a single matrix
# product.


# %% exercise="conv2d"
def conv2d(images, kernel, s=1):
    """Tensors (B, H, W, C) with (h, w, C, D) -> (B, H', W', D)."""
    h, w, C, D = kernel.shape
    slices = slices_of(images, h, w, s)  # h · w Tensors (B, H', W', C)
    # --- solution
    windows = concatenate(slices, axis=3)  # (B, H', W', h w C)
    return windows @ kernel.reshape(h * w * C, D)
    # --- end


# %%
image = Tensor((square / 127.5 - 1)[None])  # (1, 32, 32, 3)
fast = conv2d(image, Tensor(kernel), 2).data[0]
ours = minivit.convolution.conv2d(minivit.Tensor(image.data), minivit.Tensor(kernel), 2).data[0]
print("as by loops:", np.allclose(fast, slow), "  as minivit's:", np.allclose(fast, ours))

# %% [markdown]
# If the kernel has P x P places and the stride is P, the windows do not overlap: they are the patches of lesson 05. So the patch
# embedding *is* a convolution, and its kernel is E.

# %%
embedding = PatchEmbedding(patch_size=4, channels=3, dim=8, rng=rng)
z = embedding(Tensor(image.data.astype(np.float32))).data  # (1, 64, 8)
as_kernel = embedding.weight.reshape(4, 4, 3, 8)  # E in the shape (P, P, C, D)
map_ = (conv2d(Tensor(image.data.astype(np.float32)), as_kernel, 4) + embedding.bias).data  # (1, 8, 8, 8)
print("patch embedding = strided convolution:", np.allclose(z, map_.reshape(1, 64, 8), atol=1e-5))

# %% [markdown]
# ## Your turn
#
# A deep convolutional network needs normalisation, as a Transformer does. The first method was **batch normalisation** (BatchNorm): it
# normalises each channel over all places of all images of the mini-batch. With small mini-batches, its means and variances are
# unreliable. The paper's ResNets use **group normalisation** (GroupNorm) instead: the C channels are divided into groups of
# neighbouring channels, and each group of each image is normalised over its channels *and over all places*. Other images
# have no influence.
#
# $$\hat{x} = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad y = \hat{x} \cdot \text{weight} + \text{bias}$$
#
# There is one μ and one σ² (the variance) for each image and group, and one weight and one bias for each channel.


# %% exercise="group_norm"
def group_norm(x, weight, bias, groups, eps=1e-6):
    """Tensors (B, H, W, C), (C,), (C,) -> (B, H, W, C)."""
    B, H, W, C = x.shape
    # --- solution
    grouped = x.reshape(B, H * W, groups, C // groups)
    centred = grouped - grouped.mean(axis=(1, 3), keepdims=True)
    variance = (centred * centred).mean(axis=(1, 3), keepdims=True)  # (B, 1, groups, 1)
    normal = (centred / (variance + eps).sqrt()).reshape(B, H, W, C)
    return normal * weight + bias
    # --- end


# %% [markdown]
# The next cell needs no work, only reading. **Weight standardisation** normalises each filter: its h · w · C numbers get mean 0 and
# standard deviation 1. A *residual unit* has a residual connection (lesson 08) around three convolutions: the first, 1 x 1,
# reduces the number of channels; the second, 3 x 3, looks at the neighbours; the third, 1 x 1, increases the number of
# channels to four times the width.


# %% tags=["keep"]
def standardize(kernel, eps=1e-5):
    """Each filter of (h, w, C, D) with mean 0 and standard deviation 1."""
    centred = kernel - kernel.mean(axis=(0, 1, 2), keepdims=True)
    return centred / ((centred * centred).mean(axis=(0, 1, 2), keepdims=True).sqrt() + eps)


def relu(x):
    """x where it is positive, else 0."""
    return x * (x.data > 0).astype(x.dtype)


class Conv(Module):
    """A convolution with a standardised kernel and without bias."""

    def __init__(self, size, fan_in, fan_out, rng, stride=1):
        values = rng.standard_normal((size, size, fan_in, fan_out))
        self.weight = parameter(values / np.sqrt(size * size * fan_in))
        self.stride = stride

    def forward(self, x):
        return conv2d(x, standardize(self.weight), self.stride)


class GroupNorm(Module):
    """GroupNorm with 32 groups."""

    def __init__(self, channels, scale=1.0):
        self.weight, self.bias = parameter(np.full(channels, scale)), parameter(np.zeros(channels))

    def forward(self, x):
        return group_norm(x, self.weight, self.bias, groups=32)


class Unit(Module):
    """A residual unit: (B, H, W, fan_in) -> (B, H / stride, W / stride, 4 width)."""

    def __init__(self, fan_in, width, rng, stride=1):
        self.projects = stride != 1 or fan_in != 4 * width  # the input must have the shape of what is added to it
        if self.projects:
            self.conv_proj, self.gn_proj = Conv(1, fan_in, 4 * width, rng, stride), GroupNorm(4 * width)
        self.conv1, self.gn1 = Conv(1, fan_in, width, rng), GroupNorm(width)
        self.conv2, self.gn2 = Conv(3, width, width, rng, stride), GroupNorm(width)
        self.conv3, self.gn3 = Conv(1, width, 4 * width, rng), GroupNorm(4 * width, scale=0.0)

    def forward(self, x):
        shortcut = self.gn_proj(self.conv_proj(x)) if self.projects else x
        y = relu(self.gn1(self.conv1(x)))
        y = relu(self.gn2(self.conv2(y)))
        return relu(self.gn3(self.conv3(y)) + shortcut)  # gn3 starts at 0: a new unit adds nothing


# %% [markdown]
# With these parts a *hybrid* (section 3.1) is one line. The first layers of a ResNet compute a feature map with fewer places and
# more channels than the image. The Vision Transformer of lesson 09 receives this feature map instead of the image, with
# patches of 1 x 1, and is otherwise unchanged. In the paper's R50+ViT-B/16, a photograph of 224 x 224 x 3 becomes a feature map of
# 14 x 14 x 1024. That makes 196 tokens, as many as patches of 16 x 16.


# %% tags=["keep"]
class Backbone(Module):
    """The beginning of a ResNet: (B, H, W, 3) -> (B, H/4, W/4, 4 width)."""

    def __init__(self, width, units, rng):
        self.conv_root, self.gn_root = Conv(7, 3, width, rng, stride=2), GroupNorm(width)
        self.units = [Unit(width if i == 0 else 4 * width, width, rng) for i in range(units)]

    def forward(self, x):
        x = relu(self.gn_root(self.conv_root(x)))  # (B, H/2, W/2, width)
        windows = [part.reshape(1, *part.shape) for part in slices_of(x, 3, 3, 2, fill=-np.inf)]
        x = concatenate(windows, axis=0).max(axis=0)  # the largest of 3 x 3, stride 2: (B, H/4, W/4, width)
        for unit in self.units:
            x = unit(x)
        return x


# %%
backbone = Backbone(width=32, units=1, rng=rng)
vit = ViT(image_size=8, patch_size=1, channels=128, dim=64, depth=4, heads=2, mlp_dim=128, num_classes=10)
pixels = Tensor(minivit.preprocess(data.images[:2]))
features = backbone(pixels)
print("image", pixels.shape, "-> features", features.shape, "-> logits", vit(features).shape)

# %% [markdown]
# ### The experiment
#
# We compare a ViT with a ResNet of about the same size and cost, on few images of `shapes` and on more. To save time, the images are
# reduced to 16 x 16 pixels, and the models are `minivit`'s, which compute the same as yours, faster. (Its ResNet is BiT's,
# the paper's baseline. It has the same parts, but GroupNorm and ReLU come *before* each convolution.) Both take the same
# number of steps with mini-batches of 64. Each has a learning rate that worked well on held-out images.
#
# Guess before you run the cells: which model is better with 200 images, and which with 3,200?


# %%
def small_images(split, count, seed=0):
    """Shapes at 16 x 16 pixels, from -1 to 1, and their labels."""
    drawn = shapes(split, count, seed)
    return np.float32(drawn.images.reshape(count, 16, 2, 16, 2, 3).mean(axis=(2, 4)) / 127.5 - 1), drawn.labels


def new_model(family, seed=0):
    if family == "ResNet":
        config = minivit.ResNetConfig(image_size=16, units=(1, 1), width=32, num_classes=10, stem="small")
        return minivit.ResNet(config, seed)
    sizes = {"image_size": 16, "dim": 64, "depth": 4, "heads": 2, "mlp_dim": 128, "num_classes": 10}
    if family == "hybrid":  # a backbone's root alone
        return minivit.ViT(minivit.ViTConfig(patch_size=1, backbone=(), backbone_width=32, **sizes), seed)
    return minivit.ViT(minivit.ViTConfig(patch_size=4, **sizes), seed)


RATES = {"ViT": 2e-3, "hybrid": 4e-3, "ResNet": 1e-2}


def train(family, images, labels, steps, seed=0):
    """A new model of that family after so many steps."""
    model, lr, rng = new_model(family, seed), RATES[family], np.random.default_rng(seed)
    optimiser = minivit.AdamW(model.named_parameters(), lr=lr, weight_decay=0.05)
    schedule = Schedule(lr=lr, total_steps=steps, warmup_steps=steps // 10)
    for step in range(steps):
        chosen = rng.choice(len(images), 64, replace=False)
        optimiser.lr = schedule(step)
        optimiser.zero_grad()
        minivit.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        clip_by_global_norm([p.grad for p in model.parameters()], 1.0)
        optimiser.step()
    return model


def accuracy_of(model, images, labels):
    return float((model.predict(images).argmax(axis=1) == labels).mean())


test_images, test_labels = small_images("test", 1000)
many, many_labels = small_images("train", 3200)
few, few_labels = many[:200], many_labels[:200]

# %%
short = {}
for family in ("ViT", "ResNet"):
    short[family] = []
    for images, labels in ((few, few_labels), (many, many_labels)):
        model = train(family, images, labels, steps=150)
        known, new = accuracy_of(model, images[:200], labels[:200]), accuracy_of(model, test_images, test_labels)
        short[family].append((len(images), new))
        print(f"{family:6} {len(images):5,} images: training accuracy {known:.1%}, test accuracy {new:.1%}")

# LONGER_RUNS has four times the steps, more images, and the seeds 0, 1 and 2 (of images, weights and batches). With `train` and
# `small_images("train", size, seed)` you can repeat any of its numbers.
show(draw_data_sizes(LONGER_RUNS, short), DATA_SIZES_ALT)

# %% [markdown]
# The left picture shows what you have just run, the right one the longer runs. The hybrid on the right is a ViT that receives
# the output of a ResNet's first layer. Write down what you see, then compare.
#
# <details><summary>What the pictures say</summary>
#
# - **From 800 images on, the inductive bias is worth a lot.** The ResNet with 800 images has a higher test accuracy than the ViT
#   with 12,800. It need not learn that a shifted shape is the same shape.
# - **With 200 images the ResNet does not lead.** Both models overfit: they memorise their training images and classify new ones
#   badly. A true inductive bias does not replace data.
# - **The hybrid is far ahead with 200 images** and close to the ResNet with more.
# - **The ViT levels off, but it does not lack images.** After 600 steps it has not even fitted its training set: with 12,800
#   images its training accuracy is about 70 %. With 2,400 steps (seed 0) its test accuracy is 83.4 % for 3,200 images and
#   92.5 % for 12,800. To use more data, it needs more compute.
# - **The ViT does not overtake the ResNet**, and nothing here shows that it would. `shapes` consists of edges and corners, which
#   suit convolutions, and 12,800 images are few.
#
# So our miniature reproduces the left half of the paper's figures, and not the right half.
#
# </details>

# %% [markdown]
# ## In the paper
#
# | | what was varied | what was measured | what was found |
# |---|---|---|---|
# | Fig. 3 | the pre-training set: ImageNet, ImageNet-21k, JFT-300M; and the model: ViT from Base to Huge, ResNets (BiT) | ImageNet accuracy after fine-tuning | On the smallest set the larger ViTs are *worse* than ViT-Base, in spite of regularisation, and the ResNets lead. On ImageNet-21k Large and Base are alike. Only on JFT-300M do the larger models gain in full, and the ViTs lead |
# | Fig. 4 | how much of JFT-300M: random subsets of increasing size; no additional regularisation, so that only the number of images counts | ImageNet accuracy of a classifier fitted to five images a class (lesson 15) | On the small subsets a ViT overfits more than a ResNet of similar cost; on the large ones it leads. The inductive bias of convolutions helps with little data; with enough data, learning the patterns is sufficient, and even better |
# | Fig. 5 | the compute of pre-training, for several ViTs, ResNets and hybrids, all on JFT-300M | accuracy after transfer | For the same accuracy a ViT needs 2 to 4 times less compute than a ResNet. Hybrids lead at small budgets, and the lead vanishes at large ones. The ViTs do not level off yet |
#
# Figs. 3 and 4 are in section 4.3, Fig. 5 is in 4.4. Table 2 has the largest models: H/14 with JFT-300M reaches 88.55 % on
# ImageNet after 2,500 TPUv3-core-days, the ResNet152x4 of BiT-L 87.54 % after 9,900.
#
# | paper | here | in `minivit` |
# |---|---|---|
# | ResNet with GroupNorm and standardised convolutions (§4.1) | `conv2d`, `group_norm`, `standardize` | [`convolution/ops.py`](../minivit/convolution/ops.py), [`models/resnet.py`](../minivit/models/resnet.py) |
# | hybrid: patches of a feature map (§3.1) | `vit(backbone(images))` | [`models/hybrid.py`](../minivit/models/hybrid.py), `create_model("R50+ViT-B_16")` |
# | Figs. 3, 4 | the experiment above | `minivit experiment data-size` |
# | Fig. 5 | - | `minivit experiment compute` |
#
# Two things differ. The paper pre-trains on one data set and transfers to another; we train and test on the same kind of images.
# And `minivit` cuts all windows at once before the same matrix product, and draws the first weights of its kernels from a
# normal distribution that is truncated at two standard deviations.

# %% [markdown]
# ## Break it and see
#
# Now make the inductive bias false. Cut every image into patches of 4 x 4 pixels and arrange them in another order, the *same* order for
# all images, in training and in testing. No pixel is lost, but patches that are side by side no longer belong together.
#
# Guess first: which of the two models loses accuracy, and why?


# %%
def shuffled(images, P=4, seed=3):
    """All images with their patches in the same new order."""
    B, side = len(images), images.shape[1] // P
    patches = images.reshape(B, side, P, side, P, 3).transpose(0, 1, 3, 2, 4, 5).reshape(B, side * side, P, P, 3)
    patches = patches[:, np.random.default_rng(seed).permutation(side * side)]
    return patches.reshape(B, side, side, P, P, 3).transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)


scores = {}
for family in ("ViT", "ResNet"):
    model = train(family, shuffled(many), many_labels, steps=150)
    scores[family] = (short[family][1][1], accuracy_of(model, shuffled(test_images), test_labels))
show(draw_shuffled(test_images[:4] / 2 + 0.5, shuffled(test_images[:4]) / 2 + 0.5, scores), SHUFFLED_ALT)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The ResNet loses a large part of its lead: its assumption, that neighbouring pixels belong together, has become false. The ViT's
# accuracy hardly changes. It treats an image as a set of patches, each with a learned position embedding, and it never knew which
# positions were neighbours. Another order only renumbers the positions (lesson 06). The small difference is chance.
#
# </details>

# %% [markdown]
# ### A convolution in one line
#
# NumPy can cut all windows at once: `sliding_window_view(x, shape)` returns an array whose first axes say *where* a window begins, and
# whose last axes are the window. In one line, it replaces all loops of this lesson.


# %% exercise="conv_in_one_line"
def conv_in_one_line(image, kernel):
    """(H, W, C) with (h, w, C, D), stride 1, no padding: a row for each window, (H'·W', D)."""
    # --- solution
    return (
        sliding_window_view(image, kernel.shape[:3]).reshape(-1, kernel[..., 0].size)
        @ kernel.reshape(-1, kernel.shape[3])
    )  # fmt: skip
    # --- end


# %% [markdown]
# The next cell runs *your* line, right or wrong, on an image whose pixels are numbered: 21 is the pixel in row 2, column 1. The second
# channel has the same numbers plus 100. The kernel has eight filters, and each picks one of the eight numbers of a 2 x 2 window. So
# each row of the result lists one window's numbers, in the order in which your line multiplies them.

# %%
numbered = 10.0 * np.arange(3)[:, None] + np.arange(3)  # (3, 3)
both = np.stack([numbered, numbered + 100], axis=-1)  # (3, 3, 2)
picks = np.eye(8).reshape(2, 2, 2, 8)  # filter d is 1 at the window's number d and 0 elsewhere
corners = [both[i : i + 2, j : j + 2].ravel() for i in range(2) for j in range(2)]
show_attempt("conv_in_one_line", Cells("channel 0", numbered), both, picks, right=np.array(corners))

# %% [markdown]
# ## The same in PyTorch
#
# ```python
# import torch.nn.functional as F
#
# x = x.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)
# k = kernel.permute(3, 2, 0, 1)  # (h, w, C, D) -> (D, C, h, w)
# y = F.conv2d(F.pad(x, (left, right, top, bottom)), k, stride=s)
# y = F.group_norm(y, groups, weight, bias, eps=1e-6)
# ```
#
# - *Layout.* PyTorch puts the channels before rows and columns: NCHW for images, OIHW (output channels, input channels, height, width)
#   for kernels. TensorFlow, JAX and this course use NHWC and HWIO.
# - *Padding.* `padding=1` adds one pixel on *every* side. `padding="same"` exists for stride 1 only. For "SAME" with a larger stride,
#   call `F.pad` first, with the last axis first.
# - *Name.* What all these libraries call convolution is a *cross-correlation*: the kernel is not flipped, as it would be in mathematics.
# - *Defaults.* `nn.Conv2d` has a bias; `nn.GroupNorm(groups, C)` has ε = 1e-5.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    F = torch.nn.functional
    some, weights = rng.standard_normal((2, 9, 8, 6)), rng.standard_normal((3, 3, 6, 8))
    scales, shifts = rng.standard_normal(8), rng.standard_normal(8)
    ours = conv2d(Tensor(some), Tensor(weights), 2)
    channels_first = torch.from_numpy(some).permute(0, 3, 1, 2)
    padded = F.pad(channels_first, (*same_padding(8, 3, 2), *same_padding(9, 3, 2)))
    theirs = F.conv2d(padded, torch.from_numpy(weights).permute(3, 2, 0, 1), stride=2)
    agree("conv2d", ours, theirs.permute(0, 2, 3, 1))
    ours = group_norm(ours, Tensor(scales), Tensor(shifts), groups=4)
    theirs = F.group_norm(theirs, 4, torch.from_numpy(scales), torch.from_numpy(shifts), eps=1e-6)
    agree("group_norm", ours, theirs.permute(0, 2, 3, 1))

# %% [markdown]
# ## What came before and after
#
# - [LeCun, Bottou, Bengio and Haffner, 1998](https://doi.org/10.1109/5.726791) trained convolutional networks by backpropagation to read
#   handwritten characters (LeNet-5).
# - [He, Zhang, Ren and Sun, 2015](https://arxiv.org/abs/1512.03385) made networks of up to 152 layers trainable with residual
#   connections (ResNet).
# - [Wu and He, 2018](https://arxiv.org/abs/1803.08494) introduced GroupNorm, whose accuracy is stable over a wide range of batch
#   sizes. [Qiao et al., 2019](https://arxiv.org/abs/1903.10520) added weight standardisation, for training with one or two images
#   on each GPU. BiT ([Kolesnikov et al., 2019](https://arxiv.org/abs/1912.11370)), the paper's baseline, pre-trains ResNets
#   on large data sets and transfers them to more than 20 others.
# - [Xiao et al., 2021](https://arxiv.org/abs/2106.14881) replaced the patch embedding by a few 3 x 3 convolutions with stride 2: training
#   became more stable, and ImageNet accuracy rose by one to two points. CoAtNet
#   ([Dai et al., 2021](https://arxiv.org/abs/2106.04803)) stacks convolutions and attention.
# - ConvNeXt ([Liu et al., 2022](https://arxiv.org/abs/2201.03545)) went the other way. It changed a ResNet step by step towards the design
#   of a Vision Transformer, without attention, and competed with Transformers in accuracy.

# %% [markdown]
# ## Summary
#
# - A convolution applies the same small matrix at every place: cut windows, then multiply. The patch embedding is a convolution
#   whose windows do not overlap.
# - Its structure assumes locality and translation equivariance. Both are true of images, and this saves data.
# - A hybrid passes a ResNet's feature map to a ViT instead of the image.
# - In the paper, ResNets lead with little data and ViTs with much. Our miniature shows the first half, from some hundred images on.

# %% [markdown]
# ## What comes next
#
# If a Vision Transformer needs so many images, must they all have labels? In [lesson 15](15_selfsupervision.ipynb) it learns from images
# alone: half of their patches are hidden, and the model predicts them.
