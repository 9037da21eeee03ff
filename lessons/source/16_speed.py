# %% [markdown]
# # 16 · Speed: where the seconds go
#
# *About 45 minutes. Comes after lessons [04](04_layers.ipynb), [09](09_vit.ipynb) and [11](11_training.ipynb).
# In the paper: Table 2, Fig. 5 and appendix D.5.*
#
# You will learn to measure honestly, work out how fast a processor could be at best, and remove what stands between:
# passes over memory, fresh arrays, idle cores. All numbers here come from the machine in front of you. Close what else
# is busy.

# %% tags=["keep"]
import statistics
import time
from concurrent.futures import as_completed

import numpy as np

import minivit
from minivit import Tensor, preprocess
from minivit.backend.pools import thread_pool
from minivit.backend.workers import Workers, micro_batches
from minivit.bench.profile import measure_floor, step_flops
from minivit.data.shapes import shapes
from minivit.engine import fused, reference
from minivit.engine.tensor import record, value_and_grad
from minivit.models import create_model
from minivit_lessons.pictures import speed

# %% [markdown]
# ## The question
#
# A ViT-B/16 has 86,567,656 parameters whether its code is fast or slow, and the logits are the same. But one program
# trains on a laptop overnight, and another takes a fortnight. What makes the difference, if the mathematics is the
# same?
#
# Start with what you have: one training step of *your* ViT from lesson 09, on your engine, and the same step of
# minivit's.

# %%
data = shapes("train", count=128)
images, labels = preprocess(data.images), data.labels
YourTensor, YourViT, your_cross_entropy = built("Tensor", "ViT", "cross_entropy")
yours, ours = YourViT(), create_model("ViT-XS_4-CIFAR", num_classes=10, seed=0)


def your_step(count=32):
    """Forward and backward of your model."""
    your_cross_entropy(yours(YourTensor(images[:count])), labels[:count]).backward()


def our_step(count=32):
    """The same of minivit's."""
    minivit.cross_entropy(ours(images[:count]), labels[:count]).backward()


for step in (your_step, our_step):
    began = time.perf_counter()
    step()
    print(f"{step.__doc__} {1000 * (time.perf_counter() - began):.0f} ms")

# %% [markdown]
# ## The picture
#
# Run the cell above a few times: the numbers jump about. We need a better stopwatch, and a yardstick. First the
# yardstick. A processor does two things: it *computes*, at so many operations per second (FLOP/s), and it *fetches*
# numbers from memory, at so many bytes per second. An operation that needs little arithmetic for each byte waits for
# memory, however clever the processor. The black line is that roof on your machine, one core: at the slope memory is
# the limit, at the flat part arithmetic is. The dots are operations of a Vision Transformer.

# %%
floor = measure_floor(workers=1)
print(f"one core: {floor.flops / 1e9:.0f} GFLOP/s in matrix products, {floor.copy / 1e9:.0f} GB/s from memory and back")
show(
    speed.roofline(floor, speed.measure_ops()),
    "Matrix products lie far to the right, near the roof. Softmax, LayerNorm and GELU lie at the far left, deep "
    "below the matrix products; each is higher when it is fused into one operation than when it is composed of primitives.",
)

# %% [markdown]
# Matrix products use each number many times and come near the roof. Everything else uses it a few times and
# cannot. But the orange squares are far below what even memory would allow: they fetch the same array again and again.
# That part can be mended, and you will.

# %% [markdown]
# ## One number at a time
#
# How long must a piece of work take at least? It has so many operations to do and so many bytes to move. Both can go on
# at the same time, so the slower of the two decides.


# %% exercise="floor_seconds"
def floor_seconds(flops, moved, peak, bandwidth):
    """The least time for `flops` operations and `moved` bytes, at `peak` FLOP/s and `bandwidth` bytes/s."""
    # --- solution
    return max(flops / peak, moved / bandwidth)
    # --- end


# %%
D, tokens = 768, 16 * 197  # 16 images of ViT-B/16
numbers = tokens * D
machines = {"one core here": (floor.flops, floor.copy), "an H100": (67e12, 3.35e12)}
works = {"linear, D x D": (2 * numbers * D, 4 * (2 * numbers + D * D)), "GELU": (9 * numbers, 4 * 2 * numbers)}
for machine, limits in machines.items():
    for work, (flops, moved) in works.items():
        which = "arithmetic" if flops / limits[0] > moved / limits[1] else "memory"
        print(
            f"{work:>13} on {machine:<13}: {1e6 * floor_seconds(flops, moved, *limits):9,.1f} µs at least, by {which}"
        )

