"""The files beside a weights file: `config.json`, as Hugging Face and timm write it, and `preprocessor_config.json`.

The names and shapes of arrays do not tell how many heads a model has, which GELU, which epsilon, or how its pixels were
scaled. These files do. If they name a size that the arrays contradict, one of the two belongs to another model: that is
an error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..utils.text import printable, quoted

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
LONGEST = 2**24  # bytes; such a file has a few thousand

# timm's names for GELU, and ours.
TIMM_GELUS = {"gelu": "erf", "gelu_tanh": "tanh"}

# Hugging Face's names for GELU, and ours. "gelu_new" and its like are the tanh form.
GELUS = {
    "gelu": "erf", "gelu_python": "erf", "gelu_new": "tanh", "gelu_fast": "tanh", "gelu_pytorch_tanh": "tanh",
    "gelu_python_tanh": "tanh",
}  # fmt: skip

# Their names for sizes that the arrays show too, and ours.
HF_SIZES = {
    "hidden_size": "dim", "num_hidden_layers": "depth", "intermediate_size": "mlp_dim", "patch_size": "patch_size",
    "num_channels": "channels",
}  # fmt: skip
TIMM_SIZES = {"embed_dim": "dim", "depth": "depth", "patch_size": "patch_size", "in_chans": "channels"}

# What Hugging Face assumes where a config.json of a ViT leaves something out.
HF_DEFAULTS = {"num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "image_size": 224}

# timm's plain architectures: (D, heads).
TIMM_ARCHITECTURES = {
    "tiny": (192, 3), "small": (384, 6), "base": (768, 12), "large": (1024, 16), "huge": (1280, 16),
    "giant": (1408, 16), "gigantic": (1664, 16),
}  # fmt: skip
TIMM_PLAIN = re.compile(rf"(?:vit|deit)_({'|'.join(TIMM_ARCHITECTURES)})_patch[0-9]+(?:_[0-9]+)?(?:\.\w*)?")


@dataclass(frozen=True)
class Beside:
    """What the files beside a weights file say; a field is None if they do not say it.

    Args:
        source: the name of the file that says it.
        model_type: Hugging Face's name of the architecture.
        heads: attention heads.
        image_size: (height, width) in pixels.
        gelu: "tanh" or "erf".
        norm_eps: LayerNorm's epsilon.
        classifier: "token" or "gap".
        sizes: by the name of a field of our configuration; the arrays must agree.
        classes: the names of the classes.
        mean, std: of each channel, of pixels from 0 to 1.
        scaling_source: the name of the file that says mean and std.
    """

    source: str = CONFIG
    model_type: str | None = None
    heads: int | None = None
    image_size: tuple[int, int] | None = None
    gelu: str | None = None
    norm_eps: float | None = None
    classifier: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scaling_source: str = CONFIG


def read_beside(path: Path) -> Beside:
    """Return what the files beside a weights file say; an empty `Beside` if none of them describes a model.

    Args:
        path: the weights file.

    Raises:
        CheckpointError: for a file that cannot be read, or a value that makes no sense.
    """
    said = _config(path.parent / CONFIG)
    preprocessor = _load(path.parent / PREPROCESSOR)
    if said.get("mean") is None and preprocessor is not None:
        said |= _hf_scaling(_Reader(path.parent / PREPROCESSOR, preprocessor))
    return Beside(**said)


def _config(path: Path) -> dict[str, Any]:
    content = _load(path)
    if content is None:
        return {}
    if isinstance(content.get("architecture"), str):
        return _timm(_Reader(path, content))
    if "model_type" in content or {"hidden_size", "num_attention_heads"} <= content.keys():
        return _hugging_face(_Reader(path, content))
    return {}  # it describes something else, such as a run of minivit


def _load(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > LONGEST:
            raise CheckpointError(f"{printable(path)} is too long to describe a model: move it away")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CheckpointError(f"{printable(path)} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{printable(path)} is damaged: repair it, or move it away from the weights") from error
    return content if isinstance(content, dict) else None


class _Reader:
    """A JSON object whose fields are checked when they are read."""

    def __init__(self, path: Path, content: dict[str, Any]):
        self.path, self.content = path, content

    def __contains__(self, name: str) -> bool:
        return self.content.get(name) is not None

    def get(self, name: str, good: Callable[[Any], bool], rule: str) -> Any:
        """Return a field's value, None if it is absent. Raises CheckpointError for a value of another type."""
        value = self.content.get(name)
        if value is not None and not good(value):
            raise CheckpointError(f"{printable(self.path)}: {name} must be {rule}, not {quoted(value)}")
        return value

    def part(self, name: str) -> _Reader:
        return _Reader(self.path, self.get(name, lambda value: isinstance(value, dict), "an object") or {})

    def integer(self, name: str) -> int | None:
        return self.get(name, _is_positive, "an integer of 1 or more")

    def number(self, name: str) -> float | None:
        return self.get(name, lambda v: _is_number(v) and 0 < v <= 1, "a number above 0 and at most 1")

    def word(self, name: str) -> str | None:
        return self.get(name, lambda value: isinstance(value, str), "a name")

    def image_size(self, name: str) -> tuple[int, int] | None:
        value = self.get(name, lambda v: _is_positive(v) or _is_pair(v), "pixels, or [height, width]")
        return None if value is None else (value, value) if isinstance(value, int) else tuple(value)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        good = lambda v: isinstance(v, list) and 0 < len(v) <= 64 and all(map(_is_number, v))  # noqa: E731
        value = self.get(name, good, "a list of numbers")
        return None if value is None else tuple(map(float, value))


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_positive, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30 and math.isfinite(value)


