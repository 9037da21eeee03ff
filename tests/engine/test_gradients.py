"""Every op's gradient, under every spelling, agrees with finite differences along random directions."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit import Tensor, gradcheck, models, nn
from minivit.engine import fused, ops
from minivit.models import hybrid, positions, resnet, variants, vit
from minivit.models.classifier import Classifier
from tests.engine.cases import CASES
from tests.support import close_numbers, random_images, randomize, set_parameter, tiny_config, tiny_vit

# Functions of ops.py and fused.py that ops are made of; they are no ops themselves.
SHARED = {
    "ops": {
        "count_over",
        "divided",
        "extreme",
        "operands",
        "operands_or_none",
        "restore_axes",
        "shapes_needing_grad",
        "unbroadcast",
    },
    "fused": {
        "added",
        "attend",
        "check_shapes",
        "drop",
        "gelu_erf",
        "gelu_tanh",
        "labels_are_constants",
        "normalize",
        "normalize_backward",
        "shifted_to_zero",
        "softmax_backward_in_place",
        "softmax_in_place",
        "split_heads",
        "target_probabilities",
    },
}

# What a Tensor has that makes no new Tensor on the tape; `to` does on another device, see test_no_more_than_needed.py.
NOT_OPS = {
    *("__init__", "__len__", "__repr__", "_changed", "_data", "_grad", "_node", "data", "grad", "name"),
    *("requires_grad", "_set_data", "changed_in_place", "shape", "ndim", "size", "dtype", "is_leaf"),
    *("item", "numpy", "detach", "to", "backward", "zero_grad"),
    *("__float__", "__int__", "__round__", "__format__", "__bool__", "__contains__", "__hash__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "_compared"),
    *("__iadd__", "__isub__", "__imul__", "__itruediv__", "__imatmul__", "__ipow__", "_refuse_in_place"),
    *("__array__", "__array_function__", "__array_ufunc__"),
    *("__deepcopy__", "__module__", "__doc__", "__slots__", "__weakref__", "__static_attributes__", "__firstlineno__"),
    *("__annotations__", "__annotate_func__", "__annotations_cache__"),
}


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=40)
def test_the_gradient_agrees_with_finite_differences(name, data):
    function, *inputs = data.draw(CASES[name])

    gradcheck(function, *inputs, tolerance=1e-6)


# -- nothing is left out -------------------------------------------------------------------------


@pytest.mark.parametrize("module", [ops, fused], ids=["ops", "fused"])
def test_every_op_has_a_gradient_case(module):
    short = module.__name__.rpartition(".")[2]
    defined = {
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    wanted = (set(module.__all__) | defined) - SHARED[short]

    covered = {name.partition(":")[0] for name in CASES}

    assert {f"{short}.{name}" for name in wanted} <= covered


def test_every_method_of_a_tensor_has_a_gradient_case():
    covered = {name.partition(":")[0] for name in CASES}

    noted_by_copy = {"__slotnames__"}  # Python's own note on a class whose objects were copied
    assert {f"Tensor.{name}" for name in set(vars(Tensor)) - NOT_OPS - noted_by_copy} <= covered


def test_every_case_names_an_op_that_exists():
    homes = {"ops": ops, "fused": fused, "Tensor": Tensor}

    for name in CASES:
        home, _, attribute = name.partition(":")[0].partition(".")
        assert hasattr(homes[home], attribute), name


# -- values that tie, and other special points ---------------------------------------------------


def test_elements_that_tie_for_the_maximum_share_its_gradient_evenly():
    x = Tensor(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [5.0, 0.0, 4.0]]), requires_grad=True)

    x.max(axis=1).backward(np.array([1.0, 6.0, 10.0]))

    np.testing.assert_array_equal(x.grad, [[0.0, 0.5, 0.5], [2.0, 2.0, 2.0], [10.0, 0.0, 0.0]])


def test_ties_over_all_axes_share_one_gradient():
    x = Tensor(np.array([[7.0, 1.0], [7.0, 7.0]]), requires_grad=True)

    x.max().backward()

    close_numbers(x.grad, [[1 / 3, 0.0], [1 / 3, 1 / 3]], rtol=1e-15)


def test_a_position_picked_three_times_receives_three_gradients():
    x = Tensor(np.zeros(3), requires_grad=True)

    x[[1, 1, 0, 1]].backward(np.array([1.0, 10.0, 5.0, 100.0]))

    np.testing.assert_array_equal(x.grad, [5.0, 111.0, 0.0])


@pytest.mark.parametrize("form", ["tanh", "erf"])
def test_gelu_is_flat_or_straight_far_from_zero(form):
    x = Tensor(np.array([-60.0, 60.0]), requires_grad=True)

    fused.gelu(x, form).backward(np.array([1.0, 1.0]))

    np.testing.assert_array_equal(x.grad, [0.0, 1.0])


# -- layers and models ---------------------------------------------------------------------------


def check_layer(module, x, *arguments):
    """Check the gradient with respect to the input and to every parameter, all in one."""
    names = [name for name, _ in module.named_parameters()]

    def call(x, *leaves):
        for name, leaf in zip(names, leaves, strict=True):
            set_parameter(module, name, leaf)
        return module(x, *(argument() for argument in arguments))

    gradcheck(call, x, *(parameter.data for parameter in module.parameters()))


def array(*shape):
    return np.random.default_rng(2).standard_normal(shape)


def same_rng():
    """The same masks at each call, as finite differences need."""
    return np.random.default_rng(3)


def check_whole_model(**changes):
    model = tiny_vit(**changes)
    check_layer(model, random_images(model.config, batch=2))


LAYERS = {
    nn.Linear: lambda: check_layer(randomize(nn.Linear(array(4, 3))), array(2, 5, 4)),
    nn.LayerNorm: lambda: check_layer(randomize(nn.LayerNorm(6)), array(2, 3, 6)),
    nn.Dropout: lambda: check_layer(nn.Dropout(0.4), array(3, 7), same_rng),
    variants.RMSNorm: lambda: check_layer(randomize(variants.RMSNorm(6, 1e-6)), array(2, 3, 6)),
    vit.PatchEmbedding: lambda: check_layer(
        randomize(vit.PatchEmbedding(tiny_config(), None)), random_images(tiny_config(), batch=2)
    ),
    vit.MultiHeadSelfAttention: lambda: check_layer(
        randomize(vit.MultiHeadSelfAttention(tiny_config(dropout=0.3), None)), array(2, 5, 12), same_rng
    ),
    vit.MLP: lambda: check_layer(randomize(vit.MLP(tiny_config(dropout=0.3), None)), array(2, 5, 12), same_rng),
    vit.EncoderBlock: lambda: check_layer(
        randomize(vit.EncoderBlock(tiny_config(dropout=0.3), None)), array(2, 5, 12), same_rng
    ),
    vit.AttentionPooling: lambda: check_layer(randomize(vit.AttentionPooling(tiny_config(), None)), array(2, 5, 12)),
    vit.ViT: check_whole_model,
    positions.Positions: lambda: check_layer(positions.Positions(), array(2, 5, 12)),
    positions.LearnedPositions: lambda: check_layer(positions.LearnedPositions(5, 12, rng()), array(2, 5, 12)),
    positions.LearnedPositions2d: lambda: check_layer(
        positions.LearnedPositions2d((2, 3), 1, 12, rng()), array(2, 7, 12)
    ),
    positions.FixedPositions: lambda: check_layer(positions.FixedPositions((2, 3), 1, 12), array(2, 7, 12)),
    variants.StochasticDepth: lambda: check_layer(variants.StochasticDepth(0.4), array(6, 2, 3), same_rng),
    variants.Identity: lambda: check_layer(variants.Identity(), array(2, 3)),
    variants.LayerScale: lambda: check_layer(randomize(variants.LayerScale(6, 0.5)), array(2, 3, 6)),
    variants.QueryKeyNorm: lambda: check_layer(randomize(variants.QueryKeyNorm(2, 3, 1e-6)), array(2, 4, 18)),
    nn.Conv: lambda: check_layer(nn.Conv(array(3, 3, 2, 4), stride=2), array(2, 5, 4, 2)),
    nn.GroupNorm: lambda: check_layer(randomize(nn.GroupNorm(6, groups=2)), array(2, 3, 4, 6)),
    # Seeds for which no ReLU has its kink between the two points of a finite difference.
    hybrid.Unit: lambda: check_layer(randomize(hybrid.Unit(32, 32, 2, rng())), array(1, 3, 4, 32)),
    hybrid.Backbone: lambda: check_layer(randomize(hybrid.Backbone((1,), 3, 32, rng())), array(1, 7, 8, 3)),
    resnet.Unit: lambda: check_layer(randomize(resnet.Unit(32, 32, 2, rng())), array(1, 3, 4, 32)),
    resnet.Stage: lambda: check_layer(randomize(resnet.Stage(resnet.Unit, 2, 32, 32, 1, rng())), array(1, 2, 3, 32)),
    resnet.ResNet: lambda: check_resnet(image_size=8, units=(1,), width=32, num_classes=3),
}


def rng():
    return np.random.default_rng(4)


def check_resnet(**changes):
    model = randomize(resnet.ResNet(models.configs.ResNetConfig(**changes)))
    check_layer(model, random_images(model.config, batch=2))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_a_layers_gradients_agree_with_finite_differences(layer):
    LAYERS[layer]()


@pytest.mark.parametrize(
    "changes",
    [
        {"representation": 7},
        {"gelu": "erf"},
        {"image_size": (12, 4)},
        {"depth": 0},
        {"channels": 1, "heads": 1},
        {"num_classes": 0},
        {"classifier": "gap"},
        {"classifier": "gap", "class_token": True, "pool_before_norm": True},
        {"classifier": "map", "representation": 7},
        {"positions": "learned2d", "positions_at": "every"},
        {"positions": "learned", "positions_at": "shared", "depth": 3},
        {"positions": "sincos2d", "positions_at": "shared"},
        {"positions": "relative"},
        {"positions": "none", "classifier": "gap"},
        {"backbone": (), "backbone_width": 32, "patch_size": 1},
        {"distillation": True, "registers": 2, "positions_for": "class", "layer_scale": 0.5},
        {"embedding_norm": True, "gelu": "quick", "qkv_bias": False, "positions_for": "patches"},
        {"gated_mlp": True, "classifier": "token_gap"},
        {"final_norm": False, "registers": 1, "classifier": "map"},
        {"norm": "rms", "patch_norm": True, "inner_norm": True, "classifier": "gap"},
        {"inner_norm": True, "classifier": "map"},
        {"classifier": "map", "pooling_mlp_dim": 7, "gated_mlp": True},
        {"final_norm": False, "drop_rest": True, "image_size": (9, 11)},
    ],
    ids=str,
)
def test_the_variants_of_the_whole_model_have_right_gradients(changes):
    check_whole_model(**changes)


@pytest.mark.parametrize("changes", [{}, {"classifier": "gap", "positions": "learned2d"}], ids=str)
def test_the_gradients_are_right_where_patches_are_left_out(changes):
    class LeavingOut(nn.Module):
        def __init__(self):
            self.vit = tiny_vit(**changes).train()
            self.vit.patch_dropout = 0.5

        def forward(self, images):
            return self.vit(images, rng=same_rng())

    model = LeavingOut()
    check_layer(model, random_images(model.vit.config, batch=2))


def test_normalised_queries_and_keys_have_the_right_gradient():
    """The bias of all keys adds the same to each score of a query, so that its gradient is 0 but for rounding."""
    attention = randomize(vit.MultiHeadSelfAttention(tiny_config(qk_norm=True, qkv_bias=False), None))
    names = [name for name, _ in attention.named_parameters() if name != "norm.keys.bias"]

    def call(x, *leaves):
        for name, leaf in zip(names, leaves, strict=True):
            set_parameter(attention, name, leaf)
        return attention(x)

    leaves = [tensor.data for name, tensor in attention.named_parameters() if name in names]
    gradcheck(call, array(2, 5, 12), *leaves)

    attention(Tensor(array(2, 5, 12))).sum().backward()
    np.testing.assert_allclose(attention.norm.keys.bias.grad, 0.0, rtol=0, atol=1e-12)


def test_dropout_of_attention_weights_has_the_right_gradient():
    config = tiny_config(attention_dropout=0.4)

    check_layer(randomize(vit.MultiHeadSelfAttention(config, None)), array(2, 5, 12), same_rng)


def test_every_layer_class_has_a_gradient_check():
    defined = {
        value
        for module in (nn.layers, vit, positions, variants, hybrid, resnet)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value not in (nn.Module, Classifier)
    }

    assert defined == set(LAYERS)
