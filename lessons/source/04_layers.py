# %% [markdown]
# # 04 · Layers: the parts that a Transformer repeats
#
# *Comes after lessons [02](02_tensors.ipynb) and [03](03_products.ipynb). In the paper: section 3.1 and
# Eq. 3.*
#
# You will build the layers of which every block of a Transformer is made: a linear layer, layer normalisation, and a
# multi-layer perceptron (MLP). Each layer owns its parameters and knows their names. At the end, a network that you
# built learns to classify points.

# %% tags=["keep"]
import math

import numpy as np

from minivit_lessons.pictures.layers import draw_circle, draw_gelu, draw_regions, draw_spreads

Tensor, cross_entropy, softmax = built("Tensor", "cross_entropy", "softmax")

# %% [markdown]
# ## The question
#
# A model is built from **layers**: functions with numbers in them that training changes. These numbers are the parameters
# of the layer. A Transformer is deep: ViT-B has 12 blocks, ViT-H has 32, and each block contains several layers. What must a
# layer be like, so that we can put dozens of them on top of one another? If every layer only multiplies by a matrix, two
# things go wrong.
#
# - **Scale.** A layer that makes its numbers 25 % larger looks harmless. After 24 such layers the numbers are 212 times as
#   large, because $1.25^{24} = 212$. If each layer makes them 20 % smaller, $0.8^{24} = 0.0047$ of their size is left.
# - **Linearity.** $(xA)B = x(AB)$: two matrices in a row are one matrix. Unless there is a function between them that is not
#   linear, a deep network computes no more than one layer does.
#
# *Layer normalisation* solves the first problem, and an *activation function* such as GELU solves the second.

# %% [markdown]
# ## The picture
#
# Let us measure the first problem. The data that flows through a Transformer are **tokens**. A token is a row of D numbers;
# from lesson 05 on, it represents a piece of the image. The numbers that a layer computes are called its **activations**.
#
# Here 64 tokens of D = 256 numbers pass through 24 random matrices. Each output number is a sum of D products. If the
# weights have the standard deviation $s/\sqrt{D}$, this sum has the variance $D \cdot s^2/D = s^2$. So each layer multiplies
# the size of the activations by about s. They keep their size only for s = 1, and while the weights are trained, nothing
# keeps s at 1.

# %%
D, depth = 256, 24


def spreads(s, normalise=None):
    """The standard deviation of all activations before the first layer and after each."""
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
# **Layer normalisation** (LayerNorm) works on one token, a row of D numbers. Take (2, 4, 6, 8). If all weights before it were
# twice as large, the row would be (4, 8, 12, 16). If every bias were larger by 10, it would be (12, 14, 16, 18). All three
# rows have the same pattern: they increase in equal steps. The next layer should see this pattern, and neither its scale nor
# its offset. So we look for a function n with
#
# $$n(a\,x + c) = n(x) \qquad \text{for every } a > 0 \text{ and every } c.$$
#
# Several functions satisfy this condition. The simplest way to one of them has two steps.
#
# 1. *Centre.* If all numbers increase by c, their mean μ increases by c too. So $x - \mu$ does not depend on c.
# 2. *Scale.* For the row $a\,x$, step 1 gives $a\,(x - \mu)$. Divide it by something that is proportional to a as well: the
#    standard deviation σ. Then the result does not depend on a.
#
# $$\mu = \frac{1}{D}\sum_i x_i \qquad \sigma^2 = \frac{1}{D}\sum_i (x_i - \mu)^2 \qquad n_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}$$
#
# Why is ε there? If all numbers of a token are equal, σ is 0, and 0/0 is not a number. With the small constant
# $\varepsilon = 10^{-6}$ the result is 0.


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
# Now we write the layers for Tensors with any number of axes. The last axis holds the D numbers of a token. The axes before
# it count images and tokens.
#
# A **linear layer** is the matrix product of lesson 03 plus a constant: $y = xW + b$. The numbers in W are its **weights**: each
# output is a weighted sum of the token's numbers. The vector b is its **bias**. W has the shape (in, out). The helper
# `parameter` makes a Tensor that training will change. It is float32, which needs half the memory of float64 and is precise
# enough for training.
#
# For layer normalisation, Tensor has all the methods that you need: `mean(axis=-1, keepdims=True)` computes μ for each token.
# Every token is normalised *separately*. So the result for one image does not depend on the other images of the batch.
#
# Finally, layer normalisation has two parameters: a weight and a bias for each of the D places, $y = n \odot w + b$ (⊙ is the
# product of corresponding elements). They start as ones and zeros and change nothing at first. But the next layer may need
# some of the D places on a larger scale than others, and training can choose these scales.


