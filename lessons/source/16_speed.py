# %% [markdown]
# # 16 · Speed: where the time of training goes
#
# *Comes after lessons [04](04_layers.ipynb), [09](09_vit.ipynb) and [11](11_training.ipynb).
# In the paper: Table 2, Fig. 5 and appendix D.5.*
#
# You will learn to measure time fairly, to compute the least time that an operation can take on a processor, and to remove
# what costs more: repeated passes over memory, new arrays, idle cores. All times here come from the machine that runs
# this notebook, so close other programs first.

# %% tags=["keep"]
import statistics
import time
from concurrent.futures import as_completed

import numpy as np

import minivit
from minivit import Tensor, no_grad, preprocess
from minivit.backend.pools import thread_pool
from minivit.backend.workers import Workers, micro_batches
from minivit.bench.profile import step_flops
from minivit.data.shapes import shapes
from minivit.engine import fused, reference
from minivit.engine.tensor import record, value_and_grad
from minivit.models import create_model
from minivit_lessons.pictures import speed

# %% [markdown]
# ## The question
#
# A ViT-B/16 has 86,567,656 parameters, and its logits are the same numbers whether its code is fast or slow. But one
# program trains it in a night, and another needs two weeks. If the mathematics is the same, what makes the difference?
#
# We measure speed as **throughput**: the number of images (or tokens) that a program processes in a second. Let us begin
# with what you have: one training step of *your* ViT from lesson 09, on your engine, and the same step of minivit's ViT.

# %%
data = shapes("train", count=128)
images, labels = preprocess(data.images), data.labels
YourTensor, YourViT, your_cross_entropy = built("Tensor", "ViT", "cross_entropy")
yours, ours = YourViT(), create_model("ViT-XS_4-CIFAR", num_classes=10, seed=0)


def your_step(count=32):
    """Forward and backward pass of your model."""
    your_cross_entropy(yours(YourTensor(images[:count])), labels[:count]).backward()


def our_step(count=32):
    """The same for minivit's model."""
    minivit.cross_entropy(ours(images[:count]), labels[:count]).backward()


for step in (your_step, our_step):
    began = time.perf_counter()
    step()
    seconds = time.perf_counter() - began
    print(f"{step.__doc__:<41} {1000 * seconds:5.0f} ms, {32 / seconds:5.0f} images/s")

# %% [markdown]
# ## The picture
#
# If you run the cell above a few times, its times differ. We need a better way to measure, and something to compare
# with: the least time that is possible. A processor does two things. It *computes*, with a peak rate in floating-point
# operations per second (FLOP/s). And it *moves* numbers between memory and processor, with a peak rate in bytes per second,
# the **memory bandwidth**. The **arithmetic intensity** of an operation decides which of the two is its limit: it is the
# number of floating-point operations for each byte that is read or written.
#
# - An operation of low intensity, such as an addition, waits for memory. It is *memory-bound*.
# - An operation of high intensity, such as a large matrix product, waits for arithmetic. It is *compute-bound*.
#
# The black line shows both limits against the intensity. It is called the **roofline**: where it rises, memory is the limit;
# where it is flat, arithmetic is. The points are operations of a Vision Transformer. The roof is not from a data sheet. It is
# the best that we measure here on one core, with a copy, a large matrix product and the operations themselves, so no
# point can be above it.

# %%
measured = speed.measure_ops()
roof = speed.measure_roof(measured)
print(f"one core: {roof.peak / 1e9:.0f} GFLOP/s in matrix products, {roof.bandwidth / 1e9:.0f} GB/s from and to memory")
show(
    speed.roofline(roof, measured),
    "Matrix products are far to the right, near the roof. Softmax, LayerNorm and GELU are at the far left, deep below the "
    "matrix products; each is higher when it is fused into one operation than when it is composed of primitives.",
)

# %% [markdown]
# A matrix product uses each number many times, so it comes near the flat part of the roof. All other operations use each
# number a few times, so they are on the left, where memory bandwidth is the limit or nearly so. But the orange squares are far
# below even this limit: composed operations read and write the same array again and again. We can improve that.

# %% [markdown]
# ## One number at a time
#
# What is the least time of an operation? It has to do some number of floating-point operations and to move some number of
# bytes. A processor does both at the same time, so the slower of the two decides.


