"""A history in a dozen sentences."""

from __future__ import annotations

from histories import Story, deadlock, survivor
from hypothesis import given
from hypothesis import strategies as st

from harness.model.history import Event, Kind, Rung
from harness.model.verdict import Stall, Verdict, VerdictKind
from harness.report.read.narrative import MOST, timeline

HUNG = Verdict(kind=VerdictKind.DEADLOCKED, summary="stopped", onset_s=16.0, certain_s=21.0)
SURVIVED = Verdict(kind=VerdictKind.SURVIVED, summary="done")


def reported(story: Story, verdict: Verdict | None = HUNG) -> list[str]:
    """The timeline as lines."""
    return [f"{t:.1f} s: {words}" for t, words in timeline(story.events, verdict)]


def test_a_deadlock_from_boot_to_the_end() -> None:
    assert reported(deadlock()) == [
        "2.0 s: the hosts are up",
        "6.0 s: the storage is up; alone it does 4000 operations a second",
        "6.0 s: the load begins",
        "16.0 s: c1: the storage under test stops; fresh memory, process creation, deferred work, the local disk,"
        " the network and SSH still answer",
        "16.0 s: the last progress; 0 of 16 workers are done",
        "21.0 s: the harness is certain of it, 5.0 s later",
        "55.0 s: recovery probe: the workload is held, nothing comes back within 3.0 s",
        "58.0 s: recovery probe: the workload is killed, everything answers again after 3.0 s",
        "62.0 s: the trial ends",
    ]


def test_facts_of_the_trial_are_named() -> None:
    story = Story()
    story.add(Kind.TRIAL, "", slowdown=14.2, storage="swap over NBD", workload="16 x 64 MiB")
    lines = reported(story.prepared(), SURVIVED)
    assert lines[0].endswith("the hosts are up; the slowest is 14 times slower than this machine")
    assert "the storage is up (swap over NBD); alone it does" in lines[1]
    assert lines[2].endswith("the load begins (16 x 64 MiB)")


def test_rungs_that_stop_together_are_one_sentence_and_later_ones_another() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE, Rung.ALLOC).run(3)
    story.block(Rung.SHELL).run(10)
    lines = reported(story)
    assert "16.0 s: c1: the storage under test and fresh memory stop" in lines
    assert (
        "19.0 s: c1: SSH stops; process creation, deferred work, the local disk and the network still answer" in lines
    )


def test_a_rung_that_blocks_for_a_moment_or_long_before_is_not_told() -> None:
    story = Story().loaded(1).block(Rung.FORK).run(4).unblock().run(5).stop(Rung.DISK).run(1).unblock().run(5)
    assert not [line for line in reported(story) if "stop" in line]


def test_one_piece_of_evidence_is_one_piece() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(6)
    story.add(Kind.EVIDENCE, name="files", ok=True)
    assert "22.0 s: evidence is collected: 1 piece" in reported(story)


def test_workers_that_the_kernel_shows_blocked() -> None:
    story = Story().loaded(10).stop(Rung.STORAGE).run(6)
    story.add(Kind.EVIDENCE, name="sysrq-w", ok=True, waiting=14)
    story.add(Kind.EVIDENCE, name="files", ok=False)
    lines = reported(story)
    assert "22.0 s: c1: 14 of 16 workers are blocked in the kernel" in lines
    assert "22.0 s: evidence is collected: 2 pieces, 1 of them in vain" in lines


def test_a_crawl_and_a_lockup_begin_otherwise() -> None:
    crawl = Story().loaded(10)
    crawl.rate = 4.0
    verdict = Verdict(kind=VerdictKind.LIVELOCKED, summary="", onset_s=16.0, certain_s=28.0)
    assert "16.0 s: progress falls to a crawl; 0 of 16 workers are done" in reported(crawl.run(20), verdict)
    verdict = Verdict(kind=VerdictKind.LOCKED_UP, summary="", onset_s=16.0, certain_s=22.0)
    assert "16.0 s: the last sign of life; 0 of 16 workers are done" in reported(Story().loaded(12), verdict)


