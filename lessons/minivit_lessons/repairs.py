"""Finds the one small change that makes an attempt right, by trying many: another axis, sign, order, name or bound.

A check knows the mistakes that somebody thought of. For the others, this is automatic program repair by mutation: the
learner's source is changed in one place (or in the same way in all places), and the check is run again. The change
that passes is where the mistake is.
"""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import numpy as np

from .hints import parsed_source
from .trial import OutOfTime, time_limit

SECONDS = 5.0  # of trying, after which the search gives up
LONGEST = 48  # characters of code that a sentence quotes
AROUND = 16  # characters beside a difference in longer code
SHORT = 20  # characters of the longest part of a right answer that is tried in an attempt

OPERATORS = {
    ast.Add: (ast.Sub, ast.Mult), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.MatMult, ast.Pow, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv), ast.FloorDiv: (ast.Div, ast.Mod), ast.Mod: (ast.FloorDiv,),
    ast.MatMult: (ast.Mult,), ast.Pow: (ast.Mult,),
}  # fmt: skip
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt, ast.GtE), ast.LtE: (ast.Lt, ast.GtE, ast.Gt), ast.Gt: (ast.GtE, ast.Lt, ast.LtE),
    ast.GtE: (ast.Gt, ast.LtE, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
}  # fmt: skip
RELATED = (
    ("sum", "mean", "max"), ("max", "min"), ("argmax", "argmin"), ("any", "all"), ("floor", "ceil", "round", "rint"),
    ("zeros", "ones"), ("zeros_like", "ones_like"), ("std", "var"), ("random", "standard_normal"),
    ("rows", "columns"), ("sin", "cos"), ("hstack", "vstack"), ("tril", "triu"), ("repeat", "tile"), ("log", "exp"),
    ("max", "argmax"), ("min", "argmin"), ("sort", "argsort"),
)  # fmt: skip
SUMS = ("sum", "mean")
REDUCTIONS = frozenset(("sum", "mean", "max", "min", "argmax", "argmin", "any", "all", "norm", "std", "var"))


@dataclass(frozen=True)
class Change:
    """One place of a source with something else in it.

    Attributes:
        holder: the list or node that holds the place.
        key: the index, or the name of the field.
        new: what stands there instead; None leaves it out.
        said: what must be done, as the end of a sentence.
        rule: the same text for changes of one kind, which may be needed everywhere.
    """

    holder: Any
    key: Any
    new: Any
    said: str
    rule: str


def find_repair(attempt: Any, passes: Callable[[Any], bool], names: dict[str, Any], solution: str = "") -> str:
    """Return the change that makes an attempt right, such as "axis=0 must be axis=1"; "" if none is found.

    Args:
        attempt: the learner's function or class.
        passes: whether a changed attempt is right; it may raise.
        names: the namespace in which the attempt was defined.
        solution: the source of a right answer, whose short parts are tried too.
    """
    if not SECONDS:
        return ""
    quiet = contextlib.redirect_stdout(io.StringIO())
    end = time.monotonic() + SECONDS
    with contextlib.suppress(OutOfTime), quiet, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with time_limit(SECONDS):
            for part, rebuilt in _parts(attempt, names):
                tree = parsed_source(part)
                if tree is None or any(isinstance(node, ast.While) or _opens(node) for node in ast.walk(tree)):
                    continue  # a changed `while` may never end, and a browser has no time limit
                for changes in _tries(tree, _short_parts(solution)):
                    if time.monotonic() > end:
                        return ""
                    if _helps(tree, changes, rebuilt, passes):
                        return changes[0].said + (" (everywhere)" if len(changes) > 1 else "")
    return ""


