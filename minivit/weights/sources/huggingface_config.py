"""The `config.json` of Hugging Face transformers: what it says of a ViT, by the model's type.

Arrays do not show a model's heads, activation, epsilon or image size. `config.json` does, and what it leaves out has a
default that depends on the type. A value that asks for arithmetic that minivit does not have is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import CheckpointError
from ...utils.notices import notice
from ...utils.text import printable, quoted
from .sidecar import CONFIG, JsonObject, Sidecar, is_number, said_classes

# Their names for the activation, and minivit's. "gelu_new" and its like are the tanh form.
ACTIVATIONS = {
    "gelu": "erf", "gelu_python": "erf", "gelu_new": "tanh", "gelu_fast": "tanh", "gelu_accurate": "tanh",
    "gelu_pytorch_tanh": "tanh", "gelu_python_tanh": "tanh", "quick_gelu": "quick", "relu": "relu",
}  # fmt: skip

# Sizes that the arrays show too: their names, and minivit's.
SIZES = {"hidden_size": "dim", "intermediate_size": "mlp_dim", "num_channels": "channels"}

HIDDEN_SIZE = 768  # of every type, where config.json leaves it out


@dataclass(frozen=True)
class ModelType:
    """What transformers assumes if the `config.json` of a type leaves something out.

    Attributes:
        norm_eps: `layer_norm_eps`.
        hidden_act: the activation.
        has_ratio: whether the MLP's width is said as a ratio (`mlp_ratio`), and SwiGLU as `use_swiglu_ffn`.
        has_qkv_bias: whether `qkv_bias` is one of its fields.
        has_registers: whether `num_register_tokens` is one of its fields.
    """

    norm_eps: float
    hidden_act: str = "gelu"
    has_ratio: bool = False
    has_qkv_bias: bool = True
    has_registers: bool = False


MODEL_TYPES = {
    "vit": ModelType(1e-12),
    "deit": ModelType(1e-12),
    "vit_mae": ModelType(1e-12),
    "vit_msn": ModelType(1e-6),
    "ijepa": ModelType(1e-12),
    "dinov2": ModelType(1e-6, has_ratio=True),
    "dinov2_with_registers": ModelType(1e-6, has_ratio=True, has_registers=True),
    "clip_vision_model": ModelType(1e-5, "quick_gelu", has_qkv_bias=False),
    "siglip_vision_model": ModelType(1e-6, "gelu_pytorch_tanh", has_qkv_bias=False),
}
WITH_TEXT = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}  # a part of their config.json is a ViT's
READ_TYPES = (*MODEL_TYPES, *WITH_TEXT)
KNOWN_TYPES = "vit, deit, vit_mae, vit_msn, ijepa, dinov2, clip and siglip"  # in messages
HEADS, IMAGE_SIZE = 12, 224  # of every type
OTHER_PROBLEMS = {"multi_label_classification": "several labels an image", "regression": "numbers, not labels"}


def is_config(content: Mapping[str, Any]) -> bool:
    """Return whether a `config.json` with this content names a type of model, or sizes by transformers' names."""
    return "model_type" in content or {"hidden_size", "num_attention_heads"} <= content.keys()


def read_model_config(config: JsonObject) -> Sidecar:
    """Return what the `config.json` of a model says.

    Args:
        config: the file.

    Raises:
        CheckpointError: for a value that makes no sense, a type of model that minivit does not read, or arithmetic
            that it does not have.
    """
    model_type = config.word("model_type")
    if model_type not in (*READ_TYPES, None):
        raise CheckpointError(
            f"{printable(config.path)}: minivit does not read models of type {quoted(model_type)}; of transformers' "
            f"types it reads {KNOWN_TYPES}"
        )
    trained_for = OTHER_PROBLEMS.get(str(config.content.get("problem_type")))
    if trained_for is not None:
        notice(
            f"{printable(config.path)}: trained for {trained_for} (problem_type): predict's probabilities are a "
            "softmax, of one label an image"
        )
    vision = _vision_part(config) if model_type in WITH_TEXT else config
    defaults = MODEL_TYPES.get(WITH_TEXT.get(model_type or "", model_type or ""))
    if defaults is not None:
        vision = _with_defaults(vision, defaults)
    _refuse_other_arithmetic(vision, config)
    act = vision.word("hidden_act")
    return Sidecar(
        source=CONFIG,
        model_type=model_type,
        heads=vision.integer("num_attention_heads"),
        image_size=vision.image_size("image_size"),
        gelu=ACTIVATIONS[act] if act else None,
        norm_eps=vision.number("layer_norm_eps"),
        layer_scale=_layer_scale(vision) if defaults and defaults.has_ratio else None,
        sizes=_sizes(vision, defaults),
        classes=said_classes(config, "id2label"),
    )


