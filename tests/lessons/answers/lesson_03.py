import numpy as np

from . import lesson, right, wrong

names = lesson(3)
Tensor, record, arrays, unbroadcast = names["Tensor"], names["record"], names["arrays"], names["unbroadcast"]
softmax_given = names["softmax"]

# -- softmax_jacobian -----------------------------------------------------------------------------------


@right
def softmax_jacobian(p):
    K = len(p)
    J = np.zeros((K, K))
    for i in range(K):
        for j in range(K):
            J[i, j] = p[i] * (1 - p[i]) if i == j else -p[i] * p[j]
    return J


@right
def softmax_jacobian(p):
    return p[:, None] * (np.eye(len(p)) - p[None, :])


@right
def softmax_jacobian(p):
    J = np.zeros((len(p), len(p)))
    for i in range(len(p)):
        for j in range(len(p)):
            J[i, j] -= p[i] * p[j]
        J[i, i] += p[i]
    return J


@wrong("p[i] · p[j] is added")
def softmax_jacobian(p):
    return np.diag(p) + np.outer(p, p)


@wrong("the term p[i] on the diagonal is missing")
def softmax_jacobian(p):
    return -np.outer(p, p)


@wrong("only the diagonal is filled")
def softmax_jacobian(p):
    return np.diag(p * (1 - p))


@wrong("the K numbers of the diagonal")
def softmax_jacobian(p):
    return p * (1 - p)


@wrong("p[i] is added to whole columns")
def softmax_jacobian(p):
    return p - np.outer(p, p)


@wrong("the diagonal has 1 instead of p[i]")
def softmax_jacobian(p):
    return np.eye(len(p)) - np.outer(p, p)


@wrong("wrong sign everywhere")
def softmax_jacobian(p):
    return np.outer(p, p) - np.diag(p)


@wrong("element by element: use np.outer")
def softmax_jacobian(p):
    return np.diag(p) - p * p


@wrong("p @ p is a single number")
def softmax_jacobian(p):
    return np.diag(p) - p.T @ p


@wrong("do not take their softmax")
def softmax_jacobian(p):
    q = np.exp(p) / np.exp(p).sum()
    return np.diag(q) - np.outer(q, q)


@wrong("p[i] is added to whole rows")
def softmax_jacobian(p):
    return p[:, None] - np.outer(p, p)


@wrong("the minus sign off the diagonal is missing")
def softmax_jacobian(p):
    J = np.outer(p, p)
    for i in range(len(p)):
        J[i, i] = p[i] * (1 - p[i])
    return J


@wrong("it is divided by K: np.outer(p, p) is subtracted as it is")
def softmax_jacobian(p):
    return np.diag(p) - np.outer(p, p) / len(p)


@wrong("the diagonal is 0: it must be p[i] - p[i]²")
def softmax_jacobian(p):
    return np.diag(p**2) - np.outer(p, p)


@wrong("the number of the diagonal is in the last column")
def softmax_jacobian(p):
    K = len(p)
    J = np.zeros((K, K))
    for i in range(K):
        for j in range(K):
            J[i, j] = -p[i] * p[j]
        J[i, j] = p[i] * (1 - p[i])
    return J


@wrong("the term -p[i] · p[j] lacks its p[i]: it is p[:, None] * (np.eye(K) - p)")
def softmax_jacobian(p):
    return np.eye(len(p)) - p


@wrong("only the diagonal is wrong: it must be p[i] · (1 - p[i])")
def softmax_jacobian(p):
    J = -np.outer(p, p)
    np.fill_diagonal(J, 1 - p)
    return J


# -- matmul ---------------------------------------------------------------------------------------------


def multiplying(vjp_of):
    """matmul with the vjp that `vjp_of(x, w)` makes."""

    def matmul(a, b):
        x, w = arrays(a, b)
        return record(x @ w, (a, b), vjp_of(x, w))

    matmul.__module__ = __name__
    return matmul


def t(x):
    return x.swapaxes(-1, -2)


