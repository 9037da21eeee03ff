"""The options of a run in groups, each with its defaults and its checks.

A part of a run is built from its group alone: `trainer.build_optimizer` takes `OptimOptions`, and so on. `TrainConfig`
is all groups together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..data import AUGMENTATIONS, DATASETS, POLICIES, is_dataset, parse_randaugment, rand_augment
from ..errors import ConfigError
from ..models import model_config
from ..models.names import mlp_width
from ..utils.figures import formats_in
from ..utils.text import did_you_mean, quoted
from ..weights import pool_of
from ..weights.options import READERS
from .masked import TARGETS
from .optim import OPTIMIZERS
from .precision import PRECISIONS
from .schedule import DECAYS

# Larger numbers of steps, images and epochs would overflow a run's arithmetic.
LARGEST_COUNT, MOST_EPOCHS = 10**15, 10**9
LARGEST_INTEGER = 2**63 - 1
LARGEST_RATIO = 64.0  # of the MLP's width to a token's; usual are 2 to 8/3 and 4
PATHS = ("dataset", "data_dir", "weights", "teacher")  # options that may be paths
OBJECTIVES = ("classes", "masked-patch")
SAMPLERS, CLASS_WEIGHTS = ("shuffled", "balanced"), ("none", "balanced")
MOST_SNAPSHOTS = 1_000
MONITORED = ("accuracy", "loss")
# The parts of a Vision Transformer, which starting weights settle.
OF_THE_MODEL = (
    "patch_size", "dim", "depth", "heads", "mlp_ratio", "pool", "positions", "positions_at", "attention_init",
    "embedding_init", "qk_norm",
)  # fmt: skip
SIZES = ("patch_size", "dim", "depth", "heads", "mlp_ratio")
ATTENTION_INITS, EMBEDDING_INITS = ("xavier", "mimetic"), ("lecun", "whitened")
QK_NORMS = ("none", "layer")
OWN_DATA, OWN_MODEL, OWN_OPTIMIZER = "own data", "own model", "own optimizer"  # of a script, see `Trainer`


# Options of weights that hold numbers: how each is read.
OPTIONS_AS_TEXT = {name: read for name, read in READERS.items() if name != "pool"}
OF_WEIGHTS = (*OPTIONS_AS_TEXT, "interpolation", "gelu", "eps")  # how a file of weights is read


@dataclass(frozen=True, kw_only=True)
class Options:
    """A group of options: checks the types of its fields, and converts NumPy's numbers to Python's for JSON."""

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check_type(field.name, str(field.type).split(" | "))

    def _check_type(self, name: str, types: list[str]) -> None:
        """Check an option's type, and convert a number to Python's.

        Args:
            name: the option.
            types: the names of the types that it may have; the first is not None.
        """
        value: Any = getattr(self, name)
        expected = types[0]
        if value is None and "None" in types:
            return
        if expected == "str":
            self._check(name, isinstance(value, str) and "\0" not in value, "text")
            longest = 4_096 if name in PATHS else 100
            self._check(name, len(str(value)) <= longest, f"at most {longest:,} characters long")
        elif expected == "bool":
            self._check(name, isinstance(value, bool), "true or false")
        else:
            is_integer, is_float = isinstance(value, int | np.integer), isinstance(value, float | np.floating)
            rule = "a number" if expected == "float" else "an integer"
            good = (is_integer or (is_float and expected == "float")) and not isinstance(value, bool)
            self._check(name, good, rule)
            number: Any = value.item() if isinstance(value, np.generic) else value
            self._check(name, is_float or -LARGEST_INTEGER <= number <= LARGEST_INTEGER, rule + " of 64 bits")
            object.__setattr__(self, name, number)

    def _check_counts(self, least: int, *names: str) -> None:
        """Check integers, or None where an option may be left out."""
        for name in names:
            value = getattr(self, name)
            if value is not None:
                largest = LARGEST_INTEGER if name == "seed" else LARGEST_COUNT
                self._check(name, value >= least, f"an integer, {least} or more")
                self._check(name, value <= largest, f"at most {largest:,}")

    def _check_not_negative(self, *names: str) -> None:
        for name in names:
            self._check(name, 0 <= getattr(self, name) < math.inf, "0 or more")

    def _check_below_1(self, *names: str) -> None:
        for name in names:
            self._check(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")

    def _check_one_of(self, name: str, choices: Any) -> None:
        self._check(name, getattr(self, name) in choices, f"one of {', '.join(choices)}", choices)

    def _check(self, name: str, good: bool, rule: str, known: Iterable[str] = (), why: str = "") -> None:
        """Raise ConfigError if an option is not good.

        Args:
            name: the option.
            good: whether its value is allowed.
            rule: what it must be.
            known: names to suggest in place of a misspelled one.
            why: the reason, if the rule does not say it.
        """
        if not good:
            value = getattr(self, name)
            hint = did_you_mean(value, known)
            found = f"{quoted(value)}{why and ': '}{why}{hint and '; '}{hint}"
            raise ConfigError(f"{name.replace('_', '-')} must be {rule}, not {found}")


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Which images are trained on, and which are held out."""

    dataset: str = "shapes"
    data_dir: str = ""
    train_images: int | None = None
    validation: int = 0
    split: float | None = None
    sampler: str = "shuffled"
    check_data: bool = False
    skip_broken: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts(1, "train_images")
        self._check_counts(0, "validation")
        self._check_one_of("sampler", SAMPLERS)
        known = f"one of {', '.join(DATASETS)}, or folder:PATH, a folder with a folder for each class"
        self._check("dataset", self.dataset == OWN_DATA or _is_dataset(self.dataset), known, (*DATASETS, "folder:PATH"))
        if self.split is not None:
            self._check("split", self.dataset not in DATASETS, f"left out for {self.dataset}, which has test images")
            self._check("split", 0 < self.split < 1, "a share above 0 and below 1")
        if self.skip_broken and self.dataset in DATASETS:
            raise ConfigError(f"skip-broken is for folders of images: leave it out for {self.dataset}, checked by md5")


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """The network, new or from a file of weights."""

    image_size: int | None = None
    model: str = "ViT-XS_4-CIFAR"
    weights: str = ""
    patch_size: int | None = None
    dim: int | None = None
    depth: int | None = None
    heads: int | None = None
    mlp_ratio: float | None = None
    grid: str = ""
    mean: str = ""
    std: str = ""
    resize: str = ""
    crop: str = ""
    interpolation: str = ""
    gelu: str | None = None
    eps: float | None = None
    pool: str | None = None
    positions: str | None = None
    positions_at: str | None = None
    attention_init: str | None = None
    embedding_init: str | None = None
    qk_norm: str | None = None
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    patch_dropout: float = 0.0
    patch_dropout_until: float = 1.0
    grad_checkpointing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts(1, "patch_size", "dim", "depth", "heads")
        good = self.mlp_ratio is None or 0 < self.mlp_ratio <= LARGEST_RATIO
        self._check("mlp_ratio", good, f"above 0 and at most {LARGEST_RATIO:g}")
        self._check("eps", self.eps is None or 0 < self.eps <= 1, "above 0 and at most 1")
        if self.attention_init is not None:
            self._check_one_of("attention_init", ATTENTION_INITS)
        if self.embedding_init is not None:
            self._check_one_of("embedding_init", EMBEDDING_INITS)
        if self.qk_norm is not None:
            self._check_one_of("qk_norm", QK_NORMS)
        self._check_below_1("patch_dropout")
        self._check("patch_dropout_until", 0 <= self.patch_dropout_until <= 1, "a share from 0 to 1")
        if self.pool is not None:
            classifier = pool_of("pool", self.pool)
            object.__setattr__(self, "pool", "avg" if classifier == "gap" else classifier)  # one name for one thing
        for name, read in OPTIONS_AS_TEXT.items():
            if getattr(self, name):
                read(name, getattr(self, name))
        if self.weights:
            for name in ("patch_size", "dim", "depth", "mlp_ratio", "qk_norm"):
                why = "the starting weights settle the model's shape"
                self._check(name, getattr(self, name) is None, "left out", why=why)
            why = "the run starts from trained weights"
            for name in ("attention_init", "embedding_init"):
                self._check(name, getattr(self, name) is None, "left out", why=why)
        elif self.model != OWN_MODEL:
            model_config(self.model, **self._shape_to_check)

    def check_effect(self) -> None:
        """Check that no option is without an effect. Runs that were saved before this was checked may have some.

        Raises:
            ConfigError: for an option about reading weights without any, and for positions beside weights.
        """
        idle, why = OF_WEIGHTS, "it says how starting weights are read"
        if self.weights:
            idle, why = ("positions", "positions_at"), "the starting weights have theirs"
        for name in idle:
            self._check(name, not getattr(self, name), "left out", why=why)

    @property
    def title(self) -> str:
        """The model's name and what changes its size, or the name of what it starts from."""
        changes = [(name.replace("_", "-"), getattr(self, name)) for name in SIZES]
        said = ", ".join(f"{name} {size:g}" for name, size in changes if size is not None)
        return self.name if self.weights or not said else f"{self.name} with {said}"

    @property
    def name(self) -> str:
        """The model's name, or that of the file, run or published weights that it starts from."""
        if not self.weights:
            return self.model
        path = Path(self.weights)
        return path.parent.name if path.name in ("checkpoint.npz", "best.npz") and path.parent.name else path.name

    @property
    def model_changes(self) -> dict[str, Any]:
        """What differs from the named model, by the fields of `ViTConfig`."""
        named = ("image_size", "patch_size", "dim", "depth", "heads", "positions", "positions_at")
        changes = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        if self.pool is not None:
            changes["classifier"] = pool_of("pool", self.pool)
        if self.qk_norm is not None:
            changes["qk_norm"] = self.qk_norm == "layer"
        if self.mlp_ratio is not None or self.dim is not None:
            changes |= mlp_width(self.model, self.dim, self.mlp_ratio)
        return changes | self.rates

    @property
    def _shape_to_check(self) -> dict[str, Any]:
        """The changes, at an image size that every patch divides if only the data set will say which it is."""
        changes = self.model_changes
        if self.patch_size is not None and self.image_size is None:
            changes["image_size"] = 32 * self.patch_size  # a hybrid's backbone divides it by up to 32
        return changes

    @property
    def rates(self) -> dict[str, float]:
        """The rates of dropout and stochastic depth that are not 0."""
        return {name: rate for name in ("dropout", "stochastic_depth") if (rate := getattr(self, name))}


