"""CuPy and its GPUs: find them, or say what to install; copy arrays to them."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from ...errors import ConfigError, MissingExtraError


def find_cupy() -> tuple[ModuleType, int]:
    """Return CuPy and the number of GPUs that it can use.

    Raises:
        ConfigError: if there is no GPU or no driver.
        MissingExtraError: if CuPy is not installed, or was made for another CUDA than the driver.
    """
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        message = "a GPU needs CuPy: pip install 'minivit[cuda13]' for CUDA 13, 'minivit[cuda12]' for CUDA 12"
        raise MissingExtraError(message) from error
    runtime = cupy.cuda.runtime
    try:
        return cupy, runtime.getDeviceCount()
    except RuntimeError as error:
        driver, wanted = runtime.driverGetVersion() // 1000, runtime.runtimeGetVersion() // 1000  # 12090 is CUDA 12.9
        if 12 <= driver < wanted:
            message = (
                f"CuPy is one for CUDA {wanted}, the driver knows CUDA {driver}: pip install 'minivit[cuda{driver}]'"
            )
            raise MissingExtraError(message) from error
        reason = str(error).partition(":")[0]
        message = f"no GPU can be used here ({reason}): install NVIDIA's driver, or leave the device at 'cpu'"
        raise ConfigError(message) from error


def to_cuda(x: Any, device: str) -> Any:
    """Return an array on the GPU "cuda" or "cuda:i"; the same array if it is there already.

    From then on this thread, and the `Workers` that it starts, compute on that GPU: in CuPy each thread has a current
    GPU, which its arrays must be on.

    Raises:
        ConfigError: for another name, or if there is no such GPU.
        MissingExtraError: as `find_cupy`.
    """
    cupy, gpu = find_gpu(device)
    gpu.use()
    return cupy.asarray(x)


def current_gpu() -> int | None:
    """Return the number of the GPU that this thread computes on; None if CuPy is not in use."""
    cupy = sys.modules.get("cupy")
    try:
        return cupy.cuda.Device().id if cupy else None
    except RuntimeError:  # someone imported it where there is no driver
        return None


def use_gpu(number: int | None) -> None:
    """Let this thread compute on GPU `number`; None changes nothing."""
    if number is not None:
        sys.modules["cupy"].cuda.Device(number).use()


def find_gpu(device: str) -> tuple[ModuleType, Any]:
    """Return CuPy and its object for the GPU "cuda" or "cuda:i", or raise the errors of `to_cuda`."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index.isdecimal() or not index):
        raise ConfigError(f"unknown device {device!r}: use 'cpu', 'cuda' or 'cuda:0', 'cuda:1' and so on")
    cupy, count = find_cupy()
    if int(index or 0) >= count:
        raise ConfigError(
            f"there is no device {device!r}: this machine has cuda:0{f' to cuda:{count - 1}' * (count > 1)}"
        )
    return cupy, cupy.cuda.Device(int(index or 0))


def device_memory(device: str) -> int | None:
    """Return the memory of "cpu", "cuda" or "cuda:i" in bytes; None if the system does not say."""
    if device == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    _, gpu = find_gpu(device)
    with gpu:
        return gpu.mem_info[1]


def device_name(device: str) -> str:
    """Return NVIDIA's name for the GPU "cuda" or "cuda:i"."""
    cupy, gpu = find_gpu(device)
    return cupy.cuda.runtime.getDeviceProperties(gpu.id)["name"].decode()


def compute_capability(device: str) -> int:
    """Return the compute capability of "cuda" or "cuda:i", times 10: 75 is Turing, 80 Ampere, 90 Hopper."""
    return int(find_gpu(device)[1].compute_capability)


def wait_for(device: str) -> None:
    """Return when a GPU has finished all work that was launched; at once for "cpu"."""
    if device != "cpu":
        find_gpu(device)[1].synchronize()
