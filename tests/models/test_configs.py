"""The named models: how many parameters they have, and what the configuration refuses."""

import json
from dataclasses import asdict, fields

import pytest

from minivit import MODEL_NAMES, ConfigError, ViT, ViTConfig, create_model
from minivit.models import model_config
from minivit.models.classifier import default_microbatch
from minivit.models.configs import ResNetConfig
from minivit.models.names import model_for_image_size

# At 224 pixels and 1,000 classes, as the authors' code counts them.
PUBLISHED = {
    "ViT-Ti_16": 5_717_416,
    "ViT-S_16": 22_050_664,
    "ViT-S_32": 22_878_952,
    "ViT-B_8": 86_576_872,
    "ViT-B_16": 86_567_656,
    "ViT-B_32": 88_224_232,
    "ViT-L_16": 304_326_632,
    "ViT-L_32": 306_535_400,
    "ViT-H_14": 632_045_800,
}

# As the most used PyTorch port prints them, at 224 pixels, with one linear head: (classes, parameters).
PUBLISHED_ELSEWHERE = {
    "ViT-B_16": (10, 85_806_346),
    "ViT-B_32": (10, 87_462_922),
    "ViT-L_32": (10, 305_520_650),
    "ViT-H_14": (10, 630_777_610),
    "ViT-L_16": (100, 303_404_132),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_number_of_parameters_is_the_published_one(name):
    assert create_model(name, seed=None).num_parameters() == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED_ELSEWHERE)
def test_with_few_classes_it_is_the_published_one_too(name):
    classes, published = PUBLISHED_ELSEWHERE[name]

    assert create_model(name, seed=None, num_classes=classes).num_parameters() == published


def count(pixels, patch, d, depth, mlp, k):
    """The number of parameters of a square model, added up on paper."""
    embedding = patch * patch * 3 * d + d
    tokens = d + ((pixels // patch) ** 2 + 1) * d  # the class token and the positions
    norms = 2 * d + 2 * d
    attention = 3 * (d * d + d) + (d * d + d)
    two_layers = (d * mlp + mlp) + (mlp * d + d)
    return embedding + tokens + depth * (norms + attention + two_layers) + 2 * d + (d * k + k)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("ViT-XS_4-CIFAR", (32, 4, 64, 4, 128, 10)), ("ViT-Ti_4-CIFAR", (32, 4, 192, 6, 768, 10))],
)
def test_the_small_models_have_as_many_as_the_formula_says(name, sizes):
    assert count(224, 16, 768, 12, 3072, 1000) == PUBLISHED["ViT-B_16"]  # the formula is right

    assert create_model(name).num_parameters() == count(*sizes)


def test_pre_logits_add_one_square_layer():
    plain = create_model("ViT-B_16", seed=None).num_parameters()

    assert create_model("ViT-B_16", seed=None, representation=768).num_parameters() == plain + 768 * 768 + 768


def test_the_published_models_have_these_sizes():
    """ViT Table 1, and the two sizes below it: D, MLP, heads, layers."""
    table = {
        "Ti_16": (192, 768, 3, 12),
        "S_16": (384, 1536, 6, 12),
        "B_16": (768, 3072, 12, 12),
        "L_16": (1024, 4096, 16, 24),
        "H_14": (1280, 5120, 16, 32),
        "XS_4-CIFAR": (64, 128, 2, 4),
        "Ti_4-CIFAR": (192, 768, 3, 6),
    }

    for name, sizes in table.items():
        c = model_config(f"ViT-{name}")
        assert (c.dim, c.mlp_dim, c.heads, c.depth) == sizes


@pytest.mark.parametrize("name", [*PUBLISHED, "ViT-XS_4-CIFAR", "ViT-Ti_4-CIFAR"])
def test_the_patch_and_image_size_are_in_the_name(name):
    c = model_config(name)

    assert name in MODEL_NAMES
    assert c.patch_size == int(name.removesuffix("-CIFAR").rpartition("_")[2])
    assert (c.image_size, c.num_classes) == ((32, 10) if name.endswith("CIFAR") else (224, 1000))


@pytest.mark.parametrize(("size", "patches"), [(64, 64), (128, 64), (224, 196)])
def test_small_models_for_larger_images_have_few_patches(size, patches):
    names = [name for name in MODEL_NAMES if name.endswith(f"-{size}px")]

    assert len(names) == 2
    for name in names:
        assert model_config(name).image_size == size
        assert model_config(name).num_patches == patches


@pytest.mark.parametrize(
    ("size", "name", "patches"),
    [
        (32, "ViT-XS_4-CIFAR", 64),
        (48, "ViT-XS_4-CIFAR", 144),
        (56, "ViT-XS_8-64px", 49),
        (64, "ViT-XS_8-64px", 64),
        (96, "ViT-XS_8-64px", 144),
        (104, "ViT-XS_8-64px", 169),
        (112, "ViT-XS_16-128px", 49),
        (160, "ViT-XS_16-128px", 100),
        (224, "ViT-XS_16-224px", 196),
        (100, "ViT-XS_4-CIFAR", 625),
    ],
)
def test_a_small_model_for_each_image_size(size, name, patches):
    assert model_for_image_size(size) == name
    assert model_config(name, image_size=size).num_patches == patches


