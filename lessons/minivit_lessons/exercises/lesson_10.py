"""Checks of lesson 10: optimisers, clipping, learning-rate schedules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..compare import same
from ..puzzles import uses_only
from ..trial import Attempt, Complaint, explained
from . import exercise

ROOT_FIRST = "the root is taken before the correction: correct the mean of squares first"


@exercise(10)
def sgd_step(attempt: Attempt) -> None:
    """Check one step, then four, whose weighted sum of gradients is written out."""
    rng = np.random.default_rng(0)
    w, g, m = rng.standard_normal((3, 2, 3))
    what = "sgd_step(w, g, m, lr=0.1, momentum=0.8)"
    got = _parts(attempt(w, g, m, 0.1, 0.8), ("w", "m"), what)
    sums = np.array([[0.8 * m[i, j] + g[i, j] for j in range(3)] for i in range(2)])
    same(
        got[1],
        sums,
        f"the new m of {what}",
        mistakes={
            "this is the old m: return the new one": m,
            "the gradient is multiplied by 1 - momentum: add it unchanged to this sum": 0.8 * m + 0.2 * g,
            "it includes the learning rate: use that only in the step of w": 0.8 * m + 0.1 * g,
            "the gradient is missing": 0.8 * m,
            "the old m is not multiplied by momentum": m + g,
            "momentum multiplies the gradient: it must multiply the old m": m + 0.8 * g,
            "momentum multiplies both: it must multiply only the old m": 0.8 * (m + g),
            "the old m is multiplied by 1 - momentum: multiply it by momentum": 0.2 * m + g,
            "this is a mean with momentum and 1 - momentum swapped: add g to momentum * m": 0.2 * m + 0.8 * g,
            "the gradient is subtracted: add it to momentum * m": 0.8 * m - g,
            "this is the gradient: add momentum times the old m": g,
            "sign and learning rate are in m: m is momentum * m + g, and w - lr * m uses it": 0.8 * m - 0.1 * g,
            "momentum is written as 0.9: use the argument": 0.9 * m + g,
            "this is the new w: return w, m in this order": w - 0.1 * sums,
        },
    )
    same(
        got[0],
        w - 0.1 * sums,
        f"the new w of {what}",
        mistakes={
            "the step is added: subtract it": w + 0.1 * sums,
            "the step uses g: use the new m": w - 0.1 * g,
            "the step uses the old m: use the new one": w - 0.1 * m,
            "the learning rate is missing": w - sums,
            "this is the step: subtract it from w": 0.1 * sums,
            "this is Nesterov's momentum, which adds g once more: step along m alone": w - 0.1 * (0.8 * sums + g),
            "the old weights are multiplied by the learning rate too: subtract lr * m": (w - sums) * 0.1,
            "the step includes momentum once more: subtract lr * m": w - 0.1 * 0.8 * sums,
            "this is the old w": w,
        },
    )
    gradients = rng.standard_normal((4, 5))
    at, running = np.zeros(5), np.zeros(5)
    for g in gradients:
        at, running = attempt(at, g, running, 0.1)
    faded = sum(0.9 ** (t - i) * gradients[i] for t in range(4) for i in range(t + 1))
    same(at, -0.1 * faded, "w after four steps of sgd_step, momentum 0.9")
    _keeps_float32(attempt, 3, (0.1,), what="sgd_step")


@exercise(10)
def adam_step(attempt: Attempt) -> None:
    """Check one step number by number, with two settings, then the first steps by their weighted means."""
    rng = np.random.default_rng(1)
    w, g, mean, spread = rng.standard_normal((4, 2, 3))
    square = spread**2 + 0.1
    _adam_once(attempt, w, g, mean, square, step=3, lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    _adam_once(attempt, w, g, mean, square, step=2, lr=0.3, betas=(0.7, 0.95), eps=0.5)

    gradients = rng.standard_normal((3, 4))
    at, first, second = np.zeros(4), np.zeros(4), np.zeros(4)
    moved = np.zeros(4)
    for t, gradient in enumerate(gradients, start=1):
        at, first, second = attempt(at, gradient, first, second, t, 0.1)
        fading = 0.9 ** np.arange(t)[::-1], 0.999 ** np.arange(t)[::-1]  # weights of the first gradient to the last
        usual = np.average(gradients[:t], axis=0, weights=fading[0])
        size = np.sqrt(np.average(gradients[:t] ** 2, axis=0, weights=fading[1]))
        moved -= 0.1 * usual / size
    same(at, moved, "w after the first three steps of adam_step", tolerance=1e-5)
    _keeps_float32(attempt, 4, (2, 0.1), what="adam_step")


def _adam_once(
    attempt: Attempt,
    w: np.ndarray,
    g: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Check one call, number by number."""
    b1, b2 = betas
    what = f"adam_step(..., step={step}, lr={lr}, betas={betas}, eps={eps:g})"
    with explained(
        {
            "for ^": "a power is ** in Python",
            "no attribute 'sqrt'": "these are arrays: use np.sqrt",
            "converted to Python scalars": "use np.sqrt for arrays",
        }
    ):
        got = attempt(w, g, mean, square, step, lr, betas=betas, eps=eps)
    got = _parts(got, ("w", "mean", "square"), what)
    right: list[list[float]] = [[], [], []]
    for w_i, g_i, mean_i, square_i in zip(*(a.ravel().tolist() for a in (w, g, mean, square)), strict=True):
        first, second = b1 * mean_i + (1.0 - b1) * g_i, b2 * square_i + (1.0 - b2) * g_i**2
        size = math.sqrt(second / (1.0 - b2**step)) + eps
        for values, value in zip(right, (w_i - lr * first / (1.0 - b1**step) / size, first, second), strict=True):
            values.append(value)
    new_w, m, v = (np.array(values).reshape(w.shape) for values in right)
    m_hat, v_hat = m / (1 - b1**step), v / (1 - b2**step)
    if not np.isfinite(np.asarray(got[2], float)).all():
        raise Complaint(f"the new square of {what} holds nan: it averages g * g, without a root")
    if not np.isfinite(np.asarray(got[0], float)).all():
        raise Complaint(f"the new w of {what} holds nan: is a root of a negative number taken? It is 1 - beta ** step")
    same(
        got[1],
        m,
        f"the new mean of {what}",
        mistakes={
            "this is the corrected mean: return the mean itself, and use the correction only in the step": m_hat,
            "this is the old mean": mean,
            "this is the new square: return w, mean, square in this order": v,
            "the gradient is not multiplied by 1 - beta1": b1 * mean + g,
            "beta1 and beta2 are swapped": b2 * mean + (1 - b2) * g,
            "beta1 and 1 - beta1 are swapped": (1 - b1) * mean + b1 * g,
            "it includes the learning rate: use that only in the step of w": b1 * mean + (1 - b1) * lr * g,
            "the old mean is not multiplied by beta1": mean + (1 - b1) * g,
            "this is the gradient: average it with the old mean": g,
            "this is the mean divided by 1 - beta1: return the mean itself": m / (1 - b1),
            "this is the new w: return w, mean, square in this order": new_w,
        },
    )
    same(
        got[2],
        v,
        f"the new square of {what}",
        mistakes={
            "this is the corrected mean of squares: return the mean itself": v_hat,
            "this is the old square": square,
            "the gradient is not squared": b2 * square + (1 - b2) * g,
            "it averages |g|: average the square of g": b2 * square + (1 - b2) * np.abs(g),
            "it averages the square of the new w: average the square of g": b2 * square + (1 - b2) * new_w**2,
            "it averages the square of w: average the square of g": b2 * square + (1 - b2) * w**2,
            "it includes the root: return the mean of the squares": np.sqrt(v),
            "it averages the square of the mean: average the square of g": b2 * square + (1 - b2) * m**2,
            "beta1 and beta2 are swapped": b1 * square + (1 - b1) * g**2,
            "the squared gradient is not multiplied by 1 - beta2": b2 * square + g**2,
            "the old mean of squares is not multiplied by beta2": square + (1 - b2) * g**2,
            "the old mean of squares is squared again: only g is squared": b2 * square**2 + (1 - b2) * g**2,
            "1 - beta2 is squared too: square g alone": b2 * square + ((1 - b2) * g) ** 2,
            "beta2 and 1 - beta2 are swapped": (1 - b2) * square + b2 * g**2,
        },
    )
    root, later, sooner = np.sqrt(v_hat), b1 ** (step + 1), b1 ** (step - 1)
    same(
        got[0],
        new_w,
        f"the new w of {what}",
        mistakes={
            "the step is added: subtract it": w + lr * m_hat / (root + eps),
            "neither mean is corrected for its start at 0": w - lr * m / (np.sqrt(v) + eps),
            "the mean of squares is not corrected for its start at 0": w - lr * m_hat / (np.sqrt(v) + eps),
            "the mean of gradients is not corrected for its start at 0": w - lr * m / (root + eps),
            "the root is missing: divide by the root of the mean of squares": w - lr * m_hat / (v_hat + eps),
            ROOT_FIRST: w - lr * m_hat / (np.sqrt(v) / (1 - b2**step) + eps),
            "epsilon is under the root: add it to the root": w - lr * m_hat / np.sqrt(v_hat + eps),
            "epsilon is missing: a gradient of 0 would divide by 0": w - lr * m_hat / root,
            "the step uses g: use the corrected mean": w - lr * g / (root + eps),
            "the correction uses step + 1: use step, which begins at 1": (
                w - lr * m / (1 - later) / (np.sqrt(v / (1 - b2 ** (step + 1))) + eps)
            ),
            "the correction uses step - 1: use step, which begins at 1": (
                w - lr * m / (1 - sooner) / (np.sqrt(v / (1 - b2 ** (step - 1))) + eps)
            ),
            "the correction multiplies by 1 - beta ** step: divide by it": (
                w - lr * m * (1 - b1**step) / (np.sqrt(v * (1 - b2**step)) + eps)
            ),
            "the learning rate is missing": w - m_hat / (root + eps),
            "the means are corrected by 1 - beta: correct by 1 - beta ** step": (
                w - lr * m / (1 - b1) / (np.sqrt(v / (1 - b2)) + eps)
            ),
            "the mean of gradients is corrected by 1 - beta1: correct by 1 - beta1 ** step": (
                w - lr * m / (1 - b1) / (root + eps)
            ),
            "the mean of squares is corrected by 1 - beta2: correct by 1 - beta2 ** step": (
                w - lr * m_hat / (np.sqrt(v / (1 - b2)) + eps)
            ),
            "the means are corrected by (1 - beta) ** step: correct by 1 - beta ** step": (
                w - lr * m / (1 - b1) ** step / (np.sqrt(v / (1 - b2) ** step) + eps)
            ),
            "the mean of squares is squared: take its root": w - lr * m_hat / (v_hat**2 + eps),
            "epsilon is added to the weight: add it to the root, with parentheses": w - lr * m_hat / root + eps,
            "the means are corrected by 1 - beta * step: the power beta ** step is needed": (
                w - lr * m / (1 - b1 * step) / (np.sqrt(np.abs(v / (1 - b2 * step))) + eps)
            ),
            "the means are corrected by beta ** step: correct by 1 - beta ** step": (
                w - lr * m / b1**step / (np.sqrt(v / b2**step) + eps)
            ),
            "both means are corrected with beta1: correct square with beta2": (
                w - lr * m_hat / (np.sqrt(v / (1 - b1**step)) + eps)
            ),
            "the betas of the corrections are swapped: correct mean with beta1, square with beta2": (
                w - lr * m / (1 - b2**step) / (np.sqrt(v / (1 - b1**step)) + eps)
            ),
            "the step multiplies by the root: divide by it": w - lr * m_hat * (root + eps),
            "epsilon is added to the whole quotient: add it to the root, with parentheses": (
                w - (lr * m_hat / root + eps)
            ),
            "this is the step: subtract it from w": lr * m_hat / (root + eps),
            "the step is divided twice: divide once by the root": w - lr * m_hat / (root + eps) ** 2,
            "this is the old w": w,
        },
    )


