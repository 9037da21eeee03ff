# %% [markdown]
# # 13 · Fine-tuning: a trained model takes on a new task
#
# *About 45 minutes. Comes after lessons [06](06_positions.ipynb), [10](10_optimisers.ipynb) and [11](11_training.ipynb). In the
# paper: section 3.2 and Table 4.*
#
# You will take a Vision Transformer that is already trained, give it larger images than it has ever seen, and then a task that
# it was not trained for, with few examples. Only two of its arrays stand in the way, and you will replace both.

# %% tags=["keep"]
from dataclasses import replace

import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.training.optim import clip_by_global_norm
from minivit.training.schedule import Schedule
from minivit_lessons import trained_model
from minivit_lessons.pictures.finetuning import draw_drawings, draw_problem, draw_progress, draw_resized, draw_tables

Tensor, parameter, linear, cross_entropy = built("Tensor", "parameter", "linear", "cross_entropy")

# %% [markdown]
# ## The question
#
# Training from the beginning is expensive. The paper's largest model took 2,500 days of one TPU core (Table 2). Nobody
# repeats that for 37 breeds of cats and dogs. The paper trains once, on very many images, and then *fine-tunes*: it trains a
# little more, on the images of the new task.
#
# Which of the model's arrays fit the new task, and which do not?
#
# | array | depends on | fits? |
# |---|---|---|
# | patch embedding, blocks, norms | P and D | yes: attention and MLP take a sequence of any length |
# | positions | the number of patches | not if the images are larger |
# | head | the number of classes K | not if the classes are others |
#
# The head is easy: we put a new one in its place. The positions are the interesting part.

# %% [markdown]
# ## The picture
#
# On the left an image of 32 x 32 pixels and the positions that our trained model has learned for its 8 x 8 patches. Each is
# a vector of 64 numbers. We draw it as a colour: red, green and blue are the three directions in which these vectors differ most
# (lesson 12). Neighbours have similar colours.
#
# On the right the same picture enlarged to 48 x 48. Patches still have 4 x 4 pixels, since E wants 48 numbers. So there are 12 x 12
# of them, 144 patches, and 64 positions.

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
# The table of positions is itself a small picture, 8 x 8 with 64 channels. So do with it what you would do with any picture that
# is too small: enlarge it.

# %% [markdown]
# ## One number at a time
#
# Begin with one row of three places, 0, 1 and 2, which shall become five. Lay the first new place on the first old one, the
# last on the last, and the others at equal distances. The new places then lie at 0, 0.5, 1, 1.5 and 2 on the old row. In
# general, new place i of n' lies at
#
# $$x_i = i \cdot \frac{n - 1}{n' - 1}$$
#
# A new place between two old ones takes from both, and more from the nearer: from each, 1 minus its distance. This is
# *linear interpolation*, and its weights make a matrix with a row for each new place. Each row adds up to 1:
#
# | new place | lies at | from old 0 | from old 1 | from old 2 |
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
    places = np.arange(after) * (before - 1) / (after - 1)  # (after,): where they lie on the old row
    distance = np.abs(places[:, None] - np.arange(before))  # (after, before)
    return np.maximum(0.0, 1.0 - distance)
    # --- end


# %%
interpolation_weights(3, 5)

# %% [markdown]
# ## All at once
#
# A grid has two axes, so it takes two such matrices: one enlarges every column, the other every row. For one channel with the
# values G, of shape (h, w), and the weights R (h', h) and S (w', w):
#
# $$G' = R \, G \, S^\top$$
#
# That is bilinear interpolation. The class token is no part of the grid: it has no place in the image, and keeps its position
# as it is.


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
# Now the whole model. Its arrays are a dictionary from names to arrays. Make the dictionary of the model that the new task wants:
# the positions resized, a head of zeros if the classes are others, and everything else as it was. Why zeros? The new head
# knows nothing yet. With zeros every logit is 0, every class is equally likely, the loss starts at ln K (lesson 09), and the first
# steps do not shake what the blocks have learned.


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
# Not a single step of training, and images of 40 or 48 pixels are read nearly as well as those of 32. At 64 pixels much is lost, though
# the positions are as smooth as before. A patch now shows a quarter as much of the shape as it did, and the model has never
# learned to read such pieces. That is what fine-tuning is for.

# %% [markdown]
# ## Your turn
#
# Now a new task. Here are the same ten shapes as *line drawings*: black where the brightness changes, white elsewhere. For a
# person little has changed. For our model everything has: all that it ever saw was filled areas.


