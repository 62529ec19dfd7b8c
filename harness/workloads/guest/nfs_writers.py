"""Writers to files of an NFS mount, through the page cache. What counts is what reaches the server.

A write into the page cache says nothing of the storage: it is as fast as memory until too much is dirty. So one
operation is a page that the server has taken, as the kernel counts them for the mount (/proc/self/mountstats). Each
writer keeps its file open from the first page to the last, for closing it would send everything (close-to-open).
Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives, in one slot: the mount's. How fast it went is in RATES, one line of text, in shared memory as well.

usage: nfs_writers.py PROGRESS RATES WORKERS MOUNT BYTES_EACH ANONYMOUS
ANONYMOUS bytes of memory are taken, and kept, before the first page is written.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections import deque

from harness.guest.processes import fork, lead, rename, reported
from harness.guest.progress import FAILED, FINISHED, PAGE, RUNNING, ProgressFile

BLOCK = 65536
LOOK_S = 0.25
WINDOW_S = 10.0
LINE = 80  # characters of RATES
MOUNTSTATS = "/proc/self/mountstats"
SERVER_WRITTEN = 6  # of the words after "bytes:", NFSIOS_SERVERWRITTENBYTES (include/linux/nfs_iostat.h), less one


def server_bytes(mount: str, path: str = MOUNTSTATS) -> int:
    """Bytes that the server of `mount` has taken; raises OSError if there is no such mount."""
    with open(path) as stats:
        found = False
        for line in stats:
            if line.startswith("device "):
                found = f" mounted on {mount} with fstype nfs" in line
            elif found and line.lstrip().startswith("bytes:"):
                return int(line.split()[SERVER_WRITTEN])
    raise OSError(f"no NFS mount at {mount}")


def write(path: str, size: int) -> None:
    """Write a file anew, and wait until all of it is on the server."""
    block = os.urandom(BLOCK)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for _ in range(size // BLOCK):
        if os.write(fd, block) != BLOCK:
            raise OSError("short write")
    os.fsync(fd)
    os.close(fd)


def take_memory(size: int) -> mmap.mmap | None:
    """Anonymous memory, every page of it written: an untouched one would take none."""
    if not size:
        return None
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, size, PAGE):
        area[offset] = 1
    return area


def start(path: str, size: int) -> int:
    """A process that writes `path`; returns its pid."""
    return fork(lambda: reported(path, lambda: write(path, size)))


def reap(pids: set[int]) -> bool:
    """Forget the writers that have ended; returns whether all of those did their work."""
    good = True
    for pid in sorted(pids):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            pids.discard(pid)
            good = good and not status
    return good


class Rates:
    """Notes seconds, bytes, and the fewest bytes a second in any window of WINDOW_S, in a line of text."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), LINE)
        self.points: deque[tuple[float, int]] = deque()
        self.slowest = -1.0
        self.begun = time.monotonic()

    def add(self, moved: int) -> None:
        """So many bytes until now."""
        now = time.monotonic() - self.begun
        self.points.append((now, moved))
        while len(self.points) > 2 and self.points[1][0] <= now - WINDOW_S:
            self.points.popleft()
        then, before = self.points[0]
        if now - then >= WINDOW_S:
            rate = (moved - before) / (now - then)
            self.slowest = rate if self.slowest < 0 else min(self.slowest, rate)
        self.memory[:] = f"{now:.1f} {moved} {self.slowest:.0f}".ljust(LINE - 1).encode() + b"\n"


def main() -> int:
    """Start the writers and count until they have ended; exit code 0 if each did its work."""
    rates, mount = Rates(sys.argv[2]), sys.argv[4]
    workers, size, anonymous = int(sys.argv[3]), int(sys.argv[5]), int(sys.argv[6])
    progress = ProgressFile(sys.argv[1], 1)
    slot = progress.slot(0)
    rename("nfs-writers")
    lead()
    first = server_bytes(mount)
    slot.show(RUNNING)
    progress.announce()
    kept = take_memory(anonymous)
    rates.begun = time.monotonic()
    pids = {start(f"{mount}/writer{number}", size) for number in range(workers)}
    good = True
    while pids:
        time.sleep(LOOK_S)
        good = reap(pids) and good
        moved = server_bytes(mount) - first
        slot.count(moved // PAGE, moved)
        rates.add(moved)
    slot.show(FINISHED if good else FAILED)
    if kept is not None:
        kept.close()
    print(f"{slot.operations} pages in {time.monotonic() - rates.begun:.3f} s", flush=True)
    return 0 if good else 1