# %% exercise="floor_seconds"
def floor_seconds(flops, moved, peak, bandwidth):
    """The least time for `flops` operations and `moved` bytes, at `peak` FLOP/s and `bandwidth` bytes/s."""
    # --- solution
    return max(flops / peak, moved / bandwidth)
    # --- end


# %%
tokens = 16 * 197  # 16 images of ViT-B/16
machines = {  # FLOP/s, bytes/s, bytes of a number
    "one core here": (roof.peak, roof.bandwidth, 4),
    "H100, float32": (67e12, 3.35e12, 4),
    "H100, bfloat16": (989e12, 3.35e12, 2),
}
works = {  # operations, numbers that are read or written
    "linear, D = 768": (2 * tokens * 768**2, 2 * tokens * 768 + 768**2),
    "linear, D = 64": (2 * tokens * 64**2, 2 * tokens * 64 + 64**2),
    "GELU, D = 768": (9 * tokens * 768, 2 * tokens * 768),
}
for machine, (peak, bandwidth, size) in machines.items():
    print(f"{machine}: balance {peak / bandwidth:.1f} operations a byte")
    for work, (flops, numbers) in works.items():
        seconds, intensity = floor_seconds(flops, size * numbers, peak, bandwidth), flops / (size * numbers)
        limit = "arithmetic" if intensity > peak / bandwidth else "memory"
        print(f"  {work:<15} intensity {intensity:6.1f}: at least {1e6 * seconds:8,.1f} µs, {limit} is the limit")

# %% [markdown]
# The *balance* of a machine is peak / bandwidth: the intensity at the corner of its roof. The three machines differ a lot. A
# core often has a balance of about 1 to 10 operations a byte. NVIDIA's data sheet for the H100 (SXM) states 67 TFLOP/s in float32 without tensor
# cores and 3.35 TB/s: a balance of 20. In bfloat16, its tensor cores reach 989 TFLOP/s (the sheet prints twice as much, for
# matrices in which half of the numbers are 0): a balance of **295**. So the faster the arithmetic, the more operations wait
# for memory: a linear layer with D = 64 is compute-bound on a core and memory-bound on an H100. What this lesson does about
# memory is even more important on a GPU.
#
# **Mixed precision** uses these tensor cores: it computes matrix products in 16 bits and keeps in float32 what needs more
# digits, such as the weights, softmax and the loss. Half as many bytes move, too. Why not 16 bits for everything? Because
# small changes would be lost:

# %%
weight, change = np.float32(1.0), np.float32(2e-4)
print("float32:", weight + change, " float16:", np.float16(weight) + np.float16(change))

# %% [markdown]
# **How to measure.** Three things spoil a measurement. The *first call* is slower: caches are empty, libraries are loaded.
# *Other programs* interrupt: a single interruption spoils a mean. And the speed *drifts*: a processor that gets warm slows
# down, so what is measured last looks slower. The remedies are a first call that does not count, the median, and measuring
# in turns, so that both programs of a comparison meet the same conditions.


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
# **New arrays.** `y = x * 2` needs a new array. If it is large, the operating system gives us memory pages that it must
# first prepare, and each page costs a small interruption, a *page fault*. If we write into an existing array, there is none.
# Here is the same multiplication of 64 MiB in both ways.

# %%
big = np.ones(2**24, np.float32)
out = np.empty_like(big)


def fresh():
    """Into a new array."""
    return big * 2


def reused():
    """Into an existing array."""
    return np.multiply(big, 2, out=out)


for function in (fresh, reused):
    function()
    before = speed.page_faults()
    function()
    print(f"{function.__doc__:<28} {speed.page_faults() - before:,} page faults")
print(f"the first takes {median_ratio(fresh, reused):.2f} times as long")

# %% [markdown]
# **Passes over memory.** GELU composed of primitives is a chain: a square, a cube, a sum, a tanh and so on. Each operation
# passes through the whole array. When the next one begins, the first elements are no longer in the cache of the processor, so
# all of it must be read from memory again. We can cut the array into *blocks* that fit into the cache, and apply the whole
# chain to one block after the other.


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


# %% [markdown]
# Guess before you run the next cell: which block size is the fastest, and what happens with very small and very large ones?

# %%
x = np.random.default_rng(0).standard_normal(2**23).astype(np.float32)  # 32 MiB
sizes = [2**power for power in (11, 13, 15, 16, 17, 19, 21, 23)]
milliseconds = {size: 1000 * speed.median_seconds(lambda size=size: gelu_in_blocks(x, size)) for size in sizes}
show(speed.block_times(milliseconds), speed.BLOCK_TIMES_TEXT)

