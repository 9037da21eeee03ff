"""Checks of lesson 02: the vjps of ops, the backward pass, and a puzzle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..compare import same, slopes
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, explained
from . import exercise


@exercise(2)
def unbroadcast(attempt: Attempt) -> None:
    """Check every kind of broadcasting against a loop over the copies."""
    rng = np.random.default_rng(0)
    cases = [
        ((5, 2, 3, 4), (2, 1, 4)),  # first the one that tells most mistakes apart
        ((3, 4), (4,)),
        ((3, 4), (3, 1)),
        ((3, 4), ()),
        ((3, 4), (3, 4)),
        ((2, 3, 3), (1, 3)),
        ((1, 3), (1, 3)),
        ((2, 3, 4, 3), (1, 4, 1)),  # two stretched axes, which move if one is summed without keepdims
    ]
    for big, shape in cases:
        dy = rng.standard_normal(big)
        new = len(big) - len(shape)
        front = tuple(range(new))
        stretched = tuple(i for i, length in enumerate(shape) if length == 1)
        alone = {
            f"cannot reshape array of size {dy.size // length} into": (
                f"only axis {i} is summed: sum dy over {_axes(front, stretched)}, counted from 0"
            )
            for i, length in enumerate(big)
        }
        reasons = {
            **alone,
            "more dimensions than allowed": "broadcasting repeats numbers; here the copies must be added up",
            "cannot reshape array": f"before the reshape, sum dy over {_axes(front, stretched)}, counted from 0",
            " raises ": f"sum dy over {_axes(front, stretched)}, counted from 0",
        }
        with explained(reasons):
            got = attempt(dy, shape)
        same(
            got,
            _sum_of_copies(dy, shape),
            f"unbroadcast(dy, {shape}) of a dy of shape {big}",
            mistakes={
                "dy is returned unchanged: sum it over the axes that broadcasting added or stretched": dy,
                "the last axes are summed, and then those of length 1: broadcasting adds new axes in front": dy.sum(
                    axis=tuple(range(len(big) - new, len(big)))
                ).sum(axis=stretched, keepdims=True)
                if new
                else 0.0,
                "the added axes in front are summed, but not the axes stretched from length 1": dy.sum(axis=front),
                "the shapes were compared from the left: NumPy aligns them at the right": (
                    dy.sum(axis=tuple(i for i, n in enumerate(shape) if n != big[i]), keepdims=True)
                ),
                "the stretched axes are summed, but not the added ones in front": (
                    dy.sum(axis=tuple(new + i for i in stretched), keepdims=True)
                ),
                **(
                    {
                        "axes of `shape` are used as axes of dy: axis i of `shape` is axis new + i of dy": (
                            dy.sum(axis=tuple({*front, *stretched}))
                        ),
                        "axis i of `shape` is axis new + i of dy, and the new axes in front must be summed too": (
                            dy.sum(axis=stretched, keepdims=True)
                        ),
                    }
                    if new and stretched
                    else {}
                ),
                "the gradients of the copies are averaged: add them up": (
                    _sum_of_copies(dy, shape) / (dy.size // max(1, int(np.prod(shape))))
                ),
                "only one copy's gradient is used: add up those of all copies": _first_copy(dy, shape),
                "everything is added up: sum only over the axes that broadcasting added or stretched": dy.sum(),
                "everything is added up, and repeated: sum only over the axes that broadcasting added or stretched": (
                    np.full(shape, dy.sum())
                ),
                "the new axes in front must go: sum them without keepdims, and sum the stretched axes too": (
                    dy.sum(axis=front, keepdims=True)
                ),
                "only the first numbers of dy are taken: add up the gradients of all copies": np.resize(dy, shape),
                "the last axes are summed: broadcasting adds new axes in front": (
                    dy.sum(axis=tuple(range(len(shape), dy.ndim)))
                ),
                "of the new axes only the first copy is used: add up over them": (
                    _sum_of_copies(dy[(0,) * new], shape) if new and stretched else 0.0
                ),
                "the largest copy is taken: add up the gradients of all copies": (
                    dy.max(axis=(*front, *(new + i for i in stretched))).reshape(shape)
                ),
                "a reshape or keepdims=True is missing: the sum also removed the stretched axes of length 1": (
                    dy.sum(axis=(*front, *(new + i for i in stretched)))
                ),
                **(
                    {
                        "the new axes are averaged: add up over them": _sum_of_copies(dy, shape) / np.prod(big[:new]),
                        "the stretched axes are averaged: add up over them": (
                            _sum_of_copies(dy, shape) / np.prod([big[new + i] for i in stretched])
                        ),
                    }
                    if new and stretched
                    else {}
                ),
            },
        )
    single = rng.standard_normal((2, 3)).astype(np.float32)
    same(attempt(single, (3,)), _sum_of_copies(single, (3,)), "unbroadcast(dy, (3,)) of a float32 dy", tolerance=1e-5)


@exercise(2)
def multiply(attempt: Attempt) -> None:
    """Check both gradients, with and without broadcasting, and with a constant as second factor."""
    for a_shape, b_shape in (((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (4, 1, 3))):
        x, w = _points(a_shape, b_shape)
        reasons = {
            "NameError: name 'total'": "a and b are Tensors: a vjp works on their arrays, here x and w",
            "has no len()": "the second argument of unbroadcast is a shape, x.shape",
            "mismatch in its core dimension": "multiply element by element, with * in place of @",
        }
        with explained(reasons):
            _product(attempt, x, w)
    constant = "a number or an array may be the other factor: use the arrays x and w"
    with explained({"has no attribute 'data'": constant, "has no attribute 'shape'": constant}):
        keeps_float32(attempt, lambda a: attempt(a, 2.5), (2, 3), "multiply(a, 2.5)")


def _product(attempt: Attempt, x: np.ndarray, w: np.ndarray) -> None:
    """Check both gradients of one product."""
    same_vjp(
        attempt,
        attempt,
        [x, w],
        ["a", "b"],
        f"multiply(a, b) of shapes {x.shape} and {w.shape}",
        lambda dy: {
            "a": {
                "dy is multiplied by a: the derivative of a · b with respect to a is b": dy * x,
                "the copies' gradients are not summed: return unbroadcast(dy * w, x.shape)": dy * w,
                "dy is missing: multiply it by w": np.broadcast_to(w, dy.shape),
                "dy is missing: multiply it by w, then unbroadcast": (
                    _sum_of_copies(np.broadcast_to(w, dy.shape), x.shape)
                ),
                "unbroadcast came before the product with b: multiply first, then unbroadcast": (
                    lambda: _sum_of_copies(_sum_of_copies(dy, x.shape) * w, x.shape)
                ),
                "this is dy itself, as for a sum: multiply dy by b": _sum_of_copies(dy, x.shape),
                "dy is divided by b: multiply it": lambda: _sum_of_copies(dy / w, x.shape),
                "dy is multiplied by both factors: with respect to a the derivative is b alone": (
                    lambda: _sum_of_copies(dy * x * w, x.shape)
                ),
                "it has the shape of b: unbroadcast it to x.shape": lambda: _sum_of_copies(dy * w, w.shape),
                "everything is added up: unbroadcast sums only over the copies": lambda: (dy * w).sum(),
                "dy is added up before the product: multiply dy itself, element by element": (
                    lambda: _sum_of_copies(dy.sum() * np.broadcast_to(w, dy.shape), x.shape)
                ),
                "dy is added to b: multiply them": lambda: _sum_of_copies(dy + w, x.shape),
                "it is twice the gradient: a factor of 2 belongs to a square": lambda: (
                    2 * _sum_of_copies(dy * w, x.shape)
                ),
            },
            "b": {
                "the copies' gradients are not summed: return unbroadcast(dy * x, w.shape)": dy * x,
                "the copies' gradients are averaged: add them up, unbroadcast(dy * x, w.shape)": (
                    _sum_of_copies(dy * x, w.shape) * w.size / dy.size
                ),
                "unbroadcast came before the product with a: multiply first, then unbroadcast": (
                    lambda: _sum_of_copies(_sum_of_copies(dy, w.shape) * x, w.shape)
                ),
                "dy is summed before the product with a: multiply first, then unbroadcast": (
                    lambda: _sum_of_copies(dy, w.shape) * x
                ),
                "dy is multiplied by b: the derivative of a · b with respect to b is a": lambda: _sum_of_copies(
                    dy * w, w.shape
                ),
                "dy is added to a: multiply them": lambda: _sum_of_copies(dy + x, w.shape),
                "this is dy itself, as for a sum: multiply dy by a": lambda: _sum_of_copies(dy, w.shape),
            },
        },
    )


@exercise(2)
def total(attempt: Attempt) -> None:
    """Check sums over one axis, several axes and all."""
    cases: list[dict[str, Any]] = [
        {},
        {"axis": 0},
        {"axis": -1},
        {"axis": (0, 2)},
        {"axis": 1, "keepdims": True},
        {"keepdims": True},
    ]
    for options in cases:
        (x,) = _points((3, 3, 3))
        written = ", ".join(["a", *(f"{key}={value}" for key, value in options.items())])
        axis = options.get("axis")
        axes = tuple(range(3)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        count = 3 ** len(axes)
        kept = bool(options.get("keepdims"))

        def mistakes(
            dy: np.ndarray, x: np.ndarray = x, axes: Any = axes, axis: Any = axis, count: int = count, kept: bool = kept
        ) -> dict[str, Any]:
            whole = np.broadcast_to(dy if kept else np.expand_dims(dy, axes), (3, 3, 3))
            return {
                "a": {
                    "this is dy unchanged: every summand gets the gradient of its sum, so repeat dy to `shape`": dy,
                    "it is divided by the number of summands: this is the gradient of a mean": whole / count,
                    "the result is 1 everywhere: dy is missing": np.ones((3, 3, 3)),
                    "it is multiplied by a: the derivatives of a sum are 1, whatever a is": whole * x,
                    "the summed axis came back in the wrong position: put it back at `axis` with np.expand_dims": (
                        lambda: np.broadcast_to(dy, (3, 3, 3))
                    ),
                    "dy is added up: each summand gets the gradient of its sum": np.full((3, 3, 3), dy.sum()),
                    "np.tile repeats whole blocks: use np.broadcast_to": lambda: np.tile(dy, (3, 3, 3)),
                    "the summed axis came back at the end: it must be at `axis`": (
                        lambda: np.broadcast_to(dy[..., None], (3, 3, 3))
                    ),
                    "dy is summed once more: repeat it, np.broadcast_to(dy, shape)": (
                        lambda: dy.sum(axis=axis, keepdims=kept) * np.ones((3, 3, 3))
                    ),
                    "dy is repeated along one axis alone: repeat it to `shape`, np.broadcast_to(dy, shape)": (
                        (dy if kept or axis is None else np.expand_dims(dy, axes)) * np.ones(3)
                    ),
                    "dy is averaged: each summand gets the gradient of its sum": np.full((3, 3, 3), dy.mean()),
                }
            }

        reason = "with keepdims=True the axis is still there" if kept else "which axes must come back first?"
        reason = "with axis=None there is no axis to put back: dy broadcasts as it is" if axis is None else reason
        reasons = {
            "has no attribute 'expand_dims'": "it is a function of NumPy: np.expand_dims(dy, axis)",
            "has no attribute": "dy is an array: use np.expand_dims and np.broadcast_to",
            "cannot reshape": (
                "axis is negative here: count it from the end"
                if axis == -1
                else "repeat dy with np.broadcast_to, not with reshape"
            ),
            " raises ": reason,
        }
        with explained({"more dimensions than allowed": "axis must be None if it is left out"}):
            same(
                attempt(attempt.find("Tensor")(x), **options),
                x.sum(**options),
                f"total({written})",
                {
                    "keepdims is not passed to sum": x.sum(axis=axis),
                    "keepdims=True must not be the default": x.sum(axis=axis, keepdims=True),
                    "without an axis everything is added up: axis=None must be the default": x.sum(axis=-1),
                    "without an axis everything is added up: axis=None must be the default, not 0": x.sum(axis=0),
                    "this is a mean: add up": x.mean(**options),
                },
            )
        with explained(reasons):
            same_vjp(
                attempt, lambda a, options=options: attempt(a, **options), [x], ["a"], f"total({written})", mistakes
            )
    keeps_float32(attempt, lambda a: attempt(a, axis=0), (2, 3), "total(a, axis=0)")


def _indexed(dy: np.ndarray, index: Any) -> Any:
    """Return dy[index], or nan where that is not possible."""
    try:
        return dy[index]
    except IndexError:
        return np.nan


def _added_up(index: Any, dy: np.ndarray) -> np.ndarray:
    """Return the right gradient of a 3 x 3 array: zeros, and dy added at the positions of an index."""
    dx = np.zeros((3, 3))
    np.add.at(dx, index, dy)
    return dx


def _written_everywhere(index: Any, value: float) -> np.ndarray:
    """Return a 3 x 3 array of zeros with a number at the positions of an index."""
    dx = np.zeros((3, 3))
    dx[index] = value
    return dx


@exercise(2)
def getitem(attempt: Attempt) -> None:
    """Check slices, integers, lists that hold a position twice, and a mask."""
    indices: list[tuple[str, Any]] = [
        ("a[1]", 1),
        ("a[:, 0]", (slice(None), 0)),
        ("a[:, 1:]", (slice(None), slice(1, None))),
        ("a[..., ::-2]", (Ellipsis, slice(None, None, -2))),
        ("a[[2, 0]]", [2, 0]),
        ("a[[1, 1, 0]]", [1, 1, 0]),
        ("a[:, [2, 2, 2]]", (slice(None), [2, 2, 2])),
        ("a[a > 0]", None),
    ]
    for what, index in indices:
        (x,) = _points((3, 3))
        index = (x > 0) if index is None else index

        def mistakes(dy: np.ndarray, index: Any = index, x: np.ndarray = x) -> dict[str, Any]:
            last, ones, everywhere = np.zeros((3, 3)), np.zeros((3, 3)), np.ones((3, 3))
            last[index] = dy
            np.add.at(ones, index, 1.0)
            everywhere[index] = dy
            inside = x.copy()
            inside[index] = dy
            return {
                "a": {
                    "this is dy unchanged: put it into an array of zeros of the input's shape": dy,
                    "dy itself is indexed: put dy into an array of zeros, at the positions that `index` picked": (
                        lambda: _indexed(dy, index)
                    ),
                    "a position picked twice keeps only one gradient: add both up": last,
                    "the result is 1 where something was picked: dy is missing": ones,
                    "the gradient of what was not picked is 1: it must be 0": everywhere,
                    "the numbers of the input are still there: begin with np.zeros(shape, dtype)": inside,
                    "dy was spread over the whole array: only what `index` picked gets a gradient": (
                        lambda: np.broadcast_to(dy, (3, 3))
                    ),
                    "dy is added up first: write dy itself to the positions, dx[index] = dy": _written_everywhere(
                        index, dy.sum()
                    ),
                    "dy is averaged first: write dy itself to the positions, dx[index] = dy": _written_everywhere(
                        index, dy.mean()
                    ),
                    "dx begins with ones: begin with np.zeros(shape, dtype)": lambda: _added_up(index, dy) + 1.0,
                }
            }

        place = "dx must have the input's shape: np.zeros(shape, dtype), not the shape of dy"
        reasons = {
            "setting an array element": place,
            "out of bounds": place,
            "too many indices": place,
            "is not iterable": "an index may be a number, a slice or a list: use dx[index] as a whole",
            "has no attribute": "NumPy's way is np.add.at(dx, index, dy)",
            "is wrong: at": "what was picked gets its dy, and everything else exactly 0",
        }
        with explained(reasons):
            same_vjp(attempt, lambda a, index=index: attempt(a, index), [x], ["a"], what, mistakes)
    keeps_float32(attempt, lambda a: attempt(a, (slice(None), 0)), (2, 3), "a[:, 0]")


@exercise(2)
def backward_walk(attempt: Attempt) -> None:
    """Check graphs of a few operations, whose gradients are known without a backward pass."""
    tensor, record = attempt.find("Tensor"), attempt.find("record")

    def times(a: Any, c: float) -> Any:
        return record(a.data * c, (a,), lambda dy: (dy * c,))

    def join(a: Any, b: Any) -> Any:
        return record(a.data + b.data, (a, b), lambda dy: (dy, dy))  # one array for both, as a vjp may

    def leaf(*values: float) -> Any:
        return tensor(np.array(values), requires_grad=True)

    dy = np.array([1.0, -2.0])

    x = leaf(1.0, 2.0)
    y = times(times(x, 3.0), 5.0)
    unused = {
        "the gradient that arrived was not used: pass it to the vjp": np.array([3.0, 3.0]),
        "each vjp got dy of the result: pass it what has arrived for its own Tensor": 3.0 * dy,
        "the gradient is passed on unchanged: call the Tensor's vjp to get the gradients of its parents": dy,
    }
    _found(attempt, y, dy, {x: 15.0 * dy}, "y = (x * 3) * 5", {x: unused})

    x = leaf(1.0, 2.0)
    y = join(times(x, 3.0), times(x, 4.0))
    _found(
        attempt,
        y,
        dy,
        {x: 7.0 * dy},
        "y = x * 3 + x * 4",
        {
            x: {
                "x is used twice and keeps only the last gradient: add it to the first": 3.0 * dy,
                "x is used twice and keeps only the first gradient: add the second to it": 4.0 * dy,
                "the gradients of two uses are multiplied: add them": 12.0 * dy * dy,
                "the gradients of two uses are averaged: add them": 3.5 * dy,
                "the gradients of two uses are subtracted: add them": -dy,
                "the first gradient is subtracted from the second: add them": dy,
            }
        },
    )

    x, constant = leaf(1.0, 2.0), tensor(np.array([5.0, 5.0]))
    y = join(times(x, 3.0), constant)
    _found(attempt, y, dy, {x: 3.0 * dy}, "y = x * 3 + a constant", {})

    x = leaf(1.0, 2.0)
    middle = times(x, 3.0)
    y = record(constant.data - middle.data, (constant, middle), lambda dy: (dy, -dy))  # the first parent is None
    paired = {x: {"x got the constant's gradient: zip parents and gradients first, then skip None": 3.0 * dy}}
    with explained({"no gradient": "skip only the parent that is None, and continue with the next"}):
        _found(attempt, y, dy, {x: -3.0 * dy}, "y = a constant - x * 3", paired)

    x, b = leaf(1.0, 2.0), leaf(0.0, 1.0)
    y = times(join(join(times(x, 3.0), b), x), 2.0)
    shared = {"+= changed an array that x's and b's gradients share: use + instead": 8.0 * dy}
    _found(attempt, y, dy, {x: 8.0 * dy, b: 2.0 * dy}, "y = ((x * 3 + b) + x) * 2", {b: shared})

    x = leaf(1.0, 2.0)
    middle = times(x, 2.0)
    y = join(times(middle, 3.0), middle)
    _found(attempt, y, dy, {x: 8.0 * dy}, "m = x * 2, y = m * 3 + m", {})

    x = leaf(3.0)
    _found(attempt, x, dy[:1], {x: dy[:1]}, "a leaf alone", {})


@exercise(2, stretch=True)
def sum_blocks(attempt: Attempt) -> None:
    """Check two shapes, then that the line uses only reshape, sum and the minus of -1."""
    for rows, columns in ((2, 3), (3, 1), (4, 2)):
        x = np.random.default_rng(4).integers(1, 100, (2 * rows, 2 * columns)).astype(np.float64)
        right = np.array([
            [sum(x[2 * r + i, 2 * c + j] for i in (0, 1) for j in (0, 1)) for c in range(columns)] for r in range(rows)
        ])  # fmt: skip
        apart = "numbers that are half an image apart are added: split each axis into (blocks, 2), not (2, blocks)"
        same(
            attempt(x, rows, columns),
            right,
            f"sum_blocks(x, {rows}, {columns})",
            mistakes={
                "four neighbours of one row are added: a block has two rows, so split rows and columns": (
                    x.reshape(rows, columns, 4).sum(axis=2)
                ),
                apart: x.reshape(2, rows, 2, columns).sum(axis=(0, 2)),
                "rows far apart are added: split the rows into (rows, 2), not (2, rows)": (
                    x.reshape(2, rows, columns, 2).sum(axis=(0, 3))
                ),
                "columns far apart are added: split the columns into (columns, 2), not (2, columns)": (
                    x.reshape(rows, 2, 2, columns).sum(axis=(1, 2))
                ),
                "the blocks are added to one another: sum over the axes of length 2, which are 1 and 3": (
                    x.reshape(rows, 2, columns, 2).sum(axis=(0, 2))
                ),
                "these are means: take the sum": right / 4,
                "only pairs of columns are added: sum over the rows of a block too": (
                    x.reshape(rows, 2, columns, 2).sum(axis=3)
                ),
                "only pairs of rows are added: sum over the columns of a block too": (
                    x.reshape(rows, 2, columns, 2).sum(axis=1)
                ),
                "the axes of the blocks are swapped: the first is that of the rows": right.T,
                "keepdims=True keeps the axes of length 1: leave it out": right.reshape(rows, 1, columns, 1),
                "this is x unchanged": x,
                "everything is added up: sum over two axes of four": x.sum(),
                "only pairs of rows are added: split the columns into (columns, 2) too": (
                    x.reshape(rows, 2, 2 * columns).sum(axis=1)
                ),
                "only pairs of columns are added: split the rows into (rows, 2) too": (
                    x.reshape(2 * rows, columns, 2).sum(axis=2)
                ),
                **{
                    f"the sum runs over axes {a} and {b}: those of length 2 are axes 1 and 3": (
                        x.reshape(rows, 2, columns, 2).sum(axis=(a, b))
                    )
                    for a, b in ((0, 1), (1, 2), (2, 3), (0, 3))
                },
            },
            check_dtype=False,
        )
    uses_only(attempt, "reshape", "sum", "-")


# -- what they share ------------------------------------------------------------------------------------


def _sum_of_copies(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return dy without broadcasting, by a loop: each number is added where it was copied from."""
    total = np.zeros(shape, dy.dtype)
    new = dy.ndim - len(shape)
    for index in np.ndindex(dy.shape):
        source = tuple(0 if length == 1 else i for i, length in zip(index[new:], shape, strict=True))
        total[source] += dy[index]
    return total


