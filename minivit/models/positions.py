"""Position embeddings: the kinds of the paper's appendix D.4 (Table 8), and resizing them (§3.2).

Each kind is a layer that adds a table to the tokens (B, T, D); T is the number of patches N, plus one if a class token
is in front (more in later ViTs). `table()` returns what it adds. Relative positions act inside attention instead, see
`relative_scores`.
"""

from __future__ import annotations

import math

import numpy as np

from .. import engine
from ..backend.arrays import Array, to_numpy, xp_of
from ..engine.tensor import Tensor
from ..errors import ConfigError
from ..nn import Module, init
from ..nn.layers import parameter
from ..utils.aliases import old_names
from .configs import ViTConfig

RESIZING = ("bilinear", "bicubic")

RNG = np.random.Generator | None


class Positions(Module):
    """A layer that adds a table to the tokens, (B, T, D) -> (B, T, D); this base adds nothing.  # ViT Table 8"""

    def table(self) -> Tensor | None:
        """Return what is added, (1, T, D), or None."""
        return None

    def forward(self, z: Tensor) -> Tensor:
        table = self.table()
        return z if table is None else z + table


class LearnedPositions(Positions):
    """One vector for each token, the paper's choice: E_pos.  # ViT (1), Table 8

    Args:
        tokens: how many tokens get a vector.
        dim: D.
        rng: of the initial values; None leaves them at zero.
        zeros: how many further tokens in front of the patches get zeros, such as registers in later ViTs.
        before: how many tokens with a vector come before these zeros.
    """

    def __init__(self, tokens: int, dim: int, rng: RNG, zeros: int = 0, before: int = 0):
        self.embedding = parameter(init.normal((1, tokens, dim), 0.02, rng))  # E_pos
        self.zeros, self.before = zeros, before

    def table(self) -> Tensor:
        if not self.zeros:
            return self.embedding
        after = _behind_zeros(self.embedding[:, self.before :], self.zeros)
        return engine.concatenate([self.embedding[:, : self.before], after], axis=1) if self.before else after


