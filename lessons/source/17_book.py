# %% [markdown]
# # 17 · The book: reading minivit
#
# *Comes after all lessons before it. In the paper: all of it, by the equation tags in the source.*
#
# You have built a Vision Transformer from one multiplication upwards. minivit is the same, finished: faster, tested,
# with a command line. In this lesson you read it. You follow one number from the command to its gradient and back, answer
# questions by looking them up, write a test that can fail, and change the real code.

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
# How do you read a program that someone else wrote? Not from the first file to the last, as you read a novel. Read it as
# you explore a city: first look at a map, then follow one street, then ask for directions. Everything that you see below
# is read from the source on your disk when the cell runs. If the source changes, this lesson shows the change.

# %% [markdown]
# ## The picture
#
# We need something to follow. The next cell prepares a real run, as `minivit train --batch-size 4 --steps 10` does, and
# makes its first step. Meanwhile it records each call of a function of minivit. Then it draws the map: a block for each file of most
# folders (`backend`, `images`, `utils`, `weights` and `explore` are left out), as high as its number of lines of code. The files
# that this step used are blue.

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
# The pale files surround the core: data sets, pictures, measurements, options. A file may import files in its
# own column or in columns to its left, and a test checks that. So you can read the first column without knowing that the
# others exist.

# %% [markdown]
# ## One number at a time
#
# Now we follow the street. A **flame graph** shows the same step from the side. Each box is a call. It stands on the call that
# made it, and a later call is further right. A box is wide if many calls are made inside it; its width is not its time.

# %%
show(
    book.flame(calls),
    "Boxes on boxes: train_step carries batch_gradients and Optimizer.step. On batch_gradients stand first the "
    "loss with a mountain of calls, ViT down to the ops, then run_backward with a flat comb of short calls.",
)

# %% [markdown]
# There are two shapes. The forward pass is a *mountain*: the loss calls the model, the model calls its blocks, a block calls its
# attention, and so on down to the ops. The backward pass is a *comb*: `run_backward` calls one `vjp` after the other, and it
# knows nothing about blocks or attention. The forward pass leaves one thing for it: the tape, a list of ops.
#
# We follow one number: the first element of the weight of the first MLP. Which op uses it, and what computes its gradient? The
# tape answers this, and the next cell prints the op that it names. You wrote a similar op in lesson 03: first the lines of
# the forward pass, then a `vjp` that returns a gradient for each input, then `record`.


# %%
def tape_below(tensor):
    """The entries of the tape from which a Tensor was computed."""
    found, stack = [], [tensor._node]
    while stack:
        node = stack.pop()
        if node not in found:
            found.append(node)
            stack += [parent for parent in node.parents if isinstance(parent, Node)]
    return found


def read(thing):
    """Print the source of a function or class, and where it is."""
    thing = inspect.unwrap(thing)  # what a decorator has wrapped
    lines, first = inspect.getsourcelines(thing)
    print(f"# {reading.name_of(Path(inspect.getsourcefile(thing)))}, line {first}\n" + "".join(lines))


loss = minivit.cross_entropy(run.model(batch.images), batch.labels)
tape = tape_below(loss)
print("the tape:", dict(Counter(node.vjp.__qualname__.partition(".")[0] for node in tape).most_common()))
(user,) = [node for node in tape if any(parent is weight for parent in node.parents)]

name = next(name for name, tensor in run.model.named_parameters() if tensor is weight)
print(f"our number is the first of {name}, of shape {weight.shape}")
print(f"  its gradient comes from {user.vjp.__module__}.{user.vjp.__qualname__}")
print(f"  weight decay applies to it: {optim.is_kernel(name, weight)}")
print(f"  the learning rate in step 0 was {run.schedule(0):.2e}")
print(f"  before the step it was {before[0, 0]:.6f}, after it {weight.data[0, 0]:.6f}\n")
read(fused.linear)

