"""What stands in for `run_trial` in the tests of a campaign, also in processes of their own."""

from __future__ import annotations

import os
import time

from harness.model.errors import BootError, HostEnvironmentError
from harness.model.history import Event, Kind
from harness.model.settings import Settings
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore
from harness.trial.plan import Plan

SURVIVED = Verdict(kind=VerdictKind.SURVIVED, summary="done")


def survive(plan: Plan, *, settings: Settings, store: RunStore) -> Verdict:
    """A trial that leaves a history and a verdict behind."""
    trial = store.trial(plan.name, expected=plan.expected)
    trial.append(Event(0.0, Kind.TRIAL, data={"name": plan.name}))
    trial.close()
    trial.write_verdict(SURVIVED, {"process": os.getpid(), "faults": [fault.at_s for fault in plan.faults]})
    return SURVIVED


def fail_to_boot(plan: Plan, *, settings: Settings, store: RunStore) -> Verdict:
    """A trial whose guest does not boot; `run_trial` leaves an INCONCLUSIVE verdict then."""
    trial = store.trial(plan.name, expected=plan.expected)
    trial.append(Event(0.0, Kind.INFRA, data={"error": "BootError"}))
    trial.close()
    trial.write_verdict(Verdict(kind=VerdictKind.INCONCLUSIVE, summary="BootError"), {})
    raise BootError(host="alone", problem="no prompt")


def fill_the_disk(plan: Plan, *, settings: Settings, store: RunStore) -> Verdict:
    """A machine on which no trial can run, for now."""
    raise HostEnvironmentError("the disk is full", remedy="free some space")


def die_on_forks(plan: Plan, *, settings: Settings, store: RunStore) -> Verdict:
    """Takes its process with it, on one kind."""
    if plan.name.startswith("live.fork"):
        os._exit(9)
    return survive(plan, settings=settings, store=store)


def dawdle(plan: Plan, *, settings: Settings, store: RunStore) -> Verdict:
    """Runs until it is interrupted, and says that it was."""
    trial = store.trial(plan.name)
    (trial.path / "began").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (trial.path / "cleaned-up").touch()
        raise
    return SURVIVED
