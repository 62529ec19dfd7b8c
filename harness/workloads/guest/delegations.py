"""Readers of the files of a folder, again and again; on an NFSv4 mount the client gets delegations of them.

A client with a delegation need not ask the server at an open, but has to return it before it can evict the inode. Runs
on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md gives.

usage: delegations.py PROGRESS WORKERS FOLDER ROUNDS
Each worker opens, reads and closes one file after the other. With ROUNDS other than 0 it ends after that many rounds of
each worker, and prints how many operations it did in how many seconds.
"""

from __future__ import annotations

import os
import sys
import time

from harness.guest.processes import fork_all, lead, rename
from harness.guest.progress import PAGE, ProgressFile, Slot, sum_up

PAUSE_S = 0.01  # after each file: the load shows whether reads go on, not their highest rate


def read(path: str) -> int:
    """Open, read and close a file; returns its bytes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return len(os.read(fd, PAGE))
    finally:
        os.close(fd)


def work(slot: Slot, folder: str, rounds: int) -> None:
    """One process: read the files until it is killed, `rounds` are done, or a read fails."""
    paths = [f"{folder}/{name}" for name in sorted(os.listdir(folder))]
    if not paths:
        raise OSError(f"no file in {folder}")
    while not rounds or slot.operations < rounds * len(paths):
        slot.add(1, read(paths[slot.operations % len(paths)]))
        time.sleep(PAUSE_S)


def main() -> int:
    """Start the workers and wait for them; exit code 0 if none of them failed."""
    workers, folder, rounds = int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    progress = ProgressFile(sys.argv[1], workers)
    rename("delegations")
    lead()
    progress.announce()
    begun = time.monotonic()

    def one(worker: int) -> bool:
        slot = progress.slot(worker)
        return slot.work(f"worker {worker}", lambda: work(slot, folder, rounds))

    good = fork_all(workers, one)
    if rounds:
        sum_up(progress.total(), begun)
    return 0 if good else 1
