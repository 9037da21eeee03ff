"""timm's names in the spellings of DeiT, DINO, DINOv2 and MAE; what is asked for; what is written and what is not."""

import json
import math
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

from minivit import CheckpointError, ConfigError, ResNet, ResNetConfig, ViT, cli, export_model, load_model, save_weights
from minivit.preprocessing import Preprocessing
from minivit.weights.sources.timm import Timm
from minivit.weights.sources.timm_config import architecture_for, timm_config
from minivit.weights.sources.timm_names import architecture_of
from tests.support import random_images, tiny_config, tiny_vit
from tests.weights.files import timm_arrays, write_safetensors


def said(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return [str(each.message) for each in caught], result


def file_of(path, model, rename=lambda name: name, **more):
    arrays = {rename(slot.theirs): slot.get(model.state()) for slot in Timm().slots(model.config)}
    return write_safetensors(path / "model.safetensors", arrays | more)


def options_of(model):
    return {name: getattr(model.config, name) for name in ("heads", "image_size", "classifier", "gelu", "norm_eps")}


def is_the_same(loaded, model):
    images = random_images(model.config, dtype=np.float32)
    np.testing.assert_array_equal(loaded(images).data, model(images).data)
    return True


# -- spellings -----------------------------------------------------------------------------------


def in_chunks(name):
    return re.sub(r"^blocks\.(\d+)", lambda match: f"blocks.{int(match[1]) // 2}.{match[1]}", name)


def gated_as_dinov2(name):
    return name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")


SPELLINGS = {
    "DINOv2's chunks": ({"depth": 3, "layer_scale": 0.1}, in_chunks),
    "DINOv2's registers": (
        {"registers": 2, "positions_for": "class", "layer_scale": 0.1},
        lambda name: name.replace("reg_token", "register_tokens")),
    "DINOv2's giant": ({"gated_mlp": True, "layer_scale": 0.1}, lambda name: in_chunks(gated_as_dinov2(name))),
    "DINO's checkpoint": ({"num_classes": 0}, lambda name: f"teacher.backbone.{name}"),
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_authors_spellings_are_read(tmp_path, spelling):
    changes, rename = SPELLINGS[spelling]
    model = tiny_vit(dtype=np.float32, gelu="erf", **changes)

    path = file_of(tmp_path, model, rename, **{rename("mask_token"): np.ones((1, 12), np.float32)})
    notices, loaded = said(lambda: load_model(path, **options_of(model)))

    assert [notice for notice in notices if "mask_token" in notice] == []  # it is ignored without a word
    assert len(notices) == ("giant" in spelling)  # the gate's activation is assumed
    assert is_the_same(loaded, model)


def test_an_maes_decoder_is_left_out_in_one_line(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="erf", num_classes=0)
    decoder = {
        "mask_token": np.ones((1, 1, 8), np.float32), "decoder_pos_embed": np.ones((1, 5, 8), np.float32),
        "decoder_embed.weight": np.ones((8, 12), np.float32), "decoder_blocks.0.norm1.weight": np.ones(8, np.float32),
    }  # fmt: skip

    path = file_of(tmp_path, model, **decoder)
    (notice,), loaded = said(lambda: load_model(path, **options_of(model)))

    assert "holds more than the model; these arrays were left out" in notice
    assert "decoder_embed.weight" in notice and "mask_token" not in notice
    assert is_the_same(loaded, model)


def test_deit_iiis_scales_are_read_where_a_config_says_that_it_is_one(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="erf", layer_scale=0.1, positions_for="patches")
    path = file_of(tmp_path, model, lambda name: re.sub(r"ls([12])\.gamma", r"gamma_\1", name))

    with pytest.raises(CheckpointError, match="put a config"):
        load_model(path)
    arguments = {"embed_dim": model.config.dim, "num_heads": model.config.heads, "img_size": model.config.image_size}
    config = {"architecture": "deit3_small_patch16_224.fb_in1k", "model_args": arguments}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")

    assert is_the_same(load_model(path), model)


# -- what arrays do not say ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vit_base_patch16_224.augreg_in1k", (768, 12, "erf", 1e-6)),
        ("vit_base_patch16_gap_224", (768, 16, "erf", 1e-6)),
        ("vit_base_patch16_plus_240", (896, 14, "erf", 1e-6)),
        ("vit_giant_patch14_reg4_dinov2", (1536, 24, "erf", 1e-6)),
        ("vit_giant_patch14_clip_224", (1408, 16, "erf", 1e-5)),
        ("vit_large_patch14_clip_quickgelu_336", (1024, 16, "quick", 1e-5)),
        ("vit_so400m_patch14_siglip_384", (1152, 16, "erf", 1e-6)),
        ("vit_so400m_patch16_siglip_384", (1152, 16, "tanh", 1e-6)),
        ("deit3_medium_patch16_224", (512, 8, "erf", 1e-6)),
    ],
)
def test_names_of_architectures_say_heads_activation_and_epsilon(name, expected):
    found = architecture_of(name)

    assert (found.dim, found.heads, found.gelu, found.norm_eps) == expected


