"""Modules: names in order, modes, state, and errors that list what is wrong."""

import math

import numpy as np
import pytest

from minivit import CheckpointError, ConfigError, MissingExtraError, Tensor, create_model
from minivit.nn import Dropout, LayerNorm, Linear, Module
from minivit.nn.layers import Conv, GroupNorm, parameter
from minivit.nn.module import misfit
from tests.support import tiny_vit


class Pair(Module):
    """A part first, then a parameter, then a list of parts: assigned in this order."""

    def __init__(self):
        self.first = Linear(np.ones((2, 3), np.float32))
        self.scale = parameter(np.ones(3, np.float32))
        self.rest = [LayerNorm(3), Dropout(0.5), LayerNorm(3)]
        self.note = "no parameter"
        self.numbers = [1, 2]

    def forward(self, x):
        return self.first(x) * self.scale


NAMES = [
    "first.weight",
    "first.bias",
    "scale",
    "rest.0.weight",
    "rest.0.bias",
    "rest.2.weight",
    "rest.2.bias",
]


def test_parameters_are_named_by_their_path_in_the_order_of_definition():
    assert [name for name, _ in Pair().named_parameters()] == NAMES


def test_parameters_state_and_names_agree():
    pair = Pair()

    names, tensors = zip(*pair.named_parameters(), strict=True)

    assert list(pair.state()) == list(names)
    assert all(one is other for one, other in zip(pair.parameters(), tensors, strict=True))
    assert all(pair.state()[name] is tensor.data for name, tensor in zip(names, tensors, strict=True))
    assert all(tensor.requires_grad for tensor in tensors)
    assert pair.num_parameters() == 6 + 3 + 3 + 4 * 3


def test_the_parts_are_found_in_lists_too():
    assert [name for name, _ in Pair().named_parts()] == ["first", "rest.0", "rest.1", "rest.2"]


def test_modes_reach_every_part():
    pair = Pair()
    modes = lambda: [pair.training, *(part.training for _, part in pair.named_parts())]  # noqa: E731

    assert modes() == [True] * 5
    assert pair.eval() is pair
    assert modes() == [False] * 5
    assert pair.train() is pair
    assert modes() == [True] * 5


@pytest.mark.parametrize("training", [True, False])
def test_the_former_mode_comes_back_after_the_last_of_evaluations_that_overlap(training):
    model = tiny_vit(dropout=0.5).train(training)
    model.blocks[0].train(not training)
    one, other, inside = model.evaluating(), model.evaluating(), model.blocks[1].evaluating()
    with one:
        other.__enter__()
        inside.__enter__()
    assert not any(part.training for part in (model, *model.blocks))
    other.__exit__(None, None, None)
    assert [part.training for part in (model, *model.blocks)] == [training, not training, False]
    inside.__exit__(None, None, None)
    assert [part.training for part in (model, *model.blocks)] == [training, not training, training]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_numbers_that_would_become_infinite_are_refused_by_name(dtype):
    layer = Linear(np.ones((2, 3), dtype))
    state = {name: np.asarray(array, np.float64) for name, array in layer.state_dict().items()}
    state["weight"][0, 1] = 1e39
    with pytest.raises(CheckpointError, match=f"weight has numbers that are infinite in {np.dtype(dtype)}"):
        layer.load_state_dict(state)
    state["weight"][0, 1] = np.inf  # which it was already
    layer.load_state_dict(state)
    assert layer.weight.data[0, 1] == np.inf


def test_the_former_mode_comes_back_after_an_error():
    model = tiny_vit().train()
    with pytest.raises(ZeroDivisionError), model.evaluating():
        raise ZeroDivisionError
    assert model.training and model.blocks[0].training


def test_the_modes_of_two_modules_are_their_own():
    one, other = Pair(), Pair()

    one.eval()

    assert other.training and other.rest[1].training


def test_zero_grad_forgets_all_gradients():
    pair = Pair()
    pair(Tensor(np.ones((1, 2)).astype(np.float32))).sum().backward()
    assert pair.scale.grad is not None

    pair.zero_grad()

    assert all(tensor.grad is None for tensor in pair.parameters())


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module"):
        Module()(1)


# -- state ---------------------------------------------------------------------------------------


def copies(module):
    return {name: array.copy() for name, array in module.state().items()}


def test_load_state_copies_values_and_keeps_the_type():
    source, target = tiny_vit(seed=1), tiny_vit(seed=2, dtype=np.float32)
    arrays = [tensor.data for tensor in target.parameters()]

    state = copies(source)
    target.load_state(state)
    for array in state.values():
        array[...] = 99.0  # the model has copies

    for (name, tensor), array in zip(target.named_parameters(), arrays, strict=True):
        assert tensor.data is array, name  # in place: optimisers may refer to it
        np.testing.assert_array_equal(tensor.data, source.state()[name].astype(np.float32), strict=True)


