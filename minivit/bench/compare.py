"""Compare libraries: they take turns, so that other work on the machine slows all of them equally."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from .contenders import Job
from .process import Contender


@dataclass(frozen=True)
class Measurement:
    """The throughput and memory of one library on one job.

    Attributes:
        library, job: what was measured.
        speed: the median throughput over the rounds, in images per second.
        spread: the lower and upper quartile of the throughput.
        ratio: minivit's throughput divided by this library's, the median over the rounds.
        ratio_spread: the lower and upper quartile of the ratio.
        memory: the peak resident memory of the process in bytes, or None if unknown.
        rounds: the throughput of each round, in images per second.
    """

    library: str
    job: Job
    speed: float
    spread: tuple[float, float]
    ratio: float
    ratio_spread: tuple[float, float]
    memory: int | None
    rounds: list[float]

    def as_json(self) -> dict:
        """Return the measurement as values that JSON can store."""
        return asdict(self)


def compare(
    job: Job,
    peers: Sequence[str],
    *,
    rounds: int = 9,
    seconds: float = 2.0,
    advance: Callable[[], object] = lambda: None,
) -> list[Measurement]:
    """Measure minivit and `peers` on a job in turns: A B C, A B C ...

    Args:
        job: the work.
        peers: the other libraries, names of LIBRARIES.
        rounds: the number of turns of each library.
        seconds: the approximate duration of minivit's turn; all libraries take the same number of steps.
        advance: called after each turn, for a progress bar.

    Returns:
        A measurement of minivit, then of each peer.

    Raises:
        BenchmarkError: if the process of a library ends too early.
    """
    libraries = ["minivit", *peers]
    speeds: dict[str, list[float]] = {name: [] for name in libraries}
    with ExitStack() as stack:
        contenders = [stack.enter_context(Contender(name, job)) for name in libraries]
        steps = max(1, round(seconds / contenders[0].run(1)))
        for _ in range(rounds):
            for contender in contenders:
                speeds[contender.library].append(job.batch_size * steps / contender.run(steps))
                advance()
        memory = {contender.library: contender.peak_memory() for contender in contenders}
    return [_measurement(name, job, speeds, memory[name]) for name in libraries]


def _measurement(library: str, job: Job, speeds: dict[str, list[float]], memory: int | None) -> Measurement:
    own = speeds[library]
    ratios = [ours / theirs for ours, theirs in zip(speeds["minivit"], own, strict=True)]
    return Measurement(
        library,
        job,
        statistics.median(own),
        _quartiles(own),
        statistics.median(ratios),
        _quartiles(ratios),
        memory,
        own,
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def comparison_table(measurements: Sequence[Measurement]) -> str:
    """Return the measurements of one or several jobs as a table to print."""
    lines = [
        f"{'model':<16}{'task':<7}{'precision':<10}{'batch':>5}  {'library':<24}{'images/s (quartiles)':>30}"
        f"{'minivit is':>12}{'(quartiles)':>17}{'peak memory':>13}",
    ]
    for m in measurements:
        speed = f"{m.speed:,.1f} ({m.spread[0]:,.1f} to {m.spread[1]:,.1f})"
        ratio = "" if m.library == "minivit" else f"{m.ratio:.2f} x"
        spread = "" if m.library == "minivit" else f"{m.ratio_spread[0]:.2f} to {m.ratio_spread[1]:.2f}"
        memory = "?" if m.memory is None else f"{m.memory / 2**20:,.0f} MB"
        what = f"{m.job.model:<16}{m.job.task:<7}{m.job.precision:<10}{m.job.batch_size:>5}"
        lines.append(f"{what}  {m.library:<24}{speed:>30}{ratio:>12}{spread:>17}{memory:>13}")
    return "\n".join(lines)
