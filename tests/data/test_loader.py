"""The loader: the same batches wherever one starts, and a thread that never outlives its iterator."""

import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit.data import Dataset, Loader, mixup, standard
from minivit.errors import ConfigError


def numbered(count: int) -> Dataset:
    """A data set whose image i is filled with the byte i."""
    images = np.empty((count, 4, 4, 3), np.uint8)
    images[:] = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)
    return Dataset("numbered", images, np.arange(count) % 7, tuple("abcdefg"))


def numbers(batch) -> list[int]:
    """Which images of `numbered` a batch holds."""
    return np.rint(batch.images[:, 0, 0, 0] * 127.5 + 127.5).astype(int).tolist()


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "minivit-loader"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert loader_threads() == []


def assert_same(one, other):
    assert (one.step, one.epoch) == (other.step, other.epoch)
    assert one.images.tobytes() == other.images.tobytes()
    assert one.labels.tobytes() == other.labels.tobytes()


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 40), batch_size=st.integers(1, 15), prefetch=st.sampled_from([0, 1, 3]))
def test_an_epoch_shows_every_image_once(count, batch_size, prefetch):
    loader = Loader(numbered(count), batch_size, seed=0, prefetch=prefetch)
    steps = loader.steps_per_epoch

    batches = list(loader.batches(0, 2 * steps))

    assert [batch.step for batch in batches] == list(range(2 * steps))
    assert [batch.epoch for batch in batches] == [0] * steps + [1] * steps
    for epoch in (batches[:steps], batches[steps:]):
        assert sorted(itertools.chain.from_iterable(map(numbers, epoch))) == list(range(count))
        assert all(len(batch.images) == batch_size for batch in epoch[:-1])
        assert 1 <= len(epoch[-1].images) <= batch_size


def test_batches_are_preprocessed_and_labels_stay_with_their_images():
    for batch in Loader(numbered(100), 32, seed=1).batches(0, 8):
        assert batch.images.dtype == np.float32
        assert batch.images.shape == (len(batch.labels), 4, 4, 3)
        assert batch.labels.dtype == np.int64
        assert batch.labels.tolist() == [number % 7 for number in numbers(batch)]
        expected = (np.array(numbers(batch)) - 127.5) / 127.5
        assert np.allclose(batch.images[:, 3, 3, 2], expected)


def test_order_differs_by_epoch_and_by_seed():
    loader = Loader(numbered(200), 10, seed=0)
    orders = [loader.permutation(0), loader.permutation(1), Loader(numbered(200), 10, seed=1).permutation(0)]
    for one, other in itertools.combinations(orders, 2):
        assert not np.array_equal(one, other)
    assert np.array_equal(loader.permutation(1), Loader(numbered(200), 50, seed=0).permutation(1))


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 40), batch_size=st.integers(1, 15), repeats=st.integers(1, 5))
def test_repeated_images_follow_each_other_in_an_epoch_of_as_many_steps(count, batch_size, repeats):
    plain = Loader(numbered(count), batch_size, seed=0, prefetch=0)
    loader = Loader(numbered(count), batch_size, seed=0, repeats=repeats, prefetch=0)
    steps = loader.steps_per_epoch

    batches = list(loader.batches(0, 2 * steps))

    assert steps == plain.steps_per_epoch
    assert [len(batch.labels) for batch in batches] == [len(batch.labels) for batch in plain.batches(0, 2 * steps)]
    for epoch in (0, 1):
        shown = list(itertools.chain.from_iterable(map(numbers, batches[epoch * steps : (epoch + 1) * steps])))
        expected = [image for image in plain.permutation(epoch) for _ in range(repeats)]
        assert shown == expected[:count]


