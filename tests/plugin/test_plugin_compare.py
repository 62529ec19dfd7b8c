"""`harness compare` over fake trials, whose verdicts their side's command line says, one word a run."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forked_commands import forks

# Imported here, once: a session inside of this one forgets the modules that it was the first to import.
import harness.cli.compare
import harness.compare.run  # noqa: F401
from harness.cli import call
from harness.results.store import MANIFEST, RunStore

HARNESS = Path(sys.executable).with_name("harness")
CASE = "test_swap.py::test_case"
KILLS = 10  # of each way
FILE = """
import pytest

@pytest.mark.topology("pair")
@pytest.mark.reproduces("deadlock")
def test_case(trial):
    trial.run(storage=None, workload=None)

@pytest.mark.topology("pair")
@pytest.mark.parametrize("size", ["x1", "x4"])
def test_rows(trial, size):
    trial.run(storage=None, workload=None)

def test_without_trial():
    pass
"""
CONFTEST = """
import pathlib
import re
import time

import harness.report
from harness.model.measure import Measure
from harness.model.verdict import HANGS, Verdict, VerdictKind

harness.report.write_report = lambda run_dir: run_dir / "report.html"  # drawing takes a second

def pytest_harness_run_trial(plan, settings, store, observers):
    trial = store.trial(plan.name, expected=plan.expected)
    with open("began", "a") as file:
        print(trial.slug, file=file)
    words = (plan.topology.hosts[0].cmdline or "SURVIVED").split(",")
    number = int(re.search(r"-(\\d+)\\]$", plan.name)[1])
    word = words[(number - 1) % len(words)]
    if word == "flaky":
        seen = pathlib.Path("seen")
        word = "SURVIVED" if seen.exists() else "INCONCLUSIVE"
        seen.touch()
    if word == "bug":
        raise ZeroDivisionError("a bug of the harness")
    if word == "sleep" and not pathlib.Path("awake").exists():
        pathlib.Path("asleep").touch()
        time.sleep(60)
    if word == "slow":
        time.sleep(0.1)
    kind = VerdictKind.SURVIVED if word in ("slow", "sleep") else VerdictKind(word)
    verdict = Verdict(kind=kind, summary=f"the fake {word}", onset_s=5.0 + number, certain_s=20.0)
    trial.write_verdict(verdict, {"wall_s": 30.0})
    name, value = ("time to hang", float(number)) if kind in HANGS else ("load ran", 100.0 + number)
    trial.write_measures([Measure(name=name, value=value, unit="s")])
    return verdict
"""


@pytest.fixture
def cases(project: pytest.Pytester) -> pytest.Pytester:
    """A project with cases to compare."""
    project.makeconftest(CONFTEST)
    project.makepyfile(test_swap=FILE)
    return project


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command line came to; `words` is its output with single blanks."""

    ret: int
    out: str
    err: str

    @property
    def words(self) -> str:
        return " ".join(self.out.split())


Compare = Callable[..., Result]


