# %% [markdown]
# # 20 · Reading the paper
#
# *Comes after lesson [09](09_vit.ipynb). In the paper: all of it.*
#
# You have built the model. Now you read the paper that introduced it: what it claims, which table or figure carries each claim,
# what its equations mean to the last parameter, and what it does not say. What you practise here works for any paper. Open
# [An Image is Worth 16x16 Words](https://arxiv.org/abs/2010.11929) beside this notebook; each exercise sends you to a place in it.

# %% tags=["keep"]
import inspect
from pathlib import Path

import numpy as np

from minivit import Tensor, cross_entropy, preprocess, value_and_grad
from minivit.data.shapes import shapes
from minivit.models import thirty_lines
from minivit_lessons import trained_model
from minivit_lessons.pictures import paper
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.puzzles import show_attempt

count_parameters = built("count_parameters")

# %% [markdown]
# ## The question
#
# A paper is not a novel: nobody reads it once from the first word to the last. Keshav (2007) proposes three passes.
#
# | pass | time | what you read | what you know afterwards |
# |---|---|---|---|
# | first | 5 to 10 minutes | title, abstract, introduction, all headings, conclusion | what kind of paper it is, what it claims, whether to go on |
# | second | up to an hour | figures and tables with care; text without proofs and details | what the evidence for each claim is; you could explain it to someone |
# | third | hours | everything, as if you had to write it again | what is assumed without being said, what is missing, what you would do next |
#
# After the first pass you should be able to answer the five Cs: **C**ategory, **C**ontext, **C**orrectness (do the assumptions
# look valid?), **C**ontributions, **C**larity. Take ten minutes now, and write one sentence for each before you open the answers.
#
# <details><summary>The five Cs of this paper, in our words</summary>
#
# - Category: a known architecture, applied to a new kind of input, and measured at a large scale.
# - Context: the Transformer for text; convolutional networks for images, which attention had until then supplemented.
# - Correctness: it assumes that a large labelled data set is at hand. Its largest, JFT-300M, is not public.
# - Contributions: a Transformer on patches needs no convolution; with enough pre-training data it reaches excellent results,
#   for less compute than the best convolutional networks.
# - Clarity: you decide. You have implemented it, so you know which details you had to look up elsewhere.
#
# </details>
#
# The headings alone tell where to look. For each question below, name the section that answers it.

# %% exercise="section_that_answers"
section_that_answers = {
    "What exactly is the model?": "3.1",  # done for you
    # --- solution -> "How is a model used on images with more pixels?": ...,
    "How is a model used on images with more pixels?": "3.2",
    # --- end
    # --- solution -> "How many images does pre-training need?": ...,
    "How many images does pre-training need?": "4.3",
    # --- end
    # --- solution -> "What does accuracy cost in compute?": ...,
    "What does accuracy cost in compute?": "4.4",
    # --- end
    # --- solution -> "What has the model learned inside?": ...,
    "What has the model learned inside?": "4.5",
    # --- end
    # --- solution -> "Can it learn without labels?": ...,
    "Can it learn without labels?": "4.6",
    # --- end
}

# %% [markdown]
# ## The picture
#
# The second pass begins with the figures. Fig. 1 is the model. Read it from the bottom to the top, with a finger on the line that
# you follow. Which box has parameters? Which one changes the shape of its input?
#
# The library's whole model in the paper's own letters is thirty lines of code:
# [`thirty_lines.py`](../minivit/models/thirty_lines.py). It has no options and no optimisation for speed: it is Eqs. 1 to 8 and
# no more. Here is each piece of Fig. 1 beside the lines that compute it. (Fig. 1 runs upwards, code runs downwards.)

# %%
show(paper.draw_figure_one_beside_code(thirty_lines), paper.FIGURE_ONE_ALT)

