"""Pace and policy: what is a crawl, and how thresholds are scaled and kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdicts.pace import Pace
from harness.verdicts.policy import Policy


def paced(rates: list[tuple[float, float]], baseline: float = 1000.0) -> Pace:
    """`rates`: operations a second, and for how many seconds."""
    pace, now, ops = Pace(Policy()), 0.0, 0.0
    pace.baseline = baseline
    pace.add(now, 0)
    for rate, seconds in rates:
        for _ in range(round(seconds * 2)):
            now, ops = now + 0.5, ops + rate / 2
            pace.add(now, int(ops))
    return pace


def test_a_crawl_needs_a_whole_window() -> None:
    assert paced([(500, 20), (8, 11)]).crawl is None
    crawl = paced([(500, 20), (8, 12.5)]).crawl
    assert crawl is not None and crawl.baseline == 1000.0
    assert 19.5 <= crawl.begin_s <= 20.0 and 0.008 <= crawl.share < 0.01


def test_a_crawl_from_the_first_second_on() -> None:
    assert paced([(8, 11)]).crawl is None
    assert paced([(8, 12.5)]).crawl is not None


def test_at_the_threshold_it_is_no_crawl() -> None:
    assert paced([(10, 60)]).crawl is None


def test_progress_in_bursts_crawls_too() -> None:
    bursts = paced([(500, 20)] + [(0.0, 1.5), (16.0, 0.5)] * 7)
    assert bursts.crawl is not None and not bursts.recovered


@pytest.mark.parametrize("stop_s", [3.0, 8.0, 12.0, 30.0, 200.0])
def test_a_stop_is_no_crawl_neither_while_it_lasts_nor_when_it_ends(stop_s: float) -> None:
    for after in (0.5, 1.0, 2.0, 4.0, 8.0):
        assert paced([(500, 20), (0, stop_s)]).crawl is None
        assert paced([(500, 20), (0, stop_s), (500, after)]).crawl is None
    assert paced([(500, 20), (0, stop_s), (2, 0.5), (0, 0.5), (500, 2)]).crawl is None, "it comes back hesitantly"


@pytest.mark.parametrize("stop_s", [24.0, 34.0, 36.0, 58.0, 60.0])
def test_a_long_stop_is_no_rare_progress(stop_s: float) -> None:
    assert paced([(500, 70), (0, stop_s), (500, 0.5)]).crawl is None
    assert paced([(500, 70), (0, stop_s), (8, 3)]).crawl is None


def test_no_progress_at_all_is_no_crawl_but_a_stop() -> None:
    assert paced([(0, 300)]).crawl is None


def test_without_a_baseline_nothing_is_a_crawl() -> None:
    pace = paced([(1, 200)], baseline=0.0)
    assert pace.crawl is None and not pace.recovered


def test_a_crawl_ends_well_above_where_it_begins() -> None:
    assert not paced([(8, 30), (15, 5)]).recovered
    assert paced([(8, 30), (25, 5)]).recovered


def test_the_last_of_many_workers_is_not_measured_against_all_of_them() -> None:
    pace = paced([(500, 20)])
    for step in range(40):
        pace.add(20.5 + step / 2, 10_000 + 2 * step, share=1 / 16)
    assert pace.crawl is None


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 2000)), max_size=120))
def test_a_crawl_is_always_slow(steps: list[tuple[float, int]]) -> None:
    pace, now, ops = Pace(Policy()), 0.0, 0
    pace.baseline = 1000.0
    for seconds, more in steps:
        now, ops = now + seconds, ops + more
        pace.add(now, ops)
        if pace.crawl is not None:
            assert 0.0 < pace.crawl.share < 0.01 and now - pace.crawl.begin_s >= 12.0


def test_scaling_is_bounded_and_never_hasty() -> None:
    policy = Policy()
    assert policy.scaled(0.1) == policy.scaled(15.0) == policy
    assert policy.scaled(30.0).silent_s == policy.scaled(1000.0).silent_s == 2 * policy.silent_s
    assert policy.scaled(1000.0).stop_s == policy.stop_s, "a survivor's pauses do not grow with its slowness"
    assert policy.scaled(22.5).silent_s == 6.0
    assert policy.scaled(1000.0).patience_s == policy.patience_s


@given(
    st.builds(
        Policy,
        stop_s=st.floats(0.1, 100),
        time_limited=st.booleans(),
        critical_tasks=st.lists(st.text(max_size=15), max_size=4).map(tuple),
    )
)
def test_a_policy_is_what_it_was_written_as(policy: Policy) -> None:
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


def test_a_policy_of_another_version() -> None:
    assert Policy.from_dict({"stop_s": 7.0, "unheard_of": 1}) == Policy(stop_s=7.0)
