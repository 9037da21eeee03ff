"""Stacks of matrix products on a card, whatever way the matrices lie in memory, against NumPy's."""

import os

import numpy as np
import pytest

from minivit.backend.arrays import to_numpy, xp_of
from minivit.backend.gpu.cublas import contiguous_on_gpu, gpu_matmul, multiply_in_tf32
from minivit.backend.gpu.cuda import compute_capability, find_cupy
from minivit.backend.products import matmul_add, room_for_products, sum_of_parts
from minivit.errors import MinivitError
from tests.gpu import strict_cupy

REAL = bool(os.environ.get("MINIVIT_GPU"))


@pytest.fixture(autouse=True)
def cupy():
    """CuPy, or its stand-in, whose cuBLAS reads and writes the memory that it is pointed to."""
    if REAL:
        try:
            yield find_cupy()[0]
        except MinivitError as error:
            pytest.fail(f"MINIVIT_GPU is set, and no card works: {error}")
    else:
        with strict_cupy.installed() as module:
            yield module


def whole(x):
    return x


def transposed(x):
    """The same numbers, stored by columns."""
    return x.swapaxes(-1, -2).copy().swapaxes(-1, -2)


def heads_of_packed(x):
    """The same numbers, as heads in a packed array: two leading axes that are not one."""
    return x.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)


def transposed_heads(x):
    return heads_of_packed(x.swapaxes(-1, -2)).swapaxes(-1, -2)


def part(x):
    """The same numbers, inside larger matrices."""
    larger = xp_of(x).zeros((*x.shape[:-2], x.shape[-2] + 2, x.shape[-1] + 3), x.dtype)
    larger[..., 1:-1, 2:-1] = x
    return larger[..., 1:-1, 2:-1]


def backwards(x):
    return x[::-1].copy()[::-1]


def every_other_column(x):
    return xp_of(x).repeat(x, 2, axis=-1)[..., ::2]


def one_row_for_all(x):
    """Not the same numbers: the first row for all."""
    return xp_of(x).broadcast_to(x[..., :1, :], x.shape)


def one_for_all(x):
    """Not the same numbers: the first matrices for all."""
    return xp_of(x).broadcast_to(x[:1], x.shape)


LAYOUTS = [
    whole, transposed, heads_of_packed, transposed_heads, part, backwards, every_other_column, one_row_for_all,
    one_for_all,
]  # fmt: skip
SHAPES = [(2, 3, 4, 5, 6), (1, 3, 4, 5, 1), (2, 1, 1, 5, 6), (2, 3, 4, 1, 6), (1, 1, 1, 1, 1), (3, 2, 7, 3, 2)]


@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", LAYOUTS)
def test_factors_of_any_layout(cupy, first, second):
    rng = np.random.default_rng(0)
    for batch, heads, m, k, n in SHAPES:
        x, y = rng.standard_normal((batch, heads, m, k)), rng.standard_normal((batch, heads, k, n))
        product = gpu_matmul(first(cupy.asarray(x)), second(cupy.asarray(y)))
        np.testing.assert_allclose(to_numpy(product), first(x) @ second(y), rtol=1e-12)


@pytest.mark.parametrize("layout", [whole, transposed, heads_of_packed, transposed_heads, part])
def test_products_written_into_any_layout(cupy, layout):
    rng = np.random.default_rng(1)
    for batch, heads, m, k, n in SHAPES:
        x, y = rng.standard_normal((batch, heads, m, k)), rng.standard_normal((batch, heads, k, n))
        out = layout(cupy.full((batch, heads, m, n), 7.0))
        assert gpu_matmul(cupy.asarray(x), cupy.asarray(y), out=out) is out
        np.testing.assert_allclose(to_numpy(out), x @ y, rtol=1e-12)


OTHERS = [
    ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (1, 5, 4, 2)), ((0, 3, 4), (0, 4, 5)),
    ((2, 3, 0), (2, 0, 5)), ((3, 4), (4, 5)), ((4,), (2, 4, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), OTHERS)
def test_other_shapes_follow_numpys_rules(cupy, first, second):
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal(first), rng.standard_normal(second)
    np.testing.assert_allclose(to_numpy(gpu_matmul(cupy.asarray(x), cupy.asarray(y))), x @ y, rtol=1e-12)


