# %% [markdown]
# # 01 · Scalars: backpropagation for single numbers
#
# *Comes after lesson [00](00_start.ipynb); needs high-school derivatives. In the paper: taken for granted (section 4.1).*
#
# You will build the algorithm that trains every neural network, **backpropagation**, for single numbers. In fewer than a hundred
# lines, your program records how a result was computed, and then finds out how the result depends on every number in it.

# %% tags=["keep"]
import itertools
import math

import numpy as np
from matplotlib.figure import Figure

from minivit_lessons.pictures.graph import STEP_ERRORS, draw_graph, draw_walk

# %% [markdown]
# ## The question
#
# A neural network is a long calculation with adjustable numbers in it, the **parameters**. ViT-Base has 86 million of them.
# Training compares the network's answers with the right ones, and expresses the error as a single number, the **loss**. Then it
# changes every parameter a little, so that the loss falls.
#
# For each parameter we need to know one number, a **derivative**: by how much does the loss change for each unit that the
# parameter changes? If the derivative is positive, decrease the parameter; if it is negative, increase it. All these derivatives
# together are the **gradient** of the loss. So the question of this lesson is: where do 86 million derivatives come from,
# thousands of times, in reasonable time?

# %% [markdown]
# ## The picture
#
# We write the calculation down as a **computational graph**. Each node of the graph is a number, and edges lead to it from the
# numbers that it was computed from, its *parents*. Computing all numbers, from the inputs to the result, is called the
# **forward pass**.
#
# A `Value` represents one node. Read `__init__` now. The methods below it only let us write `a * b` for
# `multiply_values(a, b)`. They call five functions, and you will write three of them.


# %% tags=["keep"]
numbers = itertools.count()  # 0, 1, 2, ...


class Value:
    """A number that remembers what it was computed from."""

    def __init__(self, data, label="", parents=(), slopes=()):
        self.data = float(data)
        self.label = label  # its name, or the sign of the operation that made it: for pictures
        self.parents = parents  # the Values it was computed from
        self.slopes = slopes  # for each parent a plain number: the derivative of this Value with respect to it
        self.grad = 0.0  # the derivative of the end of the graph with respect to this Value, after `backward`
        self.number = next(numbers)  # its age: a Value that was made later has a larger number

    def __repr__(self):
        return f"Value({self.data:.4g}, grad={self.grad:.4g})"

    def __add__(self, other):
        return add_values(self, as_value(other))

    def __sub__(self, other):
        return subtract_values(self, as_value(other))

    def __mul__(self, other):
        return multiply_values(self, as_value(other))

    __radd__, __rmul__ = __add__, __mul__  # 2 * x means x * 2

    def tanh(self):
        return tanh_value(self)

    def backward(self):
        backward_values(self)


def as_value(x):
    """A plain number as a Value without parents."""
    return x if isinstance(x, Value) else Value(x)


# %% [markdown]
# Our example is small, but its form is the real one: $y = x + \tanh(w x)$ adds to its input what a neuron computes from it. Every
# block of a Vision Transformer does this, with a whole sequence of vectors in place of x. The loss measures how far y is from a
# target t: $L = (y - t)^2$.
#
# We make each node by hand. The picture shows it as a box. The upper half of the box holds the value. The lower half, still
# unknown, will hold the derivative of L with respect to this value (`grad`).

# %%
x, w, t = Value(2.0, "x"), Value(-0.5, "w"), Value(0.5, "t")
u = Value(w.data * x.data, "×", parents=(w, x))
h = Value(math.tanh(u.data), "tanh", parents=(u,))
y = Value(x.data + h.data, "+", parents=(x, h))
d = Value(y.data - t.data, "−", parents=(y, t))
L = Value(d.data * d.data, "×", parents=(d, d))

show(
    draw_graph(L, gradients=False),
    "A graph of eight boxes, from x, w and t on the left to the loss 0.55 on the right; every gradient is a question mark.",
)