def test_a_mistake_in_the_shape_names_what_would_do():
    with pytest.raises(ConfigError, match=r"dim = 100, not 3; 1, 2, 4, 5, 10, 20, 25 \.\.\. would do"):
        ViTConfig(dim=100, heads=3)
    with pytest.raises(ConfigError, match=r"30 or 35 would do, or patches of 4 or 8$"):
        ViTConfig(image_size=32, patch_size=5)
    with pytest.raises(ConfigError, match=r"or patches of 4 or 8$"):
        ViTConfig(image_size=(32, 40), patch_size=5)


def test_every_name_makes_a_model():
    for name in MODEL_NAMES:
        config = model_config(name)
        assert isinstance(config, ResNetConfig) or config.num_patches >= 1


def test_changes_reach_the_model():
    model = create_model("ViT-XS_4-CIFAR", num_classes=3, image_size=(16, 24), depth=1, dropout=0.5, gelu="erf")

    assert model.config.grid == (4, 6)
    assert model.config.num_patches == 24
    assert model.config.image_shape == (16, 24, 3)
    assert model.positions.embedding.shape == (1, 25, 64)
    assert model.head.weight.shape == (64, 3)
    assert len(model.blocks) == 1
    assert model.blocks[0].mlp.dropout.rate == model.dropout.rate == 0.5


def test_a_configuration_never_changes_and_is_compared_by_value():
    c = ViTConfig()

    with pytest.raises(AttributeError):
        c.dim = 3
    assert c == ViTConfig() != ViTConfig(dim=12)
    assert ViTConfig(image_size=[32, 48]) == ViTConfig(image_size=(32, 48))  # as it comes out of a JSON file


# -- what is refused -----------------------------------------------------------------------------

REFUSED = [
    ({"patch_size": 0}, "patch_size", "0"),
    ({"patch_size": 5}, "5 pixels must divide", "224"),
    ({"patch_size": 16.0}, "patch_size", "16.0"),
    ({"dim": 0}, "dim", "0"),
    ({"dim": -3}, "dim", "-3"),
    ({"num_classes": True}, "num_classes", "True"),
    ({"depth": True}, "depth", "True"),
    ({"dim": "768"}, "dim", "'768'"),
    ({"dim": None}, "dim", "None"),
    ({"heads": 0}, "heads", "0"),
    ({"heads": 5}, "heads must divide dim = 768", "5"),
    ({"mlp_dim": 0}, "mlp_dim", "0"),
    ({"num_classes": -1}, "num_classes", "-1"),
    ({"classifier": "mean"}, "classifier", "'mean'"),
    ({"class_token": False}, "class_token", "False"),
    ({"pool_before_norm": True}, "classifier='gap'", "'token'"),
    ({"positions": "3d"}, "positions", "'3d'"),
    ({"positions_at": "end"}, "positions_at", "'end'"),
    ({"positions": "relative", "positions_at": "every"}, "positions_at", "'every'"),
    ({"positions": "learned2d", "dim": 9, "heads": 3}, "multiple of 2", "9"),
    ({"positions": "sincos2d", "dim": 18}, "multiple of 4", "18"),
    ({"backbone": (2, 0)}, "units", "(2, 0)"),
    ({"backbone": 3}, "units", "3"),
    ({"backbone": (), "backbone_width": 40}, "multiple of 32", "40"),
    ({"backbone": (), "patch_size": 8, "image_size": 28}, "one patch", "28"),
    ({"channels": 0}, "channels", "0"),
    ({"depth": -1}, "depth", "-1"),
    ({"depth": 1.5}, "depth", "1.5"),
    ({"representation": 0}, "representation", "0"),
    ({"image_size": 0}, "image_size", "0"),
    ({"image_size": (224,)}, "image_size", "(224,)"),
    ({"image_size": (224, 224, 3)}, "image_size", "(224, 224, 3)"),
    ({"image_size": (224, 100)}, "16 pixels must divide", "(224, 100)"),
    ({"image_size": "224"}, "image_size", "'224'"),
    ({"image_size": 224.0}, "image_size", "224.0"),
    ({"dropout": 1.0}, "dropout", "1.0"),
    ({"dropout": -0.1}, "dropout", "-0.1"),
    ({"dropout": float("nan")}, "dropout", "nan"),
    ({"dropout": "0.1"}, "dropout", "'0.1'"),
    ({"attention_dropout": 1.5}, "attention_dropout", "1.5"),
    ({"gelu": "swish"}, "gelu must be one of 'tanh', 'erf'", "'swish'"),
    ({"gelu": ["tanh"]}, "gelu", "['tanh']"),
    ({"norm_eps": 0}, "norm_eps", "0"),
    ({"norm_eps": -1e-6}, "norm_eps", "-1e-06"),
    ({"norm_eps": "tiny"}, "norm_eps", "'tiny'"),
]