@exercise(10)
def adamw_step(attempt: Attempt) -> None:
    """Check the first step, where Adam moves by lr along the gradient's sign, and the state after it."""
    rng = np.random.default_rng(2)
    w, g = rng.standard_normal((2, 2, 3))
    lr, decay, zeros = 0.1, 0.3, np.zeros((2, 3))
    what = f"adamw_step(..., step=1, lr={lr}, decay={decay})"
    got = _parts(attempt(w, g, zeros, zeros, 1, lr, decay), ("w", "mean", "square"), what)
    means, squares = 0.1 * g, 0.001 * g**2
    pulled = g + decay * w
    inside = "the decay is part of the gradient: shrink the weight itself and keep the gradient unchanged"
    same(
        got[1],
        means,
        f"the new mean of {what}",
        {inside: 0.1 * pulled, "this is the gradient, not its mean": g},
    )
    same(got[2], squares, f"the new square of {what}", {inside: 0.001 * pulled**2})
    sign = np.sign(g)
    same(
        got[0],
        w - lr * decay * w - lr * sign,
        f"the new w of {what}",
        mistakes={
            "the decay is missing": w - lr * sign,
            "the decay is not multiplied by the learning rate": w - decay * w - lr * sign,
            "the weights grow: subtract the decay": w + lr * decay * w - lr * sign,
            "all weights lose the same amount: subtract lr * decay * w": w - lr * decay - lr * sign,
            "the decay comes after the step: shrink the weight before the step": ((w - lr * sign) * (1 - lr * decay)),
            "the step of Adam is missing: this is only the decay": w - lr * decay * w,
            "the weight is multiplied by lr * decay: multiply it by 1 - lr * decay": lr * decay * w - lr * sign,
            "the weight is multiplied by decay: multiply it by 1 - lr * decay": decay * w - lr * sign,
            "the weight is multiplied by 1 - lr: multiply it by 1 - lr * decay": (1 - lr) * w - lr * sign,
            "the decay multiplies the gradient: it must multiply the weight": w - lr * decay * g - lr * sign,
            "the weight is divided by 1 + lr * decay: multiply it by 1 - lr * decay": w / (1 + lr * decay) - lr * sign,
            "the decay is multiplied by the square of the weight: subtract lr * decay * w": (
                w - lr * decay * w**2 - lr * sign
            ),
            "negative weights grow: subtract lr * decay * w, with its sign": w - lr * decay * np.abs(w) - lr * sign,
            "the decay is applied twice": w - 2 * lr * decay * w - lr * sign,
            "the decay changes the learning rate of Adam's step: it must shrink the weight": w
            - lr * (1 - decay) * sign,
            "the decay is added to the learning rate: it must shrink the weight": w - (lr + decay) * sign,
            "the decay acts before and after the step: shrink the weight once": (
                (w * (1 - lr * decay) - lr * sign) * (1 - lr * decay)
            ),
            "this is the shrunk weight plus the moved one: start Adam's step from the shrunk weight": (
                w - lr * decay * w + w - lr * sign
            ),
            "the learning rate of Adam's step is multiplied by decay: pass lr": w - lr * decay * w - lr * decay * sign,
            "the decay is lr * decay times the sign of w: it is times w": w - lr * decay * np.sign(w) - lr * sign,
        },
        tolerance=1e-5,
    )
    again = _parts(attempt(w, -g, means, squares, 2, lr, 0.0), ("w", "mean", "square"), what)
    turned = (0.9 * 0.1 - 0.1) / (1 - 0.9**2) * sign  # the second gradient is minus the first
    same(again[0], w - lr * turned, "the new w of adamw_step(..., step=2, decay=0)", tolerance=1e-5)


