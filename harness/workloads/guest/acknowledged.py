"""Synchronous writers that record each acknowledged write, and check in the end that none is lost.

Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives. Acknowledged writes go into a second shared file, the record; all of its memory is allocated at the start.

usage: acknowledged.py write PROGRESS RECORD FOLDER WRITERS CREATORS PER_SECOND SECONDS
         a writer keeps one file open, holds a lock on it and appends; a creator makes a file for each write. After
         SECONDS each reads back its acknowledged writes, past its page cache, and ends.
       acknowledged.py tell RECORD
         prints the record as JSON
       acknowledged.py check FOLDER NAME COUNT …
         prints, as JSON, which of the COUNT acknowledged writes of each NAME are missing
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import json
import mmap
import os
import struct
import sys
import time
import zlib

from harness.guest.processes import fork_all, lead, rename
from harness.guest.progress import PAGE, ProgressFile, Slot, sum_up
from harness.workloads.guest.acknowledged_record import Entry, Record

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = PAGE
HEAD = struct.Struct("=QI")  # number, checksum of the rest
PATIENCE = 20  # refusals in a row after which a worker gives up
RETRY_S = 0.5
PAUSE_S = 0.5  # shorter ones are not reported
PIECE = 64  # blocks that are read back at once


def block(name: str, number: int) -> bytes:
    """The data of the write `number` of the worker `name`: number, checksum, and a body unique to this write."""
    body = hashlib.sha256(b"%s %d" % (name.encode(), number)).digest() * (BLOCK // 32)
    body = body[: BLOCK - HEAD.size]
    return HEAD.pack(number, zlib.crc32(body)) + body


class Writer:
    """Appends to one file, which it keeps open and locked."""

    def __init__(self, folder: str, name: str) -> None:
        self.path = os.path.join(folder, name)
        self.fd = -1

    def write(self, number: int, data: bytes) -> None:
        """Returns when the write is acknowledged."""
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_DSYNC, 0o600)
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.pwrite(self.fd, data, number * BLOCK) != BLOCK:
            raise OSError(errno.EIO, "short write")

    def drop(self) -> None:
        """Close the file after an error; the next write opens it again."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Creator:
    """Makes a file for each write."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = os.path.join(folder, name)

    def write(self, number: int, data: bytes) -> None:
        """Returns when the file is there and has its content."""
        os.makedirs(self.folder, exist_ok=True)
        fd = os.open(os.path.join(self.folder, str(number)), os.O_WRONLY | os.O_CREAT | os.O_DSYNC, 0o600)
        try:
            if os.write(fd, data) != BLOCK:
                raise OSError(errno.EIO, "short write")
        finally:
            os.close(fd)

    def drop(self) -> None:
        """Nothing to close."""


class Reader:
    """Reads back what workers wrote, past the page cache."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.buffer = mmap.mmap(-1, PIECE * BLOCK)  # page-aligned, as O_DIRECT wants it

    def missing(self, name: str, count: int, report: Callable[[], None] = lambda: None) -> list[int]:
        """Which of the first `count` writes of `name` are missing or wrong; calls `report` for each one checked."""
        lost = []
        for number, data in self.blocks(name, count):
            if data != block(name, number):
                lost.append(number)
            report()
        return lost

    def blocks(self, name: str, count: int) -> Iterator[tuple[int, bytes]]:
        """The number and the content of each write; the content is empty if it is missing."""
        path = os.path.join(self.folder, name)
        if os.path.isdir(path):
            for number in range(count):
                yield number, self.read(os.path.join(path, str(number)), 0)[:BLOCK]
            return
        for first in range(0, count, PIECE):
            data = self.read(path, first * BLOCK)
            for place in range(min(PIECE, count - first)):
                yield first + place, data[place * BLOCK : (place + 1) * BLOCK]

    def read(self, path: str, offset: int) -> bytes:
        """Data of a file, up to the size of the buffer; empty if there is no file."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        except FileNotFoundError:
            return b""
        try:
            return self.buffer[: os.preadv(fd, [self.buffer], offset)]
        finally:
            os.close(fd)


class Worker:
    """One process that writes until its time is over, then reads back its acknowledged writes."""

    def __init__(self, slot: Slot, record: Record, number: int, folder: str, name: str) -> None:
        self.slot, self.record, self.number, self.folder = slot, record, number, folder
        self.entry = Entry(name)
        self.target = Writer(folder, name) if name.startswith("writer") else Creator(folder, name)

    def run(self, per_second: float, seconds: float) -> bool:
        """Write and read back; returns whether the worker finished."""
        return self.slot.work(self.entry.name, lambda: self.work(per_second, seconds))

    def work(self, per_second: float, seconds: float) -> None:
        """Write, then read back; after an error the record still shows how far the worker got."""
        try:
            self.entry.launch = time.monotonic()
            self.write_all(1 / per_second, self.entry.launch + seconds)
            self.entry.end = time.monotonic()
            self.check()
            self.entry.over = 1
        finally:
            self.record.put(self.number, self.entry)

    def write_all(self, interval: float, end: float) -> None:
        """Write once per `interval` until `end`, or until the record is full."""
        due = time.monotonic()
        while due < end and self.entry.acknowledged < self.record.capacity:
            time.sleep(max(0.0, due - time.monotonic()))
            self.write_one()
            due = max(due + interval, time.monotonic())

    def write_one(self) -> None:
        """Repeat the next write until it is acknowledged; raises OSError after too many refusals."""
        number = self.entry.acknowledged
        data = block(self.entry.name, number)
        for tried in range(PATIENCE):
            try:
                self.target.write(number, data)
                break
            except OSError as error:
                self.entry.refused += 1
                self.entry.errno = error.errno or errno.EIO
                self.record.put(self.number, self.entry)
                print(f"{self.entry.name}: write {number}: {error}", flush=True)
                if tried == PATIENCE - 1:
                    raise
            self.again()
        self.record.acknowledge(self.number, number, time.monotonic())
        self.entry.acknowledged += 1
        self.record.put(self.number, self.entry)
        self.slot.add(1, BLOCK)

    def again(self) -> None:
        """Close the file after a refusal; closing it may fail, too."""
        try:
            self.target.drop()
        except OSError as error:
            print(f"{self.entry.name}: close: {error}", flush=True)
        time.sleep(RETRY_S)

    def check(self) -> None:
        """Read back the acknowledged writes."""

        def report() -> None:
            self.entry.checked += 1
            self.record.put(self.number, self.entry)
            self.slot.add(1, BLOCK)

        self.entry.lost = len(Reader(self.folder).missing(self.entry.name, self.entry.acknowledged, report))


def write(path: str, kept: str, folder: str, *figures: str) -> int:
    """Start the workers and wait for them; 0 if all of them finished."""
    writers, creators = int(figures[0]), int(figures[1])
    per_second, seconds = float(figures[2]), float(figures[3])
    names = [f"writer-{number}" for number in range(writers)] + [f"creator-{number}" for number in range(creators)]
    record, progress = Record(kept, len(names)), ProgressFile(path, len(names))
    rename("acknowledged")
    lead()
    os.makedirs(folder, exist_ok=True)
    progress.announce()
    begun = time.monotonic()

    def one(number: int) -> bool:
        return Worker(progress.slot(number), record, number, folder, names[number]).run(per_second, seconds)

    good = fork_all(len(names), one)
    sum_up(sum(record.get(number).acknowledged for number in range(len(names))), begun)
    return 0 if good else 1


def pauses(entry: Entry, times: list[float], now: float) -> list[tuple[float, float]]:
    """Begin (since the launch) and length of the pauses between acknowledgements; the last may not have ended."""
    marks = [entry.launch, *times, entry.end or now]
    gaps = itertools.pairwise(marks)
    return [(round(a - entry.launch, 2), round(b - a, 2)) for a, b in gaps if b - a >= PAUSE_S]


def reported(record: Record, worker: int) -> dict[str, object]:
    """The record of one worker."""
    entry = record.get(worker)
    kept = ("name", "acknowledged", "checked", "lost", "refused", "over")
    about: dict[str, object] = {name: getattr(entry, name) for name in kept}
    about["error"] = os.strerror(entry.errno) if entry.errno else ""
    about["pauses"] = pauses(entry, record.times(worker), time.monotonic())
    return about


def tell(path: str) -> int:
    """Print a record."""
    record = Record.read(path)
    print(json.dumps([reported(record, worker) for worker in range(record.workers)]))
    return 0


def check(folder: str, *pairs: str) -> int:
    """Print which acknowledged writes are missing."""
    reader = Reader(folder)
    counts = zip(pairs[::2], pairs[1::2], strict=True)
    print(json.dumps({name: reader.missing(name, int(count)) for name, count in counts}))
    return 0


def main() -> int:
    """Run the command of the command line."""
    verb, *arguments = sys.argv[1:]
    if verb == "write":
        return write(*arguments)
    return tell(*arguments) if verb == "tell" else check(*arguments)
