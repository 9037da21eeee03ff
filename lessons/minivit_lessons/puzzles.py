"""Puzzles: a result that must be reached with few means, such as one line of @, reshape and transpose.

`uses_only` checks the means. `show_attempt` draws what the learner's own code makes of a labelled array, right or
wrong, beside the right result.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Collection
from typing import Any

import numpy as np

from . import checking, state
from .display import show
from .pictures.cells import Cells, draw_cells
from .trial import Attempt, Complaint, OutOfTime, time_limit

SIGNS = {
    ast.MatMult: "@", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.USub: "-",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
# What a puzzle's line may always contain: names, numbers, tuples of them, and attributes such as x.shape.
PLAIN = (
    ast.Return, ast.Name, ast.Constant, ast.Tuple, ast.Attribute, ast.Load, ast.Starred, ast.keyword,
    ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context,
)  # fmt: skip


def uses_only(attempt: Attempt, *allowed: str) -> None:
    """Complain unless a function is one `return` line that uses nothing but what is allowed.

    Where the function's source cannot be found, nothing is said.

    Args:
        attempt: the learner's function.
        *allowed: operators ("@"), names of functions and methods ("reshape", "arange"), "[]" for indexing.

    Raises:
        Complaint: with what is used and what is allowed.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(attempt.function)))
    except (OSError, TypeError, SyntaxError):
        return
    function = tree.body[0]
    body = function.body if isinstance(function, ast.FunctionDef) else []
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]  # its docstring
    if len(body) != 1 or not isinstance(body[0], ast.Return):
        raise Complaint(
            f"{attempt.name} must be a single line that begins with return: here are {len(body)} statements"
        )
    for node in ast.walk(body[0]):
        used = _means(node)
        if used is not None and used not in allowed:
            raise Complaint(f"{attempt.name} uses {used}: this puzzle allows {_listed(allowed)}")


def _means(node: ast.AST) -> str | None:
    """Return what a node uses that must be allowed, None if it may always be used."""
    if type(node) in SIGNS:
        return SIGNS[type(node)]
    if isinstance(node, ast.Call):
        called = node.func
        return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "a call of a call")
    if isinstance(node, ast.Subscript | ast.Slice):
        return "[]"
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        return "transpose"
    return None if isinstance(node, PLAIN) else f"`{type(node).__name__}`"


def _listed(allowed: Collection[str]) -> str:
    *first, last = allowed
    return f"{', '.join(first)} and {last}" if first else last


def show_attempt(name: str, given: Cells, *inputs: Any, right: Any) -> None:
    """Draw a labelled array, what the learner's last checked attempt makes of it, and the right result.

    Numbers that differ are framed. Where the attempt returns no array of numbers, a line says why.

    Args:
        name: the name of the exercise.
        given: the array to draw first.
        *inputs: the arguments of the call.
        right: the right result, of one or two axes.
    """
    if state.current().is_hidden:
        return
    attempt = checking.attempts.get(name)
    if not callable(attempt):
        print(f"{name} is not done yet: this cell will draw what your code does")
        return
    try:
        with time_limit():
            yours = np.asarray(Attempt(name, attempt)(*inputs))
    except (Complaint, OutOfTime) as problem:
        print(f"nothing to draw: {problem or f'{name} takes too long'}")
        return
    if yours.dtype.kind not in "fiub" or yours.ndim not in (1, 2) or not yours.size:
        print(f"nothing to draw: {name} returns an array of shape {yours.shape}, not {np.shape(right)}")
        return
    wanted = np.atleast_2d(right)
    got = np.atleast_2d(yours)
    differ = np.argwhere(~np.isclose(got, wanted)) if got.shape == wanted.shape else []
    line = [given, "→", Cells("your code", got, [(int(i), int(j)) for i, j in differ]), Cells("right", wanted)]
    says = f"{len(differ)} numbers differ" if got.shape == wanted.shape else f"of shape {got.shape}, not {wanted.shape}"
    show(draw_cells(line), f"{given.title}; what your code makes of it; the right result: {says}.")
