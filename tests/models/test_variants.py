"""The parts of later ViTs, against plain NumPy written from their papers, and what does not fit together."""

import math

import numpy as np
import pytest

from minivit import ConfigError, ResNet, ResNetConfig, Tensor, ViT, ViTConfig
from minivit.models.cost import costs
from minivit.models.variants import StochasticDepth, times_sigmoid
from minivit.training.masked import MaskedPatchModel
from minivit.weights.adapt import adapted, with_new_head, with_rates
from tests.models.plain_vit import gelu, layer_norm
from tests.support import random_images, tiny_config, tiny_vit


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


ACTIVATIONS = {
    "tanh": lambda x: gelu(x, "tanh"),
    "erf": lambda x: gelu(x, "erf"),
    "quick": lambda x: x * sigmoid(1.702 * x),
    "relu": lambda x: np.where(x > 0.0, x, 0.0),
}


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def forward_one(image, w, c):
    """The logits of one image, token by token; `w` holds the parameters by name."""
    front = [w["cls"][0, 0]] if "cls" in w else []
    front += [w["distillation_token"][0, 0]] if c.distillation else []
    classes = len(front)
    front += list(w["registers"][0]) if c.registers else []
    side, d = c.patch_size, c.dim
    patches = [
        image[y : y + side, x : x + side].flatten() @ w["embedding.weight"] + w["embedding.bias"]
        for y in range(0, image.shape[0] - side + 1, side)
        for x in range(0, image.shape[1] - side + 1, side)
    ]
    if c.patch_norm:
        patches = [norm(patch, w, "embedding.norm", c) for patch in patches]
    placed = {"all": len(front), "class": classes, "patches": 0}[c.positions_for]
    table = list(w["positions.embedding"][0])
    rows = [*table[:placed], *[np.zeros(d)] * (len(front) - placed), *table[placed:]]
    z = np.stack([token + row for token, row in zip([*front, *patches], rows, strict=True)])
    if c.embedding_norm:
        z = norm(z, w, "embedding_norm", c)
    for i in range(c.depth):
        own = {name.removeprefix(f"blocks.{i}."): value for name, value in w.items()}
        update = attention(norm(z, own, "norm1", c), own, c)
        z = z + update * own.get("scale1.weight", 1.0)
        hidden = norm(z, own, "norm2", c) @ own["mlp.fc1.weight"] + own["mlp.fc1.bias"]
        if c.gated_mlp:
            a, b = hidden[:, : c.mlp_dim], hidden[:, c.mlp_dim :]
            hidden = a * sigmoid(a) * b
        else:
            hidden = ACTIVATIONS[c.gelu](hidden)
        if c.inner_norm:
            hidden = norm(hidden, own, "mlp.inner_norm", c)
        z = z + (hidden @ own["mlp.fc2.weight"] + own["mlp.fc2.bias"]) * own.get("scale2.weight", 1.0)
    z = norm(z, w, "encoder_norm", c) if c.final_norm else z
    if c.distillation:
        heads = zip((z[0], z[1]), ("head", "distillation_head"), strict=True)
        return sum(y @ w[f"{head}.weight"] + w[f"{head}.bias"] for y, head in heads) / 2
    mean = z[len(front) :].mean(axis=0)
    y = {"token": z[0], "gap": mean, "token_gap": np.concatenate([z[0], mean])}[c.classifier]
    return y @ w["head.weight"] + w["head.bias"]


def norm(x, w, name, c):
    if c.norm == "rms":
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + c.norm_eps) * w[f"{name}.weight"]
    return layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], c.norm_eps)


def attention(x, w, c):
    width = c.dim // c.heads
    qkv = x @ w["attention.qkv.weight"] + w.get("attention.qkv.bias", 0.0)
    out = np.zeros_like(x)
    for h in range(c.heads):
        q, k, v = (qkv[:, part * c.dim + h * width : part * c.dim + (h + 1) * width] for part in range(3))
        if c.qk_norm:
            q, k = norm(q, w, "attention.norm.queries", c), norm(k, w, "attention.norm.keys", c)
        for i in range(len(x)):
            out[i, h * width : (h + 1) * width] = softmax(k @ q[i] / math.sqrt(width)) @ v
    if c.inner_norm:
        out = norm(out, w, "attention.inner_norm", c)
    return out @ w["attention.out.weight"] + w["attention.out.bias"]