# %% [markdown]
# Our number has hardly changed. A new head has weights of 0 (lesson 09), so in the first step the gradients of all blocks are 0, and
# weight decay alone acts.
#
# Each equation of the paper has a tag in the source: `# ViT (1)` marks Eq. 1, and so on. Your first question: find Eq. 2 in
# the model's class. Open [`models/vit.py`](../minivit/models/vit.py), or print a class in a new cell, for example with
# `read(minivit.ViT)`.

# %% exercise="home_of_equation_2"
# --- solution -> home_of_equation_2 = ...  # "Class.method"
home_of_equation_2 = "EncoderBlock.forward"
# --- end

# %% [markdown]
# ## All at once
#
# Where is the topic of each lesson? This is the table of contents. Choose two rows whose lesson you liked, and compare the code
# with yours.
#
# | lesson | idea | file | name |
# |---|---|---|---|
# | [01](01_scalars.ipynb) | the tape and the backward pass | [`engine/tensor.py`](../minivit/engine/tensor.py) | `run_backward` |
# | [02](02_tensors.ipynb) | primitives, broadcasting reversed | [`engine/ops.py`](../minivit/engine/ops.py) | `unbroadcast` |
# | [03](03_products.ipynb) | softmax and cross-entropy, composed | [`engine/reference.py`](../minivit/engine/reference.py) | `cross_entropy` |
# | [04](04_layers.ipynb) | parameters by name | [`nn/module.py`](../minivit/nn/module.py) | `Module` |
# | [05](05_patches.ipynb) | patches times E | [`models/vit.py`](../minivit/models/vit.py) | `PatchEmbedding` |
# | [06](06_positions.ipynb) | positions | [`models/positions.py`](../minivit/models/positions.py) | `sincos2d` |
# | [07](07_attention.ipynb) | attention, fused | [`engine/fused.py`](../minivit/engine/fused.py) | `attention` |
# | [08](08_block.ipynb) | heads | [`models/vit.py`](../minivit/models/vit.py) | `MultiHeadSelfAttention` |
# | [09](09_vit.ipynb) | the model, and its costs | [`models/cost.py`](../minivit/models/cost.py) | `costs` |
# | [10](10_optimisers.ipynb) | optimisers | [`training/optim.py`](../minivit/training/optim.py) | `AdamW` |
# | [11](11_training.ipynb) | the training loop | [`training/loop.py`](../minivit/training/loop.py) | `train_run` |
# | [12](12_inside.ipynb) | where a model looks | [`insight/attention.py`](../minivit/insight/attention.py) | `attention_rollout` |
# | [13](13_finetuning.ipynb) | positions for another size | [`models/positions.py`](../minivit/models/positions.py) | `resize_positions` |
# | [14](14_hybrids.ipynb) | convolution | [`convolution/ops.py`](../minivit/convolution/ops.py) | `conv2d` |
# | [15](15_selfsupervision.ipynb) | masked patches | [`training/masked.py`](../minivit/training/masked.py) | `corrupt` |
# | [16](16_speed.ipynb) | threads, sums in a fixed order | [`training/distributed/parallel.py`](../minivit/training/distributed/parallel.py) | `batch_gradients` |
#
# The training loop, `train_run`, fits on one screen. A run that was interrupted and resumed ends with the same weights, bit for
# bit, and the docstring of the file says why: everything that happens is determined by the options and the number of the step.
# This is true of random numbers, too.
#
# Dropout draws random masks, in several threads at the same time. Where do its random numbers come from? Follow `seed=` from the
# function below into [`training/distributed/parallel.py`](../minivit/training/distributed/parallel.py), and find the place where
# a generator is made.

# %%
read(loop.train_step)

# %% exercise="dropout_seed"
# --- solution -> dropout_seed = ...  # four numbers: (.., .., .., ..)
dropout_seed = (7, 3, 10, 2)
# --- end

