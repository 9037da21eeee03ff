# %% [markdown]
# # 03 · Products: the matrix product, softmax and the loss
#
# *Comes after lesson [02](02_tensors.ipynb). In the paper: the operations of Eqs. 5 to 7, and the loss.*
#
# You will add the matrix product to your Tensor, and build the two functions at the end of every model that chooses a class:
# softmax turns logits into probabilities, and cross-entropy measures how wrong these are. Then the engine is complete.

# %% tags=["keep"]
import math

import numpy as np
from matplotlib.figure import Figure

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons.pictures.cells import BLIND_CHECK, Cells, draw_cells
from minivit_lessons.puzzles import show_attempt

record, arrays, unbroadcast, gradient_error = built("record", "arrays", "unbroadcast", "gradient_error")

# %% [markdown]
# ## The question
#
# A layer of a network computes M numbers from D numbers, each a weighted sum of all D. Written with arrays, it multiplies a
# vector by a D x M matrix: a **matrix product**, `@` in Python. All of the 11 million multiplications that lesson 02 counted
# for one image are parts of such products. What is the vector-Jacobian product of `@`?
#
# At the end of the network there are K logits, one for each class, of any size and sign. We need two things from them:
# a **probability** for each class, and one number L, the loss, which tells how far these probabilities are from the truth,
# so that `backward()` has a place to start. What are their vector-Jacobian products?

# %% [markdown]
# ## The picture
#
# Each number of y = x @ w is a row of x times a column of w. Follow one number in the backward pass: `x[i, k]` was used for the
# whole row i of y, each time with another number of row k of w. So its gradient is row i of dy times row k of w, and this is column k
# of wᵀ. In the same way, `w[k, j]` needs column k of x (row k of xᵀ) and column j of dy. Move the sliders and follow the
# orange frames.

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
# Here is the same as three loops. Each pass through the inner loop computes one product, `x[i, k] * w[k, j]`. Its gradients are those of
# lesson 01: the gradient of the result, times the other factor.


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
# Now the logits. The function **softmax** makes them positive with exp and divides by the sum, so that the results add up to 1:
#
# $$p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# Through the sum, every logit influences every probability. So the Jacobian of this function is not diagonal: it has K x K
# entries $\partial p_i / \partial x_j$. Let us look at it once, for one row of logits, before we avoid it.


# %%
def softmax_of_row(x):
    e = [math.exp(value) for value in x]
    return np.array([value / sum(e) for value in e])


softmax_of_row([2.0, 1.0, 0.0, -1.0]).round(3)


# %% exercise="softmax_jacobian"
def softmax_jacobian(p):
    """The derivatives of probabilities p (K,) with respect to their logits: (K, K), row i for p[i]."""
    # --- solution
    return np.diag(p) - np.outer(p, p)
    # --- end


# %%
def draw_jacobian(scale):
    p = softmax_of_row(scale * np.array([2.0, 1.0, 0.0, -1.0]))
    return draw_cells(
        [Cells("logits", scale * np.array([2.0, 1.0, 0.0, -1.0]), digits=1), "→", Cells("p", p, digits=2)],
        [Cells("Jacobian: p[i] down, logit[j] across", softmax_jacobian(p), digits=2)],
    )


explore(
    draw_jacobian,
    "Four logits, their probabilities 0.64, 0.24, 0.09, 0.03, and the 4 x 4 Jacobian: positive on the diagonal only.",
    scale=[1, 2, 5, 0.1],
)

# %% [markdown]
# Each row adds up to 0, since the probabilities do not change if all logits grow by the same amount. Each column adds up to 0,
# since what one class gains, the others lose. Now make the logits five times as large. One probability goes to 1, and the whole
# Jacobian goes to 0. Softmax is then *saturated*: almost no gradient passes through it. Lesson 07 has to solve this problem.

