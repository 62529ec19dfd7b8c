"""A cheap search of console blocks for lines of interest, before any line is split.

Nearly every block has none. So one quick pass reduces a block to a few rare letters, and the remainder is searched for
the literals, reduced in the same way. Literals that keep too few letters are searched for in the block itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from harness.verdicts.console.boot import BANNERS
from harness.verdicts.console.patterns import TOKENS

__all__ = ["Hits", "Needles", "may_match"]

_SIEVES = tuple(
    (bytes(code for code in range(256) if code not in rare), least)
    for rare, least in (
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ#+:bkmpvy", 2),
        (b"/[]abfklmprstw", 3),
    )
)
"""The characters to delete from a block, and how many letters a literal must keep to be recognizable."""
_MARKS = b"#+"
"""Characters so rare that one of them identifies a literal."""


class Needles:
    """Literals to look for, and one pattern for lines without a literal; no match may contain the end of a line."""

    def __init__(self, literals: Iterable[bytes], pattern: re.Pattern[bytes] | None = None) -> None:
        self._pattern = pattern
        self._whole: list[bytes] = []
        self._sieves: list[tuple[bytes, dict[bytes, list[bytes]]]] = [(common, {}) for common, _ in _SIEVES]
        for literal in dict.fromkeys(literals):
            self._sort_in(literal)

    def _sort_in(self, literal: bytes) -> None:
        scores = [_selectivity(literal, common, least) for common, least in _SIEVES]
        best = max(range(len(scores)), key=scores.__getitem__)
        if scores[best] < 0:
            self._whole.append(literal)
            return
        common, rests = self._sieves[best]
        rests.setdefault(literal.translate(None, common), []).append(literal)

    def found_in(self, part: bytes) -> list[bytes]:
        """The literals in a line or block."""
        found = [literal for literal in self._whole if literal in part]
        for common, rests in self._sieves:
            left = part.translate(None, common)
            for rest, literals in rests.items():
                if rest in left:
                    found += [literal for literal in literals if literal in part]
        return found

    def finders(self, block: bytes) -> Iterator[Callable[[int], int]]:
        """One search function for each needle in the block: takes an offset, returns that of the next hit or -1."""
        for literal in self.found_in(block):
            yield partial(block.find, literal)
        if self._pattern is not None:
            yield partial(_search, self._pattern, block)


def _selectivity(literal: bytes, common: bytes, least: int) -> int:
    """How well a literal is recognizable by the letters that a sieve keeps; below 0 it is not."""
    rest = literal.translate(None, common)
    return len(literal) if any(mark in rest for mark in _MARKS) else len(rest) - least


def _search(pattern: re.Pattern[bytes], block: bytes, position: int) -> int:
    found = pattern.search(block, position)
    return found.start() if found else -1


_HEADLINES = Needles(token.encode() for token in (*TOKENS, *BANNERS))


def may_match(line: bytes) -> bool:
    """Whether a line contains a token and so may be a headline."""
    return bool(_HEADLINES.found_in(line))


class Hits:
    """The offsets of needles in one block, queried in rising order; the default needles are those of headlines."""

    def __init__(self, block: bytes, needles: Needles = _HEADLINES) -> None:
        self._end = len(block)
        self._next = dict.fromkeys(needles.finders(block), -1)

    def after(self, position: int) -> int:
        """Offset of the first needle at or after `position`, or the block's length."""
        for find, known in self._next.items():
            if known < position:
                found = find(position)
                self._next[find] = found if found >= 0 else self._end
        return min(self._next.values(), default=self._end)
