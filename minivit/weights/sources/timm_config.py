"""The `config.json` of timm, written: the architecture and the arguments with which timm makes the same model.

timm takes an architecture's name and changes to its arguments. What JSON cannot say, an epsilon or a kind of MLP, is
chosen by the name of an architecture that has it.
"""

from __future__ import annotations

import math
from typing import Any

from ...errors import ConfigError
from ...models.classifier import Classifier
from ...models.configs import AnyConfig, ViTConfig
from ...preprocessing import Preprocessing, preprocessing_in
from ...utils.notices import notice
from .sidecar import fitting_classes

ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_tanh", "quick": "quick_gelu", "relu": "relu"}
POOLING = {"token": "token", "gap": "avg", "map": "map"}
CROP_MODES = {"exact": "squash", "shortest": "center", "cover": "center", "none": "center"}

# Plain architectures: D, L, heads, MLP width, and the sizes of patches that timm has a name for.
PLAIN = {
    "tiny": (192, 12, 3, 768, (16,)), "small": (384, 12, 6, 1536, (8, 16, 32)),
    "base": (768, 12, 12, 3072, (8, 16, 32)),
    "large": (1024, 24, 16, 4096, (14, 16, 32)), "huge": (1280, 32, 16, 5120, (14,)),
}  # fmt: skip
USUAL, WITH_EPS_OF_CLIP = "vit_base_patch16_224", "vit_base_patch16_clip_224"
DISTILLED, GATED = "deit_tiny_distilled_patch16_224", "vit_giant_patch14_dinov2"


def check_timm_has(config: AnyConfig) -> None:
    """Raise ConfigError if a model has a part that timm's ViTs do not, or that its files cannot say.

    Args:
        config: the model's configuration.
    """
    if not isinstance(config, ViTConfig):
        raise ConfigError(
            "timm's layout is for Vision Transformers, and this model is a ResNet: save it in Google's layout"
        )
    c = config
    lacking = {
        "a backbone": c.backbone is not None,
        f"{c.positions} positions": c.positions not in ("learned", "none"),
        f"positions at {c.positions_at!r}": c.positions_at != "stem",
        f"classifier={c.classifier!r}": c.classifier not in POOLING,
        "a class token beside attention pooling": c.classifier == "map" and c.has_class_token,
        "RMSNorm": c.norm != "layer",
        "a norm of each patch's embedding": c.patch_norm,
        "another MLP width in attention pooling": c.classifier == "map" and _pooling_width(c) != _first_width(c),
        "a hidden layer before the head": c.representation is not None,
        "registers beside distillation": c.distillation and c.registers > 0,
        "no positions for its two class tokens": c.distillation and c.num_positions != c.num_tokens,
    }
    for part, lacks in lacking.items():
        if lacks:
            raise ConfigError(f"this model has {part}, which timm's ViTs do not have: save it in minivit's layout")
    usual = c.distillation or c.gated_mlp
    if c.norm_eps not in ((1e-6,) if usual else (1e-6, 1e-5)) or (c.distillation and c.gated_mlp):
        raise ConfigError(
            f"timm's files cannot say norm_eps={c.norm_eps:g} for such a model: load the weights with norm_eps=1e-6 "
            "(--eps 1e-6), if that is near enough, and export those"
        )


def timm_config(model: Classifier) -> dict[str, Any]:
    """Return the content of timm's `config.json` for a model, as JSON values.

    Args:
        model: the model; its header says how images are prepared, and the names of its classes.

    Raises:
        ConfigError: if the model has a part that timm's ViTs do not have.
    """
    check_timm_has(model.config)
    config: ViTConfig = model.config  # type: ignore[assignment]
    content: dict[str, Any] = {
        "architecture": architecture_for(config),
        "num_classes": config.num_classes,
        "num_features": config.dim,
        "global_pool": POOLING[config.classifier],
        "model_args": _arguments(config),
        "pretrained_cfg": _pretrained(model, config),
    }
    if names := fitting_classes(model.header, config.num_classes):
        content["label_names"] = names
    return content


