"""Every fused op equals its composed twin in reference.py, and the twins equal plain loops over the formulas.

The loops share nothing with the package: they are written from the papers, with Python's own `math`.
"""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from minivit import Tensor, no_grad
from minivit.backend import arrays as backend
from minivit.engine import fused, ops, reference
from minivit.engine.tensor import rounded_once
from minivit.errors import ConfigError, DTypeError, ShapeError
from tests.support import close_numbers

seeds = st.integers(0, 2**32 - 1)
both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])
PRECISION = {np.float64: 1e-10, np.float32: 1e-5}


# -- fused op and twin: value and every gradient -------------------------------------------------


def values_and_gradients(function, arrays, cotangent_seed):
    leaves = [Tensor(array.copy(), requires_grad=True) for array in arrays]
    out = function(*leaves)
    cotangent = np.random.default_rng(cotangent_seed).standard_normal(out.shape).astype(out.dtype)
    out.backward(cotangent)
    return [out.data, *(leaf.grad for leaf in leaves)]


def close(found, expected, dtype):
    assert found.dtype == expected.dtype == dtype
    assert found.shape == expected.shape

    largest = max(np.max(np.abs(expected), initial=0.0), 1e-3)
    assert np.max(np.abs(found - expected), initial=0.0) <= PRECISION[dtype] * largest


def check_twins(name, arrays, dtype, seed, *arguments):
    """The fused op and the twin called `name`, on the same numbers and with the same random cotangent."""
    arrays = [array.astype(dtype) for array in arrays]

    def fast(*tensors):
        return getattr(fused, name)(*tensors, *(a() if callable(a) else a for a in arguments))

    def composed(*tensors):
        return getattr(reference, name)(*tensors, *(a() if callable(a) else a for a in arguments))

    found = values_and_gradients(fast, arrays, seed)
    for one, other in zip(found, values_and_gradients(composed, arrays, seed), strict=True):
        close(one, other, dtype)

    with no_grad():
        untaped = fast(*(Tensor(array) for array in arrays))
    np.testing.assert_array_equal(untaped.data, found[0])


@st.composite
def shaped(draw, least=1, most=4, longest=6):
    return draw(hnp.array_shapes(min_dims=least, max_dims=most, max_side=longest))


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


@both_types
@given(shape=shaped(), n=st.integers(1, 6), with_bias=st.booleans(), seed=seeds)
def test_linear(shape, n, with_bias, dtype, seed):
    arrays = normal(seed, shape, (shape[-1], n), (n,))

    check_twins("linear", arrays if with_bias else arrays[:2], dtype, seed)


@both_types
@given(shape=shaped(), n=st.integers(1, 6), with_bias=st.booleans(), seed=seeds)
def test_linear_and_a_tensor_that_it_adds(shape, n, with_bias, dtype, seed):
    x, weight, bias, plus = normal(seed, shape, (shape[-1], n), (n,), (*shape[:-1], n))
    arrays = [array.astype(dtype) for array in (x, weight, *([bias] if with_bias else []), plus)]

    def both(module):
        return lambda x, weight, *rest: module.linear(x, weight, rest[0] if with_bias else None, rest[-1])

    found, expected = (values_and_gradients(both(module), arrays, seed) for module in (fused, reference))
    for mine, other in zip(found, expected, strict=True):
        close(mine, other, dtype)
    exact = x @ weight + (bias if with_bias else 0.0) + plus
    np.testing.assert_allclose(found[0], exact, rtol=PRECISION[dtype], atol=PRECISION[dtype] * np.abs(exact).max() * 10)


@both_types
@given(shape=shaped(), eps=st.sampled_from([1e-6, 1e-2]), seed=seeds)
def test_layer_norm(shape, eps, dtype, seed):
    shape = (*shape[:-1], shape[-1] + 3)
    x, weight, bias = normal(seed, shape, shape[-1:], shape[-1:])

    check_twins("layer_norm", [3.0 * x + 1.0, weight, bias], dtype, seed, eps)


@pytest.mark.parametrize("form", ["tanh", "erf"])
@both_types
@given(shape=shaped(least=0), seed=seeds)
def test_gelu(shape, form, dtype, seed):
    (x,) = normal(seed, shape)

    check_twins("gelu", [2.0 * np.asarray(x)], dtype, seed, form)


