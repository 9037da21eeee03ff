# %% [markdown]
# # 21 · The capstone: your own experiment
#
# *Comes after lessons [09](09_vit.ipynb) to [11](11_training.ipynb). In the paper: Table 2, Fig. 4, appendix D.3.*
#
# You ask a question that has not been answered for you, run an experiment, and write a report of two pages. This notebook builds the tools
# that such a report needs: a baseline, an interval, a fair comparison, a table of mistakes. Then you mark four reports on one question, from
# weak to excellent, and begin your own.

# %% tags=["keep"]
import math

import numpy as np

from minivit_lessons.capstone import CLASSES, predictions
from minivit_lessons.pictures import capstone

T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}  # Student's t

# %% [markdown]
# ## The question
#
# Choose pictures and a question. The pictures: your own, in one folder for each class (100 images a class are enough for a fine-tuned
# model), or CIFAR-10. The question: something that a number can answer, and that you do not know yet. Some examples:
#
# - Does a model that was pre-trained need fewer of my photographs than one from scratch? How many fewer?
# - Does mixup (lesson 11) help when there are only 200 images of each class?
# - Does a model that learned on pictures from one camera work on those of another?
#
# **The task** is in [`capstone/README.md`](../lessons/capstone/README.md): what to hand in, and a rubric of 20 points. In short:
# a question, your guess, and what would refute it; a baseline; *one change at a time*; at least three seeds; nothing chosen by
# the test set; a picture of mistakes; a conclusion that is no stronger than the evidence; the commands. You can stop reading here
# and begin. But first see how easily an experiment misleads.

# %% [markdown]
# ## The picture
#
# Four people asked the same question: *on 4,000 images of CIFAR-10, is average pooling better than the class token?* Each trained two
# small ViTs and subtracted the accuracies, measured on the same 2,000 test images.


# %%
def columns(text):
    """A table of predictions as arrays by name."""
    names, *rows = [line.split(",") for line in text.split()]
    return dict(zip(names, np.array(rows, int).T, strict=True))


table = columns(predictions())
labels = table["label"]
right = {name: guesses == labels for name, guesses in table.items()}
pairs = {"first person": ("average-weak", "token-weak")}
pairs |= {f"{who} person": (f"average-{i}", f"token-{i}") for i, who in enumerate(("second", "third", "fourth"))}
show(
    capstone.draw_differences({who: (right[a].mean() - right[b].mean(),) for who, (a, b) in pairs.items()}),
    capstone.SEEDS_ALT,
)

# %% [markdown]
# "Far better", "a little better", "worse", "worse". All four numbers are real; so what is true? The answer needs three things that the four
# dots lack: what was changed, how much a number would move with other test images, and how much it would move with another seed.
#
# ## One number at a time
#
# A run that cannot be checked is an anecdote. So a report comes with a **table of predictions**: a row for each test image, a column for
# each run. Beside this notebook is [`capstone/predictions.csv`](../lessons/capstone/predictions.csv). It begins like this:
#
# ```
# image,label,token-weak,average-weak,token-0,average-0, ...
# 0,3,2,1,2,3, ...
# 1,8,8,8,8,8, ...
# ```
#
# Every number of a report can be computed from it again, by the reader too. Begin with the accuracy. (`text` is the whole file.)


# %% exercise="accuracy_in_table"
def accuracy_in_table(text, run):
    """The share of images that a run got right, from the text of a table of predictions."""
    # --- solution
    names, *rows = [line.split(",") for line in text.split()]
    column = names.index(run)
    return sum(row[1] == row[column] for row in rows) / len(rows)
    # --- end


# %% [markdown]
# Is 31 % good? A number needs something to compare it with. First comes the **majority-class baseline**: always say the class
# that is most frequent in the *training* set. On balanced data it is 1/K. On a data set with 90 % cats it is 90 %, and a network
# with 91 % has learned little.


# %% exercise="majority_baseline"
def majority_baseline(train_labels, test_labels):
    """The test accuracy of always saying the most frequent class of the training set."""
    # --- solution
    most_frequent = np.bincount(train_labels).argmax()
    return float((test_labels == most_frequent).mean())
    # --- end


# %%
for run in ("token-weak", "average-weak", "token-0", "average-0", "token-1", "average-1", "token-2", "average-2"):
    print(f"{run:14}{accuracy_in_table(predictions(), run):7.2%}")
print("with the test labels themselves, the baseline could be at most", f"{majority_baseline(labels, labels):.2%}")

