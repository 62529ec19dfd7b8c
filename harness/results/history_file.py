"""The history file of one trial: appended line by line as things happen, readable after a `kill -9`."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from pathlib import Path

from harness.model.history import Event
from harness.results.files import disk_errors

_LATEST_S = 1e7  # four months: no trial is that long, but a damaged number can be


class HistoryWriter:
    """Appends events to a history file, from any thread of one process.

    Every event is one unbuffered write, so it survives a `kill -9` of the harness. A write that fails is
    undone, so no partial line stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._handle: int | None = None

    def append(self, event: Event) -> None:
        """Write one event; raises HostEnvironmentError when the disk is full."""
        line = (event.to_json() + "\n").encode("ascii")
        with self._lock, disk_errors(self._path):
            self._write(self._opened(), line)

    def close(self) -> None:
        """Close the file; a later `append` opens it again."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def _opened(self) -> int:
        if self._handle is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._handle = os.open(self._path, flags, 0o644)
            self._drop_cut_line(self._handle)
        return self._handle

    def _drop_cut_line(self, handle: int) -> None:
        """Remove the partial last line of a killed writer, which would spoil the next line."""
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            os.ftruncate(handle, self._path.read_bytes().rfind(b"\n") + 1)

    def _write(self, handle: int, line: bytes) -> None:
        start = os.fstat(handle).st_size
        try:
            done = 0
            while done < len(line):
                done += os.write(handle, line[done:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, start)
            raise


def scan_history(path: Path) -> tuple[list[Event], list[int]]:
    """The events of a history file, and the 1-based numbers of the damaged lines.

    A last line cut short by a kill is left out of both. A missing file has no events.
    """
    events: list[Event] = []
    damaged: list[int] = []
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return events, damaged
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        event = _event(line)
        if event is None:
            damaged.append(number)
        else:
            events.append(event)
    return events, damaged


def _event(line: bytes) -> Event | None:
    try:
        event = Event.from_json(line.decode("utf-8"))
    except (ValueError, RecursionError, OverflowError):
        return None
    return event if math.isfinite(event.t) and 0 <= event.t < _LATEST_S else None