# %%
def drawn(pixels):
    """Line drawings of images: (B, H, W, 3) -> the same, whole numbers from 0 to 255."""
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
# We have 500 labelled drawings. The cheapest way is to *freeze* the model and train a new head alone. A frozen model gives the
# same vector $y$ (Eq. 4) for an image at every step, so we compute these vectors once. What remains is linear: 64 numbers in, ten
# logits out.
#
# Table 4 has the rule for fine-tuning: SGD with momentum 0.9. You know it from lesson 10. Each parameter $w$ has a companion $m$ that
# starts at zero, and with the gradient $g$ of the loss each step is
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
# Now let everything learn. The loop is that of lesson 11 with Table 4's choices: SGD with momentum, cosine decay, gradients clipped
# at 1, no weight decay. Beside it runs the same network from scratch. We give that one AdamW, which suits a new network better, so
# that it does not lose for want of a good recipe.


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
show(
    draw_progress(runs, ("head alone", head_alone), chance=0.1),
    "Test accuracy against the step: the fine-tuned model rises past the level of the head alone, the one from scratch "
    "stays low.",
)

# %% [markdown]
# The features of shapes serve drawings, too: even the frozen model with a new head knows more than half of them. With every array
# free to move, the same 500 drawings teach it more. The network from scratch sees the same images just as often, and learns
# little in so few steps. (The fine-tuned model begins at 10 %, for its head is zero. Try it with the head that you trained:
# `tuned.head.weight.data[...] = head`, and the bias likewise, before `fine_tune`.)
#
# And larger images? Twenty steps at 64 pixels, with the old head, since the classes are the old ones:

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
# Section 3.2 says what you did. The pre-trained head is removed and a zero-initialised D x K layer put there, for K new
# classes. Fine-tuning at a higher resolution than pre-training often helps. The patch size stays, so the sequence grows. The
# Transformer takes any length, but the learned positions would lose their meaning, so they are interpolated in 2-D, by
# where they lie in the image. This step and the cutting into patches, the authors add, are the only points at which the
# two-dimensional structure of images is put into the model by hand.
#
# | paper | here | in `minivit` |
# |---|---|---|
# | 2-D interpolation | `resize_positions` | [`resize_positions`](../minivit/models/positions.py) |
# | zero-initialised D x K layer | `adapt_weights(..., K)` | `load_model(path, image_size=48, num_classes=37)` |
# | Table 4: SGD, momentum 0.9, cosine, clipping at 1 | `fine_tune` | `minivit finetune --weights PATH --dataset pets` |
# | Table 4: batch 512, 384 px | 32, and 32 or 64 px | `--batch-size`, `--image-size` |
# | Table 4: 500 steps (Pets, Flowers) to 20,000 (ImageNet) | 150 | `--recipe` |
# | Table 4: the best of a few rates, chosen on held-out images | 0.03, the largest of the paper's for small sets | `--lr` |
#
# For scale: the L/16 that was trained on ImageNet-21k reaches 99.15 % on CIFAR-10 after fine-tuning (Table 2). Our best model from scratch,
# small and trained on CIFAR-10 alone, has 81.3 % (`results/`).
#
# Two remarks. Our enlarged images hold no more detail than the small ones: they show that a model *can* change its resolution,
# not that it pays. The paper's photographs do hold more at 384 pixels. And corner on corner, as here and in the authors'
# code, is one of two habits: timm lays the *edges* of the grids on each other. Both run with any weights, and they give different
# tables.

# %% [markdown]
# ## Break it and see
#
# The table is stored as a sequence, (1, 65, 64). What if someone enlarges the sequence, 64 places to 144, and forgets that it is a
# grid? Every shape fits, every row adds up to 1, and no error is raised.


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
show(
    draw_tables(tables, table, (side, side)),
    "Three position tables of the larger grid: smooth colours; colours in broken diagonal bands; a single colour.",
)

# %% [markdown]
# The old rows of eight no longer end where the new rows end, so the colours run askew across the image. Such positions are no
# better than none at all: they tell each patch that it is somewhere else. Fine-tuning would mend some of it and hide the
# mistake. That is why the table is tested before training, against loops and against the authors' own function.

# %% [markdown]
# ## Summary
#
# - Of a trained Vision Transformer only the head depends on the classes, and only the positions on the size of the images.
# - Positions are a small picture: bilinear interpolation, corner on corner, enlarges it. The class token keeps its own.
# - A new head starts at zero. Alone on frozen features it is cheap; fine-tuning everything gets more out of the same images.
# - Table 4: SGD, momentum 0.9, cosine decay, clipping at 1, no weight decay.

# %% [markdown]
# ## What comes next
#
# A Vision Transformer knows almost nothing about images when it starts: where the patches lie is all that we ever told it. Convolutional
# networks are built around that knowledge. In [lesson 14](14_hybrids.ipynb) you build one, join the two, and find out what the knowledge is
# worth.
