"""Checks of lesson 01: slopes, local derivatives and the walk back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..compare import same
from ..trial import Attempt, Complaint
from . import exercise

DEEP = 10_000  # Values in a row: more than Python lets a function call itself


@exercise(1)
def slope(attempt: Attempt) -> None:
    """x³ at a coarse step, where the formula's own result is 3 x² + step²; then sin at a fine one."""
    x, step = 2.0, 0.3
    same(
        attempt(_cube, x, step),
        3 * x**2 + step**2,
        "slope(f, 2.0, step=0.3) for f(x) = x³",
        mistakes={
            "only the step to the right is taken: use f(x - step) in place of f(x)": 3 * x**2 + 3 * x * step + step**2,
            "only the step to the left is taken: use f(x + step) in place of f(x)": 3 * x**2 - 3 * x * step + step**2,
            "the two points lie two steps apart: divide by 2 * step": 2 * (3 * x**2 + step**2),
            "the change is not divided by anything yet": 2 * step * (3 * x**2 + step**2),
            "it must use the step that it is handed, not one of its own": 3 * x**2,
            "a factor of step² came in: put brackets around 2 * step": step**2 * (3 * x**2 + step**2),
            "the change is divided by the wrong distance: half a step is not two": 4 * (3 * x**2 + step**2),
        },
        factors={"step": step},
    )
    same(attempt(math.sin, 0.7), math.cos(0.7), "slope(math.sin, 0.7)", tolerance=1e-8)


@exercise(1)
def multiply_values(attempt: Attempt) -> None:
    """3 · -5, and a square, whose one factor counts twice."""
    value = attempt.find("Value")
    a, b = value(3.0, "a"), value(-5.0, "b")
    product = _not_by_itself(attempt, "a * b", a, b)
    _is_value(product, value, "multiply_values(a, b)")
    same(product.data, -15.0, "multiply_values(a, b).data for a = 3, b = -5", {"that is the sum": -2.0})
    _local_slopes(
        product,
        {"a": (a, -5.0), "b": (b, 3.0)},
        "multiply_values(a, b) for a = 3, b = -5",
        known={
            (3.0, -5.0): "the slopes have changed places: against a it is b's number",
            (1.0, 1.0): "these are the slopes of a sum",
            (-15.0, -15.0): "the slope is not the product itself",
        },
    )
    square = attempt(a, a)
    _local_slopes(square, {"a": (a, 6.0)}, "multiply_values(a, a) for a = 3", known={})


@exercise(1)
def tanh_value(attempt: Attempt) -> None:
    """The slope against that of 1 - 2 / (e^2x + 1), and a number whose exp no float holds."""
    value = attempt.find("Value")
    for x in (0.5, -1.25):
        a = value(x, "a")
        result = _not_by_itself(attempt, "a.tanh()", a)
        what = f"tanh_value(a) for a = {x:g}"
        _is_value(result, value, what)
        t = 1 - 2 / (math.exp(2 * x) + 1)
        same(
            result.data,
            t,
            f"the data of {what}",
            {"that is the tangent, math.tan: wanted is math.tanh": math.tan(x), "that is a itself": x},
        )
        right = 4 / (math.exp(x) + math.exp(-x)) ** 2  # 1 / cosh²
        _local_slopes(
            result,
            {"a": (a, right)},
            what,
            known={
                (1 - x * x,): "the slope takes 1 - x² of the input: wanted is 1 - tanh², of the result",
                (1 - t,): "the slope is 1 - tanh: the square is missing",
                (t,): "the slope is the result itself: wanted is 1 - result²",
                (t * t,): "the slope is tanh²: take it from 1",
                (1 + t * t,): "the sign is wrong: 1 - tanh², not 1 + tanh²",
                (1 - math.tanh(t) ** 2,): "tanh was taken twice: the result is tanh(x) already",
                (1.0,): "a slope of 1 is that of a sum",
            },
        )
    for x, t in ((400.0, 1.0), (-400.0, -1.0)):
        same(attempt(value(x)).data, t, f"tanh_value(a).data for a = {x:g}")