# %% [markdown]
# The H100's figures are from NVIDIA's data sheet (SXM, float32 without tensor cores, 3.35 TB/s). A GPU is faster in
# both, and the balance is not so different: on it, too, a matrix product waits for arithmetic and GELU for memory.
# Everything you do about memory in this lesson is done on GPUs as well.
#
# Now the stopwatch. Three things spoil a measurement: the *first* call (cold caches, imports), *other programs* (one
# hiccup ruins a mean), and *slow drift* (a processor that gets warm slows down, and then whatever is measured last
# looks bad). The remedies: a call that does not count; the median; and measuring in turns, so that both of a pair meet
# the same conditions.


# %% exercise="median_ratio"
def median_ratio(first, second, rounds=7, clock=time.perf_counter):
    """How many times as long `first()` takes as `second()`: in turns, the median of the rounds' ratios."""
    # --- solution
    first(), second()  # warm up
    ratios = []
    for _ in range(rounds):
        start = clock()
        first()
        middle = clock()
        second()
        end = clock()
        ratios.append((middle - start) / (end - middle))
    return statistics.median(ratios)
    # --- end


# %%
print(f"your step takes {median_ratio(your_step, our_step):.2f} times as long as minivit's")

# %% [markdown]
# ## All at once
#
# **Fresh arrays.** `y = x * 2` asks the system for a new array. If it is large, the system hands over pages that
# must first be made ready, each with a small interruption: a *page fault*. Writing into an array that is already there
# costs none. Here is the same multiplication of 64 MiB both ways.

# %%
big = np.ones(2**24, np.float32)
out = np.empty_like(big)


def fresh():
    """Into a new array."""
    return big * 2


def reused():
    """Into one that is there."""
    return np.multiply(big, 2, out=out)


for function in (fresh, reused):
    function()
    before = speed.page_faults()
    function()
    print(f"{function.__doc__:<28} {speed.page_faults() - before:,} page faults")
print(f"the first takes {median_ratio(fresh, reused):.2f} times as long")

# %% [markdown]
# **Passes.** Composed of primitives, GELU is a chain: a square, a cube, a sum, a tanh and so on, each of which walks
# through the whole array. When it comes round again, the beginning has long fallen out of the cache, and all of it must
# be fetched anew. So cut the array into *blocks* that stay in the cache, and take each through the whole chain.


# %% tags=["keep"]
def gelu_chain(x):
    """GELU of an array, tanh form (lesson 04)."""
    return 0.5 * x * (1.0 + np.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


# %% exercise="gelu_in_blocks"
def gelu_in_blocks(x, block):
    """`gelu_chain` of a flat array, `block` elements at a time, into one new array."""
    # --- solution
    out = np.empty_like(x)
    for start in range(0, len(x), block):
        piece = slice(start, start + block)  # the last one may be shorter
        out[piece] = gelu_chain(x[piece])
    return out
    # --- end


# %%
x = np.random.default_rng(0).standard_normal(2**23).astype(np.float32)  # 32 MiB
sizes = [2**power for power in (11, 13, 15, 16, 17, 19, 21, 23)]
milliseconds = {size: 1000 * speed.median_seconds(lambda size=size: gelu_in_blocks(x, size)) for size in sizes}
show(
    speed.block_times(milliseconds),
    "Time against the size of a block: high for blocks of 8 KiB, low in between, and high again for the whole array.",
)

# %% [markdown]
# Small blocks lose to Python's own overhead, large ones to memory; between them lies a wide valley. minivit takes
# blocks of 65,536 elements, 256 KiB (`BLOCK_ELEMENTS` in [`backend/arrays.py`](../minivit/backend/arrays.py)).
#
# **Fewer gradients on the way.** The backward pass of a composed LayerNorm goes through a mean, a difference, a square,
# another mean, a root and a quotient, and each hands on an array. Written as *one* operation, it needs none of them.
# Let $n$ be a normalised row, $\sigma$ its deviation, $w$ the weight, and $g = dy \cdot w$ what arrives at $n$. Adding
# a constant to all of $x$ does not change the output. Nor does stretching $x$ about its mean. So the gradient has no
# part along those two directions, which are $(1, \ldots, 1)$ and $n$ itself. They are at right angles, both of squared
# length D: take $g$, and subtract its part along each.
#
# $$dx = \frac{1}{\sigma}\Big(g - \mathrm{mean}(g) - n \cdot \mathrm{mean}(g \cdot n)\Big), \qquad dw = \sum_{\text{rows}} dy \cdot n, \qquad db = \sum_{\text{rows}} dy$$


# %% exercise="layer_norm_backward"
def layer_norm_backward(dy, n, inverse, weight):
    """dx, dw, db of a LayerNorm: dy and the normalised rows n (M, D), inverse = 1/σ (M, 1), weight (D,)."""
    # --- solution
    g = dy * weight
    dx = inverse * (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True))
    return dx, (dy * n).sum(axis=0), dy.sum(axis=0)
    # --- end


