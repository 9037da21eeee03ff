# %% [markdown]
# # 17 · The book: reading minivit
#
# *About 45 minutes. Comes after all the others. In the paper: all of it, by the equation tags of the source.*
#
# You have built a Vision Transformer from one multiplication upwards. minivit is the same, finished: faster, tested,
# with a command line. In this last lesson you read it. You follow one number from the command to its gradient and back,
# answer questions by looking, write a test that can fail, and change the real code.

# %% tags=["keep"]
import inspect
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

import minivit
from minivit import Tensor
from minivit.data.shapes import shapes
from minivit.engine import fused
from minivit.engine.tensor import Node, record
from minivit.models import create_model
from minivit.training import TrainConfig, loop, optim
from minivit.training.trainer import build_run
from minivit_lessons import reading, trained_model
from minivit_lessons.pictures import book

# %% [markdown]
# ## The question
#
# How do you read a program that someone else wrote? Not like a novel, from the first file to the last. Like a city:
# with a map, then along one street, then by asking the way. Everything you see below is read live from the source on
# your disk. When the source changes, so does this lesson.

# %% [markdown]
# ## The picture
#
# So that there is something to follow, here is a real run: what `minivit train --batch-size 4 --steps 10` sets up, and
# its first training step. While it runs, a watcher notes each function of minivit that is called. Then the map: every
# file a block, as high as it has lines of code. Blue are the files that this step entered.

# %%
folder = tempfile.TemporaryDirectory()
config = TrainConfig(batch_size=4, steps=10, microbatch=4, num_threads=1)
run = build_run(config, Path(folder.name) / "run")
batch = next(run.loader.batches(0, run.total_steps))

weight = run.model.blocks[0].mlp.fc1.weight
before = weight.data.copy()  # the step changes it in place
with run.workers:
    calls = reading.calls_of(lambda: loop.train_step(run, batch))
run.tell("close")
folder.cleanup()

sizes = {reading.name_of(path): reading.code_lines(path) for path in reading.source_files()}
of_part = Counter()
for name, lines in sizes.items():
    of_part[name.partition("/")[0] if "/" in name else "(top)"] += lines
print(f"{sum(sizes.values()):,} lines of code in {len(sizes)} files:", dict(of_part.most_common()))

entered = {call.file for call in calls}
print(
    f"the step: {len(calls):,} calls in {len(entered)} files with {sum(sizes[name] for name in entered):,} lines of code"
)
show(
    book.package_map(sizes, entered),
    "Seven columns of blocks: engine, nn and convolution, models, data, training, evaluation with insight and "
    "experiments, bench and cli. Blue: most of the engine, nn, the model's files, and of training the loop, "
    "optimisers and gradients.",
)

# %% [markdown]
# What is pale is around the book: data sets, files of others, pictures, measurements, options. Imports go from right to
# left alone, and a test sees to it. So you can read the first column without knowing that the others exist.

# %% [markdown]
# ## One number at a time
#
# Now the street. This is the same step, seen from the side. Each box is a call. It stands on the one that
# called it, and time runs to the right.

# %%
show(
    book.flame(calls),
    "Boxes on boxes: train_step carries batch_gradients and Optimizer.step. On batch_gradients stand first the "
    "loss with a mountain of calls, ViT down to the ops, then run_backward with a flat comb of short calls.",
)

# %% [markdown]
# Two shapes tell the story. The forward pass is a *mountain*: the loss calls the model, the model its blocks, a block
# its attention, down to the operations. The backward pass is a *comb*: `run_backward` calls one `vjp` after the other
# and knows nothing of blocks or attention. All that the mountain leaves for it is a list: the tape.
#
# Follow one number: the first element of the first MLP's weight. Who uses it, and who computes its gradient? Ask the
# tape, and read the op that it names. You wrote one like it in lesson 03: forward lines first, then a `vjp` that
# returns a gradient for each input, then `record`.


# %%
def tape_below(tensor):
    """Every entry of the tape that a Tensor was computed by."""
    found, stack = [], [tensor._node]
    while stack:
        node = stack.pop()
        if node not in found:
            found.append(node)
            stack += [parent for parent in node.parents if isinstance(parent, Node)]
    return found


