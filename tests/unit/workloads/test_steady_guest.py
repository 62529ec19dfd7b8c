"""The steady load itself, for a moment: its counters, its pace, and that work which fails is told."""

from __future__ import annotations

import mmap
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packed import packed

from harness.agent import agent
from harness.guest.progress import FIRST, SLOT_SIZE, Slot, size_of
from harness.workloads.guest import steady
from harness.workloads.guest.steady import REGION
from harness.workloads.steady import SCRIPT

BLOCK = 16 * 1024
MODES = ("write", "fsync", "fork", "spin")


def command(progress: Path, mode: str, path: Path | str, seconds: float, workers: int = 2) -> list[str]:
    words = [sys.executable, "-I", "-S", packed(SCRIPT), progress, workers, mode, path, BLOCK, seconds]
    return [str(word) for word in words]


def run(progress: Path, mode: str, path: Path | str = "", seconds: float = 0.2) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(progress, mode, path, seconds),
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )


@pytest.fixture
def progress(tmp_path: Path) -> Path:
    path = tmp_path / "progress"
    path.write_bytes(b"\0" * (size_of(2)))
    return path


def slots(progress: Path) -> list[tuple[int, int, int, int]]:
    data = progress.read_bytes()
    return [agent.WORKER.unpack_from(data, FIRST + worker * SLOT_SIZE) for worker in range(2)]


@pytest.mark.parametrize("mode", MODES)
def test_every_worker_works_and_the_agent_can_read_how_much(progress: Path, tmp_path: Path, mode: str) -> None:
    done = run(progress, mode, tmp_path / "file" if mode in ("write", "fsync") else "")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(operations > 0 and state == 2 for operations, _, state, _ in slots(progress))
    reader = agent.Agent.__new__(agent.Agent)
    reader.progress = None
    reader.open_progress(str(progress))
    totals = reader.read_progress()
    assert totals is not None and totals[2:] == [2, 2, 0, 0]
    found = re.fullmatch(r"(\d+) operations in ([0-9.]+) s\n", done.stdout)
    assert found is not None and int(found[1]) == totals[0] and float(found[2]) >= 0.2


def test_an_operation_of_a_write_is_a_page(progress: Path, tmp_path: Path) -> None:
    run(progress, "fsync", tmp_path / "file")
    for operations, moved, _, _ in slots(progress):
        assert operations % (BLOCK // 4096) == 0 and moved == operations * 4096


def test_every_worker_writes_round_a_region_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "file"
    step = steady.write_step(str(file), 1, REGION // 2, 0, lambda _: None)
    for count in range(5):
        assert step() == (REGION // 2 // 4096, REGION // 2)
        stamp = steady.STAMP.unpack_from(file.read_bytes(), REGION + count % 2 * REGION // 2)
        assert stamp == (1, count)
    assert file.stat().st_size == 2 * REGION


def test_work_that_fails_makes_its_worker_fail(progress: Path, tmp_path: Path) -> None:
    done = run(progress, "write", tmp_path / "no such folder" / "file")
    assert done.returncode == 1 and "worker 0" in done.stdout and "No such file" in done.stdout
    assert [state for _, _, state, _ in slots(progress)] == [3, 3]


def test_a_write_that_the_device_refuses_is_seen() -> None:
    slot = Slot(mmap.mmap(-1, size_of(1)), 0)
    assert slot.work("worker 0", lambda: steady.work(slot, 0, "fsync", "/dev/full", BLOCK, 0)) is False
    assert agent.WORKER.unpack_from(slot.words)[2] == 3


def test_a_program_that_does_not_run_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str, _arguments: list[str]) -> None:
        os._exit(9)

    monkeypatch.setattr(os, "execvp", refuse)
    with pytest.raises(OSError, match="status 0x900"):
        steady.fork_step()


def test_without_a_time_it_goes_on_until_its_group_is_killed(progress: Path) -> None:
    process = subprocess.Popen(command(progress, "spin", "", 0), start_new_session=True)
    try:
        while not all(operations > 3 for operations, _, _, _ in slots(progress)):
            time.sleep(0.02)
        group = agent.PROGRESS.unpack_from(progress.read_bytes(), 0)[3]
        assert group == process.pid and process.poll() is None
        names = {Path(f"/proc/{pid}/comm").read_text() for _, _, _, pid in slots(progress)}
        assert names == {"steady\n"}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
