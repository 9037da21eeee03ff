# %% [markdown]
# # 00 · Start: what you will build
#
# *Needs Python and a little NumPy. In the paper: the abstract, Fig. 1, and what Table 2 counts.*
#
# You will check that everything works, see how a lesson is organised, and look at what you will have built at the end. With your
# first two functions you then measure how well a trained Vision Transformer does.

# %% tags=["keep"]
import importlib.util
import sys

import numpy as np

from minivit import no_grad
from minivit.data.shapes import shapes

# %% [markdown]
# ## The question
#
# You show a picture to a program, and it answers: a star. Nobody told it in words what a star is. How can a large number of
# multiplications do that? And could you build such a program yourself, *every line of it*, with nothing but arrays?
#
# You can, and in this course you will. It follows one paper, *An Image is Worth 16x16 Words* (Dosovitskiy et al., ICLR 2021,
# [arXiv 2010.11929](https://arxiv.org/abs/2010.11929)). In 2017, the **Transformer** was invented: a network for
# sequences, such as the words of a sentence. The paper cuts an image into pieces, and gives the sequence of the pieces to a Transformer.
# That is a **Vision Transformer**.
#
# You begin with single numbers, build your own engine for arrays, then the parts of the network, then the whole, and train it. The
# list of all lessons is at the end of this one.
#
# ### How a lesson works
#
# A lesson is a notebook. Run its cells from top to bottom, each with Shift + Enter. Where it says **Exercise**, replace
# `raise NotImplementedError` (or the `...`) by your own answer and run the cell. Then run the cell below it, which checks the answer:
#
# - ✓ it is right. ○ it is not done yet. ✗ it is wrong, and the line says what the mistake probably is.
# - Below its title, each exercise says how difficult it is, how long it takes, and whether later lessons need it (*core*).
# - Hints open with a click; each tells a little more than the one before. `show_solution("name")` shows the answer and explains it.
#   All lessons with their answers are in the folder `solutions`.
# - A *stretch task* is harder, and has no hints. You may leave it out.
# - You can always go on: if an exercise is not solved, the lesson uses `minivit`'s own function. Later lessons use what *you* built.
#
# If something behaves strangely, restart the kernel and run all cells from the top. Is everything installed?

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
# If a line shows ✗, run `%pip install -e "..[lessons]"` in a new cell and restart the kernel. Only the sliders
# need ipywidgets.

# %% [markdown]
# ## The picture
#
# Here are four pictures of what you will build. You need not understand them yet. The first shows how training works: a
# calculation is a graph, from left to right. The lower half of each box holds a number that tells how strongly the result on the
# far right depends on this box. You build the program that computes these numbers in [lesson 01](01_scalars.ipynb).

# %%
from minivit.insight.attention import attention_rollout
from minivit.insight.embeddings import position_similarity
from minivit.insight.figures import draw_images, draw_positions
from minivit_lessons import trained_model
from minivit_lessons.display import new_figure
from minivit_lessons.pictures import gallery

show(
    gallery.draw_small_network(),
    "A graph of boxes: inputs and weights on the left, a loss on the right; below every number its gradient.",
)

# %% [markdown]
# A Transformer processes sequences. So an image is cut into pieces, here 64 of them, and they are processed like the words of a
# sentence: [lesson 05](05_patches.ipynb).

# %%
data = shapes("test", count=500)  # drawn on the spot: ten kinds of shapes, 32 x 32 pixels
model = trained_model()  # a small Vision Transformer that comes with the course

star = data.images[list(data.labels).index(data.classes.index("star"))]
show(gallery.draw_patches(star, 4), "A star of 32 x 32 pixels, and the same cut into eight rows of eight patches.")

# %% [markdown]
# Which pieces does the trained network look at? A piece keeps its colours if the network looks at it most, and is grey if
# the network does not look at it. You write the part of the network that decides this in [lesson 07](07_attention.ipynb), and make such maps in
# [lesson 12](12_inside.ipynb). If you see a slider, use it to look at other images.


# %%
def draw_attention(first):
    """Five images under the network's answers, and below each what the network looks at."""
    pixels = data.images[first : first + 5]
    answers = [data.classes[k] for k in model.predict(pixels).argmax(axis=1)]
    figure = new_figure(6.8, 3)
    draw_images(figure, pixels, {"attention": attention_rollout(model, pixels)}, answers)
    return figure


explore(
    draw_attention,
    "Five images with the network's answers; below, the shapes and their edges keep their colours, the rest is grey.",
    first=list(range(0, 50, 5)),
)

