"""Checks of lesson 16: least times, a fair measurement, blocks, a fused gradient, sums in order, recomputation."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minivit.engine.tensor import Node, Tensor

from ..compare import peak_memory, same, slopes
from ..trial import Attempt, Complaint, Unexplained, explained
from . import exercise


@exercise(16)
def floor_seconds(attempt: Attempt) -> None:
    """Check work that is limited by arithmetic, and work that is limited by memory."""
    works, peak, bandwidth = ((6e9, 2e8), (1e8, 4e9)), 1e11, 1e10
    arithmetic = np.array([flops / peak for flops, _ in works])
    memory = np.array([moved / bandwidth for _, moved in works])
    intensity = np.array([flops / moved for flops, moved in works])
    with explained(
        {"cannot be interpreted as an integer": "np.max takes one array: use max(a, b) or np.maximum(a, b)"}
    ):
        got = [attempt(flops, moved, peak, bandwidth) for flops, moved in works]
    same(
        np.array([np.asarray(seconds, np.float64) for seconds in got]),
        np.array([0.06, 0.4]),
        "floor_seconds for 6e9 operations with 2e8 bytes and for 1e8 with 4e9, at 1e11 FLOP/s and 1e10 bytes/s",
        mistakes={
            "the two times are added up: take the larger, since both go on at the same time": arithmetic + memory,
            "this is the shorter of the two times: take the longer": np.minimum(arithmetic, memory),
            "this is the geometric mean of the two times: take the larger": np.sqrt(arithmetic * memory),
            "the time for memory is missing": arithmetic,
            "the time for arithmetic is missing": memory,
            "this is speed divided by work: divide work by speed": np.maximum(1 / arithmetic, 1 / memory),
            "this is a speed: return a time": np.minimum(peak, bandwidth * intensity),
            "the two rates are swapped: peak belongs to flops, bandwidth to moved": [
                max(flops / bandwidth, moved / peak) for flops, moved in works
            ],
            "this is the mean of the two times: take the larger": (arithmetic + memory) / 2,
            "this is the operations for each byte: divide flops by peak, moved by bandwidth": intensity,
            "the times are multiplied: take the larger": arithmetic * memory,
            "amount and rate are multiplied: divide each amount by its rate": [
                max(flops * peak, moved * bandwidth) for flops, moved in works
            ],
            "divide each amount by its own rate before you take the larger": [
                max(flops, moved) / max(peak, bandwidth) for flops, moved in works
            ],
            "moved counts bytes already: do not multiply it by 4": np.maximum(arithmetic, 4 * memory),
            "this is the difference of the two times: take the larger": np.abs(arithmetic - memory),
        },
    )


class World:
    """Two pieces of work and a clock, on a machine that slows down and sometimes stalls.

    A pair of calls takes 1.3 times as long as the pair before. `first` takes 3 times as long as `second`, but 300 times
    in its first call and 60 times in its fifth. The seventh call of `second` takes 20 times as long as usual.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.readings = 0
        self.calls = {"first": 0, "second": 0}
        self.turns = ""  # the first letters of all calls

    def first(self) -> float:
        """Do the slower work, and return the time at its end."""
        return self._work("first", {0: 300.0, 4: 60.0}.get(self.calls["first"], 3.0))

    def second(self) -> float:
        """Do the faster work, and return the time at its end."""
        return self._work("second", {6: 20.0}.get(self.calls["second"], 1.0))

    def clock(self) -> float:
        """Return the time in seconds."""
        self.readings += 1
        return self.now

    def _work(self, name: str, seconds: float) -> float:
        pair = sum(self.calls.values()) // 2
        self.calls[name] += 1
        self.turns += name[0]
        self.now += seconds * 1.3**pair
        return self.now


