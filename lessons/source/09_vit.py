# %% [markdown]
# # 09 · The whole Vision Transformer
#
# *Comes after lessons [05](05_patches.ipynb) to [08](08_block.ipynb). In the paper: section 3.1,
# Fig. 1, Eqs. 1 to 4, Table 1.*
#
# In this lesson your parts become one model: the Vision Transformer of the paper, with every parameter, on your own engine.
# You will count its parameters, load trained weights into it, and train it.

# %% tags=["keep"]
import numpy as np

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons import trained_model
from minivit_lessons.pictures import vit as pictures
from minivit_lessons.pictures.vit import draw_accuracies, draw_figure_one, draw_learning, draw_predictions

Tensor, softmax, cross_entropy, parameter = built("Tensor", "softmax", "cross_entropy", "parameter")
Module, Linear, LayerNorm = built("Module", "Linear", "LayerNorm")
PatchEmbedding, Tokens, EncoderBlock = built("PatchEmbedding", "Tokens", "EncoderBlock")

# %% [markdown]
# ## The question
#
# You have a layer that turns an image into patch embeddings (lesson 05), one that adds a class token and position embeddings
# (06), and encoder blocks in which tokens attend to one another (07, 08). The end is missing. The last block returns 65
# tokens of 64 numbers, and we need one number for each of ten classes. Which token should represent the whole image?
#
# A second question follows. Is what you have built *the* Vision Transformer, or only something similar? There are two
# hard tests. It must have exactly as many parameters as the published models, and with the same weights it must compute the
# same logits as the trained model.

# %% [markdown]
# ## The picture
#
# This is Fig. 1 of the paper, drawn from the arrays of the trained model that comes with these lessons, while it classifies a
# heart. All colours and numbers come from this model. Read the picture from the bottom up, and say for each box in which
# lesson you built it.

# %%
data = shapes("test", count=200)
pixels, labels = data.images, data.labels
trained = trained_model()


def figure_one(i):
    """The paper's Fig. 1 for one of our images."""
    logits, seen = trained(preprocess(pixels[i : i + 1]), return_intermediates=True)
    arrays = trained.state()
    z0 = np.concatenate([arrays["cls"], seen["embedding"]], axis=1) + arrays["positions.embedding"]  # Eq. 1
    tokens = [z0[0], *(seen[f"blocks.{block}.tokens"][0] for block in range(4))]
    top, left, bottom, right = data.boxes[i]
    middle = (top + bottom) // 8 * 8 + (left + right) // 8 + 1  # the patch in the centre of the shape, counted from 1
    probabilities = softmax(Tensor(logits.data)).data[0]
    return draw_figure_one(pixels[i], tokens, probabilities, data.classes, 4, heads=2, mlp_dim=128, middle=middle)


explore(
    figure_one,
    pictures.FIGURE_ONE,
    i=[4, 0, 1, 2, 3, 5, 6, 7, 8, 9],
)

# %% [markdown]
# ## One number at a time
#
# Start with one image. Pass it through new layers, whose weights are still random, and watch the shapes.

# %%
rng = np.random.default_rng(0)
images = Tensor(preprocess(pixels[:1]))
patches = PatchEmbedding(4, 3, 64, rng)(images)
z = Tokens(64, 64, rng)(patches)
deep = z
for _ in range(4):
    deep = EncoderBlock(64, 2, 128, rng)(deep)
for name, stage in {"image": images, "patch embeddings": patches, "tokens": z, "after 4 blocks": deep}.items():
    print(f"{name:17} {stage.shape}")

# %% [markdown]
# The paper uses the class token, token 0, which belongs to no patch. It starts as the same vector for every
# image, so everything that it holds in the end comes from the patches, through attention. The class token after the last block and a
# final LayerNorm is the **representation** of the image: D numbers that describe it. The last layer of the model, one linear layer with
# a column for each class, turns the representation into logits. It is called the **classification head**, or *head* (not to be confused with
# an attention head):
#
# $$y = \text{LN}(z_L^0), \qquad \text{logits} = y\, W_\text{head} + b_\text{head} .$$


# %% exercise="classify"
def classify(z, norm, head):
    """The logits from the tokens that leave the last block: (B, N + 1, D) -> (B, K)."""
    # --- solution
    return head(norm(z[:, 0]))  # (B, D), then (B, K)
    # --- end