@both_types
@given(shape=shaped(), data=st.data(), seed=seeds)
def test_softmax(shape, data, dtype, seed):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))

    check_twins("softmax", normal(seed, shape), dtype, seed, axis)


sizes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), st.integers(1, 5))


@both_types
@given(sizes=sizes, seed=seeds, queries=st.none() | st.integers(1, 6))
def test_attention(sizes, dtype, seed, queries):
    batch, tokens, heads, width = sizes

    check_twins("attention", normal(seed, (batch, tokens, 3 * heads * width)), dtype, seed, heads, queries)


def draw_labels(kind, batch, classes, seed):
    rng = np.random.default_rng(seed)
    if kind == "numbers":
        return rng.integers(0, classes, batch)
    soft = rng.dirichlet(np.ones(classes), batch)
    return soft * rng.uniform(0.5, 2.0, (batch, 1)) if kind == "weighted" else soft


label_kinds = pytest.mark.parametrize("kind", ["numbers", "probabilities", "weighted"])


@label_kinds
@both_types
@given(
    batch=st.integers(1, 6),
    classes=st.integers(1, 6),
    smoothing=st.sampled_from([0.0, 0.1, 0.7]),
    seed=seeds,
)
def test_cross_entropy(batch, classes, kind, smoothing, dtype, seed):
    labels = draw_labels(kind, batch, classes, seed)

    check_twins("cross_entropy", normal(seed, (batch, classes)), dtype, seed, labels, smoothing)


@both_types
@given(shape=shaped(least=0), rate=st.sampled_from([0.0, 0.25, 0.9]), seed=seeds)
def test_dropout(shape, rate, dtype, seed):
    (x,) = normal(seed, shape)

    check_twins("dropout", [np.asarray(x)], dtype, seed, rate, lambda: np.random.default_rng(seed))


patch_sizes = st.tuples(*(st.integers(1, 3) for _ in range(5)))


@both_types
@given(sizes=patch_sizes, seed=seeds)
def test_patchify(sizes, dtype, seed):
    batch, rows, columns, patch, channels = sizes

    check_twins("patchify", normal(seed, (batch, rows * patch, columns * patch, channels)), dtype, seed, patch)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("name", "shapes", "arguments"),
    [
        ("layer_norm", [(3, 2_800, 50), (50,), (50,)], (1e-6,)),  # 420,000 elements in 2 blocks, the last one short
        ("layer_norm", [(2, 270_001), (270_001,), (270_001,)], (1e-6,)),  # a row that is longer than a block
        ("gelu", [(3, 100_001)], ("tanh",)),
        ("gelu", [(3, 100_001)], ("erf",)),
        ("softmax", [(3, 100_001)], (-1,)),
        ("attention", [(2, 200, 24)], (4,)),
    ],
    ids=lambda value: str(value),
)
def test_twins_agree_on_more_elements_than_one_block_holds(name, shapes, arguments, dtype):
    arrays = normal(5, *shapes)
    elements = 4 * 2 * 200 * 200 if name == "attention" else arrays[0].size
    assert elements > backend.BLOCK_ELEMENTS

    check_twins(name, arrays, dtype, 6, *arguments)


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
@pytest.mark.parametrize("length", [1, 60, 262_144, 300_000])
def test_blocks_cover_every_row_once_and_in_order(rows, length):
    x = np.broadcast_to(np.float32(0), (rows, length))

    covered = [row for block in backend.row_blocks(x) for row in range(rows)[block]]

    assert covered == list(range(rows))


@pytest.mark.parametrize("elements", [2**18, 24])
def test_layer_norm_adds_to_the_gradient_of_a_residual_connection(elements, monkeypatch):
    """In one block of rows, and in several."""
    monkeypatch.setattr(backend, "BLOCK_ELEMENTS", elements)
    arrays = normal(3, (2, 5, 12), (12,), (12,))

    def residual(norm):
        def function(x, weight, bias):
            z = x * x
            return z + ops.power(norm(z, weight, bias), 2)

        return function

    found, expected = (values_and_gradients(residual(module.layer_norm), arrays, 4) for module in (fused, reference))
    for mine, other in zip(found, expected, strict=True):
        close(mine, other, np.float64)


