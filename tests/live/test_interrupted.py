"""The harness killed or interrupted in mid-trial: what is left, and what the next start does about it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_trials import guests_of, new_run, start_run

from harness.model.settings import Settings
from harness.providers import clean
from harness.results.store import RunStore
from harness.state.state import RunDir, StateDir

CASE = Path(__file__).parent / "cases" / "case_quiet.py"
START_S = 300.0


@pytest.fixture
def harness_run(settings: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`harness run` of a case that goes on for minutes."""
    process = start_run(tmp_path / "output", *new_run(CASE, settings), "--results", str(settings.results))
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()
    clean(settings)


def _await_phase(settings: Settings, process: subprocess.Popen[bytes], name: str) -> RunStore:
    """Wait until the trial is in a phase."""
    wanted = f'"name":"{name}","state":"begin"'
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert process.poll() is None, "the harness ended before it was to be killed"
        for history in settings.results.glob("*/trials/*/history.jsonl"):
            if wanted in history.read_text():
                return RunStore.open(history.parents[2])
        time.sleep(0.1)
    pytest.fail(f"no phase {name} within {START_S:.0f} s")


def _dead_runs(state: Path) -> list[Path]:
    return [run for run in StateDir(state).runs() if not RunDir.alive(run)]


@pytest.mark.parametrize("phase", ["boot", "load"])
def test_kill_9_leaves_nothing_that_the_next_start_does_not_find(
    harness_run: subprocess.Popen[bytes], settings: Settings, phase: str
) -> None:
    store = _await_phase(settings, harness_run, phase)
    time.sleep(1.0)
    os.kill(harness_run.pid, signal.SIGKILL)
    harness_run.wait()
    if phase == "load":
        assert guests_of(settings.state), "the guest outlives the harness, or this test shows nothing"
    (trial,) = store.trials()
    assert trial.read_history(), "the history is readable up to that moment"
    assert trial.read_verdict() is None

    with StateDir(settings.state).open_run() as living:
        assert clean(settings)
        assert living.path.is_dir(), "a live run is not touched"
    assert not guests_of(settings.state)
    assert not _dead_runs(settings.state)


def test_ctrl_c_leaves_nothing(harness_run: subprocess.Popen[bytes], settings: Settings) -> None:
    _await_phase(settings, harness_run, "load")
    os.kill(harness_run.pid, signal.SIGINT)
    assert harness_run.wait(timeout=120) == 130
    assert not guests_of(settings.state)
    assert not _dead_runs(settings.state)
