"""Figures of a model: its embeddings and its attention.

Each `draw_...` function fills a matplotlib figure, or a part of one. Maps over an image are drawn by `spotlight.py`;
important values are also written as numbers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset
from ..models import ViT, ViTConfig
from ..utils.aliases import old_names
from ..utils.figures import LIGHT, LONGEST_CLASS, WRONG, Canvas, Scheme, figure_style, new_figure, write_figure
from ..utils.text import printable, write_words
from .attention import class_token_attention
from .embeddings import FilterComponents
from .spotlight import as_rgb, draw_spotlight, spotlight

SCALE = "in full colour: the largest value of the map; grey: 0"
BRIGHTEST = 10  # % of the patches of a prediction that are in full colour: attention may be on two or three alone
SCALE_OF_BRIGHTEST = f"in full colour: the {BRIGHTEST} % of the patches with the most attention; grey: no attention"

# -- embeddings ----------------------------------------------------------------------------------


def draw_filters(canvas: Canvas, found: FilterComponents, scheme: Scheme = LIGHT, columns: int = 7) -> None:
    """Draw the components of the patch embedding's filters: grey is 0; below each is its share of the variance."""
    count = len(found.components)
    grid = canvas.subplots(-(-count // columns), columns, squeeze=False).ravel()
    for plot in grid:
        plot.set_axis_off()
    for plot, component, share in zip(grid, found.components, found.explained, strict=False):
        plot.imshow(as_rgb(0.5 + component / (2 * np.abs(component).max())), interpolation="nearest")
        plot.set_title(f"{share:.1%}", y=-0.32, fontsize=8, color=scheme.ink)


def draw_positions(canvas: Canvas, similarity: np.ndarray, scheme: Scheme = LIGHT) -> None:
    """Draw a map for each patch at its place in the grid: the similarity of its position embedding to all others.

    Args:
        canvas: the figure to fill.
        similarity: (h, w, h, w), from `position_similarity`.
        scheme: the colours.
    """
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
    plot.set_xlabel("patch column")
    plot.set_ylabel("patch row")
    bar = canvas.colorbar(image, ax=plot, shrink=0.85)
    bar.set_label("cosine similarity", color=scheme.ink)
    _apply_colours(plot, scheme)
    _apply_colours(bar.ax, scheme)
    for side in plot.spines.values():
        side.set_visible(False)
    plot.tick_params(length=0)


# -- attention -----------------------------------------------------------------------------------


def draw_distances(canvas: Canvas, distances: np.ndarray, uniform: float, scheme: Scheme = LIGHT) -> None:
    """Draw the mean attention distance of each head (a point) and of each layer (a line, and a number).

    Args:
        canvas: the figure to fill.
        distances: (L, heads), in pixels.
        uniform: the mean distance under uniform attention, in pixels, drawn as a dashed line.
        scheme: the colours.
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
    plot.set(xlabel="layer, mean of its heads (pixels)", ylabel="mean attention distance (pixels)")
    plot.set(xlim=(0.5, depth + 0.5), ylim=(0, 1.08 * max(distances.max(), uniform)))
    plot.grid()
    plot.legend(labelcolor=scheme.ink, loc="lower right")
    _apply_colours(plot, scheme)


def draw_images(
    canvas: Canvas,
    pixels: np.ndarray,
    maps: dict[str, np.ndarray],
    titles: Sequence[str],
    scheme: Scheme = LIGHT,
    scale: str = SCALE,
    patch: int | None = None,
) -> None:
    """Draw a column for each image: the image in the first row, and below it the image under the spotlight of each map.

    Args:
        canvas: the figure to fill.
        pixels: (B, H, W, C), uint8.
        maps: name of the map -> (B, h, w); each is a row.
        titles: the text above each image.
        scheme: the colours.
        scale: what the colours of a map mean, in words.
        patch: the side of a patch in pixels, as for `spotlight`.
    """
    grid = canvas.subplots(1 + len(maps), len(pixels), squeeze=False)
    for i, title in enumerate(titles):
        draw_spotlight(grid[0, i], pixels[i])
        write_words(grid[0, i].set_title("", fontsize=9, color=scheme.ink), title)
        for row, values in enumerate(maps.values(), 1):
            draw_spotlight(grid[row, i], pixels[i], values[i], patch)
    for plot in grid.ravel():
        plot.set(xticks=[], yticks=[])
        _apply_colours(plot, scheme)
    if maps:
        canvas.supxlabel(scale, fontsize=9, color=scheme.faint)
    for row, name in enumerate(["image", *maps]):
        grid[row, 0].set_ylabel(name.replace(" attention", "\nattention"), fontsize=9)  # two lines for a small image


def attention_name(config: ViTConfig) -> str:
    """Return what the attention maps of a model show: the attention of the tokens that its head reads."""
    return "class-token attention" if config.reads_class_token else "mean patch attention"


def map_png(image: np.ndarray, values: np.ndarray | None = None, side: int = 288, patch: int | None = None) -> bytes:
    """Return an image as a PNG file, under the spotlight of a map if there is one.

    A small image is enlarged by an integer, so that its longer side has about `side` pixels.

    Args:
        image, values, patch: as for `spotlight`; without `values`, the image alone is returned.
        side: in pixels.
    """
    from PIL import Image

    pixels = as_rgb(image) if values is None else spotlight(image, values, patch)
    times = max(1, round(side / max(pixels.shape[:2])))
    file = io.BytesIO()
    Image.fromarray(pixels.repeat(times, axis=0).repeat(times, axis=1)).save(file, "PNG", optimize=True)
    return file.getvalue()


@figure_style()
def predictions_figure(
    model: ViT, dataset: Dataset, path: str | Path | Sequence[Path], count: int = 10, title: str = ""
) -> None:
    """Write a figure of the first `count` images: predicted class, probability, and attention.

    If the head does not read the class token, the attention is the mean over the patch tokens.

    Args:
        model: a ViT.
        dataset: images of the model's size.
        path: the file to write, or several: .png, .svg or .pdf.
        count: the number of images.
        title: the text above the figure.

    Raises:
        SaveError: if the file cannot be written.
    """
    pixels, labels = dataset.images[:count], dataset.labels[:count]
    probabilities = model.predict(pixels)  # (B, K)
    predicted = probabilities.argmax(axis=1)  # (B,)
    titles = [
        prediction_title(dataset.classes[k], float(row[k]), None if k == label else dataset.classes[label])
        for k, row, label in zip(predicted, probabilities, labels, strict=True)
    ]

    figure = new_figure(1.25 * count, 3.3)
    maps = class_token_attention(model, pixels)  # (B, h, w)
    maps = np.minimum(maps, np.percentile(maps, 100 - BRIGHTEST, axis=(1, 2), keepdims=True))
    name, patch = attention_name(model.config), model.config.patch_pixels
    draw_images(figure, pixels, {name: maps}, titles, scale=SCALE_OF_BRIGHTEST, patch=patch)
    for plot, right in zip(figure.axes, predicted == labels, strict=False):
        plot.title.set_color(LIGHT.ink if right else WRONG)
    write_words(figure.suptitle("", fontsize=10), title)
    write_figure(figure, path)


def prediction_title(predicted: str, probability: float, instead: str | None) -> str:
    """Return what is written above an image: the predicted class, its probability, and the right class if another.

    Args:
        predicted: the name of the predicted class.
        probability: from 0 to 1.
        instead: the name of the right class if the prediction is wrong, else None. Two classes may have one name, so
            that the caller compares their numbers.
    """
    text = f"{printable(predicted, LONGEST_CLASS)}\n{probability:.0%}"
    return text if instead is None else f"{text}\nis: {printable(instead, LONGEST_CLASS)}"


def _apply_colours(plot: Any, scheme: Scheme) -> None:
    """Set the colours of the background, frame, ticks and labels of a plot."""
    plot.set_facecolor(scheme.paper)
    plot.tick_params(colors=scheme.ink, labelsize=9)
    for text in (plot.xaxis.label, plot.yaxis.label, plot.title):
        text.set_color(scheme.ink)
    for side in plot.spines.values():
        side.set_color(scheme.faint)


__getattr__ = old_names(
    __name__, {"picture_title": "prediction_title", "draw_map": "minivit.insight.spotlight.draw_spotlight"}
)
