# %% [markdown]
# # 14 · Convolutions and hybrids: what a network knows before it learns
#
# *About 45 minutes. Comes after lessons [09](09_vit.ipynb) to [11](11_training.ipynb). In the paper: sections 3.1, 4.1, 4.3 and
# 4.4, Figs. 3, 4 and 5.*
#
# You will build a convolution, first as loops and then as one matrix product, and from it a residual network. You will put its
# feature map in the place of the image: a *hybrid*. Then you will ask the paper's question: what is a network's built-in knowledge
# worth, with few images and with many?

# %% tags=["keep"]
import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.training.optim import clip_by_global_norm
from minivit.training.schedule import Schedule
from minivit_lessons.pictures.convolution import draw_convolution, draw_data_sizes, draw_shuffled

Tensor, concatenate, Module, parameter = built("Tensor", "concatenate", "Module", "parameter")
PatchEmbedding, ViT = built("PatchEmbedding", "ViT")

# %% [markdown]
# ## The question
#
# Before it sees its first image, a network already has opinions: they are in its structure. Those of a convolutional network are
#
# - *locality*: what belongs together lies together. Every number of a layer is computed from a small neighbourhood.
# - *translation equivariance*: a pattern means the same wherever it is. The same small kernel is used at every place, so if the image
#   moves, the feature map moves with it.
#
# This is called *inductive bias*. A Vision Transformer has little of it: its patches are local, and one E serves them all,
# but from the first block on every patch looks at every other, and what "beside" means it must learn from scratch
# (lesson 06).
#
# A bias helps if it is true, and may hinder when there is enough data to learn something better. Where is the break-even
# point? That is what Figs. 3 to 5 of the paper measure.

# %% [markdown]
# ## The picture
#
# A convolution slides a small kernel over the image. At each place it multiplies the numbers below the kernel by the kernel's
# and adds them all up. This kernel subtracts the column on the left from the column on the right: it finds vertical edges.
# The framed nine numbers of the image make the framed number of the feature map.

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
# The feature map above is as large as the image. So at the border the kernel reached outside, where zeros were put: *padding*. (The
# first and last column show it: between zeros and bright pixels there is an edge, too.) A *stride* of s moves the kernel by s pixels
# at a time and makes the map s times smaller.
#
# How much padding? The usual rule is called "SAME": a row of H pixels with stride s shall give $H' = \lceil H / s \rceil$ windows. The
# last window begins at pixel $(H' - 1)\, s$ of the padded row and is h long, so that row must have $(H' - 1)\, s + h$ pixels. What
# is missing is shared between the two ends. An odd pixel goes to the *end*: below, or to the right.