@pytest.mark.parametrize("name", ["aimv2_base_patch14_224", "aimv2_7b_patch14_224", "vit_odd_patch4_8", "", None])
def test_a_name_that_timm_does_not_have_says_nothing(name):
    assert architecture_of(name) is None


def test_an_aimv2_of_an_unknown_size_is_asked_about(tmp_path):
    arrays = timm_arrays(dim=100, depth=1)
    path = write_safetensors(tmp_path / "model.safetensors", arrays)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "aimv2_base_patch14_224"}), encoding="utf-8")

    with pytest.raises(CheckpointError, match="give heads"):
        load_model(path)


@pytest.mark.parametrize(
    "name", ["vit_base_patch16_rope_ape_224", "vit_base_patch16_rpn_224", "naflexvit_base_patch16_gap"]
)
def test_architectures_that_compute_something_else_are_refused_by_name(tmp_path, name):
    path = write_safetensors(tmp_path / "model.safetensors", timm_arrays())
    (tmp_path / "config.json").write_text(json.dumps({"architecture": name}), encoding="utf-8")

    with pytest.raises(CheckpointError, match=f"timm's '{name}': minivit's ViTs have no "):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"dim": 768, "depth": 12, "mlp": 3072, "tokens": 4, "class_token": False}, "heads"),
        ({"dim": 100, "depth": 1, "mlp": 16}, "heads"),
    ],
    ids=str,
)
def test_what_two_published_models_have_differently_is_asked_for(changes, option):
    from types import SimpleNamespace

    from minivit.weights.sources.source import Hints

    shapes = {name: array.shape for name, array in timm_arrays(**{**changes, "depth": 1}).items()}
    for i in range(changes["depth"]):
        shapes |= {n.replace("blocks.0.", f"blocks.{i}."): s for n, s in shapes.items() if n.startswith("blocks.0.")}

    with pytest.raises(CheckpointError, match=f"give {option}"):
        archive = SimpleNamespace(shapes=shapes, path="file", refuse_unreadable=lambda names: None)
        Timm().describe(archive, Hints())


@pytest.mark.parametrize(
    ("changes", "assumed"),
    [
        ({}, ["gelu='erf'", "norm_eps=1e-06", "classifier='token'", "grid=(2, 2)"]),
        ({"classifier": "gap"}, ["gelu='erf'", "norm_eps=1e-06", "classifier='gap'"]),
        ({"classifier": "gap", "class_token": True, "pool_before_norm": True}, ["classifier='gap'"]),
        ({"gated_mlp": True}, ["mlp='swiglu'", "norm_eps=1e-06", "classifier='token'"]),
        ({"layer_scale": 0.1, "positions_for": "patches"}, ["grid=(2, 2), positions_for='patches'"]),
    ],
    ids=str,
)
def test_a_notice_names_all_that_arrays_do_not_show(tmp_path, changes, assumed):
    path = file_of(tmp_path, tiny_vit(dtype=np.float32, gelu="erf", **changes))

    (notice,), _ = said(lambda: load_model(path, heads=3))

    assert [words for words in assumed if words not in notice] == []
    assert len(notice.replace(str(tmp_path), "")) < 200
    assert ("gelu=" in notice) != ("gated_mlp" in changes)


def test_a_notice_leaves_out_what_the_caller_says(tmp_path):
    path = file_of(tmp_path, tiny_vit(dtype=np.float32))

    (notice,), _ = said(lambda: load_model(path, heads=2, gelu="tanh", grid=(2, 2)))

    assert notice.endswith("assumed norm_eps=1e-06, classifier='token'; if that is wrong, give norm_eps and classifier")


def test_a_wrong_gate_cannot_be_given(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="erf", gated_mlp=True)

    (notice,), _ = said(lambda: load_model(file_of(tmp_path, model), **options_of(model)))

    assert notice.endswith("assumed mlp='swiglu'; if that is wrong, minivit does not read the file")