@exercise(16)
def median_ratio(attempt: Attempt) -> None:
    """Check with simulated work and a simulated clock, for which the answer is known."""
    few = False
    for rounds in (7, 6, 2):  # of six rounds the last is the slow one
        world = World()
        none = "no time passes: are the functions called, first() and second()?"
        with explained({"division by zero": none, "divide by zero": none}):
            got = attempt(world.first, world.second, rounds, world.clock)
        what = f"median_ratio(first, second, rounds={rounds})"
        if np.size(got) != 1:
            raise Complaint(f"{what} has shape {np.shape(got)}: return one number, the median of the ratios")
        value = float(np.asarray(got).reshape(()))
        if not world.readings:
            raise Complaint(f"{what} does not use its argument clock: call clock()")
        if math.isclose(value, 3.0, rel_tol=1e-6):
            few = few or min(world.calls.values()) <= rounds
            if not world.turns.endswith("fs" * rounds):
                raise Complaint(f"{what} calls second before first: measure first, and directly after it second")
            if max(world.calls.values()) > rounds + 2:
                raise Complaint(f"{what} calls too often: call each once to warm up, then once a round")
            continue
        for sentence, measure, sum_up in WRONG_STOPWATCHES:
            if math.isclose(value, sum_up(*measure(World(), rounds)), rel_tol=1e-6):
                raise Complaint(f"{what}: {sentence}")
        raise Unexplained(f"{what} is {value:.4g}: it should be 3 for work that takes 3 times as long", what)
    if few:
        raise Complaint("median_ratio measures one round too few: the calls before the first round do not count")


Times = list[float]


def _in_turns(world: World, rounds: int, warm: bool = True) -> tuple[Times, Times]:
    if warm:
        world.first()
        world.second()
    first, second = [], []
    for _ in range(rounds):
        times = [world.clock(), world.first(), world.second()]
        first.append(times[1] - times[0])
        second.append(times[2] - times[1])
    return first, second


def _without_warming_up(world: World, rounds: int) -> tuple[Times, Times]:
    return _in_turns(world, rounds, warm=False)


def _first_warmed_up(world: World, rounds: int) -> tuple[Times, Times]:
    world.first()
    return _in_turns(world, rounds, warm=False)


def _one_then_the_other(world: World, rounds: int) -> tuple[Times, Times]:
    ends = [world.first(), world.second()][1:]
    ends += [world.first() for _ in range(rounds)] + [world.second() for _ in range(rounds)]
    times = [b - a for a, b in itertools.pairwise(ends)]
    return times[:rounds], times[rounds:]


def _median_of_ratios(first: Times, second: Times) -> float:
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def _ratio_of_medians(first: Times, second: Times) -> float:
    return statistics.median(first) / statistics.median(second)


TURNS = "all calls of first come before those of second, while the machine slows down: measure in turns"
WRONG_STOPWATCHES: list[tuple[str, Callable[..., tuple[Times, Times]], Callable[[Times, Times], float]]] = [
    (
        "this is the mean of the ratios, which one slow call spoils: take their median",
        _in_turns,
        lambda first, second: statistics.fmean(a / b for a, b in zip(first, second, strict=True)),
    ),
    (
        "this is the smallest ratio, which one slow call of second spoils: take their median",
        _in_turns,
        lambda first, second: min(a / b for a, b in zip(first, second, strict=True)),
    ),
    (
        "this is the largest ratio, which one slow call of first spoils: take their median",
        _in_turns,
        lambda first, second: max(a / b for a, b in zip(first, second, strict=True)),
    ),
    (
        "this is the ratio of the shortest times, from different rounds: take the median of the rounds' ratios",
        _in_turns,
        lambda first, second: min(first) / min(second),
    ),
    (
        "the ratio is inverted: divide the time of first by the time of second",
        _in_turns,
        lambda first, second: _median_of_ratios(second, first),
    ),
    (
        "the first call, which is slow, is counted: call each once before you measure",
        _without_warming_up,
        _median_of_ratios,
    ),
    (TURNS, _one_then_the_other, _median_of_ratios),
    (TURNS, _one_then_the_other, _ratio_of_medians),
    (
        "this is the ratio of the sums, which one slow call spoils: take the median of the rounds' ratios",
        _in_turns,
        lambda first, second: sum(first) / sum(second),
    ),
    (
        "only first is called before the measurement: call second once too",
        _first_warmed_up,
        _median_of_ratios,
    ),
    (
        "this is the smallest ratio: take the median",
        _in_turns,
        lambda first, second: min(a / b for a, b in zip(first, second, strict=True)),
    ),
    (
        "this is a difference of times: divide the time of first by the time of second",
        _in_turns,
        lambda first, second: statistics.median(a - b for a, b in zip(first, second, strict=True)),
    ),
    ("this is the time of second, not a ratio", _in_turns, lambda first, second: statistics.median(second)),
    ("this is a time, not a ratio", _in_turns, lambda first, second: statistics.median(first)),
    (
        "both are timed together: read the clock between first() and second() too",
        _in_turns,
        lambda first, second: statistics.median((a + b) / 2 for a, b in zip(first, second, strict=True)),
    ),
    (
        "this is the ratio of two medians, from different rounds: take the median of the rounds' ratios",
        _in_turns,
        _ratio_of_medians,
    ),
    (
        "the time of second includes that of first: measure it from the middle reading",
        _in_turns,
        lambda first, second: statistics.median(a / (a + b) for a, b in zip(first, second, strict=True)),
    ),
]


