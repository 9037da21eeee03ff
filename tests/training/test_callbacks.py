"""What happens beside the loop: which moments there are, in which order, and what a stop in any of them leaves."""

import signal
from itertools import count
from typing import get_args

import numpy as np
import pytest

from minivit.training import TrainConfig, callbacks, evaluation, train, trainer
from minivit.training.callbacks.callback import Callback, Moment
from minivit.weights import read_arrays

from .ranks_on_threads import on_ranks
from .test_run import BASE, assert_same_bits, records, run, weights

pytestmark = pytest.mark.usefixtures("tiny", "undrawn")


class Spy(Callback):
    """Notes every moment."""

    def __init__(self):
        self.seen = []


for name in get_args(Moment):
    setattr(Spy, name, lambda self, *what, name=name: self.seen.append((name, *what)))


def spied(monkeypatch):
    """A spy in the runs to come, after the other callbacks."""
    spy, original = Spy(), trainer.build_callbacks
    monkeypatch.setattr(trainer, "build_callbacks", lambda *arguments: [*original(*arguments), spy])
    return spy


def test_the_moments_are_the_methods_of_a_callback():
    methods = {name for name in vars(Callback) if not name.startswith("_")}
    assert methods == set(get_args(Moment))


def test_a_run_tells_its_moments_in_order(tmp_path, monkeypatch):
    spy = spied(monkeypatch)
    run(tmp_path, steps=2, eval_every=100.0)
    names = [name for name, *_ in spy.seen]
    evaluation = ["on_evaluation_start", "on_evaluation_batch_end", "on_evaluation_end", "on_log"]
    assert names == ["on_run_start", "on_step_end", "on_log", *evaluation, "on_step_end", "on_run_end", "close"]
    logged = [what[0] for name, *what in spy.seen if name == "on_log"]
    assert logged == records(tmp_path, "train") + records(tmp_path, "test")


def test_an_error_is_told_and_everything_closed(tmp_path, monkeypatch):
    spy = spied(monkeypatch)
    monkeypatch.setattr(trainer.StepLog, "on_step_end", lambda self, step: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path)
    assert [name for name, *_ in spy.seen] == ["on_run_start", "on_exception", "close"]


def test_the_order_of_callbacks_is_that_of_their_list(tmp_path):
    config = TrainConfig(**BASE, ema_decay=0.9, tensorboard=True, snapshots=2)
    run = trainer.build_run(config, tmp_path)
    run.tell("close")
    names = [type(callback).__name__ for callback in run.callbacks]
    assert names == [
        "WeightAverage", "StepCounter", "BestWeights", "MetricsWriter", "TensorBoard", "ProgressBar", "Outlook",
        "StepLog", "Evaluation", "Snapshots", "StopSignals", "CheckpointSaver", "LearningCurve", "RunReadme",
    ]  # fmt: skip


def test_only_the_first_rank_writes(tmp_path):
    def callbacks(ranks):
        run = trainer.build_run(TrainConfig(**BASE), tmp_path, ranks=ranks)
        return {type(callback).__name__ for callback in run.callbacks}

    first, second = on_ranks(2, callbacks)
    assert first - second == {"MetricsWriter", "CheckpointSaver", "LearningCurve", "RunReadme"}


def stopping_in_evaluations(patch, rank=0):
    """Let a signal come to one rank in the middle of each evaluation."""
    patch.setattr(evaluation, "EVALUATED_IMAGES", 5)
    original = callbacks.evaluation.evaluate_objective

    def stopped(*what, ranks, stop, **more):
        batches = count()

        def after_the_second_batch():
            if ranks.rank == rank and next(batches) == 1:
                stop.handle(signal.SIGTERM, None)
            return stop()

        return original(*what, ranks=ranks, stop=after_the_second_batch, **more)

    patch.setattr(callbacks.evaluation, "evaluate_objective", stopped)


def test_an_evaluation_that_is_stopped_again_and_again_is_still_made(tmp_path, monkeypatch):
    run(tmp_path / "whole", ema_decay=0.9)
    with monkeypatch.context() as patch:
        stopping_in_evaluations(patch)
        first = run(tmp_path / "stopped", ema_decay=0.9)
        again = run(tmp_path / "stopped", resume=True, ema_decay=0.9)
    assert (first.steps, again.steps) == (5, 5)  # no step is taken before the evaluation was made
    assert run(tmp_path / "stopped", resume=True, ema_decay=0.9).finished
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert [record["step"] for record in records(tmp_path / "stopped", "test")] == [5, 10]


@pytest.mark.slow
def test_ranks_resume_a_run_that_one_of_them_stopped_in_an_evaluation(tmp_path, monkeypatch):
    config = TrainConfig(**BASE | {"batch_size": 18}, ema_decay=0.9)

    def on_two(folder, resume=False):
        return on_ranks(2, lambda ranks: train(config, folder, resume=resume, show=False, ranks=ranks))

    on_two(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stopping_in_evaluations(patch, rank=1)
        stopped = on_two(tmp_path / "stopped")
        assert [(result.steps, result.finished) for result in stopped] == [(5, False)] * 2
        assert [result.signal for result in on_two(tmp_path / "stopped", resume=True)] == [signal.SIGTERM] * 2
    assert all(result.finished for result in on_two(tmp_path / "stopped", resume=True))
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    (_, whole), (_, other) = (read_arrays(tmp_path / name / "checkpoint.npz") for name in ("whole", "stopped"))
    assert all(np.array_equal(whole[name], other[name]) for name in whole)
    assert [record["step"] for record in records(tmp_path / "stopped", "test")] == [5, 10]
