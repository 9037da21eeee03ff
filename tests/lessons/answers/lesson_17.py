import math

import numpy as np

import minivit
from minivit import Tensor

from . import right, right_value, wrong, wrong_value

right_value("home_of_equation_2", "EncoderBlock.forward")
right_value("home_of_equation_2", "minivit.models.vit.EncoderBlock.forward()")
wrong_value("home_of_equation_2", "EncoderBlock", "name the method too")
wrong_value("home_of_equation_2", "minivit/models/vit.py", "this is a file")
wrong_value(
    "home_of_equation_2",
    "MultiHeadSelfAttention.forward",
    "MultiHeadSelfAttention.forward has the tag (5), (6), (7), (8),",
)
wrong_value("home_of_equation_2", "ViT.forward", "has the tag §3.1, not (2)")
wrong_value("home_of_equation_2", 219, "must be a string")
wrong_value("home_of_equation_2", "thirty_lines.vit", "is in the thirty lines: name the class and method in models/vit")

wrong_value("home_of_equation_2", "forward", "name the class too")
wrong_value("home_of_equation_2", "encoderblock.forward", "capital letters count")

right_value("home_of_equation_2", "models/vit.py:EncoderBlock.forward")
wrong_value("home_of_equation_2", "forward of EncoderBlock", 'write it as "Class.method"')

right_value("dropout_seed", (7, 3, 10, 2))
right_value("dropout_seed", [7, 3, np.int64(10), 2])
wrong_value("dropout_seed", (7, 3, 11, 2), "the eleventh step has number 10")
wrong_value("dropout_seed", (7, 3, 10, 3), "the third micro-batch has number 2")
wrong_value("dropout_seed", (7, 3, 11, 3), "steps and micro-batches count from 0")
wrong_value("dropout_seed", (7, 10, 2), "these are 3, and the stream of dropout is missing")
wrong_value("dropout_seed", (0, 3, 10, 2), "--seed 7")
wrong_value("dropout_seed", (7, 10, 3, 2), "in another order")
wrong_value("dropout_seed", (7, 4, 10, 2), "is DROPOUT_STREAM")
wrong_value("dropout_seed", "DROPOUT_STREAM", "dropout_seed must be a tuple of integers")

wrong_value("dropout_seed", (7, 3, 10, 1), "the last number is the micro-batch's")
wrong_value("dropout_seed", (7, 3, 1, 2), "counts the steps that are done")

right_value("tokens_in_last_mlp", (1, 65))
right_value("tokens_in_last_mlp", [1, 64 + 1])
wrong_value("tokens_in_last_mlp", (65, 1), "the two numbers are swapped")
wrong_value("tokens_in_last_mlp", (65, 65), "count those that the head reads (Eq. 4)")
wrong_value("tokens_in_last_mlp", (1, 64), "without skip_unused the class token passes too, beside the 64")
wrong_value("tokens_in_last_mlp", (0, 65), "tokens_in_last_mlp: not 0 tokens, since the head reads at least")
wrong_value("tokens_in_last_mlp", (1, 197), "without skip_unused all tokens of this image pass")
wrong_value("tokens_in_last_mlp", (2, 65), "how many tokens does `pool` read")
wrong_value("tokens_in_last_mlp", 1, "tokens_in_last_mlp must be a tuple")


@right
def slope_is_right(form):
    x, step = np.arange(-5.0, 5.0, 0.1), 1e-4
    out, slope = np.zeros_like(x), np.zeros_like(x)
    form(x, out, slope)
    values = []
    for move in (step, -step):
        moved = np.zeros_like(x)
        form(x + move, moved, None)
        values.append(moved)
    error = np.abs((values[0] - values[1]) / (2 * step) - slope)
    return error.max() < 1e-5


@right
def slope_is_right(form):
    step = 1e-5
    for point in np.linspace(-4, 4, 17):
        x, out, slope = np.array([point - step, point, point + step]), np.empty(3), np.empty(3)
        form(x, out, slope)
        if abs((out[2] - out[0]) / (2 * step) - slope[1]) > 1e-6:
            return False
    return True


@right
def slope_is_right(form):
    for x in np.linspace(-4, 4, 33):
        point, out, slope = np.array([x]), np.zeros(1), np.zeros(1)
        form(point, out, slope)
        ends = np.zeros((2, 1))
        form(point + 1e-5, ends[0], None)
        form(point - 1e-5, ends[1], None)
        if abs(slope[0] - (ends[0, 0] - ends[1, 0]) / 2e-5) > 1e-6:
            return False
    return True


@wrong("try negative points too")
def slope_is_right(form):
    x, step = np.linspace(0.1, 4, 41), 1e-5
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return bool(np.allclose(slope, (above - below) / (2 * step), rtol=0, atol=1e-6))


