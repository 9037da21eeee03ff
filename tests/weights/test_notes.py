"""What arrays in another program's layout do not show is noted in the file, or said when it is written."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from minivit import CheckpointError, ConfigError, Notice, export_model, load_model, save_weights
from minivit.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from minivit.weights.sources.notes import NOTE
from tests.support import tiny_vit
from tests.weights.files import timm_arrays, write_safetensors
from tests.weights.test_said_beside import said, timm_config

CLASSES = list("abcde")
IMAGES = Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "shortest", 0.9, "bicubic")

# By layout: options of a model whose files alone would be asked about, or taken for another model.
MODELS = {
    "torchvision": {"gelu": "erf"},
    "torchvision, tanh": {"gelu": "tanh", "norm_eps": 1e-5},
    "timm": {"gelu": "quick", "norm_eps": 1e-5, "image_size": (8, 12)},
    "timm, mean": {"gelu": "erf", "classifier": "gap", "class_token": True},
    "huggingface": {"gelu": "relu", "image_size": (12, 8)},
    "google": {"positions": "sincos2d", "image_size": (8, 12)},
}


def spelled_out(config):
    """A configuration with a class token that is said, not left to the classifier."""
    return replace(config, class_token=config.has_class_token)


def model_for(kind):
    model = tiny_vit(dtype=np.float32, **MODELS[kind])
    model.header = {"classes": CLASSES, "preprocessing": IMAGES.to_json()}
    return model


@pytest.mark.filterwarnings("ignore::minivit.Notice")
@pytest.mark.parametrize("kind", MODELS)
def test_a_file_in_another_layout_comes_back_without_an_option(tmp_path, kind):
    model = model_for(kind)

    save_weights(model, tmp_path / "model.safetensors", layout=kind.partition(",")[0])
    back = load_model(tmp_path / "model.safetensors")

    assert spelled_out(back.config) == spelled_out(model.config)
    assert back.header["classes"] == CLASSES
    assert Preprocessing.from_json(back.header["preprocessing"]) == IMAGES
    pixels = np.random.default_rng(0).integers(0, 256, (2, *model.config.image_shape), np.uint8)
    np.testing.assert_allclose(back.predict(pixels), model.predict(pixels), atol=1e-6)


def test_an_export_for_torchvision_comes_back_with_its_heads_and_names(tmp_path):
    model = model_for("torchvision")

    export_model(model, tmp_path / "model.safetensors", to="torchvision")
    notices, back = said(lambda: load_model(tmp_path / "model.safetensors", grid=(2, 2)))

    assert (back.config.heads, back.header["classes"]) == (3, CLASSES)
    assert [each for each in notices if "assumed" in each] == []


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_scaling_that_is_a_part_of_the_weights_is_not_applied_twice(tmp_path):
    save_weights(model_for("torchvision"), tmp_path / "first.safetensors", layout="torchvision")
    folded = load_model(tmp_path / "first.safetensors", apply_stated_scaling=True)
    save_weights(folded, tmp_path / "second.safetensors", layout="torchvision")
    again = load_model(tmp_path / "second.safetensors", apply_stated_scaling=True)

    np.testing.assert_array_equal(again.embedding.weight.data, folded.embedding.weight.data)
    with pytest.raises(ConfigError, match="are a part of these weights already"):
        load_model(tmp_path / "second.safetensors", mean=0.4, std=0.2)


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_the_caller_and_a_config_beside_the_file_count_before_the_note(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(tiny_vit(dtype=np.float32, gelu="erf"), path, layout="timm")
    config = timm_config(model_args={"num_heads": 4, "act_layer": "gelu_tanh"})
    assert load_model(path).config.heads == 3

    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")

    found = load_model(path).config
    assert (found.heads, found.gelu) == (4, "tanh")
    assert load_model(path, heads=6, gelu="quick").config.heads == 6


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("google", "image size and names of classes: when minivit reads it, give --image-size 8x12"),
        ("torchvision", "heads and names of classes: when minivit reads it, give --heads 3"),
        ("timm", "image size and heads and names of classes: when minivit reads it, give --image-size 8x12 --heads 3"),
    ],
)
def test_a_file_without_a_place_for_the_note_says_what_is_lost(tmp_path, kind, lost):
    notices, _ = said(lambda: save_weights(model_for(kind), tmp_path / "model.npz", layout=kind))

    assert sum(each.endswith(f"does not say this model's {lost}") for each in notices) == 1
    options = {"heads": 3, "image_size": MODELS[kind].get("image_size", 8)}
    options |= {"classifier": "token", "gelu": "quick", "norm_eps": 1e-5} if kind == "timm" else {}
    _, back = said(lambda: load_model(tmp_path / "model.npz", **options))
    assert spelled_out(back.config) == spelled_out(model_for(kind).config)


def test_nothing_is_said_where_the_arrays_show_everything(tmp_path):
    notices, _ = said(lambda: save_weights(tiny_vit(dtype=np.float32), tmp_path / "model.npz", layout="google"))
    assert notices == []


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("{", "minivit_note in its metadata is damaged"),
        ("[]", "minivit_note in its metadata is damaged"),
        ("[" * 100_000, "minivit_note in its metadata is damaged"),
        ('{"heads": -1}', "heads must be an integer of 1 or more"),
        ('{"heads": 5}', "heads"),
        ('{"heads": 2, "gelu": "soft"}', "'soft'"),
        ('{"heads": 2, "norm_eps": 7}', "norm_eps must be"),
        ('{"heads": 2, "image_size": [8, 1000000]}', re.escape("do not fit 8 x 1000000 pixels")),
        ('{"heads": 2, "classes": 3}', "classes in its header must be a list of names"),
        ('{"heads": 2, "preprocessing": {"mean": "dark"}}', "mean"),
    ],
    ids=lambda value: value[:30],
)
def test_a_note_that_makes_no_sense_is_one_sentence(tmp_path, note, words):
    path = write_safetensors(tmp_path / "model.safetensors", timm_arrays(), metadata={NOTE: note})

    with pytest.raises(CheckpointError, match=words) as caught:
        load_model(path)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 250


def test_names_in_a_note_that_do_not_fit_the_head_are_not_used(tmp_path):
    note = json.dumps({"heads": 2, "classes": ["a", "b"]})
    path = write_safetensors(tmp_path / "model.safetensors", timm_arrays(), metadata={NOTE: note})

    with pytest.warns(Notice, match="names 2 classes, but the head has 3"):
        assert "classes" not in load_model(path).header