# %% [markdown]
# Nobody tells the network where a piece belongs: it has to learn that there are rows and columns. Each small square below
# belongs to one of the 64 positions. Its bright colours mark the positions that the network treats as similar to this one, above
# all the neighbours: [lesson 06](06_positions.ipynb).

# %%
figure = new_figure(5.4, 4.6)
draw_positions(figure, position_similarity(model))
show(
    figure,
    "Eight by eight small maps of eight by eight squares; in each the own position is brightest, and its neighbours are lighter than the rest.",
)

# %% [markdown]
# ## One number at a time
#
# Now to the numbers. An image is an array with three axes: height, width and **channel** (red, green, blue). An **axis** is one
# direction of an array. Each number is an integer from 0 to 255. Several images of the same size are stacked along one more axis
# in front, and form a *batch*. The lengths of all axes are the **shape** of an array. Read it from the left: 500 images, 32 rows, 32
# columns, 3 channels.

# %%
images = data.images
print(images.shape, images.dtype)
print("a pixel of the first image:", images[0, 16, 10])  # row 16, column 10

# %% [markdown]
# Most mistakes in this field are mistakes of shape. So say each shape before you print it. Work out this first one without the
# computer:

# %% exercise="shape_of_crop"
# --- solution -> shape_of_crop = ...  # the shape, as a tuple
shape_of_crop = (10, 16, 32)
# --- end

# %% [markdown]
# Networks work best with small numbers around 0. So a pixel x becomes $(x - 127.5) / 127.5$: black, 0, becomes -1, and white, 255,
# becomes 1.

# %%
for x in (0, 64, 127, 128, 255):
    print(f"{x:3d} becomes {(x - 127.5) / 127.5:+.3f}")

# %% [markdown]
# ## All at once
#
# You could go through 500 · 32 · 32 · 3 = 1,536,000 numbers in a loop. NumPy needs one line: an operation on an array is an
# operation on each of its elements.
#
# One thing needs care, the **dtype**: the type of an array's numbers. Pixels are `uint8`, a type of one byte that holds 0 to 255 *and
# nothing else*: 100 - 127 is not -27 there, but 229. The result must be `float32`: four bytes for
# each number, which is precise enough for networks. All networks of this course store their numbers in this type.


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
# We give your numbers to the trained network. It is a **model**: a function with many adjustable numbers, which training has set. It
# learned from 20,000 images, its **training set**. The images here are from another collection, the **test set**, which was not used for
# training. There are ten kinds of shapes, the **classes**. For each image the model returns ten numbers, one score for each class, which
# are called **logits**. The class with the largest logit is its answer. Here are the logits of one image:


# %%
def logits_of(x):
    """The logits of the network for images: (B, H, W, C) -> (B, 10)."""
    with no_grad():  # nothing is trained here, so the network need not remember how it computed its answer
        return model(x).data


logits = logits_of(scaled)
for name, logit in zip(data.classes, logits[0], strict=True):
    mark = "  <-- this is what it shows" if name == data.classes[data.labels[0]] else ""
    print(f"{name:10}{logit:6.2f}{mark}")

# %% [markdown]
# How often is it right? Each image has a **label**, the number of its right class. The share of images for which the largest logit
# is that of the label is called **accuracy**. The paper compares all models by this number.


# %% exercise="accuracy"
def accuracy(logits, labels):
    """The share of images whose largest logit is that of the label: (B, K), (B,) -> a number from 0 to 1."""
    # --- solution
    answers = logits.argmax(axis=1)  # (B,)
    return (answers == labels).mean()
    # --- end


# %%
print(f"accuracy on {len(images)} images that it has never seen: {accuracy(logits, data.labels):.1%}")

mistaken = np.flatnonzero(logits.argmax(axis=1) != data.labels)
for i in mistaken[:5]:
    print(f"image {i}: the label is {data.classes[data.labels[i]]}, the answer {data.classes[logits[i].argmax()]}")

# %% [markdown]
# Papers on data sets with a thousand classes often count an answer as right if the label is among the five largest logits. Such a
# number is called **top-5 accuracy**.


# %% exercise="top_k_accuracy"
def top_k_accuracy(logits, labels, k):
    """The share of images whose label is among the k largest logits: (B, K), (B,), k -> a number from 0 to 1."""
    # --- solution
    top = np.argsort(logits, axis=1)[:, -k:]  # (B, k): the classes of the k largest logits
    return (top == labels[:, None]).any(axis=1).mean()
    # --- end


# %%
for k in (1, 2, 3):
    print(f"top-{k} accuracy: {top_k_accuracy(logits, data.labels, k):.1%}")

