# %% [markdown]
# # 04 · Layers: the parts that a Transformer repeats
#
# *About 45 minutes. Comes after lessons [02](02_tensors.ipynb) and [03](03_products.ipynb). In the paper: section 3.1 and
# Eq. 3.*
#
# You will build the layers that every block of a Transformer is made of: a linear map, a normalisation, and an MLP with a bend
# in it. Each owns its parameters and knows their names. At the end, a network of yours learns something.

# %% tags=["keep"]
import math

import numpy as np

from minivit_lessons.pictures.layers import draw_circle, draw_gelu, draw_regions, draw_spreads

Tensor, cross_entropy, softmax = built("Tensor", "cross_entropy", "softmax")

# %% [markdown]
# ## The question
#
# A Transformer is deep: ViT-B has 12 blocks, ViT-H has 32, and in each block there are several layers. What must a layer be
# like, so that dozens of them can stand on top of one another? If layers only multiply by matrices, two things go wrong.
#
# - **Size.** A layer that makes its numbers a quarter larger looks harmless. After 24 of them the numbers are 212 times as
#   large, for $1.25^{24} = 212$. A layer that makes them a fifth smaller leaves $0.8^{24} = 0.0047$ of them.
# - **Straightness.** $(xA)B = x(AB)$: two matrices in a row are one matrix. Without something between them that
#   is not linear, depth buys nothing.
#
# *Layer normalisation* answers the first, *GELU* the second.

# %% [markdown]
# ## The picture
#
# The first problem, measured. What goes through a Transformer are *tokens*: a token is a row of D numbers, and from
# lesson 05 on it stands for a piece of the image. Here 64 tokens of D = 256 numbers go through 24 random matrices. An
# output number adds up D products; with weights of standard deviation $s/\sqrt{D}$ the sum has the variance
# $D \cdot s^2/D = s^2$, so each layer makes the numbers about s times as large. Only s = 1 survives, and no one can promise
# that s stays at 1 while the weights are trained.

# %%
D, depth = 256, 24


