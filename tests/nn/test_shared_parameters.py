"""A parameter under several names is one parameter: counted, stepped, clipped, averaged and moved once."""

import copy

import numpy as np
import pytest

import minivit
from minivit import SGD, Adam, AdamW, CheckpointError, ConfigError, Muon, Tensor, create_model, value_and_grad
from minivit.backend.workers import Workers
from minivit.nn import Linear, Module
from minivit.training.distributed.parallel import GradientSums, batch_gradients
from minivit.training.finetuning import freeze_all_but_head
from minivit.training.objectives import Classes
from minivit.training.optim import ExponentialAverage, clip_by_global_norm
from minivit.training.precision import MixedPrecision

X = np.array([[1.0, 2.0]], np.float32)


class Tied(Module):
    """The same layer twice, under two names."""

    def __init__(self):
        self.a = Linear(np.array([[1.0, 0.5], [-0.5, 1.0]], np.float32))
        self.b = self.a
        self.kept = [self.a.weight]

    def forward(self, x):
        return self.b(self.a(x))


class Once(Module):
    """The same layer twice, under one name."""

    def __init__(self):
        self.a = Linear(np.array([[1.0, 0.5], [-0.5, 1.0]], np.float32))

    def forward(self, x):
        return self.a(self.a(x))


def shared_blocks(depth=4):
    """A ViT with one block several times, as in ALBERT."""
    model = create_model("ViT-XS_4-CIFAR", num_classes=3)
    model.blocks = [model.blocks[0]] * depth
    for seed, tensor in enumerate(model.parameters()):  # numbers instead of zeros
        tensor.data += np.random.default_rng(seed).normal(0, 0.05, tensor.shape).astype(np.float32)
    return model


def test_it_is_counted_once_and_has_its_first_name():
    tied = Tied()

    assert [name for name, _ in tied.named_parameters()] == ["a.weight", "a.bias"]
    assert len(tied.parameters()) == 2 and tied.num_parameters() == 6
    assert [name for name, _ in tied.named_parts()] == ["a"]
    assert shared_blocks().num_parameters() == 41_155


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, Muon])
def test_it_is_stepped_and_decayed_once(optimizer):
    moved = []
    for make in (Tied, Once):
        model = make()
        steps = optimizer(model.named_parameters(), lr=0.01, weight_decay=0.5)
        average = ExponentialAverage(model.named_parameters(), 0.5)
        for number in range(3):
            model(Tensor(X)).sum().backward()
            assert clip_by_global_norm([p.grad for p in model.parameters()], 1.0) > 1.0
            steps.step()
            steps.zero_grad()
            average.update(number)
        moved.append([model.a.weight.data, model.a.bias.data, average.flat, *steps.state().values()])

    for tied, once in zip(*moved, strict=True):
        np.testing.assert_array_equal(tied, once, strict=True)


def test_clipping_counts_an_array_once_however_often_it_is_given():
    gradient = np.array([3.0, 4.0])

    assert clip_by_global_norm([gradient, gradient], 1.0) == pytest.approx(5.0)
    np.testing.assert_allclose(gradient, [0.6, 0.8])


def test_it_is_saved_under_each_name_and_loads_where_it_was_and_into_a_model_with_one_for_each_name(tmp_path):
    model, path = shared_blocks(), tmp_path / "shared.npz"
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)

    minivit.save_weights(model, path)
    loaded = minivit.load_model(path)

    assert loaded.num_parameters() > model.num_parameters()
    np.testing.assert_array_equal(loaded(images).data, model(images).data)
    again = shared_blocks()
    for tensor in again.parameters():
        tensor.data[...] = 0.0
    again.load_state(loaded.state())
    np.testing.assert_array_equal(again(images).data, model(images).data)
    again.load_state(dict(again.named_parameters()) | {name: tensor.data for name, tensor in model.named_parameters()})


def test_state_that_differs_under_its_names_is_refused_and_changes_nothing():
    tied = Tied()
    state = {name: array.copy() for name, array in tied.state().items()}
    assert list(state) == ["a.weight", "a.bias", "b.weight", "b.bias", "kept.0"]
    state["b.bias"] += 1.0

    with pytest.raises(CheckpointError, match=r"a\.bias and b\.bias are one parameter here and differ there"):
        tied.load_state(state)
    del state["a.bias"], state["b.bias"]
    with pytest.raises(CheckpointError, match=r"a\.bias is missing"):
        tied.load_state(state)
    np.testing.assert_array_equal(tied.a.bias.data, 0.0)


def test_its_gradient_is_the_sum_over_its_uses_with_threads_too():
    model = shared_blocks()
    images = np.random.default_rng(1).uniform(-1, 1, (6, 32, 32, 3)).astype(np.float32)
    labels = np.arange(6) % 3
    _, expected = value_and_grad(lambda: minivit.cross_entropy(model(images), labels), model.parameters())

    with Workers(2) as workers:
        found = batch_gradients(
            Classes(model).loss, model.parameters(), images, labels, workers=workers, microbatch=2
        ).gradients

    assert len(found) == len(expected)
    for mine, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, right, rtol=1e-3, atol=1e-6)


def test_sums_of_gradients_take_each_parameter_once():
    weight = Tied().a.weight

    with pytest.raises(ConfigError, match="in the list twice"):
        GradientSums([weight, weight])


def test_a_half_precision_twin_shares_as_the_network_does():
    model = shared_blocks()
    mixed = MixedPrecision(Classes(model), model.parameters(), np.dtype(np.float16))

    assert len(mixed.pairs) == len(model.parameters())
    assert mixed.flat.size == model.num_parameters()


def test_a_copy_shares_within_itself():
    twin = copy.deepcopy(Tied())

    assert twin.a is twin.b and twin.num_parameters() == 6


def test_moving_and_freezing_see_it_once():
    model = shared_blocks()
    model.to("cpu")
    assert model.blocks[0].mlp.fc1.weight is model.blocks[3].mlp.fc1.weight
    model.head.weight, model.extra = model.blocks[0].mlp.fc1.weight, model.head.weight

    freeze_all_but_head(model)

    assert [name for name, tensor in model.named_parameters() if tensor.requires_grad] == [
        "blocks.0.mlp.fc1.weight",  # the head's, under its first name
        "head.bias",
    ]
