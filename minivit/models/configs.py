"""The sizes of the paper's Table 1, with its small relatives, under the names of the published files."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..engine.fused import GELU_FORMS
from ..errors import ConfigError

if TYPE_CHECKING:
    from .vit import ViT


MICROBATCH_ELEMENTS = 330_000


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Everything that determines a Vision Transformer's shape and arithmetic.

    Args:
        image_size: pixels; one number for a square image or (height, width).
        patch_size: P, pixels; must divide both sides.
        dim: D, the width of a token.
        depth: L, the number of encoder blocks.
        heads: attention heads; must divide `dim`.
        mlp_dim: the MLP's hidden width.
        num_classes: K.
        channels: C, of the image.
        dropout: the rate at the paper's four places (appendix B.1): after adding the positions, after the
            attention's output, after GELU and after the MLP's second layer.
        attention_dropout: the rate for attention weights, 0 in all published models.
        representation: the width of the pre-training head's hidden tanh layer (`pre_logits`), None for none.
        gelu: "tanh" (Google's) or "erf" (exact, PyTorch's).
        norm_eps: added to the variance in LayerNorm.

    Raises:
        ConfigError: if the numbers do not fit together.
    """

    image_size: int | tuple[int, int] = 224
    patch_size: int = 16
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    num_classes: int = 1000
    channels: int = 3
    dropout: float = 0.0
    attention_dropout: float = 0.0
    representation: int | None = None
    gelu: str = "tanh"
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("patch_size", "dim", "heads", "mlp_dim", "num_classes", "channels"):
            value = getattr(self, name)
            _check(_is_whole(value, 1), f"{name} must be a whole number of 1 or more", value)
        _check(_is_whole(self.depth, 0), "depth must be a whole number of 0 or more", self.depth)
        rep = self.representation
        _check(rep is None or _is_whole(rep, 1), "representation must be None or a whole number of 1 or more", rep)
        sides = self.image_size if isinstance(self.image_size, tuple | list) else (self.image_size, self.image_size)
        good = len(sides) == 2 and all(_is_whole(side, 1) for side in sides)
        _check(good, "image_size must be a whole number of pixels or a pair (height, width)", self.image_size)
        if isinstance(self.image_size, list):
            object.__setattr__(self, "image_size", tuple(self.image_size))
        fits = all(side % self.patch_size == 0 for side in sides)
        _check(fits, f"patches of {self.patch_size} pixels must divide the image size", self.image_size)
        _check(self.dim % self.heads == 0, f"heads must divide dim = {self.dim}", self.heads)
        for name in ("dropout", "attention_dropout"):
            rate = getattr(self, name)
            _check(_is_number(rate) and 0.0 <= rate < 1.0, f"{name} must be at least 0 and below 1", rate)
        _check(self.gelu in tuple(GELU_FORMS), f"gelu must be one of {', '.join(map(repr, GELU_FORMS))}", self.gelu)
        _check(_is_number(self.norm_eps) and self.norm_eps > 0, "norm_eps must be above 0", self.norm_eps)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        sides = self.image_size if isinstance(self.image_size, tuple) else (self.image_size, self.image_size)
        return (*sides, self.channels)

    @property
    def grid(self) -> tuple[int, int]:
        """How many patches fit into the height and the width."""
        height, width, _ = self.image_shape
        return height // self.patch_size, width // self.patch_size

    @property
    def num_patches(self) -> int:
        """N = H W / P²."""
        return self.grid[0] * self.grid[1]


def default_microbatch(config: ViTConfig, batch_size: int) -> int:
    """How many images make one thread's pass, whatever the number of threads: from 1 to 32.

    A pass of few numbers is bound by the calls, one of many leaves the cache and needs memory: tokens times D is kept
    near 300,000. Images/s with 16 and 32 images: ViT-XS_4-CIFAR 1 : 1.13, ViT-Ti_4-CIFAR 1 : 1.00. A batch makes
    four passes at least, so that four threads have work.
    """
    images = MICROBATCH_ELEMENTS // ((config.num_patches + 1) * config.dim)
    return min(32, 2 ** max(0, images.bit_length() - 1), max(1, math.ceil(batch_size / 4)))


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check(good: bool, rule: str, value: object) -> None:
    if not good:
        raise ConfigError(f"{rule}, not {value!r}")


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

CONFIGS = {
    f"ViT-{size}_{patch}": ViTConfig(patch_size=patch, **sizes)
    for size, sizes in SIZES.items()
    for patch in PATCH_SIZES
} | {
    f"ViT-{size}_4-CIFAR": ViTConfig(image_size=32, patch_size=4, num_classes=10, **sizes)
    for size, sizes in SMALL_SIZES.items()
}  # fmt: skip
CONFIGS = {name: c for name, c in CONFIGS.items() if all(side % c.patch_size == 0 for side in c.image_shape[:2])}
MODEL_NAMES = tuple(CONFIGS)


def model_config(name: str, **changes: Any) -> ViTConfig:
    """The configuration called `name`, with some fields changed.

    Raises:
        ConfigError: for an unknown name (the nearest known ones are suggested) or fields that do not fit.
    """
    if name not in CONFIGS:
        near = difflib.get_close_matches(name, MODEL_NAMES, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the known ones are {', '.join(MODEL_NAMES)}"
        raise ConfigError(f"unknown model {name!r}: {hint}")
    try:
        return replace(CONFIGS[name], **changes)
    except TypeError as error:
        unknown = sorted(set(changes) - set(ViTConfig.__dataclass_fields__))
        raise ConfigError(f"unknown model option {', '.join(unknown)}") from error


def create_model(name: str, *, seed: int | None = 0, **changes: Any) -> ViT:
    """A freshly initialised model: `create_model("ViT-B_16", num_classes=1000, image_size=224)`.

    Args:
        name: one of `MODEL_NAMES`.
        seed: of the initial weights; None leaves them at zero, for weights from a file.
        changes: fields of `ViTConfig` that differ from the named configuration's.

    Raises:
        ConfigError: as `model_config`.
    """
    from .vit import ViT

    return ViT(model_config(name, **changes), seed=seed)
