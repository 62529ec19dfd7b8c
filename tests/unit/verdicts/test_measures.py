"""The figures that every history has."""

from __future__ import annotations

from histories import Story

from harness.model.history import Kind
from harness.model.verdict import Stall, Verdict, VerdictKind
from harness.verdicts.judge import judge
from harness.verdicts.measures import measures_of


def figures(story: Story) -> dict[str, object]:
    return {measure.name: measure.value for measure in measures_of(story.events, judge(story.events))}


def test_the_time_to_a_hang_counts_from_the_loads_beginning() -> None:
    story = Story().loaded(10)
    begin = next(event.t for event in story.events if event.data.get("name") == "load")
    story.rate = 0
    verdict = Verdict(kind=VerdictKind.DEADLOCKED, summary="", onset_s=story.now)
    story.run(60)
    found = {measure.name: measure.value for measure in measures_of(story.events, verdict)}
    assert found["time to hang"] == 10.0 and found["longest pause"] == 60.0 and begin == story.now - 70.0


def test_a_survivor_has_no_time_to_hang_but_a_pace_and_its_longest_pause() -> None:
    story = Story().loaded(10)
    story.rate = 0
    story.run(2)
    story.rate = 500.0
    story.run(8)
    story.finished = 16
    story.run(1).phase("load", "end")
    found = figures(story)
    assert "time to hang" not in found and found["load ran"] == 21.0
    assert found["longest pause"] in (2.0, 2.5, 3.0)
    assert isinstance(found["operations a second"], float) and 400 <= found["operations a second"] <= 500


def test_hosts_that_work_beside_one_another_do_not_hide_a_pause() -> None:
    story = Story().phase("load")
    for second, done in enumerate((10, 20, 20, 20, 20, 30)):
        story.now = float(second)
        for host, ops in (("c1", done), ("node2", 7 * done)):
            story.add(Kind.PROGRESS, host, ops=ops, workers=1, finished=0, alive=1)
    found = figures(story.phase("load", "end"))
    assert found["longest pause"] == 4.0 and found["operations a second"] == round(240 / 5, 1)


def test_stalls_are_counted_and_told_by_when_they_came() -> None:
    story = Story().loaded(100).phase("load", "end")
    begin = story.now - 100
    stalls = tuple(Stall(begin + at_s, lasted, True) for at_s, lasted in ((5.0, 6.0), (10.0, 4.5), (99.0, 8.25)))
    verdict = Verdict(kind=VerdictKind.STALLED, summary="", onset_s=begin + 5, stalls=stalls)
    found = {measure.name: measure.value for measure in measures_of(story.events, verdict)}
    assert (found["stalls"], found["longest stall"], found["stalled in all"]) == (3, 8.2, 18.8)
    assert found["stalls in each quarter of the load"] == "2 0 0 1"


def test_counters_are_those_of_the_loads_host_over_the_load() -> None:
    story = Story()
    story.add(Kind.VMSTAT, pswpout=1000, allocstall_normal=5).prepared()
    story.working = True
    story.add(Kind.VMSTAT, pswpout=1000, allocstall_normal=5, allocstall_movable=1)
    story.run(2).add(Kind.VMSTAT, pswpout=1700, allocstall_normal=9, allocstall_movable=3)
    story.add(Kind.VMSTAT, "another", pswpout=99999)
    story.phase("load", "end").run(1).add(Kind.VMSTAT, pswpout=9000)
    found = figures(story)
    assert found["pages swapped out"] == 700 and found["allocation stalls"] == 6


def test_the_trials_own_figures_come_last_with_their_units() -> None:
    story = Story().loaded(3).phase("load", "end")
    story.add(Kind.MEASURE, "", name="worst of ls", value=2.5, unit="s")
    last = measures_of(story.events, judge(story.events))[-1]
    assert (last.name, last.value, last.unit) == ("worst of ls", 2.5, "s")


def test_a_trial_without_a_load_has_none() -> None:
    story = Story()
    assert measures_of(story.events, Verdict(kind=VerdictKind.INCONCLUSIVE, summary="")) == []


def test_a_host_that_was_fenced_is_not_missed() -> None:
    story = Story().loaded(5)
    story.add(Kind.RUNG, "node1", rung="vcpu", ok=True, latency_s=0.0, blocked_s=None, detail="running")
    story.add(Kind.FENCE, "node1")
    story.add(Kind.RUNG, "node1", rung="vcpu", ok=False, latency_s=0.0, blocked_s=None, detail="gone")
    story.run(3)
    story.finished = 16
    story.run(1).phase("load", "end")
    assert judge(story.events).kind is VerdictKind.SURVIVED


def test_what_the_tear_down_ends_did_not_die_without_a_word() -> None:
    story = Story().loaded(5)
    story.finished = 16
    story.run(1).phase("load", "end").phase("teardown")
    story.finished, story.alive = 0, 0
    story.run(5).phase("teardown", "end")
    assert judge(story.events).kind is VerdictKind.SURVIVED


def test_a_kernel_that_crashes_in_the_tear_down_has_crashed() -> None:
    story = Story().loaded(5)
    story.finished = 16
    story.run(1).phase("load", "end").phase("teardown")
    story.add(Kind.CONSOLE, kind="oops", title="BUG: unable to handle page fault")
    assert judge(story.events).kind is VerdictKind.CRASHED
