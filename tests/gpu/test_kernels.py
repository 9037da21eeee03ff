"""Each kernel for a GPU against the NumPy function of the same name.

Where there is no card, kernels.cu is compiled for the processor: every thread of a launch is then one of the
machine's, and those of a warp wait for each other where the card's would exchange numbers.
"""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from minivit import Tensor
from minivit.backend import products
from minivit.backend.arrays import extremes_are_harmless, to_numpy
from minivit.backend.gpu import kernels
from minivit.backend.gpu.cuda import find_cupy
from minivit.backend.gpu.kernels import KERNELS, LANES, SOURCE, TYPES
from minivit.engine import fused
from minivit.errors import MinivitError
from minivit.training import optim
from tests.gpu import strict_cupy
from tests.gpu.compiled import RawModule

MODULES = (fused, optim, products)  # with the functions that have kernels
REAL = bool(os.environ.get("MINIVIT_GPU"))
SHAPES = [(1, 1), (3, 5), (2, 32), (7, 33), (2, 3, 65), (5, 200)]
ROUNDING = {"float32": 2e-6, "float64": 1e-13}  # relative to the largest number of an array
SPACING = {"float16": 2.0**-10, "bfloat16": 2.0**-7}  # between a number of half precision and the next, relative


@pytest.fixture(params=[32] if REAL else [1, 32], ids="{} lanes".format)
def cupy(request, monkeypatch):
    """CuPy, or its stand-in with as many threads to a warp."""
    if REAL:
        try:
            yield find_cupy()[0]
        except MinivitError as error:
            pytest.fail(f"MINIVIT_GPU is set, and no card works: {error}")
        return
    monkeypatch.setattr(RawModule, "lanes", request.param)
    kernels._kernel.cache_clear()
    with strict_cupy.installed() as module:
        yield module
    kernels._kernel.cache_clear()


def arrays(rng, *shapes):
    return [rng.standard_normal(shape) for shape in shapes]


def gelu_arguments(rng, shape):
    x, out, derivative = arrays(rng, shape, shape, shape)
    return 4 * x, out, derivative


def row_arguments(rng, shape):
    """What `normalize` is given."""
    x, out, normal, w, b = arrays(rng, shape, shape, shape, shape[-1:], shape[-1:])
    return x.reshape(-1, shape[-1]), w, b, 1e-6, *(a.reshape(-1, shape[-1]) for a in (out, normal)), _column(rng, shape)


def backward_row_arguments(rng, shape):
    dy, normal, dx, before = (a.reshape(-1, shape[-1]) for a in arrays(rng, *[shape] * 4))
    parts = min(3, len(dy))
    sums = rng.standard_normal((parts, 2, shape[-1]))
    return dy, normal, rng.standard_normal(shape[-1]), _column(rng, shape), before, dx, sums, parts


def without(arguments, place):
    """The arguments with None at that place."""
    return (*arguments[:place], None, *arguments[place + 1 :])


def parts_arguments(rng, shape):
    parts, size = 1 + shape[0] * 10, int(np.prod(shape[1:]))
    return rng.standard_normal((size, 1)), rng.standard_normal((parts, *shape[1:])), parts


