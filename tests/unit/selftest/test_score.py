"""Stored histories against what is true of them: what counts as right, how fast, how exact."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from histories import Story, deadlock

from harness.model.errors import UsageError
from harness.model.history import Event, Kind, Rung
from harness.model.verdict import VerdictKind
from harness.selftest.score import ERROR, score, score_trial
from harness.selftest.truth import STOP_S, Truth, first_completion
from harness.trial.plan import Plan
from harness.verdicts.policy import Policy


def no_plan(random: Random) -> Plan:
    raise AssertionError("scoring runs nothing")


def truth(name: str, *accepted: VerdictKind, **more: bool) -> Truth:
    return Truth(
        name=name,
        about="",
        accepted=accepted,
        plan=no_plan,
        within_s=STOP_S,
        faulty=more.get("faulty", True),
        heals=more.get("heals", False),
    )


STOP = Policy().stop_s
DEADLOCK = truth("deadlock.link", VerdictKind.DEADLOCKED)
STALL = truth("stall.20", VerdictKind.STALLED, heals=True)


def injected(story: Story, action: str = "inject", took_s: float = 0.2) -> Story:
    return story.add(Kind.FAULT, name="cable", action=action, took_s=took_s)


def counted(story: Story, requests: int) -> Story:
    return story.add(Kind.VMSTAT, pgscan_direct=7, nbd0=[requests, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0])


def dead_story() -> Story:
    """The load stops with the fault, 10 s after it began."""
    story = injected(Story().loaded(10)).stop(Rung.STORAGE).run(16).load_ends().evidence()
    return story.recovery(hold=False, release=True).evidence(4)


def stalled_story(*, seconds: float, first_request_s: float) -> Story:
    """A stall of so many seconds; the first request is completed so long after the fault."""
    story = injected(counted(Story(Policy(time_limited=True)).loaded(10), 50)).stop(Rung.STORAGE)
    story.run(seconds - 4)
    injected(counted(story, 50), "heal").run(4).go_on()
    late = first_request_s - seconds
    counted(story.run(late), 51).run(20 - late)
    return story.add(Kind.LIMIT, "", seconds=60.0).load_ends()


def test_a_deadlock_is_right_and_its_latency_counts_from_the_beginning_of_the_injection() -> None:
    row = score_trial("deadlock.link/1", DEADLOCK, dead_story().events)
    assert row.right
    assert row.outcome == "DEADLOCKED"
    assert row.latency_s == pytest.approx(STOP + 0.2, abs=0.6)
    assert row.onset_error_s == pytest.approx(0.0, abs=0.01)


def test_any_other_verdict_is_wrong_and_has_no_figures() -> None:
    row = score_trial("stall.20/1", replace(STALL, heals=False), dead_story().events)
    assert not row.right
    assert (row.latency_s, row.onset_error_s) == (None, None)


def test_a_fault_that_was_never_injected_is_an_error_though_the_verdict_would_fit() -> None:
    row = score_trial("deadlock.link/1", DEADLOCK, deadlock().events)
    assert (row.outcome, row.right) == (ERROR, False)
    assert "never injected" in row.summary


def test_where_nothing_is_injected_latency_counts_from_the_last_progress() -> None:
    row = score_trial("deadlock.loopback/1", replace(DEADLOCK, faulty=False), deadlock().events)
    assert row.right
    assert row.latency_s == pytest.approx(STOP, abs=0.6)
    assert row.onset_error_s is None


def test_to_be_sure_before_the_fault_is_wrong() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(12)
    injected(story).run(16).load_ends().evidence().recovery(hold=False, release=True)
    row = score_trial("deadlock.link/1", DEADLOCK, story.events)
    assert not row.right
    assert "before the fault" in row.summary


def test_a_stall_ends_with_the_first_request_that_the_device_completes() -> None:
    row = score_trial("stall.20/1", STALL, stalled_story(seconds=20, first_request_s=21.0).events)
    assert (row.right, row.stalls) == (True, 1)
    assert row.onset_error_s == pytest.approx(0.0, abs=0.6)
    assert row.duration_error_s == pytest.approx(-1.0, abs=0.6)


def test_a_stall_long_after_the_fault_is_another_one() -> None:
    story = injected(Story(Policy(time_limited=True)).loaded(10)).run(3)
    injected(story, "heal").run(60).stop(Rung.STORAGE).run(10).go_on().run(20)
    row = score_trial("stall.5/1", STALL, story.add(Kind.LIMIT, "", seconds=60.0).load_ends().events)
    assert (row.outcome, row.right) == ("STALLED", False)
    assert row.summary.startswith("something else, +6")


def test_a_stall_that_was_never_healed_is_an_error() -> None:
    row = score_trial("stall.20/1", STALL, dead_story().events)
    assert row.outcome == ERROR


def test_the_first_completion_needs_a_count_from_before() -> None:
    events = [
        Event(float(second), Kind.VMSTAT, "c1", {"pswpin": 3, "nbd0": [done, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]})
        for second, done in enumerate((5, 5, 9, 9, 10))
    ]
    assert first_completion(events, 0.5) == 2.0
    assert first_completion(events, 2.5) == 4.0
    assert first_completion(events, 4.0) is None
    assert first_completion(events[2:], 1.5) == 4.0


def test_the_time_that_a_protocol_may_wait_is_not_held_against_the_watch() -> None:
    policy = Policy(bound_s=2.0)
    story = injected(Story(policy).loaded(10)).stop(Rung.STORAGE).run(46).load_ends().evidence()
    story.recovery(hold=False, release=True)
    row = score_trial("bounded.nfs-never/1", truth("bounded.nfs-never", VerdictKind.DEADLOCKED), story.events)
    assert row.right
    assert row.latency_s == pytest.approx(STOP - 1.8, abs=0.6)


def test_the_policys_factor_is_that_of_the_second_trial_event() -> None:
    story = Story(Policy())
    story.add(Kind.TRIAL, "", name="x", policy=Policy().scaled(22.5).to_dict(), slowdown=22.5)
    story.loaded().run(5).finish().load_ends()
    row = score_trial("live.cpu/1", truth("live.cpu", VerdictKind.SURVIVED, faulty=False), story.events)
    assert (row.right, row.slowdown) == (True, 22.5)
    assert row.factor == pytest.approx(1.5)
    assert row.latency_s is None


def test_a_hang_in_a_live_load_is_a_false_hang() -> None:
    row = score_trial("live.cpu/1", truth("live.cpu", VerdictKind.SURVIVED, faulty=False), deadlock().events)
    assert row.false_hang


def test_what_a_trial_raised_outranks_its_history() -> None:
    truths = {DEADLOCK.name: DEADLOCK}
    histories = [("deadlock.link/1", dead_story().events), ("deadlock.link/2", dead_story().events)]
    rows = score(histories, {"deadlock.link/2": "BootError: x", "deadlock.link/3": "died"}, truths)
    shown = {row.trial: row.outcome for row in rows}
    assert shown == {"deadlock.link/1": "DEADLOCKED", "deadlock.link/2": ERROR, "deadlock.link/3": ERROR}


def test_a_trial_of_no_known_kind_is_named() -> None:
    with pytest.raises(UsageError, match=r"test_x\.py"):
        score([("test_x.py::test_swap", [])], {}, {})
