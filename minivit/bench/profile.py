"""Measure the share of time of each op, and the peak rates of the processor, which bound every program."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import numpy as np

from .. import engine
from ..backend.workers import Workers
from ..engine.tensor import Tensor
from ..models import Classifier
from ..models.cost import costs, unread_flops
from .contenders import Job, minivit_work

ENGINE = str(Path(engine.__file__).parent)
SAMPLE_SECONDS = 0.002


@dataclass(frozen=True)
class Floor:
    """The peak rates of the processor on a number of cores, which give a lower bound on the time of a step.

    Attributes:
        flops: floating-point operations per second in products of large float32 matrices.
        copy: bytes per second, read and written, in copies of large arrays.
    """

    flops: float
    copy: float


def measure_floor(workers: int, repeats: int = 7) -> Floor:
    """Measure the peak rates: the best of `repeats` tries on `workers` cores."""
    side, length = 1024, 2**24
    with Workers(workers) as pool:
        rng = np.random.default_rng(0)
        a = rng.standard_normal((side, side), dtype=np.float32)
        outs = [np.empty_like(a) for _ in range(workers)]
        source = np.ones(length, np.float32)
        targets = [np.empty_like(source) for _ in range(workers)]

        def best(function: Callable[[int], object]) -> float:
            times = []
            for _ in range(repeats):
                start = time.perf_counter()
                list(pool.map(function, range(workers)))
                times.append(time.perf_counter() - start)
            return min(times)

        product = best(lambda i: np.matmul(a, a, out=outs[i]))
        copy = best(lambda i: np.copyto(targets[i], source))
    return Floor(workers * 2 * side**3 / product, workers * 2 * source.nbytes / copy)


def time_by_op(job: Job, seconds: float = 5.0) -> dict[str, float]:
    """Measure the share of the threads' time that each op takes, forward (`linear`) and backward (`linear, backward`).

    A separate thread samples the stacks of the working threads every 2 ms; nothing is patched.

    Args:
        job: the work.
        seconds: the duration of the measurement.

    Returns:
        Name of the op -> its share, from 0 to 1, the largest first.
    """
    seen: Counter[str] = Counter()
    with ExitStack() as stack:
        work = minivit_work(job, stack)
        inputs = job.inputs(0)
        work(*inputs)
        done = threading.Event()
        sampler = threading.Thread(target=_sample, args=(seen, done), daemon=True)
        sampler.start()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            work(*inputs)
        done.set()
        sampler.join()
    total = max(1, seen.total())
    return {name: count / total for name, count in seen.most_common()}


def _sample(seen: Counter[str], done: threading.Event) -> None:
    own = threading.get_ident()
    while not done.wait(SAMPLE_SECONDS):
        for thread, frame in sys._current_frames().items():
            if thread != own and (name := _op_of(frame)):
                seen[name] += 1


def _op_of(frame: FrameType | None) -> str | None:
    """Return the innermost op of a stack, or the innermost function of minivit; None if the thread waits for work."""
    inner = frame
    while frame:
        code = frame.f_code
        if _is_op(code):
            name = code.co_qualname.partition(".")[0]
            return f"{name}, backward" if code.co_name == "vjp" else name
        frame = frame.f_back
    while inner:
        name = inner.f_code.co_qualname
        if inner.f_code.co_filename.endswith(("threading.py", "queue.py", "thread.py")):
            return None
        if "minivit" in inner.f_code.co_filename:
            return f"({name})"
        inner = inner.f_back
    return None


def _is_op(code: CodeType) -> bool:
    name = code.co_qualname.partition(".")[0]
    return code.co_filename.startswith(ENGINE) and name in engine.__all__


def engine_overhead(chain: int = 100, repeats: int = 50) -> dict[str, float]:
    """Measure the seconds of one op on a 4 x 4 array, forward and backward: the median over `repeats` chains of ops.

    The computation on so small an array takes almost no time, so this is the overhead of the engine and of NumPy's
    calls.

    Returns:
        Name of the op -> seconds.
    """
    x = Tensor(np.full((4, 4), 0.25, np.float32), requires_grad=True)
    y = Tensor(np.full((4, 4), 0.25, np.float32), requires_grad=True)
    dy = np.ones((4, 4), np.float32)
    tiny: dict[str, Callable[[Tensor], Tensor]] = {
        "add": lambda z: z + y,
        "multiply": lambda z: z * y,
        "matmul": lambda z: z @ y,
        "tanh": lambda z: z.tanh(),
        "reshape": lambda z: z.reshape(4, 4),
    }

    def seconds(op: Callable[[Tensor], Tensor]) -> float:
        start = time.perf_counter()
        z = x
        for _ in range(chain):
            z = op(z)
        z.backward(dy)
        return (time.perf_counter() - start) / chain

    return {name: statistics.median(seconds(op) for _ in range(repeats)) for name, op in tiny.items()}


def step_flops(model: Classifier, task: str) -> int:
    """Return the floating-point operations per image in matrix products; backward takes twice those of forward."""
    return (3 if task == "train" else 1) * (costs(model)[-1].flops - unread_flops(model))


def profile_table(job: Job, shares: dict[str, float], speed: float, floor: Floor) -> str:
    """Return a table of the shares of time, and the measured time per image beside its lower bound."""
    model = job.build()
    total = costs(model)[-1]
    flops = step_flops(model, job.task)
    # A kept number is written at least once and read at least once.
    moved = 2 * total.kept_bytes if job.task == "train" else 0
    lines = [f"{job.model}, {job.task}: share of the threads' time"]
    lines += [f"  {share:6.1%}  {name}" for name, share in shares.items() if share >= 0.005]
    lines += [
        "",
        f"an image takes {1e3 / speed:8.2f} ms",
        f"its products   {1e3 * flops / floor.flops:8.2f} ms at {floor.flops / 1e9:,.0f} GFLOP/s, "
        f"this processor's peak in matrix products ({flops / 1e6:,.0f} MFLOP)",
    ]
    if moved:
        lines.append(
            f"its arrays     {1e3 * moved / floor.copy:8.2f} ms at {floor.copy / 1e9:,.1f} GB/s, this processor's "
            f"copying speed ({moved / 2**20:,.1f} MB kept for backward, written and read once)"
        )
    return "\n".join(lines)
