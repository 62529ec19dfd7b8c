"""The judge: every verdict, the order of its rules, and that it never says more than a history holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import MORTAL, WORKERS, Story, deadlock, survivor
from hypothesis import given
from hypothesis import strategies as st

from harness.model.history import Event, Kind, Rung, read_events
from harness.model.verdict import HANGS, VerdictKind
from harness.verdicts.judge import judge
from harness.verdicts.policy import Policy

ENDLESS = Policy(mortal=MORTAL, endless=True)


def kind_of(story: Story) -> VerdictKind:
    return judge(story.events).kind


def locked_up() -> Story:
    story = Story().loaded(10)
    story.beats = False
    return story.run(18).load_ends().evidence(8)


def gone() -> Story:
    story = Story().loaded(10)
    story.power = "gone"
    return story.run(1).load_ends()


def paused() -> Story:
    story = Story().loaded(10)
    story.power = "paused"
    return story.run(18).load_ends()


def livelock() -> Story:
    story = Story().loaded(10).stop(Rung.STORAGE, Rung.ALLOC).run(16).load_ends().evidence()
    return story.recovery(hold=True)


def stalled() -> Story:
    return Story().loaded(10).stop(Rung.STORAGE).run(8).go_on().run(10).finish().load_ends()


def crawl() -> Story:
    story = Story().loaded(10)
    story.rate = 20.0  # of a baseline of 4000
    return story.run(75).go_on().run(2).finish().load_ends()


def oom(story: Story) -> Story:
    return story.console("oom_kill", "Out of memory: Killed process 77 (thrash)", task="thrash")


def test_a_survivor_that_swaps_heavily() -> None:
    verdict = judge(survivor().events)
    assert verdict.kind is VerdictKind.SURVIVED and verdict.stalls == () and verdict.to_error() is None


@pytest.mark.parametrize(("freed", "how"), [(True, "killing the workload frees it"), (False, "not even killing")])
def test_deadlock(freed: bool, how: str) -> None:
    verdict = judge(deadlock(freed=freed).events)
    assert verdict.kind is VerdictKind.DEADLOCKED and how in verdict.summary
    assert verdict.onset_s == 16.0 and verdict.certain_s is not None and verdict.certain_s - 16.0 <= 6.0
    assert verdict.blocked == ("c1/storage",) and "c1/alloc" in verdict.alive


def test_deadlock_before_the_first_progress() -> None:
    story = Story().prepared().block(Rung.STORAGE).run(22).load_ends().evidence()
    verdict = judge(story.recovery(hold=False, release=True).events)
    assert verdict.kind is VerdictKind.DEADLOCKED and verdict.onset_s == 6.0


def test_livelock_that_holding_the_workload_ends() -> None:
    assert kind_of(livelock()) is VerdictKind.LIVELOCKED


def test_progress_that_crawls() -> None:
    verdict = judge(crawl().events)
    assert verdict.kind is VerdictKind.LIVELOCKED and "of the baseline for 60 s" in verdict.summary
    assert verdict.certain_s is not None and verdict.onset_s is not None
    assert verdict.certain_s - verdict.onset_s == 60.0 and verdict.certain_s < 80.0
    assert any("4000" in reason for reason in verdict.reasons)


def test_a_stop_that_ends_by_itself() -> None:
    verdict = judge(stalled().events)
    assert verdict.kind is VerdictKind.STALLED
    (stall,) = verdict.stalls
    assert stall.onset_s == 16.0 and stall.duration_s == 8.5 and stall.ended


def test_a_stall_before_a_deadlock_is_told_with_it() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(8).go_on().run(5).stop(Rung.STORAGE).run(16)
    verdict = judge(story.load_ends().evidence().recovery(hold=False, release=True).events)
    assert verdict.kind is VerdictKind.DEADLOCKED and len(verdict.stalls) == 1 and verdict.onset_s == 29.0


def test_locked_up_gone_and_paused() -> None:
    assert kind_of(locked_up()) is VerdictKind.LOCKED_UP
    assert kind_of(gone()) is VerdictKind.LOST
    verdict = judge(paused().events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and "paused" in verdict.summary


@pytest.mark.parametrize("make", [survivor, deadlock, livelock, stalled, crawl, locked_up, gone, paused])
@pytest.mark.parametrize("finding", ["panic", "oops", "sanitizer"])
def test_a_crash_outranks_everything(make: object, finding: str) -> None:
    assert callable(make)
    story: Story = make()
    story.add(Kind.INFRA, error="ShellError: connection lost").console(finding, "BUG: it broke")
    verdict = judge(story.events)
    assert verdict.kind is VerdictKind.CRASHED and "BUG: it broke" in verdict.summary


def test_an_oom_kill_of_a_mortal_task_outranks_a_failed_harness() -> None:
    story = oom(Story().loaded(10)).run(1).load_ends().add(Kind.INFRA, error="ShellError")
    verdict = judge(story.events)
    assert verdict.kind is VerdictKind.OOM_KILLED and verdict.onset_s == 16.0


def test_an_oom_kill_after_a_stop_is_not_its_cause() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(8)
    oom(story).run(8).load_ends().evidence().recovery(hold=False, release=True)
    assert kind_of(story) is VerdictKind.DEADLOCKED


def test_an_oom_kill_of_somebody_else_means_nothing() -> None:
    story = Story().loaded(10).console("oom_kill", "Out of memory", task="cron")
    assert kind_of(story.run(2).finish().load_ends()) is VerdictKind.SURVIVED


@pytest.mark.parametrize("make", [survivor, deadlock, livelock, stalled, locked_up, gone])
def test_a_failed_harness_outranks_silence(make: object) -> None:
    assert callable(make)
    story: Story = make()
    verdict = judge(story.add(Kind.INFRA, error="BootError: no").events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and verdict.summary == "BootError: no"


def test_a_lockup_during_a_stop_outranks_the_stop() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(7)
    story.beats = False
    assert kind_of(story.run(18).load_ends()) is VerdictKind.LOCKED_UP


def test_a_heartbeat_that_came_back_is_no_lockup() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(7)
    story.beats = False
    story.run(8)
    story.beats = True
    story.run(2).load_ends().evidence(30, beats=False).recovery(hold=False, release=True)
    assert kind_of(story) is VerdictKind.DEADLOCKED


def test_a_stop_without_a_recovery_probe_is_not_named() -> None:
    assert kind_of(Story().loaded(10).stop(Rung.STORAGE).run(16).load_ends().evidence()) is VerdictKind.INCONCLUSIVE


def test_a_recovery_step_that_was_refused_tells_nothing() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(16).load_ends().evidence()
    story.add(Kind.RECOVERY, step="hold", done=False, recovered=False, after_s=5.0, detail="no answer")
    assert kind_of(story) is VerdictKind.INCONCLUSIVE


def test_failed_workers() -> None:
    story = Story().loaded(10)
    story.failed = 3
    verdict = judge(story.finish().load_ends().events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and "3 workers failed" in verdict.summary


def test_a_stop_that_ends_while_evidence_is_collected_was_a_stall() -> None:
    story = Story().loaded().stop(Rung.STORAGE).run(36).load_ends()
    story.phase("evidence").run(2).go_on().run(4).phase("evidence", "end")
    verdict = judge(story.phase("load").run(10).finish().load_ends().events)
    assert verdict.kind is VerdictKind.STALLED
    assert [round(stall.duration_s) for stall in verdict.stalls] == [38]


def test_workers_that_die_without_a_word() -> None:
    story = Story().loaded()
    story.rate, story.alive = 0.0, 0
    verdict = judge(story.run(12).load_ends().events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert "died without a word" in verdict.summary


def test_no_workload_ever_reported() -> None:
    assert kind_of(Story().prepared().run(3).load_ends()) is VerdictKind.INCONCLUSIVE


def test_a_finite_workload_out_of_time() -> None:
    story = Story().loaded(20).add(Kind.LIMIT, "", seconds=20.0).load_ends()
    verdict = judge(story.events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and "20 s" in verdict.summary


def test_an_endless_workload_survives_its_time_and_nothing_less() -> None:
    def story() -> Story:
        told = Story(ENDLESS).prepared()
        told.working = True
        return told.run(20)

    assert kind_of(story().add(Kind.LIMIT, "", seconds=20.0).load_ends()) is VerdictKind.SURVIVED
    # A load that ended without its time being over was interrupted.
    assert kind_of(story().load_ends()) is VerdictKind.INCONCLUSIVE


STORIES = {
    "survivor": survivor,
    "deadlock": deadlock,
    "livelock": livelock,
    "stalled": stalled,
    "crawl": crawl,
    "locked_up": locked_up,
    "gone": gone,
    "paused": paused,
}


@pytest.mark.parametrize("name", sorted(STORIES))
def test_a_history_cut_anywhere_never_raises_and_never_survives_too_early(name: str) -> None:
    events = STORIES[name]().events
    ended = next(i for i, e in enumerate(events) if e.kind is Kind.PHASE and e.data == {"name": "load", "state": "end"})
    # The verdict of every prefix is too much work where nothing happens: near what matters all, else every seventh.
    for cut in range(len(events)):
        if cut % 7 and abs(cut - ended) > 8 and events[cut].kind not in (Kind.PHASE, Kind.RECOVERY):
            continue
        kind = judge(events[: cut + 1]).kind
        assert cut >= ended or kind not in (VerdictKind.SURVIVED, VerdictKind.STALLED, VerdictKind.DEADLOCKED), cut


def test_a_survivor_is_never_called_a_hang_whenever_it_is_cut() -> None:
    events = survivor().events
    assert {judge(events[:cut]).kind for cut in range(0, len(events), 3)}.isdisjoint(HANGS)


@pytest.mark.parametrize("name", sorted(STORIES))
def test_the_same_verdict_from_the_lines_of_the_file(name: str) -> None:
    events = STORIES[name]().events
    lines = [event.to_json() + "\n" for event in events]
    assert judge(list(read_events(lines))) == judge(events)
    cut_short = [*lines, lines[-1][:-5]]
    assert judge(list(read_events(cut_short))) == judge(events)


def test_opinions_in_a_history_do_not_count() -> None:
    events = survivor().events
    wrong = Event(20.0, Kind.OPINION, "", {"state": "stopped", "since_s": 1.0, "why": "made up"})
    assert judge([*events[:50], replace(wrong, t=events[50].t), *events[50:]]) == judge(events)


def test_nothing_at_all() -> None:
    assert judge([]).kind is VerdictKind.INCONCLUSIVE
    assert judge(Story().events).kind is VerdictKind.INCONCLUSIVE


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["stop", "go on", "silence", "beat", "pause", "resume", "off", "lag", "oom", "panic", "end"]),
        st.integers(1, 14),
    ),
    max_size=8,
)


def act(story: Story, move: str) -> None:
    if move == "stop":
        story.stop(Rung.STORAGE)
    elif move == "go on":
        story.go_on()
    elif move in ("silence", "beat"):
        story.beats = move == "beat"
    elif move in ("pause", "resume", "off"):
        story.power = {"pause": "paused", "resume": "running", "off": "gone"}[move]
    elif move == "lag":
        story.now += 5
    elif move in ("oom", "panic"):
        story.console("oom_kill" if move == "oom" else "panic", move, task="thrash")
    else:
        story.load_ends()


@given(MOVES)
def test_whatever_happens_there_is_a_verdict_and_a_pass_only_for_finished_work(moves: list[tuple[str, int]]) -> None:
    story = Story().loaded(3)
    for move, seconds in moves:
        act(story, move)
        story.run(seconds)
    verdict = judge(story.events)
    assert verdict.kind is not VerdictKind.SURVIVED  # no worker of it ever finished
    assert story.finished < WORKERS and verdict.summary
