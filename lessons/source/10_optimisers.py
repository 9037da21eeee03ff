# %% [markdown]
# # 10 · Optimisers: from gradients to the next weights
#
# *About 45 minutes. Comes after lessons [03](03_products.ipynb) and [09](09_vit.ipynb); all that it needs of them is
# the idea of a gradient. In the paper: section 4.1, appendix B.1, Tables 3 and 4.*
#
# You will write the three rules by which networks are trained (momentum, Adam, AdamW), and the two that keep them
# safe (clipping, a schedule for the learning rate). At the end your five functions train a Vision Transformer.

# %% tags=["keep"]
import math

import numpy as np

import minivit
from minivit.data.shapes import shapes
from minivit.training.optim import is_kernel
from minivit_lessons import trained_model
from minivit_lessons.pictures.optimisers import draw_descent, draw_first_steps, draw_losses, draw_rates

# %% [markdown]
# ## The question
#
# The backward pass gives each weight a slope $g$: how fast the loss grows when this weight grows. So go the other
# way,
#
# $$w \leftarrow w - \eta\, g,$$
#
# with a small number $\eta$, the *learning rate*. That is gradient descent, and you have used it before. But a slope
# says only which way is down. It does not say how far, and it holds no further than the next bend. And $\eta$ is
# *one* number for all weights. Are their slopes at least of one size? Here they are in the trained Vision
# Transformer, for one batch of images: the root mean square of the gradient in some of its arrays.

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
# Between the smallest and the largest lies a factor of about a hundred, and this is a small network. Which $\eta$ is
# right for both?
#
# Two weights are enough to see the trouble. This loss is a long valley, a hundred times steeper across (along $w_2$)
# than along its floor (along $w_1$). Gradient descent starts at the dot and wants to reach the star.

# %%
valley = np.diag([1.0, 100.0])  # H: the loss is ½ wᵀ H w, its gradient H w
start = np.array([-4.0, 1.0])


def walk(rule, steps=40, hessian=valley, begin=start):
    """The weights after each step, (steps + 1, 2). A rule takes (w, g, step, state) and returns (w, state)."""
    w, state, path = begin, None, [begin]
    for step in range(1, steps + 1):
        w, state = rule(w, hessian @ w, step, state)
        path.append(w)
    return np.array(path)


def plain(lr):
    return lambda w, g, step, state: (w - lr * g, state)


explore(
    lambda rate: draw_descent(valley, {"rate 0.002": walk(plain(0.002)), f"rate {rate}": walk(plain(rate))}),
    "Left: over the contour lines of a long valley one path crawls along the floor and another jumps from wall to wall. "
    "Right: the loss falls slowly for both.",
    rate=[0.019, 0.005, 0.01, 0.0198, 0.0204],
)

# %% [markdown]
# ## One number at a time
#
# With a small rate it crawls along the floor. With a large one it jumps from wall to wall, and still crawls. With a
# rate a little larger yet it leaves the picture (set the slider to 0.0204, if you have one).
#
# To see why, take the valley apart: each weight has a parabola of its own, $\tfrac{c}{2} w^2$ with *curvature* $c$
# and slope $c\,w$. One step gives
#
# $$w - \eta\, c\, w = (1 - \eta c)\, w .$$
#
# Every step multiplies $w$ by the same number. It must lie between -1 and 1, so $\eta$ must be below $2/c$. Before
# you run the cell, say for each of its lines what will happen.


# %%
def descend(curvature, lr, steps=5):
    """One weight after each step down the parabola curvature/2 * w²."""
    w, path = 1.0, [1.0]
    for _ in range(steps):
        slope = curvature * w
        w = w - lr * slope
        path.append(round(w, 4))
    return path


for lr in (0.002, 0.019, 0.0204):
    print(f"rate {lr}: along the floor (c = 1)  ", descend(1.0, lr))
    print(f"rate {lr}: across          (c = 100)", descend(100.0, lr))

# %% [markdown]
# The steepest direction sets the limit, $\eta < 2/100$. The flattest must live with it: there $w$ shrinks by less
# than 2 percent in a step. That is why training is slow, and everything that follows is a way around it.
#
# **Momentum** is the first. Keep a running sum $m$ of the slopes, in which older ones fade, and go along it:
#
# $$m \leftarrow \mu\, m + g, \qquad w \leftarrow w - \eta\, m .$$
#
# Across the valley the slopes change sign from step to step, and cancel. Along the floor they agree, and add up:
# under a slope that is always 1, $m$ becomes $1 + \mu + \mu^2 + \cdots = 1 / (1 - \mu)$. With the usual $\mu = 0.9$
# that is 10.

# %%
m_floor = m_across = 0.0
for i in range(40):
    m_floor = 0.9 * m_floor + 1.0  # always the same slope
    m_across = 0.9 * m_across + (-1.0) ** i  # plus, minus, plus, minus
print(f"after 40 steps: {m_floor:.2f} where the slopes agree, {m_across:.2f} where they alternate")

