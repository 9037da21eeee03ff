# %% [markdown]
# # 06 · Positions: where a patch was, and who gives the answer
#
# *Comes after lessons [02](02_tensors.ipynb) to [05](05_patches.ipynb). In the paper: Eq. 1, section
# 3.1, Fig. 7 and appendix D.4.*
#
# You will see that a Transformer without positions cannot tell an image from the same patches in another order. Then you will
# give each token its position, in three ways, and add one token that represents no patch at all. With it, Eq. 1 is complete.

# %% tags=["keep"]
import math

import numpy as np

from minivit import preprocess
from minivit.data.shapes import shapes
from minivit_lessons import trained_model
from minivit_lessons.pictures import positions as pictures

Tensor, Module, parameter, softmax = built("Tensor", "Module", "parameter", "softmax")
concatenate, broadcast_to = built("concatenate", "broadcast_to")
patchify, unpatchify, PatchEmbedding = built("patchify", "unpatchify", "PatchEmbedding")

# %% [markdown]
# ## The question
#
# "The dog bites the man" and "the man bites the dog" consist of the same words. Only the order of the words is different.
# Lesson 05 turned an image into a sequence of 64 patches. Does a Transformer notice their order?
#
# There is a second question. A Transformer turns 64 tokens into 64 tokens. But we need *one* answer, the class of the image. Which
# of the 64 tokens should provide it?

# %% [markdown]
# ## The picture
#
# These lessons come with a small Vision Transformer that was trained on our shapes; in lesson 09 you will build the same model.
# Here it classifies two images: a square, and the same 64 patches in another order. Then all that it learned about the positions
# of the patches is set to zero, and it classifies the two images again. Will the answers for the two images differ with
# positions? And without? Guess before you run the cell, then compare the two rows in each column.

# %%
data = shapes("test", count=200)
pixels, labels = data.images, data.labels  # (200, 32, 32, 3), (200,)
order = np.random.default_rng(0).permutation(64)  # one permutation, for all that follows

sighted, blind = trained_model(), trained_model()
blind.positions.embedding.data[:, 1:] = 0  # what it learned about the 64 positions is gone


def shuffled(images):
    """The same patches in another order: pixels (B, 32, 32, 3) -> (B, 32, 32, 3)."""
    patches = patchify(Tensor(images.astype(np.float32)), 4)  # (B, 64, 48)
    return unpatchify(patches[:, order], 4, 32, 32).data.astype(np.uint8)


def pair_of(shape):
    """The first image of a shape, and the same image with its patches shuffled: (2, 32, 32, 3)."""
    image = pixels[labels == data.classes.index(shape)][:1]
    return np.concatenate([image, shuffled(image)])


def ask_about(shape):
    pair = pair_of(shape)
    predictions = {"with positions": sighted.predict(pair), "without": blind.predict(pair)}
    return pictures.draw_answers(pair, predictions, data.classes)


explore(ask_about, pictures.ALT_ANSWERS, shape=sorted(data.classes, key=lambda shape: shape != "square"))

# %% [markdown]
# <details><summary>What happened</summary>
#
# With positions, the two answers differ: square and cross. Without positions both images get exactly the same probabilities. To
# the model they are not similar, they are *identical*. (It says "cross" for both. A square and a cross both have straight
# edges and right-angled corners.)
#
# </details>

# %% [markdown]
# ## One number at a time
#
# Why? Linear layers, layer normalisation and the MLP process each token separately, so the position of a token cannot matter there.
# One layer is left, the one that mixes tokens. You will build it in the next lesson. Its core is short: **each token
# becomes a weighted mean of all tokens, and similar tokens get larger weights**. With loops:


# %%
def gather(z):
    """(N, D) -> (N, D): each row becomes a weighted mean of all rows."""
    out = np.zeros_like(z)
    for i in range(len(z)):
        weights = [math.exp(z[i] @ z[j]) for j in range(len(z))]  # large if token j resembles token i
        for j in range(len(z)):
            out[i] += weights[j] / sum(weights) * z[j]
    return out


