"""What Python and NumPy make of a Tensor: numbers, comparisons, and NumPy's own functions.

`np.asarray(x)` gives the values, as `x.numpy()` does: gradients stop there. A function of NumPy that minivit has too
(`np.exp(x)`, `np.mean(x, axis=0)`) is minivit's, and keeps the gradient. Any other works on the values, unless its
result would be floats whose gradient is wanted: then it is refused, since a part of the gradient would be missing in
silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import DTypeError
from . import ops
from .tensor import Tensor, wants_grad

# By NumPy's function, the name of the op in ops.py.
SAME_UFUNC = {
    np.absolute: "abs", np.add: "add", np.divide: "divide", np.exp: "exp", np.log: "log", np.matmul: "matmul",
    np.multiply: "multiply", np.negative: "negative", np.power: "power", np.sqrt: "sqrt", np.subtract: "subtract",
    np.tanh: "tanh",
}  # fmt: skip
SAME_FUNCTION: dict[Callable[..., Any], str] = {
    np.broadcast_to: "broadcast_to", np.concatenate: "concatenate", np.max: "max", np.mean: "mean", np.min: "min",
    np.reshape: "reshape", np.sum: "sum", np.transpose: "transpose", np.var: "var",
}  # fmt: skip
OPTIONS = {"axes", "axis", "keepdims", "shape"}  # that NumPy's function and ours share
CONSTANTS = (np.zeros_like, np.ones_like, np.empty_like, np.full_like)  # whose result depends on no value


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """What NumPy calls instead of an element-wise function of its own: `np.exp(x)`, or `array * x`."""
    if method == "__call__" and ufunc in SAME_UFUNC and not options:
        return getattr(ops, SAME_UFUNC[ufunc])(*inputs)
    result = getattr(ufunc, method)(*values(inputs), **values(options))
    # With `out`, the result is someone's array: `total += loss`.
    return result if "out" in options else checked(result, ufunc.__name__, inputs)


def array_function(function: Callable[..., Any], args: Any, options: Any) -> Any:
    """What NumPy calls instead of another function of its own: `np.mean(x)`."""
    if function in SAME_FUNCTION and options.keys() <= OPTIONS:
        return getattr(ops, SAME_FUNCTION[function])(*args, **options)
    result = function(*values(args), **values(options))
    return result if function in CONSTANTS else checked(result, function.__name__, (args, options))


class ForNumPyAlone:
    """A method that NumPy finds and CuPy does not: NumPy asks the class, CuPy the object.

    For `cupy_array * tensor` CuPy leaves the product to the Tensor only where `__array_ufunc__` is None.
    """

    def __init__(self, method: Callable[..., Any]):
        self.method = method

    def __get__(self, instance: object, owner: type) -> Callable[..., Any] | None:
        return self.method if instance is None else None


def values(x: Any) -> Any:
    """Arguments of a function with NumPy arrays in place of Tensors, also inside lists, tuples and dicts."""
    if isinstance(x, Tensor):
        return x.numpy()
    if isinstance(x, list | tuple):
        return type(x)([values(part) for part in x]) if type(x) in (list, tuple) else x
    return {name: values(part) for name, part in x.items()} if type(x) is dict else x


def checked(result: Any, name: str, arguments: Any) -> Any:
    """What a function of NumPy gave, refused if a gradient would end in it."""
    floats = any(getattr(part, "dtype", None) is not None and part.dtype.kind == "f" for part in parts_of(result))
    if floats and wants_grad(*parts_of(arguments)):
        raise DTypeError(f"np.{name} keeps no gradient: give it x.numpy() for the values alone, or use minivit's ops")
    return result


def parts_of(x: Any) -> Iterator[Any]:
    """What lists, tuples and dicts hold, however deep; anything else is its own only part."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        for part in x:
            yield from parts_of(part)
    else:
        yield x