@right
def matmul(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        dx = np.einsum("...mn,...kn->...mk", dy, w)
        dw = np.einsum("...mk,...mn->...kn", x, dy)
        return unbroadcast(dx, x.shape), unbroadcast(dw, w.shape)

    return record(x @ w, (a, b), vjp)


@right
def matmul(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        if w.ndim == 2 and x.ndim > 2:  # one long product in place of many
            k, n = w.shape
            return dy @ w.T, x.reshape(-1, k).T @ dy.reshape(-1, n)
        return unbroadcast(dy @ np.matrix_transpose(w), x.shape), unbroadcast(np.matrix_transpose(x) @ dy, w.shape)

    return record(x @ w, (a, b), vjp)


@right
def matmul(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        dx = np.matmul(dy, np.moveaxis(w, -1, -2))
        dw = np.moveaxis(np.matmul(np.moveaxis(dy, -1, -2), x), -1, -2)
        return unbroadcast(dx, x.shape), unbroadcast(dw, w.shape)

    return record(np.matmul(x, w), (a, b), vjp)


wrong("unbroadcast takes a shape: unbroadcast(dx, x.shape)")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(dy @ t(w), x), unbroadcast(t(x) @ dy, w)))
)


@wrong("np.dot multiplies each matrix by all of the other stack: use x @ w")
def matmul(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        return unbroadcast(dy @ w.swapaxes(-1, -2), x.shape), unbroadcast(x.swapaxes(-1, -2) @ dy, w.shape)

    return record(np.dot(x, w), (a, b), vjp)


@wrong("the gradients of the copies are averaged: add them up with unbroadcast")
def matmul(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        dx = dy @ w.swapaxes(-1, -2)
        dw = x.swapaxes(-1, -2) @ dy
        while dw.ndim > w.ndim:
            dw = dw.mean(axis=0)
        while dx.ndim > x.ndim:
            dx = dx.mean(axis=0)
        return dx, dw

    return record(x @ w, (a, b), vjp)


@wrong("at [0, 0] it is -1.6044 and should be -0.40867 (9 of 9 numbers differ); it is xᵀ @ dy")
def matmul(a, b):
    x, w = arrays(a, b)

    def vjp(dy):
        dx = dy @ w.swapaxes(-1, -2)
        dw = x.swapaxes(-1, -2) @ dx @ w
        return unbroadcast(dx, x.shape), unbroadcast(dw, w.shape)

    return record(x @ w, (a, b), vjp)


wrong("w is not transposed")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(dy @ w, x.shape), unbroadcast(t(x) @ dy, w.shape)))
)
wrong("x is not transposed")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(dy @ t(w), x.shape), unbroadcast(x @ dy, w.shape)))
)
wrong("the factors are swapped: dx")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(t(w) @ dy, x.shape), unbroadcast(t(x) @ dy, w.shape)))
)
wrong("the factors are swapped: dw")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(dy @ t(w), x.shape), unbroadcast(dy @ t(x), w.shape)))
)
wrong("reverses all axes of a stack")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(dy @ w.T, x.shape), unbroadcast(x.T @ dy, w.shape)))
)
wrong("not summed over the stack")(multiplying(lambda x, w: lambda dy: (dy @ t(w), t(x) @ dy)))
wrong("dy is missing")(
    multiplying(
        lambda x, w: lambda dy: (unbroadcast((0 * dy + 1) @ t(w), x.shape), unbroadcast(t(x) @ dy, w.shape)),
    )
)
wrong("the gradients of a and b are swapped")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(t(x) @ dy, w.shape), unbroadcast(dy @ t(w), x.shape)))
)
wrong("returns 1 gradients for 2 inputs")(multiplying(lambda x, w: lambda dy: (dy @ t(w),)))


wrong("swap the last two with swapaxes(-1, -2)")(
    multiplying(
        lambda x, w: (
            lambda dy: (
                unbroadcast(dy @ w.transpose(-1, -2), x.shape),
                unbroadcast(x.transpose(-1, -2) @ dy, w.shape),
            )
        )
    )
)
wrong("np.dot multiplies each matrix by all matrices")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(np.dot(dy, t(w)), x.shape), unbroadcast(t(x) @ dy, w.shape)))
)
wrong("the vjp of @ needs @")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(dy * w, x.shape), unbroadcast(dy * x, w.shape)))
)
wrong("returns a list, not a tuple")(
    multiplying(lambda x, w: lambda dy: [unbroadcast(dy @ t(w), x.shape), unbroadcast(t(x) @ dy, w.shape)])
)


# -- softmax --------------------------------------------------------------------------------------------


@right
def softmax(a, axis=-1):
    e = (a - a.data.max(axis=axis, keepdims=True)).exp()
    return e / e.sum(axis=axis, keepdims=True)


