"""One batch on several threads, and on several processes: many gradients become one, in a fixed order.

A batch is cut into micro-batches whose size does not depend on the number of workers, and their gradients are added
first to last, so 1, 2 or 8 workers give the same bits. Where several processes (ranks) train together, each does so
with its shard of the batch, and an all-reduce adds up their sums.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from ...backend.arrays import Array, plain_numbers, xp_of
from ...backend.gpu.cuda import current_gpu, use_gpu
from ...backend.workers import Workers, micro_batches
from ...engine.tensor import Tensor, no_grad, value_and_stream
from ...errors import ConfigError
from ...images.decoding import Images
from ...utils.aliases import old_names
from ..flat import parts_of
from ..objectives import Objective, Outcome
from .ranks import ALONE, Ranks

LossOf = Callable[[Array, Array, np.random.Generator], Outcome]
# The size of a message in bytes, see `bucket_bytes`: small enough that the first is sent early. In a ring each rank
# sends a part of it, which would take longer to announce than to send if it were much smaller.
BUCKET_BYTES, BUCKET_BYTES_A_RANK = 4 * 2**20, 2**19


@dataclass
class BatchResult:
    """What one batch gave.

    Attributes:
        loss: the mean over the batch; an array of one element if it was not read from a GPU.
        right: how many of the answers were right; as `loss`.
        answers: how many predictions are counted.
        gradients: of the mean loss, one array for each parameter.
    """

    loss: float | Array
    right: int | Array
    answers: int
    gradients: list[Array]


@dataclass
class Bucket:
    """The gradients of some neighbouring parameters in one flat array, sent as one message.

    Attributes:
        parameters: their places in the list of all parameters.
        flat: (n,).
        full: set once all gradients are in the array.
        missing: how many parameters' sums are not complete yet.
    """

    parameters: list[int]
    flat: Array
    full: threading.Event = field(default_factory=threading.Event)
    missing: int = 0


def bucket_bytes(ranks: int, device: str = "cpu") -> float:
    """Return the size of a bucket in bytes: a few MB, so that the first ones are sent early.

    In a ring of ranks each message is one rank's part of a bucket: parts much below half a MB would take longer to
    announce than to send. A GPU that trains alone has all gradients in one bucket, to scale and measure them at once.

    Args:
        ranks: how many ranks share each bucket.
        device: where they compute.
    """
    if ranks == 1 and device != "cpu":
        return math.inf
    return max(BUCKET_BYTES, ranks * BUCKET_BYTES_A_RANK)


class GradientSums:
    """The gradients of a batch, added up while micro-batches finish in any order, on any thread.

    The gradients of each parameter are added from the first micro-batch to the last, whichever comes first. The first
    buckets hold the last layers, since the backward pass begins with them.

    Args:
        parameters: whose gradients; the sums have their shapes and types.
        bucket_bytes: a bucket is closed once it holds this much.
        order: the places of all parameters in the order in which their gradients are stored. [default: from the last]

    Raises:
        ConfigError: if a parameter is given twice.
    """

    def __init__(
        self, parameters: Sequence[Tensor], bucket_bytes: float = BUCKET_BYTES, order: Sequence[int] | None = None
    ):
        if len({id(parameter) for parameter in parameters}) < len(parameters):
            raise ConfigError("a parameter is in the list twice: pass model.parameters(), where each is once")
        self.sums: list[Array] = [None] * len(parameters)  # views of the buckets
        self.buckets: list[Bucket] = []
        self.bucket_of: dict[int, Bucket] = {}
        group: list[int] = []
        order = list(order or reversed(range(len(parameters))))
        for place in order:
            group.append(place)
            if sum(parameters[i].data.nbytes for i in group) >= bucket_bytes or place == order[-1]:
                self._close(group, parameters)
                group = []
        self.locks = [threading.Lock() for _ in parameters]
        self.lock = threading.Lock()

    @property
    def flat(self) -> list[Array]:
        """All gradients as a few long arrays, to be scaled or measured at once."""
        return [bucket.flat for bucket in self.buckets]

    def _close(self, group: list[int], parameters: Sequence[Tensor]) -> None:
        like = [parameters[place].data for place in group]
        flat = xp_of(like[0]).empty(sum(array.size for array in like), like[0].dtype)
        bucket = Bucket(group, flat)
        self.buckets.append(bucket)
        for place, part in zip(group, parts_of(flat, like), strict=True):
            self.sums[place] = part
            self.bucket_of[place] = bucket

    def begin(self, microbatches: int) -> None:
        """Forget the last batch; the next one has `microbatches` micro-batches."""
        self.microbatches = microbatches
        self.added = [0] * len(self.sums)  # how many micro-batches' gradients are in each sum
        self.waiting: list[dict[int, Array | None]] = [{} for _ in self.sums]  # gradients that came before their turn
        for bucket in self.buckets:
            bucket.missing = len(bucket.parameters)
            bucket.full.clear()
        if not microbatches:
            for place in range(len(self.sums)):
                self.sums[place][...] = 0.0
                self._complete(place)

    def add(self, number: int, place: int, gradient: Array | None) -> None:
        """Add the gradient of one parameter in one micro-batch.

        Args:
            number: of the micro-batch, from 0.
            place: of the parameter in the list of all.
            gradient: in the parameter's shape; None if the loss does not use the parameter.
        """
        if self.microbatches == 1:
            self.waiting[place][number] = gradient  # for the rest of its bucket
            self._complete(place)
            return
        with self.locks[place]:
            waiting, total = self.waiting[place], self.sums[place]
            waiting[number] = gradient
            while (following := self.added[place]) in waiting:
                gradient = waiting.pop(following)
                if following == 0:
                    total[...] = 0.0 if gradient is None else gradient
                elif gradient is not None:
                    total += gradient
                self.added[place] += 1
            complete = self.added[place] == self.microbatches
        if complete:
            self._complete(place)

    def _complete(self, place: int) -> None:
        bucket = self.bucket_of[place]
        with self.lock:
            bucket.missing -= 1
            if not bucket.missing:
                if self.microbatches == 1:
                    self._join(bucket)
                bucket.full.set()

    def _join(self, bucket: Bucket) -> None:
        """Copy the gradients of a bucket into it, at once: on a GPU, a copy of each would be a launch."""
        xp = xp_of(bucket.flat)
        gradients = [(self.waiting[place].pop(0), self.sums[place]) for place in bucket.parameters]
        flat = [(xp.zeros_like(total) if gradient is None else gradient).reshape(-1) for gradient, total in gradients]
        if flat[0].dtype == bucket.flat.dtype:
            xp.concatenate(flat, out=bucket.flat)
        else:
            bucket.flat[...] = xp.concatenate(flat)  # CuPy joins arrays in one launch if they have one type

    @contextmanager
    def added_up(self, ranks: Ranks) -> Iterator[None]:
        """Inside the block, replace each full bucket by the sum over all ranks (all-reduce), beside the backward pass.

        Another thread sends the buckets in their order, which is the same on every rank. When the block ends, all have
        arrived.
        """
        if ranks.size == 1:
            yield
            return
        failed, gpu = threading.Event(), current_gpu()
        errors: list[BaseException] = []

        def send() -> None:
            try:
                use_gpu(gpu)
                for bucket in self.buckets:
                    bucket.full.wait()
                    if failed.is_set():
                        return
                    ranks.add_up(bucket.flat)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=send, name="minivit-gradients", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            failed.set()
            for bucket in self.buckets:
                bucket.full.set()
            raise
        thread.join()
        if errors:
            raise errors[0]


def batch_gradients(
    loss_of: LossOf,
    parameters: Sequence[Tensor],
    images: Array,
    labels: Array,
    *,
    workers: Workers,
    microbatch: int,
    seed: Sequence[int] = (0,),
    sums: GradientSums | None = None,
    ranks: Ranks = ALONE,
    scale: float = 1.0,
    weight_of: Callable[[Array], float] = len,
    read: bool = True,
) -> BatchResult:
    """Return loss and gradients of one batch, computed micro-batch by micro-batch.

    Args:
        loss_of: an objective's `loss`: takes a micro-batch and a random generator.
        parameters: whose gradients.
        images: (B, H, W, C), the whole batch, on each rank.
        labels: (B,), or (B, K) where an image has shares of several classes.
        workers: the threads.
        microbatch: how many images make one tape. Small ones stay in the cache; a larger one spends less time on
            adding up gradients.
        seed: each micro-batch's generator is seeded with this and the micro-batch's number; dropout draws from it.
        sums: where to add up, kept from batch to batch; the result's gradients are its arrays.
        ranks: with whom to share the batch; all get the same result.
        scale: multiplies the loss before the backward pass, and so the gradients in the sums.
        weight_of: an objective's: takes labels, and returns the weight of their images in the batch's mean loss;
            `loss_of` returns the weighted mean of its micro-batch. [default: all images count alike]
        read: whether to read loss and right answers from a GPU, which waits until it has computed them. Several ranks
            always do.
    """
    sums = sums or GradientSums(parameters)
    slices, own = micro_batches_of_rank(len(images), microbatch, ranks)
    places = {id(parameter): place for place, parameter in enumerate(parameters)}
    whole = weight_of(labels)

    def run(number: int) -> tuple[float | Array, int | Array, int]:
        part = slices[number]
        share = weight_of(labels[part]) / whole
        right: Array | int = 0
        answers = 0
        unused = set(range(len(parameters)))

        def loss() -> Tensor:
            nonlocal right, answers
            rng = np.random.default_rng([*seed, number])
            outcome = loss_of(images[part], labels[part], rng)
            right, answers = outcome.right, outcome.answers
            return outcome.loss * (share * scale)

        def ready(parameter: Tensor, gradient: Array) -> None:
            if (place := places.get(id(parameter))) in unused:  # else it is not trained
                unused.remove(place)
                sums.add(number - own.start, place, gradient)

        # Numbers that overflow show in the loss, which the caller checks.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value = value_and_stream(loss, ready)
        for place in unused:
            sums.add(number - own.start, place, None)
        if not read and ranks.size == 1:
            return value / scale, right, answers
        loss_now, right_now = plain_numbers(value, right)  # a GPU has been told everything by now
        return loss_now / scale, int(right_now), answers

    sums.begin(len(own))
    with sums.added_up(ranks):
        outcomes = list(workers.map(run, own))
    outcomes = [outcome for outcomes in ranks.gather(outcomes) for outcome in outcomes]
    loss, right, answers = (sum(column) for column in zip(*outcomes, strict=True))
    return BatchResult(loss, right, answers, sums.sums)


def micro_batches_of_rank(count: int, microbatch: int, ranks: Ranks) -> tuple[list[slice], range]:
    """Return how a batch is cut.

    Args:
        count: images in the batch.
        microbatch: images in a micro-batch.
        ranks: who share the batch.

    Returns:
        The micro-batches, the same for any number of ranks, and the numbers of this rank's micro-batches.
    """
    slices = micro_batches(count, microbatch)
    return slices, range(len(slices))[ranks.shard(len(slices))]


def own_images(count: int, microbatch: int, ranks: Ranks) -> slice:
    """Return which of a batch's `count` images are in the micro-batches of this rank."""
    slices, own = micro_batches_of_rank(count, microbatch, ranks)
    return slice(slices[own[0]].start, slices[own[-1]].stop) if own else slice(0, 0)


