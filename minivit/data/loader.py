"""From a data set to batches: shuffled, augmented, rescaled, and ready before they are asked for.

Nothing here remembers anything. Which images are in a batch follows from the seed, the epoch and the step,
and so does their augmentation; a run that starts at step 1,234 sees the batches that an undisturbed
one sees from there on, to the last bit. Resuming needs no saved random state: the step is enough.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from ..errors import ConfigError
from ..preprocessing import preprocess
from ..utils.integers import integer
from .augment import Augmentation
from .batch import Batch
from .dataset import AnyDataset, ImageFiles
from .mixing import Mixing
from .upload import Uploads

Item = TypeVar("Item")

# Every use of the seed has a number of its own, so that no two draw from the same stream.
_ORDER, _AUGMENTATION = 1, 2


class Loader:
    """The batches of a data set, epoch after epoch.

    Each epoch shows every image once, in a new order; its last batch holds what is left, and may be short.

    seed:     decides the order, the augmentation and the mixing.
    augment:  what to do to the uint8 images of a batch, or None; see minivit.data.augment. Where the data set's
              images have sizes of their own, it must bring them to one: `resize(224)` at the least.
    mix:      what to make of the preprocessed images and their labels, or None; see minivit.data.mixing.
    shuffle:  False keeps the order of the data set: for evaluation, as does augment=None.
    part:     the slice of a batch of so many images that is wanted here, where several processes share each batch. The
              other images, if they are in files, are not read, and black; all else is as it is without. None, or with
              `mix`, which may take an image into any other: all are wanted.
    uploads:  the way to a GPU, if the batches shall be there, made for as many batches ahead as `prefetch` (see
              minivit.data.upload). A batch then lasts until the next one is asked for, and the batches of one call
              alone may be under way.
    prefetch: how many finished batches may wait. They are made by a thread of their own while the
              network is busy; 0 makes each one when it is asked for, without a thread.

    Raises ConfigError for an empty data set, a batch size below 1, or a negative seed or prefetch.
    """

    def __init__(
        self,
        dataset: AnyDataset,
        batch_size: int,
        *,
        seed: int,
        augment: Augmentation | None = None,
        mix: Mixing | None = None,
        shuffle: bool = True,
        part: Callable[[int], slice] | None = None,
        uploads: Uploads | None = None,
        prefetch: int = 2,
    ) -> None:
        if len(dataset) == 0:
            raise ConfigError(f"There is nothing to load: the data set {dataset.name!r} is empty.")

        self.dataset = dataset
        self.batch_size = integer("the batch size", batch_size, 1)
        self.seed = integer("the seed of a loader", seed, 0)
        self.augment = augment
        self.mix = mix
        self.shuffle = shuffle
        self.part = part
        self.uploads = uploads
        self.prefetch = integer("the number of batches to prefetch", prefetch, 0)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches show every image once; the last of them may be short."""
        return -(-len(self.dataset) // self.batch_size)

    def permutation(self, epoch: int) -> np.ndarray:
        """The order of the images in this epoch, counted from 0: int64 (N,)."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        rng = np.random.default_rng([self.seed, _ORDER, epoch])
        return rng.permutation(len(self.dataset))

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """The batches of steps `start` to `stop - 1`; without `stop`, for ever.

        To stop early, leave the loop: the thread behind it ends when the iterator is closed or forgotten.
        Whatever fails while a batch is made is raised here.

        Raises ConfigError if `start` is negative.
        """
        if start < 0:
            raise ConfigError(f"The first step must be 0 or more, not {start}.")
        batches = self._make_batches(start, stop)
        if self.uploads is None:
            return self._ahead(batches)
        return self.uploads.received(self._ahead(self.uploads.sent(batches)))

    def _ahead(self, batches: Iterator[Item]) -> Iterator[Item]:
        return prefetched(batches, self.prefetch) if self.prefetch else batches

    def _make_batches(self, start: int, stop: int | None) -> Iterator[Batch]:
        step = start
        order, order_of = np.empty(0, np.int64), -1  # the permutation in use, and its epoch

        while stop is None or step < stop:
            epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
            if epoch != order_of:
                order, order_of = self.permutation(epoch), epoch

            first = step_in_epoch * self.batch_size
            yield self._make_batch(step, epoch, order[first : first + self.batch_size])
            step += 1

    def _make_batch(self, step: int, epoch: int, indices: np.ndarray) -> Batch:
        rng = np.random.default_rng([self.seed, _AUGMENTATION, step])
        images = self.dataset.images[indices]  # uint8 (B, H, W, C), or B files
        if isinstance(images, ImageFiles) and self.part is not None and self.mix is None:
            images = images.only(self.part(len(indices)))
        if self.augment is not None:
            images = self.augment(images, rng)  # uint8 (B, H, W, C)
        if not isinstance(images, np.ndarray):
            name = self.dataset.name
            raise ConfigError(f"The images of {name!r} have sizes of their own: give the loader augment=resize(N).")

        images, labels = preprocess(images), self.dataset.labels[indices]
        if self.mix is not None:
            images, labels = self.mix(images, labels, rng)
        return Batch(step, epoch, images, labels)


def prefetched(batches: Iterator[Item], ahead: int) -> Iterator[Item]:
    """The same batches, made by a background thread that runs up to `ahead` batches ahead.

    The thread starts with the first batch that is asked for, and ends with the iterator.
    """
    # Three kinds of messages go through the queue: a batch, the error that ended them, None at the end.
    waiting: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=ahead)
    closing = threading.Event()

    def put(message: Item | BaseException | None) -> None:
        # Never wait for ever: the consumer may be gone, and a full queue stays full.
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

    # A daemon, so that the interpreter can exit although an iterator is still open.
    thread = threading.Thread(target=produce, name="minivit-loader", daemon=True)
    thread.start()
    try:
        while (message := waiting.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            yield message
    finally:
        closing.set()
        if not sys.is_finalizing():  # else the thread is frozen already, and waiting would never end
            thread.join()
