"""What a weights file was taken for, from the names and shapes of its arrays: none of them is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..models.configs import AnyConfig, ResNetConfig
from ..preprocessing import Preprocessing
from .find import find_weights
from .formats.archive import open_archive
from .images import ImageOptions, settle
from .load import checked_hints, identify, size_to_follow


@dataclass(frozen=True)
class WeightsDescription:
    """What a weights file was taken for.

    Attributes:
        file: the weights file.
        format: ".npz", ".safetensors" or ".pth", by its content.
        source: the program or format that names and lays out the arrays, such as "timm".
        arrays: how many there are.
        numbers: how many they hold together; in a checkpoint more than the model's parameters.
        types: the element types of the arrays, such as "float32".
        model: "ViT", "hybrid" or "ResNet".
        config: the model's configuration.
        classes: the names of the classes; () if the file does not name them.
        preprocessing: how images are prepared, as the weights' owner does it.
        preprocessing_said_by: who says how; "" for the source, where that is certain.
        folded: the mean and the standard deviation that are a part of the patch embedding already.
        training: how far the run had come, if it is a checkpoint: its step, and its data set.
        assumed: what neither the file nor the caller says.
    """

    file: Path
    format: str
    source: str
    arrays: int
    numbers: int
    types: tuple[str, ...]
    model: str
    config: AnyConfig
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    preprocessing_said_by: str
    folded: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        grid = {} if isinstance(self.config, ResNetConfig) else {"grid": list(self.config.grid)}
        return {
            "file": str(self.file), "format": self.format, "source": self.source, "arrays": self.arrays,
            "numbers": self.numbers, "types": list(self.types), "model": self.model, "config": asdict(self.config),
            **grid, "classes": list(self.classes), "preprocessing": self.preprocessing.to_json(),
            "preprocessing_said_by": self.preprocessing_said_by, "folded": self.folded, "training": self.training,
            "assumed": list(self.assumed),
        }  # fmt: skip


def describe_weights(weights: str | Path, **options: Any) -> WeightsDescription:
    """Return what a weights file was taken for; no array of its model is read.

    Args:
        weights: as `load_model` takes it.
        **options: of `load_model`, what the caller says: `heads`, `grid`, `image_size`, `classifier`, `gelu`,
            `norm_eps`, `mean`, `std`, `resize`, `crop`, `resampling`.

    Raises:
        CheckpointNotFoundError: if there is no such file or name.
        CheckpointError, ConfigError: if `load_model` would refuse its names or shapes, or an option.
    """
    of_images = {name: options.pop(name) for name in ImageOptions.__dataclass_fields__ if name in options}
    path = find_weights(weights)
    with open_archive(path) as archive:
        found = identify(archive, checked_hints(**options))
        found.source.check(found.archive, found.description)
        held = {name: short for name, short in archive.types.items() if short[1:2] not in ("U", "S")}  # without texts
        format, arrays, numbers = archive.kind, len(held), archive.size - (len(archive.types) - len(held))
        types = tuple(sorted({_name_of_type(short) for short in held.values()}))
    config, header = found.description.config, found.description.header
    size = options.get("image_size") or size_to_follow(found)
    if size is not None:
        config = replace(config, image_size=size)
    settled = settle(config, found.source, found.hints.sidecar, header, ImageOptions(**of_images))
    is_resnet = isinstance(config, ResNetConfig)
    return WeightsDescription(
        file=path,
        format=format,
        source=found.source.name,
        arrays=arrays,
        numbers=numbers,
        types=types,
        model="ResNet" if is_resnet else "ViT" if config.backbone is None else "hybrid",
        config=config,
        classes=tuple(header.get("classes") or ()),
        preprocessing=settled.preprocessing,
        preprocessing_said_by=settled.said_by,
        folded=dict(header.get("folded") or {}),
        training={
            name: header[name] for name in ("dataset", "step", "last_test", "best") if header.get(name) is not None
        },
        assumed=tuple(found.hints.assumed),
    )


def _name_of_type(short: str) -> str:
    """Return float32 for NumPy's short name "<f4"; other names stay."""
    return np.dtype(short).name if short[:1] in "<>|" else short