def _parts(attempt: Any, names: dict[str, Any]) -> Iterator[tuple[FunctionType, Callable[[ast.Module], Any]]]:
    """Yield each function of an attempt, with what makes an attempt of its changed source."""

    def defined(tree: ast.Module) -> Any:
        found: dict[str, Any] = {}
        exec(compile(tree, "<a changed attempt>", "exec"), names, found)
        return next(iter(found.values()))

    if isinstance(attempt, FunctionType):
        yield attempt, defined
    if not isinstance(attempt, type):
        return
    methods = [(name, part) for name, part in vars(attempt).items() if isinstance(part, FunctionType)]
    for name, part in sorted(methods, key=lambda method: method[0] == "__init__"):  # the longest search last
        yield part, lambda tree, name=name: type(attempt.__name__, (attempt,), {name: defined(tree)})


def _helps(
    tree: ast.Module, changes: tuple[Change, ...], rebuilt: Callable[[ast.Module], Any], passes: Callable[[Any], bool]
) -> bool:
    """Return whether the source with these changes is right. The tree is as before afterwards."""
    before = [_put(change.holder, change.key, change.new) for change in changes]
    try:
        return passes(rebuilt(ast.fix_missing_locations(tree)))
    except Exception:
        return False
    finally:
        for change, was in zip(reversed(changes), reversed(before), strict=True):
            _put_back(change.holder, change.key, was, change.new)


def _put(holder: Any, key: Any, new: Any) -> Any:
    if not isinstance(holder, list):
        was = getattr(holder, key)
        setattr(holder, key, new)
        return was
    was = holder[key]
    if new is None:
        del holder[key]
    else:
        holder[key] = new
    return was


def _put_back(holder: Any, key: Any, was: Any, new: Any) -> None:
    if isinstance(holder, list) and new is None:
        holder.insert(key, was)
    else:
        _put(holder, key, was)


def _tries(tree: ast.Module, parts: list[tuple[ast.AST, set[str]]]) -> Iterator[tuple[Change, ...]]:
    """Yield what to try: each single change, those of one rule in all places together, then what is rarely missing."""
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef):
        return
    function.decorator_list = []
    known = _names(function)
    slots = [slot for slot in _slots(function) if id(slot[2]) not in _first_values(function)]
    cuts = [node for node in ast.walk(function) if isinstance(node, ast.Slice) or _is_range(node)]
    bounds = {id(part) for cut in cuts for part in ast.walk(cut)}
    places = {
        id(part) for node in ast.walk(function) if isinstance(node, ast.Subscript) for part in ast.walk(node.slice)
    }
    owners = {id(inside): node for node in ast.walk(function) for _, inside in ast.iter_fields(node)}
    changes = [
        _placed(change, slot[2], owners)
        for rule in (_likely, _rarer)
        for slot in slots
        for change in rule(*slot, known)
        if not (id(slot[2]) in bounds and "squared" in change.said)  # right by chance, if far behind the end
    ]
    for change in changes:
        yield (change,)
    by_rule: dict[str, list[Change]] = {}
    for change in changes:
        by_rule.setdefault(change.rule, []).append(change)
    for alike in by_rule.values():
        if 1 < len(alike) <= 8 and not any(change.new is None and isinstance(change.holder, list) for change in alike):
            yield tuple(alike)
    others = [part for part, local in parts if local <= set(known)]
    others += [node for node in ast.walk(function) if isinstance(node, ast.keyword)]
    for slot in slots:
        for change in _missing(*slot, known, others):
            if not (id(slot[2]) in places and change.said.startswith("`- ")):  # a negative index fits by chance
                yield (_placed(change, slot[2], owners),)


def _placed(change: Change, node: ast.AST, owners: dict[int, ast.AST]) -> Change:
    """Return the change of a name among arguments or elements, said with the expression around it."""
    around = owners.get(id(change.holder)) if isinstance(change.holder, list) else None
    if not isinstance(node, ast.Name) or not isinstance(around, ast.expr):
        return change
    return replace(change, said=f"{change.said} in {_short(around)}")


