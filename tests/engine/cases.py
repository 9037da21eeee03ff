"""One table of gradient cases: for each op and each spelling of it, how to draw a function and its inputs.

A case's strategy draws a tuple `(function, *inputs)`; the inputs are float64 arrays, and the function takes one
Tensor for each and returns a Tensor. A case's name says what it covers: `ops.NAME`, `fused.NAME` or
`Tensor.NAME`, with a remark after a colon where one name has several cases.
"""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivit import Tensor
from minivit.engine import fused, ops
from tests.support import memory_orders

CASES = {}


def case(*names):
    """Register a strategy under one or several names."""

    def register(strategy):
        for name in names:
            CASES[name] = strategy()
        return strategy

    return register


# -- numbers and shapes --------------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)


def shapes(least=0, most=4, longest=5):
    return hnp.array_shapes(min_dims=least, max_dims=most, min_side=1, max_side=longest)


def stored(draw, x):
    """The numbers in one memory order or another: how an array is stored is no part of the mathematics."""
    orders = memory_orders(np.asarray(x))
    return {"by rows": x, **orders}[draw(st.sampled_from(["by rows", *orders]))]


@st.composite
def numbers(draw, shape):
    """Normally distributed numbers."""
    return stored(draw, np.random.default_rng(draw(seeds)).standard_normal(shape))


@st.composite
def positive(draw, shape):
    return stored(draw, np.random.default_rng(draw(seeds)).uniform(0.5, 2.0, shape))


@st.composite
def nonzero(draw, shape):
    """Numbers of either sign, at least 0.5 away from 0."""
    rng = np.random.default_rng(draw(seeds))
    return stored(draw, rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape))


@st.composite
def distinct(draw, shape):
    """Numbers no two of which are close, so that a small step changes no maximum's place."""
    size = int(np.prod(shape))
    return stored(draw, np.random.default_rng(draw(seeds)).permutation(size).reshape(shape) / 10.0 - 1.0)


@st.composite
def broadcasting_shapes(draw):
    pair = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=5))
    return pair.input_shapes


@st.composite
def reductions(draw, values=numbers):
    """An array with an `axis`, negative or a tuple or None, and a `keepdims` that fit it."""
    shape = draw(shapes())
    axes = list(range(-len(shape), len(shape)))
    one = st.sampled_from(axes) if axes else st.none()
    several = st.lists(st.integers(0, max(0, len(shape) - 1)), unique=True, min_size=1, max_size=len(shape) or 1)
    mixed = several.map(lambda chosen: tuple(i - len(shape) if i % 2 else i for i in chosen)) if axes else st.none()
    return draw(values(shape)), draw(st.none() | one | mixed), draw(st.booleans())


# -- arithmetic ----------------------------------------------------------------------------------

BINARY = {
    "ops.add": ops.add,
    "Tensor.__add__": lambda a, b: a + b,
    "Tensor.__radd__": lambda a, b: b.__radd__(a),
    "ops.subtract": ops.subtract,
    "Tensor.__sub__": lambda a, b: a - b,
    "Tensor.__rsub__": lambda a, b: b.__rsub__(a),
    "ops.multiply": ops.multiply,
    "Tensor.__mul__": lambda a, b: a * b,
    "Tensor.__rmul__": lambda a, b: b.__rmul__(a),
    "ops.divide": ops.divide,
    "Tensor.__truediv__": lambda a, b: a / b,
    "Tensor.__rtruediv__": lambda a, b: b.__rtruediv__(a),
}


@st.composite
def two_tensors(draw, function):
    a, b = draw(broadcasting_shapes())
    return function, draw(numbers(a)), draw(nonzero(b))


@st.composite
def tensor_and_constant(draw, function, constant_first):
    """A constant array, or a plain number, on one side."""
    a, b = draw(broadcasting_shapes())
    constant = draw(nonzero(b) | st.sampled_from([2, -0.75]))
    if constant_first:
        return (lambda x: function(constant, x)), draw(nonzero(a))
    return (lambda x: function(x, constant)), draw(nonzero(a))


@st.composite
def a_tensor_with_itself(draw, function):
    return (lambda x: function(x, x)), draw(nonzero(draw(shapes())))


