# %% [markdown]
# # 03 · Products: matrices, softmax and the loss
#
# *About 40 minutes. Comes after lesson [02](02_tensors.ipynb). In the paper: the operations of Eqs. 5 to 7, and the loss.*
#
# You will give your Tensor the matrix product, and build the two functions at the end of every classifier: softmax turns scores
# into probabilities, cross-entropy says how wrong they are. Then the engine is complete.

# %% tags=["keep"]
import math

import numpy as np
from matplotlib.figure import Figure

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons.pictures.cells import Cells, draw_cells

record, arrays, unbroadcast, gradient_error = built("record", "arrays", "unbroadcast", "gradient_error")

# %% [markdown]
# ## The question
#
# A layer of a network makes M numbers out of D, each a weighted sum of all D: a vector times a D x M matrix. All of the 11
# million multiplications that lesson 02 counted for one image are parts of such products. What is the vjp of `@`?
#
# At the far end of the network stand K *scores*, one for each class, of any size and sign. (They are also called
# *logits*.) Two things are wanted from them: probabilities, and one number L that says how far these are from the truth,
# so that `backward()` has a place to start. What are their vjps?

# %% [markdown]
# ## The picture
#
# Each number of y = x @ w is a row of x times a column of w. Follow one number backwards: `x[i, k]` was used for the whole row i of
# y, each time with another number of row k of w. So its gradient is row i of dy times row k of w, which is column k of wᵀ.
# In the same way `w[k, j]` belongs to column k of x (row k of xᵀ) and column j of dy. Move the sliders and follow
# the orange frames.

# %%
x = np.array([[1, 2, 0], [3, -1, 1]])
w = np.array([[1, 0, 2, -1], [2, 1, 0, 1], [0, 3, 1, 2]])
dy = np.array([[1, 0, -1, 2], [2, 1, 1, 0]])


def draw_product(i, k, j):
    """y = x @ w and its two gradients, with one number of each and what it was made from."""

    def row(title, array, r):
        return Cells(title, array, [(r, c) for c in range(array.shape[1])])

    def column(title, array, c):
        return Cells(title, array, [(r, c) for r in range(array.shape[0])])

    return draw_cells(
        [Cells("y", x @ w, [(i, j)]), "=", row("x", x, i), "@", column("w", w, j)],
        [Cells("dx", dy @ w.T, [(i, k)]), "=", row("dy", dy, i), "@", column("wᵀ", w.T, k)],
        [Cells("dw", x.T @ dy, [(k, j)]), "=", row("xᵀ", x.T, k), "@", column("dy", dy, j)],
    )


explore(
    draw_product,
    "Three equations of small matrices: y = x @ w, dx = dy @ wᵀ, dw = xᵀ @ dy; a row times a column is framed in each.",
    i=[1, 0],
    k=[0, 1, 2],
    j=[2, 0, 1, 3],
)

# %% [markdown]
# ## One number at a time
#
# The same as three loops. Each turn makes one product, `x[i, k] * w[k, j]`, and its gradient is lesson 01's: what comes from
# above, times the other factor.


# %%
def matmul_by_loops(x, w, dy):
    """y = x @ w and the gradients of x and w."""
    y, dx, dw = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(w.shape)
    for i in range(x.shape[0]):
        for j in range(w.shape[1]):
            for k in range(x.shape[1]):
                y[i, j] += x[i, k] * w[k, j]
                dx[i, k] += dy[i, j] * w[k, j]
                dw[k, j] += dy[i, j] * x[i, k]
    return y, dx, dw


for name, got, product in zip(("y", "dx", "dw"), matmul_by_loops(x, w, dy), (x @ w, dy @ w.T, x.T @ dy), strict=True):
    print(name, "agrees with the picture:", (got == product).all())

# %% [markdown]
# Now the scores. *Softmax* makes them positive with exp and divides by the sum, so that they add up to 1:
#
# $$p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# Every score has a say in every probability, through the sum. So this function has a Jacobian that is not diagonal, K x K
# numbers $\partial p_i / \partial x_j$. We want to see it once, for one row of scores, before we avoid it.


# %%
def softmax_of_row(x):
    e = [math.exp(value) for value in x]
    return np.array([value / sum(e) for value in e])


softmax_of_row([2.0, 1.0, 0.0, -1.0]).round(3)


# %% exercise="softmax_jacobian"
def softmax_jacobian(p):
    """The derivatives of probabilities p (K,) with respect to their scores: (K, K), row i for p[i]."""
    # --- solution
    return np.diag(p) - np.outer(p, p)
    # --- end


