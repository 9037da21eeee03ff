"""What is trained for: the loss of a batch, and what is measured on a test set.

An objective owns the network whose parameters are trained. `loss` is called on micro-batches, by several threads at a
time; `measure` on batches of the test set, without a tape.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from .. import engine
from ..backend.arrays import Array, to_numpy, xp_of
from ..backend.precision import wide
from ..engine.fused import target_probabilities
from ..engine.tensor import Tensor, no_grad
from ..errors import ConfigError
from ..models import Classifier
from ..nn import Module
from .finetuning import distillation_loss
from .masked import MaskedPatchModel

# What the share of right answers is, by the name of an objective.
ACCURACIES = {"classes": "accuracy", "masked-patch": "accuracy of the patches' colours"}


class Outcome(NamedTuple):
    """What an objective gave for some images.

    Attributes:
        loss: the mean, a scalar.
        right: how many of the answers were right; on a GPU it may be an array of one number, which is not waited for.
        answers: how many predictions are counted.
        logits: (B, K), if the answers are classes and were measured.
    """

    loss: Tensor
    right: int | Array
    answers: int
    logits: Array | None = None


class Objective(Protocol):
    """What a run trains for."""

    @property
    def network(self) -> Module:
        """What is trained; its parameters by name are what a checkpoint holds."""
        ...

    def loss(self, images: Array, labels: Array, rng: np.random.Generator) -> Outcome:
        """Return the training loss of a micro-batch.

        Args:
            images: (B, H, W, C), floats in [-1, 1].
            labels: (B,), or (B, K) where an image has shares of several classes.
            rng: draws what is random in it.
        """
        ...

    def measure(self, images: Array, labels: Array, number: int) -> Outcome:
        """Return the loss of batch `number` of a test set, without augmentation or a teacher."""
        ...

    def weight_of(self, labels: Array) -> float:
        """Return the weight of some images in the mean loss of their batch: their number, if all count alike."""
        ...


class Classes:
    """Name the class: cross-entropy with smoothed labels, and with a teacher's logits if there is a teacher.

    Args:
        model: the classifier to train.
        smoothing: of the labels, in training only.
        teacher: a trained classifier of the same images and classes, or None; see `distillation_loss`.
        teacher_weight, temperature: as for `distillation_loss`.
        class_weights: (K,), on the model's device, or None; see `weighted_cross_entropy`. Not with a teacher.
    """

    def __init__(
        self,
        model: Classifier,
        smoothing: float = 0.0,
        teacher: Classifier | None = None,
        teacher_weight: float = 0.5,
        temperature: float = 2.0,
        class_weights: Array | None = None,
    ):
        if teacher is not None:
            student, found = (classifier.config for classifier in (model, teacher))
            if (student.image_shape, student.num_classes) != (found.image_shape, found.num_classes):
                raise ConfigError(
                    f"the teacher sees images {found.image_shape} in {found.num_classes} classes; it must see the "
                    f"student's {student.image_shape} in {student.num_classes}"
                )
        self.network = model
        self.smoothing = smoothing
        self.teacher = teacher
        self.teacher_weight, self.temperature = teacher_weight, temperature
        self.class_weights = class_weights

    def logits(self, images: Array, rng: np.random.Generator | None = None) -> Tensor:
        """Return (B, K)."""
        return self.network(images, rng=rng)

    def loss(self, images: Array, labels: Array, rng: np.random.Generator) -> Outcome:
        logits = self.logits(images, rng)
        if self.class_weights is not None:
            loss = weighted_cross_entropy(logits, labels, self.class_weights, self.smoothing)
        elif self.teacher is None:
            loss = engine.cross_entropy(logits, labels, self.smoothing)
        else:
            with no_grad():
                teacher_logits = self.teacher(images).data  # (B, K)
            loss = distillation_loss(
                logits, labels, teacher_logits, self.teacher_weight, self.temperature, self.smoothing
            )
        return Outcome(loss, count_correct(logits.data, labels), len(labels))

    def measure(self, images: Array, labels: Array, number: int) -> Outcome:
        logits = self.logits(images)
        loss = engine.cross_entropy(logits, labels)
        return Outcome(loss, count_correct(logits.data, labels), len(labels), logits.data)

    def weight_of(self, labels: Array) -> float:
        return len(labels) if self.class_weights is None else total_weight(labels, self.class_weights)


class MaskedPatches:
    """Predict the colours of corrupted patches (ViT §4.6); labels are not used.

    Args:
        model: the network to pre-train, inside.
    """

    def __init__(self, model: MaskedPatchModel):
        self.network = model

    def loss(self, images: Array, labels: Array, rng: np.random.Generator) -> Outcome:
        return Outcome(*self.network.loss(images, rng=rng))

    def measure(self, images: Array, labels: Array, number: int) -> Outcome:
        """Return the loss with a corruption that follows from the batch's number: the same at each evaluation."""
        return Outcome(*self.network.loss(images, rng=np.random.default_rng([number, 11])))

    def weight_of(self, labels: Array) -> float:
        return len(labels)


def weighted_cross_entropy(logits: Tensor, labels: Array, weights: Array, smoothing: float = 0.0) -> Tensor:
    """Return the weighted mean of the cross-entropies of a batch, as PyTorch's `cross_entropy` with `weight`.

    Each class's part of a target, after smoothing, is multiplied by the class's weight. The sum over images is divided
    by the sum of the weights of their labels; for probabilities as labels (mixup), by their number.

    Args:
        logits: (B, K).
        labels: (B,) class numbers, or (B, K) target probabilities.
        weights: (K,), above 0.
        smoothing: as for `cross_entropy`.
    """
    like = xp_of(logits.data).empty(logits.shape, weights.dtype)  # targets are as exact as the weights
    targets = target_probabilities(labels, like, smoothing) * weights  # (B, K)
    return engine.cross_entropy(logits, targets) * (len(labels) / total_weight(labels, weights))


def total_weight(labels: Array, weights: Array) -> float:
    """Return what the sum of weighted losses is divided by.

    Args:
        labels: (B,) class numbers, or (B, K) target probabilities.
        weights: (K,).
    """
    return len(labels) if labels.ndim == 2 else float(weights[labels].sum(dtype=np.float64))


def count_correct(logits: Array, labels: Array) -> int | Array:
    """Return how many rows of the logits have their largest value at their label.

    Args:
        logits: (B, K).
        labels: (B,), or shares of the classes (B, K), of which the largest counts.

    Returns:
        An integer; if both are on a GPU, an array of one integer there.
    """
    if not (isinstance(logits, np.ndarray) or isinstance(labels, np.ndarray)):
        expected = labels.argmax(axis=-1) if labels.ndim == 2 else labels
        return (wide(logits).argmax(axis=-1) == expected).sum()
    expected = to_numpy(labels)  # (B,) or (B, K)
    if expected.ndim == 2:
        expected = expected.argmax(axis=-1)
    return int((to_numpy(logits).argmax(axis=-1) == expected).sum())
