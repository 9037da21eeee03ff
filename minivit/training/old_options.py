"""Old names of a run's options: scripts, commands and runs that use them still work."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import ConfigError
from ..utils.notices import notice
from ..utils.text import quoted, suggestion

Config = TypeVar("Config")

# old name -> the name that timm and Hugging Face use
NEW_NAMES = {
    "accumulate": "grad_accum_steps",
    "checkpoint_blocks": "grad_checkpointing",
    "classifier": "pool",
    "clip": "clip_grad",
    "decay": "lr_schedule",
    "ema": "ema_decay",
    "smoothing": "label_smoothing",
    "workers": "num_threads",
}


def with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options under their present names.

    Args:
        values: options by name.

    Raises:
        ConfigError: if an option is given under both names.
    """
    for old, new in NEW_NAMES.items():
        if old in values and new in values:
            raise ConfigError(f"{old} is the old name of {new}: give only {new}")
    return {NEW_NAMES.get(name, name): value for name, value in values.items()}


def takes_old_names(config: type[Config]) -> type[Config]:
    """Let a class take options as keywords and give them as attributes under their old names too, with a notice."""
    initialise = config.__init__
    known = [field.name for field in fields(config)]  # type: ignore[arg-type]

    @functools.wraps(initialise)
    def initialise_with_new_names(self: Config, *values: Any, **options: Any) -> None:
        if values:
            raise ConfigError(f"{config.__name__} takes options by name, such as lr=1e-3, not {quoted(values[0])}")
        if unknown := [name for name in options if name not in known and name not in NEW_NAMES]:
            hint = suggestion(unknown[0], known, "minivit train --help")
            raise ConfigError(f"{config.__name__} has no option {quoted(unknown[0])}: {hint}")
        for old in NEW_NAMES:
            if old in options:
                _tell(old)
        initialise(self, **with_new_names(options))

    config.__init__ = initialise_with_new_names  # type: ignore[method-assign]
    for old in NEW_NAMES:
        setattr(config, old, property(functools.partial(_under_new_name, old)))
    return config


def _under_new_name(old: str, config: Any) -> Any:
    _tell(old)
    return getattr(config, NEW_NAMES[old])


def _tell(old: str) -> None:
    notice(f"the option {old} is called {NEW_NAMES[old]} now")
