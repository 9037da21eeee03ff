"""Compare an op's gradient with what the definition of a derivative says.

For y = f(x), a random direction u and a random cotangent v, the number v·(df/dx u) can be computed in two ways: from
two values of f a small step apart, and as (vjp v)·u. If they agree for random u and v, the vjp is right. The
cotangent must be random: with a sum of the outputs instead (v = 1), a softmax whose backward is all zeros would pass.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import DTypeError, GradientError, ShapeError
from ..utils.integers import integer
from .tensor import Tensor, no_grad


def gradcheck(
    fn: Callable[..., Tensor], *inputs: object, tolerance: float = 1e-6, step: float = 1e-5, directions: int = 2,
    seed: int = 0,
) -> float:  # fmt: skip
    """Check the gradient of `fn(*inputs)` with respect to every input, in float64.

    Args:
        fn: takes Tensors, one for each input, and returns one Tensor; the same result each time it is called.
        inputs: arrays or Tensors; they are copied as float64 and never changed.
        tolerance: the largest relative error that passes.
        step: the distance from each input to the two evaluations.
        directions: how many random directions are tried for each input.
        seed: the random generator's, for the directions and the cotangent.

    Returns:
        The largest relative error found: |numeric - analytic| / max(|numeric|, |analytic|, |gradient|), where
        |gradient| is the gradient's Euclidean norm.

    Raises:
        ConfigError: if `directions` is not an integer of 1 or more, so that nothing would be checked.
        DTypeError: if `fn` returns something other than a Tensor.
        GradientError: if this error is larger than `tolerance`; the message names the input and both numbers. Also
            if a gradient has another shape than its input, or the op changes the gradient that it is given.
    """
    directions = integer("directions", directions, 1)
    rng = np.random.default_rng(seed)
    points = [np.array(x.data if isinstance(x, Tensor) else x, dtype=np.float64) for x in inputs]
    leaves = [Tensor(point, requires_grad=True) for point in points]
    out = fn(*leaves)
    if not isinstance(out, Tensor):
        raise DTypeError(f"the function to check must return one Tensor, not {type(out).__name__}")
    cotangent = rng.standard_normal(out.shape)
    handed = cotangent.copy()
    try:
        out.backward(handed)
    except ShapeError as error:
        raise GradientError(str(error)) from error
    if not np.array_equal(handed, cotangent):
        raise GradientError("the op changed the gradient that it was given; other ops may still need it")

    worst = 0.0
    for i, (point, leaf) in enumerate(zip(points, leaves, strict=True)):
        gradient = np.zeros_like(point) if leaf.grad is None else leaf.grad
        for _ in range(directions):
            direction = rng.standard_normal(point.shape)
            analytic = float(np.vdot(gradient, direction))
            numeric = _difference(fn, points, i, direction * step, cotangent) / step
            scale = max(abs(numeric), abs(analytic), float(np.linalg.norm(gradient)))
            gap = abs(numeric - analytic)
            error = gap / scale if scale > 0.0 else gap  # max() may drop a nan, so the gap counts where the scale is 0
            if not error <= tolerance:  # nan must not pass
                raise GradientError(
                    f"the gradient of input {i}, of shape {point.shape}, is off by a relative {error:.1e} "
                    f"(allowed {tolerance:.0e}): along a random direction the op says {analytic:.8g}, "
                    f"finite differences say {numeric:.8g}"
                )
            worst = max(worst, error)
    return worst


def _difference(fn: Callable[..., Tensor], points: list[np.ndarray], i: int, move: np.ndarray, v: np.ndarray) -> float:
    """Return v · (f(x + move) - f(x - move)) / 2, where only input `i` is moved."""

    def project(move: np.ndarray) -> float:
        moved = points[i].copy(order="K")
        moved += move
        with no_grad():
            out = fn(*(Tensor(moved if j == i else point) for j, point in enumerate(points)))
        return float(np.vdot(out.data, v))

    return (project(move) - project(-move)) / 2.0
