"""Half precision computes what full precision does, to its digits, and no step is lost to an overflow but one."""

import json
import sys
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest

from minivit.convolution import conv2d, group_norm, standardize
from minivit.engine import Tensor, fused, ops
from minivit.errors import ConfigError, MissingExtraError, NonFiniteLossError
from minivit.models import create_model
from minivit.training import TrainConfig, loop, train, trainer
from minivit.training.objectives import Classes
from minivit.training.precision import MixedPrecision, half_type, precision
from minivit.weights import read_arrays

from .conftest import tiny_model
from .ranks_on_threads import on_ranks
from .test_parallel import trained_a_little

pytestmark = pytest.mark.usefixtures("undrawn")

HALF = [np.float16, ml_dtypes.bfloat16]
DIGITS = {np.float16: 2.0**-11, ml_dtypes.bfloat16: 2.0**-8}  # the largest relative error of one rounding
rng = np.random.default_rng(0)


def numbers(*shape):
    return rng.standard_normal(shape)


LABELS = np.array([0, 2, 1, 2])

# op, inputs: each op is compared with itself in float64
OPS = {
    "linear": (fused.linear, [numbers(6, 40), numbers(40, 8), numbers(8)]),
    "layer_norm": (fused.layer_norm, [numbers(6, 40) * 3 + 1, numbers(40), numbers(40)]),
    "gelu tanh": (lambda x: fused.gelu(x, "tanh"), [numbers(5, 30)]),
    "gelu erf": (lambda x: fused.gelu(x, "erf"), [numbers(5, 30)]),
    "softmax": (fused.softmax, [numbers(6, 9)]),
    "attention": (lambda x: fused.attention(x, 2), [numbers(2, 7, 24)]),
    "cross_entropy": (lambda x: fused.cross_entropy(x, LABELS, 0.1), [numbers(4, 3)]),
    "sum": (lambda x: ops.sum(x, axis=0), [numbers(50, 4)]),
    "add, broadcast": (lambda x, y: x + y, [numbers(60, 4), numbers(4)]),
    "conv2d": (lambda x, k: conv2d(x, k, 2), [numbers(2, 7, 7, 3), numbers(3, 3, 3, 5)]),
    "group_norm": (lambda x, w, b: group_norm(x, w, b, 2), [numbers(2, 4, 4, 6), numbers(6), numbers(6)]),
    "standardize": (standardize, [numbers(3, 3, 4, 5)]),
}


def values_and_gradients(op, inputs, dtype):
    tensors = [Tensor(array.astype(dtype), requires_grad=True) for array in inputs]
    out = op(*tensors)
    cotangent = np.random.default_rng(1).standard_normal(out.shape).astype(out.dtype)
    out.backward(cotangent)
    return out, [tensor.grad for tensor in tensors]