# %% [markdown]
# ## All at once
#
# From here on `w`, `g` and all else are arrays of one shape: a rule does the same for each of their numbers. Your
# functions return new arrays and change none. (The package's optimisers change the weights in place and need less
# memory.)


# %% exercise="sgd_step"
def sgd_step(w, g, m, lr, momentum=0.9):
    """One step of gradient descent with momentum: the new w and the new m."""
    # --- solution
    m = momentum * m + g
    return w - lr * m, m
    # --- end


# %% [markdown]
# **Adam** goes further: it gives each weight a rate of its own. It keeps two running *means* for each weight, one of
# the slope and one of its square,
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2,$$
#
# with $\beta_1 = 0.9$ and $\beta_2 = 0.999$, and both begin at 0. That is too small a beginning: if all slopes so far
# were $g$, then after $t$ steps $m$ is $(1 - \beta_1^t)\, g$ and not $g$. So both are divided by what they lack,
# which is called *bias correction*:
#
# $$\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}, \qquad w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon} .$$
#
# The slope is divided by its usual size. What is left has no unit: where slopes agree it is near 1, where they change
# sign it is near 0. The tiny $\epsilon$ (here $10^{-8}$) is for weights whose slope is 0. The corrected means are
# used and thrown away; what the next step needs is $m$ and $v$ themselves.


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
# Two things to see. A first step of Adam is $\eta$ long, whatever the slope: multiply the loss by 1000, and nothing
# changes.
#
# And the valley. Turn it with the slider, dot and all, or put another number first in the list. Two of the paths
# simply turn with it, and one changes. Which one, and why?
#
# <details><summary>Answer</summary>
#
# Adam's. It divides by the size of each *weight's* slope, so it mends a valley that lies along the axes, and is no
# cure for one that lies across them. Plain descent and momentum never look at the axes.
#
# </details>

