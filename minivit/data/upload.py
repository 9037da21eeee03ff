"""Batches on their way to a GPU while it computes: copied from pinned memory, on a stream of their own."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..backend.cuda import current_gpu, use_gpu
from .batch import Batch


class Slot:
    """Room for one batch, here in pinned memory and on the card, used again and again.

    main:    the stream that computes.
    arrived: an event after which the batch is on the card.
    used:    an event after which the card has computed with it, and it may be overwritten.
    """

    def __init__(self, cupy: Any, main: Any):
        self.cupy, self.main = cupy, main
        self.arrived, self.used = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self.rooms: list[tuple[np.ndarray, Array]] = []

    def send(self, arrays: Iterable[np.ndarray], stream: Any) -> list[Array]:
        """Copy a batch's arrays; returned at once, to be read after `arrived`."""
        self.arrived.synchronize()  # the last batch has left the pinned memory
        stream.wait_event(self.used)
        sent = []
        for place, array in enumerate(arrays):
            pinned, there = self._room(place, array, stream)
            pinned[...] = array
            there.set(pinned, stream=stream)
            sent.append(there)
        self.arrived.record(stream)
        return sent

    def _room(self, place: int, array: np.ndarray, stream: Any) -> tuple[np.ndarray, Array]:
        """Pinned memory and the card's for an array: that of the last batch, or its beginning, or new."""
        if place < len(self.rooms):
            pinned, there = self.rooms[place]
            fits = pinned.dtype == array.dtype and pinned.shape[1:] == array.shape[1:] and len(pinned) >= len(array)
            if fits:
                return pinned[: len(array)], there[: len(array)]
        pinned = importlib.import_module("cupyx").empty_pinned(array.shape, array.dtype)
        there = self.cupy.empty(array.shape, array.dtype)
        self.rooms[place : place + 1] = [(pinned, there)]
        told = self.cupy.cuda.Event(disable_timing=True)  # the card may still compute with what lay there before
        told.record(self.main)
        stream.wait_event(told)
        return pinned, there


class Uploads:
    """The way of batches to the GPU that is current in this thread: `received(on_a_thread(sent(batches)))`.

    Copied from memory that the system may move, a batch would wait for all that the card was told before, and then the
    card for the batch.

    Args:
        ahead: how many batches may be sent before the first of them is asked for.
    """

    def __init__(self, ahead: int):
        cupy = importlib.import_module("cupy")
        self.gpu = current_gpu()
        self.main, self.stream = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
        self.slots = [Slot(cupy, self.main) for _ in range(ahead + 2)]  # one more is being used, and one being made

    def sent(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Slot]]:
        """The batches with arrays of the card, each on its way there."""
        use_gpu(self.gpu)
        for batch, slot in zip(batches, cycle(self.slots), strict=False):
            images, labels = slot.send((batch.images, batch.labels), self.stream)
            yield batch._replace(images=images, labels=labels), slot

    def received(self, sent: Iterator[tuple[Batch, Slot]]) -> Iterator[Batch]:
        """The batches as computation may use them, each until the next one is asked for."""
        for batch, slot in sent:
            self.main.wait_event(slot.arrived)
            try:
                yield batch
            finally:
                slot.used.record(self.main)