@wrong("compare element by element")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 1e-5
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return bool(abs(slope.sum() - ((above - below) / (2 * step)).sum()) < 1e-6)


@wrong("slope_is_right accepts a derivative that is 1 % too large")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 1e-3
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return bool(np.allclose(slope, (above - below) / (2 * step), atol=0.05))


@wrong("try points from -4 to 4")
def slope_is_right(form):
    x, step = np.linspace(-1, 1, 41), 1e-5
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return bool(np.allclose(slope, (above - below) / (2 * step), rtol=0, atol=1e-6))


@wrong("its points are not float64")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41, dtype=np.float32), np.float32(1e-5)
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return bool(np.allclose(slope, (above - below) / (2 * step), rtol=0, atol=1e-6))


@wrong("return True or False, bool(...)")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 1e-5
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return np.isclose(slope, (above - below) / (2 * step), rtol=0, atol=1e-6)


@wrong("slope_is_right accepts a derivative of zeros")
def slope_is_right(form):
    x = np.linspace(-4, 4, 41)
    out, slope = np.empty_like(x), np.empty_like(x)
    form(x, out, slope)
    return bool(np.isfinite(slope).all() and slope.shape == x.shape)


@wrong("which is right: is the difference (above - below)")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 1e-5
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return bool(np.allclose(slope, above - below / (2 * step), rtol=0, atol=1e-6))


@wrong("is too large: use 1e-5")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 0.1
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return bool(np.allclose(slope, (above - below) / (2 * step), rtol=0, atol=1e-6))


@wrong("it fills the arrays that you pass")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 1e-5
    return bool(np.allclose(form(x, None, None), (form(x + step) - form(x - step)) / (2 * step)))


@wrong("both differences go the same way")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 1e-5
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x + 2 * step, below, None)
    return bool(np.allclose(slope, (above - below) / (2 * step), rtol=0, atol=1e-6))


@wrong("it is never called")
def slope_is_right(form):
    return False


@wrong("slope_is_right accepts the negative of the derivative")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 1e-5
    out, slope, above, below = (np.empty_like(x) for _ in range(4))
    form(x, out, slope), form(x + step, above, None), form(x - step, below, None)
    return bool(np.allclose(np.abs(slope), np.abs(above - below) / (2 * step), rtol=0, atol=1e-6))


@right
def gelu_sigmoid(x, out, slope):
    out[...] = 1.0 / (1.0 + np.exp(-1.702 * x))
    if slope is not None:
        slope[...] = out * (1.0 + 1.702 * x * (1.0 - out))
    out *= x


@right
def gelu_sigmoid(x, out, slope):
    for i, v in enumerate(x):
        sigma = 0.5 * (1.0 + math.tanh(0.851 * v))
        out[i] = v * sigma
        if slope is not None:
            slope[i] = sigma + 1.702 * v * sigma * (1.0 - sigma)


@wrong("write into it with out[...] = ..., since out = ... makes a new")
def gelu_sigmoid(x, out, slope):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out = x * sigma
    if slope is not None:
        slope = sigma + 1.702 * out * (1.0 - sigma)


@wrong("write into it with derivative[...] = ..., since derivative = ... makes")
def gelu_sigmoid(x, out, slope):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    if slope is not None:
        slope = sigma + 1.702 * out * (1.0 - sigma)


@wrong("write into it only if it is not")
def gelu_sigmoid(x, out, slope):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    slope[...] = sigma + 1.702 * out * (1.0 - sigma)


@wrong("1.702 is missing")
def gelu_sigmoid(x, out, slope):
    sigma = 1.0 / (1.0 + np.exp(-x))
    out[...] = x * sigma
    if slope is not None:
        slope[...] = sigma + out * (1.0 - sigma)


@wrong("inner derivative is missing")
def gelu_sigmoid(x, out, slope):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    if slope is not None:
        slope[...] = sigma + out * (1.0 - sigma)


@wrong("the second term of the product rule is missing")
def gelu_sigmoid(x, out, slope):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    if slope is not None:
        slope[...] = sigma


@wrong("the factor x is there twice")
def gelu_sigmoid(x, out, slope):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    if slope is not None:
        slope[...] = sigma + 1.702 * x * out * (1.0 - sigma)


@wrong("gelu_sigmoid changes x")
def gelu_sigmoid(x, out, slope):
    x *= 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x
    if slope is not None:
        slope[...] = 1.0


@wrong("the second term is subtracted")
def gelu_sigmoid(x, out, derivative):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    if derivative is not None:
        derivative[...] = sigma - 1.702 * out * (1.0 - sigma)


