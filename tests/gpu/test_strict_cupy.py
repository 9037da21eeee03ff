"""The stand-in for CuPy does what CuPy 14.2's source says, even where that is slow or wrong."""

import numpy as np
import pytest

from minivit.backend.arrays import to_numpy
from tests.gpu import strict_cupy


@pytest.fixture(autouse=True)
def cupy():
    with strict_cupy.installed() as module:
        yield module


def cost(call):
    """The launches, waits and bytes of a call."""
    crossings = strict_cupy.Crossings
    before = crossings.launches, crossings.back, crossings.moved
    call()
    return crossings.launches - before[0], crossings.back - before[1], crossings.moved - before[2]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_stack_of_half_precision_is_copied_to_float32_and_back(cupy, dtype):
    wide, half = (cupy.zeros((2, 3, 4, 4), strict_cupy.half_or_wide(name)) for name in ("float32", dtype))
    assert cost(lambda: cupy.matmul(wide, wide))[0] == 1
    assert cost(lambda: cupy.matmul(half, half))[0] == 4  # both factors, the product, the product rounded
    assert cost(lambda: cupy.matmul(half[0, 0], half[0, 0]))[0] == 1


def test_a_factor_that_is_broadcast_costs_the_addresses_of_all_matrices(cupy):
    stack, row = cupy.zeros((5, 4, 3)), cupy.zeros((1, 4))
    assert cost(lambda: row @ stack)[0] == 1 + 3
    assert cost(lambda: cupy.zeros((1, 2, 3, 4)) @ cupy.zeros((5, 2, 4, 3)))[0] == 2 + 1 + 3 * 2


def test_a_transposed_factor_of_a_stack_is_copied(cupy):
    x = cupy.zeros((5, 4, 3))
    assert cost(lambda: cupy.matmul(x.swapaxes(1, 2), x))[0] == 2


def test_a_product_of_half_precision_into_another_type_would_leave_its_memory(cupy):
    half = cupy.zeros((4, 4), np.float16)
    with pytest.raises(ValueError, match="past the end"):
        cupy.matmul(half, half, out=cupy.zeros((4, 4), np.float32))
    cupy.matmul(half, half, out=half)


def test_the_dot_product_of_vectors_writes_the_products_and_reads_them_again(cupy):
    x = cupy.zeros(1000, np.float32)
    launches, waits, moved = cost(lambda: cupy.vdot(x, x))
    assert (launches, waits) == (3, 0)
    assert moved == 4 * x.nbytes  # the vector twice, the products written, the products read


def test_many_small_arrays_are_joined_at_once_and_few_one_by_one(cupy):
    for count, launches in ((1, 1), (8, 8), (9, 2)):
        assert cost(lambda count=count: cupy.concatenate([cupy.asarray(np.zeros(3))] * count))[0] == launches
    alike, longer = cupy.asarray(np.zeros(3)), cupy.asarray(np.zeros(4))
    assert cost(lambda: cupy.concatenate([alike, longer] * 5))[0] == 4


def test_additions_at_an_index_come_in_another_order_each_time(cupy):
    """1 is lost beside 1e16, or not, by the order."""
    index, sums = np.zeros(60, int), set()
    values = np.where(np.arange(60) % 3, 1.0, 1e16 * (-1.0) ** np.arange(60))
    for _ in range(20):
        out = cupy.zeros(1)
        cupy.add.at(out, cupy.asarray(index), cupy.asarray(values))
        sums.add(float(to_numpy(out)[0]))
    assert len(sums) > 1


def test_windows_of_cupy_wait_for_the_card_once_for_each_side(cupy):
    view = cupy.lib.stride_tricks.sliding_window_view
    x = np.arange(20.0).reshape(4, 5)
    there = cupy.asarray(x)
    for shape, axis in ((2, 0), ((2, 3), (0, 1))):
        launches, waits, _ = cost(lambda shape=shape, axis=axis: view(there, shape, axis))
        assert launches == waits == len(np.atleast_1d(shape))
        np.testing.assert_array_equal(to_numpy(view(there, shape, axis)), np.lib.stride_tricks.sliding_window_view(
            x, shape, axis))  # fmt: skip
    assert cost(lambda: cupy.lib.stride_tricks.as_strided(there, (2, 2), (8, 8)))[:2] == (0, 0)


@pytest.mark.parametrize("name", ["nonzero", "flatnonzero", "argwhere", "unique", "bincount", "where"])
def test_what_has_a_size_that_the_numbers_decide_waits(cupy, name):
    x = cupy.asarray(np.array([1, 0, 2, 2]))
    assert cost(lambda: getattr(cupy, name)(x))[1] == 1
    assert cost(lambda: x[x > 0])[1] == 1
    assert cost(lambda: cupy.where(x > 0, x, x))[1] == 0


def test_a_view_by_strides_belongs_to_the_memory_that_it_shows(cupy):
    x = cupy.asarray(np.arange(20.0))
    view = cupy.lib.stride_tricks.as_strided(x[4:], (2, 3), (8, 16))
    assert strict_cupy.address_of(view._host) == strict_cupy.address_of(x._host)
