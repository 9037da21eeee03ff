# %% [markdown]
# # 02 · Tensors: automatic differentiation for arrays
#
# *Comes after lesson [01](01_scalars.ipynb). In the paper: what Eqs. 1 and 4 do with shapes.*
#
# You will build the engine that every later lesson runs on: an array that remembers how it was made, and a backward pass through
# this record. When it works, you will never have to derive the gradient of a whole network by hand.

# %% tags=["keep"]
import itertools

import numpy as np
from matplotlib.figure import Figure

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons.pictures.cells import Cells, draw_cells
from minivit_lessons.puzzles import show_attempt

# %% [markdown]
# ## The question
#
# In lesson 01, each number was an object with parents. The small Vision Transformer of lesson 09 needs about 11 million
# multiplications for a single image of 32 x 32 pixels. With an object for each product, Python would be busy for many seconds and
# fill gigabytes. So let one object hold a whole *array*, and let NumPy do the arithmetic. Such an object is called a **tensor**.
#
# But what is a derivative now? If y has n numbers and x has m, there are n · m derivatives. Their matrix is called the
# **Jacobian**. When that Vision Transformer is trained, tanh is applied to arrays of about a million numbers: the Jacobian would
# have $10^{12}$ entries, all of them zero except for the diagonal.
#
# We never need it. We need $dL/dx$ for the loss $L$, which is a single number. And in the backward pass, $dL/dy$ is
# known before we come to x. So each operation needs a function from $dL/dy$ to $dL/dx$. Mathematically, it multiplies the
# vector $dL/dy$ by the Jacobian, so it is called the **vector-Jacobian product**, `vjp` for short. But it never writes the
# Jacobian down: for tanh it is one product for each number.
#
# An operation together with its vector-Jacobian product is an **op**. In code, we write `dy` for $dL/dy$, `dx` for $dL/dx$ and so on.
# Remember one rule: `dx` always has the shape of x.

# %% [markdown]
# ## The picture
#
# Arrays bring one thing that single numbers do not have: **broadcasting**. Below, x has three rows and b has one, so NumPy uses b
# three times, as if it had been copied (pale). In the backward pass, each copy gets its gradient. And lesson 01's rule
# for a value that is used several times holds here too: its gradients are added. So the gradient of b is the sum over the copies.

# %%
x = np.array([[1, 2, 0, 1], [0, 3, 1, 2], [2, 1, 1, 0]])
b = np.array([3, -1, 2, 1])
dy = np.array([[1, -2, 0, 3], [2, 1, -1, 0], [0, 1, 4, -1]])

show(
    draw_cells(
        [Cells("x", x), "+", Cells("b, copied", np.stack([b, b, b]), pale=[1, 2]), "=", Cells("y", x + b)],
        [Cells("dy", dy, [(0, 0), (1, 0), (2, 0)]), "→  down the columns  →", Cells("db", dy.sum(axis=0), [(0, 0)])],
    ),
    "Above, x plus b is y, where the row b stands three times. Below, db: each number is the sum of a column of dy.",
)

# %% [markdown]
# ## One number at a time
#
# Here is a product with broadcasting, y = x · w, as lesson 01 would compute it: number by number, with += for every use.


# %%
def product_by_loops(x, w, dy):
    """The gradients of y = x * w for x of shape (m, n) and w of shape (n,)."""
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            # y[i, j] = x[i, j] * w[j]
            dx[i, j] += dy[i, j] * w[j]
            dw[j] += dy[i, j] * x[i, j]
    return dx, dw


product_by_loops(x, b, dy)  # the row b as w

# %% [markdown]
# The loops do two things at once. The first is `dy * x`: the gradient of each *copy* of w, in the shape of y. The second is the sum
# over the copies. It is the same for every op that broadcasts, so we write it once. NumPy repeats a value in two ways, and both must
# be undone:
#
# | shape of w | shape of y | what NumPy did | sum over |
# |---|---|---|---|
# | (4,) | (3, 4) | added a new axis in front | axis 0, which disappears |
# | (3, 1) | (3, 4) | stretched an axis of length 1 | axis 1, which stays with length 1 |
# | (2, 1, 4) | (5, 2, 3, 4) | both | axes 0 and 2 |
# | () | (3, 4) | added two new axes | both |


