"""What a verdict becomes in the terminal, in JUnit, in the exit status; in one process and under xdist."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.results.junit import JUnitRow, read_junit
from harness.results.store import RunStore

RunCases = Callable[..., pytest.RunResult]
OnlyRun = Callable[[], RunStore]

DEADLOCK = '@pytest.mark.reproduces("deadlock")'
WORKERS = pytest.mark.parametrize("workers", [0, 2])


def rows(store: RunStore) -> dict[str, tuple[str, str | None]]:
    """Outcome and verdict by the word in brackets."""

    def word(row: JUnitRow) -> str:
        return row.name.partition("[")[2].rstrip("]")

    return {word(row): (row.outcome, row.verdict) for row in read_junit(store.junit_path)}


@WORKERS
def test_without_marker(run_cases: RunCases, only_run: OnlyRun, workers: int) -> None:
    words = ("SURVIVED", "DEADLOCKED", "CRASHED", "OOM_KILLED", "IO_FAILED", "INCONCLUSIVE", "LOST")
    result = run_cases(*words, workers=workers)
    result.assert_outcomes(passed=1, failed=4, errors=2)
    assert result.ret == 1
    assert rows(only_run()) == {
        "SURVIVED": ("passed", "SURVIVED"),
        "IO_FAILED": ("failed", "IO_FAILED"),
        "DEADLOCKED": ("failed", "DEADLOCKED"),
        "CRASHED": ("failed", "CRASHED"),
        "OOM_KILLED": ("failed", "OOM_KILLED"),
        "INCONCLUSIVE": ("error", "INCONCLUSIVE"),
        "LOST": ("error", "LOST"),
    }


@WORKERS
def test_with_reproduces_only_this_verdict_is_expected(run_cases: RunCases, only_run: OnlyRun, workers: int) -> None:
    words = ("SURVIVED", "DEADLOCKED", "STALLED", "CRASHED", "INCONCLUSIVE", "no-boot")
    result = run_cases(*words, workers=workers, marker=DEADLOCK)
    result.assert_outcomes(xfailed=1, failed=3, errors=2)
    assert result.ret == 1
    assert rows(only_run()) == {
        "SURVIVED": ("failed", "SURVIVED"),
        "DEADLOCKED": ("xfailed", "DEADLOCKED"),
        "STALLED": ("failed", "STALLED"),
        "CRASHED": ("failed", "CRASHED"),
        "INCONCLUSIVE": ("error", "INCONCLUSIVE"),
        "no-boot": ("error", "INCONCLUSIVE"),
    }
    result.stdout.fnmatch_lines(["not reproduced: DEADLOCKED was expected, the verdict is SURVIVED"])


def test_a_case_may_be_known_to_end_in_one_of_two_ways(run_cases: RunCases, only_run: OnlyRun) -> None:
    marker = '@pytest.mark.reproduces("oom", "deadlock")'
    result = run_cases("SURVIVED", "DEADLOCKED", "OOM_KILLED", "STALLED", marker=marker)
    result.assert_outcomes(xfailed=2, failed=2)
    assert rows(only_run()) == {
        "SURVIVED": ("failed", "SURVIVED"),
        "DEADLOCKED": ("xfailed", "DEADLOCKED"),
        "OOM_KILLED": ("xfailed", "OOM_KILLED"),
        "STALLED": ("failed", "STALLED"),
    }
    result.stdout.fnmatch_lines(["not reproduced: OOM_KILLED or DEADLOCKED was expected, the verdict is SURVIVED"])
    assert {trial.expected for trial in only_run().trials()} == {"oom or deadlock"}


@WORKERS
def test_only_errors_of_the_infrastructure_exit_with_2(run_cases: RunCases, workers: int) -> None:
    assert run_cases("SURVIVED", "no-boot", "LOST", workers=workers).ret == 2


@WORKERS
def test_all_as_expected_exits_with_0(run_cases: RunCases, workers: int) -> None:
    assert run_cases("DEADLOCKED", workers=workers, marker=DEADLOCK).ret == 0


def test_a_failure_outside_of_the_harness_exits_with_1(project: pytest.Pytester, run_cases: RunCases) -> None:
    project.makepyfile(test_other="def test_other(): assert 0")
    assert run_cases("no-boot", arguments=("test_other.py", f"{project.path}")).ret == 1


@WORKERS
def test_no_boot_is_one_line(run_cases: RunCases, workers: int) -> None:
    result = run_cases("no-boot", workers=workers)
    result.stdout.fnmatch_lines(
        ["small: no answer in 30 s; last console lines:", "Kernel panic", "ERROR *no-boot* - small: no answer*"]
    )
    text = result.stdout.str()
    assert "Traceback" not in text
    assert "trials.py" not in text
    assert "\x1b[31m" not in text


def test_a_bug_is_an_error_with_its_traceback(run_cases: RunCases, only_run: OnlyRun) -> None:
    result = run_cases("bug", marker=DEADLOCK)
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*ZeroDivisionError: a bug of the harness"])
    assert rows(only_run()) == {"bug": ("error", "INCONCLUSIVE")}


def test_a_hang_shows_the_line_of_the_test_and_no_control_sequences(run_cases: RunCases) -> None:
    result = run_cases("DEADLOCKED")
    result.stdout.fnmatch_lines([">*trial.run(storage=None, workload=word)", "E *HangDetected: DEADLOCKED: the fake*"])
    assert "\x1b[2J" not in result.stdout.str()
    assert "plugin/trials.py" not in result.stdout.str()


def test_catching_no_verdict_does_not_make_a_pass(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from harness.model.verdict_errors import NoVerdict

        @pytest.mark.topology("pair")
        def test_case(trial):
            with pytest.raises(NoVerdict):
                trial.run(storage=None, workload="LOST")
        """
    )
    result = project.runpytest()
    result.assert_outcomes(errors=1)
    assert result.ret == 2