def squares_arguments(rng, shape):
    x = rng.standard_normal(int(np.prod(shape)))
    share = max(1, x.size // 3)
    return rng.standard_normal((-(-x.size // share), 1)), x, share, x.size


def added_row_arguments(rng, shape):
    return arrays(rng, shape, shape[-1:], shape)


def _column(rng, shape):
    return rng.standard_normal((int(np.prod(shape[:-1])), 1))


def step_arguments(rng, shape, slots, *numbers):
    w, g, *state = arrays(rng, *[shape] * (2 + slots))
    return w, g, *(abs(array) for array in state), *numbers


# The arguments of each function, from a generator and a shape; several lists where an option changes what it does.
ARGUMENTS = {
    "softmax_in_place": [
        lambda rng, shape: (30 * rng.standard_normal(shape), 0.125, rng.standard_normal(shape)),
        lambda rng, shape: (1e4 * rng.standard_normal(shape), 1.0, rng.standard_normal(shape)),
    ],
    "softmax_backward_in_place": [lambda rng, shape: (*arrays(rng, shape, shape), 0.25, rng.standard_normal(shape))],
    "normalize": [row_arguments],
    "normalize_backward": [
        backward_row_arguments,
        lambda rng, shape: without(backward_row_arguments(rng, shape), 4),
    ],
    "add_parts": [parts_arguments],
    "square_sums": [squares_arguments],
    "shrink_to_norm": [
        lambda rng, shape: (rng.standard_normal(shape), np.array([6.25]), 1.0),
        lambda rng, shape: (rng.standard_normal(shape), np.array([6.25]), 2.5),
        lambda rng, shape: (rng.standard_normal(shape), np.array([np.inf]), 1.0),
        lambda rng, shape: (rng.standard_normal(shape), np.array([np.nan]), 1.0),
    ],
    "add_to_rows": [
        added_row_arguments,
        lambda rng, shape: without(added_row_arguments(rng, shape), 1),
        lambda rng, shape: without(added_row_arguments(rng, shape), 2),
    ],
    "gelu_tanh": [gelu_arguments, lambda rng, shape: (*gelu_arguments(rng, shape)[:2], None)],
    "gelu_erf": [gelu_arguments, lambda rng, shape: (*gelu_arguments(rng, shape)[:2], None)],
    "drop": [
        lambda rng, shape: (*arrays(rng, shape, shape), 1, 2**32 - 1, 0, 7, 2**31, 2.0),
        lambda rng, shape: (*arrays(rng, shape, shape), 4_000_000_019, 5, 6, 7, 1, 1.0),
    ],
    "sgd_step": [
        lambda rng, shape: step_arguments(rng, shape, 1, 0.1, 0.9, 0.0),
        lambda rng, shape: step_arguments(rng, shape, 1, 0.1, 0.9, 0.3),
    ],
    "adam_step": [
        lambda rng, shape: step_arguments(rng, shape, 2, 0.1, 0.9, 0.99, 1e-8, 1.5, 0.7, 0.0),
        lambda rng, shape: step_arguments(rng, shape, 2, 0.1, 0.9, 0.99, 1e-8, 1.5, 1.0, 0.3),
        lambda rng, shape: step_arguments(rng, shape, 2, 0.1, 0.9, 0.99, 1e-8, 1.5, 0.7, 0.3),
    ],
}
CASES = [(name, i) for name, makers in ARGUMENTS.items() for i in range(len(makers))]


def converted(name, arguments, stored, put=np.asarray):
    """The arguments of a kernel as it takes them: arrays of the type `stored`, some of the type it computes in."""
    wide = np.float32 if stored.itemsize == 2 else stored
    return [
        put(value.astype(wide if argument in KERNELS[name].wide else stored))
        if isinstance(value, np.ndarray)
        else value
        for argument, value in zip(KERNELS[name].arguments, arguments, strict=True)
    ]


@pytest.mark.parametrize(
    "dtype", ["float32", *(pytest.param(other, marks=pytest.mark.slow) for other in ("float64", "float16", "bfloat16"))]
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "which"), CASES)
def test_a_kernel_writes_what_its_twin_writes(cupy, name, which, shape, dtype):
    """In half precision the twin gets the rounded numbers as float32, and its results are rounded once."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    stored = strict_cupy.half_or_wide(dtype)
    function = next(getattr(module, name) for module in MODULES if hasattr(module, name))
    arguments = ARGUMENTS[name][which](np.random.default_rng(0), shape)
    there = converted(name, arguments, stored, cupy.asarray)
    here = converted(name, arguments, stored)
    if stored.itemsize == 2:
        here = converted(name, here, np.dtype(np.float32))
    here = [value.copy() if isinstance(value, np.ndarray) else value for value in here]

    with extremes_are_harmless():
        function.__wrapped__(*here)
    before = strict_cupy.Crossings.launches
    function(*there)

    assert REAL or strict_cupy.Crossings.launches == before + 1
    for argument, mine, other in zip(KERNELS[name].arguments, there, here, strict=True):
        if argument not in KERNELS[name].writes or mine is None:
            continue
        assert isinstance(other, np.ndarray)
        scale = np.abs(other).max() or 1.0
        found, rounding = to_numpy(mine), ROUNDING.get(dtype, ROUNDING["float32"])
        if found.dtype.itemsize == 2:  # a number near the middle of two may be rounded to either
            found = found.astype(np.float32)
            near = np.abs(found - other) <= SPACING[dtype] / 2 * np.abs(other) + 2.0**-25 + 2 * rounding * scale
            assert near.all(), (argument, found[~near], other[~near])
        else:
            np.testing.assert_allclose(found / scale, other / scale, atol=rounding, rtol=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_kernel_reads_and_rounds_every_number_of_half_precision_as_numpy_does(cupy, dtype):
    """Dropout that drops nothing: all 65,536 numbers, and all of them halved, of which some have no exact half."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    values = np.arange(2**16, dtype=np.uint16).view(strict_cupy.half_or_wide(dtype))
    for scale in (1.0, 0.75, 1.0 + 2.0**-7):
        out = cupy.empty(values.shape, values.dtype)
        fused.drop(cupy.asarray(values), out, 1, 2, 3, 4, 0, scale)
        with np.errstate(all="ignore"):
            wanted = (values.astype(np.float32) * np.float32(scale)).astype(values.dtype)
        nan = np.isnan(wanted.astype(np.float32))
        np.testing.assert_array_equal(np.isnan(to_numpy(out).astype(np.float32)), nan)
        np.testing.assert_array_equal(to_numpy(out).view(np.uint16)[~nan], wanted.view(np.uint16)[~nan])


def test_every_kernel_has_a_twin_and_a_case():
    assert set(ARGUMENTS) == set(KERNELS)
    decorated = {
        name
        for module in MODULES
        for name, thing in vars(module).items()
        if hasattr(thing, "has_gpu_kernel") and thing.__module__ == module.__name__
    }
    assert set(ARGUMENTS) == decorated


def test_a_mark_names_the_arrays_that_the_source_may_write():
    source = SOURCE.read_text(encoding="utf-8")
    found = {}
    for name, arguments in re.findall(r"__global__ void (\w+)\((.*?)\) {", source, re.DOTALL):
        arrays = [argument.split() for argument in arguments.split(",")[2:] if "*" in argument]
        roles = found.setdefault(name, {"writes": [], "wide": []})
        roles["writes"] += ["const" not in words for words in arrays]
        roles["wide"] += ["Wide<T>*" in words for words in arrays]

    for name, kernel in KERNELS.items():
        arrays = [argument for argument in kernel.arguments if argument in kernel.reads | kernel.writes]
        assert found[name] == {
            "writes": [argument in kernel.writes for argument in arrays],
            "wide": [argument in kernel.wide for argument in arrays],
        }


def test_in_a_row_of_large_and_lost_numbers_softmax_does_as_its_twin(cupy):
    rows = np.array([[1e30, -1e30, 0.0], [np.nan, 1.0, 2.0], [np.inf, 0.0, 1.0], [-np.inf, 0.0, 0.0]])
    there = cupy.asarray(rows)
    fused.softmax_in_place(there, 1.0, there)
    with np.errstate(invalid="ignore"):
        fused.softmax_in_place(rows, 1.0, rows)

    np.testing.assert_array_equal(np.isnan(to_numpy(there)), np.isnan(rows))
    np.testing.assert_allclose(to_numpy(there)[[0, 3]], [[1, 0, 0], [0, 0.5, 0.5]])


def test_what_is_read_may_be_strided_and_what_is_written_may_not(cupy):
    x = cupy.asarray(np.linspace(-2.0, 2.0, 12).reshape(3, 4))
    out = cupy.empty_like(x)
    fused.gelu_tanh(x.T, out.reshape(4, 3), None)
    wanted = np.empty((4, 3))
    fused.gelu_tanh(np.ascontiguousarray(to_numpy(x).T), wanted, None)
    np.testing.assert_allclose(to_numpy(out).reshape(4, 3), wanted, rtol=1e-13)

    with pytest.raises(TypeError, match=r"gelu_tanh cannot use a float64 array of strides \(8, 32\) as out"):
        fused.gelu_tanh(x.T, out.T, None)
    with pytest.raises(TypeError, match="cannot use a float32 array"):
        fused.gelu_tanh(x, out.astype(np.float32), None)


def test_a_number_of_any_kind_is_a_number(cupy):
    """A whole one would be read as the bits of another; and a single float32 is no array."""
    here, there = (put(np.linspace(-1.0, 1.0, 6).reshape(2, 3)) for put in (np.asarray, cupy.asarray))
    for scale in (2, np.float32(0.5), True):
        fused.softmax_in_place(here, scale, here)
        fused.softmax_in_place(there, scale, there)
        np.testing.assert_allclose(to_numpy(there), here, rtol=1e-12)


def test_a_state_in_half_precision_is_refused(cupy):
    w, g, m = (cupy.asarray(np.linspace(-1.0, 1.0, 8).astype(np.float16)) for _ in range(3))
    with pytest.raises(TypeError, match="sgd_step cannot use a float16 array of strides \\(2,\\) as m"):
        optim.sgd_step(w, g, m, 0.5, 0.5, 0.0)


@pytest.mark.parametrize("op", ["layer_norm", "gelu", "softmax", "attention"])
def test_an_op_on_an_array_that_is_stored_in_columns(cupy, op):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 5, 2) if op == "attention" else (6, 5))
    weights, cotangent = rng.standard_normal((2, 6)), rng.standard_normal((2, 5, 2) if op == "attention" else (5, 6))

    def run(put):
        x = Tensor(put(values).T, requires_grad=True)
        if op == "layer_norm":
            out = fused.layer_norm(x, Tensor(put(weights[0]), True), Tensor(put(weights[1]), True))
        else:
            out = fused.attention(x, heads=1) if op == "attention" else getattr(fused, op)(x)
        out.backward(put(np.ascontiguousarray(cotangent.T)).T)
        return to_numpy(out.data), to_numpy(x.grad)

    for mine, other in zip(run(cupy.asarray), run(np.asarray), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)


def test_nothing_is_launched_for_nothing(cupy):
    before = strict_cupy.Crossings.launches
    fused.softmax_in_place(cupy.empty((2, 0)), 1.0, cupy.empty((2, 0)))
    assert strict_cupy.Crossings.launches - before <= 1  # that of cupy.empty


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs NVIDIA's compiler")
def test_nvidias_compiler_takes_every_kernel(tmp_path):
    uses = "".join(f"auto use_{name}_{t} = {name}<{t}>;\n" for name in ARGUMENTS for t in TYPES.values())
    source = tmp_path / "all.cu"
    source.write_text(SOURCE.read_text(encoding="utf-8") + uses, encoding="utf-8")
    options = ["-std=c++14", f"-DLANES={LANES}", "-Werror=all-warnings", "-ptx", "-o", str(tmp_path / "all.ptx")]
    done = subprocess.run(["nvcc", *options, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
