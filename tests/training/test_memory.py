"""A batch that does not fit the memory: one sentence that says what to do, and nothing lost."""

import json

import numpy as np
import pytest

from minivit.backend.gpu.cuda import device_memory
from minivit.cli import main
from minivit.errors import OutOfMemory
from minivit.models import create_model
from minivit.models.cost import images_that_fit
from minivit.training import TrainConfig, failures, train, trainer
from minivit.training.failures import out_of_memory
from minivit.training.objectives import Classes
from minivit.weights import read_arrays


def full_after(monkeypatch, calls):
    """Let the memory be full once so many micro-batches were computed."""
    original, done = Classes.loss, []

    def loss(self, images, labels, rng):
        done.append(1)
        if len(done) > calls:
            raise np._core._exceptions._ArrayMemoryError((len(images), 10**9), np.dtype(np.float32))
        return original(self, images, labels, rng)

    monkeypatch.setattr(Classes, "loss", loss)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_sentence_names_the_size_and_a_smaller_one(tiny, tmp_path, monkeypatch, workers):
    full_after(monkeypatch, calls=8)
    config = TrainConfig(steps=9, batch_size=16, microbatch=8, num_threads=workers, eval_every=0.0, save_every=0.0)
    with pytest.raises(OutOfMemory, match=rf"too small for {workers} micro-batches of 8 images at a time: try --micro"):
        train(config, tmp_path / "run", show=False)
    assert read_arrays(tmp_path / "run" / "checkpoint.npz")[0]["step"] == 4  # two micro-batches a step
    assert json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["microbatch"] == 8


def test_the_advice_is_what_fits_by_the_estimate_and_less_than_what_did_not(tiny, monkeypatch):
    config = TrainConfig(steps=9, batch_size=64, microbatch=64, num_threads=1, eval_every=0.0)
    model = trainer.build_model(config, None, config.seed)
    tapes = images_that_fit(model, 2e5)
    assert 1 < tapes < 64
    monkeypatch.setattr(failures, "device_memory", lambda device: 2e5)
    assert str(out_of_memory(model, "cpu", 64, 64, 1)).endswith(f"try --microbatch {min(tapes, 32)}")
    assert str(out_of_memory(model, "cpu", 64, 2, 1)).endswith("try --microbatch 1")
    assert str(out_of_memory(model, "cpu", 64, 1, 1)).endswith("try --grad-checkpointing or a smaller model")
    monkeypatch.setattr(failures, "device_memory", lambda device: None)
    assert str(out_of_memory(model, "cpu", 64, 64, 1)).startswith("the memory of cpu is too small")


def test_the_estimate_grows_with_memory_and_shrinks_with_passes():
    model = create_model("ViT-XS_4-CIFAR", seed=None)
    assert images_that_fit(model, 1e6) == 0  # four arrays of the model take more
    few, many = images_that_fit(model, 1e8), images_that_fit(model, 1e9)
    assert 10 * few < many
    assert images_that_fit(model, 1e9, passes=2) in (many // 2, many // 2 + 1)


def test_this_machine_has_some_memory():
    assert device_memory("cpu") is None or device_memory("cpu") > 10**8


def test_the_command_line_says_it_in_one_line(tiny, tmp_path, monkeypatch, capsys):
    full_after(monkeypatch, calls=0)
    assert main(["train", "--steps", "2", "--out", str(tmp_path / "run"), "--num-threads", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minivit: error: the memory") and error.count("\n") == 1
