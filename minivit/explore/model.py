"""What the page needs of a model: its sizes and its weights, laid out as `vit.js` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend.arrays import to_numpy
from ..errors import ConfigError
from ..models import ViT, ViTConfig
from ..nn import Module
from ..utils.text import listed

LARGEST = 8_000_000  # parameters: a Ti/16 at 224 pixels has 5.7 million and answers in about a second
# The paper's model, and the parts that others added which vit.js does not have: each with its value in the paper.
NOT_SHOWN: dict[str, tuple[Any, str]] = {
    "backbone": (None, "a ResNet in front"),
    "representation": (None, "the pre-training head's hidden layer"),
    "distillation": (False, "a distillation token"),
    "registers": (0, "register tokens"),
    "embedding_norm": (False, "a norm before the first block"),
    "qk_norm": (False, "a norm on queries and keys"),
    "gated_mlp": (False, "a gated MLP"),
    "final_norm": (True, "no final LayerNorm"),
    "norm": ("layer", "RMSNorm"),
    "patch_norm": (False, "a norm on patch embeddings"),
    "inner_norm": (False, "norms inside attention and MLP"),
    "positions_at": ("stem", "positions in every block"),
    "drop_rest": (False, "pixels that no patch covers"),
}
SHOWN_POOLS = ("token", "gap")


@dataclass(frozen=True)
class PageModel:
    """A model as the page contains it.

    Attributes:
        config: the sizes that `vit.js` reads.
        weights: nested names; in the place of each array [offset, rows, columns], the offset counted in numbers.
        numbers: all arrays one after the other, float32 or float16.
    """

    config: dict[str, Any]
    weights: dict[str, Any]
    numbers: np.ndarray


def check_can_be_shown(model: Any) -> None:
    """Raise a ConfigError that names what the page cannot show of a model."""
    if not isinstance(model, ViT):
        raise ConfigError("the page shows a Vision Transformer, and this is a ResNet: `minivit inspect` needs one too")
    config = model.config
    other = [words for name, (value, words) in NOT_SHOWN.items() if getattr(config, name) != value]
    if config.classifier not in SHOWN_POOLS:
        other.append(f"pooling {config.classifier!r}")
    if config.positions == "relative":
        other.append("relative positions")
    if not config.num_classes:
        other.append("no classes")
    if not config.depth:
        other.append("no blocks")
    if config.channels != 3:
        other.append(f"{config.channels} channels")
    if other:
        raise ConfigError(f"the page shows the paper's model, and this one has {listed(other)}: try `minivit inspect`")
    if model.num_parameters() > LARGEST:
        raise ConfigError(
            f"the page computes models of up to {LARGEST:,} parameters, such as ViT-Ti/16, and this one has "
            f"{model.num_parameters():,}: try `minivit inspect`"
        )


def page_model(model: ViT) -> PageModel:
    """Return what the page needs of a model.

    Args:
        model: a ViT.

    Returns:
        Its sizes and weights, the numbers in float32.

    Raises:
        ConfigError: if the page cannot show it.
    """
    check_can_be_shown(model)
    store = _Store()
    table = model.positions.table()
    weights = {
        "cls": store.add(model.cls.data[0]) if model.config.has_class_token else None,
        "positions": None if table is None else store.add(_full_table(table.data[0], model.config)),
        "embedding": store.add_layer(model.embedding),
        "blocks": [
            {
                "norm1": store.add_layer(block.norm1),
                "qkv": store.add_layer(block.attention.qkv),
                "out": store.add_layer(block.attention.out),
                "norm2": store.add_layer(block.norm2),
                "fc1": store.add_layer(block.mlp.fc1),
                "fc2": store.add_layer(block.mlp.fc2),
                "scale1": store.add_layer(block.scale1)["weight"],
                "scale2": store.add_layer(block.scale2)["weight"],
            }
            for block in model.blocks
        ],
        "encoder_norm": store.add_layer(model.encoder_norm),
        "head": store.add_layer(model.head),
    }
    return PageModel(_sizes(model.config), weights, store.numbers())


def _sizes(config: ViTConfig) -> dict[str, Any]:
    height, width, channels = config.image_shape
    names = ("patch_size", "dim", "depth", "heads", "mlp_dim", "num_classes", "gelu", "norm_eps", "classifier",
             "pool_before_norm", "positions")  # fmt: skip
    return {name: getattr(config, name) for name in names} | {
        "image_size": [height, width],
        "channels": channels,
        "grid": list(config.grid),
        "class_token": config.has_class_token,
    }


def _full_table(table: np.ndarray, config: ViTConfig) -> np.ndarray:
    """Return one row for each token: (T or N, D) -> (T, D); a class token without a position gets zeros."""
    missing = config.num_tokens - len(table)
    return np.concatenate([np.zeros((missing, table.shape[1]), table.dtype), table]) if missing else table


class _Store:
    """Arrays one after the other, in float32."""

    def __init__(self) -> None:
        self.parts, self.size = list[np.ndarray](), 0

    def add(self, values: Any) -> list[int]:
        """Add an array of one or two axes, and return its place: [offset, rows, columns]."""
        array = np.atleast_2d(to_numpy(values).astype(np.float32))  # (columns,) -> (1, columns)
        place = [self.size, *array.shape]
        self.parts.append(array.ravel())
        self.size += array.size
        return place

    def add_layer(self, layer: Module) -> dict[str, list[int] | None]:
        """Add the weight and the bias of a layer; None in the place of what it lacks."""
        found = {name: getattr(layer, name, None) for name in ("weight", "bias")}
        return {name: None if tensor is None else self.add(tensor.data) for name, tensor in found.items()}

    def numbers(self) -> np.ndarray:
        """Return all numbers."""
        return np.concatenate(self.parts)
