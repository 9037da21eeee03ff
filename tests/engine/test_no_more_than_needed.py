"""The tape keeps, copies and computes no more than a gradient needs: what no value shows, and memory and time do."""

import importlib
import weakref

import numpy as np
import pytest

from minivit import DTypeError, ShapeError, Tensor, no_grad
from minivit.backend import arrays as backend
from minivit.engine import fused, ops
from minivit.engine.tensor import needs_grad, read_only, recompute, record, value_and_grad
from tests.gpu import strict_cupy


def leaf(*shape):
    return Tensor(np.full(shape, 0.5), requires_grad=True)


# -- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [lambda h: h * [1.0, 2.0], lambda h: [1.0, 2.0] * h], ids=["right", "left"])
def test_a_factor_of_a_constant_is_not_kept(op):
    """d(c h) / dh needs c alone, and c has no gradient that would need h."""
    h = leaf(2) + 1.0
    watched = weakref.ref(h.data)

    out = op(h)
    del h

    assert watched() is None
    out.backward(np.ones(2))


def test_a_quotient_is_kept_for_the_divisors_gradient_alone():
    x, constant = leaf(2), np.full(2, 4.0)
    kept = []
    for top, bottom in ((x, constant), (constant, x)):
        out = ops.divide(top, bottom)
        watched = weakref.ref(out.data)
        rest = out + 1.0
        del out
        kept.append(watched() is not None)
        rest.backward(np.ones(2))
    assert kept == [False, True]


def test_an_op_asks_whether_its_gradient_will_be_wanted():
    x, constant = leaf(2), Tensor([1.0])
    assert needs_grad(x) and needs_grad(constant, x) and needs_grad(2.0, x)
    assert not needs_grad(constant) and not needs_grad(constant, 2.0, None) and not needs_grad()
    with no_grad():
        assert not needs_grad(x)


def test_what_is_recomputed_has_no_tape_the_first_time():
    weight, taped = leaf(2), []

    def function(x, rng):
        out = x * weight
        taped.append(out.requires_grad)
        return out

    recompute(function, leaf(2), [weight]).backward(np.ones(2))
    assert taped == [False, True]


# -- what is computed ----------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "right", "products"), [(True, True, 3), (True, False, 2), (False, True, 2)])
def test_a_matrix_product_computes_the_gradients_that_are_wanted(left, right, products, monkeypatch):
    calls = []
    original = ops.multiply_arrays
    monkeypatch.setattr(ops, "multiply_arrays", lambda x, y: calls.append(1) or original(x, y))
    a, b = Tensor(np.ones((2, 3)), requires_grad=left), Tensor(np.ones((3, 2)), requires_grad=right)

    (a @ b).backward(np.ones((2, 2)))

    assert len(calls) == products


class Watched(np.ndarray):
    """An array that counts how often it, or what is computed from it, is copied or added to in place."""

    copies = 0
    additions_in_place = 0

    def copy(self, *args, **options):
        Watched.copies += 1
        return super().copy(*args, **options)

    def __iadd__(self, other):
        Watched.additions_in_place += 1
        return super().__iadd__(other)


@pytest.fixture
def watched():
    Watched.copies = Watched.additions_in_place = 0
    return Watched


def gradient_of(value, times=1, shared=False):
    """An op whose vjp returns a fresh gradient, or the one that it was handed."""
    return lambda x: record(
        x.data.copy(), (x,), lambda dy: (dy.view(Watched) if shared else np.full(x.shape, value).view(Watched),)
    )


def test_a_gradient_that_belongs_to_nobody_else_is_handed_over_as_it_is(watched):
    x, given = leaf(2), np.array([3.0, 4.0])

    record(x.data.copy(), (x,), lambda dy: (given,)).backward(np.ones(2))

    assert x.grad is given
    assert watched.copies == 0


def test_a_gradient_that_may_belong_to_another_is_copied_once(watched):
    x = leaf(2)
    gradient_of(0, shared=True)(x).backward(np.ones(2))
    assert watched.copies == 1
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


def test_a_sum_of_gradients_is_not_copied_even_if_the_first_was_anothers(watched):
    x = leaf(2)
    out = gradient_of(3.0)(x) + gradient_of(0, shared=True)(x)  # backward begins with the last
    out.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [4.0, 4.0])
    assert watched.copies == 0


@pytest.mark.parametrize("uses", [1, 2, 3, 5])
def test_the_second_gradient_makes_a_sum_and_later_ones_are_added_to_it(watched, uses):
    x = leaf(2)
    values = [gradient_of(2.0)(x) for _ in range(uses)]
    total = values[0]
    for value in values[1:]:
        total = total + value
    total.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [2.0 * uses, 2.0 * uses])
    assert watched.additions_in_place == max(0, uses - 2)


