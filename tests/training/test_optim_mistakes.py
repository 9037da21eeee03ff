"""What an own training script gets wrong: the optimiser says so in a sentence, and no weight is changed by it."""

import copy
import math
import pickle

import numpy as np
import pytest

from minivit import SGD, Adam, AdamW, BackwardError, ConfigError, DTypeError, NonFiniteLossError, ShapeError, Tensor
from minivit.nn import LayerNorm, Linear, Module
from minivit.training.optim import ExponentialAverage, Muon, clip_by_global_norm
from minivit.training.precision import MixedPrecision, divide_by
from minivit.training.schedule import Schedule
from tests.support import tiny_vit

OPTIMIZERS = [SGD, Adam, AdamW, Muon]


class Net(Module):
    def __init__(self):
        self.body = Linear(np.eye(2, dtype=np.float32))
        self.blocks = [LayerNorm(2)]
        self.head = Linear(np.eye(2, dtype=np.float32))

    def forward(self, x):
        for block in self.blocks:
            x = block(self.body(x))
        return self.head(x)


def slopes(net):
    net(Tensor(np.array([[1.0, -2.0]], np.float32))).sum().backward()


def weights(net):
    return {name: tensor.data.copy() for name, tensor in net.named_parameters()}


# -- what an optimiser is made from --------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, ExponentialAverage])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda net: net.parameters(), r"not a Tensor alone: pass model\.named_parameters\(\)"),
        (lambda net: iter(net.parameters()), r"not a Tensor alone"),
        (lambda net: net, r"as model\.named_parameters\(\) gives them, not a Net"),
        (lambda net: net.head.weight, "not a Tensor"),
        (lambda net: None, "not a NoneType"),
        (lambda net: [{"params": net.parameters()}], "not a dict alone"),
        (lambda net: net.state(), "body.weight must be a parameter, a Tensor, not ndarray"),
        (lambda net: [name for name, _ in net.named_parameters()], "not a str alone"),
        (lambda net: [(1, net.head.weight)], "not a tuple alone"),
        (lambda net: [], "at least one parameter"),
        (lambda net: [*net.body.named_parameters(), *net.head.named_parameters()], "two parameters are called weight"),
        (lambda net: [("w", net.head.weight * 2.0)], r"w is the result of an operation.*w\.data -= "),
    ],
)
def test_what_is_not_pairs_of_name_and_parameter_is_refused(optimizer, given, said):
    with pytest.raises(ConfigError, match=said) as caught:
        optimizer(given(Net()), 0.5)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_dict_a_generator_and_a_parameter_given_twice_are_fine(optimizer):
    moved = []
    for make in (lambda pairs: pairs, dict, iter, lambda pairs: [*pairs, ("again", pairs[0][1])]):
        net = Net()
        steps = optimizer(make(net.named_parameters()), lr=0.1)
        slopes(net)
        steps.step()
        moved.append(weights(net))

    assert len(steps.parameters) == 6
    for other in moved[1:]:
        for name, array in moved[0].items():
            np.testing.assert_array_equal(other[name], array)


def test_two_tensors_over_one_array_would_go_apart_and_are_refused():
    net = Net()
    net.head.weight = Tensor(net.body.weight.data.T, requires_grad=True)

    with pytest.raises(ConfigError, match=r"(body|head)\.weight and (body|head)\.weight are two Tensors that share"):
        SGD(net.named_parameters(), lr=0.1)

    both = np.zeros((4, 6))
    left, right, inside = (Tensor(part, requires_grad=True) for part in (both[:, :3], both[:, 3:], both[1:2, 4:5]))
    SGD([("left", left), ("right", right)], lr=0.1)  # neighbours in one array share nothing
    with pytest.raises(ConfigError, match="share one array"):
        both = np.zeros((4, 6))
        whole, inside = Tensor(both), Tensor(both[1:2, 4:5])
        SGD([("inside", inside), ("whole", whole)], lr=0.1)
    assert inside.shape == (1, 1)


def test_shared_memory_is_found_in_whatever_order_the_parameters_come():
    buffer = np.zeros(30, np.float32)
    last, whole, part = (
        Tensor(buffer[place], requires_grad=True) for place in (slice(20, 30), slice(0, 10), slice(2, 4))
    )
    with pytest.raises(ConfigError, match="share one array"):
        SGD([("last", last), ("whole", whole), ("part", part)], lr=0.1)
    SGD([("last", last), ("whole", whole)], lr=0.1)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, "0.1", None, True, [0.1]])
