# %% [markdown]
# # 06 · Positions: where a patch was, and who gives the answer
#
# *About 40 minutes. Comes after lessons [02](02_tensors.ipynb) to [05](05_patches.ipynb). In the paper: Eq. 1, section
# 3.1, Fig. 7 and appendix D.4.*
#
# You will see that a Transformer without positions cannot tell an image from a heap of its pieces. Then you will give each
# patch its place, in three ways, and add a token that stands for no patch at all. With that, Eq. 1 is complete.

# %% tags=["keep"]
import math

import numpy as np

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons import trained_model
from minivit_lessons.pictures.positions import draw_accuracies, draw_answers, draw_columns, draw_similarities

Tensor, Module, parameter, softmax = built("Tensor", "Module", "parameter", "softmax")
concatenate, broadcast_to = built("concatenate", "broadcast_to")
patchify, unpatchify, PatchEmbedding = built("patchify", "unpatchify", "PatchEmbedding")

# %% [markdown]
# ## The question
#
# "The dog bites the man" and "the man bites the dog" are made of the same words. What tells them apart is the order alone.
# Lesson 05 turned an image into 64 words in a row. Does a Transformer notice in which order they come?
#
# And a second question: 64 vectors go in, and 64 come out. But we want *one* answer, the class. Which of the 64 is to give it?

# %% [markdown]
# ## The picture
#
# These lessons come with a small Vision Transformer, trained on our shapes; in lesson 09 you will build the same yourself.
# Here it is asked twice: about a square, and about the same 64 patches shuffled. Then it is asked again after the positions
# of its patches were all set to zero. Look at the right column.

# %%
data = shapes("test", count=200)
pixels, labels = data.images, data.labels  # (200, 32, 32, 3), (200,)
order = np.random.default_rng(0).permutation(64)  # one shuffle, for all that follows

sighted, blind = trained_model(), trained_model()
blind.positions.embedding.data[:, 1:] = 0  # what it learned about the 64 places is gone


def shuffled(images):
    """The same patches in another order: pixels (B, 32, 32, 3), and so again."""
    patches = patchify(Tensor(images.astype(np.float32)), 4)  # (B, 64, 48)
    return unpatchify(patches[:, order], 4, 32, 32).data.astype(np.uint8)


def pair_of(shape):
    """The first image of a shape, and the same shuffled: (2, 32, 32, 3)."""
    image = pixels[labels == data.classes.index(shape)][:1]
    return np.concatenate([image, shuffled(image)])


def ask_about(shape):
    pair = pair_of(shape)
    return draw_answers(pair, {"with positions": sighted.predict(pair), "without": blind.predict(pair)}, data.classes)


explore(
    ask_about,
    "Above a square, below its patches shuffled. With positions the answers are square and cross. Without, the two "
    "answers are the same: cross.",
    shape=sorted(data.classes, key=lambda shape: shape != "square"),
)

# %% [markdown]
# Without positions both images get the same answer, bar for bar. It is not that the model finds them alike: to it they *are*
# one and the same. (It says "cross", and no wonder: both shapes are made of straight edges and right-angled corners.)

# %% [markdown]
# ## One number at a time
#
# Why? The linear maps, the normalisation and the MLP work on each token by itself; no place enters there. What is left is
# attention. You will build it in the next lesson, but its core is short: **each token takes a mean of all tokens, and takes
# more from those it agrees with**. In loops:


# %%
def gather(z):
    """(N, D) -> (N, D): in each row a weighted mean of all rows."""
    out = np.zeros_like(z)
    for i in range(len(z)):
        weights = [math.exp(z[i] @ z[j]) for j in range(len(z))]  # large where token j resembles token i
        for j in range(len(z)):
            out[i] += weights[j] / sum(weights) * z[j]
    return out


rng = np.random.default_rng(1)
z = rng.standard_normal((6, 4))  # six tokens
shuffle = rng.permutation(6)
print("shuffled, then gathered:", gather(z[shuffle])[0])
print("gathered, then shuffled:", gather(z)[shuffle][0])

