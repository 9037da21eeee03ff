"""Random words and dropout's masks: evenly spread, independent, the same wherever they are drawn."""

import numpy as np
import pytest

from minivit import Tensor
from minivit.backend.arrays import to_numpy
from minivit.backend.draws import WORD, draw_key, least_kept, random_words
from minivit.engine import dropout, reference
from minivit.engine.fused import drop
from tests.gpu import strict_cupy

MANY = 10_000_000
WORDS = random_words(MANY, (11, 12, 13, 14))


def test_words_are_spread_evenly():
    sixteenths = np.bincount(WORDS >> 28, minlength=16)
    chi_square = ((sixteenths - MANY / 16) ** 2 / (MANY / 16)).sum()

    assert chi_square < 44.3  # 15 degrees of freedom: exceeded once in 10,000 keys
    for bit in range(32):
        ones = np.count_nonzero(WORDS >> bit & 1)
        assert abs(ones - MANY / 2) < 5 * np.sqrt(MANY) / 2


@pytest.mark.parametrize("apart", [1, 2, 7, 8, 64, 768])
def test_words_do_not_depend_on_their_neighbours(apart):
    centred = WORDS / WORD - 0.5
    correlation = 12 * np.mean(centred[apart:] * centred[:-apart])

    assert abs(correlation) < 5 / np.sqrt(MANY)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.99])
def test_dropout_keeps_the_share_that_it_should(rate):
    kept = np.count_nonzero(least_kept(rate) <= WORDS)

    assert abs(kept - (1 - rate) * MANY) < 5 * np.sqrt(rate * (1 - rate) * MANY)


def test_a_shorter_draw_is_the_beginning_of_a_longer_one():
    for count in (0, 1, 2, 7, 8, 9, 1001):
        np.testing.assert_array_equal(random_words(count, (11, 12, 13, 14)), WORDS[:count])


def test_each_number_of_a_key_counts():
    first = random_words(100, (1, 2, 3, 4))
    for other in [(0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0)]:
        assert np.count_nonzero(random_words(100, other) == first) < 3


def test_a_generator_draws_another_key_each_time_and_the_same_again():
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    keys = [draw_key(rng) for _ in range(100)]

    assert keys == [draw_key(again) for _ in range(100)]
    assert len(set(keys)) == 100 and all(0 <= number < WORD for key in keys for number in key)


def test_a_rate_just_below_1_keeps_next_to_nothing():
    assert least_kept(1 - 1e-12) == WORD - 1
    assert least_kept(0.0) == 0 and least_kept(0.5) == WORD // 2


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.7])
def test_no_rate_is_rounded_down(rate):
    assert least_kept(rate) - 1 < rate * WORD <= least_kept(rate)


def test_the_least_word_is_kept():
    key, place = (11, 12, 13, 14), 3
    for least, kept in [(WORDS[place], 2.0), (WORDS[place] + 1, 0.0)]:
        here = np.empty(8, np.float32)
        drop(np.ones(8, np.float32), here, *key, int(least), 2.0)
        with strict_cupy.installed() as cupy:
            there = cupy.empty(8, np.float32)
            drop(cupy.asarray(np.ones(8, np.float32)), there, *key, int(least), 2.0)
            assert here[place] == to_numpy(there)[place] == kept


def test_the_composed_twin_keeps_the_least_word(monkeypatch):
    least = least_kept(0.3)
    monkeypatch.setattr(reference, "random_words", lambda count, key: np.array([least - 1, least, least + 1]))
    kept = reference.dropout(Tensor(np.ones(3)), 0.3, np.random.default_rng(0)).data

    np.testing.assert_allclose(kept, [0.0, 1 / 0.7, 1 / 0.7])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_gpus_mask_has_the_processors_bits_forward_and_backward(dtype):
    values = np.linspace(1.0, 2.0, 5 * 13).reshape(5, 13).astype(dtype)

    def run(put):
        x = Tensor(put(values), requires_grad=True)
        out = dropout(x, 0.4, np.random.default_rng(3))
        out.backward(put(values))
        return to_numpy(out.data), to_numpy(x.grad)

    here = run(np.asarray)
    with strict_cupy.installed() as cupy:
        there = run(cupy.asarray)

    for mine, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(mine, other)
        np.testing.assert_array_equal(mine == 0, here[0] == 0)
    assert 0 < np.count_nonzero(here[0]) < values.size


def test_a_mask_on_a_gpu_is_one_launch_each_way_and_nothing_is_sent():
    with strict_cupy.installed() as cupy:
        x = Tensor(cupy.asarray(np.ones((4, 9), np.float32)), requires_grad=True)
        dy = cupy.asarray(np.ones((4, 9), np.float32))
        rng = np.random.default_rng(0)
        before = (strict_cupy.Crossings.launches, strict_cupy.Crossings.there)
        dropout(x, 0.1, rng).backward(dy)
        after = (strict_cupy.Crossings.launches, strict_cupy.Crossings.there)
    assert after[1] == before[1]
    assert after[0] - before[0] <= 4  # the mask each way, and what cupy.empty counts as