VARIANTS = [
    {"distillation": True},
    {"distillation": True, "positions_for": "patches"},
    {"registers": 3},
    {"registers": 3, "positions_for": "class"},
    {"registers": 2, "positions_for": "patches"},
    {"registers": 4, "classifier": "gap"},
    {"positions_for": "patches"},
    {"embedding_norm": True, "gelu": "quick"},
    {"layer_scale": 1e-5},
    {"qkv_bias": False},
    {"qk_norm": True},
    {"gated_mlp": True},
    {"gelu": "relu"},
    {"classifier": "token_gap"},
    {"final_norm": False, "classifier": "gap", "class_token": True},
    {"final_norm": False},
    {"drop_rest": True, "image_size": (11, 9)},
    {"norm": "rms", "norm_eps": 1e-2},
    {"norm": "rms", "patch_norm": True, "gated_mlp": True, "qkv_bias": False, "classifier": "gap"},
    {"patch_norm": True, "embedding_norm": True},
    {"inner_norm": True},
    {"inner_norm": True, "norm": "rms", "gated_mlp": True},
    {"final_norm": False, "registers": 2, "positions_for": "patches", "classifier": "gap"},
    {"registers": 2, "positions_for": "class", "layer_scale": 1.0, "gated_mlp": True, "classifier": "token_gap"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_later_part_computes_what_its_paper_says(changes):
    model = tiny_vit(**changes)
    images = random_images(model.config)
    w = model.state()

    expected = np.stack([forward_one(image, w, model.config) for image in images])

    np.testing.assert_allclose(model(images).data, expected, rtol=0, atol=1e-10)
    model.skip_unused = False
    np.testing.assert_allclose(model(images).data, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("changes", [*VARIANTS, {"classifier": "map", "pooling_mlp_dim": 7}], ids=str)
def test_the_costs_count_every_parameter_of_a_later_part(changes):
    model = ViT(tiny_config(**changes))

    assert costs(model)[-1].parameters == model.num_parameters()


def test_attention_pooling_may_have_another_width():
    model = tiny_vit(classifier="map", pooling_mlp_dim=7, gated_mlp=True, inner_norm=True)
    assert not [name for name, _ in model.pooling.mlp.named_parameters() if not name.startswith(("fc1.", "fc2."))]

    assert model.pooling.mlp.fc1.weight.shape == (12, 7)  # plain, also where the blocks' MLPs are gated
    assert model.blocks[0].mlp.fc1.weight.shape == (12, 40)
    assert model(random_images(model.config)).shape == (3, 5)


@pytest.mark.parametrize("class_token", [False, True])
def test_attention_pooling_reads_no_registers(class_token):
    changes = {"classifier": "map", "class_token": class_token, "positions_for": "class", "depth": 0}
    model, without = tiny_vit(registers=2, **changes), tiny_vit(**changes)
    images = random_images(model.config)
    for name, parameter in without.named_parameters():
        parameter.data = model.state()[name]

    np.testing.assert_allclose(model(images).data, without(images).data, rtol=0, atol=1e-12)


def test_silu_is_x_times_the_sigmoid_of_x():
    x = np.array([-30.0, -1.5, 0.0, 0.25, 4.0])

    np.testing.assert_allclose(times_sigmoid(Tensor(x)).data, x * sigmoid(x), rtol=1e-14, atol=1e-14)


def test_new_registers_have_the_deviation_of_other_new_weights():
    registers = ViT(tiny_config(registers=400)).registers.data

    assert registers.std() == pytest.approx(0.02, rel=0.05)  # DeiT's and DINOv2's
    assert abs(registers.mean()) < 0.002


def test_new_norms_leave_the_scale_as_it_is():
    model = ViT(tiny_config(norm="rms"))

    scales = [tensor.data for name, tensor in model.named_parameters() if "norm" in name and name.endswith("weight")]
    assert len(scales) == 2 * 2 + 1 and all((scale == 1.0).all() for scale in scales)


def test_without_later_parts_the_parameters_are_the_papers():
    names = [name for name, _ in ViT(tiny_config()).named_parameters()]

    assert not [name for name in names if "scale" in name or "regist" in name or "distillation" in name]
    assert len(names) == 4 + 2 * 12 + 4


def test_a_distilled_models_representation_is_the_mean_of_two_tokens_and_training_reaches_both_heads():
    model = tiny_vit(distillation=True)
    images = random_images(model.config)

    y = model._pooled(images, None, None).data
    np.testing.assert_allclose(model.represent(images).data, (y[:, 0] + y[:, 1]) / 2, rtol=0, atol=1e-12)
    _, seen = model(images, return_intermediates=True)
    np.testing.assert_allclose(seen["representation"], model.represent(images).data, rtol=0, atol=1e-12)
    headless = ViT(tiny_config(distillation=True, num_classes=0))
    assert headless(random_images(headless.config)).shape == (3, 12)
    (model(images) * model(images)).sum().backward()
    assert all(np.abs(parameter.grad).max() > 0 for name, parameter in model.named_parameters() if "head" in name)


def test_another_image_size_keeps_the_positions_of_the_tokens_in_front():
    model = tiny_vit(registers=2, positions_for="class", distillation=True)
    before = model.positions.embedding.data  # (1, 2 + 4, 12)

    after = adapted(model, image_size=12).positions.embedding.data
    assert after.shape == (1, 2 + 9, 12)
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    np.testing.assert_allclose(after[0, 2], before[0, 2], rtol=0, atol=1e-12)  # the first patch is in the corner


def test_other_classes_replace_both_heads():
    model = with_new_head(tiny_vit(distillation=True, classifier="token"), 3)

    assert model.head.weight.shape == model.distillation_head.weight.shape == (12, 3)
    assert not model.head.weight.data.any() and not model.distillation_head.weight.data.any()


def test_masked_patch_prediction_trains_no_head_of_a_distilled_model():
    model = MaskedPatchModel(tiny_vit(distillation=True))

    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {
        f"vit.{head}.{part}" for head in ("head", "distillation_head") for part in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"distillation": 1}, "distillation must be True or False, not 1"),
        ({"distillation": True, "classifier": "gap"}, "distillation is for classifier='token'"),
        ({"distillation": True, "representation": 4}, "distillation is for classifier='token' without"),
        ({"registers": -1}, "registers must be an integer of 0 or more, not -1"),
        ({"positions_for": "none"}, "positions_for must be one of 'all', 'class', 'patches', not 'none'"),
        ({"layer_scale": 0.0}, "layer_scale must be above 0 and at most 1, or None, not 0.0"),
        ({"layer_scale": True}, "layer_scale must be above 0"),
        ({"image_size": 225}, "patches of 16 pixels must divide the image size, not 225; 224 or 240 would do"),
        ({"image_size": (224, 15), "drop_rest": True}, "patches of 16 pixels must divide the image size, not"),
        ({"norm": "batch"}, "norm must be one of 'layer', 'rms', not 'batch'"),
        ({"norm": "rms", "qk_norm": True}, "qk_norm is for norm='layer', not 'rms'"),
        ({"inner_norm": 1}, "inner_norm must be True or False, not 1"),
        ({"drop_rest": 1}, "drop_rest must be True or False, not 1"),
        ({"final_norm": "no"}, "final_norm must be True or False, not 'no'"),
        ({"qkv_bias": None}, "qkv_bias must be True or False, not None"),
        ({"pooling_mlp_dim": 5}, "pooling_mlp_dim is for classifier='map', not 'token'"),
        ({"classifier": "map", "pooling_mlp_dim": 0}, "pooling_mlp_dim must be an integer of 1 or more, not 0"),
        ({"classifier": "token_gap", "class_token": False}, "not False where the head reads it"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_together_are_refused(changes, rule):
    with pytest.raises(ConfigError, match=rule):
        ViTConfig(**changes)


def test_stochastic_depth_leaves_out_whole_branches_of_some_images_in_training_alone():
    model = tiny_vit(stochastic_depth=0.5, depth=3)
    images = random_images(model.config, batch=64)
    plain = tiny_vit(depth=3)
    model.eval()
    np.testing.assert_array_equal(model(images).data, plain.eval()(images).data)

    model.train()
    block, z = model.blocks[2], Tensor(np.repeat(random_images(model.config, batch=1).reshape(1, 16, 12)[:, :5], 64, 0))
    out = block(z, np.random.default_rng(0)).data - z.data  # (64, 5, 12), all images equal
    assert len({image.tobytes() for image in out.round(9)}) == 4  # attention kept or not, MLP kept or not
    assert (np.abs(out).max(axis=(1, 2)) == 0).any()
    assert [block.depth.rate for block in model.blocks] == [0.0, 0.25, 0.5]
    np.testing.assert_array_equal(
        model(images, rng=np.random.default_rng(3)).data, model(images, rng=np.random.default_rng(3)).data
    )


def test_a_kept_branch_is_scaled_up_so_that_the_mean_stays():
    layer = StochasticDepth(0.2)
    x = Tensor(np.ones((20_000, 2, 3)), requires_grad=True)

    y = layer(x, np.random.default_rng(0))

    assert set(np.unique(y.data)) == {0.0, 1.25}
    assert abs(y.data.mean() - 1.0) < 0.01
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)
    with pytest.raises(ConfigError, match=r"^stochastic depth in training mode needs a random generator"):
        layer(x, None)


def test_fine_tuning_may_drop_out_although_the_weights_were_saved_without():
    model = tiny_vit()

    dropping = with_rates(model, dropout=0.1, stochastic_depth=0.2)

    assert (dropping.config.dropout, dropping.config.stochastic_depth) == (0.1, 0.2)
    assert all(array is model.state()[name] for name, array in dropping.state().items())
    assert with_rates(model) is model
    with pytest.raises(ConfigError, match="dropout is for Vision Transformers"):
        with_rates(ResNet(ResNetConfig(units=(1,), width=32, stem="small", image_size=8)), dropout=0.1)
    with pytest.raises(ConfigError, match="stochastic_depth must be at least 0 and below 1"):
        with_rates(model, stochastic_depth=1.0)
