"""A `Module` owns parameters by name, and other Modules; everything else about it is plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from ..engine.backend import Array, to_device, to_numpy, xp_of
from ..engine.tensor import Tensor
from ..errors import CheckpointError


class Module:
    """The base of every layer and model.

    A parameter is a Tensor kept in an attribute; a part is a Module, or a list of Modules. Their order is the order
    in which `__init__` assigns them, and a parameter's name is the path to it: `blocks.3.attention.qkv.weight`.
    """

    training: bool = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    # -- parameters ------------------------------------------------------------------------------

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Every parameter with its name, in the order of definition."""
        found: list[tuple[str, Tensor]] = []
        for name, child in self._children():
            if isinstance(child, Tensor):
                found.append((name, child))
            else:
                found += [(f"{name}.{inner}", tensor) for inner, tensor in child.named_parameters()]
        return found

    def parameters(self) -> list[Tensor]:
        """Every parameter, in the order of definition."""
        return [tensor for _, tensor in self.named_parameters()]

    def num_parameters(self) -> int:
        """How many numbers the parameters hold."""
        return sum(tensor.size for tensor in self.parameters())

    def named_parts(self) -> Iterator[tuple[str, Module]]:
        """The Modules directly inside this one; those in a list are named by their position."""
        yield from ((name, child) for name, child in self._children() if isinstance(child, Module))

    def _children(self) -> Iterator[tuple[str, Tensor | Module]]:
        for name, value in vars(self).items():
            if isinstance(value, list):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(value) if isinstance(item, Module))
            elif isinstance(value, Tensor | Module):
                yield name, value

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for tensor in self.parameters():
            tensor.zero_grad()

    # -- state -----------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """The parameters' arrays by name: the model's own, not copies."""
        return {name: tensor.data for name, tensor in self.named_parameters()}

    def load_state(self, state: Mapping[str, Array], source: str = "the weights") -> None:
        """Copy arrays into the parameters; nothing changes unless every name and shape fits.

        Raises:
            CheckpointError: if names are missing or unknown, or shapes differ; it lists them.
        """
        own = dict(self.named_parameters())
        problems = [f"{name} is missing" for name in own if name not in state]
        problems += [f"{name} is unknown" for name in state if name not in own]
        problems += [
            f"{name} has shape {tuple(state[name].shape)} instead of {own[name].shape}"
            for name in own
            if name in state and tuple(state[name].shape) != own[name].shape
        ]
        problems += [f"{name} holds no real numbers" for name in own if name in state and not _is_real(state[name])]
        if problems:
            raise CheckpointError(misfit(source, problems))
        for name, tensor in own.items():
            tensor.data[...] = xp_of(tensor.data).asarray(to_numpy(state[name]), tensor.dtype)

    # -- modes and devices -----------------------------------------------------------------------

    def train(self, training: bool = True) -> Self:
        """Switch to training mode (dropout acts), here and in all parts."""
        self.training = training
        for _, part in self.named_parts():
            part.train(training)
        return self

    def eval(self) -> Self:
        """Switch to evaluation mode (dropout does nothing), here and in all parts."""
        return self.train(False)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside `with model.evaluating():` every part is in evaluation mode; then each has the mode it had."""
        modes = [(part, part.training) for part in self._all_parts()]
        self.eval()
        try:
            yield
        finally:
            for part, training in modes:
                part.training = training

    def _all_parts(self) -> Iterator[Module]:
        yield self
        for _, part in self.named_parts():
            yield from part._all_parts()

    def to(self, device: str) -> Self:
        """Move the parameters to "cpu", "cuda" or "cuda:i" and forget gradients. This thread then computes there."""
        for tensor in self.parameters():
            tensor.data, tensor.grad = to_device(tensor.data, device), None
        return self


def _is_real(array: Array) -> bool:
    return array.dtype.kind in "fiub"


def misfit(source: str, problems: list[str]) -> str:
    """The sentence that lists why weights do not fit a model: the first eight reasons, and how many more."""
    more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
    return f"{source} do not fit this model: {', '.join(problems[:8])}{more}"
