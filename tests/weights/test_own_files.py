"""Files as people have them: checkpoints of their own training code, a head of their own, one file of several."""

import json

import numpy as np
import pytest
from PIL import Image

from minivit import CheckpointError, ConfigError, export_model, load_model, save_weights
from minivit.errors import CheckpointNotFoundError
from minivit.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tests.support import random_images, tiny_vit
from tests.weights.files import hf_arrays, timm_arrays, write_safetensors
from tests.weights.test_timm import is_the_same, said
from tests.weights.torch_files import torch_file

HEADS = {"heads": 2}


def plain(path):
    return load_model(write_safetensors(path / "plain.safetensors", timm_arrays()), **HEADS)


def wrapped(prefix, keep=lambda name: True):
    return {prefix + name: array for name, array in timm_arrays().items() if keep(name)}


# -- what a training script keeps beside the model ------------------------------------------------


@pytest.mark.parametrize(
    "name", ["train_acc.total", "val_acc.tp", "val_f1.fn", "confmat.confmat", "metrics.accuracy.tp", "loss_fn.weight"]
)
def test_measures_and_losses_of_a_lightning_module_are_left_out_and_named(tmp_path, name):
    arrays = wrapped("model.") | {name: np.ones(3, np.float32)}

    notices, model = said(lambda: load_model(write_safetensors(tmp_path / "a.safetensors", arrays), **HEADS))

    assert is_the_same(model, plain(tmp_path))
    assert any("were left out" in each and name in each for each in notices)


@pytest.mark.parametrize("name", ["mean", "normalize.std", "gate.weight", "accelerator.weight"])
def test_what_may_change_the_numbers_is_not_left_out(tmp_path, name):
    arrays = wrapped("model.") | {name: np.ones(3, np.float32)}

    with pytest.raises(CheckpointError, match=f"{name} is unknown"):
        load_model(write_safetensors(tmp_path / "a.safetensors", arrays), **HEADS)


ADAM = {"state": {0: {"exp_avg": np.ones((8, 8), np.float32)}}, "param_groups": [{"lr": np.ones((), np.float32)}]}


@pytest.mark.parametrize(
    "beside",
    [
        {"best_acc1": np.ones((), np.float32)}, {"lr": np.ones(1, np.float32), "num_updates": np.ones((), np.int64)},
        {"optimizer_state_dict": ADAM}, {"optimizer_G": ADAM}, {"optim_state": ADAM}, {"my_own": [ADAM]},
        {"lr_scheduler_state_dict": {"base_lrs": np.ones(3, np.float32)}},
        {"rng": np.ones(9, np.uint8), "torch_rng_state": np.ones(9, np.uint8)},
    ],
    ids=lambda value: " ".join(value),
)  # fmt: skip
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict"])
def test_what_a_training_script_keeps_beside_a_state_dict_is_left_out(tmp_path, key, beside):
    (tmp_path / "a.pth").write_bytes(torch_file({"epoch": 3, key: timm_arrays()} | beside))

    assert is_the_same(said(lambda: load_model(tmp_path / "a.pth", **HEADS))[1], plain(tmp_path))


def test_a_single_number_in_a_state_dict_is_not_left_out(tmp_path):
    (tmp_path / "a.pth").write_bytes(torch_file({"model": timm_arrays() | {"temperature": np.ones((), np.float32)}}))

    with pytest.raises(CheckpointError, match="temperature is unknown"):
        load_model(tmp_path / "a.pth", **HEADS)


def test_ibots_embedding_of_masked_patches_is_left_out(tmp_path):
    arrays = wrapped("teacher.backbone.") | {"teacher.backbone.masked_embed": np.ones((1, 8), np.float32)}

    assert is_the_same(load_model(write_safetensors(tmp_path / "a.safetensors", arrays), **HEADS), plain(tmp_path))


# -- a head of one's own --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "head"),
    [("", "head.1"), ("backbone.", "classifier"), ("vit.", "fc"), ("model.backbone.", "model.classifier.1")],
)
def test_the_only_linear_layer_beside_a_backbone_is_its_head(tmp_path, prefix, head):
    own = timm_arrays()
    arrays = wrapped(prefix, lambda name: not name.startswith("head"))
    arrays |= {f"{head}.{part}": own[f"head.{part}"] for part in ("weight", "bias")}

    notices, model = said(lambda: load_model(write_safetensors(tmp_path / "a.safetensors", arrays), **HEADS))

    assert is_the_same(model, plain(tmp_path))
    assert any(f"{head} was taken for the head" in each for each in notices)