# %% tags=["keep"]
def linear(x, weight, bias=None):
    """x W + b: (..., in), (in, out), (out,) -> (..., out)."""
    y = x @ weight
    return y if bias is None else y + bias


def parameter(values):
    """A Tensor that training changes."""
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
# The formula has a geometric meaning. Centring projects a token onto the plane of all tokens whose sum is 0. Scaling then moves it
# to a sphere: because $\sum_i n_i^2 = D$, every token gets the length $\sqrt{D}$. For D = 3, the plane and the sphere meet in a
# circle. In the two pictures below, a token has the same colour before and after: the colour shows its place on the circle.

# %%
rng = np.random.default_rng(1)
cloud = rng.standard_normal((150, 3)) * rng.uniform(0.3, 2.5, (150, 1)) + rng.uniform(-1.5, 1.5, (150, 1))
ones, zeros = Tensor(np.ones(3)), Tensor(np.zeros(3))
show(
    draw_circle(cloud, layer_norm(Tensor(cloud), ones, zeros).data),
    "Left a cloud of points in space, right the same points after normalisation: all on one circle, colours in order.",
)

# %% [markdown]
# Only a direction is left: the D numbers have lost two degrees of freedom, their scale and their mean. What is left of a token
# of two numbers? Guess first.
#
# <details><summary>Answer</summary>
#
# Only which of the two is larger. The result is (1, -1) or (-1, 1), except for the tiny effect of ε.
#
# </details>
#
# This tells us something about the gradient before we compute it. If we add a constant to x or multiply x by a positive
# factor, the output does not change. So the gradient has no component in these two directions: its numbers add up to 0, and
# its dot product with x is 0 (except for the effect of ε). You did not write the backward pass of `layer_norm`. Your engine
# derives it from the operations that you used.
#
# What happens to the 24 layers? With a normalisation before each of them, a layer may still change the scale of its input.
# The next layer does not see this change, so the factors no longer multiply.

# %%
x = Tensor(rng.standard_normal((3, 8)), requires_grad=True)  # three tokens of eight numbers
y = layer_norm(x, Tensor(np.ones(8)), Tensor(np.zeros(8)))
y.backward(rng.standard_normal((3, 8)))  # any gradient of y
print("gradient of a token:  ", x.grad[0].round(2))
print("its sum:              ", f"{x.grad[0].sum():.0e}")
print("dot product with x:   ", f"{(x.grad * x.data)[0].sum():.0e}")


def normalised(x):
    return layer_norm(Tensor(x), Tensor(np.ones(D)), Tensor(np.zeros(D))).data


show(
    draw_spreads({"24 linear layers": plain, "layer_norm before each": {s: spreads(s, normalised) for s in sizes}}),
    "Left the three lines from before, right the same networks with layer normalisation: all three are level, near 1.",
)

# %% [markdown]
# Now the second problem. An activation function is a function that is not linear, such as the tanh of lesson 01. It is applied between
# two linear layers, to each number separately. The simplest one is ReLU: it keeps x if x is positive, and returns 0 otherwise. You can read it as x times a
# gate which is either closed (0) or open (1).
#
# The Gaussian error linear unit (**GELU**), the activation function of the Transformer, opens this gate gradually. It asks: is x
# large, compared with what is usual? After a normalisation, "usual" means mean 0 and variance 1. So draw a random number X from
# the standard normal distribution, and keep x if X is smaller. On average, this is x times the probability Φ(x) of keeping it:
#
# $$\text{GELU}(x) = x \cdot P(X < x) = x\,\Phi(x), \qquad X \sim N(0, 1)$$
#
# A large x passes nearly unchanged, a very negative x becomes nearly 0, and near 0 about half of x passes. Two things differ
# from ReLU: a slightly negative x gives a slightly negative result, and the derivative has no jump.
#
# Exactly, $\Phi(x) = \frac{1}{2}(1 + \text{erf}(x/\sqrt{2}))$, but NumPy has no erf. The authors' code uses another S-shaped
# function, tanh, with constants that fit it to Φ:
#
# $$\text{GELU}(x) \approx \frac{x}{2}\left(1 + \tanh\left[\sqrt{2/\pi}\,\left(x + 0.044715\,x^3\right)\right]\right)$$
#
# With the factor $\sqrt{2/\pi}$, this gate has the same derivative at 0 as Φ. With $0.0455\,x^3$ the next term of the Taylor series
# would agree too; 0.044715 is slightly worse near 0 and better over the whole line.


