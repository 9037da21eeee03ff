"""What timm's names of architectures say of a model that its arrays do not: heads, epsilon and activation.

A name such as `vit_base_patch16_clip_quickgelu_224` has the family first, then the size, and then parts in any order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# D and heads, by the word for the size.
SIZES = {
    "tiny": (192, 3), "xsmall": (256, 4), "wee": (256, 4), "little": (320, 5), "small": (384, 6), "medium": (512, 8),
    "mediumd": (512, 8), "betwixt": (640, 10), "base": (768, 12), "so150m": (896, 14), "so150m2": (832, 13),
    "large": (1024, 16), "intern300m": (1024, 16), "so400m": (1152, 16), "huge": (1280, 16), "giant": (1408, 16),
    "giantopt": (1536, 16), "gigantic": (1664, 16),
}  # fmt: skip
NAME = re.compile(rf"(?:vit|deit|deit3|flexivit|eva|beit3)_({'|'.join(SIZES)})(?:_(\w+))?(?:\..*)?")
SIZE_WITHOUT_FAMILY = {"test_vit": (64, 2), "test_vit2": (64, 2), "test_vit3": (96, 3), "test_vit4": (96, 3)}

AIMV2 = re.compile(r"aimv2_(\w+?)_patch")  # its heads are 128 wide
AIMV2_WIDTHS = {"large": 1024, "huge": 1536, "1b": 2048, "3b": 3072}

WIDER_BASE = re.compile(r"patch\d+_plus_")  # vit_base_patch16_plus_240
WIDER_GIANT = re.compile(r"dinov2|tipsv2|radio")

# SigLIPs whose MLPs have the tanh form of GELU.
TANH_SIGLIPS = re.compile(
    r"vit_(giantopt_patch16|so400m_patch16|base_patch32)_siglip|vit_large_patch16_siglip_(gap_)?512"
)

# Architectures whose arrays may look like a ViT's, and what they compute that minivit's ViTs do not.
OTHERS = (
    (r"rope|dinov3|lingbot|sapiens|^eva02|_pe_|^qwen|^deepseek|^gemma", "rotary positions"),
    (r"^eva_giant", "separate biases for queries and values"),
    (r"^beit(?!3)|relpos", "relative position biases"),
    (r"^samvit", "attention in windows"),
    (r"_rpn_", "LayerNorm after attention and MLP (ResPostBlock)"),
    (r"_xp_|_pwee_", "attention and MLP in parallel"),
    (r"\d+x2_", "attentions in parallel"),
    (r"_dwee_|_dlittle_|_dpwee_", "differential attention"),
    (r"^test_vit3", "registers in attention pooling"),
    (r"^naflexvit", "patches of any image size (NaFlex)"),
    (r"_mci_|_resnet\d|_r\d*_s\d", "convolutional stem like timm's"),
)  # fmt: skip


WORDS_OF_VITS = {"vit", "deit", "flexivit", "eva", "beit", "aimv"}  # words of names, without their numbers


@dataclass(frozen=True)
class Architecture:
    """What a name says.

    Attributes:
        dim: D.
        heads: attention heads.
        gelu: the activation, as `ViTConfig` calls it.
        norm_eps: LayerNorm's epsilon.
    """

    dim: int
    heads: int
    gelu: str
    norm_eps: float


def architecture_of(name: str | None) -> Architecture | None:
    """Return what timm's name of an architecture says; None for a name that is not known, or without a name."""
    name = (name or "").partition(".")[0]
    if what_is_missing(name):
        return None
    if name in SIZE_WITHOUT_FAMILY:
        return Architecture(*SIZE_WITHOUT_FAMILY[name], "erf", 1e-6)
    if (aimv2 := AIMV2.match(name)) and aimv2[1] in AIMV2_WIDTHS:
        dim = AIMV2_WIDTHS[aimv2[1]]
        return Architecture(dim, dim // 128, "erf", 1e-5)
    match = NAME.fullmatch(name)
    if match is None:
        return None
    dim, heads = SIZES[match[1]]
    eps = 1e-5 if "_clip_" in name or match[0].startswith("beit3") else 1e-6
    if match[1] == "base" and WIDER_BASE.search(name):
        dim, heads = 896, 14
    elif match[1] == "giant" and WIDER_GIANT.search(name):
        dim, heads = 1536, 24
    elif name.startswith("vit_base_patch16_gap_"):
        heads = 16
    return Architecture(dim, heads, _activation(name), eps)


def is_name_of_vit(name: str) -> bool:
    """Return whether a name of an architecture has the word for a ViT in it, as all of timm's ViTs have."""
    return bool(WORDS_OF_VITS & set(re.split(r"[^a-z]+", name.lower())))


def _activation(name: str) -> str:
    if "_quickgelu_" in name:
        return "quick"
    return "tanh" if TANH_SIGLIPS.match(name) else "erf"


def what_is_missing(name: str) -> str | None:
    """Return what an architecture of this name computes that minivit's ViTs do not; None if nothing is known."""
    return next((what for pattern, what in OTHERS if re.search(pattern, name)), None)
