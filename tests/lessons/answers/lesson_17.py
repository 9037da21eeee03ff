import math

import numpy as np

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
wrong_value("home_of_equation_2", "ViT.forward", "has no tag of Eq. 2")
wrong_value("home_of_equation_2", 219, "must be a string")
wrong_value("home_of_equation_2", "thirty_lines.vit", "is in the thirty lines: name the class and method in models/vit")

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

right_value("tokens_in_last_mlp", (1, 65))
right_value("tokens_in_last_mlp", [1, 64 + 1])
wrong_value("tokens_in_last_mlp", (65, 1), "the two numbers are swapped")
wrong_value("tokens_in_last_mlp", (65, 65), "count those that the head reads (Eq. 4)")
wrong_value("tokens_in_last_mlp", (1, 64), "without skip_unused the class token passes too, beside the 64")
wrong_value("tokens_in_last_mlp", (0, 65), "tokens_in_last_mlp: not 0 tokens, since the head reads at least")
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


@wrong("which is right: compare with differences")
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


@wrong("write into it with slope[...] = ..., since slope = ... makes a")
def gelu_sigmoid(x, out, slope):
    sigma = 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x * sigma
    if slope is not None:
        slope = sigma + 1.702 * out * (1.0 - sigma)


@wrong("raises TypeError")
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


@wrong("changes its input")
def gelu_sigmoid(x, out, slope):
    x *= 1.0 / (1.0 + np.exp(-1.702 * x))
    out[...] = x
    if slope is not None:
        slope[...] = 1.0
