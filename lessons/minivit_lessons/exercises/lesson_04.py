"""Checks of lesson 04: layer normalisation and its gradient, GELU, modules and the MLP."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from ..compare import complain_of_array, same, same_gradients, slopes
from ..trial import Attempt, Complaint, explained
from . import exercise

EPS_MISSING = "ε is missing or not the argument: add `eps` to the variance"
# A function of NumPy on a Tensor, or a method that lists and Tensors do not have.
ON_A_LIST = {
    "'list' object has no attribute": "row is a plain list: use sum(row) / len(row) and loops",
    "unsupported operand type(s) for -: 'list'": "row is a plain list: subtract the mean from each of its numbers",
    "unsupported operand type(s) for /: 'list'": "row is a plain list: divide each of its numbers",
    "can't multiply sequence": "row is a plain list: multiply each of its numbers",
    "could not be broadcast": "row has one axis: axis and keepdims are not needed here",
}
ON_A_TENSOR = {
    "unexpected keyword argument 'dtype'": "np.mean and np.sum do not take a Tensor: use its methods, x.mean(axis=-1)",
    "(2,3) (4,)": "weight multiplies element by element: use *, not @",
    "unexpected keyword argument 'out'": "np.mean and np.sum do not take a Tensor: use its methods, x.mean(axis=-1)",
}


def _with_mean(row: list[float], mean: float, eps: float) -> list[float]:
    """Return the row centred with a given mean, and scaled by the root of the mean square of what is left."""
    centred = [x - mean for x in row]
    return [x / math.sqrt(math.fsum(y * y for y in centred) / len(row) + eps) for x in centred]


@exercise(4)
def normalise_row(attempt: Attempt) -> None:
    """Check a row that is not centred, with a small and a large ε, and a row of equal numbers."""
    row = [3.0, -1.0, 4.0, 1.5, 9.0]
    D, mean = len(row), math.fsum(row) / len(row)
    for eps in (1e-6, 0.5):
        handed = list(row)
        with explained(ON_A_LIST):
            got = attempt(handed) if eps == 1e-6 else attempt(handed, eps)
        if handed != row:
            raise Complaint("normalise_row changes its argument: write into a new list")
        what = "normalise_row(row)" if eps == 1e-6 else f"normalise_row(row, eps={eps})"
        centred = [x - mean for x in row]
        squares = math.fsum(x * x for x in centred)
        root = math.sqrt(squares / D + eps)
        if isinstance(got, tuple) and len(got) == 2:
            raise Complaint("normalise_row returns two numbers: return the list of the n_i, one for each x")
        if inspect.isgenerator(got):
            raise Complaint("normalise_row returns a generator: write square brackets around it, to return a list")
        if np.shape(got) == ():
            raise Complaint("normalise_row returns one number: is `return` inside the loop? Return a list")
        if np.shape(got) == (1,):
            raise Complaint(f"{what} has one number of {D}: is `return` inside the loop, which it ends too early?")
        size, length, largest = math.sqrt(squares / D), math.sqrt(math.fsum(x * x for x in row)), max(row)
        middle, second = sorted(row)[D // 2], math.fsum(x * x for x in row) / D
        rounded = [x - mean // 1 for x in row]
        same(
            got,
            np.array([x / root for x in centred]),
            what,
            mistakes={
                "the mean is not subtracted: centre the numbers before you scale them": [x / root for x in row],
                "the numbers are centred, but not scaled: divide by the standard deviation": centred,
                "divided by the variance: divide by its square root": [x / (squares / D + eps) for x in centred],
                "the variance divides by D - 1: divide by D": [x / math.sqrt(squares / (D - 1) + eps) for x in centred],
                "ε is added to the root: add it to the variance, under the root": [
                    x / (math.sqrt(squares / D) + eps) for x in centred
                ],
                EPS_MISSING: [x / math.sqrt(squares / D) for x in centred],
                "only the mean is divided: put parentheses around (x - mean)": [x - mean / root for x in row],
                "the squares are of the numbers themselves: square their distances from the mean": [
                    x / math.sqrt(math.fsum(y * y for y in row) / D + eps) for x in centred
                ],
                "the sum of squares is not divided by D": [x / math.sqrt(squares + eps) for x in centred],
                "only the last number's distance counts: add all up, variance += (x - mean) ** 2": [
                    x / math.sqrt(centred[-1] ** 2 + eps) for x in centred
                ],
                "only the last number's distance counts: add all up, variance += (x - mean) ** 2 / D": [
                    x / math.sqrt(centred[-1] ** 2 / D + eps) for x in centred
                ],
                "the distances are not squared, abs(x - mean): square them": [
                    x / math.sqrt(math.fsum(map(abs, centred)) / D + eps) for x in centred
                ],
                "ε multiplies the root: add it to the variance, under the root": [
                    x / (math.sqrt(squares / D) * (1 + eps)) for x in centred
                ],
                "ε is added to the result: add it to the variance, under the root": [x / size + eps for x in centred],
                "the sum is squared: square each distance, sum((x - mean) ** 2 for x in row)": [
                    x / math.sqrt(eps) for x in centred
                ],
                "the mean is rounded down: use / instead of //": [
                    x / math.sqrt(math.fsum(y * y for y in rounded) / D + eps) for x in rounded
                ],
                "the mean is not squared: the variance is the mean of squares minus mean ** 2": [
                    x / math.sqrt(abs(second - mean) + eps) for x in centred
                ],
                "this divides by the length of the row: centre first, then divide by the standard deviation": [
                    x / length for x in row
                ],
                "this divides by the largest number: divide by the standard deviation": [x / largest for x in centred],
                "this divides by the range: divide by the standard deviation": [
                    x / (largest - min(row)) for x in centred
                ],
                "this subtracts the median: subtract the mean": [
                    (x - middle) / math.sqrt(math.fsum((y - middle) ** 2 for y in row) / D + eps) for x in row
                ],
                "this is the row itself: return the centred and scaled numbers": row,
                "this divides by the mean absolute distance: divide by the standard deviation": [
                    x / (math.fsum(abs(y) for y in centred) / D + eps) for x in centred
                ],
                "this scales the row to the range from 0 to 1: subtract the mean, divide by the standard deviation": [
                    (x - min(row)) / (max(row) - min(row)) for x in row
                ],
                "this divides by the sum: subtract the mean, divide by the standard deviation": [
                    x / math.fsum(row) for x in row
                ],
                "the mean is added: subtract it": [(x + mean) / root for x in row],
                "the numbers are multiplied by the standard deviation: divide by it": [x * root for x in centred],
                "ε is subtracted from the variance: add it": [x / math.sqrt(abs(squares / D - eps)) for x in centred],
                "ε is squared: add ε itself to the variance": [x / math.sqrt(squares / D + eps**2) for x in centred],
                "the mean divides by D - 1: divide by D": _with_mean(row, math.fsum(row) / (D - 1), eps),
                "the root of ε is added: add ε itself to the variance": [
                    x / math.sqrt(squares / D + math.sqrt(eps)) for x in centred
                ],
                "this is softmax: subtract the mean, divide by the standard deviation": [
                    math.exp(x) / math.fsum(math.exp(y) for y in row) for x in row
                ],
                "the first number is missing in the variance": [
                    x / math.sqrt(math.fsum(y * y for y in centred[1:]) / D + eps) for x in centred
                ],
                "the last number is missing in the variance": [
                    x / math.sqrt(math.fsum(y * y for y in centred[:-1]) / D + eps) for x in centred
                ],
            },
        )
    with explained({"ZeroDivisionError": "ε must be added to the variance before the root"}):
        flat = attempt([5.0, 5.0, 5.0])
    same(flat, np.zeros(3), "normalise_row([5, 5, 5])")


@exercise(4)
def layer_norm(attempt: Attempt) -> None:
    """Check tokens of two images, one number at a time; then the gradients."""
    tensor = attempt.find("Tensor")
    rng = np.random.default_rng(0)
    x = 2.0 * rng.standard_normal((2, 3, 4)) + rng.standard_normal((2, 3, 1))
    weight, bias = rng.uniform(0.5, 2.0, 4), rng.standard_normal(4)
    _norm_values(attempt, x, weight, bias, 1e-6)
    _norm_values(attempt, x, weight, bias, 0.5)

    narrow = [tensor(values.astype(np.float32)) for values in (x, weight, bias)]
    same(attempt(*narrow), _norm(x, weight, bias, 1e-6).astype(np.float32), "layer_norm of float32", tolerance=1e-5)

    few = x[0, :2]
    centred = few - few.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    normal = centred / deviation
    same_gradients(
        attempt,
        [few, weight, bias],
        ["x", "weight", "bias"],
        "layer_norm(x, weight, bias)",
        mistakes={
            "x": {
                "mean and standard deviation are constants here: compute them from the Tensor x, not from x.data": (
                    lambda dy: dy * weight / deviation
                ),
                "the standard deviation is a constant here: compute it from the Tensor x, not from x.data": (
                    lambda dy: (dy * weight - (dy * weight).mean(axis=-1, keepdims=True)) / deviation
                ),
                "the mean is a constant here: compute it from the Tensor x, not from x.data": (
                    lambda dy: (dy * weight - normal * (dy * weight * normal).mean(axis=-1, keepdims=True)) / deviation
                ),
            }
        },
    )


def _norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """Return each token after layer normalisation, computed one number at a time."""
    out = np.empty(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        row = [float(v) for v in x[index]]
        mean = math.fsum(row) / len(row)
        root = math.sqrt(math.fsum((v - mean) ** 2 for v in row) / len(row) + eps)
        out[index] = [(v - mean) / root * w + b for v, w, b in zip(row, weight, bias, strict=True)]
    return out


def _norm_values(attempt: Attempt, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> None:
    tensor = attempt.find("Tensor")
    inputs = tensor(x), tensor(weight), tensor(bias)
    reasons = {
        "shapes (2,3,4) (2,3)": "is keepdims=True missing?",
        "'Tensor' has no len()": "normalise_row takes a plain list: use the Tensor's methods mean and sqrt",
        "ufunc": "use the Tensor's method .sqrt()",
        "must be real number": "use the Tensor's method .sqrt()",
        **ON_A_TENSOR,
    }
    with explained(reasons):
        got = attempt(*inputs) if eps == 1e-6 else attempt(*inputs, eps)
    complain_of_array(got, "layer_norm", "use the Tensor's methods mean and sqrt, so that gradients flow")
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt(variance + eps)
    same(
        got,
        _norm(x, weight, bias, eps),
        "layer_norm(x, weight, bias)" if eps == 1e-6 else f"layer_norm(x, weight, bias, eps={eps})",
        mistakes={
            "weight and bias are left out": normal,
            "the bias is missing": normal * weight,
            "the weight is missing": normal + bias,
            "the bias is scaled too: multiply by the weight first, then add the bias": (normal + bias) * weight,
            "weight and bias are swapped": normal * bias + weight,
            "the weight is under the root: multiply by it after the division": (
                centred / np.sqrt((variance + eps) * weight) + bias
            ),
            "the bias is divided too: divide first, then multiply by the weight, and add the bias last": (
                (centred * weight + bias) / np.sqrt(variance + eps)
            ),
            "the mean is not subtracted from x": x / np.sqrt(variance + eps) * weight + bias,
            "x is not centred: this divides by the root mean square": (
                x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * weight + bias
            ),
            "the tokens are centred, but not scaled": centred * weight + bias,
            "divided by the variance: divide by its square root": centred / (variance + eps) * weight + bias,
            "the variance divides by D - 1: divide by D": (centred / np.sqrt(variance * 4 / 3 + eps) * weight + bias),
            "the sum of squares is not divided by D: the variance is their mean": (
                centred / np.sqrt(variance * 4 + eps) * weight + bias
            ),
            "the squares are not averaged: the variance is their mean over the last axis": (
                centred / np.sqrt(centred**2 + eps) * weight + bias
            ),
            "the mean is squared, and it is 0 here: square each distance, then take the mean": (
                centred / np.sqrt(eps) * weight + bias
            ),
            "ε is added to the root: add it to the variance, under the root": (
                centred / (np.sqrt(variance) + eps) * weight + bias
            ),
            EPS_MISSING: centred / np.sqrt(variance) * weight + bias,
            "this is x itself": x,
            "the mean is not squared: the variance is the mean of squares minus mean ** 2": (
                centred / np.sqrt((x**2).mean(-1, keepdims=True) - x.mean(-1, keepdims=True) + eps) * weight + bias
            ),
            "weight and bias are added to each other: multiply by the weight, then add the bias": (
                normal * (weight + bias)
            ),
            "these are sums: mean and variance are means over D": _by_sums(x, eps) * weight + bias,
            "the mean is a sum: divide it by D": _by_sums(x, eps, 4) * weight + bias,
            "the tokens are multiplied by the standard deviation: divide by it": (
                centred * np.sqrt(variance + eps) * weight + bias
            ),
            "the mean is added: subtract it": (
                (x + x.mean(axis=-1, keepdims=True)) / np.sqrt(variance + eps) * weight + bias
            ),
            "the bias is subtracted: add it": normal * weight - bias,
            "divided by the weight: multiply by it": normal / weight + bias,
            "the variance divides by D - 1, and ε is added to the root: divide by D, and put ε under the root": (
                centred / (np.sqrt(variance * 4 / 3) + eps) * weight + bias
            ),
            "only weight and bias are applied: centre and scale x first": x * weight + bias,
            "this is BatchNorm, over images and tokens: normalise each token separately, over the last axis": (
                _over(x, (0, 1), eps) * weight + bias
            ),
            "the mean runs over all tokens of an image: normalise each token separately, over the last axis": (
                _over(x, (1, 2), eps) * weight + bias
            ),
            "only the mean is divided: put parentheses around (x - mean)": (
                (x - x.mean(axis=-1, keepdims=True) / np.sqrt(variance + eps)) * weight + bias
            ),
            "the mean runs over the images: normalise each token separately, over the last axis": (
                _over(x, 0, eps) * weight + bias
            ),
            "the mean runs over the tokens of an image: normalise each token separately, over the last axis": (
                _over(x, 1, eps) * weight + bias
            ),
            "the mean runs over everything: normalise each token separately, with axis=-1": (
                _over(x, None, eps) * weight + bias
            ),
            "the weight acts before the variance: normalise first, then multiply by the weight": (
                centred * weight / np.sqrt(((centred * weight) ** 2).mean(axis=-1, keepdims=True) + eps) + bias
            ),
            "the squares are of x itself: square its distance from the mean": (
                centred / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * weight + bias
            ),
            "ε is added to the distance from the mean: add it to the variance, under the root": (
                (centred + eps) / np.sqrt(variance) * weight + bias
            ),
        },
    )


def _by_sums(x: np.ndarray, eps: float, divisor: float = 1.0) -> np.ndarray:
    """Return x normalised with its sum for the mean, and the sum of squares over a divisor for the variance."""
    centred = x - x.sum(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).sum(axis=-1, keepdims=True) / divisor + eps)


def _over(x: np.ndarray, axis: int | tuple[int, int] | None, eps: float) -> np.ndarray:
    """Return x normalised over the given axis."""
    centred = x - x.mean(axis=axis, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=axis, keepdims=True) + eps)


@exercise(4)
def gelu(attempt: Attempt) -> None:
    """Check the formula, one number at a time, and its derivative."""
    tensor = attempt.find("Tensor")
    x = np.array([[-3.0, -1.2, -0.4, 0.0], [0.3, 0.9, 2.7, 4.0]])
    root = math.sqrt(2.0 / math.pi)
    own = "use the Tensor's method .tanh()"
    power = "write x ** 3: ^ means exclusive or in Python"
    method = "a method is called with brackets: .tanh()"
    with explained(
        {"and 'method'": method, "ufunc": own, "must be real number, not Tensor": own, "type(s) for ^": power}
    ):
        got = attempt(tensor(x))
    complain_of_array(got, "gelu", "use the Tensor's operators and its method tanh, so that gradients flow")
    same(
        got,
        _each(x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (v + 0.044715 * v**3)))),
        "gelu(x)",
        mistakes={
            "this is the gate: multiply it by x": _each(
                x, lambda v: 0.5 * (1.0 + math.tanh(root * (v + 0.044715 * v**3)))
            ),
            "this is the exact form with erf: use the form with tanh, as in the authors' code": _each(
                x, lambda v: 0.5 * v * (1.0 + math.erf(v / math.sqrt(2.0)))
            ),
            "this is ReLU, whose gate is 0 or 1": np.maximum(x, 0.0),
            "this is x itself": x,
            "the x before the cubic term is missing: x + 0.044715 x³": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (1.0 + 0.044715 * v**3)))
            ),
            "this uses exp: the formula has tanh": _each(
                x, lambda v: 0.5 * v * (1.0 + math.exp(root * (v + 0.044715 * v**3)))
            ),
            "x is added to the gate: multiply by it": _each(
                x, lambda v: 0.5 * v + 1.0 + math.tanh(root * (v + 0.044715 * v**3))
            ),
            "only the cubic term is in tanh: it is x + 0.044715 x³": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * 0.044715 * v**3))
            ),
            "the 1 is added at the end: it belongs beside tanh, in 0.5 x (1 + tanh(...))": _each(
                x, lambda v: 0.5 * v * math.tanh(root * (v + 0.044715 * v**3)) + 1.0
            ),
            "1 is subtracted: the gate is 0.5 (1 + tanh(...))": _each(
                x, lambda v: 0.5 * v * (math.tanh(root * (v + 0.044715 * v**3)) - 1.0)
            ),
            "0.5 multiplies the 1 alone: put parentheses around (1 + tanh(...))": _each(
                x, lambda v: v * (0.5 + math.tanh(root * (v + 0.044715 * v**3)))
            ),
            "this is x · tanh(x): the gate is 0.5 (1 + tanh(...))": x * np.tanh(x),
            "π is rounded: use math.pi": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(math.sqrt(2.0 / 3.14) * (v + 0.044715 * v**3)))
            ),
            "the factor of x³ is 0.0455, the Taylor series': here it is 0.044715": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (v + 0.0455 * v**3)))
            ),
            "the factor is √2/π, and 0.5 is missing: it must be √(2/π), and half of the sum": _each(
                x, lambda v: v * (1.0 + math.tanh(math.sqrt(2.0) / math.pi * (v + 0.044715 * v**3)))
            ),
            "this is tanh(x): the formula has more around it": np.tanh(x),
            "this is x times the sigmoid of x (SiLU): use the form with tanh": _each(
                x, lambda v: v / (1.0 + math.exp(-v))
            ),
            "this is x · tanh(...): the gate is 0.5 (1 + tanh(...))": _each(
                x, lambda v: v * math.tanh(root * (v + 0.044715 * v**3))
            ),
            "the 1 is outside: 0.5 x multiplies the whole of (1 + tanh(...))": _each(
                x, lambda v: 0.5 * v + math.tanh(root * (v + 0.044715 * v**3))
            ),
            "the cube of the product is taken: only x is cubed, 0.044715 is not": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (v + (0.044715 * v) ** 3)))
            ),
            "the sum is cubed: x + 0.044715 x³ cubes only x": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (v + 0.044715 * v) ** 3))
            ),
            "the cubic term is subtracted: add it": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (v - 0.044715 * v**3)))
            ),
            "the tanh is subtracted from 1: add it": _each(
                x, lambda v: 0.5 * v * (1.0 - math.tanh(root * (v + 0.044715 * v**3)))
            ),
            "the factor 0.044715 is missing": _each(x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (v + v**3)))),
            "this is x times a sigmoid: use the form with tanh": _each(x, lambda v: v / (1.0 + math.exp(-1.702 * v))),
            "the factor is 2/π: it must be √(2/π)": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(2.0 / math.pi * (v + 0.044715 * v**3)))
            ),
            "the factor is √(π/2): it must be √(2/π)": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(math.sqrt(math.pi / 2.0) * (v + 0.044715 * v**3)))
            ),
            "the factor is √2/π: it must be √(2/π), with π under the root too": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(math.sqrt(2.0) / math.pi * (v + 0.044715 * v**3)))
            ),
            "the factor of x³ is not 0.044715: count its zeros": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (v + 0.44715 * v**3)))
            ),
            "the factor is √(2π): it must be √(2/π)": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(math.sqrt(2.0 * math.pi) * (v + 0.044715 * v**3)))
            ),
            "the factor √(2/π) is missing": _each(x, lambda v: 0.5 * v * (1.0 + math.tanh(v + 0.044715 * v**3))),
            "√(2/π) is cubed too: cube x alone, then multiply the sum by √(2/π)": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * v + 0.044715 * (root * v) ** 3))
            ),
            "√(2/π) multiplies the tanh: it belongs inside, around x + 0.044715 x³": _each(
                x, lambda v: 0.5 * v * (1.0 + root * math.tanh(v + 0.044715 * v**3))
            ),
            "√(2/π) multiplies only x: put parentheses around both terms": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * v + 0.044715 * v**3))
            ),
            "the cubic term is outside of the tanh: it belongs inside, beside x": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * v) + 0.044715 * v**3)
            ),
            "the cubic term is missing": _each(x, lambda v: 0.5 * v * (1.0 + math.tanh(root * v))),
            "x is squared: it must be cubed": _each(
                x, lambda v: 0.5 * v * (1.0 + math.tanh(root * (v + 0.044715 * v**2)))
            ),
            "the 1 + before the tanh is missing": _each(x, lambda v: 0.5 * v * math.tanh(root * (v + 0.044715 * v**3))),
            "the factor 0.5 is missing: the gate must go from 0 to 1, not to 2": _each(
                x, lambda v: v * (1.0 + math.tanh(root * (v + 0.044715 * v**3)))
            ),
        },
    )
    if not attempt(tensor(x, requires_grad=True)).requires_grad:
        raise Complaint("gelu(x) does not depend on the Tensor x: compute with x, not with x.data")
    same(attempt(tensor(np.ones(3, np.float32))).data.dtype.itemsize, 4, "the number of bytes of gelu's float32")
    gates = _each(x, lambda v: 0.5 * (1.0 + math.tanh(root * (v + 0.044715 * v**3))))
    same_gradients(
        attempt,
        [x],
        ["x"],
        "gelu(x)",
        mistakes={
            "x": {"the gate is a constant here: compute it from the Tensor x, not from x.data": lambda dy: dy * gates}
        },
    )


def _each(x: np.ndarray, function: Any) -> np.ndarray:
    """Apply a function of one number to each number of an array."""
    return np.array([function(float(v)) for v in x.ravel()]).reshape(x.shape)


@exercise(4)
def Module(attempt: Attempt) -> None:
    """Check the names of parameters in a small model with parts, lists of parts and other attributes."""
    base, tensor = attempt.function, attempt.find("Tensor")

    class Leaf(base):
        def __init__(self, bias: bool = True):
            self.weight = tensor(np.ones(2), requires_grad=True)
            self.size = 2
            if bias:
                self.bias = tensor(np.zeros(2), requires_grad=True)

        def forward(self, x: Any) -> Any:
            return x * self.weight

    class Block(base):
        def __init__(self):
            self.norm = Leaf()
            self.mlp = Leaf(bias=False)

    class Model(base):
        def __init__(self):
            self.title = "a model"
            self.embedding = Leaf()
            self.blocks = [Block(), Block()]
            self.sizes = [1, 2, 3]
            self.cls = tensor(np.zeros(2), requires_grad=True)
            self.head = Leaf(bias=False)

    model = Model()
    blocks = [(f"blocks.{i}", block) for i, block in enumerate(model.blocks)]
    right = [
        ("embedding.weight", model.embedding.weight),
        ("embedding.bias", model.embedding.bias),
        *[
            pair
            for path, block in blocks
            for pair in (
                (f"{path}.norm.weight", block.norm.weight),
                (f"{path}.norm.bias", block.norm.bias),
                (f"{path}.mlp.weight", block.mlp.weight),
            )
        ],
        ("cls", model.cls),
        ("head.weight", model.head.weight),
    ]
    leaf = _pairs(attempt, model.head, "named_parameters() of a layer with one weight")
    if [name for name, _ in leaf] != ["weight"]:
        raise Complaint(_leaf_sentence([name for name, _ in leaf]))
    found = _pairs(attempt, model, "named_parameters() of a model")
    _same_names([name for name, _ in found], [name for name, _ in right])
    for (name, got), (_, wanted) in zip(found, right, strict=True):
        if got is not wanted:
            raise Complaint(f"named_parameters: {name} is not the model's own Tensor: return the attribute itself")
    x = tensor(np.full(2, 3.0))
    same(attempt.call(model.head, x, what="calling a layer"), np.full(2, 3.0), "what a layer returns when it is called")


def _pairs(attempt: Attempt, module: Any, what: str) -> list[tuple[str, Any]]:
    reasons = {
        "has no attribute 'named_parameters'": "a list may hold things that are not Modules",
        "too many values to unpack": "go through vars(self).items(), which gives names and values",
        "one argument (2 given)": "a pair has its own parentheses: found.append((name, value))",
        "not enough values to unpack": "add a part's pairs one by one, with += and not with append",
    }
    with explained(reasons):
        found = attempt.call(module.named_parameters, what=what)
    if isinstance(found, dict):
        raise Complaint("named_parameters returns a dictionary: return a list of pairs (name, Tensor)")
    found = list(found)
    if any(isinstance(pair, list) for pair in found) or any(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], list) for pair in found
    ):
        raise Complaint("named_parameters holds a list in its list: add a part's pairs one by one, with +=")
    if found and all(hasattr(value, "requires_grad") for value in found):
        raise Complaint("named_parameters returns Tensors alone: return pairs (name, Tensor)")
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) for pair in found):
        raise Complaint("named_parameters must return pairs (name, Tensor), with the name first")
    return [(str(name), value) for name, value in found]


def _leaf_sentence(names: list[str]) -> str:
    if not names:
        return "named_parameters finds nothing in a layer with one weight: return each Tensor among its attributes"
    if "size" in names:
        return "named_parameters lists attributes that are not Tensors: a plain number is not a parameter"
    return f"named_parameters of a layer whose one parameter is `weight` lists {', '.join(names)}"


def _same_names(names: list[str], right: list[str]) -> None:
    """Complain of the likely mistake that leads to these names."""
    if names == right:
        return
    known = {
        "nothing is found if the first attribute is a string: is `return` inside the loop?": [],
        "the parameters of parts are missing: ask every Module among the attributes for them": ["cls"],
        "the parts in a list are missing: look into lists as well, and let each part list its own parts": [
            n for n in right if not n.startswith("blocks")
        ],
        "parts inside parts are missing: call each part's named_parameters(), which asks its own parts": [
            n for n in right if n.count(".") < 2
        ],
        "the path is missing: put the part's name and a dot before each name": [n.split(".")[-1] for n in right],
        "the part's name is missing: put it and a dot before each name, embedding.weight": [
            ".".join([*(n.split(".")[:2] if n.startswith("blocks") else []), n.split(".")[-1]]) for n in right
        ],
        "parts in a list need their position in the name: blocks.0, blocks.1": [
            n.replace("blocks.0.", "blocks.").replace("blocks.1.", "blocks.") for n in right
        ],
        "the path is the wrong way round: the part's name comes first, embedding.weight": [
            ".".join(n.split(".")[::-1]) if n.count(".") == 1 else n for n in right
        ],
        "the position is in brackets: join it with a dot, blocks.0": [
            n.replace("blocks.0", "blocks[0]").replace("blocks.1", "blocks[1]") for n in right
        ],
        "the dot before the position is missing: blocks.0": [n.replace("blocks.", "blocks") for n in right],
        "the name of the list is missing: it is blocks.0, not 0": [n.removeprefix("blocks.") for n in right],
        "name and position are joined with an underscore: use a dot, blocks.0": [
            n.replace("blocks.", "blocks_") for n in right
        ],
        "positions in a list count from 0: blocks.0 is the first": [
            n.replace("blocks.1.", "blocks.2.").replace("blocks.0.", "blocks.1.") for n in right
        ],
        "the names of parts inside parts are cut: use the whole path, such as blocks.0.norm.weight": [
            ".".join([*n.split(".")[:1], *n.split(".")[1:][-1:]]) for n in right
        ],
    }
    for sentence, wrong in known.items():
        if names == wrong:
            raise Complaint(f"named_parameters: {sentence}")
    for mark in ("/", "_", "->", ":"):
        if names == [n.replace(".", mark) for n in right]:
            raise Complaint(f"named_parameters joins the names with {mark!r}: use a dot")
    if sorted(names) == sorted(right):
        raise Complaint(
            "named_parameters has all names, but in another order: use the order of vars(self), "
            f"{right[0]} first and {right[-1]} last"
        )
    missing = [name for name in right if name not in names]
    extra = [name for name in names if name not in right]
    if missing:
        instead = f", and has {extra[0]} instead" if extra else ""
        if extra and missing[0].endswith(f".{extra[0]}"):
            instead += ": put the part's name and a dot before each name"
        raise Complaint(f"named_parameters has no {missing[0]}{instead}")
    if extra:
        raise Complaint(f"named_parameters lists {extra[0]}, which is not a parameter of this model")
    raise Complaint("named_parameters lists a parameter more than once")


@exercise(4)
def MLP(attempt: Attempt) -> None:
    """Check fc2(gelu(fc1(z))), one number at a time, with biases that are not 0."""
    tensor = attempt.find("Tensor")
    with explained({"positional argument: 'rng'": "a layer is made with Linear(fan_in, fan_out, rng)"}):
        mlp = attempt(3, 5, np.random.default_rng(0))
    for part, shape in (("fc1", (3, 5)), ("fc2", (5, 3))):
        if not hasattr(mlp, part):
            raise Complaint(f"MLP(3, 5, rng) has no attribute {part}: name the two layers fc1 and fc2")
        got = getattr(getattr(mlp, part), "weight", None)
        if got is None:
            raise Complaint(f"MLP's {part} has no weight: make it with Linear(...)")
        if got.data.shape != shape:
            raise Complaint(
                f"the weight of {part} in MLP(3, 5, rng) has shape {got.data.shape} instead of {shape}: "
                "fc1 maps dim numbers to hidden, fc2 maps hidden numbers back to dim"
            )
    names = [name for name, _ in attempt.call(mlp.named_parameters, what="named_parameters() of the MLP")]
    if {name for name in names if name[:4] not in ("fc1.", "fc2.")}:
        raise Complaint(f"MLP has the parameters {', '.join(names)}: it has only the two layers fc1 and fc2")
    if names != ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]:
        raise Complaint(f"MLP has the parameters {', '.join(names)}: make those of fc1 first, then those of fc2")

    other = attempt(3, 5, np.random.default_rng(1))
    for part in ("fc1", "fc2"):
        if np.array_equal(getattr(mlp, part).weight.data, getattr(other, part).weight.data):
            raise Complaint(f"{part} starts with the same numbers for every generator: pass it __init__'s `rng`")

    rng = np.random.default_rng(1)
    arrays = [p.data for p in mlp.parameters()]
    for array in arrays:
        array[...] = rng.standard_normal(array.shape)
    W1, b1, W2, b2 = (array.astype(np.float64) for array in arrays)
    z = rng.standard_normal((2, 4, 3)).astype(np.float32)
    reasons = {
        "mismatch in its core dimension": "first fc1, then fc2, each weight is (in, out) without .T",
        "'Linear'": "call the layer with its input, self.fc1(z)",
    }
    with explained(reasons):
        got = attempt.call(mlp, tensor(z), what="MLP(3, 5, rng)(z)")
    complain_of_array(got, "MLP", "pass the Tensor through the layers, so that gradients flow")
    hidden = np.array([[[sum(t * W1[:, j]) + b1[j] for j in range(5)] for t in image] for image in z.astype(float)])
    bent = _each(hidden, _gelu)
    right = np.array([[[sum(h * W2[:, j]) + b2[j] for j in range(3)] for h in image] for image in bent])
    same(
        got,
        right.astype(np.float32),
        "MLP(3, 5, rng)(z)",
        mistakes={
            "GELU is missing: two linear layers in a row are one": hidden @ W2 + b2,
            "GELU acts on the input: apply it between fc1 and fc2": _each(z, _gelu) @ W1 @ W2 + b1 @ W2 + b2,
            "GELU acts after fc2: apply it between fc1 and fc2": _each(hidden @ W2 + b2, _gelu),
            "GELU acts a second time after fc2: apply it once": _each(right, _gelu),
            "z is added: the residual connection belongs to the block of lesson 08": right + z,
            "this uses ReLU: use GELU": np.maximum(hidden, 0) @ W2 + b2,
            "softmax acts on the result: return fc2's output": _softmax(right),
            "GELU acts on the weight of fc1: apply it to the layer's output": z @ _each(W1, _gelu) @ W2,
            "layer normalisation acts in the MLP: it belongs to the block of lesson 08": (
                _each(_norm(z.astype(float), np.ones(3), np.zeros(3), 1e-6) @ W1 + b1, _gelu) @ W2 + b2
            ),
            "this is the output of fc1 alone: continue with GELU and fc2": hidden,
            "fc2 is missing: it maps back to dim": bent,
            "this uses tanh: use GELU": np.tanh(hidden) @ W2 + b2,
            "this is z itself": z,
            "the bias of fc1 is missing": _each(hidden - b1, _gelu) @ W2 + b2,
            "the bias of fc2 is missing": right - b2,
            "both biases are missing: call the layers fc1 and fc2": _each(hidden - b1, _gelu) @ W2,
            "GELU acts twice: apply it once, between fc1 and fc2": _each(bent, _gelu) @ W2 + b2,
        },
        tolerance=1e-5,
    )
    attempt.call(_backward, got, what="the backward pass of MLP(3, 5, rng)(z)")
    for name, p in mlp.named_parameters():
        if p.grad is None:
            raise Complaint(f"no gradient reaches {name}: pass Tensors through fc1 and fc2 in forward")


@exercise(4, stretch=True)
def layer_norm_gradient(attempt: Attempt) -> None:
    """Check the gradient against finite differences of the forward pass, one number at a time."""
    rng = np.random.default_rng(5)
    x, dy = 2.0 * rng.standard_normal((2, 3, 5)) + 1.0, rng.standard_normal((2, 3, 5))
    ones, zeros = np.ones(5), np.zeros(5)
    for eps in (1e-6, 0.5):
        right = slopes(lambda at, eps=eps: float(np.vdot(_norm(at[0], ones, zeros, eps), dy)), [x], 0)
        centred = x - x.mean(axis=-1, keepdims=True)
        root = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
        n = centred / root
        mean_dy, mean_dyn = dy.mean(axis=-1, keepdims=True), (dy * n).mean(axis=-1, keepdims=True)
        with explained({"could not be broadcast": "is keepdims=True missing?"}):
            got = attempt(x, dy) if eps == 1e-6 else attempt(x, dy, eps)
        same(
            got,
            right,
            "layer_norm_gradient(x, dy)" if eps == 1e-6 else f"layer_norm_gradient(x, dy, eps={eps})",
            mistakes={
                "this is dy itself: derive how n depends on x": dy,
                "this is the forward pass: return dL/dx": n,
                "mean and standard deviation count as constants: both depend on x": dy / root,
                "the term of the standard deviation is missing or 0: it depends on x too": (dy - mean_dy) / root,
                "the means run over everything: take them over the last axis, with keepdims=True": _everything(
                    x, dy, eps
                ),
                "the mean counts as a constant: it depends on x too": (dy - n * mean_dyn) / root,
                "the two means run over all tokens: take them over the last axis, with keepdims=True": (
                    (dy - dy.mean() - n * (dy * n).mean()) / root
                ),
                "the division by √(σ² + ε) is missing": dy - mean_dy - n * mean_dyn,
                "the last term is added: its sign is minus": (dy - mean_dy + n * mean_dyn) / root,
                "the last term lacks its factor n": (dy - mean_dy - mean_dyn) / root,
                "the means run over axis 0, the images: take them over the last axis": (
                    (dy - dy.mean(axis=0, keepdims=True) - n * (dy * n).mean(axis=0, keepdims=True)) / root
                ),
                "it is multiplied by √(σ² + ε): divide by it": (dy - mean_dy - n * mean_dyn) * root,
                "the last term has the mean of dy times the mean of n: take the mean of their product": (
                    (dy - mean_dy - n * mean_dy * n.mean(axis=-1, keepdims=True)) / root
                ),
                "only dy is divided by √(σ² + ε): put parentheses around all three terms": (
                    dy / root - mean_dy - n * mean_dyn
                ),
                "these are sums: both terms are means over the D numbers": (
                    (dy - 5 * mean_dy - 5 * n * mean_dyn) / root
                ),
                "it is divided by the variance: divide by its square root": (dy - mean_dy - n * mean_dyn) / root**2,
                "the last term has x - μ for n, which is not yet divided by √(σ² + ε)": (
                    (dy - mean_dy - centred * (dy * centred).mean(axis=-1, keepdims=True)) / root
                ),
                "ε is missing: divide by √(σ² + ε)": _without_eps(centred, dy),
                "the last term has x for n, which is centred and scaled": (
                    (dy - mean_dy - x * (dy * x).mean(axis=-1, keepdims=True)) / root
                ),
                "this is dy times n: derive how each n depends on all of x": dy * n,
                "this is dy times n, with its terms: the factor of the last term alone is n": dy * n / root,
                "the last term is n² · dy: it is n times the mean of dy · n, over the last axis": (
                    (dy - mean_dy - n * n * dy) / root
                ),
                "the last term has n²: it is n · mean(dy · n)": (dy - mean_dy - n * n * mean_dyn) / root,
            },
            tolerance=1e-6,
        )


def _everything(x: np.ndarray, dy: np.ndarray, eps: float) -> np.ndarray:
    """Return the gradient with means over all tokens."""
    root = np.sqrt(x.var() + eps)
    n = (x - x.mean()) / root
    return (dy - dy.mean() - n * (dy * n).mean()) / root


def _without_eps(centred: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Return the gradient as if ε were 0."""
    root = np.sqrt((centred**2).mean(axis=-1, keepdims=True))
    n = centred / root
    return (dy - dy.mean(axis=-1, keepdims=True) - n * (dy * n).mean(axis=-1, keepdims=True)) / root


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _gelu(v: float) -> float:
    return 0.5 * v * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (v + 0.044715 * v**3)))


def _backward(out: Any) -> bool:
    out.backward(np.ones(out.shape, out.dtype))
    return True
