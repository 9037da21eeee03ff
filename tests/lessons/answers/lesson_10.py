import math

import numpy as np

from . import lesson, right, wrong

adam_given = lesson(10)["adam_step"]


@right
def sgd_step(w, g, m, lr, momentum=0.9):
    new_m = g + momentum * m
    new_w = w - lr * new_m
    return new_w, new_m


@right
def sgd_step(w, g, m, lr, momentum=0.9):
    m = m.copy()
    m *= momentum
    m += g
    w = w.copy()
    w -= lr * m
    return [w, m]


@wrong("is the old m")
def sgd_step(w, g, m, lr, momentum=0.9):
    return w - lr * (momentum * m + g), m


@wrong("add it unchanged to this sum")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = momentum * m + (1 - momentum) * g
    return w - lr * m, m


@wrong("the step uses g")
def sgd_step(w, g, m, lr, momentum=0.9):
    return w - lr * g, momentum * m + g


@wrong("it includes the learning rate")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = momentum * m + lr * g
    return w - m, m


@wrong("the step is added")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = momentum * m + g
    return w + lr * m, m


@wrong("changes its input")
def sgd_step(w, g, m, lr, momentum=0.9):
    m *= momentum
    m += g
    return w - lr * m, m


@wrong("the step uses the old m")
def sgd_step(w, g, m, lr, momentum=0.9):
    return w - lr * m, momentum * m + g


@wrong("return w, m")
def sgd_step(w, g, m, lr, momentum=0.9):
    return w - lr * (momentum * m + g)


@wrong("the old m is not multiplied by momentum")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = m + g
    return w - lr * m, m


@right
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    mean = mean + (1 - beta1) * (g - mean)
    square = square + (1 - beta2) * (g**2 - square)
    size = np.sqrt(square / (1 - beta2**step)) + eps
    return w - lr / (1 - beta1**step) * mean / size, mean, square


@right
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    mean = betas[0] * mean + (1 - betas[0]) * g
    square = betas[1] * square + (1 - betas[1]) * g**2
    root = np.sqrt(square) / math.sqrt(1 - betas[1] ** step)
    return [w - lr * mean / (root + eps) / (1 - betas[0] ** step), mean, square]


def adam_like(update):
    """Adam with the last line as a learner wrote it."""

    def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
        mean = betas[0] * mean + (1 - betas[0]) * g
        square = betas[1] * square + (1 - betas[1]) * g * g
        return update(w, g, mean, square, step, lr, *betas, eps), mean, square

    return adam_step


wrong("neither mean is corrected")(adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (np.sqrt(v) + eps)))

wrong("the mean of squares is not corrected")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / (np.sqrt(v) + eps))
)

wrong("the mean of gradients is not corrected for its start at 0")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (np.sqrt(v / (1 - b2**t)) + eps))
)

wrong("the root is missing")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / (v / (1 - b2**t) + eps))
)

wrong("the root is taken before the correction")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / (np.sqrt(v) / (1 - b2**t) + eps))
)

wrong("epsilon is under the root")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / np.sqrt(v / (1 - b2**t) + eps))
)

wrong("epsilon is missing")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / np.sqrt(v / (1 - b2**t)))
)

wrong("uses step + 1")(
    adam_like(
        lambda w, g, m, v, t, lr, b1, b2, eps: (
            w - lr * m / (1 - b1 ** (t + 1)) / (np.sqrt(v / (1 - b2 ** (t + 1))) + eps)
        )
    )
)

wrong("value 1 of adam_step is float64, but all arrays were float32")(
    adam_like(
        lambda w, g, m, v, t, lr, b1, b2, eps: (
            w - lr * m / (1 - b1**t) / (np.sqrt(v) / np.sqrt(1 - np.float64(b2) ** t) + eps)
        )
    )
)


@wrong("this is the corrected mean:")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    mean = (beta1 * mean + (1 - beta1) * g) / (1 - beta1**step)
    square = (beta2 * square + (1 - beta2) * g * g) / (1 - beta2**step)
    return w - lr * mean / (np.sqrt(square) + eps), mean, square