# %% exercise="unbroadcast"
def unbroadcast(dy, shape):
    """The gradient of an array of that shape which was broadcast to the shape of dy."""
    # --- solution
    if dy.shape == shape:
        return dy
    new = dy.ndim - len(shape)  # axes that broadcasting put in front
    stretched = [new + i for i, length in enumerate(shape) if length == 1]
    return dy.sum(axis=(*range(new), *stretched)).reshape(shape)
    # --- end


# %% [markdown]
# ## All at once
#
# Our `Tensor` is an array with three notes: the Tensors it was made from (`parents`), the `vjp` of the op that made it, and
# its age (`number`, as in lesson 01). A Tensor that no op made, such as a parameter, is a **leaf**: its gradient is what we are after.
# Most of the class connects operators such as `*` with their ops, which we write below.


# %% tags=["keep"]
class Tensor:
    """An array of floating-point numbers that remembers how it was made."""

    numbers = itertools.count()
    __array_ufunc__ = None  # NumPy then leaves `array * tensor` to __rmul__ below

    def __init__(self, data, requires_grad=False):
        is_float = isinstance(data, np.ndarray | np.floating) and data.dtype.kind == "f"
        self.data = np.asarray(data) if is_float else np.asarray(data, np.float32)
        self.requires_grad = requires_grad  # whether backward() must find dL/d(this)
        self.grad = None  # where backward() leaves it, if this is a leaf
        self.parents = ()  # the inputs of the op that made it; None for those that need no gradient
        self.vjp = None
        self.number = next(Tensor.numbers)

    def backward(self, grad=None):
        """Add dL/d(leaf) to the `.grad` of every leaf below. `grad` is dL/d(this), 1 if this is the loss itself."""
        if not self.requires_grad:
            raise ValueError("this Tensor was made from nothing that needs a gradient")
        if grad is None and self.data.size == 1:
            grad = np.ones(self.shape)
        dy = np.asarray(grad.data if isinstance(grad, Tensor) else grad, self.dtype)
        if dy.shape != self.shape:
            raise ValueError(f"backward() needs a gradient of shape {self.shape} here, not {dy.shape}")
        for leaf, gradient in backward_walk(self, dy).items():
            if leaf.grad is None:
                leaf.grad = np.array(gradient)  # a copy: the array may be part of another gradient
            else:
                leaf.grad += gradient

    def item(self):
        return self.data.item()

    def detach(self):
        """The same numbers as a constant: gradients stop here."""
        return type(self)(self.data)

    def __repr__(self):
        return f"Tensor({self.data}, requires_grad={self.requires_grad})"

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    dtype = property(lambda self: self.data.dtype)
    T = property(lambda self: transpose(self))

    # fmt: off
    def __add__(self, other): return add(self, other)
    def __radd__(self, other): return add(other, self)
    def __neg__(self): return negative(self)
    def __sub__(self, other): return subtract(self, other)
    def __rsub__(self, other): return subtract(other, self)
    def __mul__(self, other): return multiply(self, other)
    def __rmul__(self, other): return multiply(other, self)
    def __truediv__(self, other): return divide(self, other)
    def __rtruediv__(self, other): return divide(other, self)
    def __pow__(self, exponent): return power(self, exponent)
    def __getitem__(self, index): return getitem(self, index)

    def exp(self): return exp(self)
    def log(self): return log(self)
    def tanh(self): return tanh(self)
    def sqrt(self): return power(self, 0.5)
    def reshape(self, *shape): return reshape(self, *shape)
    def transpose(self, *axes): return transpose(self, *axes)
    def sum(self, axis=None, keepdims=False): return total(self, axis, keepdims)
    def max(self, axis=None, keepdims=False): return largest(self, axis, keepdims)
    # fmt: on

    def mean(self, axis=None, keepdims=False):
        out = self.sum(axis, keepdims)
        return out * (out.data.size / self.data.size)


# %% [markdown]
# An op takes the arrays out of its inputs, computes, and passes three things to `record`: the result, the inputs and its `vjp`.
# Nothing is differentiated yet: the vjp waits for `backward`. All these records together are called the **tape**: the forward
# pass writes it, the backward pass reads it in reverse. Here are three helper functions and the first op, `add`. All others follow
# its pattern:
#
# - `vjp(dy)` returns a *tuple* with one gradient for each input, in their order. A constant gets one too; the backward pass will
#   ignore it.
# - It works on plain arrays: `dy` and the gradients are arrays. It also uses the inputs as arrays (in `add`, x and w), never the
#   Tensors a and b.
# - It must never change `dy`: the same array may be on its way to another Tensor.


