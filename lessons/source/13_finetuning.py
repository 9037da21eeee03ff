# %% [markdown]
# # 13 · Fine-tuning: a trained model takes on a new task
#
# *Comes after lessons [06](06_positions.ipynb), [10](10_optimisers.ipynb) and [11](11_training.ipynb). In the
# paper: section 3.2 and Table 4.*
#
# You will take a Vision Transformer that is already trained, run it on images that are larger than those it was trained on, and then
# train it for a new task with few examples. Only its head and its position embeddings do not fit: you will replace the head and
# resize the position embeddings.

# %% tags=["keep"]
from dataclasses import replace

import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.training.optim import clip_by_global_norm
from minivit.training.schedule import Schedule
from minivit_lessons import trained_model
from minivit_lessons.pictures.finetuning import (
    PROGRESS_ALT,
    TABLES_ALT,
    draw_drawings,
    draw_problem,
    draw_progress,
    draw_resized,
    draw_tables,
)  # fmt: skip

Tensor, parameter, linear, cross_entropy = built("Tensor", "parameter", "linear", "cross_entropy")

# %% [markdown]
# ## The question
#
# Training a large model from the beginning is expensive. The paper's largest model took 2,500 days of one TPU core (Table 2). Nobody
# repeats that for 37 breeds of cats and dogs. The authors train once, on very many images: **pre-training**. Then they train a
# little more, on the images of the new task: **fine-tuning**. Using for one task what a model has learned in another
# is **transfer learning**.
#
# Which of the model's arrays fit the new task, and which do not?
#
# | array | depends on | fits? |
# |---|---|---|
# | patch embedding, blocks, norms | P and D | yes: attention and MLP take a sequence of any length |
# | position embeddings | the number of patches | not if the image size changes |
# | head | the number of classes K | not if the classes change |
#
# The head is easy: a new one replaces it. The position embeddings need an idea.

# %% [markdown]
# ## The picture
#
# On the left are an image of 32 x 32 pixels and the position embeddings that our trained model has learned for its 8 x 8 patches. Each
# is a vector of 64 numbers. It is drawn as a colour: red, green and blue are the three directions in which these vectors differ
# most (lesson 12). Neighbours have similar colours.
#
# On the right is the same picture, enlarged to 48 x 48 pixels. A patch still has 4 x 4 pixels, because E multiplies 48 numbers. So
# there are 12 x 12 = 144 patches, and only 64 position embeddings.

# %%
trained = trained_model()  # 32 x 32 pixels, patches of 4, D = 64, 4 blocks, ten shapes
weights = trained.state()  # its arrays by name
table = weights["positions.embedding"]  # (1, 65, 64): the class token's position, then the patches'
P = 4

test = shapes("test", count=300)
star = list(test.labels).index(test.classes.index("star"))
show(
    draw_problem(test.images[star], test.resized(48, 48).images[star], table, P),
    "A star of 32 pixels with 8 x 8 patches; their positions as smoothly changing colours; the star enlarged to 48 "
    "pixels with 12 x 12 patches; an empty grid of 12 x 12 with a question mark.",
)

# %% [markdown]
# The table of position embeddings is itself a small picture: 8 x 8 places with 64 channels. So treat it like any picture that is
# too small, and enlarge it.

# %% [markdown]
# ## One number at a time
#
# Begin with one row of three places, 0, 1 and 2, which must become five. The first new place coincides with the first old
# one, the last with the last, and the others are at equal distances. Measured on the old row, the new places are 0, 0.5, 1, 1.5
# and 2. In general, new place i of n' is at
#
# $$x_i = i \cdot \frac{n - 1}{n' - 1}$$
#
# A new place between two old ones takes a share of both, and the larger share of the nearer one: 1 minus the distance. This is
# linear **interpolation**. Its weights form a matrix with a row for each new place. Each row adds up to 1:
#
# | new place | is at | from old 0 | from old 1 | from old 2 |
# |---|---|---|---|---|
# | 0 | 0 | 1 | 0 | 0 |
# | 1 | 0.5 | 0.5 | 0.5 | 0 |
# | 2 | 1 | 0 | 1 | 0 |
# | 3 | 1.5 | 0 | 0.5 | 0.5 |
# | 4 | 2 | 0 | 0 | 1 |


# %% exercise="interpolation_weights"
def interpolation_weights(before, after):
    """What each of `after` new places takes from each of `before` old ones: (after, before)."""
    # --- solution
    places = np.arange(after) * (before - 1) / (after - 1)  # (after,): measured on the old row
    distance = np.abs(places[:, None] - np.arange(before))  # (after, before)
    return np.maximum(0.0, 1.0 - distance)
    # --- end