# %% [markdown]
# So each micro-batch of each step has its own generator. No thread waits for another, and a checkpoint needs to store only the
# step: a resumed run draws the same masks.
#
# One more question. Eq. 4 reads a single token, and minivit makes use of that: see `skip_unused` in `ViT.encode`, and what
# `queries` does in `EncoderBlock.forward`.

# %% exercise="tokens_in_last_mlp"
# --- solution -> tokens_in_last_mlp = ...  # (with skip_unused, without it)
tokens_in_last_mlp = (1, 65)
# --- end

# %% [markdown]
# ## Your turn
#
# Now you change minivit. The paper that introduced GELU ([Hendrycks and Gimpel, 2016](https://arxiv.org/abs/1606.08415)) contains a
# second approximation, with a sigmoid:
#
# $$\mathrm{GELU}(x) \approx x\,\sigma(1.702\,x), \qquad \sigma(u) = \frac{1}{1 + e^{-u}}$$
#
# minivit computes this form from primitives, in several passes (`gelu="quick"`, which the published weights of CLIP need). You
# add it as a fused form, which takes one pass. The two fused forms of GELU are in a dictionary. Each is a function that *writes*
# f(x) into its second argument and, if the third argument is not None, f'(x) into that. Both are arrays that the caller provides,
# so that blocks of a large array can be filled in place (lesson 16). (The decorator `@elementwise` says that each element is
# computed independently. On a GPU, a single program of the same name, also called a kernel, then does all of it. Your function
# does not need the decorator.)
#
# First you write the test, then the code. A test is useless if it cannot fail. How good is a test? **Mutation testing** measures it:
# break the code on purpose, in many small ways, and count how many of the broken versions (the *mutants*) the test rejects. Your test
# will be tried on right forms, and on mutants.

# %%
read(fused.gelu_erf)
print("GELU_FORMS has", ", ".join(fused.GELU_FORMS))


# %% exercise="slope_is_right"
def slope_is_right(form):
    """Whether the derivative that a form writes is the derivative of its values."""
    # --- solution
    x = np.linspace(-4, 4, 41)  # float64, both sides of 0, and far enough out
    step = 1e-5
    out, derivative, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, derivative)
    form(x + step, above, None)
    form(x - step, below, None)
    return bool(np.allclose(derivative, (above - below) / (2 * step), rtol=0, atol=1e-6))
    # --- end


# %% [markdown]
# Now the form. With $\sigma' = \sigma (1 - \sigma)$, its derivative is $\sigma + 1.702\, x\, \sigma (1 - \sigma)$, where
# $\sigma$ means $\sigma(1.702\, x)$.


# %% exercise="gelu_sigmoid"
def gelu_sigmoid(x, out, derivative):
    """Write x σ(1.702 x) into `out`, and its derivative into `derivative` unless that is None."""
    # --- solution
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    np.multiply(x, sigma, out=out)
    if derivative is not None:
        derivative[...] = sigma + 1.702 * out * (1.0 - sigma)
    # --- end


# %% [markdown]
# One line adds it to the dictionary, and then everything knows it: the op, the model's configuration, the files. Here it replaces
# the tanh form in the lessons' trained model.

# %%
print("the forms whose derivative is right:", [name for name, form in fused.GELU_FORMS.items() if slope_is_right(form)])
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
# To make the change permanent, do what the project does with every op:
#
# 1. Put the function into [`engine/fused.py`](../minivit/engine/fused.py), above `GELU_FORMS`, and add its line to the dictionary.
# 2. Write its twin, composed of primitives, into `gelu` of [`engine/reference.py`](../minivit/engine/reference.py). There is no
#    sigmoid among the primitives, but $\sigma(u) = (1 + \tanh(u/2)) / 2$, as in `times_sigmoid` of
#    [`models/variants.py`](../minivit/models/variants.py).
# 3. Add `"sigmoid"` to the forms of `test_gelu` in [`tests/engine/test_twins.py`](../tests/engine/test_twins.py).
# 4. Run `python -m pytest tests/engine`: it compares the two, values and gradients.
#
# Then break your derivative on purpose and run it again. As long as you have not seen a test fail, you do not know what it tests.

