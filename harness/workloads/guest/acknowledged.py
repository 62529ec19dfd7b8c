#!/usr/bin/env python3
"""Writers that remember what they were promised: every write is synchronous, and noted once it is acknowledged.

Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives, what was acknowledged through a second one, the record, which is in memory as well, all of it from the beginning.

usage: acknowledged.py write PROGRESS RECORD FOLDER WRITERS CREATORS PER_SECOND SECONDS
         a writer keeps one file open, holds a lock on it and appends; a creator makes a file for each write. After
         SECONDS each reads back whatever was acknowledged, past its page cache, and ends.
       acknowledged.py tell RECORD
         prints what the record says, as JSON
       acknowledged.py check FOLDER NAME COUNT …
         prints, as JSON, for each NAME which of its COUNT acknowledged writes are not there
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

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADER = struct.Struct("=8sIIII")
MAGIC = b"HRNSPRG1"
WORKER = struct.Struct("=QQII")
HEADER_SIZE = 64
SLOT = 64
RUNNING, FINISHED, FAILED = 1, 2, 3
BLOCK = 4096
HEAD = struct.Struct("=QI")  # number, checksum of the rest
RECORD = struct.Struct("=32sQQQIIddI")  # name, acknowledged, checked, lost, refused, errno, launch, end, over
RECORD_SIZE = 128
TIME = struct.Struct("=d")  # of each acknowledgement; after the entries of all workers
PATIENCE = 20  # refusals in a row after which a worker gives up
RETRY_S = 0.5
PAUSE_S = 0.5  # shorter ones are not told
PIECE = 64  # blocks that are read back at once


def block(name: str, number: int) -> bytes:
    """What the write `number` of the worker `name` writes: number, checksum, and a body that only it has."""
    body = hashlib.sha256(b"%s %d" % (name.encode(), number)).digest() * (BLOCK // 32)
    body = body[: BLOCK - HEAD.size]
    return HEAD.pack(number, zlib.crc32(body)) + body


class Record:
    """What was acknowledged, and when, in shared memory."""

    def __init__(self, path: str, workers: int) -> None:
        fd = os.open(path, os.O_RDWR)
        try:
            self.memory = mmap.mmap(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        self.capacity = (len(self.memory) - HEADER_SIZE - workers * RECORD_SIZE) // workers // TIME.size
        for offset in range(0, len(self.memory), mmap.PAGESIZE):
            self.memory[offset] = 0  # there is memory for it now
        struct.pack_into("=II", self.memory, 0, workers, self.capacity)

    @classmethod
    def read(cls, path: str) -> Record:
        """The record in a file."""
        found = cls.__new__(cls)
        with open(path, "rb") as file:
            found.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        found.capacity = struct.unpack_from("=II", found.memory, 0)[1]
        return found

    @property
    def workers(self) -> int:
        """How many there are."""
        return int(struct.unpack_from("=I", self.memory, 0)[0])

    def put(self, worker: int, entry: Entry) -> None:
        """Write down how it stands."""
        values = (entry.acknowledged, entry.checked, entry.lost, entry.refused, entry.errno)
        times = (entry.launch, entry.end, entry.over)
        RECORD.pack_into(self.memory, self._at(worker), entry.name.encode(), *values, *times)

    def get(self, worker: int) -> Entry:
        """How it stands."""
        name, *values = RECORD.unpack_from(self.memory, self._at(worker))
        entry = Entry(name.rstrip(b"\0").decode())
        entry.acknowledged, entry.checked, entry.lost, entry.refused, entry.errno = values[:5]
        entry.launch, entry.end, entry.over = values[5:]
        return entry

    def acknowledge(self, worker: int, number: int, now: float) -> None:
        """Note when a write was acknowledged."""
        TIME.pack_into(self.memory, self._times_at(worker) + number * TIME.size, now)

    def times(self, worker: int) -> list[float]:
        """When each acknowledged write was."""
        begin = self._times_at(worker)
        count = self.get(worker).acknowledged
        return [time for (time,) in TIME.iter_unpack(self.memory[begin : begin + count * TIME.size])]

    def _at(self, worker: int) -> int:
        return HEADER_SIZE + worker * RECORD_SIZE

    def _times_at(self, worker: int) -> int:
        return self._at(self.workers) + worker * self.capacity * TIME.size


class Entry:
    """How one worker stands; `refused` counts writes that failed and were tried again, `errno` is the last reason."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged = self.checked = self.lost = self.refused = self.errno = self.over = 0
        self.launch = self.end = 0.0


class Writer:
    """Appends to one file that stays open, and on which it holds a lock."""

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
        """Close the file, as one does after an error; the next write opens it anew."""
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
        """Nothing stays open."""


class Reader:
    """Reads back what workers wrote, past the page cache."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.buffer = mmap.mmap(-1, PIECE * BLOCK)  # page-aligned, as O_DIRECT wants it

    def missing(self, name: str, count: int, report: Callable[[], None] = lambda: None) -> list[int]:
        """Which of the first `count` writes of `name` are not there as they were written; `report` gets each."""
        lost = []
        for number, data in self.blocks(name, count):
            if data != block(name, number):
                lost.append(number)
            report()
        return lost

    def blocks(self, name: str, count: int) -> Iterator[tuple[int, bytes]]:
        """The number and the content of each; what is not there is empty."""
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
        """As much of a file as the buffer takes; nothing where there is no file."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        except FileNotFoundError:
            return b""
        try:
            return self.buffer[: os.preadv(fd, [self.buffer], offset)]
        finally:
            os.close(fd)


