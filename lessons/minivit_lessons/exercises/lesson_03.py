"""Checks of lesson 03: the matrix product, softmax and the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, explained
from . import exercise
from .lesson_02 import _sum_of_copies, keeps_float32, same_vjp


@exercise(3)
def softmax_jacobian(attempt: Attempt) -> None:
    """Check against numerical derivatives of a softmax written with math.exp, at two rows of logits."""
    for logits in ([0.5, -1.0, 2.0], [0.0, 0.3, -0.2, 1.1]):
        K = len(logits)
        p = np.array(_softmax(logits))
        right = np.zeros((K, K))
        for i, j in product(range(K), range(K)):
            ends = []
            for step in (1e-5, -1e-5):
                moved = list(logits)
                moved[j] += step
                ends.append(_softmax(moved)[i])
            right[i, j] = (ends[0] - ends[1]) / 2e-5
        outer, diagonal = np.outer(p, p), np.diag(p)
        got = attempt(p)
        own = np.eye(K, dtype=bool)
        shaped = np.shape(got) == (K, K)
        same(
            got,
            right,
            f"softmax_jacobian(p) of {K} probabilities",
            mistakes={
                "p[i] · p[j] is added: subtract it, since a larger logit lowers the other classes": diagonal + outer,
                "the term p[i] on the diagonal is missing: a logit is also in its own numerator": -outer,
                "only the diagonal is filled: every logit changes every probability, through the sum": (
                    np.diag(p * (1 - p))
                ),
                "these are only the K numbers of the diagonal: return a K x K array": p * (1 - p),
                "p[i] is added to whole columns: add it only on the diagonal": p - outer,
                "p[i] is added to whole rows: add it only on the diagonal": p[:, None] - outer,
                "the diagonal has 1 instead of p[i]": np.eye(K) - outer,
                "the minus sign off the diagonal is missing: it is p[i] - p[i]² on it, -p[i] · p[j] elsewhere": (
                    outer + np.diag(p - 2 * p * p)
                ),
                "p * p multiplies element by element: use np.outer(p, p)": diagonal - p * p,
                "p * p multiplies element by element, here in columns: use np.outer(p, p)": diagonal - (p * p)[:, None],
                "p @ p is a single number: use np.outer(p, p)": diagonal - p @ p,
                "p are probabilities already: do not take their softmax": (
                    np.diag(_softmax(p)) - np.outer(_softmax(p), _softmax(p))
                ),
                "this is the diagonal matrix of p alone: subtract np.outer(p, p)": diagonal,
                "this is np.outer(p, p) alone: it is subtracted from np.diag(p)": outer,
                "it is divided by K: np.outer(p, p) is subtracted as it is": diagonal - outer / K,
                "the diagonal is 0: it must be p[i] - p[i]²": np.diag(p * p) - outer,
                "p[i]² is subtracted twice on the diagonal: np.diag(p) holds p alone": np.diag(p * (1 - p)) - outer,
                "1 - p is on the diagonal: it must be p": np.diag(1 - p) - outer,
                "the number of the diagonal is in the last column: after the inner loop j is K - 1, so use J[i, i]": (
                    np.where(np.arange(K) == K - 1, (p * (1 - p))[:, None], -outer)
                ),
                "the term -p[i] · p[j] lacks its p[i]: it is p[:, None] * (np.eye(K) - p)": np.eye(K) - p,
                "only the diagonal is wrong: it must be p[i] · (1 - p[i])": (
                    np.where(own, got, right) if shaped else np.array(np.nan)
                ),
                "the diagonal is right, the other numbers are not: they must be -p[i] · p[j]": (
                    np.where(own, right, got) if shaped else np.array(np.nan)
                ),
            },
            tolerance=1e-6,
        )


@exercise(3)
def matmul(attempt: Attempt) -> None:
    """Check both gradients, of matrices and of stacks that broadcast."""
    shapes = [
        ((3, 3), (3, 3)),  # square: a forgotten transpose raises no error
        ((2, 4), (4, 3)),
        ((3, 3, 3), (3, 3, 3)),
        ((2, 3, 4), (4, 5)),
        ((2, 1, 3, 2), (4, 2, 3)),
    ]
    for a_shape, b_shape in shapes:
        rng = np.random.default_rng(5)
        x, w = rng.standard_normal(a_shape), rng.standard_normal(b_shape)

        def mistakes(dy: np.ndarray, x: np.ndarray = x, w: np.ndarray = w) -> dict[str, dict[str, Any]]:
            xT, wT = x.swapaxes(-1, -2), w.swapaxes(-1, -2)
            ones = np.ones(dy.shape)
            a: dict[str, Callable[[], Any]] = {
                "w is not transposed: dx = dy @ wᵀ": lambda: dy @ w,
                "the factors are swapped: dx = dy @ wᵀ": lambda: wT @ dy,
                "w.T reverses all axes of a stack: transpose the last two with swapaxes(-1, -2)": lambda: dy @ w.T,
                "the gradients of a matrix that was used several times are not summed over the stack": lambda: dy @ wT,
                "dy is missing": lambda: ones @ wT,
                "dy is transposed in place of w: dx = dy @ wᵀ": lambda: dy.swapaxes(-1, -2) @ w,
                "swapaxes(0, 1) swaps an axis of the stack: transpose the last two with swapaxes(-1, -2)": (
                    lambda: _sum_of_copies(dy @ w.swapaxes(0, 1), x.shape)
                ),
                "this is elementwise, dy * wᵀ: the vjp of @ needs @": lambda: dy * wT,
                "the gradients of a and b are swapped": lambda: xT @ dy,
                "np.dot multiplies each matrix by all matrices of the other stack: use @": lambda: np.dot(dy, wT),
                "np.dot multiplies each matrix by all matrices of the other stack, all added up here: use @": (
                    lambda: _sum_of_copies(np.dot(dy, wT), x.shape)
                ),
                "this is elementwise, dy * w: the vjp of @ needs @": lambda: dy * w,
                "the gradients of the copies are averaged: add them up with unbroadcast": (
                    lambda: _sum_of_copies(dy @ wT, x.shape) * x.size / (dy @ wT).size
                ),
            }
            b: dict[str, Callable[[], Any]] = {
                "x is not transposed: dw = xᵀ @ dy": lambda: x @ dy,
                "the factors are swapped: dw = xᵀ @ dy": lambda: dy @ xT,
                "x.T reverses all axes of a stack: transpose the last two with swapaxes(-1, -2)": lambda: x.T @ dy,
                "the gradients of a matrix that was used several times are not summed over the stack": lambda: xT @ dy,
                "dy is missing": lambda: xT @ ones,
                "dy is transposed in place of x: dw = xᵀ @ dy": lambda: x @ dy.swapaxes(-1, -2),
                "this is dyᵀ @ x, the transposed gradient: dw = xᵀ @ dy": lambda: dy.swapaxes(-1, -2) @ x,
                "the gradients of the copies are averaged: add them up with unbroadcast": (
                    lambda: _sum_of_copies(xT @ dy, w.shape) * w.size / (xT @ dy).size
                ),
            }
            return {"a": _possible(a), "b": _possible(b)}

        what = f"matmul(a, b) of shapes {a_shape} and {b_shape}"
        swap = "NumPy's transpose takes all axes in their new order: swap the last two with swapaxes(-1, -2)"
        order = "check the order of the factors and the transposes: dx = dy @ wᵀ, dw = xᵀ @ dy"
        reasons = {
            "(3,3) (2,)": "unbroadcast takes a shape: unbroadcast(dx, x.shape)",
            "cannot reshape": "add up over the stack with unbroadcast, not with reshape",
            "axes don't match array": swap,
            "mismatch in its core dimension": order,
            "could not be broadcast": order,
            "with respect to a is wrong": "it is dy @ wᵀ",
            "with respect to b is wrong": "it is xᵀ @ dy",
        }
        tensor = attempt.find("Tensor")
        forward: dict[str, Callable[[], Any]] = {
            "np.dot multiplies each matrix by all of the other stack: use x @ w": lambda x=x, w=w: np.dot(x, w),
            "this is elementwise, x * w: use x @ w": lambda x=x, w=w: x * w,
            "the factors are swapped: x @ w": lambda x=x, w=w: w @ x,
            "w is transposed: x @ w": lambda x=x, w=w: x @ w.swapaxes(-1, -2),
        }
        with explained(reasons):
            same(attempt(tensor(x), tensor(w)), x @ w, what, _possible(forward))
            same_vjp(attempt, attempt, [x, w], ["a", "b"], what, mistakes)
    constant = np.ones((3, 2))
    keeps_float32(attempt, lambda a: attempt(a, constant), (2, 3), "matmul(a, b)")


@exercise(3)
def softmax(attempt: Attempt) -> None:
    """Check probabilities along every axis, large logits, and the gradient."""
    tensor = attempt.find("Tensor")
    x = np.random.default_rng(6).standard_normal((2, 3, 3))
    for axis in (-1, 1, 0):
        right = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            line = [slice(None) if i == axis % 3 else place for i, place in enumerate(index)]
            right[index] = math.exp(x[index]) / sum(math.exp(value) for value in x[tuple(line)])
        e = np.exp(x)
        below = np.exp(x - x.max(axis=axis, keepdims=True))
        reasons = {
            "'numpy.ndarray' object has no attribute 'exp'": "x is an array: np.exp(x)",
            "only length-1 arrays": "math.exp takes a single number: use np.exp",
            "only 0-dimensional arrays": "math.exp takes a single number: use np.exp",
            "could not be broadcast": "is keepdims=True missing, so that the axis is lost?",
        }
        with explained(reasons):
            got = attempt(tensor(x), axis=axis)
        complain_of_array(got, "softmax", "pass it to record with its vjp, and return what record returns")
        same(
            got,
            right,
            f"softmax(x, axis={axis})",
            mistakes={
                "it is divided by the sum over everything: sum only over `axis`": e / e.sum(),
                "the sum is over the last axis, whatever `axis` says": e / e.sum(axis=-1, keepdims=True),
                "it is divided by the sum over everything: sum only over `axis` with keepdims=True": (
                    below / below.sum()
                ),
                "the sum of exp is over the last axis, whatever `axis` says": below / below.sum(axis=-1, keepdims=True),
                "the sign in exp is wrong: a larger logit needs a larger probability": (
                    (1 / e) / (1 / e).sum(axis=axis, keepdims=True)
                ),
                "these are powers of 2: take exp": 2.0**x / (2.0**x).sum(axis=axis, keepdims=True),
                "these are powers of 10: take exp": 10.0**x / (10.0**x).sum(axis=axis, keepdims=True),
                "this is exp(x): divide it by its sum": e,
                "this is exp(x - max): divide it by its sum": below,
                "these are the logarithms of the probabilities": np.log(right),
                "exp is divided by its largest number: divide it by its sum": e / e.max(axis=axis, keepdims=True),
                "exp is divided by its mean: divide it by its sum": e / e.mean(axis=axis, keepdims=True),
                "this is the sigmoid of each number: divide exp by its sum over the axis": 1 / (1 + 1 / e),
                "softmax is taken twice: divide exp by its sum only once": (
                    np.exp(right) / np.exp(right).sum(axis=axis, keepdims=True)
                ),
                "the logits are squared instead of taking exp": x * x / (x * x).sum(axis=axis, keepdims=True),
                "the logits themselves are divided by their sum: take exp first": x / x.sum(axis=axis, keepdims=True),
                **{
                    f"the logits are {word} first: take exp of the logits themselves": (
                        np.exp(x * scale) / np.exp(x * scale).sum(axis=axis, keepdims=True)
                    )
                    for word, scale in (
                        ("halved", 0.5),
                        ("doubled", 2.0),
                        ("divided by √3", 3**-0.5),
                        ("divided by 3", 1 / 3),
                    )
                },
            },
        )
    large = np.array([[1000.0, 999.0, 0.0], [1000.0, 1000.0, 1000.0]])
    got = attempt(tensor(large))
    if not np.isfinite(got.data).all():
        raise Complaint(
            "softmax of logits as large as 1000 holds nan: exp overflows; subtract the largest logit of each row first"
        )
    same(got, np.array([_softmax([1.0, 0.0, -999.0]), [1 / 3] * 3]), "softmax of logits of 1000")
    alone = np.array([[5000.0, 0.0, 0.0, 0.0]])
    if not np.isfinite(attempt(tensor(alone)).data).all():
        raise Complaint(
            "softmax of the logits 5000, 0, 0, 0 holds nan: exp overflows; subtract the largest logit of each row, "
            "not its mean"
        )
    uneven = np.array([[0.0, 1.0], [-2000.0, -2001.0]])
    got = attempt(tensor(uneven))
    same(
        got if np.isfinite(got.data).all() else np.zeros((2, 2)),
        np.array([_softmax([0.0, 1.0]), _softmax([1.0, 0.0])]),
        "softmax of one row near 0 and one near -2000",
        mistakes={
            "the largest logit of the whole array is subtracted, so the second row underflows: use each row's own": (
                np.zeros((2, 2))
            )
        },
    )
    single = attempt(tensor(np.ones((2, 2), np.float32)))
    same(single, np.full((2, 2), 0.5, np.float32), "softmax of float32 logits")
    for axis in (-1, 0):
        points = np.random.default_rng(8).standard_normal((3, 3))
        e = np.exp(points)
        p = e / e.sum(axis=axis, keepdims=True)
        comma = "the vjp must return a tuple, `return (dx,)`, with the comma"
        reasons = {
            "zip() argument": comma,
            "made from nothing": "Tensor(p) forgets where p came from: return record(p, (a,), vjp)",
            "KeyError: Tensor": "the inputs of record are a tuple: (a,)",
            "(9,9)": "np.diag and np.outer make one matrix of all rows: use p * (dp - Σ p dp)",
            "is different from 9": "np.diag and np.outer make one matrix of all rows: use p * (dp - Σ p dp)",
            "could not be broadcast": "is keepdims=True missing in the vjp?",
            "with respect to x is wrong: at": "it is p · (dp - Σ p dp)",
        }
        with explained(reasons):
            _softmax_gradients(attempt, points, p, axis)


def _softmax_gradients(attempt: Attempt, points: np.ndarray, p: np.ndarray, axis: int) -> None:
    """Check the gradient of softmax over one axis."""
    same_gradients(
        attempt,
        [points],
        ["x"],
        f"softmax(x, axis={axis})",
        mistakes={
            "x": {
                "only the Jacobian's diagonal is used, dp · p · (1 - p): the terms -p[i] · p[j] are missing": (
                    lambda dp, p=p: dp * p * (1 - p)
                ),
                "the term - p · Σ p dp is missing: every logit changes every probability, through the sum": (
                    lambda dp, p=p: dp * p
                ),
                "the sum is Σ dp: it must be Σ p dp": (
                    lambda dp, p=p, axis=axis: p * (dp - dp.sum(axis=axis, keepdims=True))
                ),
                "the sum is over everything: sum only over `axis`": lambda dp, p=p: p * (dp - (p * dp).sum()),
                "the sum is over the last axis, whatever `axis` says": (
                    lambda dp, p=p: p * (dp - (p * dp).sum(axis=-1, keepdims=True))
                ),
                "the sum broadcasts along the wrong axis: keepdims=True is missing": (
                    lambda dp: p * (dp - (p * dp).sum(axis=axis))
                ),
                "the gradient is dp itself: multiply it by the Jacobian": lambda dp: dp,
                "the sign is wrong: dx = p · (dp - Σ p dp)": (
                    lambda dp: p * ((p * dp).sum(axis=axis, keepdims=True) - dp)
                ),
                "the mean of p dp is subtracted: subtract its sum": (
                    lambda dp: p * (dp - (p * dp).mean(axis=axis, keepdims=True))
                ),
                "the mean of dp is subtracted: subtract Σ p dp, the mean weighted with p": (
                    lambda dp: p * (dp - dp.mean(axis=axis, keepdims=True))
                ),
                "the largest dp is subtracted: subtract Σ p dp": (
                    lambda dp: p * (dp - dp.max(axis=axis, keepdims=True))
                ),
                "the factor p in front is missing: dx = p · (dp - Σ p dp)": (
                    lambda dp, p=p, axis=axis: dp - (p * dp).sum(axis=axis, keepdims=True)
                ),
                "this is the gradient of log softmax, dp - p · Σ dp: it must be p · (dp - Σ p dp)": (
                    lambda dp, p=p, axis=axis: dp - p * dp.sum(axis=axis, keepdims=True)
                ),
            }
        },
        options={"axis": axis},
    )


@exercise(3)
def cross_entropy(attempt: Attempt) -> None:
    """Check the mean of -sum(t log p), label smoothing, extreme logits and the gradient."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(9)
    x, labels = rng.standard_normal((3, 4)), np.array([2, 0, 3])
    B, K = x.shape
    right = sum(_loss(row, label) for row, label in zip(x, labels, strict=True)) / B
    p = np.array([_softmax(row) for row in x])
    chosen = p[np.arange(B), labels]
    shifted, by_column = x - x.max(axis=1, keepdims=True), x - x.max(axis=0)
    reasons = {
        "could not be broadcast": "is keepdims=True missing, so that the axis of the classes is lost?",
        "'numpy.ndarray' object has no attribute 'exp'": "an array has no methods exp and log: use np.exp and np.log",
        "'numpy.ndarray' object has no attribute 'log'": "an array has no methods exp and log: use np.exp and np.log",
        "out of bounds": "labels are columns, one for each row: log_p[np.arange(B), labels]",
        "only length-1 arrays": "the functions of math take a single number: use np.exp and np.log",
        "only 0-dimensional arrays": "the functions of math take a single number: use np.exp and np.log",
    }
    with explained(reasons):
        got = attempt(tensor(x), labels)
    if isinstance(got, float | np.floating | np.ndarray):
        raise Complaint("cross_entropy returns plain numbers: pass the loss to record with its vjp")
    same(
        got,
        right,
        "cross_entropy(logits, labels)",
        mistakes={
            "the minus sign is missing: the logarithm of a probability is negative": -right,
            "this is the sum over the batch: divide by B": right * B,
            "it is divided by K too: sum over classes, and average only over images": right / K,
            "this is the mean of 1 - p: take -log p": np.mean(1 - chosen),
            "this is the mean probability: take -log of each probability first": np.mean(chosen),
            "this is the logarithm of the mean: take the mean of the logarithms": -math.log(np.mean(chosen)),
            "this is the logarithm to base 10: use the natural logarithm": -np.mean(np.log10(chosen)),
            "this is the logarithm to base 2: use the natural logarithm": -np.mean(np.log2(chosen)),
            "softmax ran over the batch: it must run over the classes": -np.mean(
                np.log(np.exp(x) / np.exp(x).sum(axis=0))[np.arange(B), labels]
            ),
            "these are the losses of the images: take their mean": -np.log(chosen),
            "the logs of all classes are added: keep only that of the right class": -np.log(p).sum() / B,
            "the logs of all classes are averaged: keep only that of the right class": -np.log(p).mean(),
            "this is a squared error: take -log of the probability of the right class": (
                ((p - np.eye(K)[labels]) ** 2).sum() / B
            ),
            "this is a mean squared error: take -log of the probability of the right class": (
                ((p - np.eye(K)[labels]) ** 2).mean()
            ),
            "this is minus the right logit alone: add the log of the sum of exp": -x[np.arange(B), labels].mean(),
            "the log of the sum of exp is missing its minus sign: log p = x - log Σ exp(x)": -np.mean(
                x[np.arange(B), labels] + np.log(np.exp(x).sum(axis=1))
            ),
            "softmax is taken twice: the logits go straight into the loss": -np.mean(
                np.log(np.exp(p) / np.exp(p).sum(axis=1, keepdims=True))[np.arange(B), labels]
            ),
            "the log is missing: the loss is -log p, not -p": -np.mean(chosen),
            "[:, labels] takes all these columns for every image: pair them, [np.arange(B), labels]": -np.mean(
                np.log(p)[:, labels]
            ),
            "the targets of all images are set in every row: pair them, target[np.arange(B), labels]": (
                -np.log(p)[:, labels].sum() / B
            ),
            "the sum of exp runs over the whole batch: sum over the classes, axis=-1": -np.mean(
                x[np.arange(B), labels] - np.log(np.exp(x).sum())
            ),
            "the largest logit of each column is subtracted: take that of each row, axis=-1": -np.mean(
                np.log(np.exp(by_column) / np.exp(by_column).sum(axis=1, keepdims=True))[np.arange(B), labels]
            ),
            "the sum of the logs is taken: take the log of the sum": -np.mean(
                (shifted - shifted.sum(axis=1, keepdims=True))[np.arange(B), labels]
            ),
            **{
                f"log Σ exp(x) uses {name}: use np.log": -np.mean(
                    (shifted - log(np.exp(shifted).sum(axis=1, keepdims=True)))[np.arange(B), labels]
                )
                for name, log in (("np.log2", np.log2), ("np.log10", np.log10), ("np.log1p", np.log1p))
            },
            "the logit is divided by the log of the sum: subtract it": -np.mean(
                (shifted / np.log(np.exp(shifted).sum(axis=1, keepdims=True)))[np.arange(B), labels]
            ),
            **{f"only image {b} counts: take the mean of all losses": -np.log(chosen[b]) for b in range(B)},
            **{
                f"the loss of class label {sign} 1 is taken: labels count from 0": -np.mean(
                    np.log(p)[np.arange(B), (labels + move) % K]
                )
                for sign, move in (("+", 1), ("-", -1))
            },
            "each logit goes through a sigmoid: use softmax over the classes": float(
                np.sum(np.log1p(np.exp(-x)) + x) - x[np.arange(B), labels].sum()
            )
            / B,
        },
    )
    s = 0.1
    smoothed = sum(_loss(row, label, s) for row, label in zip(x, labels, strict=True)) / B
    others = -np.log(p).sum() / B
    same(
        attempt(tensor(x), labels, s),
        smoothed,
        "cross_entropy(logits, labels, smoothing=0.1)",
        mistakes={
            "smoothing is ignored": right,
            "s is spread over the other classes only: spread it over all K, the right one too": (
                (1 - s) * right + s / (K - 1) * (others - right)
            ),
            "each class gets s: it must get s / K": (1 - s) * right + s * others,
            "the right class keeps 1: its target is (1 - s) + s / K": right + s / K * others,
            "s is subtracted from the right class, but not spread over the classes": (1 - s) * right,
            "the right class gets 1 - s: its target is (1 - s) + s / K": ((1 - s) * right + s / K * (others - right)),
        },
    )
    _extremes(attempt, tensor)
    single = tensor(x.astype(np.float32), requires_grad=True)
    loss = attempt(single, labels, s)
    reasons = {
        "zip() argument": "the vjp must return a tuple, `return (dx,)`, with the comma",
        "made from nothing": "a Tensor made of plain numbers forgets the logits: return record(loss, (logits,), vjp)",
        "KeyError: Tensor": "the inputs of record are a tuple: (logits,)",
    }
    with explained(reasons):
        attempt.call(_backward, loss, what="the backward pass of cross_entropy")
    if loss.data.dtype != np.float32 or (single.grad is not None and single.grad.dtype != np.float32):
        raise Complaint(
            "cross_entropy of float32 logits gives a float64 loss or gradient: "
            "make the targets with x.dtype, as in np.full(shape, value, x.dtype)"
        )
    for s in (0.0, 0.2):
        target = np.full((B, K), s / K)
        target[np.arange(B), labels] += 1 - s
        same_gradients(
            Attempt("cross_entropy", lambda a, s=s: attempt(a, labels, s), attempt.names),
            [x],
            ["logits"],
            f"cross_entropy(logits, labels, {s})",
            mistakes={
                "logits": {
                    "it is not divided by B: the loss is a mean over the batch": lambda dy, t=target: dy * (p - t),
                    "the sign is wrong: it is probability minus target": lambda dy, t=target: dy * (t - p) / B,
                    "dy is missing: it need not be 1": lambda dy, t=target: (p - t) / B,
                    "this is the probability: subtract the target": lambda dy: dy * p / B,
                    "the log-probability is used: it is probability minus target": (
                        lambda dy, t=target: dy * (np.log(p) - t) / B
                    ),
                    "the logit is used: it is probability minus target": lambda dy, t=target: dy * (x - t) / B,
                    "it is divided by K too: divide by B alone": lambda dy, t=target: dy * (p - t) / (B * K),
                    "it ignores the smoothing": lambda dy: dy * (p - np.eye(K)[labels]) / B,
                    "this is -t / p, the gradient of the logarithm: go through softmax too": (
                        lambda dy, t=target: -dy * t / p / B
                    ),
                    "only the right class gets a gradient: all need it": lambda dy, t=target: dy * (p - t) * t / B,
                }
            },
        )


