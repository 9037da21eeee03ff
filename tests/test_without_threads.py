"""Where no thread can start and the system offers nothing, as in a browser, the same work is done in one thread."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minivit.backend.indexing import count_each
from minivit.backend.pools import SameThread, thread_pool, threads_can_start
from minivit.backend.workers import Workers
from minivit.data.dataset import Dataset
from minivit.data.loader import Loader
from minivit.models import create_model
from minivit.training.distributed.parallel import batch_gradients
from minivit.training.objectives import Classes
from minivit.weights import load_weights, save_weights
from tests.lessons import anywhere


def without_threads(work, request):
    """What `work` returns with threads, and without."""
    first = work()
    request.getfixturevalue("no_threads")
    return first, work()


def test_threads_can_start():
    assert threads_can_start()
    assert isinstance(thread_pool(2), ThreadPoolExecutor)


def test_a_pool_without_threads_computes_the_same(no_threads):
    assert not threads_can_start()
    with thread_pool(2, "name", int) as pool:
        assert isinstance(pool, SameThread)
        assert list(pool.map(pow, [2, 3], [5, 2])) == [32, 9]
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
        failed = pool.submit(divmod, 7, 0)
        with pytest.raises(ZeroDivisionError):
            failed.result()


def test_a_call_of_a_pool_without_threads_waits_for_its_turn(no_threads):
    made = []
    results = thread_pool(2).map(made.append, range(3))

    next(iter(results))

    assert made == [0]


def test_a_batch_has_the_same_gradients(request):
    model = create_model("ViT-XS_4-CIFAR", num_classes=10, seed=0, depth=1)
    images = np.random.default_rng(0).standard_normal((12, 32, 32, 3), dtype=np.float32)

    def gradients():
        with Workers(2) as workers:
            found = batch_gradients(
                Classes(model).loss, model.parameters(), images, np.arange(12) % 10, workers=workers, microbatch=4
            )
            return [gradient.copy() for gradient in found.gradients]

    first, second = without_threads(gradients, request)

    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_loader_makes_the_same_batches(request):
    rng = np.random.default_rng(0)
    dataset = Dataset("noise", rng.integers(0, 256, (10, 8, 8, 3), np.uint8), rng.integers(0, 2, 10), ("a", "b"))

    def batches():
        return [batch.images for batch in Loader(dataset, 4, seed=1).batches(stop=5)]

    first, second = without_threads(batches, request)

    assert len(first) == 5
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_weights_are_read_without_threads(no_threads, tmp_path):
    model = create_model("ViT-XS_4-CIFAR", num_classes=10, seed=0, depth=1)
    save_weights(model, tmp_path / "weights.safetensors")

    read = create_model("ViT-XS_4-CIFAR", num_classes=10, seed=1, depth=1)

    load_weights(read, tmp_path / "weights.safetensors")

    assert all(np.array_equal(a, model.state()[name]) for name, a in read.state().items())


@pytest.fixture
def nothing_but_python(no_threads, monkeypatch):
    """No threads, signals, processes, locks of files or choice of cores, as in a browser."""

    def refuse(*_, **__):
        raise OSError("there is no such thing here")

    monkeypatch.setattr(signal, "signal", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "fork", refuse, raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    for name in (
        "multiprocessing",
        "_multiprocessing",
        "fcntl",
        "resource",
        "lzma",
        "safetensors",
        "safetensors.numpy",
    ):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails


def test_gradients_need_nothing_of_the_system(nothing_but_python):
    assert max(anywhere.gradients().values()) < 1e-6


def test_a_run_needs_nothing_of_the_system(request, undrawn):
    with_all = anywhere.training()
    request.getfixturevalue("nothing_but_python")
    without = anywhere.training()

    assert len(without) == anywhere.STEPS
    assert np.mean(without[-5:]) < np.mean(without[:5]) - 0.2
    assert without == with_all


def test_counts_are_those_of_numpy_for_any_integers():
    for dtype in (np.uint8, np.int32, np.int64):
        numbers = np.array([0, 2, 2, 3], dtype)
        assert count_each(numbers, 6).tolist() == [1, 0, 2, 1, 0, 0]
        assert count_each(numbers, 0).tolist() == [1, 0, 2, 1]
