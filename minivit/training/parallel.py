"""One batch on several threads: each takes micro-batches, and their gradients are added up in a fixed order.

A batch is cut into micro-batches whose size does not depend on the number of workers, and their gradients are added
first to last, so 1, 2 or 8 workers give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.pictures import Pictures
from ..engine.backend import Array
from ..engine.tensor import Tensor, no_grad, value_and_grad
from ..engine.workers import Workers, micro_batches
from .objectives import Objective, Outcome

LossOf = Callable[[Array, Array, np.random.Generator], Outcome]


@dataclass
class BatchResult:
    """What one batch gave: the mean loss, how many answers of how many were right, the gradients of the mean loss."""

    loss: float
    right: int
    answers: int
    gradients: list[Array]


def batch_gradients(
    loss_of: LossOf,
    parameters: Sequence[Tensor],
    images: Array,
    labels: Array,
    *,
    workers: Workers,
    microbatch: int,
    seed: Sequence[int] = (0,),
) -> BatchResult:
    """Loss and gradients of one batch, micro-batch by micro-batch.

    Args:
        loss_of: an objective's `loss`: takes a micro-batch and a random generator.
        images, labels: (B, H, W, C), and (B,) or, as shares of the classes, (B, K).
        microbatch: how many images make one tape. Small ones stay in the cache; a larger one spends less time on
            adding up gradients.
        seed: each micro-batch's generator is seeded with this and its own number; dropout draws from it.
    """
    pieces = micro_batches(len(images), microbatch)

    def run(number: int) -> BatchResult:
        piece = pieces[number]
        share = (piece.stop - piece.start) / len(images)
        right = answers = 0

        def loss() -> Tensor:
            nonlocal right, answers
            rng = np.random.default_rng([*seed, number])
            outcome = loss_of(images[piece], labels[piece], rng)
            right, answers = outcome.right, outcome.answers
            return outcome.loss * share

        # Numbers that overflow show in the loss; the caller looks at it and says so in one sentence.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value, gradients = value_and_grad(loss, parameters)
        return BatchResult(value, right, answers, gradients)

    results = workers.map(run, range(len(pieces)))
    total = next(results)
    for result in results:
        total.loss += result.loss
        total.right += result.right
        total.answers += result.answers
        for summed, gradient in zip(total.gradients, result.gradients, strict=True):
            summed += gradient
    return total


def evaluate(
    objective: Objective, images: Pictures, labels: np.ndarray, prepare: Callable[[Pictures], Array], *,
    workers: Workers, batch_size: int = 100, advance: Callable[[int], object] = lambda count: None,
) -> tuple[float, float]:  # fmt: skip
    """Mean loss and share of right answers over a whole data set, with the network in evaluation mode.

    Args:
        images, labels: (M, H, W, C) or M pictures of any size, as the data set stores them; (M,).
        prepare: turns a batch of stored images into the model's input.
        advance: called with the number of images after each batch, for a progress bar.
    """
    pieces = micro_batches(len(images), batch_size)

    def run(number: int) -> tuple[float, int, int, int]:
        piece = pieces[number]
        with no_grad():
            outcome = objective.measure(prepare(images[piece]), labels[piece], number)
        count = len(labels[piece])
        return outcome.loss.item() * count, outcome.right, outcome.answers, count

    loss, right, answers = 0.0, 0, 0
    with objective.network.evaluating():
        for piece_loss, piece_right, piece_answers, count in workers.map(run, range(len(pieces))):
            loss += piece_loss
            right += piece_right
            answers += piece_answers
            advance(count)
    return loss / len(images), right / max(1, answers)
