"""Files with transformers' names and what is beside them: models come back, and what does not fit is one sentence."""

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

from minivit import (
    CheckpointError,
    ConfigError,
    Notice,
    ResNet,
    ResNetConfig,
    SaveError,
    cli,
    export_model,
    load_model,
    save_weights,
)  # fmt: skip
from minivit.preprocessing import Preprocessing
from minivit.weights.export.huggingface import preprocessor_json
from minivit.weights.formats.archive import open_archive
from minivit.weights.sources.huggingface import HuggingFace, with_joined_gates
from minivit.weights.sources.huggingface_clip import HuggingFaceCLIP
from minivit.weights.sources.huggingface_config import mlp_width
from tests.support import random_images, tiny_vit
from tests.weights.files import write_safetensors

COMMON = {
    "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 8, "patch_size": 4,
    "num_channels": 3,
}  # fmt: skip
PLAIN = COMMON | {"intermediate_size": 20}

# The source, the model's options, what its wrapper is called, and its config.json.
KINDS = {
    "vit": (HuggingFace, {"gelu": "erf", "norm_eps": 1e-12}, "vit.", {"model_type": "vit", **PLAIN}),
    "vit_msn": (HuggingFace, {"gelu": "erf", "norm_eps": 1e-6}, "vit.", {"model_type": "vit_msn", **PLAIN}),
    "deit": (HuggingFace, {"gelu": "erf", "norm_eps": 1e-12, "registers": 1}, "deit.", {"model_type": "deit", **PLAIN}),
    "deit, two heads": (HuggingFace, {"gelu": "erf", "norm_eps": 1e-12, "distillation": True}, "deit.",
                        {"model_type": "deit", **PLAIN}),
    "ijepa": (HuggingFace, {"gelu": "erf", "norm_eps": 1e-12, "classifier": "gap"}, "ijepa.",
              {"model_type": "ijepa", **PLAIN}),
    "dinov2": (HuggingFace, {"gelu": "erf", "layer_scale": 1.0, "classifier": "token_gap", "mlp_dim": 24}, "dinov2.",
               {"model_type": "dinov2", **COMMON, "mlp_ratio": 2, "use_swiglu_ffn": False}),
    "dinov2_with_registers": (
        HuggingFace,
        {"gelu": "erf", "layer_scale": 0.5, "classifier": "token_gap", "registers": 2, "positions_for": "class",
         "gated_mlp": True, "mlp_dim": 16},
        "dinov2_with_registers.",
        {"model_type": "dinov2_with_registers", **COMMON, "mlp_ratio": 2, "use_swiglu_ffn": True,
         "num_register_tokens": 2, "layerscale_value": 0.5}),
    "clip": (HuggingFaceCLIP, {"gelu": "quick", "norm_eps": 1e-5, "embedding_norm": True}, "vision_model.",
             {"model_type": "clip", "vision_config": PLAIN}),
    "clip, classifier": (
        HuggingFaceCLIP,
        {"gelu": "quick", "norm_eps": 1e-5, "embedding_norm": True, "classifier": "gap", "class_token": True,
         "final_norm": False},
        "vision_model.", {"model_type": "clip", "vision_config": PLAIN}),
    "siglip": (HuggingFaceCLIP, {"classifier": "map", "num_classes": 0}, "vision_model.",
               {"model_type": "siglip", "vision_config": PLAIN}),
    "siglip, classifier": (HuggingFaceCLIP, {"classifier": "gap"}, "vision_model.",
                           {"model_type": "siglip", "vision_config": PLAIN}),
}  # fmt: skip
BESIDE = ("classifier", "cls_classifier", "distillation_classifier", "visual_projection")  # outside the wrapper
ALONE = [kind for kind in KINDS if not kind.startswith(("clip", "vit_msn"))]  # read without a config.json


