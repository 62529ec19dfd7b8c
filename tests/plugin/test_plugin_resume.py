"""A run that is resumed: what runs again and what does not, what it says in the end, and what is refused."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.model.errors import UsageError
from harness.results.junit import read_junit
from harness.results.run_lock import join, take_over
from harness.results.store import RunStore

HARNESS = Path(sys.executable).with_name("harness")
OnlyRun = Callable[[], RunStore]
WORKERS = pytest.mark.parametrize("workers", [0, 2])

# What a word stands for may change between two sessions, as a power cut or a bug may be gone.
CASE = """
import pathlib, pytest

@pytest.mark.topology("pair")
@pytest.mark.parametrize("word", ["SURVIVED", "DEADLOCKED", "interrupt", "no-boot", "LOST", "assertion"])
def test_case(trial, word):
    later = pathlib.Path("later").exists()
    verdict = trial.run(storage=None, workload="SURVIVED" if later or word == "assertion" else word)
    assert word != "assertion", "too little pressure"
"""
FINISHED = {"SURVIVED", "DEADLOCKED"}


NO_DRAWING = """
import harness.report
harness.report.write_report = lambda folder: folder / "report.html"  # which would take a second each time
"""


@pytest.fixture(autouse=True)
def no_drawing(project: pytest.Pytester) -> None:
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + NO_DRAWING)


def interrupted(project: pytest.Pytester, *arguments: str) -> Path:
    """The folder of a run that ends in the middle; whatever runs after this would survive."""
    project.makepyfile(test_x=CASE)
    result = project.runpytest_subprocess("--harness-run=mine", *arguments)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"to go on: harness run --resume {project.path}/mine"])
    (project.path / "later").touch()
    return project.path / "mine"


def created(store: RunStore) -> dict[str, float]:
    return {trial.name.partition("[")[2].rstrip("]"): trial.created for trial in store.trials()}


def test_what_had_finished_ends_as_it_did_and_all_else_runs(project: pytest.Pytester) -> None:
    run = interrupted(project)
    before = created(RunStore.open(run))
    result = project.runpytest_subprocess("--harness-resume=mine")
    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(
        [
            "harness: resumed; finished before: 2 trials",
            "harness: set aside, as it had not finished: *test_x.test_case-interrupt.unfinished",
            "finished before the run was resumed",
            "6 trials, 1.2 minutes of trials",
        ]
    )
    after = created(RunStore.open(run))
    assert {word for word in before if after[word] == before[word]} == FINISHED
    assert (run / "trials" / "test_x.test_case-interrupt.unfinished" / "history.jsonl").is_file()


def test_junit_has_the_whole_run_with_its_durations(project: pytest.Pytester) -> None:
    run = interrupted(project)
    project.runpytest_subprocess("--harness-resume=mine")
    rows = {row.name.partition("[")[2].rstrip("]"): (row.outcome, row.verdict) for row in read_junit(run / "junit.xml")}
    assert rows.pop("DEADLOCKED") == ("failed", "DEADLOCKED")
    assert rows.pop("assertion") == ("failed", "SURVIVED")
    assert rows == dict.fromkeys(["SURVIVED", "interrupt", "no-boot", "LOST"], ("passed", "SURVIVED"))
    times = [float(time) for time in re.findall(r'<testcase [^>]* time="(.*?)"', (run / "junit.xml").read_text())]
    assert sum(time >= 12.25 for time in times) == len(FINISHED)  # what the fake says that it took


def test_what_a_test_itself_asserts_is_judged_again(project: pytest.Pytester) -> None:
    project.makepyfile(test_x=CASE)
    project.runpytest_subprocess("--harness-run=mine", "-k", "assertion").assert_outcomes(failed=1, deselected=5)
    result = project.runpytest_subprocess("--harness-resume=mine")
    result.assert_outcomes(failed=1, deselected=5)
    result.stdout.fnmatch_lines(["*too little pressure*"])
    assert len(RunStore.open(project.path / "mine").trials()) == 1


@WORKERS
def test_infrastructure_trouble_is_tried_again(project: pytest.Pytester, workers: int) -> None:
    project.makepyfile(test_x=CASE)
    selected = ("-k", "SURVIVED or boot or LOST", f"-n{workers}")
    assert project.runpytest_subprocess("--harness-run=mine", *selected).ret == 2
    (project.path / "later").touch()
    result = project.runpytest_subprocess("--harness-resume=mine")
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    store = RunStore.open(project.path / "mine")
    assert sorted(created(store)) == ["LOST", "SURVIVED", "no-boot"]
    assert len(list(store.path.glob("trials/*.unfinished"))) == 2


def test_the_command_needs_the_name_of_the_run_alone_and_from_anywhere(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_BUDGET", "0.5")
    project.makepyfile(test_x=CASE + "    assert trial.budget == 0.5\n")
    command = (HARNESS, "run", "test_x.py", "--results", "mine", "-k", "SURVIVED or interrupt")
    result = project.run(*command)
    assert result.ret == 130
    (store,) = RunStore.runs(project.path / "mine")
    (project.path / "later").touch()
    monkeypatch.delenv("HARNESS_BUDGET")
    elsewhere = project.mkdir("elsewhere")
    monkeypatch.chdir(elsewhere)
    result = project.run(HARNESS, "run", "--resume", store.path, "-n", "2", "--live", "off")
    assert result.ret == 0
    result.assert_outcomes(passed=2)
    monkeypatch.chdir(project.path)
    assert project.run(*command, "--resume", store.name).ret == 0
    assert len(RunStore.runs(project.path / "mine")) == 1
    assert [trial.is_finished for trial in store.trials()] == [True, True]
    assert len(store.read_manifest()["resumed"]) == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--budget", "2"), "harness: --budget: the run was begun with '0.5', and is resumed as it was begun; *"),
        (("--cpus", "2"), "harness: --cpus: the run was begun without it, and is resumed as it was begun; *"),
        (("other.py",), "harness: --resume: the run was begun with other cases; it knows them, leave them out"),
        (("-k", "LOST"), "harness: --resume: the run was begun with other cases; it knows them, leave them out"),
    ],
)
def test_what_contradicts_the_run_is_refused(project: pytest.Pytester, arguments: tuple[str, ...], line: str) -> None:
    project.makepyfile(test_x=CASE)
    project.run(HARNESS, "run", "test_x.py", "--run", "mine", "--budget", "0.5", "-k", "SURVIVED")
    result = project.run(HARNESS, "run", "--resume", "mine", *arguments)
    assert result.ret == 2
    assert len(result.errlines) == 1
    result.stderr.fnmatch_lines([line])
    assert len(RunStore.open(project.path / "mine").trials()) == 1


def test_other_arguments_and_runs_that_cannot_be_resumed_are_refused(project: pytest.Pytester) -> None:
    project.makepyfile(test_x=CASE)
    project.runpytest_subprocess("--harness-run=mine", "-k", "SURVIVED")
    for arguments, line in (
        (("--harness-resume=mine", "-k", "LOST"), "ERROR: --harness-resume: the run was begun with other cases; *"),
        (("--harness-resume=mine", "test_x.py"), "ERROR: --harness-resume: the run was begun with other cases; *"),
        (("--harness-resume=absent",), "ERROR: *absent: not a run folder *"),
    ):
        result = project.runpytest_subprocess(*arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([line])
        assert len([line for line in result.stderr.lines if line]) == 1
    old = project.mkdir("old")
    (old / "manifest.json").write_text("{}")
    result = project.runpytest_subprocess("--harness-resume=old")
    result.stderr.fnmatch_lines(["ERROR: *old: its manifest does not say how it was begun; it cannot be resumed"])


def test_the_last_session_of_a_run_is_the_one_that_goes_on(project: pytest.Pytester) -> None:
    project.makepyfile(test_x=CASE + "    print('budget', trial.budget)\n")
    project.runpytest_subprocess("--harness-run=mine", "--harness-budget=0.5", "-k", "LOST")
    project.runpytest_subprocess("--harness-run=mine", "-k", "SURVIVED")
    result = project.runpytest_subprocess("--harness-resume=mine", "-s")
    result.assert_outcomes(passed=1, deselected=5)
    result.stdout.fnmatch_lines(["budget 1.0"])


def test_a_run_whose_folder_is_gone_is_refused(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makepyfile(test_x=CASE)
    folder = project.mkdir("short-lived")
    monkeypatch.chdir(folder)
    project.runpytest_subprocess(f"--harness-run={project.path}/mine", "-k", "SURVIVED", "../test_x.py")
    monkeypatch.chdir(project.path)
    folder.rmdir()
    result = project.run(HARNESS, "run", "--resume", "mine")
    assert result.ret == 2
    result.stderr.fnmatch_lines(["harness: *mine: it was begun in *short-lived, which is gone; *"])


def test_a_run_that_goes_on_cannot_be_taken_over(tmp_path: Path) -> None:
    reported: list[str] = []
    with join(tmp_path), pytest.raises(UsageError, match="this run is going on"):
        take_over(tmp_path, patience_s=0.2, on_wait=reported.append)
    assert reported == ["waiting up to 0 s for processes of this run to end"]
    with take_over(tmp_path), join(tmp_path), pytest.raises(UsageError, match="this run is going on"):
        take_over(tmp_path, patience_s=0.2)
    take_over(tmp_path).close()


def test_a_child_process_does_not_keep_a_run(tmp_path: Path) -> None:
    with join(tmp_path) as held:
        assert not os.get_inheritable(held.fileno())
