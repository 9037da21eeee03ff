"""Integers as arguments: Python's or NumPy's, since `labels.max() + 1` is one of NumPy's."""

from __future__ import annotations

import operator

from ..errors import ConfigError


def integer(what: str, value: object, least: int) -> int:
    """Return an integer as Python's `int`, which JSON can write and no sum overflows.

    Args:
        what: the name of the argument, for the message.
        value: an `int`, a NumPy integer, or an array of one integer and no axes; True and 2.0 are refused.
        least: the smallest allowed value.

    Raises:
        ConfigError: if `value` is not an integer, or is below `least`.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise ConfigError(f"{what} must be an integer of {least} or more, not {value!r:.60}")
    return number
