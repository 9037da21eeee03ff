"""TensorBoard's files: each point of metrics.jsonl is in them once, whatever happened to the run."""

import json
import struct
import sys

import pytest
from tensorboardX.proto.event_pb2 import Event

from minivit.errors import MissingExtraError
from minivit.training import TrainConfig, Trainer, loop, train

from .conftest import tiny_dataset, tiny_model

pytestmark = pytest.mark.usefixtures("tiny", "undrawn")

BASE = {"epochs": 2, "batch_size": 20, "microbatch": 7, "num_threads": 1, "log_every": 2, "tensorboard": True}


def run(folder, resume=False, **changes):
    return train(TrainConfig(**(BASE | changes)), folder, resume=resume, show=False)


def points(folder):
    """(tag, step, value, time) of every scalar in the folder's event files, read by the format's description."""
    found = []
    for path in folder.glob("*tfevents*"):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])  # then 4 bytes of checksum, the event, 4 bytes of checksum
            event = Event.FromString(content[12 : 12 + length])
            found += [(value.tag, event.step, value.simple_value, event.wall_time) for value in event.summary.value]
            content = content[16 + length :]
    return found


def logged(folder):
    """The same, as metrics.jsonl says it, without times."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    names = ("loss", "accuracy", "lr", "images_per_second")
    return sorted(
        (f"{name}/{record['kind']}", record["step"], pytest.approx(record[name], rel=1e-6))
        for record in map(json.loads, lines)
        for name in names
    )


def assert_same_points(folder):
    assert sorted(point[:3] for point in points(folder)) == logged(folder)


def test_every_number_of_the_metrics_is_there_once(tmp_path):
    run(tmp_path)
    assert_same_points(tmp_path)
    assert len(points(tmp_path)) == 4 * (5 + 2)
    times = [point[3] for point in points(tmp_path)]
    assert times == sorted(times)
    seconds = json.loads((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])["seconds"]
    assert 0 < times[-1] - times[0] <= seconds + 0.01


def test_a_scripts_metrics_are_there_too(tmp_path):
    config = TrainConfig(**BASE)
    Trainer(
        tiny_model(), tiny_dataset(90, 1), tiny_dataset(40, 2), config, metrics={"f1": lambda *_: 0.5}, out=tmp_path
    ).fit()
    found = [point[1:3] for point in points(tmp_path) if point[0] == "f1/test"]
    assert len(found) == 2 and {value for _, value in found} == {0.5}


def test_without_the_option_there_is_none(tmp_path):
    run(tmp_path, tensorboard=False)
    assert points(tmp_path) == []
    assert not list(tmp_path.glob("*tfevents*"))


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("save_every", [0.0, 1e6])
def test_a_killed_and_resumed_run_has_no_point_twice(tmp_path, monkeypatch, save_every):
    original = loop.train_step

    def train_step(run, batch):
        if run.step == 5:  # a kill -9 closes nothing: what was logged by then must be on the disk
            assert_same_points(tmp_path)
        if (run.step == 7 and save_every == 0) or (run.step == 5 and save_every):
            raise Killed
        return original(run, batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "train_step", train_step)
        run(tmp_path, save_every=save_every)
    with next(tmp_path.glob("*tfevents*")).open("ab") as file:
        file.write(b"cut short")
    run(tmp_path, resume=True, save_every=save_every)
    assert_same_points(tmp_path)
    assert len(points(tmp_path)) == 4 * (5 + 2)


def test_it_may_be_asked_for_on_resuming_and_has_all_points_then(tmp_path):
    run(tmp_path, tensorboard=False)
    run(tmp_path, resume=True)
    assert_same_points(tmp_path)


def test_without_the_library_it_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minivit\[tensorboard\]'"):
        run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert run(tmp_path / "run", tensorboard=False).finished