# %% [markdown]
# Compare the picture with Fig. 1 in the paper. Two things are in the equations and not in the figure, and one is in the figure and
# easily overlooked. Find them before you open the answer.
#
# <details><summary>Answer</summary>
#
# Not in the figure: the LayerNorm after the last block, which Eq. 4 has, and everything inside of attention, Eqs. 5 to 8, which the paper
# moves to appendix A. In the figure and easily overlooked: the head reads one token alone, the class token, marked with a star.
#
# </details>
#
# [`vit.py`](../minivit/models/vit.py) is the same function with options. Keep both files open: everything that only the
# long one has is a choice that the paper offers, or one that came later.
#
# ## One number at a time
#
# Equations are read by their shapes. The paper prints the space of each matrix beside it, such as
# $\mathbf{E} \in \mathbb{R}^{(P^2 \cdot C) \times D}$. Take ViT-B/16 at 224 x 224 pixels with three channels: D = 768, 12 heads, and
# $N = HW/P^2 = 196$ patches. Fill in the numbers for the arrays as *the paper* defines them, for one image.
#
# Read Eqs. 5 to 8 slowly: Eq. 5 is about **one** head. "k" is a key in Eqs. 5 and 6, and the number of heads in Eq. 8. And N is
# the number of patches in Eq. 1, but the length of the sequence z in appendix A: here that is 197, since the class token is in z.

# %% exercise="shapes_in_the_paper"
shapes_in_the_paper = {
    "E, Eq. 1": (16 * 16 * 3, 768),  # done for you
    # --- solution -> "E_pos, Eq. 1": ...,
    "E_pos, Eq. 1": (197, 768),
    # --- end
    # --- solution -> "U_qkv, Eq. 5": ...,
    "U_qkv, Eq. 5": (768, 3 * 64),
    # --- end
    # --- solution -> "A, Eq. 6": ...,
    "A, Eq. 6": (197, 197),
    # --- end
    # --- solution -> "SA(z), Eq. 7": ...,
    "SA(z), Eq. 7": (197, 64),
    # --- end
    # --- solution -> "U_msa, Eq. 8": ...,
    "U_msa, Eq. 8": (12 * 64, 768),
    # --- end
}

# %% [markdown]
# The code has no matrix for a single head: it multiplies by all of them at once, (768, 2304), and separates the heads by a reshape. Both
# say the same. When a paper and a program differ in shape, look for an axis that one of them leaves out: here the heads, and in all
# equations the axis of images.
#
# ## All at once
#
# Are the thirty lines the model? To check a reading, compute. The same weights and images go through the thirty lines and
# through the library's class; both the logits and the gradients of all parameters are compared.

# %%
model = trained_model()
theta = dict(model.named_parameters())
test = shapes("test", count=200)
images = Tensor(preprocess(test.images))
few, labels = images[:8], test.labels[:8]


def short(x):
    return thirty_lines.vit(x, theta, P=4, L=4, heads=2)


gap = np.abs(short(few).data - model(few).data).max()
print(f"logits: up to {np.abs(model(few).data).max():.1f}, largest difference {gap:.0e}")
gradients = [value_and_grad(lambda f=f: cross_entropy(f(few), labels), [*theta.values()])[1] for f in (model, short)]
gaps = {name: np.abs(a - b).max() / np.abs(a).max() for name, a, b in zip(theta, *gradients, strict=True)}
print(f"gradients of {len(theta)} parameters: largest relative difference {max(gaps.values()):.0e}")
print(inspect.getsource(thirty_lines.MSA))

# %% [markdown]
# Now Table 1. Its columns are Layers, Hidden size D, MLP size, Heads and Params; the last says 86M, 307M and 632M. Where are these
# parameters? Return them by part, for images of 224 x 224 pixels with three channels. The parts must add up to the total that your
# function of lesson 09 computes.


