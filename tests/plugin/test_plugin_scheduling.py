"""Real workers of xdist: no trial waits behind another while a worker has nothing to do."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from harness.results.store import RunStore

CONFTEST = """
import os, time
from pathlib import Path

from harness.model.verdict import Verdict, VerdictKind

JOURNAL = Path(__file__).with_name("journal")
STEPS = {steps}

def note(word):
    with JOURNAL.open("a") as journal:  # one write, and so whole beside those of other processes
        journal.write(f"{word}\\n")

def pytest_harness_run_trial(plan, settings, store):
    name = plan.name.partition("::")[2]
    trial = store.trial(plan.name, expected=plan.expected)
    trial.close()
    note(f"begin {name}")
    for step in STEPS.get(name, "").split():
        if step == "die":
            os._exit(3)
        while f"end {step}" not in JOURNAL.read_text().splitlines():  # the time limit of the session ends it
            time.sleep(0.02)
    note(f"end {name}")
    verdict = Verdict(kind=VerdictKind.SURVIVED, summary="the fake survived")
    trial.write_verdict(verdict, {"wall_s": 1.0})
    return verdict
"""
CASES = """
import pytest

pytestmark = pytest.mark.topology("pair")

@pytest.fixture(scope="module")
def shared():
    yield 1

@pytest.mark.cost(30)
def test_a(trial): trial.run(storage=None, workload=None)

@pytest.mark.cost(20)
def test_b(trial, shared): trial.run(storage=None, workload=None)

@pytest.mark.cost(10)
def test_c(trial, shared): trial.run(storage=None, workload=None)

def test_d(trial, shared): trial.run(storage=None, workload=None)
"""
# The first ends only when the last two have: if one of them waited behind it, the session would not end.
LONG = {"test_a": "test_c test_d"}


def run(
    project: pytest.Pytester, *arguments: str, steps: Mapping[str, str] = LONG
) -> tuple[pytest.RunResult, list[str]]:
    """A session over CASES, and what happened in it, in this order."""
    project.makeconftest(CONFTEST.replace("{steps}", repr(dict(steps))))
    project.makepyfile(test_x=CASES)
    journal = project.path / "journal"
    journal.write_text("")
    result = project.runpytest_subprocess("--harness-live=off", *arguments, timeout=120)
    return result, journal.read_text().splitlines()


def check_that_none_waited(happened: list[str], ended: int) -> None:
    """Of two workers, one ran `test_a` until all others were over."""
    assert happened[-1] == "end test_a"
    assert [happened.count(f"begin test_{name}") for name in "abcd"] == [1, 1, 1, 1]
    assert len([line for line in happened if line.startswith("end")]) == ended
    order = [line.removeprefix("begin ") for line in happened if line.startswith("begin")]
    assert order.index("test_b") < order.index("test_c") < order.index("test_d"), "the longest begin first"


def test_the_next_trial_begins_when_a_worker_is_free(project: pytest.Pytester) -> None:
    result, happened = run(project, "-n2")
    result.assert_outcomes(passed=4)
    check_that_none_waited(happened, ended=4)
    result.stdout.fnmatch_lines(["*2 workers [[]4 items]*"])  # the gap is nobody's business
    assert "100%" in result.stdout.str()


def test_the_next_trial_begins_in_place_of_one_whose_worker_died(project: pytest.Pytester) -> None:
    result, happened = run(project, "-n2", steps={**LONG, "test_b": "die"})
    result.assert_outcomes(passed=3, errors=1)
    check_that_none_waited(happened, ended=3)


def test_a_resumed_run_too(project: pytest.Pytester) -> None:
    run(project, "-n2", "--harness-run=run", steps={**LONG, "test_b": "die"})
    for trial in RunStore(project.path / "run").trials():
        trial.verdict_path.unlink(missing_ok=True)
    result, happened = run(project, "-n2", "--harness-resume=run")
    result.assert_outcomes(passed=4)
    check_that_none_waited(happened, ended=4)


def test_sessions_that_repeat_a_case_too(project: pytest.Pytester) -> None:
    repetition = {"sides": {"a": "stock", "b": "stock"}, "trials": [["a", 1], ["a", 2], ["b", 1], ["b", 2]]}
    (project.path / "repeat.json").write_text(json.dumps(repetition))
    steps = {"test_d[a-1]": "test_d[b-1] test_d[b-2]"}
    result, happened = run(project, "-n2", "--harness-repeat=repeat.json", "-k", "test_d", steps=steps)
    result.assert_outcomes(passed=4)
    assert happened[-1] == "end test_d[a-1]"


def test_another_policy_that_the_user_names_is_xdists(project: pytest.Pytester) -> None:
    result, _ = run(project, "-n2", "-v", "--dist=worksteal", steps={})
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["scheduling tests via WorkStealingScheduling"])
