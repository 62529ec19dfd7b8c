"""Processes of a script: their exit codes, and what is told of those that fail."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from harness.guest import processes


def test_a_process_for_each_number_and_all_are_waited_for(tmp_path: Path) -> None:
    def work(number: int) -> bool:
        (tmp_path / str(number)).touch()
        return True

    assert processes.fork_all(3, work)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def test_one_that_fails_or_raises_is_seen() -> None:
    assert processes.fork_all(3, lambda number: number != 1) is False
    assert os.waitpid(processes.fork(lambda: bool(1 // 0)), 0)[1] != 0


def test_a_program_that_fails_or_is_not_there_is_an_error() -> None:
    processes.run(["true"])
    with pytest.raises(OSError, match="false ended with status 0x100"):
        processes.run(["false"])
    with pytest.raises(OSError, match="no-such-program ended with status 0x7f00"):
        processes.run(["no-such-program"])


def test_what_a_quiet_program_prints_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    processes.run(["echo", "loud"])
    processes.run(["echo", "quiet"], quiet=True)
    assert capfd.readouterr().out == "loud\n"


def test_who_meets_waits_for_all_of_them(tmp_path: Path) -> None:
    meeting = processes.Meeting()

    def work(number: int) -> bool:
        time.sleep(0.1 * number)
        (tmp_path / str(number)).touch()
        meeting.come()
        return len(list(tmp_path.iterdir())) == 3

    assert processes.fork_all(3, work, meeting)


def test_nobody_waits_for_one_that_is_dead() -> None:
    meeting = processes.Meeting()

    def work(number: int) -> bool:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        meeting.come()
        return True

    assert processes.fork_all(3, work, meeting) is False
