"""The record of acknowledged writes in shared memory, which outlives the workers."""

from __future__ import annotations

import mmap
import os
import struct

FIRST = 64  # bytes of the header: number of workers, and times that fit for each
ENTRY = struct.Struct("=32sQQQIIddI")  # name, acknowledged, checked, lost, refused, errno, launch, end, over
ENTRY_SIZE = 128
TIME = struct.Struct("=d")  # of each acknowledgement; after the entries of all workers


def size_of(workers: int, capacity: int) -> int:
    """Bytes of a record with room for `capacity` acknowledgements of each worker."""
    return FIRST + workers * (ENTRY_SIZE + capacity * TIME.size)


class Record:
    """An entry for each worker, and the time of each acknowledgement."""

    def __init__(self, path: str, workers: int) -> None:
        fd = os.open(path, os.O_RDWR)
        try:
            self.memory = mmap.mmap(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        self.capacity = (len(self.memory) - FIRST - workers * ENTRY_SIZE) // workers // TIME.size
        for offset in range(0, len(self.memory), mmap.PAGESIZE):
            self.memory[offset] = 0  # allocates the page now
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
        """The number of workers."""
        return int(struct.unpack_from("=I", self.memory, 0)[0])

    def put(self, worker: int, entry: Entry) -> None:
        """Store a worker's entry."""
        values = (entry.acknowledged, entry.checked, entry.lost, entry.refused, entry.errno)
        times = (entry.launch, entry.end, entry.over)
        ENTRY.pack_into(self.memory, self._at(worker), entry.name.encode(), *values, *times)

    def get(self, worker: int) -> Entry:
        """A worker's entry."""
        name, *values = ENTRY.unpack_from(self.memory, self._at(worker))
        entry = Entry(name.rstrip(b"\0").decode())
        entry.acknowledged, entry.checked, entry.lost, entry.refused, entry.errno = values[:5]
        entry.launch, entry.end, entry.over = values[5:]
        return entry

    def acknowledge(self, worker: int, number: int, now: float) -> None:
        """Store the time at which a write was acknowledged."""
        TIME.pack_into(self.memory, self._times_at(worker) + number * TIME.size, now)

    def times(self, worker: int) -> list[float]:
        """The times of a worker's acknowledged writes."""
        begin = self._times_at(worker)
        count = self.get(worker).acknowledged
        return [time for (time,) in TIME.iter_unpack(self.memory[begin : begin + count * TIME.size])]

    def _at(self, worker: int) -> int:
        return FIRST + worker * ENTRY_SIZE

    def _times_at(self, worker: int) -> int:
        return self._at(self.workers) + worker * self.capacity * TIME.size


class Entry:
    """The state of one worker. `refused` counts failed writes that were repeated; `errno` is the last reason."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged = self.checked = self.lost = self.refused = self.errno = self.over = 0
        self.launch = self.end = 0.0