def test_rates_that_are_no_finite_numbers_are_refused(bad):
    pairs = Net().named_parameters()
    for optimizer in OPTIMIZERS:
        for option in ("lr", "weight_decay"):
            with pytest.raises(ConfigError, match="0 or more, not"):
                optimizer(pairs, **{"lr": 0.1, option: bad})
    for options in ({"eps": bad}, {"betas": (bad, 0.9)}, {"betas": (0.9, bad)}, {"betas": bad}, {"betas": (0.9, 1.0)}):
        with pytest.raises(ConfigError, match=r"betas|beta1|beta2|eps"):
            AdamW(pairs, **options)
    with pytest.raises(ConfigError, match="momentum"):
        SGD(pairs, lr=0.1, momentum=bad)
    steps = SGD(pairs, lr=0.1)
    steps.lr = bad
    with pytest.raises(ConfigError, match="learning rate"):
        steps.step([np.zeros(p.shape, np.float32) for _, p in pairs])


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, np.array])
def test_rates_may_be_numbers_of_numpy(kind):
    net = Net()
    steps = AdamW(net.named_parameters(), lr=kind(0.5), weight_decay=kind(0.25))

    assert type(steps.lr) is float and steps.lr == 0.5 and steps.weight_decay == 0.25


# -- the model changed, or no gradient came ------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_before_any_backward_pass_is_refused(optimizer):
    net = Net()
    steps = optimizer(net.named_parameters(), lr=0.1)

    with pytest.raises(BackwardError, match=r"has a gradient: call loss\.backward\(\)"):
        steps.step()
    slopes(net)
    steps.step()
    steps.zero_grad()
    with pytest.raises(BackwardError):
        steps.step()


def test_an_optimiser_of_another_copy_of_the_model_says_that_no_gradient_came():
    net = Net()
    steps = SGD(copy.deepcopy(net).named_parameters(), lr=0.1)
    slopes(net)

    with pytest.raises(BackwardError, match="these very parameters"):
        steps.step()


def test_a_weight_that_was_computed_anew_gets_no_gradient_and_that_is_said():
    w = Tensor([1.0, 2.0], requires_grad=True)
    steps = SGD([("w", w)], lr=0.1)
    (w * w).sum().backward()
    w = w - w.grad * 0.1
    steps.zero_grad()
    (w * w).sum().backward()  # reaches the old one through the new
    steps.step()

    net = Net()
    slopes(net)
    net.head.weight = net.head.weight - net.head.weight.grad * 0.1
    with pytest.raises(ConfigError, match=r"Linear\.weight is the result of an operation"):
        net.named_parameters()


