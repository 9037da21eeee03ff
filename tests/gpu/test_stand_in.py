"""What only a stand-in can show: an op that goes past the card is caught, and cards that cannot be used are said."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from minivit import Tensor, ViT, cross_entropy
from minivit.backend.arrays import beside, plain_numbers, to_device, to_numpy
from minivit.backend.gpu.cublas import gpu_matmul
from minivit.backend.gpu.cuda import device_memory
from minivit.backend.workers import Workers
from minivit.data import Dataset
from minivit.engine import ops
from minivit.engine.fused import softmax_in_place
from minivit.errors import ConfigError, MissingExtraError, NonFiniteLossError, OutOfMemory
from minivit.models import cost, model_config
from minivit.models.names import build
from minivit.training import Callback, TrainConfig, Trainer, loop, optim, train, trainer
from minivit.training.distributed.parallel import GradientSums, batch_gradients, evaluate
from minivit.training.distributed.ranks import MPIRanks
from minivit.training.evaluation import predict_dataset
from minivit.training.failures import out_of_memory
from minivit.training.objectives import Classes
from minivit.training.optim import AdamW, ExponentialAverage, Muon, clip_by_global_norm, clip_on_gpu
from minivit.training.precision import check_precision, precision
from minivit.weights.sources.minivit import read_arrays
from tests.gpu import strict_cupy
from tests.gpu.test_numbers import small
from tests.support import tiny_config, tiny_vit


@pytest.fixture(autouse=True)
def cupy():
    with strict_cupy.installed() as module:
        yield module


def test_an_op_that_names_numpy_is_caught(monkeypatch):
    import cupy

    monkeypatch.setattr(ops, "xp_of", lambda x: np)

    with pytest.raises(TypeError):
        ops.exp(Tensor(cupy.asarray(np.ones(3))))


# -- what a step asks of a GPU ------------------------------------------------------------------------------


def steps_cost(depth, name="float32"):
    """Launches of the forward and backward pass, of clipping and of AdamW, and what came back in between."""
    model = ViT(tiny_config(depth=depth, num_classes=3), seed=0).to("cuda")
    optimizer = AdamW(model.named_parameters())
    sums = GradientSums(model.parameters(), math.inf, optimizer.order)
    way = precision(name, "cuda", Classes(model), model.parameters())
    images = to_device(np.zeros((16, *model.config.image_shape), np.float32), "cuda")
    labels = to_device(np.arange(16) % 3, "cuda")
    crossings = strict_cupy.Crossings
    crossings.launches = crossings.back = 0
    marks = []
    way.refresh()
    with Workers(1) as workers:
        batch_gradients(way.loss, way.parameters, images, labels, workers=workers, microbatch=16, sums=sums, read=False)
        marks.append((crossings.launches, crossings.back))
    clip_on_gpu(sums.flat[0], 1e-3)
    marks.append((crossings.launches, crossings.back))
    optimizer.step(sums.sums)
    marks.append((crossings.launches, crossings.back))
    return marks


def test_a_run_on_one_gpu_has_all_gradients_in_one_array_and_takes_a_batch_in_one_pass(cupy, tmp_path, monkeypatch):
    config = TrainConfig(dataset="shapes", steps=1, batch_size=64, train_images=64, validation=20)
    here = trainer.build_run(config, tmp_path / "here")
    there = trainer.build_run(replace(config, device="cuda"), tmp_path / "there")
    assert (here.microbatch_size(64, 0), there.microbatch_size(64, 0)) == (16, 64)
    assert len(there.sums.flat) == 1
    assert here.loader.uploads is None and there.loader.uploads

    monkeypatch.setattr(cost, "device_memory", lambda device: 30e6)
    small = trainer.build_run(replace(config, device="cuda"), tmp_path / "small")
    batches = 4 * 64 * 32 * 32 * 3 * 4  # four of 64 images, on the card or on their way
    fits = cost.images_that_fit(small.model, 27e6 - batches)
    assert 1 < small.microbatch_size(64, 0) == fits < 64
    assert f"too small for {math.ceil(64 / fits)} micro-batches of {fits} images" in str(
        out_of_memory(small.model, "cuda", 64, fits, 99)
    )


def test_clipping_and_adamw_take_as_few_launches_for_many_blocks_as_for_one():
    """One for each parameter would be hundreds; and nothing is read from the card, which would wait for all of it."""
    costs = {depth: steps_cost(depth) for depth in (2, 2, 5)}  # the first makes what is kept

    own = {
        depth: (clipped[0] - passed[0], stepped[0] - clipped[0]) for depth, (passed, clipped, stepped) in costs.items()
    }
    assert own[2] == own[5] == (4, 2)
    assert costs[5][0][0] - costs[2][0][0] == 3 * 40  # forward and backward of three blocks
    assert {waits for marks in costs.values() for _, waits in marks} == {0}


def test_muon_turns_all_kernels_of_one_shape_at_once_and_ends_where_numpy_does(cupy, monkeypatch):
    monkeypatch.setattr(optim, "GPU_STACK_ELEMENTS", 13 * 12 * 12)  # thirteen kernels of (12, 12)
    launches = {}
    for depth in (2, 3, 4):  # 8, 12 and 16 of these: one stack, one, two
        here = ViT(tiny_config(depth=depth, num_classes=3), seed=0)
        there = ViT(tiny_config(depth=depth, num_classes=3), seed=0).to("cuda")
        mine, theirs = Muon(here.named_parameters(), lr=0.1), Muon(there.named_parameters(), lr=0.1)
        for seed in range(2):
            rng = np.random.default_rng(seed)
            gradients = [rng.standard_normal(p.shape).astype(np.float32) for p in here.parameters()]
            mine.step(gradients)
            given = [to_device(g, "cuda") for g in gradients]
            strict_cupy.Crossings.launches = strict_cupy.Crossings.back = 0
            theirs.step(given)
            launches[depth] = strict_cupy.Crossings.launches
            assert not strict_cupy.Crossings.back
        for p, q in zip(here.parameters(), there.parameters(), strict=True):
            np.testing.assert_allclose(p.data, to_numpy(q.data), rtol=1e-4, atol=1e-5)
    more = launches[3] - launches[2]  # a block's six kernels; turning each alone would be 35 launches for each
    assert more < 6 * 20
    assert launches[4] - launches[3] > more + 30  # another stack


NETWORKS = {
    "ViT": lambda: tiny_config(),
    "hybrid": lambda: small("R50+ViT-B_16"),
    "ResNet-50": lambda: small("BiT-R50x1"),
}
STEPS, EVERY = 6, 3  # of a run, and from log to log


@pytest.mark.parametrize(
    ("network", "name", "waits"),
    [
        ("ViT", "float32", 0), ("ViT", "tf32", 0), ("ViT", "bfloat16", 0), ("ViT", "float16", 1),
        *(pytest.param(network, name, 0, marks=pytest.mark.slow) for network in ("hybrid", "ResNet-50")
          for name in ("float32", "bfloat16")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("microbatch", [4, 2])
def test_a_step_waits_for_no_gpu_and_a_log_waits_once(tmp_path, network, name, waits, microbatch):
    """In float16 each step waits once: the scale of the loss follows from the gradient."""
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes")
    model = build(NETWORKS[network](), seed=0)
    images = np.random.default_rng(0).integers(0, 256, (12, *model.config.image_shape), np.uint8)
    config = TrainConfig(
        steps=STEPS, batch_size=4, device="cuda", precision=name, log_every=EVERY, clip_grad=0.1, microbatch=microbatch,
        eval_every=0, optimizer="adamw", ema_decay=0.9,
    )  # fmt: skip
    seen = []

    class Look(Callback):
        def on_run_start(self):
            seen.append(strict_cupy.Crossings.back)

        def on_step_end(self, step):
            seen.append(strict_cupy.Crossings.back)

    Trainer(model, (images, np.arange(12) % 3), None, config, [Look()], show=False).fit()

    logs = 0 if waits else 1
    assert np.diff(seen).tolist() == [waits + logs * (step % EVERY == 0) for step in range(1, STEPS + 1)]


def test_a_callback_may_ask_for_the_numbers_of_a_step_at_once(tmp_path):
    """What a run on a GPU gives is what one on the processor gives, whether it is asked for early or late."""
    losses = {}

    class Look(Callback):
        def on_step_end(self, step):
            losses.setdefault(self.run.device, []).append((step.loss, step.right, step.norm))

    for device in ("cpu", "cuda"):
        config = TrainConfig(dataset="shapes", steps=4, batch_size=16, train_images=96, validation=20, device=device,
                             microbatch=8, log_every=4, eval_every=0)  # fmt: skip
        Trainer(config=config, callbacks=[Look()], out=tmp_path / device, show=False).fit()
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-4)
    assert all(type(right) is int for _, right, _ in losses["cuda"])
    lines = [(tmp_path / device / "metrics.jsonl").read_text(encoding="utf-8").splitlines() for device in losses]
    here, there = (json.loads(line[-1]) for line in lines)
    assert there["loss"] == pytest.approx(np.mean([loss for loss, _, _ in losses["cuda"]]))
    assert here["accuracy"] == there["accuracy"]


@pytest.mark.parametrize("what", ["loss", "gradient's norm"])
def test_a_number_that_is_not_finite_is_found_at_the_log_and_its_step_named(tmp_path, monkeypatch, what):
    """The weights are nan by then; but the checkpoint is older, since a run reads before it saves."""
    original, steps = loop.batch_gradients, []

    def planted(*arguments, **options):
        result = original(*arguments, **options)
        steps.append(result)
        if len(steps) == 4:
            result.loss = result.loss + math.nan if what == "loss" else result.loss
            result.gradients[0][...] = math.nan
        return result

    monkeypatch.setattr(loop, "batch_gradients", planted)
    config = TrainConfig(dataset="shapes", steps=9, batch_size=16, train_images=64, validation=20, device="cuda",
                         log_every=EVERY, eval_every=0)  # fmt: skip
    with pytest.raises(NonFiniteLossError, match=f"the {what} became nan at step 4 with learning rate"):
        train(config, tmp_path / "late", show=False)
    assert len(steps) == 2 * EVERY and not (tmp_path / "late" / "checkpoint.npz").exists()

    steps.clear()
    with pytest.raises(NonFiniteLossError, match=f"the {what} became nan at step 4 with learning rate"):
        train(replace(config, save_every=0.0), tmp_path / "saved", show=False)
    header, arrays = read_arrays(tmp_path / "saved" / "checkpoint.npz")
    assert len(steps) == 4 and header["step"] == 3
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_gradients_of_any_order_are_clipped_together_as_on_the_processor(cupy):
    rng = np.random.default_rng(0)
    here = [rng.standard_normal(shape).astype(np.float32) for shape in ((300, 200), (7,), (4, 5, 6), (0, 3), (1,))]
    there = [to_device(g, "cuda") for g in here]
    here[0], there[0] = here[0].T, there[0].T  # its elements lie in another order than in C's
    here[-1], there[-1] = here[-1].reshape(()), there[-1].reshape(())
    np.testing.assert_allclose(clip_by_global_norm(there, 2.0), clip_by_global_norm(here, 2.0), rtol=1e-5)
    for mine, theirs in zip(here, there, strict=True):
        np.testing.assert_allclose(to_numpy(theirs), mine, rtol=1e-5)


def test_an_array_is_clipped_on_a_gpu_as_on_the_processor_without_a_wait(cupy):
    g = np.random.default_rng(0).standard_normal(100_003).astype(np.float32)
    for most in (1.0, math.inf):
        here, there = g.copy(), cupy.asarray(g)
        norm = clip_by_global_norm([here], most)
        before = strict_cupy.Crossings.back, strict_cupy.Crossings.launches
        found = clip_on_gpu(there, most)
        assert strict_cupy.Crossings.back == before[0] and strict_cupy.Crossings.launches - before[1] <= 5
        np.testing.assert_allclose(to_numpy(found), [norm], rtol=1e-5)
        np.testing.assert_allclose(to_numpy(there), here, rtol=1e-5)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_label_that_is_no_class_makes_the_loss_nan_since_a_message_would_wait(cupy, wrong):
    logits = Tensor(cupy.asarray(np.zeros((2, 3), np.float32)), requires_grad=True)
    before = strict_cupy.Crossings.back
    right, bad = (cross_entropy(logits, cupy.asarray(np.array(labels))) for labels in ([0, 2], [0, wrong]))
    assert strict_cupy.Crossings.back == before
    assert right.item() == pytest.approx(math.log(3)) and math.isnan(bad.item())


def test_numbers_come_from_a_card_together(cupy):
    before = strict_cupy.Crossings.back
    numbers = plain_numbers(cupy.asarray(np.float32(0.1)), 7, cupy.asarray(np.array([3])), np.float64(0.5))
    assert numbers == [float(np.float32(0.1)), 7, 3, 0.5] and strict_cupy.Crossings.back == before + 1
    assert plain_numbers(cupy.asarray(np.array(2.5)), 1, np.array([0.25])) == [2.5, 1, 0.25]


def test_right_answers_are_counted_in_plain_numbers_which_json_can_store():
    model = tiny_vit().to("cuda")
    images, labels = np.zeros((4, *model.config.image_shape), np.float32), np.arange(4) % 3
    there = (to_device(images, "cuda"), to_device(labels, "cuda"))
    with Workers(1) as workers:
        result = batch_gradients(Classes(model).loss, model.parameters(), *there, workers=workers, microbatch=2)
        _, accuracy = evaluate(Classes(model), *there, lambda x: x, workers=workers)
    assert type(result.right) is int and type(accuracy) is float


def test_images_and_their_mirror_images_are_measured_on_a_card_too():
    images = np.random.default_rng(3).integers(0, 256, (4, *tiny_vit().config.image_shape)).astype(np.uint8)
    data = Dataset("random", images, np.arange(4) % 3, ("a", "b", "c"))
    with Workers(1) as workers:
        there, here = (
            predict_dataset(tiny_vit().to(device), data, workers, device, flip=True)[1] for device in ("cuda", "cpu")
        )
    np.testing.assert_allclose(there, here, atol=1e-5)


@pytest.mark.parametrize(("batch", "most"), [(8, 0.56), (16, 0.54)])
def test_half_precision_moves_little_more_than_half_of_the_bytes(batch, most):
    """What it moves of a block of ViT-Ti_4-CIFAR: with casts around ops it was 0.99 of float32's."""
    moved = {}
    for name in ("float32", "bfloat16"):
        both = []
        for depth in (1, 2):
            config = replace(model_config("ViT-Ti_4-CIFAR", num_classes=10), depth=depth, classifier="gap")
            model = ViT(config, seed=0).to("cuda")
            way = precision(name, "cuda", Classes(model), model.parameters())
            images = to_device(np.zeros((batch, *config.image_shape), np.float32), "cuda")
            strict_cupy.Crossings.moved = 0
            way.loss(images, to_device(np.zeros(batch, int), "cuda"), np.random.default_rng(0)).loss.backward()
            both.append(strict_cupy.Crossings.moved)
        moved[name] = both[1] - both[0]
    assert 0.5 < moved["bfloat16"] / moved["float32"] < most