for name, function in BINARY.items():
    CASES[name] = two_tensors(function)
    if name.startswith("ops."):
        CASES[f"{name}: and a constant"] = tensor_and_constant(function, constant_first=False)
        CASES[f"{name}: a constant first"] = tensor_and_constant(function, constant_first=True)
        if name != "ops.subtract" and name != "ops.divide":  # x - x and x / x are constant
            CASES[f"{name}: with itself"] = a_tensor_with_itself(function)

CASES["Tensor.__radd__: array first"] = st.builds(
    lambda x, c: ((lambda t: c + t), x), numbers((2, 3)), numbers((4, 1, 3))
)
CASES["Tensor.__rsub__: array first"] = st.builds(lambda x, c: ((lambda t: c - t), x), numbers((2, 3)), numbers((3,)))
CASES["Tensor.__rmul__: array first"] = st.builds(lambda x, c: ((lambda t: c * t), x), numbers((2, 1)), numbers((3,)))
CASES["Tensor.__rtruediv__: number first"] = st.builds(lambda x: ((lambda t: 1 / t), x), nonzero((2, 3)))

UNARY = {
    "ops.negative": (ops.negative, numbers),
    "Tensor.__neg__": (lambda x: -x, numbers),
    "ops.abs": (ops.abs, nonzero),
    "Tensor.__abs__": (abs, nonzero),
    "ops.exp": (ops.exp, numbers),
    "Tensor.exp": (Tensor.exp, numbers),
    "ops.log": (ops.log, positive),
    "Tensor.log": (Tensor.log, positive),
    "ops.sqrt": (ops.sqrt, positive),
    "Tensor.sqrt": (Tensor.sqrt, positive),
    "ops.tanh": (ops.tanh, numbers),
    "Tensor.tanh": (Tensor.tanh, numbers),
    "ops.erf": (ops.erf, numbers),
    "ops.astype": (lambda x: ops.astype(x, np.float64), numbers),
    "Tensor.astype": (lambda x: x.astype("float64"), numbers),
    "Tensor.T": (lambda x: x.T, numbers),
    "fused.gelu: tanh": (lambda x: fused.gelu(x, "tanh"), numbers),
    "fused.gelu: erf": (lambda x: fused.gelu(x, "erf"), numbers),
}


@st.composite
def unary(draw, function, values):
    return function, draw(values(draw(shapes())))


for name, (function, values) in UNARY.items():
    CASES[name] = unary(function, values)


@st.composite
def powers(draw, function, exponents, values):
    exponent = draw(st.sampled_from(exponents))
    return (lambda x: function(x, exponent)), draw(values(draw(shapes())))


for name, function in {"ops.power": ops.power, "Tensor.__pow__": lambda x, exponent: x**exponent}.items():
    CASES[f"{name}: whole"] = powers(function, [0, 1, 2, 3, -1, -2], nonzero)
    CASES[f"{name}: fraction"] = powers(function, [0.5, 1.5, -0.5, 2.0], positive)


# -- products ------------------------------------------------------------------------------------


@st.composite
def products(draw, function):
    """Vectors, matrices, and stacks of matrices that broadcast."""
    pair = draw(
        hnp.mutually_broadcastable_shapes(signature="(m?,n),(n,p?)->(m?,p?)", max_dims=2, max_side=4, min_side=1)
    )
    a, b = pair.input_shapes
    return function, draw(numbers(a)), draw(numbers(b))


CASES["ops.matmul"] = products(ops.matmul)
CASES["Tensor.__matmul__"] = products(lambda a, b: a @ b)
CASES["Tensor.__rmatmul__"] = products(lambda a, b: b.__rmatmul__(a))
CASES["Tensor.__rmatmul__: array first"] = st.builds(
    lambda x, c: ((lambda t: c @ t), x), numbers((3, 2)), numbers((4, 2, 3))
)


# -- reductions ----------------------------------------------------------------------------------


@st.composite
def reduced(draw, function, values=numbers):
    x, axis, keepdims = draw(reductions(values))
    return (lambda t: function(t, axis, keepdims)), x


for name, function in {"ops.sum": ops.sum, "Tensor.sum": Tensor.sum}.items():
    CASES[name] = reduced(function)
for name, function in {"ops.mean": ops.mean, "Tensor.mean": Tensor.mean}.items():
    CASES[name] = reduced(function)
for name, function in {"ops.var": ops.var, "Tensor.var": lambda x, *options: x.var(*options)}.items():
    CASES[name] = reduced(function)
