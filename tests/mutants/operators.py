"""Every small mistake that somebody could make in a source file: one changed operator, constant, argument or statement.

A mutant is described by its text alone, so that a list of mutants survives when lines move.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SWAPPED_OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
OTHER_COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
SWAPPED_CALLS = {
    "min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor", "zeros": "ones",
    "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like", "exp": "log", "sin": "cos", "cos": "sin",
    "maximum": "minimum", "minimum": "maximum",
}  # fmt: skip
UNWRAPPED_CALLS = {"abs", "reversed", "sorted", "int", "float", "bool", "wide", "sqrt"}
UNWRAPPED_METHODS = {"astype", "copy", "reshape", "swapaxes", "transpose", "squeeze"}
# `strict=True` only says what holds anyway, `copy=False` only saves memory: no result depends on them.
UNTOUCHED_KEYWORDS = {None, "strict", "copy"}
BODIES = ("body", "orelse", "handlers", "finalbody")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(eq=False)
class Mutant:
    """One change to one file.

    Args:
        file: its path from the repository's root.
        where: the function or class, dotted; empty at the top of the file.
        old, new: the statement before and after, without the statements inside it.
        first, last: its lines.
        tree: the file's syntax tree.
        slot, place, value: `slot[place]` or `slot.place` becomes `value`.
        top: the function, at the top of the file or of a class, whose body holds it; None if it is in no body.
        scope: the lines of the function or class that it is in; the whole file at the top.
    """

    file: str
    where: str
    old: str
    new: str
    first: int
    last: int
    tree: ast.Module = field(repr=False)
    slot: Any = field(repr=False)
    place: Any = field(repr=False)
    value: Any = field(repr=False)
    top: ast.FunctionDef | None = field(repr=False)
    scope: tuple[int, int] = field(repr=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is called in lists."""
        return self.file, self.where, self.old, self.new

    @property
    def context(self) -> str:
        """A hash of the source that decides what it does: its function's, or the whole file's."""
        return hashlib.sha256(ast.unparse(self.top or self.tree).encode()).hexdigest()[:16]

    def apply(self) -> None:
        """Change the tree."""
        _put(self.slot, self.place, self.value)

    def code(self, path: str) -> Any:
        """The compiled file with the change in it. The tree stays changed."""
        self.apply()
        return compile(ast.fix_missing_locations(self.tree), path, "exec", dont_inherit=True)


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """All mutants of a file, in the order of its lines; no two have one key."""
    tree = ast.parse((root / file).read_text(encoding="utf-8"))
    found: dict[tuple, Mutant] = {}
    for mutant in _Finder(file, tree).statements(tree.body, (), None, (1, 10**9), set()):
        found.setdefault(mutant.key, mutant)
    return list(found.values())


class _Finder:
    def __init__(self, file: str, tree: ast.Module):
        self.file, self.tree = file, tree

    def statements(
        self, body: list, where: tuple[str, ...], top: Any, scope: tuple[int, int], bound: set[str]
    ) -> Iterator[Mutant]:
        """The mutants of some statements of one body; `bound` are the names that have a value already."""
        for place, statement in enumerate(body):
            if _says_nothing(statement):
                continue
            old = header(statement)

            def mutant(slot: Any, at: Any, value: Any, here=statement, old=old) -> Iterator[Mutant]:
                before = _get(slot, at)
                _put(slot, at, value)
                new = header(value if slot is body else here)
                _put(slot, at, before)
                if new != old:
                    last = max(here.lineno, _body_start(here) or here.end_lineno)
                    yield Mutant(
                        self.file, ".".join(where), old, new, here.lineno, last, self.tree, slot, at, value, top, scope
                    )

            for value in statement_changes(statement, bound):
                yield from mutant(body, place, ast.copy_location(value, statement))
            for slot, at, value in header_changes(statement):
                yield from mutant(slot, at, value)
            bound |= {name.id for name in ast.walk(statement) if _is_target(name)}

            if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
                inner = (statement.lineno, statement.end_lineno) if top is None else scope
                inner_top = top or (statement if isinstance(statement, FUNCTIONS) else None)
                names = {arg.arg for arg in ast.walk(statement) if isinstance(arg, ast.arg)}
                yield from self.statements(statement.body, (*where, statement.name), inner_top, inner, names)
            else:
                for part in _bodies(statement):
                    yield from self.statements(part, where, top, scope, bound)


# -- statements --------------------------------------------------------------------------------------------