def _is_range(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"


def _first_values(function: ast.FunctionDef) -> set[int]:
    """Return the ids of numbers that another one may replace by chance alone: first values, and steps of slices."""
    given = [node.value for node in ast.walk(function) if isinstance(node, ast.Assign)]
    numbers = [part for value in given for part in (value.elts if isinstance(value, ast.Tuple) else [value])]
    steps = [
        part for node in ast.walk(function) if isinstance(node, ast.Slice) and node.step for part in ast.walk(node.step)
    ]
    return {id(number) for number in [*numbers, *steps] if isinstance(number, ast.Constant | ast.UnaryOp)}


def _names(function: ast.FunctionDef) -> list[str]:
    """Return the names of a function's arguments and variables."""
    found = [argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)]
    found += [node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return [name for name in dict.fromkeys(found) if name not in ("self", "_")]


def _slots(function: ast.FunctionDef) -> Iterator[tuple[Any, Any, ast.AST]]:
    """Yield every place of the body: what holds it, its index or field, and what stands there."""
    waiting: list[ast.AST] = [ast.Module(function.body, [])]
    while waiting:
        node = waiting.pop(0)
        for field, value in ast.iter_fields(node):
            inside = list(enumerate(value)) if isinstance(value, list) else [(field, value)]
            for key, item in inside:
                if isinstance(item, ast.AST) and not isinstance(item, ast.expr_context):
                    yield (value if isinstance(value, list) else node), key, item
                    waiting.append(item)


def _likely(holder: Any, key: Any, node: ast.AST, names: list[str]) -> Iterator[Change]:
    """Yield changes of an operator, a number, an order or a bound."""

    def instead(new: ast.AST, rule: str = "", said: str = "") -> Change:
        said = said or _becomes(node, new)
        return Change(holder, key, new, said, rule or said)

    if isinstance(node, ast.keyword) and isinstance(holder, list):
        yield Change(holder, key, None, f"leave out {_short(node)}", f"without {_short(node)}")
    elif isinstance(node, ast.BinOp):
        left, op, right = node.left, node.op, node.right
        sign = _sign(op)
        after = ast.unparse(ast.BinOp(ast.Name("a", ast.Load()), op, right))[2:]  # with the parentheses it needs
        after = after if len(after) <= LONGEST else f"{sign} {_short(right)}"
        yield instead(left, f"no {sign} {_short(right)}", f"leave out `{after}` after {_short(left)}")
        if not isinstance(op, ast.Sub | ast.Div):
            front = ast.unparse(ast.BinOp(left, op, ast.Name("b", ast.Load())))[:-2]  # with the parentheses it needs
            front = front if len(front) <= LONGEST else f"{_short(left)} {sign}"
            rule = "no number in front" if isinstance(left, ast.Constant) else f"no {_short(left)} {sign}"
            yield instead(right, rule, f"leave out `{front}` before {_short(right)}")
        if isinstance(op, ast.Div) and isinstance(right, ast.Constant):
            yield instead(ast.Constant(0))
        for other in OPERATORS.get(type(op), ()):
            yield instead(ast.BinOp(left, other(), right), f"{type(op)} {other}")
        if not isinstance(op, ast.Add | ast.Mult):
            yield instead(ast.BinOp(right, op, left), f"turned {type(op)}")
        if isinstance(op, ast.Pow) and isinstance(left, ast.Constant):
            yield instead(ast.Call(ast.Attribute(ast.Name("np", ast.Load()), "exp", ast.Load()), [right], []))
        yield instead(ast.BinOp(node, ast.Sub(), ast.Constant(1)))
        yield instead(ast.BinOp(node, ast.Add(), ast.Constant(1)))
        yield instead(ast.Constant(0))
        if isinstance(left, ast.BinOp):
            inner = ast.BinOp(left.right, op, right)
            grouped = ast.BinOp(left.left, left.op, inner)
            said = f"parentheses are missing: ({_short(inner)}) comes first in {_short(node)}"
            yield instead(grouped, f"grouped {type(op)}", said)
        if isinstance(right, ast.BinOp):
            inner = ast.BinOp(left, op, right.left)
            said = f"parentheses are in the wrong place: ({_short(inner)}) comes first in {_short(node)}"
            yield instead(ast.BinOp(inner, right.op, right.right), f"regrouped {type(op)}", said)
        yield from _of_factor(node, instead)
        yield from _of_weight(node, instead)
        yield from _of_term(node, instead)
    elif isinstance(node, ast.Constant) and isinstance(value := node.value, int | float) and type(value) is not bool:
        numbers = [-1, 0, 1, 2] if isinstance(value, int) else []
        for number in dict.fromkeys([value + 1, value - 1, *numbers]):
            if number != value and isinstance(value, int):
                yield _numbered(holder, key, node, ast.Constant(number))
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in COMPARISONS.get(type(node.ops[0]), ()):
            yield instead(ast.Compare(node.left, [other()], node.comparators), f"{type(node.ops[0])} {other}")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert | ast.Not):
        yield instead(node.operand, f"no {type(node.op)}")
    elif isinstance(node, ast.Slice):
        if node.step is not None:
            yield instead(ast.Slice(node.lower, node.upper), "no step", f"leave out the step, as in [{_short(node)}]")
        if node.lower is not None:
            yield instead(ast.Slice(None, node.upper, node.step), "no lower bound")
        if node.upper is not None:
            yield instead(ast.Slice(node.lower, None, node.step), "no upper bound")
        if node.lower is None and node.upper is not None:
            yield instead(ast.Slice(ast.UnaryOp(ast.USub(), node.upper), None, node.step), "the end of it")
    elif isinstance(node, ast.Tuple | ast.List):
        yield from _of_sequence(node, instead)
    elif isinstance(node, ast.Call):
        yield from _of_call(node, instead)
    elif isinstance(node, ast.stmt) and isinstance(holder, list):
        yield from _of_statement(holder, key, node, instead)


