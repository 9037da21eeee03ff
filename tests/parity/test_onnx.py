"""Exported ONNX files beside our own logits, in ONNX Runtime and in OpenVINO."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

from minivit import ResNet, ResNetConfig, ViTConfig, cli, export_model, load_model, save_weights
from minivit.errors import ConfigError, SaveError
from minivit.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, preprocess
from minivit.training import TrainConfig, train
from minivit.weights.export import onnx, transformer
from tests.support import random_images, randomize, tiny_config, tiny_vit

pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")
onnx_library = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.parity

# A model for each option, named by what is changed. Together they change every option that the graph computes.
VARIANTS = {
    "the paper's": {},
    "not square": {"image_size": (8, 16)},
    "other patches": {"patch_size": 2},
    "wide": {"dim": 24, "heads": 2, "mlp_dim": 30},
    "no blocks": {"depth": 0},
    "one block": {"depth": 1},
    "one channel": {"channels": 1},
    "no head": {"num_classes": 0},
    "pre-training head": {"representation": 7},
    "pre-training head without classes": {"representation": 7, "num_classes": 0},
    "exact GELU": {"gelu": "erf"},
    "large epsilon": {"norm_eps": 0.1},
    "pooled": {"classifier": "gap"},
    "pooled beside a class token": {"classifier": "gap", "class_token": True},
    "pooled before the norm": {"classifier": "gap", "class_token": True, "pool_before_norm": True},
    "attention pooling": {"classifier": "map"},
    "attention pooling with registers": {"classifier": "map", "registers": 2},
    "attention pooling with registers and a class token": {"classifier": "map", "class_token": True, "registers": 2},
    "attention pooling with a class token": {"classifier": "map", "class_token": True},
    "2-D positions": {"positions": "learned2d", "image_size": (8, 16)},
    "fixed positions": {"positions": "sincos2d", "classifier": "gap"},
    "relative positions": {"positions": "relative"},
    "relative positions, pooled": {"positions": "relative", "classifier": "gap"},
    "no positions": {"positions": "none"},
    "no positions, pooled": {"positions": "none", "classifier": "gap"},
    "positions in every block": {"positions_at": "every", "depth": 3},
    "shared positions": {"positions_at": "shared", "positions": "sincos2d"},
    "register tokens": {"registers": 3},
    "register tokens, pooled": {"registers": 2, "classifier": "gap", "positions": "sincos2d"},
    "registers and no positions": {"registers": 2, "positions": "relative"},
    "positions not for registers": {"registers": 2, "positions_for": "class"},
    "positions for patches": {"positions_for": "patches", "classifier": "gap", "class_token": True},
    "distilled": {"distillation": True},
    "distilled, with registers": {"distillation": True, "registers": 2, "positions_for": "class"},
    "distilled without head": {"distillation": True, "num_classes": 0},
    "distilled without blocks": {"distillation": True, "depth": 0},
    "class token beside the mean": {"classifier": "token_gap", "registers": 1},
    "class token beside the mean, without head": {"classifier": "token_gap", "num_classes": 0},
    "LayerScale": {"layer_scale": 0.1},
    "norm of embeddings": {"embedding_norm": True},
    "no bias": {"qkv_bias": False},
    "norm of queries and keys": {"qk_norm": True, "positions": "relative"},
    "SwiGLU": {"gated_mlp": True},
    "RMSNorm": {"norm": "rms", "patch_norm": True, "inner_norm": True},
    "norms inside attention and MLP": {"inner_norm": True, "classifier": "map"},
    "quick GELU": {"gelu": "quick"},
    "ReLU": {"gelu": "relu"},
    "another width in pooling": {"classifier": "map", "pooling_mlp_dim": 9, "gated_mlp": True},
    "no final norm": {"final_norm": False},
    "no final norm, distilled": {"final_norm": False, "distillation": True},
    "no final norm, pooled": {"final_norm": False, "classifier": "gap"},
    "pixels that no patch covers": {"drop_rest": True, "image_size": (10, 15)},
    "root of a hybrid": {"backbone": (), "backbone_width": 32, "image_size": 32},
    "hybrid": {"backbone": (1, 2), "backbone_width": 32, "image_size": (40, 49), "patch_size": 2},
}  # fmt: skip
RESNETS = {
    "small": {"image_size": 17, "stem": "small"},
    "imagenet": {"image_size": (33, 40), "units": (1, 2)},
    "without head": {"image_size": 17, "stem": "small", "num_classes": 0},
}


def model_of(variant):
    if variant in RESNETS:
        config = ResNetConfig(**{"units": (2,), "width": 32, "num_classes": 5, **RESNETS[variant]})
        return randomize(ResNet(config), dtype=np.float32).eval()
    return tiny_vit(dtype=np.float32, **VARIANTS[variant]).eval()


def agrees(found, expected):
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0.1
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()  # ten times closer than promised


def run(path, images):
    """All results of ONNX Runtime, by name."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images}), strict=True))


