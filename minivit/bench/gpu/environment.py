"""What the numbers of a report were measured on."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.arrays import to_device
from ...backend.gpu.cuda import compute_capability, device_memory, device_name, find_cupy, wait_for
from ...engine.fused import softmax_in_place
from ..contenders import torch_with_gpu
from ..hardware import hardware
from .findings import Findings, Settings

SMI_FIELDS = "name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit"


def environment(settings: Settings, findings: Findings) -> None:
    """Note the GPU, its driver and the libraries, and compile the kernels."""
    device = settings.device
    findings.measure("GPU", lambda: gpu(device))
    findings.measure("hardware", lambda: hardware(device))
    findings.measure("PyTorch", lambda: torch_with_gpu() or "computes on a GPU")
    findings.measure("nvidia-smi", lambda: smi(findings))
    findings.measure("first kernel (s)", lambda: round(seconds_of_first_kernel(device), 2))


def gpu(device: str) -> dict[str, Any]:
    """Return the name of a GPU, what it can do, and the versions of CUDA and CuPy."""
    cupy, _ = find_cupy()
    runtime = cupy.cuda.runtime
    return {
        "name": device_name(device),
        "memory_bytes": device_memory(device),
        "compute_capability": compute_capability(device) / 10,
        "cuda_of_driver": _version(runtime.driverGetVersion()),
        "cuda_of_cupy": _version(runtime.runtimeGetVersion()),
        "cupy": cupy.__version__,
    }


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"  # 12090 is CUDA 12.9


def smi(findings: Findings, which: Callable[[str], str | None] = shutil.which) -> dict[str, str]:
    """Return what NVIDIA's own program says of the first GPU: the driver's version, clocks and the limit of power."""
    program = which("nvidia-smi")
    if program is None:
        findings.note("nvidia-smi is not installed: the driver's own version and the clocks are not known")
        return {}
    command = [program, f"--query-gpu={SMI_FIELDS}", "--format=csv,noheader"]
    line = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=30).stdout.splitlines()[0]
    return dict(zip(SMI_FIELDS.split(","), (value.strip() for value in line.split(",")), strict=True))


def seconds_of_first_kernel(device: str) -> float:
    """Return the seconds of the first launch, in which all kernels are compiled, or read from CuPy's cache."""
    x = to_device(np.ones((2, 2), np.float32), device)
    wait_for(device)
    start = time.perf_counter()
    softmax_in_place(x, 1.0, x)
    wait_for(device)
    return time.perf_counter() - start
