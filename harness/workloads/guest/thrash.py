"""Swap thrash: processes that fill anonymous mappings and then read them linearly, again and again.

The load of the series "Swap-over-NBD without deadlocking" (2012): 8 processes a processor, 4 x physical memory in
all. Every page carries a stamp of its writer and its number, so pages that come back from swap are checked as well.
Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives; the agent locks it in memory.

usage: thrash.py PROGRESS WORKERS BYTES_EACH PASSES anonymous|shmem reads|fills
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from itertools import repeat

from harness.guest.processes import Meeting, fork_all, lead, rename
from harness.guest.progress import ProgressFile, Slot

STAMP = struct.Struct("=QQ")
PAGE = mmap.PAGESIZE
SHARING = {"anonymous": mmap.MAP_PRIVATE, "shmem": mmap.MAP_SHARED}


def fill(area: mmap.mmap, pages: int, worker: int, slot: Slot) -> None:
    """Write every page; reading untouched anonymous memory would map the zero page and swap nothing."""
    noise = os.urandom(PAGE)  # so that zswap, if it is on, cannot compress the pages
    for page in range(pages):
        area[page * PAGE : (page + 1) * PAGE] = noise
        STAMP.pack_into(area, page * PAGE, worker, page)
        slot.add(1, PAGE)


def filled_area(memory: str, pages: int, worker: int, slot: Slot) -> mmap.mmap:
    """A new mapping with every page written."""
    area = mmap.mmap(-1, pages * PAGE, flags=SHARING[memory] | mmap.MAP_ANONYMOUS)
    fill(area, pages, worker, slot)
    return area


def check(area: mmap.mmap, pages: int, worker: int, slot: Slot) -> None:
    """Read every page, and compare its stamp."""
    for page in range(pages):
        if STAMP.unpack_from(area, page * PAGE) != (worker, page):
            raise ValueError(f"page {page} came back wrong")
        slot.add(1, PAGE)


def work(slot: Slot, worker: int, size: int, passes: int, memory: str, filled: Meeting, refills: bool = False) -> None:
    """One process: fill, then `passes` reads, or endless reads with 0; with `refills` fill a new mapping each time.

    All processes fill before any reads. Otherwise, on a host with few processors, the first would finish and free its
    memory before the last has begun, and nothing would be swapped out.
    """
    pages = size // PAGE
    area = filled_area(memory, pages, worker, slot)
    filled.come()
    for _ in range(passes) if passes else repeat(0):
        if refills:
            area.close()
            area = filled_area(memory, pages, worker, slot)
        else:
            check(area, pages, worker, slot)


def main() -> int:
    """Start the workers and wait for them; exit code 0 if every one finished its passes."""
    workers, size, passes = (int(word) for word in sys.argv[2:5])
    memory, refills = sys.argv[5], sys.argv[6] == "fills"
    progress = ProgressFile(sys.argv[1], workers)
    rename("thrash")
    lead()
    progress.announce()
    filled = Meeting()

    def one(worker: int) -> bool:
        slot = progress.slot(worker)
        return slot.work(f"worker {worker}", lambda: work(slot, worker, size, passes, memory, filled, refills))

    good = fork_all(workers, one, filled)
    time.sleep(0.1)
    return 0 if good else 1
