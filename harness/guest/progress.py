"""The progress file: what the workers of a load have done, in shared memory that the agent reads. See docs/agent.md."""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time

from harness.guest.processes import reported

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = b"HRNSPRG1"
HEADER = struct.Struct("=8sIIII")  # magic, workers, slot size, process group, reserved
WORKER = struct.Struct("=QQII")  # operations, bytes, state, pid
STATE = struct.Struct("=II")  # its end
FIRST, SLOT_SIZE = 64, 64
RUNNING, FINISHED, FAILED = 1, 2, 3
PAGE = 4096  # what one operation should be


def size_of(workers: int) -> int:
    """Bytes of a progress file."""
    return FIRST + workers * SLOT_SIZE


class Slot:
    """Where one worker counts; to count is no system call.

    Each number is stored at once, eight bytes of it: struct.pack_into() empties its place before it writes, and who
    reads then sees a worker that has done nothing and is not there.
    """

    def __init__(self, memory: mmap.mmap, worker: int) -> None:
        self.offset = FIRST + worker * SLOT_SIZE
        self.words = memoryview(memory)[self.offset :][: WORKER.size].cast("Q")
        self.operations = self.moved = 0

    def count(self, operations: int, moved: int) -> None:
        """So many operations and bytes until now."""
        self.operations, self.moved = operations, moved
        self.words[0], self.words[1] = operations, moved

    def add(self, operations: int, moved: int) -> None:
        """So many more."""
        self.count(self.operations + operations, self.moved + moved)

    def show(self, state: int, pid: int | None = None) -> None:
        """Tell the state of the worker, which is this process unless `pid` says another."""
        self.count(self.operations, self.moved)
        self.words[2] = int.from_bytes(STATE.pack(state, os.getpid() if pid is None else pid), sys.byteorder)

    def work(self, name: str, work: Callable[[], object]) -> bool:
        """Do all of a worker's work; returns whether it came to its end, and prints under `name` why not."""
        self.show(RUNNING)
        good = reported(name, work)
        self.show(FINISHED if good else FAILED)
        return good


class ProgressFile:
    """The whole file, which is there and has its size already."""

    def __init__(self, path: str, workers: int) -> None:
        self.workers = workers
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), size_of(workers))

    def slot(self, worker: int) -> Slot:
        """The slot of a worker."""
        return Slot(self.memory, worker)

    def announce(self) -> None:
        """From now on the agent reads it; the group that it may stop and kill is that of this process."""
        HEADER.pack_into(self.memory, 0, MAGIC, self.workers, SLOT_SIZE, os.getpgrp(), 0)

    def total(self) -> int:
        """Operations of all workers."""
        return sum(WORKER.unpack_from(self.memory, FIRST + worker * SLOT_SIZE)[0] for worker in range(self.workers))


def sum_up(operations: int, begun: float) -> None:
    """Print what was done since `begun` of the monotonic clock."""
    print(f"{operations} operations in {time.monotonic() - begun:.3f} s", flush=True)
