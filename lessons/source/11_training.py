# %% [markdown]
# # 11 · Training: the loop, and how to read its curves
#
# *About 45 minutes. Comes after lessons [09](09_vit.ipynb) and [10](10_optimisers.ipynb). In the paper: section 4.1, section
# 4.3 and appendix B.1.*
#
# You will write the training loop, watch it learn its images by heart, and stop it from doing so. Then you will learn to
# tell from two curves what is wrong with a run, and meet a mistake that no curve shows.

# %% tags=["keep"]
import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.training import clip_by_global_norm
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
# You have a model that turns images into logits, a loss, gradients, and optimisers. Training is nothing but a loop around
# them: take some images, compute the loss, go a step downhill, again. Ten lines.
#
# But ten lines that run without an error may still not learn, or learn the wrong thing. The loss falls; is that good? How
# would you know that the labels had been mixed up, or the rate was ten times too high? The question of this lesson is:
# *how do you see that a training is healthy?*

# %% [markdown]
# ## The picture
#
# Here is a healthy one, or rather eight: the same model trained eight times, from different random numbers. The band runs
# from the lowest to the highest of them, the line is their mean.

# %%
stored = stored_runs()  # trained by lessons/bands.py, with the loop that you are about to write
show(
    draw_band(stored["augmented"]),
    "Left training and validation loss, falling from ln 10 along narrow bands; right the validation accuracy, rising.",
)

# %% [markdown]
# Three habits are in this picture. A loss has a *starting point*: a model that knows nothing about K classes has $\ln K$,
# here $\ln 10 = 2.303$, and a new ViT, whose head is zero, begins just there. A training needs *images that it never trains
# on*: the validation set. (By it one chooses. A third set, the test images, is for the one number at the very end.) And one run
# is no run: what lies *within the band* may be chance.
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
# One step, on one batch. The order of its parts is the whole difficulty:
#
# 1. forget the gradients of the step before (lesson 02: gradients add up);
# 2. images → logits → loss;
# 3. backward: now every parameter has a `.grad`;
# 4. clip: if the joint norm of all gradients is above 1, scale them down to it (lesson 10);
# 5. step: the optimiser changes the parameters.


# %% exercise="training_step"
def training_step(model, optimizer, images, labels):
    """Change the model's parameters by one step; returns the batch's loss, a number."""
    # --- solution
    optimizer.zero_grad()
    loss = minivit.cross_entropy(model(images), labels)
    loss.backward()
    clip_by_global_norm([parameter.grad for parameter in optimizer.parameters.values()], 1.0)
    optimizer.step()
    return loss.item()
    # --- end


# %% [markdown]
# Before any real training, a test that costs a second: train on *one* batch, over and over. If the loop is sound the loss
# goes from 2.303 to nearly 0, for 20 images can be learned by heart. If it does not, nothing else will work either.

# %%
model = minivit.ViT(SIZES, seed=0)
optimizer = minivit.AdamW(model.named_parameters(), lr=3e-3)
few = minivit.preprocess(train.images[:20]), train.labels[:20]
losses = [training_step(model, optimizer, *few) for _ in range(40)]
print("one batch, every tenth step:", *[f"{loss:.3f}" for loss in losses[::10]], f"... {losses[-1]:.4f}")

# %% [markdown]
# ## All at once
#
# A run shows all images, one batch after the other, until each was seen once: an *epoch*. Then again, in a new
# order. Without the new order the same images would always share a batch.


# %% exercise="epoch_batches"
def epoch_batches(count, batch_size, rng):
    """The batches of one epoch: a list of arrays of indices, which together hold 0 .. count - 1 once."""
    # --- solution
    order = rng.permutation(count)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]
    # --- end


# %% [markdown]
# The second number to watch is measured on images that the model does not train on. No step is taken here, so no tape is
# needed either: inside `with minivit.no_grad():` none is kept. The images pass in batches, since all at once may not fit
# into memory.