for name, function in {
    "ops.max": ops.max,
    "Tensor.max": Tensor.max,
    "ops.min": ops.min,
    "Tensor.min": lambda x, *options: x.min(*options),
}.items():
    CASES[name] = reduced(function, distinct)


# -- shape ---------------------------------------------------------------------------------------


@st.composite
def reshapes(draw, function):
    shape = draw(shapes())
    lengths = draw(st.permutations(shape))
    cut = draw(st.integers(0, len(lengths)))
    target = draw(st.sampled_from([(*lengths[:cut], -1), (1, *lengths), (*lengths,)]))
    return (lambda x: function(x, target)), draw(numbers(shape))


CASES["ops.reshape"] = reshapes(ops.reshape)
CASES["Tensor.reshape: tuple"] = reshapes(Tensor.reshape)
CASES["Tensor.reshape"] = reshapes(lambda x, shape: x.reshape(*shape))


@st.composite
def transposes(draw, function):
    shape = draw(shapes())
    axes = draw(st.permutations(range(len(shape))))
    signs = draw(st.lists(st.booleans(), min_size=len(axes), max_size=len(axes)))
    order = tuple(axis - len(shape) if sign else axis for axis, sign in zip(axes, signs, strict=True))
    return (lambda x: function(x, order)), draw(numbers(shape))


CASES["ops.transpose"] = transposes(ops.transpose)
CASES["ops.transpose: reversed"] = unary(ops.transpose, numbers)
CASES["Tensor.transpose: tuple"] = transposes(Tensor.transpose)
CASES["Tensor.transpose"] = transposes(lambda x, order: x.transpose(*order))


@case("ops.broadcast_to")
@st.composite
def broadcasts(draw):
    pair = draw(hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=draw(shapes()), max_dims=4, max_side=5))
    return (lambda x: ops.broadcast_to(x, pair.result_shape)), draw(numbers(pair.input_shapes[0]))


@case("ops.concatenate")
@st.composite
def concatenations(draw):
    shape = draw(shapes(least=1, most=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    inputs = []
    for length in draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)):
        own = list(shape)
        own[axis] = length
        inputs.append(draw(numbers(tuple(own))))
    return (lambda *tensors: ops.concatenate(tensors, axis)), *inputs


@st.composite
def basic_indices(draw):
    """Whole numbers, slices with steps of either sign, None and Ellipsis."""
    shape = draw(shapes())
    return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=6))


@st.composite
def array_indices(draw):
    """Arrays of positions, often with repeats: the gradients of a repeated position add up."""
    shape = draw(shapes(least=1))
    return shape, draw(hnp.integer_array_indices(shape, result_shape=shapes(least=1, most=2)))


@st.composite
def masks(draw):
    """A boolean mask over the first axes, with at least one element chosen."""
    shape = draw(shapes(least=1))
    over = shape[: draw(st.integers(1, len(shape)))]
    mask = draw(hnp.arrays(bool, over))
    mask.flat[0] = True
    return shape, mask


MIXTURES = [
    ((4, 3, 5), ([0, 0, 2], slice(None), 1)),
    ((4, 3, 5), (slice(1, None), [2, 2, 0, 2])),
    ((4, 3, 5), (np.array([[0, 1], [1, 0]]), np.array([2, 2]), slice(None, None, -2))),
    ((4, 3, 5), (Ellipsis, np.array([4, -5, 4]))),
    ((4, 3, 5), (None, [3, 3], None, Ellipsis, -1)),
    ((4, 3, 5), (np.array([True, False, True, True]), slice(None, None, 2))),
    ((4, 3, 5), (slice(None), np.array([True, False, True]), [0, 0])),
    ((4, 3, 5), (np.int64(2), np.array(1))),
    ((4, 3, 5), np.array([1, 1, 1])),
    ((4,), [0, 0, 3]),
    ((3, 2), (True, slice(None))),
    ((2, 2), (slice(None, None, -1), np.int32(-1))),
]


@st.composite
def picks(draw, function, indices):
    shape, index = draw(indices)
    return (lambda x: function(x, index)), draw(numbers(shape))