@wrong("σ' is σ (1 - σ), not 1 - σ")
def gelu_sigmoid(x, out, derivative):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    if derivative is not None:
        derivative[...] = sigma + 1.702 * x * (1.0 - sigma)


@wrong("derivative += ... adds to what the array held")
def gelu_sigmoid(x, out, derivative):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    if derivative is not None:
        derivative += sigma + 1.702 * out * (1.0 - sigma)


@wrong("put parentheses around 1 + exp")
def gelu_sigmoid(x, out, derivative):
    out[...] = x / 1.0 + np.exp(-1.702 * x)
    if derivative is not None:
        derivative[...] = 1.0


@wrong("the form with tanh")
def gelu_sigmoid(x, out, derivative):
    out[...] = 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    if derivative is not None:
        derivative[...] = 1.0


@wrong("the sign in the exponent")
def gelu_sigmoid(x, out, derivative):
    out[...] = x / (1.0 + np.exp(1.702 * x))
    if derivative is not None:
        derivative[...] = 1.0


@wrong("whose sigmoid is here: 1 / (1 + np.exp(-x))")
def gelu_sigmoid(x, out, derivative):
    out[...] = x * torch.sigmoid(1.702 * x)  # noqa: F821


@wrong("only the derivative belongs under the `if`")
def gelu_sigmoid(x, out, derivative):
    if derivative is not None:
        s = 1 / (1 + np.exp(-1.702 * x))
        out[...] = x * s
        derivative[...] = s + 1.702 * out * (1 - s)


@wrong("1.702 multiplies both terms, and once: the first is σ alone")
def gelu_sigmoid(x, out, derivative):
    s = 1 / (1 + np.exp(-1.702 * x))
    out[...] = x * s
    if derivative is not None:
        derivative[...] = 1.702 * (s + out * (1 - s))


# -- rule_broken --------------------------------------------------------------------------------------------


@wrong("this is x tanh(1.702 x)")
def gelu_sigmoid(x, out, derivative):
    t = np.tanh(1.702 * x)
    out[...] = x * t
    if derivative is not None:
        derivative[...] = t + 1.702 * x * (1 - t * t)


def _vjp(op, a, b):
    """The gradient that goes in, a copy of it, and what the op's vjp returns."""
    out = op(Tensor(a, requires_grad=True), Tensor(b, requires_grad=True))
    dy = np.random.default_rng(0).standard_normal(out.shape)
    return dy, dy.copy(), out._node.vjp(dy)


def _is_wrong(op, a, b):
    try:
        minivit.gradcheck(op, a, b)
    except minivit.GradientError:
        return True
    return False


@right
def rule_broken(op, a, b):
    dy, before, (first, second) = _vjp(op, a, b)
    if (dy != before).any():
        return "changes dy"
    if np.may_share_memory(first, second) and not np.may_share_memory(first, dy):
        return "shares an array"
    return "wrong gradient" if _is_wrong(op, a, b) else ""


@right
def rule_broken(op, a, b):
    dy, before, gradients = _vjp(op, a, b)
    if not np.array_equal(dy, before):
        return "changes dy"
    owners = [g if g.base is None else g.base for g in gradients]
    if owners[0] is owners[1] and owners[0] is not dy:
        return "shares an array"
    for i, direction in enumerate(np.random.default_rng(2).standard_normal((2, *a.shape))):
        values = [
            op(Tensor(a + s * direction * (i == 0)), Tensor(b + s * direction * (i == 1))).data for s in (1e-6, -1e-6)
        ]
        if not np.isclose(np.vdot(dy, values[0] - values[1]) / 2e-6, np.vdot(gradients[i], direction), rtol=1e-4):
            return "wrong gradient"
    return ""


@wrong("both inputs may receive dy itself")
def rule_broken(op, a, b):
    dy, before, (first, second) = _vjp(op, a, b)
    if (dy != before).any():
        return "changes dy"
    if np.shares_memory(first, second):
        return "shares an array"
    return "wrong gradient" if _is_wrong(op, a, b) else ""


@wrong("use np.shares_memory")
def rule_broken(op, a, b):
    dy, before, (first, second) = _vjp(op, a, b)
    if (dy != before).any():
        return "changes dy"
    if first is second and first is not dy:
        return "shares an array"
    return "wrong gradient" if _is_wrong(op, a, b) else ""


@wrong("a copy that you made before")
def rule_broken(op, a, b):
    dy, _, (first, second) = _vjp(op, a, b)
    before = dy
    if (dy != before).any():
        return "changes dy"
    if np.shares_memory(first, second) and not np.shares_memory(first, dy):
        return "shares an array"
    return "wrong gradient" if _is_wrong(op, a, b) else ""