def statement_changes(statement: ast.stmt, bound: set[str]) -> Iterator[ast.stmt]:
    """What could stand instead of a whole statement."""
    match statement:
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Return(value=ast.expr() as value) if not _is_constant(value, None):
            yield ast.Return(ast.Constant(None))
        case ast.Raise(exc=ast.Call() as call):
            yield ast.Pass()
            if not isinstance(call.func, ast.Name) or call.func.id != "Exception":
                yield ast.Raise(ast.Call(ast.Name("Exception", ast.Load()), call.args, []), statement.cause)
        case ast.Expr() | ast.Raise() | ast.Assert() | ast.Delete():
            yield ast.Pass()
        case ast.Assign():
            if not {n.id for target in statement.targets for n in ast.walk(target) if _is_target(n)} - bound:
                yield ast.Pass()
            match statement:
                case ast.Assign([ast.Name(id=name)], ast.BinOp(ast.Name(id=left))) if name == left:
                    yield ast.AugAssign(statement.targets[0], statement.value.op, statement.value.right)  # in place
        case ast.AugAssign():
            yield ast.Pass()
            yield ast.Assign([statement.target], statement.value)
            other = SWAPPED_OPERATORS.get(type(statement.op))
            if other:
                yield ast.AugAssign(statement.target, other(), statement.value)
        case ast.With():
            yield ast.If(ast.Constant(True), statement.body, []) if _names_nothing(statement) else statement
        case ast.Try(finalbody=[_, *_]):
            yield ast.Try(statement.body, statement.handlers, statement.orelse, [ast.Pass()])
        case ast.ExceptHandler():
            yield ast.ExceptHandler(statement.type, statement.name, [ast.Raise()])
        case ast.For():
            yield ast.For(statement.target, ast.Tuple([], ast.Load()), statement.body, statement.orelse)
        case ast.While():
            yield ast.While(ast.Constant(False), statement.body, statement.orelse)
        case ast.If():
            for value in (True, False):
                yield ast.If(ast.Constant(value), statement.body, statement.orelse)


def header(statement: ast.AST) -> str:
    """A statement's text without the statements inside it."""
    if isinstance(statement, ast.ExceptHandler):
        kind = ast.unparse(statement.type) if statement.type else ""
        again = ": raise" if isinstance(statement.body[0], ast.Raise) and not statement.body[0].exc else ":"
        return f"except {kind}{again}"
    bare = copy.copy(statement)
    for part in BODIES:
        if hasattr(bare, part):
            setattr(bare, part, [])
    if isinstance(statement, ast.Try):
        return "try: finally: pass" if [type(s) for s in statement.finalbody] == [ast.Pass] else "try:"
    return ast.unparse(bare)


def header_changes(statement: ast.AST) -> Iterator[tuple[Any, Any, Any]]:
    """Changes inside a statement, not inside the statements that it holds."""
    if isinstance(statement, ast.Raise):
        return  # the words of a message
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        for place, decorator in enumerate(statement.decorator_list):
            yield from changes(statement.decorator_list, place, decorator)
        if isinstance(statement, FUNCTIONS):
            for values in (statement.args.defaults, statement.args.kw_defaults):
                for place, value in enumerate(values):
                    if value is not None:
                        yield from changes(values, place, value)
        return
    skip = {*BODIES, "annotation", "type_comment", "cases"}
    if isinstance(statement, ast.ExceptHandler):
        return
    yield from fields_changes(statement, skip)


def fields_changes(node: ast.AST, skip: set[str] = frozenset()) -> Iterator[tuple[Any, Any, Any]]:
    """The changes of all expressions right below a node, and below those."""
    for name, value in ast.iter_fields(node):
        if name in skip or isinstance(value, ast.expr_context | ast.operator):
            continue
        if isinstance(value, list):
            for place, part in enumerate(value):
                if isinstance(part, ast.AST):
                    yield from changes(value, place, part)
        elif isinstance(value, ast.AST):
            yield from changes(node, name, value)


def free_lengths(call: ast.Call) -> Iterator[tuple[Any, Any, Any]]:
    """The changes inside `x.reshape(...)`, where NumPy takes any negative length for -1."""
    for slot, place, value in fields_changes(call):
        if not (isinstance(value, ast.Constant) and isinstance(value.value, int) and value.value < -1):
            yield slot, place, value


