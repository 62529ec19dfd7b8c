"""The judge: every verdict, the order of its rules, and that it never says more than a history holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import CRITICAL, WORKERS, Story, deadlock, survivor
from hypothesis import given
from hypothesis import strategies as st

from harness.model.history import Event, Kind, Rung, read_events
from harness.model.verdict import HANGS, VerdictKind
from harness.model.verdict_errors import error_of
from harness.verdicts.judge import judge
from harness.verdicts.policy import Policy

TIME_LIMITED = Policy(critical_tasks=CRITICAL, time_limited=True)


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
    return story.run(45).load_ends()


def oom(story: Story) -> Story:
    return story.console("oom_kill", "Out of memory: Killed process 77 (thrash)", task="thrash")


def test_a_survivor_that_swaps_heavily() -> None:
    verdict = judge(survivor().events)
    assert verdict.kind is VerdictKind.SURVIVED and verdict.stalls == () and error_of(verdict) is None


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
    assert verdict.kind is VerdictKind.LIVELOCKED and "of the baseline" in verdict.summary
    assert verdict.onset_s == pytest.approx(16.0, abs=0.5)
    assert verdict.certain_s is not None and 12.0 <= verdict.certain_s - 16.0 <= 13.0
    assert any("4000" in reason for reason in verdict.reasons)


def test_reclaim_is_named_where_it_was_busy() -> None:
    story = Story().loaded(10)
    story.rate = 20.0
    for step in range(45):
        story.run(1).add(Kind.VMSTAT, pgscan_direct=1000 * step, pgsteal_direct=3 * step, pgscan_kswapd=5)
    verdict = judge(story.load_ends().events)
    assert "reclaim scanned 44000 pages meanwhile and freed 132" in verdict.reasons


def test_a_crawl_that_ends_by_itself_is_a_stall() -> None:
    story = Story().loaded(10)
    story.rate = 20.0
    story.run(20).go_on().run(15).finish()
    verdict = judge(story.load_ends().events)
    assert verdict.kind is VerdictKind.STALLED
    (stall,) = verdict.stalls
    assert stall.onset_s == pytest.approx(16.0, abs=0.5) and stall.duration_s == pytest.approx(20.0, abs=4.5)


def test_drops_between_longer_waits_are_one_crawl() -> None:
    story = Story().loaded(10)
    for _ in range(6):
        story.stop(Rung.STORAGE).run(7)
        story.rate = 40.0
        story.unblock().run(1)
    verdict = judge(story.load_ends().events)
    assert verdict.kind is VerdictKind.LIVELOCKED and verdict.onset_s == 16.0


def test_a_crawl_that_dies_away_is_asked_by_the_recovery_probe() -> None:
    story = Story().loaded(10)
    story.rate = 20.0
    story.run(15).stop(Rung.STORAGE).run(30)
    assert kind_of(story.load_ends().evidence().recovery(hold=False, release=True)) is VerdictKind.DEADLOCKED


BOUND = replace(TIME_LIMITED, bound_s=20.0)


def bounded(stop_s: float, *, finish: bool = True) -> Story:
    story = Story(BOUND).loaded(10).stop(Rung.STORAGE).run(stop_s).go_on().run(10)
    return (story.finish() if finish else story.add(Kind.LIMIT, seconds=60.0)).load_ends()


@pytest.mark.parametrize("finish", [True, False])
def test_a_wait_within_the_protocols_bound_is_no_hang(finish: bool) -> None:
    verdict = judge(bounded(15, finish=finish).events)
    assert verdict.kind is VerdictKind.SURVIVED and len(verdict.stalls) == 1
    assert "20 s" in verdict.reasons[0]


def test_a_load_whose_requests_fail_in_the_end_did_not_hang() -> None:
    story = Story(BOUND).loaded(10).stop(Rung.STORAGE).run(25)
    story.failed = WORKERS
    verdict = judge(story.unblock().run(2).load_ends().events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and "16 workers failed" in verdict.summary


def test_a_wait_beyond_the_bound_is_a_stall_and_one_without_end_a_deadlock() -> None:
    assert kind_of(bounded(25)) is VerdictKind.STALLED
    story = Story(BOUND).loaded(10).stop(Rung.STORAGE).run(60).load_ends().evidence()
    verdict = judge(story.recovery(hold=False, release=False).events)
    assert verdict.kind is VerdictKind.DEADLOCKED and verdict.certain_s == 36.0
    assert any("past the 20 s" in reason for reason in verdict.reasons)


def test_a_workqueue_that_is_stuck_for_want_of_memory_is_no_lockup() -> None:
    story = Story().loaded(5).block(Rung.ALLOC, Rung.FORK).run(35).console("workqueue_lockup", "pool stuck for 31s")
    assert kind_of(story.go_on().run(40).finish().load_ends()) is VerdictKind.SURVIVED


def test_beats_that_were_lost_on_a_load_that_works_are_no_stall() -> None:
    story = Story().loaded(10).block(Rung.ALLOC).run(1)
    story.beats = False
    story.run(3.5)
    story.ops += 3000
    story.beats = True
    assert kind_of(story.unblock().run(20).finish().load_ends()) is VerdictKind.SURVIVED


@pytest.mark.parametrize("rest_s", [12.5, 15.5, 19.5])
def test_a_livelock_that_moves_more_rarely_than_once_in_a_window(rest_s: float) -> None:
    story = Story(TIME_LIMITED).loaded(10)
    while story.now < 216:
        story.rate = 0.0
        story.run(rest_s)
        story.rate = 32.0
        story.run(0.5)
    assert kind_of(story.add(Kind.LIMIT, seconds=200.0).load_ends()) is VerdictKind.LIVELOCKED


def test_a_crawl_that_recovers_while_evidence_is_collected_is_a_stall() -> None:
    story = Story().loaded(10)
    story.rate = 20.0
    story.run(43).load_ends()
    story.rate = 500.0
    story.evidence(30).phase("load").run(5).finish()
    assert kind_of(story.load_ends()) is VerdictKind.STALLED


def test_a_crawl_long_after_a_stall_is_a_stop_of_its_own() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(29).go_on().run(9)
    begun = story.now
    story.rate = 20.0
    verdict = judge(story.run(45).load_ends().events)
    assert verdict.kind is VerdictKind.LIVELOCKED and verdict.onset_s == pytest.approx(begun, abs=1.0)
    (stall,) = verdict.stalls
    assert stall.onset_s == 16.0


def test_one_slow_login_does_not_make_a_quiet_stop_the_kernels() -> None:
    story = Story().loaded(10).stop().run(28.5).block(Rung.SHELL).run(1.5).unblock().run(31).load_ends().evidence()
    story.add(Kind.EVIDENCE, name="sysrq-w", ok=True, waiting=0)
    assert kind_of(story.recovery(hold=False, release=True)) is VerdictKind.INCONCLUSIVE


def test_a_lag_is_not_held_against_what_was_blocked_before_it() -> None:
    story = Story().loaded(10).block(Rung.WORK).run(1)
    story.now += 35
    story.unblock().run(3)
    assert kind_of(story.finish().load_ends()) is VerdictKind.SURVIVED


def test_workers_that_died_one_by_one_are_missed() -> None:
    story = Story(TIME_LIMITED).loaded(10)
    story.alive = 1
    verdict = judge(story.run(30).add(Kind.LIMIT, seconds=40.0).load_ends().events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and "15 workers" in verdict.summary


def test_an_oom_killer_that_ends_the_whole_load_in_a_stop_is_named() -> None:
    story = oom(Story().loaded(10).stop(Rung.STORAGE).run(10))
    story.alive = 0
    assert kind_of(story.run(3).load_ends()) is VerdictKind.OOM_KILLED


def silent(agent: str, **changes: float) -> Story:
    story = Story().loaded(10)
    story.beats, story.agent = False, agent
    for rung, since in changes.items():
        story.blocks[rung] = since
    return story.run(40).load_ends().evidence()


@pytest.mark.parametrize(("agent", "word"), [("", "gone"), ("T", "stopped"), ("Z", "dead"), ("D", "blocked")])
def test_an_agent_that_is_gone_or_frozen_says_nothing_about_the_kernel(agent: str, word: str) -> None:
    verdict = judge(silent(agent).events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and word in verdict.summary


@pytest.mark.parametrize("agent", ["R", "S"])
def test_an_agent_that_could_run_and_does_not_is_a_processor_that_does_not_schedule(agent: str) -> None:
    assert kind_of(silent(agent)) is VerdictKind.LOCKED_UP


def test_silence_with_a_shell_that_blocks_is_a_lockup_whatever_the_shell_said_before() -> None:
    story = Story().loaded(10)
    story.agent, story.beats = "T", False
    verdict = judge(story.block(Rung.SHELL).run(40).load_ends().events)
    assert verdict.kind is VerdictKind.LOCKED_UP


def test_one_processor_that_does_not_tick() -> None:
    story = Story().loaded(10)
    story.stuck[1] = story.now
    verdict = judge(story.run(40).load_ends().evidence().events)
    assert verdict.kind is VerdictKind.LOCKED_UP and "processor 1" in verdict.summary
    assert verdict.onset_s == 16.0 and verdict.certain_s is not None and 4.0 <= verdict.certain_s - 16.0 <= 5.0


def test_a_processor_that_ticks_again_was_a_matter_of_seconds() -> None:
    story = Story().loaded(10)
    story.stuck[1] = story.now
    story.run(8)
    del story.stuck[1]
    assert kind_of(story.run(5).finish().load_ends()) is VerdictKind.SURVIVED


LOCKUPS = ["soft_lockup", "hard_lockup", "rcu_stall"]


@pytest.mark.parametrize("kind", [*LOCKUPS, "workqueue_lockup"])
def test_what_the_kernels_own_watchdogs_say(kind: str) -> None:
    story = Story().loaded(40).console(kind, "BUG: something is stuck for 22s").run(35)
    verdict = judge(story.load_ends().evidence().events)
    assert verdict.kind is VerdictKind.LOCKED_UP and "stuck for 22s" in verdict.summary


@pytest.mark.parametrize("kind", LOCKUPS)
def test_a_watchdog_that_looks_back_over_what_the_harness_did_says_nothing(kind: str) -> None:
    story = Story().loaded(10).add(Kind.LAG, seconds=25.0).run(5).console(kind, "stuck for 22s").run(5)
    assert kind_of(story.finish().load_ends()) is VerdictKind.SURVIVED


def test_a_watchdog_that_looks_back_over_a_pause_says_nothing() -> None:
    story = Story().loaded(40)
    story.power = "paused"
    story.run(4)
    story.power = "running"
    story.run(5).console("soft_lockup", "stuck for 22s").run(5)
    assert kind_of(story.finish().load_ends()) is VerdictKind.SURVIVED


def test_deferred_work_that_does_not_end() -> None:
    story = Story().loaded(10).block(Rung.WORK).run(50)
    verdict = judge(story.load_ends().evidence().events)
    assert verdict.kind is VerdictKind.LOCKED_UP and "deferred work" in verdict.summary
    assert verdict.onset_s == pytest.approx(16.0, abs=0.6)
    assert verdict.certain_s is not None and 20.0 <= verdict.certain_s - 16.0 <= 21.5


def test_deferred_work_that_waits_for_memory_is_no_lockup() -> None:
    story = Story().loaded(10).block(Rung.WORK)
    for _ in range(5):
        story.block(Rung.FORK).run(4)
        story.blocks.pop(Rung.FORK)
        story.run(15)
    assert kind_of(story.go_on().run(2).finish().load_ends()) is VerdictKind.SURVIVED


def test_a_pool_that_is_stuck_after_a_stop_is_its_consequence() -> None:
    story = Story().loaded(40).stop(Rung.STORAGE).run(20).console("workqueue_lockup", "pool stuck for 31s").run(20)
    story.load_ends().evidence().recovery(hold=False, release=True)
    assert kind_of(story) is VerdictKind.DEADLOCKED


@pytest.mark.parametrize(("waiting", "kind"), [(0, VerdictKind.INCONCLUSIVE), (3, VerdictKind.DEADLOCKED)])
def test_a_stop_without_a_blocked_rung_is_the_kernels_only_if_it_holds_a_task(waiting: int, kind: VerdictKind) -> None:
    story = Story().loaded(10).stop().run(65).load_ends().evidence()
    story.add(Kind.EVIDENCE, name="sysrq-w", ok=True, waiting=waiting)
    assert kind_of(story.recovery(hold=False, release=True)) is kind


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


def failed_request(story: Story) -> Story:
    return story.add(Kind.CONSOLE, kind="io_error", title="Read-error on swap-device (43:0:525312)")


def test_workers_that_die_of_requests_that_the_kernel_gave_up() -> None:
    story = failed_request(Story().loaded())
    failed_s, story.rate, story.alive = story.now, 0.0, 0
    verdict = judge(story.run(12).load_ends().events)
    assert verdict.kind is VerdictKind.IO_FAILED and verdict.onset_s == failed_s
    assert verdict.summary == "c1: Read-error on swap-device (43:0:525312); 16 workers died"


def test_workers_that_are_told_that_their_storage_failed() -> None:
    story = failed_request(Story().loaded(10))
    story.failed = 3
    verdict = judge(story.finish().load_ends().events)
    assert verdict.kind is VerdictKind.IO_FAILED and "3 workers failed" in verdict.summary


def test_a_failed_request_of_which_nobody_died_decides_nothing() -> None:
    assert kind_of(failed_request(Story().loaded()).run(3).finish().load_ends()) is VerdictKind.SURVIVED


def test_a_request_that_failed_before_the_load_did_not_end_it() -> None:
    story = failed_request(Story()).loaded()
    story.rate, story.alive = 0.0, 0
    assert kind_of(story.run(12).load_ends()) is VerdictKind.INCONCLUSIVE


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
        reported = Story(TIME_LIMITED).prepared()
        reported.working = True
        return reported.run(20)

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
