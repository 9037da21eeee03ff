"""The best evaluation's weights are kept, a run ends when none is better for long, and a kill changes neither."""

import numpy as np
import pytest

from minivit import cli
from minivit.errors import ConfigError
from minivit.training import TrainConfig, callbacks, train
from minivit.training.callbacks.best import BestWeights
from minivit.training.callbacks.checkpoint import CheckpointSaver
from minivit.training.callbacks.metrics import MetricsWriter
from minivit.training.run import Measured
from minivit.weights import find_weights, load_model, read_arrays, write_arrays

from .conftest import tiny_dataset
from .ranks_on_threads import on_ranks
from .test_run import BASE, Killed, assert_same_bits, kill_after, records, run, weights

pytestmark = pytest.mark.usefixtures("tiny", "undrawn")

STEADY = {"lr_schedule": "constant", "warmup_steps": 0}  # a longer run takes the same first steps


def answering(monkeypatch, *values):
    """Let the evaluations of the next runs give these accuracies by epoch, and 1 less each as loss."""

    def evaluated(*_, ranks=None, **__):
        epoch = next(epochs)
        return 1 - values[epoch], values[epoch]

    epochs = iter(range(len(values)))
    monkeypatch.setattr(callbacks.evaluation, "evaluate_objective", evaluated)


def best_of(folder):
    header, arrays = read_arrays(folder / "best.npz")
    return header, arrays


def end_of(folder):
    """What a run leaves that a kill must not change."""
    header, arrays = read_arrays(folder / "checkpoint.npz")
    best_header, best = best_of(folder)
    logged = [
        (r["kind"], r["step"], r["loss"], r["accuracy"]) for kind in ("train", "test") for r in records(folder, kind)
    ]
    noted = header["step"], header["best"], header["waited"], best_header["step"], best_header["last_test"]
    arrays |= {f"best/{name}": array for name, array in best.items()}
    return noted, logged, {name: array.tobytes() for name, array in arrays.items()}


def test_the_weights_of_the_best_evaluation_are_kept(tmp_path, monkeypatch):
    answering(monkeypatch, 0.2, 0.6, 0.5, 0.6)
    result = run(tmp_path / "run", epochs=4, **STEADY)
    answering(monkeypatch, 0.0, 0.0)
    run(tmp_path / "short", epochs=2, **STEADY)

    header, arrays = best_of(tmp_path / "run")
    assert result.best == Measured(step=10, epoch=2.0, loss=0.4, accuracy=0.6)
    assert (result.epoch, result.accuracy) == (4.0, 0.6)  # equal is not better
    assert_same_bits(arrays, weights(tmp_path / "short"))
    assert (header["step"], header["epoch"], header["monitor"], header["split"]) == (10, 2.0, "accuracy", "test")
    assert (header["last_test"], header["classes"]) == ({"loss": 0.4, "accuracy": 0.6}, ["left", "middle", "right"])
    assert not {name for name in arrays if not name.startswith("model/")}  # weights alone


def test_the_best_is_what_was_evaluated_also_where_weights_are_averaged(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        answering(patch, 0.6, 0.5)
        run(tmp_path / "run", ema_decay=0.9, **STEADY)
    result = run(tmp_path / "short", epochs=1, ema_decay=0.9, **STEADY)
    _, arrays = best_of(tmp_path / "run")
    averages = {name: array for name, array in weights(tmp_path / "short").items() if name.startswith("ema/")}
    assert_same_bits({name.replace("model/", "ema/"): array for name, array in arrays.items()}, averages)
    test_set = tiny_dataset(40, 2)
    said = load_model(tmp_path / "run" / "best.npz").predict(test_set.images).argmax(axis=1)
    assert np.mean(said == test_set.labels) == result.accuracy


def test_the_folder_still_means_the_last_weights(tmp_path, monkeypatch):
    answering(monkeypatch, 0.9, 0.1)
    run(tmp_path)
    assert find_weights(str(tmp_path)).name == "checkpoint.npz"
    assert find_weights(f"{tmp_path}/best.npz").name == "best.npz"


@pytest.mark.parametrize(("monitor", "step"), [("accuracy", 10), ("loss", 5)])
def test_loss_or_accuracy_decides(tmp_path, monkeypatch, monitor, step):
    values = iter([(0.1, 0.3), (0.2, 0.4), (float("nan"), 0.1)])
    monkeypatch.setattr(callbacks.evaluation, "evaluate_objective", lambda *_, **__: next(values))
    assert run(tmp_path, epochs=3, monitor=monitor).best.step == step


def test_a_loss_that_is_not_a_number_is_never_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks.evaluation, "evaluate_objective", lambda *_, **__: (float("nan"), 0.1))
    assert run(tmp_path, monitor="loss").best is None
    assert not (tmp_path / "best.npz").exists()


def test_a_run_ends_when_its_patience_does(tmp_path, monkeypatch):
    answering(monkeypatch, 0.2, 0.6, 0.5, 0.6, 0.9)
    result = run(tmp_path, epochs=5, patience=2)
    assert result.finished and result.stopped_early
    assert (result.steps, result.best.step) == (20, 10)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    again = run(tmp_path, epochs=5, patience=2, resume=True)  # nothing is left to do, and nothing is measured
    assert (again.steps, again.best, again.stopped_early) == (20, result.best, True)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_patience_starts_anew_with_each_improvement(tmp_path, monkeypatch):
    answering(monkeypatch, 0.2, 0.1, 0.3, 0.1, 0.4, 0.1)
    result = run(tmp_path, epochs=6, patience=2)
    assert (result.steps, result.stopped_early) == (30, False)


