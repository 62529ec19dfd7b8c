"""A conftest.py for test sessions in which no guest boots: a trial ends as its workload, a word, says."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from harness.model.errors import BootError
from harness.model.history import Event, Kind
from harness.model.observe import Observer
from harness.model.settings import Settings
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore, TrialStore
from harness.state.state import StateDir
from harness.trial import Plan


def pytest_harness_run_trial(plan: Plan, settings: Settings, store: RunStore, observers: Sequence[Observer]) -> Verdict:
    trial = store.trial(plan.name, expected=plan.expected)
    _tell(trial, plan, observers)
    word = str(plan.workload)
    if word == "no-boot":
        _store(trial, Verdict(kind=VerdictKind.INCONCLUSIVE, summary="the guest did not boot"))
        raise BootError(host="small", problem="no answer in 30 s", console_tail="\x1b[31mKernel panic\x1b[0m")
    if word == "bug":
        raise ZeroDivisionError("a bug of the harness")
    if word == "interrupt":
        raise KeyboardInterrupt
    if word == "sleep":
        with StateDir(settings.state).open_run():
            for observer in observers:
                observer.on_event(Event(0.3, Kind.PHASE, data={"name": "asleep", "state": "begin"}))
            time.sleep(60)
    verdict = Verdict(
        kind=VerdictKind.LOST if word == "sleep" else VerdictKind(word.removeprefix("die-")),
        summary=f"the fake {word}\x1b[2J",
        onset_s=2.0,
        certain_s=9.5,
    )
    _store(trial, verdict)
    if word.startswith("die-"):
        os._exit(3)
    return verdict


def _tell(trial: TrialStore, plan: Plan, observers: Sequence[Observer]) -> None:
    for event in (
        Event(0.0, Kind.TRIAL, data={"name": trial.name, "policy": plan.policy.to_dict()}),
        Event(0.1, Kind.PHASE, data={"name": "load", "state": "begin"}),
        Event(0.2, Kind.RUNG, "small", {"rung": "alloc", "ok": True, "latency_s": 0.01}),
    ):
        trial.append(event)
        for observer in observers:
            observer.on_event(event)
    trial.close()


def _store(trial: TrialStore, verdict: Verdict) -> None:
    trial.write_verdict(verdict, {"wall_s": 12.25})
