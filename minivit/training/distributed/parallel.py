"""One batch on several threads, and on several processes: many gradients become one, in a fixed order.

A batch is cut into micro-batches whose size does not depend on the number of workers, and their gradients are added
first to last, so 1, 2 or 8 workers give the same bits. Where several processes (ranks) train together, each does so
with its own part of the batch, and their sums are added up.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from ...backend.arrays import Array, xp_of
from ...backend.cuda import current_gpu, use_gpu
from ...backend.workers import Workers, micro_batches
from ...data.image_files import Images
from ...engine.tensor import Tensor, no_grad, value_and_stream
from ...errors import ConfigError
from ..flat import parts_of
from ..objectives import Objective, Outcome
from .ranks import ALONE, Ranks

LossOf = Callable[[Array, Array, np.random.Generator], Outcome]
BUCKET_BYTES, BUCKET_BYTES_A_RANK = 4 * 2**20, 2**19


@dataclass
class BatchResult:
    """What one batch gave: the mean loss, how many answers of how many were right, the gradients of the mean loss."""

    loss: float
    right: int
    answers: int
    gradients: list[Array]


@dataclass
class Bucket:
    """Some neighbouring parameters' gradients in one flat array, so that they travel as one."""

    parameters: list[int]  # their places in the list of all
    flat: Array
    full: threading.Event = field(default_factory=threading.Event)
    missing: int = 0  # how many parameters' sums are not complete yet


def bucket_bytes(ranks: int, device: str = "cpu") -> float:
    """How large a bucket is: a few MB, so that the first ones travel early, and more where many ranks share it. A GPU
    that shares with nobody has all gradients in one, to scale and to measure them at once.

    In a ring each message is one rank's part of a bucket; parts much below half a MB would take longer to announce
    than to send.
    """
    if ranks == 1 and device != "cpu":
        return math.inf
    return max(BUCKET_BYTES, ranks * BUCKET_BYTES_A_RANK)


class GradientSums:
    """The gradients of a batch, added up while micro-batches finish in any order, on any thread.

    Each parameter's are added first to last all the same. A bucket is full as soon as all that belongs into it is
    there: the last layers' buckets are first, since backward begins with them.

    Args:
        parameters: whose gradients; the sums have their shapes and types.
        bucket_bytes: a bucket is closed once it holds this much.
    """

    def __init__(self, parameters: Sequence[Tensor], bucket_bytes: float = BUCKET_BYTES):
        if len({id(parameter) for parameter in parameters}) < len(parameters):
            raise ConfigError("a parameter is in the list twice: pass model.parameters(), where each is once")
        self.sums: list[Array] = [None] * len(parameters)  # views of the buckets
        self.buckets: list[Bucket] = []
        self.bucket_of: dict[int, Bucket] = {}
        group: list[int] = []
        for place in reversed(range(len(parameters))):
            group.append(place)
            if sum(parameters[i].data.nbytes for i in group) >= bucket_bytes or place == 0:
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

    def begin(self, pieces: int) -> None:
        """Forget the last batch; the next one comes in so many micro-batches."""
        self.pieces = pieces
        self.added = [0] * len(self.sums)  # how many micro-batches' gradients are in each sum
        self.waiting: list[dict[int, Array | None]] = [{} for _ in self.sums]  # those that came too early
        for bucket in self.buckets:
            bucket.missing = len(bucket.parameters)
            bucket.full.clear()
        if not pieces:
            for place in range(len(self.sums)):
                self.sums[place][...] = 0.0
                self._complete(place)

    def add(self, piece: int, place: int, gradient: Array | None) -> None:
        """Take in one micro-batch's gradient of one parameter; None for a parameter that its loss does not use."""
        if self.pieces == 1:
            self.waiting[place][piece] = gradient  # for the rest of its bucket
            self._complete(place)
            return
        with self.locks[place]:
            waiting, total = self.waiting[place], self.sums[place]
            waiting[piece] = gradient
            while (number := self.added[place]) in waiting:
                gradient = waiting.pop(number)
                if number == 0:
                    total[...] = 0.0 if gradient is None else gradient
                elif gradient is not None:
                    total += gradient
                self.added[place] += 1
            complete = self.added[place] == self.pieces
        if complete:
            self._complete(place)

    def _complete(self, place: int) -> None:
        bucket = self.bucket_of[place]
        with self.lock:
            bucket.missing -= 1
            if not bucket.missing:
                if self.pieces == 1:
                    self._join(bucket)
                bucket.full.set()

    def _join(self, bucket: Bucket) -> None:
        """Copy what came for a bucket into it: on a GPU few launches, where a copy of each gradient would be many."""
        xp = xp_of(bucket.flat)
        gradients = [(self.waiting[place].pop(0), self.sums[place]) for place in bucket.parameters]
        flat = [(xp.zeros_like(total) if gradient is None else gradient).reshape(-1) for gradient, total in gradients]
        if flat[0].dtype == bucket.flat.dtype:
            xp.concatenate(flat, out=bucket.flat)
        else:
            bucket.flat[...] = xp.concatenate(flat)  # CuPy joins at once what is of one type

    @contextmanager
    def added_up(self, ranks: Ranks) -> Iterator[None]:
        """Inside, each bucket becomes the sum over all ranks once it is full, on a thread beside the backward pass.

        The buckets travel in their order, which is the same on every rank. On leaving, all have arrived.
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
) -> BatchResult:
    """Loss and gradients of one batch, micro-batch by micro-batch.

    Args:
        loss_of: an objective's `loss`: takes a micro-batch and a random generator.
        images, labels: (B, H, W, C), and (B,) or, as shares of the classes, (B, K): the whole batch, on each rank.
        microbatch: how many images make one tape. Small ones stay in the cache; a larger one spends less time on
            adding up gradients.
        seed: each micro-batch's generator is seeded with this and its own number; dropout draws from it.
        sums: where to add up, kept from batch to batch; the result's gradients are its arrays.
        ranks: with whom to share the batch; all get the same result.
        scale: what the gradients are of, in mean losses: the sums are as many times as large.
    """
    sums = sums or GradientSums(parameters)
    pieces, own = shared_pieces(len(images), microbatch, ranks)
    places = {id(parameter): place for place, parameter in enumerate(parameters)}

    def run(number: int) -> tuple[float, int, int]:
        piece = pieces[number]
        share = (piece.stop - piece.start) / len(images)
        right = answers = 0
        unused = set(range(len(parameters)))

        def loss() -> Tensor:
            nonlocal right, answers
            rng = np.random.default_rng([*seed, number])
            outcome = loss_of(images[piece], labels[piece], rng)
            right, answers = outcome.right, outcome.answers
            return outcome.loss * (share * scale)

        def ready(parameter: Tensor, gradient: Array) -> None:
            if (place := places.get(id(parameter))) in unused:  # else it is none of those that are trained
                unused.remove(place)
                sums.add(number - own.start, place, gradient)

        # Numbers that overflow show in the loss; the caller looks at it and says so in one sentence.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value = value_and_stream(loss, ready)
        for place in unused:
            sums.add(number - own.start, place, None)
        return value / scale, right, answers

    sums.begin(len(own))
    with sums.added_up(ranks):
        outcomes = list(workers.map(run, own))
    outcomes = [outcome for outcomes in ranks.gather(outcomes) for outcome in outcomes]
    loss, right, answers = (sum(column) for column in zip(*outcomes, strict=True))
    return BatchResult(loss, right, answers, sums.sums)


def shared_pieces(count: int, microbatch: int, ranks: Ranks) -> tuple[list[slice], range]:
    """The micro-batches of `count` images, the same for any number of ranks, and the numbers of this rank's."""
    pieces = micro_batches(count, microbatch)
    return pieces, range(len(pieces))[ranks.share(len(pieces))]