@exercise(3, stretch=True)
def mix_pixels(attempt: Attempt) -> None:
    """Check two shapes against a loop, then that the line uses only @, reshape and transpose."""
    for N, d, C in ((2, 4, 3), (2, 3, 3), (1, 2, 5)):
        rng = np.random.default_rng(11)
        x, w = rng.standard_normal((N, d * C)), rng.standard_normal((d, d))
        right = np.zeros(x.shape)
        for row, channel in product(range(N), range(C)):
            right[row, channel::C] = x[row, channel::C] @ w
        pixels = x.reshape(N, d, C)
        by_channel = pixels.swapaxes(1, 2) @ w
        mistakes: dict[str, Callable[[], Any]] = {
            "a reshape to (N, C, d) takes neighbours for a channel: reshape to (N, d, C), then transpose": (
                lambda x=x, w=w, N=N, d=d, C=C: (x.reshape(N, C, d) @ w).reshape(x.shape)
            ),
            "the result is sorted by channel: transpose back before the last reshape": (
                lambda y=by_channel, x=x: y.reshape(x.shape)
            ),
            "this is w @ v, and not v @ w: transpose w": lambda x=x, y=pixels, w=w: (w @ y).reshape(x.shape),
            "this is w @ v, and not v @ w: take w, not its transpose": (
                lambda x=x, y=pixels, w=w: (y.swapaxes(1, 2) @ w.T).swapaxes(1, 2).reshape(x.shape)
            ),
            "the last reshape to (N, d C) is missing": lambda y=by_channel: y.swapaxes(1, 2),
            "the transpose back and the last reshape are missing": lambda y=by_channel: y,
            "a neighbour is taken for a channel, and the result is transposed": (
                lambda x=x, w=w, N=N, d=d, C=C: (x.reshape(N, C, d) @ w).swapaxes(1, 2).reshape(x.shape)
            ),
            "x is returned unchanged": lambda x=x: x,
        }
        apart = "w has d rows: split the columns into pixels and channels, (N, d, C), then transpose(0, 2, 1), not .T"
        reasons = {
            "axes don't match array": "transpose takes the order of all axes, such as transpose(0, 2, 1)",
            f"is different from {C})": "@ works on the last axis: transpose the pixels there, and back after it",
            "mismatch in its core dimension": apart,
        }
        with explained(reasons):
            got = attempt(x, w, N, d, C)
        same(got, right, f"mix_pixels(x, w, {N}, {d}, {C})", _possible(mistakes))
    uses_only(attempt, "@", "reshape", "transpose", "*", "-")