# %% [markdown]
# ## All at once
#
# **Other test images.** Two thousand images are a sample. If we drew 2,000 others, the accuracy would be another one. A 95 % **confidence
# interval** is computed by a rule that, over many repetitions, covers the true value 95 times of 100. For a share of r right among n, with
# p = r/n and z = 1.96, Wilson's interval is
#
# $$\frac{p + \frac{z^2}{2n} \;\pm\; z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}$$
#
# Without the terms in $z^2$ it is the rule of thumb $p \pm 1.96\sqrt{p(1-p)/n}$, which says "from 100 % to 100 %" if all of 20
# images are right.


# %% exercise="share_interval"
def share_interval(right, count):
    """Wilson's 95 % interval of the share right / count: (low, high)."""
    # --- solution
    z, p = 1.96, right / count
    middle = p + z**2 / (2 * count)
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)
    # --- end


# %%
for count in (20, 200, 2_000, 10_000):
    low, high = share_interval(round(0.32 * count), count)
    print(f"32 % of {count:>6,} images: from {low:.1%} to {high:.1%}")
print("20 of 20:", " to ".join(f"{end:.1%}" for end in share_interval(20, 20)))

# %% [markdown]
# To see a difference of one point, 2,000 test images are too few, it seems: each accuracy is known to ± 2 points. But both runs saw *the same
# images*. Some are easy for both, some hard for both; only the images on which they differ count. A **paired comparison** takes, for each
# image, the difference $d_i = a_i - b_i$ (1, 0 or -1, where $a_i$ is 1 if run a is right), and asks how well the mean of the d is known:
#
# $$\bar d \pm 1.96\,\frac{s_d}{\sqrt{n}}, \qquad s_d^2 = \frac{1}{n-1}\sum_i (d_i - \bar d)^2$$


# %% exercise="paired_interval"
def paired_interval(right_a, right_b):
    """The mean difference a - b of two runs on the same images, with its 95 % interval: (difference, low, high).

    right_a, right_b: arrays of booleans, one for each image.
    """
    # --- solution
    d = right_a.astype(float) - right_b.astype(float)
    half = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half
    # --- end


# %%
for seed in range(3):
    difference, low, high = paired_interval(right[f"average-{seed}"], right[f"token-{seed}"])
    print(f"seed {seed}: average - token = {difference:+.2%}, from {low:+.2%} to {high:+.2%}")

# %% [markdown]
# For seeds 1 and 2 the interval does not contain 0, for seed 0 it does, and its middle has the other sign. Are two of three seeds
# enough? Guess first what is wrong with this question.
#
# <details><summary>Answer</summary>
#
# The interval over images says: *these two trained models* differ, on images of this kind. Our question is about the two *methods*. For that, the
# models are the sample, and we have three pairs of them, not 2,000. An interval over images is blind to the seed.
#
# </details>
#
# **Other seeds.** So pair by seed: run both methods with the same seeds (the same images in the same order, so that the pairs share what
# they can), and treat the differences as the sample. With n of them, 1.96 is replaced by Student's t for n - 1 degrees of freedom, since the
# standard deviation itself is badly known: with three seeds, 4.30. `T95` has it by degrees of freedom.


# %% exercise="seed_interval"
def seed_interval(a, b):
    """The mean difference a - b of accuracies, paired by seed, with its 95 % interval: (difference, low, high)."""
    # --- solution
    d = np.subtract(a, b)
    half = T95[len(d) - 1] * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean(), d.mean() - half, d.mean() + half
    # --- end


# %%
def accuracies(method, seeds):
    return [right[f"{method}-{seed}"].mean() for seed in seeds]


three = seed_interval(accuracies("average", range(3)), accuracies("token", range(3)))
best = [name.removeprefix("token-") for name in table if name.startswith("token-best-")]
tuned = seed_interval(accuracies("average", best), accuracies("token", best))
found = {
    "report C": (right["average-weak"].mean() - right["token-weak"].mean(),),
    "report A": paired_interval(right["average-0"], right["token-0"]),
    "report D": three,
    "report B": tuned,
}
for name, numbers in found.items():
    print(name, *(f"{number:+.2%}" for number in numbers))
show(capstone.draw_differences(found), capstone.FOUR_ALT)

# %% [markdown]
# ## Your turn
#
# One question, four answers, and the one with the *weakest* evidence sounded most certain. The runs of the first person are those
# of report C, the runs of the second those of report A; reports D and B have more. Read the four reports now, each a page:
# [A](../lessons/capstone/report-a.md), [B](../lessons/capstone/report-b.md), [C](../lessons/capstone/report-c.md),
# [D](../lessons/capstone/report-d.md). Mark each with the rubric in [`capstone/README.md`](../lessons/capstone/README.md) before
# you open our points, which are folded at the end of each. Then order them.