@wrong("the gradient is not squared")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * g
    return w - lr * mean / (1 - beta1**step) / (np.sqrt(square / (1 - beta2**step)) + eps), mean, square


@wrong("the gradient is not multiplied by 1 - beta1")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    mean = beta1 * mean + g
    square = beta2 * square + (1 - beta2) * g * g
    return w - lr * mean / (1 - beta1**step) / (np.sqrt(square / (1 - beta2**step)) + eps), mean, square


@wrong("averages the square of the mean")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * mean**2
    return w - lr * mean / (1 - beta1**step) / (np.sqrt(square / (1 - beta2**step)) + eps), mean, square


@right
def adamw_step(w, g, mean, square, step, lr, decay):
    moved, mean, square = adam_given(w, g, mean, square, step, lr)
    return moved - lr * decay * w, mean, square


@right
def adamw_step(w, g, mean, square, step, lr, decay):
    mean = 0.9 * mean + 0.1 * g
    square = 0.999 * square + 0.001 * g * g
    direction = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return w - lr * (direction + decay * w), mean, square


@wrong("the decay is part of the gradient")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w, g + decay * w, mean, square, step, lr)


@wrong("the decay is not multiplied by the learning rate")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w * (1 - decay), g, mean, square, step, lr)


@wrong("the weights grow")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w + lr * decay * w, g, mean, square, step, lr)


@wrong("comes after the step")
def adamw_step(w, g, mean, square, step, lr, decay):
    w, mean, square = adam_given(w, g, mean, square, step, lr)
    return w - lr * decay * w, mean, square


@wrong("the decay is missing")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w, g, mean, square, step, lr)


@wrong("all weights lose the same amount")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w - lr * decay, g, mean, square, step, lr)


@right
def clip_by_norm(gradients, max_norm):
    long = np.concatenate([g.reshape(-1) for g in gradients])
    norm = float(np.linalg.norm(long))
    if norm <= max_norm:
        return gradients
    return [g * (max_norm / norm) for g in gradients]


@right
def clip_by_norm(gradients, max_norm):
    norm = sum(float((g**2).sum()) for g in gradients) ** 0.5
    return tuple(g / max(1.0, norm / max_norm) for g in gradients)


@wrong("each array is clipped by its own norm")
def clip_by_norm(gradients, max_norm):
    return [g * min(1.0, max_norm / float(np.linalg.norm(g))) for g in gradients]


@wrong("each number is clipped separately, which changes the direction")
def clip_by_norm(gradients, max_norm):
    return [np.clip(g, -max_norm, max_norm) for g in gradients]


@wrong("they became larger")
def clip_by_norm(gradients, max_norm):
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    return [g * (max_norm / norm) for g in gradients]


@wrong("the root is missing")
def clip_by_norm(gradients, max_norm):
    norm = sum(float(np.sum(g * g)) for g in gradients)
    return [g * min(1.0, max_norm / norm) for g in gradients]


@wrong("the norms of the arrays are added up")
def clip_by_norm(gradients, max_norm):
    norm = sum(float(np.linalg.norm(g)) for g in gradients)
    return [g * min(1.0, max_norm / norm) for g in gradients]


@wrong("as float64 instead of float32")
def clip_by_norm(gradients, max_norm):
    norm = np.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    return [g * (max_norm / norm) if norm > max_norm else g for g in gradients]


@wrong("holds nan or infinity")
def clip_by_norm(gradients, max_norm):
    norm = np.sqrt(sum(np.sum(g * g) for g in gradients))
    return [np.asarray(g * np.minimum(1.0, max_norm / norm) * (norm / norm)) for g in gradients]


@wrong("changes its input gradients: make a new list of new arrays")
def clip_by_norm(gradients, max_norm):
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    for g in gradients:
        g *= min(1.0, max_norm / norm)
    return gradients


