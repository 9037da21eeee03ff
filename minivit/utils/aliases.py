"""Old names of functions and classes: they still work, and warn with the new name."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def old_names(module: str, new_names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module that finds its objects under their old names too.

    Args:
        module: the name of the module that defines `__getattr__`.
        new_names: old name -> new name in this module, or with the module that has it now, as in
            "minivit.training.evaluation.evaluate_dataset".
    """

    def find(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new = new_names[name]
        warnings.warn(f"{module}.{name} is now {new}: use that instead", DeprecationWarning, stacklevel=2)
        place, _, new_name = new.rpartition(".")
        return getattr(importlib.import_module(place or module), new_name)

    return find
