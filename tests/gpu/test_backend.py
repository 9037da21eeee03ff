"""What the engine asks of a GPU: on the strict stand-in for CuPy."""

import numpy as np
import pytest

from minivit import Tensor
from minivit.backend import products
from minivit.backend.arrays import beside, row_blocks, to_device, to_numpy, xp_of
from minivit.backend.products import matmul
from minivit.engine import ops
from minivit.errors import ShapeError
from minivit.training.optim import SGD
from tests.gpu import strict_cupy


@pytest.fixture(autouse=True)
def cupy():
    with strict_cupy.installed() as module:
        yield module


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 2), np.float16), ((3, 2, 2), np.float32), ((1, 3, 2, 2), np.float32)]
)
def test_stacks_of_halves_are_multiplied_in_single_precision(cupy, shape, dtype, monkeypatch):
    """cuBLAS adds a product of two matrices up in single precision by itself."""
    seen = []
    original = products.gpu_matmul
    monkeypatch.setattr(
        products, "gpu_matmul", lambda x, y, out=None: seen.extend([x.dtype, y.dtype]) or original(x, y, out=out)
    )
    x = cupy.asarray(np.full(shape, 0.5, np.float16))
    out = matmul(x, x)
    assert seen == [dtype, dtype] and out.dtype == np.float16
    np.testing.assert_array_equal(to_numpy(out), np.full(shape, 0.5))


def test_a_gpu_takes_all_rows_in_one_block(cupy):
    for rows, expected in ((0, [slice(0, 1)]), (1, [slice(0, 1)]), (5, [slice(0, 5)])):
        assert list(row_blocks(cupy.zeros((rows, 50_000), np.float32))) == expected


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
