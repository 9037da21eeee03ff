"""minivit: the Vision Transformer from scratch in NumPy, on its own small autograd engine.

    import minivit
    model = minivit.create_model("ViT-Ti_4-CIFAR")
    logits = model(minivit.preprocess(pixels))

The command line is `minivit --help`; the map of the source is docs/architecture.md.

A name is imported when it is first used, so that the command can answer a Ctrl-C while NumPy is still being loaded.
"""

from __future__ import annotations

import importlib

from . import renamed  # noqa: F401  (imports by a module's old name still work)
from .errors import (
    BackwardError,
    CheckpointError,
    CheckpointNotFoundError,
    ConfigError,
    DataError,
    DataNotFoundError,
    DownloadError,
    DTypeError,
    GradientError,
    ImageError,
    MinivitError,
    MissingExtraError,
    NonFiniteLossError,
    Notice,
    SaveError,
    ShapeError,
)

TYPE_CHECKING = False  # True for a type checker; `typing` takes long to import, see `__main__`
if TYPE_CHECKING:
    from typing import Any

    from .engine import Tensor, cross_entropy, gradcheck, no_grad, value_and_grad
    from .models import MODEL_NAMES, ResNet, ResNetConfig, ViT, ViTConfig, create_model
    from .preprocessing import preprocess
    from .training.optim import SGD, Adam, AdamW, Muon
    from .weights import export_model, list_models, load_model, load_weights, save_weights

__version__ = "0.1.0"

__all__ = [
    "MODEL_NAMES", "SGD", "Adam", "AdamW", "BackwardError", "CheckpointError", "CheckpointNotFoundError",
    "ConfigError", "DTypeError", "DataError", "DataNotFoundError", "DownloadError", "GradientError", "ImageError",
    "MinivitError", "MissingExtraError", "Muon", "NonFiniteLossError", "Notice", "ResNet", "ResNetConfig", "SaveError",
    "ShapeError", "Tensor", "ViT", "ViTConfig", "create_model", "cross_entropy", "export_model", "gradcheck",
    "list_models", "load_model", "load_weights", "no_grad", "preprocess", "save_weights", "value_and_grad",
]  # fmt: skip

# The modules that need NumPy, and the public names that each has.
_HOMES = {
    "engine": ("Tensor", "cross_entropy", "gradcheck", "no_grad", "value_and_grad"),
    "models": ("MODEL_NAMES", "ResNet", "ResNetConfig", "ViT", "ViTConfig", "create_model"),
    "weights": ("export_model", "list_models", "load_model", "load_weights", "save_weights"),
    "preprocessing": ("preprocess",),
    "training.optim": ("SGD", "Adam", "AdamW", "Muon"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = ("data", "engine", "errors", "evaluation", "insight", "models", "nn", "preprocessing", "training", "weights")


def __getattr__(name: str) -> Any:
    """Import a public name, or one of the package's parts, when it is first used."""
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return all public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__, *_MODULES})
