"""Casts around ops: which ops see half precision, what the tape saves in it, and that no other type is touched."""

import threading

import numpy as np
import pytest

from minivit import DTypeError, Tensor, convolution, no_grad
from minivit.backend import precision
from minivit.backend.arrays import to_numpy
from minivit.backend.indexing import scatter
from minivit.backend.precision import FLOAT32_RESULT, UNCAST, saved, with_derivative
from minivit.backend.products import matmul, matmul_add, sum_over
from minivit.backend.threads import PerThread
from minivit.engine import fused, ops, reference
from minivit.engine.tensor import op, rounded_once
from tests.gpu import strict_cupy

F16 = np.float16


def half(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(F16), requires_grad=True)


def arrays_held_by(function):
    """The arrays in a function's closure, and in those of the functions there."""
    found = []
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        if isinstance(value, np.ndarray):
            found.append(value)
        elif callable(value) and hasattr(value, "__closure__"):
            found += arrays_held_by(value)
    return found


def test_the_table_names_ops_that_exist():
    exist = {*ops.__all__, *fused.__all__, *convolution.__all__}

    assert exist >= UNCAST | FLOAT32_RESULT and not UNCAST & FLOAT32_RESULT


@pytest.mark.parametrize(("name", "device"), [("add", "cpu"), ("layer_norm", "cuda")])
def test_a_composed_function_with_the_name_of_an_uncast_op_is_rounded_once_too(name, device):
    def add(x, y):
        return x + y + y

    add.__name__ = name
    with strict_cupy.installed():
        x, y = (Tensor(np.array([value], np.float16)).to(device) for value in (2048.0, 1.0))
        np.testing.assert_array_equal(to_numpy(rounded_once(add)(x, y).data), [2050.0])  # 2048 + 1 is 2048 in half


UNCAST_OPS = {
    "abs": lambda x: abs(x),
    "add": lambda x: x + x,
    "astype": lambda x: x.astype(F16),
    "broadcast_to": lambda x: ops.broadcast_to(x, (2, *x.shape)),
    "concatenate": lambda x: ops.concatenate([x, x]),
    "conv2d": lambda x: convolution.conv2d(x, half(1, 1, 3, 2)),
    "gelu": fused.gelu,
    "getitem": lambda x: x[0],
    "linear": lambda x: fused.linear(x, half(3, 2), half(2)),
    "matmul": lambda x: x @ half(3, 2),
    "max_pool": lambda x: convolution.max_pool(x, 2, 2),
    "negative": lambda x: -x,
    "patchify": lambda x: fused.patchify(x, 2),
    "reshape": lambda x: x.reshape(-1),
    "subtract": lambda x: x - 1.0,
    "transpose": lambda x: x.T,
}


@pytest.mark.parametrize("name", sorted(UNCAST | UNCAST_OPS.keys()))
def test_an_op_in_the_table_is_on_the_tape_without_casts(name):
    x = half(2, 4, 4, 3)
    node = UNCAST_OPS[name](x)._node

    assert node.vjp.__qualname__ == f"{name}.<locals>.vjp"
    assert all(parent is None or isinstance(parent, Tensor) for parent in node.parents)


READ_HALF_ON_A_GPU = {  # by a kernel; of x, and of a row for LayerNorm
    "attention": lambda x, row: fused.attention(x, 1),
    "attention_with_weights": lambda x, row: fused.attention_with_weights(x, 1)[0],
    "dropout": lambda x, row: fused.dropout(x, 0.5, np.random.default_rng(0)),
    "layer_norm": lambda x, row: fused.layer_norm(x, row, row),
}


