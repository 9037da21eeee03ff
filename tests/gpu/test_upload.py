"""Batches copied to a card while it computes.

The stand-in copies as late as the rules allow, and finds who overwrites what may still be read.
"""

import threading

import numpy as np
import pytest

from minivit.backend.arrays import to_device
from minivit.data import Dataset, Loader, cutmix
from minivit.data.upload import Uploads
from tests.gpu import strict_cupy


@pytest.fixture(autouse=True)
def cupy():
    with strict_cupy.installed() as module:
        yield module


def numbered(count=22):
    """Images of which no two are alike."""
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return Dataset("numbered", images, np.arange(count) % 3, ("a", "b", "c"))


@pytest.mark.parametrize("mix", [None, cutmix(1.0, 3)], ids=["whole labels", "mixed labels"])
@pytest.mark.parametrize("prefetch", [0, 1, 2])
def test_batches_on_a_card_are_those_of_the_processor(cupy, prefetch, mix):
    options = {"seed": 1, "mix": mix, "prefetch": prefetch}
    here = list(Loader(numbered(), 5, **options).batches(0, 23))
    uploads = Uploads(prefetch)
    arrived = []
    for batch in Loader(numbered(), 5, uploads=uploads, **options).batches(0, 23):
        assert isinstance(batch.images, cupy.ndarray) and isinstance(batch.labels, cupy.ndarray)
        arrived.append((batch.step, (batch.images + 0.0).get(), (batch.labels + 0).get()))

    assert len(arrived) == len(here) == 23
    for (step, images, labels), wanted in zip(arrived, here, strict=True):
        assert step == wanted.step and labels.dtype == wanted.labels.dtype
        np.testing.assert_array_equal(images, wanted.images)
        np.testing.assert_array_equal(labels, wanted.labels)
    assert {len(batch.labels) for batch in here} == {5, 2}


def test_the_room_is_used_again(cupy, monkeypatch):
    made = []
    empty = strict_cupy.empty_pinned
    monkeypatch.setattr("cupyx.empty_pinned", lambda *shape: made.append(shape) or empty(*shape))
    uploads = Uploads(2)

    for batch in Loader(numbered(), 5, seed=0, uploads=uploads).batches(3, 40):
        batch.images + 0.0

    assert len(uploads.slots) == 4 and len(made) <= 4 * 2 + 2  # images and labels; one slot began with a short batch


def test_a_batch_of_other_pictures_gets_room_of_its_own():
    uploads, sizes = Uploads(0), (4, 6, 4, 8)
    batches = [Loader(numbered(), n, seed=n, prefetch=0)._make_batch(0, 0, np.arange(n)) for n in sizes]
    batches[2] = batches[2]._replace(images=np.ones((4, 2, 2, 1), np.float32), labels=np.full(4, 0.5, np.float32))

    for batch, wanted in zip(uploads.received(uploads.sent(batches)), batches, strict=True):
        np.testing.assert_array_equal((batch.images + 0.0).get(), wanted.images)
        np.testing.assert_array_equal((batch.labels + 0).get(), wanted.labels)


def test_the_copies_go_to_the_card_that_computes(cupy):
    to_device(np.ones(1), "cuda:1")
    for batch in Loader(numbered(), 5, seed=0, uploads=Uploads(2)).batches(0, 5):
        assert batch.images.device.id == 1
        batch.images + 0.0
    cupy.cuda.Device(0).use()


def test_the_thread_behind_ends_with_the_loop():
    for _ in Loader(numbered(), 5, seed=0, uploads=Uploads(2)).batches():
        break
    assert not [thread for thread in threading.enumerate() if thread.name == "minivit-loader"]


def test_the_next_loop_waits_for_what_the_last_one_left_unfinished():
    loader = Loader(numbered(), 5, seed=0, uploads=Uploads(2))
    for start in (0, 3):
        for batch in loader.batches(start):
            wanted = Loader(numbered(), 5, seed=0)._make_batches(start, None)
            np.testing.assert_array_equal((batch.images + 0.0).get(), next(wanted).images)
            break


def test_what_fails_while_a_batch_is_sent_is_raised(monkeypatch):
    loader = Loader(numbered(), 5, seed=0, uploads=Uploads(2))
    monkeypatch.setattr("cupyx.empty_pinned", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(loader.batches())
