"""Which class of Hugging Face transformers a model is written for, and the `config.json` that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from ...models.configs import AnyConfig, ViTConfig
from .huggingface_config import mlp_width
from .slots import ANY_VALUE, refuse_other_parts

ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu", "relu": "relu"}
LARGEST_RATIO = 64  # of the MLP's width to a token's


@dataclass(frozen=True)
class TransformersClass:
    """A class of transformers.

    Attributes:
        name: such as "ViTForImageClassification".
        model_type: the type, as `config.json` says it.
        wrapper: the prefix of the arrays' names, except the classifiers': "vit." or "".
    """

    name: str
    model_type: str
    wrapper: str


def transformers_class_of(config: AnyConfig) -> TransformersClass:
    """Return the class of transformers that computes what a model does.

    Args:
        config: the model's configuration.

    Raises:
        ConfigError: if there is none; the part that no class has is named.
    """
    if not isinstance(config, ViTConfig):
        raise ConfigError("Hugging Face's layout is for Vision Transformers, and this model is a ResNet")
    c = config
    if c.layer_scale is not None:
        family, model_type = ("Dinov2WithRegisters", "dinov2_with_registers") if c.registers else ("Dinov2", "dinov2")
        parts: dict[str, Any] = {
            "layer_scale": ANY_VALUE, "gated_mlp": (True,), "classifier": ("token_gap",), "registers": ANY_VALUE,
            "positions_for": ("class",) if c.registers else (),
        }  # fmt: skip
    elif c.distillation or (c.registers, c.positions_for) == (1, "all"):
        family, model_type, parts = "DeiT", "deit", {"distillation": (True,), "registers": (1,)}
    elif c.classifier == "gap":
        family, model_type, parts = "IJepa", "ijepa", {"classifier": ("gap",)}
    else:
        family, model_type, parts = "ViT", "vit", {}
    if not c.num_classes and family in ("ViT", "DeiT"):
        parts["representation"] = ANY_VALUE  # the pooler of a class without classifier
    refuse_other_parts(c, f"Hugging Face's {family}", channels=ANY_VALUE, qkv_bias=(False,), drop_rest=(True,), **parts)
    _refuse_combinations(c, family)
    if not c.num_classes:
        return TransformersClass(f"{family}Model", model_type, "")
    end = "ForImageClassificationWithTeacher" if c.distillation else "ForImageClassification"
    return TransformersClass(f"{family}{end}", model_type, f"{model_type}.")


def _refuse_combinations(config: ViTConfig, family: str) -> None:
    """Raise ConfigError for parts that a class has, but not together."""
    c, layout = config, f"Hugging Face's {family}"
    if c.layer_scale is not None:
        if (c.classifier == "token_gap") != bool(c.num_classes):
            has = f"classifier={c.classifier!r} with {c.num_classes} classes"
            raise ConfigError(f"{layout} classifies from 'token_gap', and without classes is 'token': it has not {has}")
        if c.registers and c.positions_for != "class":
            raise ConfigError(f"{layout} has no positions for registers: it has not positions_for='all'")
        _mlp_ratio(c)
    if c.distillation and (c.registers or not c.num_classes):
        raise ConfigError(f"{layout} has two heads and no registers: it has not num_classes=0 or registers")


def _mlp_ratio(config: ViTConfig) -> int:
    """Return the ratio of the MLP's width that DINOv2's `config.json` must say."""
    for ratio in range(1, LARGEST_RATIO + 1):
        if mlp_width(config.dim, ratio, config.gated_mlp) == config.mlp_dim:
            return ratio
    raise ConfigError(
        f"Hugging Face's DINOv2 has MLPs as wide as a token times an integer: it has not mlp_dim={config.mlp_dim} for "
        f"dim={config.dim}"
    )


def config_json(config: ViTConfig, classes: Sequence[str] | None) -> dict[str, Any]:
    """Return the `config.json` of a model, as transformers writes it.

    Args:
        config: the model's configuration.
        classes: the names of the classes; None for numbers.

    Raises:
        ConfigError: as `transformers_class_of` does.
    """
    written = transformers_class_of(config)
    c = config
    height, width, channels = c.image_shape
    values: dict[str, Any] = {
        "architectures": [written.name], "model_type": written.model_type, "hidden_size": c.dim,
        "num_hidden_layers": c.depth, "num_attention_heads": c.heads, "hidden_act": ACTIVATIONS[c.gelu],
        "layer_norm_eps": c.norm_eps, "image_size": height if height == width else [height, width],
        "patch_size": c.patch_size, "num_channels": channels, "qkv_bias": c.qkv_bias,
        "hidden_dropout_prob": c.dropout, "attention_probs_dropout_prob": c.attention_dropout,
    }  # fmt: skip
    if c.layer_scale is not None:
        values |= {
            "mlp_ratio": _mlp_ratio(c), "use_swiglu_ffn": c.gated_mlp, "layerscale_value": c.layer_scale,
            "drop_path_rate": c.stochastic_depth,
        }  # fmt: skip
        values |= {"num_register_tokens": c.registers} if c.registers else {"use_mask_token": False}
    else:
        values["intermediate_size"] = c.mlp_dim
    if c.representation is not None:
        values |= {"pooler_output_size": c.representation, "pooler_act": "tanh"}
    if c.num_classes:
        names = list(classes or (f"LABEL_{k}" for k in range(c.num_classes)))
        values["id2label"] = {str(k): name for k, name in enumerate(names)}
        values["label2id"] = {name: k for k, name in enumerate(names)}
    return values
