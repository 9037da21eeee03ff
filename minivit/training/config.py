"""All options of a run together, and how they are read back from `config.json`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..errors import ConfigError
from ..utils.text import did_you_mean, listed, quoted
from ..utils.usual_names import USUAL_NAMES, plain_name
from .old_options import takes_old_names, with_new_names
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
    "check_data",
    "device",
    "num_threads",
    "grad_checkpointing",
    "log_every",
    "save_every",
    "tensorboard",
    "snapshots",
    "format",
)

# A resumed run may change these too: it goes on to another length.
LENGTH = ("epochs", "steps", "patience")

NOTES_AMONG_OPTIONS = ("recipe",)  # they say where the others come from, and have no effect


@takes_old_names
@dataclass(frozen=True, kw_only=True)
class TrainConfig(
    DataOptions, ModelOptions, AugmentOptions, ObjectiveOptions, OptimOptions, ComputeOptions, RecordOptions
):
    """Every option of a run; `config.json` in its folder. `minivit train --help` explains each.

    `eval_every` is in epochs, `log_every` in steps, `save_every` in seconds; `patience` counts evaluations. `warmup`,
    `mix_until` and `patch_dropout_until` are shares of all steps, from 0 to 1.

    Raises:
        ConfigError: for a value that is not allowed, or does not fit the others.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts(0, "seed")
        images = self.batch_size * self.grad_accum_steps  # of an optimiser step
        self._check("repeated_augmentation", self.repeated_augmentation <= images, f"at most the batch of {images:,}")
        if self.objective == "masked-patch":
            self._check("ema_decay", not self.ema_decay, "left out where patches are masked")
            self._check("patch_dropout", not self.patch_dropout, "left out where patches are masked")
            self._check("sampler", self.sampler == "shuffled", "shuffled where patches are masked")
            if self.target == "pixels":  # no answer is right or wrong: the loss alone is measured
                object.__setattr__(self, "monitor", "loss")


DEFAULTS: dict[str, Any] = {option.name: option.default for option in fields(TrainConfig)}


def option_in_config(name: str) -> str:
    """Return the hint that a name is an option of `TrainConfig`; "" if it is not.

    Args:
        name: of the option, also as other libraries call it.
    """
    usual = [one for one in USUAL_NAMES.get(plain_name(name), ()) if one in DEFAULTS]
    option = name if name in DEFAULTS else usual[0] if usual else ""
    return f"options of a run go into TrainConfig({option}=...)" if option else ""


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
    values = as_written_now(values)
    if unknown := sorted(set(values) - set(DEFAULTS)):
        hint = did_you_mean(unknown[0], DEFAULTS)
        raise ConfigError(f"it has options that this minivit does not know: {listed(unknown)}{hint and '; '}{hint}")
    return TrainConfig(**values)


def as_written_now(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that an earlier version of minivit saved as this one saves them.

    They get their new names, and `epochs` is left out where `steps` counts: it used to be saved too.

    Args:
        values: options by name, as a run saved them.

    Raises:
        ConfigError: if an option has both its old and its new name.
    """
    named = with_new_names(values)
    return {name: value for name, value in named.items() if name != "epochs" or named.get("steps") is None}
