"""Counters become rates."""

from __future__ import annotations

import pytest

from harness.model.history import Event, Kind
from harness.report.read.curves import Step, make_panels, rates


def progress(t: float, ops: object, host: str = "client", label: str = "pages") -> Event:
    return Event(t, Kind.PROGRESS, host, {"ops": ops, "label": label})


def vmstat(t: float, **counters: int) -> Event:
    return Event(t, Kind.VMSTAT, "client", counters)


def test_rates_are_means_between_readings() -> None:
    assert rates([(1, 0), (2, 100), (4, 120)], 10) == (Step(1, 2, 100.0), Step(2, 4, 10.0))


def test_a_counter_that_goes_back_is_no_negative_rate() -> None:
    assert rates([(1, 500), (2, 0), (3, 50)], 10) == (Step(2, 3, 50.0),)


def test_a_long_gap_is_not_averaged_over() -> None:
    assert rates([(1, 0), (2, 10), (40, 400), (41, 410)], 60) == (Step(1, 2, 10.0), Step(40, 41, 10.0))


def test_long_trials_are_thinned_but_nothing_is_lost() -> None:
    points = [(t / 2, t * 10.0) for t in range(7200)]
    steps = rates(points, 3600)
    assert len(steps) < 500
    assert sum(step.rate * (step.end - step.start) for step in steps) == pytest.approx(points[-1][1])


def test_two_readings_at_once_are_no_division_by_zero() -> None:
    assert rates([(1, 0), (1, 5)], 10) == ()


def test_progress_panel_has_the_workloads_own_unit() -> None:
    (panel,) = make_panels([progress(1, 0), progress(2, 5)], 2)
    assert (panel.title, panel.unit) == ("workload progress", "pages/s")
    assert [curve.host for curve in panel.curves] == ["client"]


def test_hosts_have_curves_of_their_own() -> None:
    (panel,) = make_panels([progress(1, 0), progress(1, 0, "b"), progress(2, 5), progress(2, 9, "b")], 2)
    assert [(curve.host, curve.steps[0].rate) for curve in panel.curves] == [("client", 5.0), ("b", 9.0)]


def test_counters_that_an_event_leaves_out_have_not_moved() -> None:
    events = [vmstat(1, pswpout=0, pswpin=0), vmstat(2, pswpout=10), vmstat(3, pswpin=4), vmstat(4)]
    (panel,) = make_panels(events, 4)
    by_name = {curve.name: [step.rate for step in curve.steps] for curve in panel.curves}
    assert by_name == {"out": [10.0, 0.0, 0.0], "in": [0.0, 4.0, 0.0]}


def test_counters_that_never_move_are_not_drawn() -> None:
    assert make_panels([vmstat(1, pswpout=7), vmstat(2, pswpout=7)], 2) == []


def test_values_that_are_no_numbers_are_left_out() -> None:
    assert make_panels([progress(1, "many"), progress(2, None), progress(3, 1e300)], 3) == []
