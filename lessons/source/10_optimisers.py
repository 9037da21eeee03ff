# %% [markdown]
# # 10 · Optimisers: from gradients to the next weights
#
# *Comes after lessons [03](03_products.ipynb) and [09](09_vit.ipynb); it needs only
# the gradient from them. In the paper: section 4.1, appendix B.1, Tables 3 and 4.*
#
# You will write three rules that train networks (momentum, Adam, AdamW), and two that keep training stable
# (clipping, a schedule for the learning rate). At the end, your five functions train a Vision Transformer.

# %% tags=["keep"]
import math

import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.training.optim import is_kernel
from minivit_lessons import trained_model
from minivit_lessons.pictures import optimisers as pictures
from minivit_lessons.pictures.cells import Cells
from minivit_lessons.pictures.optimisers import draw_descent, draw_first_steps, draw_losses, draw_rates
from minivit_lessons.puzzles import show_attempt

# %% [markdown]
# ## The question
#
# For each weight, backpropagation computes the derivative $g$ of the loss with respect to this weight. Gradient descent
# changes the weight in the opposite direction,
#
# $$w \leftarrow w - \eta\, g,$$
#
# where $\eta$ is the learning rate. A rule that computes new weights from gradients is called an **optimiser**, and this
# is the simplest one. In practice the gradient is computed from a small random part of the training images,
# a **mini-batch** (*batch* for short). Gradient descent with the gradients of mini-batches is called **stochastic
# gradient descent** (SGD), since these gradients are random estimates of the true one.
#
# Two things remain open. The gradient gives a direction, but not how far to go, and it holds only near the present
# weights. And $\eta$ is *one* number for all weights. Do their gradients at least have the same size? The cell prints the
# root mean square of the gradient in some arrays of the trained Vision Transformer, for one mini-batch.

# %%
data = shapes("train", count=7680)
pixels, labels = data.images, data.labels

model = trained_model()
minivit.cross_entropy(model(minivit.preprocess(pixels[:100])), labels[:100]).backward()
for name, parameter in model.named_parameters():
    if name.endswith("weight") and "norm" not in name:
        print(f"{name:30} {np.sqrt(np.mean(parameter.grad**2)):.5f}")

# %% [markdown]
# ## The picture
#
# The largest of these gradients is about a hundred times the smallest, and this is a small network. Which $\eta$ suits both?
#
# Two weights are enough to see the problem. This loss is a long valley. Its curvature across (along $w_2$) is a hundred times
# that along its floor (along $w_1$). Gradient descent starts at the dot; the minimum is at the star.

# %%
valley = np.diag([1.0, 100.0])  # H: the loss is ½ wᵀ H w, its gradient H w
start = np.array([-4.0, 1.0])


def descend_valley(rule, steps=40, hessian=valley, begin=start):
    """The weights after each step, (steps + 1, 2). A rule takes (w, g, step, state) and returns (w, state)."""
    w, state, path = begin, None, [begin]
    for step in range(1, steps + 1):
        w, state = rule(w, hessian @ w, step, state)
        path.append(w)
    return np.array(path)


def plain(lr):
    return lambda w, g, step, state: (w - lr * g, state)


explore(
    lambda rate: draw_descent(
        valley, {"rate 0.002": descend_valley(plain(0.002)), f"rate {rate}": descend_valley(plain(rate))}
    ),
    pictures.VALLEY,
    rate=[0.019, 0.005, 0.01, 0.0198, 0.0204],
)

# %% [markdown]
# ## One number at a time
#
# With the small learning rate, the path moves slowly along the floor. With the large one it jumps from wall to wall and still
# moves slowly along the floor. With a rate that is only a little larger it leaves the picture (set the slider to 0.0204, if you
# have one).
#
# To see why, look at one weight at a time. Along each axis the loss is a parabola, $\tfrac{c}{2} w^2$, with *curvature*
# $c$ and derivative $c\,w$. One step of gradient descent gives
#
# $$w - \eta\, c\, w = (1 - \eta c)\, w .$$
#
# So each step multiplies $w$ by the same number. It must be between -1 and 1, or $w$ grows: $\eta$ must be below
# $2/c$. Before you run the cell, predict for each of its six lines what will happen.