def test_stalls_say_how_long_and_whether_they_ended() -> None:
    stalls = (Stall(9.0, 31.5, True), Stall(50.0, 8.0, False), *(Stall(60.0 + n, 5.0, True) for n in range(9)))
    lines = reported(Story(), Verdict(kind=VerdictKind.STALLED, summary="", stalls=stalls))
    assert "9.0 s: progress stops for 31.5 s and comes back by itself" in lines
    assert "50.0 s: progress stops for 8.0 s and does not come back" in lines
    assert "61.0 s: 8 more stalls from here on" in lines


def test_faults_and_the_end_of_the_load() -> None:
    story = Story().loaded(2).add(Kind.FAULT, name="link pulled", action="inject").run(3)
    story.add(Kind.FAULT, name="link pulled", action="heal").run(2).add(Kind.LIMIT, "", seconds=60.0)
    story.add(Kind.LAG, "", seconds=3.0).add(Kind.LAG, "", seconds=4.0)
    lines = reported(story, SURVIVED)
    assert "8.0 s: c1: fault: link pulled" in lines
    assert "11.0 s: c1: healed: link pulled" in lines
    assert "13.0 s: the load's time is over (60.0 s)" in lines
    assert "13.0 s: the harness itself was held up for 7.0 s in all" in lines


def test_findings_of_a_kind_are_one_line() -> None:
    story = Story().loaded(2)
    for _ in range(30):
        story.console("hung_task", "task dd:7 blocked", function="folio_wait_bit").run(1)
    (line,) = [line for line in reported(story) if "console" in line]
    assert line == "8.0 s: c1: console, hung task: task dd:7 blocked in folio_wait_bit (and 29 more until 37.0 s)"


def test_a_probe_that_could_not_be_made_says_why() -> None:
    story = Story().loaded(2).add(Kind.RECOVERY, step="hold", done=False, recovered=False, detail="no answer")
    assert "8.0 s: recovery probe: the workload is held, not done: no answer" in reported(story)


def test_opinions_that_say_more_are_told_once() -> None:
    story = Story().loaded(2)
    for state in ("running", "suspect", "silent", "silent", "paused"):
        story.add(Kind.OPINION, "", state=state, why="a reason").run(1)
    watch = [line for line in reported(story, None) if "watch" in line]
    assert [line.partition(": ")[2] for line in watch] == [
        "the watch gets no heartbeat: a reason",
        "the watch sees that the guest is paused: a reason",
    ]


def test_what_weighs_most_is_kept_and_in_order() -> None:
    story = deadlock()
    for n in range(40):
        story.add(Kind.FAULT, name=f"fault {n}", action="inject").run(1)
    story.add(Kind.INFRA, "", error="broken")
    lines = timeline(story.events, HUNG)
    assert len(lines) == MOST
    assert [t for t, _ in lines] == sorted(t for t, _ in lines)
    words = " / ".join(words for _, words in lines)
    for needed in ("the last progress", "certain", "failed: broken", "the trial ends"):
        assert needed in words


def test_a_run_that_was_cut_short() -> None:
    assert reported(Story().loaded(3), None)[-1] == "9.0 s: the history ends: the run was cut short"
    assert timeline([], None) == []


def test_a_survivor_has_nothing_of_a_hang() -> None:
    assert not [line for line in reported(survivor(), SURVIVED) if "progress" in line or "stop" in line]


ODD = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
)
KEYS = st.sampled_from(
    ["rung", "ok", "blocked_s", "state", "name", "action", "step", "kind", "title", "seconds", "workers", "waiting"]
)


@given(
    st.lists(
        st.builds(
            Event,
            st.floats(0, 1e6),
            st.sampled_from(Kind),
            st.text(max_size=4),
            st.dictionaries(KEYS, ODD | st.sampled_from([*Rung, "inject", "begin", "load", "hold", "silent"])),
        ),
        max_size=30,
    )
)
def test_no_history_makes_it_raise(events: list[Event]) -> None:
    assert len(timeline(events, HUNG)) <= MOST
