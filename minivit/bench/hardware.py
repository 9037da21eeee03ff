"""The hardware and software of a measurement."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from threadpoolctl import threadpool_info

from ..backend.arrays import available_cores
from ..backend.cores import processor_name
from ..backend.cuda import device_name


def hardware(device: str = "cpu") -> dict[str, object]:
    """Return processor, cores, memory, system and the versions of libraries; for a GPU, also its name."""
    blas = [f"{pool['internal_api']} {pool['version']}" for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        **({} if device == "cpu" else {"gpu": device_name(device)}),
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": ", ".join(blas),
        **{name: found for name in ("torch", "jax", "cupy-cuda12x", "cupy-cuda13x") if (found := _version(name))},
    }


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
