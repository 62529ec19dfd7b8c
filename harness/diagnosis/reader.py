"""The reader of console texts: bytes in, in chunks of any size; the diagnosis at the end."""

from __future__ import annotations

import re

from harness.diagnosis.read.facts import Facts
from harness.diagnosis.read.lines import needles_without
from harness.diagnosis.read.parser import Parser
from harness.diagnosis.rules.engine import diagnose
from harness.model.diagnosis import Diagnosis
from harness.verdicts.console.prefilter import Hits
from harness.verdicts.console.text import LINE_CAP, pieces

__all__ = ["Reader", "read_facts"]

BLOCK = 1 << 16
_DROPPED = b"\r\0"
"""Bytes that terminals and serial lines add, even within a word."""
_QUOTED = re.compile(rb"^(?:> ?){1,8}")
"""Prefixes of quoted lines in a mail."""


class Reader:
    """Reads any kernel console text as it arrives and diagnoses the hang in it.

    The diagnosis depends on the bytes alone, not on the size of the chunks. Memory is bounded for any input: one line
    of at most `LINE_CAP` bytes, and tasks, frames and notices up to the limits of `facts`, `stacks` and `sections`.
    """

    def __init__(self, source: str = "console") -> None:
        self._carry = bytearray()
        self._line = 0
        self._parser = Parser(source)

    def feed(self, data: bytes) -> None:
        """Read more bytes."""
        clean = data.translate(None, _DROPPED) if b"\r" in data or b"\0" in data else data
        start = clean.find(b"\n") + 1
        if start == 0:
            self._keep(clean)
            return
        if self._carry:
            self._keep(clean[: start - 1])
            self._flush()
        else:
            start = 0
        end = clean.rfind(b"\n") + 1
        while start < end:
            stop = clean.rfind(b"\n", start, min(end, start + BLOCK)) + 1 or clean.find(b"\n", start) + 1
            self._block(clean[start:stop])
            start = stop
        self._keep(clean[end : end + LINE_CAP])

    def close(self) -> Diagnosis | None:
        """End the text; returns the diagnosis, or None if nothing hangs."""
        return diagnose(self.facts())

    def facts(self) -> Facts:
        """End the text; returns its facts: tasks, locks and stalls."""
        if self._carry:
            self._flush()
        return self._parser.close()

    def _keep(self, part: bytes) -> None:
        self._carry += part[: LINE_CAP - len(self._carry)]

    def _flush(self) -> None:
        raw = bytes(self._carry)
        self._carry.clear()
        self._block(raw + b"\n")

    def _block(self, block: bytes) -> None:
        """Process a block of whole lines; while nothing is open, only the lines with a needle."""
        hits, position = Hits(block, needles_without(self._parser.full)), 0
        while position < len(block):
            if self._parser.idle:
                position = self._skip(block, position, hits.after(position))
            if position < len(block):
                end = block.index(b"\n", position)
                self._look(block[position : min(end, position + LINE_CAP)])
                position = end + 1

    def _skip(self, block: bytes, position: int, hit: int) -> int:
        """Count the lines before the one that contains `hit`; return the offset where that line starts."""
        start = max(position, block.rfind(b"\n", position, hit) + 1) if hit < len(block) else len(block)
        self._line += block.count(b"\n", position, start)
        return start

    def _look(self, raw: bytes) -> None:
        self._line += 1
        for piece in pieces(_QUOTED.sub(b"", raw)):
            self._parser.see(piece, self._line)


def read_facts(data: bytes, source: str) -> Facts:
    """The facts of one whole text."""
    reader = Reader(source)
    reader.feed(data)
    return reader.facts()