# %% [markdown]
# The two agree (up to rounding, for a sum in another order). Look for j in the formula of what token i receives,
#
# $$\sum_j \frac{e^{z_i \cdot z_j}}{\sum_k e^{z_i \cdot z_k}}\; z_j$$
#
# and you find it only as the name of $z_j$. *Where* token j stands enters nowhere. Shuffle the tokens, and each of them
# receives what it received before, only in another row. A stack of such layers shuffles along from top to bottom. What it
# works on is not a sequence, but a **set**.
#
# Which ways to make one vector out of N tokens can then tell that they were shuffled?

# %%
ways = {
    "a": lambda z: z.mean(axis=0),
    "b": lambda z: z.max(axis=0),
    "c": lambda z: z[0],
    "d": lambda z: gather(z).sum(axis=0),
    "e": lambda z: (z * np.arange(len(z))[:, None]).sum(axis=0),
    "f": lambda z: gather(z)[0],
}

# %% exercise="notices_order"
# --- solution -> notices_order = ...  # the letters, such as {"a", "b"}
notices_order = {"c", "e", "f"}
# --- end

# %% [markdown]
# ## All at once
#
# **Where a patch was.** If the layers only see what is *in* a token, put the place into the token. There is a table $E_{pos}$
# with one row of D numbers for each place, and row i is added to token i. Nobody fills in the table. It starts as small
# random numbers and is learned like any weight. At first, the network does not even know which patch lies beside which.
#
# Is adding not a loss, since sums cannot be taken apart? Compare it with putting the two side by side, $[z, p]$. The next
# layer would multiply by some $W_1$ above $W_2$ and get $zW_1 + pW_2$. With addition it gets $(z + p)W = zW + pW$: the same,
# with one W for both. In hundreds of dimensions there is room to keep the two in different directions.
#
# **Who gives the answer.** No patch is a good speaker for all: each is busy with its own content. So one more token joins
# them in front, the *class token*. It has no pixels. It is D numbers, learned, the same for every image, and they start at
# zero. In every block it gathers from the patches, and in the end its vector alone goes to the classifier.


# %% exercise="add_class_token"
def add_class_token(z, cls):
    """The class token in front of each image's patches: (B, N, D), (1, 1, D) -> (B, N + 1, D)."""
    B, N, D = z.shape
    # --- solution
    return concatenate([broadcast_to(cls, (B, 1, D)), z], axis=1)
    # --- end


# %% [markdown]
# Now the layer. The class token gets a row of the table as well, the first; so there are N + 1.


# %% tags=["keep"]
def add_positions(z, positions):
    """(B, T, D) + (1, T, D) -> (B, T, D)."""
    return z + positions


class Tokens(Module):
    """Class token and positions: (B, N, D) -> (B, N + 1, D)."""

    def __init__(self, patches, dim, rng):
        self.cls = parameter(np.zeros((1, 1, dim)))
        self.positions = parameter(0.02 * rng.standard_normal((1, patches + 1, dim)))  # E_pos

    def forward(self, z):
        return add_positions(add_class_token(z, self.cls), self.positions)


# %% [markdown]
# Your own layers, then: patches are embedded, every token gathers once, and the mean over all tokens is the image's vector.
# It is computed for ten images and for the same ten with their patches shuffled.

# %%
images = preprocess(pixels[:10])  # (10, 32, 32, 3), from -1 to 1
mixed = preprocess(shuffled(pixels[:10]))
embedding = PatchEmbedding(patch_size=4, channels=3, dim=64, rng=np.random.default_rng(0))
tokens = Tokens(patches=64, dim=64, rng=np.random.default_rng(1))


def image_vectors(images, tokens=None):
    z = embedding(Tensor(images))  # (B, 64, D)
    if tokens is not None:
        z = tokens(z)  # (B, 65, D)
    weights = softmax(z @ z.transpose(0, 2, 1) / 8)  # (B, T, T): `gather` without loops; why the 8, says lesson 07
    return (weights @ z).mean(axis=1)  # (B, D)


for name, layer in (("without positions", None), ("with positions", tokens)):
    difference = np.abs(image_vectors(images, layer).data - image_vectors(mixed, layer).data).max()
    print(f"{name}: shuffling changes the vectors by {difference:.0e}")
print("into the first block go", tokens(embedding(Tensor(images))).shape)

# %% [markdown]
# Without positions the change is float32's rounding. With them it is small still, since the table starts small, but real:
# training can make it as large as it needs.

