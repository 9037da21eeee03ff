"""The hardware and software of a measurement."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from threadpoolctl import threadpool_info

from ..backend.arrays import available_cores
from ..backend.cores import processor_name, processor_units
from ..backend.gpu.cuda import device_name

PACKAGES = ("torch", "onnxruntime", "jax", "cupy-cuda12x", "cupy-cuda13x")
HOLDS = "OPENBLAS_CORETYPE"


def hardware(device: str = "cpu") -> dict[str, object]:
    """Return processor, cores, memory, system and the versions of libraries; for a GPU, also its name.

    `units` are the instructions that matter for products; `blas` names the kernels that NumPy's products run, which
    need not be the best for the processor: `blas_held_to` is what the environment asks for.
    """
    blas = [
        f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', 'unknown')} kernels"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    held_to = os.environ.get(HOLDS)
    return {
        **({} if device == "cpu" else {"gpu": device_name(device)}),
        "processor": processor_name(),
        "units": processor_units(),
        "cores": available_cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": ", ".join(blas),
        **({"blas_held_to": held_to} if held_to else {}),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def hardware_text(found: dict[str, object]) -> str:
    """Return what a comparison should be read with, as lines to print."""
    units = found["units"]
    assert isinstance(units, list)
    libraries = [f"NumPy {found['numpy']} with {found['blas'] or 'unknown products'}"]
    libraries += [f"{name} {found[name]}" for name in PACKAGES if name in found]
    lines = [f"{found['processor']}, {found['cores']} cores: {', '.join(units)}", "; ".join(libraries)]
    if held_to := found.get("blas_held_to"):
        lines.append(f"{HOLDS}={held_to} chooses NumPy's kernels: without it, OpenBLAS would take the processor's own")
    return "\n".join(lines)


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