def file_of(kind, tmp_path, more=None, **changes):
    """A model and its file; `changes` are made in its config.json, or there is none if they are None."""
    source, options, wrapper, config = KINDS[kind]
    model = tiny_vit(dtype=np.float32, **options)
    if kind == "clip":
        model.head.bias.data[:] = 0  # a projection has none
    arrays = source().arrays_of(model)
    arrays = {name if name.startswith(BESIDE) else wrapper + name: array for name, array in arrays.items()}
    if kind.startswith("clip"):
        del arrays["vision_model.embeddings.patch_embedding.bias"]
        arrays.pop("visual_projection.bias", None)
        model.embedding.bias.data[:] = 0
    if changes.get("config", {}) is not None:
        (tmp_path / "config.json").write_text(json.dumps(config | changes))
    return model, write_safetensors(tmp_path / "model.safetensors", arrays | (more or {}))


def loaded(path, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = load_model(path, **options)
    return model, " ".join(str(each.message) for each in caught)


def same(found, model):
    assert found.config == model.config
    assert all(np.array_equal(found.state()[name], array) for name, array in model.state().items())
    return True


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_from_its_names_and_config(tmp_path, kind):
    model, path = file_of(kind, tmp_path)

    found, said = loaded(path)

    assert same(found, model)
    assert said == "" or kind == "clip"  # whose projection is said to be the head


@pytest.mark.parametrize("kind", ALONE)
def test_without_config_what_is_assumed_is_said(tmp_path, kind):
    model, path = file_of(kind, tmp_path, config=None)

    found, said = loaded(path, heads=3)

    images = random_images(model.config, dtype=np.float32)
    np.testing.assert_allclose(found(images).data, model(images).data, rtol=0, atol=1e-6)
    assert f"gelu='{model.config.gelu}'" in said and f"norm_eps={model.config.norm_eps:g}" in said
    assert "grid=(2, 2)" in said and said.endswith("give grid and gelu and norm_eps")


def test_clips_activation_is_asked_for(tmp_path):
    """OpenAI's models have the quick form, OpenCLIP's the exact one, and no array shows which."""
    model, path = file_of("clip", tmp_path, config=None)

    with pytest.raises(CheckpointError, match="give gelu='quick'"):
        load_model(path, heads=3)
    assert same(loaded(path, heads=3, gelu="quick")[0], model)
    assert loaded(path, heads=3, gelu="erf")[0].config.gelu == "erf"


def test_heads_that_nothing_says_are_asked_for(tmp_path):
    source = HuggingFace()
    arrays = source.arrays_of(tiny_vit(dtype=np.float32, dim=384, heads=4, num_classes=0))
    with pytest.raises(CheckpointError, match="give heads"):
        load_model(write_safetensors(tmp_path / "wide.safetensors", arrays))


@pytest.mark.parametrize(("kind", "newer"), [
    ("vit", {"encoder.layer.0.attention.attention.query.": "layers.0.attention.q_proj.",
             "encoder.layer.0.attention.output.dense.": "layers.0.attention.o_proj.",
             "encoder.layer.1.intermediate.dense.": "layers.1.mlp.fc1.",
             "encoder.layer.1.output.dense.": "layers.1.mlp.fc2.",
             "encoder.layer.": "layers."}),
    ("dinov2", {"attention.attention.key.": "attention.k_proj.", "attention.output.dense.": "attention.o_proj."}),
])  # fmt: skip
def test_version_5s_names_are_version_4s(tmp_path, kind, newer):
    model, path = file_of(kind, tmp_path)
    source, _, wrapper, _ = KINDS[kind]
    arrays = {name if name.startswith(BESIDE) else wrapper + name: a for name, a in source().arrays_of(model).items()}
    for older, name in newer.items():
        arrays = {each.replace(older, name): array for each, array in arrays.items()}
    write_safetensors(path, arrays)

    assert same(loaded(path)[0], model)


def test_the_halves_of_a_gated_mlp_are_joined(tmp_path):
    model, path = file_of("dinov2_with_registers", tmp_path)
    arrays = HuggingFace().arrays_of(model)
    halves = {}
    for name, array in arrays.items():
        if ".mlp.weights_in." in name:
            halves[name.replace("weights_in", "gate_proj")], halves[name.replace("weights_in", "up_proj")] = np.split(
                array, 2
            )
        else:
            halves[name.replace("weights_out", "down_proj")] = array
    write_safetensors(path, halves)

    assert same(loaded(path)[0], model)


def test_a_file_without_such_halves_is_used_as_it_is(tmp_path):
    _, path = file_of("dinov2_with_registers", tmp_path)

    with open_archive(path) as archive:
        assert with_joined_gates(archive) is archive


@pytest.mark.parametrize("kind", KINDS)
def test_info_says_what_it_is(tmp_path, capsys, kind):
    model, path = file_of(kind, tmp_path)

    assert cli.main(["info", str(path)]) == 0
    table = capsys.readouterr().out
    assert re.search(r"source +Hugging Face", table) and "assumed     nothing" in table
    assert f"LayerNorm epsilon {model.config.norm_eps:g}" in table and "2 blocks of width 12, 3 heads" in table


# -- arrays that are not the model's -------------------------------------------------------------

MORE = {
    "vit": ({"vit.embeddings.mask_token": ones(1, 1, 12), "decoder.0.weight": ones(48, 12, 1, 1)},
            "also holds a decoder, which only pre-training uses: the encoder was taken"),
    "dinov2": ({"dinov2.embeddings.mask_token": ones(1, 12)}, ""),
    "clip": ({"text_model.embeddings.token_embedding.weight": ones(9, 4), "logit_scale": ones(),
              "text_projection.weight": ones(5, 4), "vision_model.embeddings.position_ids": ones(1, 5)},
             "also holds a model of texts: the vision model was taken"),
    "clip, classifier": ({"vision_model.post_layernorm.weight": ones(12), "vision_model.post_layernorm.bias": ones(12)},
                         ""),
    "siglip, classifier": ({"vision_model.head.probe": ones(1, 1, 12)}, ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", MORE)
def test_arrays_that_no_classifier_reads_are_left_out(tmp_path, kind):
    more, sentence = MORE[kind]
    model, path = file_of(kind, tmp_path, more)

    found, said = loaded(path)

    assert same(found, model)
    assert sentence in said and bool(sentence) == ("also holds" in said)


def test_a_projection_is_said_to_be_the_head(tmp_path):
    _, path = file_of("clip", tmp_path)

    assert "the 5 logits are features of an image, not classes" in loaded(path)[1]


# -- what does not fit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("vit", {"hidden_act": "silu"}, ["hidden_act", "'silu'", "gelu_new"]),
        ("vit", {"pooler_act": "relu"}, ["pooler_act"]),
        ("vit", {"qkv_bias": False}, ["qkv_bias = True", "says False"]),
        ("vit", {"qkv_bias": "no"}, ["qkv_bias must be true or false"]),
        ("vit", {"patch_size": [8, 8]}, ["patch_size = 4", "says 8"]),
        ("vit", {"image_size": [8, 12]}, ["8 x 12"]),
        ("vit", {"model_type": "deit"}, ["'deit'", "those of a 'vit'"]),
        ("vit", {"model_type": "swin"}, ["'swin'", "dinov2, clip and siglip"]),
        ("ijepa", {"model_type": "vit"}, ["'vit'", "those of a 'ijepa'"]),
        ("deit, two heads", {"model_type": "vit"}, ["'vit'", "those of a 'deit'"]),
        ("dinov2", {"mlp_ratio": 4}, ["mlp_dim = 24", "says 48"]),
        ("dinov2", {"mlp_ratio": "four"}, ["mlp_ratio", "'four'"]),
        ("dinov2", {"use_swiglu_ffn": True}, ["gated_mlp = False", "says True"]),
        ("dinov2", {"architectures": ["Dinov2Backbone"], "apply_layernorm": False}, ["apply_layernorm"]),
        ("dinov2_with_registers", {"num_register_tokens": 4}, ["registers = 2", "says 4"]),
        ("dinov2_with_registers", {"num_register_tokens": -1}, ["num_register_tokens", "-1"]),
        ("dinov2_with_registers", {"model_type": "dinov2"}, ["'dinov2'", "those of a 'dinov2_with_registers'"]),
        ("clip", {"vision_config": PLAIN | {"hidden_size": 24}}, ["dim = 12", "says 24"]),
        ("clip", {"vision_config": [1]}, ["vision_config", "an object"]),
        ("clip", {"model_type": "siglip"}, ["'siglip'", "those of a 'clip'"]),
        ("siglip", {"vision_config": PLAIN | {"hidden_act": "mish"}}, ["hidden_act", "'mish'"]),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_is_one_sentence(tmp_path, kind, change, words):
    _, path = file_of(kind, tmp_path, **change)

    with pytest.raises(CheckpointError) as caught:
        load_model(path)

    message = str(caught.value).replace(str(tmp_path), "")
    assert all(word in message for word in words), message
    assert "\n" not in message and len(message) < 250, message


def test_patches_that_are_not_square_and_videos_are_named(tmp_path):
    name = "embeddings.patch_embeddings.projection.weight"
    for shape, words in (((8, 3, 4, 8), "4 x 8 pixels"), ((8, 3, 2, 4, 4), "a model of videos")):
        with pytest.raises(CheckpointError, match=words):
            load_model(write_safetensors(tmp_path / "odd.safetensors", {name: ones(*shape)}))


def test_a_second_head_needs_its_token(tmp_path):
    _, path = file_of("vit", tmp_path, {"distillation_classifier.weight": ones(5, 12)})

    with pytest.raises(CheckpointError, match=r"(missing|unknown)"):
        load_model(path)


@pytest.mark.parametrize(("ratio", "gated", "width"), [(4, False, 6144), (4, True, 4096), (2.5, False, 3840)])
def test_the_width_of_dinov2s_mlp(ratio, gated, width):
    """DINOv2's ViT-g has 4096 numbers in its SwiGLU, two thirds of 6144."""
    assert mlp_width(1536, ratio, gated) == width


def test_class_names_are_read_and_placeholders_are_not(tmp_path):
    names = {str(k): f"kind {k}" for k in range(5)}
    _, path = file_of("siglip, classifier", tmp_path, id2label=names)
    assert load_model(path).header["classes"] == list(names.values())

    _, path = file_of("siglip, classifier", tmp_path, id2label={str(k): f"LABEL_{k}" for k in range(5)})
    assert "classes" not in load_model(path).header


@pytest.mark.parametrize("size", [9, [11, 10]], ids=str)
def test_pixels_that_no_patch_covers_are_dropped(tmp_path, size):
    model, path = file_of("vit", tmp_path, image_size=size)

    found = loaded(path)[0]

    assert (found.config.drop_rest, found.config.grid) == (True, (2, 2))
    images = random_images(found.config, dtype=np.float32)
    np.testing.assert_allclose(found(images).data, model(images[:, :8, :8]).data, rtol=0, atol=1e-6)


# -- writing -------------------------------------------------------------------------------------

DINOV2 = KINDS["dinov2"][1]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("kind", [kind for kind, case in KINDS.items() if case[0] is HuggingFace])
def test_what_is_written_has_transformers_names_and_comes_back(tmp_path, kind, suffix):
    _, options, wrapper, config = KINDS[kind]
    model = tiny_vit(dtype=np.float32, **options)
    (tmp_path / "config.json").write_text(json.dumps(config))

    save_weights(model, tmp_path / f"model{suffix}", layout="huggingface")

    with open_archive(tmp_path / f"model{suffix}") as archive:
        assert f"{wrapper}embeddings.patch_embeddings.projection.weight" in archive.shapes or kind == "vit_msn"
        assert archive.text.get("format") == ("pt" if suffix == ".safetensors" else None)
    assert same(loaded(tmp_path / f"model{suffix}")[0], model)


@pytest.mark.parametrize("options", [
    {}, {"gelu": "quick", "qkv_bias": False, "dropout": 0.1}, {"image_size": (8, 12)}, {"distillation": True},
    {"num_classes": 0, "representation": 7}, DINOV2,
], ids=str)  # fmt: skip
def test_a_folder_says_everything(tmp_path, options):
    model = tiny_vit(dtype=np.float32, **options)
    model.header = {"preprocessing": Preprocessing(crop_share=0.8).to_json()}

    (written,) = export_model(model, tmp_path / "new" / "folder", to="huggingface", command="minivit train")

    assert {file.name for file in written.path.iterdir()} == {
        "config.json", "model.safetensors", "preprocessor_config.json", "README.md"}  # fmt: skip
    found, said = loaded(written.path)
    assert said == "" and found.config == replace(model.config, dropout=0.0)
    assert found.header["preprocessing"]["crop_share"] == 0.8
    card = (written.path / "README.md").read_text()
    assert "library_name: transformers" in card and "`minivit train`" in card


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"classifier": "map"}, "ViT's layout has no place for classifier='map'"),
        ({"representation": 7}, "ViT's layout has no place for representation=7"),
        ({"positions": "relative"}, "ViT's layout has no place for positions='relative'"),
        ({"qk_norm": True}, "qk_norm=True"),
        ({"gated_mlp": True}, "gated_mlp=True"),
        ({"registers": 2}, "registers=2"),
        ({"embedding_norm": True}, "embedding_norm=True"),
        ({"classifier": "gap", "class_token": True}, "IJepa's layout has no place for class_token=True"),
        ({"classifier": "gap", "pool_before_norm": True}, "pool_before_norm=True"),
        ({"distillation": True, "num_classes": 0}, "has not num_classes=0"),
        (DINOV2 | {"classifier": "token"}, "has not classifier='token' with 5 classes"),
        (DINOV2 | {"mlp_dim": 20}, "has not mlp_dim=20 for dim=12"),
        (DINOV2 | {"registers": 2}, "has not positions_for='all'"),
    ],
    ids=str,
)
def test_a_part_that_no_class_has_is_named_and_nothing_is_written(tmp_path, options, part):
    model = tiny_vit(dtype=np.float32, **options)

    for write in (lambda: save_weights(model, tmp_path / "model.safetensors", layout="huggingface"),
                  lambda: export_model(model, tmp_path / "folder", to="huggingface")):  # fmt: skip
        with pytest.raises(ConfigError, match=part) as caught:
            write()
        assert len(str(caught.value)) < 200
    assert list(tmp_path.iterdir()) == []


