"""NumPy's functions on Tensors.

`np.asarray(x)` gives the values, as `x.numpy()` does: gradients stop there. If minivit has the same function
(`np.exp(x)`, `np.mean(x, axis=0)`), NumPy calls minivit's, which keeps the gradient. Any other function works on the
values. If its result has floats and the gradient is needed, it raises DTypeError: a part of the gradient would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import DTypeError
from . import ops
from .tensor import Tensor, needs_grad

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
OPTIONS = {"axes", "axis", "keepdims", "shape"}  # options that NumPy's functions and ours share
SHARED_ARGUMENTS = 2  # the third is another: `np.sum(x, axis, dtype)`, but `ops.sum(x, axis, keepdims)`
CONSTANTS = (np.zeros_like, np.ones_like, np.empty_like, np.full_like)  # their result depends on no value


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """Answer NumPy where an element-wise function gets a Tensor: `np.exp(x)`, or `array * x`."""
    if method == "__call__" and ufunc in SAME_UFUNC and not options:
        return getattr(ops, SAME_UFUNC[ufunc])(*inputs)
    result = getattr(ufunc, method)(*values(inputs), **values(options))
    # With `out`, the result is the caller's array: `total += loss`.
    return result if "out" in options else checked(result, ufunc.__name__, inputs)


def array_function(function: Callable[..., Any], args: Any, options: Any) -> Any:
    """Answer NumPy where any other function gets a Tensor: `np.mean(x)`."""
    if function in SAME_FUNCTION and options.keys() <= OPTIONS and len(args) <= SHARED_ARGUMENTS:
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
    """Replace Tensors by NumPy arrays in the arguments of a function, also inside lists, tuples and dicts."""
    if isinstance(x, Tensor):
        return x.numpy()
    if isinstance(x, list | tuple):
        return type(x)([values(part) for part in x]) if type(x) in (list, tuple) else x
    return {name: values(part) for name, part in x.items()} if type(x) is dict else x


def checked(result: Any, name: str, arguments: Any) -> Any:
    """Return the result of a function of NumPy. Raises DTypeError if it would lose a gradient."""
    floats = any(getattr(part, "dtype", None) is not None and part.dtype.kind == "f" for part in parts_of(result))
    if floats and needs_grad(*parts_of(arguments)):
        raise DTypeError(f"np.{name} keeps no gradient: give it x.numpy() for the values alone, or use minivit's ops")
    return result


def parts_of(x: Any) -> Iterator[Any]:
    """Yield what lists, tuples and dicts hold, at any depth; anything else is its only part."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        for part in x:
            yield from parts_of(part)
    else:
        yield x
