"""Buffered writers to files of an NFS mount, counted by the pages that reach the server.

A write into the page cache shows nothing about the storage: it is as fast as memory until too much is dirty. So one
operation is a page that the server has received, as the kernel counts them for the mount (/proc/self/mountstats). Each
writer keeps its file open from the first page to the last, since closing it would send everything (close-to-open).
Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives, in one slot for the mount. RATES is a line of text in shared memory with the rates.

usage: nfs_writers.py PROGRESS RATES WORKERS MOUNT BYTES_EACH ANONYMOUS
It allocates ANONYMOUS bytes of memory before the first write, and keeps them.
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
    """Bytes that the server of `mount` has received; raises OSError if there is no such mount."""
    with open(path) as stats:
        found = False
        for line in stats:
            if line.startswith("device "):
                found = f" mounted on {mount} with fstype nfs" in line
            elif found and line.lstrip().startswith("bytes:"):
                return int(line.split()[SERVER_WRITTEN])
    raise OSError(f"no NFS mount at {mount}")


def write(path: str, size: int) -> None:
    """Write a new file, and wait until all of it is on the server."""
    block = os.urandom(BLOCK)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for _ in range(size // BLOCK):
        if os.write(fd, block) != BLOCK:
            raise OSError("short write")
    os.fsync(fd)
    os.close(fd)


def take_memory(size: int) -> mmap.mmap | None:
    """Anonymous memory with every page written: an untouched page takes no memory."""
    if not size:
        return None
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, size, PAGE):
        area[offset] = 1
    return area


def start(path: str, size: int) -> int:
    """Start a process that writes `path`; returns its pid."""
    return fork(lambda: reported(path, lambda: write(path, size)))


def reap(pids: set[int]) -> bool:
    """Remove ended writers from `pids`; returns whether all of them succeeded."""
    good = True
    for pid in sorted(pids):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            pids.discard(pid)
            good = good and not status
    return good


class Rates:
    """Keeps a line of text: seconds, bytes, and the lowest bytes a second in any window of WINDOW_S."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), LINE)
        self.points: deque[tuple[float, int]] = deque()
        self.slowest = -1.0
        self.begun = time.monotonic()

    def add(self, moved: int) -> None:
        """Take in the number of bytes until now."""
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
    """Start the writers and count until they have ended; exit code 0 if all succeeded."""
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
