"""Models by name: the sizes of the paper's Table 1, their small relatives, and how a name becomes a network."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal, overload

from ..errors import ConfigError, OutOfMemory
from ..utils.text import printable, quoted, suggestion
from .classifier import Classifier
from .configs import AnyConfig, ResNetConfig, ViTConfig
from .resnet import ResNet
from .vit import ViT

# ViT Table 1 (B, L, H); Ti and S are the sizes published with the authors' code (arXiv 2106.10270).
SIZES: dict[str, dict[str, Any]] = {
    "Ti": {"dim": 192, "depth": 12, "heads": 3, "mlp_dim": 768},
    "S": {"dim": 384, "depth": 12, "heads": 6, "mlp_dim": 1536},
    "B": {"dim": 768, "depth": 12, "heads": 12, "mlp_dim": 3072},
    "L": {"dim": 1024, "depth": 24, "heads": 16, "mlp_dim": 4096},
    "H": {"dim": 1280, "depth": 32, "heads": 16, "mlp_dim": 5120},
}
PATCH_SIZES = (8, 14, 16, 32)

# For 32-pixel images: 8 x 8 patches of 4 pixels.
SMALL_SIZES: dict[str, dict[str, Any]] = {
    "XS": {"dim": 64, "depth": 4, "heads": 2, "mlp_dim": 128},
    "Ti": {"dim": 192, "depth": 6, "heads": 3, "mlp_dim": 768},
}

# For images of other sizes, which a laptop trains: 64 to 196 patches. Attention costs the square of their number.
SMALL_PATCHES = {64: 8, 128: 16, 224: 16}  # pixels of an image's side and of a patch's

# The published hybrids (ViT §3.1): a ResNet's feature map instead of the image, under the names of their files.
HYBRIDS: dict[str, tuple[str, dict[str, Any]]] = {
    "R+ViT-Ti_16": ("Ti", {"backbone": (), "patch_size": 8}),
    "R26+ViT-S_32": ("S", {"backbone": (2, 2, 2, 2), "patch_size": 1}),
    "R26+ViT-B_32": ("B", {"backbone": (2, 2, 2, 2), "patch_size": 1}),
    "R50+ViT-B_16": ("B", {"backbone": (3, 4, 9), "patch_size": 1}),
    "R50+ViT-L_32": ("L", {"backbone": (3, 4, 6, 3), "patch_size": 1}),
}

# ViT §4.1's baseline, "ResNet (BiT)".
RESNETS = {"R50": (3, 4, 6, 3), "R101": (3, 4, 23, 3), "R152": (3, 8, 36, 3)}
SMALL_RESNETS = {"R14": (2, 2), "R20": (2, 2, 2)}  # for 32-pixel images: units of three convolutions

VITS: dict[str, ViTConfig] = {
    f"ViT-{size}_{patch}": ViTConfig(patch_size=patch, **sizes)
    for size, sizes in SIZES.items()
    for patch in PATCH_SIZES
    if 224 % patch == 0
}
CONFIGS: dict[str, AnyConfig] = {
    **VITS,
    **{name: ViTConfig(**SIZES[size], **changes) for name, (size, changes) in HYBRIDS.items()},
    **{
        f"BiT-{depth}x{factor}": ResNetConfig(units=units, width=64 * factor)
        for depth, units in RESNETS.items()
        for factor in (1, 2, 3, 4)
    },
    **{
        f"ViT-{size}_4-CIFAR": ViTConfig(image_size=32, patch_size=4, num_classes=10, **sizes)
        for size, sizes in SMALL_SIZES.items()
    },
    **{
        f"ViT-{size}_{patch}-{image}px": ViTConfig(image_size=image, patch_size=patch, num_classes=10, **sizes)
        for image, patch in SMALL_PATCHES.items()
        for size, sizes in SMALL_SIZES.items()
    },
    "R+ViT-XS_4-CIFAR": ViTConfig(
        image_size=32, patch_size=1, num_classes=10, backbone=(), backbone_width=32, **SMALL_SIZES["XS"]
    ),
    **{
        f"BiT-{depth}-CIFAR": ResNetConfig(image_size=32, units=units, width=32, num_classes=10, stem="small")
        for depth, units in SMALL_RESNETS.items()
    },
}
# The names that `create_model` takes.
MODEL_NAMES = tuple(CONFIGS)

# The same names for editors, which complete them, and for type checkers, which then know the network.
ViTName = Literal[
    "ViT-Ti_8", "ViT-Ti_14", "ViT-Ti_16", "ViT-Ti_32", "ViT-S_8", "ViT-S_14", "ViT-S_16", "ViT-S_32", "ViT-B_8",
    "ViT-B_14", "ViT-B_16", "ViT-B_32", "ViT-L_8", "ViT-L_14", "ViT-L_16", "ViT-L_32", "ViT-H_8", "ViT-H_14",
    "ViT-H_16", "ViT-H_32", "R+ViT-Ti_16", "R26+ViT-S_32", "R26+ViT-B_32", "R50+ViT-B_16", "R50+ViT-L_32",
    "ViT-XS_4-CIFAR", "ViT-Ti_4-CIFAR", "ViT-XS_8-64px", "ViT-Ti_8-64px", "ViT-XS_16-128px", "ViT-Ti_16-128px",
    "ViT-XS_16-224px", "ViT-Ti_16-224px", "R+ViT-XS_4-CIFAR",
]  # fmt: skip
ResNetName = Literal[
    "BiT-R50x1", "BiT-R50x2", "BiT-R50x3", "BiT-R50x4", "BiT-R101x1", "BiT-R101x2", "BiT-R101x3", "BiT-R101x4",
    "BiT-R152x1", "BiT-R152x2", "BiT-R152x3", "BiT-R152x4", "BiT-R14-CIFAR", "BiT-R20-CIFAR",
]  # fmt: skip


def model_config(name: str, **changes: Any) -> AnyConfig:
    """Return the configuration called `name`, with some fields changed.

    Args:
        name: one of `MODEL_NAMES`.
        **changes: fields of `ViTConfig` (or `ResNetConfig`) that differ from the named configuration's.

    Raises:
        ConfigError: for an unknown name (the nearest known ones are suggested) or fields that do not fit.
    """
    if name not in CONFIGS:
        raise ConfigError(f"unknown model {quoted(name)}: {_suggested_model(name)}")
    config = CONFIGS[name]
    if unknown := sorted(set(changes) - set(config.__dataclass_fields__)):
        for kind, theirs in (("Vision Transformers", ViTConfig), ("ResNets", ResNetConfig)):
            if unknown[0] in theirs.__dataclass_fields__:
                raise ConfigError(f"{unknown[0]} is for {kind}, not {name}")
        hint = suggestion(unknown[0], config.__dataclass_fields__)
        raise ConfigError(f"unknown model option {', '.join(unknown)}: {hint}")
    return replace(config, **changes)


def _suggested_model(name: str) -> str:
    """Return a hint: the model that a name may mean, also for names of timm, transformers and torchvision."""
    found = re.search(r"(tiny|small|base|large|huge)[-_]patch(\d+)", name, re.IGNORECASE)
    size = {"tiny": "Ti", "small": "S", "base": "B", "large": "L", "huge": "H"}
    if found and (ours := f"ViT-{size[found[1].lower()]}_{found[2]}") in CONFIGS:
        return f"did you mean {ours}?"
    if found := re.fullmatch(r"(wide_)?resnet(\d+).*", name, re.IGNORECASE):
        near = f"BiT-R{found[2]}x1"
        return f"did you mean {near if near in CONFIGS else ' or '.join(f'BiT-{one}-CIFAR' for one in SMALL_RESNETS)}?"
    return suggestion(name, MODEL_NAMES, "minivit info")


def model_for_image_size(size: int) -> str:
    """Return the name of a small model for images of `size` pixels, in height and width.

    It is the one made for the nearest size, if its patches divide `size` and are 7 or more to a side; or else
    `ViT-XS_4-CIFAR`, which has the smallest patches.
    """
    for side in sorted(SMALL_PATCHES, key=lambda side: abs(side - size)):
        patch = SMALL_PATCHES[side]
        if size % patch == 0 and size // patch >= 7:
            return f"ViT-XS_{patch}-{side}px"
    return "ViT-XS_4-CIFAR"


def mlp_width(name: str, dim: int | None, ratio: float | None) -> dict[str, int]:
    """Return the width of the MLP, as a change of a named model whose tokens have another width.

    Args:
        name: one of `MODEL_NAMES`; another one is refused by `model_config`, and so is a ResNet, which has no MLP.
        dim: the new width of a token; None for the model's.
        ratio: the MLP's width over that of a token; None for the model's.
    """
    config = CONFIGS.get(name)
    if not isinstance(config, ViTConfig):
        return {"mlp_dim": 1}
    return {"mlp_dim": max(1, round((dim or config.dim) * (ratio or config.mlp_dim / config.dim)))}


def build(config: AnyConfig, seed: int | None = 0) -> Classifier:
    """Return the network of a configuration.

    Args:
        config: the configuration.
        seed: of the initial weights; None leaves them at zero, for weights from a file.

    Raises:
        OutOfMemory: if its parameters do not fit into the memory.
        ConfigError: if it has an array that is larger than NumPy can make.
    """
    advice = "choose a smaller image size or number of classes"
    try:
        return ViT(config, seed=seed) if isinstance(config, ViTConfig) else ResNet(config, seed=seed)
    except ConfigError:
        raise
    except MemoryError as error:
        raise OutOfMemory(f"the model needs more memory: {printable(error, 90)}; {advice}") from error
    except (OverflowError, ValueError) as error:
        raise ConfigError(f"the model is too large for any memory: {printable(error, 90)}; {advice}") from error


@overload
def create_model(name: ViTName, *, seed: int | None = 0, **changes: Any) -> ViT: ...
@overload
def create_model(name: ResNetName, *, seed: int | None = 0, **changes: Any) -> ResNet: ...
@overload
def create_model(name: str, *, seed: int | None = 0, **changes: Any) -> Any: ...
def create_model(name: str, *, seed: int | None = 0, **changes: Any) -> Any:
    """Return a freshly initialised model: `create_model("ViT-B_16", num_classes=1000, image_size=224)`.

    Args:
        name: one of `MODEL_NAMES`.
        seed: of the initial weights; None leaves them at zero, for weights from a file.
        **changes: fields of `ViTConfig` (or `ResNetConfig`) that differ from the named configuration's.

    Returns:
        A `ViT`, or for a name with BiT a `ResNet`.

    Raises:
        ConfigError: for an unknown name, or fields that do not fit.
        OutOfMemory: if the parameters do not fit into the memory.
    """
    return build(model_config(name, **changes), seed)
