"""`harness bisect` and `harness bisect-step`: from the command line to the answer, and on from where they stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import harness.plugin.repeat
from harness.cli import call
from harness.model.errors import InfraError, UsageError
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore, TrialStore

CASE = "test_x.py::test_swap"
FIRST_BAD = 4
Judge = Callable[[str], VerdictKind]


class FakeRuns:
    """In place of the sessions that run a case: each trial has the verdict that `judge` gives for its side."""

    def __init__(self) -> None:
        self.sides: list[str] = []
        self.given: list[Mapping[str, str | None]] = []
        self.judge: Judge = lambda side: VerdictKind.SURVIVED
        self.limit = 1000

    def run_one(
        self, case: str, *, side_text: str, given_options: Mapping[str, str | None], run_folder: Path
    ) -> TrialStore:
        if len(self.sides) == self.limit:
            raise KeyboardInterrupt
        self.sides.append(side_text)
        self.given.append(given_options)
        trial = RunStore(run_folder).trial(case)
        trial.write_verdict(Verdict(kind=self.judge(side_text), summary="so it is"), {})
        return trial


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    """In a folder with a list of seven sides, of which the fourth is the first bad one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nharness_results = kept\n")
    (tmp_path / "list").write_text("".join(f"cmdline=n={number}\n" for number in range(1, 8)))
    fake = FakeRuns()
    fake.judge = lambda side: (
        VerdictKind.DEADLOCKED if int(side.rpartition("=")[2].strip("'")) >= FIRST_BAD else VerdictKind.SURVIVED
    )
    monkeypatch.setattr(harness.plugin.repeat, "run_one", fake.run_one)
    return fake


def only_run(folder: Path) -> Path:
    (run,) = folder.iterdir()
    return run


def test_a_list_is_bisected_and_the_answer_has_its_confidence(
    runs: FakeRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["bisect", "--list", "list", CASE, "--memory", "256M", "--budget", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "\n4 is the first bad side, with 9" in out
    assert "a bad one hangs in about" in out
    assert runs.sides[0] == "'cmdline=n=7'" or runs.sides[0] == "cmdline=n=7"
    assert runs.given[0] == {"memory": "256M", "budget": "0.5"}
    log = (only_run(tmp_path / "kept") / "bisect.log").read_text()
    assert log.endswith("# first bad commit: [4] cmdline=n=4\n")


def test_interrupted_it_says_how_to_go_on_and_goes_on(
    runs: FakeRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.limit = 5
    assert call(["bisect", "--list", "list", CASE, "--probability", "0.9"]) == 130
    run = only_run(tmp_path / "kept")
    assert f"harness bisect --resume {run}" in capsys.readouterr().err
    runs.limit = 1000
    monkeypatch.chdir("/")
    assert call(["bisect", "--resume", str(run)]) == 0
    assert "going on after 5 runs" in capsys.readouterr().out
    assert len(runs.sides) == len(RunStore(run).trials())
    total = len(runs.sides)
    assert call(["bisect", "--resume", str(run)]) == 0
    assert len(runs.sides) == total
    assert "4 is the first bad side" in capsys.readouterr().out


def test_a_bad_end_that_does_not_hang_is_no_success(runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    runs.judge = lambda side: VerdictKind.SURVIVED
    assert call(["bisect", "--list", "list", CASE, "--probability", "0.5"]) == 1
    assert "the bad end did not hang in 5 runs" in capsys.readouterr().out


def test_a_case_that_cannot_be_run_is_told_and_no_side_is_blamed(
    runs: FakeRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(side: str) -> VerdictKind:
        raise UsageError("not found: test_x.py::test_swap")

    runs.judge = judge
    assert call(["bisect", "--list", "list", CASE]) == 2
    assert "harness: not found: test_x.py::test_swap" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--list", "list"], "name the case"),
        ([CASE], "one of --tree DIR, --list FILE or --patches DIR"),
        ([CASE, "--list", "list", "--patches", "."], "one of --tree DIR, --list FILE or --patches DIR"),
        ([CASE, "--list", "list", "--build", "make"], "are for a --tree"),
        ([CASE, "--tree", ".", "--good", "a", "--bad", "b"], "--tree needs --good REV, --bad REV and --build COMMAND"),
        ([CASE, "--list", "nowhere"], "nowhere: No such file"),
        ([CASE, "--list", "list", "--signature", "HANG"], "signature 'HANG': write one of STALLED"),
        ([CASE, "--list", "list", "--confidence", "1"], "--confidence"),
        ([CASE, "--resume", "x"], "--resume goes on as it was begun"),
        (["--resume", "x", "--list", "list"], "--resume goes on as it was begun"),
        (["--resume", "x"], "no run 'x'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_leaves_nothing(
    runs: FakeRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert call(["bisect", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "kept").exists()


def test_a_run_of_another_command_is_no_bisection(
    runs: FakeRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunStore.create(tmp_path / "kept", manifest={})
    assert call(["bisect", "--resume", str(run.path)]) == 2
    assert "no bisection" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "code", "count"),
    [(VerdictKind.SURVIVED, 0, 2), (VerdictKind.DEADLOCKED, 1, 1), (VerdictKind.CRASHED, 125, 2)],
)
def test_a_step_of_git_bisect_run_has_its_exit_codes(runs: FakeRuns, kind: VerdictKind, code: int, count: int) -> None:
    runs.judge = lambda side: kind
    assert call(["bisect-step", CASE, "--signature", "DEADLOCKED", "--probability", "0.9", "--cpus", "2"]) == code
    assert runs.sides == ["stock"] * count
    assert runs.given[0] == {"cpus": "2"}


@pytest.mark.parametrize(
    "arguments",
    [
        [CASE, "--signature", "HANG"],
        [CASE],
        [CASE, "--signature", "DEADLOCKED", "--kernal", "x"],
        [CASE, "--signature", "DEADLOCKED", "--memory", "x"],
    ],
)
def test_a_mistake_in_a_step_stops_git_and_is_not_taken_for_a_bad_commit(runs: FakeRuns, arguments: list[str]) -> None:
    assert call(["bisect-step", *arguments]) == 128


@pytest.mark.parametrize(("error", "code"), [(InfraError("gone"), 125), (UsageError("x"), 128), (TypeError("x"), 128)])
def test_trouble_in_a_step_is_never_taken_for_a_bad_commit(runs: FakeRuns, error: Exception, code: int) -> None:
    def judge(side: str) -> VerdictKind:
        raise error

    runs.judge = judge
    assert call(["bisect-step", CASE, "--signature", "DEADLOCKED"]) == code
