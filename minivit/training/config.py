"""Every option of a run, with its default and what it may be."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..data import AUGMENTATIONS, DATASETS, is_dataset, parse_randaugment, rand_augment
from ..errors import ConfigError
from ..models import model_config
from ..utils.text import listed, quoted
from ..weights import channels_of, grid_of
from .masked import TARGETS
from .optim import OPTIMIZERS
from .precision import PRECISIONS
from .schedule import DECAYS

MOST, MOST_EPOCHS = 10**15, 10**9  # of steps, images and the like: larger numbers would overflow a run's arithmetic
LARGEST = 2**63 - 1
PLACES = ("dataset", "data_dir", "weights", "teacher")  # options that may be paths
ALWAYS_WRITTEN = ("dataset", "model", "seed")  # in each run's config.json, by every version of minivit

OBJECTIVES = ("classes", "masked-patch")
PLACEMENT = (
    "data_dir",
    "device",
    "workers",
    "checkpoint_blocks",
    "log_every",
    "save_every",
    "tensorboard",
)  # options that do not change the weights; another device rounds differently, and its passes draw other dropout masks


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every option of a run; `config.json` in its folder. The command line's --help explains each."""

    dataset: str = "shapes"
    data_dir: str = ""
    train_images: int | None = None
    image_size: int | None = None
    model: str = "ViT-XS_4-CIFAR"
    weights: str = ""
    heads: int | None = None
    grid: str = ""
    mean: str = ""
    std: str = ""
    classifier: str | None = None
    positions: str | None = None
    positions_at: str | None = None
    dropout: float = 0.0
    objective: str = "classes"
    target: str = "mean"
    freeze: bool = False
    teacher: str = ""
    teacher_weight: float = 0.5
    temperature: float = 2.0
    epochs: float = 10.0
    steps: int | None = None
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    lr: float = 5e-4
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    decay: str = "cosine"
    warmup: float = 0.05
    warmup_steps: int | None = None
    clip: float = 1.0
    smoothing: float = 0.1
    ema: float = 0.0
    augment: str = "auto"
    randaugment: str = ""
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    validation: int = 0
    seed: int = 0
    workers: int | None = None
    microbatch: int | None = None
    checkpoint_blocks: bool = False
    device: str = "cpu"
    precision: str = "float32"
    eval_every: float = 1.0
    log_every: int = 50
    save_every: float = 60.0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check_type(field.name, str(field.type).split(" | "))
        for name in ("batch_size", "accumulate", "log_every"):
            self._check_whole(name, 1)
        for name in ("validation", "seed"):
            self._check_whole(name, 0)
        for name, least in (
            ("microbatch", 1),
            ("workers", 1),
            ("steps", 1),
            ("train_images", 1),
            ("heads", 1),
            ("warmup_steps", 0),
        ):
            if getattr(self, name) is not None:
                self._check_whole(name, least)
        for name in ("weight_decay", "clip", "eval_every", "save_every", "lr", "mixup", "cutmix"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        for name in ("layer_decay", "temperature"):
            self._check(name, 0 < getattr(self, name) < math.inf, "above 0")
        self._check("layer_decay", self.layer_decay <= 1, "at most 1")
        self._check("teacher_weight", 0 <= self.teacher_weight <= 1, "from 0 to 1")
        for name in ("warmup", "smoothing", "ema"):
            self._check(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        self._check("epochs", 0 < self.epochs <= MOST_EPOCHS, f"above 0 and at most {MOST_EPOCHS:,}")
        self._check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        self._check("optimizer", self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}")
        self._check("decay", self.decay in DECAYS, f"one of {', '.join(DECAYS)}")
        augment = ("auto", *AUGMENTATIONS)
        self._check("augment", self.augment in augment, f"one of {', '.join(augment)}")
        self._check("erasing", 0 <= self.erasing <= 1, "a probability from 0 to 1")
        for name, read in (("grid", grid_of), ("mean", channels_of), ("std", channels_of)):
            if getattr(self, name):
                read(name, getattr(self, name))
        if self.randaugment:
            rand_augment(*parse_randaugment(self.randaugment))
        known = f"one of {', '.join(DATASETS)}, or folder:PATH, a folder with a folder for each class"
        self._check("dataset", _is_dataset(self.dataset), known)
        self._check("target", self.target in TARGETS, f"one of {', '.join(TARGETS)}")
        self._check("objective", self.objective in OBJECTIVES, f"one of {', '.join(OBJECTIVES)}")
        if self.objective == "masked-patch":
            for name in ("ema", "freeze", "teacher"):
                self._check(name, not getattr(self, name), "left alone where patches are masked")
        if not self.weights:
            model_config(self.model, **self.model_changes)

    @property
    def title(self) -> str:
        """The model's name, or that of the file, run or published weights that it starts from."""
        if not self.weights:
            return self.model
        path = Path(self.weights)
        return path.parent.name if path.name == "checkpoint.npz" and path.parent.name else path.name

    @property
    def model_changes(self) -> dict[str, Any]:
        """What differs from the named model: its options that are not at their default."""
        named = ("image_size", "classifier", "positions", "positions_at")
        changes = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        return changes | ({"dropout": self.dropout} if self.dropout else {})

    def _check_type(self, name: str, kinds: list[str]) -> None:
        """Check an option's type, and convert NumPy's numbers to Python's, which JSON can write.

        Args:
            name: the option.
            kinds: the names of the types that it may have; the first is not None.
        """
        value: Any = getattr(self, name)
        kind = kinds[0]
        if value is None and "None" in kinds:
            return
        if kind == "str":
            self._check(name, isinstance(value, str) and "\0" not in value, "text")
            longest = 4_096 if name in PLACES else 100
            self._check(name, len(str(value)) <= longest, f"at most {longest:,} characters long")
        elif kind == "bool":
            self._check(name, isinstance(value, bool), "true or false")
        else:
            whole, real = isinstance(value, int | np.integer), isinstance(value, float | np.floating)
            rule = "a number" if kind == "float" else "an integer"
            self._check(name, (whole or (real and kind == "float")) and not isinstance(value, bool), rule)
            number: Any = value.item() if isinstance(value, np.generic) else value
            self._check(name, real or -LARGEST <= number <= LARGEST, rule + " of 64 bits")
            object.__setattr__(self, name, number)

    def _check_whole(self, name: str, least: int) -> None:
        most = LARGEST if name == "seed" else MOST
        self._check(name, least <= getattr(self, name) <= most, f"an integer from {least} to {most:,}")

    def _check(self, name: str, good: bool, rule: str) -> None:
        if not good:
            raise ConfigError(f"{name.replace('_', '-')} must be {rule}, not {quoted(getattr(self, name))}")


def _is_dataset(name: str) -> bool:
    try:
        return is_dataset(name)
    except OSError:  # the name is too long for a folder
        return False


def config_from_json(values: Any) -> TrainConfig:
    """Return the options in a `config.json`.

    Args:
        values: what the file holds.

    Raises:
        ConfigError: if they are not a run's options.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"it does not hold a run's options, but {quoted(values)}")
    if missing := [name for name in ALWAYS_WRITTEN if name not in values]:
        raise ConfigError(f"it does not hold a run's options: {listed(missing)} is missing")
    known = {field.name for field in fields(TrainConfig)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"it has options that this minivit does not know: {listed(unknown)}")
    return TrainConfig(**values)
