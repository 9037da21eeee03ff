"""Checks of lesson 01: numerical derivatives, local derivatives and the backward pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..compare import same
from ..trial import Attempt, Complaint
from . import exercise

DEEP = 10_000  # Values in a chain: more than Python's limit on recursion


@exercise(1)
def slope(attempt: Attempt) -> None:
    """Check x³ with a large step, where the formula gives 3 x² + step²; then sin with a small one."""
    x, step = 2.0, 0.3
    same(
        attempt(_cube, x, step),
        3 * x**2 + step**2,
        "slope(f, 2.0, step=0.3) for f(x) = x³",
        mistakes={
            "only the step to the right is taken: use f(x - step) instead of f(x)": 3 * x**2 + 3 * x * step + step**2,
            "only the step to the left is taken: use f(x + step) instead of f(x)": 3 * x**2 - 3 * x * step + step**2,
            "the two points are two steps apart: divide by 2 * step": 2 * (3 * x**2 + step**2),
            "the change in f is not divided by anything: divide by 2 * step": 2 * step * (3 * x**2 + step**2),
            "use the argument step, not another number": 3 * x**2,
            "the result has a factor step² too many: put parentheses around 2 * step": step**2 * (3 * x**2 + step**2),
            "the change is divided by half a step: divide by 2 * step": 4 * (3 * x**2 + step**2),
        },
        factors={"step": step},
    )
    same(attempt(math.sin, 0.7), math.cos(0.7), "slope(math.sin, 0.7)", tolerance=1e-8)


@exercise(1)
def multiply_values(attempt: Attempt) -> None:
    """Check 3 · -5, and a square, whose one factor counts twice."""
    value = attempt.find("Value")
    a, b = value(3.0, "a"), value(-5.0, "b")
    product = _not_by_itself(attempt, "a * b", a, b)
    _is_value(product, value, "multiply_values(a, b)")
    same(product.data, -15.0, "multiply_values(a, b).data for a = 3, b = -5", {"this is the sum": -2.0})
    _local_slopes(
        product,
        {"a": (a, -5.0), "b": (b, 3.0)},
        "multiply_values(a, b) for a = 3, b = -5",
        known={
            (3.0, -5.0): "the slopes are swapped: the derivative with respect to a is b.data",
            (1.0, 1.0): "these are the derivatives of a sum",
            (-15.0, -15.0): "the derivative is not the product: with respect to a it is b.data",
        },
    )
    square = attempt(a, a)
    _local_slopes(square, {"a": (a, 6.0)}, "multiply_values(a, a) for a = 3", known={})


@exercise(1)
def tanh_value(attempt: Attempt) -> None:
    """Check the derivative against that of 1 - 2 / (e^2x + 1), and inputs whose exp overflows."""
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
            {"this is the tangent, math.tan: use math.tanh": math.tan(x), "this is a itself": x},
        )
        right = 4 / (math.exp(x) + math.exp(-x)) ** 2  # 1 / cosh²
        _local_slopes(
            result,
            {"a": (a, right)},
            what,
            known={
                (1 - x * x,): "the slope is 1 - x² with the input x: it must be 1 - tanh(x)²",
                (1 - t,): "the slope is 1 - tanh(x): the square is missing",
                (t,): "the slope is tanh(x): it must be 1 - tanh(x)²",
                (t * t,): "the slope is tanh(x)²: it must be 1 - tanh(x)²",
                (1 + t * t,): "the sign is wrong: the slope is 1 - tanh(x)², not 1 + tanh(x)²",
                (1 - math.tanh(t) ** 2,): "tanh was applied twice: the result is tanh(x) already",
                (1.0,): "a slope of 1 is the derivative of a sum, not of tanh",
            },
        )
    for x, t in ((400.0, 1.0), (-400.0, -1.0)):
        same(attempt(value(x)).data, t, f"tanh_value(a).data for a = {x:g}")


@exercise(1)
def backward_order(attempt: Attempt) -> None:
    """Check two graphs in which a Value is used at two depths, and a chain of 10,000 Values."""
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
                f"backward_order calls itself, and a chain of {DEEP:,} Values exceeds the limit on recursion: "
                "keep the Values to visit in a list, and take them out in a loop"
            ) from None
        raise
    _check_order(order, row[-1], row)


def _check_order(got: Any, end: Any, below: list[Any]) -> None:
    """Complain unless every Value is there once, after all Values that were computed from it."""
    if not isinstance(got, list | tuple):
        raise Complaint(f"backward_order returns a {type(got).__name__}: return a list of Values")
    names = {id(one): one.label for one in below}
    strangers = [one for one in got if id(one) not in names]
    if strangers:
        name = getattr(strangers[0], "label", None)
        if name == "later":
            raise Complaint("backward_order(end) holds a Value computed from end: keep only what end was computed from")
        raise Complaint(f"backward_order(end) holds {strangers[0]!r:.60}, which end was not computed from")
    if not any(one is end for one in got):
        raise Complaint("backward_order(end) leaves out end itself: it comes first")
    often, count = Counter(id(one) for one in got).most_common(1)[0]
    if count > 1:
        raise Complaint(f"backward_order(end) holds {names[often]} {count} times: each Value must be there once")
    missing = [one for one in below if all(one is not other for other in got)] if len(got) < len(below) else []
    if missing:
        kind = "the Values without parents, which are those whose gradients you need"
        if any(one.parents for one in missing):
            kind = f"{missing[-1].label}: visit the parents of parents too"
        raise Complaint(f"backward_order(end) leaves out {kind}")
    turn = {id(one): i for i, one in enumerate(got)}
    if turn[id(end)] == len(got) - 1:
        raise Complaint("backward_order(end) has end last: the walk goes backward, so reverse the list")
    if turn[id(end)]:
        raise Complaint(f"backward_order(end) begins with {got[0].label}: end comes first")
    for one in got:
        for parent in one.parents:
            if turn[id(parent)] < turn[id(one)]:
                raise Complaint(
                    f"backward_order(end) has {parent.label} before {one.label}, which was computed from it: "
                    f"{parent.label}'s gradient is not complete then"
                )


@exercise(1)
def backward_values(attempt: Attempt) -> None:
    """Check slopes that are primes, so that each mistake gives another sum; and graphs made by operators."""
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
        "a later contribution overwrites an earlier one: add with +=": known["="],
        "u passes on its gradient before it is complete: follow backward_order(end)": known["early"],
        "the slopes are added up without value.grad: multiply each slope by value.grad": known["local"],
        "value.grad is multiplied by the parents' data: multiply it by the slopes": known["data"],
        "gradients are passed on without the slopes: multiply value.grad by each slope": known["no slopes"],
    }
    right = [sum(_ways(end, node)) for node in nodes]
    _run(attempt, attempt.function, end)
    grads = [node.grad for node in nodes]
    if all(grad == 0 for grad in grads):
        raise Complaint("after backward_values(end) all gradients are 0: set end.grad to 1 first")
    if grads == [1.0, 0.0, 0.0, 0.0, 0.0]:
        raise Complaint("after backward_values(end) only end has a gradient: pass it on from each Value to its parents")
    what = "the gradient of (end, v, u, x, w), where u and x are used twice,"
    same(grads, right, what, sentences)
    _run(attempt, attempt.function, end)
    if [node.grad for node in nodes] != grads:
        raise Complaint("a second backward_values(end) gives other gradients: set all gradients to 0 first")

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
    """Call the attempt, and complain if it uses the operator that it implements."""
    try:
        return attempt(*inputs)
    except Complaint as complaint:
        if "RecursionError" not in str(complaint):
            raise
    raise Complaint(f"{attempt.name} calls itself without end, since {operator} calls it: compute with a.data")


def _run(attempt: Attempt, function: Callable[[Any], Any], end: Any) -> None:
    """Call a function that returns nothing."""

    def walk(end: Any) -> bool:
        function(end)
        return True

    attempt.call(walk, end, what=f"{attempt.name}(end)")


def _ways(end: Any, start: Any) -> list[float]:
    """Return the product of the slopes along each path from `end` back to `start`, as the chain rule says."""
    found = [1.0] if end is start else []
    for parent, factor in zip(end.parents, end.slopes, strict=True):
        found += [factor * product for product in _ways(parent, start)]
    return found


def _is_value(result: Any, value: type, what: str) -> None:
    if not isinstance(result, value):
        raise Complaint(f"{what} returns a {type(result).__name__}: return a Value with parents and slopes")


def _local_slopes(
    result: Any, right: dict[str, tuple[Any, float]], what: str, known: dict[tuple[float, ...], str]
) -> None:
    """Complain unless the derivative with respect to each parent, summed over its uses, is right.

    Args:
        result: the Value that an operation returned.
        right: by the parent's name, the parent and the derivative.
        what: the name of the call in a complaint.
        known: what is wrong, by the wrong derivatives in the parents' order.
    """
    for name, holds in (("parents", "Values"), ("slopes", "numbers")):
        if not isinstance(getattr(result, name), tuple | list):
            raise Complaint(f"{name} of {what} must be a tuple of {holds}; a tuple of one needs a comma, (a,)")
    if not result.parents:
        raise Complaint(f"{what} has no parents: without them the backward pass stops here")
    given = [parent for parent, _ in right.values()]
    if any(all(one is not parent for parent in given) for one in result.parents):
        raise Complaint(f"parents of {what} must be the Values themselves, not their numbers or copies")
    for name, (parent, _) in right.items():
        if all(one is not parent for one in result.parents):
            raise Complaint(f"{name} is missing among the parents of {what}")
    if not result.slopes:
        raise Complaint(f"{what} has no slopes: give one for each parent")
    if len(result.slopes) != len(result.parents):
        raise Complaint(
            f"{what} has {len(result.parents)} parents but {len(result.slopes)} slopes: one for each parent"
        )
    if not all(isinstance(one, int | float) for one in result.slopes):
        raise Complaint(f"slopes of {what} must be plain numbers: use .data of a Value")
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
            raise Complaint(f"{what}: the derivative with respect to {name} is {found:.6g}; it should be {factor:.6g}")
