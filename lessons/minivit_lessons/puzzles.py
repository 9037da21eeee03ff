"""Puzzles: a result that must be reached with few means, such as one line of @, reshape and transpose."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Collection

from .trial import Attempt, Complaint

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
