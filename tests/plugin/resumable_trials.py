"""A conftest.py for sessions that are killed: quick trials of random length, which tell a journal that they ran.

A trial writes what a real one writes, in its order. Where the file `die` names one of its steps, the whole process
group is killed there, once.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import harness.report
from harness.model.history import Event, Kind
from harness.model.observe import Observer
from harness.model.settings import Settings
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore
from harness.trial import Plan
from harness.trial.run import explain

LONGEST_S = 0.08

harness.report.write_report = lambda run_dir: run_dir / "report.html"


def pytest_harness_run_trial(plan: Plan, settings: Settings, store: RunStore, observers: Sequence[Observer]) -> Verdict:
    _tell(plan.name)
    trial = store.trial(plan.name, expected=plan.expected)
    _die_at("folder", plan.name)
    hung = plan.expected == "deadlock"
    for n in range(8):
        trial.append(Event(float(n), Kind.PROGRESS, "small", {"ops": 0 if hung else 100 * n, "workers": 1}))
        time.sleep(random.uniform(0, LONGEST_S) / 8)
    trial.close()
    _die_at("history", plan.name)
    verdict = Verdict(kind=VerdictKind.DEADLOCKED if hung else VerdictKind.SURVIVED, summary="of a fake")
    trial.write_verdict(verdict, {"wall_s": 100.5})
    _die_at("verdict", plan.name)
    explain(trial, trial.read_history(), verdict)
    _die_at("all", plan.name)
    return verdict


def _tell(name: str) -> None:
    handle = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, f"{name}\n".encode())
    os.close(handle)


def _die_at(step: str, name: str) -> None:
    order = Path("die")
    if order.exists() and order.read_text() == f"{step} {name}":
        order.unlink()
        os.killpg(0, signal.SIGKILL)
