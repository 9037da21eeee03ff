# %% [markdown]
# # 15 · Learning without labels
#
# *About 45 minutes. Comes after lessons [03](03_products.ipynb), [05](05_patches.ipynb), [09](09_vit.ipynb) and
# [10](10_optimisers.ipynb). In the paper: sections 4.1 and 4.6, appendix B.1.2.*
#
# You will hide half of an image from a network and let it guess what is missing. No label is needed for that. Then you
# build an examiner, a linear classifier found in one step, and ask the network what the guessing has taught it. Be
# prepared for an honest answer.

# %% tags=["keep"]
import numpy as np

import minivit
from minivit import Tensor, cross_entropy, no_grad, preprocess
from minivit.data.shapes import shapes
from minivit.models import create_model
from minivit.nn import Linear, Module, init
from minivit.nn.layers import parameter
from minivit.training import masked as ours
from minivit.training.schedule import Schedule
from minivit_lessons import trained_model
from minivit_lessons.pictures import selfsupervision as draw

patchify, unpatchify = built("patchify", "unpatchify")

# %% [markdown]
# ## The question
#
# Every network so far had a teacher: each image came with its class. Images are plentiful, but labels are not. The
# largest data set of the paper, JFT, has 303 million labelled images, and few people own such a thing.
#
# Language models have no such worry. Cover a word of a sentence and let the model guess it: any text is its own answer
# sheet. A Vision Transformer reads an image as a sentence of patches. So the paper asks, in section 4.6: can one
# cover *patches*? And is what a network learns by guessing them of any use for telling classes apart?

# %% [markdown]
# ## The picture
#
# This is the game, drawn with minivit's own functions; you are about to write yours. Left an image. In the middle what
# the network is given: half of the patches are *corrupted*. Most of these are masked (**?**), a few hold
# another patch of the same image (**R**), and a few stay as they are (**S**). Right what it must say: the average
# colour of each corrupted patch.

# %%
P, N = 4, 64  # side of a patch, patches of an image
test_set = shapes("test", count=200)
star = list(test_set.labels).index(test_set.classes.index("star"))


def draw_puzzle(seed):
    """The star as a puzzle; each seed corrupts other patches."""
    drawn = ours.draw_corruption(1, N, np.random.default_rng(seed))
    numbers = ours.colour_targets(preprocess(test_set.images[star : star + 1]), P, "mean")[0, :, 0]
    return draw.puzzle(test_set.images[star], drawn.corrupted[0], drawn.masked[0], drawn.source[0], numbers, P)


explore(
    draw_puzzle,
    "A star on a grid of 8 x 8 patches; the same with 26 chequered patches, 3 replaced and 3 untouched ones "
    "marked; and the average colours of these 32 patches.",
    seed=[0, 1, 2, 3],
)

# %% [markdown]
# ## One number at a time
#
# What exactly shall the network say? A colour is three numbers, but a *class* is easier to predict: then the
# cross-entropy of lesson 03 will do. So the paper rounds. Each channel of a patch's average colour is kept to three
# bits, which is 8 levels. Three channels of 8 levels make $8^3 = 512$ colours, and the number of a colour is written
# with red, green and blue as its digits:
#
# $$\text{number} = 64 \cdot \text{red} + 8 \cdot \text{green} + \text{blue}, \qquad \text{each from 0 to 7}$$
#
# Our pixels run from -1 to 1. Level 0 is the lowest eighth of that range, from -1 to -0.75; level 7 is the highest.


# %% exercise="colour_number"
def colour_number(square):
    """The number of a patch's average colour: (P, P, 3) floats from -1 to 1 -> a whole number from 0 to 511."""
    # --- solution
    average = square.mean(axis=(0, 1))  # (3,)
    levels = np.floor((average + 1) * 4)  # 0 .. 8: eight levels over a range of 2
    red, green, blue = np.clip(levels, 0, 7).astype(int)  # pure white would be level 8
    return 64 * red + 8 * green + blue
    # --- end


