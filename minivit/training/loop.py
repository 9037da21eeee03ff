"""The training loop: batch, loss, gradients, clipping, step.

Besides the weights and the optimiser's state, a step depends on the options and its number alone. So a run that was
killed and resumed ends with the same weights, to the last bit, as an uninterrupted run. What a run needs is built in
`trainer`; what happens beside the loop is in `callbacks`.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ..backend.arrays import to_device
from ..data import Batch
from ..models import ViT
from ..utils.aliases import old_names
from .callbacks.callback import StepResult
from .distributed.parallel import batch_gradients
from .failures import check_finite
from .optim import clip_by_global_norm, clip_on_gpu
from .precision import divide_by
from .run import RunResult

if TYPE_CHECKING:
    from .run import Run  # under this name the module has its old form, see `old`


DROPOUT_STREAM = 3  # every use of the seed has its own number: see also `batches.SUBSET_STREAM` and the loader


def train_run(run: Run) -> RunResult:
    """Take the steps of a run that are left, or those until it is to stop.

    Args:
        run: from `trainer.opened_run`; its weights, its optimiser's state and its progress change.

    Returns:
        How the run ended.

    Raises:
        NonFiniteLossError: if the loss or a weight became infinite or not a number; the last checkpoint is older.
    """
    run.tell("on_run_start")
    for batch in run.batches():
        step = train_step(run, batch)
        run.tell("on_step_end", step)
    run.read_steps()
    run.tell("on_run_end")
    return run.result()


def train_step(run: Run, batch: Batch) -> StepResult:
    """Take one optimiser step on a batch; none if a gradient was too large for half precision.

    This function waits for a GPU only where its next line depends on a number. `Run.read_steps` reads the numbers of
    several steps later, at once.

    Args:
        run: its weights, its optimiser's state and its step change.
        batch: images, as floats in [-1, 1], and labels.

    Returns:
        What the callbacks get to know of the step.

    Raises:
        NonFiniteLossError: if the loss, a gradient or a weight became infinite or not a number.
        OutOfMemory: if a micro-batch does not fit the memory.
    """
    begun = time.perf_counter()
    run.optimizer.lr = run.schedule(run.step)
    run.precision.refresh()
    with run.errors_explained(), patches_left_out(run):
        result = batch_gradients(  # forward and backward, micro-batch by micro-batch
            run.precision.loss,
            run.precision.parameters,
            to_device(batch.images, run.device),  # (B, H, W, C)
            to_device(batch.labels, run.device),  # (B,), or (B, K) where images are mixed
            workers=run.workers,
            microbatch=run.microbatch_size(len(batch.labels), run.step),
            seed=(run.config.seed, DROPOUT_STREAM, run.step),
            sums=run.sums,
            ranks=run.ranks,
            scale=run.precision.scale,
            weight_of=run.objective.weight_of,
            read=not run.on_one_gpu,
        )
        divide_by(run.sums.flat, run.precision.scale)
        largest = run.config.clip_grad or math.inf
        if run.on_one_gpu:
            norm = clip_on_gpu(run.sums.flat[0], largest)
        else:
            norm = clip_by_global_norm(run.sums.flat, largest)
        run.progress.step += 1
        step = StepResult(
            (result.loss, result.right, norm), run.step, run.optimizer.lr, result.answers, len(batch.labels), begun
        )
        step.skipped = not run.reads_late and not (math.isfinite(step.loss) and math.isfinite(step.norm))
        if not step.skipped:
            run.optimizer.step(result.gradients)
            run.precision.succeeded()
    if step.skipped:
        reduce_loss_scale(run, step)
    return step


def patches_left_out(run: Run) -> AbstractContextManager[None]:
    """Return a context in which a Vision Transformer leaves out the patches that the present step leaves out."""
    network = run.precision.network  # in half precision a twin of the model
    return network.leaving_out(run.patch_dropout(run.step)) if isinstance(network, ViT) else nullcontext()


def reduce_loss_scale(run: Run, step: StepResult) -> None:
    """Lower the scale of the loss after a skipped step, so that the gradients of the next steps stay finite.

    A skipped step counts: the schedule and the batches go on as if it had been taken.

    Args:
        run: the run.
        step: whose loss or gradient is not finite.

    Raises:
        NonFiniteLossError: if another scale would not help.
    """
    if not math.isfinite(step.loss) or not run.precision.overflowed():
        check_finite(step, run.last_saved)


__getattr__ = old_names(
    __name__,
    {
        "Run": "minivit.training.old.Run",
        "Window": "minivit.training.run.Window",
        "balanced_sample": "minivit.training.batches.balanced_sample",
        "evaluate_dataset": "minivit.training.evaluation.evaluate_dataset",
        "measure_dataset": "minivit.training.evaluation.evaluate_objective",
        "train": "minivit.training.trainer.train",
    },
)