def own_images(count: int, microbatch: int, ranks: Ranks) -> slice:
    """Which of a batch's `count` images are this rank's: those of its micro-batches."""
    pieces, own = shared_pieces(count, microbatch, ranks)
    return slice(pieces[own[0]].start, pieces[own[-1]].stop) if own else slice(0, 0)


def even_microbatch(microbatch: int, batch_size: int, ranks: Ranks) -> int:
    """Return the smallest micro-batch that cuts each rank's share of a batch into as many pieces as `microbatch`."""
    share = batch_size // ranks.size
    return microbatch if ranks.size == 1 else math.ceil(share / math.ceil(share / microbatch))


class EvaluationStopped(Exception):
    """An evaluation that was stopped before its end, on all ranks."""


def evaluate(
    objective: Objective, images: Images, labels: np.ndarray, prepare: Callable[[Images], Array], *,
    workers: Workers, batch_size: int = 100, advance: Callable[[int], object] = lambda count: None,
    ranks: Ranks = ALONE, stop: Callable[[], bool] = lambda: False,
) -> tuple[float, float]:  # fmt: skip
    """Mean loss and share of right answers over a whole data set, with the network in evaluation mode.

    Args:
        images, labels: (M, H, W, C) or M pictures of any size, as the data set stores them; (M,).
        prepare: turns a batch of stored images into the model's input.
        advance: called with the number of images after each batch, for a progress bar.
        ranks: with whom to share the batches; all get the same result.
        stop: called after each batch; returns whether to stop.

    Raises:
        EvaluationStopped: if `stop` returned True on any rank.
    """
    pieces = micro_batches(len(images), batch_size)

    def run(number: int) -> tuple[float, int, int, int]:
        piece = pieces[number]
        with no_grad():
            outcome = objective.measure(prepare(images[piece]), labels[piece], number)
        count = len(labels[piece])
        return outcome.loss.item() * count, outcome.right, outcome.answers, count

    counted, stopped = [], False
    with objective.network.evaluating():
        for outcome in workers.map(run, range(len(pieces))[ranks.share(len(pieces))]):
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
