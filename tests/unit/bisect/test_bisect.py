"""A bisection: it finds the culprit, counts only what it looks for, and goes on wherever it was killed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.bisect.candidates import Candidate, Candidates
from harness.bisect.log import NAME, BisectLog, Run
from harness.bisect.loop import Bisection, Untestable
from harness.bisect.signature import Signature, judge, read_signature, signature_of
from harness.bisect.state import Conclusion, End, Setting, State
from harness.bisect.step import step
from harness.bisect.words import conclude
from harness.model.diagnosis import Confidence, Diagnosis
from harness.model.errors import UsageError
from harness.model.hang_classes import HangClass
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore, TrialStore

SWAP = HangClass.SWAP_OVER_NETWORK
SIDES = Candidates(sides=tuple(Candidate(key=str(n), title=f"patch {n}; (more)", side="stock") for n in range(1, 10)))
SIXTH = 5  # the first bad one, counted from 0


@pytest.fixture(autouse=True)
def nothing_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of small files are not to wait for the disk: no test here takes the power away."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


class Killed(BaseException):
    """A kill at this very instant."""


def verdict(kind: VerdictKind, summary: str = "so it is") -> Verdict:
    return Verdict(kind=kind, summary=summary)


def diagnosis(hang_class: HangClass, confidence: Confidence = Confidence.HIGH) -> Diagnosis:
    return Diagnosis(hang_class=hang_class, confidence=confidence, title="why")


SURVIVED = verdict(VerdictKind.SURVIVED), None
HUNG = verdict(VerdictKind.DEADLOCKED), diagnosis(SWAP)
CRASHED = verdict(VerdictKind.CRASHED, "client: Oops: 0002"), None

Outcome = tuple[Verdict, Diagnosis | None]


def flaky(side: Candidate, number: int) -> Outcome:
    """Bad sides hang in three of four runs."""
    return HUNG if int(side.key) > SIXTH and (number + int(side.key)) % 4 else SURVIVED


class FakeBench:
    """Trials with the outcomes that `outcome` gives for a side and the number of its run."""

    def __init__(self, store: RunStore, outcome: Callable[[Candidate, int], Outcome]) -> None:
        self.store = store
        self.outcome = outcome
        self.kill_before = self.kill_after = 0  # the trial before or after which it is killed, from 1
        self.count = 0

    def run(self, side: Candidate) -> TrialStore:
        self.count += 1
        if self.count == self.kill_before:
            self.store.trial(f"x.py::{side.key}")  # begun, and never finished
            raise Killed
        # Told apart by what is on disk, as a kill forgets the rest.
        number = sum(trial.is_finished for trial in self.store.trials(f"x.py::{side.key}"))
        found, why = self.outcome(side, number)
        trial = self.store.trial(f"x.py::{side.key}")
        trial.write_verdict(found, {})
        trial.write_diagnosis(why)
        if self.count == self.kill_after:
            raise Killed
        return trial


def bisection(
    store: RunStore, bench: FakeBench, setting: Setting | None = None, reported: list[str] | None = None
) -> tuple[State, Bisection]:
    state = State(SIDES, setting or Setting())
    lines: list[str] = [] if reported is None else reported
    return state, Bisection(state, BisectLog(store.path / NAME), store, bench, lines.append)


def run_of(
    tmp_path: Path, outcome: Callable[[Candidate, int], Outcome], setting: Setting | None = None
) -> tuple[Conclusion, State, RunStore]:
    store = RunStore.create(tmp_path, manifest={})
    state, running = bisection(store, FakeBench(store, outcome), setting)
    return running.run(), state, store


def test_it_finds_a_culprit_whose_hang_shows_in_some_runs_only(tmp_path: Path) -> None:
    conclusion, state, store = run_of(tmp_path, flaky)
    assert conclusion.end is End.FOUND
    assert conclusion.answer.culprits == (SIXTH,)
    assert conclusion.answer.confidence >= 0.95
    assert len(store.trials()) == state.runs.total()
    text = conclude(state, conclusion, commits=False)
    assert text.startswith("6 is the first bad side, with 9")
    assert "looked for: DEADLOCKED, swap_over_network" in text


@pytest.mark.parametrize("place", ["before", "after", "torn"])
def test_killed_at_any_trial_it_goes_on_and_comes_to_the_same_answer(tmp_path: Path, place: str) -> None:
    whole = [(run.word, run.key) for run in BisectLog(run_of(tmp_path, flaky)[2].path / NAME).runs()]
    for number in range(1, len(whole) + 1):
        store = RunStore.create(tmp_path, manifest={})
        bench = FakeBench(store, flaky)
        setattr(bench, "kill_before" if place == "before" else "kill_after", number)
        with pytest.raises(Killed):
            bisection(store, bench)[1].run()
        if place == "torn":
            with (store.path / NAME).open("a") as file:
                file.write("# good: [3] pat")
        assert bisection(store, FakeBench(store, flaky))[1].run().answer.culprits == (SIXTH,)
        assert len(whole) == sum(trial.is_finished for trial in store.trials())
        assert [(run.word, run.key) for run in BisectLog(store.path / NAME).runs()] == whole


def test_killed_at_every_trial_it_comes_to_an_end_nevertheless(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, manifest={})
    for _ in range(100):
        bench = FakeBench(store, flaky)
        bench.kill_after = 1
        try:
            conclusion = bisection(store, bench)[1].run()
        except Killed:
            continue
        break
    assert conclusion.answer.culprits == (SIXTH,)
    runs = BisectLog(store.path / NAME).runs()
    assert Counter(run.trial for run in runs).most_common(1)[0][1] == 1


def test_the_log_reads_as_that_of_git_bisect(tmp_path: Path) -> None:
    _, _, store = run_of(tmp_path, flaky)
    lines = (store.path / NAME).read_text().splitlines()
    assert lines[0] == "git bisect start"
    assert "# bad: [9] patch 9; (more); DEADLOCKED, swap_over_network (x.9)" in lines
    commands = [line for line in lines if line.startswith("git bisect")]
    assert {"git bisect bad 6", "git bisect good 5", "git bisect good 1"} <= set(commands)
    assert not any(line.startswith("git bisect good") and int(line.split()[-1]) > SIXTH for line in commands)
    BisectLog(store.path / NAME).finish("6 it is\nsurely", SIDES.sides[SIXTH])
    assert (store.path / NAME).read_text().endswith("# surely\n# first bad commit: [6] patch 6; (more)\n")


def test_a_finished_bisection_only_says_again_what_it_found(tmp_path: Path) -> None:
    conclusion, _, store = run_of(tmp_path, flaky)
    bench = FakeBench(store, flaky)
    assert bisection(store, bench)[1].run() == conclusion
    assert bench.count == 0


def test_other_crashes_count_for_nothing(tmp_path: Path) -> None:
    def outcome(side: Candidate, number: int) -> Outcome:
        return CRASHED if side.key == "4" and number % 2 == 0 else flaky(side, number)

    conclusion, state, _ = run_of(tmp_path, outcome)
    assert conclusion.answer.culprits == (SIXTH,)
    assert state.signature == Signature(VerdictKind.DEADLOCKED, SWAP.value)


def test_sides_that_never_say_anything_are_left_out_and_the_answer_says_so(tmp_path: Path) -> None:
    def outcome(side: Candidate, number: int) -> Outcome:
        return CRASHED if side.key in ("5", "6") else flaky(side, number)

    conclusion, state, store = run_of(tmp_path, outcome)
    assert conclusion.end is End.FOUND
    assert sorted(conclusion.answer.culprits) == [4, 5, 6]
    assert "one of these 3" in conclude(state, conclusion, commits=True)
    assert "git bisect skip 5" in (store.path / NAME).read_text()


def test_a_side_that_does_not_build_is_not_tried_twice(tmp_path: Path) -> None:
    tried: list[str] = []

    class Broken(FakeBench):
        def run(self, side: Candidate) -> TrialStore:
            tried.append(side.key)
            if side.key == "5":
                raise Untestable("does not build: nbd.c:1: error; no")
            return super().run(side)

    store = RunStore.create(tmp_path, manifest={})
    conclusion = bisection(store, Broken(store, flaky))[1].run()
    assert tried.count("5") == 1
    assert sorted(conclusion.answer.culprits) == [4, 5]
    assert "# skip: [5] patch 5; (more); does not build: nbd.c:1: error no (-)" in (store.path / NAME).read_text()


def test_a_bad_end_that_does_not_hang_is_told_and_nothing_is_bisected(tmp_path: Path) -> None:
    conclusion, state, _ = run_of(tmp_path, lambda side, number: SURVIVED, Setting(rate=0.5))
    assert conclusion.end is End.NOT_REPRODUCED
    assert state.runs == {"good": 5}


def test_a_good_end_that_hangs_too_is_told(tmp_path: Path) -> None:
    conclusion, _, _ = run_of(tmp_path, lambda side, number: HUNG)
    assert conclusion.end is End.GOOD_IS_BAD


def test_a_bad_end_that_does_not_boot_is_told(tmp_path: Path) -> None:
    lost = verdict(VerdictKind.INCONCLUSIVE), None
    assert run_of(tmp_path, lambda side, number: lost)[0].end is End.BAD_UNTESTABLE


def test_a_stated_signature_is_looked_for_from_the_first_run(tmp_path: Path) -> None:
    def outcome(side: Candidate, number: int) -> Outcome:
        return CRASHED if side.key == "9" and number == 0 else flaky(side, number)

    conclusion, state, _ = run_of(tmp_path, outcome, Setting(signature=read_signature("DEADLOCKED")))
    assert conclusion.answer.culprits == (SIXTH,)
    assert state.runs["skip"] == 1


@pytest.mark.parametrize(
    ("outcome", "sought", "word"),
    [
        (SURVIVED, "DEADLOCKED", "good"),
        (HUNG, "DEADLOCKED", "bad"),
        (HUNG, "DEADLOCKED, swap_over_network", "bad"),
        (HUNG, "DEADLOCKED, filesystem_frozen", "skip"),
        ((HUNG[0], diagnosis(SWAP, Confidence.LOW)), "DEADLOCKED, filesystem_frozen", "bad"),
        ((HUNG[0], None), "DEADLOCKED, filesystem_frozen", "bad"),
        (HUNG, "LIVELOCKED", "skip"),
        (CRASHED, "DEADLOCKED", "skip"),
        (CRASHED, "CRASHED, Oops: N", "bad"),
        ((verdict(VerdictKind.STALLED), None), "DEADLOCKED", "good"),
        ((verdict(VerdictKind.STALLED), None), "LIVELOCKED", "skip"),
        ((verdict(VerdictKind.LOST), None), "DEADLOCKED", "skip"),
    ],
)
def test_only_what_is_sought_counts(outcome: Outcome, sought: str, word: str) -> None:
    assert judge(*outcome, read_signature(sought))[0] == word


def test_a_run_without_a_verdict_says_why() -> None:
    assert judge(verdict(VerdictKind.INCONCLUSIVE, "no room"), None, None) == ("skip", "INCONCLUSIVE: no room")


def test_a_crash_is_known_again_by_its_headline_whatever_the_numbers_are() -> None:
    one = verdict(VerdictKind.CRASHED, "client: BUG: unable to handle page fault for address: fffffffffffff000")
    other = verdict(VerdictKind.CRASHED, "server: BUG: unable to handle page fault for address: 00000000deadbeef")
    assert signature_of(one, None) == signature_of(other, None)
    assert read_signature(str(signature_of(one, None))) == signature_of(one, None)


@pytest.mark.parametrize("text", ["", "DEADLOCK", "SURVIVED", "INCONCLUSIVE, x"])
def test_a_signature_that_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^signature "):
        read_signature(text)


def test_a_log_of_another_bisection_is_refused() -> None:
    with pytest.raises(UsageError, match="run of 77"):
        State(SIDES, Setting()).take(Run(word="bad", key="77", why="DEADLOCKED", trial="x"))


def one_step(tmp_path: Path, outcomes: Sequence[Outcome], rate: float | None = 0.5) -> tuple[int, int]:
    """The exit code of a step, and how many trials it took."""
    store = RunStore.create(tmp_path, manifest={})
    bench = FakeBench(store, lambda side, number: outcomes[min(number, len(outcomes) - 1)])
    side = Candidate(key="1", title="")
    code = step(
        lambda: bench.run(side), lambda line: None, sought=read_signature("DEADLOCKED"), rate=rate, confidence=0.95
    )
    return code, bench.count


def test_a_step_of_git_bisect_is_good_only_after_enough_runs(tmp_path: Path) -> None:
    assert one_step(tmp_path, [SURVIVED]) == (0, 5)
    assert one_step(tmp_path, [SURVIVED], rate=0.9) == (0, 2)


def test_a_step_of_git_bisect_is_bad_at_the_first_hang(tmp_path: Path) -> None:
    assert one_step(tmp_path, [SURVIVED, SURVIVED, HUNG]) == (1, 3)


def test_a_step_of_git_bisect_that_says_nothing_is_skipped(tmp_path: Path) -> None:
    assert one_step(tmp_path, [CRASHED]) == (125, 2)
    assert one_step(tmp_path, [CRASHED, SURVIVED]) == (0, 6)