# -- what they share ------------------------------------------------------------------------------------


def _softmax(row: Any) -> list[float]:
    """Return the softmax of one row by its definition, for logits whose exp does not overflow."""
    e = [math.exp(value) for value in row]
    return [value / sum(e) for value in e]


def _loss(row: Any, label: int, smoothing: float = 0.0) -> float:
    """Return the cross-entropy of one image by its definition."""
    logs = [math.log(value) for value in _softmax(row)]
    return -(1 - smoothing) * logs[label] - smoothing / len(logs) * sum(logs)


def _extremes(attempt: Attempt, tensor: Any) -> None:
    for logits, label, loss in (([1000.0, 0.0], 0, 0.0), ([1000.0, 0.0], 1, 1000.0), ([-900.0, -901.0], 0, None)):
        loss = math.log(1 + math.exp(-1)) if loss is None else loss
        got = attempt(tensor(np.array([logits])), np.array([label]))
        if not np.isfinite(got.data).all():
            raise Complaint(
                f"cross_entropy of logits {logits} is {float(got.data):g} instead of {loss:.4g}: exp overflows, or a "
                "probability underflows to 0 before its log; work with x - max and the log of the sum"
            )
        if label == 1 and 1.0 < float(got.data) < 500.0:
            raise Complaint(
                "cross_entropy: a small number is added to the probability, or it is clipped, before its log: "
                "compute log p from the logits, x - max minus the log of the sum"
            )
        same(got, loss, f"cross_entropy of logits {logits} and label {label}")
    alone = attempt(tensor(np.array([[5000.0, 0.0, 0.0]])), np.array([0]))
    if not np.isfinite(alone.data).all():
        raise Complaint("cross_entropy of logits 5000, 0, 0: exp overflows; subtract the largest logit, not the mean")
    uneven = attempt(tensor(np.array([[0.0, 1.0], [-2000.0, -2001.0]])), np.array([1, 0]))
    if not np.isfinite(uneven.data).all():
        raise Complaint(
            "cross_entropy of one row near 0 and one near -2000: the largest logit of the whole array is subtracted: "
            "use each row's own"
        )


def _backward(loss: Any) -> bool:
    loss.backward()
    return True


def _possible(results: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return the known mistakes that raise no error with these shapes."""
    possible = {}
    for sentence, compute in results.items():
        try:
            possible[sentence] = compute()
        except (ValueError, IndexError):
            continue
    return possible
