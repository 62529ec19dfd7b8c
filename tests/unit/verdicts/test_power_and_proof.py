"""What power and silence prove: only what was answered, and only on a channel that loses nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from histories import Story

from harness.model.history import Event, Kind, Rung
from harness.model.opinion import State
from harness.model.power import PowerState
from harness.model.verdict import VerdictKind
from harness.verdicts.judge import judge
from harness.verdicts.policy import Policy
from harness.verdicts.watch import Watch


def silent(story: Story, seconds: float = 40.0) -> Story:
    story.beats = False
    return story.run(seconds).load_ends()


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("running", PowerState.ON),
        ("shutoff", PowerState.OFF),
        ("paused", PowerState.PAUSED),
        ("crashed", PowerState.CRASHED),
        ("gone", PowerState.GONE),
        ("on", PowerState.ON),
        ("off", PowerState.OFF),
        ("unknown", PowerState.UNKNOWN),
        ("", PowerState.UNKNOWN),
        ("BMC: connection refused", PowerState.UNKNOWN),
    ],
)
def test_words_of_histories_old_and_new(word: str, state: PowerState) -> None:
    assert PowerState.of(word) is state


def test_silence_proves_a_lockup_only_where_the_channel_loses_nothing() -> None:
    assert judge(silent(Story().known().loaded(10)).events).kind is VerdictKind.LOCKED_UP
    verdict = judge(silent(Story().known(silence_is_proof=False).loaded(10)).events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE


@pytest.mark.parametrize("rung", [Rung.WORK, Rung.STORAGE, Rung.ALLOC])
def test_what_was_said_last_over_a_channel_that_loses_does_not_grow_into_a_lockup(rung: Rung) -> None:
    story = Story().known(silence_is_proof=False).loaded(10).block(rung)
    story.stuck[1] = story.now
    story.run(2)
    assert judge(silent(story, 60.0).events).kind is VerdictKind.INCONCLUSIVE


def test_a_processor_that_does_not_tick_is_told_over_any_channel() -> None:
    story = Story().known(silence_is_proof=False).loaded(10)
    story.stuck[1] = story.now
    assert judge(story.run(40).load_ends().events).kind is VerdictKind.LOCKED_UP


def test_other_evidence_decides_where_silence_does_not() -> None:
    story = Story().known(silence_is_proof=False).loaded(40)
    story.beats = False
    story.console("soft_lockup", "BUG: soft lockup - CPU#0 stuck for 22s").run(10)
    verdict = judge(story.load_ends().events)
    assert verdict.kind is VerdictKind.LOCKED_UP and "soft lockup" in verdict.summary


def test_an_agent_that_a_shell_finds_gone_is_told_over_any_channel() -> None:
    story = Story().known(silence_is_proof=False).loaded(10)
    story.agent = ""
    verdict = judge(silent(story).events)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and "agent is gone" in verdict.summary


def test_silence_says_nothing_while_nobody_knows_whether_the_host_has_power() -> None:
    story = Story().known().loaded(10)
    story.unanswered_s = story.now
    assert judge(silent(story).events).kind is VerdictKind.INCONCLUSIVE


def test_an_answer_after_all_makes_the_whole_silence_count() -> None:
    story = Story().known().loaded(10)
    story.unanswered_s, story.beats = story.now, False
    story.run(20)
    assert watched(story.events).opinion.state is not State.SILENT
    story.unanswered_s = None
    watch = watched(story.run(1).events)
    assert watch.opinion.state is State.SILENT and watch.opinion.since_s == 16.0


def watched(events: list[Event]) -> Watch:
    watch = Watch(Policy())
    for event in events:
        watch.feed(event)
    return watch


def test_no_answer_about_the_power_is_no_evidence_of_anything() -> None:
    story = Story().known().loaded(10)
    story.unanswered_s = story.now
    story.run(30)
    story.unanswered_s = None
    verdict = judge(story.run(5).finish().load_ends().events)
    assert verdict.kind is VerdictKind.SURVIVED and verdict.stalls == ()


def gone(story: Story, word: str) -> Story:
    story.power = word
    return story.run(1).load_ends()


def paused(story: Story) -> Story:
    story.power = "paused"
    return story.run(18).load_ends()


ENDS: dict[str, Callable[[Story], Story]] = {
    "silent": silent,
    "gone": lambda story: gone(story, "gone"),
    "paused": paused,
    "finished": lambda story: story.finish().load_ends(),
}


@pytest.mark.parametrize("name", sorted(ENDS))
def test_a_history_of_today_is_judged_as_an_earlier_one_and_summed_up_in_the_same_words(name: str) -> None:
    before, today = (judge(ENDS[name](story.loaded(10)).events) for story in (Story(), Story().known()))
    assert (before.kind, before.summary, before.onset_s) == (today.kind, today.summary, today.onset_s)


def test_an_earlier_history_keeps_its_words() -> None:
    verdict = judge(gone(Story().loaded(10), "shutoff").events)
    assert verdict.kind is VerdictKind.LOST and verdict.summary.startswith("c1 is shutoff, ")
    assert "the hypervisor has no running guest any more" in verdict.reasons
    assert "the hypervisor says that the guest runs" in judge(silent(Story().loaded(10)).events).reasons


@pytest.mark.parametrize("source", ["libvirt", "the BMC"])
def test_a_reason_names_who_was_asked(source: str) -> None:
    story = Story().known(power_source=source).loaded(10)
    assert f"{source} says that the guest runs" in judge(silent(story).events).reasons
    lost = judge(gone(Story().known(power_source=source).loaded(10), "off").events)
    assert f"{source} has no running guest any more" in lost.reasons and lost.summary.startswith("c1 is off, ")


def test_a_lockup_that_the_console_shows_names_the_source_of_its_host() -> None:
    story = Story().known().loaded(40).console("hard_lockup", "stuck for 22s").run(35)
    story.add(Kind.HOST, "other", power_source="somebody else")
    assert "libvirt says that the guest runs" in judge(story.load_ends().evidence().events).reasons
