"""Options of loading as text: 224, 240x320, 6x4, 0.5,0.5,0.5 and 0.875."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError
from ..utils.text import did_you_mean, quoted

# what the head reads, by timm's names -> `ViTConfig.classifier`
POOLS = {"token": "token", "avg": "gap", "map": "map", "token_gap": "token_gap"}


def sides_of(name: str, text: str) -> int | tuple[int, int]:
    """Return one number for 48, and two for 48x32.

    Args:
        name: the option, for messages.
        text: its value.

    Raises:
        ConfigError: for other texts.
    """
    parts = [part.strip() for part in text.lower().replace(",", "x").split("x")]
    if len(parts) > 2 or not all(re.fullmatch(r"[0-9]{1,19}", part) for part in parts):
        raise ConfigError(f"{name} must be a number such as 224, or two such as 6x4, not {quoted(text)}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def grid_of(name: str, text: str) -> tuple[int, int]:
    """Return the (rows, columns) of 6x4; a single number is both.

    Args:
        name: the option, for messages.
        text: its value.

    Raises:
        ConfigError: for other texts.
    """
    sides = sides_of(name, text)
    return (sides, sides) if isinstance(sides, int) else sides


def channels_of(name: str, text: str) -> tuple[float, ...]:
    """Return the numbers of 0.5,0.5,0.5.

    Args:
        name: the option, for messages.
        text: its value.

    Raises:
        ConfigError: for other texts.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{name} must be numbers such as 0.5,0.5,0.5, not {quoted(text)}") from error


def crop_of(name: str, text: str) -> float | int | tuple[int, int]:
    """Return what a crop is given as: the pixels of 224 or 224x160, or a share such as 0.875.

    Args:
        name: the option, for messages.
        text: its value.

    Raises:
        ConfigError: for other texts.
    """
    if re.fullmatch(r"0?\.[0-9]{1,17}|1\.0*", text):
        return float(text)
    if "." in text:
        raise ConfigError(f"{name} must be pixels such as 224, or a share up to 1.0 such as 0.875, not {quoted(text)}")
    return sides_of(name, text)


def pool_of(name: str, text: str) -> str:
    """Return the `classifier` of `ViTConfig` for what the head reads: gap for avg; gap itself is allowed too.

    Args:
        name: the option, for messages.
        text: its value.

    Raises:
        ConfigError: for other texts.
    """
    known = {*POOLS, *POOLS.values()}
    if text not in known:
        hint = did_you_mean(text, sorted(known))
        raise ConfigError(f"{name} must be one of {', '.join(POOLS)}, not {quoted(text)}{hint and '; '}{hint}")
    return POOLS.get(text, text)


# Options of weights whose text is more than a word or a number: how each is read.
READERS: dict[str, Callable[[str, str], Any]] = {
    "grid": grid_of, "pool": pool_of, "mean": channels_of, "std": channels_of, "resize": sides_of, "crop": crop_of,
}  # fmt: skip
