"""Samples become lanes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.history import Event, Kind, Rung
from harness.report.read.lanes import Lane, Sample, Segment, State, coarsen, make_lanes, make_segments, number


def fast(t: float, latency: float | None = 0.01) -> Sample:
    return Sample(t, True, latency, None)


def blocked(t: float, since: float) -> Sample:
    return Sample(t, False, None, t - since)


def test_equal_neighbours_are_one_segment() -> None:
    assert make_segments([fast(t) for t in range(1, 600)]) == (Segment(0.0, 599, State.FAST),)


@pytest.mark.parametrize(
    ("sample", "state"),
    [
        (Sample(1, True, 0.99, None), State.FAST),
        (Sample(1, True, None, None), State.FAST),
        (Sample(1, True, 1.0, None), State.SLOW),
        (Sample(1, True, 5.0, None), State.VERY_SLOW),
        (Sample(1, False, 0.1, None), State.FAILED),
        (Sample(1, False, None, None), State.FAILED),
        (Sample(1, False, None, 0.4), State.FAST),  # merely under way
        (Sample(1, False, None, 1.0), State.BLOCKED),
        (Sample(1, True, None, 60.0), State.BLOCKED),
    ],
)
def test_states(sample: Sample, state: State) -> None:
    assert make_segments([sample])[-1].state is state


def test_a_block_reaches_back_to_when_its_probe_began() -> None:
    samples = [fast(1), fast(2), blocked(3, since=2.1), blocked(4, since=2.1), blocked(5, since=2.1)]
    assert make_segments(samples) == (Segment(0.0, 2.1, State.FAST), Segment(2.1, 5, State.BLOCKED))


def test_a_block_that_ends_leaves_its_stretch_hatched() -> None:
    samples = [fast(1), blocked(3, since=1), blocked(4, since=1), fast(4.5, latency=3.5), fast(5.5)]
    assert [(s.start, s.end, s.state.name) for s in make_segments(samples)] == [
        (0.0, 1, "FAST"),
        (1, 4, "BLOCKED"),
        (4, 4.5, "SLOW"),
        (4.5, 5.5, "FAST"),
    ]


def test_silence_is_a_gap_and_not_a_guess() -> None:
    segments = make_segments([*(fast(t) for t in range(1, 10)), fast(60), fast(61)])
    assert segments == (Segment(0.0, 9, State.FAST), Segment(59, 61, State.FAST))


def test_a_rung_that_is_sampled_seldom_is_not_all_gaps() -> None:
    # nothing is known before the first sample
    assert make_segments([fast(t) for t in range(10, 200, 10)]) == (Segment(9.0, 190, State.FAST),)


def rung(t: float, host: str, name: str, **data: object) -> Event:
    return Event(t, Kind.RUNG, host, {"rung": name, "ok": True, "latency_s": 0.1, "blocked_s": None, **data})


def test_lanes_follow_the_ladder_and_the_working_host_is_first() -> None:
    events = [rung(1, "a-server", "net"), rung(1, "b", "progress"), rung(1, "b", "vcpu"), rung(1, "a-server", "vcpu")]
    assert [(lane.host, lane.rung.value) for lane in make_lanes(events, 2)] == [
        ("b", "vcpu"),
        ("b", "progress"),
        ("a-server", "vcpu"),
        ("a-server", "net"),
    ]


@pytest.mark.parametrize("value", ["9", None, True, [], float("nan"), float("inf"), 10**400, 1e300])
def test_what_is_no_sane_number_is_none(value: object) -> None:
    assert number(value) is None
    lanes = make_lanes([rung(1, "a", "vcpu", latency_s=value, blocked_s=value), rung(2, "a", "nonsense")], 2)
    assert [segment.state for segment in lanes[0].segments] == [State.FAST]


@pytest.mark.parametrize(
    ("samples", "end", "summary"),
    [
        ([(1, 0.032, None), (2, 0.01, None)], 2, "slowest 32 ms"),
        ([(1, 0.0, None)], 1, "never blocked"),
        ([(1, 0.1, None), (30, None, 12.0)], 30, "blocked from 18.0 s"),
        ([(1, 0.1, None), (6, None, 4.5), (7, 0.1, None)], 8, "back after 4.5 s"),
        ([(1, 0.1, None), (2, 0.1, None)], 60, "slowest 100 ms, then silent"),
    ],
)
def test_summaries(samples: list[tuple[float, float | None, float | None]], end: float, summary: str) -> None:
    events = [rung(t, "a", "disk", latency_s=latency, blocked_s=since) for t, latency, since in samples]
    assert make_lanes(events, end)[0].summary == summary


def test_failures_are_counted() -> None:
    events = [rung(t, "a", "shell", ok=t > 2) for t in (1, 2, 3)]
    assert make_lanes(events, 3)[0].summary == "failed 2×"


def test_few_segments_stay_exact() -> None:
    lanes = [Lane("a", Rung.NET, (Segment(0, 0.123, State.FAST),), "")]
    assert coarsen(lanes, limit=1, span=600) == lanes


def test_many_segments_are_drawn_coarser_and_the_worst_wins() -> None:
    states = [State.FAST, State.SLOW, State.FAST, State.BLOCKED]
    segments = tuple(Segment(t / 10, (t + 1) / 10, states[t % 4]) for t in range(6000))
    lanes = [Lane("a", rung, segments, "") for rung in Rung]
    coarse = coarsen(lanes, limit=6000, span=600)
    assert sum(len(lane.segments) for lane in coarse) <= 6000
    assert all(max(s.state for s in lane.segments) is State.BLOCKED for lane in coarse)
    assert all(lane.segments[-1].end == pytest.approx(600) for lane in coarse)


SAMPLES = st.tuples(st.floats(0, 600), st.booleans(), st.none() | st.floats(0, 100), st.none() | st.floats(0, 700))


@given(st.lists(SAMPLES, max_size=60))
def test_segments_never_overlap_and_never_leave_the_trial(raw: list[tuple[float, bool, float, float]]) -> None:
    samples = sorted((Sample(*values) for values in raw), key=lambda sample: sample.t)
    segments = make_segments(samples)
    assert all(0 <= s.start <= s.end <= 600 for s in segments)
    assert all(before.end <= after.start for before, after in pairwise(segments))