def read(thing):
    """Print the source of a function or class, and where it is."""
    thing = inspect.unwrap(thing)  # what a decorator stands before
    lines, first = inspect.getsourcelines(thing)
    print(f"# {reading.name_of(Path(inspect.getsourcefile(thing)))}, line {first}\n" + "".join(lines))


loss = minivit.cross_entropy(run.model(batch.images), batch.labels)
tape = tape_below(loss)
print("the tape:", dict(Counter(node.vjp.__qualname__.partition(".")[0] for node in tape).most_common()))
(user,) = [node for node in tape if any(parent is weight for parent in node.parents)]

name = next(name for name, tensor in run.model.named_parameters() if tensor is weight)
print(f"our number is the first of {name}, of shape {weight.shape}")
print(f"  its gradient comes from {user.vjp.__module__}.{user.vjp.__qualname__}")
print(f"  weight decay pulls at it: {optim.is_kernel(name, weight)}")
print(f"  the schedule's rate in step 0 was {run.schedule(0):.2e}")
print(f"  before the step it was {before[0, 0]:.6f}, after it {weight.data[0, 0]:.6f}\n")
read(fused.linear)

# %% [markdown]
# Each of the paper's equations has a tag in the source: `# ViT (1)` marks Eq. 1, and so on. Your first question: find
# Eq. 2. Open [`models/vit.py`](../minivit/models/vit.py), or print a class in a cell of your own, as in
# `read(minivit.ViT)`.

# %% exercise="home_of_equation_2"
# --- solution -> home_of_equation_2 = ...  # "Class.method"
home_of_equation_2 = "EncoderBlock.forward"
# --- end

# %% [markdown]
# ## All at once
#
# Where does each lesson live? This is the table of contents. Pick two rows whose lesson you liked, and compare with
# what you wrote.
#
# | lesson | idea | file | name |
# |---|---|---|---|
# | [01](01_scalars.ipynb) | the tape and the backward walk | [`engine/tensor.py`](../minivit/engine/tensor.py) | `run_backward` |
# | [02](02_tensors.ipynb) | primitives, broadcasting undone | [`engine/ops.py`](../minivit/engine/ops.py) | `unbroadcast` |
# | [03](03_products.ipynb) | softmax and cross-entropy, composed | [`engine/reference.py`](../minivit/engine/reference.py) | `cross_entropy` |
# | [04](04_layers.ipynb) | parameters by name | [`nn/module.py`](../minivit/nn/module.py) | `Module` |
# | [05](05_patches.ipynb) | patches times E | [`models/vit.py`](../minivit/models/vit.py) | `PatchEmbedding` |
# | [06](06_positions.ipynb) | positions | [`models/positions.py`](../minivit/models/positions.py) | `sincos2d` |
# | [07](07_attention.ipynb) | attention, fused | [`engine/fused.py`](../minivit/engine/fused.py) | `attention` |
# | [08](08_block.ipynb) | heads | [`models/vit.py`](../minivit/models/vit.py) | `MultiHeadSelfAttention` |
# | [09](09_vit.ipynb) | the model, and what it costs | [`models/cost.py`](../minivit/models/cost.py) | `costs` |
# | [10](10_optimisers.ipynb) | steps | [`training/optim.py`](../minivit/training/optim.py) | `AdamW` |
# | [11](11_training.ipynb) | the loop | [`training/loop.py`](../minivit/training/loop.py) | `train_run` |
# | [12](12_inside.ipynb) | where a model looks | [`insight/attention.py`](../minivit/insight/attention.py) | `attention_rollout` |
# | [13](13_finetuning.ipynb) | positions for another size | [`models/positions.py`](../minivit/models/positions.py) | `resize_positions` |
# | [14](14_hybrids.ipynb) | convolution | [`convolution/ops.py`](../minivit/convolution/ops.py) | `conv2d` |
# | [15](15_selfsupervision.ipynb) | masked patches | [`training/masked.py`](../minivit/training/masked.py) | `corrupt` |
# | [16](16_speed.ipynb) | threads, sums in order | [`training/distributed/parallel.py`](../minivit/training/distributed/parallel.py) | `batch_gradients` |
#
# The loop, `train_run`, fits on a screen. A run that is killed and resumed ends with the same weights, bit for bit, and the
# file's docstring says why: all that happens depends on the options and the step alone. Random numbers too.
#
# Dropout draws random masks, in several threads at once. Where does their randomness come from? Follow `seed=` from the
# function below into [`training/distributed/parallel.py`](../minivit/training/distributed/parallel.py), and find where
# a generator is made.

