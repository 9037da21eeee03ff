"""Optimisers' defaults, limits and refusals, Muon by hand, clipping and averages at their edges."""

import math
import pickle
import tracemalloc

import numpy as np
import pytest

from minivit.engine import Tensor
from minivit.errors import (
    BackwardError,
    CheckpointError,
    ConfigError,
    DTypeError,
    NonFiniteLossError,
    ShapeError,
)
from minivit.nn import Linear, Module
from minivit.training import optim
from minivit.training.optim import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    ExponentialAverage,
    Kernel,
    Muon,
    Optimizer,
    by_name,
    clip_by_global_norm,
    is_kernel,
    number,
    orthogonalized,
)


def tensor(*shape, seed=0, dtype=np.float64):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype), requires_grad=True)


LINEAR = Linear(np.eye(2, dtype=np.float32))


# -- which parameters, and under which names -----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("fc.weight", (2, 3), True),
        ("conv.weight", (3, 3, 2, 2), True),
        ("norm.weight", (3,), False),
        ("positions.embedding", (1, 5, 3), False),
        ("fc.bias", (2, 3), False),
    ],
)
def test_weight_decay_belongs_to_the_kernels(name, shape, expected):
    assert is_kernel(name, tensor(*shape)) is expected


@pytest.mark.parametrize(
    "given",
    [LINEAR, tensor(2, 2), 5, None, ["ab"], [("w", tensor(2), 1)], [(1, tensor(2))], [tensor(2)]],
)
def test_what_are_no_pairs_of_name_and_parameter_is_refused(given):
    with pytest.raises(ConfigError, match="pairs of name and parameter are needed"):
        by_name(given)


def test_a_single_tensor_is_not_taken_for_a_list_of_its_rows():
    with pytest.raises(ConfigError, match="gives them, not a Tensor"):
        by_name(tensor(2, 2))


def test_pairs_may_be_lists_or_a_dict_and_one_parameter_keeps_its_first_name():
    w, b = tensor(2), tensor(3)
    expected = {"w": w, "b": b}
    for given in ([("w", w), ("b", b)], (["w", w], ["b", b]), {"w": w, "b": b}, [("w", w), ("b", b), ("again", w)]):
        assert by_name(given) == expected
        assert list(by_name(given)) == ["w", "b"]
    with pytest.raises(ConfigError, match="w must be a parameter, a Tensor, not ndarray"):
        by_name([("w", w.data)])
    with pytest.raises(ConfigError, match="w is the result of an operation"):
        by_name([("w", w * 1.0)])
    with pytest.raises(ConfigError, match="two parameters are called w"):
        by_name([("w", w), ("w", b)])


def test_two_tensors_of_one_array_are_refused_and_neighbours_are_not():
    memory = np.zeros(10)
    apart = {"a": Tensor(memory[:5]), "b": Tensor(memory[5:])}
    assert list(by_name(apart)) == ["a", "b"]
    woven = {"even": Tensor(memory[::2]), "odd": Tensor(memory[1::2])}
    assert list(by_name(woven)) == ["even", "odd"]
    assert list(by_name({"a": Tensor(memory), "nothing": Tensor(memory[3:3])})) == ["a", "nothing"]
    for first, second in ((memory[:6], memory[5:]), (memory, memory[2:4]), (memory[2:4], memory)):
        with pytest.raises(ConfigError, match="are two Tensors that share one array"):
            by_name({"first": Tensor(first), "second": Tensor(second)})
    # The one that ends last is remembered, whatever lies inside it.
    with pytest.raises(ConfigError, match="long and last are two"):
        by_name({"long": Tensor(memory[0:10:3]), "short": Tensor(memory[1:3]), "last": Tensor(memory[9:])})


def test_an_optimiser_or_an_average_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least one parameter"):
        SGD([], lr=1.0)
    with pytest.raises(ConfigError, match="at least one parameter"):
        ExponentialAverage([], 0.9)