# %% [markdown]
# ## In the paper
#
# | paper | here |
# |---|---|
# | Eqs. 1 to 4 | `ViT.encode`, `EncoderBlock.forward`, `ViT.pool` |
# | Eqs. 5 to 8 | `MultiHeadSelfAttention.forward`, `fused.attention` |
#
# minivit differs from the paper in a number of small things. [`docs/departures.md`](../docs/departures.md) lists each of them, beside
# what the paper says and what the authors' code does. Such a list is worth more than the claim to have followed the paper.
#
# And here is the whole paper, line by line: every tag in the source, with the code on its line.

# %%
for tag in sorted(reading.tags(), key=lambda tag: (not tag.tag.startswith("("), tag.tag, tag.file)):
    print(f"{tag.tag:<9}{tag.file + ':' + str(tag.line):<30}{tag.inside:<32}{tag.code[:70]}")

# %% [markdown]
# ## Break it and see
#
# `record` has a rule, which its docstring states: a `vjp` returns gradients, and it *never changes* the `dy` that it receives. Here
# is an op that breaks the rule to save an array. Used alone, it works perfectly.


# %%
def hasty_negative(a):
    """-a, with a vjp that changes the sign of dy in place."""

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
# x - x is 0 for every x, so its gradient must be 0. But the addition passed the *same* array to both of its inputs, and one of
# them changed it. No shape is wrong, no number is infinite, and a network with such an op even learns a little. That is why
# `gradcheck` keeps a copy of what it passes, and compares.
#
# There is a second rule of this kind: a `vjp` may return `dy` itself, views of it, or new arrays, but *each new array for one input
# alone*. What goes wrong if an op returns the same new array for two inputs?
#
# <details><summary>Answer</summary>
#
# A new array belongs to the input that receives it, so the backward pass adds later gradients to it in place. If two inputs
# receive the same array, what arrives for one of them is added to the gradient of the other as well.
#
# </details>
#
# **A stretch task:** write the inspector that finds ops which break these rules. `out._node.vjp` is the vjp of the op that computed
# the Tensor `out`.


# %% exercise="rule_broken"
def rule_broken(op, a, b):
    """What is wrong with op(a, b): "changes dy", "shares an array", "wrong gradient" or ""; a and b are float64 arrays."""
    # --- solution
    out = op(Tensor(a, requires_grad=True), Tensor(b, requires_grad=True))
    dy = np.random.default_rng(0).standard_normal(out.shape)
    handed = dy.copy()
    first, second = (np.asarray(gradient) for gradient in out._node.vjp(handed))
    if not np.array_equal(handed, dy):
        return "changes dy"
    if np.shares_memory(first, second) and not np.shares_memory(first, handed):
        return "shares an array"
    try:
        minivit.gradcheck(op, a, b)
    except minivit.GradientError:
        return "wrong gradient"
    return ""
    # --- end


# %%
def double_sum(a, b):
    """2 (a + b), with one gradient for both."""

    def vjp(dy):
        gradient = 2.0 * dy
        return gradient, gradient

    return record(2.0 * (a.data + b.data), (a, b), vjp)


a, b = np.random.default_rng(1).standard_normal((2, 2, 3))
for name, op in {
    "a + b": lambda a, b: a + b,
    "a + (-b), hasty": lambda a, b: a + hasty_negative(b),
    "2 (a + b), one array": double_sum,
}.items():
    print(f"{name:<22}{rule_broken(op, a, b) or 'fine'}")

# %% [markdown]
# The last step of the second op is the library's own addition, whose vjp breaks no rule. But the addition passes the same array to
# a and to the hasty op, so the gradient of *a* is wrong: a broken rule harms others.

