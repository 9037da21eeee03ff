"""Measurements and pictures of lesson 16: operations beside the two limits of a processor."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from minivit.engine import fused, ops, reference
from minivit.engine.tensor import Tensor, no_grad

from ..display import new_figure

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#7f7f7f"
LARGE = 2**23  # float32 elements of an array that no cache holds: 32 MiB


class Floor(Protocol):
    """The limits of a processor, as `bench.profile.measure_floor` measures them."""

    @property
    def flops(self) -> float:
        """Operations per second in products."""
        ...

    @property
    def copy(self) -> float:
        """Bytes per second, read and written."""
        ...


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
        """Arithmetic for each byte."""
        return self.flops / self.moved

    @property
    def speed(self) -> float:
        """Arithmetic per second."""
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


def roofline(floor: Floor, measured: Sequence[Measured]) -> Any:
    """Draw arithmetic per second against arithmetic per byte, under the limits of memory and processor."""
    figure = new_figure(8.0, 4.8)
    axes = figure.subplots()
    x = np.geomspace(0.06, 600, 200)
    axes.plot(x, np.minimum(x * floor.copy, floor.flops) / 1e9, color="black", linewidth=2)
    ridge = floor.flops / floor.copy
    axes.text(ridge / 9, floor.flops / 1e9 / 3, "memory is the limit", fontsize=9, ha="right")
    axes.text(ridge * 1.3, floor.flops / 1e9 * 1.12, "arithmetic is the limit", fontsize=9, va="bottom")
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
            xytext=(0, 8) if left else (4, -14),  # below a point that may be on the limit
            textcoords="offset points",
            ha="right" if left else "center" if m.intensity > 100 else "left",
            fontsize=9,
        )
        if left:
            before = slow[m.name].speed / 1e9
            arrow = {"arrowstyle": "->", "color": GREY, "shrinkA": 6, "shrinkB": 6}
            axes.annotate("", (m.intensity, m.speed / 1e9), (m.intensity, before), arrowprops=arrow)
    axes.plot([], [], "o", color=BLUE, markersize=8, label="one operation, or fused into one")
    axes.plot([], [], "s", color=ORANGE, markersize=8, label="composed of primitives")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(top=floor.flops / 1e9 * 2.4)
    axes.set_xlabel("arithmetic for each byte that must move (FLOP per byte)")
    axes.set_ylabel("arithmetic per second (GFLOP/s)")
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
