"""The test that may stop at any time holds the error rates that it states, in many simulated comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.statistics.claims import ALPHA, BETA, GAP, MOST, Decision
from harness.statistics.sequential import look, running_interval, weigh

COMPARISONS = 10_000
# By chance alone: four standard errors of an error rate of 5 % and 10 % in that many comparisons.
SLACK = 4 / math.sqrt(COMPARISONS)


def simulate(rate_a: float, rate_b: float, pairs: int = MOST) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Outcomes of many comparisons, one a row, of the same seed every time."""
    generator = np.random.default_rng([round(1000 * rate_a), round(1000 * rate_b), pairs])
    shape = (COMPARISONS, pairs)
    return generator.random(shape) < rate_a, generator.random(shape) < rate_b


def shares(rate_a: float, rate_b: float) -> tuple[float, float]:
    """How many of the comparisons, looked at after every pair, ended with either claim."""
    different, alike = weigh(*simulate(rate_a, rate_b)).decided()
    never = different.shape[-1]
    first_different = np.where(different.any(axis=1), different.argmax(axis=1), never)
    first_alike = np.where(alike.any(axis=1), alike.argmax(axis=1), never)
    claimed = (first_different < never) & (first_different <= first_alike)
    return float(claimed.mean()), float(((first_alike < never) & ~claimed).mean())


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3, 0.5, 0.8, 0.95])
def test_a_difference_where_there_is_none_is_claimed_at_most_as_often_as_stated(rate: float) -> None:
    different, _ = weigh(*simulate(rate, rate, pairs=200)).decided()
    assert 0.0 < different.any(axis=1).mean() < ALPHA + SLACK * math.sqrt(ALPHA)


@pytest.mark.parametrize("rates", [(0.3, 0.0), (0.0, 0.3), (0.65, 0.35), (1.0, 0.7), (0.45, 0.15)])
def test_no_gap_where_there_is_one_is_claimed_at_most_as_often_as_stated(rates: tuple[float, float]) -> None:
    _, alike = weigh(*simulate(*rates)).decided()
    assert alike.any(axis=1).mean() < BETA + SLACK * math.sqrt(BETA)


@pytest.mark.parametrize(
    ("rates", "least"),
    [((1.0, 0.0), 1.0), ((0.5, 0.0), 0.98), ((0.3, 0.0), 0.9), ((0.0, 0.3), 0.9), ((0.8, 0.2), 0.98)],
)
def test_a_real_difference_is_mostly_found(rates: tuple[float, float], least: float) -> None:
    different, _ = shares(*rates)
    assert different >= least


@pytest.mark.parametrize("rate", [0.0, 0.05, 1.0])
def test_sides_that_are_alike_mostly_end_as_that(rate: float) -> None:
    _, alike = shares(rate, rate)
    assert alike > 0.9


def test_the_mean_of_an_e_value_is_at_most_one_while_its_claim_is_true() -> None:
    for rates in ((0.2, 0.2), (0.5, 0.5), (0.9, 0.9)):
        assert np.exp(weigh(*simulate(*rates, pairs=3)).different[:, -1]).mean() < 1.1
    for rates in ((0.4, 0.1), (0.8, 0.1), (0.95, 0.65)):
        assert np.exp(weigh(*simulate(*rates, pairs=3)).a_higher[:, -1]).mean() < 1.1
        assert np.exp(weigh(*simulate(*rates[::-1], pairs=3)).b_higher[:, -1]).mean() < 1.1


def test_the_mean_over_all_outcomes_of_one_more_pair_is_exactly_at_most_one() -> None:
    past_a, past_b = [True, False, True, True], [False, False, True, False]
    ends = [(a, b) for a in (True, False) for b in (True, False)]
    found = [weigh([*past_a, a], [*past_b, b]) for a, b in ends]
    for rate_a in np.linspace(0.0, 1.0, 21):
        for rate_b in np.linspace(0.0, 1.0, 21):
            odds = [(rate_a if a else 1 - rate_a) * (rate_b if b else 1 - rate_b) for a, b in ends]
            means = {
                name: sum(
                    chance * math.exp(getattr(evidence, name)[-1] - getattr(evidence, name)[-2])
                    for chance, evidence in zip(odds, found, strict=True)
                )
                for name in ("different", "a_higher", "b_higher")
            }
            if rate_a == rate_b:
                assert means["different"] <= 1 + 1e-9
            if rate_a - rate_b >= GAP:
                assert means["a_higher"] <= 1 + 1e-9
            if rate_b - rate_a >= GAP:
                assert means["b_higher"] <= 1 + 1e-9


def test_always_against_never_is_decided_after_four_pairs() -> None:
    assert look([True] * 3, [False] * 3).decision is Decision.OPEN
    found = look([True] * 4, [False] * 4)
    assert (found.decision, found.after) == (Decision.DIFFERENT, 4)
    assert 0.01 < found.p < ALPHA


def test_a_decision_stands_whatever_the_pairs_after_it_say() -> None:
    found = look([True] * 4 + [False] * 20, [False] * 4 + [True] * 20)
    assert (found.decision, found.after, found.pairs) == (Decision.DIFFERENT, 4, 24)


def test_no_hang_on_either_side_ends_as_nothing_worth_knowing() -> None:
    found = look([False] * 12, [False] * 12)
    assert found.decision is Decision.ALIKE
    assert found.after is not None and 5 <= found.after <= 12
    assert found.p == 1.0
    assert found.p_gap < BETA


def test_a_smaller_gap_takes_longer_to_exclude() -> None:
    alike = [look([False] * 60, [False] * 60, gap=gap).after or 61 for gap in (0.5, 0.3, 0.1)]
    assert alike == sorted(alike)
    assert alike[0] < alike[2]


def test_nothing_is_open() -> None:
    assert look([], []).decision is Decision.OPEN
    assert look([], []).p == 1.0


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.4, 0.5, 0.97])
def test_the_running_interval_holds_after_every_run_at_once(rate: float) -> None:
    runs = 40
    hits = np.cumsum(np.random.default_rng(round(1000 * rate)).random((COMPARISONS, runs)) < rate, axis=1)
    outside = np.zeros(COMPARISONS, dtype=bool)
    for count in range(1, runs + 1):
        bounds = np.array([running_interval(found, count) for found in range(count + 1)])
        outside |= (bounds[hits[:, count - 1], 0] > rate) | (bounds[hits[:, count - 1], 1] < rate)
    assert outside.mean() < ALPHA + SLACK * math.sqrt(ALPHA)


def test_the_running_interval_is_wider_than_that_of_a_fixed_number_and_holds_what_was_seen() -> None:
    low, high = running_interval(10, 10)
    assert 0.5 < low < 0.7 and high == 1.0
    low, high = running_interval(0, 10)
    assert low == 0.0 and 0.3 < high < 0.5
    assert running_interval(0, 0) == (0.0, 1.0)