# %% exercise="gelu"
def gelu(x):
    """x Φ(x) for each number of a Tensor, in the form with tanh."""
    # --- solution
    inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
    return x * (inner.tanh() + 1) * 0.5
    # --- end


# %% [markdown]
# We can test the definition by experiment. For each of some x, the function below draws 20,000 random numbers X and keeps x for
# those that are smaller. The mean is a dot in the middle picture. The right picture shows the error of the form with tanh,
# measured with the exact Φ of Python's `math.erf`.


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
    "Left the gates, an S for GELU and a step for ReLU; middle GELU, dipping below 0 near -0.75, with the dots of the "
    "experiment on it, beside ReLU; right the error of the tanh form, at most 0.00047, near 2.7 and -2.7.",
)

# %% [markdown]
# ## Your turn
#
# So far these are functions. A *layer* is a function that owns its parameters. Training must find all parameters of a model,
# and a file must store them under names such as `blocks.3.attention.qkv.weight`. One class, `Module`, does this for
# every layer and model of this course. A layer extends it: `__init__` assigns the parameters to attributes, and `forward`
# computes the output. Python turns a call `layer(x)` into `layer.__call__(x)`, which calls `forward`.


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
# With `Module`, a layer takes a few lines. Which values should the weights have before training? This choice is the
# **initialisation**. An output is a sum of `fan_in` products, so the variance 1/fan_in keeps the scale of the activations, as in
# the first picture of this lesson. The backward pass multiplies by the transposed matrix; for gradients the right
# variance is 1/fan_out. Glorot and Bengio (2010) chose a compromise, $2/(\text{fan\_in} + \text{fan\_out})$. A uniform
# distribution from $-a$ to $a$ has the variance $a^2/3$, so $a = \sqrt{6/(\text{fan\_in} + \text{fan\_out})}$. This is called
# *Xavier uniform*, after Glorot's first name.


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
# The last layer of this lesson is the **multi-layer perceptron** (MLP): two linear layers with an activation function between
# them. It is one half of each Transformer block. The first layer maps the D numbers of a token to more (4 D in all
# models of the paper), GELU acts on each of these, and the second layer maps them back to D numbers. The MLP processes each
# token separately.


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
# Does it learn? A token of two numbers is a point in the plane. `MLP(2, 16)` returns two numbers for it, which we use as
# logits: is the point outside a disc, or inside? Training is the subject of lesson 10. Here its simplest form is enough:
# compute the gradient of the loss, and change every parameter a little in the opposite direction. You built everything that
# runs below: the backward pass through the graph, the matrix product, softmax and the loss, GELU, the layers and their names.

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
            p.grad = None  # gradients add up: remove those of the step before
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


# %% exercise="layer_norm_gradient"
def layer_norm_gradient(x, dy, eps=1e-6):
    """dL/dx of n = (x - μ) / √(σ² + ε), from arrays: x and dy = dL/dn, both (..., D) -> (..., D)."""
    # --- solution
    centred = x - x.mean(axis=-1, keepdims=True)
    root = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    n = centred / root
    return (dy - dy.mean(axis=-1, keepdims=True) - n * (dy * n).mean(axis=-1, keepdims=True)) / root
    # --- end


# %% [markdown]
# ## In the paper
#
# Section 3.1 describes a block of the Transformer in three sentences. One half of the block is the MLP, with two layers and a
# GELU, and there is a layer normalisation before each half. Eq. 3 is the half that you can now read:
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
# Lesson 08 explains why $z'_\ell$ is added.
#
# Three things are simpler here than in the authors' code. The biases of their MLP start as random numbers of about $10^{-6}$, ours
# start at 0. They set random activations to 0 during training (lesson 11), and we do not. And `minivit` computes the gradients of
# these layers with hand-derived formulas, which is faster: [lesson 16](16_speed.ipynb) compares the two.

# %% [markdown]
# ## Break it and see
#
# Leave GELU out. All shapes fit, every parameter gets a gradient, and the loss falls. But the network is only one matrix:
# $(xW_1 + b_1)W_2 + b_2 = x\,(W_1W_2) + (b_1W_2 + b_2)$.


# %%
class StraightMLP(MLP):
    def forward(self, z):
        return self.fc2(self.fc1(z))


ticks = np.linspace(-2, 2, 60, dtype=np.float32)
plane = np.stack(np.meshgrid(ticks, ticks), axis=-1)  # (60, 60, 2): a token for each place


