# %% [markdown]
# # 00 · Start: what you will build
#
# *About 25 minutes. Wants Python and a little NumPy. In the paper: the abstract, Fig. 1, and what Table 2 counts.*
#
# You will see that everything works, how a lesson goes, and what stands at the end. With your first two functions you
# then measure how well a trained Vision Transformer does.

# %% tags=["keep"]
import importlib.util
import sys

import numpy as np
from matplotlib.figure import Figure

from minivit import no_grad
from minivit.data.shapes import shapes

# %% [markdown]
# ## The question
#
# A Vision Transformer looks at an image and says what it shows. Nobody wrote down for it what a star is. How can a pile of multiplications do
# that, and could you build one yourself, *every line of it*, with nothing but arrays?
#
# You can, and in this course you will. It follows one paper, *An Image is Worth 16x16 Words* (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929),
# and leaves nothing out that makes it work:
#
# - **The engine**: [01](01_scalars.ipynb) slopes of single numbers, [02](02_tensors.ipynb) of arrays, [03](03_products.ipynb) of matrix products, [04](04_layers.ipynb) layers.
# - **The model**: [05](05_patches.ipynb) patches, [06](06_positions.ipynb) positions, [07](07_attention.ipynb) attention, [08](08_block.ipynb) the block, [09](09_vit.ipynb) the whole.
# - **Training it**: [10](10_optimisers.ipynb) optimisers, [11](11_training.ipynb) the loop, [12](12_inside.ipynb) a look inside, [13](13_finetuning.ipynb) fine-tuning.
# - **And further**: [14](14_hybrids.ipynb) convolutions, [15](15_selfsupervision.ipynb) learning without labels, [16](16_speed.ipynb) speed, [17](17_book.ipynb) `minivit` itself, read as a book.
#
# ### How a lesson goes
#
# A lesson is a notebook. Run its cells from above to below, each with Shift + Enter. Where it says **Exercise**, replace
# `raise NotImplementedError` (or the `...`) by your own answer, run the cell, and then the one below it, which checks:
#
# - ✓ it is right. ○ it is not done yet. ✗ it is wrong, and the line says what the mistake probably is.
# - Hints open with a click, each a little plainer than the one before. Full answers lie in the folder `solutions`.
# - You can always go on: what you have not solved, `minivit`'s own function does for you. Later lessons use what *you* built.
#
# When something behaves strangely, restart the kernel and run all cells from the top. Is everything there?

# %%
needs = {
    "Python 3.11 or newer": sys.version_info >= (3, 11),
    "NumPy 2 or newer": int(np.__version__.split(".")[0]) >= 2,
    "matplotlib, for pictures": importlib.util.find_spec("matplotlib") is not None,
    "ipywidgets, for sliders": importlib.util.find_spec("ipywidgets") is not None,
}
for need, is_there in needs.items():
    print("✓" if is_there else "✗", need)

# %% [markdown]
# If one has a ✗, run `%pip install -e "..[lessons]"` in a cell of its own and restart the kernel. Without sliders you miss
# nothing but the sliders.

# %% [markdown]
# ## The picture
#
# Four pictures from the end of the road; you need not understand them yet. The first is the heart of all training. A calculation is a graph, from left to right. In the lower half of
# each box stands how fast the result, on the far right, would rise if this number did. You build the machine that finds them in [lesson 01](01_scalars.ipynb).

# %%
from minivit.insight.attention import attention_rollout
from minivit.insight.embeddings import position_similarity
from minivit.insight.figures import draw_images, draw_positions
from minivit_lessons import trained_model
from minivit_lessons.pictures import gallery

show(
    gallery.draw_small_network(),
    "A graph of boxes: inputs and weights on the left, a loss on the right; below every number its gradient.",
)

# %% [markdown]
# A Transformer reads sequences. So an image is cut into patches, 64 of them here, to be read like the words of a sentence: [lesson 05](05_patches.ipynb).

# %%
data = shapes("test", count=500)  # drawn on the spot: ten kinds of shapes, 32 x 32 pixels
model = trained_model()  # a small Vision Transformer that comes with the course

star = data.images[list(data.labels).index(data.classes.index("star"))]
show(gallery.draw_patches(star, 4), "A star of 32 x 32 pixels, and the same cut into eight rows of eight patches.")

# %% [markdown]
# Which patches does the trained network look at when it answers? Bright is much, dark is little. That is *attention*: you write it in [lesson 07](07_attention.ipynb) and
# make such maps in [lesson 12](12_inside.ipynb). If you see a slider, move it to other images.


# %%
def draw_attention(first):
    """Five images under the network's answers, and below each where the answer comes from."""
    pixels = data.images[first : first + 5]
    answers = [data.classes[k] for k in model.predict(pixels).argmax(axis=1)]
    figure = Figure(figsize=(6.8, 3), layout="constrained")
    draw_images(figure, pixels, {"attention": attention_rollout(model, pixels)}, answers)
    return figure


explore(
    draw_attention,
    "Five images with the network's answers; below, its attention lies bright on the shapes and along their edges.",
    first=list(range(0, 50, 5)),
)

# %% [markdown]
# And nobody tells the network where a patch lies: it has to learn that rows and columns exist. Each small square below belongs to one of the 64 positions and shows which others the
# network has learned to take for like it, its neighbours first of all: [lesson 06](06_positions.ipynb).

# %%
figure = Figure(figsize=(5.4, 4.6))
draw_positions(figure, position_similarity(model))
show(
    figure,
    "Eight by eight small maps of eight by eight squares; in each the own position is brightest, and its neighbours are lighter than the rest.",
)

