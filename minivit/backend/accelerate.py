"""How many threads Apple's Accelerate uses: the BLAS of NumPy's wheels for macOS 14 and newer.

threadpoolctl does not know it. Since macOS 15 it has a setting for each thread, several threads or one:
https://developer.apple.com/documentation/accelerate/blassetthreading(_:). macOS 14 reads the environment variable
VECLIB_MAXIMUM_THREADS at the first product instead; `minivit.__main__` sets it before NumPy is loaded.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Accelerate"
SEVERAL, ONE = 0, 1  # BLAS_THREADING_MULTI_THREADED, BLAS_THREADING_SINGLE_THREADED


def limit_accelerate(threads: int) -> Callable[[], None]:
    """Let Accelerate compute the products of the current thread on one thread or on several.

    Args:
        threads: 1, or more for as many as Accelerate chooses.

    Returns:
        A function that restores the setting from before, to be called in the same thread. It does nothing on other
        systems and before macOS 15.
    """
    if sys.platform != "darwin":
        return _nothing
    try:
        library = ctypes.CDLL(ACCELERATE)
        get, set_ = library.BLASGetThreading, library.BLASSetThreading
    except (OSError, AttributeError):  # before macOS 15
        return _nothing
    before = get()
    set_(ONE if threads == 1 else SEVERAL)
    return lambda: set_(before)


def _nothing() -> None: ...
