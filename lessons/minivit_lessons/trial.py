"""Calls a learner's function safely, and says in one line what goes wrong.

An attempt may raise, return nothing, loop forever, print pages of text or change its inputs. None of that may stop the
notebook or spoil the check, and each gets its own sentence.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import io
import linecache
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minivit

SECONDS = 20.0  # the time limit of one check; the slowest takes a fraction of a second
# Code from these places is not the learner's: minivit, this package, libraries, earlier lessons, minivit's answers.
NOT_THE_LEARNERS = (
    str(Path(minivit.__file__).parent), str(Path(__file__).parent), "site-packages", "<lesson ", "<minivit's answer",
)  # fmt: skip
PRINTED_CHARACTERS = 2000  # of an attempt's output that are shown
LONGEST = 200  # characters of a complaint that quotes an exception
# What NumPy says at length, and the same in brief.
IN_BRIEF = (
    (
        re.compile(r"matmul: Input operand 1 has a mismatch .*\(size (\d+) is different from (\d+)\)"),
        r"matmul: \2 columns on the left, \1 rows on the right",
    ),
    (
        re.compile(r"all the input array dimensions .* along dimension (\d+), .* 0 has size (\d+) .* 1 has size (\d+)"),
        r"arrays of length \2 and \3 along axis \1",
    ),
    (re.compile(r"numpy boolean subtract, .*"), "numpy boolean subtract is not supported"),
    (re.compile(r"operands could not be broadcast together with shapes"), "cannot broadcast shapes"),
    (re.compile(r"(.*) missing \d+ required positional arguments?:"), r"\1 needs"),
)
# What PyTorch calls a method or argument, and what does the same with arrays and the lessons' Tensors.
FROM_PYTORCH = {
    "permute": "transpose(...) with all axes in their new order",
    "view": "reshape(...)",
    "unsqueeze": "reshape(...), or None in an index",
    "squeeze": "reshape(...), or an index",
    "flatten": "reshape(...)",
    "contiguous": "not needed: leave it out",
    "chunk": "slices such as x[..., :D]",
    "split": "slices such as x[..., :D], or x[i : i + n] in a loop",
    "numpy": ".data",
    "clone": "x.copy() for an array",
    "size": "x.shape",
    "dim": "axis",
    "keepdim": "keepdims",
    "pow": "x ** 2",
    "expand": "broadcast_to(x, shape)",
    "repeat": "broadcast_to(x, shape)",
    "softmax": "softmax(x), a function",
    "matmul": "x @ y",
    "topk": "np.argsort(-x, axis=-1)[..., :k]",
    "cat": "concatenate([...], axis=...)",
    "type": "x.astype(...)",
    "mm": "x @ y",
    "bmm": "x @ y",
    "t": "transpose(...) with all axes in their new order",
    "zero_": "x[...] = 0, and p.grad = None for a gradient",
    "fill_": "x[...] = value",
    "copy_": "x[...] = y",
    "add_": "x += y",
    "sub_": "x -= y",
    "mul_": "x *= y",
    "div_": "x /= y",
    "clamp": "np.clip(x, low, high)",
    "clamp_": "np.clip(x, low, high, out=x)",
    "masked_fill": "x * (1 - mask) + value * mask",
    "masked_select": "x[mask]",
    "scatter_": "x[index] = values",
    "scatter_add_": "np.add.at(x, index, values)",
    "index_add_": "np.add.at(x, index, values)",
    "index_put_": "np.add.at(x, index, values), which adds, or x[index] = values",
    "one_hot": "np.eye(K)[labels]",
    "repeat_interleave": "np.repeat(x, times, axis)",
    "movedim": "np.moveaxis(x, from, to)",
    "gather": "x[np.arange(B), indices]",
    "index_select": "x[indices]",
    "unbind": "x[0], x[1], and so on",
    "numel": "x.size",
    "float": "x.astype(np.float32)",
    "double": "x.astype(np.float64)",
    "long": "x.astype(int)",
    "detach": ".data of a Tensor; an array needs nothing",
    "cpu": "not needed: leave it out",
    "cuda": "not needed: leave it out",
    "device": "not needed: leave it out",
    "descending": "np.argsort(-x), since NumPy sorts upwards",
    "mode": "np.bincount(x).argmax()",
    "unbiased": "ddof, 1 to divide by n - 1, 0 by n",
    "correction": "ddof",
    "randperm": "rng.permutation(n)",
    "randn": "rng.standard_normal(shape)",
    "bernoulli": "rng.random(shape) < p",
    "manual_seed": "np.random.default_rng(seed)",
    "tensor": "np.array(x)",
    "from_numpy": "not needed: leave it out",
    "log_softmax": "x less the logarithm of the sum of its exp",
    "logsumexp": "the logarithm of the sum of exp",
    "rsqrt": "1 / the root",
    "lerp": "(1 - t) * x + t * y",
    "sigmoid": "1 / (1 + np.exp(-x))",
    "relu": "np.maximum(x, 0)",
    "sqrt": "np.sqrt(x)",
    "exp": "np.exp(x)",
    "log": "np.log(x)",
    "tanh": "np.tanh(x)",
    "abs": "np.abs(x)",
    "norm": "np.linalg.norm(x)",
    "eq": "x == y",
    "mul": "x * y",
    "add": "x + y",
    "sub": "x - y",
    "div": "x / y",
    "neg": "-x",
    "reduction": "always the mean of the rows that it gets",
    "label_smoothing": "smoothing",
    "normalize": "x / np.linalg.norm(x, axis=-1, keepdims=True)",
    "cosine_similarity": "the product of rows that are divided by their lengths",
    "interpolate": "a matrix of weights for the rows, and one for the columns",
    "scaled_dot_product_attention": "the product of the attention weights with v",
    "unfold": "a slice for each place of the window",
    "no_grad": "no_grad() of minivit",
    "rand": "rng.random(shape)",
    "randint": "rng.integers(low, high, shape)",
    "linear": "x @ W + b, with W of shape (in, out)",
    "Linear": "Linear(fan_in, fan_out, rng)",
    "Parameter": "parameter(values)",
    "_parameters": "vars(self), with everything else that the object has",
    "_modules": "vars(self), with everything else that the object has",
    "children": "vars(self).values(), with everything else that the object has",
    "named_children": "vars(self).items(), with everything else that the object has",
    "register_parameter": "an attribute, self.name = ...",
    "register_buffer": "an attribute, self.name = ...",
    "ModuleList": "a list",
    "Sequential": "a list whose parts are called in a loop",
}
OF_BOTH = ("sqrt", "exp", "log", "tanh")  # functions of NumPy for arrays, and methods of the lessons' Tensors
LIBRARIES = ("torch", "F", "nn")  # the names under which PyTorch is imported
OF_ARRAYS = ("np.", "1 / (1 + np.", "x.astype")  # what begins so takes no Tensor
# Methods of NumPy's arrays that the lessons' Tensors do without.
FROM_NUMPY = {
    "var": "the mean of squared distances from the mean",
    "std": "the root of the mean of squared distances from the mean",
    "swapaxes": "transpose(...) with all axes in their new order",
    "dot": "x @ y",
    "ravel": "reshape(-1)",
    "astype": "not needed: results have the dtype of the inputs",
    "copy": "not needed: operations return new Tensors",
}
# What an exception says, what stands in the learner's line (a regular expression each), and what usually helps.
USUAL_REASONS = (
    (r"boolean subtract", "", "make numbers of the booleans first: x.astype(float)"),
    (r"boolean negative", "", "~ negates booleans"),
    (r"broadcast shape must be non-negative", "", "-1 is a length in reshape alone: give the length itself"),
    (r"'Tensor' does not support ufuncs", "", "NumPy's functions take no Tensor: use its operators and methods"),
    (r"Axis must be specified when shapes", "", "np.average needs axis=0 if each row has one weight"),
    (r"view\(\) takes|as a data type", r"\.view\(", "NumPy's view changes the type: use reshape(...)"),
    (r"as a data type", r"\b(ones|zeros|empty)\(", "the shape is one tuple: np.zeros((rows, columns))"),
    (r"must have the same shape|inhomogeneous", "", "these shapes do not fit into one array: take each by itself"),
    (r"tuple index out of range", r"\bnp\.\w+\(", "does NumPy's function get a Tensor? Use its operators and methods"),
    (r"object too deep for desired array", "", "this function takes arrays with one axis: call it for each row"),
    (r"for \+=?: 'NoneType'", r"\+=", "None has no value to add to: begin with 0.0"),
    (r"converted to Python scalars", r"\bmath\.", "the functions of math take one number: use np.exp and the like"),
    (r"broadcast", r"\bbincount\((?!.*minlength)", "np.bincount ends at the largest number it finds: use minlength"),
    (r"truth value of an array", "", "`if`, `and` and `or` take one value: use np.where, or & and | with parentheses"),
    (r"arrays used as indices must be of integer", "", "an index must hold integers: x.astype(int)"),
    (r"list indices must be integers or slices, not tuple", "", "a list has no axes: make it an array, np.array(x)"),
    (r"operand.*'(numpy\.ufunc|numpy\._\w+|function|method|builtin_function_or_method)'", "",
     "a function is called with brackets: f(x)"),
    (r"for \+: 'int' and 'list'", r"\bsum\(", "sum begins with 0, which is not a list: add up each position"),
    (r"must be a parameter, a Tensor, not Tensor", "", "minivit's optimisers take its own Tensors: write the step"),
    (r"destination is read-only", "", "np.broadcast_to returns a view that cannot be written to: copy it first"),
    (r"'float' object cannot be interpreted as an integer", "", "/ gives a float: use //"),
    (r"Cannot cast ufunc", r"[-+*/]=", "`x -= y` keeps the type of x: write x = x - y, or x.astype(float) first"),
)  # fmt: skip
# What to do if a name is not defined.
NOT_DEFINED = {
    "math": "write `import math` in a cell above and run it",
    "np": "run the lesson's first code cell, which imports NumPy",
    **dict.fromkeys(LIBRARIES, "the lessons do without PyTorch: use NumPy and what you built"),
}


class Complaint(Exception):
    """What is wrong with an attempt, in one line."""

    @property
    def full(self) -> str:
        """All that is known, where the line itself had to be shortened."""
        return str(self)

    def with_advice(self, reason: str) -> Complaint:
        """Return the same with the likely reason at its end."""
        return Complaint(f"{self}; {reason}")


class Unexplained(Complaint):
    """What is wrong with a result where no known mistake leads to it: the first difference, or a missing factor.

    Args:
        message: the whole sentence.
        what: the name of the call.
    """

    def __init__(self, message: str, what: str):
        self.what = what
        super().__init__(message)

    def with_advice(self, reason: str) -> Unexplained:
        """Return the same with the likely reason at its end; the learner's source may still show more."""
        return Unexplained(f"{self}; {reason}", self.what)

    def hinted(self, hint: str) -> str:
        """Return the sentence with a hint at its end, or with the hint alone where both do not fit."""
        both = f"{self}; {hint}"
        return both if len(both) <= LONGEST else f"{self.what} is wrong; {hint}"