# %% [markdown]
# With your function as its `vjp`, a LayerNorm is one operation. It is held against its composed twin, number for
# number, before anyone looks at the clock: a fast wrong answer is worth nothing.


# %%
def one_layer_norm(x, weight, bias, eps=1e-6):
    """LayerNorm as one operation, on Tensors."""
    centred = x.data - x.data.mean(axis=1, keepdims=True)
    inverse = 1.0 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + eps)
    n = centred * inverse
    vjp = lambda dy: layer_norm_backward(dy, n, inverse, weight.data)  # noqa: E731
    return record(n * weight.data + bias.data, (x, weight, bias), vjp)


rng = np.random.default_rng(1)
rows, dy = rng.standard_normal((2, 16 * 65, 192), dtype=np.float32)
leaves = [Tensor(values, requires_grad=True) for values in (rows, np.ones(192, np.float32), np.zeros(192, np.float32))]


def pull(layer_norm):
    """The gradients of a LayerNorm."""
    for leaf in leaves:
        leaf.zero_grad()
    layer_norm(*leaves).backward(dy)
    return [leaf.grad for leaf in leaves]


twin, mine = pull(reference.layer_norm), pull(one_layer_norm)
print(
    "largest difference of a gradient:",
    max(np.abs(a - b).max() / np.abs(a).max() for a, b in zip(twin, mine, strict=True)),
)
for name, function in (
    ("yours as one operation", one_layer_norm),
    ("minivit's, fused and in blocks", fused.layer_norm),
):
    ratio = median_ratio(lambda: pull(reference.layer_norm), lambda function=function: pull(function), rounds=25)
    print(f"the composed one takes {ratio:.2f} times as long as {name}")

# %% [markdown]
# ## Your turn
#
# A laptop has several cores, and one program in one thread keeps one busy. NumPy lets other Python threads run while it
# is inside a product or a loop over elements. So cut the batch into *micro-batches*, give each thread one after another
# with a tape of its own, and add up the gradients: the gradient of a sum is the sum of the gradients.
#
# But adding is not innocent. Floating-point sums depend on their order: $(a + b) + c$ and $a + (b + c)$ differ in the
# last bits. And threads finish in any order. If gradients are added *as they arrive*, no two runs are the same, and a
# mistake that you see today is gone tomorrow. So wait, and add them by their numbers.


# %% exercise="add_in_order"
def add_in_order(arrivals):
    """The sums of gradients that arrive in any order, as pairs (number, list of arrays), added by their numbers."""
    # --- solution
    in_order = sorted(arrivals, key=lambda arrival: arrival[0])
    sums = [gradient.copy() for gradient in in_order[0][1]]  # what arrives is not ours to change
    for _, gradients in in_order[1:]:
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient
    return sums
    # --- end


# %%
pieces = micro_batches(len(images), 16)  # 8 slices of 16 images


def gradients_of(number):
    """What one micro-batch adds to the gradients of the whole batch."""
    piece = pieces[number]
    share = (piece.stop - piece.start) / len(images)
    loss = lambda: minivit.cross_entropy(ours(images[piece]), labels[piece]) * share  # noqa: E731
    return number, value_and_grad(loss, ours.parameters())[1]


def threaded(count):
    """The gradients of the batch, by so many threads."""
    with thread_pool(count) as pool:
        waiting = [pool.submit(gradients_of, number) for number in range(len(pieces))]
        return add_in_order(done.result() for done in as_completed(waiting))


with Workers(1):  # holds the library for products to one thread, so that ours do not compete with its
    one, two = threaded(1), threaded(2)
    print("the same bits:", all((a == b).all() for a, b in zip(one, two, strict=True)))
    print(f"one thread takes {median_ratio(lambda: threaded(1), lambda: threaded(2)):.2f} times as long as two")
    best = min(speed.median_seconds(lambda: threaded(2), 3), speed.median_seconds(lambda: threaded(1), 3))
    least = len(images) * step_flops(ours, "train") / floor.flops
    print(f"its products alone would take one core {1000 * least:.0f} ms, and the step took {1000 * best:.0f} ms")