@pytest.mark.parametrize("name", ["layer_norm", "gelu", "softmax", "attention", "linear"])
def test_twins_agree_on_arrays_that_are_not_contiguous(name):
    """A Tensor may hold any view: reversed, transposed or repeated."""
    x = np.random.default_rng(7).standard_normal((12, 2, 5)).transpose(1, 2, 0)[:, ::-1]  # (2, 5, 12)
    rest = {"layer_norm": normal(8, (12,), (12,)), "linear": normal(8, (12, 3), (3,))}.get(name, [])
    arguments = {"attention": (2,), "gelu": ("tanh",)}.get(name, ())

    def of(module):
        leaf = Tensor(x, requires_grad=True)
        out = getattr(module, name)(leaf, *(Tensor(array) for array in rest), *arguments)
        out.backward(np.random.default_rng(9).standard_normal(out.shape).T.copy().T)
        return out.data, leaf.grad

    for found, expected in zip(of(fused), of(reference), strict=True):
        close_numbers(found, expected, rtol=0, atol=1e-12)


def test_every_fused_op_has_a_twin():
    twins = {name for name, value in inspect.getmembers(reference, inspect.isfunction)}

    assert set(fused.__all__) - {"attention_with_weights"} <= twins  # that one is attention with an array beside it


def test_attention_with_weights_is_attention_with_its_weights_beside_it():
    (qkv,) = normal(10, (2, 5, 24))

    out, weights = fused.attention_with_weights(Tensor(qkv), 4)

    np.testing.assert_array_equal(out.data, fused.attention(Tensor(qkv), 4).data)
    close_numbers(weights, attention_by_loops(qkv, 4)[1], rtol=0, atol=1e-12)


def test_attention_weights_cannot_be_changed_before_backward_reads_them():
    (qkv,) = normal(10, (2, 5, 24))
    x = Tensor(qkv, requires_grad=True)

    out, weights = fused.attention_with_weights(x, 4)
    with pytest.raises(ValueError, match="read-only"):
        weights *= 2.0
    out.sum().backward()

    other = Tensor(qkv, requires_grad=True)
    fused.attention(other, 4).sum().backward()
    np.testing.assert_array_equal(x.grad, other.grad)


# -- the twins and plain loops -------------------------------------------------------------------


def softmax_by_loops(row):
    powers = [math.exp(number) for number in row]
    return [power / sum(powers) for power in powers]


def attention_by_loops(qkv, heads):
    """softmax(q kᵀ / √D_h) v, one query and one key at a time."""
    batch, tokens, width = qkv.shape
    dim = width // 3
    each = dim // heads
    out, weights = np.zeros((batch, tokens, dim)), np.zeros((batch, heads, tokens, tokens))

    for b in range(batch):
        for h in range(heads):
            for query in range(tokens):
                q = [qkv[b, query, h * each + i] for i in range(each)]
                scores = []
                for key in range(tokens):
                    k = [qkv[b, key, dim + h * each + i] for i in range(each)]
                    scores.append(sum(x * y for x, y in zip(q, k, strict=True)) / math.sqrt(each))
                row = softmax_by_loops(scores)
                for key in range(tokens):
                    weights[b, h, query, key] = row[key]
                    for i in range(each):
                        out[b, query, h * each + i] += row[key] * qkv[b, key, 2 * dim + h * each + i]
    return out, weights


def layer_norm_by_loops(x, weight, bias, eps):
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape[:-1]):
        row = [float(number) for number in x[index]]
        mean = sum(row) / len(row)
        variance = sum((number - mean) ** 2 for number in row) / len(row)
        for i, number in enumerate(row):
            out[index][i] = (number - mean) / math.sqrt(variance + eps) * weight[i] + bias[i]
    return out


def cross_entropy_by_loops(logits, labels, smoothing):
    batch, classes = logits.shape
    total = 0.0
    for b in range(batch):
        probabilities = softmax_by_loops(logits[b])
        for k in range(classes):
            target = labels[b][k] if np.ndim(labels) == 2 else float(k == labels[b])
            target = (1 - smoothing) * target + smoothing / classes
            total -= target * math.log(probabilities[k])
    return total / batch