@dataclass(frozen=True, kw_only=True)
class AugmentOptions(Options):
    """How training images are changed at random."""

    augment: str = "auto"
    randaugment: str = ""
    auto_augment: str = ""
    color_jitter: float = 0.0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_until: float = 1.0
    repeated_augmentation: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_one_of("augment", ("auto", *AUGMENTATIONS))
        self._check("erasing", 0 <= self.erasing <= 1, "a probability from 0 to 1")
        self._check("color_jitter", 0 <= self.color_jitter <= 1, "from 0 to 1")
        for name in ("randaugment", "auto_augment"):
            if getattr(self, name) == "none":  # takes back what a recipe says; "" is the same
                object.__setattr__(self, name, "")
        if self.auto_augment:
            self._check_one_of("auto_augment", ("none", *POLICIES))
        self._check_not_negative("mixup", "cutmix")
        self._check("mix_until", 0 <= self.mix_until <= 1, "a share from 0 to 1")
        self._check_counts(1, "repeated_augmentation")
        if self.randaugment:
            rand_augment(*parse_randaugment(self.randaugment))


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions(Options):
    """What the network learns, and from whom."""

    objective: str = "classes"
    target: str = "mean"
    freeze: bool = False
    teacher: str = ""
    teacher_weight: float = 0.5
    temperature: float = 2.0
    label_smoothing: float = 0.1
    class_weights: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_one_of("objective", OBJECTIVES)
        self._check_one_of("target", TARGETS)
        self._check("temperature", 0 < self.temperature < math.inf, "above 0")
        self._check("teacher_weight", 0 <= self.teacher_weight <= 1, "from 0 to 1")
        self._check_below_1("label_smoothing")
        self._check_one_of("class_weights", CLASS_WEIGHTS)
        if self.class_weights != "none":
            self._check("class_weights", not self.teacher, "none with a teacher", why="its loss has no classes")
            self._check("class_weights", self.objective == "classes", "none where patches are masked")
        if self.objective == "masked-patch":
            for name in ("freeze", "teacher"):
                self._check(name, not getattr(self, name), "left out where patches are masked")


