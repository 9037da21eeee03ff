"""Single kernels, products and ops on a GPU, in the sizes that ViT-Ti at batch 512 and ViT-B/16 at batch 64 have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import engine
from ...backend.arrays import to_device, to_numpy, xp_of
from ...backend.gpu.cublas import multiply_in_tf32
from ...backend.gpu.cuda import current_gpu, wait_for
from ...backend.gpu.kernels import TYPES, parts_of_rows
from ...backend.precision import wide_type
from ...backend.products import add_parts, add_to_rows, matmul
from ...engine import fused
from ...engine.tensor import Tensor
from ...training import optim
from ...training.precision import HALF, half_type
from .findings import Findings, Settings
from .timing import microseconds_of_launch, milliseconds


@dataclass(frozen=True)
class Sizes:
    """The sizes of the arrays in a training step.

    Attributes:
        batch, tokens, dim, heads, hidden: of the model and its batch.
    """

    batch: int
    tokens: int
    dim: int
    heads: int
    hidden: int

    @property
    def rows(self) -> int:
        """The number of all tokens of a batch."""
        return self.batch * self.tokens


SIZES = [Sizes(512, 65, 192, 3, 768), Sizes(64, 197, 768, 12, 3072)]
TINY_SIZES = [Sizes(2, 3, 6, 3, 8)]
REPEATS, LAUNCHES = 20, 1000


class Bench:
    """The arrays and the clock of the measurements.

    Args:
        settings: the device, and whether all sizes are tiny.
    """

    def __init__(self, settings: Settings):
        self.device, self.tiny = settings.device, settings.tiny
        self.repeats = 1 if settings.tiny else REPEATS
        self.numbers = np.random.default_rng(0).standard_normal(2**20, dtype=np.float32)

    def normal(self, *shape: int, dtype: Any = np.float32) -> Any:
        """Return an array on the GPU of normal random numbers, which repeat after a million."""
        return to_device(np.resize(self.numbers, shape).astype(dtype, copy=False), self.device)

    def ms(self, function: Callable[[], object]) -> float:
        """Return the milliseconds of a call."""
        return milliseconds(function, self.device, self.repeats)

    def rate(self, function: Callable[[], object], moved: int) -> dict[str, float]:
        """Return the milliseconds of a call that reads and writes `moved` bytes, and the GB per second."""
        ms = self.ms(function)
        return {"ms": round(ms, 4), "GB_per_s": round(moved / ms / 1e6, 1)}

    def flops(self, function: Callable[[], object], flops: float) -> dict[str, float]:
        """Return the milliseconds of a call, and the floating-point operations per second in TFLOP/s."""
        ms = self.ms(function)
        return {"ms": round(ms, 4), "TFLOP_per_s": round(flops / ms / 1e9, 2)}


def micro(settings: Settings, findings: Findings) -> None:
    """Measure kernels, products, ops and the cost of a launch."""
    bench = Bench(settings)
    sizes = TINY_SIZES if settings.tiny else SIZES
    findings.measure("copy of 1 GB", lambda: _copy(bench))
    for size in sizes:
        for element in TYPES:
            if element != "float64":  # no precision of training
                kernels(bench, size, element, findings)
    findings.measure("launch", lambda: launch_overhead(bench))
    precisions = [name for name in ("float32", "tf32", *HALF) if findings.has_precision(name, settings.device)]
    for size in sizes:
        for precision in precisions:
            products(bench, size, precision, findings)
    for size in sizes:
        for element in (name for name in precisions if name != "tf32"):  # it has no arrays of another type
            ops(bench, size, element, findings)


def _copy(bench: Bench) -> dict[str, float]:
    source = bench.normal(2**10 if bench.tiny else 2**28)
    target = xp_of(source).empty_like(source)
    return bench.rate(lambda: xp_of(source).copyto(target, source), 2 * source.nbytes)


# -- kernels ------------------------------------------------------------------------------------------


def kernel_calls(bench: Bench, size: Sizes, element: str) -> dict[str, tuple[str, Callable[[], object], int]]:
    """Return for each kernel the shape of its first array, a call, and how many passes over such an array it makes.

    A pass is an array of the first one's size that is read, or one that is written.
    """
    dtype = _type(element)
    wide = wide_type(dtype)

    def normal(*shape: int, dtype: np.dtype = dtype) -> Any:
        return bench.normal(*shape, dtype=dtype)

    tokens, dim, hidden = size.tokens, size.dim, size.hidden
    x, out, kept, before = (normal(size.rows, dim) for _ in range(4))
    w, b, both = normal(dim), normal(dim), normal(2 * dim, 1)
    inverse = normal(size.rows, 1, dtype=wide)
    parts = parts_of_rows(x)
    sums = normal(parts, 2, dim, dtype=wide)
    h, active, slope = (normal(size.rows, hidden) for _ in range(3))
    scores = normal(size.batch, size.heads, tokens, tokens, dtype=wide)
    y, dx = (normal(*scores.shape) for _ in range(2))
    share = y.nbytes / scores.nbytes  # of half precision beside float32
    weights, gradient = (normal(dim * hidden) for _ in range(2))
    mean, square = (normal(dim * hidden, dtype=wide) for _ in range(2))
    square = abs(square)
    shares = parts_of_rows(gradient)
    squares, one = normal(shares, 1, dtype=wide), xp_of(x).ones(1, wide)
    key = (1, 2, 3, 4)
    calls: dict[str, tuple[Any, Callable[[], object], float]] = {
        "softmax_in_place": (scores, lambda: fused.softmax_in_place(scores, 0.125, y), 1 + share),
        "softmax_backward_in_place": (
            scores,
            lambda: fused.softmax_backward_in_place(scores, y, 0.125, dx),
            1 + 2 * share,
        ),
        "normalize": (x, lambda: fused.normalize(x, w, b, 1e-6, out, kept, inverse), 3),
        "normalize_backward": (x, lambda: fused.normalize_backward(x, kept, w, inverse, before, out, sums, parts), 4),
        "add_parts": (sums, lambda: add_parts(both, sums, parts), 1),
        "add_to_rows": (x, lambda: add_to_rows(kept, w, before), 3),
        "gelu_tanh": (h, lambda: fused.gelu_tanh(h, active, slope), 3),
        "gelu_erf": (h, lambda: fused.gelu_erf(h, active, slope), 3),
        "drop": (x, lambda: fused.drop(x, out, *key, 2**31, 2.0), 2),
        "square_sums": (
            gradient,
            lambda: optim.square_sums(squares, gradient, -(-gradient.size // shares), gradient.size),
            1,
        ),
        "shrink_to_norm": (gradient, lambda: optim.shrink_to_norm(gradient, one, 1 - 1e-6), 2),
        "sgd_step": (weights, lambda: optim.sgd_step(weights, gradient, mean, 0.1, 0.9, 0.0), 3 + 2 / share),
        "adam_step": (
            weights,
            lambda: optim.adam_step(weights, gradient, mean, square, 1e-3, 0.9, 0.99, 1e-8, 1.0, 1.0, 0.0),
            3 + 4 / share,
        ),
    }
    return {name: (_shape(array), call, round(passes * array.nbytes)) for name, (array, call, passes) in calls.items()}


def kernels(bench: Bench, size: Sizes, element: str, findings: Findings) -> None:
    """Measure each kernel: milliseconds, and the bytes that it must move divided by them."""
    for name, (shape, call, moved) in kernel_calls(bench, size, element).items():
        findings.measure(f"kernel {name} {shape} {element}", lambda c=call, m=moved: bench.rate(c, m))


# -- products -----------------------------------------------------------------------------------------


def products(bench: Bench, size: Sizes, precision: str, findings: Findings) -> None:
    """Measure the matrix products of a block, and how exact they are."""
    dtype = _type("float32" if precision == "tf32" else precision)
    x, w = bench.normal(size.rows, size.dim, dtype=dtype), bench.normal(size.dim, size.hidden, dtype=dtype)
    q, k = (bench.normal(size.batch, size.heads, size.tokens, size.dim // size.heads, dtype=dtype) for _ in range(2))
    a = bench.normal(size.batch, size.heads, size.tokens, size.tokens, dtype=dtype)
    stack = 2 * size.batch * size.heads * size.tokens**2 * (size.dim // size.heads)
    multiply_in_tf32(matrices=precision == "tf32", stacks=precision == "tf32")
    try:
        for name, left, right, flops in (
            ("x W", x, w, 2 * size.rows * size.dim * size.hidden),
            ("xᵀ dy", x.T, x, 2 * size.rows * size.dim**2),
            ("q kᵀ", q, k.swapaxes(-1, -2), stack),
            ("a v", a, k, stack),
            ("aᵀ dy", a.swapaxes(-1, -2), k, stack),
        ):
            title = f"product {name} {_shape(left)} {_shape(right)} {precision}"
            findings.measure(title, lambda u=left, v=right, f=flops: _product(bench, u, v, f))
    finally:
        multiply_in_tf32(matrices=False, stacks=False)


def _product(bench: Bench, x: Any, y: Any, flops: int) -> dict[str, float]:
    """Return time, speed and the largest error of a product, relative to its largest number."""
    found = bench.flops(lambda: matmul(x, y), flops)
    if x.ndim > 2:  # one matrix of the stack is enough
        x, y = x[0, 0], y[0, 0]
        exact = to_numpy(x).astype(np.float64) @ to_numpy(y)
        product = matmul(x[None, None], y[None, None])[0, 0]
    else:
        x = x[: min(len(x), 256)]
        exact = to_numpy(x).astype(np.float64) @ to_numpy(y)
        product = matmul(x, y)
    error = np.abs(to_numpy(product).astype(np.float64) - exact).max() / np.abs(exact).max()
    return {**found, "relative_error": float(f"{error:.2g}")}


# -- ops ----------------------------------------------------------------------------------------------


def ops(bench: Bench, size: Sizes, element: str, findings: Findings) -> None:
    """Measure each op of a block, forward and backward, as training calls it."""
    dtype = _type(element)

    def tensor(*shape: int) -> Tensor:
        return Tensor(bench.normal(*shape, dtype=dtype), requires_grad=True)

    x, qkv = tensor(size.batch, size.tokens, size.dim), tensor(size.batch, size.tokens, 3 * size.dim)
    hidden, b, w = tensor(size.batch, size.tokens, size.hidden), tensor(size.dim), tensor(size.dim)
    weight, bias = tensor(size.dim, size.hidden), tensor(size.hidden)
    rng = np.random.default_rng(0)
    for name, op, leaves in (
        ("linear", lambda: engine.linear(x, weight, bias), (x, weight, bias)),
        ("layer_norm", lambda: engine.layer_norm(x, w, b), (x, w, b)),
        ("gelu", lambda: engine.gelu(hidden), (hidden,)),
        ("attention", lambda: engine.attention(qkv, size.heads), (qkv,)),
        ("dropout", lambda: engine.dropout(x, 0.1, rng), (x,)),
        ("add", lambda: x + x, (x,)),
    ):
        title = f"op {name} {_shape(leaves[0])} {element}"
        findings.measure(title, lambda o=op, leaves=leaves: _op(bench, o, leaves))


def _op(bench: Bench, op: Callable[[], Tensor], leaves: tuple[Tensor, ...]) -> dict[str, float]:
    gradient = xp_of(leaves[0].data).ones_like(op().data)

    def both() -> None:
        for leaf in leaves:
            leaf.grad = None
        op().backward(gradient)

    return {"forward_ms": round(bench.ms(op), 4), "ms": round(bench.ms(both), 4)}


# -- launches -----------------------------------------------------------------------------------------


def launch_overhead(bench: Bench) -> dict[str, float]:
    """Return the microseconds of the processor's time for a call on next to nothing."""
    x, b, stack = bench.normal(4, 4), bench.normal(4), bench.normal(2, 4, 4)
    weights, mean = bench.normal(16), bench.normal(16)
    square = abs(bench.normal(16))
    xp, here = xp_of(x), np.zeros((4, 4), np.float32)
    many = [bench.normal(64) for _ in range(80)]

    def add() -> None:
        nonlocal x
        x += b

    calls: dict[str, Callable[[], object]] = {
        "empty": lambda: xp.empty((4, 4), np.float32),
        "x += b": add,
        "x + x": lambda: x + x,
        "x @ x": lambda: matmul(x, x),
        "x @ x, stacks": lambda: matmul(stack, stack),
        "softmax_in_place": lambda: fused.softmax_in_place(stack, 1.0, stack),
        "adam_step": lambda: optim.adam_step(weights, mean, mean, square, 0.1, 0.9, 0.99, 1e-8, 1.0, 1.0, 0.0),
        "concatenate 80 arrays": lambda: xp.concatenate(many),
        "current_gpu": current_gpu,
        "to_device, there already": lambda: to_device(x, bench.device),
        "to_device, from the processor": lambda: to_device(here, bench.device),
        "to_numpy, which waits": lambda: to_numpy(x),
        "wait_for": lambda: wait_for(bench.device),
    }
    repeats = 2 if bench.tiny else LAUNCHES
    return {f"{name} (us)": round(microseconds_of_launch(f, bench.device, repeats), 2) for name, f in calls.items()}


def _type(name: str) -> np.dtype:
    return half_type(name) if name in HALF else np.dtype(name)


def _shape(x: Any) -> str:
    return "x".join(map(str, x.shape))
