"""Snapshots of a run: dense at the start, the same after a kill, never half-written, without effect on training."""

import hashlib
import json

import numpy as np
import pytest

from minivit.errors import ConfigError, SaveError
from minivit.training import TrainConfig, Trainer, train
from minivit.training.callbacks.evaluation import Evaluation
from minivit.training.callbacks.snapshots import Snapshots
from minivit.training.snapshots import find_snapshots, snapshot_steps
from minivit.utils import files
from minivit.weights import load_model, read_arrays, read_header

from .conftest import tiny_dataset
from .ranks_on_threads import on_ranks
from .test_best import answering
from .test_run import BASE, Killed, assert_same_bits, kill_after, run, weights

pytestmark = [
    pytest.mark.usefixtures("tiny", "undrawn"),
    pytest.mark.filterwarnings("ignore:going on from step:minivit.errors.Notice"),
]


def contents(folder):
    """The bytes of each snapshot by its step, and nothing else may be in their folder."""
    found = find_snapshots(folder)
    assert {path.name for path in (folder / "snapshots").glob("*")} == {path.name for path in found.values()}
    return {step: hashlib.sha256(path.read_bytes()).hexdigest() for step, path in found.items()}


def what_is_in(folder):
    """What each snapshot holds, without the place and the time of its run."""
    found = {}
    for step, path in find_snapshots(folder).items():
        header, arrays = read_arrays(path)
        noted = header["step"], header["epoch"], header["evaluated"], header["last_test"], header["classes"]
        found[step] = noted, {name: (array.dtype, array.tobytes()) for name, array in arrays.items()}
    return found


@pytest.mark.parametrize(
    ("count", "total", "steps"),
    [
        (0, 300, []),
        (1, 300, [300]),
        (2, 300, [0, 300]),
        (3, 300, [0, 1, 300]),
        (8, 300, [0, 1, 3, 7, 17, 45, 116, 300]),
        (5, 4, [0, 1, 2, 3, 4]),
        (100, 4, [0, 1, 2, 3, 4]),
        (4, 4, [0, 1, 2, 4]),
        (3, 1, [0, 1]),
    ],
)
def test_the_steps_are_dense_at_the_start(count, total, steps):
    assert snapshot_steps(count, total) == steps


def test_there_are_as_many_steps_as_asked_for_each_further_from_the_last():
    for total in (1, 2, 3, 10, 77, 1000, 123_456):
        for count in range(2, 60):
            steps = snapshot_steps(count, total)
            assert len(steps) == min(count, total + 1)
            assert (steps[0], steps[-1]) == (0, total)
            gaps = np.diff(steps)
            assert (gaps >= 1).all()
            assert (gaps[1:-1] >= gaps[:-2] - 1).all()  # growing, but for rounding


def test_a_run_keeps_none_unless_asked(tmp_path):
    run(tmp_path)
    assert not (tmp_path / "snapshots").exists()


def test_training_is_the_same_with_and_without(tmp_path):
    run(tmp_path / "without", dropout=0.1, ema_decay=0.8)
    run(tmp_path / "with", dropout=0.1, ema_decay=0.8, snapshots=5)
    assert_same_bits(
        read_arrays(tmp_path / "without/checkpoint.npz")[1], read_arrays(tmp_path / "with/checkpoint.npz")[1]
    )


def test_each_is_the_model_of_its_step_in_half_precision(tmp_path):
    run(tmp_path / "run", snapshots=4)  # of 10 steps
    found = find_snapshots(tmp_path / "run")
    assert list(found) == [0, 1, 3, 10]
    run(tmp_path / "last", lr_schedule="constant", warmup_steps=0, steps=3)
    run(tmp_path / "constant", lr_schedule="constant", warmup_steps=0, snapshots=4)
    for folder, step in (("run", 10), ("last", 3)):
        right = {name: array.astype(np.float16) for name, array in weights(tmp_path / folder).items()}
        path = find_snapshots(tmp_path / ("run" if folder == "run" else "constant"))[step]
        assert_same_bits(read_arrays(path)[1], right)
    test_set = tiny_dataset(40, 2)
    model, last = load_model(found[10]), load_model(tmp_path / "run")
    np.testing.assert_allclose(model.predict(test_set.images), last.predict(test_set.images), atol=5e-3)
    assert list(model.classes) == ["left", "middle", "right"]


