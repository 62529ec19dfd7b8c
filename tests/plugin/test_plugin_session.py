"""A session as a run: its folder, its summary, its report, and what survives a worker that dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness.report
from harness.results.store import RunStore

RunCases = Callable[..., pytest.RunResult]
OnlyRun = Callable[[], RunStore]
WORKERS = pytest.mark.parametrize("workers", [0, 2])


@WORKERS
def test_summary_names_every_trial_and_the_report(run_cases: RunCases, only_run: OnlyRun, workers: int) -> None:
    result = run_cases("SURVIVED", "DEADLOCKED", workers=workers)
    store = only_run()
    assert len(store.trials()) == 2
    assert (store.path / "report.html").is_file()
    result.stdout.fnmatch_lines(
        [
            "verdict * trial",
            "*survives *7.5 s *12.2 s *::test_case[[]*]",
            "*survives *7.5 s *12.2 s *::test_case[[]*]",
            "2 trials, 0.4 minutes of trials",
            f"report: {store.path}/report.html",
        ],
        consecutive=True,
    )


@WORKERS
def test_properties_reach_junit(run_cases: RunCases, only_run: OnlyRun, workers: int) -> None:
    run_cases("SURVIVED", workers=workers)
    text = only_run().junit_path.read_text()
    assert f'<property name="harness.run" value="{only_run().path}" />' in text
    assert '<property name="harness.summary" value="the fake SURVIVED" />' in text


def test_a_worker_that_dies_takes_no_verdict_with_it(run_cases: RunCases, only_run: OnlyRun) -> None:
    result = run_cases("SURVIVED", "die-DEADLOCKED", workers=2)
    assert result.ret == 2
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*before that its verdict was DEADLOCKED*", "DEADLOCKED *die-DEADLOCKED]"])
    assert (only_run().path / "report.html").is_file()


def test_a_trial_without_verdict_is_in_the_summary(run_cases: RunCases) -> None:
    run_cases("bug").stdout.fnmatch_lines(["none *survives *no *bug]"])


def test_a_report_that_cannot_be_drawn_loses_nothing_else(run_cases: RunCases, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run_dir: Path) -> Path:
        raise ZeroDivisionError("no width")

    monkeypatch.setattr(harness.report, "write_report", broken)
    result = run_cases("SURVIVED")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["SURVIVED *", "report: not written: ZeroDivisionError: no width"])


def test_the_start_removes_what_dead_runs_left(run_cases: RunCases, project: pytest.Pytester) -> None:
    left = project.path / "state" / "r" / "abcdef"
    left.mkdir(parents=True)
    (left / "owner").touch()
    result = run_cases("SURVIVED", arguments=("--harness-state=state",))
    result.stdout.fnmatch_lines(["harness: results in */results/*", "harness: run abcdef: removed */state/r/abcdef, *"])
    assert not left.exists()


def test_junit_goes_where_the_user_says(run_cases: RunCases, only_run: OnlyRun, project: pytest.Pytester) -> None:
    run_cases("SURVIVED", arguments=("--junitxml=mine.xml",))
    assert (project.path / "mine.xml").is_file()
    assert not only_run().junit_path.exists()


def test_the_named_run_folder_is_used_again(run_cases: RunCases, project: pytest.Pytester) -> None:
    for _ in range(2):
        run_cases("SURVIVED", arguments=("--harness-run=mine/run",))
    assert len(RunStore.open(project.path / "mine" / "run").trials()) == 2
    assert not (project.path / "results").exists()


def test_the_manifest_says_how_the_run_was_made(run_cases: RunCases, only_run: OnlyRun) -> None:
    run_cases("SURVIVED", arguments=("--harness-budget=0.5",))
    manifest = only_run().read_manifest()
    assert manifest["settings"]["budget"] == "0.5"
    assert manifest["inventory"].endswith("/inventory.toml")
    assert "--harness-budget=0.5" in manifest["arguments"]


@pytest.mark.parametrize("arguments", [("--collect-only",), ("--markers",), ("--help",), ("-k", "absent")])
def test_where_nothing_runs_nothing_is_left(
    run_cases: RunCases, project: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    run_cases("SURVIVED", arguments=arguments)
    assert RunStore.runs(project.path / "results") == []


def test_without_an_inventory_the_plugin_keeps_out_of_the_way(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(): pass\ndef test_two(): assert 0")
    result = pytester.runpytest()
    assert result.ret == 1
    assert not (pytester.path / "results").exists()
    assert "harness verdicts" not in result.stdout.str()


def test_importing_the_plugin_is_cheap() -> None:
    code = (
        "import sys, harness.plugin; "
        "heavy = ('libvirt', 'matplotlib', 'pydantic', 'paramiko', 'jinja2', 'psutil', 'rich.live'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_interrupted_trial_interrupts_the_session(
    project: pytest.Pytester, run_cases: RunCases, only_run: OnlyRun
) -> None:
    run_cases("interrupt", "SURVIVED", arguments=("--collect-only",))  # writes the test file
    result = project.runpytest_subprocess()
    assert len(only_run().trials()) == 1
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["none *interrupt]"])


def test_lines_are_shown_past_the_capture(run_cases: RunCases) -> None:
    result = run_cases("SURVIVED")
    result.stdout.fnmatch_lines(["trial *SURVIVED]", "* 0.1 s  phase load", "verdict: SURVIVED: the fake SURVIVED"])
    assert "alloc" not in result.stdout.str()


@pytest.mark.parametrize("arguments", [("-q",), ("--harness-live=off",)])
def test_lines_can_be_turned_off(run_cases: RunCases, arguments: tuple[str, ...]) -> None:
    assert "phase load" not in run_cases("SURVIVED", arguments=arguments).stdout.str()


def test_under_xdist_each_line_names_its_test(project: pytest.Pytester, run_cases: RunCases) -> None:
    run_cases("SURVIVED", arguments=("--collect-only",))  # writes the test file
    result = project.runpytest_subprocess("-n2")
    result.stderr.fnmatch_lines(["test_under_xdist*::test_case[[]SURVIVED]: * 0.1 s  phase load"])


def test_on_a_terminal_the_ladder_is_drawn(run_cases: RunCases, read_terminal: Callable[..., str]) -> None:
    run_cases("SURVIVED", arguments=("--collect-only",))  # writes the test file
    controller, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    with os.fdopen(controller, "rb", buffering=0) as stream:
        text = read_terminal(stream)
    assert process.wait() == 0
    assert "watch: no opinion yet" in text
    assert "● 10 ms" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0  # the cursor comes back
    assert "verdict: SURVIVED" in text