# %% tags=["keep"]
def arrays(*inputs):
    """The arrays of an op's inputs. A number or array beside a Tensor is a constant and takes its dtype."""
    dtypes = {x.dtype for x in inputs if isinstance(x, Tensor)}
    if len(dtypes) > 1:
        raise TypeError(f"these Tensors have different element types: {dtypes}")
    (dtype,) = dtypes
    return [x.data if isinstance(x, Tensor) else np.asarray(x, dtype) for x in inputs]


def record(data, inputs, vjp):
    """An op's result as a Tensor, with its notes if any input needs a gradient."""
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    out = type(tensors[0])(data)  # lesson 03 extends the class: results are of the same kind as the inputs
    if any(x.requires_grad for x in tensors):
        out.requires_grad = True
        out.parents = tuple(x if isinstance(x, Tensor) and x.requires_grad else None for x in inputs)
        out.vjp = vjp
    return out


def picks_by_list(index):
    """Whether an index holds a list or an array of positions, such as x[[1, 1, 0]]: it may pick one twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, list | np.ndarray) for part in parts)


def add(a, b):
    """a + b."""
    x, w = arrays(a, b)

    def vjp(dy):
        return unbroadcast(dy, x.shape), unbroadcast(dy, w.shape)

    return record(x + w, (a, b), vjp)


# %% exercise="multiply"
def multiply(a, b):
    """a * b, element by element."""
    x, w = arrays(a, b)

    def vjp(dy):
        # --- solution
        return unbroadcast(dy * w, x.shape), unbroadcast(dy * x, w.shape)
        # --- end

    return record(x * w, (a, b), vjp)


# %% exercise="total"
def total(a, axis=None, keepdims=False):
    """The sum over an axis, over several, or over all of them (None)."""
    shape = a.shape

    def vjp(dy):
        # --- solution
        if axis is not None and not keepdims:
            dy = np.expand_dims(dy, axis)  # the axis that was summed away is back, with length 1
        return (np.broadcast_to(dy, shape),)
        # --- end

    return record(a.data.sum(axis=axis, keepdims=keepdims), (a,), vjp)


# %% exercise="getitem"
def getitem(a, index):
    """a[index], for any index that NumPy understands."""
    shape, dtype = a.shape, a.dtype

    def vjp(dy):
        # --- solution
        dx = np.zeros(shape, dtype)
        if picks_by_list(index):
            np.add.at(dx, index, dy)  # adds as often as a position is picked
        else:
            dx[index] = dy
        return (dx,)
        # --- end

    return record(a.data[index], (a,), vjp)


# %% [markdown]
# The other ops are for reading. Functions of one number multiply dy by their derivative. Ops that only move numbers move dy
# back.


# %% tags=["keep"]
def negative(a):
    return record(-a.data, (a,), lambda dy: (-dy,))


def subtract(a, b):
    x, w = arrays(a, b)
    return record(x - w, (a, b), lambda dy: (unbroadcast(dy, x.shape), unbroadcast(-dy, w.shape)))


def divide(a, b):
    """a / b. Its derivatives are 1 / b and -a / b²."""
    x, w = arrays(a, b)
    out = x / w

    def vjp(dy):
        dx = dy / w
        return unbroadcast(dx, x.shape), unbroadcast(-dx * out, w.shape)

    return record(out, (a, b), vjp)


def power(a, exponent):
    """a ** exponent, for a plain number as exponent."""
    x, exponent = a.data, float(exponent)
    return record(x**exponent, (a,), lambda dy: (dy * (exponent * x ** (exponent - 1)),))


def exp(a):
    out = np.exp(a.data)
    return record(out, (a,), lambda dy: (dy * out,))


def log(a):
    x = a.data
    return record(np.log(x), (a,), lambda dy: (dy / x,))


def tanh(a):
    out = np.tanh(a.data)
    return record(out, (a,), lambda dy: (dy * (1 - out * out),))


def largest(a, axis=None, keepdims=False):
    """The largest number over an axis. Where several are equally large, they share the gradient."""
    x = a.data
    peak = x.max(axis=axis, keepdims=True)

    def vjp(dy):
        if axis is not None and not keepdims:
            dy = np.expand_dims(dy, axis)
        chosen = (x == peak).astype(x.dtype)
        return (dy * chosen / chosen.sum(axis=axis, keepdims=True),)

    return record(peak if keepdims else peak.squeeze(axis), (a,), vjp)


def flat(arguments):
    """So that x.reshape(2, 3) and x.reshape((2, 3)) mean the same."""
    return arguments[0] if len(arguments) == 1 and isinstance(arguments[0], tuple | list) else arguments


def reshape(a, *shape):
    before = a.shape
    return record(a.data.reshape(flat(shape)), (a,), lambda dy: (dy.reshape(before),))


def transpose(a, *axes):
    """The axes in another order: transpose(x, 0, 2, 1); reversed if no order is given."""
    order = [axis % a.ndim for axis in flat(axes)] or range(a.ndim)[::-1]
    back = np.argsort(order)  # where each axis came from
    return record(a.data.transpose(order), (a,), lambda dy: (dy.transpose(back),))


def broadcast_to(a, shape):
    before = a.shape
    return record(np.broadcast_to(a.data, shape), (a,), lambda dy: (unbroadcast(dy, before),))


def concatenate(tensors, axis=0):
    """Several Tensors, one after the other along an axis."""
    parts = arrays(*tensors)
    ends = np.cumsum([part.shape[axis] for part in parts])
    return record(np.concatenate(parts, axis), tensors, lambda dy: tuple(np.split(dy, ends[:-1], axis)))


# %% [markdown]
# ## Your turn
#
# The backward pass itself is still missing. Its order is that of lesson 01, the youngest first. Three things are new. The
# gradients are kept in a dictionary and not on the Tensors. Only leaves keep theirs at the end. And each Tensor is emptied after
# its visit.


# %% tags=["keep"]
def youngest_first(loss):
    """Every Tensor below the loss that an op made, each before its parents."""
    found, waiting = {loss}, [loss]
    while waiting:
        for parent in waiting.pop().parents:
            if parent is not None and parent not in found:
                found.add(parent)
                waiting.append(parent)
    order = sorted((tensor for tensor in found if tensor.vjp), key=lambda tensor: tensor.number)
    found.clear()
    while order:
        yield order.pop()  # taken out of the list: after its visit, nothing here holds it any longer


def used_up(dy):
    raise RuntimeError("backward() went through here before and emptied it: compute the loss again")


# %% exercise="backward_walk"
def backward_walk(loss, dy):
    """The gradient of each leaf below the loss, as {leaf: gradient}; `dy` is the loss's own."""
    arrived = {loss: dy}  # the gradients that have arrived so far, by Tensor
    for tensor in youngest_first(loss):
        # --- solution
        gradients = tensor.vjp(arrived.pop(tensor))
        for parent, gradient in zip(tensor.parents, gradients, strict=True):
            if parent is None:
                continue
            if parent in arrived:
                gradient = arrived[parent] + gradient  # a new array; += would change one that others may hold
            arrived[parent] = gradient
        # --- end
        tensor.parents, tensor.vjp = (), used_up  # let go of everything that it kept alive
    return arrived


