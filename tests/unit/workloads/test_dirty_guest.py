"""The dirtier itself, for a moment: its counters, what it leaves in the file, and that wrong pages are seen."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from packed import packed

from harness.agent import agent
from harness.guest.progress import FIRST, SLOT_SIZE, size_of
from harness.workloads.dirty import MODES, PAGE, SCRIPT
from harness.workloads.guest import dirty

BLOCK, EACH = 2 * PAGE, 16 * PAGE
STAMP = struct.Struct("=QQQ")


def run(progress: Path, mode: str, path: Path | str, seconds: float = 0.2) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", "-S", packed(SCRIPT), progress, 2, mode, path, EACH, BLOCK, seconds]
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )


def run_a_round(progress: Path, mode: str, path: Path) -> subprocess.CompletedProcess[str]:
    """As long as a machine that does something else as well needs for one round of every worker."""
    seconds = 0.2
    while (done := run(progress, mode, path, seconds)).returncode == 0 and seconds < 30.0:
        if min(STAMP.unpack_from(path.read_bytes(), worker * EACH + EACH - PAGE)[2] for worker in range(2)):
            break
        progress.write_bytes(b"\0" * size_of(2))
        seconds *= 4
    return done


@pytest.fixture
def progress(tmp_path: Path) -> Path:
    path = tmp_path / "progress"
    path.write_bytes(b"\0" * size_of(2))
    return path


@pytest.mark.parametrize("mode", MODES)
def test_every_worker_works_and_the_agent_can_read_how_much(progress: Path, tmp_path: Path, mode: str) -> None:
    done = run_a_round(progress, mode, tmp_path / "file")
    assert (done.returncode, done.stderr) == (0, "")
    reader = agent.Agent.__new__(agent.Agent)
    reader.progress = None
    reader.open_progress(str(progress))
    totals = reader.read_progress()
    assert totals is not None and totals[2:] == [2, 2, 0, 0]
    assert totals[0] >= 3 * 2 * EACH // PAGE, "written, flushed and compared"
    assert totals[1] == totals[0] * PAGE


@pytest.mark.parametrize("mode", MODES)
def test_every_page_says_whose_it_is(progress: Path, tmp_path: Path, mode: str) -> None:
    file = tmp_path / "file"
    run_a_round(progress, mode, file)
    data = file.read_bytes()
    assert len(data) == 2 * EACH
    stamps = [STAMP.unpack_from(data, page * PAGE) for page in range(len(data) // PAGE)]
    assert [stamp[:2] for stamp in stamps] == [(worker, page) for worker in range(2) for page in range(EACH // PAGE)]
    assert all(written >= 1 for _, _, written in stamps)


class Memory:
    """A region that notes what is done to it; `damage` is done to what is read."""

    def __init__(self, damage: Callable[[bytearray], None] | None = None) -> None:
        self.data = bytearray(EACH)
        self.damage = damage
        self.acts: list[str] = []

    def put(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data

    def get(self, offset: int, size: int) -> bytes:
        self.acts.append("get")
        found = self.data[offset : offset + size]
        if self.damage is not None:
            self.damage(found)
        return bytes(found)

    def flush(self, offset: int, size: int) -> None:
        self.acts.append(f"flush {offset} {size}")

    def settle(self) -> None:
        self.acts.append("settle")

    def forget(self) -> None:
        self.acts.append("forget")


def dirtier(region: Memory, pages: list[int]) -> dirty.Dirtier:
    return dirty.Dirtier(region, 1, EACH, BLOCK, pages.append)


def flip_last(data: bytearray) -> None:
    data[-1] ^= 1


def put_zeros(data: bytearray) -> None:
    data[:PAGE] = bytes(PAGE)


@pytest.mark.parametrize(
    ("damage", "stamp"), [(flip_last, r"page 1, .*\(1, 1, 1\)"), (put_zeros, r"page 0, .*\(0, 0, 0\)")]
)
def test_a_page_that_comes_back_wrong_is_named(damage: Callable[[bytearray], None], stamp: str) -> None:
    load = dirtier(Memory(damage), [])
    load.round(1, float("inf"))
    with pytest.raises(ValueError, match=stamp):
        load.round(2, float("inf"))


def test_a_page_of_the_round_before_is_wrong() -> None:
    region = Memory()
    load = dirtier(region, [])
    load.round(1, float("inf"))
    old = bytes(region.data)
    load.round(2, float("inf"))
    region.data[:] = old
    with pytest.raises(ValueError, match="page 0, written in round 2, came back wrong"):
        load.compare(0)


def test_a_round_writes_all_and_then_flushes_all() -> None:
    region, pages = Memory(), list[int]()
    dirtier(region, pages).round(1, float("inf"))
    assert region.acts == [f"flush 0 {EACH}", "settle"]
    assert sum(pages) == 2 * EACH // PAGE


def test_everything_that_was_written_is_compared_once_it_is_out_of_the_cache() -> None:
    region = Memory()
    dirtier(region, []).work(time.monotonic() + 0.01)
    last = region.acts.index("forget")
    assert region.acts[last - 1] == "settle" and region.acts[last + 1 :].count("get") >= 1


def test_a_time_that_is_over_breaks_a_round_off_and_its_pages_are_flushed() -> None:
    region, pages = Memory(), list[int]()
    load = dirtier(region, pages)
    load.rounds[:] = [0] * len(load.rounds)
    load.round(1, time.monotonic() - 1)
    assert region.acts == ["settle"] and not pages


def test_a_device_that_is_too_small_or_refuses_is_a_failure_that_is_told(progress: Path, tmp_path: Path) -> None:
    done = run(progress, "write", tmp_path / "no such folder" / "file")
    assert done.returncode == 1 and "worker 0" in done.stdout and "No such file" in done.stdout
    assert [agent.WORKER.unpack_from(progress.read_bytes(), FIRST + SLOT_SIZE * worker)[2] for worker in (0, 1)] == [
        3,
        3,
    ]
    with pytest.raises(OSError, match="is smaller than"):
        dirty.open_file("/dev/full", "write", EACH)


def test_a_flush_that_the_kernel_refuses_is_seen() -> None:
    read, write = os.pipe()
    with pytest.raises(OSError, match="sync_file_range"):
        dirty.write_back(write, 0, PAGE)
    os.close(read)
    os.close(write)
