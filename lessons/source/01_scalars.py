# %% [markdown]
# # 01 · Scalars: a number that knows its slope
#
# *About 45 minutes. Comes after lesson [00](00_start.ipynb); wants high-school derivatives. In the paper: nowhere, and everywhere (section 4.1).*
#
# You will build the machine that trains every neural network, for single numbers: less than a hundred lines that remember how a
# result was computed, walk back through it, and say of every number which way to turn it.

# %% tags=["keep"]
import itertools
import math

import numpy as np
from matplotlib.figure import Figure

from minivit_lessons.pictures.graph import draw_graph, draw_walk

# %% [markdown]
# ## The question
#
# A network is a long calculation with knobs. ViT-Base has 86 million of them. Training means: look at one number, the *loss*, which
# says how bad the answer was, and turn every knob a little so that it falls.
#
# For each knob we must know one thing, its *slope*: if I turn this up a little, how fast does the loss rise? If the slope is
# positive, turn down; if negative, turn up. So the whole question is: **where do 86 million slopes come from, thousands
# of times, in reasonable time?**

# %% [markdown]
# ## The picture
#
# We write the calculation down as a graph. A `Value` is one box in it: a number, and the boxes it was computed from, its
# *parents*. Read `__init__` now. The methods below only let us write `a * b` for `multiply_values(a, b)`; of the
# five functions they call you will write three.


# %% tags=["keep"]
numbers = itertools.count()  # 0, 1, 2, ...


class Value:
    """A number that remembers what it was computed from."""

    def __init__(self, data, label="", parents=(), slopes=()):
        self.data = float(data)
        self.label = label  # its name, or the sign of the operation that made it: for pictures
        self.parents = parents  # the Values it was computed from
        self.slopes = slopes  # for each parent a plain number: the slope of this Value against that parent
        self.grad = 0.0  # the slope of the end of the graph against this Value, once `backward` has run
        self.number = next(numbers)  # its age: what was made later has a larger one

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
# Our example is small, but it is no toy: $y = x + \tanh(w x)$ adds to its input what a neuron makes of it. Every block of a
# Vision Transformer does just this, with a whole sequence of vectors in place of x. The loss says how far y is from a target t: $L = (y - t)^2$.
#
# We make each box by hand. Above the line stands its value; below it, still unknown, its *gradient*: the slope of L against this box.

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
# The honest way to a slope: turn the knob and look. Move x up by a small step $\varepsilon$ and down by as much, and divide the change by the distance:
#
# $$f'(x) \approx \frac{f(x + \varepsilon) - f(x - \varepsilon)}{2\,\varepsilon}$$


# %% exercise="slope"
def slope(f, x, step=1e-5):
    """How fast f rises at x, from its values a step to the right and a step to the left."""
    # --- solution
    return (f(x + step) - f(x - step)) / (2 * step)
    # --- end


# %% [markdown]
# How large should the step be? At x = 2 the slope of $x^3$ is $3x^2 = 12$. The picture shows by how much we miss it.

# %%
steps = np.logspace(-15, 0, 61)


def cube(x):
    return x**3


figure = Figure(figsize=(7, 3.2), layout="constrained")
axes = figure.subplots()
both = [abs(slope(cube, 2.0, step) - 12) for step in steps]
ahead = [abs((cube(2.0 + step) - cube(2.0)) / step - 12) for step in steps]
axes.loglog(steps, ahead, "o", color="#d55e00", markersize=3, label="a step to the right only")
axes.loglog(steps, both, "o", color="#0072b2", markersize=3, label="to both sides: slope")
axes.axvline(1e-5, color="#8a8a8a", linewidth=0.8, linestyle="--")
axes.set(xlabel="step", ylabel="error of the slope")
axes.legend(frameon=False)
show(
    figure,
    "Error against step, both logarithmic. To both sides the error falls to about 1e-10 near step 1e-5; for smaller steps it grows again.",
)

# %% [markdown]
# On the right the step is too coarse and the curve bends away: with both sides that error shrinks with $\varepsilon^2$, with one side only with $\varepsilon$.
# On the left the two values are so close that rounding eats their difference. In between it is good to about ten digits.
# So `slope` is a fine *judge*: checks in this course will hold gradients against it. But as a tool?


# %%
def loss_of(x, w, t):
    """The example again, with plain numbers."""
    return (x + math.tanh(w * x) - t) ** 2


print("slope against x:", slope(lambda x: loss_of(x, -0.5, 0.5), 2.0))
print("slope against w:", slope(lambda w: loss_of(2.0, w, 0.5), -0.5))
print("slope against t:", slope(lambda t: loss_of(2.0, -0.5, t), 0.5))

