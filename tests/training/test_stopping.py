"""A run that is stopped: by which signal, when, with which status, and what is left of it."""

import os
import signal
import sys
import threading

import pytest

from minivit.training import TrainConfig, batches, evaluation, loop, resuming, stopping, train
from minivit.training.callbacks.checkpoint import CheckpointSaver
from minivit.training.callbacks.progress import ProgressBar
from minivit.training.stopping import Stopped, StopRequest, exit_status, stop_signals
from minivit.weights import read_arrays

from .test_run import assert_same_bits, records, run, weights

pytestmark = pytest.mark.usefixtures("tiny", "undrawn", "signals_as_in_a_terminal")
posix = pytest.mark.skipif(os.name != "posix", reason="Windows cannot send itself these signals")


@pytest.fixture
def signals_as_in_a_terminal():
    """Tests that were started with nohup ignore SIGHUP, and a run would, too."""
    if os.name != "posix":
        yield
        return
    before = signal.getsignal(signal.SIGHUP)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def send(number):
    os.kill(os.getpid(), number)


def at_step(monkeypatch, step, action):
    """Do something before a training step, once."""
    original, done = loop.train_step, []

    def train_step(run, batch):
        if run.step == step and not done:
            done.append(1)
            action()
        return original(run, batch)

    monkeypatch.setattr(loop, "train_step", train_step)


@posix
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143)])
def test_a_signal_ends_the_run_after_the_step_and_it_is_saved(tmp_path, monkeypatch, name, status):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    at_step(monkeypatch, 3, lambda: send(number))
    result = run(tmp_path)
    assert (result.finished, result.steps, result.signal) == (False, 4, number)
    assert exit_status(result.signal) == status
    assert read_arrays(tmp_path / "checkpoint.npz")[0]["step"] == 4
    assert signal.getsignal(number) == before


@posix
def test_a_run_started_with_nohup_outlives_its_terminal(tmp_path, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        at_step(monkeypatch, 3, lambda: send(signal.SIGHUP))
        assert run(tmp_path, steps=5).finished
    finally:
        signal.signal(signal.SIGHUP, before)


@posix
def test_a_second_signal_ends_the_run_at_once(tmp_path, monkeypatch):
    def twice():
        send(signal.SIGINT)
        send(signal.SIGTERM)

    at_step(monkeypatch, 3, twice)
    with pytest.raises(Stopped) as caught:
        run(tmp_path, save_every=0.0)
    assert caught.value.status == 130  # as the first one says
    assert read_arrays(tmp_path / "checkpoint.npz")[0]["step"] == 3
    assert not list(tmp_path.glob(".*"))


@posix
def test_a_signal_before_the_first_step_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: send(signal.SIGTERM))
    with pytest.raises(Stopped) as caught:
        run(tmp_path / "deep" / "run")
    assert caught.value.status == 143
    assert list(tmp_path.iterdir()) == []


@posix
def test_signals_while_saving_wait_until_it_is_saved(tmp_path, monkeypatch):
    original = resuming.save_checkpoint

    def save(path, **what):
        send(signal.SIGINT)
        send(signal.SIGINT)
        original(path, **what)

    monkeypatch.setattr(resuming, "save_checkpoint", save)
    result = run(tmp_path, save_every=0.0)
    assert (result.finished, result.steps) == (False, 2)  # they came after the first step's last look
    assert read_arrays(tmp_path / "checkpoint.npz")[0]["step"] == 2


@posix
@pytest.mark.parametrize("more", [{}, {"ema_decay": 0.9}, {"epochs": 1}])
def test_a_signal_during_an_evaluation_ends_it_at_once_and_loses_nothing(tmp_path, monkeypatch, more):
    run(tmp_path / "whole", **more)
    monkeypatch.setattr(evaluation, "EVALUATED_PIXELS", 8 * 8 * 10)  # four passes over 40 images
    measured = []
    original = evaluation.preprocess

    def pressed_in_the_first_pass(pictures):
        measured.append(len(pictures))
        send(signal.SIGINT)
        return original(pictures)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "preprocess", pressed_in_the_first_pass)
        result = run(tmp_path / "stopped", **more)
    assert measured == [10]
    assert (result.finished, result.steps) == (False, 5)
    assert result.accuracy is None
    assert records(tmp_path / "stopped", "test") == []

    resumed = run(tmp_path / "stopped", resume=True, **more)
    assert resumed.finished
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    for kind in ("train", "test"):
        whole, stopped = (records(tmp_path / name, kind) for name in ("whole", "stopped"))
        for name in ("step", "lr"):
            assert [record[name] for record in whole] == [record[name] for record in stopped]
        assert [record["loss"] for record in whole] == pytest.approx([record["loss"] for record in stopped])


@posix
def test_two_signals_during_an_evaluation_lose_no_step(tmp_path, monkeypatch):
    original = evaluation.preprocess

    def pressed_twice(pictures):
        send(signal.SIGINT)
        send(signal.SIGINT)
        return original(pictures)

    monkeypatch.setattr(evaluation, "preprocess", pressed_twice)
    with pytest.raises(Stopped):
        run(tmp_path)
    assert read_arrays(tmp_path / "checkpoint.npz")[0]["step"] == 5


def test_a_kill_after_an_evaluation_and_before_the_next_save_logs_it_once(tmp_path, monkeypatch):
    run(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointSaver, "is_due", lambda self: False)
        at_step(patch, 5, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "killed")
    assert len(records(tmp_path / "killed", "test")) == 1
    run(tmp_path / "killed", resume=True)
    steps = [[record["step"] for record in records(tmp_path / name, "test")] for name in ("whole", "killed")]
    assert steps[0] == steps[1] == [5, 10]


def test_the_answer_to_a_signal_is_immediate_and_past_all_buffers(capfd):
    request = StopRequest(show=True)
    request.steps_begun = True
    request.handle(signal.SIGINT, None)
    assert "stopping" in capfd.readouterr().err
    assert request() and request.number == signal.SIGINT


def test_outside_the_main_thread_signals_are_left_alone():
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    seen = []

    def inside():
        with stop_signals() as request:
            seen.append((request(), [signal.getsignal(number) for number in stopping.SIGNALS]))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_an_evaluation_tells_the_size_of_each_batch(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(ProgressBar, "on_evaluation_batch_end", lambda self, images: seen.append(images))
    run(tmp_path, epochs=1)
    assert sum(seen) == 40


def test_an_output_that_is_gone_does_not_end_the_run(tmp_path, monkeypatch):
    class Gone:
        def write(self, text):
            raise BrokenPipeError

        flush = isatty = lambda self: False

    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", None)
    result = train(TrainConfig(epochs=1, batch_size=20, num_threads=1, log_every=2), tmp_path, show=True)
    assert result.finished
