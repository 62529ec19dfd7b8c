"""A bisection that is killed with SIGKILL at random instants, and resumed each time, loses no trial."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

import harness.bisect.loop
import harness.bisect.tree  # what a bisection imports when it begins is there before the processes are forked
import harness.plugin.repeat
from harness.bisect.candidates import Candidate, Candidates
from harness.bisect.log import NAME, BisectLog
from harness.bisect.record import Plan, write_plan
from harness.cli import call
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore, TrialStore

KILLS = 24
CULPRIT = 21
CASE = "test_x.py::test_swap"


def run_one(case: str, *, side_text: str, given_options: object, run_folder: Path) -> TrialStore:
    """A trial that takes a few milliseconds; bad sides hang in two of three runs."""
    trial = RunStore(run_folder).trial(case)
    (trial.path / "side").write_text(side_text)
    time.sleep(0.002)
    hung = int(side_text.partition("=")[2]) >= CULPRIT and len(RunStore(run_folder).trials()) % 3
    kind = VerdictKind.DEADLOCKED if hung else VerdictKind.SURVIVED
    trial.write_verdict(Verdict(kind=kind, summary="so it is"), {})
    trial.write_diagnosis(None)
    return trial


def begin(folder: Path) -> Path:
    store = RunStore.create(folder, manifest={})
    sides = tuple(Candidate(key=str(n), title=f"side {n}", side=f"cpus={n}") for n in range(1, 41))
    plan = Plan(case=CASE, folder=str(folder), candidates=Candidates(sides=sides), confidence=0.95)
    write_plan(store.path, plan)
    return store.path


def resume(run: Path, delay_s: float) -> bool:
    """Go on with `run` in a process that is killed after `delay_s`; whether it had not come to its end by then."""
    child = os.fork()
    if not child:
        os.close(1)
        os.open(os.devnull, os.O_WRONLY)
        os._exit(call(["bisect", "--resume", str(run)]))
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_no_trial_is_lost_or_counted_twice_whenever_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.plugin.repeat, "run_one", run_one)
    dice = random.Random(5)
    killed = 0
    while killed < KILLS:
        run = begin(tmp_path)
        patience_s = 0.1
        while resume(run, dice.uniform(0.0, patience_s)):
            killed += 1
            patience_s += 0.01  # so that a busy machine comes to an end too
        runs = BisectLog(run / NAME).runs()
        finished = [trial for trial in RunStore(run).trials() if trial.is_finished]
        assert Counter(found.trial for found in runs) == Counter(trial.slug for trial in finished)
        by_trial = {found.trial: f"cpus={found.key}" for found in runs}
        assert all((trial.path / "side").read_text() == by_trial[trial.slug] for trial in finished)
        assert (run / NAME).read_text().count("# first bad commit: [21] side 21\n") == 1