def test_a_resnet_and_a_folder_that_is_there_are_refused(tmp_path):
    resnet = ResNet(ResNetConfig(units=(1,), width=32, num_classes=3, stem="small", image_size=32))
    with pytest.raises(ConfigError, match="is a ResNet"):
        export_model(resnet, tmp_path / "folder", to="huggingface")

    (tmp_path / "note.txt").write_text("kept")
    with pytest.raises(ConfigError, match="exists: remove it"):
        export_model(tiny_vit(dtype=np.float32), tmp_path, to="huggingface")
    assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]


def test_a_folder_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minivit.weights.export.huggingface.write_json", full)

    with pytest.raises(SaveError, match="cannot be written: No space"):
        export_model(tiny_vit(dtype=np.float32), tmp_path / "folder", to="huggingface")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", ["huggingface", "google"])
def test_weights_that_are_not_finite_are_not_written(tmp_path, layout):
    model = tiny_vit(dtype=np.float32)
    model.head.bias.data[0] = np.nan

    with pytest.raises(SaveError, match=r"head\.bias holds numbers that are nan"):
        save_weights(model, tmp_path / "model.npz", layout=layout)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_folder(tmp_path, capsys):
    save_weights(tiny_vit(dtype=np.float32), tmp_path / "model.npz")

    assert cli.main(["export", str(tmp_path / "model.npz"), "--to", "huggingface"]) == 0
    assert "a ViTForImageClassification" in capsys.readouterr().out
    assert load_model(tmp_path / "model-huggingface").config.num_classes == 5


@pytest.mark.parametrize(
    ("preprocessing", "kind", "size", "crop"),
    [
        (Preprocessing(), "ViT", {"height": 24, "width": 16}, None),
        (Preprocessing(crop_share=0.8), "DeiT", {"height": 30, "width": 20}, {"height": 24, "width": 16}),
        (Preprocessing(resize="shortest", crop_share=0.8), "CLIP", {"shortest_edge": 20}, {"height": 24, "width": 16}),
    ],
)
def test_the_image_processor_is_the_one_that_does_the_same(preprocessing, kind, size, crop):
    values = preprocessor_json(preprocessing, (24, 16, 3))

    assert values["image_processor_type"] == f"{kind}ImageProcessor"
    assert (values["size"], values.get("crop_size")) == (size, crop)
    assert values["resample"] == 2 and values["image_mean"] == [0.5] * 3


def test_a_resize_that_transformers_lacks_is_said():
    with pytest.warns(Notice, match="resizes their shorter side"):
        preprocessor_json(Preprocessing(resize="cover"), (24, 16, 3))
