"""Commands of this machine: bounded in time, output and processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.drivers.commands import LIMIT, Output, printable, run_command
from harness.model.clock import Deadline
from harness.model.errors import HostEnvironmentError, InfraError


def wait_until_gone(pid: int) -> None:
    """A process that was killed takes a moment to die."""
    end = time.monotonic() + 3
    while Path(f"/proc/{pid}/stat").exists():
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        assert time.monotonic() < end, f"{pid} lives"
        time.sleep(0.02)


def test_output_and_exit_code() -> None:
    output = run_command("echo out; echo err >&2; exit 7", deadline=Deadline.after(10))
    assert output == Output(7, "out\n", "err\n")
    assert run_command(["printf", "%s", "$HOME"], deadline=Deadline.after(10)).out == "$HOME"


def test_the_environment_is_added_to_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_HERE", "1")
    output = run_command("echo $OF_HERE $ADDED", deadline=Deadline.after(10), environment={"ADDED": "2"})
    assert output.out == "1 2\n"


@pytest.mark.parametrize("trap", ["", "trap '' TERM HUP INT; "])
def test_the_deadline_kills_the_whole_group(trap: str, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(InfraError, match="does not answer in time"):
        run_command(f"{trap}sleep 60 & echo $! >{tmp_path}/child; sleep 60 | sleep 60", deadline=Deadline.after(0.7))
    assert time.monotonic() - start < 3
    wait_until_gone(int((tmp_path / "child").read_text()))


def test_children_that_stay_behind_are_killed_and_not_waited_for(tmp_path: Path) -> None:
    start = time.monotonic()
    output = run_command(f"sleep 60 & echo $! >{tmp_path}/child; echo done", deadline=Deadline.after(30))
    assert (output.exit_code, output.out) == (0, "done\n")
    assert time.monotonic() - start < 5
    wait_until_gone(int((tmp_path / "child").read_text()))


def test_a_command_that_closes_its_output_is_waited_for() -> None:
    assert run_command("exec >&- 2>&-; sleep 0.5; exit 4", deadline=Deadline.after(10)).exit_code == 4


def test_the_output_is_bounded_while_it_is_read() -> None:
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with pytest.raises(InfraError):
        run_command("yes", deadline=Deadline.after(1.0))
    after = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert after - before < 32 * 1024 * 1024
    output = run_command("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", deadline=Deadline.after(20))
    assert (output.exit_code, len(output.out), len(output.err)) == (0, LIMIT, LIMIT)


def test_bytes_that_are_no_text_are_replaced() -> None:
    output = run_command("printf 'a\\377b'; printf '\\033[31mred\\n' >&2; exit 1", deadline=Deadline.after(10))
    assert output.out == "a\ufffdb"
    assert output.reason == "[31mred"


def test_the_reason_is_one_printable_line() -> None:
    assert Output(1, "second", " \n\x07\nfirst\nmore").reason == "first"
    assert Output(1, "on stdout", "").reason == "on stdout"
    assert Output(5, "\n\n", "").reason == "exit code 5"
    traceback = 'Traceback (most recent call last):\n  File "x.py", line 1\n    y\nHTTPError: 500 Server Error\n\n'
    assert Output(1, "", traceback).reason == "HTTPError: 500 Server Error"
    assert printable("a\nb\x00c\x1b" + "x" * 300) == ("a b c" + " " + "x" * 300)[:200]


def test_a_program_that_is_not_installed_has_a_way_out() -> None:
    with pytest.raises(HostEnvironmentError, match=r"cannot run no-such-program: .*; apt install no-such-program"):
        run_command(["no-such-program"], deadline=Deadline.after(10))


def test_a_deadline_that_has_passed_ends_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(InfraError):
        run_command("sleep 60", deadline=Deadline.after(0))
    assert time.monotonic() - start < 2


def test_no_file_stays_open() -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(5):
        run_command("true", deadline=Deadline.after(10))
        with pytest.raises(InfraError):
            run_command("sleep 9", deadline=Deadline.after(0.05))
    assert len([*Path("/proc/self/fd").iterdir()]) == before
