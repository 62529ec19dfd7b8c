"""The loop of a bisection: choose a side, run the case on it, log the run, until the answer is sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from harness.bisect.candidates import Candidate
from harness.bisect.log import LOST_TRIAL, NO_TRIAL, BisectLog, Run
from harness.bisect.signature import SKIP, Signature, judge
from harness.bisect.state import Conclusion, State
from harness.model.errors import HarnessError, HostEnvironmentError, InfraError, UsageError
from harness.model.verdict import Verdict
from harness.results.store import RunStore, TrialStore
from harness.trial.run import explain


class Untestable(HarnessError):
    """A side cannot be run at all, such as a commit that does not build."""


class Bench(Protocol):
    """Runs the case."""

    def run(self, side: Candidate) -> TrialStore:
        """One trial on `side`; raises Untestable or UsageError if it cannot run, InfraError if there is no trial."""


Tell = Callable[[str], None]


class Bisection:
    """One bisection in a run's folder."""

    def __init__(self, state: State, log: BisectLog, store: RunStore, bench: Bench, tell: Tell) -> None:
        self._state = state
        self._log = log
        self._store = store
        self._bench = bench
        self._tell = tell

    def run(self) -> Conclusion:
        """Continue from the log to the end."""
        self._replay()
        while not isinstance(step := self._state.next(), Conclusion):
            side = self._state.candidates.sides[step]
            self._log.testing(side)
            self._tell(f"testing {named(side)}")
            self._take(side, self._run(side))
        return step

    def _replay(self) -> None:
        known = self._log.runs()
        for run in known:
            self._note(self._state.take(run))
        if known:
            self._tell(f"going on after {len(known)} runs")
        interrupted = self._log.interrupted
        sides = [side for side in self._state.candidates.sides if side.key == interrupted]
        stored = {run.trial for run in known}
        # The trial of an interrupted step may have finished before its line was written.
        finished = [trial for trial in self._store.trials() if trial.is_finished and trial.slug not in stored]
        if sides and finished:
            self._take(sides[0], read_run(_explained(finished[-1]), sides[0], self._state.signature))

    def _run(self, side: Candidate) -> Run:
        try:
            trial = self._bench.run(side)
        except InfraError as error:
            return Run(word=SKIP, key=side.key, why=str(error), trial=LOST_TRIAL)
        except (Untestable, UsageError) as error:
            # Before the first run the fault is in the case or this machine; later in this side, such as its config.
            if isinstance(error, HostEnvironmentError) or not (self._state.runs or isinstance(error, Untestable)):
                raise
            return Run(word=SKIP, key=side.key, why=str(error), trial=NO_TRIAL)
        return read_run(trial, side, self._state.signature)

    def _note(self, decisions: Sequence[tuple[int, str]]) -> None:
        for place, word in decisions:
            self._log.decided(self._state.candidates.sides[place], word)

    def _take(self, side: Candidate, run: Run) -> None:
        run = self._log.add(side, run)
        self._note(self._state.take(run))
        place, share = self._state.likeliest
        likeliest = named(self._state.candidates.sides[place])
        self._tell(
            f"{run.word}: {run.why}; {self._state.left} left, likeliest {likeliest} ({share:.0%}), "
            f"a bad one hangs in {self._state.rate:.0%} of its runs"
        )


def read_run(trial: TrialStore, side: Candidate, sought: Signature | None) -> Run:
    """The trial of `side` as a run of the log; raises DamagedResult."""
    record = trial.read_verdict()
    if record is None:
        return Run(word=SKIP, key=side.key, why="no verdict", trial=trial.slug)
    word, why = judge(Verdict.from_dict(record), trial.read_diagnosis(), sought)
    return Run(word=word, key=side.key, why=why, trial=trial.slug)


def _explained(trial: TrialStore) -> TrialStore:
    """Diagnose `trial` again: a kill may have come before its diagnosis was written."""
    record = trial.read_verdict()
    if record is not None:
        explain(trial, trial.scan_history()[0], Verdict.from_dict(record))
    return trial


def named(side: Candidate) -> str:
    """The name of a side in a line of text."""
    return f"[{side.key[:12]}] {side.title}"