def even_microbatch(microbatch: int, batch_size: int, ranks: Ranks) -> int:
    """Return the smallest micro-batch that cuts each rank's shard of a batch into as many as `microbatch` does."""
    shard = batch_size // ranks.size
    return microbatch if ranks.size == 1 else math.ceil(shard / math.ceil(shard / microbatch))


class EvaluationStopped(Exception):
    """An evaluation that was stopped before its end, on all ranks."""


def evaluate(
    objective: Objective, images: Images, labels: np.ndarray, prepare: Callable[[Images], Array], *,
    workers: Workers, batch_size: int = 100, advance: Callable[[int], object] = lambda count: None,
    ranks: Ranks = ALONE, stop: Callable[[], bool] = lambda: False,
    keep: Callable[[slice, Outcome], object] = lambda part, outcome: None,
) -> tuple[float, float]:  # fmt: skip
    """Return the mean loss and the share of right answers over a data set, with the network in evaluation mode.

    Args:
        objective: what is measured.
        images: (M, H, W, C), or M images of any size, as the data set stores them.
        labels: (M,).
        prepare: turns a batch of stored images into the model's input (B, H, W, C).
        workers: the threads.
        batch_size: images in a batch.
        advance: called with the number of images after each batch, for a progress bar.
        ranks: with whom to share the batches; all get the same result.
        stop: called after each batch; returns whether to stop.
        keep: called by any thread with the place of each batch that this rank measured, and what it gave.

    Raises:
        EvaluationStopped: if `stop` returned True on any rank.
    """
    slices = micro_batches(len(images), batch_size)

    def run(number: int) -> tuple[float, int, int, int]:
        part = slices[number]
        with no_grad():
            outcome = objective.measure(prepare(images[part]), labels[part], number)
            keep(part, outcome)
        count = len(labels[part])
        return outcome.loss.item() * count, int(outcome.right), outcome.answers, count

    counted, stopped = [], False
    with objective.network.evaluating():
        for outcome in workers.map(run, range(len(slices))[ranks.shard(len(slices))]):
            counted.append(outcome)
            advance(outcome[-1])
            if stopped := stop():
                break
    of_all = ranks.gather((counted, stopped))
    if any(stopped for _, stopped in of_all):
        raise EvaluationStopped
    everyone = [outcome for outcomes, _ in of_all for outcome in outcomes]
    loss, right, answers, _ = (sum(column) for column in zip(*everyone, strict=True))
    return loss / len(images), right / max(1, answers)


__getattr__ = old_names(__name__, {"shared_pieces": "micro_batches_of_rank"})
