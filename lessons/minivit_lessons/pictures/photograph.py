"""Pictures of lesson 18: photographs, the most probable classes, attention by head, what hiding a place changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minivit.insight.spotlight import draw_spotlight

from ..display import new_figure
from ..photographs import central_square
from .inside import QUERY

SHOWN = 112  # pixels of a photograph in a notebook, to keep the file small
# Descriptions for readers who cannot see the pictures; they are here so that a cell does not tell what it will show.
SEEN = (
    "Four photographs: a cat's face, a cup of coffee, a rocket before its launch, a blurred clock. Beside each are "
    "maps of 16 x 16 patches. Three heads keep cup, rocket and clock in colour; on the cat they keep "
    "different parts of the face. One head keeps what is around the objects. The rollout is grey but for a few "
    "patches."
)
STEPS = (
    "A wide photograph with its centre square framed; the square; the square cut into 14 x 14 patches with thin lines."
)
GUESSES = (
    "The picture, and beside it five bars, the probabilities of the five most probable classes in decreasing order."
)
HEADS = "The picture, then a map for each attention head of the last block, with the patches of the mask framed."
PLACE = "The picture, then a map of how much the probability of its class falls when a grey square hides each place."
PLACES = "The picture, then three maps of how much the probability of its class falls when a square hides each place."
SPREAD = "A small labelled array, the larger array that your code makes of it, and the right one."


def draw_seen(photographs: Sequence[np.ndarray], heads: np.ndarray, rollout: np.ndarray, shown: Sequence[int]) -> Any:
    """Draw photographs, each in a row with the maps of some heads and the rollout.

    Args:
        photographs: uint8 (H, W, 3) each; their central squares are drawn.
        heads: (B, heads, h, w).
        rollout: (B, h, w).
        shown: the numbers of the heads to draw.
    """
    from minivit.images.decoding import resize_image

    figure = new_figure(1.35 * (len(shown) + 2), 1.42 * len(photographs))
    grid = figure.subplots(len(photographs), len(shown) + 2, squeeze=False)
    for row, photograph in enumerate(photographs):
        square = resize_image(central_square(photograph), SHOWN, SHOWN)
        grid[row, 0].imshow(square)
        for column, head in enumerate(shown, start=1):
            draw_spotlight(grid[row, column], square, heads[row, head])
        draw_spotlight(grid[row, -1], square, rollout[row])
    for axes, title in zip(grid[0], ["photograph", *(f"head {head}" for head in shown), "rollout"], strict=True):
        axes.set_title(title, fontsize=10)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
    return figure


def draw_steps(pixels: np.ndarray, square: np.ndarray, P: int) -> Any:
    """Draw a photograph, its centre square, and the square as the model gets it, with the borders of its patches.

    Args:
        pixels: uint8 (H, W, 3).
        square: uint8 (S, S, 3), of the model's image size.
        P: a patch's side in pixels.
    """
    from matplotlib.patches import Rectangle

    height, width = pixels.shape[:2]
    side = min(height, width)
    figure = new_figure(8.4, 3.0)
    whole, middle, cut = figure.subplots(1, 3, width_ratios=[width / height, 1, 1])
    whole.imshow(pixels)
    corner = ((width - side) // 2 - 0.5, (height - side) // 2 - 0.5)
    whole.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=QUERY, linewidth=2))
    whole.set_title(f"{height} x {width} pixels", fontsize=10)
    middle.imshow(square)
    middle.set_title(f"{square.shape[0]} x {square.shape[1]} pixels", fontsize=10)
    cut.imshow(square)
    for place in range(P, square.shape[0], P):
        cut.axhline(place - 0.5, color="white", linewidth=0.6)
        cut.axvline(place - 0.5, color="white", linewidth=0.6)
    cut.set_title(f"{square.shape[0] // P} x {square.shape[1] // P} patches", fontsize=10)
    for axes in (whole, middle, cut):
        axes.set(xticks=[], yticks=[])
    return figure


def draw_top(picture: np.ndarray, top: Sequence[tuple[str, float]]) -> Any:
    """Draw a picture, and a bar for each of its most probable classes.

    Args:
        picture: uint8 (H, W, 3).
        top: names and probabilities, the largest first.
    """
    figure = new_figure(6.6, 2.4)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.7])
    left.imshow(picture, interpolation="nearest")
    left.set(xticks=[], yticks=[])
    names = [name if len(name) <= 26 else f"{name[:24]} ..." for name, _ in top]
    percent = [100 * probability for _, probability in top]
    right.barh(range(len(top)), percent, color="#0072b2", height=0.65)
    right.set_yticks(range(len(top)), names, fontsize=9)
    for i, value in enumerate(percent):
        right.text(value + 1.5, i, f"{value:.1f}", va="center", fontsize=9)
    right.set(xlim=(0, 115), xlabel="probability (%)", xticks=[0, 50, 100])
    right.invert_yaxis()
    right.spines[["top", "right"]].set_visible(False)
    return figure


def draw_head_maps(picture: np.ndarray, maps: np.ndarray, masks: np.ndarray) -> Any:
    """Draw a picture and a map for each head; an orange line surrounds the patches of its mask.

    Args:
        picture: uint8 (H, W, 3).
        maps: (heads, h, w).
        masks: bool (heads, h, w).
    """
    count = len(maps)
    columns = min(count, 6)
    rows = -(-count // columns)
    figure = new_figure(1.5 * (columns + 1), 1.75 * rows)
    grid = figure.subplots(rows, columns + 1, squeeze=False)
    for axes in grid.ravel():
        axes.axis("off")
    grid[0, 0].imshow(picture, interpolation="nearest")
    height, width = picture.shape[:2]
    h, w = maps.shape[1:]
    for head in range(count):
        axes = grid[head // columns, 1 + head % columns]
        draw_spotlight(axes, picture, maps[head])
        _outline(axes, masks[head], height / h, width / w)
        axes.set_title(f"head {head}: {int(masks[head].sum())} patches", fontsize=9)
    return figure


def draw_occlusion(picture: np.ndarray, drops: Mapping[str, np.ndarray]) -> Any:
    """Draw a picture and maps of the change that hiding each place makes, all on one scale.

    Args:
        picture: uint8 (H, W, 3).
        drops: (h, w) by title, how much the probability falls, from -1 to 1.
    """
    figure = new_figure(1.9 * (len(drops) + 1) + 0.6, 2.2)
    grid = figure.subplots(1, len(drops) + 1)
    grid[0].imshow(picture, interpolation="nearest")
    largest = max(float(np.abs(values).max()) for values in drops.values()) or 1.0
    height, width = picture.shape[:2]
    frame = (-0.5, width - 0.5, height - 0.5, -0.5)
    coloured = None
    for axes, (title, values) in zip(grid[1:], drops.items(), strict=True):
        coloured = axes.imshow(
            100 * values, cmap="PuOr_r", vmin=-100 * largest, vmax=100 * largest, extent=frame, interpolation="nearest"
        )
        axes.set_title(title, fontsize=9)
    for axes in grid:
        axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(coloured, ax=grid[-1], shrink=0.9)
    bar.set_label("fall of the probability\n(percentage points)", fontsize=8)
    return figure


def _outline(axes: Any, mask: np.ndarray, height: float, width: float) -> None:
    """Draw a line around the patches of a mask (h, w), each of height x width pixels."""
    padded = np.pad(mask.astype(int), 1)
    for row, column in np.argwhere(np.diff(padded, axis=0)):
        x, y = (column - 1) * width - 0.5, row * height - 0.5
        axes.plot([x, x + width], [y, y], color=QUERY, linewidth=1.2)
    for row, column in np.argwhere(np.diff(padded, axis=1)):
        x, y = column * width - 0.5, (row - 1) * height - 0.5
        axes.plot([x, x], [y, y + height], color=QUERY, linewidth=1.2)