@pytest.mark.slow
def test_a_step_of_ti_in_bfloat16_moves_at_most_0_6_of_the_bytes_of_float32():
    """A whole step at batch 512: two small batches show what grows with the batch and what does not."""
    pytest.importorskip("ml_dtypes")
    moved = {}
    for name in ("float32", "bfloat16"):
        config = model_config("ViT-Ti_4-CIFAR", num_classes=10)
        model = ViT(config, seed=0).to("cuda")
        optimizer = AdamW(model.named_parameters())
        sums = GradientSums(model.parameters(), math.inf, optimizer.order)
        way = precision(name, "cuda", Classes(model), model.parameters())
        both = []
        for batch in (2, 4):
            images = to_device(np.zeros((batch, *config.image_shape), np.float32), "cuda")
            labels = to_device(np.zeros(batch, int), "cuda")
            for _ in range(2):  # the first makes what is kept
                strict_cupy.Crossings.moved = 0
                way.refresh()
                with Workers(1) as workers:
                    batch_gradients(way.loss, way.parameters, images, labels, workers=workers, microbatch=batch,
                                    sums=sums, read=False)  # fmt: skip
                clip_on_gpu(sums.flat[0], 1.0)
                optimizer.step(sums.sums)
            both.append(strict_cupy.Crossings.moved)
        moved[name] = both[0] + (both[1] - both[0]) / 2 * (512 - 2)
    print({name: f"{size / 1e9:.1f} GB" for name, size in moved.items()})
    assert 0.5 < moved["bfloat16"] / moved["float32"] < 0.6


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
@pytest.mark.slow
def test_a_resumed_run_on_a_gpu_ends_with_the_bits_of_one_that_was_not_stopped(tmp_path, name):
    """It stops between two logs, when losses are still on the card; dropout draws there."""
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes")
    config = TrainConfig(
        dataset="shapes", steps=8, batch_size=16, train_images=96, validation=20, device="cuda", precision=name,
        log_every=3, dropout=0.2, stochastic_depth=0.1, ema_decay=0.9, eval_every=1,
    )  # fmt: skip

    class Stop(Callback):
        def on_step_end(self, step):
            if self.run.step == 5:
                self.run.ask_to_stop()

    Trainer(config=config, out=tmp_path / "whole", show=False).fit()
    assert Trainer(config=config, out=tmp_path / "parts", callbacks=[Stop()], show=False).fit().steps == 5
    assert Trainer(config=config, out=tmp_path / "parts", show=False).fit(resume=True).finished

    (whole, arrays), (parts, others) = (read_arrays(tmp_path / run / "checkpoint.npz") for run in ("whole", "parts"))
    assert whole["step"] == parts["step"] == 8 and whole["last_test"] == parts["last_test"]
    assert all(array.tobytes() == others[key].tobytes() for key, array in arrays.items())
    lines = [(tmp_path / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines() for run in ("whole", "parts")]
    losses = [[(line["kind"], line["step"], line["loss"]) for line in map(json.loads, run)] for run in lines]
    assert losses[0] == losses[1] and len(losses[0]) > 4


def test_half_precision_takes_no_launch_more_and_its_weights_are_rounded_at_once():
    passes = {depth: steps_cost(depth, "float16")[0][0] for depth in (2, 2, 5)}

    assert passes[5] - passes[2] == 3 * 40


@pytest.mark.slow
def test_two_gpus_after_each_other_each_compute_with_arrays_of_their_own(cupy, tmp_path):
    """What is kept from step to step is kept for each."""
    config = TrainConfig(dataset="shapes", steps=1, batch_size=16, train_images=32, validation=20, log_every=1)
    for device in ("cuda:0", "cuda:1"):
        assert train(replace(config, device=device), tmp_path / device[-1], show=False).finished
    cupy.cuda.Device(0).use()


def test_memory_that_ends_while_a_batch_is_sent_is_out_of_memory(cupy, tmp_path, monkeypatch):
    def full(*_):
        raise cupy.cuda.memory.OutOfMemoryError

    monkeypatch.setattr("minivit.data.upload.Slot.send", full)
    config = TrainConfig(dataset="shapes", steps=1, batch_size=16, train_images=32, validation=20, device="cuda")
    with pytest.raises(OutOfMemory, match=r"the memory of 80\.0 GB of cuda is too small .* try --microbatch 8"):
        train(config, tmp_path, show=False)


# -- GPUs that cannot be used -------------------------------------------------------------------------------


def complain(*args):
    raise strict_cupy.CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")


@pytest.mark.parametrize("driver", [0, 11080])
def test_no_driver_is_said(cupy, monkeypatch, driver):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", complain)
    monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", lambda: driver)

    with pytest.raises(ConfigError, match=r"no GPU can be used here \(cudaErrorInsufficientDriver\): install NVIDIA"):
        to_device(np.ones(2), "cuda")


def test_a_cupy_for_another_cuda_is_named_with_the_one_to_install(cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", complain)
    monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 12040)

    with pytest.raises(
        MissingExtraError, match=r"one for CUDA 13, the driver knows CUDA 12: pip install 'minivit\[cuda12"
    ):
        to_device(np.ones(2), "cuda:1")


def test_tf32_is_switched_on_for_the_run_that_asks_for_it_and_off_for_the_next(cupy):
    from cupy._core import _routines_linalg as linalg

    model = ViT(tiny_config(), seed=0)
    precision("tf32", "cuda", Classes(model), model.parameters())
    assert linalg.compute_types == {np.dtype(np.float32): linalg.COMPUTE_TYPE_TF32}
    precision("float16", "cuda", Classes(model), model.parameters())
    assert linalg.compute_types == {np.dtype(np.float32): linalg.COMPUTE_TYPE_DEFAULT}


def test_after_a_run_in_tf32_products_are_in_float32_again(cupy, tmp_path):
    from cupy._core import _routines_linalg as linalg

    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    config = TrainConfig(steps=1, batch_size=8, device="cuda", precision="tf32")
    seen = []

    class Look(Callback):
        def on_step_end(self, step):
            seen.append(linalg.compute_types[np.dtype(np.float32)])

    labels = np.arange(8) % 5
    Trainer(tiny_vit(dtype=np.float32), (images, labels), None, config, [Look()], show=False).fit()

    assert seen == [linalg.COMPUTE_TYPE_TF32]
    assert linalg.compute_types == {np.dtype(np.float32): linalg.COMPUTE_TYPE_DEFAULT}
    x = np.random.default_rng(0).standard_normal((2, 64, 64)).astype(np.float32)
    exact = x.astype(np.float64) @ x
    assert np.abs(to_numpy(gpu_matmul(cupy.asarray(x), cupy.asarray(x))) - exact).max() < 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["tf32", "bfloat16"])