# %% exercise="measure"
def measure(model, images, labels, batch_size=100):
    """The mean loss and the share of right answers over all images: two numbers."""
    loss, right = 0.0, 0
    # --- solution
    with minivit.no_grad():
        for start in range(0, len(images), batch_size):
            batch, wanted = images[start : start + batch_size], labels[start : start + batch_size]
            logits = model(batch)  # (batch, K)
            loss += minivit.cross_entropy(logits, wanted).item() * len(batch)
            right += int((logits.data.argmax(axis=1) == wanted).sum())
    return loss / len(images), right / len(images)
    # --- end


# %% [markdown]
# Now the loop is short. The rate of each step is that of your `schedule`. Every 50 steps the loop notes the mean training
# loss since the last note, and measures on the validation images.


# %% tags=["keep"]
def fit(model, images, labels, validation, steps=600, lr=3e-3, augment=None, seed=0):
    """Train on pixels (uint8) and labels; returns what was noted, a list for each name."""
    optimizer = minivit.AdamW(model.named_parameters(), lr=lr, weight_decay=0.05)
    rng = np.random.default_rng(seed)  # of the order and the augmentation
    noted = {"step": [], "loss": [], "validation_loss": [], "validation_accuracy": []}
    batches, losses = [], []
    for step in range(1, steps + 1):
        if not batches:
            batches = list(epoch_batches(len(images), 64, rng))
        chosen = batches.pop()
        pixels = images[chosen] if augment is None else augment(images[chosen], rng)
        optimizer.lr = schedule(step - 1, steps, steps // 20, lr)  # yours: warm-up, then half a cosine
        losses.append(training_step(model, optimizer, minivit.preprocess(pixels), labels[chosen]))
        if step % 50 == 0:
            loss, accuracy = measure(model, *validation)
            values = (step, float(np.mean(losses)), float(loss), float(accuracy))
            for name, value in zip(noted, values, strict=True):
                noted[name].append(value)
            losses = []
    return noted


# %%
plain = fit(minivit.ViT(SIZES, seed=0), train.images, train.labels, validation)
show(
    draw_run(plain), "The training loss falls to nearly 0; the validation loss falls at first and then rises for good."
)
print(f"validation accuracy {plain['validation_accuracy'][-1]:.1%}, training loss {plain['loss'][-1]:.3f}")

# %% [markdown]
# This is *overfitting*. In 600 steps the model sees each image 37 times, and in the end it knows them by heart. From the
# grey line on the validation loss rises: the model becomes more and more sure of answers that are wrong. The accuracy
# hides this, for it goes on rising a little. The two losses tell.
#
# ## Your turn
#
# More images would help, but there are none. So make some: change each image whenever it is drawn, in ways that leave its
# label true. A star a little to the left is a star, and so is its mirror image. This is *augmentation*.
#
# Shift each image by up to `shift` pixels, down or up and to either side, and mirror every second one. A shifted image has
# a strip that nothing covers. Fill it by repeating the pixels of the edge: `np.pad(..., mode="edge")`.


# %% exercise="shift_and_flip"
def shift_and_flip(images, shift, rng):
    """Each image shifted and perhaps mirrored by numbers of its own: uint8 (B, H, W, C), as it came."""
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
    """The same shifts and mirrors with black beside the image: for "Break it and see"."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))  # zeros
    return shift_and_flip(padded, 2, rng)[:, 2:-2, 2:-2]


# %%
one = train.images[3]
eight = np.stack([one] * 8)
rng = np.random.default_rng(1)
show(
    draw_variants(one, {"edge": augment(eight, rng), "black": black_border(eight, rng)}),
    "A shape, and beside it eight variants of it, shifted and mirrored: above with edges repeated, below with black borders.",
)

# %%
augmented = fit(minivit.ViT(SIZES, seed=0), train.images, train.labels, validation, augment=augment)
show(
    draw_over_band(stored["augmented"], {"yours, augmented": augmented, "yours, plain": plain}),
    "Validation accuracy: the augmented run goes along within the grey band of eight seeds, the plain one ends below it.",
)
more = [run["validation_accuracy"][-1] for run in stored["four times the images"]]
print(f"plain, but with 4,000 images instead of 1,000: {min(more):.0%} to {max(more):.0%}, {len(more)} seeds")

# %% [markdown]
# Your run with augmentation should lie in the band or close to it: another seed, and perhaps a processor that rounds
# differently. It ends above the plain one, and about where plain runs end that have four times as many images.
#
# It is not free, though. Augmentation makes the task harder, and in the first 250 steps the plain runs are a little ahead
# on average. By then they have seen each image 15 times. Where a run sees its images only a few times, there
# is nothing to gain.
#
# ### What is wrong here?
#
# Six runs, each with one thing wrong, and nothing else. (So that it shows the better, all are trained without augmentation.)
# Blue is the training loss, orange dashed the validation loss, grey behind them the validation loss of eight runs with
# nothing wrong; above each panel the accuracy at the end.

# %%
patients = stored["patients"]
show(
    draw_patients(stored["plain"], patients),
    "Six panels A to F of training and validation loss over the band of right runs; the exercise asks what is wrong with each.",
)

# %% exercise="diagnosis"
# --- solution -> diagnosis = ...  # {"A": "rate too high", "B": ..., and so on to "F"}
diagnosis = {
    "A": "labels shuffled",
    "B": "rate too low",
    "C": "validation leaked",
    "D": "images all alike",
    "E": "too few images",
    "F": "rate too high",
}
# --- end

# %% [markdown]
# ## In the paper
#
# The loop itself is not in the paper; the choices around it are.
#
# | paper | here |
# |---|---|
# | Table 3: Adam, batch 4096, 10,000 steps of warm-up, cosine or linear decay; for ImageNet clipping at 1 | AdamW, batch 64, 30 steps, cosine, clipping at 1 |
# | Appendix B.1.1: a part of the training images is held out (1 % of ImageNet, 2 % of CIFAR, 10 % of Pets and Flowers) | 500 of 1,500 |
# | Table 2: mean and standard deviation of three fine-tuning runs | the band of eight seeds |
# | Section 4.3: with less data ViT overfits more than a ResNet that costs as much; weight decay, dropout and label smoothing are tuned against it | 1,000 images, augmentation |
#
# What augmentation is worth for ViT was measured afterwards, in "How to train your ViT?" (Steiner et al., arXiv
# 2106.10270): with more compute, as much as ten times the data.
#
# `minivit`'s own loop, [`training/loop.py`](../minivit/training/loop.py), is this one with what long runs need: threads,
# checkpoints, resuming, logs. Its shifts for CIFAR leave a black border, as is the custom there. Which brings us to the
# last point.

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
# The black border costs more than the shifts bring. Look at its losses: training and validation lie close together, and
# both fall. No overfitting, no sign of illness: these are the curves of a run that is merely slow. But a black strip is the
# strongest edge in the image, these shapes are known by their edges, and no validation image has one. Only the comparison with
# another run shows it, and only a look at the augmented images explains it. *Look at your data as the model sees it.*
#
# Now break it yourself: `lr=1e-2`, or a shift of 6 in `augment`, or no mirror. Before you run it, say what the
# two losses will do.

# %% [markdown]
# ## Summary
#
# - A step: forget, forward, backward, clip, step. First test: one batch must be learned by heart, from ln K to 0.
# - Watch two losses. Both high: the rate or the data. Training falls and validation rises: too few images.
# - Augmentation makes images out of images; it must leave the labels true, and be looked at.
# - One run is no run: compare within the band of several seeds, with one thing changed at a time.

# %% [markdown]
# ## What comes next
#
# The model gets its answers right. What has it learned, and where does it look? [Lesson 12](12_inside.ipynb) opens it.