# %%
read(loop.train_step)

# %% exercise="dropout_seed"
# --- solution -> dropout_seed = ...  # four numbers: (.., .., .., ..)
dropout_seed = (7, 3, 10, 2)
# --- end

# %% [markdown]
# So each micro-batch of each step has a generator of its own. No thread waits for another's, and nothing needs to be
# saved but the step: a resumed run draws the same masks.
#
# One more. Eq. 4 reads a single token, and minivit makes use of it: see `skip_unused` in `ViT.encode`, and what
# `queries` does in `EncoderBlock.forward`.

# %% exercise="tokens_in_last_mlp"
# --- solution -> tokens_in_last_mlp = ...  # (with skip_unused, without it)
tokens_in_last_mlp = (1, 65)
# --- end

# %% [markdown]
# ## Your turn
#
# Now you change minivit. The paper that introduced GELU (arXiv 1606.08415) gives yet another form of it, with a
# sigmoid:
#
# $$\mathrm{GELU}(x) \approx x\,\sigma(1.702\,x), \qquad \sigma(u) = \frac{1}{1 + e^{-u}}$$
#
# minivit has two forms, in a dictionary. Each is a function that *writes* f(x) into its second array and, if the third
# is not None, f'(x) into that: arrays that it is handed, so that blocks of a large array can be filled in place
# (lesson 16). (`@elementwise` says that each element is treated by itself. On a GPU, one kernel of the same name then
# does all of it. Yours needs none.)
#
# First the test, then the code. A test is good for nothing if it cannot fail. Yours will be tried on right forms, and
# on forms that are broken in several ways.

# %%
read(fused.gelu_erf)
print("GELU_FORMS has", ", ".join(fused.GELU_FORMS))


# %% exercise="slope_is_right"
def slope_is_right(form):
    """Whether a form's slope is the derivative of its own values."""
    # --- solution
    x = np.linspace(-4, 4, 41)  # float64, both sides of 0, and far enough out
    step = 1e-5
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope)
    form(x + step, above, None)
    form(x - step, below, None)
    return bool(np.allclose(slope, (above - below) / (2 * step), rtol=0, atol=1e-6))
    # --- end


# %% [markdown]
# Now the form. With $\sigma' = \sigma (1 - \sigma)$ its slope is $\sigma + 1.702\, x\, \sigma (1 - \sigma)$, where
# $\sigma$ stands for $\sigma(1.702\, x)$.


# %% exercise="gelu_sigmoid"
def gelu_sigmoid(x, out, slope):
    """Write x σ(1.702 x) into `out`, and its derivative into `slope` unless that is None."""
    # --- solution
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    np.multiply(x, sigma, out=out)
    if slope is not None:
        slope[...] = sigma + 1.702 * out * (1.0 - sigma)
    # --- end


# %% [markdown]
# One line puts it in, and from there it is known everywhere: to the op, to the model's configuration, to files. Here
# it takes the place of the tanh form in the lessons' trained model.

# %%
print("the forms whose slope is right:", [name for name, form in fused.GELU_FORMS.items() if slope_is_right(form)])
fused.GELU_FORMS["sigmoid"] = gelu_sigmoid

print("slope_is_right(gelu_sigmoid):", slope_is_right(gelu_sigmoid))
points = np.random.default_rng(0).standard_normal((3, 5))
print(f"gradcheck of the op, relative error: {minivit.gradcheck(lambda x: fused.gelu(x, 'sigmoid'), points):.1e}")

test_set = shapes("test", count=400)
for form in ("tanh", "sigmoid"):
    model = create_model("ViT-XS_4-CIFAR", num_classes=10, gelu=form)
    model.load_state(trained_model().state())
    right = (model.predict(test_set.images).argmax(axis=1) == test_set.labels).mean()
    print(f"trained with tanh, run with {form}: {right:.1%} right")
