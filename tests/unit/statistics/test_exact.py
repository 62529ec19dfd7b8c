"""The exact test on two rates, and the intervals of one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.statistics.exact import SIGNIFICANT, difference, runs_to_show
from harness.statistics.intervals import highest_rate, rate_interval, runs_to_exclude


@pytest.mark.parametrize(
    ("hits", "p"), [((3, 3, 0, 3), 0.03125), ((4, 4, 0, 4), 0.0078125), ((10, 10, 0, 10), 1.907e-06)]
)
def test_always_against_never_is_as_sure_as_the_fewest_runs_allow(hits: tuple[int, int, int, int], p: float) -> None:
    # 2 · 2^-(2n): both rates are 1/2 where it is likeliest by chance
    assert difference(*hits) == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize("runs", [(4, 4), (6, 6), (9, 9), (3, 7)])
def test_the_exact_test_claims_too_much_at_most_as_often_as_stated(runs: tuple[int, int]) -> None:
    claimed = [
        (a, b)
        for a in range(runs[0] + 1)
        for b in range(runs[1] + 1)
        if (difference(a, runs[0], b, runs[1]) or 1.0) <= SIGNIFICANT
    ]
    assert claimed
    for rate in np.linspace(0.01, 0.99, 99):
        chances = (stats.binom.pmf(a, runs[0], rate) * stats.binom.pmf(b, runs[1], rate) for a, b in claimed)
        assert sum(chances) <= SIGNIFICANT + 1e-6


def test_as_many_on_both_sides_is_no_difference() -> None:
    assert difference(0, 10, 0, 10) == 1.0
    assert difference(10, 10, 10, 10) == 1.0


def test_a_side_without_runs_has_no_p() -> None:
    assert difference(0, 0, 3, 5) is None


def test_which_side_is_which_makes_no_difference() -> None:
    assert difference(7, 10, 2, 10) == pytest.approx(difference(2, 10, 7, 10))


def test_runs_to_show_are_few_for_what_always_hangs_and_many_for_what_rarely_does() -> None:
    assert runs_to_show(1.0, 0.0) == 3
    few, many = runs_to_show(0.7, 0.2), runs_to_show(0.4, 0.2)
    assert few is not None and many is not None
    assert 8 <= few <= 16 < 30 <= many <= 110
    assert runs_to_show(0.2, 0.2) is None


def test_an_interval_holds_the_rate_as_often_as_it_says() -> None:
    runs = 12
    bounds = [rate_interval(hits, runs) for hits in range(runs + 1)]
    for rate in np.linspace(0.0, 1.0, 41):
        held = sum(stats.binom.pmf(hits, runs, rate) for hits, (low, high) in enumerate(bounds) if low <= rate <= high)
        assert held >= 0.95 - 1e-9


def test_nothing_is_known_of_a_rate_without_a_run() -> None:
    assert rate_interval(0, 0) == (0.0, 1.0)
    assert highest_rate(0) == 1.0


@pytest.mark.parametrize("runs", [10, 30, 100])
def test_no_hit_in_n_runs_excludes_about_three_by_n(runs: int) -> None:
    assert highest_rate(runs) == pytest.approx(1 - 0.05 ** (1 / runs))
    assert 0.8 < highest_rate(runs) * runs / 3 <= 1.0


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.1, 0.05, 0.01])
def test_runs_to_exclude_a_rate_are_the_fewest_that_do(rate: float) -> None:
    runs = runs_to_exclude(rate)
    assert highest_rate(runs) <= rate < highest_rate(runs - 1)
    assert runs <= math.ceil(3 / rate)
