"""What a run says when it cannot go on: the memory is too small, or a number is not finite."""

from __future__ import annotations

import math
from pathlib import Path

from ..backend.cuda import device_memory
from ..errors import NonFiniteLossError, OutOfMemory
from ..models import Classifier
from ..models.cost import images_that_fit


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
