"""A run goes on to another length: on the schedule of that length, and a kill there changes nothing."""

import json

import pytest

from minivit import cli
from minivit.errors import ConfigError, Notice
from minivit.training import callbacks, loop
from minivit.weights import read_arrays

from ..test_cli import refused
from .test_best import STEADY, answering
from .test_run import Killed, assert_same_bits, kill_after, records, run, weights

pytestmark = [
    pytest.mark.usefixtures("tiny", "undrawn"),
    pytest.mark.filterwarnings("ignore:going on from step:minivit.errors.Notice"),
]


def rates(folder):
    return {record["step"]: record["lr"] for record in records(folder, "train")}


def lengths(folder):
    noted = json.loads((folder / "config.json").read_text(encoding="utf-8"))["run"]["lengths"]
    assert read_arrays(folder / "checkpoint.npz")[0]["run"]["lengths"] == noted
    return [(each["until_step"], each["total_steps"]) for each in noted]


def test_the_rest_has_the_rates_of_a_run_of_the_new_length(tmp_path):
    run(tmp_path / "long", epochs=4)
    run(tmp_path / "short", epochs=2)
    short = rates(tmp_path / "short")
    with pytest.warns(Notice, match="going on from step 10 to step 20 instead of 10, on the learning rate of a run"):
        result = run(tmp_path / "short", epochs=4, resume=True)
    assert (result.finished, result.steps) == (True, 20)
    long, both = rates(tmp_path / "long"), rates(tmp_path / "short")
    assert both == short | {step: rate for step, rate in long.items() if step > 10}
    assert both[10] != long[10] and both[12] == long[12]
    assert lengths(tmp_path / "short") == [(10, 10)]


def test_what_had_ended_and_begins_again_is_said(tmp_path):
    ended = {"mixup": 0.2, "mix_until": 0.5, "patch_dropout": 0.5, "patch_dropout_until": 0.9}
    run(tmp_path / "both", epochs=2, **ended)
    with pytest.warns(Notice, match="that long, images are mixed up to step 13: again") as said:
        run(tmp_path / "both", steps=26, resume=True, **ended)
    assert sum("patches are left out up to step 24: again from here on" in str(one.message) for one in said) == 1


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"mixup": 0.2, "patch_dropout": 0.5, "patch_dropout_until": 0.2}, 12),  # mixing never ends, the other stays so
        ({"mix_until": 0.5, "patch_dropout_until": 0.9}, 26),  # nothing is mixed or left out
    ],
)
def test_what_does_not_begin_again_is_not_said(tmp_path, options, steps):
    run(tmp_path, epochs=2, **options)
    with pytest.warns(Notice) as said:
        run(tmp_path, steps=steps, resume=True, **options)
    assert not any("again" in str(one.message) for one in said)


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [3, 10])
def test_where_the_rate_is_constant_it_ends_as_a_run_that_was_longer_from_the_start(tmp_path, monkeypatch, stopped):
    options = {"dropout": 0.1, "ema_decay": 0.9, "save_every": 0.0, **STEADY}
    run(tmp_path / "long", epochs=4, **options)
    if stopped == 10:
        run(tmp_path / "short", epochs=2, **options)
    else:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, stopped)
            run(tmp_path / "short", epochs=2, **options)
    run(tmp_path / "short", steps=20, resume=True, **options)
    assert_same_bits(weights(tmp_path / "long"), weights(tmp_path / "short"))
    assert [r["step"] for r in records(tmp_path / "short", "test")] == [5, 10, 15, 20]
    assert lengths(tmp_path / "short") == [(stopped, 10)]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "save_every"), [(10, 0.0), (11, 0.0), (15, 0.0), (12, 1e6), (17, 1e6)])
def test_a_kill_in_the_new_part_changes_nothing(tmp_path, monkeypatch, step, save_every):
    options = {"dropout": 0.1, "ema_decay": 0.9, "patience": 3}
    for name in ("whole", "killed"):
        run(tmp_path / name, epochs=2, **options)
    run(tmp_path / "whole", epochs=4, resume=True, **options)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, step)
        run(tmp_path / "killed", epochs=4, resume=True, save_every=save_every, **options)
    run(tmp_path / "killed", epochs=4, resume=True, **options)
    whole, killed = (read_arrays(tmp_path / name / "checkpoint.npz") for name in ("whole", "killed"))
    assert_same_bits(whole[1], killed[1])
    assert whole[0]["waited"] == killed[0]["waited"]
    assert rates(tmp_path / "whole") == rates(tmp_path / "killed")
    assert lengths(tmp_path / "whole") == lengths(tmp_path / "killed") == [(10, 10)]