# %% [markdown]
# ## One number at a time
#
# The direct way to find a derivative: change the input and look. Move x up by a small step $\varepsilon$ and down by the same
# step, and divide the change of f by the distance between the two points. This is a *central difference*:
#
# $$f'(x) \approx \frac{f(x + \varepsilon) - f(x - \varepsilon)}{2\,\varepsilon}$$
#
# At school, the derivative told how steep the curve is at x: its slope. So we call the function `slope`.


# %% exercise="slope"
def slope(f, x, step=1e-5):
    """The derivative of f at x, from the values of f a step to the right and a step to the left."""
    # --- solution
    return (f(x + step) - f(x - step)) / (2 * step)
    # --- end


# %% [markdown]
# How small should the step be? Guess first: does 1, $10^{-5}$ or $10^{-15}$ give the best result? At x = 2 the derivative of
# $x^3$ is $3x^2 = 12$. The picture shows the error for many steps.

# %%
steps = np.logspace(-15, 0, 61)


def cube(x):
    return x**3


figure = Figure(figsize=(7, 3.2), layout="constrained")
axes = figure.subplots()
both = [abs(slope(cube, 2.0, step) - 12) for step in steps]
ahead = [abs((cube(2.0 + step) - cube(2.0)) / step - 12) for step in steps]
axes.loglog(steps, ahead, "o", color="#d55e00", markersize=3, label="one side: (f(x + ε) - f(x)) / ε")
axes.loglog(steps, both, "o", color="#0072b2", markersize=3, label="both sides: slope")
axes.axvline(1e-5, color="#8a8a8a", linewidth=0.8, linestyle="--")
axes.set(xlabel="step ε", ylabel="error of the derivative")
axes.legend(frameon=False)
show(figure, STEP_ERRORS)

# %% [markdown]
# For large steps, the error comes from the curve, which is not straight. This error falls with $\varepsilon^2$ for the central
# difference, and only with $\varepsilon$ if you use one side. For tiny steps, both values of f agree in nearly all of their
# digits, and rounding errors dominate the difference. In between, the result is right to about ten digits.
#
# This is precise enough to test a gradient. Comparing a gradient with such differences (*finite differences*) is called a
# **gradient check**. The checks of this course do this. But is `slope` fast enough to train a network?


# %%
def loss_of(x, w, t):
    """The example again, with plain numbers."""
    return (x + math.tanh(w * x) - t) ** 2


print("dL/dx:", slope(lambda x: loss_of(x, -0.5, 0.5), 2.0))
print("dL/dw:", slope(lambda w: loss_of(2.0, w, 0.5), -0.5))
print("dL/dt:", slope(lambda t: loss_of(2.0, -0.5, t), 0.5))

# %% [markdown]
# It computes the whole loss twice for each parameter. For ViT-Base these are some 170 million forward passes for one
# step of training. Backpropagation needs a single forward pass, and one **backward pass** that costs about twice as much.

# %% [markdown]
# ## All at once
#
# The **chain rule** combines derivatives. If u changes three times as fast as x, and L changes twice as fast as u, then L changes
# six times as fast as x: along a path through the graph, derivatives are *multiplied*. If x reaches L along two paths, each path
# contributes, and the contributions are *added*.
#
# So no node needs to know the whole calculation. It needs only its *local derivatives*, those with respect to its own parents.
# They are school mathematics, and `slopes` stores them. For a sum, both are 1; for a difference, they are 1 and -1:


# %% tags=["keep"]
def add_values(a, b):
    """a + b."""
    return Value(a.data + b.data, "+", parents=(a, b), slopes=(1.0, 1.0))


def subtract_values(a, b):
    """a - b."""
    return Value(a.data - b.data, "−", parents=(a, b), slopes=(1.0, -1.0))


# %% [markdown]
# A program that does this for each of its operations gets exact derivatives without further work. The method is called
# **automatic differentiation**, or *autograd* for short. Now the product: with a = 3 and b = 5, by how much does 15 change when a
# becomes 3.01? Find both derivatives, then write them down.


# %% exercise="multiply_values"
def multiply_values(a, b):
    """a * b as a Value with its parents and its local derivatives."""
    # --- solution
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(b.data, a.data))
    # --- end