@pytest.mark.parametrize("module", [reference, fused], ids=["reference", "fused"])
class TestAgainstLoops:
    @given(sizes=sizes, seed=seeds, queries=st.none() | st.integers(1, 6))
    def test_attention(self, module, sizes, seed, queries):
        batch, tokens, heads, width = sizes
        (qkv,) = normal(seed, (batch, tokens, 3 * heads * width))

        found = module.attention(Tensor(qkv), heads, queries).data

        close_numbers(found, attention_by_loops(qkv, heads)[0][:, :queries], rtol=0, atol=1e-12)

    @given(shape=shaped(), eps=st.sampled_from([1e-6, 0.1]), seed=seeds)
    def test_layer_norm(self, module, shape, eps, seed):
        x, weight, bias = normal(seed, shape, shape[-1:], shape[-1:])

        found = module.layer_norm(Tensor(x), Tensor(weight), Tensor(bias), eps).data

        expected = layer_norm_by_loops(x, weight, bias, eps)
        # A row of equal numbers is divided by √eps, which magnifies its rounding errors a thousand times.
        close_numbers(found, expected, rtol=0, atol=1e-11)

    @given(shape=shaped(most=3), seed=seeds)
    def test_softmax(self, module, shape, seed):
        (x,) = normal(seed, shape)

        found = module.softmax(Tensor(x)).data

        for index in np.ndindex(shape[:-1]):
            close_numbers(found[index], softmax_by_loops(x[index]), rtol=1e-12)

    @label_kinds
    @given(
        batch=st.integers(1, 5),
        classes=st.integers(1, 5),
        smoothing=st.sampled_from([0.0, 0.1, 0.7]),
        seed=seeds,
    )
    def test_cross_entropy(self, module, batch, classes, kind, smoothing, seed):
        (logits,) = normal(seed, (batch, classes))
        labels = draw_labels(kind, batch, classes, seed)
        if kind == "weighted":
            smoothing = 0.0  # what smoothing does to weighted examples is nobody's formula

        found = module.cross_entropy(Tensor(logits), labels, smoothing).item()

        assert found == pytest.approx(cross_entropy_by_loops(logits, labels, smoothing), rel=1e-12, abs=1e-14)

    @given(seed=seeds)
    def test_gelu(self, module, seed):
        (x,) = normal(seed, (9,))
        x *= 3.0

        exact = [v * 0.5 * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x]
        google = [v * 0.5 * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (v + 0.044715 * v**3))) for v in x]

        close_numbers(module.gelu(Tensor(x), "erf").data, exact, rtol=1e-12, atol=1e-14)
        close_numbers(module.gelu(Tensor(x), "tanh").data, google, rtol=1e-12, atol=1e-14)

    @given(sizes=patch_sizes, seed=seeds)
    def test_patchify(self, module, sizes, seed):
        batch, rows, columns, patch, channels = sizes
        (images,) = normal(seed, (batch, rows * patch, columns * patch, channels))

        found = module.patchify(Tensor(images), patch).data

        assert found.shape == (batch, rows * columns, patch * patch * channels)
        for b in range(batch):
            for n in range(rows * columns):
                top, left = n // columns * patch, n % columns * patch  # raster order
                square = images[b, top : top + patch, left : left + patch]
                np.testing.assert_array_equal(found[b, n], [square[i, j, c] for i, j, c in np.ndindex(square.shape)])

    @given(sizes=patch_sizes, dim=st.integers(1, 4), seed=seeds)
    def test_patches_times_a_matrix_are_a_strided_convolution(self, module, sizes, dim, seed):
        """ViT §3.1: the embedding is the convolution whose kernel (P, P, C, D) and stride are both one patch."""
        batch, rows, columns, patch, channels = sizes
        images, kernel = normal(seed, (batch, rows * patch, columns * patch, channels), (patch, patch, channels, dim))

        found = (module.patchify(Tensor(images), patch) @ kernel.reshape(-1, dim)).data

        convolved = np.zeros((batch, rows, columns, dim))
        for i in range(patch):
            for j in range(patch):
                convolved += images[:, i::patch, j::patch] @ kernel[i, j]
        close_numbers(found, convolved.reshape(batch, -1, dim), rtol=0, atol=1e-12)

    @given(sizes=st.tuples(*(st.integers(1, 4) for _ in range(3))), seed=seeds)
    def test_linear(self, module, sizes, seed):
        m, k, n = sizes
        x, weight, bias = normal(seed, (m, k), (k, n), (n,))

        found = module.linear(Tensor(x), Tensor(weight), Tensor(bias)).data

        for i in range(m):
            for j in range(n):
                expected = sum(x[i, a] * weight[a, j] for a in range(k)) + bias[j]
                assert found[i, j] == pytest.approx(expected, rel=1e-12, abs=1e-13)

    def test_dropout(self, module):
        """Every element is 0 or what it was over 1 - rate, and the share of zeros is the rate."""
        x = np.random.default_rng(11).uniform(1.0, 2.0, 20_000)

        found = module.dropout(Tensor(x), 0.3, np.random.default_rng(12)).data

        kept = found != 0.0
        close_numbers(found[kept], x[kept] / 0.7, rtol=1e-12)
        assert np.mean(~kept) == pytest.approx(0.3, abs=0.02)  # six standard deviations