class Raised(Complaint):
    """An exception of an attempt, in one line of at most LONGEST characters if the advice leaves room.

    Args:
        what: what was called.
        brief: the same, shorter.
        error: the exception.
        line: the learner's line that led to it; "" if unknown.
        advice: what to do, with the sign before it; "" if unknown.
    """

    def __init__(self, what: str, brief: str, error: Exception, line: str, advice: str = ""):
        self.parts = (what, brief, error, line)
        self.advice = advice
        super().__init__(self._fitted())

    @property
    def full(self) -> str:
        """What was called, the exception, and the line, however long."""
        what, _, error, line = self.parts
        return f"{what} raises {_one_line(error)}{_in_line(line)}{self.advice}"

    def with_advice(self, reason: str) -> Raised:
        """Return the same with the likely reason at its end; the quotes give way to it."""
        return Raised(*self.parts, advice=f"{self.advice}; {reason}")

    def with_usual_reason(self) -> Raised:
        """Return the same with what usually leads to such an exception, if nothing is known of this one."""
        if self.advice:
            return self
        _, _, error, line = self.parts
        for said, written, reason in USUAL_REASONS:
            if re.search(said, str(error)) and re.search(written, line):
                return self.with_advice(reason)
        return self

    def hinted(self, hint: str) -> str:
        """Return the sentence with a hint at its end, without the line or the advice where they do not fit."""
        _, brief, error, _ = self.parts
        raised = f"{brief} raises {type(error).__name__}"
        tries = (f"{self}; {hint}", f"{raised}{self.advice}; {hint}", f"{raised}; {hint}")
        return next((sentence for sentence in tries if len(sentence) <= LONGEST), str(self))

    def _fitted(self) -> str:
        """Return the sentence, shortened where that hurts least: the arguments, NumPy's words, the line, the rest."""
        what, brief, error, line = self.parts
        kind, text = type(error).__name__, " ".join(str(error).split())
        for pattern, short in IN_BRIEF:
            text = pattern.sub(short, text)
        tries = [(what, text, line), (brief, text, line)]
        tries += [(brief, text, _cut(line, room)) for room in (60, 40, 0)]
        tries += [(brief, _cut(text, room), "") for room in (80, 40, 0)]
        sentence = ""
        for called, said, shown in tries:
            sentence = f"{called} raises {kind}{': ' if said else ''}{said}{_in_line(shown)}{self.advice}"
            if len(sentence) <= LONGEST:
                return sentence
        return sentence