def spreads(s, normalise=None):
    """The standard deviation of all numbers before the first layer and after each."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, D))
    found = [x.std()]
    for _ in range(depth):
        W = rng.standard_normal((D, D)) * s / math.sqrt(D)
        x = (x if normalise is None else normalise(x)) @ W
        found.append(x.std())
    return found


sizes = (1.25, 1.0, 0.8)
plain = {s: spreads(s) for s in sizes}
show(
    draw_spreads({"24 linear layers": plain}),
    "Three straight lines on a logarithmic axis: with s = 1.25 the numbers grow about 200-fold, with 1 they stay, "
    "with 0.8 they shrink to less than a hundredth.",
)

# %% [markdown]
# ## One number at a time
#
# Normalisation works on one token, a row of D numbers. Take (2, 4, 6, 8). Had the weights before it been twice
# as large, it would be (4, 8, 12, 16). Had every bias been larger by 10, it would be (12, 14, 16, 18). The pattern is the same
# in all three: equal steps upwards. The next layer should see this pattern and not the accident of its size. So we want a
# function n with
#
# $$n(a\,x + c) = n(x) \qquad \text{for every } a > 0 \text{ and every } c.$$
#
# The wish nearly dictates the answer.
#
# 1. *Centre.* If all numbers grow by c, so does their mean μ. Then $x - \mu$ stays what it was: c is gone.
# 2. *Scale.* Of $a\,x$ there is now $a\,(x - \mu)$ left. Divide by something that grows with a just as much: the standard
#    deviation σ. Then a is gone.
#
# $$\mu = \frac{1}{D}\sum_i x_i \qquad \sigma^2 = \frac{1}{D}\sum_i (x_i - \mu)^2 \qquad n_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}$$
#
# What is ε for? A token whose numbers are all the same has σ = 0, and 0/0 is no number. The tiny $\varepsilon = 10^{-6}$
# makes it 0.


# %% exercise="normalise_row"
def normalise_row(row, eps=1e-6):
    """A list of numbers, centred and scaled: the list of n_i."""
    # --- solution
    D = len(row)
    mean = sum(row) / D
    variance = sum((x - mean) ** 2 for x in row) / D
    return [(x - mean) / math.sqrt(variance + eps) for x in row]
    # --- end


# %%
for row in ([2, 4, 6, 8], [4, 8, 12, 16], [12, 14, 16, 18], [5, 5, 5, 5]):
    print(row, "->", [round(n, 4) for n in normalise_row(row)])

# %% [markdown]
# ## All at once
#
# Now for Tensors of any number of axes: the last one holds a token's numbers, those before it count images and tokens. Two
# short definitions come first. `linear` is the product of lesson 03 with a bias: each output is a weighted sum of the token's
# numbers, and W has the shape (in, out). `parameter` makes a Tensor that training shall change, in float32: half the memory of
# float64, and precise enough to learn.
#
# For layer normalisation a Tensor has all that you need: `mean(axis=-1, keepdims=True)` gives each token its μ. Every
# token is normalised *by itself*. No image influences another, and it makes no difference how many there are.
#
# Then two parameters come in, a weight and a bias for each of the D places: $y = n \odot w + b$. They start as ones and
# zeros and do nothing. But some places may deserve to be louder than others, and training can say so.


# %% tags=["keep"]
def linear(x, weight, bias=None):
    """x W + b: (..., in), (in, out), (out,) -> (..., out)."""
    y = x @ weight
    return y if bias is None else y + bias


def parameter(values):
    """A Tensor to be trained."""
    return Tensor(np.asarray(values, np.float32), requires_grad=True)


# %% exercise="layer_norm"
def layer_norm(x, weight, bias, eps=1e-6):
    """Each row centred and scaled, then times weight, plus bias: (..., D), (D,), (D,) -> (..., D)."""
    # --- solution
    centred = x - x.mean(axis=-1, keepdims=True)  # (..., D)
    variance = (centred * centred).mean(axis=-1, keepdims=True)  # (..., 1)
    return centred / (variance + eps).sqrt() * weight + bias
    # --- end


# %% [markdown]
# There is a picture behind the formula. Centring projects a token onto the plane of all tokens whose sum is 0. Scaling then
# puts it on a sphere, for $\sum_i n_i^2 = D$: every token gets the length $\sqrt{D}$. With D = 3, plane and sphere meet in a
# circle. In both pictures a token has the same colour: it tells where on the circle it will land.

# %%
rng = np.random.default_rng(1)
cloud = rng.standard_normal((150, 3)) * rng.uniform(0.3, 2.5, (150, 1)) + rng.uniform(-1.5, 1.5, (150, 1))
ones, zeros = Tensor(np.ones(3)), Tensor(np.zeros(3))
show(
    draw_circle(cloud, layer_norm(Tensor(cloud), ones, zeros).data),
    "Left a cloud of points in space, right the same points after normalisation: all on one circle, colours in order.",
)

# %% [markdown]
# What is left is a direction: D numbers have lost two degrees of freedom, size and mean. (What, then, is left of a token of
# two numbers?)
#
# <details><summary>Answer</summary>
#
# Only which of them is larger: it becomes (1, -1) or (-1, 1), up to the trace that ε leaves.
#
# </details>
#
# This also tells something about the gradient, without any calculation. If x moves by a constant or grows by a factor, the
# output stays. So the gradient must be at right angles to both moves: its numbers add up to 0, and so do their products with
# x (but for a trace that ε leaves). You wrote no gradient for `layer_norm`; your engine knows it all the same.
#
# And the 24 layers? With a normalisation before each, a layer may still make its input larger or smaller, but the next one
# does not see it, and nothing multiplies up.

# %%
x = Tensor(rng.standard_normal((3, 8)), requires_grad=True)  # three tokens of eight numbers
y = layer_norm(x, Tensor(np.ones(8)), Tensor(np.zeros(8)))
y.backward(rng.standard_normal((3, 8)))  # any gradient may come from above
print("a gradient:         ", x.grad[0].round(2))
print("its sum:            ", f"{x.grad[0].sum():.0e}")
print("its product with x: ", f"{(x.grad * x.data)[0].sum():.0e}")


def normalised(x):
    return layer_norm(Tensor(x), Tensor(np.ones(D)), Tensor(np.zeros(D))).data


show(
    draw_spreads({"24 linear layers": plain, "layer_norm before each": {s: spreads(s, normalised) for s in sizes}}),
    "Left the three lines from before, right the same networks with layer normalisation: all three are level, near 1.",
)

# %% [markdown]
# **GELU.** Now the bend. The simplest is ReLU: keep x if it is positive, else put 0. That is a gate which x opens for itself,
# fully or not at all. The *Gaussian error linear unit* opens it by degrees. Its question is: is x large, compared with what is
# usual? After a normalisation, usual means mean 0 and variance 1. So draw a random number X from the standard normal
# distribution, and keep x if X is smaller. On average, that is x times the probability Φ(x) of keeping it:
#
# $$\text{GELU}(x) = x \cdot P(X < x) = x\,\Phi(x), \qquad X \sim N(0, 1)$$
#
# A large x passes, a very negative one is stopped, and near 0 about half goes through. Unlike ReLU, a slightly negative x
# comes out slightly negative, and the slope is nowhere broken.
#
# Exactly, $\Phi(x) = \frac{1}{2}(1 + \text{erf}(x/\sqrt{2}))$, but NumPy has no erf. The authors' code uses another S-shaped
# curve, tanh, bent to lie on Φ:
#
# $$\text{GELU}(x) \approx \frac{x}{2}\left(1 + \tanh\left[\sqrt{2/\pi}\,\left(x + 0.044715\,x^3\right)\right]\right)$$
#
# $\sqrt{2/\pi}$ gives the tanh the same slope as Φ has at 0. With $0.0455\,x^3$ the next term of the series would agree as
# well; 0.044715 is a little worse there, and better over the whole line.


# %% exercise="gelu"
def gelu(x):
    """x Φ(x) for each number of a Tensor, in the form with tanh."""
    # --- solution
    inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
    return x * (inner.tanh() + 1) * 0.5
    # --- end


# %% [markdown]
# Now ask chance itself. For each of some x, 20,000 numbers X are drawn, and x is kept where it is larger: the mean is a dot in
# the middle picture. The last one shows what the tanh costs, by the exact Φ of Python's `math.erf`.


# %%
def gelu_by_chance(x, draws=20_000):
    others = np.random.default_rng(0).standard_normal(draws)
    kept = [x if other < x else 0.0 for other in others]
    return sum(kept) / draws


line = np.linspace(-5, 5, 1001)
gate = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in line])
some = np.arange(-4, 3.5, 0.5)
show(
    draw_gelu(line, gelu(Tensor(line)).data, gate, some, [gelu_by_chance(x) for x in some]),
    "Left the gates, an S for GELU and a step for ReLU; middle GELU, dipping below 0 near -0.75, with the dots of chance "
    "on it, beside ReLU; right the error of the tanh form, at most 0.00047, near 2.7 and -2.7.",
)

# %% [markdown]
# ## Your turn
#
# So far these are functions. A *layer* is a function that owns its parameters. An optimiser must find them all, and a file
# must store them under their names, such as `blocks.3.attention.qkv.weight`. One class does this for every layer and model
# of this course. A layer extends it: `__init__` puts its parameters into attributes, `forward` computes. Python turns a call
# `layer(x)` into `layer.__call__(x)`, and that calls `forward`.


# %% exercise="Module"
class Module:
    """The base of every layer: a parameter is a Tensor in an attribute, a part is a Module, or a list of Modules."""

    def __call__(self, *inputs, **options):
        return self.forward(*inputs, **options)

    def parameters(self):
        return [tensor for _, tensor in self.named_parameters()]

    def named_parameters(self):
        """A list of pairs (name, Tensor), in the order in which __init__ assigned them."""
        # --- solution
        found = []
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                found.append((name, value))
                continue
            parts = [(name, value)]
            if isinstance(value, list):
                parts = [(f"{name}.{i}", item) for i, item in enumerate(value)]
            for path, part in parts:
                if isinstance(part, Module):
                    found += [(f"{path}.{inner}", tensor) for inner, tensor in part.named_parameters()]
        return found
        # --- end


# %% [markdown]
# With it, a layer is a few lines. How should a weight start? For sums of `fan_in` products a variance of 1/fan_in keeps the
# size, as in the picture at the top. But the backward pass multiplies by the transposed matrix, and for gradients it is
# 1/fan_out. Glorot and Bengio (2010) take the middle, $2/(\text{fan\_in} + \text{fan\_out})$. A uniform distribution from
# $-a$ to $a$ has the variance $a^2/3$, so $a = \sqrt{6/(\text{fan\_in} + \text{fan\_out})}$: *Xavier uniform*, after
# Glorot's first name.


# %% tags=["keep"]
class Linear(Module):
    """x W + b over the last axis: (..., fan_in) -> (..., fan_out)."""

    def __init__(self, fan_in, fan_out, rng):
        limit = math.sqrt(6 / (fan_in + fan_out))
        self.weight = parameter(rng.uniform(-limit, limit, (fan_in, fan_out)))
        self.bias = parameter(np.zeros(fan_out))

    def forward(self, x):
        return linear(x, self.weight, self.bias)


class LayerNorm(Module):
    """Layer normalisation over the last axis, of length dim."""

    def __init__(self, dim):
        self.weight = parameter(np.ones(dim))
        self.bias = parameter(np.zeros(dim))

    def forward(self, x):
        return layer_norm(x, self.weight, self.bias)


# %% [markdown]
# Now the MLP, the half of each Transformer block in which every token thinks for itself: D numbers are mapped to more (4 D
# in all of the paper's models), each goes through GELU, and a second map leads back to D.


# %% exercise="MLP"
class MLP(Module):
    """Two linear layers, fc1 and fc2, with GELU between them: (..., dim) -> (..., dim)."""

    def __init__(self, dim, hidden, rng):
        # --- solution
        self.fc1 = Linear(dim, hidden, rng)
        self.fc2 = Linear(hidden, dim, rng)
        # --- end

    def forward(self, z):
        # --- solution
        return self.fc2(gelu(self.fc1(z)))
        # --- end


# %% [markdown]
# Does it learn? A token of two numbers is a point of the plane. `MLP(2, 16)` returns two numbers for it, which we take as
# logits: is the point outside a disc, or inside? Training is lesson 10's subject; here the plainest form will do: work out
# the gradient of the loss, and move every parameter a little against it. Every part of what follows is yours: the walk back
# through the graph, the product, softmax and the loss, GELU, the layers and their names.

# %%
rng = np.random.default_rng(1)
points = rng.uniform(-2, 2, (300, 2)).astype(np.float32)
inside = (np.hypot(points[:, 0], points[:, 1]) < 1.4).astype(np.int64)  # 1 inside the disc, 0 outside


def train(model, steps=300, rate=0.3):
    """Plain gradient descent; returns the loss at each step."""
    losses = []
    for _ in range(steps):
        loss = cross_entropy(model(Tensor(points)), inside)
        for p in model.parameters():
            p.grad = None  # gradients add up: forget those of the step before
        loss.backward()
        for p in model.parameters():
            p.data -= rate * p.grad
        losses.append(loss.item())
    return losses


def accuracy_of(model):
    return float((model(Tensor(points)).data.argmax(axis=-1) == inside).mean())


mlp = MLP(2, 16, np.random.default_rng(1))
for name, tensor in mlp.named_parameters():
    print(f"{name:12}{tensor.shape}")
losses = train(mlp)
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, {accuracy_of(mlp):.1%} of the points right")

# %% [markdown]
# ## In the paper
#
# Section 3.1 describes a block in three sentences: attention and MLP in turn, a layer norm before each, and the MLP
# with two layers and a GELU. Eq. 3 is the half that you can now read:
#
# $$z_\ell = \text{MLP}(\text{LN}(z'_\ell)) + z'_\ell$$
#
# | paper | here | in `minivit` |
# |---|---|---|
# | LN | `layer_norm`, `LayerNorm` | [`engine/fused.py`](../minivit/engine/fused.py), `nn/layers.py` |
# | GELU | `gelu` | `engine/fused.py` |
# | MLP | `MLP` | [`models/vit.py`](../minivit/models/vit.py) |
# | "MLP size" (Table 1) | `hidden`; 3072 for ViT-B, where D = 768 | `mlp_dim` |
#
# The addition of $z'_\ell$ is lesson 08's. GELU is from Hendrycks and Gimpel (2016), layer normalisation from Ba, Kiros and
# Hinton (2016).
#
# Three things are simpler here. The authors start the MLP's biases at random numbers of about $10^{-6}$, we at 0. Theirs has
# dropout, which sets random numbers to 0 during training; ours has none. And `minivit` computes the gradients of these
# layers by formulas of its own, faster: [lesson 16](16_speed.ipynb) compares the two.

# %% [markdown]
# ## Break it and see
#
# Leave GELU out. Every shape fits, every parameter gets its gradient, the loss falls. And the network is one matrix:
# $(xW_1 + b_1)W_2 + b_2 = x\,(W_1W_2) + (b_1W_2 + b_2)$.


# %%
class StraightMLP(MLP):
    def forward(self, z):
        return self.fc2(self.fc1(z))


ticks = np.linspace(-2, 2, 60, dtype=np.float32)
plane = np.stack(np.meshgrid(ticks, ticks), axis=-1)  # (60, 60, 2): a token for each place


def draw_what_is_learned(hidden):
    """The same training with and without GELU."""
    maps = {}
    for word, kind in (("with GELU", MLP), ("without", StraightMLP)):
        model = kind(2, hidden, np.random.default_rng(1))
        train(model)
        probabilities = softmax(model(Tensor(plane))).data[..., 1]  # (60, 60)
        maps[f"hidden = {hidden}, {word}: {accuracy_of(model):.0%}"] = probabilities
    return draw_regions(points, inside, maps, reach=2)


explore(
    draw_what_is_learned,
    "Left, with GELU, a closed line around the disc's points. Right, without: one colour nearly everywhere, no closed line.",
    hidden=[16, 2, 3, 4, 64],
)

# %% [markdown]
# One matrix can only divide the plane by a straight line, and a line surrounds nothing. It does no better than to call every
# point "outside".
#
# Now change `hidden` with the slider, or call `show(draw_what_is_learned(3), "three")`. Each hidden number bends the plane
# along one line. How many bends does it take to close a ring? (Try another seed in `draw_what_is_learned`, too: from some
# starts the fewest that could do it get stuck.)
#
# <details><summary>Answer</summary>
#
# Three, like the sides of a triangle. With two, the line that training finds here never closes.
#
# </details>

# %% [markdown]
# ## Summary
#
# - `linear` mixes the numbers of a token; `layer_norm` takes away its mean and its size, so that depth does not
#   multiply errors of size; `gelu` multiplies each number by the share of a normal distribution that lies below it.
# - Without a bend, any number of linear layers is one.
# - `Module` finds parameters by looking at attributes, and names them by the way to them.
# - All of it acts on each token by itself.

# %% [markdown]
# ## What comes next
#
# We have layers for tokens, but an image is a block of pixels. [Lesson 05](05_patches.ipynb) cuts it into words.
