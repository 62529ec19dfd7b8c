"""A run that is killed at random instants and resumed each time: no trial is run again, lost, or counted twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.results.junit import read_junit
from harness.results.store import RunStore

HARNESS = str(Path(sys.executable).with_name("harness"))
KILLS = 6  # of each way: 24 in all
SURVIVORS, HANGS = 30, 10
NAMES = {
    *(f"test_x.py::test_survives[{n}]" for n in range(SURVIVORS)),
    *(f"test_x.py::test_hangs[{n}]" for n in range(HANGS)),
}
CASES = f"""
import pytest

pytestmark = pytest.mark.topology("pair")

@pytest.mark.parametrize("n", range({SURVIVORS}))
def test_survives(trial, n):
    trial.run(storage=None, workload=None)

@pytest.mark.reproduces("deadlock")
@pytest.mark.parametrize("n", range({HANGS}))
def test_hangs(trial, n):
    trial.run(storage=None, workload=None)
"""
FILES = ("trial.json", "history.jsonl", "verdict.json", "measures.json", "diagnosis.json")


class Sessions:
    """The sessions of one run, one after the other, in the folder `name`."""

    def __init__(self, project: pytest.Pytester, name: str = "run") -> None:
        project.makepyfile(test_x=CASES)
        project.makeconftest(Path(__file__).with_name("resumable_trials.py").read_text())
        self.path = project.path / name
        self._journal = project.path / "journal"
        self._journal.unlink(missing_ok=True)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin the run, or go on with it if there is one."""
        begun = (self.path / "manifest.json").exists()
        name = self.path.name
        how = ("--resume", name) if begun else ("--run", name, "--live", "off", *arguments, "test_x.py")
        return subprocess.Popen([HARNESS, "run", *how], stdout=subprocess.PIPE, start_new_session=True)

    def begun(self) -> list[str]:
        """Every trial that was really begun, in all sessions."""
        return self._journal.read_text().splitlines() if self._journal.exists() else []

    def finished(self) -> dict[str, float]:
        """The trials that have a verdict, and when they began; none twice."""
        found = [trial for trial in RunStore(self.path).trials() if trial.is_finished]
        assert len({trial.name for trial in found}) == len(found)
        return {trial.name: trial.created for trial in found}


def wait_for_trial(sessions: Sessions, process: subprocess.Popen[bytes], count: int) -> None:
    """Until `count` trials have begun in all; or the session is over."""
    while process.poll() is None and len(sessions.begun()) < count:
        time.sleep(0.002)


def check_whole(sessions: Sessions, process: subprocess.Popen[bytes]) -> None:
    """The session that is the last, and the run as it left it."""
    output = process.communicate()[0].decode()
    assert process.returncode == 0, output
    assert f"{SURVIVORS} passed, {HANGS} xfailed" in output
    trials = RunStore(sessions.path).trials()
    assert sorted(trial.name for trial in trials) == sorted(NAMES)
    assert [name for trial in trials for name in FILES if not (trial.path / name).is_file()] == []
    rows = Counter((row.outcome, row.verdict) for row in read_junit(sessions.path / "junit.xml"))
    assert rows == {("passed", "SURVIVED"): SURVIVORS, ("xfailed", "DEADLOCKED"): HANGS}
    assert output.count("100.5 s") == len(NAMES)  # in the table
    # Each trial that was begun left one folder, and all but the last of each name were set aside.
    aside = list(sessions.path.glob("trials/*.unfinished*"))
    assert len(aside) <= len(sessions.begun()) - len(NAMES)
    assert json.loads((sessions.path / "manifest.json").read_text())["arguments"][-1] == "test_x.py"


def killed_now_and_then(
    sessions: Sessions, number: signal.Signals, arguments: Sequence[str], dice: random.Random
) -> int:
    """One run, killed and resumed; returns how often it was killed, less than KILLS if it was whole before that."""
    kills = 0
    while kills < KILLS and len(sessions.finished()) < len(NAMES):
        before, begun = sessions.finished(), len(sessions.begun())
        with sessions.start(*arguments) as process:
            wait_for_trial(sessions, process, begun + dice.randint(1, 4))
            time.sleep(dice.uniform(0, 0.1))
            if process.poll() is None:
                kills += 1
                os.killpg(process.pid, number)
        assert before.keys().isdisjoint(sessions.begun()[begun:])
        assert before.items() <= sessions.finished().items()
    before, begun = sessions.finished(), len(sessions.begun())
    assert before
    with sessions.start() as process:
        check_whole(sessions, process)
    assert sorted(sessions.begun()[begun:]) == sorted(NAMES - before.keys())
    return kills


@pytest.mark.parametrize(
    ("seed", "number", "arguments"),
    [
        (1, signal.SIGKILL, ("-n", "0")),
        (2, signal.SIGKILL, ("-n", "2")),
        (3, signal.SIGINT, ("-n", "2")),
        (4, signal.SIGINT, ("-n", "0")),
    ],
)
def test_killed_at_random_instants(
    project: pytest.Pytester, seed: int, number: signal.Signals, arguments: Sequence[str]
) -> None:
    dice, kills = random.Random(seed), 0
    while kills < KILLS:
        kills += killed_now_and_then(Sessions(project, f"run-{kills}"), number, arguments, dice)


@pytest.mark.parametrize("step", ["folder", "history", "verdict", "all"])
def test_killed_between_two_writes(project: pytest.Pytester, step: str) -> None:
    sessions = Sessions(project)
    name = "test_x.py::test_hangs[3]"
    (project.path / "die").write_text(f"{step} {name}")
    with sessions.start("-n", "0") as process:
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    (cut,) = RunStore(sessions.path).trials(name)
    assert (cut.path / "measures.json").exists() is (step == "all")
    with sessions.start() as process:
        check_whole(sessions, process)
    assert sessions.begun().count(name) == (2 if step in ("folder", "history") else 1)
    assert len(list(sessions.path.glob("trials/*.unfinished"))) == (step in ("folder", "history"))


def test_a_trial_that_outlives_its_killed_controller_is_counted_once(project: pytest.Pytester) -> None:
    sessions = Sessions(project)
    with sessions.start("-n", "2") as process:
        wait_for_trial(sessions, process, 6)
        process.send_signal(signal.SIGKILL)  # only it: the workers find out, and go on with their trial until then
    with sessions.start() as process:
        check_whole(sessions, process)
