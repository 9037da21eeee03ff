"""Old names of functions, classes and arguments: they still work, and warn with the new name."""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from ..errors import ConfigError
from .text import did_you_mean, quoted

Function = TypeVar("Function", bound=Callable[..., Any])


def tells_unknown_keywords(advice: Callable[[str], str] = lambda name: "") -> Callable[[Function], Function]:
    """Return a decorator: a call with a keyword that the function lacks raises ConfigError with advice.

    Args:
        advice: from the unknown keyword to what to write instead, or "" to suggest the nearest argument.
    """

    def decorate(function: Function) -> Function:
        known = inspect.signature(function).parameters

        @functools.wraps(function)
        def checked(*values: Any, **options: Any) -> Any:
            for name in options:
                if name not in known:
                    what = function.__qualname__.removesuffix(".__init__")
                    hint = advice(name) or did_you_mean(name, known)
                    raise ConfigError(f"{what} has no argument {quoted(name)}{hint and ': '}{hint}")
            return function(*values, **options)

        return cast(Function, checked)

    return decorate


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


def old_arguments(**new_names: str) -> Callable[[Function], Function]:
    """Return a decorator that lets a function take keyword arguments under their old names too.

    Args:
        **new_names: old name = new name.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            for old, new in new_names.items():
                if old in options and new not in options:
                    message = f"the argument {old} of {function.__name__} is now {new}: use that instead"
                    warnings.warn(message, DeprecationWarning, stacklevel=2)
                    options[new] = options.pop(old)
            return function(*args, **options)

        return call  # type: ignore[return-value]

    return decorate
