"""Measure the model on the test set, or on held-out images."""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np

from ...backend.arrays import to_numpy
from ...preprocessing import preprocessing_in
from ..distributed.parallel import EvaluationStopped
from ..evaluation import Confusion, count_confusions, evaluate_objective
from ..metrics import measured_by
from ..objectives import Outcome
from ..run import Run
from .callback import Callback, StepResult

UNSEEN = -1
MOST_CLASSES = 50  # of a confusion matrix in a run's folder


class Evaluation(Callback):
    """Measures the model, or the average of its weights, every `eval_every` epochs and after the last step.

    A signal ends an evaluation at once; the resumed run then begins with it.
    """

    def __init__(self, run: Run):
        self.run = run

    def on_run_start(self) -> None:
        """Make up for an evaluation that was due when the run was stopped."""
        if self.run.evaluation_is_due():
            self.evaluate()

    def on_step_end(self, step: StepResult) -> None:
        """Evaluate if it is due, unless the run is to stop."""
        if self.run.evaluation_is_due() and not self.run.interrupted():
            self.evaluate()

    def evaluate(self) -> None:
        """Measure on all ranks, and log the result."""
        run, dataset = self.run, self.run.data.test
        run.read_steps()
        completed = False
        logits: dict[int, np.ndarray] = {}  # of each batch that this rank measured, by its first image
        predicted = np.full(len(dataset), UNSEEN)  # (N,), by this rank

        def keep(part: slice, outcome: Outcome) -> None:
            if outcome.logits is not None:
                predicted[part] = to_numpy(outcome.logits).argmax(axis=-1)
            if run.metrics:
                logits[part.start] = to_numpy(outcome.logits)  # (B, K)

        run.tell("on_evaluation_start")
        begun = time.perf_counter()
        try:
            with run.average.applied() if run.average else nullcontext():
                loss, accuracy = evaluate_objective(
                    run.objective,
                    dataset,
                    run.model.config.image_shape,
                    run.workers,
                    run.device,
                    advance=lambda images: run.tell("on_evaluation_batch_end", images),
                    ranks=run.ranks,
                    stop=run.stop,
                    preprocessing=preprocessing_in(run.model.header),
                    keep=keep,
                )
            completed = True
        except EvaluationStopped:
            run.stopping = True
            return
        finally:
            run.tell("on_evaluation_end", completed)
        speed = len(dataset) / max(time.perf_counter() - begun, 1e-9)
        found = measured_by(run.metrics, run.ranks.gather(logits), dataset.labels) if run.metrics else {}
        run.progress.last_test = {"loss": loss, "accuracy": accuracy, **found}
        run.progress.evaluated = run.step
        run.confusion = self.confusion(predicted)
        run.tell("on_log", run.record(run.data.split, loss, accuracy, speed) | found)

    def confusion(self, predicted: np.ndarray) -> Confusion | None:
        """Return the confusion matrix of all ranks; None if the objective has no classes, or there are many.

        Args:
            predicted: (N,), what this rank predicted, UNSEEN for the images of other ranks.
        """
        run, dataset = self.run, self.run.data.test
        if run.config.objective != "classes" or len(dataset.classes) > MOST_CLASSES:
            return None
        own = predicted != UNSEEN
        counts = count_confusions(dataset.labels[own], predicted[own], len(dataset.classes))
        return Confusion(np.sum(run.ranks.gather(counts), axis=0), dataset.classes)  # (K, K), of all ranks