# %%
slopes = np.array([-0.001, 1.0, 1000.0])
first, *_ = adam_step(np.zeros(3), slopes, np.zeros(3), np.zeros(3), step=1, lr=0.01)
print("slopes", slopes, "first steps", first.round(5))


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
    """The three rules in a valley that is turned."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = turn @ valley @ turn.T
    rules = {
        "plain, rate 0.019": plain(0.019),
        "momentum, rate 0.01": with_momentum(0.01),
        "Adam, rate 0.3": with_adam(0.3),
    }
    return draw_descent(turned, {name: walk(rule, 60, turned, turn @ start) for name, rule in rules.items()})


explore(
    draw_three,
    "Three paths down the valley. Plain descent zigzags, momentum swings and overshoots, Adam goes straight at first.",
    degrees=[0, 15, 30, 45],
)

# %% [markdown]
# ## Your turn
#
# **Weight decay** pulls weights towards 0, so that none grows without need. In plain gradient descent one adds
# $\lambda w$ to the gradient, and the weight shrinks by $\eta \lambda w$ in every step. In Adam that goes wrong,
# quietly: the pull becomes a part of $g$, and is divided by $\sqrt{\hat v}$ like the rest of it. Weights with large
# slopes are then hardly pulled, and those with small slopes far too much. **AdamW** keeps the two apart: first it
# shrinks the weight itself by $\eta \lambda w$, then it takes the step of Adam, along the gradient alone.


# %% exercise="adamw_step"
def adamw_step(w, g, mean, square, step, lr, decay):
    """One step of Adam with decoupled weight decay: the new w, mean and square."""
    # --- solution
    return adam_step(w - lr * decay * w, g, mean, square, step, lr)
    # --- end


# %% [markdown]
# Here is the difference. Two weights start at 1. Their slopes are pure noise, one of size 0.1, the other of size 10.
# How far has the decay pulled each after 1000 steps?


# %%
def pull(rule):
    """How far two weights with noisy slopes are pulled towards 0 by 1000 steps of a rule, next to none at all."""
    rng = np.random.default_rng(0)
    w = free = np.ones(2)
    state = free_state = (np.zeros(2), np.zeros(2))
    for step in range(1, 1001):
        g = rng.standard_normal(2) * [0.1, 10.0]
        w, *state = rule(w, g, *state, step)
        free, *free_state = adam_step(free, g, *free_state, step, 0.001)
    return np.round(free - w, 3)


print("added to the gradient:", pull(lambda w, g, m, v, t: adam_step(w, g + 0.1 * w, m, v, t, 0.001)))
print("decoupled (AdamW):    ", pull(lambda w, g, m, v, t: adamw_step(w, g, m, v, t, 0.001, 0.1)))

# %% [markdown]
# **Clipping** is for the odd batch whose gradient is ten times the usual. Take the gradients of *all* arrays together
# as one long vector, and measure its length $\|g\|$, the root of the sum of all squares. If it is above a limit,
# scale everything down to the limit. The direction stays as it was.


# %% exercise="clip_by_norm"
def clip_by_norm(gradients, max_norm):
    """A list of gradients of different shapes, scaled down together to a joint length of at most max_norm."""
    # --- solution
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    scale = min(1.0, max_norm / norm) if norm else 1.0
    return [g * scale for g in gradients]
    # --- end


# %% [markdown]
# The **schedule** is the learning rate as a function of the step. At the start the weights are random, and Adam's
# means know next to nothing: so the rate rises in a straight line (*warm-up*). At the end large steps would only jump
# about in the valley: so it falls to 0, along half a cosine or a straight line. With step $s$ counted from 0, $S$
# steps in all, $S_w$ of them warm-up:
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
    "The learning rate over 200 steps: it rises in a straight line for 20 of them, then falls along a cosine or a line.",
)

# %% [markdown]
# Now all five at work: a small Vision Transformer (16 patches of 8 x 8 pixels, D = 32, two blocks) on the shapes, 120
# steps of 64 images. It is `minivit`'s own model, which is the same as yours and faster. Each of the three runs
# starts from the same weights and sees the same images; AdamW alone has weight decay, as in the paper. The rate of
# each is the best of several that we tried, so look at the rates as well: they differ by a factor of a hundred.
# Adam's is nearly a distance, and 0.001 is a fair first try for almost any network; the others must be found anew for
# each. On so small a model well-tuned momentum keeps up.

# %%
BATCH, STEPS = 64, 120
small = minivit.ViTConfig(image_size=32, patch_size=8, dim=32, depth=2, heads=2, mlp_dim=64, num_classes=10)


def train(rule, lr):
    """The loss of each step of a training. A rule takes (w, g, two state arrays, step, rate, decay)."""
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
show(draw_losses(losses), "Three falling training losses: momentum and AdamW end below plain gradient descent.")

# %% [markdown]
# ## In the paper
#
# Section 4.1 trains *all* models with Adam, the ResNets too (appendix D.1 compares the two for them), and fine-tunes
# them with SGD and momentum. The numbers stand in appendix B.1:
#
# | | pre-training (Table 3) | fine-tuning (Table 4) |
# |---|---|---|
# | rule | Adam, $\beta_1 = 0.9$, $\beta_2 = 0.999$ | SGD, momentum 0.9 |
# | images in a batch | 4096 | 512 |
# | rate of ViT-B | 8e-4 (JFT), 1e-3 (ImageNet-21k), 3e-3 (ImageNet) | 0.001 to 0.06 |
# | warm-up, then | 10,000 steps; linear, for ImageNet cosine | cosine |
# | weight decay | 0.1 (JFT), 0.03 (ImageNet-21k), 0.3 (ImageNet) | 0 |
# | clipping | at 1 for ImageNet | at 1 |
#
# | paper | here | in the package |
# |---|---|---|
# | Adam | `adam_step`, `adamw_step` | `minivit.Adam`, `minivit.AdamW` |
# | SGD, momentum | `sgd_step` | `minivit.SGD` |
# | gradient clipping at global norm | `clip_by_norm` | `clip_by_global_norm` in [`optim.py`](../minivit/training/optim.py) |
# | warm-up and decay | `schedule` | `Schedule` in [`schedule.py`](../minivit/training/schedule.py) |
#
# Adam is Kingma and Ba's (arXiv 1412.6980), decoupled decay Loshchilov and Hutter's (arXiv 1711.05101). Like the
# authors' later code, `minivit` decays only the kernels of linear layers.

# %% [markdown]
# ## Break it and see
#
# Leave the bias correction out. Both means then start too small, which sounds harmless: small means, small steps? But
# the step is a *quotient*. After the first slope $m$ is a tenth of what it should be, and $\sqrt v$ a thirtieth. So
# the first steps are too *long*, just when the weights are still random. The mistake heals by itself: after some
# thousand steps the two are the same, and a training that survives its beginning shows nothing.
#
# Make $\beta_2$ smaller, with the slider or in the list. For which $\beta_2$ does the first step have the right
# length even without the correction?


# %%
def adam_without_correction(w, g, mean, square, lr, betas):
    mean = betas[0] * mean + (1 - betas[0]) * g
    square = betas[1] * square + (1 - betas[1]) * g * g
    return w - lr * mean / (np.sqrt(square) + 1e-8), mean, square


def draw_broken(beta2, lr=0.1):
    """Adam's steps with and without bias correction: under a slope that never changes, and in the valley."""
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
        sizes[name], paths[name] = steps, walk(rule, 60)
    return draw_first_steps(sizes, paths, valley)


explore(
    draw_broken,
    "Left: with correction each step is one learning rate long; without, up to six and a half. Right: the path without "
    "correction shoots past the star.",
    beta2=[0.999, 0.99, 0.95, 0.9],
)

# %% [markdown]
# ## Summary
#
# - A slope is no distance. The steepest direction limits the rate, and the flattest pays for it.
# - Momentum adds up slopes that agree. Adam divides each weight's slope by its usual size, and corrects the means for starting at 0.
# - Decay belongs beside Adam's step and not into it. Clipping keeps the direction. A schedule is gentle at both ends.

# %% [markdown]
# ## What comes next
#
# You have all parts of a training. [Lesson 11](11_training.ipynb) puts them into a loop, adds batches, augmentation
# and a validation split, and teaches you to read what goes wrong from its curves.
