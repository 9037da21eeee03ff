# %% [markdown]
# # 15 · Learning without labels
#
# *Comes after lessons [03](03_products.ipynb), [05](05_patches.ipynb), [09](09_vit.ipynb) and
# [10](10_optimisers.ipynb). In the paper: sections 4.1 and 4.6, appendix B.1.2.*
#
# You will hide half of an image from a network and train the network to predict what is missing. This needs no labels.
# Then you build a linear classifier in closed form and measure with it what the network has learned about classes. The
# result is not a success, and the lesson explains why.

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
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.puzzles import show_attempt

patchify, unpatchify = built("patchify", "unpatchify")

# %% [markdown]
# ## The question
#
# So far a person had to label every training image. This is called *supervised* learning. Images are plentiful, but
# labels are expensive: the largest data set of the paper, JFT, has 303 million labelled images, and few people own such a
# data set.
#
# Language models are trained without labels. We hide a word of a sentence and let the model predict it: the text itself
# contains the right answer. A Vision Transformer reads an image as a sequence of patches, so section 4.6 of the paper asks
# two questions. Can we hide *patches* in the same way? And does a network that predicts hidden patches learn something
# that helps to tell classes apart?

# %% [markdown]
# ## The picture
#
# **Self-supervised learning** means that the targets of the training come from the data themselves and not from people.
# The task that we invent for this purpose, here the prediction of hidden patches, is called the **pretext task**: we do
# not need its answers, we need what the network learns from it.
#
# The picture shows our pretext task, drawn with minivit's own functions; you will write yours. On the left is an image. In
# the middle is the input of the network, in which half of the patches are *corrupted*: most of them are masked (**?**), a few
# are replaced by another patch of the same image (**R**), and a few stay the same (**S**). On the right are the targets:
# the average colour of each corrupted patch.

# %%
P, N = 4, 64  # side of a patch, patches of an image
test_set = shapes("test", count=200)
star = list(test_set.labels).index(test_set.classes.index("star"))


def draw_task(seed):
    """The pretext task for the star; each seed corrupts other patches."""
    drawn = ours.draw_corruption(1, N, np.random.default_rng(seed))
    numbers = ours.colour_targets(preprocess(test_set.images[star : star + 1]), P, "mean")[0, :, 0]
    return draw.pretext_task(test_set.images[star], drawn.corrupted[0], drawn.masked[0], drawn.source[0], numbers, P)


explore(
    draw_task,
    "A star on a grid of 8 x 8 patches; the same with 26 chequered patches, 3 replaced and 3 unchanged ones "
    "marked; and the average colours of these 32 patches.",
    seed=[0, 1, 2, 3],
)

# %% [markdown]
# ## One number at a time
#
# What exactly must the network predict? A colour consists of three real numbers. A *class* is simpler, because then we can
# use the cross-entropy of lesson 03. So the paper rounds: it keeps three bits of each channel of the average colour, which
# are 8 levels. Three channels with 8 levels each give $8^3 = 512$ colours. The number of a colour has the levels of red,
# green and blue as its digits, in base 8:
#
# $$\text{number} = 64 \cdot \text{red} + 8 \cdot \text{green} + \text{blue}, \qquad \text{each from 0 to 7}$$
#
# Our pixel values are between -1 and 1. Level 0 is the lowest eighth of this range, from -1 to -0.75; level 7 is the
# highest eighth.


# %% exercise="colour_number"
def colour_number(square):
    """The number of a patch's average colour: (P, P, 3) floats from -1 to 1 -> an integer from 0 to 511."""
    # --- solution
    average = square.mean(axis=(0, 1))  # (3,)
    levels = np.floor((average + 1) * 4)  # 0 .. 8: eight levels over a range of 2
    red, green, blue = np.clip(levels, 0, 7).astype(int)  # pure white would be level 8
    return 64 * red + 8 * green + blue
    # --- end