# %% [markdown]
# ## Your turn
#
# Must positions be learned? A row of the table should (1) differ for every place, (2) be similar for near places, and (3)
# stay bounded, however large the image. A clock does all three with two hands: the quick one tells near moments apart, the
# slow one says which hour it is. So take D/4 hands, of speeds $\omega_0 = 1$ to $1/10000$. At column x, hand k has turned by
# the angle $x\,\omega_k$, and the two coordinates of its tip are a cosine and a sine. The same again for row y: that makes D
# numbers.
#
# $$\omega_k = 10000^{-k/(D/4 - 1)}, \qquad k = 0, \ldots, D/4 - 1$$
#
# | numbers of the row | 0 to D/4 - 1 | to D/2 - 1 | to 3D/4 - 1 | to D - 1 |
# |---|---|---|---|---|
# | patch in column x, row y | $\sin(x\,\omega_k)$ | $\cos(x\,\omega_k)$ | $\sin(y\,\omega_k)$ | $\cos(y\,\omega_k)$ |


# %% exercise="sincos2d"
def sincos2d(rows, columns, D):
    """Fixed positions for a grid of patches, in reading order: an array (rows * columns, D), float32."""
    # --- solution
    omega = 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))  # (D/4,)
    y, x = np.divmod(np.arange(rows * columns), columns)  # (N,) each
    x, y = np.outer(x, omega), np.outer(y, omega)  # (N, D/4): the angles
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)
    # --- end


# %%
show(
    draw_columns(sincos2d(24, 24, 48), (24, 24), speeds=6),
    "Maps of 24 x 24 patches: in the two upper lines stripes that change with the column, quickly at the left and ever "
    "more slowly to the right; in the two lower ones the same with the row.",
)

# %% [markdown]
# Each map is one number of the table, at all places of a 24 x 24 grid (the paper's, for images of 384 pixels); six of twelve
# speeds are shown. The slower hands hardly move on it: at large D, most of the table is nearly the same everywhere.
#
# There is a third way between the two: learn, but tell the network that places form a grid. Have one table X for the columns
# and one table Y for the rows, with D/2 numbers for each. A place takes its column's and its row's, side by side. On our 8 x 8
# grid that is 8 · D numbers to learn instead of 64 · D, and what is learned about a column holds in all of it.


# %% exercise="learned_2d"
def learned_2d(X, Y):
    """Positions from a table of columns and one of rows: Tensors (w, D/2), (h, D/2) -> (1, h * w, D)."""
    w, half = X.shape
    h, half = Y.shape
    # --- solution
    of_column = broadcast_to(X.reshape(1, w, half), (h, w, half))  # the same in every row
    of_row = broadcast_to(Y.reshape(h, 1, half), (h, w, half))  # the same in every column
    return concatenate([of_column, of_row], axis=2).reshape(1, h * w, 2 * half)
    # --- end


# %% [markdown]
# And what does training find, left to itself? For every patch there is a little map below: the cosine of the angle between
# its position vector and each of the 64. Left the trained model's table, right your sines. (Mind the scales: of the sines'
# hands most hardly move, so all their places are much alike.)

# %%
learned = sighted.positions.embedding.data[0, 1:]  # (64, 64): without the class token's row
show(
    draw_similarities({"learned by the trained model": learned, "sincos2d": sincos2d(8, 8, 64)}, (8, 8)),
    "Two grids of 8 x 8 maps. In each map the patch itself is brightest and its neighbours are bright. The learned maps "
    "are ragged, and many of those at the border are bright on the opposite border too; those of the sines are smooth "
    "and regular.",
)

unit = learned / np.linalg.norm(learned, axis=1, keepdims=True)  # (64, 64): each vector with the length 1
cosines = (unit @ unit.T).reshape(8, 8, 8, 8)  # row and column of one place, row and column of the other
rows, columns = np.divmod(np.arange(64), 8)
steps = np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns)  # (64, 64): on foot, along the grid
for far in (1, 2, 3, 4):
    print(f"mean cosine of places {far} steps apart: {cosines.reshape(64, 64)[steps == far].mean():5.2f}")
print(f"mean cosine of the left border with the right: {cosines[:, 0, :, 7].mean():5.2f}")

