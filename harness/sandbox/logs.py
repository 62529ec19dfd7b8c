"""Serial console logs of a sandbox's hosts, from the beginning and live."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from harness.model.clock import Clock
from harness.results.text import plain

POLL_S = 0.2


class Tail:
    """Reads a file of `drivers.serial.bounded_file.BoundedFile` while it is written, part after part."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new, self._old = path.with_name(path.name + ".new"), path.with_name(path.name + ".old")
        self._file: BinaryIO | None = None
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
        self._rest = ""

    def lines(self) -> Iterator[str]:
        """The complete lines since the last call."""
        while data := self._more():
            *lines, self._rest = (self._rest + self._decode(data)).split("\n")
            yield from lines

    def rest(self) -> str:
        """The last line, which is not complete yet."""
        return self._rest

    def _more(self) -> bytes:
        if self._file is None:
            if not self._path.exists():
                return b""
            self._file = self._path.open("rb")
        data = self._file.read(1 << 20)
        if not data and (following := self._next()) is not None:
            data = self._file.read()  # the rest that was written before the next part began
            self._file.close()
            self._file = following
            return data or self._more()
        return data

    def _next(self) -> BinaryIO | None:
        """The part after the open one, or None."""
        assert self._file is not None
        inode = os.fstat(self._file.fileno()).st_ino
        if inode == _inode(self._new):
            return None
        # After the first part, and parts that were deleted meanwhile, comes the older of the remaining parts.
        names = [self._new] if inode == _inode(self._old) else [self._old, self._new]
        for name in names:
            with suppress(FileNotFoundError):
                following = name.open("rb")
                if os.fstat(following.fileno()).st_ino != inode:  # renamed between two looks
                    return following
                following.close()
        return None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def show(
    consoles: Mapping[str, Path], write: Callable[[str], None], *, going_on: Callable[[], bool], clock: Clock
) -> None:
    """Write the lines of each host's console, with the host's name if there are several, while `going_on()`.

    Control characters of guests are made safe to show. A last incomplete line is written at the end.
    """
    tails = {host: Tail(path) for host, path in consoles.items()}
    mark = "{}: {}".format if len(tails) > 1 else "{1}".format
    try:
        while True:
            more = going_on()
            for host, tail in tails.items():
                for line in tail.lines():
                    write(mark(host, plain(line.rstrip("\r"))))
            if not more:
                break
            clock.sleep(POLL_S)
        for host, tail in tails.items():
            if tail.rest():
                write(mark(host, plain(tail.rest())))
    finally:
        for tail in tails.values():
            tail.close()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