def test_what_a_vjp_returns_for_constants_is_passed_over():
    x = leaf(2)
    inputs = (x, Tensor(np.ones(3)), Tensor(np.ones(5)), 7.0)
    out = record(np.ones(2), inputs, lambda dy: (dy * 2.0, np.ones(3), np.ones(5), np.ones((2, 2))))

    out.backward(np.ones(2))

    np.testing.assert_array_equal(x.grad, [2.0, 2.0])
    assert value_and_grad(lambda: (x * 3.0).sum(), [x])[0] == 3.0


def test_nothing_is_summed_where_nothing_was_repeated():
    dy = np.ones((2, 3))
    assert ops.unbroadcast(dy, (2, 3)) is dy
    assert ops.unbroadcast(dy, None) is None


# -- small things of tensors and arrays ----------------------------------------------------------


def test_to_another_device_a_leaf_is_a_leaf_with_the_same_name():
    for x in (Tensor([1.0, 2.0], requires_grad=True, name="w"), Tensor([1.0, 2.0])):
        moved = x.to("cpu")
        np.testing.assert_array_equal(moved.data, [1.0, 2.0])
        assert moved is not x and moved.is_leaf
        assert (moved.requires_grad, moved.name) == (x.requires_grad, x.name)


def test_a_computed_tensor_that_is_there_already_is_not_moved():
    x = leaf(2)
    y = x * 3.0
    assert y.to("cpu") is y
    (y.to("cpu") * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [6.0, 6.0])


def test_the_gradient_of_a_computed_tensor_comes_back_from_another_device():
    with strict_cupy.installed():
        x = leaf(2)
        y = x * 3.0
        watched = weakref.ref(y.data)
        moved = y.to("cuda")
        del y
        assert watched() is None
        assert moved.requires_grad and not moved.is_leaf
        (moved * 2.0).sum().backward()
        assert isinstance(x.grad, np.ndarray)
        np.testing.assert_array_equal(x.grad, [6.0, 6.0])

        with no_grad():
            assert not (x * 3.0).to("cuda").requires_grad
        constant = Tensor([1.0, 2.0]).to("cuda")
        assert constant.is_leaf and not constant.requires_grad


def test_a_gradient_comes_back_to_the_gpu_that_it_belongs_to():
    with strict_cupy.installed() as cupy:
        x = Tensor(np.array([1.0, 2.0]), requires_grad=True).to("cuda:1")
        moved = (x * x).to("cuda:0")
        (moved * 2.0).sum().backward()
        assert x.grad.device.id == 1
        np.testing.assert_array_equal(x.grad.get(), [4.0, 8.0])
        cupy.cuda.Device(0).use()


def test_what_is_read_only_is_a_view_and_leaves_the_array_as_it_was():
    x = np.zeros(2)
    view = read_only(x)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0
    x[0] = 5.0
    assert view[0] == 5.0
    with strict_cupy.installed() as cupy:
        elsewhere = cupy.zeros(2)
        assert read_only(elsewhere) is elsewhere


def test_an_array_belongs_to_the_package_that_defines_its_type():
    class Own(np.ndarray):
        """NumPy's still."""

    foreign = type("Foreign", (), {"__module__": "scipy.special.deeper"})
    importlib.import_module("scipy.special")
    assert backend.xp_of(np.zeros(2).view(Own)) is np
    assert backend.xp_of(np.float32(2.0)) is np
    assert backend.xp_of(foreign()).__name__ == "scipy"


@pytest.mark.parametrize(("left", "right"), [(2.0, Tensor([1.0])), (Tensor(2.0), Tensor([1.0]))])
def test_a_matrix_product_with_a_single_number_is_refused(left, right):
    for pair in ((left, right), (right, left)):
        with pytest.raises(ShapeError, match="matrix product"):
            ops.matmul(*pair)


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("op", [ops.sum, ops.mean, ops.max])
def test_a_single_number_may_be_reduced_over_its_only_axis_as_in_numpy(op, axis):
    x = Tensor(3.0, requires_grad=True)
    out = op(x, axis)
    out.backward()
    assert (out.item(), x.grad.item()) == (3.0, 1.0)


@pytest.mark.parametrize("number", [np.float64(0.1), np.float32(0.1), np.int64(2)], ids=repr)
def test_a_numpy_number_beside_a_tensor_takes_the_tensors_type(number):
    x = Tensor(np.float32([1.0, 2.0]), requires_grad=True)
    for out in (x * number, number * x, x + number, x / number):
        assert out.dtype == np.float32


