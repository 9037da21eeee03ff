"""PyTorch or JAX beside what the learner built, where they are installed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

NAMES = {"torch": "PyTorch", "jax": "JAX"}


def library(module: str) -> Any:
    """Return a library for a comparison; None, with a line that says so, where it is not installed.

    Args:
        module: the name that Python imports, such as "torch".
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        print(
            f"{NAMES.get(module, module)} is not installed here, so nothing is compared. The lesson does not need it."
        )
        return None


def agree(what: str, ours: Any, theirs: Any, tolerance: float = 1e-6) -> None:
    """Print the largest difference between two results.

    Args:
        what: the name of what was computed, such as "layer_norm".
        ours: an array, a number or a Tensor.
        theirs: the same from the other library, an array or one of its tensors.
        tolerance: the largest difference that rounding explains, relative to the largest number.

    Raises:
        AssertionError: if the shapes differ, or the numbers differ by more.
    """
    a, b = _array(ours), _array(theirs)
    if a.shape != b.shape:
        raise AssertionError(f"{what}: the shapes {a.shape} and {b.shape} differ")
    difference = float(np.max(np.abs(a - b), initial=0.0))
    scale = float(np.max(np.abs(b), initial=0.0)) or 1.0
    if not difference <= tolerance * scale:
        raise AssertionError(f"{what}: the numbers differ by {difference:.2g}, more than rounding explains")
    print(
        f"{what}: the same numbers, but for rounding ({difference:.0e})" if difference else f"{what}: the same numbers"
    )


def _array(result: Any) -> np.ndarray:
    data = getattr(result, "data", None)
    if isinstance(data, np.ndarray):  # a Tensor of the lessons or of minivit
        result = data
    elif hasattr(result, "detach"):  # PyTorch's tensor, which may need a gradient
        result = result.detach().numpy()
    return np.asarray(result, dtype=np.float64)
