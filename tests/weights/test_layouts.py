"""Files of other programs: every published name and shape, every known way of naming, and what is wrong with others."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from minivit import (
    CheckpointError,
    ConfigError,
    Notice,
    ResNet,
    ResNetConfig,
    ViT,
    create_model,
    load_model,
    save_weights,
)
from minivit.models.positions import resize_positions
from minivit.weights.sources.google import google_state
from tests.support import random_images, randomize, tiny_config, tiny_vit

PUBLISHED = Path(__file__).parent / "published"  # names and shapes of the published files
MANIFESTS = {
    name: json.loads((PUBLISHED / f"google_npz_{name}.json").read_text(encoding="utf-8")) for name in ("1k", "21k")
}


def spelled_out(manifest):
    """ "encoderblock_{0..11}" is short for twelve names."""
    shapes = {}
    for name, shape in manifest.items():
        match = re.search(r"\{(\d+)\.\.(\d+)\}", name)
        numbers = range(int(match[1]), int(match[2]) + 1) if match else [None]
        for number in numbers:
            shapes[name if match is None else name.replace(match[0], str(number))] = tuple(shape)
    return shapes


# -- Google's names and shapes -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", MANIFESTS["1k"])
def test_the_names_and_shapes_written_are_the_published_ones(name):
    model = create_model(name, seed=None)

    written = {name: array.shape for name, array in google_state(model).items()}

    assert written == spelled_out(MANIFESTS["1k"][name])


@pytest.mark.slow
@pytest.mark.parametrize("name", MANIFESTS["21k"])
def test_so_are_those_of_the_models_with_pre_logits(name):
    published = spelled_out(MANIFESTS["21k"][name])
    model = create_model(name, seed=None, num_classes=21_843, representation=published["pre_logits/kernel"][1])

    assert {name: array.shape for name, array in google_state(model).items()} == published


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("R+ViT-Ti_16", 6_337_704),
        ("R26+ViT-S_32", 36_431_912),
        ("R26+ViT-B_32", 101_383_976),
        ("R50+ViT-B_16", 98_659_112),
        ("R50+ViT-L_32", 328_994_856),
    ],
)
def test_the_hybrids_have_the_published_number_of_parameters(name, parameters):
    assert create_model(name, seed=None).num_parameters() == parameters


@pytest.mark.parametrize(("name", "parameters"), [("ViT-S_16", 22_049_896), ("ViT-B_16", 86_566_120)])
def test_so_have_those_with_average_pooling(name, parameters):
    assert create_model(name, seed=None, classifier="gap").num_parameters() == parameters


@pytest.mark.parametrize(("name", "millions"), [("BiT-R50x1", 25.5), ("BiT-R101x1", 44.5), ("BiT-R152x2", 236.3)])
def test_the_resnets_have_about_the_published_number(name, millions):
    """As published to a tenth of a million, and as ResNet-v2 has them (R152x2: arXiv 1912.11370, Table 6)."""
    assert create_model(name, seed=None).num_parameters() / 1e6 == pytest.approx(millions, abs=0.06)


# -- reading what was written --------------------------------------------------------------------

KINDS = {
    "class token": lambda: tiny_vit(dtype=np.float32),
    "pre_logits": lambda: tiny_vit(dtype=np.float32, representation=7),
    "gap": lambda: tiny_vit(dtype=np.float32, classifier="gap"),
    "map": lambda: tiny_vit(dtype=np.float32, classifier="map", image_size=12),
    "no head": lambda: tiny_vit(dtype=np.float32, num_classes=0),
    "hybrid": lambda: tiny_vit(
        dtype=np.float32, backbone=(1, 2), backbone_width=32, patch_size=1, image_size=16, num_classes=3
    ),
    "ResNet": lambda: randomize(ResNet(ResNetConfig(units=(1, 2), width=32, num_classes=3)), dtype=np.float32),
    "small ResNet": lambda: randomize(
        ResNet(ResNetConfig(units=(2,), width=32, num_classes=3, stem="small", image_size=32)), dtype=np.float32
    ),
}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_from_googles_layout(tmp_path, kind, suffix):
    model = KINDS[kind]()
    path = tmp_path / f"weights{suffix}"

    save_weights(model, path, layout="google")
    loaded = load_model(path)

    assert loaded.state().keys() == model.state().keys()
    assert all(np.array_equal(loaded.state()[name], model.state()[name]) for name in model.state())
    assert type(loaded) is type(model)


def google_file(tmp_path, change=lambda arrays: arrays, **changes):
    model = tiny_vit(dtype=np.float32, **changes)
    np.savez(tmp_path / "google.npz", **change(google_state(model)))
    return model, tmp_path / "google.npz"


def same_logits(loaded, model):
    images = random_images(model.config, dtype=np.float32)
    np.testing.assert_allclose(loaded(images).data, model(images).data, rtol=0, atol=1e-5)
    return True


@pytest.mark.parametrize("prefix", ["opt/target/", "opt/params/", "params/", "params/img/", "model/encoder/"])
def test_prefixes_are_seen_through(tmp_path, prefix):
    def prefixed(arrays):
        more = {"opt/state/param_states/embedding/kernel": np.zeros(3), "params/t": np.zeros(1)}
        return {f"{prefix}{name}": array for name, array in arrays.items()} | (more if prefix == "opt/target/" else {})

    model, path = google_file(tmp_path, prefixed)

    assert same_logits(load_model(path), model)


@pytest.mark.parametrize(
    ("prefix", "state"),
    [
        ("checkpoint/optimizer/target/", "opt/state/"), ("params/", "opt/0/mu/"), ("params/", "opt/1/0/nu/params/"),
        ("params/", "opt_state/0/mu/params/"), ("params/", "optimizer_state/0/"), ("opt/target/", "opt/state/"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("separator", ["/", ".", "\\"])
def test_an_optimisers_state_is_no_weights(tmp_path, prefix, state, separator):
    """It has arrays of the same names and shapes, under a prefix that may be the shorter one."""

    def with_state(arrays):
        both = {prefix + name: array for name, array in arrays.items()}
        both |= {state + name: array + 1.0 for name, array in arrays.items()}
        return {name.replace("/", separator): array for name, array in both.items()}

    model, path = google_file(tmp_path, with_state)

    assert same_logits(load_model(path), model)


def test_a_classifier_has_no_use_for_a_pooler(tmp_path):
    """Hugging Face's files may hold both; the classifier reads the class token itself."""
    rng = np.random.default_rng(0)
    shapes = {
        "vit.embeddings.cls_token": (1, 1, 12), "vit.embeddings.position_embeddings": (1, 5, 12),
        "vit.embeddings.patch_embeddings.projection.weight": (12, 3, 4, 4),
        "vit.embeddings.patch_embeddings.projection.bias": (12,),
        "vit.layernorm.weight": (12,), "vit.layernorm.bias": (12,),
        "classifier.weight": (5, 12), "classifier.bias": (5,),
    }  # fmt: skip
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    pooler = {
        "vit.pooler.dense.weight": np.ones((12, 12), np.float32),
        "vit.pooler.dense.bias": np.ones(12, np.float32),
    }
    save_file(arrays, tmp_path / "without.safetensors")
    save_file(arrays | pooler, tmp_path / "with.safetensors")
    save_file({n.removeprefix("vit."): a for n, a in (arrays | pooler).items() if "classifier" not in n},
              tmp_path / "bare.safetensors")  # fmt: skip

    assert same_logits(load_model(tmp_path / "with.safetensors"), load_model(tmp_path / "without.safetensors"))
    bare = load_model(tmp_path / "bare.safetensors")
    assert (bare.config.representation, bare.config.num_classes) == (12, 0)