# %% [markdown]
# ## All at once
#
# From the picture, in code: dx = dy @ wᵀ and dw = xᵀ @ dy. Two more things are needed. First, NumPy's `@` also multiplies *stacks* of
# matrices, and stacks broadcast:
#
# | x | w | y | where |
# |---|---|---|---|
# | (N, D) | (D, M) | (N, M) | one image |
# | (B, N, D) | (D, M) | (B, N, M) | a batch: w is used for every image |
# | (B, heads, N, D_h) | (B, heads, D_h, N) | (B, heads, N, N) | lesson 07 |
#
# So "transposed" means the last two axes only, `swapaxes(-1, -2)`. Second, where a matrix was used several times, its gradients
# are added, as always. Here is the new Tensor; it calls your `matmul` below.


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
        raise ValueError("a matrix product needs at least one axis on each side; for a single number use *")
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
# Softmax as an op has two difficulties.
#
# **Overflow.** In float32, exp(89) is infinite, and infinity divided by infinity is not a number (nan). But softmax does not change
# if the same number is subtracted from all logits of a row. Subtract the largest one: then every exponent is 0 or less.
#
# **No Jacobian.** Lesson 07 needs the softmax of thousands of rows of 65 numbers at once, and a 65 x 65 matrix for each would be far
# too much. Insert the Jacobian from above into $dx_j = \sum_i dp_i\, \partial p_i / \partial x_j$, and it
# becomes a few sums that NumPy computes for whole arrays.


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
# Now the loss. The network gives the right class the probability p, and training should make it large. The number $-\log p$ is 0 if p = 1, and
# grows without bound as p approaches 0. Its mean over the batch is the **cross-entropy**:
#
# $$L = -\frac{1}{B} \sum_b \sum_k t_{bk} \log p_{bk}$$
#
# The target t of an image is a **one-hot vector**: 1 for the right class and 0 for the others. With **label smoothing** s, a
# share s of the target is spread evenly over all K classes: $(1 - s) + s/K$ for the right class, $s/K$ for the others. Then no
# probability has to become exactly 1.
#
# It is tempting to take the log of softmax. But a probability may be 0 in floating point, and its log is $-\infty$. Use
# $\log p_i = x_i - \log \sum_j e^{x_j}$ instead, again with the largest logit subtracted first.


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
# Look at how simple the gradient of the loss is: *probability minus target*, divided by B. For softmax, log and mean together, the
# vector-Jacobian product is simpler than those of the parts.
#
# Now the simplest classifier there is: each image is one long row of 3,072 numbers, and its logits are this row times one matrix W,
# plus a bias. W begins as zeros, so all ten classes have the probability 0.1, and the loss begins at
# $-\log 0.1 = \ln 10 \approx 2.303$. Column k of W has one number for each number of an image, so we can draw it as an image: it
# shows what an image must look like to get a large logit of class k.


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
# It learns, but little: it is better than guessing, and far from good. The shapes are as often dark as bright, and they move about, so
# a single pixel tells almost nothing about the class. A weighted sum of pixels cannot express "the same shape, but over there and in another
# colour". That takes several layers.

# %% [markdown]
# Before the paper, a puzzle with `@`. Image libraries store a row of pixels as r g b r g b ...: pixel after pixel, and in each the C
# channels. A (d, d) matrix w can mix the d pixels of a row, for example reverse or blur them. But each channel must keep to itself.


# %% exercise="mix_pixels"
def mix_pixels(x, w, N, d, C):
    """Each row and channel of x, a vector v of d pixels, becomes v @ w: (N, d C), (d, d) -> (N, d C)."""
    # --- solution
    return (x.reshape(N, d, C).transpose(0, 2, 1) @ w).transpose(0, 2, 1).reshape(x.shape)
    # --- end


# %%
labelled = (10 * np.arange(1, 4)[:, None] + np.arange(1, 3)).reshape(1, 6)  # 21 is pixel 2, channel 1
labelled = np.concatenate([labelled, labelled + 50])
mirror = np.eye(3, dtype=int)[::-1]  # v @ mirror is v reversed
show_attempt("mix_pixels", Cells("x", labelled), labelled, mirror, 2, 3, 2, right=labelled[:, [4, 5, 2, 3, 0, 1]])

# %% [markdown]
# ## In the paper
#
# Equations 5 to 7 consist of three kinds of matrix product and one softmax. Their stacks are what `swapaxes` and `unbroadcast` are for:
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
# The paper has no equation for the loss. At the end of a trained model, section 3.2 puts a new matrix of zeros (D x K). So the
# loss begins at $\ln K$, as with our W. Label smoothing is not in Tables 3 and 4, but section 4.3 tunes it for the smaller data
# sets.
#
# `minivit` has the same three ops: `matmul` in [ops.py](../minivit/engine/ops.py), `softmax` and `cross_entropy` in
# [fused.py](../minivit/engine/fused.py), where they take fewer passes over memory. Its
# [reference.py](../minivit/engine/reference.py) writes both with the simple ops, and lets the engine find the gradients.

# %% [markdown]
# ## Break it and see
#
# Why did `gradient_error` take random numbers v, and not the plain sum of the outputs, $L = \sum y$? Here is a softmax with a
# nonsensical vjp: it returns zeros. Guess which of the two losses reveals it. Then compare its gradient with the finite
# differences, for both losses.


# %%
def lazy_softmax(a):
    return record(softmax(a).data, (a,), lambda dp: (np.zeros_like(dp),))


def differences_and_gradients(v, logits=(2.0, 1.0, 0.0, -1.0)):
    """Of L = sum(v * softmax): the finite differences, and the gradients by both vjps."""
    logits = np.array([logits])
    step = 1e-5 * np.eye(4)
    above, below = softmax(Tensor(logits + step)).data, softmax(Tensor(logits - step)).data
    results = [((above - below) @ v / 2e-5)[None]]
    for function in (softmax, lazy_softmax):
        x = Tensor(logits, requires_grad=True)
        function(x).backward(v[None])
        results.append(x.grad)
    return results


