"""Several ranks give what one gives, whatever they share between them."""

import json
import math
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest

from minivit.backend.workers import Workers
from minivit.data import dataset
from minivit.engine import Tensor
from minivit.errors import ConfigError, MissingExtraError, RankError
from minivit.images.decoding import decode_image
from minivit.training import TrainConfig, batches, loop, train, trainer
from minivit.training.distributed import parallel
from minivit.training.distributed import ranks as ranks_module
from minivit.training.distributed.parallel import (
    EvaluationStopped,
    GradientSums,
    batch_gradients,
    evaluate,
    even_microbatch,
    micro_batches_of_rank,
    own_images,
)
from minivit.training.distributed.ranks import Ranks, joined_ranks
from minivit.training.objectives import Classes, Outcome
from minivit.weights import read_arrays

from ..data.images_on_disk import write_folder
from ..support import waits_for
from .conftest import tiny_dataset, tiny_model
from .ranks_on_threads import on_ranks
from .test_parallel import batch, trained_a_little

pytestmark = pytest.mark.usefixtures("undrawn")

# -- sums of gradients ---------------------------------------------------------------------------


def parameters(*sizes):
    return [Tensor(np.zeros(size, np.float32), requires_grad=True) for size in sizes]


@pytest.mark.parametrize("bucket_bytes", [1, 60, 10**6])
def test_gradients_that_arrive_in_any_order_add_up_to_the_same_bits(bucket_bytes):
    rng = np.random.default_rng(0)
    wanted = parameters(3, 7, 5, 2)
    pieces = [[(rng.standard_normal(p.shape) * 10.0 ** rng.integers(-3, 4)).astype(np.float32) for p in wanted]
              for _ in range(9)]  # fmt: skip
    pieces[4][2] = None  # a micro-batch whose loss does not use this parameter
    expected = []
    for place, parameter in enumerate(wanted):
        total = np.zeros(parameter.shape, np.float32)
        for piece in pieces:
            if piece[place] is not None:
                total = total + piece[place]
        expected.append(total)

    sums = GradientSums(wanted, bucket_bytes)
    for attempt in range(20):
        arrivals = [(piece, place) for piece in range(9) for place in range(4)]
        random.Random(attempt).shuffle(arrivals)
        sums.begin(9)

        def deliver(part):
            for piece, place in part:
                sums.add(piece, place, pieces[piece][place])

        threads = [threading.Thread(target=deliver, args=(arrivals[i::3],)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for total, right in zip(sums.sums, expected, strict=True):
            assert total.tobytes() == right.tobytes()
        assert all(bucket.full.is_set() for bucket in sums.buckets)


def test_buckets_hold_neighbours_last_first_and_are_full_when_all_is_there():
    wanted = parameters(10, 1, 5, 5, 3)
    sums = GradientSums(wanted, bucket_bytes=40)
    assert [bucket.parameters for bucket in sums.buckets] == [[4, 3, 2], [1, 0]]
    assert [bucket.flat.size for bucket in sums.buckets] == [13, 11]
    assert all(np.shares_memory(sums.sums[i], sums.buckets[0].flat) for i in (2, 3, 4))

    sums.begin(2)
    for place in (4, 3, 2):
        sums.add(1, place, np.ones_like(wanted[place].data))
    assert not sums.buckets[0].full.is_set()
    for place in (4, 3):
        sums.add(0, place, np.ones_like(wanted[place].data))
    assert not sums.buckets[0].full.is_set()
    sums.add(0, 2, np.ones(5, np.float32))
    assert sums.buckets[0].full.is_set() and not sums.buckets[1].full.is_set()
    assert (sums.buckets[0].flat == 2.0).all()


def test_a_rank_without_images_adds_nothing():
    sums = GradientSums(parameters(2, 3))
    sums.sums[0][...] = 7.0
    sums.begin(0)
    assert all((total == 0).all() for total in sums.sums) and sums.buckets[0].full.is_set()


def test_two_threads_never_add_to_one_sum_or_complete_one_bucket_at_once():
    sums = GradientSums(parameters(2, 3))
    one = np.ones(2, np.float32)
    sums.begin(2)
    assert waits_for(sums.locks[0], lambda: sums.add(0, 0, one))
    assert waits_for(sums.lock, lambda: sums.add(1, 0, one))
    assert not waits_for(sums.locks[0], lambda: sums.add(0, 1, None))  # another sum is not held up
    assert (sums.sums[0] == 2.0).all()


# -- one batch -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "microbatch", "size"), [(128, 16, 4), (10, 3, 4), (2, 8, 5), (7, 7, 1), (12, 5, 2)])
def test_each_image_is_in_one_micro_batch_of_one_rank(count, microbatch, size):
    seen, numbers = [], []
    alone, _ = micro_batches_of_rank(count, microbatch, Ranks())
    for rank in range(size):
        ranks = Ranks()
        ranks.rank, ranks.size = rank, size
        pieces, own = micro_batches_of_rank(count, microbatch, ranks)
        assert pieces == alone
        numbers += own
        images = [image for number in own for image in range(count)[pieces[number]]]
        assert list(range(count)[own_images(count, microbatch, ranks)]) == images
        seen += images
        assert all(0 < pieces[number].stop - pieces[number].start <= microbatch for number in own)
    assert seen == list(range(count))
    assert numbers == list(range(len(pieces)))


@pytest.mark.parametrize(
    ("microbatch", "batch_size", "size", "expected"),
    [(16, 128, 4, 16), (32, 96, 2, 24), (64, 128, 4, 32), (7, 10, 1, 7), (7, 20, 2, 5), (1, 6, 3, 1)],
)
def test_micro_batches_are_made_smaller_where_ranks_would_have_unequal_numbers_of_them(
    microbatch, batch_size, size, expected
):
    ranks = Ranks()
    ranks.size = size
    assert even_microbatch(microbatch, batch_size, ranks) == expected
    if size > 1:
        assert batch_size // size % expected in (0, batch_size // size)


def test_a_rank_never_needs_more_micro_batches_than_with_the_size_that_was_asked_for():
    ranks = Ranks()
    ranks.size = 2
    for share in range(1, 30):
        for microbatch in range(1, 20):
            size = even_microbatch(microbatch, 2 * share, ranks)
            assert 1 <= size <= microbatch
            assert math.ceil(share / size) == math.ceil(share / microbatch)


def gradients_of(size, microbatch, count=24, bucket_bytes=200):
    model = trained_a_little(dropout=0.2)
    images, labels = batch(count)

    def run(ranks):
        sums = GradientSums(model.parameters(), bucket_bytes)
        result = batch_gradients(
            Classes(model, smoothing=0.1).loss, model.parameters(), images, labels,
            workers=pool, microbatch=microbatch, seed=(7, 3, 0), sums=sums, ranks=ranks,
        )  # fmt: skip
        return result, ranks, sums

    with Workers(1) as pool:
        return [run(Ranks())] if size == 1 else on_ranks(size, run)


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_a_loss_that_is_not_read_yet_is_the_same(scale):
    model = trained_a_little()
    images, labels = batch(8)

    def run(ranks, read=False):
        return batch_gradients(Classes(model).loss, model.parameters(), images, labels,
                               workers=pool, microbatch=4, scale=scale, ranks=ranks, read=read)  # fmt: skip

    with Workers(1) as pool:
        now, later, shared = run(Ranks(), read=True), run(Ranks()), on_ranks(2, run)
    np.testing.assert_allclose(later.loss, now.loss, rtol=1e-6)
    assert later.right == now.right
    assert type(now.loss) is float and type(later.loss) is not float
    assert [type(result.loss) for result in shared] == [float, float]  # ranks send numbers to one another


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("count", [24, 2])  # 2: some ranks have nothing to do
def test_ranks_share_a_batch_and_all_have_its_gradients(size, count):
    ((alone, _, _),) = gradients_of(1, 2, count)
    for result, ranks, sums in gradients_of(size, 2, count):
        assert result.loss == alone.loss  # of the same micro-batches, in the same order
        assert (result.right, result.answers) == (alone.right, alone.answers)
        for mine, theirs in zip(result.gradients, alone.gradients, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-7)
        assert ranks.added == [bucket.flat.size for bucket in sums.buckets] and len(ranks.added) > 3


def test_the_order_of_summation_decides_the_bits():
    """Two ranks with a micro-batch each add the same two arrays as one rank with both."""
    ((alone, _, _),) = gradients_of(1, 12)
    for result, _, _ in gradients_of(2, 12):
        for mine, theirs in zip(result.gradients, alone.gradients, strict=True):
            assert mine.tobytes() == theirs.tobytes()


def test_buckets_travel_while_backward_still_runs():
    model = trained_a_little()
    images, labels = batch(8)
    order = []

    class Watched(GradientSums):
        def add(self, piece, place, gradient):
            if place == 1:  # the first layer's bias, last in backward: let the others arrive first
                arrived.wait(30)
            order.append(place)
            super().add(piece, place, gradient)

    arrived = threading.Event()

    def run(ranks):
        original = ranks.add_up

        def add_up(array):
            original(array)
            if len(ranks.added) == len(sums.buckets) - 2:
                arrived.set()

        ranks.add_up = add_up
        sums = Watched(model.parameters(), bucket_bytes=1)
        batch_gradients(Classes(model).loss, model.parameters(), images, labels, workers=pool, microbatch=4,
                        sums=sums, ranks=ranks)  # fmt: skip
        return arrived.is_set()

    with Workers(1) as pool:
        assert on_ranks(2, run) == [True, True]


def test_an_error_in_a_micro_batch_does_not_leave_the_gradients_thread_waiting():
    model, everyone = tiny_model(), []
    images, labels = batch(8)

    def run(ranks):
        def broken(*_):
            raise ZeroDivisionError("planted")

        everyone.append(ranks)
        batch_gradients(broken, model.parameters(), images, labels, workers=pool, microbatch=4, ranks=ranks)

    with Workers(1) as pool, pytest.raises(ZeroDivisionError, match="planted"):
        on_ranks(2, run)
    left = [thread for thread in threading.enumerate() if thread.name == "minivit-gradients"]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)
    assert [ranks.added for ranks in everyone] == [[], []]  # half a gradient goes nowhere


def test_a_parameter_that_no_rank_uses_has_the_gradient_zero():
    used, unused = parameters(2, 3)

    def run(ranks):
        result = batch_gradients(
            lambda images, labels, rng: Outcome((used * images).sum(), 0, 0), [used, unused], images, images,
            workers=pool, microbatch=1, ranks=ranks,
        )  # fmt: skip
        return [gradient.tolist() for gradient in result.gradients]

    images = np.float32([[1.0], [2.0], [3.0], [4.0]])
    with Workers(1) as pool:
        assert on_ranks(2, run) == [[[2.5, 2.5], [0.0, 0.0, 0.0]]] * 2


def test_an_error_while_gradients_travel_reaches_the_caller():
    model = tiny_model()
    images, labels = batch(8)

    def run(ranks):
        def broken(array):
            raise RankError("planted")

        ranks.add_up = broken
        batch_gradients(
            Classes(model).loss, model.parameters(), images, labels, workers=pool, microbatch=4, ranks=ranks
        )

    with Workers(1) as pool, pytest.raises(RankError, match="planted"):
        on_ranks(2, run)


def test_gradients_travel_on_a_thread_that_uses_the_same_gpu_and_ends_with_the_process(monkeypatch):
    monkeypatch.setattr(parallel, "current_gpu", lambda: 3)
    monkeypatch.setattr(parallel, "use_gpu", lambda gpu: used.append((gpu, threading.current_thread())))
    used = []

    def run(ranks):
        sums = GradientSums(parameters(2))
        sums.begin(0)
        with sums.added_up(ranks):
            pass
        return ranks.added

    assert on_ranks(2, run) == [[2], [2]]
    assert [gpu for gpu, _ in used] == [3, 3]
    assert all(thread.daemon and thread.name == "minivit-gradients" for _, thread in used)
    assert not any(thread.is_alive() for _, thread in used)


def test_a_rank_that_is_alone_sends_nothing_and_starts_no_thread():
    sums = GradientSums(parameters(2))
    sums.begin(1)
    with sums.added_up(Ranks()):
        assert not any(thread.name == "minivit-gradients" for thread in threading.enumerate())


def test_an_evaluation_is_shared_and_its_sum_is_the_same_to_the_bit():
    model = trained_a_little()
    images, labels = batch(23)

    def run(ranks):
        counted = []
        result = evaluate(Classes(model), images, labels, lambda pixels: pixels, workers=pool, batch_size=5,
                          advance=counted.append, ranks=ranks)  # fmt: skip
        return result, sum(counted)

    with Workers(1) as pool:
        alone, _ = run(Ranks())
        for size in (2, 3, 7):
            results = on_ranks(size, run)
            assert all(result == alone for result, _ in results)
            assert sum(count for _, count in results) == 23


def test_an_evaluation_that_one_rank_stops_stops_on_all():
    model = trained_a_little()
    images, labels = batch(8)

    def run(ranks):
        try:
            evaluate(Classes(model), images, labels, lambda pixels: pixels, workers=pool, batch_size=2, ranks=ranks,
                     stop=lambda: ranks.rank == 1)  # fmt: skip
        except EvaluationStopped:
            return "stopped"

    with Workers(1) as pool:
        assert on_ranks(2, run) == ["stopped", "stopped"]


# -- whole runs ----------------------------------------------------------------------------------

OPTIONS = {
    "epochs": 2.0,
    "batch_size": 8,
    "microbatch": 2,
    "log_every": 1,
    "lr": 2e-3,
    "dropout": 0.1,
    "ema_decay": 0.9,
}


def run(folder, size=1, **options):
    config = TrainConfig(**{**OPTIONS, **options})
    resume = (folder / "config.json").exists()
    if size == 1:
        return [train(config, folder, show=False, resume=resume)]
    return on_ranks(size, lambda ranks: train(config, folder, show=False, resume=resume, ranks=ranks))


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def assert_same_run(one, other):
    for a, b in zip(records(one), records(other), strict=True):
        assert (a["kind"], a["step"]) == (b["kind"], b["step"])
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
    weights, others = (read_arrays(folder / "checkpoint.npz")[1] for folder in (one, other))
    for name, array in weights.items():
        if "qkv.bias" in name:
            continue  # the keys' share has the gradient 0, and Adam makes steps of its rounding
        np.testing.assert_allclose(array, others[name], rtol=1e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("size", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_ranks_train_as_one_does(tiny, tmp_path, size):
    """90 images in batches of 8: the last of an epoch has 2, fewer than 4 ranks."""
    (alone,) = run(tmp_path / "one")
    together = run(tmp_path / "many", size)
    assert_same_run(tmp_path / "one", tmp_path / "many")
    assert {result.accuracy for result in together} == {alone.accuracy}
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )


def test_ranks_share_repeated_and_mixed_images(tiny, tmp_path):
    options = {"augment": "standard", "mixup": 0.4, "mix_until": 0.5, "repeated_augmentation": 3, "epochs": 1.0}
    run(tmp_path / "one", **options)
    run(tmp_path / "many", 2, **options)
    assert_same_run(tmp_path / "one", tmp_path / "many")


def test_a_rank_reads_the_pictures_of_its_part_alone(tmp_path, monkeypatch):
    write_folder(tmp_path / "photos", {f"{part}/{name}": 16 for part in ("train", "test") for name in "ab"})
    options = {"dataset": f"folder:{tmp_path / 'photos'}", "model": "ViT-XS_4-CIFAR", "image_size": 8, "epochs": 1.0}
    read = []
    monkeypatch.setattr(dataset, "decode_image", lambda path: read.append(path) or decode_image(path))

    run(tmp_path / "one", augment="crop", **options)
    alone = list(read)
    read.clear()
    run(tmp_path / "many", 2, augment="crop", **options)
    assert_same_run(tmp_path / "one", tmp_path / "many")
    # each picture of an epoch and of the test set by one rank; the first of both sets by each, to look at the data
    assert sorted(set(read)) == sorted(set(alone))
    looks = len(read) - 64
    assert len(alone) == 64 and 0 < looks <= 2 * 10


def test_pictures_that_are_read_ahead_are_those_that_the_step_computes(tmp_path, monkeypatch):
    """The micro-batches of two steps differ, and so do the ranks' parts of the second batch, which has 4 pictures."""
    write_folder(tmp_path / "photos", {f"{part}/{name}": 6 for part in ("train", "test") for name in "ab"})
    monkeypatch.setattr(trainer, "default_microbatch", lambda config, images, kept: 4 if kept == 1 else 2)
    options = {
        "dataset": f"folder:{tmp_path / 'photos'}", "model": "ViT-XS_4-CIFAR", "image_size": 8, "epochs": 1.0,
        "microbatch": None, "patch_dropout": 0.5, "dropout": 0.0,
    }  # fmt: skip
    run(tmp_path / "one", **options)
    run(tmp_path / "many", 2, **options)
    assert_same_run(tmp_path / "one", tmp_path / "many")


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_ranks(tiny, tmp_path, monkeypatch):
    run(tmp_path / "whole")
    train_step = loop.train_step

    def stop_early(run, batch):
        if run.step == 13:
            raise ZeroDivisionError("killed")
        return train_step(run, batch)

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(loop, "train_step", stop_early)
        run(tmp_path / "killed", 4, save_every=0.0)
    run(tmp_path / "killed", 2, save_every=0.0)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_on_any_rank_stops_all_after_the_same_step(tiny, tmp_path, monkeypatch):
    train_step = loop.train_step

    def press(run, batch):
        if run.ranks.rank == 1 and run.step == 4:
            run.stop.handle(signal.SIGTERM, None)
        return train_step(run, batch)

    monkeypatch.setattr(loop, "train_step", press)

    def one(ranks):
        return train(TrainConfig(**OPTIONS), tmp_path, show=False, ranks=ranks)

    results = on_ranks(2, one)
    assert [(result.steps, result.finished) for result in results] == [(5, False), (5, False)]
    assert read_arrays(tmp_path / "checkpoint.npz")[0]["step"] == 5


def test_other_options_and_other_data_are_named(tiny, tmp_path, monkeypatch):
    def other_rate(ranks):
        train(TrainConfig(**OPTIONS | {"lr": 1e-3 * (1 + ranks.rank)}), tmp_path / "a", show=False, ranks=ranks)

    with pytest.raises(RankError, match=r"different options: lr is 0\.001 on rank 0 and 0\.002 on rank 1"):
        on_ranks(2, other_rate)

    thirds = threading.local()
    monkeypatch.setattr(batches, "load_dataset", lambda *_, **__: (tiny_dataset(90, thirds.seed), tiny_dataset(40, 2)))

    def other_data(ranks):
        thirds.seed = ranks.rank
        train(TrainConfig(**OPTIONS | {"batch_size": 9}), tmp_path / "b", show=False, ranks=ranks)

    with pytest.raises(RankError, match="different data: the checksum of training labels is"):
        on_ranks(3, other_data)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_the_first_rank_loads_before_the_others_so_that_one_alone_downloads(tiny, tmp_path, monkeypatch):
    events, loading = [], batches.load_dataset

    def load(*arguments, **options):
        name = threading.current_thread().name
        events.append(("begins", name))
        time.sleep(0.05)
        events.append(("ends", name))
        return loading(*arguments, **options)

    monkeypatch.setattr(batches, "load_dataset", load)

    def one(ranks):
        threading.current_thread().name = str(ranks.rank)
        trainer.build_run(TrainConfig(**OPTIONS | {"batch_size": 9}), tmp_path / "run", ranks=ranks)

    on_ranks(3, one)
    assert events[:2] == [("begins", "0"), ("ends", "0")]
    assert sorted(name for _, name in events[2:]) == ["1", "1", "2", "2"]


def test_placement_may_differ_between_ranks(tiny, tmp_path):
    def one(ranks):
        return train(TrainConfig(**OPTIONS, num_threads=1 + ranks.rank), tmp_path, show=False, ranks=ranks).finished

    assert on_ranks(2, one) == [True, True]


def test_a_batch_that_the_ranks_do_not_divide_is_refused(tiny, tmp_path):
    with pytest.raises(ConfigError, match="3 ranks cannot share a batch of 8 images evenly"):
        run(tmp_path / "x", 3)
    assert not (tmp_path / "x").exists()


# -- who is there --------------------------------------------------------------------------------


def test_alone_without_a_launcher(monkeypatch):
    for name in ranks_module.SIZE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with joined_ranks() as ranks:
        assert (ranks.rank, ranks.size, ranks.first) == (0, 1, True)
        assert ranks.device("cuda") == "cuda"


def test_ranks_of_one_machine_share_its_cores_and_gpus(monkeypatch):
    monkeypatch.setattr(ranks_module, "available_cores", lambda: 8)
    ranks = Ranks()
    assert ranks.cores == 8
    ranks.local_rank, ranks.local_size = 2, 3
    assert ranks.cores == 2 and ranks.device("cuda") == "cuda:2"
    assert ranks.device("cuda:0") == "cuda:0" and ranks.device("cpu") == "cpu"
    ranks.local_size = 20
    assert ranks.cores == 1


def test_a_launcher_without_mpi4py_is_told_what_to_install(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minivit\[mpi\]'"), joined_ranks():
        pass