@pytest.mark.parametrize("dtype", HALF, ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", OPS)
def test_an_op_in_half_precision_is_right_to_its_digits(name, dtype):
    op, inputs = OPS[name]
    rounded = [array.astype(dtype).astype(np.float64) for array in inputs]  # what both are given
    exact, exact_gradients = values_and_gradients(op, rounded, np.float64)
    out, gradients = values_and_gradients(op, inputs, dtype)
    assert out.dtype == (np.float32 if name == "cross_entropy" else dtype)
    assert all(gradient.dtype == dtype for gradient in gradients)
    for half, full in zip([out.data, *gradients], [exact.data, *exact_gradients], strict=True):
        error = np.abs(half.astype(np.float64) - full).max() / np.abs(full).max()
        assert error < 6 * DIGITS[dtype], f"{error / DIGITS[dtype]:.1f} roundings"


def test_what_float16_cannot_hold_on_the_way_is_computed_in_float32():
    # 120,000 scores, 90,000 squares and a sum past 2,048 ones: none fits float16, the results do
    qkv = np.full((1, 2, 3 * 64), 40.0, np.float16)
    qkv[:, :, 128:] = 1.5
    qkv[:, 0, :128] = 45.0
    np.testing.assert_array_equal(fused.attention(Tensor(qkv), 1).data, np.full((1, 2, 64), 1.5))
    wide = np.array([[300.0, -300.0] * 8], np.float16)
    one, zero = np.ones(16, np.float16), np.zeros(16, np.float16)
    np.testing.assert_allclose(fused.layer_norm(Tensor(wide), Tensor(one), Tensor(zero)).data, np.sign(wide))
    images = wide.reshape(1, 2, 4, 2)
    grouped = group_norm(Tensor(images), Tensor(one[:2]), Tensor(zero[:2]), 1)
    np.testing.assert_allclose(grouped.data, np.sign(images))
    np.testing.assert_array_equal(ops.sum(Tensor(np.ones((5_000, 3), np.float16)), axis=0).data, [5_000.0] * 3)
    bias = Tensor(np.zeros(3, np.float16), requires_grad=True)
    (Tensor(np.ones((5_000, 3), np.float16)) + bias).backward(np.ones((5_000, 3), np.float16))
    np.testing.assert_array_equal(bias.grad, [5_000.0] * 3)
    loss = fused.cross_entropy(Tensor(np.array([[60_000.0, 0.0], [0.0, 60_000.0]], np.float16)), np.array([1, 1]))
    assert loss.item() == 30_000 and loss.dtype == np.float32


# -- the twin ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_the_twins_gradients_are_those_of_the_real_weights_nearly(name):
    """Of sixteen batches, since the error of one varies tenfold with how its numbers are rounded."""
    model = trained_a_little()
    for parameter in model.parameters():  # to weights that half precision can hold, so that only the arithmetic differs
        parameter.data = parameter.data.astype(half_type(name)).astype(np.float32)
    mixed = precision(name, "cpu", Classes(model), model.parameters())
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert {p.dtype for p in mixed.parameters} == {half_type(name)}
    mixed.refresh()

    errors = []
    for seed in range(16):
        draw = np.random.default_rng(seed)
        images = draw.uniform(-1, 1, (20, 8, 8, 3)).astype(half_type(name)).astype(np.float32)
        labels = draw.integers(0, 3, 20)
        for parameter in (*model.parameters(), *mixed.parameters):
            parameter.zero_grad()
        Classes(model).loss(images, labels, rng).loss.backward()
        (mixed.loss(images, labels, rng).loss * mixed.scale).backward()
        right = np.concatenate([p.grad.reshape(-1) for p in model.parameters()])
        half = np.concatenate([p.grad.reshape(-1).astype(np.float32) for p in mixed.parameters]) / mixed.scale
        errors.append(np.linalg.norm(half - right) / np.linalg.norm(right))

    assert np.mean(errors) < {"float16": 0.004, "bfloat16": 0.04}[name]


def test_updates_too_small_for_half_precision_are_kept():
    """With weights of 1, float16 cannot tell 1 from 1.0001: a hundred such steps would be lost."""
    model = tiny_model()
    for parameter in model.parameters():
        parameter.data[...] = 1.0
    mixed = precision("float16", "cpu", Classes(model), model.parameters())
    for _ in range(100):
        for parameter in model.parameters():
            parameter.data += 1e-4
        mixed.refresh()
    for parameter, twin in zip(model.parameters(), mixed.parameters, strict=True):
        np.testing.assert_allclose(parameter.data, 1.01, rtol=1e-5)
        np.testing.assert_allclose(twin.data, 1.01, rtol=1e-3)


def test_frozen_parameters_have_no_part_in_it():
    model = tiny_model()
    mixed = precision("float16", "cpu", Classes(model), model.parameters()[-2:])
    assert [p.shape for p in mixed.parameters] == [(12, 3), (3,)]


NETWORKS = {
    "average pooling": lambda: tiny_model(classifier="gap"),
    "attention pooling": lambda: tiny_model(classifier="map"),
    "pre_logits": lambda: tiny_model(representation=7),
    "relative positions": lambda: tiny_model(positions="relative"),
    "dropout, erf": lambda: tiny_model(dropout=0.1, gelu="erf"),
    "hybrid": lambda: create_model("R+ViT-XS_4-CIFAR", num_classes=3, image_size=16, depth=1),
    "ResNet": lambda: create_model("BiT-R14-CIFAR", num_classes=3, image_size=16),
}


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_kind_of_network_computes_in_half_precision(network, name):
    model = NETWORKS[network]()
    noise = np.random.default_rng(3)
    for parameter in model.parameters():
        parameter.data = (parameter.data + 0.05 * noise.standard_normal(parameter.shape)).astype(half_type(name))
        parameter.data = parameter.data.astype(np.float32)
    height, width, channels = model.config.image_shape
    images = noise.uniform(-1, 1, (6, height, width, channels)).astype(half_type(name)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2])
    mixed = precision(name, "cpu", Classes(model), model.parameters())

    full = Classes(model).loss(images, labels, np.random.default_rng(5)).loss
    half = mixed.loss(images, labels, np.random.default_rng(5)).loss
    assert half.item() == pytest.approx(full.item(), rel={"float16": 0.01, "bfloat16": 0.05}[name])
    (half * mixed.scale).backward()
    assert {p.grad.dtype for p in mixed.parameters} == {half_type(name)}