for name, function in {"ops.getitem": ops.getitem, "Tensor.__getitem__": lambda x, index: x[index]}.items():
    CASES[name] = picks(function, basic_indices())
    CASES[f"{name}: arrays"] = picks(function, array_indices())
    CASES[f"{name}: masks"] = picks(function, masks())
    CASES[f"{name}: mixtures"] = picks(function, st.sampled_from(MIXTURES))


@case("Tensor.__iter__")
@st.composite
def loops(draw):
    def weighted_sum(x):
        total = 0.0
        for position, row in enumerate(x, start=1):
            total = row * position + total
        return total

    return weighted_sum, draw(numbers(draw(shapes(least=1))))


# -- fused ops -----------------------------------------------------------------------------------


@st.composite
def linears(draw, with_bias):
    shape = draw(shapes(least=1))
    n = draw(st.integers(1, 5))
    x, weight, bias = draw(numbers(shape)), draw(numbers((shape[-1], n))), draw(numbers((n,)))
    return (fused.linear, x, weight, bias) if with_bias else (fused.linear, x, weight)


CASES["fused.linear"] = linears(with_bias=True)
CASES["fused.linear: no bias"] = linears(with_bias=False)

X, WEIGHT, BIAS = (np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate([(2, 3), (3, 4), (4,)]))
CASES["fused.linear: x alone"] = st.just((lambda t: fused.linear(t, Tensor(WEIGHT), Tensor(BIAS)), X))
CASES["fused.linear: weight alone"] = st.just((lambda t: fused.linear(Tensor(X), t, Tensor(BIAS)), WEIGHT))
CASES["fused.linear: bias alone"] = st.just((lambda t: fused.linear(Tensor(X), Tensor(WEIGHT), t), BIAS))


@case("fused.layer_norm")
@st.composite
def layer_norms(draw):
    shape = draw(shapes(least=1))
    # Two numbers are normalised to ±1 whatever they are, unless eps is large: little would be left to check.
    eps = draw(st.sampled_from([1e-6, 1e-2])) if shape[-1] > 2 else 0.5
    x, weight, bias = draw(distinct(shape)), draw(numbers(shape[-1:])), draw(numbers(shape[-1:]))
    return (lambda a, w, b: fused.layer_norm(a, w, b, eps)), x, weight, bias


@case("fused.softmax")
@st.composite
def softmaxes(draw):
    shape = draw(shapes(least=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return (lambda x: fused.softmax(x, axis)), draw(numbers(shape))


@st.composite
def attentions(draw, function):
    batch, tokens, heads, width = (draw(st.integers(1, most)) for most in (3, 5, 3, 4))
    queries = draw(st.none() | st.integers(1, tokens))
    return (lambda qkv: function(qkv, heads, queries)), draw(numbers((batch, tokens, 3 * heads * width)))


CASES["fused.attention"] = attentions(fused.attention)
CASES["fused.attention_with_weights"] = attentions(lambda *inputs: fused.attention_with_weights(*inputs)[0])


def targets(kind, batch, classes, rng):
    """Class numbers, or probabilities, or weighted probabilities whose sum is not 1."""
    if kind == "class numbers":
        return rng.integers(0, classes, batch)
    soft = rng.dirichlet(np.ones(classes), batch)
    return soft * rng.uniform(0.5, 2.0, (batch, 1)) if kind == "weighted" else soft


@st.composite
def cross_entropies(draw, kind):
    batch, classes, rng = draw(st.integers(1, 5)), draw(st.integers(2, 5)), np.random.default_rng(draw(seeds))
    labels, smoothing = targets(kind, batch, classes, rng), draw(st.sampled_from([0.0, 0.1, 0.5]))
    return (lambda x: fused.cross_entropy(x, labels, smoothing)), draw(numbers((batch, classes)))


for kind in ("class numbers", "probabilities", "weighted"):
    CASES[f"fused.cross_entropy: {kind}"] = cross_entropies(kind)


@case("fused.dropout")
@st.composite
def dropouts(draw):
    rate, seed = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9])), draw(seeds)
    return (lambda x: fused.dropout(x, rate, np.random.default_rng(seed))), draw(numbers(draw(shapes())))


@case("fused.patchify")
@st.composite
def patchifies(draw):
    batch, rows, columns, patch, channels = (draw(st.integers(1, most)) for most in (3, 3, 3, 3, 3))
    images = draw(numbers((batch, rows * patch, columns * patch, channels)))
    return (lambda x: fused.patchify(x, patch)), images