# %% [markdown]
# On a busy machine two threads gain nothing. With two cores free, one worker took 256 ms for what two did in 155 (a
# training step in [results/bench](../results/bench/growth.txt)). Compare the last two numbers as well: that is how much
# there is left to gain.
#
# **Several processes**, on one machine or many, do the same (`mpiexec -n 2 minivit train`). Each has its own copy of
# the weights and its share of the batch; what travels between them is the list of gradients. For ViT-B/16 these are
# 86,567,656 numbers of four bytes: 346 MB in every step, from each machine. Over a network of 1 GB/s that takes a third
# of a second, and so a process must have enough images to be busy for longer than that. `minivit bench --plan` predicts
# it.
#
# **A GPU** changes three things. Its calls return before they are done, so a stopwatch must wait for it (CuPy:
# `cupy.cuda.Device().synchronize()`) or it will measure nothing. Each call costs some microseconds, so that small
# models leave it idle: give it large batches, and one tape. And data must be carried to it and back, so everything
# stays there. minivit's operations speak to `xp`, NumPy or CuPy, and are otherwise the same lines.

# %% [markdown]
# ## In the paper
#
# The paper counts its cost in TPUv3-core-days: pre-training took ViT-H/14 2,500 of them on JFT, ViT-L/16 680, and the
# convolutional BiT-L 9,900 (Table 2). Fig. 5 sets accuracy against that cost. Appendix D.5 measures speed on the
# machine itself, and finds that attention's quadratic cost hardly shows at the usual sizes. You can see why: in a
# block, the products with weights take $24 N D^2$ operations and attention itself $4 N^2 D$. Their ratio is $N / 6D$, 4
# % for ViT-B/16 at 224 pixels.
#
# | paper | here | minivit |
# |---|---|---|
# | core-days | FLOP / (FLOP/s) | `minivit bench`, [`bench/profile.py`](../minivit/bench/profile.py) |
# | batch 4096 (Table 3) | `micro_batches` | [`training/distributed/parallel.py`](../minivit/training/distributed/parallel.py), `--grad-accum-steps` |
# | LN, GELU, softmax | one operation each | [`engine/fused.py`](../minivit/engine/fused.py), twins in `reference.py` |
#
# On purpose minivit keeps both: the composed twin is the definition and is read, the fused one runs, and a test
# holds them equal.

# %% [markdown]
# ## Break it and see
#
# Is a last bit worth the trouble? Add the gradients as they arrive, in a random order, and train. All runs have the
# same seed, the same images and the same weights at the start.


# %%
def add_as_they_arrive(arrivals):
    """The same sums, in the order of arrival."""
    (_, first), *others = list(arrivals)
    sums = [gradient.copy() for gradient in first]
    for _, gradients in others:
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient
    return sums


def run(add, order_seed, steps=40):
    """The weights after each step of a small training, where micro-batches arrive in a random order."""
    model, order = create_model("ViT-XS_4-CIFAR", num_classes=10, seed=0, depth=1), np.random.default_rng(order_seed)
    optimizer = minivit.AdamW(model.named_parameters(), lr=3e-3)
    history = []
    for step in range(steps):
        batch = slice(step % 4 * 32, step % 4 * 32 + 32)

        def arrive(number, batch=batch):
            piece = slice(batch.start + 8 * number, batch.start + 8 * number + 8)
            loss = lambda: minivit.cross_entropy(model(images[piece]), labels[piece]) * 0.25  # noqa: E731
            return number, value_and_grad(loss, model.parameters())[1]

        optimizer.step(add(arrive(number) for number in order.permutation(4)))
        history.append(np.concatenate([p.data.reshape(-1) for p in model.parameters()]))
    return np.stack(history)  # (steps, all weights)


apart = {
    name: np.abs(run(add, 1) - run(add, 2)).max(axis=1)
    for name, add in (("by their numbers", add_in_order), ("as they arrive", add_as_they_arrive))
}
print("by their numbers, after the last step the weights differ by", apart["by their numbers"][-1])
show(
    speed.drift({"as they arrive": apart["as they arrive"]}),
    "The largest difference of a weight between two runs, on a logarithmic scale: it begins with a last bit and grows "
    "by orders of magnitude within forty steps.",
)

# %% [markdown]
# What began as a last bit has grown by orders of magnitude, and it goes on. Neither run is wrong: both train as well.
# But they are *two* runs. You can no longer tell whether your change of the code did something or the order of the
# threads did. Added by their numbers, the two runs are one, bit for bit, with two threads or with eight.

# %% [markdown]
# ## Summary
#
# - Measure in turns, take medians, let the first call pass; and know the floor, max(FLOP / peak, bytes / bandwidth).
# - Matrix products wait for arithmetic, all else waits for memory: reuse arrays, work in blocks, fuse chains and their
#   gradients.
# - Cores share a batch by micro-batches; gradients are added in a fixed order, so that every run can be repeated.

# %% [markdown]
# ## What comes next
#
# You have built every part of a Vision Transformer, and now you know what makes it fast. In [lesson 17](17_book.ipynb)
# you open the finished program and find that you can read it.