@exercise(1)
def backward_order(attempt: Attempt) -> None:
    """Two graphs in which a value is used at two depths, once from either side, and a row of 10,000."""
    value = attempt.find("Value")
    for turned in (False, True):
        x, w = value(2.0, "x"), value(3.0, "w")
        u = value(6.0, "u", (w, x), (2.0, 3.0))
        v = value(8.0, "v", (u, x), (1.0, 1.0))
        end = value(48.0, "end", (u, v) if turned else (v, u), (8.0, 6.0) if turned else (6.0, 8.0))
        value(1.0, "later", (end,), (1.0,))  # computed from `end`, so not below it
        _check_order(attempt(end), end, [x, w, u, v, end])
    row = [value(0.0)]
    for _ in range(DEEP):
        row.append(value(0.0, "+", (row[-1], row[-1]), (1.0, 1.0)))
    try:
        order = attempt(row[-1])
    except Complaint as complaint:
        if "RecursionError" in str(complaint):
            raise Complaint(
                f"backward_order calls itself, and a row of {DEEP:,} Values is too deep for that: "
                "keep a list of those that wait, and take them out in a loop"
            ) from None
        raise
    _check_order(order, row[-1], row)


def _check_order(got: Any, end: Any, below: list[Any]) -> None:
    """Complain unless every one is there once and after its children."""
    if not isinstance(got, list | tuple):
        raise Complaint(f"backward_order returns a {type(got).__name__}: a list of Values is wanted")
    names = {id(one): one.label for one in below}
    strangers = [one for one in got if id(one) not in names]
    if strangers:
        name = getattr(strangers[0], "label", None)
        if name == "later":
            raise Complaint("backward_order(end) goes above end: only what end was computed from counts")
        raise Complaint(f"backward_order(end) holds {strangers[0]!r:.60}, which is no Value below end")
    if not any(one is end for one in got):
        raise Complaint("backward_order(end) leaves out end itself: it has the first turn")
    often, count = Counter(id(one) for one in got).most_common(1)[0]
    if count > 1:
        raise Complaint(f"backward_order(end) holds {names[often]} {count} times: it still has only one turn")
    missing = [one for one in below if all(one is not other for other in got)] if len(got) < len(below) else []
    if missing:
        kind = "the Values without parents: they want gradients most of all"
        if any(one.parents for one in missing):
            kind = f"{missing[-1].label}: go on to the parents of parents"
        raise Complaint(f"backward_order(end) leaves out {kind}")
    turn = {id(one): i for i, one in enumerate(got)}
    if turn[id(end)] == len(got) - 1:
        raise Complaint("backward_order(end) has end last: the walk goes backwards, so turn the list round")
    if turn[id(end)]:
        raise Complaint(f"backward_order(end) begins with {got[0].label}: end has the first turn")
    for one in got:
        for parent in one.parents:
            if turn[id(parent)] < turn[id(one)]:
                raise Complaint(
                    f"backward_order(end) has {parent.label} before {one.label}, which was computed from it: "
                    f"{parent.label}'s gradient is not complete then"
                )


@exercise(1)
def backward_values(attempt: Attempt) -> None:
    """Slopes that are primes, so that the sum over all ways is like nothing else; and graphs made by operators."""
    value = attempt.find("Value")
    x, w = value(0.5, "x"), value(0.25, "w")
    u = value(1.5, "u", (x, w), (2.0, 3.0))
    v = value(2.5, "v", (u, x), (5.0, 7.0))
    end = value(3.5, "end", (u, v), (13.0, 11.0))
    nodes = [end, v, u, x, w]
    known = {
        "=": (1.0, 11.0, 55.0, 110.0, 165.0),
        "early": (1.0, 11.0, 68.0, 103.0, 39.0),
        "local": (1.0, 11.0, 18.0, 9.0, 3.0),
        "data": (1.0, 2.5, 1.5 + 1.5 * 2.5, 0.5 * 5.25 + 0.5 * 2.5, 0.25 * 5.25),
        "no slopes": (1.0, 1.0, 2.0, 3.0, 2.0),
    }
    sentences = {
        "a later share replaces an earlier one: add with +=": known["="],
        "u hands on its gradient before it is complete: go through backward_order(end)": known["early"],
        "the local slopes are added up, but not multiplied by value.grad": known["local"],
        "it multiplies by the parents' data: wanted are the slopes": known["data"],
        "gradients are handed on without the local slopes": known["no slopes"],
    }
    right = [sum(_ways(end, node)) for node in nodes]
    _run(attempt, attempt.function, end)
    grads = [node.grad for node in nodes]
    if all(grad == 0 for grad in grads):
        raise Complaint("after backward_values(end) all gradients are 0: end.grad must be 1 before the first turn")
    if grads == [1.0, 0.0, 0.0, 0.0, 0.0]:
        raise Complaint("after backward_values(end) only end has a gradient: each Value must hand it on to its parents")
    what = "the gradient of (end, v, u, x, w), where u and x are used twice,"
    same(grads, right, what, sentences)
    _run(attempt, attempt.function, end)
    if [node.grad for node in nodes] != grads:
        raise Complaint("a second backward_values(end) gives other gradients: set those of all Values to 0 first")

    a, b = value(0.7, "a"), value(-1.3, "b")
    _run(attempt, attempt.function, _example(a, b))
    for one, name in ((a, "a"), (b, "b")):
        step = 1e-5
        ends = []
        for move in (step, -step):
            moved = {"a": a.data, "b": b.data, name: one.data + move}
            ends.append(_plain_example(moved["a"], moved["b"]))
        numeric = (ends[0] - ends[1]) / (2 * step)
        same(one.grad, numeric, f"the gradient of (a + tanh(a b) - b)² with respect to {name}", tolerance=1e-6)


