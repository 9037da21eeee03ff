"""`python -m minivit.bench.gpu`: measure all parts of the report on a GPU, one after the other."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...backend.gpu.cuda import device_name
from ...errors import ConfigError, MinivitError
from ...utils.console import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_SOME_FAILED, complain, say
from ...utils.files import safe_name
from .findings import Settings
from .limited import FINISHED, GRACE_SECONDS, Outcome, run_limited
from .parts import PARTS, command_of, file_of, limit_of
from .report import REPORT, write_report

LEAST_SECONDS = 5.0  # a part that has less does not begin


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and return the exit status: 2 without a GPU, 1 if a part did not finish."""
    options = _parser().parse_args(arguments)
    try:
        names = _names(options.parts)
        for option in ("minutes", "cifar_minutes"):
            if getattr(options, option) <= 0:
                raise ConfigError(f"--{option.replace('_', '-')} must be above 0, not {getattr(options, option)}")
        card = safe_name(device_name(options.device).replace(" ", "-"))
        folder = Path(options.out) if options.out else Path("results", "gpu", card)
        folder.mkdir(parents=True, exist_ok=True)
    except (MinivitError, OSError) as error:
        complain(f"minivit: error: {error}")
        return EXIT_BAD_INPUT
    settings = Settings(
        folder=str(folder.resolve()), device=options.device, cifar_minutes=options.cifar_minutes,
        data_dir=options.data_dir and str(Path(options.data_dir).resolve()), tiny=options.tiny,
    )  # fmt: skip
    try:
        outcomes = measure_parts(names, settings, 60 * options.minutes)
    except KeyboardInterrupt:
        complain(f"minivit: interrupted; what was measured is in {folder}")
        return EXIT_INTERRUPTED
    say((folder / f"{REPORT}.txt").read_text(encoding="utf-8"))
    say(f"written: {folder / REPORT}.json, {folder / REPORT}.txt")
    return 0 if all(outcome.state == FINISHED for outcome in outcomes.values()) else EXIT_SOME_FAILED


def measure_parts(
    names: Sequence[str], settings: Settings, seconds: float, commands: Mapping[str, Sequence[str]] | None = None,
    grace: float = GRACE_SECONDS,
) -> dict[str, Outcome]:  # fmt: skip
    """Run parts one after the other, and write the report after each.

    Args:
        names: of the parts.
        settings: what to measure.
        seconds: the limit for all of them together.
        commands: name of a part -> another command to run.
        grace: seconds in which a part that is late may end by itself.

    Returns:
        Name of a part -> how it ended.
    """
    end = time.monotonic() + seconds
    folder, outcomes = Path(settings.folder), {}
    for number, name in enumerate(names, 1):
        left = end - time.monotonic()
        limit = min(limit_of(name, settings), left)
        file_of(name, folder).unlink(missing_ok=True)
        if left < LEAST_SECONDS and outcomes:
            outcomes[name] = Outcome("not begun: no time was left", 0.0)
        else:
            say(f"[{number}/{len(names)}] {PARTS[name].title}, at most {limit:.0f} s")
            command = (commands or {}).get(name) or command_of(name, settings)
            outcomes[name] = run_limited(command, limit, folder / f"{name}.log", grace=grace)
            say(f"      {outcomes[name].state} after {outcomes[name].seconds:.0f} s")
        write_report(folder, outcomes)
    return outcomes


def _names(given: str | None) -> list[str]:
    names = list(PARTS) if given is None else list(dict.fromkeys(given.split(",")))
    if unknown := [name for name in names if name not in PARTS]:
        raise ConfigError(f"--parts takes {', '.join(PARTS)}, separated by commas, not {unknown[0]!r}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m minivit.bench.gpu", allow_abbrev=False,
        description="Measure minivit on a GPU: its numbers beside NumPy's, its speed beside PyTorch's. Each part runs "
        "in a process with a time limit, so that one that fails or hangs leaves what the others measured.",
    )  # fmt: skip
    add = parser.add_argument
    add("--device", default="cuda", metavar="NAME", help="measure cuda, or one of several GPUs (cuda:0 ...) [cuda]")
    add("--out", metavar="DIR", help="write to DIR [default: results/gpu/ and the GPU's name]")
    add("--parts", metavar="NAMES", help=f"measure these parts, separated by commas [default: {','.join(PARTS)}]")
    add("--minutes", type=float, default=60.0, metavar="N", help="end after N minutes [default: 60]")
    add("--cifar-minutes", type=float, default=10.0, metavar="N", help="train N minutes on CIFAR-10 [default: 10]")
    add("--data-dir", default="", metavar="DIR", help="read CIFAR-10 from DIR [default: $MINIVIT_DATA or data]")
    add("--tiny", action="store_true", help="measure tiny sizes, to try that every part runs [default: off]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