@right
def softmax(a, axis=-1):
    x = np.moveaxis(a.data, axis, -1)
    x = x - x.max(axis=-1)[..., None]
    log_p = x - np.log(np.exp(x).sum(axis=-1))[..., None]
    p = np.exp(log_p)

    def vjp(dp):
        dp = np.moveaxis(dp, axis, -1)
        jacobian = p[..., None] * np.eye(p.shape[-1], dtype=p.dtype) - p[..., :, None] * p[..., None, :]
        return (np.moveaxis((jacobian @ dp[..., None])[..., 0], -1, axis),)

    return record(np.moveaxis(p, -1, axis), (a,), vjp)


def stable(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def with_vjp(vjp_of):
    """softmax with a right forward pass and the vjp that `vjp_of(p, axis)` makes."""

    def softmax(a, axis=-1):
        p = stable(a.data, axis)
        return record(p, (a,), vjp_of(p, axis))

    softmax.__module__ = __name__
    return softmax


wrong("only the Jacobian's diagonal")(with_vjp(lambda p, axis: lambda dp: (dp * p * (1 - p),)))
wrong("the term - p · Σ p dp is missing")(with_vjp(lambda p, axis: lambda dp: (dp * p,)))
wrong("the sum is Σ dp")(
    with_vjp(lambda p, axis: lambda dp: (p * (dp - dp.sum(axis=axis, keepdims=True)),)),
)
wrong("the factor p in front is missing")(
    with_vjp(lambda p, axis: lambda dp: (dp - (p * dp).sum(axis=axis, keepdims=True),))
)
wrong("the gradient of softmax(x, axis=0) with respect to x: the sum is over the last axis")(
    with_vjp(lambda p, axis: lambda dp: (p * (dp - (p * dp).sum(axis=-1, keepdims=True)),))
)


@wrong("exp overflows")
def softmax(a, axis=-1):
    e = np.exp(a.data)
    p = e / e.sum(axis=axis, keepdims=True)
    return record(p, (a,), lambda dp: (p * (dp - (p * dp).sum(axis=axis, keepdims=True)),))


@wrong("use each row's own")
def softmax(a, axis=-1):
    e = (a - a.data.max()).exp()
    return e / e.sum(axis=axis, keepdims=True)


@wrong("softmax(x, axis=1): the sum is over the last axis")
def softmax(a, axis=-1):
    return softmax_given(a)


@wrong("the sum of exp is over the last axis")
def softmax(a, axis=-1):
    e = np.exp(a.data - a.data.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return record(p, (a,), lambda dp: (p * (dp - (p * dp).sum(axis=axis, keepdims=True)),))


@wrong("divided by the sum over everything")
def softmax(a, axis=-1):
    e = (a - a.data.max()).exp()
    return e / e.sum()


@wrong("pass it to record with its vjp, and return what record returns")
def softmax(a, axis=-1):
    return stable(a.data, axis)


@wrong("leaves no gradient on x")
def softmax(a, axis=-1):
    return Tensor(stable(a.data, axis), requires_grad=True)


@wrong("np.exp(x)")
def softmax(a, axis=-1):
    e = a.data.exp()
    return Tensor(e / e.sum(axis))


@wrong("is keepdims=True missing, so that the axis is lost?")
def softmax(a, axis=-1):
    e = np.exp(a.data - a.data.max(axis=axis))
    return record(e / e.sum(axis=axis), (a,), lambda dp: (dp,))


@wrong("divide it by its sum")
def softmax(a, axis=-1):
    return (a - a.data.max(axis=axis, keepdims=True)).exp()


@wrong("exp is divided by its mean")
def softmax(a, axis=-1):
    e = np.exp(a.data)
    return record(e / e.mean(axis=axis, keepdims=True), (a,), lambda dp: (dp,))


@wrong("the sigmoid of each number")
def softmax(a, axis=-1):
    return record(1 / (1 + np.exp(-a.data)), (a,), lambda dp: (dp,))


@wrong("these are the logarithms of the probabilities")
def softmax(a, axis=-1):
    return record(np.log(stable(a.data, axis)), (a,), lambda dp: (dp,))


wrong("with the comma")(with_vjp(lambda p, axis: lambda dp: p * (dp - (p * dp).sum(axis=axis, keepdims=True))))
wrong("keepdims=True is missing")(with_vjp(lambda p, axis: lambda dp: (p * (dp - (p * dp).sum(axis=axis)),)))
wrong("the gradient is dp itself")(with_vjp(lambda p, axis: lambda dp: (dp,)))
wrong("the sign is wrong: dx")(
    with_vjp(lambda p, axis: lambda dp: (p * ((p * dp).sum(axis=axis, keepdims=True) - dp),)),
)


# -- cross_entropy --------------------------------------------------------------------------------------


def targets(labels, K, smoothing, dtype):
    return ((1 - smoothing) * (labels[:, None] == np.arange(K)) + smoothing / K).astype(dtype)


def log_softmax(a):
    shifted = a - a.data.max(axis=-1, keepdims=True)
    return shifted - shifted.exp().sum(axis=-1, keepdims=True).log()


@right
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return -(log_softmax(logits) * target).sum(axis=-1).mean()


@right
def cross_entropy(logits, labels, smoothing=0.0):
    B, K = logits.shape
    log_p = log_softmax(logits)
    chosen = log_p[np.arange(B), labels]
    return -(chosen.mean() * (1 - smoothing) + log_p.mean() * smoothing)


@right
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    target = targets(labels, x.shape[1], smoothing, x.dtype)
    largest = x.max(axis=1)
    losses = largest + np.log(np.exp(x - largest[:, None]).sum(axis=1)) - (target * x).sum(axis=1)
    p = stable(x, -1)
    return record(losses.mean(), (logits,), lambda dy: (dy * (p - target) / len(x),))


@wrong("underflows to 0 before its log")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return -(softmax_given(logits).log() * target).sum(axis=-1).mean()


@wrong("the minus sign is missing")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return (log_softmax(logits) * target).sum(axis=-1).mean()


@wrong("this is the sum over the batch")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return -(log_softmax(logits) * target).sum()


@wrong("it is divided by K too")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return -(log_softmax(logits) * target).mean()


@wrong("smoothing is ignored")
def cross_entropy(logits, labels, smoothing=0.0):
    return -log_softmax(logits)[np.arange(len(labels)), labels].mean()


@wrong("s is spread over the other classes only")
def cross_entropy(logits, labels, smoothing=0.0):
    K = logits.shape[1]
    hot = labels[:, None] == np.arange(K)
    target = np.where(hot, 1 - smoothing, smoothing / (K - 1)).astype(logits.dtype)
    return -(log_softmax(logits) * target).sum(axis=-1).mean()


@wrong("the right class gets 1 - s")
def cross_entropy(logits, labels, smoothing=0.0):
    K = logits.shape[1]
    hot = labels[:, None] == np.arange(K)
    target = np.where(hot, 1 - smoothing, smoothing / K).astype(logits.dtype)
    return -(log_softmax(logits) * target).sum(axis=-1).mean()


@wrong("take their mean")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return -(log_softmax(logits) * target).sum(axis=-1)


@wrong("softmax ran over the batch")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    log_p = softmax_given(logits, axis=0).log()
    return -(log_p * target).sum(axis=-1).mean()


@wrong("the logs of all classes are added")
def cross_entropy(logits, labels, smoothing=0.0):
    return -log_softmax(logits).sum(axis=-1).mean()


@wrong("this is a squared error")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return ((softmax_given(logits) - target) ** 2).sum(axis=-1).mean()


@wrong("minus the right logit alone")
def cross_entropy(logits, labels, smoothing=0.0):
    return -logits[np.arange(len(labels)), labels].mean()


@wrong("softmax is taken twice")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return -(log_softmax(softmax_given(logits)) * target).sum(axis=-1).mean()


@wrong("is keepdims=True missing, so that the axis of the classes is lost?")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    log_p = x - np.log(np.exp(x).sum(axis=-1))
    return record(-log_p[np.arange(len(labels)), labels].mean(), (logits,), lambda dy: (dy * x,))


@wrong("to base 10")
def cross_entropy(logits, labels, smoothing=0.0):
    return -log_softmax(logits)[np.arange(len(labels)), labels].mean() / np.log(10).item()


@wrong("this is the mean of 1 - p")
def cross_entropy(logits, labels, smoothing=0.0):
    return (1 - softmax_given(logits)[np.arange(len(labels)), labels]).mean()


@wrong("take -log of each probability first")
def cross_entropy(logits, labels, smoothing=0.0):
    return softmax_given(logits)[np.arange(len(labels)), labels].mean()


def with_gradient(gradient):
    """cross_entropy with a right loss and the gradient that `gradient(dy, p, target)` makes."""

    def cross_entropy(logits, labels, smoothing=0.0):
        x = logits.data
        target = targets(labels, x.shape[1], smoothing, x.dtype)
        loss = -(log_softmax(Tensor(x)).data * target).sum() / len(x)
        p = stable(x, -1)
        return record(loss, (logits,), lambda dy: (gradient(dy, p, target),))

    cross_entropy.__module__ = __name__
    return cross_entropy


wrong("it is not divided by B")(with_gradient(lambda dy, p, t: dy * (p - t)))
wrong("probability minus target")(with_gradient(lambda dy, p, t: dy * (t - p) / len(p)))
wrong("dy is missing")(with_gradient(lambda dy, p, t: (p - t) / len(p)))
wrong("this is -t / p, the gradient of the logarithm")(with_gradient(lambda dy, p, t: -dy * t / p / len(p)))


@wrong("gives a float64 loss or gradient")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    target = targets(labels, x.shape[1], smoothing, np.float64)
    log_p = log_softmax(Tensor(x)).data
    p = stable(x, -1)
    return record(-(log_p * target).sum() / len(x), (logits,), lambda dy: (dy * (p - target) / len(x),))


@wrong("pass the loss to record with its vjp")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    target = targets(labels, x.shape[1], smoothing, x.dtype)
    return -(np.log(stable(x, -1)) * target).sum(axis=-1).mean()


@wrong("it ignores the smoothing")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    target = targets(labels, x.shape[1], smoothing, x.dtype)
    hard = targets(labels, x.shape[1], 0.0, x.dtype)
    loss = -(log_softmax(Tensor(x)).data * target).sum() / len(x)
    p = stable(x, -1)
    return record(loss, (logits,), lambda dy: (dy * (p - hard) / len(x),))


@wrong("with the comma")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    target = targets(labels, x.shape[1], smoothing, x.dtype)
    loss = -(log_softmax(Tensor(x)).data * target).sum() / len(x)
    return record(loss, (logits,), lambda dy: dy * (stable(x, -1) - target) / len(x))


# -- mix_pixels -----------------------------------------------------------------------------------------


@right
def mix_pixels(x, w, N, d, C):
    return (w.T @ x.reshape(N, d, C)).reshape(x.shape)


@right
def mix_pixels(x, w, N, d, C):
    return (w.transpose() @ x.reshape((N, d, C))).transpose((0, 1, 2)).reshape(x.shape)


@right
def mix_pixels(x, w, N, d, C):
    return (x.reshape(-1, d, C).transpose(0, 2, 1) @ w).transpose(0, 2, 1).reshape(N, d * C)


@wrong("a reshape to (N, C, d) takes neighbours for a channel")
def mix_pixels(x, w, N, d, C):
    return (x.reshape(N, C, d) @ w).reshape(x.shape)


@wrong("transpose back before the last reshape")
def mix_pixels(x, w, N, d, C):
    return (x.reshape(N, d, C).transpose(0, 2, 1) @ w).reshape(x.shape)


@wrong("transpose the pixels there")
def mix_pixels(x, w, N, d, C):
    return (x.reshape(N, d, C) @ w).reshape(x.shape)


@wrong("this is w @ v, and not v @ w: transpose w")
def mix_pixels(x, w, N, d, C):
    return (w @ x.reshape(N, d, C)).reshape(x.shape)


@wrong("the last reshape to (N, d C) is missing")
def mix_pixels(x, w, N, d, C):
    return (x.reshape(N, d, C).transpose(0, 2, 1) @ w).transpose(0, 2, 1)


@wrong("split the columns into pixels and channels")
def mix_pixels(x, w, N, d, C):
    return x @ w


@wrong("such as transpose(0, 2, 1)")
def mix_pixels(x, w, N, d, C):
    return (x.reshape(N, d, C).transpose(1, 2) @ w).transpose(1, 2).reshape(x.shape)


@wrong("this puzzle allows @, reshape, transpose, * and -")
def mix_pixels(x, w, N, d, C):
    return np.einsum("ndc,de->nec", x.reshape(N, d, C), w).reshape(x.shape)


@wrong("must be a single line")
def mix_pixels(x, w, N, d, C):
    y = x.reshape(N, d, C).transpose(0, 2, 1) @ w
    return y.transpose(0, 2, 1).reshape(x.shape)


# -- more mistakes ------------------------------------------------------------------------------------------


wrong("dy is transposed in place of x")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(dy @ t(w), x.shape), unbroadcast(x @ t(dy), w.shape)))
)
wrong("swapaxes(0, 1) swaps an axis of the stack")(
    multiplying(
        lambda x, w: lambda dy: (unbroadcast(dy @ w.swapaxes(0, 1), x.shape), unbroadcast(t(x) @ dy, w.shape)),
    )
)
wrong("this is elementwise, dy * wᵀ")(
    multiplying(lambda x, w: lambda dy: (unbroadcast(dy * t(w), x.shape), unbroadcast(t(x) * dy, w.shape)))
)
wrong("add up over the stack with unbroadcast, not with reshape")(
    multiplying(lambda x, w: lambda dy: ((dy @ t(w)).reshape(x.shape), (t(x) @ dy).reshape(w.shape)))
)