# -- runs ----------------------------------------------------------------------------------------

OPTIONS = {"steps": 12, "batch_size": 10, "microbatch": 5, "log_every": 1, "eval_every": 0.0, "lr": 2e-3}


def run(folder, **options):
    return train(TrainConfig(**{"precision": "float16", **OPTIONS, **options}), folder, show=False)


def records(folder, kind):
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.mark.parametrize(("name", "apart"), [("float16", 0.01), ("bfloat16", 0.06)])
def test_a_run_takes_the_steps_of_a_run_in_float32(tiny, tmp_path, name, apart):
    """With plain descent, whose steps are as long as the gradients, and far enough for stale weights to show."""
    options = {"optimizer": "sgd", "lr": 0.1, "clip_grad": 0.0, "steps": 20}
    moved = {}
    for each in ("float32", name):
        run(tmp_path / each, precision=each, **options)
        arrays = read_arrays(tmp_path / each / "checkpoint.npz")[1]
        start = dict(tiny_model(0).named_parameters())
        moved[each] = np.concatenate([(arrays[f"model/{n}"] - t.data).reshape(-1) for n, t in start.items()])
    distance = np.linalg.norm(moved[name] - moved["float32"]) / np.linalg.norm(moved["float32"])
    assert distance < apart


def plant_overflow(monkeypatch, at):
    """Make one gradient infinite in the step after so many others."""
    original = loop.batch_gradients
    taken = []

    def planted(*arguments, **options):
        result = original(*arguments, **options)
        if len(taken) == at:
            result.gradients[3].reshape(-1)[0] = np.inf
        taken.append([gradient.copy() for gradient in result.gradients])
        return result

    monkeypatch.setattr(loop, "batch_gradients", planted)


def test_a_planted_overflow_leaves_out_exactly_one_step(tiny, tmp_path, monkeypatch):
    plant_overflow(monkeypatch, at=4)
    seen = []
    step = loop.train_step

    def watched(run, batch):
        result = step(run, batch)
        seen.append((run.optimizer.steps, run.model.parameters()[0].data.copy(), run.precision.scale))
        return result

    monkeypatch.setattr(loop, "train_step", watched)
    assert run(tmp_path / "run").steps == 12

    assert [steps for steps, _, _ in seen] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11]
    still = [np.array_equal(a, b) for (_, a, _), (_, b, _) in pairwise(seen)]
    assert still == [False] * 3 + [True] + [False] * 7
    assert [scale for _, _, scale in seen] == [2.0**16] * 4 + [2.0**15] * 8
    assert records(tmp_path / "run", "overflow") == [{"kind": "overflow", "step": 5, "loss_scale": 2.0**15}]
    assert [record["step"] for record in records(tmp_path / "run", "train")] == list(range(1, 13))


