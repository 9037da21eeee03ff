"""The small trained model that comes with the lessons: `make lessons-model` makes it again."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from minivit.models import ViT
from minivit.training import TrainConfig, train
from minivit.weights import load_model, save_weights

from .notebooks import lessons_folder

CHECKPOINT = "shapes-vit.safetensors"
RECIPE = TrainConfig(dataset="shapes", model="ViT-XS_4-CIFAR", epochs=12, lr=2e-3, seed=0)


def trained_model() -> ViT:
    """Return the small Vision Transformer that comes with the lessons, trained on the ten classes of `shapes`.

    Raises:
        DataNotFoundError: if the lessons are missing.
    """
    model = load_model(lessons_folder() / CHECKPOINT)
    assert isinstance(model, ViT)
    return model.eval()


def train_again(path: Path) -> tuple[float, str]:
    """Train the model and write its weights, in about five minutes on two cores.

    Args:
        path: the file to write.

    Returns:
        The accuracy on the test images of `shapes`, and the SHA-256 of the file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        result = train(RECIPE, scratch)
        save_weights(load_model(Path(scratch) / "checkpoint.npz"), path)
    return result.accuracy or 0.0, sha256(path)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
