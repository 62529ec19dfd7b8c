"""Copies a file like a crash collector, and counts the pages that have arrived.

Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives; one operation is a page of the copy.

usage: copy.py PROGRESS METHOD SOURCE TARGET
  cp      the program cp
  shutil  Python's shutil.copy
  direct  the source mapped into memory, the target written past the page cache (O_DIRECT)
Each ends when the copy is on the disk (fsync).
"""

from __future__ import annotations

import mmap
import os
import shutil
import sys
import time

from harness.guest.processes import fork, rename, reported, run
from harness.guest.progress import FAILED, FINISHED, PAGE, RUNNING, ProgressFile

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 1024 * 1024
LOOK_S = 0.2


def run_cp(source: str, target: str) -> None:
    """Copy with the program cp."""
    run(["/bin/cp", source, target])


def copy_direct(source: str, target: str) -> None:
    """Write the target with O_DIRECT from a mapping of the source: the disk reads the source's own pages."""
    with open(source, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        area = mmap.mmap(file.fileno(), size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT, 0o600)
    whole = size // PAGE * PAGE
    view = memoryview(area)
    done = 0
    while done < whole:
        done += os.write(fd, view[done : min(done + BLOCK, whole)])
    if whole < size:
        tail = mmap.mmap(-1, PAGE)  # page-aligned, as O_DIRECT wants it
        tail[: size - whole] = area[whole:size]
        os.pwrite(fd, tail, whole)
        os.ftruncate(fd, size)
    os.close(fd)


METHODS: dict[str, Callable[[str, str], object]] = {"cp": run_cp, "shutil": shutil.copy, "direct": copy_direct}


def copy(method: str, source: str, target: str) -> None:
    """Make the whole copy and flush it to the disk."""
    METHODS[method](source, target)
    fd = os.open(target, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def size_of(path: str) -> int:
    """Bytes of the copy so far."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def main() -> int:
    """Copy in a process of its own and watch the copy grow; exit code 0 if all of it is there."""
    method, source, target = sys.argv[2:5]
    progress = ProgressFile(sys.argv[1], 1)
    slot = progress.slot(0)
    rename("copy")
    if os.path.exists(target):
        os.unlink(target)  # else the size would be that of an earlier copy
    begun = time.monotonic()
    worker = fork(lambda: reported(method, lambda: copy(method, source, target)))
    slot.show(RUNNING, worker)
    progress.announce()
    while True:
        ended, status = os.waitpid(worker, os.WNOHANG)
        done = size_of(target)
        slot.count(done // PAGE, done)
        if ended:
            good = not status and done == os.stat(source).st_size
            slot.show(FINISHED if good else FAILED, worker)
            print(f"{method}: {done} bytes in {time.monotonic() - begun:.1f} s, status {status:#x}", flush=True)
            return 0 if good else 1
        time.sleep(LOOK_S)
