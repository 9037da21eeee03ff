"""In which precision a step computes: float32, or mixed with half precision (arXiv 1710.03740).

Mixed precision computes with a *twin* of the network whose weights are the real ones, rounded. The twin's gradients
change the real weights, which stay float32: an update is often too small to move a number of 11 binary digits (8 in
bfloat16). The other danger is what float16 cannot hold: gradients below 6e-8 vanish. So the loss is multiplied by a
scale before the backward pass, and the sums of the gradients, in float32, are divided by it again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..backend.cublas import multiply_in_tf32
from ..backend.cuda import compute_capability
from ..engine.tensor import Tensor
from ..errors import ConfigError, MissingExtraError
from .flat import parts_of, side_by_side
from .objectives import Objective

HALF = ("float16", "bfloat16")
PRECISIONS = ("float32", "tf32", *HALF)


class Precision:
    """A step that computes with the weights as they are.

    loss, parameters: what `batch_gradients` takes: the objective's loss, and those of its parameters that are trained.
    scale:            what the loss is multiplied by.
    """

    scale = 1.0

    def __init__(self, objective: Objective, trained: Sequence[Tensor]):
        self.loss = objective.loss
        self.parameters = list(trained)

    def refresh(self) -> None:
        """Take over the weights as they are now: before each step."""

    def overflowed(self) -> bool:
        """A gradient became infinite. Returns whether the step can be left out and the next one be tried with less."""
        return False

    def succeeded(self) -> None:
        """A step was taken."""

    def state(self) -> list[float]:
        """What the steps to come depend on, as JSON values."""
        return []

    def load_state(self, state: list[float]) -> None:
        """Take over what `state()` gave."""


class MixedPrecision(Precision):
    """A step that computes with a twin in half precision.

    The scale is halved whenever a gradient overflows, and doubled after `PATIENCE` good steps. It is a power of two, so
    that dividing by it changes no digit. bfloat16 has float32's range: its scale stays 1.

    Args:
        dtype: float16 or bfloat16.
    """

    PATIENCE = 2_000
    LEAST, MOST = 2.0**-10, 2.0**24

    def __init__(self, objective: Objective, trained: Sequence[Tensor], dtype: np.dtype):
        twin = copy.copy(objective)
        network = copy.deepcopy(objective.network)
        vars(twin)["network"] = network
        self.pairs = list(zip(network.parameters(), objective.network.parameters(), strict=True))
        weights = [real.data for _, real in self.pairs]
        with rounding():
            self.flat = side_by_side(weights).astype(dtype)  # all weights of the twin
        for (mine, _), part in zip(self.pairs, parts_of(self.flat, weights), strict=True):
            mine.data = part
        twins = {id(real): mine for mine, real in self.pairs}
        super().__init__(twin, [twins[id(parameter)] for parameter in trained])
        self.adapts = dtype == np.float16
        self.scale = 2.0**16 if self.adapts else 1.0
        self.good = 0  # steps since the scale last changed

    def refresh(self) -> None:
        """As in `Precision`: each weight is rounded, all at once, since on a GPU each would be a launch."""
        with rounding():
            self.flat[...] = side_by_side([real.data for _, real in self.pairs])

    def overflowed(self) -> bool:
        """As in `Precision`."""
        self.scale, self.good = self.scale / 2, 0
        return self.adapts and self.scale >= self.LEAST

    def succeeded(self) -> None:
        """As in `Precision`."""
        self.good += 1
        if self.adapts and self.good >= self.PATIENCE:
            self.scale, self.good = min(self.scale * 2, self.MOST), 0

    def state(self) -> list[float]:
        """The scale, and the good steps since it changed."""
        return [self.scale, self.good]

    def load_state(self, state: list[float]) -> None:
        """As in `Precision`."""
        self.scale, self.good = state[0], int(state[1])


def precision(name: str, device: str, objective: Objective, trained: Sequence[Tensor]) -> Precision:
    """The precision of that name, for an objective of whose parameters some are trained.

    Raises:
        ConfigError: for "tf32" without a GPU, and for "tf32" and "bfloat16" with one that does not know them.
        MissingExtraError: for "bfloat16" without `ml_dtypes`, which brings the type to NumPy and CuPy.
    """
    check_precision(name, device)
    if device != "cpu":
        # TF32 has float16's digits: for mixed precision, attention's products lose nothing by it.
        multiply_in_tf32(matrices=name == "tf32", stacks=name != "float32")
    return MixedPrecision(objective, trained, half_type(name)) if name in HALF else Precision(objective, trained)


def check_precision(name: str, device: str) -> None:
    """Raise what `precision` raises for a precision that cannot be had on a device."""
    if name == "tf32" and device == "cpu":
        raise ConfigError("tf32 is a way in which NVIDIA's GPUs multiply: it wants --device cuda")
    if name in HALF:
        half_type(name)
    if name in ("tf32", "bfloat16") and device != "cpu" and (capability := compute_capability(device)) < 80:
        raise ConfigError(
            f"{name} wants a GPU of compute capability 8.0 or more; {device} has {capability // 10}.{capability % 10}: "
            "use float16 or float32"
        )


def half_type(name: str) -> np.dtype:
    """The element type "float16" or "bfloat16". Raises MissingExtraError if the latter is not installed."""
    if name == "float16":
        return np.dtype(np.float16)
    try:
        import ml_dtypes
    except ImportError as error:
        raise MissingExtraError("bfloat16 needs ml_dtypes: pip install 'minivit[bfloat16]'") from error
    return np.dtype(ml_dtypes.bfloat16)


def rounding() -> AbstractContextManager[Any]:
    """Inside the block, too small numbers become 0 and too large ones infinite without a warning; the loss shows it."""
    return np.errstate(under="ignore", over="ignore")


def divide_by(gradients: Sequence[Array], scale: float) -> None:
    """Undo the scale of the loss, in place."""
    if scale != 1.0:
        with rounding():
            for gradient in gradients:
                gradient *= 1.0 / scale
