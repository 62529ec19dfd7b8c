"""A run of real guests that is killed at random instants and resumed each time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from live_trials import guests_of, new_run, start_run

from harness.model.settings import Settings
from harness.providers import clean
from harness.results.junit import read_junit
from harness.results.store import RunStore

CASE = Path(__file__).parent / "cases" / "case_many_quick.py"
TRIALS = 32
KILLS = 20
PHASES = ("boot", "storage", "baseline", "load", "teardown")
END_S = 900.0


@dataclass(frozen=True, slots=True)
class Runs:
    """The sessions of one run, each a process of its own."""

    settings: Settings
    folder: Path
    run: Path

    def start(self, workers: int) -> subprocess.Popen[bytes]:
        """Begin the run, or go on with it if there is one."""
        going_on = (self.run / "manifest.json").exists()
        begin = [*new_run(CASE, self.settings), "--run", str(self.run), "--live", "lines"]
        arguments = ["--resume", str(self.run)] if going_on else begin
        return start_run(self.folder / "output", "-n", str(workers), *arguments)

    @property
    def trials(self) -> list[Path]:
        """The folders of all trials that were ever begun; what was set aside is told by its name."""
        return list(self.run.glob("trials/*"))

    def verdicts(self) -> dict[str, bytes]:
        """The trials that are finished, each with its verdict as it was written."""
        finished = [trial for trial in RunStore(self.run).trials() if trial.is_finished] if self.run.exists() else []
        assert len({trial.name for trial in finished}) == len(finished)
        return {trial.name: (trial.path / "verdict.json").read_bytes() for trial in finished}


def phases(runs: Runs) -> int:
    """How many phases have begun in all trials."""
    histories = [trial / "history.jsonl" for trial in runs.trials]
    return sum(history.read_text().count('"state":"begin"') for history in histories if history.exists())


@pytest.mark.slow
def test_no_trial_is_lost_run_again_or_counted_twice_and_no_guest_is_left(settings: Settings, tmp_path: Path) -> None:
    dice = random.Random(20)
    runs = Runs(settings, tmp_path, tmp_path / "run")
    kills, at = 0, []
    while kills < KILLS:
        before = runs.verdicts()
        process = runs.start(dice.choice((0, 2)))
        begun, wanted = phases(runs), dice.randint(0, 2 * len(PHASES))
        while process.poll() is None and phases(runs) < begun + wanted:
            time.sleep(0.02)
        time.sleep(dice.uniform(0.0, 2.0))
        if process.poll() is None:
            kills += 1
            at.append(phases(runs) - begun)
            os.killpg(process.pid, dice.choice((signal.SIGKILL, signal.SIGINT)))
        process.wait(timeout=END_S)
        after = runs.verdicts()
        assert before.items() <= after.items(), "what was finished stays as it was"
        assert len(after) < TRIALS, f"nothing left to kill after {kills}, at {at}"
    with runs.start(2) as process:
        assert process.wait(timeout=END_S) == 0, (tmp_path / "output").read_text()
    assert before.items() <= runs.verdicts().items()
    assert len(runs.verdicts()) == TRIALS
    rows = read_junit(runs.run / "junit.xml")
    assert [(row.outcome, row.verdict) for row in rows] == TRIALS * [("passed", "SURVIVED")]
    assert not guests_of(settings.state) and not clean(replace(settings, leases=None))
