"""Figures of a model: what it has learned, and where it looks.

Each `draw_...` function fills a matplotlib figure, or a part of one. Colours are those of viridis and of Okabe and
Ito's palette, which colour-blind readers can tell apart, and what counts is written beside them as numbers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset
from ..models import ViT
from ..utils.files import atomic_file
from ..utils.text import printable, write_words
from .attention import class_token_attention
from .embeddings import FilterComponents

# What the functions below fill: a matplotlib Figure, or a SubFigure of one. matplotlib is imported when first used.
Canvas = Any


@dataclass(frozen=True)
class Scheme:
    """The colours of a figure around its data: those of what is written, of lines, and of the ground."""

    ink: str
    faint: str
    paper: str
    line: str
    points: str


LIGHT = Scheme(ink="#1b1b1b", faint="#6a6a6a", paper="#ffffff", line="#d55e00", points="#0072b2")
DARK = Scheme(ink="#e8e8e8", faint="#a0a0a0", paper="#1d1f21", line="#e69f00", points="#56b4e9")
WRONG = "#b5370c"
LONGEST_CLASS = 24  # characters of a class above a small image


def new_figure(width: float, height: float, scheme: Scheme = LIGHT) -> Canvas:
    """An empty figure, `width` x `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor=scheme.paper)


def png(figure: Canvas, dpi: int = 110) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return buffer.getvalue()


# -- what the weights hold -----------------------------------------------------------------------


def draw_filters(canvas: Canvas, found: FilterComponents, scheme: Scheme = LIGHT, columns: int = 7) -> None:
    """The patch embedding's components as pictures: grey is 0; below each its share of the variance in percent."""
    count = len(found.components)
    grid = canvas.subplots(-(-count // columns), columns, squeeze=False).ravel()
    for plot in grid:
        plot.set_axis_off()
    for plot, component, share in zip(grid, found.components, found.explained, strict=False):
        plot.imshow(as_rgb(0.5 + component / (2 * np.abs(component).max())), interpolation="nearest")
        plot.set_title(f"{share:.1%}", y=-0.32, fontsize=8, color=scheme.ink)


def draw_positions(canvas: Canvas, similarity: np.ndarray, scheme: Scheme = LIGHT) -> None:
    """A map for each patch, laid out as the patches are: how like every other position embedding its own is."""
    rows, columns = similarity.shape[:2]
    gap = max(1, round(0.15 * min(rows, columns)))
    mosaic = np.full((rows * (rows + gap) - gap, columns * (columns + gap) - gap), np.nan)
    for i in range(rows):
        for j in range(columns):
            top, left = i * (rows + gap), j * (columns + gap)
            mosaic[top : top + rows, left : left + columns] = similarity[i, j]

    plot = canvas.subplots()
    image = plot.imshow(mosaic, cmap="viridis", vmax=1.0, interpolation="nearest")
    every = max(1, -(-max(rows, columns) // 16))  # at most 16 numbers on an axis
    plot.set_xticks(np.arange(0, columns, every) * (columns + gap) + (columns - 1) / 2, range(1, columns + 1, every))
    plot.set_yticks(np.arange(0, rows, every) * (rows + gap) + (rows - 1) / 2, range(1, rows + 1, every))
    plot.set_xlabel("patch's column")
    plot.set_ylabel("patch's row")
    bar = canvas.colorbar(image, ax=plot, shrink=0.85)
    bar.set_label("cosine similarity", color=scheme.ink)
    _ink(plot, scheme)
    _ink(bar.ax, scheme)
    for side in plot.spines.values():
        side.set_visible(False)
    plot.tick_params(length=0)


# -- where it looks ------------------------------------------------------------------------------


def draw_distances(canvas: Canvas, distances: np.ndarray, uniform: float, scheme: Scheme = LIGHT) -> None:
    """A point for each head at its layer, the layers' means as a line and as numbers, and what uniform attention gives.

    distances: (L, heads), in pixels.
    """
    depth, heads = distances.shape
    layers, means = np.arange(1, depth + 1), distances.mean(axis=1)
    plot = canvas.subplots()
    plot.axhline(uniform, color=scheme.faint, ls="--", lw=1, label=f"uniform attention: {uniform:.1f}")
    plot.plot(np.repeat(layers, heads), distances.ravel(), "o", ms=5, alpha=0.8, color=scheme.points, label="one head")
    plot.plot(layers, means, "-", lw=1.6, color=scheme.line, label="mean of the layer")
    every = -(-depth // 12)  # at most 12 numbers below the axis
    labels = [f"{layer}\n{mean:.3g}" for layer, mean in zip(layers, means, strict=True)]
    plot.set_xticks(layers[::every], labels[::every])
    plot.set(xlabel="layer, and below it the mean of its heads", ylabel="mean attention distance (pixels)")
    plot.set(xlim=(0.5, depth + 0.5), ylim=(0, 1.08 * max(distances.max(), uniform)))
    plot.grid(alpha=0.25)
    plot.legend(frameon=False, labelcolor=scheme.ink, loc="lower right", fontsize=9)
    _ink(plot, scheme)


def draw_images(
    canvas: Canvas, pixels: np.ndarray, maps: dict[str, np.ndarray], titles: Sequence[str], scheme: Scheme = LIGHT
) -> None:
    """A column for each image, a row for the images and one for each kind of map under its name."""
    grid = canvas.subplots(1 + len(maps), len(pixels), squeeze=False)
    for i, title in enumerate(titles):
        draw_map(grid[0, i], pixels[i], None)
        write_words(grid[0, i].set_title("", fontsize=9, color=scheme.ink), title)
        for row, values in enumerate(maps.values(), 1):
            draw_map(grid[row, i], pixels[i], values[i])
    for plot in grid.ravel():
        plot.set(xticks=[], yticks=[])
        _ink(plot, scheme)
    for row, name in enumerate(["image", *maps]):
        grid[row, 0].set_ylabel(name.replace("'s ", "'s\n"), fontsize=9)  # two lines beside a small image


def draw_map(plot: Any, picture: np.ndarray, values: np.ndarray | None) -> None:
    """The picture (H, W, C); with values (h, w) it is grey below their colours, from 0 (dark) to their largest.

    Only the middle half of the greys is used, so that what is light or dark is the values and not the picture.
    """
    height, width = picture.shape[:2]
    if values is None:
        plot.imshow(as_rgb(picture), interpolation="nearest")
        return
    plot.imshow(picture.mean(axis=-1), cmap="gray", interpolation="nearest", vmin=-128, vmax=383)
    plot.imshow(
        values, cmap="viridis", vmin=0, alpha=0.65, interpolation="bicubic",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )  # fmt: skip


def map_png(picture: np.ndarray, values: np.ndarray | None = None, side: int = 288) -> bytes:
    """`draw_map` alone, without a frame, `side` pixels along the longer side."""
    height, width = picture.shape[:2]
    longer = max(height, width)
    figure = new_figure(width / longer, height / longer)
    plot = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    draw_map(plot, picture, values)
    plot.set_axis_off()
    figure.set_layout_engine("none")
    return png(figure, dpi=side)


def predictions_figure(model: ViT, dataset: Dataset, path: str | Path, count: int = 10, title: str = "") -> None:
    """Write a picture of the first `count` images: what the model says, how sure it is, and where it looks."""
    pixels, labels = dataset.images[:count], dataset.labels[:count]
    probabilities = model.predict(pixels)
    said = probabilities.argmax(axis=1)
    titles = [
        picture_title(dataset.classes[k], float(row[k]), dataset.classes[label])
        for k, row, label in zip(said, probabilities, labels, strict=True)
    ]

    figure = new_figure(1.25 * count, 3.3)
    draw_images(figure, pixels, {"class token's attention": class_token_attention(model, pixels)}, titles)
    for plot, right in zip(figure.axes, said == labels, strict=False):
        plot.title.set_color(LIGHT.ink if right else WRONG)
    write_words(figure.suptitle("", fontsize=10), title)
    with atomic_file(path) as file:
        file.write(png(figure))


def picture_title(said: str, probability: float, truth: str | None) -> str:
    """What the model says, how sure it is, and what is right if that is something else."""
    text = f"{printable(said, LONGEST_CLASS)}\n{probability:.0%}"
    return text if truth in (None, said) else f"{text}\nis: {printable(truth, LONGEST_CLASS)}"


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """(H, W, C) as matplotlib shows it: one channel becomes three; of more than three, the mean is shown."""
    channels = picture.shape[-1]
    return picture if channels == 3 else np.repeat(picture.mean(-1, keepdims=True).astype(picture.dtype), 3, axis=-1)


def _ink(plot: Any, scheme: Scheme) -> None:
    """Give everything that is written around a plot the scheme's colours."""
    plot.set_facecolor(scheme.paper)
    plot.tick_params(colors=scheme.ink, labelsize=9)
    for text in (plot.xaxis.label, plot.yaxis.label, plot.title):
        text.set_color(scheme.ink)
    for side in plot.spines.values():
        side.set_color(scheme.faint)
