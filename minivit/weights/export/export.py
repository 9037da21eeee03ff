"""Export a model: from a model or its weights to a file or folder that another program loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...models.classifier import Classifier
from ..load import load_model
from .target import Exported, ExportOptions


def export_model(model: Classifier | str | Path, path: str | Path, to: str = "onnx", **options: Any) -> list[Exported]:
    """Write a model for another program, and check it before the file gets its name.

    For "onnx", the graph takes `images` (batch, H, W, C) and returns `logits` (batch, K). ONNX's checker has read it,
    and ONNX Runtime has returned our logits, to 1e-4 of the largest, for random images.

    Args:
        model: a model, or its weights as `load_model` takes them.
        path: the file or folder to write.
        to: "onnx", or the name of another of `TARGETS`.
        **options: fields of `ExportOptions`, such as with_preprocessing=True, probabilities=True or int8=True.

    Returns:
        What was written, a file or folder each.

    Raises:
        CheckpointNotFoundError, CheckpointError: as `load_model` raises them.
        ConfigError: for an unknown target, an option that it does not have, or a model that it has no place for.
        MissingExtraError: if a library is missing.
        SaveError: if the file cannot be written, or its answers are not the model's; an older file is unchanged.
    """
    from .registry import target_with_name  # here, so that `import minivit` loads no graph

    target, asked, path = target_with_name(to), ExportOptions(**options), Path(path)
    target.check(path, asked.given())
    loaded: Classifier = model if isinstance(model, Classifier) else load_model(model, apply_stated_scaling=True)
    with loaded.evaluating():
        return target.write(loaded, path, asked)
