"""What a learner's source says about a mistake: a `return` inside a loop, a sum that starts again, an unused argument.

A check compares results. Two mistakes can lead to the same result, and some results fit no mistake that an exercise
knows. The source then often shows what happened. Without a source there are no hints.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Any

# Methods that return a new array and leave the old one as it is, so that their result must be used.
NEW_ARRAY = frozenset(
    ("reshape", "transpose", "swapaxes", "astype", "copy", "mean", "sum", "max", "min", "clip", "cumsum", "argmax",
     "argmin", "sqrt", "exp", "tanh", "ravel", "flatten", "round", "dot", "permutation")
)  # fmt: skip
FIRST_VALUES = frozenset(("list", "dict", "set", "zeros", "zeros_like", "empty", "eye"))  # calls that begin a sum


def certain_hint(function: Any) -> str:
    """Return a fault of the source that makes any result wrong, such as a `return` inside a loop; "" if none."""
    for tree in _sources(function):
        for loop in _loops(tree):
            if any(isinstance(step, ast.Return) for step in loop.body) and not _skips(loop):
                return "is `return` inside the loop? It ends the loop in its first turn: move it behind the loop"
        for scope in ast.walk(tree):
            if isinstance(scope, ast.FunctionDef) and (name := _restarted(scope)):
                return f"{name} starts again in each turn: set its first value before the loop"
        for step in ast.walk(tree):
            if isinstance(step, ast.Expr) and (call := _unused_result(step.value)):
                return f"the result of {call}(...) is not used: assign it, since the array itself does not change"
    return ""


def likely_hint(function: Any, solution: str) -> str:
    """Return what in the source may be the reason for a wrong result; "" if nothing is found.

    Args:
        function: the learner's function or class.
        solution: the source of a right answer, which the learner's is compared with.
    """
    right = ast.parse(solution)
    needed = {node.id for node in ast.walk(right) if isinstance(node, ast.Name)}
    for tree in _sources(function):
        for scope in ast.walk(tree):
            if isinstance(scope, ast.FunctionDef) and (name := _unused_argument(scope, needed)):
                return f"the argument {name} is never used"
        for loop in _loops(tree):
            if isinstance(loop, ast.For) and (name := _unused_variable(loop)) and not _repeats(right):
                return f"{name} is never used, so each turn of its loop does the same"
        for scope in ast.walk(tree):
            if isinstance(scope, ast.FunctionDef) and (name := _overwritten(scope)):
                return f"{name} is overwritten in each turn of the loop, so only the last counts"
    return ""


def guessed_hint(function: Any, solution: str) -> str:
    """Return a weaker sign of a mistake, for a result that nothing else explains: // where the solution has none."""
    right = ast.parse(solution)
    if any(_divides_down(tree) for tree in _sources(function)) and not _divides_down(right):
        return "// rounds down: is / needed?"
    return ""


def _sources(function: Any) -> Iterator[ast.AST]:
    """Yield the parsed source of a function, or of each method of a class."""
    parts = [function] if isinstance(function, FunctionType) else list(getattr(function, "__dict__", {}).values())
    for part in parts:
        if isinstance(part, FunctionType):
            tree = parsed_source(part)
            if tree is not None:
                yield tree