def test_every_length_is_noted(tmp_path):
    run(tmp_path, steps=4)
    run(tmp_path, steps=6, resume=True)
    run(tmp_path, epochs=2, resume=True)
    run(tmp_path, epochs=2, resume=True)  # nothing changes
    assert lengths(tmp_path) == [(4, 4), (6, 6)]


def test_a_length_that_is_passed_already_is_refused_and_nothing_changes(tmp_path):
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=r"has taken 10 steps \(2 epochs\) already: give --steps 10 or more"):
        run(tmp_path, steps=9, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_patience_counts_anew(tmp_path, monkeypatch):
    answering(monkeypatch, 0.6, 0.5, 0.4)
    assert run(tmp_path, epochs=3, patience=2).stopped_early is False
    answering(monkeypatch, 0.5, 0.4, 0.3)
    result = run(tmp_path, epochs=6, patience=2, resume=True)
    assert (result.steps, result.stopped_early, result.best.step) == (25, True, 5)
    answering(monkeypatch, 0.1)
    assert run(tmp_path, epochs=6, patience=4, resume=True).steps == 30  # another patience lets it go on too


def test_an_augmentation_that_follows_from_the_length_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks.evaluation, "evaluate_objective", lambda *_, **__: (1.0, 0.5))
    run(tmp_path, epochs=1, dataset="cifar10")
    with pytest.warns(Notice, match="--augment auto means standard, not none"):
        run(tmp_path, epochs=10, dataset="cifar10", resume=True)


def test_the_command_line_takes_one_new_length(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli.train, "_draw_predictions", lambda *_: [])
    run(tmp_path, steps=4)
    assert "exclude each other" in refused(capsys, "train", "--resume", tmp_path, "--epochs", 2, "--steps", 9)
    assert cli.main(["train", "--resume", str(tmp_path), "--epochs", "2"]) == 0
    assert "going on from step 4 to step 10 instead of 4" in capsys.readouterr().err
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert (config["epochs"], config["steps"]) == (2.0, None)
    assert cli.main(["train", "--resume", str(tmp_path)]) == 0  # its length is the new one from now on
    assert read_arrays(tmp_path / "checkpoint.npz")[0]["step"] == 10


@pytest.mark.parametrize("begins_again", [False, True])
def test_what_shares_of_the_steps_do_follows_the_new_length(tmp_path, monkeypatch, begins_again):
    """It was stopped where both lengths mix and leave out patches, or where the new one alone does."""
    shares = {"mixup": 0.5, "mix_until": 0.5, "patch_dropout": 0.5, "patch_dropout_until": 0.5}
    stopped = 7 if begins_again else 3  # of 10 steps, 5 are mixed; of 20, 10
    steps = seen_steps(monkeypatch)
    run(tmp_path / "long", epochs=4, **STEADY, **shares)
    long = dict(steps)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, stopped)
        run(tmp_path / "short", epochs=2, save_every=0.0, **STEADY, **shares)
    steps.clear()
    run(tmp_path / "short", steps=20, resume=True, **STEADY, **shares)
    assert steps == {step: seen for step, seen in long.items() if step >= stopped}
    assert {seen for step, seen in long.items() if step < 10} == {(2, 0.5)}
    assert {seen for step, seen in long.items() if step >= 10} == {(1, 0.0)}
    if not begins_again:
        assert_same_bits(weights(tmp_path / "long"), weights(tmp_path / "short"))


def seen_steps(monkeypatch):
    """What each step sees, by its number: the axes of the labels, and the share of patches that are left out."""
    steps, train_step = {}, loop.train_step

    def watched(run, batch):
        steps[run.step] = (batch.labels.ndim, run.patch_dropout(run.step))
        return train_step(run, batch)

    monkeypatch.setattr(loop, "train_step", watched)
    return steps
