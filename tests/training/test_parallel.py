"""Several threads give what one gives, and micro-batches what the whole batch gives."""

import math
import re
import threading
import time

import numpy as np
import pytest

from minivit.backend import workers
from minivit.backend.arrays import available_cores
from minivit.backend.workers import Workers
from minivit.data import Dataset
from minivit.engine import Tensor, cross_entropy
from minivit.errors import ConfigError
from minivit.training.distributed.parallel import (
    EvaluationStopped,
    GradientSums,
    batch_gradients,
    bucket_bytes,
    evaluate,
)
from minivit.training.evaluation import evaluate_dataset
from minivit.training.objectives import Classes, Outcome

from .conftest import tiny_model


def batch(count=22, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, 8, 8, 3)).astype(dtype), rng.integers(0, 3, count)


def trained_a_little(**changes):
    """A tiny model whose head is not zero, so that gradients reach everything."""
    model = tiny_model(**changes)
    rng = np.random.default_rng(3)
    for parameter in model.parameters():
        parameter.data += 0.1 * rng.standard_normal(parameter.shape).astype(np.float32)
    return model


def gradients(model, workers, microbatch, dtype=np.float32):
    images, labels = batch(dtype=dtype)
    with Workers(workers) as pool:
        return batch_gradients(
            Classes(model, smoothing=0.1).loss,
            model.parameters(),
            images,
            labels,
            workers=pool,
            microbatch=microbatch,
            seed=(7, 3, 0),
        )


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_does_not_change_a_bit(workers):
    model = trained_a_little(dropout=0.2)
    alone, together = gradients(model, 1, 4), gradients(model, workers, 4)
    assert alone.loss == together.loss
    assert alone.right == together.right
    for a, b in zip(alone.gradients, together.gradients, strict=True):
        assert a.tobytes() == b.tobytes()