CHANGES = {
    "a head replaced": (lambda net: setattr(net, "head", Linear(np.eye(2, dtype=np.float32))),
                        "head.weight is another, head.bias is another"),
    "a part added": (lambda net: net.blocks.append(LayerNorm(2)), "blocks.1.weight is new, blocks.1.bias is new"),
    "a part taken away": (lambda net: net.blocks.pop(), "blocks.0.weight is gone, blocks.0.bias is gone"),
    "a Tensor replaced": (lambda net: setattr(net.body, "bias", Tensor(np.zeros(2, np.float32), requires_grad=True)),
                          "body.bias is another;"),
    "many": (lambda net: net.blocks.extend([LayerNorm(2), LayerNorm(2)]), "and 1 more;"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_parameters_that_changed_after_the_optimiser_was_made_are_named(optimizer, change):
    net = Net()
    steps = optimizer(net.named_parameters(), lr=0.1)
    do, said = CHANGES[change]
    do(net)
    slopes(net)
    before = weights(net)

    with pytest.raises(ConfigError, match=f"changed after the optimiser was made: .*{said}"):
        steps.step()
    for name, array in weights(net).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("change", CHANGES)
def test_parameters_that_changed_between_two_steps_are_named(change):
    net = Net()
    steps = SGD(net.named_parameters(), lr=0.1)
    for _ in range(2):
        slopes(net)
        steps.step()
    do, said = CHANGES[change]
    do(net)
    slopes(net)

    with pytest.raises(ConfigError, match=f"changed after the optimiser was made: .*{said}"):
        steps.step()
    with pytest.raises(ConfigError, match="changed after"):
        steps.step()


def test_a_parameter_that_is_unfrozen_later_is_noticed():
    net = Net()
    steps = SGD(net.named_parameters(), lr=0.1)
    net.mean = Tensor(np.zeros(2, np.float32))
    slopes(net)
    steps.step()
    net.mean.requires_grad = True
    with pytest.raises(ConfigError, match="mean is new"):
        steps.step()


def test_an_unchanged_model_is_listed_once(monkeypatch):
    net = Net()
    steps = SGD(net.named_parameters(), lr=0.1)
    listed, original = [], Module.named_parameters
    monkeypatch.setattr(Module, "named_parameters", lambda self, check=True: listed.append(1) or original(self, check))
    for step in range(5):
        slopes(net)
        steps.step()
        net.steps_seen = step  # what is no part may change: the model is listed once more
    assert len(listed) == 5
    for _ in range(5):
        steps.step()
    assert len(listed) == 6


def test_the_same_parameters_elsewhere_and_frozen_ones_are_no_change():
    net = Net()
    steps = SGD(net.named_parameters(), lr=0.1)
    net.kept = [net.head]
    net.mean = Tensor(np.zeros(2, np.float32))  # wants no gradient
    net.last, net.head = net.head, net.head
    slopes(net)
    steps.step()


def test_a_part_of_the_parameters_may_be_trained():
    net = Net()
    steps = SGD(net.named_parameters()[-2:], lr=0.1)
    net.body = Linear(np.eye(2, dtype=np.float32))
    slopes(net)
    steps.step()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_of_model_and_optimiser_go_on_together(copied):
    net = Net()
    steps = AdamW(net.named_parameters(), lr=0.1)
    other, others = copied((net, steps))
    slopes(other)
    others.step()

    assert not np.array_equal(other.head.bias.data, net.head.bias.data)


def test_the_model_may_be_gone():
    net = Net()
    steps = SGD(net.named_parameters(), lr=0.1)
    slopes(net)
    del net
    steps.step()


# -- gradients -----------------------------------------------------------------------------------


def test_as_many_gradients_as_parameters_are_needed_and_they_are_arrays():
    net = Net()
    steps = SGD(net.named_parameters(), lr=0.1)
    good = [np.ones(p.shape, np.float32) for p in net.parameters()]

    with pytest.raises(ShapeError, match="given 5 gradients for 6 parameters"):
        steps.step(good[:-1])
    with pytest.raises(DTypeError, match=r"gradient of head.bias must be an array, not list"):
        steps.step([*good[:-1], [1.0, 1.0]])
    steps.step([*good[:-1], Tensor(good[-1])])
    np.testing.assert_allclose(net.head.bias.data, -0.1)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_named_and_no_weight_is_changed(optimizer, bad):
    net = Net()
    steps = optimizer(net.named_parameters(), lr=0.1)
    slopes(net)
    steps.step()
    before, state = weights(net), copy.deepcopy(steps.state())
    net.head.weight.grad[1, 0] = bad

    with pytest.raises(NonFiniteLossError, match=r"gradient of head.weight is infinite or not a number at step 2"):
        steps.step()
    for name, array in weights(net).items():
        np.testing.assert_array_equal(array, before[name])
    for name, array in steps.state().items():
        np.testing.assert_array_equal(array, state[name])
    assert steps.steps == 1


@pytest.mark.parametrize("optimizer", [Adam, AdamW, Muon])
def test_gradients_whose_squares_are_too_large_for_their_type_are_gradients(optimizer):
    net = tiny_vit(dtype=np.float32)
    steps = optimizer(net.named_parameters(), lr=0.1)
    before = weights(net)
    steps.step([np.full(p.shape, 1e15, np.float32) for p in net.parameters()])
    for name, tensor in net.named_parameters():
        assert np.isfinite(tensor.data).all() and not np.array_equal(tensor.data, before[name]), name


def test_muon_turns_kernels_whose_norm_is_too_large_for_their_type():
    for scale, dtype in ((1e25, np.float32), (300.0, np.float16)):
        kernel = Tensor(np.zeros((4, 8), dtype), requires_grad=True)
        gradient = np.random.default_rng(0).standard_normal((4, 8))
        Muon([("blocks.0.weight", kernel)], lr=1.0).step([(gradient * scale).astype(dtype)])
        same = Tensor(np.zeros((4, 8)), requires_grad=True)
        Muon([("blocks.0.weight", same)], lr=1.0).step([gradient])
        np.testing.assert_allclose(kernel.data, same.data, atol=2e-3)
        assert kernel.dtype == dtype


def test_muon_leaves_kernels_that_are_no_matrices_to_adamw():
    start = np.random.default_rng(0).standard_normal((3, 3, 2, 4))
    moved = []
    for optimizer in (Muon, AdamW):
        kernel = Tensor(start.copy(), requires_grad=True)
        optimizer([("blocks.0.conv.weight", kernel)], lr=0.1).step([start])
        moved.append(kernel.data)
    np.testing.assert_array_equal(*moved)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "options", [{"weight_decay": 1e308}, {"lr": 1e308}, {"lr": 1e200, "weight_decay": 1e200}, {"lr": 1e39}]
)
def test_rates_that_make_weights_infinite_stop_with_a_sentence_that_names_them_and_the_step(optimizer, options):
    net = tiny_vit(dtype=np.float32)
    steps = optimizer(net.named_parameters(), **{"lr": 1e-3, "weight_decay": 0.0, **options})
    steps.steps = 41

    with pytest.raises(NonFiniteLossError, match=r"\w became infinite .* at step 42 with learning rate .*try lower"):
        steps.step([np.full(p.shape, 0.5, np.float32) for p in net.parameters()])
    with pytest.raises(NonFiniteLossError, match="at step 42"):
        steps.state()  # nothing is saved


def test_a_typing_error_in_the_scales_is_noticed():
    net = Net()
    steps = SGD(net.named_parameters(), lr=0.1)
    steps.scales = {"heads.weight": 0.5}
    slopes(net)

    with pytest.raises(ConfigError, match=r"does not have: heads\.weight"):
        steps.step()


# -- clipping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [lambda p: p, lambda p: iter(p), lambda p: p[0], lambda p: [[1.0, 2.0]]])
def test_clipping_takes_gradients_and_not_parameters(given):
    with pytest.raises(DTypeError, match=r"pass \[p\.grad for p in model\.parameters\(\)\]"):
        clip_by_global_norm(given(Net().parameters()), 1.0)


def test_clipping_passes_over_parameters_without_a_gradient():
    gradient = np.array([3.0, 4.0])
    assert clip_by_global_norm([None, gradient, None], 1.0) == pytest.approx(5.0)
    np.testing.assert_allclose(gradient, [0.6, 0.8])
    assert clip_by_global_norm((g for g in [gradient]), 0.5) == pytest.approx(1.0)
    np.testing.assert_allclose(gradient, [0.3, 0.4])
    assert clip_by_global_norm([None], 1.0) == 0.0


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_a_norm_below_0_is_refused(bad):
    with pytest.raises(ConfigError, match="norm must be 0 or more"):
        clip_by_global_norm([np.ones(2)], bad)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float16, 200.0), (np.float32, 1e25), (np.float64, 1e200)])