# %%
def descend(curvature, lr, steps=5):
    """One weight after each step down the parabola curvature/2 * w²."""
    w, path = 1.0, [1.0]
    for _ in range(steps):
        derivative = curvature * w
        w = w - lr * derivative
        path.append(round(w, 4))
    return path


for lr in (0.002, 0.019, 0.0204):
    print(f"rate {lr:<6}: along the floor (c = 1)", descend(1.0, lr))
    print(f"rate {lr:<6}: across (c = 100)       ", descend(100.0, lr))

# %% [markdown]
# The direction of largest curvature limits the learning rate: $\eta < 2/100$. In the direction of smallest curvature, $w$ then
# shrinks by less than 2 percent in a step. This is why gradient descent is slow, and the rest of this lesson is about
# ways around it.
#
# **Momentum** is the first. Keep a running sum $m$ of the gradients, in which older gradients count less, and step along it:
#
# $$m \leftarrow \mu\, m + g, \qquad w \leftarrow w - \eta\, m .$$
#
# Across the valley the gradient changes its sign from step to step, so its terms cancel. Along the floor the gradients agree and
# add up: if the gradient is always 1, $m$ becomes $1 + \mu + \mu^2 + \cdots = 1 / (1 - \mu)$. With the usual $\mu = 0.9$
# that is 10.
#
# Numbers like $\eta$ and $\mu$, which training does not change but a person chooses, are called **hyperparameters**.

# %%
m_floor = m_across = 0.0
for i in range(40):
    m_floor = 0.9 * m_floor + 1.0  # always the same gradient
    m_across = 0.9 * m_across + (-1.0) ** i  # plus, minus, plus, minus
print(f"after 40 steps: {m_floor:.2f} where the gradients agree, {m_across:.2f} where they alternate")

# %% [markdown]
# ## All at once
#
# From here on `w`, `g` and everything else are arrays of the same shape, and a rule treats each of their numbers alike. Your
# functions return new arrays and change none. (The library's optimisers change the weights in place, which needs less
# memory.)


# %% exercise="sgd_step"
def sgd_step(w, g, m, lr, momentum=0.9):
    """One step of gradient descent with momentum: the new w and the new m."""
    # --- solution
    m = momentum * m + g
    return w - lr * m, m
    # --- end


# %% [markdown]
# **Adam** goes further and gives each weight a separate step size. It keeps two running *means* for each weight, one of
# the gradient and one of its square,
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2,$$
#
# with $\beta_1 = 0.9$ and $\beta_2 = 0.999$. Both start at 0, and so they are too small at first: if all gradients so far
# were $g$, then after $t$ steps $m$ is $(1 - \beta_1^t)\, g$ instead of $g$. *Bias correction* divides both by the factor
# that they lack:
#
# $$\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}, \qquad w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon} .$$
#
# So the mean gradient is divided by the usual size of the gradient. The quotient has no unit: it is near 1 or -1 where
# gradients agree, and near 0 where they change sign. The tiny $\epsilon$ (here $10^{-8}$) prevents a division by 0 for
# weights whose gradient is 0. The corrected means are used once; the next step needs $m$ and $v$ themselves.


# %% exercise="adam_step"
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    """One step of Adam, the first has step = 1: the new w, mean and square."""
    beta1, beta2 = betas
    # --- solution
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * g * g
    unbiased_mean = mean / (1 - beta1**step)
    unbiased_square = square / (1 - beta2**step)
    return w - lr * unbiased_mean / (np.sqrt(unbiased_square) + eps), mean, square
    # --- end


# %% [markdown]
# Two things to notice. The first step of Adam changes each weight by $\eta$, however large its gradient is. Multiply the loss by
# 1000, and nothing changes.
#
# Then the valley. Rotate it with the slider, together with the starting point (or put another angle first in the list). Two of
# the paths rotate with it, and one changes its shape. Which one, and why?

# %%
gradients = np.array([-0.001, 1.0, 1000.0])
first, *_ = adam_step(np.zeros(3), gradients, np.zeros(3), np.zeros(3), step=1, lr=0.01)
print("gradients", gradients, "first steps", first.round(5))


def with_momentum(lr):
    def rule(w, g, step, state):
        return sgd_step(w, g, np.zeros(2) if state is None else state, lr)

    return rule