# %%
interpolation_weights(3, 5)

# %% [markdown]
# ## All at once
#
# A grid has two axes, so it needs two such matrices: one changes the length of every column, the other that of every row. For one
# channel with the values G, of shape (h, w), and the weights R (h', h) and S (w', w):
#
# $$G' = R \, G \, S^\top$$
#
# This is bilinear interpolation. The class token has no place in the image, so it is not part of the grid, and its position
# embedding stays as it is.


# %% exercise="resize_positions"
def resize_positions(table, before, after):
    """A table of positions (1, 1 + h·w, D) for another grid: (1, 1 + h'·w', D). Grids are (rows, columns)."""
    R = interpolation_weights(before[0], after[0])  # (h', h)
    S = interpolation_weights(before[1], after[1])  # (w', w)
    # --- solution
    front, patches = table[:, :1], table[0, 1:]  # (1, 1, D), (h w, D)
    grid = patches.reshape(*before, -1).transpose(2, 0, 1)  # (D, h, w)
    larger = R @ grid @ S.T  # (D, h', w')
    rows = larger.transpose(1, 2, 0).reshape(1, after[0] * after[1], -1)
    return np.concatenate([front, rows], axis=1).astype(table.dtype)
    # --- end


# %%
explore(
    lambda side: draw_resized(interpolation_weights(8, side), table, resize_positions(table, (8, 8), (side, side))),
    "Left a matrix with one or two bright cells in each row, along the diagonal; then the 8 x 8 colours, and the same "
    "colours on a finer grid.",
    side=[12, 8, 6, 10, 16, 24],
)

# %% [markdown]
# Now the whole model. Its arrays are a dictionary from names to arrays. Make the dictionary for the new task: position embeddings of
# the new grid, a head of zeros if the classes are new, and all other arrays unchanged. Why zeros? With a head of zeros every
# logit is 0, every class has the same probability, and the loss starts at ln K (lesson 09). A random head would begin with
# wrong, confident answers, and the first steps would damage what the blocks have learned.


# %% exercise="adapt_weights"
def adapt_weights(weights, before, after, K=None):
    """The arrays of the same model for another grid, and for K new classes; K=None keeps the head."""
    # --- solution
    new = dict(weights)
    new["positions.embedding"] = resize_positions(weights["positions.embedding"], before, after)
    if K is not None:
        D = weights["head.weight"].shape[0]
        new["head.weight"] = np.zeros((D, K), np.float32)
        new["head.bias"] = np.zeros(K, np.float32)
    return new
    # --- end


