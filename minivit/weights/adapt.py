"""Loaded models for another image size, other classes, or a layout that has fewer kinds of parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..backend.arrays import Array, to_numpy
from ..errors import ConfigError
from ..models.classifier import Classifier
from ..models.configs import ViTConfig
from ..models.names import build
from ..models.positions import resized

Size = int | tuple[int, int]
TABLES = ("sincos2d", "learned2d")  # positions that are a table with one row for each token, as learned ones are


def adapted(
    model: Classifier,
    image_size: Size | None = None,
    num_classes: int | None = None,
    interpolation: str = "bilinear",
) -> Classifier:
    """Return the model for another image size or other classes; the model itself if nothing changes.  # ViT §3.2

    Args:
        model: a loaded model.
        image_size: pixels, or (height, width); position embeddings are interpolated to its grid.
        num_classes: if it is not the model's number, the head is replaced by a linear one of zeros; 0 leaves it out.
        interpolation: "bilinear" or "bicubic", as `positions.resize_positions` takes it.

    Raises:
        ConfigError: if the options do not fit the model.
    """
    before = model.config
    changes: dict[str, Any] = {}
    if image_size is not None:
        changes["image_size"] = image_size
    if num_classes is not None and num_classes != before.num_classes:
        changes["num_classes"] = num_classes
        if isinstance(before, ViTConfig):
            changes["representation"] = None
    try:
        after = replace(before, **changes)
    except ConfigError as error:
        raise ConfigError(str(error).partition(", or patches of ")[0]) from error  # the weights settle their patches
    if after == before:
        return model
    return _with_config(model, after, interpolation, has_new_head="num_classes" in changes)


def _with_config(
    model: Classifier,
    after: Any,
    interpolation: str = "bilinear",
    has_new_head: bool = False,
    new_arrays: Mapping[str, Array] | None = None,
) -> Classifier:
    """Return a model with another configuration and the weights of this one; arrays that keep their shape are shared.

    Args:
        model: the weights.
        after: the configuration.
        interpolation: of position embeddings, if the grid differs.
        has_new_head: whether the head is new, of zeros, and the names of classes are forgotten.
        new_arrays: parameters that this model does not have, by name.
    """
    before, state = model.config, {**model.state_dict(), **(new_arrays or {})}
    new = build(after, seed=None)
    for name, parameter in new.named_parameters():
        if has_new_head and name.startswith(("head.", "distillation_head.")):
            continue  # zeros
        array = state[name]
        if array.shape != parameter.shape:
            front = before.num_positions - before.num_patches
            array = resized(name, array, before.grid, after.grid, interpolation, front)
        parameter.data = array
    forgotten = {"classes"} if has_new_head else set()
    new.header = {name: value for name, value in model.header.items() if name not in forgotten}
    return new


def with_new_head(model: Classifier, num_classes: int) -> Classifier:
    """Return the model with a linear head of zeros for other classes, even if they are as many as before."""
    return adapted(adapted(model, num_classes=0), num_classes=num_classes)


def with_rates(model: Classifier, **rates: float) -> Classifier:
    """Return the model with other rates of dropout or stochastic depth in training; the model itself without any.

    Raises:
        ConfigError: for a model that has no such part, or a rate outside its range.
    """
    if not rates:
        return model
    if not isinstance(model.config, ViTConfig):
        raise ConfigError(f"{next(iter(rates)).replace('_', '-')} is for Vision Transformers, not ResNets")
    return _with_config(model, replace(model.config, **rates))  # type: ignore[arg-type]


def with_learned_positions(model: Classifier) -> Classifier:
    """Return the model with its sines, or its vectors of columns and rows, as a table of learned position embeddings.

    The logits are the same. The model itself is returned if its positions are of another kind, or are not added once,
    before the first block.
    """
    config = model.config
    if not isinstance(config, ViTConfig) or config.positions not in TABLES or config.positions_at != "stem":
        return model
    after = replace(config, positions="learned")
    table = to_numpy(model.positions.table().data)  # (1, T, D)  # type: ignore[attr-defined]
    rows = table[:, -after.num_positions :]  # tokens in front of the patches all have zeros
    rows = rows.astype(model.embedding.weight.dtype)  # type: ignore[attr-defined]
    return _with_config(model, after, new_arrays={"positions.embedding": rows})


def has_zero_head(model: Classifier) -> bool:
    """Return whether the head is all zeros: it was never trained, and every class gets the same probability."""
    head = getattr(model, "head", None)
    return head is not None and not any(to_numpy(tensor.data).any() for tensor in head.parameters())
