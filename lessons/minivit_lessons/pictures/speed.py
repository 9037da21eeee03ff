"""Measurements and pictures of lesson 16: operations beside the two limits of a processor."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minivit.bench.profile import measure_floor
from minivit.engine import fused, ops, reference
from minivit.engine.tensor import Node, Tensor, no_grad
from minivit.utils.figures import BLUE, ORANGE

from ..display import new_figure

GREY = "#7f7f7f"
LARGE = 2**23  # float32 elements of an array that no cache holds: 32 MiB
# The text of `block_times`, for readers who cannot see it; here, since it answers a question of the lesson.
BLOCK_TIMES_TEXT = (
    "Time against the size of a block: high for blocks of 8 KiB, low in between, and high again for the whole array."
)


@dataclass(frozen=True)
class Roof:
    """The best rates of a processor that were measured.

    Attributes:
        peak: floating-point operations per second.
        bandwidth: bytes per second, read and written.
    """

    peak: float
    bandwidth: float

    def at(self, intensity: np.ndarray) -> np.ndarray:
        """Return the largest possible FLOP/s for an arithmetic intensity in FLOP per byte."""
        return np.minimum(intensity * self.bandwidth, self.peak)


@dataclass(frozen=True)
class Measured:
    """The measurement of one operation.

    Attributes:
        name: the name of the operation.
        flops: the operations that it needs at least; a tanh or exp counts as one.
        moved: the bytes of its inputs and its result, each once.
        seconds: the median time.
        composed: whether it is composed of primitives.
    """

    name: str
    flops: float
    moved: float
    seconds: float
    composed: bool = False

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: operations for each byte."""
        return self.flops / self.moved

    @property
    def speed(self) -> float:
        """Operations per second."""
        return self.flops / self.seconds