def _first_copy(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    new = dy.ndim - len(shape)
    return dy[(0,) * new + tuple(slice(0, length) for length in shape)]


def _points(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape) for shape in shapes]


def same_vjp(
    attempt: Attempt,
    function: Callable[..., Any],
    points: Sequence[np.ndarray],
    names: Sequence[str],
    what: str,
    mistakes: Callable[[np.ndarray], Mapping[str, Mapping[str, Any]]],
) -> None:
    """Complain unless the vjp of a function's result gives the gradients of finite differences."""
    tensor = attempt.find("Tensor")
    out = function(*[tensor(point.copy(), requires_grad=True) for point in points])
    dy = np.random.default_rng(7).standard_normal(np.shape(out.data))
    found = _pulled_back(attempt, out, dy, what, len(points))
    known = mistakes(dy)

    def project(values: list[np.ndarray]) -> float:
        return float(np.vdot(function(*[tensor(value) for value in values]).data, dy))

    for i, name in enumerate(names):
        subject = f"the gradient of {what} with respect to {name}"
        same(found[i], slopes(project, list(points), i), subject, known.get(name, {}), tolerance=1e-6)


def _pulled_back(attempt: Attempt, out: Any, dy: np.ndarray, what: str, inputs: int) -> tuple[Any, ...]:
    """Return the tuple that the vjp of a result returns, and complain if it is something else."""
    if not callable(getattr(out, "vjp", None)):
        raise Complaint(
            f"{what} has no vjp: pass the result, the inputs and the vjp to record, and return what it returns"
        )
    found = attempt.call(out.vjp, dy, what=f"the vjp of {what}")
    if not isinstance(found, tuple):
        hint = "for one input, `return (dx,)` with the comma" if inputs == 1 else "return one gradient for each input"
        kind = "an array" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
        raise Complaint(f"the vjp of {what} returns {kind}, not a tuple: {hint}")
    if len(found) != inputs:
        raise Complaint(f"the vjp of {what} returns {len(found)} gradients for {inputs} inputs: return one for each")
    for gradient in found:
        if gradient is None:
            raise Complaint(f"the vjp of {what} returns None as a gradient: np.add.at, for example, returns nothing")
        if isinstance(gradient, attempt.find("Tensor")):
            raise Complaint(f"the vjp of {what} returns a Tensor: compute with arrays, not with Tensors")
    return found