# %% [markdown]
# The last line of the loop keeps memory in bounds. The tape holds every array of the forward pass. During the backward pass, each
# visited Tensor lets go of its parents and of the arrays in its vjp, so after `backward` the tape is empty. If you never
# call `backward` on a loss, its tape stays in memory as long as the loss does. So put `loss.item()` into a list, and not `loss`.
#
# Is everything right? Measure it, with the gradient check of lesson 01: move each number of each input a little up and down, and
# compare the finite difference with the gradient. Since y is an array, we take $L = \sum v\,y$ with *random* numbers v. Lesson 03
# shows what a plain sum would miss.


# %% tags=["keep"]
def gradient_error(function, *inputs, step=1e-5):
    """The largest relative difference between a function's gradients and finite differences; the inputs are Tensors."""
    leaves = [type(x)(x.data.astype(np.float64), requires_grad=True) for x in inputs]
    out = function(*leaves)
    v = np.random.default_rng(0).standard_normal(out.shape)
    out.backward(v)
    worst = 0.0
    for leaf in leaves:
        differences = np.zeros(leaf.shape)
        for index in np.ndindex(leaf.shape):
            here = leaf.data[index]
            leaf.data[index] = here + step
            above = (function(*leaves).data * v).sum()
            leaf.data[index] = here - step
            below = (function(*leaves).data * v).sum()
            leaf.data[index] = here
            differences[index] = (above - below) / (2 * step)
        worst = max(worst, abs(leaf.grad - differences).max() / abs(differences).max())
    return worst