def test_a_card_that_is_too_old_for_a_precision_is_said(cupy, monkeypatch, name):
    monkeypatch.setattr(cupy.cuda.Device, "compute_capability", "75")
    with pytest.raises(ConfigError, match=rf"{name} needs a GPU of compute capability 8\.0 or more; cuda has 7\.5"):
        check_precision(name, "cuda")
    check_precision("float16", "cuda")


def test_bfloat16_is_added_up_in_float32(cupy):
    """CuPy adds up no bfloat16 where an index picks by an array."""
    model = ViT(tiny_config(positions="relative"), seed=0).to("cuda")
    way = precision("bfloat16", "cuda", Classes(model), model.parameters())
    images = to_device(np.zeros((4, *model.config.image_shape), np.float32), "cuda")
    way.loss(images, to_device(np.array([0, 1, 0, 1]), "cuda"), np.random.default_rng(0)).loss.backward()


def test_a_kernel_for_an_array_of_another_card_is_an_error(cupy):
    with cupy.cuda.Device(1):
        x = cupy.asarray(np.ones((2, 3)))
    with pytest.raises(ValueError, match="softmax_in_place: the array is on GPU 1, this thread computes on GPU 0"):
        softmax_in_place(x, 1.0, x)


def test_an_average_of_the_weights_takes_as_few_launches_for_many_parameters_as_for_one(cupy):
    model = ViT(tiny_config(depth=3), seed=0).to("cuda")
    average = ExponentialAverage(model.named_parameters(), 0.9)
    before = strict_cupy.Crossings.launches
    average.update(5)
    assert strict_cupy.Crossings.launches == before + 7  # joined, which takes four; then the average


