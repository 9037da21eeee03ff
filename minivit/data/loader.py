"""The loader: shuffled, augmented and rescaled mini-batches of a data set, prepared in advance by a thread.

The loader has no state. The seed, the epoch and the step determine the images of a batch and their augmentation. A run
that resumes at step 1,234 therefore reads the same batches, bit for bit, as a run that was never interrupted. The
number of the step is all that a checkpoint needs to store.
"""

from __future__ import annotations

import inspect
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import NoReturn, TypeVar

import numpy as np

from ..backend.indexing import count_each
from ..errors import ConfigError
from ..preprocessing import preprocess
from ..utils.integers import integer
from ..utils.text import quoted
from .augment import Augmentation
from .batch import Batch
from .dataset import AnyDataset, ImageFiles
from .mixing import Mixing
from .upload import Uploads

Item = TypeVar("Item")

# One number for each use of the seed, so that no two uses draw the same random numbers.
_ORDER, _AUGMENTATION = 1, 2


class Loader:
    """The mini-batches of a data set, epoch after epoch.

    Each epoch contains every image once, in a new order. The last batch of an epoch holds the remaining images and may
    be smaller. With `repeats` or `balanced`, an epoch has as many steps and as many images, but some of them several
    times.

    Args:
        dataset: the images and labels.
        batch_size: the number of images in a batch.
        seed: determines the order, the augmentation and the mixing.
        augment: a function of the uint8 images of a batch (see `minivit.data.augment`), or None. If the images differ
            in size, it must resize them, for example `resize(224)`.
        mix: a function of the preprocessed images and their labels (see `minivit.data.mixing`), or None.
        mix_until: the number of the run's first steps whose batches are mixed. [default: all]
        repeats: how often each image of an epoch appears in it, one after the other, each time with other random
            numbers (repeated augmentation, arXiv 1901.09335). An epoch then contains 1 / `repeats` of the images,
            drawn anew in each epoch.
        shuffle: False keeps the order of the data set, for evaluation.
        balanced: True draws each class equally often, see `balanced_order`; the epoch has as many images as without.
        shard: returns this rank's slice of a batch, if several ranks share each batch, from the number of its images
            and its step. Image files outside the slice are not read, and their images are black; everything else is
            unchanged. With `mix`, which may combine any two images, all files are read. [default: all images]
        uploads: copies the batches to a GPU (see `minivit.data.upload`); made for `prefetch` batches. A batch is then
            valid until the next one is requested, and only one call of `batches` may be in use at a time.
        prefetch: the number of batches that a background thread prepares in advance; 0 prepares each batch when it is
            requested, without a thread.

    Raises:
        ConfigError: if the data set is something else or empty, `augment`, `mix` or `shard` is not such a function, the
            batch size or `repeats` is below 1, or the seed, `mix_until` or `prefetch` is negative.
    """

    def __init__(
        self,
        dataset: AnyDataset,
        batch_size: int,
        *,
        seed: int,
        augment: Augmentation | None = None,
        mix: Mixing | None = None,
        mix_until: int | None = None,
        repeats: int = 1,
        shuffle: bool = True,
        balanced: bool = False,
        shard: Callable[[int, int], slice] | None = None,
        uploads: Uploads | None = None,
        prefetch: int = 2,
    ) -> None:
        if not isinstance(dataset, AnyDataset):
            raise ConfigError(
                f"a loader takes a data set, not a {type(dataset).__name__}: Dataset(name, images, labels, classes)"
            )
        _check_function("augment", augment, 2, "standard()")
        _check_function("mix", mix, 3, "mixup(0.2)")
        _check_function("shard", shard, 2, "lambda images, step: slice(0, images // 2)")
        if len(dataset) == 0:
            raise ConfigError(f"there is nothing to load: the data set {dataset.name!r} is empty")

        self.dataset = dataset
        self.batch_size = integer("the batch size", batch_size, 1)
        self.seed = integer("the seed of a loader", seed, 0)
        self.augment = augment
        self.mix = mix
        self.mix_until = None if mix_until is None else integer("the number of steps that are mixed", mix_until, 0)
        self.repeats = integer("the number of repeats", repeats, 1)
        self.shuffle = shuffle
        self.balanced = balanced
        self.shard = shard
        self.uploads = uploads
        self.prefetch = integer("the number of batches to prefetch", prefetch, 0)

    def __iter__(self) -> NoReturn:
        """Raise ConfigError: only `batches` knows where a loop begins and ends."""
        raise ConfigError(
            "a loader has a batch for every step of a run: loop over loader.batches(stop=3 * loader.steps_per_epoch)"
        )

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch; the last one may be smaller."""
        return -(-len(self.dataset) // self.batch_size)

    def permutation(self, epoch: int) -> np.ndarray:
        """Return the order of the images in an epoch, counted from 0: int64 (N,)."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        rng = np.random.default_rng([self.seed, _ORDER, epoch])
        return balanced_order(self.dataset.labels, rng) if self.balanced else rng.permutation(len(self.dataset))

    def order(self, epoch: int) -> np.ndarray:
        """Return the images of an epoch in the order of its batches, with their repeats: int64 (N,)."""
        order = self.permutation(epoch)
        return np.repeat(order, self.repeats)[: len(order)]

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Iterate over the batches of the steps `start` to `stop - 1`.

        A loop over them may end early: the background thread ends when the iterator is closed or deleted. An error in
        that thread is raised here.

        Args:
            start: the first step, counted from 0 over the whole run.
            stop: the step after the last one. [default: no end]

        Yields:
            The batch of each step.

        Raises:
            ConfigError: if `start` is negative.
        """
        if start < 0:
            raise ConfigError(f"the first step must be 0 or more, not {start}")
        batches = self._make_batches(start, stop)
        if self.uploads is None:
            return self._ahead(batches)
        return self.uploads.received(self._ahead(self.uploads.sent(batches)))

    def _ahead(self, batches: Iterator[Item]) -> Iterator[Item]:
        return prefetched(batches, self.prefetch) if self.prefetch else batches

    def _make_batches(self, start: int, stop: int | None) -> Iterator[Batch]:
        step = start
        order, order_of = np.empty(0, np.int64), -1  # the order in use, and its epoch

        while stop is None or step < stop:
            epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
            if epoch != order_of:
                order, order_of = self.order(epoch), epoch

            first = step_in_epoch * self.batch_size
            yield self._make_batch(step, epoch, order[first : first + self.batch_size])
            step += 1

    def _make_batch(self, step: int, epoch: int, indices: np.ndarray) -> Batch:
        rng = np.random.default_rng([self.seed, _AUGMENTATION, step])
        mix = self.mix if self.mix_until is None or step < self.mix_until else None
        pixels = self.dataset.images[indices]  # uint8 (B, H, W, C), or B files
        if isinstance(pixels, ImageFiles) and self.shard is not None and mix is None:
            pixels = pixels.only(self.shard(len(indices), step))
        if self.augment is not None:
            pixels = self.augment(pixels, rng)  # uint8 (B, H, W, C)
        if not isinstance(pixels, np.ndarray):
            raise ConfigError(f"the images of {self.dataset.name!r} differ in size: give the loader augment=resize(N)")

        images, labels = self._rescaled(pixels), self.dataset.labels[indices]  # float32 (B, H, W, C), int64 (B,)
        if mix is not None:
            images, labels = mix(images, labels, rng)
        return Batch(step, epoch, images, labels)

    def _rescaled(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels as the network reads them; a data set that a script gave may hold such floats already."""
        stored = self.dataset.images
        prepared = isinstance(stored, np.ndarray) and stored.dtype.kind == "f"
        return pixels if prepared else preprocess(pixels)