@exercise(10)
def clip_by_norm(attempt: Attempt) -> None:
    """Check arrays of different shapes, above the limit, below it, and all 0."""
    rng = np.random.default_rng(3)
    gradients = [3 * rng.standard_normal(shape) for shape in ((2, 3), (4,), (1, 2, 2))]
    every = [float(x) for g in gradients for x in g.ravel()]
    norm = math.hypot(*every)
    norms = [math.hypot(*g.ravel().tolist()) for g in gradients]
    limit = 2.0
    what = "clip_by_norm(gradients, max_norm=2)"
    with explained(
        {
            "converted to Python scalars": "add up with np.sum before math.sqrt",
            "inhomogeneous": "the arrays have different shapes: treat each separately, and add up",
            "has no attribute 'grad'": "the list holds arrays: they are the gradients",
        }
    ):
        clipped = attempt(gradients, limit)
    _same_list(
        clipped,
        [limit / norm * g for g in gradients],
        what,
        {
            "each array is clipped by its own norm: use the norm of all together": [
                min(1.0, limit / n) * g for g, n in zip(gradients, norms, strict=True)
            ],
            "each number is clipped separately, which changes the direction: scale all by one factor": [
                np.clip(g, -limit, limit) for g in gradients
            ],
            "nothing is clipped: the factor is min(1, max_norm / norm)": gradients,
            "each array's sum is squared: square every number first, then add up": [
                min(1.0, limit / math.sqrt(sum(float(np.sum(g)) ** 2 for g in gradients))) * g for g in gradients
            ],
            "they are scaled to norm 1: scale them to max_norm": [g / norm for g in gradients],
            "the root is missing: the norm is the root of the sum of squares": [limit / norm**2 * g for g in gradients],
            "the norms of the arrays are added up: add up their squares, then take one root": [
                limit / sum(norms) * g for g in gradients
            ],
            "the factor is inverted: multiply by max_norm / norm": [norm / limit * g for g in gradients],
            "they are divided by max_norm: multiply by max_norm / norm": [g / limit for g in gradients],
            "the norm is of the mean of the arrays' squares: add up the squares of all numbers": [
                limit / math.sqrt(norm**2 / len(gradients)) * g for g in gradients
            ],
            "the norm is of the mean of all squares: add up the squares": [
                limit / math.sqrt(norm**2 / len(every)) * g for g in gradients
            ],
            "the norm is the largest number: take the root of the sum of squares": [
                limit / max(abs(x) for x in every) * g for g in gradients
            ],
            "they are multiplied by max_norm: multiply by max_norm / norm": [g * limit for g in gradients],
            "the squared norm is compared or used: take the root": [limit / math.sqrt(norm) * g for g in gradients],
            "the limit is multiplied once more: the factor is max_norm / norm": [
                limit**2 / norm * g for g in gradients
            ],
            "the norm is that of the first array alone: add up the squares of all": [
                limit / norms[0] * g for g in gradients
            ],
            "the norm is that of the last array alone: add up the squares of all": [
                limit / norms[-1] * g for g in gradients
            ],
            "the norm is the largest of the arrays' norms: add up the squares of all": [
                limit / max(norms) * g for g in gradients
            ],
            "the norm adds up absolute values: add up squares, then take the root": [
                limit / sum(map(abs, every)) * g for g in gradients
            ],
            "the norm adds up means of squares: add up sums": [
                limit / math.sqrt(sum(float((g**2).mean()) for g in gradients)) * g for g in gradients
            ],
            "the norm uses the mean of the squares: use their sum": [
                limit / math.sqrt(norm**2 / len(every)) * g for g in gradients
            ],
        },
    )
    small = [g / norm for g in gradients]
    _same_list(
        attempt(small, limit),
        small,
        "clip_by_norm of gradients below max_norm",
        {"they became larger: keep gradients below max_norm unchanged": [limit * g for g in small]},
    )
    zeros = [np.zeros((2, 2)), np.zeros(3)]
    _same_list(attempt(zeros, limit), zeros, "clip_by_norm of gradients that are all 0", {})
    single = [g.astype(np.float32) for g in gradients]
    for got, g in zip(attempt(single, limit), single, strict=True):
        same(got, (limit / norm * g).astype(np.float32), "clip_by_norm of float32 gradients", tolerance=1e-5)