def _hugging_face(config: _Reader) -> dict[str, Any]:
    model_type = config.word("model_type")
    said: dict[str, Any] = {"model_type": model_type, "source": CONFIG}
    if model_type not in ("vit", None):
        return said  # the arrays decide whether the model can be read
    if model_type == "vit":
        config = _Reader(config.path, HF_DEFAULTS | {k: v for k, v in config.content.items() if v is not None})
    act = config.word("hidden_act")
    if act is not None and act not in GELUS:
        known = ", ".join(GELUS)
        raise CheckpointError(f"{printable(config.path)}: hidden_act {quoted(act)} is not one of {known}")
    pooler = config.word("pooler_act")
    if pooler not in ("tanh", None):
        raise CheckpointError(f"{printable(config.path)}: pooler_act must be 'tanh', not {quoted(pooler)}")
    return said | {
        "heads": config.integer("num_attention_heads"),
        "image_size": config.image_size("image_size"),
        "gelu": GELUS[act] if act else None,
        "norm_eps": config.number("layer_norm_eps"),
        "sizes": {ours: config.integer(theirs) for theirs, ours in HF_SIZES.items() if theirs in config},
        "classes": _classes(config.content.get("id2label")),
    }


def _timm(config: _Reader) -> dict[str, Any]:
    pretrained, changes = config.part("pretrained_cfg"), config.part("model_args")
    size = changes.image_size("img_size")
    shape = pretrained.get(
        "input_size", lambda v: isinstance(v, list) and len(v) == 3 and all(map(_is_positive, v)), "[C, height, width]"
    )
    sizes: dict[str, Any] = {ours: changes.integer(theirs) for theirs, ours in TIMM_SIZES.items() if theirs in changes}
    heads = changes.integer("num_heads")
    if plain := TIMM_PLAIN.fullmatch(config.content["architecture"]):
        dim, its_heads = TIMM_ARCHITECTURES[plain[1]]
        heads = heads or its_heads
        sizes = {"dim": dim} | sizes
    pool = changes.word("global_pool") or config.word("global_pool")
    if pool not in ("token", "avg", "", None):
        raise CheckpointError(f"{printable(config.path)}: global_pool must be 'token' or 'avg', not {quoted(pool)}")
    act = changes.word("act_layer")
    if act is not None and act.lower() not in TIMM_GELUS:
        known = ", ".join(TIMM_GELUS)
        raise CheckpointError(f"{printable(config.path)}: act_layer {quoted(act)} is not one of {known}")
    norm = changes.word("norm_layer")
    if norm is not None and norm.lower() not in ("layernorm", "layer_norm"):
        raise CheckpointError(f"{printable(config.path)}: norm_layer must be 'layernorm', not {quoted(norm)}")
    return {
        "source": CONFIG,
        "heads": heads,
        "gelu": TIMM_GELUS[act.lower()] if act else None,
        "image_size": size or (shape and (shape[1], shape[2])),
        "classifier": {"token": "token", "avg": "gap"}.get(pool or ""),
        "sizes": sizes,
        "classes": _classes(config.content.get("label_names")),
        "mean": pretrained.numbers("mean"),
        "std": pretrained.numbers("std"),
    }


def _classes(names: Any) -> tuple[str, ...] | None:
    """Return the names of classes in a list or in {"0": name}; None for anything else."""
    if isinstance(names, dict):
        names = [names.get(str(k)) for k in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    made_up = all(name == f"LABEL_{k}" for k, name in enumerate(names))  # Hugging Face's placeholders
    return None if made_up else tuple(names)


def _hf_scaling(config: _Reader) -> dict[str, Any]:
    mean, std = config.numbers("image_mean"), config.numbers("image_std")
    if config.content.get("do_normalize") is False:
        mean, std = (0.0,), (1.0,)  # pixels from 0 to 1
    if mean is None or std is None:
        return {}
    return {"mean": mean, "std": std, "scaling_source": PREPROCESSOR}