def newer_names(arrays):
    """big_vision's: each kind of part is counted for itself, and the class token has no position."""
    names = {
        "LayerNorm_2": "LayerNorm_1",
        "MultiHeadDotProductAttention_1": "MultiHeadDotProductAttention_0",
        "MlpBlock_3": "MlpBlock_0",
    }
    renamed = {}
    for name, array in arrays.items():
        for old, new in names.items():
            name = name.replace(f"/{old}/", f"/{new}/")
        renamed[name] = array
    positions = renamed.pop("Transformer/posembed_input/pos_embedding")
    renamed["cls"] = renamed["cls"] + positions[:, :1]
    return renamed | {"pos_embedding": positions[:, 1:]}


def test_newer_numbering_with_positions_for_the_patches_alone(tmp_path):
    model, path = google_file(tmp_path, newer_names)

    loaded = load_model(path)

    assert loaded.config.positions_for == "patches"
    assert same_logits(loaded, model)


def test_attention_pooling_at_the_root(tmp_path):
    model, path = google_file(
        tmp_path, lambda arrays: {name.removeprefix("MAPHead_0/"): a for name, a in arrays.items()}, classifier="map"
    )

    assert same_logits(load_model(path), model)


def test_scales_of_group_norm_with_or_without_axes_of_length_1(tmp_path):
    changes = {"backbone": (), "backbone_width": 32, "patch_size": 2, "image_size": 16}
    model, path = google_file(
        tmp_path, lambda arrays: {n: a.reshape(-1) if n.startswith("gn_") else a for n, a in arrays.items()}, **changes
    )

    assert same_logits(load_model(path), model)


