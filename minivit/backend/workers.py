"""Several threads, each with its own tape, share a batch, so that every core is busy.

NumPy releases the interpreter lock inside matrix products and element-wise loops, so Python threads run at the same
time. BLAS is limited to one thread meanwhile: more would compete with ours, and could add up in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from ..utils.integers import integer
from ..utils.notices import notice
from .accelerate import limit_accelerate
from .arrays import available_cores
from .gpu.cuda import current_gpu, use_gpu
from .memory import keep_freed_memory
from .pools import thread_pool

MOST_THREADS = 64  # on any machine; on one with more cores, as many as these

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """A pool of threads, used as `with Workers(2) as workers: workers.map(function, items)`.

    Where no thread can start (a browser), the calls run in the caller's thread, with the same results.

    Args:
        count: the number of threads; None for one for each core that this process may use.

    Attributes:
        count: the number of threads.
    """

    def __init__(self, count: int | None = None):
        self.count = available_cores() if count is None else integer("num_threads", count, 1)
        most = max(MOST_THREADS, available_cores())
        if self.count > most:
            notice(f"{self.count:,} threads would wait for each other on {available_cores()} cores: {most} are used")
            self.count = most
        self._pool: Executor | None = None

    def __enter__(self) -> Workers:
        keep_freed_memory()
        self._blas = ThreadpoolController()
        self._one_blas_thread = self._blas.limit(limits=1, user_api="blas")
        self._restore_accelerate = limit_accelerate(1)
        if self.count > 1:
            self._pool = thread_pool(self.count, "minivit-worker", partial(_begin_thread, current_gpu()))
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._restore_accelerate()
        self._one_blas_thread.restore_original_limits()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Give BLAS as many threads as there are workers inside `with workers.together():`, for undivided work."""
        restore_accelerate = limit_accelerate(self.count)
        try:
            with self._blas.limit(limits=self.count, user_api="blas"):
                yield
        finally:
            restore_accelerate()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield `function(item)` for each item, in the items' order; the calls run at the same time."""
        return map(function, items) if self._pool is None else self._pool.map(function, items)


def _begin_thread(gpu: int | None) -> None:
    use_gpu(gpu)
    limit_accelerate(1)


def micro_batches(count: int, size: int) -> list[slice]:
    """Return slices of `size` that cover `count` items; the last may be shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