def architecture_for(config: ViTConfig) -> str:
    """Return the name of timm's architecture that is nearest; `model_args` say the rest."""
    if config.distillation:
        return DISTILLED
    if config.gated_mlp:
        return GATED
    if config.norm_eps == 1e-5:
        return WITH_EPS_OF_CLIP
    for word, (dim, depth, heads, mlp_dim, patches) in PLAIN.items():
        same = (config.dim, config.depth, config.heads, config.mlp_dim) == (dim, depth, heads, mlp_dim)
        if same and config.patch_size in patches:
            return f"vit_{word}_patch{config.patch_size}_224"
    return USUAL


def _arguments(config: ViTConfig) -> dict[str, Any]:
    """Return the arguments with which timm makes the model, whatever the architecture has."""
    c, first = config, _first_width(config)
    ratio = first / c.dim if int(first / c.dim * c.dim) == first else (first + 0.5) / c.dim  # timm rounds down
    return {
        "img_size": list(c.image_shape[:2]), "patch_size": c.patch_size, "in_chans": c.channels,
        "num_classes": c.num_classes, "embed_dim": c.dim, "depth": c.depth, "num_heads": c.heads, "mlp_ratio": ratio,
        "qkv_bias": c.qkv_bias, "qk_norm": c.qk_norm, "class_token": c.has_class_token,
        "init_values": c.layer_scale or 0.0,  # timm takes null for the architecture's
        "pos_embed": "none" if c.positions == "none" else "learn",
        "no_embed_class": c.num_positions < c.num_tokens, "reg_tokens": c.registers,
        "pre_norm": c.embedding_norm, "final_norm": c.final_norm, "fc_norm": c.pool_before_norm,
        "scale_attn_norm": c.inner_norm, "scale_mlp_norm": c.inner_norm,
        "global_pool": POOLING[c.classifier],
    } | ({} if c.gated_mlp else {"act_layer": ACTIVATIONS[c.gelu]})  # fmt: skip


def _pretrained(model: Classifier, config: ViTConfig) -> dict[str, Any]:
    """Return how images are prepared, and which arrays a new head replaces.

    A notice says where timm has no such way to resize them.
    """
    images = preprocessing_in(model.header)
    height, width, channels = config.image_shape
    h, w = images.resized_to(height, width)
    lacks = {"none": "leaves images unresized", "shortest": "resizes the shorter side for images of a rectangle"}
    if images.resize == "none" or (images.resize == "shortest" and height != width):
        notice(f"timm has no transform that {lacks[images.resize]}: config.json resizes them to cover {h} x {w} pixels")
    return {
        "num_classes": config.num_classes, "input_size": [channels, height, width], "fixed_input_size": True,
        "mean": for_each_channel(images.mean, channels), "std": for_each_channel(images.std, channels),
        "interpolation": images.interpolation, "crop_pct": _crop_pct(images, height, width),
        "crop_mode": CROP_MODES[images.resize],
        "first_conv": "patch_embed.proj", "classifier": ["head", "head_dist"] if config.distillation else "head",
    }  # fmt: skip


def _crop_pct(images: Preprocessing, height: int, width: int) -> float:
    """Return the share of a crop with which timm, which rounds down, resizes images to the same number of pixels.

    224 / (224 / 400) is 399.99999999999994, which timm takes for 399.

    Args:
        images: how they are prepared.
        height, width: of the model's images, in pixels.
    """
    resized = images.resized_to(height, width)
    sides = [(side, wanted) for side, wanted in zip((height, width), resized, strict=True) if wanted]
    share = min(images.crop_share, *(side / wanted for side, wanted in sides))
    while any(math.floor(side / share) < wanted for side, wanted in sides):
        share = math.nextafter(share, 0.0)
    return share


def for_each_channel(values: tuple[float, ...], channels: int) -> list[float]:
    """Return a mean or a standard deviation as a list with one number for each channel."""
    return list(values) if len(values) == channels else [values[0]] * channels


def _first_width(config: ViTConfig) -> int:
    """Return the outputs of the MLP's first layer: a SwiGLU's are two for each hidden number."""
    return 2 * config.mlp_dim if config.gated_mlp else config.mlp_dim


def _pooling_width(config: ViTConfig) -> int:
    return config.pooling_mlp_dim or config.mlp_dim
