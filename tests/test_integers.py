"""Integers of NumPy are integers in every argument; booleans and numbers with a fraction are none."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from minivit import ConfigError, Tensor, create_model
from minivit.backend.workers import Workers
from minivit.convolution import max_pool
from minivit.data import Loader, shapes
from minivit.data.augment import pad_and_crop, resize, standard
from minivit.data.randaugment import rand_augment
from minivit.engine import patchify
from minivit.training import TrainConfig
from minivit.training.schedule import Schedule
from minivit.utils.integers import integer

KINDS = [np.int64, np.int32, np.uint8, np.intp, np.array]


@pytest.mark.parametrize("kind", KINDS)
def test_an_integer_becomes_pythons_own(kind):
    made = integer("it", kind(7), 0)

    assert made == 7 and type(made) is int


@pytest.mark.parametrize("bad", [True, False, np.True_, np.array(True), 7.0, np.float32(7), "7", None, [7], 1j,
                                 np.array([7]), np.array([7, 8]), 2, np.int8(-1)])  # fmt: skip
def test_all_else_is_refused_in_a_sentence(bad):
    with pytest.raises(ConfigError, match="it must be an integer of 3 or more, not "):
        integer("it", bad, 3)


PLACES = {
    "seed of a model": (lambda n: create_model("ViT-XS_4-CIFAR", seed=n).blocks[0].mlp.fc1.weight.data),
    "seed of a ResNet": (lambda n: create_model("BiT-R14-CIFAR", seed=n).root.weight.data),
    "workers": (lambda n: Workers(n).count),
    "batch size": (lambda n: Loader(shapes("test", 20), n, seed=0).steps_per_epoch),
    "seed of a loader": (lambda n: Loader(shapes("test", 20), 2, seed=n).permutation(1)),
    "number of shapes": (lambda n: shapes("test", n).labels),
    "seed of shapes": (lambda n: shapes("test", 10, seed=n).images),
    "image size": (lambda n: resize(n)(shapes("test", 10).images, np.random.default_rng(0))),
    "padding": (lambda n: pad_and_crop(shapes("test", 10).images, n, np.random.default_rng(0))),
    "padding of standard": (lambda n: standard(n)(shapes("test", 10).images, np.random.default_rng(0))),
    "operations": (lambda n: rand_augment(n, 5)(shapes("test", 10).images, np.random.default_rng(0))),
    "steps": (lambda n: Schedule(lr=1.0, total_steps=n)(2)),
    "warmup": (lambda n: Schedule(lr=1.0, total_steps=9, warmup_steps=n)(2)),
}


@pytest.mark.parametrize("place", PLACES)
def test_each_kind_of_integer_gives_the_same(place):
    use = PLACES[place]
    expected = use(4)

    for kind in KINDS:
        np.testing.assert_array_equal(use(kind(4)), expected)
    for bad in (True, 4.0, "4", -1):
        with pytest.raises(ConfigError, match="must be an integer of"):
            use(bad)


def test_sizes_of_ops_may_be_numpys():
    x = Tensor(np.random.default_rng(0).standard_normal((1, 8, 8, 2)))

    np.testing.assert_array_equal(max_pool(x, np.int64(3), np.int64(2), np.int64(1)).data, max_pool(x, 3, 2, 1).data)
    with pytest.raises(ConfigError, match="leaves windows"):
        max_pool(x, 3, 2, np.int64(3))
    np.testing.assert_array_equal(patchify(x, np.int64(4)).data, patchify(x, 4).data)


@pytest.mark.parametrize(
    "name", ["batch_size", "grad_accum_steps", "steps", "seed", "num_threads", "microbatch", "log_every"]
)
def test_options_of_a_run_may_be_numpys_and_can_be_written(name):
    config = TrainConfig(**{name: np.int64(3)}, lr=np.float32(0.5), epochs=np.int64(10))

    assert json.loads(json.dumps(asdict(config)))[name] == 3
    for bad in (True, np.True_, 3.0, "3"):
        with pytest.raises(ConfigError, match=name.replace("_", "-")):
            TrainConfig(**{name: bad})


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_numbers_of_a_configuration_may_be_numpys_and_can_be_written(kind):
    config = create_model(
        "ViT-XS_4-CIFAR", dropout=kind(0.5), attention_dropout=np.int64(0), norm_eps=kind(0.25)
    ).config

    assert json.loads(json.dumps(asdict(config)))["dropout"] == 0.5
    assert (config.norm_eps, config.attention_dropout) == (0.25, 0)
    assert type(config.dropout) is type(config.norm_eps) is float
