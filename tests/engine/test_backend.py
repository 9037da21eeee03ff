"""What NumPy and CuPy spell differently: products of halves, blocks of rows, cores, and the twins' own defaults."""

import importlib
import math
import os

import numpy as np
import pytest
from ml_dtypes import bfloat16

from minivit import Tensor
from minivit.backend import arrays as backend
from minivit.backend.arrays import (
    BLOCK_ELEMENTS,
    available_cores,
    extremes_are_harmless,
    row_blocks,
    underflow_is_harmless,
)
from minivit.backend.products import matmul, vecdot
from minivit.backend.threads import Override
from minivit.engine import reference
from tests.support import waits_for


@pytest.mark.parametrize(
    ("number", "dtype", "other", "expected"),
    [
        (1e39, np.float64, np.float32, True), (-1e39, np.float64, np.float32, True),
        (3e38, np.float64, np.float32, False), (3e38, np.float32, np.float32, False),
        (np.inf, np.float64, np.float32, False), (np.nan, np.float64, np.float32, False),
        (7e4, np.float32, np.float16, True), (7e4, np.float32, np.float64, False),
        (70_000, np.int64, np.float16, True), (70_000, np.int64, np.float32, False),
        (7e4, bfloat16, np.float16, True), (7e4, bfloat16, np.float32, False), (7e4, np.float32, bfloat16, False),
    ],
)  # fmt: skip
def test_numbers_that_become_infinite_in_another_type_are_found(number, dtype, other, expected):
    x = np.array([1, number]).astype(dtype)
    assert backend.overflows(x, np.dtype(other)) is expected


@pytest.mark.parametrize("shape", [(1, 4096), (2, 1, 4096)])
def test_a_product_of_halves_is_added_up_in_single_precision(shape):
    """In half precision, 2048 + 1 is 2048."""
    x = np.ones(shape, np.float16)
    for left, right in ((x, x.swapaxes(-1, -2)), (x * np.float16(0.5), x.swapaxes(-1, -2) * np.float16(0.25))):
        out = matmul(left, right)
        assert out.dtype == np.float16
        np.testing.assert_array_equal(out, np.matmul(left.astype(float), right.astype(float)).astype(np.float16))


def test_a_product_may_be_written_into_an_array():
    for dtype in (np.float16, np.float32):
        x, out = np.full((2, 2), 3.0, dtype), np.zeros((2, 2), np.float32)
        assert matmul(x, x, out=out) is out
        np.testing.assert_array_equal(out, np.full((2, 2), 18.0))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((0, 3), [(0, 1)]),  # of nothing, one block of nothing
        ((3, 0), [(0, 3)]),
        ((1, 1), [(0, 262_144)]),
        ((1, 300_000), [(0, 1)]),  # a row is never cut
        ((3, 300_000), [(0, 1), (1, 2), (2, 3)]),
        ((4, 131_072), [(0, 2), (2, 4)]),
        ((5, 131_072), [(0, 2), (2, 4), (4, 6)]),
        ((3, 262_143), [(0, 1), (1, 2), (2, 3)]),
        ((262_145,), [(0, 262_144), (262_144, 524_288)]),
    ],
)
def test_blocks_hold_as_many_whole_rows_as_fit_into_256k_elements(shape, expected):
    blocks = list(row_blocks(np.broadcast_to(np.float32(0), shape)))
    rows = shape[0]
    assert [range(max(1, rows))[block] for block in blocks] == [range(max(1, rows))[slice(*ends)] for ends in expected]
    assert BLOCK_ELEMENTS == 2**18


def test_numbers_too_small_or_too_large_become_0_and_infinity_also_for_a_caller_who_lets_numpy_raise():
    large = np.float32(1e30)
    with np.errstate(all="raise"):
        with underflow_is_harmless():
            assert 1 / large / large == 0.0
            with pytest.raises(FloatingPointError):
                large * large
        with extremes_are_harmless():
            assert (1 / large / large, large * large) == (0.0, math.inf)
            with pytest.raises(FloatingPointError):
                large / np.float32(0.0)


def test_the_products_of_rows_are_their_own_sums():
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(vecdot(x, x), [5.0, 50.0])