# %% [markdown]
# ## One number at a time
#
# Now to the numbers. An image is an array of height x width x channels (red, green, blue), and each number in it a whole one from
# 0 to 255. Several images of one size make a *batch*, with one axis more in front. A shape is read from the left: 500 images, 32 rows, 32 columns, 3 channels.

# %%
images = data.images
print(images.shape, images.dtype)
print("a pixel of the first image:", images[0, 16, 10])  # row 16, column 10

# %% [markdown]
# Most mistakes in this field are mistakes of shape, so try to say shapes before you print them. This one first in your head:

# %% exercise="shape_of_crop"
# --- solution -> shape_of_crop = ...  # the shape, as a tuple
shape_of_crop = (10, 16, 32)
# --- end

# %% [markdown]
# A network wants small numbers, around 0. So a pixel x becomes $(x - 127.5) / 127.5$: black, 0, becomes -1 and white, 255, becomes 1.

# %%
for x in (0, 64, 127, 128, 255):
    print(f"{x:3d} becomes {(x - 127.5) / 127.5:+.3f}")

# %% [markdown]
# ## All at once
#
# You could visit 500 · 32 · 32 · 3 = 1,536,000 numbers in a loop. NumPy does it in a line: an operation with an array means the operation with each element.
#
# Two things need care. Pixels are `uint8`, a type of one byte that holds 0 to 255 *and nothing else*: 100 - 127 is no -27 there, but 229. And the result
# shall be `float32`: four bytes a number are precise enough for networks, and everything in this course is stored so.


# %% exercise="scale_pixels"
def scale_pixels(pixels):
    """Pixels from 0 to 255 as numbers from -1 to 1: uint8 of any shape -> float32 of the same shape."""
    # --- solution
    return (pixels.astype(np.float32) - 127.5) / 127.5
    # --- end


# %%
scaled = scale_pixels(images)
print(scaled.shape, scaled.dtype, "from", scaled.min(), "to", scaled.max())

# %% [markdown]
# ## Your turn
#
# We hand your numbers to the trained network. For each image it returns ten numbers, one for each class: its *logits*. The
# largest is its answer. Here are those of one image:


# %%
def logits_of(x):
    """What the network says to images: (B, H, W, C) -> (B, 10)."""
    with no_grad():  # nothing is to be trained here, so it need not remember how it came to its answer
        return model(x).data


logits = logits_of(scaled)
for name, logit in zip(data.classes, logits[0], strict=True):
    mark = "  <-- this is what it shows" if name == data.classes[data.labels[0]] else ""
    print(f"{name:10}{logit:6.2f}{mark}")

# %% [markdown]
# How often is it right? The share of images where the largest logit stands at the right class is the *accuracy*, the
# number by which the paper compares everything.


# %% exercise="accuracy"
def accuracy(logits, labels):
    """The share of images that are answered right: (B, K), (B,) -> a number from 0 to 1."""
    # --- solution
    answers = logits.argmax(axis=1)  # (B,)
    return (answers == labels).mean()
    # --- end


# %%
print(f"accuracy on {len(images)} images that it has never seen: {accuracy(logits, data.labels):.1%}")

mistaken = np.flatnonzero(logits.argmax(axis=1) != data.labels)
for i in mistaken[:5]:
    print(f"image {i}: a {data.classes[data.labels[i]]} taken for a {data.classes[logits[i].argmax()]}")

# %% [markdown]
# ## In the paper
#
# An image is $x \in \mathbb{R}^{H \times W \times C}$ (section 3.1). The paper writes of one image where the code has a batch of B: one axis more in front, everywhere.
# How pixels are scaled it does not say; the authors' published code does what you did, and so does `minivit`
# ([`preprocess`](../minivit/preprocessing.py)). Table 2 is a table of accuracies: the best there, ViT-H/14, reaches 88.55 % on ImageNet's 1,000 classes.
#
# | paper | here |
# |---|---|
# | $H, W, C$ | `images.shape[1:]` |
# | B (not in the paper) | `len(images)` |
# | number of classes, K | `logits.shape[1]` |
# | accuracy (Table 2) | `accuracy(logits, labels)` |

# %% [markdown]
# ## Break it and see
#
# What if one forgets to scale, or scales in another way than in training? No shape changes and no error comes. Add a way of your own to the list.

# %%
mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet's images
ways = {
    "yours: -1 to 1": scale_pixels(images),
    "not at all: 0 to 255": images,
    "0 to 1": images / 255,
    "bytes: (x - 127) / 127": (images - 127) / 127,  # below 127 it wraps around
    "ImageNet's mean and deviation": (images / 255 - mean) / deviation,
    "blue, green, red": scale_pixels(images)[..., ::-1],
}
accuracies = {way: accuracy(logits_of(x.astype(np.float32)), data.labels) for way, x in ways.items()}
show(
    gallery.draw_accuracies(accuracies, chance=0.1),
    "Accuracy by way of scaling: high for the right one, below one in four for unscaled pixels, for 0 to 1 and for wrapped bytes; a little lower than right for ImageNet's.",
)

# %% [markdown]
# Three of them make a network that knows ten shapes little better than one that guesses. The fourth is worse in another way: it works, and
# costs some points that nobody misses. It is the commonest mistake with published weights. And the last, colours in the wrong order, does no harm here: can you say why?

# %% [markdown]
# ## Summary
#
# - Images are arrays (B, H, W, C); shapes are read from the left, and said before they are printed.
# - Pixels become numbers from -1 to 1, in float32, the same way in training and after.
# - Accuracy is the share of rows whose largest logit stands at the label.
# - `check` tells you more than right or wrong, and you can always go on.

# %% [markdown]
# ## What comes next
#
# The network you just measured began with random numbers. Training turned each of them a little in the right direction, again and
# again. In [lesson 01](01_scalars.ipynb) you build what knows the direction.