# %% [markdown]
# ## All at once
#
# With `patchify` of lesson 05 all patches of all images are rounded in five lines. And how much of an image is left
# when each patch is one of 512 colours? `unpatchify` puts the flat patches together: this is all that the network will
# ever be asked about.


# %%
def colour_numbers(images, P):
    """The same for every patch: (B, H, W, 3) -> (B, N)."""
    patches = patchify(Tensor(images), P).data  # (B, N, P·P·3)
    averages = patches.reshape(*patches.shape[:2], P * P, 3).mean(axis=2)  # (B, N, 3)
    levels = np.clip(np.floor((averages + 1) * 4), 0, 7).astype(int)
    return levels @ np.array([64, 8, 1])


test_images = preprocess(test_set.images)
test_colours = colour_numbers(test_images, P)  # (200, 64)

top = [colour_number(test_images[star, :P, column * P : (column + 1) * P]) for column in range(8)]
print("the star's first row of patches, one at a time:", *top)
print("                                   all at once:", *test_colours[star, :8])
print("of 512 colours, the test images have", len(np.unique(test_colours)))

flat = np.tile(draw.colours_of(test_colours), P * P)  # (200, 64, P·P·3): each pixel of a patch the same
painted = unpatchify(Tensor(flat.astype(np.float32)), P, 32, 32).data.astype(np.uint8)
chosen = [star, 1, 2, 4, 8, 9]
show(
    draw.rows({"images": test_set.images[chosen], "512 colours": painted[chosen]}),
    "Six test images, and below each the same in 8 x 8 flat squares of colour: the shapes can only just be told.",
)

# %% [markdown]
# Now the corruption. Why not simply mask all of the chosen patches? Because a network that is used later never sees a
# mask. If every question came with a mask on it, the network could learn to be awake for masks and asleep for patches.
# So, as language models do it, of the corrupted patches
#
# - **80 %** become the *mask*, a vector that is learned,
# - **10 %** receive the embedding of another patch of the same image,
# - **10 %** stay as they are.
#
# The network is not told which is which, and so no patch can be trusted or ignored.


# %% exercise="draw_corruption"
def draw_corruption(B, N, rng):
    """Which patches are corrupted, which of them are masked, and whose embedding each patch receives: three (B, N)."""
    corrupted, masked = np.zeros((B, N), bool), np.zeros((B, N), bool)
    source = np.tile(np.arange(N), (B, 1))  # each patch its own, at first
    # --- solution
    number = round(0.5 * N)  # corrupted ones
    hidden, swapped = round(0.8 * number), round(0.1 * number)
    for b in range(B):
        order = rng.permutation(N)  # the first ones are this image's corrupted patches
        corrupted[b, order[:number]] = True
        masked[b, order[:hidden]] = True
        for n in order[hidden : hidden + swapped]:
            source[b, n] = (n + rng.integers(1, N)) % N  # at least one step on, and never once around
    # --- end
    return corrupted, masked, source


# %% [markdown]
# The corruption works on *embeddings*, after the first layer and before the positions are added: the network is not
# told what a masked patch looks like, but it knows where it is. And since the mask is learned, gradients must reach it,
# and reach the patches that were copied.


# %% exercise="corrupt"
def corrupt(z, mask, masked, source):
    """What the corruption leaves: Tensors (B, N, D) and (1, 1, D), arrays (B, N) and (B, N) -> a Tensor (B, N, D)."""
    B, N, D = z.shape
    # --- solution
    received = z[np.arange(B)[:, None], source]  # (B, N, D)
    hidden = masked[:, :, None].astype(z.dtype)  # (B, N, 1): 1 where the mask goes
    return received * (1.0 - hidden) + mask * hidden
    # --- end


# %% [markdown]
# ## Your turn
#
# A ViT between `corrupt` and one linear layer makes the whole machine. For speed, we use minivit's own ViT from here on, with
# a single block, without a class token and with fixed positions.