def _of_factor(node: ast.BinOp, instead: Callable[..., Change]) -> Iterator[Change]:
    """Yield a sum in which only one of the terms has the factor or divisor that the learner's whole sum has."""
    pairs = [(node.right, node.left)] if isinstance(node.op, ast.Div) else []
    if isinstance(node.op, ast.Mult):
        pairs = [(node.left, node.right), (node.right, node.left)]
    for factor, terms in pairs:
        if not isinstance(terms, ast.BinOp) or not isinstance(terms.op, ast.Add | ast.Sub):
            continue
        split: list[tuple[ast.expr, ast.expr | None]] = [(factor, None)]  # what moves, and what stays in front
        if isinstance(node.op, ast.Mult) and isinstance(factor, ast.BinOp) and isinstance(factor.op, ast.Mult):
            split += [(factor.left, factor.right), (factor.right, factor.left)]
        for moved, stays in split:
            verb = "divide" if isinstance(node.op, ast.Div) else "multiply"
            for one, both in (
                (terms.right, (terms.left, ast.BinOp(terms.right, node.op, moved))),
                (terms.left, (ast.BinOp(terms.left, node.op, moved), terms.right)),
            ):
                new: ast.expr = ast.BinOp(both[0], terms.op, both[1])
                new = ast.BinOp(stays, ast.Mult(), new) if stays is not None else new
                yield instead(new, "", f"{_short(moved)} must {verb} {_short(one)} alone in {_short(node)}")