def test_a_reproduction_that_runs_no_trial_fails(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.topology("pair")
        @pytest.mark.reproduces("deadlock")
        def test_case(trial):
            pass
        """
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the test ran no trial*"])


def test_an_assertion_of_the_test_is_no_reproduction(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.topology("pair")
        @pytest.mark.reproduces("deadlock")
        def test_case(trial):
            assert trial.host("client") == "server"
        """
    )
    project.runpytest().assert_outcomes(failed=1)


def test_a_second_trial_in_a_test_is_refused(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.topology("pair")
        def test_case(trial):
            trial.run(storage=None, workload="SURVIVED")
            trial.run(storage=None, workload="SURVIVED")
        """
    )
    result = project.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a test runs one trial*"])


def patience_of(project: pytest.Pytester, words: str) -> pytest.RunResult:
    project.makepyfile(f"""
        import pytest

        @pytest.mark.topology("pair")
        def test_case(trial):
            trial.run(storage=None, workload="SURVIVED"{words})
    """)
    return project.runpytest()


@pytest.mark.parametrize(("words", "patience_s"), [("", 30.0), (", patience_s=90.0", 90.0)])
def test_a_case_may_have_more_patience(
    project: pytest.Pytester, only_run: OnlyRun, words: str, patience_s: float
) -> None:
    patience_of(project, words).assert_outcomes(passed=1)
    (trial,) = only_run().trials()
    assert trial.read_history()[0].data["policy"]["patience_s"] == patience_s


def test_patience_that_is_none_is_refused(project: pytest.Pytester) -> None:
    result = patience_of(project, ", patience_s=0")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*patience_s: 0 s is not above 0; give *"])


def test_hook_sees_every_verdict(project: pytest.Pytester, run_cases: RunCases) -> None:
    conftest = project.path / "conftest.py"
    hook = """
def pytest_harness_verdict(plan, verdict):
    from pathlib import Path
    Path("seen").write_text(f"{plan.expected} {verdict.kind}")
"""
    conftest.write_text(conftest.read_text() + hook)
    run_cases("DEADLOCKED", marker=DEADLOCK)
    assert (project.path / "seen").read_text() == "deadlock DEADLOCKED"
