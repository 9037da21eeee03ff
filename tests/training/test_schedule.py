"""The learning rate at chosen steps."""

import math
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest

from minivit.errors import ConfigError
from minivit.training import Schedule
from minivit.training.schedule import ExponentialRise, in_first_steps, steps_in


def test_warm_up_rises_in_equal_steps_to_the_full_rate():
    schedule = Schedule(lr=0.8, total_steps=100, warmup_steps=4)
    assert [schedule(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_cosine_is_half_way_down_in_the_middle_and_at_the_end_at_the_bottom():
    schedule = Schedule(lr=1.0, total_steps=110, warmup_steps=10, final_lr=0.1)
    assert schedule(10) == pytest.approx(1.0)
    assert schedule(60) == pytest.approx(0.55)
    assert schedule(35) == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)  # cos(pi / 4)
    assert schedule(110) == schedule(500) == pytest.approx(0.1)


def test_linear_falls_evenly():
    schedule = Schedule(lr=1.0, total_steps=50, decay="linear")
    assert [schedule(step) for step in (0, 10, 25, 49)] == pytest.approx([1.0, 0.8, 0.5, 0.02])


def test_constant_stays():
    schedule = Schedule(lr=0.3, total_steps=50, warmup_steps=2, decay="constant")
    assert [schedule(step) for step in (0, 1, 2, 49)] == pytest.approx([0.15, 0.3, 0.3, 0.3])


def test_a_warm_up_of_the_whole_run_ends_at_the_full_rate_and_one_step_after_it_is_the_whole_decay():
    assert Schedule(lr=0.8, total_steps=4, warmup_steps=4)(4) == 0.8
    shortest = Schedule(lr=0.8, total_steps=5, warmup_steps=4, final_lr=0.2)
    assert [shortest(step) for step in (3, 4, 5)] == pytest.approx([0.8, 0.8, 0.2])


def test_by_default_it_is_a_cosine_to_zero_without_a_warm_up():
    schedule = Schedule(lr=1.0, total_steps=4)
    assert [schedule(step) for step in range(5)] == pytest.approx(
        [math.cos(math.pi * step / 8) ** 2 for step in range(5)]
    )


@pytest.mark.parametrize(
    "options",
    [
        {"decay": "stairs"},
        {"lr": -0.5},
        {"total_steps": 0},
        {"warmup_steps": -1},
        {"final_lr": -0.5},
        {"lr": math.inf},
        {"final_lr": math.inf},
        {"lr": math.nan},
    ],
)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError):
        Schedule(**({"lr": 1.0, "total_steps": 10} | options))


def test_the_smallest_numbers_that_make_sense_are_taken():
    assert Schedule(lr=0.0, total_steps=1, warmup_steps=0, final_lr=0.0)(0) == 0.0


def test_its_numbers_have_names_and_stay_as_they_are():
    with pytest.raises(TypeError):
        Schedule(1.0, 10)
    with pytest.raises(FrozenInstanceError):
        Schedule(lr=1.0, total_steps=10).lr = 2.0


def test_a_number_that_makes_no_sense_is_named():
    with pytest.raises(ConfigError, match="a schedule's number of steps must"):
        Schedule(lr=1.0, total_steps=0)
    with pytest.raises(ConfigError, match="a schedule's warmup steps must"):
        Schedule(lr=1.0, total_steps=1, warmup_steps=-1)


def test_numpys_numbers_become_pythons():
    schedule = Schedule(lr=np.float32(0.1), total_steps=np.int64(5), warmup_steps=np.int8(2), final_lr=np.float32(0.0))
    assert [type(value) for value in (schedule.lr, schedule.final_lr)] == [float, float]
    assert [type(value) for value in (schedule.total_steps, schedule.warmup_steps)] == [int, int]
    assert type(schedule(3)) is float


def test_a_range_test_multiplies_the_rate_by_the_same_factor_in_each_step():
    rise = ExponentialRise(lowest=0.001, highest=8.0, total_steps=4)

    assert [rise(step) for step in range(4)] == pytest.approx([0.001, 0.02, 0.4, 8.0])
    assert ExponentialRise(0.25, 0.5, total_steps=2)(1) == pytest.approx(0.5)
    assert ExponentialRise(0.25, 0.5, total_steps=1)(0) == pytest.approx(0.25)  # a single step divides by nothing


def test_a_range_test_cannot_be_changed_under_way():
    with pytest.raises(FrozenInstanceError):
        ExponentialRise(0.25, 0.5, total_steps=2).lowest = 0.1


@pytest.mark.parametrize("rates", [(0.0, 1.0), (-0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)])
def test_rates_of_a_range_test_rise_from_above_0(rates):
    with pytest.raises(ConfigError, match="rates must rise from above 0"):
        ExponentialRise(*rates, total_steps=4)


def test_the_steps_in_a_share_of_a_run_are_counted_without_rounding():
    for total in (1, 20, 100, 200, 1_955, 44_965, 400_000):
        for percent in range(101):
            expected = math.ceil(Fraction(percent, 100) * total)
            assert steps_in(percent / 100, total) == expected, (percent, total)
    assert steps_in(np.float32(0.5), 21) == 11


def test_a_share_of_the_steps_in_words():
    assert in_first_steps(0.935) == " in the first 93.5 % of the steps"
    assert in_first_steps(1.0) == ""