@pytest.mark.parametrize(
    ("allowed", "counted", "quota", "expected"),
    [
        (3, 7, math.inf, 3),
        (3, 7, 1.5, 2),  # half a core keeps another thread busy half of the time
        (3, 7, 0.25, 1),
        (3, 7, 8.0, 3),
        (None, 7, math.inf, 7),  # a system that does not say what a process may use
        (None, None, math.inf, 1),
        (None, 7, 2.0, 2),
    ],
)
def test_cores_are_those_allowed_and_no_more_than_the_containers_quota(allowed, counted, quota, expected, monkeypatch):
    if allowed is None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        own = {0: set(range(allowed))}
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: own.get(pid, set(range(99))), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    monkeypatch.setattr(backend, "cpu_quota", lambda: quota)
    assert available_cores() == expected


# -- the composed twins: what they do where nothing is said --------------------------------------


def drawn(*shape):
    return Tensor(np.random.default_rng(0).standard_normal(shape))


def test_the_twins_defaults_are_those_of_the_fused_ops():
    x = drawn(4, 6)
    np.testing.assert_array_equal(reference.gelu(x).data, reference.gelu(x, "tanh").data)
    np.testing.assert_array_equal(reference.softmax(x).data, reference.softmax(x, -1).data)
    labels = np.array([0, 5, 1, 1])
    assert reference.cross_entropy(x, labels).item() == reference.cross_entropy(x, labels, 0.0).item()
    ones, zeros = Tensor(np.ones(6)), Tensor(np.zeros(6))
    np.testing.assert_array_equal(
        reference.layer_norm(x * 1e-3, ones, zeros).data, reference.layer_norm(x * 1e-3, ones, zeros, 1e-6).data
    )


def test_attention_weights_are_dropped_where_there_are_a_rate_and_a_generator():
    qkv, rng = drawn(2, 3, 12), np.random.default_rng(3)
    plain, weights = reference.attention_with_weights(qkv, 2)
    for options in ({"weight_dropout": 0.5}, {"rng": rng}, {"weight_dropout": 0.0, "rng": rng}):
        found, _ = reference.attention_with_weights(qkv, 2, **options)
        np.testing.assert_array_equal(found.data, plain.data)
    assert rng.random() == np.random.default_rng(3).random()  # nothing was drawn
    _, dropped = reference.attention_with_weights(qkv, 2, weight_dropout=0.5, rng=rng)
    kept = dropped.data != 0
    np.testing.assert_allclose(dropped.data[kept], 2.0 * weights.data[kept])
    assert 0 < kept.sum() < kept.size


def test_a_single_number_of_numpy_becomes_an_array():
    array = backend.to_numpy(np.float32(3))
    assert isinstance(array, np.ndarray) and array.shape == () and array == 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_error_function_keeps_the_element_type(dtype):
    assert backend.erf(np.zeros(2, dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("minivit.engine.ops", "shapes_wanted", "minivit.engine.ops.shapes_needing_grad"),
        ("minivit.engine.tensor", "wants_grad", "minivit.engine.tensor.needs_grad"),
        ("minivit.backend.arrays", "matmul", "minivit.backend.products.matmul"),
        ("minivit.backend.arrays", "vecdot", "minivit.backend.products.vecdot"),
        ("minivit.backend.arrays", "wide", "minivit.backend.precision.wide"),
        ("minivit.training.distributed.parallel", "shared_pieces",
         "minivit.training.distributed.parallel.micro_batches_of_rank"),
    ],
)  # fmt: skip
def test_an_old_name_is_the_new_one(module, old, new):
    home, _, name = new.rpartition(".")

    with pytest.warns(DeprecationWarning, match=name):
        assert getattr(importlib.import_module(module), old) is getattr(importlib.import_module(home), name)


def test_two_threads_never_begin_or_end_an_override_at_once():
    class Thing:
        value = 0

    thing, override = Thing(), Override("value", 1)
    block = override.of([thing])
    assert waits_for(override.lock, block.__enter__)
    assert thing.value == 1
    assert waits_for(override.lock, lambda: block.__exit__(None, None, None))
    assert thing.value == 0