def _of_weight(node: ast.BinOp, instead: Callable[..., Change]) -> Iterator[Change]:
    """Yield a sum or mean into which the factor before it is moved: p * dp.sum() becomes (p * dp).sum()."""
    if not isinstance(node.op, ast.Mult):
        return
    for factors, call in ((node.left, node.right), (node.right, node.left)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr not in SUMS:
            continue
        of_module = _is_module(call.func.value)
        if of_module and not call.args:
            continue
        summed = call.args[0] if of_module else call.func.value
        split: list[tuple[ast.expr, ast.expr | None]] = [(factors, None)]  # what moves, and what stays in front
        if isinstance(factors, ast.BinOp) and isinstance(factors.op, ast.Mult):
            split += [(factors.right, factors.left), (factors.left, factors.right)]
        for moved, stays in split:
            inner = ast.BinOp(moved, ast.Mult(), summed)
            new: ast.expr = ast.Call(ast.Attribute(inner, call.func.attr, ast.Load()), call.args, call.keywords)
            if of_module:
                new = ast.Call(call.func, [inner, *call.args[1:]], call.keywords)
            new = ast.BinOp(stays, ast.Mult(), new) if stays is not None else new
            said = f"{_short(moved)} belongs inside the {call.func.attr}, with {_short(summed)}, in {_short(node)}"
            yield instead(new, "", said)


def _of_term(node: ast.BinOp, instead: Callable[..., Change]) -> Iterator[Change]:
    """Yield a call to which the term behind it is moved: sqrt(a) + b becomes sqrt(a + b)."""
    if not isinstance(node.op, ast.Add | ast.Sub):
        return
    left: Any = node.left
    is_product = isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult)
    pairs = [(left.left, left.right), (left.right, left.left)] if is_product else [(left, None)]
    for call, factor in pairs:
        if not isinstance(call, ast.Call) or call.keywords or len(call.args) > 1:
            continue
        if call.args:
            moved = ast.Call(call.func, [ast.BinOp(call.args[0], node.op, node.right)], [])
        elif isinstance(call.func, ast.Attribute):
            inside = ast.BinOp(call.func.value, node.op, node.right)
            moved = ast.Call(ast.Attribute(inside, call.func.attr, ast.Load()), [], [])
        else:
            continue
        new = moved if factor is None else ast.BinOp(factor, ast.Mult(), moved)
        yield instead(new, "", f"{_short(node.right)} belongs inside {_short(call.func)}(...)")


def _numbered(holder: Any, key: Any, node: ast.AST, new: ast.AST) -> Change:
    """Return the change of a number, said with what it belongs to, such as axis=0."""
    if isinstance(holder, ast.keyword):
        return Change(
            holder,
            key,
            new,
            f"{holder.arg}={_short(node)} must be {holder.arg}={_short(new)}",
            f"{holder.arg} {_short(new)}",
        )
    around = ""
    if isinstance(holder, ast.AST):
        was = getattr(holder, key)
        around = _short(holder)
        setattr(holder, key, new)
        around, changed = around, _short(holder)
        setattr(holder, key, was)
        return Change(holder, key, new, f"{around} must be {changed}", f"{_short(node)} {_short(new)}")
    return Change(
        holder,
        key,
        new,
        f"the number {_short(node)} must be {_short(new)} among ({_listed(holder)})",
        f"{_short(node)} {_short(new)}",
    )


def _of_sequence(node: Any, instead: Callable[..., Change]) -> Iterator[Change]:
    other = ast.List if isinstance(node, ast.Tuple) else ast.Tuple
    if not isinstance(node.ctx, ast.Load):
        return
    yield instead(other(list(node.elts), ast.Load()))
    for elements in _orders(node.elts):
        yield instead(type(node)(elements, ast.Load()), "order")
    if all(isinstance(element, ast.Constant) for element in node.elts):
        for number in (-1, 0, 1, 2, 3):
            yield instead(type(node)([*node.elts, ast.Constant(number)], ast.Load()))