def test_a_scale_that_is_too_large_is_halved_until_the_gradients_fit(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(MixedPrecision, "__init__", _with_scale(MixedPrecision.__init__, 2.0**24))
    run(tmp_path / "run")
    scales = [record["loss_scale"] for record in records(tmp_path / "run", "overflow")]
    assert scales and scales == [2.0 ** (23 - i) for i in range(len(scales))]
    assert [record["step"] for record in records(tmp_path / "run", "overflow")] == list(range(1, len(scales) + 1))
    assert len(scales) < 12


def _with_scale(original, scale):
    def initialize(self, *arguments):
        original(self, *arguments)
        self.scale = scale

    return initialize


def test_the_scale_is_doubled_after_enough_good_steps_and_survives_a_stop(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(MixedPrecision, "PATIENCE", 5)
    monkeypatch.setattr(MixedPrecision, "__init__", _with_scale(MixedPrecision.__init__, 2.0**8))
    run(tmp_path / "whole", save_every=0.0)
    assert read_arrays(tmp_path / "whole" / "checkpoint.npz")[0]["precision"] == [2.0**10, 2]

    step = loop.train_step

    def stop(run, batch):
        if run.step == 7:
            raise ZeroDivisionError("killed")
        return step(run, batch)

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(loop, "train_step", stop)
        run(tmp_path / "killed", save_every=0.0)
    train(TrainConfig(**OPTIONS, precision="float16", save_every=0.0), tmp_path / "killed", resume=True, show=False)
    (_, whole), (header, killed) = (read_arrays(tmp_path / name / "checkpoint.npz") for name in ("whole", "killed"))
    assert header["precision"] == [2.0**10, 2]
    assert all(array.tobytes() == killed[name].tobytes() for name, array in whole.items())
    assert {array.dtype for array in whole.values()} == {np.dtype(np.float32)}


def test_a_loss_that_is_not_finite_is_an_error_all_the_same(tiny, tmp_path, monkeypatch):
    original = loop.batch_gradients

    def planted(*arguments, **options):
        result = original(*arguments, **options)
        result.loss = float("nan")
        return result

    monkeypatch.setattr(loop, "batch_gradients", planted)
    with pytest.raises(NonFiniteLossError, match="the loss became nan at step 1"):
        run(tmp_path / "run")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_gradients_that_are_not_finite_are_an_error_where_no_scale_is_to_blame(tiny, tmp_path, monkeypatch, name):
    plant_overflow(monkeypatch, at=2)
    with pytest.raises(NonFiniteLossError, match=r"the gradient's norm became (inf|nan) at step 3"):
        run(tmp_path / "run", precision=name)


def test_ranks_in_half_precision_stay_together(tiny, tmp_path, monkeypatch):
    config = TrainConfig(**OPTIONS, precision="float16")
    weights = []

    def one(ranks):
        run = trainer.build_run(config, tmp_path / "run", ranks=ranks)
        with run.workers:
            for batch in run.loader.batches(0, 4):
                loop.train_step(run, batch)
        return [parameter.data.tobytes() for parameter in run.model.parameters()]

    weights = on_ranks(2, one)
    assert weights[0] == weights[1]


SHORT_RUN = {
    "dataset": "shapes", "image_size": 16, "steps": 200, "batch_size": 128, "microbatch": 32, "optimizer": "muon",
    "lr": 1e-2, "ema_decay": 0.95, "eval_every": 100.0,
}  # fmt: skip


def accuracy_after_200_steps(name, folder):
    """The mean of two seeds: a run's path is chaotic, and one alone is worth a point or so either way."""
    runs = [train(TrainConfig(**SHORT_RUN, precision=name, seed=s), folder / f"{name}-{s}", show=False) for s in (0, 1)]
    return np.mean([run.accuracy for run in runs])


@pytest.mark.slow
def test_two_hundred_steps_on_shapes_reach_the_accuracy_of_float32_within_a_point(tmp_path):
    accuracy = {name: accuracy_after_200_steps(name, tmp_path) for name in ("float32", "float16", "bfloat16")}
    print(accuracy)
    assert accuracy["float32"] > 0.75
    assert accuracy["float16"] > accuracy["float32"] - 0.01
    assert accuracy["bfloat16"] > accuracy["float32"] - 0.01


# -- bad input -----------------------------------------------------------------------------------


def test_tf32_wants_a_gpu(tiny, tmp_path):
    with pytest.raises(ConfigError, match="it needs --device cuda"):
        run(tmp_path / "run", precision="tf32")
    assert not (tmp_path / "run").exists()


def test_an_unknown_precision_is_named():
    with pytest.raises(ConfigError, match="precision must be one of float32, tf32, float16, bfloat16, not 'half'"):
        TrainConfig(precision="half")


def test_bfloat16_without_its_library_is_told_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minivit\[bfloat16\]'"):
        run(tmp_path / "run", precision="bfloat16")
