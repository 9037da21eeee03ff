"""The processor: its name, and the time that a container allows the process inside it."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path, PurePosixPath


def cpu_quota(root: str | os.PathLike[str] = "/") -> float:
    """Return the seconds of processor time that this process may use in a second: the smallest quota of its cgroups.

    Cgroups are nested, and each limits those inside it. Versions 1 and 2 write their quotas differently.

    Args:
        root: the folder that holds `proc` and `sys`.

    Returns:
        The quota; infinite if there is none, or there are no cgroups.
    """
    root = Path(root)
    quotas = [math.inf]
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if number == "0" and not controllers:
            mounts, quota_of = ("", "unified"), _quota_in_version_2
        elif "cpu" in controllers.split(","):
            mounts, quota_of = (controllers, "cpu", "cpu,cpuacct"), _quota_in_version_1
        else:
            continue
        # A container often sees its own cgroup as the root, whatever path the line names.
        for mount in mounts:
            top = root / "sys/fs/cgroup" / mount
            inside = PurePosixPath(place.lstrip("/"))
            quotas += [quota_of(top / folder) for folder in (inside, *inside.parents)]
    return min(quotas)


def processor_name() -> str:
    """Return the processor's name, such as "AMD EPYC 7763 64-Core Processor"; its architecture if nothing says it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _quota_in_version_2(folder: Path) -> float:
    """Read the quota from `cpu.max`: microseconds and their period, or "max" for no limit."""
    return _quota_from(_read(folder / "cpu.max").split())


def _quota_in_version_1(folder: Path) -> float:
    """Read the quota from the two files of version 1; -1 means no limit."""
    return _quota_from([_read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()])


def _quota_from(words: list[str]) -> float:
    if len(words) != 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        return math.inf
    quota, period = map(int, words)
    return quota / period


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