def test_factors_of_two_types_make_a_product_of_the_wider(cupy):
    x, y = np.ones((2, 3, 4), np.float32), np.full((2, 4, 5), 1.0 + 1e-12)
    product = gpu_matmul(cupy.asarray(x), cupy.asarray(y))
    np.testing.assert_allclose(to_numpy(product), x @ y, rtol=1e-15)


def test_shapes_that_do_not_fit_are_an_error(cupy):
    with pytest.raises(ValueError, match=r"."):
        gpu_matmul(cupy.zeros((2, 3, 4)), cupy.zeros((2, 5, 4)))


@pytest.mark.skipif(REAL, reason="counts what the stand-in was told")
def test_a_transposed_factor_is_read_as_it_lies(cupy):
    x, y = cupy.zeros((2, 3, 4, 5)), cupy.zeros((2, 3, 6, 5))
    before = strict_cupy.Crossings.launches
    gpu_matmul(x, y.swapaxes(-1, -2))
    gpu_matmul(x.swapaxes(-1, -2), x)
    assert strict_cupy.Crossings.launches == before + 2


def test_tf32_is_for_matrices_and_for_stacks_of_them_apart(cupy):
    if compute_capability("cuda") < 80:
        pytest.skip("this card does not know TF32")
    x = np.random.default_rng(0).standard_normal((2, 64, 64)).astype(np.float32)
    exact, there = x.astype(np.float64) @ x, cupy.asarray(x)
    terms = np.abs(x.astype(np.float64)) @ np.abs(x)
    # A sum of 64 products with 24 binary digits; in TF32 both factors have 11. A card may cut off what others round.
    rounding = {False: 64 * 2.0**-23, True: 64 * 2.0**-23 + 2 * 2.0**-10}
    try:
        for stacks in (True, False):
            multiply_in_tf32(matrices=not stacks, stacks=stacks)
            error = (np.abs(to_numpy(gpu_matmul(there, there)) - exact) / terms).max()
            assert error < rounding[stacks]
            assert REAL or not stacks or error > rounding[False]  # cuBLAS need not use what it may
    finally:
        multiply_in_tf32(matrices=False, stacks=False)


def test_numpys_arrays_stay_as_they_are():
    x = np.zeros((2, 3)).T
    assert contiguous_on_gpu(x) is x


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("parts", [1, 2, 40])
def test_parts_are_summed_and_rounded_in_one_launch(cupy, parts, dtype):
    sums = np.random.default_rng(0).standard_normal((parts, 2, 5), dtype=np.float32)
    before = 0 if REAL else strict_cupy.Crossings.launches

    found = sum_of_parts(cupy.asarray(sums), np.dtype(dtype))

    assert REAL or strict_cupy.Crossings.launches == before + (parts > 1 or dtype == "float16")
    assert found.dtype == dtype
    wanted = sums.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(to_numpy(found), wanted, rtol=1e-3 if dtype == "float16" else 1e-6, atol=1e-6)


@pytest.mark.parametrize("adds", ["", "z", "plus", "z plus"])
def test_what_is_added_to_a_product_takes_one_launch_together(cupy, adds):
    x, y, z, plus = (
        np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate([(2, 3), (3, 4), 4, (2, 4)])
    )
    given = [value if name in adds.split() else None for name, value in (("z", z), ("plus", plus))]
    there = [None if value is None else cupy.asarray(value) for value in (x, y, *given)]
    before = 0 if REAL else strict_cupy.Crossings.launches

    found = matmul_add(*there)

    assert REAL or strict_cupy.Crossings.launches == before + 1 + bool(adds)
    wanted = x @ y + sum(value for value in given if value is not None)
    np.testing.assert_allclose(to_numpy(found), wanted, rtol=1e-12)


def test_only_a_card_writes_products_beside_places_that_are_no_rows(cupy):
    for places in (np.zeros((2, 3)), np.zeros((3, 2)).T, cupy.zeros((2, 3))):
        assert room_for_products(places) is places
    places = cupy.zeros((3, 2)).T
    room = room_for_products(places)
    assert room is not places and room.shape == (2, 3) and room.flags.c_contiguous