def test_each_notes_its_step_and_what_was_measured_by_then(tmp_path, monkeypatch):
    answering(monkeypatch, 0.25, 0.5)
    run(tmp_path, snapshots=5)  # of 10 steps, measured after 5 and 10
    noted = {
        step: (header["step"], header["epoch"], header["evaluated"], header["last_test"])
        for step, path in find_snapshots(tmp_path).items()
        for header in [read_header(path)]
    }
    assert noted == {
        0: (0, 0.0, 0, None),
        1: (1, 0.2, 0, None),
        2: (2, 0.4, 0, None),
        5: (5, 1.0, 5, {"loss": 0.75, "accuracy": 0.25}),
        10: (10, 2.0, 10, {"loss": 0.5, "accuracy": 0.5}),
    }


def test_they_hold_the_average_where_weights_are_averaged(tmp_path):
    run(tmp_path, snapshots=2, ema_decay=0.9)
    average = {name: array for name, array in weights(tmp_path).items() if name.startswith("ema/")}
    right = {name.replace("ema/", "model/"): array.astype(np.float16) for name, array in average.items()}
    assert_same_bits(read_arrays(find_snapshots(tmp_path)[10])[1], right)


def test_numbers_beyond_half_precision_stay_whole(tmp_path):
    from minivit import create_model

    model = create_model("ViT-XS_4-CIFAR", num_classes=3, image_size=8)
    dict(model.named_parameters())["head.bias"].data[0] = 1e5
    data = tiny_dataset(20, 1)
    options = TrainConfig(steps=1, batch_size=10, lr=0.0, snapshots=1)
    Trainer(model, (data.images, data.labels), config=options, out=tmp_path, show=False).fit()
    _, arrays = read_arrays(find_snapshots(tmp_path)[1])
    assert arrays["model/head.bias"].dtype == np.float32
    assert arrays["model/head.bias"][0] == 1e5
    assert {array.dtype for name, array in arrays.items() if name != "model/head.bias"} == {np.dtype(np.float16)}


@pytest.mark.parametrize("save_every", [0.0, 1e6])
@pytest.mark.parametrize("step", [2, *(pytest.param(step, marks=pytest.mark.slow) for step in (0, 1, 3, 5, 9))])
def test_a_kill_changes_none(tmp_path, monkeypatch, step, save_every):
    options = {"snapshots": 6, "dropout": 0.1, "ema_decay": 0.8, "save_every": save_every}
    run(tmp_path / "whole", **options)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, step)
        run(tmp_path / "killed", **options)
    run(tmp_path / "killed", resume=True, **options)
    assert list(what_is_in(tmp_path / "whole")) == [0, 1, 2, 3, 6, 10]
    assert what_is_in(tmp_path / "whole") == what_is_in(tmp_path / "killed")


@pytest.mark.parametrize(("before", "moment"), [(Snapshots, "on_step_end"), (Evaluation, "evaluate")])
def test_a_kill_between_a_checkpoint_and_its_snapshot_loses_none(tmp_path, monkeypatch, before, moment):
    options = {"snapshots": 5, "save_every": 1e6}  # a snapshot, an evaluation and a checkpoint after step 5
    run(tmp_path / "whole", **options)
    original = getattr(before, moment)

    def killed(self, *what):
        if self.run.step == 5:
            if moment == "evaluate":
                self.run.tell("on_evaluation_start")  # it saves the checkpoint
            raise Killed
        original(self, *what)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(before, moment, killed)
        run(tmp_path / "killed", **options)
    assert 5 not in find_snapshots(tmp_path / "killed")
    run(tmp_path / "killed", resume=True, **options)
    assert what_is_in(tmp_path / "whole") == what_is_in(tmp_path / "killed")


def test_a_stop_before_an_evaluation_is_made_up_for(tmp_path, monkeypatch):
    run(tmp_path / "whole", snapshots=5)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "evaluate", lambda self: setattr(self.run, "stopping", True))
        assert not run(tmp_path / "stopped", snapshots=5).finished
    stopped = what_is_in(tmp_path / "stopped")
    assert stopped[5][0][3] is None  # nothing was measured yet
    run(tmp_path / "stopped", resume=True, snapshots=5)
    assert what_is_in(tmp_path / "whole") == what_is_in(tmp_path / "stopped")


def test_a_finished_run_that_is_resumed_changes_no_byte(tmp_path):
    run(tmp_path, snapshots=4)
    before = contents(tmp_path)
    run(tmp_path, snapshots=4, resume=True)
    assert contents(tmp_path) == before


def test_what_a_killed_run_kept_after_its_checkpoint_is_dropped(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 9)
        run(tmp_path, snapshots=20, save_every=1e6)  # its last checkpoint is of step 5
    assert 9 in find_snapshots(tmp_path)
    run(tmp_path, steps=7, snapshots=3, resume=True)
    assert list(find_snapshots(tmp_path)) == [0, 1, 2, 3, 4, 5, 7]