def _in_line(line: str) -> str:
    return f" (in the line `{line}`)" if line else ""


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 3] + "..." if room > 3 else ""


class NotDone(Complaint):
    """An exercise that the learner has not begun."""


@contextlib.contextmanager
def explained(reasons: Mapping[str, str]) -> Iterator[None]:
    """Add the likely reason to a complaint: that of the first text which the complaint contains."""
    try:
        yield
    except Complaint as complaint:
        for part, reason in reasons.items():
            if not isinstance(complaint, NotDone) and part in complaint.full:
                raise complaint.with_advice(reason) from complaint
        raise


class OutOfTime(BaseException):
    """Raised in the thread of an attempt that takes too long. Not an Exception, so that attempts do not catch it."""


class Attempt:
    """A learner's function. Call it like the function; a `Complaint` says what went wrong.

    Attributes:
        name: the name of the exercise.
        function: the function or class itself.
        names: the namespace that it was defined in, with the learner's `Tensor` and helper functions.
    """

    def __init__(self, name: str, function: Any, names: dict[str, Any] | None = None):
        self.name = name
        self.function = function
        self.names: dict[str, Any] = names if names is not None else getattr(function, "__globals__", {})

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Call the function, and complain if it raises, returns nothing or changes its inputs."""
        return self.call(self.function, *inputs, **options)

    def call(self, function: Callable[..., Any], *inputs: Any, what: str = "", **options: Any) -> Any:
        """Call a part of the attempt, such as a method of its result, with the same checks.

        Args:
            function: what to call.
            what: the name of the call in a complaint. [default: `name(...)`]
        """
        brief = what or f"{self.name}(...)"
        what = what or f"{self.name}({_brief(inputs, options)})"
        before = [_copy(value) for value in (*inputs, *options.values())]
        try:
            result = function(*inputs, **options)
        except Complaint:
            raise
        except NotImplementedError as error:
            raise NotDone(f"{self.name} is not done yet") from error
        except Exception as error:
            raise Raised(what, brief, error, _line_of(error), _translated(error)) from error
        names = _parameters(function, len(inputs)) + list(options)
        for name, value, was in zip(names, (*inputs, *options.values()), before, strict=True):
            if not _equal(value, was):
                raise Complaint(f"{what} changes its input {name}: {_instead(name, value)}")
        if result is None:
            raise Complaint(f"{what} returns None: is a `return` missing at its end?")
        if result is Ellipsis:
            raise NotDone(f"{self.name} is not done yet")
        return result

    def find(self, name: str) -> Any:
        """Return another object of the learner's, and complain if the cell that defines it has not run."""
        if name not in self.names:
            raise Complaint(f"{self.name} needs {name}, which is not defined: run the cell above that defines it")
        return self.names[name]