# %% [markdown]
# The model was never told that its 64 tokens form a square. It found out: neighbours are alike, and three steps away nothing
# is left of it. And it knows the border of the image, where there is seldom a shape: these places resemble one another
# even from the left side to the right. In the paper's larger models, places of the same row or column are alike as well.
#
# In the sines every map has the same pattern, moved. That is no accident: $\sin a \sin b + \cos a \cos b = \cos(a - b)$, so
# the product of two rows is $\sum_k \cos((x - x')\,\omega_k) + \cos((y - y')\,\omega_k)$. It depends on how far apart two
# places are, and on nothing else.

# %% [markdown]
# ## In the paper
#
# Eq. 1 is now complete:
#
# $$z_0 = [x_{class};\ x_p^1 E;\ x_p^2 E;\ \cdots;\ x_p^N E] + E_{pos}, \qquad E_{pos} \in \mathbb{R}^{(N+1) \times D}$$
#
# | paper | here | in [`minivit`](../minivit/models/positions.py) |
# |---|---|---|
# | $x_{class}$ | `tokens.cls` | `model.cls` |
# | $E_{pos}$ | `tokens.positions` | `LearnedPositions` |
# | 2-D positions (D.4) | `learned_2d` | `LearnedPositions2d` |
# | (not in the paper) | `sincos2d` | `FixedPositions` |
#
# Appendix D.4 compares the kinds (Table 8: ViT-B/16, few-shot accuracy on ImageNet): none 61.4 %, learned 64.2 %, 2-D 64.0
# %, relative 64.0 %. *That* there are positions matters; which kind, hardly. It also shows how far a heap of patches gets:
# without positions the model loses less than three points. The sines in two dimensions are from the authors' later code
# (big_vision). Fig. 7 (centre) is the picture of the similarities.
#
# The class token came from a language model, BERT. Appendix D.3 finds that the mean over the patches does as well, once it
# has a learning rate of its own.

# %% [markdown]
# ## Break it and see
#
# Positions can also be there and be *wrong*. When one program writes weights and another reads them, two misunderstandings
# are near at hand. The grid is read column by column. Or the class token is put last: then the table is one row off, each
# patch gets its neighbour's place, and the class token gets that of a patch. No shape gives it away. Guess first: which of
# these tables does the most harm?

# %%
model = trained_model()
table = model.positions.embedding.data.copy()  # (1, 65, 64)
grid = table[0, 1:].reshape(8, 8, 64)  # row, column, D


def with_grid(grid):
    """The table with other vectors for the patches, (8, 8, 64) or (64, 64)."""
    return np.concatenate([table[:, :1], grid.reshape(1, 64, 64)], axis=1)


def accuracy_with(table):
    model.positions.embedding.data[...] = table
    return float((model.predict(pixels).argmax(axis=1) == labels).mean())


tables = {
    "as trained": table,
    "places shuffled": with_grid(grid.reshape(64, 64)[order]),
    "all places zero": with_grid(0 * grid),
    "rows and columns swapped": with_grid(grid.transpose(1, 0, 2)),
    "class token last": np.roll(table, 1, axis=1),
}
accuracies = {name: accuracy_with(wrong) for name, wrong in tables.items()}
show(
    draw_accuracies(accuracies),
    "Accuracies as bars: as trained nearly 1; lower all places zero, and places shuffled a little lower; lower still the "
    "class token last, and rows and columns swapped.",
)

# %% [markdown]
# On these images a heap of patches, without places, is enough for about four answers in five. And wrong places in good order
# do more harm than none: the model believes them.
#
# Now try `accuracy_with(with_grid(grid[:, ::-1]))`, the places mirrored, or all moved one column on by
# `np.roll(grid, 1, axis=1)`. Why do these cost so much less? (What do the places still agree on?)

# %% [markdown]
# ## Summary
#
# - Attention sums over tokens, and all other layers work on each alone: shuffled tokens give shuffled results, nothing else.
# - A position is a vector that is added to a token. Learned, it finds the grid by itself; by sines, it is known beforehand.
# - The class token is a learned vector in front of the patches. It gathers from all, and speaks for the image.
# - z₀ has N + 1 tokens.

# %% [markdown]
# ## What comes next
#
# Tokens know what they show and where they were. In [lesson 07](07_attention.ipynb) they look at one another: `gather` was a
# sketch of it.
