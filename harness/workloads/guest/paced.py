#!/usr/bin/env python3
"""A time-critical writer: a small synchronous write every so often, perhaps after a small program.

It asks next to nothing of a machine, so whatever holds it up is what the machine does to everybody. Runs on the host
under test; standard library only. Progress goes through a shared file whose layout docs/agent.md gives; one operation
is a write.

usage: paced.py PROGRESS FILE JOB EVERY_S SECONDS [COMMAND...]
JOB is a program and its arguments, which runs to its end before each write, or nothing.
It ends after SECONDS, or with COMMAND, which it starts first and which stays in its process group. At its end it prints
how many operations it did in how many seconds.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[], None]

HEADER = struct.Struct("=8sIIII")
MAGIC = b"HRNSPRG1"
WORKER = struct.Struct("=QQII")
SLOT = 64
COUNTS = struct.Struct("=QQ")
STAMP = struct.Struct("=Q")
PAGE = 4096
ROOM = 16 * 1024 * 1024  # it begins anew here
RUNNING, FINISHED, FAILED = 1, 2, 3


def start(command: list[str], *, quiet: bool = False) -> int:
    """Start a program; returns its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            if quiet:
                os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    return pid


def run(job: list[str]) -> None:
    """Start a program as a shell does, and wait for it."""
    status = os.waitpid(start(job, quiet=True), 0)[1]
    if status:
        raise OSError(f"{job[0]} ended with status {status:#x}")


def make_step(path: str, job: list[str]) -> Step:
    """Does its job, appends a block and waits until that is on the disk, as whatever keeps a log does."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    block = bytearray(os.urandom(PAGE))
    count = 0

    def step() -> None:
        nonlocal count
        if job:
            run(job)
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
    """Whether it is time to stop; raises OSError where the load beside it failed."""
    if not pid:
        return time.monotonic() >= end
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended and status:
        raise OSError(f"the load beside it ended with status {status:#x}")
    return bool(ended)


def work(shared: mmap.mmap, make: Callable[[], Step], every: float, seconds: float, command: list[str]) -> bool:
    """Write until it is time to stop; returns whether all went well."""
    operations = 0
    WORKER.pack_into(shared, 64, 0, 0, RUNNING, os.getpid())
    HEADER.pack_into(shared, 0, MAGIC, 1, SLOT, os.getpgrp(), 0)
    state = FAILED
    begun = time.monotonic()
    try:
        step = make()
        pid = start(command) if command else 0
        while not has_ended(pid, begun + seconds):
            due = time.monotonic() + every
            step()
            operations += 1
            COUNTS.pack_into(shared, 64, operations, operations * PAGE)
            time.sleep(max(0.0, due - time.monotonic()))
        state = FINISHED
    except OSError as error:  # a worker that just vanished would look like one that hangs
        print(f"writer: {error!r}", flush=True)
    WORKER.pack_into(shared, 64, operations, operations * PAGE, state, os.getpid())
    print(f"{operations} operations in {time.monotonic() - begun:.3f} s", flush=True)
    return state == FINISHED


def main() -> int:
    """Write; exit code 0 if all went well."""
    progress, path, job = sys.argv[1], sys.argv[2], sys.argv[3].split()
    every, seconds, command = float(sys.argv[4]), float(sys.argv[5]), sys.argv[6:]
    with open(progress, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 64 + SLOT)
    with open("/proc/self/comm", "w") as comm:
        comm.write("paced")  # so that the OOM killer's line names the workload
    return 0 if work(shared, lambda: make_step(path, job), every, seconds, command) else 1


if __name__ == "__main__":
    sys.exit(main())