# %% [markdown]
# Every knob takes two runs of the whole calculation. For ViT-Base that is some 170 million runs to make one step of training.
# There must be a better way, and there is: a single run, and one walk back.

# %% [markdown]
# ## All at once
#
# The *chain rule*: if turning x moves u three times as fast, and turning u moves L twice as fast, then turning x moves L six
# times as fast. Slopes along a way **multiply**. And if x reaches L by two ways, each gives its share, and the shares **add up**.
#
# So no box needs to know the whole calculation. It only needs its *local* slopes, those against its own parents, and these are school
# mathematics. For a sum, turning either side by 1 turns the result by 1; for a difference, by 1 and by -1:


# %% tags=["keep"]
def add_values(a, b):
    """a + b."""
    return Value(a.data + b.data, "+", parents=(a, b), slopes=(1.0, 1.0))


def subtract_values(a, b):
    """a - b."""
    return Value(a.data - b.data, "−", parents=(a, b), slopes=(1.0, -1.0))


# %% [markdown]
# A product: with a = 3 and b = 5, what happens to 15 when a becomes 3.01? Work out both slopes, then write them down.


# %% exercise="multiply_values"
def multiply_values(a, b):
    """a * b as a Value that knows its parents and its slopes."""
    # --- solution
    return Value(a.data * b.data, "×", parents=(a, b), slopes=(b.data, a.data))
    # --- end


# %% [markdown]
# And a bend, without which a network could only draw straight lines: the hyperbolic tangent squeezes every number into (-1, 1).
# Its derivative is $\tanh'(x) = 1 - \tanh^2(x)$: 1 in the middle, and nearly 0 where it is flat.


# %% exercise="tanh_value"
def tanh_value(a):
    """tanh(a) as a Value that knows its parent and its slope."""
    # --- solution
    result = math.tanh(a.data)
    return Value(result, "tanh", parents=(a,), slopes=(1.0 - result * result,))
    # --- end


# %% [markdown]
# ## Your turn
#
# Now the walk back. We begin at the end, whose gradient is 1: it moves as fast as itself. Then each box takes its *turn*: it hands
# to every parent its own gradient times the local slope. When all have had their turn, every gradient is there.
#
# One thing can go wrong. A box may hand on its gradient only when it is *complete*: after every box that was computed from it has
# had its turn. Which order makes sure of that? Look at the ages: a box can only be computed from boxes that are **older** than itself.


# %% exercise="backward_order"
def backward_order(end):
    """Every Value that `end` was computed from, itself among them, once each: `end` first, parents after their children."""
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
    """Leave in `.grad` of every Value below `end` the slope of `end` against it."""
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
# The example once more, now with your operators. Numbers at the edges are the local slopes. The upper graph stands still after three turns: x already has what
# came by the shortcut and waits for its second share. With a slider you can go through the walk turn by turn.

# %%
x, w, t = Value(2.0, "x"), Value(-0.5, "w"), Value(0.5, "t")
y = x + (w * x).tanh()
d = y - t
L = d * d
L.backward()
order = backward_order(L)

moments = {"two moments": [3, 8], **{str(k): [k] for k in range(9)}}
explore(
    lambda turns: draw_walk(L, order, moments[turns]),
    "The graph with local slopes at its edges. Above, after three turns, x holds a part of its gradient, 1.48; below, all are there: 1.17 at x and 1.24 at w.",
    turns=list(moments),
)

# %% [markdown]
# Compare with the three slopes that you measured above: the same numbers, all three from one walk. It stays one walk however
# many knobs there are: each edge is used once forwards and once backwards. This is why deep learning is possible at all.
#
# Now let it learn. Twelve points lie on a curve; four neurons side by side, with thirteen knobs, shall find it. A step of training is: loss,
# backward, and every knob a little *against* its slope.

# %%
rng = np.random.default_rng(1)
points = [(float(x), math.sin(3 * x)) for x in np.linspace(-1, 1, 12)]
knobs = [Value(k) for k in rng.uniform(-1, 1, 13)]
rate, curves, losses = 0.01, {}, []


def network(x):
    """Four neurons, each tanh(a x + b), weighted and added up."""
    result = knobs[12]
    for i in range(0, 12, 3):
        a, b, c = knobs[i : i + 3]
        result = result + c * (a * x + b).tanh()
    return result


for step in range(2001):
    errors = [network(x) - target for x, target in points]
    loss = sum(error * error for error in errors)
    loss.backward()
    losses.append(loss.data)
    if step in (0, 20, 300, 2000):
        curves[step] = [network(x).data for x in np.linspace(-1, 1, 41)]
    for knob in knobs:
        knob.data -= rate * knob.grad

