"""Compares a learner's result with the right one, and names the likely mistake.

`same` first looks for the mistakes that the exercise knows: each is a sentence and the result that it leads to. Then it
looks for mistakes of any exercise: a missing factor, a sign, a transposed matrix, a lost axis, the wrong element type.
Only then does it say where the first difference is, and `checking` adds what the learner's source shows.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .trial import Attempt, Complaint, Unexplained, explained

Mistakes = Mapping[str, Any]  # sentence: the result it leads to, or a function that computes it


def same(
    got: Any,
    expected: Any,
    what: str,
    mistakes: Mistakes | None = None,
    factors: Mapping[str, float] | None = None,
    tolerance: float = 1e-6,
    check_dtype: bool = True,
) -> None:
    """Complain unless `got` is `expected`: an array, a number, or a learner's Tensor.

    Args:
        got: what the attempt returned.
        expected: the right result.
        what: its name in a complaint, such as "patchify(images, 4)".
        mistakes: the known mistakes, in the order in which to try them.
        factors: known factors by name, such as {"√D_h": 8.0}.
        tolerance: the largest difference, relative to the largest element; about 1e-5 for float32.
        check_dtype: whether the element type must be right too.

    Raises:
        Complaint: with the likely mistake.
    """
    right = _array(expected, what)
    array = _array(got, what)
    if array.shape == right.shape and _close(array, right, tolerance):
        if check_dtype and array.dtype != right.dtype:
            raise Complaint(
                f"{what} has the right numbers, but as {array.dtype} instead of {right.dtype}: "
                "is there a NumPy number such as np.sqrt(...), or np.zeros(...) without a dtype?"
            )
        return
    for sentence, result in (mistakes or {}).items():
        wrong = _array(result() if callable(result) else result, what)
        if wrong.shape == array.shape and _close(array, wrong, tolerance):
            raise Complaint(f"{what}: {sentence}")
    if array.shape != right.shape:
        raise Unexplained(_shape_sentence(array, right, what, tolerance), what)
    if not np.isfinite(array).all() and np.isfinite(right).all():
        raise Complaint(f"{what} holds nan or infinity: is there a division by 0 or an exp of a large number?")
    raise Unexplained(_value_sentence(array, right, what, factors or {}, tolerance), what)


def same_gradients(
    attempt: Attempt,
    inputs: Sequence[Any],
    names: Sequence[str],
    what: str,
    mistakes: Mapping[str, Mistakes] | None = None,
    options: Mapping[str, Any] | None = None,
    tolerance: float = 1e-5,
) -> None:
    """Complain unless the gradients of a function of Tensors are those of finite differences.

    The function runs on the learner's Tensors. Its backward pass starts from a random cotangent, since ones would let
    some wrong gradients pass.

    Args:
        attempt: the function, which takes a Tensor for each input and returns a Tensor.
        inputs: one array for each argument.
        names: the names of the arguments.
        what: the name of the call in a complaint.
        mistakes: the known mistakes by the argument's name: sentence and wrong gradient, or a function of the
            cotangent that computes it.
        options: more keyword arguments.
    """
    tensor = attempt.find("Tensor")
    options = dict(options or {})
    points = [np.array(x, dtype=np.float64) for x in inputs]
    leaves = [tensor(point.copy(), requires_grad=True) for point in points]
    out = attempt(*leaves, **options)
    cotangent = np.random.default_rng(7).standard_normal(np.shape(out.data))
    from_arrays = f"compute {attempt.name} with the Tensors, not with their .data"
    with explained({"made from nothing": from_arrays, "backward needs a tensor computed": from_arrays}):
        attempt.call(_backward, out, cotangent, what=f"the backward pass of {what}")

    def project(values: list[np.ndarray]) -> float:
        return float(np.vdot(attempt(*[tensor(v) for v in values], **options).data, cotangent))

    for i, (name, leaf) in enumerate(zip(names, leaves, strict=True)):
        if leaf.grad is None:
            raise Complaint(
                f"{what} leaves no gradient on {name}: is {name}.data used, or {name} missing in record's inputs?"
            )
        known = {
            sentence: (lambda wrong=wrong: wrong(cotangent)) if callable(wrong) else wrong
            for sentence, wrong in (mistakes or {}).get(name, {}).items()
        }
        numeric = slopes(project, points, i)
        _gradient_shape(leaf.grad, numeric, name, what, known)
        same(leaf.grad, numeric, f"the gradient of {what} with respect to {name}", known, tolerance=tolerance)


def complain_of_array(got: Any, name: str, advice: str = "compute with Tensors, so that gradients flow") -> None:
    """Complain if a function that must return a Tensor returned an array.

    Args:
        got: what the attempt returned.
        name: the function.
        advice: how to keep Tensors.

    Raises:
        Complaint: if it is an array.
    """
    if isinstance(got, np.ndarray):
        raise Complaint(f"{name} returns an array: {advice}")


def peak_memory(function: Callable[..., Any], *inputs: Any) -> int:
    """Return the peak memory of a call, in bytes, beyond what was in use before."""
    own = not tracemalloc.is_tracing()
    if own:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    try:
        function(*inputs)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if own:
            tracemalloc.stop()


def slopes(project: Callable[[list[np.ndarray]], float], points: list[np.ndarray], i: int) -> np.ndarray:
    """Return the derivative of `project` with respect to points[i], by a central difference for each element."""
    gradient = np.zeros_like(points[i])
    for index in np.ndindex(points[i].shape):
        values = []
        for step in (1e-5, -1e-5):
            moved = [point.copy() for point in points]
            moved[i][index] += step
            values.append(project(moved))
        gradient[index] = (values[0] - values[1]) / 2e-5
    return gradient


def _backward(out: Any, cotangent: np.ndarray) -> bool:
    out.backward(cotangent.copy())
    return True


def _gradient_shape(gradient: Any, numeric: np.ndarray, name: str, what: str, known: Mistakes) -> None:
    shape = np.shape(gradient)
    wrong_shapes = [_array(wrong() if callable(wrong) else wrong, what).shape for wrong in known.values()]
    if shape == numeric.shape or shape in wrong_shapes:
        return
    if len(shape) >= numeric.ndim and np.size(gradient) > numeric.size:
        raise Complaint(
            f"the gradient of {what} with respect to {name} has shape {shape}, but {name} has {numeric.shape}: "
            "sum it over the broadcast axis"
        )
    raise Complaint(
        f"the gradient of {what} with respect to {name} has shape {shape}: it must be {name}'s, {numeric.shape}"
    )


# -- names for the difference ---------------------------------------------------------------------------


def _array(value: Any, what: str) -> np.ndarray:
    value = getattr(value, "data", value) if not isinstance(value, np.ndarray | np.generic) else value
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty((), object)
    if array.dtype.kind not in "fiub":
        kind = type(array.item() if array.shape == () else value).__name__
        raise Complaint(f"{what} is a {kind}: it must be a number, an array or a Tensor")
    return array


def _close(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    scale = float(np.max(np.abs(b), initial=0.0)) or 1.0
    return bool(np.allclose(a, b, rtol=0.0, atol=tolerance * scale))


def _shape_sentence(array: np.ndarray, right: np.ndarray, what: str, tolerance: float) -> str:
    start = f"{what} has shape {array.shape} instead of {right.shape}"
    if array.ndim == right.ndim and array.shape[::-1] == right.shape and _close(array.T, right, tolerance):
        return f"{start}: it is transposed"
    for axis in range(right.ndim - 1):
        joined = (*right.shape[:axis], right.shape[axis] * right.shape[axis + 1], *right.shape[axis + 2 :])
        if array.shape == joined and min(right.shape[axis : axis + 2]) > 1:
            return f"{start}: the axes {axis} and {axis + 1} are joined to one"
    if array.size == right.size and _close(array.reshape(right.shape), right, tolerance):
        if array.ndim == right.ndim and sorted(array.shape) == sorted(right.shape):
            return f"{start}: the numbers are right, but the last reshape names the axes in another order"
        if array.ndim > right.ndim and [n for n in array.shape if n > 1] == [n for n in right.shape if n > 1]:
            return f"{start}: the numbers are right, but an axis of length 1 is too many, perhaps from keepdims=True"
        return f"{start}: the numbers are right, but a reshape or keepdims=True is missing"
    if array.ndim == right.ndim and sorted(array.shape) == sorted(right.shape):
        return f"{start}: two axes are swapped"
    if array.ndim < right.ndim:
        return f"{start}: an axis is lost by a sum or an index"
    return start


def _value_sentence(
    array: np.ndarray, right: np.ndarray, what: str, factors: Mapping[str, float], tolerance: float
) -> str:
    if array.dtype.kind == "b":  # which has no sign
        array = array.astype(np.int64)
    if _close(-array, right, tolerance):
        return f"{what} has the wrong sign{' everywhere' if right.size > 1 else ''}"
    is_square = array.ndim >= 2 and array.shape[-1] == array.shape[-2]
    by_chance = right.size <= 4 and len(np.unique(right)) < 3  # two truths may be in each other's places for any reason
    if is_square and not by_chance and _close(array.swapaxes(-1, -2), right, tolerance):
        return f"{what} is transposed: its last two axes are swapped"
    scale = float(np.vdot(array, right)) / (float(np.vdot(array, array)) or 1.0)
    if scale and _close(array * scale, right, tolerance):
        for name, factor in factors.items():
            for value, word in ((factor, "multiplied by"), (1.0 / factor, "divided by")):
                if np.isclose(scale * value, 1.0, rtol=1e-4):
                    return f"{what} is wrong by a factor everywhere: it is {word} {name} = {factor:.4g} once too often"
        if right.size > 1:
            lengths = f", which is 1 / {round(1 / scale)}" if _is_a_length(1 / scale, right) else ""
            return f"{what} is wrong by the same factor everywhere: it must be {scale:.4g} times as large{lengths}"
    shift = float(np.mean(right - array))
    if right.size > 1 and _close(array + shift, right, tolerance):
        return f"{what} is wrong by the same amount everywhere: {shift:+.4g} is missing"
    if relation := _relation(array, right, tolerance):
        return f"{what}: {relation}"
    if right.size == 1:
        return f"{what} is {array.item():.6g}: it should be {right.item():.6g}"
    if not by_chance and (place := _misplaced(array, right, tolerance)):
        return f"{what} {place}"
    if right.ndim and right.shape[0] > 1 and not by_chance:
        order = np.sort(array.ravel()), np.sort(right.ravel())
        if _close(order[0], order[1], tolerance):
            return f"{what} holds the right numbers in the wrong order: {_first_difference(array, right, tolerance)}"
    return f"{what} is wrong: {_first_difference(array, right, tolerance)}"


def _is_a_length(factor: float, right: np.ndarray) -> bool:
    """Return whether a factor is the length of an axis or of several, as where a sum is returned for a mean."""
    lengths = {*right.shape, right.size, int(np.prod(right.shape[1:])), int(np.prod(right.shape[:-1]))} - {1}
    return any(np.isclose(factor, length, rtol=1e-4) for length in lengths)


def _relation(array: np.ndarray, right: np.ndarray, tolerance: float) -> str:
    """Return how each number follows from the right one, such as "this is the square of it"; "" if it does not."""
    right = right.astype(np.float64)
    known: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):
        known["the square of the right number: is a root missing?"] = right**2
        known["the square root of the right number: is there a root too many?"] = np.sqrt(right)
        known["1 divided by the right number"] = 1.0 / right
        known["1 minus the right number"] = 1.0 - right
        known["the natural logarithm of the right number"] = np.log(right)
        known["minus the natural logarithm of the right number"] = -np.log(right)
        known["e to the power of the right number"] = np.exp(right)
        known["the right number without its sign"] = np.abs(right)
    if right.size > 1:
        known["the right number rounded down"] = np.floor(right)
        known["the right number rounded to an integer"] = np.rint(right)
        known["the right number rounded up"] = np.ceil(right)
        known["the right number cut off at 0, without what is below"] = np.maximum(right, 0.0)
    else:
        for times, word in ((100.0, "100 times"), (0.01, "a hundredth of")):
            known[f"{word} the right number"] = times * right
        for places in (2, 1, 0):
            known["the right number in percent, and rounded: return it as a share"] = np.round(100 * right, places)
            if array == known["the right number in percent, and rounded: return it as a share"]:
                break
        for places in (4, 3, 2, 1):
            known["the right number, rounded: leave out the rounding"] = np.round(right, places)
            if array == known["the right number, rounded: leave out the rounding"]:
                break
        if right.item() in (0.0, 1.0):  # too much is their square, root or inverse
            return ""
    for sentence, wrong in known.items():
        varied = right.size == 1 or float(np.ptp(wrong)) > 0
        if np.isfinite(wrong).all() and wrong.any() and varied and _close(array, wrong, tolerance):
            return f"{'each number' if right.size > 1 else 'this'} is {sentence}"
    return ""


def _misplaced(array: np.ndarray, right: np.ndarray, tolerance: float) -> str:
    """Return how the numbers of the right result are out of place, or how its rows are scaled; "" if they are not."""
    for axis in range(right.ndim):
        where = f"along axis {axis}" if right.ndim > 1 else "from end to end"
        if right.shape[axis] > 1 and _close(np.flip(array, axis), right, tolerance):
            return f"runs backwards {where}: the last comes first"
        if right.shape[axis] > 2:
            for by, word in ((1, "too early"), (-1, "too late")):
                if _close(np.roll(array, by, axis), right, tolerance):
                    return f"is one place {word} {where}: is an index off by one?"
    for i in range(right.ndim):
        for j in range(i + 1, right.ndim):
            swapped = array.swapaxes(i, j)
            if right.shape[i] > 1 and swapped.shape == right.shape and _close(swapped, right, tolerance):
                return f"has its axes {i} and {j} swapped"
    for axis in (-1, 0):
        if right.ndim < 2 or right.shape[axis] < 3 or not right.any() or not array.any():
            continue
        factor = (array * right).sum(axis=axis, keepdims=True) / np.maximum(
            (array * array).sum(axis=axis, keepdims=True), 1e-300
        )
        name = "row (along the last axis)" if axis == -1 else "column (along axis 0)"
        if _close(array * factor, right, tolerance):
            return f"is wrong by another factor in each {name}: is a division by its sum, mean or length wrong?"
        shift = (right - array).mean(axis=axis, keepdims=True)
        if _close(array + shift, right, tolerance):
            return f"is wrong by another amount in each {name}: is its mean or its largest number subtracted?"
    return ""


def _first_difference(array: np.ndarray, right: np.ndarray, tolerance: float) -> str:
    scale = float(np.max(np.abs(right), initial=0.0)) or 1.0
    wrong = ~np.isclose(array, right, rtol=0.0, atol=tolerance * scale)
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = ", ".join(map(str, index))
    share = f"{int(wrong.sum()):,} of {wrong.size:,} numbers differ"
    return f"at [{place}] it is {array[index]:.5g} and should be {right[index]:.5g} ({share})"