def test_positions_of_a_square_or_of_a_rectangle_and_the_class_token_are_asked_about(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="erf", image_size=(16, 24))  # 4 x 6 patches and the class token: 25
    assert model.config.grid == (4, 6)
    path = file_of(tmp_path, model)

    with pytest.raises(CheckpointError, match=r"25 position embeddings are a square grid .*give grid"):
        load_model(path, heads=model.config.heads)
    assert is_the_same(load_model(path, heads=model.config.heads, grid=(4, 6)), model)


@pytest.mark.parametrize("beside", [None, {"architecture": "vit_tiny_patch16_224", "global_pool": "map"}], ids=str)
def test_attention_pooling_beside_a_class_token_is_refused(tmp_path, beside):
    """timm's pooling leaves the class token out."""
    model = tiny_vit(dtype=np.float32, gelu="erf", classifier="map", class_token=True)
    path = file_of(tmp_path, model)
    if beside:
        arguments = {"embed_dim": model.config.dim, "num_heads": model.config.heads}
        (tmp_path / "config.json").write_text(json.dumps({**beside, "model_args": arguments}), encoding="utf-8")

    with pytest.raises(CheckpointError, match=r"attention pooling \(attn_pool\) beside a class token"):
        load_model(path, heads=model.config.heads, image_size=model.config.image_size)


# -- writing -------------------------------------------------------------------------------------


def test_the_written_names_are_timms(tmp_path):
    model = tiny_vit(dtype=np.float32, registers=1, layer_scale=0.1)

    save_weights(model, tmp_path / "weights.safetensors", layout="timm")

    names = set(Timm().arrays_of(model))
    assert {"cls_token", "reg_token", "pos_embed", "patch_embed.proj.bias", "blocks.0.ls1.gamma"} <= names
    assert {"blocks.1.attn.qkv.weight", "blocks.1.mlp.fc2.bias", "norm.weight", "head.bias"} <= names


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"classifier": "token_gap"}, "classifier='token_gap'"),
        ({"classifier": "map", "class_token": True}, "a class token beside attention pooling"),
        ({"classifier": "map", "pooling_mlp_dim": 7}, "another MLP width in attention pooling"),
        ({"positions": "relative"}, "relative positions"),
        ({"positions_at": "every"}, "positions at 'every'"),
        ({"norm": "rms"}, "RMSNorm"),
        ({"patch_norm": True}, "a norm of each patch's embedding"),
        ({"representation": 7}, "a hidden layer before the head"),
        ({"distillation": True, "registers": 2}, "registers beside distillation"),
        ({"distillation": True, "positions_for": "patches"}, "no positions for its two class tokens"),
        ({"backbone": (), "backbone_width": 32, "patch_size": 1, "image_size": 16}, "a backbone"),
    ],
    ids=str,
)
def test_parts_that_timm_lacks_are_refused_by_name(tmp_path, changes, part):
    model = ViT(tiny_config(**changes))

    with pytest.raises(ConfigError, match=f"this model has {part}, which timm's ViTs do not have"):
        save_weights(model, tmp_path / "weights.npz", layout="timm")
    with pytest.raises(ConfigError, match="timm"):
        export_model(model, tmp_path / "folder", "timm")
    assert not list(tmp_path.iterdir())


def test_the_position_of_dinov2s_class_token_becomes_a_part_of_the_token(tmp_path):
    model = tiny_vit(dtype=np.float32, registers=2, positions_for="class", gelu="erf")

    save_weights(model, tmp_path / "weights.npz", layout="timm")
    with pytest.raises(CheckpointError, match=r"4 position embeddings fit several grids.*give grid"):
        load_model(tmp_path / "weights.npz", heads=model.config.heads)  # 2 x 2 patches, or 1 and 3 tokens in front
    loaded = load_model(tmp_path / "weights.npz", heads=model.config.heads, grid=(2, 2))

    images = random_images(model.config, dtype=np.float32)
    assert loaded.config.positions_for == "patches"
    np.testing.assert_allclose(loaded(images).data, model(images).data, rtol=0, atol=1e-5)