def _check_function(name: str, function: object, arguments: int, example: str) -> None:
    """Raise ConfigError unless this is None or can be called with so many arguments.

    Args:
        name: of the loader's argument.
        function: its value.
        arguments: how many it is called with.
        example: a call that returns such a function.
    """
    if function is None:
        return
    found = getattr(function, "__name__", quoted(function))
    if not callable(function):
        raise ConfigError(f"{name} must be a function, such as {example} makes, not {found}")
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError as error:
        raise ConfigError(
            f"{name} must be a function of {arguments} arguments, such as {example} makes, not {found}: call it first"
        ) from error
    except ValueError:
        return  # a function of C says nothing of its arguments


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return as many images as there are labels, in random order; the counts of two classes differ by at most one.

    A class with more images than its share is sampled without replacement. The images of a smaller class are repeated:
    each is drawn as often as any other of its class, or once more. Classes without images are left out.

    Args:
        labels: int64 (N,).
        rng: draws the images.

    Returns:
        int64 (N,), their places.
    """
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(count_each(labels, 0))[:-1])
    by_class = [places for places in by_class if len(places)]
    shares = np.full(len(by_class), len(labels) // len(by_class))
    shares[rng.permutation(len(by_class))[: len(labels) % len(by_class)]] += 1
    drawn = [
        np.concatenate([rng.permutation(places) for _ in range(-(-share // len(places)))])[:share]
        for places, share in zip(by_class, shares, strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def prefetched(batches: Iterator[Item], ahead: int) -> Generator[Item, None, None]:
    """Iterate over the same batches, prepared by a background thread up to `ahead` batches in advance.

    The thread starts when the first batch is requested, and ends with the iterator. Where no thread can start (a
    browser), each batch is prepared when it is requested.

    Args:
        batches: the batches to prepare.
        ahead: the largest number of finished batches that wait.

    Yields:
        Each of the batches.
    """
    # Three kinds of messages go through the queue: a batch, the error that ended the thread, None at the end.
    waiting: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=ahead)
    closing = threading.Event()

    def put(message: Item | BaseException | None) -> None:
        # Never wait without a timeout: the consumer may have stopped, and then a full queue stays full.
        while not closing.is_set():
            try:
                waiting.put(message, timeout=0.05)
                return
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for batch in batches:
                put(batch)
                if closing.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    # A daemon thread, so that the interpreter can exit while an iterator is open.
    thread = threading.Thread(target=produce, name="minivit-loader", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        yield from batches
        return
    try:
        while (message := waiting.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            yield message
    finally:
        closing.set()
        if not sys.is_finalizing():  # else the thread is frozen, and the wait would never end
            thread.join()
