"""The parts of the report; this is also the program of the process that each of them runs in."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .environment import environment
from .findings import Findings, Settings
from .micro import micro
from .profiling import profile
from .speed import compiled, eager
from .suite import memcheck, numbers
from .training import cifar, training


@dataclass(frozen=True)
class Part:
    """A part of the report.

    Attributes:
        title: what it measures.
        seconds: its time limit.
        function: measures it.
    """

    title: str
    seconds: float
    function: Callable[[Settings, Findings], None]


PARTS = {  # in the order in which they run: what decides most comes first
    "environment": Part("the GPU, its driver and the libraries", 120, environment),
    "eager": Part("training steps beside PyTorch", 400, eager),
    "micro": Part("single kernels, products, ops and launches", 180, micro),
    "numbers": Part("the tests of the numbers", 600, numbers),
    "profile": Part("the kernels of a step", 180, profile),
    "training": Part("whole runs, loader and all", 240, training),
    "compiled": Part("training steps beside PyTorch compiled", 600, compiled),
    "memcheck": Part("accesses to memory, checked by compute-sanitizer", 180, memcheck),
    "cifar": Part("CIFAR-10 from scratch", 300, cifar),  # and the minutes that it is given
}


def limit_of(name: str, settings: Settings) -> float:
    """Return the time limit of a part in seconds."""
    return PARTS[name].seconds + (60 * settings.cifar_minutes if name == "cifar" else 0)


def file_of(name: str, folder: str | Path) -> Path:
    """Return the file in which a part writes its findings."""
    return Path(folder) / f"{name}.json"


def command_of(name: str, settings: Settings) -> list[str]:
    """Return the command that runs a part in a process."""
    return [sys.executable, "-W", "default", "-m", "minivit.bench.gpu.parts", name, json.dumps(vars(settings))]


def run_part(name: str, settings: Settings) -> int:
    """Run a part in this process and return the exit status: 1 if a measurement failed."""
    findings = Findings(file_of(name, settings.folder))
    findings.save()
    PARTS[name].function(settings, findings)
    return 1 if findings.failed else 0


def _end_politely(number: int, frame: object) -> None:
    """End as by an error, so that `with` blocks end the processes that they started."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end_politely)
    sys.exit(run_part(sys.argv[1], Settings(**json.loads(sys.argv[2]))))
