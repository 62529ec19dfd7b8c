"""A steady load until it is killed: synchronous writes, forks or pure computing.

A healthy host can run it for ever, so it never stops by its own doing. Runs on the host under test; standard library
only. Progress goes through a shared file whose layout docs/agent.md gives.

usage: steady.py PROGRESS WORKERS MODE PATH BLOCK SECONDS
  write    each worker writes blocks to its region of PATH, past the page cache and synchronously (O_DIRECT, O_DSYNC)
  fsync    the same through the page cache, with fsync after each block
  fork     each worker starts /bin/true and waits for it
  spin     each worker computes
With SECONDS other than 0 it ends after that time and prints how many operations it did in how many seconds.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time

from harness.guest.processes import fork_all, lead, rename, run
from harness.guest.progress import PAGE, ProgressFile, Slot, sum_up

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[], tuple[int, int]]  # does one step, returns operations and bytes

STAMP = struct.Struct("=QQ")
REGION = 8 * 1024 * 1024
CHUNK = 20_000  # iterations of a loop; they take milliseconds, even under emulation


def write_step(path: str, worker: int, block: int, flags: int, flush: Callable[[int], None]) -> Step:
    """Writes a block; one operation is a page of 4 KiB."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    buffer = mmap.mmap(-1, block)  # page-aligned, as O_DIRECT wants it
    buffer[:] = os.urandom(block)
    blocks = REGION // block
    count = 0

    def step() -> tuple[int, int]:
        nonlocal count
        STAMP.pack_into(buffer, 0, worker, count)
        if os.pwrite(fd, buffer, worker * REGION + count % blocks * block) != block:
            raise OSError("short write")
        flush(fd)
        count += 1
        return block // PAGE, block

    return step


def fork_step() -> tuple[int, int]:
    """Starts a program and waits for it."""
    run(["/bin/true"])
    return 1, 0


def spin_step() -> tuple[int, int]:
    """Computes for a while."""
    total = 0
    for number in range(CHUNK):
        total += number & 7
    return 1, 0


def make_step(mode: str, path: str, worker: int, block: int) -> Step:
    """The step that a worker repeats."""
    if mode == "write":
        return write_step(path, worker, block, os.O_DIRECT | os.O_DSYNC, lambda fd: None)
    if mode == "fsync":
        return write_step(path, worker, block, 0, os.fsync)
    return {"fork": fork_step, "spin": spin_step}[mode]


def work(slot: Slot, worker: int, mode: str, path: str, block: int, seconds: float) -> None:
    """One process, until it is killed, its time is over, or a step fails."""
    end = time.monotonic() + seconds if seconds else float("inf")
    step = make_step(mode, path, worker, block)
    while time.monotonic() < end:
        slot.add(*step())


def main() -> int:
    """Start the workers and wait for them; exit code 0 if none of them failed."""
    mode, path = sys.argv[3], sys.argv[4]
    workers, block, seconds = int(sys.argv[2]), int(sys.argv[5]), float(sys.argv[6])
    progress = ProgressFile(sys.argv[1], workers)
    rename("steady")
    lead()
    progress.announce()
    begun = time.monotonic()

    def one(worker: int) -> bool:
        slot = progress.slot(worker)
        return slot.work(f"worker {worker}", lambda: work(slot, worker, mode, path, block, seconds))

    good = fork_all(workers, one)
    if seconds:
        sum_up(progress.total(), begun)
    return 0 if good else 1