def test_micro_batches_of_any_size_add_up_to_the_whole_batch():
    model = trained_a_little()
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    images, labels = batch(dtype=np.float64)
    loss = cross_entropy(model(images), labels, smoothing=0.1)
    loss.backward()
    for microbatch in (1, 5, 22, 100):  # 5 leaves a short one at the end
        pieces = gradients(model, 2, microbatch, np.float64)
        assert pieces.loss == pytest.approx(loss.item(), rel=1e-12)
        assert pieces.right == sum(model(images).data.argmax(axis=1) == labels)
        for gradient, parameter in zip(pieces.gradients, model.parameters(), strict=True):
            np.testing.assert_allclose(gradient, parameter.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_batch_in_one_piece_fills_the_sums_whatever_was_there(dtype):
    """Also with gradients of half precision, with none at all, and after a batch that was given up half-way."""
    parameters = [Tensor(np.zeros((2, 3), np.float32), True), Tensor(np.zeros(4, np.float32), True)]
    sums = GradientSums(parameters)
    first, second = np.arange(6.0).reshape(2, 3).astype(dtype), np.arange(4.0).astype(dtype)
    sums.begin(1)
    sums.add(0, 1, second + 9)

    sums.begin(1)
    sums.add(0, 0, first)
    assert not sums.buckets[0].full.is_set()
    sums.add(0, 1, second)
    assert sums.buckets[0].full.is_set()
    for total, gradient in zip(sums.sums, (first, second), strict=True):
        assert total.dtype == np.float32
        np.testing.assert_array_equal(total, gradient)

    sums.begin(1)
    sums.add(0, 1, None)
    sums.add(0, 0, first)
    np.testing.assert_array_equal(sums.sums[1], np.zeros(4))

    sums.begin(2)
    for piece in (1, 0):
        for place, gradient in enumerate((first, second)):
            sums.add(piece, place, gradient)
    np.testing.assert_array_equal(sums.flat[0], np.concatenate([2 * second, 2 * first.reshape(-1)]))


def test_every_micro_batch_has_dropout_of_its_own():
    model = trained_a_little(dropout=0.5)
    images = np.repeat(batch(1)[0], 2, axis=0)  # the same image twice, one in each micro-batch
    seen = []

    def loss_of(images, labels, rng):
        logits = model(images, rng=rng)
        seen.append(logits.data.copy())
        return Outcome(cross_entropy(logits, labels), 0, 1)

    with Workers(1) as pool:
        batch_gradients(loss_of, model.parameters(), images, np.zeros(2, int), workers=pool, microbatch=1, seed=(1,))
    assert np.abs(seen[0] - seen[1]).max() > 1e-3


def test_an_error_in_a_worker_reaches_the_caller():
    model = tiny_model()

    def broken(images, labels, rng):
        raise ZeroDivisionError("planted")

    images, labels = batch()
    with Workers(2) as pool, pytest.raises(ZeroDivisionError, match="planted"):
        batch_gradients(broken, model.parameters(), images, labels, workers=pool, microbatch=4)


def test_evaluation_counts_every_image_once():
    model = trained_a_little(dropout=0.5)
    images, labels = batch(23)
    model.eval()
    logits = model(images).data
    expected_loss = cross_entropy(Tensor(logits), labels).item()
    model.train()
    counted = []
    with Workers(2) as pool:
        loss, accuracy = evaluate(
            Classes(model),
            images,
            labels,
            lambda pixels: pixels,
            workers=pool,
            batch_size=5,
            advance=counted.append,
        )
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert accuracy == np.mean(logits.argmax(axis=1) == labels)
    assert counted == [5, 5, 5, 5, 3]
    assert model.training  # the mode it had before


def test_evaluation_takes_fewer_images_at_a_time_if_they_are_large():
    counted = []
    dataset = Dataset("grey", np.full((120, 2, 2, 3), 90, np.uint8), np.zeros(120, np.int64), ("a", "b", "c"))
    for size, at_a_time in ((2, [100, 20]), (128, [25, 25, 25, 25, 20])):
        model = tiny_model(image_size=size, patch_size=size // 2)
        with Workers(1) as pool:
            evaluate_dataset(model, dataset, pool, advance=counted.append)
        assert counted == at_a_time
        counted.clear()


@pytest.mark.parametrize("count", [0, -1, 1.5, "2"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(count):
    with pytest.raises(ConfigError, match="num_threads"):
        Workers(count)


def worker_threads():
    return [thread.name for thread in threading.enumerate() if re.fullmatch(r"minivit-worker_\d+", thread.name)]


def test_two_workers_work_side_by_side_and_end_with_the_block():
    meet = threading.Barrier(2)

    def work(item):
        meet.wait(10)  # each waits for the other
        return item, threading.current_thread()

    with Workers(2) as pool:
        results = list(pool.map(work, range(2)))
        assert sorted(worker_threads()) == sorted(thread.name for _, thread in results)
    assert [item for item, _ in results] == [0, 1]
    assert len({thread for _, thread in results}) == 2
    assert worker_threads() == []


def test_one_worker_is_the_callers_own_thread():
    with Workers(1) as pool:
        assert list(pool.map(lambda _: threading.current_thread(), range(2))) == [threading.current_thread()] * 2


def test_by_default_there_are_as_many_workers_as_cores():
    assert Workers().count == Workers(None).count == available_cores()


def test_what_still_waits_is_given_up_when_the_block_ends_with_an_error():
    done = []

    def work(item):
        if item == 0:
            raise ZeroDivisionError("planted")
        time.sleep(0.01)
        done.append(item)

    with pytest.raises(ZeroDivisionError), Workers(2) as pool:
        list(pool.map(work, range(100)))
    count = len(done)
    assert count < 50 and worker_threads() == []


def test_what_nobody_waits_for_is_given_up_when_the_block_ends():
    done = []

    def work(item):
        time.sleep(0.01)
        done.append(item)

    with Workers(2) as pool:
        pool.map(work, range(100))
    assert len(done) < 50


def test_after_the_block_work_is_done_on_the_callers_thread():
    with Workers(2) as pool:
        pass
    assert list(pool.map(lambda _: threading.current_thread(), [1])) == [threading.current_thread()]


def test_a_number_of_workers_that_makes_no_sense_is_named():
    with pytest.raises(ConfigError, match="num_threads must be"):
        Workers(0)


def test_memory_that_is_freed_is_kept_while_there_are_workers(monkeypatch):
    called = []
    monkeypatch.setattr(workers, "keep_freed_memory", lambda: called.append("kept"))
    with Workers(1):
        assert called == ["kept"]


def test_blas_threads_are_given_back():
    from threadpoolctl import threadpool_info, threadpool_limits

    def blas_threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        with Workers(2):
            assert blas_threads() == {1}
        assert blas_threads() == {2}


@pytest.mark.parametrize(
    ("ranks", "device", "expected"),
    [
        (1, "cpu", 4 * 2**20),
        (1, "cuda", math.inf),  # nobody waits for a part of the gradients
        (2, "cuda", 4 * 2**20),
        (8, "cpu", 4 * 2**20),
        (16, "cpu", 8 * 2**20),  # half a MiB for each rank's part of the ring
        (16, "cuda:3", 8 * 2**20),
    ],
)
def test_buckets_hold_a_few_mebibytes_and_more_where_many_ranks_share_them(ranks, device, expected):
    assert bucket_bytes(ranks, device) == expected
    assert bucket_bytes(ranks) == bucket_bytes(ranks, "cpu")


def test_without_a_size_buckets_hold_four_mebibytes():
    parameters = [Tensor(np.zeros(2**19, np.float32)) for _ in range(5)]  # 2 MiB each
    assert [bucket.parameters for bucket in GradientSums(parameters).buckets] == [[4, 3], [2, 1], [0]]
    assert [flat.size for flat in GradientSums(parameters).flat] == [2**20, 2**20, 2**19]


def test_a_parameter_that_no_micro_batch_uses_has_the_gradient_zero():
    """In one piece, in several, and where one piece uses it alone; other Tensors' gradients are left out."""
    used, sometimes, never, frozen = (Tensor(np.ones(2), requires_grad=True) for _ in range(4))
    images = np.arange(1.0, 5.0)[:, None]

    def loss_of(images, labels, rng):
        loss = (used * frozen * images).sum() / len(images)
        if images.max() > 3:
            loss = loss + (sometimes * images).sum() / len(images)
        return Outcome(loss, 1, len(images))

    for microbatch, share in ((1, 7.0 / 4), (2, 7.0 / 4), (4, 10.0 / 4)):
        sums = GradientSums([used, sometimes, never])
        for total in sums.sums:
            total[...] = 99.0
        with Workers(2) as pool:
            result = batch_gradients(
                loss_of, [used, sometimes, never], images, images, workers=pool, microbatch=microbatch, sums=sums
            )
        expected = share if microbatch != 1 else 1.0
        np.testing.assert_allclose(result.gradients, [[2.5, 2.5], [expected, expected], [0.0, 0.0]])
        assert (result.right, result.answers) == (4 // microbatch, 4)


def test_the_gradients_are_as_many_times_as_large_as_asked_for_and_the_loss_is_not():
    model = trained_a_little()
    images, labels = batch(6)
    with Workers(1) as pool:
        once, eight_times = (
            batch_gradients(
                Classes(model).loss, model.parameters(), images, labels, workers=pool, microbatch=3, scale=scale
            )
            for scale in (1.0, 8.0)
        )
    assert eight_times.loss == once.loss
    for small, large in zip(once.gradients, eight_times.gradients, strict=True):
        np.testing.assert_allclose(large, 8.0 * small, rtol=1e-6)


def test_each_micro_batchs_generator_is_seeded_with_the_batchs_seed_and_its_number():
    drawn = []
    weight = Tensor(np.ones(1), requires_grad=True)

    def loss_of(images, labels, rng):
        drawn.append(rng.random())
        return Outcome((weight * images).sum(), 0, 0)

    images = np.ones((3, 1))
    with Workers(1) as pool:
        batch_gradients(loss_of, [weight], images, images, workers=pool, microbatch=1, seed=(5, 6))
        batch_gradients(loss_of, [weight], images, images, workers=pool, microbatch=2)
    seeds = [(5, 6, 0), (5, 6, 1), (5, 6, 2), (0, 0), (0, 1)]
    assert drawn == [np.random.default_rng(seed).random() for seed in seeds]


def test_numbers_that_overflow_show_in_the_loss_and_raise_nothing():
    weight = Tensor(np.float32([3e38, -1.0, 0.0]), requires_grad=True)

    def loss_of(images, labels, rng):
        values = weight * 10.0 - weight * 10.0  # inf - inf
        return Outcome((values + weight.log() + 1.0 / weight).sum(), 0, 0)

    with np.errstate(over="raise", invalid="raise", divide="raise"), Workers(1) as pool:
        images = np.ones((1, 1))
        result = batch_gradients(loss_of, [weight], images, images, workers=pool, microbatch=1)
    assert math.isnan(result.loss)


def test_evaluation_takes_a_hundred_images_at_a_time_and_needs_nobody_to_watch():
    model = trained_a_little()
    images, labels = batch(130)
    sizes = []

    def prepare(pixels):
        sizes.append(len(pixels))
        return pixels

    with Workers(1) as pool:
        _, accuracy = evaluate(Classes(model), images, labels, prepare, workers=pool)
    assert sizes == [100, 30]
    assert accuracy == np.mean(model(images).data.argmax(axis=1) == labels)


def test_evaluation_keeps_no_tape_and_numbers_its_batches():
    model, seen = trained_a_little(), []

    class Watched(Classes):
        def measure(self, images, labels, number):
            outcome = super().measure(images, labels, number)
            seen.append((number, outcome.loss.requires_grad, self.network.training))
            return outcome

    images, labels = batch(5)
    with Workers(1) as pool:
        evaluate(Watched(model), images, labels, lambda pixels: pixels, workers=pool, batch_size=2)
    assert seen == [(0, False, False), (1, False, False), (2, False, False)]


class Counting:
    """An objective of which each image is worth so many answers, all right."""

    network = tiny_model()

    def __init__(self, answers):
        self.answers = answers

    def measure(self, images, labels, number):
        count = self.answers * len(images)
        return Outcome(Tensor(np.float64(number)), count, count)


@pytest.mark.parametrize(("answers", "accuracy"), [(0, 0.0), (1, 1.0), (3, 1.0)])
def test_an_objective_may_count_any_number_of_answers_for_an_image(answers, accuracy):
    images, labels = batch(6)
    counted = []
    with Workers(1) as pool:
        for count, loss in ((6, 2 / 6), (1, 0.0)):
            assert evaluate(
                Counting(answers), images[:count], labels[:count], lambda pixels: pixels, workers=pool, batch_size=4,
                advance=counted.append,
            ) == (loss, accuracy)  # fmt: skip
    assert counted == [4, 2, 1]


@pytest.mark.parametrize("stopping", [[True], [False, True], [False, False, True]])
def test_an_evaluation_stops_after_the_batch_in_which_it_is_asked_to(stopping):
    images, labels = batch(6)
    asked, counted = iter(stopping), []
    with Workers(1) as pool, pytest.raises(EvaluationStopped):
        evaluate(
            Counting(1), images, labels, lambda pixels: pixels, workers=pool, batch_size=2, advance=counted.append,
            stop=lambda: next(asked),
        )  # fmt: skip
    assert counted == [2] * len(stopping)


def test_a_parameter_that_is_in_the_list_twice_is_refused():
    shared, other = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    with pytest.raises(ConfigError, match="a parameter is in the list twice"):
        GradientSums([shared, other, shared])