# -- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 0.0, 1, 2.5, np.float32(0.5), np.int64(3), 1e300])
def test_a_rate_may_be_any_finite_number_from_0(value):
    assert number("x", value) == float(value) and type(number("x", value)) is float


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan, "1", b"1", True, np.True_, None, [1.0, 2.0], 1j, 10**400])
def test_other_rates_are_refused(value):
    with pytest.raises(ConfigError, match="x must be a finite number, 0 or more, not"):
        number("x", value)


def test_the_limits_of_a_rate_are_named():
    assert number("x", 1.0, least=1.0) == 1.0 and number("x", 0.999, below=1.0) == 0.999
    with pytest.raises(ConfigError, match="x must be a finite number, 1 or more, not 0"):
        number("x", 0, least=1.0)
    with pytest.raises(ConfigError, match="x must be a finite number, 0 or more and below 1, not 1"):
        number("x", 1, below=1.0)


def test_the_defaults_are_those_of_the_papers_and_of_big_vision():
    named = [("blocks.0.weight", tensor(2, 2))]
    sgd, adam, adamw, muon = SGD(named, lr=1.0), Adam(named), AdamW(named), Muon(named)
    assert (sgd.momentum, sgd.weight_decay) == (0.9, 0.0)
    assert (adam.lr, adam.betas, adam.eps, adam.weight_decay) == (1e-3, (0.9, 0.999), 1e-8, 0.0)
    assert (adamw.lr, adamw.betas, adamw.eps, adamw.weight_decay) == (1e-3, (0.9, 0.999), 1e-8, 0.05)
    assert (muon.lr, muon.betas, muon.eps, muon.weight_decay, muon.momentum) == (2e-3, (0.9, 0.999), 1e-8, 0.05, 0.95)
    assert (adam.decoupled, adamw.decoupled, muon.decoupled) == (False, True, True)
    assert Optimizer(named, 1.0).weight_decay == 0.0
    assert list(sgd.state()) == ["momentum/blocks.0.weight"]  # as checkpoints name it
    assert all(optimizer.steps == 0 and optimizer.scales == {} for optimizer in (sgd, adam, adamw, muon))


