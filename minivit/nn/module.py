"""A `Module` owns parameters by name, and other Modules; everything else about it is plain Python."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from ..backend.arrays import Array, copy_into, holds_numbers, overflows, same_numbers, to_device
from ..backend.threads import Override
from ..engine.tensor import Tensor
from ..errors import CheckpointError, ConfigError
from ..utils.text import printable
from .search import PLAIN, Owner, holds_members, members_in, members_in_objects


class NamedParameters(list[tuple[str, Tensor]]):
    """Pairs of name and parameter, with the Module that has them.

    An optimiser that is made from this list notices if the Module gets other parameters later.

    Args:
        pairs: the names and parameters.
        module: whose they are.

    Attributes:
        module: a weak reference to it.
    """

    def __init__(self, pairs: Iterable[tuple[str, Tensor]], module: Module):
        super().__init__(pairs)
        self.module = weakref.ref(module)

    def __reduce__(self):
        return list, (list(self),)  # a plain list, since a weak reference cannot be pickled


_evaluation = Override("training", False)


class Module(Owner):
    """The base of every layer and model.

    A parameter is a Tensor in an attribute, a part is a Module in one; both may be in lists, tuples and dicts, at any
    depth. Their order is that in which `__init__` assigns them, and a parameter's name is the path to it:
    `blocks.3.attention.qkv.weight`, or `heads.left.weight` for the key "left" of a dict.

    A parameter with several names is one parameter: it is trained, counted and moved once, and saved under each name.

    Methods that look for parameters raise ConfigError where one would be missed: in a set, a deque, a data class, a
    generator or an object that is not a Module, as the result of an operation, or under a key that cannot be part of a
    name.

    Attributes:
        training: whether the Module is in training mode, in which dropout acts.
    """

    training: bool = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in vars(cls).items():
            if name == "__slots__" and value:
                raise ConfigError(f"{cls.__name__} has __slots__, where a Module finds no parts: leave them out")
            if not name.startswith("__") and holds_members(value):
                raise ConfigError(
                    f"{cls.__name__}.{name} belongs to the class, where it is not trained: assign it in __init__, "
                    f"to self.{name}"
                )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    # -- parameters ------------------------------------------------------------------------------

    def named_parameters(self, check: bool = True) -> NamedParameters:
        """Return every parameter with its name, in the order of definition; one with several names under the first.

        Args:
            check: whether to search objects where parameters are not found, and refuse those. It doubles the time, so
                code that calls this at every step leaves it out.

        Raises:
            ConfigError: if a parameter would be missed.
        """
        if check:
            self._refuse_hidden()
        return NamedParameters(self._first_names(), self)

    def parameters(self) -> list[Tensor]:
        """Return every parameter once, in the order of definition."""
        self._refuse_hidden()
        return [tensor for _, tensor in self._first_names()]

    def first_parameter(self) -> Tensor:
        """Return the parameter that was defined first, without a search for the others."""
        return next(self._names())[1]

    def num_parameters(self) -> int:
        """Return how many numbers the parameters hold."""
        return sum(tensor.size for tensor in self.parameters())

    def __repr__(self) -> str:
        """Return the kind of part and how many numbers its parameters hold: "Linear(4,160 parameters)"."""
        return f"{type(self).__name__}({sum(tensor.size for _, tensor in self._first_names()):,} parameters)"

    def named_parts(self) -> Iterator[tuple[str, Module]]:
        """Yield the Modules directly inside this one, each once; those in a list are named by their position."""
        seen = {id(self)}
        for name, child in self._children():
            if isinstance(child, Module) and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def _children(self) -> Iterator[tuple[str, Tensor | Module]]:
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif type(value) not in PLAIN:
                yield from members_in(name, value, type(self).__name__)

    def _names(self, above: tuple[int, ...] = ()) -> Iterator[tuple[str, Tensor]]:
        """Yield every parameter under each of its names; a part that contains itself is entered once."""
        above = (*above, id(self))
        for name, child in self._children():
            if isinstance(child, Tensor):
                yield name, child
            elif id(child) not in above:
                yield from ((f"{name}.{inner}", tensor) for inner, tensor in child._names(above))

    def _first_names(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every parameter under the first of its names."""
        seen: set[int] = set()
        for name, tensor in self._by_name().items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def _by_name(self) -> dict[str, Tensor]:
        """Return every parameter under each of its names. Raises ConfigError if two have the same name."""
        found: dict[str, Tensor] = {}
        for name, tensor in self._names():
            if found.setdefault(name, tensor) is not tensor:
                raise ConfigError(f"two parameters of {type(self).__name__} are called {name}: give one another name")
        return found

    def _refuse_hidden(self) -> None:
        """Raise ConfigError for a Module or parameter in an object that is not a Module, if it is found nowhere else.

        An optimiser or a callback in an attribute holds parameters that are found elsewhere, which is right.
        """
        parts = self._all_parts()
        known = {id(tensor) for tensor in self._by_name().values()} | {id(part) for part in parts}
        for part in parts:
            for name, value in vars(part).items():
                if type(value) in PLAIN or isinstance(value, Tensor | Module):
                    continue
                if any(id(hidden) not in known for hidden in members_in_objects(value)):
                    raise ConfigError(
                        f"{type(part).__name__}.{name} holds parameters where they are not found: keep layers and "
                        "parameters in attributes, lists, tuples or dicts of classes that derive from minivit.nn.Module"
                    )

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for _, tensor in self._first_names():
            tensor.zero_grad()

    # -- state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Return the parameters' arrays by name: the model's own, not copies.

        A parameter with several names is there under each, so that a model with separate parameters can load it.
        """
        self._refuse_hidden()
        return {name: tensor.data for name, tensor in self._by_name().items()}

    def load_state_dict(self, state: Mapping[str, Array], source: str = "the state") -> None:
        """Copy arrays into the parameters; nothing changes unless every name and shape fits.

        For a parameter with several names, at least one must be there; if there are more, their arrays must be equal.

        Args:
            state: arrays by name.
            source: what the arrays are, for the error message.

        Raises:
            CheckpointError: if names are missing or unknown, shapes differ, or arrays are not real numbers; it lists
                the names.
        """
        own = self._by_name()
        given: dict[int, str] = {}  # of each parameter the first name that is there
        for name, tensor in own.items():
            if name in state:
                given.setdefault(id(tensor), name)
        problems = [f"{name} is missing" for name, tensor in self._first_names() if id(tensor) not in given]
        problems += [f"{name} is unknown" for name in state if name not in own]
        present = {name: tensor for name, tensor in own.items() if name in state}
        problems += [
            f"{name} has shape {tuple(state[name].shape)} instead of {tensor.shape}"
            for name, tensor in present.items()
            if tuple(state[name].shape) != tensor.shape
        ]
        problems += [f"{name} does not hold real numbers" for name in present if not _is_real(state[name])]
        problems += [
            f"{name} has numbers that are infinite in {tensor.dtype}"
            for name, tensor in present.items()
            if _is_real(state[name]) and overflows(state[name], tensor.dtype)
        ]
        problems += [
            f"{first} and {name} are one parameter here and differ there"
            for name, tensor in present.items()
            if (first := given[id(tensor)]) != name and not same_numbers(state[first], state[name])
        ]
        if problems:
            raise CheckpointError(misfit(source, problems))
        for name, tensor in present.items():
            copy_into(tensor.data, state[name])
            tensor.changed_in_place()

    def state(self) -> dict[str, Array]:
        """Return `state_dict()`, by its older and shorter name."""
        return self.state_dict()

    def load_state(self, state: Mapping[str, Array], source: str = "the state") -> None:
        """Call `load_state_dict`, by its older and shorter name."""
        self.load_state_dict(state, source)

    # -- modes -----------------------------------------------------------------------------------

    def train(self, training: bool = True) -> Self:
        """Switch to training mode (dropout acts), here and in all parts."""
        self._refuse_hidden()
        for part in self._all_parts():
            part.training = training
        return self

    def eval(self) -> Self:
        """Switch to evaluation mode (dropout does nothing), here and in all parts."""
        return self.train(False)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put every part in evaluation mode inside `with model.evaluating():`; then each has its former mode again.

        If several evaluations overlap, the modes return after the last one. Code that trains the model meanwhile trains
        it in evaluation mode.
        """
        self._refuse_hidden()
        with _evaluation.of(self._all_parts()):
            yield

    def _all_parts(self) -> list[Module]:
        """Return this Module and all inside, each once."""
        found: dict[int, Module] = {id(self): self}
        waiting: list[Module] = [self]
        while waiting:
            for _, part in waiting.pop().named_parts():
                if id(part) not in found:
                    found[id(part)] = part
                    waiting.append(part)
        return list(found.values())

    def to(self, device: str) -> Self:
        """Move the parameters to "cpu", "cuda" or "cuda:i" and forget gradients. This thread then computes there."""
        for tensor in self.parameters():
            tensor.data, tensor.grad = to_device(tensor.data, device), None
        return self


def _is_real(array: Array) -> bool:
    return holds_numbers(array.dtype)


LONGEST_PROBLEMS = 130  # characters: with a path the sentence stays under 200


def misfit(source: str, problems: list[str]) -> str:
    """Return the sentence that says why weights do not fit a model: the first reasons, and how many more.

    There are eight reasons at most, and no more than 130 characters; none is cut in the middle.
    """
    shown: list[str] = []
    for problem in problems[:8]:
        if shown and len(", ".join([*shown, problem])) > LONGEST_PROBLEMS:
            break
        shown.append(printable(problem, LONGEST_PROBLEMS))
    rest = len(problems) - len(shown)
    return f"{source} does not fit this model: {', '.join(shown)}{f' and {rest} more' if rest else ''}"