# %% [markdown]
# ## All at once
#
# With `patchify` of lesson 05, four lines compute the numbers of all patches of all images. How much of an image is left
# when each patch is replaced by one of 512 colours? `unpatchify` puts the flat patches together again, so that we can see
# all the information that the targets contain.


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
    "Six test images, and below each the same in 8 x 8 flat squares of colour: the shapes can just be recognised.",
)

# %% [markdown]
# Now we corrupt the patches. The simplest way is **masking**: a chosen patch is replaced by the *mask token*, a learned
# vector that is the same for all masked patches. Why not mask all chosen patches? Because the network will later be used on
# images without masks. If all predictions were made at mask tokens, the network could learn to do nothing at the other
# tokens. So we follow the language model BERT. Of the corrupted patches
#
# - **80 %** are replaced by the mask token,
# - **10 %** are replaced by the embedding of another patch of the same image,
# - **10 %** stay the same.
#
# The network is not told which of the unmasked patches are correct. So it must compare every patch with its neighbours.


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
# We corrupt the *embeddings*, that is, after the patch embedding and before the position embeddings are added. So the
# network knows where a masked patch is, but not what it looks like. The mask token is a parameter, and the patch embedding
# has parameters too. Therefore the gradient must reach the mask, and also the patches that were copied.


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
# The whole model consists of a ViT, `corrupt` between its patch embedding and its blocks, and one linear layer on every
# token. For speed we use minivit's own ViT from here on, with a single block, without a class token and with fixed position
# embeddings.