class LearnedPositions2d(Positions):
    """One vector of D/2 for each column (X) and row (Y), side by side; tokens in front get zeros.  # ViT Table 8"""

    def __init__(self, grid: tuple[int, int], front: int, dim: int, rng: RNG):
        self.columns = parameter(init.normal((1, grid[1], dim // 2), 0.02, rng))  # X, (1, w, D/2)
        self.rows = parameter(init.normal((grid[0], 1, dim // 2), 0.02, rng))  # Y, (h, 1, D/2)
        self.front = front

    def table(self) -> Tensor:
        h, w, half = self.rows.shape[0], self.columns.shape[1], self.rows.shape[2]
        x = engine.broadcast_to(self.columns, (h, w, half))
        y = engine.broadcast_to(self.rows, (h, w, half))
        return _behind_zeros(engine.concatenate([x, y], axis=2).reshape(1, h * w, 2 * half), self.front)


class FixedPositions(Positions):
    """Sines and cosines of each patch's column and row (`sincos2d`); nothing is learned."""

    def __init__(self, grid: tuple[int, int], front: int, dim: int):
        self.grid, self.front, self.dim = grid, front, dim

    def table(self) -> Tensor:
        return _behind_zeros(Tensor(sincos2d(self.grid, self.dim)[None]), self.front)

    def forward(self, z: Tensor) -> Tensor:
        return z + self.table().data  # a constant takes the tokens' type and device


def sincos2d(grid: tuple[int, int], dim: int) -> np.ndarray:
    """Return sine and cosine of the column, then of the row, at D/4 frequencies: (h w, D), float32.

    The frequencies fall from 1 to 1 / 10000 (big_vision's `sincos2d`).

    Args:
        grid: the patches (h, w).
        dim: D, a multiple of 4.
    """
    quarter = dim // 4
    omega = 10_000.0 ** -(np.arange(quarter) / max(1, quarter - 1))  # (D/4,)
    y, x = np.mgrid[: grid[0], : grid[1]]  # (h, w) each
    x, y = x.reshape(-1, 1) * omega, y.reshape(-1, 1) * omega  # (h w, D/4)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


def make_positions(config: ViTConfig, rng: RNG) -> Positions:
    """Return the layer for a kind of positions; for "relative" and "none" it adds nothing.  # ViT D.4, Table 8

    Args:
        config: the model's.
        rng: of the initial values; None leaves them at zero.
    """
    c = config
    if c.positions == "learned":
        zeros = c.num_tokens - c.num_positions
        return LearnedPositions(c.num_positions, c.dim, rng, zeros, c.num_positions - c.num_patches)
    if c.positions == "learned2d":
        return LearnedPositions2d(c.grid, c.num_front_tokens, c.dim, rng)
    return FixedPositions(c.grid, c.num_front_tokens, c.dim) if c.positions == "sincos2d" else Positions()


def relative_scores(q: Tensor, offsets: Tensor) -> Tensor:
    """Return q . r for each query and offset, which is added to the attention scores.  # ViT Table 8

    Args:
        q: (B, heads, queries, D_h), the first tokens' queries.
        offsets: (2 T - 1, D_h); `offsets[T - 1 + i - j]` is the embedding r for query i and key j, where token i comes
            i - j tokens after token j.

    Returns:
        (B, heads, queries, T).
    """
    b, heads, queries, width = q.shape
    tokens = (offsets.shape[0] + 1) // 2
    distance = np.arange(queries)[:, None] - np.arange(tokens) + tokens - 1  # (queries, T)
    offsets = offsets if offsets.dtype == q.dtype else offsets.astype(q.dtype)
    r = offsets[xp_of(offsets.data).asarray(distance)]  # (queries, T, D_h)
    by_query = q.transpose(2, 0, 1, 3).reshape(queries, b * heads, width)
    scores = by_query @ r.transpose(0, 2, 1)  # (queries, B heads, T): one product for each query's place
    return scores.reshape(queries, b, heads, tokens).transpose(1, 2, 0, 3)


def _behind_zeros(table: Tensor, count: int) -> Tensor:
    """Return a table (1, N, D) behind `count` rows of zeros, (1, count + N, D)."""
    if not count:
        return table
    return engine.concatenate([Tensor(xp_of(table.data).zeros((1, count, table.shape[2]), table.dtype)), table], axis=1)


# -- another image size --------------------------------------------------------------------------


def resize_positions(
    table: np.ndarray,
    before: tuple[int, int],
    after: tuple[int, int],
    method: str = "bilinear",
    front: int | None = None,
) -> np.ndarray:
    """Return position embeddings for another grid of patches.  # ViT §3.2

    The grid is interpolated as an image with D channels; a class token in front keeps its embedding.

    Args:
        table: (1, T, D), T = h w + the number of tokens in front.
        before: the table's grid (h, w).
        after: the new grid (h', w').
        method: "bilinear" aligns the centres of the grids' corner patches, as the authors' code does; "bicubic" aligns
            the grids' edges, as timm does (Keys' kernel with a = -0.75, without antialiasing).
        front: the number of rows in front of the patches'. [default: 1 if the table has one more, else 0]

    Returns:
        (1, T', D) of the same type.

    Raises:
        ConfigError: if the table is not of the grid `before`, or for another method.
    """
    if method not in RESIZING:
        raise ConfigError(f"positions are resized by {' or '.join(map(repr, RESIZING))}, not {method!r}")
    patches = before[0] * before[1]
    front = front if front is not None else int(table.shape[1] == patches + 1)
    if table.shape[1] != front + patches:
        raise ConfigError(f"{table.shape[1]} position embeddings are not those of {before[0]} x {before[1]} patches")
    if before == after:
        return table.copy()
    weights = _bilinear_weights if method == "bilinear" else _bicubic_weights
    rows, columns = (weights(b, a) for b, a in zip(before, after, strict=True))  # (h', h), (w', w)
    grid = table[0, front:].astype(np.float64).reshape(*before, -1)  # (h, w, D)
    grid = np.einsum("ah,bw,hwd->abd", rows, columns, grid)  # (h', w', D)
    resized = grid.reshape(1, after[0] * after[1], -1).astype(table.dtype)
    return np.concatenate([table[:, :front], resized], axis=1)


def resized(
    name: str,
    array: Array,
    before: tuple[int, int],
    after: tuple[int, int],
    method: str = "bilinear",
    front: int | None = None,
) -> Array:
    """Return a parameter of positions for another grid.

    Args:
        name: the parameter's name.
        array: its values.
        before: its grid (h, w).
        after: the new grid.
        method, front: as `resize_positions` takes them.

    Raises:
        ConfigError: for relative positions, whose offsets along the sequence mean something else on another grid.
    """
    array = to_numpy(array)
    if name.endswith("offsets"):
        raise ConfigError("relative positions cannot be interpolated: keep the image size that the model has")
    if name.endswith("columns"):  # (1, w, D/2)
        return resize_positions(array, (1, before[1]), (1, after[1]), method)
    if name.endswith("rows"):  # (h, 1, D/2)
        rows = resize_positions(array.swapaxes(0, 1), (before[0], 1), (after[0], 1), method)
        return rows.swapaxes(0, 1)
    return resize_positions(array, before, after, method, front)


def _bilinear_weights(before: int, after: int) -> np.ndarray:
    """Return (after, before) weights: what each new place takes from each old one; first and last places are equal."""
    places = np.linspace(0, before - 1, after) if after > 1 else np.zeros(1)
    return np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(before)))


def _bicubic_weights(before: int, after: int) -> np.ndarray:
    """Return (after, before) weights by Keys' kernel on the centres of cells; beyond the edge, the edge is repeated."""
    weights = np.zeros((after, before))
    for i in range(after):
        place = (i + 0.5) * before / after - 0.5
        for j in range(math.floor(place) - 1, math.floor(place) + 3):
            weights[i, min(max(j, 0), before - 1)] += _keys_kernel(abs(place - j))
    return weights


def _keys_kernel(x: float, a: float = -0.75) -> float:
    if x <= 1.0:
        return (a + 2.0) * x**3 - (a + 3.0) * x**2 + 1.0
    return a * (x**3 - 5.0 * x**2 + 8.0 * x - 4.0) if x < 2.0 else 0.0


__getattr__ = old_names(
    __name__, {"PLACES": "minivit.models.configs.PLACES", "POSITIONS": "minivit.models.configs.POSITIONS"}
)