# %% [markdown]
# <details><summary>What the curve says</summary>
#
# For very small blocks, most of the time is spent in Python, which starts nine NumPy operations for each block. Large blocks do
# not fit into the cache and wait for memory. Between the two, the size hardly matters. minivit uses blocks of 65,536
# elements, 256 KiB (`BLOCK_ELEMENTS` in [`backend/arrays.py`](../minivit/backend/arrays.py)).
#
# </details>
#
# **Fused ops.** An op that computes in one function what would take many is called a **fused op**. It saves passes and new arrays in
# the backward pass too. The backward pass of a composed LayerNorm goes through a mean, a difference, a square, another mean, a
# root and a quotient, and each of them returns an array. A fused op needs a formula for the whole gradient.
#
# Let $n$ be a normalised row, $\sigma$ its standard deviation, $w$ the weight, and $g = dy \cdot w$ the gradient of the loss with
# respect to $n$. If we add a constant to all of $x$, the output does not change. If we stretch $x$ about its mean, the output does
# not change either. So the gradient has no part along these two directions, which are $(1, \ldots, 1)$ and $n$ itself. They are at
# right angles, and both have the squared length D. Therefore we take $g$ and subtract its part along each direction:
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
# With your function as its `vjp`, LayerNorm is a single op. First we compare its gradients with those of the composed
# LayerNorm, and only then its time: a fast wrong answer is worth nothing.


# %%
def one_layer_norm(x, weight, bias, eps=1e-6):
    """LayerNorm as a fused op, on Tensors."""
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
    ("yours, fused", one_layer_norm),
    ("minivit's, fused and in blocks", fused.layer_norm),
):
    ratio = median_ratio(lambda: pull(reference.layer_norm), lambda function=function: pull(function), rounds=25)
    print(f"the composed one takes {ratio:.2f} times as long as {name}")

# %% [markdown]
# ## Your turn
#
# A laptop has several cores, and a program with one thread uses one of them. NumPy lets other Python threads run while it
# computes a product or an element-wise operation. So we cut the mini-batch into **micro-batches**, and each thread computes
# the gradients of some of them, with its own tape. The gradient of a sum is the sum of the gradients, so we add them up before the
# optimiser takes its step. This is **data parallelism**. With one thread, the same is called **gradient accumulation**: it
# trains with a mini-batch that is too large for the memory.
#
# But the sum needs care. A floating-point sum depends on its order: $(a + b) + c$ and $a + (b + c)$ may differ in the last
# bits. And threads finish in any order. If we add the gradients *as they arrive*, no two runs are the same, and a bug that you
# see today may be gone tomorrow. So wait for all, and add them in the order of their numbers.


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
    """The number of a micro-batch, and its part of the gradients of the mini-batch."""
    piece = pieces[number]
    share = (piece.stop - piece.start) / len(images)
    loss = lambda: minivit.cross_entropy(ours(images[piece]), labels[piece]) * share  # noqa: E731
    return number, value_and_grad(loss, ours.parameters())[1]


def threaded(count):
    """The gradients of the mini-batch, computed by `count` threads."""
    with thread_pool(count) as pool:
        waiting = [pool.submit(gradients_of, number) for number in range(len(pieces))]
        return add_in_order(done.result() for done in as_completed(waiting))


with Workers(1):  # limits the library for matrix products to one thread, since ours would compete with its threads
    one, two = threaded(1), threaded(2)
    print("the same bits:", all((a == b).all() for a, b in zip(one, two, strict=True)))
    print(f"one thread takes {median_ratio(lambda: threaded(1), lambda: threaded(2)):.2f} times as long as two")
    best = min(speed.median_seconds(lambda: threaded(2), 3), speed.median_seconds(lambda: threaded(1), 3))
    least = len(images) * step_flops(ours, "train") / roof.peak
    print(f"its products alone would take one core {1000 * least:.0f} ms, and the step took {1000 * best:.0f} ms")

