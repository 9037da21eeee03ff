"""The loop trains every kind of network; their options reach them."""

import json

import numpy as np
import pytest

from minivit import ConfigError, load_model
from minivit.data import shapes
from minivit.training import TrainConfig, batches, train
from minivit.weights import pool_of

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (shapes("train", 48), shapes("test", 10)))


OPTIONS = {
    "ViT with the patches' mean": {"pool": "avg", "positions": "sincos2d"},
    "ViT with attention pooling": {"pool": "map", "positions": "learned2d", "positions_at": "every"},
    "ViT with relative positions": {"positions": "relative", "dropout": 0.1},
    "hybrid": {"model": "R+ViT-XS_4-CIFAR"},
    "ResNet": {"model": "BiT-R14-CIFAR"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OPTIONS)
def test_a_few_steps_on_the_same_images_lower_the_loss_and_the_model_comes_back(tmp_path, kind):
    config = TrainConfig(
        **OPTIONS[kind],
        epochs=4,
        batch_size=48,
        microbatch=12,
        lr=1e-3,
        warmup=0.0,
        lr_schedule="constant",
        log_every=1,
    )

    result = train(config, tmp_path / "run", show=False)

    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert len(losses) == 4
    assert losses[0] == pytest.approx(np.log(10), abs=1e-3)  # a zero head knows nothing
    assert losses[-1] < losses[0]
    model = load_model(tmp_path / "run" / "checkpoint.npz")
    right = model.predict(shapes("test", 10).images).argmax(axis=1) == shapes("test", 10).labels
    assert right.mean() == result.accuracy
    for name, value in OPTIONS[kind].items():
        if name == "pool":
            assert model.config.classifier == pool_of("pool", value)
        elif name != "model":
            assert getattr(model.config, name) == value


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "BiT-R14-CIFAR", "pool": "avg"}, "classifier"),
        ({"model": "BiT-R14-CIFAR", "dropout": 0.1}, "dropout"),
        ({"positions": "polar"}, "'polar'"),
        ({"positions": "none", "positions_at": "every"}, "positions_at"),
    ],
)
def test_options_that_a_model_has_not_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        TrainConfig(**options)


def test_blocks_are_checkpointed_in_transformers_alone(tmp_path):
    with pytest.raises(ConfigError, match="BiT-R14-CIFAR"):
        train(TrainConfig(model="BiT-R14-CIFAR", grad_checkpointing=True), tmp_path / "run", show=False)