def _of_call(node: ast.Call, instead: Callable[..., Change]) -> Iterator[Change]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if isinstance(node.func, ast.Attribute) and not _is_module(node.func.value):
        yield instead(node.func.value, f"no {called}", f"leave out .{called}(...) after {_short(node.func.value)}")
    if len(node.args) == 1:
        yield instead(node.args[0], f"no {called}", f"leave out {_short(node.func)}(...) around {_short(node.args[0])}")
    for argument in node.args if called in ("clip", "maximum", "minimum", "where") else ():
        yield instead(argument, f"no {called}", f"leave out {_short(node.func)}, and keep {_short(argument)}")
    for group in RELATED:
        for other in group if called in group else ():
            if other != called:
                renamed = _renamed(node.func, other)
                said = f"{called} must be {other} in {_short(node)}"
                yield instead(ast.Call(renamed, node.args, node.keywords), f"{called} {other}", said)
    for arguments in _orders(node.args):
        said = f"the order of the arguments must be {called}({_listed(arguments)}), not ({_listed(node.args)})"
        yield instead(ast.Call(node.func, arguments, node.keywords), "", said)
    if len(node.args) > 1:
        said = f"leave out the last argument of {called}, {_short(node.args[-1])}"
        yield instead(ast.Call(node.func, node.args[:-1], node.keywords), "", said)
    if called in REDUCTIONS:
        given = {word.arg for word in node.keywords}
        options = [("keepdims", True), ("ddof", 1)] if called in ("std", "var") else [("keepdims", True)]
        options += [("axis", axis) for axis in (-1, 0, 1, 2)]
        for word, value in options:
            if word not in given:
                added = [*node.keywords, ast.keyword(word, ast.Constant(value))]
                said = f"{word}={value} is missing in {_short(node)}"
                yield instead(ast.Call(node.func, node.args, added), f"{word}={value}", said)


def _of_statement(holder: list, key: int, node: ast.stmt, instead: Callable[..., Change]) -> Iterator[Change]:
    if isinstance(node, ast.AugAssign):
        for other in OPERATORS.get(type(node.op), ()):
            yield instead(ast.AugAssign(node.target, other(), node.value))
        yield instead(ast.Assign([node.target], node.value, lineno=0))
    if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name | ast.Subscript):
        yield instead(ast.AugAssign(target, ast.Add(), node.value))
    if not isinstance(node, ast.Return | ast.FunctionDef) and len(holder) > 1:
        yield Change(holder, key, None, f"leave out `{_short(node)}`", "")
    if isinstance(node, ast.Return) and node.value is not None:
        yield instead(ast.Return(ast.UnaryOp(ast.USub(), node.value)), "", f"the sign of {_short(node.value)} is wrong")


def _rarer(holder: Any, key: Any, node: ast.AST, names: list[str]) -> Iterator[Change]:
    """Yield changes of a name, a missing square or 1, an index or a type."""

    def instead(new: ast.AST, rule: str = "", said: str = "") -> Change:
        said = said or _becomes(node, new)
        return Change(holder, key, new, said, rule or said)

    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        where = f" in {_short(holder)}" if isinstance(holder, ast.expr) else ""
        if node.id in names:
            if isinstance(holder, ast.BinOp) and isinstance(holder.op, ast.Sub):  # which booleans do not have
                astype = ast.Attribute(node, "astype", ast.Load())
                new = ast.Call(astype, [ast.Name("float", ast.Load())], [])
                yield instead(new, "", f"{node.id} must be {_short(new)}{where}")
            for name in names:
                if name != node.id:
                    yield instead(ast.Name(name, ast.Load()), "", f"{node.id} must be {name}{where}")
            for op, number, word in (
                (ast.Pow(), 2, "squared"),
                (ast.Add(), 1, "one larger"),
                (ast.Sub(), 1, "one less"),
            ):
                new = ast.BinOp(node, op, ast.Constant(number))
                yield instead(new, "", f"{node.id} must be {word}, {_short(new)}{where}")
            yield instead(ast.Constant(1), "", f"{node.id} must be 1{where}")
            yield instead(ast.Constant(0), "", f"{node.id} must be 0{where}")
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for name in names:
            yield _numbered(holder, key, node, ast.Name(name, ast.Load()))
    elif isinstance(node, ast.BinOp):
        yield instead(ast.BinOp(node, ast.Pow(), ast.Constant(2)))
        if not isinstance(node.op, ast.Add | ast.Sub):
            for name in names:
                for op in (ast.Mult(), ast.Div()):
                    said = f"`{_sign(op)} {name}` is missing after {_short(node)}"
                    yield instead(ast.BinOp(node, op, ast.Name(name, ast.Load())), "", said)
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield from _of_index(node, instead)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
        yield instead(ast.Attribute(node.value.value, node.attr, node.ctx))
    elif isinstance(node, ast.Call):
        column = ast.Tuple([ast.Slice(), ast.Constant(None)], ast.Load())
        yield instead(ast.Subscript(node, column, ast.Load()))
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
            for kind in ("float", "int"):
                yield instead(ast.Call(node.func, [ast.Name(kind, ast.Load())], []))
        if _sign_counts(node):
            turned = [ast.UnaryOp(ast.USub(), node.args[0]), *node.args[1:]]
            yield instead(ast.Call(node.func, turned, node.keywords))