def test_half_written_files_of_a_killed_run_are_removed(tmp_path):
    run(tmp_path, snapshots=2)
    (tmp_path / "snapshots" / ".minivit-1-ab.part").write_bytes(b"half")
    run(tmp_path, snapshots=2, resume=True)
    assert list(contents(tmp_path)) == [0, 10]


def test_a_run_that_goes_on_keeps_what_it_has_and_adds_those_of_its_new_length(tmp_path):
    run(tmp_path, snapshots=4)
    before = contents(tmp_path)
    run(tmp_path, snapshots=4, steps=30, resume=True)
    after = contents(tmp_path)
    assert list(after) == [0, 1, 3, 10, 30]  # 0, 1, 5 and 30 of a run of 30 steps
    assert {step: after[step] for step in before} == before


def test_a_run_that_ends_early_keeps_its_last_weights(tmp_path, monkeypatch):
    answering(monkeypatch, 0.6, 0.5)
    result = run(tmp_path, epochs=9, patience=1, snapshots=3)
    assert (result.steps, result.stopped_early) == (10, True)
    assert list(find_snapshots(tmp_path)) == [0, 1, 10]


def test_a_run_may_begin_to_keep_some_when_it_is_resumed(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 2)
        run(tmp_path, save_every=0.0)
    run(tmp_path, snapshots=4, resume=True)
    assert list(find_snapshots(tmp_path)) == [3, 10]


def test_the_steps_follow_the_length_whatever_the_batch_size(tmp_path):
    run(tmp_path, batch_size=50, snapshots=3)  # 2 epochs of 100 images
    assert list(find_snapshots(tmp_path)) == [0, 1, 4]


def test_of_several_ranks_only_the_first_writes(tmp_path, monkeypatch):
    wrote = []
    original = files.put_in_place
    monkeypatch.setattr(files, "put_in_place", lambda part, path: wrote.append(path.name) or original(part, path))
    config = TrainConfig(**BASE | {"batch_size": 20, "snapshots": 3, "ema_decay": 0.9})
    on_ranks(2, lambda ranks: train(config, tmp_path / "ranks", show=False, ranks=ranks))
    assert sorted(name for name in wrote if name.startswith("step-")) == [
        f"step-{step:07}.safetensors" for step in (0, 1, 10)
    ]
    run(tmp_path / "alone", snapshots=3, ema_decay=0.9, microbatch=5)
    for step, path in find_snapshots(tmp_path / "ranks").items():
        _, arrays = read_arrays(path)
        for name, right in read_arrays(find_snapshots(tmp_path / "alone")[step])[1].items():
            np.testing.assert_allclose(arrays[name], right, atol=2e-3)


def test_a_full_disk_is_said_in_a_sentence_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    original = files._temporary_file

    def full(path, before):
        if path.name == "step-0000003.safetensors":
            raise OSError(28, "No space left on device")
        return original(path, before)

    with monkeypatch.context() as patch, pytest.raises(SaveError) as error:
        patch.setattr(files, "_temporary_file", full)
        run(tmp_path / "run", snapshots=4, save_every=0.0)
    assert "step-0000003.safetensors: No space left on device" in str(error.value)
    assert list(contents(tmp_path / "run")) == [0, 1]
    run(tmp_path / "run", snapshots=4, save_every=0.0, resume=True)
    run(tmp_path / "whole", snapshots=4)
    assert what_is_in(tmp_path / "run") == what_is_in(tmp_path / "whole")


def test_pre_training_keeps_snapshots_of_its_model(tmp_path):
    run(tmp_path, snapshots=2, objective="masked-patch", ema_decay=0.0)
    _, arrays = read_arrays(find_snapshots(tmp_path)[10])
    assert all(name.startswith("model/") for name in arrays)


def test_somebody_elses_snapshots_are_not_touched(tmp_path):
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(ConfigError, match="holds snapshots already"):
        run(tmp_path, snapshots=2)


@pytest.mark.parametrize("count", [-1, 1001])
def test_a_count_that_makes_no_sense_is_refused(count):
    with pytest.raises(ConfigError, match="snapshots must be an integer from 0 to 1,000"):
        TrainConfig(snapshots=count)


def test_the_option_is_noted_and_off_by_default(tmp_path):
    run(tmp_path, snapshots=2)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["snapshots"] == 2
    assert TrainConfig().snapshots == 0
