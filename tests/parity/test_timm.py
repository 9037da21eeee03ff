"""timm reads what minivit writes, and minivit reads what timm writes, with equal logits."""

import numpy as np
import pytest

import tests.parity.vision  # noqa: F401  before timm
from minivit import export_model, load_model, save_weights
from minivit.weights.sources.timm_config import timm_config
from tests.support import random_images, tiny_vit

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

VARIANTS = {
    "plain": {},
    "tanh": {"gelu": "tanh"},
    "epsilon of CLIP": {"norm_eps": 1e-5, "gelu": "quick"},
    "ReLU": {"gelu": "relu"},
    "pooled": {"classifier": "gap"},
    "pooled, norm after": {"classifier": "gap", "pool_before_norm": True},
    "pooled beside a class token": {"classifier": "gap", "class_token": True},
    "attention pooling": {"classifier": "map"},
    "attention pooling with registers": {"classifier": "map", "registers": 2},
    "not square": {"image_size": (8, 12)},
    "a rest of pixels": {"image_size": (9, 14), "drop_rest": True},
    "one channel": {"channels": 1},
    "no head": {"num_classes": 0},
    "distilled": {"distillation": True},
    "distilled without head": {"distillation": True, "num_classes": 0},
    "registers": {"registers": 3},
    "registers, positions for patches": {"registers": 3, "positions_for": "patches"},
    "norms inside attention and MLP": {"inner_norm": True, "norm_eps": 1e-5},
    "LayerScale": {"layer_scale": 1e-5},
    "no bias": {"qkv_bias": False},
    "norm of queries and keys": {"qk_norm": True},
    "SwiGLU": {"gated_mlp": True},
    "no final norm": {"final_norm": False},
    "no positions": {"positions": "none"},
    "an odd MLP": {"mlp_dim": 23},
    "norm of embeddings": {"embedding_norm": True, "norm_eps": 1e-5},
}


def model_of(variant):
    model = tiny_vit(dtype=np.float32, **{"gelu": "erf", **VARIANTS[variant]}).eval()
    if model.config.embedding_norm:
        model.embedding.bias.data[:] = 0.0  # as timm has it
    return model


def timms_logits(network, images):
    with torch.no_grad():
        return network.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()


def agrees(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_timm_reads_an_exported_folder_and_so_does_minivit(tmp_path, variant):
    model = model_of(variant)
    images = random_images(model.config, dtype=np.float32)

    (written,) = export_model(model, tmp_path / "folder", "timm")
    network = timm.create_model(f"local-dir:{written.path}", pretrained=True)
    loaded = load_model(written.path)

    agrees(timms_logits(network, images), model(images).data)
    assert loaded.state().keys() == model.state().keys()
    assert all(np.array_equal(loaded.state()[name], array) for name, array in model.state().items())
    np.testing.assert_array_equal(loaded(images).data, model(images).data)


def test_timm_reads_a_dinov2_whose_registers_have_no_position(tmp_path):
    model = tiny_vit(dtype=np.float32, gelu="erf", registers=2, positions_for="class").eval()
    images = random_images(model.config, dtype=np.float32)

    (written,) = export_model(model, tmp_path / "folder", "timm")

    agrees(timms_logits(timm.create_model(f"local-dir:{written.path}", pretrained=True), images), model(images).data)


@pytest.mark.parametrize("variant", ["plain", "registers", "distilled", "SwiGLU"])
def test_timm_reads_a_weights_file_as_a_checkpoint(tmp_path, variant):
    model = model_of(variant)
    images = random_images(model.config, dtype=np.float32)
    content = timm_config(model)

    save_weights(model, tmp_path / "weights.safetensors", layout="timm")
    path = str(tmp_path / "weights.safetensors")
    network = timm.create_model(content["architecture"], checkpoint_path=path, **content["model_args"])

    agrees(timms_logits(network, images), model(images).data)
