"""Pictures of attention: one query, all queries at once, saturated softmax, a trained model's maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivit.utils.figures import BLUE, ORANGE

from ..display import new_figure

# Descriptions of pictures that the lesson asks questions about: here, they do not give the answer away.
ALT_ASKING = (
    "Four panels. A heart with the patch at its tip marked; the scores of its query with all 64 keys, about 8 on the "
    "heart and -7 on the background; the weights, up to 10 % on patches of the heart and 0 on the background; an arrow "
    "from the tip to the heart's middle."
)
ALT_DIVISORS = (
    "Three maps of the same patch's attention in %. As trained, spread over the heart; not divided, gathered on fewer "
    "of its patches, one with a fifth of the weight; divided by D_h, between 1 and 3 % everywhere. The titles give the "
    "accuracy of the model: nearly all right; about three in five; one in ten."
)


def draw_asking(image: np.ndarray, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, patch: Any) -> Any:
    """Draw one query step by step: the image, the scores, the weights, and the weighted mean of the values.

    Args:
        image: (H, W, 3) pixels from 0 to 255.
        queries, keys: (N, D_h).
        values: (N, 2), positions in the grid: row and column.
        patch: the row and column of the query.
    """
    rows, columns = patch
    side = int(len(keys) ** 0.5)
    scores = keys @ queries[rows * side + columns]  # (N,)
    shares = np.exp(scores - scores.max())
    weights = shares / shares.sum()

    figure = new_figure(11.2, 3.1)
    asks, scored, weighted, placed = figure.subplots(1, 4)
    _image(asks, image, side)
    _mark(asks, patch)
    asks.set_title("1  a patch asks", fontsize=10)
    _numbers(scored, scores.reshape(side, side), "{:.1f}", "cividis")
    _mark(scored, patch)
    scored.set_title("2  scores: its query · every key", fontsize=10)
    _numbers(weighted, 100 * weights.reshape(side, side), "{:.0f}", "viridis")
    _mark(weighted, patch)
    weighted.set_title("3  weights: softmax, in %", fontsize=10)
    _image(placed, image, side, fade=0.45)
    _mark(placed, patch)
    _arrow(placed, np.array(patch, float), weights @ values)
    placed.set_title("4  output: weighted mean position", fontsize=10)
    return figure


def draw_everyone(image: np.ndarray, weights: np.ndarray, values: np.ndarray, patch: Any) -> Any:
    """Draw all queries: the matrix of weights, one of its rows as a map, and the output for every patch.

    Args:
        image: (H, W, 3) pixels.
        weights: (N, N), a row for each query.
        values: (N, 2), positions in the grid.
        patch: row and column of the patch whose row is shown as a map.
    """
    side = int(len(weights) ** 0.5)
    index = patch[0] * side + patch[1]
    figure = new_figure(10.6, 3.8)
    matrix, row, sent = figure.subplots(1, 3)

    matrix.imshow(weights, cmap="viridis", vmin=0, vmax=weights[index].max(), interpolation="nearest")
    matrix.axhline(index, color=ORANGE, linewidth=1.5)
    matrix.set_title(f"all weights: {len(weights)} queries x {len(weights)} keys", fontsize=10)
    matrix.set_ylabel("query i")
    matrix.set_xlabel("key j")

    _numbers(row, 100 * weights[index].reshape(side, side), "{:.0f}", "viridis")
    _mark(row, patch)
    row.set_title(f"row {index} as a map, in %", fontsize=10)

    _image(sent, image, side, fade=0.35)
    places = np.stack(np.divmod(np.arange(len(weights)), side), axis=1)  # (N, 2)
    outputs = weights @ values  # (N, 2)
    for (r, c), (to_r, to_c) in zip(places, outputs, strict=True):
        if (r + c) % 2:  # every second one, so that the lines stay apart
            sent.plot([c, to_c], [r, to_r], color=BLUE, linewidth=0.6)
    sent.plot(outputs[:, 1], outputs[:, 0], "o", color=BLUE, markersize=4)
    _arrow(sent, places[index], outputs[index])
    sent.set_title("from patches to their outputs", fontsize=10)
    return figure


def draw_saturation(seed: int = 0, keys: int = 16, trials: int = 300) -> Any:
    """Draw the weights and derivatives of softmax with and without the division by √D_h.

    Args:
        seed: the seed of the random queries and keys.
        keys: the number of keys of each query.
        trials: the number of random queries that each point averages.
    """
    rng = np.random.default_rng(seed)
    figure = new_figure(10.6, 3.2)
    bars, largest, derivative = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])

    scores = _random_scores(rng, 1, keys, 64)[0]
    position = np.arange(keys)
    bars.bar(position - 0.2, _softmax(scores), 0.4, color=ORANGE, label="softmax(q · k)")
    bars.bar(position + 0.2, _softmax(scores / 8.0), 0.4, color=BLUE, label="softmax(q · k / √D_h)")
    bars.set_title(f"one query, {keys} random keys, D_h = 64", fontsize=10)
    bars.set_xlabel("key")
    bars.set_xticks(position)
    bars.tick_params(axis="x", labelsize=7)
    bars.set_ylabel("weight")
    bars.set_ylim(0, 1)
    bars.legend(fontsize=8)

    widths = 2 ** np.arange(0, 11)
    for divided, colour, name in ((False, ORANGE, "without"), (True, BLUE, "with / √D_h")):
        tops, derivatives = [], []
        for width in map(int, widths):
            weights = _softmax(_random_scores(rng, trials, keys, width) / (width**0.5 if divided else 1.0))
            tops.append(weights.max(axis=-1).mean())
            derivatives.append((weights * (1 - weights)).sum(axis=-1).mean())
        largest.plot(widths, tops, "o-", color=colour, markersize=4, label=name)
        derivative.plot(widths, derivatives, "o-", color=colour, markersize=4, label=name)
    for axes, title in ((largest, "largest weight"), (derivative, "derivative of softmax: Σ w (1 − w)")):
        axes.set_xscale("log", base=2)
        axes.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1024"])
        axes.set_xlabel("D_h")
        axes.set_ylim(0, 1)
        axes.set_title(title, fontsize=10)
    largest.legend(fontsize=8, loc="center right")
    return figure


def draw_maps(image: np.ndarray, weights: Sequence[np.ndarray], patch: Any) -> Any:
    """Draw what a patch attends to in every head of every block.

    Args:
        image: (H, W, 3) pixels.
        weights: one array for each block, (heads, N + 1, N + 1), the class token first.
        patch: row and column of the query.
    """
    heads, tokens, _ = weights[0].shape
    side = int((tokens - 1) ** 0.5)
    index = 1 + patch[0] * side + patch[1]
    figure = new_figure(2.0 + 2.0 * len(weights), 2.1 * heads)
    grid = figure.add_gridspec(heads, 1 + len(weights))
    whole = figure.add_subplot(grid[:, 0])
    _image(whole, image, side)
    _mark(whole, patch)
    whole.set_title(f"patch {patch} asks", fontsize=10)
    for block, layer in enumerate(weights):
        for head in range(heads):
            axes = figure.add_subplot(grid[head, 1 + block])
            _map(axes, layer[head, index, 1:].reshape(side, side), patch)
            axes.set_title(f"block {block}, head {head}", fontsize=9)
    return figure


def draw_side_by_side(maps: Sequence[np.ndarray], titles: Sequence[str], patch: Any) -> Any:
    """Draw maps of attention in a row, each in its own colour scale, with the weights as numbers.

    Args:
        maps: each (side, side), weights from 0 to 1.
        titles: one for each map.
        patch: row and column of the query.
    """
    figure = new_figure(3.3 * len(maps), 3.5)
    for axes, weights, title in zip(figure.subplots(1, len(maps)), maps, titles, strict=True):
        _numbers(axes, 100 * weights, "{:.0f}", "viridis")
        _mark(axes, patch)
        axes.set_title(title, fontsize=10)
    return figure


# -- parts of a picture ---------------------------------------------------------------------------------


def _softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def _random_scores(rng: np.random.Generator, queries: int, keys: int, width: int) -> np.ndarray:
    """Return dot products of normal vectors, (queries, keys), with separate keys for each query."""
    q = rng.standard_normal((queries, 1, width))
    k = rng.standard_normal((queries, keys, width))
    return (q * k).sum(axis=-1)


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _image(axes: Any, image: np.ndarray, side: int, fade: float = 1.0) -> None:
    """Draw the image in coordinates of patches, so that the centre of patch (r, c) is at x = c, y = r."""
    axes.imshow(image, extent=(-0.5, side - 0.5, side - 0.5, -0.5), alpha=fade, interpolation="nearest")
    for line in range(1, side):
        axes.axhline(line - 0.5, color="white", linewidth=0.5, alpha=0.7)
        axes.axvline(line - 0.5, color="white", linewidth=0.5, alpha=0.7)
    _bare(axes)


def _map(axes: Any, values: np.ndarray, patch: Any) -> None:
    """Draw a map from black for 0 to yellow for its largest weight, which is written below it."""
    axes.imshow(values, cmap="viridis", vmin=0, vmax=values.max())
    _mark(axes, patch)
    axes.set_xlabel(f"largest {100 * values.max():.0f} %", fontsize=8)
    _bare(axes)


def _mark(axes: Any, patch: Any) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((patch[1] - 0.5, patch[0] - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.2))


def _numbers(axes: Any, values: np.ndarray, form: str, colours: str) -> None:
    """Draw a matrix as coloured cells with its numbers in them."""
    axes.imshow(values, cmap=colours)
    middle = (values.max() + values.min()) / 2
    for (row, column), value in np.ndenumerate(values):
        ink = "black" if value > middle else "white"
        text = form.format(value)
        axes.text(column, row, "0" if text == "-0" else text, ha="center", va="center", fontsize=6.5, color=ink)
    _bare(axes)


def _arrow(axes: Any, start: np.ndarray, end: np.ndarray) -> None:
    """Draw an arrow from (row, column) to (row, column)."""
    style = {"arrowstyle": "->", "color": ORANGE, "linewidth": 2.0}
    axes.annotate("", xy=(end[1], end[0]), xytext=(start[1], start[0]), arrowprops=style)