def test_no_positions_in_the_file_are_sines_and_cosines(tmp_path):
    model, path = google_file(tmp_path, classifier="gap", positions="sincos2d")

    loaded = load_model(path, image_size=8)

    assert loaded.config.positions == "sincos2d"
    assert same_logits(loaded, model)


def test_the_image_size_that_is_assumed_without_positions_is_the_models(tmp_path):
    """Patches of 20 pixels do not divide 224."""
    model = tiny_vit(image_size=60, patch_size=20, classifier="gap", positions="sincos2d")
    save_weights(model, tmp_path / "google.npz", layout="google")

    with pytest.warns(Notice, match="assumed image_size=220, "):
        assert load_model(tmp_path / "google.npz").config.image_size == 220


@pytest.mark.parametrize("layout", ["minivit", "google"])
def test_heads_and_a_grid_that_a_file_contradicts_are_refused(tmp_path, layout):
    path = tmp_path / "model.npz"
    save_weights(tiny_vit(), path, layout=layout)
    right = load_model(path).config

    with pytest.raises(ConfigError, match=f"says {right.heads} heads, not 7: remove --heads"):
        load_model(path, heads=7)
    with pytest.raises((ConfigError, CheckpointError), match="3 x 5"):
        load_model(path, grid=(3, 5))
    assert load_model(path, heads=right.heads, grid=right.grid).config == right


def test_a_class_token_that_is_missing_is_asked_for(tmp_path):
    save_weights(tiny_vit(), tmp_path / "google.npz", layout="google")
    arrays = dict(np.load(tmp_path / "google.npz"))
    del arrays["cls"]
    np.savez(tmp_path / "google.npz", **arrays)

    with pytest.raises(CheckpointError, match="do not fit a square grid: is the class token missing"):
        load_model(tmp_path / "google.npz")


def test_each_source_has_its_own_gelu_and_epsilon(tmp_path):
    _, path = google_file(tmp_path, gelu="erf", norm_eps=1e-3)

    assert (load_model(path).config.gelu, load_model(path).config.norm_eps) == ("tanh", 1e-6)


# -- another head, another size ------------------------------------------------------------------


def test_other_classes_get_a_head_of_zeros_and_no_pre_logits(tmp_path):
    model, path = google_file(tmp_path, representation=7)

    loaded = load_model(path, num_classes=9)

    assert loaded.config.num_classes == 9
    assert loaded.config.representation is None
    assert not loaded.head.weight.data.any() and not loaded.head.bias.data.any()
    assert loaded.head.weight.shape == (12, 9)
    np.testing.assert_array_equal(loaded.blocks[1].mlp.fc1.weight.data, model.blocks[1].mlp.fc1.weight.data)


def test_the_same_classes_keep_the_head(tmp_path):
    model, path = google_file(tmp_path, representation=7)

    assert same_logits(load_model(path, num_classes=5), model)


def test_without_classes_the_representation_comes_out(tmp_path):
    model, path = google_file(tmp_path)
    images = random_images(model.config, dtype=np.float32)
    _, seen = model(images, return_intermediates=True)

    loaded = load_model(path, num_classes=0)

    np.testing.assert_allclose(loaded(images).data, seen["representation"], rtol=0, atol=1e-6)
    with pytest.raises(ConfigError, match="num_classes"):
        loaded.predict(images)


@pytest.mark.parametrize("size", [12, (4, 20)], ids=str)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_another_image_size_interpolates_the_positions(tmp_path, size, interpolation):
    model, path = google_file(tmp_path)

    loaded = load_model(path, image_size=size, interpolation=interpolation)

    before = model.positions.embedding.data
    after = loaded.positions.embedding.data
    assert after.shape == (1, loaded.config.num_patches + 1, 12)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    np.testing.assert_array_equal(after, resize_positions(before, (2, 2), loaded.config.grid, interpolation))
    assert loaded(random_images(loaded.config, dtype=np.float32)).shape == (3, 5)


