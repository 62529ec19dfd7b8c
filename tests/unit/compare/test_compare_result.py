"""From outcomes to a result: which trials are evidence, in which order, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from comparisons import ask, found

from harness.compare.outcomes import read_outcomes
from harness.compare.question import Question, parse_counts
from harness.compare.record import read_question, to_dict, write_question, write_result
from harness.compare.result import compare
from harness.compare.watch import Watch, reason
from harness.model.errors import UsageError
from harness.model.measure import Measure
from harness.model.verdict import HANGS, Verdict, VerdictKind
from harness.report.read.comparison import COMPARISON, read_comparison
from harness.results.files import DamagedResult
from harness.results.store import Entry, RunStore, TrialStore
from harness.statistics.claims import Decision

SURE = ask(until_sure=True, runs=60)


def test_every_pair_has_each_side_once_and_neither_is_always_first() -> None:
    plan = ask(runs=20).plan()
    firsts = [plan[place][0] for place in range(0, 40, 2)]
    assert [{plan[place], plan[place + 1]} for place in range(0, 40, 2)] == [
        {("a", number), ("b", number)} for number in range(1, 21)
    ]
    assert 5 <= firsts.count("a") <= 15
    assert plan == ask(runs=20).plan() != ask(runs=20, seed=2).plan()
    assert ask(runs=5).plan() == plan[:10]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("hang", HANGS),
        ("deadlock", {VerdictKind.DEADLOCKED}),
        ("deadlock,crash", {VerdictKind.DEADLOCKED, VerdictKind.CRASHED}),
        ("hang,oom", {*HANGS, VerdictKind.OOM_KILLED}),
    ],
)
def test_what_counts(text: str, kinds: set[VerdictKind]) -> None:
    assert parse_counts(text, "--counts") == kinds


@pytest.mark.parametrize("text", ["", "hangs", "deadlock,", "deadlock crash"])
def test_a_word_that_counts_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--counts: .* is none of hang, stall, livelock"):
        parse_counts(text, "--counts")


def test_a_question_is_the_same_from_its_record() -> None:
    question = ask(counts=frozenset({VerdictKind.CRASHED}), until_sure=True)
    assert Question.from_dict(question.to_dict()) == question


def test_no_evidence_is_left_out_of_the_rates() -> None:
    comparison = found("D?D", "..?")
    assert [(side.hits, side.runs, side.vain) for side in comparison.sides] == [(2, 2, (2,)), (0, 2, (3,))]


def test_the_nth_evidence_of_a_side_is_the_partner_of_the_nth_of_the_other() -> None:
    comparison = found("?DDDD", "....", SURE)
    assert comparison.look is not None
    assert (comparison.look.pairs, comparison.decision) == (4, Decision.DIFFERENT)


def test_trials_that_began_after_one_that_still_runs_are_not_looked_at_yet() -> None:
    # The fourth run of b is not over: a survivor takes longest. The pairs after it would all be quick ones.
    comparison = found("DDDDDDDD", "...-....", SURE)
    assert comparison.look is not None
    assert comparison.look.pairs == 3
    assert comparison.decision is Decision.OPEN
    assert comparison.b.runs == 7


def test_a_decision_of_a_fixed_number_is_at_five_percent() -> None:
    assert found("DDD", "...").decision is Decision.DIFFERENT
    assert found("DD", "..").decision is Decision.OPEN
    assert found("", "").p is None


def test_there_is_enough_only_where_it_was_asked_until_sure() -> None:
    assert reason(found("DDDD", "....")) is None
    assert reason(found("DDD", "...", SURE)) is None
    assert reason(found("DDDD", "....", SURE)) == "decided after 4 pairs: the rates differ"
    assert reason(found("." * 12, "." * 12, SURE)) == "decided after 9 pairs: no difference worth knowing"


def test_intervals_of_a_comparison_until_sure_are_wider() -> None:
    fixed, running = found("DDDD", "....").a, found("DDDD", "....", SURE).a
    assert running.low < fixed.low < 1.0 == fixed.high == running.high


def add(run: RunStore, side: str, number: int, kind: VerdictKind | None, **seconds: float) -> TrialStore:
    trial = run.of(Entry(side=side, number=number, case="c")).trial(f"c[{side}-{number}]", expected="anything")
    if kind is not None:
        trial.write_verdict(Verdict(kind=kind, summary="x"), {})
        names = {"hang": "time to hang", "ran": "load ran"}
        trial.write_measures([Measure(name=names[key], value=value, unit="s") for key, value in seconds.items()])
    return trial


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path, manifest={})


def test_times_are_of_the_load(run: RunStore) -> None:
    add(run, "a", 1, VerdictKind.DEADLOCKED, hang=9.0, ran=70.0)
    add(run, "a", 2, VerdictKind.CRASHED, ran=30.0)
    add(run, "b", 1, VerdictKind.SURVIVED, ran=110.0)
    add(run, "b", 2, VerdictKind.LOST)
    question = ask(counts=frozenset({*HANGS}))
    a, b = compare(question, read_outcomes(run, question)).sides
    assert (a.times.hits, a.times.censored) == ((9.0,), (30.0,))
    assert (b.times.hits, b.times.censored, b.vain) == ((), (110.0,), (2,))
    crashes = replace(question, counts=frozenset({VerdictKind.CRASHED}))
    a, _ = compare(crashes, read_outcomes(run, crashes)).sides
    assert (a.times.hits, a.times.censored) == ((30.0,), (70.0,))


def test_a_trial_without_a_verdict_runs_until_it_is_known_to_be_over(run: RunStore) -> None:
    trial = add(run, "a", 1, None)
    (running,) = read_outcomes(run, SURE, over=())
    (over,) = read_outcomes(run, SURE, over=(trial.slug,))
    assert (running.is_open, over.is_open, over.is_evidence) == (True, False, False)
    assert not read_outcomes(run, SURE)[0].is_open


def test_a_damaged_verdict_is_no_evidence(run: RunStore) -> None:
    add(run, "a", 1, None).verdict_path.write_text("{")
    (outcome,) = read_outcomes(run, SURE, over=())
    assert not outcome.is_evidence and not outcome.is_open


def test_trials_of_no_side_are_none_of_ours(run: RunStore) -> None:
    run.trial("test_other.py::test_plain")
    assert read_outcomes(run, SURE) == []


def test_the_result_is_on_disk_after_every_trial(run: RunStore) -> None:
    write_question(run, SURE)
    watch = Watch(run, SURE)
    for number in range(1, 5):
        assert read_comparison(run.path) is None or number > 1
        for side, kind in (("b", VerdictKind.SURVIVED), ("a", VerdictKind.DEADLOCKED)):
            enough = watch.pytest_harness_enough(add(run, side, number, kind, hang=9.0, ran=100.0))
        shown = read_comparison(run.path)
        assert shown is not None
        assert [(side.hits, side.runs) for side in shown.sides] == [(number, number), (0, number)]
        assert (enough is not None) == (number == 4)


def test_what_the_page_reads_is_what_was_written(run: RunStore) -> None:
    comparison = found("DD.", "...", ask(), times_a=(5.0, 9.0))
    write_result(run, comparison)
    shown = read_comparison(run.path)
    assert shown is not None
    assert shown.sentence == to_dict(comparison)["sentence"]
    a, b = shown.sides
    assert (a.hits, a.runs, a.verdicts) == (2, 3, {"DEADLOCKED": 2, "SURVIVED": 1})
    assert [round(step.share, 3) for step in a.steps] == [1.0, 0.667, 0.333, 0.333]
    assert b.ended == (120.0, 120.0, 120.0)
    assert read_question(run) == (ask(), ())


def test_a_run_that_is_no_comparison_is_refused(run: RunStore) -> None:
    with pytest.raises(UsageError, match="not a run of `harness compare`"):
        read_question(run)
    for text in ("{", '{"question": {}}', '{"question": {"counts": ["x"]}, "repeated": []}'):
        (run.path / COMPARISON).write_text(text)
        with pytest.raises(DamagedResult):
            read_question(run)