@pytest.mark.parametrize(
    ("call", "casts_on_gpu"),
    [*((call, False) for call in READ_HALF_ON_A_GPU.values()), (lambda x, row: fused.softmax(x), True)],
    ids=[*READ_HALF_ON_A_GPU, "softmax"],
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_on_a_gpu_a_kernel_reads_half_precision_without_casts(call, casts_on_gpu, device):
    with strict_cupy.installed():
        x, row = (Tensor(np.ones(shape, F16), requires_grad=True).to(device) for shape in ((1, 2, 3), 3))
        name = call(x, row)._node.vjp.__qualname__
        assert name.startswith("astype.") == (casts_on_gpu or device == "cpu")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_op_sees_half_precision_as_float32_and_other_types_as_they_are(dtype):
    seen = []

    def twice(x):
        seen.append(x.data)
        return x * 2.0

    x = Tensor(np.ones(3, dtype), requires_grad=True)
    y = op(twice)(x)
    y.backward(np.ones(3, dtype))

    assert (y.dtype, x.grad.dtype) == (dtype, dtype)
    assert seen[0].dtype == (np.float32 if dtype == F16 else dtype)
    assert (seen[0] is x.data) == (dtype != F16)


def test_an_op_without_a_kernel_for_halves_sees_float32_on_a_gpu_too():
    seen = []

    def twice(x):
        seen.append(x.dtype)
        return x * 2.0

    with strict_cupy.installed():
        assert op(twice)(half(3).to("cuda")).dtype == F16
    assert seen == [np.float32]


def test_a_function_in_the_table_is_returned_unchanged():
    def add(x):
        return x

    def twice(x):
        return x

    assert op(add) is add
    assert op(twice) is not twice
    assert rounded_once(add) is not add


def test_the_first_tensor_decides_whether_it_stands_first_or_is_passed_by_name():
    seen = []

    def scaled(factor, x=None):
        seen.append(x.dtype)
        return x * factor

    for call in (lambda f: f(2.0, half(3)), lambda f: f(2.0, x=half(3)), lambda f: f(factor=2.0, x=half(3))):
        assert call(op(scaled)).dtype == F16
    assert seen == [np.float32] * 3
    assert op(lambda: 5)() == 5


def test_an_array_of_halves_beside_a_float32_tensor_casts_nothing():
    x = Tensor(np.float32([1.0, 2.0]))
    assert (np.ones(2, F16) * x).dtype == np.float32
    assert ops.multiply(np.ones(2, F16), x).dtype == np.float32


@pytest.mark.parametrize("module", [fused, reference], ids=["fused", "composed"])
def test_types_that_do_not_mix_are_refused_in_half_precision_too(module):
    wide = Tensor(np.ones(4, np.float32))
    for inputs in ((half(2, 4), wide, wide), (Tensor(np.ones((2, 4), np.float32)), half(4), half(4))):
        with pytest.raises(DTypeError, match="float16"):
            module.layer_norm(*inputs)
    with pytest.raises(DTypeError, match="float16"):
        half(4) * wide


@pytest.mark.parametrize("module", [fused, reference], ids=["fused", "composed"])
def test_the_loss_of_halves_is_float32_whatever_the_labels_are(module):
    logits, targets = half(3, 4), np.full((3, 4), 0.25, np.float32)
    expected = module.cross_entropy(logits, targets).item()

    for labels in (Tensor(targets), Tensor(targets.astype(F16)), targets.astype(F16)):
        loss = module.cross_entropy(logits, labels)
        assert (loss.dtype, loss.item()) == (np.float32, expected)
    with pytest.raises(DTypeError, match="labels are constants"):
        module.cross_entropy(logits, half(3, 4))
    with no_grad(), pytest.raises(DTypeError, match="labels are constants"):
        module.cross_entropy(logits, half(3, 4))


# -- what is saved for backward ------------------------------------------------------------------


def node_of_op(out):
    """The Node of the op itself: in half precision the last one is a cast."""
    node = out._node
    return node if "astype" not in node.vjp.__qualname__ else node.parents[0]


@pytest.mark.parametrize(
    "name", ["attention", "attention_with_weights", "exp", "gelu", "sqrt", "softmax", "tanh"], ids=str
)
def test_what_an_op_saves_of_halves_is_in_half_precision(name):
    x = half(2, 4, 12)
    x.data = abs(x.data)
    function = getattr(fused, name, None) or getattr(ops, name)
    out = function(x, 2) if "attention" in name else function(x)
    out = out[0] if isinstance(out, tuple) else out

    held = arrays_held_by(node_of_op(out).vjp)

    assert held and {array.dtype for array in held} == {np.dtype(F16)}


def test_an_input_is_saved_without_a_copy():
    x = half(2, 4, 12)
    held = arrays_held_by(node_of_op(fused.attention(x, 2)).vjp)
    assert any(array is x.data for array in held)


def test_float32_is_saved_as_it_is():
    x = np.float32([1.0, 2.0])
    assert saved(x)() is x


def test_inside_a_composed_function_an_op_saves_float32():
    held = []

    def composed(x):
        y = x.exp()
        held.extend(arrays_held_by(y._node.vjp))
        return y

    rounded_once(composed)(half(3))
    assert [array.dtype for array in held] == [np.float32]


def test_attention_weights_of_halves_are_halves():
    out, weights = fused.attention_with_weights(half(2, 4, 12), 2)
    assert (out.dtype, weights.dtype) == (F16, F16)


def test_an_op_that_fails_leaves_the_next_one_as_it_was():
    def fails(x):
        raise ValueError("no")

    for mark in (op, rounded_once):
        with pytest.raises(ValueError, match="no"):
            mark(fails)(half(2))
    assert precision._narrow.value is None


# -- functions of the backend --------------------------------------------------------------------


def test_values_and_derivatives_of_halves_are_rounded_once_and_have_the_arrays_shape():
    def third(x, out, derivative):
        assert x.dtype == np.float32
        np.divide(x, 3.0, out=out)
        if derivative is not None:
            derivative[...] = 1.0 / 3.0

    x = np.arange(6.0, dtype=F16).reshape(2, 3).T
    values, derivative = with_derivative(third, x, True)
    assert values.shape == derivative.shape == (3, 2)
    np.testing.assert_array_equal(values, (x.astype(np.float32) / 3).astype(F16))
    np.testing.assert_array_equal(derivative, np.full((3, 2), 1 / 3, F16))
    assert with_derivative(third, x, False)[1] is None


@pytest.mark.parametrize("dtype", [F16, np.float32, np.float64])
def test_products_and_sums_have_the_type_of_their_arrays(dtype):
    x, y = np.ones((2, 3), dtype), np.ones((3, 4), dtype)
    for found in (matmul(x, y), matmul_add(x, y, None), matmul_add(x, y, y[0]), sum_over(x, (0,))):
        assert found.dtype == dtype
    np.testing.assert_array_equal(matmul_add(x, y, y[0]), np.full((2, 4), 4.0))
    np.testing.assert_array_equal(matmul_add(x, y, None), np.full((2, 4), 3.0))
    plus = np.arange(8, dtype=dtype).reshape(2, 4)
    np.testing.assert_array_equal(matmul_add(x, y, y[0], plus), plus + 4)
    np.testing.assert_array_equal(matmul_add(x, y, None, plus), plus + 3)
    assert matmul_add(x, y, y[0], plus).dtype == dtype
    large = np.full((1, 2), 200.0, dtype)  # 80,000 is no half, and 80,000 - 32,000 is one
    assert matmul_add(large, large.T, np.array([-32_000.0], dtype)) == 48_000.0


def test_a_sum_over_axes_adds_halves_up_in_float32():
    """In half precision 2048 + 1 is 2048."""
    np.testing.assert_array_equal(sum_over(np.ones((4096, 2), F16), (0,)), np.full(2, 4096.0, F16))


def test_gradients_of_a_position_that_was_picked_often_are_added_up_in_float32():
    found = scatter(np.ones(4096, F16), np.zeros(4096, int), (2,))
    assert found.dtype == F16
    np.testing.assert_array_equal(found, [4096.0, 0.0])


def test_each_thread_has_its_own_value():
    setting, seen = PerThread(1), []
    with setting.set_to(2):
        other = threading.Thread(target=lambda: seen.append(setting.value))
        other.start()
        other.join()
        seen.append(setting.value)
        with pytest.raises(ValueError, match="no"), setting.set_to(3):
            raise ValueError("no")
        seen.append(setting.value)
    assert [*seen, setting.value] == [1, 2, 2, 1]