# %% [markdown]
# ## The same in PyTorch
#
# You can now read PyTorch and timm in the same way. Here is where the same ideas are, in torch 2 and timm 1:
#
# | idea | minivit | PyTorch and timm |
# |---|---|---|
# | tape and backward pass | `engine/tensor.py` | `torch/csrc/autograd/engine.cpp`, in C++ |
# | the gradient of each op | its `vjp`, beside the op | a list of formulas, `tools/autograd/derivatives.yaml` |
# | gradient check | `engine/gradcheck.py` | `torch/autograd/gradcheck.py` |
# | parameters by name | `nn/module.py` | `torch/nn/modules/module.py` |
# | AdamW | `training/optim.py` | `torch/optim/adamw.py` |
# | the model | `models/vit.py` | `timm/models/vision_transformer.py`: `VisionTransformer`, `Block` |
# | patches and positions | `PatchEmbedding`, `resize_positions` | `timm/layers/patch_embed.py`, `pos_embed.py` |
# | the training loop | `training/loop.py` | `train.py` in timm's repository |
#
# In PyTorch, your own `vjp` goes into a subclass of `torch.autograd.Function`. It has the same trap, and PyTorch's `gradcheck`
# does not find it:

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    x = torch.linspace(-4, 4, 9, dtype=torch.float64, requires_grad=True)
    theirs = x * torch.sigmoid(1.702 * x)
    theirs.sum().backward()
    out, derivative = np.empty(9), np.empty(9)
    gelu_sigmoid(np.linspace(-4, 4, 9), out, derivative)
    agree("gelu_sigmoid", out, theirs)
    agree("its derivative", derivative, x.grad)

    class HastyNegative(torch.autograd.Function):
        """-x, with a backward pass that changes dy in place."""

        @staticmethod
        def forward(ctx, x):
            return -x

        @staticmethod
        def backward(ctx, dy):
            dy *= -1.0
            return dy

    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    (x + HastyNegative.apply(x)).backward(torch.ones(3, dtype=torch.float64))
    print("the gradient of x + (-x) in PyTorch:", x.grad.tolist())
    print("torch.autograd.gradcheck says:", torch.autograd.gradcheck(HastyNegative.apply, x))

# %% [markdown]
# ## What came before and after
#
# - [Wengert, 1964](https://doi.org/10.1145/355586.364791) computes derivatives by a program: it decomposes a function into elementary steps
#   and differentiates each. The list of these steps is still called a Wengert list; it is our tape.
# - [Baydin et al., 2015](https://arxiv.org/abs/1502.05767) survey automatic differentiation and its relation to machine learning.
# - PyTorch ([Paszke et al., 2019](https://arxiv.org/abs/1912.01703)) records the tape while ordinary Python code runs, as minivit does.
# - [micrograd](https://github.com/karpathy/micrograd) is a tiny engine for single numbers with PyTorch's way of calling: your lesson
#   01. After this course you can read it in a few minutes.
# - timm publishes training recipes together with its models; [Wightman et al., 2021](https://arxiv.org/abs/2110.00476) show how much a
#   recipe matters: a plain ResNet-50 reaches 80.4 % on ImageNet with a modern one.

# %% [markdown]
# ## Summary
#
# - Read a program with a map, then along one path, then by questions; let the program show what it does.
# - The forward pass is a mountain of calls, the backward pass reads the tape in reverse, and each op brings its own `vjp`.
# - A change needs a test that you have seen fail, and a twin that says what is meant.

# %% [markdown]
# ## What comes next
#
# There is nothing in minivit that you could not read now. You began with the derivative of a single product, and you have met
# everything between `minivit train` and the last gradient. Some ways to go on:
#
# - Look at a photograph with published weights: [lesson 18](18_photograph.ipynb). Read the paper from the beginning:
#   [lesson 20](20_paper.ipynb).
# - Train on photographs: `minivit train --dataset cifar10`, or on your own with `--dataset folder:PATH`.
# - Return to [lesson 00](00_start.ipynb), and explain it to somebody. That is the best exercise, and nothing checks it.