@pytest.mark.parametrize("changes", [{"positions_at": "every"}, {"positions": "learned2d"}], ids=str)
def test_every_table_of_positions_follows(tmp_path, changes):
    model = tiny_vit(dtype=np.float32, image_size=(8, 12), **changes)
    save_weights(model, tmp_path / "ours.npz")

    loaded = load_model(tmp_path / "ours.npz", image_size=(16, 12))

    tables = [loaded.positions, *getattr(loaded, "later_positions", [])]
    originals = [model.positions, *getattr(model, "later_positions", [])]
    for table, original in zip(tables, originals, strict=True):
        expected = resize_positions(original.table().data, (2, 3), (4, 3))
        np.testing.assert_allclose(table.table().data, expected, rtol=0, atol=1e-6)


def test_relative_positions_do_not(tmp_path):
    save_weights(tiny_vit(dtype=np.float32, positions="relative"), tmp_path / "ours.npz")

    with pytest.raises(ConfigError, match="relative"):
        load_model(tmp_path / "ours.npz", image_size=12)


def test_a_grid_that_is_no_square_must_be_named(tmp_path):
    model, path = google_file(tmp_path, image_size=(8, 12))

    with pytest.raises(CheckpointError, match="grid"):
        load_model(path)
    assert same_logits(load_model(path, grid=(2, 3)), model)
    with pytest.raises(CheckpointError, match="4 x 3"):
        load_model(path, grid=(4, 3))


@pytest.mark.parametrize(("dim", "heads"), [(192, 3), (384, 6), (768, 12), (1024, 16), (1280, 16), (320, 5), (24, 1)])
def test_heads_are_the_papers_where_a_file_cannot_tell(tmp_path, dim, heads):
    arrays = {
        "cls_token": np.zeros((1, 1, dim), np.float32),
        "pos_embed": np.zeros((1, 5, dim), np.float32),
        "patch_embed.proj.weight": np.zeros((dim, 3, 4, 4), np.float32),
        "patch_embed.proj.bias": np.zeros(dim, np.float32),
        "norm.weight": np.ones(dim, np.float32),
        "norm.bias": np.zeros(dim, np.float32),
    }
    save_file(arrays, tmp_path / "timm.safetensors")

    assert load_model(tmp_path / "timm.safetensors").config.heads == heads
    assert load_model(tmp_path / "timm.safetensors", heads=2).config.heads == 2


# -- what does not fit ---------------------------------------------------------------------------


def without(*names):
    return lambda arrays: {name: array for name, array in arrays.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("cls"), ["position"]),  # five positions and no class token: not a square grid
        (without("head/bias"), ["head/bias is missing"]),
        (without("Transformer/encoderblock_1/LayerNorm_0/scale"), ["encoderblock_1/LayerNorm_0/scale is missing"]),
        (lambda a: a | {"extra/kernel": np.zeros(3)}, ["extra/kernel is unknown"]),
        (
            lambda a: a | {"Transformer/encoder_norm/scale": np.zeros(13)},
            ["Transformer/encoder_norm/scale", "(13,)", "(12,)"],
        ),
        (lambda a: a | {"Transformer/encoderblock_7/x": np.zeros(1)}, ["encoderblock_2", "missing", "more"]),
        (lambda a: a | {"embedding/kernel": np.zeros((4, 12))}, ["embedding/kernel", "4 axes"]),
        (lambda a: a | {"embedding/kernel": np.zeros((4, 4, 3, 0))}, ["embedding/kernel"]),
        (lambda a: a | {"head/bias": np.array(["a"] * 5)}, ["head/bias", "numbers"]),
        (lambda a: a | {"head/bias": np.array([None] * 5)}, ["head/bias", "objects"]),
    ],
)
def test_arrays_that_do_not_fit_are_listed_by_name(tmp_path, change, words):
    _, path = google_file(tmp_path, change)

    with pytest.raises(CheckpointError) as caught:
        load_model(path)

    for word in [*words, "google.npz"]:
        assert word in str(caught.value)


def test_what_the_layout_has_no_place_for_is_not_written(tmp_path):
    for changes in (
        {"positions": "relative"},
        {"positions_at": "every"},
        {"classifier": "gap", "pool_before_norm": True},
    ):
        with pytest.raises(ConfigError, match="Google"):
            save_weights(ViT(tiny_config(**changes)), tmp_path / "google.npz", layout="google")

    assert list(tmp_path.iterdir()) == []
