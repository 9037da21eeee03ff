"""A data set and a model small enough to train within a test."""

import numpy as np
import pytest

from minivit.data import Dataset
from minivit.models import ViT, ViTConfig
from minivit.training import batches, trainer


def tiny_dataset(count: int, seed: int) -> Dataset:
    """8 x 8 images of three classes: which third of the image is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 60, (count, 8, 8, 3))
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 2] += 150
    return Dataset("bands", images.astype(np.uint8), labels, ("left", "middle", "right"))


def tiny_model(seed: int = 0, **changes) -> ViT:
    sizes = {"image_size": 8, "patch_size": 4, "dim": 12, "depth": 2, "heads": 3, "mlp_dim": 20, "num_classes": 3}
    return ViT(ViTConfig(**(sizes | changes)), seed=seed)


@pytest.fixture
def tiny(monkeypatch):
    """Let `train` see the tiny data set and build the tiny model, whatever its options name."""
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (tiny_dataset(90, 1), tiny_dataset(40, 2)))

    def build(options, dataset, seed):
        return tiny_model(seed, dropout=options.dropout)

    monkeypatch.setattr(trainer, "build_model", build)
