"""Export a model: from a model or its weights to a file or folder that another program loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DTypeError, ShapeError
from ...models.classifier import Classifier
from ...utils.notices import notice
from ..load import load_model
from ..sources.sidecar import fitting_classes
from .target import Advance, Exported, ExportOptions

if TYPE_CHECKING:
    from ...data import AnyDataset


def export_model(
    model: Classifier | str | Path,
    path: str | Path,
    to: str = "onnx",
    *,
    with_preprocessing: bool = False,
    probabilities: bool = False,
    int8: bool = False,
    images: np.ndarray | None = None,
    dataset: AnyDataset | None = None,
    advance: Advance | None = None,
    command: str | None = None,
    licence: str | None = None,
) -> list[Exported]:
    """Write a model for another program, and check it before the file gets its name.

    For "onnx", the graph takes `images` (batch, H, W, C) and returns `logits` (batch, K). ONNX's checker has read it,
    and ONNX Runtime has returned our logits, to 1e-4 of the largest, for random images.

    Args:
        model: a model, or its weights as `load_model` takes them.
        path: the file or folder to write.
        to: "onnx", or the name of another of `weights.export.registry.TARGETS`.
        with_preprocessing: the exported model takes uint8 pixels and scales them itself.
        probabilities: the exported model returns probabilities beside the logits.
        int8: also write a model with weights of 8 bits, to STEM.int8.onnx.
        images: uint8 (M, H, W, C) of the model's size, to compare logits on. [default: random pixels]
        dataset: labelled images, whose labels are the model's, to measure the accuracy of the int8 model on.
        advance: called with the number of images after each batch of `dataset`, for a progress bar.
        command: how the model was made, for a model card or the file's metadata.
        licence: of the weights, likewise.

    Returns:
        What was written, a file or folder each.

    Raises:
        CheckpointNotFoundError, CheckpointError: as `load_model` raises them.
        ConfigError: for an unknown target, an option that it does not have, or a model that it has no place for.
        DTypeError, ShapeError: if `images` are not uint8 pixels of the model's size.
        MissingExtraError: if a library is missing.
        SaveError: if the file cannot be written, or its answers are not the model's; an older file is unchanged.
    """
    from .registry import target_with_name  # here, so that `import minivit` loads no graph

    asked = ExportOptions(
        with_preprocessing=with_preprocessing,
        probabilities=probabilities,
        int8=int8,
        images=images,
        dataset=dataset,
        advance=advance,
        command=command,
        licence=licence,
    )
    target, path = target_with_name(to), Path(path)
    target.check(path, asked.given())
    loaded: Classifier = model if isinstance(model, Classifier) else load_model(model, apply_stated_scaling=True)
    names, num_classes = loaded.header.get("classes"), loaded.config.num_classes
    if names and num_classes and not fitting_classes(loaded.header, num_classes):
        notice(
            f"the model's header names {len(names):,} classes, but its head has {num_classes:,}: no name is exported"
        )
    if images is not None:
        _check_images(images, loaded.config.image_shape)
    with loaded.evaluating():
        return target.write(loaded, path, asked)


def _check_images(images: np.ndarray, shape: tuple[int, int, int]) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise DTypeError(f"images must be uint8 pixels, not {getattr(images, 'dtype', type(images).__name__)}")
    if images.ndim != 4 or images.shape[1:] != shape or not len(images):
        raise ShapeError(f"images must have shape (M, H, W, C) = (M, {str(shape)[1:-1]}), not {images.shape}")
