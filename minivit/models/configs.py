"""Configurations: every size and option that determines a network. This file imports no network."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.fused import GELU_FORMS
from ..errors import ConfigError
from ..utils.aliases import old_names
from ..utils.text import did_you_mean, quoted

CLASSIFIERS = ("token", "gap", "map", "token_gap")
OTHER_ACTIVATIONS = ("quick", "relu")  # besides the forms of GELU
POSITIONS_FOR = ("all", "class", "patches")
POSITIONS = ("learned", "learned2d", "sincos2d", "relative", "none")
NORMS = ("layer", "rms")
FLAGS = (
    "distillation", "embedding_norm", "qkv_bias", "qk_norm", "gated_mlp", "final_norm", "drop_rest", "patch_norm",
    "inner_norm",
)  # fmt: skip
PLACES = ("stem", "every", "shared")
STEMS = ("imagenet", "small")


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Everything that determines a Vision Transformer's shape and arithmetic.

    Args:
        image_size: pixels; one number for a square image, or (height, width).
        patch_size: P, pixels; must divide both sides, unless `drop_rest`. In a hybrid, cells of the backbone's feature
            map.
        dim: D, the width of a token.
        depth: L, the number of encoder blocks.
        heads: attention heads; must divide `dim`.
        mlp_dim: the MLP's hidden width.
        num_classes: K; with 0 the model has no head and returns its representation.
        channels: C, of the image.
        dropout: the rate at the paper's four places (appendix B.1): after adding the positions, after the
            attention's output, after GELU and after the MLP's second layer.
        attention_dropout: the rate for attention weights, 0 in all published models.
        representation: the width of the pre-training head's hidden tanh layer (`pre_logits`); None for no such layer.
        gelu: the MLP's activation: "tanh" (Google's GELU) or "erf" (exact, PyTorch's); "quick" (CLIP's) or "relu".
        norm_eps: added to the variance in LayerNorm.
        classifier: what the head reads: the class "token"; "gap", the mean of all patch tokens; "map", what a learned
            query gathers from them by attention; or "token_gap", class token and mean side by side (arXiv 2304.07193).
        class_token: whether there is a class token; None for "if the head reads it".
        pool_before_norm: with "gap", the final LayerNorm acts on the mean instead of on the tokens (timm's `fc_norm`).
        positions: "learned" (1-D, the paper's choice), "learned2d", "relative", "sincos2d" or "none" (Table 8).
        positions_at: where they are added: at the "stem", new ones in "every" block, or the same "shared" by all blocks
            (Table 8).
        backbone: for a hybrid, the number of units in each stage of its ResNet; () is a ResNet's root alone.
        backbone_width: channels of the backbone's root; published hybrids have 64.
        distillation: a second class token follows the first, each with a head, and the logits are the mean of both
            heads' (DeiT, arXiv 2012.12877).
        registers: R, the number of register tokens between the class token and the patches (arXiv 2309.16588).
        positions_for: which tokens get learned positions: "all"; "class", the patches and the class tokens, but not the
            registers (DINOv2); or "patches" alone (DeiT III, newer files of big_vision).
        embedding_norm: LayerNorm on the tokens before the first block (CLIP, arXiv 2103.00020).
        layer_scale: the initial factor of each column of a block's two residual branches (arXiv 2103.17239); None for
            branches without factors.
        qkv_bias: whether queries, keys and values have a bias.
        qk_norm: LayerNorm on each head's queries and keys (arXiv 2302.05442).
        gated_mlp: the MLP is a SwiGLU (arXiv 2002.05202): its first layer has twice `mlp_dim` outputs, and SiLU of one
            half is multiplied by the other; `gelu` is not used.
        stochastic_depth: the rate at which training leaves out the residual branches of the last block, for each image
            by itself; it rises linearly from 0 in the first block (arXiv 1603.09382).
        pooling_mlp_dim: the MLP's hidden width in the "map" classifier; None for `mlp_dim`.
        final_norm: whether LayerNorm follows the last block. Without it, the head reads the last block's tokens, as
            transformers' classifier on CLIP (arXiv 2103.00020) does.
        drop_rest: leave out the pixels at the bottom and the right that no patch covers, instead of refusing such an
            image size. SigLIP's SO400M (arXiv 2303.15343) has patches of 14 pixels and images of 384.
        norm: "layer" for LayerNorm; "rms" for RMSNorm (arXiv 1910.07467) in its place.
        patch_norm: a norm on each patch's embedding, before positions are added (AIMv2, arXiv 2411.14402).
        inner_norm: two more norms in each block, before the last layers of attention and MLP (arXiv 2210.06423).

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
    classifier: str = "token"
    class_token: bool | None = None
    pool_before_norm: bool = False
    positions: str = "learned"
    positions_at: str = "stem"
    backbone: tuple[int, ...] | None = None
    backbone_width: int = 64
    # Parts that the paper's models do not have:
    distillation: bool = False
    registers: int = 0
    positions_for: str = "all"
    embedding_norm: bool = False
    layer_scale: float | None = None
    qkv_bias: bool = True
    qk_norm: bool = False
    gated_mlp: bool = False
    stochastic_depth: float = 0.0
    pooling_mlp_dim: int | None = None
    final_norm: bool = True
    drop_rest: bool = False
    norm: str = "layer"
    patch_norm: bool = False
    inner_norm: bool = False

    def __post_init__(self) -> None:
        _check_integers(self, 1, "patch_size", "dim", "heads", "mlp_dim", "channels", "backbone_width")
        _check_integers(self, 0, "depth", "num_classes")
        self._check_image_and_backbone()
        self._check_tokens()
        if self.representation is not None:
            _check_integers(self, 1, "representation")
        if self.dim % self.heads:
            few = divisors(self.dim)[:7]
            would_do = ", ".join(map(quoted, few)) + " ..." * (few[-1] < self.dim)
            raise ConfigError(
                f"heads must divide dim = {quoted(self.dim)}, not {quoted(self.heads)}; {would_do} would do"
            )
        for name in ("dropout", "attention_dropout", "stochastic_depth"):
            rate = _python_number(self, name)
            _check(_is_number(rate) and 0.0 <= rate < 1.0, f"{name} must be at least 0 and below 1", rate)
        _check_one_of(self, "gelu", (*GELU_FORMS, *OTHER_ACTIVATIONS))
        eps = _python_number(self, "norm_eps")
        _check(_is_number(eps) and 0 < eps <= 1, "norm_eps must be above 0 and at most 1", eps)
        self._check_later_parts()

    def _check_image_and_backbone(self) -> None:
        object.__setattr__(self, "image_size", _image_size(self.image_size))
        if self.backbone is None:
            sides = self.image_shape[:2]
            fits = all(side >= self.patch_size if self.drop_rest else side % self.patch_size == 0 for side in sides)
            if not fits:
                near = sorted(
                    {max(1, side // self.patch_size + more) * self.patch_size for side in sides for more in (0, 1)}
                )
                known = divisors(math.gcd(*sides))
                below = [patch for patch in known if patch < self.patch_size][-1:]
                above = [patch for patch in known if patch > self.patch_size][:1]
                raise ConfigError(
                    f"patches of {quoted(self.patch_size)} pixels must divide the image size, not "
                    f"{quoted(self.image_size)}; {' or '.join(map(quoted, near))} would do, or patches of "
                    f"{' or '.join(map(quoted, below + above))}"
                )
            return
        good = isinstance(self.backbone, tuple | list) and all(_is_integer(units, 1) for units in self.backbone)
        _check(good, "backbone must be the units of each stage, integers of 1 or more", self.backbone)
        object.__setattr__(self, "backbone", tuple(map(operator.index, self.backbone)))
        good = self.backbone_width % 32 == 0
        _check(good, "backbone_width must be a multiple of 32, the groups of GroupNorm", self.backbone_width)
        _check(min(self.grid) >= 1, "the image size must leave the backbone's feature map one patch", self.image_size)

    def _check_tokens(self) -> None:
        _check_one_of(self, "classifier", CLASSIFIERS)
        is_flag = self.class_token is None or isinstance(self.class_token, bool)
        good = is_flag and not (self.reads_class_token and self.class_token is False)
        _check(good, "class_token must be True, False or None, and not False where the head reads it", self.class_token)
        flag = self.pool_before_norm
        _check(isinstance(flag, bool), "pool_before_norm must be True or False", flag)
        _check(not flag or self.classifier == "gap", "pool_before_norm is for classifier='gap'", self.classifier)
        _check_one_of(self, "positions", POSITIONS)
        _check_one_of(self, "positions_at", PLACES)
        good = self.positions_at == "stem" or self.positions not in ("none", "relative")
        _check(good, f"positions_at must be 'stem' with positions={self.positions!r}", self.positions_at)
        divisor = {"learned2d": 2, "sincos2d": 4}.get(self.positions, 1)
        _check(self.dim % divisor == 0, f"dim must be a multiple of {divisor} for {self.positions} positions", self.dim)

    def _check_later_parts(self) -> None:
        for name in FLAGS:
            flag = getattr(self, name)
            _check(isinstance(flag, bool), f"{name} must be True or False", flag)
        good = not self.distillation or (self.classifier == "token" and self.representation is None)
        _check(good, "distillation is for classifier='token' without a representation layer", self.classifier)
        _check_one_of(self, "norm", NORMS)
        _check(self.norm == "layer" or not self.qk_norm, "qk_norm is for norm='layer'", self.norm)
        _check_integers(self, 0, "registers")
        _check_one_of(self, "positions_for", POSITIONS_FOR)
        if self.layer_scale is not None:
            start = _python_number(self, "layer_scale")
            _check(_is_number(start) and 0 < start <= 1, "layer_scale must be above 0 and at most 1, or None", start)
        if self.pooling_mlp_dim is not None:
            _check_integers(self, 1, "pooling_mlp_dim")
            _check(self.classifier == "map", "pooling_mlp_dim is for classifier='map'", self.classifier)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        sides = self.image_size if isinstance(self.image_size, tuple) else (self.image_size, self.image_size)
        return (*sides, self.channels)

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """The shape of what is cut into patches, (h, w, C): the image or, in a hybrid, the backbone's feature map."""
        if self.backbone is None:
            return self.image_shape
        height, width = (-(-side // self._cell_pixels) for side in self.image_shape[:2])  # "SAME": rounded up
        channels = self.backbone_width * (4 * 2 ** (len(self.backbone) - 1) if self.backbone else 1)
        return height, width, channels

    @property
    def _cell_pixels(self) -> int:
        """The side of a cell of `feature_shape`, in pixels of the image: 1, or the backbone's total stride."""
        if self.backbone is None:
            return 1
        return 2 ** (2 + max(0, len(self.backbone) - 1))  # the root halves twice, each stage after the first once

    @property
    def patch_pixels(self) -> int:
        """The pixels of the image from one patch to the next: P or, in a hybrid, the side of P cells."""
        return self.patch_size * self._cell_pixels

    @property
    def grid(self) -> tuple[int, int]:
        """The patches along the height and the width, (rows, columns)."""
        height, width, _ = self.feature_shape
        return height // self.patch_size, width // self.patch_size

    @property
    def reads_class_token(self) -> bool:
        """Whether the head reads the class token, alone or beside the patches."""
        return self.classifier in ("token", "token_gap")

    @property
    def has_class_token(self) -> bool:
        """Whether a class token is in front of the patches."""
        return self.reads_class_token if self.class_token is None else self.class_token

    @property
    def num_class_tokens(self) -> int:
        """The class token and, with distillation, the second one: 0, 1 or 2."""
        return self.has_class_token + self.distillation

    @property
    def num_front_tokens(self) -> int:
        """The tokens in front of the patches: class tokens and registers."""
        return self.num_class_tokens + self.registers

    @property
    def num_tokens(self) -> int:
        """T: the patches, and the tokens in front of them."""
        return self.num_patches + self.num_front_tokens

    @property
    def num_positions(self) -> int:
        """How many of the tokens get a learned position; see `positions_for`."""
        placed = {"all": self.num_front_tokens, "class": self.num_class_tokens, "patches": 0}
        return self.num_patches + placed[self.positions_for]

    @property
    def pooled_dim(self) -> int:
        """The width of what the tokens are pooled to: D, or twice that for class token and mean side by side."""
        return 2 * self.dim if self.classifier == "token_gap" else self.dim

    @property
    def layer_elements(self) -> int:
        """How many numbers a typical layer computes for one image; in a hybrid, the backbone's root if it has more."""
        tokens = self.num_tokens * self.dim
        if self.backbone is None:
            return tokens
        height, width, _ = self.image_shape
        return max(tokens, height * width // 4 * self.backbone_width)

    @property
    def num_patches(self) -> int:
        """N, the number of patches: H W / P² if patches cover the image."""
        return self.grid[0] * self.grid[1]


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Everything that determines a ResNet of the paper's baseline, BiT (arXiv 1912.11370).

    Args:
        image_size: pixels; one number for a square image or (height, width).
        units: the number of units in each stage: (3, 4, 6, 3) is a ResNet-50.
        width: channels of the root: 64 times the width factor.
        num_classes: K; with 0 the model has no head and returns its representation.
        channels: C, of the image.
        stem: "imagenet" halves the image twice before the first stage, "small" (for 32 pixels) once.

    Raises:
        ConfigError: if the numbers do not fit together.
    """

    image_size: int | tuple[int, int] = 224
    units: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    num_classes: int = 1000
    channels: int = 3
    stem: str = "imagenet"

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", _image_size(self.image_size))
        good = (
            isinstance(self.units, tuple | list) and len(self.units) > 0 and all(_is_integer(n, 1) for n in self.units)
        )
        _check(good, "units must be integers of 1 or more, one for each stage", self.units)
        object.__setattr__(self, "units", tuple(map(operator.index, self.units)))
        _check_integers(self, 1, "width", "channels")
        _check_integers(self, 0, "num_classes")
        _check(self.width % 32 == 0, "width must be a multiple of 32, the groups of GroupNorm", self.width)
        _check_one_of(self, "stem", STEMS)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        sides = self.image_size if isinstance(self.image_size, tuple) else (self.image_size, self.image_size)
        return (*sides, self.channels)

    @property
    def layer_elements(self) -> int:
        """How many numbers the first layer computes for one image."""
        height, width, _ = self.image_shape
        return max(1, height * width * self.width // 4)


AnyConfig = ViTConfig | ResNetConfig


def divisors(number: int) -> list[int]:
    """Return the integers from 1 to 10,000 that divide a number without a rest."""
    return [divisor for divisor in range(1, min(number, 10_000) + 1) if number % divisor == 0]


def _check_integers(config: AnyConfig, least: int, *names: str) -> None:
    """Check that fields are integers of `least` or more, and convert NumPy's to Python's, which JSON can write."""
    for name in names:
        value = getattr(config, name)
        _check(_is_integer(value, least), f"{name} must be an integer of {least} or more", value)
        object.__setattr__(config, name, operator.index(value))


def _python_number(config: AnyConfig, name: str) -> Any:
    """Convert a field's NumPy number to Python's, which JSON can write, and return the value."""
    value = getattr(config, name)
    if isinstance(value, np.floating | np.integer):
        value = value.item()
        object.__setattr__(config, name, value)
    return value


def _image_size(given: Any) -> int | tuple[int, int]:
    sides = given if isinstance(given, tuple | list) else (given, given)
    good = len(sides) == 2 and all(_is_integer(side, 1) for side in sides)
    _check(good, "image_size must be an integer of pixels or a pair (height, width)", given)
    height, width = map(operator.index, sides)
    return (height, width) if isinstance(given, tuple | list) else height


def _check_one_of(config: AnyConfig, name: str, allowed: tuple[str, ...]) -> None:
    """Check that a field is one of some names; the error suggests the nearest."""
    value = getattr(config, name)
    hint = did_you_mean(value, allowed)
    if value not in allowed:
        names = ", ".join(map(repr, allowed))
        raise ConfigError(f"{name} must be one of {names}, not {quoted(value)}{hint and '; '}{hint}")


def _is_integer(value: object, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check(good: bool, rule: str, value: object) -> None:
    if not good:
        raise ConfigError(f"{rule}, not {quoted(value)}")


NOW_IN_NAMES = (
    "CONFIGS", "HYBRIDS", "MODEL_NAMES", "PATCH_SIZES", "RESNETS", "SIZES", "SMALL_RESNETS", "SMALL_SIZES", "VITS",
    "build", "create_model", "model_config",
)  # fmt: skip
__getattr__ = old_names(__name__, {name: f"minivit.models.names.{name}" for name in NOW_IN_NAMES})
