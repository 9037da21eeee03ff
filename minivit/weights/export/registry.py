"""The targets of `minivit export --to NAME`.

To add one, write `weights/export/NAME.py` with a subclass of `Target` and add it to `TARGETS`.
"""

from __future__ import annotations

from ...errors import ConfigError
from .huggingface import HuggingFaceFolder
from .layouts import Layout
from .onnx import Onnx
from .target import Target
from .timm import TimmFolder

TARGETS: tuple[Target, ...] = (
    Onnx(),
    TimmFolder(),
    HuggingFaceFolder(),
    Layout("google", (".npz",)),
    Layout("torchvision", (".safetensors",)),
    Layout("minivit", (".safetensors", ".npz")),
)


def target_with_name(name: str) -> Target:
    """Return the target with a name, such as "onnx".

    Raises:
        ConfigError: if there is none.
    """
    for target in TARGETS:
        if target.name == name:
            return target
    raise ConfigError(f"unknown export {name!r}: use {', '.join(repr(target.name) for target in TARGETS)}")
