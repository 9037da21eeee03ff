"""Copy batches to a GPU while it computes: from pinned memory, on a separate stream."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..backend.gpu.cuda import current_gpu, use_gpu
from .batch import Batch


class Slot:
    """Reused memory for one batch: pinned memory of the processor, and memory of the GPU.

    Attributes:
        cupy: the module.
        main: the stream that computes.
        arrived: an event after which the batch is on the GPU.
        used: an event after which the GPU has finished with the batch, so that it may be overwritten.
        buffers: for each array of a batch, the pinned array and the GPU's array.
    """

    def __init__(self, cupy: Any, main: Any):
        self.cupy, self.main = cupy, main
        self.arrived, self.used = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self.buffers: list[tuple[np.ndarray, Array]] = []

    def send(self, arrays: Iterable[np.ndarray], stream: Any) -> list[Array]:
        """Start to copy the arrays of a batch, and return the GPU's arrays, which may be read after `arrived`."""
        self.arrived.synchronize()  # the copy of the last batch from pinned memory has ended
        stream.wait_event(self.used)
        sent = []
        for place, array in enumerate(arrays):
            pinned, on_gpu = self._buffer(place, array, stream)
            pinned[...] = array
            on_gpu.set(pinned, stream=stream)
            sent.append(on_gpu)
        self.arrived.record(stream)
        return sent

    def _buffer(self, place: int, array: np.ndarray, stream: Any) -> tuple[np.ndarray, Array]:
        """Return pinned memory and GPU memory for an array: those of the last batch if it fits there, or new memory."""
        if place < len(self.buffers):
            pinned, on_gpu = self.buffers[place]
            fits = pinned.dtype == array.dtype and pinned.shape[1:] == array.shape[1:] and len(pinned) >= len(array)
            if fits:
                return pinned[: len(array)], on_gpu[: len(array)]
        pinned = importlib.import_module("cupyx").empty_pinned(array.shape, array.dtype)
        on_gpu = self.cupy.empty(array.shape, array.dtype)
        self.buffers[place : place + 1] = [(pinned, on_gpu)]
        free = self.cupy.cuda.Event(disable_timing=True)  # the GPU may still compute with earlier data in this memory
        free.record(self.main)
        stream.wait_event(free)
        return pinned, on_gpu


class Uploads:
    """Copies batches to the GPU that is current in this thread: `received(on_a_thread(sent(batches)))`.

    From ordinary memory, which the system may move, a batch would be copied only after all earlier work of the GPU, and
    the GPU would then wait for the copy.

    Args:
        ahead: the number of batches that may be sent before the first of them is requested.
    """

    def __init__(self, ahead: int):
        cupy = importlib.import_module("cupy")
        self.gpu = current_gpu()
        self.main, self.stream = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
        self.slots = [Slot(cupy, self.main) for _ in range(ahead + 2)]  # two more: one in use, one being filled

    def sent(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Slot]]:
        """Start to copy each batch, and yield it with the GPU's arrays and its slot."""
        use_gpu(self.gpu)
        for batch, slot in zip(batches, cycle(self.slots), strict=False):
            images, labels = slot.send((batch.images, batch.labels), self.stream)
            yield batch._replace(images=images, labels=labels), slot

    def received(self, sent: Iterator[tuple[Batch, Slot]]) -> Iterator[Batch]:
        """Wait for each copy, and yield the batch, which is valid until the next one is requested."""
        for batch, slot in sent:
            self.main.wait_event(slot.arrived)
            try:
                yield batch
            finally:
                slot.used.record(self.main)
