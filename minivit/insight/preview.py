"""Figures to look at before a run: its first batches as the model sees them, and its learning-rate range test."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import to_numpy
from ..data import Batch, dataset_title
from ..data.augment import CROPS
from ..data.manifest import take_manifest
from ..preprocessing import preprocessing_in
from ..training.batches import augmentation_name
from ..training.config import TrainConfig
from ..training.range_test import RangeTest
from ..training.schedule import in_first_steps
from ..training.trainer import build_run
from ..utils.figures import LIGHT, figure_style, new_figure, write_figure
from ..utils.text import LONGEST_LINE, printable, write_words
from .spotlight import as_rgb

COLUMNS = 8  # images in a row of a page
COMPARED = 8  # images beside their originals
LONGEST_LABEL = 20  # characters of a class name below an image
LEAST_SHARE = 0.005  # of a class in a mixed label that is still written
LETTERS = 14  # of an inch of the caption
WORDS = {
    "none": "none",
    "standard": "shifts by up to an eighth of the side, and flips",
    "crop": "random resized crops, and flips",
    "gentle": "random resized crops of half of the area or more, and flips",
}


@dataclass(frozen=True)
class Preview:
    """The first batches of a run.

    Attributes:
        batches: as the model sees them.
        originals: uint8 (H, W, C) each, the images of the first batch before they are changed; the first few.
        classes: the names of the classes.
        caption: the data, the sizes and the augmentation in words.
    """

    batches: Sequence[Batch]
    originals: Sequence[np.ndarray]
    classes: Sequence[str]
    caption: str


def preview_of(config: TrainConfig, batches: int = 1, begun: Path | None = None, show: bool = False) -> Preview:
    """Return the first batches of a run, prepared by the run's own loader; no run is left behind.

    Args:
        config: the options of the run.
        batches: how many.
        begun: the folder of the run, if it has begun: its images are those that it began with.
        show: whether to say what the data set holds, as the run does.
    """
    # What the run computes with its batches changes none of them, and may take long to prepare.
    config = replace(config, freeze=False, teacher="", device="cpu", precision="float32", tensorboard=False)
    with tempfile.TemporaryDirectory(prefix="minivit-") as folder:
        resume = take_manifest(begun, Path(folder))
        run = build_run(config, Path(folder) if resume else None, resume=resume, show=show)
        loader = run.loader
        found = list(islice(loader.batches(0, batches), batches))
        files = [loader.dataset.images[int(i)] for i in loader.order(0)[: min(COMPARED, len(found[0].images))]]
    height, width, _ = run.model.config.image_shape
    prepared = preprocessing_in(run.model.header).described(height, width)
    epochs = run.total_steps / loader.steps_per_epoch
    many_sizes = loader.dataset.image_shape is None
    name = augmentation_name(config, config.dataset, epochs, many_sizes)
    prepared = f"cut and resized to {height} x {width}, scaled to [-1, 1]" if name in CROPS else prepared
    caption = (
        f"{dataset_title(config.dataset)}: batches of {loader.batch_size:,} of {len(loader.dataset):,} training images "
        f"in {len(loader.dataset.classes):,} classes, seed {config.seed}\nimages are {prepared}\n"
        f"augmentation: {augmentation_in_words(config, name)}"
    )
    return Preview(found, files, loader.dataset.classes, caption)


def augmentation_in_words(config: TrainConfig, name: str) -> str:
    """Return how a run changes its images.

    Args:
        config: its options.
        name: the first augmentation: "none", "standard", "crop" or "gentle".
    """
    mixings = [f"mixup {config.mixup:g}"] * bool(config.mixup) + [f"CutMix {config.cutmix:g}"] * bool(config.cutmix)
    mixed = " or ".join(mixings) + " for each batch" * (len(mixings) == 2)
    parts = [
        WORDS.get(name, name) if name != "none" else "",
        f"RandAugment {config.randaugment}" if config.randaugment else "",
        f"the policy {config.auto_augment}" if config.auto_augment else "",
        f"colour jitter {config.color_jitter:g}" if config.color_jitter else "",
        f"random erasing with probability {config.erasing:g}" if config.erasing else "",
        mixed + in_first_steps(config.mix_until) if mixings and config.mix_until else "",
        f"each image {config.repeated_augmentation} times" if config.repeated_augmentation > 1 else "",
    ]
    said = ", ".join(part for part in parts if part) or WORDS["none"]
    auto = f" (--augment auto chose {name})" if config.augment == "auto" else ""
    return said + auto


def pixels_of_batch(images: np.ndarray) -> np.ndarray:
    """Return images of the model (B, H, W, C), floats in [-1, 1], as pixels to look at: uint8."""
    return np.rint(np.asarray(images, np.float32) * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


def label_in_words(label: np.ndarray, classes: Sequence[str]) -> str:
    """Return the name of a class, or "0.70 cat + 0.30 dog" for a mixed label.

    Args:
        label: an integer, or the share of each class (K,).
        classes: the names of the K classes.
    """
    if np.ndim(label) == 0:
        return printable(classes[int(label)], LONGEST_LABEL)
    shares = np.asarray(label)
    kept = [k for k in np.argsort(-shares, kind="stable") if shares[k] >= LEAST_SHARE]
    if len(kept) == 1:
        return printable(classes[kept[0]], LONGEST_LABEL)
    return " + ".join(f"{shares[k]:.2f} {printable(classes[k], LONGEST_LABEL)}" for k in kept)


@figure_style()
def preview_figure(preview: Preview, path: str | Path, images: int = 32) -> None:
    """Write a page with originals beside what the model sees of them, and the batches.

    Args:
        preview: what to draw.
        path: the file: .png, .svg or .pdf.
        images: how many images of each batch to draw.

    Raises:
        SaveError: if the file cannot be written.
    """
    first = preview.batches[0]
    columns = min(COLUMNS, max(images, 1), len(first.images))
    rows_of = [-(-min(images, len(batch.images)) // columns) for batch in preview.batches]
    heights = [2 * 1.35, *(1.35 * rows for rows in rows_of)]
    width = 1.5 * columns + 0.4
    letters = min(LONGEST_LINE, round(LETTERS * width))
    lines = [
        part for line in preview.caption.split("\n") for part in textwrap.wrap(line, letters, break_on_hyphens=False)
    ]
    figure = new_figure(width, sum(heights) + 0.35 * len(heights) + 0.45 + 0.15 * len(lines))
    write_words(figure.suptitle("", fontsize=9), "\n".join(lines))
    parts = np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights))

    compared = min(columns, len(preview.originals))
    _write_title(parts[0], "originals, and below them what the model sees")
    grid = parts[0].subplots(2, columns, squeeze=False)
    seen = pixels_of_batch(to_numpy(first.images[:compared]))
    labels = to_numpy(first.labels)
    _draw_row(grid[0], list(preview.originals[:compared]), [""] * compared)
    _draw_row(grid[1], list(seen), [label_in_words(label, preview.classes) for label in labels[:compared]])
    for part, batch, rows in zip(parts[1:], preview.batches, rows_of, strict=True):
        count = min(images, len(batch.images))
        shown = f"the first {count} of {len(batch.images)} images" if count < len(batch.images) else f"{count} images"
        _write_title(part, f"batch of step {batch.step + 1}: {shown}")
        pixels, labels = pixels_of_batch(to_numpy(batch.images[:count])), to_numpy(batch.labels)
        grid = part.subplots(rows, columns, squeeze=False).ravel()
        _draw_row(grid, list(pixels), [label_in_words(label, preview.classes) for label in labels[:count]])
    write_figure(figure, path, dpi=100)


@figure_style()
def range_figure(found: RangeTest, path: str | Path, title: str = "") -> None:
    """Write the loss against the learning rate of a range test, with the suggested rate.

    Args:
        found: the range test.
        path: the file: .png, .svg or .pdf.
        title: the text above the figure.

    Raises:
        SaveError: if the file cannot be written.
    """
    figure = new_figure(7.0, 4.0)
    plot = figure.subplots()
    plot.plot(found.rates, found.losses, ".", color=LIGHT.faint, ms=4, label="loss of a step")
    plot.plot(found.rates, found.smoothed, color=LIGHT.points, lw=1.8, label="smoothed loss")
    top = max(found.smoothed[0], 1.5 * found.smoothed.min()) * 1.3
    plot.set(xscale="log", xlabel="learning rate", ylabel="training loss", ylim=(None, top))
    plot.axvline(found.rates[found.best], color=LIGHT.faint, ls=":", label="smallest smoothed loss")
    if found.suggestion is not None:
        plot.axvline(found.suggestion, color=LIGHT.line, label=f"a tenth of it: {found.suggestion:.1e}")
    plot.grid()
    plot.legend()
    write_words(figure.suptitle("", fontsize=10), title)
    write_figure(figure, path)


def _write_title(part: Any, text: str) -> None:
    write_words(part.suptitle("", fontsize=9, color=LIGHT.faint), text)


def _draw_row(plots: Sequence[Any], images: Sequence[np.ndarray], labels: Sequence[str]) -> None:
    """Draw images with their labels below them; plots that are left over stay empty."""
    for plot in plots[len(images) :]:
        plot.set_axis_off()
    for plot, image, label in zip(plots, images, labels, strict=False):
        plot.imshow(as_rgb(image), interpolation="nearest")
        plot.set(xticks=[], yticks=[])
        for side in plot.spines.values():
            side.set_visible(False)
        write_words(plot.set_xlabel("", fontsize=7), label.replace(" + ", " +\n"))
