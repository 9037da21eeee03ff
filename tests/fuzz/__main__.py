"""`python -m tests.fuzz`: so many cases, or so many minutes, over all targets in turn."""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .harness import BAD, MEGABYTES, SECONDS, Outcome, Report, run_case, run_cases
from .targets import TARGETS


def until_interrupted(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """The outcomes up to a Ctrl-C, so that there is a report also then."""
    try:
        yield from outcomes
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)


def main() -> int:
    """Run cases and print the counts; returns 1 if any was not refused or accepted as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, metavar="N", help="run N cases [default: 20000]")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop after N minutes [default: no limit]")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="draw other cases [default: 0]")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="run N processes [default: 2]")
    parser.add_argument(
        "--only", metavar="NAMES", help=f"run these targets, with commas [default: {','.join(TARGETS)}]"
    )
    parser.add_argument("--case", type=int, metavar="NUMBER", help="run one case here and show its traceback")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"unknown targets {', '.join(unknown)}: the known ones are {', '.join(TARGETS)}")

    if options.case is not None:
        with tempfile.TemporaryDirectory() as scratch:
            print(run_case(TARGETS[names[0]](Path(scratch)), options.case, show=True))
        return 0

    report, began = Report(), time.monotonic()
    last = began + 60 * options.minutes if options.minutes else float("inf")
    numbers = itertools.count(10**9 * options.seed)
    drawn = ((name, number) for number in numbers for name in names)
    cases = itertools.takewhile(lambda _: time.monotonic() < last, itertools.islice(drawn, options.cases))
    outcomes = run_cases(cases, options.workers, SECONDS, MEGABYTES)
    for done, outcome in enumerate(until_interrupted(outcomes), 1):
        report.add(outcome)
        if outcome.kind in BAD:
            print(f"{outcome.kind}: {outcome.target} {outcome.number}: {outcome.detail}", file=sys.stderr, flush=True)
        if done % 1000 == 0:
            print(
                f"{done:,} cases, {len(report.bad)} bad, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
            )
    print(report)
    return int(bool(report.bad))


if __name__ == "__main__":
    sys.exit(main())
