"""Pictures of the whole Vision Transformer: the paper's Fig. 1 from live arrays, predictions, accuracies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minivit.utils.figures import BLUE, ORANGE

from ..display import new_figure

GREY = "#555555"
NEIGHBOURS = 5  # patches that are drawn in a row, besides the first and the last
STEP = 5.2  # from one drawn token to the next

# What the pictures show, for readers who cannot see them; here, since some of it answers what the lesson asks first.
FIGURE_ONE = (
    "An image is cut into patches; each becomes a token. A class token and the patches' tokens go through four "
    "blocks. From the class token the head makes ten logits; the bar of the heart is by far the longest. At the "
    "right one block: norm, attention, addition, norm, MLP, addition."
)
PREDICTIONS = (
    "Ten shapes, and below each the three classes that your model finds most probable. Nine are right, most of them"
    " with about 90 %. The star is taken for an arrow."
)
LEARNING = "The loss starts at ln 10, falls in jumps at first, then smoothly to nearly 0."
SCALES = (
    "Four times the same heart. Scaled from -1 to 1, nearly all test images are right; from 0 to 1 about a quarter;"
    " with ImageNet's mean and standard deviation some are lost; with blue and red exchanged hardly any."
)


def draw_figure_one(
    image: np.ndarray,
    tokens: Sequence[np.ndarray],
    probabilities: np.ndarray,
    classes: Sequence[str],
    patch_size: int,
    heads: int,
    mlp_dim: int,
    middle: int,
) -> Any:
    """Draw the paper's Fig. 1 from the arrays that a model computed for one image.

    Args:
        image: (H, W, C) pixels.
        tokens: the input of each block and the output of the last: depth + 1 arrays (T, D).
        probabilities: (K,).
        classes: the K names.
        patch_size, heads, mlp_dim: the sizes of the model.
        middle: the number of a patch, counted from 1, to show with its neighbours.
    """
    figure = new_figure(9.6, 6.8)
    axes = figure.subplots()
    axes.set(xlim=(0, 102), ylim=(0, 73), aspect="equal")
    axes.set_axis_off()
    _draw_flow(axes, image, tokens, probabilities, classes, patch_size, middle)
    _draw_block(axes, tokens[0].shape, heads, mlp_dim, len(tokens) - 1)
    return figure


def _draw_flow(
    axes: Any,
    image: np.ndarray,
    tokens: Sequence[np.ndarray],
    probabilities: np.ndarray,
    classes: Sequence[str],
    P: int,
    middle: int,
) -> None:
    """Draw the left part, from the image at the bottom to the classes at the top."""
    (T, D), C = tokens[0].shape, image.shape[2]
    columns = image.shape[1] // P
    first = min(max(2, middle - NEIGHBOURS // 2), T - 1 - NEIGHBOURS)
    row = range(first, first + NEIGHBOURS)
    places = [1, *row, T - 1]  # the patches shown, counted from 1
    x_of = {0: 15.0, 1: 15 + STEP, T - 1: 15 + STEP * (NEIGHBOURS + 4)}
    x_of |= {place: 15 + STEP * (3 + i) for i, place in enumerate(row)}

    _picture(axes, image, 0, 1, 11, 11)
    for i in range(1, columns):
        axes.plot([11 * i / columns] * 2, [1, 12], color="white", linewidth=0.5, zorder=4)
        axes.plot([0, 11], [1 + 11 * i / columns] * 2, color="white", linewidth=0.5, zorder=4)
    _note(axes, 0, 12.6, f"image {image.shape}", ha="left")
    for place in places:
        r, c = divmod(place - 1, columns)
        _picture(axes, image[r * P : (r + 1) * P, c * P : (c + 1) * P], x_of[place] - 1.9, 4.2, 3.8, 3.8)
        _arrow(axes, x_of[place], 8.3, x_of[place], 14.6)
    _note(axes, x_of[1] - 1.9, 1.6, f"{T - 1} patches of {P} x {P} x {C} = {P * P * C} numbers each", ha="left")

    left, right = x_of[0] - 2.6, x_of[T - 1] + 2.6
    _box(axes, x_of[1] - 2.6, 14.8, right - x_of[1] + 2.6, 4.4, f"linear projection E: {P * P * C} → {D}", "#dce9f5")
    for place in (0, *places):
        if place:
            _arrow(axes, x_of[place], 19.4, x_of[place], 22.0)
        _strip(axes, tokens[0][place], x_of[place], 22.2, 10.5, highlight=place == 0)
        axes.text(x_of[place], 33.5, "0*" if place == 0 else str(place), ha="center", fontsize=8)
        _arrow(axes, x_of[place], 35.2, x_of[place], 37.6)
        _arrow(axes, x_of[place], 42.6, x_of[place], 44.8)
        _strip(axes, tokens[-1][place], x_of[place], 45.0, 10.5, highlight=place == 0)
    for y in (6, 27, 50):
        for x in (x_of[1] + STEP, x_of[T - 1] - STEP):
            axes.text(x, y, "…", ha="center", va="center", fontsize=14)
    _note(axes, 0, 29.5, "class token\nand patches,\nplus positions", ha="left", va="top")
    _note(axes, 0, 22.6, f"$z_0$: {T} x {D}   (1)", ha="left")
    _note(axes, 0, 50.5, "after the\nlast block", ha="left")
    _note(axes, 0, 45.4, f"$z_{len(tokens) - 1}$: {T} x {D}", ha="left")
    _box(axes, left, 37.8, right - left, 4.6, f"Transformer encoder: {len(tokens) - 1} blocks   (2), (3)", "#e4e4e4")

    _arrow(axes, x_of[0], 55.9, x_of[0], 58.4)
    _box(axes, left, 58.6, 20, 4.4, f"norm, head: {D} → {len(classes)}   (4)", "#fbe3d1")
    _arrow(axes, left + 20, 60.8, left + 23.5, 60.8)
    best = int(np.argmax(probabilities))
    for k, (name, value) in enumerate(zip(classes, probabilities, strict=True)):
        x, chosen = left + 25 + 3.1 * k, k == best
        height = max(0.15, 7.5 * float(value))
        axes.add_patch(_rectangle(x, 61.2, 2.2, height, ORANGE if chosen else BLUE))
        axes.text(x + 1.1, 60.7, name, rotation=90, ha="center", va="top", fontsize=6.5, zorder=6)
    axes.text(left + 25, 70, f"{classes[best]}: {probabilities[best]:.1%}", color=ORANGE, fontsize=11, weight="bold")


def _draw_block(axes: Any, shape: tuple[int, ...], heads: int, mlp_dim: int, depth: int) -> None:
    """Draw the right part: what one block does, from the bottom up."""
    T, D = shape
    x, width = 78.0, 18.0
    axes.add_patch(_rectangle(70, 3.5, 31.5, 62, "#f2f2f2", edge="#999999"))
    axes.text(71, 64.6, f"one block,\n{depth} times", fontsize=9, weight="bold", color=GREY, va="top")
    middle = x + width / 2
    steps = [
        (10.5, "norm1", "#fff3c4"),
        (18.5, f"attention, {heads} heads", "#d7eadf"),
        (40.5, "norm2", "#fff3c4"),
        (48.5, "MLP", "#dce9f5"),
    ]
    for y, text, colour in steps:
        _box(axes, x, y, width, 4.2, text, colour)
    for y in (31, 59.5):
        axes.add_patch(_circle(middle, y))
        axes.text(middle, y, "+", ha="center", va="center", fontsize=12, zorder=6)
    for start, end in ((1, 10.3), (14.9, 18.3), (22.9, 29.2), (32.8, 40.3), (44.9, 48.3), (52.9, 57.7), (61.3, 70)):
        _arrow(axes, middle, start, middle, end)
    for low, high in ((7, 31), (36.5, 59.5)):  # the residual connections
        axes.plot([middle, 73, 73], [low, low, high], color=GREY, linewidth=1.1)
        _arrow(axes, 73, high, middle - 1.7, high)
    for y, text in ((4.6, f"{T} x {D}"), (34.2, f"{T} x {D}"), (63, f"{T} x {D}")):
        _note(axes, middle + 1, y, text, ha="left")
    _note(axes, middle + 1, 25.5, f"q, k, v: {heads} x {T} x {D // heads}\nweights: {heads} x {T} x {T}", ha="left")
    _note(axes, middle + 1, 54.6, f"inside: {T} x {mlp_dim}", ha="left")
    _note(axes, middle + 2.6, 30.5, "Eq. 2", ha="left")
    _note(axes, middle + 2.6, 59, "Eq. 3", ha="left")


def draw_predictions(
    pixels: np.ndarray, probabilities: np.ndarray, labels: Sequence[int], classes: Sequence[str]
) -> Any:
    """Draw ten images, each above its three most probable classes, with the right one in orange.

    Args:
        pixels: (10, H, W, C).
        probabilities: (10, K).
        labels: the right classes.
        classes: the K names.
    """
    figure = new_figure(7, 3.2)
    grid = figure.subplots(4, 5)
    for i, (image, row, label) in enumerate(zip(pixels, probabilities, labels, strict=True)):
        above, below = grid[i // 5 * 2, i % 5], grid[i // 5 * 2 + 1, i % 5]
        above.imshow(image)
        above.set_axis_off()
        best = np.argsort(row)[::-1][:3]
        colours = [ORANGE if k == label else BLUE for k in best]
        below.barh(range(3), row[best], color=colours, height=0.75)
        below.set_yticks(range(3), [f"{classes[k]} {row[k]:.0%}" for k in best], fontsize=8)
        below.set(xlim=(0, 1), xticks=[])
        below.invert_yaxis()
        below.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def draw_accuracies(samples: Mapping[str, np.ndarray], accuracies: Mapping[str, float]) -> Any:
    """Draw one image scaled in different ways, and the accuracy of a model with each.

    Args:
        samples: one channel (H, W) of the model's input, by name.
        accuracies: from 0 to 1, by the same names.
    """
    figure = new_figure(2.1 * len(samples), 3.1)
    top, bottom = figure.subplots(2, len(samples), height_ratios=[2.6, 1], squeeze=False)
    for image, bar, (name, values) in zip(top, bottom, samples.items(), strict=True):
        image.imshow(values, cmap="gray", vmin=-1, vmax=1)
        image.set_title(f"{name}\n{values.min():.2f} to {values.max():.2f}", fontsize=9)
        image.set_axis_off()
        right = accuracies[name]
        bar.barh([0], [right], color=ORANGE if right < 0.5 else BLUE, height=0.6)
        bar.set(xlim=(0, 1), ylim=(-0.5, 0.5), yticks=[], xticks=[0, 1])
        bar.set_xticklabels(["0", "100 %"], fontsize=8)
        bar.text(0.5, 0.36, f"{right:.1%} right", ha="center", va="bottom", fontsize=10)
        bar.spines[["top", "right"]].set_visible(False)
    return figure


def draw_learning(losses: Sequence[float]) -> Any:
    """Draw the loss of each step, and the loss of guessing among ten classes."""
    figure = new_figure(6.5, 2.6)
    axes = figure.subplots()
    axes.axhline(np.log(10), color="black", linestyle=":", linewidth=1)
    axes.annotate("ln 10", (len(losses) - 1, np.log(10)), (0, -12), textcoords="offset points", fontsize=9, ha="right")
    axes.plot(losses, color=BLUE, linewidth=2)
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.grid(alpha=0.3)
    return figure


# -- small parts ----------------------------------------------------------------------------------------


def _picture(axes: Any, image: np.ndarray, x: float, y: float, width: float, height: float) -> None:
    axes.imshow(image, extent=(x, x + width, y, y + height), interpolation="nearest", zorder=3, aspect="equal")


def _strip(axes: Any, vector: np.ndarray, x: float, y: float, height: float, highlight: bool) -> None:
    """Draw a token as a column of colours."""
    reach = 2.5 * float(vector.std()) or 1.0
    extent = (x - 1.1, x + 1.1, y, y + height)
    axes.imshow(vector[:, None], extent=extent, cmap="cividis", vmin=-reach, vmax=reach, aspect="auto", zorder=3)
    edge = ORANGE if highlight else "#777777"
    axes.add_patch(
        _rectangle(x - 1.1, y, 2.2, height, "none", edge=edge, linewidth=2.2 if highlight else 0.7, zorder=5)
    )


def _rectangle(
    x: float,
    y: float,
    width: float,
    height: float,
    colour: str,
    edge: str = "none",
    linewidth: float = 1,
    zorder: int = 2,
) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=colour, edgecolor=edge, linewidth=linewidth, zorder=zorder)


def _circle(x: float, y: float) -> Any:
    from matplotlib.patches import Circle

    return Circle((x, y), 1.6, facecolor="white", edgecolor=GREY, zorder=5)


def _box(axes: Any, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    axes.add_patch(_rectangle(x, y, width, height, colour, edge="#777777", zorder=4))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, zorder=6)


def _arrow(axes: Any, x: float, y: float, to_x: float, to_y: float) -> None:
    style = {"arrowstyle": "-|>", "color": GREY, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    axes.annotate("", (to_x, to_y), (x, y), arrowprops=style, zorder=4)


def _note(axes: Any, x: float, y: float, text: str, ha: str = "center", va: str = "bottom") -> None:
    axes.text(x, y, text, ha=ha, va=va, fontsize=8, color=GREY, zorder=6)
