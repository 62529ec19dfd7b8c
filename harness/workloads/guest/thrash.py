#!/usr/bin/env python3
"""Swap thrash: processes that fill anonymous mappings and then read them linearly, again and again.

The load of the series "Swap-over-NBD without deadlocking" (2012): 8 processes a processor, 4 x physical memory in
all. Every page carries who wrote it and which page it is, so that what comes back from swap is checked as well.
Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives; the agent locks it in memory.

usage: thrash.py PROGRESS WORKERS BYTES_EACH PASSES anonymous|shmem
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from itertools import repeat

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = struct.Struct("=8sIIII")
MAGIC = b"HRNSPRG1"
WORKER = struct.Struct("=QQII")
SLOT = 64
STAMP = struct.Struct("=QQ")
COUNTS = struct.Struct("=QQ")
PAGE = mmap.PAGESIZE
RUNNING, FINISHED, FAILED = 1, 2, 3
SHARING = {"anonymous": mmap.MAP_PRIVATE, "shmem": mmap.MAP_SHARED}


def fill(area: mmap.mmap, pages: int, worker: int, report: Callable[[], None]) -> None:
    """Write every page; reading untouched anonymous memory would map the zero page and swap nothing."""
    noise = os.urandom(PAGE)  # so that zswap, where it is on, cannot shrink a page to nothing
    for page in range(pages):
        area[page * PAGE : (page + 1) * PAGE] = noise
        STAMP.pack_into(area, page * PAGE, worker, page)
        report()


def check(area: mmap.mmap, pages: int, worker: int, report: Callable[[], None]) -> None:
    """Read every page, and compare its stamp."""
    for page in range(pages):
        if STAMP.unpack_from(area, page * PAGE) != (worker, page):
            raise ValueError(f"page {page} came back wrong")
        report()


def work(shared: mmap.mmap, worker: int, size: int, passes: int, memory: str) -> bool:
    """One process: fill, then `passes` reads, or reads without an end."""
    pages = size // PAGE
    offset = 64 + worker * SLOT
    count = 0

    def report() -> None:
        nonlocal count
        count += 1
        COUNTS.pack_into(shared, offset, count, count * PAGE)

    with open("/proc/self/comm", "w") as name:
        name.write("thrash")  # so that the OOM killer's line names the workload
    WORKER.pack_into(shared, offset, 0, 0, RUNNING, os.getpid())
    state = FAILED
    try:
        area = mmap.mmap(-1, pages * PAGE, flags=SHARING[memory] | mmap.MAP_ANONYMOUS)
        fill(area, pages, worker, report)
        for _ in range(passes) if passes else repeat(0):
            check(area, pages, worker, report)
        state = FINISHED
    except Exception as error:  # whatever it is: a worker that just vanished would look like one that hangs
        print(f"worker {worker}: {error!r}", flush=True)
    WORKER.pack_into(shared, offset, count, count * PAGE, state, os.getpid())
    return state == FINISHED


def main() -> int:
    """Start the workers and wait for them; exit code 0 if every one finished its passes."""
    path, workers, size, passes = sys.argv[1], *(int(word) for word in sys.argv[2:5])
    memory = sys.argv[5]
    with open(path, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 64 + workers * SLOT)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    HEADER.pack_into(shared, 0, MAGIC, workers, SLOT, os.getpgrp(), 0)
    children = []
    for worker in range(workers):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if work(shared, worker, size, passes, memory) else 1)
        children.append(pid)
    good = all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    time.sleep(0.1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