# %%
rng = np.random.default_rng(1)
x, w = Tensor(rng.uniform(0.5, 2, (2, 3))), Tensor(rng.uniform(0.5, 2, (4, 1, 3)))
checks = {
    "x + w": (lambda x, w: x + w, x, w),
    "x - w": (lambda x, w: x - w, x, w),
    "x * w": (lambda x, w: x * w, x, w),
    "x / w": (lambda x, w: x / w, x, w),
    "x ** 3": (lambda x: x**3, x),
    "x.sqrt() and x.exp()": (lambda x: x.sqrt() * x.exp(), x),
    "x.log() and x.tanh()": (lambda x: x.log() * x.tanh(), x),
    "w.sum(axis=(0, 2))": (lambda w: w.sum(axis=(0, 2)), w),
    "x.mean(axis=1, keepdims=True)": (lambda x: x.mean(axis=1, keepdims=True), x),
    "w.max(axis=0)": (lambda w: w.max(axis=0), w),
    "w[1:, 0] and w[[1, 1, 0], 0]": (lambda w: w[1:, 0] * w[[1, 1, 0], 0], w),
    "w.transpose(1, 0, 2).reshape(2, 6)": (lambda w: w.transpose(1, 0, 2).reshape(2, 6), w),
    "broadcast_to and concatenate": (lambda x, w: concatenate([broadcast_to(x, (4, 2, 3)), w], axis=1), x, w),
}
for name, (function, *inputs) in checks.items():
    print(f"{name:36}{gradient_error(function, *inputs):.0e}")

# %% [markdown]
# The numbers are $10^{-9}$ or less: that is the error of the finite differences themselves. The engine is ready, so let it learn
# something: an image of 32 x 32 pixels as a sum of R products of a column and a row (one row for each colour),
# $\text{image}_{ijc} \approx \sum_r a_{ir}\, b_{jcr}$. Broadcasting makes the products, `sum` adds them, and gradient descent finds
# the numbers.
#
# The dashed line in the picture is the smallest possible error. Linear algebra has the answer to this problem: the *singular
# values* of a matrix tell how much of it R products can represent at best. Gradient descent does not know them, and still comes very
# close. For a Vision Transformer, no one can draw such a line.


# %%
data = shapes("test", count=10)
heart = list(data.labels).index(data.classes.index("heart"))  # where the first heart is
image = preprocess(data.images[heart])  # lesson 00's scale_pixels: (32, 32, 3), from -1 to 1


def fit(image, R, steps=300, rate=0.02):
    """Columns a and rows b whose products add up to the image, and the mean squared error on the way."""
    rng = np.random.default_rng(0)
    a = Tensor(0.3 * rng.standard_normal((32, 1, 1, R)), requires_grad=True)
    b = Tensor(0.3 * rng.standard_normal((1, 32, 3, R)), requires_grad=True)
    errors = []
    for _ in range(steps):
        guess = (a * b).sum(axis=-1)  # (32, 32, 3, R) -> (32, 32, 3)
        loss = ((guess - image) ** 2).sum() / 2  # half, so that its derivative is guess - image
        errors.append(2 * loss.item() / image.size)
        a.grad = b.grad = None  # gradients add up: without this, also over the steps
        loss.backward()
        a.data -= rate * a.grad  # on the arrays: the step itself is not recorded
        b.data -= rate * b.grad
    return guess.data, errors


def draw_fit(R):
    """The image, what R products make of it, and the error during the descent."""
    guess, errors = fit(image, R)
    parts = np.linalg.svd(image.reshape(32, 96), compute_uv=False)
    best = (parts[R:] ** 2).sum() / image.size
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.6])
    for axes, picture, title in ((left, image, "3,072 numbers"), (middle, guess, f"{128 * R:,} numbers, R = {R}")):
        axes.imshow(np.clip((picture + 1) / 2, 0, 1))
        axes.set_title(title)
        axes.set_axis_off()
    right.semilogy(errors, color="#0072b2", label="gradient descent")
    right.axhline(best, color="#d55e00", linestyle="--", label="the best there is")
    right.set_xlabel("step"), right.set_ylabel("mean squared error"), right.legend()
    return figure