def test_clipping_measures_gradients_whose_squares_are_too_large_for_their_type(dtype, scale):
    gradients = [np.array([3.0 * scale], dtype), np.array([4.0 * scale], dtype)]
    assert clip_by_global_norm(gradients, 1.0) == pytest.approx(5.0 * scale, rel=1e-3)
    np.testing.assert_allclose([g[0] for g in gradients], [0.6, 0.8], rtol=2e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clipping_leaves_gradients_alone_of_which_one_is_not_finite(bad):
    gradients = [np.array([3.0, bad]), np.array([4.0])]
    assert not math.isfinite(clip_by_global_norm(gradients, 1.0))
    assert gradients[1][0] == 4.0


# -- numbers too small to be there ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_tiny_numbers_raise_nothing_where_numpy_is_told_to_raise(optimizer, dtype):
    tiny = np.finfo(dtype).tiny
    shape = (3, 4)
    kernel = Tensor(np.full(shape, tiny, dtype), requires_grad=True)
    bias = Tensor(np.linspace(-1, 1, 4).astype(dtype), requires_grad=True)
    named = [("blocks.0.weight", kernel), ("bias", bias)]
    with np.errstate(all="raise"):
        steps = optimizer(named, lr=np.float32(1e-3), weight_decay=1e-3)
        average = ExponentialAverage(named, 0.9)
        schedule = Schedule(lr=np.float32(1e-38), total_steps=np.int64(5), warmup_steps=3, decay="cosine")
        for step in range(7):
            gradients = [np.full(shape, tiny, dtype), np.array([tiny, 0, -tiny, 1e-3], dtype)]
            clip_by_global_norm(gradients, 1e-4)
            divide_by(gradients, 2.0**16)
            steps.lr = schedule(step)
            steps.step(gradients)
            average.update(step)
    assert np.isfinite(kernel.data).all() and np.isfinite(average.flat).all()


def test_rounding_weights_to_half_precision_raises_nothing_where_numpy_is_told_to_raise():
    net = tiny_vit(dtype=np.float32)
    net.head.bias.data[0] = 1e-30

    class Objective:
        network = net

        def loss(self, *arguments):
            raise NotImplementedError

        measure = loss

    with np.errstate(all="raise"):
        mixed = MixedPrecision(Objective(), net.parameters(), np.dtype(np.float16))
        mixed.refresh()
    assert mixed.flat.dtype == np.float16


def test_a_pickled_optimiser_leaves_the_model_behind():
    net = Net()
    optimizer = SGD(net.named_parameters(), lr=0.1)
    state = optimizer.__getstate__()
    assert state["_model"] is None and state["_parts"] is None
    assert set(state) == set(vars(optimizer))
