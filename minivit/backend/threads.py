"""Settings that threads change at the same time: with a value for each thread, or with one for all of them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

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


class Override:
    """A value that an attribute of some objects has inside `with` blocks; after the last of them, its former one.

    Blocks may overlap in any way, in one thread or in several.

    Args:
        attribute: its name.
        value: what it is inside.
    """

    def __init__(self, attribute: str, value: Any):
        self.attribute, self.value = attribute, value
        self.lock = threading.Lock()
        self.former: weakref.WeakKeyDictionary[Any, tuple[Any, int]] = weakref.WeakKeyDictionary()  # value, open blocks

    @contextmanager
    def of(self, objects: Sequence[Any]) -> Iterator[None]:
        """Inside a `with` block, the attribute of these objects has the value."""
        with self.lock:
            for each in objects:
                former, blocks = self.former.get(each, (getattr(each, self.attribute), 0))
                self.former[each] = former, blocks + 1
                setattr(each, self.attribute, self.value)
        try:
            yield
        finally:
            with self.lock:
                for each in objects:
                    former, blocks = self.former.pop(each)
                    if blocks > 1:
                        self.former[each] = former, blocks - 1
                    else:
                        setattr(each, self.attribute, former)