# %% exercise="parts_of_table_1"
def parts_of_table_1(layers, hidden, mlp, patch=16, classes=1000):
    """The number of parameters of each part of a ViT: a dictionary with the six keys below."""
    # --- solution
    patches = (224 // patch) ** 2
    return {
        "patches": patch**2 * 3 * hidden + hidden,  # E and its bias
        "tokens": hidden + (patches + 1) * hidden,  # class token and positions
        "attention": layers * (hidden * 3 * hidden + 3 * hidden + hidden * hidden + hidden),
        "MLPs": layers * (hidden * mlp + mlp + mlp * hidden + hidden),
        "norms": (2 * layers + 1) * 2 * hidden,
        "head": hidden * classes + classes,
    }
    # --- end


# %%
TABLE_1 = {"Base": (12, 768, 3072), "Large": (24, 1024, 4096), "Huge": (32, 1280, 5120)}
for name, (layers, hidden, mlp) in TABLE_1.items():
    row = [f"/{P} {sum(parts_of_table_1(layers, hidden, mlp, P).values()):>11,}" for P in (14, 16, 32)]
    own = count_parameters(224, 16, hidden, layers, mlp, 1000)
    print(f"{name:6}", *row, "  lesson 09, /16:", f"{own:,}")
show(paper.draw_parts({name: parts_of_table_1(*sizes) for name, sizes in TABLE_1.items()}), paper.PARTS_ALT)

# %% [markdown]
# The table does not name the patch size or the number of classes. But the numbers do: with 1,000 classes, 307M fits Large with
# patches of 32 pixels (306.5), and not with 16 (304.3). 86M does not fit Base with 32 (88.2); with 16 it is 86.57, if the rest is
# cut off. A table that leaves something out can often be completed by computing.
#
# ## Your turn
#
# Table 2 is the paper's main result. These are its means, in percent; the last row is the cost of pre-training. ImageNet ReaL is
# ImageNet with corrected labels, and VTAB is the mean over 19 small tasks.

# %% tags=["keep"]
COLUMNS = ("ViT-H/14 JFT", "ViT-L/16 JFT", "ViT-L/16 I21k", "BiT-L JFT")
TABLE_2 = {
    "ImageNet": (88.55, 87.76, 85.30, 87.54),
    "ImageNet ReaL": (90.72, 90.54, 88.62, 90.54),
    "CIFAR-10": (99.50, 99.42, 99.15, 99.37),
    "CIFAR-100": (94.55, 93.90, 93.25, 93.51),
    "Pets": (97.56, 97.32, 94.67, 96.62),
    "Flowers": (99.68, 99.74, 99.61, 99.63),
    "VTAB": (77.63, 76.28, 72.72, 76.29),
    "TPUv3-core-days": (2500, 680, 230, 9900),
}

# %% [markdown]
# A reader's first question is: **which two numbers may I compare?** Two columns that differ in one thing measure that thing. ViT-L/16
# on JFT-300M and on ImageNet-21k differ in the pre-training (the data, and with it the schedule of Table 3). ViT-H/14 and ViT-L/16 on
# JFT differ in the model. ViT-L/16 on JFT and BiT-L differ in the architecture and in the way each was trained: so Table 2 says that
# this *system* is better, and section 4.4 has to say whether the *architecture* is.
#
# Someone summarises: "ViT-L/16, pre-trained on JFT-300M, is more accurate than BiT-L on every task." Check it against the seven rows.

# %% exercise="rows_not_better"
# --- solution -> rows_not_better = ...  # a list of row names
rows_not_better = ["ImageNet ReaL", "VTAB"]
# --- end

# %% [markdown]
# In both rows the numbers are equal or nearly equal: the right summary is "at least as good on every task, up to 0.01 points, for
# a fraction of the cost".
#
# A TPUv3-core-day is one core of such a chip at work for one day. The row is the reason why few of us will repeat Table 2. How long would
# the cheapest column take on a machine with eight of these cores?

# %% exercise="days_on_eight_cores"
# --- solution -> days_on_eight_cores = ...  # a number of days
days_on_eight_cores = 230 / 8
# --- end

# %% [markdown]
# Near 100 %, differences of accuracy look small and are not. From 99.37 to 99.50 % is 0.13 points; but of the images that were still
# wrong, 0.63 %, about a fifth became right. Compare *errors* when accuracies are high.


# %% exercise="fewer_errors"
def fewer_errors(accuracy, baseline):
    """The share of the baseline's errors that are gone: two accuracies in percent -> a number, 0.25 for a quarter."""
    # --- solution
    return ((100 - baseline) - (100 - accuracy)) / (100 - baseline)
    # --- end


# %%
for name, (huge, large, _, bit) in list(TABLE_2.items())[:7]:
    print(
        f"{name:14} errors against BiT-L: H/14 {fewer_errors(huge, bit):+5.0%} fewer, L/16 {fewer_errors(large, bit):+5.0%}"
    )
print("CIFAR-10's 10,000 test images: H/14 and L/16 differ in", round((99.50 - 99.42) / 100 * 10_000), "of them")

# %% [markdown]
# Eight images of ten thousand: is that a difference? The paper prints a standard deviation over three fine-tuning runs behind each
# number; look it up before you believe a second decimal. ([Lesson 21](21_capstone.ipynb) computes such intervals.)
#
# The figures of section 4 each answer one question, and each varies one thing:
#
# | figure | what varies along the axis | what stays equal |
# |---|---|---|
# | 3 | the data set of pre-training: ImageNet, ImageNet-21k, JFT-300M | the measure: ImageNet after fine-tuning |
# | 4 | the number of JFT images, random subsets | the kind of images, and the measure: few-shot accuracy |
# | 5 | the compute of pre-training | the data: JFT-300M |
# | 6 | nothing: examples, the class token's attention over an image | |
# | 7 | left to right: filters of E, similarity of positions, attention distance by layer | one trained model each |
#
# Which figure is the evidence for each of these claims? If a claim is about the number of images of one kind, Fig. 3 cannot
# support it: its three sets differ in more than their size.

# %% exercise="figure_of_claim"
figure_of_claim = {
    "a token's position embedding is most similar to those of its row and column": 7,  # done for you
    # --- solution -> "with few images of one kind, a ViT overfits more than a ResNet of like cost": ...,
    "with few images of one kind, a ViT overfits more than a ResNet of like cost": 4,
    # --- end
    # --- solution -> "pre-trained on ImageNet, larger ViTs are worse than ViT-Base": ...,
    "pre-trained on ImageNet, larger ViTs are worse than ViT-Base": 3,
    # --- end
    # --- solution -> "for the same accuracy, a ViT needs 2 to 4 times less compute": ...,
    "for the same accuracy, a ViT needs 2 to 4 times less compute": 5,
    # --- end
    # --- solution -> "some heads attend to distant patches already in the first layers": ...,
    "some heads attend to distant patches already in the first layers": 7,
    # --- end
    # --- solution -> "the class token attends to the part of the image that shows the class": ...,
    "the class token attends to the part of the image that shows the class": 6,
    # --- end
}

# %% [markdown]
# Section 4.5 looks inside one trained model. Read it with one more question: *would the picture look different if the claim were false?*
# Position embeddings of neighbours could have been unlike each other; they are not, so the picture is evidence. A rollout over an
# image of a single centred object highlights the object, but many other maps would do so too; it is an illustration. Lesson 12
# measures both.
#
# The third pass asks what is missing. If you implement a paper, you find out: every number that you had to take from elsewhere was
# not in it. Which of these does the paper *not* say? Search its text (section 4.1, appendix A, B.1, Tables 3 and 4).

# %% tags=["keep"]
CANDIDATES = (
    "ε of LayerNorm", "the batch size of pre-training", "how images are resized", "where dropout acts",
    "Adam's β₁ and β₂", "how random crops are drawn", "which parameters weight decay acts on", "the steps of fine-tuning",
)  # fmt: skip

# %% exercise="not_in_the_paper"
# --- solution -> not_in_the_paper = ...  # a list of those that the paper does not say
not_in_the_paper = [
    "ε of LayerNorm", "how images are resized", "how random crops are drawn", "which parameters weight decay acts on",
]  # fmt: skip
# --- end

# %% [markdown]
# `docs/departures.md` lists what the authors' code does in each of these cases. Code is part of a publication; without it, two honest
# readers would build two different models.
#
# A last exercise without help. In Eq. 1, $[\,\cdot\,;\,\cdot\,]$ stacks rows. Stacking is linear, so it can be written with matrix
# products: one line of `@` and `+`. The cell after the check draws what *your* line makes of small numbers, right or wrong.


# %% exercise="equation_1_in_products"
def equation_1_in_products(x_class, x_p, E, E_pos, top, rest):
    """z_0 of Eq. 1 as one line of @ and +, with top = (1, 0, ..., 0) as a column (N + 1, 1).

    (1, D), (N, P²C), (P²C, D), (N + 1, D), (N + 1, 1), rest (N + 1, N): an identity below a row of zeros -> (N + 1, D)
    """
    # --- solution
    return top @ x_class + rest @ (x_p @ E) + E_pos
    # --- end


# %%
x_class, x_p, E = np.array([[9, 9]]), np.array([[1, 0, 2], [0, 3, 1]]), np.array([[1, 0], [0, 1], [2, 1]])
E_pos, top, rest = np.array([[0, 0], [1, 0], [0, 1]]), np.eye(3, 1), np.eye(3, 2, k=-1)
show_attempt(
    "equation_1_in_products", Cells("x_p E, two patches of D = 2", x_p @ E), x_class, x_p, E, E_pos, top, rest,
    right=np.concatenate([x_class, x_p @ E]) + E_pos,
)  # fmt: skip

# %% [markdown]
# ## In the paper
#
# Fig. 1 and Eqs. 1 to 4 are in section 3.1, Eqs. 5 to 8 in appendix A. The table says where each
# equation is computed. In both files you can search for its tag, such as `# ViT (2)`.
#
# | paper | in `thirty_lines.py` | in `vit.py` |
# |---|---|---|
# | Eq. 1, patches, class token, positions | `z = concatenate(...) + ...` | `PatchEmbedding`, `ViT.encode` |
# | Eq. 2 | `z = MSA(LN(z)) + z` | `EncoderBlock.forward` |
# | Eq. 3 | `z = MLP(LN(z)) + z` | `EncoderBlock.forward` |
# | Eq. 4 | `y = LN(z[:, 0])` | `ViT.pool` |
# | Eqs. 5 to 8, appendix A | `MSA` | `MultiHeadSelfAttention`, `engine.attention` |
# | Table 1 | `L`, `heads`, the shapes in `θ` | `ViTConfig`, `SIZES` |
#
# Table 2 is quoted in [`docs/the-papers-numbers.md`](../docs/the-papers-numbers.md), which marks each of its numbers as reproduced,
# tried in small, or quoted. Figs. 3, 4 and 5 are the subject of lesson 14, Figs. 6 and 7 that of lesson 12.

# %% [markdown]
# ## The same in PyTorch
#
# The thirty lines are nearly PyTorch. `layer_norm`, `gelu` and attention are in `torch.nn.functional`:
#
# ```python
# import torch.nn.functional as F
#
# F.layer_norm(z, (D,), weight, bias, eps=1e-6)   # PyTorch's default is 1e-5
# F.gelu(x, approximate="tanh")                   # PyTorch's default is the exact form
# F.scaled_dot_product_attention(q, k, v)         # Eqs. 6 and 7; it divides by √D_h itself
# F.linear(z, weight.T, bias)                     # PyTorch keeps W transposed: (out, in)
# ```
#
# These are the four places at which a port between PyTorch, JAX and NumPy goes wrong: ε, the form of GELU, who divides by √D_h, and
# the transposed weight.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    F = torch.nn.functional
    weights = {name: torch.tensor(p.data) for name, p in theta.items()}
    z = np.random.default_rng(0).standard_normal((2, 65, 64)).astype(np.float32)
    W, b = weights["blocks.0.attention.qkv.weight"], weights["blocks.0.attention.qkv.bias"]
    q, k, v = F.linear(torch.tensor(z), W.T, b).reshape(2, 65, 3, 2, 32).permute(2, 0, 3, 1, 4)
    SA = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 65, 64)
    W, b = weights["blocks.0.attention.out.weight"], weights["blocks.0.attention.out.bias"]
    agree(
        "MSA", thirty_lines.MSA(Tensor(z), theta, "blocks.0.attention", heads=2), F.linear(SA, W.T, b), tolerance=1e-5
    )