def test_each_rule_has_the_name_that_commands_know():
    named = [("blocks.0.weight", Tensor(np.ones((2, 2)), requires_grad=True))]
    made = {name: type(rule(named, lr=0.1)) for name, rule in OPTIMIZERS.items()}
    assert made == {"adamw": AdamW, "adam": Adam, "sgd": SGD, "muon": Muon}


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (Adam, {"betas": 0.9}, "betas must be two numbers"),
        (Adam, {"betas": (0.9, 0.99, 0.999)}, "betas must be two numbers"),
        (Adam, {"betas": "ab"}, "betas must be two numbers"),
        (Adam, {"betas": (1.0, 0.9)}, "beta1 must be"),
        (Adam, {"betas": (0.9, 1.0)}, "beta2 must be"),
        (Adam, {"eps": -1e-8}, "eps must be"),
        (SGD, {"lr": 1.0, "momentum": -0.1}, "momentum must be"),
        (Muon, {"momentum": 1.0}, "momentum must be"),
        (AdamW, {"lr": "fast"}, "the learning rate must be"),
        (AdamW, {"weight_decay": math.nan}, "weight decay must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, options, words):
    with pytest.raises(ConfigError, match=f"^{words}"):
        make([("w", tensor(2))], **options)


def test_a_rate_that_was_changed_to_nonsense_is_refused_before_anything_moves():
    w = tensor(2)
    optimizer, before = SGD({"w": w}, lr=1.0), w.data.copy()
    optimizer.lr = math.nan
    with pytest.raises(ConfigError, match="the learning rate must be a finite number"):
        optimizer.step([np.ones(2)])
    np.testing.assert_array_equal(w.data, before)


def test_an_optimiser_without_a_rule_says_so():
    with pytest.raises(NotImplementedError):
        Optimizer([("w", tensor(2))], 1.0).step([np.ones(2)])


# -- steps ---------------------------------------------------------------------------------------


def test_a_gradient_for_each_parameter_or_none():
    w, b, frozen = tensor(2), tensor(3), Tensor(np.zeros(2))
    optimizer = SGD({"w": w, "b": b, "frozen": frozen}, lr=1.0, momentum=0.0)
    before = b.data.copy()
    optimizer.step([Tensor(np.full(2, 0.5)), None, np.ones(2)])  # a Tensor is taken as its array
    np.testing.assert_array_equal(b.data, before)
    np.testing.assert_array_equal(frozen.data, [0.0, 0.0])
    assert optimizer.steps == 1
    for wrong, error, words in [
        ([np.ones(2), None], ShapeError, "2 gradients for 3 parameters"),
        ([np.ones(2), np.ones(4), None], ShapeError, "the gradient of b has shape"),
        ([[1.0, 1.0], None, None], DTypeError, "the gradient of w must be an array, not list"),
        ([np.array([1.0, np.nan]), None, None], NonFiniteLossError, "the gradient of w is infinite"),
        ([np.array([1.0, np.inf]), None, None], NonFiniteLossError, "at step 2"),
        (None, BackwardError, "no parameter of this optimiser has a gradient"),
    ]:
        kept = w.data.copy()
        with pytest.raises(error, match=words):
            optimizer.step(wrong)
        np.testing.assert_array_equal(w.data, kept)
        assert optimizer.steps == 1
    w.grad = np.ones(2)
    optimizer.step()
    assert optimizer.steps == 2


def test_without_any_parameter_to_train_a_step_needs_no_gradient():
    optimizer = SGD({"frozen": Tensor(np.zeros(2))}, lr=1.0)
    optimizer.step()
    assert optimizer.steps == 1


def test_a_gradient_whose_square_is_too_large_for_its_type_is_finite_all_the_same():
    w = tensor(2, dtype=np.float32)
    before = w.data.copy()
    SGD({"w": w}, lr=1e-30, momentum=0.0).step([np.float32([1e30, -1e30])])
    np.testing.assert_allclose(w.data, before - np.float32([1.0, -1.0]), rtol=1e-6)


def test_a_weight_that_becomes_infinite_is_named_at_once_and_when_the_state_is_saved():
    w, b = tensor(2, dtype=np.float32), tensor(3, dtype=np.float32)
    optimizer = SGD({"w": w, "b": b}, lr=3e38, momentum=0.0)
    with pytest.raises(NonFiniteLossError, match="b became infinite or not a number at step 1 with learning rate 3e"):
        optimizer.step([np.zeros(2, np.float32), np.full(3, 9.0, np.float32)])
    with pytest.raises(NonFiniteLossError, match="b became infinite"):
        optimizer.state()


def test_rates_of_single_parameters_are_scaled():
    for make, options in ((SGD, {"momentum": 0.0}), (AdamW, {"weight_decay": 0.0})):
        named = {name: Tensor(np.zeros(2), requires_grad=True) for name in "abc"}
        optimizer = make(named, lr=1.0, **options)
        optimizer.scales["b"] = 0.25
        optimizer.step([np.ones(2)] * 3)
        for name, expected in (("a", -1.0), ("b", -0.25), ("c", -1.0)):
            np.testing.assert_allclose(named[name].data, expected, rtol=1e-6)
        optimizer.scales["d"] = 1.0
        with pytest.raises(ConfigError, match="scales name parameters that the optimiser does not have: d"):
            optimizer.step([np.ones(2)] * 3)


def test_eps_keeps_the_step_of_a_tiny_gradient_small():
    """After one step both running means are the gradient itself and its square: the step is lr g / (|g| + eps)."""
    w = Tensor(np.zeros(2), requires_grad=True)
    Adam({"w": w}, lr=0.5, eps=1e-3).step([np.array([1e-3, -1.0])])
    np.testing.assert_allclose(w.data, [-0.25, 0.5 / 1.001], rtol=1e-9)


def test_halves_have_a_state_in_single_precision():
    w = Tensor(np.full(3, 2.0, np.float16), requires_grad=True)
    optimizer = AdamW({"w": w}, lr=0.25, weight_decay=0.0)
    for _ in range(2):
        optimizer.step([np.full(3, 1e-4, np.float16)])  # its square is 0 in half precision
    assert {array.dtype for array in optimizer.state().values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(w.data, 1.5, rtol=1e-3)


def test_a_step_of_half_precision_weights_is_rounded_once():
    """Decay takes a quarter, the gradient half of the distance to the next smaller half: together more than half."""
    w = Tensor(np.ones((1, 2), np.float16), requires_grad=True)
    AdamW({"fc.weight": w}, lr=2.0**-12, weight_decay=0.5).step([np.ones((1, 2), np.float16)])
    np.testing.assert_array_equal(w.data, np.full((1, 2), 1.0 - 2.0**-11))


def test_state_that_does_not_fit_is_refused():
    def made(count=2):
        return Adam({"w": tensor(count)})

    state = made().state()
    assert sorted(state) == ["mean/w", "square/w"]
    for wrong in (
        {},
        {**state, "more/w": np.zeros(2)},
        made(3).state(),
        {"mean/w": np.zeros(2)},
        {**state, "mean/w": np.zeros(3)},
    ):
        with pytest.raises(CheckpointError, match="does not belong to Adam on this model"):
            made().load_state(wrong, 3)
    optimizer = made()
    optimizer.load_state({"mean/w": np.float32([1, 2]), "square/w": np.float32([3, 4])}, 7)
    assert optimizer.steps == 7
    np.testing.assert_array_equal(optimizer.state()["square/w"], [3.0, 4.0])
    assert optimizer.state()["mean/w"].dtype == np.float64


def test_a_later_parameter_that_was_given_another_array_moves_too():
    a, b = Tensor(np.zeros(2), requires_grad=True), Tensor(np.zeros(2), requires_grad=True)
    optimizer = SGD({"a": a, "b": b}, lr=1.0, momentum=0.0)
    b.data = np.array([5.0, 6.0])
    optimizer.step([np.ones(2), np.ones(2)])
    np.testing.assert_array_equal(a.data, [-1.0, -1.0])
    np.testing.assert_array_equal(b.data, [4.0, 5.0])


def test_gradients_may_come_from_a_generator():
    w = Tensor(np.zeros(2), requires_grad=True)
    SGD({"w": w}, lr=1.0).step(np.ones(2) for _ in range(1))
    np.testing.assert_array_equal(w.data, [-1.0, -1.0])


@pytest.mark.parametrize(
    ("count", "end"), [(2, "; make"), (3, "; make"), (4, " and 1 more; make"), (5, " and 2 more; make")]
)
def test_up_to_three_parameters_that_changed_are_named(count, end):
    class Parts(Module):
        def __init__(self):
            self.parts = [tensor(1) for _ in range(count)]

    model = Parts()
    optimizer = SGD(model.named_parameters(), lr=1.0)
    model.parts = [tensor(1) for _ in range(count)]
    with pytest.raises(ConfigError) as caught:
        optimizer.step([np.ones(1)] * count)
    named = ", ".join(f"parts.{i} is another" for i in range(min(count, 3)))
    assert f"after the optimiser was made: {named}{end}" in str(caught.value)


def test_a_pickled_optimiser_has_its_arrays_once():
    w = Tensor(np.zeros(100_000), requires_grad=True)
    size = len(pickle.dumps(Adam({"w": w})))
    assert size < 4.5 * w.data.nbytes  # the weights in the long array and in their Tensor, and two running means


# -- Muon ----------------------------------------------------------------------------------------


def muon_by_hand(start, gradients, parts, lr=0.1, decay=0.3, momentum=0.95):
    w, mean = start.copy(), np.zeros_like(start)
    for g in gradients:
        mean = momentum * mean + (1 - momentum) * g
        ahead = (1 - momentum) * g + momentum * mean
        blocks = [
            (1 - lr * decay) * own - lr * 0.2 * math.sqrt(max(own.shape)) * orthogonalized(direction)
            for own, direction in zip(np.split(w, parts, 1), np.split(ahead, parts, 1), strict=True)
        ]
        w = np.concatenate(blocks, 1)
    return w


@pytest.mark.parametrize(
    ("name", "shape", "parts"),
    [("blocks.0.fc1.weight", (3, 5), 1), ("blocks.1.out.weight", (4, 4), 1), ("blocks.0.qkv.weight", (4, 12), 3)],
)
def test_a_kernel_in_a_block_moves_along_its_orthogonal_momentum(name, shape, parts):
    w = tensor(*shape)
    start = w.data.copy()
    gradients = [np.random.default_rng(seed).standard_normal(shape) for seed in (1, 2, 3)]
    optimizer = Muon({name: w}, lr=0.1, weight_decay=0.3)
    for gradient in gradients:
        optimizer.step([gradient])
    np.testing.assert_allclose(w.data, muon_by_hand(start, gradients, parts), rtol=1e-10)


def test_all_other_parameters_move_as_with_adamw():
    shapes = {
        "embedding.weight": (4, 3),
        "blocks.0.norm.weight": (3,),
        "blocks.0.fc1.bias": (3,),
        "blocks.conv.weight": (2, 2, 2),
        "blocks.0.attention.offsets": (5, 3),
    }
    mine, theirs = ({name: tensor(*shape) for name, shape in shapes.items()} for _ in range(2))
    gradients = [np.random.default_rng(5).standard_normal(shape) for shape in shapes.values()]
    Muon(mine, lr=0.1).step(gradients)
    AdamW(theirs, lr=0.1).step(gradients)
    for name in shapes:
        np.testing.assert_array_equal(mine[name].data, theirs[name].data)


def test_a_kernels_rate_may_be_scaled_and_without_a_gradient_it_stays():
    w, other = tensor(3, 3), tensor(3, 3, seed=4)
    start, gradient = w.data.copy(), np.random.default_rng(1).standard_normal((3, 3))
    optimizer = Muon({"blocks.0.a.weight": w, "blocks.0.b.weight": other}, lr=0.4, weight_decay=0.3)
    optimizer.scales["blocks.0.a.weight"] = 0.25
    kept = other.data.copy()
    optimizer.step([gradient, None])
    np.testing.assert_allclose(w.data, muon_by_hand(start, [gradient], 1), rtol=1e-10)
    np.testing.assert_array_equal(other.data, kept)


@pytest.mark.parametrize("shape", [(3, 3), (2, 6), (6, 2)])
def test_each_step_of_orthogonalizing_maps_every_singular_value_by_the_same_polynomial(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    left, values, right = np.linalg.svd(x, full_matrices=False)
    values = values / (np.linalg.norm(x) + 1e-7)
    for steps in range(6):
        expected = left @ np.diag(values) @ right
        np.testing.assert_allclose(orthogonalized(x, steps), expected, atol=1e-12)
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        if steps == 5:
            np.testing.assert_array_equal(orthogonalized(x), orthogonalized(x, 5))


@pytest.mark.parametrize("scale", [1e-30, 1e25, 1e38])
def test_orthogonalizing_depends_on_the_direction_alone(scale):
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (3, 4)).astype(np.float32)
    found = orthogonalized(np.float32(scale) * x)
    if scale > 1:
        np.testing.assert_allclose(found, orthogonalized(x), rtol=1e-3, atol=1e-4)
    assert np.isfinite(found).all()


def test_very_large_numbers_are_turned_and_left_as_they_are():
    x = np.float32([[-3e38, 0.0, -1e38], [-1e38, -2e38, -1e30]])
    before = x.copy()
    found = orthogonalized(x)
    np.testing.assert_allclose(found, orthogonalized(x.astype(np.float64)), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(x, before)


def test_matrices_are_turned_together_as_each_is_alone():
    x = np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)
    x[1] *= 1e38  # the sum of its squares is infinite, but not that of the others
    x[2] = 0.0
    x[3] *= 1e-8
    np.testing.assert_allclose(orthogonalized(x), [orthogonalized(each) for each in x], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(4096, 4), (4, 4096), (2, 4096, 4), (2, 4, 4096)])
def test_a_long_matrix_is_turned_by_small_products(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    tracemalloc.start()
    orthogonalized(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * x.nbytes  # a product of 4096 x 4096 would be 1,024 times one matrix


def test_kernels_are_moved_together_as_many_as_a_cache_holds(monkeypatch):
    kernel = Kernel(*[np.zeros((3, 4), np.float32)] * 3, 0.1)
    for elements, sizes in ((1, [1] * 5), (12, [1] * 5), (30, [2, 2, 1]), (60, [5]), (1000, [5])):
        monkeypatch.setattr(optim, "STACK_ELEMENTS", elements)
        assert [len(stack) for stack in optim.stacks_of([kernel] * 5)] == sizes


@pytest.mark.parametrize(("name", "shape"), [("blocks.0.weight", (0, 4)), ("blocks.0.qkv.weight", (6, 4))])
def test_muon_takes_kernels_that_are_empty_or_not_three_side_by_side(name, shape):
    kernel, gradient = tensor(*shape), np.random.default_rng(1).standard_normal(shape)
    before = kernel.data.copy()
    Muon({name: kernel}, lr=0.5, weight_decay=0.0).step([gradient])
    direction = orthogonalized(gradient * (0.05 * 0.95 + 0.05))
    np.testing.assert_allclose(kernel.data, before - 0.5 * 0.2 * math.sqrt(max(shape)) * direction, rtol=1e-9)


@pytest.mark.parametrize("rule", [Adam, Muon])
def test_large_halves_are_good_gradients(rule):
    weight = tensor(40, 40, dtype=np.float16)
    rule({"blocks.0.weight": weight}, lr=0.5).step([np.full((40, 40), 1e4, np.float16)])
    assert np.isfinite(weight.data).all()


def test_a_half_precision_matrix_is_turned_in_single_precision():
    x = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float16)
    found = orthogonalized(x)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, orthogonalized(x.astype(np.float64)), rtol=2e-3, atol=1e-4)


# -- clipping ------------------------------------------------------------------------------------


def test_the_norm_is_that_of_all_arrays_together_and_each_counts_once():
    a, b = np.array([3.0]), np.array([[0.0, 4.0]])
    assert clip_by_global_norm([a, None, b, a], 10.0) == 5.0
    np.testing.assert_array_equal([a[0], b[0, 1]], [3.0, 4.0])
    assert clip_by_global_norm(iter([a, b]), 2.5) == 5.0
    np.testing.assert_allclose([a[0], b[0, 1]], [1.5, 2.0])
    assert clip_by_global_norm(np.array([3.0, 4.0]), 0.0) == 5.0
    assert clip_by_global_norm([None], 1.0) == clip_by_global_norm([], 1.0) == 0.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gradients_whose_squares_are_too_large_are_clipped_all_the_same(dtype):
    large = float(np.finfo(dtype).max) / 8
    a, b, empty = np.array([3 * large, 0], dtype), np.array([4 * large], dtype), np.zeros(0, dtype)
    assert clip_by_global_norm([a, b, empty], 1.0) == pytest.approx(5 * large, rel=1e-3)
    np.testing.assert_allclose(np.concatenate([a, b]).astype(float), [0.6, 0.0, 0.8], rtol=2e-3)


def test_large_negative_numbers_beside_zeros_and_tiny_ones_have_a_norm():
    a, tiny = np.float32([-3e38 / 8, 0.0, -4e38 / 8]), np.float32([1e-30])
    norm = clip_by_global_norm([a, tiny], math.inf)
    assert norm == pytest.approx(5e38 / 8, rel=1e-6) and type(norm) is float


def test_the_norm_of_many_halves_is_added_up_in_single_precision():
    assert clip_by_global_norm([np.ones(10_000, np.float16)], 1000.0) == 100.0
    x = np.full(10_000, 1.1, np.float16)  # of the sum of squares, 12,091, half precision keeps a multiple of 8
    assert clip_by_global_norm([x], 1000.0) == pytest.approx(100.0 * float(x[0]), rel=1e-5)


@pytest.mark.parametrize("gradients", [[np.zeros(3)], [np.zeros((0, 3))], [np.zeros(2), np.zeros((0, 3))]], ids=str)
def test_gradients_of_zeros_or_of_nothing_have_the_norm_0(gradients):
    assert clip_by_global_norm(gradients, 1.0) == 0.0
    assert all(not g.any() for g in gradients)


@pytest.mark.parametrize("array", [np.ones(3, bool), np.arange(3), np.ones(3, complex), np.float32(5.0)], ids=str)
def test_what_holds_no_gradients_is_not_clipped(array):
    with pytest.raises(DTypeError, match="gradients must be"):
        clip_by_global_norm([np.ones(2), array], 0.1)


def test_a_single_array_is_clipped_in_place():
    a = np.array([3.0, 4.0])
    assert clip_by_global_norm(a, 2.5) == 5.0
    np.testing.assert_allclose(a, [1.5, 2.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gradients_of_which_one_is_not_finite_stay_as_they_are(bad):
    a, b = np.array([3.0]), np.array([bad, 4.0])
    norm = clip_by_global_norm([a, b], 1.0)
    assert math.isnan(norm) if math.isnan(bad) else norm == math.inf
    np.testing.assert_array_equal(a, [3.0])
    np.testing.assert_array_equal(b, [bad, 4.0])


@pytest.mark.parametrize(
    ("gradients", "error"), [([tensor(2)], DTypeError), (tensor(2), DTypeError), ([[1.0]], DTypeError)]
)
def test_what_are_no_gradients_is_not_clipped(gradients, error):
    with pytest.raises(error, match="gradients must be arrays, not"):
        clip_by_global_norm(gradients, 1.0)


@pytest.mark.parametrize("norm", [-1e-9, math.nan])
def test_a_largest_norm_that_makes_no_sense_is_refused(norm):
    with pytest.raises(ConfigError, match="the largest norm must be 0 or more"):
        clip_by_global_norm([np.ones(2)], norm)


# -- averages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 1.5, math.nan])
def test_a_decay_outside_0_to_1_is_refused(decay):
    with pytest.raises(ConfigError, match="the average's decay must be between 0 and 1"):
        ExponentialAverage([("w", tensor(2))], decay)


def test_early_on_the_average_follows_faster():
    w = Tensor(np.zeros(2), requires_grad=True)
    average = ExponentialAverage([("w", w)], 0.5)
    expected = 0.0
    for steps, value in ((0, 1.0), (1, 2.0), (4, 3.0), (100, 4.0)):
        w.data[...] = value
        average.update(steps)
        decay = min(0.5, (1 + steps) / (10 + steps))
        expected = decay * expected + (1 - decay) * value
        np.testing.assert_allclose(average.average["w"], expected, rtol=1e-12)


def test_saved_averages_of_another_model_are_refused():
    average = ExponentialAverage([("w", tensor(2)), ("b", tensor(3))], 0.9)
    good = {"w": np.zeros(2), "b": np.zeros(3)}
    for wrong in ({}, {"w": np.zeros(2)}, good | {"c": np.zeros(1)}, good | {"b": np.zeros(1)}):
        with pytest.raises(CheckpointError, match="the saved weight average does not belong to this model: "):
            average.load_state(wrong)
    many = ExponentialAverage([(f"w{i}", tensor(1)) for i in range(9, -1, -1)], 0.9)
    with pytest.raises(CheckpointError, match="it lacks 'w0'"):  # the first of all, in the order of their names
        many.load_state({})
    average.load_state({"b": np.float32([1, 2, 3]), "w": np.float32([4, 5])})
    np.testing.assert_array_equal(average.average["w"], [4.0, 5.0])
    np.testing.assert_array_equal(average.average["b"], [1.0, 2.0, 3.0])


def test_the_models_own_weights_come_back_after_an_error_too():
    w = Tensor(np.zeros(2), requires_grad=True)
    own = w.data
    average = ExponentialAverage([("w", w)], 0.9)
    average.flat[...] = 5.0
    with pytest.raises(ZeroDivisionError), average.applied():
        np.testing.assert_array_equal(w.data, [5.0, 5.0])
        raise ZeroDivisionError
    assert w.data is own


def test_tiny_weights_are_averaged_where_numpy_raises_on_underflow():
    w = Tensor(np.full(2, 1e-38, np.float32), requires_grad=True)
    average = ExponentialAverage([("w", w)], 0.9)
    w.data[...] = 3e-38
    with np.errstate(all="raise"):
        average.update(1000)
    np.testing.assert_allclose(average.average["w"], 1.2e-38, rtol=1e-5)