def test_other_epsilons_resnets_and_biases_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"norm_eps=1e-12 .*--eps 1e-6"):
        save_weights(ViT(tiny_config(norm_eps=1e-12)), tmp_path / "weights.npz", layout="timm")
    with pytest.raises(ConfigError, match="this model is a ResNet"):
        save_weights(ResNet(ResNetConfig(units=(1,), width=32)), tmp_path / "weights.npz", layout="timm")
    with pytest.raises(ConfigError, match="no bias in the patch embedding"):
        save_weights(tiny_vit(embedding_norm=True, norm_eps=1e-5), tmp_path / "weights.npz", layout="timm")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"dim": 192, "depth": 12, "heads": 3, "mlp_dim": 768, "patch_size": 16}, "vit_tiny_patch16_224"),
        ({"dim": 384, "depth": 12, "heads": 6, "mlp_dim": 1536, "patch_size": 32}, "vit_small_patch32_224"),
        ({}, "vit_base_patch16_224"),
        ({"norm_eps": 1e-5}, "vit_base_patch16_clip_224"),
        ({"gated_mlp": True}, "vit_giant_patch14_dinov2"),
        ({"distillation": True}, "deit_tiny_distilled_patch16_224"),
    ],
    ids=str,
)
def test_the_architecture_is_one_that_timm_has(changes, name):
    config = tiny_config(**({"image_size": 224} | changes if "patch_size" in changes else changes))

    assert architecture_for(config) == name
    assert architecture_of(name) or "distilled" in name


@pytest.mark.parametrize("size", [(224, 224), (28, 28), (28, 52), (224, 168)], ids=str)
def test_timm_resizes_to_the_same_number_of_pixels(size):
    """timm's rule: the side divided by crop_pct, rounded down."""
    height, width = size
    model = tiny_vit(dtype=np.float32, image_size=size)
    shares = [height / pixels for pixels in range(height, 3 * height)]
    shares += [0.9, 0.95, 0.875, 1.0, 1.5, height / (height + 31) + 1e-10]

    for share in shares:
        images = Preprocessing(crop_share=share)
        model.header = {"preprocessing": images.to_json()}
        crop_pct = timm_config(model)["pretrained_cfg"]["crop_pct"]
        assert (math.floor(height / crop_pct), math.floor(width / crop_pct)) == images.resized_to(height, width)
        assert crop_pct == pytest.approx(share, rel=1e-8)
        assert replace(images, crop_share=crop_pct).resized_to(height, width) == images.resized_to(height, width)


@pytest.mark.parametrize(
    ("size", "resize", "words"),
    [
        (8, "none", "leaves images unresized: config.json resizes them to cover 10 x 10 pixels"),
        ((8, 12), "none", "leaves images unresized: config.json resizes them to cover 10 x 15 pixels"),
        ((8, 12), "shortest", "resizes the shorter side for images of a rectangle: config.json resizes them to cover"),
        (8, "shortest", None), ((8, 12), "cover", None), (8, "cover", None), ((8, 12), "exact", None),
    ],
)  # fmt: skip
def test_a_way_to_resize_that_timm_lacks_is_said(tmp_path, size, resize, words):
    model = tiny_vit(dtype=np.float32, gelu="erf", image_size=size)
    model.header = {"preprocessing": Preprocessing(resize=resize, crop_share=0.8).to_json()}

    notices, _ = said(lambda: export_model(model, tmp_path / "folder", "timm"))

    assert len(notices) == (words is not None)
    assert all(each.startswith("timm has no transform that ") and words in each for each in notices)


def test_an_exported_folder_says_how_images_are_prepared_and_what_classes_are_called(tmp_path, monkeypatch, capsys):
    model = tiny_vit(dtype=np.float32)
    model.header = {"classes": ["ant", "bee", "cow", "dog", "eel"]}
    model.header["preprocessing"] = {"resize": "cover", "crop_share": 0.9, "interpolation": "bicubic"}
    save_weights(model, tmp_path / "model.npz", header=model.header)

    assert cli.main(["export", str(tmp_path / "model.npz"), "--to", "timm", "--licence", "CC0-1.0"]) == 0
    folder = tmp_path / "model-timm"
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))

    assert content["label_names"] == model.header["classes"]
    images = content["pretrained_cfg"]
    assert (images["crop_mode"], images["crop_pct"], images["interpolation"]) == ("center", 0.9, "bicubic")
    assert images["mean"] == images["std"] == [0.5] * 3
    assert "library_name: timm" in (folder / "README.md").read_text(encoding="utf-8")
    assert load_model(folder).header["classes"] == model.header["classes"]
    assert content == timm_config(load_model(folder, apply_stated_scaling=True))