def _same_list(got: Any, right: list[np.ndarray], what: str, mistakes: dict[str, list[np.ndarray]]) -> None:
    if not isinstance(got, list | tuple):
        raise Complaint(f"{what} returns a {type(got).__name__}: return a list with one array for each gradient")
    if isinstance(got, tuple) and len(got) == 2 and isinstance(got[0], list) and np.ndim(got[1]) == 0:
        raise Complaint(f"{what} returns a second value beside the list: return the list of arrays alone")
    if len(got) != len(right):
        raise Complaint(f"{what} returns {len(got)} arrays for {len(right)} gradients")
    for i, (array, expected) in enumerate(zip(got, right, strict=True)):
        same(array, expected, f"array {i} of {what}", {sentence: wrong[i] for sentence, wrong in mistakes.items()})


@exercise(10)
def schedule(attempt: Attempt) -> None:
    """Check each step of a short run, with both decays, and a run without warmup."""
    total, warmup, lr = 12, 4, 0.5
    steps = np.arange(total + 1)
    rise = np.cumsum(np.full(warmup, lr / warmup))  # (warmup,)
    left = np.linspace(1.0, 0.0, total - warmup + 1)  # from the end of the warmup to the end of the run
    f = 1.0 - left
    falls = {"linear": lr * left, "cosine": lr * np.cos(np.pi * f / 2) ** 2}
    for decay, fall in falls.items():
        other = "cosine" if decay == "linear" else "linear"
        from_start = steps[warmup:] / total
        too_long = (steps[warmup:] - warmup) / total
        shape = (lambda x: 1 - x) if decay == "linear" else (lambda x: (1 + np.cos(np.pi * x)) / 2)
        known = {
            "the warmup begins at 0, so step 0 changes nothing: use step + 1": [
                *(rise - lr / warmup),
                *fall,
            ],
            "the warmup runs from 0 to the full rate, as linspace(0, lr, warmup): its first step has lr / warmup": [
                *(lr * np.arange(warmup) / (warmup - 1)),
                *fall,
            ],
            f"this is the {other} decay: use the argument `decay`": [*rise, *falls[other]],
            "the decay counts from step 0 and multiplies the warmup too: begin it after the warmup": [
                lr * min(1.0, (s + 1) / warmup) * shape(s / total) for s in steps
            ],
            "the warmup is a cosine too: it rises evenly, by lr / warmup a step": [
                *(lr * (1 - np.cos(np.pi * (np.arange(warmup) + 1) / warmup)) / 2),
                *fall,
            ],
            "there is no warmup": [lr * shape(s / total) for s in steps],
            "the decay begins at step 0: begin it at the end of the warmup": [*rise, *(lr * shape(from_start))],
            "the decay is too slow: it must take total - warmup steps": [*rise, *(lr * shape(too_long))],
            "the rate rises during the decay: use 1 - f": [*rise, *(lr * f)],
            "the rate rises again from 0 during the decay": [*rise, *(lr - fall)],
            "the warmup is too short by one step: divide step + 1 by warmup": [
                *(lr * (np.arange(warmup) + 1) / (warmup + 1)),
                *fall,
            ],
            "the warmup has the full rate: multiply by (step + 1) / warmup": [*np.full(warmup, lr), *fall],
            "the warmup rises over all steps: divide by warmup, not by total": [
                *(lr * (np.arange(warmup) + 1) / total),
                *fall,
            ],
            "step `warmup` is still warmup and above the full rate: use step < warmup": [
                *rise,
                lr * (warmup + 1) / warmup,
                *fall[1:],
            ],
            "f is an integer division: use /": [*rise, *np.full(len(fall) - 1, lr), 0.0],
            "there is no decay after the warmup": [*rise, *np.full(len(fall), lr)],
            "the decay is one step late: f = (step - warmup) / (total - warmup)": [
                *rise,
                *(lr * shape((steps[warmup:] - warmup - 1) / (total - warmup))),
            ],
            "the decay is one step early: f = (step - warmup) / (total - warmup)": [
                *rise,
                *(lr * shape((steps[warmup:] - warmup + 1) / (total - warmup))),
            ],
            "the decay divides by total - warmup but counts from step 0: subtract warmup": [
                *rise,
                *(lr * shape(steps[warmup:] / (total - warmup))),
            ],
            "the rate halves: multiply by 1 - f": [*rise, *(lr * (1 - f) / 2)],
            "the decay ends one step early: divide by total - warmup": [
                *rise,
                *(lr * shape((steps[warmup:] - warmup) / (total - 1 - warmup))),
            ],
        }
        if decay == "cosine":
            known |= {
                "this is the cosine, from 1 to -1: add 1 and halve it": [*rise, *(lr * np.cos(np.pi * f))],
                "this is 1 + cosine, from 2 to 0: halve it": [*rise, *(lr * (1 + np.cos(np.pi * f)))],
                "this is a sine: use the cosine": [*rise, *(lr * (1 + np.sin(np.pi * f)) / 2)],
                "this is a full period of the cosine: use half a period, π f": [
                    *rise,
                    *(lr * (1 + np.cos(2 * np.pi * f)) / 2),
                ],
                "this is a quarter of a period: use half a period, π f": [*rise, *(lr * np.cos(np.pi * f / 2))],
                "the cosine is subtracted: add it": [
                    *rise,
                    *(lr * (1 - np.cos(np.pi * f)) / 2),
                ],
                "the cosine takes radians, not degrees: it must be of π f": [*rise, *(lr * (1 + np.cos(180 * f)) / 2)],
                "the cosine is of f: it must be of π f": [*rise, *(lr * (1 + np.cos(f)) / 2)],
            }
        known["the learning rate is missing: multiply the factor by it"] = [*(rise / lr), *(fall / lr)]
        rates = [attempt(int(step), total, warmup, lr, decay) for step in steps]
        same(
            np.array(rates), np.array([*rise, *fall]), f"schedule(step, 12, 4, 0.5, {decay!r}) for step 0 to 12", known
        )
    rates = [attempt(step, 4, 0, 1.0, "linear") for step in range(5)]
    same(np.array(rates), np.array([1.0, 0.75, 0.5, 0.25, 0.0]), "schedule without warmup for step 0 to 4")


