"""What one training step reads: images and their labels."""

from __future__ import annotations

from typing import NamedTuple

from ..backend.arrays import Array


class Batch(NamedTuple):
    """One mini-batch of a run.

    Attributes:
        step: the number of the training step, counted over the whole run from 0.
        epoch: the number of epochs before this one.
        images: float32 (B, H, W, C), values from -1 to 1; on the GPU if the loader uploads batches.
        labels: int64 (B,), on the same device; after mixing, the share of each class: float32 (B, K).
    """

    step: int
    epoch: int
    images: Array
    labels: Array
