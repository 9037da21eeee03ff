"""One batch on several threads: each takes micro-batches, and their gradients are added up in a fixed order.

A batch is cut into micro-batches whose size does not depend on the number of workers, and their gradients are added
first to last, so 1, 2 or 8 workers give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.pictures import Pictures
from ..engine.backend import Array, to_numpy
from ..engine.tensor import Tensor, no_grad, value_and_grad
from ..engine.workers import Workers, micro_batches
from ..models import Classifier

LossFn = Callable[[Tensor, Array], Tensor]


@dataclass
class BatchResult:
    """What one batch gave: the mean loss, how many answers were right, and the gradients of the mean loss."""

    loss: float
    correct: int
    gradients: list[Array]


def batch_gradients(
    model: Classifier,
    parameters: Sequence[Tensor],
    loss_fn: LossFn,
    images: Array,
    labels: Array,
    *,
    workers: Workers,
    microbatch: int,
    dropout_seed: Sequence[int] = (0,),
) -> BatchResult:
    """Loss and gradients of one batch, micro-batch by micro-batch.

    Args:
        loss_fn: takes logits and labels of a micro-batch, returns the mean loss.
        images, labels: (B, H, W, C), and (B,) or, as shares of the classes, (B, K).
        microbatch: how many images make one tape. Small ones stay in the cache; a larger one spends less time on
            adding up gradients.
        dropout_seed: each micro-batch's dropout draws from a generator seeded with this and its own number.
    """
    pieces = micro_batches(len(images), microbatch)

    def run(number: int) -> tuple[float, int, list[Array]]:
        piece = pieces[number]
        share = (piece.stop - piece.start) / len(images)
        correct = 0

        def loss() -> Tensor:
            nonlocal correct
            logits = model(images[piece], rng=np.random.default_rng([*dropout_seed, number]))
            correct = count_correct(logits.data, labels[piece])
            return loss_fn(logits, labels[piece]) * share

        # Numbers that overflow show in the loss; the caller looks at it and says so in one sentence.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value, gradients = value_and_grad(loss, parameters)
        return value, correct, gradients

    results = workers.map(run, range(len(pieces)))
    total = BatchResult(*next(results))
    for loss, correct, gradients in results:
        total.loss += loss
        total.correct += correct
        for summed, gradient in zip(total.gradients, gradients, strict=True):
            summed += gradient
    return total


def evaluate(
    model: Classifier, images: Pictures, labels: np.ndarray, prepare: Callable[[Pictures], Array], *,
    loss_fn: LossFn, workers: Workers, batch_size: int = 100, advance: Callable[[int], object] = lambda count: None,
) -> tuple[float, float]:  # fmt: skip
    """Mean loss and accuracy of a model, in evaluation mode, over a whole data set.

    Args:
        images, labels: (M, H, W, C) or M pictures of any size, as the data set stores them; (M,).
        prepare: turns a batch of stored images into the model's input.
        advance: called with the number of images after each batch, for a progress bar.
    """
    pieces = micro_batches(len(images), batch_size)

    def run(piece: slice) -> tuple[float, int, int]:
        with no_grad():
            logits = model(prepare(images[piece]))
            loss = loss_fn(logits, labels[piece]).item()
        count = len(labels[piece])
        return loss * count, count_correct(logits.data, labels[piece]), count

    loss = correct = 0.0
    with model.evaluating():
        for piece_loss, piece_correct, count in workers.map(run, pieces):
            loss += piece_loss
            correct += piece_correct
            advance(count)
    return loss / len(images), correct / len(images)


def count_correct(logits: Array, labels: Array) -> int:
    """How many rows have their largest logit at their label; of labels that are shares, the largest counts."""
    wanted = to_numpy(labels)
    if wanted.ndim == 2:
        wanted = wanted.argmax(axis=-1)
    return int((to_numpy(logits).argmax(axis=-1) == wanted).sum())
