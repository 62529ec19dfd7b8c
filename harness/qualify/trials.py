"""Trials of a qualification: run once, kept in the run, and read as a check."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import HostEnvironmentError, InfraError, UsageError
from harness.model.events import Phase
from harness.model.history import select
from harness.model.verdict import Verdict, VerdictKind
from harness.monitors.instruments.sockets import stalls_in
from harness.qualify.ground import Ground
from harness.results.store import RunStore, TrialStore
from harness.trial.plan import Plan
from harness.trial.run import run_trial

# Not about the hosts under test: nothing was shown.
NOTHING = (VerdictKind.INCONCLUSIVE, VerdictKind.OOM_KILLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a trial: its verdict, or one line why there is none; `hours` is the time of its load."""

    slug: str = ""
    verdict: Verdict | None = None
    problem: str = ""
    title: str = ""
    stalls: int = 0
    longest_s: float = 0.0
    hours: float = 0.0

    @property
    def is_bad(self) -> bool:
        """Whether it speaks against the hosts."""
        return self.verdict is not None and self.verdict.kind not in (VerdictKind.SURVIVED, *NOTHING)

    @property
    def is_good(self) -> bool:
        """Whether the load ran to its end without a stall."""
        return self.verdict is not None and self.verdict.kind is VerdictKind.SURVIVED and not self.stalls

    @property
    def words(self) -> str:
        """The verdict and its cause in one line."""
        if self.verdict is None:
            return self.problem
        return f"{self.verdict.kind}: {self.title or self.verdict.summary}"


def outcome_of(ground: Ground, plan: Plan) -> Outcome:
    """Run the plan, unless the run has a verdict of it about the kernel; raises HostEnvironmentError."""
    kept = ground.store.finished(plan.name)
    if kept is not None:
        return read(kept)
    ground.say(f"trial: {plan.name}")
    try:
        run_trial(plan, settings=ground.settings, store=ground.store)
    except HostEnvironmentError:
        raise
    except (UsageError, InfraError) as error:
        return Outcome(problem=(str(error).splitlines() or ["?"])[0])
    return read(_newest(ground.store, plan.name))


def _newest(store: RunStore, name: str) -> TrialStore:
    return store.trials(name)[-1]


def read(trial: TrialStore) -> Outcome:
    """The outcome of a finished trial."""
    record = trial.read_verdict()
    assert record is not None, "finished"
    diagnosis = trial.read_diagnosis()
    stalls, longest_s = stalls_in(trial.read_measures())
    return Outcome(
        slug=trial.slug,
        verdict=Verdict.from_dict(record),
        title=diagnosis.title if diagnosis is not None else "",
        stalls=stalls,
        longest_s=longest_s,
        hours=_load_hours(trial),
    )


def _load_hours(trial: TrialStore) -> float:
    events, _ = trial.scan_history()
    times = {phase.state: event.t for event, phase in select(events, Phase) if phase.name == "load"}
    end = times.get("end", events[-1].t if events else 0.0)
    return max(0.0, end - times.get("begin", end)) / 3600