# %% [markdown]
# One detail of the initialisation. The weight and bias of the head start as *zeros*, so all ten logits are 0 for every
# image, and the model prefers no class. How large is its loss then? You can tell without running anything.

# %% exercise="initial_loss"
# --- solution -> initial_loss = ...  # the cross-entropy of ten logits that are all 0
initial_loss = np.log(10)
# --- end

# %% [markdown]
# ## All at once
#
# Remember that number: for K classes it is ln K. If the first loss of a network is far from it, something is wrong before
# training has begun.
#
# Now the model. Its forward pass needs one line for each part of the figure; most of the work is to make the parts.
# All of them draw their random numbers from the same `rng`, one after the other.


# %% exercise="ViT"
class ViT(Module):
    """The Vision Transformer: a Tensor of images (B, H, W, C) -> logits (B, K)."""

    def __init__(
        self,
        image_size=32,
        patch_size=4,
        channels=3,
        dim=64,
        depth=4,
        heads=2,
        mlp_dim=128,
        num_classes=10,
        seed=0,
    ):
        rng = np.random.default_rng(seed)
        # --- solution
        patches = (image_size // patch_size) ** 2  # N
        self.embedding = PatchEmbedding(patch_size, channels, dim, rng)
        self.tokens = Tokens(patches, dim, rng)
        self.blocks = [EncoderBlock(dim, heads, mlp_dim, rng) for _ in range(depth)]
        self.encoder_norm = LayerNorm(dim)
        self.head = Linear(dim, num_classes, rng)
        self.head.weight = parameter(np.zeros((dim, num_classes)))
        # --- end

    def forward(self, images):
        # --- solution
        z = self.tokens(self.embedding(images))  # (B, N + 1, D)
        for block in self.blocks:
            z = block(z)
        return classify(z, self.encoder_norm, self.head)
        # --- end


# %% [markdown]
# A new model must have the loss of your answer above. Then comes one of the two hard tests: load the weights of the trained
# model, and compare the logits. Its parameters have the same names as yours, except for two.

# %%
model = ViT()
loss = cross_entropy(model(Tensor(preprocess(pixels[:10]))), labels[:10])
print(f"loss of a new model: {loss.item():.4f}")

YOURS = {"cls": "tokens.cls", "positions.embedding": "tokens.positions"}


def fill(model, arrays):
    """Copy arrays into a model's parameters; every name and every shape must fit."""
    own = dict(model.named_parameters())
    for name, array in arrays.items():
        tensor = own.pop(YOURS.get(name, name))
        assert tensor.shape == array.shape, f"{name}: {array.shape} into {tensor.shape}"
        tensor.data = array.copy()
    assert not own, f"there are no values for {', '.join(own)}"


fill(model, trained.state())
logits = model(Tensor(preprocess(pixels[:10])))
gap = np.abs(logits.data - trained(preprocess(pixels[:10])).data).max()
print(
    f"with trained weights: logits up to {np.abs(logits.data).max():.1f}, largest difference from minivit's {gap:.0e}"
)

probabilities = softmax(logits).data
show(
    draw_predictions(pixels[:10], probabilities, labels[:10], data.classes),
    pictures.PREDICTIONS,
)

# %% [markdown]
# ## Your turn
#
# Each of these percentages is computed by code that you wrote, down to the sums of lesson 02. Your model even makes the same mistake as
# `minivit`'s: it takes the star that you cut into patches in lesson 05 for an arrow.
#
# Now the other hard test. Table 1 of the paper gives the number of parameters of ViT-B, -L and -H: 86, 307 and 632
# million. Count them layer by layer, without building a model that large. The function does not need the number of attention heads.
# Why not?
#
# <details><summary>Answer</summary>
#
# With k heads, each has queries, keys and values of width D / k. Together they are D wide, whatever k is: `qkv` is always D x 3 D and
# `out` D x D.
#
# </details>


# %% exercise="count_parameters"
def count_parameters(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    """How many numbers a Vision Transformer learns."""
    # --- solution
    patches = (image_size // patch_size) ** 2
    embedding = patch_size**2 * channels * dim + dim
    tokens = dim + (patches + 1) * dim  # the class token, and a position for each token
    norm = 2 * dim
    attention = (dim * 3 * dim + 3 * dim) + (dim * dim + dim)  # qkv, out
    mlp = (dim * mlp_dim + mlp_dim) + (mlp_dim * dim + dim)
    head = dim * num_classes + num_classes
    return embedding + tokens + depth * (2 * norm + attention + mlp) + norm + head
    # --- end


# %%
print(f"yours here  {count_parameters(32, 4, 64, 4, 128, 10):>12,}", sum(p.data.size for p in model.parameters()))
for name, patch_size, dim, depth, mlp_dim in (
    ("ViT-B/16", 16, 768, 12, 3072),
    ("ViT-L/16", 16, 1024, 24, 4096),
    ("ViT-L/32", 32, 1024, 24, 4096),
    ("ViT-H/14", 14, 1280, 32, 5120),
):
    print(f"{name:11} {count_parameters(224, patch_size, dim, depth, mlp_dim, 1000):>12,}")

# %% [markdown]
# The published files hold exactly these numbers. (Table 1 does not say which patch size and head it counts; its 307
# million fit ViT-L/32. Why do larger patches mean *more* parameters?)
#
# <details><summary>Answer</summary>
#
# The patch embedding has P² · 3 · D numbers, four times as many for P = 32 as for P = 16. The position embeddings become fewer, 50
# instead of 197, but they are only D numbers each. So for L/32 the model has two million parameters more, and takes less time, since there are
# fewer tokens.
#
# </details>
#
# Last, the model must learn. Write one step of training in its simplest form, gradient descent as in lesson 04: compute the
# logits and the loss, run the backward pass, and move each parameter a little in the direction opposite to its gradient. Lesson
# 10 has better rules than this one.


# %% exercise="train_step"
def train_step(model, images, labels, lr):
    """One step of gradient descent, which changes the model's parameters. Returns the loss before it, a number."""
    # --- solution
    for p in model.parameters():
        p.grad = None  # gradients add up: forget the last step's
    loss = cross_entropy(model(images), labels)
    loss.backward()
    for p in model.parameters():
        p.data = p.data - lr * p.grad
    return loss.item()
    # --- end


# %% [markdown]
# A small ViT, 30 images, 150 steps. A model can memorise thirty images, and that is the purpose of the test: a model that cannot
# even do this has a mistake in it.

# %%
few = shapes("train", count=30)
batch = Tensor(preprocess(few.images))
small = ViT(patch_size=8, dim=32, depth=2, heads=2, mlp_dim=64)
losses = [train_step(small, batch, few.labels, lr=0.2) for _ in range(150)]
right = (small(batch).data.argmax(axis=-1) == few.labels).mean()
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, {right:.0%} of the 30 images right")
show(draw_learning(losses), pictures.LEARNING)

# %% [markdown]
# ### A harder task: how many multiplications?
#
# Parameters say how much memory a model needs. What a forward pass costs depends on the multiplications in its matrix products. For
# ViT-B/16 there are 17.6 billion for each image of 224 x 224 pixels. This task has no hints.


# %% exercise="count_multiplications"
def count_multiplications(image_size, patch_size, dim, depth, mlp_dim, num_classes, channels=3):
    """How many multiplications the matrix products of one image's forward pass need."""
    # --- solution
    N = (image_size // patch_size) ** 2
    T = N + 1
    embedding = N * patch_size**2 * channels * dim
    attention = T * dim * 3 * dim + 2 * T * T * dim + T * dim * dim  # qkv, scores and weighted means, out
    mlp = 2 * T * dim * mlp_dim
    return embedding + depth * (attention + mlp) + dim * num_classes
    # --- end


# %%
for name, image_size, patch_size in (
    ("ViT-B/32", 224, 32),
    ("ViT-B/16", 224, 16),
    ("ViT-B/16", 384, 16),
    ("ViT-B/8", 224, 8),
):
    billions = count_multiplications(image_size, patch_size, 768, 12, 3072, 1000) / 1e9
    print(f"{name:9} {image_size} pixels: {billions:5.1f} billion multiplications")

# %% [markdown]
# ## In the paper
#
# You have now built all four equations of section 3.1:
#
# $$z_0 = [x_\text{class};\ x_p^1 E;\ \cdots;\ x_p^N E] + E_\text{pos} \tag{1}$$
# $$z'_\ell = \text{MSA}(\text{LN}(z_{\ell-1})) + z_{\ell-1} \tag{2}$$
# $$z_\ell = \text{MLP}(\text{LN}(z'_\ell)) + z'_\ell \tag{3}$$
# $$y = \text{LN}(z_L^0) \tag{4}$$
#
# | paper | here |
# |---|---|
# | $x_\text{class}$, $E_\text{pos}$ | `model.tokens.cls`, `model.tokens.positions` |
# | $E$ | `model.embedding.weight` |
# | $L$, "Layers" in Table 1 | `depth`, `len(model.blocks)` |
# | $D$, "Hidden size" | `dim` |
# | "MLP size", "Heads" | `mlp_dim`, `heads` |
# | $y$, and the classification head | `classify` |
#
# ViT-B/16 is your class with `ViT(224, 16, 3, 768, 12, 12, 3072, 1000)`. While the paper's models are trained on a large data set, their
# head has one hidden layer more. For the data set of the task itself it is replaced by the single layer of zeros that you built (lesson 13).
# The authors' model can also set random activations to 0 during training (lesson 11), which `minivit` offers and these lessons leave out.

# %% [markdown]
# ## Break it and see
#
# The model is right, the weights are right, and still the predictions can be wrong. The trained model was trained with pixels
# from -1 to 1. Other programs scale pixels from 0 to 1, or subtract a mean and divide by a standard deviation of each channel, which were
# measured on ImageNet; some store blue first and red last. All of these are common, all have the right shape, and no error
# is raised. How many predictions does each cost? Before you run the cell, put the four in order, from
# the most accurate to the least.

# %%
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
SCALES = {
    "-1 to 1": lambda x: x / 127.5 - 1,
    "0 to 1": lambda x: x / 255,
    "ImageNet's\nmean, std": lambda x: (x / 255 - MEAN) / STD,
    "-1 to 1, blue first": lambda x: (x / 127.5 - 1)[..., ::-1],
}
samples, accuracies = {}, {}
for name, scale in SCALES.items():
    inputs = scale(pixels.astype(np.float32))
    predictions = np.concatenate([model(Tensor(inputs[i : i + 50])).data.argmax(axis=-1) for i in range(0, 200, 50)])
    samples[name], accuracies[name] = inputs[4, :, :, 0], float((predictions == labels).mean())
show(
    draw_accuracies(samples, accuracies),
    pictures.SCALES,
)

# %% [markdown]
# <details><summary>What the four scales cost</summary>
#
# From 0 to 1 the picture looks the same to you, only paler, but the model has never seen such inputs: three quarters of the predictions are
# wrong. With ImageNet's mean and standard deviation the damage is small enough to be overlooked, so it is the more common
# problem. With the authors' published weights it costs accuracy too, and nothing reports it. The order of the colours costs
# hardly anything *here*, since our shapes come in all colours.
#
# </details>
#
# Now add two scales: turn the image upside down (`x[:, ::-1]`), and exchange dark and light. Guess before you run
# them: which of the ten shapes can suffer?
#
# <details><summary>Answer</summary>
#
# Exchanging dark and light changes nothing, since there are light shapes on dark backgrounds and dark ones on light. With images
# upside down, the model loses about one prediction in fifteen, nearly all of them triangles and hearts: it never saw one upside
# down.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# With `torch.nn.TransformerEncoder`, a stack of the encoder layers of lesson 08, the whole model is some twenty lines:
#
# ```python
# class TorchViT(torch.nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.embedding = torch.nn.Conv2d(3, 64, kernel_size=4, stride=4)
#         self.cls = torch.nn.Parameter(torch.zeros(1, 1, 64))
#         self.positions = torch.nn.Parameter(torch.zeros(1, 65, 64))
#         self.blocks = torch.nn.TransformerEncoder(block, num_layers=4)
#         self.encoder_norm = torch.nn.LayerNorm(64, eps=1e-6)
#         self.head = torch.nn.Linear(64, 10)
#
#     def forward(self, images):  # (B, 3, 32, 32)
#         patches = self.embedding(images).flatten(2).transpose(1, 2)  # (B, N, D)
#         cls = self.cls.expand(len(images), -1, -1)
#         z = torch.cat([cls, patches], dim=1) + self.positions
#         return self.head(self.encoder_norm(self.blocks(z)[:, 0]))
# ```
#
# What differs:
#
# - Images are channels first, (B, 3, H, W), so the patch embedding `Conv2d` has a weight of shape (D, 3, P, P). Lesson 05 showed that it computes
#   the same as your matrix E.
# - `TransformerEncoder(block, 4)` makes four *copies* of `block`: they start with the same numbers, the mistake that the exercise
#   warns of. Initialise them again before you train.
# - A head of PyTorch starts with random numbers, so the first loss is only near ln 10.
#
# Does it compute the same logits with your weights?

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):

    class TorchViT(torch.nn.Module):
        """Your model, of PyTorch's parts."""

        def __init__(self):
            super().__init__()
            gelu = torch.nn.GELU(approximate="tanh").forward
            block = torch.nn.TransformerEncoderLayer(64, 2, 128, 0.0, gelu, 1e-6, True, True)
            self.embedding = torch.nn.Conv2d(3, 64, kernel_size=4, stride=4)
            self.cls = torch.nn.Parameter(torch.zeros(1, 1, 64))
            self.positions = torch.nn.Parameter(torch.zeros(1, 65, 64))
            self.blocks = torch.nn.TransformerEncoder(block, num_layers=4, enable_nested_tensor=False)
            self.encoder_norm = torch.nn.LayerNorm(64, eps=1e-6)
            self.head = torch.nn.Linear(64, 10)

        def forward(self, images):
            patches = self.embedding(images).flatten(2).transpose(1, 2)
            z = torch.cat([self.cls.expand(len(images), -1, -1), patches], dim=1) + self.positions
            return self.head(self.encoder_norm(self.blocks(z)[:, 0]))

    RENAMED = {
        "tokens.": "", "blocks.": "blocks.layers.", "attention.qkv.": "self_attn.in_proj_",
        "attention.out": "self_attn.out_proj", "mlp.fc1": "linear1", "mlp.fc2": "linear2",
    }  # fmt: skip
    state = {}
    for name, values in model.named_parameters():
        for ours, theirs in RENAMED.items():
            name = name.replace(ours, theirs)
        array = values.data
        if name == "embedding.weight":
            array = array.reshape(4, 4, 3, 64).transpose(3, 2, 0, 1)  # (P, P, C, D) -> (D, C, P, P)
        elif array.ndim == 2:
            array = array.T
        state[name] = torch.from_numpy(array.copy())
    torch_model = TorchViT()
    torch_model.load_state_dict(state)
    inputs = torch.from_numpy(preprocess(pixels[:10]).transpose(0, 3, 1, 2).copy())
    agree("the logits of ten images", model(Tensor(preprocess(pixels[:10]))), torch_model(inputs), tolerance=1e-5)

# %% [markdown]
# ## What came before and after
#
# - [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762) introduced the Transformer, for sequences of words.
# - [Dosovitskiy et al., 2020](https://arxiv.org/abs/2010.11929), the paper of these lessons, applied it to patches. Trained on enough images, it reached
#   the accuracy of the best convolutional networks for less computation.
# - [Touvron et al., 2020](https://arxiv.org/abs/2012.12877) (DeiT) trained such models on ImageNet alone, on a single computer in less than three days, to
#   83.1 % accuracy.
# - [Liu et al., 2021](https://arxiv.org/abs/2103.14030) (Swin) let tokens attend only within windows that shift from layer to layer, so that the cost grows
#   linearly with the size of the image.
# - [Beyer et al., 2022](https://arxiv.org/abs/2205.01580) needed only a few changes to the original recipe to reach 76 % on ImageNet after 90 passes
#   through the data, among them the mean of all patches instead of a class token.

# %% [markdown]
# ## Summary
#
# - The class token after the last block and a LayerNorm is the representation of the image; a linear layer turns it into logits (Eq. 4).
# - A head of zeros makes the first loss ln K. Check it every time.
# - Your model has every parameter of the published ones, and with the same weights it computes the same numbers.
# - The scale of the pixels belongs to a model as much as its weights do.

# %% [markdown]
# ## What comes next
#
# `tests/lessons/test_own_engine.py` trains a small model of your class on your engine until it recognises more than nine of ten
# test shapes, in a minute or two on one core. The training needs a better rule than plain gradient descent.
# [Lesson 10](10_optimisers.ipynb) builds Adam and related optimisers.