def parsed_source(function: FunctionType) -> ast.Module | None:
    """Return the parsed source of a function; None if it has none, or only a part of a line."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, ValueError, TypeError):
        return None


def _loops(tree: ast.AST) -> Iterator[ast.For | ast.While]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While))


def _skips(loop: ast.For | ast.While) -> bool:
    """Return whether the loop may reach a second turn, as a search does: with `continue`, or as `while True`."""
    endless = isinstance(loop, ast.While) and isinstance(loop.test, ast.Constant)
    return endless or any(isinstance(node, ast.Continue) for node in ast.walk(loop))


def _restarted(scope: ast.FunctionDef) -> str:
    """Return a variable that a loop sets to its first value and then adds to, and that is used after the loop."""
    for i, loop in enumerate(scope.body):
        loop = loop.body[0] if isinstance(loop, ast.With) and len(loop.body) == 1 else loop
        if not isinstance(loop, ast.For | ast.While):
            continue
        after = scope.body[i + 1] if i + 1 < len(scope.body) else None
        used = {node.id for node in ast.walk(after) if isinstance(node, ast.Name)} if after else set()
        begun: set[str] = set()
        for step in loop.body:
            if begun and (name := _added_to(step) & begun & used):
                return min(name)
            if isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name) and _is_empty(step.value):
                begun.add(step.targets[0].id)
    return ""


def _is_empty(value: ast.expr) -> bool:
    """Return whether a value is one that sums and lists begin with: 0, [], {} or an array of zeros."""
    if isinstance(value, ast.List | ast.Dict):
        return not ast.unparse(value).strip("[]{}")
    if isinstance(value, ast.Call):
        called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return called in FIRST_VALUES
    return isinstance(value, ast.Constant) and value.value == 0 and value.value is not False


def _added_to(step: ast.stmt) -> set[str]:
    """Return the variables that a statement adds something to."""
    found: set[str] = set()
    for node in ast.walk(step):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            adds = node.func.attr in ("append", "extend", "update", "add")
            if adds and isinstance(node.func.value, ast.Name):
                found.add(node.func.value.id)
    return found


def _unused_result(value: ast.expr) -> str:
    """Return the call of a method whose result is thrown away; "" if it is none of those that return a new array."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in NEW_ARRAY:
        writes = any(word.arg == "out" for word in value.keywords) or len(value.args) > 2
        if not writes:
            return ast.unparse(value.func)
    return ""


def _unused_argument(scope: ast.FunctionDef, needed: set[str]) -> str:
    """Return an argument that the function never reads, though a right answer does."""
    read = {node.id for step in scope.body for node in ast.walk(step) if isinstance(node, ast.Name)}
    names = [argument.arg for argument in (*scope.args.args, *scope.args.kwonlyargs)]
    return next((name for name in names if name != "self" and name in needed and name not in read), "")


def _unused_variable(loop: ast.For) -> str:
    """Return the variable of a loop whose body does not read it; "" if it is read, or several are assigned."""
    if not isinstance(loop.target, ast.Name) or loop.target.id.startswith("_"):
        return ""
    read = {node.id for step in loop.body for node in ast.walk(step) if isinstance(node, ast.Name)}
    return "" if loop.target.id in read else loop.target.id


def _repeats(tree: ast.AST) -> bool:
    """Return whether a right answer has a loop that does the same in each turn too."""
    targets = [loop.target for loop in _loops(tree) if isinstance(loop, ast.For)]
    return any(isinstance(target, ast.Name) and target.id.startswith("_") for target in targets)


def _overwritten(scope: ast.FunctionDef) -> str:
    """Return a variable that a loop assigns anew in each turn, and that is read only after the loop."""
    for loop, after in itertools.pairwise(scope.body):
        if not isinstance(loop, ast.For) or any(isinstance(node, ast.Break) for node in ast.walk(loop)):
            continue
        inside = {node.id for node in ast.walk(loop) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        later = {node.id for node in ast.walk(after) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        for step in loop.body:
            if isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name):
                name = step.targets[0].id
                if name in later and name not in inside:
                    return name
    return ""


def _divides_down(tree: ast.AST) -> bool:
    """Return whether // divides something that is neither an index nor a length, as in reshape(B, N, D // heads)."""
    shapes = ("reshape", "range", "zeros", "empty", "ones", "full", "broadcast_to")
    of_shapes = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in shapes
        for argument in node.args
        for inner in ast.walk(argument)
    }
    of_shapes |= {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.Subscript) for inner in ast.walk(node.slice)
    }
    return any(
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv) and id(node) not in of_shapes
        for node in ast.walk(tree)
    )