def with_adam(lr):
    def rule(w, g, step, state):
        mean, square = (np.zeros(2), np.zeros(2)) if state is None else state
        w, mean, square = adam_step(w, g, mean, square, step, lr)
        return w, (mean, square)

    return rule


def draw_three(degrees):
    """The three rules in a rotated valley."""
    angle = math.radians(degrees)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    rotated = rotation @ valley @ rotation.T
    rules = {
        "plain, rate 0.019": plain(0.019),
        "momentum, rate 0.01": with_momentum(0.01),
        "Adam, rate 0.3": with_adam(0.3),
    }
    return draw_descent(
        rotated, {name: descend_valley(rule, 60, rotated, rotation @ start) for name, rule in rules.items()}
    )


explore(
    draw_three,
    pictures.THREE_RULES,
    degrees=[0, 15, 30, 45],
)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Adam's. It divides by the size of each *weight's* gradient. That helps if the valley runs along an axis, and not if it runs
# diagonally. Plain gradient descent and momentum follow the same path in any rotated coordinates.
#
# </details>
#
# ## Your turn
#
# **Weight decay** shrinks each weight a little in every step, so that no weight grows without need. In plain gradient descent
# one adds $\lambda w$ to the gradient, and the weight then shrinks by $\eta \lambda w$ in every step. In Adam the same
# addition goes wrong, and nothing reports it: $\lambda w$ becomes a part of $g$ and is divided by $\sqrt{\hat v}$ like the
# rest. Weights with large gradients then hardly shrink, and those with small gradients shrink far too much. **AdamW** separates
# the two. It first shrinks the weight itself by $\eta \lambda w$, and then takes the step of Adam with the gradient alone.


# %% exercise="adamw_step"
def adamw_step(w, g, mean, square, step, lr, decay):
    """One step of Adam with decoupled weight decay: the new w, mean and square."""
    # --- solution
    return adam_step(w - lr * decay * w, g, mean, square, step, lr)
    # --- end


# %% [markdown]
# To measure the difference, let two weights start at 1. Their gradients are random numbers, of size 0.1 for the first weight and 10 for the
# second. How far has weight decay moved each towards 0 after 1000 steps?


# %%
def shrinkage(rule):
    """How far 1000 steps of a rule shrink two weights with random gradients, compared with no decay at all."""
    rng = np.random.default_rng(0)
    w = free = np.ones(2)
    state = free_state = (np.zeros(2), np.zeros(2))
    for step in range(1, 1001):
        g = rng.standard_normal(2) * [0.1, 10.0]
        w, *state = rule(w, g, *state, step)
        free, *free_state = adam_step(free, g, *free_state, step, 0.001)
    return np.round(free - w, 3)


print("added to the gradient:", shrinkage(lambda w, g, m, v, t: adam_step(w, g + 0.1 * w, m, v, t, 0.001)))
print("decoupled (AdamW):    ", shrinkage(lambda w, g, m, v, t: adamw_step(w, g, m, v, t, 0.001, 0.1)))

# %% [markdown]
# **Gradient clipping** is for the rare mini-batch whose gradient is ten times the usual. Take the gradients of *all* arrays together
# as one long vector and compute its norm $\|g\|$, the root of the sum of all squares. If the norm is above a limit,
# multiply all gradients by the factor that brings it down to the limit. Their common direction stays the same.


# %% exercise="clip_by_norm"
def clip_by_norm(gradients, max_norm):
    """A list of gradients of different shapes, scaled down together to a common norm of at most max_norm."""
    # --- solution
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    scale = min(1.0, max_norm / norm) if norm else 1.0
    return [g * scale for g in gradients]
    # --- end


# %% [markdown]
# The **learning-rate schedule** is the learning rate as a function of the step. At the start the weights are random and Adam's
# means are based on few gradients, so the learning rate increases in a straight line: **warmup**. At the end, large steps would only jump
# from wall to wall, so it decreases towards 0, along half a cosine or a straight line. With step $s$ counted from 0, $S$ steps in
# all, and $S_w$ of them warmup:
#
# $$\eta_s = \eta\, \frac{s + 1}{S_w} \ \text{ while } s < S_w, \qquad \text{then, with } f = \frac{s - S_w}{S - S_w}: \quad
# \eta_s = \eta\, \frac{1 + \cos \pi f}{2} \ \text{ or } \ \eta\, (1 - f).$$