@exercise(10, stretch=True)
def momentum_at_once(attempt: Attempt) -> None:
    """Check two runs, one step after the other, then that the answer is one line without a loop."""
    rng = np.random.default_rng(4)
    for T, D, momentum in ((5, 2, 0.8), (3, 4, 2.0)):
        gradients = rng.standard_normal((T, D))
        right = np.zeros((T, D))
        for t in range(T):
            right[t] = momentum * (right[t - 1] if t else 0) + gradients[t]
        power = momentum ** np.abs(np.arange(T)[:, None] - np.arange(T))
        with (
            np.errstate(all="ignore"),
            explained(
                {"matmul": "the matrix (T, T) comes first, then the gradients: it is powers of steps[:, None] - steps"}
            ),
        ):
            got = attempt(gradients, momentum, T)
        same(
            got,
            right,
            f"momentum_at_once(gradients, {momentum:g}, {T})",
            mistakes={
                "later gradients are added, not earlier ones: transpose the matrix or the differences": (
                    np.triu(power) @ gradients
                ),
                "later gradients count too: set the matrix above its diagonal to 0": power @ gradients,
                "all earlier gradients count equally: the matrix holds powers of momentum": (
                    np.tril(np.ones((T, T))) @ gradients
                ),
                "the gradient of the step itself is missing: keep the diagonal of the matrix": (
                    np.tril(power, -1) @ gradients
                ),
                "every gradient counts with momentum itself: use its powers": (
                    np.tril(np.full((T, T), momentum)) @ gradients
                ),
                "this is the matrix: multiply it by the gradients": np.tril(power),
                "momentum is multiplied by t - i: it must be momentum ** (t - i)": (
                    np.tril(momentum * np.abs(np.arange(T)[:, None] - np.arange(T))) @ gradients
                ),
                "the power is that of the column: a gradient of t - i steps ago has momentum ** (t - i)": (
                    np.tril(np.ones((T, 1)) * momentum ** np.arange(T)) @ gradients
                ),
                "the power is that of the row: a gradient of t - i steps ago has momentum ** (t - i)": (
                    np.tril(momentum ** np.arange(T)[:, None] * np.ones(T)) @ gradients
                ),
                "the power is t + i: a gradient of t - i steps ago has momentum ** (t - i)": (
                    np.tril(momentum ** (np.arange(T)[:, None] + np.arange(T))) @ gradients
                ),
                "each power is one too high: the step's own gradient has the power 0": (
                    momentum * np.tril(power) @ gradients
                ),
                "the powers are inverted: a gradient of t - i steps ago has momentum ** (t - i)": (
                    np.tril(1 / power) @ gradients
                ),
            },
        )
    uses_only(attempt, "@", "**", "-", "[]", "abs", "arange", "tril")


# -- what several of them share -------------------------------------------------------------------------


def _parts(got: Any, names: tuple[str, ...], what: str) -> tuple[Any, ...]:
    """Return the values of a step, and complain if there are too many or too few."""
    if not isinstance(got, tuple | list) or len(got) != len(names):
        count = f"{len(got)} values" if isinstance(got, tuple | list) else f"one {type(got).__name__}"
        raise Complaint(f"{what} returns {count}: return {', '.join(names)}, in this order")
    return tuple(got)


def _keeps_float32(attempt: Attempt, arrays: int, rest: tuple[Any, ...], what: str) -> None:
    """Complain if a step turns float32 arrays into float64."""
    for i, array in enumerate(attempt(*[np.full((2, 3), 0.5, np.float32) for _ in range(arrays)], *rest)):
        if np.asarray(array).dtype != np.float32:
            raise Complaint(
                f"value {i + 1} of {what} is {np.asarray(array).dtype}, but all arrays were float32: "
                "use math.sqrt for single numbers, np.sqrt for arrays"
            )
