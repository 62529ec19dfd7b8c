"""A run that is killed and resumed, at every instant that differs: no trial is run again, lost, or counted twice."""

from __future__ import annotations

import itertools
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
from forked_commands import forks

from harness.results.junit import read_junit
from harness.results.store import RunStore

HARNESS = str(Path(sys.executable).with_name("harness"))
KILLS = 6  # of each way: 24 in all
SURVIVORS, HANGS = 30, 10
CASES = """
import pytest

pytestmark = pytest.mark.topology("pair")

@pytest.mark.parametrize("n", range({survivors}))
def test_survives(trial, n):
    trial.run(storage=None, workload=None)

@pytest.mark.reproduces("deadlock")
@pytest.mark.parametrize("n", range({hangs}))
def test_hangs(trial, n):
    trial.run(storage=None, workload=None)
"""
FILES = ("trial.json", "history.jsonl", "verdict.json", "measures.json", "diagnosis.json")


class Sessions:
    """The sessions of one run, one after the other, in the folder `name`."""

    def __init__(
        self, project: pytest.Pytester, name: str = "run", *, survivors: int = SURVIVORS, hangs: int = HANGS
    ) -> None:
        self.survivors = {f"test_x.py::test_survives[{n}]" for n in range(survivors)}
        self.hangs = {f"test_x.py::test_hangs[{n}]" for n in range(hangs)}
        self.names = self.survivors | self.hangs
        project.makepyfile(test_x=CASES.format(survivors=survivors, hangs=hangs))
        project.makeconftest(Path(__file__).with_name("resumable_trials.py").read_text())
        self.path = project.path / name
        self._journal = project.path / "journal"
        self._journal.unlink(missing_ok=True)

    def command(self, *arguments: str) -> tuple[str, ...]:
        """What begins the run, or goes on with it if there is one."""
        if (self.path / "manifest.json").exists():
            return ("run", "--resume", self.path.name)
        return ("run", "--run", self.path.name, "--live", "off", *arguments, "test_x.py")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin the run, or go on with it if there is one."""
        command = [HARNESS, *self.command(*arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)

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


def check_end(sessions: Sessions, process: subprocess.Popen[bytes]) -> None:
    """The session that is the last, once it is over, and the run as it left it."""
    output = process.communicate()[0].decode()
    assert process.returncode == 0, output
    check_whole(sessions, output)


def check_whole(sessions: Sessions, output: str) -> None:
    """What the last session printed, and the run as it left it."""
    survivors, hangs = len(sessions.survivors), len(sessions.hangs)
    assert f"{survivors} passed, {hangs} xfailed" in output
    trials = RunStore(sessions.path).trials()
    assert sorted(trial.name for trial in trials) == sorted(sessions.names)
    assert [name for trial in trials for name in FILES if not (trial.path / name).is_file()] == []
    rows = Counter((row.outcome, row.verdict) for row in read_junit(sessions.path / "junit.xml"))
    assert rows == {("passed", "SURVIVED"): survivors, ("xfailed", "DEADLOCKED"): hangs}
    assert output.count("100.5 s") == len(sessions.names)  # in the table
    # Each trial that was begun left one folder, and all but the last of each name were set aside.
    aside = list(sessions.path.glob("trials/*.unfinished*"))
    assert len(aside) <= len(sessions.begun()) - len(sessions.names)
    assert json.loads((sessions.path / "manifest.json").read_text())["arguments"][-1] == "test_x.py"


def killed_now_and_then(
    sessions: Sessions, number: signal.Signals, arguments: Sequence[str], dice: random.Random
) -> int:
    """One run, killed and resumed; returns how often it was killed, less than KILLS if it was whole before that."""
    kills = 0
    while kills < KILLS and len(sessions.finished()) < len(sessions.names):
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
        check_end(sessions, process)
    assert sorted(sessions.begun()[begun:]) == sorted(sessions.names - before.keys())
    return kills


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_killed_before_every_change_of_its_folder(project: pytest.Pytester, number: signal.Signals, code: int) -> None:
    """One session after the other is killed, each one change later; then sessions that have no trial left to run."""
    sessions = Sessions(project, survivors=1, hangs=1)
    with forks(project.path) as processes:
        for _ in range(2):
            for change in itertools.count(1):
                before, begun = sessions.finished(), len(sessions.begun())
                command = sessions.command("-n", "0")
                ended = processes.run(*command, folder=sessions.path, change=change, number=number)
                assert before.keys().isdisjoint(sessions.begun()[begun:])
                assert before.items() <= sessions.finished().items()
                if ended.code == 0:
                    break
                assert ended.code == code, ended.output
            assert change > 5  # manifest, two locks, enough.txt, JUnit: it died often enough
            check_whole(sessions, ended.output)


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("step", "workers"),
    [("folder", "0"), ("history", "0"), ("verdict", "0"), ("all", "0"), ("history", "2"), ("verdict", "2")],
)
def test_killed_between_two_writes(project: pytest.Pytester, step: str, workers: str) -> None:
    sessions = Sessions(project, survivors=2, hangs=2)
    name = "test_x.py::test_hangs[1]"
    (project.path / "die").write_text(f"{step} {name}")
    with sessions.start("-n", workers) as process:
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    (cut,) = RunStore(sessions.path).trials(name)
    assert (cut.path / "measures.json").exists() is (step == "all")
    with sessions.start() as process:
        check_end(sessions, process)
    assert sessions.begun().count(name) == (2 if step in ("folder", "history") else 1)
    aside = list(sessions.path.glob("trials/*.unfinished"))
    mine = [path for path in aside if path.name.startswith("test_x.test_hangs-1.")]
    assert len(mine) == (step in ("folder", "history"))
    assert workers != "0" or aside == mine, "only that of another worker may have been cut as well"


def test_a_trial_that_outlives_its_killed_controller_is_counted_once(project: pytest.Pytester) -> None:
    sessions = Sessions(project, survivors=6, hangs=4)
    with sessions.start("-n", "2") as process:
        wait_for_trial(sessions, process, 6)
        process.send_signal(signal.SIGKILL)  # only it: the workers find out, and go on with their trial until then
    with sessions.start() as process:
        check_end(sessions, process)