# -- what fused ops promise beyond their twins ---------------------------------------------------


def test_erf_equals_the_standard_librarys():
    x = np.linspace(-6.0, 6.0, 1001)

    close_numbers(ops.erf(Tensor(x)).data, [math.erf(v) for v in x], rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize(
    ("x", "weight"), [((), (3, 2)), ((), ()), ((3,), (3,)), ((3,), (3, 2, 2)), ((2, 4), (3, 2)), ((4, 3), ())]
)
def test_a_linear_map_of_shapes_that_do_not_fit_is_refused(x, weight):
    with pytest.raises(ShapeError, match=r"linear: an input of shape .* does not fit a weight"):
        fused.linear(Tensor(np.ones(x)), Tensor(np.ones(weight)))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 2)])
def test_a_bias_of_another_shape_is_refused_since_a_kernel_would_read_past_its_end(shape):
    x, weight = Tensor(np.ones((4, 3))), Tensor(np.ones((3, 2)))
    with pytest.raises(ShapeError, match=r"linear: the bias has shape \(.*\); its shape must be \(2,\)"):
        fused.linear(x, weight, Tensor(np.ones(shape)))


def test_a_bias_that_is_a_plain_number_is_refused_and_one_tensor_is_enough():
    x, weight = np.ones((4, 3)), np.ones((3, 2))
    with pytest.raises(ShapeError, match=r"linear: the bias has shape \(\); its shape must be \(2,\)"):
        fused.linear(Tensor(x), Tensor(weight), 0.5)
    for inputs in ((Tensor(x), weight), (x, Tensor(weight)), (x, weight, Tensor(np.zeros(2)))):
        np.testing.assert_array_equal(fused.linear(*inputs).data, np.full((4, 2), 3.0))
    bias = Tensor(np.zeros(2), requires_grad=True)
    fused.linear(x, weight, bias, np.ones((4, 2))).backward(np.ones((4, 2)))
    np.testing.assert_array_equal(bias.grad, [4.0, 4.0])


@pytest.mark.parametrize("shape", [(2,), (1, 2), (8,), (4, 3)])
def test_a_tensor_to_add_of_another_shape_is_refused(shape):
    x, weight = Tensor(np.ones((4, 3))), Tensor(np.ones((3, 2)))
    with pytest.raises(ShapeError, match=r"linear: the Tensor to add has shape \(.*\); its shape must be \(4, 2\)"):
        fused.linear(x, weight, None, Tensor(np.ones(shape)))


@pytest.mark.parametrize("module", [fused, reference])
def test_an_unknown_form_of_gelu_is_refused(module):
    with pytest.raises(ConfigError, match=r"unknown GELU form 'exact': use 'tanh' or 'erf'"):
        module.gelu(Tensor([1.0]), "exact")


def test_a_twin_that_computed_in_single_precision_copies_no_result():
    x, other = Tensor([1.0, 2.0]), Tensor([3.0])

    assert rounded_once(lambda x, other: x)(x, other) is x


def test_gelus_tanh_form_is_precise_far_below_zero():
    """1 + tanh u cancels there: in float32 it is 0 from x = -5.5 on."""
    x = np.linspace(-9, -4, 500, dtype=np.float32).astype(np.float64)
    slope = math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * x**2)
    phi = expit(2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))

    single = Tensor(np.float32(x), requires_grad=True)
    out = fused.gelu(single, "tanh")
    out.sum().backward()

    np.testing.assert_allclose(out.data, x * phi, rtol=3e-5)
    np.testing.assert_allclose(single.grad, phi + 2 * x * slope * phi * (1 - phi), rtol=3e-5)