rng = np.random.default_rng(1)
z = rng.standard_normal((6, 4))  # six tokens
shuffle = rng.permutation(6)
print("shuffled, then gathered:", gather(z[shuffle])[0])
print("gathered, then shuffled:", gather(z)[shuffle][0])

# %% [markdown]
# The two results agree (except for rounding, because the sums have another order). The reason is in the formula for token i:
#
# $$\sum_j \frac{e^{z_i \cdot z_j}}{\sum_k e^{z_i \cdot z_k}}\; z_j$$
#
# The index j appears only in the name of $z_j$. The *position* of token j appears nowhere. If we shuffle the tokens, each token
# gets the same result as before, in another row. This property is called **permutation equivariance**: if the input is
# permuted, the output is permuted in the same way. A stack of such layers has it too. So a Transformer without positions does not
# process a sequence, but a **set**.
#
# A function whose output does not change at all when its input is permuted, such as a sum, has **permutation invariance**. Here are
# six ways to turn N tokens into one vector. For which of them can the result change when the tokens are shuffled?

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
# First the positions. If the layers see only what is *in* a token, we put its position into the token. A **position embedding** is
# a vector of D numbers for each position, and it is added to the token at this position. The paper collects these vectors as the
# rows of a table, $E_{pos}$. Nobody chooses its numbers: it starts with small random numbers and is trained like any
# parameter. At first, the network does not even know which patches are neighbours.
#
# Does the addition lose information, because a sum cannot be taken apart? Compare addition with concatenation, $[z, p]$. The next
# layer would multiply $[z, p]$ by a matrix with $W_1$ above $W_2$ and get $zW_1 + pW_2$. With addition it gets
# $(z + p)W = zW + pW$: the same, with one W for both. A space of hundreds of dimensions has room for content and position in
# different directions.
#
# Now the answer. Each patch token represents its own patch, so none of them is a natural choice. Therefore one more token is put
# in front of the patches, the **class token**. It has no pixels. Its D numbers are a parameter, the same for every image, and they
# start at zero. In every block it collects information from the patches, and at the end it alone is given to the
# classifier.


# %% exercise="add_class_token"
def add_class_token(z, cls):
    """The class token in front of each image's patches: (B, N, D), (1, 1, D) -> (B, N + 1, D)."""
    B, N, D = z.shape
    # --- solution
    return concatenate([broadcast_to(cls, (B, 1, D)), z], axis=1)
    # --- end


# %% [markdown]
# Now the layer. The class token has a position embedding too, the first row of the table. So the table has N + 1 rows.


# %% tags=["keep"]
def add_positions(z, positions):
    """(B, T, D) + (1, T, D) -> (B, T, D)."""
    return z + positions


class Tokens(Module):
    """Class token and position embeddings: (B, N, D) -> (B, N + 1, D)."""

    def __init__(self, patches, dim, rng):
        self.cls = parameter(np.zeros((1, 1, dim)))
        self.positions = parameter(0.02 * rng.standard_normal((1, patches + 1, dim)))  # E_pos

    def forward(self, z):
        return add_positions(add_class_token(z, self.cls), self.positions)


# %% [markdown]
# Let us test this with your own layers: embed the patches, let every token gather once, and take the mean over all tokens as the vector
# of the image. The cell computes it for ten images, and for the same ten images with shuffled patches.

# %%
images = preprocess(pixels[:10])  # (10, 32, 32, 3), from -1 to 1
mixed = preprocess(shuffled(pixels[:10]))
embedding = PatchEmbedding(patch_size=4, channels=3, dim=64, rng=np.random.default_rng(0))
tokens = Tokens(patches=64, dim=64, rng=np.random.default_rng(1))


