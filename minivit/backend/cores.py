"""The processor: its name, and the time that a container allows the process inside it."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path, PurePosixPath

import numpy as np

UNITS = {  # names of Linux for what multiplies and adds vectors and matrices
    "avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 in bfloat16", "amx_bf16": "AMX in bfloat16",
    "asimd": "NEON", "sve": "SVE", "bf16": "NEON in bfloat16", "sme": "SME",
}  # fmt: skip


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
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def processor_units() -> list[str]:
    """Return the processor's instructions for vectors and matrices, such as AVX2; where Linux is not, NumPy's names."""
    flags = (_cpuinfo("flags") or _cpuinfo("Features")).split()  # Features: on ARM
    if flags:
        return [name for flag, name in UNITS.items() if flag in flags]
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return [*simd["baseline"], *simd["found"]]


def _cpuinfo(key: str) -> str:
    """Return what Linux says of the first processor under a key; "" where there is nothing."""
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


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
