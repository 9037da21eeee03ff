"""Ops against PyTorch on drawn arrays: odd shapes, none at all, memory orders, element types, sizes, infinite and nan.

In half precision PyTorch computes in float32, and the result is compared after rounding.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")

from torch.nn import functional  # noqa: E402

from minivit import Tensor  # noqa: E402
from minivit.convolution import ops as convolution  # noqa: E402
from minivit.convolution import reference as composed_convolution  # noqa: E402
from minivit.engine import fused, ops, reference  # noqa: E402
from tests.support import memory_orders  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")]

TYPES = {"float64": 1e-9, "float32": 3e-5, "float16": 4e-3}
SCALES = [1.0, 1.0, 30.0, 1e-3]


def shape(rng, axes, least=0, most=4):
    return tuple(int(rng.integers(least if rng.random() < 0.1 else 1, most + 1)) for _ in range(axes))


def values(rng, shape, scales=SCALES):
    return rng.choice(scales) * rng.standard_normal(shape)


def with_special(rng, x, often=0.3):
    """Now and then one element is 0, infinite or not a number."""
    if x.size and rng.random() < often:
        x = np.array(x)
        x.flat[rng.integers(x.size)] = rng.choice([0.0, np.inf, -np.inf, np.nan])
    return x


def reduction(rng, axes):
    return tuple(sorted(rng.choice(axes, int(rng.integers(1, axes + 1)), replace=False).tolist()))


# Each draws our function, PyTorch's, and the arrays for both.


def powers(rng):
    exponent = float(rng.choice([0, 0, 1, 2, 3, -1, -2, 0.5, 1.5, 2.5, 4]))
    x = with_special(rng, values(rng, shape(rng, 2)), often=0.5)
    x = np.where(np.isinf(x) | (x == 0.0), np.abs(x), x)  # of negative zeros and infinities, their rules differ
    return (lambda t: t**exponent), (lambda t: t**exponent), [x]


def reduced(ours, theirs, least=0, special=True):
    def draw(rng):
        x = values(rng, shape(rng, int(rng.integers(1, 4)), least))
        x = with_special(rng, x) if special else x
        axis, keep = reduction(rng, x.ndim), bool(rng.integers(2))
        return (lambda t: ours(t, axis, keep)), (lambda t: theirs(t, axis, keep)), [x]

    return draw


def arithmetic(rng):
    function = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b][int(rng.integers(4))]
    whole = shape(rng, 3)
    part = tuple(1 if rng.random() < 0.4 else length for length in whole)[int(rng.integers(3)) :]
    arrays = [with_special(rng, values(rng, whole)), with_special(rng, values(rng, part))]
    return function, function, arrays if rng.random() < 0.5 else arrays[::-1]


def products(rng):
    m, k, n = shape(rng, 3)
    lead = shape(rng, int(rng.integers(3)))
    kind = int(rng.integers(4))
    a, b = [((*lead, m, k), (k, n)), ((m, k), (*lead, k, n)), ((*lead, m, k), (k,)), ((k,), (k,))][kind]
    return (lambda x, y: x @ y), (lambda x, y: x @ y), [rng.standard_normal(a), rng.standard_normal(b)]


def linears(rng):
    x, n = shape(rng, int(rng.integers(1, 4))), shape(rng, 1)
    module = fused if rng.random() < 0.7 else reference
    arrays = [rng.standard_normal(s) for s in (x, (x[-1], *n), n)]
    return module.linear, (lambda x, w, b: functional.linear(x, w.T, b)), arrays


def layer_norms(rng):
    x = (*shape(rng, int(rng.integers(3))), int(rng.integers(3, 9)))
    module, eps = (fused, reference)[int(rng.integers(2))], float(rng.choice([1e-6, 0.1]))
    arrays = [values(rng, x, [1.0, 30.0]), rng.standard_normal(x[-1:]), rng.standard_normal(x[-1:])]
    return (
        (lambda x, w, b: module.layer_norm(x, w, b, eps)),
        (lambda t, w, b: functional.layer_norm(t, x[-1:], w, b, eps)),
        arrays,
    )


def gelus(rng):
    form, module = ("tanh", "erf")[int(rng.integers(2))], (fused, reference)[int(rng.integers(2))]
    theirs = {"tanh": "tanh", "erf": "none"}[form]
    x = values(rng, shape(rng, int(rng.integers(4))))
    return (lambda t: module.gelu(t, form)), (lambda t: functional.gelu(t, approximate=theirs)), [np.asarray(x)]


def softmaxes(rng):
    x = values(rng, shape(rng, 3, least=1), [1.0, 10.0])
    if x.size > 1 and rng.random() < 0.3:
        x.flat[rng.integers(x.size)] = -np.inf
    axis, module = int(rng.integers(-3, 3)), (fused, reference)[int(rng.integers(2))]
    return (lambda t: module.softmax(t, axis)), (lambda t: functional.softmax(t, axis)), [x]


def attentions(rng):
    batch, (tokens, heads, width) = shape(rng, 1)[0], shape(rng, 3, least=1, most=3)
    queries, module = int(rng.integers(1, tokens + 1)), (fused, reference)[int(rng.integers(2))]

    def theirs(t):
        q, k, v = t.reshape(batch, tokens, 3, heads, width).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(q[:, :, :queries], k, v)
        return found.permute(0, 2, 1, 3).reshape(batch, queries, heads * width)

    return (
        (lambda t: module.attention(t, heads, queries)),
        theirs,
        [rng.standard_normal((batch, tokens, 3 * heads * width))],
    )


def losses(rng):
    batch, classes = shape(rng, 2, least=1)
    labels, smoothing = rng.integers(0, classes, batch), float(rng.choice([0.0, 0.1, 0.5]))
    x, module = values(rng, (batch, classes), [1.0, 30.0]), (fused, reference)[int(rng.integers(2))]
    if rng.random() < 0.4 and classes > 1:
        x[0, rng.integers(classes)] = -np.inf  # also of the true class
    return (
        (lambda t: module.cross_entropy(t, labels, smoothing)),
        (lambda t: functional.cross_entropy(t, torch.tensor(labels), label_smoothing=smoothing)),
        [x],
    )


def soft_losses(rng):
    batch, classes = shape(rng, 2, least=1)
    shares = rng.dirichlet(np.ones(classes), batch) * (rng.random((batch, classes)) < 0.7)
    module = (fused, reference)[int(rng.integers(2))]
    return (
        (lambda t: module.cross_entropy(t, shares)),
        (lambda t: functional.cross_entropy(t, torch.tensor(shares, dtype=t.dtype))),
        [values(rng, (batch, classes), [1.0, 30.0])],
    )


def convolutions(rng):
    h, w, c, d = (int(rng.integers(1, 4)) for _ in range(4))
    stride, padding = int(rng.integers(1, 4)), int(rng.integers(3))
    image = (int(rng.integers(3)), int(rng.integers(h, 7)), int(rng.integers(w, 7)), c)
    module = (convolution, composed_convolution)[int(rng.integers(2))]

    def theirs(x, kernel):
        kernel = kernel.permute(3, 2, 0, 1).contiguous()
        return functional.conv2d(x.permute(0, 3, 1, 2), kernel, stride=stride, padding=padding).permute(0, 2, 3, 1)

    arrays = [rng.standard_normal(image), rng.standard_normal((h, w, c, d))]
    return (lambda x, kernel: module.conv2d(x, kernel, stride, padding)), theirs, arrays


def group_norms(rng):
    groups, each = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    image = (int(rng.integers(1, 3)), 3, int(rng.integers(2, 5)), groups * each)
    module = (convolution, composed_convolution)[int(rng.integers(2))]

    def theirs(x, w, b):
        return functional.group_norm(x.permute(0, 3, 1, 2), groups, w, b, 1e-5).permute(0, 2, 3, 1)

    arrays = [values(rng, image, [1.0, 30.0]), rng.standard_normal(image[3:]), rng.standard_normal(image[3:])]
    return (lambda x, w, b: module.group_norm(x, w, b, groups, 1e-5)), theirs, arrays


DRAW = {
    "power": powers,
    "sum": reduced(Tensor.sum, lambda t, axis, keep: t.sum(axis, keep)),
    "mean": reduced(Tensor.mean, lambda t, axis, keep: t.mean(axis, keep)),
    "var": reduced(Tensor.var, lambda t, axis, keep: t.var(axis, correction=0, keepdim=keep), special=False),
    "max": reduced(Tensor.max, lambda t, axis, keep: t.amax(axis, keep), least=1, special=False),
    "min": reduced(Tensor.min, lambda t, axis, keep: t.amin(axis, keep), least=1, special=False),
    "exp": reduced(lambda t, *_: t.exp(), lambda t, *_: t.exp()),
    "tanh": reduced(lambda t, *_: t.tanh(), lambda t, *_: t.tanh()),
    "erf": reduced(lambda t, *_: ops.erf(t), lambda t, *_: torch.erf(t)),
    "relu": reduced(lambda t, *_: convolution.relu(t), lambda t, *_: functional.relu(t)),
    "arithmetic": arithmetic,
    "matmul": products,
    "linear": linears,
    "layer_norm": layer_norms,
    "gelu": gelus,
    "softmax": softmaxes,
    "attention": attentions,
    "cross_entropy": losses,
    "cross_entropy of shares": soft_losses,
    "conv2d": convolutions,
    "group_norm": group_norms,
}


# Their gradients are computed from the result, which half precision has rounded by then: in PyTorch's halves too.
FROM_THE_RESULT = {"exp", "tanh", "softmax"}


def stored(rng, x):
    orders = list(memory_orders(x).values())
    return orders[int(rng.integers(len(orders)))] if rng.random() < 0.8 else x


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", DRAW)
def test_odd_arrays_give_what_pytorch_gives(name, dtype):
    for number in range(60):
        rng = np.random.default_rng([number, len(name)])
        ours, theirs, arrays = DRAW[name](rng)
        arrays = [np.asarray(x).astype(dtype) for x in arrays]
        leaves = [Tensor(stored(rng, x), requires_grad=True) for x in arrays]
        wide = np.float32 if dtype == "float16" else dtype
        tensors = [torch.tensor(x.astype(wide), requires_grad=True) for x in arrays]

        found, expected = ours(*leaves), theirs(*tensors)
        cotangent = rng.standard_normal(found.shape).astype(found.dtype)
        found.backward(stored(rng, cotangent))
        expected.backward(torch.tensor(cotangent.astype(wide)))

        pairs = [(found.data, expected.detach())]
        if dtype != "float16" or name not in FROM_THE_RESULT:
            pairs += [(leaf.grad, tensor.grad) for leaf, tensor in zip(leaves, tensors, strict=True)]
        for one, other in pairs:
            assert one.shape == tuple(other.shape)
            agree(one.astype(np.float64), other.numpy().astype(one.dtype).astype(np.float64), TYPES[dtype])


def agree(found, expected, tolerance):
    """The same infinite numbers and the same that are none; the others to the precision of the largest."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    infinite = np.isinf(expected)
    np.testing.assert_array_equal(found[infinite], expected[infinite])
    finite = np.isfinite(expected)
    largest = np.abs(expected[finite]).max(initial=1e-2)
    assert np.abs(found[finite] - expected[finite]).max(initial=0.0) <= tolerance * largest
