"""Training the head alone: each image goes through the frozen network once, and the head becomes what it was."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minivit import create_model, load_model, save_weights
from minivit.data import shapes
from minivit.models import ViT
from minivit.preprocessing import Preprocessing
from minivit.training import TrainConfig, batches, evaluation, frozen, loop, train, trainer
from minivit.training.batches import Prepared
from minivit.training.distributed.ranks import ALONE

pytestmark = pytest.mark.usefixtures("undrawn")

PIXELS = shapes("train", 2)


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (shapes("train", 60), shapes("test", 20)))


@pytest.fixture(scope="module")
def starting(tmp_path_factory):
    """Weights of a network with another head."""
    path = tmp_path_factory.mktemp("starting") / "weights.npz"
    save_weights(create_model("ViT-XS_4-CIFAR", seed=5, num_classes=3), path)
    return path


def options(starting, **changes):
    defaults = {
        "weights": str(starting), "freeze": True, "augment": "none", "epochs": 3.0, "batch_size": 16, "lr": 0.05,
        "optimizer": "sgd", "label_smoothing": 0.0, "weight_decay": 0.0,
    }  # fmt: skip
    return TrainConfig(**{**defaults, **changes})


@pytest.fixture
def counted(monkeypatch):
    """How many images went through a network, one number for each batch."""
    seen = []
    original = ViT.encode

    def encode(self, z, **more):
        seen.append(len(z))
        return original(self, z, **more)

    monkeypatch.setattr(ViT, "encode", encode)
    return seen


def test_each_image_goes_through_the_frozen_network_once(starting, tmp_path, counted):
    train(options(starting), tmp_path / "run", show=False)
    assert sum(counted) == 60 + 20
    assert load_model(tmp_path / "run" / "checkpoint.npz").head.weight.data.any()


def test_with_augmentation_each_epoch_computes_anew(starting, tmp_path, counted):
    train(options(starting, augment="crop"), tmp_path / "run", show=False)
    assert sum(counted) == 3 * (60 + 20)


@pytest.mark.slow
@pytest.mark.parametrize("crop", [1.0, 0.7])
def test_the_head_becomes_what_it_becomes_without_the_shortcut(crop, tmp_path, monkeypatch):
    model = create_model("ViT-XS_4-CIFAR", seed=5, num_classes=3)
    model.header = {"preprocessing": Preprocessing(crop_share=crop).to_json()}
    starting = tmp_path / "weights.npz"
    save_weights(model, starting)
    monkeypatch.setattr(evaluation, "EVALUATED_IMAGES", 16)  # several batches, computed by several threads
    short = train(options(starting), tmp_path / "short", show=False)
    monkeypatch.setattr(trainer, "representations_stay", lambda *_: False)
    long = train(options(starting), tmp_path / "long", show=False)

    first, second = (load_model(tmp_path / name / "checkpoint.npz").state() for name in ("short", "long"))
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-6)
    assert short.loss == pytest.approx(long.loss, rel=1e-5)
    assert short.accuracy == long.accuracy


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_weights_to_the_last_bit(starting, tmp_path, monkeypatch):
    config = options(starting, save_every=0.0)
    train(config, tmp_path / "whole", show=False)
    original, steps = loop.train_step, iter(range(100))

    def break_off(run, batch):
        if next(steps) == 5:
            raise KeyboardInterrupt
        return original(run, batch)

    monkeypatch.setattr(loop, "train_step", break_off)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", show=False)
    monkeypatch.setattr(loop, "train_step", original)
    result = train(config, tmp_path / "broken", resume=True, show=False)

    assert result.finished
    whole, broken = (load_model(tmp_path / name / "checkpoint.npz").state() for name in ("whole", "broken"))
    for name in whole:
        np.testing.assert_array_equal(whole[name], broken[name])


def test_held_out_images_are_named_as_without_the_shortcut(starting, tmp_path, capsys):
    train(options(starting, validation=10), tmp_path / "run")
    said = capsys.readouterr().out
    assert "50 training images and 10 validation images of 10 classes" in said
    assert "validation accuracy" in said and "test accuracy" not in said


@pytest.mark.slow
def test_an_average_of_the_weights_is_kept_too(starting, tmp_path):
    result = train(options(starting, ema_decay=0.9), tmp_path / "run", show=False)
    averaged = load_model(tmp_path / "run" / "checkpoint.npz").head.weight.data
    plain = train(options(starting), tmp_path / "plain", show=False)
    assert np.abs(averaged - load_model(tmp_path / "plain" / "checkpoint.npz").head.weight.data).max() > 1e-6
    assert (result.loss, plain.loss) != (None, None)


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({}, True),
        ({"freeze": False}, False),
        ({"augment": "standard"}, False),
        ({"augment": "auto"}, True),  # in runs of few epochs
        ({"augment": "auto", "epochs": 20.0, "dataset": "cifar10"}, False),
        ({"randaugment": "2,5"}, False),
        ({"erasing": 0.5}, False),
        ({"mixup": 0.2}, False),
        ({"cutmix": 1.0}, False),
        ({"teacher": "x"}, False),
        ({"precision": "float16"}, False),
    ],
)
def test_when_representations_stay(starting, changes, stays):
    config = options(starting, **changes)
    model = create_model("ViT-XS_4-CIFAR")
    assert frozen.representations_stay(config, model, PIXELS, "cpu", ALONE, config.epochs) == stays


def test_images_that_are_floats_are_never_augmented_so_theirs_stay(starting):
    config, model = options(starting, augment="auto", epochs=20.0, dataset="cifar10"), create_model("ViT-XS_4-CIFAR")
    floats = Prepared("floats", np.zeros((2, 32, 32, 3), np.float32), PIXELS.labels[:2], PIXELS.classes)
    assert frozen.representations_stay(config, model, floats, "cpu", ALONE, config.epochs)
    model.patch_dropout = 0.5
    assert not frozen.representations_stay(config, model, floats, "cpu", ALONE, config.epochs)


def test_where_else_they_do_not_stay(starting):
    config = options(starting)
    drops = create_model("ViT-XS_4-CIFAR", dropout=0.1)
    assert not frozen.representations_stay(config, drops, PIXELS, "cpu", ALONE, 3.0)
    assert not frozen.representations_stay(config, create_model("ViT-XS_4-CIFAR"), PIXELS, "cuda", ALONE, 3.0)
    two_heads = create_model("ViT-XS_4-CIFAR", distillation=True)
    assert not frozen.representations_stay(config, two_heads, PIXELS, "cpu", ALONE, 3.0)
    several: Any = SimpleNamespace(size=2)
    assert not frozen.representations_stay(config, create_model("ViT-XS_4-CIFAR"), PIXELS, "cpu", several, 3.0)


def test_both_heads_of_a_distilled_model_are_trained(tmp_path):
    save_weights(create_model("ViT-XS_4-CIFAR", seed=5, num_classes=3, distillation=True), tmp_path / "two.npz")
    train(options(tmp_path / "two.npz"), tmp_path / "run", show=False)

    before, after = load_model(tmp_path / "two.npz").state(), load_model(tmp_path / "run" / "checkpoint.npz").state()
    heads = {"head.weight", "head.bias", "distillation_head.weight", "distillation_head.bias"}  # they began as zeros
    assert all(after[name].any() for name in heads)
    assert all(np.array_equal(before[name], after[name]) for name in before.keys() - heads)