# %% exercise="reports_from_weak_to_excellent"
# --- solution -> reports_from_weak_to_excellent = ...  # four letters, weakest first
reports_from_weak_to_excellent = "CADB"
# --- end

# %% [markdown]
# A comparison must say what differs *besides* the change. The two models have patches of 8 x 8 pixels in images of 32 x 32, D = 64, and four
# blocks; the one with average pooling has no class token. By how many parameters is it smaller?

# %% exercise="parameters_saved"
# --- solution -> parameters_saved = ...  # an integer
parameters_saved = 2 * 64
# --- end

# %% [markdown]
# An accuracy says how often a model errs; a confusion matrix says how. Row: label; column: guess; entry: how many images.


# %% exercise="confusion"
def confusion(labels, guesses, classes):
    """How often each label met each guess: (classes, classes), rows are labels."""
    # --- solution
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, guesses), 1)
    return counts
    # --- end


# %%
matrix = sum(confusion(labels, table[f"{method}-{seed}"], 10) for method in ("token", "average") for seed in range(3))
show(capstone.draw_confusion(matrix, CLASSES), capstone.CONFUSION_ALT)
off = matrix * (1 - np.eye(10, dtype=int))
for place in np.argsort(-off.ravel())[:4]:
    label, guess = divmod(int(place), 10)
    print(f"{CLASSES[label]} taken for {CLASSES[guess]}: {off[label, guess]} of {matrix[label].sum():,}")

# %% [markdown]
# Ships and airplanes share a background: sky and sea are blue. Frogs, deer and birds share grass. This is a guess about *why*, and a report
# says so; to test it, one would paint the background over and look again.
#
# Now your own report. Enter its numbers here; the check computes whether they fit each other, and `minivit lessons grade` marks it with the
# others. Until you have your own, the solution shows the numbers of report D.

# %% exercise="my_capstone"
my_capstone = {
    # --- solution -> "test images": ...,  # how many
    "test images": 2_000,
    # --- end
    # --- solution -> "right": ...,  # how many of them one of your runs got right
    "right": 626,
    # --- end
    # --- solution -> "interval": ...,  # of that share: share_interval(right, test images)
    "interval": share_interval(626, 2_000),
    # --- end
    # --- solution -> "baseline": ...,  # majority_baseline(...), a share
    "baseline": 0.0965,
    # --- end
    # --- solution -> "accuracies a": ...,  # a share for each seed, with the change
    "accuracies a": accuracies("average", range(3)),
    # --- end
    # --- solution -> "accuracies b": ...,  # a share for each seed, without it
    "accuracies b": accuracies("token", range(3)),
    # --- end
    # --- solution -> "difference": ...,  # seed_interval(accuracies a, accuracies b)
    "difference": three,
    # --- end
}

# %% [markdown]
# To train a model and to get its guesses you need a few lines. [`capstone/experiment.py`](../lessons/capstone/experiment.py) has all
# runs of the four reports, and writes the table of predictions; this is its core:
#
# ```python
# from minivit.data import load_dataset
# from minivit.models import create_model
# from minivit.training import TrainConfig, Trainer
#
# train, test = load_dataset("cifar10")              # or load_dataset("folder:photos")
# model = create_model("ViT-XS_4-CIFAR", num_classes=10, classifier="gap", seed=0)
# Trainer(model, (train.images[:4000], train.labels[:4000]), config=TrainConfig(epochs=10, lr=1e-3, seed=0)).fit()
# guesses = model.eval().predict(test.images).argmax(axis=1)
# ```
#
# A last task without hints: an exact test for two runs. If the methods were equally good, each image on which exactly one is right would be a
# fair coin.


# %% exercise="sign_test"
def sign_test(only_a, only_b):
    """The probability of a split at least as uneven as this one, if both are equally good: a number from 0 to 1.

    only_a: how many images run a alone got right; only_b: run b alone.
    """
    # --- solution
    n, larger = only_a + only_b, max(only_a, only_b)
    tail = sum(math.comb(n, k) for k in range(larger, n + 1)) / 2**n
    return min(1.0, 2 * tail)
    # --- end