# %% [markdown]
# On a busy machine two threads gain nothing. With two free cores, one worker took 256 ms for what two did in 155 (one
# training step in [results/bench](../results/bench/amd-epyc-zen4/growth.txt)). Compare the last two numbers as well: their difference is what
# one could still gain.
#
# **Several processes**, on one machine or many, work in the same way (`mpiexec -n 2 minivit train`). Each has a copy of the
# weights and its share of the mini-batch, and they send each other their gradients. For ViT-B/16 these are
# 86,567,656 numbers of four bytes: 346 MB in every step, from each machine. A network with 1 GB/s needs a third of a second for
# that. So each process must have enough images to compute for longer than that. `minivit bench --plan` predicts it.
#
# **A GPU** changes three things. Its calls return before they are finished, so a measurement must wait for the GPU (CuPy:
# `cupy.cuda.Device().synchronize()`), or it measures nothing. Each call costs some microseconds, so small models leave it
# idle: give it large mini-batches and a single tape. And copies between its memory and that of the processor are slow, so
# all data should stay there. minivit's ops call the array library `xp`, which is NumPy or CuPy; the rest of their code is the
# same.
#
# **Memory** is often the first limit of training: the tape keeps the activations of all layers until the backward pass.
# **Activation checkpointing** (gradient checkpointing) keeps the input of each block alone, and the backward pass computes
# the block again. It takes about a third more time, since the forward pass is a third of a step. minivit does this with
# `--grad-checkpointing`. The stretch task is to write it.


# %% exercise="recomputed"
def recomputed(function, x):
    """function(x), a Tensor; only x is kept for the backward pass, which calls the function again."""
    # --- solution
    with no_grad():  # no tape: the activations inside the function are freed at once
        data = function(x).data

    def vjp(dy):
        again = Tensor(x.data, requires_grad=True)  # a new leaf, so that the gradient stops here
        function(again).backward(dy)  # adds the gradients of the parameters to them
        return (again.grad,)

    return record(data, (x,), vjp)
    # --- end


# %%
block = create_model("ViT-XS_4-CIFAR", num_classes=10, seed=0).blocks[0]
tokens_in = Tensor(np.random.default_rng(2).standard_normal((16, 65, 64), dtype=np.float32), requires_grad=True)
found = {}
for name, run_block in (("kept", block), ("recomputed", lambda z: recomputed(block, z))):
    tokens_in.zero_grad()
    out_tokens = run_block(tokens_in)
    kept = speed.bytes_on_the_tape(out_tokens)
    out_tokens.backward(np.ones_like(out_tokens.data))
    found[name] = tokens_in.grad
    print(f"{name:>10}: the tape holds {kept / 2**20:5.1f} MiB beside the block's input")
print("the same gradient:", np.allclose(found["kept"], found["recomputed"], rtol=1e-4, atol=1e-5))

# %% [markdown]
# ## In the paper
#
# The paper states costs in TPUv3-core-days: to pre-train on JFT, ViT-H/14 took 2,500 of them, ViT-L/16 680, and the
# convolutional BiT-L 9,900 (Table 2). Fig. 5 shows accuracy against the compute of pre-training, in exaFLOPs. Appendix D.5
# measures throughput, and finds that the quadratic cost of attention hardly shows at the usual image sizes. You can see why: in a
# block, the products with weights take $24 N D^2$ operations and attention itself $4 N^2 D$. Their ratio is $N / 6D$, which is
# 4 % for ViT-B/16 at 224 pixels.
#
# | paper | here | minivit |
# |---|---|---|
# | core-days | FLOP / (FLOP/s) | `minivit bench`, [`bench/profile.py`](../minivit/bench/profile.py) |
# | mini-batch of 4096 (Table 3) | `micro_batches` | [`training/distributed/parallel.py`](../minivit/training/distributed/parallel.py), `--grad-accum-steps` |
# | LN, GELU, softmax | a fused op each | [`engine/fused.py`](../minivit/engine/fused.py), twins in `reference.py` |
#
# minivit keeps both forms on purpose. The composed twin is the definition, which people read; the fused one runs. A test holds
# them equal.

# %% [markdown]
# ## Break it and see
#
# Does a last bit matter? We add the gradients as they arrive, in a random order, and train. All runs have the same seed, the
# same images and the same initialisation.


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
    """The weights after each step of a short run, in which micro-batches arrive in a random order."""
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
# The difference began in the last bit, and it grows by orders of magnitude. Neither run is wrong: both learn equally
# well. But they are *two* runs. If you change your code and the result changes, you cannot tell whether your change did it, or the
# order of the threads. If the gradients are added by their numbers, the two runs are equal, bit for bit, with two threads or with
# eight.