def test_the_copies_of_an_image_are_augmented_differently_and_the_same_wherever_one_starts():
    rng = np.random.default_rng(0)
    dataset = Dataset("noise", rng.integers(0, 256, (30, 8, 8, 3), np.uint8), np.arange(30) % 7, tuple("abcdefg"))
    loader = Loader(dataset, 12, seed=3, augment=standard(2), mix=mixup(0.5, 7), repeats=3)
    batches = list(loader.batches(0, 9))

    for start in (1, 4, 8):
        for one, other in zip(batches[start:], loader.batches(start, 9), strict=True):
            assert_same(one, other)

    loader.mix = None
    first = next(loader.batches(0, 1))
    copies = first.images.reshape(4, 3, -1)
    assert first.labels.reshape(4, 3).tolist() == [[label] * 3 for label in first.labels[::3]]
    different = [len({copy.tobytes() for copy in image}) for image in copies]
    assert max(different) == 3 and sum(different) >= 8  # of 50 equally likely results, copies agree by chance


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2"])
def test_a_number_of_repeats_that_is_none_is_refused(bad):
    with pytest.raises(ConfigError, match="repeats must be an integer of 1 or more"):
        Loader(numbered(3), 2, seed=0, repeats=bad)


def test_without_shuffling_the_order_is_that_of_the_data_set():
    batches = Loader(numbered(25), 10, seed=0, shuffle=False).batches(0, 6)
    assert [numbers(batch) for batch in batches] == 2 * [
        list(range(10)),
        list(range(10, 20)),
        list(range(20, 25)),
    ]