# %% exercise="schedule"
def schedule(step, total, warmup, lr, decay="cosine"):
    """The learning rate of a step, counted from 0; decay is "cosine" or "linear"."""
    # --- solution
    if step < warmup:
        return lr * (step + 1) / warmup
    fraction = (step - warmup) / (total - warmup)  # of the decay that is done
    if decay == "linear":
        return lr * (1 - fraction)
    return lr * (1 + math.cos(math.pi * fraction)) / 2
    # --- end


# %%
rates = {kind: [schedule(step, 200, 20, 0.001, kind) for step in range(200)] for kind in ("cosine", "linear")}
show(
    draw_rates(rates, 20),
    pictures.RATES,
)

# %% [markdown]
# Now all five functions train a small Vision Transformer (16 patches of 8 x 8 pixels, D = 32, two blocks) on the shapes, for 120
# steps of 64 images. The model is `minivit`'s, which is the same as yours and faster. Each of the three runs
# starts with the same weights and sees the same images. Only AdamW has weight decay, as in the paper. The learning rate of
# each is the best of several that we tried. These three rates differ by a factor of a hundred: 1, 0.1 and 0.01.
#
# Adam's learning rate is nearly a distance in weight space, so 0.001 is a reasonable first try for almost any network. It is not
# always the best: a network as small as this one learns well with ten times this rate. The other two must be tuned anew for each
# network. Guess before you run the cell: which run has the highest loss at the end?

# %%
BATCH, STEPS = 64, 120
small = minivit.ViTConfig(image_size=32, patch_size=8, dim=32, depth=2, heads=2, mlp_dim=64, num_classes=10)


def train(rule, lr):
    """The loss of each step of a run. A rule takes (w, g, two state arrays, step, rate, decay)."""
    model = minivit.ViT(small, seed=0)
    parameters = model.named_parameters()
    state = {name: (np.zeros_like(p.data), np.zeros_like(p.data)) for name, p in parameters}
    losses = []
    for i in range(STEPS):
        batch = slice(i * BATCH, (i + 1) * BATCH)
        loss = minivit.cross_entropy(model(minivit.preprocess(pixels[batch])), labels[batch])
        loss.backward()
        clipped = clip_by_norm([p.grad for _, p in parameters], max_norm=1.0)
        rate = schedule(i, STEPS, warmup=12, lr=lr)
        for (name, p), g in zip(parameters, clipped, strict=True):
            decay = 0.05 if is_kernel(name, p) else 0.0  # not biases, LayerNorms, class token, positions
            p.data, *state[name] = rule(p.data, g, *state[name], i + 1, rate, decay)
            p.grad = None
        losses.append(loss.item())
    return losses


def plain_rule(w, g, m, unused, step, lr, decay):
    return w - lr * g, m, unused


def momentum_rule(w, g, m, unused, step, lr, decay):
    return *sgd_step(w, g, m, lr), unused


losses = {
    "plain, rate 1": train(plain_rule, 1.0),
    "momentum, rate 0.1": train(momentum_rule, 0.1),
    "AdamW, rate 0.01": train(adamw_step, 0.01),
}
for name, values in losses.items():
    print(f"{name}, mean loss of the last 20 steps: {np.mean(values[-20:]):.2f}")
show(draw_losses(losses), pictures.LOSSES)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Plain gradient descent, even with the best of its learning rates. Momentum and AdamW end at about the same loss: on a model as small as this,
# well-tuned momentum is as good.
#
# </details>
#
# ### A puzzle: momentum without a loop
#
# A harder task, without hints. Momentum is a sum in which each older gradient counts less. So all $m$ of a run are *one* matrix product with
# all gradients of the run. Write it in a single line. The cell after the check draws what your line makes of four gradients, each of
# which is 1 in one place, with $\mu = 2$ (too large for training, but easy to read).


# %% exercise="momentum_at_once"
def momentum_at_once(gradients, momentum, T):
    """The running sum m after each step, from 0: gradients (T, D) -> (T, D)."""
    # --- solution
    return np.tril(momentum ** abs(np.arange(T)[:, None] - np.arange(T))) @ gradients
    # --- end


# %%
ones = np.eye(4, dtype=int)
after = np.array([[1, 0, 0, 0], [2, 1, 0, 0], [4, 2, 1, 0], [8, 4, 2, 1]])
show_attempt("momentum_at_once", Cells("gradients", ones), ones, 2.0, 4, right=after)

