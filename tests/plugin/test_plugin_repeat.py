"""Many trials of each case in one session: their order, their machines, who judges them, and when it is enough."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from harness.results.junit import read_junit
from harness.results.store import RunStore

OnlyRun = Callable[[], RunStore]
WORKERS = pytest.mark.parametrize("workers", [0, 2])

CASE = """
import pytest

@pytest.mark.topology("pair")
@pytest.mark.cost(5)
@pytest.mark.reproduces("deadlock")
@pytest.mark.parametrize("word", ["SURVIVED", "DEADLOCKED"])
def test_case(trial, word):
    trial.run(storage=None, workload=word)
"""
HOSTS = """
import pytest

@pytest.mark.topology("pair", cpus={"client": 3})
def test_hosts(trial):
    hosts = trial.topology.hosts
    print("hosts", [(host.cpus, host.cmdline, host.memory >> 20) for host in hosts])
    trial.run(storage=None, workload="SURVIVED")
"""
ENOUGH = """
def pytest_harness_enough(store):
    with open("asked", "a") as file:
        file.write(f"{store.side}-{store.number} {store.is_finished}\\n")
    return "the question is decided" if store.number >= 2 else None
"""
TRIALS = [("a", 1), ("b", 1), ("b", 2), ("a", 2)]


def write_repetition(
    project: pytest.Pytester,
    sides: Mapping[str, str] = {"a": "stock", "b": "cmdline=quiet"},
    trials: Sequence[tuple[str, int]] = TRIALS,
) -> str:
    (project.path / "repeat.json").write_text(json.dumps({"sides": sides, "trials": trials}))
    return "--harness-repeat=repeat.json"


def collected(result: pytest.RunResult) -> list[str]:
    return [line.partition("::")[2] for line in result.outlines if "::" in line]


def test_each_case_comes_once_for_every_trial_in_their_order(project: pytest.Pytester) -> None:
    project.makepyfile(CASE + "\n@pytest.mark.topology('pair')\n@pytest.mark.cost(9)\ndef test_plain(trial): pass\n")
    names = collected(project.runpytest("--collect-only", "-q", write_repetition(project)))
    assert names == [
        *(f"test_case[{word}-{side}-{number}]" for word in ("SURVIVED", "DEADLOCKED") for side, number in TRIALS),
        *(f"test_plain[{side}-{number}]" for side, number in TRIALS),
    ]


def test_a_row_that_is_named_is_found_and_no_other_runs(project: pytest.Pytester) -> None:
    path = project.makepyfile(CASE)
    option = write_repetition(project)
    result = project.runpytest("--collect-only", "-q", option, f"{path.name}::test_case[DEADLOCKED]")
    assert collected(result) == [f"test_case[DEADLOCKED-{side}-{number}]" for side, number in TRIALS]
    absent = project.runpytest("--collect-only", "-q", option, f"{path.name}::test_case[LOST]")
    assert absent.ret == pytest.ExitCode.USAGE_ERROR
    absent.stderr.fnmatch_lines([f"ERROR: not found: {path.name}::test_case[[]LOST]"])


@WORKERS
def test_every_verdict_about_the_kernel_passes_whatever_is_expected(
    project: pytest.Pytester, only_run: OnlyRun, workers: int
) -> None:
    project.makepyfile(CASE)
    result = project.runpytest(f"-n{workers}", write_repetition(project))
    result.assert_outcomes(passed=8)
    assert result.ret == 0
    store = only_run()
    case = "test_every_verdict_about_the_kernel_passes_whatever_is_expected.py::test_case"
    assert sorted((trial.side, trial.number, trial.case) for trial in store.trials()) == sorted(
        (side, number, f"{case}[{word}]") for word in ("SURVIVED", "DEADLOCKED") for side, number in TRIALS
    )
    verdicts = [row.verdict for row in read_junit(store.junit_path)]
    assert sorted(str(verdict) for verdict in verdicts) == ["DEADLOCKED"] * 4 + ["SURVIVED"] * 4
    assert {str((trial.read_verdict() or {})["as_expected"]) for trial in store.trials()} == {"True"}


def test_no_verdict_is_trouble_and_an_assertion_a_failure(project: pytest.Pytester) -> None:
    project.makepyfile(CASE.replace('"DEADLOCKED"', '"LOST"'))
    result = project.runpytest(write_repetition(project))
    result.assert_outcomes(passed=4, errors=4)
    assert result.ret == 2
    project.makepyfile(CASE + "    assert trial.measures\n")
    project.runpytest(write_repetition(project), "-k", "SURVIVED").assert_outcomes(failed=4, deselected=4)


def test_a_trial_runs_on_the_sessions_side_and_then_on_its_own(project: pytest.Pytester) -> None:
    project.makepyfile(HOSTS)
    sides = {"a": "stock", "b": "cmdline=quiet cpus=2 role=client"}
    arguments = ("--harness-cmdline=debug", "--harness-cpus=4", "--harness-memory=64M")
    result = project.runpytest("-s", write_repetition(project, sides, [("a", 1), ("b", 1)]), *arguments)
    result.stdout.fnmatch_lines(["*hosts [[](4, 'debug', 64), (4, 'debug', 64)]"])
    result.stdout.fnmatch_lines(["*hosts [[](2, 'debug quiet', 64), (4, 'debug', 64)]"])


def test_a_trial_of_a_plain_run_is_the_first_of_its_case(project: pytest.Pytester, only_run: OnlyRun) -> None:
    project.makepyfile(CASE)
    project.runpytest("-k", "DEADLOCKED")
    (trial,) = only_run().trials()
    assert (trial.side, trial.number, trial.case) == ("", 1, trial.name)


@WORKERS
def test_enough_ends_the_session_early_and_in_good_order(
    project: pytest.Pytester, only_run: OnlyRun, workers: int
) -> None:
    project.makepyfile(CASE)
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + ENOUGH)
    trials = [("a", number) for number in range(1, 21)]
    result = project.runpytest(f"-n{workers}", write_repetition(project, trials=trials))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["ended early: the question is decided"])
    asked = (project.path / "asked").read_text().splitlines()
    assert len(asked) == len(only_run().trials()) == len(read_junit(only_run().junit_path))
    assert all(line.endswith(" True") for line in asked)
    # -n 2: each worker has at most one trial under way, and is handed the next before it is told
    assert asked[:2] == ["a-1 True", "a-2 True"] and len(asked) == 2 if workers == 0 else len(asked) <= 6


def test_a_later_session_of_the_run_does_not_end_because_an_earlier_one_did(project: pytest.Pytester) -> None:
    project.makepyfile(CASE)
    (project.path / "mine").mkdir()
    (project.path / "mine" / "enough.txt").write_text("decided\n")
    project.runpytest(write_repetition(project), "--harness-run=mine").assert_outcomes(passed=8)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "not {*"),
        ('{"sides": {"a": "stock"}, "trials": [["b", 1]]}', "a trial is on side 'b', which it lacks"),
        ('{"sides": {"a": "stock"}, "trials": [["a", 1], ["a", 1]]}', "a trial is in it twice"),
        ('{"sides": {"a": "cpus=none"}, "trials": []}', "*cpus 'none' is no number of processors*"),
        ('{"sides": {"a": "role=master"}, "trials": [["a", 1]]}', "*no role 'master' in topology 'pair'*"),
    ],
)
@WORKERS
def test_a_mistake_in_the_file_is_one_line(project: pytest.Pytester, text: str, problem: str, workers: int) -> None:
    project.makepyfile(HOSTS)
    (project.path / "repeat.json").write_text(text)
    result = project.runpytest("--harness-repeat=repeat.json", f"-n{workers}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len([line for line in result.stderr.lines if line]) == 1
    result.stderr.fnmatch_lines([f"ERROR: *{problem}"])


SESSION = """
import pathlib, sys
from harness.plugin.repeat import run_session

