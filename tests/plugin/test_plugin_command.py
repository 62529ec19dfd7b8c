"""`harness run` over fake trials: what it passes on, and what its exit code says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.results.store import RunStore

HARNESS = Path(sys.executable).with_name("harness")
FILE = """
import pytest

@pytest.mark.topology("pair")
@pytest.mark.parametrize("word", ["SURVIVED", "DEADLOCKED", "no-boot", "interrupt", "sleep"])
def test_case(trial, word):
    assert trial.budget == 0.5
    trial.run(storage=None, workload=word)
"""


@pytest.fixture
def short() -> Iterator[str]:
    """A state folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="h", dir="/tmp") as folder:
        yield folder


def write_case(project: pytest.Pytester) -> None:
    path = project.path / "testcases" / "test_swap.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(FILE)


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    write_case(project)
    return project.run(HARNESS, "run", "--budget", "0.5", *arguments)


@pytest.mark.parametrize(("word", "status"), [("SURVIVED", 0), ("DEADLOCKED", 1), ("no-boot", 2)])
def test_exit_code(project: pytest.Pytester, word: str, status: int) -> None:
    assert run(project, "--", "-k", word).ret == status


def test_two_workers_and_options(project: pytest.Pytester) -> None:
    result = run(project, "-n", "2", "--results", "mine", "testcases/test_swap.py::test_case[SURVIVED]")
    assert result.ret == 0
    (store,) = RunStore.runs(project.path / "mine")
    assert len(store.trials()) == 1


def test_interrupted(project: pytest.Pytester) -> None:
    result = run(project, "--", "-k", "interrupt")
    assert result.ret == 130
    assert "Traceback" not in result.stderr.str()


def test_what_ctrl_c_left_half_open_is_no_error(project: pytest.Pytester) -> None:
    project.makepyfile("import os, signal\ndef test_one(): open(__file__); os.kill(os.getpid(), signal.SIGINT)")
    result = project.run(HARNESS, "run", ".")
    assert result.ret == 130
    assert "Traceback" not in result.stderr.str()


def test_a_ctrl_c_that_was_swallowed_ends_the_session_all_the_same(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import os, signal
        import pytest

        def test_one():
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

        def test_two():
            pass
    """)
    result = project.run(HARNESS, "run", ".")
    assert result.ret == 130
    result.assert_outcomes(passed=1)


def test_ctrl_c_in_mid_trial_restores_the_terminal(
    project: pytest.Pytester, short: str, read_terminal: Callable[..., str]
) -> None:
    write_case(project)
    controller, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    command = [str(HARNESS), "run", "--budget", "0.5", "--state", short, "--", "-k", "sleep"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    with os.fdopen(controller, "rb", buffering=0) as stream:
        text = read_terminal(stream, until="asleep")
        process.send_signal(signal.SIGINT)
        text += read_terminal(stream)
    assert process.wait() == 130
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0
    assert "KeyboardInterrupt" in text and "Traceback" not in text


def test_ctrl_c_under_xdist_leaves_nothing(
    project: pytest.Pytester, short: str, read_terminal: Callable[..., str]
) -> None:
    write_case(project)
    controller, terminal = os.openpty()
    command = [str(HARNESS), "run", "--budget", "0.5", "--state", short, "-n", "2", "--", "-k", "sleep"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    with os.fdopen(controller, "rb", buffering=0) as stream:
        text = read_terminal(stream, until="phase asleep")
        os.killpg(process.pid, signal.SIGINT)
        text += read_terminal(stream)
    assert process.wait() == 130
    assert list(Path(short, "r").glob("[!.]*")) == []
    assert "INTERNALERROR" not in text


def test_nothing_selected(project: pytest.Pytester) -> None:
    result = run(project, "--", "-k", "absent")
    assert result.ret == 2
    result.stderr.fnmatch_lines(["harness: no test case was selected; *"])


WORKERS = pytest.mark.parametrize("workers", ["0", "2"])


def check_that_one_line_is_all(result: pytest.RunResult, *messages: str) -> None:
    """`result` is the end of a command with a mistake for each of `messages`."""
    assert result.ret == 2
    assert len(result.errlines) == len(messages)
    result.stderr.fnmatch_lines([f"harness: {message}" for message in messages])
    assert result.outlines == []


@WORKERS
def test_a_bad_inventory_is_a_line_for_each_mistake_and_nothing_is_begun(
    project: pytest.Pytester, workers: str
) -> None:
    absent = run(project, "--inventory", "none.toml", "-n", workers)
    check_that_one_line_is_all(absent, "*none.toml: there is no such file*")
    bad = project.path / "bad.toml"
    bad.write_text((project.path / "inventory.toml").read_text().replace("memory", "memry"))
    wrong = run(project, "--inventory", "bad.toml", "-n", workers)
    check_that_one_line_is_all(wrong, '*"small"*memry*', '*"server"*memry*')
    assert not (project.path / "results").exists()


@WORKERS
def test_a_bad_option_of_the_environment_is_a_line(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("HARNESS_PROFILE", "nightl")
    check_that_one_line_is_all(run(project, "-n", workers), "HARNESS_PROFILE: 'nightl' is none of *")
    check_that_one_line_is_all(project.run(HARNESS, "clean"), "HARNESS_PROFILE: 'nightl' is none of *")
    assert not (project.path / "results").exists()


@WORKERS
def test_a_bad_marker_is_a_line_and_leaves_nothing(project: pytest.Pytester, workers: str) -> None:
    project.makepyfile(
        test_x="""
        import pytest

        @pytest.mark.topology("pear")
        def test_one(trial): pass

        @pytest.mark.topology("pair")
        @pytest.mark.reproduces("deadlok")
        def test_two(trial): pass
        """
    )
    result = project.run(HARNESS, "run", "-n", workers, "test_x.py")
    check_that_one_line_is_all(result, "test_x.py::test_one: no topology 'pear'*", "test_x.py::test_two: marker *")
    assert RunStore.runs(project.path / "results") == []


@WORKERS
def test_a_run_is_not_resumed_with_an_inventory_that_became_bad(project: pytest.Pytester, workers: str) -> None:
    assert run(project, "--run", "mine", "--", "-k", "no-boot").ret == 2
    inventory = project.path / "inventory.toml"
    inventory.write_text(inventory.read_text().replace('"128 MiB"', '"much"', 1))
    check_that_one_line_is_all(project.run(HARNESS, "run", "--resume", "mine", "-n", workers), "*'much' is no size*")
    assert not list((project.path / "mine" / "trials").glob("*.unfinished*"))


@pytest.mark.parametrize("argument", ["testcases/absent.py", "testcases/test_swap.py::test_absent"])
def test_a_case_that_there_is_not_is_a_line(project: pytest.Pytester, argument: str) -> None:
    check_that_one_line_is_all(run(project, argument), "*not found: *absent*")


@WORKERS
def test_a_kernel_that_is_none_is_said_once_and_nothing_is_begun(project: pytest.Pytester, workers: str) -> None:
    (project.path / "vmlinuz").write_text("no kernel")
    result = run(project, "--kernel", "./vmlinuz", "-n", workers)
    check_that_one_line_is_all(result, "*vmlinuz*")
    assert not (project.path / "results").exists()


def test_a_file_that_cannot_be_imported_is_shown_whole(project: pytest.Pytester) -> None:
    project.makepyfile(test_x="import absent_module")
    result = project.run(HARNESS, "run", "test_x.py")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*test session starts*", "*No module named 'absent_module'"])
