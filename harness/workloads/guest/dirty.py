"""Dirties pages of a file or a block device, flushes them after every round, and checks them.

Every page is noise with a stamp of its writer, its number and its round. A page is read and compared before it is
overwritten; at the end the page cache is dropped and all pages are read back. Runs on the host under test; standard
library only. Progress goes through a shared file whose layout docs/agent.md gives.

usage: dirty.py PROGRESS WORKERS MODE PATH BYTES_EACH BLOCK SECONDS
  write   each worker writes blocks through the page cache to its region of PATH, fsync after each round
  mmap    it stores into shared mappings of PATH, msync after each round
  sync    as write, each block synchronously (O_DSYNC)
  direct  past the page cache (O_DIRECT), fsync after each round
After SECONDS the current round is broken off, flushed and checked.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
import time

from harness.guest.memory import LIBC
from harness.guest.processes import fork_all, lead, rename
from harness.guest.progress import ProgressFile, Slot

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Region(Protocol):
        """A worker's part of the file."""

        def put(self, offset: int, data: bytes) -> None:
            """Write a block."""

        def get(self, offset: int, size: int) -> bytes:
            """Read a block."""

        def flush(self, offset: int, size: int) -> None:
            """Write pages back and wait for them."""

        def settle(self) -> None:
            """Flush all of it to the storage (fsync)."""

        def forget(self) -> None:
            """Drop it from the page cache."""


STAMP = struct.Struct("=QQQ")
PAGE = mmap.PAGESIZE
PIECE = 1024 * 1024  # flushed at a time: flushing a whole round at once would look like a stop
WRITE_AND_WAIT = 7  # SYNC_FILE_RANGE_WAIT_BEFORE | _WRITE | _WAIT_AFTER, include/uapi/linux/fs.h
FLAGS = {"write": 0, "mmap": 0, "sync": os.O_DSYNC, "direct": os.O_DIRECT}


def write_back(fd: int, offset: int, size: int) -> None:
    """sync_file_range(2): write back these pages of a file and wait for them."""
    if LIBC.sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(size), ctypes.c_uint(WRITE_AND_WAIT)):
        raise OSError(ctypes.get_errno(), "sync_file_range: " + os.strerror(ctypes.get_errno()))


class Through:
    """A region that is written with write(2)."""

    def __init__(self, fd: int, base: int, size: int, block: int) -> None:
        self.fd, self.base, self.size = fd, base, size
        self.buffer = mmap.mmap(-1, block)  # page-aligned, as O_DIRECT wants it

    def put(self, offset: int, data: bytes) -> None:
        self.buffer[: len(data)] = data
        with memoryview(self.buffer)[: len(data)] as view:
            if os.pwrite(self.fd, view, self.base + offset) != len(data):
                raise OSError("short write")

    def get(self, offset: int, size: int) -> bytes:
        with memoryview(self.buffer)[:size] as view:
            if os.preadv(self.fd, [view], self.base + offset) != size:
                raise OSError("short read")
        return self.buffer[:size]

    def flush(self, offset: int, size: int) -> None:
        write_back(self.fd, self.base + offset, size)

    def settle(self) -> None:
        os.fsync(self.fd)

    def forget(self) -> None:
        os.posix_fadvise(self.fd, self.base, self.size, os.POSIX_FADV_DONTNEED)


class Mapped:
    """A region in a shared mapping, written by stores a page at a time."""

    def __init__(self, fd: int, base: int, size: int) -> None:
        self.fd, self.base, self.size = fd, base, size
        self.area = mmap.mmap(fd, size, offset=base)

    def put(self, offset: int, data: bytes) -> None:
        self.area[offset : offset + len(data)] = data

    def get(self, offset: int, size: int) -> bytes:
        return self.area[offset : offset + size]

    def flush(self, offset: int, size: int) -> None:
        self.area.flush(offset, size)

    def settle(self) -> None:
        os.fsync(self.fd)

    def forget(self) -> None:
        self.area.madvise(mmap.MADV_DONTNEED)  # mapped pages stay in the page cache
        os.posix_fadvise(self.fd, self.base, self.size, os.POSIX_FADV_DONTNEED)