# %%
class ColourGuesser(Module):
    """A ViT with logits for each patch: which of 512 colours it has."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.vit = create_model("ViT-XS_4-CIFAR", depth=1, classifier="gap", positions="sincos2d", seed=seed)
        D = self.vit.config.dim
        self.mask = parameter(init.normal((1, 1, D), 0.02, rng))
        self.guess = Linear(init.lecun_normal((D, 512), rng))

    def forward(self, images, masked, source):
        z = self.vit.embed(images)  # (B, N, D)
        z = corrupt(z, self.mask, masked, source)
        z = self.vit.encode(z)  # adds the positions, then the blocks
        return self.guess(self.vit.encoder_norm(z))  # (B, N, 512)


# %% [markdown]
# The model returns logits for all patches, but the loss must count the corrupted patches alone. The network sees all other
# patches, so their colours are easy to predict: they would make the loss small without teaching the network anything. So
# the loss is the mean cross-entropy of the M corrupted patches of the mini-batch.


# %% exercise="masked_loss"
def masked_loss(logits, targets, corrupted):
    """The mean cross-entropy of the corrupted patches: a Tensor (B, N, K), arrays (B, N) and (B, N) -> a Tensor ()."""
    # --- solution
    return cross_entropy(logits[corrupted], targets[corrupted])  # (M, K), (M,)
    # --- end


# %% [markdown]
# Now the next cell trains for some seconds: 400 steps with 16 images each, without their labels. A network that gives
# all 512 colours the same probability has a loss of $\ln 512 = 6.24$.

# %%
images = preprocess(shapes("train", count=4000).images)
targets = colour_numbers(images, P)


def learn(steps, hide=True, lr=1e-2, seed=0):
    """Train; return the network and its accuracy at each step. With `hide=False` nothing is corrupted."""
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
            print(f"step {step + 1}: loss {loss.item():.2f}, accuracy {np.mean(right[-50:]):.0%}")
    return network, right


guesser, right = learn(steps=400)

# %% [markdown]
# Is that accuracy high? To judge it, we need a *baseline*: a method that learns nothing. Ours predicts, for each corrupted
# patch, the colour of the nearest patch that is not corrupted. We give both the same corrupted test images.

# %%
corrupted, masked, source = draw_corruption(len(test_images), N, np.random.default_rng(1))
places = np.stack(np.divmod(np.arange(N), 8), axis=1)  # (N, 2): row and column
distance = np.linalg.norm(places[:, None] - places, axis=-1)  # (N, N)


def guessed_by(network):
    """The colours that a network predicts for the corrupted test images: (200, 64)."""
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
    "predictions, which have the right background nearly everywhere and part of the shapes.",
)

# %% [markdown]
# The network has learned what we wrote into the baseline: a patch resembles its neighbours. It predicts backgrounds and the
# inside of large shapes well, and it fails where a patch is half shape and half background. After so few steps it is about as
# good as the baseline.
#
# **Has it learned anything about classes?** We measure this with a **linear probe**: we freeze the network, compute its
# representation of each image, a vector of D numbers, and train a *linear* classifier on these vectors. If a linear map can
# find the class in a representation, the representation contains the class in a simple form. If we have only a few labelled
# images of each class, the result is called **few-shot accuracy**. The paper uses it where fine-tuning would take too long
# (section 4.1).
#
# The linear classifier needs no training steps. For M images, $X \in \mathbb{R}^{M \times D}$ holds their representations
# and $Y \in \mathbb{R}^{M \times K}$ the targets: +1 for the right class, -1 for all others. **Ridge regression** looks for
# the W that makes $\lVert XW - Y\rVert^2 + \lambda \lVert W\rVert^2$ smallest: least squares with a penalty λ on large weights. To
# find it, set the derivative with respect to W to zero: $X^\top(XW - Y) + \lambda W = 0$. This gives the first of two closed
# forms:
#
# $$W = (X^\top X + \lambda I_D)^{-1} X^\top Y = X^\top (X X^\top + \lambda I_M)^{-1}\, Y$$
#
# The second follows from $X^\top (X X^\top + \lambda I_M) = (X^\top X + \lambda I_D)\, X^\top$. The first form solves a D x D
# system, the second an M x M system. Both give the same W, but one of them is cheaper.


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
# We compare four representations: the pixels themselves, a network with random weights, the network that you trained on
# colours, and the lessons' network that was trained with labels. All features are standardised, and a constant feature is
# added for the bias. Its value is 100, so that the penalty hardly holds the bias back; this value and λ = 1024 are those of
# the authors' code.
#
# Guess before you run the next cell: in which order do the four come, with 25 labelled images of each class? How far is the
# third from the second?


# %%
def accuracy(train_features, train_labels, test_features, test_labels):
    """Test accuracy of the linear classifier."""
    mean, spread = train_features.mean(axis=0), train_features.std(axis=0) + 1e-5
    X, T = (np.pad((f - mean) / spread, ((0, 0), (0, 1)), constant_values=100.0)
            for f in (train_features, test_features))  # fmt: skip
    Y = 2.0 * np.eye(10)[train_labels] - 1.0  # (M, K)
    return ((T @ ridge(X, Y, l2=1024.0)).argmax(axis=1) == test_labels).mean()


def representation(vit, pixels):
    """The vectors that the head of a network reads: (B, D)."""
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

show(draw.few_shot_curves(shots, accuracies), draw.FEW_SHOT_TEXT)

# %% [markdown]
# <details><summary>What the curves say</summary>
#
# The network that was trained with labels needs one image of each class, because its representation already separates the
# classes. The other three are near chance, which is 10 %: the network that predicts colours has learned no more
# about classes than a network with random weights. There are three reasons, and the first is the most important.
#
# - **The pretext task does not need the class.** In this data set a shape may have any colour, so colours say nothing about
#   the class. In photographs they say more. The paper itself leaves other pretext tasks to future work, such as
#   contrastive ones, which compare two views of an image.
# - **It saw 6,400 images.** The paper's network sees 4,096 images in each step, and takes a million steps.
# - **A linear probe is strict.** The paper does not use one here: it fine-tunes, so that all weights can still change.
#
# Always measure a model that has learned nothing, too: it shows how much an accuracy means. Here the pixels reach about 19 %
# without any learning, so 19 % would be no success, although it is nearly twice chance.
#
# </details>

# %% [markdown]
# **A stretch task.** `corrupt` picks embeddings by position. minivit picks them by a matrix product: a GPU computes it
# fast, and its gradient is again a product. Can you do the same? The cell after the check draws what your code does to a
# labelled array.


# %% exercise="copy_by_product"
def copy_by_product(z, source, N):
    """z[source] without an index, in one line: arrays (N, D) and (N,) -> (N, D)."""
    # --- solution
    return (source.reshape(N, 1) == np.arange(N)) @ z  # (N, N) of ones and zeros, times (N, D)
    # --- end


# %%
z = np.array([[0, 1, 2], [10, 11, 12], [20, 21, 22], [30, 31, 32]])
show_attempt("copy_by_product", Cells("z", z), z, np.array([0, 3, 2, 2]), 4, right=z[[0, 3, 2, 2]])

# %% [markdown]
# ## In the paper
#
# Section 4.6 and appendix B.1.2 describe *masked patch prediction* as you built it: 50 % of the patch embeddings are
# corrupted, with the shares 80, 10 and 10 %, and the network predicts the average colour of each corrupted patch with 3 bits
# a channel. The paper trains with Adam and a learning rate of $2 \cdot 10^{-4}$. It also tried two other targets: a 4 x 4
# version of each patch with 512 colours for each of its pixels (equally good), and all pixels with a squared error (slightly
# worse). After fine-tuning, ViT-B/16 reaches **79.9 %** on ImageNet: 2 % more than without pre-training, and 4 % less than
# after pre-training with labels.
#
# | paper | here | minivit |
# |---|---|---|
# | 512 colours | `colour_numbers` | `training.masked.colour_targets` |
# | corruption, 80/10/10 | `draw_corruption`, `corrupt` | the same names in [`training/masked.py`](../minivit/training/masked.py) |
# | few-shot accuracy, regularised least squares | `ridge` | [`evaluation/fewshot.py`](../minivit/evaluation/fewshot.py) |
#
# There are two differences. minivit copies patches by a product with a matrix of zeros and ones, because the gradient of a
# copy by position must be added up one element at a time. And it solves the two systems with eigenvectors, as the authors'
# code does; the result is the same.
#
# `minivit pretrain` trains for as long as you like, and `minivit finetune --weights` continues from its weights.

# %% [markdown]
# ## Break it and see
#
# One mistake makes the pretext task far too easy: we draw the corruption, and the loss counts the chosen patches, but
# nothing is ever *hidden*. All shapes are right, no error is raised, and the accuracy rises quickly.

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
    "Left: if nothing is hidden, the training accuracy rises steeply, far above that of the right run. Right: for "
    "masked patches the network that has never seen a mask predicts few colours right, the other network far more.",
)

# %% [markdown]
# This network learned the shortest way: look at the patch and name its colour. This is called *leakage*: the answer is among
# the inputs. For a patch that it cannot see, the network has no answer. If a loss falls faster than you can believe, first
# check whether the answer is among the inputs.
#
# Now change the share of corrupted patches. Copy your `draw_corruption` into a new cell, let it corrupt a tenth of the
# patches, or nine tenths, and run `learn(steps=400)` below it. Which pretext task is too easy, and which is too hard to learn from?
#
# <details><summary>Answer</summary>
#
# With a tenth, nearly every hidden patch has visible neighbours: the baseline alone has 44 % right. But only 6 of the 64
# patches count in the loss, so the network learns more slowly: 33 % after 400 steps instead of 39 %. And if we then hide nine
# tenths of an image, it has only 18 % right.
#
# With nine tenths, the visible patches show the background and little more. The baseline falls to 33 %, and the network
# reaches the same 33 %: it has learned to predict the background. In between, there are many targets and enough visible
# patches to predict them from. Which share is best depends on the data: masked autoencoders (below) hide 75 % of the patches
# of photographs.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# PyTorch has no function for masked patch prediction, but every part of it is a line:
#
# ```python
# import torch
# import torch.nn.functional as F
#
# m = masked[:, :, None]                                              # (B, N, 1)
# received = z.gather(1, source[:, :, None].expand(-1, -1, D))        # z[b, source[b, n]]
# z = torch.where(m, mask, received)                                  # corrupt
# loss = F.cross_entropy(logits[corrupted], targets[corrupted])       # masked_loss
# W = torch.linalg.solve(X.T @ X + l2 * torch.eye(D), X.T @ Y)        # ridge, if M >= D
# ```
#
# | what differs | here | PyTorch |
# |---|---|---|
# | class axis of the logits | always the last | the second: (B, K, N); or pick first, as above |
# | patches that must not count | picked out by `corrupted` | the same, or a target of -100: `ignore_index=-100` is the default |
# | choosing between two values | arithmetic with ones and zeros | `torch.where`, with gradients to both |

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    rng = np.random.default_rng(0)
    few = np.arange(2)  # two images of the test set
    logits = rng.standard_normal((2, N, 512))
    answers = torch.tensor(test_colours[few])
    mine = masked_loss(Tensor(logits), test_colours[few], corrupted[few])
    theirs = torch.nn.functional.cross_entropy(torch.tensor(logits)[torch.tensor(corrupted[few])],
                                               answers[torch.tensor(corrupted[few])])  # fmt: skip
    agree("masked_loss", mine, theirs)
    ignored = answers.masked_fill(~torch.tensor(corrupted[few]), -100)
    theirs = torch.nn.functional.cross_entropy(torch.tensor(logits).transpose(1, 2), ignored)
    agree("masked_loss with ignore_index", mine, theirs)

    z, mask = rng.standard_normal((2, N, 8)), rng.standard_normal((1, 1, 8))
    index = torch.tensor(source[few])[:, :, None].expand(-1, -1, 8)
    theirs = torch.where(torch.tensor(masked[few])[:, :, None], torch.tensor(mask), torch.tensor(z).gather(1, index))
    agree("corrupt", corrupt(Tensor(z), Tensor(mask), masked[few], source[few]), theirs)

    X, Y = torch.tensor(rng.standard_normal((40, 7))), torch.tensor(rng.standard_normal((40, 10)))
    theirs = torch.linalg.solve(X.T @ X + 2.0 * torch.eye(7, dtype=X.dtype), X.T @ Y)
    agree("ridge", ridge(X.numpy(), Y.numpy(), 2.0), theirs, tolerance=1e-10)

# %% [markdown]
# ## What came before and after
#
# - Denoising autoencoders ([Vincent et al., 2008](https://doi.org/10.1145/1390156.1390294)) learn representations that are
#   robust to partial corruption of the input. They can be stacked to initialise deep networks.
# - BERT ([Devlin et al., 2018](https://arxiv.org/abs/1810.04805)) hides words and predicts them from the text on both sides.
#   The shares of 80, 10 and 10 % come from there.
# - Image GPT ([Chen et al., 2020](https://proceedings.mlr.press/v119/chen20s.html)) predicts one pixel after the other with a
#   Transformer, and measures its representations by linear probes, as we did.
# - Masked autoencoders ([He et al., 2021](https://arxiv.org/abs/2111.06377)) hide 75 % of the patches and predict their pixels.
#   The encoder processes only the visible patches, which makes training three times as fast or faster. A ViT-H reaches 87.8 % on
#   ImageNet, with ImageNet-1k data alone.
# - DINO ([Caron et al., 2021](https://arxiv.org/abs/2104.14294)) uses another pretext task: a network learns to agree with a
#   running average of itself on different views of an image (self-distillation). Its features show where the objects of an
#   image are.
# - DINOv2 ([Oquab et al., 2023](https://arxiv.org/abs/2304.07193)) trains a ViT with 1 billion parameters on a large curated
#   data set. Its features serve many tasks without fine-tuning.

# %% [markdown]
# ## Summary
#
# - Self-supervised learning takes its targets from the data: hide a part, predict it, compare.
# - Masked patch prediction corrupts 50 % of the patches: 80 % of these are masked, 10 % replaced and 10 % left unchanged. The
#   loss counts the corrupted patches alone.
# - A linear probe by ridge regression, with a D x D or an M x M system, shows what a representation contains. Compare it with
#   a representation that has learned nothing.

# %% [markdown]
# ## What comes next
#
# Our 400 steps took some seconds; the paper's run took a million steps. How much of this time is arithmetic, and how much is
# lost? [Lesson 16](16_speed.ipynb) measures it.
