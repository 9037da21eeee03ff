# %% [markdown]
# # 11 · Training: the loop, and how to read its curves
#
# *Comes after lessons [09](09_vit.ipynb) and [10](10_optimisers.ipynb). In the paper: section 4.1, section
# 4.3 and appendix B.1.*
#
# You will write the training loop, see it memorise its images, and prevent that. Then you will learn to
# tell from two curves what is wrong with a run, and meet a mistake that no curve shows.

# %% tags=["keep"]
import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.training import clip_by_global_norm
from minivit_lessons.pictures import curves as pictures
from minivit_lessons.pictures.curves import (
    draw_band,
    draw_over_band,
    draw_patients,
    draw_run,
    draw_variants,
    stored_runs,
)

schedule = built("schedule")

SIZES = minivit.ViTConfig(image_size=32, patch_size=8, dim=48, depth=2, heads=3, mlp_dim=96, num_classes=10)

# %% [markdown]
# ## The question
#
# You have a model that turns images into logits, a loss, gradients, and optimisers. Training is a loop around them: take a mini-batch,
# compute the loss and the gradients, let the optimiser change the parameters, and repeat. One pass through the loop is
# called a **step**. It takes about ten lines.
#
# But ten lines that run without an error may still not learn, or learn the wrong thing. The loss falls; is that good? How
# would you notice that the labels were mixed up, or that the learning rate was ten times too high? The question of this lesson is:
# *how do you see that a run is healthy?*

# %% [markdown]
# ## The picture
#
# Here is a healthy run, or rather eight: the same model trained eight times, each time from other random numbers. A random generator
# starts from an integer, the **seed**. The same seed gives the same random numbers, and so the same run. Another seed gives other initial
# weights and another order of the images.
#
# The loss or the accuracy against the step is called a **learning curve**. Each band extends from the lowest to the highest of the
# eight curves, and the line is their mean. Early on the training loss is the higher one: it is the mean of the 50 steps before, in
# which the model was still worse.

# %%
stored = stored_runs()  # trained by lessons/bands.py, with the loop that you are about to write
show(
    draw_band(stored["augmented"]),
    pictures.BAND,
)

# %% [markdown]
# This picture shows three good habits.
#
# - *Know where the loss starts.* A model that knows nothing about K classes has the loss $\ln K$, here
#   $\ln 10 = 2.303$. A new ViT, whose head is zero, starts there exactly.
# - *Measure on images that are not trained on.* They are the **validation set**, and one uses them to choose hyperparameters. A model
#   that is right on images which it did not train on **generalises**; **generalisation** is what training is for. (A third set, the test set of
#   lesson 00, is used once, for the final number.)
# - *Do not trust a single run.* A difference *within the band* may be chance.
#
# The data: 1,000 images to train on and 500 for validation. They are few on purpose. The model is small, so that a run takes
# seconds: patches of 8, D = 48, two blocks. It is `minivit`'s own ViT, and the optimiser is its AdamW. Both are what you built
# in lessons 09 and 10, only faster.

# %%
everything = shapes("train", count=1500)
order = np.random.default_rng(0).permutation(1500)  # shuffled before it is split
train, held_out = everything.subset(order[:1000]), everything.subset(order[1000:])
validation = (minivit.preprocess(held_out.images), held_out.labels)  # (500, 32, 32, 3), (500,)

# %% [markdown]
# ## One number at a time
#
# One step, on one mini-batch. The difficulty is the order of its parts:
#
# 1. forget the gradients of the step before (lesson 02: gradients add up);
# 2. forward pass: images → logits → loss;
# 3. backward pass: now every parameter has a `.grad`;
# 4. clip: if the common norm of all gradients is above 1, scale them down to it (lesson 10);
# 5. update: the optimiser changes the parameters.