# %% [markdown]
# ## The same in PyTorch
#
# ```python
# import torch
# from torch.utils.checkpoint import checkpoint
#
# model = torch.compile(model)                                    # fuses chains of element-wise ops into one kernel
# with torch.autocast("cuda", dtype=torch.bfloat16):              # mixed precision: products in bfloat16
#     loss = F.cross_entropy(model(images), labels)
# z = checkpoint(block, z, use_reentrant=False)                   # recomputed(block, z)
# (loss / steps).backward()                                       # gradient accumulation: .grad adds up until step()
# model = torch.nn.parallel.DistributedDataParallel(model)        # data parallelism, one process for each GPU
# torch.cuda.synchronize()                                        # before you read the clock
# ```
#
# | what differs | here | PyTorch |
# |---|---|---|
# | who fuses | we write each fused op and its gradient | `torch.compile` generates kernels from the composed code |
# | where threads work | each thread has a micro-batch and a tape | inside of each op: `torch.set_num_threads` |
# | order of sums | always the same | `torch.use_deterministic_algorithms(True)` asks for it |
# | measuring | `median_ratio` | `torch.utils.benchmark.Timer`, which warms up and waits for the GPU |

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    from torch.utils.checkpoint import checkpoint

    few = torch.tensor(rows[:8], requires_grad=True)
    w, b = (torch.tensor(leaf.data, requires_grad=True) for leaf in leaves[1:])
    torch.nn.functional.layer_norm(few, (192,), w, b, eps=1e-6).backward(torch.tensor(dy[:8]))
    centred = rows[:8] - rows[:8].mean(axis=1, keepdims=True)
    inverse = 1.0 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + 1e-6)
    mine = layer_norm_backward(dy[:8], centred * inverse, inverse, w.detach().numpy())
    for name, gradient, leaf in zip(("dx", "dw", "db"), mine, (few, w, b), strict=True):
        agree(f"layer_norm_backward, {name}", gradient, leaf.grad, tolerance=1e-5)

    layer = torch.nn.Linear(192, 192)
    plain, again = (torch.tensor(rows[:8], requires_grad=True) for _ in range(2))
    layer(plain).tanh().sum().backward()
    checkpoint(lambda z: layer(z).tanh(), again, use_reentrant=False).sum().backward()
    agree("checkpoint in PyTorch, with and without", plain.grad.numpy(), again.grad)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = layer(again)
    error = (half.float() - layer(again)).abs().max().item()
    print(f"autocast: the product is {half.dtype}, the weight stays {layer.weight.dtype}; largest error {error:.0e}")

# %% [markdown]
# ## What came before and after
#
# - The roofline model ([Williams, Waterman and Patterson, 2009](https://doi.org/10.1145/1498765.1498785)) shows in one picture what
#   limits a program on a processor.
# - Activation checkpointing ([Chen et al., 2016](https://arxiv.org/abs/1604.06174)) trains a network of n layers with memory of the order
#   √n, for the cost of one more forward pass.
# - Data parallelism on 256 GPUs ([Goyal et al., 2017](https://arxiv.org/abs/1706.02677)): ResNet-50 with mini-batches of 8,192 images in one
#   hour. The learning rate grows with the mini-batch, after a warmup.
# - Mixed precision ([Micikevicius et al., 2017](https://arxiv.org/abs/1710.03740)): half precision with a copy of the weights in float32, and
#   a loss that is scaled up so that small gradients do not become 0.
# - FlashAttention ([Dao et al., 2022](https://arxiv.org/abs/2205.14135)) computes attention exactly, but block by block, so that the N x N
#   matrix of attention weights is never written to the GPU's main memory. It is the fused op of attention.

# %% [markdown]
# ## Summary
#
# - Measure in turns, take medians, ignore the first call. The least time of an operation is max(FLOP / peak, bytes / bandwidth).
# - Matrix products are compute-bound, nearly everything else is memory-bound: reuse arrays, work in blocks, fuse chains
#   and their gradients. The higher the balance of a machine, the more this matters.
# - Data parallelism divides a mini-batch into micro-batches. Gradients are added in a fixed order, so that every run can be
#   repeated.

# %% [markdown]
# ## What comes next
#
# You have built every part of a Vision Transformer, and you know what makes it fast. In [lesson 17](17_book.ipynb) you open the
# source of minivit and find that you can read it.
