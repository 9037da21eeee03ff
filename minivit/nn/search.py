"""Where a Module finds its members, parameters and other Modules, and how it notices one that it would miss.

A Module looks in attributes, and in lists, tuples and dicts there. A member that is anywhere else would be neither
trained nor saved, so these functions search the usual places where one is hidden, and the first one found is an error.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import chain, islice
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ..engine.tensor import Tensor
from ..errors import ConfigError

# Most attributes have these types, which hold no members: they are skipped first, since that is quick.
PLAIN = frozenset({str, bytes, bytearray, memoryview, array, range, int, float, complex, bool, type(None)})
ITERATORS = GeneratorType, map, zip, filter, enumerate, type(iter([])), type(iter(())), type(reversed([]))
OPAQUE = str, bytes, type, ModuleType, BuiltinFunctionType  # these hold no members either
MAX_ITEMS_SEARCHED = 1000  # of one container: the first hidden member found is an error


class Owner:
    """The base of `Module`, by which this file tells one."""


# -- where members are found ---------------------------------------------------------------------


def members_in(name: str, value: object, owner: str, above: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and Modules that a value is or holds, with the paths to them.

    Args:
        name: the path so far.
        value: of an attribute.
        owner: the Module's class, for messages.
        above: the identities of the containers around the value.

    Raises:
        ConfigError: for a computed Tensor, and for a container in which parameters would be missed.
    """
    if type(value) in PLAIN or id(value) in above:
        return
    if isinstance(value, Tensor):
        if not value.is_leaf:
            raise ConfigError(
                f"{owner}.{name} is the result of an operation, so no gradient reaches it: keep its array "
                f"({name}.data), or make a parameter of that array, Tensor(..., requires_grad=True)"
            )
        yield name, value
    elif isinstance(value, Owner):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from members_in(f"{name}.{i}", item, owner, (*above, id(value)))
    elif isinstance(value, dict):
        for key, item in value.items():
            for path, part in members_in(f"{name}.{key}", item, owner, (*above, id(value))):
                _check_key(key, f"{owner}.{name}")
                yield path, part
    elif isinstance(value, ITERATORS):
        raise ConfigError(
            f"{owner}.{name} is a {type(value).__name__}, which can be read once: make it a list, so that its "
            "parts are found"
        )
    elif holds_members(value):
        raise ConfigError(
            f"{owner}.{name} is a {type(value).__name__}, where parameters are not found: keep them in a list, tuple "
            "or dict"
        )


def _check_key(key: object, where: str) -> None:
    """Raise ConfigError for a dict's key that cannot be part of a name, or gives another name after a restart."""
    is_integer = isinstance(key, int | np.integer) and not isinstance(key, bool)
    if not (is_integer or (isinstance(key, str) and key and key.isprintable() and not set("./\\") & set(key))):
        raise ConfigError(
            f"{where} has the key {key!r}, which cannot name parameters: use a text without dots and slashes, or an "
            "integer"
        )


# -- where they would be missed ------------------------------------------------------------------


def holds_members(value: object) -> bool:
    """Return whether a value is a Tensor or a Module, or a container of any kind that holds one."""
    return any(True for _ in _members_inside(value, _items))


def members_in_objects(value: object) -> Iterator[Tensor | Owner]:
    """Yield the Modules and parameters in a value, also in attributes and closures, where a Module does not look."""
    for part in _members_inside(value, _attributes):
        if isinstance(part, Owner) or (part.requires_grad and part.is_leaf):
            yield part


def _members_inside(
    value: object, look_into: Callable[[Any], Iterable[object]], depth: int = 3
) -> Iterator[Tensor | Owner]:
    """Yield every Module and Tensor in a value, and in what it holds.

    Args:
        value: anything.
        look_into: returns what a value holds that is not a list, tuple, set or dict: `_items` or `_attributes`.
        depth: how many containers deep to look.
    """
    if isinstance(value, Tensor | Owner):
        yield value
        return
    if not depth or type(value) in PLAIN or isinstance(value, OPAQUE):
        return
    if isinstance(value, dict):
        inside = chain(islice(value, MAX_ITEMS_SEARCHED), islice(value.values(), MAX_ITEMS_SEARCHED))
    elif isinstance(value, list | tuple | set | frozenset):
        inside = islice(value, MAX_ITEMS_SEARCHED)
    else:
        inside = look_into(value)
    for item in inside:
        yield from _members_inside(item, look_into, depth - 1)


def _items(container: object) -> Iterable[object]:
    """Return the items of a container that is not a list, tuple, set or dict; none for any other object."""
    if isinstance(container, Mapping):
        return islice(container.values(), MAX_ITEMS_SEARCHED)
    if isinstance(container, Sequence | Set | ValuesView):  # a deque is a Sequence
        return islice(container, MAX_ITEMS_SEARCHED)
    if isinstance(container, np.ndarray):
        return islice(container.flat, MAX_ITEMS_SEARCHED) if container.dtype == object else ()
    if is_dataclass(container):
        return [getattr(container, field.name, None) for field in fields(container)]
    return vars(container).values() if isinstance(container, SimpleNamespace) else ()


def _attributes(thing: object) -> Iterable[object]:
    """Return what an object refers to: its attributes, or what a function or method was made with."""
    if isinstance(thing, partial):
        return thing.func, thing.args, thing.keywords
    if isinstance(thing, MethodType):
        return (thing.__self__,)
    if isinstance(thing, FunctionType):
        return _closure(thing)
    slots = getattr(type(thing), "__slots__", ())
    names = (slots,) if isinstance(slots, str) else slots
    return *getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in names)


def _closure(function: FunctionType) -> list[object]:
    """Return the values of a function's variables that belong to the functions around it."""
    values = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a variable that has no value yet
            values.append(cell.cell_contents)
    return values
