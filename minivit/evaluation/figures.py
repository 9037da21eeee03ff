"""Figures of a report: the confusion matrix, the calibration, and the most confident mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..images.decoding import Images, resize_image
from ..utils.figures import LIGHT, LONGEST_CLASS, WRONG, Canvas, figure_style, new_figure
from ..utils.text import printable, write_words
from .measures import CalibrationBin

NAMED_CLASSES = 100  # of more classes, an axis has numbers
COUNTED_CLASSES = 25  # up to here each cell of the matrix has its number
COLUMNS, LONGEST_SIDE = 6, 200  # of the figure of mistakes: images in a row, and the side of an image in pixels


@figure_style()
def confusion_figure(matrix: np.ndarray, classes: Sequence[str], title: str = "") -> Canvas:
    """Return a figure of a confusion matrix: colours are shares of each class's images, numbers are images.

    Classes without images that were never predicted are left out.

    Args:
        matrix: int64 (K, K), of the right class (rows) and the predicted one (columns).
        classes: the K names.
        title: the text above the figure.
    """
    from matplotlib.colors import PowerNorm

    involved = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    matrix, names = matrix[np.ix_(involved, involved)], [classes[int(k)] for k in involved]
    count = len(names)
    images = matrix.sum(axis=1, keepdims=True)  # (K, 1)
    shares = np.ma.masked_where(np.broadcast_to(images == 0, matrix.shape), 100 * matrix / np.maximum(images, 1))

    side = float(np.clip(0.4 * count, 2.6, 17 if count <= NAMED_CLASSES else 9))
    figure = new_figure(side + 3.2, side + 1.9)
    plot = figure.subplots()
    plot.set_facecolor("#dddddd")  # of a class without images
    # The square root shows a few mistakes among many right answers.
    shown = plot.imshow(shares, cmap="viridis", norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
    bar = figure.colorbar(shown, ax=plot, shrink=0.7, ticks=[0, 1, 5, 10, 25, 50, 75, 100])
    bar.set_label("share of the class's images (%)")
    if count <= COUNTED_CLASSES:
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "black" if shares[i, j] > 45 else "white"
            plot.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", fontsize=8, color=colour)
    if count <= NAMED_CLASSES:
        size = 9 if count <= 40 else 6.5
        name_ticks(plot.xaxis, names, fontsize=size, rotation=90)
        name_ticks(plot.yaxis, names, fontsize=size)
        plot.tick_params(length=0)
    plot.set_xlabel("predicted class" if count <= NAMED_CLASSES else "predicted class (number)")
    plot.set_ylabel("right class" if count <= NAMED_CLASSES else "right class (number)")
    write_words(figure.suptitle("", fontsize=11), title)
    return figure


def name_ticks(axis: Any, names: Sequence[str], **style: Any) -> None:
    """Write names at 0, 1, 2 ... of an axis, in fonts that have their letters.

    Args:
        axis: matplotlib's x or y axis.
        names: the names, of any letters.
        style: of matplotlib's text.
    """
    axis.set_ticks(range(len(names)), [""] * len(names), **style)
    words = axis.get_ticklabels()
    for word, name in zip(words, names, strict=True):
        write_words(word, printable(name, LONGEST_CLASS))
    axis.set_ticks(range(len(names)), [word.get_text() for word in words])  # the axis writes them anew when it is drawn


@figure_style()
def calibration_figure(bins: Sequence[CalibrationBin], error: float, title: str = "") -> Canvas:
    """Return a reliability diagram (arXiv 1706.04599): accuracy against confidence, and how many images have which.

    Args:
        bins: from `measures.calibration`.
        error: the expected calibration error.
        title: the text above the figure.
    """
    figure = new_figure(5.2, 5.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = 100 / len(bins)
    middles = [50 * (each.above + each.to) for each in bins]
    measured = [
        (middle, 100 * each.accuracy, 100 * each.confidence)
        for middle, each in zip(middles, bins, strict=True)
        if each.accuracy is not None and each.confidence is not None
    ]
    places, accuracies, confidences = zip(*measured, strict=True)

    above.bar(places, accuracies, 0.9 * width, color=LIGHT.points, label="accuracy")
    mean = "at the bin's mean confidence"
    above.plot(confidences, accuracies, "o", ms=3, color=LIGHT.ink, label=mean, clip_on=False)  # also at 100 %
    above.plot([0, 100], [0, 100], "--", lw=1, color=LIGHT.line, label="accuracy equal to confidence")
    above.set(ylabel="accuracy (%)", xlim=(0, 100), ylim=(0, 100))
    above.set_title(f"expected calibration error {error:.2%}, {len(bins)} bins", fontsize=9)
    above.legend(fontsize=8, loc="upper left")
    below.bar(middles, [each.images for each in bins], 0.9 * width, color=LIGHT.faint)
    below.set(xlabel="confidence: probability of the predicted class (%)", ylabel="images")
    for plot in (above, below):
        plot.grid()
    write_words(figure.suptitle("", fontsize=11), title)
    return figure


@figure_style()
def mistakes_figure(images: Images, titles: Sequence[str], title: str = "") -> Canvas:
    """Return a figure of wrongly predicted images.

    Args:
        images: M images, uint8 (H, W, C), which may differ in size; each is read when it is drawn.
        titles: the text above each image.
        title: the text above the figure.
    """
    rows = -(-len(titles) // COLUMNS)
    figure = new_figure(1.75 * COLUMNS, 0.4 + 2.3 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for plot in grid:
        plot.set_axis_off()
    for number, (plot, text) in enumerate(zip(grid, titles, strict=False)):
        pixels = images[number]  # (H, W, C)
        height, width, channels = pixels.shape
        scale = min(1.0, LONGEST_SIDE / max(height, width))  # a photograph is drawn small
        pixels = resize_image(pixels, max(1, round(scale * height)), max(1, round(scale * width)))
        plot.imshow(pixels if channels == 3 else pixels.mean(axis=-1), cmap="gray", interpolation="nearest")
        write_words(plot.set_title("", fontsize=8, color=WRONG), text)
    write_words(figure.suptitle("", fontsize=11), title)
    return figure