# %% exercise="training_step"
def training_step(model, optimizer, images, labels):
    """Change the model's parameters by one step; returns the loss of the mini-batch, a number."""
    # --- solution
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([parameter.grad for parameter in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return loss.item()
    # --- end


# %% [markdown]
# Before any real run, do a test that takes a second: train on *one* mini-batch, over and over. If the loop is right, the loss
# goes from 2.303 to nearly 0, since a model can memorise 20 images. If it does not, nothing else will work either.

# %%
model = minivit.ViT(SIZES, seed=0)
optimizer = minivit.AdamW(model.named_parameters(), lr=3e-3)
few = minivit.preprocess(train.images[:20]), train.labels[:20]
losses = [training_step(model, optimizer, *few) for _ in range(40)]
print("one batch, every tenth step:", *[f"{loss:.3f}" for loss in losses[::10]], f"... {losses[-1]:.4f}")

# %% [markdown]
# ## All at once
#
# A run takes one mini-batch after the other until each training image was used once. This is called an **epoch**. Then it begins again,
# in a new order. Without the new order, the same images would always be in the same mini-batch.


# %% exercise="epoch_batches"
def epoch_batches(count, batch_size, rng):
    """The mini-batches of one epoch: a list of arrays of indices, which together hold 0 .. count - 1 once."""
    # --- solution
    order = rng.permutation(count)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]
    # --- end


# %% [markdown]
# The second thing to watch is measured on the validation set. Nothing is trained here, so no tape is
# needed: inside `with minivit.no_grad():` none is recorded. The images pass through the model in batches, since all at once may not fit
# into memory.


# %% exercise="measure"
def measure(model, images, labels, batch_size=100):
    """The mean loss and the accuracy over all images: two numbers."""
    loss, right = 0.0, 0
    # --- solution
    with minivit.no_grad():
        for start in range(0, len(images), batch_size):
            batch, targets = images[start : start + batch_size], labels[start : start + batch_size]
            logits = model(batch)  # (batch, K)
            loss += minivit.cross_entropy(logits, targets).item() * len(batch)
            right += int((logits.data.argmax(axis=1) == targets).sum())
    return loss / len(images), right / len(images)
    # --- end


# %% [markdown]
# Now the loop is short. The learning rate of each step comes from your `schedule`. Every 50 steps the loop records the mean training
# loss since the last record, and measures on the validation set.


# %% tags=["keep"]
def fit(model, images, labels, validation, steps=600, lr=3e-3, augment=None, seed=0):
    """Train on pixels (uint8) and labels; returns the records, a list for each name."""
    optimizer = minivit.AdamW(model.named_parameters(), lr=lr, weight_decay=0.05)
    rng = np.random.default_rng(seed)  # of the order and the augmentation
    noted = {"step": [], "loss": [], "validation_loss": [], "validation_accuracy": []}
    batches, losses = [], []
    for step in range(1, steps + 1):
        if not batches:
            batches = list(epoch_batches(len(images), 64, rng))
        chosen = batches.pop()
        pixels = images[chosen] if augment is None else augment(images[chosen], rng)
        optimizer.lr = schedule(step - 1, steps, steps // 20, lr)  # yours: warmup, then half a cosine
        losses.append(training_step(model, optimizer, minivit.preprocess(pixels), labels[chosen]))
        if step % 50 == 0:
            loss, accuracy = measure(model, *validation)
            values = (step, float(np.mean(losses)), float(loss), float(accuracy))
            for name, value in zip(noted, values, strict=True):
                noted[name].append(value)
            losses = []
    return noted


# %% [markdown]
# The first run. Guess before you run the cell: the training loss will come close to 0. What will the validation loss do?

# %%
plain = fit(minivit.ViT(SIZES, seed=0), train.images, train.labels, validation)
show(draw_run(plain), pictures.PLAIN)
print(f"validation accuracy {plain['validation_accuracy'][-1]:.1%}, training loss {plain['loss'][-1]:.3f}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# It falls at first and then rises for good, from the grey line on. This is **overfitting**: the model learns what is true of the
# training images alone. In 600 steps it sees each image 37 times, and in the end it has memorised them. On other images it becomes
# more and more certain of wrong predictions. The accuracy hides this: it still rises, from about 50 to 60 %. Only the two losses show it.
#
# </details>
#
# Ending the run where the validation loss is smallest is called **early stopping**. Methods that change training so that a model
# generalises better, even if it fits the training images less well, are called **regularisation**. You know one, weight decay.
# Here is a stronger one.
#
# ## Your turn
#
# More images would help, but there are none. So make some: change each image at random whenever it is drawn, in ways that
# keep its label true. A star a little to the left is a star, and so is its mirror image. This is **data augmentation**.
#
# Shift each image by up to `shift` pixels vertically and horizontally, and mirror every second one, on average. Shifting leaves a strip
# that no pixel of the image covers. Fill it by repeating the pixels of the edge: `np.pad(..., mode="edge")`.


# %% exercise="shift_and_flip"
def shift_and_flip(images, shift, rng):
    """Each image shifted and perhaps mirrored, by separate random numbers: uint8 (B, H, W, C), like the input."""
    B, H, W, C = images.shape
    # --- solution
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    top, left = rng.integers(0, 2 * shift + 1, (2, B))  # (B,) each
    mirrored = rng.random(B) < 0.5
    result = np.empty_like(images)
    for i in range(B):
        result[i] = padded[i, top[i] : top[i] + H, left[i] : left[i] + W]
        if mirrored[i]:
            result[i] = result[i][:, ::-1]
    return result
    # --- end


# %% tags=["keep"]
def augment(images, rng):
    return shift_and_flip(images, 2, rng)


def black_border(images, rng):
    """The same shifts and mirrors with a black border: for "Break it and see"."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))  # zeros
    return shift_and_flip(padded, 2, rng)[:, 2:-2, 2:-2]


# %%
one = train.images[3]
eight = np.stack([one] * 8)
rng = np.random.default_rng(1)
show(
    draw_variants(one, {"edge": augment(eight, rng), "black": black_border(eight, rng)}),
    pictures.VARIANTS,
)

# %%
augmented = fit(minivit.ViT(SIZES, seed=0), train.images, train.labels, validation, augment=augment)
show(
    draw_over_band(stored["augmented"], {"yours, augmented": augmented, "yours, plain": plain}),
    pictures.AUGMENTED,
)
more = [run["validation_accuracy"][-1] for run in stored["four times the images"]]
print(f"plain, but with 4,000 images instead of 1,000: {min(more):.0%} to {max(more):.0%}, {len(more)} seeds")

# %% [markdown]
# Your run with augmentation should be within the band or close to it (your seed differs, and your processor may round
# differently). It ends above the plain run, and about where plain runs end that have four times as many images.
#
# Augmentation has a price. It makes the task harder, and in the first 250 steps the plain runs are a little ahead
# on average. By then they have used each image 15 or 16 times. If a run uses each image only a few times, augmentation
# gains nothing.
#
# ### What is wrong here?
#
# Here are six runs. In each, one thing is wrong and nothing else. (To make it visible, all are trained without augmentation.)
# The blue line is the training loss, the dashed orange line the validation loss. The grey band behind them is the validation loss
# of eight runs with nothing wrong. The dotted line is ln 10. Above 3 the scale is logarithmic. The title of each panel gives the
# validation accuracy at the end.

# %%
patients = stored["patients"]
show(
    draw_patients(stored["plain"], patients),
    pictures.PATIENTS,
)

# %% exercise="diagnosis"
# --- solution -> diagnosis = ...  # {"A": "learning rate too high", "B": ..., and so on to "F"}
diagnosis = {
    "A": "labels shuffled",
    "B": "learning rate too low",
    "C": "validation leaked",
    "D": "images all alike",
    "E": "too few images",
    "F": "learning rate too high",
}
# --- end

# %% [markdown]
# ### A harder task: dropout
#
# Another regularisation, without hints. **Dropout** sets each activation to 0 with probability p during training, at random and anew in
# each step, so that no activation can rely on particular others. To keep the expected value of every activation, those that remain are divided by
# 1 - p. Write it for arrays. When the model is measured, nothing is dropped.


# %% exercise="dropout"
def dropout(x, p, rng):
    """Each number of x set to 0 with probability p, the others scaled so that the mean stays: an array like x."""
    # --- solution
    kept = rng.random(x.shape) >= p
    return np.where(kept, x / (1 - p), 0).astype(x.dtype)
    # --- end


# %%
activations = np.ones((4, 8), np.float32)
for p in (0.1, 0.5):
    dropped = dropout(activations, p, np.random.default_rng(0))
    print(f"p = {p}: {(dropped == 0).mean():.0%} are 0, the others {dropped.max():.2f}")
many = dropout(np.ones((1000, 1000)), 0.1, np.random.default_rng(0))
print(f"the mean of a million ones after dropout with p = 0.1: {many.mean():.3f}")

# %% [markdown]
# ## In the paper
#
# The loop itself is not in the paper; the choices around it are.
#
# | paper | here |
# |---|---|
# | Table 3: Adam, mini-batches of 4096, 10,000 steps of warmup, cosine or linear decay; for ImageNet clipping at 1 | AdamW, mini-batches of 64, 30 steps of warmup, cosine, clipping at 1 |
# | Appendix B.1.1: a part of the training images is held out (1 % of ImageNet, 2 % of CIFAR, 10 % of Pets and Flowers) | 500 of 1,500 |
# | Table 2: mean and standard deviation of three runs | the band of eight seeds |
# | Section 4.3: trained on smaller data sets, ViT overfits more than a ResNet of the same cost. On these sets the paper tunes three kinds of regularisation: weight decay, dropout and label smoothing | 1,000 images, augmentation |
#
# `minivit`'s own loop, [`training/loop.py`](../minivit/training/loop.py), is this one with what long runs need: threads,
# checkpoints, resuming, logs. The shifts of `minivit` for CIFAR leave a black border, as is usual for
# this data set. The next section tests such a border.

# %% [markdown]
# ## Break it and see
#
# The lower row of the picture of variants has black strips beside the shifted image, where yours repeats the edge. Many
# programs do that. It raises no error, and labels stay true. Is it as good? Say what you expect before you run the cell.

# %%
black = fit(minivit.ViT(SIZES, seed=0), train.images, train.labels, validation, augment=black_border)
for name, run in {"plain": plain, "edge repeated": augmented, "black border": black}.items():
    last = {key: values[-1] for key, values in run.items()}
    print(f"{name:14s} training loss {last['loss']:.2f}, validation {last['validation_loss']:.2f}", end=", ")
    print(f"accuracy {last['validation_accuracy']:.0%}")

# %% [markdown]
# <details><summary>What the black border does</summary>
#
# It costs as much as the shifts gain: plain runs end at 55 to 63 %. Look at the losses: training and validation are close to each other, and
# both fall. There is no overfitting and no other sign: these are the curves of a run that is merely slow. But a black strip is the
# strongest edge in the image, these shapes are recognised by their edges, and no validation image has such a strip. Only the comparison with
# another run shows the problem, and only a look at the augmented images explains it. *Look at your data as the model sees it.*
#
# </details>
#
# Now break it yourself, in `fit(..., augment=...)`: `lr=1e-2`, or a shift of 6 pixels, or no mirroring. Before you run it, predict what the
# two losses will do.
#
# <details><summary>Answers</summary>
#
# Your run with `augment` ends with both losses near 0.75 and an accuracy near 69 %. We found in one run each:
#
# - `lr=1e-2`: both losses fall more slowly, and end at 0.80 and 0.86; accuracy 68 %. The learning rate is too high for most of the run, and the
#   schedule repairs much of it at the end.
# - A shift of 6: both fall more slowly, and the training loss ends *above* the validation loss, 0.91 against 0.84. The training images are
#   now harder than the validation images, which are not shifted.
# - No mirroring: the training loss falls further, to 0.62, and the validation loss stays behind, at 0.77. There are fewer variants, so
#   overfitting begins again.
#
# In accuracy (66 to 69 %) the three do not differ by more than the band. The losses tell more.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# ```python
# loader = torch.utils.data.DataLoader(dataset, batch_size=64, shuffle=True)
# model.train()
# for images, labels in loader:  # one epoch
#     optimizer.zero_grad()
#     loss = torch.nn.functional.cross_entropy(model(images), labels)
#     loss.backward()
#     torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
#     optimizer.step()
#     scheduler.step()
# model.eval()
# with torch.no_grad():
#     accuracy = (model(images).argmax(dim=-1) == labels).float().mean()
# ```
#
# What differs:
#
# - A model has two modes. `model.train()` switches dropout on, `model.eval()` switches it off. To forget `eval()` when measuring is a common mistake.
# - `DataLoader` makes mini-batches and shuffles, but only with `shuffle=True`. Labels must be `int64`.
# - AdamW decays every parameter of its group. To decay weights alone, as `minivit` does, one passes two groups.
# - `torchvision.transforms.v2.RandomCrop(32, padding=2, padding_mode="edge")` and `RandomHorizontalFlip()` are your
#   augmentation. By default the padding is black.
#
# The cell trains the same small classifier, one linear layer on the pixels, with both loops, and compares its weights after five steps.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    start = np.random.default_rng(0).standard_normal((3072, 10)).astype(np.float32) / 55
    ours = minivit.nn.Linear(start.copy())
    theirs = torch.nn.Linear(3072, 10)
    with torch.no_grad():
        theirs.weight.copy_(torch.from_numpy(start.T))
        theirs.bias.zero_()
    optimizer = minivit.AdamW(ours.named_parameters(), lr=1e-3, weight_decay=0.05)
    groups = [{"params": [theirs.weight], "weight_decay": 0.05}, {"params": [theirs.bias], "weight_decay": 0.0}]
    torch_optimizer = torch.optim.AdamW(groups, lr=1e-3)

    for chosen in epoch_batches(320, 64, np.random.default_rng(0)):
        x = minivit.preprocess(train.images[chosen]).reshape(64, 3072)
        our_loss = training_step(ours, optimizer, x, train.labels[chosen])
        torch_optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            theirs(torch.from_numpy(x)), torch.from_numpy(train.labels[chosen]).long()
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        torch_optimizer.step()
    agree("the loss of the fifth step", our_loss, loss, tolerance=1e-5)
    agree("the weights after five steps", ours.weight, theirs.weight.T, tolerance=1e-4)

# %% [markdown]
# ## What came before and after
#
# - [Hinton et al., 2012](https://arxiv.org/abs/1207.0580) introduced dropout: leaving out half of the activations at random reduces overfitting.
# - [Zhang et al., 2016](https://arxiv.org/abs/1611.03530) trained networks on random labels, which they memorise completely: a low training loss alone says
#   nothing about generalisation.
# - [Zhang et al., 2017](https://arxiv.org/abs/1710.09412) proposed mixup, which trains on weighted means of two images and of their labels.
# - [Nakkiran et al., 2019](https://arxiv.org/abs/1912.02292) showed double descent: with growing models, and with longer training, the test error can rise
#   and then fall a second time. A rising validation loss is not always the end.
# - [Steiner et al., 2021](https://arxiv.org/abs/2106.10270) (How to train your ViT?) measured what augmentation and regularisation are worth for ViT: with more
#   computation, as much as ten times the data.

# %% [markdown]
# ## Summary
#
# - A step: forget, forward, backward, clip, update. First test: the model must memorise one mini-batch, from ln K to 0.
# - Watch two losses. Both high: the learning rate or the data. Training falls and validation rises: overfitting.
# - Data augmentation makes new images from images. It must keep the labels true; look at its images.
# - Compare with the band of several seeds, and change one thing at a time.

# %% [markdown]
# ## What comes next
#
# The model classifies well. What has it learned, and what does it attend to? [Lesson 12](12_inside.ipynb) looks inside.