def page_faults() -> int:
    """Return the number of page faults of this process so far; 0 if the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def median_seconds(function: Callable[[], Any], repeats: int = 5) -> float:
    """Return the median time of a call in seconds, after one call that does not count."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_ops(elements: int = LARGE) -> list[Measured]:
    """Measure operations of a Vision Transformer on large arrays, on one core, forward and without a tape."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((elements // 64, 64), dtype=np.float32))
    rows = elements // 768 // 8
    wide = Tensor(x.data.reshape(-1)[: rows * 768].reshape(rows, 768))
    weight, bias = Tensor(np.ones(64, np.float32)), Tensor(np.zeros(64, np.float32))
    kernels = {d: Tensor(rng.standard_normal((d, d), dtype=np.float32) * d**-0.5) for d in (64, 768)}
    n = x.size

    def work(name: str, flops: float, moved: float, run: Callable[[], Any], composed: bool = False) -> Measured:
        return Measured(name, flops, 4.0 * moved, median_seconds(run), composed)

    with no_grad(), threadpool_limits(1, user_api="blas"):
        return [
            work("add", n, 3 * n, lambda: ops.add(x, x)),
            work("softmax", 5 * n, 2 * n, lambda: reference.softmax(x), True),
            work("softmax", 5 * n, 2 * n, lambda: fused.softmax(x)),
            work("LayerNorm", 7 * n, 2 * n, lambda: reference.layer_norm(x, weight, bias), True),
            work("LayerNorm", 7 * n, 2 * n, lambda: fused.layer_norm(x, weight, bias)),
            work("GELU", 9 * n, 2 * n, lambda: reference.gelu(x), True),
            work("GELU", 9 * n, 2 * n, lambda: fused.gelu(x)),
            work("linear, D = 64", 2 * n * 64, 2 * n + 64**2, lambda: x @ kernels[64]),
            work("linear, D = 768", 2 * wide.size * 768, 2 * wide.size + 768**2, lambda: wide @ kernels[768]),
        ]


def measure_roof(measured: Sequence[Measured]) -> Roof:
    """Return the best rates of one core: of a copy and a large product (`measure_floor`), and of measured operations.

    A sum of two arrays may move more bytes a second than a copy, and a product of another shape may be faster than a
    square one. With the best of all, no measured operation is above the roof.
    """
    floor = measure_floor(workers=1)
    return Roof(
        max(floor.flops, *(m.speed for m in measured)), max(floor.copy, *(m.moved / m.seconds for m in measured))
    )


def roofline(roof: Roof, measured: Sequence[Measured]) -> Any:
    """Draw operations per second against arithmetic intensity, under the limits of memory and processor."""
    figure = new_figure(8.0, 4.8)
    axes = figure.subplots()
    x = np.geomspace(0.06, 600, 200)
    axes.plot(x, roof.at(x) / 1e9, color="black", linewidth=2)
    corner = roof.peak / roof.bandwidth
    axes.text(corner / 3 * 1.4, roof.peak / 1e9 / 3, "memory is the limit", fontsize=9, va="top")
    axes.text(corner * 1.3, roof.peak / 1e9 * 1.12, "arithmetic is the limit", fontsize=9, va="bottom")
    slow = {m.name: m for m in measured if m.composed}
    for m in measured:
        colour, mark = (ORANGE, "s") if m.composed else (BLUE, "o")
        axes.plot(m.intensity, m.speed / 1e9, mark, color=colour, markersize=8)
        if m.composed:
            continue
        left = m.name in slow
        axes.annotate(
            m.name,
            (m.intensity, m.speed / 1e9),
            xytext=(9, -3) if m.name == "GELU" else (0, 8) if left else (4, -14),  # below a point on the limit
            textcoords="offset points",
            ha="left" if m.name == "GELU" else "right" if left else "center" if m.intensity > 100 else "left",
            fontsize=9,
        )
        if left:
            before = slow[m.name].speed / 1e9
            arrow = {"arrowstyle": "->", "color": GREY, "shrinkA": 6, "shrinkB": 6}
            axes.annotate("", (m.intensity, m.speed / 1e9), (m.intensity, before), arrowprops=arrow)
    axes.plot([], [], "o", color=BLUE, markersize=8, label="one op, or fused into one")
    axes.plot([], [], "s", color=ORANGE, markersize=8, label="composed of primitives")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(top=roof.peak / 1e9 * 2.4)
    axes.set_xlabel("arithmetic intensity (FLOP per byte)")
    axes.set_ylabel("throughput of arithmetic (GFLOP/s)")
    axes.legend(loc="lower right", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def block_times(milliseconds: Mapping[int, float]) -> Any:
    """Draw the time of an element-wise chain against the size of its blocks; the last is the whole array."""
    figure = new_figure(7.4, 3.4)
    axes = figure.subplots()
    blocks, times = list(milliseconds), list(milliseconds.values())
    axes.plot([4 * block / 1024 for block in blocks], times, color=BLUE, marker="o")
    axes.annotate("all at once", (4 * blocks[-1] / 1024, times[-1]), xytext=(-6, 6), textcoords="offset points",
                  ha="right", fontsize=9)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks([4 * block / 1024 for block in blocks], [_bytes(4 * block) for block in blocks], fontsize=8)
    axes.set_ylim(0, max(times) * 1.15)
    axes.set_xlabel("size of a block")
    axes.set_ylabel("time (ms)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def drift(curves: Mapping[str, Sequence[float]]) -> Any:
    """Draw how far weights have drifted apart, by step, on a logarithmic scale."""
    figure = new_figure(7.2, 3.5)
    axes = figure.subplots()
    for (name, values), colour, style in zip(curves.items(), (BLUE, ORANGE, GREY), ("-", "--", ":"), strict=False):
        steps = [step for step, value in enumerate(values, start=1) if value > 0]  # 0 has no logarithm
        axes.plot(steps, [values[step - 1] for step in steps], style, color=colour, linewidth=2, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("largest difference of a weight")
    axes.legend(fontsize=9, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _bytes(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count // 2**10} KiB"


def bytes_on_the_tape(tensor: Tensor) -> int:
    """Return the bytes of all arrays that the tape keeps for the backward pass of a Tensor, without its leaves."""
    arrays: dict[int, int] = {}
    leaves: set[int] = set()
    seen: set[int] = set()
    stack: list[Any] = [tensor._node]
    while stack:
        thing = stack.pop()
        if id(thing) in seen or thing is None:
            continue
        seen.add(id(thing))
        if isinstance(thing, Node):
            stack += [*thing.parents, thing.vjp]
        elif isinstance(thing, Tensor):
            leaves |= {id(_owner(thing.data))}
        elif isinstance(thing, np.ndarray):
            arrays[id(_owner(thing))] = _owner(thing).nbytes
        elif isinstance(thing, tuple | list):
            stack += thing
        elif callable(thing):
            stack += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    return sum(size for key, size in arrays.items() if key not in leaves)


def _owner(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