def _brief(inputs: tuple[Any, ...], options: dict[str, Any]) -> str:
    """Return the arguments of a call, short enough for a sentence."""
    return ", ".join([_name(value) for value in inputs] + [f"{key}={_name(value)}" for key, value in options.items()])


def _name(value: Any) -> str:
    data = value if isinstance(value, np.ndarray) else getattr(value, "data", value)  # an array's own data is a buffer
    if isinstance(data, np.ndarray) and data.ndim:
        kind = "array" if data is value else "Tensor"
        return f"{kind} of shape {data.shape}"
    text = repr(value)
    return text if len(text) <= 30 else f"a {type(value).__name__}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _line_of(error: Exception) -> str:
    """Return the learner's line that led to the error, if found; lines of earlier lessons do not count."""
    trace, line = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if not any(part in code.co_filename for part in NOT_THE_LEARNERS):
            line = linecache.getline(code.co_filename, trace.tb_lineno).strip() or line
        trace = trace.tb_next
    return line


def _translated(error: Exception) -> str:
    """Return what PyTorch's name is called here, or how to define a name, if the error is about one."""
    missing = re.search(r"^name '(\w+)' is not defined", str(error))
    if missing and missing[1] in LIBRARIES and (here := _of_library(missing[1], error)):
        return f": the lessons do without PyTorch, whose {here}"
    if missing and missing[1] in NOT_DEFINED:
        return f": {NOT_DEFINED[missing[1]]}"
    found = re.search(r"no attribute '(\w+)'$|unexpected keyword argument '(\w+)'$", str(error))
    name = (found[1] or found[2]) if found else ""
    if name in FROM_NUMPY and "'Tensor'" in str(error):
        return f"; NumPy's {name} is here: {FROM_NUMPY[name]}"
    if "different element types" in str(error):
        return "; make all float64 or all float32: Tensor(array.astype(x.dtype))"
    here = FROM_PYTORCH.get(name, "")
    if "'Tensor'" in str(error) and here.startswith(OF_ARRAYS):
        return ""
    if found and re.match(r"'(list|tuple|dict|set|str)' object", str(error)):  # which have an `add` or `size` too
        is_list = str(error).startswith(("'list'", "'tuple'")) and hasattr(np.ndarray, name)
        return f"; a list has no {name}: np.array(x) makes an array of numbers" if is_list else ""
    if "'numpy.ndarray'" in str(error) and not here and callable(getattr(np, name, None)):
        return f"; {name} is a function of NumPy: np.{name}(x)"
    return f"; PyTorch's {name} is here: {here}" if here else ""