# %% [markdown]
# Sums and products with fixed numbers make only straight lines. So a neuron also needs an **activation function**, one that is not
# linear. Ours is the hyperbolic tangent, which maps every number into the interval (-1, 1). Its derivative is
# $\tanh'(x) = 1 - \tanh^2(x)$: 1 at x = 0, and nearly 0 where the curve is flat.


# %% exercise="tanh_value"
def tanh_value(a):
    """tanh(a) as a Value with its parent and its local derivative."""
    # --- solution
    result = math.tanh(a.data)
    return Value(result, "tanh", parents=(a,), slopes=(1.0 - result * result,))
    # --- end


# %% [markdown]
# ## Your turn
#
# Now the backward pass. It begins at the end of the graph, whose gradient is 1: L changes exactly as fast as itself. Then it
# visits the nodes one by one. The visited node *adds* to the gradient of each of its parents: its own gradient times the local
# derivative. After the last visit, every gradient is there.
#
# One thing can go wrong. A node may pass on its gradient only when that gradient is *complete*: after all nodes that were computed
# from it have been visited. An order of the nodes in which each comes after all that it depends on is called a **topological
# order**. Which order has this property here? Look at the ages: a node is always computed from nodes that are *older* than itself.


# %% exercise="backward_order"
def backward_order(end):
    """Every Value that `end` was computed from, and `end` itself, once each: `end` first, parents after their children."""
    # --- solution
    found, waiting = {end}, [end]
    while waiting:
        for parent in waiting.pop().parents:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return sorted(found, key=lambda value: value.number, reverse=True)  # the youngest first
    # --- end


# %% exercise="backward_values"
def backward_values(end):
    """Compute the derivative of `end` with respect to every Value below it, and store it in `.grad`."""
    # --- solution
    order = backward_order(end)
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            parent.grad += value.grad * factor
    # --- end


# %% [markdown]
# Here is the example once more, now with your operators. The numbers at the edges are the local derivatives. The upper graph shows
# the state after three visits: x has received the contribution of the short path and waits for its second one. With a slider, you
# can go through the backward pass visit by visit.

# %%
x, w, t = Value(2.0, "x"), Value(-0.5, "w"), Value(0.5, "t")
y = x + (w * x).tanh()
d = y - t
L = d * d
L.backward()
order = backward_order(L)

moments = {"two moments": [3, 8], **{str(k): [k] for k in range(9)}}
explore(
    lambda visits: draw_walk(L, order, moments[visits]),
    "The graph with local derivatives at its edges. Above, after three visits, x holds a part of its gradient, 1.48; "
    "below, all are there: 1.17 at x and 1.24 at w.",
    visits=list(moments),
)

# %% [markdown]
# Compare this with the three derivatives that you measured above: the same numbers, all three from one backward pass. It stays a
# single pass whatever the number of parameters, since each edge is used once forwards and once backwards. This is why networks
# with millions of parameters can be trained at all.
#
# Now draw the graph of an expression that you write yourself. It has a surprise: the power rule, $(x^8)' = 8\,x^7$, is hidden in
# it.


# %% exercise="eighth_power"
def eighth_power(x):
    """x to the power of 8, from three multiplications of Values."""
    # --- solution
    square = x * x
    fourth = square * square
    return fourth * fourth
    # --- end


# %%
x = Value(1.1, "x")
end = eighth_power(x)
end.backward()
show(draw_graph(end), "A chain of four boxes from x to its eighth power; two edges lead from each box to the next.")
print(f"x.grad = {x.grad:.4f}, and 8 x⁷ = {8 * 1.1**7:.4f}")

# %% [markdown]
# How many paths lead from x to the end? Along each, the local derivatives multiply to $x^4 \cdot x^2 \cdot x$. Where does the 8
# come from?
#
# <details><summary>Answer</summary>
#
# Every multiplication uses its input twice, so each edge is double, and 2 · 2 · 2 = 8 paths lead from x to the end. Along each, the
# local derivatives multiply to $x^4 \cdot x^2 \cdot x = x^7$. Their sum is $8\,x^7$. Backpropagation never lists the paths: it adds
# up at each node, so three visits do the work of eight paths.
#
# </details>
#
# Now let a network learn. Twelve points lie on a curve, and four neurons with thirteen parameters must find it. A step of training
# is: compute the loss, run `backward`, and change every parameter a little in the direction opposite to its derivative.
# This is **gradient descent**. The factor of the change, here `rate`, is the **learning rate**.