def test_a_head_that_is_a_convolution_of_one_pixel_is_the_same_head(tmp_path):
    arrays = timm_arrays()
    arrays["head.weight"] = arrays["head.weight"][:, :, None, None]

    assert is_the_same(load_model(write_safetensors(tmp_path / "a.safetensors", arrays), **HEADS), plain(tmp_path))


def test_a_head_of_timm_needs_no_notice(tmp_path):
    path = write_safetensors(tmp_path / "a.safetensors", wrapped("module."))

    assert not any("taken for the head" in each for each in said(lambda: load_model(path, **HEADS))[0])


@pytest.mark.parametrize(
    "head",
    [
        {"head.0.weight": (5, 8), "head.2.weight": (3, 5)},
        {"head.0.weight": (8,), "head.1.weight": (3, 8)},
        {"fc.weight": (3, 8), "classifier.weight": (3, 8)},
        {"fc.weight": (3, 16)},
    ],
)
def test_a_head_of_several_layers_or_of_another_width_is_refused(tmp_path, head):
    arrays = wrapped("backbone.", lambda name: not name.startswith("head"))
    arrays |= {name: np.ones(shape, np.float32) for name, shape in head.items()}

    with pytest.raises(CheckpointError, match=r"is unknown|has shape"):
        load_model(write_safetensors(tmp_path / "a.safetensors", arrays), **HEADS)


# -- one file of several ---------------------------------------------------------------------------


def test_one_of_several_files_is_not_a_smaller_model(tmp_path):
    first = {name: array for name, array in timm_arrays().items() if "blocks.1" not in name and "head" not in name}
    path = write_safetensors(tmp_path / "model-00001-of-00002.safetensors", first)

    with pytest.raises(CheckpointError, match=r"is file 1 of 2 of a model: name their folder, or their index"):
        load_model(path, **HEADS)
    assert load_model(path.rename(tmp_path / "alone-00001-of-00001.safetensors"), **HEADS).config.depth == 1


def test_files_without_their_index_say_what_is_missing(tmp_path):
    for k in (1, 2):
        write_safetensors(tmp_path / f"model-0000{k}-of-00002.safetensors", {"a": np.ones(3, np.float32)})

    with pytest.raises(CheckpointNotFoundError, match=r"but not the index .*model\.safetensors\.index\.json"):
        load_model(tmp_path)


def test_a_model_without_a_final_norm_is_said(tmp_path):
    arrays = {name: array for name, array in timm_arrays().items() if not name.startswith("norm.")}
    path = write_safetensors(tmp_path / "a.safetensors", arrays)

    notices, model = said(lambda: load_model(path, **HEADS))

    assert not model.config.final_norm
    assert any("final_norm=False" in each for each in notices)
    assert not any("final_norm" in each for each in said(lambda: plain(tmp_path))[0])


# -- the files beside -------------------------------------------------------------------------------

VIT = {"model_type": "vit", "num_attention_heads": 2, "image_size": 8, "patch_size": 4}


def hf_folder(path, **config):
    path.mkdir(exist_ok=True)
    write_safetensors(path / "model.safetensors", hf_arrays())
    (path / "config.json").write_text(json.dumps(VIT | config), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"1": "cat", "2": "dog", "3": "emu"}, "id2label does not name classes 0, 1, 2"),
        ({"0": {"name": "cat"}}, "id2label does not name classes 0, 1, 2"),
        ({"0": "cat"}, "names 1 classes, but the head has 3"),
    ],
)
def test_names_of_classes_that_cannot_be_used_are_said(tmp_path, names, problem):
    notices, model = said(lambda: load_model(hf_folder(tmp_path, id2label=names)))

    assert "classes" not in model.header
    assert any(problem in each for each in notices)


@pytest.mark.parametrize("names", [{"0": "LABEL_0", "1": "LABEL_1"}, {}, None])
def test_placeholders_for_names_are_not_worth_a_word(tmp_path, names):
    notices, model = said(lambda: load_model(hf_folder(tmp_path, id2label=names)))

    assert "classes" not in model.header
    assert not any("class" in each for each in notices)


