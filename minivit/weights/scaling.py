"""The scaling of pixels that weights were trained with, made a part of the weights.

minivit's models take images in [-1, 1]. Many ViTs were trained on (pixels - mean) / std instead, with pixels from 0 to
1. Both are linear in the pixels, and so is the patch embedding that follows: its weights can take in the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..models.classifier import Classifier
from ..models.configs import ViTConfig
from ..preprocessing import NEUTRAL, joined
from ..utils.text import quoted

Channels = float | Sequence[float]


def fold_scaling(model: Classifier, mean: Channels | None, std: Channels | None) -> None:
    """Make the scaling of pixels a part of the patch embedding: the model then takes images in [-1, 1].

    (pixels / 255 - mean) / std is linear in x = pixels / 127.5 - 1, and so is the embedding that follows. An embedding
    of x with the kernel E / (2 std) and the bias b + E (0.5 - mean) / std gives the same tokens.

    Args:
        model: a `ViT` that cuts patches from the image itself; it is changed.
        mean: one number, or one for each channel, of pixels from 0 to 1.
        std: the standard deviation, likewise.

    Raises:
        ConfigError: for other numbers, or a model whose first layer pads the image, where this would not be exact.
    """
    config = model.config
    means, stds = (
        one_for_each_channel("mean", mean, config.channels),
        one_for_each_channel("std", std, config.channels),
    )
    if (means == NEUTRAL).all() and (stds == NEUTRAL).all():
        return
    if not isinstance(config, ViTConfig) or config.backbone is not None:
        raise ConfigError("mean and std cannot be folded into a model whose first layer pads the image: leave them out")
    if model.header.get("folded"):
        raise ConfigError("mean and std are a part of these weights already: leave them out")
    embedding: Any = model.embedding  # type: ignore[attr-defined]
    weight = embedding.weight.data.astype(np.float64).reshape(-1, config.channels, config.dim)  # (P², C, D)
    bias = embedding.bias.data + np.einsum("pcd,c->d", weight, (NEUTRAL - means) / stds)  # (D,)
    scaled = weight / (2.0 * stds[:, None])  # (P², C, D)
    embedding.weight.data = scaled.reshape(embedding.weight.shape).astype(embedding.weight.dtype)
    embedding.bias.data = bias.astype(embedding.bias.dtype)
    model.header = {**model.header, "folded": {"mean": means.tolist(), "std": stds.tolist()}}


def one_for_each_channel(name: str, given: Channels | None, channels: int) -> np.ndarray:
    """Return a mean or a standard deviation for each channel, (C,).

    Args:
        name: "mean" or "std".
        given: one number, or one for each channel, of pixels from 0 to 1.
        channels: C.

    Raises:
        ConfigError: if it is missing, has another number of values, or a value outside its range.
    """
    if given is None:
        raise ConfigError(f"mean and std belong together: give {name} too (--{name})")
    rule = f"{name} must be one number or {channels}, one for each channel, of pixels from 0 to 1"
    try:
        values = np.asarray(given, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{rule}, not {quoted(given)}") from error
    least = 0.0 if name == "mean" else 1e-6
    if values.size not in (1, channels) or not ((values >= least) & (values <= 1.0)).all():
        raise ConfigError(f"{rule}, not {quoted(given)}")
    return np.broadcast_to(values, (channels,)).copy()


def as_text(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return mean=0.485,0.456,0.406 and std=0.229,0.224,0.225."""
    return f"mean={joined(mean)} and std={joined(std)}"