@wrong("they are scaled to norm 1")
def clip_by_norm(gradients, max_norm):
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    return [g / norm if norm > max_norm else g for g in gradients]


@right
def schedule(step, total, warmup, lr, decay="cosine"):
    if step < warmup:
        return lr / warmup * (step + 1)
    left = (total - step) / (total - warmup)
    return lr * left if decay == "linear" else lr * math.sin(math.pi / 2 * left) ** 2


@right
def schedule(step, total, warmup, lr, decay="cosine"):
    if warmup and step < warmup:
        return np.interp(step + 1, [0, warmup], [0, lr])
    f = (step - warmup) / (total - warmup)
    falls = {"linear": 1 - f, "cosine": 0.5 + 0.5 * np.cos(np.pi * f)}
    return lr * falls[decay]


def schedule_like(rise, fraction, fall):
    """A schedule with its three parts as a learner wrote them."""

    def schedule(step, total, warmup, lr, decay="cosine"):
        if step < warmup:
            return lr * rise(step, warmup)
        return lr * fall(fraction(step, total, warmup), decay)

    return schedule


def linear_or(cosine):
    return lambda f, decay: 1 - f if decay == "linear" else cosine(f)


def good_rise(step, warmup):
    return (step + 1) / warmup


def good_fraction(step, total, warmup):
    return (step - warmup) / (total - warmup)


good_fall = linear_or(lambda f: (1 + math.cos(math.pi * f)) / 2)

wrong("begins at 0")(schedule_like(lambda step, warmup: step / warmup, good_fraction, good_fall))
wrong("the decay begins at step 0")(schedule_like(good_rise, lambda step, total, warmup: step / total, good_fall))
wrong("it must take total - warmup steps")(
    schedule_like(good_rise, lambda step, total, warmup: (step - warmup) / total, good_fall)
)
wrong("this is the linear decay")(schedule_like(good_rise, good_fraction, lambda f, decay: 1 - f))
wrong("this is the cosine decay")(
    schedule_like(good_rise, good_fraction, lambda f, decay: (1 + math.cos(math.pi * f)) / 2)
)
wrong("from 1 to -1")(schedule_like(good_rise, good_fraction, linear_or(lambda f: math.cos(math.pi * f))))
wrong("from 2 to 0")(schedule_like(good_rise, good_fraction, linear_or(lambda f: 1 + math.cos(math.pi * f))))
wrong("this is a full period")(
    schedule_like(good_rise, good_fraction, linear_or(lambda f: (1 + math.cos(math.tau * f)) / 2))
)


@wrong("there is no warmup")
def schedule(step, total, warmup, lr, decay="cosine"):
    f = step / total
    return lr * (1 - f) if decay == "linear" else lr * (1 + math.cos(math.pi * f)) / 2


# -- more mistakes, by what a learner knows --------------------------------------------------------------


@wrong("momentum multiplies both")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = momentum * (m + g)
    return w - lr * m, m


@wrong("the old m is multiplied by 1 - momentum")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = (1 - momentum) * m + g
    return w - lr * m, m


@wrong("momentum multiplies the gradient")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = m + momentum * g
    return w - lr * m, m


@wrong("this is Nesterov's momentum")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = momentum * m + g
    return w - lr * (g + momentum * m), m


@wrong("this is the new w: return w, m")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = momentum * m + g
    return m, w - lr * m


@wrong("the learning rate is missing")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = momentum * m + g
    return w - m, m


@wrong("PyTorch's clone is here")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = m.clone() * momentum + g
    return w - lr * m, m


wrong("the means are corrected by 1 - beta: correct")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1) / (np.sqrt(v / (1 - b2)) + eps))
)

wrong("the mean of squares is corrected by 1 - beta2")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / (np.sqrt(v / (1 - b2)) + eps))
)

wrong("the mean of gradients is corrected by 1 - beta1: correct")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1) / (np.sqrt(v / (1 - b2**t)) + eps))
)

