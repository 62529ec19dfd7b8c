"""The watch: when it is sure of a stop, and when it must not be."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from histories import CRITICAL, Story, survivor

from harness.model.history import Event, Kind, Rung
from harness.model.opinion import Opinion, State
from harness.verdicts.policy import Policy
from harness.verdicts.watch import Watch


def watched(events: Iterable[Event], policy: Policy | None = None) -> tuple[Watch, list[Opinion]]:
    watch = Watch(policy or Policy(critical_tasks=CRITICAL))
    return watch, [watch.feed(event) for event in events]


def states(story: Story) -> list[State]:
    """The opinions in their order, each once."""
    found: list[State] = []
    for opinion in watched(story.events)[1]:
        if not found or found[-1] is not opinion.state:
            found.append(opinion.state)
    return found


def test_nothing_is_judged_before_the_load() -> None:
    story = Story().block(*Rung)
    story.phase("boot").run(60)
    assert states(story) == [State.IDLE]


def test_a_survivor_that_swaps_heavily_is_never_thought_stopped() -> None:
    watch, opinions = watched(survivor().events)
    assert watch.stops == []
    assert {opinion.state for opinion in opinions} == {State.IDLE, State.RUNNING, State.FINISHED}


def test_a_stop_with_a_blocked_rung_is_sure_after_four_seconds() -> None:
    story = Story().loaded(10)
    onset = story.now
    story.stop(Rung.STORAGE).run(3.5)
    watch, _ = watched(story.events)
    assert watch.opinion.state is State.SUSPECT and watch.open_stop is None
    story.run(1)
    watch, _ = watched(story.events)
    stop = watch.open_stop
    assert watch.opinion.state is State.STOPPED and stop is not None
    assert stop.onset_s == onset and 4.0 <= stop.certain_s - onset <= 5.0
    assert stop.blocked == ("c1/storage",)
    assert {"c1/alloc", "c1/fork", "c1/disk", "c1/net", "c1/shell", "c1/vcpu"} <= set(stop.alive)
    assert "blocked: c1/storage" in watch.opinion.why


def test_a_stop_while_every_rung_answers_needs_thirty_seconds() -> None:
    story = Story().loaded(10).stop().run(29)
    assert watched(story.events)[0].open_stop is None
    watch, _ = watched(story.run(2).events)
    assert watch.open_stop is not None and watch.open_stop.blocked == ()
    assert "every rung answers" in watch.opinion.why


def test_a_rung_that_blocks_only_briefly_does_not_bear_out_a_stop() -> None:
    story = Story().loaded(10).stop().run(5.5).block(Rung.STORAGE).run(1)
    assert watched(story.events)[0].open_stop is None


def test_a_load_that_never_reported_gets_twice_the_time() -> None:
    story = Story().prepared().block(Rung.STORAGE).run(7)
    assert watched(story.events)[0].open_stop is None
    watch, _ = watched(story.run(2).events)
    assert watch.open_stop is not None and watch.open_stop.onset_s == 6.0


def test_a_stop_that_ends_by_itself_has_its_times() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE)
    onset = story.now
    story.run(8).go_on().run(2)
    watch, _ = watched(story.events)
    (stop,) = watch.stops
    assert (stop.onset_s, stop.ended_s) == (onset, onset + 8.5)
    assert watch.opinion.state is State.RUNNING and watch.open_stop is None


def test_what_moves_after_the_load_does_not_end_a_stop() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(7).load_ends()
    story.phase("recovery").go_on().run(3)
    watch, _ = watched(story.phase("recovery", "end").run(3).events)
    assert watch.open_stop is not None and watch.opinion.state is State.STOPPED


def test_silence_of_the_heartbeat() -> None:
    story = Story().loaded(10)
    story.beats = False
    assert watched(story.run(3.5).events)[0].opinion.state is not State.SILENT
    watch, _ = watched(story.run(2).events)
    assert watch.opinion.state is State.SILENT and watch.opinion.since_s == 16.0


def test_a_heartbeat_that_comes_back_during_a_stop_leaves_it_a_stop() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(7)
    story.beats = False
    story.run(8)
    story.beats = True
    watch, opinions = watched(story.run(2).events)
    assert State.SILENT in {opinion.state for opinion in opinions}
    assert watch.opinion.state is State.STOPPED and watch.opinion.since_s == 16.0


def test_silence_while_the_kernel_prints_evidence_is_no_evidence() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(7).load_ends().evidence(30, beats=False)
    assert State.SILENT not in states(story)


def test_a_paused_guest_is_neither_silent_nor_stopped() -> None:
    story = Story().loaded(10).block(Rung.SHELL)
    story.power = "paused"
    story.run(20)
    watch, opinions = watched(story.events)
    assert watch.opinion.state is State.PAUSED and watch.stops == []
    assert State.SILENT not in {opinion.state for opinion in opinions}


@pytest.mark.parametrize("pause_s", [3, 5.5, 20])
def test_a_guest_that_was_resumed_gets_its_time(pause_s: float) -> None:
    story = Story().loaded(10).block(Rung.SHELL)
    story.power = "paused"
    story.run(pause_s)
    story.power = "running"
    story.beats = False
    story.run(2)
    story.beats = True
    watch, _ = watched(story.unblock().run(3).events)
    assert watch.stops == [] and watch.opinion.state is State.RUNNING


@pytest.mark.parametrize("power", ["shutoff", "gone"])
def test_a_guest_that_is_gone(power: str) -> None:
    story = Story().loaded(10)
    story.power = power
    assert watched(story.run(1).events)[0].opinion.state is State.GONE


def test_a_crash_and_a_mortal_task() -> None:
    assert states(Story().loaded(3).console("panic", "Kernel panic"))[-1] is State.CRASHED
    assert states(Story().loaded(3).console("oom_kill", "Out of memory", task="thrash"))[-1] is State.KILLED
    assert states(Story().loaded(3).console("oom_kill", "Out of memory", task="cron"))[-1] is State.RUNNING


def test_a_task_that_dies_after_a_stop_leaves_it_a_stop() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(7).console("oom_kill", "Out of memory", task="thrash").run(2)
    assert states(story)[-1] is State.STOPPED


def test_finished_counts_the_failed_ones() -> None:
    story = Story().loaded(3)
    story.failed = 2
    assert states(story.finish())[-1] is State.FINISHED


def test_time_in_which_the_harness_did_not_run_is_no_evidence() -> None:
    story = Story().loaded(10).block(Rung.SHELL).run(2)
    story.now += 12.0  # this machine stood still; what comes first afterwards is a sample of its own
    story._rungs()
    watch, _ = watched(story.events)
    assert watch.stops == [] and watch.opinion.state is State.RUNNING
    assert watched(story.unblock().run(2).events)[0].opinion.state is State.RUNNING


def test_a_lag_that_the_harness_owns_up_to() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(3)
    story.add(Kind.LAG, "", seconds=3.0).run(3.5)
    assert watched(story.events)[0].stops == []
    watch, _ = watched(story.run(2).events)
    assert watch.open_stop is not None


def test_a_lag_never_reaches_into_the_future() -> None:
    story = Story().loaded(10).add(Kind.LAG, "", seconds=100.0)
    watch, _ = watched(story.stop(Rung.STORAGE).run(7).events)
    assert watch.open_stop is not None


def test_two_hosts_only_the_one_with_a_load_must_move() -> None:
    story = Story().loaded(10)
    server = Story(host="s1").run(17)
    events = sorted([*story.events, *server.events[1:]], key=lambda event: event.t)
    assert watched(events)[0].opinion.state is State.RUNNING


def test_a_rung_that_went_on_blocking_since_it_was_last_told() -> None:
    story = Story().loaded(5).block(Rung.STORAGE).run(2)
    watch, _ = watched(story.events)
    assert watch.hosts["c1"].blocked_for("storage", story.now + 3) == 5.0
    assert watch.hosts["c1"].blocked_for("alloc", story.now + 3) == 0.0
    assert watch.hosts["c1"].blocked_for("unheard", story.now) == 0.0
