"""What a run says when it cannot go on: the memory is too small, or a number is not finite."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..backend.gpu.cuda import device_memory
from ..errors import NonFiniteLossError, OutOfMemory
from ..models import Classifier
from ..models.cost import images_that_fit

if TYPE_CHECKING:
    from .callbacks.callback import StepResult

LEAST_ARRAYS = 3  # of the weights' size: weights, gradients, and the momentum of the optimisers that keep least


def out_of_memory(model: Classifier, device: str, batch_size: int, microbatch: int, workers: int) -> OutOfMemory:
    """Return the error for a step that did not fit the memory, with a size of micro-batches that should.

    Args:
        model: what is trained.
        device: where the step computed.
        batch_size: images in a batch.
        microbatch: images in a micro-batch.
        workers: how many threads compute micro-batches at a time, if the batch has as many.
    """
    memory, workers = device_memory(device), min(workers, math.ceil(batch_size / microbatch))
    fits = microbatch // 2 if memory is None else images_that_fit(model, memory, workers)
    fits = min(fits, microbatch // 2)  # the estimate was too good, or others use the memory as well
    advice = f"try --microbatch {fits}" if fits else "try --grad-checkpointing or a smaller model"
    size = "" if memory is None else f" of {memory / 1e9:.1f} GB"
    return OutOfMemory(
        f"the memory{size} of {device} is too small for {workers} micro-batches of {microbatch} images at a "
        f"time: {advice}"
    )


def check_gpu_memory(
    model: Classifier, device: str, batch_size: int, microbatch: int, batches: int, saving: float = 1.0
) -> None:
    """Raise before the first step if a GPU is certainly too small for it, and say what fits.

    Args:
        model: what is trained.
        device: the GPU.
        batch_size: images in a batch.
        microbatch: images in a micro-batch.
        batches: how many batches of images, in float32, are in its memory at a time.
        saving: how many times less the backward pass keeps than in float32, at best.

    Raises:
        OutOfMemory: if the model, its gradients, the waiting batches and one micro-batch need more than the memory.
    """
    memory = device_memory(device)
    if memory is None:
        return
    image = batches * math.prod(model.config.image_shape) * 4

    def fitting(batch: int) -> int:
        """Return how many images a micro-batch may have at most, for batches of this size."""
        return images_that_fit(model, memory - batch * image, 1 / saving, LEAST_ARRAYS)

    fits, batch = fitting(batch_size), batch_size
    if microbatch <= fits:
        return
    while batch and not fitting(batch):
        batch //= 2
    if fits:
        advice = f"try --microbatch {fits}"
    else:
        advice = f"try --batch-size {batch}" if batch else "try --grad-checkpointing or a smaller model"
    raise OutOfMemory(
        f"the memory of {memory / 1e9:.1f} GB of {device} is too small for batches of {batch_size} images in "
        f"micro-batches of {microbatch}: {advice}"
    )


def check_finite(step: StepResult, checkpoint: Path | None) -> None:
    """Raise NonFiniteLossError if the loss or the gradient of a step is infinite or not a number."""
    for what, number in (("loss", step.loss), ("gradient's norm", step.norm)):
        if not math.isfinite(number):
            raise not_finite(f"the {what} became {number}", step.step, step.lr, checkpoint)


def not_finite(what: str, step: int, lr: float, checkpoint: Path | None) -> NonFiniteLossError:
    """Return the error for a loss, a gradient or a weight that is infinite or not a number.

    Args:
        what: the beginning of the sentence.
        step: the step that gave it, counted from 1.
        lr: the learning rate of that step.
        checkpoint: the run's; None if it writes none.
    """
    return NonFiniteLossError(
        f"{what} at step {step} with learning rate {lr:.3g}; {last_good(checkpoint)}; try a lower "
        "--lr or --weight-decay, a longer --warmup or a smaller --clip-grad"
    )


def last_good(checkpoint: Path | None) -> str:
    """Return in words where the weights from before a failure are."""
    saved = checkpoint is not None and checkpoint.exists()
    return f"the last good checkpoint is {checkpoint}" if saved else "no checkpoint was saved yet"
