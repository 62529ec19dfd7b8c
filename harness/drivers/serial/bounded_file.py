"""A file that never grows past a limit, whatever is written to it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import BinaryIO


class BoundedFile:
    """A file of at most about `limit` bytes that keeps the beginning and the end of the data written to it.

    All data is written at once, so a killed harness loses nothing. The first half of the limit goes to the file itself,
    the rest to `<name>.new`, which becomes `<name>.old` when it is a quarter long. `close` joins them, with a line that
    says how much is missing in between.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self._head_limit, self._part_limit = max(1, limit // 2), max(1, limit // 4)
        self._new, self._old = path.with_name(path.name + ".new"), path.with_name(path.name + ".old")
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._room = self._head_limit
        self._in_head = True
        self._dropped = 0
        self._closed = False
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append within the limit; does nothing after `close`. Raises OSError when the disk is full."""
        with self._lock:
            view = memoryview(data)
            while view and not self._closed:
                if not self._room:
                    self._next_part()
                written = self._file.write(view[: self._room])
                self._room -= written
                view = view[written:]

    def _next_part(self) -> None:
        self._file.close()
        if not self._in_head:
            if self._old.exists():
                self._dropped += self._old.stat().st_size
            self._new.replace(self._old)
        self._in_head = False
        self._file = self._new.open("wb", buffering=0)
        self._room = self._part_limit

    def close(self) -> None:
        """Join the parts; safe to call again. On a full disk they stay beside the file, as they are."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(OSError):
                self._file.close()
                self._join()

    def _join(self) -> None:
        parts = [part for part in (self._old, self._new) if part.exists()]
        with self.path.open("ab") as whole:
            if self._dropped:
                whole.write(b"\n[harness: %d bytes left out here]\n" % self._dropped)
            for part in parts:
                whole.write(part.read_bytes())
        for part in parts:
            part.unlink()