# %% [markdown]
# ## In the paper
#
# The paper trains each model twice: first on a large data set, then on the data set of the task (lesson 13). Section 4.1: *all* models, the
# ResNets too, are first trained with Adam (appendix D.1 compares it with SGD for the ResNets). The second training uses SGD with
# momentum. JFT is a data set of Google with 303 million photographs, which is not public. ImageNet-21k has 14 million photographs of
# 21,000 classes. The numbers are in appendix B.1:
#
# | | first, on a large data set (Table 3) | then, for the task (Table 4) |
# |---|---|---|
# | optimiser | Adam, $\beta_1 = 0.9$, $\beta_2 = 0.999$ | SGD, momentum 0.9 |
# | images in a mini-batch | 4096 | 512 |
# | learning rate of ViT-B | 8e-4 (JFT), 1e-3 (ImageNet-21k), 3e-3 (ImageNet) | 0.001 to 0.06 |
# | warmup, then decay | 10,000 steps; linear, for ImageNet cosine | cosine |
# | weight decay | 0.1 (JFT), 0.03 (ImageNet-21k), 0.3 (ImageNet) | 0 |
# | clipping | at 1 for ImageNet | at 1 |
#
# | paper | here | in the library |
# |---|---|---|
# | Adam | `adam_step`, `adamw_step` | `minivit.Adam`, `minivit.AdamW` |
# | SGD, momentum | `sgd_step` | `minivit.SGD` |
# | gradient clipping at global norm | `clip_by_norm` | `clip_by_global_norm` in [`optim.py`](../minivit/training/optim.py) |
# | warmup and decay | `schedule` | `Schedule` in [`schedule.py`](../minivit/training/schedule.py) |
#
# Like the authors' later code, `minivit` decays only the weights of linear layers, not biases, norms, class token and
# position embeddings.

# %% [markdown]
# ## Break it and see
#
# Leave out the bias correction. Both means then start too small, which sounds harmless: small means, small steps? Guess
# before you run the cell: are the first steps too short or too long? How long does the error last?
#
# Then make $\beta_2$ smaller, with the slider or in the list. For which $\beta_2$ does the first step have the right
# length even without the correction?


# %%
def adam_without_correction(w, g, mean, square, lr, betas):
    mean = betas[0] * mean + (1 - betas[0]) * g
    square = betas[1] * square + (1 - betas[1]) * g * g
    return w - lr * mean / (np.sqrt(square) + 1e-8), mean, square


def draw_broken(beta2, lr=0.1):
    """Adam's steps with and without bias correction: with a constant gradient, and in the valley."""
    betas = (0.9, beta2)

    def right(w, g, step, state):
        w, *state = adam_step(w, g, *(state or (0 * w, 0 * w)), step, lr, betas)
        return w, state

    def broken(w, g, step, state):
        w, *state = adam_without_correction(w, g, *(state or (0 * w, 0 * w)), lr, betas)
        return w, state

    sizes, paths = {}, {}
    for name, rule in {"with correction": right, "without": broken}.items():
        w, state, steps = np.zeros(1), None, []
        for step in range(1, 101):
            before = w
            w, state = rule(w, np.ones(1), step, state)
            steps.append(float(before[0] - w[0]) / lr)
        sizes[name], paths[name] = steps, descend_valley(rule, 60)
    return draw_first_steps(sizes, paths, valley)


explore(
    draw_broken,
    pictures.UNCORRECTED,
    beta2=[0.999, 0.99, 0.95, 0.9],
)