# %% [markdown]
# ## In the paper
#
# An image is $x \in \mathbb{R}^{H \times W \times C}$ (section 3.1). The paper describes one image where the code has a batch of B
# images: in code there is one more axis in front, everywhere. The paper does not say how pixels are scaled; the authors' published code
# does what you did, and so does `minivit` ([`preprocess`](../minivit/preprocessing.py)). Table 2 is a table of accuracies: the best
# one, ViT-H/14, reaches 88.55 % on ImageNet, a data set of 1.28 million photographs of 1,000 classes. In a name such as ViT-B/16, B is
# the size of the model (Ti, S, B, L or H: Tiny, Small, Base, Large, Huge), and 16 is the side of a piece of the image in pixels.
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
# What if someone forgets to scale the pixels, or scales them in another way than in training? No shape changes, and there is no error.
# Guess first: which of the six ways below do harm, and how much? Then run the cell. Add another way to the list, if you like.

# %%
mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet's images
ways = {
    "yours: -1 to 1": scale_pixels(images),
    "not at all: 0 to 255": images,
    "0 to 1": images / 255,
    "bytes: (x - 127) / 127": (images - 127) / 127,  # below 127 it wraps around
    "ImageNet's mean and std": (images / 255 - mean) / std,
    "blue, green, red": scale_pixels(images)[..., ::-1],
}
accuracies = {way: accuracy(logits_of(x.astype(np.float32)), data.labels) for way, x in ways.items()}
show(gallery.draw_accuracies(accuracies, chance=0.1), gallery.SCALING_ALT)

# %% [markdown]
# <details><summary>What the bars show</summary>
#
# With three of the ways, the network is little better than one that guesses. ImageNet's mean and standard deviation do another
# kind of harm: the network still works but loses a few points, and nobody notices. This is the commonest mistake with published
# models.
#
# </details>
#
# The last way, colours in the wrong order, does hardly any harm here. Why? Would it do harm with photographs of fruit?
#
# <details><summary>Answer</summary>
#
# The shapes are drawn in random colours, so colour tells nothing about the class, and the network has learned to ignore it. To
# the network, swapped colours are just other random colours. With fruit, colour helps to tell a lemon from a lime, so a network
# learns to use it, and swapped channels do harm.
#
# </details>

# %% [markdown]
# ## What came before and after
#
# - [Rosenblatt, 1958](https://doi.org/10.1037/h0042519) described the perceptron, a model of nerve cells that changes its
#   connections and so learns to recognise patterns.
# - [LeCun et al., 1989](https://doi.org/10.1162/neco.1989.1.4.541) trained a single network for the whole way from an image of a
#   handwritten digit to its class.
# - [Krizhevsky, Sutskever and Hinton, 2012](https://doi.org/10.1145/3065386) trained a network with 60 million adjustable numbers on
#   1.2 million images of 1,000 classes. It won a competition with a top-5 error of 15.3 %; the second-best entry had 26.2 %.
# - [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762) introduced the Transformer, for translation.
# - [Dosovitskiy et al., 2020](https://arxiv.org/abs/2010.11929) applied it to images, almost unchanged: the paper of this course.

# %% [markdown]
# ## Summary
#
# - Images are arrays (B, H, W, C). Read shapes from the left, and say them before you print them.
# - Pixels become numbers from -1 to 1, in float32, in the same way in training and after it.
# - Accuracy is the share of images whose largest logit is that of the label.
# - `check` tells you more than right or wrong, and you can always go on.

# %% [markdown]
# ## What comes next
#
# The network that you just measured began with random numbers. Training changed each of them a little, again and again. In
# [lesson 01](01_scalars.ipynb) you build the program that finds the direction of each change. This is the whole course:
#
# - **The engine**: [01](01_scalars.ipynb) backpropagation for single numbers, [02](02_tensors.ipynb) tensors, [03](03_products.ipynb)
#   matrix products and the loss, [04](04_layers.ipynb) layers.
# - **The model**: [05](05_patches.ipynb) patches, [06](06_positions.ipynb) positions, [07](07_attention.ipynb) attention,
#   [08](08_block.ipynb) the encoder block, [09](09_vit.ipynb) the Vision Transformer.
# - **Training it**: [10](10_optimisers.ipynb) optimisers, [11](11_training.ipynb) the training loop, [12](12_inside.ipynb) a look inside,
#   [13](13_finetuning.ipynb) fine-tuning.
# - **And further**: [14](14_hybrids.ipynb) convolutions, [15](15_selfsupervision.ipynb) learning without labels, [16](16_speed.ipynb) speed,
#   [17](17_book.ipynb) reading `minivit` itself, [18](18_photograph.ipynb) a real photograph, [19](19_cifar.ipynb) a data set of real
#   photographs, [20](20_paper.ipynb) reading the paper, [21](21_capstone.ipynb) your own experiment.