explore(
    draw_fit,
    "A heart; the same from four products, a little blurred; the error falls until it reaches the best possible one.",
    R=[4, 1, 2],
)

# %% [markdown]
# One puzzle to finish, about shapes: with a clever `reshape`, a single `sum` adds up
# *blocks* of an image. The next lessons cut images into blocks with the same idea.


# %% exercise="sum_blocks"
def sum_blocks(x, rows, columns):
    """Sums of the 2 x 2 blocks of an array: (2 rows, 2 columns) -> (rows, columns)."""
    # --- solution
    return x.reshape(rows, 2, columns, 2).sum(axis=(1, 3))
    # --- end


# %%
labelled = 10 * np.arange(1, 5)[:, None] + np.arange(1, 7)  # 36 is in row 3, column 6
show_attempt(
    "sum_blocks",
    Cells("labelled", labelled),
    labelled,
    2,
    3,
    right=[[sum(labelled[2 * r + i, 2 * c + j] for i in (0, 1) for j in (0, 1)) for c in range(3)] for r in range(2)],
)

# %% [markdown]
# ## In the paper
#
# The paper derives no gradient: each of its formulas is a forward pass, and the rest is left to an engine such as yours. Its
# notation is that of a single image. With a batch of B images, each equation broadcasts. Lessons 04 to 09 explain the letters; here
# only the shapes count (N + 1 rows of D numbers):
#
# $$z_0 = [x_{class};\ x_p^1 E;\ \cdots;\ x_p^N E] + E_{pos} \quad (1) \qquad\qquad y = LN(z_L^0) \quad (4)$$
#
# | paper | here | its gradient |
# |---|---|---|
# | $x_{class}$ in front of the N rows of each image | `broadcast_to`, (1, 1, D) to (B, 1, D) | summed over the images |
# | $[\,\cdot\,;\,\cdot\,]$ | `concatenate` along axis 1 | cut apart again |
# | $+\ E_{pos}$ | `add`, (B, N + 1, D) and (1, N + 1, D) | summed over the images |
# | $z_L^0$ | `z[:, 0]` | 0 for every row but the first |
#
# `minivit`'s engine, [tensor.py](../minivit/engine/tensor.py) and [ops.py](../minivit/engine/ops.py), has the same design, with a vjp
# inside each op. It differs in three ways. The notes are kept apart from the Tensor, in a `Node`, so that arrays which no vjp
# needs are freed at once. It does not compute gradients of constants. And `no_grad()` switches recording off.

# %% [markdown]
# ## Break it and see
#
# In `backward_walk`, `arrived[parent] += gradient` would look equivalent and save an array. Below is a backward pass with this
# change, and a sum whose vjp returns the same array for both inputs, which is allowed.


# %%
def walk_in_place(loss, dy):
    arrived = {loss: dy}
    for tensor in youngest_first(loss):
        for parent, gradient in zip(tensor.parents, tensor.vjp(arrived.pop(tensor)), strict=True):
            if parent in arrived:
                arrived[parent] += gradient
            elif parent is not None:
                arrived[parent] = gradient
    return arrived


def plain_sum(a, b):
    return record(a.data + b.data, (a, b), lambda dy: (dy, dy))


x, w, b = (Tensor(values, requires_grad=True) for values in ([[1, 2, 0]], [[2, 1, 3]], [[1, 1, 2]]))


def gradients(walk):
    """dx, dw, db for z = (x * w + b) + x and dz = (1, 2, -1)."""
    z = plain_sum(plain_sum(x * w, b), x)
    found = walk(z, np.array([[1, 2, -1]], np.float32))
    return [found[leaf] for leaf in (x, w, b)]


right, wrong = gradients(backward_walk), gradients(walk_in_place)
lines = []
for word, (dx, dw, db) in (("right", right), ("with +=", wrong)):
    marked = [(0, j) for j in range(3) if db[0, j] != right[2][0, j]]
    lines.append([f"{word:>8}", Cells("dx", dx), Cells("dw", dw), Cells("db", db, marked)])