def test_one_number_is_the_mean_of_every_channel(tmp_path):
    hf_folder(tmp_path)
    content = {"image_processor_type": "ViTImageProcessor", "image_mean": 0.25, "image_std": 0.5}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(content), encoding="utf-8")

    scaled = load_model(tmp_path, apply_stated_scaling=True)
    given = load_model(hf_folder(tmp_path), mean=0.25, std=0.5)

    images = random_images(scaled.config, dtype=np.float32)
    np.testing.assert_array_equal(scaled(images).data, given(images).data)


def test_a_processor_with_an_image_processor_inside_comes_first(tmp_path):
    hf_folder(tmp_path)
    older = {"image_processor_type": "ViTImageProcessor", "image_mean": [0.1] * 3, "image_std": [0.1] * 3}
    newer = {"image_processor": older | {"image_mean": [0.3] * 3}, "processor_class": "CLIPProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(older), encoding="utf-8")
    (tmp_path / "processor_config.json").write_text(json.dumps(newer), encoding="utf-8")

    notices, model = said(lambda: load_model(tmp_path, apply_stated_scaling=True))

    given = load_model(hf_folder(tmp_path), mean=[0.3] * 3, std=[0.1] * 3)
    assert is_the_same(model, given)
    assert any("from processor_config.json" in each for each in notices)


# -- out ---------------------------------------------------------------------------------------------


def test_googles_layout_has_no_class_token_beside_the_mean_of_the_patches(tmp_path):
    model = tiny_vit(classifier="gap", class_token=True)

    with pytest.raises(ConfigError, match="no place for a class token beside the mean of the patches"):
        save_weights(model, tmp_path / "a.npz", layout="google")

    assert list(tmp_path.iterdir()) == []


def test_a_refused_export_to_timm_leaves_no_folder(tmp_path):
    model = tiny_vit(embedding_norm=True, gelu="erf", norm_eps=1e-5)
    model.embedding.bias.data[:] = 1.0

    with pytest.raises(ConfigError, match="no bias in the patch embedding"):
        export_model(model, tmp_path / "folder", "timm")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("layout", "header", "warned"),
    [
        ("google", {}, False),
        ("google", {"preprocessing": Preprocessing((0.4, 0.4, 0.4), (0.2, 0.2, 0.2)).to_json()}, True),
        ("torchvision", {}, True),
        ("torchvision", {"preprocessing": Preprocessing(IMAGENET_MEAN, IMAGENET_STD).to_json()}, False),
    ],
)
def test_a_layout_that_does_not_say_how_pixels_are_scaled_says_so_when_it_is_written(tmp_path, layout, header, warned):
    model = tiny_vit(gelu="erf" if layout == "torchvision" else "tanh")
    model.header = header

    suffix = "npz" if layout == "google" else "safetensors"
    notices, _ = said(lambda: save_weights(model, tmp_path / f"a.{suffix}", layout=layout))

    of_readers = [each for each in notices if each.lower().startswith(f"{layout}'s layout does not say how pixels are")]
    assert len(of_readers) == warned
    others = [each for each in notices if each not in of_readers]
    assert all("how images are prepared: to read it again, give --mean 0.4 --std 0.2" in each for each in others)
    assert len(others) == (warned and suffix == "npz")


# -- pictures -----------------------------------------------------------------------------------------


def test_predict_scales_pixels_as_the_header_says_whether_or_not_it_is_a_part_of_the_weights(tmp_path):
    hf_folder(tmp_path)
    content = {"image_processor_type": "ViTImageProcessor", "image_mean": [0.2, 0.3, 0.4], "image_std": [0.1, 0.2, 0.3]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(content), encoding="utf-8")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)

    apart = load_model(tmp_path)
    folded = load_model(tmp_path, apply_stated_scaling=True)

    expected = folded.predict(pixels)
    assert np.ptp(expected, axis=0).max() > 1e-3
    for images in (pixels, pixels / 127.5 - 1, list(pixels), [Image.fromarray(each) for each in pixels]):
        np.testing.assert_allclose(apart.predict(images), expected, atol=1e-5)
    plain = load_model(hf_folder(tmp_path / "plain"))
    assert np.abs(plain.predict(pixels) - expected).max() > 1e-3
