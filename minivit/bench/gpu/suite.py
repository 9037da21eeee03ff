"""The tests of a GPU's numbers, run as a part of the report."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...backend.arrays import available_cores
from .findings import Findings, Settings

ROOT = Path(__file__).parents[3]  # of the repository, if minivit is not installed elsewhere
FILES = ("tests/gpu/test_numbers.py", "tests/gpu/test_kernels.py", "tests/gpu/test_products.py")
TINY = ("tests/gpu/test_kernels.py", "-k", "test_every_kernel_has_a_twin or test_a_number_of_any_kind")
MOST_PROCESSES = 12
CHECKED_BY_SANITIZER = "float32 and (normalize or softmax or gelu or drop) and 33"


class Recorder:
    """A plugin of pytest that counts tests as they end."""

    def __init__(self, findings: Findings):
        self.findings = findings
        self.counts: dict[str, int] = {"passed": 0, "failed": 0, "skipped": 0}
        findings.measured["tests"] = self.counts
        findings.measured["failed tests"] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count a test, and keep the end of its message if it fails."""
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1
        if report.outcome == "failed":
            self.findings.measured["failed tests"][report.nodeid] = str(report.longrepr)[-1000:]
        if report.outcome == "failed" or sum(self.counts.values()) % 25 == 0:
            self.findings.save()


def numbers(settings: Settings, findings: Findings) -> None:
    """Compare the numbers of every op, kernel and network with NumPy's, by the tests of the repository."""
    if _cannot_test(findings):
        return
    import pytest

    os.environ["MINIVIT_GPU"] = "1"
    os.environ.setdefault("CUPY_NVRTC_USE_PCH", "1")  # most of the time is the compiler's
    options = ["-o", "addopts=", "-o", "filterwarnings=default", "-p", "no:cacheprovider", "-q", "-rfE"]
    if importlib.util.find_spec("xdist") and not settings.tiny:
        options += ["-n", str(min(MOST_PROCESSES, available_cores())), "--dist", "load"]
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))  # the tests import each other
    recorder = Recorder(findings)
    status = pytest.main([*options, *(TINY if settings.tiny else FILES)], plugins=[recorder])
    findings.measured["exit status of pytest"] = int(status)
    findings.save()


def memcheck(settings: Settings, findings: Findings) -> None:
    """Let NVIDIA's memory checker watch the kernels."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        findings.note("compute-sanitizer is not installed: accesses to memory are not checked")
        return
    if _cannot_test(findings):
        return
    command = [
        program, "--tool", "memcheck", "--error-exitcode", "9", sys.executable, "-m", "pytest", "-o", "addopts=",
        "-o", "filterwarnings=default", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-x", FILES[1], "-k",
        CHECKED_BY_SANITIZER,
    ]  # fmt: skip
    process = subprocess.run(command, cwd=ROOT, env=os.environ | {"MINIVIT_GPU": "1"})
    findings.measure("exit status of compute-sanitizer (9: wrong accesses)", lambda: process.returncode)


def _cannot_test(findings: Findings) -> bool:
    """Return whether the tests or what they need is missing, and note it."""
    missing = [name for name in ("pytest", "hypothesis") if importlib.util.find_spec(name) is None]
    if not (ROOT / FILES[0]).is_file():
        findings.note("the tests are not here: the numerical suite needs a checkout of the repository")
    elif missing:
        findings.note(f"{' and '.join(missing)} must be installed for the numerical suite, which is left out")
    else:
        return False
    return True