@dataclass(frozen=True, kw_only=True)
class OptimOptions(Options):
    """How many steps of what size change the weights."""

    epochs: float = 10.0
    steps: int | None = None
    batch_size: int = 64
    grad_accum_steps: int = 1
    optimizer: str = "adamw"
    lr: float = 5e-4
    min_lr: float = 0.0
    betas: str = ""
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    lr_schedule: str = "cosine"
    warmup: float = 0.05
    warmup_steps: int | None = None
    clip_grad: float = 1.0
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts(1, "batch_size", "grad_accum_steps", "steps")
        self._check_counts(0, "warmup_steps")
        self._check("epochs", 0 < self.epochs <= MOST_EPOCHS, f"above 0 and at most {MOST_EPOCHS:,}")
        if self.steps is not None and self.epochs != OptimOptions.epochs:
            raise ConfigError("epochs and steps exclude each other: give one of them")
        if self.optimizer != OWN_OPTIMIZER:
            self._check_one_of("optimizer", OPTIMIZERS)
        self._check_one_of("lr_schedule", DECAYS)
        self._check_not_negative("lr", "min_lr", "weight_decay", "clip_grad")
        self._check("min_lr", self.min_lr <= self.lr, f"at most lr = {self.lr:g}")
        if self.betas:
            self._check("betas", self.optimizer != "sgd", "left out with optimizer sgd", why="it has none")
            good = all(0 <= beta < 1 for beta in betas_of(self.betas))
            self._check("betas", good, "two numbers from 0 to below 1, such as 0.9,0.95")
        self._check("layer_decay", 0 < self.layer_decay < math.inf, "above 0")
        self._check("layer_decay", self.layer_decay <= 1, "at most 1")
        self._check_below_1("warmup", "ema_decay")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return how many optimiser steps the run takes."""
        return self.steps or max(1, round(self.epochs * steps_per_epoch))

    def steps_of_warmup(self, total_steps: int) -> int:
        """Return how many of the steps raise the learning rate."""
        return round(self.warmup * total_steps) if self.warmup_steps is None else min(self.warmup_steps, total_steps)


@dataclass(frozen=True, kw_only=True)
class ComputeOptions(Options):
    """On what, in how many threads and in which precision a step computes."""

    num_threads: int | None = None
    microbatch: int | None = None
    device: str = "cpu"
    precision: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts(1, "num_threads", "microbatch")
        self._check_one_of("precision", PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class RecordOptions(Options):
    """When a run is measured, logged and saved, which weights are the best, and its recipe, as a note."""

    recipe: str = ""
    eval_every: float = 1.0
    monitor: str = "accuracy"
    patience: int = 0
    log_every: int = 50
    save_every: float = 60.0
    tensorboard: bool = False
    snapshots: int = 0
    format: str = "png"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts(1, "log_every")
        self._check_counts(0, "patience")
        self._check_not_negative("eval_every", "save_every")
        self._check("snapshots", 0 <= self.snapshots <= MOST_SNAPSHOTS, f"an integer from 0 to {MOST_SNAPSHOTS:,}")
        self._check_one_of("monitor", MONITORED)
        formats_in(self.format)
        measured = not self.patience or self.eval_every > 0
        self._check("patience", measured, "0 with eval-every 0", why="it counts evaluations, and there are none")


def betas_of(text: str) -> tuple[float, float]:
    """Return the two numbers of 0.9,0.95.

    Raises:
        ConfigError: for other texts.
    """
    try:
        first, second = map(float, text.split(","))
    except ValueError as error:
        raise ConfigError(f"betas must be two numbers such as 0.9,0.95, not {quoted(text)}") from error
    return first, second


def _is_dataset(name: str) -> bool:
    try:
        return is_dataset(name)
    except OSError:  # the name is too long for a folder
        return False