def image_vectors(images, tokens=None):
    z = embedding(Tensor(images))  # (B, 64, D)
    if tokens is not None:
        z = tokens(z)  # (B, 65, D)
    weights = softmax(z @ z.transpose(0, 2, 1) / 8)  # (B, T, T): `gather` without loops; lesson 07 explains the 8
    return (weights @ z).mean(axis=1)  # (B, D)


for name, layer in (("without positions", None), ("with positions", tokens)):
    difference = np.abs(image_vectors(images, layer).data - image_vectors(mixed, layer).data).max()
    print(f"{name}: shuffling changes the vectors by {difference:.0e}")
print("shape of what enters the first block:", tokens(embedding(Tensor(images))).shape)

# %% [markdown]
# Without positions, the difference is the rounding of float32. With positions it is still small, because the table starts with small
# numbers, but it is real, and training can make it as large as needed.

# %% [markdown]
# ## Your turn
#
# Must position embeddings be learned? The row of a position should (1) differ from all other rows, (2) be similar to those of near
# positions, and (3) stay bounded, however large the image is. A clock has these properties with two hands: the fast hand
# distinguishes near times, the slow hand shows the hour. So take D/4 hands with speeds from $\omega_0 = 1$ to $1/10000$. At
# column x, hand k has turned by the angle $x\,\omega_k$, and its tip has two coordinates, a cosine and a sine. With the
# same for row y, each position has D numbers.
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
    pictures.draw_columns(sincos2d(24, 24, 48), (24, 24), speeds=6),
    "Maps of 24 x 24 patches: in the two upper lines stripes that change with the column, quickly at the left and ever "
    "more slowly to the right; in the two lower ones the same with the row.",
)

# %% [markdown]
# Each map shows one column of the table at all positions of a 24 x 24 grid (the paper's grid for images of 384 pixels). Six of the twelve
# speeds are shown. The slow hands hardly move on this grid, so for large D most of the table is nearly constant.
#
# There is a third way between learned and fixed: learn the table, but tell the network that the positions form a grid. Use one table X
# for the columns and one table Y for the rows, with D/2 numbers in each row. The embedding of a position is its row of X and its
# row of Y, side by side. On our 8 x 8 grid this needs 8 · D parameters instead of 64 · D, and what is learned about a column
# applies to the whole column.


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
# What does training find if we give it no hint? For every patch, the picture below has a small map: the cosine of the angle between
# its position embedding and each of the 64. Left is the table of the trained model, right your sines and cosines. (The two colour
# scales differ: most hands of the fixed table hardly move, so all its rows are similar.)

# %%
learned = sighted.positions.embedding.data[0, 1:]  # (64, 64): without the class token's row
show(
    pictures.draw_similarities({"learned by the trained model": learned, "sincos2d": sincos2d(8, 8, 64)}, (8, 8)),
    "Two grids of 8 x 8 maps. In each map the patch itself is brightest and its neighbours are bright. The learned maps "
    "are ragged, and many of those at the border are bright on the opposite border too; those of the sines are smooth "
    "and regular.",
)

unit = learned / np.linalg.norm(learned, axis=1, keepdims=True)  # (64, 64): each vector with the length 1
cosines = (unit @ unit.T).reshape(8, 8, 8, 8)  # row and column of one position, row and column of the other
rows, columns = np.divmod(np.arange(64), 8)
steps = np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns)  # (64, 64): along the grid
for far in (1, 2, 3, 4):
    print(f"mean cosine of positions {far} steps apart: {cosines.reshape(64, 64)[steps == far].mean():5.2f}")
print(f"mean cosine of the left border with the right: {cosines[:, 0, :, 7].mean():5.2f}")

