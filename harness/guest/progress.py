"""The progress file: counters of a load's workers, in shared memory that the agent reads. See docs/agent.md."""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time

from harness.guest.processes import reported

TYPE_CHECKING = False  # type checkers take this as true; on the host nothing is imported
if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = b"HRNSPRG1"
HEADER = struct.Struct("=8sIIII")  # magic, workers, slot size, process group, reserved
WORKER = struct.Struct("=QQII")  # operations, bytes, state, pid
STATE = struct.Struct("=II")  # the end of WORKER
FIRST, SLOT_SIZE = 64, 64
RUNNING, FINISHED, FAILED = 1, 2, 3
PAGE = 4096  # bytes that one operation should have


def size_of(workers: int) -> int:
    """Bytes of a progress file."""
    return FIRST + workers * SLOT_SIZE


class Slot:
    """The counters of one worker; counting makes no system call.

    Each number is stored at once, all eight bytes: struct.pack_into() zeroes its place before it writes, and the agent
    would then see a worker that has done nothing and does not exist.
    """

    def __init__(self, memory: mmap.mmap, worker: int) -> None:
        self.offset = FIRST + worker * SLOT_SIZE
        self.words = memoryview(memory)[self.offset :][: WORKER.size].cast("Q")
        self.operations = self.moved = 0

    def count(self, operations: int, moved: int) -> None:
        """Set the worker's totals."""
        self.operations, self.moved = operations, moved
        self.words[0], self.words[1] = operations, moved

    def add(self, operations: int, moved: int) -> None:
        """Add to the worker's totals."""
        self.count(self.operations + operations, self.moved + moved)

    def show(self, state: int, pid: int | None = None) -> None:
        """Set the state of the worker, which is this process unless `pid` names another."""
        self.count(self.operations, self.moved)
        self.words[2] = int.from_bytes(STATE.pack(state, os.getpid() if pid is None else pid), sys.byteorder)

    def work(self, name: str, work: Callable[[], object]) -> bool:
        """Do all of a worker's work; returns whether it finished, and prints under `name` why not."""
        self.show(RUNNING)
        good = reported(name, work)
        self.show(FINISHED if good else FAILED)
        return good


class ProgressFile:
    """The whole file, which must exist with its final size."""

    def __init__(self, path: str, workers: int) -> None:
        self.workers = workers
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), size_of(workers))

    def slot(self, worker: int) -> Slot:
        """The slot of a worker."""
        return Slot(self.memory, worker)

    def announce(self) -> None:
        """Have the agent read the file from now on, and stop and kill the process group of this process if asked to."""
        HEADER.pack_into(self.memory, 0, MAGIC, self.workers, SLOT_SIZE, os.getpgrp(), 0)

    def total(self) -> int:
        """Operations of all workers."""
        return sum(WORKER.unpack_from(self.memory, FIRST + worker * SLOT_SIZE)[0] for worker in range(self.workers))


def sum_up(operations: int, begun: float) -> None:
    """Print the operations since `begun` on the monotonic clock."""
    print(f"{operations} operations in {time.monotonic() - begun:.3f} s", flush=True)
