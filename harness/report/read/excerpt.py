"""Excerpts of a trial's files: bounded heads and tails, as a file may be large and hold anything."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.report.read.words import size
from harness.results.text import plain

HEAD = TAIL = 16 * 1024
_BINARY_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """The part of one file on the page: `head`, and after a cut `tail`; `note` explains the cut."""

    name: str
    size: str = ""
    head: str = ""
    tail: str = ""
    note: str = ""


def excerpt(path: Path, name: str) -> Excerpt:
    """Head and tail of a file as safe text; for binary or unreadable files only a note."""
    try:
        first, last, total = _read(path, HEAD, TAIL)
        if _is_binary(first):
            return Excerpt(name=name, size=size(total), note="binary data, not shown")
        return _shown(name, total, first, last)
    except (OSError, ValueError) as error:
        return Excerpt(name=name, note=f"cannot be shown: {error}")


def console_tail(path: Path, name: str) -> Excerpt:
    """The end of a console log as safe text, whatever the guest printed."""
    try:
        _, last, total = _read(path, 0, 2 * TAIL)
        return _shown(name, total, b"", last)
    except (OSError, ValueError) as error:
        return Excerpt(name=name, note=f"cannot be shown: {error}")


def _read(path: Path, head: int, tail: int) -> tuple[bytes, bytes, int]:
    """The first `head` and the last `tail` bytes, without overlap, and the size of the file."""
    # no links, no waiting on a pipe: only regular files, which the harness itself writes, are shown
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        total = status.st_size
        first = file.read(head)
        file.seek(max(len(first), total - tail))
        return first, file.read(tail), total


def _shown(name: str, total: int, first: bytes, last: bytes) -> Excerpt:
    cut = max(0, total - len(first) - len(last))
    if not cut:
        return Excerpt(name=name, size=size(total), head=plain(first + last), note="" if total else "empty")
    kept = f"the first {size(len(first))} and the last" if first else "the last"
    note = f"{size(cut)} left out: only {kept} {size(len(last))} are shown"
    return Excerpt(name=name, size=size(total), head=plain(first), tail=plain(last), note=note)


def _is_binary(data: bytes) -> bool:
    odd = sum(byte < 32 and byte not in b"\t\n\r\x1b" for byte in data)
    return odd > len(data) * _BINARY_SHARE