def unbalanced(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(5).permutation(labels).astype(np.int64)
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    return Dataset("unbalanced", images, labels, tuple(map(str, range(len(counts)))))


@pytest.mark.parametrize("counts", [(50, 8, 3), (7, 7, 7), (1, 1, 30), (5,), (40, 0, 3), (2, 3, 5)])
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_balanced_epoch_draws_each_class_and_each_image_of_a_class_equally_often(counts, epoch):
    dataset = unbalanced(*counts)
    order = Loader(dataset, 10, seed=0, balanced=True).permutation(epoch)

    assert len(order) == len(dataset)
    of_classes = np.bincount(dataset.labels[order], minlength=len(counts))[np.array(counts) > 0]
    assert of_classes.max() - of_classes.min() <= 1
    of_images = np.bincount(order, minlength=len(dataset))
    for label in np.unique(dataset.labels):
        drawn = of_images[dataset.labels == label]
        assert drawn.max() - drawn.min() <= 1


def test_a_balanced_order_is_random_and_follows_from_seed_and_epoch():
    dataset = unbalanced(50, 8, 3)
    loader = Loader(dataset, 10, seed=0, balanced=True)
    orders = [loader.permutation(epoch) for epoch in range(30)]
    orders.append(Loader(dataset, 5, seed=1, balanced=True).permutation(0))

    for one, other in itertools.combinations(orders, 2):
        assert not np.array_equal(one, other)
    assert np.array_equal(orders[2], Loader(dataset, 7, seed=0, balanced=True).permutation(2))
    assert len(np.unique(np.concatenate(orders))) == 61  # a class's images that one epoch leaves out come in another
    assert len(np.unique(dataset.labels[orders[0][:20]])) == 3  # the classes are mixed
    extra = [np.bincount(dataset.labels[loader.permutation(epoch)]).argmax() for epoch in range(20)]
    assert len(set(extra)) == 3  # of 61 = 3 * 20 + 1 images, no class always gets one more


@pytest.mark.parametrize("start", [0, 1, 3, 4, 7, 11])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_starting_anywhere_gives_the_batches_of_an_undisturbed_run(start, prefetch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (37, 8, 8, 3), dtype=np.uint8)
    dataset = Dataset("random", images, rng.integers(0, 3, 37), ("a", "b", "c"))

    for balanced in (False, True):
        options = {"seed": 3, "augment": standard(2), "balanced": balanced}
        undisturbed = list(Loader(dataset, 10, **options).batches(0, 12))
        resumed = list(Loader(dataset, 10, **options, prefetch=prefetch).batches(start, 12))

        assert len(resumed) == 12 - start
        for one, other in zip(undisturbed[start:], resumed, strict=True):
            assert_same(one, other)


def test_augmentation_differs_by_step_and_by_seed():
    def draw(images, rng):
        return np.broadcast_to(rng.integers(0, 256, (1, 4, 4, 3), dtype=np.uint8), images.shape)

    first, second = Loader(numbered(20), 10, seed=0, augment=draw).batches(0, 2)
    (other,) = Loader(numbered(20), 10, seed=1, augment=draw).batches(0, 1)
    assert not np.array_equal(first.images, second.images)
    assert not np.array_equal(first.images, other.images)


def test_the_data_set_is_never_changed():
    dataset = numbered(30)
    before = dataset.images.copy()
    list(Loader(dataset, 7, seed=0, augment=standard(1)).batches(0, 10))
    assert np.array_equal(dataset.images, before)


def test_without_a_stop_it_goes_on_and_nothing_is_made_before_it_is_wanted():
    made = []

    def count(images, rng):
        made.append(len(images))
        return images

    batches = Loader(numbered(10), 5, seed=0, augment=count, prefetch=2).batches()
    assert loader_threads() == []
    assert [next(batches).step for _ in range(9)] == list(range(9))
    time.sleep(0.2)
    # 9 taken, 2 waiting, and 1 that waits for a place.
    assert 9 <= len(made) <= 12
    batches.close()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_behind_the_scenes_reaches_the_loop(prefetch):
    calls = []

    def fail_on_the_third(images, rng):
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError("in the augmentation")
        return images

    loader = Loader(numbered(50), 5, seed=0, augment=fail_on_the_third, prefetch=prefetch)
    seen = []
    with pytest.raises(ZeroDivisionError, match="in the augmentation"):
        for batch in loader.batches():
            seen.append(batch.step)
    assert seen == [0, 1]


def test_the_thread_ends_when_the_iterator_is_closed():
    batches = Loader(numbered(50), 5, seed=0).batches()
    next(batches)
    assert len(loader_threads()) == 1
    began = time.perf_counter()
    batches.close()
    assert time.perf_counter() - began < 1
    assert loader_threads() == []


@pytest.mark.parametrize("way", ["break", "exception", "interrupt"])
def test_the_thread_ends_when_the_loop_is_left(way):
    def leave():
        for batch in Loader(numbered(50), 5, seed=0).batches():
            if batch.step == 3 and way == "break":
                break
            if batch.step == 3 and way == "exception":
                raise RuntimeError
            if batch.step == 3:
                raise KeyboardInterrupt

    try:
        leave()
    except (RuntimeError, KeyboardInterrupt) as error:
        error.__traceback__ = None  # the traceback keeps the loop's frame, and so the iterator, alive
    assert loader_threads() == []


def test_the_interpreter_exits_although_an_iterator_is_open():
    program = (
        "import numpy as np\n"
        "from minivit.data import Dataset, Loader\n"
        "images = np.zeros((9, 4, 4, 3), np.uint8)\n"
        "batches = Loader(Dataset('d', images, np.zeros(9, np.int64), ('a',)), 2, seed=0).batches()\n"
        "next(batches)\n"
        "print('done')\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert finished.stdout.strip() == "done"
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"batch_size": 0}, "batch size must be an integer of 1 or more, not 0"),
        ({"seed": -1}, "seed of a loader must be an integer of 0 or more, not -1"),
        ({"prefetch": -1}, "prefetch must be an integer of 0 or more, not -1"),
        ({"dataset": numbered(0)}, "'numbered' is empty"),
    ],
)
def test_wrong_settings_are_refused(arguments, says):
    with pytest.raises(ConfigError, match=says):
        Loader(**{"dataset": numbered(5), "batch_size": 2, "seed": 0, **arguments})


def test_a_negative_start_is_refused_at_once():
    with pytest.raises(ConfigError, match="not -3"):
        Loader(numbered(5), 2, seed=0).batches(-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": (np.zeros((2, 4, 4, 3), np.uint8), [0, 1])}, "a loader takes a data set, not a tuple: Dataset"),
        ({"augment": "standard"}, r"augment must be a function, such as standard\(\) makes, not 'standard'"),
        ({"augment": standard}, r"augment must be a function of 2 .* makes, not standard: call it first"),
        ({"mix": mixup}, r"mix must be a function of 3 arguments, .*, not mixup: call it first"),
    ],
)
def test_what_a_loader_cannot_use_is_refused_when_it_is_made(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Loader(**{"dataset": numbered(4), "batch_size": 2, "seed": 0, **change})


def test_a_loop_over_the_loader_itself_is_answered_with_the_loop():
    with pytest.raises(ConfigError, match=r"loop over loader\.batches\(stop="):
        next(iter(Loader(numbered(4), 2, seed=0)))