@pytest.mark.parametrize(
    "op",
    [
        ops.exp, ops.log, ops.sqrt, ops.tanh, ops.erf, ops.negative, ops.sum, ops.mean, ops.max, lambda x: x**2.0,
        lambda x: x * 0.3, lambda x: 0.3 - x, lambda x: x / 3, lambda x: 1 / x, lambda x: x[[0, 0]], lambda x: x @ x,
        lambda x: ops.broadcast_to(x, (4, 2)), lambda x: ops.concatenate([x, x]),
    ],
)  # fmt: skip
def test_bfloat16_stays_what_it_is_forward_and_backward(op):
    """It is no type of NumPy's own, which would make float32 of it beside a plain number."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = Tensor(np.array([0.5, 1.5], bfloat16), requires_grad=True)
    out = op(x)
    assert out.dtype == bfloat16
    out.backward(np.ones(out.shape, bfloat16))
    assert x.grad.dtype == bfloat16
    wide = Tensor(x.data.astype(np.float64), requires_grad=True)
    result = op(wide)
    result.backward(np.ones(result.shape))
    np.testing.assert_allclose(out.data.astype(np.float64), result.data, rtol=0.02)
    np.testing.assert_allclose(x.grad.astype(np.float64), wide.grad, rtol=0.02, atol=1e-6)


@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, False, True), (True, True, True)]
)
def test_a_linear_map_computes_the_gradients_that_are_wanted(wanted, monkeypatch):
    calls = []

    def counted(product):
        return lambda *arrays: calls.append(1) or product(*arrays)

    for name in ("matmul_add", "matmul", "sum_of_rows"):
        monkeypatch.setattr(fused, name, counted(getattr(fused, name)))
    arrays = np.ones((4, 3)), np.ones((3, 2)), np.ones(2)
    x, weight, bias = (Tensor(array, requires_grad=grad) for array, grad in zip(arrays, wanted, strict=True))

    fused.linear(x, weight, bias).backward(np.ones((4, 2)))

    assert len(calls) == 1 + sum(wanted)
    assert [tensor.grad is not None for tensor in (x, weight, bias)] == list(wanted)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ((True, False, False), {"weight"}),
        ((False, True, False), {"input"}),
        ((False, False, True), set()),
        ((True, True, True), {"input", "weight"}),
    ],
)
def test_a_linear_map_keeps_what_the_wanted_gradients_need(wanted, kept):
    computed = [leaf(4, 3) * 1.0, leaf(3, 2) * 1.0, leaf(2) * 1.0]
    inputs = [x if grad else x.detach() for x, grad in zip(computed, wanted, strict=True)]
    watched = {name: weakref.ref(x.data) for name, x in zip(("input", "weight", "bias"), inputs, strict=True)}

    out = fused.linear(*inputs)
    del computed, inputs

    assert {name for name, array in watched.items() if array() is not None} == kept
    out.backward(np.ones((4, 2)))


def test_its_text_has_four_digits_aligned_and_leaves_out_the_middle_of_more_than_twenty_numbers():
    assert repr(Tensor([1.0, 0.123456])) == "Tensor([1.    , 0.1235], shape=(2,), dtype=float32)"
    assert repr(Tensor([1.0], requires_grad=True, name="w")) == (
        "Tensor([1.], shape=(1,), dtype=float32, requires_grad=True, name='w')"
    )
    assert repr(Tensor([[1.0], [2.0]])) == "Tensor([[1.],\n        [2.]], shape=(2, 1), dtype=float32)"
    assert "..." not in repr(Tensor(np.zeros(20))) and "..." in repr(Tensor(np.zeros(21)))


def test_what_was_computed_without_a_tape_may_become_a_leaf():
    w = leaf(2)
    with no_grad():
        x = w * 2.0
    x.requires_grad = True
    (x * 3.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


def test_a_tensor_of_several_numbers_is_not_true_or_false():
    with pytest.raises(ShapeError, match="not true or false as a whole"):
        bool(Tensor([1.0, 2.0]))
    assert bool(Tensor([1.0])) and not bool(Tensor([0.0]))


def test_an_exponent_is_no_tensor():
    with pytest.raises(DTypeError, match="an exponent must be a plain number, not a Tensor"):
        ops.power(2.0, leaf(2))


def test_the_gradient_of_a_distance_at_0_is_0():
    x = Tensor([-2.0, 0.0, 3.0], requires_grad=True)
    ops.abs(x).backward(np.float32([5.0, 5.0, 5.0]))
    np.testing.assert_array_equal(x.grad, [-5.0, 0.0, 5.0])