def run_in_openvino(path, images):
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {output.get_any_name(): array for output, array in compiled({"images": images}).items()}


# -- every option --------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [*VARIANTS, *RESNETS])
@pytest.mark.parametrize("runtime", [run, run_in_openvino])
def test_logits_are_ours_for_any_number_of_images(variant, runtime, tmp_path):
    model = model_of(variant)
    export_model(model, tmp_path / "model.onnx")

    for batch in (1, 3):
        images = random_images(model.config, batch, seed=batch, dtype=np.float32)
        (found,) = runtime(tmp_path / "model.onnx", images).values()
        agrees(found, model(images).data)


def test_the_variants_change_every_option_that_the_graph_computes():
    default = tiny_config()
    changed = {
        name
        for changes in VARIANTS.values()
        for name in (field.name for field in fields(ViTConfig))
        if getattr(replace(default, **changes), name) != getattr(default, name)
    }

    assert changed == transformer.COMPUTED


# -- the file ------------------------------------------------------------------------------------


def test_pixels_are_scaled_inside_as_preprocess_scales_them(tmp_path):
    model = tiny_vit(dtype=np.float32)
    export_model(model, tmp_path / "model.onnx", with_preprocessing=True)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)

    agrees(run(tmp_path / "model.onnx", pixels)["logits"], model(preprocess(pixels)).data)
    agrees(run_in_openvino(tmp_path / "model.onnx", pixels)["logits"], model(preprocess(pixels)).data)