del fused.GELU_FORMS["sigmoid"]

# %% [markdown]
# To make it stay, do what the project does with every op:
#
# 1. Put the function into [`engine/fused.py`](../minivit/engine/fused.py), above `GELU_FORMS`, and its line into it.
# 2. Write its twin, composed of primitives, into `gelu` of [`engine/reference.py`](../minivit/engine/reference.py).
#    There is no sigmoid, but $\sigma(u) = (1 + \tanh(u/2)) / 2$.
# 3. Add `"sigmoid"` to the forms of `test_gelu` in [`tests/engine/test_twins.py`](../tests/engine/test_twins.py).
# 4. `python -m pytest tests/engine`, and watch it hold the two equal, value and gradient.
#
# Then break your slope on purpose and run it again. A test that you have not seen fail has not told you anything yet.

# %% [markdown]
# ## In the paper
#
# | paper | here |
# |---|---|
# | Eqs. 1 to 4 | `ViT.encode`, `EncoderBlock.forward`, `ViT.pool` |
# | Eqs. 5 to 8 | `MultiHeadSelfAttention.forward`, `fused.attention` |
#
# minivit departs from the paper in a number of small things. `docs/departures.md` lists each of them beside what the
# paper says and what the authors' code does. A list like that is worth more than a claim to have followed the paper.
#
# And here is the whole paper, line by line: every tag in the source, with the code that stands there.

# %%
for tag in sorted(reading.tags(), key=lambda tag: (not tag.tag.startswith("("), tag.tag, tag.file)):
    print(f"{tag.tag:<9}{tag.file + ':' + str(tag.line):<30}{tag.inside:<32}{tag.code[:70]}")

# %% [markdown]
# ## Break it and see
#
# `record` has a rule, written in its docstring: a `vjp` returns gradients, and *never changes* the `dy` that it is
# handed. Here is an op that saves an array by breaking it. Alone it works perfectly.


# %%
def hasty_negative(a):
    """-a, with a vjp that turns dy round in place."""

    def vjp(dy):
        dy *= -1.0
        return (dy,)

    return record(-a.data, (a,), vjp)


x, dy = Tensor([1.0, 2.0, 3.0], requires_grad=True), np.ones(3, np.float32)
hasty_negative(x).backward(dy.copy())
print("gradient of -x:  ", x.grad)

x.zero_grad()
(x + hasty_negative(x)).backward(dy.copy())
print("of x + (-x) = 0: ", x.grad)

try:
    minivit.gradcheck(hasty_negative, points)
except minivit.GradientError as error:
    print("GradientError:   ", error)

# %% [markdown]
# x - x is 0 whatever x is, so its gradient must be 0. But the addition handed the *same* array to both of its inputs,
# and one of them scribbled on it. No shape is wrong, no number is infinite, and a network with such an op even learns a
# little. That is why `gradcheck` keeps a copy of what it hands over, and compares.
#
# Look for other rules of that kind: `record` has one about arrays that are returned twice. What would go wrong? An array of
# its own making belongs to whoever receives it, and is added to in place when the next contribution comes. Returned for two
# inputs, it would be one sum with two owners: what arrives for the one is added to the other's gradient as well.

# %% [markdown]
# ## Summary
#
# - Read with a map, then along one path, then by questions; let the program tell you what it does.
# - Forward is a mountain of calls, backward a walk along the tape, and each op brings its own `vjp`.
# - A change has a test that was seen to fail, and a twin that says what is meant.

# %% [markdown]
# ## What comes next
#
# Nothing that you could not read. You began with the slope of a single product, and now there is no line between
# `minivit train` and the last gradient that you have not met. Some roads from here:
#
# - Train on photographs: `minivit train --dataset cifar10`, or on your own with `--dataset folder:PATH`.
# - Read the paper again, from the beginning. It has become short.
# - Turn the pages once more at [lesson 00](00_start.ipynb), and explain it to somebody. That is the last exercise, and
#   nothing checks it.