def _of_library(library: str, error: Exception) -> str:
    """Return what the learner's line takes from PyTorch, with what does the same here; "" if nothing is known of it."""
    called = re.search(rf"\b{library}\.(?:\w+\.)*(\w+)", _line_of(error))
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if called is None or trace is None or called[1] == trace.tb_frame.f_code.co_name:  # what the learner is to write
        return ""
    name = called[1]
    here = FROM_PYTORCH.get(name, "")
    if not here and callable(getattr(np, name, None)):
        here = f"x.{name}(...)" if hasattr(np.ndarray, name) else f"np.{name}(...)"
    if name in OF_BOTH:
        here = f"{here}, or x.{name}() of a Tensor"
    return f"{name} is here: {here}" if here else ""


def _copy(value: Any) -> Any:
    """Return a copy of what an attempt might change: arrays, Tensors' arrays, numbers, lists and dictionaries."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(getattr(value, "data", None), np.ndarray):
        return value.data.copy()
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return value if isinstance(value, int | float | str) else None


def _parameters(function: Callable[..., Any], count: int) -> list[str]:
    """Return the names of a function's first parameters, or their numbers, from 1, where Python knows no names."""
    try:
        kinds = [p for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):  # not a function of Python
        kinds = []
    names = [p.name for p in kinds[:count]]
    return names + [str(i + 1) for i in range(len(names), count)]