@pytest.fixture
def compare(cases: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run `harness compare` in this process."""

    def run(*arguments: str) -> Result:
        capfd.readouterr()
        status = call(["compare", *arguments])
        reported = capfd.readouterr()
        return Result(ret=status, out=reported.out, err=reported.err)

    return run


def hangs_on_a(*arguments: str) -> tuple[str, ...]:
    return ("--a", "cmdline=DEADLOCKED", "--b", "stock", *arguments, CASE)


def the_run(cases: pytest.Pytester) -> RunStore:
    (store,) = RunStore.runs(cases.path / "results")
    return store


def record(cases: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((the_run(cases).path / "comparison.json").read_text())
    return found


def began(cases: pytest.Pytester) -> list[str]:
    """The trials that really ran, in their order."""
    journal = cases.path / "began"
    return journal.read_text().split() if journal.exists() else []


def sides(cases: pytest.Pytester) -> list[tuple[int, int]]:
    return [(side["hits"], side["runs"]) for side in record(cases)["result"]["sides"]]


def test_a_number_of_runs_of_each_side(cases: pytest.Pytester, compare: Compare) -> None:
    result = compare(*hangs_on_a("--runs", "4"))
    assert result.ret == 0
    assert sides(cases) == [(4, 4), (0, 4)]
    sentence = (
        "hung in 4 of 4 runs within 4 s (median 2.5 s) with cmdline=DEADLOCKED, in 0 of 4 without it "
        "(p = 0.0078, Boschloo's exact test)"
    )
    assert sentence in result.words
    assert record(cases)["result"]["sentence"] == sentence


def test_each_trial_has_a_line_as_it_ends(cases: pytest.Pytester, compare: Compare) -> None:
    lines = compare(*hangs_on_a("--runs", "2")).out
    assert "a-1: DEADLOCKED after 1 s of load; " in lines
    assert "b-2: SURVIVED after 102 s of load; " in lines
    assert "; 4 of 4 trials" in lines


def test_the_sides_take_turns_in_an_order_of_the_seed(cases: pytest.Pytester, compare: Compare) -> None:
    compare(*hangs_on_a("--runs", "6", "--seed", "3"))
    order = [name.partition("test_case-")[2] for name in began(cases)]
    for number in range(1, 7):
        assert sorted(order[2 * number - 2 : 2 * number]) == [f"a-{number}", f"b-{number}"]
    assert {name[0] for name in order[::2]} == {"a", "b"}  # neither is always the first of a pair
    assert record(cases)["question"]["seed"] == 3


def test_until_sure_ends_as_soon_as_it_is_decided(cases: pytest.Pytester, compare: Compare) -> None:
    result = compare(*hangs_on_a("--until-sure"))
    assert result.ret == 0
    assert sides(cases) == [(4, 4), (0, 4)]
    assert "Decided after 4 pairs" in result.out
    assert "(p = 0.027, sequential test)" in result.words


def test_until_sure_with_two_workers(cases: pytest.Pytester) -> None:
    result = cases.run(HARNESS, "compare", *hangs_on_a("--until-sure", "-n", "2"))
    assert result.ret == 0
    assert record(cases)["result"]["sequential"]["after"] == 4
    assert 8 <= len(began(cases)) <= 10  # what ran at that moment went on


def test_until_sure_of_sides_that_are_alike_says_so_and_ends_with_1(cases: pytest.Pytester, compare: Compare) -> None:
    result = compare("--a", "cpus=1", "--b", "stock", "--until-sure", CASE)
    assert result.ret == 1
    assert "no difference of 30 percentage points or more" in result.words
    assert "Neither side hung in" in result.out


def test_until_sure_undecided_after_the_most_runs_ends_with_1(cases: pytest.Pytester, compare: Compare) -> None:
    result = compare(*hangs_on_a("--until-sure", "--most", "2"))
    assert result.ret == 1
    assert "Not decided after 2 pairs" in result.out
    assert sides(cases) == [(2, 2), (0, 2)]


def test_a_trial_without_a_verdict_is_run_once_more(cases: pytest.Pytester, compare: Compare) -> None:
    result = compare("--a", "cmdline=DEADLOCKED,flaky", "--b", "stock", "--runs", "2", CASE)
    assert result.ret == 0
    assert sides(cases) == [(1, 2), (0, 2)]
    assert record(cases)["repeated"] == ["a-2"]
    assert "Run again, as they had no verdict about the kernel: a-2." in result.out


@pytest.mark.parametrize("word", ["INCONCLUSIVE", "LOST", "bug"])
def test_a_trial_that_never_has_a_verdict_is_no_evidence(cases: pytest.Pytester, compare: Compare, word: str) -> None:
    result = compare("--a", f"cmdline=DEADLOCKED,{word}", "--b", "stock", "--runs", "2", CASE)
    assert result.ret == 2
    assert sides(cases) == [(1, 1), (0, 2)]
    assert "No evidence, as there was no verdict about the kernel: a-2." in result.out
    assert sum("a-2" in name for name in began(cases)) == 2


def test_counting_something_else(cases: pytest.Pytester, compare: Compare) -> None:
    arguments = ("--a", "cmdline=CRASHED,DEADLOCKED", "--b", "stock", "--runs", "4", CASE)
    assert "Not counted: 2 of 4 runs of side a CRASHED" in compare(*arguments).out
    result = compare("--counts", "hang,crash", "--results", "others", *arguments)
    assert "went wrong in 4 of 4 runs" in result.out


def test_a_row_of_a_parametrized_case(cases: pytest.Pytester, compare: Compare) -> None:
    arguments = ("--a", "cmdline=DEADLOCKED", "--b", "stock", "--runs", "1")
    assert compare(*arguments, "test_swap.py::test_rows[x4]").ret == 0
    assert {trial.case for trial in the_run(cases).trials()} == {"test_swap.py::test_rows[x4]"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--a", "stock", "--b", "stock", "test_swap.py::test_rows"), "it selects 2 cases"),
        (("--a", "stock", "--b", "stock", "test_swap.py"), "it selects 3 cases"),
        (("--a", "stock", "--b", "stock", "test_swap.py::test_without_trial"), "it selects no case"),
        (("--a", "stock", "--b", "stock", "test_swap.py::nothing"), "test_swap.py::nothing: not found: "),
        (("--a", "stock", CASE), "name both sides and the case"),
        (("--a", "stock", "--b", "stock"), "name both sides and the case"),
        (("--a", "stock", "--b", "kernle=5", CASE), "--b: unknown word 'kernle'"),
        (("--a", "stock", "--b", "module=no.ko", CASE), "--b: module 'no.ko' is not there"),
        (("--a", "stock", "--b", "stock", "--counts", "hangs", CASE), "--counts: 'hangs' is none of hang, stall"),
        (("--a", "stock", "--b", "stock", "--runs", "3", "--until-sure", CASE), "--runs: not with --until-sure"),
        (("--a", "stock", "--b", "stock", "--most", "3", CASE), "--most: only with --until-sure"),
        (("--a", "stock", "--b", "stock", "--difference", "20", CASE), "--difference: only with --until-sure"),
        (("--resume", "nothing"), "no run 'nothing'"),
        (("--resume", "nothing", "--runs", "3"), "--resume goes on as it was begun"),
    ],
)
def test_a_mistake_is_one_line(
    cases: pytest.Pytester, compare: Compare, arguments: tuple[str, ...], words: str
) -> None:
    result = compare(*arguments)
    assert result.ret == 2
    (line,) = [line for line in result.err.splitlines() if line.strip()]
    assert line.startswith("harness: ") and words in line
    assert not (cases.path / "results").exists()


def test_a_role_that_there_is_not_ends_it_before_any_trial(cases: pytest.Pytester, compare: Compare) -> None:
    result = compare("--a", "stock", "--b", "cpus=2 role=nobody", CASE)
    assert result.ret == 2
    assert "no role 'nobody'" in result.err + result.out
    assert not (cases.path / "began").exists()


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_what_was_interrupted_goes_on_where_it_stopped(
    cases: pytest.Pytester, compare: Compare, way: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--a", "cmdline=DEADLOCKED", "--b", "cmdline=SURVIVED,sleep,SURVIVED", "--runs", "3", CASE)
    with subprocess.Popen([HARNESS, "compare", *arguments], cwd=cases.path, stdout=subprocess.DEVNULL) as process:
        wait_for(cases.path / "asleep")
        os.kill(process.pid, way)
        assert process.wait(60) == (130 if way is signal.SIGINT else -signal.SIGKILL)
    before = began(cases)
    (cases.path / "awake").touch()
    elsewhere = cases.mkdir("elsewhere")
    monkeypatch.chdir(elsewhere)
    result = compare("--resume", os.path.relpath(the_run(cases).path, elsewhere), "--live", "off")
    assert result.ret == 0
    assert sides(cases) == [(3, 3), (0, 3)]
    (again,) = {name for name in began(cases) if began(cases).count(name) > 1}
    assert again == before[-1]


def killed_now_and_then(cases: pytest.Pytester, way: signal.Signals, dice: random.Random, name: str) -> int:
    """One comparison, killed and resumed; returns how often: less than KILLS if it was whole before that."""
    kills, runs, code = 0, 25, 1
    words = (
        "--a",
        "cmdline=slow,DEADLOCKED",
        "--b",
        "cmdline=slow",
        "--runs",
        str(runs),
        "--run",
        name,
        "--live",
        "off",
    )
    store = RunStore(cases.path / name)
    while code and kills < KILLS:
        how = ("--resume", name) if (store.path / MANIFEST).exists() else (*words, CASE)
        before, count = {trial.slug for trial in store.trials() if trial.is_finished}, len(began(cases))
        with subprocess.Popen([HARNESS, "compare", *how], cwd=cases.path, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and len(began(cases)) < count + dice.randint(1, 3):
                time.sleep(0.01)
            time.sleep(dice.uniform(0, 0.3))
            kills += process.poll() is None
            process.send_signal(way)
        code = process.returncode
        assert code in (0, 130, -way)
        assert before.isdisjoint(began(cases)[count:])
        assert before <= {trial.slug for trial in store.trials() if trial.is_finished}
    assert cases.run(HARNESS, "compare", "--resume", name).ret == 0
    found = json.loads((store.path / "comparison.json").read_text())["result"]["sides"]
    assert [(side["hits"], side["runs"]) for side in found] == [(runs // 2, runs), (0, runs)]
    assert len(store.trials()) == 2 * runs
    return kills


@pytest.mark.parametrize(("way", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_killed_before_every_change_of_its_folder(cases: pytest.Pytester, way: signal.Signals, code: int) -> None:
    """One command after the other is killed, each one change later; then commands that have no trial left to run."""
    words = ("--a", "cmdline=DEADLOCKED", "--b", "cmdline=SURVIVED", "--runs", "1", "--run", "kill")
    store = RunStore(cases.path / "kill")
    with forks(cases.path) as processes:
        for _ in range(2):
            for change in itertools.count(1):
                how = ("--resume", "kill") if (store.path / MANIFEST).exists() else (*words, CASE)
                before, count = {trial.slug for trial in store.trials() if trial.is_finished}, len(began(cases))
                ended = processes.run("compare", *how, "--live", "off", folder=store.path, change=change, number=way)
                assert before.isdisjoint(began(cases)[count:])
                assert before <= {trial.slug for trial in store.trials() if trial.is_finished}
                if ended.code == 0:
                    break
                assert ended.code == code, ended.output
            assert change > 5
            found = json.loads((store.path / "comparison.json").read_text())["result"]["sides"]
            assert [(side["hits"], side["runs"]) for side in found] == [(1, 1), (0, 1)]
            assert len(store.trials()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_killed_at_random_instants(cases: pytest.Pytester, way: signal.Signals) -> None:
    dice, kills = random.Random(way), 0
    while kills < KILLS:
        kills += killed_now_and_then(cases, way, dice, f"run-{kills}")


def test_a_plain_run_is_no_comparison(cases: pytest.Pytester, compare: Compare) -> None:
    cases.run(HARNESS, "run", "--results", "results", "test_swap.py::test_without_trial", CASE)
    result = compare("--resume", str(the_run(cases).path))
    assert result.ret == 2
    assert "not a run of `harness compare`" in result.err
