"""All options of a run together, and how they are read back from `config.json`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..errors import ConfigError
from ..utils.text import listed, quoted
from .options import (
    AugmentOptions,
    ComputeOptions,
    DataOptions,
    ModelOptions,
    ObjectiveOptions,
    OptimOptions,
    RecordOptions,
)

ALWAYS_WRITTEN = ("dataset", "model", "seed")  # in each run's config.json, by every version of minivit

# A resumed run may change these: the weights do not depend on them. (On another device they nearly do not: it rounds
# differently, and its micro-batches draw other dropout masks.)
OPTIONS_WITHOUT_EFFECT_ON_WEIGHTS = (
    "data_dir",
    "device",
    "workers",
    "checkpoint_blocks",
    "log_every",
    "save_every",
    "tensorboard",
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(
    DataOptions, ModelOptions, AugmentOptions, ObjectiveOptions, OptimOptions, ComputeOptions, RecordOptions
):
    """Every option of a run; `config.json` in its folder. The command line's --help explains each."""

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts(0, "seed")
        if self.objective == "masked-patch":
            self._check("ema", not self.ema, "left alone where patches are masked")


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
    return TrainConfig(**without_unused_epochs(values))


def without_unused_epochs(values: dict[str, Any]) -> dict[str, Any]:
    """Return options without `epochs` where `steps` counts: earlier versions of minivit saved both as they were given.

    Args:
        values: options by name, as a run saved them.
    """
    return {name: value for name, value in values.items() if name != "epochs" or values.get("steps") is None}