class Watch:
    def pytest_harness_enough(self, store):
        print("ended", store.side, store.number, store.read_verdict()["verdict"])

trials = [("a", n) for n in range(1, int(sys.argv[1]) + 1)] + [("b", 1)]
sides = {"a": "stock", "b": "cmdline=quiet"}
options = {"budget": "0.5", "live": None}
sys.exit(run_session(["test_x.py::test_case[DEADLOCKED]"], sides=sides, trials=trials, given_options=options,
                     workers=sys.argv[2], run_folder=pathlib.Path("mine"), plugins=[Watch()]))
"""


def test_a_session_is_run_for_a_command_and_goes_on_if_it_is_run_again(project: pytest.Pytester) -> None:
    project.makepyfile(test_x=CASE)
    script = project.makepyfile(session=SESSION)
    first = project.runpython_c(f"import sys; sys.argv[1:] = ['2', '0']; exec(open({str(script)!r}).read())")
    assert first.ret == 0
    first.stdout.fnmatch_lines(["*ended a 1 DEADLOCKED*", "*ended a 2 DEADLOCKED*", "*ended b 1 DEADLOCKED*"])
    second = project.runpython_c(f"import sys; sys.argv[1:] = ['3', '2']; exec(open({str(script)!r}).read())")
    assert second.ret == 0
    second.assert_outcomes(passed=4)
    assert sum("ended " in line and "DEADLOCKED" in line for line in second.outlines) == 4
    store = RunStore.open(project.path / "mine")
    assert sorted((trial.side, trial.number) for trial in store.trials()) == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]


ONE = """
import pathlib
from harness.model.errors import HarnessError
from harness.plugin.repeat import run_one

def one(case, **more):
    try:
        store = run_one(case, side_text="stock", given_options=more, run_folder=pathlib.Path("steps"))
        print("left", store.number, store.name, store.read_verdict()["verdict"])
    except HarnessError as error:
        print(type(error).__name__, error)

one("test_x.py::test_case[DEADLOCKED]")
one("test_x.py::test_case[no-boot]")
one("test_x.py::test_case")
one("test_x.py::test_case[absent]")
one("test_x.py::test_case[DEADLOCKED]", budget="none")
"""


def test_single_trials_are_added_to_a_run_one_by_one(project: pytest.Pytester) -> None:
    project.makepyfile(test_x=CASE.replace('"SURVIVED"', '"no-boot"'))
    result = project.runpython(project.makepyfile(steps=ONE))
    result.stdout.fnmatch_lines(
        [
            "left 1 test_x.py::test_case[[]DEADLOCKED-one-1] DEADLOCKED",
            "left 2 test_x.py::test_case[[]no-boot-one-2] INCONCLUSIVE",
            "UsageError test_x.py::test_case: that is 2 cases; name one*; see steps/sessions.log",
            "UsageError test_x.py::test_case[[]absent]: not found: *",
            "UsageError *--harness-budget: 'none' is no factor*",
        ]
    )
    assert Path(project.path / "steps" / "report.html").is_file()