# -- what several of them need --------------------------------------------------------------------------


def _cube(x: float) -> float:
    return x * x * x


def _example(a: Any, b: Any) -> Any:
    d = a + (a * b).tanh() - b
    return d * d


def _plain_example(a: float, b: float) -> float:
    return (a + math.tanh(a * b) - b) ** 2


def _not_by_itself(attempt: Attempt, operator: str, *inputs: Any) -> Any:
    """Call it, and say so if it uses the operator that it is there for."""
    try:
        return attempt(*inputs)
    except Complaint as complaint:
        if "RecursionError" not in str(complaint):
            raise
    raise Complaint(f"{attempt.name} calls itself without end, for {operator} is {attempt.name}: compute with a.data")


def _run(attempt: Attempt, function: Callable[[Any], Any], end: Any) -> None:
    """Call a function that returns nothing."""

    def walk(end: Any) -> bool:
        function(end)
        return True

    attempt.call(walk, end, what=f"{attempt.name}(end)")


def _ways(end: Any, start: Any) -> list[float]:
    """The product of the slopes along each way from `end` down to `start`: the chain rule's own definition."""
    found = [1.0] if end is start else []
    for parent, factor in zip(end.parents, end.slopes, strict=True):
        found += [factor * product for product in _ways(parent, start)]
    return found


def _is_value(result: Any, value: type, what: str) -> None:
    if not isinstance(result, value):
        raise Complaint(f"{what} returns a {type(result).__name__}: make a Value of it, with parents and slopes")


def _local_slopes(
    result: Any, right: dict[str, tuple[Any, float]], what: str, known: dict[tuple[float, ...], str]
) -> None:
    """Complain unless the slopes against each parent, added up, are right.

    Args:
        result: the Value that an operation returned.
        right: for a parent's name the parent and the slope.
        what: how the call is named.
        known: mistakes: the slopes in the parents' order, and what is wrong with them.
    """
    for name, holds in (("parents", "Values"), ("slopes", "numbers")):
        if not isinstance(getattr(result, name), tuple | list):
            raise Complaint(f"{name} of {what} must be a tuple of {holds}, also for a single one: (a,) with a comma")
    if not result.parents:
        raise Complaint(f"{what} has no parents: without them the walk back ends here")
    given = [parent for parent, _ in right.values()]
    if any(all(one is not parent for parent in given) for one in result.parents):
        raise Complaint(f"parents of {what} must be the Values themselves, neither their numbers nor copies of them")
    for name, (parent, _) in right.items():
        if all(one is not parent for one in result.parents):
            raise Complaint(f"{name} is missing among the parents of {what}")
    if not result.slopes:
        raise Complaint(f"{what} has no slopes: one for each parent is wanted")
    if len(result.slopes) != len(result.parents):
        raise Complaint(f"{what} has {len(result.parents)} parents but {len(result.slopes)} slopes: one for each")
    if not all(isinstance(one, int | float) for one in result.slopes):
        raise Complaint(f"slopes of {what} must be plain numbers: take .data of a Value")
    sums = [
        sum(s for s, one in zip(result.slopes, result.parents, strict=True) if one is parent)
        for parent, _ in right.values()
    ]
    wanted = [factor for _, factor in right.values()]
    if all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(sums, wanted, strict=True)):
        return
    for wrong, sentence in known.items():
        if all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(sums, wrong, strict=True)):
            raise Complaint(f"{what}: {sentence}")
    for name, found, factor in zip(right, sums, wanted, strict=True):
        if not math.isclose(found, factor, rel_tol=1e-9):
            raise Complaint(f"{what}: the slope against {name} is {found:.6g}; it should be {factor:.6g}")
