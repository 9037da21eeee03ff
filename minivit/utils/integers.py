"""Check integer arguments: Python's or NumPy's, since `labels.max() + 1` is a NumPy integer."""

from __future__ import annotations

import operator

from ..errors import ConfigError


def integer(what: str, value: object, least: int) -> int:
    """Return an integer as a Python `int`, which JSON can write and which cannot overflow.

    Args:
        what: the name of the argument, for the message.
        value: an `int`, a NumPy integer, or an integer array of shape (); True and 2.0 are refused.
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
