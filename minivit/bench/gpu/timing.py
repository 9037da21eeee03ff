"""Time calls on a GPU, which returns from a call before the work is done."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from ...backend.gpu.cuda import wait_for


def milliseconds(function: Callable[[], object], device: str, repeats: int, rounds: int = 3) -> float:
    """Return the time of a call: the median over `rounds` of the mean of `repeats` calls, after one that warms up.

    The calls of a round follow each other without a wait, as in a training step.
    """
    function()
    times = []
    for _ in range(rounds):
        wait_for(device)
        start = time.perf_counter()
        for _ in range(repeats):
            function()
        wait_for(device)
        times.append(1e3 * (time.perf_counter() - start) / repeats)
    return statistics.median(times)


def microseconds_of_launch(function: Callable[[], object], device: str, repeats: int) -> float:
    """Return the processor's time for a call, in microseconds: the mean of `repeats`, the GPU's work not awaited."""
    function()
    wait_for(device)
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    seconds = time.perf_counter() - start
    wait_for(device)
    return 1e6 * seconds / repeats
