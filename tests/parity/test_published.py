"""Files in the published layouts give the logits that their sources' formulas give, in single and double precision."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from minivit import ViT, ViTConfig, load_model, save_weights
from minivit.models.configs import ResNetConfig
from minivit.models.resnet import ResNet
from minivit.weights.sources.registry import SOURCES
from tests.support import random_images, randomize

pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")
from .published import NEW_HF, OLD_HF, bit_logits, google_logits, hf_logits, timm_logits

pytestmark = pytest.mark.parity

SMALL = {"image_size": 16, "patch_size": 4, "dim": 24, "depth": 2, "heads": 3, "mlp_dim": 40, "num_classes": 5}
PRECISION = {np.float64: 1e-9, np.float32: 1e-5}
both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def in_double(model):
    """Files hold float32, and models are made of it; double precision is for comparing."""
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return model


def agrees(found, expected, dtype):
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0.1
    assert np.abs(found - expected).max() <= PRECISION[dtype] * max(1.0, np.abs(expected).max())


def check(model, images, expected_logits, dtype):
    """`model` as loaded from a file against `expected_logits(dtype, images)`."""
    model = in_double(model) if dtype == np.float64 else model
    agrees(model(images.astype(dtype)).data, expected_logits(images.astype(dtype)), dtype)


def cast(arrays, dtype):
    return {name: array.astype(dtype) for name, array in arrays.items()}


GOOGLE = {
    "class token": {},
    "gap": {"classifier": "gap"},
    "map": {"classifier": "map"},
    "pre_logits": {"representation": 24},
    "non-square": {"image_size": (12, 20)},
    "hybrid, root": {"image_size": 64, "backbone": (), "patch_size": 4},
    "hybrid, root, cells left over": {"image_size": (38, 70), "backbone": (), "patch_size": 4},
    "hybrid, even": {"image_size": 64, "backbone": (2, 1), "patch_size": 1},
    "hybrid, odd": {"image_size": (61, 45), "backbone": (1, 2, 1), "patch_size": 1},
}


@both_types
@pytest.mark.parametrize("kind", GOOGLE)
def test_google(tmp_path, kind, dtype):
    original = randomize(ViT(ViTConfig(**{**SMALL, **GOOGLE[kind]})), dtype=np.float32)
    save_weights(original, tmp_path / "vit.npz", layout="google")
    arrays = cast(np.load(tmp_path / "vit.npz"), dtype)

    model = load_model(tmp_path / "vit.npz", grid=original.config.grid, image_size=original.config.image_size)

    images = random_images(model.config)
    check(model, images, lambda x: google_logits(arrays, x), dtype)


@both_types
@pytest.mark.parametrize("size", [64, (49, 67)], ids=str)
def test_bit(tmp_path, size, dtype):
    original = randomize(ResNet(ResNetConfig(image_size=size, units=(2, 1), num_classes=5)), dtype=np.float32)
    save_weights(original, tmp_path / "bit.npz", layout="google")
    arrays = cast(np.load(tmp_path / "bit.npz"), dtype)

    model = load_model(tmp_path / "bit.npz", image_size=size)

    check(model, random_images(model.config), lambda x: bit_logits(arrays, x), dtype)


def torch_style(rng, shapes):
    return {name: (0.3 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def timm_shapes(d=24, hidden=40, classes=5, patch=4, tokens=17, depth=2, average=False):
    shapes = {"cls_token": (1, 1, d), "pos_embed": (1, tokens, d)}
    shapes |= {"patch_embed.proj.weight": (d, 3, patch, patch), "patch_embed.proj.bias": (d,)}
    sizes = {"attn.qkv": (3 * d, d), "attn.proj": (d, d), "mlp.fc1": (hidden, d), "mlp.fc2": (d, hidden)}
    for i in range(depth):
        for name, shape in sizes.items():
            shapes |= {f"blocks.{i}.{name}.weight": shape, f"blocks.{i}.{name}.bias": shape[:1]}
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{i}.{name}.weight": (d,), f"blocks.{i}.{name}.bias": (d,)}
    norm = "fc_norm" if average else "norm"
    return shapes | {
        f"{norm}.weight": (d,), f"{norm}.bias": (d,), "head.weight": (classes, d), "head.bias": (classes,)
    }  # fmt: skip


@both_types
@pytest.mark.parametrize("average", [False, True])
def test_timm(tmp_path, average, dtype):
    arrays = torch_style(np.random.default_rng(0), timm_shapes(average=average))
    save_file(arrays, tmp_path / "timm.safetensors")

    model = load_model(tmp_path / "timm.safetensors", heads=3)

    assert (model.config.gelu, model.config.norm_eps) == ("erf", 1e-6)
    arrays = cast(arrays, dtype)
    check(model, random_images(model.config), lambda x: timm_logits(arrays, x, 3), dtype)


def hf_shapes(names, d=24, hidden=40, classes=5, patch=4, tokens=17, depth=2):
    e = "vit.embeddings"
    shapes = {f"{e}.cls_token": (1, 1, d), f"{e}.position_embeddings": (1, tokens, d)}
    shapes[f"{e}.patch_embeddings.projection.weight"] = (d, 3, patch, patch)
    shapes[f"{e}.patch_embeddings.projection.bias"] = (d,)
    sizes = {"q": (d, d), "k": (d, d), "v": (d, d), "out": (d, d), "fc1": (hidden, d), "fc2": (d, hidden)}
    for i in range(depth):
        layer = f"{names['layer']}.{i}"
        for name, shape in sizes.items():
            shapes |= {f"{layer}.{names[name]}.weight": shape, f"{layer}.{names[name]}.bias": shape[:1]}
        for name in ("norm1", "norm2"):
            shapes |= {f"{layer}.{names[name]}.weight": (d,), f"{layer}.{names[name]}.bias": (d,)}
    return shapes | {
        "vit.layernorm.weight": (d,), "vit.layernorm.bias": (d,),
        "classifier.weight": (classes, d), "classifier.bias": (classes,),
    }  # fmt: skip


@both_types
@pytest.mark.parametrize("names", [OLD_HF, NEW_HF], ids=["version 4", "version 5"])
def test_hugging_face(tmp_path, names, dtype):
    arrays = torch_style(np.random.default_rng(1), hf_shapes(names))
    save_file(arrays, tmp_path / "model.safetensors")

    model = load_model(tmp_path / "model.safetensors", heads=3)

    assert (model.config.gelu, model.config.norm_eps) == ("erf", 1e-12)
    arrays = cast(arrays, dtype)
    check(model, random_images(model.config), lambda x: hf_logits(arrays, x, 3, names), dtype)


# The test of each source against other code.
COMPARED = {
    "minivit": "test_model.py",
    "Google": "test_published.py",
    "BiT": "test_published.py",
    "timm": "test_published.py",
    "Hugging Face": "test_huggingface.py",
    "Hugging Face CLIP": "test_huggingface.py",
    "torchvision": "test_torchvision.py",
    "OpenAI CLIP": "test_clip.py",
    "vit-pytorch": "test_teaching_code.py",
}


def test_every_source_is_compared():
    assert {source.name for source in SOURCES} == COMPARED.keys()
    assert all((Path(__file__).parent / file).is_file() for file in COMPARED.values())
