"""Curves of times until a hang, and the test on two of them; figures to compare with are worked out by hand."""

from __future__ import annotations

import pytest

from harness.statistics.survival import Times, curve, log_rank


def test_the_curve_falls_by_the_share_of_those_that_were_left() -> None:
    # 5 runs: hung after 2 s and 6 s, ended without after 4 s, 8 s and 9 s
    steps = curve(Times(hits=(2.0, 6.0), censored=(4.0, 8.0, 9.0)))
    falls = {step.time: step.share for step in steps}
    assert falls[0.0] == 1.0
    assert falls[2.0] == pytest.approx(4 / 5)
    assert falls[4.0] == pytest.approx(4 / 5)
    assert falls[6.0] == pytest.approx(4 / 5 * 2 / 3)
    assert steps[-1].share == pytest.approx(4 / 5 * 2 / 3)
    assert all(0.0 <= step.low <= step.share <= step.high <= 1.0 for step in steps)


def test_a_side_that_never_hangs_stays_at_one() -> None:
    (step,) = curve(Times(censored=(5.0, 8.0)))
    assert (step.time, step.share) == (0.0, 1.0)


def test_no_run_is_no_curve() -> None:
    assert curve(Times()) == []


@pytest.mark.parametrize("hits", [(3.0,), (3.0, 3.0, 3.0)])
def test_a_curve_of_one_instant_falls_to_zero_without_an_interval(hits: tuple[float, ...]) -> None:
    assert [(step.share, step.low, step.high) for step in curve(Times(hits=hits))] == [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)]


def test_there_is_no_interval_before_the_first_hang() -> None:
    before = [step for step in curve(Times(hits=(6.0, 9.0), censored=(2.0, 4.0, 20.0))) if step.time < 6.0]
    assert {(step.share, step.low, step.high) for step in before} == {(1.0, 1.0, 1.0)}


def test_median_and_longest_are_of_the_runs_that_hung() -> None:
    times = Times(hits=(4.0, 9.0, 21.0), censored=(100.0,))
    assert (times.median, times.longest) == (9.0, 21.0)
    assert (Times().median, Times().longest) == (None, None)


def test_the_log_rank_test_tells_early_from_late_and_nothing_from_the_same() -> None:
    early = Times(hits=(1.0, 2.0, 3.0, 4.0, 5.0))
    late = Times(hits=(20.0, 21.0, 25.0), censored=(30.0, 30.0))
    p = log_rank(early, late)
    assert p is not None and p < 0.01
    same = log_rank(early, early)
    assert same is not None and same > 0.9


def test_the_log_rank_test_agrees_with_the_sum_of_observed_less_expected() -> None:
    # a: 1, 3; b: 2 and one that ended at 4. Expected in a: 2/4 + 1/3 + 1/2 = 4/3, variance 1/4 + 2/9 + 1/4
    p = log_rank(Times(hits=(1.0, 3.0)), Times(hits=(2.0,), censored=(4.0,)))
    z = (2 - 4 / 3) / (1 / 4 + 2 / 9 + 1 / 4) ** 0.5
    from scipy.stats import norm

    assert p == pytest.approx(2 * norm.sf(z))


@pytest.mark.parametrize("times", [Times(), Times(censored=(5.0,))])
def test_without_a_hang_there_is_nothing_to_test(times: Times) -> None:
    assert log_rank(times, Times(censored=(4.0,))) is None