def _missing(holder: Any, key: Any, node: ast.AST, names: list[str], others: list[Any]) -> Iterator[Change]:
    """Yield a factor, a root, or a short part of a right answer in its place."""
    if isinstance(node, ast.keyword):
        for other in others:
            if isinstance(other, ast.keyword) and other.arg == node.arg and _short(other) != _short(node):
                yield Change(holder, key, other, f"{_short(node)} must be {_short(other)}", "")
    if not isinstance(node, ast.BinOp | ast.Call | ast.Name | ast.Attribute | ast.Subscript):
        return
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or (isinstance(holder, ast.Call) and key == "func"):
        return
    where = f" in {_short(holder)}" if isinstance(holder, ast.expr) else ""
    whole = f"({_short(node)})" if isinstance(node, ast.BinOp) else _short(node)
    if not isinstance(holder, ast.Slice | ast.Subscript | ast.Attribute):
        tried = () if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add | ast.Sub) else names
        for name in tried:
            for op in (ast.Mult(), ast.Div(), ast.Add(), ast.Sub()):
                new: ast.expr = ast.BinOp(node, op, ast.Name(name, ast.Load()))
                yield Change(holder, key, new, f"`{_sign(op)} {name}` is missing after {whole}{where}", "")
        for op, number, said in (
            (ast.Pow(), 0.5, f"the square root of {whole} is missing"),
            (ast.Mult(), 2, f"the factor 2 is missing: 2 * {whole}"),
            (ast.Div(), 2, f"`/ 2` is missing after {whole}"),
        ):
            yield Change(holder, key, ast.BinOp(node, op, ast.Constant(number)), f"{said}{where}", "")
    for other in others:
        if isinstance(other, ast.keyword):
            continue
        is_chance = isinstance(other, ast.Constant) and isinstance(other.value, int)  # a size of the check's arrays
        if not is_chance and ast.unparse(other) != ast.unparse(node):
            yield Change(holder, key, other, f"{_short(node)} must be {_short(other)}{where}", "")


def _short_parts(solution: str) -> list[tuple[ast.AST, set[str]]]:
    """Return the short expressions of a right answer, such as self.heads, each with the variables that it reads."""
    if not solution:
        return []
    tree = ast.parse(solution)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    local = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    local |= {node.arg for part in ast.walk(tree) if isinstance(part, ast.Lambda) for node in part.args.args}
    whole = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Return)}  # would tell the answer
    found: dict[str, tuple[ast.AST, set[str]]] = {}
    for function in functions:
        for step in function.body:
            for node in ast.walk(step):
                is_short = isinstance(
                    node, ast.Constant | ast.Attribute | ast.Subscript | ast.Call | ast.BinOp | ast.keyword
                )
                if not is_short or not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
                    continue
                if isinstance(node, ast.Constant) and type(node.value) not in (int, float):
                    continue
                used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                text = ast.unparse(node)
                if len(text) <= SHORT and id(node) not in whole:
                    found.setdefault(text, (node, used & local))
    return list(found.values())