def test_a_cards_memory_is_asked_for(cupy):
    assert device_memory("cuda:1") == 80 * 10**9


def test_gradients_on_a_card_go_by_way_of_the_machine_to_other_ranks(cupy):
    """What `MPIRanks` does with an array of the card, with an MPI of one rank that doubles what it is given."""

    class Doubling:
        def Allreduce(self, place, array):
            assert isinstance(array, np.ndarray)
            array *= 2

        def Bcast(self, array):
            assert isinstance(array, np.ndarray)
            array[...] = 7

    ranks = MPIRanks.__new__(MPIRanks)
    ranks.mpi, ranks.world, ranks.gradients = SimpleNamespace(IN_PLACE=1), Doubling(), Doubling()
    ranks.gpus, ranks.asked_for_gpus = None, True
    on_card = cupy.asarray(np.arange(3.0))
    ranks.add_up(on_card)
    np.testing.assert_array_equal(on_card.get(), [0.0, 2.0, 4.0])
    ranks.copy_from_first(on_card)
    np.testing.assert_array_equal(on_card.get(), [7.0] * 3)


@pytest.mark.parametrize("precision", ["float32", pytest.param("float16", marks=pytest.mark.slow)])
def test_a_run_on_the_second_gpu_computes_there_on_all_threads(cupy, tmp_path, precision):
    config = TrainConfig(
        dataset="shapes", steps=2, batch_size=16, microbatch=4, train_images=32, validation=20, device="cuda:1",
        num_threads=3, ema_decay=0.9, precision=precision, log_every=1,
    )  # fmt: skip
    assert train(config, tmp_path, show=False).finished
    cupy.cuda.Device(0).use()


def test_a_model_predicts_on_the_gpu_that_it_was_moved_to(cupy):
    model = ViT(tiny_config(), seed=0)
    pixels = np.zeros((9, *model.config.image_shape), np.uint8)
    here = model.predict(pixels)
    model.to("cuda:1")
    with Workers(2) as workers:
        np.testing.assert_allclose(model.predict(pixels, batch_size=2, workers=workers), here, rtol=1e-5)
    cupy.cuda.Device(0).use()


def test_a_gpu_that_is_not_there(cupy):
    with pytest.raises(ConfigError, match="there is no device 'cuda:2': this machine has cuda:0 to cuda:1"):
        to_device(np.ones(2), "cuda:2")


def test_an_array_stays_on_its_card(cupy):
    with cupy.cuda.Device(1):
        x = cupy.asarray(np.ones(2))

    assert isinstance(beside(x, np.ones(3)), cupy.ndarray)
    assert isinstance(beside(np.ones(2), x), np.ndarray)
