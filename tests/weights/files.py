"""Small weights files in the layouts of other programs, from random numbers."""

import json
from pathlib import Path

import numpy as np

TYPES = {"<f4": "F32", "<f2": "F16", "|i1": "I8", "<i4": "I32", "<f8": "F64"}


def timm_arrays(dim=8, depth=2, mlp=16, patch=4, tokens=5, classes=3, class_token=True, prefix="", heads=None):
    """The arrays of a timm ViT; of its heads they say nothing."""
    rng = np.random.default_rng(0)

    def some(*shape):
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)

    arrays = {
        "patch_embed.proj.weight": some(dim, 3, patch, patch), "patch_embed.proj.bias": some(dim),
        "pos_embed": some(1, tokens, dim), "norm.weight": 1 + some(dim), "norm.bias": some(dim),
        "head.weight": some(classes, dim), "head.bias": some(classes),
    }  # fmt: skip
    if class_token:
        arrays["cls_token"] = some(1, 1, dim)
    for i in range(depth):
        b = f"blocks.{i}"
        shapes = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), "mlp.fc1": (mlp, dim), "mlp.fc2": (dim, mlp)}
        for name, shape in shapes.items():
            arrays |= {f"{b}.{name}.weight": some(*shape), f"{b}.{name}.bias": some(shape[0])}
        for name in ("norm1", "norm2"):
            arrays |= {f"{b}.{name}.weight": 1 + some(dim), f"{b}.{name}.bias": some(dim)}
    return {prefix + name: array for name, array in arrays.items()}


def hf_arrays(version=4, prefix="vit.", **changes):
    """The same numbers as `timm_arrays(**changes)`, as Hugging Face's transformers 4 or 5 names them."""
    fixed = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight", "norm.bias": "layernorm.bias",
    }  # fmt: skip
    parts = {
        "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
    }  # fmt: skip
    if version == 5:
        parts |= {"attn.proj": "attention.o_proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    queries = ("attention.attention.query", "attention.attention.key", "attention.attention.value")
    queries = ("attention.q_proj", "attention.k_proj", "attention.v_proj") if version == 5 else queries
    found = {}
    for name, array in timm_arrays(**changes).items():
        if name.startswith("head."):
            found[name.replace("head.", f"{prefix.removesuffix('vit.')}classifier.")] = array
        elif name in fixed:
            found[prefix + fixed[name]] = array
        else:
            _, i, part, kind = (
                name.split(".")[0],
                name.split(".")[1],
                ".".join(name.split(".")[2:-1]),
                name.split(".")[-1],
            )
            layer = f"{prefix}{'layers' if version == 5 else 'encoder.layer'}.{i}"
            if part == "attn.qkv":
                found |= {
                    f"{layer}.{each}.{kind}": third for each, third in zip(queries, np.split(array, 3), strict=True)
                }
            else:
                found[f"{layer}.{parts[part]}.{kind}"] = array
    return found


def write_safetensors(path, arrays, kinds=None, metadata=None):
    """Written by hand, so that any type of number can be written; `kinds` says which are bfloat16 or others."""
    header, blobs, at = {}, [], 0
    for name, array in arrays.items():
        kind = (kinds or {}).get(name) or TYPES[array.dtype.str]
        raw = bfloat16(array).tobytes() if kind == "BF16" else np.ascontiguousarray(array).tobytes()
        if kind.startswith("F8"):
            raw = raw[: array.size]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    if metadata:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))
    return Path(path)


def bfloat16(array):
    """The upper halves of the numbers, as integers of 16 bits."""
    return (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype("<u2")
