"""The transfer itself: its counters, what it makes of iperf3's lines, and that a failure is told."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import pytest
from packed import packed

from harness.agent import agent
from harness.guest.progress import FAILED, FINISHED, FIRST, Slot, size_of
from harness.workloads.guest import transfer
from harness.workloads.transfer import SCRIPT

# As iperf3 3.12 prints them.
LINES = b"""\
Connecting to host 10.77.0.2, port 5201
[  5] local 10.77.0.1 port 49520 connected to 10.77.0.2 port 5201
[ ID] Interval           Transfer     Bitrate         Retr  Cwnd
[  5]   0.00-0.20   sec   640 KBytes  26.2 Mbits/sec    0   85.8 KBytes
[  5]   0.20-0.41   sec  1.50 MBytes  61.0 Mbits/sec    3   85.8 KBytes
[  5]   0.41-0.60   sec  0.00 Bytes  0.00 bits/sec    1   1.41 KBytes
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate         Retr
[  5]   0.00-0.60   sec  2.12 MBytes  29.7 Mbits/sec    4             sender
[  5]   0.00-0.60   sec  2.00 MBytes  28.0 Mbits/sec                  receiver
"""
SERVER = """\
#!/bin/sh
echo "$@" >{log}
printf '[  5]   0.00-0.20   sec   640 KBytes  26.2 Mbits/sec\\n'
echo 'iperf3: {end}'
exit {code}
"""


def progress(folder: Path) -> Path:
    path = folder / "progress"
    path.write_bytes(b"\0" * (size_of(1)))
    return path


def run(folder: Path, *words: str, **environ: str) -> tuple[subprocess.CompletedProcess[str], tuple[int, ...]]:
    path = progress(folder)
    command = [sys.executable, "-I", "-S", packed(SCRIPT), str(path), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, start_new_session=True, check=False, env=environ or None
    )
    return done, agent.WORKER.unpack_from(path.read_bytes(), FIRST)


def iperf3(folder: Path, code: int = 0, end: str = "Done.") -> Path:
    """A program of that name that says one interval."""
    program, log = folder / "iperf3", folder / "arguments"
    program.write_text(SERVER.format(log=log, code=code, end=end))
    program.chmod(0o755)
    return log


def test_intervals_count_and_their_sums_do_not() -> None:
    assert [transfer.moved(line) for line in LINES.splitlines() if transfer.moved(line)] == [640 << 10, 1536 << 10]


@pytest.mark.parametrize("direction", ["outgoing", "incoming"])
def test_a_file_moves_in_either_direction(tmp_path: Path, direction: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\0" * (4 * transfer.BLOCK))
    done, (operations, size, state, _) = run(tmp_path, "file", direction, str(file), "0.2")
    assert (done.returncode, done.stderr, state) == (0, "", FINISHED)
    assert operations * 4096 == size >= 4 * transfer.BLOCK
    assert done.stdout.startswith(f"{operations} operations in ")
    assert file.stat().st_size == 4 * transfer.BLOCK
    assert (file.read_bytes()[:8] != bytes(8)) == (direction == "outgoing")


def test_iperf3_is_asked_for_the_direction_and_its_lines_are_counted(tmp_path: Path) -> None:
    log, words = iperf3(tmp_path), ["iperf3", "incoming", "10.0.0.1:5201", "3"]
    done, (operations, size, state, _) = run(tmp_path, *words, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 0 and state == FINISHED
    assert (operations, size) == (160, 640 << 10)
    reported = log.read_text().split()
    assert reported[:6] == ["-c", "10.0.0.1", "-p", "5201", "-t", "3"] and reported[-1] == "-R"


def test_iperf3_that_fails_makes_the_transfer_fail_and_says_why(tmp_path: Path) -> None:
    iperf3(tmp_path, code=1, end="error - unable to connect")
    words = ["iperf3", "outgoing", "10.0.0.1:5201", "3"]
    done, (_, _, state, _) = run(tmp_path, *words, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1 and state == FAILED
    assert "iperf3 ended with 1: iperf3: error - unable to connect" in done.stdout


def test_a_file_that_is_not_there_makes_the_transfer_fail(tmp_path: Path) -> None:
    done, (_, _, state, _) = run(tmp_path, "file", "incoming", str(tmp_path / "none"), "1")
    assert done.returncode == 1 and state == FAILED and "No such file" in done.stdout


def test_a_device_without_room_makes_the_transfer_fail() -> None:
    slot = Slot(mmap.mmap(-1, size_of(1)), 0)
    assert slot.work("transfer", lambda: transfer.transfer(slot, "file", "outgoing", "/dev/full", 1.0)) is False
    assert agent.WORKER.unpack_from(slot.words)[2] == FAILED


def test_the_agent_can_read_how_much(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\0" * transfer.BLOCK)
    run(tmp_path, "file", "outgoing", str(file), "0.1")
    reader = agent.Agent.__new__(agent.Agent)
    reader.progress = None
    reader.open_progress(str(tmp_path / "progress"))
    totals = reader.read_progress()
    assert totals is not None and totals[0] > 0 and totals[2:] == [1, 1, 0, 0]
