"""A script's own network in a run: any Module whose `forward` takes images and returns logits."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.tensor import Tensor, no_grad
from ..errors import ConfigError, ShapeError
from ..models import Classifier
from ..nn import Module
from ..utils.text import quoted


@dataclass(frozen=True)
class OwnConfig:
    """What a run must know of a network that has no configuration.

    Attributes:
        image_shape: (H, W, C) of the training images.
        num_classes: K, the length of a row of logits.
    """

    image_shape: tuple[int, int, int]
    num_classes: int

    @property
    def channels(self) -> int:
        """C."""
        return self.image_shape[2]

    @property
    def layer_elements(self) -> int:
        """How many numbers a layer computes for one image: guessed to be as many as the image has."""
        return math.prod(self.image_shape)


class OwnModel(Classifier):
    """A Classifier around a Module, so that a run and `predict` can use it.

    Args:
        module: takes images (B, H, W, C), floats, and returns logits (B, K). If its `forward` has a parameter `rng`, it
            gets the random generator of the micro-batch, for dropout.
        images: (B, H, W, C), a few training images as the module reads them, to see what it returns.

    Raises:
        ConfigError, ShapeError: if it does not return logits, or has no parameters.
    """

    def __init__(self, module: Module, images: np.ndarray):
        self.module = module
        parameters = inspect.signature(module.forward).parameters.values()
        self.takes_rng = any(each.name == "rng" or each.kind is each.VAR_KEYWORD for each in parameters)
        if not module.parameters():
            raise ConfigError(f"{type(module).__name__} has no parameters to train: assign its layers in __init__")
        with no_grad(), module.evaluating():
            logits: Any = module(Tensor(images))
        found = f"shape {logits.shape}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != len(images):
            raise ShapeError(
                f"{type(module).__name__} must return logits, a Tensor of shape ({len(images)}, K), not {found}"
            )
        _, height, width, channels = images.shape
        self.config = OwnConfig((height, width, channels), logits.shape[1])

    def forward(self, images: Any, rng: np.random.Generator | None = None) -> Tensor:
        """Return logits (B, K)."""
        images = images if isinstance(images, Tensor) else Tensor(images)
        return self.module(images, rng=rng) if self.takes_rng else self.module(images)


def classifier_around(model: Any, images: np.ndarray) -> Classifier:
    """Return a model as a run takes it: a Classifier itself, or any other Module in an `OwnModel`.

    Args:
        model: what the script gave.
        images: (B, H, W, C), a few training images as a network reads them.

    Raises:
        ConfigError: if it is not a model.
    """
    if isinstance(model, Classifier):
        return model
    if isinstance(model, Module):
        return OwnModel(model, images)
    if isinstance(model, type) and issubclass(model, Module):
        raise ConfigError(f"model must be a model, not its class: {model.__name__}(...)")
    if isinstance(model, str):
        raise ConfigError(
            f"model must be a model, not its name: minivit.create_model({quoted(model)}, num_classes=...)"
        )
    raise ConfigError(f"model must be a minivit.nn.Module, such as a ViT, not {type(model).__name__}")