# %% [markdown]
# ## In the paper
#
# The question of the four reports is the paper's: appendix D.3 asks whether a class token is needed or average pooling is as good. Its first
# answer was that pooling is worse. Then the authors tuned the learning rate for each (8e-4 for the class token, 3e-4 for pooling), and the gap closed.
# Report B does the same in small.
#
# Table 2 gives means and standard deviations over three fine-tuning runs: only the fine-tuning varies. Each pre-training ran
# once, because it costs up to thousands of core-days. Fig. 4 pre-trains on subsets of JFT and measures by few-shot accuracy,
# which is cheap: when you cannot afford seeds, choose a cheaper measurement. In `minivit`, `minivit evaluate` prints Wilson's
# interval ([`evaluation/measures.py`](../minivit/evaluation/measures.py)), and `minivit experiment pooling` repeats D.3.

# %% [markdown]
# ## The same in PyTorch
#
# ```python
# d = right_a.double() - right_b.double()
# d.mean(), 1.96 * d.std() / len(d) ** 0.5          # torch's std divides by n - 1, NumPy's by n
# torch.bincount(labels * K + guesses, minlength=K * K).reshape(K, K)   # a confusion matrix
# ```
#
# The divisor is the one difference that changes numbers: `torch.std` has `correction=1` by default, `np.std` has `ddof=0`. For 2,000 images it
# hardly matters; for three seeds it is a factor of 1.22.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    a, b = (torch.tensor(right[name]).double() for name in ("average-1", "token-1"))
    d = a - b
    half = 1.96 * d.std() / len(d) ** 0.5
    theirs = torch.stack([d.mean(), d.mean() - half, d.mean() + half])
    agree("paired interval", np.array(paired_interval(right["average-1"], right["token-1"])), theirs)
    pairs_of = torch.tensor(labels * 10 + table["token-0"])
    agree(
        "confusion matrix",
        confusion(labels, table["token-0"], 10),
        torch.bincount(pairs_of, minlength=100).reshape(10, 10),
    )

# %% [markdown]
# ## What came before and after
#
# - [Wilson, 1927](https://doi.org/10.1080/01621459.1927.10502953) derived the interval of a share that you wrote.
# - [Dietterich, 1998](https://doi.org/10.1162/089976698300017197) compared five tests for two classifiers. Two that were widely used find
#   differences where there are none; for algorithms that can be run only once, he recommends McNemar's test, the relative of your `sign_test`.
# - [Lipton and Steinhardt, 2018](https://arxiv.org/abs/1807.03341) listed troubling trends in the field's papers, among them the failure to
#   identify where a gain comes from, such as tuning instead of the new part.
# - [Bouthillier et al., 2021](https://arxiv.org/abs/2103.03098) measured what varies: the sample of data, the initial weights and the choice of
#   hyperparameters all change results markedly, and comparisons should vary them.

# %% [markdown]
# ## Break it and see
#
# "Nothing was chosen by the test set" sounds like a formality. Measure it: suppose that you train many models, *all equally good*, right on
# 32 % of images in truth, and you report the one with the best test accuracy. (The best epoch of a run is such a choice as well.) How much
# better does it look with 10 candidates, with 100? Guess first.

# %%
rng = np.random.default_rng(0)
LOOKS = (1, 3, 10, 30, 100)
best_of = {
    f"{count:,} test images": [
        float(rng.binomial(count, 0.32, (4000, looks)).max(axis=1).mean() / count) for looks in LOOKS
    ]
    for count in (200, 2_000)
}
for name, values in best_of.items():
    print(name, *(f"best of {looks}: {value:.1%}" for looks, value in zip(LOOKS, values, strict=True)), sep="  ")
show(capstone.draw_best_of_many(LOOKS, best_of, 0.32), capstone.LOOKS_ALT)

# %% [markdown]
# With 200 images and ten candidates, five points come from nothing. The remedy costs little: choose on held-out *training* images (a
# validation set, lesson 11), and use the test set once. Report C lost its points here before it lost them anywhere else.
#
# <details><summary>And if the test set has been used by everyone for years, as CIFAR-10's has?</summary>
#
# Then all published numbers are a little like the best of many. Differences between methods are hurt less than the numbers themselves, since both
# methods were chosen in the same way. Your own pictures have the advantage that nobody has chosen anything on them yet.
#
# </details>
#
# ## Summary
#
# - A report's numbers come from a table of predictions, and anyone can compute them again.
# - Compare with a baseline; change one thing; pair by image, and above all by seed.
# - An interval over images is about two models; an interval over seeds is about two methods.
# - Choose on held-out training images, look at the mistakes, and say what would have refuted you.

# %% [markdown]
# ## What comes next
#
# Your own question. If you find something that surprises you, you have what a paper needs: a question, an experiment that others can repeat, and a
# number with its interval.
