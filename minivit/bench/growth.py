"""Measure how time and memory of a training step grow with batch, tokens, depth, width and workers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..backend.arrays import available_cores
from ..models.classifier import default_microbatch
from ..models.cost import costs
from ..utils.figures import BLUE, LIGHT, ORANGE, figure_style, new_figure, write_figure
from .contenders import Job
from .process import Contender
from .profile import step_flops

BASE = {"image_size": 32, "patch_size": 4, "dim": 128, "depth": 4, "heads": 4, "mlp_dim": 512}
BASE_BATCH = 64

# The values of each axis; everything else is as in BASE.
AXES: dict[str, Sequence[int]] = {
    "batch": (16, 32, 64, 128, 256),
    "tokens": (16, 64, 256, 576),
    "depth": (1, 2, 4, 8, 16),
    "width": (32, 64, 128, 256, 512),
    "workers": (1, 2, 4, 8),
}


@dataclass(frozen=True)
class Point:
    """The time and memory of one point, measured and predicted.

    Attributes:
        axis, value: the setting that varies, and its value.
        seconds: the time of a training step, the median over the rounds.
        memory: the peak memory of the process in bytes, or None if unknown.
        theory_seconds: the time of the step's matrix products at the speed of the axis' largest point.
        theory_memory: the bytes of weights, gradients and moments, and of the activations of concurrent micro-batches.
    """

    axis: str
    value: int
    seconds: float
    memory: int | None
    theory_seconds: float
    theory_memory: int


def jobs(axis: str) -> list[tuple[int, Job]]:
    """Return the values of an axis, each with its job; values above the number of cores are left out for workers."""
    found = []
    for value in AXES[axis]:
        changes, batch, workers = dict(BASE), BASE_BATCH, available_cores()
        if axis == "batch":
            batch = value
        elif axis == "tokens":  # patches; the class token is one more
            changes["image_size"] = changes["patch_size"] * math.isqrt(value)
        elif axis == "depth":
            changes["depth"] = value
        elif axis == "width":
            changes |= {"dim": value, "heads": value // 32, "mlp_dim": 4 * value}
        elif value <= available_cores():
            workers = value
        else:
            continue
        job = Job(model="ViT-XS_4-CIFAR", task="train", batch_size=batch, workers=workers, changes=changes)
        found.append((value, job))
    return found


def measure_growth(
    axis: str, *, rounds: int = 5, seconds: float = 0.5, advance: Callable[[], object] = lambda: None
) -> list[Point]:
    """Measure a training step at every value of an axis, in turns: A B C, A B C ...

    Args:
        axis: a name in AXES.
        rounds: the number of turns of each value.
        seconds: the approximate duration of a turn.
        advance: called after each turn, for a progress bar.
    """
    planned = jobs(axis)
    times: dict[int, list[float]] = {value: [] for value, _ in planned}
    with ExitStack() as stack:
        contenders = [(value, stack.enter_context(Contender("minivit", job))) for value, job in planned]
        steps = {value: max(1, round(seconds / contender.run(1))) for value, contender in contenders}
        for _ in range(rounds):
            for value, contender in contenders:
                times[value].append(contender.run(steps[value]) / steps[value])
                advance()
        memory = {value: contender.peak_memory() for value, contender in contenders}

    measured = {value: statistics.median(times[value]) for value in times}
    work = {value: _flops_per_worker(job) for value, job in planned}
    pace = measured[planned[-1][0]] / work[planned[-1][0]]
    return [Point(axis, v, measured[v], memory[v], pace * work[v], _theory_memory(job)) for v, job in planned]


def _flops_per_worker(job: Job) -> float:
    return job.batch_size * step_flops(job.build(), job.task) / job.workers


def _theory_memory(job: Job) -> int:
    model = job.build()
    total = costs(model)[-1]
    at_once = min(job.batch_size, job.workers * default_microbatch(model.config, job.batch_size))
    return at_once * total.kept_bytes + 4 * total.weight_bytes


def growth_table(points: Sequence[Point]) -> str:
    """Return the measurements as a table to print."""
    lines = [
        f"{'axis':<9}{'value':>6}{'step (ms)':>12}{'products':>13}{'peak memory':>13}{'arrays':>12}",
    ]
    for p in points:
        memory = "?" if p.memory is None else f"{p.memory / 2**20:,.0f} MB"
        lines.append(
            f"{p.axis:<9}{p.value:>6}{1e3 * p.seconds:>12,.1f}{1e3 * p.theory_seconds:>13,.1f}{memory:>13}"
            f"{p.theory_memory / 2**20:>9,.0f} MB"
        )
    return "\n".join(lines)


@figure_style()
def growth_figure(points: Sequence[Point], path: str | Path) -> None:
    """Write a figure with a column for each axis, time above memory; the dashed lines are predictions."""
    axes_names = list(dict.fromkeys(p.axis for p in points))
    figure = new_figure(2.6 * len(axes_names), 5.2)
    grid = figure.subplots(2, len(axes_names), squeeze=False, sharey="row")
    for column, axis in enumerate(axes_names):
        own = [p for p in points if p.axis == axis]
        values = [p.value for p in own]
        time, memory = grid[0][column], grid[1][column]
        time.loglog(values, [1e3 * p.seconds for p in own], "o-", color=BLUE, label="measured")
        time.loglog(
            values, [1e3 * p.theory_seconds for p in own], "--", color=LIGHT.faint, label="matrix products only"
        )
        memory.loglog(values, [(p.memory or math.nan) / 2**20 for p in own], "s-", color=ORANGE, label="measured")
        theory = [p.theory_memory / 2**20 for p in own]
        memory.loglog(values, theory, "--", color=LIGHT.faint, label="arrays only")
        for plot in (time, memory):
            plot.set_xticks(values, [str(v) for v in values])
            plot.minorticks_off()
        memory.set_xlabel(axis)
    grid[0][0].set_ylabel("training step (ms)")
    grid[1][0].set_ylabel("peak memory (MB)")
    for row in grid:
        row[0].legend()
        low, high = row[0].get_ylim()
        ticks = [t * 10**power for power in range(7) for t in (1, 2, 5) if low <= t * 10**power <= high]
        row[0].set_yticks(ticks, [f"{t:,}" for t in ticks])
    write_figure(figure, path)
