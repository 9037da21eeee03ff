"""What a run says before its first step and after some: its size, and the time that it takes."""

import re
from types import SimpleNamespace

import pytest

from minivit import ViTConfig
from minivit.errors import Notice
from minivit.training import TrainConfig, train
from minivit.training.callbacks import progress
from minivit.training.callbacks.outlook import Outlook, remedy
from minivit.training.trainer import build_run

TINY = {"dim": 16, "depth": 1, "heads": 1, "batch_size": 8, "eval_every": 0.0, "train_images": 8}


@pytest.mark.slow
def test_the_size_of_a_run_is_said_before_and_its_time_after_some_steps(tmp_path, capsys):
    train(TrainConfig(**TINY, steps=20), tmp_path / "long")
    said = capsys.readouterr().out
    assert said.count("size of the run: 65 tokens (8 x 8 patches), ") == 1
    assert re.search(r"parameters, 20 steps\n", said)
    (line,) = (line for line in said.splitlines() if "s a step" in line)
    assert re.fullmatch(r"about [\d.e-]+ s a step: \d+:\d\d to go, evaluations not counted", line)

    train(TrainConfig(**TINY, steps=19), tmp_path / "short")
    said = capsys.readouterr().out
    assert "19 steps" in said and "s a step" not in said
    train(TrainConfig(**TINY, steps=19), tmp_path / "silent", show=False)
    assert capsys.readouterr().out == ""


def test_the_time_left_counts_evaluations(tmp_path, capsys, monkeypatch):
    """Four steps of half a second each and evaluations of 6 seconds: 16 more steps take 32 s."""
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    run = build_run(TrainConfig(**TINY, steps=20), tmp_path)
    bar = progress.ProgressBar(run, show=True)
    now[0] = 100.0  # making the run is not part of a step
    bar.on_run_start()
    run.progress.step, run.progress.seconds, now[0] = 4, 2.0, 108.0
    bar.on_log({"kind": "train", "loss": 1.0, "accuracy": 0.5, "lr": 1e-3, "images_per_second": 16.0})
    run.tell("close")
    assert capsys.readouterr().out.endswith("0:02 done, 0:32 left\n")


@pytest.mark.parametrize(("evaluated", "note"), [(0, ", evaluations not counted"), (4, "")])
def test_both_estimates_of_the_time_left_are_one(tmp_path, capsys, monkeypatch, evaluated, note):
    """A first step of 90 s and five of 2 s: 14 more take 28 s."""
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    run = build_run(TrainConfig(**TINY, steps=20), tmp_path)
    bar = progress.ProgressBar(run, show=True)
    lines = Outlook(run, bar)
    bar.on_run_start()
    run.progress.evaluated = evaluated
    for step in range(1, 7):
        run.progress.step, now[0] = step, 88.0 + 2 * step
        bar.on_step_end(None)
        lines.on_step_end(None)
    bar.on_log({"kind": "train", "loss": 1.0, "accuracy": 0.5, "lr": 1e-3, "images_per_second": 16.0})
    run.tell("close")
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first == f"about 2 s a step: 0:28 to go{note}"
    assert second.endswith(" 0:28 left")


def test_many_tokens_get_a_notice_with_the_remedy(tmp_path):
    with pytest.warns(Notice, match="1,025 tokens for each image make a step slow: --patch-size 2 leaves 256"):
        train(TrainConfig(**TINY, steps=1, patch_size=1), tmp_path)


def test_a_network_that_is_no_transformer_has_no_tokens(tmp_path, capsys):
    config = TrainConfig(model="BiT-R14-CIFAR", steps=1, batch_size=2, train_images=2, eval_every=0.0)
    train(config, tmp_path)
    assert re.search(r"size of the run: [\d,]+ parameters, 1 step\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ViTConfig(image_size=224, patch_size=4), "--patch-size 14 leaves 256"),
        (ViTConfig(image_size=(64, 48), patch_size=1), "--patch-size 4 leaves 192"),
        (ViTConfig(image_size=1_024, patch_size=8), "--patch-size 64 leaves 256"),
        (ViTConfig(image_size=(34, 33), patch_size=1), "choose a larger --patch-size or a smaller --image-size"),
        (ViTConfig(image_size=1_024, patch_size=1, backbone=()), "choose a smaller --image-size"),
    ],
)
def test_the_remedy(config, expected):
    assert remedy(config) == expected