def _to_the_beginning(got: Any, right: list[float], length: int, block: int) -> np.ndarray:
    """Return `got` with the last whole block at its beginning: what is behind it was never written."""
    wrong = np.array(got, np.float64)
    if wrong.shape == (length,) and length >= 2 * block and length % block == 0:
        wrong[:block] = right[-block:]
    else:
        wrong = np.zeros(length)
    return wrong


@contextlib.contextmanager
def _sizes_of_pieces(attempt: Attempt) -> Iterator[list[int]]:
    """Yield a list of how many elements each call of `gelu_chain` gets; it stays empty if the attempt calls none."""
    names = getattr(attempt.function, "__globals__", {})
    own, sizes = names.get("gelu_chain"), list[int]()
    if own is None:
        yield sizes
        return

    def watched(x: np.ndarray) -> np.ndarray:
        sizes.append(int(np.size(x)))
        return own(x)

    names["gelu_chain"] = watched
    try:
        yield sizes
    finally:
        names["gelu_chain"] = own


@exercise(16)
def gelu_in_blocks(attempt: Attempt) -> None:
    """Check lengths that are multiples of the block and others, and the memory used."""
    for length, block in ((12, 4), (10, 4), (3, 8)):
        x = np.linspace(-3, 3, length).astype(np.float32)
        c = math.sqrt(2 / math.pi)
        right = [0.5 * v * (1 + math.tanh(c * (v + 0.044715 * v**3))) for v in map(float, x)]
        what = f"gelu_in_blocks(x, {block}) of {length} elements"
        short = {
            "inhomogeneous": "the last block is shorter: write each block into its place in one array",
            "cannot reshape": "the last block may be shorter: take x[start : start + block] in a loop",
        }
        with explained(short), _sizes_of_pieces(attempt) as sizes:
            got = attempt(x, block)
        if isinstance(got, list | tuple) or np.ndim(got) == 2:
            raise Complaint(f"{what} is a list of blocks: write each block into one array, np.empty_like(x)")
        if len(sizes) > -(-length // block) and max(sizes) == block:
            raise Complaint(f"{what} computes {len(sizes)} blocks, which overlap: the step of the loop must be block")
        if sizes and max(sizes) == 1 < min(block, length):
            raise Complaint(f"{what} computes one element at a time: compute x[start : start + block] at once")
        if block < max(sizes, default=0) < length or 0 < max(sizes, default=0) < min(block, length):
            raise Complaint(
                f"{what} computes {max(sizes)} at a time: `block` is the length of a block, not how many there are"
            )
        whole = length // block * block
        array = np.asarray(got)
        if (
            array.shape == x.shape
            and 0 < whole < length
            and np.allclose(array[:whole], right[:whole], atol=1e-6)
            and (sum(sizes) == whole or not np.allclose(array[whole:], right[whole:], atol=1e-6))
        ):
            raise Complaint(
                f"{what}: the last block, which is shorter, is wrong: does the loop reach it? "
                "range(0, len(x), block) does"
            )
        if array.shape == x.shape and length == 12 and np.allclose(array[:4], right[:4], atol=1e-6):
            if not np.allclose(array[8:], right[8:], atol=1e-6) and np.allclose(array[:8], right[:8], atol=1e-6):
                raise Complaint(f"{what}: the last block is not filled: does range run to len(x)?")
            if not np.allclose(array[4:8], right[4:8], atol=1e-6) and not np.allclose(array[4:8], right[:4], atol=1e-6):
                raise Complaint(
                    f"{what}: only the first block is right: does each slice go from start to start + block?"
                )
        same(
            got,
            np.array(right, np.float32),
            what,
            mistakes={
                "each block begins with a new array of zeros: create the result once, before the loop": (
                    lambda right=right, whole=whole, block=block, length=length: np.array(
                        [0.0] * (length - (length - whole or block)) + right[-(length - whole or block) :], np.float32
                    )
                ),
                "all blocks are written to the beginning: write each into out[start : start + block]": (
                    lambda got=got, right=right, length=length, block=block: _to_the_beginning(
                        got, right, length, block
                    )
                ),
                "every block repeats the values of the first": np.array(
                    [right[i % block] for i in range(length)], np.float32
                ),
                "the last block, which is shorter, is missing": np.array(right[:whole], np.float32),
                "all blocks but the first are missing": np.array(right[:block], np.float32),
            },
            tolerance=1e-5,
        )
    x = np.random.default_rng(0).standard_normal(2**18).astype(np.float32)
    used = attempt.call(peak_memory, attempt.function, x, 4096, what="gelu_in_blocks(x, 4096)") / x.nbytes
    if used > 2.4:
        raise Complaint(
            f"gelu_in_blocks holds {used:.1f} arrays as large as x at once: compute the formula block by block, "
            "not on all of x"
        )
    if used > 1.5:
        raise Complaint(
            f"gelu_in_blocks holds {used:.1f} arrays as large as x at once: allocate the result first and write each "
            "block into it, instead of joining the blocks; is each `block` elements long?"
        )


@exercise(16)
def layer_norm_backward(attempt: Attempt) -> None:
    """Check against finite differences of a LayerNorm, with respect to x, weight and bias."""
    rng = np.random.default_rng(0)
    M, D = 4, 6
    x, weight, bias, dy = (rng.standard_normal(shape) for shape in ((M, D), (D,), (D,), (M, D)))

    def project(values: list[np.ndarray]) -> float:
        a, w, b = values
        total = 0.0
        for row, pull in zip(a, dy, strict=True):
            mean = sum(row) / D
            deviation = math.sqrt(sum((v - mean) ** 2 for v in row) / D)
            total += sum(pull[j] * ((row[j] - mean) / deviation * w[j] + b[j]) for j in range(D))
        return float(total)

    right = [slopes(project, [x, weight, bias], i) for i in range(3)]
    deviation = x.std(axis=1, keepdims=True)
    n, inverse = (x - x.mean(axis=1, keepdims=True)) / deviation, 1.0 / deviation
    lost = "is keepdims=True missing in a mean along each row?"
    with explained({"could not be broadcast": lost}):
        got = attempt(dy, n, inverse, weight)
    if not (isinstance(got, tuple | list) and len(got) == 3):
        raise Complaint("layer_norm_backward must return three arrays: dx, dw, db")
    g = dy * weight

    def mean(a: np.ndarray) -> np.ndarray:
        return a.mean(axis=1, keepdims=True)

    mistakes = (
        {
            "mean(g) is not subtracted: dx still has a part along (1, ..., 1)": inverse * (g - n * mean(g * n)),
            "n · mean(g · n) is not subtracted: dx still has a part along n": inverse * (g - mean(g)),
            "both means are missing": inverse * g,
            "the weight is missing: g is dy times the weight": inverse * (dy - mean(dy) - n * mean(dy * n)),
            "the weight multiplies the result: multiply dy by it first, g = dy * weight, and take the means of g": (
                weight * inverse * (dy - mean(dy) - n * mean(dy * n))
            ),
            "the factor 1/σ is missing": g - mean(g) - n * mean(g * n),
            "it is divided by 1/σ: multiply by it": (g - mean(g) - n * mean(g * n)) / inverse,
            "the means run over all rows together: take them over each row, axis=1": (
                inverse * (g - g.mean() - n * (g * n).mean())
            ),
            "the means run down the columns: take them over each row, axis=1": (
                inverse * (g - g.mean(axis=0) - n * (g * n).mean(axis=0))
            ),
            "the factor n in front of mean(g · n) is missing": inverse * (g - mean(g) - mean(g * n)),
            "mean(g) is added: subtract it": inverse * (g + mean(g) - n * mean(g * n)),
            "n · mean(g · n) is added: subtract it": inverse * (g - mean(g) + n * mean(g * n)),
            "the second mean is of g, not of g · n": inverse * (g - mean(g) - n * mean(g)),
            "1/σ is squared": inverse * inverse * (g - mean(g) - n * mean(g * n)),
            "the second mean uses dy: it is the mean of g · n": inverse * (g - mean(g) - n * mean(dy * n)),
            "the first mean uses dy: it is the mean of g": inverse * (g - mean(dy) - n * mean(g * n)),
            "1/σ multiplies only g: put parentheses around all three terms": inverse * g - mean(g) - n * mean(g * n),
            "these use sums: use means": inverse * (g - D * mean(g) - n * D * mean(g * n)),
        },
        {
            "it is not summed over the rows": dy * n,
            "it uses g, which includes the weight: use dy": (g * n).sum(axis=0),
            "this is db": dy.sum(axis=0),
            "it is summed over everything: sum over the rows, axis=0": np.array((dy * n).sum()),
            "it includes 1/σ: n is normalised already": (dy * n * inverse).sum(axis=0),
            "this is the mean over the rows: take the sum": (dy * n).mean(axis=0),
            "it is summed over each row: sum over the rows, axis=0": (dy * n).sum(axis=1),
        },
        {
            "it is not summed over the rows": dy,
            "this is dw": (dy * n).sum(axis=0),
            "it is summed over everything: sum over the rows, axis=0": np.array(dy.sum()),
            "it includes the weight: the bias is added after the weight": g.sum(axis=0),
            "this is the mean over the rows: take the sum": dy.mean(axis=0),
            "it is summed over each row: sum over the rows, axis=0": dy.sum(axis=1),
        },
    )
    for name, array, wanted, known in zip(("dx", "dw", "db"), got, right, mistakes, strict=True):
        same(array, wanted, f"{name} of layer_norm_backward", known, {"D": float(D)}, tolerance=1e-6)


@exercise(16)
def add_in_order(attempt: Attempt) -> None:
    """Check that any order of arrival gives the same bits, and that the inputs are not changed."""
    rng = np.random.default_rng(1)
    shapes = ((3, 4), (5,))
    # Of very different sizes, so that almost every order of summation rounds differently.
    parts = [[(rng.standard_normal(s) * 10.0**k).astype(np.float32) for s in shapes] for k in (0, 4, -2, 3, 1)]
    before = [[array.copy() for array in part] for part in parts]
    wanted = [sum(part[i].astype(np.float64) for part in parts) for i in range(len(shapes))]
    found: list[list[np.ndarray]] = []
    for order in ((0, 1, 2, 3, 4), (4, 2, 0, 3, 1), (1, 0, 4, 2, 3), (3, 4, 1, 0, 2)):
        collect = "the pairs come one after the other: collect them first, list(arrivals) or sorted(arrivals, ...)"
        known = {
            "has no len()": collect,
            "is not subscriptable": collect,
            "'generator' object has no attribute": collect,
            "inhomogeneous": "the arrays of different parameters differ in shape: add each parameter's separately",
            "truth value of an array": "sort by the number alone, key=lambda arrival: arrival[0]",
        }
        with explained(known):
            got = attempt(_arrive(order, parts))
        if any(
            not np.array_equal(a, b)
            for part, was in zip(parts, before, strict=True)
            for a, b in zip(part, was, strict=True)
        ):
            raise Complaint("add_in_order changes the gradients that arrive: start with a copy of the first")
        if isinstance(got, list | tuple) and len(got) == len(shapes) * len(order):
            raise Complaint("add_in_order puts the lists behind one another: add up the arrays of each parameter")
        if not (isinstance(got, list | tuple) and len(got) == len(shapes)):
            raise Complaint(
                f"add_in_order must return a list of {len(shapes)} arrays, one for each parameter, not a "
                f"{type(got).__name__} of {np.size(got) if not isinstance(got, list | tuple) else len(got)}"
            )
        arrays = [np.asarray(array) for array in got]
        for i, (array, right) in enumerate(zip(arrays, wanted, strict=True)):
            same(
                array,
                np.asarray(right, np.float32),
                f"sum {i} of add_in_order",
                mistakes={
                    "this is the mean: return the sum": lambda right=right: right / len(parts),
                    "the gradient that arrives last is missing": lambda i=i, order=order: sum(
                        parts[k][i] for k in order[:-1]
                    ),
                    "gradient 0 is counted twice": lambda i=i, right=right: right + parts[0][i],
                    "the gradient that arrives first is counted twice": lambda i=i, right=right, order=order: (
                        right + parts[order[0]][i]
                    ),
                    "only gradient 0 is returned: `total = total + gradient` makes a new array, += changes it": (
                        lambda i=i: parts[0][i]
                    ),
                    "only the last gradient is returned: add them up": lambda i=i: parts[-1][i],
                    "only the gradient that arrives first is returned: += changes the array in the list": (
                        lambda i=i, order=order: parts[order[0]][i]
                    ),
                    "gradient 0 is missing": lambda i=i, right=right: right - parts[0][i],
                },
            )
        found.append(arrays)
    if any(not np.array_equal(a, b) for arrays in found for a, b in zip(arrays, found[0], strict=True)):
        raise Complaint(
            "add_in_order: another order of arrival gives other last bits: wait for all, then add them by number"
        )
    downwards = [functools.reduce(np.add, [part[i] for part in reversed(parts)]) for i in range(len(shapes))]
    if all(np.array_equal(a, b) for a, b in zip(found[0], downwards, strict=True)):
        raise Complaint("add_in_order adds from the highest number to the lowest: begin with the lowest")


def _arrive(order: tuple[int, ...], parts: list[list[np.ndarray]]) -> Any:
    """Return an iterator over the parts in an order of arrival, as threads give their results."""
    return ((number, parts[number]) for number in order)


class Watched:
    """A function of Tensors with a parameter, which notes for each call whether it wrote to the tape."""

    def __init__(self, rng: np.random.Generator):
        self.weight = Tensor(rng.standard_normal((3, 3)), requires_grad=True)
        self.taped: list[bool] = []

    def __call__(self, x: Tensor) -> Tensor:
        out = (x @ self.weight).tanh() * x
        self.taped.append(out.requires_grad)
        return out


@exercise(16, stretch=True)
def recomputed(attempt: Attempt) -> None:
    """Check value and gradients in the middle of a chain, and that the first call writes nothing to the tape."""
    rng = np.random.default_rng(4)
    start, dy = rng.standard_normal((2, 2, 3))
    function = Watched(rng)
    plain = Tensor(start, requires_grad=True)
    inner = plain * 2.0
    out = function(inner)
    right = out.data
    out.backward(dy)
    if function.weight.grad is None or plain.grad is None:
        raise AssertionError("the check's own function has no gradients")
    wanted, weights = plain.grad.copy(), function.weight.grad.copy()
    function.weight.zero_grad()
    function.taped.clear()

    x = Tensor(start, requires_grad=True)
    got = attempt(function, x * 2.0)
    if not isinstance(got, Tensor):
        raise Complaint(f"recomputed returns a {type(got).__name__}: return the Tensor that record(...) returns")
    same(got, right, "recomputed(function, x)")
    if not got.requires_grad:
        raise Complaint("recomputed: the result is not on the tape: return record(data, (x,), vjp)")
    if any(function.taped):
        raise Complaint("recomputed: the first call writes to the tape, which keeps all activations: use no_grad()")
    calls = len(function.taped)
    leaf = "call the function with a new leaf, Tensor(x.data, requires_grad=True), and return (its .grad,)"
    reasons = {
        "needs a tensor computed": "the backward pass must call the function outside of no_grad()",
        "NotALeafError": leaf,
        "KeyError": leaf,
        "argument 2 is shorter": "record takes the inputs as a tuple: record(data, (x,), vjp)",
        "zip()": "the vjp returns a tuple with one gradient: (again.grad,)",
        "asarray": "record takes the array of the result, .data, not a Tensor",
    }
    with explained(reasons):
        attempt.call(lambda: got.backward(dy) or True, what="the backward pass of recomputed")
    if len(function.taped) == calls:
        raise Complaint("recomputed: the backward pass does not call the function again")
    if x.grad is None:
        raise Complaint("recomputed: no gradient reaches x: the vjp must return (gradient of x,)")
    ones = Watched(np.random.default_rng(4))
    ones.weight = function.weight.detach()
    other = Tensor(start, requires_grad=True)
    ones(other * 2.0).backward(np.ones_like(dy))
    same(
        x.grad,
        wanted,
        "the gradient of x through recomputed",
        {
            "the inner backward pass starts from ones: hand it dy": other.grad,
            "the gradient arrives twice: the inner pass must end at a new leaf, Tensor(x.data, requires_grad=True)": (
                2.0 * wanted
            ),
            "dy is multiplied at the end: begin the inner backward pass with it, backward(dy)": (
                lambda: other.grad * dy if other.grad is not None else dy
            ),
            "this is dy itself: return the gradient of the new leaf": 2.0 * dy,
        },
    )
    if function.weight.grad is None:
        raise Complaint("recomputed: no gradient reaches the function's parameters: call .backward(dy) on its result")
    same(
        function.weight.grad,
        weights,
        "the gradient of the function's parameter",
        {"it arrives twice: run the inner backward pass once": 2.0 * weights},
    )
    if got._node is not None and len([p for p in got._node.parents if isinstance(p, Node | Tensor)]) > 1:
        raise Complaint("recomputed: the tape keeps more than x: record(data, (x,), vjp) has one input")
