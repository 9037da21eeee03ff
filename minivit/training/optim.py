"""Optimisers: from gradients to the next weights, in place."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..backend.arrays import BLOCK_ELEMENTS, Array, is_array, is_float, row_blocks, to_numpy, xp_of
from ..backend.gpu.kernels import elementwise, parts_of_rows, rowwise
from ..backend.precision import wide, wide_type
from ..backend.products import sum_of_parts
from ..engine.tensor import Tensor
from ..errors import BackwardError, CheckpointError, ConfigError, DTypeError, NonFiniteLossError, ShapeError
from ..nn.module import Module, NamedParameters
from ..utils.aliases import tells_unknown_keywords
from ..utils.text import quoted
from .flat import all_finite, joined, parts_of, side_by_side
from .watch import PartsWatch

if TYPE_CHECKING:
    from ..backend.workers import Workers

Named = Iterable[tuple[str, Tensor]]

STACK_ELEMENTS = 131_072  # of kernels that Muon moves at once: its products need several such arrays in the cache
GPU_STACK_ELEMENTS = 16_777_216


def is_kernel(name: str, parameter: Tensor) -> bool:
    """Return whether a parameter is the kernel of a layer: weight decay applies to these alone.

    Biases, LayerNorm's scales, the class token and the positions are left alone, as in the authors' big_vision.
    """
    return name.endswith("weight") and parameter.ndim >= 2


def by_name(named_parameters: Named) -> dict[str, Tensor]:
    """Return parameters by their names, each once, under the first of its names.

    Raises:
        ConfigError: if these are not pairs of name and Tensor, if two have one name, or if one is the result of an
            operation or shares its array with another.
    """
    if isinstance(named_parameters, Module | Tensor) or not isinstance(named_parameters, Iterable):
        raise ConfigError(
            f"pairs of name and parameter are needed, as model.named_parameters() gives them, not a "
            f"{type(named_parameters).__name__}"
        )
    pairs = named_parameters.items() if isinstance(named_parameters, Mapping) else named_parameters
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for pair in pairs:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise ConfigError(
                f"pairs of name and parameter are needed, not a {type(pair).__name__} alone: pass "
                "model.named_parameters() instead of model.parameters()"
            )
        name, parameter = str(pair[0]), pair[1]
        if not isinstance(parameter, Tensor):
            raise ConfigError(f"{name} must be a parameter, a Tensor, not {type(parameter).__name__}")
        if not parameter.is_leaf:
            raise ConfigError(
                f"{name} is the result of an operation, not a parameter: change a parameter in place, "
                "w.data -= ..., instead of w = w - ..."
            )
        if id(parameter) not in seen:
            if name in found:
                raise ConfigError(f"two parameters are called {name}: give each another name")
            seen.add(id(parameter))
            found[name] = parameter
    _check_no_shared_arrays(found)
    return found


def _check_no_shared_arrays(parameters: dict[str, Tensor]) -> None:
    """Raise ConfigError if two parameters share an array: the optimiser would give each a separate copy."""
    places: list[tuple[int, int, str]] = []  # where each begins and ends in memory
    for name, parameter in parameters.items():
        if isinstance(parameter.data, np.ndarray) and parameter.size:
            start, end = np.lib.array_utils.byte_bounds(parameter.data)
            places.append((start, end, name))
    furthest, before = 0, ""
    for start, end, name in sorted(places):
        if start < furthest and np.shares_memory(parameters[before].data, parameters[name].data):
            raise ConfigError(
                f"{before} and {name} are two Tensors that share one array: use one Tensor for both, or copy the array"
            )
        if end > furthest:
            furthest, before = end, name


def number(name: str, value: Any, least: float = 0.0, below: float = math.inf) -> float:
    """Return `value` as a Python float. Raises ConfigError unless it is a number from `least` up and below `below`."""
    try:
        good = not isinstance(value, str | bytes | bool | np.bool_) and least <= float(value) < below
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        limit = "" if below == math.inf else f" and below {below:g}"
        raise ConfigError(f"{name} must be a finite number, {least:g} or more{limit}, not {value!r}")
    return float(value)


class Group:
    """Parameters that are updated alike, side by side in one long array, and their state beside them in others.

    A call for each small array costs more than what it computes, and on a GPU each call is a launch: a step of AdamW on
    the 80 parameters of ViT-Ti_4-CIFAR has 4 launches.

    Args:
        parameters: by name.
        slots: how many state arrays each parameter has.
        decays: whether weight decay applies to them.

    Attributes:
        arrays: the weights, and one array for each slot: (n,) each.
        places: which part of the arrays is each parameter's.
        views: each parameter's weights and state, in its shape.
    """

    def __init__(self, parameters: dict[str, Tensor], slots: int, decays: bool):
        self.parameters, self.decays = parameters, decays
        weights = side_by_side([parameter.data for parameter in parameters.values()])
        state = wide(weights[:0]).dtype  # float32 for half precision, in which Adam's eps would be 0
        self.arrays = [weights, *(xp_of(weights).zeros_like(weights, dtype=state) for _ in range(slots))]
        self.places: dict[str, slice] = {}
        end = 0
        for name, parameter in parameters.items():
            self.places[name] = slice(end, end + parameter.size)
            end += parameter.size
        self._link()

    def _link(self) -> None:
        """Give each parameter its part of the long array."""
        self.views = {
            name: [array[self.places[name]].reshape(parameter.shape) for array in self.arrays]
            for name, parameter in self.parameters.items()
        }
        self.take_in()

    def take_in(self) -> None:
        """Copy the weights of a parameter that was given another array into its part of the long array.

        Raises:
            ShapeError: if that array has another shape, or is on another device.
        """
        for name, parameter in self.parameters.items():
            own = self.views[name][0]
            if parameter.data is own:
                continue
            if parameter.shape != own.shape or xp_of(parameter.data) is not xp_of(own):
                raise ShapeError(
                    f"{name} had the shape {own.shape} on the {_device(own)} when the optimiser was made and has "
                    f"{parameter.shape} on the {_device(parameter.data)} now: make the optimiser after such a change"
                )
            own[...] = parameter.data
            parameter.data = own

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "views"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._link()  # a copy's parameters are parts of the copied array again


def _run(part: Callable[[], None]) -> None:
    """Run a part of a step. Numbers that are too small become 0; `Optimizer._check_weights` finds those too large."""
    with np.errstate(all="ignore"):
        part()


def _device(array: Array) -> str:
    return "processor" if xp_of(array) is np else "GPU"


class Optimizer:
    """What all optimisers share: named parameters, a learning rate, and state arrays beside each parameter.

    Args:
        named_parameters: pairs of name and Tensor, as `model.named_parameters()` gives them. A Tensor with several
            names is one parameter, under the first of them.
        lr: the learning rate; assign to `.lr` to change it between steps.
        weight_decay: how strongly kernels are pulled towards 0 (see `is_kernel`).

    Each parameter has a new array from then on (see `Group`): a change of its old array does not reach it.

    Attributes:
        parameters: by name, each once.
        scales: factors by which the rate of single parameters differs, by their names; empty at first.
        steps: how many were taken.
        groups: parameters that are updated alike, in long arrays.
        slots: the names of the state arrays that each parameter has; a subclass sets them.
        constants: the names of the attributes that the rule depends on, besides `lr`; a subclass adds to them.
        workers: threads that share a step, or None; the weights are the same for any number of them, bit for bit.

    Raises:
        ConfigError: for parameters without names, two of one name, or rates that are not finite numbers from 0 up.
    """

    slots: tuple[str, ...] = ()
    constants: tuple[str, ...] = ("weight_decay",)
    workers: Workers | None = None

    def __init__(self, named_parameters: Named, lr: float, weight_decay: float = 0.0):
        self.parameters = by_name(named_parameters)
        if not self.parameters:
            raise ConfigError("an optimiser needs at least one parameter")
        self.lr = number("the learning rate", lr)
        self.weight_decay = number("weight decay", weight_decay)
        self._model: weakref.ref[Module] | None = None
        self._parts: PartsWatch | None = None
        if isinstance(named_parameters, NamedParameters):
            self._model = named_parameters.module
        self.scales: dict[str, float] = {}
        self.steps = 0
        kinds: dict[tuple[bool, np.dtype], dict[str, Tensor]] = {}
        for name, parameter in self.parameters.items():
            kinds.setdefault((is_kernel(name, parameter), parameter.dtype), {})[name] = parameter
        self.groups = [Group(alike, len(self.slots), decays) for (decays, _), alike in kinds.items()]

    @property
    def order(self) -> list[int]:
        """The places of the parameters in the list of all, group after group: a GPU then copies no gradient."""
        places = {name: place for place, name in enumerate(self.parameters)}
        return [places[name] for group in self.groups for name in group.parameters]

    def step(self, gradients: Sequence[Array | None] | None = None) -> None:
        """Take one step along `gradients`, in the parameters' order; along each parameter's `.grad` if left out.

        A parameter without a gradient, or with requires_grad=False, stays as it is.

        Raises:
            BackwardError: if `gradients` is left out and no parameter has one.
            ConfigError: if the model has other parameters than when the optimiser was made, or a rate is not finite.
            ShapeError: if a gradient has another shape than its parameter, or a parameter another shape or device than
                when the optimiser was made.
            NonFiniteLossError: if a gradient is not finite, or if weights became infinite or nan. On a GPU `state()`
                checks the weights instead, since a check in each step would wait for the GPU.

            No weight is changed, except where weights became infinite or nan.
        """
        self._check_model()
        self.lr = number("the learning rate", self.lr)
        if unknown := self.scales.keys() - self.parameters.keys():
            raise ConfigError(f"scales name parameters that the optimiser does not have: {', '.join(sorted(unknown))}")
        given = self._gradients_by_name(gradients)
        for group in self.groups:
            group.take_in()
        for name, gradient in given.items():
            self._check_gradient(name, gradient)
        self.steps += 1
        for name in given:
            self.parameters[name].changed_in_place()
        parts = [part for group in self.groups for part in self._parts_of_step(group, given)]
        for _ in self.workers.map(_run, parts) if self.workers else map(_run, parts):
            pass
        with np.errstate(all="ignore"):
            for group in self.groups:
                if isinstance(group.arrays[0], np.ndarray):
                    self._check_weights(group)

    def _gradients_by_name(self, gradients: Sequence[Array | None] | None) -> dict[str, Array]:
        """Return by name the gradients of the parameters to update."""
        if gradients is None:
            gradients = [parameter.grad for parameter in self.parameters.values()]
            trained = [parameter for parameter in self.parameters.values() if parameter.requires_grad]
            if trained and all(parameter.grad is None for parameter in trained):
                raise BackwardError(
                    "no parameter of this optimiser has a gradient: call loss.backward() before step(), with a loss "
                    "that was computed from these very parameters"
                )
        gradients = list(gradients)
        if len(gradients) != len(self.parameters):
            raise ShapeError(
                f"step() was given {len(gradients)} gradients for {len(self.parameters)} parameters: one is needed for "
                "each of optimizer.parameters, or None"
            )
        return {
            name: gradient.data if isinstance(gradient, Tensor) else gradient
            for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True)
            if gradient is not None and parameter.requires_grad
        }

    def _check_model(self) -> None:
        """Raise ConfigError if the model's parameters are not those that this optimiser updates."""
        model = self._model() if self._model else None
        if model is None or (self._parts and not self._parts.changed()):
            return
        now = model.named_parameters(check=False)
        own, in_model = {id(p) for p in self.parameters.values()}, {id(p) for _, p in now}
        self._parts = PartsWatch(model) if own == in_model else None
        if own == in_model:
            return
        new = [name for name, parameter in now if id(parameter) not in own and parameter.requires_grad]
        gone = [name for name, parameter in self.parameters.items() if id(parameter) not in in_model]
        changes = [f"{name} is {'another' if name in gone else 'new'}" for name in new]
        changes += [f"{name} is gone" for name in gone if name not in new]
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            raise ConfigError(
                f"the model's parameters changed after the optimiser was made: {', '.join(changes[:3])}{more}; make "
                "the optimiser after such a change"
            )

    def _check_gradient(self, name: str, gradient: Array) -> None:
        parameter = self.parameters[name]
        if not is_array(gradient):
            raise DTypeError(f"the gradient of {name} must be an array, not {type(gradient).__name__}")
        if gradient.shape != parameter.shape:
            raise ShapeError(f"the gradient of {name} has shape {gradient.shape}, the parameter {parameter.shape}")
        # A product with itself is finite if all numbers are, unless they are very large.
        finite = xp_of(gradient) is not np or math.isfinite(np.vdot(gradient, gradient)) or all_finite(gradient)
        if not finite:
            raise NonFiniteLossError(
                f"the gradient of {name} is infinite or not a number at step {self.steps + 1}: no weight was changed; "
                "look at the loss and the images, or try a lower learning rate"
            )

    def _check_weights(self, group: Group) -> None:
        """Raise NonFiniteLossError if a weight of the group is infinite or not a number."""
        if all_finite(group.arrays[0]):
            return
        name = next(name for name, (weights, *_) in group.views.items() if not all_finite(weights))
        raise NonFiniteLossError(
            f"{name} became infinite or not a number at step {self.steps} with learning rate {self.lr:.3g} and weight "
            f"decay {self.weight_decay:.3g}: try lower ones"
        )

    def _parts_of_step(self, group: Group, given: dict[str, Array]) -> Iterator[Callable[[], None]]:
        """Yield calls that each update one part of a group: threads may share them.

        A part is a block of neighbouring parameters that all have a gradient and the same rate; it stays in the cache.
        """

        def kind(name: str) -> tuple[bool, float, str]:
            # On a processor a large parameter is a stretch by itself: its gradient need not be copied beside others.
            large = group.parameters[name].size > BLOCK_ELEMENTS and xp_of(group.arrays[0]) is np
            return name in given, self.scales.get(name, 1.0), name if large else ""

        for (stepped, scale, _), neighbours in groupby(group.parameters, kind):
            names = list(neighbours)
            if not stepped:
                continue
            stretch = slice(group.places[names[0]].start, group.places[names[-1]].stop)
            w, *state = (array[stretch] for array in group.arrays)
            g = joined([given[name].reshape(-1) for name in names])
            rates = {"lr": self.lr * scale, "decay": self.weight_decay if group.decays else 0.0}
            for block in row_blocks(w):
                yield partial(self._update_block, w[block], g[block], *(array[block] for array in state), **rates)

    def _update_block(self, w: Array, g: Array, *state: Array, lr: float, decay: float) -> None:
        """Change weights in place as `update` does, half-precision ones by way of float32."""
        weights = wide(w)
        self.update(weights, wide(g), *state, lr=lr, decay=decay)
        if weights is not w:
            w[...] = weights

    def update(self, w: Array, g: Array, *state: Array, lr: float, decay: float) -> None:
        """Change weights `w` in place, given gradients `g`; all one-dimensional."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters.values():
            parameter.zero_grad()

    def __getstate__(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name != "workers"}
        return {**own, "_model": None, "_parts": None}  # a copy is of other parameters

    def state(self) -> dict[str, Array]:
        """Return the state arrays by name: `SLOT/PARAMETER`. With `steps`, they are all that the next step depends on.

        Raises:
            NonFiniteLossError: if a weight is infinite or not a number: training cannot go on from there.
        """
        with np.errstate(all="ignore"):
            for group in self.groups:
                self._check_weights(group)
        return self._state_arrays()

    def rule(self) -> dict[str, Any]:
        """Return by name what a step depends on besides its arrays, `steps` and `lr`: JSON values."""
        constants = {name: getattr(self, name) for name in self.constants}
        return {"optimizer": type(self).__name__, **constants, "scales": dict(self.scales)}

    def _state_arrays(self) -> dict[str, Array]:
        return {
            f"{slot}/{name}": array
            for group in self.groups
            for name, (_, *arrays) in group.views.items()
            for slot, array in zip(self.slots, arrays, strict=True)
        }

    def check_state(self, state: Mapping[str, Array]) -> None:
        """Raise CheckpointError if these arrays are not such as `state()` gives."""
        kind = type(self).__name__
        _check_arrays(state, self._state_arrays(), f"the saved optimiser state does not belong to {kind} on this model")

    def load_state(self, state: dict[str, Array], steps: int) -> None:
        """Take over what `state()` and `steps` gave.

        Raises:
            CheckpointError: if it is of another model, or of another rule; nothing is changed then.
        """
        self.check_state(state)
        for name, array in self._state_arrays().items():
            array[...] = xp_of(array).asarray(state[name], array.dtype)
        self.steps = steps


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: m <- momentum m + g, w <- w - lr m.  # ViT B.1.1, Table 4

    Weight decay is added to the gradient.

    Args:
        momentum: decay of the running mean.

    The other arguments are those of `Optimizer`.
    """

    slots = ("momentum",)
    constants = (*Optimizer.constants, "momentum")

    @tells_unknown_keywords()
    def __init__(
        self,
        named_parameters: Named,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ):
        super().__init__(named_parameters, lr, weight_decay)
        self.momentum = number("momentum", momentum)

    def update(self, w: Array, g: Array, *state: Array, lr: float, decay: float) -> None:
        (m,) = state
        sgd_step(w, g, m, lr, self.momentum, decay)