# %%
def draw_jacobian(scale):
    p = softmax_of_row(scale * np.array([2.0, 1.0, 0.0, -1.0]))
    return draw_cells(
        [Cells("scores", scale * np.array([2.0, 1.0, 0.0, -1.0]), digits=1), "→", Cells("p", p, digits=2)],
        [Cells("Jacobian: p[i] down, score[j] across", softmax_jacobian(p), digits=2)],
    )


explore(
    draw_jacobian,
    "Four scores, their probabilities 0.64, 0.24, 0.09, 0.03, and the 4 x 4 Jacobian: positive on the diagonal only.",
    scale=[1, 2, 5, 0.1],
)

# %% [markdown]
# Each row adds up to 0: if all scores grow by the same amount, the probabilities stay as they are. And each column does: what one
# class gains, the others lose. Now make the scores five times as large. One probability goes to 1, and the whole Jacobian
# to 0. Softmax is *saturated*, and next to no gradient gets through it. Lesson 07 has to do something about that.

# %% [markdown]
# ## All at once
#
# From the picture, in code: dx = dy @ wᵀ and dw = xᵀ @ dy. Two things more. NumPy's `@` also multiplies *stacks* of matrices, and
# stacks broadcast:
#
# | x | w | y | where |
# |---|---|---|---|
# | (N, D) | (D, M) | (N, M) | one image |
# | (B, N, D) | (D, M) | (B, N, M) | a batch: w is used for every image |
# | (B, heads, N, D_h) | (B, heads, D_h, N) | (B, heads, N, N) | attention, lesson 07 |
#
# So "transposed" means the last two axes only, `swapaxes(-1, -2)`. And where a matrix was used several times, its gradients
# add up, as always. Here is the new Tensor; it looks for your `matmul` below.


# %% tags=["keep"]
class Tensor(built("Tensor")):
    """Lesson 02's Tensor with the matrix product."""

    def __matmul__(self, other):
        return product(self, other)

    def __rmatmul__(self, other):
        return product(other, self)


