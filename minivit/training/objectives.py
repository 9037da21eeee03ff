"""What is trained for: the loss of a batch, and what is measured on a test set.

An objective owns the network whose parameters are trained. `loss` is called on micro-batches, by several threads at a
time; `measure` on batches of the test set, without a tape.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from .. import engine
from ..backend.arrays import Array, to_numpy
from ..engine.tensor import Tensor, no_grad
from ..errors import ConfigError
from ..models import Classifier
from ..nn import Module
from .finetuning import distillation_loss
from .masked import MaskedPatchModel


class Outcome(NamedTuple):
    """The mean loss of some images, how many answers were right, and out of how many."""

    loss: Tensor
    right: int
    answers: int


class Objective(Protocol):
    """What a run trains for."""

    @property
    def network(self) -> Module:
        """What is trained; its parameters by name are what a checkpoint holds."""
        ...

    def loss(self, images: Array, labels: Array, rng: np.random.Generator) -> Outcome:
        """The training loss of preprocessed images (B, H, W, C) with their labels; `rng` draws what is random in it."""
        ...

    def measure(self, images: Array, labels: Array, number: int) -> Outcome:
        """The same of batch `number` of a test set, without augmentation or a teacher."""
        ...


class Classes:
    """Name the class: cross-entropy with smoothed labels, and a teacher's opinion if there is a teacher.

    Args:
        model: the classifier to train.
        smoothing: of the labels, in training alone.
        teacher: a trained classifier of the same images and classes, or None; see `distillation_loss`.
        teacher_weight, temperature: as there.
    """

    def __init__(
        self,
        model: Classifier,
        smoothing: float = 0.0,
        teacher: Classifier | None = None,
        teacher_weight: float = 0.5,
        temperature: float = 2.0,
    ):
        if teacher is not None:
            wanted, found = (c.config for c in (model, teacher))
            if (wanted.image_shape, wanted.num_classes) != (found.image_shape, found.num_classes):
                raise ConfigError(
                    f"the teacher sees images {found.image_shape} in {found.num_classes} classes; it must see the "
                    f"student's {wanted.image_shape} in {wanted.num_classes}"
                )
        self.network = model
        self.smoothing = smoothing
        self.teacher = teacher
        self.teacher_weight, self.temperature = teacher_weight, temperature

    def loss(self, images: Array, labels: Array, rng: np.random.Generator) -> Outcome:
        logits = self.network(images, rng=rng)
        if self.teacher is None:
            loss = engine.cross_entropy(logits, labels, self.smoothing)
        else:
            with no_grad():
                opinion = self.teacher(images).data
            loss = distillation_loss(logits, labels, opinion, self.teacher_weight, self.temperature, self.smoothing)
        return Outcome(loss, count_correct(logits.data, labels), len(labels))

    def measure(self, images: Array, labels: Array, number: int) -> Outcome:
        logits = self.network(images)
        return Outcome(engine.cross_entropy(logits, labels), count_correct(logits.data, labels), len(labels))


class MaskedPatches:
    """Guess the colours of corrupted patches (ViT §4.6); labels play no part.

    Args:
        model: the network to pre-train, inside.
    """

    def __init__(self, model: MaskedPatchModel):
        self.network = model

    def loss(self, images: Array, labels: Array, rng: np.random.Generator) -> Outcome:
        return Outcome(*self.network.loss(images, rng=rng))

    def measure(self, images: Array, labels: Array, number: int) -> Outcome:
        """The corruption of a test batch follows from its number, so that it is the same at each evaluation."""
        return Outcome(*self.network.loss(images, rng=np.random.default_rng([number, 11])))


def count_correct(logits: Array, labels: Array) -> int:
    """How many rows have their largest logit at their label; of labels that are shares, the largest counts."""
    wanted = to_numpy(labels)
    if wanted.ndim == 2:
        wanted = wanted.argmax(axis=-1)
    return int((to_numpy(logits).argmax(axis=-1) == wanted).sum())
