"""The checker is checked: it accepts every right gradient and rejects every way of getting one wrong."""

import numpy as np
import pytest

from minivit import GradientError, Tensor, gradcheck, no_grad
from minivit.engine import fused, ops
from minivit.engine.tensor import record
from minivit.errors import ConfigError, DTypeError, ShapeError


def array(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


# Square shapes, so that transposing a gradient leaves its shape alone.
OPS = {
    "linear": (fused.linear, array(4, 4), array(4, 4), array(4)),
    "softmax": (fused.softmax, array(5, 5)),
    "layer_norm": (fused.layer_norm, array(6, 6), array(6), array(6)),
    "gelu": (fused.gelu, array(4, 4)),
    "attention": (lambda qkv: fused.attention(qkv, 2), array(1, 12, 12)),
    "cross_entropy": (lambda x: fused.cross_entropy(x, np.array([0, 3, 2, 2]), 0.1), array(4, 4)),
    "matmul": (ops.matmul, array(5, 5), array(5, 5)),
    "multiply": (ops.multiply, array(3, 3), array(3)),
}


def with_gradients(op, change):
    """`op`, but `change(gradients, dy)` decides what its vjp returns."""

    def changed(*tensors):
        leaves = [Tensor(tensor.data.copy(), requires_grad=True) for tensor in tensors]
        out = op(*leaves)

        def vjp(dy):
            out.backward(dy.copy())
            return change([leaf.grad for leaf in leaves], dy)

        if any(tensor.requires_grad for tensor in tensors):
            return record(out.data, tensors, vjp)
        return Tensor(out.data)

    return changed


def each(function):
    return lambda gradients, dy: tuple(function(g) for g in gradients)


def add_to_dy(gradients, dy):
    dy += 1.0
    return tuple(gradients)


MUTANTS = {
    "zeroed": each(np.zeros_like),
    "negated": each(np.negative),
    "doubled": each(lambda g: 2.0 * g),
    "too large by a thousandth": each(lambda g: 1.001 * g),
    "too small by a thousandth": each(lambda g: 0.999 * g),
    "transposed": each(lambda g: g.swapaxes(-1, -2).copy() if g.ndim > 1 else g),
    "shifted by a constant": each(lambda g: g + 0.01),
    "reversed": each(lambda g: g[::-1].copy() if len(g) > 1 else g[:, ::-1].copy()),
    "one element wrong": each(lambda g: g * np.where(np.arange(g.size).reshape(g.shape) == 2, 1.5, 1.0)),
    "first input forgotten": lambda gradients, dy: (None, *gradients[1:]),
    "last input forgotten": lambda gradients, dy: (*gradients[:-1], None),
    "not a number": each(lambda g: g * np.nan),
}


@pytest.mark.parametrize("name", OPS)
def test_the_op_itself_is_accepted(name):
    function, *inputs = OPS[name]

    assert gradcheck(function, *inputs) < 1e-7


@pytest.mark.parametrize("name", OPS)
def test_the_rewrapped_op_is_accepted(name):
    """What rejects the mutants below is their change, and not how they are wrapped."""
    function, *inputs = OPS[name]

    assert gradcheck(with_gradients(function, each(lambda g: g)), *inputs) < 1e-7


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("name", OPS)
def test_a_wrong_gradient_is_rejected(name, mutant):
    function, *inputs = OPS[name]

    with pytest.raises(GradientError):
        gradcheck(with_gradients(function, MUTANTS[mutant]), *inputs)


@pytest.mark.parametrize("name", [name for name in OPS if name != "cross_entropy"])  # its output is a single number
def test_a_vjp_that_changes_what_it_is_handed_is_rejected(name):
    function, *inputs = OPS[name]

    with pytest.raises(GradientError, match="changed"):
        gradcheck(with_gradients(function, add_to_dy), *inputs)


def test_a_forgotten_un_broadcast_is_rejected():
    def forgetful(a, b):
        x, y = a.data, b.data
        return record(x * y, (a, b), lambda dy: (dy * y, dy * x))

    assert gradcheck(forgetful, array(3, 3), array(3, 3)) < 1e-7
    with pytest.raises(GradientError, match="shape") as caught:
        gradcheck(forgetful, array(3, 3), array(3))
    assert isinstance(caught.value.__cause__, ShapeError)


def test_a_sum_over_the_wrong_axis_is_rejected():
    def wrong_axis(a, b):
        x, y = a.data, b.data
        return record(x * y, (a, b), lambda dy: (dy * y, (dy * x).sum(axis=1)))

    with pytest.raises(GradientError, match="input 1"):
        gradcheck(wrong_axis, array(3, 3), array(3))


def test_an_input_that_is_wrong_while_another_is_right_is_named():
    op, *inputs = OPS["linear"]

    with pytest.raises(GradientError, match=r"input 2, of shape \(4,\)"):
        gradcheck(with_gradients(op, lambda g, dy: (g[0], g[1], 2.0 * g[2])), *inputs)


def test_why_the_cotangent_is_random_and_not_all_ones():
    """The rows of a softmax sum to 1, so the sum of its output has the gradient zero: so has a zeroed backward."""
    zeroed = with_gradients(fused.softmax, each(np.zeros_like))

    assert gradcheck(lambda x: zeroed(x) * 1.0, array(1, 1)) == 0.0  # a softmax of one number is 1: zero is right
    x = Tensor(array(5, 5), requires_grad=True)
    zeroed(x).sum().backward()
    by_hand = finite_differences(lambda values: fused.softmax(Tensor(values)).data.sum(), x.data)
    np.testing.assert_allclose(x.grad, by_hand, rtol=0, atol=1e-10)  # summing the output accepts the mutant

    with pytest.raises(GradientError):
        gradcheck(zeroed, array(5, 5))


def finite_differences(function, x, step=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[index] = step
        gradient[index] = (function(x + move) - function(x - move)) / (2.0 * step)
    return gradient


# -- how it is used ------------------------------------------------------------------------------


def test_single_precision_inputs_are_checked_in_double():
    seen = []

    def watched(x):
        seen.append(x.dtype)
        return x * x

    assert gradcheck(watched, np.float32(array(3)), tolerance=1e-8) < 1e-8
    assert set(seen) == {np.dtype(np.float64)}


def test_inputs_are_never_changed():
    x, y = array(3), Tensor(array(3), requires_grad=True)
    before = x.copy(), y.data.copy()

    gradcheck(lambda a, b: a * b, x, y)

    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y.data, before[1])
    assert y.grad is None


def test_the_tolerance_decides():
    op, *inputs = OPS["matmul"]
    slightly_wrong = with_gradients(op, each(lambda g: g * (1.0 + 1e-4)))

    assert 1e-6 < gradcheck(slightly_wrong, *inputs, tolerance=1e-3) < 1.1e-4
    with pytest.raises(GradientError):
        gradcheck(slightly_wrong, *inputs, tolerance=1e-6)


def test_an_input_that_plays_no_part_has_the_gradient_zero():
    assert gradcheck(lambda a, b: a * 2.0 + b.detach() * 0.0, array(2), array(2)) < 1e-9
    with pytest.raises(GradientError, match="input 1"):
        gradcheck(lambda a, b: a * 2.0 + b.detach(), array(2), array(2))


def test_the_tape_is_on_again_afterwards():
    """The two evaluations run without a tape; afterwards the tape is on again."""
    gradcheck(ops.exp, array(2))

    assert (Tensor([1.0], requires_grad=True) * 2.0).requires_grad
    with no_grad():
        assert not (Tensor([1.0], requires_grad=True) * 2.0).requires_grad


def slope_of_one_said_to_be(claimed):
    """f(x) = x, with a wrong derivative."""
    return lambda x: record(x.data.copy(), (x,), lambda dy: (claimed * dy,))


@pytest.mark.parametrize("claimed", [-3.0, 3.0, -0.2])
def test_the_error_is_relative_to_the_largest_of_both_numbers_and_the_gradients_norm(claimed):
    """With the direction u and the cotangent v both numbers are u v and claimed u v, the norm is |claimed v|."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        v, u = rng.standard_normal(1)[0], rng.standard_normal(1)[0]
        expected = abs(u - claimed * u) / max(abs(u), abs(claimed * u), abs(claimed))
        error = gradcheck(slope_of_one_said_to_be(claimed), [0.5], tolerance=9.0, directions=1, seed=seed)
        assert v and error == pytest.approx(expected, rel=1e-6)


def test_an_error_as_large_as_the_tolerance_passes_and_more_than_a_millionth_does_not_by_itself():
    op = slope_of_one_said_to_be(1.0 + 1.25e-6)
    error = gradcheck(op, [0.5], tolerance=1e-5)

    assert type(error) is float
    assert type(gradcheck(ops.exp, array(5))) is float
    assert gradcheck(op, [0.5], tolerance=error) == error
    assert gradcheck(slope_of_one_said_to_be(1.0 + 0.75e-6), array(5)) < 1e-6
    with pytest.raises(GradientError, match="allowed 1e-06"):
        for seed in range(9):
            gradcheck(op, [0.5], seed=seed)


def moves(**options):
    """Where the function is evaluated, beside the point itself."""
    x, seen = array(5000), []

    def watched(tensor):
        seen.append(tensor.data - x)
        return tensor * 2.0

    gradcheck(watched, x, **options)
    return seen[1:]


def test_each_of_two_directions_is_tried_a_hundred_thousandth_to_both_sides():
    forth, back, other, _ = moves()

    np.testing.assert_allclose(forth, -back, atol=1e-15)
    assert np.abs(forth - other).max() > 1e-5
    for move in (forth, other):
        assert move.std() == pytest.approx(1e-5, rel=0.05)
    assert len(moves(directions=3)) == 6
    assert moves(step=1e-3)[0].std() == pytest.approx(1e-3, rel=0.05)


def test_the_seed_decides_the_directions():
    np.testing.assert_array_equal(moves(), moves(seed=0))
    assert np.abs(moves()[0] - moves(seed=1)[0]).max() > 1e-6


@pytest.mark.parametrize("directions", [0, -1, 1.5, True])
def test_a_check_that_tries_no_direction_is_refused(directions):
    with pytest.raises(ConfigError, match="directions must be an integer of 1 or more, not "):
        gradcheck(with_gradients(ops.exp, each(np.zeros_like)), array(3), directions=directions)


@pytest.mark.parametrize(
    "result", [None, 3.0, array(3), (Tensor(array(3)), Tensor(array(3)))], ids=lambda r: type(r).__name__
)
def test_a_function_that_returns_no_tensor_is_refused(result):
    with pytest.raises(DTypeError, match=f"must return one Tensor, not {type(result).__name__}"):
        gradcheck(lambda x: result, array(3))


def test_only_the_gradient_itself_needs_a_tape():
    weight, taped = Tensor(array(3), requires_grad=True), []

    def watched(x):
        out = x * weight
        taped.append(out.requires_grad)
        return out

    gradcheck(watched, array(3))
    assert taped == [True, False, False, False, False]