def keeps_float32(attempt: Attempt, function: Callable[..., Any], shape: tuple[int, ...], what: str) -> None:
    """Complain unless the gradient of a float32 input is float32."""
    tensor = attempt.find("Tensor")
    out = function(tensor(np.ones(shape, np.float32), requires_grad=True))
    found = _pulled_back(attempt, out, np.ones(np.shape(out.data), np.float32), what, len(out.parents))
    if np.asarray(found[0]).dtype != np.float32:
        raise Complaint(
            f"the gradient of {what} for a float32 input is {np.asarray(found[0]).dtype}: "
            "is there an np.zeros(...) or np.ones(...) without a dtype?"
        )


def _found(
    attempt: Attempt,
    y: Any,
    dy: np.ndarray,
    expected: dict[Any, np.ndarray],
    what: str,
    mistakes: Mapping[Any, Mapping[str, np.ndarray]],
) -> None:
    """Complain unless the backward pass from y finds these gradients, and leaves nothing else."""
    walked = f"backward_walk for {what}"
    tensors = _below(y)
    try:
        found = attempt.call(attempt.function, y, dy.copy(), what=walked)
    except Complaint as complaint:
        said = complaint.full
        if "tuple" in said and "operand" in said:
            raise Complaint(
                f"{walked}: a vjp returns a tuple with a gradient for each parent: pair them with zip"
            ) from complaint
        if "NoneType" in said and "operand" in said and "for +" not in said:
            raise Complaint(
                f"{walked}: a vjp got None: pass it the gradient from `arrived`, since .grad is None here"
            ) from complaint
        if "NoneType" in said and "operand" in said:
            raise Complaint(
                f"{walked}: arrived.get(parent) is None for a parent without a gradient: put the first one in, then add"
            ) from complaint
        if "'NoneType' object is not callable" in said:
            raise Complaint(f"{walked}: a leaf has no vjp: visit only the Tensors of youngest_first") from complaint
        if "'NoneType' object" in said or "KeyError: None" in said:
            raise Complaint(f"{walked}: a parent may be None, a constant: skip it") from complaint
        if "KeyError: Tensor" in said:
            reason = "no gradient had arrived for a Tensor: put all of the vjp's gradients into `arrived`"
            raise Complaint(f"{walked}: {reason}") from complaint
        raise
    if not isinstance(found, dict):
        raise Complaint(f"{walked} returns a {type(found).__name__}: return `arrived`")
    if None in found:
        raise Complaint(f"{walked} keeps a gradient for a parent that is None: skip it, it is a constant")
    for leaf, gradient in expected.items():
        if leaf not in found:
            raise Complaint(
                f"{walked} finds no gradient for a leaf: put the vjp's gradients into `arrived`; "
                "or does a return or break end the loop early?"
            )
        same(found[leaf], gradient, f"the gradient of a leaf in {what}", mistakes.get(leaf))
        if leaf.grad is not None:
            raise Complaint(f"{walked} writes a leaf's .grad: return the gradients instead, and backward writes them")
    if len(found) > len(expected):
        raise Complaint(
            f"{walked}: `arrived` still holds gradients of Tensors that are not leaves: take each out with pop"
        )
    if any(tensor.parents for tensor in tensors):
        raise Complaint(f"{walked} leaves the graph in memory: empty each Tensor's parents after its turn")


def _axes(front: Sequence[int], stretched: Sequence[int]) -> str:
    """Return the axes of dy to sum over, as words."""
    axes = [*front, *(len(front) + i for i in stretched)]
    return f"ax{'i' if len(axes) == 1 else 'e'}s {' and '.join(map(str, axes))}" if axes else "no axis"


def _below(y: Any) -> list[Any]:
    """Return all Tensors of a graph."""
    found, waiting = [], [y]
    while waiting:
        tensor = waiting.pop()
        found.append(tensor)
        waiting.extend(parent for parent in tensor.parents if parent is not None)
    return found
