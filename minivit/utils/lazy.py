"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def names_on_demand(package: str, homes: Mapping[str, Collection[str]]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package that imports a name from its module at the first use.

    Args:
        package: the package's name.
        homes: the modules inside the package, and the public names that each has.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        vars(sys.modules[package])[name] = value
        return value

    return find
