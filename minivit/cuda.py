"""CuPy: whether it is there, and if not, what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import ConfigError, MissingExtraError


def find_cupy() -> tuple[ModuleType, int]:
    """CuPy, and how many GPUs it can use.

    Raises:
        ConfigError: if there is none, or no driver.
        MissingExtraError: if CuPy is not installed, or one for another CUDA than the driver's.
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
        message = f"no GPU can be used here ({reason}): install NVIDIA's driver, or leave --device at 'cpu'"
        raise ConfigError(message) from error