@elementwise(reads="w g m", writes="w m", wide="m")
def sgd_step(w: Array, g: Array, m: Array, lr: float, momentum: float, decay: float) -> None:
    """m <- momentum m + g + decay w, w <- w - lr m."""
    m *= momentum
    m += g
    if decay:
        m += decay * w
    w -= lr * m


class Adam(Optimizer):
    """Adam (arXiv 1412.6980): the gradient's running mean over its running root mean square.  # ViT §4.1, Table 3

    Weight decay is added to the gradient; `AdamW` keeps the two apart.

    Args:
        betas: decay of the running means of the gradient and of its square, from 0 to below 1.
        eps: added to the root of the second mean, so that a gradient of zeros gives a finite step.

    The other arguments are those of `Optimizer`.
    """

    slots = ("mean", "square")
    constants = (*Optimizer.constants, "betas", "eps")
    decoupled = False

    @tells_unknown_keywords()
    def __init__(
        self,
        named_parameters: Named,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(named_parameters, lr, weight_decay)
        if not (isinstance(betas, tuple | list) and len(betas) == 2):
            raise ConfigError(f"betas must be two numbers, not {betas!r}")
        self.betas = number("beta1", betas[0], below=1.0), number("beta2", betas[1], below=1.0)
        self.eps = number("eps", eps)

    def update(self, w: Array, g: Array, *state: Array, lr: float, decay: float) -> None:
        mean, square = state
        beta1, beta2 = self.betas
        # The running means start at 0; dividing by 1 - beta^steps makes up for it.
        rate = lr / (1.0 - beta1**self.steps)
        root = 1.0 / math.sqrt(1.0 - beta2**self.steps)
        shrink, decay = (1.0 - lr * decay, 0.0) if self.decoupled else (1.0, decay)
        adam_step(w, g, mean, square, rate, beta1, beta2, self.eps, root, shrink, decay)


@elementwise(reads="w g mean square", writes="w mean square", wide="mean square")
def adam_step(
    w: Array, g: Array, mean: Array, square: Array, rate: float, beta1: float, beta2: float, eps: float, root: float,
    shrink: float, decay: float,
) -> None:  # fmt: skip
    """w <- shrink w - rate mean / (root sqrt(square) + eps), with the running means of g + decay w and its square.

    Args:
        w, g: the weights, changed in place, and their gradients.
        mean, square: the running means, changed in place.
        rate: the learning rate, over 1 - beta1^steps.
        beta1, beta2: the decay of the running means.
        eps: added to the root of `square`.
        root: 1 / sqrt(1 - beta2^steps).
        shrink: AdamW's weight decay: a factor of the weights; 1 for Adam.
        decay: Adam's weight decay, added to the gradient; 0 for AdamW.
    """
    if decay:
        g = g + decay * w
    if shrink != 1.0:
        w *= shrink
    scratch = g * (1.0 - beta1)
    mean *= beta1
    mean += scratch
    xp_of(w).multiply(g, g, out=scratch)
    scratch *= 1.0 - beta2
    square *= beta2
    square += scratch
    xp_of(w).sqrt(square, out=scratch)
    scratch *= root
    scratch += eps
    xp_of(w).divide(mean, scratch, out=scratch)
    scratch *= rate
    w -= scratch


class AdamW(Adam):
    """Adam with decoupled weight decay (arXiv 1711.05101): w <- w - lr decay w, apart from the gradient.

    The arguments are Adam's.
    """

    decoupled = True

    @tells_unknown_keywords()
    def __init__(
        self,
        named_parameters: Named,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.05,
    ):
        super().__init__(named_parameters, lr, betas, eps, weight_decay)


class Muon(AdamW):
    """Orthogonal momentum for the kernels inside the encoder blocks, AdamW for all else (arXiv 2502.16982).

    A kernel moves along its momentum with all singular values made about 1: every direction that the gradient has
    gets an equal share of the step, not only the few large ones. ViT-XS_4-CIFAR, three epochs of CIFAR-10, 5,000
    held-out images: 58.1 % (lr 4e-3) where AdamW has 51.1 % (2e-3), for a tenth more time.

    Args:
        momentum: decay of the kernels' running mean.

    The other arguments are AdamW's. The step of a kernel is scaled to the size that AdamW's would have, so that `lr`
    and `weight_decay` mean the same for both.
    """

    constants = (*AdamW.constants, "momentum")

    @tells_unknown_keywords()
    def __init__(
        self,
        named_parameters: Named,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.05,
        momentum: float = 0.95,
    ):
        super().__init__(named_parameters, lr, betas, eps, weight_decay)
        self.momentum = number("momentum", momentum, below=1.0)

    def _parts_of_step(self, group: Group, given: dict[str, Array]) -> Iterator[Callable[[], None]]:
        inside = {
            name: given[name]
            for name, parameter in group.parameters.items()
            if group.decays and parameter.ndim == 2 and parameter.size and name in given and "blocks." in name
        }
        yield from super()._parts_of_step(group, {name: g for name, g in given.items() if name not in inside})
        kernels = [kernel for name in inside for kernel in self._kernels_of(name, group, inside[name])]
        for _, alike in groupby(sorted(kernels, key=Kernel.shape), Kernel.shape):
            for stack in stacks_of(list(alike)):
                yield partial(self._move, stack)

    def _kernels_of(self, name: str, group: Group, gradient: Array) -> Iterator[Kernel]:
        weight, mean, *_ = group.views[name]
        joint = name.endswith("qkv.weight") and weight.shape[1] % 3 == 0  # one array with the kernels of q, k and v
        parts = 3 if joint else 1
        split = (xp_of(weight).split(array, parts, 1) for array in (weight, mean, gradient))
        for w, m, g in zip(*split, strict=True):
            yield Kernel(w, m, g, self.lr * self.scales.get(name, 1.0))

    def _move(self, kernels: list[Kernel]) -> None:
        """Move kernels of one shape."""
        ahead = []
        for _, mean, gradient, _ in kernels:
            mean += (1.0 - self.momentum) * (gradient - mean)
            ahead.append(gradient + self.momentum * (mean - gradient))  # Nesterov: where the mean will be
        directions = orthogonalized(xp_of(ahead[0]).stack(ahead))  # (kernels, m, n)
        for (w, _, _, lr), direction in zip(kernels, directions, strict=True):
            w *= 1.0 - lr * self.weight_decay
            w -= lr * 0.2 * math.sqrt(max(w.shape)) * direction


class Kernel(NamedTuple):
    """What Muon moves: weights, their running mean and their gradient, (m, n) each, and their learning rate."""

    weight: Array
    mean: Array
    gradient: Array
    lr: float

    def shape(self) -> tuple[int, ...]:
        """Return (m, n)."""
        return self.weight.shape


def stacks_of(kernels: list[Kernel]) -> Iterator[list[Kernel]]:
    """Yield kernels of one shape in groups whose products are computed by one call each.

    On a processor a group stays in the cache, and threads share the groups: on two cores, a step for six blocks of
    width 96 took 8.4 ms instead of 11.1 ms. On a GPU a call is a launch, and a group may have 64 MB.
    """
    elements = STACK_ELEMENTS if isinstance(kernels[0].weight, np.ndarray) else GPU_STACK_ELEMENTS
    size = max(1, elements // kernels[0].weight.size)
    for start in range(0, len(kernels), size):
        yield kernels[start : start + size]


def orthogonalized(x: Array, steps: int = 5) -> Array:
    """Return matrices (..., m, n) with the singular vectors of `x` and singular values of about 1, by products alone.

    Each step maps every singular value s to 3.4445 s - 4.7750 s³ + 2.0315 s⁵, which lifts small ones fast and then
    keeps them between 0.7 and 1.2 (K. Jordan, https://kellerjordan.github.io/posts/muon). For G = x xᵀ, a step is one
    product of x with a symmetric matrix, (3.4445 I - 4.7750 G + 2.0315 G²) x.
    """
    tall = x.shape[-2] > x.shape[-1]
    flat = wide(x.swapaxes(-1, -2) if tall else x)  # the smaller x xᵀ
    norm = _norms(flat)
    if isinstance(norm, np.ndarray) and np.isinf(norm).any():  # of numbers whose squares are too large for their type
        flat = flat / np.where(np.isinf(norm), np.abs(flat).max((-2, -1), keepdims=True), 1.0)
        norm = _norms(flat)
    flat = flat / (norm + 1e-7)  # no singular value above 1
    linear = 3.4445 * xp_of(flat).eye(flat.shape[-2], dtype=flat.dtype)
    for _ in range(steps):
        gram = flat @ flat.swapaxes(-1, -2)
        factor = gram @ gram.swapaxes(-1, -2)  # G² as G Gᵀ: of a product y yᵀ, which is symmetric, NumPy computes half
        factor *= 2.0315
        factor -= 4.7750 * gram
        factor += linear
        flat = factor @ flat
    return (flat.swapaxes(-1, -2) if tall else flat).astype(x.dtype, copy=False)


def _norms(x: Array) -> Array:
    """Return the Euclidean norms of matrices (..., m, n) as (..., 1, 1)."""
    with np.errstate(over="ignore"):
        return xp_of(x).sqrt((x * x).sum((-2, -1), keepdims=True))


OPTIMIZERS = {"adamw": AdamW, "adam": Adam, "sgd": SGD, "muon": Muon}


def clip_by_global_norm(gradients: Iterable[Array | None], max_norm: float) -> float:
    """Scale all gradients down, in place, until their joint Euclidean norm is `max_norm` at most.  # ViT B.1, B.1.1

    If one gradient is not finite, all stay unchanged. None, for a parameter without a gradient, is skipped; an array
    that is given twice counts once.

    Returns:
        The norm before.

    Raises:
        DTypeError: if these are not arrays, but parameters, for example.
        ConfigError: if `max_norm` is not 0 or more.
    """
    if not max_norm >= 0:
        raise ConfigError(f"the largest norm must be 0 or more, not {max_norm}")
    if isinstance(gradients, Tensor) or is_array(gradients):
        gradients = [gradients]
    arrays: list[Array] = list({id(g): g for g in gradients if g is not None}.values())
    for g in arrays:
        if isinstance(g, Tensor | np.generic) or not is_array(g):
            raise DTypeError(
                f"gradients must be arrays, not {type(g).__name__}: pass [p.grad for p in model.parameters()]"
            )
        if not is_float(g.dtype):
            raise DTypeError(f"gradients must be floating-point numbers, not {g.dtype}")
    if not arrays:
        return 0.0
    with np.errstate(all="ignore"):
        norm = _joint_norm(arrays)
        if norm == math.inf:  # perhaps only the squares are too large for their type
            largest = max(float(xp_of(g).abs(g).max()) for g in arrays if g.size)
            norm = largest if largest == math.inf else largest * _joint_norm([g / largest for g in arrays])
        if max_norm < norm < math.inf:
            for g in arrays:
                g *= max_norm / norm
    return norm


def clip_on_gpu(gradients: Array, max_norm: float) -> Array:
    """Do as `clip_by_global_norm` for one array (n,) on a GPU, without waiting for the GPU.

    Returns:
        The norm before, (1,); infinite too if only its square is too large for float32.
    """
    square = _square(gradients)
    shrink_to_norm(gradients, square, max_norm)
    return xp_of(square).sqrt(square)


def _joint_norm(arrays: list[Array]) -> float:
    together = xp_of(arrays[0]).concatenate([_square(g) for g in arrays])
    return math.sqrt(sum(to_numpy(together).tolist()))  # one transfer from a GPU, since each one waits for it


def _square(x: Array) -> Array:
    """Return the sum of an array's squares, (1,). On a GPU it is read once: CuPy's vdot would write the products."""
    xp = xp_of(x)
    if xp is np:
        x = wide(x)
        return np.vdot(x, x).reshape(1)
    flat = x.reshape(-1)
    parts = parts_of_rows(flat)
    share = -(-flat.size // parts)
    sums = xp.empty((parts, 1), wide_type(x.dtype))
    square_sums(sums, flat, share, flat.size)
    return sum_of_parts(sums, sums.dtype)


@rowwise(reads="x", writes="sums", wide="sums")
def square_sums(sums: Array, x: Array, share: int, size: int) -> None:
    """Write the sum of squares of each `share` neighbours in x (size,) into a row of `sums`, (k, 1)."""
    for k in range(len(sums)):
        part = x[k * share : (k + 1) * share]
        sums[k] = np.vdot(part, part)


@elementwise(reads="g square", writes="g", wide="square")
def shrink_to_norm(g: Array, square: Array, most: float) -> None:
    """Multiply g by most / norm, where `square` (1,) is the norm squared, if the norm is larger and finite."""
    norm = math.sqrt(square[0])
    if most < norm < math.inf:
        g *= most / norm


class ExponentialAverage:
    """A running average of the weights: average <- decay average + (1 - decay) weights.

    It is often better than the last weights. Early on the decay is lower, (1 + steps) / (10 + steps), so that the
    random start is soon forgotten.

    Args:
        named_parameters: pairs of name and Tensor, as `model.named_parameters()` gives them.
        decay: between 0 and 1.

    Raises:
        ConfigError: for a decay that is not between 0 and 1, or without parameters.
    """

    def __init__(self, named_parameters: Named, decay: float):
        if not 0.0 < decay < 1.0:
            raise ConfigError(f"the average's decay must be between 0 and 1, not {decay}")
        self.parameters = by_name(named_parameters)
        if not self.parameters:
            raise ConfigError("an average needs at least one parameter")
        self.decay = decay
        self.flat = self._weights()  # the averages of all parameters, side by side

    def _weights(self) -> Array:
        return side_by_side([parameter.data for parameter in self.parameters.values()])

    @property
    def average(self) -> dict[str, Array]:
        """Each parameter's average, in its shape; writing into it changes the average."""
        parts = parts_of(self.flat, [parameter.data for parameter in self.parameters.values()])
        return dict(zip(self.parameters, parts, strict=True))

    def update(self, steps: int) -> None:
        """Take in the weights after `steps` optimiser steps."""
        rate = 1.0 - min(self.decay, (1.0 + steps) / (10.0 + steps))
        weights = self._weights()
        with np.errstate(under="ignore"):
            for block in row_blocks(weights):  # blocks that stay in the cache
                average = self.flat[block]
                average += rate * (weights[block] - average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside `with average.applied():` the model has the averaged weights."""
        own = {name: parameter.data for name, parameter in self.parameters.items()}
        for name, array in self.average.items():
            self.parameters[name].data = array
        try:
            yield
        finally:
            for name, array in own.items():
                self.parameters[name].data = array

    def check_state(self, state: Mapping[str, Array]) -> None:
        """Raise CheckpointError if these arrays are not the averages of this model."""
        _check_arrays(state, self.average, "the saved weight average does not belong to this model")

    def load_state(self, state: dict[str, Array]) -> None:
        """Take over the averages that a checkpoint kept.

        Raises:
            CheckpointError: if they are of another model; nothing is changed then.
        """
        self.check_state(state)
        for name, array in self.average.items():
            array[...] = xp_of(array).asarray(to_numpy(state[name]), array.dtype)


def _check_arrays(state: Mapping[str, Array], own: Mapping[str, Array], problem: str) -> None:
    """Raise CheckpointError, with the first difference, if saved arrays have other names or shapes than one's own."""
    for name in sorted(set(own) | set(state)):
        if name not in state:
            raise CheckpointError(f"{problem}: it lacks {quoted(name)}")
        if name not in own:
            raise CheckpointError(f"{problem}: {quoted(name)} has no place in it")
        if state[name].shape != own[name].shape:
            raise CheckpointError(f"{problem}: {quoted(name)} has shape {state[name].shape}, not {own[name].shape}")
