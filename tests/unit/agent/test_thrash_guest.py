"""The swap thrash itself, with tiny sizes: its counters, its passes, and that it sees what came back wrong."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packed import packed

from harness.agent import agent
from harness.guest.processes import Meeting, fork_all
from harness.guest.progress import FIRST, SLOT_SIZE, Slot, size_of
from harness.workloads.guest import thrash
from harness.workloads.thrash import SCRIPT

PAGE = mmap.PAGESIZE


def run(
    progress: Path, workers: int, size: int, passes: int, memory: str = "anonymous", mode: str = "reads"
) -> subprocess.CompletedProcess[str]:
    sizes = (str(workers), str(size), str(passes))
    command = [sys.executable, "-I", "-S", packed(SCRIPT), str(progress), *sizes, memory, mode]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True, check=False)


def new_slot() -> Slot:
    return Slot(mmap.mmap(-1, size_of(1)), 0)


def make_progress(path: Path, workers: int) -> Path:
    path.write_bytes(b"\0" * size_of(workers))
    return path


@pytest.mark.parametrize("mode", ["reads", "fills"])
@pytest.mark.parametrize("memory", ["anonymous", "shmem"])
def test_it_finishes_and_its_counters_are_right(tmp_path: Path, memory: str, mode: str) -> None:
    progress = make_progress(tmp_path / "progress", 2)
    done = run(progress, workers=2, size=64 * PAGE, passes=3, memory=memory, mode=mode)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    data = progress.read_bytes()
    magic, workers, slot, group, _ = agent.PROGRESS.unpack_from(data, 0)
    assert (magic, workers, slot) == (agent.PROGRESS_MAGIC, 2, SLOT_SIZE) and group > 1
    for worker in range(2):
        ops, count, state, pid = agent.WORKER.unpack_from(data, FIRST + worker * SLOT_SIZE)
        assert (ops, count, state) == (4 * 64, 4 * 64 * PAGE, 2) and pid > 1


def test_the_agent_reads_what_it_wrote(tmp_path: Path) -> None:
    progress = make_progress(tmp_path / "progress", 3)
    run(progress, workers=3, size=8 * PAGE, passes=1)
    reader = agent.Agent.__new__(agent.Agent)
    reader.progress = None
    reader.open_progress(str(progress))
    assert reader.read_progress() == [3 * 16, 3 * 16 * PAGE, 3, 3, 0, 0]


def test_a_worker_that_gets_no_memory_fails_and_does_not_vanish(tmp_path: Path) -> None:
    progress = make_progress(tmp_path / "progress", 1)
    done = run(progress, workers=1, size=1 << 60, passes=1)
    assert done.returncode == 1 and "worker 0" in done.stdout
    assert agent.WORKER.unpack_from(progress.read_bytes(), FIRST)[2] == 3


@pytest.mark.parametrize("page", [0, 7])
@pytest.mark.parametrize("wrong", [(1, 7), (0, 6), (0, 8)])
def test_a_page_that_came_back_wrong_is_seen(page: int, wrong: tuple[int, int]) -> None:
    area = mmap.mmap(-1, 8 * PAGE)
    slot = new_slot()
    thrash.fill(area, 8, 0, slot)
    thrash.check(area, 8, 0, slot)
    assert slot.operations == 16
    struct.pack_into("=QQ", area, page * PAGE, *wrong)
    with pytest.raises(ValueError, match=f"page {page} came back wrong"):
        thrash.check(area, 8, 0, new_slot())


def test_with_refills_each_pass_gives_its_pages_back_and_fills_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    fills: list[mmap.mmap] = []
    filled = thrash.fill

    def note(area: mmap.mmap, pages: int, worker: int, slot: Slot) -> None:
        assert all(before.closed for before in fills) and not any(bytes(area))
        fills.append(area)
        filled(area, pages, worker, slot)

    monkeypatch.setattr(thrash, "fill", note)
    monkeypatch.setattr(thrash, "check", lambda *_: pytest.fail("it reads"))
    slot = new_slot()
    thrash.work(slot, 0, 4 * PAGE, 3, "anonymous", Meeting(), refills=True)
    assert len(fills) == 4 and slot.operations == 16


def test_every_page_is_filled_with_noise_of_its_own() -> None:
    area = mmap.mmap(-1, 2 * PAGE)
    thrash.fill(area, 2, 5, new_slot())
    assert struct.unpack_from("=QQ", area, PAGE) == (5, 1)
    assert len(set(area[16:PAGE])) > 200


def test_a_failed_worker_is_told_by_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = new_slot()

    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(thrash, "check", broken)
    assert slot.work("worker 0", lambda: thrash.work(slot, 0, 4 * PAGE, 1, "anonymous", Meeting())) is False
    assert agent.WORKER.unpack_from(slot.words) == (4, 4 * PAGE, 3, os.getpid())


def test_without_passes_it_reads_until_it_is_killed(tmp_path: Path) -> None:
    progress = make_progress(tmp_path / "progress", 1)
    command = [sys.executable, "-I", "-S", packed(SCRIPT), str(progress), "1", str(8 * PAGE), "0", "anonymous", "reads"]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            while agent.WORKER.unpack_from(progress.read_bytes(), FIRST)[0] < 100:
                assert process.poll() is None
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_nobody_reads_before_all_have_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    slots, meeting = mmap.mmap(-1, size_of(3)), Meeting()
    filled = thrash.fill

    def slowly(area: mmap.mmap, pages: int, worker: int, slot: Slot) -> None:
        time.sleep(0.1 * worker)
        filled(area, pages, worker, slot)

    def look(*_: object) -> None:
        reported = [agent.WORKER.unpack_from(slots, FIRST + number * SLOT_SIZE)[0] for number in range(3)]
        assert reported == [4, 4, 4]

    monkeypatch.setattr(thrash, "fill", slowly)
    monkeypatch.setattr(thrash, "check", look)

    def one(worker: int) -> bool:
        slot = Slot(slots, worker)
        return slot.work("worker", lambda: thrash.work(slot, worker, 4 * PAGE, 1, "anonymous", meeting))

    assert fork_all(3, one, meeting)
