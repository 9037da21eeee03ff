"""A `Tensor` is an array that remembers how it was made, so that gradients can flow back through it.

The idea of reverse-mode differentiation in four steps:

1. Every op (`ops.py`, `fused.py`) computes its result and hands `record` a function `vjp`, the
   vector-Jacobian product: given dL/d(output) it returns dL/d(input) for each input.
2. `record` hangs a `Node` on the result: the vjp, and the Nodes of the inputs. That is the tape.
3. `backward` walks the tape from the loss to the leaves, so that a Node's turn comes only after the turn
   of everything computed from it. Gradients that arrive from several uses of a value are added up.
4. A Node that had its turn is emptied: the memory of a forward pass is freed while the backward pass runs,
   and nothing is left for the garbage collector.

A Node refers to Nodes and to leaves, which receive gradients, never to computed Tensors: the tape keeps what the vjps
captured and not one array more.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from itertools import count
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.random import Generator

from ..backend.arrays import (
    Array,
    as_array,
    holds_numbers,
    is_array,
    is_float,
    plain_array,
    to_device,
    to_numpy,
    underflow_is_harmless,
    xp_of,
)
from ..backend.precision import autocast
from ..backend.threads import PerThread
from ..errors import BackwardError, DTypeError, MinivitError, NotALeafError, ShapeError
from ..utils.aliases import old_names

_numbers = count()  # one for all threads
Ready: TypeAlias = Callable[["Tensor", Array], None]
Block: TypeAlias = Callable[["Tensor", Generator | None], "Tensor"]
VJP: TypeAlias = Callable[..., tuple[Array | None, ...]]
Function = TypeVar("Function", bound=Callable[..., Any])


class Node:
    """One entry of the tape: how a value was made, not the value.

    Attributes:
        parents: for each input of the op, its Node; the input itself, if it is a leaf whose gradient is needed; None,
            if its gradient is not needed.
        vjp: the op's vector-Jacobian product.
        adds: whether the vjp adds to the gradient of the first input that has arrived before; see `record`.
        number: a younger Node has a larger one.
    """

    __slots__ = ("adds", "number", "parents", "vjp")

    def __init__(self, parents: Sequence[Node | Tensor | None], vjp: VJP, adds: bool):
        self.number = next(_numbers)
        self.parents = parents
        self.vjp = vjp
        self.adds = adds


class Tensor:
    """An array of floating-point numbers whose gradient can be computed.

    Args:
        data: numbers. An array of floats keeps its element type and is not copied; plain numbers, lists
            and arrays of integers become float32.
        requires_grad: whether `backward` adds dL/d(this) to `.grad`.
        name: shown in messages.

    Operators and methods follow NumPy's rules for broadcasting, indexing, `axis` and `keepdims`. A plain
    number or array beside a Tensor is a constant and takes the Tensor's element type; two Tensors of
    different element types do not mix (`DTypeError`): convert one with `astype`.

    Python and NumPy read a Tensor as they read an array: `float(loss)`, `np.asarray(x)`; comparisons give arrays of
    truth values. Gradients stop there (see `interop.py`). As a key of a dict, a Tensor equals only itself.

    Attributes:
        data: the values.
        grad: dL/d(this) after `backward`, or None.
        requires_grad: as above; true for a Tensor that was computed from such Tensors.
        name: as above.
    """

    __slots__ = ("__weakref__", "_changed", "_data", "_grad", "_node", "name", "requires_grad")
    __array_ufunc__: ClassVar[Any]  # set below, see interop.py

    def __init__(self, data: object, requires_grad: bool = False, name: str | None = None):
        self._data: Array = _float_array(data)
        self._grad: Array | None = None
        self.requires_grad = requires_grad
        self.name = name
        self._node: Node | None = None
        self._changed = -1

    # -- its two arrays --------------------------------------------------------------------------

    def _set_data(self, data: object) -> None:
        if self._node is not None:
            raise BackwardError("the values of a computed Tensor cannot be assigned: compute a new Tensor instead")
        self._data = _float_array(data)
        self.changed_in_place()

    data = property(attrgetter("_data"), _set_data, doc="The values. Only those of a leaf may be assigned.")

    def changed_in_place(self) -> None:
        """Note that the values were changed, so that `backward` refuses a tape that was recorded with the old ones.

        An assignment to `data`, such as `x.data -= step`, notes it automatically; code that writes into the array
        (`x.data[...] = y`) must call this. The note is a number from the counter that also numbers Nodes: a Node with
        a smaller number was recorded before the change.

        Only leaves whose gradient is needed are protected. `backward` does not notice a change of a constant. Nor does
        it notice a change through an object that shares the memory: `detach()`, `numpy()`, or a view such as
        `x.data[0]`. Gradients are then computed from a mixture of old and new values.

        Raises:
            BackwardError: for a computed Tensor: ops may have saved its values for the backward pass.
        """
        if self._node is not None:
            raise BackwardError(
                "the values of a computed Tensor were changed, and backward may need the old ones: "
                "compute a new Tensor instead"
            )
        self._changed = next(_numbers)

    @property
    def grad(self) -> Array | None:
        """dL/d(this) after `backward`, or None.

        Raises:
            NotALeafError: for a Tensor that was computed from others: only leaves have a gradient.
        """
        if self._node is not None:
            raise NotALeafError(
                "a computed Tensor has no .grad, only the leaves that it was computed from: "
                "to change a parameter w, write w.data -= lr * w.grad"
            )
        return self._grad

    @grad.setter
    def grad(self, gradient: Array | None) -> None:
        """Set the gradient, or None."""
        if self._node is not None:
            self.grad  # noqa: B018  (raises NotALeafError)
        self._grad = gradient

    # -- what it is ------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype:
        """The element type."""
        return self._data.dtype

    @property
    def is_leaf(self) -> bool:
        """Whether no op made it: a parameter or an input."""
        return self._node is None

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        label = f", name={self.name!r}" if self.name else ""
        grad = ", requires_grad=True" if self.requires_grad else ""
        values = np.array2string(to_numpy(self.data), precision=4, threshold=20, separator=", ", prefix="Tensor(")
        return f"Tensor({values}, shape={self.shape}, dtype={self.dtype}{grad}{label})"

    # -- leaving the tape ------------------------------------------------------------------------

    def item(self) -> float:
        """Return the only element, as a Python number. Raises ShapeError if there are several."""
        if self.size != 1:
            raise ShapeError(f"item() needs a tensor of one element; this one has shape {self.shape}")
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """Return the values as a NumPy array; on the CPU it is the array itself, so do not write to it."""
        return to_numpy(self.data)

    def detach(self) -> Tensor:
        """Return the same values as a constant: gradients stop here."""
        return Tensor(self.data)

    def to(self, device: str) -> Tensor:
        """Return the same values on another device, "cpu", "cuda" or "cuda:i".

        Of a leaf, the result is a new leaf with its own gradient. The gradient of a computed Tensor comes back to the
        device where it was computed; one that is there already is returned unchanged.
        """
        x = self._data
        if self._node is None:
            return Tensor(to_device(x, device), self.requires_grad, self.name)
        home = "cpu" if isinstance(x, np.ndarray) else f"cuda:{x.device.id}"
        moved = to_device(x, device)

        def vjp(dy: Array):
            return (to_device(dy, home),)

        return self if moved is x else record(moved, (self,), vjp)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise BackwardError(
                "a computed Tensor cannot be copied deeply, since its copy would share the computational graph: copy "
                "x.detach() instead"
            )
        parts: Any = self.__reduce_ex__(4)
        make, arguments, (others, slots) = parts[:3]
        memo[id(self)] = copy = make(*arguments)
        for name, value in {**(others or {}), **slots}.items():
            setattr(copy, name, deepcopy(value, memo))
        return copy

    # -- gradients -------------------------------------------------------------------------------

    def backward(self, grad: object = None) -> None:
        """Add dL/d(leaf) to `.grad` of every leaf that this tensor was computed from.

        Args:
            grad: dL/d(this), of this tensor's shape; if left out, it is 1, and the tensor must be a single number.

        Raises:
            BackwardError: if no leaf below requires a gradient, if the tape was used already, or if a leaf's values
                were changed since the tape was recorded.
            ShapeError: if `grad` is missing on a tensor of several elements, or of another shape.
        """
        for leaf, gradient in run_backward(self, _first_gradient(self, grad)).items():
            if leaf.grad is None:
                leaf.grad = gradient
            else:
                leaf.grad += gradient

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    # -- as a number, and for NumPy (see interop.py) ---------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype, copy=copy)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, options: Any) -> Any:
        return interop.array_function(function, args, options)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __round__(self, digits: int | None = None) -> float:
        return round(self.item(), digits)

    def __format__(self, form: str) -> str:
        return format(self.item() if form else str(self), form)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"a Tensor of shape {self.shape} is not true or false as a whole: use (x > 0).all() or .any()"
            )
        return bool(self.item())

    __hash__ = object.__hash__  # Tensors are keys by identity, though == compares elements

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Tensor):
            try:
                ops.operands(self, other)
            except MinivitError:
                return NotImplemented  # Python then compares identities: a Tensor never equals a word
        return self._compared(other, operator.eq)

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else ~equal

    def __lt__(self, other: object) -> Any:
        return self._compared(other, operator.lt)

    def __le__(self, other: object) -> Any:
        return self._compared(other, operator.le)

    def __gt__(self, other: object) -> Any:
        return self._compared(other, operator.gt)

    def __ge__(self, other: object) -> Any:
        return self._compared(other, operator.ge)

    def _compared(self, other: object, comparison: Callable[[Array, Array], Array]) -> Array:
        """Return an array of truth values, which have no gradient."""
        x, y = ops.operands(self, other)
        try:
            return comparison(x, y)
        except ValueError as error:
            raise ShapeError(ops.BROADCAST.format(x.shape, y.shape)) from error

    def __contains__(self, value: object) -> bool:
        return bool(self._compared(value, operator.eq).any())

    # -- operators and methods: NumPy's, each one op of ops.py -----------------------------------

    def __add__(self, other: object) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: object) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: object) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: object) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: object) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: object) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: object) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: object) -> Tensor:
        return ops.divide(other, self)

    def __matmul__(self, other: object) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: object) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __pow__(self, exponent: float) -> Tensor:
        return ops.power(self, exponent)

    def _refuse_in_place(self, other: object) -> Any:
        """Refuse `w -= step` on a parameter: it would replace the parameter by a computed Tensor."""
        if self.requires_grad and self._node is None:
            raise BackwardError(
                f"{self.name or 'this Tensor'} is a leaf: an assignment like w -= ... would replace it by a computed "
                "Tensor; to change it, write w.data -= ..."
            )
        return NotImplemented  # x += y is x = x + y

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __imatmul__ = __ipow__ = _refuse_in_place

    def __getitem__(self, index: object) -> Tensor:
        return ops.getitem(self, index)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Return the sum over `axis`, over all axes if None."""
        return ops.sum(self, axis, keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Return the mean over `axis`, over all axes if None."""
        return ops.mean(self, axis, keepdims)

    def var(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Return the variance over `axis`, over all axes if None."""
        return ops.var(self, axis, keepdims)

    def max(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Return the largest element over `axis`, over all axes if None."""
        return ops.max(self, axis, keepdims)

    def min(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Return the smallest element over `axis`, over all axes if None."""
        return ops.min(self, axis, keepdims)

    def exp(self) -> Tensor:
        """Return e to the power of each element."""
        return ops.exp(self)

    def log(self) -> Tensor:
        """Return the natural logarithm of each element."""
        return ops.log(self)

    def sqrt(self) -> Tensor:
        """Return the square root of each element."""
        return ops.sqrt(self)

    def tanh(self) -> Tensor:
        """Return the hyperbolic tangent of each element."""
        return ops.tanh(self)

    def reshape(self, *shape: int | tuple[int, ...]) -> Tensor:
        """Return the same elements in another shape: `x.reshape(2, -1)`."""
        return ops.reshape(self, _flatten(shape))

    def transpose(self, *axes: int | tuple[int, ...]) -> Tensor:
        """Return the axes in another order, by default reversed: `x.transpose(0, 2, 1)`."""
        by_default = not axes or (len(axes) == 1 and axes[0] is None)
        return ops.transpose(self, None if by_default else _flatten(axes))

    @property
    def T(self) -> Tensor:
        """All axes in reverse order."""
        return ops.transpose(self)

    def astype(self, dtype: object) -> Tensor:
        """Return the same numbers in another floating-point type."""
        return ops.astype(self, dtype)


# -- recording -----------------------------------------------------------------------------------


_recording = PerThread(True)  # whether this thread keeps a tape


def no_grad() -> AbstractContextManager[None]:
    """Keep no tape in this thread inside `with no_grad():`, nor the arrays that only a tape needs."""
    return _recording.set_to(False)


def op(function: Function) -> Function:
    """Mark a function of Tensors as an op: the backend decides in which precision its arrays are computed."""
    return autocast(function, Tensor)


def rounded_once(function: Function) -> Function:
    """Mark a function that is composed of ops: its result is rounded once, and not after each of them."""
    return autocast(underflow_is_harmless()(function), Tensor, uncast=(), saves=False)


class AxisError(ShapeError, np.exceptions.AxisError):
    """A Tensor has no such axis."""


def explained(problem: str) -> Callable[[Function], Function]:
    """Let a function of Tensors raise ShapeError, in our words, where NumPy finds that shapes do not fit.

    Args:
        problem: the sentence; in it {0} becomes the shape of the function's first argument, {1} that of the second, and
            {given[1]} the second argument itself.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*inputs: Any, **options: Any) -> Any:
            try:
                return function(*inputs, **options)
            except MinivitError:
                raise
            except ValueError as error:
                given = *inputs, *options.values()
                if isinstance(error, np.exceptions.AxisError):
                    raise AxisError(f"{function.__name__} of shape {_shape_named(given[0])}: {error}") from error
                raise ShapeError(problem.format(*map(_shape_named, given), given=given)) from error

        return call  # type: ignore[return-value]

    return decorate


def _shape_named(x: object) -> object:
    """Return the shape of an op's argument, or the shapes of several Tensors."""
    if isinstance(x, list | tuple) and any(isinstance(part, Tensor) for part in x):
        return " and ".join(str(_shape_named(part)) for part in x)
    return "of these tensors" if isinstance(x, Iterator) else np.shape(x)  # type: ignore[arg-type]


def needs_grad(*inputs: object) -> bool:
    """Return whether an op on these inputs will be recorded: an op asks before it computes what only its vjp uses."""
    return _recording.value and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)


def record(data: Array, inputs: Sequence[object], vjp: VJP, adds: bool = False) -> Tensor:
    """Wrap an op's result in a Tensor and, if the gradient of any input is needed, put the op on the tape.

    Args:
        data: the result.
        inputs: what the op was given, Tensors and constants.
        vjp: takes `dy` = dL/d(result), returns dL/d(input) for each of `inputs`, or None for a constant, or for 0. It
            may return `dy` itself, views of it, or new arrays, each for one input alone; and it never changes `dy`.
        adds: whether vjp takes a second argument, None by default: the gradient of the first input that has arrived
            from other uses. Vjp then returns the sum of both in a new array: one pass less than to add it afterwards.
    """
    out = Tensor.__new__(Tensor)
    out._data = as_array(data)
    out._grad = out.name = out._node = None
    out._changed = -1
    out.requires_grad = False
    if _recording.value:
        parents = [(x._node or x) if isinstance(x, Tensor) and x.requires_grad else None for x in inputs]
        if [parent for parent in parents if parent is not None]:
            out.requires_grad = True
            out._node = Node(parents, vjp, adds)
    return out


def recompute(function: Block, x: Tensor, parameters: Sequence[Tensor], rng: Generator | None = None) -> Tensor:
    """Return `function(x, rng)` and save `x` alone: backward computes the function again (arXiv 1604.06174).

    It trades time for memory: a network of such functions saves one activation for each, and computes each a second
    time, a third more FLOPs. A training step of ViT-S_16 at batch 16 took 1.25 times as long on an unknown processor.

    Args:
        function: uses `x`, `parameters` and `rng`, and no other Tensor that requires a gradient.
        x: the input.
        parameters: the leaves that the function uses.
        rng: its random generator; the second time it draws the same numbers.
    """
    start, needs_x, again = x.data, x.requires_grad, deepcopy(rng)
    with no_grad():
        out = function(x, rng).data

    def vjp(dy: Array):
        z = Tensor(start, requires_grad=needs_x)
        with _recording.set_to(True):
            gradients = run_backward(function(z, again), dy)
        return tuple(gradients.get(leaf) for leaf in (z, *parameters))

    return record(out, (x, *parameters), vjp)


# -- the backward pass ---------------------------------------------------------------------------


def value_and_grad(loss_fn: Callable[[], Tensor], parameters: Iterable[Tensor]) -> tuple[float, list[Array]]:
    """Return the value of `loss_fn()` and its gradient with respect to each parameter, in their order.

    No `.grad` is read or written, so several threads can do this at once with the same parameters, each on its own
    tape. The gradient is zero for a parameter that the loss does not depend on.

    Frozen parameters are refused, since zeros would say that the loss does not depend on them: leave them out, as in
    `[p for p in model.parameters() if p.requires_grad]`.

    Args:
        loss_fn: returns a Tensor of one element.
        parameters: leaves with requires_grad=True.

    Returns:
        The loss, and an array for each parameter.

    Raises:
        BackwardError: if a parameter is not such a leaf, before the loss is computed; or as `Tensor.backward` does.
        ShapeError: if the loss has several elements.
    """
    parameters = list(parameters)
    for number, parameter in enumerate(parameters):
        _check_has_gradient(number, parameter)
    gradients: dict[Tensor, Array] = {}
    value = value_and_stream(loss_fn, gradients.__setitem__)
    return value.item(), [gradients[p] if p in gradients else xp_of(p.data).zeros_like(p.data) for p in parameters]


def _check_has_gradient(number: int, parameter: Tensor) -> None:
    """Raise BackwardError if a gradient with respect to a parameter, the `number`-th from 0, is not computed."""
    if parameter.is_leaf and parameter.requires_grad:
        return
    label = f", {parameter.name}," if parameter.name else ""
    reason = (
        "it has requires_grad=False; set it to True, or leave it out"
        if parameter.is_leaf
        else "it is computed from other Tensors; pass the leaves that it was computed from"
    )
    raise BackwardError(f"parameter {number}{label} has no gradient: {reason}")


def value_and_stream(loss_fn: Callable[[], Tensor], ready: Ready) -> Array:
    """Return the value of `loss_fn()`, an array of one element.

    `ready(leaf, gradient)` is called for each leaf as soon as its gradient is complete. So a gradient can be added to
    others, or sent away, while the rest of the backward pass still runs.
    """
    loss = loss_fn()
    for leaf, gradient in run_backward(
        loss, _first_gradient(loss, None), ready
    ).items():  # a loss that is itself a leaf
        ready(leaf, gradient)
    return loss.data


@underflow_is_harmless()
def run_backward(root: Tensor, dy: Array, ready: Ready | None = None) -> dict[Tensor, Array]:
    """Walk the tape from `root` to the leaves, and empty it.

    Args:
        root: a Tensor that was computed, or a leaf.
        dy: dL/d(root), of its shape.
        ready: gets each leaf and its gradient, after the turn of the last Node that uses the leaf.

    Returns:
        The gradient of every leaf that `ready` did not get; the caller may keep and change these arrays.

    Raises:
        BackwardError: if `root` needs no gradient, the tape was used already, or a leaf was changed meanwhile.
    """
    if not root.requires_grad:
        raise BackwardError("backward needs a tensor computed, outside no_grad, from one with requires_grad=True")
    start = root._node or root
    pending: dict[Node | Tensor | None, Array] = {start: dy}  # gradients that have arrived so far
    added: set[Node | Tensor | None] = set()  # whose pending array is a sum made here, safe to add to
    borrowed = {start}  # leaves whose array may be part of another gradient; `start` has the caller's, if it is a leaf

    def finished(leaf: Tensor) -> Array:
        return _owned(leaf, pending.pop(leaf), leaf in borrowed and leaf not in added)

    order = _oldest_first(start)
    # The last Node on the walk that uses a leaf is the oldest. It is written last here, over the younger ones.
    last_use = {leaf: node for node in reversed(order) for leaf in _leaves(node.parents)} if ready else {}
    while order:
        node = order.pop()
        vjp, parents = node.vjp, node.parents
        node.vjp, node.parents = _used_up, ()
        dy = pending.pop(node, None)
        if dy is None:  # the ops that used this result returned no gradient for it
            gradients = (None,) * len(parents)
        elif node.adds and parents[0] in pending:
            gradients = vjp(dy, pending.pop(parents[0]))
            added.add(parents[0])
        else:
            gradients = vjp(dy)
        for parent, gradient in zip(parents, gradients, strict=True):
            if parent is None or gradient is None:
                continue
            if parent not in pending:
                pending[parent] = gradient = as_array(gradient)
                if isinstance(parent, Tensor) and xp_of(dy).may_share_memory(gradient, dy):
                    borrowed.add(parent)
            elif parent not in added:
                pending[parent] = as_array(pending[parent] + gradient)
                added.add(parent)
            else:
                pending[parent] += gradient
        if ready:
            for leaf in _leaves(parents):
                if last_use[leaf] is node and leaf in pending:
                    ready(leaf, finished(leaf))

    return {leaf: finished(leaf) for leaf in _leaves(list(pending))}


def _leaves(inputs: Iterable[Node | Tensor | None]) -> list[Tensor]:
    """Return those of an op's inputs that are leaves: a parameter as often as the op uses it."""
    return [x for x in inputs if isinstance(x, Tensor)]


def _oldest_first(start: Node | Tensor) -> list[Node]:
    """Return every Node below `start`, the oldest first: a value is younger than those it was computed from."""
    found = {start} if isinstance(start, Node) else set()
    stack = list(found)
    while stack:
        node = stack.pop()
        for parent in node.parents:
            if isinstance(parent, Node):
                if parent not in found:
                    found.add(parent)
                    stack.append(parent)
            elif parent is not None and parent._changed > node.number:
                raise BackwardError(
                    f"{parent.name or 'a parameter'} was changed after the loss was computed with it: call backward() "
                    "before optimizer.step(), or compute the loss again"
                )
    return sorted(found, key=attrgetter("number"))


def _owned(leaf: Tensor, gradient: Array, copy: bool) -> Array:
    """Return a leaf's gradient, copied if `copy`. Raises ShapeError for another shape or type than the leaf's."""
    if gradient.shape != leaf.shape or gradient.dtype != leaf.dtype:
        raise ShapeError(
            f"an op returned a gradient of shape {gradient.shape} and type {gradient.dtype} "
            f"for {leaf.name or 'a leaf'} of shape {leaf.shape} and type {leaf.dtype}"
        )
    return gradient.copy() if copy else gradient


def _used_up(dy: Array) -> tuple[Array | None, ...]:
    raise BackwardError("backward ran through this tape already and emptied it: compute the loss again")


def _first_gradient(root: Tensor, grad: object) -> Array:
    """Return dL/d(root), by default 1."""
    xp = xp_of(root.data)
    if grad is None:
        if root.size != 1:
            raise ShapeError(f"backward() starts from a single number; pass a gradient of shape {root.shape}")
        return xp.ones_like(root.data)
    gradient = plain_array(grad.data if isinstance(grad, Tensor) else grad)
    if not holds_numbers(gradient.dtype):
        raise DTypeError(f"a gradient must be numbers: found {type(grad).__name__} of {gradient.dtype}")
    gradient = xp.asarray(gradient, dtype=root.dtype)
    if gradient.shape != root.shape:
        raise ShapeError(f"the gradient has shape {gradient.shape}, the tensor {root.shape}")
    return gradient


# -- arguments -----------------------------------------------------------------------------------


def _float_array(data: object) -> Array:
    if isinstance(data, Tensor):
        raise DTypeError("a Tensor cannot be made from a Tensor: use detach() or astype()")
    array = plain_array(data)
    if not holds_numbers(array.dtype):
        raise DTypeError(f"a Tensor holds floating-point numbers: found {type(data).__name__} of {array.dtype}")
    return array if is_array(data) and is_float(array.dtype) else array.astype(np.float32)


def read_only(x: Array) -> Array:
    """Return a view of a NumPy array that cannot be written to, and an array of another library unchanged."""
    if not isinstance(x, np.ndarray):
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def _flatten(arguments: tuple[int | tuple[int, ...], ...]) -> tuple[int, ...]:
    """Return (2, 3) for the arguments of both `f(2, 3)` and `f((2, 3))`."""
    if len(arguments) == 1 and not hasattr(arguments[0], "__index__"):
        return tuple(arguments[0])  # type: ignore[arg-type]
    return arguments  # type: ignore[return-value]


from . import interop, ops  # noqa: E402  (a circle: ops make Tensors, and Python finds operators in Tensor's methods)

Tensor.__array_ufunc__ = interop.ForNumPyAlone(interop.array_ufunc)


__getattr__ = old_names(__name__, {"wants_grad": "needs_grad"})
