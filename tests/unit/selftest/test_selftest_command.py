"""`harness selftest`: what it runs, what it says, and its exit codes."""

from __future__ import annotations

import io
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from selftest_runners import survive

from harness.cli import call
from harness.model.history import Event, Kind
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore
from harness.selftest import lanes
from harness.selftest.campaign import begin
from harness.selftest.screen import Screen
from harness.verdicts.policy import Policy

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and home folders of one's own; trials run in this process and survive."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "HARNESS_STATE", "HARNESS_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\nharness_results = kept\n")
    return tmp_path


def make_run(folder: Path, *trials: str, kind: VerdictKind = VerdictKind.SURVIVED) -> RunStore:
    """A run in which these trials have ended; the load ran its time without a stop."""
    store = begin(folder, list(trials), 7, {"harness": "test", "host": {}})
    for name in trials:
        trial = store.trial(name)
        policy = Policy(time_limited=True).to_dict()
        events = [
            Event(0.0, Kind.TRIAL, data={"name": name, "policy": policy, "slowdown": 12.0}),
            Event(1.0, Kind.PHASE, data={"name": "load", "state": "begin"}),
            *(
                Event(1.0 + step, Kind.PROGRESS, "alone", {"ops": step, "workers": 2, "finished": 0, "alive": 2})
                for step in range(5)
            ),
            Event(6.0, Kind.LIMIT, data={"seconds": 5.0}),
            Event(6.0, Kind.PHASE, data={"name": "load", "state": "end"}),
        ]
        for event in events:
            trial.append(event)
        trial.close()
        trial.write_verdict(Verdict(kind=kind, summary="as it was recorded then"), {})
    return store


def test_the_list_has_every_kind_that_fits(capsys: Capture) -> None:
    assert call(["selftest", "--list", "--kinds", "stall.*"]) == 0
    out = capsys.readouterr().out
    assert "stall.200" in out
    assert "STALLED" in out
    assert "live.cpu" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kinds", "stal.*"], "--list"),
        (["--repeats", "0"], "--repeats"),
        (["--score", "nowhere"], "no run 'nowhere', neither as a folder nor in "),
        (["--resume", "a", "--score", "b"], "--score runs nothing"),
        (["--resume", "a", "--kinds", "live.*"], "leave out --kinds"),
        (["--page", "page.md"], "name one with --score or --resume"),
        (["--list", "--score", "a"], "--list only shows"),
        (["--list", "--resume", "a"], "--list only shows"),
        (["--list", "--page", "page.md"], "--list only shows"),
        (["--score", "a", "--seed", "0"], "leave out --seed"),
        (["--score", "a", "--live", "3"], "leave out --seed and --live"),
    ],
)
def test_a_mistake_is_one_line(capsys: Capture, arguments: list[str], message: str) -> None:
    assert call(["selftest", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err


def test_a_run_is_scored_by_todays_judge_and_a_page_is_written(capsys: Capture, tmp_path: Path) -> None:
    run = make_run(tmp_path / "kept", "live.cpu/1", "live.fork/1", kind=VerdictKind.LOST)
    assert call(["selftest", "--score", run.name, "--page", "page.md"]) == 0
    out = capsys.readouterr().out
    assert "What was true, and what was said" in out
    assert "MISSED" not in out
    assert "| live.fork | SURVIVED | 1 of 1 |" in (tmp_path / "page.md").read_text()


def test_runs_are_scored_together(capsys: Capture, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "kept", "live.cpu/1") for _ in range(2)]
    assert call(["selftest", *(word for run in runs for word in ("--score", str(run.path)))]) == 0
    assert "2 of 2" in capsys.readouterr().out


def test_only_the_kinds_that_were_asked_for_are_scored(capsys: Capture, tmp_path: Path) -> None:
    run = make_run(tmp_path / "kept", "live.cpu/1", "live.fork/1")
    assert call(["selftest", "--score", run.name, "--kinds", "*.fork"]) == 0
    out = capsys.readouterr().out
    assert "live.fork" in out
    assert "live.cpu" not in out


def test_a_missed_aim_is_exit_code_1(capsys: Capture, tmp_path: Path) -> None:
    run = make_run(tmp_path / "kept", "deadlock.dm-suspend/1")
    assert call(["selftest", "--score", run.name]) == 1
    out = capsys.readouterr().out
    assert "MISSED" in out
    assert "never injected" in out


def test_a_run_that_is_not_complete_is_exit_code_1(capsys: Capture, tmp_path: Path) -> None:
    run = make_run(tmp_path / "kept", "live.cpu/1")
    run.merge_manifest({"selftest": {"trials": ["live.cpu/1", "live.cpu/2"]}})
    assert call(["selftest", "--score", run.name]) == 1
    assert "1 trials are still missing" in capsys.readouterr().out


def test_an_empty_run_has_nothing_to_score(capsys: Capture, tmp_path: Path) -> None:
    run = make_run(tmp_path / "kept")
    assert call(["selftest", "--score", run.name]) == 2
    assert "no trial of these kinds is finished" in capsys.readouterr().err


def test_another_run_is_no_selftest(capsys: Capture, tmp_path: Path) -> None:
    run = RunStore.create(tmp_path / "kept", manifest={})
    assert call(["selftest", "--resume", run.name]) == 2
    assert "not a run of `harness selftest`" in capsys.readouterr().err


def test_a_new_run_prints_its_seed_and_a_line_for_each_trial(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "Lane", InProcess)
    arguments = ["selftest", "--kinds", "live.*", "--repeats", "1", "--seed", "42", "-n", "1"]
    assert call(arguments) == 1, "a history without a load is no survivor"
    out = capsys.readouterr().out
    assert "4 trials in" in out
    assert "seed 42" in out
    assert "4/4 live." in out
    (run,) = RunStore.runs(tmp_path / "kept")
    assert sorted(trial.name for trial in run.trials()) == [
        f"live.{kind}/1" for kind in ("cpu", "fork", "swap", "write")
    ]


class InProcess(lanes.Lane):
    """A lane in this process."""

    def submit(self, job: lanes.Job) -> Future[lanes.Outcome]:
        done: Future[lanes.Outcome] = Future()
        done.set_result(lanes.run_job(replace(job, runner=survive)))
        return done


def test_a_terminal_shows_what_runs_and_what_was_said() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Screen(console, total=3) as screen:
        screen.began("live.cpu/1")
        screen.began("deadlock.link/1")
        screen.ended(lanes.Outcome(trial="live.cpu/1", outcome="SURVIVED", summary="done"))
        screen.waiting()
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "1/3 live.cpu/1: SURVIVED, right" in shown
    assert "1 done, 1 left; running:" in shown
    assert "deadlock.link/1" in shown
