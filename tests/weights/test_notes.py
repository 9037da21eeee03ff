"""What arrays in another program's layout do not show is noted in the file, or said when it is written."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from minivit import CheckpointError, ConfigError, Notice, export_model, load_model, save_weights
from minivit.preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from minivit.weights import describe_weights
from minivit.weights.options import READERS, sides_of
from minivit.weights.sources.notes import NOTE
from tests.support import tiny_vit
from tests.weights.files import hf_arrays, timm_arrays, write_safetensors
from tests.weights.test_said_beside import hf_config, said, timm_config

CLASSES = list("abcde")
IMAGES = Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "shortest", 0.9, "bicubic")

# By layout: options of a model whose files alone would be asked about, or taken for another model.
MODELS = {
    "torchvision": {"gelu": "erf"},
    "torchvision, tanh": {"gelu": "tanh", "norm_eps": 1e-5},
    "timm": {"gelu": "quick", "norm_eps": 1e-5, "image_size": (8, 12)},
    "timm, mean": {"gelu": "erf", "classifier": "gap", "class_token": True},
    "timm, asked for": {"gelu": "quick", "norm_eps": 1e-5, "embedding_norm": True},
    "timm, SwiGLU": {"gelu": "erf", "gated_mlp": True},
    "huggingface": {"gelu": "relu", "image_size": (12, 8)},
    "google": {"positions": "sincos2d", "image_size": (8, 12)},
}


def spelled_out(config):
    """A configuration with a class token that is said, not left to the classifier."""
    return replace(config, class_token=config.has_class_token)


def model_for(kind):
    model = tiny_vit(dtype=np.float32, **MODELS[kind])
    if model.config.embedding_norm:
        model.embedding.bias.data[:] = 0.0  # as timm has it
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


BESIDE = {
    "timm": (timm_arrays, {"config": timm_config(pretrained_cfg={
        "input_size": [3, 8, 8], "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD), "crop_pct": 0.8})}),
    "huggingface": (hf_arrays, {"config": hf_config(), "preprocessor_config": {
        "image_processor_type": "ViTImageProcessor", "size": 8,
        "image_mean": list(IMAGENET_MEAN), "image_std": list(IMAGENET_STD)}}),
    "huggingface, no mean": (hf_arrays, {"config": hf_config(model_type="vit_msn"), "preprocessor_config": {
        "do_resize": False}}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::minivit.Notice")
@pytest.mark.parametrize("kind", BESIDE)
def test_files_beside_the_weights_do_not_apply_scaling_that_is_a_part_of_them(tmp_path, kind):
    arrays, files = BESIDE[kind]
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    write_safetensors(tmp_path / "model.safetensors", arrays())
    model = load_model(tmp_path / "model.safetensors", apply_stated_scaling=True)
    assert model.header["folded"]["mean"] == list(IMAGENET_MEAN)

    path = tmp_path / "tuned.safetensors"
    save_weights(model, path, layout=kind.partition(",")[0])
    again = load_model(path, apply_stated_scaling=True)

    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(again.predict(pixels), model.predict(pixels))
    assert again.header == model.header
    described = describe_weights(path)
    assert described.preprocessing.is_neutral
    assert described.preprocessing_said_by.endswith("mean and std a part of the weights") == ("," not in kind)
    with pytest.raises(ConfigError, match="are a part of these weights already"):
        load_model(path, mean=0.4, std=0.2)


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_the_publishers_scaling_does_not_count_where_a_note_says_that_it_was_applied(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(hf_config(model_type="vit_msn")), encoding="utf-8")
    note = json.dumps({"folded": {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}})
    path = write_safetensors(tmp_path / "model.safetensors", hf_arrays(), metadata={NOTE: note})

    plain, model = load_model(path), load_model(path, apply_stated_scaling=True)

    np.testing.assert_array_equal(plain.embedding.weight.data, model.embedding.weight.data)


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_a_note_fills_in_what_the_files_beside_it_do_not_say(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="erf")
    model.header = {"preprocessing": IMAGES.to_json()}
    save_weights(model, tmp_path / "model.safetensors", layout="huggingface")
    (tmp_path / "preprocessor_config.json").write_text('{"resample": 1}', encoding="utf-8")

    expected = replace(IMAGES, interpolation="lanczos", crop_rounding="down")
    assert describe_weights(tmp_path / "model.safetensors").preprocessing == expected


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


NAMES = {"interpolation": "resampling", "eps": "norm_eps", "pool": "classifier"}  # where Python has other ones


def options_in(notices):
    """The options that notices say to give, as `load_model` takes them."""
    given = " ".join(each.partition("to read it again, give ")[2] for each in notices)
    pairs = [words.strip().split() for words in given.split("--") if words.strip()]
    read = READERS | {"image-size": sides_of, "heads": lambda _, text: int(text), "eps": lambda _, text: float(text)}
    values = {name: read.get(name, lambda _, text: text)(name, value) for name, value in pairs}
    return {NAMES.get(name, name).replace("-", "_"): value for name, value in values.items()}


LOST = {
    "google": "image size and names of classes: to read it again, give --image-size 8x12",
    "torchvision": "heads and names of classes: to read it again, give --heads 3",
    "torchvision, tanh": "heads, activation, epsilon and names of classes: to read it again, give --heads 3 "
                         "--gelu tanh --eps 1e-05",
    "timm": "image size, heads, activation, epsilon and names of classes: to read it again, give --image-size "
            "8x12 --heads 3 --gelu quick --eps 1e-05",
    "timm, mean": "heads, pooling and names of classes: to read it again, give --heads 3 --pool avg",
    "timm, asked for": "heads, activation, epsilon, pooling and names of classes: to read it again, give --heads "
                       "3 --gelu quick --eps 1e-05 --pool token",
    "timm, SwiGLU": "heads and names of classes: to read it again, give --heads 3",
    "huggingface": "image size, heads, activation, epsilon and names of classes: to read it again, give "
                   "--image-size 12x8 --heads 3 --gelu relu --eps 1e-06",
}  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
def test_a_file_without_a_place_for_the_note_says_what_is_lost(tmp_path, kind):
    model, path = model_for(kind), tmp_path / "model.npz"

    notices, _ = said(lambda: save_weights(model, path, layout=kind.partition(",")[0]))

    assert sum(each.endswith(f"does not say this model's {LOST[kind]}") for each in notices) == 1
    assert max(len(each.replace(str(tmp_path), "")) for each in notices) < 200
    _, back = said(lambda: load_model(path, **options_in(notices)))
    assert spelled_out(back.config) == spelled_out(model.config)


WAYS = {
    "default": Preprocessing(),
    "ImageNet's": IMAGES,
    "exact, cropped": Preprocessing(crop_share=0.8, interpolation="lanczos"),
    "timm's": Preprocessing(resize="cover", crop_share=0.9, interpolation="bicubic"),
    "grey": Preprocessing((0.4,) * 3, (0.25,) * 3, "shortest"),
    "CLIP's": Preprocessing(CLIP_MEAN, CLIP_STD, "shortest", interpolation="bicubic"),
}


@pytest.mark.parametrize("layout", ["google", "timm", "torchvision", "huggingface"])
@pytest.mark.parametrize("way", WAYS)
def test_a_file_without_a_note_says_how_images_are_prepared(tmp_path, way, layout):
    model, path = tiny_vit(dtype=np.float32, gelu="erf", image_size=40, patch_size=20), tmp_path / "model.npz"
    model.header = {"preprocessing": WAYS[way].to_json()}

    notices, _ = said(lambda: save_weights(model, path, layout=layout))
    found = describe_weights(path, **{"heads": 3} | options_in(notices)).preprocessing

    assert found.resized_to(40, 40) == WAYS[way].resized_to(40, 40)
    of_square = {"cover": "shortest"}
    assert of_square.get(found.resize, found.resize) == of_square.get(WAYS[way].resize, WAYS[way].resize)
    assert found.interpolation == WAYS[way].interpolation
    np.testing.assert_allclose([found.mean, found.std], [WAYS[way].mean, WAYS[way].std], rtol=0, atol=1e-6)
    assert max([len(each.replace(str(tmp_path), "")) for each in notices] or [0]) < 200


def test_a_way_to_resize_that_no_option_says_is_named(tmp_path):
    model = tiny_vit(dtype=np.float32)
    model.header = {"preprocessing": Preprocessing(resize="none").to_json()}

    with pytest.warns(Notice, match="not say that images are not resized, cropped to 8 x 8, and no option does: save"):
        save_weights(model, tmp_path / "model.npz", layout="google")


def test_what_readers_of_a_bare_file_of_timm_assume_is_said(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="quick", norm_eps=1e-5, classifier="gap", class_token=True)
    model.header = {"preprocessing": IMAGES.to_json()}

    notices, _ = said(lambda: save_weights(model, tmp_path / "model.safetensors", layout="timm"))

    first, second, third = notices
    assert "timm's layout does not say that this model has gelu='quick' and norm_eps=1e-05" in first
    assert "does not say how pixels are scaled: this model expects mean=0.485,0.456,0.406" in second
    assert "reads the mean of the patches: make timm's model with global_pool='avg' and fc_norm=False" in third
    assert said(lambda: export_model(model, tmp_path / "folder", to="timm"))[0] == []  # its config.json says it


def test_a_gate_has_no_gelu_to_be_said(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="tanh", gated_mlp=True)
    assert said(lambda: save_weights(model, tmp_path / "model.safetensors", layout="timm"))[0] == []


def test_readers_of_hugging_faces_layout_that_scale_pixels_otherwise_are_named(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="erf", layer_scale=0.1, mlp_dim=24, classifier="token_gap")

    notices, _ = said(lambda: save_weights(model, tmp_path / "model.safetensors", layout="huggingface"))
    (found,) = (each for each in notices if "how pixels are scaled" in each)

    assert "expects mean=0.5,0.5,0.5 and std=0.5,0.5,0.5, its readers take 0.485,0.456,0.406" in found
    assert said(lambda: export_model(model, tmp_path / "folder", to="huggingface"))[0] == []  # its files say it


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

    with pytest.warns(Notice, match="its own note names 2 classes, but the head has 3") as caught:
        assert "classes" not in load_model(path).header
    assert not any("config.json" in str(each.message) for each in caught)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ({"heads": 2, "image_size": [8, 80]}, "do not fit 8 x 80 pixels, the size in the file's own note: give"),
        ({"heads": 3}, "heads in the file's own note must divide dim = 8, not 3"),
    ],
    ids=str,
)
@pytest.mark.parametrize("beside", [{}, {"preprocessor_config.json": '{"resample": 1}'}], ids=["alone", "beside"])
def test_what_a_note_says_is_not_called_a_config_beside_the_file(tmp_path, note, words, beside):
    for name, text in beside.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    note = {NOTE: json.dumps(note)}
    path = write_safetensors(tmp_path / "model.safetensors", timm_arrays(), metadata=note)

    with pytest.raises(CheckpointError, match=words) as caught:
        load_model(path)
    assert "config.json" not in str(caught.value)


def test_a_mean_in_a_note_is_not_called_one_of_the_file_that_says_the_rest(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text('{"resample": 1}', encoding="utf-8")
    images = replace(IMAGES, mean=(0.5, 0.4), std=(0.2, 0.3)).to_json()
    note = {NOTE: json.dumps({"heads": 2, "preprocessing": images})}
    path = write_safetensors(tmp_path / "model.safetensors", hf_arrays(), metadata=note)

    with pytest.raises(CheckpointError, match="takes images of 3 channels, but the file's own note has a mean of 2"):
        load_model(path)


@pytest.mark.filterwarnings("ignore::minivit.Notice")
def test_a_config_beside_the_file_is_named_where_it_counts_before_the_note(tmp_path):
    note = {NOTE: json.dumps({"heads": 2, "image_size": [8, 8]})}
    path = write_safetensors(tmp_path / "model.safetensors", timm_arrays(), metadata=note)
    config = timm_config(model_args={"num_heads": 3})
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")

    with pytest.raises(CheckpointError, match=r"num_attention_heads of config\.json must divide dim = 8, not 3"):
        load_model(path)