def _instead(name: str, value: Any) -> str:
    """Return what to do instead of changing an input."""
    if isinstance(value, np.ndarray):
        return f"work on a copy, {name} = {name}.copy()"
    if isinstance(value, list | tuple) and any(isinstance(item, np.ndarray) for item in value):
        return f"make a new list of new arrays, such as [2 * x for x in {name}]"
    if isinstance(value, list | tuple | dict):
        return f"make a new {type(value).__name__}"
    return f"make a new array instead of changing {name}.data"


def _equal(value: Any, was: Any) -> bool:
    if isinstance(value, np.ndarray) or isinstance(getattr(value, "data", None), np.ndarray):
        data = value if isinstance(value, np.ndarray) else value.data
        return isinstance(was, np.ndarray) and data.shape == was.shape and np.array_equal(data, was, equal_nan=True)
    if isinstance(value, list | tuple):
        return len(value) == len(was) and all(_equal(a, b) for a, b in zip(value, was, strict=True))
    if isinstance(value, dict):
        return value.keys() == was.keys() and all(_equal(value[key], was[key]) for key in value)
    return value == was or value != value if isinstance(value, int | float | str) else True  # nan is not itself


# -- time and print -------------------------------------------------------------------------------------


@contextlib.contextmanager
def time_limit(seconds: float | None = None) -> Iterator[None]:
    """Raise OutOfTime in this thread after some seconds (SECONDS if left out), and again if the attempt catches it.

    Where no thread can start (a browser), there is no limit: `start` says so.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    over = threading.Event()
    turn = threading.Lock()
    raised = threading.Event()

    def watch() -> None:
        wait = SECONDS if seconds is None else seconds
        while not over.wait(wait):
            with turn:
                if not over.is_set():
                    raised.set()
                    _raise_in(thread)
            wait = 0.5

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        watcher.start()
    except RuntimeError:
        yield
        return
    try:
        yield
    finally:
        over.set()
        with turn, contextlib.suppress(OutOfTime):
            if raised.is_set():  # one may still be pending: catch it here, before other code gets it
                _raise_in(thread)
                while True:  # None instead would clear it, but in CPython 3.11 the next traced call would hang
                    pass
        watcher.join()


def _raise_in(thread: ctypes.c_ulong) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(OutOfTime))


class Printed(io.StringIO):
    """An attempt's output: the first characters are kept, the rest is counted."""

    characters = 0
    lines = 0

    def write(self, text: str, /) -> int:
        """Keep text while there is room, and count all of it."""
        room = PRINTED_CHARACTERS - self.characters
        if room > 0:
            super().write(text[:room])
        self.characters += len(text)
        self.lines += text.count("\n")
        return len(text)

    def said(self) -> str:
        """Return what was printed, with a line on its length if some was left out."""
        text = self.getvalue()
        if self.characters <= PRINTED_CHARACTERS:
            return text
        return f"{text}\n... it prints {self.lines:,} lines in all: remove the print before you go on\n"