# %%
rng = np.random.default_rng(1)
points = [(float(x), math.sin(3 * x)) for x in np.linspace(-1, 1, 12)]
parameters = [Value(p) for p in rng.uniform(-1, 1, 13)]
rate, curves, losses = 0.01, {}, []


def network(x):
    """Four neurons, each tanh(a x + b), weighted and added up."""
    result = parameters[12]
    for i in range(0, 12, 3):
        a, b, c = parameters[i : i + 3]
        result = result + c * (a * x + b).tanh()
    return result


for step in range(2001):
    errors = [network(x) - target for x, target in points]
    loss = sum(error * error for error in errors)
    loss.backward()
    losses.append(loss.data)
    if step in (0, 20, 300, 2000):
        curves[step] = [network(x).data for x in np.linspace(-1, 1, 41)]
    for parameter in parameters:
        parameter.data -= rate * parameter.grad

figure = Figure(figsize=(9, 3.2), layout="constrained")
left, right = figure.subplots(1, 2)
for (step, curve), colour in zip(curves.items(), ("#b8b8b8", "#56b4e9", "#0072b2", "#d55e00"), strict=True):
    left.plot(np.linspace(-1, 1, 41), curve, color=colour, label=f"step {step}")
left.plot(*zip(*points, strict=True), "o", color="#1b1b1b", markersize=4)
left.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="x", ylabel="network(x)")
left.legend(frameon=False, fontsize=8)
right.semilogy(losses, color="#0072b2")
right.set(xlabel="step", ylabel="loss")
show(figure, "Left twelve points of a wave, and the network's curve moving towards them; right the falling loss.")
print(f"loss: {losses[0]:.2f} before, {losses[-1]:.4f} after 2,000 steps")
print(f"the graph of one loss has {len(backward_order(loss))} nodes")

# %% [markdown]
# Backpropagation is also called *reverse mode*: it goes from the end of the graph to its inputs. The chain rule works in the other
# direction too. In *forward mode*, each node carries the derivative of itself with respect to *one* chosen input.


# %% exercise="derivative_forward"
def derivative_forward(end, start):
    """The derivative of `end` with respect to `start`, computed from the oldest Value to the youngest."""
    # --- solution
    derivatives = {}  # of each Value with respect to start
    for value in reversed(backward_order(end)):  # parents before their children
        through_parents = sum(
            derivatives[parent] * factor for parent, factor in zip(value.parents, value.slopes, strict=True)
        )
        derivatives[value] = 1.0 if value is start else through_parents
    return derivatives[end]
    # --- end


# %% [markdown]
# ## In the paper
#
# The paper does not explain what you just built: it takes it for granted. Half a sentence of section 4.1 names the method that trains
# all models. It is a rule for changing parameters, which lesson 10 builds. In every step it receives the derivatives of the loss with
# respect to all of the 86, 307 or 632 million parameters of Table 1.
#
# | paper | here | in minivit |
# |---|---|---|
# | parameters (Table 1) | `parameters` | arrays with `requires_grad` |
# | Eq. 3, $z_\ell = \mathrm{MLP}(\mathrm{LN}(z'_\ell)) + z'_\ell$ | `x + (w * x).tanh()` | `EncoderBlock` |
# | one step of training (section 4.1) | `loss.backward()`, then `parameter.data -= ...` | `loss.backward()`, then `optim.step()` |
#
# The engine in [`minivit/engine/tensor.py`](../minivit/engine/tensor.py) works like yours: `record` stores the parents of each
# result, `_oldest_first` sorts by age, and `run_backward` adds up. It differs on purpose in four ways. Its nodes hold arrays
# instead of single numbers. Instead of the local derivatives it stores a function that multiplies by them, since a table of all
# derivatives between two arrays would be huge. It *adds* what it finds to the `.grad` of the inputs; yours sets them to 0 first.
# And it empties each node after the visit, to free its memory.