wrong("corrected by beta ** step")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / b1**t / (np.sqrt(v / b2**t) + eps))
)

wrong("the power beta ** step is needed")(
    adam_like(
        lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1 * t) / (np.sqrt(np.abs(v / (1 - b2 * t))) + eps)
    )
)

wrong("both means are corrected with beta1")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / (np.sqrt(v / (1 - b1**t)) + eps))
)

wrong("the step is added")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w + lr * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps))
)

wrong("the learning rate is missing")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps))
)

wrong("these are arrays: use np.sqrt")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + eps))
)

wrong("use np.sqrt for arrays")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / (math.sqrt(v / (1 - b2**t)) + eps))
)


@wrong("this is the old mean")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    m = betas[0] * mean + (1 - betas[0]) * g
    v = betas[1] * square + (1 - betas[1]) * g * g
    return w - lr * m / (1 - betas[0] ** step) / (np.sqrt(v / (1 - betas[1] ** step)) + eps), mean, square


@wrong("beta1 and 1 - beta1 are swapped")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    m = (1 - betas[0]) * mean + betas[0] * g
    v = (1 - betas[1]) * square + betas[1] * g * g
    return w - lr * m / (1 - betas[0] ** step) / (np.sqrt(v / (1 - betas[1] ** step)) + eps), m, v


@wrong("1 - beta2 is squared too")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    m = betas[0] * mean + (1 - betas[0]) * g
    v = betas[1] * square + ((1 - betas[1]) * g) ** 2
    return w - lr * m / (1 - betas[0] ** step) / (np.sqrt(v / (1 - betas[1] ** step)) + eps), m, v


@wrong("the weight is multiplied by decay")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(decay * w, g, mean, square, step, lr)


@wrong("the weight is multiplied by lr * decay")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(lr * decay * w, g, mean, square, step, lr)


@wrong("the step of Adam is missing")
def adamw_step(w, g, mean, square, step, lr, decay):
    return w - lr * decay * w, *adam_given(w, g, mean, square, step, lr)[1:]


@wrong("they are multiplied by max_norm")
def clip_by_norm(gradients, max_norm):
    return [g * max_norm for g in gradients]


@wrong("the factor is inverted")
def clip_by_norm(gradients, max_norm):
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    return [g * (norm / max_norm) for g in gradients]


@wrong("the arrays have different shapes")
def clip_by_norm(gradients, max_norm):
    norm = np.linalg.norm(np.array(gradients))
    return [g * min(1.0, max_norm / norm) for g in gradients]


@wrong("the norm is the largest of the arrays' norms")
def clip_by_norm(gradients, max_norm):
    norm = max(float(np.linalg.norm(g)) for g in gradients)
    return [g * min(1.0, max_norm / norm) if norm else g for g in gradients]


@wrong("the norm adds up absolute values")
def clip_by_norm(gradients, max_norm):
    norm = sum(float(np.abs(g).sum()) for g in gradients)
    return [g * min(1.0, max_norm / norm) if norm else g for g in gradients]


@wrong("nothing is clipped")
def clip_by_norm(gradients, max_norm):
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    return [g if norm > max_norm else g * (max_norm / norm) for g in gradients]


wrong("the warmup has the full rate")(schedule_like(lambda step, warmup: 1.0, good_fraction, good_fall))
wrong("too short by one step")(schedule_like(lambda step, warmup: (step + 1) / (warmup + 1), good_fraction, good_fall))
wrong("the rate rises during the decay")(
    schedule_like(
        good_rise, good_fraction, lambda f, decay: f if decay == "linear" else (1 - math.cos(math.pi * f)) / 2
    )
)
wrong("the cosine is of f")(schedule_like(good_rise, good_fraction, linear_or(lambda f: (1 + math.cos(f)) / 2)))
wrong("there is no decay after the warmup")(schedule_like(good_rise, good_fraction, lambda f, decay: 1.0))
wrong("counts from step 0: subtract warmup")(
    schedule_like(good_rise, lambda step, total, warmup: step / (total - warmup), good_fall)
)


