"""Pools of threads, and what replaces them where no thread can start, such as in a browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any


def threads_can_start() -> bool:
    """Return whether a thread can start here. In a browser none can; elsewhere one takes about 50 µs."""
    probe = threading.Thread(target=int, daemon=True)
    try:
        probe.start()
    except RuntimeError:
        return False
    probe.join()
    return True


class SameThread(Executor):
    """An executor that makes each call at once, in the thread that asks for it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn(*args, **kwargs)` and return a future that holds the result or the error."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: Any) -> Iterator[Any]:
        """Yield the result of each call; a call is made when its result is requested."""
        return map(fn, *iterables)


def thread_pool(count: int, name: str = "", begin: Callable[[], object] | None = None) -> Executor:
    """Return a pool of threads, to be used in a `with` block; where no thread can start, a `SameThread`.

    Args:
        count: the number of threads.
        name: the beginning of the threads' names.
        begin: what each thread calls first.
    """
    return ThreadPoolExecutor(count, name, begin) if threads_can_start() else SameThread()
