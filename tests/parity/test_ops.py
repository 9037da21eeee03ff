"""Each fused op against torch.nn.functional: values, and gradients for a random cotangent."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install 'minivit[parity]'")

from torch.nn import functional  # noqa: E402

from minivit import Tensor  # noqa: E402
from minivit.engine import fused  # noqa: E402
from minivit.training.objectives import weighted_cross_entropy  # noqa: E402

pytestmark = pytest.mark.parity

precision = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def compare(ours, theirs, arrays, dtype, tolerance):
    """The two functions on the same arrays: largest differences, relative to the largest magnitude."""
    arrays = [x.astype(dtype) for x in arrays]
    leaves = [Tensor(x.copy(), requires_grad=True) for x in arrays]
    tensors = [torch.tensor(x, requires_grad=True) for x in arrays]

    found, expected = ours(*leaves), theirs(*tensors)
    cotangent = array(*found.shape, seed=1).astype(dtype)
    found.backward(cotangent)
    expected.backward(torch.tensor(cotangent))

    results = [(found.data, expected.detach())]
    results += [(leaf.grad, tensor.grad) for leaf, tensor in zip(leaves, tensors, strict=True)]
    for one, other in results:
        other = other.numpy()
        assert one.dtype == other.dtype and one.shape == other.shape
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@precision
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4, 6)], ids=str)
def test_linear(shape, dtype, tolerance):
    compare(
        fused.linear,
        lambda x, w, b: functional.linear(x, w.T, b),
        [array(*shape), array(shape[-1], 8, seed=2), array(8, seed=3)],
        dtype,
        tolerance,
    )


@precision
@pytest.mark.parametrize("shape", [(9,), (4, 16), (300, 3, 192)], ids=str)
@pytest.mark.parametrize("eps", [1e-6, 1e-12, 0.1])
def test_layer_norm(shape, eps, dtype, tolerance):
    d = shape[-1]
    compare(
        lambda x, w, b: fused.layer_norm(x, w, b, eps),
        lambda x, w, b: functional.layer_norm(x, (d,), w, b, eps),
        [3.0 * array(*shape) + 2.0, array(d, seed=2), array(d, seed=3)],
        dtype,
        tolerance,
    )


@precision
@pytest.mark.parametrize(("form", "torchs"), [("erf", "none"), ("tanh", "tanh")])
def test_gelu(form, torchs, dtype, tolerance):
    compare(
        lambda x: fused.gelu(x, form),
        lambda x: functional.gelu(x, approximate=torchs),
        [3.0 * array(5, 30_001)],
        dtype,
        tolerance,
    )


@precision
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax(axis, dtype, tolerance):
    compare(
        lambda x: fused.softmax(x, axis),
        lambda x: functional.softmax(x, dim=axis),
        [5.0 * array(4, 7, 6)],
        dtype,
        tolerance,
    )


@precision
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_of_class_numbers(smoothing, dtype, tolerance):
    labels = np.random.default_rng(4).integers(0, 10, 33)
    compare(
        lambda x: fused.cross_entropy(x, labels, smoothing),
        lambda x: functional.cross_entropy(x, torch.tensor(labels), label_smoothing=smoothing),
        [3.0 * array(33, 10)],
        dtype,
        tolerance,
    )


@precision
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_probabilities(smoothing, dtype, tolerance):
    soft = np.random.default_rng(5).dirichlet(np.ones(10), 33).astype(dtype)
    compare(
        lambda x: fused.cross_entropy(x, soft, smoothing),
        lambda x: functional.cross_entropy(x, torch.tensor(soft), label_smoothing=smoothing),
        [3.0 * array(33, 10)],
        dtype,
        tolerance,
    )


@precision
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mixed", [False, True], ids=["numbers", "probabilities"])
def test_cross_entropy_with_class_weights(mixed, smoothing, dtype, tolerance):
    rng = np.random.default_rng(6)
    weights = rng.uniform(0.1, 5.0, 10).astype(dtype)
    labels = rng.dirichlet(np.ones(10), 33).astype(dtype) if mixed else rng.integers(0, 10, 33)
    compare(
        lambda x: weighted_cross_entropy(x, labels, weights, smoothing),
        lambda x: functional.cross_entropy(
            x, torch.tensor(labels), weight=torch.tensor(weights), label_smoothing=smoothing
        ),
        [3.0 * array(33, 10)],
        dtype,
        tolerance,
    )


@precision
@pytest.mark.parametrize(("batch", "tokens", "heads", "each"), [(1, 1, 1, 1), (2, 5, 3, 4), (2, 65, 3, 64)])
def test_attention(batch, tokens, heads, each, dtype, tolerance):
    def theirs(qkv):
        q, k, v = (part.unflatten(-1, (heads, each)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)

    compare(lambda qkv: fused.attention(qkv, heads), theirs, [array(batch, tokens, 3 * heads * each)], dtype, tolerance)


@precision
def test_patchify(dtype, tolerance):
    """The patch embedding is PyTorch's convolution with its kernel laid out as (D, C, P, P)."""
    compare(
        lambda x, w: fused.linear(fused.patchify(x, 4), w),
        lambda x, w: functional.conv2d(
            x.movedim(-1, 1), w.reshape(4, 4, 3, 7).permute(3, 2, 0, 1), stride=4
        ).flatten(2).transpose(1, 2),
        [array(2, 8, 12, 3), array(48, 7, seed=2)],
        dtype,
        tolerance,
    )  # fmt: skip
