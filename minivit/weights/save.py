"""From a model to a file of weights, in minivit's own layout or another source's."""

from __future__ import annotations

from pathlib import Path

from ..models.classifier import Classifier
from .sources.registry import source_with_layout
from .sources.source import Header


def save_weights(model: Classifier, path: str | Path, layout: str = "minivit", header: Header | None = None) -> None:
    """Write a model's weights, completely or not at all.

    Args:
        model: the model.
        path: ends in .npz or .safetensors.
        layout: how the arrays are named: "minivit"; "google" for what the authors' code reads; "timm", which
            `timm_config` says the architecture for; "torchvision" for its `VisionTransformer`; or "huggingface" for
            transformers, which needs a `config.json` too (`export_model` writes both). Files of Google, timm and
            torchvision say neither which GELU nor which epsilon a model has: their readers take the tanh form (Google)
            or the exact one (timm, torchvision), and 1e-6. A `Notice` says if the model has others, if its pixels
            are scaled otherwise than readers do it, or if sines are written as a table of learned positions.
        header: more to note, as JSON values, in minivit's layout; `classes`, a list of names, is what `predict` prints.
            The header of the file that the model was loaded from is kept, except for names that do not fit its classes.

    Raises:
        ConfigError: for another suffix or layout, a model that the layout has no place for, or a header that could
            not be read again, such as one with names for other classes than the model's.
        SaveError: if the file cannot be written, or the weights are nan or infinite; an older file is unchanged.
    """
    source = source_with_layout(layout)
    model = source.as_written(model)
    source.say_what_is_lost(model)
    source.write(model, path, header)