# %%
class ColourGuesser(Module):
    """A ViT that says of each patch which of 512 colours it has."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.vit = create_model("ViT-XS_4-CIFAR", depth=1, classifier="gap", positions="sincos2d", seed=seed)
        D = self.vit.config.dim
        self.mask = parameter(init.normal((1, 1, D), 0.02, rng))
        self.guess = Linear(init.lecun_normal((D, 512), rng))

    def forward(self, images, masked, source):
        z = self.vit.embed(images)  # (B, N, D)
        z = corrupt(z, self.mask, masked, source)
        z = self.vit.encode(z)  # positions, then the blocks
        return self.guess(self.vit.encoder_norm(z))  # (B, N, 512)


# %% [markdown]
# It speaks of all patches, but only what it says about corrupted ones may count. The others are in full view: to name
# their colours is no achievement, and would drown those that are. So the loss is the mean cross-entropy over the M
# corrupted patches of the batch.


# %% exercise="masked_loss"
def masked_loss(logits, targets, corrupted):
    """The mean cross-entropy of the corrupted patches: a Tensor (B, N, K), arrays (B, N) and (B, N) -> a Tensor ()."""
    # --- solution
    return cross_entropy(logits[corrupted], targets[corrupted])  # (M, K), (M,)
    # --- end


# %% [markdown]
# All parts are there. The next cell trains for some seconds: 400 steps, each with 16 images that it takes without their
# labels. A network that knows nothing has a loss of $\ln 512 = 6.24$.

# %%
images = preprocess(shapes("train", count=4000).images)
targets = colour_numbers(images, P)


def learn(steps, hide=True, lr=1e-2, seed=0):
    """A network after so many steps, and how many colours it had right in each; `hide=False` corrupts nothing."""
    network, rng = ColourGuesser(seed), np.random.default_rng(seed)
    schedule = Schedule(lr=lr, total_steps=steps, warmup_steps=steps // 10)
    optimizer = minivit.AdamW(network.named_parameters(), lr=lr)
    right = []
    for step in range(steps):
        chosen = rng.integers(len(images), size=16)
        corrupted, masked, source = draw_corruption(16, N, rng)
        if not hide:
            masked, source = np.zeros_like(masked), np.tile(np.arange(N), (16, 1))
        logits = network(images[chosen], masked, source)  # (16, 64, 512)
        loss = masked_loss(logits, targets[chosen], corrupted)
        loss.backward()
        optimizer.lr = schedule(step)
        optimizer.step()
        optimizer.zero_grad()
        right.append((logits.data.argmax(axis=-1) == targets[chosen])[corrupted].mean())
        if (step + 1) % 200 == 0:
            print(f"step {step + 1}: loss {loss.item():.2f}, right colours {np.mean(right[-50:]):.0%}")
    return network, right


guesser, right = learn(steps=400)

# %% [markdown]
# Is that good? A percentage needs something to compare it with. Here is a rival that learns nothing: it says
# of each corrupted patch the colour of the nearest patch that is not. Both meet the same puzzles, made of test images.

# %%
corrupted, masked, source = draw_corruption(len(test_images), N, np.random.default_rng(1))
places = np.stack(np.divmod(np.arange(N), 8), axis=1)  # (N, 2): row and column
distance = np.linalg.norm(places[:, None] - places, axis=-1)  # (N, N)


def guessed_by(network):
    """The colours that a network sees in the test puzzles: (200, 64)."""
    with no_grad():
        return network(test_images, masked, source).data.argmax(axis=-1)


nearest = (distance + 99 * corrupted[:, None, :]).argmin(axis=-1)  # (200, 64): the nearest that is not corrupted
copied = np.take_along_axis(test_colours, nearest, axis=1)
guessed = guessed_by(guesser)
for name, answer in (("nearest patch", copied), ("network", guessed)):
    print(f"{name:>13}: {(answer == test_colours)[corrupted].mean():.0%} of the corrupted patches right")
shown = [draw.seen_by_the_network(test_set.images[i], masked[i], source[i], P) for i in chosen]
show(
    draw.guesses(test_set.images[chosen], shown, corrupted[chosen], test_colours[chosen], guessed[chosen], P),
    "Six images with half of their patches corrupted; the right colours of these patches; and the network's "
    "guesses, which have the right background nearly everywhere and part of the shapes.",
)

# %% [markdown]
# It has found out by itself what the rival was told: that a patch resembles those around it. It paints backgrounds, and
# the inside of large shapes; where a patch is half shape and half background it is lost. After so short a game the two are
# about as good as each other.
#
# **And what is that good for?** Time for the examiner. Take the network as it is and never change it again. Its
# representation of an image is a vector of D numbers. Find the *linear* map from these to the classes, by least
# squares, from a handful of labelled images. What a linear map can read off, the representation knows. The paper uses
# this *few-shot* accuracy wherever fine-tuning would take too long (section 4.1).
#
# With M images, $X \in \mathbb{R}^{M \times D}$ holds their representations and $Y \in \mathbb{R}^{M \times K}$ the
# targets: +1 for the right class, -1 for all others. The W that makes $\lVert XW - Y\rVert^2 + \lambda \lVert
# W\rVert^2$ smallest has a closed form, even two:
#
# $$W = (X^\top X + \lambda I_D)^{-1} X^\top Y = X^\top (X X^\top + \lambda I_M)^{-1}\, Y$$
#
# The first solves a system of D x D, the second one of M x M. They are equal; one of them is cheaper.


# %% exercise="ridge"
def ridge(X, Y, l2):
    """The W that makes |X W - Y|² + l2 |W|² smallest, by the smaller of the two systems: (M, D), (M, K) -> (D, K)."""
    M, D = X.shape
    # --- solution
    if M >= D:
        return np.linalg.solve(X.T @ X + l2 * np.eye(D), X.T @ Y)
    return X.T @ np.linalg.solve(X @ X.T + l2 * np.eye(M), Y)
    # --- end


# %% [markdown]
# Four candidates sit the exam: the plain pixels, a network that has learned nothing, your colour guesser, and the
# lessons' network that was trained with labels. Features are standardised first, and a constant stands beside them.


# %%
def accuracy(train_features, train_labels, test_features, test_labels):
    """Test accuracy of the linear classifier."""
    mean, deviation = train_features.mean(axis=0), train_features.std(axis=0) + 1e-5
    X, T = (np.pad((f - mean) / deviation, ((0, 0), (0, 1)), constant_values=100.0)
            for f in (train_features, test_features))  # fmt: skip
    Y = 2.0 * np.eye(10)[train_labels] - 1.0  # (M, K)
    return ((T @ ridge(X, Y, l2=1024.0)).argmax(axis=1) == test_labels).mean()


def representation(vit, pixels):
    """What the head of a network would see: (B, D)."""
    with no_grad():
        return vit.represent(preprocess(pixels)).data


candidates = {
    "trained with labels": lambda pixels: representation(trained_model(), pixels),
    "pixels": lambda pixels: preprocess(pixels).reshape(len(pixels), -1),
    "has learned nothing": lambda pixels: representation(ColourGuesser(seed=5).vit, pixels),
    "has guessed colours": lambda pixels: representation(guesser.vit, pixels),
}
shots = (1, 2, 5, 10, 25)
pool = shapes("train", count=400)
orders = [np.random.default_rng(draw_number).permutation(len(pool)) for draw_number in range(3)]
accuracies = {}
for name, features_of in candidates.items():
    features, test_features = features_of(pool.images), features_of(test_set.images)
    accuracies[name] = np.zeros((len(orders), len(shots)))
    for i, order in enumerate(orders):
        of_class = [order[pool.labels[order] == k] for k in range(10)]  # shuffled anew in each draw
        for j, count in enumerate(shots):
            few = np.concatenate([members[:count] for members in of_class])
            accuracies[name][i, j] = accuracy(features[few], pool.labels[few], test_features, test_set.labels)
    print(f"{name:>20}: {accuracies[name].mean(axis=0)[-1]:.1%} from 25 images of each class")

show(
    draw.few_shot_curves(shots, accuracies),
    "Test accuracy against labelled images of each class. The network trained with labels is near the top "
    "from the first image on; pixels, the untrained network and the colour guesser stay close to the tenth that a guess "
    "would get.",
)

# %% [markdown]
# There it is. The network that was trained with labels needs one image of each class to put names to what it already
# tells apart. The colour guesser, however good at colours, knows no more of shapes than a network that has learned
# nothing. Three reasons, and the first is the most important:
#
# - **It learned what it was asked.** In this data a shape may have any colour, and so colours say nothing about the class. In
#   photographs they say more; and the paper itself leaves other questions, such as contrastive ones, to later work.
# - **It saw 6,400 images.** The paper's network guesses on 4,096 images at a time, for a million steps.
# - **The exam is strict.** The paper does not probe: it fine-tunes, so that every weight may still move.
#
# Without the second and third candidate you might have written down a success. Always let something that has learned
# nothing sit the exam too.

# %% [markdown]
# ## In the paper
#
# Section 4.6 and appendix B.1.2 describe *masked patch prediction* as you built it: 50 % of the patch embeddings are
# corrupted, 80/10/10, and each corrupted patch's mean colour is predicted in 3 bits a channel. They train with Adam at
# $2 \cdot 10^{-4}$. Two other targets were tried: 4 x 4 smaller patches with 512 colours each (as good) and
# all pixels with a squared error (slightly worse). ViT-B/16 then reaches **79.9 %** on ImageNet after
# fine-tuning: 2 % more than from scratch, 4 % less than after training with labels.
#
# | paper | here | minivit |
# |---|---|---|
# | 512 colours | `colour_numbers` | `training.masked.colour_targets` |
# | corruption, 80/10/10 | `draw_corruption`, `corrupt` | the same names in [`training/masked.py`](../minivit/training/masked.py) |
# | few-shot by regularised least squares | `ridge` | [`evaluation/fewshot.py`](../minivit/evaluation/fewshot.py) |
#
# Two differences. minivit picks patches by a product with rows of zeros and a one, since a copy by position would have
# to add up its gradients one at a time. And it solves the two systems through eigenvectors, as the authors' code does;
# the result is the same.
#
# `minivit pretrain` plays the game at full length, and `minivit finetune --weights` goes on from there.

# %% [markdown]
# ## Break it and see
#
# One mistake makes this game absurdly easy: the corruption is drawn, the loss looks at the chosen patches, but nothing
# is ever *hidden*. No shape is wrong, no error is raised, and the curve is a joy to look at.

# %%
leaky, leaky_right = learn(steps=200, hide=False)
show(
    draw.leak_curves(
        {"nothing is hidden": leaky_right, "half is hidden": right},
        {
            "nothing\nwas hidden": (guessed_by(leaky) == test_colours)[corrupted & masked].mean(),
            "half\nwas hidden": (guessed == test_colours)[corrupted & masked].mean(),
        },
    ),
    "Left: without hiding the training accuracy climbs steeply, far above that of the honest game. Right: of "
    "patches that are masked, the network that never met a mask has few colours right, the honest one many.",
)

# %% [markdown]
# The leaky network found the shortest way: look at the patch, name its colour. Ask it about a patch that it
# cannot see, and it has nothing to say. When a loss falls faster than you can believe, look first whether the answer is
# among the inputs.
#
# Now change the share: let `draw_corruption` corrupt a tenth of the patches, or nine tenths, and train again. Which
# puzzles are too easy, and which can nobody solve?

# %% [markdown]
# ## Summary
#
# - Self-supervision makes questions out of the data itself: hide a part, predict it, compare.
# - Corrupt 50 %; of these 80 % masked, 10 % replaced, 10 % left alone, so that no patch can be trusted. The loss counts
#   corrupted patches alone.
# - A linear classifier in closed form, D x D or M x M, shows what a representation knows. Compare it with one that
#   knows nothing.

# %% [markdown]
# ## What comes next
#
# You waited some seconds for 400 steps; the paper's took a million. How many of these seconds were arithmetic, and how many
# were waste? [Lesson 16](16_speed.ipynb) takes out the stopwatch.