def _of_index(node: ast.Subscript, instead: Callable[..., Change]) -> Iterator[Change]:
    index = node.slice
    places = list(index.elts) if isinstance(index, ast.Tuple) else [index]
    for i, place in enumerate(places):
        others: list[ast.expr] = []
        if isinstance(place, ast.Constant):  # a number, or an ellipsis
            others = [ast.Slice()]
        elif isinstance(place, ast.Slice) and place.lower is None and place.upper is None:
            others = [ast.Constant(...), ast.Constant(0)]
        elif isinstance(place, ast.Name | ast.BinOp):
            others = [ast.Slice(None, place), ast.Slice(place, None)]
        for other in others:
            changed = [*places[:i], other, *places[i + 1 :]]
            inner = ast.Tuple(changed, ast.Load()) if len(changed) > 1 else changed[0]
            yield instead(ast.Subscript(node.value, inner, ast.Load()))
    yield instead(node.value, "", f"leave out the index of {_short(node)}")


def _orders(items: list[Any]) -> Iterator[list[Any]]:
    """Yield other orders: all of up to five, otherwise exchanges of two and moves of one."""
    if len(items) < 2:
        return
    if len(items) <= 5:
        yield from (list(order) for order in itertools.islice(itertools.permutations(items), 1, None))
        return
    for i, j in itertools.combinations(range(len(items)), 2):
        swapped = list(items)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        yield swapped
        yield [*items[:i], *items[i + 1 : j + 1], items[i], *items[j + 1 :]]
        yield [*items[:i], items[j], *items[i:j], *items[j + 1 :]]


def _sign_counts(node: ast.Call) -> bool:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return bool(node.args) and called in ("argsort", "sort", "sorted", "exp", "softmax")


def _opens(node: ast.AST) -> bool:
    """Return whether a node names `open`: of a changed number it opens, and closes, Python's own input and output."""
    return isinstance(node, ast.Name) and node.id == "open"


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("np", "math", "minivit", "statistics", "time")


def _renamed(function: ast.expr, name: str) -> ast.expr:
    if isinstance(function, ast.Attribute):
        return ast.Attribute(function.value, name, ast.Load())
    return ast.Name(name, ast.Load())


def _sign(op: ast.operator) -> str:
    text = ast.unparse(ast.BinOp(ast.Name("a", ast.Load()), op, ast.Name("b", ast.Load())))
    return text[1:-1].strip()


def _listed(items: list[Any]) -> str:
    return ", ".join(_short(item) for item in items)


def _becomes(node: ast.AST, new: ast.AST) -> str:
    """Return that one code must be the other, with what is around their difference where the whole is long."""
    was, becomes = ast.unparse(node), ast.unparse(new)
    if max(len(was), len(becomes)) <= LONGEST:
        return f"{was} must be {becomes}"
    first = _alike(was, becomes)
    last = _alike(was[first:][::-1], becomes[first:][::-1])
    parts = [_around(text, first, len(text) - last) for text in (was, becomes)]
    if max(map(len, parts)) > LONGEST:
        return f"{_short(node)} must be {_short(new)}"
    return " must be ".join(f"`{part}`" for part in parts)


def _alike(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginnings."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _around(text: str, first: int, end: int) -> str:
    """Return a part of a text with what is beside it, in whole words."""
    first, end = max(0, first - AROUND), min(len(text), end + AROUND)
    while first and text[first - 1 : first + 1].isidentifier():
        first -= 1
    while end < len(text) and text[end - 1 : end + 1].isidentifier():
        end += 1
    return f"{'... ' if first else ''}{text[first:end].strip()}{' ...' if end < len(text) else ''}"


def _short(node: Any) -> str:
    """Return code as text, with dots for its middle where it is long."""
    text = ast.unparse(node)
    half = LONGEST // 2 - 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"
