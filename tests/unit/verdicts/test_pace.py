"""Pace and policy: what is a crawl, and how thresholds are scaled and kept."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from harness.model.history import Event, Kind
from harness.verdicts.pace import Pace
from harness.verdicts.policy import Policy


def paced(rates: list[tuple[int, int]], baseline: float | None = 1000.0) -> Pace:
    """`rates`: operations a second, and for how many seconds."""
    pace, now, ops = Pace(Policy()), 0.0, 0
    if baseline is not None:
        pace.feed(Event(0.0, Kind.BASELINE, "c1", {"ops_per_s": baseline}))
    for rate, seconds in rates:
        for _ in range(seconds):
            now, ops = now + 1, ops + rate
            pace.feed(Event(now, Kind.PROGRESS, "c1", {"ops": ops}))
    return pace


def test_a_crawl_needs_a_whole_window() -> None:
    assert paced([(9, 60)]).crawl is None
    crawl = paced([(9, 62)]).crawl
    assert crawl is not None
    assert (crawl.begin_s, crawl.certain_s, crawl.seconds, crawl.share) == (1.0, 61.0, 60.0, 0.009)


def test_at_the_threshold_it_is_no_crawl() -> None:
    assert paced([(10, 200)]).crawl is None


def test_a_crawl_after_good_progress_and_one_that_ended() -> None:
    assert paced([(500, 100), (2, 61)]).crawl is not None
    assert paced([(2, 70), (500, 100)]).crawl is not None
    assert paced([(2, 50), (500, 100), (2, 50)]).crawl is None


def test_no_progress_at_all_is_not_a_crawl_but_a_stop() -> None:
    assert paced([(0, 300)]).crawl is None


def test_without_a_baseline_nothing_is_a_crawl() -> None:
    assert paced([(1, 200)], baseline=None).crawl is None


def test_scaling_is_bounded_and_never_hasty() -> None:
    policy = Policy()
    assert policy.scaled(0.1) == policy.scaled(15.0) == policy
    assert policy.scaled(30.0).stop_s == policy.scaled(1000.0).stop_s == 2 * policy.stop_s
    assert policy.scaled(22.5).silent_s == 9.0
    assert policy.scaled(1000.0).patience_s == policy.patience_s


@given(
    st.builds(
        Policy,
        stop_s=st.floats(0.1, 100),
        endless=st.booleans(),
        mortal=st.lists(st.text(max_size=15), max_size=4).map(tuple),
    )
)
def test_a_policy_is_what_it_was_written_as(policy: Policy) -> None:
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


def test_a_policy_of_another_version() -> None:
    assert Policy.from_dict({"stop_s": 7.0, "unheard_of": 1}) == Policy(stop_s=7.0)