def product(a, b):
    """a @ b. A vector takes part as a matrix of one row (left) or of one column (right), as in NumPy."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("a matrix product wants at least one axis on each side; for a single number take *")
    rows = a.reshape(1, -1) if a.ndim == 1 else a  # (..., m, k)
    columns = b.reshape(-1, 1) if b.ndim == 1 else b  # (..., k, n)
    out = matmul(rows, columns)  # (..., m, n)
    if a.ndim == 1:
        out = out[..., 0, :]
    return out[..., 0] if b.ndim == 1 else out


# %% exercise="matmul"
def matmul(a, b):
    """a @ b for matrices and stacks of them: (..., m, k), (..., k, n) -> (..., m, n)."""
    x, w = arrays(a, b)

    def vjp(dy):
        # --- solution
        dx = dy @ w.swapaxes(-1, -2)  # (..., m, n) @ (..., n, k)
        dw = x.swapaxes(-1, -2) @ dy  # (..., k, m) @ (..., m, n)
        return unbroadcast(dx, x.shape), unbroadcast(dw, w.shape)
        # --- end

    return record(x @ w, (a, b), vjp)


# %% [markdown]
# For softmax as an operation, two things need care.
#
# **Overflow.** In float32, exp(89) is infinite, and infinity divided by infinity is no number. But softmax does not change when all
# scores of a row shrink by the same amount. Subtract the largest one: then every exponent is 0 or less.
#
# **No Jacobian.** Lesson 07 takes the softmax of thousands of rows of 65 numbers at once; nobody wants a matrix of 65 x 65 for
# each. Write down $dx_j = \sum_i dp_i\, \partial p_i / \partial x_j$ with the Jacobian from above, and it
# falls apart into sums that NumPy does on whole arrays.


# %% exercise="softmax"
def softmax(a, axis=-1):
    """exp(a) divided by its sum over an axis."""
    x = a.data
    # --- solution
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)

    def vjp(dp):
        return (p * (dp - (p * dp).sum(axis=axis, keepdims=True)),)

    return record(p, (a,), vjp)
    # --- end


# %% [markdown]
# ## Your turn
#
# The loss. The network gives the right class the probability p; we want it large. $-\log p$ is 0 if p = 1, and grows without
# bound as p goes to 0. This is the *cross-entropy*, averaged over the batch:
#
# $$L = -\frac{1}{B} \sum_b \sum_k t_{bk} \log p_{bk}$$
#
# The target t is 1 for the right class and 0 for the others. With *label smoothing* s, a share s of it is spread evenly over all K
# classes: $(1 - s) + s/K$ for the right one, $s/K$ for the others, so that nobody is asked for a probability of exactly 1.
#
# It is tempting to take the log of softmax. But a probability may come out as 0 in floating point, with the log $-\infty$. Use
# $\log p_i = x_i - \log \sum_j e^{x_j}$ instead, again with the largest score subtracted first.


# %% exercise="cross_entropy"
def cross_entropy(logits, labels, smoothing=0.0):
    """The mean cross-entropy of logits, a Tensor (B, K), and class numbers, an array (B,)."""
    x = logits.data
    # --- solution
    B, K = x.shape
    target = np.full((B, K), smoothing / K, x.dtype)
    target[np.arange(B), labels] += 1 - smoothing
    shifted = x - x.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # (B, K)

    def vjp(dy):
        return (dy * (np.exp(log_p) - target) / B,)

    return record(-(target * log_p).sum() / B, (logits,), vjp)
    # --- end


# %%
rng = np.random.default_rng(0)
x, w = Tensor(rng.standard_normal((2, 3, 4))), Tensor(rng.standard_normal((4, 5)))
labels = np.array([3, 0])
checks = {
    "stack @ matrix": (lambda x, w: x @ w, x, w),
    "stack @ stack": (lambda x: x @ x.transpose(0, 2, 1), x),
    "softmax(x)": (softmax, x),
    "softmax(x, axis=1)": (lambda x: softmax(x, axis=1), x),
    "cross_entropy": (lambda x: cross_entropy(x[:, 0], labels), x),
    "cross_entropy, smoothed": (lambda x: cross_entropy(x[:, 0], labels, 0.1), x),
}
for name, (function, *inputs) in checks.items():
    print(f"{name:26}{gradient_error(function, *inputs):.0e}")

# %% [markdown]
# Look at how simple the loss's gradient is: *probability minus target*, divided by B. The vjp of softmax, log and mean
# together is simpler than those of the parts.
#
# Now the smallest classifier there is: each image as one long row of 3,072 numbers, times one matrix W, plus a bias. W begins as zeros,
# so all ten classes have the probability 0.1, and the loss begins at $-\log 0.1 = \ln 10 \approx 2.303$. Column k of W
# has a number for each number of an image, so it can be looked at as an image itself: what the classifier
# wants to see, before it says k.


# %%
train, test = shapes("train", count=2000), shapes("test", count=500)


def rows_of(data):
    return preprocess(data.images).reshape(len(data.labels), -1)  # (B, 3072)


def descend(steps=80, rate=0.01):
    """A linear classifier, and its loss before each step."""
    images = rows_of(train)
    W = Tensor(np.zeros((3072, 10), np.float32), requires_grad=True)
    bias = Tensor(np.zeros(10, np.float32), requires_grad=True)
    losses = []
    for _ in range(steps):
        loss = cross_entropy(images @ W + bias, train.labels)
        losses.append(loss.item())
        W.grad = bias.grad = None
        loss.backward()
        W.data -= rate * W.grad
        bias.data -= rate * bias.grad
    return W, bias, losses


W, bias, losses = descend()
right = ((rows_of(test) @ W + bias).data.argmax(axis=-1) == test.labels).mean()
print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}; right on new images: {right:.0%}, by guessing: 10%")

# %%
figure = Figure(figsize=(8, 3.2), layout="constrained")
left, right_half = figure.subfigures(1, 2, width_ratios=[1, 1.7])
axes = left.subplots()
axes.plot(losses, color="#0072b2")
axes.set_xlabel("step"), axes.set_ylabel("loss")
columns = W.data.reshape(32, 32, 3, 10)
for k, axes in enumerate(right_half.subplots(2, 5).flat):
    axes.imshow(0.5 + 0.5 * columns[..., k] / abs(columns).max(), interpolation="nearest")
    axes.set_title(train.classes[k], fontsize=9)
    axes.set_axis_off()
show(figure, "The loss falls from 2.30; beside it ten faint, noisy images, one for each class; a ring can be made out.")

# %% [markdown]
# It learns, but little: better than guessing, and far from good. The shapes are as often dark as bright, and they move about, so
# no pixel speaks for a class. A weighted sum of pixels cannot say "the same shape, over there, in another colour". That takes
# layers.

# %% [markdown]
# ## In the paper
#
# Self-attention is three kinds of product and one softmax; the heads' stacks are what `swapaxes` and `unbroadcast` are for:
#
# $$[q, k, v] = z\,U_{qkv} \quad (5) \qquad A = softmax(q k^\top / \sqrt{D_h}) \quad (6) \qquad SA(z) = A v \quad (7)$$
#
# | paper | here | shapes |
# |---|---|---|
# | $z\,U_{qkv}$ | `z @ w` | (B, N, D) @ (D, 3 D_h) |
# | $q k^\top$ | `q @ k.transpose(0, 1, 3, 2)` | (B, heads, N, D_h) @ (B, heads, D_h, N) |
# | $A$ | `softmax(...)`, over the last axis | (B, heads, N, N) |
# | $A v$ | `A @ v` | (B, heads, N, N) @ (B, heads, N, D_h) |
#
# The loss has no equation in the paper; it is the cross-entropy. For fine-tuning, section 3.2 puts a new matrix of zeros (D x K)
# at the end: like our W, it begins at $\ln K$. Tables 3 and 4 list no label smoothing; many recipes for small data
# sets use it.
#
# `minivit` has the same three: `matmul` in [ops.py](../minivit/engine/ops.py), `softmax` and `cross_entropy` in
# [fused.py](../minivit/engine/fused.py), which use fewer passes over memory. Its [reference.py](../minivit/engine/reference.py) writes
# both from the simple operations and lets the engine find the vjps.

# %% [markdown]
# ## Break it and see
#
# Why did `gradient_error` take random numbers v, and not the plain sum of the outputs, $L = \sum y$? Here is a softmax
# whose vjp is nonsense: it returns zeros. Compare it with the slopes, both ways.


# %%
def lazy_softmax(a):
    return record(softmax(a).data, (a,), lambda dp: (np.zeros_like(dp),))


def slopes_and_gradients(v, scores=(2.0, 1.0, 0.0, -1.0)):
    """Of L = sum(v * softmax): the slopes, and the gradients by both vjps."""
    scores = np.array([scores])
    step = 1e-5 * np.eye(4)
    above, below = softmax(Tensor(scores + step)).data, softmax(Tensor(scores - step)).data
    results = [((above - below) @ v / 2e-5)[None]]
    for function in (softmax, lazy_softmax):
        x = Tensor(scores, requires_grad=True)
        function(x).backward(v[None])
        results.append(x.grad)
    return results


lines = []
for title, v in (("all 1", np.ones(4)), ("random", np.random.default_rng(1).standard_normal(4))):
    found, true, lazy = slopes_and_gradients(v)
    wrong = [(0, j) for j in range(4) if abs(lazy[0, j] - found[0, j]) > 1e-6]
    cells = [Cells("slopes", found), Cells("softmax", true), Cells("lazy", lazy, wrong)]
    lines.append([f"v {title:6}", *(Cells(c.title, c.array, c.marked, digits=2) for c in cells)])
show(
    draw_cells(*lines),
    "With v all 1, slopes and both gradients are 0. With random v the lazy gradient is still 0, and the slopes are not.",
)

# %% [markdown]
# The probabilities of a row always add up to 1, whatever the scores. So the slope of their plain sum *is* zero, and a test with it
# praises a vjp that does nothing. Lesson 04's layer normalisation has the same blind spot: its rows add up to 0. A check that
# cannot fail is worse than none, for it looks like one. Put $\sum y^2$ in place of the plain sum: is that enough here?
#
# <details><summary>Answer</summary>
#
# Here yes: the slopes are no longer 0, unless all scores are equal. But layer normalisation makes the squares of a row add
# up to a constant too, so there this sum is as blind as the plain one. Random numbers v know no such rule.
#
# </details>

# %% [markdown]
# ## Summary
#
# - The gradients of a matrix product are two matrix products: dx = dy wᵀ, dw = xᵀ dy. Backward costs twice what forward does.
# - Softmax's Jacobian is diag(p) - p pᵀ; its vjp is p · (dp - Σ p dp). Large scores saturate it.
# - The gradient of cross-entropy is probability minus target. It starts at ln K when the scores are all equal.
# - Check gradients with random numbers in front of the outputs.

# %% [markdown]
# ## What comes next
#
# The engine is complete. In [lesson 04](04_layers.ipynb) you build with it: linear layers, layer normalisation, GELU and the MLP, with
# parameters that have names.