def test_load_state_lists_all_that_is_wrong_and_changes_nothing():
    model = tiny_vit()
    before = copies(model)
    state = {name: array + 1.0 for name, array in before.items()}
    del state["cls"]
    state["head.scale"] = np.zeros(3)
    state["head.bias"] = np.zeros(7)

    with pytest.raises(CheckpointError) as caught:
        model.load_state(state, source="the file")

    message = str(caught.value)
    for text in ("the file", "cls is missing", "head.scale is unknown", "head.bias has shape (7,) instead of (5,)"):
        assert text in message
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_state_has_the_fields_names_and_the_older_ones():
    source, target = tiny_vit(seed=1), tiny_vit(seed=2)
    assert list(source.state_dict()) == [name for name, _ in source.named_parameters()] == list(source.state())
    for name, tensor in source.named_parameters():
        assert source.state_dict()[name] is tensor.data is source.state()[name]

    target.load_state_dict(source.state_dict())
    np.testing.assert_array_equal(target.cls.data, source.cls.data)
    source.cls.data[...] = 7.0
    target.load_state(source.state())
    np.testing.assert_array_equal(target.cls.data, source.cls.data)
    for load in (target.load_state, target.load_state_dict):
        with pytest.raises(CheckpointError, match=r"^my file does not fit this model"):
            load({}, source="my file")
        with pytest.raises(CheckpointError, match=r"^the state does not fit this model"):
            load({})


def test_a_class_that_changes_its_state_changes_it_under_both_names():
    class Renamed(Linear):
        def state_dict(self):
            return {f"own.{name}": array for name, array in super().state_dict().items()}

        def load_state_dict(self, state, source="the state"):
            super().load_state_dict({name.removeprefix("own."): array for name, array in state.items()}, source)

    layer = Renamed(np.ones((2, 3)))
    assert list(layer.state()) == ["own.weight", "own.bias"]
    layer.load_state({"own.weight": np.zeros((2, 3)), "own.bias": np.ones(3)})
    assert not layer.weight.data.any() and layer.bias.data.all()


def test_a_long_list_of_problems_is_cut():
    with pytest.raises(CheckpointError, match=r"and \d+ more") as caught:
        tiny_vit().load_state({})

    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "array", [np.full((5,), "word"), np.full((5,), None), np.full((5,), 1j)], ids=["text", "objects", "complex"]
)
def test_arrays_that_are_no_real_numbers_are_refused_and_change_nothing(array):
    model = tiny_vit()
    before = copies(model)
    state = {name: values + 1.0 for name, values in before.items()} | {"head.bias": array}

    with pytest.raises(CheckpointError, match=r"head\.bias"):
        model.load_state(state)
    for name, values in model.state().items():
        np.testing.assert_array_equal(values, before[name])


def test_a_model_in_bfloat16_loads_its_own_state_and_one_in_float32():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    model, other = tiny_vit(dtype=bfloat16), tiny_vit(seed=1, dtype=bfloat16)

    other.load_state_dict(model.state_dict())
    for name, array in other.state_dict().items():
        assert array.dtype == bfloat16
        np.testing.assert_array_equal(array, model.state_dict()[name])

    wide = {name: array.astype(np.float32) + 1 for name, array in model.state_dict().items()}
    other.load_state_dict(wide)
    np.testing.assert_array_equal(other.cls.data, wide["cls"].astype(bfloat16))


@pytest.mark.parametrize("array", [np.zeros(3, "V2"), np.zeros(3, "M8[s]"), np.zeros(3, "f4,f4")], ids=str)
def test_arrays_of_bytes_dates_or_pairs_are_not_real_numbers(array):
    with pytest.raises(CheckpointError, match="bias does not hold real numbers"):
        Linear(np.ones((2, 3))).load_state_dict({"weight": np.ones((2, 3)), "bias": array})


# -- layers --------------------------------------------------------------------------------------


def test_a_layer_takes_over_the_arrays_that_it_is_given():
    kernel, bias, pixels = np.ones((2, 3)), np.ones(3), np.ones((1, 1, 2, 3))
    linear, conv = Linear(kernel, bias), Conv(pixels)
    assert linear.weight.data is kernel and linear.bias.data is bias and conv.weight.data is pixels


def test_a_linear_layers_bias_starts_at_zero_and_a_layer_norm_as_the_identity():
    linear, norm = Linear(np.ones((2, 3), np.float32)), LayerNorm(4)

    np.testing.assert_array_equal(linear.bias.data, np.zeros(3, np.float32), strict=True)
    np.testing.assert_array_equal(norm.weight.data, np.ones(4, np.float32), strict=True)
    np.testing.assert_array_equal(norm.bias.data, np.zeros(4, np.float32), strict=True)
    assert norm.eps == 1e-6


def test_dropout_acts_in_training_alone():
    x = Tensor(np.ones((4, 50)))
    layer = Dropout(0.5)

    assert layer.eval()(x, None) is x
    assert Dropout(0.0)(x, None) is x
    dropped = layer.train()(x, np.random.default_rng(0)).data
    assert set(np.unique(dropped)) == {0.0, 2.0}