def jacobian_of_all(p):
    return np.diag(p.ravel()) - np.outer(p, p)


wrong("make one matrix of all rows: use p * (dp - Σ p dp)")(
    with_vjp(lambda p, axis: lambda dp: (jacobian_of_all(p) @ dp,)),
)


@wrong("sum only over `axis` with keepdims=True")
def softmax(a, axis=-1):
    e = np.exp(a.data - a.data.max(axis=axis, keepdims=True))
    return record(e / e.sum(), (a,), lambda dp: (dp,))


@wrong("Tensor(p) forgets where p came from")
def softmax(a, axis=-1):
    return Tensor(stable(a.data, axis))


@wrong("the inputs of record are a tuple: (a,)")
def softmax(a, axis=-1):
    p = stable(a.data, axis)
    return record(p, a, lambda dp: (p * (dp - (p * dp).sum(axis=axis, keepdims=True)),))


@wrong("the sign in exp is wrong")
def softmax(a, axis=-1):
    return softmax_given(-a, axis)


@wrong("these are powers of 2")
def softmax(a, axis=-1):
    return softmax_given(a * np.log(2).item(), axis)


@wrong("the mean of dp is subtracted: subtract Σ p dp, the mean weighted with p")
def softmax(a, axis=-1):
    x = a.data
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)

    def vjp(dp):
        return (p * (dp - dp.mean(axis=axis, keepdims=True)),)

    return record(p, (a,), vjp)