@wrong("compare the memory of the two gradients")
def rule_broken(op, a, b):
    dy, before, _ = _vjp(op, a, b)
    if (dy != before).any():
        return "changes dy"
    return "wrong gradient" if _is_wrong(op, a, b) else ""


@wrong("minivit.gradcheck finds it")
def rule_broken(op, a, b):
    dy, before, (first, second) = _vjp(op, a, b)
    if (dy != before).any():
        return "changes dy"
    return "shares an array" if np.shares_memory(first, second) and not np.shares_memory(first, dy) else ""


@wrong("rule_broken returns False for a * b")
def rule_broken(op, a, b):
    return _is_wrong(op, a, b)


@wrong("turn it round")
def slope_is_right(form):
    x, step = np.linspace(-4, 4, 41), 1e-5
    above, below, out, derivative = (np.empty_like(x) for _ in range(4))
    form(x, out, derivative)
    form(x + step, above, None)
    form(x - step, below, None)
    return not np.allclose(derivative, (above - below) / (2 * step), rtol=0, atol=1e-6)


@wrong("ask whether all are close, not any")
def slope_is_right(form):
    x = np.linspace(-4, 4, 41)
    out, d, a, b = (np.empty_like(x) for _ in range(4))
    form(x, out, d)
    form(x + 1e-5, a, None)
    form(x - 1e-5, b, None)
    return bool((abs(d - (a - b) / 2e-5) < 1e-6).any())


@wrong("use a smaller tolerance, 1e-6")
def slope_is_right(form):
    x = np.linspace(-4, 4, 41)
    out, d, a, b = (np.empty_like(x) for _ in range(4))
    form(x, out, d)
    form(x + 1e-5, a, None)
    form(x - 1e-5, b, None)
    return bool(np.allclose(d, (a - b) / 2e-5, atol=0.5))


@wrong("a difference to one side is too inexact: use x + step and x - step")
def slope_is_right(form):
    x = np.linspace(-4, 4, 41)
    o, d, a = (np.empty_like(x) for _ in range(3))
    form(x, o, d)
    form(x + 1e-5, a, None)
    return bool(np.allclose(d, (a - o) / 1e-5, atol=1e-8, rtol=0))


@wrong("two calls write into the same array: give each")
def slope_is_right(form):
    x = np.linspace(-4, 4, 41)
    out, d, a = (np.empty_like(x) for _ in range(3))
    form(x, out, d)
    form(x + 1e-5, a, None)
    form(x - 1e-5, a, None)
    return bool(np.allclose(d, (a - a) / 2e-5, rtol=0, atol=1e-6))


@wrong("before gradcheck, compare a random dy with a copy that you made")
def rule_broken(op, a, b):
    out = op(Tensor(a, requires_grad=True), Tensor(b, requires_grad=True))
    dy = np.zeros(out.shape)
    h = dy.copy()
    f, s = out._node.vjp(h)
    if not np.array_equal(h, dy):
        return "changes dy"
    if np.shares_memory(f, s) and not np.shares_memory(f, h):
        return "shares an array"
    try:
        minivit.gradcheck(op, a, b)
    except minivit.GradientError:
        return "wrong gradient"
    return ""


@wrong("check both gradients")
def rule_broken(op, a, b):
    out = op(Tensor(a, requires_grad=True), Tensor(b, requires_grad=True))
    dy = np.random.default_rng(0).standard_normal(out.shape)
    h = dy.copy()
    f, s = out._node.vjp(h)
    if not np.array_equal(h, dy):
        return "changes dy"
    if np.shares_memory(f, s) and not np.shares_memory(f, h):
        return "shares an array"
    try:
        minivit.gradcheck(lambda t: op(t, Tensor(b)), a)
    except minivit.GradientError:
        return "wrong gradient"
    return ""


@wrong("PyTorch's copy_ is here: x[...] = y")
def gelu_sigmoid(x, out, derivative):
    out.copy_(x / (1.0 + np.exp(-1.702 * x)))


@wrong("form is called once: call it at x + step and x - step too, with a step of 1e-5; points 0.2 apart")
def slope_is_right(form):
    x = np.linspace(-4, 4, 41)
    out, derivative = np.empty_like(x), np.empty_like(x)
    form(x, out, derivative)
    return bool(np.allclose(derivative, np.gradient(out, x), atol=1e-6))


@wrong("op takes Tensors that require gradients")
def rule_broken(op, a, b):
    out = op(Tensor(a), Tensor(b))
    dy = np.ones(out.shape)
    first, second = out._node.vjp(dy)
    return "" if (dy == 1).all() else "changes dy"