@right
def momentum_at_once(gradients, momentum, T):
    return np.tril(momentum ** abs(np.arange(T)[:, None] - np.arange(T)[None, :])) @ gradients


@right
def momentum_at_once(gradients, momentum, T):
    return np.tril(momentum ** abs(np.arange(T) - np.arange(T)[:, None])) @ gradients


@right
def momentum_at_once(gradients, momentum, T):
    return np.tril(momentum ** abs(np.arange(T) - np.arange(T)[:, None])) @ gradients[:T]


@wrong("later gradients are added, not earlier ones")
def momentum_at_once(gradients, momentum, T):
    return np.triu(momentum ** abs(np.arange(T)[:, None] - np.arange(T))) @ gradients


@wrong("later gradients count too")
def momentum_at_once(gradients, momentum, T):
    return momentum ** abs(np.arange(T)[:, None] - np.arange(T)) @ gradients


@wrong("all earlier gradients count equally")
def momentum_at_once(gradients, momentum, T):
    return np.cumsum(gradients, axis=0)


@wrong("the gradient of the step itself is missing")
def momentum_at_once(gradients, momentum, T):
    return np.tril(momentum ** abs(np.arange(T)[:, None] - np.arange(T)), -1) @ gradients


@wrong("must be a single line that begins with return")
def momentum_at_once(gradients, momentum, T):
    m, found = 0, []
    for g in gradients:
        m = momentum * m + g
        found.append(m)
    return np.array(found)


@wrong("uses outer: this puzzle allows @")
def momentum_at_once(gradients, momentum, T):
    return np.tril(momentum ** abs(np.subtract.outer(np.arange(T), np.arange(T)))) @ gradients


@wrong("sign and learning rate are in m")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = momentum * m - lr * g
    return w + m, m


@wrong("momentum is written as 0.9")
def sgd_step(w, g, m, lr, momentum=0.9):
    m = 0.9 * m + g
    return w - lr * m, m


wrong("the means are corrected by (1 - beta) ** step")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1) ** t / (np.sqrt(v / (1 - b2) ** t) + eps))
)

wrong("is a root of a negative number taken?")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1 * t) / (np.sqrt(v / (1 - b2 * t)) + eps))
)

wrong("a power is ** in Python")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1 ^ t) / (np.sqrt(v / (1 - b2**t)) + eps))
)

wrong("epsilon is added to the weight")(
    adam_like(lambda w, g, m, v, t, lr, b1, b2, eps: w - lr * m / (1 - b1**t) / np.sqrt(v / (1 - b2**t)) + eps)
)


@wrong("it averages g * g, without a root")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    mean = betas[0] * mean + (1 - betas[0]) * g
    return w, mean, betas[1] * square + (1 - betas[1]) * np.sqrt(g)


@wrong("the decay multiplies the gradient")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w - lr * decay * g, g, mean, square, step, lr)


@wrong("the weight is divided by 1 + lr * decay")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w / (1 + lr * decay), g, mean, square, step, lr)


@wrong("each array's sum is squared")
def clip_by_norm(gradients, max_norm):
    norm = math.sqrt(sum(float(np.sum(g)) ** 2 for g in gradients))
    return [g * min(1.0, max_norm / norm) if norm else g for g in gradients]


wrong("the cosine takes radians")(
    schedule_like(good_rise, good_fraction, linear_or(lambda f: (1 + math.cos(180 * f)) / 2))
)
wrong("f is an integer division")(
    schedule_like(good_rise, lambda step, total, warmup: (step - warmup) // (total - warmup), good_fall)
)


@wrong("step `warmup` is still warmup")
def schedule(step, total, warmup, lr, decay="cosine"):
    if step <= warmup:
        return lr * good_rise(step, warmup)
    return lr * good_fall(good_fraction(step, total, warmup), decay)


@wrong("the norm adds up means of squares")
def clip_by_norm(gradients, max_norm):
    norm = math.sqrt(sum(float((g**2).mean()) for g in gradients))
    return [g * min(1.0, max_norm / norm) if norm else g for g in gradients]


@wrong("returns a second value beside the list")
def clip_by_norm(gradients, max_norm):
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    factor = max_norm / norm if norm > max_norm else 1.0
    return [g * factor for g in gradients], norm


@wrong("negative weights grow")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w - lr * decay * np.abs(w), g, mean, square, step, lr)