@wrong("this is the gradient of log softmax, dp - p · Σ dp: it must be p · (dp - Σ p dp)")
def softmax(a, axis=-1):
    x = a.data
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)
    return record(p, (a,), lambda dp: (dp - p * dp.sum(axis=axis, keepdims=True),))


@wrong("the logits are halved first: take exp of the logits themselves")
def softmax(a, axis=-1):
    x = a.data / 2
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)
    return record(p, (a,), lambda dp: (p * (dp - (p * dp).sum(axis=axis, keepdims=True)),))


@wrong("subtract the largest logit of each row, not its mean")
def softmax(a, axis=-1):
    e = np.exp(a.data - a.data.mean(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)

    def vjp(dp):
        return (p * (dp - (p * dp).sum(axis=axis, keepdims=True)),)

    return record(p, (a,), vjp)


@wrong("takes all these columns for every image")
def cross_entropy(logits, labels, smoothing=0.0):
    return -log_softmax(logits)[:, labels].mean()


@wrong("set in every row")
def cross_entropy(logits, labels, smoothing=0.0):
    target = np.zeros(logits.shape, logits.dtype)
    target[:, labels] = 1
    return -(log_softmax(logits) * target).sum() / len(labels)


@wrong("the sum of exp runs over the whole batch")
def cross_entropy(logits, labels, smoothing=0.0):
    return -(logits - logits.exp().sum().log())[np.arange(len(labels)), labels].mean()


@wrong("the largest logit of each column is subtracted")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits - logits.data.max(axis=0, keepdims=True)
    log_p = x - x.exp().sum(axis=-1, keepdims=True).log()
    return -log_p[np.arange(len(labels)), labels].mean()


@wrong("the largest logit of the whole array is subtracted: use each row's own")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits - logits.data.max()
    log_p = x - x.exp().sum(axis=-1, keepdims=True).log()
    chosen = log_p[np.arange(len(labels)), labels]
    return -(chosen.mean() * (1 - smoothing) + log_p.mean() * smoothing)


@wrong("take the log of the sum")
def cross_entropy(logits, labels, smoothing=0.0):
    shifted = logits - logits.data.max(axis=-1, keepdims=True)
    return -(shifted - shifted.exp().log().sum(axis=-1, keepdims=True))[np.arange(len(labels)), labels].mean()


@wrong("one for each row: log_p[np.arange(B), labels]")
def cross_entropy(logits, labels, smoothing=0.0):
    return -log_softmax(logits)[labels].mean()


@wrong("forgets the logits")
def cross_entropy(logits, labels, smoothing=0.0):
    target = targets(labels, logits.shape[1], smoothing, logits.dtype)
    return Tensor(-(log_softmax(logits).data * target).sum() / len(labels))


@wrong("log Σ exp(x) uses np.log2: use np.log")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    B, K = x.shape
    target = np.full((B, K), smoothing / K, x.dtype)
    target[np.arange(B), labels] += 1 - smoothing
    s = x - x.max(-1, keepdims=True)
    log_p = s - np.log2(np.exp(s).sum(-1, keepdims=True))
    return record(-(target * log_p).sum() / B, (logits,), lambda dy: (dy * (np.exp(log_p) - target) / B,))


@wrong("only image 0 counts: take the mean of all losses")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    B, K = x.shape
    t = np.full((B, K), smoothing / K, x.dtype)
    t[np.arange(B), labels] += 1 - smoothing
    s = x - x.max(-1, keepdims=True)
    lp = s - np.log(np.exp(s).sum(-1, keepdims=True))
    return record(-(t * lp)[0].sum(), (logits,), lambda dy: (dy * (np.exp(lp) - t) / B,))


@wrong("the loss of class label - 1 is taken: labels count from 0")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    B, K = x.shape
    t = np.full((B, K), smoothing / K, x.dtype)
    t[np.arange(B), labels - 1] += 1 - smoothing
    s = x - x.max(-1, keepdims=True)
    lp = s - np.log(np.exp(s).sum(-1, keepdims=True))
    return record(-(t * lp).sum() / B, (logits,), lambda dy: (dy * (np.exp(lp) - t) / B,))


@wrong("each logit goes through a sigmoid: use softmax over the classes")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    B, K = x.shape
    t = np.full((B, K), smoothing / K, x.dtype)
    t[np.arange(B), labels] += 1 - smoothing
    p = 1 / (1 + np.exp(-x))
    return record(-(t * np.log(p) + (1 - t) * np.log(1 - p)).sum() / B, (logits,), lambda dy: (dy * (p - t) / B,))


@wrong("only the right class gets a gradient: all need it")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    B, K = x.shape
    t = np.full((B, K), smoothing / K, x.dtype)
    t[np.arange(B), labels] += 1 - smoothing
    s = x - x.max(-1, keepdims=True)
    lp = s - np.log(np.exp(s).sum(-1, keepdims=True))
    return record(-(t * lp).sum() / B, (logits,), lambda dy: (dy * (np.exp(lp) - t) * t / B,))


wrong("it is divided by K too: divide by B alone")(
    with_gradient(lambda dy, p, t: dy * (p - t) / p.size),
)
wrong("the log-probability is used")(with_gradient(lambda dy, p, t: dy * (np.log(p) - t) / len(p)))


@wrong("a small number is added to the probability, or it is clipped,")
def cross_entropy(logits, labels, smoothing=0.0):
    x = logits.data
    B, K = x.shape
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    t = np.full((B, K), smoothing / K, x.dtype)
    t[np.arange(B), labels] += 1 - smoothing

    def vjp(dy):
        return (dy * (p - t) / B,)

    return record(-(t * np.log(p + 1e-9)).sum() / B, (logits,), vjp)


@wrong("subtract the largest logit, not the mean")
def cross_entropy(logits, labels, smoothing=0.0):
    B, K = logits.shape
    x = logits.data
    target = np.full((B, K), smoothing / K, x.dtype)
    target[np.arange(B), labels] += 1 - smoothing
    shifted = x - x.mean(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return record(-(target * log_p).sum() / B, (logits,), lambda dy: (dy * (np.exp(log_p) - target) / B,))


@wrong("p belongs inside the sum, with dp, in p * dp.sum(axis=axis, keepdims=True)")
def softmax(a, axis=-1):
    x = a.data
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)

    def vjp(dp):
        return (p * (dp - p * dp.sum(axis=axis, keepdims=True)),)

    return record(p, (a,), vjp)
