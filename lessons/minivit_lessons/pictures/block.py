"""Pictures of the encoder block: the residual stream, packed heads, gradients in deep stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minivit.engine.tensor import Tensor
from minivit.models import ViT
from minivit.preprocessing import preprocess

from ..display import new_figure

LINES = ("#0072b2", "#d55e00", "#009e73", "#000000", "#cc79a7")  # of Okabe and Ito's palette
STYLES = ("o-", "s--", "^-.", "D:", "v-")  # so that lines differ not only in colour

# What the pictures show, for readers who cannot see them; here, since some of it answers what the lesson asks first.
STREAM = (
    "Five panels of 65 tokens by 64 numbers. What enters, plus the result of attention, makes the tokens halfway; "
    "plus the result of the MLP, it makes what leaves. What is added is paler than what it is added to."
)
PACKED = (
    "65 rows of 192 numbers. Thick lines divide them into queries, keys and values of 64 columns each, thin lines "
    "divide each of these into two heads of 32 columns: queries of head 0 are columns 0 to 31, of head 1 columns 32"
    " to 63, keys of head 0 columns 64 to 95."
)
THREE_HEADS = (
    "Three maps of the attention weights of the patch at the tip, in %. One head attends to the heart, the other to"
    " the background around it. The single wide head attends to both a little."
)
DEPTH = (
    "Left, the length of the gradient on a logarithmic scale: as in the paper it stays within a factor of about ten "
    "over 24 blocks; without LayerNorms it grows by several powers of ten; with neither it shrinks by many. Right, how "
    "different tokens are: as in the paper a few per cent to the end; without residual connections nearly 0 within "
    "three blocks."
)


def draw_stream(model: ViT, image: np.ndarray, block: int) -> Any:
    """Draw what a trained block adds to its tokens: z + attention = z', z' + MLP = z of the next block.

    Args:
        model: the trained model.
        image: (H, W, 3) pixels from 0 to 255.
        block: the number of the block.
    """
    part = model.blocks[block]
    before = model.embed(preprocess(image[None]))  # (1, N, D)
    z = _entering(model, before, block)  # (1, T, D)
    attended = part.attention(part.norm1(z))
    halfway = z + attended
    computed = part.mlp(part.norm2(halfway))
    panels = (
        ("", "z: what enters", z),
        ("+", "added by attention", attended),
        ("=", "z′: halfway", halfway),
        ("+", "added by the MLP", computed),
        ("=", "z: what leaves", halfway + computed),
    )
    figure = new_figure(10.0, 2.8)
    strongest = float(np.quantile(np.abs(halfway.data), 0.98))
    for axes, (sign, title, values) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _heat(axes, values.data[0], strongest)
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        if sign:
            axes.set_ylabel(sign, rotation=0, fontsize=20, labelpad=12, va="center")
        else:
            axes.set_ylabel(f"{z.shape[1]} tokens", fontsize=9)
            axes.set_xlabel(f"D = {z.shape[2]} numbers each", fontsize=9)
    return figure


def _heat(axes: Any, values: np.ndarray, strongest: float) -> None:
    """Draw an array in nine colours: orange below 0, white at 0, violet above."""
    from matplotlib import colormaps

    colours = colormaps["PuOr"].resampled(9)
    axes.imshow(values, cmap=colours, vmin=-strongest, vmax=strongest, aspect="auto", interpolation="nearest")


def _entering(model: ViT, embedded: Tensor, block: int) -> Tensor:
    """Return all tokens that enter a block."""
    seen: dict[str, np.ndarray] = {}
    model.encode(embedded, seen=seen)
    if block:
        return Tensor(seen[f"blocks.{block - 1}.tokens"])
    cls = np.broadcast_to(model.cls.data, (1, 1, model.config.dim))
    return model.positions(Tensor(np.concatenate([cls, embedded.data], axis=1)))


def draw_packed(qkv: np.ndarray, heads: int) -> Any:
    """Draw the packed array of queries, keys and values of all heads, with the meaning of its columns.

    Args:
        qkv: (T, 3 D).
        heads: the number of heads.
    """
    width = qkv.shape[1] // (3 * heads)  # D_h
    strongest = float(np.quantile(np.abs(qkv), 0.98))
    figure = new_figure(10.0, 3.1)
    axes = figure.subplots()
    _heat(axes, qkv, strongest)
    for i, part in enumerate(("queries", "keys", "values")):
        for head in range(heads):
            left = (i * heads + head) * width
            axes.axvline(left - 0.5, color="black", linewidth=2.5 if head == 0 else 1.0)
            axes.text(left + width / 2, -2.5, f"{part}\nhead {head}", ha="center", va="bottom", fontsize=9)
    axes.set_xticks(np.arange(0, qkv.shape[1] + 1, width) - 0.5, [str(n) for n in range(0, qkv.shape[1] + 1, width)])
    axes.set_xlabel("column")
    axes.set_ylabel("token")
    return figure


def draw_depth(gradients: Mapping[str, Sequence[float]], differences: Mapping[str, Sequence[float]]) -> Any:
    """Draw the length of the gradient at each block of deep stacks, and how different the tokens are.

    Args:
        gradients: for each kind of stack, the gradient's length before each block and after the last.
        differences: for each kind, 1 - the mean cosine between two tokens at the same points.
    """
    figure = new_figure(10.6, 3.6)
    left, right = figure.subplots(1, 2)
    for axes, curves in ((left, gradients), (right, differences)):
        for (name, values), colour, style in zip(curves.items(), LINES, STYLES, strict=False):
            axes.plot(range(len(values)), values, style, color=colour, markersize=3.5, linewidth=1.2, label=name)
        axes.set_xlabel("blocks passed")
        axes.set_yscale("log")
    left.set_title("length of the gradient (it starts at the right)", fontsize=10)
    left.legend(fontsize=8, loc="lower right")
    right.set_ylim(1e-9, 2)  # below is only rounding
    right.set_title("how different two tokens are (1 − mean cosine)", fontsize=10)
    return figure