@wrong("the decay is lr * decay times the sign of w: it is times w")
def adamw_step(w, g, mean, square, step, lr, decay):
    return adam_given(w - lr * decay * np.sign(w), g, mean, square, step, lr)


@wrong("every gradient counts with momentum itself")
def momentum_at_once(gradients, momentum, T):
    return np.tril(momentum * np.ones((T, T))) @ gradients


@wrong("the matrix (T, T) comes first")
def momentum_at_once(gradients, momentum, T):
    return gradients @ np.tril(momentum ** abs(np.arange(T)[:, None] - np.arange(T)))


@wrong("momentum is multiplied by t - i: it must be momentum ** (t - i)")
def momentum_at_once(gradients, momentum, T):
    return np.tril(momentum * abs(np.arange(T)[:, None] - np.arange(T))) @ gradients


@wrong("the power is that of the column: a gradient of t - i steps ago has momentum ** (t - i)")
def momentum_at_once(gradients, momentum, T):
    return np.tril(momentum ** np.arange(T)) @ gradients


@wrong("it averages |g|")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * np.abs(g)
    step_size = mean / (1 - beta1**step) / (np.sqrt(square / (1 - beta2**step)) + eps)
    return w - lr * step_size, mean, square


@wrong("the new mean of adam_step(..., step=3, lr=0.1, betas=(0.9, 0.999), eps=1e-08): it includes the learning rate")
def adam_step(w, g, mean, square, step, lr, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    mean = beta1 * mean + (1 - beta1) * g * lr
    square = beta2 * square + (1 - beta2) * g**2
    m, s = mean / (1 - beta1**step), square / (1 - beta2**step)
    return w - m / (np.sqrt(s) + eps), mean, square


@wrong("this is a sine")
def schedule(step, total, warmup, lr, decay="cosine"):
    if step < warmup:
        return lr * (step + 1) / warmup
    fraction = (step - warmup) / (total - warmup)
    return lr * (1 - fraction if decay == "linear" else (1 + math.sin(math.pi * fraction)) / 2)


@wrong("the decay ends one step early: divide by total - warmup")
def schedule(step, total, warmup, lr, decay="cosine"):
    if step < warmup:
        return lr * (step + 1) / warmup
    f = (step - warmup) / (total - 1 - warmup)
    if decay == "linear":
        return lr * (1 - f)
    return lr * (1 + math.cos(math.pi * f)) / 2


@wrong("the decay counts from step 0 and multiplies the warmup too:")
def schedule(step, total, warmup, lr, decay="cosine"):
    scale = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fraction = step / total
    return lr * scale * ((1 - fraction) if decay == "linear" else (1 + math.cos(math.pi * fraction)) / 2)


@wrong("lr / 10 must be 0")
def schedule(step, total, warmup, lr, decay="cosine"):
    if step < warmup:
        return lr * (step + 1) / warmup
    f = (step - warmup) / (total - warmup)
    low = lr / 10
    if decay == "linear":
        return low + (lr - low) * (1 - f)
    return low + (lr - low) * (1 + math.cos(math.pi * f)) / 2


@wrong("the warmup runs from 0 to the full rate, as linspace(0, lr, warmup)")
def schedule(step, total, warmup, lr, decay="cosine"):
    if step < warmup:
        return np.linspace(0, lr, warmup)[step]
    fraction = (step - warmup) / (total - warmup)
    return lr * (1 - fraction) if decay == "linear" else lr * (1 + math.cos(math.pi * fraction)) / 2
