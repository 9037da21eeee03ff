"""Libraries side by side: in turns within one run, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from .contenders import Job
from .process import Contender


@dataclass(frozen=True)
class Measurement:
    """One library at one job.

    Args:
        speed: images/s, the median over the rounds.
        spread: the lower and upper quartile of the same.
        ratio: minivit's speed over this library's, the median of the rounds' ratios.
        ratio_spread: the lower and upper quartile of the same.
        memory: the process's peak resident memory in bytes, if known.
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
        """Plain numbers and names."""
        return asdict(self)


def compare(
    job: Job,
    peers: Sequence[str],
    *,
    rounds: int = 9,
    seconds: float = 2.0,
    advance: Callable[[], object] = lambda: None,
) -> list[Measurement]:
    """Let minivit and `peers` do `job` in turns: A B C, A B C ...

    Args:
        rounds: how many turns each takes.
        seconds: about how long minivit's turn takes; all take the same number of steps.
        advance: called after each turn, for a progress bar.
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
    """The measurements of one job or of several, as a table to print."""
    lines = [
        f"{'model':<16}{'task':<7}{'precision':<10}{'batch':>5}  {'library':<16}{'images/s (quartiles)':>30}"
        f"{'minivit is':>12}{'(quartiles)':>14}{'peak memory':>13}",
    ]
    for m in measurements:
        speed = f"{m.speed:,.1f} ({m.spread[0]:,.1f} to {m.spread[1]:,.1f})"
        ratio = "" if m.library == "minivit" else f"{m.ratio:.2f} x"
        spread = "" if m.library == "minivit" else f"{m.ratio_spread[0]:.2f} to {m.ratio_spread[1]:.2f}"
        memory = "?" if m.memory is None else f"{m.memory / 2**20:,.0f} MB"
        what = f"{m.job.model:<16}{m.job.task:<7}{m.job.precision:<10}{m.job.batch_size:>5}"
        lines.append(f"{what}  {m.library:<16}{speed:>30}{ratio:>12}{spread:>14}{memory:>13}")
    return "\n".join(lines)