lines = []
for title, v in (("all 1", np.ones(4)), ("random", np.random.default_rng(1).standard_normal(4))):
    found, true, lazy = differences_and_gradients(v)
    wrong = [(0, j) for j in range(4) if abs(lazy[0, j] - found[0, j]) > 1e-6]
    cells = [Cells("differences", found), Cells("softmax", true), Cells("lazy", lazy, wrong)]
    lines.append([f"v {title:6}", *(Cells(c.title, c.array, c.marked, digits=2) for c in cells)])
show(draw_cells(*lines), BLIND_CHECK)

# %% [markdown]
# The probabilities of a row always add up to 1, whatever the logits are. So the derivatives of their plain sum *are* zero, and a test
# with this sum passes a vjp that does nothing. Lesson 04 has a layer with the same property: its rows add up to 0. A test that
# cannot fail is worse than no test, because it looks like one. Suppose the loss is $\sum y^2$ instead: is that enough here?
#
# <details><summary>Answer</summary>
#
# Here it is: the derivatives are no longer 0, unless all logits are equal. But in the layer of lesson 04, the squares of a row also
# add up to a constant, so there this loss reveals as little as the plain sum. Random numbers v are not bound to any such rule.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# ```python
# import torch
# import torch.nn.functional as F
#
# y = x @ w                                    # also for stacks, which broadcast
# p = torch.softmax(logits, dim=-1)            # softmax
# log_p = F.log_softmax(logits, dim=-1)        # x - log of the sum of exp(x), without overflow
# loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
# ```
#
# | what differs | here | PyTorch |
# |---|---|---|
# | axis of softmax | `axis=-1` by default | `dim` must be given |
# | input of the loss | logits | logits too: a softmax before it is a common mistake that raises no error |
# | axis of the classes | the last one | axis 1, also if there are more axes: (B, K, ...) |
# | labels | any array of integers | int64; or probabilities of the shape of the logits |
# | `cross_entropy` without the mean | not available | `reduction="none"` or `"sum"` |
# | transposed matrices of a stack | `swapaxes(-1, -2)` | `w.mT` or `w.transpose(-1, -2)`; NumPy 2 has `mT` too |

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    rng = np.random.default_rng(5)
    z, v, labels = rng.standard_normal((4, 6)), rng.standard_normal((6, 10)), np.array([3, 0, 9, 3])
    ours_z, ours_v = Tensor(z, requires_grad=True), Tensor(v, requires_grad=True)
    theirs_z, theirs_v = torch.tensor(z, requires_grad=True), torch.tensor(v, requires_grad=True)

    agree("softmax", softmax(ours_z @ ours_v), torch.softmax(theirs_z @ theirs_v, dim=-1))
    ours = cross_entropy(ours_z @ ours_v, labels, smoothing=0.1)
    theirs = torch.nn.functional.cross_entropy(theirs_z @ theirs_v, torch.tensor(labels), label_smoothing=0.1)
    agree("cross_entropy with label smoothing", ours, theirs)
    ours.backward()
    theirs.backward()
    agree("gradient of z, through all three", ours_z.grad, theirs_z.grad)
    agree("gradient of v", ours_v.grad, theirs_v.grad)

# %% [markdown]
# ## What came before and after
#
# - [Bridle, 1990](https://doi.org/10.1007/978-3-642-76153-9_28) proposed softmax, a normalised exponential, so that the outputs
#   of a network can be treated as probabilities, together with a loss that takes the log of a probability instead of a squared error.
# - [Szegedy et al., 2015](https://arxiv.org/abs/1512.00567) introduced label smoothing for their Inception network.
# - [Müller, Kornblith and Hinton, 2019](https://arxiv.org/abs/1906.02629) found that label smoothing keeps networks from becoming
#   over-confident.
# - Are the outputs of softmax true probabilities? [Guo et al., 2017](https://arxiv.org/abs/1706.04599) found that modern networks are
#   poorly calibrated, and that on most data sets one number repairs much of it: all logits are divided by it.
# - [Milakov and Gimelshein, 2018](https://arxiv.org/abs/1805.02867) compute softmax with fewer memory accesses, which makes it up to
#   1.3 times as fast.

# %% [markdown]
# ## Summary
#
# - The gradients of a matrix product are two matrix products: dx = dy wᵀ, dw = xᵀ dy. So the backward pass costs twice as much as the
#   forward pass.
# - The Jacobian of softmax is diag(p) - p pᵀ; its vector-Jacobian product is p · (dp - Σ p dp). Large logits saturate it.
# - The gradient of cross-entropy is probability minus target. The loss starts at ln K if all logits are equal.
# - Check gradients with a loss that multiplies the outputs by random numbers.

# %% [markdown]
# ## What comes next
#
# The engine is complete. In [lesson 04](04_layers.ipynb) you build with it: linear layers, layer normalisation, GELU and the MLP, with
# parameters that have names.
