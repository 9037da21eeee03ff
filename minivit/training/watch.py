"""Notice that a model got other parts, without listing its parameters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..engine.tensor import Tensor
from ..nn.module import Module
from ..nn.search import PLAIN


class PartsWatch:
    """Remembers what a model's attributes, and the lists, tuples and dicts in them, hold.

    To list the parameters of ViT-Ti takes a quarter of a millisecond, to compare with what was remembered a tenth of
    that: an optimiser does so in each step.

    Args:
        model: the model as it is now.
    """

    def __init__(self, model: Module):
        self.held: list[tuple[Collection[Any], list[int]]] = []
        self.parts: list[Any] = []  # kept alive, or a new part could get the identity of one that is gone
        self._remember(vars(model), {id(model)})

    def changed(self) -> bool:
        """Return whether an attribute or container holds anything else now; it need not be a part."""
        return any(list(map(id, items)) != identities for items, identities in self.held)

    def _remember(self, container: Collection[Any], seen: set[int]) -> None:
        items = container.values() if isinstance(container, dict) else container
        self.held.append((items, list(map(id, items))))
        for item in items:
            if type(item) in PLAIN or id(item) in seen:
                continue
            seen.add(id(item))
            if isinstance(item, Module):
                self.parts.append(item)
                self._remember(vars(item), seen)
            elif isinstance(item, list | tuple | dict):
                self.parts.append(item)
                self._remember(item, seen)
            elif isinstance(item, Tensor):
                self.parts.append(item)
