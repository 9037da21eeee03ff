"""Optimisers against the formulas of their papers, written out for single numbers."""

import copy
import math
import pickle
import threading

import numpy as np
import pytest

from minivit.backend.workers import Workers
from minivit.engine import Tensor
from minivit.errors import CheckpointError, ConfigError, ShapeError
from minivit.training import TrainConfig, trainer
from minivit.training.optim import SGD, Adam, AdamW, ExponentialAverage, Muon, clip_by_global_norm, orthogonalized


def parameters(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    kernel = Tensor(rng.standard_normal((3, 4)).astype(dtype), requires_grad=True)
    bias = Tensor(rng.standard_normal(4).astype(dtype), requires_grad=True)
    return [("layer.weight", kernel), ("layer.bias", bias)]


def gradients_of_steps(steps, seed=1):
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal((3, 4)), rng.standard_normal(4)] for _ in range(steps)]


def run(optimizer, steps):
    for kernel_gradient, bias_gradient in steps:
        optimizer.step([kernel_gradient, bias_gradient])


def adam_by_hand(w, gradients, lr, decay, decoupled, beta1=0.9, beta2=0.999, eps=1e-8):
    """Algorithm 1 of arXiv 1412.6980 and Algorithm 2 of arXiv 1711.05101, for one number."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        if decoupled:
            w = w - lr * decay * w
        else:
            g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        w = w - lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps)
    return w


def sgd_by_hand(w, gradients, lr, decay, momentum):
    m = 0.0
    for g in gradients:
        m = momentum * m + g + decay * w
        w = w - lr * m
    return w


def check_every_number(optimizer_class, by_hand, **options):
    named, steps = parameters(), gradients_of_steps(7)
    start = [p.data.copy() for _, p in named]
    run(optimizer_class(named, lr=0.05, weight_decay=0.3, **options), steps)
    for which, (name, parameter) in enumerate(named):
        decay = 0.3 if name == "layer.weight" else 0.0  # weight decay belongs to kernels alone
        for index in np.ndindex(parameter.shape):
            expected = by_hand(start[which][index], [g[which][index] for g in steps], 0.05, decay)
            assert parameter.data[index] == pytest.approx(expected, rel=1e-12)


def test_adam_follows_its_paper():
    check_every_number(Adam, lambda w, g, lr, decay: adam_by_hand(w, g, lr, decay, decoupled=False))


def test_adamw_keeps_decay_apart_from_the_gradient():
    check_every_number(AdamW, lambda w, g, lr, decay: adam_by_hand(w, g, lr, decay, decoupled=True))


def test_sgd_follows_the_momentum_rule():
    check_every_number(SGD, lambda w, g, lr, decay: sgd_by_hand(w, g, lr, decay, 0.8), momentum=0.8)


def test_large_parameters_are_updated_to_their_last_element():
    big = Tensor(np.zeros((1200, 700)), requires_grad=True)  # more than three cache blocks
    AdamW([("weight", big)], lr=0.1, weight_decay=0.0).step([np.ones((1200, 700))])
    np.testing.assert_allclose(big.data, -0.1, rtol=1e-6)


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, Muon])
def test_parameters_in_any_memory_order_are_updated(optimizer):
    rows = np.arange(12.0).reshape(3, 4)
    columns = Tensor(np.asfortranarray(rows), requires_grad=True)
    reference = Tensor(rows.copy(), requires_grad=True)
    gradient = np.linspace(-1, 1, 12).reshape(3, 4)
    for tensor in (columns, reference):
        optimizer([("weight", tensor)], lr=0.1).step([gradient])
    assert not np.array_equal(reference.data, rows)
    np.testing.assert_array_equal(columns.data, reference.data)


def test_step_reads_grad_and_zero_grad_forgets_it():
    named = parameters()
    before = [p.data.copy() for _, p in named]
    optimizer = SGD(named, lr=1.0, momentum=0.0)
    named[1][1].grad = np.ones(4)
    optimizer.step()
    np.testing.assert_array_equal(named[0][1].data, before[0])  # it had no gradient
    np.testing.assert_allclose(named[1][1].data, before[1] - 1.0)
    optimizer.zero_grad()
    assert named[1][1].grad is None


def test_a_frozen_parameter_stays():
    named = parameters()
    named[0][1].requires_grad = False
    before = named[0][1].data.copy()
    run(AdamW(named, lr=0.1), gradients_of_steps(2))
    np.testing.assert_array_equal(named[0][1].data, before)


def some_parameters(dtypes=(np.float64,)):
    """Kernels and biases in turn, one of them larger than a block of the cache; of each type some."""
    rng = np.random.default_rng(5)
    shapes = [(3, 4), (4,), (4, 5), (5,), (700, 400), (400,), (6, 6), (6,)]
    return [
        (
            f"{dtype.__name__}.{'blocks.' if i > 5 else ''}{i}.{'weight' if len(shape) == 2 else 'bias'}",
            rng.standard_normal(shape).astype(dtype),
        )
        for dtype in dtypes
        for i, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, Muon])
def test_many_parameters_move_as_each_would_alone(optimizer):
    """Side by side in long arrays, with gaps where one has no gradient, and rates that differ, they are the same."""
    start = some_parameters((np.float32, np.float64))
    rng = np.random.default_rng(6)
    steps = [[rng.standard_normal(a.shape).astype(a.dtype) for _, a in start] for _ in range(3)]
    for gradients in steps:
        gradients[2] = gradients[9] = None
    scales = {start[6][0]: 0.5, start[7][0]: 0.5, start[12][0]: 0.1}
    options = {"lr": 0.05, "weight_decay": 0.3}

    together = [(name, Tensor(a.copy(), requires_grad=True)) for name, a in start]
    all_at_once = optimizer(together, **options)
    all_at_once.scales = scales
    for gradients in steps:
        all_at_once.step(gradients)

    for place, (name, tensor) in enumerate(together):
        alone = Tensor(start[place][1].copy(), requires_grad=True)
        one = optimizer([(name, alone)], **{**options, "lr": 0.05 * scales.get(name, 1.0)})
        for gradients in steps:
            one.step([gradients[place]])
        np.testing.assert_array_equal(tensor.data, alone.data, err_msg=name)
        assert tensor.dtype == start[place][1].dtype
        for slot, array in one.state().items():
            np.testing.assert_array_equal(all_at_once.state()[slot], array, err_msg=slot)


def test_small_neighbours_are_updated_by_one_call():
    sizes = []

    class Counting(SGD):
        def update(self, w, g, *state, lr, decay):
            sizes.append((w.size, decay))
            super().update(w, g, *state, lr=lr, decay=decay)

    named = [(name, Tensor(a, requires_grad=True)) for name, a in some_parameters()]
    Counting(named, lr=0.1, weight_decay=0.3).step([np.ones(t.shape) for _, t in named])

    large = [size for size, decay in sizes if decay][1:-1]
    assert sum(large) == 700 * 400 and len(large) == 2  # two blocks, of the gradient as it is
    assert [s for s in sizes if s[0] not in large] == [(12 + 20, 0.3), (36, 0.3), (4 + 5 + 400 + 6, 0.0)]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("optimizer_class", [SGD, Adam, AdamW, Muon])
def test_threads_share_a_step_and_the_weights_stay_the_same(optimizer_class, dtype):
    rng = np.random.default_rng(3)
    shapes = {"blocks.0.qkv.weight": (64, 192), "blocks.0.fc1.weight": (64, 128), "head.weight": (700, 800)}
    start = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    steps = [[rng.standard_normal(shape).astype(dtype) for shape in shapes.values()] for _ in range(3)]
    steps[1][0] *= dtype(6e-8)  # numbers whose squares are too small
    threads = set()

    class Watched(optimizer_class):
        def update(self, *arrays, **rates):
            threads.add(threading.current_thread().name)
            super().update(*arrays, **rates)

        def _move(self, kernels):
            threads.add(threading.current_thread().name)
            super()._move(kernels)

    def end(workers=None):
        named = [(name, Tensor(array.copy(), requires_grad=True)) for name, array in start.items()]
        optimizer = Watched(named, lr=0.01)
        optimizer.workers = workers
        for gradients in steps:
            optimizer.step(gradients)
        return [array.tobytes() for array in [*optimizer.state().values(), *(p.data for _, p in named)]]

    with np.errstate(all="raise"), Workers(3) as workers:
        alone = end()
        assert threads == {threading.current_thread().name}
        threads.clear()
        assert end(workers) == alone
    assert threads and not any(name == threading.current_thread().name for name in threads)


def test_a_copy_has_no_threads_and_a_run_gives_its_own(tmp_path):
    optimizer = AdamW(parameters(), lr=0.1)
    with Workers(2) as optimizer.workers:
        assert copy.deepcopy(optimizer).workers is None
        assert pickle.loads(pickle.dumps(optimizer)).workers is None

    config = TrainConfig(dataset="shapes", steps=1, train_images=20, validation=10, num_threads=2)
    run = trainer.build_run(config, tmp_path / "run")
    assert run.optimizer.workers is run.workers and run.workers.count == 2


def test_what_a_thread_raises_in_a_step_is_raised():
    class Broken(AdamW):
        def update(self, *arrays, **rates):
            raise RuntimeError("broken")

    optimizer = Broken(parameters(), lr=0.1)
    with Workers(2) as optimizer.workers, pytest.raises(RuntimeError, match="broken"):
        optimizer.step(gradients_of_steps(1)[0])


def test_a_parameter_that_was_given_another_array_since_is_still_updated():
    named = parameters()
    optimizer = SGD(named, lr=1.0, momentum=0.0)
    named[1][1].data = np.full(4, 7.0)
    optimizer.step([np.zeros((3, 4)), np.ones(4)])
    np.testing.assert_array_equal(named[1][1].data, 6.0)
    optimizer.step([np.zeros((3, 4)), np.ones(4)])
    np.testing.assert_array_equal(named[1][1].data, 5.0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copied_optimiser_moves_the_copied_parameters(copied):
    original, twin = parameters(), parameters()
    optimizer, reference = AdamW(original, lr=0.1), AdamW(twin, lr=0.1)
    first, second = gradients_of_steps(2)
    optimizer.step(first)
    reference.step(first)
    before = [p.data.copy() for _, p in original]

    copies, other = copied(([p for _, p in original], optimizer))
    other.step(second)
    reference.step(second)

    for mine, (_, expected), (_, old), kept in zip(copies, twin, original, before, strict=True):
        np.testing.assert_array_equal(mine.data, expected.data)
        np.testing.assert_array_equal(old.data, kept)


def test_a_parameter_that_changed_its_shape_is_named_and_nothing_moves():
    named = parameters()
    optimizer = SGD(named, lr=1.0)
    named[0][1].data = np.ones((2, 3))
    before = named[1][1].data.copy()
    with pytest.raises(ShapeError, match=r"layer.weight had the shape \(3, 4\) on the processor .* has \(2, 3\)"):
        optimizer.step([np.ones((2, 3)), np.ones(4)])
    np.testing.assert_array_equal(named[1][1].data, before)


def test_a_gradient_of_another_shape_is_named_and_nothing_moves():
    named = parameters()
    before = [p.data.copy() for _, p in named]
    with pytest.raises(ShapeError, match=r"gradient of layer.bias has shape \(5,\), the parameter \(4,\)"):
        SGD(named, lr=1.0).step([np.ones((3, 4)), np.ones(5)])
    for (_, parameter), old in zip(named, before, strict=True):
        np.testing.assert_array_equal(parameter.data, old)


def test_element_type_is_kept():
    named = parameters(dtype=np.float32)
    optimizer = AdamW(named, lr=0.1)
    optimizer.step([np.ones((3, 4), np.float32), np.ones(4, np.float32)])
    assert {p.dtype for _, p in named} == {np.dtype(np.float32)}
    assert {a.dtype for a in optimizer.state().values()} == {np.dtype(np.float32)}


def test_saved_state_continues_exactly():
    steps = gradients_of_steps(6)
    whole, first, second = parameters(), parameters(), parameters()
    run(AdamW(whole, lr=0.1), steps)
    optimizer = AdamW(first, lr=0.1)
    run(optimizer, steps[:3])
    resumed = AdamW(second, lr=0.1)
    for (_, to), (_, source) in zip(second, first, strict=True):
        to.data[...] = source.data
    resumed.load_state({name: a.copy() for name, a in optimizer.state().items()}, optimizer.steps)
    run(resumed, steps[3:])
    for (_, a), (_, b) in zip(whole, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_state_of_another_optimizer_is_refused():
    with pytest.raises(CheckpointError, match="AdamW"):
        AdamW(parameters(), lr=0.1).load_state(SGD(parameters(), lr=0.1).state(), 1)


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"lr": 1.0, "weight_decay": -0.1}])
def test_bad_rates_are_refused(options):
    with pytest.raises(ConfigError, match="0 or more"):
        SGD(parameters(), **options)


def test_clipping_scales_all_gradients_together():
    gradients = [np.array([3.0, 0.0]), np.array([[0.0], [4.0]])]
    assert clip_by_global_norm(gradients, 1.0) == pytest.approx(5.0)
    np.testing.assert_allclose(gradients[0], [0.6, 0.0])
    np.testing.assert_allclose(gradients[1], [[0.0], [0.8]])


def test_clipping_begins_at_the_limit_itself():
    gradients = [np.array([3.0, 4.0])]
    clip_by_global_norm(gradients, 4.9)
    assert np.linalg.norm(gradients[0]) == pytest.approx(4.9)


def test_no_gradients_have_no_norm():
    assert clip_by_global_norm([], 1.0) == 0.0


def test_clipping_leaves_small_gradients_alone():
    gradients = [np.array([0.3, 0.4])]
    assert clip_by_global_norm(gradients, 1.0) == pytest.approx(0.5)
    np.testing.assert_array_equal(gradients[0], [0.3, 0.4])


def test_average_follows_its_rule_and_swaps_in_and_out():
    weight = Tensor(np.array([1.0]), requires_grad=True)
    average = ExponentialAverage([("weight", weight)], decay=0.5)
    expected = 1.0
    for steps, value in enumerate([2.0, -1.0, 4.0, 0.5], start=1):
        weight.data[...] = value
        average.update(steps)
        decay = min(0.5, (1 + steps) / (10 + steps))
        expected = decay * expected + (1 - decay) * value
    own = weight.data
    with average.applied():
        assert weight.data[0] == pytest.approx(expected)
        weight.data[...] = 7.0  # whoever changes the weights inside changes the average
    assert weight.data is own and own[0] == 0.5
    assert average.average["weight"][0] == 7.0


def test_an_average_that_was_saved_goes_on():
    rng = np.random.default_rng(0)
    parameters = {name: Tensor(rng.standard_normal(shape)) for name, shape in {"a": (2, 3), "b": (4,), "c": ()}.items()}
    first = ExponentialAverage(parameters.items(), decay=0.5)
    for parameter in parameters.values():
        parameter.data[...] += 1.0
    first.update(9)
    second = ExponentialAverage(parameters.items(), decay=0.5)
    second.load_state({name: array.copy() for name, array in first.average.items()})
    for one in (first, second):
        one.update(10)
    for name, parameter in parameters.items():
        assert second.average[name].shape == parameter.shape
        np.testing.assert_array_equal(second.average[name], first.average[name])
        np.testing.assert_allclose(second.average[name], parameter.data - 0.25)


def orthogonalized_by_svd(x, steps=5):
    """The same polynomial, applied to each singular value alone."""
    u, values, vt = np.linalg.svd(x, full_matrices=False)
    values = values / np.sqrt((values**2).sum())
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return u @ np.diag(values) @ vt


@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3), (1, 5)])
def test_orthogonalizing_keeps_the_singular_vectors(shape):
    x = 100.0 * np.random.default_rng(0).standard_normal(shape)
    found = orthogonalized(x)
    np.testing.assert_allclose(found, orthogonalized_by_svd(x), rtol=0, atol=1e-6)
    assert np.all(np.abs(np.linalg.svd(found, compute_uv=False) - 0.95) < 0.3)


def test_orthogonalizing_nothing_gives_nothing():
    assert np.all(orthogonalized(np.zeros((3, 4), np.float32)) == 0)


def test_muon_turns_block_kernels_and_leaves_the_rest_to_adamw():
    rng = np.random.default_rng(0)
    shapes = {
        "embedding.weight": (3, 4),
        "blocks.0.norm1.weight": (4,),
        "blocks.0.attention.qkv.weight": (4, 12),
        "blocks.0.mlp.fc1.weight": (4, 8),
        "blocks.0.mlp.fc1.bias": (8,),
        "head.weight": (4, 5),
    }
    start = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    steps = [[rng.standard_normal(shape) for shape in shapes.values()] for _ in range(4)]
    options = {"lr": 0.05, "weight_decay": 0.3}

    def train(optimizer_class):
        named = [(name, Tensor(array.copy(), requires_grad=True)) for name, array in start.items()]
        optimizer = optimizer_class(named, **options)
        for gradients in steps:
            optimizer.step(gradients)
        return {name: tensor.data for name, tensor in named}

    found, by_adamw = train(Muon), train(AdamW)

    for place, name in enumerate(shapes):
        if "qkv" not in name and "fc1.weight" not in name:
            np.testing.assert_array_equal(found[name], by_adamw[name])
            continue
        parts = 3 if "qkv" in name else 1
        for part, kernel in enumerate(np.split(start[name], parts, axis=1)):
            mean = 0.0
            for gradients in steps:
                g = np.split(gradients[place], parts, axis=1)[part]
                mean = 0.95 * mean + 0.05 * g
                direction = orthogonalized_by_svd(0.05 * g + 0.95 * mean)
                kernel = (1 - 0.05 * 0.3) * kernel - 0.05 * 0.2 * math.sqrt(max(kernel.shape)) * direction
            np.testing.assert_allclose(np.split(found[name], parts, axis=1)[part], kernel, rtol=0, atol=1e-7)
