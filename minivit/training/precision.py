"""In which precision a step computes: float32, or mixed with half precision (arXiv 1710.03740).

Mixed precision computes with a *twin* of the network whose weights are the real ones, rounded. The twin's gradients
change the real weights, which stay float32, since most updates are too small to change a number of 11 binary digits (8
in bfloat16). Float16 has a second limit: gradients below 6e-8 become 0. So the loss is multiplied by a scale before
the backward pass, and the sums of the gradients, in float32, are divided by it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..backend.gpu.cublas import multiply_in_tf32
from ..backend.gpu.cuda import compute_capability
from ..engine.tensor import Tensor
from ..errors import ConfigError, MissingExtraError
from .flat import parts_of, side_by_side
from .objectives import Objective

HALF = ("float16", "bfloat16")
PRECISIONS = ("float32", "tf32", *HALF)


class Precision:
    """How a step computes the loss: with the float32 weights.

    Args:
        objective: what is trained for.
        trained: those of its parameters that are trained.

    Attributes:
        network: the one that computes: the objective's, or its twin.
        loss: the loss of a micro-batch, for `batch_gradients`.
        parameters: whose gradients are computed.
        scale: what the loss is multiplied by.
        adapts: whether `scale` follows the gradients, so that each step needs to know whether they are finite.
    """

    scale = 1.0
    adapts = False

    def __init__(self, objective: Objective, trained: Sequence[Tensor]):
        self.network = objective.network
        self.loss = objective.loss
        self.parameters = list(trained)

    def refresh(self) -> None:
        """Copy the weights as they are now; called before each step."""

    def overflowed(self) -> bool:
        """Note that a gradient became infinite.

        Returns:
            Whether the step can be skipped and the next one be tried with a smaller scale.
        """
        return False

    def succeeded(self) -> None:
        """Note that a step was taken."""

    def state(self) -> list[float]:
        """Return what the steps to come depend on, as JSON values."""
        return []

    def load_state(self, state: list[float]) -> None:
        """Take over what `state()` gave."""


class MixedPrecision(Precision):
    """How a step computes the loss: with a twin of the network in half precision.

    The scale is halved whenever a gradient overflows, and doubled after `PATIENCE` good steps. It is a power of two, so
    that dividing by it changes no digit. bfloat16 has float32's range: its scale stays 1.

    Args:
        objective: what is trained for.
        trained: those of its parameters that are trained.
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
        for (rounded, _), part in zip(self.pairs, parts_of(self.flat, weights), strict=True):
            rounded.data = part
        twins = {id(real): rounded for rounded, real in self.pairs}
        super().__init__(twin, [twins[id(parameter)] for parameter in trained])
        self.adapts = dtype == np.float16
        self.scale = 2.0**16 if self.adapts else 1.0
        self.good = 0  # steps since the scale last changed

    def refresh(self) -> None:
        """Round all weights at once, since on a GPU each would be a launch."""
        with rounding():
            self.flat[...] = side_by_side([real.data for _, real in self.pairs])

    def overflowed(self) -> bool:
        """Halve the scale. Returns whether the next step can be tried with it."""
        self.scale, self.good = self.scale / 2, 0
        return self.adapts and self.scale >= self.LEAST

    def succeeded(self) -> None:
        """Count a good step; after enough of them, double the scale."""
        self.good += 1
        if self.adapts and self.good >= self.PATIENCE:
            self.scale, self.good = min(self.scale * 2, self.MOST), 0

    def state(self) -> list[float]:
        """Return the scale, and the good steps since it changed."""
        return [self.scale, self.good]

    def load_state(self, state: list[float]) -> None:
        """Take over what `state()` gave."""
        self.scale, self.good = state[0], int(state[1])


def precision(name: str, device: str, objective: Objective, trained: Sequence[Tensor]) -> Precision:
    """Return the precision of a name.

    Args:
        name: one of `PRECISIONS`.
        device: where the step computes.
        objective: what is trained for.
        trained: those of its parameters that are trained.

    Raises:
        ConfigError: for "tf32" without a GPU, and for "tf32" and "bfloat16" with one that cannot compute in them.
        MissingExtraError: for "bfloat16" without `ml_dtypes`, which brings the type to NumPy and CuPy.
    """
    check_precision(name, device)
    if device != "cpu":
        # TF32 has as many digits as float16: in mixed precision, attention's products lose nothing by it.
        multiply_in_tf32(matrices=name == "tf32", stacks=name != "float32")
    return MixedPrecision(objective, trained, half_type(name)) if name in HALF else Precision(objective, trained)


def check_precision(name: str, device: str) -> None:
    """Raise what `precision` raises for a precision that a device does not have."""
    if name == "tf32" and device == "cpu":
        raise ConfigError("tf32 is a precision of NVIDIA's GPUs: it needs --device cuda")
    if name in HALF:
        half_type(name)
    if name in ("tf32", "bfloat16") and device != "cpu" and (capability := compute_capability(device)) < 80:
        raise ConfigError(
            f"{name} needs a GPU of compute capability 8.0 or more; {device} has {capability // 10}.{capability % 10}: "
            "use float16 or float32"
        )


def half_type(name: str) -> np.dtype:
    """Return the element type "float16" or "bfloat16".

    Raises:
        MissingExtraError: for "bfloat16" if `ml_dtypes` is not installed.
    """
    if name == "float16":
        return np.dtype(np.float16)
    try:
        import ml_dtypes
    except ImportError as error:
        raise MissingExtraError("bfloat16 needs ml_dtypes: pip install 'minivit[bfloat16]'") from error
    return np.dtype(ml_dtypes.bfloat16)


def rounding() -> AbstractContextManager[Any]:
    """Return a context in which too small numbers become 0, and too large ones infinite, without a warning."""
    return np.errstate(under="ignore", over="ignore")


def divide_by(gradients: Sequence[Array], scale: float) -> None:
    """Divide gradients by the scale of the loss, in place."""
    if scale != 1.0:
        with rounding():
            for gradient in gradients:
                gradient *= 1.0 / scale