# %% [markdown]
# Nobody told the model that its 64 patches form a square grid. It found out: neighbouring positions have similar embeddings, and three
# steps away the similarity is gone. It also recognises the border of the image, where there is seldom a shape: the positions at
# the left border resemble those at the right border. In the paper's larger models, positions in the same row or
# column are similar too.
#
# In the table of sines and cosines, every map shows the same pattern, moved. The reason is $\sin a \sin b + \cos a \cos b = \cos(a - b)$: the
# dot product of two rows is $\sum_k \cos((x - x')\,\omega_k) + \cos((y - y')\,\omega_k)$. It depends only on the distance between
# the two positions in x and in y.


# %% exercise="move_right"
def move_right(D, columns=1):
    """One matrix (D, D) for all positions: row (x, y) of sincos2d @ matrix is its row (x + columns, y)."""
    # --- solution
    omega = 10_000.0 ** (-np.arange(D // 4) / (D // 4 - 1))
    cosine, sine = np.diag(np.cos(columns * omega)), np.diag(np.sin(columns * omega))  # (D/4, D/4)
    matrix = np.eye(D)
    matrix[: D // 2, : D // 2] = np.block([[cosine, -sine], [sine, cosine]])
    return matrix
    # --- end


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
# Appendix D.4 compares the kinds. Table 8 gives the accuracy of ViT-B/16 on ImageNet, if a linear layer is fitted to its outputs
# for five images of each class (lesson 15): 61.4 % without positions, 64.2 % with learned ones, 64.0 % with learned 2-D ones, and
# 64.0 % with relative ones. It matters *that* there are positions; the kind hardly matters. The table also shows how far a set of
# patches gets: without positions the model loses less than three points. The sines in two dimensions are from the authors' later
# code (big_vision). The centre of Fig. 7 is the picture of the similarities.
#
# Appendix D.3 finds that the mean over the patches works as well as the class token, if the learning rate is tuned for each.

# %% [markdown]
# ## Break it and see
#
# Positions can also be *wrong*. If one program writes weights and another reads them, two misunderstandings are likely. The
# grid may be read column by column. Or the class token may be put last: then the table is shifted by one row, each patch gets the
# position of its neighbour, and the class token that of a patch. The shapes do not show it. Guess first: which of
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
    "positions shuffled": with_grid(grid.reshape(64, 64)[order]),
    "all positions zero": with_grid(0 * grid),
    "rows and columns swapped": with_grid(grid.transpose(1, 0, 2)),
    "class token last": np.roll(table, 1, axis=1),
}
accuracies = {name: accuracy_with(wrong) for name, wrong in tables.items()}
show(pictures.draw_accuracies(accuracies), pictures.ALT_ACCURACIES)

# %% [markdown]
# <details><summary>What happened</summary>
#
# Swapped rows and columns do the most harm, then the class token at the end. On these images, a set of patches without positions is enough
# for about four answers in five. Positions that are wrong but regular do more harm than none, because the model relies on them.
#
# </details>
#
# Now try `accuracy_with(with_grid(grid[:, ::-1]))`, the positions mirrored, or moved by one column with
# `np.roll(grid, 1, axis=1)`. Both cost much less. Why? (Which statements about a patch are still true?)
#
# <details><summary>Answer</summary>
#
# Rows are still rows, and neighbours are still neighbours. A horizontal edge is still reported at the top or at the bottom of a shape, and a
# vertical one at its left or right side. A mirrored or moved shape is nearly always a possible image of the same class. If rows and columns are
# swapped, a horizontal edge is reported at the left or right side, where no shape has one. You can test this explanation. The grid turned
# by 180 degrees, `grid[::-1, ::-1]`, keeps rows as rows and leaves about nine answers in ten right. Turned by 90 degrees, `np.rot90(grid)`,
# it leaves only about half.
#
# </details>

# %% [markdown]
# ## The same in PyTorch
#
# PyTorch has no layer for this; every ViT writes these few lines. A parameter is an `nn.Parameter`, and the class token is
# repeated with `expand`:
#
# ```python
# class Tokens(nn.Module):
#     def __init__(self, patches, dim):
#         super().__init__()  # first of all, or the next lines fail
#         self.cls = nn.Parameter(torch.zeros(1, 1, dim))
#         self.positions = nn.Parameter(0.02 * torch.randn(1, patches + 1, dim))
#
#     def forward(self, z):
#         return torch.cat([self.cls.expand(len(z), -1, -1), z], dim=1) + self.positions
# ```
#
# | what differs | here | PyTorch |
# |---|---|---|
# | a parameter | a Tensor in an attribute | an `nn.Parameter`; a plain tensor in an attribute is not trained |
# | repeating the class token | `broadcast_to(cls, (B, 1, D))` | `cls.expand(B, -1, -1)`; -1 keeps a length. `repeat` copies the numbers |
# | joining | `concatenate(..., axis=1)` | `torch.cat(..., dim=1)` |
# | a fixed table, such as sines | an array | `register_buffer`: saved in the file, not trained |
#
# PyTorch's own block of the Transformer has the same blind spot as `gather`: the cell also tests its permutation equivariance.

# %% tags=["pytorch"]
from minivit_lessons import agree, library

if torch := library("torch"):
    rng = np.random.default_rng(6)
    ours = Tokens(patches=6, dim=8, rng=rng)
    ours.cls.data[...] = rng.standard_normal((1, 1, 8))
    patches, dy = (rng.standard_normal((3, length, 8)).astype(np.float32) for length in (6, 7))
    cls, positions = (torch.tensor(p.data.copy(), requires_grad=True) for p in (ours.cls, ours.positions))
    theirs = torch.cat([cls.expand(3, -1, -1), torch.tensor(patches)], dim=1) + positions
    out = ours(Tensor(patches))
    agree("class token and positions", out, theirs)
    out.backward(dy)
    theirs.backward(torch.tensor(dy))
    agree("gradient of the class token", ours.cls.grad, cls.grad)
    agree("gradient of the positions", ours.positions.grad, positions.grad)

    block = torch.nn.TransformerEncoderLayer(8, nhead=2, dropout=0.0, batch_first=True).eval()
    x, other_order = torch.tensor(patches), torch.tensor([3, 1, 5, 0, 2, 4])
    agree("shuffled, then the block", block(x[:, other_order]), block(x)[:, other_order], tolerance=1e-5)

# %% [markdown]
# ## What came before and after
#
# - Before: [Zaheer et al., 2017](https://arxiv.org/abs/1703.06114) (Deep Sets) described which functions of a set do not depend on an
#   order. [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762) added sines and cosines of the position to the words of a sentence.
# - [Shaw, Uszkoreit and Vaswani, 2018](https://arxiv.org/abs/1803.02155) represented the distance between two tokens instead of
#   the position of each.
# - [Devlin et al., 2018](https://arxiv.org/abs/1810.04805) (BERT) put a special token in front of each text, `[CLS]`, and
#   classified the text by the final vector of this token. The class token comes from there.
# - After: [Su et al., 2021](https://arxiv.org/abs/2104.09864) (RoFormer) rotate vectors by an angle that grows with the position, so
#   that dot products depend on distances. This is your clock, moved into the layer of lesson 07.
# - [Darcet et al., 2023](https://arxiv.org/abs/2309.16588) found that large ViTs use some tokens of the background to store other
#   information, and gave them additional tokens for it, the registers.

# %% [markdown]
# ## Summary
#
# - The layer that mixes tokens sums over them, and all other layers process each token separately. So shuffled tokens give shuffled
#   results: permutation equivariance.
# - A position embedding is a vector that is added to a token. A learned table finds the grid by itself; a table of sines and cosines is
#   known before training.
# - The class token is a parameter in front of the patches. It collects information from them and represents the image.
# - z₀ has N + 1 tokens.

# %% [markdown]
# ## What comes next
#
# Each token knows what its patch shows and where it was. In [lesson 07](07_attention.ipynb) the tokens exchange this information:
# `gather` was a sketch of attention.