def test_patience_that_ends_with_the_last_step_stops_nothing_early(tmp_path, monkeypatch):
    answering(monkeypatch, 0.2, 0.1)
    assert not run(tmp_path, epochs=2, patience=1).stopped_early


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 4, 5, 9, 10, 14])
def test_a_kill_changes_neither_the_best_nor_the_patience(tmp_path, monkeypatch, step):
    options = {"epochs": 9, "ema_decay": 0.8, "save_every": 0.0, "patience": 3, "dropout": 0.1, "lr": 0.02}
    whole = run(tmp_path / "whole", **options)
    assert whole.stopped_early and whole.steps > 15
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, step)
        run(tmp_path / "killed", **options)
    run(tmp_path / "killed", resume=True, **options)
    assert end_of(tmp_path / "whole") == end_of(tmp_path / "killed")


@pytest.mark.parametrize("step", [5, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("before", "moment"), [(BestWeights, "on_log"), (MetricsWriter, "on_log"), (CheckpointSaver, "on_step_end")]
)
def test_a_kill_between_evaluation_and_checkpoint_loses_nothing(tmp_path, monkeypatch, before, moment, step):
    options = {"epochs": 3, "save_every": 1e6}
    run(tmp_path / "whole", **options)
    original = getattr(before, moment)

    def killed(self, what):
        if self.run.step == step if moment == "on_step_end" else (what["kind"], what["step"]) == ("test", step):
            raise Killed
        original(self, what)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(before, moment, killed)
        run(tmp_path / "killed", **options)
    run(tmp_path / "killed", resume=True, **options)
    assert end_of(tmp_path / "whole") == end_of(tmp_path / "killed")


def test_a_checkpoint_from_before_there_was_a_best_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 7)
        run(tmp_path, epochs=3, save_every=0.0)
    header, arrays = read_arrays(tmp_path / "checkpoint.npz")
    old = {name: value for name, value in header.items() if name not in ("best", "waited", "split")}
    write_arrays(tmp_path / "checkpoint.npz", old, arrays)
    assert run(tmp_path, epochs=3, resume=True).best is not None


def test_ranks_stop_together_and_one_writes(tmp_path, monkeypatch):
    values = {5: 0.5, 10: 0.4, 15: 0.3}
    monkeypatch.setattr(
        callbacks.evaluation.Evaluation, "evaluate", lambda self: scripted(self.run)
    )  # fmt: skip

    def scripted(run):
        run.progress.evaluated = run.step
        run.progress.last_test = {"loss": 1.0, "accuracy": values[run.step]}
        run.tell("on_log", run.record("test", 1.0, values[run.step], 1.0))

    config = TrainConfig(**BASE | {"epochs": 3, "batch_size": 18}, patience=1)
    results = on_ranks(2, lambda ranks: train(config, tmp_path, show=False, ranks=ranks))
    assert [(result.steps, result.stopped_early) for result in results] == [(10, True)] * 2
    assert best_of(tmp_path)[0]["step"] == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patience": 3, "eval_every": 0.0}, "patience must be 0 with eval-every 0"),
        ({"patience": -1}, "patience must be an integer, 0 or more"),
        ({"monitor": "f1"}, "monitor must be one of accuracy, loss, not 'f1'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        TrainConfig(**options)


def test_somebody_elses_best_is_not_overwritten(tmp_path):
    (tmp_path / "best.npz").write_text("theirs", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"holds best\.npz already"):
        run(tmp_path)


def result_of(tmp_path, **changes):
    best = Measured(step=10, epoch=2.0, loss=0.4, accuracy=0.6)
    from minivit.training import RunResult

    given = {"loss": 0.5, "accuracy": 0.55, "seconds": 3.0, "epoch": 4.0, "best": best} | changes
    return RunResult(folder=tmp_path, steps=20, finished=True, **given)


def test_the_last_lines_name_the_last_and_the_best(tmp_path):
    lines = cli.train.lines_on_results(result_of(tmp_path, stopped_early=True), TrainConfig(patience=2))
    assert lines[:3] == [
        "last: test accuracy 55.00%, test loss 0.5000 at epoch 4.00, 3 s of training",
        "best by accuracy: test accuracy 60.00%, test loss 0.4000 at epoch 2.00, in best.npz",
        "stopped early: no better accuracy in 2 evaluations (--patience)",
    ]
    assert "optimistic" in lines[3] and "--validation" in lines[3]


def test_a_best_that_was_chosen_on_held_out_images_is_not_called_optimistic(tmp_path):
    lines = cli.train.lines_on_results(result_of(tmp_path, split="validation"), TrainConfig(validation=5))
    assert len(lines) == 2 and lines[1].startswith("best by accuracy: validation accuracy 60.00%")


def test_a_last_evaluation_that_is_the_best_is_said_once(tmp_path):
    last = Measured(step=20, epoch=4.0, loss=0.5, accuracy=0.55)
    lines = cli.train.lines_on_results(result_of(tmp_path, best=last), TrainConfig())
    assert lines == ["last and best: test accuracy 55.00%, test loss 0.5000 at epoch 4.00, 3 s of training"]
