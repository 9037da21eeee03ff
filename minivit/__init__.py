"""minivit: the Vision Transformer from scratch in NumPy, on its own small autograd engine.

    import minivit
    model = minivit.create_model("ViT-Ti_4-CIFAR")
    logits = model(minivit.preprocess(pixels))

The command line is `minivit --help`; the map of the source is in the README.
"""

from .engine import Tensor, cross_entropy, gradcheck, no_grad, value_and_grad
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
from .models import MODEL_NAMES, ResNet, ResNetConfig, ViT, ViTConfig, create_model
from .models.weights import load_model, save_weights
from .preprocessing import preprocess
from .training.optim import SGD, Adam, AdamW, Muon

__version__ = "0.1.0"

__all__ = [
    "MODEL_NAMES", "SGD", "Adam", "AdamW", "BackwardError", "CheckpointError", "CheckpointNotFoundError",
    "ConfigError", "DTypeError", "DataError", "DataNotFoundError", "DownloadError", "GradientError", "ImageError",
    "MinivitError", "MissingExtraError", "Muon", "NonFiniteLossError", "Notice", "ResNet", "ResNetConfig", "SaveError",
    "ShapeError", "Tensor", "ViT", "ViTConfig", "create_model", "cross_entropy", "gradcheck", "load_model", "no_grad",
    "preprocess", "save_weights", "value_and_grad",
]  # fmt: skip