def test_dropout_depends_on_the_generator_alone():
    x, layer = Tensor(np.ones((4, 50))), Dropout(0.3)

    first, second = (layer(x, np.random.default_rng(7)).data for _ in range(2))

    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, layer(x, np.random.default_rng(8)).data)


def test_dropout_in_training_needs_a_generator():
    with pytest.raises(ConfigError, match=r"^dropout in training mode needs a random generator"):
        Dropout(0.5)(Tensor([1.0]), None)


# -- devices -------------------------------------------------------------------------------------


def test_to_cpu_keeps_values_and_forgets_gradients():
    model = tiny_vit()
    model.cls.grad = np.zeros_like(model.cls.data)
    before = copies(model)

    assert model.to("cpu") is model

    assert model.cls.grad is None
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:0", "", "cuda:-1"])
def test_an_unknown_device_is_an_error(device):
    with pytest.raises(ConfigError, match="unknown device"):
        tiny_vit().to(device)


def test_a_gpu_without_cupy_names_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)

    with pytest.raises(MissingExtraError, match=r"minivit\[cuda"):
        tiny_vit().to("cuda")


def test_a_part_and_a_model_say_what_they_are():
    model = create_model("ViT-XS_4-CIFAR")
    sizes = "32 x 32 pixels, patches of 4, 4 blocks of width 64, 10 classes"
    assert repr(model) == f"ViT({sizes}; {model.num_parameters():,} parameters)"
    assert repr(model.head) == "Linear(650 parameters)"


def test_eight_problems_are_listed_and_the_ninth_is_counted():
    problems = [f"p{i} is missing" for i in range(10)]
    assert misfit("the file", problems[:8]) == f"the file does not fit this model: {', '.join(problems[:8])}"
    assert misfit("the file", problems[:9]).endswith("p7 is missing and 1 more")
    assert misfit("the file", problems).endswith("p7 is missing and 2 more")


def test_problems_are_never_cut_in_the_middle():
    problems = [f"encoder.layer.{i}.attention.dense.weight has shape (8, 16) instead of (16, 8)" for i in range(10)]
    assert misfit("the file", problems) == f"the file does not fit this model: {problems[0]} and 9 more"


def test_without_a_source_a_misfit_is_of_the_state():
    with pytest.raises(CheckpointError, match="the state does not fit this model: "):
        tiny_vit().load_state({})


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # Values of ± 0.001 have a variance of 1e-6.
        (lambda: GroupNorm(32), 1e-3 / math.sqrt(1e-6 + 1e-6)),
        (lambda: GroupNorm(64, scale=0.5), 0.5 * 1e-3 / math.sqrt(1e-6 + 1e-6)),
        (lambda: LayerNorm(64), 1e-3 / math.sqrt(1e-6 + 1e-6)),
    ],
)
def test_a_millionth_is_added_to_the_variance_of_a_norm(layer, expected):
    layer = layer()
    channels = layer.weight.shape[0]
    signs = np.float32([[(-1) ** (pixel + channel) for channel in range(channels)] for pixel in range(4)])
    out = layer(Tensor(1e-3 * signs.reshape(1, 2, 2, channels)))
    np.testing.assert_allclose(np.abs(out.data), expected, rtol=1e-5)


def test_a_hundred_thousandth_is_added_to_the_deviation_of_a_kernel():
    signs = np.float32([1, -1, -1, 1]).reshape(1, 1, 4, 1)
    out = Conv(1e-4 * signs)(Tensor(signs.reshape(1, 1, 1, 4)))
    np.testing.assert_allclose(out.data, 4.0 * 1e-4 / (1e-4 + 1e-5), rtol=1e-5)


def test_a_parameter_of_two_names_that_is_nan_under_both_is_the_same():
    class Tied(Module):
        def __init__(self):
            self.first = parameter(np.zeros(2, np.float32))
            self.second = self.first

    tied, values = Tied(), np.float32([np.nan, 1.0])
    tied.load_state({"first": values, "second": values.copy()})
    np.testing.assert_array_equal(tied.first.data, values)


def test_a_misfit_lists_eight_reasons_of_130_characters_at_most():
    assert misfit("it", list("abcdefghij")) == "it does not fit this model: a, b, c, d, e, f, g, h and 2 more"
    half = "a" * 64
    assert misfit("it", [half, half]) == f"it does not fit this model: {half}, {half}"  # 130 characters
    assert misfit("it", [half, half + "b"]) == f"it does not fit this model: {half} and 1 more"
    assert misfit("it", [half, "b" * 100, "c"]) == f"it does not fit this model: {half} and 2 more"  # in their order
    alone = misfit("it", ["b" * 200, "c"])
    assert "bbb" in alone and alone.endswith(" and 1 more") and len(alone) < 175
