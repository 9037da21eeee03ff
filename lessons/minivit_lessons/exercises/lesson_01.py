"""Checks of lesson 01: numerical derivatives, local derivatives and the backward pass."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..compare import same
from ..trial import Attempt, Complaint, Unexplained, explained
from . import exercise

DEEP = 10_000  # Values in a chain: more than Python's limit on recursion


@exercise(1)
def slope(attempt: Attempt) -> None:
    """Check x³ with a large step, where the formula gives 3 x² + step²; then cos with a small one."""
    x, step = 1.5, 0.3
    right = 3 * x**2 + step**2
    above, here, below = (_cube(x + move) for move in (step, 0.0, -step))
    distance = "the distance is 2 * step: (x + step) - (x - step) needs its brackets"
    with explained({"ZeroDivisionError": distance}):
        got = attempt(_cube, x, step)
    if isinstance(got, float) and abs(got) > 1e9:
        raise Complaint(f"slope(f, 1.5, step=0.3) divides by almost 0: {distance}")
    same(
        got,
        right,
        "slope(f, 1.5, step=0.3) for f(x) = x³",
        mistakes={
            "only the step to the right is taken: use f(x - step) instead of f(x)": (above - here) / step,
            "only the step to the left is taken: use f(x + step) instead of f(x)": (here - below) / step,
            "the two points are two steps apart: divide by 2 * step": 2 * right,
            "the change in f is not divided by anything: divide by 2 * step": 2 * step * right,
            "the change is divided by 2, but not by the step: divide by 2 * step": step * right,
            "use the argument step, not another number": 3 * x**2,
            "the result has a factor step² too many: put parentheses around 2 * step": step**2 * right,
            "the change is divided by half a step: divide by 2 * step": 4 * right,
            "the change is divided by the square of the step: divide by 2 * step": 2 * right / step,
            "only f(x - step) is divided: put parentheses around the difference": above - below / (2 * step),
            "parentheses are missing around the difference and around 2 * step": above - below / 2 * step,
            "only f(x - step) is divided: put parentheses around the difference, and divide it by 2 * step": (
                above - below / step
            ),
            "x + step and x are one step apart, but divided by two: use f(x - step) instead of f(x)": (
                (above - here) / (2 * step)
            ),
            "x and x - step are one step apart, but divided by two: use f(x + step) instead of f(x)": (
                (here - below) / (2 * step)
            ),
            "the values of f are added: subtract f(x - step) from f(x + step)": (above + below) / (2 * step),
            "this is the second derivative: divide f(x + step) - f(x - step) by 2 * step": (
                (above - 2 * here + below) / step**2
            ),
            "the mean of the two values of f is not a derivative: divide their difference by 2 * step": (
                (above + below) / 2
            ),
            "the step is added after the division: write / (2 * step)": (above - below) / 2 + step,
            "the two points are half a step away: take x + step and x - step, and divide by 2 * step": (
                (_cube(x + step / 2) - _cube(x - step / 2)) / step
            ),
            "the points are two steps away on each side: take x + step and x - step": (
                (_cube(x + 2 * step) - _cube(x - 2 * step)) / (2 * step)
            ),
            "both points are to the right: take f(x + step) and f(x - step)": (_cube(x + 2 * step) - here) / (2 * step),
            "step is added to f(x), outside its brackets: write f(x + step)": 1.0,
            "f is called once, with a difference: call it twice, and subtract the results": (
                _cube(2 * step) / (2 * step)
            ),
            "the points are half a step away, so one step apart: take x + step and x - step": (
                (_cube(x + step / 2) - _cube(x - step / 2)) / (2 * step)
            ),
            "it is divided by x: divide by 2 * step": (above - below) / (2 * x),
            "it is divided by f(x) too, as for a logarithm: leave that out": right / here,
            "it is divided by f(x): divide by 2 * step": (above - below) / here,
        },
        factors={"step": step},
    )
    negative = {"a derivative may be negative: leave out abs": math.sin(0.7)}
    with explained({"Python scalars": "f takes one number, not an array: call it once for each of the two points"}):
        got = attempt(math.cos, 0.7)
    same(got, -math.sin(0.7), "slope(math.cos, 0.7)", negative, tolerance=1e-8)


@exercise(1)
def multiply_values(attempt: Attempt) -> None:
    """Check 3 · -5, and a square, whose one factor counts twice."""
    value = attempt.find("Value")
    a, b = value(3.0, "a"), value(-5.0, "b")
    reasons = {
        "not 'Value'": "compute the number with a.data * b.data",
        "positional arguments": "slopes is one tuple with a number for each parent: (b.data, a.data)",
    }
    with explained(reasons):
        product = _not_by_itself(attempt, "a * b", a, b)
    if (a.data, b.data) != (3.0, -5.0):
        raise Complaint("multiply_values changes the data of its inputs: return a new Value")
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
            (0.0, 0.0): "the slopes are both 0: use b.data and a.data, since .grad is still 0 in the forward pass",
            (5.0, 3.0): "a derivative may be negative: leave out abs",
            (-5.0, -5.0): "both slopes are b.data: the derivative with respect to b is a.data",
            (-0.2, -0.12): "these are the derivatives of a / b: those of a product are b.data and a.data",
            (-0.2, 1 / 3): "1 / b and 1 / a do not belong to a product: its derivatives are b and a",
            (3.0, 3.0): "both slopes are a.data: the derivative with respect to a is b.data",
            (-2.0, -2.0): "the slopes are the sum of the factors: with respect to a it is b.data alone",
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
        with explained({"must be real number, not": "math.tanh takes a number: use a.data"}):
            result = _not_by_itself(attempt, "a.tanh()", a)
        what = f"tanh_value(a) for a = {x:g}"
        _is_value(result, value, what)
        t = 1 - 2 / (math.exp(2 * x) + 1)
        same(
            result.data,
            t,
            f"the data of {what}",
            {
                "this is the tangent, math.tan: use math.tanh": math.tan(x),
                "this is the arc tangent, math.atan: use math.tanh": math.atan(x),
                "this is the sigmoid: use math.tanh": 1 / (1 + math.exp(-x)),
                "this is math.sinh: use math.tanh": math.sinh(x),
                "this is exp: use math.tanh": math.exp(x),
                "this is a itself": x,
            },
        )
        right = 4 / (math.exp(x) + math.exp(-x)) ** 2  # 1 / cosh²
        _local_slopes(
            result,
            {"a": (a, right)},
            what,
            known={
                (1 - t * x,): "tanh(x) is multiplied by x: the derivative is 1 - tanh(x)²",
                (t * right,): "the factor tanh(x) is too many: the derivative is 1 - tanh(x)²",
                (1 - x * x,): "the derivative is 1 - x² with the input x: it must be 1 - tanh(x)²",
                (1 - t,): "the derivative is 1 - tanh(x): the square is missing",
                (t,): "the derivative is tanh(x): it must be 1 - tanh(x)²",
                (t * t,): "the derivative is tanh(x)²: it must be 1 - tanh(x)²",
                (1 + t * t,): "the sign is wrong: the derivative is 1 - tanh(x)², not 1 + tanh(x)²",
                (1 - math.tanh(t) ** 2,): "tanh was applied twice: the result is tanh(x) already",
                ((1 - t) ** 2,): "(1 - tanh(x))² squares the whole difference: it must be 1 - tanh(x)²",
                (1 - 2 * t,): "2 tanh(x) is not the square of tanh(x): it must be 1 - tanh(x)²",
                (1 - abs(t),): "the square is missing: it must be 1 - tanh(x)²",
                (1.0,): "1 is the derivative of a sum, not of tanh",
                (math.sqrt(right),): "the derivative is 1 / cosh(x): it must be squared",
                (1 / right,): "the derivative is cosh(x)², upside down: it must be 1 / cosh(x)², or 1 - tanh(x)²",
                (-right,): "the sign is wrong: the derivative is 1 - tanh(x)²",
                (t * (1 - t),): "tanh(x) · (1 - tanh(x)) is the form for the sigmoid: for tanh it is 1 - tanh(x)²",
                (0.0,): "the derivative is 0: use math.tanh(a.data), since .grad is still 0 in the forward pass",
                (x,): "the derivative is the input itself: it must be 1 - tanh(x)²",
                (math.tanh(1 - x * x),): "this is tanh of 1 - x²: the derivative is 1 - tanh(x)²",
                (1 / (1 + x * x),): "this is the derivative of the arc tangent: for tanh it is 1 - tanh(x)²",
                (1 - x,): "the derivative is 1 - x with the input x: it must be 1 - tanh(x)²",
            },
        )
    for x, t in ((400.0, 1.0), (-400.0, -1.0)):
        with explained(
            {"OverflowError": "e⁸⁰⁰ and cosh(400)² are too large for a float: compute from math.tanh(a.data)"}
        ):
            result = attempt(value(x))
        same(result.data, t, f"tanh_value(a).data for a = {x:g}")


@exercise(1)
def backward_order(attempt: Attempt) -> None:
    """Check two graphs in which a Value is used at two depths, and a chain of 10,000 Values."""
    value = attempt.find("Value")
    for turned in (False, True):
        x, w = value(2.0, "x"), value(3.0, "w")
        u = value(-6.0, "u", (w, x), (2.0, 3.0))
        v = value(-4.0, "v", (u, x), (1.0, 1.0))
        end = value(24.0, "end", (u, v) if turned else (v, u), (8.0, 6.0) if turned else (6.0, 8.0))
        value(1.0, "later", (end,), (1.0,))  # computed from `end`, so not below it
        unsorted = "Values have no order: sort with key=lambda value: value.number"
        sort = "a list's sort() returns None too: use sorted(...)"
        with explained({"not supported between": unsorted, "returns None": sort}):
            order = attempt(end)
        _check_order(order, end, [x, w, u, v, end])
    x = value(2.0, "x")
    square = value(4.0, "x²", (x, x), (2.0, 2.0))
    end = value(16.0, "end", (square, square), (4.0, 4.0))
    _check_order(attempt(end), end, [x, square, end])
    _look_once(attempt, value)
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


def _look_once(attempt: Attempt, value: type) -> None:
    """Complain if the parents of a Value are looked at once for each path: a deep graph would take forever."""
    looks: Counter[str] = Counter()

    class Watched(value):  # type: ignore[misc, valid-type]
        @property
        def parents(self) -> Any:
            looks[self.label] += 1
            return self._parents

        @parents.setter
        def parents(self, new: Any) -> None:
            self._parents = new

    end = Watched(0.0, "x")
    for power in range(1, 11):
        end = Watched(0.0, f"x{power}", (end, end), (1.0, 1.0))
    attempt(end)
    if looks["x"] > 500:
        raise Complaint(
            f"backward_order looks for the parents of one Value {looks['x']:,} times, once for each path to it: "
            "take in a parent only if it is new"
        )


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
    for which, word in ((0, "first"), (-1, "last")):
        chain = [end]
        while chain[-1].parents:
            chain.append(chain[-1].parents[which])
        if missing and {id(one) for one in got} == {id(one) for one in chain}:
            raise Complaint(f"backward_order(end) follows only the {word} parent of each Value: visit all its parents")
    if missing:
        kind = "the Values without parents, which are those whose gradients you need"
        if any(one.parents for one in missing):
            kind = f"{missing[-1].label}: visit the parents of parents too"
        raise Complaint(f"backward_order(end) leaves out {kind}")
    turn = {id(one): i for i, one in enumerate(got)}
    if turn[id(end)] == len(got) - 1:
        raise Complaint("backward_order(end) has end last: the backward pass begins with end, so reverse the list")
    if turn[id(end)]:
        raise Complaint(f"backward_order(end) begins with {got[0].label}: end comes first")
    for one in got:
        for parent in one.parents:
            if turn[id(parent)] < turn[id(one)]:
                raise Complaint(
                    f"backward_order(end) has {parent.label} before {one.label}, which was computed from it: "
                    f"{parent.label}'s gradient is not complete then; sort by `number`, the largest first"
                )


@exercise(1)
def backward_values(attempt: Attempt) -> None:
    """Check slopes that are primes, so that each mistake gives another sum; and graphs made by operators."""
    value = attempt.find("Value")
    end, nodes, written = _watched_graph(value)
    x, w = nodes[3:]
    known: dict[str, tuple[float, ...]] = {
        "a later contribution overwrites an earlier one: add with +=": (1.0, 11.0, 55.0, 110.0, 165.0),
        "u passes on its gradient before it is complete: follow backward_order(end)": (1.0, 11.0, 68.0, 103.0, 39.0),
        "the slopes are added up without value.grad: multiply each slope by value.grad": (1.0, 11.0, 18.0, 9.0, 3.0),
        "only the first parent gets a contribution: go through all, zip(value.parents, value.slopes)": (
            (1.0, 0.0, 13.0, 26.0, 0.0)
        ),
        "value.grad is multiplied by the parents' data: multiply it by the slopes": (
            (1.0, 2.5, 1.5 + 1.5 * 2.5, 0.5 * 5.25 + 0.5 * 2.5, 0.25 * 5.25)
        ),
        "gradients are passed on without the slopes: multiply value.grad by each slope": (1.0, 1.0, 2.0, 3.0, 2.0),
        "the oldest Value is visited first, before its gradient has arrived: take backward_order(end) as it is": (
            (1.0, 11.0, 13.0, 0.0, 0.0)
        ),
        "every parent gets the first slope: give each parent its slope": (1.0, 13.0, 78.0, 221.0, 156.0),
        "every .grad is set to 1 at its visit: only end.grad begins with 1": (1.0, 1.0, 1.0, 1.0, 1.0),
        "value.data is multiplied by the slopes: multiply value.grad by them": (
            (1.0, 38.5, 45.5 + 12.5, 3.0 + 17.5, 4.5)
        ),
    }
    known |= {
        "value.grad and the slope are added: multiply them": (1.0, 12.0, 31.0, 52.0, 34.0),
        "Values pass on their gradients several times: visit each once, in the order of backward_order(end)": (
            (1.0, 11.0, 68.0, 239.0, 243.0)
        ),
        "all gradients begin with 1: only end.grad does, the others begin with 0": (1.0, 12.0, 74.0, 233.0, 223.0),
    }
    known["value.grad is divided by the slope: multiply them"] = (
        1.0, 1 / 11, 1 / 13 + 1 / 55, (1 / 13 + 1 / 55) / 2 + 1 / 77, (1 / 13 + 1 / 55) / 3
    )  # fmt: skip
    right = [sum(_ways(end, node)) for node in nodes]
    known["end.grad begins with end.data: it must begin with 1"] = tuple(3.5 * grad for grad in right)
    pairs = "slopes has a number for each parent: zip(value.parents, value.slopes)"
    with explained({"can't multiply sequence": pairs, "and 'tuple'": pairs, "'float' object has no attribute": pairs}):
        _run(attempt, attempt.function, end)
    grads = [node.grad for node in nodes]
    for node in nodes:
        values = written[node.label]
        reset = any(was != 0 and new == 0 for was, new in itertools.pairwise(values))
        if reset and grads != right:
            when = "begins with 1, but is set to 0 later" if node is end else "is set to 0 after contributions arrived"
            raise Complaint(f"{node.label}.grad {when}: set all gradients to 0 in a separate loop, before end.grad = 1")
    if all(grad == 0 for grad in grads):
        raise Complaint("after backward_values(end) all gradients are 0: set end.grad to 1 first")
    if grads == [1.0, 0.0, 0.0, 0.0, 0.0]:
        raise Complaint(
            "after backward_values(end) only end has a gradient: from end on, "
            "add value.grad * slope to each parent's gradient"
        )
    unvisited = all(len(written[one.label]) <= 2 for one in (x, w))  # 0 at the beginning, and perhaps 0 once more
    if grads[1:3] == [11.0, 13.0] and grads[3:] == [0.0, 0.0] and unvisited:
        raise Complaint("only the parents of end get a gradient: visit every Value of backward_order(end)")
    what = "the gradient of (end, v, u, x, w), where u and x are used twice"
    same(grads, right, what, known)
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


def _watched_graph(value: type) -> tuple[Any, list[Any], dict[str, list[float]]]:
    """Return a graph whose slopes are primes: its end, its Values, and by label what is written into each .grad."""
    written: dict[str, list[float]] = {}

    class Watched(value):  # type: ignore[misc, valid-type]
        @property
        def grad(self) -> float:
            return written[self.label][-1]

        @grad.setter
        def grad(self, new: float) -> None:
            written.setdefault(self.label, []).append(new)

    x, w = Watched(0.5, "x"), Watched(0.25, "w")
    u = Watched(1.5, "u", (x, w), (2.0, 3.0))
    v = Watched(2.5, "v", (u, x), (5.0, 7.0))
    end = Watched(3.5, "end", (u, v), (13.0, 11.0))
    return end, [end, v, u, x, w], written


@exercise(1)
def eighth_power(attempt: Attempt) -> None:
    """Check the number, that the graph begins at x, and that it has three multiplications."""
    value = attempt.find("Value")
    x = value(1.5, "x")
    reason = "a Value has no **: multiply with *, or name a square and multiply it by itself"
    with explained({"unsupported operand type(s) for **": reason, "must be real number": "use * on the Values"}):
        end = attempt(x)
    if not isinstance(end, value):
        raise Complaint(
            f"eighth_power(x) returns a {type(end).__name__}: compute with x itself, not with x.data, to get a Value"
        )
    same(
        end.data,
        1.5**8,
        "the data of eighth_power(x) for x = 1.5",
        mistakes={
            "this is x⁶: square x⁴, do not multiply it by x²": 1.5**6,
            "this is x⁴, after two squarings: square once more": 1.5**4,
            "this is x², after one squaring: square twice more": 1.5**2,
            "this is x¹⁶, after four squarings: three are enough": 1.5**16,
            "this is 8 x: multiply x by itself instead": 12.0,
            "this is x⁷: one factor is missing": 1.5**7,
            "this is x⁹: one factor too many": 1.5**9,
            "this is x³: square three times instead of multiplying by x": 1.5**3,
            "this is x⁵: square the result of each step": 1.5**5,
            "this is x itself: multiply it": 1.5,
        },
    )
    nodes = _below(end)
    if all(one is not x for one in nodes):
        raise Complaint("the graph of eighth_power(x) does not reach x: compute with x itself, not with x.data")
    made = [one for one in nodes if one.parents]
    if len(made) > 3:
        raise Complaint(
            f"eighth_power(x) is right, but takes {len(made)} multiplications: "
            "name the square, multiply it by itself, and do the same once more"
        )
    same(sum(_ways(end, x)), 8 * 1.5**7, "the derivative of eighth_power(x) along all paths to x", check_dtype=False)


@exercise(1, stretch=True)
def derivative_forward(attempt: Attempt) -> None:
    """Check slopes that are primes, inputs on which end does not depend, and a chain of 10,000 Values."""
    value = attempt.find("Value")
    x, w = value(0.5, "x"), value(0.5, "w")  # equal numbers, so that start is known by `is` alone
    u = value(1.5, "u", (x, w), (2.0, 3.0))
    v = value(2.5, "v", (u, x), (5.0, 7.0))
    end = value(3.5, "end", (u, v), (13.0, 11.0))
    nodes = [x, w, u, v, end]
    for node in nodes:
        node.grad = 100.0
    every = {name: sum(_ways(end, one)) for name, one in (("x", x), ("w", w))}
    for start, last in ((x, {"=": 11.0 * 7.0}), (w, {"=": 11.0 * 15.0}), (u, {}), (end, {})):
        what = f"derivative_forward(end, {start.label})"
        right = float(sum(_ways(end, start)))
        mistakes = {
            "every input begins with 1, so this is the sum of all derivatives: only start does": sum(every.values()),
            "contributions of several parents are added: the last one overwrites the others here": last.get("=", 1e9),
            "this is .grad, which is not computed here: go forward from start": 100.0,
            "the factors along all edges are multiplied: multiply along a path, and add the paths": (
                13.0 * 11.0 * 5.0 * 7.0 * 2.0 * 3.0
            ),
            "this is 0: start itself has the derivative 1 with respect to itself": 0.0,
            "the slopes are added up: multiply each by the derivative of its parent": 13.0 + 11.0,
            "the contributions of a Value's parents are multiplied: add them up": _multiplied(nodes, start),
            "this is the derivative of start itself: return that of end": 1.0,
        }
        reasons = {
            "KeyError: Value(0.5": "a Value without parents that is not start has no entry: its derivative is 0",
            "KeyError": "it has no entry yet: begin with 0, and go through reversed(backward_order(end)), oldest first",
        }
        with explained(reasons):
            got = attempt(end, start)
        if start is x and got == 0.0:
            raise Complaint(f"derivative_forward(end, x): {_why_zero(attempt, end, u)}")
        same(got, right, what, mistakes, check_dtype=False)
    if any(node.grad != 100.0 for node in nodes):
        raise Complaint("derivative_forward changes .grad: keep the derivatives in a dictionary instead")
    same(
        attempt(end, value(1.0, "other")),
        0.0,
        "derivative_forward(end, other), where end does not depend on other,",
        {"it must be 0: only start itself begins with 1, and inputs with 0": 1.0},
        check_dtype=False,
    )
    chain = [value(0.0, "start")]
    for _ in range(DEEP):
        chain.append(value(0.0, "+", (chain[-1], chain[-1]), (0.5, 0.5)))
    try:
        got = attempt(chain[-1], chain[0])
    except Complaint as complaint:
        if "RecursionError" in str(complaint):
            raise Complaint(
                f"derivative_forward calls itself, and a chain of {DEEP:,} Values exceeds the limit on recursion: "
                "go through reversed(backward_order(end)) in a loop"
            ) from None
        raise
    same(got, 1.0, f"derivative_forward along a chain of {DEEP:,} Values", check_dtype=False)


# -- what several of them need --------------------------------------------------------------------------


def _cube(x: float) -> float:
    return x * x * x


def _below(end: Any) -> list[Any]:
    """Return every Value that `end` was computed from, and itself, once each."""
    found, waiting = [end], [end]
    while waiting:
        for parent in waiting.pop().parents:
            if all(parent is not one for one in found):
                found.append(parent)
                waiting.append(parent)
    return found


def _multiplied(nodes: list[Any], start: Any) -> float:
    """Return the derivative of the last of some Values, oldest first, if the parents' contributions are multiplied."""
    found: dict[int, float] = {}
    for one in nodes:
        found[id(one)] = 1.0 if one is start else math.prod(
            found[id(parent)] * factor for parent, factor in zip(one.parents, one.slopes, strict=True)
        )  # fmt: skip
    return found[id(nodes[-1])]


def _why_zero(attempt: Attempt, end: Any, parent: Any) -> str:
    """Return why the derivative with respect to an input is 0: two other derivatives tell."""
    if attempt(end, parent) == 13.0:
        return "only end's own parents count: go through reversed(backward_order(end)), from the oldest Value on"
    if attempt(end, end) != 1.0:
        return "this is 0: start itself has the derivative 1 with respect to itself"
    return "this is 0: add up, over a Value's parents, the parent's derivative times the slope, and multiply no sums"


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
            said = f"{what}: the derivative with respect to {name} is {found:.6g}; it should be {factor:.6g}"
            raise Unexplained(said, what)