# %% [markdown]
# <details><summary>Answers</summary>
#
# The first steps are too *long*, just when the weights are still random. The step is a quotient: after the first gradient $m$
# is a tenth of what it should be, but $\sqrt v$ a thirtieth. Near step 12 the quotient is 6.6 times too large. The
# error fades: after some thousand steps the two rules are the same, and a run that survives its start shows nothing of it.
#
# With $\beta_2 = 0.99$ the first step is right: $\sqrt{1 - 0.99} = 0.1 = 1 - \beta_1$, so both factors cancel. Its later steps are
# too long all the same, since the two means grow at different rates.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# An optimiser of PyTorch holds the parameters and their running means, and changes the parameters in place:
#
# ```python
# optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.05)
# warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 20, total_iters=19)
# decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=180)
# scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[20])
#
# loss.backward()
# torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
# optimizer.step()
# scheduler.step()
# optimizer.zero_grad()
# ```
#
# What differs:
#
# - `torch.optim.SGD` has no momentum unless you say `momentum=0.9`, and uses the same sum as `sgd_step`. Other programs put the
#   learning rate into the sum, which differs as soon as the learning rate changes.
# - `torch.optim.Adam(weight_decay=...)` adds the decay to the gradient, the mistake that AdamW corrects. Both use `eps=1e-8`. `AdamW` decays by
#   0.01 if you say nothing, and decays *all* parameters that it is given, biases and norms too.
# - `clip_grad_norm_` divides by the norm plus 1e-6, so its result is slightly smaller than yours.
# - A scheduler counts steps for itself: call `scheduler.step()` once after each `optimizer.step()`.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    rng = np.random.default_rng(0)
    begin, gradients = rng.standard_normal((2, 3)), rng.standard_normal((5, 2, 3))
    rules = {
        "SGD with momentum": (torch.optim.SGD, {"momentum": 0.9}, momentum_rule),
        "Adam": (torch.optim.Adam, {}, lambda w, g, m, v, t, lr, _: adam_step(w, g, m, v, t, lr)),
        "AdamW": (torch.optim.AdamW, {"weight_decay": 0.2}, adamw_step),
    }
    for name, (optimiser, options, rule) in rules.items():
        theirs = torch.nn.Parameter(torch.from_numpy(begin.copy()))
        optimizer = optimiser([theirs], lr=0.1, **options)
        ours, state = begin, (np.zeros_like(begin), np.zeros_like(begin))
        for t, g in enumerate(gradients, start=1):
            theirs.grad = torch.from_numpy(g)
            optimizer.step()
            ours, *state = rule(ours, g, *state, t, 0.1, 0.2)
        agree(f"five steps of {name}", ours, theirs)

    theirs.grad = torch.from_numpy(gradients[0].copy())
    torch.nn.utils.clip_grad_norm_([theirs], max_norm=1.0)
    agree("clipping", clip_by_norm([gradients[0]], 1.0)[0], theirs.grad, tolerance=1e-5)

    optimizer = torch.optim.SGD([theirs], lr=0.001)
    parts = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 20, total_iters=19),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=180),
    ]
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, parts, milestones=[20])
    found = []
    for _ in range(200):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    agree("the schedule", rates["cosine"], np.array(found))

# %% [markdown]
# ## What came before and after
#
# - [Robbins and Monro, 1951](https://doi.org/10.1214/aoms/1177729586) proved when an iteration with random estimates converges,
#   the origin of stochastic gradient descent.
# - [Pascanu et al., 2012](https://arxiv.org/abs/1211.5063) proposed to clip the norm of the gradient, for recurrent networks, whose gradients
#   explode.
# - [Kingma and Ba, 2014](https://arxiv.org/abs/1412.6980) introduced Adam, whose step does not depend on the scale of the
#   gradient.
# - [Goyal et al., 2017](https://arxiv.org/abs/1706.02677) used warmup to train a ResNet-50 with mini-batches of 8192 images without loss of
#   accuracy.
# - [Loshchilov and Hutter, 2017](https://arxiv.org/abs/1711.05101) showed that adding $\lambda w$ to the gradient is not weight decay in Adam, and
#   proposed AdamW.
# - [Xiong et al., 2020](https://arxiv.org/abs/2002.04745) explained why warmup helps post-norm Transformers, and trained pre-norm ones without it.

# %% [markdown]
# ## Summary
#
# - A gradient is a direction, not a distance. The direction of largest curvature limits the learning rate, so progress along the
#   others is slow.
# - Momentum adds up gradients that agree. Adam divides each weight's mean gradient by its usual size, and corrects the means for starting at 0.
# - AdamW applies weight decay to the weights, not to the gradient. Clipping keeps the direction. A schedule starts small and ends small.

# %% [markdown]
# ## What comes next
#
# You have all parts of a training loop. [Lesson 11](11_training.ipynb) writes it, adds epochs, augmentation
# and a validation set, and teaches you to read from its curves what goes wrong.
