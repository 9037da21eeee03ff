"""Before the first step, a run says that a GPU has too little memory for it, and what fits. The card is a stand-in."""

import math

import pytest

from minivit.errors import OutOfMemory
from minivit.models import cost
from minivit.training import TrainConfig, failures, train, trainer
from tests.gpu import strict_cupy

IMAGE = 32 * 32 * 3 * 4  # bytes
WAITING = 4  # batches: two of the loader, one on its way, one in use
CONFIG = {"dataset": "shapes", "steps": 1, "train_images": 64, "validation": 20, "device": "cuda", "eval_every": 0}


@pytest.fixture(autouse=True)
def cupy():
    with strict_cupy.installed() as module:
        yield module


@pytest.fixture
def memory(monkeypatch):
    """A function that makes the card's memory as small as one likes."""

    def set_memory(size):
        for module in (cost, failures):
            monkeypatch.setattr(module, "device_memory", lambda device: size)

    return set_memory


def message(folder, **options):
    """What a run says of the memory; the run has not begun."""
    with pytest.raises(OutOfMemory) as caught:
        train(TrainConfig(**{**CONFIG, **options}), folder, show=False)
    assert not (folder / "metrics.jsonl").exists() and not (folder / "config.json").exists()
    return str(caught.value)


def kept_and_weights(folder):
    total = cost.costs(trainer.build_run(TrainConfig(**CONFIG), folder).model)[-1]
    return total.kept_bytes, total.weight_bytes


@pytest.mark.slow
def test_micro_batches_that_do_not_fit_are_refused_with_the_largest_that_does(tmp_path, memory):
    kept, weights = kept_and_weights(tmp_path / "any")
    memory(3 * weights + WAITING * 64 * IMAGE + 10.5 * kept)

    said = message(tmp_path / "run", batch_size=64, microbatch=32)

    assert "of cuda is too small for batches of 64 images in micro-batches of 32: try --microbatch 10" in said
    for options in ({"microbatch": 10}, {"microbatch": None}):
        assert trainer.build_run(TrainConfig(**{**CONFIG, "batch_size": 64, **options}), tmp_path / "fits")


def test_half_precision_and_recomputed_blocks_are_refused_only_where_they_certainly_do_not_fit(tmp_path, memory):
    kept, weights = kept_and_weights(tmp_path / "any")
    memory(3 * weights + WAITING * 64 * IMAGE + 10.5 * kept)

    assert "try --microbatch 21" in message(tmp_path / "half", batch_size=64, microbatch=32, precision="float16")
    assert "try --microbatch 42" in message(  # of four blocks, one at a time
        tmp_path / "again", batch_size=64, microbatch=64, grad_checkpointing=True
    )
    assert trainer.build_run(
        TrainConfig(**CONFIG, batch_size=64, microbatch=32, grad_checkpointing=True), tmp_path / "fits"
    )


def test_a_batch_that_leaves_no_room_for_one_image_is_refused_with_one_that_does(tmp_path, memory):
    kept, weights = kept_and_weights(tmp_path / "any")
    memory(3 * weights + WAITING * 20 * IMAGE + 1.5 * kept)

    said = message(tmp_path / "run", batch_size=64)

    batch = 64
    while 3 * weights + WAITING * batch * IMAGE + kept > 3 * weights + WAITING * 20 * IMAGE + 1.5 * kept:
        batch //= 2
    assert f"for batches of 64 images in micro-batches of 1: try --batch-size {batch}" in said
    assert trainer.build_run(TrainConfig(**CONFIG, batch_size=batch), tmp_path / "fits")


def test_a_model_that_leaves_no_room_for_one_image_is_refused(tmp_path, memory):
    kept, weights = kept_and_weights(tmp_path / "any")
    memory(3 * weights + 0.5 * kept)

    assert "try --grad-checkpointing or a smaller model" in message(tmp_path / "run", batch_size=16)


def test_a_system_that_does_not_say_how_much_memory_there_is_refuses_nothing(tmp_path, memory):
    memory(None)
    assert trainer.build_run(TrainConfig(**CONFIG, batch_size=16, microbatch=16), tmp_path)


def test_a_card_with_enough_memory_takes_the_batch_in_one_pass(tmp_path, memory):
    memory(80e9)
    run = trainer.build_run(TrainConfig(**CONFIG, batch_size=64), tmp_path)
    assert run.microbatch_size(64, 0) == 64 and math.isfinite(run.total_steps)