# %%
def adapted_model(size, K=None):
    """The trained model for images of size x size pixels and K new classes."""
    config = replace(trained.config, image_size=size, num_classes=K or 10)
    model = minivit.ViT(config)
    model.load_state(adapt_weights(weights, (8, 8), (size // P, size // P), K))
    return model


def accuracy_of(model, pixels, labels):
    return (model.predict(pixels).argmax(axis=1) == labels).mean()


for size in (32, 40, 48, 64):
    larger = test.resized(size, size)
    print(f"{size} px: {accuracy_of(adapted_model(size), larger.images, larger.labels):.1%} right")

# %% [markdown]
# Without a single step of training, the model classifies images of 40 or 48 pixels about as well as those of 32. At 64 pixels
# much accuracy is lost, although the position embeddings are as smooth as before. A patch now covers a quarter of the area
# that it covered at 32 pixels, and the model has never seen such small parts of a shape. Fine-tuning repairs this.

# %% [markdown]
# ## Your turn
#
# Now a new task: the same ten shapes as *line drawings*, black where the brightness changes and white elsewhere. For a person
# little has changed. For the model everything has: it has only ever seen filled areas.


# %%
def drawn(pixels):
    """Line drawings of images: (B, H, W, 3) -> the same, integers from 0 to 255."""
    grey = np.pad(pixels.mean(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")  # (B, H + 2, W + 2)
    down = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    across = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    ink = np.clip(1.25 * np.hypot(down, across), 0, 255)
    return np.repeat(255 - ink[..., None], 3, axis=-1).astype(np.uint8)


few = shapes("train", count=500)
drawings, test_drawings = drawn(few.images), drawn(test.images)
show(
    draw_drawings(test.images[:6], test_drawings[:6], [test.classes[label] for label in test.labels[:6]]),
    "Six coloured shapes, and below each its outline in black on white.",
)
print(f"without any training on drawings: {accuracy_of(trained, test_drawings, test.labels):.1%} right")

# %% [markdown]
# We have 500 labelled drawings. The cheapest method leaves all arrays of the model unchanged and trains a new head alone. This is
# called **freezing** the model. A frozen model returns the same vector $y$ (Eq. 4) for an image at every step, so we compute
# these vectors once. What remains is a linear layer: 64 numbers in, ten logits out.
#
# Table 4 has the paper's rule for fine-tuning: SGD with momentum 0.9, which you know from lesson 10. Each parameter $w$ has a running
# sum $m$ of its gradients, which starts at zero. With the gradient $g$ of the loss, each step is
#
# $$m \leftarrow 0.9\, m + g, \qquad w \leftarrow w - \text{lr} \cdot m$$


# %% exercise="train_head"
def train_head(features, labels, K, steps, lr):
    """A linear head on frozen features (B, D): its weight (D, K) and bias (K,) as arrays, after steps on all images."""
    weight, bias = np.zeros((features.shape[1], K)), np.zeros(K)
    # --- solution
    x = Tensor(features)
    slow_weight, slow_bias = np.zeros_like(weight), np.zeros_like(bias)  # m of each
    for _ in range(steps):
        W, b = parameter(weight), parameter(bias)
        cross_entropy(linear(x, W, b), labels).backward()
        slow_weight = 0.9 * slow_weight + W.grad
        slow_bias = 0.9 * slow_bias + b.grad
        weight = weight - lr * slow_weight
        bias = bias - lr * slow_bias
    return weight, bias
    # --- end


# %%
def features_of(model, pixels):
    """What the head sees, without a tape: (B, H, W, 3) -> (B, D)."""
    with minivit.no_grad():
        pieces = [model.represent(minivit.preprocess(pixels[i : i + 100])).data for i in range(0, len(pixels), 100)]
    return np.concatenate(pieces)


head, bias = train_head(features_of(trained, drawings), few.labels, K=10, steps=200, lr=0.05)
logits = features_of(trained, test_drawings) @ head + bias  # (300, 10)
head_alone = (logits.argmax(axis=1) == test.labels).mean()
print(f"head alone: {head_alone:.1%} right")

# %% [markdown]
# Now train all arrays. The loop is that of lesson 11 with the choices of Table 4: SGD with momentum, cosine decay, gradients clipped
# at norm 1, no weight decay. For comparison, the same network starts from random weights. It is trained by AdamW, which
# suits a new network better, so that it does not lose because of its optimiser.
#
# Guess first: order the three by their test accuracy after 150 steps: the new head alone, the fine-tuned model, the network
# from scratch.


# %%
def fine_tune(model, optimiser, lr, pixels, labels, steps, batch=32, seed=0, measure=None):
    """Train a model for some steps; returns points (step, what `measure` says of the model)."""
    images, rng = minivit.preprocess(pixels), np.random.default_rng(seed)
    schedule = Schedule(lr=lr, total_steps=steps, warmup_steps=steps // 10, decay="cosine")
    points = [(0, measure(model))] if measure else []
    for step in range(steps):
        chosen = rng.choice(len(images), batch, replace=False)
        optimiser.lr = schedule(step)
        optimiser.zero_grad()
        minivit.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        clip_by_global_norm([p.grad for p in model.parameters()], 1.0)
        optimiser.step()
        if measure and (step + 1) % 30 == 0:
            points.append((step + 1, measure(model)))
    return points


def measure(model):
    return accuracy_of(model, test_drawings, test.labels)


tuned, scratch = adapted_model(32, K=10), minivit.ViT(trained.config, seed=1)
sgd = minivit.SGD(tuned.named_parameters(), lr=0.03, momentum=0.9)
adamw = minivit.AdamW(scratch.named_parameters(), lr=2e-3, weight_decay=0.05)
runs = {
    "fine-tuned": fine_tune(tuned, sgd, 0.03, drawings, few.labels, steps=150, measure=measure),
    "from scratch": fine_tune(scratch, adamw, 2e-3, drawings, few.labels, steps=150, measure=measure),
}
show(draw_progress(runs, ("head alone", head_alone), chance=0.1), PROGRESS_ALT)

# %% [markdown]
# <details><summary>Answer</summary>
#
# From the lowest: from scratch, head alone, fine-tuned. What the model learned from filled shapes is useful for drawings too:
# even frozen, with a new head, it classifies more than half of them correctly. When all arrays may change, the same 500 drawings
# teach it more. The network from scratch sees the same images as often and learns little in so few steps.
#
# </details>
#
# The fine-tuned model begins at 10 %, because its head is zero. Try it with the head that you trained:
# `tuned.head.weight.data[...] = head`, and the bias in the same way, before `fine_tune`.
#
# And larger images? The next cell takes twenty steps at 64 pixels, with the old head, since the classes are the old ones.

# %%
larger_few, larger_test = few.resized(64, 64), test.resized(64, 64)
model = adapted_model(64)
before = accuracy_of(model, larger_test.images, larger_test.labels)
sgd = minivit.SGD(model.named_parameters(), lr=0.02, momentum=0.9)
fine_tune(model, sgd, 0.02, larger_few.images, larger_few.labels, steps=20)
after = accuracy_of(model, larger_test.images, larger_test.labels)
print(f"at 64 px: {before:.1%} right before, {after:.1%} after 20 steps")

# %% [markdown]
# ## In the paper
#
# Section 3.2 says what you did. The pre-trained head is removed and replaced by a zero-initialised D x K layer, for K new classes.
# Fine-tuning at a higher resolution than pre-training often helps. The patch size stays the same, so the sequence becomes
# longer. The Transformer takes any length, but the learned position embeddings would lose their meaning. So they are
# interpolated in 2-D, according to their places in the image. The authors add that this step and the cutting into patches
# are the only points at which the two-dimensional structure of images is built into the model by hand.
#
# | paper | here | in `minivit` |
# |---|---|---|
# | 2-D interpolation | `resize_positions` | [`resize_positions`](../minivit/models/positions.py) |
# | zero-initialised D x K layer | `adapt_weights(..., K)` | `load_model(path, image_size=48, num_classes=37)` |
# | Table 4: SGD, momentum 0.9, cosine, clipping at 1 | `fine_tune` | `minivit finetune --weights PATH --dataset pets` |
# | Table 4: batch 512, 384 px | 32, and 32 or 64 px | `--batch-size`, `--image-size` |
# | Table 4: 500 steps (Pets, Flowers) to 20,000 (ImageNet) | 150 | `--recipe` |
# | Table 4: the best of a few rates, chosen on held-out images | 0.03, the largest of the paper's for small data sets | `--lr` |
#
# For comparison: the L/16 that was pre-trained on ImageNet-21k reaches 99.15 % on CIFAR-10 after fine-tuning (Table 2). Our best model
# from scratch (0.80 million parameters, CIFAR-10 alone) has 89.1 %, the mean of two seeds (`results/cifar10-100min`; its images are
# JPEG copies).
#
# Two remarks. Our enlarged images hold no more detail than the small ones. They show that a model *can* change its resolution,
# not that this raises accuracy; the paper's photographs do hold more detail at 384 pixels. And there are two conventions for
# interpolation. Here and in the authors' code the *corners* of the two grids coincide; in timm their *edges* do. Both run
# with any weights, and they return different tables.

# %% [markdown]
# ## Break it and see
#
# The table is stored as a sequence, (1, 65, 64). What if someone interpolates the sequence, 64 places to 100, and forgets that it is a
# grid? Every shape fits, every row of weights adds up to 1, and no error is raised.
#
# Guess first: is the result nearer to the right table, or to no position embeddings at all?


# %%
def resize_as_sequence(table, before, after):
    weights_1d = interpolation_weights(before[0] * before[1], after[0] * after[1])  # (N', N)
    return np.concatenate([table[:, :1], (weights_1d @ table[0, 1:])[None]], axis=1).astype(table.dtype)


def no_positions(table, before, after):
    return np.concatenate([table[:, :1], np.zeros((1, after[0] * after[1], table.shape[2]), np.float32)], axis=1)


tables = {}
size = 40  # change it: 48, 64
side = size // P
larger = test.resized(size, size)
for name, resize in (("grid", resize_positions), ("sequence", resize_as_sequence), ("none", no_positions)):
    model = adapted_model(size)
    wrong = resize(table, (8, 8), (side, side))
    model.load_state({**model.state(), "positions.embedding": wrong})
    tables[f"{name}: {accuracy_of(model, larger.images, larger.labels):.1%}"] = wrong
show(draw_tables(tables, table, (side, side)), TABLES_ALT)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Such position embeddings are no better than none. The old rows of eight no longer end where the new rows end, so the colours run
# askew across the image: each patch is told that it is somewhere else. Fine-tuning would repair some of the damage and hide the
# mistake. That is why the table is tested before training, against loops and against the authors' own function.
#
# </details>

# %% [markdown]
# ### The other convention
#
# The last exercise is harder. timm and PyTorch align the *edges* of the two rows instead of the corners: both rows cover the same
# length, and every place is the middle of its cell. When a row becomes shorter, they can also use a wider triangle of
# weights, so that no old place is skipped (*antialiasing*).


# %% exercise="edge_weights"
def edge_weights(before, after):
    """The weights of interpolation with aligned edges and antialiasing: (after, before)."""
    # --- solution
    step = before / after  # the length of a new cell, in old cells
    centres = (np.arange(after) + 0.5) * step - 0.5  # of the new cells, measured on the old places
    distance = np.abs(centres[:, None] - np.arange(before))  # (after, before)
    shares = np.maximum(0.0, 1.0 - distance / max(step, 1.0))
    return shares / shares.sum(axis=1, keepdims=True)
    # --- end


# %%
print(interpolation_weights(4, 2).round(2))  # corners: the places in the middle are skipped
print(edge_weights(4, 2).round(2))

# %% [markdown]
# ## The same in PyTorch
#
# ```python
# import torch.nn.functional as F
#
# grid = patches.reshape(1, h, w, D).permute(0, 3, 1, 2)  # channels first
# new = F.interpolate(grid, size=(h2, w2), mode="bilinear", align_corners=True)  # this lesson
# new = F.interpolate(grid, size=(h2, w2), mode="bicubic", antialias=True)  # timm: edges, and cubic curves
#
# model.requires_grad_(False)  # freezing
# model.head = torch.nn.Linear(D, K)  # new parameters need gradients again
# torch.nn.init.zeros_(model.head.weight)
# ```
#
# - *Convention.* `align_corners=True` aligns the corners, as here. The default, `align_corners=False`, aligns the edges.
# - *Antialiasing.* Use `antialias=True` with `align_corners=False`: only this matches Pillow. In bilinear mode it changes reductions
#   alone: it widens the triangle, as in `edge_weights`.
# - *Freezing.* PyTorch still runs a frozen model at each step, unless you store its outputs as we did. Give the optimiser only the
#   parameters with `requires_grad`: weight decay would otherwise still change frozen ones whose `.grad` is not `None`.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    F = torch.nn.functional
    patches = torch.from_numpy(table[0, 1:].reshape(1, 8, 8, 64)).permute(0, 3, 1, 2)  # (1, D, 8, 8)
    larger_grid = F.interpolate(patches, size=(12, 10), mode="bilinear", align_corners=True)
    ours = resize_positions(table, (8, 8), (12, 10))[0, 1:].reshape(1, 12, 10, 64)
    agree("resize_positions", ours, larger_grid.permute(0, 2, 3, 1))
    row = torch.eye(8)[None, :, None]  # channel j is 1 at place j: (1, 8, 1, 8)
    smaller = F.interpolate(row, size=(1, 5), mode="bilinear", antialias=True)  # (1, 8, 1, 5)
    agree("edge_weights", edge_weights(8, 5), smaller[0, :, 0].T)

# %% [markdown]
# ## What came before and after
#
# - [Yosinski et al., 2014](https://arxiv.org/abs/1411.1792) measured which layers transfer. The first are general, the last specific to
#   their task; and starting from transferred features helps even after fine-tuning.
# - BiT ([Kolesnikov et al., 2019](https://arxiv.org/abs/1912.11370)) made the recipe simple: pre-train on a large data set with labels, then
#   fine-tune. It worked on more than 20 data sets, from one example of each class to a million in all. The paper follows it.
# - [Touvron et al., 2019](https://arxiv.org/abs/1906.06423) found that objects appear at different sizes in training and in testing, and that
#   a short fine-tuning at the test resolution corrects for this.
# - [Dosovitskiy et al., 2020](https://arxiv.org/abs/2010.11929) is our paper: fine-tuning with interpolated position embeddings.
# - LoRA ([Hu et al., 2021](https://arxiv.org/abs/2106.09685)) freezes the pre-trained weights of a Transformer and trains only matrices of
#   low rank that are added to them.

# %% [markdown]
# ## Summary
#
# - In a trained Vision Transformer, only the head depends on the classes, and only the position embeddings depend on the image size.
# - Position embeddings are a small picture: bilinear interpolation with aligned corners resizes it. The class token keeps its own.
# - A new head starts at zero. Trained alone on a frozen model it is cheap; fine-tuning all arrays learns more from the same images.
# - Table 4: SGD, momentum 0.9, cosine decay, clipping at 1, no weight decay.

# %% [markdown]
# ## What comes next
#
# A Vision Transformer knows almost nothing about images when training starts: the places of the patches are all that we ever told it.
# Convolutional networks are built around such knowledge. In [lesson 14](14_hybrids.ipynb) you build one, join the two, and measure what the
# knowledge is worth.