def test_the_two_forms_of_gelu_differ_by_at_most_the_published_4_7e_minus_4():
    x = Tensor(np.linspace(-8.0, 8.0, 16_001))

    gap = np.abs(fused.gelu(x, "tanh").data - fused.gelu(x, "erf").data)

    assert 4.6e-4 < gap.max() < 4.75e-4
    assert abs(abs(x.data[gap.argmax()]) - 2.7) < 0.1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_softmax_and_cross_entropy_survive_enormous_logits(dtype):
    """Softmax of (1e4, 0) is (1, 0), and the loss of the wrong class is the gap."""
    logits = Tensor(np.array([[1e4, 0.0], [-1e4, 0.0]], dtype), requires_grad=True)

    np.testing.assert_array_equal(fused.softmax(logits).data, [[1.0, 0.0], [0.0, 1.0]])
    loss = fused.cross_entropy(logits, np.array([1, 0]))
    loss.backward()

    assert loss.item() == 1e4
    np.testing.assert_array_equal(logits.grad, [[0.5, -0.5], [-0.5, 0.5]])


def test_a_fused_op_never_changes_its_inputs():
    x, weight, bias = (Tensor(array, requires_grad=True) for array in normal(13, (2, 3, 12), (12,), (12,)))
    matrix = Tensor(normal(14, (12, 12))[0], requires_grad=True)
    before = [tensor.data.copy() for tensor in (x, weight, bias, matrix)]

    outputs = [
        fused.linear(x, matrix, bias),
        fused.layer_norm(x, weight, bias),
        fused.gelu(x, "tanh"),
        fused.gelu(x, "erf"),
        fused.softmax(x),
        fused.attention(x, 2),
        fused.dropout(x, 0.5, np.random.default_rng(0)),
    ]
    for out in outputs:
        out.backward(np.ones(out.shape))

    for tensor, copy in zip((x, weight, bias, matrix), before, strict=True):
        np.testing.assert_array_equal(tensor.data, copy)


def test_labels_and_targets_are_never_changed():
    labels, soft = np.array([1, 0]), np.array([[0.25, 0.75], [0.5, 0.5]])

    for target in (labels, soft):
        before = target.copy()
        fused.cross_entropy(Tensor(np.zeros((2, 2))), target, 0.1)
        np.testing.assert_array_equal(target, before)


@pytest.mark.parametrize("value", [-0.1, 1.0, 2.0])
def test_a_share_outside_0_to_1_is_refused(value):
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    with pytest.raises(ConfigError, match="below 1"):
        fused.cross_entropy(x, np.zeros(2, int), smoothing=value)
    with pytest.raises(ConfigError, match="below 1"):
        fused.dropout(x, value, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["gelu", "softmax"])
def test_a_bare_array_is_refused(name):
    with pytest.raises(DTypeError, match="Tensor"):
        getattr(fused, name)(np.zeros((2, 3)))


@pytest.mark.parametrize("module", [reference, fused], ids=["reference", "fused"])
@pytest.mark.parametrize("spread", [1.0, 50.0, 70.0, 1e4])
def test_softmax_of_rows_far_apart(module, spread):
    """Rows of one matrix may lie so far below its largest element that exp of the difference would vanish."""
    scores = np.random.default_rng(0).standard_normal((2, 3, 4)) + spread * np.array([[1.0], [0.0], [-1.0]])
    scores = np.concatenate([scores, scores + 1000.0])  # matrices far apart too

    found = module.softmax(Tensor(scores)).data

    expected = [[softmax_by_loops(row - row.max()) for row in matrix] for matrix in scores]
    close_numbers(found, expected, rtol=1e-12)


@pytest.mark.parametrize("type_", [np.float32, np.float64])
def test_softmax_of_large_and_of_excluded_scores(type_):
    x = np.array([[1000.0, 1000.0, -np.inf], [-2000.0, -2000.0, -2000.0]], type_)
    close_numbers(fused.softmax(Tensor(x)).data, [[0.5, 0.5, 0.0], [1 / 3] * 3], rtol=1e-6)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("order", ["C", "F"])
def test_softmax_of_large_scores_over_any_axis_and_in_any_memory_order(axis, order):
    x = 1000.0 + np.random.default_rng(0).standard_normal((2, 3, 4))
    expected = np.exp(x - x.max(axis, keepdims=True))
    expected /= expected.sum(axis, keepdims=True)
    found = fused.softmax(Tensor(np.asarray(x, order=order)), axis)
    close_numbers(found.data, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)])
def test_softmax_of_nothing(shape):
    assert fused.softmax(Tensor(np.zeros(shape))).shape == shape