show(draw_cells(*lines), "Three gradients, twice: with += those of x and w are right, but every number of db is wrong.")

# %% [markdown]
# z = (x · w + b) + x has the form of every block of a Transformer: something is computed from x, and x is added again. One array
# `dz` is on its way to b *and* to x. Then the second gradient of x arrives, by way of x · w, and is added into that array. So the
# gradient of b changes too, and nothing reports it. There is no error, the shapes are right, and two of three gradients are right: a
# network may still learn something, and no one would search for the mistake. What happens in z = x + x? Say what you expect, then
# try: `walk_in_place(plain_sum(x, x), np.ones((1, 3), np.float32))[x]`.
#
# <details><summary>Answer</summary>
#
# The result is right by luck, 2 everywhere: the array is added to itself, and no other Tensor receives it. A test with only
# this case would not find the mistake.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# You have just built the core of `torch.autograd`. The names are nearly the same:
#
# ```python
# import torch
#
# x = torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0]], requires_grad=True)  # a leaf
# b = torch.tensor([3.0, -1.0, 2.0], requires_grad=True)
# loss = ((x * b).tanh() + b).sum()
# loss.grad_fn       # the last op on the tape: SumBackward0
# loss.backward()    # adds dL/dx to x.grad, and dL/db to b.grad
# ```
#
# | what differs | here | PyTorch |
# |---|---|---|
# | the arguments of sum, mean, max | `axis=`, `keepdims=` | `dim=`, `keepdim=` |
# | reordering all axes | `x.transpose(0, 2, 1)` | `x.permute(0, 2, 1)`; its `transpose` swaps two axes |
# | `backward` twice through one tape | an error | an error, unless `retain_graph=True` |
# | your own op | a function that calls `record` | a subclass of `torch.autograd.Function` |
# | gradient of `x.max(axis=1)` if two numbers are equally large | they share it | one of them gets all; `amax` shares it |
# | dtype of `[1, 2]`, a list of integers | float32 | int64, which can have no gradient |

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    rng = np.random.default_rng(3)
    arrays_of = rng.standard_normal((4, 5)), rng.standard_normal(5)

    def some_loss(x, b):
        return ((x * b).tanh() / (b * b + 1) + x[[1, 1, 0, 3]]).sum()

    x, b = (Tensor(array, requires_grad=True) for array in arrays_of)
    some_loss(x, b).backward()
    their_x, their_b = (torch.tensor(array, requires_grad=True) for array in arrays_of)
    some_loss(their_x, their_b).backward()
    agree("gradient of x", x.grad, their_x.grad)
    agree("gradient of b, summed over its copies", b.grad, their_b.grad)

# %% [markdown]
# ## What came before and after
#
# - [Wengert, 1964](https://doi.org/10.1145/355586.364791) split a function into elementary steps with intermediate variables, and
#   differentiated each step. A tape is the list of these steps.
# - Broadcasting and indexing come from array programming, whose concepts [Harris et al., 2020](https://doi.org/10.1038/s41586-020-2649-2)
#   review for NumPy. Other array libraries have taken over its interface.
# - [Baydin et al., 2015](https://arxiv.org/abs/1502.05767) explain how automatic differentiation relates to backpropagation, which is a
#   special case of it.
# - [Chen et al., 2016](https://arxiv.org/abs/1604.06174) train a network of n layers with memory that grows only with $\sqrt{n}$: the
#   tape keeps few results, and one extra forward pass computes the others again.
# - [Paszke et al., 2019](https://arxiv.org/abs/1912.01703) describe PyTorch: a model is a regular Python program, and the tape is
#   written while it runs.

# %% [markdown]
# ## Summary
#
# - An op is a result and a vector-Jacobian product, from dL/d(output) to dL/d(input). The Jacobian is never written down.
# - The gradient sums what broadcasting copied, and copies what a sum added up.
# - The backward pass goes from the youngest Tensor to the oldest, adds up what arrives, never in place, and empties the tape.

# %% [markdown]
# ## What comes next
#
# One op is missing, and it does nearly all the arithmetic of a Vision Transformer: the matrix product.
# [Lesson 03](03_products.ipynb) adds it to your Tensor, and with it softmax and the loss.
