"""What guests' processors wanted of this machine and did not get."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from histories import Story

from harness.model.history import Event, Kind, Rung
from harness.model.opinion import State
from harness.model.verdict import VerdictKind
from harness.verdicts.judge import judge
from harness.verdicts.policy import Policy
from harness.verdicts.steal_time import StealTime, steal_measures
from harness.verdicts.watch import Watch

SECOND = 1_000_000_000


def beats(*grants: tuple[float, float]) -> list[Event]:
    """One sample a second of a host with an idle processor, and one that ran and waited as `grants` say (seconds)."""
    ran = waited = 0
    events = [Event(0.0, Kind.RUNG, "c1", {"rung": "vcpu", "processors": [[0, 0], [0, 0]]})]
    for number, (more, delay) in enumerate(grants, 1):
        ran, waited = ran + int(more * SECOND), waited + int(delay * SECOND)
        events.append(Event(float(number), Kind.RUNG, "c1", {"rung": "vcpu", "processors": [[0, 0], [ran, waited]]}))
    return events


def figures(events: list[Event]) -> dict[str, object]:
    return {measure.name: measure.value for measure in steal_measures(events)}


def test_the_worst_processor_counts() -> None:
    assert figures(beats((0.75, 0.25), (0.25, 0.75)))["steal time"] == 50


def test_a_processor_that_waits_and_does_not_run_gets_nothing() -> None:
    found = figures(beats((0.9, 0.1), (0.0, 1.0), (0.01, 0.99), (0.9, 0.1), (0.0, 1.0)))
    assert found["longest without a processor"] == 2.0


def test_an_idle_processor_and_a_busy_one_lack_nothing() -> None:
    assert figures(beats((0.0, 0.0), (1.0, 0.0))) == {"steal time": 0, "longest without a processor": 0.0}


def test_a_hypervisor_that_does_not_say_gives_no_figure() -> None:
    assert figures([Event(0.0, Kind.RUNG, "c1", {"rung": "vcpu", "detail": "running"})]) == {}


def test_what_was_withheld_in_a_span_is_that_of_the_worst_processor_and_grows_evenly_between_samples() -> None:
    steal = StealTime()
    for event in beats((0.5, 0.5), (0.0, 1.0), (1.0, 0.0)):
        steal.feed(event)
    assert steal.between(0.0, 3.0) == 1.5 and steal.between(0.5, 1.5) == 0.75
    assert steal.between(2.0, 9.0) == 0.0 and steal.between(-5.0, 1.0) == 0.5


def test_hosts_that_wait_for_each_other_wait_for_the_processors_of_all_and_each_answers_for_itself() -> None:
    steal = StealTime()
    for t, client, server in ((0.0, 0.0, 0.0), (10.0, 5.0, 3.0), (20.0, 14.0, 11.0)):
        for host, waited in (("client", client), ("server", server)):
            processors = [[0, 0], [0, waited * 1e9]]
            steal.feed(Event(t, Kind.RUNG, host, {"rung": "vcpu", "processors": processors}))
    assert steal.between(0.0, 10.0) == 8.0
    assert (steal.between(0.0, 10.0, "client"), steal.between(0.0, 10.0, "server")) == (5.0, 3.0)
    assert steal.between(10.0, 20.0) == 9.5, "hosts that all spin are found out in the end"


def test_nothing_is_withheld_where_nobody_says() -> None:
    assert StealTime().between(0.0, 10.0) == 0.0


def reported(seconds: float, steal: float, change: Callable[[Story], object], policy: Policy | None = None) -> Story:
    """A load that runs well, and then `seconds` in which something is different, and processors wait for so much."""
    story = Story(policy)
    story.steal = 0.0
    story.loaded(10)
    story.steal = steal
    change(story)
    return story.run(seconds)


def state_after(seconds: float, steal: float, change: Callable[[Story], object]) -> State:
    watch = Watch(Policy())
    for event in reported(seconds, steal, change).events:
        watch.feed(event)
    return watch.opinion.state


def stops(story: Story) -> object:
    return story.stop(Rung.STORAGE)


def loses_a_processor(story: Story) -> object:
    return story.stuck.update({1: story.now})


def falls_silent(story: Story) -> None:
    story.beats = False


def test_a_stop_of_a_guest_that_is_kept_from_running_takes_longer_to_be_sure() -> None:
    assert state_after(8, 0.0, stops) is State.STOPPED
    assert state_after(8, 0.7, stops) is State.SUSPECT
    assert state_after(16, 0.7, stops) is State.STOPPED


def test_a_processor_that_does_not_tick_because_it_is_not_run_is_not_locked_up() -> None:
    assert state_after(8, 0.0, loses_a_processor) is State.LOCKED
    assert state_after(8, 0.9, loses_a_processor) is State.RUNNING


def test_a_silence_of_a_guest_that_is_not_run_says_nothing() -> None:
    assert state_after(6, 0.0, falls_silent) is State.SILENT
    assert state_after(6, 0.9, falls_silent) is not State.SILENT


def test_a_stall_on_a_machine_that_starves_is_no_verdict_and_a_survivor_there_is_one() -> None:
    story = reported(160, 0.97, stops).go_on().run(5).finish().run(1).load_ends()
    verdict = judge(story.events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and "steal time" in verdict.summary
    assert (
        judge(reported(5, 0.97, stops).go_on().run(5).finish().run(1).load_ends().events).kind is VerdictKind.SURVIVED
    )


def test_what_was_withheld_of_a_wait_does_not_count_against_the_protocols_bound() -> None:
    bound = Policy(bound_s=20.0)
    for steal, kind in ((0.0, VerdictKind.STALLED), (0.5, VerdictKind.SURVIVED)):
        verdict = judge(reported(30, steal, stops, bound).go_on().run(5).finish().run(1).load_ends().events)
        assert verdict.kind is kind and [round(stall.duration_s) for stall in verdict.stalls] == [30]
    assert "15.0 s of them steal time" in verdict.reasons[0]


@pytest.mark.parametrize(("steal", "within"), [(0.0, False), (0.5, True)])
def test_an_open_stop_is_within_its_bound_for_as_long_as_it_was_not_granted_it(steal: float, within: bool) -> None:
    bound = Policy(bound_s=20.0)
    watch = Watch(bound)
    for event in reported(30, steal, stops, bound).events:
        watch.feed(event)
    assert watch.open_stop is not None
    assert watch.within_bound(watch.open_stop, watch.last_s) is within