class Worker:
    """One process that writes until its time is over, and then reads back what was acknowledged."""

    def __init__(self, shared: mmap.mmap, record: Record, number: int, folder: str, name: str) -> None:
        self.shared, self.record, self.number, self.folder = shared, record, number, folder
        self.entry = Entry(name)
        self.target = Writer(folder, name) if name.startswith("writer") else Creator(folder, name)
        self.operations = 0

    def run(self, per_second: float, seconds: float) -> bool:
        """All of it; returns whether the worker came to its end."""
        state = FAILED
        try:
            self.show(RUNNING)
            self.entry.launch = time.monotonic()
            self.write_all(1 / per_second, self.entry.launch + seconds)
            self.entry.end = time.monotonic()
            self.check()
            self.entry.over = 1
            state = FINISHED
        except Exception as error:  # whatever it is: a worker that just vanished would look like one that hangs
            print(f"{self.entry.name}: {error!r}", flush=True)
        self.record.put(self.number, self.entry)
        self.show(state)
        return state == FINISHED

    def write_all(self, interval: float, end: float) -> None:
        """A write each `interval`, until `end` or until the record is full."""
        due = time.monotonic()
        while due < end and self.entry.acknowledged < self.record.capacity:
            time.sleep(max(0.0, due - time.monotonic()))
            self.write_one()
            due = max(due + interval, time.monotonic())

    def write_one(self) -> None:
        """The next write, again and again until it is acknowledged; raises OSError when it is refused for good."""
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
        self.advance()

    def again(self) -> None:
        """Begin anew after a refusal; closing the file may well fail as well."""
        try:
            self.target.drop()
        except OSError as error:
            print(f"{self.entry.name}: close: {error}", flush=True)
        time.sleep(RETRY_S)

    def check(self) -> None:
        """Read back what was acknowledged."""

        def report() -> None:
            self.entry.checked += 1
            self.record.put(self.number, self.entry)
            self.advance()

        self.entry.lost = len(Reader(self.folder).missing(self.entry.name, self.entry.acknowledged, report))

    def advance(self) -> None:
        """One operation more."""
        self.operations += 1
        self.show(RUNNING)

    def show(self, state: int) -> None:
        """Report to the agent."""
        offset = HEADER_SIZE + self.number * SLOT
        WORKER.pack_into(self.shared, offset, self.operations, self.operations * BLOCK, state, os.getpid())


def write(progress: str, path: str, folder: str, *figures: str) -> int:
    """Start the workers and wait for them; 0 if all of them came to their end."""
    writers, creators = int(figures[0]), int(figures[1])
    per_second, seconds = float(figures[2]), float(figures[3])
    names = [f"writer-{number}" for number in range(writers)] + [f"creator-{number}" for number in range(creators)]
    record = Record(path, len(names))
    with open(progress, "r+b") as file:
        shared = mmap.mmap(file.fileno(), HEADER_SIZE + len(names) * SLOT)
    with open("/proc/self/comm", "w") as comm:
        comm.write("acknowledged")  # so that the OOM killer's line names the workload
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    os.makedirs(folder, exist_ok=True)
    HEADER.pack_into(shared, 0, MAGIC, len(names), SLOT, os.getpgrp(), 0)
    begun = time.monotonic()
    children = []
    for number, name in enumerate(names):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if Worker(shared, record, number, folder, name).run(per_second, seconds) else 1)
        children.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in children]
    done = sum(record.get(number).acknowledged for number in range(len(names)))
    print(f"{done} operations in {time.monotonic() - begun:.3f} s", flush=True)
    return 1 if any(statuses) else 0


def pauses(entry: Entry, times: list[float], now: float) -> list[tuple[float, float]]:
    """When, since the launch, nothing was acknowledged, and for how long; the last may not have ended."""
    marks = [entry.launch, *times, entry.end or now]
    gaps = itertools.pairwise(marks)
    return [(round(a - entry.launch, 2), round(b - a, 2)) for a, b in gaps if b - a >= PAUSE_S]


def told(record: Record, worker: int) -> dict[str, object]:
    """All that a record says of one worker."""
    entry = record.get(worker)
    kept = ("name", "acknowledged", "checked", "lost", "refused", "over")
    about: dict[str, object] = {name: getattr(entry, name) for name in kept}
    about["error"] = os.strerror(entry.errno) if entry.errno else ""
    about["pauses"] = pauses(entry, record.times(worker), time.monotonic())
    return about


def tell(path: str) -> int:
    """Print a record."""
    record = Record.read(path)
    print(json.dumps([told(record, worker) for worker in range(record.workers)]))
    return 0


def check(folder: str, *pairs: str) -> int:
    """Print what is missing of what was acknowledged."""
    reader = Reader(folder)
    counts = zip(pairs[::2], pairs[1::2], strict=True)
    print(json.dumps({name: reader.missing(name, int(count)) for name, count in counts}))
    return 0


def main() -> int:
    """Do what the command line says."""
    verb, *arguments = sys.argv[1:]
    if verb == "write":
        return write(*arguments)
    return tell(*arguments) if verb == "tell" else check(*arguments)


if __name__ == "__main__":
    sys.exit(main())