@pytest.mark.parametrize("inside", [True, False])
def test_a_mean_and_a_standard_deviation_that_the_model_expects_are_applied_inside_or_named(inside, tmp_path):
    model = tiny_vit(dtype=np.float32)
    model.header = {"preprocessing": Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD).to_json()}
    export_model(model, tmp_path / "model.onnx", with_preprocessing=inside)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    scaled = ((pixels / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)).astype(np.float32)

    agrees(run(tmp_path / "model.onnx", pixels if inside else scaled)["logits"], model(scaled).data)
    said = {each.key: each.value for each in onnx_library.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(said["preprocessing"])["mean"] == list(IMAGENET_MEAN)
    assert ("mean=0.485,0.456,0.406" in said["input"]) != inside


def test_probabilities_follow_the_logits(tmp_path):
    model = tiny_vit(dtype=np.float32)
    export_model(model, tmp_path / "model.onnx", probabilities=True, with_preprocessing=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    found = run(tmp_path / "model.onnx", pixels)

    assert list(found) == ["logits", "probabilities"]
    np.testing.assert_allclose(found["probabilities"], model.predict(pixels), atol=1e-6)


def test_metadata_rebuild_the_model(tmp_path):
    model = tiny_vit(dtype=np.float32, image_size=(8, 16), backbone=None)
    model.header = {"classes": ["cat", "dog", "Füchslein", "cow", "hen"]}
    export_model(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    said = session.get_modelmeta()

    assert said.producer_name == "minivit"
    assert ViTConfig(**json.loads(said.custom_metadata_map["config"])) == model.config
    assert json.loads(said.custom_metadata_map["classes"]) == model.header["classes"]
    assert session.get_inputs()[0].shape == ["batch", 8, 16, 3]
    assert session.get_outputs()[0].shape == ["batch", 5]


def test_the_file_is_of_opset_17_and_its_parameters_have_our_names(tmp_path):
    model = tiny_vit(dtype=np.float32, positions="none", classifier="gap")
    export_model(model, tmp_path / "model.onnx")
    proto = onnx_library.load(tmp_path / "model.onnx")
    arrays = {tensor.name: onnx_library.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}

    assert [(each.domain, each.version) for each in proto.opset_import] == [("", 17)]
    for name, parameter in model.named_parameters():
        kept = arrays[name] if name != "embedding.weight" else arrays[name].transpose(2, 3, 1, 0).reshape(-1, 12)
        np.testing.assert_array_equal(kept, parameter.data)


# -- what is refused -----------------------------------------------------------------------------


def test_a_graph_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_text("before")
    monkeypatch.setattr(transformer, "_activation", lambda g, x, form, name: x)

    with pytest.raises(SaveError, match=r"was not written: ONNX Runtime's logits differ from minivit's by"):
        export_model(tiny_vit(dtype=np.float32), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "before"


def test_a_model_that_onnx_runtime_refuses_is_one_sentence_and_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "onnx_bytes", lambda *_, **__: b"no model")

    with pytest.raises(SaveError, match="nothing was written: ONNX Runtime refuses the model: "):
        export_model(tiny_vit(dtype=np.float32), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_int8_model_that_cannot_be_made_leaves_no_float_model(tmp_path):
    with pytest.raises(ConfigError, match="int8 is for Vision Transformers"):
        export_model(model_of("small"), tmp_path / "model.onnx", int8=True)
    assert list(tmp_path.iterdir()) == []


def test_weights_larger_than_a_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "LARGEST", 1000)
    with pytest.raises(ConfigError, match=r"the weights take 0\.0 GB and one ONNX file can hold"):
        export_model(tiny_vit(dtype=np.float32), tmp_path / "model.onnx")


def test_probabilities_need_a_head(tmp_path):
    with pytest.raises(ConfigError, match="a model without a head returns no probabilities"):
        export_model(tiny_vit(num_classes=0), tmp_path / "model.onnx", probabilities=True)


# -- a run, from training to other programs ------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run on `shapes`."""
    folder = tmp_path_factory.mktemp("run")
    config = TrainConfig(
        model="ViT-XS_4-CIFAR", dataset="shapes", steps=60, batch_size=50, lr=2e-3, train_images=1000, eval_every=0.0
    )
    assert train(config, folder, show=False).finished
    return folder


def top5(rows):
    return np.argsort(-rows, axis=1, kind="stable")[:, :5]


def test_a_trained_model_has_the_same_five_best_classes_elsewhere(trained, tmp_path, capsys):
    out = tmp_path / "shapes.onnx"
    command = ["export", str(trained), "--to", "onnx", "--with-preprocessing", "--licence", "CC0-1.0"]
    assert cli.main([*command, "--out", str(out)]) == 0
    line = capsys.readouterr().out
    model = load_model(trained)
    from minivit.data import shapes

    pixels = shapes("test", 100).images
    ours = model(preprocess(pixels)).data
    assert len(set(ours.argmax(axis=1))) > 3  # it has learned something

    for runtime in (run, run_in_openvino):
        logits = runtime(out, pixels)["logits"]
        agrees(logits, ours)
        np.testing.assert_array_equal(top5(logits), top5(ours))
    said = {each.key: each.value for each in onnx_library.load(out).metadata_props}
    assert said["command"].startswith(
        "minivit train --recipe none --model ViT-XS_4-CIFAR --dataset shapes --eval-every 0 --steps 60 "
    )
    assert said["licence"] == "CC0-1.0"
    assert line.startswith(f"{out}: {out.stat().st_size / 1e3:.1f} kB, opset 17, logits of 3 random images are within ")


def test_the_int8_model_is_smaller_and_its_accuracy_is_said(trained, tmp_path, capsys):
    out = tmp_path / "shapes.onnx"
    command = ["export", str(trained), "--to", "onnx", "--int8", "--dataset", "shapes", "--out", str(out)]
    assert cli.main(command) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert cli.main(["evaluate", "--weights", str(trained)]) == 0
    accuracy = capsys.readouterr().out.split("accuracy ")[1].split("%")[0]

    assert line.startswith(f"{tmp_path / 'shapes.int8.onnx'}: ")
    assert f"float {accuracy}%, on 2,000 images of shapes" in line
    int8 = float(line.split("accuracy ")[1].split("%")[0])
    assert abs(int8 - float(accuracy)) < 2
    assert (tmp_path / "shapes.int8.onnx").stat().st_size < 0.4 * out.stat().st_size


def test_an_int8_model_without_a_data_set_is_compared_with_the_float_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_weights(tiny_vit(dtype=np.float32), "model.npz")
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), np.uint8)).save(f"{i}.png")

    assert cli.main(["export", "model.npz", "--to", "onnx", "--int8"]) == 0
    assert "of 64 images of random pixels, which say little of real ones" in capsys.readouterr().out
    assert cli.main(["export", "model.npz", "--to", "onnx", "--int8", "--images", *(f"{i}.png" for i in range(4))]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "logits of 4 given images are within" in first
    assert "the same most probable class as the float model for" in second and "of 4 given images" in second


def test_the_int8_model_of_a_representation_is_compared_by_its_direction(tmp_path):
    _, smaller = export_model(tiny_vit(dtype=np.float32, num_classes=0), tmp_path / "model.onnx", int8=True)
    share = float(smaller.checked[1].split("cosine similarity with the float model ")[1].split()[0])
    assert 0.98 < share <= 1
