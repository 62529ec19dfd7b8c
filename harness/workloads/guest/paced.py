"""A time-critical writer: a small synchronous write at a fixed interval, after a small program if asked.

It needs almost no resources, so its delays are those of any process on the machine. Runs on the host under test;
standard library only. Progress goes through a shared file whose layout docs/agent.md gives; one operation is a write.

usage: paced.py PROGRESS FILE JOB EVERY_S SECONDS [COMMAND...]
JOB is a program with arguments that runs to its end before each write, or empty.
It ends after SECONDS, or with COMMAND, which it starts first, in its own process group. At its end it prints how many
operations it did in how many seconds.
"""

from __future__ import annotations

import os
import struct
import sys
import time

from harness.guest.processes import rename, run, start
from harness.guest.progress import PAGE, ProgressFile, Slot, sum_up

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[], None]

STAMP = struct.Struct("=Q")
ROOM = 16 * 1024 * 1024  # the file wraps here


def make_step(path: str, job: list[str]) -> Step:
    """A step that runs the job, appends a block and waits until it is on the disk, like a program that keeps a log."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    block = bytearray(os.urandom(PAGE))
    count = 0

    def step() -> None:
        nonlocal count
        if job:
            run(job, quiet=True)
        STAMP.pack_into(block, 0, count)
        at = count * PAGE % ROOM
        if at == 0:
            os.ftruncate(fd, 0)
        if os.pwrite(fd, block, at) != PAGE:
            raise OSError("short write")
        os.fdatasync(fd)
        count += 1

    return step


def has_ended(pid: int, end: float) -> bool:
    """Whether it is time to stop; raises OSError if the load beside it failed."""
    if not pid:
        return time.monotonic() >= end
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended and status:
        raise OSError(f"the load beside it ended with status {status:#x}")
    return bool(ended)


def work(slot: Slot, path: str, job: list[str], every: float, end: float, command: list[str]) -> None:
    """Write until it is time to stop."""
    step = make_step(path, job)
    pid = start(command) if command else 0
    while not has_ended(pid, end):
        due = time.monotonic() + every
        step()
        slot.add(1, PAGE)
        time.sleep(max(0.0, due - time.monotonic()))


def main() -> int:
    """Write; exit code 0 on success."""
    path, job = sys.argv[2], sys.argv[3].split()
    every, seconds, command = float(sys.argv[4]), float(sys.argv[5]), sys.argv[6:]
    progress = ProgressFile(sys.argv[1], 1)
    slot = progress.slot(0)
    rename("paced")
    progress.announce()
    begun = time.monotonic()
    good = slot.work("writer", lambda: work(slot, path, job, every, begun + seconds, command))
    sum_up(slot.operations, begun)
    return 0 if good else 1
