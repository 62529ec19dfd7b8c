#!/usr/bin/env python3
"""Readers that go round the files of a folder for ever: on an NFSv4 mount the client comes to hold delegations of them.

Whoever holds one need not ask the server at an open, and has to return it before the inode can go. Runs on the host
under test; standard library only. Progress goes through a shared file whose layout docs/agent.md gives.

usage: delegations.py PROGRESS WORKERS FOLDER ROUNDS
Each worker opens, reads and closes one file after the other. ROUNDS other than 0 ends it when each has gone round the
files so often, and it prints how many operations it did in how many seconds.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time

HEADER = struct.Struct("=8sIIII")
MAGIC = b"HRNSPRG1"
WORKER = struct.Struct("=QQII")
COUNTS = struct.Struct("=QQ")
FIRST, SLOT = 64, 64
PAGE = 4096
RUNNING, FINISHED, FAILED = 1, 2, 3
PAUSE_S = 0.01  # after each file: what is asked is whether reads go on, not how many there can be


def rename(name: str) -> None:
    """Name this process, so that the OOM killer's line names the workload."""
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)


def read(path: str) -> int:
    """Open, read and close a file; returns its bytes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return len(os.read(fd, PAGE))
    finally:
        os.close(fd)


def work(shared: mmap.mmap, worker: int, folder: str, rounds: int) -> bool:
    """One process: round the files until it is killed, or has gone round often enough, or a read fails."""
    offset = FIRST + worker * SLOT
    operations = moved = 0
    WORKER.pack_into(shared, offset, 0, 0, RUNNING, os.getpid())
    state = FAILED
    try:
        paths = [f"{folder}/{name}" for name in sorted(os.listdir(folder))]
        if not paths:
            raise OSError(f"no file in {folder}")
        while not rounds or operations < rounds * len(paths):
            moved += read(paths[operations % len(paths)])
            operations += 1
            COUNTS.pack_into(shared, offset, operations, moved)
            time.sleep(PAUSE_S)
        state = FINISHED
    except Exception as error:  # whatever it is: a worker that just vanished would look like one that hangs
        print(f"worker {worker}: {error!r}", flush=True)
    WORKER.pack_into(shared, offset, operations, moved, state, os.getpid())
    return state == FINISHED


def main() -> int:
    """Start the workers and wait for them; exit code 0 if none of them failed."""
    progress, workers, folder, rounds = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    with open(progress, "r+b") as file:
        shared = mmap.mmap(file.fileno(), FIRST + workers * SLOT)
    rename("delegations")
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    HEADER.pack_into(shared, 0, MAGIC, workers, SLOT, os.getpgrp(), 0)
    begun = time.monotonic()
    children = []
    for worker in range(workers):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if work(shared, worker, folder, rounds) else 1)
        children.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in children]
    if rounds:
        total = sum(COUNTS.unpack_from(shared, FIRST + worker * SLOT)[0] for worker in range(workers))
        print(f"{total} operations in {time.monotonic() - begun:.3f} s", flush=True)
    return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
