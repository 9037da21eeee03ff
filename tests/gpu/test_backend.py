"""What the engine asks of a GPU: on the strict stand-in for CuPy."""

import numpy as np
import pytest

from minivit import Tensor
from minivit.backend.arrays import beside, row_blocks, to_device, to_numpy, xp_of
from minivit.backend.products import matmul
from minivit.engine import fused, ops
from minivit.errors import ShapeError
from minivit.training.optim import SGD
from tests.gpu import strict_cupy


@pytest.fixture(autouse=True)
def cupy():
    with strict_cupy.installed() as module:
        yield module


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(5, 5), (3, 5, 5), (2, 3, 5, 5)], ids=str)
def test_half_precision_is_multiplied_in_one_call_and_added_up_in_float32(cupy, shape, dtype):
    """The sum of 1 and many numbers too small for it: in half precision they would be lost one by one."""
    stored = strict_cupy.half_or_wide(dtype)
    x = np.full(shape, 2.0**-6 if dtype == "float16" else 2.0**-5).astype(stored)
    x[..., 0] = 1.0
    there, before = cupy.asarray(x), strict_cupy.Crossings.launches
    out = matmul(there, there)
    assert out.dtype == stored and strict_cupy.Crossings.launches == before + 1
    wanted = (x.astype(np.float32) @ x.astype(np.float32)).astype(stored)
    np.testing.assert_array_equal(to_numpy(out).astype(np.float32), wanted.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4), (2, 3, 4, 4)], ids=str)
@pytest.mark.parametrize("heads", [False, True])
def test_a_product_of_half_precision_is_written_into_an_array_of_either_type(cupy, shape, dtype, heads):
    """CuPy would write float32 past the end of an array of half precision."""
    stored = strict_cupy.half_or_wide(dtype)
    x = np.random.default_rng(0).standard_normal(shape).astype(stored)
    exact = x.astype(np.float32) @ x.astype(np.float32)
    for kind in (stored, np.dtype(np.float32), np.dtype(np.float64)):
        memory = cupy.asarray(np.full((*shape[:-1], 6), 7.0).astype(kind))
        out = memory[..., 1:-1] if heads else cupy.asarray(np.full(shape, 7.0).astype(kind))
        assert matmul(cupy.asarray(x), cupy.asarray(x), out=out) is out
        rounding = 1e-6 if kind == np.float32 else 2.0**-7
        np.testing.assert_allclose(to_numpy(out).astype(np.float32), exact, rtol=rounding, atol=2e-2 * rounding)
        assert (to_numpy(memory)[..., [0, -1]].astype(np.float32) == 7.0).all()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("shapes", [((4, 4), (4, 4)), ((4, 4), (3, 4, 4)), ((3, 4, 4), (3, 4, 4))], ids=str)
def test_a_product_of_half_precision_and_float32_is_float32(cupy, half, shapes):
    stored, rng = strict_cupy.half_or_wide(half), np.random.default_rng(0)
    x, y = rng.standard_normal(shapes[0]).astype(stored), rng.standard_normal(shapes[1]).astype(np.float32)
    for first, second in ((x, y), (y, x)):
        product = matmul(cupy.asarray(first), cupy.asarray(second))
        wanted = first.astype(np.float32) @ second.astype(np.float32)
        np.testing.assert_allclose(to_numpy(product), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shapes", [((4, 4), (3, 4, 4)), ((2, 1, 4, 4), (3, 4, 4)), ((0, 4, 4), (0, 4, 4))], ids=str)
def test_stacks_of_half_precision_broadcast(cupy, shapes):
    x, y = (np.random.default_rng(0).standard_normal(shape).astype(np.float16) for shape in shapes)
    product = matmul(cupy.asarray(x), cupy.asarray(y))
    assert product.dtype == np.float16
    wanted = (x.astype(np.float32) @ y.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(to_numpy(product), wanted)


def test_a_gpu_takes_all_rows_in_one_block(cupy):
    for rows, expected in ((0, [slice(0, 1)]), (1, [slice(0, 1)]), (5, [slice(0, 5)])):
        assert list(row_blocks(cupy.zeros((rows, 50_000), np.float32))) == expected


def test_without_rows_the_gradients_of_a_layer_norm_are_zero(cupy):
    x, weight, bias = (Tensor(cupy.zeros(shape, np.float32), requires_grad=True) for shape in ((0, 3), 3, 3))
    fused.layer_norm(x, weight, bias).sum().backward()
    assert x.grad.shape == (0, 3)
    for parameter in (weight, bias):
        np.testing.assert_array_equal(to_numpy(parameter.grad), np.zeros(3))


def test_what_goes_beside_an_array_goes_to_its_card(cupy):
    arrays = [to_device(np.ones(2, np.float32), f"cuda:{card}") for card in (1, 0)]
    for x, card in zip((*arrays, *arrays), (1, 0, 1, 0), strict=True):
        y = beside(x, np.arange(2.0))
        assert y.device.id == x.device.id == card and xp_of(y) is cupy


def test_a_plain_number_beside_a_tensor_is_not_sent_to_the_card(cupy):
    x = Tensor(cupy.asarray(np.ones(2, np.float32)))
    before = strict_cupy.Crossings.there
    for out in (x * 2.0, 2 + x, x / 3.0, 1.0 - x):
        assert out.dtype == np.float32
    assert strict_cupy.Crossings.there == before
    assert ops.multiply(x, [1.0, 2.0]).shape == (2,)
    assert strict_cupy.Crossings.there > before


def test_a_model_that_moved_to_a_card_after_its_optimiser_was_made_is_refused():
    w = Tensor(np.ones(2, np.float32), requires_grad=True, name="w")
    optimizer = SGD({"w": w}, lr=1.0)
    w.data = to_device(w.data, "cuda")
    with pytest.raises(ShapeError, match=r"on the processor when the optimiser was made and has \(2,\) on the GPU now"):
        optimizer.step([to_device(np.ones(2, np.float32), "cuda")])