# %% [markdown]
# ## Break it and see
#
# Two mistakes raise no error: writing `=` instead of `+=`, and visiting the nodes in the order in which you find them. Below is
# the backward pass with both mistakes to choose from. A derivative tells how steep the tangent is, so we can *see* whether it is
# right: a tangent touches its curve.


# %%
def f(x):
    u = x * x - 1
    return u - (3 * u + x).tanh()  # x is used more than once, and so is u


def as_met(end):
    """The nodes in the order in which they are found from the end: some are visited before they are complete."""
    met = [end]
    for value in met:
        met += [parent for parent in dict.fromkeys(value.parents) if parent not in met]
    return met


def walk(end, order, forget):
    for value in order:
        value.grad = 0.0
    end.grad = 1.0
    for value in order:
        for parent, factor in zip(value.parents, value.slopes, strict=True):
            before = 0.0 if forget else parent.grad  # to forget is to write = in place of +=
            parent.grad = before + value.grad * factor


figure = Figure(figsize=(9.4, 3.1), layout="constrained")
titles = {
    "right": (False, backward_order),
    "= in place of +=": (True, backward_order),
    "in the order of finding": (False, as_met),
}
for axes, (title, (forget, order_of)) in zip(figure.subplots(1, 3, sharey=True), titles.items(), strict=True):
    xs = np.linspace(-1.3, 1.2, 80)
    axes.plot(xs, [f(Value(x)).data for x in xs], color="#0072b2", linewidth=2)
    for x in (-1.15, -0.8, 0.0, 0.6, 0.9):
        start = Value(x)
        end = f(start)
        walk(end, order_of(end), forget)
        ends = np.array([x - 0.2, x + 0.2])
        axes.plot(ends, end.data + start.grad * (ends - x), color="#d55e00")
        axes.plot(x, end.data, "o", color="#d55e00", markersize=4)
    axes.set_title(title, fontsize=10)
show(
    figure,
    "The same curve three times. Left five tangents touch it; in the middle and on the right some cut through it.",
)

# %% [markdown]
# Some of the wrong tangents look right, and a network that is trained with them may still learn something. That makes such mistakes
# hard to find. Now change `f` so that no value is used twice, for instance to `(3 * x).tanh()`. Which of the two mistakes can you
# still see? How useful is a test that tries only such functions?
#
# <details><summary>Answer</summary>
#
# Neither: each node receives one contribution, so there is nothing to add, and on a single path there is only one order. Such a
# test passes with both mistakes in the program, so it is useless against them.
#
# </details>

# %% [markdown]
# ## What came before and after
#
# - The first programs for automatic differentiation computed derivatives *along with* the values, in forward mode
#   ([Wengert, 1964](https://doi.org/10.1145/355586.364791)).
# - Reverse mode appears in Seppo Linnainmaa's master's thesis of 1970, as a method to study rounding errors; its English
#   publication is [Linnainmaa, 1976](https://doi.org/10.1007/BF01931367).
# - [Rumelhart, Hinton and Williams, 1986](https://doi.org/10.1038/323533a0) trained networks with hidden units with it, under the
#   name back-propagation, and showed that these units come to represent features of the task.
# - Later, frameworks applied it to whole programs. [Baydin et al., 2015](https://arxiv.org/abs/1502.05767) survey the field, and note
#   that machine learning and automatic differentiation long were unaware of each other's results.
# - [PyTorch](https://arxiv.org/abs/1912.01703) (Paszke et al., 2019) records the graph while ordinary Python code runs, as your
#   `Value` does.

# %% [markdown]
# ## Summary
#
# - The forward pass records for each result its parents and its local derivatives: that is the computational graph.
# - The backward pass multiplies derivatives along paths and adds them where paths meet: `parent.grad += value.grad * factor`.
# - It visits a node after all that was computed from it: by age, the youngest first.
# - One backward pass finds the derivative with respect to every parameter. Finite differences need two forward passes for each; they
#   serve as the gradient check.

# %% [markdown]
# ## What comes next
#
# One Python object for each number is slow: the graph of ViT-Base for a single image would have billions of nodes. In
# [lesson 02](02_tensors.ipynb) a node holds a whole array, and the same backward pass goes through a few hundred of them.