def draw_what_is_learned(hidden):
    """The same network, trained with and without GELU."""
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
# One matrix can only divide the plane along a straight line, and a straight line cannot enclose anything. The best that it can do
# is to call every point "outside".
#
# Now change `hidden` with the slider, or call `show(draw_what_is_learned(3), "three")`. Each hidden number adds one line along
# which the function changes its direction. How many such lines does it take to enclose a region? Guess first. (Try other
# random numbers too, `default_rng(2)` in `draw_what_is_learned`: from some initialisations, the smallest network that could do it does not find the solution.)
#
# <details><summary>Answer</summary>
#
# Three, like the sides of a triangle. With two, the line that training finds here never closes.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# Each function and class of this lesson has a counterpart in `torch.nn`:
#
# ```python
# from torch import nn
#
# norm = nn.LayerNorm(D, eps=1e-6)              # layer_norm, with weight and bias
# act = nn.GELU(approximate="tanh")             # gelu
# fc1 = nn.Linear(D, 4 * D)                     # Linear
# mlp = nn.Sequential(fc1, act, nn.Linear(4 * D, D))
# mlp.state_dict()                              # names and tensors, as named_parameters() lists them
# ```
#
# | what differs | here | PyTorch |
# |---|---|---|
# | ε of `nn.LayerNorm` | 1e-6, as in the authors' code | 1e-5, unless you write `eps=1e-6` |
# | GELU | the form with tanh | the exact form, unless you write `approximate="tanh"` |
# | shape of a linear layer's weight | (in, out), $xW$ | (out, in), $xW^\top$: transpose it when you copy weights |
# | initialisation of a linear layer | Xavier uniform, bias 0 | uniform between $\pm 1/\sqrt{\text{in}}$, the bias too |
# | where parameters are found | Tensors among the attributes | only `nn.Parameter`; a list of layers must be an `nn.ModuleList` |

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    rng = np.random.default_rng(2)
    x, weight, bias = rng.standard_normal((2, 5, 8)), rng.standard_normal(8), rng.standard_normal(8)
    w, b = torch.tensor(weight), torch.tensor(bias)
    theirs = torch.nn.functional.layer_norm(torch.tensor(x), (8,), w, b, eps=1e-6)
    agree("layer_norm", layer_norm(Tensor(x), Tensor(weight), Tensor(bias)), theirs)
    agree("gelu, tanh", gelu(Tensor(x)), torch.nn.functional.gelu(torch.tensor(x), approximate="tanh"))
    exact = torch.nn.functional.gelu(torch.tensor(x)).numpy()
    print(f"gelu, exact: differs by up to {np.abs(gelu(Tensor(x)).data - exact).max():.0e}, as the picture above shows")

    act = torch.nn.GELU(approximate="tanh")
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 16), act, torch.nn.Linear(16, 2))
    names = theirs.state_dict().keys()  # 0.weight, 0.bias, 2.weight, 2.bias
    ours = [torch.tensor(p.data.T.copy()) for p in mlp.parameters()]  # (in, out) becomes (out, in)
    theirs.load_state_dict(dict(zip(names, ours, strict=True)))
    agree("the trained MLP", mlp(Tensor(points)), theirs(torch.tensor(points)), tolerance=1e-5)

# %% [markdown]
# ## What came before and after
#
# - Before: [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167) normalised each activation over the images of a
#   batch (BatchNorm), which allowed higher learning rates.
# - [Ba, Kiros and Hinton, 2016](https://arxiv.org/abs/1607.06450) turned this around: layer normalisation takes mean and variance
#   over the numbers of one case, so it computes the same in training and in testing.
# - [Hendrycks and Gimpel, 2016](https://arxiv.org/abs/1606.08415) proposed GELU, which weights inputs by their value, where ReLU
#   gates them by their sign.
# - After: [Zhang and Sennrich, 2019](https://arxiv.org/abs/1910.07467) argued that centring is dispensable. Their RMSNorm only
#   scales; it is as good in their experiments, and faster.
# - [Shazeer, 2020](https://arxiv.org/abs/2002.05202) replaced the first layer of the MLP by a product of two linear layers, one of
#   them followed by an activation function. Some of these variants improved the Transformer over ReLU and GELU.

# %% [markdown]
# ## Summary
#
# - A linear layer mixes the numbers of a token. Layer normalisation removes the token's mean and scale, so that errors of scale
#   do not multiply with depth. GELU multiplies each number x by Φ(x), a gate between 0 and 1.
# - Without an activation function, any number of linear layers is equivalent to one.
# - `Module` finds the parameters among the attributes, and names each by its path.
# - All these layers act on each token separately.

# %% [markdown]
# ## What comes next
#
# We have layers for tokens, but an image is an array of pixels. [Lesson 05](05_patches.ipynb) cuts it into patches, the "words"
# of the image.