# %% exercise="same_padding"
def same_padding(H, h, s):
    """Zeros to put (before, after) a row of H pixels, for windows of h with stride s."""
    # --- solution
    windows = -(-H // s)  # ⌈H / s⌉
    missing = max(0, (windows - 1) * s + h - H)
    return missing // 2, missing - missing // 2
    # --- end


# %% [markdown]
# Now one window. Images have channels: the kernel has the shape (h, w, C, D). Each of its D *filters* multiplies all
# h · w · C numbers of the window and adds them up. So one window gives D numbers.


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
# Look at one place (i, j) of the kernel. In all windows together, what lies under it is a shifted copy of the image, with stride s:
# a slice. There are h · w such slices, and slicing is something our engine can differentiate. This function pads a batch and
# cuts them.


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
    """For each place (i, j) of an h x w window, row by row: what lies there in all windows, (B, H', W', C)."""
    H, W = images.shape[1:3]
    padded = pad(pad(images, 1, *same_padding(H, h, s), fill), 2, *same_padding(W, w, s), fill)
    bottom, right = padded.shape[1] - h + 1, padded.shape[2] - w + 1
    return [padded[:, i : i + bottom : s, j : j + right : s] for i in range(h) for j in range(w)]


# %% [markdown]
# Put the slices side by side along the channels, and each window is one row of h · w · C numbers: a *patch*, as in lesson 05, only
# that these patches overlap. The kernel, reshaped, is a matrix with h · w · C rows and D columns. A convolution is a matrix
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
# And now something familiar. If the kernel is P x P and the stride is P, the windows do not overlap: they are the patches. The patch
# embedding of lesson 05 *is* a convolution, with E as its kernel.

# %%
embedding = PatchEmbedding(patch_size=4, channels=3, dim=8, rng=rng)
z = embedding(Tensor(image.data.astype(np.float32))).data  # (1, 64, 8)
as_kernel = embedding.weight.reshape(4, 4, 3, 8)  # E in the shape (P, P, C, D)
map_ = (conv2d(Tensor(image.data.astype(np.float32)), as_kernel, 4) + embedding.bias).data  # (1, 8, 8, 8)
print("patch embedding = strided convolution:", np.allclose(z, map_.reshape(1, 64, 8), atol=1e-5))

# %% [markdown]
# ## Your turn
#
# A deep convolutional network needs normalisation, as a Transformer does. LayerNorm looks at one token. The paper's ResNets
# use *GroupNorm*: the channels are cut into groups of neighbours, and each group of each image is normalised over its channels *and all
# places*. No other image plays a part, so small batches do no harm.
#
# $$\hat{x} = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad y = \hat{x} \cdot \text{weight} + \text{bias}$$
#
# with μ and σ² (the mean squared deviation) for each image and group, weight and bias for each channel.


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
# Two more pieces, for reading. *Weight standardisation* does to each filter what GroupNorm does to a group: mean 0 and deviation 1
# over its h · w · C numbers. And a *residual unit* is what an encoder block is, with convolutions: a short computation added to its own
# input. It goes down to a small width by a 1 x 1 convolution, looks around by a 3 x 3, and goes up to four times the width.


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
# A *hybrid* (section 3.1) is now one line. A ResNet's first layers turn the image into a smaller map with more channels. That map takes
# the image's place: cut it into patches of 1 x 1, and the rest is the Vision Transformer of lesson 09, unchanged. In the paper's
# R50+ViT-B/16, a photograph of 224 x 224 x 3 becomes 14 x 14 x 1024, so 196 words, as many as with patches of 16 x 16.


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
# **The experiment.** A ViT against a ResNet of about the same size and cost, on few images of `shapes` and on more. To be quick, we
# halve the images to 16 x 16 pixels, and use `minivit`'s own models: the same computation as yours, faster. (Its ResNet is
# BiT's, the paper's baseline: the same parts, but GroupNorm and ReLU come *before* each convolution.) Both take the same number
# of steps on batches of 64. Each has a learning rate that did well for it on held-out images.


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
        print(f"{family:6} {len(images):5,} images: {known:.1%} of its own right, {new:.1%} of new ones")

# Four times the steps, more images, and seeds 0, 1 and 2 (of images, weights and batches); with `train` and
# `small_images("train", size, seed)` you can repeat any of these numbers.
longer = {
    "ViT": [
        (200, (0.334, 0.291, 0.335)),
        (800, (0.543, 0.526, 0.507)),
        (3_200, (0.686, 0.661, 0.659)),
        (12_800, (0.665, 0.665, 0.641)),
    ],
    "hybrid": [
        (200, (0.566, 0.516, 0.566)),
        (800, (0.875, 0.840, 0.886)),
        (3_200, (0.981, 0.977, 0.976)),
        (12_800, (0.994, 0.987, 0.980)),
    ],
    "ResNet": [
        (200, (0.272, 0.279, 0.310)),
        (800, (0.902, 0.906, 0.910)),
        (3_200, (0.994, 0.995, 0.994)),
        (12_800, (1.000, 0.999, 0.998)),
    ],
}
show(
    draw_data_sizes(longer, short),
    "Left, 150 steps: the ResNet rises steeply from 200 to 3,200 images, the ViT slowly. Right, 600 steps: with 200 images "
    "the hybrid is far ahead of the other two; from 800 images on ResNet and hybrid lead, and the ViT levels off below.",
)

# %% [markdown]
# Left is what you have just run, right the longer run. What does it say?
#
# - **From 800 images on, the bias is worth a lot.** With 800 images the ResNet gets more new ones right than the ViT with 12,800.
#   Nobody had to tell it that a shape which has moved is the same shape.
# - **With 200 images it does not lead.** ViT and ResNet know their own images by heart and new ones badly, the ResNet no
#   better than the ViT. A true bias is no cure for too little data.
# - **The hybrid is far ahead with 200 images,** and close behind the ResNet afterwards.
# - **The ViT levels off, and not for want of images.** After 600 steps it has not even learned the images that it was
#   shown: of its own 12,800 it knows about 70 %. With 2,400 steps (seed 0) it reaches 83.4 % with 3,200 images, and 92.5 % with 12,800. To use
#   more data, it needs more compute.
# - **It does not overtake.** Nothing here shows that it ever would. `shapes` is made of edges and corners, which is what convolutions
#   are for, and 12,800 images are few.
#
# So this miniature repeats the left half of the paper's figures, and not the right one.

# %% [markdown]
# ## In the paper
#
# | | what was varied | what was measured | what was found |
# |---|---|---|---|
# | Fig. 3 | the set for pre-training: ImageNet, ImageNet-21k, JFT-300M; and the model: ViT from Base to Huge, ResNets (BiT) | ImageNet after fine-tuning | On the smallest set the larger ViTs are *worse* than ViT-Base, for all their regularisation, and the ResNets lead. On ImageNet-21k large and base are alike. Only on JFT-300M does size pay in full, and the ViTs are ahead |
# | Fig. 4 | how much of JFT-300M: random subsets, from small to all; no extra regularisation, so that the number of images alone counts | few-shot accuracy on ImageNet (lesson 15) | On the small subsets a ViT overfits more than a ResNet of like cost; on the large ones it is ahead. The bias helps with little data; with enough, learning from the data is sufficient, and even better |
# | Fig. 5 | the compute of pre-training, for several ViTs, ResNets and hybrids, all on JFT-300M | accuracy after transfer | For the same accuracy a ViT needs 2 to 4 times less compute than a ResNet. Hybrids are ahead at small budgets, and the lead vanishes at large ones. The ViTs do not level off yet |
#
# Figs. 3 and 4 are in section 4.3, Fig. 5 in 4.4. Table 2 has the end of this road: H/14 with JFT-300M reaches 88.55 % on
# ImageNet for 2,500 TPUv3-core-days, the ResNet152x4 of BiT-L 87.54 % for 9,900.
#
# | paper | here | in `minivit` |
# |---|---|---|
# | ResNet with GroupNorm and standardised convolutions (§4.1) | `conv2d`, `group_norm`, `standardize` | [`convolution/ops.py`](../minivit/convolution/ops.py), [`models/resnet.py`](../minivit/models/resnet.py) |
# | hybrid: patches of a feature map (§3.1) | `vit(backbone(images))` | [`models/hybrid.py`](../minivit/models/hybrid.py), `create_model("R50+ViT-B_16")` |
# | Figs. 3, 4 | the experiment above | `minivit experiment data-size` |
# | Fig. 5 | - | `minivit experiment compute` |
#
# What differs: the paper pre-trains and then transfers, we train and test on the same kind of images. `minivit`'s convolution is the
# same matrix product with the windows cut in one go, and its kernels start from a normal distribution that is cut off at two
# standard deviations.

# %% [markdown]
# ## Break it and see
#
# Take the bias's truth away. Cut every image into 4 x 4 patches and lay them out again in another order, the *same* order for all
# images, in training and in testing. No pixel is lost. But what lies side by side no longer belongs together.


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
show(
    draw_shuffled(test_images[:4] / 2 + 0.5, shuffled(test_images[:4]) / 2 + 0.5, scores),
    "Four shapes and below each the same in shuffled pieces. Bars: the ViT has about the same accuracy on both, the "
    "ResNet loses much of its lead.",
)

# %% [markdown]
# The ViT does not mind. To it an image is a set of patches, each with a position that it learns, and it never knew which positions
# were neighbours: another order only renumbers them (lesson 06). The small difference is chance. The ResNet loses a great part of its
# lead. What it was given for nothing has become false.

# %% [markdown]
# ## Summary
#
# - A convolution is the same small matrix at every place: cut windows, multiply. The patch embedding is one whose windows do not
#   overlap.
# - Its structure claims two things about images, locality and translation equivariance. They are true of images, and so they save data.
# - A hybrid gives a ViT a ResNet's feature map in place of the image.
# - Paper: with little data the bias wins, with much data the ViT does. Our miniature shows the first half, from some hundred images on.

# %% [markdown]
# ## What comes next
#
# If a Vision Transformer needs so many images, must they all have labels? In [lesson 15](15_selfsupervision.ipynb) it learns from images alone: half of
# their patches are hidden, and it guesses them.