class Dirtier:
    """One worker: rounds over its region; calls `report` with the number of pages written, flushed or compared."""

    def __init__(self, region: Region, worker: int, size: int, block: int, report: Callable[[int], None]) -> None:
        self.region, self.worker, self.size, self.block, self.report = region, worker, size, block, report
        self.noise = os.urandom(PAGE - STAMP.size)
        self.rounds = [0] * (size // block)  # the round in which each block was last written; 0: never

    def expected(self, block: int) -> bytes:
        """The expected content of a block."""
        first, pages = block * self.block // PAGE, self.block // PAGE
        return b"".join(STAMP.pack(self.worker, first + page, self.rounds[block]) + self.noise for page in range(pages))

    def work(self, end: float) -> None:
        """Rounds until `end` of the monotonic clock, then the final check of everything."""
        number = 0
        while time.monotonic() < end:
            number += 1
            self.round(number, end)
        print(f"worker {self.worker}: {number} rounds", flush=True)
        self.region.forget()
        for block, written in enumerate(self.rounds):
            if written:
                self.compare(block)

    def round(self, number: int, end: float) -> None:
        """Write every block once, and flush."""
        block = 0
        while block < len(self.rounds) and time.monotonic() < end:
            if self.rounds[block]:
                self.compare(block)
            self.rounds[block] = number
            self.region.put(block * self.block, self.expected(block))
            self.report(self.block // PAGE)
            block += 1
        for offset in range(0, block * self.block, PIECE):
            size = min(PIECE, block * self.block - offset)
            self.region.flush(offset, size)
            self.report(size // PAGE)
        self.region.settle()

    def compare(self, block: int) -> None:
        """Raises ValueError with the first wrong page if a block reads back wrong."""
        wanted, got = self.expected(block), self.region.get(block * self.block, self.block)
        if got == wanted:
            self.report(self.block // PAGE)
            return
        page = next(at for at in range(0, self.block, PAGE) if got[at : at + PAGE] != wanted[at : at + PAGE])
        stamp = STAMP.unpack_from(got, page)
        number = block * self.block // PAGE + page // PAGE
        raise ValueError(f"page {number}, written in round {self.rounds[block]}, came back wrong: {stamp}")


def open_file(path: str, mode: str, size: int) -> int:
    """Open the file with room for `size` bytes; raises OSError for a smaller device."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | FLAGS[mode], 0o600)
    if os.path.isfile(path):
        os.ftruncate(fd, size)
    elif os.lseek(fd, 0, os.SEEK_END) < size:
        raise OSError(f"{path} is smaller than {size} bytes")
    return fd


def work(slot: Slot, worker: int, mode: str, path: str, workers: int, size: int, block: int, end: float) -> None:
    """One process, until its time is over or its work fails."""
    fd = open_file(path, mode, workers * size)
    base = worker * size
    region = Mapped(fd, base, size) if mode == "mmap" else Through(fd, base, size, block)
    Dirtier(region, worker, size, block, lambda pages: slot.add(pages, pages * PAGE)).work(end)


def main() -> int:
    """Start the workers and wait for them; exit code 0 if all data read back right."""
    mode, path = sys.argv[3], sys.argv[4]
    workers, size, block = int(sys.argv[2]), int(sys.argv[5]), int(sys.argv[6])
    end = time.monotonic() + float(sys.argv[7])
    progress = ProgressFile(sys.argv[1], workers)
    rename("dirty")
    lead()
    progress.announce()

    def one(worker: int) -> bool:
        slot = progress.slot(worker)
        return slot.work(f"worker {worker}", lambda: work(slot, worker, mode, path, workers, size, block, end))

    return 0 if fork_all(workers, one) else 1
