"""The reader of hangs: bytes in, in reads of any size; the diagnosis at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.model.diagnosis import Diagnosis
from harness.verdicts.console.text import LINE_CAP, pieces
from harness.verdicts.diagnosis.engine import diagnose
from harness.verdicts.diagnosis.facts import Facts
from harness.verdicts.diagnosis.lines import TOKENS, may_matter
from harness.verdicts.diagnosis.parser import Parser

__all__ = ["Reader", "read_facts"]

BLOCK = 1 << 16
_QUOTED = re.compile(rb"^(?:> ?){1,8}")
"""What mail puts before the lines of the message that it answers."""


class Reader:
    """Reads any kernel console text as it arrives and says why what hangs in it hangs.

    The diagnosis depends on the bytes alone, not on how they were cut into reads. Memory is bounded whatever arrives:
    one line of at most `LINE_CAP` bytes, and tasks, frames and notices up to the limits of `facts`, `stacks` and
    `sections`.
    """

    def __init__(self, source: str = "console") -> None:
        self._carry = bytearray()
        self._line = 0
        self._parser = Parser(source)

    def feed(self, data: bytes) -> None:
        """Read more bytes."""
        clean = data.replace(b"\0", b"") if b"\0" in data else data
        start = clean.find(b"\n") + 1
        self._keep(clean[: start - 1] if start else clean)
        if not start:
            return
        self._look(bytes(self._carry))
        self._carry.clear()
        end = clean.rfind(b"\n") + 1
        while start < end:
            stop = clean.rfind(b"\n", start, min(end, start + BLOCK)) + 1 or clean.find(b"\n", start) + 1
            self._block(clean[start:stop])
            start = stop
        self._keep(clean[end:])

    def close(self) -> Diagnosis | None:
        """The text ends here; the diagnosis, or None where nothing hangs in it."""
        return diagnose(self.facts())

    def facts(self) -> Facts:
        """The text ends here; what it holds of tasks, locks and stalls."""
        if self._carry:
            self._look(bytes(self._carry))
            self._carry.clear()
        return self._parser.close()

    def _keep(self, part: bytes) -> None:
        self._carry += part[: LINE_CAP - len(self._carry)]

    def _block(self, block: bytes) -> None:
        """Look at the lines of a block that ends with a line; quickly past those that cannot mean anything."""
        tokens = [token for token in TOKENS if token in block]
        if self._parser.idle and not tokens:
            self._line += block.count(b"\n")
            return
        for line in block.split(b"\n")[:-1]:
            self._look(line[:LINE_CAP], tokens)

    def _look(self, raw: bytes, tokens: Sequence[bytes] = TOKENS) -> None:
        self._line += 1
        if self._parser.idle and not may_matter(raw, tokens):
            return
        for piece in pieces(_QUOTED.sub(b"", raw)):
            self._parser.see(piece, self._line)


def read_facts(data: bytes, source: str) -> Facts:
    """What one whole text holds."""
    reader = Reader(source)
    reader.feed(data)
    return reader.facts()