# %% [markdown]
# ## What came before and after
#
# - Before: [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762) introduced the Transformer, for translation, without recurrence and
#   convolution. [Kolesnikov et al., 2019](https://arxiv.org/abs/1912.11370) wrote BiT, the baseline of Table 2: ResNets, pre-trained on
#   large sets and fine-tuned by a simple recipe.
# - [Touvron et al., 2020](https://arxiv.org/abs/2012.12877), two months later: DeiT trains an 86M ViT on ImageNet alone, on one computer
#   in less than three days, and reaches 83.1 %. So data had not been the only limit.
# - [Steiner et al., 2021](https://arxiv.org/abs/2106.10270) varied data, augmentation, regularisation, size and compute systematically.
#   With more compute and augmentation, models on the public ImageNet-21k match those that were trained on JFT-300M.
# - [Zhai et al., 2021](https://arxiv.org/abs/2106.04560) scaled ViT to two billion parameters: 90.45 % on ImageNet.
# - [Beyer et al., 2022](https://arxiv.org/abs/2205.01580) took the other way: a plain ViT and standard augmentation pass 76 % on ImageNet
#   after 90 epochs, in under seven hours on a TPUv3-8.
# - The method of this lesson: [Keshav, 2007](https://doi.org/10.1145/1273445.1273458), How to Read a Paper, two pages.

