#!/usr/bin/env python3
"""A live load with a steady pace: synchronous writes, forks, or nothing but computing, until it is killed.

What a healthy host can do for ever, so whatever stops it is not the load's own doing. Runs on the host under test;
standard library only. Progress goes through a shared file whose layout docs/agent.md gives.

usage: steady.py PROGRESS WORKERS MODE PATH BLOCK SECONDS
  write    each worker writes blocks past the page cache, synchronously (O_DIRECT, O_DSYNC), round its region of PATH
  fsync    the same through the page cache, with fsync after each block
  fork     each worker starts /bin/true and waits for it
  spin     each worker computes
SECONDS other than 0 ends it after that time, and it prints how many operations it did in how many seconds.
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

    Step = Callable[[], tuple[int, int]]  # does one piece of work, returns operations and bytes

HEADER = struct.Struct("=8sIIII")
MAGIC = b"HRNSPRG1"
WORKER = struct.Struct("=QQII")
SLOT = 64
COUNTS = struct.Struct("=QQ")
STAMP = struct.Struct("=QQ")
PAGE = 4096
RUNNING, FINISHED, FAILED = 1, 2, 3
REGION = 8 * 1024 * 1024
CHUNK = 20_000  # rounds of a loop: milliseconds, also under emulation


def rename(name: str) -> None:
    """Name this process, so that the OOM killer's line names the workload."""
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)


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
    pid = os.fork()
    if pid == 0:
        try:
            os.execv("/bin/true", ["true"])
        finally:
            os._exit(127)
    status = os.waitpid(pid, 0)[1]
    if status:
        raise OSError(f"/bin/true ended with status {status:#x}")
    return 1, 0


def spin_step() -> tuple[int, int]:
    """Computes for a while."""
    total = 0
    for number in range(CHUNK):
        total += number & 7
    return 1, 0


def make_step(mode: str, path: str, worker: int, block: int) -> Step:
    """What one worker does again and again."""
    if mode == "write":
        return write_step(path, worker, block, os.O_DIRECT | os.O_DSYNC, lambda fd: None)
    if mode == "fsync":
        return write_step(path, worker, block, 0, os.fsync)
    return {"fork": fork_step, "spin": spin_step}[mode]


def work(shared: mmap.mmap, worker: int, mode: str, path: str, block: int, seconds: float) -> bool:
    """One process, until it is killed, or its time is over, or its work fails."""
    offset = 64 + worker * SLOT
    operations = moved = 0
    WORKER.pack_into(shared, offset, 0, 0, RUNNING, os.getpid())
    end = time.monotonic() + seconds if seconds else float("inf")
    state = FAILED
    try:
        step = make_step(mode, path, worker, block)
        while time.monotonic() < end:
            done, size = step()
            operations += done
            moved += size
            COUNTS.pack_into(shared, offset, operations, moved)
        state = FINISHED
    except Exception as error:  # whatever it is: a worker that just vanished would look like one that hangs
        print(f"worker {worker}: {error!r}", flush=True)
    WORKER.pack_into(shared, offset, operations, moved, state, os.getpid())
    return state == FINISHED


def main() -> int:
    """Start the workers and wait for them; exit code 0 if none of them failed."""
    progress, mode, path = sys.argv[1], sys.argv[3], sys.argv[4]
    workers, block, seconds = int(sys.argv[2]), int(sys.argv[5]), float(sys.argv[6])
    with open(progress, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 64 + workers * SLOT)
    rename("steady")
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    HEADER.pack_into(shared, 0, MAGIC, workers, SLOT, os.getpgrp(), 0)
    begun = time.monotonic()
    children = []
    for worker in range(workers):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if work(shared, worker, mode, path, block, seconds) else 1)
        children.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in children]
    if seconds:
        total = sum(COUNTS.unpack_from(shared, 64 + worker * SLOT)[0] for worker in range(workers))
        print(f"{total} operations in {time.monotonic() - begun:.3f} s", flush=True)
    return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