def changes(slot: Any, place: Any, node: ast.AST) -> Iterator[tuple[Any, Any, Any]]:
    """What could stand instead of the expression at `slot[place]`, and instead of each one inside it."""
    if isinstance(node, ast.keyword) and node.arg in UNTOUCHED_KEYWORDS:
        return
    if isinstance(node, ast.expr):
        for other in expression_changes(node):
            yield slot, place, ast.copy_location(other, node)
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            for other in OTHER_COMPARISONS[type(operator)]:
                yield node.ops, at, other()
    if isinstance(node, ast.Call):
        for at in range(len(node.keywords)):
            if node.keywords[at].arg not in UNTOUCHED_KEYWORDS:
                yield (
                    slot,
                    place,
                    ast.copy_location(
                        ast.Call(node.func, node.args, node.keywords[:at] + node.keywords[at + 1 :]), node
                    ),
                )
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return  # its other values are among `expression_changes`
    if isinstance(node, ast.comprehension):
        for at in range(len(node.ifs)):
            yield node, "ifs", node.ifs[:at] + node.ifs[at + 1 :]
    if isinstance(node, ast.JoinedStr):
        return  # words
    if isinstance(node, ast.Lambda):
        yield from changes(node, "body", node.body)
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
        yield from free_lengths(node)
        return
    yield from fields_changes(node)


# -- expressions -------------------------------------------------------------------------------------------


def expression_changes(node: ast.expr) -> Iterator[ast.expr]:
    """What could stand instead of an expression."""
    match node:
        case ast.BinOp():
            if type(node.op) in SWAPPED_OPERATORS and not _is_text(node.left):
                yield ast.BinOp(node.left, SWAPPED_OPERATORS[type(node.op)](), node.right)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            yield node.operand
            yield from (ast.Constant(other) for other in other_constants(-value))
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield node.operand
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
            for i in range(len(node.values)):
                rest = node.values[:i] + node.values[i + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.Constant():
            yield from map(ast.Constant, other_constants(node.value))
        case ast.Call():
            yield from call_changes(node)
        case ast.Slice():
            if node.lower:
                yield ast.Slice(None, node.upper, node.step)
            if node.upper:
                yield ast.Slice(node.lower, None, node.step)
            if node.step:
                yield ast.Slice(node.lower, node.upper, None)
        case ast.NamedExpr():
            return
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and isinstance(node.ctx, ast.Load):
        yield node.value


def other_constants(value: object) -> Iterator[object]:
    """What could stand instead of a constant."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
        yield value - 1
    elif isinstance(value, float):
        yield 1.0 if value == 0.0 else 0.0
        yield value * 1.5
    elif isinstance(value, str) and value:
        yield value + "x"


def call_changes(node: ast.Call) -> Iterator[ast.expr]:
    """What could stand instead of a call."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in SWAPPED_CALLS:
            func = copy.copy(node.func)
            setattr(func, "id" if isinstance(func, ast.Name) else "attr", SWAPPED_CALLS[name])
            yield ast.Call(func, node.args, node.keywords)
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[only]) if name in UNWRAPPED_CALLS:
            if not isinstance(only, ast.Starred | ast.GeneratorExp):
                yield only
        case ast.Call(func=ast.Attribute(value=inner, attr=name)) if name in UNWRAPPED_METHODS:
            if not (isinstance(inner, ast.Name) and inner.id in ("np", "xp", "ops", "engine")):
                yield inner


# -- small helpers -----------------------------------------------------------------------------------------


def _get(slot: Any, place: Any) -> Any:
    return slot[place] if isinstance(slot, list) else getattr(slot, place)


def _put(slot: Any, place: Any, value: Any) -> None:
    if isinstance(slot, list):
        slot[place] = value
    else:
        setattr(slot, place, value)


def _bodies(statement: ast.AST) -> list[list]:
    return [part for name in BODIES if isinstance(part := getattr(statement, name, None), list)] + [
        case.body for case in getattr(statement, "cases", [])
    ]


def _body_start(statement: ast.AST) -> int | None:
    """The line before a compound statement's body; that of the body itself where a line's worth is one event."""
    body = getattr(statement, "body", None)
    return body[0].lineno - (not isinstance(statement, ast.Try)) if isinstance(body, list) else None


def _says_nothing(statement: ast.AST) -> bool:
    """Imports, docstrings, declarations for type checkers and lists of names: nothing that runs."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global() | ast.Nonlocal():
            return True
        case ast.Expr(value=ast.Constant()) | ast.AnnAssign(value=None):
            return True
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__all__")]):
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
            return True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
        case ast.FunctionDef(decorator_list=[ast.Name(id="overload"), *_]):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _is_target(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _is_constant(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _names_nothing(statement: ast.With) -> bool:
    return all(item.optional_vars is None for item in statement.items)
