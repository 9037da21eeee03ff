"""A setting with a separate value in each thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")


class PerThread(threading.local, Generic[Value]):
    """A value that one thread can change without the others noticing.

    Args:
        value: what every thread starts with.

    Attributes:
        value: what the current thread has now.
    """

    def __init__(self, value: Value):
        self.value = value  # Python calls this once in each thread that uses the object

    @contextmanager
    def set_to(self, value: Value) -> Iterator[None]:
        """Inside a `with` block, this thread has another value; afterwards it has the one from before."""
        before = self.value
        self.value = value
        try:
            yield
        finally:
            self.value = before