# %% [markdown]
# ## Break it and see
#
# Which details of an equation matter? Each entry below is a misreading that occurs in published code, or a choice that the paper
# leaves open. The trained weights stay; one or two of the thirty lines change. Guess first: order the seven by the accuracy that
# is left on 200 images, and say which you would *not* notice.

# %%
SOURCE = Path(thirty_lines.__file__).read_text(encoding="utf-8").replace("from ..engine", "from minivit.engine")
MISREADINGS = {
    "Eqs. 1 to 8": [],
    "Eq. 6: √D for √D_h": [("math.sqrt(D_h)", "math.sqrt(D)")],
    "Eq. 6: D_h for √D_h": [("math.sqrt(D_h)", "D_h")],
    "Eq. 2: + LN(z) for + z": [("heads) + z", 'heads) + LN(z, θ, f"blocks.{i}.norm1")')],
    "Eqs. 2, 3: the norm last": [
        ('MSA(LN(z, θ, f"blocks.{i}.norm1"), θ, f"blocks.{i}.attention", heads) + z',
         'LN(MSA(z, θ, f"blocks.{i}.attention", heads) + z, θ, f"blocks.{i}.norm1")'),
        ('MLP(LN(z, θ, f"blocks.{i}.norm2"), θ, f"blocks.{i}.mlp") + z',
         'LN(MLP(z, θ, f"blocks.{i}.mlp") + z, θ, f"blocks.{i}.norm2")'),
    ],
    "Eq. 1: class token last": [("[x_class, x_p_E]", "[x_p_E, x_class]"), ("z[:, 0]", "z[:, -1]")],
    "exact GELU": [('{name}.fc1"))', '{name}.fc1"), form="erf")')],
    "ε = 1e-12": [('θ[f"{name}.bias"])\n\n\ndef linear', 'θ[f"{name}.bias"], 1e-12)\n\n\ndef linear')],
}  # fmt: skip
accuracies = {}
for name, changes in MISREADINGS.items():
    text = SOURCE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    names = {}
    exec(text, names)
    accuracies[name] = float(
        (names["vit"](images, theta, P=4, L=4, heads=2).data.argmax(axis=-1) == test.labels).mean()
    )
    print(f"{name:26}{accuracies[name]:6.1%}")
show(paper.draw_misreadings(accuracies), paper.MISREADINGS_ALT)

# %% [markdown]
# All of them run, all have the right shapes. Two cost nothing here, which is why two libraries can disagree about them for years. One
# costs three points, which is the dangerous kind: small enough to be taken for bad luck. If we had trained *with* a misreading, the
# weights would have adapted to most of them, and only a comparison with published weights would have shown it.
#
# <details><summary>Which misreading would training repair, and which not?</summary>
#
# √D for √D_h is a factor that $U_{qkv}$ can take over. The class token at the other end only renames the positions. The norm after the
# addition is the original Transformer's arrangement, which trains too, with more care. D_h for √D_h makes all attention nearly uniform at
# first; the weights can grow against it. None of them is *wrong* as a model. They are wrong as readings of this paper.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Three passes: what it claims; on which evidence; what it takes to do it again.
# - Read equations by their shapes, and look for the axis that is left out.
# - Compare two numbers only if you can say in what they differ. Near 100 %, compare errors.
# - A missing detail in a table can often be computed; a missing detail in a text is in the code.

# %% [markdown]
# ## What comes next
#
# You can judge other people's experiments. [Lesson 21](21_capstone.ipynb) is your own: a question, a baseline, an experiment, a report.