def _vision_part(config: JsonObject) -> JsonObject:
    """Return the part of a model of images and texts that describes the ViT."""
    older = config.part("vision_config_dict")  # CLIP's first files have it, and transformers prefers it
    return older if older.content else config.part("vision_config")


def _with_defaults(config: JsonObject, defaults: ModelType) -> JsonObject:
    values: dict[str, Any] = {
        "num_attention_heads": HEADS, "image_size": IMAGE_SIZE, "hidden_act": defaults.hidden_act,
        "layer_norm_eps": defaults.norm_eps,
    }  # fmt: skip
    return JsonObject(config.path, values | {k: v for k, v in config.content.items() if v is not None})


def _refuse_other_arithmetic(vision: JsonObject, config: JsonObject) -> None:
    """Raise CheckpointError for a value that asks for what minivit does not compute."""
    path = printable(vision.path)
    act = vision.word("hidden_act")
    if act is not None and act not in ACTIVATIONS:
        raise CheckpointError(f"{path}: hidden_act {quoted(act)} is not one of {', '.join(ACTIVATIONS)}")
    pooler = vision.word("pooler_act")
    if pooler not in ("tanh", None):
        raise CheckpointError(f"{path}: pooler_act must be 'tanh', not {quoted(pooler)}")
    names = config.content.get("architectures")
    is_backbone = isinstance(names, list) and any(str(name).endswith("Backbone") for name in names)
    if is_backbone and vision.content.get("apply_layernorm") is False:
        raise CheckpointError(f"{path}: apply_layernorm must be true, not false: minivit normalises a model's features")


def _sizes(config: JsonObject, defaults: ModelType | None) -> dict[str, Any]:
    """Return the fields of minivit's configuration that the arrays show too."""
    sizes: dict[str, Any] = {ours: config.integer(theirs) for theirs, ours in SIZES.items() if theirs in config}
    if "num_hidden_layers" in config:
        sizes["depth"] = config.count("num_hidden_layers")
    if (sides := config.image_size("patch_size")) is not None and sides[0] == sides[1]:
        sizes["patch_size"] = sides[0]  # the arrays show that other patches are not square
    if defaults is None:
        return sizes
    if defaults.has_qkv_bias and "qkv_bias" in config:
        sizes["qkv_bias"] = config.flag("qkv_bias")
    if defaults.has_registers and "num_register_tokens" in config:
        sizes["registers"] = config.count("num_register_tokens")
    if defaults.has_ratio:
        sizes.pop("mlp_dim", None)
        if "use_swiglu_ffn" in config:
            sizes["gated_mlp"] = config.flag("use_swiglu_ffn")
        ratio = config.ratio("mlp_ratio")
        if ratio is not None:
            sizes["mlp_dim"] = mlp_width(config.integer("hidden_size") or HIDDEN_SIZE, ratio, sizes.get("gated_mlp"))
    return sizes


def mlp_width(dim: int, ratio: float, gated: bool | None) -> int:
    """Return the hidden width of DINOv2's MLP, as transformers computes it.

    Args:
        dim: the width of a token.
        ratio: `mlp_ratio`.
        gated: whether it is a SwiGLU, which gets two thirds of the width, rounded up to a multiple of 8.
    """
    width = int(dim * ratio)
    return (int(width * 2 / 3) + 7) // 8 * 8 if gated else width


def _layer_scale(config: JsonObject) -> float | None:
    """Return the initial factor of LayerScale; None for one that minivit does not draw, since the arrays replace it."""
    start: Any = config.content.get("layerscale_value")
    return float(start) if is_number(start) and 0 < start <= 1 else None