@pytest.mark.parametrize(("changes", "rule", "value"), REFUSED, ids=lambda part: str(part))
def test_a_configuration_that_does_not_fit_is_one_sentence_with_rule_and_value(changes, rule, value):
    with pytest.raises(ConfigError) as caught:
        ViTConfig(**changes)

    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert rule in message and value in message
    assert "\n" not in message and len(message) < 160


def test_an_unknown_model_suggests_known_ones():
    with pytest.raises(ConfigError, match=r"unknown model 'ViT-B-16': did you mean .*ViT-B_16"):
        create_model("ViT-B-16")
    with pytest.raises(ConfigError, match="known ones are"):
        create_model("zzz")


def test_an_unknown_option_is_named():
    with pytest.raises(ConfigError, match="hidden_size"):
        create_model("ViT-XS_4-CIFAR", hidden_size=3)


@pytest.mark.parametrize("seed", [-1, 1.5, "0"], ids=repr)
def test_a_seed_is_a_whole_number_from_0_up(seed):
    with pytest.raises((ValueError, TypeError)):
        ViT(ViTConfig(image_size=4, patch_size=4, dim=4, depth=0, heads=1, mlp_dim=1), seed=seed)


@pytest.mark.parametrize(
    ("name", "images"), [("ViT-XS_4-CIFAR", 32), ("ViT-Ti_4-CIFAR", 16), ("ViT-S_16", 4), ("ViT-H_14", 1)]
)
def test_micro_batches_are_larger_for_smaller_models(name, images):
    assert default_microbatch(model_config(name), 128) == images


@pytest.mark.parametrize(("batch", "images"), [(1, 1), (3, 1), (4, 1), (5, 2), (64, 16), (1000, 32)])
def test_a_batch_makes_four_micro_batches_at_least(batch, images):
    assert default_microbatch(model_config("ViT-XS_4-CIFAR"), batch) == images


# Each option of a ViT with another value than its default, beside what it needs.
CHANGES = {
    "image_size": {"image_size": (32, 48)}, "patch_size": {"patch_size": 8}, "dim": {"dim": 96}, "depth": {"depth": 3},
    "heads": {"heads": 6}, "mlp_dim": {"mlp_dim": 5}, "num_classes": {"num_classes": 0}, "channels": {"channels": 1},
    "stochastic_depth": {"stochastic_depth": 0.1}, "dropout": {"dropout": 0.1},
    "attention_dropout": {"attention_dropout": 0.2},
    "representation": {"representation": 7}, "gelu": {"gelu": "erf"}, "norm_eps": {"norm_eps": 1e-5},
    "classifier": {"classifier": "gap"}, "class_token": {"class_token": True, "classifier": "map"},
    "pool_before_norm": {"pool_before_norm": True, "classifier": "gap"}, "positions": {"positions": "relative"},
    "positions_at": {"positions_at": "shared"}, "backbone": {"backbone": (3, 4), "patch_size": 2},
    "backbone_width": {"backbone_width": 32}, "distillation": {"distillation": True}, "registers": {"registers": 4},
    "positions_for": {"positions_for": "patches"}, "embedding_norm": {"embedding_norm": True},
    "layer_scale": {"layer_scale": 1e-5}, "qkv_bias": {"qkv_bias": False}, "qk_norm": {"qk_norm": True},
    "gated_mlp": {"gated_mlp": True}, "pooling_mlp_dim": {"pooling_mlp_dim": 9, "classifier": "map"},
    "final_norm": {"final_norm": False}, "drop_rest": {"drop_rest": True, "image_size": 225},
    "norm": {"norm": "rms"}, "patch_norm": {"patch_norm": True}, "inner_norm": {"inner_norm": True},
}  # fmt: skip


@pytest.mark.parametrize("option", [field.name for field in fields(ViTConfig)])
def test_a_configuration_is_the_same_after_a_way_through_json(option):
    before = ViTConfig(**CHANGES[option])
    after = ViTConfig(**json.loads(json.dumps(asdict(before))))

    assert after == before != ViTConfig()
    assert type(getattr(after, option)) is type(getattr(before, option))


def test_a_configuration_of_a_resnet_is_the_same_after_a_way_through_json():
    before = ResNetConfig(image_size=(32, 48), units=[1, 2], width=32, num_classes=5, channels=1, stem="small")
    assert ResNetConfig(**json.loads(json.dumps(asdict(before)))) == before


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("vit_base_patch16_224", "ViT-B_16?"),
        ("google/vit-large-patch32-384", "ViT-L_32?"),
        ("deit_tiny_patch16_224", "ViT-Ti_16?"),
        ("resnet50", "BiT-R50x1?"),
        ("resnet18", "BiT-R14-CIFAR or BiT-R20-CIFAR?"),
    ],
)
def test_a_models_name_in_another_library_gets_ours(name, right):
    with pytest.raises(ConfigError) as caught:
        create_model(name)
    assert str(caught.value) == f"unknown model '{name}': did you mean {right}"