figure = Figure(figsize=(9, 3.2), layout="constrained")
left, right = figure.subplots(1, 2)
for (step, curve), colour in zip(curves.items(), ("#b8b8b8", "#56b4e9", "#0072b2", "#d55e00"), strict=True):
    left.plot(np.linspace(-1, 1, 41), curve, color=colour, label=f"step {step}")
left.plot(*zip(*points, strict=True), "o", color="#1b1b1b", markersize=4)
left.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="x", ylabel="network(x)")
left.legend(frameon=False, fontsize=8)
right.semilogy(losses, color="#0072b2")
right.set(xlabel="step", ylabel="loss")
show(figure, "Left twelve points of a wave, and the network's curve bending towards them; right the falling loss.")
print(
    f"loss: {losses[0]:.2f} before, {losses[-1]:.4f} after 2,000 steps; the graph of one loss has {len(backward_order(loss))} boxes"
)

# %% [markdown]
# ## In the paper
#
# You will search it in vain for what you just built; it is taken for granted. Section 4.1 says in half a sentence that all models are
# pre-trained with Adam: that is a rule for turning knobs (lesson 10), and what it is given at every step is the gradient of the loss against each of
# Table 1's 86, 307 or 632 million parameters.
#
# | paper | here | in minivit |
# |---|---|---|
# | parameters (Table 1) | `knobs` | leaves of the graph: Tensors with `requires_grad` |
# | Eq. 3, $z_\ell = \mathrm{MLP}(\mathrm{LN}(z'_\ell)) + z'_\ell$ | `x + (w * x).tanh()` | `EncoderBlock` |
# | one step of training (section 4.1) | `loss.backward()`, then `knob.data -= ...` | the same, then `optim.step()` |
#
# The engine in [`minivit/engine/tensor.py`](../minivit/engine/tensor.py) works like yours: `record` hangs the parents on each result, `_oldest_first`
# sorts by age, and `run_backward` adds up. It differs on purpose in four ways. Its boxes hold arrays, not
# single numbers. In place of stored slopes it keeps a function that multiplies by them, for a table of all slopes between two arrays would be huge. What it finds
# is *added* to the `.grad` of the leaves, where yours starts from 0. And each box is emptied after its turn, to give its memory back.

# %% [markdown]
# ## Break it and see
#
# Two mistakes that raise no error: to write `=` where `+=` belongs, and to let boxes take their turns in the order in which one meets them. Below is the
# walk with both mistakes to choose from. A gradient is the slope of a tangent, so we can *see* whether it is right: a tangent touches its curve.


# %%
def f(x):
    u = x * x - 1
    return u - (3 * u + x).tanh()  # x is used more than once, and so is u


def as_met(end):
    """The boxes in the order in which one meets them from the end: no care is taken that they are complete."""
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
    "as one meets them": (False, as_met),
}
for axes, (title, (forget, order_of)) in zip(figure.subplots(1, 3, sharey=True), titles.items(), strict=True):
    xs = np.linspace(-1.3, 1.2, 80)
    axes.plot(xs, [f(Value(x)).data for x in xs], color="#0072b2", linewidth=2)
    for x in (-1.15, -0.8, 0.0, 0.6, 0.9):
        leaf = Value(x)
        end = f(leaf)
        walk(end, order_of(end), forget)
        ends = np.array([x - 0.2, x + 0.2])
        axes.plot(ends, end.data + leaf.grad * (ends - x), color="#d55e00")
        axes.plot(x, end.data, "o", color="#d55e00", markersize=4)
    axes.set_title(title, fontsize=10)
show(
    figure,
    "The same curve three times. Left five tangents touch it; in the middle and on the right some cut through it.",
)

# %% [markdown]
# Some of the wrong tangents look right, and a network that is trained with them may still learn something: that is what makes such mistakes hard to find.
# Now give `f` a form in which no value is used twice, for instance `(3 * x).tanh()`. Which of the two mistakes can you
# still see? And what would a test be worth that tries only such functions?
#
# <details><summary>Answer</summary>
#
# Neither: each box gets one gradient, so there is nothing to add, and on a single way there is only one order. Such a test
# passes with both mistakes in the walk, and is worth nothing against them.
#
# </details>

# %% [markdown]
# ## Summary
#
# - A result remembers its parents and the local slopes against them. That is all the forward pass has to leave behind.
# - Backwards, slopes multiply along a way and add up where ways meet: `parent.grad += value.grad * factor`.
# - A box has its turn after all that was computed from it; by age, the youngest first.
# - One walk gives the slope against every knob; measuring needs two runs for each, and is the judge.

# %% [markdown]
# ## What comes next
#
# One Python object for each number is slow: the graph of ViT-Base for a single image would have billions of boxes. In [lesson 02](02_tensors.ipynb) a
# box holds a whole array, and the same walk goes back through a few hundred of them.
